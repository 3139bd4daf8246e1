/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_REGION_H
#define _SOM_REGION_H

#include <linux/bitmap.h>
#include <linux/types.h>
#include "range.h"

/** define SOM_IDLE_SCANS - scans without a dirty bit until a group loses write access. */
#define SOM_IDLE_SCANS		8
/** define SOM_IDLE_DOUBLED - how often that number can double. */
#define SOM_IDLE_DOUBLED	3

/**
 * enum som_mode - how writes to a tracked unit are noticed
 * @SOM_MODE_OPEN: they are not: tracking was asked for, but the unit was
 *	populated before and no scan has cleaned a page of it. All is written.
 * @SOM_MODE_CLEAN: by a fault: no entry of the unit is writable.
 * @SOM_MODE_DIRTY: by the dirty bits of 4 KiB entries in those groups that are
 *	active; by a fault in the others.
 * @SOM_MODE_DROPPED: the unit is gone, and what it had was not reported as written yet.
 */
enum som_mode {
	SOM_MODE_OPEN,
	SOM_MODE_CLEAN,
	SOM_MODE_DIRTY,
	SOM_MODE_DROPPED,
};

/**
 * struct som_region - what is known of a tracked unit that has, or had, memory
 * @written: pages written since they were last clean, as far as that was taken
 *	from dirty bits.
 * @nonzero: pages that may have been written since the unit was zeroed, as far
 *	as that was taken from dirty bits.
 * @filled: of active groups: pages that were given an entry. Where it is missing
 *	now, MADV_DONTNEED has dropped a dirty bit.
 * @mode: how writes are noticed.
 * @active: groups whose entries may be writable, or dirty; none but in DIRTY mode.
 * @cooling: those of @active that write access was taken from, but what was
 *	written until the TLB was flushed is still in dirty bits.
 * @idle_scans: for each group, scans in a row that found no dirty bit; stays as it was
 *	when the group is not active any more.
 * @returned: for each group, how often it was written soon after that.
 * @pinned: a device may write to it without any bit telling.
 * @maybe_dirty: it is marked SOM_REGION_DIRTY.
 * @discarded: the unit is discarded (entry.h), and @written knows.
 *
 * Guarded by the fault_lock of the unit index.
 */
struct som_region {
	DECLARE_BITMAP(written, SOM_UNIT_PAGES);
	DECLARE_BITMAP(nonzero, SOM_UNIT_PAGES);
	DECLARE_BITMAP(filled, SOM_UNIT_PAGES);
	enum som_mode mode;
	u8 active;
	u8 cooling;
	u8 idle_scans[SOM_UNIT_GROUPS];
	u8 returned[SOM_UNIT_GROUPS];
	bool pinned:1;
	bool maybe_dirty:1;
	bool discarded:1;
};

void som_region_open(struct som_region *region, unsigned long groups,
		     unsigned int page);
unsigned long som_region_idle(struct som_region *region, unsigned long dirty);
void som_region_protected(struct som_region *region, unsigned long groups);
unsigned long som_region_close(struct som_region *region, unsigned long groups);

/**
 * som_region_writable - return the groups that may get writable entries
 * @region: a region
 *
 * Context: The fault_lock of the unit index is held.
 * Return: a bit for each group.
 */
static inline unsigned long som_region_writable(const struct som_region *region)
{
	return region->active & ~region->cooling;
}

#endif /* _SOM_REGION_H */
