// SPDX-License-Identifier: GPL-2.0
/*
 * The dirty log of an owner: the tracked unit indices, and a region for each tracked unit
 * that has, or had, memory.
 *
 * Invariant: a populated unit whose index is in ranges has a region. Tracking adds the
 * range first and then makes regions for populated units. A fault stores its unit first and
 * then checks whether the index is tracked. Whichever is second sees the other and makes
 * the region, under the index's fault_lock.
 *
 * When a tracked unit is freed (punch.c), its data becomes zero, which the next scan must
 * report. The index stays tracked, and SOM_ALL_DROPPED, which needs no memory, replaces the
 * region. When a scan has reported some of the pages, a region records the rest. It is
 * removed with the last page, or reused for the next unit.
 *
 * A mapping at addresses that a scan has passed may be replaced by one without memory.
 * Regions cannot record this: they cost memory, addresses do not. Instead, @anew of the new
 * mapping (som_types.h) makes all its untracked indices count as written. When a scan has
 * reported pages of such an index, the index becomes tracked, with a region for the rest.
 */
#include <linux/bitmap.h>
#include <linux/rcupdate_wait.h>
#include <linux/slab.h>
#include "compat.h"
#include "dirty_log.h"
#include "range.h"

/* Runs counted between calls of cond_resched(). */
#define SOM_RUNS_BATCH		64

/**
 * som_dirty_log_init - Initialise a dirty log
 * @t: the dirty log
 * @lock: owner->lock
 */
void som_dirty_log_init(struct som_dirty_log *t, struct mutex *lock)
{
	mt_init_flags(&t->ranges, SOM_MT_FLAGS);
	mt_set_external_lock(&t->ranges, lock);
	xa_init_flags(&t->regions, XA_FLAGS_ACCOUNT);
	mutex_init(&t->lock);
	t->nr_ranges = 0;
	atomic_long_set(&t->nr_dropped, 0);
	som_seen_init(&t->seen);
	t->removed = 0;
	t->known.first = 1;
	t->known.last = 0;
	t->buf = NULL;
	t->claim = NULL;
	t->own = false;
	t->on = false;
	t->anew = false;
}

/**
 * som_dirty_log_destroy - Destroy a dirty log
 * @t: the dirty log; it has no regions
 * Context: Process context; owner->lock is held.
 */
void som_dirty_log_destroy(struct som_dirty_log *t)
{
	WARN_ON_ONCE(!xa_empty(&t->regions) || atomic_long_read(&t->nr_dropped));
	kvfree(t->buf);
	__mt_destroy(&t->ranges);
	xa_destroy(&t->regions);
}

/**
 * som_dirty_log_run - Find a run of indices that are all tracked or all untracked
 * @t: the dirty log
 * @idx: first unit index
 * @last: last unit index
 * @tracked: set to whether they are tracked
 * Context: Any.
 * Return: last index of the run, at most @last.
 */
unsigned long som_dirty_log_run(struct som_dirty_log *t, unsigned long idx,
				unsigned long last, bool *tracked)
{
	MA_STATE(mas, &t->ranges, idx, idx);

	*tracked = false;
	if (!READ_ONCE(t->on))
		return last;
	rcu_read_lock();
	*tracked = mas_walk(&mas);
	last = min(last, mas.last);
	rcu_read_unlock();
	return last;
}

/**
 * som_dirty_log_covers - Test whether all indices of a range are tracked
 * @t: the dirty log
 * @first: first unit index
 * @last: last unit index
 *
 * Checks one run, as som_dirty_log_add() merges neighbours. Caches the answer, as most
 * scans repeat the previous one.
 * Context: t->lock is held.
 * Return: true if all are.
 */
bool som_dirty_log_covers(struct som_dirty_log *t, unsigned long first,
			  unsigned long last)
{
	/* Pairs with the release in som_dirty_log_end(). */
	unsigned long removed = smp_load_acquire(&t->removed);
	bool tracked;

	lockdep_assert_held(&t->lock);
	if (first >= t->known.first && last <= t->known.last &&
	    removed == t->known.removed)
		return true;
	if (som_dirty_log_run(t, first, last, &tracked) < last || !tracked)
		return false;
	t->known.first = first;
	t->known.last = last;
	t->known.removed = removed;
	return true;
}

/*
 * Count the runs that touch a range. The caller merges or removes them, so in total the
 * walks cost no more than adding the runs did. @beyond: number of ends that reach beyond
 * the range.
 */
static unsigned long count_runs(struct som_dirty_log *t, unsigned long first,
				unsigned long last, unsigned long *beyond)
{
	MA_STATE(mas, &t->ranges, first, first);
	unsigned long nr = 0;
	void *entry;

	*beyond = 0;
	rcu_read_lock();
	mas_for_each(&mas, entry, last) {
		*beyond += (mas.index < first) + (mas.last > last);
		if (!(++nr % SOM_RUNS_BATCH)) {
			mas_pause(&mas);
			cond_resched_rcu();
		}
	}
	rcu_read_unlock();
	return nr;
}

