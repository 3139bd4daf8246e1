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
 * struct som_dirty_log - tracking state of an owner
 * @ranges: tracked unit indices, populated or not; changed under owner->lock.
 * @nr_ranges: number of runs in @ranges; changed under owner->lock.
 * @regions: unit index -> region, of units that are populated, or were and are not
 *	completely reported: these have the mark SOM_REGION_DROPPED. A region has the
 *	mark SOM_REGION_DIRTY unless it is sure that no page is written.
 * @nr_dropped: regions in mode SOM_MODE_DROPPED, without SOM_ALL_DROPPED.
 * @removed: incremented when indices are removed from @ranges.
 * @known: a range that is tracked if @removed has not changed since; used under @lock.
 * @lock: serialises scans and resets; taken under mmap_lock.
 * @seen: addresses passed by scans with PM_SCAN_WP_MATCHING, whatever was mapped there, and
 *	some more if they are scattered. Changed under @lock and mmap_lock, read under
 *	mmap_lock for write.
 * @buf: buffer left by the last scan for the next one, or NULL.
 * @claim: the view that has the log, or NULL; changed under @lock (claim.c).
 * @ending: first unit index from which a claim that ends may have regions.
 * @own: the process tracks for itself. Stays.
 * @on: something is or was tracked.
 * @anew: something was mapped at, or moved to, addresses that a scan has passed. Never
 *	cleared.
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
	struct mutex lock;	/* serialises scans */
	struct som_seen seen;
	void *buf;
	const void *claim;
	unsigned long ending;
	bool own;
	bool on;
	bool anew;
};

#define SOM_REGION_DIRTY	XA_MARK_0
#define SOM_REGION_DROPPED	XA_MARK_1

/** define SOM_ALL_DROPPED - replaces a dropped region of which all pages are written. */
#define SOM_ALL_DROPPED		xa_mk_value(1)

/** define SOM_TRACK_UNITS - units processed per hold of the dirty log's lock. */
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
 * som_dirty_log_tracks - Test whether a unit index is tracked
 * @t: the dirty log
 * @idx: unit index
 * Context: Any; cheap if nothing is tracked.
 * Return: true if it is.
 */
static inline bool som_dirty_log_tracks(struct som_dirty_log *t, unsigned long idx)
{
	return READ_ONCE(t->on) && mtree_load(&t->ranges, idx);
}

/**
 * som_dirty_log_any_dropped - Test whether there is a dropped region
 * @t: the dirty log
 * Context: Any; cheap.
 * Return: true if there is.
 */
static inline bool som_dirty_log_any_dropped(struct som_dirty_log *t)
{
	return xa_marked(&t->regions, SOM_REGION_DROPPED);
}

#endif /* _SOM_DIRTY_LOG_H */
