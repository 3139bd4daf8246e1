// SPDX-License-Identifier: GPL-2.0
/*
 * The pool takes chunks of 1 GiB from the sources and hands them out as zeroed units. A
 * unit's number is its page frame number divided by 512, a chunk's is its unit number
 * divided by 512. Chunks are stored in an xarray by number and again in one per NUMA node.
 * Marks in these name the chunks that have zeroed, dirty or quarantined units.
 *
 * Life of a unit:
 * 1. It is free: zeroed or dirty.
 * 2. som_pool_alloc() makes it used. A dirty unit is zeroed before it is returned, so no
 *    owner sees another owner's data.
 * 3. The owner removes every translation of it from page tables and TLBs.
 * 4. If its chunk has no pin, som_pool_free_units() makes it dirty. Otherwise
 *    som_pool_quarantine_units() quarantines it and charges a payer. It becomes dirty, and
 *    the charge is returned, when the chunk is seen without any pin.
 * 5. zero.c zeroes dirty units in the background.
 *
 * Pins are counted per chunk. A new pin needs a translation, so a unit without translations
 * is unpinned once its chunk has been seen without any pin, even if other units of the
 * chunk are pinned later. While any of its units is used or quarantined, a chunk belongs to
 * one user: a pin may only cost owners of the user that pins. commit.h keeps reservations
 * valid under this rule. With share_chunks, all users count as one.
 *
 * A poisoned unit (hwpoison.c) is never zeroed, copied or allocated again. Once it has no
 * owner it is retired: the pool shrinks by one unit, even if all are reserved. Then one
 * reservation cannot be met, and a fault without a unit gets SIGBUS, as with HugeTLB.
 *
 * Lock order, outer to inner:
 *   pool.resize (mutex): growing, shrinking, the sources
 *   chunk->lock (spinlock): the chunk's bitmaps and marks
 *   pool.commit_lock (spinlock): reservations
 *   xa_lock of pool.chunks and of the nodes' chunks
 * Chunks are looked up under RCU. A chunk is marked dead under its lock before it leaves
 * the xarrays. No lock is held while a unit is zeroed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/array_size.h>
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/topology.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include "commit.h"
#include "pool.h"
#include "range.h"
#include "source.h"
#include "sources.h"
#include "trace.h"
#include "unitmap.h"

/* Marks in a node's chunks. */
#define SOM_HAS_ZEROED	XA_MARK_0
#define SOM_HAS_DIRTY	XA_MARK_1
/* Mark in pool.chunks. */
#define SOM_HAS_QUARANTINED	XA_MARK_0

/* Interval for checking quarantined units, in milliseconds. */
#define SOM_QUARANTINE_MS	100

struct som_chunk {
	spinlock_t lock;	/* guards map, dead and draining */
	bool dead;
	bool draining;		/* allocated from last: pool_take_draining() */
	bool has_zeroed;	/* mirror the marks */
	bool has_dirty;
	unsigned long round;	/* last compaction that tried it */
	struct som_pool_user *user;	/* user of its units, or NULL */
	struct list_head quarantines;	/* charges for quarantined units */
	struct som_unitmap map;
	struct som_extent ext;
	struct rcu_head rcu;
};

/* Quarantined units of a chunk that are charged to one payer. */
struct som_quarantine {
	struct list_head list;
	struct som_quarantine_charge *payer;
	unsigned int nr;
};

struct som_pool_node {
	struct xarray chunks;
	wait_queue_head_t dirty_wait;	/* for dirty units */
	int *order;			/* all nodes, by distance */
};

/* Sources in the order in which they are asked for memory. It is returned in reverse. */
static const struct som_source * const sources[] = SOM_SOURCES;

/*
 * The chunk of this processor's last unit, to take the next one from; set under
 * chunk->lock. Processors that contend for a chunk move to different ones.
 */
static DEFINE_PER_CPU(struct som_chunk *, som_hint);

static void som_pool_quarantine_work(struct work_struct *work);

static struct {
	struct xarray chunks;
	struct som_pool_node *nodes;	/* nr_node_ids entries */
	unsigned long nr_chunks;	/* under resize */
	struct mutex resize;
	spinlock_t commit_lock;		/* guards commit, users' and gone */
	struct som_commit commit;
	struct som_pool_user everybody;	/* with share_chunks */
	struct list_head gone;		/* charges that ended, to be returned */
	struct delayed_work quarantine_work;
	bool draining;			/* a compaction is running */
	bool exiting;			/* under resize */
	bool opened[ARRAY_SIZE(sources)];	/* under resize */
} pool = {
	.chunks = XARRAY_INIT(pool.chunks, 0),
	.resize = __MUTEX_INITIALIZER(pool.resize),
	.commit_lock = __SPIN_LOCK_UNLOCKED(pool.commit_lock),
	.gone = LIST_HEAD_INIT(pool.gone),
	.quarantine_work = __DELAYED_WORK_INITIALIZER(pool.quarantine_work,
						      som_pool_quarantine_work, 0),
};

/* Guarded by commit_lock; changes only while no unit is reserved, used or quarantined. */
static bool share_chunks __read_mostly;
module_param(share_chunks, bool, 0444);
MODULE_PARM_DESC(share_chunks, "users share chunks: pins of one user can quarantine units released by others (default N)");

/* Set before the first unit is poisoned; never cleared. */
bool som_pool_any_poisoned;

static unsigned long chunk_nr(const struct som_chunk *chunk)
{
	return chunk->ext.pfn / SOM_CHUNK_PAGES;
}

static struct som_pool_node *chunk_node(const struct som_chunk *chunk)
{
	return &pool.nodes[chunk->ext.nid];
}

static void chunk_mark(struct som_chunk *chunk, struct xarray *xa,
		       xa_mark_t mark, bool set)
{
	if (chunk->dead)
		return;
	if (set)
		xa_set_mark(xa, chunk_nr(chunk), mark);
	else
		xa_clear_mark(xa, chunk_nr(chunk), mark);
}

static void chunk_set_marks(struct som_chunk *chunk, bool zeroed, bool dirty)
{
	struct som_pool_node *node = chunk_node(chunk);

	if (zeroed != chunk->has_zeroed)
		chunk_mark(chunk, &node->chunks, SOM_HAS_ZEROED, zeroed);
	if (dirty != chunk->has_dirty)
		chunk_mark(chunk, &node->chunks, SOM_HAS_DIRTY, dirty);
	WRITE_ONCE(chunk->has_zeroed, zeroed);
	WRITE_ONCE(chunk->has_dirty, dirty);
	if (dirty)
		wake_up(&node->dirty_wait);
}

static inline void chunk_mark_free(struct som_chunk *chunk)
{
	bool zeroed = !chunk->draining && som_unitmap_nr_zeroed(&chunk->map);
	bool dirty = !chunk->draining && chunk->map.nr_dirty;

	lockdep_assert_held(&chunk->lock);

	if (unlikely(zeroed != chunk->has_zeroed || dirty != chunk->has_dirty))
		chunk_set_marks(chunk, zeroed, dirty);
}

/* The user that the pool accounts to. Cannot change while the user has reservations. */
static struct som_pool_user *pool_user(struct som_pool_user *user)
{
	return READ_ONCE(share_chunks) ? &pool.everybody : user;
}

static struct som_commit_user *chunk_commit(struct som_chunk *chunk)
{
	return chunk->user ? &chunk->user->commit : NULL;
}

/* Not for a dead chunk: its extent may be back at the source. */
static bool chunk_pinned(const struct som_chunk *chunk)
{
	return chunk->ext.source->pinned(&chunk->ext);
}

/* Account for @nr units of a chunk that were just retired. */
static void chunk_retired(struct som_chunk *chunk, unsigned int nr)
{
	lockdep_assert_held(&chunk->lock);

	if (likely(!nr))
		return;
	spin_lock(&pool.commit_lock);
	som_commit_retire(&pool.commit, chunk_commit(chunk), nr);
	spin_unlock(&pool.commit_lock);
}

