// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_IOC_PAGE_BACKED and SOM_IOC_POOL_BACKED: the content stays, also while others
 * write; every kind of pin works on the one, and keeps a unit from going back;
 * what is pinned outlives mapping and process; and all of it is counted and
 * given back in the end.
 *
 * SOM-TEST: timeout=900 takes=45 kmemleak
 */
#include "som_pins.h"

static const char *(*som_missing)(int fd) = som_no_pinnable;
static bool som_one_process = true;

#define MAX_PINNABLE	"/sys/module/som/parameters/max_page_backed"
#define CGROUP		"/sys/fs/cgroup/"

static long units_page_backed(void)
{
	return som_pool("units_page_backed");
}

static long rss_kb(void)
{
	char line[256];
	long value = -1;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &value) == 1)
			break;
	if (f)
		fclose(f);
	return value;
}

/* As sysfs, the call and fdinfo say. */
static void expect_pinnable(struct __test_metadata *_metadata, int fd, long want)
{
	struct som_info info;

	ASSERT_EQ(0, som_get_info(fd, &info));
	EXPECT_EQ(want, info.units_page_backed);
	EXPECT_EQ(want, som_fdinfo(getpid(), fd, getpid(), "page-backed"));
	EXPECT_EQ(want, units_page_backed());
}

#define EXPECT_PINNABLE(n)	expect_pinnable(_metadata, self->fd, n)

/* A mapping with marks in every word of @units. */
static char *map_filled(int fd, size_t units)
{
	char *p = som_map(fd, units * UNIT);

	if (p != MAP_FAILED)
		som_fill(p, units * UNIT, 1);
	return p;
}

/*
 * What it does
 */

TEST_F(som, there_and_back)
{
	char *p = map_filled(self->fd, 4);
	struct som_info info;
	__u64 walk_end;
	long rss;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_PINNABLE(0);
	rss = rss_kb();
	ASSERT_EQ(0, som_range_call(self->fd, SOM_IOC_PAGE_BACKED, p, 3 * UNIT,
				    &walk_end));
	EXPECT_EQ(som_addr(p + 3 * UNIT), walk_end);
	EXPECT_PINNABLE(3);
	EXPECT_COMMITTED(4);
	EXPECT_EQ(-1, som_check(p, 4 * UNIT, 1));
	EXPECT_LE(rss + 3 * 2048 - 256, rss_kb());
	ASSERT_EQ(0, som_get_info(self->fd, &info));
	EXPECT_EQ(1, info.units_2m);
	som_fill(p, 4 * UNIT, 2);
	EXPECT_EQ(-1, som_check(p, 4 * UNIT, 2));
	ASSERT_EQ(0, som_range_call(self->fd, SOM_IOC_POOL_BACKED, p, 4 * UNIT,
				    &walk_end));
	EXPECT_EQ(som_addr(p + 4 * UNIT), walk_end);
	EXPECT_PINNABLE(0);
	EXPECT_COMMITTED(4);
	EXPECT_EQ(-1, som_check(p, 4 * UNIT, 2));
	EXPECT_USED(4);
	EXPECT_GE(rss + 1024, rss_kb());
	som_fill(p, 4 * UNIT, 3);
	EXPECT_EQ(-1, som_check(p, 4 * UNIT, 3));
	ASSERT_EQ(0, munmap(p, 4 * UNIT));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

TEST_F(som, units_without_memory_get_some)
{
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_page_backed(self->fd, p, 2 * UNIT));
	EXPECT_PINNABLE(2);
	EXPECT_COMMITTED(3);
	EXPECT_EQ(-1, som_not_zero(p, 3 * UNIT));
	som_fill(p, 3 * UNIT, 1);
	ASSERT_EQ(0, som_pool_backed(self->fd, p, 3 * UNIT));
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	EXPECT_USED(3);
}

/* Ordinary memory of the kernel's is never seen as somebody left it. */
TEST_F(som, it_is_zeroed)
{
	size_t len = (som_in_part() ? 16 : 64) * UNIT;
	char *dirt = mmap(NULL, len, RW, MAP_PRIVATE | MAP_ANONYMOUS |
			  MAP_POPULATE, -1, 0), *p;

	ASSERT_NE(MAP_FAILED, dirt);
	som_fill(dirt, len, 9);
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(dirt, len));
	ASSERT_EQ(0, som_page_backed(self->fd, p, len));
	EXPECT_EQ(-1, som_not_zero(p, len));
	/* And a unit of the pool is not seen as its last owner left it. */
	som_fill(p, len, 8);
	ASSERT_EQ(0, som_pool_backed(self->fd, p, len));
	EXPECT_EQ(-1, som_check(p, len, 8));
	ASSERT_EQ(0, som_page_backed(self->fd, p, len));
	ASSERT_EQ(0, munmap(p, len));
	p = som_map(self->fd, self->before.free * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_pages_not_zero(p, self->before.free * UNIT));
}

TEST_F(som, it_works_by_unit)
{
	static const struct {
		size_t from, len;
		long units;
	} cases[] = {
		{ 0, 0, 0 }, { 5 * PAGE, 0, 0 }, { 0, 1, 1 }, { 0, PAGE, 1 },
		{ UNIT - PAGE, PAGE, 1 }, { UNIT - PAGE, PAGE + 1, 2 },
		{ 3 * PAGE, UNIT, 2 }, { 0, 2 * UNIT, 2 },
		{ UNIT - PAGE, UNIT + 2 * PAGE, 3 },
	};
	struct som_range range;
	size_t i;
	char *p;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		p = map_filled(self->fd, 3);
		ASSERT_NE(MAP_FAILED, p);
		range = (struct som_range) {
			.size = sizeof(range),
			.start = som_addr(p + cases[i].from),
			.end = som_addr(p + cases[i].from + cases[i].len),
		};
		ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_PAGE_BACKED, &range));
		EXPECT_LE(range.end, range.walk_end);
		EXPECT_GT(range.end + PAGE, range.walk_end);
		EXPECT_EQ(cases[i].units, units_page_backed())
			TH_LOG("case %zu", i);
		EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
		ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_POOL_BACKED, &range));
		EXPECT_EQ(0, units_page_backed());
		EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
		ASSERT_EQ(0, munmap(p, 3 * UNIT));
	}
}

