// SPDX-License-Identifier: GPL-2.0
/*
 * Units of an owner: look-up, allocation, settling.
 *
 * owner->tables maps a unit's index (page offset >> 9) to its entry. To settle a unit is to
 * complete a MADV_DONTNEED: zero the unit, or replace it if it is pinned, and update its
 * region. som_owner_lock_unit() locks an index and settles its unit.
 */
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/sched.h>
#include "account.h"
#include "cache.h"
#include "cow.h"
#include "dirty_log.h"
#include "entry.h"
#include "numa.h"
#include "page_backed.h"
#include "pool.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "unit.h"
#include "zap.h"

/*
 * Replace a discarded unit that may be pinned: the pin must keep seeing the old data. The
 * old unit waits in owner->deferred_free for som_owner_release_discarded() or the owner's
 * end, as another task may have cleared an entry but not flushed the TLB. It is stored
 * there last, when no entry refers to it: the consumer takes mmap_lock, which does not
 * exclude a fault that holds only the VMA lock.
 * Return: 0; -EDQUOT if there is no charge, so the unit must be zeroed in place; -EAGAIN or
 * -ENOMEM, and the unit stays discarded.
 */
static int owner_settle_pinned(struct som_owner *owner, unsigned long idx,
			       void *entry)
{
	bool pages = som_entry_test(entry, SOM_ENTRY_PAGE_BACKED);
	som_unit_t old = som_entry_unit(entry), unit;
	int ret = -ENOMEM;

	/*
	 * The new unit uses the reservation. The pool may quarantine the old one for long,
	 * so charge for it, unless it is page-backed.
	 */
	if (!pages && !som_cache_charge(owner->account, 1))
		return -EDQUOT;
	if (xa_reserve(&owner->deferred_free, som_unit_nr(old), GFP_KERNEL_ACCOUNT))
		goto out_uncharge;
	ret = -EAGAIN;
	unit = som_pool_alloc(owner->account->pool, som_unit_nid(old), NULL);
	if (som_unit_failed(unit))
		goto out_release;
	som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
	som_entry_replace(owner, idx, unit, ~SOM_ENTRY_CHARGED, SOM_LEVEL_NONE);
	xa_store(&owner->deferred_free, som_unit_nr(old),
		 som_entry(old, pages ? SOM_ENTRY_PAGE_BACKED : SOM_ENTRY_CHARGED),
		 GFP_NOWAIT);
	return 0;

out_release:
	xa_release(&owner->deferred_free, som_unit_nr(old));
out_uncharge:
	if (!pages)
		som_account_uncharge(owner->account, 1);
	return ret;
}

/* Test whether a discarded unit may be pinned. Its fault_lock is held. */
static bool discarded_pinned(struct som_owner *owner, unsigned long idx,
			     void *entry)
{
	/* Page table entries, too, hold references to pages. */
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED))
		som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
	return som_entry_pinned(entry);
}

/* Settle the unit at an index. Its fault_lock is held. */
static void owner_settle_unit(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_tables_load(&owner->tables, idx);
	unsigned long seen;
	int ret = -EDQUOT;

	if (!entry)
		return;
	/* Bits set from here on are left for the next call. */
	seen = som_entry_bits(entry) & (SOM_ENTRY_DISCARDED | SOM_ENTRY_ZEROED);
	if (!seen)
		return;
	/* The unit stays discarded: som_owner_lookup() and som_owner_unit() fail. */
	if (som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    som_cow_break(owner, idx))
		return;
	/*
	 * A concurrent MADV_DONTNEED may not have cleared its entries: writes
	 * through them from now on would reach memory that counts as clean.
	 */
	if (som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    mm_tlb_flush_pending(owner->mm))
		som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
	if (som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    discarded_pinned(owner, idx, entry))
		ret = owner_settle_pinned(owner, idx, entry);
	/* Do not zero failed memory; the worker removes it. */
	if (ret && som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    som_pool_poisoned(som_entry_unit(entry)))
		return;
	if (ret == -EDQUOT) {
		som_entry_change(owner, idx, seen, 0);
		if (seen & SOM_ENTRY_DISCARDED)
			som_unit_zero(som_entry_unit(entry));
	} else if (ret) {
		return;
	}
	if (seen & SOM_ENTRY_DISCARDED)
		som_dirty_log_settled(&owner->dirty_log, idx);
	else
		som_dirty_log_wrote(&owner->dirty_log, idx, 0, SOM_UNIT_PAGES);
}

