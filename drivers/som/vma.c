// SPDX-License-Identifier: GPL-2.0
/*
 * VMA operations except faults (fault.c).
 *
 * ->close runs after the VMA's entries were cleared and the TLB was flushed: munmap, exit
 * and MAP_FIXED call it from remove_vma(), after tlb_finish_mmu().
 */
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include "access.h"
#include "account.h"
#include "compat.h"
#include "discard.h"
#include "fault.h"
#include "fork.h"
#include "inode.h"
#include "map.h"
#include "mapping.h"
#include "parcel.h"
#include "policy.h"
#include "punch.h"
#include "remap.h"
#include "som_types.h"
#include "vma.h"
#include "zap.h"

/*
 * Zap part of a VMA that is about to be split or moved, where the kernel does not expect
 * 1 GiB entries. Do not test for such entries first: a fault can add one until the VMA is
 * locked.
 * @all: zap 2 MiB and 4 KiB entries, too. Private memory needs that: mremap with an old
 * length of 0 leaves them in a VMA that is now superseded (som_mapping_run()).
 */
static void som_vma_zap(struct vm_area_struct *vma, pgoff_t pgoff,
			unsigned long nr, bool all)
{
	struct som_owner *owner = som_vma_mapping(vma)->owner;

	if (!all && som_vma_mapping(vma)->map_size < PUD_SIZE)
		return;
	vma_start_write(vma);
	mutex_lock(&owner->lock);
	som_zap(owner, pgoff, nr);
	mutex_unlock(&owner->lock);
}

static int som_vma_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	struct som_mapping *mapping = som_vma_mapping(vma);

	if (!mapping)
		return 0;
	/* The kernel locks the VMA only after ->open, which changes the mapping. */
	vma_start_write(vma);
	som_vma_zap(vma, linear_page_index(vma, addr), 1, false);
	mapping->cut = linear_page_index(vma, addr);
	mapping->cut_seq = som_mm_write_seq(vma->vm_mm);
	return 0;
}

static unsigned long vma_last_pgoff(struct vm_area_struct *vma)
{
	return vma->vm_pgoff + vma_pages(vma) - 1;
}

/* Inherit a VMA in a child. Page table entries are never copied (VM_WIPEONFORK). */
static void som_vma_forked(struct vm_area_struct *vma, struct som_mapping *from)
{
	vm_flags_set(vma, VM_WIPEONFORK);
	if (from->fork != SOM_FORK_NONE) {
		if (!som_fork_vma(vma, from))
			return;
		som_fork_fail(vma);
	}
	/* Inherit nothing. */
	vma->vm_private_data = NULL;
	vm_flags_set(vma, VM_DONTCOPY);
}

/*
 * Handle a duplicated VMA: ->open is called for the new one, before it is in the address
 * space. Its addresses are covered by the old VMA after a split, and by none after mremap.
 * In fork, this runs in the parent for the child's VMA, if the policy or MADV_DOFORK
 * requests it.
 */
static void som_vma_open(struct vm_area_struct *vma)
{
	struct som_mapping *mapping = som_vma_mapping(vma);
	struct vm_area_struct *old;
	bool split;

	if (!mapping)
		return;
	if (vma->vm_mm != mapping->owner->mm) {
		som_vma_forked(vma, mapping);
		return;
	}
	old = vma_lookup(vma->vm_mm, vma->vm_start);
	split = old && old->vm_private_data == mapping;
	mapping = som_mapping_dup(mapping, vma->vm_start, vma->vm_pgoff,
				  vma_last_pgoff(vma), split);
	mapping->vma = vma;
	vma->vm_private_data = mapping;
	/* Zap after publishing: from then on faults on superseded pages fail. */
	if (!split)
		som_vma_zap(vma, vma->vm_pgoff, vma_pages(vma), mapping->private);
}

static void som_vma_close(struct vm_area_struct *vma)
{
	struct som_mapping *mapping = som_vma_mapping(vma);

	if (mapping) {
		som_remap_close(mapping);
		som_mapping_discard_left(mapping);
		som_mapping_unmap(mapping);
	}
	vma->vm_private_data = NULL;
}

/* Test whether plain VMAs may have entries that must stay read-only. */
static bool protects(const struct som_owner *owner)
{
	return READ_ONCE(owner->dirty_log.on) || READ_ONCE(owner->cow.has_child);
}

/*
 * Reserve memory that becomes accessible and has no reservation. If all access is removed,
 * zap 1 GiB entries: pudp_invalidate() takes an entry without access for an empty one.
 */
static int som_vma_mprotect(struct vm_area_struct *vma, unsigned long start,
			    unsigned long end, unsigned long newflags)
{
	struct som_mapping *mapping = som_vma_mapping(vma);
	unsigned long first = linear_page_index(vma, start);

	if (mapping && !(newflags & VM_ACCESS_FLAGS))
		som_vma_zap(vma, first, (end - start) >> PAGE_SHIFT, false);
	/* The kernel would make entries writable that must stay read-only. */
	if (mapping && newflags & VM_WRITE && !som_vma_tracked(vma) &&
	    som_mapping_keeps_kind(mapping) && protects(mapping->owner))
		som_vma_zap(vma, first, (end - start) >> PAGE_SHIFT, true);
	if (!mapping || mapping->reserved || !(newflags & VM_ACCESS_FLAGS) ||
	    vma->vm_flags & VM_NORESERVE)
		return 0;
	return som_mapping_reserve(mapping, first,
				   first + ((end - start) >> PAGE_SHIFT) - 1);
}