TEST_F(som, again_is_nothing)
{
	char *p = map_filled(self->fd, 2);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_pool_backed(self->fd, p, 2 * UNIT));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, som_page_backed(self->fd, p, (1 + i % 2) * UNIT));
		EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	}
	EXPECT_PINNABLE(2);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, som_pool_backed(self->fd, p, 2 * UNIT));
		EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	}
	EXPECT_PINNABLE(0);
}

TEST_F(som, what_is_not_som_is_skipped)
{
	char *room = som_room(6 * UNIT, UNIT), *p, *q, *anon;
	__u64 walk_end;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room + UNIT, UNIT, RW, MAP_FIXED);
	anon = mmap(room + 2 * UNIT, UNIT, RW, MAP_PRIVATE | MAP_ANONYMOUS |
		    MAP_FIXED, -1, 0);
	q = som_map_at(self->fd, room + 4 * UNIT + 5 * PAGE, UNIT, RW, MAP_FIXED);
	ASSERT_EQ(room + UNIT, p);
	ASSERT_NE(MAP_FAILED, anon);
	ASSERT_EQ(room + 4 * UNIT + 5 * PAGE, q);
	ASSERT_EQ(0, munmap(room + 3 * UNIT, UNIT));
	som_fill(p, UNIT, 1);
	som_fill(anon, UNIT, 2);
	som_fill(q, UNIT, 3);
	ASSERT_EQ(0, som_range_call(self->fd, SOM_IOC_PAGE_BACKED, room, 6 * UNIT,
				    &walk_end));
	EXPECT_EQ(som_addr(room + 6 * UNIT), walk_end);
	EXPECT_PINNABLE(3);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_check(anon, UNIT, 2));
	EXPECT_EQ(-1, som_check(q, UNIT, 3));
	ASSERT_EQ(0, som_pool_backed(self->fd, room, 6 * UNIT));
	EXPECT_PINNABLE(0);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_check(q, UNIT, 3));
	/* Nothing at all. */
	ASSERT_EQ(0, som_page_backed(self->fd, room + 3 * UNIT, UNIT));
	EXPECT_PINNABLE(0);
}

/* However the unit is mapped. */
TEST_F(som, all_shapes)
{
	char *p, *q, *room = som_room(2 * UNIT, UNIT);
	int i;

	ASSERT_NE(MAP_FAILED, room);
	/* A guard page, read-only pages, 4K entries. */
	p = map_filled(self->fd, 1);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + 7 * PAGE, PAGE, PROT_NONE));
	ASSERT_EQ(0, mprotect(p + 100 * PAGE, 9 * PAGE, PROT_READ));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, som_page_backed(self->fd, p, UNIT));
		EXPECT_EQ(SIGSEGV, som_read_signal(p + 7 * PAGE));
		EXPECT_EQ(SIGSEGV, som_try_write(p + 100 * PAGE, 0));
		EXPECT_EQ(0, som_try_write(p + 99 * PAGE,
					   som_word(1, 99 * PAGE)));
		ASSERT_EQ(0, som_pool_backed(self->fd, p, UNIT));
		EXPECT_EQ(SIGSEGV, som_read_signal(p + 7 * PAGE));
		EXPECT_EQ(SIGSEGV, som_try_write(p + 100 * PAGE, 0));
	}
	ASSERT_EQ(0, mprotect(p, UNIT, RW));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	/* All of it without access. */
	ASSERT_EQ(0, mprotect(p, UNIT, PROT_NONE));
	ASSERT_EQ(0, som_page_backed(self->fd, p, UNIT));
	EXPECT_EQ(SIGSEGV, som_read_signal(p));
	ASSERT_EQ(0, mprotect(p, UNIT, RW));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	/* mprotect while it is pinnable. */
	ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(SIGSEGV, som_try_write(p + PAGE, 0));
	ASSERT_EQ(0, mprotect(p + PAGE, PAGE, RW));
	EXPECT_EQ(0, som_try_write(p + PAGE, som_word(1, PAGE)));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_PINNABLE(1);
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_PINNABLE(0);
	/* Two views. */
	if (som_no_second_view())
		return;
	p = map_filled(self->fd, 1);
	q = mremap(p, 0, UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	ASSERT_EQ(0, som_page_backed(self->fd, q, UNIT));
	som_fill(p, UNIT, 2);
	EXPECT_EQ(-1, som_check(q, UNIT, 2));
	som_fill(q, UNIT, 3);
	EXPECT_EQ(-1, som_check(p, UNIT, 3));
	EXPECT_PINNABLE(1);
	ASSERT_EQ(0, som_pool_backed(self->fd, p, UNIT));
	som_fill(q, UNIT, 4);
	EXPECT_EQ(-1, som_check(p, UNIT, 4));
	ASSERT_EQ(0, som_page_backed(self->fd, p, UNIT));
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(-1, som_check(q, UNIT, 4));
	EXPECT_PINNABLE(1);
	ASSERT_EQ(0, munmap(q, UNIT));
	EXPECT_PINNABLE(0);
}

/*
 * Taking it away and moving it about
 */

TEST_F(som, munmap_and_exit)
{
	char *p = map_filled(self->fd, 4);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_page_backed(self->fd, p, 4 * UNIT));
	ASSERT_EQ(0, munmap(p + UNIT, UNIT));
	EXPECT_PINNABLE(3);
	EXPECT_COMMITTED(3);
	ASSERT_EQ(0, munmap(p + 2 * UNIT + 5 * PAGE, PAGE));
	EXPECT_PINNABLE(3);
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 2 * UNIT + 5 * PAGE));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(som_word(1, 2 * UNIT), *(__u64 *)(p + 2 * UNIT));
	/* The last parts of a unit. */
	ASSERT_EQ(0, munmap(p + 2 * UNIT, 5 * PAGE));
	EXPECT_PINNABLE(3);
	ASSERT_EQ(0, munmap(p + 2 * UNIT + 6 * PAGE, UNIT - 6 * PAGE));
	EXPECT_PINNABLE(2);
	pid = fork();
	if (!pid) {
		char *q = map_filled(self->fd, 3);

		child_assert(!som_page_backed(self->fd, q, 3 * UNIT));
		child_assert(units_page_backed() == 5);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(2, som_wait_number(units_page_backed, 2));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
}

