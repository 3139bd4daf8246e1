// SPDX-License-Identifier: GPL-2.0
/*
 * What the scan call promises of som memory, rule by rule: which categories a
 * page has, when tracking starts and ends, what a scan leaves alone, limits,
 * and one broken thing for each error.
 *
 * SOM-TEST: timeout=600 takes=24 kmemleak
 */
#include <linux/io_uring.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "som_scan.h"

static bool som_one_process = true;

#define MAX_PAGES	(8 * UNIT_PAGES)
#define ALL		(WRITTEN | PRESENT | TRACKED)

static __u64 got[MAX_PAGES];

static void write_page(char *p, size_t page)
{
	WRITE_ONCE(p[page * PAGE + 100], 1);
}

/* All units populated, tracked and clean. */
static char *map_tracked(int fd, size_t units)
{
	char *p = som_map(fd, units * UNIT);

	if (p == MAP_FAILED)
		return p;
	som_fill_pages(p, units * UNIT, 1);
	if (som_scan_clean(fd, p, units * UNIT) ||
	    som_scan_count(fd, p, units * UNIT, WRITTEN)) {
		munmap(p, units * UNIT);
		return MAP_FAILED;
	}
	return p;
}

/*
 * Categories
 */

TEST_F(som, untouched_memory_has_no_category)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	GET(p, 2 * UNIT_PAGES, KERNEL_CATEGORIES);
	EXPECT_PAGES(0, 2 * UNIT_PAGES, 0);
}

TEST_F(som, untracked_memory_is_written_where_present)
{
	char *p = som_map(self->fd, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	write_page(p + UNIT, 7);
	READ_ONCE(p[2 * UNIT + 5 * PAGE]);
	GET(p, 4 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, UNIT_PAGES, 0);
	EXPECT_PAGES(UNIT_PAGES, 3 * UNIT_PAGES, WRITTEN | PRESENT);
	EXPECT_PAGES(3 * UNIT_PAGES, 4 * UNIT_PAGES, 0);
}

TEST_F(som, other_categories_never_appear)
{
	__u64 never = PAGE_IS_FILE | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO |
		PAGE_IS_SOFT_DIRTY;
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	READ_ONCE(p[0]);
	write_page(p + UNIT, 7);
	GET(p, 3 * UNIT_PAGES, never);
	EXPECT_PAGES(0, 3 * UNIT_PAGES, 0);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
	write_page(p + UNIT, 8);
	GET(p, 3 * UNIT_PAGES, never);
	EXPECT_PAGES(0, 3 * UNIT_PAGES, 0);
}

TEST_F(som, huge_is_one_2m_entry)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 3);
	GET(p, 2 * UNIT_PAGES, HUGE_2M);
	EXPECT_PAGES(0, UNIT_PAGES, HUGE_2M);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, 0);

	/* The first write after cleaning needs 4 KiB entries. */
	ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	write_page(p, 3);
	GET(p, UNIT_PAGES, HUGE_2M);
	EXPECT_PAGES(0, UNIT_PAGES, 0);
}

TEST_F(som, part_of_a_unit_is_never_huge)
{
	char *p = som_map(self->fd, 2 * UNIT - PAGE);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 2 * UNIT - PAGE);
	GET(p, 2 * UNIT_PAGES - 1, HUGE_2M);
	EXPECT_PAGES(0, UNIT_PAGES, HUGE_2M);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES - 1, 0);
}

TEST_F(som, present_is_by_unit)
{
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
	GET(p, 3 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, 3 * UNIT_PAGES, TRACKED);
	READ_ONCE(p[UNIT + 17 * PAGE]);
	GET(p, 3 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, UNIT_PAGES, TRACKED);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_PAGES(2 * UNIT_PAGES, 3 * UNIT_PAGES, TRACKED);
}

/*
 * Tracking starts
 */

TEST_F(som, check_of_untracked_memory_fails)
{
	char *p = som_map(self->fd, 2 * UNIT);
	struct page_region vec[4];

	ASSERT_NE(MAP_FAILED, p);
	/* Nothing there yet: still memory that is not tracked. */
	EXPECT_EQ(-EPERM, som_scan_written(self->fd, p, UNIT, CHECK, vec, 4));
	som_fill_pages(p, 2 * UNIT, 1);
	EXPECT_EQ(-EPERM, som_scan_written(self->fd, p, UNIT, CHECK, vec, 4));
	EXPECT_EQ(-EPERM, som_scan_written(self->fd, p, UNIT, CHECK, NULL, 0));
	EXPECT_EQ(-EPERM, som_scan_written(self->fd, p, UNIT, CHECK | WP, vec,
					   4));
	EXPECT_EQ(-EPERM, som_scan_written(self->fd, p + 5 * PAGE, PAGE, CHECK,
					   vec, 4));
	/* Nothing was started, nothing was cleaned. */
	GET(p, 2 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, 2 * UNIT_PAGES, WRITTEN | PRESENT);
	/* Tracked, then not tracked. */
	ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	EXPECT_EQ(0, som_scan_written(self->fd, p, UNIT, CHECK, vec, 4));
	EXPECT_EQ(-EPERM, som_scan_written(self->fd, p, 2 * UNIT, CHECK, vec,
					   4));
	EXPECT_EQ(-EPERM, som_scan_written(self->fd, p, UNIT + PAGE, CHECK, vec,
					   4));
	EXPECT_EQ(0, som_scan_written(self->fd, p + UNIT, 0, CHECK, vec, 4));
}

TEST_F(som, first_clean_scan_reports_and_starts)
{
	char *p = som_map(self->fd, 3 * UNIT);
	struct page_region vec[4];

	ASSERT_NE(MAP_FAILED, p);
	write_page(p + UNIT, 9);
	ASSERT_EQ(1, som_scan_written(self->fd, p, 3 * UNIT, WP, vec, 4));
	EXPECT_EQ(som_addr(p + UNIT), vec[0].start);
	EXPECT_EQ(som_addr(p + 2 * UNIT), vec[0].end);
	EXPECT_EQ(WRITTEN, vec[0].categories);
	GET(p, 3 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, UNIT_PAGES, TRACKED);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_PAGES(2 * UNIT_PAGES, 3 * UNIT_PAGES, TRACKED);
	EXPECT_EQ(0, som_scan_written(self->fd, p, 3 * UNIT, CHECK, vec, 4));
	EXPECT_EQ(0, som_scan_written(self->fd, p, 3 * UNIT, CHECK | WP, vec,
				      4));
}

TEST_F(som, tracking_covers_whole_units)
{
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 2 * UNIT, 1);
	ASSERT_EQ(0, som_scan_clean(self->fd, p + UNIT - 10 * PAGE,
				    20 * PAGE));
	GET(p, 3 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, UNIT_PAGES - 10, TRACKED | PRESENT | WRITTEN);
	EXPECT_PAGES(UNIT_PAGES - 10, UNIT_PAGES + 10, TRACKED | PRESENT);
	EXPECT_PAGES(UNIT_PAGES + 10, 2 * UNIT_PAGES,
		     TRACKED | PRESENT | WRITTEN);
	EXPECT_PAGES(2 * UNIT_PAGES, 3 * UNIT_PAGES, 0);
}

TEST_F(som, pages_that_did_not_match_stay_written)
{
	char *p = som_map(self->fd, UNIT);
	struct page_region vec[4];
	struct pm_scan_arg arg;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, UNIT, 1);
	arg = som_scan_args(p, UNIT, vec, 4);
	arg.flags = WP;
	arg.category_mask = WRITTEN;
	arg.return_mask = WRITTEN;
	arg.max_pages = 100;
	ASSERT_EQ(1, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(p + 100 * PAGE), arg.walk_end);
	GET(p, UNIT_PAGES, ALL);
	EXPECT_PAGES(0, 100, TRACKED | PRESENT);
	EXPECT_PAGES(100, UNIT_PAGES, TRACKED | PRESENT | WRITTEN);
}

TEST_F(som, tracked_before_use_is_exact)
{
	char *p = som_map(self->fd, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 4 * UNIT));
	EXPECT_USED(0);
	write_page(p, UNIT_PAGES + 5);
	READ_ONCE(p[2 * UNIT + 9 * PAGE]);
	write_page(p, 2 * UNIT_PAGES + 11);
	GET(p, 4 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, UNIT_PAGES, TRACKED);
	EXPECT_PAGES(UNIT_PAGES, UNIT_PAGES + 5, TRACKED | PRESENT);
	EXPECT_PAGES(UNIT_PAGES + 5, UNIT_PAGES + 6, ALL);
	EXPECT_PAGES(UNIT_PAGES + 6, 2 * UNIT_PAGES + 11, TRACKED | PRESENT);
	EXPECT_PAGES(2 * UNIT_PAGES + 11, 2 * UNIT_PAGES + 12, ALL);
	EXPECT_PAGES(2 * UNIT_PAGES + 12, 3 * UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_PAGES(3 * UNIT_PAGES, 4 * UNIT_PAGES, TRACKED);
	EXPECT_USED(2);
}

TEST_F(som, part_of_an_empty_unit)
{
	char *p = som_map(self->fd, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	/* Its beginning, its middle, its end. */
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 100 * PAGE));
	ASSERT_EQ(0, som_scan_clean(self->fd, p + UNIT + 5 * PAGE, PAGE));
	ASSERT_EQ(0, som_scan_clean(self->fd, p + 3 * UNIT - PAGE, PAGE));
	EXPECT_EQ(0, som_scan_written(self->fd, p, 3 * UNIT, CHECK, NULL, 0));
	write_page(p, 300);
	write_page(p, UNIT_PAGES + 300);
	write_page(p, 2 * UNIT_PAGES + 300);
	GET(p, 4 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, 300, TRACKED | PRESENT);
	EXPECT_PAGES(300, 301, ALL);
	EXPECT_PAGES(301, UNIT_PAGES + 300, TRACKED | PRESENT);
	EXPECT_PAGES(UNIT_PAGES + 300, UNIT_PAGES + 301, ALL);
	EXPECT_PAGES(UNIT_PAGES + 301, 2 * UNIT_PAGES + 300, TRACKED | PRESENT);
	EXPECT_PAGES(2 * UNIT_PAGES + 300, 2 * UNIT_PAGES + 301, ALL);
	EXPECT_PAGES(2 * UNIT_PAGES + 301, 3 * UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_PAGES(3 * UNIT_PAGES, 4 * UNIT_PAGES, 0);
}

