// SPDX-License-Identifier: GPL-2.0
/* Tests of the bitmaps of a chunk. */
#include <linux/bitmap.h>
#include <linux/prandom.h>
#include "kunit.h"
#include "../unitmap.h"

/* Check the invariants of struct som_unitmap. */
static void check_map(struct kunit *test, const struct som_unitmap *map)
{
	KUNIT_EXPECT_EQ(test, map->nr_used,
			bitmap_weight(map->used, SOM_CHUNK_UNITS));
	KUNIT_EXPECT_EQ(test, map->nr_dirty,
			bitmap_weight(map->dirty, SOM_CHUNK_UNITS));
	KUNIT_EXPECT_EQ(test, map->nr_quarantined,
			bitmap_weight(map->quarantined, SOM_CHUNK_UNITS));
	KUNIT_EXPECT_EQ(test, map->nr_zeroing,
			bitmap_weight(map->zeroing, SOM_CHUNK_UNITS));
	KUNIT_EXPECT_EQ(test, map->nr_poisoned,
			bitmap_weight(map->poisoned, SOM_CHUNK_UNITS));
	KUNIT_EXPECT_EQ(test, som_unitmap_nr_free(map), SOM_CHUNK_UNITS -
			map->nr_used - map->nr_quarantined - map->nr_zeroing -
			map->nr_retired);
	KUNIT_EXPECT_EQ(test, map->nr_retired, map->nr_poisoned -
			bitmap_weight_and(map->poisoned, map->used,
					  SOM_CHUNK_UNITS) -
			bitmap_weight_and(map->poisoned, map->quarantined,
					  SOM_CHUNK_UNITS) -
			bitmap_weight_and(map->poisoned, map->zeroing,
					  SOM_CHUNK_UNITS));
	KUNIT_EXPECT_FALSE(test, bitmap_intersects(map->poisoned, map->dirty,
						   SOM_CHUNK_UNITS));
	KUNIT_EXPECT_FALSE(test, bitmap_intersects(map->used, map->dirty,
						   SOM_CHUNK_UNITS));
	KUNIT_EXPECT_FALSE(test, bitmap_intersects(map->used, map->quarantined,
						   SOM_CHUNK_UNITS));
	KUNIT_EXPECT_FALSE(test, bitmap_intersects(map->dirty, map->quarantined,
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

/* A whole chunk is taken only if empty; its dirty units are reported. */
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
	KUNIT_EXPECT_EQ(test, som_unitmap_end_quarantine(&map), 1);
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

/* A freed unit is dirty and is taken after all zeroed ones. */
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

/* A quarantined unit is not taken until its quarantine ends; then it is dirty. */
static void unitmap_quarantine(struct kunit *test)
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

	KUNIT_EXPECT_EQ(test, som_unitmap_end_quarantine(&map), 2);
	check_map(test, &map);
	KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), 7);
	KUNIT_EXPECT_FALSE(test, zeroed);
	KUNIT_ASSERT_EQ(test, som_unitmap_take(&map, &zeroed), 511);
	KUNIT_EXPECT_FALSE(test, zeroed);
	KUNIT_EXPECT_EQ(test, som_unitmap_end_quarantine(&map), 0);
}

/* A poisoned unit is not taken again, whatever its state was. */
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
	som_unitmap_put(&map, 1, true);		/* quarantined */
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
	/* The dirty one and the zeroed one. */
	KUNIT_EXPECT_EQ(test, map.nr_retired, 2);
	KUNIT_EXPECT_EQ(test, som_unitmap_end_quarantine(&map), 1);
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

enum { ZEROED, DIRTY, ZEROING, USED, QUARANTINED };

/* Count the units of the model in a state. */
static unsigned int model_count(const u8 *model, int state)
{
	unsigned int i, count = 0;

	for (i = 0; i < SOM_CHUNK_UNITS; i++)
		count += model[i] == state;
	return count;
}

