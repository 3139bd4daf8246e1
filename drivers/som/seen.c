// SPDX-License-Identifier: GPL-2.0
/*
 * A set of addresses of constant size. Pure; the caller locks.
 *
 * It never forgets an address. When there are too many ranges, it joins two and counts what
 * is between them as added, too.
 */
#include <linux/export.h>
#include <linux/minmax.h>
#include <kunit/visibility.h>
#include "seen.h"

/**
 * som_seen_init - initialise a set without addresses
 * @seen: the set
 */
void som_seen_init(struct som_seen *seen)
{
	seen->nr = 0;
	seen->range[0].start = 0;
	seen->range[0].end = 0;
}
EXPORT_SYMBOL_IF_KUNIT(som_seen_init);

/* Return the range that is closest to some addresses; none of them touches these. */
static unsigned int seen_closest(const struct som_seen *seen, unsigned int nr,
				 unsigned long start, unsigned long end)
{
	unsigned long gap, least = ~0UL;
	unsigned int i, found = 0;

	for (i = 0; i < nr; i++) {
		gap = seen->range[i].end < start ? start - seen->range[i].end :
						   seen->range[i].start - end;
		if (gap >= least)
			continue;
		least = gap;
		found = i;
	}
	return found;
}

/**
 * som_seen_add_range - add addresses to a set
 * @seen: the set
 * @start: first address
 * @end: end of the addresses, exclusive
 *
 * The slow path of som_seen_add(). Allocates nothing: when all ranges are in use, the new
 * one is joined with the closest.
 */
void som_seen_add_range(struct som_seen *seen, unsigned long start,
			unsigned long end)
{
	unsigned int i, nr = 0;

	if (start >= end)
		return;
	for (i = 0; i < seen->nr; i++) {
		if (seen->range[i].end < start || seen->range[i].start > end) {
			seen->range[nr++] = seen->range[i];
			continue;
		}
		start = min(start, seen->range[i].start);
		end = max(end, seen->range[i].end);
	}
	if (nr == SOM_SEEN_RANGES) {
		i = seen_closest(seen, nr, start, end);
		start = min(start, seen->range[i].start);
		end = max(end, seen->range[i].end);
		seen->range[i] = seen->range[--nr];
	}
	seen->range[nr] = seen->range[0];
	seen->range[0].start = start;
	seen->range[0].end = end;
	seen->nr = nr + 1;
}
EXPORT_SYMBOL_IF_KUNIT(som_seen_add_range);

/**
 * som_seen_any - test whether a set has any of some addresses
 * @seen: the set
 * @start: first address
 * @end: end of the addresses, exclusive
 *
 * Return: true if it has, and perhaps if it has not: see som_seen_add_range().
 */
bool som_seen_any(const struct som_seen *seen, unsigned long start,
		  unsigned long end)
{
	unsigned int i;

	for (i = 0; i < seen->nr; i++) {
		if (start < seen->range[i].end && end > seen->range[i].start)
			return true;
	}
	return false;
}
EXPORT_SYMBOL_IF_KUNIT(som_seen_any);
