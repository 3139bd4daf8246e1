// SPDX-License-Identifier: GPL-2.0
/*
 * Parcels: units that have left one owner and not yet reached the next.
 *
 *  1. SOM_IOC_PACK (parcel_file.c) allocates a parcel and takes mmap_lock for write.
 *     som_parcel_prepare() checks that all units of the range can move. Nothing has changed
 *     so far.
 *  2. With mmap_lock still held, the kernel clears the page table entries of the range,
 *     flushes the TLB once, and closes the VMAs. A unit that no mapping touches any more
 *     moves to the parcel instead of the pool: som_parcel_take(). It keeps its charge.
 *  3. The parcel is a file. Its units are not mapped; they can be read, and moved by
 *     compaction.
 *  4. mmap() of the file is a claim. The units move to unused indices of the claimer, with
 *     their charges: som_parcel_claim_begin() checks, som_parcel_claim_end() moves them and
 *     cannot fail.
 *  5. Unclaimed units return to the pool with the last reference to the file.
 *
 * A unit is in an owner's table, in a parcel's, or in the pool. It moves between tables
 * with owner->lock and parcel->lock held, and leaves one before it enters the other: a
 * holder of either lock finds it in at most one place. models/parcel.pml verifies the order
 * of these steps.
 *
 * A device with a pin on a unit may write to it, so PACK refuses pinned units. A new pin is
 * still possible until the flush, so each chunk is checked again when its units reach the
 * parcel; while one is pinned, claims are refused. No pin can appear after the flush.
 *
 * Locking: owner->lock, then parcel->lock. Faulting in user memory takes mmap_lock, which
 * ranks above owner->lock, so parcel->lock is released first. xa_lock of som_parcels guards
 * look-ups.
 */
#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/xarray.h>
#include "account.h"
#include "compat.h"
#include "cow.h"
#include "entry.h"
#include "parcel.h"
#include "policy.h"
#include "pool.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "trace.h"

unsigned long som_max_parcels = 1024;
module_param_named(max_parcels, som_max_parcels, ulong, 0644);
MODULE_PARM_DESC(max_parcels, "parcels that one user may have at a time (default 1024)");

static DEFINE_XARRAY(som_parcels);	/* by id */
static atomic_long_t som_parcel_ids = ATOMIC_LONG_INIT(0);
static atomic_long_t som_parcel_nr_units;

/**
 * som_parcel_alloc - Allocate an empty parcel, not yet published
 * @owner: owner that packs, and is charged
 * @size: number of indices, at most SOM_PARCEL_MAX_UNITS
 * @settings: settings for claims
 * Context: Process context of the owner.
 * Return: the parcel, for som_parcel_free(); ERR_PTR(-EDQUOT) if the user has reached
 * max_parcels; ERR_PTR(-ENOMEM).
 */
struct som_parcel *som_parcel_alloc(struct som_owner *owner, unsigned long size,
				    const struct som_settings *settings)
{
	struct som_parcel *parcel;

	if (!som_account_charge_extra(owner->account, SOM_EXTRA_PARCELS,
				      READ_ONCE(som_max_parcels)))
		return ERR_PTR(-EDQUOT);
	parcel = kzalloc(sizeof(*parcel), GFP_KERNEL_ACCOUNT);
	if (!parcel)
		goto out_uncharge;
	parcel->claimed = kvcalloc(BITS_TO_LONGS(size), sizeof(long),
				   GFP_KERNEL_ACCOUNT);
	if (!parcel->claimed)
		goto out_free;
	parcel->id = atomic_long_inc_return(&som_parcel_ids);
	if (xa_reserve(&som_parcels, parcel->id, GFP_KERNEL))
		goto out_claimed;
	mutex_init(&parcel->lock);
	som_tables_init(&parcel->tables);
	parcel->size = size;
	parcel->nr_left = size;
	parcel->account = som_account_get(owner->account);
	parcel->pid = get_pid(task_tgid(current));
	init_waitqueue_head(&parcel->wait);
	som_policy_copy(&parcel->settings, settings);
	return parcel;

out_claimed:
	kvfree(parcel->claimed);
out_free:
	kfree(parcel);
out_uncharge:
	som_account_uncharge_extra(owner->account, SOM_EXTRA_PARCELS);
	return ERR_PTR(-ENOMEM);
}

/**
 * som_parcel_publish - Make a packed parcel visible to som_parcel_next()
 * @parcel: parcel; its file is set
 * Context: Process context.
 */
void som_parcel_publish(struct som_parcel *parcel)
{
	/* Cannot fail: the slot is reserved. */
	xa_store(&som_parcels, parcel->id, parcel, GFP_NOWAIT);
}