/**
 * som_dirty_log_add - Start tracking a range
 * @t: the dirty log
 * @first: first unit index
 * @last: last unit index
 * @max: maximum number of runs
 *
 * The caller makes regions for populated units.
 * Context: Process context; owner->lock is held.
 * Return: 0; -ENOMEM without memory or with more than @max runs.
 */
int som_dirty_log_add(struct som_dirty_log *t, unsigned long first,
		      unsigned long last, unsigned long max)
{
	MA_STATE(mas, &t->ranges, first, first);
	unsigned long runs, beyond;
	int ret;

	/* Extend a neighbour rather than add a run. */
	rcu_read_lock();
	if (first) {
		mas_set(&mas, first - 1);
		if (mas_walk(&mas))
			first = mas.index;
	}
	mas_set(&mas, last + 1);
	if (mas_walk(&mas))
		last = mas.last;
	rcu_read_unlock();

	runs = count_runs(t, first, last, &beyond);
	if (!runs && t->nr_ranges >= max)
		return -ENOMEM;
	mas_set_range(&mas, first, last);
	ret = som_mas_store(&mas, xa_mk_value(1), GFP_KERNEL_ACCOUNT);
	if (!ret) {
		WRITE_ONCE(t->nr_ranges, t->nr_ranges - runs + 1);
		WRITE_ONCE(t->on, true);
	}
	/* Pairs with the barrier in owner_populate_unit(). */
	smp_mb();
	return ret;
}

/**
 * som_dirty_log_end - Stop tracking a range, but keep its regions
 * @t: the dirty log
 * @first: first unit index
 * @last: last unit index
 * Context: Process context; owner->lock is held.
 */
