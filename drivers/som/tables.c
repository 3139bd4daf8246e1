// SPDX-License-Identifier: GPL-2.0
/*
 * The leaves of an owner's units.
 *
 * A table is made by the first fault in it, and goes when no mapping touches any of its
 * indices (som_tables_prune(), under owner->lock, under which mappings come and go). So
 * who has a mapping at an index, and keeps it, may keep the pointer to its entry pointer;
 * everybody else looks under RCU.
 *
 * Slots are changed by xchg and cmpxchg. Who is to change which is told in entry.h.
 */
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include "tables.h"

/*
 * Leaves that are looked at in one RCU section: an owner may have millions, and whoever waits
 * for RCU's grace period is somebody else.
 */
#define SOM_RCU_TABLES	64

static struct kmem_cache *som_table_cache;

/**
 * som_tables_module_init - make what all owners share
 *
 * Context: Module load.
 * Return: 0 or -ENOMEM.
 */
int som_tables_module_init(void)
{
	som_table_cache = KMEM_CACHE(som_table, SLAB_ACCOUNT);
	return som_table_cache ? 0 : -ENOMEM;
}

/**
 * som_tables_module_exit - the opposite of som_tables_module_init()
 *
 * Context: Module unload; no owner is left.
 */
void som_tables_module_exit(void)
{
	rcu_barrier();
	kmem_cache_destroy(som_table_cache);
}

static void tables_free_table(struct rcu_head *rcu)
{
	kmem_cache_free(som_table_cache, container_of(rcu, struct som_table, rcu));
}

/**
 * som_tables_init - no entries
 * @tables: the entries
 */
void som_tables_init(struct som_tables *tables)
{
	xa_init_flags(&tables->tables, XA_FLAGS_ACCOUNT);
	atomic_long_set(&tables->nr_tables, 0);
}

/**
 * som_tables_destroy - the end of an owner's entries
 * @tables: the entries; nobody looks at them any more
 *
 * Context: Process context.
 * Return: true if there were none, as it should be.
 */
bool som_tables_destroy(struct som_tables *tables)
{
	struct som_table *table;
	unsigned long nr, idx = 0;
	bool empty = !som_tables_find(tables, &idx, ULONG_MAX);

	xa_for_each(&tables->tables, nr, table)
		kmem_cache_free(som_table_cache, table);
	xa_destroy(&tables->tables);
	return empty;
}

static struct som_table *tables_find_table(struct som_tables *tables, unsigned long idx)
{
	return xa_load(&tables->tables, idx / SOM_TABLE_UNITS);
}

/**
 * som_tables_entryp - where the entry of an index is, or would be
 * @tables: the entries
 * @idx: unit index
 *
 * Context: RCU; or the caller keeps a mapping that touches the index.
 * Return: the place, or NULL if there is none yet.
 */
void **som_tables_entryp(struct som_tables *tables, unsigned long idx)
{
	struct som_table *table = tables_find_table(tables, idx);

	return table ? &table->entry[idx % SOM_TABLE_UNITS] : NULL;
}

/**
 * som_tables_table - the table of an index, made if need be
 * @tables: the entries
 * @idx: unit index
 *
 * Context: Process context; the caller keeps a mapping that touches the index.
 * Return: the table, or NULL without memory for it.
 */
struct som_table *som_tables_table(struct som_tables *tables, unsigned long idx)
{
	struct som_table *table = tables_find_table(tables, idx), *other;

	if (table)
		return table;
	table = kmem_cache_zalloc(som_table_cache, GFP_KERNEL);
	if (!table)
		return NULL;
	table->nr = idx / SOM_TABLE_UNITS;
	other = xa_cmpxchg(&tables->tables, table->nr, NULL, table, GFP_KERNEL);
	if (!other) {
		atomic_long_inc(&tables->nr_tables);
		return table;
	}
	kmem_cache_free(som_table_cache, table);
	return xa_is_err(other) ? NULL : other;
}

/**
 * som_tables_find_table - find the table of an index
 * @tables: the entries
 * @idx: unit index
 *
 * Context: The caller knows why the table stays.
 * Return: the table, or NULL if there is none yet.
 */
struct som_table *som_tables_find_table(struct som_tables *tables, unsigned long idx)
{
	return tables_find_table(tables, idx);
}

