/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_POOL_H
#define _SOM_POOL_H

#include <linux/types.h>

/**
 * struct som_pool_stats - a snapshot of the pool or of one node of it
 * @chunks: chunks.
 * @empty: chunks no unit of which has an owner.
 * @total: units.
 * @free: units that can be handed out.
 * @dirty: those of @free that must be zeroed first.
 * @used: units that have an owner.
 * @held: units released while pinned.
 * @committed: units promised or in use (of the whole pool only).
 */
struct som_pool_stats {
	unsigned long chunks;
	unsigned long empty;
	unsigned long total;
	unsigned long free;
	unsigned long dirty;
	unsigned long used;
	unsigned long held;
	unsigned long committed;
};

int som_pool_init(unsigned long nr_chunks);
void som_pool_exit(void);
int som_pool_resize(unsigned long nr_chunks);
void som_pool_stats(int nid, struct som_pool_stats *stats);

bool som_pool_charge(unsigned long nr_units);
void som_pool_uncharge(unsigned long nr_units);
long som_pool_alloc(void);
long som_pool_alloc_unzeroed(void);
long som_pool_alloc_chunk(void);
void som_pool_free_chunk(unsigned long chunk);
void som_pool_free(unsigned long unit);
bool som_pool_pinned(unsigned long unit);
void som_pool_drain_begin(void);
long som_pool_drain_next(unsigned long round);
bool som_pool_drain_check(unsigned long chunk);
void som_pool_drain_end(void);
void *som_unit_address(unsigned long unit);
void som_unit_zero(unsigned long unit);

#endif /* _SOM_POOL_H */