void som_dirty_log_end(struct som_dirty_log *t, unsigned long first,
		       unsigned long last)
{
	MA_STATE(mas, &t->ranges, first, last);
	unsigned long runs, beyond;

	runs = count_runs(t, first, last, &beyond);
	if (!runs)
		return;
	WRITE_ONCE(t->nr_ranges, t->nr_ranges - runs + beyond);
	som_mas_store(&mas, NULL, GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	/* Increment after the removal: a reader of the new number sees the removal. */
	smp_store_release(&t->removed, t->removed + 1);
}

/* Change a region's mode. Before it is freed, set any mode except DROPPED. */
static void region_set_mode(struct som_dirty_log *t, struct som_region *region,
			    enum som_mode mode)
{
	atomic_long_add((mode == SOM_MODE_DROPPED) -
			(region->mode == SOM_MODE_DROPPED), &t->nr_dropped);
	region->mode = mode;
}

static void dirty_log_free_region(struct som_dirty_log *t, struct som_region *region)
{
	if (xa_is_value(region))
		return;
	region_set_mode(t, region, SOM_MODE_CLEAN);
	kfree(region);
}

/**
 * som_dirty_log_remove - Stop tracking a range and free its regions
 * @t: the dirty log
 * @first: first unit index
 * @last: last unit index
 * Context: Process context; owner->lock is held. The regions are not in use: no mapping
 * touches the indices, or their fault_lock is held.
 */
void som_dirty_log_remove(struct som_dirty_log *t, unsigned long first,
			  unsigned long last)
{
	struct som_region *region;
	unsigned long idx;

	if (!t->on)
		return;
	xa_for_each_range(&t->regions, idx, region, first, last) {
		xa_erase(&t->regions, idx);
		dirty_log_free_region(t, region);
		cond_resched();
	}
	som_dirty_log_end(t, first, last);
}

/**
 * som_dirty_log_find - Return the region of a unit
 * @t: the dirty log
 * @idx: unit index
 * Context: The fault_lock of @idx is held.
 * Return: the region; NULL if the index is not tracked or not populated.
 */
struct som_region *som_dirty_log_find(struct som_dirty_log *t, unsigned long idx)
{
	struct som_region *region;

	if (!READ_ONCE(t->on))
		return NULL;
	region = xa_load(&t->regions, idx);
	if (!region || xa_is_value(region) || region->mode == SOM_MODE_DROPPED)
		return NULL;
	return region;
}

/**
 * som_dirty_log_drop - Record that a unit was freed, so its pages read as zero
 * @t: the dirty log
 * @idx: unit index, tracked or not
 *
 * Needs no memory.
 * Context: owner->lock and the fault_lock of @idx are held; the unit is out of the owner's
 * tables.
 */
void som_dirty_log_drop(struct som_dirty_log *t, unsigned long idx)
{
	struct som_region *region = som_dirty_log_find(t, idx);

	if (!region)
		return;
	if (region->discarded) {
		/* The pages were zero before. */
		region->discarded = false;
		region->pinned = false;
		if (bitmap_empty(region->written, SOM_UNIT_PAGES)) {
			xa_erase(&t->regions, idx);
			kfree(region);
			return;
		}
		region_set_mode(t, region, SOM_MODE_DROPPED);
	} else {
		xa_store(&t->regions, idx, SOM_ALL_DROPPED, GFP_NOWAIT);
		kfree(region);
	}
	xa_set_mark(&t->regions, idx, SOM_REGION_DROPPED);
	xa_set_mark(&t->regions, idx, SOM_REGION_DIRTY);
}

/**
 * som_dirty_log_dropped - Return the pages of a dropped region that a scan must report
 * @t: the dirty log
 * @idx: unit index
 * @written: set to those pages, if any
 * Context: The fault_lock of @idx is held.
 * Return: true if there are any.
 */
bool som_dirty_log_dropped(struct som_dirty_log *t, unsigned long idx,
			   unsigned long *written)
{
	struct som_region *region;

	if (!som_dirty_log_any_dropped(t))
		return false;
	region = xa_load(&t->regions, idx);
	if (!region || (!xa_is_value(region) && region->mode != SOM_MODE_DROPPED))
		return false;
	if (xa_is_value(region))
		bitmap_fill(written, SOM_UNIT_PAGES);
	else
		bitmap_copy(written, region->written, SOM_UNIT_PAGES);
	return true;
}

/**
 * som_dirty_log_reported - Mark pages without memory as clean after they were reported
 * @t: the dirty log
 * @idx: unit index; nothing happens if it has memory
 * @first: first page in the unit
 * @nr: number of pages
 * @may: whether a region for the other pages may be allocated; if not, all are reported
 *	again
 * Context: Process context; the fault_lock of @idx is held.
 */
void som_dirty_log_reported(struct som_dirty_log *t, unsigned long idx,
			    unsigned int first, unsigned int nr, bool may)
{
	struct som_region *region = xa_load(&t->regions, idx), *rest;

	if (!region || (!xa_is_value(region) && region->mode != SOM_MODE_DROPPED))
		return;
	if (xa_is_value(region) && nr < SOM_UNIT_PAGES) {
		rest = may ? kzalloc(sizeof(*rest), GFP_KERNEL_ACCOUNT) : NULL;
		if (!rest)
			return;
		region_set_mode(t, rest, SOM_MODE_DROPPED);
		rest->maybe_dirty = true;
		bitmap_fill(rest->written, SOM_UNIT_PAGES);
		xa_store(&t->regions, idx, rest, GFP_NOWAIT);
		region = rest;
	}
	if (!xa_is_value(region)) {
		bitmap_clear(region->written, first, nr);
		if (!bitmap_empty(region->written, SOM_UNIT_PAGES))
			return;
	}
	xa_erase(&t->regions, idx);
	dirty_log_free_region(t, region);
}

/**
 * som_dirty_log_unreported - Mark pages without memory as written
 * @t: the dirty log
 * @idx: unit index, tracked or about to be; it has no memory
 * @pages: pages to add to those already marked
 * @gfp: flags for allocating a region
 * Context: Process context; the fault_lock of @idx is held.
 * Return: 0 or -ENOMEM.
 */
int som_dirty_log_unreported(struct som_dirty_log *t, unsigned long idx,
			     const unsigned long *pages, gfp_t gfp)
{
	struct som_region *region = xa_load(&t->regions, idx), *new = NULL;
	int ret;

	if (xa_is_value(region))
		return 0;
	if (!region) {
		new = kzalloc(sizeof(*new), gfp);
		if (!new)
			return -ENOMEM;
		ret = xa_err(xa_store(&t->regions, idx, new, gfp));
		if (ret) {
			kfree(new);
			return ret;
		}
		region_set_mode(t, new, SOM_MODE_DROPPED);
		/* Makes look-ups find the region even if no index is ever tracked. */
		WRITE_ONCE(t->on, true);
		new->maybe_dirty = true;
		xa_set_mark(&t->regions, idx, SOM_REGION_DROPPED);
		xa_set_mark(&t->regions, idx, SOM_REGION_DIRTY);
		region = new;
	}
	bitmap_or(region->written, region->written, pages, SOM_UNIT_PAGES);
	return 0;
}

/**
 * som_dirty_log_discarded - Record that a unit is discarded
 * @t: the dirty log
 * @idx: unit index; the unit is not mapped
 * Context: The fault_lock of @idx is held.
 */
void som_dirty_log_discarded(struct som_dirty_log *t, unsigned long idx)
{
	struct som_region *region = som_dirty_log_find(t, idx);

	if (!region || region->discarded)
		return;
	region->mode = SOM_MODE_CLEAN;
	region->active = 0;
	region->cooling = 0;
	region->discarded = true;
	som_dirty_log_wrote(t, idx, 0, SOM_UNIT_PAGES);
}

/**
 * som_dirty_log_settled - Record that a discarded unit was zeroed
 * @t: the dirty log
 * @idx: unit index
 * Context: The fault_lock of @idx is held.
 */
void som_dirty_log_settled(struct som_dirty_log *t, unsigned long idx)
{
	struct som_region *region = som_dirty_log_find(t, idx);

	if (region && region->discarded)
		region->discarded = false;
	else
		som_dirty_log_wrote(t, idx, 0, SOM_UNIT_PAGES);
}

/**
 * som_dirty_log_make - Make or reuse the region of a unit
 * @t: the dirty log
 * @idx: unit index
 * @fresh: the unit is zeroed and was never mapped; otherwise it may be mapped and written
 *
 * Unreported writes from before the index lost its memory are kept.
 * Context: Process context; the fault_lock of @idx is held.
 * Return: the region; NULL without memory.
 */
struct som_region *som_dirty_log_make(struct som_dirty_log *t, unsigned long idx,
				      bool fresh)
{
	struct som_region *old = xa_load(&t->regions, idx), *region = old;
	bool all = !fresh || xa_is_value(old);

	if (!old || xa_is_value(old)) {
		region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);
		if (!region)
			return NULL;
	}
	region_set_mode(t, region, fresh ? SOM_MODE_CLEAN : SOM_MODE_OPEN);
	if (all)
		bitmap_fill(region->written, SOM_UNIT_PAGES);
	if (fresh)
		bitmap_zero(region->nonzero, SOM_UNIT_PAGES);
	else
		bitmap_fill(region->nonzero, SOM_UNIT_PAGES);
	if (region != old &&
	    xa_err(xa_store(&t->regions, idx, region, GFP_KERNEL))) {
		kfree(region);
		return NULL;
	}
	if (old)
		xa_clear_mark(&t->regions, idx, SOM_REGION_DROPPED);
	som_dirty_log_update(t, idx, region);
	return region;
}

