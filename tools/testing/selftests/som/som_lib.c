// SPDX-License-Identifier: GPL-2.0
/*
 * libsom, linked statically; and the shared one, which lies beside this program.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "../../../som/lib/libsom.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

#define PAGE	4096UL
#define UNIT	SOM_UNIT_SIZE
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(lib)
{
	int fd;
};

FIXTURE_SETUP(lib)
{
	self->fd = som_open(NULL);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(lib)
{
	EXPECT_EQ(0, close(self->fd));
}

TEST(open_errors)
{
	EXPECT_EQ(-1, som_open("/nowhere"));
	EXPECT_EQ(ENOENT, errno);
}

TEST_F(lib, closes_on_exec)
{
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->fd, F_GETFD));
}

/*
 * Memory
 */

TEST_F(lib, map_and_info)
{
	struct som_info before, now;
	char *p;

	ASSERT_EQ(0, som_read_info(self->fd, &before, sizeof(before)));
	EXPECT_EQ(UNIT, before.unit_size);
	p = som_map(self->fd, NULL, 4 * UNIT, RW, 0);
	ASSERT_NE(NULL, p);
	memset(p, 1, 4 * UNIT);
	ASSERT_EQ(0, som_read_info(self->fd, &now, sizeof(now)));
	EXPECT_EQ(4 * UNIT, now.mapped_bytes);
	EXPECT_EQ(before.pool_committed + 4, now.pool_committed);
	/* Gives back two units and keeps the promise of four. */
	EXPECT_EQ(0, som_release(p + UNIT, 2 * UNIT));
	EXPECT_EQ(1, p[0]);
	EXPECT_EQ(1, p[3 * UNIT]);
	ASSERT_EQ(0, som_read_info(self->fd, &now, sizeof(now)));
	EXPECT_EQ(4, now.reserved_units);
	EXPECT_EQ(2, now.units_2m + now.units_4k);
	EXPECT_EQ(0, p[UNIT]);
	EXPECT_EQ(0, som_unmap(p, 4 * UNIT));
	ASSERT_EQ(0, som_read_info(self->fd, &now, sizeof(now)));
	EXPECT_EQ(0, now.mapped_bytes);
}