/**
 * enum som_take - chunks that a unit may be taken from
 * @SOM_TAKE_OWN: chunks of the user.
 * @SOM_TAKE_CLAIMED: chunks of no user, if the user has fewer than it claims.
 * @SOM_TAKE_FREE: chunks of no user, unless other users claim all of them.
 */
enum som_take {
	SOM_TAKE_OWN,
	SOM_TAKE_CLAIMED,
	SOM_TAKE_FREE,
};

/* Unlocked check whether a user may take another chunk; chunk_take() decides. */
static bool pool_may_take(const struct som_pool_user *user, enum som_take how)
{
	bool ok;

	if (how == SOM_TAKE_OWN)
		return false;
	if (how == SOM_TAKE_CLAIMED)
		return READ_ONCE(user->commit.chunks) <
		       READ_ONCE(user->commit.claim);
	spin_lock(&pool.commit_lock);
	ok = som_commit_may_take(&pool.commit, &user->commit);
	spin_unlock(&pool.commit_lock);
	return ok;
}

/* Give a chunk to a user if it belongs to none. */
static bool chunk_take(struct som_chunk *chunk, struct som_pool_user *user)
{
	bool ok;

	lockdep_assert_held(&chunk->lock);

	if (chunk->user)
		return false;
	spin_lock(&pool.commit_lock);
	ok = som_commit_take(&pool.commit, &user->commit,
			     chunk->map.nr_retired);
	spin_unlock(&pool.commit_lock);
	if (ok)
		WRITE_ONCE(chunk->user, user);
	return ok;
}

static void chunk_forget_user(struct som_chunk *chunk)
{
	cmpxchg(&chunk->user->hint, chunk, NULL);
	WRITE_ONCE(chunk->user, NULL);
}

/* Take a chunk from its user if no unit is used or quarantined. */
static inline void chunk_leave(struct som_chunk *chunk)
{
	lockdep_assert_held(&chunk->lock);

	if (likely(chunk->map.nr_used || chunk->map.nr_quarantined) || !chunk->user)
		return;
	spin_lock(&pool.commit_lock);
	som_commit_leave(&pool.commit, &chunk->user->commit,
			 chunk->map.nr_retired);
	spin_unlock(&pool.commit_lock);
	chunk_forget_user(chunk);
}

/* Keep the module loaded while there are pins that the chunk's source does not wait for. */
static void hold_module(const struct som_chunk *chunk, bool quarantine)
{
	if (chunk->ext.source->flags & SOM_SOURCE_PINS_LEAVE)
		return;
	if (quarantine)
		__module_get(THIS_MODULE);
	else
		module_put(THIS_MODULE);
}

/*
 * Free the quarantined units of a chunk once it has no pin. Nothing maps them, so they
 * cannot be pinned again.
 */
static void chunk_end_quarantine(struct som_chunk *chunk)
{
	unsigned int nr, retired = chunk->map.nr_retired;

	lockdep_assert_held(&chunk->lock);

	/* A dead chunk's units are accounted for already, and its extent may be gone. */
	if (chunk->dead || !chunk->map.nr_quarantined || chunk_pinned(chunk))
		return;
	hold_module(chunk, false);
	nr = som_unitmap_end_quarantine(&chunk->map);
	chunk_mark(chunk, &pool.chunks, SOM_HAS_QUARANTINED, false);
	chunk_mark_free(chunk);
	spin_lock(&pool.commit_lock);
	som_commit_restore(&pool.commit, &chunk->user->commit, nr);
	list_splice_tail_init(&chunk->quarantines, &pool.gone);
	spin_unlock(&pool.commit_lock);
	chunk_retired(chunk, chunk->map.nr_retired - retired);
	chunk_leave(chunk);
}

/* Return the charges of units whose quarantine has ended. */
static void som_pool_settle(void)
{
	struct som_quarantine *quarantine, *next;
	LIST_HEAD(gone);

	spin_lock(&pool.commit_lock);
	list_splice_init(&pool.gone, &gone);
	spin_unlock(&pool.commit_lock);
	list_for_each_entry_safe(quarantine, next, &gone, list) {
		quarantine->payer->gone(quarantine->payer, quarantine->nr);
		kfree(quarantine);
	}
}

/* Check all quarantined units. Return: true if some are still quarantined. */
static bool som_pool_end_quarantine(void)
{
	struct som_chunk *chunk;
	unsigned long nr;
	bool left = false;

	rcu_read_lock();
	xa_for_each_marked(&pool.chunks, nr, chunk, SOM_HAS_QUARANTINED) {
		spin_lock(&chunk->lock);
		chunk_end_quarantine(chunk);
		left |= !chunk->dead && chunk->map.nr_quarantined;
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
	return left;
}

/**
 * som_pool_look - End the quarantine of units whose chunk has no pin any more
 * Context: Process context; takes the chunks' locks.
 * Return: true if any unit was quarantined: the caller may retry a charge.
 */
bool som_pool_look(void)
{
	if (!READ_ONCE(pool.commit.quarantined))
		return false;
	som_pool_end_quarantine();
	som_pool_settle();
	return true;
}

/* Unbound: the work keeps off isolated processors. */
static void queue_quarantine_work(void)
{
	queue_delayed_work(system_unbound_wq, &pool.quarantine_work,
			   msecs_to_jiffies(SOM_QUARANTINE_MS));
}

static void som_pool_quarantine_work(struct work_struct *work)
{
	bool left = som_pool_end_quarantine();

	som_pool_settle();
	if (left)
		queue_quarantine_work();
}

/**
 * som_unit_address - Return the kernel's address of a unit's memory
 * @unit: unit number
 * Context: Any.
 * Return: address of the first byte.
 */
void *som_unit_address(som_unit_t unit)
{
	return __va(som_unit_nr(unit) << SOM_UNIT_SHIFT);
}

/**
 * som_unit_nid - Return a unit's NUMA node
 * @unit: unit number
 * Context: Any.
 * Return: node number.
 */
int som_unit_nid(som_unit_t unit)
{
	return pfn_to_nid(som_unit_pfn(unit));
}

/**
 * som_unit_zero - Zero a unit's memory
 * @unit: unit number
 * Context: Process context; may sleep.
 */
void som_unit_zero(som_unit_t unit)
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
 * som_unit_copy_pages - Copy pages of a unit to the same offsets of another
 * @to: unit number of the copy
 * @from: unit number
 * @pages: pages to copy; the copy's other pages are not touched
 * Context: Process context; may sleep.
 * Return: 0; -EHWPOISON if memory of @from has failed: some pages are not copied.
 */
int som_unit_copy_pages(som_unit_t to, som_unit_t from,
			const unsigned long *pages)
{
	void *dst = som_unit_address(to), *src = som_unit_address(from);
	unsigned int i, nr = 0;

	if (som_pool_poisoned(from))
		return -EHWPOISON;
	for_each_set_bit(i, pages, SOM_UNIT_PAGES) {
		if (copy_mc_to_kernel(dst + i * PAGE_SIZE, src + i * PAGE_SIZE,
				      PAGE_SIZE)) {
			/* Reports the failure to som_pool_poison() later. */
			memory_failure_queue(som_unit_pfn(from) + i, 0);
			return -EHWPOISON;
		}
		if (!(++nr % 64))
			cond_resched();
	}
	return 0;
}

/**
 * som_unit_copy - Copy a unit's memory
 * @to: unit number of the copy
 * @from: unit number
 * Context: Process context; may sleep.
 * Return: as som_unit_copy_pages().
 */
int som_unit_copy(som_unit_t to, som_unit_t from)
{
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);

	bitmap_fill(pages, SOM_UNIT_PAGES);
	return som_unit_copy_pages(to, from, pages);
}

