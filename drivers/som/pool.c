// SPDX-License-Identifier: GPL-2.0
/*
 * The pool: chunks from a source, handed out as zeroed units.
 *
 * A unit is known by its number in the machine, the page frame number divided
 * by 512; a chunk by its unit number divided by 512. Chunks are in an xarray
 * under their number. Marks on its entries say which chunks have zeroed,
 * dirty or held units, so that finding one is a search of the xarray.
 *
 * Life of a unit: free (zeroed or dirty) -> som_pool_alloc() -> used ->
 * som_pool_free() -> dirty, or held while somebody has a pin on the chunk ->
 * dirty. som_pool_alloc() zeroes what is dirty after it took it, so nobody
 * ever sees another owner's bytes. som_pool_free() may only be called when no
 * translation of the unit is left in any page table or TLB (vma.c and owner.c
 * say when that is).
 *
 * Locking, outer to inner:
 *   pool.resize	mutex: growing, shrinking; the source
 *   chunk->lock	spinlock: the chunk's bitmaps and its marks
 *   pool.commit_lock	spinlock: promises
 *   xa_lock		of pool.chunks
 * Chunks are found under RCU; a chunk that is going away is "dead" under its
 * lock before it leaves the xarray. None of these locks is held while a unit
 * is zeroed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include "commit.h"
#include "pool.h"
#include "range.h"
#include "source.h"
#include "trace.h"
#include "unitmap.h"

#define SOM_HAS_ZEROED	XA_MARK_0
#define SOM_HAS_DIRTY	XA_MARK_1
#define SOM_HAS_HELD	XA_MARK_2

/* How often held units are looked at, in milliseconds. */
#define SOM_HELD_MS	100

struct som_chunk {
	spinlock_t lock;	/* guards map, dead and draining */
	bool dead;
	bool draining;		/* nothing is taken from it */
	unsigned long round;	/* of the last compaction that tried it */
	struct som_unitmap map;
	struct som_extent ext;
	struct rcu_head rcu;
};

static void som_pool_held_work(struct work_struct *work);

static struct {
	const struct som_source *source;
	struct xarray chunks;
	unsigned long nr_chunks;	/* under resize */
	struct mutex resize;		/* growing and shrinking */
	spinlock_t commit_lock;		/* guards commit */
	struct som_commit commit;
	struct delayed_work held_work;
} pool = {
	.source = &som_source_hugetlb,
	.chunks = XARRAY_INIT(pool.chunks, 0),
	.resize = __MUTEX_INITIALIZER(pool.resize),
	.commit_lock = __SPIN_LOCK_UNLOCKED(pool.commit_lock),
	.held_work = __DELAYED_WORK_INITIALIZER(pool.held_work,
						som_pool_held_work, 0),
};

static unsigned long chunk_nr(const struct som_chunk *chunk)
{
	return chunk->ext.pfn / SOM_CHUNK_PAGES;
}

/* Make one mark of a chunk say what its bitmaps say. */
static void chunk_mark(struct som_chunk *chunk, xa_mark_t mark, bool set)
{
	unsigned long nr = chunk_nr(chunk);

	lockdep_assert_held(&chunk->lock);

	if (chunk->dead || xa_get_mark(&pool.chunks, nr, mark) == set)
		return;
	if (set)
		xa_set_mark(&pool.chunks, nr, mark);
	else
		xa_clear_mark(&pool.chunks, nr, mark);
}

static void chunk_mark_free(struct som_chunk *chunk)
{
	bool take = !chunk->draining;

	chunk_mark(chunk, SOM_HAS_ZEROED,
		   take && som_unitmap_nr_zeroed(&chunk->map));
	chunk_mark(chunk, SOM_HAS_DIRTY, take && chunk->map.nr_dirty);
}

/*
 * Held units of a chunk become free when the last pin on it is gone. No new
 * pin can come to a held unit: nothing maps it.
 */
static void chunk_unhold(struct som_chunk *chunk)
{
	unsigned int nr;

	lockdep_assert_held(&chunk->lock);

	if (!chunk->map.nr_held || pool.source->pinned(&chunk->ext))
		return;
	nr = som_unitmap_unhold(&chunk->map);
	chunk_mark(chunk, SOM_HAS_HELD, false);
	chunk_mark_free(chunk);
	spin_lock(&pool.commit_lock);
	som_commit_restore(&pool.commit, nr);
	spin_unlock(&pool.commit_lock);
}