/**
 * som_owner_lock_unit - Lock a unit index and settle its unit
 * @owner: owner
 * @idx: unit index
 * Context: Process context; takes a fault_lock.
 * Return: the mutex, for mutex_unlock().
 */
struct mutex *som_owner_lock_unit(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);

	if (unlikely(READ_ONCE(owner->discards)))
		owner_settle_unit(owner, idx);
	return lock;
}

/**
 * som_owner_lock_look - Lock a unit index; settle its unit unless it is discarded
 * @owner: owner
 * @idx: unit index
 *
 * For callers that treat a discarded unit as absent: som_owner_lookup() returns -EAGAIN.
 * Context: Process context; takes a fault_lock.
 * Return: the mutex, for mutex_unlock().
 */
struct mutex *som_owner_lock_look(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);
	void *entry;

	if (unlikely(READ_ONCE(owner->discards))) {
		entry = som_tables_load(&owner->tables, idx);
		if (entry && !som_entry_test(entry, SOM_ENTRY_DISCARDED))
			owner_settle_unit(owner, idx);
	}
	return lock;
}

/**
 * som_owner_wrote - Mark tracked pages as written
 * @owner: owner
 * @first: first page offset
 * @last: last page offset
 *
 * Marks existing regions only: pages without a region count as written anyway. Discarded
 * units stay discarded.
 * Context: Process context; takes fault_locks. mmap_lock is held, or the VMA is gone.
 */
void som_owner_wrote(struct som_owner *owner, unsigned long first,
		     unsigned long last)
{
	struct som_region *region;
	unsigned long idx;

	xa_for_each_range(&owner->dirty_log.regions, idx, region,
			  som_pgoff_index(first), som_pgoff_index(last)) {
		struct mutex *lock = som_owner_lock_look(owner, idx);
		unsigned long lo = max(first, som_index_pgoff(idx));
		unsigned long hi = min(last, som_index_pgoff(idx + 1) - 1);

		som_dirty_log_wrote(&owner->dirty_log, idx,
				    lo - som_index_pgoff(idx), hi - lo + 1);
		mutex_unlock(lock);
		cond_resched();
	}
}

/*
 * Mark the region of a discarded unit. MADV_DONTNEED may not have cleared the entries yet;
 * later reads must return zeroes.
 */
static void owner_settle_region(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);
	void *entry = som_tables_load(&owner->tables, idx);
	struct som_region *region = som_dirty_log_find(&owner->dirty_log, idx);

	if (region && !region->discarded && entry &&
	    som_entry_test(entry, SOM_ENTRY_DISCARDED)) {
		som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
		som_dirty_log_discarded(&owner->dirty_log, idx);
	}
	mutex_unlock(lock);
}

/**
 * som_owner_settle - Update regions of memory that MADV_DONTNEED zeroed or discarded
 * @owner: owner
 * @first: first unit index
 * @last: last unit index
 *
 * For callers that look at regions only. May also update other regions of the same tables.
 * Context: Process context; takes fault_locks. Cheap without such a MADV_DONTNEED since the
 * last call.
 * Return: last index done: @last, or less if there was too much to do.
 */
unsigned long som_owner_settle(struct som_owner *owner, unsigned long first,
			       unsigned long last)
{
	unsigned long idx = round_down(first, SOM_TABLE_UNITS);
	unsigned long end = last | (SOM_TABLE_UNITS - 1);
	unsigned int nr = 0;
	void *entry;

	if (!READ_ONCE(owner->discards))
		return last;
	for (; (entry = som_tables_find_hinted(&owner->tables, &idx, end,
					       SOM_HINT_UNTOLD)); idx++) {
		if (som_entry_test(entry, SOM_ENTRY_DISCARDED))
			owner_settle_region(owner, idx);
		else if (som_entry_test(entry, SOM_ENTRY_ZEROED))
			mutex_unlock(som_owner_lock_unit(owner, idx));
		/* Finish the table: its hint is cleared. */
		if (++nr == SOM_TRACK_UNITS)
			end = min(end, idx | (SOM_TABLE_UNITS - 1));
		cond_resched();
	}
	return min(last, end);
}

