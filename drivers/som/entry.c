// SPDX-License-Identifier: GPL-2.0
/*
 * Entries of an owner's tables, and the locks of unit indices. All changes of entries are
 * made here, so that the counts by level stay correct; entry.h describes the bits. Also
 * here: the limit on records for scattered addresses, the process ID, and access to the
 * address space from work items.
 *
 * A queued work item has no reference to its owner; destroying the owner cancels the work
 * and waits for it, so the module can be unloaded. A running one references the address
 * space if it is still in use.
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

/* Attempts to take mmap_lock, about a millisecond apart. */
#define SOM_LOCK_TRIES	50

/**
 * som_work_begin - Reference the address space for a work item
 * @owner: owner
 * Context: Process context.
 * Return: true if the address space is in use; it stays so until som_work_end().
 */
bool som_work_begin(struct som_owner *owner)
{
	return mmget_not_zero(owner->mm);
}

/**
 * som_work_end - Undo som_work_begin()
 * @owner: owner
 * Context: Process context.
 */
void som_work_end(struct som_owner *owner)
{
	mmput(owner->mm);
}

/**
 * som_work_lock - Try for a limited time to take mmap_lock for write
 * @owner: owner
 *
 * The worker is shared by the system, and a process may hold its mmap_lock for any time.
 * Context: Process context, between som_work_begin() and som_work_end().
 * Return: true if locked: call mmap_write_unlock(); false to retry later, or if only the
 * worker uses the address space, so that it is about to be freed.
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

/* Delay before page tables are checked (ms): the unit may be needed again. */
#define SOM_COLLAPSE_MS		1000

/**
 * som_collapse_want - Schedule a check whether units still need 4 KiB entries
 * @owner: owner
 * @idx: unit index whose reason for 4 KiB entries is gone
 * Context: Any; the caller has a reference to the owner.
 */
void som_collapse_want(struct som_owner *owner, unsigned long idx)
{
	som_tables_hint(&owner->tables, idx, SOM_HINT_COLLAPSE);
	queue_delayed_work(system_unbound_wq, &owner->collapse_work,
			   msecs_to_jiffies(SOM_COLLAPSE_MS));
}

/**
 * som_owner_lock_all - Lock all unit indices of an owner
 * @owner: owner
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
 * som_owner_unlock_all - Undo som_owner_lock_all()
 * @owner: owner
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
 * Most records of an owner are bounded by its units or VMAs. These are bounded only by
 * addresses, which cost nothing: tables, one per 256 unit indices of which one was touched;
 * runs of tracked indices; and regions of units without memory that were reported in part.
 * So their bytes are limited by a constant plus an amount for each unit of the pool and
 * each VMA. Reserved ranges are not limited here: the pool limits them.
 */
#define SOM_RECORDS_ALL		SZ_16M
#define SOM_RECORDS_UNIT	SZ_8K
#define SOM_RECORDS_VMA		SZ_4K
/* Including nodes of the trees. */
#define SOM_TABLE_BYTES		(sizeof(struct som_table) + 640)
#define SOM_RECORD_BYTES	(sizeof(struct som_region) + 16)

static unsigned long max_records;
module_param(max_records, ulong, 0644);
MODULE_PARM_DESC(max_records, "limit of metadata per process for scattered use of addresses, in KiB (default 0: 16 MiB, plus 8 KiB per unit of the pool and 4 KiB per mapping)");

/**
 * som_records_max - Return the limit for records of scattered addresses
 * @owner: owner
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
 * som_records_now - Return the size of records of scattered addresses
 * @owner: owner
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
 * som_owner_may_record - Test whether another record of an address is allowed
 * @owner: owner
 * Context: Any.
 * Return: true if it is.
 */
bool som_owner_may_record(struct som_owner *owner)
{
	return som_records_now(owner) < som_records_max(owner);
}

/**
 * som_owner_set_pid - Record the current process as an owner's process
 * @owner: owner of the current address space
 *
 * fork makes a child's owner before its process.
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
 * som_owner_pid - Return the process ID of an owner
 * @owner: owner
 * @ns: namespace of the reader
 * Context: Any; takes owner->mapping_lock.
 * Return: the ID; 0 if the process is not in the namespace.
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
 * som_entry_replace - Change an entry and the counts by level
 * @owner: owner
 * @idx: unit index
 * @unit: new unit, or SOM_UNIT_SAME
 * @clear: bits to clear
 * @set: bits to set
 *
 * Needs no memory.
 * Context: Any, to change bits; som_owner_lock_index() is held to change the unit.
 * Return: the previous entry, or NULL if there is none.
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
 * som_entry_forget - Update the counts after an entry was removed from owner->tables
 * @owner: owner
 * @entry: the entry
 */
void som_entry_forget(struct som_owner *owner, const void *entry)
{
	atomic_long_dec(&owner->nr_level[som_entry_level(entry)]);
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED))
		atomic_long_dec(&owner->nr_page_backed);
}

