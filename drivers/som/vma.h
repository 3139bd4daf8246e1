/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_VMA_H
#define _SOM_VMA_H

#include <linux/mm.h>

struct mm_struct;
struct som_claim;
struct som_owner;
struct som_mapping;
struct som_settings;
struct vm_area_struct;

extern const struct vm_operations_struct *som_plain_ops;
extern const struct vm_operations_struct *som_tracked_ops;

vm_fault_t som_vma_huge_fault(struct vm_fault *vmf, unsigned int order);
vm_fault_t som_vma_fault(struct vm_fault *vmf);
vm_fault_t som_vma_pfn_mkwrite(struct vm_fault *vmf);
vm_fault_t som_vma_page_mkwrite(struct vm_fault *vmf);
vm_fault_t som_vma_map_pages(struct vm_fault *vmf, pgoff_t start_pgoff,
			     pgoff_t end_pgoff);
int som_vma_access(struct vm_area_struct *vma, unsigned long addr, void *buf,
		   int len, int write);
void som_vma_init(void);
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
