// SPDX-License-Identifier: GPL-2.0
/*
 * Processors that are isolated are left alone by the threads that zero units, also
 * when others go offline and come back, and by all work that the driver queues.
 *
 * SOM-TEST: chunks=1 spare=2 smp=4 kernels=generic takes=15
 * SOM-TEST: append=isolcpus=2,3 append=nohz_full=3
 */
#include <dirent.h>

#include "som_test.h"

FIXTURE(isolated)
{
	char was[8];
};

static int set_online(int cpu, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online",
		 cpu);
	return som_write_string(path, text);
}

FIXTURE_SETUP(isolated)
{
	int fd = open("/sys/devices/system/cpu/isolated", O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_LT(0, read(fd, self->was, sizeof(self->was)));
	close(fd);
	if (strncmp(self->was, "2-3", 3))
		SKIP(return, "processors 2 and 3 are not isolated");
}

FIXTURE_TEARDOWN_PARENT(isolated)
{
	set_online(1, "1");
}

static long quarantined(void)
{
	return som_pool("units_quarantined");
}

/* Where the thread of the only node may run, as text; empty if there is none. */
static const char *allowed(void)
{
	static char list[256];
	char path[300], line[256];
	struct dirent *d;
	DIR *dir = opendir("/proc");
	FILE *f;

	list[0] = 0;
	while (dir && !list[0] && (d = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (!fgets(line, sizeof(line), f) || strcmp(line, "som_zero/0\n"))
			line[0] = 0;
		fclose(f);
		if (!line[0])
			continue;
		snprintf(path, sizeof(path), "/proc/%s/status", d->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, "Cpus_allowed_list: %255s", list) == 1)
				break;
		}
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return list;
}

TEST_F(isolated, zeroing_keeps_away)
{
	EXPECT_STREQ("0-1", allowed());
}

TEST_F(isolated, zeroing_keeps_away_after_hotplug)
{
	ASSERT_EQ(0, set_online(1, "0"));
	EXPECT_STREQ("0", allowed());
	ASSERT_EQ(0, set_online(1, "1"));
	EXPECT_STREQ("0-1", allowed());
}

#define EXECUTED	"/sys/kernel/tracing/events/workqueue/workqueue_execute_start/"
#define BUFFER		"/sys/kernel/tracing/trace"

/*
 * How many works of the driver's were executed, and *isolated: how many of them on
 * processor 2.
 */
static long executed(long *isolated)
{
	char line[512];
	long nr = 0;
	FILE *f = fopen(BUFFER, "re");

	*isolated = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (!strstr(line, "function som_"))
			continue;
		nr++;
		*isolated += !!strstr(line, " [002] ");
	}
	if (f)
		fclose(f);
	return nr;
}

/*
 * Whoever is allowed to run on an isolated processor makes work of each kind there. Its
 * timers run there, too, as it is not one of nohz_full's.
 */
TEST_F(isolated, work_keeps_away)
{
	int fd = som_open(), fds[2];
	struct iovec iov;
	long isolated;
	cpu_set_t set;
	char *p;

	if (access(EXECUTED, F_OK))
		SKIP(return, "no tracefs");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, pipe(fds));
	CPU_ZERO(&set);
	CPU_SET(2, &set);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(set), &set));
	ASSERT_EQ(0, som_write_string(EXECUTED "enable", "1"));
	/* A unit that is held, and looked at until it is not. */
	p = som_map(fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	*p = 1;
	iov = (struct iovec) { p, PAGE };
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(1, som_pool("units_quarantined"));
	usleep(300000);
	close(fds[0]);
	close(fds[1]);
	EXPECT_EQ(0, som_wait_number(quarantined, 0));
	/* Discarded memory, and a page table that has become needless. */
	p = som_map_private(fd, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 2 * UNIT);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
	EXPECT_EQ(1, som_wait_number(som_used, 1));
	ASSERT_EQ(0, som_write_string(EXECUTED "enable", "0"));
	EXPECT_LT(1, executed(&isolated));
	EXPECT_EQ(0, isolated);
}

TEST_HARNESS_MAIN
