// SPDX-License-Identifier: GPL-2.0
/* Groups of a tracked unit: active, cooling and idle. */
#include <linux/prandom.h>
#include "kunit.h"
#include "../region.h"

#define NO_PAGE		SOM_UNIT_PAGES

/* The first page of a group. */
static unsigned int page_of(unsigned int group)
{
	return group * SOM_GROUP_PAGES;
}

static void region_open(struct kunit *test)
{
	struct som_region region = { .mode = SOM_MODE_CLEAN };

	som_region_open(&region, 0x81, NO_PAGE);
	KUNIT_EXPECT_EQ(test, region.mode, SOM_MODE_DIRTY);
	KUNIT_EXPECT_EQ(test, som_region_writable(&region), 0x81);
	som_region_open(&region, 0x18, page_of(3));
	KUNIT_EXPECT_EQ(test, som_region_writable(&region), 0x99);
	KUNIT_EXPECT_EQ(test, region.cooling, 0);
	/* None of them was idle before: nothing is doubled. */
	KUNIT_EXPECT_EQ(test, region.returned[3], 0);
}

/* Idle after so many scans in a row, counted anew from each that found a write. */
static void region_idle(struct kunit *test)
{
	struct som_region region = { .mode = SOM_MODE_CLEAN };
	int i;

	som_region_open(&region, 0x3, NO_PAGE);
	for (i = 1; i < SOM_IDLE_SCANS; i++)
		KUNIT_EXPECT_EQ(test, som_region_idle(&region, 0), 0);
	KUNIT_EXPECT_EQ(test, som_region_idle(&region, 0x2), 0x1);
	for (i = 1; i < SOM_IDLE_SCANS; i++)
		KUNIT_EXPECT_EQ(test, som_region_idle(&region, 0), 0x1);
	KUNIT_EXPECT_EQ(test, som_region_idle(&region, 0), 0x3);
	KUNIT_EXPECT_EQ(test, som_region_idle(&region, 0x1), 0x2);
	/* It stays idle, however many scans come. */
	for (i = 0; i < 300; i++)
		KUNIT_ASSERT_EQ(test, som_region_idle(&region, 0x1), 0x2);
}

/* A group closes in two steps: write access goes, then the TLB has been flushed. */
static void region_close(struct kunit *test)
{
	struct som_region region = { .mode = SOM_MODE_CLEAN };

	som_region_open(&region, 0x7, NO_PAGE);
	KUNIT_EXPECT_EQ(test, som_region_close(&region, 0x3), 0x3);
	KUNIT_EXPECT_EQ(test, som_region_writable(&region), 0x7);
	som_region_protected(&region, 0x3);
	KUNIT_EXPECT_EQ(test, som_region_writable(&region), 0x4);
	KUNIT_EXPECT_EQ(test, region.active, 0x7);
	KUNIT_EXPECT_EQ(test, som_region_close(&region, 0x5), 0x4);
	KUNIT_EXPECT_EQ(test, region.active, 0x6);
	KUNIT_EXPECT_EQ(test, region.cooling, 0x2);
	KUNIT_EXPECT_EQ(test, region.mode, SOM_MODE_DIRTY);
	som_region_protected(&region, 0x4);
	KUNIT_EXPECT_EQ(test, som_region_close(&region, 0x6), 0);
	KUNIT_EXPECT_EQ(test, region.active, 0);
	KUNIT_EXPECT_EQ(test, region.mode, SOM_MODE_CLEAN);
}

/* A dirty bit shows that a group that was cooling is writable again. */
static void region_cooling_and_dirty(struct kunit *test)
{
	struct som_region region = { .mode = SOM_MODE_CLEAN };

	som_region_open(&region, 0x3, NO_PAGE);
	som_region_protected(&region, 0x3);
	som_region_idle(&region, 0x1);
	KUNIT_EXPECT_EQ(test, som_region_writable(&region), 0x1);
	KUNIT_EXPECT_EQ(test, som_region_close(&region, 0x3), 0x1);
	som_region_protected(&region, 0x1);
	som_region_open(&region, 0x1, NO_PAGE);
	KUNIT_EXPECT_EQ(test, som_region_writable(&region), 0x1);
}

/* Scans until a group is idle. */
static int scans_until_idle(struct som_region *region, unsigned int group)
{
	int scans = 1;

	while (!(som_region_idle(region, 0) & BIT(group)))
		scans++;
	return scans;
}

