/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_PUD_H
#define _SOM_PUD_H

#include <linux/mm_types.h>

struct som_mapping;
struct vm_fault;

vm_fault_t som_pud_fault(struct vm_fault *vmf, struct som_mapping *mapping);

void som_around(struct vm_fault *vmf, struct som_mapping *mapping, unsigned long idx);

#endif /* _SOM_PUD_H */