/**
 * som_unit_zero_others - Zero a unit except for some pages
 * @unit: unit number
 * @pages: pages that are not touched
 * Context: Process context; may sleep.
 */
void som_unit_zero_others(som_unit_t unit, const unsigned long *pages)
{
	void *addr = som_unit_address(unit);
	unsigned int i, nr = 0;

	for_each_clear_bit(i, pages, SOM_UNIT_PAGES) {
		clear_page(addr + i * PAGE_SIZE);
		if (!(++nr % 64))
			cond_resched();
	}
}

/**
 * som_pool_charge - Reserve units for a user
 * @user: user to charge
 * @nr_units: number of units
 * Context: Process context; takes pool.commit_lock; spinlocks may be held.
 * Return: true; false if the user cannot have that many: nothing is changed.
 */
bool som_pool_charge(struct som_pool_user *user, unsigned long nr_units)
{
	bool ok;

	spin_lock(&pool.commit_lock);
	ok = som_commit_charge(&pool.commit, &pool_user(user)->commit, nr_units);
	spin_unlock(&pool.commit_lock);
	return ok;
}

/**
 * som_pool_units - Return the number of units in the pool
 * Context: Any.
 * Return: number of units.
 */
unsigned long som_pool_units(void)
{
	return READ_ONCE(pool.commit.total);
}

/**
 * som_pool_room - Count the units that a user can still reserve
 * @user: user
 * Context: Process context; takes pool.commit_lock.
 * Return: number of units.
 */
unsigned long som_pool_room(struct som_pool_user *user)
{
	unsigned long nr;

	spin_lock(&pool.commit_lock);
	nr = som_commit_room(&pool.commit, &pool_user(user)->commit);
	spin_unlock(&pool.commit_lock);
	return nr;
}

/**
 * som_pool_uncharge - Release reservations of a user
 * @user: user
 * @nr_units: number of units, all charged before
 * Context: Process context; takes pool.commit_lock.
 */
void som_pool_uncharge(struct som_pool_user *user, unsigned long nr_units)
{
	if (!nr_units)
		return;
	spin_lock(&pool.commit_lock);
	som_commit_uncharge(&pool.commit, &pool_user(user)->commit, nr_units);
	spin_unlock(&pool.commit_lock);
}

/**
 * som_pool_same_user - Test whether units may pass between two users
 * @a: one user
 * @b: another user, or the same
 * Context: Any.
 * Return: true if they may; if not, the receiver needs a copy in a chunk of its own.
 */
bool som_pool_same_user(const struct som_pool_user *a,
			const struct som_pool_user *b)
{
	return a == b || READ_ONCE(share_chunks);
}

/**
 * som_pool_keep - Add to the number of units that a user's owners cache
 * @user: user
 * @nr: number of units; negative to subtract
 * Context: Any.
 */
void som_pool_keep(struct som_pool_user *user, int nr)
{
	atomic_long_add(nr, &pool_user(user)->cached);
}

/**
 * som_pool_cached - Return the number of units that a user's owners cache
 * @user: user
 * Context: Any.
 * Return: number of units.
 */
unsigned long som_pool_cached(struct som_pool_user *user)
{
	return atomic_long_read(&pool_user(user)->cached);
}

/**
 * som_pool_idle_units - Count units that become available if a user's caches are emptied
 * @user: user
 * Context: Any. The answer may change at once.
 * Return: all units of the user's chunks if all its units are cached; otherwise 0.
 */
unsigned long som_pool_idle_units(struct som_pool_user *user)
{
	user = pool_user(user);
	return READ_ONCE(user->commit.units) == atomic_long_read(&user->cached) ?
		READ_ONCE(user->commit.claim) * SOM_CHUNK_UNITS : 0;
}

/**
 * som_pool_shared - Test whether users share chunks
 * Context: Any.
 * Return: true if they do.
 */
bool som_pool_shared(void)
{
	return READ_ONCE(share_chunks);
}

/**
 * som_pool_share - Set whether users share chunks
 * @share: new setting
 * Context: Process context; takes pool.commit_lock.
 * Return: 0; -EBUSY if a unit is reserved, used or quarantined: nothing is changed.
 */
int som_pool_share(bool share)
{
	int ret = 0;

	spin_lock(&pool.commit_lock);
	if (share_chunks != share && pool.commit.claimed)
		ret = -EBUSY;
	else
		WRITE_ONCE(share_chunks, share);
	spin_unlock(&pool.commit_lock);
	return ret;
}

/* Take a unit of a locked chunk unless the user may not or a compaction drains it. */
static inline som_unit_t pool_take_locked(struct som_chunk *chunk,
					  struct som_pool_user *user, enum som_take how,
					  bool *zeroed)
{
	int place;

	if (chunk->dead || chunk->draining ||
	    !som_unitmap_nr_free(&chunk->map))
		return som_unit_error(-ENOSPC);
	if (unlikely(chunk->user != user) &&
	    (how == SOM_TAKE_OWN || !chunk_take(chunk, user)))
		return som_unit_error(-ENOSPC);
	place = som_unitmap_take(&chunk->map, zeroed);
	if (place < 0)
		return som_unit_error(place);
	chunk_mark_free(chunk);
	/* Written only on change, as a user's processors share the hint's cache line. */
	if (raw_cpu_read(som_hint) != chunk) {
		raw_cpu_write(som_hint, chunk);
		WRITE_ONCE(user->hint, chunk);
	}
	return som_chunk_unit(chunk_nr(chunk), place);
}

/* Take a unit of a chunk. Without @wait, fail if the chunk is locked. */
static som_unit_t pool_take_from_chunk(struct som_chunk *chunk, struct som_pool_user *user,
				       enum som_take how, bool wait, bool *zeroed)
{
	som_unit_t unit;

	if (wait)
		spin_lock(&chunk->lock);
	else if (!spin_trylock(&chunk->lock))
		return som_unit_error(-EBUSY);
	unit = pool_take_locked(chunk, user, how, zeroed);
	spin_unlock(&chunk->lock);
	return unit;
}

static inline bool hint_fits(const struct som_chunk *chunk,
			     const struct som_pool_user *user, int nid)
{
	return chunk && READ_ONCE(chunk->user) == user &&
	       chunk->ext.nid == nid && READ_ONCE(chunk->has_zeroed);
}

/* Take a zeroed unit of the last chunk of this processor or its user, if uncontended. */
static som_unit_t pool_take_hinted(struct som_pool_user *user, int nid, bool *zeroed)
{
	struct som_chunk *chunk;
	som_unit_t unit = som_unit_error(-ENOSPC);

	/* Serves as an RCU read-side section here, at less cost. */
	preempt_disable();
	chunk = raw_cpu_read(som_hint);
	if (unlikely(!hint_fits(chunk, user, nid)))
		chunk = READ_ONCE(user->hint);
	if (likely(hint_fits(chunk, user, nid)))
		unit = pool_take_from_chunk(chunk, user, SOM_TAKE_OWN, false, zeroed);
	preempt_enable();
	return unit;
}

/* Take a unit from a node's chunks that have a mark. */
static som_unit_t pool_take_marked(struct som_pool_user *user, enum som_take how, int nid,
				   xa_mark_t mark, bool wait, bool *zeroed)
{
	const struct som_pool_user *of = how == SOM_TAKE_OWN ? user : NULL;
	struct som_chunk *chunk;
	unsigned long nr;
	som_unit_t unit = som_unit_error(-ENOSPC);

	if (of != user && !pool_may_take(user, how))
		return unit;
	rcu_read_lock();
	xa_for_each_marked(&pool.nodes[nid].chunks, nr, chunk, mark) {
		if (READ_ONCE(chunk->user) != of)
			continue;
		unit = pool_take_from_chunk(chunk, user, how, wait, zeroed);
		if (!som_unit_failed(unit))
			break;
	}
	rcu_read_unlock();
	return unit;
}