/**
 * som_parcel_next - Find the next of all parcels
 * @id: number of the previous parcel, or 0
 * Context: Process context; takes xa_lock of the parcels.
 * Return: the parcel, with a reference to its file for fput(); or NULL.
 */
struct som_parcel *som_parcel_next(unsigned long id)
{
	struct som_parcel *parcel;

	xa_lock(&som_parcels);
	do {
		parcel = xa_find_after(&som_parcels, &id, ULONG_MAX, XA_PRESENT);
	} while (parcel && !som_file_tryget(parcel->file));
	xa_unlock(&som_parcels);
	return parcel;
}

/**
 * som_parcel_units - Count the units in parcels
 * Return: number of units.
 */
unsigned long som_parcel_units(void)
{
	return atomic_long_read(&som_parcel_nr_units);
}

/* Return unmapped units to the pool, which quarantines those that may be pinned. */
static void parcel_drop_units(struct som_parcel *parcel, som_unit_t *units,
			      unsigned int nr)
{
	unsigned int quarantined = som_pool_free_units(units, nr);

	if (unlikely(quarantined))
		som_account_quarantine(parcel->account, units, quarantined);
	som_account_uncharge(parcel->account, nr - quarantined);
	atomic_long_sub(nr, &som_parcel_nr_units);
}

/**
 * som_parcel_free - Free a parcel and its unclaimed units
 * @parcel: parcel; its file has no reference left
 * Context: Process context.
 */
void som_parcel_free(struct som_parcel *parcel)
{
	som_unit_t units[SOM_BATCH];
	void *batch[SOM_BATCH];
	unsigned long idx = 0;
	unsigned int i, nr;

	xa_erase(&som_parcels, parcel->id);
	do {
		nr = som_tables_take(&parcel->tables, &idx, ULONG_MAX, batch,
				     SOM_BATCH);
		for (i = 0; i < nr; i++)
			units[i] = som_entry_unit(batch[i]);
		parcel_drop_units(parcel, units, nr);
		cond_resched();
	} while (nr == SOM_BATCH);
	WARN_ON_ONCE(!som_tables_destroy(&parcel->tables));
	kvfree(parcel->claimed);
	som_policy_release(&parcel->settings);
	put_pid(parcel->pid);
	som_account_uncharge_extra(parcel->account, SOM_EXTRA_PARCELS);
	som_account_put(parcel->account);
	kfree(parcel);
}

/* Make the copies of a unit that its children or its owner have deferred. */
static int prepare_shared(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);
	int ret;

	ret = som_cow_pull(owner, idx) ?: som_cow_break(owner, idx);
	mutex_unlock(lock);
	if (!ret && fatal_signal_pending(current))
		ret = -EINTR;
	cond_resched();
	return ret == -EAGAIN ? -ERESTART : ret == -ENOSPC ? -ENOMEM : ret;
}

static int prepare_deferred(struct som_owner *owner, unsigned long first,
			    unsigned long last)
{
	unsigned long idx = first;
	int ret;

	if (!READ_ONCE(owner->cow.inherited))
		return 0;
	for (; som_cow_find(owner, &idx, last); idx++) {
		ret = prepare_shared(owner, idx);
		if (ret)
			return ret;
	}
	return 0;
}

/* Test whether a unit can move to a parcel. *chunk: the last chunk found unpinned. */
static inline int prepare_unit(struct som_owner *owner, unsigned long idx,
			       const void *entry, unsigned long *chunk)
{
	som_unit_t unit = som_entry_unit(entry);
	int ret;

	if (som_pool_poisoned(unit))
		return -EHWPOISON;
	if (likely(som_unit_chunk(unit) == *chunk &&
		   !som_entry_test(entry, SOM_ENTRY_PAGE_BACKED | SOM_ENTRY_SHARED)))
		return 0;
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED))
		return -EBUSY;
	if (som_entry_test(entry, SOM_ENTRY_SHARED)) {
		ret = prepare_shared(owner, idx);
		if (ret)
			return ret;
	}
	if (som_pool_pinned(unit))
		return -EBUSY;
	*chunk = som_unit_chunk(unit);
	return 0;
}

/**
 * som_parcel_prepare - Check that units can move to a parcel, and allocate its tables
 * @packing: the PACK, with the delta for these indices
 * @first: first unit index of the owner
 * @last: last unit index
 *
 * Discarded units are skipped and do not move: they read as zero.
 * Context: Process context; mmap_lock is held for write, and the VMAs are locked, so the
 * result stays valid until they are released, except that new pins may appear.
 * Return: 0; -EBUSY if a unit is pinned or page-backed; -EHWPOISON if its memory has
 * failed; -ERESTART if a child needs a copy and the pool is empty; -ENOMEM, also if a
 * deferred copy of the owner cannot be made; -EINTR.
 */
