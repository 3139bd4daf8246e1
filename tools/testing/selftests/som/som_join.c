// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_MMAP_JOIN and SOM_MMAP_DODUMP: one mapping in place of several, over the same
 * memory; and what MADV_DONTDUMP leaves out of a core file.
 *
 * SOM-TEST: takes=8
 */
#include <sys/prctl.h>
#include <sys/resource.h>

#include "som_scan.h"

#define UNITS		4
#define LEN		(UNITS * UNIT)

static bool som_one_process = true;

/* The mappings that a range has in /proc/self/maps. */
static int mappings(const char *p, size_t len)
{
	unsigned long start, end, at = (unsigned long)p;
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	int nr = 0;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			nr += start < at + len && end > at;
	}
	if (file)
		fclose(file);
	return nr;
}

static int join(int fd, char *p, size_t len, int flags, unsigned long way)
{
	void *at = mmap(p, len, PROT_NONE, flags | MAP_FIXED, fd, way);

	return at == p ? 0 : at == MAP_FAILED ? errno : -1;
}

/* Cut a mapping at each 64 KiB, and leave the access as it was. */
static int cut(char *p, size_t len)
{
	size_t at;

	for (at = 0; at < len; at += 16 * PAGE) {
		if (mprotect(p + at, PAGE, PROT_READ) ||
		    mprotect(p + at, PAGE, RW))
			return -1;
	}
	return 0;
}

FIXTURE(join)
{
	struct som_state before;
	int fd, flags;
	char *p;
};

FIXTURE_VARIANT(join)
{
	int flags;
};

FIXTURE_VARIANT_ADD(join, shared)
{
	.flags = MAP_SHARED,
};

FIXTURE_VARIANT_ADD(join, private)
{
	.flags = MAP_PRIVATE,
};

FIXTURE_SETUP(join)
{
	som_state_read(&self->before);
	som_one_cpu();
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
	if (variant->flags == MAP_PRIVATE && som_no_private(self->fd))
		SKIP(return, "%s", som_no_private(self->fd));
	self->flags = variant->flags;
	self->p = variant->flags == MAP_SHARED ? som_map(self->fd, LEN) :
					 som_map_private(self->fd, LEN);
	ASSERT_NE(MAP_FAILED, self->p);
	som_fill(self->p, LEN, 1);
}

FIXTURE_TEARDOWN(join)
{
	munmap(self->p, LEN);
	close(self->fd);
	EXPECT_TRUE(som_state_wait(&self->before));
}

TEST_F(join, what_is_alike_is_one_again)
{
	ASSERT_EQ(0, cut(self->p, LEN));
	ASSERT_LT(LEN / UNIT * 32, mappings(self->p, LEN));
	EXPECT_EQ(-1, som_check(self->p, LEN, 1));
	EXPECT_EQ(0, som_units_2m(self->fd));
	ASSERT_EQ(0, join(self->fd, self->p, LEN, self->flags, SOM_MMAP_JOIN));
	EXPECT_EQ(1, mappings(self->p, LEN));
	EXPECT_EQ(-1, som_check(self->p, LEN, 1));
	EXPECT_EQ(UNITS, som_units_2m(self->fd));
	EXPECT_USED(UNITS);
	EXPECT_COMMITTED(UNITS);
	/* It can be written, and is what it was to munmap. */
	som_fill(self->p, LEN, 2);
	ASSERT_EQ(0, munmap(self->p + UNIT, UNIT));
	EXPECT_USED_SOON(UNITS - 1);
	EXPECT_EQ(-1, som_check(self->p, UNIT, 2));
	EXPECT_EQ(som_word(2, LEN - 8), *(__u64 *)(self->p + LEN - 8));
}

