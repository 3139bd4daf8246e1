/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The map of units: a letter for each unit of each chunk.
 */
#ifndef SOMCTL_MAP_H
#define SOMCTL_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "json.h"
#include "term.h"

/**
 * struct chunk - a chunk's part of the map
 * @nr: its number.
 * @node: of its memory.
 * @units: CHUNK_UNITS letters: . zeroed, d to be zeroed, U used, q quarantined, z
 *	being zeroed, x failed.
 */
struct chunk {
	unsigned long nr;
	unsigned long node;
	const char *units;
};

/**
 * struct map - all chunks
 * @nr: how many.
 * @chunks: in the driver's order.
 * @text: what the letters are in.
 */
struct map {
	size_t nr;
	struct chunk *chunks;
	char *text;
};

/* @text is the map's from now on; what is no chunk's line is left out. */
void map_parse(struct map *map, char *text);
void map_free(struct map *map);

/* @full: each unit; otherwise where there are many chunks, each on one line. */
void map_draw(const struct map *map, const struct term *t, bool full);

/* An array of objects, for the key. */
void map_json(const struct map *map, struct json *j, const char *key);

/**
 * struct share - so many units in the same state
 */
struct share {
	char state;
	unsigned long units;
};

/* A line in which each state has its share of the @total; ends without one. */
void map_draw_shares(const char *label, const struct share *shares, size_t nr,
		     unsigned long total, const struct term *t);

/* What the letters or the colours mean. */
void map_legend(const struct term *t, bool digits);

#endif /* SOMCTL_MAP_H */
