/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_ACCESS_H
#define _SOM_ACCESS_H

#include <linux/mm.h>
#include <linux/mm_types.h>
#include <linux/types.h>
#include "range.h"

struct som_owner;
struct vm_area_struct;
struct vm_fault;

void som_access_init(void);
bool som_access_allowed(const struct vm_area_struct *vma, bool private,
			bool write);

void som_dump_begin(struct som_owner *owner, struct vm_area_struct *vma);
vm_fault_t som_dump_fault(struct vm_fault *vmf, struct som_owner *owner,
			  unsigned long idx, som_unit_t unit);

#endif /* _SOM_ACCESS_H */
