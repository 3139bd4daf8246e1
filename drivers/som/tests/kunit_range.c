// SPDX-License-Identifier: GPL-2.0
/* Tests of address arithmetic. */
#include "kunit.h"
#include "../range.h"

#define M	((unsigned long)SZ_1M)
#define G	((unsigned long)SZ_1G)

static void range_constants(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, SOM_UNIT_PAGES, 512);
	KUNIT_EXPECT_EQ(test, SOM_CHUNK_UNITS, 512);
	KUNIT_EXPECT_EQ(test, SOM_CHUNK_PAGES, 512 * 512);
	KUNIT_EXPECT_EQ(test, som_pgoff_index(511), 0);
	KUNIT_EXPECT_EQ(test, som_pgoff_index(512), 1);
	KUNIT_EXPECT_EQ(test, som_index_pgoff(3), 1536);
}

/* All addresses and page offsets modulo a small alignment. */
static void range_align_addr(struct kunit *test)
{
	unsigned long align = 16 * PAGE_SIZE, addr, pgoff, got;

	for (addr = 0; addr < 2 * align; addr += PAGE_SIZE) {
		for (pgoff = 0; pgoff < 32; pgoff++) {
			got = som_align_addr(addr, pgoff, align);
			KUNIT_ASSERT_GE(test, got, addr);
			KUNIT_ASSERT_LT(test, got, addr + align);
			KUNIT_ASSERT_EQ(test, (got >> PAGE_SHIFT) % 16,
					pgoff % 16);
		}
	}
}

static void range_map_align(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, som_map_align(PAGE_SIZE), 2 * M);
	KUNIT_EXPECT_EQ(test, som_map_align(G - PAGE_SIZE), 2 * M);
	KUNIT_EXPECT_EQ(test, som_map_align(G), G);
	KUNIT_EXPECT_EQ(test, som_map_align(5 * G), G);
}

struct cover_case {
	unsigned long start, end, pgoff, addr;
	bool covered;
};

/* Each row differs from the first in one value. */
static const struct cover_case cover_cases[] = {
	{ 2 * M, 4 * M, 512, 3 * M, true },
	{ 2 * M, 4 * M, 512, 2 * M, true },
	{ 2 * M, 4 * M, 512, 4 * M - PAGE_SIZE, true },
	{ 2 * M, 4 * M, 1024, 3 * M, true },
	{ 2 * M, 4 * M, 513, 3 * M, false },
	{ 2 * M, 4 * M, 511, 3 * M, false },
	{ 2 * M, 4 * M - PAGE_SIZE, 512, 3 * M, false },
	{ 2 * M + PAGE_SIZE, 4 * M, 513, 3 * M, false },
	{ 2 * M + PAGE_SIZE, 6 * M, 513, 5 * M, true },
	{ 2 * M + PAGE_SIZE, 6 * M, 512, 5 * M, false },
	{ 0, 2 * M, 0, 0, true },
};

static void range_covered(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cover_cases); i++) {
		const struct cover_case *c = &cover_cases[i];

		KUNIT_EXPECT_EQ_MSG(test, c->covered,
				    som_index_covered(c->start, c->end, c->pgoff,
						      c->addr), "row %u", i);
	}
	KUNIT_EXPECT_EQ(test, i, 11);
}

/* The same rows, scaled from 2 MiB to 1 GiB. */
static void range_chunk_covered(struct kunit *test)
{
	const unsigned long scale = SOM_CHUNK_SIZE / SOM_UNIT_SIZE;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cover_cases); i++) {
		const struct cover_case *c = &cover_cases[i];

		KUNIT_EXPECT_EQ_MSG(test, c->covered,
				    som_chunk_covered(c->start * scale,
						      c->end * scale,
						      c->pgoff * scale,
						      c->addr * scale),
				    "row %u", i);
	}
	KUNIT_EXPECT_EQ(test, i, 11);
	/* Off by one page. */
	KUNIT_EXPECT_FALSE(test, som_chunk_covered(SOM_CHUNK_SIZE,
						   2 * SOM_CHUNK_SIZE,
						   SOM_CHUNK_PAGES + 1,
						   SOM_CHUNK_SIZE));
	KUNIT_EXPECT_FALSE(test, som_chunk_covered(SOM_CHUNK_SIZE,
						   2 * SOM_CHUNK_SIZE - PAGE_SIZE,
						   SOM_CHUNK_PAGES,
						   SOM_CHUNK_SIZE));
}

