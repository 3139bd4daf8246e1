// SPDX-License-Identifier: GPL-2.0
/*
 * The pool: chunks from a source, handed out as zeroed units.
 *
 * A unit is known by its number in the machine, the page frame number divided
 * by 512; a chunk by its unit number divided by 512. Chunks are in an xarray
 * under their number, and in another one of their NUMA node. Marks on its entries
 * say which chunks have zeroed or dirty units, so that finding one is a search of
 * that xarray.
 *
 * A processor remembers the chunk that it took a unit from last, and takes the next
 * from there: one lock, which it has alone as long as nobody else takes from the same
 * chunk. Processors that meet at a chunk go to different ones; so units are
 * not spread over more chunks than there are takers at a time.
 *
 * A chunk is one user's as long as any of its units is used or held, and nobody's
 * else: the source counts pins by chunk, and a pin is to cost the others of its user
 * at most. commit.h says how a user's reservation is kept. Where the
 * administrator has users share chunks, all of them are one to the pool.
 *
 * Life of a unit: free (zeroed or dirty) -> som_pool_alloc() -> used ->
 * som_pool_free() -> dirty, or held while somebody has a pin on the chunk ->
 * dirty -> being zeroed (zero.c) -> zeroed. som_pool_alloc() zeroes what is dirty
 * after it took it, so nobody ever sees another owner's bytes. A unit may only be freed
 * or held when no translation of it is left in any page table or TLB (vma.c and
 * owner.c say when that is).
 *
 * Pins are counted by chunk. A new pin needs a translation, so a unit that has none
 * is not pinned any more once its chunk has been seen without any pin, whatever pins
 * come to other units of the chunk later. A unit of which that is not known is
 * held. Somebody is charged for it until then: a chunk has a record of who, and of how
 * many units.
 *
 * A unit whose memory has failed (hwpoison.c) is poisoned, whatever else it is: nobody
 * zeroes it, copies it or gets it any more. When it has no owner it is retired: the
 * pool is smaller by one, also if all was reserved. Then one reservation cannot be kept,
 * and who finds no unit gets SIGBUS, as with HugeTLB.
 *
 * Locking, outer to inner:
 *   pool.resize	mutex: growing, shrinking; the source
 *   chunk->lock	spinlock: the chunk's bitmaps and its marks
 *   pool.commit_lock	spinlock: reservations
 *   xa_lock		of pool.chunks and of the nodes' chunks
 * Chunks are found under RCU; a chunk that is going away is "dead" under its
 * lock before it leaves the xarray. None of these locks is held while a unit
 * is zeroed.
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

/* Marks of a node's chunks ... */
#define SOM_HAS_ZEROED	XA_MARK_0
#define SOM_HAS_DIRTY	XA_MARK_1
/* ... and of all chunks. */
#define SOM_HAS_QUARANTINED	XA_MARK_0

/* How often held units are looked at, in milliseconds. */
#define SOM_QUARANTINE_MS	100

struct som_chunk {
	spinlock_t lock;	/* guards map, dead and draining */
	bool dead;
	bool draining;		/* taken from last (pool_take_draining()) */
	bool has_zeroed;	/* as its marks say */
	bool has_dirty;
	unsigned long round;	/* of the last compaction that tried it */
	struct som_pool_user *user;	/* who has units of it, or NULL */
	struct list_head quarantines;	/* who is charged for what is held */
	struct som_unitmap map;
	struct som_extent ext;
	struct rcu_head rcu;
};

/* Units of a chunk that are held, and who is charged for them. */
struct som_quarantine {
	struct list_head list;
	struct som_quarantine_charge *payer;
	unsigned int nr;
};

/* What the pool has of a NUMA node. */
struct som_pool_node {
	struct xarray chunks;
	wait_queue_head_t dirty_wait;	/* for dirty units */
	int *order;			/* all nodes, by distance */
};

/* In the order in which they are asked for memory; it goes back in the opposite order. */
static const struct som_source * const sources[] = SOM_SOURCES;

/* The chunk that a processor took its last unit from: set under chunk->lock. */
static DEFINE_PER_CPU(struct som_chunk *, som_hint);

static void som_pool_quarantine_work(struct work_struct *work);

