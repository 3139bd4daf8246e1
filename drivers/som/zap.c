// SPDX-License-Identifier: GPL-2.0
/*
 * Zaps: clear page table entries and flush the TLB.
 *
 * If an owner has private mappings, its MMU notifier must distinguish
 * madvise(MADV_DONTNEED), which discards memory, from the driver's zaps, which must not. So
 * each zap of the driver has a marker that names its task. A MADV_DONTNEED in which the
 * kernel may split a huge entry has one, too, as the split also calls the notifier.
 *
 * Each owner has a list of markers. A zap's marker is on its stack. The marker of a
 * MADV_DONTNEED must live from one notifier call to the next, so it is taken from a small
 * array, and tasks wait for a free one. A task that has one is clearing page tables and
 * does not wait for som, so the wait ends.
 */
#include <linux/fs.h>
#include <linux/interval_tree_generic.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include "entry.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "zap.h"

/**
 * som_zaps_init - Initialise the zaps of an owner
 * @zaps: the zaps
 */
void som_zaps_init(struct som_zaps *zaps)
{
	spin_lock_init(&zaps->lock);
	INIT_LIST_HEAD(&zaps->markers);
	init_waitqueue_head(&zaps->wait);
}

/* Add a marker of the current task. */
static void begin(struct som_zaps *zaps, struct som_zap_marker *marker)
{
	marker->task = current;
	spin_lock(&zaps->lock);
	list_add(&marker->list, &zaps->markers);
	spin_unlock(&zaps->lock);
}

static void end(struct som_zaps *zaps, struct som_zap_marker *marker)
{
	spin_lock(&zaps->lock);
	list_del(&marker->list);
	spin_unlock(&zaps->lock);
}

/* Find the marker of a task's MADV_DONTNEED, or an unused one. */
static struct som_zap_marker *zap_find_part(struct som_zaps *zaps,
					    struct task_struct *task,
					    unsigned long start, unsigned long end)
{
	struct som_zap_marker *marker;

	lockdep_assert_held(&zaps->lock);

	for (marker = zaps->parts; marker < zaps->parts + SOM_ZAP_PARTS; marker++) {
		if (marker->task == task && marker->start == start &&
		    marker->end == end)
			return marker;
	}
	return NULL;
}

static bool try_begin_part(struct som_zaps *zaps, unsigned long start,
			   unsigned long end)
{
	struct som_zap_marker *marker;

	spin_lock(&zaps->lock);
	marker = zap_find_part(zaps, NULL, 0, 0);
	if (marker) {
		marker->task = current;
		marker->start = start;
		marker->end = end;
		list_add(&marker->list, &zaps->markers);
	}
	spin_unlock(&zaps->lock);
	return marker;
}

/**
 * som_zaps_begin_part - Mark a MADV_DONTNEED that may split huge entries
 * @zaps: the zaps of an owner
 * @start: first address
 * @end: end address, exclusive
 * Context: Process context; waits for an unused marker.
 */
void som_zaps_begin_part(struct som_zaps *zaps, unsigned long start,
			 unsigned long end)
{
	wait_event(zaps->wait, try_begin_part(zaps, start, end));
}

/**
 * som_zaps_end_part - Remove the marker of a MADV_DONTNEED, if it has one
 * @zaps: the zaps of an owner
 * @start: as in som_zaps_begin_part()
 * @end: as in som_zaps_begin_part()
 * Context: Process context. Cheap if there are no markers.
 */
void som_zaps_end_part(struct som_zaps *zaps, unsigned long start,
		       unsigned long end)
{
	struct som_zap_marker *marker;

	/* If this call has a marker, this task has added it: no lock is needed. */
	if (list_empty(&zaps->markers))
		return;
	spin_lock(&zaps->lock);
	marker = zap_find_part(zaps, current, start, end);
	if (marker) {
		list_del(&marker->list);
		marker->task = NULL;
		marker->start = 0;
		marker->end = 0;
	}
	spin_unlock(&zaps->lock);
	if (marker)
		wake_up(&zaps->wait);
}

/**
 * som_zaps_mine - Test whether the current task is inside a marked zap
 * @zaps: the zaps of an owner
 * Context: Any. Cheap if there are no markers.
 * Return: true if it is.
 */
bool som_zaps_mine(struct som_zaps *zaps)
{
	struct som_zap_marker *marker;
	bool mine = false;

	/* The task sees its own markers; concurrent changes by others do not matter. */
	if (list_empty(&zaps->markers))
		return false;
	spin_lock(&zaps->lock);
	list_for_each_entry(marker, &zaps->markers, list) {
		mine = marker->task == current;
		if (mine)
			break;
	}
	spin_unlock(&zaps->lock);
	return mine;
}

/*
 * Test whether a page offset is mapped by a 1 GiB entry. The page offset's own unit may
 * have been removed or replaced, but no other unit of the GiB: check them all.
 */