TEST_F(som, mremap_of_it)
{
	static const size_t shifts[] = { 0, PAGE, 300 * PAGE };
	char *p, *q, *room;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shifts); i++) {
		p = map_filled(self->fd, 3);
		room = som_room(4 * UNIT, UNIT);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_NE(MAP_FAILED, room);
		ASSERT_EQ(0, som_page_backed(self->fd, p, 2 * UNIT));
		q = room + shifts[i];
		ASSERT_EQ(q, mremap(p, 3 * UNIT, 3 * UNIT, MREMAP_MAYMOVE |
				    MREMAP_FIXED, q));
		EXPECT_PINNABLE(2);
		EXPECT_EQ(-1, som_check(q, 3 * UNIT, 1));
		ASSERT_EQ(p + 5 * PAGE, mremap(q + 7 * PAGE, PAGE, PAGE,
					       MREMAP_MAYMOVE | MREMAP_FIXED,
					       p + 5 * PAGE));
		EXPECT_EQ(som_word(1, 7 * PAGE), *(__u64 *)(p + 5 * PAGE));
		ASSERT_EQ(0, som_pool_backed(self->fd, p + 5 * PAGE, PAGE));
		EXPECT_PINNABLE(1);
		EXPECT_EQ(som_word(1, 7 * PAGE), *(__u64 *)(p + 5 * PAGE));
		EXPECT_EQ(som_word(1, 8 * PAGE), *(__u64 *)(q + 8 * PAGE));
		ASSERT_EQ(q, mremap(q + UNIT, 2 * UNIT, UNIT, MREMAP_MAYMOVE |
				    MREMAP_FIXED, q));
		EXPECT_EQ(som_word(1, UNIT), *(__u64 *)q);
		EXPECT_EQ(som_word(1, 2 * UNIT - PAGE),
			  *(__u64 *)(q + UNIT - PAGE));
		ASSERT_EQ(0, munmap(p + 5 * PAGE, PAGE));
		ASSERT_EQ(0, munmap(q, UNIT));
		munmap(room, 4 * UNIT);
		EXPECT_PINNABLE(0);
		EXPECT_USED(0);
		EXPECT_COMMITTED(0);
	}
}

TEST_F(som, remove_and_dontneed)
{
	char *p = map_filled(self->fd, 3);
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_page_backed(self->fd, p, 3 * UNIT));
	ASSERT_EQ(0, madvise(p, 3 * UNIT, MADV_DONTNEED));
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	EXPECT_PINNABLE(3);
	ASSERT_EQ(0, madvise(p + 9 * PAGE, 3 * PAGE, MADV_REMOVE));
	EXPECT_EQ(-1, som_not_zero(p + 9 * PAGE, 3 * PAGE));
	EXPECT_EQ(-1, som_check(p, 9 * PAGE, 1));
	for (i = 12 * PAGE; i < 3 * UNIT; i += 8)
		if (*(__u64 *)(p + i) != som_word(1, i))
			break;
	EXPECT_EQ(3 * UNIT, i);
	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_REMOVE));
	EXPECT_COMMITTED(3);
	EXPECT_EQ(-1, som_not_zero(p + UNIT, UNIT));
	som_fill(p, 3 * UNIT, 2);
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 2));
	ASSERT_EQ(0, madvise(p, 3 * UNIT, MADV_REMOVE));
	EXPECT_EQ(-1, som_not_zero(p, 3 * UNIT));
	EXPECT_COMMITTED(3);
}

TEST_F(som, private_memory)
{
	const char *missing = som_no_private(self->fd);
	char *p;

	if (missing)
		SKIP(return, "%s", missing);
	p = som_map_private(self->fd, 3 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	ASSERT_EQ(0, som_page_backed(self->fd, p, 2 * UNIT));
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	ASSERT_EQ(0, madvise(p + 9 * PAGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(-1, som_not_zero(p + 9 * PAGE, PAGE));
	EXPECT_EQ(-1, som_check(p, 9 * PAGE, 1));
	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_DONTNEED));
	EXPECT_EQ(-1, som_not_zero(p + UNIT, UNIT));
	EXPECT_EQ(som_word(1, UNIT - PAGE), *(__u64 *)(p + UNIT - PAGE));
	EXPECT_EQ(som_word(1, 2 * UNIT), *(__u64 *)(p + 2 * UNIT));
	ASSERT_EQ(0, som_pool_backed(self->fd, p, 3 * UNIT));
	EXPECT_EQ(-1, som_not_zero(p + 9 * PAGE, PAGE));
	EXPECT_EQ(-1, som_check(p, 9 * PAGE, 1));
	EXPECT_EQ(-1, som_not_zero(p + UNIT, UNIT));
}

TEST_F(som, fork_with_it)
{
	char *p = map_filled(self->fd, 2);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_page_backed(self->fd, p, 2 * UNIT));
	for (i = 0; i < 2; i++) {
		pid_t pid;

		if (i)
			madvise(p, 2 * UNIT, MADV_DOFORK);
		pid = fork();
		if (!pid) {
			som_catch_faults();
			child_assert(som_read_signal(p) == SIGSEGV);
			child_assert(som_try_write(p + UNIT, 1) == SIGSEGV);
			/* What is the parent's is skipped. */
			child_assert(!som_page_backed(self->fd, p, 2 * UNIT));
			child_assert(!som_pool_backed(self->fd, p, 2 * UNIT));
			_exit(0);
		}
		EXPECT_EQ(0, som_wait_child(pid));
		EXPECT_PINNABLE(2);
		EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	}
}

TEST_F(som, a_gib)
{
	char *p;

	if (som_set_policy(self->fd, CHUNK))
		SKIP(return, "this som.ko does not have SOM_IOC_SET_POLICY");
	p = som_map(self->fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, CHUNK, 1);
	ASSERT_EQ(0, som_page_backed(self->fd, p + 9 * UNIT, 3 * UNIT));
	EXPECT_PINNABLE(3);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	EXPECT_COMMITTED(CHUNK_UNITS);
	ASSERT_EQ(0, som_pool_backed(self->fd, p, CHUNK));
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	EXPECT_PINNABLE(0);
	EXPECT_USED(CHUNK_UNITS);
}

