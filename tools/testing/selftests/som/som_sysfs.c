// SPDX-License-Identifier: GPL-2.0
/*
 * The pool in sysfs, its growing and shrinking, and fdinfo.
 *
 * SOM-TEST: mem=8G nodes=2 timeout=400 takes=30
 */
#include <dirent.h>
#include <sys/klog.h>

#include "som_test.h"

static const char * const attributes[] = {
	"nr_chunks", "units_total", "units_free", "units_dirty", "units_used",
	"units_quarantined", "units_committed", "units_zeroed", "units_cached",
	"units_poisoned", "units_parcel",
	"zeroed_background", "zero_pauses",
};

static const char * const node_attributes[] = {
	"nr_chunks", "units_total", "units_free", "units_dirty", "units_used",
	"units_quarantined", "units_zeroed", "units_poisoned",
};

/* Sum of an attribute over all nodes; -1 if one cannot be read. */
static long sum_of_nodes(const char *name)
{
	long sum = 0, value, nodes = 0;
	struct dirent *d;
	char path[512];
	DIR *dir;

	dir = opendir(SOM_SYSFS);
	if (!dir)
		return -1;
	while ((d = readdir(dir))) {
		if (strncmp(d->d_name, "node", 4))
			continue;
		nodes++;
		snprintf(path, sizeof(path), "%s/%s", d->d_name, name);
		value = som_pool(path);
		sum = value < 0 || sum < 0 ? -1 : sum + value;
	}
	closedir(dir);
	return nodes ? sum : -1;
}

/* The pool's size of before the test is put back, whatever the test does. */
FIXTURE(resize)
{
	struct som_state before;
	int fd;
};

FIXTURE_SETUP(resize)
{
	som_state_read(&self->before);
	ASSERT_EQ(1, self->before.chunks);
	ASSERT_EQ(1, self->before.hugepages)
		TH_LOG("these tests want one spare 1G page");
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(resize)
{
	long used = som_wait_number(som_used, self->before.used);

	EXPECT_EQ(self->before.used, used);
	EXPECT_EQ(0, som_set_chunks(self->before.chunks));
	EXPECT_TRUE(som_state_wait(&self->before));
}

/*
 * Numbers
 */

TEST_F(som, every_attribute_is_one_number)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(attributes); i++) {
		const char *name = attributes[i];

		EXPECT_LE(0, som_pool(name))
			TH_LOG("%s", name);
	}
}

TEST_F(som, numbers_add_up)
{
	char *p = som_map(self->fd, 20 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 10 * UNIT);
	EXPECT_EQ(512 * som_pool("nr_chunks"), som_pool("units_total"));
	EXPECT_EQ(som_pool("units_total"), som_free() + som_used() +
					   som_pool("units_quarantined"));
	EXPECT_LE(som_pool("units_dirty"), som_free());
	EXPECT_USED(10);
	EXPECT_COMMITTED(20);
	ASSERT_EQ(0, munmap(p, 5 * UNIT));
	EXPECT_USED(5);
	EXPECT_COMMITTED(15);
	EXPECT_EQ(som_pool("units_total"), som_free() + som_used() +
					   som_pool("units_quarantined"));
}

TEST_F(som, nodes_add_up)
{
	char *p = som_map(self->fd, 20 * UNIT);
	/* What was dirty a moment ago may be zeroed by now. */
	long rate = som_zero_stop();
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_LE(0, rate);
	som_touch_units(p, 10 * UNIT);
	for (i = 0; i < ARRAY_SIZE(node_attributes); i++) {
		const char *name = node_attributes[i];

		EXPECT_EQ(som_pool(name), sum_of_nodes(name))
			TH_LOG("%s", name);
	}
	ASSERT_EQ(0, som_setting("zero_rate", rate));
}

/* The sum over the directories of sources. */
static long sum_of_sources(const char *name)
{
	static const char * const dirs[] = { "hugetlb_1g", "range" };
	char path[128];
	long sum = 0, value;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), SOM_SYSFS "%s/%s", dirs[i], name);
		value = som_number(path);
		sum += value > 0 ? value : 0;
	}
	return sum;
}

