// SPDX-License-Identifier: GPL-2.0
/* Tests of matching, merging and limits of a scan. */
#include "kunit.h"
#include "../scan.h"

#define PAGES	6
#define BASE	0x10000UL

/* All values of the masks and of a page's categories, for three categories. */
static void scan_match_exhaustive(struct kunit *test)
{
	unsigned long cases = 0;
	u64 inv, mask, any, cat;

	for (inv = 0; inv < 8; inv++)
	for (mask = 0; mask < 8; mask++)
	for (any = 0; any < 8; any++)
	for (cat = 0; cat < 8; cat++) {
		struct som_scan scan = {
			.inverted = inv, .mask = mask, .anyof = any,
		};
		bool all = true, one = !any;
		int bit;

		for (bit = 0; bit < 3; bit++) {
			bool is = (cat >> bit & 1) != (inv >> bit & 1);

			if (mask >> bit & 1 && !is)
				all = false;
			if (any >> bit & 1 && is)
				one = true;
		}
		KUNIT_ASSERT_EQ(test, som_scan_matches(&scan, cat), all && one);
		cases++;
	}
	KUNIT_EXPECT_EQ(test, cases, 4096);
}

/* Which masks an answer depends on, and which exclude pages that were not written. */
static void scan_written(struct kunit *test)
{
	static const struct {
		u64 mask, anyof, return_mask, inverted;
		bool uses, wants;
	} rows[] = {
		{ 0, 0, 0, 0, false, false },
		{ PAGE_IS_WRITTEN, 0, 0, 0, true, true },
		{ PAGE_IS_WRITTEN, 0, 0, PAGE_IS_WRITTEN, true, false },
		{ PAGE_IS_WRITTEN, 0, 0, PAGE_IS_PRESENT, true, true },
		{ PAGE_IS_PRESENT, 0, 0, 0, false, false },
		{ 0, PAGE_IS_WRITTEN, 0, 0, true, false },
		{ 0, 0, PAGE_IS_WRITTEN, 0, true, false },
		{ 0, 0, 0, PAGE_IS_WRITTEN, false, false },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct som_scan scan = {
			.mask = rows[i].mask, .anyof = rows[i].anyof,
			.return_mask = rows[i].return_mask,
			.inverted = rows[i].inverted,
		};

		KUNIT_EXPECT_EQ_MSG(test, som_scan_uses(&scan, PAGE_IS_WRITTEN),
				    rows[i].uses, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, som_scan_wants_written(&scan),
				    rows[i].wants, "row %u", i);
	}
}

/* A model of the scan that handles one page at a time. */
static void model(const u64 *cats, const bool *match, u64 return_mask,
		  u64 vec_len, u64 max_pages, struct page_region *out,
		  unsigned int *nr, u64 *walk_end)
{
	u64 pages = 0;
	int i;

	*nr = 0;
	for (i = 0; i < PAGES; i++) {
		u64 addr = BASE + i * PAGE_SIZE, cat = cats[i] & return_mask;

		if (!match[i])
			continue;
		*walk_end = addr;
		if (pages == max_pages)
			return;
		if (*nr && out[*nr - 1].end == addr &&
		    out[*nr - 1].categories == cat) {
			out[*nr - 1].end += PAGE_SIZE;
		} else if (*nr < vec_len) {
			out[(*nr)++] = (struct page_region) {
				addr, addr + PAGE_SIZE, cat
			};
		} else {
			return;
		}
		pages++;
	}
	*walk_end = BASE + PAGES * PAGE_SIZE;
}

static void check_regions(struct kunit *test, const struct som_scan *scan,
			  const struct page_region *want, unsigned int nr,
			  u64 walk_end)
{
	unsigned int i;

	KUNIT_ASSERT_EQ(test, scan->buf_nr, nr);
	KUNIT_ASSERT_EQ(test, scan->regions, nr);
	for (i = 0; i < nr; i++) {
		KUNIT_ASSERT_EQ(test, scan->buf[i].start, want[i].start);
		KUNIT_ASSERT_EQ(test, scan->buf[i].end, want[i].end);
		KUNIT_ASSERT_EQ(test, scan->buf[i].categories,
				want[i].categories);
	}
	KUNIT_ASSERT_EQ(test, scan->full,
			walk_end != BASE + PAGES * PAGE_SIZE);
	if (scan->full)
		KUNIT_ASSERT_EQ(test, scan->walk_end, walk_end);
}

/*
 * All lists of six pages, each unmatched or of one of two categories, with all limits,
 * pushed in runs as the scan does.
 */
static void scan_push_exhaustive(struct kunit *test)
{
	struct page_region want[PAGES], buf[PAGES];
	unsigned int list, i, run, nr, cases = 0;
	u64 vec_len, max_pages, walk_end, mask;

	for (list = 0; list < 729; list++)
	for (vec_len = 1; vec_len <= PAGES; vec_len++)
	for (max_pages = 1; max_pages <= PAGES + 1; max_pages++)
	for (mask = 2; mask <= 3; mask++) {
		struct som_scan scan = {
			.return_mask = mask, .vec_len = vec_len,
			.max_pages = max_pages, .buf = buf, .buf_len = PAGES,
		};
		bool match[PAGES];
		u64 cats[PAGES];
		unsigned int rest = list;

		for (i = 0; i < PAGES; i++, rest /= 3) {
			match[i] = rest % 3;
			cats[i] = 2 | (rest % 3 == 2);
		}
		model(cats, match, mask, vec_len, max_pages, want, &nr,
		      &walk_end);
		for (i = 0; i < PAGES && !scan.full; i += run) {
			run = 1;
			while (i + run < PAGES && match[i + run] == match[i] &&
			       cats[i + run] == cats[i])
				run++;
			if (match[i])
				som_scan_push(&scan, BASE + i * PAGE_SIZE, run,
					      cats[i]);
		}
		check_regions(test, &scan, want, nr, walk_end);
		cases++;
	}
	KUNIT_EXPECT_EQ(test, cases, 729 * 6 * 7 * 2);
}

