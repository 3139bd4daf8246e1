// SPDX-License-Identifier: GPL-2.0
/*
 * The two kinds of som VMAs, and the change from one to the other.
 *
 * A VMA starts as a plain one, without pfn_mkwrite, as the kernel refuses long-term pins for
 * writing in a VMA that has it. The first scan that tracks it makes it a tracked one, with
 * pfn_mkwrite (fault.c), unless it stays plain (som_mapping_keeps_kind()).
 */
#include <linux/mm.h>
#include "dirty_log.h"
#include "mapping.h"
#include "som_types.h"
#include "vma_kind.h"
#include "zap.h"

/**
 * som_vma_page_backed - Allow pins for writing in a som VMA from now on
 * @vma: the VMA
 *
 * Makes it plain again. The kernel makes write-protected entries of a plain VMA writable
 * without a call of som, so its entries are zapped.
 * Context: Process context; mmap_lock is held for write.
 */
void som_vma_page_backed(struct vm_area_struct *vma)
{
	struct som_mapping *mapping = som_vma_mapping(vma);

	mapping->page_backed = true;
	if (!som_vma_tracked(vma))
		return;
	vma_start_write(vma);
	vma->vm_ops = som_plain_ops;
	WRITE_ONCE(vma->vm_page_prot, vm_get_page_prot(vma->vm_flags));
	som_zap(mapping->owner, vma->vm_pgoff, vma_pages(vma));
}

/**
 * som_vma_ask - Make the kernel call pfn_mkwrite before an entry becomes writable
 * @vma: the VMA; not changed if som_vma_ready()
 * Context: Process context; mmap_lock is held for write.
 */
void som_vma_ask(struct vm_area_struct *vma)
{
	if (som_vma_ready(vma))
		return;
	vma_start_write(vma);
	vma->vm_ops = som_tracked_ops;
	/* The value that vma_set_page_prot() would compute in a later mprotect(). */
	WRITE_ONCE(vma->vm_page_prot,
		   vm_get_page_prot(vma->vm_flags & ~VM_SHARED));
}

/**
 * som_vma_track - Prepare the som VMAs of a range for tracking
 * @mm: the address space
 * @addr: first address
 * @end: end address, exclusive
 *
 * Afterwards the kernel calls pfn_mkwrite before it makes an entry writable. If there are
 * many VMAs, only the first are prepared: the caller calls again when it reaches the next.
 * Context: Process context; takes mmap_lock for write.
 * Return: 0; -EINTR on a fatal signal.
 */
int som_vma_track(struct mm_struct *mm, unsigned long addr, unsigned long end)
{
	unsigned int left = SOM_TRACK_UNITS;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	int ret;

	ret = mmap_write_lock_killable(mm);
	if (ret)
		return ret;
	vma_iter_init(&vmi, mm, addr);
	for_each_vma_range(vmi, vma, end) {
		if (som_vma_mapping(vma))
			som_vma_ask(vma);
		if (!--left)
			break;
	}
	mmap_write_unlock(mm);
	return 0;
}

/**
 * som_vma_take - Turn a new VMA into a som mapping of existing memory
 * @vma: the new VMA
 * @mapping: its mapping
 * @flags: vm_flags of the VMAs that it replaces
 * @ask: whether som_vma_ask() was called for them
 * Context: Process context; mmap_lock is held for write.
 */
void som_vma_take(struct vm_area_struct *vma, struct som_mapping *mapping,
		  vm_flags_t flags, bool ask)
{
	vma->vm_private_data = mapping;
	vma->vm_ops = som_plain_ops;
	vm_flags_set(vma, flags);
	vm_flags_clear(vma, ~(flags | VM_ACCOUNT | VM_SOFTDIRTY));
	if (ask)
		som_vma_ask(vma);
}
