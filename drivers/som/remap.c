// SPDX-License-Identifier: GPL-2.0
/*
 * Replace several VMAs by one for the same memory (SOM_MMAP_JOIN).
 *
 * The kernel splits a VMA where access to a part changes, and never merges VM_MIXEDMAP
 * VMAs. A program that changes access often would reach vm.max_map_count. It can ask the
 * driver to map a range again, with mmap(MAP_FIXED) at a special offset, in one hold of
 * mmap_lock:
 *
 *  1. The kernel calls ->get_unmapped_area. som_remap_prepare() checks all VMAs of the
 *     range and allocates the new mapping. This is the last step that can fail without
 *     effect.
 *  2. The kernel splits VMAs at both ends, clears all entries, flushes, and closes the
 *     VMAs. Before the first of their mappings is removed, som_remap_close() inserts the
 *     new one, so every unit always has a mapping.
 *  3. The kernel calls ->mmap, and som_remap_mmap() attaches the new mapping to the new
 *     VMA.
 *
 * If the kernel fails between 1 and 2, nothing has changed; a later call frees the mapping.
 * Between 2 and 3 it allocates a VMA. If that fails, the range is a hole, as after any
 * failed MAP_FIXED, and the next close or join, or the owner's end, frees the units.
 *
 * The number of the hold (som_mm_write_seq()) identifies leftovers, so that they are never
 * used. owner->lock guards owner->remap.
 *
 * Not chosen: a call that changes VMAs itself, as the kernel exports no function for that;
 * and VMAs that the kernel merges, which may have no ->close.
 */
#include <linux/interval_tree.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/slab.h>
#include "compat.h"
#include "map.h"
#include "mapping.h"
#include "remap.h"
#include "som_types.h"
#include "vma_kind.h"

/* Flags that the kernel sets for itself, in a new VMA, too. */
#define SOM_REMAP_OWN	(VM_SOFTDIRTY | VM_ACCOUNT)

/**
 * struct som_remap - VMA that is about to replace others
 * @mapping: its mapping.
 * @inserted: the mapping is in the owner's tree.
 * @seq: number of the hold of mmap_lock.
 * @addr: address of the VMA.
 * @first: first page offset.
 * @last: last page offset.
 * @file: vm_file of the VMAs; valid during the hold, while a VMA refers to it.
 * @flags: vm_flags of the VMAs, without SOM_REMAP_OWN.
 * @ask: som_vma_ask() was called for one of them.
 */
struct som_remap {
	struct som_mapping *mapping;
	bool inserted;
	unsigned int seq;
	unsigned long addr;
	unsigned long first;
	unsigned long last;
	struct file *file;
	vm_flags_t flags;
	bool ask;
};

static void free_remap(struct som_remap *remap)
{
	if (!remap)
		return;
	if (remap->inserted)
		som_mapping_unmap(remap->mapping);
	else
		kfree(remap->mapping);
	kfree(remap);
}

/* Free what a failed call has left. */
static void drop_remap(struct som_owner *owner)
{
	struct som_remap *remap;

	mutex_lock(&owner->lock);
	remap = owner->remap;
	WRITE_ONCE(owner->remap, NULL);
	mutex_unlock(&owner->lock);
	free_remap(remap);
}

/* Test whether a VMA can be joined to the one before it. */
static bool is_next(struct vm_area_struct *prev, struct vm_area_struct *vma,
		    vm_flags_t ignore)
{
	const struct som_mapping *a = prev->vm_private_data;
	const struct som_mapping *b = vma->vm_private_data;

	return vma->vm_start == prev->vm_end &&
	       vma->vm_pgoff == prev->vm_pgoff + vma_pages(prev) &&
	       vma->vm_file == prev->vm_file &&
	       !((vma->vm_flags ^ prev->vm_flags) & ~ignore) &&
	       a->private == b->private && a->map_size == b->map_size &&
	       a->page_backed == b->page_backed && a->reuse == b->reuse &&
	       a->fork == b->fork && a->generation == b->generation &&
	       a->limit == b->limit;
}

/* Check the VMAs of a range. Return: their number; 0 if they cannot be joined. */
static unsigned long look_at(struct som_owner *owner, unsigned long addr,
			     unsigned long end, struct som_remap *remap,
			     vm_flags_t ignore)
{
	struct vm_area_struct *vma, *prev = NULL;
	struct vma_iterator vmi;
	struct som_mapping *mapping;
	unsigned long nr = 0;

	remap->mapping->reserved = true;
	vma_iter_init(&vmi, owner->mm, addr);
	for_each_vma_range(vmi, vma, end) {
		mapping = som_vma_mapping(vma);
		if (!mapping || mapping->owner != owner || vma_policy(vma) ||
		    (prev ? !is_next(prev, vma, ignore) : vma->vm_start > addr))
			return 0;
		remap->ask |= som_vma_tracked(vma);
		remap->mapping->reserved &= mapping->reserved;
		/* More may count as written than was, never less. */
		remap->mapping->anew |= READ_ONCE(mapping->anew);
		if (!prev)
			remap->first = linear_page_index(vma, addr);
		prev = vma;
		nr++;
	}
	if (!prev || prev->vm_end < end)
		return 0;
	remap->last = linear_page_index(prev, end - 1);
	remap->file = prev->vm_file;
	remap->flags = prev->vm_flags & ~ignore;
	return nr;
}