/* Each time that a group was closed too early it stays open for twice as long. */
static void region_doubles(struct kunit *test)
{
	static const int scans[] = { 8, 16, 32, 64, 64, 64 };
	struct som_region region = { .mode = SOM_MODE_CLEAN };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(scans); i++) {
		som_region_open(&region, BIT(5), page_of(5));
		KUNIT_EXPECT_EQ(test, scans_until_idle(&region, 5), scans[i]);
		som_region_protected(&region, BIT(5));
		KUNIT_EXPECT_EQ(test, som_region_close(&region, BIT(5)), 0);
	}
	/* Another group is not affected, nor one that is opened along with it. */
	som_region_open(&region, SOM_ALL_GROUPS, page_of(5));
	KUNIT_EXPECT_EQ(test, scans_until_idle(&region, 4), 8);
	som_region_protected(&region, BIT(4));
	KUNIT_EXPECT_EQ(test, som_region_close(&region, BIT(4)), 0);
	som_region_open(&region, SOM_ALL_GROUPS, page_of(5));
	KUNIT_EXPECT_EQ(test, scans_until_idle(&region, 4), 8);
}

/* A group of the model. */
struct group {
	bool active, cooling;
	int idle, limit;
};

static void model_open(struct group *g, bool written)
{
	if (!g->active || g->cooling) {
		if (written && g->idle >= g->limit && g->limit < 64)
			g->limit *= 2;
		g->idle = 0;
	}
	g->active = true;
	g->cooling = false;
}

static bool model_idle(struct group *g, bool dirty)
{
	if (dirty)
		g->cooling = false;
	if (!g->active)
		return false;
	if (dirty)
		g->idle = 0;
	else if (g->idle < g->limit)
		g->idle++;
	return g->idle >= g->limit;
}

static bool model_close(struct group *g)
{
	if (!g->cooling)
		return false;
	g->active = false;
	g->cooling = false;
	return true;
}

/* Random steps against a model of independent groups. */
static void region_model(struct kunit *test)
{
	struct group groups[SOM_UNIT_GROUPS] = {};
	struct som_region region = { .mode = SOM_MODE_CLEAN };
	unsigned long set, want, idle = 0, doubled = 0;
	struct rnd_state rnd;
	unsigned int g, page;
	int step;

	for (g = 0; g < SOM_UNIT_GROUPS; g++)
		groups[g].limit = 8;
	prandom_seed_state(&rnd, 1);
	for (step = 0; step < 50000; step++) {
		u32 r = prandom_u32_state(&rnd);

		set = r >> 8 & r >> 16 & SOM_ALL_GROUPS;
		page = r >> 24 & 1 ? (r >> 20) % SOM_UNIT_PAGES : NO_PAGE;
		want = 0;
		switch (r % 16) {
		case 0:
			for (g = 0; g < SOM_UNIT_GROUPS; g++)
				if (set & BIT(g))
					model_open(&groups[g],
						   page / SOM_GROUP_PAGES == g);
			som_region_open(&region, set, page);
			break;
		case 1:
			for (g = 0; g < SOM_UNIT_GROUPS; g++)
				if (set & BIT(g) && !model_close(&groups[g]))
					want |= BIT(g);
			KUNIT_ASSERT_EQ(test, som_region_close(&region, set), want);
			break;
		default:
			set = r % 16 < 4 ? set : 0;
			for (g = 0; g < SOM_UNIT_GROUPS; g++)
				if (model_idle(&groups[g], set & BIT(g)))
					want |= BIT(g);
			KUNIT_ASSERT_EQ(test, som_region_idle(&region, set), want);
			idle += !!want;
			if (r % 16 < 12)
				break;
			som_region_protected(&region, want);
			for (g = 0; g < SOM_UNIT_GROUPS; g++)
				groups[g].cooling |= !!(want & BIT(g));
		}
		for (g = 0, want = 0; g < SOM_UNIT_GROUPS; g++)
			if (groups[g].active && !groups[g].cooling)
				want |= BIT(g);
		KUNIT_ASSERT_EQ(test, som_region_writable(&region), want);
	}
	for (g = 0; g < SOM_UNIT_GROUPS; g++)
		doubled += groups[g].limit > 8;
	KUNIT_EXPECT_GT(test, idle, 100);
	KUNIT_EXPECT_GT(test, doubled, 0);
}

static struct kunit_case som_region_cases[] = {
	KUNIT_CASE(region_open),
	KUNIT_CASE(region_idle),
	KUNIT_CASE(region_close),
	KUNIT_CASE(region_cooling_and_dirty),
	KUNIT_CASE(region_doubles),
	KUNIT_CASE(region_model),
	{}
};

struct kunit_suite som_region_suite = {
	.name = "som_region",
	.test_cases = som_region_cases,
};
