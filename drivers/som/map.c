// SPDX-License-Identifier: GPL-2.0
/*
 * Creation and removal of mappings, and of the units that they touch.
 *
 * Every mmap gets page offsets of its own (range.h). Splitting, moving and shrinking a VMA
 * keep its page offsets, and thus its units.
 *
 * Each VMA has a mapping, its interval of page offsets, in owner->mappings. The mapping is
 * removed when the VMA is closed, i.e. after its page table entries were cleared and the
 * TLB was flushed. So nothing maps a unit that no mapping touches, and the unit is freed at
 * once. If two parts of a unit are unmapped concurrently, the later close frees it.
 *
 * punch.c frees units below existing VMAs.
 */
#include <linux/bitmap.h>
#include <linux/file.h>
#include <linux/interval_tree.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "account.h"
#include "cache.h"
#include "compat.h"
#include "cow.h"
#include "dirty_log.h"
#include "entry.h"
#include "map.h"
#include "mapping.h"
#include "parcel.h"
#include "pool.h"
#include "range.h"
#include "reserve.h"
#include "som_types.h"
#include "tables.h"
#include "unit.h"

/*
 * Move units of a parcel to unused indices from @first on. Charge the pool only for indices
 * without a unit of the parcel: the units are charged already.
 */
static int claim_units(struct som_owner *owner, struct som_claim *claim,
		       unsigned long first, bool reservation)
{
	MA_STATE(mas, &owner->reserved, first, first + claim->nr - 1);
	struct som_account *payer = claim->parcel->account;
	unsigned long holes;
	int ret;

	lockdep_assert_held(&owner->lock);

	/* If users do not share chunks, units stay with their user. */
	if (!som_pool_same_user(payer->pool, owner->account->pool))
		return -EXDEV;
	ret = som_parcel_claim_begin(claim, &owner->tables, first);
	if (ret)
		return ret;
	ret = -ENOMEM;
	holes = reservation ? claim->nr - claim->nr_units : 0;
	if (!som_cache_transfer(payer, owner->account, claim->nr_units))
		goto out_abort;
	if (!som_cache_charge(owner->account, holes))
		goto out_return;
	ret = reservation ? som_mas_store(&mas, xa_mk_value(1), GFP_KERNEL_ACCOUNT) : 0;
	if (ret)
		goto out_uncharge;
	if (reservation)
		owner->nr_reserved += claim->nr;
	atomic_long_add(claim->nr_units, &owner->nr_level[SOM_LEVEL_NONE]);
	som_parcel_claim_end(claim, &owner->tables, first, SOM_LEVEL_NONE |
			     (reservation ? 0 : SOM_ENTRY_CHARGED));
	return 0;

out_uncharge:
	som_account_uncharge(owner->account, holes);
out_return:
	som_account_return(payer, owner->account, claim->nr_units);
out_abort:
	som_parcel_claim_abort(claim);
	return ret;
}

/* Test whether a mapping touches an index of the table that contains @idx. */
static bool table_touched(struct som_owner *owner, unsigned long idx)
{
	unsigned long first = round_down(idx, SOM_TABLE_UNITS);

	return interval_tree_iter_first(&owner->mappings, som_index_pgoff(first),
					som_index_pgoff(first + SOM_TABLE_UNITS) - 1);
}

/* Free the tables of first..last that no mapping needs. */
static void prune_tables(struct som_owner *owner, unsigned long first,
			 unsigned long last)
{
	if (table_touched(owner, first))
		first = round_down(first, SOM_TABLE_UNITS) + SOM_TABLE_UNITS;
	if (first <= last && table_touched(owner, last))
		last = round_down(last, SOM_TABLE_UNITS) - 1;
	if (first <= last)
		som_tables_prune(&owner->tables, first, last);
}

/*
 * Test whether SOM_IOC_PACK of the current task closes this mapping's VMA. A mapping left
 * over from a failed call (remap.c) has no VMA.
 */
static bool mapping_packed(const struct som_mapping *mapping)
{
	const struct som_packing *packing = mapping->owner->packing;

	return packing && packing->task == current && mapping->vma;
}

