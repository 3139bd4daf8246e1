/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_PAGEMAP_SCAN_H
#define _SOM_PAGEMAP_SCAN_H

struct mm_struct;
struct pm_scan_arg;

long som_pagemap_scan(struct pm_scan_arg __user *user);
long som_pagemap_scan_view(struct pm_scan_arg __user *user,
			   struct mm_struct *mm, const void *claim);

#endif /* _SOM_PAGEMAP_SCAN_H */