static struct {
	struct xarray chunks;
	struct som_pool_node *nodes;	/* nr_node_ids of them */
	unsigned long nr_chunks;	/* under resize */
	struct mutex resize;		/* growing and shrinking */
	spinlock_t commit_lock;		/* guards commit, users' and gone */
	struct som_commit commit;
	struct som_pool_user everybody;	/* with share_chunks */
	struct list_head gone;		/* of units that are not held any more */
	struct delayed_work quarantine_work;
	bool draining;			/* a compaction is under way */
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

/* Under commit_lock, and changed only while nothing is reserved or used. */
static bool share_chunks __read_mostly;
module_param(share_chunks, bool, 0444);
MODULE_PARM_DESC(share_chunks, "have users share chunks: what one of them pins holds back what others release (default N)");

/* Set before the first unit is poisoned, and never cleared. */
bool som_pool_any_poisoned;

static unsigned long chunk_nr(const struct som_chunk *chunk)
{
	return chunk->ext.pfn / SOM_CHUNK_PAGES;
}

static struct som_pool_node *chunk_node(const struct som_chunk *chunk)
{
	return &pool.nodes[chunk->ext.nid];
}

/* Make one mark of a chunk say what its bitmaps say. */
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

/* Who a user is to the pool. Whoever has something reserved stays the same. */
static struct som_pool_user *pool_user(struct som_pool_user *user)
{
	return READ_ONCE(share_chunks) ? &pool.everybody : user;
}

static struct som_commit_user *chunk_commit(struct som_chunk *chunk)
{
	return chunk->user ? &chunk->user->commit : NULL;
}

/* Not of a chunk that is dead: its source may have it back. */
static bool chunk_pinned(const struct som_chunk *chunk)
{
	return chunk->ext.source->pinned(&chunk->ext);
}

/* So many units of a chunk are new among those that are retired. */
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
 * enum som_take - chunks that a unit may come from
 * @SOM_TAKE_OWN: the user's.
 * @SOM_TAKE_CLAIMED: nobody's, if the user has fewer than it claims.
 * @SOM_TAKE_FREE: nobody's, if others do not claim all of them.
 */
enum som_take {
	SOM_TAKE_OWN,
	SOM_TAKE_CLAIMED,
	SOM_TAKE_FREE,
};

/* May a user have another chunk? It may be no more when that is tried. */
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

/* A chunk becomes a user's, if it is nobody's. */
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

/* A chunk becomes nobody's, if no unit of it is used or held. */
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

/* The module stays as long as somebody has a pin that its chunk's source does not wait for. */
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
 * Held units of a chunk become free when the last pin on it is gone. No new
 * pin can come to a held unit: nothing maps it.
 */
static void chunk_end_quarantine(struct som_chunk *chunk)
{
	unsigned int nr, retired = chunk->map.nr_retired;

	lockdep_assert_held(&chunk->lock);

	/* What a dead chunk holds was accounted for when it died, and its extent goes. */
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

/* Take back the charges of units that are not held any more. */
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

/* Look at all held units; true if some still are. */
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
 * som_pool_look - see whether pins are gone for which units are held
 *
 * Context: Process context; takes the chunks' locks.
 * Return: true if there were any: it may be worth while to try a charge again.
 */
bool som_pool_look(void)
{
	if (!READ_ONCE(pool.commit.quarantined))
		return false;
	som_pool_end_quarantine();
	som_pool_settle();
	return true;
}

/* On any processor that is not isolated. */
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
 * som_unit_nid - a unit's NUMA node
 * @unit: unit number
 *
 * Context: Any.
 * Return: the node.
 */
int som_unit_nid(unsigned long unit)
{
	return pfn_to_nid(unit << SOM_UNIT_PAGE_SHIFT);
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
 * som_unit_copy_pages - copy pages of a unit to the same place in another
 * @to: unit number of the copy
 * @from: unit number
 * @pages: which pages; the others of the copy stay as they are
 *
 * Context: Process context; may sleep.
 * Return: 0; -EHWPOISON if memory of @from has failed: not all pages are copied.
 */
int som_unit_copy_pages(unsigned long to, unsigned long from,
			const unsigned long *pages)
{
	void *dst = som_unit_address(to), *src = som_unit_address(from);
	unsigned int i, nr = 0;

	if (som_pool_poisoned(from))
		return -EHWPOISON;
	for_each_set_bit(i, pages, SOM_UNIT_PAGES) {
		if (copy_mc_to_kernel(dst + i * PAGE_SIZE, src + i * PAGE_SIZE,
				      PAGE_SIZE)) {
			/* Comes back to som_pool_poison(). */
			memory_failure_queue((from << SOM_UNIT_PAGE_SHIFT) + i, 0);
			return -EHWPOISON;
		}
		if (!(++nr % 64))
			cond_resched();
	}
	return 0;
}

/**
 * som_unit_copy - copy a unit's memory
 * @to: unit number of the copy
 * @from: unit number
 *
 * Context: Process context; may sleep.
 * Return: as som_unit_copy_pages().
 */
int som_unit_copy(unsigned long to, unsigned long from)
{
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);

	bitmap_fill(pages, SOM_UNIT_PAGES);
	return som_unit_copy_pages(to, from, pages);
}

/**
 * som_unit_zero_others - zero all of a unit but some pages
 * @unit: unit number
 * @pages: the pages that stay as they are
 *
 * Context: Process context; may sleep.
 */
void som_unit_zero_others(unsigned long unit, const unsigned long *pages)
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
 * som_pool_charge - reserve units for an owner
 * @user: whose they will be
 * @nr_units: how many
 *
 * Context: Process context; takes pool.commit_lock; may be called with other
 * spinlocks held.
 * Return: true, or false (and nothing is changed) if there are not as many that
 * the user can have.
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
 * som_pool_units - count the units that there are
 *
 * Context: Any.
 * Return: number of units.
 */
unsigned long som_pool_units(void)
{
	return READ_ONCE(pool.commit.total);
}

/**
 * som_pool_room - count the units that can be reserved
 * @user: for whom
 *
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
 * som_pool_uncharge - take reservations back
 * @user: whose they are
 * @nr_units: how many units, each charged before
 *
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
 * som_pool_same_user - can a unit of one user become another's?
 * @a: one user
 * @b: another user, or the same
 *
 * If not, the other one needs a copy, in a chunk of its own.
 *
 * Context: Any.
 * Return: true if so.
 */
bool som_pool_same_user(const struct som_pool_user *a,
			const struct som_pool_user *b)
{
	return a == b || READ_ONCE(share_chunks);
}

/**
 * som_pool_keep - count units that owners keep
 * @user: whose owners
 * @nr: how many more; or fewer, if negative
 *
 * Context: Any.
 */
void som_pool_keep(struct som_pool_user *user, int nr)
{
	atomic_long_add(nr, &pool_user(user)->cached);
}

/**
 * som_pool_cached - the count of som_pool_keep()
 * @user: whose owners
 *
 * Context: Any.
 * Return: number of units.
 */
unsigned long som_pool_cached(struct som_pool_user *user)
{
	return atomic_long_read(&pool_user(user)->cached);
}

/**
 * som_pool_idle_units - count units that become free if a user's owners keep none
 * @user: whose owners
 *
 * Context: Any. Nothing keeps the answer from changing.
 * Return: all units of its chunks, if it has no others than those that are kept; or 0.
 */
unsigned long som_pool_idle_units(struct som_pool_user *user)
{
	user = pool_user(user);
	return READ_ONCE(user->commit.units) == atomic_long_read(&user->cached) ?
		READ_ONCE(user->commit.claim) * SOM_CHUNK_UNITS : 0;
}

/**
 * som_pool_shared - are chunks shared between users?
 *
 * Context: Any.
 * Return: true if so.
 */
bool som_pool_shared(void)
{
	return READ_ONCE(share_chunks);
}

/**
 * som_pool_share - have users share chunks, or not
 * @share: whether they shall
 *
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

/* Take a unit of a chunk that is locked, if a user may, and no compaction wants it. */
static inline long pool_take_locked(struct som_chunk *chunk,
				    struct som_pool_user *user, enum som_take how,
				    bool *zeroed)
{
	int unit;

	if (chunk->dead || chunk->draining ||
	    !som_unitmap_nr_free(&chunk->map))
		return -ENOSPC;
	if (unlikely(chunk->user != user) &&
	    (how == SOM_TAKE_OWN || !chunk_take(chunk, user)))
		return -ENOSPC;
	unit = som_unitmap_take(&chunk->map, zeroed);
	if (unit < 0)
		return unit;
	chunk_mark_free(chunk);
	/* A user's processors do not take turns at writing to its hint. */
	if (raw_cpu_read(som_hint) != chunk) {
		raw_cpu_write(som_hint, chunk);
		WRITE_ONCE(user->hint, chunk);
	}
	return chunk_nr(chunk) * SOM_CHUNK_UNITS + unit;
}

/* Take a unit of a chunk. @wait: also if others have it locked. */
static long pool_take_from_chunk(struct som_chunk *chunk, struct som_pool_user *user,
				 enum som_take how, bool wait, bool *zeroed)
{
	long unit;

	if (wait)
		spin_lock(&chunk->lock);
	else if (!spin_trylock(&chunk->lock))
		return -EBUSY;
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

/*
 * Take a zeroed unit where this processor took its last, or else its user, if nobody
 * else is at that chunk.
 */
static long pool_take_hinted(struct som_pool_user *user, int nid, bool *zeroed)
{
	struct som_chunk *chunk;
	long unit = -ENOSPC;

	/* As good as RCU's lock here, and cheaper. */
	preempt_disable();
	chunk = raw_cpu_read(som_hint);
	if (unlikely(!hint_fits(chunk, user, nid)))
		chunk = READ_ONCE(user->hint);
	if (likely(hint_fits(chunk, user, nid)))
		unit = pool_take_from_chunk(chunk, user, SOM_TAKE_OWN, false, zeroed);
	preempt_enable();
	return unit;
}

/* Take a unit of a node's chunks with a mark. */
static long pool_take_marked(struct som_pool_user *user, enum som_take how, int nid,
			     xa_mark_t mark, bool wait, bool *zeroed)
{
	const struct som_pool_user *of = how == SOM_TAKE_OWN ? user : NULL;
	struct som_chunk *chunk;
	unsigned long nr;
	long unit = -ENOSPC;

	if (of != user && !pool_may_take(user, how))
		return unit;
	rcu_read_lock();
	xa_for_each_marked(&pool.nodes[nid].chunks, nr, chunk, mark) {
		if (READ_ONCE(chunk->user) != of)
			continue;
		unit = pool_take_from_chunk(chunk, user, how, wait, zeroed);
		if (unit >= 0)
			break;
	}
	rcu_read_unlock();
	return unit;
}

/*
 * A zeroed unit if there is one, best without waiting for a lock, or else a dirty one;
 * of a chunk that the user does not claim yet only if it has no other on the node.
 */
static long pool_take_from_node(struct som_pool_user *user, bool own, int nid,
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
	long unit = -ENOSPC;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(order) && unit < 0; i++) {
		if (!own || order[i].how == SOM_TAKE_OWN)
			unit = pool_take_marked(user, order[i].how, nid,
						order[i].mark, order[i].wait, zeroed);
	}
	return unit;
}

/* By distance from a node, among some nodes, or all. */
static long pool_take_unit(struct som_pool_user *user, bool own, int nid,
			   const nodemask_t *nodes, bool *zeroed)
{
	const int *order = pool.nodes[nid].order;
	long unit = -ENOSPC;
	unsigned int i;

	for (i = 0; i < nr_node_ids && unit < 0; i++) {
		if (!nodes || node_isset(order[i], *nodes))
			unit = pool_take_from_node(user, own, order[i], zeroed);
	}
	return unit;
}

/*
 * Take a unit of a chunk that a compaction wants empty, which gives up on it then. Of
 * those, first of one that is not empty: empty ones are what it is for.
 */
static long pool_take_draining(struct som_pool_user *user, const nodemask_t *nodes,
			       bool *zeroed)
{
	struct som_chunk *chunk;
	long unit = -ENOSPC;
	unsigned long nr;
	int empty;

	rcu_read_lock();
	for (empty = 0; empty < 2 && unit < 0; empty++) {
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
				chunk->draining = unit < 0;
			}
			spin_unlock(&chunk->lock);
			if (unit >= 0)
				break;
		}
	}
	rcu_read_unlock();
	return unit;
}