/**
 * som_owner_lookup - Return the unit at an index
 * @owner: owner
 * @idx: unit index
 *
 * The memory may have failed: callers that read it check som_pool_poisoned().
 * Context: som_owner_lock_unit() is held.
 * Return: unit number; -ENOENT if there is none; -EAGAIN if it is being discarded, or a
 * deferred copy has to wait for a unit; -ENOSPC if a deferred copy cannot be allocated.
 */
som_unit_t som_owner_lookup(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_tables_load(&owner->tables, idx);
	int ret;

	if (!entry && READ_ONCE(owner->cow.inherited)) {
		ret = som_cow_pull(owner, idx);
		if (ret)
			return som_unit_error(ret);
		entry = som_tables_load(&owner->tables, idx);
	}
	if (!entry)
		return som_unit_error(-ENOENT);
	return som_entry_test(entry, SOM_ENTRY_DISCARDED) ?
		som_unit_error(-EAGAIN) : som_entry_unit(entry);
}

/* Test whether a new table is needed, but would exceed the owner's limit. */
static bool table_refused(struct som_mapping *mapping, unsigned long idx)
{
	struct som_owner *owner = mapping->owner;

	return !mapping->reserved && !som_tables_entryp(&owner->tables, idx) &&
	       !mtree_load(&owner->reserved, idx) &&
	       !som_owner_may_record(owner);
}

/**
 * som_owner_entryp - Return the entry pointer of an index
 * @mapping: mapping that touches the index; caches the table, which exists as long as the
 *	mapping touches it
 * @idx: unit index
 * Context: Process context; mmap_lock or the VMA lock is held.
 * Return: entry pointer; NULL without memory, or if the owner has too many records.
 */
void **som_owner_entryp(struct som_mapping *mapping, unsigned long idx)
{
	struct som_table *table = READ_ONCE(mapping->table);

	if (unlikely(!table || table->nr != idx / SOM_TABLE_UNITS)) {
		if (table_refused(mapping, idx))
			return NULL;
		table = som_tables_table(&mapping->owner->tables, idx);
		if (!table)
			return NULL;
		WRITE_ONCE(mapping->table, table);
	}
	return &table->entry[idx % SOM_TABLE_UNITS];
}

/* Take a unit from the owner's cache or the pool. *zeroed: set if it is zero. */
static som_unit_t owner_take_unit(struct som_mapping *mapping, unsigned long idx, bool *zeroed)
{
	struct som_owner *owner = mapping->owner;
	som_unit_t unit = som_cache_take(&owner->cache);

	*zeroed = true;
	if (unlikely(!som_unit_failed(unit) && som_pool_poisoned(unit))) {
		som_pool_free(unit);
		unit = som_unit_error(-ENOENT);
	}
	if (likely(som_unit_failed(unit)))
		return som_numa_alloc(owner->account->pool, mapping->vma, idx);
	*zeroed = !mapping->reuse;
	if (*zeroed)
		som_unit_zero(unit);
	return unit;
}

/* Allocate pages if the policy wants them for 4 KiB entries. On an error, use the pool. */
static som_unit_t owner_take_pages(struct som_mapping *mapping, unsigned long idx,
				   enum som_level level)
{
	if (likely(level != SOM_LEVEL_4K || !mapping->auto_convert))
		return som_unit_error(-ENOENT);
	return som_page_backed_alloc(mapping->owner->account, true);
}

/* Populate an empty index. @level: level at which the unit will be mapped. */
static som_unit_t owner_populate_unit(struct som_mapping *mapping, unsigned long idx, void **entryp,
				      enum som_level level)
{
	struct som_owner *owner = mapping->owner;
	bool charged = false, zeroed;
	unsigned long kind = 0;
	som_unit_t unit;
	int ret;