int som_parcel_prepare(struct som_packing *packing, unsigned long first,
		       unsigned long last)
{
	unsigned long i = first, end, chunk = ULONG_MAX, table_nr = ULONG_MAX;
	struct som_owner *owner = packing->owner;
	struct som_table *table;
	int ret;

	ret = prepare_deferred(owner, first, last);
	if (ret)
		return ret;
	for (; (table = som_tables_next_table(&owner->tables, &i, last, &end));
	     cond_resched()) {
		for (; i <= end; i++) {
			void *entry = READ_ONCE(table->entry[i % SOM_TABLE_UNITS]);
			unsigned long to = i + packing->delta;

			if (!entry || som_entry_test(entry, SOM_ENTRY_DISCARDED))
				continue;
			ret = prepare_unit(owner, i, entry, &chunk);
			if (ret)
				return ret;
			if (to / SOM_TABLE_UNITS == table_nr)
				continue;
			table_nr = to / SOM_TABLE_UNITS;
			if (!som_tables_table(&packing->parcel->tables, to))
				return -ENOMEM;
		}
	}
	return 0;
}

static unsigned long parcel_take_table(struct som_packing *packing,
				       struct som_table *table, unsigned long i,
				       unsigned long end, unsigned long *chunk,
				       unsigned long *own)
{
	struct som_parcel *parcel = packing->parcel;
	struct som_owner *owner = packing->owner;
	unsigned long levels[SOM_LEVELS] = {};
	struct som_table *to = NULL;
	unsigned long nr = 0;
	int level;

	for (; i <= end; i++) {
		void **entryp = &table->entry[i % SOM_TABLE_UNITS];
		unsigned long idx = i + packing->delta;
		void *entry = READ_ONCE(*entryp);
		som_unit_t unit;

		if (!entry || som_entry_test(entry, SOM_ENTRY_DISCARDED))
			continue;
		if (!to || to->nr != idx / SOM_TABLE_UNITS)
			to = som_tables_find_table(&parcel->tables, idx);
		/* som_parcel_prepare() has allocated it. */
		if (WARN_ON_ONCE(!to))
			break;
		entry = xchg(entryp, NULL);
		unit = som_entry_unit(entry);
		levels[som_entry_level(entry)]++;
		*own += som_entry_test(entry, SOM_ENTRY_CHARGED);
		WRITE_ONCE(to->entry[idx % SOM_TABLE_UNITS],
			   som_entry(unit, SOM_LEVEL_NONE));
		nr++;
		if (som_unit_chunk(unit) == *chunk)
			continue;
		*chunk = som_unit_chunk(unit);
		parcel->pinned |= som_pool_pinned(unit);
	}
	for (level = 0; level < SOM_LEVELS; level++)
		if (levels[level])
			atomic_long_sub(levels[level], &owner->nr_level[level]);
	return nr;
}

/**
 * som_parcel_take - Move units that no mapping touches to a parcel
 * @packing: the PACK
 * @first: first unit index of the owner
 * @last: last unit index
 * Context: Process context; owner->lock is held. No page table and no TLB maps the units.
 * Return: number of moved units that a reservation paid for: their charges move, too.
 */
unsigned long som_parcel_take(struct som_packing *packing,
			      unsigned long first, unsigned long last)
{
	struct som_parcel *parcel = packing->parcel;
	struct som_owner *owner = packing->owner;
	unsigned long i = first, end, chunk = ULONG_MAX, nr = 0, own = 0;
	struct som_table *table;

	lockdep_assert_held(&owner->lock);

	mutex_lock(&parcel->lock);
	for (; (table = som_tables_next_table(&owner->tables, &i, last, &end));
	     i = end + 1) {
		nr += parcel_take_table(packing, table, i, end, &chunk, &own);
		cond_resched();
	}
	parcel->nr_units += nr;
	mutex_unlock(&parcel->lock);
	atomic_long_add(nr, &som_parcel_nr_units);
	return nr - own;
}

/**
 * som_parcel_claimed - Test whether any of some indices is claimed
 * @parcel: parcel
 * @first: first index
 * @nr: number of indices, all in the parcel
 * Context: Process context; takes parcel->lock.
 * Return: true if so.
 */
bool som_parcel_claimed(struct som_parcel *parcel, unsigned long first,
			unsigned long nr)
{
	bool claimed;

	mutex_lock(&parcel->lock);
	claimed = find_next_bit(parcel->claimed, first + nr, first) < first + nr;
	mutex_unlock(&parcel->lock);
	return claimed;
}

