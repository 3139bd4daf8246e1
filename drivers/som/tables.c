// SPDX-License-Identifier: GPL-2.0
/*
 * The leaves of an owner's units.
 *
 * A table is made by the first fault in it, and goes when no mapping touches any of its
 * indices (som_units_prune(), under owner->lock, under which mappings come and go). So
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
 * som_units_module_init - make what all owners share
 *
 * Context: Module load.
 * Return: 0 or -ENOMEM.
 */
int som_units_module_init(void)
{
	som_table_cache = KMEM_CACHE(som_table, SLAB_ACCOUNT);
	return som_table_cache ? 0 : -ENOMEM;
}

/**
 * som_units_module_exit - the opposite of som_units_module_init()
 *
 * Context: Module unload; no owner is left.
 */
void som_units_module_exit(void)
{
	rcu_barrier();
	kmem_cache_destroy(som_table_cache);
}

static void units_free_table(struct rcu_head *rcu)
{
	kmem_cache_free(som_table_cache, container_of(rcu, struct som_table, rcu));
}

/**
 * som_units_init - no entries
 * @units: the entries
 */
void som_units_init(struct som_units *units)
{
	xa_init_flags(&units->tables, XA_FLAGS_ACCOUNT);
	atomic_long_set(&units->nr_tables, 0);
}

/**
 * som_units_destroy - the end of an owner's entries
 * @units: the entries; nobody looks at them any more
 *
 * Context: Process context.
 * Return: true if there were none, as it should be.
 */
bool som_units_destroy(struct som_units *units)
{
	struct som_table *table;
	unsigned long nr, idx = 0;
	bool empty = !som_units_find(units, &idx, ULONG_MAX);

	xa_for_each(&units->tables, nr, table)
		kmem_cache_free(som_table_cache, table);
	xa_destroy(&units->tables);
	return empty;
}

static struct som_table *units_find_table(struct som_units *units, unsigned long idx)
{
	return xa_load(&units->tables, idx / SOM_TABLE_UNITS);
}

/**
 * som_units_entryp - where the entry of an index is, or would be
 * @units: the entries
 * @idx: unit index
 *
 * Context: RCU; or the caller keeps a mapping that touches the index.
 * Return: the place, or NULL if there is none yet.
 */
void **som_units_entryp(struct som_units *units, unsigned long idx)
{
	struct som_table *table = units_find_table(units, idx);

	return table ? &table->entry[idx % SOM_TABLE_UNITS] : NULL;
}

/**
 * som_units_table - the table of an index, made if need be
 * @units: the entries
 * @idx: unit index
 *
 * Context: Process context; the caller keeps a mapping that touches the index.
 * Return: the table, or NULL without memory for it.
 */
struct som_table *som_units_table(struct som_units *units, unsigned long idx)
{
	struct som_table *table = units_find_table(units, idx), *other;

	if (table)
		return table;
	table = kmem_cache_zalloc(som_table_cache, GFP_KERNEL);
	if (!table)
		return NULL;
	table->nr = idx / SOM_TABLE_UNITS;
	other = xa_cmpxchg(&units->tables, table->nr, NULL, table, GFP_KERNEL);
	if (!other) {
		atomic_long_inc(&units->nr_tables);
		return table;
	}
	kmem_cache_free(som_table_cache, table);
	return xa_is_err(other) ? NULL : other;
}

/**
 * som_units_find_table - find the table of an index
 * @units: the entries
 * @idx: unit index
 *
 * Context: The caller knows why the table stays.
 * Return: the table, or NULL if there is none yet.
 */
struct som_table *som_units_find_table(struct som_units *units, unsigned long idx)
{
	return units_find_table(units, idx);
}

/**
 * som_units_load - the entry of an index
 * @units: the entries
 * @idx: unit index
 *
 * Context: Any.
 * Return: the entry, or NULL.
 */
void *som_units_load(struct som_units *units, unsigned long idx)
{
	void **entryp, *entry = NULL;

	rcu_read_lock();
	entryp = som_units_entryp(units, idx);
	if (entryp)
		entry = READ_ONCE(*entryp);
	rcu_read_unlock();
	return entry;
}

/**
 * som_units_change - replace an entry if it is what it is thought to be
 * @units: the entries
 * @idx: unit index
 * @old: the entry that is expected
 * @new: what it shall be
 *
 * Context: Any.
 * Return: the entry as it was: @old if it was changed.
 */
void *som_units_change(struct som_units *units, unsigned long idx, void *old,
		       void *new)
{
	void **entryp, *was = NULL;

	rcu_read_lock();
	entryp = som_units_entryp(units, idx);
	if (entryp)
		was = cmpxchg(entryp, old, new);
	rcu_read_unlock();
	return was;
}

/**
 * som_units_erase - take an entry out
 * @units: the entries
 * @idx: unit index
 *
 * Context: Any.
 * Return: the entry, or NULL.
 */
void *som_units_erase(struct som_units *units, unsigned long idx)
{
	void **entryp, *was = NULL;

	rcu_read_lock();
	entryp = som_units_entryp(units, idx);
	if (entryp)
		was = xchg(entryp, NULL);
	rcu_read_unlock();
	return was;
}

/*
 * The next table that has indices from *i on; *i becomes the first of those. What this one needs
 * is done within RCU, and after so many of them RCU is left: see pause_rcu().
 */
