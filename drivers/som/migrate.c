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
 * for each chunk: 512 entries for each GiB that it has. It waits for owners, within limits,
 * and keeps nothing from anybody meanwhile: units of chunks that it wants empty are taken
 * last, not quarantined.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include "collapse.h"
#include "compat.h"
#include "entry.h"
#include "inode.h"
#include "migrate.h"
#include "owner.h"
#include "parcel.h"
#include "pinnable.h"
#include "pool.h"
#include "trace.h"
#include "zap.h"

/* How often mmap_lock is tried for a chunk, a millisecond apart, before it is given up. */
#define SOM_COMPACT_WAITS	1000

/**
 * som_migrate_free - free memory that no index has
 * @memory: from som_migrate_unit(), or allocated for it; or NULL
 *
 * Its own bits say what kind of memory it is.
 *
 * Context: Process context; no page table and no TLB has a translation of it.
 */
void som_migrate_free(void *memory)
{
	if (!memory)
		return;
	if (som_entry_test(memory, SOM_ENTRY_PAGE_BACKED))
		som_page_backed_free(som_entry_unit(memory));
	else
		som_pool_free(som_entry_unit(memory));
}

/**
 * som_migrate_unit - move a unit to other memory
 * @owner: whose
 * @idx: index of a unit that is there
 * @memory: in: an entry with the number and the kind (SOM_ENTRY_KIND) of memory
 *	that the caller has; out, if the unit was moved: the same of its old
 *	memory, as its entry had them, for som_migrate_free()
 *
 * Context: Process context; mmap_lock is held for write, and owner->lock.
 * Return: 0; -ENOENT if there is no unit; -EBUSY if somebody has a pin on it; -EAGAIN if
 * children need copies first and the pool has nothing right now; -EHWPOISON if its memory
 * cannot be read, and it stays where it is.
 */
int som_migrate_unit(struct som_owner *owner, unsigned long idx, void **memory)
{
	unsigned long kind = som_entry_bits(*memory) & SOM_ENTRY_KIND;
	bool to_page_backed = kind & SOM_ENTRY_PAGE_BACKED;
	unsigned long unit = som_entry_unit(*memory);
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
	ret = -EHWPOISON;
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) &&
	    som_page_backed_poisoned(som_entry_unit(entry)))
		goto out;
	/* From page-backed memory a child can only have a copy. */
	ret = to_page_backed ? som_cow_break(owner, idx) : 0;
	if (ret)
		goto out;
	/* Nor does a child copy from the old memory while it goes. */
	mutex_lock(&owner->cow.lock);
	ret = som_unit_copy(unit, som_entry_unit(entry));
	if (!ret)
		entry = som_entry_replace(owner, idx, unit,
					  SOM_ENTRY_LEVEL | SOM_ENTRY_KIND,
					  SOM_LEVEL_NONE | kind);
	mutex_unlock(&owner->cow.lock);
	if (ret)
		goto out;
	if (som_entry_level(entry) == SOM_LEVEL_4K)
		som_collapse_want(owner, idx);
	if (to_page_backed)
		som_dirty_log_pinned(&owner->dirty_log, idx);
	trace_som_unit_move(som_entry_unit(entry), unit);
	*memory = som_entry(som_entry_unit(entry),
			    som_entry_bits(entry) & SOM_ENTRY_KIND);
	ret = 0;
out:
	mutex_unlock(lock);
	return ret;
}

/**
 * struct som_compaction - a chunk that is being emptied
 * @chunk: its number.
 * @waits: how often mmap_lock may still be waited for.
 */
struct som_compaction {
	unsigned long chunk;
	unsigned int waits;
};

/*
 * mmap_lock of an owner, which may hold it as long as it likes: it is not queued for, as
 * that would stop all others who want to read, and is waited for within limits. False if
 * it was not to be had.
 */
static bool compact_lock(struct som_compaction *c, struct mm_struct *mm)
{
	while (!som_mm_write_trylock(mm)) {
		if (!c->waits || signal_pending(current) ||
		    !som_pool_draining(c->chunk))
			return false;
		c->waits--;
		usleep_range(500, 1000);
	}
	return true;
}

