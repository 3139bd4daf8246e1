// SPDX-License-Identifier: GPL-2.0
/*
 * MAP_PRIVATE: madvise(MADV_DONTNEED) makes memory zero, at once and whatever
 * its entries are, and gives it back to the pool. Nothing else that the kernel
 * does to the entries of such memory may do the same.
 *
 * SOM-TEST: timeout=900 takes=50
 */
#include <sys/prctl.h>

#include "som_scan.h"

#ifndef MADV_COLD
#define MADV_COLD		20
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

static const char *(*som_missing)(int fd) = som_no_private;
static bool som_one_process = true;

#define THREADS	4

/* A page of marks, as som_fill() of the memory around it made them. */
static bool page_has_marks(const char *base, size_t at, __u64 mark)
{
	const __u64 *w = (const __u64 *)(base + at);
	size_t i;

	for (i = 0; i < PAGE; i += 8)
		if (READ_ONCE(w[i / 8]) != som_word(mark, at + i))
			return false;
	return true;
}

/*
 * Pages [from, to) are zero and all others have their marks.
 * Return: number of the first page that is not so, or -1.
 */
static long check_zeroed(const char *p, size_t pages, size_t from, size_t to,
			 __u64 mark)
{
	size_t i;

	for (i = 0; i < pages; i++) {
		if (i >= from && i < to) {
			if (som_not_zero(p + i * PAGE, PAGE) != -1)
				return i;
		} else if (!page_has_marks(p, i * PAGE, mark)) {
			return i;
		}
	}
	return -1;
}

/*
 * What it is
 */

TEST_F(som, fresh_memory)
{
	char *p = som_map_private(self->fd, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(som_aligned(p, UNIT));
	EXPECT_COMMITTED(4);
	EXPECT_USED(0);
	EXPECT_EQ(-1, som_not_zero(p, 4 * UNIT));
	som_fill(p, 4 * UNIT, 1);
	EXPECT_EQ(-1, som_check(p, 4 * UNIT, 1));
	EXPECT_USED(4);
	EXPECT_EQ(4, som_units_2m(self->fd));
	ASSERT_EQ(0, munmap(p, 4 * UNIT));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

TEST_F(som, mappings_are_different_memory)
{
	char *p = som_map_private(self->fd, UNIT);
	char *q = som_map_private(self->fd, UNIT);
	char *r = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_NE(MAP_FAILED, r);
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, som_not_zero(q, UNIT));
	EXPECT_EQ(-1, som_not_zero(r, UNIT));
	som_fill(q, UNIT, 2);
	som_fill(r, UNIT, 3);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_check(q, UNIT, 2));
	EXPECT_EQ(-1, som_check(r, UNIT, 3));
	EXPECT_USED(3);
}

TEST_F(som, proc_maps_says_shared)
{
	char *p = som_map_private(self->fd, UNIT), line[512], perms[8];
	unsigned long start, end;
	bool found = false;
	FILE *f;

	ASSERT_NE(MAP_FAILED, p);
	f = fopen("/proc/self/maps", "re");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %7s", &start, &end, perms) != 3 ||
		    start != (unsigned long)p)
			continue;
		found = true;
		EXPECT_EQ(0, strncmp(perms, "rw-s", 4))
			TH_LOG("%s", line);
	}
	fclose(f);
	EXPECT_TRUE(found);
}

TEST_F(som, a_read_only_file_is_refused)
{
	int fd = open(SOM_DEV, O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, som_map_private_at(fd, NULL, UNIT, PROT_READ, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(MAP_FAILED, som_map_private_at(fd, NULL, UNIT, RW, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_UNCHANGED();
}

TEST_F(som, reservation)
{
	long units = self->before.free + 1;

	EXPECT_EQ(MAP_FAILED, som_map_private(self->fd, units * UNIT));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_UNCHANGED();
	EXPECT_NE(MAP_FAILED, som_map_private_at(self->fd, NULL, units * UNIT,
						 RW, MAP_NORESERVE));
	EXPECT_COMMITTED(0);
}

/*
 * MADV_DONTNEED
 */

TEST_F(som, dontneed_of_all)
{
	char *p = som_map_private(self->fd, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 4 * UNIT, 1);
	ASSERT_EQ(0, madvise(p, 4 * UNIT, MADV_DONTNEED));
	EXPECT_USED_SOON(0);
	EXPECT_COMMITTED(4);
	EXPECT_EQ(-1, som_not_zero(p, 4 * UNIT));
	EXPECT_USED(4);
	som_fill(p, 4 * UNIT, 2);
	EXPECT_EQ(-1, som_check(p, 4 * UNIT, 2));
	EXPECT_COMMITTED(4);
}

/* Ranges in pages, of four units. @freed: units that go back. */
static const struct {
	size_t from, to;
	long freed;
} ranges[] = {
	{ 0, 1, 0 }, { 1, 2, 0 }, { 511, 512, 0 }, { 512, 513, 0 },
	{ 0, 512, 1 }, { 512, 1024, 1 }, { 1536, 2048, 1 },
	{ 0, 511, 0 }, { 1, 512, 0 }, { 0, 513, 1 }, { 511, 1024, 1 },
	{ 511, 513, 0 }, { 300, 700, 0 }, { 1, 1023, 0 }, { 1, 1024, 1 },
	{ 511, 1025, 1 }, { 200, 1900, 2 }, { 0, 1024, 2 }, { 512, 2048, 3 },
	{ 1, 2047, 2 }, { 0, 2048, 4 },
};

static void dontneed_ranges(struct __test_metadata *_metadata, int fd,
			    int advice, bool small, long used)
{
	char *room = som_room(5 * UNIT, UNIT), *p;
	size_t i, from, to, len = 4 * UNIT;
	long bad;

	ASSERT_NE(MAP_FAILED, room);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		p = som_map_private_at(fd, room, len, RW, MAP_FIXED);
		ASSERT_EQ(room, p);
		som_fill(p, len, i);
		if (small) {
			/* 4 KiB entries everywhere. */
			for (from = 7 * PAGE; from < len; from += UNIT) {
				mprotect(p + from, PAGE, PROT_READ);
				mprotect(p + from, PAGE, RW);
			}
			ASSERT_EQ(-1, som_check_pages(p, len, i));
		}
		from = ranges[i].from;
		to = ranges[i].to;
		ASSERT_EQ(0, madvise(p + from * PAGE, (to - from) * PAGE,
				     advice));
		/* A unit that several mappings have in parts may be kept. */
		if (!small)
			EXPECT_EQ(used + 4 - ranges[i].freed,
				  som_wait_number(som_used, used + 4 -
						  ranges[i].freed))
				TH_LOG("pages %zu to %zu", from, to);
		bad = check_zeroed(p, len / PAGE, from, to, i);
		EXPECT_EQ(-1, bad)
			TH_LOG("page %ld after DONTNEED of %zu to %zu", bad,
			       from, to);
		/* It is memory as before. */
		som_fill(p, len, ~i);
		EXPECT_EQ(-1, som_check(p, len, ~i));
	}
}

TEST_F(som, dontneed_ranges)
{
	dontneed_ranges(_metadata, self->fd, MADV_DONTNEED, false,
			self->before.used);
}

TEST_F(som, dontneed_ranges_at_4k_entries)
{
	dontneed_ranges(_metadata, self->fd, MADV_DONTNEED, true,
			self->before.used);
}

TEST_F(som, dontneed_locked_ranges)
{
	dontneed_ranges(_metadata, self->fd, MADV_DONTNEED_LOCKED, false,
			self->before.used);
}

/* No time for a worker: the very next access sees zero, and may write. */
static void refault_at_once(struct __test_metadata *_metadata, int fd,
			    size_t from, size_t len)
{
	char *p = som_map_private(fd, 4 * UNIT);
	int i, rounds = som_rounds(len > UNIT ? 60 : 400);
	size_t end = from + len, at;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 4 * UNIT, 1);
	for (i = 2; i < rounds; i++) {
		for (at = from; at < end; at += PAGE)
			WRITE_ONCE(*(__u64 *)(p + at), som_word(i, at));
		ASSERT_EQ(0, madvise(p + from, len, MADV_DONTNEED));
		/* Now from the front, now from the back. */
		at = i % 2 ? from : end - PAGE;
		ASSERT_EQ(0, READ_ONCE(*(__u64 *)(p + at)));
		WRITE_ONCE(*(__u64 *)(p + at), som_word(i, at));
		if (i % 8 == 0)
			usleep(i % 3 * 10000);
		ASSERT_EQ(som_word(i, at), READ_ONCE(*(__u64 *)(p + at)));
		WRITE_ONCE(*(__u64 *)(p + at), 0);
		ASSERT_EQ(-1, som_pages_not_zero(p + from, len));
	}
	ASSERT_EQ(-1, som_check_pages(p, from, 1));
	for (at = end; at < 4 * UNIT; at += PAGE)
		ASSERT_EQ(som_word(1, at), *(__u64 *)(p + at));
}

TEST_F(som, refault_of_a_page_at_once)
{
	refault_at_once(_metadata, self->fd, UNIT + 5 * PAGE, PAGE);
}

TEST_F(som, refault_of_a_unit_at_once)
{
	refault_at_once(_metadata, self->fd, UNIT, UNIT);
}

TEST_F(som, refault_of_an_odd_range_at_once)
{
	refault_at_once(_metadata, self->fd, UNIT - 3 * PAGE, UNIT + 9 * PAGE);
}

TEST_F(som, refault_of_units_at_once)
{
	refault_at_once(_metadata, self->fd, 0, 3 * UNIT);
}

/* Entries that nobody has made again after a split are no excuse. */
TEST_F(som, dontneed_where_no_entry_is)
{
	char *p = som_map_private(self->fd, 3 * UNIT);
	char *room = som_room(3 * UNIT, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, room);
	som_fill(p, 3 * UNIT, 1);
	/* Drops the 2 MiB entries of the first two units. */
	ASSERT_EQ(0, mprotect(p + 3 * PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(p + UNIT + 3 * PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, madvise(p + 100 * PAGE, 10 * PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_DONTNEED));
	EXPECT_EQ(-1, check_zeroed(p, UNIT_PAGES, 100, 110, 1));
	EXPECT_EQ(-1, som_not_zero(p + UNIT, UNIT));
	/* A move to another phase drops them, too. */
	ASSERT_EQ(room + PAGE, mremap(p + 2 * UNIT, UNIT, UNIT, MREMAP_MAYMOVE |
				      MREMAP_FIXED, room + PAGE));
	ASSERT_EQ(0, madvise(room + 8 * PAGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(-1, som_not_zero(room + 8 * PAGE, PAGE));
	EXPECT_EQ(som_word(1, 2 * UNIT), *(__u64 *)(room + PAGE));
	EXPECT_EQ(som_word(1, 2 * UNIT + 8 * PAGE),
		  *(__u64 *)(room + 9 * PAGE));
	ASSERT_EQ(0, madvise(room + PAGE, UNIT, MADV_DONTNEED));
	EXPECT_EQ(-1, som_not_zero(room + PAGE, UNIT));
}

TEST_F(som, dontneed_without_access)
{
	static const int prots[] = { PROT_NONE, PROT_READ };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(prots); i++) {
		char *p = som_map_private(self->fd, 2 * UNIT);

		ASSERT_NE(MAP_FAILED, p);
		som_fill(p, 2 * UNIT, 1);
		ASSERT_EQ(0, mprotect(p, 2 * UNIT, prots[i]));
		ASSERT_EQ(0, madvise(p + 5 * PAGE, PAGE, MADV_DONTNEED));
		ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_DONTNEED));
		EXPECT_USED_SOON(1);
		ASSERT_EQ(0, mprotect(p, 2 * UNIT, RW));
		EXPECT_EQ(-1, check_zeroed(p, UNIT_PAGES, 5, 6, 1));
		EXPECT_EQ(-1, som_not_zero(p + UNIT, UNIT));
		ASSERT_EQ(0, munmap(p, 2 * UNIT));
	}
}

TEST_F(som, dontneed_of_untouched_memory)
{
	char *p = som_map_private(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, 3 * UNIT, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(p + UNIT + PAGE, PAGE, MADV_DONTNEED));
	usleep(50000);
	EXPECT_USED(0);
	EXPECT_COMMITTED(3);
	EXPECT_EQ(-1, som_not_zero(p, 3 * UNIT));
}

/* One call over anonymous, private and shared memory, in one address range. */
TEST_F(som, dontneed_over_several_mappings)
{
	char *room = som_room(8 * UNIT, UNIT), *anon, *mine, *shared, *mine2;

	ASSERT_NE(MAP_FAILED, room);
	anon = mmap(room, UNIT, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0);
	mine = som_map_private_at(self->fd, room + UNIT, UNIT + 5 * PAGE, RW,
				  MAP_FIXED);
	shared = som_map_at(self->fd, mine + UNIT + 5 * PAGE, UNIT, RW,
			    MAP_FIXED);
	mine2 = som_map_private_at(self->fd, shared + UNIT, UNIT, RW, MAP_FIXED);
	ASSERT_NE(MAP_FAILED, anon);
	ASSERT_NE(MAP_FAILED, mine);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, mine2);
	som_fill(anon, UNIT, 1);
	som_fill(mine, UNIT + 5 * PAGE, 2);
	som_fill(shared, UNIT, 3);
	som_fill(mine2, UNIT, 4);
	ASSERT_EQ(0, madvise(anon + PAGE, mine2 + 9 * PAGE - (anon + PAGE),
			     MADV_DONTNEED));
	EXPECT_EQ(-1, check_zeroed(anon, UNIT_PAGES, 1, UNIT_PAGES, 1));
	EXPECT_EQ(-1, som_not_zero(mine, UNIT + 5 * PAGE));
	EXPECT_EQ(-1, som_check(shared, UNIT, 3));
	EXPECT_EQ(-1, check_zeroed(mine2, UNIT_PAGES, 0, 9, 4));
}

/* The kernel goes on behind a hole, and says ENOMEM. */
TEST_F(som, dontneed_over_a_hole)
{
	char *p = som_map_private(self->fd, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 4 * UNIT, 1);
	ASSERT_EQ(0, munmap(p + UNIT + 7 * PAGE, PAGE));
	EXPECT_EQ(-1, madvise(p + UNIT, 2 * UNIT, MADV_DONTNEED));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(p + UNIT, 7 * PAGE));
	EXPECT_EQ(-1, som_not_zero(p + UNIT + 8 * PAGE, UNIT - 8 * PAGE));
	EXPECT_EQ(-1, som_not_zero(p + 2 * UNIT, UNIT));
	EXPECT_TRUE(page_has_marks(p, 3 * UNIT, 1));
	EXPECT_TRUE(page_has_marks(p, 4 * UNIT - PAGE, 1));
}

TEST_F(som, dontneed_of_mlocked_memory)
{
	char *p = som_map_private(self->fd, 2 * UNIT);
	bool refused;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	ASSERT_EQ(0, mlock(p, 2 * UNIT));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	/* Refused or done, nothing between. */
	refused = madvise(p, UNIT, MADV_DONTNEED);
	EXPECT_EQ(-1, refused ? som_check(p, UNIT, 1) : som_not_zero(p, UNIT));
	ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED_LOCKED));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_TRUE(page_has_marks(p, UNIT, 1));
	ASSERT_EQ(0, munlock(p, 2 * UNIT));
	EXPECT_TRUE(page_has_marks(p, 2 * UNIT - PAGE, 1));
}

