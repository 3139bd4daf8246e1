/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which addresses are som's in this process, and the lock around that.
 */
#ifndef SOM_PRELOAD_STATE_H
#define SOM_PRELOAD_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "raw.h"
#include "ranges.h"

#define MASK_WORDS	(64 / (8 * sizeof(unsigned long)))

/**
 * struct state - what belongs to one address space
 * @lock: 0 free, 1 held, 2 held and somebody may be waiting.
 * @low: no som range starts below this address.
 * @high: no som range ends above this address.
 * @small: what is left of a mapping for small ones; protected by @lock.
 * @small_end: its end.
 * @table: the ranges; protected by @lock.
 * @ranges: their memory.
 *
 * @low and @high only ever widen. Addresses outside are not som's, which is
 * known without the lock.
 */
struct state {
	atomic_uint lock;
	atomic_ulong low;
	atomic_ulong high;
	unsigned long small;
	unsigned long small_end;
	struct ranges table;
	struct range ranges[];
};

struct state *get_state(void);
struct state *current_state(void);
void lock(struct state *state, unsigned long *mask);
void unlock(struct state *state, const unsigned long *mask);
unsigned long end_of(unsigned long addr, size_t len);
struct state *near(unsigned long addr, size_t len);
void widen(struct state *state, unsigned long start, unsigned long end);
void enter(struct state *state, unsigned long start, unsigned long end,
	   bool promised);
void settle(unsigned long addr, size_t len);
bool has_room(struct state *state);
bool all_ours(unsigned long addr, size_t len);
bool next_piece(struct state *state, unsigned long addr, unsigned long end,
		struct range *piece);

#endif /* SOM_PRELOAD_STATE_H */
