// SPDX-License-Identifier: GPL-2.0
/*
 * The map of units. The driver prints a line for each chunk, with its number, its node,
 * and a letter for each unit. Draw one character for each unit, or one character for
 * several units that shows how many of them are used.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "somctl.h"

/* With more chunks, each chunk is drawn on one line. */
#define FULL_CHUNKS	4
/* Columns before the units of a line. */
#define LABEL		16

/**
 * struct look - how to draw a state
 * @state: letter of the driver, also printed without a terminal.
 * @glyph: character on a terminal.
 * @color: number for the SGR sequence on a terminal.
 * @meaning: text of the legend.
 */
struct look {
	char state;
	const char *glyph;
	const char *color;
	const char *meaning;
};

static const struct look looks[] = {
	{ 'U', "\u2588", "32", "used" },
	{ 'd', "\u2591", "33", "to be zeroed" },
	{ '.', "\u00b7", "90", "zeroed" },
	{ 'q', "\u2592", "31", "quarantined" },
	{ 'z', "\u2593", "36", "being zeroed" },
	{ 'x', "x", "31", "failed" },
};

#define NR_LOOKS	(sizeof(looks) / sizeof(*looks))

/* Glyphs for cells of several units, by the used eighths. */
static const char * const eighths[] = {
	"\u2581", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586",
	"\u2587", "\u2588",
};

void map_parse(struct map *map, char *text)
{
	char *line, *rest, *end;
	struct chunk chunk;
	size_t lines = 1;

	*map = (struct map) { .text = text };
	for (line = text; *line; line++)
		lines += *line == '\n';
	map->chunks = calloc(lines, sizeof(*map->chunks));
	if (!map->chunks) {
		complain("no memory");
		exit(EXIT_FAILED);
	}
	for (line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		chunk.nr = strtoul(line, &end, 10);
		if (end == line)
			continue;
		line = end;
		chunk.node = strtoul(line, &end, 10);
		if (end == line)
			continue;
		chunk.units = end + strspn(end, " \t");
		if (strlen(chunk.units) == CHUNK_UNITS)
			map->chunks[map->nr++] = chunk;
	}
}

void map_free(struct map *map)
{
	free(map->chunks);
	free(map->text);
}

static const struct look *look_of(char state)
{
	size_t i;

	for (i = 0; i < NR_LOOKS; i++)
		if (looks[i].state == state)
			return &looks[i];
	return NULL;
}

/* Draw one cell; @last is the current colour of the terminal. */
static void put_cell(const struct term *t, char state, const char *glyph,
		     const char **last)
{
	const struct look *look = look_of(state);

	if (!look) {
		putchar('?');
		return;
	}
	if (t->color && *last != look->color) {
		printf("\033[%sm", look->color);
		*last = look->color;
	}
	fputs(glyph, stdout);
}

static void put_state(const struct term *t, char state, const char **last)
{
	const char ascii[] = { state, 0 };
	const struct look *look = look_of(state);

	put_cell(t, state, t->utf8 && look ? look->glyph : ascii, last);
}

static void end_line(const char **last)
{
	if (*last)
		fputs("\033[0m", stdout);
	*last = NULL;
	putchar('\n');
}

/* Return: the number of cells that fit on a line, a power of two. */
static unsigned int fitting(const struct term *t, unsigned int most)
{
	unsigned int n = most;

	while (n > 16 && n + LABEL > t->width)
		n /= 2;
	return n;
}

static void draw_units(const struct chunk *chunk, const struct term *t)
{
	unsigned int row = fitting(t, 128), i;
	const char *last = NULL;
	char label[64];

	for (i = 0; i < CHUNK_UNITS; i++) {
		if (i % row == 0) {
			if (i)
				end_line(&last);
			snprintf(label, sizeof(label), "%lu, node %lu",
				 chunk->nr, chunk->node);
			printf("%-*s", LABEL, i ? "" : label);
		}
		put_state(t, chunk->units[i], &last);
	}
	end_line(&last);
}

/* Draw a cell for @per units: the used part, or the first state of this order. */
static void draw_cell(const char *units, unsigned int per,
		      const struct term *t, const char **last)
{
	static const char order[] = "qzd.";
	unsigned int used = 0, i;
	char digit[2] = "";

	for (i = 0; i < per; i++)
		used += units[i] == 'U';
	if (used && !memchr(units, 'q', per)) {
		digit[0] = used == per ? 'U' : '1' + used * 9 / per;
		put_cell(t, 'U', t->utf8 ? eighths[used * 8 / per] : digit,
			 last);
		return;
	}
	for (i = 0; order[i]; i++)
		if (memchr(units, order[i], per))
			break;
	put_state(t, order[i] ? order[i] : '?', last);
}

static void draw_line(const struct chunk *chunk, const struct term *t)
{
	unsigned int cells = fitting(t, 128), per = CHUNK_UNITS / cells, i;
	const char *last = NULL;
	char label[64];

	snprintf(label, sizeof(label), "%lu, node %lu", chunk->nr, chunk->node);
	printf("%-*s", LABEL, label);
	for (i = 0; i < cells; i++)
		draw_cell(chunk->units + i * per, per, t, &last);
	end_line(&last);
}

void map_legend(const struct term *t, bool digits)
{
	const char *last = NULL;
	size_t i;

	for (i = 0; i < NR_LOOKS; i++) {
		fputs(i ? "  " : "", stdout);
		put_state(t, looks[i].state, &last);
		if (last)
			fputs("\033[0m", stdout);
		last = NULL;
		printf(" %s", looks[i].meaning);
	}
	if (digits && !t->utf8)
		fputs("  1-9 tenths used", stdout);
	putchar('\n');
}

void map_draw(const struct map *map, const struct term *t, bool full)
{
	bool lines = !full && map->nr > FULL_CHUNKS;
	size_t i;

	for (i = 0; i < map->nr; i++) {
		if (lines)
			draw_line(&map->chunks[i], t);
		else
			draw_units(&map->chunks[i], t);
	}
	map_legend(t, lines);
}

void map_draw_shares(const char *label, const struct share *shares, size_t nr,
		     unsigned long total, const struct term *t)
{
	unsigned long sum = 0, cells = fitting(t, 64), drawn = 0;
	const char *last = NULL;
	size_t i;

	printf("%-*s", LABEL, label);
	for (i = 0; i < nr && total; i++) {
		sum += shares[i].units;
		/* A state with few units still gets a column. */
		if (shares[i].units && drawn < cells) {
			put_state(t, shares[i].state, &last);
			drawn++;
		}
		for (; drawn < sum * cells / total; drawn++)
			put_state(t, shares[i].state, &last);
	}
	end_line(&last);
}

void map_json(const struct map *map, struct json *j, const char *key)
{
	char units[CHUNK_UNITS + 1];
	size_t i;

	json_open(j, key, '[');
	for (i = 0; i < map->nr; i++) {
		json_open(j, NULL, '{');
		json_number(j, "chunk", map->chunks[i].nr);
		json_number(j, "node", map->chunks[i].node);
		memcpy(units, map->chunks[i].units, CHUNK_UNITS);
		units[CHUNK_UNITS] = 0;
		json_string(j, "units", units);
		json_close(j, '}');
	}
	json_close(j, ']');
}
