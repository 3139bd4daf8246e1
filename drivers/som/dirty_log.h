/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_DIRTY_LOG_H
#define _SOM_DIRTY_LOG_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/gfp_types.h>
#include <linux/maple_tree.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/xarray.h>
#include "range.h"
#include "region.h"
#include "seen.h"

/**
 * struct som_dirty_log - what of an owner is tracked
 * @ranges: unit indices that are tracked, populated or not; changed under
 *	owner->lock.
 * @nr_ranges: how many runs there are of them; changed under owner->lock.
 * @regions: unit index -> region, of those that are populated, or were, and a scan has
 *	not reported all pages as written since: these are marked SOM_REGION_DROPPED.
 *	Marked SOM_REGION_DIRTY unless the region is sure that no page is written.
 * @nr_dropped: regions in mode SOM_MODE_DROPPED: SOM_ALL_DROPPED is none.
 * @removed: how often indices were removed from @ranges.
 * @known: indices that are tracked if @removed is still what it was then; used
 *	under @lock.
 * @lock: one scan or reset at a time; taken under mmap_lock.
 * @seen: addresses that a scan with PM_SCAN_WP_MATCHING has passed, whatever was there, and
 *	some more if they lie scattered. Changed under @lock and mmap_lock, read under
 *	mmap_lock for write.
 * @buf: a buffer that the last scan left for the next one, or NULL.
 * @on: something is or was tracked.
 * @anew: something was mapped, or moved, to where a scan had been. Stays.
 */
struct som_dirty_log {
	struct maple_tree ranges;
	unsigned long nr_ranges;
	struct xarray regions;
	atomic_long_t nr_dropped;
	unsigned long removed;
	struct {
		unsigned long first, last;
		unsigned long removed;
	} known;
	struct mutex lock;	/* one scan at a time */
	struct som_seen seen;
	void *buf;
	bool on;
	bool anew;
};

#define SOM_REGION_DIRTY	XA_MARK_0
#define SOM_REGION_DROPPED	XA_MARK_1

/** define SOM_ALL_DROPPED - in the place of a dropped region: all pages are written. */
#define SOM_ALL_DROPPED		xa_mk_value(1)

/** define SOM_TRACK_UNITS - units that are looked at with dirty log.lock held, at most. */
#define SOM_TRACK_UNITS		1024

void som_dirty_log_init(struct som_dirty_log *t, struct mutex *lock);
void som_dirty_log_destroy(struct som_dirty_log *t);
bool som_dirty_log_covers(struct som_dirty_log *t, unsigned long first,
			  unsigned long last);
unsigned long som_dirty_log_run(struct som_dirty_log *t, unsigned long idx,
				unsigned long last, bool *tracked);
int som_dirty_log_add(struct som_dirty_log *t, unsigned long first,
		      unsigned long last, unsigned long max);
void som_dirty_log_end(struct som_dirty_log *t, unsigned long first,
		       unsigned long last);
void som_dirty_log_remove(struct som_dirty_log *t, unsigned long first,
			  unsigned long last);
void som_dirty_log_drop(struct som_dirty_log *t, unsigned long idx);
bool som_dirty_log_dropped(struct som_dirty_log *t, unsigned long idx,
			   unsigned long *written);
void som_dirty_log_reported(struct som_dirty_log *t, unsigned long idx,
			    unsigned int first, unsigned int nr, bool may);
int som_dirty_log_unreported(struct som_dirty_log *t, unsigned long idx,
			     const unsigned long *pages, gfp_t gfp);
void som_dirty_log_discarded(struct som_dirty_log *t, unsigned long idx);
void som_dirty_log_settled(struct som_dirty_log *t, unsigned long idx);
struct som_region *som_dirty_log_find(struct som_dirty_log *t, unsigned long idx);
struct som_region *som_dirty_log_make(struct som_dirty_log *t, unsigned long idx,
				      bool fresh);
void som_dirty_log_update(struct som_dirty_log *t, unsigned long idx,
			  struct som_region *region);
void som_dirty_log_open(struct som_dirty_log *t, unsigned long idx,
			struct som_region *region);
void som_dirty_log_pinned(struct som_dirty_log *t, unsigned long idx);
void som_dirty_log_wrote(struct som_dirty_log *t, unsigned long idx,
			 unsigned int first, unsigned int nr);

/**
 * som_dirty_log_tracks - is a unit index tracked?
 * @t: the dirty log
 * @idx: unit index
 *
 * Context: Any; cheap where nothing is tracked.
 * Return: true if so.
 */
static inline bool som_dirty_log_tracks(struct som_dirty_log *t, unsigned long idx)
{
	return READ_ONCE(t->on) && mtree_load(&t->ranges, idx);
}

/**
 * som_dirty_log_any_dropped - is there a dropped region?
 * @t: the dirty log
 *
 * Context: Any; cheap.
 * Return: true if so.
 */
static inline bool som_dirty_log_any_dropped(struct som_dirty_log *t)
{
	return xa_marked(&t->regions, SOM_REGION_DROPPED);
}

#endif /* _SOM_DIRTY_LOG_H */