TEST_F(som, no_access_yet)
{
	char *p = som_map_at(self->fd, NULL, 2 * UNIT, PROT_NONE, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	GET(p, 2 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, 2 * UNIT_PAGES, TRACKED);
	EXPECT_COMMITTED(0);
	ASSERT_EQ(0, mprotect(p, 2 * UNIT, RW));
	write_page(p, 5);
	GET(p, 2 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, 5, TRACKED | PRESENT);
	EXPECT_PAGES(5, 6, ALL);
	EXPECT_PAGES(6, UNIT_PAGES, TRACKED | PRESENT);
}

/*
 * What was written, in every way that a unit can be written
 */

TEST_F(som, any_number_of_pages_in_any_round)
{
	static const size_t numbers[] = {
		1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 200,
		511, 512,
	};
	struct som_random r = { 1 };
	char *p = map_tracked(self->fd, 2);
	static bool want[2 * UNIT_PAGES];
	size_t i, n, page, wrong;
	int round, rounds = som_rounds(12);

	ASSERT_NE(MAP_FAILED, p);
	for (round = 0; round < rounds; round++) {
		for (n = 0; n < ARRAY_SIZE(numbers); n++) {
			memset(want, 0, sizeof(want));
			for (i = 0; i < numbers[n]; i++) {
				page = numbers[n] == 512 ? i :
					som_below(&r, 2 * UNIT_PAGES);
				want[page] = true;
				write_page(p, page);
			}
			ASSERT_EQ(0, som_scan_pages(self->fd, p, 2 * UNIT_PAGES,
						    WP, WRITTEN, WRITTEN, got));
			for (wrong = 0, i = 0; i < 2 * UNIT_PAGES; i++)
				wrong += (got[i] == WRITTEN) != want[i];
			ASSERT_EQ(0, wrong)
				TH_LOG("%zu writes, round %d", numbers[n],
				       round);
		}
	}
}

/* The second scan sees nothing, also when only a part was cleaned each time. */
TEST_F(som, cleaning_page_by_page)
{
	char *p = map_tracked(self->fd, 1);
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, UNIT, 3);
	for (i = 0; i < UNIT_PAGES; i += 16) {
		ASSERT_EQ(0, som_scan_clean(self->fd, p + i * PAGE, 16 * PAGE));
		GET(p, UNIT_PAGES, WRITTEN);
		EXPECT_PAGES(0, i + 16, 0);
		EXPECT_PAGES(i + 16, UNIT_PAGES, WRITTEN);
	}
	EXPECT_EQ(-1, som_check_pages(p, UNIT, 3));
}

TEST_F(som, dontneed_loses_no_write)
{
	char *p = map_tracked(self->fd, 2);

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 3);
	write_page(p, 700);
	ASSERT_EQ(0, madvise(p, 2 * UNIT, MADV_DONTNEED));
	GET(p, 2 * UNIT_PAGES, WRITTEN);
	EXPECT_EQ(WRITTEN, got[3]);
	EXPECT_EQ(WRITTEN, got[700]);
	EXPECT_EQ(1, p[3 * PAGE + 100]);

	/* Also of part of a unit, and with many written pages. */
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	som_fill_pages(p, UNIT, 4);
	ASSERT_EQ(0, madvise(p + 9 * PAGE, 90 * PAGE, MADV_DONTNEED));
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, UNIT_PAGES, WRITTEN);
	EXPECT_EQ(-1, som_check_pages(p, UNIT, 4));
}

TEST_F(som, dontneed_is_no_write)
{
	char *p = map_tracked(self->fd, 2);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(p + UNIT, 5 * PAGE, MADV_DONTNEED));
	EXPECT_EQ(-1, som_check_pages(p, 2 * UNIT, 1));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
	write_page(p, 6);
	EXPECT_EQ(1, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
}

TEST_F(som, dontneed_and_a_partial_scan)
{
	char *p = map_tracked(self->fd, 1);
	struct som_reset reset;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, UNIT, 2);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 10 * PAGE));
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 10, 0);
	EXPECT_PAGES(10, UNIT_PAGES, WRITTEN);

	som_fill_pages(p, UNIT, 3);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
	reset = som_reset_args(p, 10 * PAGE);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 10, 0);
	EXPECT_PAGES(10, UNIT_PAGES, WRITTEN);
}

TEST_F(som, protecting_loses_no_write)
{
	char *p = map_tracked(self->fd, 2);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 3);
	som_fill_pages(p + UNIT, UNIT, 4);
	ASSERT_EQ(0, mprotect(p, 2 * UNIT, PROT_READ));
	for (i = 0; i < 2; i++) {
		GET(p, 2 * UNIT_PAGES, WRITTEN);
		EXPECT_PAGES(0, 3, 0);
		EXPECT_PAGES(3, 4, WRITTEN);
		EXPECT_PAGES(4, UNIT_PAGES, 0);
		EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, WRITTEN);
		ASSERT_EQ(0, mprotect(p, 2 * UNIT, RW));
	}
	/* Splitting by a guard page. */
	ASSERT_EQ(0, mprotect(p + UNIT + 5 * PAGE, PAGE, PROT_NONE));
	GET(p, 2 * UNIT_PAGES, WRITTEN);
	EXPECT_EQ(WRITTEN, got[3]);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, WRITTEN);
	ASSERT_EQ(0, mprotect(p, 2 * UNIT, RW));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
	write_page(p, UNIT_PAGES + 5);
	EXPECT_EQ(1, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
}

TEST_F(som, unmapping_a_part_loses_no_write)
{
	char *p = map_tracked(self->fd, 2);

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 3);
	som_fill_pages(p + UNIT, UNIT, 4);
	ASSERT_EQ(0, munmap(p + 100 * PAGE, PAGE));
	ASSERT_EQ(0, munmap(p + UNIT + 100 * PAGE, 20 * PAGE));
	GET(p, 2 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, 3, TRACKED | PRESENT);
	EXPECT_PAGES(3, 4, ALL);
	EXPECT_PAGES(4, 100, TRACKED | PRESENT);
	EXPECT_PAGES(100, 101, NOT_LISTED);
	EXPECT_PAGES(101, UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_PAGES(UNIT_PAGES, UNIT_PAGES + 100, ALL);
	EXPECT_PAGES(UNIT_PAGES + 100, UNIT_PAGES + 120, NOT_LISTED);
	EXPECT_PAGES(UNIT_PAGES + 120, 2 * UNIT_PAGES, ALL);

	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
	write_page(p, 99);
	write_page(p, 101);
	EXPECT_EQ(2, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
}

/* Where no scan has been before. */
TEST_F(som, moving_keeps_what_was_written)
{
	char *p = map_tracked(self->fd, 2), *room;
	static const size_t shift[] = { 0, 3 * PAGE };
	char *q;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(shift); i++) {
		room = som_room(4 * UNIT, UNIT);
		ASSERT_NE(MAP_FAILED, room);
		write_page(p, 3);
		som_fill_pages(p + UNIT, UNIT, 4);
		q = mremap(p, 2 * UNIT, 2 * UNIT, MREMAP_MAYMOVE | MREMAP_FIXED,
			   room + shift[i]);
		ASSERT_EQ(room + shift[i], q);
		GET(q, 2 * UNIT_PAGES, ALL);
		EXPECT_PAGES(0, 3, TRACKED | PRESENT);
		EXPECT_PAGES(3, 4, ALL);
		EXPECT_PAGES(4, UNIT_PAGES, TRACKED | PRESENT);
		EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, ALL);
		ASSERT_EQ(0, som_scan_clean(self->fd, q, 2 * UNIT));
		EXPECT_EQ(0, som_scan_count(self->fd, q, 2 * UNIT, WRITTEN));
		write_page(q, UNIT_PAGES + 9);
		EXPECT_EQ(1, som_scan_count(self->fd, q, 2 * UNIT, WRITTEN));
		p = mremap(q, 2 * UNIT, 2 * UNIT, MREMAP_MAYMOVE);
		ASSERT_NE(MAP_FAILED, p);
		if (p == q) {
			p = mremap(q, 2 * UNIT, 2 * UNIT, MREMAP_MAYMOVE |
				   MREMAP_FIXED, som_room(2 * UNIT, UNIT));
			ASSERT_NE(MAP_FAILED, p);
		}
		GET(p, 2 * UNIT_PAGES, WRITTEN);
		EXPECT_PAGES(0, UNIT_PAGES + 9, 0);
		EXPECT_PAGES(UNIT_PAGES + 9, UNIT_PAGES + 10, WRITTEN);
		EXPECT_PAGES(UNIT_PAGES + 10, 2 * UNIT_PAGES, 0);
		EXPECT_EQ(-1, som_check_pages(p + UNIT, 9 * PAGE, 4));
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	}
}

TEST_F(som, aliases_never_hide_a_write)
{
	char *p = map_tracked(self->fd, 1), *q;

	ASSERT_NE(MAP_FAILED, p);
	q = mremap(p, 0, UNIT, MREMAP_MAYMOVE);
	if (q == MAP_FAILED)
		SKIP(return, "no duplicating mremap (errno %d)", errno);
	write_page(p, 3);
	write_page(q, 5);
	ASSERT_EQ(1, p[5 * PAGE + 100]);
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_EQ(WRITTEN, got[3]);
	EXPECT_EQ(WRITTEN, got[5]);
	/* Cleaned through one of them, written through the other. */
	ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	write_page(q, 5);
	write_page(q, 6);
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_EQ(WRITTEN, got[5]);
	EXPECT_EQ(WRITTEN, got[6]);
	GET(q, UNIT_PAGES, WRITTEN);
	EXPECT_EQ(WRITTEN, got[5]);
	EXPECT_EQ(WRITTEN, got[6]);
	/* One goes away with its entries. */
	ASSERT_EQ(0, munmap(q, UNIT));
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_EQ(WRITTEN, got[5]);
	EXPECT_EQ(WRITTEN, got[6]);
}

