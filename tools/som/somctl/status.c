// SPDX-License-Identifier: GPL-2.0
/*
 * somctl status: print the pool, its nodes, its owners, its chunks and a map of its units,
 * as text or as JSON. It omits data that the driver does not have. It lists the names of
 * data that this user may not read.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "file.h"
#include "json.h"
#include "map.h"
#include "somctl.h"
#include "table.h"
#include "term.h"

#define MAX_NODES	1024

/* With more chunks, list only those that a pin affects. */
#define MAX_CHUNKS	16

/**
 * struct status - the data to print
 * @nodes: numbers of the nodes, sorted.
 * @owners: without columns if it cannot be read.
 * @chunks: as @owners.
 * @parcels: as @owners.
 * @map: without chunks if it cannot be read.
 * @unreadable: names of existing files that this user may not read.
 */
struct status {
	unsigned long nodes[MAX_NODES];
	size_t nr_nodes;
	struct table owners;
	struct table chunks;
	struct table parcels;
	struct map map;
	const char *unreadable[3];
	size_t nr_unreadable;
};

static int by_number(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a;
	unsigned long y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

static void find_nodes(struct status *st)
{
	char *path = file_path(DIR_SYSFS, "");
	DIR *dir = opendir(path);
	struct dirent *d;

	while (dir && (d = readdir(dir)) && st->nr_nodes < MAX_NODES) {
		unsigned long node;
		int end = 0;

		if (sscanf(d->d_name, "node%lu%n", &node, &end) == 1 &&
		    !d->d_name[end])
			st->nodes[st->nr_nodes++] = node;
	}
	if (dir)
		closedir(dir);
	free(path);
	qsort(st->nodes, st->nr_nodes, sizeof(*st->nodes), by_number);
}

static char *read_or_tell(struct status *st, const char *name)
{
	char *text = file_read(DIR_DEBUG, name);

	if (!text && (errno == EACCES || errno == EPERM))
		st->unreadable[st->nr_unreadable++] = name;
	return text;
}

static void gather(struct status *st, bool map)
{
	char *text;

	memset(st, 0, sizeof(*st));
	find_nodes(st);
	text = read_or_tell(st, "owners");
	if (text)
		table_parse(&st->owners, text);
	text = read_or_tell(st, "chunks");
	if (text)
		table_parse(&st->chunks, text);
	text = file_read(DIR_DEBUG, "parcels");
	if (text)
		table_parse(&st->parcels, text);
	text = map ? read_or_tell(st, "units") : NULL;
	if (text)
		map_parse(&st->map, text);
}

static void release(struct status *st)
{
	table_free(&st->owners);
	table_free(&st->chunks);
	table_free(&st->parcels);
	map_free(&st->map);
}

/* Return: the name of a process, "" if it has exited; to be freed. */
static char *name_of(const char *pid)
{
	char *dir, *name;

	if (asprintf(&dir, "/proc/%s", pid) < 0)
		return NULL;
	name = file_read_line(dir, "comm");
	free(dir);
	return name;
}

/* Read a counter. @node is NULL for the whole pool. Return: 0, or -1. */
static int read_count(const char *node, const char *name, unsigned long *value)
{
	char *path;
	int ret;

	if (!node)
		return file_read_number(DIR_SYSFS, name, value);
	if (asprintf(&path, "%s/%s", node, name) < 0)
		return -1;
	ret = file_read_number(DIR_SYSFS, path, value);
	free(path);
	return ret;
}

/* Text */

static void show_pool(void)
{
	unsigned long total = 0, value;
	const struct count *c;

	for (c = other_counts; c->name; c++)
		if (!read_count(NULL, c->name, &value))
			printf("%-34s %10lu\n", c->label, value);
	read_count(NULL, "units_total", &total);
	printf("\nunits of 2 MiB\n");
	for (c = unit_counts; c->name; c++) {
		if (read_count(NULL, c->name, &value))
			continue;
		printf("  %-32s %10lu %10.2f GiB", c->label, value,
		       value / 512.0);
		if (total)
			printf(" %6.1f %%", value * 100.0 / total);
		putchar('\n');
	}
	if (file_read_number(DIR_HUGE_1G, "nr_hugepages", &total) ||
	    file_read_number(DIR_HUGE_1G, "free_hugepages", &value))
		return;
	printf("\nHugeTLB has %lu pages of 1 GiB, %lu of them free\n", total,
	       value);
}

static void show_nodes(const struct status *st)
{
	const struct count *c;
	unsigned long value;
	char node[32];
	size_t i;

	if (!st->nr_nodes)
		return;
	printf("\n%-8s", "node");
	snprintf(node, sizeof(node), "node%lu", st->nodes[0]);
	for (c = node_counts; c->name; c++)
		if (!read_count(node, c->name, &value))
			printf(" %11s", c->label);
	putchar('\n');
	for (i = 0; i < st->nr_nodes; i++) {
		printf("%-8lu", st->nodes[i]);
		snprintf(node, sizeof(node), "node%lu", st->nodes[i]);
		for (c = node_counts; c->name; c++)
			if (!read_count(node, c->name, &value))
				printf(" %11lu", value);
		putchar('\n');
	}
}

/* Print owners or parcels, with the names of their processes. */
static void show_table(const struct table *t, const char *what)
{
	size_t pid = table_column(t, "pid"), row, i;
	char *name;

	if (!t->columns)
		return;
	printf("\n%zu %s%s\n", t->rows, what, t->rows == 1 ? "" : "s");
	if (!t->rows)
		return;
	for (i = 0; i < t->columns; i++)
		printf("%*s ", (int)table_width(t, i), table_name(t, i));
	puts("command");
	for (row = 0; row < t->rows; row++) {
		for (i = 0; i < t->columns; i++)
			printf("%*s ", (int)table_width(t, i),
			       table_word(t, row, i));
		name = pid < t->columns ? name_of(table_word(t, row, pid)) :
					  NULL;
		term_print(name ? name : "-", 0);
		free(name);
		putchar('\n');
	}
}

/* Return whether a chunk has a pin now or has quarantined units. */
static bool chunk_pinned(const struct table *t, size_t row)
{
	size_t held = table_column(t, "quarantined");
	size_t pinned = table_column(t, "pinned");

	return (held < t->columns && strcmp(table_word(t, row, held), "0")) ||
	       (pinned < t->columns && strcmp(table_word(t, row, pinned), "0"));
}

static void show_chunks(const struct status *st, bool full)
{
	const struct table *t = &st->chunks;
	size_t row, i, hidden = 0;

	if (!t->columns || !t->rows)
		return;
	putchar('\n');
	for (i = 0; i < t->columns; i++)
		printf("%*s ", (int)table_width(t, i), table_name(t, i));
	putchar('\n');
	for (row = 0; row < t->rows; row++) {
		if (!full && t->rows > MAX_CHUNKS && !chunk_pinned(t, row)) {
			hidden++;
			continue;
		}
		for (i = 0; i < t->columns; i++)
			printf("%*s ", (int)table_width(t, i),
			       table_word(t, row, i));
		putchar('\n');
	}
	if (hidden)
		printf("%zu more without pins: --full\n", hidden);
}

/* Without the map of units, draw the states of the units of each node. */
static void show_shares(const struct status *st, const struct term *t)
{
	unsigned long total, free_units;
	char node[32];
	size_t i;

	for (i = 0; i < st->nr_nodes; i++) {
		struct share shares[4] = {
			{ 'U', 0 }, { 'q', 0 }, { 'd', 0 }, { '.', 0 },
		};

		snprintf(node, sizeof(node), "node%lu", st->nodes[i]);
		if (read_count(node, "units_total", &total) ||
		    read_count(node, "units_free", &free_units) ||
		    read_count(node, "units_used", &shares[0].units) ||
		    read_count(node, "units_quarantined", &shares[1].units) ||
		    read_count(node, "units_dirty", &shares[2].units))
			continue;
		/* The numbers were read at different times, so they may not fit. */
		shares[3].units = free_units > shares[2].units ?
				  free_units - shares[2].units : 0;
		map_draw_shares(node, shares, 4, total, t);
	}
	map_legend(t, false);
}

static void show(const struct status *st, bool map, bool full)
{
	struct term t;
	size_t i;

	term_init(&t);
	show_pool();
	show_nodes(st);
	show_table(&st->owners, "owner");
	if (st->parcels.rows)
		show_table(&st->parcels, "parcel");
	show_chunks(st, full);
	if (map) {
		putchar('\n');
		if (st->map.nr)
			map_draw(&st->map, &t, full);
		else
			show_shares(st, &t);
	}
	for (i = 0; i < st->nr_unreadable; i++)
		printf("%s%s: readable by root only\n", i ? "" : "\n",
		       st->unreadable[i]);
}

/* JSON */

static void json_counts(struct json *j, const char *node,
			const struct count *counts)
{
	unsigned long value;

	for (; counts->name; counts++)
		if (!read_count(node, counts->name, &value))
			json_number(j, counts->name, value);
}

static void json_nodes(struct json *j, const struct status *st)
{
	char node[32];
	size_t i;

	json_open(j, "nodes", '[');
	for (i = 0; i < st->nr_nodes; i++) {
		snprintf(node, sizeof(node), "node%lu", st->nodes[i]);
		json_open(j, NULL, '{');
		json_number(j, "node", st->nodes[i]);
		json_counts(j, node, node_counts);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void json_settings(struct json *j)
{
	const struct setting *s;
	const char *dir;
	char *value;

	json_open(j, "settings", '{');
	for (s = settings; s->name; s++) {
		dir = setting_dir(s);
		value = dir ? file_read_line(dir, s->name) : NULL;
		if (value)
			json_word(j, s->name, value);
		free(value);
	}
	json_close(j, '}');
}

static void json_hugetlb(struct json *j)
{
	static const char * const names[] = {
		"nr_hugepages", "free_hugepages", "resv_hugepages",
	};
	unsigned long value;
	size_t i;

	json_open(j, "hugetlb_1g", '{');
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!file_read_number(DIR_HUGE_1G, names[i], &value))
			json_number(j, names[i], value);
	json_close(j, '}');
}

static void json_table(struct json *j, const struct table *t,
		       const char *what)
{
	size_t pid = table_column(t, "pid"), row, i;
	char *name;

	if (!t->columns)
		return;
	json_open(j, what, '[');
	for (row = 0; row < t->rows; row++) {
		json_open(j, NULL, '{');
		for (i = 0; i < t->columns; i++)
			json_word(j, table_name(t, i), table_word(t, row, i));
		name = pid < t->columns ? name_of(table_word(t, row, pid)) :
					  NULL;
		if (name)
			json_string(j, "command", name);
		free(name);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void json_chunks(struct json *j, const struct status *st)
{
	const struct table *t = &st->chunks;
	size_t row, i;

	if (!t->columns)
		return;
	json_open(j, "chunks", '[');
	for (row = 0; row < t->rows; row++) {
		json_open(j, NULL, '{');
		for (i = 0; i < t->columns; i++)
			json_word(j, table_name(t, i), table_word(t, row, i));
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void show_json(const struct status *st)
{
	struct json j = { .out = stdout };
	size_t i;

	json_open(&j, NULL, '{');
	json_open(&j, "pool", '{');
	json_counts(&j, NULL, other_counts);
	json_counts(&j, NULL, unit_counts);
	json_close(&j, '}');
	json_nodes(&j, st);
	json_settings(&j);
	json_hugetlb(&j);
	json_table(&j, &st->owners, "owners");
	json_table(&j, &st->parcels, "parcels");
	json_chunks(&j, st);
	if (st->map.nr)
		map_json(&st->map, &j, "map");
	json_open(&j, "unreadable", '[');
	for (i = 0; i < st->nr_unreadable; i++)
		json_string(&j, NULL, st->unreadable[i]);
	json_close(&j, ']');
	json_close(&j, '}');
}

int cmd_status(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "full", no_argument, NULL, 'f' },
		{ "no-map", no_argument, NULL, 'n' },
		{ }
	};
	bool json = false, full = false, map = true;
	static struct status st;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case 'j':
			json = true;
			break;
		case 'f':
			full = true;
			break;
		case 'n':
			map = false;
			break;
		default:
			return usage_error(NULL);
		}
	}
	if (optind < argc)
		return usage_error("status: unexpected argument %s", argv[optind]);
	ret = need_som();
	if (ret)
		return ret;
	gather(&st, map);
	if (json)
		show_json(&st);
	else
		show(&st, map, full);
	release(&st);
	return EXIT_DONE;
}