/* Where memory has moved to, wholly or in part, aligned or not. */
TEST_F(som, dontneed_after_moves)
{
	static const size_t shifts[] = { 0, PAGE, 300 * PAGE };
	char *room, *p, *q;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shifts); i++) {
		p = som_map_private(self->fd, 3 * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		room = som_room(8 * UNIT, UNIT);
		ASSERT_NE(MAP_FAILED, room);
		som_fill(p, 3 * UNIT, 1);
		q = room + shifts[i];
		ASSERT_EQ(q, mremap(p, 3 * UNIT, 3 * UNIT, MREMAP_MAYMOVE |
				    MREMAP_FIXED, q));
		ASSERT_EQ(0, madvise(q + 70 * PAGE, PAGE, MADV_DONTNEED));
		EXPECT_EQ(-1, check_zeroed(q, 3 * UNIT_PAGES, 70, 71, 1));
		ASSERT_EQ(0, madvise(q + UNIT, UNIT, MADV_DONTNEED));
		EXPECT_USED_SOON(2);
		EXPECT_EQ(-1, som_not_zero(q + UNIT, UNIT));
		/* What was the last page of the first unit, alone elsewhere. */
		ASSERT_EQ(p, mremap(q + UNIT - PAGE, PAGE, PAGE, MREMAP_MAYMOVE |
				    MREMAP_FIXED, p));
		EXPECT_EQ(som_word(1, UNIT - PAGE), *(__u64 *)p);
		ASSERT_EQ(0, madvise(p, PAGE, MADV_DONTNEED));
		EXPECT_EQ(-1, som_not_zero(p, PAGE));
		EXPECT_TRUE(page_has_marks(q, UNIT - 2 * PAGE, 1));
		EXPECT_TRUE(page_has_marks(q, 2 * UNIT, 1));
		ASSERT_EQ(0, munmap(p, PAGE));
		ASSERT_EQ(0, munmap(q, 3 * UNIT));
		EXPECT_USED(0);
	}
}

