// SPDX-License-Identifier: GPL-2.0
/*
 * Tables of an owner's entries. The first fault in a table's range makes the table;
 * som_tables_prune() frees it when no mapping touches any of its indices. It does so under
 * owner->lock, under which mappings are added and removed. So a caller that keeps a mapping
 * of an index may keep the pointer to its entry; all others look it up under RCU.
 *
 * Entries are changed by xchg() and cmpxchg(). See entry.h for the rules.
 */
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include "tables.h"

/*
 * Tables visited per RCU section: an owner may have millions, and a long section would
 * delay grace periods of the whole system.
 */
#define SOM_RCU_TABLES	64

static struct kmem_cache *som_table_cache;

/**
 * som_tables_module_init - Create the slab cache of tables
 * Context: Module load.
 * Return: 0 or -ENOMEM.
 */
int som_tables_module_init(void)
{
	som_table_cache = KMEM_CACHE(som_table, SLAB_ACCOUNT);
	return som_table_cache ? 0 : -ENOMEM;
}

/**
 * som_tables_module_exit - Undo som_tables_module_init()
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
 * som_tables_init - Initialise empty tables
 * @tables: the tables
 */
void som_tables_init(struct som_tables *tables)
{
	xa_init_flags(&tables->tables, XA_FLAGS_ACCOUNT);
	atomic_long_set(&tables->nr_tables, 0);
}

/**
 * som_tables_destroy - Free all tables
 * @tables: the tables, not in use any more
 * Context: Process context.
 * Return: true if there was no entry, as expected.
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
 * som_tables_entryp - Return the pointer to an index's entry
 * @tables: the tables
 * @idx: unit index
 * Context: RCU; or the caller keeps a mapping that touches the index.
 * Return: the pointer; NULL if there is no table.
 */
void **som_tables_entryp(struct som_tables *tables, unsigned long idx)
{
	struct som_table *table = tables_find_table(tables, idx);

	return table ? &table->entry[idx % SOM_TABLE_UNITS] : NULL;
}

/**
 * som_tables_table - Return the table of an index, making it if necessary
 * @tables: the tables
 * @idx: unit index
 * Context: Process context; the caller keeps a mapping that touches the index.
 * Return: the table; NULL without memory for it.
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
 * som_tables_find_table - Return the table of an index
 * @tables: the tables
 * @idx: unit index
 * Context: The caller ensures that the table is not freed.
 * Return: the table; NULL if there is none.
 */
struct som_table *som_tables_find_table(struct som_tables *tables, unsigned long idx)
{
	return tables_find_table(tables, idx);
}

/**
 * som_tables_load - Return the entry of an index
 * @tables: the tables
 * @idx: unit index
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
 * som_tables_change - Replace an entry if it has an expected value
 * @tables: the tables
 * @idx: unit index
 * @old: expected entry
 * @new: new entry
 * Context: Any.
 * Return: the previous entry: @old if it was replaced.
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
 * som_tables_erase - Remove an entry
 * @tables: the tables
 * @idx: unit index
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
 * Find the next table with indices from *i on, and set *i to the first of them. The caller
 * holds the RCU read lock and calls pause_rcu() after each table.
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

/* Return the last index of an index's table, at most @last. */
static unsigned long table_last(unsigned long i, unsigned long last)
{
	return min(last, i | (SOM_TABLE_UNITS - 1));
}

/* Leave the RCU section for a moment after every SOM_RCU_TABLES tables. */
static void pause_rcu(unsigned int *nr)
{
	if (++*nr % SOM_RCU_TABLES)
		return;
	rcu_read_unlock();
	cond_resched();
	rcu_read_lock();
}

/**
 * som_tables_next_table - Find the next table in a range
 * @tables: the tables
 * @idx: first index to look for; set to the first one in the table
 * @last: last unit index
 * @end: set to the last index in the table, at most @last
 *
 * For loops over many entries where a function call for each would be too slow.
 * Context: The caller ensures that tables are not freed.
 * Return: the table; NULL if there is none.
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
 * som_tables_take - Remove many entries
 * @tables: the tables
 * @idx: first unit index; set to the one after the last that was checked
 * @last: last unit index
 * @entries: set to the entries
 * @nr: maximum number of entries
 * Context: Process context; may sleep.
 * Return: number of entries; fewer than @nr if no more are left.
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

/* Find the next entry; with a @hint, not -1, only in tables that have it. */
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
		/* In the middle of a table, its hint was cleared by an earlier call. */
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
 * som_tables_find - Find the next entry
 * @tables: the tables
 * @idx: index to start from; set to the index found
 * @last: last unit index
 * Context: Process context; may sleep.
 * Return: the entry, or NULL.
 */
void *som_tables_find(struct som_tables *tables, unsigned long *idx,
		      unsigned long last)
{
	return tables_find(tables, idx, last, -1);
}

/**
 * som_tables_find_hinted - Find the next entry in a table with a hint
 * @tables: the tables
 * @idx: index to start from; set to the index found
 * @last: last unit index
 * @hint: the hint
 *
 * Clears the hint at the first index of a table, so iterate from there to the table's end.
 * som_tables_hint() may set it again meanwhile.
 * Context: Process context; may sleep.
 * Return: the entry, or NULL.
 */
void *som_tables_find_hinted(struct som_tables *tables, unsigned long *idx,
			     unsigned long last, enum som_hint hint)
{
	return tables_find(tables, idx, last, hint);
}

/**
 * som_tables_take_hint - Find the next table with a hint, and clear the hint
 * @tables: the tables
 * @idx: index to start from; set to the first one in the table
 * @hint: the hint
 * Context: Process context; may sleep.
 * Return: true if found.
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
 * som_tables_hint - Set a hint in an entry's table
 * @tables: the tables
 * @idx: index of the entry, which was changed before
 * @hint: the hint
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
 * som_tables_prune - Free the tables of a range
 * @tables: the tables; those in the range are empty and stay so
 * @first: first unit index
 * @last: last unit index
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