TEST_F(som, sources_add_up)
{
	char *p = som_map(self->fd, 20 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 10 * UNIT);
	EXPECT_EQ(som_pool("nr_chunks"), sum_of_sources("nr_chunks"));
	EXPECT_EQ(som_used(), sum_of_sources("units_used"));
	/* With struct pages of 64 bytes, none of them free, it is 16 MiB a GiB. */
	EXPECT_LT(0, sum_of_sources("kernel_bytes"));
	EXPECT_GE(som_pool("nr_chunks") << 24, sum_of_sources("kernel_bytes"));
}

TEST_F(som, every_node_with_memory_has_a_directory)
{
	char path[512];
	struct dirent *d;
	int nodes = 0;
	DIR *dir;

	dir = opendir("/sys/devices/system/node");
	if (!dir)
		SKIP(return, "no NUMA in this kernel");
	while ((d = readdir(dir))) {
		if (strncmp(d->d_name, "node", 4))
			continue;
		snprintf(path, sizeof(path), SOM_SYSFS "%s", d->d_name);
		EXPECT_EQ(0, access(path, F_OK))
			TH_LOG("%s", path);
		nodes++;
	}
	closedir(dir);
	TH_LOG("%d nodes", nodes);
	EXPECT_LT(0, nodes);
}

TEST_F(som, freed_units_are_dirty)
{
	char *p = som_map(self->fd, 8 * UNIT);
	long rate = som_zero_stop();
	long dirty = som_pool("units_dirty");

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_LE(0, rate);
	som_touch_units(p, 8 * UNIT);
	/* Zeroed units are taken before dirty ones. */
	if (self->before.free - dirty >= 8)
		EXPECT_EQ(dirty, som_pool("units_dirty"));
	ASSERT_EQ(0, munmap(p, 8 * UNIT));
	if (self->before.free - dirty >= 8)
		EXPECT_EQ(dirty + 8, som_pool("units_dirty"));
	EXPECT_LE(8, som_pool("units_dirty"));
	EXPECT_EQ(som_free(), som_pool("units_dirty") + som_pool("units_zeroed"));
	ASSERT_EQ(0, som_setting("zero_rate", rate));
}

TEST_F(som, numbers_cannot_be_written)
{
	size_t i;

	for (i = 1; i < ARRAY_SIZE(attributes); i++) {
		char path[512];

		snprintf(path, sizeof(path), SOM_SYSFS "%s", attributes[i]);
		EXPECT_GT(0, som_write_string(path, "0"))
			TH_LOG("%s", path);
	}
	EXPECT_UNCHANGED();
}

/*
 * nr_chunks: bad input
 */

#define EXPECT_BAD_CHUNKS(text) do {					\
	EXPECT_EQ(-EINVAL, som_write_string(SOM_SYSFS "nr_chunks", text)); \
	EXPECT_UNCHANGED();						\
} while (0)

TEST_F(som, nr_chunks_refuses_letters)
{
	EXPECT_BAD_CHUNKS("one");
}

TEST_F(som, nr_chunks_refuses_negative)
{
	EXPECT_BAD_CHUNKS("-1");
}

TEST_F(som, nr_chunks_refuses_trailing_letter)
{
	EXPECT_BAD_CHUNKS("1x");
}

TEST_F(som, nr_chunks_refuses_trailing_number)
{
	EXPECT_BAD_CHUNKS("1 2");
}

TEST_F(som, nr_chunks_refuses_an_empty_line)
{
	EXPECT_BAD_CHUNKS("\n");
}

TEST_F(som, nr_chunks_refuses_two_newlines)
{
	EXPECT_BAD_CHUNKS("1\n\n");
}

TEST_F(som, nr_chunks_refuses_a_fraction)
{
	EXPECT_BAD_CHUNKS("1.5");
}

