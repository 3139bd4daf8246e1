// SPDX-License-Identifier: GPL-2.0
/*
 * somctl grow and somctl shrink. They resize the pool chunk by chunk, so that a signal
 * can stop them after each chunk, with a known result.
 *
 * The driver gets the new number of chunks. A lock allows one somctl at a time, so that
 * two do not undo each other's steps.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "file.h"
#include "progress.h"
#include "somctl.h"

#define LOCK_FILE	"/run/somctl.lock"
#define BOOT_WITH	"hugepagesz=1G hugepages=%lu hugetlb_free_vmemmap=on"

/* Take the lock. Work without it if its directory is missing. Return: exit status. */
static int lock_pool(void)
{
	char *path = file_path(LOCK_FILE, "");
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	free(path);
	if (fd < 0 || !flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK)
		return EXIT_DONE;
	complain("another somctl is changing the pool; wait for it");
	return EXIT_FAILED;
}

static int read_chunks(unsigned long *chunks)
{
	if (!file_read_number(DIR_SYSFS, "nr_chunks", chunks))
		return EXIT_DONE;
	return file_error(DIR_SYSFS, "nr_chunks", errno);
}

/* Read the number of free 1 GiB pages. */
static unsigned long hugetlb_free(void)
{
	unsigned long nr = 0, reserved = 0;

	file_read_number(DIR_HUGE_1G, "free_hugepages", &nr);
	file_read_number(DIR_HUGE_1G, "resv_hugepages", &reserved);
	return nr > reserved ? nr - reserved : 0;
}

static void too_few_pages(unsigned long want)
{
	unsigned long have = hugetlb_free(), total = 0;
	char *path;

	if (!file_exists(DIR_HUGE_1G, "")) {
		complain("this machine or its kernel does not support pages of 1 GiB");
		return;
	}
	file_read_number(DIR_HUGE_1G, "nr_hugepages", &total);
	path = file_path(DIR_HUGE_1G, "nr_hugepages");
	complain("HugeTLB has %lu free pages of 1 GiB, %lu are needed", have,
		 want);
	if (want > have) {
		total += want - have;
		complain("reserve them: echo %lu > %s", total, path);
		complain("if that finds too few, boot with: " BOOT_WITH, total);
	}
	free(path);
}

/*
 * reserve - let HugeTLB reserve the missing ones of @want pages
 *
 * Pages stay reserved if they do not suffice: with hugetlb_free_vmemmap=on, Linux 6.12
 * reports bad pages when HugeTLB frees one. Return: exit status.
 */
static int reserve(unsigned long want)
{
	unsigned long have = hugetlb_free(), total, got;

	if (have >= want)
		return EXIT_DONE;
	if (file_read_number(DIR_HUGE_1G, "nr_hugepages", &total) ||
	    file_write_number(DIR_HUGE_1G, "nr_hugepages",
			      total + want - have))
		return file_error(DIR_HUGE_1G, "nr_hugepages", errno);
	got = hugetlb_free();
	if (got >= want)
		return EXIT_DONE;
	complain("HugeTLB has only %lu pages of 1 GiB now, %lu are needed; it keeps them",
		 got, want);
	complain("boot with: " BOOT_WITH, total + want - have);
	return EXIT_FAILED;
}

/* Print why the driver did not return a chunk. */
static void why_not_shrunk(int error)
{
	unsigned long empty = 0, total = 0, committed = 0;

	if (error != EBUSY)
		return;
	file_read_number(DIR_SYSFS, "units_total", &total);
	file_read_number(DIR_SYSFS, "units_committed", &committed);
	if (!file_read_number(DIR_SYSFS, "chunks_empty", &empty) && empty)
		complain("%lu of %lu units are reserved: the pool must keep them",
			 committed, total);
	else
		complain("no chunk is empty; \"somctl compact N\" may empty some");
}

/* Print the result. Return: exit status. */
static int finish(struct progress *p, const char *verb, int error)
{
	unsigned long chunks = 0;
	int ret;

	progress_end(p);
	file_read_number(DIR_SYSFS, "nr_chunks", &chunks);
	printf("%lu of %lu chunks %s in %.1f s; the pool has %lu\n", p->done,
	       p->total, verb, progress_seconds(p), chunks);
	fflush(stdout);
	if (stop_signal() && p->done < p->total) {
		complain("stopped by a signal");
		return EXIT_SIGNAL + stop_signal();
	}
	if (!error)
		return EXIT_DONE;
	ret = file_error(DIR_SYSFS, "nr_chunks", error);
	return p->done ? EXIT_PARTLY : ret;
}

/* Resize chunk by chunk; @step is 1 or -1. Return: 0 or errno. */
static int resize(struct progress *p, unsigned long total, long step)
{
	unsigned long done, chunks;

	for (done = 1; done <= total && !stop_signal(); done++) {
		if (file_read_number(DIR_SYSFS, "nr_chunks", &chunks) ||
		    file_write_number(DIR_SYSFS, "nr_chunks", chunks + step))
			return errno;
		progress_update(p, done);
	}
	return 0;
}

int cmd_grow(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "reserve", no_argument, NULL, 'r' },
		{ "to", no_argument, NULL, 't' },
		{ }
	};
	bool want_reserve = false, to = false;
	unsigned long total, chunks;
	struct progress p;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case 'r':
			want_reserve = true;
			break;
		case 't':
			to = true;
			break;
		default:
			return usage_error(NULL);
		}
	}
	if (optind + 1 != argc || !parse_count(argv[optind], &total))
		return usage_error("grow: specify one number of chunks");
	ret = need_som();
	ret = ret ? ret : lock_pool();
	ret = ret ? ret : read_chunks(&chunks);
	if (ret)
		return ret;
	if (to && chunks >= total) {
		printf("the pool has %lu chunks\n", chunks);
		return EXIT_DONE;
	}
	total -= to ? chunks : 0;
	if (want_reserve) {
		ret = reserve(total);
		if (ret)
			return ret;
	} else if (hugetlb_free() < total) {
		/* All or nothing, like the driver. */
		too_few_pages(total);
		return EXIT_FAILED;
	}
	progress_begin(&p, "grow", total);
	opt = resize(&p, total, 1);
	ret = finish(&p, "added", opt);
	if (opt == ENOMEM)
		too_few_pages(total - p.done);
	return ret;
}

int cmd_shrink(int argc, char **argv)
{
	unsigned long total, chunks;
	struct progress p;
	int error, ret;

	if (getopt_long(argc, argv, "", NULL, NULL) != -1)
		return usage_error(NULL);
	if (optind + 1 != argc || !parse_count(argv[optind], &total))
		return usage_error("shrink: specify one number of chunks");
	ret = need_som();
	ret = ret ? ret : lock_pool();
	ret = ret ? ret : read_chunks(&chunks);
	if (ret)
		return ret;
	if (total > chunks) {
		complain("the pool has only %lu chunks", chunks);
		return EXIT_FAILED;
	}
	progress_begin(&p, "shrink", total);
	error = resize(&p, total, -1);
	ret = finish(&p, "returned", error);
	why_not_shrunk(error);
	return ret;
}