/* Unmapped parts count as covered: nobody can see them. */
TEST_F(som, dontneed_of_all_that_is_mapped_of_a_unit)
{
	char *p = som_map_private(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	ASSERT_EQ(0, munmap(p, 10 * PAGE));
	ASSERT_EQ(0, munmap(p + 20 * PAGE, UNIT - 20 * PAGE));
	ASSERT_EQ(0, madvise(p + 10 * PAGE, 10 * PAGE, MADV_DONTNEED));
	EXPECT_EQ(-1, som_not_zero(p + 10 * PAGE, 10 * PAGE));
	EXPECT_EQ(-1, som_check(p, 0, 1));
	EXPECT_TRUE(page_has_marks(p, UNIT, 1));
	EXPECT_TRUE(page_has_marks(p, 2 * UNIT - PAGE, 1));
}

/* Page by page, in any order: zero each time, and the rest stays. */
TEST_F(som, dontneed_page_by_page)
{
	char *p = som_map_private(self->fd, UNIT);
	size_t i, page;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	for (i = 0; i < UNIT_PAGES; i++) {
		page = i * 197 % UNIT_PAGES;
		ASSERT_TRUE(page_has_marks(p, page * PAGE, 1));
		ASSERT_EQ(0, madvise(p + page * PAGE, PAGE, MADV_DONTNEED));
		/* Looking would make it an entry again. */
		if (i % 3)
			ASSERT_EQ(-1, som_not_zero(p + page * PAGE, PAGE));
	}
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_COMMITTED(1);
}

TEST_F(som, remove_works_too)
{
	char *p = som_map_private(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	ASSERT_EQ(0, madvise(p + 9 * PAGE, PAGE, MADV_REMOVE));
	EXPECT_EQ(-1, check_zeroed(p, 3 * UNIT_PAGES, 9, 10, 1));
	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_REMOVE));
	EXPECT_USED(2);
	EXPECT_COMMITTED(3);
	EXPECT_EQ(-1, som_not_zero(p + UNIT, UNIT));
	som_fill(p, 3 * UNIT, 2);
	ASSERT_EQ(0, madvise(p, 3 * UNIT, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(p, 3 * UNIT, MADV_REMOVE));
	/* A worker may be about to give back what DONTNEED has left. */
	EXPECT_USED_SOON(0);
	EXPECT_EQ(-1, som_not_zero(p, 3 * UNIT));
	EXPECT_COMMITTED(3);
}

/* mremap from length 0 makes a second view: the first is not to be used then. */
TEST_F(som, a_duplicate_takes_over)
{
	char *p = som_map_private(self->fd, UNIT), *q;

	som_catch_faults();
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	q = mremap(p, 0, UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	/* What the older one still has entries for may go on, the rest may not. */
	ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
	EXPECT_EQ(SIGBUS, som_read_signal(p));
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	ASSERT_EQ(0, madvise(q, UNIT, MADV_DONTNEED));
	EXPECT_EQ(-1, som_not_zero(q, UNIT));
	som_fill(q, UNIT, 2);
	ASSERT_EQ(0, munmap(q, UNIT));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
}

/* MREMAP_DONTUNMAP: what is left behind is refused, and zero in the end. */
TEST_F(som, left_behind)
{
	char *p = som_map_private(self->fd, 2 * UNIT), *q;

	som_catch_faults();
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	som_fill(p + UNIT, UNIT, 1);
	q = mremap(p, 2 * UNIT, 2 * UNIT, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
		   NULL);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(SIGBUS, som_read_signal(p));
	EXPECT_EQ(SIGBUS, som_try_write(p + UNIT, 1));
	EXPECT_EQ(0, madvise(p, 2 * UNIT, MADV_DONTNEED));
	EXPECT_EQ(-1, madvise(p, UNIT, MADV_REMOVE));
	EXPECT_EQ(EINVAL, errno);
	usleep(100000);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	EXPECT_EQ(-1, som_check(q + UNIT, UNIT, 1));
	/* Half of the new one goes: so much of the old one is there again. */
	ASSERT_EQ(0, munmap(q, UNIT));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(SIGBUS, som_read_signal(p + UNIT));
	EXPECT_EQ(-1, som_check(q + UNIT, UNIT, 1));
	ASSERT_EQ(0, munmap(q + UNIT, UNIT));
	EXPECT_EQ(-1, som_not_zero(p, 2 * UNIT));
	ASSERT_EQ(0, munmap(p, 2 * UNIT));
	/* A worker may be about to give back what was discarded. */
	EXPECT_USED_SOON(0);
}

/* What is left behind moves on: the data are where the first move has put them. */
TEST_F(som, moved_on_from_what_moved)
{
	static const struct {
		int flags;	/* of the second move */
		size_t shift;	/* of where it goes to */
	} moves[] = {
		{ 0, 0 }, { 0, PAGE }, { MREMAP_DONTUNMAP, 0 },
		{ MREMAP_DONTUNMAP, PAGE },
	};
	size_t i, len = 2 * UNIT;

	for (i = 0; i < ARRAY_SIZE(moves); i++) {
		char *room = som_room(3 * UNIT, UNIT), *p, *q, *r;

		ASSERT_NE(MAP_FAILED, room);
		r = room + moves[i].shift;
		p = som_map_private(self->fd, len);
		ASSERT_NE(MAP_FAILED, p);
		som_fill(p, len, 1);
		q = mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
		ASSERT_NE(MAP_FAILED, q);
		ASSERT_EQ(r, mremap(q, len, len, MREMAP_MAYMOVE | MREMAP_FIXED |
				    moves[i].flags, r));
		EXPECT_EQ(-1, som_check(r, len, 1))
			TH_LOG("move %zu", i);
		EXPECT_EQ(SIGBUS, som_read_signal(p));
		EXPECT_EQ(SIGBUS, som_try_write(p + UNIT, 1));
		if (moves[i].flags) {
			EXPECT_EQ(SIGBUS, som_read_signal(q));
			ASSERT_EQ(0, madvise(q, len, MADV_DONTNEED));
			ASSERT_EQ(0, munmap(q, len));
		}
		ASSERT_EQ(0, madvise(p, len, MADV_DONTNEED));
		usleep(50000);
		EXPECT_EQ(-1, som_check(r, len, 1))
			TH_LOG("move %zu, at its end", i);
		EXPECT_EQ(SIGBUS, som_read_signal(p));
		EXPECT_EQ(SIGBUS, som_read_signal(p + UNIT));
		EXPECT_USED(2);
		/* Half of the new one goes: so much of the first is there again. */
		ASSERT_EQ(0, munmap(r, UNIT));
		EXPECT_EQ(-1, som_not_zero(p, UNIT));
		EXPECT_EQ(SIGBUS, som_read_signal(p + UNIT));
		som_fill(r + UNIT, UNIT, 2);
		EXPECT_EQ(-1, som_check(r + UNIT, UNIT, 2));
		ASSERT_EQ(0, munmap(r + UNIT, UNIT));
		EXPECT_EQ(-1, som_not_zero(p, len));
		ASSERT_EQ(0, munmap(p, len));
		EXPECT_USED_SOON(0);
	}
}

/* The first goes before the second moves, or after it has. */
TEST_F(som, moved_on_without_what_was_left)
{
	size_t len = 2 * UNIT;
	int i;

	for (i = 0; i < 2; i++) {
		char *r = som_room(len, UNIT), *p, *q;

		ASSERT_NE(MAP_FAILED, r);
		p = som_map_private(self->fd, len);
		ASSERT_NE(MAP_FAILED, p);
		som_fill(p, len, 1);
		q = mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
		ASSERT_NE(MAP_FAILED, q);
		if (!i)
			ASSERT_EQ(0, munmap(p, len));
		ASSERT_EQ(r, mremap(q, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
				    r));
		EXPECT_EQ(-1, som_check(r, len, 1));
		if (i)
			ASSERT_EQ(0, munmap(p, len));
		usleep(50000);
		EXPECT_EQ(-1, som_check(r, len, 1))
			TH_LOG("round %d", i);
		EXPECT_USED(2);
		ASSERT_EQ(0, munmap(r, len));
		EXPECT_USED_SOON(0);
	}
}

/* From place to place to place: the data go along each time. */
TEST_F(som, mremap_again_and_again)
{
	static const size_t shifts[] = { 0, 0, PAGE, 9 * PAGE, 0 };
	char *p = som_map_private(self->fd, 2 * UNIT), *q;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	for (i = 0; i < ARRAY_SIZE(shifts); i++) {
		q = som_room(3 * UNIT, UNIT);
		ASSERT_NE(MAP_FAILED, q);
		q += shifts[i];
		ASSERT_EQ(q, mremap(p, 2 * UNIT, 2 * UNIT, MREMAP_MAYMOVE |
				    MREMAP_FIXED, q));
		EXPECT_EQ(-1, som_check(q, 2 * UNIT, 1));
		p = q;
	}
	usleep(50000);
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	EXPECT_USED(2);
}

/* A unit that went back is another process's, and zero there. */
TEST_F(som, reuse_by_another_process)
{
	size_t len = self->before.free * UNIT;
	char *p = som_map_private_at(self->fd, NULL, len, RW, MAP_NORESERVE);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, len, 1);
	som_fill(p, 16 * UNIT, 1);
	ASSERT_EQ(0, madvise(p, len, MADV_DONTNEED));
	EXPECT_USED_SOON(0);
	/* The units come back before what was charged for them. */
	EXPECT_EQ(self->before.committed,
		  som_wait_number(som_committed, self->before.committed));
	pid = fork();
	if (!pid) {
		char *q = som_map(self->fd, len);

		child_assert(q != MAP_FAILED);
		child_assert(som_pages_not_zero(q, len) == -1);
		child_assert(som_not_zero(q, 64 * UNIT) == -1);
		som_fill_pages(q, len, 2);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_USED_SOON(0);
	EXPECT_EQ(-1, som_not_zero(p, 4 * UNIT));
}

/* The pool is empty but for what DONTNEED gives back: that must be enough. */
TEST_F(som, refault_with_an_empty_pool)
{
	size_t len = self->before.free * UNIT;
	char *p = som_map_private(self->fd, len);
	int i, rounds = som_rounds(100);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, len);
	EXPECT_EQ(0, som_free());
	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, madvise(p, 4 * UNIT, MADV_DONTNEED));
		ASSERT_EQ(-1, som_pages_not_zero(p, 4 * UNIT));
		som_fill_pages(p, 4 * UNIT, i);
	}
	EXPECT_EQ(-1, som_check_pages(p, 4 * UNIT, i - 1));
	EXPECT_EQ(self->before.total, som_used());
}

/*
 * The kernel itself touches what was given up, with mmap_lock held, while the pool has
 * nothing but that: who gives it back and who waits for it must not wait for each
 * other.
 */
#define WANTED	128UL	/* units: more than are touched before the worker comes */

/* The pool is empty but for some units. Return: what holds the others. */
static char *hold_all_but(int fd, long units)
{
	size_t len = (som_free() - units) * UNIT;
	char *p = som_map(fd, len);

	if (p != MAP_FAILED)
		som_touch_units(p, len);
	return p;
}

enum toucher { POPULATE_WRITE, POPULATE_READ, MLOCK, VM_WRITEV, VM_READV, NR_TOUCHERS };

/* One word of each unit, by another way than a look. Return: words that were had. */
static long vm_words(char *p, long units, __u64 *words, bool write)
{
	struct iovec local = { words, units * 8 }, remote[WANTED];
	long i, n;

	for (i = 0; i < units; i++)
		remote[i] = (struct iovec) { p + i * UNIT, 8 };
	n = write ? process_vm_writev(getpid(), &local, 1, remote, units, 0) :
		    process_vm_readv(getpid(), &local, 1, remote, units, 0);
	return n / 8;
}