/*
 * Prefer zeroed units and uncontended locks. Take a chunk beyond the user's claim only if
 * its own chunks on the node are full.
 */
static som_unit_t pool_take_from_node(struct som_pool_user *user, bool own, int nid,
				      bool *zeroed)
{
	static const struct {
		enum som_take how;
		xa_mark_t mark;
		bool wait;
	} order[] = {
		{ SOM_TAKE_OWN, SOM_HAS_ZEROED, false },
		{ SOM_TAKE_CLAIMED, SOM_HAS_ZEROED, true },
		{ SOM_TAKE_OWN, SOM_HAS_ZEROED, true },
		{ SOM_TAKE_OWN, SOM_HAS_DIRTY, true },
		{ SOM_TAKE_FREE, SOM_HAS_ZEROED, true },
		{ SOM_TAKE_FREE, SOM_HAS_DIRTY, true },
	};
	som_unit_t unit = som_unit_error(-ENOSPC);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(order) && som_unit_failed(unit); i++) {
		if (!own || order[i].how == SOM_TAKE_OWN)
			unit = pool_take_marked(user, order[i].how, nid,
						order[i].mark, order[i].wait, zeroed);
	}
	return unit;
}

/* Take a unit from the nearest node, optionally within a set of nodes. */
static som_unit_t pool_take_unit(struct som_pool_user *user, bool own, int nid,
				 const nodemask_t *nodes, bool *zeroed)
{
	const int *order = pool.nodes[nid].order;
	som_unit_t unit = som_unit_error(-ENOSPC);
	unsigned int i;

	for (i = 0; i < nr_node_ids && som_unit_failed(unit); i++) {
		if (!nodes || node_isset(order[i], *nodes))
			unit = pool_take_from_node(user, own, order[i], zeroed);
	}
	return unit;
}

/*
 * Take a unit from a chunk that is being drained; the compaction then gives up on it. Try
 * chunks in use first: empty ones are the compaction's goal.
 */
static som_unit_t pool_take_draining(struct som_pool_user *user, const nodemask_t *nodes,
				     bool *zeroed)
{
	struct som_chunk *chunk;
	som_unit_t unit = som_unit_error(-ENOSPC);
	unsigned long nr;
	int empty;

	rcu_read_lock();
	for (empty = 0; empty < 2 && som_unit_failed(unit); empty++) {
		xa_for_each(&pool.chunks, nr, chunk) {
			if (!READ_ONCE(chunk->draining) ||
			    (nodes && !node_isset(chunk->ext.nid, *nodes)))
				continue;
			spin_lock(&chunk->lock);
			if (chunk->draining && !chunk->dead &&
			    (empty || chunk->map.nr_used) &&
			    som_unitmap_nr_free(&chunk->map)) {
				chunk->draining = false;
				unit = pool_take_locked(chunk, user, SOM_TAKE_FREE,
							zeroed);
				chunk->draining = som_unit_failed(unit);
			}
			spin_unlock(&chunk->lock);
			if (!som_unit_failed(unit))
				break;
		}
	}
	rcu_read_unlock();
	return unit;
}

static inline som_unit_t try_alloc_unit(struct som_pool_user *user, int nid,
					const nodemask_t *nodes, bool target,
					bool *zeroed)
{
	som_unit_t unit = som_unit_error(-ENOSPC);

	if (!nodes || node_isset(nid, *nodes))
		unit = pool_take_hinted(user, nid, zeroed);
	if (som_unit_failed(unit))
		unit = pool_take_unit(user, target, nid, nodes, zeroed);
	if (som_unit_failed(unit) && READ_ONCE(pool.commit.quarantined)) {
		som_pool_end_quarantine();
		unit = pool_take_unit(user, target, nid, nodes, zeroed);
	}
	if (som_unit_failed(unit) && !target && READ_ONCE(pool.draining))
		unit = pool_take_draining(user, nodes, zeroed);
	return unit;
}

/*
 * Test whether a user may expect a unit of some nodes: one is free or being zeroed. With
 * @target, ignore chunks that are empty or being drained.
 */
static bool units_left(struct som_pool_user *user, const nodemask_t *nodes,
		       bool target)
{
	bool found = false, more = !target && pool_may_take(user, SOM_TAKE_FREE);
	struct som_chunk *chunk;
	unsigned long nr;

	rcu_read_lock();
	xa_for_each(&pool.chunks, nr, chunk) {
		if (nodes && !node_isset(chunk->ext.nid, *nodes))
			continue;
		spin_lock(&chunk->lock);
		found = !chunk->dead && !(target && chunk->draining) &&
			(chunk->user == user || (more && !chunk->user)) &&
			som_unitmap_nr_free(&chunk->map) + chunk->map.nr_zeroing;
		spin_unlock(&chunk->lock);
		if (found)
			break;
	}
	rcu_read_unlock();
	return found;
}

/* Wait while units are being zeroed: about as long as zeroing one takes. */
static inline som_unit_t alloc_unit(struct som_pool_user *user, int nid,
				    const nodemask_t *nodes, bool target, bool *zeroed)
{
	som_unit_t unit;

	user = pool_user(user);
	unit = try_alloc_unit(user, nid, nodes, target, zeroed);
	while (unlikely(som_unit_failed(unit)) && units_left(user, nodes, target)) {
		usleep_range(50, 200);
		unit = try_alloc_unit(user, nid, nodes, target, zeroed);
	}
	return unit;
}

static som_unit_t alloc_unzeroed(struct som_pool_user *user, int nid, bool target)
{
	bool zeroed;
	som_unit_t unit;

	might_sleep();

	unit = alloc_unit(user, nid, NULL, target, &zeroed);
	if (!som_unit_failed(unit))
		trace_som_unit_alloc(unit, false);
	return unit;
}

/**
 * som_pool_alloc_unzeroed - Take a unit that has a former owner's data
 * @user: user
 * @nid: preferred node
 * Context: Process context; may sleep. Overwrite all of the unit before it is mapped.
 * Return: unit number; -ENOSPC if there is none.
 */
som_unit_t som_pool_alloc_unzeroed(struct som_pool_user *user, int nid)
{
	return alloc_unzeroed(user, nid, false);
}

/**
 * som_pool_alloc_target - Take a unit as som_pool_alloc_unzeroed(), for a compaction
 * @user: user
 * @nid: preferred node
 * Context: Process context; may sleep.
 * Return: unit number, never of a chunk that is empty or being drained; -ENOSPC.
 */
som_unit_t som_pool_alloc_target(struct som_pool_user *user, int nid)
{
	return alloc_unzeroed(user, nid, true);
}

/**
 * som_pool_alloc - Take a zeroed unit that was charged before
 * @user: user
 * @nid: preferred node
 * @nodes: nodes to choose from, or NULL
 * Context: Process context; may sleep.
 * Return: unit number; -ENOSPC if there is none right now: the former owner has not freed
 * it yet, or all free units are on other nodes.
 */
som_unit_t som_pool_alloc(struct som_pool_user *user, int nid,
			  const nodemask_t *nodes)
{
	bool zeroed;
	som_unit_t unit;

	might_sleep();

	unit = alloc_unit(user, nid, nodes, false, &zeroed);
	if (som_unit_failed(unit))
		return unit;
	if (!zeroed)
		som_unit_zero(unit);
	trace_som_unit_alloc(unit, !zeroed);
	return unit;
}

/**
 * som_pool_units_left - Test whether a user may expect a unit of some nodes
 * @user: user
 * @nodes: nodes
 * Context: Process context.
 * Return: true if a unit is free or being zeroed.
 */
bool som_pool_units_left(struct som_pool_user *user, const nodemask_t *nodes)
{
	return units_left(pool_user(user), nodes, false);
}