/* Access and advice stay as they are. */
TEST_F(join, access_stays)
{
	char *p = self->p;

	ASSERT_EQ(0, mprotect(p, UNIT, PROT_READ));
	ASSERT_EQ(0, mprotect(p + UNIT, UNIT, PROT_READ));
	ASSERT_EQ(0, madvise(p + PAGE, UNIT, MADV_DONTDUMP));
	ASSERT_EQ(EINVAL, join(self->fd, p, 2 * UNIT, self->flags,
			       SOM_MMAP_JOIN));
	ASSERT_EQ(0, madvise(p, 2 * UNIT, MADV_DONTDUMP));
	ASSERT_EQ(p, mmap(p, 2 * UNIT, RW, self->flags | MAP_FIXED, self->fd,
			  SOM_MMAP_JOIN));
	EXPECT_EQ(1, mappings(p, 2 * UNIT));
	EXPECT_EQ(SIGSEGV, som_try_write(p, 1));
	EXPECT_EQ(SIGSEGV, som_try_write(p + 2 * UNIT - 8, 1));
	EXPECT_EQ(-1, som_check(p, LEN, 1));
	ASSERT_EQ(0, mprotect(p, UNIT, PROT_NONE));
	ASSERT_EQ(p, mmap(p, PAGE, RW, self->flags | MAP_FIXED, self->fd,
			  SOM_MMAP_JOIN));
	EXPECT_EQ(SIGSEGV, som_read_signal(p));
	ASSERT_EQ(0, mprotect(p, LEN, RW));
	EXPECT_EQ(-1, som_check(p, LEN, 1));
}

/* Each of these is refused, and nothing is changed. */
TEST_F(join, refused)
{
	const int way = SOM_MMAP_JOIN, other = self->flags ^ (MAP_SHARED | MAP_PRIVATE);
	int readonly = open(SOM_DEV, O_RDONLY | O_CLOEXEC), fd = self->fd;
	char *p = self->p, *q;

	ASSERT_EQ(0, munmap(p + 3 * UNIT, UNIT));
	EXPECT_EQ(EINVAL, join(fd, p, LEN, self->flags, way));
	EXPECT_EQ(EINVAL, join(fd, p + 3 * UNIT, UNIT, self->flags, way));
	EXPECT_EQ(EINVAL, join(fd, p - PAGE, UNIT, self->flags, way));
	EXPECT_EQ(EINVAL, join(fd, p + 1, PAGE, self->flags, way));
	EXPECT_EQ(EINVAL, join(fd, p, UNIT, other, way));
	EXPECT_EQ(EINVAL, join(fd, p, UNIT, self->flags | MAP_FIXED_NOREPLACE,
			       way));
	EXPECT_EQ(EINVAL, join(fd, p, UNIT, self->flags, 3 * SOM_MMAP_JOIN));
	EXPECT_EQ(EINVAL, join(fd, p, UNIT, self->flags, 1UL << 63));
	EXPECT_EQ(MAP_FAILED, mmap(p, UNIT, RW, self->flags, fd, way));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_LE(0, readonly);
	EXPECT_EQ(EACCES, join(readonly, p, UNIT, self->flags, way));
	close(readonly);
	/* Two mappings side by side that never were one. */
	q = som_map_at(fd, p + 3 * UNIT, UNIT, RW, MAP_FIXED);
	ASSERT_EQ(p + 3 * UNIT, q);
	EXPECT_EQ(EINVAL, join(fd, p, LEN, self->flags, way));
	/* Ordinary memory among it. */
	ASSERT_EQ(q, mmap(q, UNIT, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			  -1, 0));
	EXPECT_EQ(EINVAL, join(fd, p, LEN, self->flags, way));
	/* Parts that have changed places. */
	ASSERT_EQ(q, mremap(p, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, q));
	EXPECT_EQ(EINVAL, join(fd, p + UNIT, 3 * UNIT, self->flags, way));
	ASSERT_EQ(p, mremap(q, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, p));
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	EXPECT_USED(3);
}