TEST_F(som, nr_chunks_refuses_a_suffix)
{
	EXPECT_BAD_CHUNKS("1G");
}

TEST_F(som, nr_chunks_refuses_overflow)
{
	EXPECT_GT(0, som_write_string(SOM_SYSFS "nr_chunks",
				      "18446744073709551617"));
	EXPECT_UNCHANGED();
}

TEST_F(som, nr_chunks_of_all_ones)
{
	EXPECT_EQ(-ENOMEM, som_write_string(SOM_SYSFS "nr_chunks",
					    "18446744073709551615"));
	EXPECT_UNCHANGED();
}

TEST_F(som, nr_chunks_as_it_is)
{
	EXPECT_EQ(0, som_set_chunks(self->before.chunks));
	EXPECT_UNCHANGED();
}

/*
 * nr_chunks: growing and shrinking
 */

TEST_F(resize, grow_and_shrink)
{
	ASSERT_EQ(0, som_set_chunks(2));
	EXPECT_EQ(2, som_pool("nr_chunks"));
	EXPECT_EQ(1024, som_pool("units_total"));
	EXPECT_EQ(self->before.free + 512, som_free());
	EXPECT_EQ(0, som_free_hugepages());
	EXPECT_EQ(2, sum_of_nodes("nr_chunks"));
	ASSERT_EQ(0, som_set_chunks(1));
	EXPECT_TRUE(som_state_wait(&self->before));
}

TEST_F(resize, new_units_can_be_used)
{
	size_t len = 1024 * UNIT;
	char *p;

	EXPECT_EQ(MAP_FAILED, som_map(self->fd, len));
	ASSERT_EQ(0, som_set_chunks(2));
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, len, 1);
	EXPECT_EQ(-1, som_check_pages(p, len, 1));
	EXPECT_EQ(1024, som_used());
}

TEST_F(resize, grow_beyond_hugetlb_takes_none)
{
	EXPECT_EQ(-ENOMEM, som_set_chunks(3));
	EXPECT_UNCHANGED();
	EXPECT_EQ(-ENOMEM, som_set_chunks(1000));
	EXPECT_UNCHANGED();
}

TEST_F(resize, shrink_to_nothing)
{
	ASSERT_EQ(0, som_set_chunks(0));
	EXPECT_EQ(0, som_pool("units_total"));
	EXPECT_EQ(0, som_free());
	EXPECT_EQ(2, som_free_hugepages());
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, PAGE));
	EXPECT_EQ(ENOMEM, errno);
	ASSERT_EQ(0, som_set_chunks(1));
	EXPECT_NE(MAP_FAILED, som_map(self->fd, PAGE));
}

TEST_F(resize, noreserve_in_an_empty_pool)
{
	char *p;

	ASSERT_EQ(0, som_set_chunks(0));
	p = som_map_at(self->fd, NULL, UNIT, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SIGBUS, som_try_write(p, 1));
	ASSERT_EQ(0, som_set_chunks(1));
	EXPECT_EQ(0, som_try_write(p, 1));
}

TEST_F(resize, shrink_gives_back_what_is_empty)
{
	char *p;

	ASSERT_EQ(0, som_set_chunks(2));
	p = som_map(self->fd, 3 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	EXPECT_EQ(-EBUSY, som_set_chunks(0));
	EXPECT_EQ(1, som_pool("nr_chunks"));
	EXPECT_EQ(512, som_pool("units_total"));
	EXPECT_EQ(3, som_used());
	EXPECT_EQ(1, som_free_hugepages());
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	som_fill(p, 3 * UNIT, 2);
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 2));
	ASSERT_EQ(0, munmap(p, 3 * UNIT));
	EXPECT_EQ(0, som_set_chunks(0));
}

