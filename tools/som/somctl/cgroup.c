// SPDX-License-Identifier: GPL-2.0
/*
 * somctl cgroup: list and set limits of control groups.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "somctl.h"

#define LIMITS	"cgroup_limits"

static int list_limits(void)
{
	unsigned long long id, units;
	char limit[32], *text, *p;
	int len;

	text = file_read(DIR_SYSFS, LIMITS);
	if (!text)
		return file_error(DIR_SYSFS, LIMITS, errno);
	printf("%-20s %20s %20s\n", "id", "limit", "units");
	for (p = text; sscanf(p, "%llu %31s %llu%n", &id, limit, &units,
			      &len) == 3; p += len)
		printf("%-20llu %20s %20llu\n", id, limit, units);
	free(text);
	return EXIT_DONE;
}

int cmd_cgroup(int argc, char **argv)
{
	struct stat st;
	char text[64];
	int len, ret;

	if (getopt_long(argc, argv, "+", NULL, NULL) != -1)
		return usage_error(NULL);
	if (optind != argc && optind + 2 != argc)
		return usage_error("cgroup: specify a directory and a limit");
	ret = need_som();
	if (ret)
		return ret;
	if (!file_exists(DIR_SYSFS, LIMITS)) {
		complain("%s: this driver does not have it", LIMITS);
		return EXIT_FAILED;
	}
	if (optind == argc)
		return list_limits();
	if (stat(argv[optind], &st)) {
		complain("%s: %s", argv[optind], strerror(errno));
		return EXIT_FAILED;
	}
	/* The ID of a cgroup is the number of its inode. */
	len = snprintf(text, sizeof(text), "%llu %s\n",
		       (unsigned long long)st.st_ino, argv[optind + 1]);
	if ((size_t)len >= sizeof(text))
		return usage_error("cgroup: a limit is a number of units or max");
	if (!file_write(DIR_SYSFS, LIMITS, text))
		return EXIT_DONE;
	ret = errno;
	if (ret == EINVAL || ret == ENOENT)
		complain("%s must be a cgroup below the root, %s a number of units or max",
			 argv[optind], argv[optind + 1]);
	return file_error(DIR_SYSFS, LIMITS, ret);
}
