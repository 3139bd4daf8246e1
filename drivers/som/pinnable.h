/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_PINNABLE_H
#define _SOM_PINNABLE_H

#include <linux/types.h>

struct som_account;

long som_pinnable_alloc(struct som_account *account, bool zeroed);
void som_pinnable_free(unsigned long unit);
bool som_pinnable_pinned(unsigned long unit);
bool som_pinnable_poisoned(unsigned long unit);
unsigned long som_pinnable_units(void);

#endif /* _SOM_PINNABLE_H */