static inline long try_alloc_unit(struct som_pool_user *user, int nid,
				  const nodemask_t *nodes, bool target,
				  bool *zeroed)
{
	long unit = -ENOSPC;

	if (!nodes || node_isset(nid, *nodes))
		unit = pool_take_hinted(user, nid, zeroed);
	if (unit < 0)
		unit = pool_take_unit(user, target, nid, nodes, zeroed);
	if (unit < 0 && READ_ONCE(pool.commit.quarantined)) {
		som_pool_end_quarantine();
		unit = pool_take_unit(user, target, nid, nodes, zeroed);
	}
	if (unit < 0 && !target && READ_ONCE(pool.draining))
		unit = pool_take_draining(user, nodes, zeroed);
	return unit;
}

/*
 * Is a unit of some nodes that a user may have free, or about to be? @target: not of
 * chunks that are empty, or that a compaction wants empty.
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

/*
 * What is being zeroed is waited for: that takes no longer than to zero one unit.
 * @target: for a compaction, as units_left() has it.
 */
static inline long alloc_unit(struct som_pool_user *user, int nid,
			      const nodemask_t *nodes, bool target, bool *zeroed)
{
	long unit;

	user = pool_user(user);
	unit = try_alloc_unit(user, nid, nodes, target, zeroed);
	while (unlikely(unit < 0) && units_left(user, nodes, target)) {
		usleep_range(50, 200);
		unit = try_alloc_unit(user, nid, nodes, target, zeroed);
	}
	return unit;
}