/* What mremap shows twice is not joined. */
TEST_F(join, shown_twice)
{
	char *q;

	if (som_no_second_view() && self->flags == MAP_SHARED)
		SKIP(return, "the kernel checks page tables");
	q = mremap(self->p, 0, UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(EINVAL, join(self->fd, self->p, LEN, self->flags,
			       SOM_MMAP_JOIN));
	EXPECT_EQ(0, join(self->fd, self->p + UNIT, 3 * UNIT, self->flags,
			  SOM_MMAP_JOIN));
	ASSERT_EQ(0, munmap(q, UNIT));
	if (self->flags == MAP_SHARED)
		EXPECT_EQ(-1, som_check(self->p, LEN, 1));
}

/* What was reserved and got access in part: promises stay. */
TEST_F(join, promises_stay)
{
	char *p = mmap(NULL, LEN, PROT_NONE, self->flags, self->fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(UNITS);
	ASSERT_EQ(0, mprotect(p, UNIT, RW));
	ASSERT_EQ(0, mprotect(p + 2 * UNIT, UNIT, RW));
	EXPECT_COMMITTED(UNITS + 2);
	ASSERT_EQ(0, mprotect(p, LEN, PROT_NONE));
	ASSERT_EQ(0, join(self->fd, p, LEN, self->flags, SOM_MMAP_JOIN));
	EXPECT_EQ(1, mappings(p, LEN));
	EXPECT_COMMITTED(UNITS + 2);
	ASSERT_EQ(0, mprotect(p, LEN, RW));
	EXPECT_COMMITTED(2 * UNITS);
	EXPECT_EQ(-1, som_not_zero(p, LEN));
	ASSERT_EQ(0, munmap(p, LEN));
	EXPECT_COMMITTED(UNITS);
}

/* A child joins what it has inherited, and its parent what the child depends on. */
TEST_F(join, after_fork)
{
	struct som_policy policy = { .size = sizeof(policy) };
	int *step = som_shared(sizeof(*step));
	pid_t pid;
	char *p;

	if (som_no_policy(self->fd))
		SKIP(return, "%s", som_no_policy(self->fd));
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &policy));
	policy.options = SOM_POLICY_FORK_COPY;
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, &policy));
	p = mmap(NULL, LEN, RW, self->flags, self->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, LEN, 2);
	ASSERT_EQ(0, cut(p, LEN));
	pid = fork();
	if (!pid) {
		child_assert(som_wait_flag(step, 1));
		child_assert(!join(self->fd, p, LEN, self->flags,
				   SOM_MMAP_JOIN));
		child_assert(mappings(p, LEN) == 1);
		child_assert(som_check(p, LEN, 2) == -1);
		som_fill(p, LEN, 4);
		child_assert(!cut(p, LEN));
		child_assert(!join(self->fd, p, LEN, self->flags,
				   SOM_MMAP_JOIN));
		child_assert(som_check(p, LEN, 4) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, join(self->fd, p, LEN, self->flags, SOM_MMAP_JOIN));
	EXPECT_EQ(1, mappings(p, LEN));
	som_fill(p, LEN, 3);
	WRITE_ONCE(*step, 1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(p, LEN, 3));
	ASSERT_EQ(0, munmap(p, LEN));
}

/* Is a page reported as written? It is not cleaned. */
static bool written(int fd, const char *p)
{
	return som_scan_page(fd, p, WRITTEN) == WRITTEN;
}

/* Entries go, and with them what the processor has noted: that is not lost. */
TEST_F(join, tracked)
{
	char *p = self->p;

	ASSERT_EQ(0, cut(p, UNIT));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, LEN));
	p[5 * PAGE] = 7;
	ASSERT_EQ(0, join(self->fd, p, LEN, self->flags, SOM_MMAP_JOIN));
	EXPECT_EQ(1, mappings(p, LEN));
	p[9 * PAGE] = 7;
	EXPECT_TRUE(written(self->fd, p + 5 * PAGE));
	EXPECT_TRUE(written(self->fd, p + 9 * PAGE));
	/* It is tracked on. */
	ASSERT_EQ(0, som_scan_clean(self->fd, p, LEN));
	EXPECT_FALSE(written(self->fd, p + 5 * PAGE));
	EXPECT_FALSE(written(self->fd, p + UNIT));
	p[UNIT] = 1;
	EXPECT_TRUE(written(self->fd, p + UNIT));
	EXPECT_FALSE(written(self->fd, p + 2 * UNIT));
}

/* One thread cuts and joins, the others have their bytes all the time. */
static void *writer(void *arg)
{
	struct som_racer *racer = arg;
	struct som_race *race = racer->race;
	unsigned long value = 0, at;
	volatile unsigned long *p;

	while (!READ_ONCE(race->stop)) {
		for (at = racer->nr * 8; at < race->len; at += PAGE / 2) {
			p = (unsigned long *)(race->mem + at);
			som_bad(race, *p != value);
			*p = value + 1;
		}
		value++;
		som_round(race);
	}
	return NULL;
}

static void join_all(struct som_race *race, int flags)
{
	som_bad(race, join(race->fd, race->mem, race->len, flags,
			   SOM_MMAP_JOIN));
}

