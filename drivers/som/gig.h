/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_GIG_H
#define _SOM_GIG_H

#include <linux/mm_types.h>

struct som_owner;
struct som_mapping;

void som_owner_lock_all(struct som_owner *owner);
void som_owner_unlock_all(struct som_owner *owner);
vm_fault_t som_pud_fault(struct vm_fault *vmf, struct som_mapping *mapping);

#endif /* _SOM_GIG_H */
