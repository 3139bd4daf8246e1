/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_PAGE_BACKED_H
#define _SOM_PAGE_BACKED_H

#include <linux/types.h>
#include "range.h"

struct som_account;

som_unit_t som_page_backed_alloc(struct som_account *account, bool zeroed);
void som_page_backed_free(som_unit_t unit);
bool som_page_backed_pinned(som_unit_t unit);
bool som_page_backed_page_pinned(som_unit_t unit, unsigned int page);
bool som_page_backed_poisoned(som_unit_t unit);
unsigned long som_page_backed_units(void);

#endif /* _SOM_PAGE_BACKED_H */
