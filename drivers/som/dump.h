/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_DUMP_H
#define _SOM_DUMP_H

#include <linux/mm_types.h>

struct som_owner;
struct vm_fault;

void som_dump_begin(struct som_owner *owner, struct vm_area_struct *vma);
vm_fault_t som_dump_fault(struct vm_fault *vmf, struct som_owner *owner,
			  unsigned long idx, unsigned long unit);

#endif /* _SOM_DUMP_H */