static long alloc_unzeroed(struct som_pool_user *user, int nid, bool target)
{
	bool zeroed;
	long unit;

	might_sleep();

	unit = alloc_unit(user, nid, NULL, target, &zeroed);
	if (unit >= 0)
		trace_som_unit_alloc(unit, false);
	return unit;
}

/**
 * som_pool_alloc_unzeroed - take a unit all of which will be overwritten
 * @user: whose it will be
 * @nid: node that it should be near to
 *
 * It has bytes of a former owner: nobody may see it before it is overwritten.
 *
 * Context: Process context; may sleep.
 * Return: unit number, or -ENOSPC if there is none.
 */
long som_pool_alloc_unzeroed(struct som_pool_user *user, int nid)
{
	return alloc_unzeroed(user, nid, false);
}

/**
 * som_pool_alloc_target - take a unit for a compaction to move another one to
 * @user: whose it will be
 * @nid: node that it should be near to
 *
 * As som_pool_alloc_unzeroed(), but never of a chunk that is empty, or is being emptied.
 *
 * Context: Process context; may sleep.
 * Return: unit number, or -ENOSPC if there is none.
 */
long som_pool_alloc_target(struct som_pool_user *user, int nid)
{
	return alloc_unzeroed(user, nid, true);
}

/**
 * som_pool_alloc - take a unit that was charged before
 * @user: whose it will be
 * @nid: node that it should be near to
 * @nodes: nodes that it must be of, or NULL
 *
 * The unit's memory is zero.
 *
 * Context: Process context; may sleep.
 * Return: unit number, or -ENOSPC if there is none right now: a unit that
 * makes up for the charge is on its way back from its former owner, or all are of other
 * nodes.
 */
