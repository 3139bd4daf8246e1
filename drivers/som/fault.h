/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_FAULT_H
#define _SOM_FAULT_H

#include <linux/mm.h>

struct vm_area_struct;
struct vm_fault;

vm_fault_t som_vma_huge_fault(struct vm_fault *vmf, unsigned int order);
vm_fault_t som_vma_fault(struct vm_fault *vmf);
vm_fault_t som_vma_pfn_mkwrite(struct vm_fault *vmf);
vm_fault_t som_vma_page_mkwrite(struct vm_fault *vmf);
vm_fault_t som_vma_map_pages(struct vm_fault *vmf, pgoff_t start_pgoff,
			     pgoff_t end_pgoff);
int som_vma_access(struct vm_area_struct *vma, unsigned long addr, void *buf,
		   int len, int write);

#endif /* _SOM_FAULT_H */