/* Take all units of an empty chunk of a node. Set @busy if a chunk is being zeroed. */
static long pool_take_chunk(struct som_pool_user *user, int nid,
			    unsigned long *dirty, bool *busy)
{
	struct som_chunk *chunk;
	unsigned long nr;
	bool taken = false;

	rcu_read_lock();
	xa_for_each(&pool.nodes[nid].chunks, nr, chunk) {
		spin_lock(&chunk->lock);
		if (!chunk->dead && chunk_take(chunk, user)) {
			taken = som_unitmap_take_all(&chunk->map, dirty);
			*busy |= !taken && chunk->map.nr_zeroing;
			chunk->draining &= !taken;
			chunk_leave(chunk);
			chunk_mark_free(chunk);
		}
		spin_unlock(&chunk->lock);
		if (taken)
			break;
	}
	rcu_read_unlock();
	return taken ? nr : -ENOSPC;
}

/**
 * som_pool_alloc_chunk - Take and zero all units of an empty chunk; the caller charges them
 * @user: user
 * @nid: preferred node
 * @nodes: nodes to choose from, or NULL
 * Context: Process context; may take as long as zeroing 1 GiB.
 * Return: chunk number; -ENOSPC if no chunk is empty or other users claim those that are.
 */
long som_pool_alloc_chunk(struct som_pool_user *user, int nid,
			  const nodemask_t *nodes)
{
	const int *order = pool.nodes[nid].order;
	DECLARE_BITMAP(dirty, SOM_CHUNK_UNITS);
	long chunk = -ENOSPC;
	unsigned long place;
	unsigned int i;
	bool busy;

	user = pool_user(user);
	do {
		busy = false;
		for (i = 0; i < nr_node_ids && chunk < 0; i++) {
			if (!nodes || node_isset(order[i], *nodes))
				chunk = pool_take_chunk(user, order[i], dirty,
							&busy);
		}
		/* Takes at most the time to zero one unit. */
		if (chunk < 0 && busy)
			usleep_range(50, 200);
	} while (chunk < 0 && busy);
	if (chunk < 0)
		return chunk;
	for_each_set_bit(place, dirty, SOM_CHUNK_UNITS)
		som_unit_zero(som_chunk_unit(chunk, place));
	return chunk;
}

/**
 * som_pool_free_chunk - Undo som_pool_alloc_chunk()
 * @chunk: chunk number; its memory was never mapped
 * Context: Process context.
 */
void som_pool_free_chunk(unsigned long chunk)
{
	unsigned int i;

	for (i = 0; i < SOM_CHUNK_UNITS; i++)
		som_pool_free(som_chunk_unit(chunk, i));
}

/* Count the leading units that are of the same chunk. */
static unsigned int run_length(const som_unit_t *units, unsigned int nr)
{
	unsigned int i = 1;

	while (i < nr &&
	       som_unit_chunk(units[i]) == som_unit_chunk(units[0]))
		i++;
	return i;
}

/* Free, quarantine or retire used units of a chunk. Return: number of units done. */
static unsigned int pool_put_run(struct som_chunk *chunk, const som_unit_t *units,
				 unsigned int nr, bool quarantine)
{
	unsigned int i, done = 0, retired = chunk->map.nr_retired;

	lockdep_assert_held(&chunk->lock);

	for (i = 0; i < nr; i++) {
		if (WARN_ON_ONCE(som_unitmap_put(&chunk->map,
						 som_unit_place(units[i]),
						 quarantine)))
			continue;
		trace_som_unit_free(units[i], quarantine);
		done++;
	}
	chunk_retired(chunk, chunk->map.nr_retired - retired);
	return done;
}

/* Free units of one chunk. With @look, return false if the chunk is pinned. */
static bool pool_free_run(const som_unit_t *units, unsigned int nr, bool look)
{
	struct som_chunk *chunk;
	bool pinned = false;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, som_unit_chunk(units[0]));
	if (!WARN_ON_ONCE(!chunk)) {
		spin_lock(&chunk->lock);
		pinned = look && chunk_pinned(chunk);
		if (likely(!pinned)) {
			pool_put_run(chunk, units, nr, false);
			chunk_leave(chunk);
			chunk_mark_free(chunk);
		}
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
	return !pinned;
}

/**
 * som_pool_free_units - Free units that have no owner unless they may be pinned
 * @units: unit numbers; on return, the units that may be pinned come first, in order
 * @nr: number of units
 *
 * No page table and no TLB may have a translation of the units. The caller then uncharges
 * the freed ones.
 * Context: Process context; takes the chunks' locks.
 * Return: number of units that were not freed; pass them to som_pool_quarantine_units().
 */
unsigned int som_pool_free_units(som_unit_t *units, unsigned int nr)
{
	unsigned int i, run, stay = 0;

	for (i = 0; i < nr; i += run) {
		run = run_length(units + i, nr - i);
		if (likely(pool_free_run(units + i, run, true)))
			continue;
		memmove(units + stay, units + i, run * sizeof(*units));
		stay += run;
	}
	return stay;
}

/**
 * som_pool_free - Free a unit that is known to be unpinned
 * @unit: unit that was not mapped since it was taken, or for which som_pool_pinned() was
 *	false after its last translation was gone
 * Context: Process context; takes the chunk's lock.
 */
void som_pool_free(som_unit_t unit)
{
	pool_free_run(&unit, 1, false);
}

/* Find the charge of a payer in a chunk. */
static struct som_quarantine *pool_find_quarantine(struct som_chunk *chunk,
						   struct som_quarantine_charge *payer)
{
	struct som_quarantine *quarantine;

	list_for_each_entry(quarantine, &chunk->quarantines, list) {
		if (quarantine->payer == payer)
			return quarantine;
	}
	return NULL;
}

/* Quarantine units of one chunk. Clears *@spare if it needs a new charge for the payer. */
static void pool_quarantine_run(const som_unit_t *units, unsigned int nr,
				struct som_quarantine_charge *payer, struct som_quarantine **spare)
{
	struct som_chunk *chunk;
	struct som_quarantine *quarantine;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, som_unit_chunk(units[0]));
	if (WARN_ON_ONCE(!chunk))
		goto out;
	spin_lock(&chunk->lock);
	quarantine = pool_find_quarantine(chunk, payer);
	if (!quarantine) {
		quarantine = *spare;
		*spare = NULL;
		quarantine->payer = payer;
		quarantine->nr = 0;
		list_add(&quarantine->list, &chunk->quarantines);
	}
	if (!chunk->map.nr_quarantined)
		hold_module(chunk, true);
	nr = pool_put_run(chunk, units, nr, true);
	quarantine->nr += nr;
	spin_lock(&pool.commit_lock);
	som_commit_quarantine(&pool.commit, nr);
	spin_unlock(&pool.commit_lock);
	chunk_mark(chunk, &pool.chunks, SOM_HAS_QUARANTINED, true);
	spin_unlock(&chunk->lock);
out:
	rcu_read_unlock();
}

/**
 * som_pool_quarantine_units - Quarantine units that have no owner
 * @units: unit numbers
 * @nr: number of units
 * @payer: charged for each unit; ->gone() returns the charge once the unit's chunk has been
 *	seen without a pin
 *
 * No page table and no TLB may have a translation of the units. Their commit charge passes
 * to the pool.
 * Context: Process context; takes the chunks' locks. Cannot fail.
 */
void som_pool_quarantine_units(const som_unit_t *units, unsigned int nr,
			       struct som_quarantine_charge *payer)
{
	struct som_quarantine *spare = NULL;
	unsigned int i, run;

	for (i = 0; i < nr; i += run) {
		if (!spare)
			spare = kmalloc(sizeof(*spare), GFP_KERNEL_ACCOUNT |
							__GFP_NOFAIL);
		run = run_length(units + i, nr - i);
		pool_quarantine_run(units + i, run, payer, &spare);
	}
	kfree(spare);
	if (nr)
		queue_quarantine_work();
}

