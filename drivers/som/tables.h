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
 * struct som_units - entries by unit index
 * @tables: unit index / SOM_TABLE_UNITS -> table.
 * @nr_tables: how many.
 */
struct som_units {
	struct xarray tables;
	atomic_long_t nr_tables;
};

int som_units_module_init(void);
void som_units_module_exit(void);

void som_units_init(struct som_units *units);
bool som_units_destroy(struct som_units *units);
void **som_units_entryp(struct som_units *units, unsigned long idx);
struct som_table *som_units_table(struct som_units *units, unsigned long idx);
void *som_units_load(struct som_units *units, unsigned long idx);
void *som_units_change(struct som_units *units, unsigned long idx, void *old,
		       void *new);
void *som_units_erase(struct som_units *units, unsigned long idx);
unsigned int som_units_take(struct som_units *units, unsigned long *idx,
			    unsigned long last, void **entries,
			    unsigned int nr);
void *som_units_find(struct som_units *units, unsigned long *idx,
		     unsigned long last);
void *som_units_find_hinted(struct som_units *units, unsigned long *idx,
			    unsigned long last, enum som_hint hint);
bool som_units_take_hint(struct som_units *units, unsigned long *idx,
			 enum som_hint hint);
void som_units_hint(struct som_units *units, unsigned long idx,
		    enum som_hint hint);
struct som_table *som_units_find_table(struct som_units *units,
				       unsigned long idx);
struct som_table *som_units_next_table(struct som_units *units,
				       unsigned long *idx, unsigned long last,
				       unsigned long *end);
void som_units_prune(struct som_units *units, unsigned long first,
		     unsigned long last);

/**
 * som_units_for_each - go through the entries of some indices
 * @units: the entries
 * @idx: unit index, an unsigned long
 * @entry: entry, a void *
 * @first: first unit index
 * @last: last unit index
 *
 * Entries may come and go meanwhile. Reschedules between them.
 */
#define som_units_for_each(units, idx, entry, first, last)		\
	for (idx = (first); (entry = som_units_find(units, &idx, last)); idx++)

#endif /* _SOM_TABLES_H */