TEST_F(som, dontunmap_never_hides_a_write)
{
	char *p = map_tracked(self->fd, 1), *q;

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 2);
	q = mremap(p, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (q == MAP_FAILED)
		SKIP(return, "no MREMAP_DONTUNMAP (errno %d)", errno);
	write_page(p, 3);
	write_page(q, 5);
	GET(q, UNIT_PAGES, WRITTEN);
	EXPECT_EQ(WRITTEN, got[2]);
	EXPECT_EQ(WRITTEN, got[3]);
	EXPECT_EQ(WRITTEN, got[5]);
	ASSERT_EQ(0, som_scan_clean(self->fd, q, UNIT));
	write_page(p, 4);
	GET(q, UNIT_PAGES, WRITTEN);
	EXPECT_EQ(WRITTEN, got[4]);
}

/* What is left of two mappings that shared two pages. */
TEST_F(som, rest_of_an_alias_hides_no_write)
{
	char *p = map_tracked(self->fd, 1), *q;
	int i;

	ASSERT_NE(MAP_FAILED, p);
	q = mremap(p + 58 * PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE);
	if (q == MAP_FAILED)
		SKIP(return, "no duplicating mremap (errno %d)", errno);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
		if (i < 2)
			som_fill_pages(p, UNIT, 2);
		else
			som_fill_pages(p + 206 * PAGE, UNIT - 206 * PAGE, 2);
		if (i == 1)
			ASSERT_EQ(0, munmap(p, 206 * PAGE));
		ASSERT_EQ(0, som_scan_clean(self->fd, q, 2 * PAGE));
		GET(p, UNIT_PAGES, WRITTEN);
		EXPECT_PAGES(206, UNIT_PAGES, WRITTEN);
	}
}

TEST_F(som, reset_of_an_alias_hides_no_write)
{
	char *p = som_map(self->fd, UNIT), *q;
	struct som_reset reset;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, UNIT, 1);
	q = mremap(p + 58 * PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE);
	if (q == MAP_FAILED)
		SKIP(return, "no duplicating mremap (errno %d)", errno);
	reset = som_reset_args(p, 271 * PAGE);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_EQ(-1, som_not_zero(p, 271 * PAGE));
	som_fill_pages(p, UNIT, 2);
	ASSERT_EQ(0, munmap(p, 206 * PAGE));
	ASSERT_EQ(0, som_scan_clean(self->fd, q, 2 * PAGE));
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 206, NOT_LISTED);
	EXPECT_PAGES(206, UNIT_PAGES, WRITTEN);
}

TEST_F(som, growing_adds_untracked_memory)
{
	char *p = map_tracked(self->fd, 1), *q;

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 3);
	q = mremap(p, UNIT, 2 * UNIT, MREMAP_MAYMOVE | MREMAP_FIXED,
		   som_room(2 * UNIT, UNIT));
	ASSERT_NE(MAP_FAILED, q);
	write_page(q, UNIT_PAGES + 1);
	GET(q, 2 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, 3, TRACKED | PRESENT);
	EXPECT_PAGES(3, 4, ALL);
	EXPECT_PAGES(4, UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, PRESENT | WRITTEN);
}

TEST_F(som, kernel_writes_are_writes)
{
	char *p = map_tracked(self->fd, 2);
	int fd = open("/dev/zero", O_RDONLY);
	struct iovec from, to;
	char byte = 7;
	ssize_t ret;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(2 * PAGE, read(fd, p + UNIT - PAGE, 2 * PAGE));
	GET(p, 2 * UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, UNIT_PAGES - 1, 0);
	EXPECT_PAGES(UNIT_PAGES - 1, UNIT_PAGES + 1, WRITTEN);
	EXPECT_PAGES(UNIT_PAGES + 1, 2 * UNIT_PAGES, 0);

	/* By way of the page tables of a process: it may be refused. */
	from.iov_base = &byte;
	from.iov_len = 1;
	to.iov_base = p + 9 * PAGE;
	to.iov_len = 1;
	ret = process_vm_writev(getpid(), &from, 1, &to, 1, 0);
	if (ret == 1) {
		EXPECT_EQ(7, p[9 * PAGE]);
		GET(p, UNIT_PAGES, WRITTEN);
		EXPECT_EQ(WRITTEN, got[9]);
	} else {
		EXPECT_EQ(EFAULT, errno);
		EXPECT_NE(7, p[9 * PAGE]);
	}
	fd = open("/proc/self/mem", O_RDWR);
	ret = pwrite(fd, &byte, 1, som_addr(p + 11 * PAGE));
	if (ret == 1) {
		EXPECT_EQ(7, p[11 * PAGE]);
		GET(p, UNIT_PAGES, WRITTEN);
		EXPECT_EQ(WRITTEN, got[11]);
	} else {
		EXPECT_NE(7, p[11 * PAGE]);
	}
}

/*
 * Pages that nobody writes for a while: a group of 64 is not looked at any more
 * after 8 scans, 16 if that was too soon, ... (dirty_log.c), and one scan to be
 * sure. Until then a write costs no fault.
 */

#define GROUP		64
#define QUIET		8
#define LONGER		(8 * QUIET)

/* Return: faults that it took. */
static long write_faults(char *p, size_t page)
{
	struct rusage before, after;

	getrusage(RUSAGE_THREAD, &before);
	write_page(p, page);
	getrusage(RUSAGE_THREAD, &after);
	return after.ru_minflt - before.ru_minflt;
}

/*
 * One unit of which one page is written before each of so many scans. Return:
 * whether each told of just that page, and it took no fault but once.
 */
static bool write_one_and_scan(int fd, char *p, size_t page, int scans)
{
	struct page_region vec[4];
	long faults = 0;

	while (scans--) {
		faults += write_faults(p, page);
		if (som_scan_written(fd, p, UNIT, WP, vec, 4) != 1 ||
		    vec[0].start != som_addr(p + page * PAGE) ||
		    vec[0].end != vec[0].start + PAGE)
			return false;
	}
	return faults <= 1;
}

TEST_F(som, no_fault_soon_after_a_write)
{
	char *p = map_tracked(self->fd, 1);
	size_t group;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(write_one_and_scan(self->fd, p, 5, 1));
	for (group = 1; group < QUIET; group++) {
		EXPECT_EQ(0, write_faults(p, group * GROUP + 3));
		ASSERT_EQ(1, som_scan_count(self->fd, p, UNIT, WRITTEN));
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	}
}

TEST_F(som, one_fault_for_pages_left_alone)
{
	char *p = map_tracked(self->fd, 1);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(write_one_and_scan(self->fd, p, 5, 2 * QUIET));
	EXPECT_EQ(1, write_faults(p, 300));
	EXPECT_EQ(0, write_faults(p, 256));
	EXPECT_EQ(0, write_faults(p, 319));
	EXPECT_EQ(0, write_faults(p, 5));
	EXPECT_EQ(1, write_faults(p, 320));
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(6, 256, 0);
	EXPECT_PAGES(257, 300, 0);
	EXPECT_PAGES(301, 319, 0);
	EXPECT_PAGES(319, 321, WRITTEN);
	EXPECT_PAGES(321, UNIT_PAGES, 0);
	EXPECT_EQ(WRITTEN, got[5]);
	EXPECT_EQ(WRITTEN, got[256]);
	EXPECT_EQ(WRITTEN, got[300]);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, UNIT, WRITTEN));
}

/* Scans have to be quiet for longer, the next time. */
TEST_F(som, no_fault_each_time)
{
	char *p = map_tracked(self->fd, 1);
	long faults = 0;
	int i;

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 5);
	for (i = 0; i < 20; i++) {
		ASSERT_TRUE(write_one_and_scan(self->fd, p, 5, QUIET + 4));
		faults += write_faults(p, 300);
		ASSERT_EQ(1, som_scan_count(self->fd, p, UNIT, WRITTEN));
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	}
	EXPECT_EQ(1, faults);
}

TEST_F(som, a_unit_left_alone_is_huge_again)
{
	char *p = map_tracked(self->fd, 1);
	double end;
	int i;

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 5);
	write_page(p, 500);
	for (i = 0; i < QUIET + 3; i++)
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	EXPECT_LT(0, write_faults(p, 77));
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 77, 0);
	EXPECT_PAGES(77, 78, WRITTEN);
	EXPECT_PAGES(78, UNIT_PAGES, 0);

	for (i = 0; i < LONGER; i++)
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	end = som_now() + SOM_WAIT_SECONDS;
	do {
		usleep(100000);
		READ_ONCE(p[0]);
	} while (som_scan_page(self->fd, p, HUGE_2M) != HUGE_2M &&
		 som_now() < end);
	GET(p, UNIT_PAGES, HUGE_2M | WRITTEN);
	EXPECT_PAGES(0, UNIT_PAGES, HUGE_2M);
	EXPECT_LT(0, write_faults(p, 99));
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 99, 0);
	EXPECT_PAGES(99, 100, WRITTEN);
	EXPECT_PAGES(100, UNIT_PAGES, 0);
}

static void dontneed(int fd, char *p)
{
	madvise(p, UNIT, MADV_DONTNEED);
}

static void protect_and_back(int fd, char *p)
{
	mprotect(p, UNIT, PROT_READ);
	mprotect(p, UNIT, RW);
}

static void no_access_and_back(int fd, char *p)
{
	mprotect(p, UNIT, PROT_NONE);
	mprotect(p, UNIT, RW);
}

static void split(int fd, char *p)
{
	munmap(p + 280 * PAGE, PAGE);
}

static void alias(int fd, char *p)
{
	char *q = mremap(p, 0, UNIT, MREMAP_MAYMOVE);

	if (q != MAP_FAILED)
		munmap(q, UNIT);
}

static void reset_first_page(int fd, char *p)
{
	som_reset_zero(fd, p, PAGE);
}

/* The kernel makes the entries of its mapping writable by itself then. */
static void pin_neighbour(int fd, char *p)
{
	som_page_backed(fd, p + UNIT, UNIT);
}

