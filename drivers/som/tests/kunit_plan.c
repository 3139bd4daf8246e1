// SPDX-License-Identifier: GPL-2.0
/* Compare the plan of every state with a table. */
#include <linux/bits.h>
#include "kunit.h"
#include "../plan.h"

/* Bits of a state. */
enum {
	HUGE = 1,
	BACKED = 2,
	TRACKED = 4,
	CLEAN = 8,
	SHARED = 16,
	PRIVATE = 32,
	PROTECT = 64,
	WRITES = 128,
	PLAN_STATES = 256,
};

#define AT_NONE	BIT(SOM_PMD_NONE)
#define AT_TABLE	BIT(SOM_PMD_TABLE)
#define AT_LARGE	BIT(SOM_PMD_HUGE)
#define AT_ANY	(AT_NONE | AT_TABLE | AT_LARGE)

/* Each state matches exactly one row. */
static const struct {
	unsigned int pmd;	/* states of the PMD entry */
	unsigned int set;	/* bits that must be set */
	unsigned int clear;	/* bits that must be clear */
	enum som_plan plan;
} plans[] = {
	/* 4 KiB entries always map page-backed units. */
	{ AT_ANY, BACKED, 0, SOM_PLAN_PAGES },
	/* An entry for a shared unit must stay without write access. */
	{ AT_ANY, SHARED, BACKED | PROTECT, SOM_PLAN_RETRY },
	/* The VMA covers the unit, and there is no page table. */
	{ AT_NONE | AT_LARGE, HUGE, BACKED | TRACKED | SHARED, SOM_PLAN_2M },
	{ AT_NONE | AT_LARGE, HUGE | SHARED | PROTECT, BACKED, SOM_PLAN_2M_READONLY },
	{ AT_NONE | AT_LARGE, HUGE | TRACKED | CLEAN | PROTECT, BACKED | SHARED | WRITES,
	  SOM_PLAN_2M_READONLY },
	/* Writes to tracked units need the dirty bits of 4 KiB entries. */
	{ AT_NONE, HUGE | TRACKED, BACKED | SHARED | CLEAN, SOM_PLAN_4K },
	{ AT_NONE, HUGE | TRACKED | CLEAN | WRITES, BACKED | SHARED, SOM_PLAN_4K },
	{ AT_NONE, HUGE | TRACKED | CLEAN, BACKED | SHARED | WRITES | PROTECT,
	  SOM_PLAN_4K },
	{ AT_LARGE, HUGE | TRACKED, BACKED | SHARED | CLEAN | PRIVATE,
	  SOM_PLAN_SPLIT },
	{ AT_LARGE, HUGE | TRACKED | CLEAN | WRITES, BACKED | SHARED | PRIVATE,
	  SOM_PLAN_SPLIT },
	{ AT_LARGE, HUGE | TRACKED | CLEAN, BACKED | SHARED | WRITES | PROTECT | PRIVATE,
	  SOM_PLAN_SPLIT },
	{ AT_LARGE, HUGE | TRACKED | PRIVATE, BACKED | SHARED | CLEAN,
	  SOM_PLAN_ZAP },
	{ AT_LARGE, HUGE | TRACKED | CLEAN | WRITES | PRIVATE, BACKED | SHARED,
	  SOM_PLAN_ZAP },
	{ AT_LARGE, HUGE | TRACKED | CLEAN | PRIVATE, BACKED | SHARED | WRITES | PROTECT,
	  SOM_PLAN_ZAP },
	/* Remove a 2 MiB entry that the VMA does not allow. */
	{ AT_LARGE, 0, HUGE | BACKED | PRIVATE | SHARED, SOM_PLAN_SPLIT },
	{ AT_LARGE, SHARED | PROTECT, HUGE | BACKED | PRIVATE, SOM_PLAN_SPLIT },
	{ AT_LARGE, PRIVATE, HUGE | BACKED | SHARED, SOM_PLAN_ZAP },
	{ AT_LARGE, PRIVATE | SHARED | PROTECT, HUGE | BACKED, SOM_PLAN_ZAP },
	/* The VMA does not cover the unit, or there is a page table. */
	{ AT_NONE, SHARED | PROTECT, HUGE | BACKED, SOM_PLAN_4K_READONLY },
	{ AT_TABLE, SHARED | PROTECT, BACKED, SOM_PLAN_4K_READONLY },
	{ AT_NONE, TRACKED | CLEAN | PROTECT, HUGE | BACKED | SHARED | WRITES,
	  SOM_PLAN_4K_READONLY },
	{ AT_TABLE, TRACKED | CLEAN | PROTECT, BACKED | SHARED | WRITES,
	  SOM_PLAN_4K_READONLY },
	{ AT_NONE, 0, HUGE | BACKED | SHARED | TRACKED, SOM_PLAN_4K },
	{ AT_TABLE, 0, BACKED | SHARED | TRACKED, SOM_PLAN_4K },
	{ AT_NONE, TRACKED, HUGE | BACKED | SHARED | CLEAN, SOM_PLAN_4K },
	{ AT_TABLE, TRACKED, BACKED | SHARED | CLEAN, SOM_PLAN_4K },
	{ AT_NONE, TRACKED | CLEAN | WRITES, HUGE | BACKED | SHARED, SOM_PLAN_4K },
	{ AT_TABLE, TRACKED | CLEAN | WRITES, BACKED | SHARED, SOM_PLAN_4K },
	{ AT_NONE, TRACKED | CLEAN, HUGE | BACKED | SHARED | WRITES | PROTECT,
	  SOM_PLAN_4K },
	{ AT_TABLE, TRACKED | CLEAN, BACKED | SHARED | WRITES | PROTECT, SOM_PLAN_4K },
};