TEST_F(som, debuggers_and_proc)
{
	char *p = map_filled(self->fd, 1), *buf = malloc(UNIT), text[4096];
	static const char * const names[] = {
		"/proc/self/smaps", "/proc/self/numa_maps", "/proc/self/maps",
	};
	__u64 value = 0x1111;
	size_t i;
	int fd;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(NULL, buf);
	ASSERT_EQ(0, som_page_backed(self->fd, p, UNIT));
	ASSERT_EQ(0, mprotect(p + 9 * PAGE, PAGE, PROT_NONE));
	fd = open("/proc/self/mem", O_RDWR);
	ASSERT_LE(0, fd);
	for (i = 0; i < UNIT; i += 16 * PAGE)
		ASSERT_EQ(16 * PAGE, pread(fd, buf + i, 16 * PAGE,
					   som_addr(p + i)));
	EXPECT_EQ(-1, som_check(buf, UNIT, 1));
	ASSERT_EQ(8, pwrite(fd, &value, 8, som_addr(p + 8 * PAGE)));
	EXPECT_EQ(0x1111, *(__u64 *)(p + 8 * PAGE));
	*(__u64 *)(p + 8 * PAGE) = som_word(1, 8 * PAGE);
	close(fd);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		fd = open(names[i], O_RDONLY);
		while (fd >= 0 && read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
	}
	for (i = 1; i <= 5; i++) {
		char number[2] = { '0' + i, 0 };

		som_write_string("/proc/self/clear_refs", number);
	}
	madvise(p, UNIT, 20 /* MADV_COLD */);
	madvise(p, UNIT, 21 /* MADV_PAGEOUT */);
	som_write_string("/proc/sys/vm/drop_caches", "3");
	som_write_string("/proc/sys/vm/compact_memory", "1");
	ASSERT_EQ(0, mprotect(p, UNIT, RW));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_PINNABLE(1);
	free(buf);
}

/*
 * Scans and resets
 */

TEST_F(som, always_reported_as_written)
{
	char *p = map_filled(self->fd, 3);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
	ASSERT_EQ(0, som_page_backed(self->fd, p + UNIT, UNIT));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, p + UNIT, UNIT,
						     WRITTEN | PRESENT));
		EXPECT_EQ(0, som_scan_count(self->fd, p, UNIT, WRITTEN));
		EXPECT_EQ(0, som_scan_count(self->fd, p + 2 * UNIT, UNIT,
					    WRITTEN));
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
	}
	p[UNIT + 5 * PAGE] = 1;
	/* Back in the pool, it is told once more, and then by what is written. */
	ASSERT_EQ(0, som_pool_backed(self->fd, p, 3 * UNIT));
	EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, p + UNIT, UNIT,
					     WRITTEN));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
	p[UNIT + 7 * PAGE] = 1;
	EXPECT_EQ(1, som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
	EXPECT_NE(0, som_scan_page(self->fd, p + UNIT + 7 * PAGE, WRITTEN));
}

/* It is the memory that is there now that is looked at. */
TEST_F(som, zero_category)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	ASSERT_EQ(0, som_page_backed(self->fd, p, UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, ZERO));
	memset(p, 0, 10 * PAGE);
	EXPECT_EQ(10, som_scan_count(self->fd, p, 2 * UNIT, ZERO));
	ASSERT_EQ(0, som_pool_backed(self->fd, p, UNIT));
	EXPECT_EQ(10, som_scan_count(self->fd, p, 2 * UNIT, ZERO));
	memset(p, 0, UNIT);
	EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, p, 2 * UNIT, ZERO));
	ASSERT_EQ(0, som_page_backed(self->fd, p, UNIT));
	EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, p, 2 * UNIT, ZERO));
	p[0] = 1;
	EXPECT_EQ(UNIT_PAGES - 1, som_scan_count(self->fd, p, 2 * UNIT, ZERO));
}

TEST_F(som, reset_of_it)
{
	static const __u64 keeps[] = { ~0ULL, 0, UNIT };
	struct som_reset reset;
	size_t i;
	char *p;

	for (i = 0; i < ARRAY_SIZE(keeps); i++) {
		p = map_filled(self->fd, 3);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(0, som_page_backed(self->fd, p + UNIT, UNIT));
		reset = som_reset_args(p, 3 * UNIT);
		reset.keep_resident = keeps[i];
		ASSERT_EQ(0, som_reset_call(self->fd, &reset));
		EXPECT_EQ(reset.end, reset.walk_end);
		EXPECT_EQ(-1, som_not_zero(p, 3 * UNIT));
		som_fill(p, 3 * UNIT, 2);
		EXPECT_EQ(-1, som_check(p, 3 * UNIT, 2));
		EXPECT_COMMITTED(3);
		ASSERT_EQ(0, munmap(p, 3 * UNIT));
		EXPECT_PINNABLE(0);
		EXPECT_USED(0);
	}
}

/*
 * Pins. @p is a unit with a guard page inside, so that 4 KiB entries map it.
 */

static char *map_guarded(int fd)
{
	char *p = map_filled(fd, 1);

	if (p != MAP_FAILED &&
	    (mprotect(p + 7 * PAGE, PAGE, PROT_NONE) ||
	     som_read_signal(p + AT)))
		return MAP_FAILED;
	return p;
}

/*
 * UNPINNABLE as soon as nobody has a pin any more: the kernel's workers let go of what
 * a socket or a ring had.
 */
static int unpinnable_soon(int fd, char *p, size_t len)
{
	double end = som_now() + SOM_WAIT_SECONDS;
	int ret;

	while ((ret = som_pool_backed(fd, p, len)) == -EBUSY && som_now() < end)
		usleep(10000);
	return ret;
}

static void expect_pin(struct __test_metadata *_metadata, int fd,
		       int (*try)(char *p))
{
	char *p = map_guarded(fd);
	int ret;

	ASSERT_NE(MAP_FAILED, p);
	ret = try(p);
	if (ret == -ENODEV)
		SKIP(return, "this kernel or machine does not have it");
	/* The kernel says the one or the other where there is no page. */
	EXPECT_TRUE(ret == -EFAULT || ret == -EEXIST)
		TH_LOG("without PINNABLE: %d", ret);
	ASSERT_EQ(0, som_page_backed(fd, p, UNIT));
	EXPECT_EQ(0, try(p));
	EXPECT_EQ(0, try(p));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 7 * PAGE));
	ASSERT_EQ(0, mprotect(p, UNIT, RW));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(0, try(p));
	/* Whoever pins by the network lets go when he has been told. */
	EXPECT_EQ(0, unpinnable_soon(fd, p, UNIT));
	EXPECT_EQ(0, units_page_backed());
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
}

TEST_F(som, pin_by_vmsplice)
{
	expect_pin(_metadata, self->fd, try_vmsplice);
}