/* What happens to pages that are not looked at leaves the next write seen. */
TEST_F(som, left_alone_and_written_after_something)
{
	static const struct {
		const char *name;
		void (*happens)(int fd, char *p);
	} cases[] = {
		{ "dontneed", dontneed },
		{ "mprotect", protect_and_back },
		{ "mprotect to none", no_access_and_back },
		{ "munmap", split },
		{ "alias", alias },
		{ "reset", reset_first_page },
		{ "pinnable", pin_neighbour },
	};
	size_t i, how;
	char *p;

	/* Read before it is written; scanned before; all of it. */
	for (i = 0; i < 4 * ARRAY_SIZE(cases); i++) {
		how = i % 4;
		p = map_tracked(self->fd, 2);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_TRUE(write_one_and_scan(self->fd, p, 5, 2 * QUIET));
		cases[i / 4].happens(self->fd, p);
		if (how & 1)
			READ_ONCE(p[300 * PAGE]);
		if (how & 2)
			ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
		if (how == 3)
			READ_ONCE(p[300 * PAGE]);
		write_page(p, 300);
		EXPECT_EQ(WRITTEN, som_scan_page(self->fd, p + 300 * PAGE,
						 WRITTEN))
			TH_LOG("%s, order %zu", cases[i / 4].name, how);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
		write_page(p, 300);
		write_page(p, 400);
		EXPECT_EQ(2, som_scan_count(self->fd, p + 281 * PAGE,
					    UNIT - 281 * PAGE, WRITTEN))
			TH_LOG("%s, order %zu", cases[i / 4].name, how);
		munmap(p, 2 * UNIT);
	}
}

/*
 * Tracking ends
 */

/*
 * Memory that goes becomes zero: that is written, until it was told.
 */

TEST_F(som, remove_of_a_unit_is_a_write)
{
	char *p = map_tracked(self->fd, 3);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_REMOVE));
	GET(p, 3 * UNIT_PAGES, ALL | ZERO);
	EXPECT_PAGES(0, UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, TRACKED | WRITTEN | ZERO);
	EXPECT_PAGES(2 * UNIT_PAGES, 3 * UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_EQ(0, som_scan_written(self->fd, p, 3 * UNIT, CHECK, NULL, 0));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
	GET(p, 3 * UNIT_PAGES, ALL);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, TRACKED);
	EXPECT_USED(2);
	write_page(p + UNIT, 5);
	GET(p, 3 * UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, UNIT_PAGES + 5, 0);
	EXPECT_PAGES(UNIT_PAGES + 5, UNIT_PAGES + 6, WRITTEN);
	EXPECT_PAGES(UNIT_PAGES + 6, 3 * UNIT_PAGES, 0);

	/* Touched before it was told. */
	ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 100 * PAGE));
	READ_ONCE(p[7 * PAGE]);
	GET(p, UNIT_PAGES, ALL | ZERO);
	EXPECT_PAGES(0, 100, TRACKED | PRESENT | ZERO);
	EXPECT_PAGES(100, UNIT_PAGES, ALL | ZERO);
}

/* What scans with other masks see of it, and clean. */
TEST_F(som, gone_and_other_masks)
{
	char *p = map_tracked(self->fd, 3);
	struct page_region vec[8];
	struct pm_scan_arg arg;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_REMOVE));
	/* Not present, and whoever wants what is there does not clean it. */
	arg = som_scan_args(p, 3 * UNIT, vec, 8);
	arg.flags = WP;
	arg.category_mask = WRITTEN | PRESENT;
	EXPECT_EQ(0, som_scan_call(self->fd, &arg));
	/* Nor does what asks for pages that were not written. */
	arg.category_mask = WRITTEN;
	arg.category_inverted = WRITTEN;
	EXPECT_EQ(2, som_scan_call(self->fd, &arg));
	EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
	/* Regions by what is told of them. */
	arg = som_scan_args(p, 3 * UNIT, vec, 8);
	arg.return_mask = WRITTEN;
	ASSERT_EQ(3, som_scan_call(self->fd, &arg));
	EXPECT_EQ(0, vec[0].categories);
	EXPECT_EQ(WRITTEN, vec[1].categories);
	EXPECT_EQ(som_addr(p + UNIT), vec[1].start);
	EXPECT_EQ(som_addr(p + 2 * UNIT), vec[1].end);
	arg.flags = WP;
	arg.category_anyof_mask = ZERO | HUGE_2M;
	arg.return_mask = 0;
	ASSERT_LE(1, som_scan_call(self->fd, &arg));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
	EXPECT_USED(2);
}

TEST_F(som, gone_and_a_vec_that_cannot_be_written)
{
	char *p = map_tracked(self->fd, 8);
	char *area = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct page_region *vec = (struct page_region *)(area + PAGE);
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, area);
	ASSERT_EQ(0, munmap(area + PAGE, PAGE));
	for (i = 0; i < 8; i += 2)
		ASSERT_EQ(0, madvise(p + i * UNIT, UNIT, MADV_REMOVE));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(-EFAULT, som_scan_written(self->fd, p, 8 * UNIT, WP,
						    vec - i, 4));
		EXPECT_EQ(4 * UNIT_PAGES,
			  som_scan_count(self->fd, p, 8 * UNIT, WRITTEN));
	}
	EXPECT_EQ(4, som_scan_written(self->fd, p, 8 * UNIT, WP, vec - 4, 4));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 8 * UNIT, WRITTEN));
	EXPECT_USED(4);
}

/* A unit that mappings have in parts: each is told of its own. */
TEST_F(som, gone_and_mapped_in_parts)
{
	char *p = map_tracked(self->fd, 2);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
	ASSERT_EQ(0, mprotect(p + 100 * PAGE, 50 * PAGE, PROT_READ));
	ASSERT_EQ(0, munmap(p + 200 * PAGE, 300 * PAGE));
	ASSERT_EQ(0, som_scan_clean(self->fd, p + 90 * PAGE, 20 * PAGE));
	GET(p, 2 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, 90, TRACKED | WRITTEN);
	EXPECT_PAGES(90, 110, TRACKED);
	EXPECT_PAGES(110, 200, TRACKED | WRITTEN);
	EXPECT_PAGES(200, 500, NOT_LISTED);
	EXPECT_PAGES(500, 512, TRACKED | WRITTEN);
	EXPECT_PAGES(512, 2 * UNIT_PAGES, TRACKED | PRESENT);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
	EXPECT_USED(1);
}

/*
 * Private memory: MADV_DONTNEED gives units up at once or a while later. Whichever it
 * is when the scan comes, it tells, and once is enough.
 */
TEST_F(som, private_memory_that_is_given_up)
{
	struct page_region vec[4];
	size_t how, wait;
	char *p;

	for (how = 0; how < 8; how++) {
		p = som_map_private(self->fd, 4 * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		som_fill_pages(p, 4 * UNIT, 1);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 4 * UNIT));
		if (how & 1)
			som_fill_pages(p, 4 * UNIT, 2);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 4 * UNIT));
		ASSERT_EQ(0, madvise(p + UNIT, 2 * UNIT, MADV_DONTNEED));
		wait = how & 2 ? 50000 : 0;
		usleep(wait);
		if (how & 4) {
			ASSERT_EQ(0, som_scan_clean(self->fd, p + UNIT, 7 * PAGE));
			EXPECT_EQ(2 * UNIT_PAGES - 7,
				  som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
			usleep(wait);
		}
		ASSERT_EQ(1, som_scan_written(self->fd, p, 4 * UNIT, WP | CHECK,
					      vec, 4));
		EXPECT_EQ(som_addr(p + UNIT + (how & 4 ? 7 * PAGE : 0)),
			  vec[0].start);
		EXPECT_EQ(som_addr(p + 3 * UNIT), vec[0].end);
		EXPECT_EQ(0, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
		/* Not when they are released, or zeroed, either. */
		if (how & 1)
			READ_ONCE(p[UNIT]);
		usleep(50000);
		EXPECT_EQ(0, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN))
			TH_LOG("way %zu", how);
		EXPECT_USED(how & 1 ? 3 : 2);
		EXPECT_EQ(-1, som_not_zero(p + UNIT, 2 * UNIT));
		EXPECT_EQ(0, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
		write_page(p + UNIT, 9);
		EXPECT_EQ(1, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
		ASSERT_EQ(0, munmap(p, 4 * UNIT));
	}
}

/* Once per unit that had memory, not per unit of a terabyte. */
TEST_F(som, a_terabyte_goes)
{
	size_t len = 1UL << 40, at[] = { 0, len / 3 & ~(UNIT - 1), len - UNIT };
	char *p = som_map_at(self->fd, NULL, len, RW, MAP_NORESERVE);
	struct page_region vec[8];
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, len));
	for (i = 0; i < ARRAY_SIZE(at); i++)
		write_page(p + at[i], 3);
	ASSERT_EQ(3, som_scan_written(self->fd, p, len, WP, vec, 8));
	ASSERT_EQ(0, madvise(p, len, MADV_REMOVE));
	ASSERT_EQ(3, som_scan_written(self->fd, p, len, WP | CHECK, vec, 8));
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		EXPECT_EQ(som_addr(p + at[i]), vec[i].start);
		EXPECT_EQ(som_addr(p + at[i] + UNIT), vec[i].end);
	}
	EXPECT_EQ(0, som_scan_written(self->fd, p, len, WP | CHECK, vec, 8));
	EXPECT_USED(0);
}

TEST_F(som, remove_of_a_part_is_a_write)
{
	char *p = map_tracked(self->fd, 1);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p + 10 * PAGE, 5 * PAGE, MADV_REMOVE));
	GET(p, UNIT_PAGES, ALL);
	EXPECT_PAGES(0, 10, TRACKED | PRESENT);
	EXPECT_PAGES(10, 15, ALL);
	EXPECT_PAGES(15, UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_EQ(-1, som_not_zero(p + 10 * PAGE, 5 * PAGE));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, UNIT, WRITTEN));
}

/*
 * Memory that is mapped where a scan has been: it shows other bytes than then, and whoever
 * keeps a copy has to learn that.
 */