static struct som_table *units_next_table(struct som_units *units, unsigned long *i,
					  unsigned long last)
{
	unsigned long nr = *i / SOM_TABLE_UNITS;
	struct som_table *table;

	if (*i > last)
		return NULL;
	table = xa_find(&units->tables, &nr, last / SOM_TABLE_UNITS, XA_PRESENT);
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
 * som_units_next_table - find the next table that has some indices
 * @units: the entries
 * @idx: first index to look for, and where the first one that the table has goes
 * @last: last unit index
 * @end: where the last one that the table has goes, at most @last
 *
 * For loops over many entries that a function call for each would slow down.
 *
 * Context: The caller knows why the leaves stay.
 * Return: the table, or NULL if there is none.
 */
struct som_table *som_units_next_table(struct som_units *units,
				       unsigned long *idx, unsigned long last,
				       unsigned long *end)
{
	struct som_table *table;

	rcu_read_lock();
	table = units_next_table(units, idx, last);
	rcu_read_unlock();
	if (table)
		*end = table_last(*idx, last);
	return table;
}

static bool units_take_hint(struct som_table *table, enum som_hint hint)
{
	return test_bit(hint, &table->hints) &&
	       test_and_clear_bit(hint, &table->hints);
}

/**
 * som_units_take - take many entries out
 * @units: the entries
 * @idx: first unit index, and where the index behind the last that was looked
 *	at goes
 * @last: last unit index
 * @entries: where they go
 * @nr: how many at most
 *
 * Context: Process context; may sleep.
 * Return: how many; fewer than @nr if there are no more.
 */
unsigned int som_units_take(struct som_units *units, unsigned long *idx,
			    unsigned long last, void **entries, unsigned int nr)
{
	unsigned int taken = 0, tables = 0;
	unsigned long i = *idx, end;
	struct som_table *table;

	rcu_read_lock();
	while (taken < nr && (table = units_next_table(units, &i, last))) {
		end = table_last(i, last);
		for (; i <= end && taken < nr; i++) {
			void **entryp = &table->entry[i % SOM_TABLE_UNITS];

			if (READ_ONCE(*entryp))
				entries[taken++] = xchg(entryp, NULL);
		}
		pause_rcu(&tables);
	}
	rcu_read_unlock();
	*idx = i;
	return taken;
}

/* @hint: an enum som_hint, or -1. */
static void *units_find(struct som_units *units, unsigned long *idx,
			unsigned long last, int hint)
{
	unsigned long i = *idx, end;
	unsigned int tables = 0;
	struct som_table *table;
	void *entry = NULL;

	cond_resched();
	rcu_read_lock();
	while ((table = units_next_table(units, &i, last))) {
		end = table_last(i, last);
		/* In the midst of a table its hint has been taken already. */
		if (hint >= 0 && i % SOM_TABLE_UNITS == 0 &&
		    !units_take_hint(table, hint))
			i = end + 1;
		for (; i <= end && !entry; i++)
			entry = READ_ONCE(table->entry[i % SOM_TABLE_UNITS]);
		if (entry)
			break;
		pause_rcu(&tables);
	}
	rcu_read_unlock();
	if (entry)
		*idx = i - 1;
	return entry;
}

/**
 * som_units_find - the next entry
 * @units: the entries
 * @idx: where to begin, and where its index goes if there is one
 * @last: last unit index
 *
 * Context: Process context; may sleep.
 * Return: the entry, or NULL.
 */
void *som_units_find(struct som_units *units, unsigned long *idx,
		     unsigned long last)
{
	return units_find(units, idx, last, -1);
}

/**
 * som_units_find_hinted - the next entry in a table with a hint
 * @units: the entries
 * @idx: where to begin, and where its index goes if there is one
 * @last: last unit index
 * @hint: which hint
 *
 * To be called from the first index of a table on to the end of it: the hint goes at
 * the beginning, and comes back if som_units_hint() is called meanwhile.
 *
 * Context: Process context; may sleep.
 * Return: the entry, or NULL.
 */
void *som_units_find_hinted(struct som_units *units, unsigned long *idx,
			    unsigned long last, enum som_hint hint)
{
	return units_find(units, idx, last, hint);
}

/**
 * som_units_take_hint - the next table with a hint, which is taken away
 * @units: the entries
 * @idx: unit index to begin with, and where the first one of the table goes
 * @hint: which hint
 *
 * Context: Process context; may sleep.
 * Return: true if there is one.
 */
bool som_units_take_hint(struct som_units *units, unsigned long *idx,
			 enum som_hint hint)
{
	unsigned int tables = 0;
	struct som_table *table;
	bool found = false;

	rcu_read_lock();
	while ((table = units_next_table(units, idx, ULONG_MAX))) {
		found = units_take_hint(table, hint);
		if (found)
			break;
		*idx = table_last(*idx, ULONG_MAX) + 1;
		pause_rcu(&tables);
	}
	rcu_read_unlock();
	return found;
}

/**
 * som_units_hint - somebody should look at an entry
 * @units: the entries
 * @idx: index of the entry, which was changed before
 * @hint: why
 *
 * Context: Any.
 */
void som_units_hint(struct som_units *units, unsigned long idx,
		    enum som_hint hint)
{
	struct som_table *table;

	rcu_read_lock();
	table = units_find_table(units, idx);
	if (table)
		set_bit(hint, &table->hints);
	rcu_read_unlock();
}

/**
 * som_units_prune - free the leaves of some indices
 * @units: the entries; there are none in those leaves, and none can come
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; owner->lock is held.
 */
void som_units_prune(struct som_units *units, unsigned long first,
		     unsigned long last)
{
	struct som_table *table;
	unsigned long nr;

	xa_for_each_range(&units->tables, nr, table, first / SOM_TABLE_UNITS,
			  last / SOM_TABLE_UNITS) {
		xa_erase(&units->tables, nr);
		atomic_long_dec(&units->nr_tables);
		call_rcu(&table->rcu, units_free_table);
		cond_resched();
	}
}
