/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_NUMA_H
#define _SOM_NUMA_H

#include <linux/mm.h>
#include "range.h"

struct som_pool_user;
struct vm_area_struct;

som_unit_t som_numa_alloc(struct som_pool_user *user, struct vm_area_struct *vma,
			  unsigned long idx);
long som_numa_alloc_chunk(struct som_pool_user *user,
			  struct vm_area_struct *vma, unsigned long idx);

#endif /* _SOM_NUMA_H */