TEST_F(som, mapped_anew_is_written)
{
	char *p = map_tracked(self->fd, 4), *q;

	ASSERT_NE(MAP_FAILED, p);
	q = som_map_at(self->fd, p + UNIT, UNIT, RW, MAP_FIXED);
	ASSERT_EQ(p + UNIT, q);
	ASSERT_EQ(0, munmap(p + 3 * UNIT + 7 * PAGE, PAGE));
	q = som_map_private_at(self->fd, p + 3 * UNIT + 7 * PAGE, PAGE, RW,
			       MAP_FIXED);
	ASSERT_NE(MAP_FAILED, q);
	GET(p, 4 * UNIT_PAGES, ALL | ZERO);
	EXPECT_PAGES(0, UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, TRACKED | WRITTEN | ZERO);
	EXPECT_PAGES(2 * UNIT_PAGES, 3 * UNIT_PAGES + 7, TRACKED | PRESENT);
	EXPECT_PAGES(3 * UNIT_PAGES + 7, 3 * UNIT_PAGES + 8,
		     TRACKED | WRITTEN | ZERO);
	EXPECT_PAGES(3 * UNIT_PAGES + 8, 4 * UNIT_PAGES, TRACKED | PRESENT);
	/* A scan of a part leaves the rest, whatever is touched meanwhile. */
	ASSERT_EQ(0, som_scan_clean(self->fd, p + UNIT + 5 * PAGE, 10 * PAGE));
	EXPECT_EQ(UNIT_PAGES - 10 + 1,
		  som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
	READ_ONCE(p[UNIT]);
	EXPECT_EQ(UNIT_PAGES - 10 + 1,
		  som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
	EXPECT_EQ(3, som_scan_written(self->fd, p, 4 * UNIT, WP | CHECK,
				      (struct page_region [4]) {}, 4));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
	write_page(p + UNIT, 6);
	EXPECT_EQ(1, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
}

/* Touched before the scan; and given up once more. */
TEST_F(som, mapped_anew_and_used)
{
	char *p = map_tracked(self->fd, 2);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(p, som_map_at(self->fd, p, 2 * UNIT, RW, MAP_FIXED));
	write_page(p, 3);
	GET(p, 2 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, UNIT_PAGES, ALL);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, TRACKED | WRITTEN);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
	EXPECT_EQ(2 * UNIT_PAGES, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
	/* A reset is no scan. */
	write_page(p, 3);
	ASSERT_EQ(0, som_reset_zero(self->fd, p, 2 * UNIT));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
}

/* As what has gone: it is clean when it was told, and not before. */
TEST_F(som, mapped_anew_and_not_told)
{
	char *p = map_tracked(self->fd, 8);
	char *area = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct page_region *vec = (struct page_region *)(area + PAGE);
	struct pm_scan_arg arg;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, area);
	ASSERT_EQ(0, munmap(area + PAGE, PAGE));
	for (i = 0; i < 8; i += 2)
		ASSERT_EQ(p + i * UNIT, som_map_at(self->fd, p + i * UNIT, UNIT,
						   RW, MAP_FIXED));
	arg = som_scan_args(p, 8 * UNIT, vec - 8, 8);
	arg.flags = WP;
	arg.category_mask = WRITTEN | PRESENT;
	EXPECT_EQ(0, som_scan_call(self->fd, &arg));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(-EFAULT, som_scan_written(self->fd, p, 8 * UNIT, WP,
						    vec - i, 4));
		EXPECT_EQ(4 * UNIT_PAGES,
			  som_scan_count(self->fd, p, 8 * UNIT, WRITTEN));
	}
	/* No more than fits. */
	arg = som_scan_args(p, 8 * UNIT, vec - 8, 8);
	arg.flags = WP;
	arg.category_mask = WRITTEN;
	arg.max_pages = UNIT_PAGES + 3;
	EXPECT_EQ(2, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(p + 2 * UNIT + 3 * PAGE), arg.walk_end);
	GET(p, 4 * UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 2 * UNIT_PAGES + 3, 0);
	EXPECT_PAGES(2 * UNIT_PAGES + 3, 3 * UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(3 * UNIT_PAGES, 4 * UNIT_PAGES, 0);
	EXPECT_EQ(3, som_scan_written(self->fd, p, 8 * UNIT, WP, vec - 4, 4));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 8 * UNIT, WRITTEN));
}

/*
 * mremap to where a scan has been. What is moved is clean, and has bytes, or none, at its
 * old place.
 */
TEST_F(som, moved_over_is_written)
{
	static const struct { size_t from, pages, to; } moves[] = {
		{ 0, 2 * UNIT_PAGES, UNIT_PAGES },
		{ 0, 2 * UNIT_PAGES, 7 },
		{ 3, 1, UNIT_PAGES + 3 },
		{ UNIT_PAGES + 3, 1, 9 },
		{ UNIT_PAGES - 2, 4, UNIT_PAGES },
		{ 5, 2 * UNIT_PAGES - 9, UNIT_PAGES + 5 },
	};
	size_t i, how;
	char *p, *q, *to;

	for (i = 0; i < ARRAY_SIZE(moves); i++) {
		size_t len = moves[i].pages * PAGE;

		for (how = 0; how < 4; how++) {
			p = map_tracked(self->fd, 4);
			ASSERT_NE(MAP_FAILED, p);
			q = som_map(self->fd, 2 * UNIT);
			ASSERT_NE(MAP_FAILED, q);
			ASSERT_EQ(0, som_scan_clean(self->fd, q, 2 * UNIT));
			/* All, one unit, or nothing of it has memory. */
			if (how < 2)
				som_fill_pages(q + how * UNIT,
					       (2 - how) * UNIT, 2);
			if (how == 3)
				ASSERT_EQ(0, madvise(q, UNIT, MADV_REMOVE));
			ASSERT_EQ(0, som_scan_clean(self->fd, q, 2 * UNIT));
			to = p + moves[i].to * PAGE;
			ASSERT_EQ(to, mremap(q + moves[i].from * PAGE, len, len,
					     MREMAP_MAYMOVE | MREMAP_FIXED, to));
			GET(p, 4 * UNIT_PAGES, WRITTEN | TRACKED);
			EXPECT_PAGES(0, moves[i].to, TRACKED);
			EXPECT_PAGES(moves[i].to, moves[i].to + moves[i].pages,
				     WRITTEN | TRACKED);
			EXPECT_PAGES(moves[i].to + moves[i].pages,
				     4 * UNIT_PAGES, TRACKED);
			/* What stays where it was is as it was. */
			EXPECT_EQ(0, som_scan_count(self->fd, q, 2 * UNIT,
						    WRITTEN));
			ASSERT_EQ(0, som_scan_clean(self->fd, q, 2 * UNIT));
			EXPECT_EQ((long)moves[i].pages,
				  som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
			ASSERT_LT(0, som_scan_written(self->fd, p, 4 * UNIT,
						      WP | CHECK,
						      (struct page_region [8]) {},
						      8));
			EXPECT_EQ(0, som_scan_count(self->fd, p, 4 * UNIT,
						    WRITTEN));
			write_page(to, 0);
			EXPECT_EQ(1, som_scan_count(self->fd, p, 4 * UNIT,
						    WRITTEN));
			munmap(p, 4 * UNIT);
			munmap(q, 2 * UNIT);
		}
	}
}

/* The same where the old place shows it, too. */
TEST_F(som, duplicated_over_is_written)
{
	char *p = map_tracked(self->fd, 4), *q;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	q = som_map(self->fd, 3 * UNIT);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_EQ(0, som_scan_clean(self->fd, q, 3 * UNIT));
	som_fill_pages(q, UNIT, 2);
	som_fill_pages(q + 2 * UNIT, UNIT, 2);
	ASSERT_EQ(0, som_scan_clean(self->fd, q, 3 * UNIT));
	ASSERT_EQ(0, madvise(q + 2 * UNIT, UNIT, MADV_REMOVE));
	if (mremap(q, 0, 3 * UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, p) != p)
		SKIP(return, "no duplicating mremap (errno %d)", errno);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(3 * UNIT_PAGES,
			  som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
		/* Of this one, two units were clean: more may be told, not less. */
		EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, q + 2 * UNIT, UNIT,
						     WRITTEN));
		/* Cleaned by way of one, it would be unseen by way of the other. */
		ASSERT_EQ(0, som_scan_clean(self->fd, i ? p : q, 3 * UNIT));
	}
	ASSERT_EQ(0, munmap(q, 3 * UNIT));
	EXPECT_EQ(3 * UNIT_PAGES, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 4 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
}

/* It is addresses that a scan has passed, with or without memory. */
TEST_F(som, mapped_where_nothing_was)
{
	char *room = som_room(64 * UNIT, UNIT), *p;
	size_t i;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room + 63 * UNIT, UNIT, RW, MAP_FIXED);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, room + 32 * UNIT, 32 * UNIT));
	ASSERT_NE(MAP_FAILED, som_map_at(self->fd, room + 33 * UNIT, UNIT, RW,
					 MAP_FIXED));
	EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, room, 64 * UNIT, WRITTEN));
	/* No scan was here, nor does one of nothing, or without WP, count. */
	ASSERT_EQ(0, som_scan_clean(self->fd, room + 3 * UNIT, 0));
	ASSERT_EQ(0, som_scan_written(self->fd, room, 32 * UNIT, 0, NULL, 0));
	ASSERT_NE(MAP_FAILED, som_map_at(self->fd, room + 3 * UNIT, UNIT, RW,
					 MAP_FIXED));
	EXPECT_EQ(-EPERM, som_scan_written(self->fd, room, 32 * UNIT, CHECK, NULL,
					   0));
	EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, room, 64 * UNIT, WRITTEN));
	/* As many places as one likes. */
	for (i = 0; i < 31; i++)
		ASSERT_EQ(0, som_scan_clean(self->fd, room + i * UNIT, PAGE));
	for (i = 4; i < 31; i++)
		ASSERT_NE(MAP_FAILED, som_map_at(self->fd, room + i * UNIT, UNIT,
						 RW, MAP_FIXED));
	EXPECT_EQ(28 * UNIT_PAGES,
		  som_scan_count(self->fd, room, 64 * UNIT, WRITTEN));
}

/* Not by addresses: a terabyte is mapped anew, told and clean as fast as a page. */
TEST_F(som, a_terabyte_mapped_anew)
{
	size_t len = 1UL << 40;
	char *p = som_map_at(self->fd, NULL, len, RW, MAP_NORESERVE);
	struct page_region vec[8];
	double start = som_now();

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, len));
	ASSERT_EQ(p, som_map_at(self->fd, p, len, RW, MAP_NORESERVE | MAP_FIXED));
	write_page(p + len / 2, 3);
	ASSERT_EQ(1, som_scan_written(self->fd, p, len, WP | CHECK, vec, 8));
	EXPECT_EQ(som_addr(p), vec[0].start);
	EXPECT_EQ(som_addr(p) + len, vec[0].end);
	EXPECT_EQ(0, som_scan_written(self->fd, p, len, WP | CHECK, vec, 8));
	EXPECT_GT(20, som_now() - start);
}

