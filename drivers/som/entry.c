// SPDX-License-Identifier: GPL-2.0
/*
 * What an owner has at a unit index, and the locks of unit indices.
 *
 * Entries are changed here, so that the counts by level stay right; their bits are
 * told in entry.h. Here are, too, what an owner may record of scattered addresses, its
 * process ID, and how a worker has its address space.
 *
 * Queued work has no reference to its owner, whose end cancels it and waits for
 * what runs; so nothing keeps the module from being unloaded.
 * While it runs it has a reference to the address space, if that is still in use.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/workqueue.h>
#include "account.h"
#include "cache.h"
#include "compat.h"
#include "dirty_log.h"
#include "entry.h"
#include "page_backed.h"
#include "pool.h"
#include "som_types.h"
#include "tables.h"

/* How often mmap_lock is tried, a millisecond apart. */
#define SOM_LOCK_TRIES	50

/**
 * som_work_begin - work begins
 * @owner: whose
 *
 * Context: Process context.
 * Return: true if the address space is in use, and stays so until
 * som_work_end().
 */
bool som_work_begin(struct som_owner *owner)
{
	return mmget_not_zero(owner->mm);
}

/**
 * som_work_end - work is done
 * @owner: whose
 *
 * Context: Process context.
 */
void som_work_end(struct som_owner *owner)
{
	mmput(owner->mm);
}

/**
 * som_work_lock - take mmap_lock for write, if it is to be had soon
 * @owner: whose
 *
 * A worker is the system's, and who has mmap_lock may keep it as long as he likes.
 *
 * Context: Process context, between som_work_begin() and som_work_end().
 * Return: true, for mmap_write_unlock(); false if the work has to come again, or nobody
 * but the worker has the address space any more, whose end gives everything back.
 */
bool som_work_lock(struct som_owner *owner)
{
	struct mm_struct *mm = owner->mm;
	unsigned int i;

	for (i = 0; i < SOM_LOCK_TRIES && atomic_read(&mm->mm_users) > 1; i++) {
		if (som_mm_write_trylock(mm))
			return true;
		usleep_range(500, 1000);
	}
	return false;
}

/* When page tables are looked at, in milliseconds: what is idle may stay so. */
#define SOM_COLLAPSE_MS		1000

/**
 * som_collapse_want - the reason why a unit is mapped by 4 KiB entries is gone
 * @owner: whose
 * @idx: unit index
 *
 * Context: Any; the caller has a reference to the owner.
 */
void som_collapse_want(struct som_owner *owner, unsigned long idx)
{
	som_tables_hint(&owner->tables, idx, SOM_HINT_COLLAPSE);
	queue_delayed_work(system_unbound_wq, &owner->collapse_work,
			   msecs_to_jiffies(SOM_COLLAPSE_MS));
}

/**
 * som_owner_lock_all - keep all unit indices of an owner as they are
 * @owner: whose
 *
 * Context: Process context; takes owner->lock and all fault_locks.
 */
void som_owner_lock_all(struct som_owner *owner)
{
	int i;

	mutex_lock(&owner->lock);
	for (i = 0; i < SOM_FAULT_LOCKS; i++)
		mutex_lock_nest_lock(&owner->fault_lock[i], &owner->lock);
}

/**
 * som_owner_unlock_all - undo som_owner_lock_all()
 * @owner: whose
 *
 * Context: Process context.
 */
void som_owner_unlock_all(struct som_owner *owner)
{
	int i;

	for (i = 0; i < SOM_FAULT_LOCKS; i++)
		mutex_unlock(&owner->fault_lock[i]);
	mutex_unlock(&owner->lock);
}

/*
 * Most of what is recorded of an owner goes by the units that it has, or by its VMAs. Two
 * kinds of records go by addresses, which cost nothing: leaves, one for each 256 unit
 * indices of which one was touched, and the runs of tracked indices. So do records of what
 * a scan has reported in part of units without memory. They are bounded
 * by the units that there can be, by VMAs, and by something for everybody, in bytes.
 * What is reserved is always recorded: the pool bounds that.
 */
