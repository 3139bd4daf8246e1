/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_POOL_H
#define _SOM_POOL_H

#include <linux/atomic.h>
#include <linux/nodemask.h>
#include <linux/types.h>
#include <linux/wait.h>
#include "commit.h"
#include "range.h"

struct seq_file;
struct som_chunk;

/**
 * struct som_pool_stats - counters of the pool or of one node
 * @chunks: chunks.
 * @empty: chunks without a used unit.
 * @total: units, except retired ones.
 * @free: units that can be allocated.
 * @dirty: units of @free that must be zeroed first.
 * @used: units that have an owner.
 * @quarantined: units released while pinned.
 * @poisoned: units whose memory has failed.
 * @committed: units reserved or in use; of the whole pool, whatever the node.
 */
struct som_pool_stats {
	unsigned long chunks;
	unsigned long empty;
	unsigned long total;
	unsigned long free;
	unsigned long dirty;
	unsigned long used;
	unsigned long quarantined;
	unsigned long poisoned;
	unsigned long committed;
};

/**
 * struct som_source_stats - counters of a source
 * @dir: its directory in sysfs.
 * @chunks: chunks in the pool.
 * @used: used units of those chunks.
 * @cost: bytes of kernel memory that those chunks cost.
 */
struct som_source_stats {
	const char *dir;
	unsigned long chunks;
	unsigned long used;
	unsigned long cost;
};

/**
 * struct som_quarantine_charge - payer of quarantined units
 * @gone: called when the quarantine of some units has ended, after the pool has released
 *	their commit charge. Process context.
 */
struct som_quarantine_charge {
	void (*gone)(struct som_quarantine_charge *payer, unsigned int nr_units);
};

/**
 * struct som_pool_user - a user, who shares no chunk with other users
 * @commit: reservations; guarded by the pool's commit_lock.
 * @cached: units in caches of the user's owners (cache.c).
 * @uid: its user ID, or that of the creator of its user namespace, for messages.
 * @hint: a chunk to take the next unit from, or NULL.
 *
 * Initialised with zeroes. May be freed once it has no owners and no quarantined units.
 */
struct som_pool_user {
	struct som_commit_user commit;
	atomic_long_t cached;
	unsigned int uid;
	struct som_chunk *hint;
};

/**
 * struct som_chunk_info - use of a chunk
 * @chunk: its number.
 * @nid: NUMA node.
 * @used: units that have an owner.
 * @quarantined: units released while pinned.
 * @pinned: true if the chunk is pinned now.
 * @owned: true if the chunk belongs to a user.
 * @shared: true if it belongs to all users (share_chunks).
 * @uid: its user, if @owned and not @shared.
 */
struct som_chunk_info {
	unsigned long chunk;
	int nid;
	unsigned int used;
	unsigned int quarantined;
	bool pinned;
	bool owned;
	bool shared;
	unsigned int uid;
};

int som_pool_init(unsigned long nr_chunks);
void som_pool_exit(void);
int som_pool_resize(unsigned long nr_chunks);
void som_pool_stats(int nid, struct som_pool_stats *stats);
bool som_pool_source_stats(unsigned int nr, struct som_source_stats *stats);

bool som_pool_charge(struct som_pool_user *user, unsigned long nr_units);
unsigned long som_pool_room(struct som_pool_user *user);
unsigned long som_pool_units(void);
void som_pool_uncharge(struct som_pool_user *user, unsigned long nr_units);
bool som_pool_same_user(const struct som_pool_user *a,
			const struct som_pool_user *b);
bool som_pool_shared(void);
void som_pool_keep(struct som_pool_user *user, int nr);
unsigned long som_pool_cached(struct som_pool_user *user);
unsigned long som_pool_idle_units(struct som_pool_user *user);
int som_pool_share(bool share);
som_unit_t som_pool_alloc(struct som_pool_user *user, int nid,
			  const nodemask_t *nodes);
som_unit_t som_pool_alloc_unzeroed(struct som_pool_user *user, int nid);
som_unit_t som_pool_alloc_target(struct som_pool_user *user, int nid);
long som_pool_alloc_chunk(struct som_pool_user *user, int nid,
			  const nodemask_t *nodes);
bool som_pool_units_left(struct som_pool_user *user, const nodemask_t *nodes);
void som_pool_free_chunk(unsigned long chunk);
void som_pool_free(som_unit_t unit);
unsigned int som_pool_free_units(som_unit_t *units, unsigned int nr);
void som_pool_quarantine_units(const som_unit_t *units, unsigned int nr,
			       struct som_quarantine_charge *payer);
bool som_pool_look(void);
som_unit_t som_pool_zero_begin(int nid);
void som_pool_zero_end(som_unit_t unit, bool zeroed);
bool som_pool_has_dirty(int nid);
wait_queue_head_t *som_pool_dirty_wait(int nid);
bool som_pool_trim(unsigned long low);
void som_pool_show(struct seq_file *m);
bool som_pool_next_chunk(unsigned long nr, struct som_chunk_info *info);
bool som_pool_pinned(som_unit_t unit);
bool som_pool_poison(unsigned long pfn, bool marked);
bool som_pool_test_poisoned(som_unit_t unit);
bool som_pool_broken(struct som_pool_user *user);
void som_pool_drain_begin(void);
long som_pool_drain_next(unsigned long round);
bool som_pool_draining(unsigned long chunk);
bool som_pool_drain_check(unsigned long chunk);
void som_pool_drain_end(void);
int som_unit_nid(som_unit_t unit);
void *som_unit_address(som_unit_t unit);
void som_unit_zero(som_unit_t unit);
int som_unit_copy(som_unit_t to, som_unit_t from);
int som_unit_copy_pages(som_unit_t to, som_unit_t from,
			const unsigned long *pages);
void som_unit_zero_others(som_unit_t unit, const unsigned long *pages);

extern bool som_pool_any_poisoned;

/**
 * som_pool_poisoned - Test whether a unit's memory has failed
 * @unit: unit number; false for page-backed units
 * Context: Any. Cheap while no memory has failed.
 * Return: true if it has: do not access the unit and do not map it.
 */
static inline bool som_pool_poisoned(som_unit_t unit)
{
	return unlikely(READ_ONCE(som_pool_any_poisoned)) &&
	       som_pool_test_poisoned(unit);
}

#endif /* _SOM_POOL_H */