TEST_F(lib, info_of_other_sizes)
{
	struct {
		struct som_info info;
		char more[64];
	} longer;

	/* A program that was built with a longer or with the first structure. */
	memset(&longer, 0xff, sizeof(longer));
	ASSERT_EQ(0, som_read_info(self->fd, &longer.info, sizeof(longer)));
	EXPECT_EQ(UNIT, longer.info.unit_size);
	EXPECT_EQ(0, longer.more[0]);
	memset(&longer, 0xff, sizeof(longer));
	ASSERT_EQ(0, som_read_info(self->fd, &longer.info, SOM_INFO_SIZE_VER0));
	EXPECT_EQ(UNIT, longer.info.unit_size);
	EXPECT_EQ(-1ULL, longer.info.units_1g);
	EXPECT_EQ(-1, som_read_info(self->fd, &longer.info, 8));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(lib, map_flags)
{
	char *p, *q;

	/* More than the pool has: not a promise, but a try. */
	EXPECT_EQ(NULL, som_map(self->fd, NULL, 1UL << 40, RW, 0));
	EXPECT_EQ(ENOMEM, errno);
	p = som_map(self->fd, NULL, 1UL << 40, RW, SOM_MAP_NORESERVE);
	ASSERT_NE(NULL, p);
	p[0] = 1;
	EXPECT_EQ(NULL, som_map(self->fd, p, UNIT, RW, SOM_MAP_NOREPLACE));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(1, p[0]);
	q = som_map(self->fd, p, UNIT, RW, SOM_MAP_FIXED | SOM_MAP_PRIVATE);
	ASSERT_EQ(p, q);
	EXPECT_EQ(0, q[0]);
	/* Only a private mapping forgets. */
	q[0] = 1;
	ASSERT_EQ(0, madvise(q, UNIT, MADV_DONTNEED));
	EXPECT_EQ(0, q[0]);
	q[UNIT] = 1;
	ASSERT_EQ(0, madvise(q + UNIT, UNIT, MADV_DONTNEED));
	EXPECT_EQ(1, q[UNIT]);
	EXPECT_EQ(NULL, som_map(self->fd, NULL, UNIT, RW, 1U << 30));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(lib, map_size)
{
	uint64_t size = 0;

	ASSERT_EQ(0, som_get_map_size(self->fd, &size));
	EXPECT_EQ(UNIT, size);
	EXPECT_EQ(0, som_set_map_size(self->fd, PAGE));
	ASSERT_EQ(0, som_get_map_size(self->fd, &size));
	EXPECT_EQ(PAGE, size);
	EXPECT_EQ(-1, som_set_map_size(self->fd, 12345));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(lib, max_units)
{
	uint64_t max = 1, size = 0;
	char *p;

	ASSERT_EQ(0, som_get_max_units(self->fd, &max));
	EXPECT_EQ(0, max);
	ASSERT_EQ(0, som_set_map_size(self->fd, PAGE));
	ASSERT_EQ(0, som_set_max_units(self->fd, 3));
	ASSERT_EQ(0, som_get_max_units(self->fd, &max));
	EXPECT_EQ(3, max);
	/* It is never raised, nor taken away. */
	EXPECT_EQ(-1, som_set_max_units(self->fd, 4));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, som_set_max_units(self->fd, 0));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_EQ(0, som_get_max_units(self->fd, &max));
	EXPECT_EQ(3, max);
	/* What else there is was left alone, and leaves it alone. */
	ASSERT_EQ(0, som_get_map_size(self->fd, &size));
	EXPECT_EQ(PAGE, size);
	ASSERT_EQ(0, som_set_map_size(self->fd, UNIT));
	ASSERT_EQ(0, som_set_options(self->fd, SOM_POLICY_REUSE));
	ASSERT_EQ(0, som_get_max_units(self->fd, &max));
	EXPECT_EQ(3, max);
	EXPECT_EQ(NULL, som_map(self->fd, NULL, 4 * UNIT, RW, 0));
	EXPECT_EQ(ENOMEM, errno);
	p = som_map(self->fd, NULL, 3 * UNIT, RW, 0);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(NULL, som_map(self->fd, NULL, PAGE, RW, 0));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(0, som_unmap(p, 3 * UNIT));
}

TEST_F(lib, options)
{
	static const uint64_t valid[] = {
		SOM_POLICY_REUSE,
		SOM_POLICY_FORK_COPY,
		SOM_POLICY_FORK_COPY | SOM_POLICY_FORK_NORESERVE,
		SOM_POLICY_REUSE | SOM_POLICY_FORK_COPY,
		0,
	};
	uint64_t options = 1, size = 0;
	size_t i;

	ASSERT_EQ(0, som_get_options(self->fd, &options));
	EXPECT_EQ(0, options);
	ASSERT_EQ(0, som_set_map_size(self->fd, PAGE));
	for (i = 0; i < sizeof(valid) / sizeof(*valid); i++) {
		ASSERT_EQ(0, som_set_options(self->fd, valid[i]));
		ASSERT_EQ(0, som_get_options(self->fd, &options));
		EXPECT_EQ(valid[i], options);
		ASSERT_EQ(0, som_get_map_size(self->fd, &size));
		EXPECT_EQ(PAGE, size);
	}
	ASSERT_EQ(0, som_set_options(self->fd, SOM_POLICY_FORK_COPY));
	ASSERT_EQ(0, som_set_map_size(self->fd, UNIT));
	/* Each of these fails, and changes nothing. */
	EXPECT_EQ(-1, som_set_options(self->fd, SOM_POLICY_FORK_NORESERVE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, som_set_options(self->fd, 1ULL << 63));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, som_set_map_size(self->fd, 1UL << 30));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_EQ(0, som_get_options(self->fd, &options));
	EXPECT_EQ(SOM_POLICY_FORK_COPY, options);
	ASSERT_EQ(0, som_get_map_size(self->fd, &size));
	EXPECT_EQ(UNIT, size);
}

TEST_F(lib, policy_of_no_device)
{
	int file = memfd_create("file", MFD_CLOEXEC);
	uint64_t value = 77;

	ASSERT_LE(0, file);
	EXPECT_EQ(-1, som_get_max_units(file, &value));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, som_set_max_units(file, 1));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, som_get_options(file, &value));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, som_set_options(-1, 0));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(77, value);
	close(file);
}