/**
 * som_pool_zero_begin - Take a dirty unit of a node for zeroing
 * @nid: node
 * Context: Any; do not sleep until som_pool_zero_end(), as allocations may wait for the
 * unit.
 * Return: unit number; -ENOENT if there is none.
 */
som_unit_t som_pool_zero_begin(int nid)
{
	struct som_chunk *chunk;
	unsigned long nr;
	int place = -ENOENT;

	rcu_read_lock();
	xa_for_each_marked(&pool.nodes[nid].chunks, nr, chunk, SOM_HAS_DIRTY) {
		spin_lock(&chunk->lock);
		if (!chunk->dead && !chunk->draining)
			place = som_unitmap_zero_begin(&chunk->map);
		chunk_mark_free(chunk);
		spin_unlock(&chunk->lock);
		if (place >= 0)
			break;
	}
	rcu_read_unlock();
	return place < 0 ? som_unit_error(place) : som_chunk_unit(nr, place);
}

/**
 * som_pool_zero_end - Return a unit taken by som_pool_zero_begin()
 * @unit: unit number
 * @zeroed: true if all of it was zeroed
 * Context: Any.
 */
void som_pool_zero_end(som_unit_t unit, bool zeroed)
{
	struct som_chunk *chunk;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, som_unit_chunk(unit));
	if (!WARN_ON_ONCE(!chunk)) {
		unsigned int retired;

		spin_lock(&chunk->lock);
		retired = chunk->map.nr_retired;
		som_unitmap_zero_end(&chunk->map, som_unit_place(unit),
				     zeroed);
		chunk_retired(chunk, chunk->map.nr_retired - retired);
		chunk_mark_free(chunk);
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
}

/**
 * som_pool_has_dirty - Test whether a node has dirty units
 * @nid: node
 * Context: Any.
 * Return: true if it has.
 */
bool som_pool_has_dirty(int nid)
{
	return xa_marked(&pool.nodes[nid].chunks, SOM_HAS_DIRTY);
}

/**
 * som_pool_dirty_wait - Return the wait queue for a node's dirty units
 * @nid: node
 * Return: wait queue, woken when a chunk of the node gets dirty units.
 */
wait_queue_head_t *som_pool_dirty_wait(int nid)
{
	return &pool.nodes[nid].dirty_wait;
}

/**
 * som_pool_pinned - Test whether a unit may be pinned
 * @unit: number of a used unit
 * Context: Any.
 * Return: true while any memory of the unit's chunk is pinned.
 */
bool som_pool_pinned(som_unit_t unit)
{
	struct som_chunk *chunk;
	bool pinned;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, som_unit_chunk(unit));
	pinned = chunk && chunk_pinned(chunk);
	rcu_read_unlock();
	return pinned;
}

/**
 * som_pool_poison - Record that memory has failed; its unit is never allocated again
 * @pfn: page frame number
 * @marked: true if the kernel has marked the page and holds a reference to it
 * Context: Any but interrupts.
 * Return: true if the memory is of a unit that was not poisoned before.
 */
bool som_pool_poison(unsigned long pfn, bool marked)
{
	som_unit_t unit = som_pfn_unit(pfn);
	struct som_chunk *chunk;
	unsigned int retired;
	bool fresh = false;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, som_unit_chunk(unit));
	if (!chunk)
		goto out;
	WRITE_ONCE(som_pool_any_poisoned, true);
	spin_lock(&chunk->lock);
	/* A dead chunk's units are already accounted for. */
	if (!chunk->dead) {
		if (marked)
			chunk->ext.source->poison(&chunk->ext);
		retired = chunk->map.nr_retired;
		fresh = som_unitmap_poison(&chunk->map, som_unit_place(unit));
		retired = chunk->map.nr_retired - retired;
		chunk_mark_free(chunk);
		chunk_retired(chunk, retired);
		if (fresh)
			trace_som_unit_poison(unit, pfn, !retired);
	}
	spin_unlock(&chunk->lock);
out:
	rcu_read_unlock();
	return fresh;
}

/**
 * som_pool_test_poisoned - Slow path of som_pool_poisoned()
 * @unit: unit number
 * Context: Any.
 * Return: true if the unit is poisoned.
 */
bool som_pool_test_poisoned(som_unit_t unit)
{
	struct som_chunk *chunk;
	bool poisoned;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, som_unit_chunk(unit));
	poisoned = chunk && test_bit(som_unit_place(unit),
				     chunk->map.poisoned);
	rcu_read_unlock();
	return poisoned;
}

/**
 * som_pool_broken - Test whether memory failures left a user short of reserved units
 * @user: user
 * Context: Any.
 * Return: true if so: waiting for a unit may never end.
 */
bool som_pool_broken(struct som_pool_user *user)
{
	bool broken;

	if (likely(!READ_ONCE(som_pool_any_poisoned)))
		return false;
	spin_lock(&pool.commit_lock);
	broken = som_commit_broken(&pool.commit, &pool_user(user)->commit);
	spin_unlock(&pool.commit_lock);
	return broken;
}

/* Count free units in other chunks of the same user that are not being drained. */
static unsigned long pool_free_elsewhere(const struct som_chunk *but)
{
	const struct som_pool_user *user = READ_ONCE(but->user);
	struct som_chunk *chunk;
	unsigned long i, nr = 0;

	xa_for_each(&pool.chunks, i, chunk) {
		/* Under the lock, a unit whose zeroing ends now is counted exactly once. */
		spin_lock(&chunk->lock);
		if (chunk != but && !chunk->draining && user &&
		    chunk->user == user)
			nr += som_unitmap_nr_free(&chunk->map) +
			      chunk->map.nr_zeroing;
		spin_unlock(&chunk->lock);
	}
	return nr;
}

/**
 * som_pool_drain_begin - Begin a compaction
 *
 * Until som_pool_drain_end(), units of empty chunks are allocated only if there are no
 * others.
 * Context: Process context.
 */
void som_pool_drain_begin(void)
{
	struct som_chunk *chunk;
	unsigned long i;

	WRITE_ONCE(pool.draining, true);
	rcu_read_lock();
	xa_for_each(&pool.chunks, i, chunk) {
		spin_lock(&chunk->lock);
		chunk->draining = !chunk->map.nr_used;
		chunk_mark_free(chunk);
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
}

/*
 * Choose the chunk with the fewest used units not yet chosen in a round. Set @fits if its
 * units fit into other chunks. Return: false if there is none.
 */
static bool drain_choose(unsigned long round, long *nr, bool *fits)
{
	unsigned int used, fewest = SOM_CHUNK_UNITS + 1;
	struct som_chunk *chunk, *best = NULL;
	unsigned long i;

	xa_for_each(&pool.chunks, i, chunk) {
		used = READ_ONCE(chunk->map.nr_used);
		if (used && used < fewest && chunk->round != round) {
			fewest = used;
			best = chunk;
		}
	}
	if (!best)
		return false;
	*nr = chunk_nr(best);
	*fits = pool_free_elsewhere(best) >= fewest;
	spin_lock(&best->lock);
	best->round = round;
	best->draining = *fits;
	chunk_mark_free(best);
	spin_unlock(&best->lock);
	return true;
}

/**
 * som_pool_drain_next - Choose the next chunk to drain
 * @round: number of the compaction; each chunk is chosen once per round
 *
 * Chooses the chunk with the fewest used units that fit into other chunks of its user. From
 * now on its units are allocated only if there are no others.
 * Context: Process context.
 * Return: chunk number; -ENOSPC if there is none.
 */
long som_pool_drain_next(unsigned long round)
{
	bool found, fits = false;
	long nr = -ENOSPC;

	do {
		rcu_read_lock();
		found = drain_choose(round, &nr, &fits);
		rcu_read_unlock();
		cond_resched();
	} while (found && !fits);
	return fits ? nr : -ENOSPC;
}

/**
 * som_pool_draining - Test whether a chunk is still being drained
 * @chunk: chunk number from som_pool_drain_next()
 * Context: Process context.
 * Return: false if it left the pool, or if a unit of it was allocated.
 */
bool som_pool_draining(unsigned long chunk)
{
	struct som_chunk *c;
	bool draining;

	rcu_read_lock();
	c = xa_load(&pool.chunks, chunk);
	draining = c && READ_ONCE(c->draining);
	rcu_read_unlock();
	return draining;
}

/**
 * som_pool_drain_check - Test whether a chunk has been drained; if not, stop draining it
 * @chunk: chunk number from som_pool_drain_next()
 * Context: Process context.
 * Return: true if it is empty or left the pool.
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
 * som_pool_drain_end - End a compaction
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
	WRITE_ONCE(pool.draining, false);
}

/* Take an extent from the first source that has one. */
static int pool_get_extent(struct som_extent *ext)
{
	int ret = -ENOMEM;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sources) && ret == -ENOMEM; i++) {
		if (!pool.opened[i])
			continue;
		ext->source = sources[i];
		ret = sources[i]->get(ext);
	}
	return ret;
}

