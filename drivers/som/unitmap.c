// SPDX-License-Identifier: GPL-2.0
/*
 * The bitmaps of a chunk: which of its 512 units are zeroed, dirty, being zeroed, used,
 * quarantined or poisoned. Pure: no locks and no access to the units' memory. The caller
 * (pool.c) holds the chunk's lock.
 */
#include <kunit/visibility.h>
#include <linux/bitmap.h>
#include <linux/bug.h>
#include <linux/minmax.h>
#include "range.h"
#include "unitmap.h"

/**
 * som_unitmap_init - Mark all units free
 * @map: state of a chunk
 * @zeroed: true if the chunk's memory is known to be zero
 */
void som_unitmap_init(struct som_unitmap *map, bool zeroed)
{
	bitmap_zero(map->used, SOM_CHUNK_UNITS);
	bitmap_zero(map->quarantined, SOM_CHUNK_UNITS);
	bitmap_zero(map->zeroing, SOM_CHUNK_UNITS);
	bitmap_zero(map->poisoned, SOM_CHUNK_UNITS);
	map->nr_used = 0;
	map->nr_quarantined = 0;
	map->nr_zeroing = 0;
	map->nr_poisoned = 0;
	map->nr_retired = 0;
	map->zeroed_from = 0;
	if (zeroed) {
		bitmap_zero(map->dirty, SOM_CHUNK_UNITS);
		map->nr_dirty = 0;
	} else {
		bitmap_fill(map->dirty, SOM_CHUNK_UNITS);
		map->nr_dirty = SOM_CHUNK_UNITS;
	}
}
EXPORT_SYMBOL_IF_KUNIT(som_unitmap_init);

/* Find the lowest unit in none of the bitmaps. One must exist. */
static unsigned int first_zeroed(struct som_unitmap *map)
{
	unsigned int i;

	for (i = map->zeroed_from; i < BITS_TO_LONGS(SOM_CHUNK_UNITS); i++) {
		unsigned long taken = map->used[i] | map->dirty[i] |
				      map->quarantined[i] | map->zeroing[i] |
				      map->poisoned[i];

		map->zeroed_from = i;
		if (~taken)
			return i * BITS_PER_LONG + __ffs(~taken);
	}
	return SOM_CHUNK_UNITS;
}

/**
 * som_unitmap_take - Make a free unit used, preferably a zeroed one
 * @map: state of a chunk
 * @zeroed: set to whether the unit is zeroed; if not, the caller must zero it
 * Return: index of the unit in the chunk; -ENOSPC if none is free.
 */
int som_unitmap_take(struct som_unitmap *map, bool *zeroed)
{
	unsigned int unit;

	if (!som_unitmap_nr_free(map))
		return -ENOSPC;

	*zeroed = som_unitmap_nr_zeroed(map);
	if (*zeroed) {
		unit = first_zeroed(map);
	} else {
		unit = find_first_bit(map->dirty, SOM_CHUNK_UNITS);
		if (unit < SOM_CHUNK_UNITS) {
			__clear_bit(unit, map->dirty);
			map->nr_dirty--;
		}
	}
	if (WARN_ON_ONCE(unit >= SOM_CHUNK_UNITS))
		return -ENOSPC;
	__set_bit(unit, map->used);
	map->nr_used++;
	return unit;
}
EXPORT_SYMBOL_IF_KUNIT(som_unitmap_take);

/**
 * som_unitmap_take_all - Make all units of an empty chunk used
 * @map: state of a chunk
 * @dirty: set to the units that the caller must zero
 * Return: true; false if a unit is used, quarantined, being zeroed or poisoned: nothing is
 * changed.
 */