TEST_F(som, pin_by_process_vm)
{
	expect_pin(_metadata, self->fd, try_process_vm);
}

TEST_F(som, pin_by_zerocopy)
{
	expect_pin(_metadata, self->fd, try_zerocopy);
}

TEST_F(som, pin_by_direct_io)
{
	expect_pin(_metadata, self->fd, try_direct);
}

TEST_F(som, pin_by_io_uring)
{
	expect_pin(_metadata, self->fd, try_uring);
}

TEST_F(som, a_registered_buffer_stays)
{
	char *p = map_filled(self->fd, 3);
	struct uring u;
	__u64 walk_end;
	int file;

	ASSERT_NE(MAP_FAILED, p);
	if (uring_open(&u))
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, som_page_backed(self->fd, p, 3 * UNIT));
	ASSERT_EQ(0, uring_register(&u, p + UNIT + AT, 2 * PAGE));
	EXPECT_EQ(-EBUSY, som_range_call(self->fd, SOM_IOC_POOL_BACKED, p,
					 3 * UNIT, &walk_end));
	EXPECT_EQ(som_addr(p + UNIT), walk_end);
	EXPECT_PINNABLE(2);
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	/* The buffer and the program still see the same bytes. */
	file = memfd_create("som", 0);
	*(__u64 *)(p + UNIT + AT) = 0x4321;
	ASSERT_EQ(8, uring_fixed(&u, IORING_OP_WRITE_FIXED, file,
				 p + UNIT + AT, 8));
	*(__u64 *)(p + UNIT + AT) = 0;
	lseek(file, 0, SEEK_SET);
	ASSERT_EQ(8, uring_fixed(&u, IORING_OP_READ_FIXED, file,
				 p + UNIT + AT, 8));
	EXPECT_EQ(0x4321, *(__u64 *)(p + UNIT + AT));
	*(__u64 *)(p + UNIT + AT) = som_word(1, UNIT + AT);
	ASSERT_EQ(0, uring_unregister(&u));
	/* io_uring lets go of it when nothing can use it any more. */
	EXPECT_EQ(0, unpinnable_soon(self->fd, p, 3 * UNIT));
	EXPECT_PINNABLE(0);
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	close(file);
	uring_close(&u);
}

TEST_F(som, pages_in_a_pipe_stay)
{
	char *p = map_filled(self->fd, 1);
	struct iovec iov = { p + AT, PAGE };
	char buf[PAGE];
	int fds[2];

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, som_page_backed(self->fd, p, UNIT));
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	EXPECT_EQ(-EBUSY, som_pool_backed(self->fd, p, UNIT));
	EXPECT_EQ(-EBUSY, som_pool_backed(self->fd, p + 300 * PAGE, PAGE));
	EXPECT_PINNABLE(1);
	*(__u64 *)(p + AT + 8) = 0x77;
	ASSERT_EQ(PAGE, read(fds[0], buf, PAGE));
	EXPECT_EQ(som_word(1, AT), *(__u64 *)buf);
	EXPECT_EQ(0x77, *(__u64 *)(buf + 8));
	EXPECT_EQ(0, som_pool_backed(self->fd, p, UNIT));
	EXPECT_PINNABLE(0);
	EXPECT_EQ(0x77, *(__u64 *)(p + AT + 8));
	*(__u64 *)(p + AT + 8) = som_word(1, AT + 8);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
}

/* A pin on memory of the pool's keeps its chunk from being copied. */
TEST_F(som, a_pin_from_before)
{
	char *p = map_filled(self->fd, 2), buf[PAGE];
	struct iovec iov = { p + UNIT + AT, PAGE };
	__u64 walk_end;
	int fds[2];

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	EXPECT_EQ(-EBUSY, som_range_call(self->fd, SOM_IOC_PAGE_BACKED, p + UNIT,
					 UNIT, &walk_end));
	EXPECT_EQ(som_addr(p + UNIT), walk_end);
	EXPECT_PINNABLE(0);
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	*(__u64 *)(p + UNIT + AT + 8) = 0x78;
	ASSERT_EQ(PAGE, read(fds[0], buf, PAGE));
	EXPECT_EQ(0x78, *(__u64 *)(buf + 8));
	*(__u64 *)(p + UNIT + AT + 8) = som_word(1, UNIT + AT + 8);
	EXPECT_EQ(0, som_page_backed(self->fd, p + UNIT, UNIT));
	EXPECT_PINNABLE(1);
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
}

/* @how: 0 munmap, 1 exit, 2 MADV_REMOVE, 3 SIGKILL */
static void pin_that_outlives(struct __test_metadata *_metadata, int fd, int how)
{
	int fds[2], *flag = som_shared(PAGE);
	size_t len = 64 * UNIT;
	char buf[2 * PAGE], *p;
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	*flag = 0;
	pid = fork();
	if (!pid) {
		char *q = map_filled(fd, 2);
		struct iovec iov = { q + AT, 2 * PAGE };

		child_assert(!som_page_backed(fd, q, 2 * UNIT));
		child_assert(vmsplice(fds[1], &iov, 1, 0) == 2 * PAGE);
		if (how == 0)
			child_assert(!munmap(q, 2 * UNIT));
		if (how == 2) {
			child_assert(!madvise(q, 2 * UNIT, MADV_REMOVE));
			child_assert(som_not_zero(q, 2 * UNIT) == -1);
			som_fill(q, 2 * UNIT, 5);
			child_assert(som_check(q, 2 * UNIT, 5) == -1);
		}
		WRITE_ONCE(*flag, 1);
		while (how == 3)
			pause();
		_exit(0);
	}
	ASSERT_TRUE(som_wait_flag(flag, 1));
	if (how == 3)
		kill(pid, SIGKILL);
	EXPECT_EQ(how == 3 ? -SIGKILL : 0, som_wait_child(pid));
	/* Others use memory, of both kinds. */
	p = som_map(fd, len);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, len, 7);
	ASSERT_EQ(0, som_page_backed(fd, p, 32 * UNIT));
	som_fill(p, 32 * UNIT, 7);
	ASSERT_EQ(2 * PAGE, read(fds[0], buf, 2 * PAGE));
	EXPECT_EQ(som_word(1, AT), *(__u64 *)buf);
	EXPECT_EQ(som_word(1, AT + 2 * PAGE - 8),
		  *(__u64 *)(buf + 2 * PAGE - 8));
	EXPECT_EQ(-1, som_check(p, 32 * UNIT, 7));
	ASSERT_EQ(0, munmap(p, len));
	close(fds[0]);
	close(fds[1]);
	EXPECT_EQ(0, som_wait_number(units_page_backed, 0));
	EXPECT_EQ(0, som_wait_number(som_used, 0));
}