/**
 * som_entries_put - Free memory that is not mapped any more
 * @owner: owner
 * @entries: removed from owner->tables
 * @nr: number of entries, at most SOM_BATCH
 * @ended: each unit has a charge: its own, or that of a reservation that ends; otherwise
 *	units without their own charge are known not to be pinned
 *
 * The memory is returned to the kernel, cached, freed, or quarantined if it may be pinned.
 * Context: Process context.
 * Return: number of charges that are still needed.
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
 * som_entries_charged - Count entries with their own charge
 * @entries: the entries
 * @nr: number of entries
 * Return: the count.
 */
unsigned int som_entries_charged(void **entries, unsigned int nr)
{
	unsigned int i, charged = 0;

	for (i = 0; i < nr; i++)
		charged += som_entry_test(entries[i], SOM_ENTRY_CHARGED);
	return charged;
}

/**
 * som_entries_drop - Free the memory of entries and release their own charges
 * @owner: owner
 * @entries: in no page table or TLB; those without their own charge are known not to be
 *	pinned. A charge is kept while its unit may be pinned.
 * @nr: number of entries, at most SOM_BATCH
 * Context: Process context.
 */
void som_entries_drop(struct som_owner *owner, void **entries, unsigned int nr)
{
	unsigned int charged = som_entries_charged(entries, nr);

	som_account_uncharge(owner->account, charged -
			     som_entries_put(owner, entries, nr, false));
}

/**
 * som_entry_pinned - Test whether a unit's memory may be pinned
 * @entry: the unit's entry
 *
 * For a page-backed unit, the result is valid only if the unit is not mapped.
 * Context: Any.
 * Return: true if it may be.
 */
bool som_entry_pinned(const void *entry)
{
	som_unit_t unit = som_entry_unit(entry);

	return som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ?
		som_page_backed_pinned(unit) : som_pool_pinned(unit);
}

/**
 * som_entries_forget - Update the counts after entries were removed from owner->tables
 * @owner: owner
 * @entries: the entries
 * @nr: number of entries
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
 * som_owner_lock_index - Lock a unit index
 * @owner: owner
 * @idx: unit index
 *
 * For callers that do not access the unit's memory: it may be discarded.
 * Context: Process context; takes a fault_lock.
 * Return: the mutex, for mutex_unlock().
 */
struct mutex *som_owner_lock_index(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = &owner->fault_lock[idx % SOM_FAULT_LOCKS];

	mutex_lock(lock);
	return lock;
}

/**
 * som_owner_has_child - Slow path of som_owner_shared()
 * @owner: owner
 * @idx: unit index
 * Context: som_owner_lock_unit() is held.
 * Return: as som_owner_shared().
 */
bool som_owner_has_child(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_tables_load(&owner->tables, idx);

	return entry && som_entry_test(entry, SOM_ENTRY_SHARED);
}

/**
 * som_owner_page_backed - Test whether a unit is page-backed
 * @owner: owner
 * @idx: unit index
 * Context: som_owner_lock_unit() is held. Cheap if the owner has no page-backed unit.
 * Return: true if it is.
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
 * som_owner_auto_converted - Test whether a unit is page-backed by policy
 * @owner: owner
 * @idx: unit index
 *
 * If tracked, such a unit is tracked page by page (track.c).
 * Context: som_owner_lock_unit() is held. Cheap if the owner has no page-backed unit.
 * Return: true if it is.
 */
bool som_owner_auto_converted(struct som_owner *owner, unsigned long idx)
{
	void *entry;

	if (likely(!atomic_long_read(&owner->nr_page_backed)))
		return false;
	entry = som_tables_load(&owner->tables, idx);
	return entry && som_entry_test(entry, SOM_ENTRY_BY_POLICY);
}

/**
 * som_owner_pinned - Test whether a device may write to any page of a unit
 * @owner: owner
 * @idx: unit index
 * Context: som_owner_lock_unit() is held.
 * Return: true while the unit's chunk has a pin, and while the unit is page-backed by a call
 * of SOM_IOC_PAGE_BACKED.
 */
bool som_owner_pinned(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_tables_load(&owner->tables, idx);

	if (!entry)
		return false;
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED))
		return !som_entry_test(entry, SOM_ENTRY_BY_POLICY);
	return som_pool_pinned(som_entry_unit(entry));
}

/**
 * som_owner_level - Return how a unit was last mapped
 * @owner: owner
 * @idx: unit index
 * Context: som_owner_lock_unit() is held.
 * Return: level; SOM_LEVEL_NONE if there is no unit.
 */
enum som_level som_owner_level(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_tables_load(&owner->tables, idx);

	return entry ? som_entry_level(entry) : SOM_LEVEL_NONE;
}

/**
 * som_owner_populated - Find the next index that has a unit
 * @owner: owner
 * @idx: index to start from; set to the index found
 * @last: last index
 * Context: Any. The unit may be removed before som_owner_lock_unit() is taken.
 * Return: true if found.
 */
bool som_owner_populated(struct som_owner *owner, unsigned long *idx,
			 unsigned long last)
{
	return som_tables_find(&owner->tables, idx, last);
}

/**
 * som_owner_set_level - Record how a unit is mapped
 * @owner: owner
 * @idx: index of an existing unit
 * @level: new level
 * Context: Process context; som_owner_lock_unit() is held.
 */
void som_owner_set_level(struct som_owner *owner, unsigned long idx,
			 enum som_level level)
{
	som_entry_change(owner, idx, SOM_ENTRY_LEVEL, level);
}