bool som_unitmap_take_all(struct som_unitmap *map, unsigned long *dirty)
{
	if (map->nr_used || map->nr_quarantined || map->nr_zeroing ||
	    map->nr_poisoned)
		return false;
	bitmap_copy(dirty, map->dirty, SOM_CHUNK_UNITS);
	bitmap_zero(map->dirty, SOM_CHUNK_UNITS);
	bitmap_fill(map->used, SOM_CHUNK_UNITS);
	map->nr_dirty = 0;
	map->nr_used = SOM_CHUNK_UNITS;
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(som_unitmap_take_all);

/**
 * som_unitmap_end_quarantine - Make all quarantined units dirty or retired
 * @map: state of a chunk
 * Return: number of units.
 */
unsigned int som_unitmap_end_quarantine(struct som_unitmap *map)
{
	unsigned int nr = map->nr_quarantined, retired;

	retired = bitmap_weight_and(map->quarantined, map->poisoned, SOM_CHUNK_UNITS);
	bitmap_andnot(map->quarantined, map->quarantined, map->poisoned, SOM_CHUNK_UNITS);
	bitmap_or(map->dirty, map->dirty, map->quarantined, SOM_CHUNK_UNITS);
	bitmap_zero(map->quarantined, SOM_CHUNK_UNITS);
	map->nr_dirty += nr - retired;
	map->nr_retired += retired;
	map->nr_quarantined = 0;
	return nr;
}
EXPORT_SYMBOL_IF_KUNIT(som_unitmap_end_quarantine);

/**
 * som_unitmap_zero_begin - Choose a dirty unit for zeroing
 * @map: state of a chunk
 *
 * The unit cannot be taken until som_unitmap_zero_end().
 * Return: index of the unit in the chunk; -ENOENT if none is dirty.
 */
int som_unitmap_zero_begin(struct som_unitmap *map)
{
	unsigned int unit = find_first_bit(map->dirty, SOM_CHUNK_UNITS);

	if (unit >= SOM_CHUNK_UNITS)
		return -ENOENT;
	__clear_bit(unit, map->dirty);
	map->nr_dirty--;
	__set_bit(unit, map->zeroing);
	map->nr_zeroing++;
	return unit;
}
EXPORT_SYMBOL_IF_KUNIT(som_unitmap_zero_begin);

/**
 * som_unitmap_zero_end - End the zeroing of a unit
 * @map: state of a chunk
 * @unit: index from som_unitmap_zero_begin()
 * @zeroed: true if all of it is zero; otherwise it becomes dirty again
 */
void som_unitmap_zero_end(struct som_unitmap *map, unsigned int unit, bool zeroed)
{
	if (WARN_ON_ONCE(!__test_and_clear_bit(unit, map->zeroing)))
		return;
	map->nr_zeroing--;
	if (test_bit(unit, map->poisoned)) {
		map->nr_retired++;
		return;
	}
	if (zeroed) {
		map->zeroed_from = min(map->zeroed_from, unit / BITS_PER_LONG);
		return;
	}
	__set_bit(unit, map->dirty);
	map->nr_dirty++;
}
EXPORT_SYMBOL_IF_KUNIT(som_unitmap_zero_end);

/**
 * som_unitmap_poison - Mark a unit poisoned
 * @map: state of a chunk
 * @unit: index of the unit in the chunk
 *
 * A free unit is retired at once, any other when it would become free.
 * Return: true; false if it was poisoned already.
 */
bool som_unitmap_poison(struct som_unitmap *map, unsigned int unit)
{
	if (__test_and_set_bit(unit, map->poisoned))
		return false;
	map->nr_poisoned++;
	if (__test_and_clear_bit(unit, map->dirty))
		map->nr_dirty--;
	else if (test_bit(unit, map->used) || test_bit(unit, map->quarantined) ||
		 test_bit(unit, map->zeroing))
		return true;
	map->nr_retired++;
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(som_unitmap_poison);

/**
 * som_unitmap_state - Return the state of a unit as a character
 * @map: state of a chunk
 * @unit: index of the unit in the chunk
 * Return: 'x' if poisoned, whatever else it is; zeroed '.', dirty 'd', being zeroed 'z',
 * used 'U', quarantined 'q'.
 */
char som_unitmap_state(const struct som_unitmap *map, unsigned int unit)
{
	if (test_bit(unit, map->poisoned))
		return 'x';
	if (test_bit(unit, map->used))
		return 'U';
	if (test_bit(unit, map->dirty))
		return 'd';
	if (test_bit(unit, map->zeroing))
		return 'z';
	return test_bit(unit, map->quarantined) ? 'q' : '.';
}
EXPORT_SYMBOL_IF_KUNIT(som_unitmap_state);
