// SPDX-License-Identifier: GPL-2.0
/*
 * What is tracked, and a record for each tracked unit that has, or had, memory.
 *
 * Invariant: a populated unit whose index is in ranges has a record. Tracking
 * starts by adding the range and then making records for what is populated; a
 * fault stores its unit and then looks whether its index is tracked. Whichever
 * comes second sees the other, and both make records under the fault_lock
 * of the index, so one of them does.
 *
 * When a tracked unit goes (punch.c), its bytes become zero: the next scan is to report
 * that. Its index stays tracked, and in the place of the record stays a mark that needs
 * no memory of its own, SOM_ALL_DROPPED; once a scan has reported some of its
 * pages, a record says which are left. It goes with the last of them, or becomes
 * the record of the unit that comes next.
 *
 * What was mapped anew where a scan has been before shows other bytes than then, and has no
 * memory either. No record says so, as addresses cost nothing, but its span (owner.h,
 * @anew): there, an index that is not tracked counts as written. When a scan has
 * reported pages of such an index it becomes tracked, with a record of the rest.
 *
 * In DIRTY mode a unit's pages go by groups of 64. A group that is written now
 * and then is left live: its dirty bits are read by every scan. One that was not
 * written for some scans loses write access, and costs a scan nothing from
 * then on; it is live again with a fault. Reading 64 entries costs about a
 * twentieth of such a fault. The number of scans begins with less, and whenever it
 * turns out to have been too small for a group, it doubles, so that one that is
 * written every 10th scan does not pay for the fault each time.
 */
#include <linux/bitmap.h>
#include <linux/rcupdate_wait.h>
#include <linux/slab.h>
#include "compat.h"
#include "tracker.h"

/* Scans without a dirty bit after which a group loses write access. */
#define SOM_IDLE_SCANS		8
/* How often that is doubled. */
#define SOM_IDLE_DOUBLED	3
/* Runs that are counted between two looks at whether others want the processor. */
#define SOM_RUNS_BATCH		64

/**
 * som_tracker_init - nothing is tracked
 * @t: the tracker
 * @lock: owner->lock
 */
void som_tracker_init(struct som_tracker *t, struct mutex *lock)
{
	mt_init_flags(&t->ranges, SOM_MT_FLAGS);
	mt_set_external_lock(&t->ranges, lock);
	xa_init_flags(&t->records, XA_FLAGS_ACCOUNT);
	mutex_init(&t->lock);
	t->nr_ranges = 0;
	atomic_long_set(&t->nr_dropped, 0);
	t->nr_seen = 0;
	t->seen[0] = (struct som_seen) {};
	t->removed = 0;
	t->known.first = 1;
	t->known.last = 0;
	t->buf = NULL;
	t->on = false;
	t->anew = false;
}

/**
 * som_tracker_destroy - the end of a tracker
 * @t: the tracker; it has no records
 *
 * Context: Process context; owner->lock is held.
 */
void som_tracker_destroy(struct som_tracker *t)
{
	WARN_ON_ONCE(!xa_empty(&t->records) || atomic_long_read(&t->nr_dropped));
	kvfree(t->buf);
	__mt_destroy(&t->ranges);
	xa_destroy(&t->records);
}

/**
 * som_tracker_run - a run of indices that all are, or all are not, tracked
 * @t: the tracker
 * @idx: first unit index
 * @last: where to end at the latest
 * @tracked: where it goes whether they are
 *
 * Context: Any.
 * Return: last index of the run.
 */