/* Return: what a child of fork finds at @p, and leaves changed; 255: nothing. */
static int child_reads(char *p)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		status = p[0];
		p[0] = 99;
		_exit(status);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

TEST_F(lib, fork_as_the_options_say)
{
	char *none, *copy;

	none = som_map(self->fd, NULL, UNIT, RW, 0);
	ASSERT_NE(NULL, none);
	ASSERT_EQ(0, som_set_options(self->fd, SOM_POLICY_FORK_COPY));
	copy = som_map(self->fd, NULL, UNIT, RW, SOM_MAP_PRIVATE);
	ASSERT_NE(NULL, copy);
	none[0] = 4;
	copy[0] = 5;
	EXPECT_EQ(255, child_reads(none));
	EXPECT_EQ(5, child_reads(copy));
	EXPECT_EQ(4, none[0]);
	EXPECT_EQ(5, copy[0]);
	EXPECT_EQ(0, som_unmap(none, UNIT));
	EXPECT_EQ(0, som_unmap(copy, UNIT));
}

/*
 * Scans
 */

/* Tracked memory of which every second of the first pages was written. */
static char *map_striped(int fd, size_t len, size_t pages)
{
	char *p = som_map(fd, NULL, len, RW, 0);
	size_t i;

	if (!p || som_clean(fd, p, len))
		return NULL;
	for (i = 0; i < pages; i += 2)
		p[i * PAGE] = 1;
	return p;
}

/* The same of a first unit. Where the second one is, no scan has been. */
static char *map_half_striped(int fd, size_t pages)
{
	char *room = mmap(NULL, 3 * UNIT, PROT_NONE, MAP_PRIVATE |
			  MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *p = (char *)(((uintptr_t)room + UNIT - 1) & -UNIT);
	size_t i;

	/* Two mappings: the call looks at each as a whole. */
	if (som_map(fd, p, UNIT, RW, SOM_MAP_FIXED) != p ||
	    som_map(fd, p + UNIT, UNIT, RW, SOM_MAP_FIXED) != p + UNIT ||
	    som_clean(fd, p, UNIT))
		return NULL;
	for (i = 0; i < pages; i += 2)
		p[i * PAGE] = 1;
	return p;
}

static const struct som_query written = {
	.all = SOM_PAGE_WRITTEN,
	.shown = SOM_PAGE_WRITTEN | SOM_PAGE_TRACKED,
};

TEST_F(lib, scan_of_any_vector)
{
	static const size_t sizes[] = { 1, 2, 7, 0, 1000 };
	struct som_region region;
	struct som_scan *scan;
	size_t i, n;
	char *p;

	p = map_striped(self->fd, 2 * UNIT, 100);
	ASSERT_NE(NULL, p);
	/* A longer region across the border of two units. */
	memset(p + UNIT - 3 * PAGE, 1, 6 * PAGE);
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		scan = som_scan_new(sizes[i]);
		ASSERT_NE(NULL, scan);
		ASSERT_EQ(0, som_scan_start(scan, self->fd, p, 2 * UNIT,
					    &written));
		for (n = 0; n < 50; n++) {
			ASSERT_EQ(1, som_scan_next(scan, &region));
			EXPECT_EQ((uintptr_t)p + 2 * n * PAGE, region.start);
			EXPECT_EQ(region.start + PAGE, region.end);
			EXPECT_EQ(SOM_PAGE_WRITTEN | SOM_PAGE_TRACKED,
				  region.categories);
		}
		ASSERT_EQ(1, som_scan_next(scan, &region));
		EXPECT_EQ((uintptr_t)p + UNIT - 3 * PAGE, region.start);
		EXPECT_EQ(region.start + 6 * PAGE, region.end);
		EXPECT_EQ(0, som_scan_next(scan, &region));
		EXPECT_EQ(0, som_scan_next(scan, &region));
		EXPECT_EQ((uintptr_t)p + 2 * UNIT, som_scan_position(scan));
		som_scan_free(scan);
	}
}

