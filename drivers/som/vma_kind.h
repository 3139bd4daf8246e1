/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_VMA_KIND_H
#define _SOM_VMA_KIND_H

#include <linux/mm.h>

struct mm_struct;
struct som_mapping;
struct vm_area_struct;

void som_vma_ask(struct vm_area_struct *vma);
void som_vma_page_backed(struct vm_area_struct *vma);
int som_vma_track(struct mm_struct *mm, unsigned long addr, unsigned long end);
void som_vma_take(struct vm_area_struct *vma, struct som_mapping *mapping,
		  vm_flags_t flags, bool ask);

#endif /* _SOM_VMA_KIND_H */