TEST_F(resize, shrink_of_chunks_in_use_gives_back_none)
{
	size_t len = 600 * UNIT;
	char *p;

	ASSERT_EQ(0, som_set_chunks(2));
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, len, 1);
	EXPECT_EQ(-EBUSY, som_set_chunks(1));
	EXPECT_EQ(2, som_pool("nr_chunks"));
	EXPECT_EQ(0, som_free_hugepages());
	EXPECT_EQ(-1, som_check_pages(p, len, 1));
}

TEST_F(resize, shrink_never_takes_promised_memory)
{
	size_t len = 513 * UNIT, i;
	char *p;

	ASSERT_EQ(0, som_set_chunks(2));
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	/* Both chunks are empty, but one unit of the second is promised. */
	EXPECT_EQ(-EBUSY, som_set_chunks(1));
	EXPECT_EQ(2, som_pool("nr_chunks"));
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(0, som_set_chunks(1));
	for (i = UNIT; i < len; i += UNIT)
		ASSERT_EQ(0, som_try_write(p + i, i));
}

TEST_F(resize, shrink_after_the_units_are_free)
{
	size_t len = 700 * UNIT;
	char *p;

	ASSERT_EQ(0, som_set_chunks(2));
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, len);
	ASSERT_EQ(0, munmap(p, len));
	EXPECT_EQ(0, som_set_chunks(1));
	EXPECT_EQ(1, som_free_hugepages());
}

/* Does a line of the kernel's log, since the last mark, have all the words? */
static bool log_has(const char *mark, const char *a, const char *b)
{
	static char log[1 << 20];
	char *line, *next;
	int n;

	n = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof(log) - 1);
	if (n < 0)
		return false;
	log[n] = 0;
	line = strstr(log, mark);
	for (; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (strstr(line, "som:") && strstr(line, a) && strstr(line, b))
			return true;
	}
	return false;
}

TEST_F(resize, log_says_how_many_were_given)
{
	char *p, mark[64];

	ASSERT_EQ(0, som_set_chunks(2));
	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, UNIT);
	snprintf(mark, sizeof(mark), "som_sysfs: mark %d", getpid());
	ASSERT_EQ(0, som_write_string("/dev/kmsg", mark));
	EXPECT_EQ(-EBUSY, som_set_chunks(0));
	EXPECT_TRUE(log_has(mark, " 1 ", " 2 "))
		TH_LOG("no line with 'som:', ' 1 ' and ' 2 '");
}

TEST_F(resize, log_says_how_many_were_found)
{
	char mark[64];

	snprintf(mark, sizeof(mark), "som_sysfs: mark %d", getpid());
	ASSERT_EQ(0, som_write_string("/dev/kmsg", mark));
	EXPECT_EQ(-ENOMEM, som_set_chunks(8));
	/* Seven more were asked for; there was one. */
	EXPECT_TRUE(log_has(mark, " 7 ", " 1 "))
		TH_LOG("no line with 'som:', ' 7 ' and ' 1 '");
	EXPECT_TRUE(log_has(mark, "hugepages-1048576kB/nr_hugepages", "som:"))
		TH_LOG("no line that names the file in sysfs");
}

/*
 * fdinfo
 */