/* Add one chunk to the pool. */
static int som_pool_add(void)
{
	struct som_chunk *chunk;
	int ret;

	lockdep_assert_held(&pool.resize);

	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);
	if (!chunk)
		return -ENOMEM;
	ret = pool_get_extent(&chunk->ext);
	if (ret)
		goto out_free;
	spin_lock_init(&chunk->lock);
	INIT_LIST_HEAD(&chunk->quarantines);
	som_unitmap_init(&chunk->map, chunk->ext.zeroed);
	chunk->dead = true;

	ret = xa_insert(&pool.chunks, chunk_nr(chunk), chunk, GFP_KERNEL);
	if (ret)
		goto out_put;
	ret = xa_insert(&chunk_node(chunk)->chunks, chunk_nr(chunk), chunk,
			GFP_KERNEL);
	if (ret)
		goto out_erase;

	spin_lock(&chunk->lock);
	/* Failures from before xa_insert() are known per extent, not per page. */
	if (chunk->ext.source->poison(&chunk->ext)) {
		spin_unlock(&chunk->lock);
		xa_erase(&chunk_node(chunk)->chunks, chunk_nr(chunk));
		ret = -ENOMEM;
		goto out_erase;
	}
	trace_som_chunk_get(chunk_nr(chunk), chunk->ext.nid);
	spin_lock(&pool.commit_lock);
	som_commit_grow(&pool.commit, 0);
	spin_unlock(&pool.commit_lock);
	chunk->dead = false;
	/* A compaction may have set these before the chunk was in its node's xarray. */
	chunk->has_zeroed = false;
	chunk->has_dirty = false;
	chunk_mark_free(chunk);
	spin_unlock(&chunk->lock);
	pool.nr_chunks++;
	return 0;

out_erase:
	xa_erase(&pool.chunks, chunk_nr(chunk));
	synchronize_rcu();
out_put:
	/* The extent was never used, so put cannot fail. */
	WARN_ON_ONCE(chunk->ext.source->put(&chunk->ext));
out_free:
	kfree(chunk);
	return ret;
}

/*
 * Test whether an unused chunk may leave the pool. The pool itself waits for pins and
 * remembers poisoned units if the source does neither.
 */
static bool pool_may_leave(const struct som_chunk *chunk)
{
	return chunk->ext.source->flags & SOM_SOURCE_PINS_LEAVE ||
	       (!chunk->map.nr_quarantined &&
		(!chunk->map.nr_poisoned || pool.exiting));
}

/* Put a chunk back to use whose source refused it. */
static void chunk_revive(struct som_chunk *chunk)
{
	spin_lock(&chunk->lock);
	spin_lock(&pool.commit_lock);
	som_commit_grow(&pool.commit, chunk->map.nr_retired);
	spin_unlock(&pool.commit_lock);
	chunk->dead = false;
	chunk_mark_free(chunk);
	spin_unlock(&chunk->lock);
}

/*
 * Return one chunk to its source if it is empty and no reservation needs it. Quarantined
 * units do not matter if the source waits for pins itself: each pin holds a reference to
 * the folio. The source gets the extent before the chunk leaves the xarrays, since it may
 * refuse it. Until then the chunk is dead, and its memory is not accessed.
 */
static bool som_pool_remove(struct som_chunk *chunk)
{
	const struct som_source *source = chunk->ext.source;
	unsigned int quarantined, cpu;
	bool gone = false;

	lockdep_assert_held(&pool.resize);

	spin_lock(&chunk->lock);
	/* Takes at most the time to zero one unit. */
	while (!chunk->map.nr_used && chunk->map.nr_zeroing) {
		spin_unlock(&chunk->lock);
		usleep_range(50, 200);
		spin_lock(&chunk->lock);
	}
	chunk_end_quarantine(chunk);
	quarantined = chunk->map.nr_quarantined;
	if (!chunk->map.nr_used && pool_may_leave(chunk)) {
		spin_lock(&pool.commit_lock);
		gone = som_commit_shrink(&pool.commit, chunk_commit(chunk),
					 chunk->map.nr_retired, quarantined);
		if (gone)
			list_splice_tail_init(&chunk->quarantines, &pool.gone);
		spin_unlock(&pool.commit_lock);
		if (gone && chunk->user)
			chunk_forget_user(chunk);
	}
	chunk->dead = gone;
	spin_unlock(&chunk->lock);
	if (!gone)
		return false;

	som_pool_settle();
	if (source->put(&chunk->ext)) {
		chunk_revive(chunk);
		return false;
	}
	/* Remove all references: a dead chunk cannot become a hint again. */
	for_each_possible_cpu(cpu)
		cmpxchg(per_cpu_ptr(&som_hint, cpu), chunk, NULL);
	xa_erase(&chunk_node(chunk)->chunks, chunk_nr(chunk));
	xa_erase(&pool.chunks, chunk_nr(chunk));
	trace_som_chunk_put(chunk_nr(chunk), chunk->ext.nid);
	pool.nr_chunks--;
	kfree_rcu(chunk, rcu);
	return true;
}

/* Remove up to @nr empty chunks of a source. Return: number removed. */
static unsigned long shrink_source(const struct som_source *source,
				   unsigned long nr)
{
	struct som_chunk *chunk;
	unsigned long i, gone = 0;

	xa_for_each(&pool.chunks, i, chunk) {
		if (gone == nr)
			break;
		if (chunk->ext.source == source)
			gone += som_pool_remove(chunk);
		cond_resched();
	}
	return gone;
}

/* Remove up to @nr empty chunks, last source first. Return: number removed. */
static unsigned long som_pool_shrink(unsigned long nr)
{
	unsigned int i = ARRAY_SIZE(sources);
	unsigned long gone = 0;

	while (i--)
		gone += shrink_source(sources[i], nr - gone);
	return gone;
}

/**
 * som_pool_resize - Grow or shrink the pool
 * @nr_chunks: new number of chunks
 *
 * Growing is all or nothing. Shrinking returns empty chunks only.
 * Context: Process context; takes pool.resize.
 * Return: 0; -ENOMEM if the sources have too little, -EINTR on a signal: the pool is as
 * before; -EBUSY if too few chunks were empty: those were returned.
 */
int som_pool_resize(unsigned long nr_chunks)
{
	const struct som_source *last = sources[ARRAY_SIZE(sources) - 1];
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
			/* Chunks just added may be in use already: this may fall short. */
			som_pool_shrink(nr);
			pr_err("asked for %lu more chunks, found %lu %s; reserve with %s or boot with %s\n",
			       nr_chunks - before, nr, last->name,
			       last->hint_file, last->hint_boot);
		}
	}
	mutex_unlock(&pool.resize);
	return ret;
}

/**
 * som_pool_trim - Return one empty chunk to its source if there are too many
 * @low: number of empty chunks to keep
 * Context: Process context; takes pool.resize.
 * Return: true if one was returned.
 */