/*
 * One unit out of a chunk; false if the chunk cannot be emptied. Memory for it is taken
 * when nothing is left to be waited for.
 */
static bool compact_unit(struct som_compaction *c, struct som_owner *owner,
			 unsigned long idx)
{
	struct mm_struct *mm = owner->mm;
	void *entry, *memory;
	long target;

	if (!compact_lock(c, mm))
		return false;
	target = som_pool_alloc_target(owner->account->pool,
				       som_unit_nid(c->chunk * SOM_CHUNK_UNITS));
	if (target < 0) {
		mmap_write_unlock(mm);
		return false;
	}
	memory = som_entry(target, 0);
	mutex_lock(&owner->lock);
	/* Only who holds this lock removes or moves it. */
	entry = som_units_load(&owner->units, idx);
	if (entry && !som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) &&
	    som_entry_unit(entry) / SOM_CHUNK_UNITS == c->chunk)
		som_migrate_unit(owner, idx, &memory);
	mutex_unlock(&owner->lock);
	mmap_write_unlock(mm);
	som_migrate_free(memory);
	return true;
}

/* Everything that an owner has in a chunk; false if the chunk cannot be emptied. */
static bool compact_owner(struct som_compaction *c, struct som_owner *owner)
{
	unsigned long idx;
	bool more = true;
	void *entry;

	if (!mmget_not_zero(owner->mm))
		return true;
	som_units_for_each(&owner->units, idx, entry, 0, ULONG_MAX) {
		cond_resched();
		if (signal_pending(current) || !som_pool_draining(c->chunk)) {
			more = false;
			break;
		}
		if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ||
		    som_entry_unit(entry) / SOM_CHUNK_UNITS != c->chunk)
			continue;
		more = compact_unit(c, owner, idx);
		if (!more)
			break;
	}
	/* If its process has ended meanwhile, a worker takes it apart. */
	mmput_async(owner->mm);
	return more;
}

/* What parcels have in a chunk; false if the chunk cannot be emptied. */
static bool compact_parcels(unsigned long chunk)
{
	struct som_parcel *parcel;
	unsigned long id = 0;
	bool more = true;

	while (more && (parcel = som_parcel_next(id))) {
		id = parcel->id;
		more = som_parcel_migrate(parcel, chunk);
		fput(parcel->file);
	}
	return more;
}

/* Move what is in a chunk elsewhere. Return: 0 or -EINTR. */
static int compact_chunk(unsigned long chunk)
{
	struct som_compaction c = { .chunk = chunk, .waits = SOM_COMPACT_WAITS };
	bool more = compact_parcels(chunk);
	struct som_owner_walk walk;
	struct som_owner *owner;
	int ret = 0;

	som_owner_walk_begin(&walk);
	while (more && !ret && (owner = som_owner_walk_next(&walk))) {
		more = compact_owner(&c, owner);
		if (signal_pending(current))
			ret = -EINTR;
	}
	som_owner_walk_end(&walk);
	return ret;
}

/**
 * som_compact - empty chunks
 * @nr_chunks: how many
 *
 * Begins with those that have the fewest units in use.
 *
 * Context: Process context; tries every owner's mmap_lock, one at a time.
 * Return: 0; -EBUSY if fewer could be emptied: the rest does not fit into the
 * other chunks, is pinned, its owner holds mmap_lock, or somebody needed a unit of a chunk
 * that was being emptied; -EINTR on a signal. Those that are empty stay so.
 */
int som_compact(unsigned long nr_chunks)
{
	static DEFINE_MUTEX(one_at_a_time);
	static unsigned long round;
	unsigned long done = 0;
	long chunk;
	int ret;

	ret = mutex_lock_interruptible(&one_at_a_time);
	if (ret)
		return ret;
	round++;
	som_cache_drain();
	som_pool_drain_begin();
	while (done < nr_chunks && !ret) {
		chunk = som_pool_drain_next(round);
		if (chunk < 0) {
			ret = -EBUSY;
			break;
		}
		ret = compact_chunk(chunk);
		done += som_pool_drain_check(chunk);
	}
	som_pool_drain_end();
	mutex_unlock(&one_at_a_time);
	return ret;
}
