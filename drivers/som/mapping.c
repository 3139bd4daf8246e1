// SPDX-License-Identifier: GPL-2.0
/*
 * Look-ups of mappings: a VMA's mapping, and the mappings of page offsets.
 *
 * There are two kinds of som VMAs, known by their operations (fault.c); vm_private_data
 * is the VMA's mapping, or NULL in a child that inherited the VMA although it
 * should not have (MADV_DOFORK). Mappings are made and removed in map.c.
 */
#include <linux/interval_tree.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include "compat.h"
#include "mapping.h"
#include "range.h"
#include "som_types.h"

/* Mappings that are looked at for each hold of mapping_lock. */
#define SOM_RUN_MAPPINGS	256

/**
 * som_owner_find_alias - the same as som_owner_aliased(), where mremap was used
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 *
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
 * som_mapping_run - are a private mapping's page offsets now mapped elsewhere?
 * @mapping: mapping of the mapping
 * @first: first page offset
 * @last: last page offset
 * @superseded: where it goes whether @first is
 *
 * That is how MREMAP_DONTUNMAP, and mremap from length 0, leave a mapping. Anonymous
 * memory would read as zero there; som refuses access.
 *
 * Context: mmap_lock or the VMA lock is held; takes owner->mapping_lock, for some mappings at a
 * time.
 * Return: up to which page offset it is the same, as far as it has looked, at most @last.
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

		/* They come in order: nothing behind this one is of this run. */
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
 * som_mapping_crowded - has mremap made too many mappings of something?
 * @mapping: mapping of the new mapping
 *
 * Context: Process context; mmap_lock is held for write. Takes owner->lock.
 * Return: true if a page offset has more than SOM_MAX_ALIASES mappings, the one that is
 * moved, if any, among them.
 */
bool som_mapping_crowded(struct som_mapping *mapping)
{
	unsigned long first = mapping->it.start, last = mapping->it.last;
	unsigned long ends[SOM_MAX_ALIASES];	/* of those that lie over one */
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
 * som_owner_superseded - the same, of all private mappings of some page offsets
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 *
 * Context: Process context; takes owner->lock. The caller has no lock that comes below.
 * Return: true if so.
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
 * som_owner_maps_2m - may a VMA have 2 MiB entries?
 * @vma: a som VMA
 *
 * Context: mmap_lock is held.
 * Return: true unless somebody said that it shall not.
 */
bool som_owner_maps_2m(const struct vm_area_struct *vma)
{
	const struct som_mapping *mapping = vma->vm_private_data;

	return !(vma->vm_flags & VM_NOHUGEPAGE) &&
	       mapping->map_size >= SOM_UNIT_SIZE;
}

/**
 * som_owner_maps_once - does exactly one VMA touch a unit, and for sure?
 * @owner: whose
 * @idx: unit index
 *
 * Context: The caller has mmap_lock. Does not wait for owner->lock.
 * Return: true if so; false may also mean that it could not be found out.
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

/* The operations of the two kinds of VMAs; set before there is any. */
const struct vm_operations_struct *som_plain_ops __ro_after_init;
const struct vm_operations_struct *som_tracked_ops __ro_after_init;

/**
 * som_vma_mapping - the mapping of a VMA
 * @vma: any VMA
 *
 * Context: mmap_lock or the VMA lock is held.
 * Return: its mapping, or NULL if it is not a som mapping of its owner.
 */
struct som_mapping *som_vma_mapping(const struct vm_area_struct *vma)
{
	if (vma->vm_ops != som_plain_ops && vma->vm_ops != som_tracked_ops)
		return NULL;
	return vma->vm_private_data;
}

/**
 * som_vma_tracked - is a som VMA ready for tracking?
 * @vma: the VMA
 *
 * Context: mmap_lock or the VMA lock is held.
 * Return: true if so.
 */
bool som_vma_tracked(const struct vm_area_struct *vma)
{
	return vma->vm_ops == som_tracked_ops;
}

/**
 * som_mapping_keeps_kind - does a VMA stay of the first kind whatever happens?
 * @mapping: its mapping
 *
 * When it comes to be tracked, or a child inherits it: so that every pin works, for writing,
 * too, where units become page-backed by policy. Those have entries that are dirty
 * where they are writable; 2 MiB entries without write access are only made writable by
 * mprotect() there (som_vma_mprotect()).
 *
 * Return: true if so.
 */
bool som_mapping_keeps_kind(const struct som_mapping *mapping)
{
	return mapping->auto_convert && mapping->map_size < PUD_SIZE &&
	       !som_kernel_asks_for_pages();
}

/**
 * som_vma_ready - can a scan track the memory of a som VMA?
 * @vma: the VMA
 *
 * Context: mmap_lock is held.
 * Return: true if so; otherwise som_vma_track() is to be called first.
 */
bool som_vma_ready(const struct vm_area_struct *vma)
{
	const struct som_mapping *mapping = som_vma_mapping(vma);

	return som_vma_tracked(vma) || mapping->page_backed ||
	       som_mapping_keeps_kind(mapping);
}
