/* SPDX-License-Identifier: GPL-2.0 */
/*
 * somctl: look after the pool of /dev/som. What its files share.
 *
 *	main: status, resize, compact, set, cgroup
 *	status: table, map, attr, term, json, file
 *	resize, compact: progress, term, file
 *	set: attr, file
 *	cgroup: file
 *
 * Everything that somctl knows it reads from files of the kernel. Those that a
 * driver does not have are left out of what is shown.
 */
#ifndef SOMCTL_H
#define SOMCTL_H

#include <stdbool.h>

#define UNIT_KB		2048UL
#define CHUNK_UNITS	512UL

/* Exit statuses, as somctl(1) and --help tell them. */
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
 * struct options - what the command line said before the command
 * @root: put before the name of every file of the kernel, "" mostly.
 */
struct options {
	const char *root;
};

extern struct options options;

/* An error: "somctl: TEXT" on stderr. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same for a wrong command line, with a hint. Return: EXIT_USAGE. */
int usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Reads a positive number of chunks. Return: whether it is one. */
bool parse_count(const char *text, unsigned long *count);

/* The commands. Return: exit status. */
int cmd_status(int argc, char **argv);
int cmd_grow(int argc, char **argv);
int cmd_shrink(int argc, char **argv);
int cmd_compact(int argc, char **argv);
int cmd_set(int argc, char **argv);
int cmd_cgroup(int argc, char **argv);

#endif /* SOMCTL_H */