	if (!mapping->reserved && !mtree_load(&owner->reserved, idx)) {
		charged = som_cache_charge(owner->account, 1);
		if (!charged)
			return som_unit_error(-ENOSPC);
	}
	unit = owner_take_pages(mapping, idx, level);
	if (unlikely(!som_unit_failed(unit))) {
		kind = SOM_ENTRY_PAGE_BACKED | SOM_ENTRY_BY_POLICY;
		atomic_long_inc(&owner->nr_page_backed);
		zeroed = true;
	} else {
		unit = owner_take_unit(mapping, idx, &zeroed);
	}
	if (som_unit_failed(unit)) {
		ret = som_unit_errno(unit);
		goto out_uncharge;
	}
	WRITE_ONCE(*entryp, som_entry(unit, level | kind |
					  (charged ? SOM_ENTRY_CHARGED : 0)));
	atomic_long_inc(&owner->nr_level[level]);
	/* Pairs with the barrier in som_dirty_log_add(). */
	smp_mb();
	/* An entry without a region counts as written. */
	if (som_dirty_log_tracks(&owner->dirty_log, idx) &&
	    !som_dirty_log_make(&owner->dirty_log, idx, zeroed)) {
		void *entry = som_tables_erase(&owner->tables, idx);

		/* owner_take_charges() may have removed the charge. */
		charged = som_entry_test(entry, SOM_ENTRY_CHARGED);
		som_entry_forget(owner, entry);
		ret = -ENOMEM;
		goto out_free;
	}
	return unit;

out_free:
	if (kind)
		som_page_backed_free(unit);
	else
		som_pool_free(unit);
out_uncharge:
	if (charged)
		som_account_uncharge(owner->account, 1);
	return som_unit_error(ret);
}

/* A failed unit that is pinned may stay for long: do not make the caller wait for it. */
static int discarded_error(const void *entry)
{
	som_unit_t unit = som_entry_unit(entry);

	return som_pool_poisoned(unit) && som_pool_pinned(unit) ?
		-EHWPOISON : -EAGAIN;
}

/**
 * som_owner_unit - Return the unit at an index; allocate it if absent
 * @mapping: mapping that touches the index
 * @idx: unit index
 * @level: in: expected level of a new unit; out: level of an existing unit
 * Context: Process context; som_owner_lock_unit() is held.
 * Return: unit number; -ENOSPC if the pool has none and there is no reservation; -EAGAIN if
 * a former owner's unit is not available yet; -ENOMEM without memory for the entry; -ENOENT
 * in a core dump if there is none; -EHWPOISON if its memory has failed.
 */
som_unit_t som_owner_unit(struct som_mapping *mapping, unsigned long idx,
			  enum som_level *level)
{
	void **entryp = som_owner_entryp(mapping, idx), *entry;
	som_unit_t unit;
	int ret;

	if (!entryp)
		return som_unit_error(table_refused(mapping, idx) ? -ENOSPC : -ENOMEM);
	entry = READ_ONCE(*entryp);
	if (!entry && unlikely(READ_ONCE(mapping->owner->cow.inherited))) {
		ret = som_cow_pull(mapping->owner, idx);
		if (ret)
			return som_unit_error(ret);
		entry = READ_ONCE(*entryp);
	}
	if (likely(!entry)) {
		unit = som_dumping() ? som_unit_error(-ENOENT) :
				       owner_populate_unit(mapping, idx, entryp, *level);
		if (unlikely(som_unit_failed(unit)))
			return unit;
	} else {
		if (unlikely(som_entry_test(entry, SOM_ENTRY_DISCARDED)))
			return som_unit_error(discarded_error(entry));
		*level = som_entry_level(entry);
		unit = som_entry_unit(entry);
	}
	/* Check after the entry is visible: hwpoison.c finds later failures through it. */
	return unlikely(som_pool_poisoned(unit)) ? som_unit_error(-EHWPOISON) : unit;
}