static void touch_all(char *p, enum toucher how)
{
	static __u64 words[WANTED];
	size_t len = WANTED * UNIT;

	switch (how) {
	case POPULATE_WRITE:
		child_assert(!madvise(p, len, MADV_POPULATE_WRITE));
		break;
	case POPULATE_READ:
		child_assert(!madvise(p, len, MADV_POPULATE_READ));
		break;
	case MLOCK:
		child_assert(!mlock(p, len) && !munlock(p, len));
		break;
	case VM_WRITEV:
		child_assert(vm_words(p, WANTED, words, true) == WANTED);
		break;
	default:
		words[5] = 1;
		child_assert(vm_words(p, WANTED, words, false) == WANTED);
		child_assert(som_not_zero(words, sizeof(words)) == -1);
	}
}

TEST_F(som, kernel_touches_what_was_given_up)
{
	size_t len = WANTED * UNIT;
	pid_t pid;
	int how;

	ASSERT_NE(MAP_FAILED, hold_all_but(self->fd, WANTED));
	for (how = 0; how < NR_TOUCHERS; how++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			char *p = som_map_private(self->fd, len);

			child_assert(p != MAP_FAILED);
			som_fill_pages(p, len, 1);
			child_assert(!som_free());
			/* The worker is on another processor. */
			som_all_cpus();
			child_assert(!madvise(p, len, MADV_DONTNEED));
			touch_all(p, how);
			child_assert(som_pages_not_zero(p, len) == -1);
			som_fill_pages(p, len, 2);
			child_assert(som_check_pages(p, len, 2) == -1);
			_exit(0);
		}
		EXPECT_EQ(0, som_wait_child_for(pid, 0))
			TH_LOG("way %d", how);
		EXPECT_EQ(0, som_wait_number(som_free, WANTED) - (long)WANTED);
	}
}

#define FEW	4UL

/* All bytes of a word are the same: copies are made byte by byte. */
static bool mixed(__u64 word, __u64 byte)
{
	for (; word; word >>= 8)
		if (word % 256 && word % 256 != byte)
			return true;
	return false;
}

/* Racer 0 gives units up, the others read and write them from outside. */
static void *touch_from_outside(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = 40 + r->nr;
	__u64 words[FEW];
	size_t i;

	while (!READ_ONCE(race->stop)) {
		for (i = 0; i < FEW; i++)
			memset(words + i, i + 1, 8);
		if (r->nr == 0) {
			char *p = race->mem + rand_r(&seed) % FEW * UNIT;
			/* Where DONTNEED keeps the data, REMOVE it is. */
			bool remove = !race->other || rand_r(&seed) % 4 == 0;

			som_bad(race, madvise(p, UNIT, remove ? MADV_REMOVE :
							       MADV_DONTNEED));
			continue;
		}
		som_bad(race, vm_words(race->mem, FEW, words, r->nr % 2) != FEW);
		for (i = 0; i < FEW; i++)
			som_bad(race, mixed(words[i], i + 1));
		som_round(race);
	}
	return NULL;
}

TEST_F(som, giving_up_beside_touches_from_outside)
{
	double seconds = som_race_seconds();
	int private;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, hold_all_but(self->fd, FEW));
	for (private = 0; private < 2; private++) {
		struct som_race race = { .fd = self->fd, .seconds = seconds };

		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			race.mem = private ?
				som_map_private(self->fd, FEW * UNIT) :
				som_map(self->fd, FEW * UNIT);
			race.other = private ? race.mem : NULL;
			child_assert(race.mem != MAP_FAILED);
			som_touch_units(race.mem, FEW * UNIT);
			child_assert(!madvise(race.mem, FEW * UNIT, MADV_REMOVE));
			child_assert(!som_run_racers(&race, 3, touch_from_outside,
						     som_just_wait));
			child_assert(race.rounds > 0);
			child_assert(race.bad == 0);
			_exit(0);
		}
		EXPECT_EQ(0, som_wait_child_for(pid, seconds))
			TH_LOG("%s", private ? "private" : "shared");
		EXPECT_EQ(FEW, som_wait_number(som_free, FEW));
	}
}

/*
 * Memory that is pinned and given up is nobody's as long as the pin lasts. Who makes
 * more and more of it must not have units that were promised to somebody else.
 */
#define PINNED_ROUNDS	8

/* Two files are not read at one time: a unit on its way may be in both. */
static bool pool_keeps_its_word(void)
{
	int tries;

	for (tries = 0; tries < 20; tries++) {
		if (som_committed() + som_pool("units_quarantined") <=
		    som_pool("units_total"))
			return true;
		usleep(1000);
	}
	return false;
}

/* A child that was promised all but some units, and touches them when it is told. */
static pid_t child_with_a_promise(int fd, int *turn, long left)
{
	size_t len = (som_free() - left) * UNIT;
	pid_t pid = fork();
	char *p;

	if (pid)
		return pid;
	p = som_map(fd, len);
	child_assert(p != MAP_FAILED);
	WRITE_ONCE(*turn, 1);
	child_assert(som_wait_flag(turn, 2));
	som_touch_units(p, len);
	_exit(0);
}

/* Whoever has the pins sees what there was at the time, or zeroes: page by page. */
static void check_pipe(struct __test_metadata *_metadata, int fd)
{
	__u64 page[PAGE / 8];
	int i;

	for (i = 0; i < PINNED_ROUNDS; i++) {
		ASSERT_EQ(PAGE, read(fd, page, PAGE));
		EXPECT_TRUE(som_check(page, PAGE, i + 1) == -1 ||
			    som_not_zero(page, PAGE) == -1)
			TH_LOG("page %d: %llx", i, page[0]);
	}
}

static void pin_and_give_up(struct __test_metadata *_metadata, int fd,
			    long left, unsigned int pause)
{
	int *turn = som_shared(PAGE), fds[2], i;
	struct iovec iov = { .iov_len = PAGE };
	char *p;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, turn);
	ASSERT_EQ(0, pipe(fds));
	pid = child_with_a_promise(fd, turn, left);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(som_wait_flag(turn, 1));
	p = som_map_private(fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < PINNED_ROUNDS; i++) {
		/* Each time another page, which nobody writes again. */
		iov.iov_base = p + i * PAGE;
		som_fill(iov.iov_base, PAGE, i + 1);
		ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
		ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
		EXPECT_TRUE(pool_keeps_its_word())
			TH_LOG("round %d", i);
		usleep(pause);
		EXPECT_EQ(-1, som_pages_not_zero(p, UNIT));
		EXPECT_TRUE(pool_keeps_its_word())
			TH_LOG("round %d", i);
	}
	som_all_cpus();
	WRITE_ONCE(*turn, 2);
	EXPECT_EQ(0, som_wait_child_for(pid, 0));
	EXPECT_TRUE(pool_keeps_its_word());
	check_pipe(_metadata, fds[0]);
	close(fds[0]);
	close(fds[1]);
	EXPECT_EQ(-1, som_pages_not_zero(p, UNIT));
}

TEST_F(som, pinned_and_given_up)
{
	pin_and_give_up(_metadata, self->fd, 3, 30000);
}

TEST_F(som, pinned_and_touched_at_once)
{
	pin_and_give_up(_metadata, self->fd, 3, 0);
}

/*
 * All else that drops entries, or might
 */

#define KEEP_UNITS	3
#define KEEP_LEN	(KEEP_UNITS * UNIT)

struct keep {
	int fd;
	char *p, *room;
};

static int keep_protect(struct keep *k, int prot)
{
	size_t at;

	for (at = 0; at < KEEP_LEN; at += 129 * PAGE)
		if (mprotect(k->p + at, PAGE, prot))
			return -1;
	return mprotect(k->p, KEEP_LEN, RW);
}

static int do_protect_none(struct keep *k)
{
	return keep_protect(k, PROT_NONE);
}

static int do_protect_read(struct keep *k)
{
	return keep_protect(k, PROT_READ);
}

static int do_protect_exec(struct keep *k)
{
	return keep_protect(k, PROT_READ | PROT_EXEC);
}

static int do_protect_all(struct keep *k)
{
	return mprotect(k->p, KEEP_LEN, PROT_NONE) ||
		mprotect(k->p, KEEP_LEN, RW);
}

/* Neighbours of the same mapping, of which nobody knows any more. */
static int do_munmap(struct keep *k)
{
	return munmap(k->p - PAGE, PAGE) || munmap(k->p + KEEP_LEN, PAGE) ||
		munmap(k->p - 100 * PAGE, 50 * PAGE) ||
		munmap(k->p - UNIT, UNIT) || munmap(k->p + KEEP_LEN, UNIT);
}

static int do_map_over(struct keep *k)
{
	return mmap(k->p - PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
		    MAP_FIXED, -1, 0) == MAP_FAILED ||
		som_map_private_at(k->fd, k->p + KEEP_LEN, PAGE, RW,
				   MAP_FIXED) == MAP_FAILED;
}

/* The neighbours are DONTNEEDed, to the very page. */
static int do_dontneed_around(struct keep *k)
{
	return madvise(k->p - UNIT, UNIT, MADV_DONTNEED) ||
		madvise(k->p + KEEP_LEN, UNIT, MADV_DONTNEED) ||
		madvise(k->p - PAGE, PAGE, MADV_DONTNEED) ||
		madvise(k->p + KEEP_LEN, PAGE, MADV_REMOVE);
}

static int keep_move(struct keep *k, size_t at, size_t len, size_t shift)
{
	char *q = k->room + shift, *p = k->p + at;

	/* The kernel moves no more than one mapping at a time. */
	if (mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, q) != q)
		return errno != EFAULT;
	return mremap(q, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, p) != p;
}

static int do_move(struct keep *k)
{
	return keep_move(k, 0, KEEP_LEN, 0);
}

static int do_move_unaligned(struct keep *k)
{
	return keep_move(k, 0, KEEP_LEN, 5 * PAGE);
}

