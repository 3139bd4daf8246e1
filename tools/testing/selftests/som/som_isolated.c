// SPDX-License-Identifier: GPL-2.0
/*
 * Processors that are isolated are left alone by the threads that zero units, also
 * when others go offline and come back.
 *
 * SOM-TEST: chunks=0 spare=2 smp=3 kernels=generic takes=15
 * SOM-TEST: append=isolcpus=2 append=nohz_full=2
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
	if (self->was[0] != '2')
		SKIP(return, "processor 2 is not isolated");
}

FIXTURE_TEARDOWN_PARENT(isolated)
{
	set_online(1, "1");
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

TEST_HARNESS_MAIN