unsigned long som_tracker_run(struct som_tracker *t, unsigned long idx,
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
 * som_tracker_covers - are all of some indices tracked?
 * @t: the tracker
 * @first: first unit index
 * @last: last unit index
 *
 * Looks at one run: som_tracker_add() makes one of neighbours.
 *
 * Context: t->lock is held. Most scans are like the last one: the answer is kept.
 * Return: true if so.
 */
bool som_tracker_covers(struct som_tracker *t, unsigned long first,
			unsigned long last)
{
	/* Pairs with the release in som_tracker_remove(). */
	unsigned long removed = smp_load_acquire(&t->removed);
	bool tracked;

	lockdep_assert_held(&t->lock);
	if (first >= t->known.first && last <= t->known.last &&
	    removed == t->known.removed)
		return true;
	if (som_tracker_run(t, first, last, &tracked) < last || !tracked)
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
static unsigned long count_runs(struct som_tracker *t, unsigned long first,
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
 * som_tracker_add - indices are tracked from now on
 * @t: the tracker
 * @first: first unit index
 * @last: last unit index
 * @max: runs that there may be
 *
 * The caller makes records for what is populated.
 *
 * Context: Process context; owner->lock is held.
 * Return: 0; -ENOMEM without memory, or if there would be more than @max runs.
 */
int som_tracker_add(struct som_tracker *t, unsigned long first,
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
 * som_tracker_end - indices are not tracked any more, but may have records
 * @t: the tracker
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; owner->lock is held.
 */
void som_tracker_end(struct som_tracker *t, unsigned long first,
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

/* A record's mode changes; or it goes, for which any mode but DROPPED will do. */
static void set_mode(struct som_tracker *t, struct som_record *rec,
		     enum som_mode mode)
{
	atomic_long_add((mode == SOM_MODE_DROPPED) -
			(rec->mode == SOM_MODE_DROPPED), &t->nr_dropped);
	rec->mode = mode;
}

static void free_record(struct som_tracker *t, struct som_record *rec)
{
	if (xa_is_value(rec))
		return;
	set_mode(t, rec, SOM_MODE_CLEAN);
	kfree(rec);
}

/**
 * som_tracker_remove - the end of tracking, and of records
 * @t: the tracker
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; owner->lock is held; nobody can be at a record of
 * them: no span touches them, or their fault_lock is held.
 */
void som_tracker_remove(struct som_tracker *t, unsigned long first,
			unsigned long last)
{
	struct som_record *rec;
	unsigned long idx;

	if (!t->on)
		return;
	xa_for_each_range(&t->records, idx, rec, first, last) {
		xa_erase(&t->records, idx);
		free_record(t, rec);
		cond_resched();
	}
	som_tracker_end(t, first, last);
}

/**
 * som_tracker_find - the record of a unit
 * @t: the tracker
 * @idx: unit index
 *
 * Context: The fault_lock of @idx is held.
 * Return: the record, or NULL if it is not tracked or not populated.
 */
struct som_record *som_tracker_find(struct som_tracker *t, unsigned long idx)
{
	struct som_record *rec;

	if (!READ_ONCE(t->on))
		return NULL;
	rec = xa_load(&t->records, idx);
	if (!rec || xa_is_value(rec) || rec->mode == SOM_MODE_DROPPED)
		return NULL;
	return rec;
}

/**
 * som_tracker_drop - a unit goes that may be tracked: its pages become zero
 * @t: the tracker
 * @idx: unit index
 *
 * Needs no memory.
 *
 * Context: owner->lock and the fault_lock of @idx are held; the unit has left its
 * owner's tree.
 */
void som_tracker_drop(struct som_tracker *t, unsigned long idx)
{
	struct som_record *rec = som_tracker_find(t, idx);

	if (!rec)
		return;
	if (rec->discarded) {
		/* They were zero before. */
		rec->discarded = false;
		rec->pinned = false;
		if (bitmap_empty(rec->written, SOM_UNIT_PAGES)) {
			xa_erase(&t->records, idx);
			kfree(rec);
			return;
		}
		set_mode(t, rec, SOM_MODE_DROPPED);
	} else {
		xa_store(&t->records, idx, SOM_ALL_DROPPED, GFP_NOWAIT);
		kfree(rec);
	}
	xa_set_mark(&t->records, idx, SOM_RECORD_DROPPED);
	xa_set_mark(&t->records, idx, SOM_RECORD_ACTIVE);
}

/**
 * som_tracker_dropped - is a unit index without memory yet to be reported?
 * @t: the tracker
 * @idx: unit index
 * @written: where those of its pages go that are
 *
 * Context: The fault_lock of @idx is held.
 * Return: true if so.
 */
bool som_tracker_dropped(struct som_tracker *t, unsigned long idx,
			 unsigned long *written)
{
	struct som_record *rec;

	if (!som_tracker_any_dropped(t))
		return false;
	rec = xa_load(&t->records, idx);
	if (!rec || (!xa_is_value(rec) && rec->mode != SOM_MODE_DROPPED))
		return false;
	if (xa_is_value(rec))
		bitmap_fill(written, SOM_UNIT_PAGES);
	else
		bitmap_copy(written, rec->written, SOM_UNIT_PAGES);
	return true;
}

/**
 * som_tracker_reported - pages without memory were reported as written: they are clean
 * @t: the tracker
 * @idx: unit index; nothing happens if it has memory
 * @first: first page in the unit
 * @nr: number of pages
 * @may: whether a record of the others may be made
 *
 * Without, all are reported once more.
 *
 * Context: Process context; the fault_lock of @idx is held.
 */
void som_tracker_reported(struct som_tracker *t, unsigned long idx,
			  unsigned int first, unsigned int nr, bool may)
{
	struct som_record *rec = xa_load(&t->records, idx), *rest;

	if (!rec || (!xa_is_value(rec) && rec->mode != SOM_MODE_DROPPED))
		return;
	if (xa_is_value(rec) && nr < SOM_UNIT_PAGES) {
		rest = may ? kzalloc(sizeof(*rest), GFP_KERNEL_ACCOUNT) : NULL;
		if (!rest)
			return;
		set_mode(t, rest, SOM_MODE_DROPPED);
		rest->active = true;
		bitmap_fill(rest->written, SOM_UNIT_PAGES);
		xa_store(&t->records, idx, rest, GFP_NOWAIT);
		rec = rest;
	}
	if (!xa_is_value(rec)) {
		bitmap_clear(rec->written, first, nr);
		if (!bitmap_empty(rec->written, SOM_UNIT_PAGES))
			return;
	}
	xa_erase(&t->records, idx);
	free_record(t, rec);
}

/**
 * som_tracker_unreported - pages without memory count as written, and are to be reported
 * @t: the tracker
 * @idx: unit index, tracked or about to be; it has no memory
 * @pages: the pages, a bit for each; those that did so before still do
 * @gfp: how to get memory for a record
 *
 * Context: Process context; the fault_lock of @idx is held.
 * Return: 0 or -ENOMEM.
 */
int som_tracker_unreported(struct som_tracker *t, unsigned long idx,
			   const unsigned long *pages, gfp_t gfp)
{
	struct som_record *rec = xa_load(&t->records, idx), *new = NULL;
	int ret;

	if (xa_is_value(rec))
		return 0;
	if (!rec) {
		new = kzalloc(sizeof(*new), gfp);
		if (!new)
			return -ENOMEM;
		ret = xa_err(xa_store(&t->records, idx, new, gfp));
		if (ret) {
			kfree(new);
			return ret;
		}
		set_mode(t, new, SOM_MODE_DROPPED);
		/* So that it is looked for, also if nothing comes to be tracked. */
		WRITE_ONCE(t->on, true);
		new->active = true;
		xa_set_mark(&t->records, idx, SOM_RECORD_DROPPED);
		xa_set_mark(&t->records, idx, SOM_RECORD_ACTIVE);
		rec = new;
	}
	bitmap_or(rec->written, rec->written, pages, SOM_UNIT_PAGES);
	return 0;
}

/**
 * som_tracker_note_seen - the part of som_tracker_saw() that is not inline
 * @t: the tracker
 * @start: first address
 * @end: address behind the last
 *
 * Needs no memory: where there are too many ranges, the two that lie closest become one, and
 * what is between them counts as seen, too.
 *
 * Context: @t->lock and mmap_lock are held.
 */
void som_tracker_note_seen(struct som_tracker *t, unsigned long start,
			   unsigned long end)
{
	unsigned long gap, least = ULONG_MAX;
	unsigned int i, nr = 0, near = 0;

	if (start >= end)
		return;
	for (i = 0; i < t->nr_seen; i++) {
		struct som_seen *s = &t->seen[i];

		if (s->end < start || s->start > end) {
			t->seen[nr++] = *s;
			continue;
		}
		start = min(start, s->start);
		end = max(end, s->end);
	}
	if (nr == SOM_SEEN) {
		for (i = 0; i < nr; i++) {
			gap = t->seen[i].end < start ? start - t->seen[i].end :
						       t->seen[i].start - end;
			if (gap >= least)
				continue;
			least = gap;
			near = i;
		}
		start = min(start, t->seen[near].start);
		end = max(end, t->seen[near].end);
		t->seen[near] = t->seen[--nr];
	}
	t->seen[nr] = t->seen[0];
	t->seen[0] = (struct som_seen) { start, end };
	t->nr_seen = nr + 1;
}

/**
 * som_tracker_seen - has a scan with PM_SCAN_WP_MATCHING passed any of some addresses?
 * @t: the tracker
 * @start: the first
 * @end: behind the last
 *
 * Context: mmap_lock is held for write.
 * Return: true if so.
 */
bool som_tracker_seen(const struct som_tracker *t, unsigned long start,
		      unsigned long end)
{
	unsigned int i;

	for (i = 0; i < t->nr_seen; i++) {
		if (start < t->seen[i].end && end > t->seen[i].start)
			return true;
	}
	return false;
}

/**
 * som_tracker_discarded - let the record of a unit know that it is discarded
 * @t: the tracker
 * @idx: unit index; nothing maps it
 *
 * Context: The fault_lock of @idx is held.
 */
void som_tracker_discarded(struct som_tracker *t, unsigned long idx)
{
	struct som_record *rec = som_tracker_find(t, idx);

	if (!rec || rec->discarded)
		return;
	rec->mode = SOM_MODE_CLEAN;
	rec->live = 0;
	rec->fading = 0;
	rec->discarded = true;
	som_tracker_wrote(t, idx, 0, SOM_UNIT_PAGES);
}

/**
 * som_tracker_settled - a unit that was discarded is zeroed
 * @t: the tracker
 * @idx: unit index
 *
 * Context: The fault_lock of @idx is held.
 */
void som_tracker_settled(struct som_tracker *t, unsigned long idx)
{
	struct som_record *rec = som_tracker_find(t, idx);

	if (rec && rec->discarded)
		rec->discarded = false;
	else
		som_tracker_wrote(t, idx, 0, SOM_UNIT_PAGES);
}

/**
 * som_tracker_make - a record for a unit
 * @t: the tracker
 * @idx: unit index
 * @fresh: the unit is zeroed and nobody has seen it; otherwise it may be
 *	mapped and written
 *
 * Pages that were written when the index lost its memory, and not reported yet, still
 * are.
 *
 * Context: Process context; the fault_lock of @idx is held.
 * Return: the record, or NULL without memory.
 */
struct som_record *som_tracker_make(struct som_tracker *t, unsigned long idx,
				    bool fresh)
{
	struct som_record *old = xa_load(&t->records, idx), *rec = old;
	bool all = !fresh || xa_is_value(old);

	if (!old || xa_is_value(old)) {
		rec = kzalloc(sizeof(*rec), GFP_KERNEL_ACCOUNT);
		if (!rec)
			return NULL;
	}
	set_mode(t, rec, fresh ? SOM_MODE_CLEAN : SOM_MODE_OPEN);
	if (all)
		bitmap_fill(rec->written, SOM_UNIT_PAGES);
	if (fresh)
		bitmap_zero(rec->nonzero, SOM_UNIT_PAGES);
	else
		bitmap_fill(rec->nonzero, SOM_UNIT_PAGES);
	if (rec != old &&
	    xa_err(xa_store(&t->records, idx, rec, GFP_KERNEL))) {
		kfree(rec);
		return NULL;
	}
	if (old)
		xa_clear_mark(&t->records, idx, SOM_RECORD_DROPPED);
	som_tracker_update(t, idx, rec);
	return rec;
}

/**
 * som_tracker_update - a record was changed
 * @t: the tracker
 * @idx: unit index
 * @rec: its record
 *
 * Context: The fault_lock of @idx is held.
 */
void som_tracker_update(struct som_tracker *t, unsigned long idx,
			struct som_record *rec)
{
	bool active = rec->mode != SOM_MODE_CLEAN || rec->pinned ||
		      !bitmap_empty(rec->written, SOM_UNIT_PAGES);

	if (rec->active == active)
		return;
	rec->active = active;
	if (active)
		xa_set_mark(&t->records, idx, SOM_RECORD_ACTIVE);
	else
		xa_clear_mark(&t->records, idx, SOM_RECORD_ACTIVE);
}

/**
 * som_tracker_open - a unit is about to get writable entries
 * @t: the tracker
 * @idx: unit index
 * @rec: its record
 *
 * Whoever can write to it without a fault, and then asks what was written, is to find
 * it. som_tracker_update() follows.
 *
 * Context: The fault_lock of @idx is held since before the entries are made.
 */
void som_tracker_open(struct som_tracker *t, unsigned long idx,
		      struct som_record *rec)
{
	if (rec->active)
		return;
	rec->active = true;
	xa_set_mark(&t->records, idx, SOM_RECORD_ACTIVE);
	/* The mark is seen by who sees an entry. */
	smp_wmb();
}

/**
 * som_tracker_wrote - the kernel itself wrote to pages of a unit
 * @t: the tracker
 * @idx: unit index
 * @first: first page in the unit
 * @nr: number of pages
 *
 * Context: The fault_lock of @idx is held.
 */
void som_tracker_wrote(struct som_tracker *t, unsigned long idx,
		       unsigned int first, unsigned int nr)
{
	struct som_record *rec = som_tracker_find(t, idx);

	if (!rec)
		return;
	bitmap_set(rec->written, first, nr);
	bitmap_set(rec->nonzero, first, nr);
	som_tracker_update(t, idx, rec);
}

/**
 * som_tracker_pinned - a unit is, and stays, such that a device may write to it
 * @t: the tracker
 * @idx: unit index; nothing maps it
 *
 * Context: The fault_lock of @idx is held.
 */
void som_tracker_pinned(struct som_tracker *t, unsigned long idx)
{
	struct som_record *rec = som_tracker_find(t, idx);

	if (!rec)
		return;
	rec->mode = SOM_MODE_CLEAN;
	rec->live = 0;
	rec->fading = 0;
	rec->pinned = true;
	som_tracker_wrote(t, idx, 0, SOM_UNIT_PAGES);
}

static bool group_quiet(const struct som_record *rec, unsigned int group)
{
	return rec->idle[group] >= SOM_IDLE_SCANS << rec->returned[group];
}

/**
 * som_record_open - groups get writable entries
 * @rec: the unit's record
 * @groups: which
 * @page: the page that is written next, or SOM_UNIT_PAGES
 *
 * Context: The fault_lock of the unit index is held since before the entries
 * were made.
 */
void som_record_open(struct som_record *rec, unsigned long groups,
		     unsigned int page)
{
	unsigned int group = page / SOM_GROUP_PAGES;
	unsigned long opened = groups & ~som_record_writable(rec);

	if (group < SOM_UNIT_GROUPS && opened & BIT(group) &&
	    group_quiet(rec, group) && rec->returned[group] < SOM_IDLE_DOUBLED)
		rec->returned[group]++;
	for_each_set_bit(group, &opened, SOM_UNIT_GROUPS)
		rec->idle[group] = 0;
	rec->live |= groups;
	rec->fading &= ~groups;
	rec->mode = SOM_MODE_DIRTY;
}

/**
 * som_record_quiet - count a scan
 * @rec: the unit's record
 * @dirty: groups that it found a dirty bit in
 *
 * Context: The fault_lock of the unit index is held.
 * Return: live groups without a dirty bit for so long that they are to lose write
 * access, a bit for each.
 */
unsigned long som_record_quiet(struct som_record *rec, unsigned long dirty)
{
	unsigned long live = rec->live, quiet = 0;
	unsigned int group;

	/* mprotect() may have made a dirty entry writable again. */
	rec->fading &= ~dirty;
	for_each_set_bit(group, &live, SOM_UNIT_GROUPS) {
		if (dirty & BIT(group)) {
			rec->idle[group] = 0;
			continue;
		}
		if (!group_quiet(rec, group))
			rec->idle[group]++;
		if (group_quiet(rec, group))
			quiet |= BIT(group);
	}
	return quiet;
}

/**
 * som_record_protected - write access was taken from groups
 * @rec: the unit's record
 * @groups: which; the TLB is flushed before the next scan
 *
 * Context: The fault_lock of the unit index is held.
 */
void som_record_protected(struct som_record *rec, unsigned long groups)
{
	rec->fading |= groups;
}

/**
 * som_record_close - groups can be written by a fault only
 * @rec: the unit's record
 * @groups: which: they have no dirty bit, and if they are fading, no more can
 *	come
 *
 * Context: The fault_lock of the unit index is held.
 * Return: those of @groups that are not fading and so could not be closed.
 */
unsigned long som_record_close(struct som_record *rec, unsigned long groups)
{
	unsigned long closed = groups & rec->fading;

	rec->live &= ~closed;
	rec->fading &= ~closed;
	if (!rec->live)
		rec->mode = SOM_MODE_CLEAN;
	return groups & ~closed;
}
