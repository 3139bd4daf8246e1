// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_PAGE_IS_ZERO: right whatever happened to the page, and not looked for
 * unless a mask asks.
 *
 * SOM-TEST: timeout=300 kmemleak
 */
#include "som_scan.h"

static bool som_one_process = true;

static __u64 got[4 * UNIT_PAGES];

TEST_F(som, what_is_not_there_is_zero)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	GET(p, 2 * UNIT_PAGES, ZERO | PRESENT);
	EXPECT_PAGES(0, 2 * UNIT_PAGES, ZERO);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	GET(p, 2 * UNIT_PAGES, ZERO | PRESENT);
	EXPECT_PAGES(0, 2 * UNIT_PAGES, ZERO);
	EXPECT_USED(0);
}

TEST_F(som, untracked)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	READ_ONCE(p[0]);
	GET(p, 2 * UNIT_PAGES, ZERO | PRESENT | WRITTEN);
	EXPECT_PAGES(0, UNIT_PAGES, ZERO | PRESENT | WRITTEN);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, ZERO);

	p[3 * PAGE] = 1;
	p[5 * PAGE - 1] = 1;
	p[7 * PAGE + 2048] = 0;
	GET(p, UNIT_PAGES, ZERO);
	EXPECT_PAGES(0, 3, ZERO);
	EXPECT_PAGES(3, 5, 0);
	EXPECT_PAGES(5, UNIT_PAGES, ZERO);
	p[3 * PAGE] = 0;
	GET(p, UNIT_PAGES, ZERO);
	EXPECT_PAGES(0, 4, ZERO);
	EXPECT_PAGES(4, 5, 0);
}

TEST_F(som, tracked_before_use)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	READ_ONCE(p[9 * PAGE]);
	GET(p, UNIT_PAGES, ZERO | WRITTEN | PRESENT);
	EXPECT_PAGES(0, UNIT_PAGES, ZERO | PRESENT);
	p[3 * PAGE] = 1;
	p[4 * PAGE] = 0;
	GET(p, UNIT_PAGES, ZERO | WRITTEN);
	EXPECT_PAGES(0, 3, ZERO);
	EXPECT_PAGES(3, 4, WRITTEN);
	EXPECT_PAGES(4, 5, WRITTEN | ZERO);
	EXPECT_PAGES(5, UNIT_PAGES, ZERO);
}

/* Clean is not zero. */
TEST_F(som, clean_pages_keep_their_content)
{
	char *p = som_map(self->fd, UNIT);
	int i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	p[3 * PAGE + 77] = 1;
	p[4 * PAGE + 77] = 1;
	for (i = 0; i < 6; i++) {
		GET(p, UNIT_PAGES, ZERO);
		EXPECT_PAGES(0, 3, ZERO);
		EXPECT_PAGES(3, 5, 0);
		EXPECT_PAGES(5, UNIT_PAGES, ZERO);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	}
	p[3 * PAGE + 77] = 0;
	for (i = 0; i < 3; i++) {
		GET(p, UNIT_PAGES, ZERO);
		EXPECT_PAGES(0, 4, ZERO);
		EXPECT_PAGES(4, 5, 0);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	}
}

/* Every byte counts. */
TEST_F(som, one_byte_is_enough)
{
	static const size_t at[] = {
		0, 1, 7, 8, 63, 64, 511, 2047, 2048, 4031, 4088, 4095,
	};
	char *p = som_map(self->fd, UNIT);
	size_t i;
	int tracked;

	ASSERT_NE(MAP_FAILED, p);
	p[0] = 0;
	for (tracked = 0; tracked < 2; tracked++) {
		for (i = 0; i < ARRAY_SIZE(at); i++)
			p[2 * i * PAGE + at[i]] = 0x80;
		GET(p, UNIT_PAGES, ZERO);
		for (i = 0; i < ARRAY_SIZE(at); i++) {
			EXPECT_EQ(0, got[2 * i]);
			EXPECT_EQ(ZERO, got[2 * i + 1]);
			p[2 * i * PAGE + at[i]] = 0;
		}
		GET(p, UNIT_PAGES, ZERO);
		EXPECT_PAGES(0, UNIT_PAGES, ZERO);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	}
}

TEST_F(som, removed_memory_is_zero)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	som_fill_pages(p, 2 * UNIT, 1);
	ASSERT_EQ(0, madvise(p + 3 * PAGE, 2 * PAGE, MADV_REMOVE));
	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_REMOVE));
	GET(p, 2 * UNIT_PAGES, ZERO | PRESENT);
	EXPECT_PAGES(0, 3, PRESENT);
	EXPECT_PAGES(3, 5, PRESENT | ZERO);
	EXPECT_PAGES(5, UNIT_PAGES, PRESENT);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, ZERO);
	p[UNIT] = 1;
	GET(p + UNIT, UNIT_PAGES, ZERO | PRESENT);
	EXPECT_PAGES(0, 1, PRESENT);
	EXPECT_PAGES(1, UNIT_PAGES, PRESENT | ZERO);
}

