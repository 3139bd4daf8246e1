// SPDX-License-Identifier: GPL-2.0
/*
 * Moving units: the same bytes in other memory, below running readers and writers.
 *
 * som_migrate_unit() is the one way to do it:
 *
 *  1. stop access: with mmap_lock held for write nobody has cleared an entry
 *     without having flushed, and no system call is at the memory; with the unit's
 *     fault_lock held no fault gives it an entry; som_zap() takes the entries away.
 *     Threads that touch the unit wait in their fault;
 *  2. who has a pin by then has a reference, and no new one can come: if there is
 *     any, the unit stays;
 *  3. copy, and switch owner->units to the copy;
 *  4. release: the old memory is in no page table and no TLB.
 *
 * Dirty bits that go with the entries are not lost: tracking counts an entry that
 * was filled and is missing as written.
 *
 * som_compact() empties chunks so that they can be given back. Nobody knows which
 * owner has a unit but the owner, so each owner's units are looked through once
 * for each chunk: 512 entries for each GiB that it has.
 */
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include "collapse.h"
#include "entry.h"
#include "inode.h"
#include "migrate.h"
#include "owner.h"
#include "pinnable.h"
#include "pool.h"
#include "trace.h"
#include "zap.h"

/**
 * som_migrate_unit - move a unit to other memory
 * @owner: whose
 * @idx: index of a unit that is there
 * @unit: unit number of memory that the caller has; and, if the unit was moved, of
 *	its old memory, which is the caller's then
 * @to_pinnable: whether the memory at @unit is pinnable
 *
 * Context: Process context; mmap_lock is held for write, and owner->lock.
 * Return: 0; -ENOENT if there is no unit; -EBUSY if somebody has a pin on it; -EAGAIN if
 * heirs need copies first and the pool has nothing right now.
 */
int som_migrate_unit(struct som_owner *owner, unsigned long idx,
		     unsigned long *unit, bool to_pinnable)
{
	struct mutex *lock = som_owner_lock_unit(owner, idx);
	void *entry = som_units_load(&owner->units, idx);
	int ret = -ENOENT;

	lockdep_assert_held(&owner->lock);

	if (!entry)
		goto out;
	som_zap(owner, som_unit_pgoff(idx), SOM_UNIT_PAGES);
	ret = -EBUSY;
	if (som_entry_pinned(entry))
		goto out;
	/* From pinnable memory an heir can only have a copy. */
	ret = to_pinnable ? som_share_break(owner, idx) : 0;
	if (ret)
		goto out;
	/* Nor does an heir copy from the old memory while it goes. */
	mutex_lock(&owner->share.lock);
	som_unit_copy(*unit, som_entry_unit(entry));
	som_entry_replace(owner, idx, *unit,
			  SOM_ENTRY_LEVEL | SOM_ENTRY_PINNABLE,
			  SOM_LEVEL_NONE |
			  (to_pinnable ? SOM_ENTRY_PINNABLE : 0));
	mutex_unlock(&owner->share.lock);
	if (som_entry_level(entry) == SOM_LEVEL_4K)
		som_collapse_want(owner, idx);
	if (to_pinnable)
		som_tracker_pinned(&owner->tracker, idx);
	trace_som_unit_move(som_entry_unit(entry), *unit);
	*unit = som_entry_unit(entry);
	ret = 0;
out:
	mutex_unlock(lock);
	return ret;
}

/* One unit out of a chunk; true if it may be worth while to go on. */
static bool compact_unit(struct som_owner *owner, unsigned long idx,
			 unsigned long chunk)
{
	int nid = som_unit_nid(chunk * SOM_CHUNK_UNITS);
	struct mm_struct *mm = owner->mm;
	unsigned long unit;
	void *entry;
	long target;

	target = som_pool_alloc_unzeroed(nid);
	if (target < 0)
		return false;
	unit = target;
	if (mmap_write_lock_killable(mm)) {
		som_pool_free(unit);
		return false;
	}
	mutex_lock(&owner->lock);
	/* Only who holds this lock removes or moves it. */
	entry = som_units_load(&owner->units, idx);
	if (entry && !som_entry_test(entry, SOM_ENTRY_PINNABLE) &&
	    som_entry_unit(entry) / SOM_CHUNK_UNITS == chunk)
		som_migrate_unit(owner, idx, &unit, false);
	mutex_unlock(&owner->lock);
	mmap_write_unlock(mm);
	som_pool_free(unit);
	return true;
}

/* Everything that an owner has in a chunk. */
static bool compact_owner(struct som_owner *owner, unsigned long chunk)
{
	unsigned long idx;
	bool more = true;
	void *entry;

	if (!mmget_not_zero(owner->mm))
		return true;
	som_units_for_each(&owner->units, idx, entry, 0, ULONG_MAX) {
		if (som_entry_test(entry, SOM_ENTRY_PINNABLE) ||
		    som_entry_unit(entry) / SOM_CHUNK_UNITS != chunk)
			continue;
		more = compact_unit(owner, idx, chunk);
		if (!more || signal_pending(current))
			break;
		cond_resched();
	}
	mmput(owner->mm);
	return more;
}

/**
 * som_compact - empty chunks
 * @nr_chunks: how many
 *
 * Begins with those that have the fewest units in use.
 *
 * Context: Process context; takes every owner's mmap_lock, one at a time.
 * Return: 0; -EBUSY if fewer could be emptied: the rest does not fit into the
 * other chunks, or is pinned; -EINTR on a signal. Those that are empty stay so.
 */
int som_compact(unsigned long nr_chunks)
{
	static DEFINE_MUTEX(one_at_a_time);
	static unsigned long round;
	unsigned long done = 0, id;
	struct som_owner *owner;
	bool more;
	long chunk;
	int ret;

	ret = mutex_lock_interruptible(&one_at_a_time);
	if (ret)
		return ret;
	round++;
	som_recycle_drain();
	som_pool_drain_begin();
	while (done < nr_chunks && !ret) {
		chunk = som_pool_drain_next(round);
		if (chunk < 0) {
			ret = -EBUSY;
			break;
		}
		more = true;
		for (id = 0; more && (owner = som_inode_next_owner(id)); ) {
			id = owner->id;
			more = compact_owner(owner, chunk);
			som_inode_put_owner(owner);
			if (signal_pending(current)) {
				ret = -EINTR;
				break;
			}
		}
		done += som_pool_drain_check(chunk);
	}
	som_pool_drain_end();
	mutex_unlock(&one_at_a_time);
	return ret;
}