#define SOM_RECORDS_ALL		SZ_16M
#define SOM_RECORDS_UNIT	SZ_8K
#define SOM_RECORDS_VMA		SZ_4K
/* With the nodes of the trees that they are in. */
#define SOM_TABLE_BYTES		(sizeof(struct som_table) + 640)
#define SOM_RECORD_BYTES	(sizeof(struct som_region) + 16)

static unsigned long max_records;
module_param(max_records, ulong, 0644);
MODULE_PARM_DESC(max_records, "KiB of records that one process may need for scattered use of its addresses (default 0: 16 MiB, 8 KiB for each unit of the pool and 4 KiB for each mapping)");

/**
 * som_records_max - bytes of records that an owner may need for scattered use of addresses
 * @owner: whose
 *
 * Context: Any.
 * Return: bytes.
 */
unsigned long som_records_max(struct som_owner *owner)
{
	unsigned long max = READ_ONCE(max_records);

	if (max)
		return size_mul(max, SZ_1K);
	return SOM_RECORDS_ALL + som_pool_units() * SOM_RECORDS_UNIT +
	       READ_ONCE(owner->mm->map_count) * SOM_RECORDS_VMA;
}

/**
 * som_records_now - bytes of records that go by addresses
 * @owner: whose
 *
 * Context: Any.
 * Return: bytes.
 */
unsigned long som_records_now(struct som_owner *owner)
{
	return atomic_long_read(&owner->tables.nr_tables) * SOM_TABLE_BYTES +
	       READ_ONCE(owner->dirty_log.nr_ranges) * SOM_RUN_BYTES +
	       atomic_long_read(&owner->dirty_log.nr_dropped) * SOM_RECORD_BYTES;
}

/**
 * som_owner_may_record - may there be one more record that goes by addresses?
 * @owner: whose
 *
 * Context: Any.
 * Return: true if so.
 */
bool som_owner_may_record(struct som_owner *owner)
{
	return som_records_now(owner) < som_records_max(owner);
}

/**
 * som_owner_set_pid - note that an owner is the current process's
 * @owner: the owner of its address space
 *
 * A child is made before its process is.
 *
 * Context: Any; takes owner->mapping_lock.
 */
void som_owner_set_pid(struct som_owner *owner)
{
	struct pid *pid = task_tgid(current);

	if (READ_ONCE(owner->pid) == pid)
		return;
	spin_lock(&owner->mapping_lock);
	swap(owner->pid, pid);
	get_pid(owner->pid);
	spin_unlock(&owner->mapping_lock);
	put_pid(pid);
}

/**
 * som_owner_pid - the process ID of an owner
 * @owner: whose
 * @ns: namespace of whoever is told
 *
 * Context: Any; takes owner->mapping_lock.
 * Return: the ID, or 0 if that namespace does not know the process.
 */
pid_t som_owner_pid(struct som_owner *owner, struct pid_namespace *ns)
{
	pid_t nr;

	spin_lock(&owner->mapping_lock);
	nr = pid_nr_ns(owner->pid, ns);
	spin_unlock(&owner->mapping_lock);
	return nr;
}

/**
 * som_entry_replace - change an entry
 * @owner: whose
 * @idx: unit index
 * @unit: the unit it has from now on, or SOM_UNIT_SAME
 * @clear: bits to clear
 * @set: bits to set
 *
 * Keeps the counts by level right. Needs no memory.
 *
 * Context: Any, to change bits; to change the unit, som_owner_lock_index() is
 * held.
 * Return: the entry as it was, or NULL if there is none.
 */
