// SPDX-License-Identifier: GPL-2.0
/*
 * An owner: one address space, the units it holds and those it was reserved.
 *
 * Every mmap gets page offsets of its own (range.h); a unit is found by its
 * index, page offset >> 9, in owner->units. Splitting, moving and shrinking a
 * VMA leave its page offsets as they are, so they leave the unit where it is.
 *
 * Each VMA has a mapping, its interval of page offsets, in owner->mappings. The mapping
 * goes when the VMA is closed, and that is after its page table entries were
 * cleared and the TLB flushed. So a unit that no mapping touches is mapped by
 * nobody, and it is given back then and there. Two munmaps of two parts of a
 * unit at the same time are no problem: whichever closes last gives it back.
 *
 * The other way to lose a unit is below living VMAs: punch.c.
 *
 * Reservations are ranges of unit indices in owner->reserved, each index charged
 * to the pool once. A unit outside of them is charged by itself when it is
 * taken. Nobody looks at reservations of a unit that no mapping touches.
 *
 * Locking, outer to inner: mmap_lock, VMA lock, owner->lock, fault_lock,
 * i_mmap_rwsem (som_zap), page table lock. A fault takes a
 * fault_lock without owner->lock. mmap_lock and the VMA lock are never taken under
 * owner->lock.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "collapse.h"
#include "compat.h"
#include "entry.h"
#include "inode.h"
#include "owner.h"
#include "numa.h"
#include "parcel.h"
#include "pinnable.h"
#include "pool.h"
#include "zap.h"

/* Mappings that are looked at for each hold of mapping_lock. */
#define SOM_RUN_MAPPINGS	256

static atomic_long_t som_owner_ids = ATOMIC_LONG_INIT(0);

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
	return atomic_long_read(&owner->units.nr_tables) * SOM_TABLE_BYTES +
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
 * som_owner_alloc - make an owner for an address space
 * @mm: the address space
 *
 * Context: Process context.
 * Return: the owner, which holds nothing, or NULL.
 */
struct som_owner *som_owner_alloc(struct mm_struct *mm)
{
	struct som_owner *owner = kzalloc(sizeof(*owner), GFP_KERNEL_ACCOUNT);
	int i;

	if (!owner)
		return NULL;
	owner->account = som_account_alloc();
	if (!owner->account) {
		kfree(owner);
		return NULL;
	}
	som_zaps_init(&owner->zaps);
	som_cache_init(&owner->cache, owner->account, mm);
	owner->id = atomic_long_inc_return(&som_owner_ids);
	owner->pid = get_pid(task_tgid(current));
	mutex_init(&owner->lock);
	mutex_init(&owner->pud_lock);
	spin_lock_init(&owner->mapping_lock);
	for (i = 0; i < SOM_FAULT_LOCKS; i++)
		mutex_init(&owner->fault_lock[i]);
	som_units_init(&owner->units);
	xa_init_flags(&owner->deferred_free, XA_FLAGS_ACCOUNT);
	som_cow_init(&owner->cow);
	INIT_LIST_HEAD(&owner->inherited_files);
	owner->mappings = RB_ROOT_CACHED;
	mt_init_flags(&owner->reserved, SOM_MT_FLAGS);
	mt_set_external_lock(&owner->reserved, &owner->lock);
	som_dirty_log_init(&owner->dirty_log, &owner->lock);
	som_collapse_init(owner);
	mmgrab(mm);
	owner->mm = mm;
	return owner;
}

/**
 * som_owner_destroy - the end of an owner
 * @owner: nothing maps anything of it; the caller frees it
 *
 * Context: Process context.
 */
void som_owner_destroy(struct som_owner *owner)
{
	unsigned long unit;
	void *entry;

	som_cow_destroy(owner);
	xa_for_each(&owner->deferred_free, unit, entry)
		som_entry_drop(owner, entry);
	xa_destroy(&owner->deferred_free);
	WARN_ON_ONCE(!som_units_destroy(&owner->units) || owner->nr_reserved);
	mutex_lock(&owner->lock);
	__mt_destroy(&owner->reserved);
	som_dirty_log_destroy(&owner->dirty_log);
	mutex_unlock(&owner->lock);
	som_cache_destroy(&owner->cache);
	som_account_put(owner->account);
	som_inode_disinherit(owner);
	mmdrop(owner->mm);
}

/**
 * som_owner_free - free an owner
 * @owner: was destroyed, and its MMU notifier does not run
 *
 * Context: Any.
 */
void som_owner_free(struct som_owner *owner)
{
	put_pid(owner->pid);
	kfree(owner);
}

/**
 * som_owner_stats - count what an owner holds
 * @owner: whose
 * @stats: where the result goes
 *
 * Context: Process context; takes owner->lock.
 */
