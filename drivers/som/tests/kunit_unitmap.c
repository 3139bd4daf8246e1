// SPDX-License-Identifier: GPL-2.0
/* The bitmaps of a chunk. */
#include <linux/bitmap.h>
#include <linux/prandom.h>
#include "kunit.h"
#include "../unitmap.c"

/* The invariants of struct som_unitmap. */
static void check_map(struct kunit *test, const struct som_unitmap *map)
{
	KUNIT_EXPECT_EQ(test, map->nr_used,
			bitmap_weight(map->used, SOM_CHUNK_UNITS));
	KUNIT_EXPECT_EQ(test, map->nr_dirty,
			bitmap_weight(map->dirty, SOM_CHUNK_UNITS));
	KUNIT_EXPECT_EQ(test, map->nr_held,
			bitmap_weight(map->held, SOM_CHUNK_UNITS));
	KUNIT_EXPECT_EQ(test, map->nr_poisoned,
			bitmap_weight(map->poisoned, SOM_CHUNK_UNITS));
	KUNIT_EXPECT_EQ(test, map->nr_retired, map->nr_poisoned -
			bitmap_weight_and(map->poisoned, map->used,
					  SOM_CHUNK_UNITS) -
			bitmap_weight_and(map->poisoned, map->held,
					  SOM_CHUNK_UNITS) -
			bitmap_weight_and(map->poisoned, map->zeroing,
					  SOM_CHUNK_UNITS));
	KUNIT_EXPECT_FALSE(test, bitmap_intersects(map->poisoned, map->dirty,
						   SOM_CHUNK_UNITS));
	KUNIT_EXPECT_FALSE(test, bitmap_intersects(map->used, map->dirty,
						   SOM_CHUNK_UNITS));
	KUNIT_EXPECT_FALSE(test, bitmap_intersects(map->used, map->held,
						   SOM_CHUNK_UNITS));
	KUNIT_EXPECT_FALSE(test, bitmap_intersects(map->dirty, map->held,
						   SOM_CHUNK_UNITS));
}

static void unitmap_take_all(struct kunit *test)
{
	struct som_unitmap map;
	bool zeroed;
	int i;

	som_unitmap_init(&map, true);
	for (i = 0; i < SOM_CHUNK_UNITS; i++) {
		KUNIT_EXPECT_EQ(test, som_unitmap_nr_zeroed(&map),
				SOM_CHUNK_UNITS - i);
		KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), i);
		KUNIT_EXPECT_TRUE(test, zeroed);
		check_map(test, &map);
	}
	KUNIT_EXPECT_EQ(test, som_unitmap_nr_free(&map), 0);
	KUNIT_EXPECT_EQ(test, som_unitmap_take(&map, &zeroed), -ENOSPC);
	check_map(test, &map);
}

/* A whole chunk at once: only if it is empty, and it says what is dirty. */
static void unitmap_take_chunk(struct kunit *test)
{
	DECLARE_BITMAP(dirty, SOM_CHUNK_UNITS);
	struct som_unitmap map;
	bool zeroed;
	int i;

	som_unitmap_init(&map, true);
	KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), 0);
	KUNIT_EXPECT_FALSE(test, som_unitmap_take_all(&map, dirty));
	check_map(test, &map);
	KUNIT_EXPECT_EQ(test, map.nr_used, 1);

	KUNIT_EXPECT_EQ(test, som_unitmap_put(&map, 0, true), 0);
	KUNIT_EXPECT_FALSE(test, som_unitmap_take_all(&map, dirty));
	KUNIT_EXPECT_EQ(test, som_unitmap_unhold(&map), 1);
	KUNIT_EXPECT_TRUE(test, som_unitmap_take_all(&map, dirty));
	check_map(test, &map);
	KUNIT_EXPECT_EQ(test, som_unitmap_nr_free(&map), 0);
	KUNIT_EXPECT_EQ(test, bitmap_weight(dirty, SOM_CHUNK_UNITS), 1);
	KUNIT_EXPECT_TRUE(test, test_bit(0, dirty));

	for (i = 0; i < SOM_CHUNK_UNITS; i++)
		KUNIT_EXPECT_EQ(test, som_unitmap_put(&map, i, false), 0);
	check_map(test, &map);
	KUNIT_EXPECT_EQ(test, map.nr_dirty, SOM_CHUNK_UNITS);
}

