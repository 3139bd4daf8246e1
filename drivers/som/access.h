/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_ACCESS_H
#define _SOM_ACCESS_H

#include <linux/types.h>

struct vm_area_struct;

void som_access_init(void);
bool som_access_allowed(const struct vm_area_struct *vma, bool private,
			bool write);

#endif /* _SOM_ACCESS_H */
