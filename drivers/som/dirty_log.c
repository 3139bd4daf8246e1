// SPDX-License-Identifier: GPL-2.0
/*
 * What is tracked, and a region for each tracked unit that has, or had, memory.
 *
 * Invariant: a populated unit whose index is in ranges has a region. Tracking
 * starts by adding the range and then making regions for what is populated; a
 * fault stores its unit and then looks whether its index is tracked. Whichever
 * comes second sees the other, and both make regions under the fault_lock
 * of the index, so one of them does.
 *
 * When a tracked unit goes (punch.c), its bytes become zero: the next scan is to report
 * that. Its index stays tracked, and in the place of the region stays a mark that needs
 * no memory of its own, SOM_ALL_DROPPED; once a scan has reported some of its
 * pages, a region says which are left. It goes with the last of them, or becomes
 * the region of the unit that comes next.
 *
 * What was mapped anew where a scan has been before shows other bytes than then, and has no
 * memory either. No region says so, as addresses cost nothing, but its mapping (som_types.h,
 * @anew): there, an index that is not tracked counts as written. When a scan has
 * reported pages of such an index it becomes tracked, with a region of the rest.
 */
#include <linux/bitmap.h>
#include <linux/rcupdate_wait.h>
#include <linux/slab.h>
#include "compat.h"
#include "dirty_log.h"
#include "range.h"

/* Runs that are counted between two looks at whether others want the processor. */
#define SOM_RUNS_BATCH		64

/**
 * som_dirty_log_init - nothing is tracked
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
	t->on = false;
	t->anew = false;
}

/**
 * som_dirty_log_destroy - the end of a dirty log
 * @t: the dirty log; it has no regions
 *
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
 * som_dirty_log_run - a run of indices that all are, or all are not, tracked
 * @t: the dirty log
 * @idx: first unit index
 * @last: where to end at the latest
 * @tracked: where it goes whether they are
 *
 * Context: Any.
 * Return: last index of the run.
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
 * som_dirty_log_covers - are all of some indices tracked?
 * @t: the dirty log
 * @first: first unit index
 * @last: last unit index
 *
 * Looks at one run: som_dirty_log_add() makes one of neighbours.
 *
 * Context: t->lock is held. Most scans are like the last one: the answer is kept.
 * Return: true if so.
 */
bool som_dirty_log_covers(struct som_dirty_log *t, unsigned long first,
			  unsigned long last)
{
	/* Pairs with the release in som_dirty_log_remove(). */
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
 * Count the runs that touch some indices. They are about to become one, or none: so
 * whoever made them has paid for the walk. @beyond: those that go on outside.
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
 * som_dirty_log_add - indices are tracked from now on
 * @t: the dirty log
 * @first: first unit index
 * @last: last unit index
 * @max: runs that there may be
 *
 * The caller makes regions for what is populated.
 *
 * Context: Process context; owner->lock is held.
 * Return: 0; -ENOMEM without memory, or if there would be more than @max runs.
 */
int som_dirty_log_add(struct som_dirty_log *t, unsigned long first,
		      unsigned long last, unsigned long max)
{
	MA_STATE(mas, &t->ranges, first, first);
	unsigned long runs, beyond;
	int ret;

	/* Grow a neighbour rather than add a range. */
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
	/* Pairs with the barrier in som_owner_unit(). */
	smp_mb();
	return ret;
}

/**
 * som_dirty_log_end - indices are not tracked any more, but may have regions
 * @t: the dirty log
 * @first: first unit index
 * @last: last unit index
 *
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
	/* After it: who sees the new number sees that they are gone. */
	smp_store_release(&t->removed, t->removed + 1);
}

/* A region's mode changes; or it goes, for which any mode but DROPPED will do. */
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
 * som_dirty_log_remove - the end of tracking, and of regions
 * @t: the dirty log
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; owner->lock is held; nobody can be at a region of
 * them: no mapping touches them, or their fault_lock is held.
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
 * som_dirty_log_find - the region of a unit
 * @t: the dirty log
 * @idx: unit index
 *
 * Context: The fault_lock of @idx is held.
 * Return: the region, or NULL if it is not tracked or not populated.
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
 * som_dirty_log_drop - a unit goes that may be tracked: its pages become zero
 * @t: the dirty log
 * @idx: unit index
 *
 * Needs no memory.
 *
 * Context: owner->lock and the fault_lock of @idx are held; the unit has left its
 * owner's tree.
 */
void som_dirty_log_drop(struct som_dirty_log *t, unsigned long idx)
{
	struct som_region *region = som_dirty_log_find(t, idx);

	if (!region)
		return;
	if (region->discarded) {
		/* They were zero before. */
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
 * som_dirty_log_dropped - is a unit index without memory yet to be reported?
 * @t: the dirty log
 * @idx: unit index
 * @written: where those of its pages go that are
 *
 * Context: The fault_lock of @idx is held.
 * Return: true if so.
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
 * som_dirty_log_reported - pages without memory were reported as written: they are clean
 * @t: the dirty log
 * @idx: unit index; nothing happens if it has memory
 * @first: first page in the unit
 * @nr: number of pages
 * @may: whether a region of the others may be made
 *
 * Without, all are reported once more.
 *
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
 * som_dirty_log_unreported - pages without memory count as written, and are to be reported
 * @t: the dirty log
 * @idx: unit index, tracked or about to be; it has no memory
 * @pages: the pages, a bit for each; those that did so before still do
 * @gfp: how to get memory for a region
 *
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
		/* So that it is looked for, also if nothing comes to be tracked. */
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
 * som_dirty_log_discarded - let the region of a unit know that it is discarded
 * @t: the dirty log
 * @idx: unit index; nothing maps it
 *
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
 * som_dirty_log_settled - a unit that was discarded is zeroed
 * @t: the dirty log
 * @idx: unit index
 *
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
 * som_dirty_log_make - a region for a unit
 * @t: the dirty log
 * @idx: unit index
 * @fresh: the unit is zeroed and nobody has seen it; otherwise it may be
 *	mapped and written
 *
 * Pages that were written when the index lost its memory, and not reported yet, still
 * are.
 *
 * Context: Process context; the fault_lock of @idx is held.
 * Return: the region, or NULL without memory.
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
 * som_dirty_log_update - a region was changed
 * @t: the dirty log
 * @idx: unit index
 * @region: its region
 *
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
 * som_dirty_log_open - a unit is about to get writable entries
 * @t: the dirty log
 * @idx: unit index
 * @region: its region
 *
 * Whoever can write to it without a fault, and then asks what was written, is to find
 * it. som_dirty_log_update() follows.
 *
 * Context: The fault_lock of @idx is held since before the entries are made.
 */
void som_dirty_log_open(struct som_dirty_log *t, unsigned long idx,
			struct som_region *region)
{
	if (region->maybe_dirty)
		return;
	region->maybe_dirty = true;
	xa_set_mark(&t->regions, idx, SOM_REGION_DIRTY);
	/* The mark is seen by who sees an entry. */
	smp_wmb();
}

/**
 * som_dirty_log_wrote - the kernel itself wrote to pages of a unit
 * @t: the dirty log
 * @idx: unit index
 * @first: first page in the unit
 * @nr: number of pages
 *
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
 * som_dirty_log_pinned - a unit is, and stays, such that a device may write to it
 * @t: the dirty log
 * @idx: unit index; nothing maps it
 *
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
