// SPDX-License-Identifier: GPL-2.0
/*
 * The groups of a tracked unit: which of them a scan has to read. Pure; the caller holds
 * the fault_lock of the unit index.
 *
 * In DIRTY mode the pages of a unit form groups of 64. A group that is written
 * regularly stays active, and every scan reads its dirty bits. A group that no scan
 * found dirty for some scans loses write access and costs scans nothing; the next fault
 * makes it active again. Reading 64 entries costs about a twentieth of such a fault.
 * The number of scans starts small. When a group turns out to have lost write access too
 * early, its number doubles, so that a group that is written every tenth scan does not
 * take a fault each time.
 */
#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/export.h>
#include <kunit/visibility.h>
#include "region.h"

static bool group_idle(const struct som_region *region, unsigned int group)
{
	return region->idle_scans[group] >= SOM_IDLE_SCANS << region->returned[group];
}

/**
 * som_region_open - give groups writable entries
 * @region: the region of the unit
 * @groups: the groups, a bit for each
 * @page: the page that is about to be written, or SOM_UNIT_PAGES
 *
 * Context: The fault_lock of the unit index is held since before the entries
 * were made.
 */
void som_region_open(struct som_region *region, unsigned long groups,
		     unsigned int page)
{
	unsigned int group = page / SOM_GROUP_PAGES;
	unsigned long opened = groups & ~som_region_writable(region);

	if (group < SOM_UNIT_GROUPS && opened & BIT(group) &&
	    group_idle(region, group) && region->returned[group] < SOM_IDLE_DOUBLED)
		region->returned[group]++;
	for_each_set_bit(group, &opened, SOM_UNIT_GROUPS)
		region->idle_scans[group] = 0;
	region->active |= groups;
	region->cooling &= ~groups;
	region->mode = SOM_MODE_DIRTY;
}
EXPORT_SYMBOL_IF_KUNIT(som_region_open);

/**
 * som_region_idle - count a scan
 * @region: the region of the unit
 * @dirty: groups in which the scan found a dirty bit
 *
 * Context: The fault_lock of the unit index is held.
 * Return: active groups that have had no dirty bit for so many scans that they should
 * lose write access, a bit for each.
 */
unsigned long som_region_idle(struct som_region *region, unsigned long dirty)
{
	unsigned long active = region->active, idle = 0;
	unsigned int group;

	/* mprotect() may have made a dirty entry writable again. */
	region->cooling &= ~dirty;
	for_each_set_bit(group, &active, SOM_UNIT_GROUPS) {
		if (dirty & BIT(group)) {
			region->idle_scans[group] = 0;
			continue;
		}
		if (!group_idle(region, group))
			region->idle_scans[group]++;
		if (group_idle(region, group))
			idle |= BIT(group);
	}
	return idle;
}
EXPORT_SYMBOL_IF_KUNIT(som_region_idle);

/**
 * som_region_protected - note that groups lost write access
 * @region: the region of the unit
 * @groups: the groups; the TLB is flushed before the next scan
 *
 * Context: The fault_lock of the unit index is held.
 */
void som_region_protected(struct som_region *region, unsigned long groups)
{
	region->cooling |= groups;
}
EXPORT_SYMBOL_IF_KUNIT(som_region_protected);

/**
 * som_region_close - close groups that are cooling
 * @region: the region of the unit
 * @groups: groups without a dirty bit
 *
 * A write to a closed group takes a fault.
 *
 * Context: The fault_lock of the unit index is held.
 * Return: those of @groups that are not cooling, which stay as they are.
 */
unsigned long som_region_close(struct som_region *region, unsigned long groups)
{
	unsigned long closed = groups & region->cooling;

	region->active &= ~closed;
	region->cooling &= ~closed;
	if (!region->active)
		region->mode = SOM_MODE_CLEAN;
	return groups & ~closed;
}
EXPORT_SYMBOL_IF_KUNIT(som_region_close);