long som_pool_alloc(struct som_pool_user *user, int nid,
		    const nodemask_t *nodes)
{
	bool zeroed;
	long unit;

	might_sleep();

	unit = alloc_unit(user, nid, nodes, false, &zeroed);
	if (unit < 0)
		return unit;
	if (!zeroed)
		som_unit_zero(unit);
	trace_som_unit_alloc(unit, !zeroed);
	return unit;
}

/**
 * som_pool_units_left - has the pool anything of some nodes?
 * @user: for whom
 * @nodes: which
 *
 * Context: Process context.
 * Return: true if a unit is free or being zeroed: there will be one soon.
 */
bool som_pool_units_left(struct som_pool_user *user, const nodemask_t *nodes)
{
	return units_left(pool_user(user), nodes, false);
}

/* All units of an empty chunk of a node. @busy: some chunk is being zeroed. */
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
 * som_pool_alloc_chunk - take all units of an empty chunk
 * @user: whose they will be
 * @nid: node that it should be near to
 * @nodes: nodes that it must be of, or NULL
 *
 * The caller charges them. Their memory is zero.
 *
 * Context: Process context; may take as long as zeroing a GiB does.
 * Return: chunk number, or -ENOSPC if no chunk is empty, or others claim those.
 */
long som_pool_alloc_chunk(struct som_pool_user *user, int nid,
			  const nodemask_t *nodes)
{
	const int *order = pool.nodes[nid].order;
	DECLARE_BITMAP(dirty, SOM_CHUNK_UNITS);
	unsigned long unit;
	long chunk = -ENOSPC;
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
		/* That takes no longer than to zero one unit. */
		if (chunk < 0 && busy)
			usleep_range(50, 200);
	} while (chunk < 0 && busy);
	if (chunk < 0)
		return chunk;
	for_each_set_bit(unit, dirty, SOM_CHUNK_UNITS)
		som_unit_zero(chunk * SOM_CHUNK_UNITS + unit);
	return chunk;
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

/* How many units from the first on are of one chunk. */
static unsigned int run_length(const unsigned long *units, unsigned int nr)
{
	unsigned int i = 1;

	while (i < nr &&
	       units[i] / SOM_CHUNK_UNITS == units[0] / SOM_CHUNK_UNITS)
		i++;
	return i;
}

