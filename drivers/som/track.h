/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_TRACK_H
#define _SOM_TRACK_H

#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include "pte.h"
#include "range.h"

struct som_mapping;
struct som_owner;
struct som_region;
struct som_scan;
struct vm_area_struct;

/**
 * struct som_sweep - batch of work with one TLB flush at its end
 * @owner: owner of the memory.
 * @one: entry of a cleaned page, to flush with; its vma is NULL if there is none.
 * @idx: unit index of that page.
 * @changed: entries were changed, so the TLB must be flushed.
 * @budget: units, and runs without memory, that may still be visited.
 */
struct som_sweep {
	struct som_owner *owner;
	struct som_ptes one;
	unsigned long idx;
	bool changed;
	unsigned int budget;
};

/**
 * struct som_view - a unit as seen by a scan through one VMA
 * @idx: unit index.
 * @unit: unit number.
 * @region: its region; NULL if it is not tracked.
 * @ptes: entries of the VMA.
 * @written: written pages.
 * @fresh: pages of @written by dirty bits that the region lacks; active groups only.
 * @lost: pages of @fresh whose entry is missing.
 * @aliased: another VMA maps pages of @ptes, too: all count as written.
 */
struct som_view {
	unsigned long idx;
	som_unit_t unit;
	struct som_region *region;
	struct som_ptes ptes;
	DECLARE_BITMAP(written, SOM_UNIT_PAGES);
	DECLARE_BITMAP(fresh, SOM_UNIT_PAGES);
	DECLARE_BITMAP(lost, SOM_UNIT_PAGES);
	bool aliased;
};

void som_sweep_begin(struct som_sweep *sweep, struct som_owner *owner);
void som_sweep_end(struct som_sweep *sweep);

void som_view_read(struct som_view *view, struct som_owner *owner,
		   struct vm_area_struct *vma, unsigned long idx,
		   som_unit_t unit, bool aliased);
void som_view_harvest(struct som_view *view, struct som_sweep *sweep,
		      const unsigned long *pages);
void som_view_clean(struct som_view *view, struct som_sweep *sweep,
		    const unsigned long *pages);
void som_view_idle(struct som_view *view, struct som_sweep *sweep);

unsigned long som_track_end(const struct vm_area_struct *vma,
			    unsigned long idx, unsigned long end);
int som_track_settle(struct som_owner *owner, struct vm_area_struct *vma,
		     unsigned long addr, unsigned long *end, bool pull);
int som_track_scan(struct som_sweep *sweep, struct som_scan *scan,
		   struct vm_area_struct *vma, unsigned long *addr,
		   unsigned long end, bool clean);
void som_track_reported(struct som_owner *owner, struct vm_area_struct *vma,
			unsigned long addr, unsigned long end);
void som_track_unclean(struct som_owner *owner, struct vm_area_struct *vma,
		       unsigned long addr, unsigned long end);

int som_owner_track(struct som_owner *owner, unsigned long first,
		    unsigned long *last);
void som_owner_reported(struct som_mapping *mapping, unsigned long first,
			unsigned long last);
bool som_owner_keep(struct som_owner *owner, unsigned long idx,
		    unsigned long first, unsigned long last);

#endif /* _SOM_TRACK_H */