/* Test whether VMAs other than the @nr of the range map its page offsets. */
static bool is_shown_twice(struct som_owner *owner, unsigned long first,
			   unsigned long last, unsigned long nr)
{
	struct interval_tree_node *it;

	if (!READ_ONCE(owner->may_alias))
		return false;
	mutex_lock(&owner->lock);
	for (it = interval_tree_iter_first(&owner->mappings, first, last); it && nr;
	     it = interval_tree_iter_next(it, first, last))
		nr--;
	mutex_unlock(&owner->lock);
	return it;
}

/**
 * som_remap_prepare - Check that a range can be mapped again as one VMA
 * @owner: owner
 * @addr: first address
 * @len: length in bytes, whole pages
 * @flags: MAP_ flags
 * @dodump: include the VMA in core dumps
 * Context: Process context; mmap_lock is held for write.
 * Return: 0; -EINVAL if it cannot; -ENOMEM.
 */
int som_remap_prepare(struct som_owner *owner, unsigned long addr,
		      unsigned long len, unsigned long flags, bool dodump)
{
	vm_flags_t ignore = SOM_REMAP_OWN | (dodump ? VM_DONTDUMP : 0);
	bool private = (flags & MAP_TYPE) == MAP_PRIVATE;
	struct som_mapping *mapping, *old;
	struct som_remap *remap;
	unsigned long end, nr;
	int ret = -EINVAL;

	mmap_assert_write_locked(owner->mm);

	if (!(flags & MAP_FIXED) || flags & MAP_FIXED_NOREPLACE ||
	    !PAGE_ALIGNED(addr) || check_add_overflow(addr, len, &end))
		return -EINVAL;
	drop_remap(owner);
	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	remap = kzalloc(sizeof(*remap), GFP_KERNEL_ACCOUNT);
	if (!mapping || !remap) {
		ret = -ENOMEM;
		goto out_free;
	}
	remap->mapping = mapping;
	nr = look_at(owner, addr, end, remap, ignore);
	if (!nr || is_shown_twice(owner, remap->first, remap->last, nr))
		goto out_free;
	old = som_vma_mapping(vma_lookup(owner->mm, addr));
	if (old->private != private)
		goto out_free;
	mapping->owner = owner;
	som_mapping_copy_settings(mapping, old);
	remap->addr = addr;
	remap->seq = som_mm_write_seq(owner->mm);
	mutex_lock(&owner->lock);
	WRITE_ONCE(owner->remap, remap);
	mutex_unlock(&owner->lock);
	return 0;

out_free:
	kfree(remap);
	kfree(mapping);
	return ret;
}

/**
 * som_remap_close - Keep the units of a VMA that is being replaced
 * @mapping: mapping of a VMA that is being closed
 * Context: ->close. Takes owner->lock.
 */
void som_remap_close(struct som_mapping *mapping)
{
	struct som_owner *owner = mapping->owner;
	struct som_remap *remap, *left = NULL;

	if (likely(!READ_ONCE(owner->remap)))
		return;
	mutex_lock(&owner->lock);
	remap = owner->remap;
	if (remap && remap->seq != som_mm_write_seq(owner->mm)) {
		left = remap;
		WRITE_ONCE(owner->remap, NULL);
	} else if (remap && !remap->inserted) {
		som_mapping_insert(remap->mapping, remap->first, remap->last);
		remap->inserted = true;
	}
	mutex_unlock(&owner->lock);
	free_remap(left);
}

/**
 * som_remap_mmap - Attach the prepared mapping to a new VMA
 * @owner: owner
 * @vma: new VMA
 * Context: ->mmap, with mmap_lock held for write since som_remap_prepare().
 * Return: 0; -EINVAL if @vma is not the prepared one.
 */
int som_remap_mmap(struct som_owner *owner, struct vm_area_struct *vma)
{
	struct som_remap *remap = owner->remap;
	struct som_mapping *mapping;

	if (!remap || !remap->inserted || remap->addr != vma->vm_start ||
	    remap->seq != som_mm_write_seq(vma->vm_mm) ||
	    remap->last - remap->first + 1 != vma_pages(vma))
		return -EINVAL;
	mutex_lock(&owner->lock);
	WRITE_ONCE(owner->remap, NULL);
	mutex_unlock(&owner->lock);
	mapping = remap->mapping;
	if (remap->file != owner->file)
		mapping->file = get_file(remap->file);
	mapping->vma = vma;
	vma_set_file(vma, remap->file);
	vma->vm_pgoff = remap->first;
	som_vma_take(vma, mapping, remap->flags, remap->ask);
	kfree(remap);
	return 0;
}

/**
 * som_remap_destroy - Free what a failed call has left
 * @owner: owner whose memory is not mapped
 * Context: Process context.
 */
void som_remap_destroy(struct som_owner *owner)
{
	drop_remap(owner);
}
