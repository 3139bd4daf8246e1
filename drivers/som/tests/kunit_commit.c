// SPDX-License-Identifier: GPL-2.0
/* The arithmetic of promises. */
#include "kunit.h"
#include "../commit.h"

static void commit_charge_exact(struct kunit *test)
{
	struct som_commit c = { .total = 512 };

	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, 513));
	KUNIT_EXPECT_EQ(test, c.committed, 0);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, 511));
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, 2));
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, 1));
	KUNIT_EXPECT_EQ(test, som_commit_room(&c), 0);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, 0));
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, ULONG_MAX));
	som_commit_uncharge(&c, 512);
	KUNIT_EXPECT_EQ(test, som_commit_room(&c), 512);
}

static void commit_empty_pool(struct kunit *test)
{
	struct som_commit c = {};

	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, 1));
	KUNIT_EXPECT_FALSE(test, som_commit_shrink(&c, 1));
	som_commit_grow(&c, 512);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, 1));
}

/* A unit that is withheld takes its charge along: it makes no room. */
static void commit_withhold(struct kunit *test)
{
	struct som_commit c = { .total = 2, .committed = 2 };

	som_commit_withhold(&c, 1);
	KUNIT_EXPECT_EQ(test, c.committed, 1);
	KUNIT_EXPECT_EQ(test, som_commit_room(&c), 0);
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, 1));
	som_commit_restore(&c, 1);
	KUNIT_EXPECT_EQ(test, som_commit_room(&c), 1);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, 1));
}

/* What has failed was promised: nothing more is, until somebody gives a promise up. */
static void commit_retire(struct kunit *test)
{
	struct som_commit c = { .total = 2, .committed = 1 };

	som_commit_retire(&c, 1);
	KUNIT_EXPECT_FALSE(test, som_commit_broken(&c));
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, 1));
	som_commit_retire(&c, 1);
	KUNIT_EXPECT_TRUE(test, som_commit_broken(&c));
	KUNIT_EXPECT_EQ(test, som_commit_room(&c), 0);
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, 1));
	KUNIT_EXPECT_FALSE(test, som_commit_shrink(&c, 1));
	som_commit_uncharge(&c, 1);
	KUNIT_EXPECT_FALSE(test, som_commit_broken(&c));
	som_commit_grow(&c, 1);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, 1));
}

static void commit_shrink(struct kunit *test)
{
	struct som_commit c = { .total = 1024, .committed = 513 };

	som_commit_withhold(&c, 1);
	KUNIT_EXPECT_FALSE(test, som_commit_shrink(&c, 512));
	KUNIT_EXPECT_EQ(test, c.total, 1024);
	som_commit_restore(&c, 1);
	KUNIT_EXPECT_TRUE(test, som_commit_shrink(&c, 512));
	KUNIT_EXPECT_EQ(test, c.total, 512);
	KUNIT_EXPECT_FALSE(test, som_commit_shrink(&c, 1));
}

/* What is withheld goes with the chunk that has it, or everything stays. */
static void commit_shrink_held(struct kunit *test)
{
	struct som_commit c = { .total = 1024, .committed = 514 };

	som_commit_withhold(&c, 1);
	KUNIT_EXPECT_FALSE(test, som_commit_shrink_held(&c, 512, 1));
	KUNIT_EXPECT_EQ(test, c.total, 1024);
	KUNIT_EXPECT_EQ(test, c.committed, 513);
	KUNIT_EXPECT_EQ(test, c.withheld, 1);
	som_commit_uncharge(&c, 1);
	KUNIT_EXPECT_FALSE(test, som_commit_shrink_held(&c, 512, 0));
	KUNIT_EXPECT_TRUE(test, som_commit_shrink_held(&c, 512, 1));
	KUNIT_EXPECT_EQ(test, c.total, 512);
	KUNIT_EXPECT_EQ(test, c.committed, 512);
	KUNIT_EXPECT_EQ(test, c.withheld, 0);
}

/* All small pools: charge succeeds exactly when there is room. */
static void commit_exhaustive(struct kunit *test)
{
	unsigned long total, committed, withheld, n, cases = 0;

	for (total = 0; total <= 6; total++)
	for (committed = 0; committed <= total; committed++)
	for (withheld = 0; committed + withheld <= total; withheld++)
	for (n = 0; n <= 7; n++) {
		struct som_commit c = { total, committed, withheld };
		bool fits = committed + withheld + n <= total;

		KUNIT_EXPECT_EQ(test, som_commit_charge(&c, n), fits);
		KUNIT_EXPECT_EQ(test, c.committed, committed + (fits ? n : 0));
		c = (struct som_commit){ total, committed, withheld };
		KUNIT_EXPECT_EQ(test, som_commit_shrink(&c, n), fits);
		KUNIT_EXPECT_EQ(test, c.total, total - (fits ? n : 0));
		cases++;
	}
	KUNIT_EXPECT_EQ(test, cases, 84 * 8);
}

static struct kunit_case som_commit_cases[] = {
	KUNIT_CASE(commit_charge_exact),
	KUNIT_CASE(commit_empty_pool),
	KUNIT_CASE(commit_withhold),
	KUNIT_CASE(commit_retire),
	KUNIT_CASE(commit_shrink),
	KUNIT_CASE(commit_shrink_held),
	KUNIT_CASE(commit_exhaustive),
	{}
};

struct kunit_suite som_commit_suite = {
	.name = "som_commit",
	.test_cases = som_commit_cases,
};