static void model_take(struct kunit *test, struct som_unitmap *map, u8 *model)
{
	unsigned int count = model_count(model, ZEROED);
	bool zeroed;
	int unit;

	KUNIT_ASSERT_EQ(test, som_unitmap_nr_zeroed(map), count);
	unit = som_unitmap_take(map, &zeroed);
	if (unit < 0) {
		KUNIT_ASSERT_EQ(test, count + model_count(model, DIRTY), 0);
		return;
	}
	KUNIT_ASSERT_EQ(test, zeroed, count > 0);
	KUNIT_ASSERT_EQ(test, model[unit], zeroed ? ZEROED : DIRTY);
	model[unit] = USED;
}

static void model_put(struct kunit *test, struct som_unitmap *map, u8 *model,
		      unsigned int unit, bool hold)
{
	int ret = som_unitmap_put(map, unit, hold);

	KUNIT_ASSERT_EQ(test, ret, model[unit] == USED ? 0 : -EINVAL);
	if (!ret)
		model[unit] = hold ? QUARANTINED : DIRTY;
}

static void model_unhold(struct kunit *test, struct som_unitmap *map, u8 *model)
{
	unsigned int i;

	KUNIT_ASSERT_EQ(test, som_unitmap_end_quarantine(map), model_count(model, QUARANTINED));
	for (i = 0; i < SOM_CHUNK_UNITS; i++)
		if (model[i] == QUARANTINED)
			model[i] = DIRTY;
}

static void model_zero_begin(struct kunit *test, struct som_unitmap *map,
			     u8 *model)
{
	int unit = som_unitmap_zero_begin(map);

	if (unit < 0) {
		KUNIT_ASSERT_EQ(test, model_count(model, DIRTY), 0);
		return;
	}
	KUNIT_ASSERT_EQ(test, model[unit], DIRTY);
	model[unit] = ZEROING;
}

static void model_zero_end(struct som_unitmap *map, u8 *model,
			   unsigned int unit, bool zeroed)
{
	unsigned int i;

	for (i = 0; i < SOM_CHUNK_UNITS; i++, unit++) {
		unit %= SOM_CHUNK_UNITS;
		if (model[unit] != ZEROING)
			continue;
		som_unitmap_zero_end(map, unit, zeroed);
		model[unit] = zeroed ? ZEROED : DIRTY;
		return;
	}
}

/* Random steps compared with an array of unit states. */
static void unitmap_model(struct kunit *test)
{
	static const char letters[] = ".dzUq";
	struct som_unitmap *map;
	unsigned long seen = 0;
	struct rnd_state rnd;
	unsigned int i;
	int step;
	u8 *model;

	map = kunit_kzalloc(test, sizeof(*map), GFP_KERNEL);
	model = kunit_kzalloc(test, SOM_CHUNK_UNITS, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, map);
	KUNIT_ASSERT_NOT_NULL(test, model);
	prandom_seed_state(&rnd, 1);
	som_unitmap_init(map, true);

	for (step = 0; step < 20000; step++) {
		unsigned int r = prandom_u32_state(&rnd);
		unsigned int unit = r / 64 % SOM_CHUNK_UNITS;

		switch (r % 8) {
		case 0 ... 2:
			model_take(test, map, model);
			break;
		case 3 ... 5:
			model_put(test, map, model, unit, r & 8);
			break;
		case 6:
			model_zero_begin(test, map, model);
			break;
		case 7:
			model_zero_end(map, model, unit, r & 24);
			break;
		}
		if (!(step % 256))
			model_unhold(test, map, model);
		if (step % 50)
			continue;
		check_map(test, map);
		for (i = 0; i < SOM_CHUNK_UNITS; i++) {
			KUNIT_ASSERT_EQ(test, som_unitmap_state(map, i),
					letters[model[i]]);
			seen |= BIT(model[i]);
		}
	}
	KUNIT_EXPECT_EQ(test, seen, BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4));
}

static struct kunit_case som_unitmap_cases[] = {
	KUNIT_CASE(unitmap_take_all),
	KUNIT_CASE(unitmap_take_chunk),
	KUNIT_CASE(unitmap_dirty_chunk),
	KUNIT_CASE(unitmap_zeroed_first),
	KUNIT_CASE(unitmap_put_twice),
	KUNIT_CASE(unitmap_quarantine),
	KUNIT_CASE(unitmap_poison),
	KUNIT_CASE(unitmap_model),
	{}
};

struct kunit_suite som_unitmap_suite = {
	.name = "som_unitmap",
	.test_cases = som_unitmap_cases,
};