/*
 * Bits have the same effect as runs: all words of six bits, split into two parts at each
 * place.
 */
static void scan_push_bits_exhaustive(struct kunit *test)
{
	struct page_region want[PAGES], buf[PAGES];
	unsigned int bits, split, i, nr;
	u64 vec_len, max_pages, walk_end, got;

	for (bits = 0; bits < 64; bits++)
	for (split = 0; split <= PAGES; split++)
	for (vec_len = 1; vec_len <= 4; vec_len++)
	for (max_pages = 1; max_pages <= PAGES + 1; max_pages++) {
		struct som_scan scan = {
			.return_mask = 1, .vec_len = vec_len,
			.max_pages = max_pages, .buf = buf, .buf_len = PAGES,
		};
		u64 low = bits & (BIT(split) - 1), high = bits >> split;
		bool match[PAGES];
		u64 cats[PAGES], taken = 0;

		for (i = 0; i < PAGES; i++) {
			match[i] = bits & BIT(i);
			cats[i] = 1;
		}
		model(cats, match, 1, vec_len, max_pages, want, &nr, &walk_end);
		taken = som_scan_push_bits(&scan, BASE, low, 1);
		if (!scan.full) {
			got = som_scan_push_bits(&scan,
						 BASE + split * PAGE_SIZE,
						 high, 1);
			taken |= got << split;
		}
		check_regions(test, &scan, want, nr, walk_end);
		KUNIT_ASSERT_EQ(test, hweight64(taken), scan.pages);
		for (i = 0; i < PAGES; i++)
			KUNIT_ASSERT_EQ(test, !!(taken & BIT(i)), match[i] &&
					BASE + i * PAGE_SIZE < walk_end);
	}
}

/* Whole words, where shifts by 64 are undefined. */
static void scan_push_bits_words(struct kunit *test)
{
	struct page_region buf[64];
	struct som_scan scan = {
		.return_mask = 1, .vec_len = 64, .max_pages = ULONG_MAX,
		.buf = buf, .buf_len = 64,
	};
	unsigned int i;

	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, ~0ULL,
				som_scan_push_bits(&scan,
						   BASE + i * 64 * PAGE_SIZE,
						   ~0ULL, 1 + 2 * i));
	KUNIT_EXPECT_EQ(test, scan.buf_nr, 1);
	/* The return mask is 1. */
	KUNIT_EXPECT_EQ(test, buf[0].categories, 1);
	KUNIT_EXPECT_EQ(test, buf[0].end, BASE + 192 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, scan.pages, 192);

	KUNIT_EXPECT_EQ(test, BIT_ULL(63) | 1,
			som_scan_push_bits(&scan, BASE + 200 * PAGE_SIZE,
					   BIT_ULL(63) | 1, 1));
	KUNIT_EXPECT_EQ(test, scan.buf_nr, 3);
	KUNIT_EXPECT_EQ(test, 0xffULL,
			som_scan_push_bits(&scan, BASE + 264 * PAGE_SIZE,
					   0xff, 1));
	KUNIT_EXPECT_EQ(test, scan.buf_nr, 3);
	KUNIT_EXPECT_FALSE(test, scan.full);
}

/* Without a vector there are no limits and no regions. */
static void scan_push_no_vec(struct kunit *test)
{
	struct som_scan scan = { .return_mask = 1, .max_pages = 1 };

	KUNIT_EXPECT_EQ(test, 100, som_scan_push(&scan, BASE, 100, 1));
	KUNIT_EXPECT_EQ(test, 0xf0f0ULL,
			som_scan_push_bits(&scan, BASE, 0xf0f0, 1));
	KUNIT_EXPECT_FALSE(test, scan.full);
	KUNIT_EXPECT_EQ(test, scan.regions, 0);
	KUNIT_EXPECT_TRUE(test, som_scan_room(&scan, 512));
}

static void scan_room(struct kunit *test)
{
	struct som_scan scan = { .vec_len = 10, .buf_len = 4, .buf_nr = 2,
				 .regions = 8 };

	KUNIT_EXPECT_TRUE(test, som_scan_room(&scan, 512));
	scan.buf_nr = 3;
	KUNIT_EXPECT_FALSE(test, som_scan_room(&scan, 512));
	KUNIT_EXPECT_TRUE(test, som_scan_room(&scan, 1));
	scan.regions = 10;
	KUNIT_EXPECT_TRUE(test, som_scan_room(&scan, 512));
}

static struct kunit_case som_scan_cases[] = {
	KUNIT_CASE(scan_match_exhaustive),
	KUNIT_CASE(scan_written),
	KUNIT_CASE(scan_push_exhaustive),
	KUNIT_CASE(scan_push_bits_exhaustive),
	KUNIT_CASE(scan_push_bits_words),
	KUNIT_CASE(scan_push_no_vec),
	KUNIT_CASE(scan_room),
	{}
};

struct kunit_suite som_scan_suite = {
	.name = "som_scan",
	.test_cases = som_scan_cases,
};
