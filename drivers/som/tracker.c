// SPDX-License-Identifier: GPL-2.0
/*
 * What is tracked, and a record for each tracked unit that has memory.
 *
 * Invariant: a populated unit whose index is in ranges has a record. Tracking
 * starts by adding the range and then making records for what is populated; a
 * fault stores its unit and then looks whether its index is tracked. Whichever
 * comes second sees the other, and both make records under the fault_lock
 * of the index, so one of them does.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include "tracker.h"

/**
 * som_tracker_init - nothing is tracked
 * @t: the tracker
 */
void som_tracker_init(struct som_tracker *t)
{
	mt_init_flags(&t->ranges, MT_FLAGS_USE_RCU);
	xa_init(&t->records);
	mutex_init(&t->lock);
	t->buf = NULL;
	t->on = false;
}

/**
 * som_tracker_destroy - the end of a tracker
 * @t: the tracker; it has no records
 */
void som_tracker_destroy(struct som_tracker *t)
{
	WARN_ON_ONCE(!xa_empty(&t->records));
	kvfree(t->buf);
	mtree_destroy(&t->ranges);
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
 * Context: Any.
 * Return: true if so.
 */
bool som_tracker_covers(struct som_tracker *t, unsigned long first,
			unsigned long last)
{
	bool tracked;

	do {
		first = som_tracker_run(t, first, last, &tracked) + 1;
	} while (tracked && first <= last);
	return tracked;
}

/**
 * som_tracker_add - indices are tracked from now on
 * @t: the tracker
 * @first: first unit index
 * @last: last unit index
 *
 * The caller makes records for what is populated.
 *
 * Context: Process context; owner->lock is held.
 * Return: 0 or -ENOMEM.
 */
int som_tracker_add(struct som_tracker *t, unsigned long first,
		    unsigned long last)
{
	MA_STATE(mas, &t->ranges, first, first);
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

	ret = mtree_store_range(&t->ranges, first, last, xa_mk_value(1),
				GFP_KERNEL);
	if (!ret)
		WRITE_ONCE(t->on, true);
	/* Pairs with the barrier in som_owner_unit(). */
	smp_mb();
	return ret;
}

/**
 * som_tracker_remove - indices are not tracked any more
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
	bool tracked;

	if (!t->on)
		return;
	xa_for_each_range(&t->records, idx, rec, first, last) {
		xa_erase(&t->records, idx);
		kfree(rec);
	}
	if (som_tracker_run(t, first, last, &tracked) < last || tracked)
		mtree_store_range(&t->ranges, first, last, NULL,
				  GFP_KERNEL | __GFP_NOFAIL);
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
	return READ_ONCE(t->on) ? xa_load(&t->records, idx) : NULL;
}

/**
 * som_tracker_make - a record for a unit
 * @t: the tracker
 * @idx: unit index
 * @fresh: the unit is zeroed and nobody has seen it; otherwise it may be
 *	mapped and written
 *
 * Context: Process context; the fault_lock of @idx is held.
 * Return: the record, or NULL without memory.
 */
struct som_record *som_tracker_make(struct som_tracker *t, unsigned long idx,
				    bool fresh)
{
	struct som_record *rec = kzalloc(sizeof(*rec), GFP_KERNEL);

	if (!rec)
		return NULL;
	rec->mode = fresh ? SOM_MODE_CLEAN : SOM_MODE_OPEN;
	if (!fresh) {
		bitmap_fill(rec->written, SOM_UNIT_PAGES);
		bitmap_fill(rec->nonzero, SOM_UNIT_PAGES);
	}
	if (xa_err(xa_store(&t->records, idx, rec, GFP_KERNEL))) {
		kfree(rec);
		return NULL;
	}
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
			const struct som_record *rec)
{
	bool active = rec->mode != SOM_MODE_CLEAN || rec->pinned ||
		      !bitmap_empty(rec->written, SOM_UNIT_PAGES);

	if (xa_get_mark(&t->records, idx, SOM_RECORD_ACTIVE) == active)
		return;
	if (active)
		xa_set_mark(&t->records, idx, SOM_RECORD_ACTIVE);
	else
		xa_clear_mark(&t->records, idx, SOM_RECORD_ACTIVE);
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
	rec->pinned = true;
	som_tracker_wrote(t, idx, 0, SOM_UNIT_PAGES);
}
