/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_PAGE_BACKED_H
#define _SOM_PAGE_BACKED_H

#include <linux/types.h>

struct som_account;

long som_page_backed_alloc(struct som_account *account, bool zeroed);
void som_page_backed_free(unsigned long unit);
bool som_page_backed_pinned(unsigned long unit);
bool som_page_backed_poisoned(unsigned long unit);
unsigned long som_page_backed_units(void);

#endif /* _SOM_PAGE_BACKED_H */
