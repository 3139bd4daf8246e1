/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an owner has at each unit index: an entry (entry.h), or nothing.
 *
 * Entries are in leaves of 256, 2 KiB, and the leaves in an xarray: a fault finds its
 * place once and works on it without a lock, which an xarray of entries does
 * not offer.
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
 * enum som_hint - why somebody should look at entries of a table
 * @SOM_HINT_DISCARDED: one may be discarded.
 * @SOM_HINT_UNTOLD: one may be zeroed in part, or discarded, and its region does not
 *	know.
 * @SOM_HINT_COLLAPSE: a unit at one of its indices, or that was there, may have a page
 *	table that is not needed any more.
 */
enum som_hint {
	SOM_HINT_DISCARDED,
	SOM_HINT_UNTOLD,
	SOM_HINT_COLLAPSE,
};

/**
 * struct som_table - the entries of some indices in a row
 * @entry: the entries, or NULL.
 * @nr: first index / SOM_TABLE_UNITS.
 * @hints: a bit for each enum som_hint: somebody is to look.
 * @rcu: for its end.
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
 * @nr_tables: how many.
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
 * som_tables_for_each - go through the entries of some indices
 * @tables: the entries
 * @idx: unit index, an unsigned long
 * @entry: entry, a void *
 * @first: first unit index
 * @last: last unit index
 *
 * Entries may come and go meanwhile. Reschedules between them.
 */
#define som_tables_for_each(tables, idx, entry, first, last)		\
	for (unsigned long *_idx = som_tables_start(&(idx), first);	\
	     ((entry) = som_tables_find(tables, _idx, last)); (*_idx)++)

#endif /* _SOM_TABLES_H */