static int do_move_a_unit(struct keep *k)
{
	return keep_move(k, UNIT, UNIT, 0);
}

static int do_move_a_page(struct keep *k)
{
	return keep_move(k, UNIT + 9 * PAGE, PAGE, 3 * PAGE);
}

static int do_move_across(struct keep *k)
{
	return keep_move(k, UNIT - 3 * PAGE, UNIT + 7 * PAGE, UNIT);
}

static int do_mlock(struct keep *k)
{
	return mlock(k->p, KEEP_LEN) || munlock(k->p, KEEP_LEN);
}

static int do_mlockall(struct keep *k)
{
	mlockall(MCL_CURRENT);
	return munlockall();
}

static int do_msync(struct keep *k)
{
	msync(k->p, KEEP_LEN, MS_SYNC);
	msync(k->p, KEEP_LEN, MS_INVALIDATE | MS_ASYNC);
	return 0;
}

static int do_scan(struct keep *k)
{
	return som_scan_count(k->fd, k->p, KEEP_LEN, PRESENT) < 0 ||
		som_scan_clean(k->fd, k->p, KEEP_LEN) ||
		som_scan_clean(k->fd, k->p, KEEP_LEN);
}

/* The kernel's own call, which may refuse but not change anything. */
static int do_scan_pagemap(struct keep *k)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	som_scan_count(fd, k->p, KEEP_LEN, PRESENT);
	som_scan_clean(fd, k->p, KEEP_LEN);
	som_scan_written(fd, k->p, KEEP_LEN, WP | CHECK, NULL, 0);
	close(fd);
	return 0;
}

static int read_all(const char *path, off_t from, size_t len)
{
	static char buf[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t n;

	if (fd < 0)
		return -1;
	do {
		n = pread(fd, buf, sizeof(buf), from + done);
		done += n > 0 ? n : 0;
	} while (n > 0 && done < len);
	close(fd);
	return 0;
}

static int do_pagemap(struct keep *k)
{
	return read_all("/proc/self/pagemap", (uintptr_t)k->p / PAGE * 8,
			KEEP_LEN / PAGE * 8);
}

static int do_smaps(struct keep *k)
{
	return read_all("/proc/self/smaps", 0, ~0UL) ||
		read_all("/proc/self/smaps_rollup", 0, ~0UL);
}

static int do_numa_maps(struct keep *k)
{
	read_all("/proc/self/numa_maps", 0, ~0UL);
	return 0;
}

static int do_clear_refs(struct keep *k)
{
	int i;

	for (i = 1; i <= 5; i++) {
		char text[2] = { '0' + i, 0 };

		som_write_string("/proc/self/clear_refs", text);
	}
	return 0;
}

static int do_fork(struct keep *k)
{
	pid_t pid = fork();

	if (!pid) {
		som_catch_faults();
		_exit(som_read_signal(k->p) != SIGSEGV ||
		      som_try_write(k->p + UNIT, 1) != SIGSEGV);
	}
	return som_wait_child(pid);
}

/* In the child, DONTNEED of what it inherited concerns nobody else. */
static int do_fork_dofork(struct keep *k)
{
	pid_t pid;

	madvise(k->p, KEEP_LEN, MADV_DOFORK);
	pid = fork();
	if (!pid) {
		som_catch_faults();
		madvise(k->p, KEEP_LEN, MADV_DONTNEED);
		madvise(k->p, KEEP_LEN, MADV_REMOVE);
		munmap(k->p + UNIT, PAGE);
		_exit(som_read_signal(k->p) != SIGSEGV);
	}
	return som_wait_child(pid);
}

static int do_vfork(struct keep *k)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/proc/self/exe", "som_private", "exit", NULL);
		_exit(1);
	}
	return som_wait_child(pid);
}

static int do_process_vm(struct keep *k)
{
	static char buf[UNIT];
	struct iovec local = { buf, sizeof(buf) };
	struct iovec remote = { k->p + UNIT / 2, sizeof(buf) };

	process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	remote.iov_base = k->p + UNIT;
	local.iov_len = 8;
	remote.iov_len = 8;
	*(__u64 *)buf = som_word(1, UNIT);
	process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	return 0;
}

static int do_proc_mem(struct keep *k)
{
	__u64 word = som_word(1, 77 * PAGE);
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	int ret;

	ret = pwrite(fd, &word, 8, som_addr(k->p + 77 * PAGE)) != 8;
	close(fd);
	return ret;
}

static int do_vmsplice(struct keep *k)
{
	struct iovec iov = { k->p + 30 * PAGE, 3 * PAGE };
	int fds[2];

	if (pipe(fds))
		return -1;
	vmsplice(fds[1], &iov, 1, 0);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

static int do_move_pages(struct keep *k)
{
	unsigned long mask = 1;
	void *pages[] = { k->p, k->p + UNIT };
	int nodes[] = { 0, 0 }, status[2];

	syscall(__NR_move_pages, 0, 2, pages, NULL, status, 2);
	syscall(__NR_move_pages, 0, 2, pages, nodes, status, 2);
	/* MPOL_BIND, MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL */
	syscall(__NR_mbind, k->p, KEEP_LEN, 2, &mask, 64, 7);
	syscall(__NR_migrate_pages, 0, 64, &mask, &mask);
	return 0;
}

/* Reclaim everywhere: caches, compaction, a process that fills the memory. */
static int do_pressure(struct keep *k)
{
	long pages = sysconf(_SC_AVPHYS_PAGES) * 7 / 10;
	size_t at;
	pid_t pid;
	char *p;

	som_write_string("/proc/sys/vm/drop_caches", "3");
	som_write_string("/proc/sys/vm/compact_memory", "1");
	pid = fork();
	if (pid)
		return som_wait_child(pid);
	p = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_NORESERVE, -1, 0);
	madvise(p, pages * PAGE, MADV_HUGEPAGE);
	for (at = 0; p != MAP_FAILED && at < pages * PAGE; at += PAGE)
		p[at] = 1;
	_exit(0);
}

static const struct {
	const char *name;
	int (*fn)(struct keep *k);
	bool once;
	/* Without a function; whatever its answer is, the data stay. */
	int advice;
} disturbances[] = {
	{ "mprotect none", do_protect_none },
	{ "mprotect read", do_protect_read },
	{ "mprotect exec", do_protect_exec },
	{ "mprotect all", do_protect_all },
	{ "munmap of neighbours", do_munmap },
	{ "mmap over neighbours", do_map_over },
	{ "DONTNEED of neighbours", do_dontneed_around },
	{ "mremap", do_move },
	{ "mremap unaligned", do_move_unaligned },
	{ "mremap of a unit", do_move_a_unit },
	{ "mremap of a page", do_move_a_page },
	{ "mremap across units", do_move_across },
	{ "MADV_COLD", .advice = MADV_COLD },
	{ "MADV_PAGEOUT", .advice = MADV_PAGEOUT },
	{ "MADV_FREE", .advice = MADV_FREE },
	{ "MADV_WILLNEED", .advice = MADV_WILLNEED },
	{ "MADV_SEQUENTIAL", .advice = MADV_SEQUENTIAL },
	{ "MADV_RANDOM", .advice = MADV_RANDOM },
	{ "MADV_NORMAL", .advice = MADV_NORMAL },
	{ "MADV_NOHUGEPAGE", .advice = MADV_NOHUGEPAGE },
	{ "MADV_HUGEPAGE", .advice = MADV_HUGEPAGE },
	{ "MADV_COLLAPSE", .advice = MADV_COLLAPSE },
	{ "MADV_MERGEABLE", .advice = MADV_MERGEABLE },
	{ "MADV_DONTDUMP", .advice = MADV_DONTDUMP },
	{ "MADV_WIPEONFORK", .advice = MADV_WIPEONFORK },
	{ "MADV_POPULATE_READ", .advice = MADV_POPULATE_READ },
	{ "MADV_POPULATE_WRITE", .advice = MADV_POPULATE_WRITE },
	{ "mlock", do_mlock },
	{ "mlockall", do_mlockall },
	{ "msync", do_msync },
	{ "PAGEMAP_SCAN", do_scan },
	{ "PAGEMAP_SCAN of pagemap", do_scan_pagemap },
	{ "pagemap", do_pagemap },
	{ "smaps", do_smaps },
	{ "numa_maps", do_numa_maps },
	{ "clear_refs", do_clear_refs },
	{ "fork", do_fork },
	{ "fork with DOFORK", do_fork_dofork },
	{ "vfork and exec", do_vfork },
	{ "process_vm", do_process_vm },
	{ "/proc/self/mem", do_proc_mem },
	{ "vmsplice", do_vmsplice },
	{ "move_pages", do_move_pages },
	{ "memory pressure", do_pressure, true },
};

enum mapped { BY_2M, BY_4K, TRACKED_CLEAN, TRACKED_DIRTY, NOT_MAPPED, NR_MAPPED };

static int disturb(struct keep *k, size_t nr)
{
	int advice = disturbances[nr].advice;

	if (disturbances[nr].fn)
		return disturbances[nr].fn(k);
	madvise(k->p + 5 * PAGE, PAGE, advice);
	madvise(k->p, KEEP_LEN, advice);
	return 0;
}

/* A mapping with a unit before and behind what is looked at. */
static bool keep_map(struct keep *k, enum mapped how)
{
	char *p = som_map_private(k->fd, KEEP_LEN + 2 * UNIT);
	size_t at;

	if (p == MAP_FAILED)
		return false;
	k->p = p + UNIT;
	if (how == TRACKED_DIRTY && som_scan_clean(k->fd, k->p, KEEP_LEN))
		return false;
	som_touch_units(p, KEEP_LEN + 2 * UNIT);
	som_fill_pages(k->p, KEEP_LEN, 1);
	switch (how) {
	case BY_4K:
	case NOT_MAPPED:
		for (at = 0; at < KEEP_LEN; at += UNIT)
			if (mprotect(k->p + at + 7 * PAGE, PAGE, PROT_READ) ||
			    mprotect(k->p + at + 7 * PAGE, PAGE, RW))
				return false;
		return how == NOT_MAPPED ||
			som_check_pages(k->p, KEEP_LEN, 1) == -1;
	case TRACKED_CLEAN:
		return !som_scan_clean(k->fd, k->p, KEEP_LEN);
	default:
		return true;
	}
}

