// SPDX-License-Identifier: GPL-2.0
/* Addresses that a scan has passed. */
#include <linux/bitmap.h>
#include <linux/prandom.h>
#include "kunit.h"
#include "../seen.h"

static void seen_empty(struct kunit *test)
{
	struct som_seen seen;

	som_seen_init(&seen);
	KUNIT_EXPECT_FALSE(test, som_seen_any(&seen, 0, ULONG_MAX));
	som_seen_add(&seen, 7, 7);
	som_seen_add_range(&seen, 7, 7);
	som_seen_add_range(&seen, 7, 3);
	KUNIT_EXPECT_EQ(test, seen.nr, 0);
	som_seen_add(&seen, 0, 1);
	KUNIT_EXPECT_TRUE(test, som_seen_any(&seen, 0, 1));
	KUNIT_EXPECT_FALSE(test, som_seen_any(&seen, 1, ULONG_MAX));
	KUNIT_EXPECT_FALSE(test, som_seen_any(&seen, 0, 0));
}

/* Ranges that overlap or touch become one; the one added last comes first. */
static void seen_joins(struct kunit *test)
{
	struct som_seen seen;

	som_seen_init(&seen);
	som_seen_add(&seen, 10, 20);
	som_seen_add(&seen, 40, 50);
	som_seen_add(&seen, 70, 80);
	KUNIT_EXPECT_EQ(test, seen.nr, 3);
	KUNIT_EXPECT_EQ(test, seen.range[0].start, 70);
	som_seen_add(&seen, 20, 40);
	KUNIT_EXPECT_EQ(test, seen.nr, 2);
	KUNIT_EXPECT_EQ(test, seen.range[0].start, 10);
	KUNIT_EXPECT_EQ(test, seen.range[0].end, 50);
	som_seen_add(&seen, 75, 90);
	KUNIT_EXPECT_EQ(test, seen.nr, 2);
	KUNIT_EXPECT_EQ(test, seen.range[0].start, 70);
	KUNIT_EXPECT_EQ(test, seen.range[0].end, 90);
	som_seen_add(&seen, 51, 69);
	KUNIT_EXPECT_EQ(test, seen.nr, 3);
	KUNIT_EXPECT_FALSE(test, som_seen_any(&seen, 50, 51));
	som_seen_add(&seen, 0, 100);
	KUNIT_EXPECT_EQ(test, seen.nr, 1);
}

/* When all are in use the new range is joined with the closest, on either side. */
static void seen_full(struct kunit *test)
{
	struct som_seen seen;
	unsigned long i;

	som_seen_init(&seen);
	for (i = 0; i < SOM_SEEN_RANGES; i++)
		som_seen_add(&seen, 100 * i, 100 * i + 10);
	KUNIT_EXPECT_EQ(test, seen.nr, SOM_SEEN_RANGES);
	for (i = 0; i < SOM_SEEN_RANGES; i++)
		KUNIT_EXPECT_FALSE(test, som_seen_any(&seen, 100 * i + 10,
						      100 * i + 100));
	som_seen_add(&seen, 530, 540);
	KUNIT_EXPECT_EQ(test, seen.nr, SOM_SEEN_RANGES);
	KUNIT_EXPECT_EQ(test, seen.range[0].start, 500);
	KUNIT_EXPECT_EQ(test, seen.range[0].end, 540);
	som_seen_add(&seen, 260, 270);
	KUNIT_EXPECT_EQ(test, seen.range[0].start, 260);
	KUNIT_EXPECT_EQ(test, seen.range[0].end, 310);
	KUNIT_EXPECT_FALSE(test, som_seen_any(&seen, 210, 260));
	KUNIT_EXPECT_FALSE(test, som_seen_any(&seen, 310, 400));
}

#define SPACE	1024

/* Ranges are disjoint, and apart. */
static void check_ranges(struct kunit *test, const struct som_seen *seen)
{
	unsigned int i, j;

	KUNIT_ASSERT_LE(test, seen->nr, SOM_SEEN_RANGES);
	for (i = 0; i < seen->nr; i++) {
		KUNIT_ASSERT_LT(test, seen->range[i].start, seen->range[i].end);
		for (j = 0; j < i; j++)
			KUNIT_ASSERT_TRUE(test,
					  seen->range[i].end < seen->range[j].start ||
					  seen->range[i].start > seen->range[j].end);
	}
}

/* Random ranges: nothing is forgotten, and while there is room nothing is made up. */
static void seen_model(struct kunit *test)
{
	DECLARE_BITMAP(added, SPACE);
	struct rnd_state rnd;
	unsigned int i, round, bit, exact = 0;
	struct som_seen seen;

	prandom_seed_state(&rnd, 1);
	for (round = 0; round < 200; round++) {
		bool full = false;

		som_seen_init(&seen);
		bitmap_zero(added, SPACE);
		for (i = 0; i < 40; i++) {
			unsigned long start = prandom_u32_state(&rnd) % SPACE;
			unsigned long len = 1 + prandom_u32_state(&rnd) % 16;

			len = min(len, SPACE - start);
			som_seen_add(&seen, start, start + len);
			for (bit = start; bit < start + len; bit++)
				__set_bit(bit, added);
			full |= seen.nr == SOM_SEEN_RANGES;
			check_ranges(test, &seen);
			for (bit = 0; bit < SPACE; bit++) {
				bool is = som_seen_any(&seen, bit, bit + 1);

				if (test_bit(bit, added))
					KUNIT_ASSERT_TRUE(test, is);
				else if (!full)
					KUNIT_ASSERT_FALSE(test, is);
			}
			exact += !full;
		}
	}
	KUNIT_EXPECT_GT(test, exact, 1000);
	KUNIT_EXPECT_LT(test, exact, 200 * 40);
}

static struct kunit_case som_seen_cases[] = {
	KUNIT_CASE(seen_empty),
	KUNIT_CASE(seen_joins),
	KUNIT_CASE(seen_full),
	KUNIT_CASE(seen_model),
	{}
};

struct kunit_suite som_seen_suite = {
	.name = "som_seen",
	.test_cases = som_seen_cases,
};