/* Test whether no unit of a parcel is pinned. Once true, it stays true. */
static bool parcel_unpinned(struct som_parcel *parcel)
{
	unsigned long idx, chunk = ULONG_MAX;
	void *entry;

	if (!parcel->pinned)
		return true;
	som_tables_for_each(&parcel->tables, idx, entry, 0, ULONG_MAX) {
		som_unit_t unit = som_entry_unit(entry);

		if (som_unit_chunk(unit) == chunk)
			continue;
		if (som_pool_pinned(unit))
			return false;
		chunk = som_unit_chunk(unit);
	}
	parcel->pinned = false;
	return true;
}

/* Allocate the tables for the units of a claim, and count the units. */
static int claim_tables(struct som_claim *claim, struct som_tables *tables,
			unsigned long to)
{
	unsigned long i = claim->first, last = claim->first + claim->nr - 1;
	unsigned long end, delta = to - claim->first, table_nr = ULONG_MAX;
	struct som_table *table;

	for (; (table = som_tables_next_table(&claim->parcel->tables, &i, last,
					      &end)); cond_resched()) {
		for (; i <= end; i++) {
			if (!table->entry[i % SOM_TABLE_UNITS])
				continue;
			claim->nr_units++;
			if ((i + delta) / SOM_TABLE_UNITS == table_nr)
				continue;
			table_nr = (i + delta) / SOM_TABLE_UNITS;
			if (!som_tables_table(tables, i + delta))
				return -ENOMEM;
		}
	}
	return 0;
}

/* The same for a whole parcel. Its units are counted; each of its tables needs at most two. */
static int claim_all_tables(struct som_claim *claim, struct som_tables *tables,
			    unsigned long to)
{
	unsigned long i = 0, last = claim->nr - 1, end;

	claim->nr_units = claim->parcel->nr_units;
	for (; som_tables_next_table(&claim->parcel->tables, &i, last, &end);
	     i = end + 1) {
		if (!som_tables_table(tables, i + to) ||
		    !som_tables_table(tables, end + to))
			return -ENOMEM;
		cond_resched();
	}
	return 0;
}

/* Check that a claim is possible, and make the tables that it needs. parcel->lock is held. */
static int parcel_claim(struct som_claim *claim, struct som_tables *tables,
			unsigned long to)
{
	struct som_parcel *parcel = claim->parcel;
	unsigned long end = claim->first + claim->nr;

	if (find_next_bit(parcel->claimed, end, claim->first) < end)
		return -ENODATA;
	if (!parcel_unpinned(parcel))
		return -EBUSY;
	if (claim->nr == parcel->size)
		return claim_all_tables(claim, tables, to);
	return claim_tables(claim, tables, to);
}

/**
 * som_parcel_claim_begin - Prepare a claim
 * @claim: part of the parcel; sets nr_units
 * @tables: tables of the claimer
 * @to: first of the claimer's indices, all unused
 * Context: Process context; the claimer's owner->lock is held. Takes parcel->lock; on
 * success it stays locked for som_parcel_claim_end() or som_parcel_claim_abort().
 * Return: 0; -ENODATA if a part is claimed already; -EBUSY if a unit was pinned before it
 * was packed, and still is; -ENOMEM. After an error some tables may be new.
 */
int som_parcel_claim_begin(struct som_claim *claim, struct som_tables *tables,
			   unsigned long to)
{
	struct som_parcel *parcel = claim->parcel;
	int ret;

	claim->nr_units = 0;
	mutex_lock(&parcel->lock);
	ret = parcel_claim(claim, tables, to);
	if (ret)
		mutex_unlock(&parcel->lock);
	return ret;
}

/**
 * som_parcel_claim_abort - Undo som_parcel_claim_begin()
 * @claim: claim
 * Context: Process context; releases parcel->lock.
 */
void som_parcel_claim_abort(struct som_claim *claim)
{
	mutex_unlock(&claim->parcel->lock);
}

/**
 * som_parcel_claim_end - Move units of a parcel to the claimer
 * @claim: from som_parcel_claim_begin(); the claimer has the charges
 * @tables: tables of the claimer
 * @to: first of the claimer's indices
 * @bits: bits of the new entries
 * Context: Process context; releases parcel->lock.
 */
