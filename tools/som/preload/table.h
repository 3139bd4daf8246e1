/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which pages are som's in this process, and where their mappings are cut.
 *
 * Every entry is one word that changes by compare and exchange. There is no lock: a
 * signal handler never waits for what it has interrupted, a child of fork has nothing
 * to repair, and no system call is made but for the table's own memory, once.
 *
 * The table may be wrong where a program unmaps or maps by system calls of its own. Who
 * uses it does nothing to a page that would be wrong for memory of another kind.
 */
#ifndef SOM_PRELOAD_TABLE_H
#define SOM_PRELOAD_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * enum page_state - what is known of a page
 * @PAGE_OTHER: it is not som's, or nobody knows.
 * @PAGE_RESERVED: som's, without access since it was mapped: it holds no data and the
 *	pool has promised nothing for it.
 * @PAGE_PROMISED: som's, and may hold data.
 * @PAGE_LEAVING: it was som's, and is being unmapped.
 * @PAGE_STATES: how many there are.
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