/*
 * What is in the range
 */

TEST_F(som, only_som_mappings_are_listed)
{
	char *room = som_room(8 * UNIT, UNIT), *p, *anon;
	struct page_region vec[8];
	struct pm_scan_arg arg;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room + PAGE, UNIT, RW, MAP_FIXED);
	ASSERT_EQ(room + PAGE, p);
	anon = mmap(room + 2 * UNIT, UNIT, RW,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(room + 2 * UNIT, anon);
	som_fill_pages(anon, UNIT, 1);
	p = som_map_at(self->fd, room + 5 * UNIT, UNIT, RW, MAP_FIXED);
	ASSERT_EQ(room + 5 * UNIT, p);
	ASSERT_EQ(0, munmap(room + 6 * UNIT, UNIT));

	arg = som_scan_args(room, 8 * UNIT, vec, 8);
	ASSERT_EQ(2, som_scan_call(self->fd, &arg));
	EXPECT_EQ(arg.end, arg.walk_end);
	EXPECT_EQ(som_addr(room + PAGE), vec[0].start);
	EXPECT_EQ(som_addr(room + PAGE + UNIT), vec[0].end);
	EXPECT_EQ(som_addr(room + 5 * UNIT), vec[1].start);
	EXPECT_EQ(som_addr(room + 6 * UNIT), vec[1].end);

	/* Others are skipped as if they were not there. */
	ASSERT_EQ(0, som_scan_clean(self->fd, room, 8 * UNIT));
	EXPECT_EQ(0, som_scan_written(self->fd, room, 8 * UNIT, CHECK, vec, 8));
	EXPECT_EQ(0, som_scan_written(self->fd, anon, UNIT, CHECK, vec, 8));
	EXPECT_EQ(-1, som_check_pages(anon, UNIT, 1));
	write_page(room + PAGE, 3);
	write_page(p, 3);
	arg.category_mask = WRITTEN;
	ASSERT_EQ(2, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(room + 4 * PAGE), vec[0].start);
	EXPECT_EQ(som_addr(room + 5 * UNIT + 3 * PAGE), vec[1].start);
}

TEST_F(som, nothing_mapped)
{
	char *room = som_room(8 * UNIT, UNIT);
	struct page_region vec[2];
	struct pm_scan_arg arg;

	ASSERT_NE(MAP_FAILED, room);
	arg = som_scan_args(room, 8 * UNIT, vec, 2);
	EXPECT_EQ(0, som_scan_call(self->fd, &arg));
	EXPECT_EQ(arg.end, arg.walk_end);
	arg.flags = WP | CHECK;
	EXPECT_EQ(0, som_scan_call(self->fd, &arg));
	ASSERT_EQ(0, munmap(room, 8 * UNIT));
	EXPECT_EQ(0, som_scan_call(self->fd, &arg));
	EXPECT_EQ(arg.end, arg.walk_end);
	/* The whole address space of a program. */
	arg.start = 0;
	arg.end = (1ULL << 47) - PAGE;
	EXPECT_EQ(0, som_scan_call(self->fd, &arg));
	EXPECT_EQ(arg.end, arg.walk_end);
}

TEST_F(som, adjacent_mappings_merge)
{
	char *room = som_room(4 * UNIT, UNIT), *p, *q;
	struct page_region vec[8];
	struct pm_scan_arg arg;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room, UNIT + PAGE, RW, MAP_FIXED);
	q = som_map_at(self->fd, room + UNIT + PAGE, UNIT, RW, MAP_FIXED);
	ASSERT_EQ(room, p);
	ASSERT_EQ(room + UNIT + PAGE, q);
	som_fill_pages(p, 2 * UNIT + PAGE, 1);
	ASSERT_EQ(1, som_scan_written(self->fd, room, 4 * UNIT, 0, vec, 8));
	EXPECT_EQ(som_addr(room), vec[0].start);
	EXPECT_EQ(som_addr(room + 2 * UNIT + PAGE), vec[0].end);

	/* One tracked, the other not: units are not shared between them. */
	ASSERT_EQ(0, som_scan_clean(self->fd, q, UNIT));
	som_fill_pages(q, UNIT, 2);
	ASSERT_EQ(1, som_scan_written(self->fd, room, 4 * UNIT, 0, vec, 8));
	arg = som_scan_args(room, 4 * UNIT, vec, 8);
	arg.return_mask = WRITTEN | TRACKED;
	ASSERT_EQ(2, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(q), vec[0].end);
	EXPECT_EQ(WRITTEN, vec[0].categories);
	EXPECT_EQ(som_addr(q), vec[1].start);
	EXPECT_EQ(WRITTEN | TRACKED, vec[1].categories);
}

TEST_F(som, the_caller_s_own_memory)
{
	char *p = map_tracked(self->fd, 2), *q;
	struct page_region vec[4];
	struct pm_scan_arg arg;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 3);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		arg = som_scan_args(p, 2 * UNIT, vec, 4);
		child_assert(som_scan_call(self->fd, &arg) == 0);
		child_assert(arg.walk_end == arg.end);
		arg.flags = WP;
		child_assert(som_scan_call(self->fd, &arg) == 0);
		/* Its own, at the same address, through the same file. */
		q = som_map_at(self->fd, p, UNIT, RW, MAP_FIXED);
		child_assert(q == p);
		child_assert(som_scan_clean(self->fd, p, 2 * UNIT) == 0);
		write_page(q, 8);
		child_assert(som_scan_written(self->fd, p, 2 * UNIT, 0, vec,
					      4) == 1);
		child_assert(vec[0].start == som_addr(q + 8 * PAGE));
		child_assert(vec[0].end == som_addr(q + 9 * PAGE));
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(1, som_scan_written(self->fd, p, 2 * UNIT, 0, vec, 4));
	EXPECT_EQ(som_addr(p + 3 * PAGE), vec[0].start);
	EXPECT_EQ(som_addr(p + 4 * PAGE), vec[0].end);
}

TEST_F(som, doforked_mapping_has_nothing)
{
	char *p = map_tracked(self->fd, 1);
	struct page_region vec[4];
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 3);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_DOFORK));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		child_assert(som_scan_count(self->fd, p, UNIT, PRESENT) == 0);
		child_assert(som_scan_count(self->fd, p, UNIT, WRITTEN) == 0);
		child_assert(som_scan_written(self->fd, p, UNIT, WP, vec,
					      4) == 0);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(1, som_scan_count(self->fd, p, UNIT, WRITTEN));
}

TEST_F(som, any_file_of_the_process_will_do)
{
	char *p = map_tracked(self->fd, 1);
	int fd = som_open();

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_LE(0, fd);
	write_page(p, 3);
	ASSERT_EQ(0, close(self->fd));
	EXPECT_EQ(1, som_scan_count(fd, p, UNIT, WRITTEN));
	ASSERT_EQ(0, som_scan_clean(fd, p, UNIT));
	EXPECT_EQ(0, som_scan_count(fd, p, UNIT, WRITTEN));
	EXPECT_EQ(UNIT_PAGES, som_scan_count(fd, p, UNIT, TRACKED));
}

/*
 * What a scan leaves alone
 */

TEST_F(som, a_scan_changes_nothing)
{
	char *p = som_map_at(self->fd, NULL, 6 * UNIT, RW, MAP_NORESERVE);
	static const __u64 matches[] = {
		0, WRITTEN, PRESENT, TRACKED, HUGE_2M, ZERO, WRITTEN | ZERO,
	};
	static __u64 before[6 * UNIT_PAGES];
	__u64 mask = KERNEL_CATEGORIES;
	long units_2m, units_4k, committed;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p + UNIT, 2 * UNIT, 1);
	ASSERT_EQ(0, som_scan_clean(self->fd, p + 2 * UNIT, 2 * UNIT));
	write_page(p + 2 * UNIT, 5);
	ASSERT_EQ(0, som_scan_pages(self->fd, p, 6 * UNIT_PAGES, 0, 0, mask,
				    before));
	units_2m = som_units_2m(self->fd);
	units_4k = som_units_4k(self->fd);
	committed = som_committed();
	for (i = 0; i < ARRAY_SIZE(matches); i++)
		ASSERT_EQ(0, som_scan_pages(self->fd, p, 6 * UNIT_PAGES, 0,
					    matches[i], matches[i], got));
	EXPECT_USED(2);
	EXPECT_EQ(committed, som_committed());
	EXPECT_EQ(units_2m, som_units_2m(self->fd));
	EXPECT_EQ(units_4k, som_units_4k(self->fd));
	GET(p, 6 * UNIT_PAGES, mask);
	EXPECT_EQ(0, memcmp(before, got, sizeof(before)));

	/* One that cleans populates and promises nothing, either. */
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 6 * UNIT));
	EXPECT_USED(2);
	EXPECT_EQ(committed, som_committed());
	GET(p, 6 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, UNIT_PAGES, TRACKED);
	EXPECT_PAGES(UNIT_PAGES, 3 * UNIT_PAGES, TRACKED | PRESENT);
	EXPECT_PAGES(3 * UNIT_PAGES, 6 * UNIT_PAGES, TRACKED);
	EXPECT_EQ(-1, som_check_pages(p + UNIT, 2 * UNIT, 1));
}