/* The parts of a mapping in its units cover all of it, in order. */
static void range_clip(struct kunit *test)
{
	unsigned long starts[] = { 2 * M, 2 * M + PAGE_SIZE, 4 * M - PAGE_SIZE };
	unsigned long lens[] = { PAGE_SIZE, 2 * M, 2 * M + PAGE_SIZE, 7 * M };
	unsigned long pgoffs[] = { 0, 1, 511, 512, 513 };
	unsigned int i, j, k;

	for (i = 0; i < ARRAY_SIZE(starts); i++)
	for (j = 0; j < ARRAY_SIZE(lens); j++)
	for (k = 0; k < ARRAY_SIZE(pgoffs); k++) {
		unsigned long vs = starts[i], ve = vs + lens[j], at = vs;
		unsigned long idx = som_pgoff_index(pgoffs[k]), s, e;

		while (at < ve) {
			som_index_clip(vs, ve, pgoffs[k], idx, &s, &e);
			KUNIT_ASSERT_EQ(test, s, at);
			KUNIT_ASSERT_GT(test, e, s);
			KUNIT_ASSERT_LE(test, e, ve);
			KUNIT_ASSERT_EQ(test, idx,
					som_pgoff_index(pgoffs[k] +
							((e - vs) >> PAGE_SHIFT) - 1));
			at = e;
			idx++;
		}
	}
}

static void range_allot(struct kunit *test)
{
	unsigned long lens[] = { PAGE_SIZE, 2 * M, 3 * M, G, 5 * G, 1024 * G };
	unsigned long addrs[] = { 0, PAGE_SIZE, 2 * M, 3 * M, G + 2 * M };
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(lens); i++)
	for (j = 0; j < ARRAY_SIZE(addrs); j++) {
		unsigned long cursor = 0, mask, pages = lens[i] >> PAGE_SHIFT;
		struct som_allotment a;
		int n;

		mask = (som_map_align(lens[i]) >> PAGE_SHIFT) - 1;
		for (n = 0; n < 3; n++) {
			KUNIT_ASSERT_EQ(test, 0, som_allot(cursor, addrs[j],
							   lens[i], &a));
			KUNIT_EXPECT_GE(test, a.start, cursor);
			KUNIT_EXPECT_EQ(test, a.start & mask,
					(addrs[j] >> PAGE_SHIFT) & mask);
			KUNIT_EXPECT_GE(test, a.limit, a.start + pages);
			KUNIT_EXPECT_GE(test, a.limit - a.start,
					min(8 * pages,
					    pages + SOM_GROW_MAX_PAGES));
			KUNIT_EXPECT_EQ(test, a.limit % SOM_UNIT_PAGES, 0);
			cursor = a.limit;
		}
	}
}

/* Slack to grow into: seven times the mapping, up to a limit. */
static void range_allot_slack(struct kunit *test)
{
	const unsigned long most = SOM_GROW_MAX_PAGES << PAGE_SHIFT;
	struct som_allotment a;

	KUNIT_ASSERT_EQ(test, 0, som_allot(0, 0, 6 * M, &a));
	KUNIT_EXPECT_EQ(test, a.limit, 8 * 6 * M >> PAGE_SHIFT);
	KUNIT_ASSERT_EQ(test, 0, som_allot(0, 0, PAGE_SIZE, &a));
	KUNIT_EXPECT_EQ(test, a.limit, SOM_UNIT_PAGES);
	KUNIT_ASSERT_EQ(test, 0, som_allot(0, 0, most / 7 + 7 * G, &a));
	KUNIT_EXPECT_EQ(test, a.limit, ALIGN(((most / 7 + 7 * G) >> PAGE_SHIFT) +
					     SOM_GROW_MAX_PAGES, SOM_UNIT_PAGES));
}

static void range_allot_exhausted(struct kunit *test)
{
	struct som_allotment a;

	/* The last allotment that fits ends where the offset space does. */
	KUNIT_EXPECT_EQ(test, 0, som_allot(SOM_OFFSET_PAGES - 4096, 0, 2 * M, &a));
	KUNIT_EXPECT_EQ(test, a.limit, SOM_OFFSET_PAGES);
	KUNIT_EXPECT_EQ(test, 0, som_allot(SOM_OFFSET_PAGES - 4096, 0,
					   PAGE_SIZE, &a));
	KUNIT_EXPECT_EQ(test, -ENOMEM, som_allot(SOM_OFFSET_PAGES - 4096, 0,
						 8 * M, &a));
	KUNIT_EXPECT_EQ(test, -ENOMEM, som_allot(SOM_OFFSET_PAGES, 0,
						 PAGE_SIZE, &a));
	KUNIT_EXPECT_EQ(test, -ENOMEM, som_allot(0, 0, 1UL << 63, &a));
}

static struct kunit_case som_range_cases[] = {
	KUNIT_CASE(range_constants),
	KUNIT_CASE(range_align_addr),
	KUNIT_CASE(range_map_align),
	KUNIT_CASE(range_covered),
	KUNIT_CASE(range_chunk_covered),
	KUNIT_CASE(range_clip),
	KUNIT_CASE(range_allot),
	KUNIT_CASE(range_allot_slack),
	KUNIT_CASE(range_allot_exhausted),
	{}
};

struct kunit_suite som_range_suite = {
	.name = "som_range",
	.test_cases = som_range_cases,
};