/* In part: each disturbance meets one kind of entries. */
static bool left_out(size_t nr, int how)
{
	if (disturbances[nr].once)
		return how;
	return som_in_part() && (nr + how) % NR_MAPPED;
}

TEST_F_TIMEOUT(som, nothing_else_loses_data, 400)
{
	struct keep k = { .fd = self->fd };
	size_t i;
	int how;

	for (i = 0; i < ARRAY_SIZE(disturbances); i++) {
		for (how = 0; how < NR_MAPPED; how++) {
			if (left_out(i, how))
				continue;
			ASSERT_TRUE(keep_map(&k, how));
			k.room = som_room(KEEP_LEN + 2 * UNIT, UNIT);
			ASSERT_NE(MAP_FAILED, k.room);
			EXPECT_EQ(0, disturb(&k, i))
				TH_LOG("%s, %d, errno %d", disturbances[i].name,
				       how, errno);
			/* What is done a moment later counts, too. */
			if (how == BY_2M)
				usleep(20000);
			EXPECT_EQ(-1, som_check_pages(k.p, KEEP_LEN, 1))
				TH_LOG("%s, %d", disturbances[i].name, how);
			/* It is still private memory. */
			ASSERT_EQ(0, madvise(k.p + 3 * PAGE, UNIT,
					     MADV_DONTNEED));
			EXPECT_EQ(-1, som_pages_not_zero(k.p + 3 * PAGE, UNIT))
				TH_LOG("%s, %d", disturbances[i].name, how);
			EXPECT_EQ(som_word(1, 2 * PAGE),
				  *(__u64 *)(k.p + 2 * PAGE));
			EXPECT_EQ(som_word(1, UNIT + 3 * PAGE),
				  *(__u64 *)(k.p + UNIT + 3 * PAGE));
			munmap(k.p - UNIT, KEEP_LEN + 2 * UNIT);
		}
	}
	EXPECT_USED_SOON(0);
}

/*
 * Races
 */

/*
 * Five units. Threads own the even pages of the second and the fourth. The
 * others, and all of the first, the third and the fifth unit, are disturbed.
 */
#define OWN_PAGES	512	/* both units' */

static char *own_page(struct som_race *race, int i)
{
	size_t unit = i < OWN_PAGES / 2 ? 1 : 3;

	return race->mem + unit * UNIT + i % (OWN_PAGES / 2) * 2 * PAGE;
}

static char *odd_page(struct som_race *race, unsigned int *seed)
{
	return own_page(race, rand_r(seed) % OWN_PAGES) + PAGE;
}

static void *keep_own_pages(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	__u64 round, v;
	int i;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		for (i = r->nr; i < OWN_PAGES; i += THREADS) {
			__u64 *w = (__u64 *)own_page(race, i);

			v = (round - 1) << 8 | r->nr;
			som_bad(race, round > 1 && (READ_ONCE(*w) != v ||
						    READ_ONCE(w[511]) != v));
			WRITE_ONCE(*w, round << 8 | r->nr);
			WRITE_ONCE(w[511], round << 8 | r->nr);
		}
		som_round(race);
	}
	return NULL;
}

static void disturb_dontneed_pages(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 1;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed);

		WRITE_ONCE(*(__u64 *)p, 1);
		som_bad(race, madvise(p, PAGE, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)p));
	}
}

static void disturb_dontneed_units(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 2;

	while (som_race_on(race, end)) {
		size_t unit = rand_r(&seed) % 3 * 2;
		char *p = race->mem + unit * UNIT, *from = p, *to = p + UNIT;

		/* The last page of the unit before is nobody's. */
		if (unit && rand_r(&seed) % 2)
			from -= PAGE;
		if (rand_r(&seed) % 4 == 0)
			to -= (1 + rand_r(&seed) % 300) * PAGE;
		WRITE_ONCE(*(__u64 *)from, 1);
		WRITE_ONCE(*(__u64 *)(to - PAGE), 1);
		som_bad(race, madvise(from, to - from, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)from));
		som_bad(race, READ_ONCE(*(__u64 *)(to - PAGE)));
		if (rand_r(&seed) % 8 == 0)
			usleep(rand_r(&seed) % 12000);
	}
}

static void disturb_mprotect(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 3;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed);

		som_bad(race, mprotect(p, PAGE, PROT_NONE));
		som_bad(race, madvise(odd_page(race, &seed), PAGE,
				      MADV_DONTNEED));
		som_bad(race, mprotect(p, PAGE, PROT_READ));
		som_bad(race, madvise(p, PAGE, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)p));
		som_bad(race, mprotect(p, PAGE, RW));
		WRITE_ONCE(*(__u64 *)p, 1);
	}
}

static void disturb_remove(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 4;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed), *q = odd_page(race, &seed);

		WRITE_ONCE(*(__u64 *)p, 1);
		WRITE_ONCE(*(__u64 *)q, 1);
		som_bad(race, madvise(p, PAGE, MADV_REMOVE));
		som_bad(race, madvise(q, PAGE, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)p));
		som_bad(race, READ_ONCE(*(__u64 *)q));
	}
}

static void disturb_munmap(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 5;

	while (som_race_on(race, end)) {
		som_bad(race, munmap(odd_page(race, &seed), PAGE));
		/* ENOMEM where it is gone already. */
		madvise(odd_page(race, &seed), PAGE, MADV_DONTNEED);
	}
}

static void disturb_mremap(struct som_race *race)
{
	double end = som_race_end(race);
	char *room = som_room(2 * UNIT, UNIT);
	unsigned int seed = 6;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed), *q;
		__u64 v = (__u64)p;

		WRITE_ONCE(*(__u64 *)p, v);
		q = room + rand_r(&seed) % 1024 * PAGE;
		som_bad(race, mremap(p, PAGE, PAGE, MREMAP_MAYMOVE |
				     MREMAP_FIXED, q) != q);
		som_bad(race, READ_ONCE(*(__u64 *)q) != v);
		som_bad(race, madvise(q, PAGE, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)q));
		som_bad(race, mremap(q, PAGE, PAGE, MREMAP_MAYMOVE |
				     MREMAP_FIXED, p) != p);
		som_bad(race, READ_ONCE(*(__u64 *)p));
	}
}

static void disturb_fork(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 7;

	while (som_race_on(race, end)) {
		pid_t pid = fork();

		if (!pid) {
			som_catch_faults();
			_exit(som_read_signal(race->mem + UNIT) != SIGSEGV);
		}
		som_bad(race, madvise(odd_page(race, &seed), PAGE,
				      MADV_DONTNEED));
		som_bad(race, som_wait_child(pid));
	}
}

/* The scans track and clean below the writers. */
static void disturb_scan(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 8;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed);

		som_bad(race, som_scan_clean(race->fd, race->mem, 5 * UNIT));
		WRITE_ONCE(*(__u64 *)p, 1);
		som_bad(race, madvise(p, PAGE, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)p));
		som_bad(race, madvise(race->mem + 2 * UNIT, UNIT,
				      MADV_DONTNEED));
	}
}

#define EXPECT_PAGES_SURVIVE(disturb) do {				\
	struct som_race race = { .fd = self->fd };			\
									\
	race.mem = som_map_private(self->fd, 5 * UNIT);			\
	ASSERT_NE(MAP_FAILED, race.mem);				\
	ASSERT_EQ(0, som_run_racers(&race, THREADS, keep_own_pages,	\
				    disturb));				\
	EXPECT_EQ(0, race.bad);						\
	EXPECT_LT(0, race.rounds);					\
	TH_LOG("%ld rounds", race.rounds);				\
} while (0)

TEST_F(som, own_pages_survive_dontneed_of_pages)
{
	EXPECT_PAGES_SURVIVE(disturb_dontneed_pages);
}

TEST_F(som, own_pages_survive_dontneed_of_units)
{
	EXPECT_PAGES_SURVIVE(disturb_dontneed_units);
}

TEST_F(som, own_pages_survive_mprotect)
{
	EXPECT_PAGES_SURVIVE(disturb_mprotect);
}

TEST_F(som, own_pages_survive_remove)
{
	EXPECT_PAGES_SURVIVE(disturb_remove);
}

TEST_F(som, own_pages_survive_munmap)
{
	EXPECT_PAGES_SURVIVE(disturb_munmap);
}

TEST_F(som, own_pages_survive_mremap)
{
	EXPECT_PAGES_SURVIVE(disturb_mremap);
}

TEST_F(som, own_pages_survive_fork)
{
	EXPECT_PAGES_SURVIVE(disturb_fork);
}

TEST_F(som, own_pages_survive_scans)
{
	EXPECT_PAGES_SURVIVE(disturb_scan);
}

/*
 * Every thread has blocks of 64 pages of its own in the same units, and a unit
 * of its own: what it DONTNEEDs there is zero to it, what it does not stays.
 */
#define BLOCK_PAGES	64
#define BLOCKS		16	/* of each thread */