static long mem_available_kb(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	long kb = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

TEST_F(som, a_terabyte_mostly_empty)
{
	size_t len = 1UL << 40, at[] = { 0, len / 3 & ~(UNIT - 1), len - UNIT };
	char *p = som_map_at(self->fd, NULL, len, RW, MAP_NORESERVE);
	double start, limit = som_debug_kernel() ? 60 : 15;
	struct page_region vec[8];
	struct pm_scan_arg arg;
	long before, after;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	before = mem_available_kb();
	start = som_now();
	arg = som_scan_args(p, len, vec, 8);
	ASSERT_EQ(1, som_scan_call(self->fd, &arg));
	EXPECT_EQ(arg.end, arg.walk_end);
	EXPECT_EQ(som_addr(p), vec[0].start);
	EXPECT_EQ(som_addr(p + len), vec[0].end);
	TH_LOG("untouched: %.3f s", som_now() - start);
	EXPECT_GT(limit, som_now() - start);

	for (i = 0; i < ARRAY_SIZE(at); i++)
		write_page(p + at[i], 3);
	start = som_now();
	ASSERT_EQ(3, som_scan_written(self->fd, p, len, 0, vec, 8));
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		EXPECT_EQ(som_addr(p + at[i]), vec[i].start);
		EXPECT_EQ(som_addr(p + at[i] + UNIT), vec[i].end);
	}
	TH_LOG("three units: %.3f s", som_now() - start);
	EXPECT_GT(limit, som_now() - start);
	after = mem_available_kb();
	TH_LOG("memory: %ld kB less", before - after);
	EXPECT_GT(32 << 10, before - after);

	start = som_now();
	ASSERT_EQ(0, som_scan_clean(self->fd, p, len));
	TH_LOG("first clean scan: %.3f s", som_now() - start);
	EXPECT_GT(limit, som_now() - start);
	for (i = 0; i < ARRAY_SIZE(at); i++)
		write_page(p + at[i], 4);
	start = som_now();
	ASSERT_EQ(3, som_scan_written(self->fd, p, len, CHECK | WP, vec, 8));
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		EXPECT_EQ(som_addr(p + at[i] + 4 * PAGE), vec[i].start);
		EXPECT_EQ(som_addr(p + at[i] + 5 * PAGE), vec[i].end);
	}
	TH_LOG("second: %.3f s", som_now() - start);
	EXPECT_GT(limit, som_now() - start);
	after = mem_available_kb();
	TH_LOG("memory: %ld kB less", before - after);
	/* 512 Ki units: some bytes for each, not a page. */
	EXPECT_GT(128 << 10, before - after);
	EXPECT_USED(3);
}

/*
 * Limits
 */

TEST_F(som, more_than_512_regions)
{
	char *p = map_tracked(self->fd, 4);
	static struct page_region vec[2000];
	size_t pages = 4 * UNIT_PAGES, i;
	struct pm_scan_arg arg;
	long ret, sum = 0;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < pages; i += 2)
		write_page(p, i);
	arg = som_scan_args(p, 4 * UNIT, vec, ARRAY_SIZE(vec));
	arg.category_mask = WRITTEN;
	ASSERT_EQ(pages / 2, som_scan_call(self->fd, &arg));
	/* Unlike in Linux 6.12. */
	EXPECT_EQ(arg.end, arg.walk_end);
	for (i = 0; i < pages / 2; i++) {
		ASSERT_EQ(som_addr(p + 2 * i * PAGE), vec[i].start);
		ASSERT_EQ(som_addr(p + (2 * i + 1) * PAGE), vec[i].end);
	}
	/* In pieces, each going on where the last one ended. */
	arg.vec_len = 513;
	arg.walk_end = arg.start;
	do {
		arg.start = arg.walk_end;
		ret = som_scan_call(self->fd, &arg);
		ASSERT_LT(0, ret);
		EXPECT_EQ(arg.start, vec[0].start);
		sum += ret;
	} while (arg.walk_end < arg.end);
	EXPECT_EQ(pages / 2, sum);
	/* Cleaning in pieces leaves nothing and loses nothing. */
	ASSERT_EQ(0, som_scan_pages(self->fd, p, pages, WP, WRITTEN, WRITTEN,
				    got));
	for (i = 0; i < pages; i++)
		ASSERT_EQ(i % 2 ? NOT_LISTED : WRITTEN, got[i]);
	EXPECT_EQ(0, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
}

/* More than one sweep looks at: of tracked and other units in turn, and of mappings. */

#define SWEEP	1024

TEST_F(som, every_second_unit_is_tracked)
{
	size_t units = 2 * SWEEP + 100, i;
	static struct page_region vec[2 * SWEEP + 200];
	char *p = som_map_at(self->fd, NULL, units * UNIT, RW, MAP_NORESERVE);
	struct pm_scan_arg arg;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < units; i += 2)
		ASSERT_EQ(0, som_scan_clean(self->fd, p + i * UNIT, UNIT));
	arg = som_scan_args(p, units * UNIT, vec, ARRAY_SIZE(vec));
	arg.return_mask = ALL;
	ASSERT_EQ(units, som_scan_call(self->fd, &arg));
	EXPECT_EQ(arg.end, arg.walk_end);
	for (i = 0; i < units; i++) {
		ASSERT_EQ(som_addr(p + i * UNIT), vec[i].start);
		ASSERT_EQ(som_addr(p + (i + 1) * UNIT), vec[i].end);
		ASSERT_EQ(i % 2 ? 0 : TRACKED, vec[i].categories);
	}
	write_page(p + (units - 1) * UNIT, 5);
	ASSERT_EQ(1, som_scan_written(self->fd, p, units * UNIT, WP, vec, 4));
	EXPECT_EQ(som_addr(p + (units - 1) * UNIT), vec[0].start);
	EXPECT_EQ(som_addr(p + units * UNIT), vec[0].end);
	ASSERT_EQ(0, som_scan_written(self->fd, p, units * UNIT, CHECK | WP, vec,
				      4));
	ASSERT_EQ(2, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(p + (units - 1) * UNIT), vec[0].end);
}

TEST_F(som, many_mappings)
{
	size_t nr = SWEEP + 100, i;
	char *room = som_room(2 * nr * UNIT, UNIT), *p;
	struct page_region vec[8];
	struct som_reset reset;

	ASSERT_NE(MAP_FAILED, room);
	/* Others between them, and not. */
	for (i = 0; i < nr; i++) {
		p = room + (i % 2 ? 2 * i - 1 : 2 * i) * UNIT;
		ASSERT_EQ(p, som_map_at(self->fd, p, UNIT, RW,
					MAP_FIXED | MAP_NORESERVE));
	}
	write_page(p, 9);
	ASSERT_EQ(1, som_scan_written(self->fd, room, 2 * nr * UNIT, WP, vec, 8));
	EXPECT_EQ(som_addr(p), vec[0].start);
	EXPECT_EQ(som_addr(p + UNIT), vec[0].end);
	write_page(room, 8);
	write_page(p, 9);
	ASSERT_EQ(2, som_scan_written(self->fd, room, 2 * nr * UNIT, CHECK, vec,
				      8));
	EXPECT_EQ(som_addr(room + 8 * PAGE), vec[0].start);
	EXPECT_EQ(som_addr(p + 9 * PAGE), vec[1].start);
	reset = som_reset_args(room, 2 * nr * UNIT);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_EQ(2 * PAGE, reset.rewritten);
	EXPECT_EQ(reset.end, reset.walk_end);
	EXPECT_EQ(0, p[9 * PAGE + 100]);
	EXPECT_EQ(0, som_scan_written(self->fd, room, 2 * nr * UNIT, CHECK, vec,
				      8));
}

TEST_F(som, nothing_behind_vec_len)
{
	char *p = map_tracked(self->fd, 1);
	char *area = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	struct page_region *vec;
	size_t i, n;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, area);
	ASSERT_EQ(0, munmap(area + PAGE, PAGE));
	for (i = 0; i < 40; i += 2)
		write_page(p, i);
	for (n = 1; n < 20; n += 3) {
		/* The last region ends with the page. */
		vec = (struct page_region *)(area + PAGE) - n;
		memset(area, 0xaa, PAGE);
		EXPECT_EQ(n, som_scan_written(self->fd, p, UNIT, 0, vec, n));
		EXPECT_EQ((char)0xaa, ((char *)vec)[-1]);
		/* In the middle. */
		vec = (struct page_region *)area;
		memset(area, 0xaa, PAGE);
		EXPECT_EQ(n, som_scan_written(self->fd, p, UNIT, 0, vec, n));
		EXPECT_EQ((char)0xaa, *(char *)&vec[n]);
	}
}

TEST_F(som, stops_at_the_first_page_that_does_not_fit)
{
	char *p = map_tracked(self->fd, 2);
	struct page_region vec[4];
	struct pm_scan_arg arg;

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 10);
	write_page(p, 11);
	write_page(p, 600);
	arg = som_scan_args(p, 2 * UNIT, vec, 1);
	arg.category_mask = WRITTEN;
	EXPECT_EQ(1, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(p + 600 * PAGE), arg.walk_end);
	arg.vec_len = 4;
	arg.max_pages = 1;
	EXPECT_EQ(1, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(p + 11 * PAGE), arg.walk_end);
	EXPECT_EQ(som_addr(p + 11 * PAGE), vec[0].end);
	arg.max_pages = 2;
	EXPECT_EQ(1, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(p + 600 * PAGE), arg.walk_end);
	arg.max_pages = 3;
	EXPECT_EQ(2, som_scan_call(self->fd, &arg));
	EXPECT_EQ(arg.end, arg.walk_end);
	arg.vec_len = 0;
	arg.max_pages = 1;
	EXPECT_EQ(0, som_scan_call(self->fd, &arg));
	EXPECT_EQ(arg.end, arg.walk_end);
}

/*
 * The answer's memory is som memory
 */

TEST_F(som, vec_in_the_scanned_range)
{
	char *p = map_tracked(self->fd, 3);
	struct page_region *vec = (struct page_region *)(p + UNIT);
	struct page_region here[4];
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < 200; i += 2)
		write_page(p, i);
	ASSERT_EQ(100, som_scan_written(self->fd, p, 3 * UNIT, WP, vec, 1000));
	for (i = 0; i < 100; i++) {
		EXPECT_EQ(som_addr(p + 2 * i * PAGE), vec[i].start);
		EXPECT_EQ(som_addr(p + (2 * i + 1) * PAGE), vec[i].end);
	}
	/* The answer was written, and that is seen. */
	ASSERT_EQ(1, som_scan_written(self->fd, p, 3 * UNIT, 0, here, 4));
	EXPECT_EQ(som_addr(p + UNIT), here[0].start);
	EXPECT_EQ(som_addr(p + UNIT + PAGE), here[0].end);
}