/**
 * som_tables_load - the entry of an index
 * @tables: the entries
 * @idx: unit index
 *
 * Context: Any.
 * Return: the entry, or NULL.
 */
void *som_tables_load(struct som_tables *tables, unsigned long idx)
{
	void **entryp, *entry = NULL;

	rcu_read_lock();
	entryp = som_tables_entryp(tables, idx);
	if (entryp)
		entry = READ_ONCE(*entryp);
	rcu_read_unlock();
	return entry;
}

/**
 * som_tables_change - replace an entry if it is what it is thought to be
 * @tables: the entries
 * @idx: unit index
 * @old: the entry that is expected
 * @new: what it shall be
 *
 * Context: Any.
 * Return: the entry as it was: @old if it was changed.
 */
void *som_tables_change(struct som_tables *tables, unsigned long idx, void *old,
			void *new)
{
	void **entryp, *was = NULL;

	rcu_read_lock();
	entryp = som_tables_entryp(tables, idx);
	if (entryp)
		was = cmpxchg(entryp, old, new);
	rcu_read_unlock();
	return was;
}

/**
 * som_tables_erase - take an entry out
 * @tables: the entries
 * @idx: unit index
 *
 * Context: Any.
 * Return: the entry, or NULL.
 */
void *som_tables_erase(struct som_tables *tables, unsigned long idx)
{
	void **entryp, *was = NULL;

	rcu_read_lock();
	entryp = som_tables_entryp(tables, idx);
	if (entryp)
		was = xchg(entryp, NULL);
	rcu_read_unlock();
	return was;
}

/*
 * The next table that has indices from *i on; *i becomes the first of those. What this one needs
 * is done within RCU, and after so many of them RCU is left: see pause_rcu().
 */
static struct som_table *tables_next_table(struct som_tables *tables, unsigned long *i,
					   unsigned long last)
{
	unsigned long nr = *i / SOM_TABLE_UNITS;
	struct som_table *table;

	if (*i > last)
		return NULL;
	table = xa_find(&tables->tables, &nr, last / SOM_TABLE_UNITS, XA_PRESENT);
	if (table)
		*i = max(*i, nr * SOM_TABLE_UNITS);
	return table;
}

/* The last index of the table that an index is in, or @last. */
static unsigned long table_last(unsigned long i, unsigned long last)
{
	return min(last, i | (SOM_TABLE_UNITS - 1));
}

/* A table has been looked at. */
static void pause_rcu(unsigned int *nr)
{
	if (++*nr % SOM_RCU_TABLES)
		return;
	rcu_read_unlock();
	cond_resched();
	rcu_read_lock();
}

/**
 * som_tables_next_table - find the next table that has some indices
 * @tables: the entries
 * @idx: first index to look for, and where the first one that the table has goes
 * @last: last unit index
 * @end: where the last one that the table has goes, at most @last
 *
 * For loops over many entries that a function call for each would slow down.
 *
 * Context: The caller knows why the leaves stay.
 * Return: the table, or NULL if there is none.
 */
struct som_table *som_tables_next_table(struct som_tables *tables,
					unsigned long *idx, unsigned long last,
					unsigned long *end)
{
	struct som_table *table;

	rcu_read_lock();
	table = tables_next_table(tables, idx, last);
	rcu_read_unlock();
	if (table)
		*end = table_last(*idx, last);
	return table;
}

static bool tables_take_hint(struct som_table *table, enum som_hint hint)
{
	return test_bit(hint, &table->hints) &&
	       test_and_clear_bit(hint, &table->hints);
}

/**
 * som_tables_take - take many entries out
 * @tables: the entries
 * @idx: first unit index, and where the index behind the last that was looked
 *	at goes
 * @last: last unit index
 * @entries: where they go
 * @nr: how many at most
 *
 * Context: Process context; may sleep.
 * Return: how many; fewer than @nr if there are no more.
 */
