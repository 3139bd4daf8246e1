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
 * @node: node of its memory.
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
 * @nr: number of chunks.
 * @chunks: in the order of the driver.
 * @text: memory of the letters.
 */
struct map {
	size_t nr;
	struct chunk *chunks;
	char *text;
};

/* Parse a map and take over @text. Lines that do not describe a chunk are skipped. */
void map_parse(struct map *map, char *text);
void map_free(struct map *map);

/* Draw the map. @full: draw each unit, even if there are many chunks. */
void map_draw(const struct map *map, const struct term *t, bool full);

/* Write an array of objects for the key. */
void map_json(const struct map *map, struct json *j, const char *key);

/**
 * struct share - a number of units in the same state
 */
struct share {
	char state;
	unsigned long units;
};

/* Draw a line in which each state has its share of @total, without a newline. */
void map_draw_shares(const char *label, const struct share *shares, size_t nr,
		     unsigned long total, const struct term *t);

/* Print the meaning of the letters or colours. */
void map_legend(const struct term *t, bool digits);

#endif /* SOMCTL_MAP_H */