TEST_F(som, vec_in_memory_not_touched_yet)
{
	char *p = som_map(self->fd, 4 * UNIT);
	struct page_region *vec = (struct page_region *)(p + 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
	write_page(p, 3);
	ASSERT_EQ(1, som_scan_written(self->fd, p, 4 * UNIT, WP, vec, 8));
	EXPECT_EQ(som_addr(p + 3 * PAGE), vec->start);
	EXPECT_USED(2);
	/* Not tracked, either. */
	vec = (struct page_region *)(p + 3 * UNIT);
	ASSERT_EQ(1, som_scan_written(self->fd, p, 3 * UNIT, WP, vec, 8));
	EXPECT_EQ(som_addr(p + 2 * UNIT), vec->start);
	EXPECT_EQ(som_addr(p + 2 * UNIT + PAGE), vec->end);
	EXPECT_USED(3);
}

TEST_F(som, arguments_in_the_scanned_range)
{
	char *p = map_tracked(self->fd, 1);
	struct pm_scan_arg *arg = (struct pm_scan_arg *)(p + 7 * PAGE);
	struct page_region vec[4];

	ASSERT_NE(MAP_FAILED, p);
	write_page(p, 3);
	*arg = som_scan_args(p, UNIT, vec, 4);
	arg->flags = WP;
	arg->category_mask = WRITTEN;
	ASSERT_EQ(2, som_scan_call(self->fd, arg));
	EXPECT_EQ(som_addr(p + UNIT), arg->walk_end);
	EXPECT_EQ(som_addr(p + 3 * PAGE), vec[0].start);
	EXPECT_EQ(som_addr(p + 7 * PAGE), vec[1].start);
	/* walk_end was written after the page was cleaned. */
	EXPECT_EQ(1, som_scan_count(self->fd, p, UNIT, WRITTEN));
}

/*
 * Errors
 */

TEST_F(som, unknown_commands)
{
	char *p = map_tracked(self->fd, 1);
	struct page_region vec[4];
	struct pm_scan_arg arg;
	static const unsigned int commands[] = {
		_IOWR('f', 15, struct pm_scan_arg),
		_IOWR('f', 17, struct pm_scan_arg),
		_IOWR('g', 16, struct pm_scan_arg),
		_IOW('f', 16, struct pm_scan_arg),
		_IOR('f', 16, struct pm_scan_arg),
		_IO('f', 16),
		_IOWR('f', 16, char[95]),
		_IOWR('f', 16, char[97]),
	};
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	arg = som_scan_args(p, UNIT, vec, 4);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		EXPECT_EQ(-1, ioctl(self->fd, commands[i], &arg));
		EXPECT_EQ(ENOTTY, errno);
	}
	EXPECT_EQ(1, som_scan_call(self->fd, &arg));
}

TEST_F(som, category_bits)
{
	char *p = map_tracked(self->fd, 1);
	struct page_region vec[4];
	struct pm_scan_arg arg;
	__u64 *mask[] = {
		&arg.category_inverted, &arg.category_mask,
		&arg.category_anyof_mask, &arg.return_mask,
	};
	__u64 known = KERNEL_CATEGORIES | ZERO;
	long ret;
	size_t i;
	int bit;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(mask); i++) {
		for (bit = 0; bit < 64; bit++) {
			arg = som_scan_args(p, UNIT, vec, 4);
			*mask[i] = 1ULL << bit;
			ret = som_scan_call(self->fd, &arg);
			EXPECT_EQ(known & (1ULL << bit) ? 0 : -EINVAL,
				  ret < 0 ? ret : 0)
				TH_LOG("mask %zu, bit %d", i, bit);
		}
	}
}

/* Return: whether pages 0, 2, ... below 2 * @n, and no others, are written. */
static bool every_second_written(int fd, char *p, size_t n)
{
	size_t i;

	if (som_scan_pages(fd, p, UNIT_PAGES, 0, 0, WRITTEN, got))
		return false;
	for (i = 0; i < UNIT_PAGES; i++)
		if (got[i] != (i % 2 || i >= 2 * n ? 0 : WRITTEN))
			return false;
	return true;
}

TEST_F(som, vec_that_cannot_be_written_loses_nothing)
{
	char *p = map_tracked(self->fd, 1), *area;
	struct page_region *vec;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	area = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	for (i = 0; i < 250; i++)
		write_page(p, 2 * i);

	/* Read only. */
	ASSERT_EQ(0, mprotect(area + PAGE, PAGE, PROT_READ));
	vec = (struct page_region *)(area + PAGE);
	EXPECT_EQ(-EFAULT, som_scan_written(self->fd, p, UNIT, WP, vec, 100));
	EXPECT_TRUE(every_second_written(self->fd, p, 250));
	/* Half of it can be written. */
	vec = (struct page_region *)(area + PAGE) - 50;
	EXPECT_EQ(-EFAULT, som_scan_written(self->fd, p, UNIT, WP, vec, 100));
	EXPECT_TRUE(every_second_written(self->fd, p, 250));
	/* Not mapped. */
	ASSERT_EQ(0, munmap(area + PAGE, PAGE));
	EXPECT_EQ(-EFAULT, som_scan_written(self->fd, p, UNIT, WP, vec, 100));
	EXPECT_TRUE(every_second_written(self->fd, p, 250));
	/* Enough room for what there is. */
	EXPECT_EQ(50, som_scan_written(self->fd, p, 100 * PAGE, WP, vec, 100));
}

TEST_F(som, vec_that_cannot_be_written_and_many_regions)
{
	char *p = map_tracked(self->fd, 4), *area;
	struct page_region *vec;
	size_t i, pages = 4 * UNIT_PAGES;

	ASSERT_NE(MAP_FAILED, p);
	area = mmap(NULL, 16 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	ASSERT_EQ(0, munmap(area + 8 * PAGE, 8 * PAGE));
	for (i = 0; i < pages; i += 2)
		write_page(p, i);
	/* 1024 regions, and room for 700. */
	vec = (struct page_region *)(area + 8 * PAGE) - 700;
	EXPECT_EQ(-EFAULT, som_scan_written(self->fd, p, 4 * UNIT, WP, vec,
					    1200));
	/* What the call found first may be in vec, or still be written. */
	GET(p, pages, WRITTEN);
	for (i = 0; i < pages; i += 2)
		if (got[i] != WRITTEN)
			break;
	EXPECT_EQ(pages, i)
		TH_LOG("page %zu is lost", i);
}

/* By addresses, it would be minutes that no signal ends. */
TEST_F(som, vec_that_cannot_be_written_and_a_terabyte)
{
	size_t len = 1UL << 40;
	char *p = som_map_at(self->fd, NULL, len, RW, MAP_NORESERVE);
	char *bad = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	struct page_region vec[4];
	struct pm_scan_arg arg;
	double start;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, bad);
	write_page(p + len / 2, 3);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, len));
	write_page(p + len / 2, 7);
	arg = som_scan_args(p, len, (struct page_region *)bad, 4);
	arg.flags = WP;
	start = som_now();
	EXPECT_EQ(-EFAULT, som_scan_call(self->fd, &arg));
	EXPECT_GT(5, som_now() - start)
		TH_LOG("%.3f s", som_now() - start);
	/* A region that says what was not written has nothing to undo. */
	EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, p + len / 2, UNIT, WRITTEN));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, len));
	write_page(p + len / 2, 7);
	arg.return_mask = WRITTEN;
	EXPECT_EQ(-EFAULT, som_scan_call(self->fd, &arg));
	ASSERT_EQ(1, som_scan_written(self->fd, p, len, 0, vec, 4));
	EXPECT_EQ(som_addr(p + len / 2 + 7 * PAGE), vec[0].start);
	EXPECT_EQ(som_addr(p + len / 2 + 8 * PAGE), vec[0].end);
}

TEST_F(som, walk_end_that_cannot_be_written)
{
	char *p = map_tracked(self->fd, 1), *area;
	struct page_region vec[4];
	struct pm_scan_arg *arg;

	ASSERT_NE(MAP_FAILED, p);
	area = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	arg = (struct pm_scan_arg *)area;
	write_page(p, 3);
	*arg = som_scan_args(p, UNIT, vec, 4);
	arg->category_mask = WRITTEN;
	arg->flags = WP;
	ASSERT_EQ(0, mprotect(area, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, som_scan_call(self->fd, arg));
	/* The regions came over: what they say is known to the caller. */
	if (!som_scan_count(self->fd, p, UNIT, WRITTEN))
		EXPECT_EQ(som_addr(p + 3 * PAGE), vec[0].start);
}

/*
 * A fatal signal
 */

/* Reading it all is the longest that a scan can take. */
static void fill_last_bytes(char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i += PAGE)
		WRITE_ONCE(p[i + PAGE - 1], 1);
}

static int scan_for_zero(int fd, char *p, size_t len)
{
	struct page_region vec;
	struct pm_scan_arg arg = som_scan_args(p, len, &vec, 1);

	arg.category_mask = ZERO;
	return som_scan_call(fd, &arg);
}

TEST_F_TIMEOUT(som, a_fatal_signal_ends_it, 300)
{
	EXPECT_TRUE(som_kill_ends(self->fd, &self->before, fill_last_bytes,
				  scan_for_zero));
}

/*
 * Pins
 */

static int ring_with_buffer(void *p, size_t len)
{
	struct io_uring_params params = {};
	struct iovec iov = { .iov_base = p, .iov_len = len };
	int ring;

	ring = syscall(__NR_io_uring_setup, 4, &params);
	if (ring < 0)
		return -errno;
	if (syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS,
		    &iov, 1)) {
		close(ring);
		return -errno;
	}
	return ring;
}

TEST_F(som, pinned_memory_stays_written)
{
	char *p = som_map(self->fd, UNIT);
	int ring, i;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, UNIT, 1);
	ring = ring_with_buffer(p + 16 * PAGE, 4 * PAGE);
	if (ring < 0)
		SKIP(return, "no fixed buffers (%d)", ring);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
		GET(p, UNIT_PAGES, WRITTEN);
		EXPECT_PAGES(16, 20, WRITTEN);
	}
	ASSERT_EQ(0, syscall(__NR_io_uring_register, ring,
			     IORING_UNREGISTER_BUFFERS, NULL, 0));
	close(ring);
	/* The pin goes when the ring's own work is done. */
	for (i = 0; i < 5000; i++) {
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
		if (!som_scan_count(self->fd, p, UNIT, WRITTEN))
			break;
		usleep(10000);
	}
	EXPECT_GT(5000, i);
	write_page(p, 17);
	EXPECT_EQ(1, som_scan_count(self->fd, p, UNIT, WRITTEN));
}

TEST_HARNESS_MAIN