void som_parcel_claim_end(struct som_claim *claim, struct som_tables *tables,
			  unsigned long to, unsigned long bits)
{
	unsigned long i = claim->first, last = claim->first + claim->nr - 1;
	unsigned long end, delta = to - claim->first;
	struct som_parcel *parcel = claim->parcel;
	struct som_table *table, *new = NULL;

	for (; (table = som_tables_next_table(&parcel->tables, &i, last, &end));
	     cond_resched()) {
		for (; i <= end; i++) {
			void **entryp = &table->entry[i % SOM_TABLE_UNITS];
			unsigned long idx = i + delta;
			som_unit_t unit;

			if (!*entryp)
				continue;
			if (!new || new->nr != idx / SOM_TABLE_UNITS)
				new = som_tables_find_table(tables, idx);
			unit = som_entry_unit(*entryp);
			WRITE_ONCE(*entryp, NULL);
			WRITE_ONCE(new->entry[idx % SOM_TABLE_UNITS],
				   som_entry(unit, bits));
		}
	}
	bitmap_set(parcel->claimed, claim->first, claim->nr);
	parcel->nr_units -= claim->nr_units;
	WRITE_ONCE(parcel->nr_left, parcel->nr_left - claim->nr);
	mutex_unlock(&parcel->lock);
	atomic_long_sub(claim->nr_units, &som_parcel_nr_units);
	wake_up_interruptible(&parcel->wait);
}

/* Copy bytes of one unit, or zeroes, up to the first page fault. */
static size_t parcel_copy_part(const void *entry, unsigned long offset, size_t len,
			       struct iov_iter *to)
{
	size_t done;

	pagefault_disable();
	if (entry)
		done = copy_to_iter(som_unit_address(som_entry_unit(entry)) +
				    offset, len, to);
	else
		done = iov_iter_zero(len, to);
	pagefault_enable();
	return done;
}

/**
 * som_parcel_copy - Copy unclaimed bytes of a parcel
 * @parcel: parcel
 * @pos: first byte
 * @len: number of bytes, all in one unit
 * @to: destination
 * Context: Process context; takes parcel->lock. Does not fault in user memory.
 * Return: number of bytes copied, less than @len if user memory must be faulted in;
 * -ENODATA if they are claimed; -EIO if memory has failed.
 */
ssize_t som_parcel_copy(struct som_parcel *parcel, unsigned long pos,
			size_t len, struct iov_iter *to)
{
	unsigned long idx = pos >> SOM_UNIT_SHIFT;
	ssize_t ret = -ENODATA;
	void *entry;

	mutex_lock(&parcel->lock);
	if (test_bit(idx, parcel->claimed))
		goto out;
	ret = -EIO;
	entry = som_tables_load(&parcel->tables, idx);
	if (entry && som_pool_poisoned(som_entry_unit(entry)))
		goto out;
	ret = parcel_copy_part(entry, pos & (SOM_UNIT_SIZE - 1), len, to);
out:
	mutex_unlock(&parcel->lock);
	return ret;
}

/* Move a unit of a chunk to @target, if it is still there. Return: the unit to free. */
static som_unit_t migrate_unit(struct som_parcel *parcel, unsigned long idx,
			       unsigned long chunk, som_unit_t target)
{
	som_unit_t unit, over = target;
	void **entryp;

	mutex_lock(&parcel->lock);
	entryp = som_tables_entryp(&parcel->tables, idx);
	if (!entryp || !*entryp)
		goto out;
	unit = som_entry_unit(*entryp);
	if (som_unit_chunk(unit) != chunk ||
	    (parcel->pinned && som_pool_pinned(unit)) ||
	    som_unit_copy(target, unit))
		goto out;
	WRITE_ONCE(*entryp, som_entry(target, SOM_LEVEL_NONE));
	over = unit;
	trace_som_unit_move(unit, target);
out:
	mutex_unlock(&parcel->lock);
	return over;
}

/**
 * som_parcel_migrate - Move the units of a parcel out of a chunk
 * @parcel: parcel
 * @chunk: chunk
 *
 * Units that may be pinned stay.
 * Context: Process context; takes parcel->lock for one unit at a time.
 * Return: false if the pool is empty, or the compaction was aborted.
 */
bool som_parcel_migrate(struct som_parcel *parcel, unsigned long chunk)
{
	unsigned long idx;
	som_unit_t target;
	void *entry;

	som_tables_for_each(&parcel->tables, idx, entry, 0, ULONG_MAX) {
		if (som_unit_chunk(som_entry_unit(entry)) != chunk)
			continue;
		if (signal_pending(current) || !som_pool_draining(chunk))
			return false;
		target = som_pool_alloc_target(parcel->account->pool,
					       som_unit_nid(som_chunk_unit(chunk, 0)));
		if (som_unit_failed(target))
			return false;
		som_pool_free(migrate_unit(parcel, idx, chunk, target));
	}
	return true;
}
