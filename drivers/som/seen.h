/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_SEEN_H
#define _SOM_SEEN_H

#include <linux/compiler.h>
#include <linux/types.h>

/** define SOM_SEEN_RANGES - ranges of a struct som_seen, at most. */
#define SOM_SEEN_RANGES	16

/**
 * struct som_seen - a set of addresses that only grows
 * @range: disjoint ranges that do not touch; the one added last comes first.
 * @nr: number of ranges.
 */
struct som_seen {
	struct {
		unsigned long start, end;
	} range[SOM_SEEN_RANGES];
	unsigned int nr;
};

void som_seen_init(struct som_seen *seen);
void som_seen_add_range(struct som_seen *seen, unsigned long start,
			unsigned long end);
bool som_seen_any(const struct som_seen *seen, unsigned long start,
		  unsigned long end);

/**
 * som_seen_add - add addresses to a set
 * @seen: the set
 * @start: first address
 * @end: end of the addresses, exclusive
 *
 * Cheap where they are the addresses that were added last.
 */
static inline void som_seen_add(struct som_seen *seen, unsigned long start,
				unsigned long end)
{
	if (unlikely(start < seen->range[0].start || end > seen->range[0].end))
		som_seen_add_range(seen, start, end);
}

#endif /* _SOM_SEEN_H */