static void *dontneed_own_blocks(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = r->nr;
	__u64 round;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		size_t pages = BLOCK_PAGES, from, to, i;
		char *p = race->mem + THREADS * UNIT +
			(rand_r(&seed) % BLOCKS * THREADS + r->nr) *
			BLOCK_PAGES * PAGE;

		if (rand_r(&seed) % 4 == 0) {
			p = race->mem + r->nr * UNIT;
			pages = UNIT_PAGES;
		}
		from = rand_r(&seed) % pages;
		to = from + 1 + rand_r(&seed) % (pages - from);
		if (rand_r(&seed) % 2) {
			from = 0;
			to = pages;
		}
		for (i = 0; i < pages; i++)
			WRITE_ONCE(*(__u64 *)(p + i * PAGE),
				   som_word(round << 8 | r->nr, i));
		som_bad(race, madvise(p + from * PAGE, (to - from) * PAGE,
				      MADV_DONTNEED));
		for (i = 0; i < pages; i++)
			som_bad(race, READ_ONCE(*(__u64 *)(p + i * PAGE)) !=
				(i >= from && i < to ? 0 :
				 som_word(round << 8 | r->nr, i)));
		som_round(race);
	}
	return NULL;
}

TEST_F(som, dontneed_is_zero_to_its_thread)
{
	size_t len = THREADS * UNIT + BLOCKS * THREADS * BLOCK_PAGES * PAGE;
	struct som_race race = { .fd = self->fd };

	race.mem = som_map_private(self->fd, len);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_run_racers(&race, THREADS, dontneed_own_blocks,
				    som_just_wait));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	TH_LOG("%ld rounds", race.rounds);
	ASSERT_EQ(0, madvise(race.mem, len, MADV_DONTNEED));
	EXPECT_USED_SOON(0);
	EXPECT_EQ(-1, som_not_zero(race.mem, len));
}

/*
 * All threads write and DONTNEED the same pages, by ranges that overlap. A word
 * is zero, or what somebody wrote to this very page.
 */
static void *dontneed_overlapping(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	size_t pages = race->len / PAGE, from, len, i;
	unsigned int seed = 10 + r->nr;

	while (!READ_ONCE(race->stop)) {
		from = rand_r(&seed) % pages;
		len = 1 + rand_r(&seed) % (pages - from);
		if (rand_r(&seed) % 2)
			len = len > 8 ? 8 : len;
		for (i = from; i < from + len; i++)
			WRITE_ONCE(*(__u64 *)(race->mem + i * PAGE),
				   som_word(r->nr, i));
		som_bad(race, madvise(race->mem + from * PAGE, len * PAGE,
				      rand_r(&seed) % 8 ? MADV_DONTNEED :
				      MADV_REMOVE));
		for (i = from; i < from + len; i++) {
			__u64 v = READ_ONCE(*(__u64 *)(race->mem + i * PAGE));
			int nr;

			for (nr = 0; v && nr < THREADS; nr++)
				if (v == som_word(nr, i))
					v = 0;
			som_bad(race, v);
			v = READ_ONCE(*(__u64 *)(race->mem + i * PAGE + 2048));
			som_bad(race, v);
		}
		som_round(race);
	}
	return NULL;
}

TEST_F(som, overlapping_dontneed)
{
	struct som_race race = { .fd = self->fd, .len = 3 * UNIT };

	race.mem = som_map_private(self->fd, race.len);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_run_racers(&race, THREADS, dontneed_overlapping,
				    som_just_wait));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	ASSERT_EQ(0, madvise(race.mem, race.len, MADV_DONTNEED));
	EXPECT_USED_SOON(0);
	EXPECT_EQ(-1, som_not_zero(race.mem, race.len));
	EXPECT_COMMITTED(3);
}

/* DONTNEED of everything while another thread maps, moves and unmaps it. */
static void *dontneed_what_moves(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = 20 + r->nr;

	som_catch_faults();
	while (!READ_ONCE(race->stop)) {
		size_t pages = race->len / PAGE, page = rand_r(&seed) % pages;
		char *p = (r->nr % 2 ? race->mem : race->other) + page * PAGE;
		size_t nr = 1 + rand_r(&seed) % 700;
		__u64 value;

		/* What lies behind is somebody else's. */
		if (nr > pages - page)
			nr = pages - page;
		madvise(p, nr * PAGE, MADV_DONTNEED);
		if (!som_try_read(p, &value))
			som_bad(race, value && value >> 32 != 0x5555);
		som_round(race);
	}
	return NULL;
}

static void move_about(struct som_race *race)
{
	char *from, *to, *swap;
	unsigned int seed = 30;
	double end;

	/* Nothing of a thread's own may come to where the mappings move about. */
	while (READ_ONCE(race->rounds) < 100)
		usleep(1000);
	end = som_race_end(race);
	while (som_race_on(race, end)) {
		from = race->mem;
		to = race->other;
		/* Not needed by whoever DONTNEEDs: a fresh one each time. */
		som_bad(race, som_map_private_at(race->fd, from, race->len, RW,
						 MAP_FIXED) != from);
		for (int i = 0; i < 6; i++) {
			char *p = from + rand_r(&seed) % 4096 * (race->len / 4096);

			WRITE_ONCE(*(__u64 *)((uintptr_t)p & ~7UL),
				   0x5555ULL << 32);
			som_bad(race, mremap(from, race->len, race->len,
					     MREMAP_MAYMOVE | MREMAP_FIXED,
					     to) != to);
			swap = from;
			from = to;
			to = swap;
		}
		som_bad(race, munmap(from + UNIT + PAGE, PAGE));
		som_bad(race, munmap(from, race->len));
	}
}

static void race_with_moves(struct __test_metadata *_metadata, int fd,
			    size_t shift)
{
	struct som_race race = { .fd = fd, .len = 3 * UNIT };

	race.mem = som_room(race.len + UNIT, UNIT);
	race.other = som_room(race.len + UNIT, UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_NE(MAP_FAILED, race.other);
	race.other += shift;
	ASSERT_EQ(0, som_run_racers(&race, 2, dontneed_what_moves, move_about));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
}

TEST_F(som, dontneed_races_with_mremap)
{
	race_with_moves(_metadata, self->fd, 0);
	EXPECT_USED_SOON(0);
	EXPECT_COMMITTED(0);
}

TEST_F(som, dontneed_races_with_unaligned_mremap)
{
	race_with_moves(_metadata, self->fd, 7 * PAGE);
	EXPECT_USED_SOON(0);
	EXPECT_COMMITTED(0);
}

/*
 * Two processes and eight units: what one gives back the other has next. A
 * word is what this process wrote, or zero.
 */
static void *write_dontneeded(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	__u64 mark = (__u64)getpid() << 40 | (__u64)r->nr << 32;
	__u64 round, seen;
	int page;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		for (page = r->nr; page < 2048; page += THREADS * 4) {
			__u64 *w = (__u64 *)(race->mem + page * PAGE);

			WRITE_ONCE(*w, mark | round);
			seen = READ_ONCE(*w);
			som_bad(race, seen && seen != (mark | round));
			seen = READ_ONCE(w[511]);
			som_bad(race, seen && seen >> 32 != mark >> 32);
			WRITE_ONCE(w[511], mark | round);
		}
		som_round(race);
	}
	return NULL;
}

static void dontneed_units(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = getpid();

	while (som_race_on(race, end)) {
		char *p = race->mem + rand_r(&seed) % 4 * UNIT;
		size_t len = rand_r(&seed) % 3 ? UNIT : 10 * PAGE;

		som_bad(race, madvise(p, len, MADV_DONTNEED));
	}
}

TEST_F(som, units_of_two_processes)
{
	size_t held_len = (self->before.free - 8) * UNIT;
	pid_t pid[2];
	char *held;
	int i;

	held = som_map(self->fd, held_len);
	ASSERT_NE(MAP_FAILED, held);
	som_touch_units(held, held_len);
	for (i = 0; i < 2; i++) {
		struct som_race race = { .fd = self->fd };

		pid[i] = fork();
		if (pid[i])
			continue;
		race.mem = som_map_private(self->fd, 4 * UNIT);
		child_assert(race.mem != MAP_FAILED);
		child_assert(!som_run_racers(&race, THREADS, write_dontneeded,
					     dontneed_units));
		child_assert(race.rounds > 0);
		child_assert(race.bad == 0);
		_exit(0);
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, som_wait_child(pid[i]));
}

