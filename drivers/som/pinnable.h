/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_PINNABLE_H
#define _SOM_PINNABLE_H

#include <linux/types.h>

long som_pinnable_alloc(void);
void som_pinnable_free(unsigned long unit);
bool som_pinnable_pinned(unsigned long unit);
bool som_pinnable_poisoned(unsigned long unit);
unsigned long som_pinnable_units(void);

#endif /* _SOM_PINNABLE_H */