TEST_F(lib, scan_is_limited)
{
	struct som_query query = written;
	struct som_region region;
	struct som_scan *scan;
	size_t n, max;
	char *p;

	p = map_striped(self->fd, UNIT, 100);
	ASSERT_NE(NULL, p);
	for (max = 1; max <= 50; max += 7) {
		query.max_pages = max;
		scan = som_scan_new(3);
		ASSERT_NE(NULL, scan);
		ASSERT_EQ(0, som_scan_start(scan, self->fd, p, UNIT, &query));
		for (n = 0; som_scan_next(scan, &region) == 1; n++)
			EXPECT_EQ((uintptr_t)p + 2 * n * PAGE, region.start);
		EXPECT_EQ(max, n);
		/* Beyond the last page told, and not beyond the next. */
		EXPECT_LT((uintptr_t)p + (2 * max - 2) * PAGE,
			  som_scan_position(scan));
		if (max < 50) {
			EXPECT_GE((uintptr_t)p + 2 * max * PAGE,
				  som_scan_position(scan));
		}
		som_scan_free(scan);
	}
}

TEST_F(lib, scan_cleans)
{
	struct som_query query = written;
	struct som_region region;
	struct som_scan *scan = som_scan_new(4);
	size_t n;
	char *p;

	ASSERT_NE(NULL, scan);
	p = map_striped(self->fd, UNIT, 100);
	ASSERT_NE(NULL, p);
	query.flags = SOM_SCAN_CLEAN | SOM_SCAN_TRACKED;
	ASSERT_EQ(0, som_scan_start(scan, self->fd, p, UNIT, &query));
	for (n = 0; som_scan_next(scan, &region) == 1; n++)
		;
	EXPECT_EQ(50, n);
	/* The same scan once more: nothing was written since. */
	ASSERT_EQ(0, som_scan_start(scan, self->fd, p, UNIT, &query));
	EXPECT_EQ(0, som_scan_next(scan, &region));
	p[7 * PAGE] = 1;
	ASSERT_EQ(0, som_scan_start(scan, self->fd, p, UNIT, &query));
	ASSERT_EQ(1, som_scan_next(scan, &region));
	EXPECT_EQ((uintptr_t)p + 7 * PAGE, region.start);
	EXPECT_EQ(0, som_scan_next(scan, &region));
	som_scan_free(scan);
}

TEST_F(lib, scan_for_zeroes)
{
	const struct som_query query = {
		.inverted = SOM_PAGE_ZERO,
		.all = SOM_PAGE_ZERO | SOM_PAGE_PRESENT,
		.shown = SOM_PAGE_PRESENT | SOM_PAGE_HUGE,
	};
	struct som_region region;
	struct som_scan *scan = som_scan_new(0);
	char *p = som_map(self->fd, NULL, UNIT, RW, 0);

	ASSERT_NE(NULL, scan);
	ASSERT_NE(NULL, p);
	p[9 * PAGE + 77] = 1;
	ASSERT_EQ(0, som_scan_start(scan, self->fd, p, UNIT, &query));
	ASSERT_EQ(1, som_scan_next(scan, &region));
	EXPECT_EQ((uintptr_t)p + 9 * PAGE, region.start);
	EXPECT_EQ((uintptr_t)p + 10 * PAGE, region.end);
	EXPECT_EQ(SOM_PAGE_PRESENT | SOM_PAGE_HUGE, region.categories);
	EXPECT_EQ(0, som_scan_next(scan, &region));
	som_scan_free(scan);
}

/* Return: pages that a scan tells, and in @error why it ended. */
static size_t count_told(struct som_scan *scan, int fd, const void *p, size_t len,
			 const struct som_query *query, int *error)
{
	struct som_region region;
	size_t pages = 0;
	int ret = som_scan_start(scan, fd, p, len, query);

	while (!ret && (ret = som_scan_next(scan, &region)) == 1) {
		pages += (region.end - region.start) / PAGE;
		ret = 0;
	}
	*error = ret ? errno : 0;
	return pages;
}

/* What a scan has cleaned is told, also if it fails afterwards. */
TEST_F(lib, scan_that_cleans_and_fails)
{
	static const size_t sizes[] = { 1, 7, 0, 1000 };
	struct som_query query = { .flags = SOM_SCAN_CLEAN | SOM_SCAN_TRACKED,
				   .all = SOM_PAGE_WRITTEN };
	struct som_scan *scan;
	size_t i, told, left;
	int error;
	char *p;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		scan = som_scan_new(sizes[i]);
		ASSERT_NE(NULL, scan);
		p = map_half_striped(self->fd, 100);
		ASSERT_NE(NULL, p);
		told = count_told(scan, self->fd, p, 2 * UNIT, &query, &error);
		EXPECT_EQ(EPERM, error);
		left = count_told(scan, self->fd, p, UNIT, &written, &error);
		EXPECT_EQ(0, error);
		EXPECT_EQ(50, told);
		EXPECT_EQ(0, left);
		som_scan_free(scan);
		/* It stays: the next one is to come elsewhere. */
	}
}

