// SPDX-License-Identifier: GPL-2.0
/*
 * A sorted table of address ranges; see ranges.h for the invariants.
 *
 * The table has a fixed size. Calls that can add a range must be preceded by
 * ranges_room(): a caller without room answers ENOMEM, as the kernel does for a
 * process with too many mappings.
 */
#include <string.h>

#include "ranges.h"

/* The most ranges that one call can add: a hole in the middle of one. */
#define SLACK	2

/**
 * ranges_first - find the first range that ends after an address
 * @t: the table.
 * @addr: the address.
 *
 * Return: its index, or @t->nr.
 */
size_t ranges_first(const struct ranges *t, unsigned long addr)
{
	size_t low = 0, high = t->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->r[mid].end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/**
 * ranges_overlap - is any of [start, end) in the table?
 * @t: the table.
 * @start: first byte.
 * @end: first byte after it.
 *
 * Return: true when it is.
 */
bool ranges_overlap(const struct ranges *t, unsigned long start,
		    unsigned long end)
{
	size_t i = ranges_first(t, start);

	return i < t->nr && t->r[i].start < end;
}

/**
 * ranges_cover - is all of [start, end) in the table?
 * @t: the table.
 * @start: first byte.
 * @end: first byte after it.
 *
 * Return: true when it is.
 */
bool ranges_cover(const struct ranges *t, unsigned long start,
		  unsigned long end)
{
	size_t i;

	for (i = ranges_first(t, start); i < t->nr && start < end; i++) {
		if (t->r[i].start > start)
			return false;
		start = t->r[i].end;
	}
	return start >= end;
}

/**
 * ranges_any_unpromised - does [start, end) touch a range without promise?
 * @t: the table.
 * @start: first byte.
 * @end: first byte after it.
 *
 * Return: true when it does.
 */
bool ranges_any_unpromised(const struct ranges *t, unsigned long start,
			   unsigned long end)
{
	size_t i;

	for (i = ranges_first(t, start); i < t->nr && t->r[i].start < end; i++)
		if (!t->r[i].promised)
			return true;
	return false;
}

/**
 * ranges_whole - is [start, end) all of one mapping, as it was made?
 * @t: the table.
 * @start: first byte.
 * @end: first byte after it.
 *
 * Return: true when it is.
 */
bool ranges_whole(const struct ranges *t, unsigned long start,
		  unsigned long end)
{
	size_t i = ranges_first(t, start);

	return i < t->nr && t->r[i].start == start && t->r[i].end == end &&
	       t->r[i].whole;
}

/**
 * ranges_part - the range at an address is a part of a mapping only
 * @t: the table.
 * @start: first byte of the range.
 */
void ranges_part(struct ranges *t, unsigned long start)
{
	size_t i = ranges_first(t, start);

	if (i < t->nr && t->r[i].start <= start)
		t->r[i].whole = 0;
}

/**
 * ranges_room - can any one of the calls below be made?
 * @t: the table.
 *
 * Return: true when there is room for what it may add.
 */
bool ranges_room(const struct ranges *t)
{
	return t->nr + SLACK <= t->max;
}

static void open_gap(struct ranges *t, size_t i)
{
	memmove(&t->r[i + 1], &t->r[i], (t->nr - i) * sizeof(t->r[0]));
	t->nr++;
}

/* Make @addr a border between two ranges if it is inside one. */
static void split(struct ranges *t, unsigned long addr)
{
	size_t i = ranges_first(t, addr);

	if (i == t->nr || t->r[i].start >= addr)
		return;
	t->r[i].whole = 0;
	open_gap(t, i);
	t->r[i].end = addr;
	t->r[i + 1].start = addr;
}

static void join(struct ranges *t, size_t i)
{
	struct range *a = &t->r[i], *b = a + 1;

	if (i + 1 >= t->nr || a->end != b->start || a->id != b->id ||
	    a->promised != b->promised)
		return;
	a->end = b->end;
	t->nr--;
	memmove(b, b + 1, (t->nr - i - 1) * sizeof(t->r[0]));
}

/**
 * ranges_insert - add a mapping
 * @t: the table.
 * @start: first byte.
 * @end: first byte after it.
 * @promised: see &struct range.
 *
 * Context: ranges_room() was true. What was there before is forgotten.
 */
void ranges_insert(struct ranges *t, unsigned long start, unsigned long end,
		   bool promised)
{
	size_t i;

	ranges_remove(t, start, end);
	i = ranges_first(t, start);
	open_gap(t, i);
	t->r[i].start = start;
	t->r[i].end = end;
	t->r[i].id = ++t->next_id;
	t->r[i].promised = promised;
	t->r[i].whole = 1;
}

/**
 * ranges_remove - forget [start, end)
 * @t: the table.
 * @start: first byte.
 * @end: first byte after it.
 *
 * Context: ranges_room() was true.
 */
void ranges_remove(struct ranges *t, unsigned long start, unsigned long end)
{
	size_t first, last;

	if (start >= end || !ranges_overlap(t, start, end))
		return;
	split(t, start);
	split(t, end);
	first = ranges_first(t, start);
	last = ranges_first(t, end);
	memmove(&t->r[first], &t->r[last], (t->nr - last) * sizeof(t->r[0]));
	t->nr -= last - first;
}

/**
 * ranges_promise - note that [start, end) may hold data from now on
 * @t: the table.
 * @start: first byte.
 * @end: first byte after it.
 *
 * Without room the ranges it touches count as promised as a whole, which only
 * keeps them from being replaced by ordinary memory later.
 */
void ranges_promise(struct ranges *t, unsigned long start, unsigned long end)
{
	size_t first, last, i;

	if (ranges_any_unpromised(t, start, end) && ranges_room(t)) {
		split(t, start);
		split(t, end);
	}
	first = ranges_first(t, start);
	for (i = first; i < t->nr && t->r[i].start < end; i++)
		t->r[i].promised = 1;
	last = i;
	for (i = last; i > first; i--)
		join(t, i - 1);
	if (first)
		join(t, first - 1);
}