/* CLEAN has no meaning without TRACKED. */
static bool possible(unsigned int bits)
{
	return bits & TRACKED || !(bits & CLEAN);
}

static struct som_plan_input plan_input(unsigned int pmd, unsigned int bits)
{
	return (struct som_plan_input){
		.pmd = pmd,
		.huge = bits & HUGE,
		.page_backed = bits & BACKED,
		.tracked = bits & TRACKED,
		.clean = bits & CLEAN,
		.shared = bits & SHARED,
		.private = bits & PRIVATE,
		.protect = bits & PROTECT,
		.write = bits & WRITES,
	};
}

static void plan_every_state(struct kunit *test)
{
	unsigned int pmd, bits, i, nr = 0, used[ARRAY_SIZE(plans)] = {};

	for (pmd = SOM_PMD_NONE; pmd <= SOM_PMD_HUGE; pmd++) {
		for (bits = 0; bits < PLAN_STATES; bits++) {
			struct som_plan_input in = plan_input(pmd, bits);
			unsigned int rows = 0;

			if (!possible(bits))
				continue;
			for (i = 0; i < ARRAY_SIZE(plans); i++) {
				if (!(plans[i].pmd & BIT(pmd)) ||
				    (bits & plans[i].set) != plans[i].set ||
				    bits & plans[i].clear)
					continue;
				rows++;
				used[i]++;
				KUNIT_EXPECT_EQ_MSG(test, som_plan_mapping(&in),
						    plans[i].plan,
						    "pmd %u, bits %#x", pmd,
						    bits);
			}
			KUNIT_EXPECT_EQ_MSG(test, rows, 1, "pmd %u, bits %#x",
					    pmd, bits);
			nr++;
		}
	}
	KUNIT_EXPECT_EQ(test, nr, 3 * (PLAN_STATES - PLAN_STATES / 4));
	for (i = 0; i < ARRAY_SIZE(plans); i++)
		KUNIT_EXPECT_GT(test, used[i], 0);
}

/* A shared unit, and a clean one that is read, never gets a writable entry. */
static void plan_never_writable(struct kunit *test)
{
	unsigned int pmd, bits;

	for (pmd = SOM_PMD_NONE; pmd <= SOM_PMD_HUGE; pmd++) {
		for (bits = 0; bits < PLAN_STATES; bits++) {
			struct som_plan_input in = plan_input(pmd, bits & ~BACKED);
			enum som_plan plan = som_plan_mapping(&in);

			if (in.shared || (in.tracked && in.clean && in.protect && !in.write)) {
				KUNIT_EXPECT_NE(test, plan, SOM_PLAN_2M);
				KUNIT_EXPECT_NE(test, plan, SOM_PLAN_4K);
			}
			/* Only 4 KiB entries record writes to tracked units. */
			if (in.tracked)
				KUNIT_EXPECT_NE(test, plan, SOM_PLAN_2M);
		}
	}
}

static struct kunit_case plan_cases[] = {
	KUNIT_CASE(plan_every_state),
	KUNIT_CASE(plan_never_writable),
	{}
};

struct kunit_suite som_plan_suite = {
	.name = "som_plan",
	.test_cases = plan_cases,
};