/*
 * What does not fail leaves errno as it is. The next call of the kernel fails while a
 * region is told: the error is told after that.
 */
TEST_F(lib, errno_stays)
{
	struct som_query query = { .flags = SOM_SCAN_TRACKED,
				   .all = SOM_PAGE_WRITTEN };
	struct som_scan *scan;
	struct som_region region;
	struct som_info info;
	uint64_t value, end;
	int ret, nr = 0;
	char *p;

	errno = EDOM;
	p = som_map(self->fd, NULL, 2 * UNIT, RW, SOM_MAP_PRIVATE);
	ASSERT_NE(NULL, p);
	scan = som_scan_new(1);
	ASSERT_NE(NULL, scan);
	ASSERT_EQ(0, som_read_info(self->fd, &info, sizeof(info)));
	ASSERT_EQ(0, som_get_map_size(self->fd, &value));
	ASSERT_EQ(0, som_set_map_size(self->fd, value));
	ASSERT_EQ(0, som_get_max_units(self->fd, &value));
	ASSERT_EQ(0, som_set_max_units(self->fd, 100));
	ASSERT_EQ(0, som_get_options(self->fd, &value));
	ASSERT_EQ(0, som_set_options(self->fd, value));
	ASSERT_EQ(0, som_clean(self->fd, p, UNIT));
	/* This is not tracked. */
	ASSERT_EQ(p + UNIT, som_map(self->fd, p + UNIT, UNIT, RW,
				    SOM_MAP_FIXED | SOM_MAP_PRIVATE));
	p[0] = 1;
	p[2 * PAGE] = 1;
	p[UNIT] = 1;
	ASSERT_EQ(0, som_scan_start(scan, self->fd, p, UNIT, &query));
	ASSERT_EQ(1, som_scan_next(scan, &region));
	ASSERT_EQ(1, som_scan_next(scan, &region));
	ASSERT_EQ(0, som_scan_next(scan, &region));
	ASSERT_EQ(0, som_scan_next(scan, &region));
	EXPECT_EQ((uintptr_t)p + UNIT, som_scan_position(scan));
	EXPECT_EQ(EDOM, errno);

	ASSERT_EQ(0, som_scan_start(scan, self->fd, p, 2 * UNIT, &query));
	while ((ret = som_scan_next(scan, &region)) == 1) {
		EXPECT_EQ(EDOM, errno);
		nr++;
	}
	EXPECT_LE(1, nr);
	EXPECT_EQ(-1, ret);
	EXPECT_EQ(EPERM, errno);
	errno = EDOM;
	EXPECT_EQ(-1, som_scan_next(scan, &region));
	EXPECT_EQ(EPERM, errno);

	errno = EDOM;
	som_scan_free(scan);
	EXPECT_EQ(0, som_reset(self->fd, p, UNIT, SOM_KEEP_ALL, NULL));
	EXPECT_EQ(0, som_release(p, UNIT));
	EXPECT_EQ(0, som_make_page_backed(self->fd, p + UNIT, UNIT, &end));
	EXPECT_EQ(0, som_make_pool_backed(self->fd, p + UNIT, UNIT, &end));
	EXPECT_EQ(0, som_unmap(p, 2 * UNIT));
	EXPECT_EQ(EDOM, errno);
}

