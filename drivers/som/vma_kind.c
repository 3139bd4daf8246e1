// SPDX-License-Identifier: GPL-2.0
/*
 * The two kinds of som VMAs, and the change from one to the other.
 *
 * A VMA starts without pfn_mkwrite, as with it the kernel refuses long-term pins for
 * writing. The first scan that tracks turns it into one that has pfn_mkwrite: see fault.c.
 */
#include <linux/mm.h>
#include "dirty_log.h"
#include "mapping.h"
#include "som_types.h"
#include "vma_kind.h"
#include "zap.h"

/**
 * som_vma_page_backed - make a som VMA one that can be pinned for writing, for ever
 * @vma: the VMA
 *
 * It is, or becomes again, of the first kind and stays so. Its entries go, as
 * among them may be some without write access, which the kernel would give them.
 *
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
 * som_vma_ask - have the kernel ask before it makes an entry of a som VMA writable
 * @vma: the VMA; nothing changes if it is to be page-backed
 *
 * Context: Process context; mmap_lock is held for write.
 */
void som_vma_ask(struct vm_area_struct *vma)
{
	if (som_vma_ready(vma))
		return;
	vma_start_write(vma);
	vma->vm_ops = som_tracked_ops;
	/* What vma_set_page_prot() makes of it in mprotect() to come. */
	WRITE_ONCE(vma->vm_page_prot,
		   vm_get_page_prot(vma->vm_flags & ~VM_SHARED));
}

/**
 * som_vma_track - make the som VMAs of a range ready for tracking
 * @mm: the address space
 * @addr: first address
 * @end: address behind the last
 *
 * From then on the kernel makes no entry in them writable without asking. Only the first
 * are done where there are many; the caller finds out when it comes to the next.
 *
 * Context: Process context; takes mmap_lock for write.
 * Return: 0, or -EINTR on a fatal signal.
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
 * som_vma_take - make a VMA a som mapping of memory that was mapped before
 * @vma: new
 * @mapping: its mapping
 * @flags: what vm_flags of the VMAs were that it replaces
 * @ask: whether som_vma_ask() was called for them
 *
 * Context: Process context; the caller has mmap_lock for write.
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