unsigned int som_tables_take(struct som_tables *tables, unsigned long *idx,
			     unsigned long last, void **entries, unsigned int nr)
{
	unsigned int taken = 0, visited = 0;
	unsigned long i = *idx, end;
	struct som_table *table;

	rcu_read_lock();
	while (taken < nr && (table = tables_next_table(tables, &i, last))) {
		end = table_last(i, last);
		for (; i <= end && taken < nr; i++) {
			void **entryp = &table->entry[i % SOM_TABLE_UNITS];

			if (READ_ONCE(*entryp))
				entries[taken++] = xchg(entryp, NULL);
		}
		pause_rcu(&visited);
	}
	rcu_read_unlock();
	*idx = i;
	return taken;
}

/* @hint: an enum som_hint, or -1. */
static void *tables_find(struct som_tables *tables, unsigned long *idx,
			 unsigned long last, int hint)
{
	unsigned long i = *idx, end;
	unsigned int visited = 0;
	struct som_table *table;
	void *entry = NULL;

	cond_resched();
	rcu_read_lock();
	while ((table = tables_next_table(tables, &i, last))) {
		end = table_last(i, last);
		/* In the midst of a table its hint has been taken already. */
		if (hint >= 0 && i % SOM_TABLE_UNITS == 0 &&
		    !tables_take_hint(table, hint))
			i = end + 1;
		for (; i <= end && !entry; i++)
			entry = READ_ONCE(table->entry[i % SOM_TABLE_UNITS]);
		if (entry)
			break;
		pause_rcu(&visited);
	}
	rcu_read_unlock();
	if (entry)
		*idx = i - 1;
	return entry;
}

/**
 * som_tables_find - the next entry
 * @tables: the entries
 * @idx: where to begin, and where its index goes if there is one
 * @last: last unit index
 *
 * Context: Process context; may sleep.
 * Return: the entry, or NULL.
 */
void *som_tables_find(struct som_tables *tables, unsigned long *idx,
		      unsigned long last)
{
	return tables_find(tables, idx, last, -1);
}

/**
 * som_tables_find_hinted - the next entry in a table with a hint
 * @tables: the entries
 * @idx: where to begin, and where its index goes if there is one
 * @last: last unit index
 * @hint: which hint
 *
 * To be called from the first index of a table on to the end of it: the hint goes at
 * the beginning, and comes back if som_tables_hint() is called meanwhile.
 *
 * Context: Process context; may sleep.
 * Return: the entry, or NULL.
 */
void *som_tables_find_hinted(struct som_tables *tables, unsigned long *idx,
			     unsigned long last, enum som_hint hint)
{
	return tables_find(tables, idx, last, hint);
}

/**
 * som_tables_take_hint - the next table with a hint, which is taken away
 * @tables: the entries
 * @idx: unit index to begin with, and where the first one of the table goes
 * @hint: which hint
 *
 * Context: Process context; may sleep.
 * Return: true if there is one.
 */
bool som_tables_take_hint(struct som_tables *tables, unsigned long *idx,
			  enum som_hint hint)
{
	unsigned int visited = 0;
	struct som_table *table;
	bool found = false;

	rcu_read_lock();
	while ((table = tables_next_table(tables, idx, ULONG_MAX))) {
		found = tables_take_hint(table, hint);
		if (found)
			break;
		*idx = table_last(*idx, ULONG_MAX) + 1;
		pause_rcu(&visited);
	}
	rcu_read_unlock();
	return found;
}

/**
 * som_tables_hint - somebody should look at an entry
 * @tables: the entries
 * @idx: index of the entry, which was changed before
 * @hint: why
 *
 * Context: Any.
 */
void som_tables_hint(struct som_tables *tables, unsigned long idx,
		     enum som_hint hint)
{
	struct som_table *table;

	rcu_read_lock();
	table = tables_find_table(tables, idx);
	if (table)
		set_bit(hint, &table->hints);
	rcu_read_unlock();
}

/**
 * som_tables_prune - free the leaves of some indices
 * @tables: the entries; there are none in those leaves, and none can come
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; owner->lock is held.
 */
void som_tables_prune(struct som_tables *tables, unsigned long first,
		      unsigned long last)
{
	struct som_table *table;
	unsigned long nr;

	xa_for_each_range(&tables->tables, nr, table, first / SOM_TABLE_UNITS,
			  last / SOM_TABLE_UNITS) {
		xa_erase(&tables->tables, nr);
		atomic_long_dec(&tables->nr_tables);
		call_rcu(&table->rcu, tables_free_table);
		cond_resched();
	}
}