/*
 * Check a new, possibly longer, VMA to which mremap moved page table entries. Pages added
 * to a shared mapping show what their page offsets hold, as with a file. Pages added to a
 * private mapping would have to read as zero even if other VMAs map the same offsets:
 * refuse, and let the caller copy.
 */
static int som_vma_mremap(struct vm_area_struct *vma)
{
	struct som_mapping *mapping = som_vma_mapping(vma);
	unsigned long last;

	if (!mapping)
		return 0;
	last = vma_last_pgoff(vma);
	if (last >= mapping->limit || (mapping->private && mapping->grown) ||
	    som_mapping_crowded(mapping))
		return -ENOMEM;
	/* That check forbids two writable entries of a page; private memory has one. */
	if (som_checks_page_tables() && !mapping->private && som_mremap_leaves())
		return -ENOMEM;
	if (mapping->reserved || !(vma->vm_flags & VM_ACCESS_FLAGS) ||
	    vma->vm_flags & VM_NORESERVE)
		return 0;
	return som_mapping_reserve(mapping, vma->vm_pgoff, last);
}

/* Return no name. A core dump asks for it before it reads the VMA: make the dump fault. */
static const char *som_vma_name(struct vm_area_struct *vma)
{
	struct som_mapping *mapping = som_vma_mapping(vma);

	if (som_dumping() && mapping && current->mm == vma->vm_mm)
		som_dump_begin(mapping->owner, vma);
	return NULL;
}

#define SOM_VM_OPS							\
	.open = som_vma_open,						\
	.close = som_vma_close,						\
	.may_split = som_vma_may_split,					\
	.mprotect = som_vma_mprotect,					\
	.mremap = som_vma_mremap,					\
	.fault = som_vma_fault,						\
	.huge_fault = som_vma_huge_fault,				\
	.map_pages = som_vma_map_pages,					\
	.access = som_vma_access,					\
	.name = som_vma_name

static const struct vm_operations_struct som_vm_ops = {
	SOM_VM_OPS,
};

static const struct vm_operations_struct som_tracked_vm_ops = {
	SOM_VM_OPS,
	.pfn_mkwrite = som_vma_pfn_mkwrite,
	.page_mkwrite = som_vma_page_mkwrite,
};

/**
 * som_vma_init - Set the VMA operations that identify a som VMA
 * Context: Module load; nothing is mapped.
 */
void __init som_vma_init(void)
{
	som_plain_ops = &som_vm_ops;
	som_tracked_ops = &som_tracked_vm_ops;
}

/**
 * som_vma_map - Turn a new VMA into a som mapping
 * @vma: new VMA
 * @owner: owner of its address space
 * @settings: settings of the mapped file
 * @claim: part of a parcel to map, or NULL
 * Context: Process context; mmap_lock is held for write.
 * Return: 0, or as som_mapping_map(); on error nothing is changed.
 */
int som_vma_map(struct vm_area_struct *vma, struct som_owner *owner,
		const struct som_settings *settings, struct som_claim *claim)
{
	unsigned long map_size = READ_ONCE(settings->map_size);
	enum som_fork fork = READ_ONCE(settings->fork);
	struct som_mapping *mapping;
	bool reservation;

	reservation = vma->vm_flags & VM_ACCESS_FLAGS &&
		  !(vma->vm_flags & VM_NORESERVE);
	mapping = som_mapping_map(owner, vma->vm_start, vma->vm_end - vma->vm_start,
				  reservation, !(vma->vm_flags & VM_MAYSHARE), claim);
	if (IS_ERR(mapping))
		return PTR_ERR(mapping);

	/* A child cannot inherit part of a 1 GiB entry. */
	if (fork != SOM_FORK_NONE)
		map_size = min(map_size, SOM_UNIT_SIZE);
	mapping->map_size = map_size;
	mapping->reuse = READ_ONCE(settings->reuse);
	mapping->auto_convert = READ_ONCE(settings->auto_convert);
	mapping->fork = fork;
	mapping->claimed = claim;
	mapping->vma = vma;
	vma_set_file(vma, owner->file);
	vma->vm_pgoff = mapping->it.start;
	vma->vm_private_data = mapping;
	vma->vm_ops = &som_vm_ops;
	/* VM_HUGEPAGE: use 2 MiB entries if THP is set to "madvise", too. */
	vm_flags_set(vma, VM_MIXEDMAP | VM_HUGEPAGE | VM_SHARED | VM_MAYSHARE);
	if (fork == SOM_FORK_NONE)
		vm_flags_set(vma, VM_DONTCOPY);
	return 0;
}

/**
 * som_file_map - Turn a new VMA into a som mapping of its address space
 * @settings: settings of the mapped file
 * @vma: new VMA
 * @claim: part of a parcel to map, or NULL
 * Context: Process context; mmap_lock is held for write.
 * Return: owner, to be released with som_inode_put_owner(); or ERR_PTR(-errno).
 */
struct som_owner *som_file_map(const struct som_settings *settings,
			       struct vm_area_struct *vma,
			       struct som_claim *claim)
{
	struct som_owner *owner = som_inode_get_owner(vma->vm_mm);
	int ret;

	if (IS_ERR(owner))
		return owner;
	som_account_mmap_begin(owner->account,
			       som_policy_max_units(settings, owner));
	ret = vma->vm_flags & VM_MAYSHARE ? 0 : som_private_start(owner);
	if (!ret)
		ret = som_vma_map(vma, owner, settings, claim);
	som_account_mmap_end(owner->account, !ret);
	if (!ret)
		return owner;
	som_inode_put_owner(owner);
	return ERR_PTR(ret);
}
