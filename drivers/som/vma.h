/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_VMA_H
#define _SOM_VMA_H

#include <linux/mm_types.h>

struct mm_struct;
struct som_claim;
struct som_owner;
struct som_mapping;
struct som_settings;
struct vm_area_struct;

struct som_mapping *som_vma_mapping(const struct vm_area_struct *vma);
bool som_vma_tracked(const struct vm_area_struct *vma);
bool som_vma_ready(const struct vm_area_struct *vma);
void som_vma_ask(struct vm_area_struct *vma);
void som_vma_page_backed(struct vm_area_struct *vma);
int som_vma_track(struct mm_struct *mm, unsigned long addr, unsigned long end);
int som_vma_map(struct vm_area_struct *vma, struct som_owner *owner,
		const struct som_settings *settings, struct som_claim *claim);
void som_vma_take(struct vm_area_struct *vma, struct som_mapping *mapping,
		  vm_flags_t flags, bool ask);

#endif /* _SOM_VMA_H */