/* Used units of a chunk become free, held, or retired. Return: how many, that is, all. */
static unsigned int pool_put_run(struct som_chunk *chunk, const unsigned long *units,
				 unsigned int nr, bool quarantine)
{
	unsigned int i, done = 0, retired = chunk->map.nr_retired;

	lockdep_assert_held(&chunk->lock);

	for (i = 0; i < nr; i++) {
		if (WARN_ON_ONCE(som_unitmap_put(&chunk->map,
						 units[i] % SOM_CHUNK_UNITS,
						 quarantine)))
			continue;
		trace_som_unit_free(units[i], quarantine);
		done++;
	}
	chunk_retired(chunk, chunk->map.nr_retired - retired);
	return done;
}

/* @look: not if somebody has a pin on the chunk: then it returns false. */
static bool pool_free_run(const unsigned long *units, unsigned int nr, bool look)
{
	struct som_chunk *chunk;
	bool pinned = false;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, units[0] / SOM_CHUNK_UNITS);
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
 * som_pool_free_units - free units that have lost their owner, unless they may be pinned
 * @units: unit numbers; on return, those that may be pinned come first, in the
 *	order they had
 * @nr: how many
 *
 * The caller knows that no page table and no TLB has a translation of them, and
 * takes the charges of those that are freed back afterwards.
 *
 * Context: Process context; takes the chunks' locks.
 * Return: how many may be pinned: they stay the caller's, for som_pool_quarantine_units().
 */
unsigned int som_pool_free_units(unsigned long *units, unsigned int nr)
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
 * som_pool_free - free a unit that is known not to be pinned
 * @unit: unit number
 *
 * Nobody has had a translation of it since it was taken; or som_pool_pinned() was
 * false when no page table and no TLB had one any more.
 *
 * Context: Process context; takes the chunk's lock.
 */
void som_pool_free(unsigned long unit)
{
	pool_free_run(&unit, 1, false);
}

/* The record of a holder in a chunk, or NULL. */
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

/* *spare is a record that may be used; then it is NULL. */
static void pool_quarantine_run(const unsigned long *units, unsigned int nr,
				struct som_quarantine_charge *payer, struct som_quarantine **spare)
{
	struct som_chunk *chunk;
	struct som_quarantine *quarantine;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, units[0] / SOM_CHUNK_UNITS);
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
 * som_pool_quarantine_units - keep units that have lost their owner from everybody
 * @units: unit numbers
 * @nr: how many
 * @payer: who is charged for each of them: its @gone is called for each once, some
 *	time after no pin on the unit's chunk is left
 *
 * The caller knows that no page table and no TLB has a translation of them. Their
 * charge in the pool is the pool's from now on.
 *
 * Context: Process context; takes the chunks' locks. Cannot fail.
 */
void som_pool_quarantine_units(const unsigned long *units, unsigned int nr,
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
 * som_pool_zero_begin - a dirty unit of a node, to be zeroed
 * @nid: node
 *
 * Nobody gets it until som_pool_zero_end(), so the caller does not sleep meanwhile.
 *
 * Context: Any.
 * Return: unit number, or -ENOENT.
 */
long som_pool_zero_begin(int nid)
{
	struct som_chunk *chunk;
	unsigned long nr;
	long unit = -ENOENT;

	rcu_read_lock();
	xa_for_each_marked(&pool.nodes[nid].chunks, nr, chunk, SOM_HAS_DIRTY) {
		spin_lock(&chunk->lock);
		if (!chunk->dead && !chunk->draining)
			unit = som_unitmap_zero_begin(&chunk->map);
		chunk_mark_free(chunk);
		spin_unlock(&chunk->lock);
		if (unit >= 0)
			break;
	}
	rcu_read_unlock();
	return unit < 0 ? unit : nr * SOM_CHUNK_UNITS + unit;
}

/**
 * som_pool_zero_end - a unit was zeroed, or not
 * @unit: from som_pool_zero_begin()
 * @zeroed: whether all of it is zero
 *
 * Context: Any.
 */
void som_pool_zero_end(unsigned long unit, bool zeroed)
{
	struct som_chunk *chunk;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, unit / SOM_CHUNK_UNITS);
	if (!WARN_ON_ONCE(!chunk)) {
		unsigned int retired;

		spin_lock(&chunk->lock);
		retired = chunk->map.nr_retired;
		som_unitmap_zero_end(&chunk->map, unit % SOM_CHUNK_UNITS,
				     zeroed);
		chunk_retired(chunk, chunk->map.nr_retired - retired);
		chunk_mark_free(chunk);
		spin_unlock(&chunk->lock);
	}
	rcu_read_unlock();
}

