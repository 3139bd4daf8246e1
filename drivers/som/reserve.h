/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_RESERVE_H
#define _SOM_RESERVE_H

#include <linux/types.h>

struct som_owner;

int som_reserve_units(struct som_owner *owner, unsigned long first,
		      unsigned long last);
unsigned long som_unreserve_units(struct som_owner *owner, unsigned long first,
				  unsigned long last);

#endif /* _SOM_RESERVE_H */
