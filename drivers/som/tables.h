/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Entries by unit index. An owner's entries (entry.h) are in tables of 256, 2 KiB each, and
 * the tables in an xarray. A fault looks up the pointer to its entry once and then works on
 * it without a lock, which an xarray of entries would not allow.
 */
#ifndef _SOM_TABLES_H
#define _SOM_TABLES_H

#include <linux/atomic.h>
#include <linux/rcupdate.h>
#include <linux/types.h>
#include <linux/xarray.h>

/** define SOM_TABLE_UNITS - entries in a table. */
#define SOM_TABLE_UNITS	256

/**
 * enum som_hint - why the entries of a table should be checked
 * @SOM_HINT_DISCARDED: one may be discarded.
 * @SOM_HINT_UNTOLD: one may be discarded or zeroed in part, which its region does not
 *	record yet.
 * @SOM_HINT_COLLAPSE: an index may have a page table that is not needed any more.
 */
enum som_hint {
	SOM_HINT_DISCARDED,
	SOM_HINT_UNTOLD,
	SOM_HINT_COLLAPSE,
};

/**
 * struct som_table - entries of consecutive unit indices
 * @entry: the entries, or NULL.
 * @nr: first index / SOM_TABLE_UNITS.
 * @hints: a bit for each enum som_hint that is set.
 * @rcu: for freeing.
 */
struct som_table {
	void *entry[SOM_TABLE_UNITS];
	unsigned long nr;
	unsigned long hints;
	struct rcu_head rcu;
};

/**
 * struct som_tables - entries by unit index
 * @tables: unit index / SOM_TABLE_UNITS -> table.
 * @nr_tables: number of tables.
 */
struct som_tables {
	struct xarray tables;
	atomic_long_t nr_tables;
};

int som_tables_module_init(void);
void som_tables_module_exit(void);

void som_tables_init(struct som_tables *tables);
bool som_tables_destroy(struct som_tables *tables);
void **som_tables_entryp(struct som_tables *tables, unsigned long idx);
struct som_table *som_tables_table(struct som_tables *tables, unsigned long idx);
void *som_tables_load(struct som_tables *tables, unsigned long idx);
void *som_tables_change(struct som_tables *tables, unsigned long idx, void *old,
			void *new);
void *som_tables_erase(struct som_tables *tables, unsigned long idx);
unsigned int som_tables_take(struct som_tables *tables, unsigned long *idx,
			     unsigned long last, void **entries,
			     unsigned int nr);
void *som_tables_find(struct som_tables *tables, unsigned long *idx,
		      unsigned long last);
void *som_tables_find_hinted(struct som_tables *tables, unsigned long *idx,
			     unsigned long last, enum som_hint hint);
bool som_tables_take_hint(struct som_tables *tables, unsigned long *idx,
			  enum som_hint hint);
void som_tables_hint(struct som_tables *tables, unsigned long idx,
		     enum som_hint hint);
struct som_table *som_tables_find_table(struct som_tables *tables,
					unsigned long idx);
struct som_table *som_tables_next_table(struct som_tables *tables,
					unsigned long *idx, unsigned long last,
					unsigned long *end);
void som_tables_prune(struct som_tables *tables, unsigned long first,
		      unsigned long last);

static inline unsigned long *som_tables_start(unsigned long *idx,
					      unsigned long first)
{
	*idx = first;
	return idx;
}

/**
 * som_tables_for_each - Iterate over the entries of a range
 * @tables: the tables
 * @idx: current unit index, an unsigned long
 * @entry: current entry, a void *
 * @first: first unit index
 * @last: last unit index
 *
 * Entries may be added and removed meanwhile. May sleep between entries.
 */
#define som_tables_for_each(tables, idx, entry, first, last)		\
	for (unsigned long *_idx = som_tables_start(&(idx), first);	\
	     ((entry) = som_tables_find(tables, _idx, last)); (*_idx)++)

#endif /* _SOM_TABLES_H */
