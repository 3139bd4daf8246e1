/* SPDX-License-Identifier: GPL-2.0 */
/*
 * somctl: inspect and change the pool of /dev/som. Common declarations.
 *
 * Each file uses these others:
 *
 *	main: status, resize, compact, set, cgroup
 *	status: table, map, attr, term, json, file
 *	resize, compact: progress, term, file
 *	set: attr, file
 *	cgroup: file
 *
 * somctl reads all data from files of the kernel. It omits data whose files a driver does
 * not have.
 */
#ifndef SOMCTL_H
#define SOMCTL_H

#include <stdbool.h>

#define UNIT_KB		2048UL
#define CHUNK_UNITS	512UL

/* Exit statuses, documented in somctl(1) and --help. */
enum {
	EXIT_DONE,
	EXIT_FAILED,
	EXIT_USAGE,
	EXIT_NO_SOM,
	EXIT_DENIED,
	EXIT_PARTLY,
	EXIT_SIGNAL = 128,
};

/**
 * struct options - options before the command
 * @root: prefix for the name of every file of the kernel; default "".
 */
struct options {
	const char *root;
};

extern struct options options;

/* Print "somctl: TEXT" on stderr. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Print an error of the command line and a hint. Return: EXIT_USAGE. */
int usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Parse a positive number of chunks. Return: whether it is valid. */
bool parse_count(const char *text, unsigned long *count);

/* The commands. Return: exit status. */
int cmd_status(int argc, char **argv);
int cmd_grow(int argc, char **argv);
int cmd_shrink(int argc, char **argv);
int cmd_compact(int argc, char **argv);
int cmd_set(int argc, char **argv);
int cmd_cgroup(int argc, char **argv);

#endif /* SOMCTL_H */