/* Look at all held units; true if some still are. */
static bool som_pool_unhold(void)
{
	struct som_chunk *chunk;
	unsigned long nr;
	bool left = false;

	rcu_read_lock();
	xa_for_each_marked(&pool.chunks, nr, chunk, SOM_HAS_HELD) {
		spin_lock(&chunk->lock);
		chunk_unhold(chunk);
		left |= chunk->map.nr_held;
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
	return left;
}

static void som_pool_held_work(struct work_struct *work)
{
	if (som_pool_unhold())
		schedule_delayed_work(&pool.held_work,
				      msecs_to_jiffies(SOM_HELD_MS));
}

/**
 * som_unit_address - where the kernel sees a unit's memory
 * @unit: unit number
 *
 * Context: Any.
 * Return: address of its first byte.
 */
void *som_unit_address(unsigned long unit)
{
	return __va(unit << SOM_UNIT_SHIFT);
}

/**
 * som_unit_zero - zero a unit's memory
 * @unit: unit number
 *
 * Context: Process context; may sleep.
 */
void som_unit_zero(unsigned long unit)
{
	void *addr = som_unit_address(unit);
	unsigned long i;

	for (i = 0; i < SOM_UNIT_PAGES; i++) {
		clear_page(addr + i * PAGE_SIZE);
		if (!(i % 64))
			cond_resched();
	}
}

/**
 * som_pool_charge - promise units to an owner
 * @nr_units: how many
 *
 * Context: Process context; takes pool.commit_lock.
 * Return: true, or false (and nothing is changed) if the pool cannot hold
 * that promise.
 */
bool som_pool_charge(unsigned long nr_units)
{
	bool ok;

	spin_lock(&pool.commit_lock);
	ok = som_commit_charge(&pool.commit, nr_units);
	spin_unlock(&pool.commit_lock);
	if (ok || !READ_ONCE(pool.commit.withheld))
		return ok;

	som_pool_unhold();
	spin_lock(&pool.commit_lock);
	ok = som_commit_charge(&pool.commit, nr_units);
	spin_unlock(&pool.commit_lock);
	return ok;
}

/**
 * som_pool_uncharge - take promises back
 * @nr_units: how many units, each charged before
 *
 * Context: Process context; takes pool.commit_lock.
 */
void som_pool_uncharge(unsigned long nr_units)
{
	if (!nr_units)
		return;
	spin_lock(&pool.commit_lock);
	som_commit_uncharge(&pool.commit, nr_units);
	spin_unlock(&pool.commit_lock);
}

static long take_unit(bool *zeroed)
{
	struct som_chunk *chunk;
	unsigned long nr;
	long unit = -ENOSPC;

	rcu_read_lock();
	do {
		nr = 0;
		chunk = xa_find(&pool.chunks, &nr, ULONG_MAX, SOM_HAS_ZEROED);
		if (!chunk) {
			nr = 0;
			chunk = xa_find(&pool.chunks, &nr, ULONG_MAX,
					SOM_HAS_DIRTY);
		}
		if (!chunk)
			break;
		spin_lock(&chunk->lock);
		if (!chunk->dead && !chunk->draining) {
			unit = som_unitmap_take(&chunk->map, zeroed);
			chunk_mark_free(chunk);
		}
		spin_unlock(&chunk->lock);
	} while (unit < 0);
	rcu_read_unlock();
	return chunk ? nr * SOM_CHUNK_UNITS + unit : -ENOSPC;
}

static long alloc_unit(bool *zeroed)
{
	long unit = take_unit(zeroed);

	if (unit < 0 && READ_ONCE(pool.commit.withheld)) {
		som_pool_unhold();
		unit = take_unit(zeroed);
	}
	return unit;
}

/**
 * som_pool_alloc_unzeroed - take a unit all of which will be overwritten
 *
 * It has bytes of a former owner: nobody may see it before it is overwritten.
 *
 * Context: Process context.
 * Return: unit number, or -ENOSPC if there is none.
 */
long som_pool_alloc_unzeroed(void)
{
	bool zeroed;
	long unit = alloc_unit(&zeroed);

	if (unit >= 0)
		trace_som_unit_alloc(unit, false);
	return unit;
}

/**
 * som_pool_alloc - take a unit that was charged before
 *
 * The unit's memory is zero.
 *
 * Context: Process context; may sleep.
 * Return: unit number, or -ENOSPC if there is none right now: a unit that
 * makes up for the charge is on its way back from its former owner.
 */
long som_pool_alloc(void)
{
	bool zeroed;
	long unit;

	might_sleep();

	unit = alloc_unit(&zeroed);
	if (unit < 0)
		return unit;
	if (!zeroed)
		som_unit_zero(unit);
	trace_som_unit_alloc(unit, !zeroed);
	return unit;
}

/**
 * som_pool_alloc_chunk - take all units of an empty chunk
 *
 * The caller charges them. Their memory is zero.
 *
 * Context: Process context; may take as long as zeroing a GiB does.
 * Return: chunk number, or -ENOSPC if no chunk is empty.
 */
long som_pool_alloc_chunk(void)
{
	DECLARE_BITMAP(dirty, SOM_CHUNK_UNITS);
	struct som_chunk *chunk;
	unsigned long nr, unit;
	bool taken = false;

	rcu_read_lock();
	xa_for_each(&pool.chunks, nr, chunk) {
		spin_lock(&chunk->lock);
		taken = !chunk->dead && !chunk->draining &&
			som_unitmap_take_all(&chunk->map, dirty);
		chunk_mark_free(chunk);
		spin_unlock(&chunk->lock);
		if (taken)
			break;
	}
	rcu_read_unlock();
	if (!taken)
		return -ENOSPC;
	for_each_set_bit(unit, dirty, SOM_CHUNK_UNITS)
		som_unit_zero(nr * SOM_CHUNK_UNITS + unit);
	return nr;
}

/**
 * som_pool_free_chunk - give back what som_pool_alloc_chunk() has taken
 * @chunk: chunk number; nobody has seen its memory
 *
 * Context: Process context.
 */
void som_pool_free_chunk(unsigned long chunk)
{
	unsigned long unit;

	for (unit = 0; unit < SOM_CHUNK_UNITS; unit++)
		som_pool_free(chunk * SOM_CHUNK_UNITS + unit);
}

/**
 * som_pool_free - a unit has lost its owner
 * @unit: unit number
 *
 * The caller knows that no page table and no TLB has a translation of it, and
 * takes its charge back afterwards. If anybody still holds a pin on
 * memory of the chunk, the unit is held back until the pin is gone.
 *
 * Context: Process context; takes the chunk's lock.
 */
void som_pool_free(unsigned long unit)
{
	struct som_chunk *chunk;
	bool hold = false;
	int ret = -ENOENT;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, unit / SOM_CHUNK_UNITS);
	if (chunk) {
		spin_lock(&chunk->lock);
		hold = pool.source->pinned(&chunk->ext);
		ret = som_unitmap_put(&chunk->map, unit % SOM_CHUNK_UNITS, hold);
		if (hold && !ret) {
			spin_lock(&pool.commit_lock);
			som_commit_withhold(&pool.commit);
			spin_unlock(&pool.commit_lock);
			chunk_mark(chunk, SOM_HAS_HELD, true);
		} else if (chunk->map.nr_dirty == 1) {
			chunk_mark_free(chunk);
		}
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
	WARN_ON_ONCE(ret);
	if (hold)
		schedule_delayed_work(&pool.held_work,
				      msecs_to_jiffies(SOM_HELD_MS));
	trace_som_unit_free(unit, hold);
}

/**
 * som_pool_pinned - might somebody other than its owner hold a unit's memory?
 * @unit: number of a unit that is in use
 *
 * Context: Any.
 * Return: true while anybody has a pin on memory of the unit's chunk.
 */
bool som_pool_pinned(unsigned long unit)
{
	struct som_chunk *chunk;
	bool pinned;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, unit / SOM_CHUNK_UNITS);
	pinned = chunk && pool.source->pinned(&chunk->ext);
	rcu_read_unlock();
	return pinned;
}