TEST_F(som, sigkill_in_the_midst)
{
	double end = som_now() + 2 * som_race_seconds();
	unsigned int seed = 1;
	int rounds = 0;

	while (som_now() < end || rounds < 3) {
		pid_t pid = fork();

		if (!pid) {
			struct som_race race = { .len = 3 * UNIT };

			race.mem = som_map_private(self->fd, race.len);
			som_run_racers(&race, 3, dontneed_overlapping,
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

/* Unmap, exit, or close right after: nothing that comes late meets others. */
TEST_F(som, dontneed_and_gone)
{
	int i, rounds = som_rounds(200);

	for (i = 0; i < rounds; i++) {
		char *p = som_map_private(self->fd, 2 * UNIT), *q;

		ASSERT_NE(MAP_FAILED, p);
		som_fill_pages(p, 2 * UNIT, i);
		ASSERT_EQ(0, madvise(p, 2 * UNIT - i % 2 * PAGE,
				     MADV_DONTNEED));
		ASSERT_EQ(0, munmap(p, 2 * UNIT));
		/* The next one has these addresses, and its own data. */
		q = som_map_at(self->fd, p, 2 * UNIT, RW, MAP_FIXED);
		ASSERT_EQ(p, q);
		ASSERT_EQ(-1, som_pages_not_zero(q, 2 * UNIT));
		som_fill_pages(q, 2 * UNIT, ~i);
		if (i % 16 == 0)
			usleep(15000);
		ASSERT_EQ(-1, som_check_pages(q, 2 * UNIT, ~i));
		ASSERT_EQ(0, munmap(q, 2 * UNIT));
	}
	EXPECT_USED_SOON(0);
}

/*
 * Tracking. A page whose content DONTNEED has changed is reported as written, or
 * is not present.
 */
TEST_F(som, tracked_pages_are_told)
{
	static const struct {
		size_t from, to;
	} cases[] = {
		{ 5, 6 }, { 0, 512 }, { 100, 900 }, { 511, 1025 }, { 0, 1536 },
	};
	__u64 got[3 * UNIT_PAGES];
	size_t i, page;
	int again;

	for (i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		size_t from = cases[i / 2].from, to = cases[i / 2].to;
		char *p = som_map_private(self->fd, 3 * UNIT);

		ASSERT_NE(MAP_FAILED, p);
		/* Tracked before it is written, or after. */
		if (i % 2)
			ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
		som_fill_pages(p, 3 * UNIT, 1);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
		ASSERT_EQ(0, som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
		ASSERT_EQ(0, madvise(p + from * PAGE, (to - from) * PAGE,
				     MADV_DONTNEED));
		for (again = 0; again < 2; again++) {
			ASSERT_EQ(0, som_scan_pages(self->fd, p, 3 * UNIT_PAGES,
						    again ? WP : 0, 0,
						    WRITTEN | PRESENT, got));
			for (page = from; page < to; page++) {
				ASSERT_NE(NOT_LISTED, got[page]);
				if (got[page] & PRESENT)
					EXPECT_NE(0, got[page] & WRITTEN)
						TH_LOG("page %zu of %zu to %zu",
						       page, from, to);
			}
			if (!again && i % 2)
				READ_ONCE(p[from * PAGE]);
		}
		EXPECT_EQ(-1, som_pages_not_zero(p + from * PAGE,
						 (to - from) * PAGE));
		ASSERT_EQ(0, munmap(p, 3 * UNIT));
	}
}

/*
 * A scan for written pages alone, and a reset, pass over what they know to be
 * clean: not over a part that DONTNEED has zeroed meanwhile.
 */
TEST_F(som, parts_that_went_are_written)
{
	char *p = som_map_private(self->fd, 3 * UNIT), *q = p + UNIT + 5 * PAGE;
	char *image = som_shared(3 * UNIT);
	struct som_reset reset;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, image);
	som_fill(p, 3 * UNIT, 1);
	memcpy(image, p, 3 * UNIT);
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
		ASSERT_EQ(0, som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
		ASSERT_EQ(0, madvise(q, 2 * PAGE, MADV_DONTNEED));
		EXPECT_EQ(UNIT_PAGES,
			  som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
		EXPECT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
		ASSERT_EQ(0, madvise(q, 2 * PAGE, MADV_DONTNEED));
		reset = som_reset_args(p, 3 * UNIT);
		reset.flags = SOM_RESET_IMAGE_MEM;
		reset.image = som_addr(image);
		ASSERT_EQ(0, som_reset_call(self->fd, &reset));
		EXPECT_EQ(UNIT, reset.rewritten);
		EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	}
}

#define GOING_UNITS	4

/* Units come and go: each one is given up whole, and soon written again. */
static void *give_up_units(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	size_t unit;

	while (!READ_ONCE(race->stop)) {
		for (unit = r->nr; unit < GOING_UNITS; unit += 2) {
			char *p = race->mem + unit * UNIT;

			WRITE_ONCE(*p, 1);
			som_bad(race, madvise(p, UNIT, MADV_DONTNEED));
		}
		som_round(race);
	}
	return NULL;
}

/* A scan that takes all there is lists every page, there or not. */
static void scan_all_pages(struct som_race *race)
{
	static __u64 got[GOING_UNITS * UNIT_PAGES];
	double end = som_race_end(race);
	size_t page;

	while (som_race_on(race, end)) {
		som_bad(race, som_scan_pages(race->fd, race->mem,
					     GOING_UNITS * UNIT_PAGES, 0, 0,
					     PRESENT, got));
		for (page = 0; page < GOING_UNITS * UNIT_PAGES; page++)
			som_bad(race, got[page] == NOT_LISTED);
	}
}

TEST_F(som, scans_list_units_that_go)
{
	struct som_race race = {
		.fd = self->fd, .seconds = 2 * som_race_seconds(),
	};

	race.mem = som_map_private(self->fd, GOING_UNITS * UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_run_racers(&race, 2, give_up_units, scan_all_pages));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
}

/*
 * Each thread has units of its own, below scans that clean them: what it has given up is
 * zero, what it has written then stays, also when a worker comes by.
 */
static void *give_up_and_keep(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = 50 + r->nr;
	__u64 round;
	size_t at;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		size_t unit = rand_r(&seed) % 2 * 2 + r->nr;
		char *p = race->mem + unit * UNIT;
		size_t keep = rand_r(&seed) % UNIT_PAGES * PAGE;

		for (at = rand_r(&seed) % 64 * PAGE; at < UNIT; at += 61 * PAGE)
			WRITE_ONCE(*(__u64 *)(p + at), som_word(round, at));
		WRITE_ONCE(*(__u64 *)(p + keep), round);
		/* A part alone makes it zero where it is. */
		if (rand_r(&seed) % 2)
			som_bad(race, madvise(p + rand_r(&seed) % 511 * PAGE,
					      PAGE, MADV_DONTNEED));
		som_bad(race, madvise(p, UNIT, MADV_DONTNEED));
		if (rand_r(&seed) % 4)
			som_bad(race, READ_ONCE(*(__u64 *)(p + keep)));
		WRITE_ONCE(*(__u64 *)(p + keep), round);
		if (rand_r(&seed) % 2)
			usleep(rand_r(&seed) % 15000);
		som_bad(race, READ_ONCE(*(__u64 *)(p + keep)) != round);
		WRITE_ONCE(*(__u64 *)(p + keep), 0);
		if (rand_r(&seed) % 4 == 0)
			som_bad(race, som_pages_not_zero(p, UNIT) != -1);
		som_round(race);
	}
	return NULL;
}

static void scan_and_clean(struct som_race *race)
{
	double end = som_race_end(race);

	while (som_race_on(race, end))
		som_bad(race, som_scan_clean(race->fd, race->mem,
					     GOING_UNITS * UNIT));
}

TEST_F(som, scans_beside_what_goes_and_comes)
{
	struct som_race race = { .fd = self->fd };

	race.mem = som_map_private(self->fd, GOING_UNITS * UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_scan_clean(self->fd, race.mem, GOING_UNITS * UNIT));
	ASSERT_EQ(0, som_run_racers(&race, 2, give_up_and_keep, scan_and_clean));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	TH_LOG("%ld rounds, %ld wrong", race.rounds, race.bad);
}

/* A write after the DONTNEED is told as any other. */
TEST_F(som, tracked_and_written_again)
{
	char *p = som_map_private(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 2 * UNIT, 1);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	ASSERT_EQ(0, madvise(p, UNIT + 10 * PAGE, MADV_DONTNEED));
	/* Whatever this one says; all is clean afterwards. */
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	p[3 * PAGE] = 1;
	p[UNIT + 3 * PAGE] = 1;
	EXPECT_NE(0, som_scan_page(self->fd, p + 3 * PAGE, WRITTEN));
	EXPECT_NE(0, som_scan_page(self->fd, p + UNIT + 3 * PAGE, WRITTEN));
	EXPECT_EQ(som_word(1, UNIT + 10 * PAGE),
		  *(__u64 *)(p + UNIT + 10 * PAGE));
}

TEST_F(som, zero_category_after_dontneed)
{
	char *p = som_map_private(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 2 * UNIT, 1);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, ZERO));
	ASSERT_EQ(0, madvise(p, UNIT + 10 * PAGE, MADV_DONTNEED));
	EXPECT_EQ(UNIT_PAGES + 10,
		  som_scan_count(self->fd, p, 2 * UNIT, ZERO));
}

TEST_F(som, reset_of_private_memory)
{
	char *p = som_map_private(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	som_fill_pages(p, 2 * UNIT, 1);
	ASSERT_EQ(0, madvise(p + UNIT, 5 * PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, som_reset_zero(self->fd, p, 2 * UNIT));
	EXPECT_EQ(-1, som_not_zero(p, 2 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
}

/* A private mapping cannot grow, and nothing changes when that is tried. */
TEST_F(som, growing)
{
	char *p = som_map_private(self->fd, 4 * UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 4 * UNIT, 1);
	/* What is added might be the rest of the mapping, or one that was cut off. */
	EXPECT_EQ(MAP_FAILED, mremap(p, UNIT, 2 * UNIT, MREMAP_MAYMOVE));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(MAP_FAILED, mremap(p + PAGE, PAGE, UNIT, MREMAP_MAYMOVE));
	EXPECT_EQ(ENOMEM, errno);
	ASSERT_EQ(0, munmap(p + UNIT, UNIT));
	EXPECT_EQ(MAP_FAILED, mremap(p, UNIT, 4 * UNIT, MREMAP_MAYMOVE));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(som_word(1, 3 * UNIT), *(__u64 *)(p + 3 * UNIT));
	EXPECT_USED(3);
	EXPECT_COMMITTED(3);

	/* Where nobody has it, and the kernel moves the mapping, neither. */
	ASSERT_EQ(p + UNIT, mmap(p + UNIT, PAGE, PROT_NONE, MAP_PRIVATE |
				 MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(MAP_FAILED, mremap(p, UNIT, 2 * UNIT, MREMAP_MAYMOVE));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(MAP_FAILED, mremap(p + 2 * UNIT, UNIT, 3 * UNIT, MREMAP_MAYMOVE));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	for (size_t o = 2 * UNIT; o < 4 * UNIT; o += 8)
		ASSERT_EQ(som_word(1, o), *(__u64 *)(p + o));
	EXPECT_USED(3);
	EXPECT_COMMITTED(3);

	/* A move of a part that is as long as before is none. */
	q = mremap(p + 2 * UNIT, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   som_room(PAGE, PAGE));
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(som_word(1, 2 * UNIT), *(__u64 *)q);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "exit"))
		return 0;
	return test_harness_run(argc, argv);
}