static void cut_and_join(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned long nr = 0;
	int flags = race->other ? MAP_PRIVATE : MAP_SHARED;

	while (som_race_on(race, end)) {
		char *p = race->mem + nr++ % 64 * 5 * PAGE;

		som_bad(race, madvise(p, PAGE, MADV_RANDOM));
		som_bad(race, madvise(p, PAGE, MADV_NORMAL));
		if (nr % 16 == 0)
			join_all(race, flags);
	}
	join_all(race, flags);
	som_bad(race, mappings(race->mem, race->len) != 1);
}

TEST_F(join, below_writers)
{
	struct som_race race = {
		.fd = self->fd, .mem = self->p, .len = UNIT,
		.other = self->flags == MAP_PRIVATE ? self->p : NULL,
	};

	memset(self->p, 0, LEN);
	EXPECT_EQ(0, som_run_racers(&race, 3, writer, cut_and_join));
	EXPECT_EQ(0, race.bad);
}

/*
 * Core files
 */

#define CORE		"/tmp/som_join.core"

/*
 * What is in the core file: not a part of the second unit, which cuts it, and there is no
 * fourth.
 */
static bool is_dumped(size_t at, bool again)
{
	return at / UNIT != 3 &&
	       (again || at / UNIT != 1 || at % UNIT >= UNIT / 2);
}

/* The last unit is never touched. */
static void crash(int fd, int flags, bool again)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	char *p = mmap(NULL, LEN, RW, flags | MAP_NORESERVE, fd, 0);

	child_assert(p != MAP_FAILED);
	prctl(PR_SET_DUMPABLE, 1);
	setrlimit(RLIMIT_CORE, &all);
	/* One unit that is cut, and has a page that cannot be read. */
	child_assert(!mprotect(p + 5 * PAGE, PAGE, PROT_READ));
	child_assert(!mprotect(p + 5 * PAGE, PAGE, RW));
	som_fill_pages(p, LEN - UNIT, 0xc04e);
	child_assert(!mprotect(p + 5 * PAGE, PAGE, PROT_NONE));
	child_assert(!madvise(p + UNIT, UNIT / 2, MADV_DONTDUMP));
	if (again)
		child_assert(!join(fd, p + UNIT, UNIT / 2, flags,
				   SOM_MMAP_DODUMP));
	abort();
}

/* How many pages of crash() are not as they should be in the core file. */
static int wrong_pages(bool again)
{
	static char buf[PAGE];
	static int found[LEN / PAGE];
	int fd = open(CORE, O_RDONLY | O_CLOEXEC), wrong = 0;
	size_t at;
	off_t off = 0;

	memset(found, 0, sizeof(found));
	while (fd >= 0 && (off = lseek(fd, off, SEEK_DATA)) >= 0) {
		for (; pread(fd, buf, PAGE, off) == PAGE; off += PAGE) {
			at = *(__u64 *)buf - som_word(0xc04e, 0);
			if (at < LEN && !(at % PAGE))
				found[at / PAGE]++;
		}
	}
	for (at = 0; at < LEN / PAGE; at++)
		wrong += found[at] != is_dumped(at * PAGE, again);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : wrong;
}

#define SELF	FIXTURE_DATA(join)

static void dump(struct __test_metadata *_metadata, SELF *self, bool again)
{
	long used, most = 0;
	int status;
	pid_t pid;

	ASSERT_EQ(0, som_write_string("/proc/sys/kernel/core_pattern", CORE));
	ASSERT_EQ(0, som_write_string("/proc/sys/kernel/core_uses_pid", "0"));
	unlink(CORE);
	pid = fork();
	if (!pid)
		crash(self->fd, self->flags, again);
	while (!waitpid(pid, &status, WNOHANG)) {
		used = som_used();
		most = used > most ? used : most;
	}
	EXPECT_TRUE(WCOREDUMP(status));
	EXPECT_EQ(0, wrong_pages(again));
	/* The dump has made no memory for what was never touched. */
	EXPECT_GE(self->before.used + 2 * UNITS - 1, most);
	unlink(CORE);
}

TEST_F(join, dontdump)
{
	dump(_metadata, self, false);
}

TEST_F(join, dodump)
{
	EXPECT_EQ(0, madvise(self->p, UNIT, MADV_DONTDUMP));
	/* Should the kernel take it some day, there is no need for a call of som's. */
	EXPECT_EQ(-1, madvise(self->p, UNIT, MADV_DODUMP));
	dump(_metadata, self, true);
}

TEST_HARNESS_MAIN