void som_owner_stats(struct som_owner *owner, struct som_owner_stats *stats)
{
	int i;

	mutex_lock(&owner->lock);
	stats->mapped_pages = owner->mapped_pages;
	stats->nr_reserved = owner->nr_reserved;
	mutex_unlock(&owner->lock);
	for (i = 0; i < SOM_LEVELS; i++)
		stats->nr_level[i] = atomic_long_read(&owner->nr_level[i]);
	stats->nr_page_backed = atomic_long_read(&owner->nr_page_backed);
	stats->records = som_records_now(owner);
	stats->max_records = som_records_max(owner);
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

/* How many indices of first..last are reserved. */
static unsigned long reserved_in(struct som_owner *owner, unsigned long first,
				 unsigned long last)
{
	MA_STATE(mas, &owner->reserved, first, first);
	unsigned long nr = 0;
	void *entry;

	lockdep_assert_held(&owner->lock);

	mas_for_each(&mas, entry, last)
		nr += min(mas.last, last) - max(mas.index, first) + 1;
	return nr;
}

/*
 * Take over the charges of units in first..last that are charged by themselves: how many.
 * A fault that fails finds none at its unit then, and leaves it with whoever has it.
 */
static unsigned long owner_take_charges(struct som_owner *owner, unsigned long first,
					unsigned long last)
{
	unsigned long idx, nr = 0;
	void *entry;

	som_units_for_each(&owner->units, idx, entry, first, last) {
		entry = som_entry_change(owner, idx, SOM_ENTRY_CHARGED, 0);
		nr += entry && som_entry_test(entry, SOM_ENTRY_CHARGED);
	}
	return nr;
}

/* Undo owner_take_charges(): what is over was of units that are gone, or are reserved. */
static void return_charges(struct som_owner *owner, unsigned long first,
			   unsigned long last, unsigned long nr)
{
	unsigned long idx;
	void *entry;

	som_units_for_each(&owner->units, idx, entry, first, last) {
		if (!nr)
			break;
		if (som_entry_test(entry, SOM_ENTRY_CHARGED) ||
		    mtree_load(&owner->reserved, idx))
			continue;
		entry = som_entry_change(owner, idx, 0, SOM_ENTRY_CHARGED);
		nr -= !!entry;
	}
	som_account_uncharge(owner->account, nr);
}

/**
 * som_reserve_units - reservation all of some units: see som_mapping_reserve()
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; owner->lock is held.
 * Return: 0, or -ENOMEM and nothing is changed.
 */
int som_reserve_units(struct som_owner *owner, unsigned long first,
		      unsigned long last)
{
	MA_STATE(mas, &owner->reserved, first, last);
	unsigned long need, taken, charged = 0;
	int ret = -ENOMEM;

	lockdep_assert_held(&owner->lock);

	need = last - first + 1 - reserved_in(owner, first, last);
	if (!need)
		return 0;
	/* Units charged by themselves bring their charge along. */
	taken = owner_take_charges(owner, first, last);
	if (taken < need) {
		if (!som_cache_charge(owner->account, need - taken))
			goto out_return;
		charged = need - taken;
	}
	ret = som_mas_store(&mas, xa_mk_value(1), GFP_KERNEL_ACCOUNT);
	if (ret)
		goto out_uncharge;
	owner->nr_reserved += need;
	/* And those of faults that did not see the reservation yet. */
	taken += owner_take_charges(owner, first, last);
	som_account_uncharge(owner->account, taken + charged - need);
	return 0;

out_uncharge:
	som_account_uncharge(owner->account, charged);
out_return:
	return_charges(owner, first, last, taken);
	return ret;
}

/*
 * Units of a parcel go to indices from @first on, which nobody has used. Of the pool, only
 * what the parcel has no unit for is charged: the rest is charged already.
 */
static int claim_units(struct som_owner *owner, struct som_claim *claim,
		       unsigned long first, bool reservation)
{
	MA_STATE(mas, &owner->reserved, first, first + claim->nr - 1);
	struct som_account *payer = claim->parcel->account;
	unsigned long holes;
	int ret;

	lockdep_assert_held(&owner->lock);

	/* Where users do not share chunks, units stay with their user. */
	if (!som_pool_same_user(payer->pool, owner->account->pool))
		return -EXDEV;
	ret = som_parcel_claim_begin(claim, &owner->units, first);
	if (ret)
		return ret;
	ret = -ENOMEM;
	holes = reservation ? claim->nr - claim->nr_units : 0;
	if (!som_cache_transfer(payer, owner->account, claim->nr_units))
		goto out_abort;
	if (!som_cache_charge(owner->account, holes))
		goto out_return;
	ret = reservation ? som_mas_store(&mas, xa_mk_value(1), GFP_KERNEL_ACCOUNT) : 0;
	if (ret)
		goto out_uncharge;
	if (reservation)
		owner->nr_reserved += claim->nr;
	atomic_long_add(claim->nr_units, &owner->nr_level[SOM_LEVEL_NONE]);
	som_parcel_claim_end(claim, &owner->units, first, SOM_LEVEL_NONE |
			     (reservation ? 0 : SOM_ENTRY_CHARGED));
	return 0;

out_uncharge:
	som_account_uncharge(owner->account, holes);
out_return:
	som_account_return(payer, owner->account, claim->nr_units);
out_abort:
	som_parcel_claim_abort(claim);
	return ret;
}

/**
 * som_unreserve_units - the end of all reservations in a range
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; owner->lock is held.
 * Return: how many charges there were.
 */
unsigned long som_unreserve_units(struct som_owner *owner, unsigned long first,
				  unsigned long last)
{
	MA_STATE(mas, &owner->reserved, first, last);
	unsigned long nr = reserved_in(owner, first, last);

	if (!nr)
		return 0;
	som_mas_store(&mas, NULL, GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	owner->nr_reserved -= nr;
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
			unsigned long unit, unsigned long clear,
			unsigned long set)
{
	void **entryp, *old = NULL, *new = NULL;

	rcu_read_lock();
	entryp = som_units_entryp(&owner->units, idx);
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
		som_units_hint(&owner->units, idx, SOM_HINT_DISCARDED);
	/* Pairs with the barrier in som_dirty_log_add(). */
	if (set & SOM_ENTRY_ZEROED ||
	    (set & SOM_ENTRY_DISCARDED && READ_ONCE(owner->dirty_log.on)))
		som_units_hint(&owner->units, idx, SOM_HINT_UNTOLD);
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
 * som_entry_forget - an entry has left owner->units: it does not count any more
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
 * @entries: have left owner->units
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
	unsigned long units[SOM_BATCH];
	bool keep = som_cache_on();

	for (i = 0; i < nr; i++) {
		bool charged = ended ||
			       som_entry_test(entries[i], SOM_ENTRY_CHARGED);
		unsigned long unit = som_entry_unit(entries[i]);

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
	unsigned long unit = som_entry_unit(entry);

	return som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ?
		som_page_backed_pinned(unit) : som_pool_pinned(unit);
}

/**
 * som_entries_forget - entries have left owner->units: they do not count any more
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

/* Does a mapping touch an index of the table that an index is in? */
static bool table_touched(struct som_owner *owner, unsigned long idx)
{
	unsigned long first = round_down(idx, SOM_TABLE_UNITS);

	return interval_tree_iter_first(&owner->mappings, som_unit_pgoff(first),
					som_unit_pgoff(first + SOM_TABLE_UNITS) - 1);
}

/* The leaves of first..last go, but for those that a mapping needs. */
static void prune_tables(struct som_owner *owner, unsigned long first,
			 unsigned long last)
{
	if (table_touched(owner, first))
		first = round_down(first, SOM_TABLE_UNITS) + SOM_TABLE_UNITS;
	if (first <= last && table_touched(owner, last))
		last = round_down(last, SOM_TABLE_UNITS) - 1;
	if (first <= last)
		som_units_prune(&owner->units, first, last);
}

/*
 * Is a mapping that goes one of a VMA that the current task closes for SOM_IOC_PACK? What a
 * mapping that has failed may have left over (remap.c) has no VMA.
 */
static bool mapping_packed(const struct som_mapping *mapping)
{
	const struct som_packing *packing = mapping->owner->packing;

	return packing && packing->task == current && mapping->vma;
}

/* Give back all units in first..last, which no mapping touches. */
static void release_units(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	unsigned long idx = first, charges = 0;
	void *batch[SOM_BATCH];
	unsigned int nr;

	lockdep_assert_held(&owner->lock);

	som_cow_drop(owner, first, last);
	if (unlikely(owner->packing && owner->packing->active))
		charges -= som_parcel_take(owner->packing, first, last);
	if (owner->cow.has_child)
		charges -= som_cow_leave(owner, first, last);
	do {
		nr = som_units_take(&owner->units, &idx, last, batch, SOM_BATCH);
		som_entries_forget(owner, batch, nr);
		charges += som_entries_charged(batch, nr);
		charges -= som_entries_put(owner, batch, nr, true);
		cond_resched();
	} while (nr == SOM_BATCH);
	prune_tables(owner, first, last);
	if (owner->dirty_log.on)
		som_dirty_log_remove(&owner->dirty_log, first, last);
	charges += som_unreserve_units(owner, first, last);
	som_account_uncharge(owner->account, charges);
}

/* Give back the units in first..last that no mapping touches any more. */
static void release_untouched(struct som_owner *owner, unsigned long first,
			      unsigned long last)
{
	unsigned long lo = som_unit_pgoff(first);
	unsigned long hi = som_unit_pgoff(last + 1) - 1;
	struct interval_tree_node *it;

	for (it = interval_tree_iter_first(&owner->mappings, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		unsigned long from = som_pgoff_unit(it->start);

		cond_resched();
		if (from > first)
			release_units(owner, first, from - 1);
		first = max(first, som_pgoff_unit(it->last) + 1);
		if (first > last)
			return;
	}
	release_units(owner, first, last);
}

/**
 * som_mapping_insert - add a mapping to its owner's tree
 * @mapping: the mapping
 * @first: its first page offset
 * @last: its last page offset
 *
 * Context: owner->lock is held.
 */
void som_mapping_insert(struct som_mapping *mapping, unsigned long first,
			unsigned long last)
{
	lockdep_assert_held(&mapping->owner->lock);

	mapping->it.start = first;
	mapping->it.last = last;
	spin_lock(&mapping->owner->mapping_lock);
	interval_tree_insert(&mapping->it, &mapping->owner->mappings);
	spin_unlock(&mapping->owner->mapping_lock);
	mapping->owner->mapped_pages += last - first + 1;
	mapping->owner->nr_mappings++;
}

static void mapping_remove(struct som_mapping *mapping)
{
	mapping->table = NULL;
	mapping->owner->mapped_pages -= mapping->it.last - mapping->it.start + 1;
	mapping->owner->nr_mappings--;
	spin_lock(&mapping->owner->mapping_lock);
	interval_tree_remove(&mapping->it, &mapping->owner->mappings);
	spin_unlock(&mapping->owner->mapping_lock);
}

/*
 * Half of the page offsets have been given out: those behind the last mapping are given
 * out again. Nobody may be about to punch them out: a madvise(MADV_REMOVE) that began
 * before the last munmap, or a call of the driver's, has a reference to the owner's file
 * beside those that are known: of each mapping, of open files, and the caller's. None
 * can begin now, as mmap_lock is held for write.
 *
 * What was inherited has files of its own, which are not counted: the page offsets of an
 * child are given out once.
 */
static void rewind_cursor(struct som_owner *owner)
{
	struct rb_node *last = rb_last(&owner->mappings.rb_root);
	unsigned long cursor = owner->floor;

	lockdep_assert_held(&owner->lock);
	mmap_assert_write_locked(owner->mm);

	if (!list_empty(&owner->inherited_files) ||
	    file_count(owner->file) != owner->nr_mappings + 1 +
				       atomic_long_read(&owner->nr_files))
		return;
	if (last)
		cursor = max(cursor, rb_entry(last, struct som_mapping,
					      it.rb)->limit);
	owner->cursor = min(owner->cursor, cursor);
}

/**
 * som_mapping_map - room for a new mapping
 * @owner: whose
 * @addr: its address
 * @len: its length in bytes
 * @reservation: whether to reserve the units it touches
 * @private: whether MADV_DONTNEED discards
 * @claim: the part of a parcel, as long as the mapping, whose units it gets; or NULL
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock for
 * write, and one reference to the owner.
 * Return: the mapping's mapping; ERR_PTR(-ENOMEM) if the pool cannot reservation the
 * units, the offset space is used up, or there is no memory for the mapping; ERR_PTR(-EXDEV)
 * if the parcel is another user's; or as som_parcel_claim_begin().
 */
struct som_mapping *som_mapping_map(struct som_owner *owner, unsigned long addr,
				    unsigned long len, bool reservation, bool private,
				    struct som_claim *claim)
{
	struct som_allotment allot;
	struct som_mapping *mapping;
	unsigned long last;
	int ret;

	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return ERR_PTR(-ENOMEM);

	mutex_lock(&owner->lock);
	if (unlikely(owner->cursor > SOM_OFFSET_PAGES / 2))
		rewind_cursor(owner);
	ret = som_allot(owner->cursor, addr, len, &allot);
	if (ret)
		goto out_unlock;
	last = allot.start + (len >> PAGE_SHIFT) - 1;
	if (claim)
		ret = claim_units(owner, claim, som_pgoff_unit(allot.start),
				  reservation);
	else if (reservation)
		ret = som_reserve_units(owner, som_pgoff_unit(allot.start),
					som_pgoff_unit(last));
	if (ret)
		goto out_prune;
	mapping->owner = owner;
	mapping->limit = allot.limit;
	mapping->reserved = reservation;
	mapping->private = private;
	mapping->anew = som_dirty_log_seen(&owner->dirty_log, addr, addr + len);
	if (mapping->anew)
		WRITE_ONCE(owner->dirty_log.anew, true);
	som_mapping_insert(mapping, allot.start, last);
	owner->cursor = allot.limit;
	mutex_unlock(&owner->lock);
	return mapping;

out_prune:
	/* A claim may have made leaves. */
	if (claim)
		prune_tables(owner, som_pgoff_unit(allot.start),
			     som_pgoff_unit(last));
out_unlock:
	mutex_unlock(&owner->lock);
	kfree(mapping);
	return ERR_PTR(ret);
}

/*
 * Does mremap add something to what it moves? The kernel asks before it cuts a VMA of which
 * it is to move a part; what it leaves is at other addresses then, and still mapped.
 */
static bool mapping_grows(struct som_mapping *old, unsigned long first,
			  unsigned long last)
{
	unsigned long end = old->it.last;

	if (old->cut_seq == som_mm_write_seq(old->owner->mm) && old->cut > first)
		end = min(end, old->cut - 1);
	return last > end;
}

/* Is all of a private mapping mapped elsewhere by now? Then it has nothing to move. */
static bool mapping_left(struct som_mapping *mapping)
{
	bool superseded;

	return som_mapping_run(mapping, mapping->it.start, mapping->it.last,
			       &superseded) == mapping->it.last && superseded;
}

/* Whoever has found some indices tracked, or not, at a fault has made its records. */
static void wait_for_faults(struct som_owner *owner)
{
	unsigned int i;

	for (i = 0; i < SOM_FAULT_LOCKS; i++)
		mutex_unlock(som_owner_lock_index(owner, i));
}

/**
 * som_owner_untrack - end tracking
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * Faults go on meanwhile: one that has found its index tracked makes a record, and has
 * its fault_lock until then.
 *
 * Context: Process context; owner->lock is held.
 */
void som_owner_untrack(struct som_owner *owner, unsigned long first,
		       unsigned long last)
{
	struct som_region *region;
	struct mutex *lock;
	unsigned long idx;

	som_dirty_log_end(&owner->dirty_log, first, last);
	wait_for_faults(owner);
	xa_for_each_range(&owner->dirty_log.regions, idx, region, first, last) {
		lock = som_owner_lock_index(owner, idx);
		som_dirty_log_remove(&owner->dirty_log, idx, idx);
		mutex_unlock(lock);
		cond_resched();
	}
}

/* Pages of an index that others share, with or without memory, count as written. */
static void part_anew(struct som_owner *owner, unsigned long idx,
		      unsigned long first, unsigned long last)
{
	struct som_dirty_log *t = &owner->dirty_log;
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES) = {};
	unsigned long lo = max(first, som_unit_pgoff(idx));
	unsigned long hi = min(last, som_unit_pgoff(idx + 1) - 1);
	struct mutex *lock = som_owner_lock_index(owner, idx);

	bitmap_set(pages, lo - som_unit_pgoff(idx), hi - lo + 1);
	if (som_dirty_log_find(t, idx))
		som_dirty_log_wrote(t, idx, lo - som_unit_pgoff(idx), hi - lo + 1);
	else if (som_dirty_log_tracks(t, idx) &&
		 !som_units_load(&owner->units, idx))
		som_dirty_log_unreported(t, idx, pages,
					 GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	mutex_unlock(lock);
}

/*
 * mremap is about to show page offsets at addresses where a scan has seen something else:
 * all of it counts as written until the next one, and so, as nobody can tell apart what two
 * mappings show, does what stays at the old addresses. Tracking begins once more; but for
 * units of which others map a part, at either end, which note that.
 */
static void mapping_moved(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	unsigned long from = som_pgoff_unit(first + SOM_UNIT_PAGES - 1);
	unsigned long behind = som_pgoff_unit(last + 1);
	struct interval_tree_node *it;

	lockdep_assert_held(&owner->lock);

	WRITE_ONCE(owner->dirty_log.anew, true);
	for (it = interval_tree_iter_first(&owner->mappings, first, last); it;
	     it = interval_tree_iter_next(it, first, last)) {
		WRITE_ONCE(container_of(it, struct som_mapping, it)->anew, true);
		cond_resched();
	}
	if (from < behind)
		som_owner_untrack(owner, from, behind - 1);
	if (first < som_unit_pgoff(from))
		part_anew(owner, from - 1, first, last);
	if (last >= som_unit_pgoff(behind) && behind >= from)
		part_anew(owner, behind, first, last);
}

/**
 * som_mapping_copy_settings - copy what a mapping keeps when it gets another mapping
 * @mapping: the new mapping
 * @old: the mapping's mapping so far
 *
 * What depends on why there is another one is the caller's: owner, reservation, file.
 *
 * Context: mmap_lock of the old mapping's owner is held for write.
 */
void som_mapping_copy_settings(struct som_mapping *mapping, const struct som_mapping *old)
{
	mapping->limit = old->limit;
	mapping->generation = old->generation;
	mapping->private = old->private;
	mapping->map_size = old->map_size;
	mapping->page_backed = old->page_backed;
	mapping->reuse = old->reuse;
	mapping->fork = old->fork;
	mapping->auto_convert = old->auto_convert;
}

/**
 * som_mapping_dup - a second VMA for page offsets of a first
 * @old: mapping of the first
 * @addr: address of the second
 * @first: first page offset of the second
 * @last: its last page offset
 * @split: whether the first VMA loses those page offsets (which are at one of
 *	its ends) to the second
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock for
 * write.
 * Return: the second VMA's mapping.
 */
struct som_mapping *som_mapping_dup(struct som_mapping *old, unsigned long addr,
				    unsigned long first, unsigned long last,
				    bool split)
{
	struct som_owner *owner = old->owner;
	struct som_mapping *mapping;

	/* vm_ops->open cannot fail. */
	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	mapping->owner = owner;
	som_mapping_copy_settings(mapping, old);
	mapping->reserved = old->reserved;
	mapping->anew = old->anew;
	mapping->generation += !(split || mapping_left(old));
	if (old->file)
		mapping->file = get_file(old->file);

	mutex_lock(&owner->lock);
	if (split) {
		unsigned long start = old->it.start, end = old->it.last;

		mapping->dup = old->dup;
		mapping->dup_seq = old->dup_seq;
		mapping_remove(old);
		if (first == start)
			som_mapping_insert(old, last + 1, end);
		else
			som_mapping_insert(old, start, first - 1);
	} else {
		mapping->grown = mapping_grows(old, first, last);
		/* Longer than the old one, som_mapping_reserve() is to be asked. */
		mapping->reserved &= last <= old->it.last;
		mapping->dup = true;
		mapping->dup_seq = som_mm_write_seq(owner->mm);
		WRITE_ONCE(owner->may_alias, true);
	}
	som_mapping_insert(mapping, first, last);
	if (!split && som_dirty_log_seen(&owner->dirty_log, addr, addr +
					 ((last - first + 1) << PAGE_SHIFT)))
		mapping_moved(owner, first, last);
	mutex_unlock(&owner->lock);
	return mapping;
}

/*
 * A mapping goes while others map the same page offsets. At the end of a move by
 * mremap its entries were handed to the new one, made under the very same
 * mmap_lock; otherwise they were its own. The others come in order of their first page
 * offset: what one has in common with those before it has been dealt with.
 */
static void mapping_unalias(struct som_mapping *mapping)
{
	struct som_owner *owner = mapping->owner;
	unsigned long lo = mapping->it.start, hi = mapping->it.last, next = lo;
	struct interval_tree_node *it;

	if (!owner->may_alias || !owner->dirty_log.on)
		return;
	for (it = interval_tree_iter_first(&owner->mappings, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		struct som_mapping *other = container_of(it, struct som_mapping, it);
		unsigned long first = max(next, it->start);
		unsigned long last = min(hi, it->last);

		if (first > last || (other->dup &&
				     other->dup_seq == som_mm_write_seq(owner->mm)))
			continue;
		/* The dirty bits of one of the VMAs that map them are gone. */
		som_owner_wrote(owner, first, last);
		if (last == hi)
			break;
		next = last + 1;
	}
}

/**
 * som_mapping_inherit - a child's VMA for the page offsets of its parent's
 * @from: mapping of the parent's VMA
 * @owner: the child's
 *
 * Context: Process context; takes the child's owner->lock. Both address spaces'
 * mmap_lock is held for write.
 * Return: the mapping, or ERR_PTR(-ENOMEM).
 */
struct som_mapping *som_mapping_inherit(struct som_mapping *from,
					struct som_owner *owner)
{
	unsigned long first = from->it.start, last = from->it.last;
	struct som_mapping *mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	int ret = 0;

	if (!mapping)
		return ERR_PTR(-ENOMEM);
	mapping->owner = owner;
	som_mapping_copy_settings(mapping, from);
	mapping->reserved = from->reserved && from->fork == SOM_FORK_COPY;
	mapping->dup = from->dup;
	mapping->dup_seq = som_mm_write_seq(owner->mm) - 1;

	mutex_lock(&owner->lock);
	if (mapping->reserved)
		ret = som_reserve_units(owner, som_pgoff_unit(first),
					som_pgoff_unit(last));
	if (!ret) {
		som_mapping_insert(mapping, first, last);
		owner->cursor = from->owner->cursor;
		owner->floor = owner->cursor;
		from->owner->floor = owner->cursor;
		owner->may_alias = from->owner->may_alias;
	}
	mutex_unlock(&owner->lock);
	if (ret) {
		kfree(mapping);
		return ERR_PTR(ret);
	}
	return mapping;
}

/**
 * som_mapping_unmap - a VMA is gone
 * @mapping: its mapping, which is freed
 *
 * Gives back the units that no other VMA touches.
 *
 * Context: Process context; takes owner->lock. The VMA's page table entries
 * are cleared and the TLB is flushed.
 */
void som_mapping_unmap(struct som_mapping *mapping)
{
	struct som_owner *owner = mapping->owner;

	mutex_lock(&owner->lock);
	mapping_remove(mapping);
	mapping_unalias(mapping);
	if (unlikely(mapping_packed(mapping))) {
		som_packing_vma(owner->packing, mapping->vma);
		owner->packing->active = true;
		owner->packing->done = true;
	}
	release_untouched(owner, som_pgoff_unit(mapping->it.start),
			  som_pgoff_unit(mapping->it.last));
	if (unlikely(owner->packing))
		owner->packing->active = false;
	if (RB_EMPTY_ROOT(&owner->mappings.rb_root) &&
	    !atomic_read(&owner->mm->mm_users))
		som_cow_unlink(owner);
	mutex_unlock(&owner->lock);
	if (mapping->file)
		fput(mapping->file);
	kfree(mapping);
}

/**
 * som_mapping_reserve - reserve units of a mapping
 * @mapping: the mapping's mapping
 * @first: first page offset
 * @last: last page offset
 *
 * Units that are reserved already stay so.
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock for
 * write.
 * Return: 0, or -ENOMEM and nothing is changed.
 */
int som_mapping_reserve(struct som_mapping *mapping, unsigned long first,
			unsigned long last)
{
	struct som_owner *owner = mapping->owner;
	int ret;

	mutex_lock(&owner->lock);
	ret = som_reserve_units(owner, som_pgoff_unit(first), som_pgoff_unit(last));
	if (!ret && first <= mapping->it.start && last >= mapping->it.last)
		mapping->reserved = true;
	mutex_unlock(&owner->lock);
	return ret;
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

/*
 * A discarded unit that somebody has a pin on keeps its bytes, as whoever has
 * the pin shall go on seeing them, and the owner gets another one. It waits in
 * owner->deferred_free for the next som_owner_release_discarded(), or for the end of
 * the owner: others may have cleared an entry and not flushed yet. It comes there
 * last of all, when nothing leads to it any more: who finds it there waits for
 * mmap_lock, but not for a fault that has the VMA lock alone.
 *
 * Return: 0; -EDQUOT if it is to be zeroed where it is, for want of a charge; -EAGAIN or
 * -ENOMEM, and it stays discarded.
 */
static int owner_settle_pinned(struct som_owner *owner, unsigned long idx,
			       void *entry)
{
	bool pages = som_entry_test(entry, SOM_ENTRY_PAGE_BACKED);
	unsigned long old = som_entry_unit(entry);
	int ret = -ENOMEM;
	long unit;

	/*
	 * The reservation is the new one's, and the pool may hold the old one for long. Pages
	 * that are pinned are not the pool's.
	 */
	if (!pages && !som_cache_charge(owner->account, 1))
		return -EDQUOT;
	if (xa_reserve(&owner->deferred_free, old, GFP_KERNEL_ACCOUNT))
		goto out_uncharge;
	ret = -EAGAIN;
	unit = som_pool_alloc(owner->account->pool, som_unit_nid(old), NULL);
	if (unit < 0)
		goto out_release;
	som_zap(owner, som_unit_pgoff(idx), SOM_UNIT_PAGES);
	som_entry_replace(owner, idx, unit, ~SOM_ENTRY_CHARGED, SOM_LEVEL_NONE);
	xa_store(&owner->deferred_free, old,
		 som_entry(old, pages ? SOM_ENTRY_PAGE_BACKED : SOM_ENTRY_CHARGED),
		 GFP_NOWAIT);
	return 0;

out_release:
	xa_release(&owner->deferred_free, old);
out_uncharge:
	if (!pages)
		som_account_uncharge(owner->account, 1);
	return ret;
}

/* Might somebody have a pin on a discarded unit? Its fault_lock is held. */
static bool discarded_pinned(struct som_owner *owner, unsigned long idx,
			     void *entry)
{
	/* An entry has a reference to its page, too. */
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED))
		som_zap(owner, som_unit_pgoff(idx), SOM_UNIT_PAGES);
	return som_entry_pinned(entry);
}

/* Do what MADV_DONTNEED has left to do at an index; its fault_lock is held. */
static void owner_settle_unit(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_units_load(&owner->units, idx);
	unsigned long seen;
	int ret = -EDQUOT;

	if (!entry)
		return;
	/* What comes meanwhile stays for the next one. */
	seen = som_entry_bits(entry) & (SOM_ENTRY_DISCARDED | SOM_ENTRY_ZEROED);
	if (!seen)
		return;
	/* It stays discarded then: som_owner_lookup(), som_owner_unit(). */
	if (som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    som_cow_break(owner, idx))
		return;
	if (som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    discarded_pinned(owner, idx, entry))
		ret = owner_settle_pinned(owner, idx, entry);
	/* Nobody zeroes it; the worker takes it out. */
	if (ret && som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    som_pool_poisoned(som_entry_unit(entry)))
		return;
	if (ret == -EDQUOT) {
		som_entry_change(owner, idx, seen, 0);
		if (seen & SOM_ENTRY_DISCARDED)
			som_unit_zero(som_entry_unit(entry));
	} else if (ret) {
		return;
	}
	if (seen & SOM_ENTRY_DISCARDED)
		som_dirty_log_settled(&owner->dirty_log, idx);
	else
		som_dirty_log_wrote(&owner->dirty_log, idx, 0, SOM_UNIT_PAGES);
}

/**
 * som_owner_lock_unit - keep a unit as it is
 * @owner: whose
 * @idx: unit index
 *
 * Context: Process context; takes a fault_lock.
 * Return: the mutex that was locked, for mutex_unlock().
 */
struct mutex *som_owner_lock_unit(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);

	if (unlikely(READ_ONCE(owner->discards)))
		owner_settle_unit(owner, idx);
	return lock;
}

/**
 * som_owner_lock_look - the same, for those to whom a discarded unit is gone already
 * @owner: whose
 * @idx: unit index
 *
 * It stays discarded: to som_owner_lookup() it is -EAGAIN.
 *
 * Context: as som_owner_lock_unit().
 * Return: the mutex that was locked, for mutex_unlock().
 */
struct mutex *som_owner_lock_look(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);
	void *entry;

	if (unlikely(READ_ONCE(owner->discards))) {
		entry = som_units_load(&owner->units, idx);
		if (entry && !som_entry_test(entry, SOM_ENTRY_DISCARDED))
			owner_settle_unit(owner, idx);
	}
	return lock;
}

/**
 * som_owner_wrote - note that pages may have been written, or have to be told once more
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 *
 * Goes by records: what has none was not cleaned. A discarded unit stays so.
 *
 * Context: Process context; takes fault_locks. mmap_lock is held, or the VMA is gone.
 */
void som_owner_wrote(struct som_owner *owner, unsigned long first,
		     unsigned long last)
{
	struct som_region *region;
	unsigned long idx;

	xa_for_each_range(&owner->dirty_log.regions, idx, region,
			  som_pgoff_unit(first), som_pgoff_unit(last)) {
		struct mutex *lock = som_owner_lock_look(owner, idx);
		unsigned long lo = max(first, som_unit_pgoff(idx));
		unsigned long hi = min(last, som_unit_pgoff(idx + 1) - 1);

		som_dirty_log_wrote(&owner->dirty_log, idx,
				    lo - som_unit_pgoff(idx), hi - lo + 1);
		mutex_unlock(lock);
		cond_resched();
	}
}

/*
 * Let the record of a discarded unit know. MADV_DONTNEED may be about to clear its
 * entries; whoever reads it from now on is to see zeroes.
 */
static void owner_settle_region(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);
	void *entry = som_units_load(&owner->units, idx);
	struct som_region *region = som_dirty_log_find(&owner->dirty_log, idx);

	if (region && !region->discarded && entry &&
	    som_entry_test(entry, SOM_ENTRY_DISCARDED)) {
		som_zap(owner, som_unit_pgoff(idx), SOM_UNIT_PAGES);
		som_dirty_log_discarded(&owner->dirty_log, idx);
	}
	mutex_unlock(lock);
}

/**
 * som_owner_settle - let records know of what MADV_DONTNEED has zeroed or discarded
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * For those who look at records alone. Others in the same leaves are told of, too.
 *
 * Context: Process context; takes fault_locks. Cheap where there was no such
 * MADV_DONTNEED since the last call.
 * Return: up to which index it is done: @last, if there is not too much.
 */
unsigned long som_owner_settle(struct som_owner *owner, unsigned long first,
			       unsigned long last)
{
	unsigned long idx = round_down(first, SOM_TABLE_UNITS);
	unsigned long end = last | (SOM_TABLE_UNITS - 1);
	unsigned int nr = 0;
	void *entry;

	if (!READ_ONCE(owner->discards))
		return last;
	for (; (entry = som_units_find_hinted(&owner->units, &idx, end,
					      SOM_HINT_UNTOLD)); idx++) {
		if (som_entry_test(entry, SOM_ENTRY_DISCARDED))
			owner_settle_region(owner, idx);
		else if (som_entry_test(entry, SOM_ENTRY_ZEROED))
			mutex_unlock(som_owner_lock_unit(owner, idx));
		/* To the end of the table: its hint has been taken. */
		if (++nr == SOM_TRACK_UNITS)
			end = min(end, idx | (SOM_TABLE_UNITS - 1));
		cond_resched();
	}
	return min(last, end);
}

/**
 * som_owner_lookup - the unit at an index, if there is one
 * @owner: whose
 * @idx: unit index
 *
 * Its memory may have failed: som_pool_poisoned() is to be asked by who looks at it.
 *
 * Context: som_owner_lock_unit() is held.
 * Return: unit number, or -ENOENT; -EAGAIN if there is one that cannot be told right
 * now, -ENOSPC if it cannot be had, both only after a fork.
 */
long som_owner_lookup(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_units_load(&owner->units, idx);
	int ret;

	if (!entry && READ_ONCE(owner->cow.inherited)) {
		ret = som_cow_pull(owner, idx);
		if (ret)
			return ret;
		entry = som_units_load(&owner->units, idx);
	}
	if (!entry)
		return -ENOENT;
	return som_entry_test(entry, SOM_ENTRY_DISCARDED) ?
		-EAGAIN : som_entry_unit(entry);
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
	void *entry = som_units_load(&owner->units, idx);

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
	entry = som_units_load(&owner->units, idx);
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
	void *entry = som_units_load(&owner->units, idx);

	return entry && (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ||
			 som_pool_pinned(som_entry_unit(entry)));
}

/* Would a table have to be made, beyond what the owner may have? */
static bool table_refused(struct som_mapping *mapping, unsigned long idx)
{
	struct som_owner *owner = mapping->owner;

	return !mapping->reserved && !som_units_entryp(&owner->units, idx) &&
	       !mtree_load(&owner->reserved, idx) &&
	       !som_owner_may_record(owner);
}

/**
 * som_owner_entryp - where the entry of an index is
 * @mapping: mapping of a mapping that touches the index; it remembers the table: as long as it
 *	touches it, the table stays
 * @idx: unit index
 *
 * Context: Process context; mmap_lock or the VMA lock is held.
 * Return: the place, or NULL without memory for it, or if the owner has too many records.
 */
void **som_owner_entryp(struct som_mapping *mapping, unsigned long idx)
{
	struct som_table *table = READ_ONCE(mapping->table);

	if (unlikely(!table || table->nr != idx / SOM_TABLE_UNITS)) {
		if (table_refused(mapping, idx))
			return NULL;
		table = som_units_table(&mapping->owner->units, idx);
		if (!table)
			return NULL;
		WRITE_ONCE(mapping->table, table);
	}
	return &table->entry[idx % SOM_TABLE_UNITS];
}

/* A unit that the owner has kept, or one of the pool; @zeroed: whether it is zero. */
static long owner_take_unit(struct som_mapping *mapping, unsigned long idx, bool *zeroed)
{
	struct som_owner *owner = mapping->owner;
	long unit = som_cache_take(&owner->cache);

	*zeroed = true;
	if (unlikely(unit >= 0 && som_pool_poisoned(unit))) {
		som_pool_free(unit);
		unit = -ENOENT;
	}
	if (likely(unit < 0))
		return som_numa_alloc(owner->account->pool, mapping->vma, idx);
	*zeroed = !mapping->reuse;
	if (*zeroed)
		som_unit_zero(unit);
	return unit;
}

/*
 * Ordinary pages for a unit that is about to be mapped by 4 KiB entries, if it shall have
 * some. Negative, if it shall not or cannot: then it is one of the pool.
 */
static long owner_take_pages(struct som_mapping *mapping, unsigned long idx,
			     enum som_level level)
{
	if (likely(level != SOM_LEVEL_4K || !mapping->auto_convert) ||
	    som_dirty_log_tracks(&mapping->owner->dirty_log, idx))
		return -ENOENT;
	return som_page_backed_alloc(mapping->owner->account, true);
}

/* Populate an index that has no unit; @entryp is its place, @level: as it will be mapped. */
static long owner_populate_unit(struct som_mapping *mapping, unsigned long idx, void **entryp,
				enum som_level level)
{
	struct som_owner *owner = mapping->owner;
	bool charged = false, zeroed;
	unsigned long kind = 0;
	long unit;
	int ret;

	if (!mapping->reserved && !mtree_load(&owner->reserved, idx)) {
		charged = som_cache_charge(owner->account, 1);
		if (!charged)
			return -ENOSPC;
	}
	unit = owner_take_pages(mapping, idx, level);
	if (unlikely(unit >= 0)) {
		kind = SOM_ENTRY_PAGE_BACKED | SOM_ENTRY_BY_POLICY;
		atomic_long_inc(&owner->nr_page_backed);
		zeroed = true;
	} else {
		unit = owner_take_unit(mapping, idx, &zeroed);
	}
	if (unit < 0) {
		ret = unit;
		goto out_uncharge;
	}
	WRITE_ONCE(*entryp, som_entry(unit, level | kind |
					  (charged ? SOM_ENTRY_CHARGED : 0)));
	atomic_long_inc(&owner->nr_level[level]);
	/* Pairs with the barrier in som_dirty_log_add(). */
	smp_mb();
	/* What is there without a record counts as written. */
	if (som_dirty_log_tracks(&owner->dirty_log, idx) &&
	    !som_dirty_log_make(&owner->dirty_log, idx, zeroed)) {
		void *entry = som_units_erase(&owner->units, idx);

		/* owner_take_charges() may have taken over the charge. */
		charged = som_entry_test(entry, SOM_ENTRY_CHARGED);
		som_entry_forget(owner, entry);
		ret = -ENOMEM;
		goto out_free;
	}
	return unit;

out_free:
	if (kind)
		som_page_backed_free(unit);
	else
		som_pool_free(unit);
out_uncharge:
	if (charged)
		som_account_uncharge(owner->account, 1);
	return ret;
}

/* What has failed and is pinned may stay where it is for long: that is not waited for. */
static int discarded_error(const void *entry)
{
	unsigned long unit = som_entry_unit(entry);

	return som_pool_poisoned(unit) && som_pool_pinned(unit) ?
		-EHWPOISON : -EAGAIN;
}

/**
 * som_owner_unit - the unit at an index, taken from the pool if need be
 * @mapping: mapping of a mapping that touches the index
 * @idx: unit index
 * @level: how a unit that is new will most likely be mapped, by the caller; and where it
 *	goes how one that is there is mapped
 *
 * Context: Process context; som_owner_lock_unit() is held.
 * Return: unit number; -ENOSPC if the pool has none for who has no reservation;
 * -EAGAIN if one is on its way back from a former owner; -ENOMEM if the kernel
 * has no memory for the entry; -ENOENT if a core dump finds none; -EHWPOISON if its
 * memory has failed.
 */
long som_owner_unit(struct som_mapping *mapping, unsigned long idx,
		    enum som_level *level)
{
	void **entryp = som_owner_entryp(mapping, idx), *entry;
	long unit;
	int ret;

	if (!entryp)
		return table_refused(mapping, idx) ? -ENOSPC : -ENOMEM;
	entry = READ_ONCE(*entryp);
	if (!entry && unlikely(READ_ONCE(mapping->owner->cow.inherited))) {
		ret = som_cow_pull(mapping->owner, idx);
		if (ret)
			return ret;
		entry = READ_ONCE(*entryp);
	}
	if (likely(!entry)) {
		unit = som_dumping() ? -ENOENT :
				       owner_populate_unit(mapping, idx, entryp, *level);
		if (unlikely(unit < 0))
			return unit;
	} else {
		if (unlikely(som_entry_test(entry, SOM_ENTRY_DISCARDED)))
			return discarded_error(entry);
		*level = som_entry_level(entry);
		unit = som_entry_unit(entry);
	}
	/* Behind the entry: what is poisoned later is found by it (hwpoison.c). */
	return unlikely(som_pool_poisoned(unit)) ? -EHWPOISON : unit;
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
	void *entry = som_units_load(&owner->units, idx);

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
	return som_units_find(&owner->units, idx, last);
}

/* A record for a populated unit that tracking has just come to. */
static int track_unit(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_unit(owner, idx);
	int ret = 0;

	if (som_owner_lookup(owner, idx) >= 0 && !som_dirty_log_find(&owner->dirty_log, idx)) {
		if (!som_dirty_log_make(&owner->dirty_log, idx, false))
			ret = -ENOMEM;
	}
	/* What is page-backed by policy is to go back, to be exact to the page. */
	if (som_owner_page_backed(owner, idx))
		som_collapse_want(owner, idx);
	mutex_unlock(lock);
	return ret;
}

/**
 * som_owner_track - track writes, as far as that is done at a time
 * @owner: whose
 * @first: first unit index
 * @last: last unit index, and where it goes up to which all are tracked
 *
 * What is populated and was not tracked counts as written until it is cleaned. No
 * more records are made at a time than a scan looks at with its locks held.
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock and
 * dirty log.lock, and mappings touch all of the indices.
 * Return: 0, or -ENOMEM and nothing is changed.
 */
int som_owner_track(struct som_owner *owner, unsigned long first,
		    unsigned long *last)
{
	struct som_dirty_log *t = &owner->dirty_log;
	unsigned long idx, end;
	unsigned int nr = 0;
	bool tracked;
	void *entry;
	int ret;

	if (som_dirty_log_covers(t, first, *last))
		return 0;
	/* One run of those that are not tracked, so that it alone is undone. */
	end = som_dirty_log_run(t, first, *last, &tracked);
	if (tracked) {
		first = end + 1;
		end = som_dirty_log_run(t, first, *last, &tracked);
	}

	mutex_lock(&owner->lock);
	som_units_for_each(&owner->units, idx, entry, first, end) {
		if (++nr == SOM_TRACK_UNITS) {
			end = idx;
			break;
		}
	}
	ret = som_dirty_log_add(t, first, end, som_records_max(owner) / SOM_RUN_BYTES);
	if (ret)
		goto out;
	som_units_for_each(&owner->units, idx, entry, first, end) {
		ret = track_unit(owner, idx);
		if (ret)
			break;
		cond_resched();
	}
	if (ret)
		som_owner_untrack(owner, first, end);
	else
		*last = end;
out:
	mutex_unlock(&owner->lock);
	return ret;
}

/**
 * som_owner_keep - keep what counts as written of an index that is about to be tracked
 * @owner: whose
 * @idx: unit index
 * @first: first page offset of those that need not be kept
 * @last: last of them
 *
 * Where nothing is tracked, what was mapped anew counts as written (struct som_mapping). A
 * record has to say so from then on.
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock and
 * dirty log.lock.
 * Return: true; false if there can be no record.
 */
bool som_owner_keep(struct som_owner *owner, unsigned long idx,
		    unsigned long first, unsigned long last)
{
	struct som_dirty_log *t = &owner->dirty_log;
	unsigned long lo = som_unit_pgoff(idx), hi = som_unit_pgoff(idx + 1) - 1;
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES) = {};
	struct interval_tree_node *it;
	struct mutex *lock;
	bool done = true;

	if (!READ_ONCE(t->anew))
		return true;
	mutex_lock(&owner->lock);
	for (it = interval_tree_iter_first(&owner->mappings, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		unsigned long from = max(lo, it->start), to = min(hi, it->last);

		if (container_of(it, struct som_mapping, it)->anew)
			bitmap_set(pages, from - lo, to - from + 1);
		cond_resched();
	}
	first = max(first, lo);
	last = min(last, hi);
	if (first <= last)
		bitmap_clear(pages, first - lo, last - first + 1);
	lock = som_owner_lock_index(owner, idx);
	if (bitmap_empty(pages, SOM_UNIT_PAGES) || som_dirty_log_tracks(t, idx))
		done = true;
	else if (!som_units_load(&owner->units, idx))
		done = som_owner_may_record(owner) &&
		       !som_dirty_log_unreported(t, idx, pages,
						 GFP_KERNEL_ACCOUNT);
	else if (!som_dirty_log_find(t, idx))
		done = som_dirty_log_make(t, idx, false);
	mutex_unlock(lock);
	mutex_unlock(&owner->lock);
	return done;
}

/* Track first..last, all of which were reported; nobody else maps any of it. */
static int track_reported(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	unsigned long idx = som_pgoff_unit(first), end = som_pgoff_unit(last);
	unsigned long done;
	int ret = 0;

	if (!som_owner_keep(owner, idx, first, last) ||
	    (end != idx && !som_owner_keep(owner, end, first, last)))
		return -ENOMEM;
	for (; idx <= end && !ret; idx = done + 1) {
		done = end;
		ret = som_owner_track(owner, idx, &done);
		cond_resched();
	}
	return ret;
}

/* The first part of first..last that another VMA maps, too; false if there is none. */
static bool owner_find_other(struct som_mapping *mapping, unsigned long *first,
			     unsigned long *last)
{
	struct som_owner *owner = mapping->owner;
	struct interval_tree_node *it;

	if (!READ_ONCE(owner->may_alias))
		return false;
	mutex_lock(&owner->lock);
	it = interval_tree_iter_first(&owner->mappings, *first, *last);
	if (it == &mapping->it)
		it = interval_tree_iter_next(it, *first, *last);
	if (it) {
		*first = max(*first, it->start);
		*last = min(*last, it->last);
	}
	mutex_unlock(&owner->lock);
	return it;
}

/**
 * som_owner_reported - track what was mapped anew, as it was reported as written
 * @mapping: mapping of the mapping
 * @first: first page offset
 * @last: last page offset
 *
 * Without memory for that, it is reported once more; and so are units of which others map
 * the same pages, since what one of them shows was not reported of the other.
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock and
 * dirty log.lock.
 */
void som_owner_reported(struct som_mapping *mapping, unsigned long first,
			unsigned long last)
{
	unsigned long from, to;
	int ret = 0;

	while (first <= last && !ret) {
		from = first;
		to = last;
		if (owner_find_other(mapping, &from, &to)) {
			from = som_unit_pgoff(som_pgoff_unit(from));
			to = som_unit_pgoff(som_pgoff_unit(to) + 1) - 1;
		} else {
			from = last + 1;
			to = last;
		}
		if (first < from)
			ret = track_reported(mapping->owner, first, from - 1);
		first = to + 1;
	}
}

/**
 * som_owner_find_alias - the same as som_owner_aliased(), where mremap was used
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 *
 * Context: as som_owner_aliased(); takes owner->lock.
 * Return: as som_owner_aliased().
 */
bool som_owner_find_alias(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	struct interval_tree_node *it;
	bool aliased;

	mutex_lock(&owner->lock);
	it = interval_tree_iter_first(&owner->mappings, first, last);
	aliased = it && interval_tree_iter_next(it, first, last);
	mutex_unlock(&owner->lock);
	return aliased;
}

/**
 * som_mapping_run - are a private mapping's page offsets now mapped elsewhere?
 * @mapping: mapping of the mapping
 * @first: first page offset
 * @last: last page offset
 * @superseded: where it goes whether @first is
 *
 * That is how MREMAP_DONTUNMAP, and mremap from length 0, leave a mapping. Anonymous
 * memory would read as zero there; som refuses access.
 *
 * Context: mmap_lock or the VMA lock is held; takes owner->mapping_lock, for some mappings at a
 * time.
 * Return: up to which page offset it is the same, as far as it has looked, at most @last.
 */
unsigned long som_mapping_run(struct som_mapping *mapping, unsigned long first,
			      unsigned long last, bool *superseded)
{
	struct som_owner *owner = mapping->owner;
	struct interval_tree_node *it;
	unsigned long end = last;
	unsigned int seen = 0;

	*superseded = false;
	if (!som_mapping_may_be_superseded(mapping))
		return last;
	spin_lock(&owner->mapping_lock);
	for (it = interval_tree_iter_first(&owner->mappings, first, last); it;
	     it = interval_tree_iter_next(it, first, last)) {
		bool newer = container_of(it, struct som_mapping, it)->generation >
			     mapping->generation;

		/* They come in order: nothing behind this one is of this run. */
		if (it->start > first && (newer || *superseded ||
					  ++seen == SOM_RUN_MAPPINGS)) {
			last = *superseded ? last : it->start - 1;
			break;
		}
		if (newer) {
			last = *superseded ? max(last, it->last) : it->last;
			*superseded = true;
		}
	}
	spin_unlock(&owner->mapping_lock);
	return min(last, end);
}

/**
 * som_mapping_crowded - has mremap made too many mappings of something?
 * @mapping: mapping of the new mapping
 *
 * Context: Process context; mmap_lock is held for write. Takes owner->lock.
 * Return: true if a page offset has more than SOM_MAX_ALIASES mappings, the one that is
 * moved, if any, among them.
 */
bool som_mapping_crowded(struct som_mapping *mapping)
{
	unsigned long first = mapping->it.start, last = mapping->it.last;
	unsigned long ends[SOM_MAX_ALIASES];	/* of those that lie over one */
	struct som_owner *owner = mapping->owner;
	struct interval_tree_node *it;
	unsigned int nr = 0, i, left;

	mutex_lock(&owner->lock);
	for (it = interval_tree_iter_first(&owner->mappings, first, last); it;
	     it = interval_tree_iter_next(it, first, last)) {
		cond_resched();
		for (i = left = 0; i < nr; i++) {
			if (ends[i] >= it->start)
				ends[left++] = ends[i];
		}
		nr = left;
		if (nr == SOM_MAX_ALIASES)
			break;
		ends[nr++] = it->last;
	}
	mutex_unlock(&owner->lock);
	return it;
}

/**
 * som_owner_superseded - the same, of all private mappings of some page offsets
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 *
 * Context: Process context; takes owner->lock. The caller has no lock that comes below.
 * Return: true if so.
 */
bool som_owner_superseded(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	struct interval_tree_node *it;
	bool found = false;

	if (!READ_ONCE(owner->may_alias))
		return false;
	mutex_lock(&owner->lock);
	it = interval_tree_iter_first(&owner->mappings, first, last);
	for (; it && !found; it = interval_tree_iter_next(it, first, last)) {
		unsigned long lo = max(first, it->start);
		unsigned long hi = min(last, it->last);

		cond_resched();
		if (!container_of(it, struct som_mapping, it)->private)
			continue;
		found = interval_tree_iter_first(&owner->mappings, lo, hi) != it ||
			interval_tree_iter_next(it, lo, hi);
	}
	mutex_unlock(&owner->lock);
	return found;
}

/**
 * som_owner_maps_2m - may a VMA have 2 MiB entries?
 * @vma: a som VMA
 *
 * Context: mmap_lock is held.
 * Return: true unless somebody said that it shall not.
 */
bool som_owner_maps_2m(const struct vm_area_struct *vma)
{
	const struct som_mapping *mapping = vma->vm_private_data;

	return !(vma->vm_flags & VM_NOHUGEPAGE) &&
	       mapping->map_size >= SOM_UNIT_SIZE;
}

/**
 * som_owner_maps_once - does exactly one VMA touch a unit, and for sure?
 * @owner: whose
 * @idx: unit index
 *
 * Context: The caller has mmap_lock. Does not wait for owner->lock.
 * Return: true if so; false may also mean that it could not be found out.
 */
bool som_owner_maps_once(struct som_owner *owner, unsigned long idx)
{
	unsigned long lo = som_unit_pgoff(idx);
	unsigned long hi = som_unit_pgoff(idx + 1) - 1;
	struct interval_tree_node *it;
	bool once;

	if (!mutex_trylock(&owner->lock))
		return false;
	it = interval_tree_iter_first(&owner->mappings, lo, hi);
	once = it && !interval_tree_iter_next(it, lo, hi);
	mutex_unlock(&owner->lock);
	return once;
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