/* Free units of chunks that are not being emptied. */
static unsigned long free_elsewhere(const struct som_chunk *but)
{
	struct som_chunk *chunk;
	unsigned long i, nr = 0;

	xa_for_each(&pool.chunks, i, chunk) {
		if (chunk != but && !READ_ONCE(chunk->draining))
			nr += som_unitmap_nr_free(&chunk->map);
	}
	return nr;
}

/**
 * som_pool_drain_begin - begin a compaction
 *
 * Nothing is taken from chunks that are empty until som_pool_drain_end().
 *
 * Context: Process context.
 */
void som_pool_drain_begin(void)
{
	struct som_chunk *chunk;
	unsigned long i;

	rcu_read_lock();
	xa_for_each(&pool.chunks, i, chunk) {
		spin_lock(&chunk->lock);
		chunk->draining = !chunk->map.nr_used;
		chunk_mark_free(chunk);
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
}

/**
 * som_pool_drain_next - choose a chunk to be emptied
 * @round: number of the compaction; each chunk is chosen once in a round
 *
 * It is the one with the fewest units in use that fit elsewhere. Nothing is taken
 * from it until som_pool_drain_end().
 *
 * Context: Process context.
 * Return: chunk number, or -ENOSPC if there is none.
 */
long som_pool_drain_next(unsigned long round)
{
	struct som_chunk *chunk, *best = NULL;
	unsigned int used, fewest = SOM_CHUNK_UNITS + 1;
	long nr = -ENOSPC;
	unsigned long i;

	rcu_read_lock();
	xa_for_each(&pool.chunks, i, chunk) {
		used = READ_ONCE(chunk->map.nr_used);
		if (used && used < fewest && chunk->round != round) {
			fewest = used;
			best = chunk;
		}
	}
	if (best && free_elsewhere(best) >= fewest) {
		spin_lock(&best->lock);
		best->round = round;
		best->draining = true;
		chunk_mark_free(best);
		spin_unlock(&best->lock);
		nr = chunk_nr(best);
	}
	rcu_read_unlock();
	return nr;
}

/**
 * som_pool_drain_check - has a chunk been emptied?
 * @chunk: chunk number, from som_pool_drain_next()
 *
 * If so, nothing is taken from it until som_pool_drain_end(); if not, from now on
 * it is a chunk as any other.
 *
 * Context: Process context.
 * Return: true if it is empty, or gone.
 */
bool som_pool_drain_check(unsigned long chunk)
{
	struct som_chunk *c;
	bool empty = true;

	rcu_read_lock();
	c = xa_load(&pool.chunks, chunk);
	if (c) {
		spin_lock(&c->lock);
		empty = !c->map.nr_used;
		c->draining = empty;
		chunk_mark_free(c);
		spin_unlock(&c->lock);
	}
	rcu_read_unlock();
	return empty;
}

/**
 * som_pool_drain_end - the end of a compaction
 *
 * Context: Process context.
 */
void som_pool_drain_end(void)
{
	struct som_chunk *chunk;
	unsigned long i;

	rcu_read_lock();
	xa_for_each(&pool.chunks, i, chunk) {
		spin_lock(&chunk->lock);
		chunk->draining = false;
		chunk_mark_free(chunk);
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
}

/* Take one chunk from the source. */
static int som_pool_add(void)
{
	struct som_chunk *chunk;
	int ret;

	lockdep_assert_held(&pool.resize);

	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);
	if (!chunk)
		return -ENOMEM;
	ret = pool.source->get(&chunk->ext);
	if (ret)
		goto out_free;
	spin_lock_init(&chunk->lock);
	som_unitmap_init(&chunk->map, chunk->ext.zeroed);

	ret = xa_insert(&pool.chunks, chunk_nr(chunk), chunk, GFP_KERNEL);
	if (ret)
		goto out_put;
	trace_som_chunk_get(chunk_nr(chunk), chunk->ext.nid);

	spin_lock(&chunk->lock);
	chunk_mark_free(chunk);
	spin_unlock(&chunk->lock);
	spin_lock(&pool.commit_lock);
	som_commit_grow(&pool.commit, SOM_CHUNK_UNITS);
	spin_unlock(&pool.commit_lock);
	pool.nr_chunks++;
	return 0;

out_put:
	pool.source->put(&chunk->ext);
out_free:
	kfree(chunk);
	return ret;
}

/*
 * Give one chunk back if it is empty and no promise needs it. Units that are
 * held do not count: whoever pins them has a reference to the source's folio,
 * and the source waits for that by itself.
 */
static bool som_pool_remove(struct som_chunk *chunk)
{
	unsigned int held;
	bool gone = false;

	lockdep_assert_held(&pool.resize);

	spin_lock(&chunk->lock);
	held = chunk->map.nr_held;
	if (!chunk->map.nr_used) {
		spin_lock(&pool.commit_lock);
		som_commit_restore(&pool.commit, held);
		gone = som_commit_shrink(&pool.commit, SOM_CHUNK_UNITS);
		if (!gone)
			while (held--)
				som_commit_withhold(&pool.commit);
		spin_unlock(&pool.commit_lock);
	}
	if (gone) {
		chunk_mark(chunk, SOM_HAS_ZEROED, false);
		chunk_mark(chunk, SOM_HAS_DIRTY, false);
		chunk_mark(chunk, SOM_HAS_HELD, false);
		chunk->dead = true;
	}
	spin_unlock(&chunk->lock);
	if (!gone)
		return false;

	xa_erase(&pool.chunks, chunk_nr(chunk));
	trace_som_chunk_put(chunk_nr(chunk), chunk->ext.nid);
	pool.source->put(&chunk->ext);
	pool.nr_chunks--;
	kfree_rcu(chunk, rcu);
	return true;
}

/* Remove up to nr empty chunks; how many went. */
static unsigned long som_pool_shrink(unsigned long nr)
{
	struct som_chunk *chunk;
	unsigned long i, gone = 0;

	xa_for_each(&pool.chunks, i, chunk) {
		if (gone == nr)
			break;
		gone += som_pool_remove(chunk);
		cond_resched();
	}
	return gone;
}

/**
 * som_pool_resize - grow or shrink the pool
 * @nr_chunks: how many chunks it shall have
 *
 * A grow takes all or nothing. A shrink gives back empty chunks only.
 *
 * Context: Process context; takes pool.resize.
 * Return: 0; -ENOMEM if the source has too few, -EINTR on a signal, and the
 * pool is as before; -EBUSY if not enough chunks were empty, and those that
 * were are given back.
 */
int som_pool_resize(unsigned long nr_chunks)
{
	unsigned long before, nr;
	int ret = 0;

	mutex_lock(&pool.resize);
	before = pool.nr_chunks;
	if (nr_chunks < before) {
		nr = som_pool_shrink(before - nr_chunks);
		if (nr < before - nr_chunks)
			ret = -EBUSY;
		pr_info("gave back %lu of %lu chunks\n", nr, before - nr_chunks);
	} else {
		while (pool.nr_chunks < nr_chunks && !ret)
			ret = som_pool_add();
		nr = pool.nr_chunks - before;
		if (ret) {
			/* Those just taken may be in use already: try. */
			som_pool_shrink(nr);
			pr_err("asked for %lu more chunks, found %lu %s; reserve with %s or boot with %s\n",
			       nr_chunks - before, nr, pool.source->name,
			       pool.source->hint_file, pool.source->hint_boot);
		}
	}
	mutex_unlock(&pool.resize);
	return ret;
}

/**
 * som_pool_stats - count units
 * @nid: node, or NUMA_NO_NODE for the whole pool
 * @stats: where the result goes
 *
 * Context: Process context.
 */
void som_pool_stats(int nid, struct som_pool_stats *stats)
{
	struct som_chunk *chunk;
	unsigned long i;

	*stats = (struct som_pool_stats){};
	rcu_read_lock();
	xa_for_each(&pool.chunks, i, chunk) {
		if (nid != NUMA_NO_NODE && chunk->ext.nid != nid)
			continue;
		spin_lock(&chunk->lock);
		chunk_unhold(chunk);
		if (!chunk->dead) {
			stats->chunks++;
			stats->empty += !chunk->map.nr_used;
			stats->total += SOM_CHUNK_UNITS;
			stats->free += som_unitmap_nr_free(&chunk->map);
			stats->dirty += chunk->map.nr_dirty;
			stats->used += chunk->map.nr_used;
			stats->held += chunk->map.nr_held;
		}
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
	stats->committed = READ_ONCE(pool.commit.committed);
}

/**
 * som_pool_init - open the source and take the first chunks
 * @nr_chunks: how many
 *
 * Context: Module load.
 * Return: 0 or -errno as som_pool_resize().
 */
int som_pool_init(unsigned long nr_chunks)
{
	int ret;

	ret = pool.source->open();
	if (ret) {
		pr_err("%s cannot be had (%d); boot with %s\n",
		       pool.source->name, ret, pool.source->hint_boot);
		return ret;
	}
	ret = som_pool_resize(nr_chunks);
	if (ret)
		som_pool_exit();
	return ret;
}

/**
 * som_pool_exit - give everything back
 *
 * Context: Module unload; no owner is left.
 */
void som_pool_exit(void)
{
	mutex_lock(&pool.resize);
	som_pool_shrink(pool.nr_chunks);
	WARN_ON_ONCE(pool.nr_chunks);
	mutex_unlock(&pool.resize);
	cancel_delayed_work_sync(&pool.held_work);
	pool.source->close();
	xa_destroy(&pool.chunks);
}