TEST_F(som, a_pin_outlives_munmap)
{
	pin_that_outlives(_metadata, self->fd, 0);
}

TEST_F(som, a_pin_outlives_the_process)
{
	pin_that_outlives(_metadata, self->fd, 1);
}

TEST_F(som, a_pin_outlives_remove)
{
	pin_that_outlives(_metadata, self->fd, 2);
}

TEST_F(som, a_pin_outlives_sigkill)
{
	pin_that_outlives(_metadata, self->fd, 3);
}

/*
 * Limits and errors
 */

TEST_F(som, max_page_backed)
{
	char *p = map_filled(self->fd, 5);
	long old = som_read_number(MAX_PINNABLE);
	__u64 walk_end;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(512, old);
	ASSERT_EQ(0, som_write_string(MAX_PINNABLE, "2"));
	ASSERT_EQ(0, som_write_string(MAX_PINNABLE "_user", "2"));
	EXPECT_EQ(-ENOMEM, som_range_call(self->fd, SOM_IOC_PAGE_BACKED, p + UNIT,
					  3 * UNIT, &walk_end));
	EXPECT_EQ(som_addr(p + 3 * UNIT), walk_end);
	EXPECT_PINNABLE(2);
	EXPECT_EQ(-1, som_check(p, 5 * UNIT, 1));
	EXPECT_EQ(-ENOMEM, som_page_backed(self->fd, p, PAGE));
	/* Those that are pinnable do not count again. */
	EXPECT_EQ(0, som_page_backed(self->fd, p + UNIT, 2 * UNIT));
	/* It is for all processes together. */
	pid = fork();
	if (!pid) {
		char *q = map_filled(self->fd, 1);

		child_assert(som_page_backed(self->fd, q, UNIT) == -ENOMEM);
		child_assert(som_check(q, UNIT, 1) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(0, som_pool_backed(self->fd, p + UNIT, UNIT));
	EXPECT_EQ(0, som_page_backed(self->fd, p, UNIT));
	EXPECT_PINNABLE(2);
	ASSERT_EQ(0, som_write_string(MAX_PINNABLE, "0"));
	EXPECT_EQ(-ENOMEM, som_page_backed(self->fd, p + 4 * UNIT, UNIT));
	EXPECT_EQ(-1, som_check(p, 5 * UNIT, 1));
	/* Less than there are: they stay, and go when they go. */
	EXPECT_PINNABLE(2);
	ASSERT_EQ(0, munmap(p, 5 * UNIT));
	EXPECT_PINNABLE(0);
	ASSERT_EQ(0, som_write_string(MAX_PINNABLE, "512"));
	ASSERT_EQ(0, som_write_string(MAX_PINNABLE "_user", "0"));
	/* The count went down as it went up. */
	p = som_map(self->fd, 8 * UNIT);
	EXPECT_EQ(0, som_page_backed(self->fd, p, 8 * UNIT));
}

TEST_F(som, no_room_for_a_unit_without_memory)
{
	char *held = som_map(self->fd, self->before.free * UNIT), *p;
	__u64 walk_end;

	ASSERT_NE(MAP_FAILED, held);
	p = som_map_at(self->fd, NULL, 2 * UNIT, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-ENOSPC, som_range_call(self->fd, SOM_IOC_PAGE_BACKED, p,
					  2 * UNIT, &walk_end));
	EXPECT_EQ(som_addr(p), walk_end);
	EXPECT_PINNABLE(0);
	ASSERT_EQ(0, munmap(held, UNIT));
	EXPECT_EQ(-ENOSPC, som_range_call(self->fd, SOM_IOC_PAGE_BACKED, p,
					  2 * UNIT, &walk_end));
	EXPECT_EQ(som_addr(p + UNIT), walk_end);
	EXPECT_PINNABLE(1);
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(SIGBUS, som_read_signal(p + UNIT));
}

/* Its place is kept, so there is a way back, whoever wants to have units. */
TEST_F(som, the_way_back_is_free)
{
	char *p = map_filled(self->fd, 4), *q;
	size_t len = self->before.free * UNIT, at;
	int chunks;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_page_backed(self->fd, p, 4 * UNIT));
	EXPECT_COMMITTED(4);
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, len - 3 * UNIT));
	q = som_map_at(self->fd, NULL, len, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, q);
	for (at = 0; at < len; at += UNIT)
		if (som_try_write(q + at, at))
			break;
	EXPECT_EQ(len - 4 * UNIT, at);
	/* The pool cannot shrink below what is promised either. */
	chunks = som_set_chunks(0);
	EXPECT_GT(0, chunks);
	ASSERT_EQ(0, som_pool_backed(self->fd, p, 4 * UNIT));
	EXPECT_EQ(-1, som_check(p, 4 * UNIT, 1));
	for (at = 0; at < len - 4 * UNIT; at += UNIT)
		ASSERT_EQ(at, *(__u64 *)(q + at));
}