bool som_pool_trim(unsigned long low)
{
	struct som_pool_stats stats;
	bool gone = false;

	mutex_lock(&pool.resize);
	som_pool_stats(NUMA_NO_NODE, &stats);
	if (stats.empty > low)
		gone = som_pool_shrink(1);
	mutex_unlock(&pool.resize);
	return gone;
}

/**
 * som_pool_show - Print the state of every unit
 * @m: seq_file; gets one line per chunk: its number, its node, and one character per unit:
 *	zeroed '.', dirty 'd', being zeroed 'z', used 'U', quarantined 'q', poisoned 'x'
 * Context: Process context.
 */
void som_pool_show(struct seq_file *m)
{
	char text[SOM_CHUNK_UNITS + 1] = {};
	struct som_chunk *chunk;
	unsigned long nr;
	unsigned int i;

	rcu_read_lock();
	xa_for_each(&pool.chunks, nr, chunk) {
		spin_lock(&chunk->lock);
		for (i = 0; i < SOM_CHUNK_UNITS; i++)
			text[i] = som_unitmap_state(&chunk->map, i);
		spin_unlock(&chunk->lock);
		seq_printf(m, "%lu %d %s\n", nr, chunk->ext.nid, text);
	}
	rcu_read_unlock();
}

/**
 * som_pool_next_chunk - Report the use of a chunk
 * @nr: chunk number to search from
 * @info: result, for the first chunk found
 * Context: Process context.
 * Return: true; false if there is no chunk from @nr on.
 */
bool som_pool_next_chunk(unsigned long nr, struct som_chunk_info *info)
{
	struct som_chunk *chunk;
	bool found = false;

	rcu_read_lock();
	chunk = xa_find(&pool.chunks, &nr, ULONG_MAX, XA_PRESENT);
	if (chunk) {
		found = true;
		spin_lock(&chunk->lock);
		*info = (struct som_chunk_info) {
			.chunk = nr,
			.nid = chunk->ext.nid,
			.used = chunk->map.nr_used,
			.quarantined = chunk->map.nr_quarantined,
			.pinned = !chunk->dead && chunk_pinned(chunk),
			.owned = chunk->user,
			.shared = chunk->user == &pool.everybody,
		};
		if (info->owned && !info->shared)
			info->uid = chunk->user->uid;
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
	return found;
}

/**
 * som_pool_stats - Count units
 * @nid: node, or NUMA_NO_NODE for the whole pool
 * @stats: result
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
		chunk_end_quarantine(chunk);
		if (!chunk->dead) {
			stats->chunks++;
			stats->empty += !chunk->map.nr_used;
			stats->total += SOM_CHUNK_UNITS - chunk->map.nr_retired;
			stats->poisoned += chunk->map.nr_poisoned;
			stats->free += som_unitmap_nr_free(&chunk->map) +
				       chunk->map.nr_zeroing;
			stats->dirty += chunk->map.nr_dirty +
					chunk->map.nr_zeroing;
			stats->used += chunk->map.nr_used;
			stats->quarantined += chunk->map.nr_quarantined;
		}
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
	som_pool_settle();
	stats->committed = READ_ONCE(pool.commit.committed);
}

/**
 * som_pool_source_stats - Count chunks and used units of a source
 * @nr: index of the source
 * @stats: result
 * Context: Process context.
 * Return: true; false if there is no such source.
 */
bool som_pool_source_stats(unsigned int nr, struct som_source_stats *stats)
{
	struct som_chunk *chunk;
	unsigned long i;

	if (nr >= ARRAY_SIZE(sources))
		return false;
	*stats = (struct som_source_stats){ .dir = sources[nr]->dir };
	rcu_read_lock();
	xa_for_each(&pool.chunks, i, chunk) {
		spin_lock(&chunk->lock);
		if (!chunk->dead && chunk->ext.source == sources[nr]) {
			stats->chunks++;
			stats->used += chunk->map.nr_used;
			stats->cost += sources[nr]->cost(&chunk->ext);
		}
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
	return true;
}

/* Sort the node itself first: emulated nodes may all be at the same distance. */
static int distance(int from, int to)
{
	return from == to ? 0 : node_distance(from, to);
}

static int nearer(const void *a, const void *b, const void *nid)
{
	int from = *(const int *)nid;
	int x = distance(from, *(const int *)a);
	int y = distance(from, *(const int *)b);

	return x != y ? x - y : *(const int *)a - *(const int *)b;
}

static void pool_free_nodes(void)
{
	unsigned int nid;

	for (nid = 0; nid < nr_node_ids; nid++) {
		kfree(pool.nodes[nid].order);
		xa_destroy(&pool.nodes[nid].chunks);
	}
	kfree(pool.nodes);
	pool.nodes = NULL;
}

static int make_nodes(void)
{
	int nid, i;

	pool.nodes = kcalloc(nr_node_ids, sizeof(*pool.nodes), GFP_KERNEL);
	if (!pool.nodes)
		return -ENOMEM;
	for (nid = 0; nid < nr_node_ids; nid++) {
		xa_init(&pool.nodes[nid].chunks);
		init_waitqueue_head(&pool.nodes[nid].dirty_wait);
	}
	for (nid = 0; nid < nr_node_ids; nid++) {
		int *order = kcalloc(nr_node_ids, sizeof(*order), GFP_KERNEL);

		if (!order) {
			pool_free_nodes();
			return -ENOMEM;
		}
		for (i = 0; i < nr_node_ids; i++)
			order[i] = i;
		sort_r(order, nr_node_ids, sizeof(*order), nearer, NULL, &nid);
		pool.nodes[nid].order = order;
	}
	return 0;
}

static void close_sources(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sources); i++) {
		if (pool.opened[i])
			sources[i]->close();
		pool.opened[i] = false;
	}
}

/*
 * Open the sources. A source that was requested must open, and logs why it cannot. HugeTLB,
 * the last one, is optional if another source is open.
 */
static int open_sources(void)
{
	const unsigned int last = ARRAY_SIZE(sources) - 1;
	bool any = false;
	unsigned int i;
	int ret;

	for (i = 0; i < last; i++) {
		ret = sources[i]->open();
		if (ret && ret != -ENODEV)
			goto out_close;
		pool.opened[i] = !ret;
		any |= !ret;
	}
	ret = sources[last]->open();
	pool.opened[last] = !ret;
	if (!ret)
		return 0;
	pr_err("cannot open source %s: %d; boot with %s\n", sources[last]->name,
	       ret, sources[last]->hint_boot);
	if (any)
		return 0;
out_close:
	close_sources();
	return ret;
}

/**
 * som_pool_init - Open the sources and add the first chunks
 * @nr_chunks: number of chunks
 * Context: Module load.
 * Return: 0 or -errno as som_pool_resize().
 */
int som_pool_init(unsigned long nr_chunks)
{
	int ret;

	ret = make_nodes();
	if (ret)
		return ret;
	ret = open_sources();
	if (ret) {
		pool_free_nodes();
		return ret;
	}
	ret = som_pool_resize(nr_chunks);
	if (ret)
		som_pool_exit();
	return ret;
}

/**
 * som_pool_exit - Return all chunks and close the sources
 * Context: Module unload; no owner is left.
 */
void som_pool_exit(void)
{
	mutex_lock(&pool.resize);
	pool.exiting = true;
	WARN_ON_ONCE(pool.commit.committed);
	/*
	 * Other pinned chunks may leave, or hold the module: wait for short-lived
	 * references.
	 */
	while (som_pool_shrink(pool.nr_chunks), pool.nr_chunks)
		msleep(20);
	mutex_unlock(&pool.resize);
	cancel_delayed_work_sync(&pool.quarantine_work);
	som_pool_settle();
	close_sources();
	xa_destroy(&pool.chunks);
	pool_free_nodes();
}