static bool in_pud(struct som_owner *owner, unsigned long pgoff)
{
	unsigned long first = round_down(som_pgoff_index(pgoff), SOM_CHUNK_UNITS);
	unsigned long idx;
	void *entry;

	som_tables_for_each(&owner->tables, idx, entry, first,
			    first + SOM_CHUNK_UNITS - 1) {
		if (som_entry_level(entry) == SOM_LEVEL_1G)
			return true;
	}
	return false;
}

/* A 1 GiB entry cannot be zapped in part (pud.c): extend the range to all of it. */
static void widen(struct som_owner *owner, unsigned long *first,
		  unsigned long *last)
{
	if (in_pud(owner, *first))
		*first = round_down(*first, SOM_CHUNK_PAGES);
	if (in_pud(owner, *last))
		*last = round_up(*last + 1, SOM_CHUNK_PAGES) - 1;
}

/*
 * Clear the level of units whose 1 GiB entry was zapped. Do it after the zap, as a
 * concurrent one relies on the level. An entry that has changed meanwhile has a smaller
 * page table entry already, or is corrected by the next zap.
 */
static void puds_gone(struct som_owner *owner, unsigned long first,
		      unsigned long last)
{
	unsigned long idx;
	void *entry, *gone;

	som_tables_for_each(&owner->tables, idx, entry, som_pgoff_index(first),
			    som_pgoff_index(last)) {
		if (som_entry_level(entry) != SOM_LEVEL_1G)
			continue;
		gone = som_entry(som_entry_unit(entry),
				 som_entry_bits(entry) & ~SOM_ENTRY_LEVEL);
		if (som_tables_change(&owner->tables, idx, entry, gone) != entry)
			continue;
		atomic_long_dec(&owner->nr_level[SOM_LEVEL_1G]);
		atomic_long_inc(&owner->nr_level[SOM_LEVEL_NONE]);
	}
}

static inline unsigned long vma_first_pgoff(struct vm_area_struct *vma)
{
	return vma->vm_pgoff;
}

static inline unsigned long vma_last_pgoff(struct vm_area_struct *vma)
{
	return vma->vm_pgoff + vma_pages(vma) - 1;
}

/* The VMAs of an address_space; the kernel does not export its own iterators. */
INTERVAL_TREE_DEFINE(struct vm_area_struct, shared.rb, unsigned long,
		     shared.rb_subtree_last, vma_first_pgoff, vma_last_pgoff,
		     static __maybe_unused, som_vma_tree)

/*
 * Zap the owner's VMAs only: the address_space also has those of its parent and children,
 * which map units of their own. i_mmap_rwsem keeps the VMAs and their page tables, as in
 * unmap_mapping_pages().
 */
static void zap_mapping(struct som_owner *owner, struct address_space *mapping,
			unsigned long first, unsigned long last)
{
	struct vm_area_struct *vma;

	i_mmap_lock_read(mapping);
	for (vma = som_vma_tree_iter_first(&mapping->i_mmap, first, last); vma;
	     vma = som_vma_tree_iter_next(vma, first, last)) {
		unsigned long lo = max(first, vma_first_pgoff(vma));
		unsigned long hi = min(last, vma_last_pgoff(vma));

		if (vma->vm_mm != owner->mm)
			continue;
		zap_page_range_single(vma, vma->vm_start +
				      ((lo - vma->vm_pgoff) << PAGE_SHIFT),
				      (hi - lo + 1) << PAGE_SHIFT, NULL);
	}
	i_mmap_unlock_read(mapping);
}

/* Zap inherited mappings, which belong to other inodes than the owner's. */
static noinline void zap_of_parent(struct som_owner *owner,
				   unsigned long first, unsigned long last)
{
	struct som_inherited_file *inherited;

	list_for_each_entry(inherited, &owner->inherited_files, list) {
		if (first < inherited->limit)
			zap_mapping(owner, inherited->inode->i_mapping, first,
				    min(last, inherited->limit - 1));
	}
}

/**
 * som_zap - Clear all page table entries of page offsets and flush the TLB
 * @owner: owner
 * @pgoff: first page offset
 * @nr: number of pages
 *
 * The memory stays in the owner's tables, and the next access maps it again. Parents and
 * children keep their entries.
 * Context: Process context. To prevent a 1 GiB entry from being made meanwhile, owner->lock
 * or a fault_lock is held, or the VMAs are locked for write.
 */
void som_zap(struct som_owner *owner, unsigned long pgoff, unsigned long nr)
{
	bool puds = atomic_long_read(&owner->nr_level[SOM_LEVEL_1G]);
	bool marked = READ_ONCE(owner->notified);
	unsigned long last = pgoff + nr - 1;
	struct som_zap_marker marker;

	if (puds)
		widen(owner, &pgoff, &last);
	if (marked)
		begin(&owner->zaps, &marker);
	zap_mapping(owner, owner->file->f_mapping, pgoff, last);
	if (unlikely(!list_empty(&owner->inherited_files)))
		zap_of_parent(owner, pgoff, last);
	if (marked)
		end(&owner->zaps, &marker);
	if (puds)
		puds_gone(owner, pgoff, last);
}