TEST_F(lib, scan_errors)
{
	struct som_query query = { .flags = SOM_SCAN_TRACKED,
				   .all = SOM_PAGE_WRITTEN };
	struct som_region region;
	struct som_scan *scan = som_scan_new(1);
	char *p;

	ASSERT_NE(NULL, scan);
	EXPECT_EQ(NULL, som_scan_new(1UL << 60));
	EXPECT_EQ(EINVAL, errno);
	/*
	 * The second unit is not tracked: an error of the second call, which has told
	 * the second region of two.
	 */
	p = map_half_striped(self->fd, 4);
	ASSERT_NE(NULL, p);
	p[UNIT] = 1;
	ASSERT_EQ(0, som_scan_start(scan, self->fd, p, 2 * UNIT, &query));
	ASSERT_EQ(1, som_scan_next(scan, &region));
	EXPECT_EQ((uintptr_t)p, region.start);
	ASSERT_EQ(1, som_scan_next(scan, &region));
	EXPECT_LT((uintptr_t)p, region.start);
	EXPECT_EQ(-1, som_scan_next(scan, &region));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, som_scan_next(scan, &region));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(region.end, som_scan_position(scan));
	/* Whoever starts anew is not told of old errors. */
	ASSERT_EQ(0, som_scan_start(scan, self->fd, p, UNIT, &query));
	EXPECT_EQ(1, som_scan_next(scan, &region));
	EXPECT_EQ(1, som_scan_next(scan, &region));
	EXPECT_EQ(0, som_scan_next(scan, &region));
	ASSERT_EQ(0, som_scan_start(scan, self->fd, p + 1, UNIT, &query));
	EXPECT_EQ(-1, som_scan_next(scan, &region));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, som_scan_start(scan, self->fd, p, -1UL, &query));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, som_scan_next(scan, &region));
	query.flags = 1U << 31;
	EXPECT_EQ(-1, som_scan_start(scan, self->fd, p, UNIT, &query));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, som_clean(self->fd, p + 1, UNIT));
	EXPECT_EQ(EINVAL, errno);
	som_scan_free(scan);
	som_scan_free(NULL);
}

/*
 * Reset
 */