TEST_F(som, wrong_arguments)
{
	char *p = map_filled(self->fd, 1);
	char *mem = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long calls[] = { SOM_IOC_PAGE_BACKED, SOM_IOC_POOL_BACKED };
	struct som_range *range = (struct som_range *)mem, good;
	static const struct {
		const char *name;
		int error;
		__u32 size, flags;
		/* Added to start and end. */
		__u64 start, end;
	} cases[] = {
		{ "size 0", EINVAL, 0 },
		{ "size 31", EINVAL, 31 },
		{ "size of a page and one", E2BIG, PAGE + 1 },
		{ "flag 1", EINVAL, 32, 1 },
		{ "flag 1 << 31", EINVAL, 32, 1U << 31 },
		{ "start not aligned", EINVAL, 32, 0, 1 },
		{ "start at half a page", EINVAL, 32, 0, 2048 },
		{ "end below start", EINVAL, 32, 0, 4 * UNIT, 0 },
		{ "end in the kernel", EFAULT, 32, 0, 0, 1ULL << 63 },
		{ "end at the very end", EFAULT, 32, 0, 0, ~0ULL << 48 },
	};
	size_t i, j;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, mem);
	good = (struct som_range) {
		.size = sizeof(good), .start = som_addr(p),
		.end = som_addr(p + UNIT),
	};
	ASSERT_EQ(32, sizeof(good));
	for (j = 0; j < ARRAY_SIZE(calls); j++) {
		for (i = 0; i < ARRAY_SIZE(cases); i++) {
			*range = good;
			range->size = cases[i].size;
			range->flags = cases[i].flags;
			range->start += cases[i].start;
			range->end += cases[i].end;
			errno = 0;
			EXPECT_EQ(-1, ioctl(self->fd, calls[j], range));
			EXPECT_EQ(cases[i].error, errno)
				TH_LOG("%s", cases[i].name);
		}
		*range = good;
		range->size = 100;
		mem[99] = 1;
		EXPECT_EQ(-1, ioctl(self->fd, calls[j], range));
		EXPECT_EQ(E2BIG, errno);
		mem[99] = 0;
		EXPECT_EQ(-1, ioctl(self->fd, calls[j], NULL));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, ioctl(self->fd, calls[j], ~(~0UL >> 1)));
		EXPECT_EQ(EFAULT, errno);
		/* The structure cannot be written. */
		*range = good;
		ASSERT_EQ(0, mprotect(mem, PAGE, PROT_READ));
		EXPECT_EQ(-1, ioctl(self->fd, calls[j], range));
		EXPECT_EQ(EFAULT, errno);
		ASSERT_EQ(0, mprotect(mem, PAGE, RW));
		EXPECT_EQ(-1, som_check(p, UNIT, 1));
		ASSERT_EQ(0, som_pool_backed(self->fd, p, UNIT));
		EXPECT_PINNABLE(0);
	}
	/* Longer, with zeroes. */
	*range = good;
	range->size = 100;
	EXPECT_EQ(0, ioctl(self->fd, SOM_IOC_PAGE_BACKED, range));
	EXPECT_EQ(good.end, range->walk_end);
	EXPECT_PINNABLE(1);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
}

static long cgroup_current(void)
{
	return som_read_number(CGROUP "som_page_backed/memory.current");
}

TEST_F(som, charged_to_the_cgroup)
{
	char pid[32];
	long before;
	char *p;

	som_write_string(CGROUP "cgroup.subtree_control", "+memory");
	mkdir(CGROUP "som_page_backed", 0755);
	if (cgroup_current() < 0) {
		rmdir(CGROUP "som_page_backed");
		SKIP(return, "no memory controller");
	}
	snprintf(pid, sizeof(pid), "%d", getpid());
	ASSERT_EQ(0, som_write_string(CGROUP "som_page_backed/cgroup.procs", pid));
	p = map_filled(self->fd, 8);
	ASSERT_NE(MAP_FAILED, p);
	before = cgroup_current();
	ASSERT_EQ(0, som_page_backed(self->fd, p, 8 * UNIT));
	/* Some of it may be in a stock of each processor. */
	EXPECT_LE(before + 8 * (long)UNIT - (long)UNIT / 2, cgroup_current());
	ASSERT_EQ(0, som_pool_backed(self->fd, p, 8 * UNIT));
	EXPECT_GE(before + (long)UNIT, cgroup_current());
	EXPECT_EQ(-1, som_check(p, 8 * UNIT, 1));
	som_write_string(CGROUP "cgroup.procs", pid);
	rmdir(CGROUP "som_page_backed");
}

/* Not enough memory for all of it. */
TEST_F(som, too_little_memory)
{
	char *p = map_filled(self->fd, 16), pid[32];
	__u64 walk_end = 0;
	pid_t child;
	int ret;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p, 16 * UNIT));
	som_write_string(CGROUP "cgroup.subtree_control", "+memory");
	mkdir(CGROUP "som_page_backed", 0755);
	if (cgroup_current() < 0) {
		rmdir(CGROUP "som_page_backed");
		SKIP(return, "no memory controller");
	}
	ASSERT_EQ(0, som_write_string(CGROUP "som_page_backed/memory.max",
				      "16777216"));
	child = fork();
	if (!child) {
		p = map_filled(self->fd, 16);
		snprintf(pid, sizeof(pid), "%d", getpid());
		child_assert(!som_write_string(CGROUP
					       "som_page_backed/cgroup.procs",
					       pid));
		ret = som_range_call(self->fd, SOM_IOC_PAGE_BACKED, p, 16 * UNIT,
				     &walk_end);
		child_assert(ret == -ENOMEM);
		child_assert(walk_end < som_addr(p + 16 * UNIT));
		child_assert((walk_end - som_addr(p)) / UNIT ==
			     units_page_backed());
		child_assert(som_check(p, 16 * UNIT, 1) == -1);
		child_assert(!som_pool_backed(self->fd, p, 16 * UNIT));
		child_assert(som_check(p, 16 * UNIT, 1) == -1);
		_exit(0);
	}
	ret = som_wait_child(child);
	/* The kernel's answer to too little memory may also be a signal. */
	EXPECT_TRUE(ret == 0 || ret == -SIGKILL)
		TH_LOG("ended with %d", ret);
	rmdir(CGROUP "som_page_backed");
	EXPECT_EQ(0, som_wait_number(units_page_backed, 0));
}

/*
 * Races
 */

#define RACE_UNITS	4
#define THREADS		3

/* Every thread has every third page, and does not lose what it wrote. */
static void *keep_own_pages(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	__u64 round, v;
	size_t page;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		for (page = r->nr; page < RACE_UNITS * UNIT_PAGES;
		     page += THREADS + 1) {
			__u64 *w = (__u64 *)(race->mem + page * PAGE);

			v = (round - 1) << 8 | r->nr;
			som_bad(race, round > 1 && (READ_ONCE(w[0]) != v ||
						    READ_ONCE(w[511]) != v));
			WRITE_ONCE(w[0], round << 8 | r->nr);
			WRITE_ONCE(w[511], round << 8 | r->nr);
		}
		som_round(race);
	}
	return NULL;
}

/* A page that no thread has. */
static char *free_page(struct som_race *race, unsigned int *seed)
{
	size_t page = rand_r(seed) % (RACE_UNITS * UNIT_PAGES);

	page -= page % (THREADS + 1);
	return race->mem + (page + THREADS) * PAGE;
}

static int race_how;

