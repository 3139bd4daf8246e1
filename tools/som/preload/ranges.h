/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A sorted table of address ranges. Pure: it knows no locks, no system calls and
 * no allocator, so that it can be tested by itself and used before libc is ready.
 *
 * Invariants: ranges are not empty, do not overlap and are sorted by address. A
 * range never spans two mappings: neighbours are joined only when they have the
 * same id, that is, were parts of one mapping.
 */
#ifndef SOM_PRELOAD_RANGES_H
#define SOM_PRELOAD_RANGES_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct range - one range of addresses
 * @start: first byte.
 * @end: first byte after it.
 * @id: the mapping it is a part of.
 * @promised: the memory may hold data, and the pool has promised its units; a
 *	range without that has been PROT_NONE ever since it was mapped.
 * @whole: it is all of a mapping, of which nothing was ever cut off. Only then
 *	does the kernel find nothing behind it when it grows.
 */
struct range {
	unsigned long start;
	unsigned long end;
	unsigned long id : 62;
	unsigned long promised : 1;
	unsigned long whole : 1;
};

/**
 * struct ranges - the table
 * @nr: ranges in @r.
 * @max: room in @r.
 * @next_id: the last id that was given out.
 * @r: the ranges.
 */
struct ranges {
	size_t nr;
	size_t max;
	unsigned long next_id;
	struct range *r;
};

size_t ranges_first(const struct ranges *t, unsigned long addr);
bool ranges_overlap(const struct ranges *t, unsigned long start,
		    unsigned long end);
bool ranges_cover(const struct ranges *t, unsigned long start,
		  unsigned long end);
bool ranges_any_unpromised(const struct ranges *t, unsigned long start,
			   unsigned long end);
bool ranges_whole(const struct ranges *t, unsigned long start,
		  unsigned long end);
void ranges_part(struct ranges *t, unsigned long start);
bool ranges_room(const struct ranges *t);
void ranges_insert(struct ranges *t, unsigned long start, unsigned long end,
		   bool promised);
void ranges_remove(struct ranges *t, unsigned long start, unsigned long end);
void ranges_promise(struct ranges *t, unsigned long start, unsigned long end);

#endif /* SOM_PRELOAD_RANGES_H */
