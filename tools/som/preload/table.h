/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pages of this process that are on som, and the boundaries of their mappings.
 *
 * Every entry is one word, changed by compare and exchange. There is no lock: a signal
 * handler never waits for the code that it has interrupted, and a child of fork has
 * nothing to repair. The only system call allocates the table, once.
 *
 * The table may be wrong where a program maps or unmaps by its own system calls. So its
 * users make only calls that do not harm memory of another kind.
 */
#ifndef SOM_PRELOAD_TABLE_H
#define SOM_PRELOAD_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * enum page_state - state of a page
 * @PAGE_OTHER: not on som, or unknown.
 * @PAGE_RESERVED: on som, and never accessible since it was mapped: it has no data, and
 *	the pool has reserved no unit for it.
 * @PAGE_PROMISED: on som, and may have data.
 * @PAGE_LEAVING: on som before, and being unmapped.
 * @PAGE_STATES: number of states.
 */
enum page_state {
	PAGE_OTHER,
	PAGE_RESERVED,
	PAGE_PROMISED,
	PAGE_LEAVING,
	PAGE_STATES,
};

/* Sets of states. */
#define IS(state)	(1U << (state))
#define IS_OURS		(IS(PAGE_RESERVED) | IS(PAGE_PROMISED))
#define IS_ANY		((1U << PAGE_STATES) - 1)

bool table_open(bool inherited);
atomic_ulong *table_small(void);
atomic_ulong *table_small_total(void);
bool table_has_room(unsigned long start, unsigned long end);
enum page_state table_run(unsigned long start, unsigned long end,
			  unsigned long *run_end);
bool table_any(unsigned long start, unsigned long end, unsigned int states);
bool table_all(unsigned long start, unsigned long end, unsigned int states);
void table_change(unsigned long start, unsigned long end, unsigned int from,
		  enum page_state to);
bool table_is_cut(unsigned long addr);
void table_cut(unsigned long addr);
unsigned long table_next_cut(unsigned long addr, unsigned long end);
unsigned long table_cuts(void);

#endif /* SOM_PRELOAD_TABLE_H */