TEST_F(som, fdinfo_of_one_process)
{
	pid_t me = getpid();
	char *p;

	EXPECT_EQ(-1, som_fdinfo(me, self->fd, me, "owner"));
	p = som_map(self->fd, 3 * UNIT + PAGE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(me, som_fdinfo(me, self->fd, me, "owner"));
	EXPECT_EQ((3 * UNIT + PAGE) / 1024,
		  som_fdinfo(me, self->fd, me, "mapped-kB"));
	EXPECT_EQ(4, som_fdinfo(me, self->fd, me, "reserved"));
	EXPECT_EQ(0, som_units_2m(self->fd));
	EXPECT_EQ(0, som_units_4k(self->fd));
	som_try_write(p, 1);
	som_try_write(p + UNIT, 1);
	som_try_write(p + 3 * UNIT, 1);
	EXPECT_EQ(2, som_units_2m(self->fd));
	EXPECT_EQ(1, som_units_4k(self->fd));
	ASSERT_EQ(0, munmap(p, UNIT + PAGE));
	EXPECT_EQ((2 * UNIT) / 1024,
		  som_fdinfo(me, self->fd, me, "mapped-kB"));
	EXPECT_EQ(3, som_fdinfo(me, self->fd, me, "reserved"));
	ASSERT_EQ(0, madvise(p + 3 * UNIT, PAGE, MADV_REMOVE));
	EXPECT_EQ(0, som_units_4k(self->fd));
	EXPECT_EQ(3, som_fdinfo(me, self->fd, me, "reserved"));
}

/* A unit that is split is at 4K entries when it is touched again. */
TEST_F(som, fdinfo_of_a_split_unit)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 2 * UNIT);
	EXPECT_EQ(2, som_units_2m(self->fd));
	ASSERT_EQ(0, mprotect(p + 7 * PAGE, PAGE, PROT_READ));
	som_touch_units(p, 2 * UNIT);
	EXPECT_EQ(1, som_units_2m(self->fd));
	EXPECT_EQ(1, som_units_4k(self->fd));
}

TEST_F(som, fdinfo_counts_no_noreserve)
{
	pid_t me = getpid();
	char *p = som_map_at(self->fd, NULL, 10 * UNIT, RW, MAP_NORESERVE);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(10 * UNIT / 1024, som_fdinfo(me, self->fd, me, "mapped-kB"));
	EXPECT_EQ(0, som_fdinfo(me, self->fd, me, "reserved"));
	som_touch_units(p, 2 * UNIT);
	EXPECT_EQ(0, som_fdinfo(me, self->fd, me, "reserved"));
	EXPECT_EQ(2, som_units_2m(self->fd));
}

/* One file, two processes: a block each, in the fdinfo of either. */
TEST_F(som, fdinfo_of_two_processes)
{
	int *step = som_shared(sizeof(*step));
	char *p = som_map(self->fd, 2 * UNIT);
	pid_t me = getpid(), pid;

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 2 * UNIT);
	pid = fork();
	if (!pid) {
		p = som_map(self->fd, 5 * UNIT);
		child_assert(p != MAP_FAILED);
		som_touch_units(p, 4 * UNIT);
		WRITE_ONCE(*step, 1);
		child_assert(som_wait_flag(step, 2));
		_exit(0);
	}
	ASSERT_TRUE(som_wait_flag(step, 1));
	EXPECT_EQ(2, som_fdinfo(me, self->fd, me, "units-2M"));
	EXPECT_EQ(4, som_fdinfo(me, self->fd, pid, "units-2M"));
	EXPECT_EQ(5, som_fdinfo(me, self->fd, pid, "reserved"));
	EXPECT_EQ(2, som_fdinfo(pid, self->fd, me, "units-2M"));
	EXPECT_EQ(4, som_fdinfo(pid, self->fd, pid, "units-2M"));
	WRITE_ONCE(*step, 2);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(2, som_fdinfo(me, self->fd, me, "units-2M"));
}

/* IDs are those of whoever reads, not of the first namespace. */
TEST_F(som, fdinfo_in_a_pid_namespace)
{
	pid_t me = getpid(), pid, got;
	char line[256], path[64];
	int step[2], owner, n = 0;
	FILE *f;

	if (access("/proc/self/ns/pid", F_OK))
		SKIP(return, "the kernel has no PID namespaces");
	ASSERT_NE(MAP_FAILED, som_map(self->fd, UNIT));
	ASSERT_EQ(0, pipe(step));
	pid = fork();
	if (!pid) {
		child_assert(!unshare(CLONE_NEWPID));
		pid = fork();
		if (pid)
			_exit(som_wait_child(pid));
		child_assert(getpid() == 1);
		child_assert(som_map(self->fd, UNIT) != MAP_FAILED);
		/* It is 1 to itself, and the other is nobody. */
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->fd);
		f = fopen(path, "re");
		child_assert(f);
		while (fgets(line, sizeof(line), f)) {
			if (sscanf(line, "som-owner: %d", &owner) != 1)
				continue;
			child_assert(owner == 1 || owner == 0);
			n += owner == 1;
		}
		child_assert(n == 1);
		n = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
		child_assert(n >= 0 && read(n, line, sizeof(line)) > 0);
		/* The procfs is of the first namespace. */
		got = atoi(line);
		child_assert(write(step[1], &got, sizeof(got)) == sizeof(got));
		pause();
	}
	close(step[1]);
	ASSERT_EQ(sizeof(got), read(step[0], &got, sizeof(got)));
	EXPECT_EQ(me, som_fdinfo(me, self->fd, me, "owner"));
	EXPECT_EQ(got, som_fdinfo(me, self->fd, got, "owner"));
	kill(got, SIGKILL);
	EXPECT_EQ(SIGKILL, -(char)som_wait_child(pid));
}

