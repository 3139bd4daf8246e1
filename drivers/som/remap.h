/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_REMAP_H
#define _SOM_REMAP_H

#include <linux/mm.h>
#include <linux/types.h>

struct som_mapping;
struct som_owner;
struct vm_area_struct;

int som_remap_prepare(struct som_owner *owner, unsigned long addr,
		      unsigned long len, unsigned long flags, bool dodump);
void som_remap_close(struct som_mapping *mapping);
int som_remap_mmap(struct som_owner *owner, struct vm_area_struct *vma);
void som_remap_destroy(struct som_owner *owner);

#endif /* _SOM_REMAP_H */
