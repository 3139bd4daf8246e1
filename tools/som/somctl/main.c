// SPDX-License-Identifier: GPL-2.0
/*
 * somctl: look after the pool of /dev/som. The command line.
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
"  status             the pool, its nodes, its owners, and a map of its units\n"
"    --json           the same as JSON\n"
"    --full           each unit in the map, however many there are\n"
"    --no-map         without the map\n"
"  grow N             take N chunks of 1 GiB more from HugeTLB\n"
"    --to             until the pool has N\n"
"    --reserve        have HugeTLB reserve the pages first where it has too few\n"
"  shrink N           give N empty chunks back to HugeTLB\n"
"  compact N          move units together until N more chunks are empty\n"
"  set                list the settings\n"
"  set NAME VALUE     change one\n"
"  cgroup             list the limits of control groups\n"
"  cgroup DIR LIMIT   set one: units, or max for none\n"
"\n"
"  --root DIR         look below DIR for /sys and /proc: for copies of them\n"
"  --help, --version\n"
"\n"
"Exit status: 0 done; 1 it failed, and nothing was done; 2 wrong command line;\n"
"3 the module is not loaded; 4 not permitted; 5 only a part was done, and stderr\n"
"says why; 130 (143) stopped by SIGINT (SIGTERM), and stdout says how far it got.\n"
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

	/* getopt has said what was wrong where there is no text. */
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

	/* Nine digits: more GiB than addresses, and no overflow. */
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
		/* What getopt says begins with the program's name. */
		argv[0] = "somctl";
		optind = 0;
		return commands[i].run(argc, argv);
	}
	return usage_error("%s: no such command", argv[0]);
}

/* A full disk or a closed pipe must not go unnoticed. */
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
		return usage_error("which command?");
	return flushed(run(argc - optind, argv + optind));
}