TEST_F(lib, reset)
{
	struct som_reset_result result;
	char *p = map_striped(self->fd, 2 * UNIT, 512);

	ASSERT_NE(NULL, p);
	p[UNIT] = 1;
	ASSERT_EQ(0, som_reset(self->fd, p, 2 * UNIT, SOM_KEEP_ALL, &result));
	EXPECT_EQ((uintptr_t)p + 2 * UNIT, result.walk_end);
	EXPECT_EQ(257 * PAGE, result.rewritten);
	EXPECT_EQ(0, result.released);
	EXPECT_EQ((uintptr_t)p + 2 * UNIT, result.released_start);
	EXPECT_EQ(0, p[0]);
	p[0] = 1;
	p[UNIT] = 1;
	/* A page fits, two do not: the second unit goes. */
	ASSERT_EQ(0, som_reset(self->fd, p, 2 * UNIT, PAGE, &result));
	EXPECT_EQ(PAGE, result.rewritten);
	EXPECT_EQ(UNIT, result.released);
	EXPECT_EQ((uintptr_t)p + UNIT, result.released_start);
	EXPECT_EQ(0, p[0]);
	EXPECT_EQ(0, p[UNIT]);
	EXPECT_EQ(0, som_reset(self->fd, p, 2 * UNIT, 0, NULL));
	EXPECT_EQ(-1, som_reset(self->fd, p + 1, UNIT, 0, &result));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ((uintptr_t)p + 1, result.walk_end);
	EXPECT_EQ(0, result.rewritten);
	EXPECT_EQ(-1, som_reset(self->fd, p, -1UL, 0, NULL));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(lib, reset_to_an_image)
{
	static char image[3 * PAGE] __attribute__((aligned(PAGE)));
	int file = memfd_create("image", MFD_CLOEXEC);
	char *p = map_striped(self->fd, UNIT, 8);
	size_t i;

	ASSERT_NE(NULL, p);
	ASSERT_LE(0, file);
	for (i = 0; i < sizeof(image); i++)
		image[i] = i / PAGE + 5;
	ASSERT_EQ(sizeof(image), pwrite(file, image, sizeof(image), 0));
	memset(p, 1, 2 * PAGE);
	ASSERT_EQ(0, som_reset_memory(self->fd, p, 2 * PAGE, SOM_KEEP_ALL,
				      image, NULL));
	EXPECT_EQ(0, memcmp(p, image, 2 * PAGE));
	memset(p, 1, 2 * PAGE);
	ASSERT_EQ(0, som_reset_file(self->fd, p, 4 * PAGE, SOM_KEEP_ALL, file,
				    PAGE, NULL));
	EXPECT_EQ(0, memcmp(p, image + PAGE, 2 * PAGE));
	EXPECT_EQ(-1, som_reset_file(self->fd, p, PAGE, 0, -1, 0, NULL));
	EXPECT_EQ(EBADF, errno);
	close(file);
}

/*
 * Pins
 */

TEST_F(lib, pinnable)
{
	char *p = som_map(self->fd, NULL, 2 * UNIT, RW, 0);
	struct som_info info;
	uint64_t end = 0;

	ASSERT_NE(NULL, p);
	p[0] = 7;
	ASSERT_EQ(0, som_make_page_backed(self->fd, p, 2 * UNIT, &end));
	EXPECT_EQ((uintptr_t)p + 2 * UNIT, end);
	ASSERT_EQ(0, som_read_info(self->fd, &info, sizeof(info)));
	EXPECT_EQ(2, info.units_page_backed);
	EXPECT_EQ(7, p[0]);
	ASSERT_EQ(0, som_make_pool_backed(self->fd, p, 2 * UNIT, NULL));
	ASSERT_EQ(0, som_read_info(self->fd, &info, sizeof(info)));
	EXPECT_EQ(0, info.units_page_backed);
	EXPECT_EQ(7, p[0]);
	EXPECT_EQ(-1, som_make_page_backed(self->fd, p + 1, UNIT, &end));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ((uintptr_t)p + 1, end);
	EXPECT_EQ(-1, som_make_page_backed(self->fd, p, -1UL, NULL));
	EXPECT_EQ(EINVAL, errno);
}

/*
 * The shared library
 */

TEST_F(lib, shared)
{
	static const char * const names[] = {
		"som_open", "som_map", "som_unmap", "som_release",
		"som_read_info", "som_get_map_size", "som_set_map_size",
		"som_get_max_units", "som_set_max_units", "som_get_options",
		"som_set_options", "som_scan_new", "som_scan_free", "som_scan_start",
		"som_scan_next", "som_scan_position", "som_clean", "som_reset",
		"som_reset_memory", "som_reset_file", "som_make_page_backed",
		"som_make_pool_backed",
		"som_pack", "som_claim", "som_parcel_info",
		"som_view", "som_view_maps",
	};
	void *(*map)(int fd, void *hint, size_t len, int prot,
		     unsigned int flags);
	char path[PATH_MAX], *p;
	ssize_t n;
	size_t i;
	void *lib;

	n = readlink("/proc/self/exe", path, sizeof(path) - 16);
	ASSERT_LT(0, n);
	path[n] = 0;
	snprintf(strrchr(path, '/') + 1, 16, "libsom.so.0");
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	ASSERT_NE(NULL, lib)
		TH_LOG("%s", dlerror());
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		EXPECT_NE(NULL, dlvsym(lib, names[i], "LIBSOM_0.1"))
			TH_LOG("%s", names[i]);
	/* What is not in the header is not to be seen. */
	EXPECT_EQ(NULL, dlsym(lib, "find_end"));
	*(void **)&map = dlvsym(lib, "som_map", "LIBSOM_0.1");
	ASSERT_NE(NULL, map);
	p = map(self->fd, NULL, UNIT, RW, 0);
	ASSERT_NE(NULL, p);
	p[0] = 1;
	EXPECT_EQ(0, munmap(p, UNIT));
	dlclose(lib);
}

/* A view of the process itself: every mapping is listed once, two at a time. */
TEST_F(lib, view)
{
	struct som_view_map maps[2];
	int pidfd, view, got, nr = 0;
	uint64_t start = 0;
	char *p[3];
	size_t i;

	for (i = 0; i < 3; i++) {
		p[i] = som_map(self->fd, NULL, UNIT, RW, 0);
		ASSERT_NE(NULL, p[i]);
		*p[i] = 1;
	}
	EXPECT_EQ(-1, som_view(self->fd, self->fd, 0));
	EXPECT_EQ(EBADF, errno);
	pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	ASSERT_LE(0, pidfd);
	view = som_view(self->fd, pidfd, SOM_VIEW_CLOEXEC);
	ASSERT_LE(0, view);
	while ((got = som_view_maps(view, &start, maps, 2)) > 0) {
		nr += got;
		EXPECT_EQ(UNIT, maps[0].resident);
	}
	EXPECT_EQ(0, got);
	EXPECT_EQ(3, nr);
	EXPECT_EQ(-1, som_view_maps(view, &start, maps, 0));
	EXPECT_EQ(EINVAL, errno);
	close(view);
	close(pidfd);
}

TEST_HARNESS_MAIN