/**
 * som_pool_has_dirty - is there anything to be zeroed?
 * @nid: node
 *
 * Context: Any.
 * Return: true if so.
 */
bool som_pool_has_dirty(int nid)
{
	return xa_marked(&pool.nodes[nid].chunks, SOM_HAS_DIRTY);
}

/**
 * som_pool_dirty_wait - where to wait for dirty units
 * @nid: node
 *
 * Return: a wait queue, on which who waits is woken when there may be some.
 */
wait_queue_head_t *som_pool_dirty_wait(int nid)
{
	return &pool.nodes[nid].dirty_wait;
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
	pinned = chunk && chunk_pinned(chunk);
	rcu_read_unlock();
	return pinned;
}

/**
 * som_pool_poison - memory has failed
 * @pfn: page frame number
 * @cached: the kernel has marked the memory and keeps a reference to it
 *
 * If it is of a unit, nobody gets that any more. Whoever maps it still does.
 *
 * Context: Any but interrupts.
 * Return: true if it is of a unit and that was not known.
 */
bool som_pool_poison(unsigned long pfn, bool cached)
{
	unsigned long unit = pfn >> SOM_UNIT_PAGE_SHIFT;
	struct som_chunk *chunk;
	unsigned int retired;
	bool fresh = false;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, unit / SOM_CHUNK_UNITS);
	if (!chunk)
		goto out;
	WRITE_ONCE(som_pool_any_poisoned, true);
	spin_lock(&chunk->lock);
	/* The numbers of a dead chunk were accounted for when it died. */
	if (!chunk->dead) {
		if (cached)
			chunk->ext.source->poison(&chunk->ext);
		retired = chunk->map.nr_retired;
		fresh = som_unitmap_poison(&chunk->map, unit % SOM_CHUNK_UNITS);
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
 * som_pool_test_poisoned - the same as som_pool_poisoned(), where any is
 * @unit: unit number
 *
 * Context: Any.
 * Return: true if so.
 */
bool som_pool_test_poisoned(unsigned long unit)
{
	struct som_chunk *chunk;
	bool poisoned;

	rcu_read_lock();
	chunk = xa_load(&pool.chunks, unit / SOM_CHUNK_UNITS);
	poisoned = chunk && test_bit(unit % SOM_CHUNK_UNITS,
				     chunk->map.poisoned);
	rcu_read_unlock();
	return poisoned;
}

/**
 * som_pool_broken - is more reserved than there is, as memory has failed?
 * @user: for whom
 *
 * Context: Any.
 * Return: true if so: a unit that is not there need not be on its way.
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

/* Free units of other chunks of the same user that are not being emptied. */
static unsigned long pool_free_elsewhere(const struct som_chunk *but)
{
	const struct som_pool_user *user = READ_ONCE(but->user);
	struct som_chunk *chunk;
	unsigned long i, nr = 0;

	xa_for_each(&pool.chunks, i, chunk) {
		/* A unit whose zeroing ends now is counted once. */
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
 * som_pool_drain_begin - begin a compaction
 *
 * Until som_pool_drain_end(), units of chunks that are empty are taken last. Nothing is
 * quarantined from anybody: a compaction waits for others.
 *
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
 * The chunk with the fewest units in use that was not chosen in a round. @fits: they fit
 * into other chunks. Return: false if there is none.
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
 * som_pool_drain_next - choose a chunk to be emptied
 * @round: number of the compaction; each chunk is chosen once in a round
 *
 * It is the one with the fewest units in use that fit into others of its user. From now
 * on its units are taken last.
 *
 * Context: Process context.
 * Return: chunk number, or -ENOSPC if there is none.
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
 * som_pool_draining - is it worth while to go on emptying a chunk?
 * @chunk: chunk number, from som_pool_drain_next()
 *
 * Context: Process context.
 * Return: false if it is gone, or somebody had to take a unit of it.
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
 * som_pool_drain_check - has a chunk been emptied?
 * @chunk: chunk number, from som_pool_drain_next()
 *
 * If so, its units are taken last until som_pool_drain_end(); if not, from now on
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
	WRITE_ONCE(pool.draining, false);
}

/* Take one extent from the first source that has one. */
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

/* Take one chunk from a source. */
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
	/* What has failed before it could be found here is not known page by page. */
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
	/* A compaction may have set marks when it was not among its node's chunks yet. */
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
	/* Nobody has seen it: that does not fail. */
	WARN_ON_ONCE(chunk->ext.source->put(&chunk->ext));
out_free:
	kfree(chunk);
	return ret;
}

/*
 * May a chunk go that nobody uses? A source that does not wait for pins, nor remembers what
 * memory has failed, leaves both to the pool.
 */
static bool pool_may_leave(const struct som_chunk *chunk)
{
	return chunk->ext.source->flags & SOM_SOURCE_PINS_LEAVE ||
	       (!chunk->map.nr_quarantined &&
		(!chunk->map.nr_poisoned || pool.exiting));
}

/* A chunk that was to go stays. */
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
 * Give one chunk back if it is empty and no reservation needs it. Units that are
 * held do not count where the source waits for the pins by itself: whoever pins them has
 * a reference to its folio. The source has it back before it leaves the xarrays, as it may
 * refuse it: as long as it is dead, nobody looks at its memory.
 */
static bool som_pool_remove(struct som_chunk *chunk)
{
	const struct som_source *source = chunk->ext.source;
	unsigned int quarantined, cpu;
	bool gone = false;

	lockdep_assert_held(&pool.resize);

	spin_lock(&chunk->lock);
	/* That takes no longer than to zero one unit. */
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
	/* Nobody remembers a chunk that is dead. */
	for_each_possible_cpu(cpu)
		cmpxchg(per_cpu_ptr(&som_hint, cpu), chunk, NULL);
	xa_erase(&chunk_node(chunk)->chunks, chunk_nr(chunk));
	xa_erase(&pool.chunks, chunk_nr(chunk));
	trace_som_chunk_put(chunk_nr(chunk), chunk->ext.nid);
	pool.nr_chunks--;
	kfree_rcu(chunk, rcu);
	return true;
}

/* Remove up to nr empty chunks of a source; how many went. */
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

/* Remove up to nr empty chunks, of the last source first; how many went. */
static unsigned long som_pool_shrink(unsigned long nr)
{
	unsigned int i = ARRAY_SIZE(sources);
	unsigned long gone = 0;

	while (i--)
		gone += shrink_source(sources[i], nr - gone);
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
			/* Those just taken may be in use already: try. */
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
 * som_pool_trim - give one empty chunk back if there are too many
 * @low: empty chunks that stay
 *
 * Context: Process context; takes pool.resize.
 * Return: true if one was given back.
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
 * som_pool_show - tell of every unit what it is
 * @m: where to: a line for each chunk, with its number, its node, and a
 *	character for each unit: zeroed '.', dirty 'd', being zeroed 'z', used 'U',
 *	held 'q', poisoned 'x'
 *
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
 * som_pool_next_chunk - tell of a chunk who has it
 * @nr: chunk number to begin with
 * @info: where the result goes, for the first chunk from there on
 *
 * Context: Process context.
 * Return: true, or false if there is none.
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
 * som_pool_source_stats - count what a source has given
 * @nr: number of the source, from 0 on
 * @stats: where the result goes
 *
 * Context: Process context.
 * Return: true, or false if there is no such source.
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

/* Emulated nodes may be as near to each other as to themselves: itself first. */
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

/* What there is for each node that there can be. */
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
 * Open the sources. One that was asked for has to be there, and tells why it is not.
 * HugeTLB, the last, need not be where there is another one.
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
	pr_err("%s cannot be had (%d); boot with %s\n", sources[last]->name,
	       ret, sources[last]->hint_boot);
	if (any)
		return 0;
out_close:
	close_sources();
	return ret;
}

/**
 * som_pool_init - open the sources and take the first chunks
 * @nr_chunks: how many
 *
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
 * som_pool_exit - give everything back
 *
 * Context: Module unload; no owner is left.
 */
void som_pool_exit(void)
{
	mutex_lock(&pool.resize);
	pool.exiting = true;
	WARN_ON_ONCE(pool.commit.committed);
	/* What is held keeps the module; any other pin is somebody's who looks at a page. */
	while (som_pool_shrink(pool.nr_chunks), pool.nr_chunks)
		msleep(20);
	mutex_unlock(&pool.resize);
	cancel_delayed_work_sync(&pool.quarantine_work);
	som_pool_settle();
	close_sources();
	xa_destroy(&pool.chunks);
	pool_free_nodes();
}
