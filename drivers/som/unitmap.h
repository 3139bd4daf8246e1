/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_UNITMAP_H
#define _SOM_UNITMAP_H

#include <linux/bitmap.h>
#include <linux/errno.h>
#include <linux/types.h>
#include "range.h"

/**
 * struct som_unitmap - state of every unit of a chunk
 * @used: the unit has an owner.
 * @dirty: free, but must be zeroed before use.
 * @quarantined: released while pinned.
 * @zeroing: free and being zeroed.
 * @poisoned: the unit's memory has an uncorrected error.
 * @nr_used: bits set in @used.
 * @nr_dirty: bits set in @dirty.
 * @nr_quarantined: bits set in @quarantined.
 * @nr_zeroing: bits set in @zeroing.
 * @nr_poisoned: bits set in @poisoned.
 * @nr_retired: bits set in @poisoned alone.
 * @zeroed_from: no word of the bitmaps below this one has a zeroed unit.
 *
 * A unit is in at most one of the first four bitmaps; in none of the five it is free and
 * zeroed. A poisoned unit leaves @dirty at once and stays in @used, @quarantined or
 * @zeroing until it would become free. Then it is retired: in @poisoned alone, permanently.
 */
struct som_unitmap {
	DECLARE_BITMAP(used, SOM_CHUNK_UNITS);
	DECLARE_BITMAP(dirty, SOM_CHUNK_UNITS);
	DECLARE_BITMAP(quarantined, SOM_CHUNK_UNITS);
	DECLARE_BITMAP(zeroing, SOM_CHUNK_UNITS);
	DECLARE_BITMAP(poisoned, SOM_CHUNK_UNITS);
	unsigned int nr_used;
	unsigned int nr_dirty;
	unsigned int nr_quarantined;
	unsigned int nr_zeroing;
	unsigned int nr_poisoned;
	unsigned int nr_retired;
	unsigned int zeroed_from;
};

void som_unitmap_init(struct som_unitmap *map, bool zeroed);
int som_unitmap_take(struct som_unitmap *map, bool *zeroed);
bool som_unitmap_take_all(struct som_unitmap *map, unsigned long *dirty);
unsigned int som_unitmap_end_quarantine(struct som_unitmap *map);
char som_unitmap_state(const struct som_unitmap *map, unsigned int unit);
int som_unitmap_zero_begin(struct som_unitmap *map);
void som_unitmap_zero_end(struct som_unitmap *map, unsigned int unit, bool zeroed);
bool som_unitmap_poison(struct som_unitmap *map, unsigned int unit);

/**
 * som_unitmap_nr_free - Count the units that can be taken
 * @map: state of a chunk
 * Return: number of units.
 */
static inline unsigned int som_unitmap_nr_free(const struct som_unitmap *map)
{
	return SOM_CHUNK_UNITS - map->nr_used - map->nr_quarantined - map->nr_zeroing -
	       map->nr_retired;
}

/**
 * som_unitmap_nr_zeroed - Count the zeroed units that can be taken
 * @map: state of a chunk
 * Return: number of units.
 */
static inline unsigned int som_unitmap_nr_zeroed(const struct som_unitmap *map)
{
	return som_unitmap_nr_free(map) - map->nr_dirty;
}

/**
 * som_unitmap_put - Make a used unit dirty, quarantined or retired
 * @map: state of a chunk
 * @unit: index of the unit in the chunk
 * @quarantine: true to quarantine it, as it may be pinned
 * Return: 0; -EINVAL if it is not used: nothing is changed.
 */
static inline int som_unitmap_put(struct som_unitmap *map, unsigned int unit,
				  bool quarantine)
{
	if (unit >= SOM_CHUNK_UNITS || !test_bit(unit, map->used))
		return -EINVAL;

	__clear_bit(unit, map->used);
	map->nr_used--;
	if (quarantine) {
		__set_bit(unit, map->quarantined);
		map->nr_quarantined++;
	} else if (unlikely(test_bit(unit, map->poisoned))) {
		map->nr_retired++;
	} else {
		__set_bit(unit, map->dirty);
		map->nr_dirty++;
	}
	return 0;
}

#endif /* _SOM_UNITMAP_H */