/* What another mapping's end and a move do to what is known. */
TEST_F(som, after_entries_were_dropped)
{
	char *p = som_map(self->fd, UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	p[3 * PAGE] = 1;
	ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
	GET(p, UNIT_PAGES, ZERO);
	EXPECT_EQ(0, got[3]);
	p[5 * PAGE] = 1;
	q = mremap(p, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED,
		   som_room(UNIT, UNIT));
	ASSERT_NE(MAP_FAILED, q);
	GET(q, UNIT_PAGES, ZERO);
	EXPECT_PAGES(0, 3, ZERO);
	EXPECT_EQ(0, got[3]);
	EXPECT_EQ(ZERO, got[4]);
	EXPECT_EQ(0, got[5]);
	ASSERT_EQ(0, som_scan_clean(self->fd, q, UNIT));
	q[7 * PAGE] = 1;
	ASSERT_EQ(0, mprotect(q, UNIT, PROT_READ));
	GET(q, UNIT_PAGES, ZERO);
	EXPECT_EQ(0, got[3]);
	EXPECT_EQ(0, got[5]);
	EXPECT_EQ(0, got[7]);
	EXPECT_PAGES(8, UNIT_PAGES, ZERO);
}

TEST_F(som, as_mask_inverted_and_any_of)
{
	char *p = som_map(self->fd, UNIT);
	struct page_region vec[8];
	struct pm_scan_arg arg;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	p[3 * PAGE] = 1;
	p[4 * PAGE] = 0;
	/* Not zero. */
	arg = som_scan_args(p, UNIT, vec, 8);
	arg.category_mask = ZERO;
	arg.category_inverted = ZERO;
	ASSERT_EQ(1, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(p + 3 * PAGE), vec[0].start);
	EXPECT_EQ(som_addr(p + 4 * PAGE), vec[0].end);
	EXPECT_EQ(0, vec[0].categories);
	/* Written, but zero: nothing to save. */
	arg.category_mask = ZERO | WRITTEN;
	arg.category_inverted = 0;
	arg.return_mask = ZERO;
	ASSERT_EQ(1, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(p + 4 * PAGE), vec[0].start);
	EXPECT_EQ(som_addr(p + 5 * PAGE), vec[0].end);
	EXPECT_EQ(ZERO, vec[0].categories);
	/* Written or not zero, told without the category. */
	arg.category_mask = 0;
	arg.category_anyof_mask = ZERO | WRITTEN;
	arg.category_inverted = ZERO;
	arg.return_mask = WRITTEN;
	ASSERT_EQ(1, som_scan_call(self->fd, &arg));
	EXPECT_EQ(som_addr(p + 3 * PAGE), vec[0].start);
	EXPECT_EQ(som_addr(p + 5 * PAGE), vec[0].end);
	EXPECT_EQ(WRITTEN, vec[0].categories);
	/* Cleaning by it leaves the rest alone. */
	arg = som_scan_args(p, UNIT, vec, 8);
	arg.flags = WP;
	arg.category_mask = ZERO | WRITTEN;
	ASSERT_EQ(1, som_scan_call(self->fd, &arg));
	GET(p, UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 3, 0);
	EXPECT_PAGES(3, 4, WRITTEN);
	EXPECT_PAGES(4, UNIT_PAGES, 0);
}

TEST_F(som, in_part_of_a_unit)
{
	char *room = som_room(3 * UNIT, UNIT), *p;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room + 7 * PAGE, UNIT, RW, MAP_FIXED);
	ASSERT_EQ(room + 7 * PAGE, p);
	p[0] = 1;
	p[UNIT - 1] = 1;
	GET(p, UNIT_PAGES, ZERO | PRESENT);
	EXPECT_PAGES(0, 1, PRESENT);
	EXPECT_PAGES(1, UNIT_PAGES - 1, PRESENT | ZERO);
	EXPECT_PAGES(UNIT_PAGES - 1, UNIT_PAGES, PRESENT);
}

/* How long a scan of one region takes if nobody else gets the processor meanwhile. */
static double scan_time(int fd, const struct pm_scan_arg *scan)
{
	double start, fastest = 1e9;
	struct pm_scan_arg arg;
	int i;

	for (i = 0; i < 5; i++) {
		arg = *scan;
		start = som_now();
		if (som_scan_call(fd, &arg) != 1)
			return -1;
		start = som_now() - start;
		fastest = start < fastest ? start : fastest;
	}
	return fastest;
}

/* Where it does not matter, nothing is read: the answer takes no longer. */
TEST_F(som, only_if_asked)
{
	size_t len = 128 * UNIT, i;
	char *p = som_map(self->fd, len);
	struct page_region vec;
	struct pm_scan_arg arg;
	double asked, not_asked, known;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < len; i += PAGE)
		p[i + PAGE - 1] = 1;
	arg = som_scan_args(p, len, &vec, 1);
	arg.category_mask = PRESENT | HUGE_2M;
	arg.return_mask = KERNEL_CATEGORIES;
	not_asked = scan_time(self->fd, &arg);
	ASSERT_LE(0, not_asked);
	arg.return_mask |= ZERO;
	asked = scan_time(self->fd, &arg);
	ASSERT_LE(0, asked);
	EXPECT_EQ(som_addr(p + len), vec.end);

	/* Nor where it is known. */
	ASSERT_EQ(0, munmap(p, len));
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, len));
	for (i = 0; i < len; i += UNIT)
		READ_ONCE(p[i]);
	arg = som_scan_args(p, len, &vec, 1);
	arg.category_mask = ZERO;
	known = scan_time(self->fd, &arg);
	ASSERT_LE(0, known);
	EXPECT_EQ(som_addr(p + len), vec.end);
	TH_LOG("%.2f ms, asked %.2f ms, known %.2f ms", not_asked * 1000,
	       asked * 1000, known * 1000);
	EXPECT_LT(4 * not_asked, asked);
	EXPECT_LT(1.5 * known, asked);
}

TEST_HARNESS_MAIN
