// SPDX-License-Identifier: GPL-2.0
/*
 * Look-ups of mappings: by VMA, and by page offsets. map.c adds and removes them.
 *
 * som VMAs are plain or tracked, distinguished by their operations (fault.c). vm_private_data
 * of a VMA is its mapping; NULL in a child that inherited the VMA although it should not
 * have (MADV_DOFORK).
 */
#include <linux/interval_tree.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include "compat.h"
#include "mapping.h"
#include "range.h"
#include "som_types.h"

/* Mappings visited per hold of mapping_lock. */
#define SOM_RUN_MAPPINGS	256

/**
 * som_owner_find_alias - Slow path of som_owner_aliased()
 * @owner: owner
 * @first: first page offset
 * @last: last page offset
 * Context: as som_owner_aliased(); takes owner->lock.
 * Return: as som_owner_aliased().
 */
bool som_owner_find_alias(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	struct interval_tree_node *it;
	bool aliased;

	mutex_lock(&owner->lock);
	it = interval_tree_iter_first(&owner->mappings, first, last);
	aliased = it && interval_tree_iter_next(it, first, last);
	mutex_unlock(&owner->lock);
	return aliased;
}

/**
 * som_mapping_run - Find a run of page offsets that are, or are not, mapped elsewhere
 * @mapping: mapping
 * @first: first page offset
 * @last: last page offset
 * @superseded: set to whether those of a private mapping were moved or duplicated by mremap
 *
 * MREMAP_DONTUNMAP, and mremap from length 0, leave the old mapping without memory.
 * Anonymous memory would read as zero there; som refuses access.
 * Context: mmap_lock or the VMA lock is held; takes owner->mapping_lock, for some mappings
 * at a time.
 * Return: last page offset of the run as far as checked, at most @last.
 */
unsigned long som_mapping_run(struct som_mapping *mapping, unsigned long first,
			      unsigned long last, bool *superseded)
{
	struct som_owner *owner = mapping->owner;
	struct interval_tree_node *it;
	unsigned long end = last;
	unsigned int seen = 0;

	*superseded = false;
	if (!som_mapping_may_be_superseded(mapping))
		return last;
	spin_lock(&owner->mapping_lock);
	for (it = interval_tree_iter_first(&owner->mappings, first, last); it;
	     it = interval_tree_iter_next(it, first, last)) {
		bool newer = container_of(it, struct som_mapping, it)->generation >
			     mapping->generation;

		/* Sorted by start: mappings from here on are not part of this run. */
		if (it->start > first && (newer || *superseded ||
					  ++seen == SOM_RUN_MAPPINGS)) {
			last = *superseded ? last : it->start - 1;
			break;
		}
		if (newer) {
			last = *superseded ? max(last, it->last) : it->last;
			*superseded = true;
		}
	}
	spin_unlock(&owner->mapping_lock);
	return min(last, end);
}

/**
 * som_mapping_crowded - Test whether mremap has made too many mappings of a page offset
 * @mapping: the new mapping
 * Context: Process context; mmap_lock is held for write. Takes owner->lock.
 * Return: true if a page offset has more than SOM_MAX_ALIASES mappings, including one that
 * is being moved.
 */
bool som_mapping_crowded(struct som_mapping *mapping)
{
	unsigned long first = mapping->it.start, last = mapping->it.last;
	unsigned long ends[SOM_MAX_ALIASES];	/* of mappings that overlap */
	struct som_owner *owner = mapping->owner;
	struct interval_tree_node *it;
	unsigned int nr = 0, i, left;

	mutex_lock(&owner->lock);
	for (it = interval_tree_iter_first(&owner->mappings, first, last); it;
	     it = interval_tree_iter_next(it, first, last)) {
		cond_resched();
		for (i = left = 0; i < nr; i++) {
			if (ends[i] >= it->start)
				ends[left++] = ends[i];
		}
		nr = left;
		if (nr == SOM_MAX_ALIASES)
			break;
		ends[nr++] = it->last;
	}
	mutex_unlock(&owner->lock);
	return it;
}

/**
 * som_owner_superseded - Test whether a private mapping's page offsets are mapped elsewhere
 * @owner: owner
 * @first: first page offset
 * @last: last page offset
 * Context: Process context; takes owner->lock. No lock that is taken after it is held.
 * Return: true if any in the range is.
 */
