// SPDX-License-Identifier: GPL-2.0
/*
 * MAP_PRIVATE: madvise(MADV_DONTNEED) makes memory zero, at once and whatever
 * its entries are and wherever it has moved to.
 *
 * SOM-TEST: timeout=900 takes=12
 */
#include "som_scan.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif

static const char *(*som_missing)(int fd) = som_no_private;
static bool som_one_process = true;

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
 * Mappings
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

/* Ranges in pages, of four units. @freed: units that are freed. */
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

SOM_FIXTURE(ranges)

FIXTURE_VARIANT(ranges)
{
	int advice;
	bool small;	/* 4 KiB entries */
};

FIXTURE_VARIANT_ADD(ranges, dontneed)
{
	.advice = MADV_DONTNEED,
};

FIXTURE_VARIANT_ADD(ranges, dontneed_at_4k_entries)
{
	.advice = MADV_DONTNEED,
	.small = true,
};

FIXTURE_VARIANT_ADD(ranges, dontneed_locked)
{
	.advice = MADV_DONTNEED_LOCKED,
};

TEST_F(ranges, become_zero)
{
	char *room = som_room(5 * UNIT, UNIT), *p;
	size_t i, from, to, len = 4 * UNIT;
	long bad;

	ASSERT_NE(MAP_FAILED, room);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		p = som_map_private_at(self->fd, room, len, RW, MAP_FIXED);
		ASSERT_EQ(room, p);
		som_fill(p, len, i);
		if (variant->small) {
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
				     variant->advice));
		/* A unit that several mappings have in parts may be kept. */
		if (!variant->small)
			EXPECT_USED_SOON(4 - ranges[i].freed);
		bad = check_zeroed(p, len / PAGE, from, to, i);
		EXPECT_EQ(-1, bad)
			TH_LOG("page %ld after DONTNEED of %zu to %zu", bad,
			       from, to);
		/* It is memory as before. */
		som_fill(p, len, ~i);
		EXPECT_EQ(-1, som_check(p, len, ~i));
	}
}

SOM_FIXTURE(refault)

FIXTURE_VARIANT(refault)
{
	size_t from, len;
};

FIXTURE_VARIANT_ADD(refault, of_a_page)
{
	.from = UNIT + 5 * PAGE,
	.len = PAGE,
};

FIXTURE_VARIANT_ADD(refault, of_a_unit)
{
	.from = UNIT,
	.len = UNIT,
};

FIXTURE_VARIANT_ADD(refault, of_an_odd_range)
{
	.from = UNIT - 3 * PAGE,
	.len = UNIT + 9 * PAGE,
};

FIXTURE_VARIANT_ADD(refault, of_units)
{
	.len = 3 * UNIT,
};

/* No time for a worker: the very next access sees zero, and may write. */
TEST_F(refault, at_once)
{
	size_t from = variant->from, len = variant->len, end = from + len, at;
	char *p = som_map_private(self->fd, 4 * UNIT);
	int i, rounds = som_rounds(len > UNIT ? 60 : 400);

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

/* Entries that a split has removed, and no fault has made again. */
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

/* The kernel continues after a hole, and returns ENOMEM. */
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
		/* The last page of the first unit, alone at another address. */
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

/* Unmapped parts count as covered: they cannot be accessed. */
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

/* mremap from length 0 makes a second view: the first must not be used then. */
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

static void *touch_all_the_time(void *arg)
{
	char **p = arg, *at;

	while ((at = __atomic_load_n(p, __ATOMIC_ACQUIRE)) != MAP_FAILED) {
		if (at)
			som_read_signal(at);
	}
	return NULL;
}

/* Whoever touches the first mapping meanwhile gets no entry that stays there. */
TEST_F(som, a_duplicate_beside_touches)
{
	double end = som_now() + som_race_seconds();
	char *shown = NULL, *p, *q;
	pthread_t thread;
	long rounds = 0;

	som_catch_faults();
	ASSERT_EQ(0, pthread_create(&thread, NULL, touch_all_the_time, &shown));
	while (som_now() < end || rounds < 3) {
		p = som_map_private(self->fd, UNIT);
		ASSERT_NE(MAP_FAILED, p);
		WRITE_ONCE(*(__u64 *)p, 7);
		__atomic_store_n(&shown, p, __ATOMIC_RELEASE);
		if (rounds % 2)
			usleep(rounds % 50);
		q = mremap(p, 0, UNIT, MREMAP_MAYMOVE);
		ASSERT_NE(MAP_FAILED, q);
		EXPECT_EQ(SIGBUS, som_read_signal(p));
		EXPECT_EQ(7, *(__u64 *)q);
		__atomic_store_n(&shown, NULL, __ATOMIC_RELEASE);
		munmap(p, UNIT);
		munmap(q, UNIT);
		rounds++;
	}
	__atomic_store_n(&shown, MAP_FAILED, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	TH_LOG("%ld rounds", rounds);
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

/* The target of MREMAP_DONTUNMAP moves on: the data are at the last target. */
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

/* A private mapping cannot grow, and nothing changes when that is tried. */
TEST_F(som, growing)
{
	char *p = som_map_private(self->fd, 4 * UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 4 * UNIT, 1);
	/* The added offsets might be the rest of the mapping, or a part cut off. */
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

	/* Nor where the offsets are unused, and the kernel moves the mapping. */
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

TEST_HARNESS_MAIN
