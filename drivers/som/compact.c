// SPDX-License-Identifier: GPL-2.0
/*
 * Compaction: empty chunks so that they can be returned to their source.
 *
 * There is no map from units to owners, so each owner's entries are searched for each
 * chunk: 512 entries per GiB of the owner. Compaction waits for owners for a limited time
 * and blocks no allocation: units of the chunks to empty are not quarantined, but allocated
 * last.
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

/* Attempts to take mmap_lock per chunk, about a millisecond apart. */
#define SOM_COMPACT_WAITS	1000

/**
 * struct som_compaction - a chunk that is being emptied
 * @chunk: its number.
 * @waits: remaining attempts to take mmap_lock.
 */
struct som_compaction {
	unsigned long chunk;
	unsigned int waits;
};

/*
 * Take an owner's mmap_lock. It can be held for any time, and a queued writer would block
 * all readers: so poll a limited number of times. Return false if that fails.
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
 * Move a unit out of a chunk; return false if the chunk cannot be emptied. The target is
 * allocated with mmap_lock held, so that it does not lie idle during the wait.
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
	/* Units are removed and moved only under this lock. */
	entry = som_tables_load(&owner->tables, idx);
	if (entry && !som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) &&
	    som_unit_chunk(som_entry_unit(entry)) == c->chunk)
		som_migrate_unit(owner, idx, &memory);
	mutex_unlock(&owner->lock);
	mmap_write_unlock(mm);
	som_migrate_free(memory);
	return true;
}

/* Move an owner's units out of a chunk; return false if it cannot be emptied. */
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
	/* If the process has ended meanwhile, a worker frees the address space. */
	mmput_async(owner->mm);
	return more;
}

/* Move parcels' units out of a chunk; return false if it cannot be emptied. */
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

/* Move all units out of a chunk. Return 0 or -EINTR. */
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
 * som_compact - Empty chunks, beginning with those that have the fewest used units
 * @nr_chunks: number of chunks
 * Context: Process context; tries every owner's mmap_lock, one at a time.
 * Return: 0; -EINTR on a signal; -EBUSY if fewer were emptied: the units do not fit into
 * other chunks or are pinned, an owner holds mmap_lock, or a unit of a chunk was needed.
 * Emptied chunks stay empty in any case.
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