static void unitmap_dirty_chunk(struct kunit *test)
{
	struct som_unitmap map;
	bool zeroed = true;

	som_unitmap_init(&map, false);
	KUNIT_EXPECT_EQ(test, som_unitmap_nr_free(&map), SOM_CHUNK_UNITS);
	KUNIT_EXPECT_EQ(test, som_unitmap_nr_zeroed(&map), 0);
	KUNIT_EXPECT_EQ(test, som_unitmap_take(&map, &zeroed), 0);
	KUNIT_EXPECT_FALSE(test, zeroed);
	check_map(test, &map);
}

/* A unit that was given back is dirty, and comes after every zeroed one. */
static void unitmap_zeroed_first(struct kunit *test)
{
	struct som_unitmap map;
	bool zeroed;
	int i;

	som_unitmap_init(&map, true);
	KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), 0);
	KUNIT_ASSERT_EQ(test, som_unitmap_put(&map, 0, false), 0);
	for (i = 1; i < SOM_CHUNK_UNITS; i++) {
		KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), i);
		KUNIT_EXPECT_TRUE(test, zeroed);
	}
	KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), 0);
	KUNIT_EXPECT_FALSE(test, zeroed);
	check_map(test, &map);
}

static void unitmap_put_twice(struct kunit *test)
{
	struct som_unitmap map, before;
	bool zeroed;

	som_unitmap_init(&map, true);
	som_unitmap_take(&map, &zeroed);
	KUNIT_EXPECT_EQ(test, som_unitmap_put(&map, 0, false), 0);
	before = map;
	KUNIT_EXPECT_EQ(test, som_unitmap_put(&map, 0, false), -EINVAL);
	KUNIT_EXPECT_EQ(test, som_unitmap_put(&map, 1, true), -EINVAL);
	KUNIT_EXPECT_EQ(test, som_unitmap_put(&map, SOM_CHUNK_UNITS, false),
			-EINVAL);
	KUNIT_EXPECT_MEMEQ(test, &map, &before, sizeof(map));
}

/* A held unit is not handed out until it is let go, and then as dirty. */
static void unitmap_hold(struct kunit *test)
{
	struct som_unitmap map;
	bool zeroed;
	int i;

	som_unitmap_init(&map, true);
	for (i = 0; i < SOM_CHUNK_UNITS; i++)
		som_unitmap_take(&map, &zeroed);
	KUNIT_ASSERT_EQ(test, som_unitmap_put(&map, 7, true), 0);
	KUNIT_ASSERT_EQ(test, som_unitmap_put(&map, 511, true), 0);
	check_map(test, &map);
	KUNIT_EXPECT_EQ(test, som_unitmap_nr_free(&map), 0);
	KUNIT_EXPECT_EQ(test, som_unitmap_take(&map, &zeroed), -ENOSPC);

	KUNIT_EXPECT_EQ(test, som_unitmap_unhold(&map), 2);
	check_map(test, &map);
	KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), 7);
	KUNIT_EXPECT_FALSE(test, zeroed);
	KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), 511);
	KUNIT_EXPECT_FALSE(test, zeroed);
	KUNIT_EXPECT_EQ(test, som_unitmap_unhold(&map), 0);
}

