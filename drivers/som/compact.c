// SPDX-License-Identifier: GPL-2.0
/*
 * Compaction: empty chunks, so that they can be given back.
 *
 * Nobody knows which owner has a unit but the owner, so each owner's units are looked
 * through once for each chunk: 512 entries for each GiB that it has. It waits for owners,
 * within limits, and keeps nothing from anybody meanwhile: units of chunks that it wants
 * empty are taken last, not quarantined.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include "cache.h"
#include "compact.h"
#include "compat.h"
#include "entry.h"
#include "inode.h"
#include "migrate.h"
#include "parcel.h"
#include "pool.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"

/* How often mmap_lock is tried for a chunk, a millisecond apart, before it is given up. */
#define SOM_COMPACT_WAITS	1000

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
	som_unit_t target;

	if (!compact_lock(c, mm))
		return false;
	target = som_pool_alloc_target(owner->account->pool,
				       som_unit_nid(som_chunk_unit(c->chunk, 0)));
	if (som_unit_failed(target)) {
		mmap_write_unlock(mm);
		return false;
	}
	memory = som_entry(target, 0);
	mutex_lock(&owner->lock);
	/* Only who holds this lock removes or moves it. */
	entry = som_tables_load(&owner->tables, idx);
	if (entry && !som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) &&
	    som_unit_chunk(som_entry_unit(entry)) == c->chunk)
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
	som_tables_for_each(&owner->tables, idx, entry, 0, ULONG_MAX) {
		cond_resched();
		if (signal_pending(current) || !som_pool_draining(c->chunk)) {
			more = false;
			break;
		}
		if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ||
		    som_unit_chunk(som_entry_unit(entry)) != c->chunk)
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