/* Another fd, through which nothing was mapped, shows nothing. */
TEST_F(som, fdinfo_of_another_fd)
{
	pid_t me = getpid();
	int fd = som_open();

	ASSERT_LE(0, fd);
	ASSERT_NE(MAP_FAILED, som_map(self->fd, UNIT));
	EXPECT_EQ(me, som_fdinfo(me, self->fd, me, "owner"));
	EXPECT_EQ(-1, som_fdinfo(me, fd, me, "owner"));
}

TEST_F(som, memory_is_not_in_rss)
{
	char *p = som_map(self->fd, 64 * UNIT);
	long pages;
	FILE *f;

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 64 * UNIT);
	f = fopen("/proc/self/statm", "re");
	ASSERT_NE(NULL, f);
	ASSERT_EQ(1, fscanf(f, "%*d %ld", &pages));
	fclose(f);
	EXPECT_GT(32 * UNIT / PAGE, pages);
}

/*
 * Growing and shrinking under load
 */

static void map_and_check(int fd, int who, int *stop)
{
	unsigned int seed = who, i;

	som_catch_faults();
	for (i = 0; !READ_ONCE(*stop); i++) {
		size_t units = 1 + rand_r(&seed) % 200, at;
		__u64 mark = (__u64)who << 32 | i;
		char *p = som_map_at(fd, NULL, units * UNIT, RW,
				     i % 2 ? MAP_NORESERVE : 0);

		if (p == MAP_FAILED) {
			child_assert(errno == ENOMEM);
			continue;
		}
		for (at = 0; at < units * UNIT; at += UNIT) {
			__u64 was = 0;
			int sig = som_try_read(p + at, &was);

			child_assert(!was);
			if (i % 2) {
				child_assert(!sig || sig == SIGBUS);
				if (sig)
					break;
			}
			child_assert(!sig);
			child_assert(!som_try_write(p + at, mark + at));
		}
		while (at) {
			at -= UNIT;
			child_assert(*(__u64 *)(p + at) == mark + at);
		}
		child_assert(!munmap(p, units * UNIT));
	}
}

TEST_F(resize, race_with_map_and_unmap)
{
	int *stop = som_shared(sizeof(*stop));
	int i, grown = 0, shrunk = 0, busy = 0, ret;
	pid_t pid[2];
	double end;

	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			map_and_check(self->fd, i + 1, stop);
			_exit(0);
		}
	}
	end = som_now() + 2 * som_race_seconds();
	while (som_now() < end || !grown) {
		ret = som_set_chunks(2);
		EXPECT_EQ(0, ret);
		grown += !ret;
		usleep(20000);
		ret = som_set_chunks(grown % 2);
		EXPECT_TRUE(!ret || ret == -EBUSY);
		shrunk += !ret;
		busy += ret == -EBUSY;
		usleep(10000);
	}
	WRITE_ONCE(*stop, 1);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, som_wait_child(pid[i]));
	TH_LOG("grown %d, shrunk %d, busy %d times", grown, shrunk, busy);
	EXPECT_LT(0, grown);
}

TEST_HARNESS_MAIN