void *som_entry_replace(struct som_owner *owner, unsigned long idx,
			som_unit_t unit, unsigned long clear,
			unsigned long set)
{
	void **entryp, *old = NULL, *new = NULL;

	rcu_read_lock();
	entryp = som_tables_entryp(&owner->tables, idx);
	if (entryp)
		old = READ_ONCE(*entryp);
	while (old) {
		new = som_entry(unit == SOM_UNIT_SAME ? som_entry_unit(old) :
							unit,
				(som_entry_bits(old) & ~clear) | set);
		if (new == old || try_cmpxchg(entryp, &old, new))
			break;
	}
	rcu_read_unlock();
	if (!old)
		return NULL;
	if (set & SOM_ENTRY_DISCARDED)
		som_tables_hint(&owner->tables, idx, SOM_HINT_DISCARDED);
	/* Pairs with the barrier in som_dirty_log_add(). */
	if (set & SOM_ENTRY_ZEROED ||
	    (set & SOM_ENTRY_DISCARDED && READ_ONCE(owner->dirty_log.on)))
		som_tables_hint(&owner->tables, idx, SOM_HINT_UNTOLD);
	if (som_entry_level(old) != som_entry_level(new)) {
		atomic_long_dec(&owner->nr_level[som_entry_level(old)]);
		atomic_long_inc(&owner->nr_level[som_entry_level(new)]);
	}
	if (som_entry_test(old, SOM_ENTRY_PAGE_BACKED) !=
	    som_entry_test(new, SOM_ENTRY_PAGE_BACKED))
		atomic_long_add(som_entry_test(new, SOM_ENTRY_PAGE_BACKED) ? 1 : -1,
				&owner->nr_page_backed);
	return old;
}

/**
 * som_entry_forget - an entry has left owner->tables: it does not count any more
 * @owner: whose
 * @entry: the entry
 */
void som_entry_forget(struct som_owner *owner, const void *entry)
{
	atomic_long_dec(&owner->nr_level[som_entry_level(entry)]);
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED))
		atomic_long_dec(&owner->nr_page_backed);
}

/**
 * som_entries_put - give up memory that nothing maps any more
 * @owner: whose
 * @entries: have left owner->tables
 * @nr: how many, at most SOM_BATCH
 * @ended: each unit has a charge, if not its own, then of a reservation that ends; otherwise
 *	those that have none are known not to be pinned
 *
 * It goes back to the kernel, is kept by its owner, becomes free, or is held by the pool
 * if it may be pinned.
 *
 * Context: Process context.
 * Return: how many charges are still needed.
 */
unsigned int som_entries_put(struct som_owner *owner, void **entries,
			     unsigned int nr, bool ended)
{
	unsigned int i, nr_units = 0, needed = 0;
	som_unit_t units[SOM_BATCH];
	bool keep = som_cache_on();

	for (i = 0; i < nr; i++) {
		bool charged = ended ||
			       som_entry_test(entries[i], SOM_ENTRY_CHARGED);
		som_unit_t unit = som_entry_unit(entries[i]);

		if (som_entry_test(entries[i], SOM_ENTRY_PAGE_BACKED))
			som_page_backed_free(unit);
		else if (keep &&
			 som_cache_keep(&owner->cache, unit, charged))
			needed += charged;
		else if (!charged)
			som_pool_free(unit);
		else
			units[nr_units++] = unit;
	}
	nr_units = som_pool_free_units(units, nr_units);
	if (unlikely(nr_units))
		som_account_quarantine(owner->account, units, nr_units);
	return needed + nr_units;
}

/**
 * som_entries_charged - count entries that have a charge of their own
 * @entries: the entries
 * @nr: how many
 *
 * Return: the number.
 */
unsigned int som_entries_charged(void **entries, unsigned int nr)
{
	unsigned int i, charged = 0;

	for (i = 0; i < nr; i++)
		charged += som_entry_test(entries[i], SOM_ENTRY_CHARGED);
	return charged;
}

/**
 * som_entries_drop - give up the memory of entries, and their own charges
 * @owner: whose
 * @entries: no page table and no TLB knows their memory; those without a charge of their
 *	own are known not to be pinned. Of the others the charge stays as long as
 *	they may be.
 * @nr: how many, at most SOM_BATCH
 *
 * Context: Process context.
 */
void som_entries_drop(struct som_owner *owner, void **entries, unsigned int nr)
{
	unsigned int charged = som_entries_charged(entries, nr);

	som_account_uncharge(owner->account, charged -
			     som_entries_put(owner, entries, nr, false));
}

/**
 * som_entry_pinned - might somebody other than its owner hold a unit's memory?
 * @entry: the unit's entry
 *
 * Where the unit is page-backed, the answer is only right when nothing maps it.
 *
 * Context: Any.
 * Return: true if so.
 */