/**
 * som_dirty_log_update - Update the mark after a region changed
 * @t: the dirty log
 * @idx: unit index
 * @region: its region
 * Context: The fault_lock of @idx is held.
 */
void som_dirty_log_update(struct som_dirty_log *t, unsigned long idx,
			  struct som_region *region)
{
	bool maybe_dirty = region->mode != SOM_MODE_CLEAN || region->pinned ||
		      !bitmap_empty(region->written, SOM_UNIT_PAGES);

	if (region->maybe_dirty == maybe_dirty)
		return;
	region->maybe_dirty = maybe_dirty;
	if (maybe_dirty)
		xa_set_mark(&t->regions, idx, SOM_REGION_DIRTY);
	else
		xa_clear_mark(&t->regions, idx, SOM_REGION_DIRTY);
}

/**
 * som_dirty_log_open - Mark a region before its unit gets writable entries
 * @t: the dirty log
 * @idx: unit index
 * @region: its region
 *
 * A process that writes without a fault and then scans must find its writes.
 * som_dirty_log_update() follows.
 * Context: The fault_lock of @idx is held since before the entries are made.
 */
void som_dirty_log_open(struct som_dirty_log *t, unsigned long idx,
			struct som_region *region)
{
	if (region->maybe_dirty)
		return;
	region->maybe_dirty = true;
	xa_set_mark(&t->regions, idx, SOM_REGION_DIRTY);
	/* Set the mark before the entries are visible. */
	smp_wmb();
}

/**
 * som_dirty_log_wrote - Record a write by the kernel
 * @t: the dirty log
 * @idx: unit index
 * @first: first page in the unit
 * @nr: number of pages
 * Context: The fault_lock of @idx is held.
 */
void som_dirty_log_wrote(struct som_dirty_log *t, unsigned long idx,
			 unsigned int first, unsigned int nr)
{
	struct som_region *region = som_dirty_log_find(t, idx);

	if (!region)
		return;
	bitmap_set(region->written, first, nr);
	bitmap_set(region->nonzero, first, nr);
	som_dirty_log_update(t, idx, region);
}

/**
 * som_dirty_log_pinned - Record that a device may write to a unit from now on
 * @t: the dirty log
 * @idx: unit index; the unit is not mapped
 * Context: The fault_lock of @idx is held.
 */
void som_dirty_log_pinned(struct som_dirty_log *t, unsigned long idx)
{
	struct som_region *region = som_dirty_log_find(t, idx);

	if (!region)
		return;
	region->mode = SOM_MODE_CLEAN;
	region->active = 0;
	region->cooling = 0;
	region->pinned = true;
	som_dirty_log_wrote(t, idx, 0, SOM_UNIT_PAGES);
}
