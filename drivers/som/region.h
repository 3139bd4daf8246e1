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
 * enum som_mode - how writes to a tracked unit are detected
 * @SOM_MODE_OPEN: not at all: the unit was populated before tracking started and no scan
 *	has cleaned a page of it; all pages count as written.
 * @SOM_MODE_CLEAN: by a fault: no entry of the unit is writable.
 * @SOM_MODE_DIRTY: by dirty bits of 4 KiB entries in active groups, by a fault in others.
 * @SOM_MODE_DROPPED: the unit was freed, and not all its pages were reported yet.
 */
enum som_mode {
	SOM_MODE_OPEN,
	SOM_MODE_CLEAN,
	SOM_MODE_DIRTY,
	SOM_MODE_DROPPED,
};

/**
 * struct som_region - state of a tracked unit that has, or had, memory
 * @written: pages written since they were last clean, as far as collected from dirty bits.
 * @nonzero: pages possibly written since the unit was zeroed, as far as collected.
 * @filled: pages of active groups that were given an entry; if it is missing later,
 *	MADV_DONTNEED may have dropped a dirty bit.
 * @mode: how writes are detected.
 * @active: groups whose entries may be writable or dirty; only in DIRTY mode.
 * @cooling: groups of @active that lost write access; writes until the TLB flush are still
 *	in dirty bits only.
 * @idle_scans: for each group, consecutive scans without a dirty bit; kept when the group
 *	is deactivated.
 * @returned: for each group, how often it was written soon after deactivation.
 * @pinned: a device may write to the unit without setting a dirty bit.
 * @maybe_dirty: the region has the mark SOM_REGION_DIRTY.
 * @discarded: the unit is discarded (entry.h), and @written includes that.
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
