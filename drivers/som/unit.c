// SPDX-License-Identifier: GPL-2.0
/*
 * Units of an owner: looked up, taken from the pool, and settled.
 *
 * A unit is found by its index, page offset >> 9, in owner->tables. Whoever has its
 * index locked finds it settled: what was discarded of it is zeroed or gone.
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
 * A discarded unit that somebody has a pin on keeps its bytes, as whoever has
 * the pin shall go on seeing them, and the owner gets another one. It waits in
 * owner->deferred_free for the next som_owner_release_discarded(), or for the end of
 * the owner: others may have cleared an entry and not flushed yet. It comes there
 * last of all, when nothing leads to it any more: who finds it there waits for
 * mmap_lock, but not for a fault that has the VMA lock alone.
 *
 * Return: 0; -EDQUOT if it is to be zeroed where it is, for want of a charge; -EAGAIN or
 * -ENOMEM, and it stays discarded.
 */
static int owner_settle_pinned(struct som_owner *owner, unsigned long idx,
			       void *entry)
{
	bool pages = som_entry_test(entry, SOM_ENTRY_PAGE_BACKED);
	som_unit_t old = som_entry_unit(entry), unit;
	int ret = -ENOMEM;

	/*
	 * The reservation is the new one's, and the pool may hold the old one for long. Pages
	 * that are pinned are not the pool's.
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

/* Might somebody have a pin on a discarded unit? Its fault_lock is held. */
static bool discarded_pinned(struct som_owner *owner, unsigned long idx,
			     void *entry)
{
	/* An entry has a reference to its page, too. */
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED))
		som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
	return som_entry_pinned(entry);
}

/* Do what MADV_DONTNEED has left to do at an index; its fault_lock is held. */
static void owner_settle_unit(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_tables_load(&owner->tables, idx);
	unsigned long seen;
	int ret = -EDQUOT;

	if (!entry)
		return;
	/* What comes meanwhile stays for the next one. */
	seen = som_entry_bits(entry) & (SOM_ENTRY_DISCARDED | SOM_ENTRY_ZEROED);
	if (!seen)
		return;
	/* It stays discarded then: som_owner_lookup(), som_owner_unit(). */
	if (som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    som_cow_break(owner, idx))
		return;
	/*
	 * MADV_DONTNEED may be on its way: what is written through its old entries from
	 * now on would be in memory that counts as clean.
	 */
	if (som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    mm_tlb_flush_pending(owner->mm))
		som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
	if (som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    discarded_pinned(owner, idx, entry))
		ret = owner_settle_pinned(owner, idx, entry);
	/* Nobody zeroes it; the worker takes it out. */
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
 * som_owner_lock_unit - keep a unit as it is
 * @owner: whose
 * @idx: unit index
 *
 * Context: Process context; takes a fault_lock.
 * Return: the mutex that was locked, for mutex_unlock().
 */
struct mutex *som_owner_lock_unit(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);

	if (unlikely(READ_ONCE(owner->discards)))
		owner_settle_unit(owner, idx);
	return lock;
}

/**
 * som_owner_lock_look - the same, for those to whom a discarded unit is gone already
 * @owner: whose
 * @idx: unit index
 *
 * It stays discarded: to som_owner_lookup() it is -EAGAIN.
 *
 * Context: as som_owner_lock_unit().
 * Return: the mutex that was locked, for mutex_unlock().
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
 * som_owner_wrote - note that pages may have been written, or have to be told once more
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 *
 * Goes by records: what has none was not cleaned. A discarded unit stays so.
 *
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
 * Let the record of a discarded unit know. MADV_DONTNEED may be about to clear its
 * entries; whoever reads it from now on is to see zeroes.
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
 * som_owner_settle - let records know of what MADV_DONTNEED has zeroed or discarded
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * For those who look at records alone. Others in the same leaves are told of, too.
 *
 * Context: Process context; takes fault_locks. Cheap where there was no such
 * MADV_DONTNEED since the last call.
 * Return: up to which index it is done: @last, if there is not too much.
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
		/* To the end of the table: its hint has been taken. */
		if (++nr == SOM_TRACK_UNITS)
			end = min(end, idx | (SOM_TABLE_UNITS - 1));
		cond_resched();
	}
	return min(last, end);
}

/**
 * som_owner_lookup - the unit at an index, if there is one
 * @owner: whose
 * @idx: unit index
 *
 * Its memory may have failed: som_pool_poisoned() is to be asked by who looks at it.
 *
 * Context: som_owner_lock_unit() is held.
 * Return: unit number, or -ENOENT; -EAGAIN if there is one that cannot be told right
 * now, -ENOSPC if it cannot be had, both only after a fork.
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

/* Would a table have to be made, beyond what the owner may have? */
static bool table_refused(struct som_mapping *mapping, unsigned long idx)
{
	struct som_owner *owner = mapping->owner;

	return !mapping->reserved && !som_tables_entryp(&owner->tables, idx) &&
	       !mtree_load(&owner->reserved, idx) &&
	       !som_owner_may_record(owner);
}

/**
 * som_owner_entryp - where the entry of an index is
 * @mapping: mapping of a mapping that touches the index; it remembers the table: as long as it
 *	touches it, the table stays
 * @idx: unit index
 *
 * Context: Process context; mmap_lock or the VMA lock is held.
 * Return: the place, or NULL without memory for it, or if the owner has too many records.
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

/* A unit that the owner has kept, or one of the pool; @zeroed: whether it is zero. */
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

/*
 * Ordinary pages for a unit that is about to be mapped by 4 KiB entries, if it shall have
 * some. Negative, if it shall not or cannot: then it is one of the pool.
 */
static som_unit_t owner_take_pages(struct som_mapping *mapping, unsigned long idx,
				   enum som_level level)
{
	if (likely(level != SOM_LEVEL_4K || !mapping->auto_convert))
		return som_unit_error(-ENOENT);
	return som_page_backed_alloc(mapping->owner->account, true);
}

/* Populate an index that has no unit; @entryp is its place, @level: as it will be mapped. */
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
	/* What is there without a record counts as written. */
	if (som_dirty_log_tracks(&owner->dirty_log, idx) &&
	    !som_dirty_log_make(&owner->dirty_log, idx, zeroed)) {
		void *entry = som_tables_erase(&owner->tables, idx);

		/* owner_take_charges() may have taken over the charge. */
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

/* What has failed and is pinned may stay where it is for long: that is not waited for. */
static int discarded_error(const void *entry)
{
	som_unit_t unit = som_entry_unit(entry);

	return som_pool_poisoned(unit) && som_pool_pinned(unit) ?
		-EHWPOISON : -EAGAIN;
}

/**
 * som_owner_unit - the unit at an index, taken from the pool if need be
 * @mapping: mapping of a mapping that touches the index
 * @idx: unit index
 * @level: how a unit that is new will most likely be mapped, by the caller; and where it
 *	goes how one that is there is mapped
 *
 * Context: Process context; som_owner_lock_unit() is held.
 * Return: unit number; -ENOSPC if the pool has none for who has no reservation;
 * -EAGAIN if one is on its way back from a former owner; -ENOMEM if the kernel
 * has no memory for the entry; -ENOENT if a core dump finds none; -EHWPOISON if its
 * memory has failed.
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
	/* Behind the entry: what is poisoned later is found by it (hwpoison.c). */
	return unlikely(som_pool_poisoned(unit)) ? som_unit_error(-EHWPOISON) : unit;
}