static void there_and_back(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 1;
	__u64 value;

	while (som_race_on(race, end)) {
		char *p = race->mem + rand_r(&seed) % RACE_UNITS * UNIT;
		size_t len = rand_r(&seed) % 2 ? UNIT : PAGE;
		struct iovec iov, local = { &value, 8 };

		som_bad(race, som_page_backed(race->fd, p, len));
		p = free_page(race, &seed);
		iov = (struct iovec) { p, 8 };
		switch (race_how) {
		case 1:
			som_bad(race, mprotect(p, PAGE, PROT_NONE));
			som_bad(race, mprotect(p, PAGE, RW));
			break;
		case 2:
			WRITE_ONCE(*(__u64 *)p, 1);
			som_bad(race, madvise(p, PAGE, MADV_REMOVE));
			som_bad(race, READ_ONCE(*(__u64 *)p));
			break;
		case 3:
			WRITE_ONCE(*(__u64 *)p, seed);
			som_bad(race, process_vm_readv(getpid(), &local, 1,
						       &iov, 1, 0) == 8 &&
				value != seed);
			break;
		case 4:
			som_bad(race, munmap(p, PAGE));
			break;
		case 5:
			som_bad(race, som_scan_clean(race->fd, race->mem,
						     RACE_UNITS * UNIT));
			break;
		case 6:
			som_bad(race, mremap(p, PAGE, PAGE, MREMAP_MAYMOVE |
					     MREMAP_FIXED, race->other) !=
				race->other);
			som_bad(race, mremap(race->other, PAGE, PAGE,
					     MREMAP_MAYMOVE | MREMAP_FIXED,
					     p) != p);
			break;
		case 7:
			som_compact(1);
			break;
		default:
			break;
		}
		som_bad(race, som_pool_backed(race->fd, race->mem,
					      RACE_UNITS * UNIT));
	}
}

TEST_F_TIMEOUT(som, writers_there_and_back, 300)
{
	for (race_how = 0; race_how < 8; race_how++) {
		struct som_race race = {
			.fd = self->fd, .seconds = som_race_seconds() / 2,
		};

		race.mem = som_map(self->fd, RACE_UNITS * UNIT);
		race.other = som_room(UNIT, UNIT);
		ASSERT_NE(MAP_FAILED, race.mem);
		ASSERT_EQ(0, som_run_racers(&race, THREADS, keep_own_pages,
					    there_and_back));
		EXPECT_EQ(0, race.bad)
			TH_LOG("beside %d", race_how);
		EXPECT_LT(0, race.rounds);
		TH_LOG("%d: %ld rounds", race_how, race.rounds);
		ASSERT_EQ(0, munmap(race.mem, RACE_UNITS * UNIT));
		EXPECT_PINNABLE(0);
		EXPECT_USED(0);
	}
}

/* All threads call, on overlapping ranges. */
static void *call_together(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = 40 + r->nr;
	__u64 round = 0;

	while (!READ_ONCE(race->stop)) {
		char *p = race->mem + rand_r(&seed) % RACE_UNITS * UNIT;
		__u64 *w = (__u64 *)(p + (r->nr + 4 * (rand_r(&seed) % 100)) *
				     PAGE);

		WRITE_ONCE(*w, ++round);
		som_bad(race, som_page_backed(race->fd, p, UNIT));
		som_bad(race, READ_ONCE(*w) != round);
		WRITE_ONCE(*w, ++round);
		som_bad(race, som_pool_backed(race->fd, p, UNIT));
		som_bad(race, READ_ONCE(*w) != round);
		som_round(race);
	}
	return NULL;
}

TEST_F(som, callers_together)
{
	struct som_race race = { .fd = self->fd };

	race.mem = som_map(self->fd, RACE_UNITS * UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_run_racers(&race, THREADS, call_together, som_just_wait));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	ASSERT_EQ(0, som_pool_backed(self->fd, race.mem, RACE_UNITS * UNIT));
	EXPECT_PINNABLE(0);
	/* A few rounds may not have met all of them. */
	som_touch_units(race.mem, RACE_UNITS * UNIT);
	EXPECT_USED(RACE_UNITS);
}

/* Take units away and touch them again, beside the calls. */
static void *remove_or_touch(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int i;

	for (i = 0; !READ_ONCE(race->stop); i++) {
		char *p = race->mem + i % RACE_UNITS * UNIT;

		if (r->nr % 2)
			WRITE_ONCE(*p, 1);
		else
			som_bad(race, madvise(p, UNIT, MADV_REMOVE));
	}
	return NULL;
}

static void there_and_back_beside(struct som_race *race)
{
	double end = som_race_end(race);

	while (som_race_on(race, end)) {
		som_bad(race, som_page_backed(race->fd, race->mem,
					      RACE_UNITS * UNIT));
		som_bad(race, som_pool_backed(race->fd, race->mem,
					      RACE_UNITS * UNIT));
		som_round(race);
	}
}

/*
 * A unit of the pool that comes to an index while the page-backed one there is on its
 * way back stays the pool's: none is freed as pages. Else units are missing at the
 * end, references of the chunk's folio are, and a pin is not noticed any more.
 */
TEST_F(som, removed_and_touched_meanwhile)
{
	struct som_race race = {
		.fd = self->fd, .seconds = 2 * som_race_seconds(),
	};

	race.mem = som_map(self->fd, RACE_UNITS * UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_run_racers(&race, THREADS, remove_or_touch,
				    there_and_back_beside));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	TH_LOG("%ld rounds", race.rounds);
	ASSERT_EQ(0, munmap(race.mem, RACE_UNITS * UNIT));
	EXPECT_PINNABLE(0);
	EXPECT_USED_SOON(0);
}

TEST_F(som, sigkill_in_the_midst)
{
	double end = som_now() + 2 * som_race_seconds();
	unsigned int seed = 1;
	int rounds = 0;

	while (som_now() < end || rounds < 3) {
		pid_t pid = fork();

		if (!pid) {
			struct som_race race = { .fd = self->fd };

			race.mem = som_map(self->fd, RACE_UNITS * UNIT);
			som_run_racers(&race, THREADS, call_together,
				       som_just_wait);
			child_assert(race.bad == 0);
			_exit(0);
		}
		usleep(rand_r(&seed) % 300000);
		kill(pid, SIGKILL);
		EXPECT_GE(0, som_wait_child(pid));
		rounds++;
	}
	TH_LOG("%d rounds", rounds);
	EXPECT_TRUE(som_state_wait(&self->before));
}

TEST_HARNESS_MAIN