/* Free all units in first..last, which no mapping touches. */
static void release_units(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	unsigned long idx = first, charges = 0;
	void *batch[SOM_BATCH];
	unsigned int nr;

	lockdep_assert_held(&owner->lock);

	som_cow_drop(owner, first, last);
	if (unlikely(owner->packing && owner->packing->active))
		charges -= som_parcel_take(owner->packing, first, last);
	if (owner->cow.has_child)
		charges -= som_cow_leave(owner, first, last);
	do {
		nr = som_tables_take(&owner->tables, &idx, last, batch, SOM_BATCH);
		som_entries_forget(owner, batch, nr);
		charges += som_entries_charged(batch, nr);
		charges -= som_entries_put(owner, batch, nr, true);
		cond_resched();
	} while (nr == SOM_BATCH);
	prune_tables(owner, first, last);
	if (owner->dirty_log.on)
		som_dirty_log_remove(&owner->dirty_log, first, last);
	charges += som_unreserve_units(owner, first, last);
	som_account_uncharge(owner->account, charges);
}

/* Free the units in first..last that no mapping touches. */
static void release_untouched(struct som_owner *owner, unsigned long first,
			      unsigned long last)
{
	unsigned long lo = som_index_pgoff(first);
	unsigned long hi = som_index_pgoff(last + 1) - 1;
	struct interval_tree_node *it;

	for (it = interval_tree_iter_first(&owner->mappings, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		unsigned long from = som_pgoff_index(it->start);

		cond_resched();
		if (from > first)
			release_units(owner, first, from - 1);
		first = max(first, som_pgoff_index(it->last) + 1);
		if (first > last)
			return;
	}
	release_units(owner, first, last);
}

/**
 * som_mapping_insert - Add a mapping to its owner's tree
 * @mapping: mapping
 * @first: its first page offset
 * @last: its last page offset
 * Context: owner->lock is held.
 */
void som_mapping_insert(struct som_mapping *mapping, unsigned long first,
			unsigned long last)
{
	lockdep_assert_held(&mapping->owner->lock);

	mapping->it.start = first;
	mapping->it.last = last;
	spin_lock(&mapping->owner->mapping_lock);
	interval_tree_insert(&mapping->it, &mapping->owner->mappings);
	spin_unlock(&mapping->owner->mapping_lock);
	mapping->owner->mapped_pages += last - first + 1;
	mapping->owner->nr_mappings++;
}

static void mapping_remove(struct som_mapping *mapping)
{
	mapping->table = NULL;
	mapping->owner->mapped_pages -= mapping->it.last - mapping->it.start + 1;
	mapping->owner->nr_mappings--;
	spin_lock(&mapping->owner->mapping_lock);
	interval_tree_remove(&mapping->it, &mapping->owner->mappings);
	spin_unlock(&mapping->owner->mapping_lock);
}

/*
 * Reuse the page offsets after the last mapping, once half of all are used, unless they may
 * still be punched: by a MADV_REMOVE that began before the last munmap, or by a call of the
 * driver. Either holds a reference to the owner's file beyond the known ones (one for each
 * mapping and open file, and the caller's). Neither can begin now, as mmap_lock is held for
 * write.
 *
 * Inherited files are not counted, so a child never reuses page offsets.
 */
static void rewind_cursor(struct som_owner *owner)
{
	struct rb_node *last = rb_last(&owner->mappings.rb_root);
	unsigned long cursor = owner->floor;

	lockdep_assert_held(&owner->lock);
	mmap_assert_write_locked(owner->mm);

	if (!list_empty(&owner->inherited_files) ||
	    file_count(owner->file) != owner->nr_mappings + 1 +
				       atomic_long_read(&owner->nr_files))
		return;
	if (last)
		cursor = max(cursor, rb_entry(last, struct som_mapping,
					      it.rb)->limit);
	owner->cursor = min(owner->cursor, cursor);
}

/**
 * som_mapping_map - Allot page offsets to a new mapping
 * @owner: owner
 * @addr: address
 * @len: length in bytes
 * @reservation: reserve the units that it touches
 * @private: MADV_DONTNEED discards
 * @claim: part of a parcel, of the same length, whose units it gets; or NULL
 * Context: Process context; takes owner->lock. The caller has mmap_lock for write, and one
 * reference to the owner.
 * Return: the mapping; ERR_PTR(-ENOMEM) if the pool cannot reserve the units, the page
 * offsets are used up, or there is no memory; ERR_PTR(-EXDEV) if the parcel is another
 * user's; or an error of som_parcel_claim_begin().
 */
struct som_mapping *som_mapping_map(struct som_owner *owner, unsigned long addr,
				    unsigned long len, bool reservation, bool private,
				    struct som_claim *claim)
{
	struct som_allotment allot;
	struct som_mapping *mapping;
	unsigned long last;
	int ret;

	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return ERR_PTR(-ENOMEM);

	mutex_lock(&owner->lock);
	if (unlikely(owner->cursor > SOM_OFFSET_PAGES / 2))
		rewind_cursor(owner);
	ret = som_allot(owner->cursor, addr, len, &allot);
	if (ret)
		goto out_unlock;
	last = allot.start + (len >> PAGE_SHIFT) - 1;
	if (claim)
		ret = claim_units(owner, claim, som_pgoff_index(allot.start),
				  reservation);
	else if (reservation)
		ret = som_reserve_units(owner, som_pgoff_index(allot.start),
					som_pgoff_index(last));
	if (ret)
		goto out_prune;
	mapping->owner = owner;
	mapping->limit = allot.limit;
	mapping->reserved = reservation;
	mapping->private = private;
	mapping->anew = som_seen_any(&owner->dirty_log.seen, addr, addr + len);
	if (mapping->anew)
		WRITE_ONCE(owner->dirty_log.anew, true);
	som_mapping_insert(mapping, allot.start, last);
	owner->cursor = allot.limit;
	mutex_unlock(&owner->lock);
	return mapping;

out_prune:
	/* The claim may have allocated tables. */
	if (claim)
		prune_tables(owner, som_pgoff_index(allot.start),
			     som_pgoff_index(last));
out_unlock:
	mutex_unlock(&owner->lock);
	kfree(mapping);
	return ERR_PTR(ret);
}

/*
 * Test whether mremap extends what it moves. To move part of a VMA, the kernel calls
 * ->may_split first; the rest remains at other addresses, and is not part of the move.
 */
static bool mapping_grows(struct som_mapping *old, unsigned long first,
			  unsigned long last)
{
	unsigned long end = old->it.last;

	if (old->cut_seq == som_mm_write_seq(old->owner->mm) && old->cut > first)
		end = min(end, old->cut - 1);
	return last > end;
}

/* Test whether other mappings have taken over all of a private mapping. */
static bool mapping_left(struct som_mapping *mapping)
{
	bool superseded;

	return som_mapping_run(mapping, mapping->it.start, mapping->it.last,
			       &superseded) == mapping->it.last && superseded;
}

/* Wait for faults that have found their index tracked and are making its region. */
static void wait_for_faults(struct som_owner *owner)
{
	unsigned int i;

	for (i = 0; i < SOM_FAULT_LOCKS; i++)
		mutex_unlock(som_owner_lock_index(owner, i));
}

/**
 * som_owner_untrack - Stop tracking
 * @owner: owner
 * @first: first unit index
 * @last: last unit index
 *
 * A concurrent fault that has found its index tracked holds the index's fault_lock until it
 * has made a region; wait for such faults before the regions are removed.
 * Context: Process context; owner->lock is held.
 */
void som_owner_untrack(struct som_owner *owner, unsigned long first,
		       unsigned long last)
{
	struct som_region *region;
	struct mutex *lock;
	unsigned long idx;

	som_dirty_log_end(&owner->dirty_log, first, last);
	wait_for_faults(owner);
	xa_for_each_range(&owner->dirty_log.regions, idx, region, first, last) {
		lock = som_owner_lock_index(owner, idx);
		som_dirty_log_remove(&owner->dirty_log, idx, idx);
		mutex_unlock(lock);
		cond_resched();
	}
}

/* Mark pages of an index that is partly mapped elsewhere as written, populated or not. */
static void part_anew(struct som_owner *owner, unsigned long idx,
		      unsigned long first, unsigned long last)
{
	struct som_dirty_log *t = &owner->dirty_log;
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES) = {};
	unsigned long lo = max(first, som_index_pgoff(idx));
	unsigned long hi = min(last, som_index_pgoff(idx + 1) - 1);
	struct mutex *lock = som_owner_lock_index(owner, idx);

	bitmap_set(pages, lo - som_index_pgoff(idx), hi - lo + 1);
	if (som_dirty_log_find(t, idx))
		som_dirty_log_wrote(t, idx, lo - som_index_pgoff(idx), hi - lo + 1);
	else if (som_dirty_log_tracks(t, idx) &&
		 !som_tables_load(&owner->tables, idx))
		som_dirty_log_unreported(t, idx, pages,
					 GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	mutex_unlock(lock);
}

/*
 * Mark page offsets as written that mremap is about to show at addresses where a scan has
 * seen other contents. This includes their old addresses, as the dirty log cannot tell two
 * mappings of a page apart. Tracking of whole units starts over. A unit at either end that
 * other mappings share stays tracked: mark only its pages in the range.
 */
static void mapping_moved(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	unsigned long from = som_pgoff_index(first + SOM_UNIT_PAGES - 1);
	unsigned long behind = som_pgoff_index(last + 1);
	struct interval_tree_node *it;

	lockdep_assert_held(&owner->lock);

	WRITE_ONCE(owner->dirty_log.anew, true);
	for (it = interval_tree_iter_first(&owner->mappings, first, last); it;
	     it = interval_tree_iter_next(it, first, last)) {
		WRITE_ONCE(container_of(it, struct som_mapping, it)->anew, true);
		cond_resched();
	}
	if (from < behind)
		som_owner_untrack(owner, from, behind - 1);
	if (first < som_index_pgoff(from))
		part_anew(owner, from - 1, first, last);
	if (last >= som_index_pgoff(behind) && behind >= from)
		part_anew(owner, behind, first, last);
}

/**
 * som_mapping_copy_settings - Copy the settings of a mapping to one that continues it
 * @mapping: new mapping
 * @old: old mapping
 *
 * The caller sets owner, reservation and file, which depend on the reason.
 * Context: mmap_lock of the old mapping's owner is held for write.
 */
void som_mapping_copy_settings(struct som_mapping *mapping, const struct som_mapping *old)
{
	mapping->limit = old->limit;
	mapping->generation = old->generation;
	mapping->private = old->private;
	mapping->map_size = old->map_size;
	mapping->page_backed = old->page_backed;
	mapping->reuse = old->reuse;
	mapping->fork = old->fork;
	mapping->auto_convert = old->auto_convert;
}

/**
 * som_mapping_dup - Create a mapping for a second VMA of page offsets
 * @old: mapping of the first VMA
 * @addr: address of the second VMA
 * @first: its first page offset
 * @last: its last page offset
 * @split: the first VMA loses these page offsets, at one of its ends, to the second
 * Context: Process context; takes owner->lock. The caller has mmap_lock for write.
 * Return: the new mapping.
 */
struct som_mapping *som_mapping_dup(struct som_mapping *old, unsigned long addr,
				    unsigned long first, unsigned long last,
				    bool split)
{
	struct som_owner *owner = old->owner;
	struct som_mapping *mapping;

	/* vm_ops->open cannot fail. */
	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	mapping->owner = owner;
	som_mapping_copy_settings(mapping, old);
	mapping->reserved = old->reserved;
	mapping->anew = old->anew;
	mapping->generation += !(split || mapping_left(old));
	if (old->file)
		mapping->file = get_file(old->file);

	mutex_lock(&owner->lock);
	if (split) {
		unsigned long start = old->it.start, end = old->it.last;

		mapping->dup = old->dup;
		mapping->dup_seq = old->dup_seq;
		mapping_remove(old);
		if (first == start)
			som_mapping_insert(old, last + 1, end);
		else
			som_mapping_insert(old, start, first - 1);
	} else {
		mapping->grown = mapping_grows(old, first, last);
		/* If it is longer, the new part needs som_mapping_reserve(). */
		mapping->reserved &= last <= old->it.last;
		mapping->dup = true;
		mapping->dup_seq = som_mm_write_seq(owner->mm);
		WRITE_ONCE(owner->may_alias, true);
	}
	som_mapping_insert(mapping, first, last);
	if (!split && som_seen_any(&owner->dirty_log.seen, addr, addr +
				   ((last - first + 1) << PAGE_SHIFT)))
		mapping_moved(owner, first, last);
	mutex_unlock(&owner->lock);
	return mapping;
}

/*
 * Mark pages as written that a removed mapping shared with others: its dirty bits are lost.
 * At the end of mremap's move the entries were handed to the new mapping, made in the same
 * hold of mmap_lock; skip it. Mark each page once: the tree yields the others by first page
 * offset.
 */
static void mapping_unalias(struct som_mapping *mapping)
{
	struct som_owner *owner = mapping->owner;
	unsigned long lo = mapping->it.start, hi = mapping->it.last, next = lo;
	struct interval_tree_node *it;

	if (!owner->may_alias || !owner->dirty_log.on)
		return;
	for (it = interval_tree_iter_first(&owner->mappings, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		struct som_mapping *other = container_of(it, struct som_mapping, it);
		unsigned long first = max(next, it->start);
		unsigned long last = min(hi, it->last);

		if (first > last || (other->dup &&
				     other->dup_seq == som_mm_write_seq(owner->mm)))
			continue;
		som_owner_wrote(owner, first, last);
		if (last == hi)
			break;
		next = last + 1;
	}
}

/**
 * som_mapping_inherit - Create a mapping for a child's VMA
 * @from: mapping of the parent's VMA
 * @owner: the child
 * Context: Process context; takes the child's owner->lock. mmap_lock of both address spaces
 * is held for write.
 * Return: the mapping, or ERR_PTR(-ENOMEM).
 */
struct som_mapping *som_mapping_inherit(struct som_mapping *from,
					struct som_owner *owner)
{
	unsigned long first = from->it.start, last = from->it.last;
	struct som_mapping *mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	int ret = 0;

	if (!mapping)
		return ERR_PTR(-ENOMEM);
	mapping->owner = owner;
	som_mapping_copy_settings(mapping, from);
	mapping->reserved = from->reserved && from->fork == SOM_FORK_COPY;
	mapping->dup = from->dup;
	mapping->dup_seq = som_mm_write_seq(owner->mm) - 1;

	mutex_lock(&owner->lock);
	if (mapping->reserved)
		ret = som_reserve_units(owner, som_pgoff_index(first),
					som_pgoff_index(last));
	if (!ret) {
		som_mapping_insert(mapping, first, last);
		owner->cursor = from->owner->cursor;
		owner->floor = owner->cursor;
		from->owner->floor = owner->cursor;
		owner->may_alias = from->owner->may_alias;
	}
	mutex_unlock(&owner->lock);
	if (ret) {
		kfree(mapping);
		return ERR_PTR(ret);
	}
	return mapping;
}

/**
 * som_mapping_unmap - Free a mapping, and the units that no other mapping touches
 * @mapping: mapping of a VMA that is gone
 * Context: Process context; takes owner->lock. The VMA's page table entries are cleared and
 * the TLB is flushed.
 */
void som_mapping_unmap(struct som_mapping *mapping)
{
	struct som_owner *owner = mapping->owner;

	mutex_lock(&owner->lock);
	mapping_remove(mapping);
	mapping_unalias(mapping);
	if (unlikely(mapping_packed(mapping))) {
		som_packing_vma(owner->packing, mapping->vma);
		owner->packing->active = true;
		owner->packing->done = true;
	}
	release_untouched(owner, som_pgoff_index(mapping->it.start),
			  som_pgoff_index(mapping->it.last));
	if (unlikely(owner->packing))
		owner->packing->active = false;
	if (RB_EMPTY_ROOT(&owner->mappings.rb_root) &&
	    !atomic_read(&owner->mm->mm_users))
		som_cow_unlink(owner);
	mutex_unlock(&owner->lock);
	if (mapping->file)
		fput(mapping->file);
	kfree(mapping);
}

/**
 * som_mapping_reserve - Reserve units of a mapping that are not yet reserved
 * @mapping: mapping
 * @first: first page offset
 * @last: last page offset
 * Context: Process context; takes owner->lock. The caller has mmap_lock for write.
 * Return: 0; -ENOMEM: nothing is changed.
 */
int som_mapping_reserve(struct som_mapping *mapping, unsigned long first,
			unsigned long last)
{
	struct som_owner *owner = mapping->owner;
	int ret;

	mutex_lock(&owner->lock);
	ret = som_reserve_units(owner, som_pgoff_index(first), som_pgoff_index(last));
	if (!ret && first <= mapping->it.start && last >= mapping->it.last)
		mapping->reserved = true;
	mutex_unlock(&owner->lock);
	return ret;
}
