// SPDX-License-Identifier: GPL-2.0
/*
 * somctl: inspect and change the pool of /dev/som. The command line.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "somctl.h"

struct options options = { .root = "" };

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "status", cmd_status },
	{ "grow", cmd_grow },
	{ "shrink", cmd_shrink },
	{ "compact", cmd_compact },
	{ "set", cmd_set },
	{ "cgroup", cmd_cgroup },
};

static const char help[] =
"usage: somctl [--root DIR] COMMAND\n"
"\n"
"  status             show the pool, its nodes, its owners, and a map of its units\n"
"    --json           print JSON\n"
"    --full           draw each unit in the map, for any number of chunks\n"
"    --no-map         omit the map\n"
"  grow N             take N more chunks of 1 GiB from HugeTLB\n"
"    --to             grow until the pool has N\n"
"    --reserve        let HugeTLB reserve missing pages first\n"
"  shrink N           return N empty chunks to HugeTLB\n"
"  compact N          move units together until N more chunks are empty\n"
"  set                list the settings\n"
"  set NAME VALUE     change a setting\n"
"  cgroup             list the limits of control groups\n"
"  cgroup DIR LIMIT   set a limit: units, or max for none\n"
"\n"
"  --root DIR         look for /sys and /proc below DIR, for example in a copy\n"
"  --help, --version\n"
"\n"
"Exit status: 0 success; 1 failure, nothing changed; 2 wrong command line; 3 the\n"
"module is not loaded; 4 no permission; 5 partly done, stderr has the reason;\n"
"130 (143) stopped by SIGINT (SIGTERM), stdout shows the progress.\n"
"See somctl(1).\n";

void complain(const char *fmt, ...)
{
	va_list args;

	fputs("somctl: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	putc('\n', stderr);
}

int usage_error(const char *fmt, ...)
{
	va_list args;

	/* Without a text, getopt has printed the error already. */
	if (fmt) {
		fputs("somctl: ", stderr);
		va_start(args, fmt);
		vfprintf(stderr, fmt, args);
		va_end(args);
		putc('\n', stderr);
	}
	fputs("Try 'somctl --help'.\n", stderr);
	return EXIT_USAGE;
}

bool parse_count(const char *text, unsigned long *count)
{
	size_t len = strspn(text, "0123456789");

	/* Nine digits exceed the address space in GiB, and cannot overflow. */
	if (!len || text[len] || len > 9)
		return false;
	*count = strtoul(text, NULL, 10);
	return *count;
}

static int run(int argc, char **argv)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(commands[i].name, argv[0]))
			continue;
		/* The messages of getopt start with argv[0]. */
		argv[0] = "somctl";
		optind = 0;
		return commands[i].run(argc, argv);
	}
	return usage_error("%s: no such command", argv[0]);
}

/* Report a full disk or a closed pipe. */
static int flushed(int ret)
{
	if (!fflush(stdout) && !ferror(stdout))
		return ret;
	complain("stdout cannot be written");
	return ret ? ret : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ }
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		switch (opt) {
		case 'r':
			options.root = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return flushed(EXIT_DONE);
		case 'v':
			puts("somctl " VERSION);
			return flushed(EXIT_DONE);
		default:
			return usage_error(NULL);
		}
	}
	if (optind == argc)
		return usage_error("specify a command");
	return flushed(run(argc - optind, argv + optind));
}