bool som_owner_superseded(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	struct interval_tree_node *it;
	bool found = false;

	if (!READ_ONCE(owner->may_alias))
		return false;
	mutex_lock(&owner->lock);
	it = interval_tree_iter_first(&owner->mappings, first, last);
	for (; it && !found; it = interval_tree_iter_next(it, first, last)) {
		unsigned long lo = max(first, it->start);
		unsigned long hi = min(last, it->last);

		cond_resched();
		if (!container_of(it, struct som_mapping, it)->private)
			continue;
		found = interval_tree_iter_first(&owner->mappings, lo, hi) != it ||
			interval_tree_iter_next(it, lo, hi);
	}
	mutex_unlock(&owner->lock);
	return found;
}

/**
 * som_owner_maps_2m - Test whether a VMA may have 2 MiB entries
 * @vma: a som VMA
 * Context: mmap_lock is held.
 * Return: true unless disabled by madvise or the settings.
 */
bool som_owner_maps_2m(const struct vm_area_struct *vma)
{
	const struct som_mapping *mapping = vma->vm_private_data;

	return !(vma->vm_flags & VM_NOHUGEPAGE) &&
	       mapping->map_size >= SOM_UNIT_SIZE;
}

/**
 * som_owner_maps_once - Test whether exactly one VMA maps a unit
 * @owner: owner
 * @idx: unit index
 * Context: mmap_lock is held. Does not wait for owner->lock.
 * Return: true if so; false also if owner->lock is busy.
 */
bool som_owner_maps_once(struct som_owner *owner, unsigned long idx)
{
	unsigned long lo = som_index_pgoff(idx);
	unsigned long hi = som_index_pgoff(idx + 1) - 1;
	struct interval_tree_node *it;
	bool once;

	if (!mutex_trylock(&owner->lock))
		return false;
	it = interval_tree_iter_first(&owner->mappings, lo, hi);
	once = it && !interval_tree_iter_next(it, lo, hi);
	mutex_unlock(&owner->lock);
	return once;
}

/* Operations of the two kinds of VMAs; set before the first VMA exists. */
const struct vm_operations_struct *som_plain_ops __ro_after_init;
const struct vm_operations_struct *som_tracked_ops __ro_after_init;

/**
 * som_vma_mapping - Return the mapping of a VMA
 * @vma: any VMA
 * Context: mmap_lock or the VMA lock is held.
 * Return: its mapping; NULL if it has none.
 */
struct som_mapping *som_vma_mapping(const struct vm_area_struct *vma)
{
	if (vma->vm_ops != som_plain_ops && vma->vm_ops != som_tracked_ops)
		return NULL;
	return vma->vm_private_data;
}

/**
 * som_vma_tracked - Test whether a som VMA has the operations with pfn_mkwrite
 * @vma: the VMA
 * Context: mmap_lock or the VMA lock is held.
 * Return: true if it is.
 */
bool som_vma_tracked(const struct vm_area_struct *vma)
{
	return vma->vm_ops == som_tracked_ops;
}

/**
 * som_mapping_keeps_kind - Test whether a VMA always stays plain
 * @mapping: its mapping
 *
 * Where units become page-backed by policy, every pin must work, also for writing, even if
 * the VMA is tracked or inherited. Writable entries of such units are dirty. 2 MiB entries
 * without write access only become writable by mprotect(), which som_vma_mprotect()
 * handles.
 * Return: true if it does.
 */
bool som_mapping_keeps_kind(const struct som_mapping *mapping)
{
	return mapping->auto_convert && mapping->map_size < PUD_SIZE &&
	       !som_kernel_asks_for_pages();
}

/**
 * som_vma_ready - Test whether a scan can track the memory of a som VMA
 * @vma: the VMA
 * Context: mmap_lock is held.
 * Return: true if it can; otherwise call som_vma_track() first.
 */
bool som_vma_ready(const struct vm_area_struct *vma)
{
	const struct som_mapping *mapping = som_vma_mapping(vma);

	return som_vma_tracked(vma) || mapping->page_backed ||
	       som_mapping_keeps_kind(mapping);
}