/* In whatever state a unit is when its memory fails, nobody gets it afterwards. */
static void unitmap_poison(struct kunit *test)
{
	DECLARE_BITMAP(dirty, SOM_CHUNK_UNITS);
	struct som_unitmap map;
	bool zeroed;
	int i;

	som_unitmap_init(&map, true);
	for (i = 0; i < 4; i++)
		KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), i);
	som_unitmap_put(&map, 0, false);	/* dirty */
	som_unitmap_put(&map, 1, true);		/* held */
	som_unitmap_put(&map, 2, false);	/* being zeroed */
	for (i = 0; i < 2; i++)
		som_unitmap_zero_begin(&map);
	som_unitmap_zero_end(&map, 0, false);
	for (i = 0; i < 5; i++) {
		KUNIT_EXPECT_TRUE(test, som_unitmap_poison(&map, i));
		KUNIT_EXPECT_FALSE(test, som_unitmap_poison(&map, i));
		KUNIT_EXPECT_EQ(test, som_unitmap_state(&map, i), 'x');
		check_map(test, &map);
	}
	/* Dirty, and zeroed. */
	KUNIT_EXPECT_EQ(test, map.nr_retired, 2);
	KUNIT_EXPECT_EQ(test, som_unitmap_unhold(&map), 1);
	KUNIT_EXPECT_EQ(test, map.nr_retired, 3);
	som_unitmap_zero_end(&map, 2, true);
	KUNIT_EXPECT_EQ(test, map.nr_retired, 4);
	KUNIT_EXPECT_EQ(test, som_unitmap_put(&map, 3, false), 0);
	KUNIT_EXPECT_EQ(test, map.nr_retired, 5);
	check_map(test, &map);

	KUNIT_EXPECT_FALSE(test, som_unitmap_take_all(&map, dirty));
	KUNIT_EXPECT_EQ(test, som_unitmap_zero_begin(&map), -ENOENT);
	KUNIT_EXPECT_EQ(test, som_unitmap_nr_free(&map), SOM_CHUNK_UNITS - 5);
	for (i = 5; i < SOM_CHUNK_UNITS; i++)
		KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), i);
	KUNIT_EXPECT_EQ(test, som_unitmap_take(&map, &zeroed), -ENOSPC);
	check_map(test, &map);
}

/* Random steps against an array that says what each unit is. */
static void unitmap_model(struct kunit *test)
{
	enum { ZEROED, DIRTY, USED, HELD } *model;
	struct som_unitmap *map;
	struct rnd_state rnd;
	int step;

	map = kunit_kzalloc(test, sizeof(*map), GFP_KERNEL);
	model = kunit_kcalloc(test, SOM_CHUNK_UNITS, sizeof(*model),
			      GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, map);
	KUNIT_ASSERT_NOT_NULL(test, model);
	prandom_seed_state(&rnd, 1);
	som_unitmap_init(map, true);

	for (step = 0; step < 20000; step++) {
		unsigned int r = prandom_u32_state(&rnd);
		unsigned int unit = r / 8 % SOM_CHUNK_UNITS, i, count = 0;
		bool zeroed, hold = r & 4;
		int ret;

		if (r % 4 < 2) {
			for (i = 0; i < SOM_CHUNK_UNITS; i++)
				count += model[i] <= DIRTY;
			ret = som_unitmap_take(map, &zeroed);
			KUNIT_ASSERT_EQ(test, ret >= 0, count > 0);
			if (ret < 0)
				continue;
			KUNIT_ASSERT_EQ(test, model[ret],
					zeroed ? ZEROED : DIRTY);
			model[ret] = USED;
		} else if (r % 4 == 2 || r % 1024) {
			ret = som_unitmap_put(map, unit, hold);
			KUNIT_ASSERT_EQ(test, ret,
					model[unit] == USED ? 0 : -EINVAL);
			if (!ret)
				model[unit] = hold ? HELD : DIRTY;
		} else {
			for (i = 0; i < SOM_CHUNK_UNITS; i++) {
				if (model[i] != HELD)
					continue;
				model[i] = DIRTY;
				count++;
			}
			KUNIT_ASSERT_EQ(test, som_unitmap_unhold(map), count);
		}
	}
	check_map(test, map);
}

static struct kunit_case som_unitmap_cases[] = {
	KUNIT_CASE(unitmap_take_all),
	KUNIT_CASE(unitmap_take_chunk),
	KUNIT_CASE(unitmap_dirty_chunk),
	KUNIT_CASE(unitmap_zeroed_first),
	KUNIT_CASE(unitmap_put_twice),
	KUNIT_CASE(unitmap_hold),
	KUNIT_CASE(unitmap_poison),
	KUNIT_CASE(unitmap_model),
	{}
};

struct kunit_suite som_unitmap_suite = {
	.name = "som_unitmap",
	.test_cases = som_unitmap_cases,
};
