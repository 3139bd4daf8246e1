/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_MIGRATE_H
#define _SOM_MIGRATE_H

#include <linux/mm_types.h>
#include <linux/types.h>

struct som_owner;
struct vm_fault;

int som_migrate_unit(struct som_owner *owner, unsigned long idx, void **memory);
void som_migrate_free(void *memory);

vm_fault_t som_convert_fault(struct vm_fault *vmf, struct som_owner *owner,
			     unsigned long idx);
void *som_convert_alloc(struct som_owner *owner, bool to_pages);
int som_convert_unit(struct som_owner *owner, unsigned long idx, bool to_pages,
		     void **memory);

#endif /* _SOM_MIGRATE_H */
