// SPDX-License-Identifier: GPL-2.0
/*
 * Core dumps of memory that is mapped by 4 KiB entries.
 *
 * The kernel reads what it dumps by get_user_pages(), to which a special 4 KiB entry is
 * "no page here": there would be a hole in the file. It asks each VMA for its name
 * when it looks at them all, with mmap_lock held for write; that is when entries
 * are taken away (som_dump_begin()). So the dump faults, and what a fault of
 * the dump cannot map by 2 MiB it gets as a copy of the page, ordinary memory.
 *
 * The threads of the process have stopped by then, so nobody writes to the unit meanwhile
 * but a device. Before a copy is made, that of the page before goes: a unit has one
 * at a time, until the address space ends.
 */
#include <linux/mm.h>
#include "compat.h"
#include "dump.h"
#include "owner.h"
#include "pool.h"
#include "range.h"
#include "zap.h"

/**
 * som_dump_begin - have a core dump fault for what it reads of a VMA
 * @owner: whose
 * @vma: a som VMA
 *
 * Context: Process context; mmap_lock is held for write.
 */
void som_dump_begin(struct som_owner *owner, struct vm_area_struct *vma)
{
	mutex_lock(&owner->lock);
	som_zap(owner, vma->vm_pgoff, vma_pages(vma));
	mutex_unlock(&owner->lock);
}

/**
 * som_dump_fault - map a copy of a page, for a core dump
 * @vmf: the fault
 * @owner: whose
 * @idx: unit index
 * @unit: its unit
 *
 * Context: som_owner_lock_unit() is held.
 * Return: as ->fault.
 */
vm_fault_t som_dump_fault(struct vm_fault *vmf, struct som_owner *owner,
			  unsigned long idx, unsigned long unit)
{
	unsigned long page = vmf->pgoff - som_unit_pgoff(idx);
	struct page *copy;
	int ret;

	som_zap(owner, som_unit_pgoff(idx), SOM_UNIT_PAGES);
	copy = alloc_page(GFP_KERNEL_ACCOUNT);
	if (!copy)
		return VM_FAULT_OOM;
	if (copy_mc_to_kernel(page_address(copy), som_unit_address(unit) +
			      (page << PAGE_SHIFT), PAGE_SIZE)) {
		put_page(copy);
		return VM_FAULT_HWPOISON;
	}
	ret = vm_insert_page(vmf->vma, vmf->address & PAGE_MASK, copy);
	put_page(copy);
	if (ret == -ENOMEM)
		return VM_FAULT_OOM;
	return ret && ret != -EBUSY ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
}