bool som_entry_pinned(const void *entry)
{
	som_unit_t unit = som_entry_unit(entry);

	return som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ?
		som_page_backed_pinned(unit) : som_pool_pinned(unit);
}

/**
 * som_entries_forget - entries have left owner->tables: they do not count any more
 * @owner: whose
 * @entries: the entries
 * @nr: how many
 */
void som_entries_forget(struct som_owner *owner, void **entries,
			unsigned int nr)
{
	unsigned long levels[SOM_LEVELS] = {}, nr_page_backed = 0;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		levels[som_entry_level(entries[i])]++;
		nr_page_backed += som_entry_test(entries[i], SOM_ENTRY_PAGE_BACKED);
	}
	for (i = 0; i < SOM_LEVELS; i++)
		if (levels[i])
			atomic_long_sub(levels[i], &owner->nr_level[i]);
	if (nr_page_backed)
		atomic_long_sub(nr_page_backed, &owner->nr_page_backed);
}

/**
 * som_owner_lock_index - keep a unit index as it is
 * @owner: whose
 * @idx: unit index
 *
 * For those who do not look at the unit's memory: it may be discarded.
 *
 * Context: Process context; takes a fault_lock.
 * Return: the mutex that was locked, for mutex_unlock().
 */
struct mutex *som_owner_lock_index(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = &owner->fault_lock[idx % SOM_FAULT_LOCKS];

	mutex_lock(lock);
	return lock;
}

/**
 * som_owner_has_child - the same as som_owner_shared(), where somebody has inherited
 * @owner: whose
 * @idx: unit index
 *
 * Context: som_owner_lock_unit() is held.
 * Return: as som_owner_shared().
 */
bool som_owner_has_child(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_tables_load(&owner->tables, idx);

	return entry && som_entry_test(entry, SOM_ENTRY_SHARED);
}

/**
 * som_owner_page_backed - is the unit at an index page-backed?
 * @owner: whose
 * @idx: unit index
 *
 * Context: som_owner_lock_unit() is held. Cheap where nothing is.
 * Return: true if so.
 */
bool som_owner_page_backed(struct som_owner *owner, unsigned long idx)
{
	void *entry;

	if (!atomic_long_read(&owner->nr_page_backed))
		return false;
	entry = som_tables_load(&owner->tables, idx);
	return entry && som_entry_test(entry, SOM_ENTRY_PAGE_BACKED);
}

/**
 * som_owner_pinned - might a device write to a unit?
 * @owner: whose
 * @idx: unit index
 *
 * Context: som_owner_lock_unit() is held.
 * Return: true while anybody has a pin on the unit's chunk, and as long as the
 * unit is page-backed.
 */
bool som_owner_pinned(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_tables_load(&owner->tables, idx);

	return entry && (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ||
			 som_pool_pinned(som_entry_unit(entry)));
}

/**
 * som_owner_level - how a unit was last mapped
 * @owner: whose
 * @idx: unit index
 *
 * Context: som_owner_lock_unit() is held.
 * Return: how; SOM_LEVEL_NONE where there is no unit.
 */
enum som_level som_owner_level(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_tables_load(&owner->tables, idx);

	return entry ? som_entry_level(entry) : SOM_LEVEL_NONE;
}

/**
 * som_owner_populated - the next index that has a unit
 * @owner: whose
 * @idx: where to start, and where the result goes
 * @last: last index to look at
 *
 * Context: Any. The unit may be gone when som_owner_lock_unit() is held.
 * Return: true if there is one.
 */
bool som_owner_populated(struct som_owner *owner, unsigned long *idx,
			 unsigned long last)
{
	return som_tables_find(&owner->tables, idx, last);
}

/**
 * som_owner_set_level - note how a unit is mapped now
 * @owner: whose
 * @idx: index of a unit that is there
 * @level: how
 *
 * Context: Process context; som_owner_lock_unit() is held.
 */
void som_owner_set_level(struct som_owner *owner, unsigned long idx,
			 enum som_level level)
{
	som_entry_change(owner, idx, SOM_ENTRY_LEVEL, level);
}
