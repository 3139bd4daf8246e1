// SPDX-License-Identifier: GPL-2.0
/*
 * An owner: one address space, the units it holds and those it was promised.
 *
 * Every mmap gets page offsets of its own (range.h); a unit is found by its
 * index, page offset >> 9, in owner->units. Splitting, moving and shrinking a
 * VMA leave its page offsets as they are, so they leave the unit where it is.
 *
 * Each VMA has a span, its interval of page offsets, in owner->spans. The span
 * goes when the VMA is closed, and that is after its page table entries were
 * cleared and the TLB flushed. So a unit that no span touches is mapped by
 * nobody, and it is given back then and there. Two munmaps of two parts of a
 * unit at the same time are no problem: whichever closes last gives it back.
 *
 * The other way to lose a unit is below living VMAs: punch.c.
 *
 * Promises are ranges of unit indices in owner->promised, each index charged
 * to the pool once. A unit outside of them is charged by itself when it is
 * taken. Nobody looks at promises of a unit that no span touches.
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

/* Spans that are looked at for each hold of span_lock. */
#define SOM_RUN_SPANS	256

static atomic_long_t som_owner_ids = ATOMIC_LONG_INIT(0);

/*
 * Most of what is recorded of an owner goes by the units that it has, or by its VMAs. Two
 * kinds of records go by addresses, which cost nothing: leaves, one for each 256 unit
 * indices of which one was touched, and the runs of tracked indices. So do records of what
 * a scan has reported in part of units without memory. They are bounded
 * by the units that there can be, by VMAs, and by something for everybody, in bytes.
 * What is promised is always recorded: the pool bounds that.
 */
#define SOM_RECORDS_ALL		SZ_16M
#define SOM_RECORDS_UNIT	SZ_8K
#define SOM_RECORDS_VMA		SZ_4K
/* With the nodes of the trees that they are in. */
#define SOM_LEAF_BYTES		(sizeof(struct som_leaf) + 640)
#define SOM_RUN_BYTES		64
#define SOM_RECORD_BYTES	(sizeof(struct som_record) + 16)

static unsigned long max_records;
module_param(max_records, ulong, 0644);
MODULE_PARM_DESC(max_records, "KiB of records that one process may need for scattered use of its addresses (default 0: 16 MiB, 8 KiB for each unit of the pool and 4 KiB for each mapping)");

static unsigned long records_max(struct som_owner *owner)
{
	unsigned long max = READ_ONCE(max_records);

	if (max)
		return size_mul(max, SZ_1K);
	return SOM_RECORDS_ALL + som_pool_units() * SOM_RECORDS_UNIT +
	       READ_ONCE(owner->mm->map_count) * SOM_RECORDS_VMA;
}

static unsigned long records_now(struct som_owner *owner)
{
	return atomic_long_read(&owner->units.nr_leaves) * SOM_LEAF_BYTES +
	       READ_ONCE(owner->tracker.nr_ranges) * SOM_RUN_BYTES +
	       atomic_long_read(&owner->tracker.nr_dropped) * SOM_RECORD_BYTES;
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
	return records_now(owner) < records_max(owner);
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
	som_recycle_init(&owner->recycle, owner->account, mm);
	owner->id = atomic_long_inc_return(&som_owner_ids);
	owner->pid = get_pid(task_tgid(current));
	mutex_init(&owner->lock);
	mutex_init(&owner->gig_lock);
	spin_lock_init(&owner->span_lock);
	for (i = 0; i < SOM_FAULT_LOCKS; i++)
		mutex_init(&owner->fault_lock[i]);
	som_units_init(&owner->units);
	xa_init_flags(&owner->limbo, XA_FLAGS_ACCOUNT);
	som_share_init(&owner->share);
	INIT_LIST_HEAD(&owner->heirs);
	owner->spans = RB_ROOT_CACHED;
	mt_init_flags(&owner->promised, SOM_MT_FLAGS);
	mt_set_external_lock(&owner->promised, &owner->lock);
	som_tracker_init(&owner->tracker, &owner->lock);
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

	som_share_destroy(owner);
	xa_for_each(&owner->limbo, unit, entry)
		som_entry_drop(owner, entry);
	xa_destroy(&owner->limbo);
	WARN_ON_ONCE(!som_units_destroy(&owner->units) || owner->nr_promised);
	mutex_lock(&owner->lock);
	__mt_destroy(&owner->promised);
	som_tracker_destroy(&owner->tracker);
	mutex_unlock(&owner->lock);
	som_recycle_destroy(&owner->recycle);
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
	stats->nr_promised = owner->nr_promised;
	mutex_unlock(&owner->lock);
	for (i = 0; i < SOM_LEVELS; i++)
		stats->nr_level[i] = atomic_long_read(&owner->nr_level[i]);
	stats->nr_pinnable = atomic_long_read(&owner->nr_pinnable);
	stats->records = records_now(owner);
	stats->max_records = records_max(owner);
}

/**
 * som_owner_set_pid - note that an owner is the current process's
 * @owner: the owner of its address space
 *
 * An heir is made before its process is.
 *
 * Context: Any; takes owner->span_lock.
 */
void som_owner_set_pid(struct som_owner *owner)
{
	struct pid *pid = task_tgid(current);

	if (READ_ONCE(owner->pid) == pid)
		return;
	spin_lock(&owner->span_lock);
	swap(owner->pid, pid);
	get_pid(owner->pid);
	spin_unlock(&owner->span_lock);
	put_pid(pid);
}

/**
 * som_owner_pid - the process ID of an owner
 * @owner: whose
 * @ns: namespace of whoever is told
 *
 * Context: Any; takes owner->span_lock.
 * Return: the ID, or 0 if that namespace does not know the process.
 */
pid_t som_owner_pid(struct som_owner *owner, struct pid_namespace *ns)
{
	pid_t nr;

	spin_lock(&owner->span_lock);
	nr = pid_nr_ns(owner->pid, ns);
	spin_unlock(&owner->span_lock);
	return nr;
}

/* How many indices of first..last are promised. */
static unsigned long promised_in(struct som_owner *owner, unsigned long first,
				 unsigned long last)
{
	MA_STATE(mas, &owner->promised, first, first);
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
static unsigned long take_charges(struct som_owner *owner, unsigned long first,
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

/* Undo take_charges(): what is over was of units that are gone, or are promised. */
static void return_charges(struct som_owner *owner, unsigned long first,
			   unsigned long last, unsigned long nr)
{
	unsigned long idx;
	void *entry;

	som_units_for_each(&owner->units, idx, entry, first, last) {
		if (!nr)
			break;
		if (som_entry_test(entry, SOM_ENTRY_CHARGED) ||
		    mtree_load(&owner->promised, idx))
			continue;
		entry = som_entry_change(owner, idx, 0, SOM_ENTRY_CHARGED);
		nr -= !!entry;
	}
	som_account_uncharge(owner->account, nr);
}

/* Promise all of first..last: see som_span_promise(). */
static int promise_units(struct som_owner *owner, unsigned long first,
			 unsigned long last)
{
	MA_STATE(mas, &owner->promised, first, last);
	unsigned long need, taken, charged = 0;
	int ret = -ENOMEM;

	lockdep_assert_held(&owner->lock);

	need = last - first + 1 - promised_in(owner, first, last);
	if (!need)
		return 0;
	/* Units charged by themselves bring their charge along. */
	taken = take_charges(owner, first, last);
	if (taken < need) {
		if (!som_recycle_charge(owner->account, need - taken))
			goto out_return;
		charged = need - taken;
	}
	ret = som_mas_store(&mas, xa_mk_value(1), GFP_KERNEL_ACCOUNT);
	if (ret)
		goto out_uncharge;
	owner->nr_promised += need;
	/* And those of faults that did not see the promise yet. */
	taken += take_charges(owner, first, last);
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
		       unsigned long first, bool promise)
{
	MA_STATE(mas, &owner->promised, first, first + claim->nr - 1);
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
	holes = promise ? claim->nr - claim->nr_units : 0;
	if (!som_recycle_transfer(payer, owner->account, claim->nr_units))
		goto out_abort;
	if (!som_recycle_charge(owner->account, holes))
		goto out_return;
	ret = promise ? som_mas_store(&mas, xa_mk_value(1), GFP_KERNEL_ACCOUNT) : 0;
	if (ret)
		goto out_uncharge;
	if (promise)
		owner->nr_promised += claim->nr;
	atomic_long_add(claim->nr_units, &owner->nr_level[SOM_LEVEL_NONE]);
	som_parcel_claim_end(claim, &owner->units, first, SOM_LEVEL_NONE |
			     (promise ? 0 : SOM_ENTRY_CHARGED));
	return 0;

out_uncharge:
	som_account_uncharge(owner->account, holes);
out_return:
	som_account_return(payer, owner->account, claim->nr_units);
out_abort:
	som_parcel_claim_abort(claim);
	return ret;
}

/* The end of all promises in first..last. Return: how many charges there were. */
static unsigned long unpromise(struct som_owner *owner, unsigned long first,
			       unsigned long last)
{
	MA_STATE(mas, &owner->promised, first, last);
	unsigned long nr = promised_in(owner, first, last);

	if (!nr)
		return 0;
	som_mas_store(&mas, NULL, GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	owner->nr_promised -= nr;
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
	void **slot, *old = NULL, *new = NULL;

	rcu_read_lock();
	slot = som_units_slot(&owner->units, idx);
	if (slot)
		old = READ_ONCE(*slot);
	while (old) {
		new = som_entry(unit == SOM_UNIT_SAME ? som_entry_unit(old) :
							unit,
				(som_entry_bits(old) & ~clear) | set);
		if (new == old || try_cmpxchg(slot, &old, new))
			break;
	}
	rcu_read_unlock();
	if (!old)
		return NULL;
	if (set & SOM_ENTRY_DISCARDED)
		som_units_hint(&owner->units, idx, SOM_HINT_DISCARDED);
	/* Pairs with the barrier in som_tracker_add(). */
	if (set & SOM_ENTRY_ZEROED ||
	    (set & SOM_ENTRY_DISCARDED && READ_ONCE(owner->tracker.on)))
		som_units_hint(&owner->units, idx, SOM_HINT_UNTOLD);
	if (som_entry_level(old) != som_entry_level(new)) {
		atomic_long_dec(&owner->nr_level[som_entry_level(old)]);
		atomic_long_inc(&owner->nr_level[som_entry_level(new)]);
	}
	if (som_entry_test(old, SOM_ENTRY_PINNABLE) !=
	    som_entry_test(new, SOM_ENTRY_PINNABLE))
		atomic_long_add(som_entry_test(new, SOM_ENTRY_PINNABLE) ? 1 : -1,
				&owner->nr_pinnable);
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
	if (som_entry_test(entry, SOM_ENTRY_PINNABLE))
		atomic_long_dec(&owner->nr_pinnable);
}

/*
 * Give up memory that nothing maps any more: it goes back to the kernel, is kept by its
 * owner, becomes free, or is held by the pool if it may be pinned. @ended: each
 * unit has a charge, if not its own, then of a promise that ends; otherwise those that
 * have none are known not to be pinned. Return: how many charges are still needed.
 */
static unsigned int put_entries(struct som_owner *owner, void **entries,
				unsigned int nr, bool ended)
{
	unsigned int i, nr_units = 0, needed = 0;
	unsigned long units[SOM_BATCH];
	bool keep = som_recycle_on();

	for (i = 0; i < nr; i++) {
		bool charged = ended ||
			       som_entry_test(entries[i], SOM_ENTRY_CHARGED);
		unsigned long unit = som_entry_unit(entries[i]);

		if (som_entry_test(entries[i], SOM_ENTRY_PINNABLE))
			som_pinnable_free(unit);
		else if (keep &&
			 som_recycle_keep(&owner->recycle, unit, charged))
			needed += charged;
		else if (!charged)
			som_pool_free(unit);
		else
			units[nr_units++] = unit;
	}
	nr_units = som_pool_free_units(units, nr_units);
	if (unlikely(nr_units))
		som_account_hold(owner->account, units, nr_units);
	return needed + nr_units;
}

/* How many entries have a charge of their own. */
static unsigned int count_charged(void **entries, unsigned int nr)
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
	unsigned int charged = count_charged(entries, nr);

	som_account_uncharge(owner->account, charged -
			     put_entries(owner, entries, nr, false));
}

/**
 * som_entry_pinned - might somebody other than its owner hold a unit's memory?
 * @entry: the unit's entry
 *
 * Where the unit is pinnable, the answer is only right when nothing maps it.
 *
 * Context: Any.
 * Return: true if so.
 */
bool som_entry_pinned(const void *entry)
{
	unsigned long unit = som_entry_unit(entry);

	return som_entry_test(entry, SOM_ENTRY_PINNABLE) ?
		som_pinnable_pinned(unit) : som_pool_pinned(unit);
}

/* Entries have left owner->units. */
static void forget_entries(struct som_owner *owner, void **entries,
			   unsigned int nr)
{
	unsigned long levels[SOM_LEVELS] = {}, nr_pinnable = 0;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		levels[som_entry_level(entries[i])]++;
		nr_pinnable += som_entry_test(entries[i], SOM_ENTRY_PINNABLE);
	}
	for (i = 0; i < SOM_LEVELS; i++)
		if (levels[i])
			atomic_long_sub(levels[i], &owner->nr_level[i]);
	if (nr_pinnable)
		atomic_long_sub(nr_pinnable, &owner->nr_pinnable);
}

/* Does a span touch an index of the leaf that an index is in? */
static bool leaf_touched(struct som_owner *owner, unsigned long idx)
{
	unsigned long first = round_down(idx, SOM_LEAF_UNITS);

	return interval_tree_iter_first(&owner->spans, som_unit_pgoff(first),
					som_unit_pgoff(first + SOM_LEAF_UNITS) - 1);
}

/* The leaves of first..last go, but for those that a span needs. */
static void prune_leaves(struct som_owner *owner, unsigned long first,
			 unsigned long last)
{
	if (leaf_touched(owner, first))
		first = round_down(first, SOM_LEAF_UNITS) + SOM_LEAF_UNITS;
	if (first <= last && leaf_touched(owner, last))
		last = round_down(last, SOM_LEAF_UNITS) - 1;
	if (first <= last)
		som_units_prune(&owner->units, first, last);
}

/*
 * Is a span that goes one of a VMA that the current task closes for SOM_IOC_PACK? What a
 * mapping that has failed may have left over (remap.c) has no VMA.
 */
static bool span_packed(const struct som_span *span)
{
	const struct som_packing *packing = span->owner->packing;

	return packing && packing->task == current && span->vma;
}

/* Give back all units in first..last, which no span touches. */
static void release_units(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	unsigned long idx = first, charges = 0;
	void *batch[SOM_BATCH];
	unsigned int nr;

	lockdep_assert_held(&owner->lock);

	som_share_drop(owner, first, last);
	if (unlikely(owner->packing && owner->packing->active))
		charges -= som_parcel_take(owner->packing, first, last);
	if (owner->share.lent)
		charges -= som_share_bequeath(owner, first, last);
	do {
		nr = som_units_take(&owner->units, &idx, last, batch, SOM_BATCH);
		forget_entries(owner, batch, nr);
		charges += count_charged(batch, nr);
		charges -= put_entries(owner, batch, nr, true);
		cond_resched();
	} while (nr == SOM_BATCH);
	prune_leaves(owner, first, last);
	if (owner->tracker.on)
		som_tracker_remove(&owner->tracker, first, last);
	charges += unpromise(owner, first, last);
	som_account_uncharge(owner->account, charges);
}

/* Give back the units in first..last that no span touches any more. */
static void release_untouched(struct som_owner *owner, unsigned long first,
			      unsigned long last)
{
	unsigned long lo = som_unit_pgoff(first);
	unsigned long hi = som_unit_pgoff(last + 1) - 1;
	struct interval_tree_node *it;

	for (it = interval_tree_iter_first(&owner->spans, lo, hi); it;
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
 * som_span_insert - add a span to its owner's tree
 * @span: the span
 * @first: its first page offset
 * @last: its last page offset
 *
 * Context: owner->lock is held.
 */
void som_span_insert(struct som_span *span, unsigned long first,
		     unsigned long last)
{
	lockdep_assert_held(&span->owner->lock);

	span->it.start = first;
	span->it.last = last;
	spin_lock(&span->owner->span_lock);
	interval_tree_insert(&span->it, &span->owner->spans);
	spin_unlock(&span->owner->span_lock);
	span->owner->mapped_pages += last - first + 1;
	span->owner->nr_spans++;
}

static void span_remove(struct som_span *span)
{
	span->leaf = NULL;
	span->owner->mapped_pages -= span->it.last - span->it.start + 1;
	span->owner->nr_spans--;
	spin_lock(&span->owner->span_lock);
	interval_tree_remove(&span->it, &span->owner->spans);
	spin_unlock(&span->owner->span_lock);
}

/*
 * Half of the page offsets have been given out: those behind the last mapping are given
 * out again. Nobody may be about to punch them out: a madvise(MADV_REMOVE) that began
 * before the last munmap, or a call of the driver's, has a reference to the owner's file
 * beside those that are known: of each mapping, of open files, and the caller's. None
 * can begin now, as mmap_lock is held for write.
 *
 * What was inherited has files of its own, which are not counted: the page offsets of an
 * heir are given out once.
 */
static void rewind_cursor(struct som_owner *owner)
{
	struct rb_node *last = rb_last(&owner->spans.rb_root);
	unsigned long cursor = owner->floor;

	lockdep_assert_held(&owner->lock);
	mmap_assert_write_locked(owner->mm);

	if (!list_empty(&owner->heirs) ||
	    file_count(owner->file) != owner->nr_spans + 1 +
				       atomic_long_read(&owner->nr_files))
		return;
	if (last)
		cursor = max(cursor, rb_entry(last, struct som_span,
					      it.rb)->limit);
	owner->cursor = min(owner->cursor, cursor);
}

/**
 * som_span_map - room for a new mapping
 * @owner: whose
 * @addr: its address
 * @len: its length in bytes
 * @promise: whether to reserve the units it touches
 * @private: whether MADV_DONTNEED discards
 * @claim: the part of a parcel, as long as the mapping, whose units it gets; or NULL
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock for
 * write, and one reference to the owner.
 * Return: the mapping's span; ERR_PTR(-ENOMEM) if the pool cannot promise the
 * units, the offset space is used up, or there is no memory for the span; ERR_PTR(-EXDEV)
 * if the parcel is another user's; or as som_parcel_claim_begin().
 */
struct som_span *som_span_map(struct som_owner *owner, unsigned long addr,
			      unsigned long len, bool promise, bool private,
			      struct som_claim *claim)
{
	struct som_allotment allot;
	struct som_span *span;
	unsigned long last;
	int ret;

	span = kzalloc(sizeof(*span), GFP_KERNEL_ACCOUNT);
	if (!span)
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
				  promise);
	else if (promise)
		ret = promise_units(owner, som_pgoff_unit(allot.start),
				    som_pgoff_unit(last));
	if (ret)
		goto out_prune;
	span->owner = owner;
	span->limit = allot.limit;
	span->promised = promise;
	span->private = private;
	span->anew = som_tracker_seen(&owner->tracker, addr, addr + len);
	if (span->anew)
		WRITE_ONCE(owner->tracker.anew, true);
	som_span_insert(span, allot.start, last);
	owner->cursor = allot.limit;
	mutex_unlock(&owner->lock);
	return span;

out_prune:
	/* A claim may have made leaves. */
	if (claim)
		prune_leaves(owner, som_pgoff_unit(allot.start),
			     som_pgoff_unit(last));
out_unlock:
	mutex_unlock(&owner->lock);
	kfree(span);
	return ERR_PTR(ret);
}

/*
 * Does mremap add something to what it moves? The kernel asks before it cuts a VMA of which
 * it is to move a part; what it leaves is at other addresses then, and still mapped.
 */
static bool span_grows(struct som_span *old, unsigned long first,
		       unsigned long last)
{
	unsigned long end = old->it.last;

	if (old->cut_seq == som_mm_write_seq(old->owner->mm) && old->cut > first)
		end = min(end, old->cut - 1);
	return last > end;
}

/* Is all of a private mapping mapped elsewhere by now? Then it has nothing to move. */
static bool span_left(struct som_span *span)
{
	bool superseded;

	return som_span_run(span, span->it.start, span->it.last,
			    &superseded) == span->it.last && superseded;
}

/* Whoever has found some indices tracked, or not, at a fault has made its records. */
static void wait_for_faults(struct som_owner *owner)
{
	unsigned int i;

	for (i = 0; i < SOM_FAULT_LOCKS; i++)
		mutex_unlock(som_owner_lock_index(owner, i));
}

/*
 * End tracking. Faults go on meanwhile: one that has found its index tracked makes a record,
 * and has its fault_lock until then.
 */
static void untrack(struct som_owner *owner, unsigned long first,
		    unsigned long last)
{
	struct som_record *rec;
	struct mutex *lock;
	unsigned long idx;

	som_tracker_end(&owner->tracker, first, last);
	wait_for_faults(owner);
	xa_for_each_range(&owner->tracker.records, idx, rec, first, last) {
		lock = som_owner_lock_index(owner, idx);
		som_tracker_remove(&owner->tracker, idx, idx);
		mutex_unlock(lock);
		cond_resched();
	}
}

/* Pages of an index that others share, with or without memory, count as written. */
static void part_anew(struct som_owner *owner, unsigned long idx,
		      unsigned long first, unsigned long last)
{
	struct som_tracker *t = &owner->tracker;
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES) = {};
	unsigned long lo = max(first, som_unit_pgoff(idx));
	unsigned long hi = min(last, som_unit_pgoff(idx + 1) - 1);
	struct mutex *lock = som_owner_lock_index(owner, idx);

	bitmap_set(pages, lo - som_unit_pgoff(idx), hi - lo + 1);
	if (som_tracker_find(t, idx))
		som_tracker_wrote(t, idx, lo - som_unit_pgoff(idx), hi - lo + 1);
	else if (som_tracker_tracks(t, idx) &&
		 !som_units_load(&owner->units, idx))
		som_tracker_unreported(t, idx, pages,
				       GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	mutex_unlock(lock);
}

/*
 * mremap is about to show page offsets at addresses where a scan has seen something else:
 * all of it counts as written until the next one, and so, as nobody can tell apart what two
 * mappings show, does what stays at the old addresses. Tracking begins once more; but for
 * units of which others map a part, at either end, which note that.
 */
static void span_moved(struct som_owner *owner, unsigned long first,
		       unsigned long last)
{
	unsigned long from = som_pgoff_unit(first + SOM_UNIT_PAGES - 1);
	unsigned long behind = som_pgoff_unit(last + 1);
	struct interval_tree_node *it;

	lockdep_assert_held(&owner->lock);

	WRITE_ONCE(owner->tracker.anew, true);
	for (it = interval_tree_iter_first(&owner->spans, first, last); it;
	     it = interval_tree_iter_next(it, first, last)) {
		WRITE_ONCE(container_of(it, struct som_span, it)->anew, true);
		cond_resched();
	}
	if (from < behind)
		untrack(owner, from, behind - 1);
	if (first < som_unit_pgoff(from))
		part_anew(owner, from - 1, first, last);
	if (last >= som_unit_pgoff(behind) && behind >= from)
		part_anew(owner, behind, first, last);
}

/**
 * som_span_copy_settings - copy what a mapping keeps when it gets another span
 * @span: the new span
 * @old: the mapping's span so far
 *
 * What depends on why there is another one is the caller's: owner, reservation, file.
 *
 * Context: mmap_lock of the old span's owner is held for write.
 */
void som_span_copy_settings(struct som_span *span, const struct som_span *old)
{
	span->limit = old->limit;
	span->generation = old->generation;
	span->private = old->private;
	span->map_size = old->map_size;
	span->pinnable = old->pinnable;
	span->reuse = old->reuse;
	span->fork = old->fork;
	span->page_backed = old->page_backed;
}

/**
 * som_span_dup - a second VMA for page offsets of a first
 * @old: span of the first
 * @addr: address of the second
 * @first: first page offset of the second
 * @last: its last page offset
 * @split: whether the first VMA loses those page offsets (which are at one of
 *	its ends) to the second
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock for
 * write.
 * Return: the second VMA's span.
 */
struct som_span *som_span_dup(struct som_span *old, unsigned long addr,
			      unsigned long first, unsigned long last,
			      bool split)
{
	struct som_owner *owner = old->owner;
	struct som_span *span;

	/* vm_ops->open cannot fail. */
	span = kzalloc(sizeof(*span), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	span->owner = owner;
	som_span_copy_settings(span, old);
	span->promised = old->promised;
	span->anew = old->anew;
	span->generation += !(split || span_left(old));
	if (old->file)
		span->file = get_file(old->file);

	mutex_lock(&owner->lock);
	if (split) {
		unsigned long start = old->it.start, end = old->it.last;

		span->dup = old->dup;
		span->dup_seq = old->dup_seq;
		span_remove(old);
		if (first == start)
			som_span_insert(old, last + 1, end);
		else
			som_span_insert(old, start, first - 1);
	} else {
		span->grown = span_grows(old, first, last);
		/* Longer than the old one, som_span_promise() is to be asked. */
		span->promised &= last <= old->it.last;
		span->dup = true;
		span->dup_seq = som_mm_write_seq(owner->mm);
		WRITE_ONCE(owner->may_alias, true);
	}
	som_span_insert(span, first, last);
	if (!split && som_tracker_seen(&owner->tracker, addr, addr +
				       ((last - first + 1) << PAGE_SHIFT)))
		span_moved(owner, first, last);
	mutex_unlock(&owner->lock);
	return span;
}

/*
 * A span goes while others map the same page offsets. At the end of a move by
 * mremap its entries were handed to the new one, made under the very same
 * mmap_lock; otherwise they were its own. The others come in order of their first page
 * offset: what one has in common with those before it has been dealt with.
 */
static void span_unalias(struct som_span *span)
{
	struct som_owner *owner = span->owner;
	unsigned long lo = span->it.start, hi = span->it.last, next = lo;
	struct interval_tree_node *it;

	if (!owner->may_alias || !owner->tracker.on)
		return;
	for (it = interval_tree_iter_first(&owner->spans, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		struct som_span *other = container_of(it, struct som_span, it);
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
 * som_span_inherit - a child's VMA for the page offsets of its parent's
 * @from: span of the parent's VMA
 * @owner: the child's
 *
 * Context: Process context; takes the child's owner->lock. Both address spaces'
 * mmap_lock is held for write.
 * Return: the span, or ERR_PTR(-ENOMEM).
 */
struct som_span *som_span_inherit(struct som_span *from,
				  struct som_owner *owner)
{
	unsigned long first = from->it.start, last = from->it.last;
	struct som_span *span = kzalloc(sizeof(*span), GFP_KERNEL_ACCOUNT);
	int ret = 0;

	if (!span)
		return ERR_PTR(-ENOMEM);
	span->owner = owner;
	som_span_copy_settings(span, from);
	span->promised = from->promised && from->fork == SOM_FORK_COPY;
	span->dup = from->dup;
	span->dup_seq = som_mm_write_seq(owner->mm) - 1;

	mutex_lock(&owner->lock);
	if (span->promised)
		ret = promise_units(owner, som_pgoff_unit(first),
				    som_pgoff_unit(last));
	if (!ret) {
		som_span_insert(span, first, last);
		owner->cursor = from->owner->cursor;
		owner->floor = owner->cursor;
		from->owner->floor = owner->cursor;
		owner->may_alias = from->owner->may_alias;
	}
	mutex_unlock(&owner->lock);
	if (ret) {
		kfree(span);
		return ERR_PTR(ret);
	}
	return span;
}

/**
 * som_span_unmap - a VMA is gone
 * @span: its span, which is freed
 *
 * Gives back the units that no other VMA touches.
 *
 * Context: Process context; takes owner->lock. The VMA's page table entries
 * are cleared and the TLB is flushed.
 */
void som_span_unmap(struct som_span *span)
{
	struct som_owner *owner = span->owner;

	mutex_lock(&owner->lock);
	span_remove(span);
	span_unalias(span);
	if (unlikely(span_packed(span))) {
		som_packing_vma(owner->packing, span->vma);
		owner->packing->active = true;
		owner->packing->done = true;
	}
	release_untouched(owner, som_pgoff_unit(span->it.start),
			  som_pgoff_unit(span->it.last));
	if (unlikely(owner->packing))
		owner->packing->active = false;
	if (RB_EMPTY_ROOT(&owner->spans.rb_root) &&
	    !atomic_read(&owner->mm->mm_users))
		som_share_unlink(owner);
	mutex_unlock(&owner->lock);
	if (span->file)
		fput(span->file);
	kfree(span);
}

/**
 * som_span_promise - reserve units of a mapping
 * @span: the mapping's span
 * @first: first page offset
 * @last: last page offset
 *
 * Units that are promised already stay so.
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock for
 * write.
 * Return: 0, or -ENOMEM and nothing is changed.
 */
int som_span_promise(struct som_span *span, unsigned long first,
		     unsigned long last)
{
	struct som_owner *owner = span->owner;
	int ret;

	mutex_lock(&owner->lock);
	ret = promise_units(owner, som_pgoff_unit(first), som_pgoff_unit(last));
	if (!ret && first <= span->it.start && last >= span->it.last)
		span->promised = true;
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
 * owner->limbo for the next som_owner_release_discarded(), or for the end of
 * the owner: others may have cleared an entry and not flushed yet. It comes there
 * last of all, when nothing leads to it any more: who finds it there waits for
 * mmap_lock, but not for a fault that has the VMA lock alone.
 *
 * Return: 0; -EDQUOT if it is to be zeroed where it is, for want of a charge; -EAGAIN or
 * -ENOMEM, and it stays discarded.
 */
static int settle_pinned(struct som_owner *owner, unsigned long idx,
			 void *entry)
{
	bool pages = som_entry_test(entry, SOM_ENTRY_PINNABLE);
	unsigned long old = som_entry_unit(entry);
	int ret = -ENOMEM;
	long unit;

	/*
	 * The promise is the new one's, and the pool may hold the old one for long. Pages
	 * that are pinned are not the pool's.
	 */
	if (!pages && !som_recycle_charge(owner->account, 1))
		return -EDQUOT;
	if (xa_reserve(&owner->limbo, old, GFP_KERNEL_ACCOUNT))
		goto out_uncharge;
	ret = -EAGAIN;
	unit = som_pool_alloc(owner->account->pool, som_unit_nid(old), NULL);
	if (unit < 0)
		goto out_release;
	som_zap(owner, som_unit_pgoff(idx), SOM_UNIT_PAGES);
	som_entry_replace(owner, idx, unit, ~SOM_ENTRY_CHARGED, SOM_LEVEL_NONE);
	xa_store(&owner->limbo, old,
		 som_entry(old, pages ? SOM_ENTRY_PINNABLE : SOM_ENTRY_CHARGED),
		 GFP_NOWAIT);
	return 0;

out_release:
	xa_release(&owner->limbo, old);
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
	if (som_entry_test(entry, SOM_ENTRY_PINNABLE))
		som_zap(owner, som_unit_pgoff(idx), SOM_UNIT_PAGES);
	return som_entry_pinned(entry);
}

/* Do what MADV_DONTNEED has left to do at an index; its fault_lock is held. */
static void settle(struct som_owner *owner, unsigned long idx)
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
	/* It stays discarded then: som_owner_peek(), som_owner_unit(). */
	if (som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    som_share_break(owner, idx))
		return;
	if (som_entry_test(entry, SOM_ENTRY_DISCARDED) &&
	    discarded_pinned(owner, idx, entry))
		ret = settle_pinned(owner, idx, entry);
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
		som_tracker_settled(&owner->tracker, idx);
	else
		som_tracker_wrote(&owner->tracker, idx, 0, SOM_UNIT_PAGES);
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
		settle(owner, idx);
	return lock;
}

/**
 * som_owner_lock_look - the same, for those to whom a discarded unit is gone already
 * @owner: whose
 * @idx: unit index
 *
 * It stays discarded: to som_owner_peek() it is -EAGAIN.
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
			settle(owner, idx);
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
	struct som_record *rec;
	unsigned long idx;

	xa_for_each_range(&owner->tracker.records, idx, rec,
			  som_pgoff_unit(first), som_pgoff_unit(last)) {
		struct mutex *lock = som_owner_lock_look(owner, idx);
		unsigned long lo = max(first, som_unit_pgoff(idx));
		unsigned long hi = min(last, som_unit_pgoff(idx + 1) - 1);

		som_tracker_wrote(&owner->tracker, idx,
				  lo - som_unit_pgoff(idx), hi - lo + 1);
		mutex_unlock(lock);
		cond_resched();
	}
}

/*
 * Let the record of a discarded unit know. MADV_DONTNEED may be about to clear its
 * entries; whoever reads it from now on is to see zeroes.
 */
static void settle_record(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);
	void *entry = som_units_load(&owner->units, idx);
	struct som_record *rec = som_tracker_find(&owner->tracker, idx);

	if (rec && !rec->discarded && entry &&
	    som_entry_test(entry, SOM_ENTRY_DISCARDED)) {
		som_zap(owner, som_unit_pgoff(idx), SOM_UNIT_PAGES);
		som_tracker_discarded(&owner->tracker, idx);
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
	unsigned long idx = round_down(first, SOM_LEAF_UNITS);
	unsigned long end = last | (SOM_LEAF_UNITS - 1);
	unsigned int nr = 0;
	void *entry;

	if (!READ_ONCE(owner->discards))
		return last;
	for (; (entry = som_units_find_hinted(&owner->units, &idx, end,
					      SOM_HINT_UNTOLD)); idx++) {
		if (som_entry_test(entry, SOM_ENTRY_DISCARDED))
			settle_record(owner, idx);
		else if (som_entry_test(entry, SOM_ENTRY_ZEROED))
			mutex_unlock(som_owner_lock_unit(owner, idx));
		/* To the end of the leaf: its hint has been taken. */
		if (++nr == SOM_TRACK_UNITS)
			end = min(end, idx | (SOM_LEAF_UNITS - 1));
		cond_resched();
	}
	return min(last, end);
}

/**
 * som_owner_peek - the unit at an index, if there is one
 * @owner: whose
 * @idx: unit index
 *
 * Its memory may have failed: som_pool_poisoned() is to be asked by who looks at it.
 *
 * Context: som_owner_lock_unit() is held.
 * Return: unit number, or -ENOENT; -EAGAIN if there is one that cannot be told right
 * now, -ENOSPC if it cannot be had, both only after a fork.
 */
long som_owner_peek(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_units_load(&owner->units, idx);
	int ret;

	if (!entry && READ_ONCE(owner->share.inherited)) {
		ret = som_share_pull(owner, idx);
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
 * som_owner_lent - the same as som_owner_shared(), where somebody has inherited
 * @owner: whose
 * @idx: unit index
 *
 * Context: som_owner_lock_unit() is held.
 * Return: as som_owner_shared().
 */
bool som_owner_lent(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_units_load(&owner->units, idx);

	return entry && som_entry_test(entry, SOM_ENTRY_SHARED);
}

/**
 * som_owner_pinnable - is the unit at an index pinnable?
 * @owner: whose
 * @idx: unit index
 *
 * Context: som_owner_lock_unit() is held. Cheap where nothing is.
 * Return: true if so.
 */
bool som_owner_pinnable(struct som_owner *owner, unsigned long idx)
{
	void *entry;

	if (!atomic_long_read(&owner->nr_pinnable))
		return false;
	entry = som_units_load(&owner->units, idx);
	return entry && som_entry_test(entry, SOM_ENTRY_PINNABLE);
}

/**
 * som_owner_pinned - might a device write to a unit?
 * @owner: whose
 * @idx: unit index
 *
 * Context: som_owner_lock_unit() is held.
 * Return: true while anybody has a pin on the unit's chunk, and as long as the
 * unit is pinnable.
 */
bool som_owner_pinned(struct som_owner *owner, unsigned long idx)
{
	void *entry = som_units_load(&owner->units, idx);

	return entry && (som_entry_test(entry, SOM_ENTRY_PINNABLE) ||
			 som_pool_pinned(som_entry_unit(entry)));
}

/* Would a leaf have to be made, beyond what the owner may have? */
static bool leaf_refused(struct som_span *span, unsigned long idx)
{
	struct som_owner *owner = span->owner;

	return !span->promised && !som_units_slot(&owner->units, idx) &&
	       !mtree_load(&owner->promised, idx) &&
	       !som_owner_may_record(owner);
}

/**
 * som_owner_slot - where the entry of an index is
 * @span: span of a mapping that touches the index; it remembers the leaf: as long as it
 *	touches it, the leaf stays
 * @idx: unit index
 *
 * Context: Process context; mmap_lock or the VMA lock is held.
 * Return: the place, or NULL without memory for it, or if the owner has too many records.
 */
void **som_owner_slot(struct som_span *span, unsigned long idx)
{
	struct som_leaf *leaf = READ_ONCE(span->leaf);

	if (unlikely(!leaf || leaf->nr != idx / SOM_LEAF_UNITS)) {
		if (leaf_refused(span, idx))
			return NULL;
		leaf = som_units_leaf(&span->owner->units, idx);
		if (!leaf)
			return NULL;
		WRITE_ONCE(span->leaf, leaf);
	}
	return &leaf->entry[idx % SOM_LEAF_UNITS];
}

/* A unit that the owner has kept, or one of the pool; @zeroed: whether it is zero. */
static long take_unit(struct som_span *span, unsigned long idx, bool *zeroed)
{
	struct som_owner *owner = span->owner;
	long unit = som_recycle_take(&owner->recycle);

	*zeroed = true;
	if (unlikely(unit >= 0 && som_pool_poisoned(unit))) {
		som_pool_free(unit);
		unit = -ENOENT;
	}
	if (likely(unit < 0))
		return som_numa_alloc(owner->account->pool, span->vma, idx);
	*zeroed = !span->reuse;
	if (*zeroed)
		som_unit_zero(unit);
	return unit;
}

/*
 * Ordinary pages for a unit that is about to be mapped by 4 KiB entries, if it shall have
 * some. Negative, if it shall not or cannot: then it is one of the pool.
 */
static long take_pages(struct som_span *span, unsigned long idx,
		       enum som_level level)
{
	if (likely(level != SOM_LEVEL_4K || !span->page_backed) ||
	    som_tracker_tracks(&span->owner->tracker, idx))
		return -ENOENT;
	return som_pinnable_alloc(span->owner->account, true);
}

/* Populate an index that has no unit; @slot is its place, @level: as it will be mapped. */
static long populate(struct som_span *span, unsigned long idx, void **slot,
		     enum som_level level)
{
	struct som_owner *owner = span->owner;
	bool charged = false, zeroed;
	unsigned long kind = 0;
	long unit;
	int ret;

	if (!span->promised && !mtree_load(&owner->promised, idx)) {
		charged = som_recycle_charge(owner->account, 1);
		if (!charged)
			return -ENOSPC;
	}
	unit = take_pages(span, idx, level);
	if (unlikely(unit >= 0)) {
		kind = SOM_ENTRY_PINNABLE | SOM_ENTRY_BY_POLICY;
		atomic_long_inc(&owner->nr_pinnable);
		zeroed = true;
	} else {
		unit = take_unit(span, idx, &zeroed);
	}
	if (unit < 0) {
		ret = unit;
		goto out_uncharge;
	}
	WRITE_ONCE(*slot, som_entry(unit, level | kind |
					  (charged ? SOM_ENTRY_CHARGED : 0)));
	atomic_long_inc(&owner->nr_level[level]);
	/* Pairs with the barrier in som_tracker_add(). */
	smp_mb();
	/* What is there without a record counts as written. */
	if (som_tracker_tracks(&owner->tracker, idx) &&
	    !som_tracker_make(&owner->tracker, idx, zeroed)) {
		void *entry = som_units_erase(&owner->units, idx);

		/* take_charges() may have taken over the charge. */
		charged = som_entry_test(entry, SOM_ENTRY_CHARGED);
		som_entry_forget(owner, entry);
		ret = -ENOMEM;
		goto out_free;
	}
	return unit;

out_free:
	if (kind)
		som_pinnable_free(unit);
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
 * @span: span of a mapping that touches the index
 * @idx: unit index
 * @level: how a unit that is new will most likely be mapped, by the caller; and where it
 *	goes how one that is there is mapped
 *
 * Context: Process context; som_owner_lock_unit() is held.
 * Return: unit number; -ENOSPC if the pool has none for who has no promise;
 * -EAGAIN if one is on its way back from a former owner; -ENOMEM if the kernel
 * has no memory for the entry; -ENOENT if a core dump finds none; -EHWPOISON if its
 * memory has failed.
 */
long som_owner_unit(struct som_span *span, unsigned long idx,
		    enum som_level *level)
{
	void **slot = som_owner_slot(span, idx), *entry;
	long unit;
	int ret;

	if (!slot)
		return leaf_refused(span, idx) ? -ENOSPC : -ENOMEM;
	entry = READ_ONCE(*slot);
	if (!entry && unlikely(READ_ONCE(span->owner->share.inherited))) {
		ret = som_share_pull(span->owner, idx);
		if (ret)
			return ret;
		entry = READ_ONCE(*slot);
	}
	if (likely(!entry)) {
		unit = som_dumping() ? -ENOENT :
				       populate(span, idx, slot, *level);
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

	if (som_owner_peek(owner, idx) >= 0 && !som_tracker_find(&owner->tracker, idx)) {
		if (!som_tracker_make(&owner->tracker, idx, false))
			ret = -ENOMEM;
	}
	/* What is page-backed by policy is to go back, to be exact to the page. */
	if (som_owner_pinnable(owner, idx))
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
 * tracker.lock, and spans touch all of the indices.
 * Return: 0, or -ENOMEM and nothing is changed.
 */
int som_owner_track(struct som_owner *owner, unsigned long first,
		    unsigned long *last)
{
	struct som_tracker *t = &owner->tracker;
	unsigned long idx, end;
	unsigned int nr = 0;
	bool tracked;
	void *entry;
	int ret;

	if (som_tracker_covers(t, first, *last))
		return 0;
	/* One run of those that are not tracked, so that it alone is undone. */
	end = som_tracker_run(t, first, *last, &tracked);
	if (tracked) {
		first = end + 1;
		end = som_tracker_run(t, first, *last, &tracked);
	}

	mutex_lock(&owner->lock);
	som_units_for_each(&owner->units, idx, entry, first, end) {
		if (++nr == SOM_TRACK_UNITS) {
			end = idx;
			break;
		}
	}
	ret = som_tracker_add(t, first, end, records_max(owner) / SOM_RUN_BYTES);
	if (ret)
		goto out;
	som_units_for_each(&owner->units, idx, entry, first, end) {
		ret = track_unit(owner, idx);
		if (ret)
			break;
		cond_resched();
	}
	if (ret)
		untrack(owner, first, end);
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
 * Where nothing is tracked, what was mapped anew counts as written (struct som_span). A
 * record has to say so from then on.
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock and
 * tracker.lock.
 * Return: true; false if there can be no record.
 */
bool som_owner_keep(struct som_owner *owner, unsigned long idx,
		    unsigned long first, unsigned long last)
{
	struct som_tracker *t = &owner->tracker;
	unsigned long lo = som_unit_pgoff(idx), hi = som_unit_pgoff(idx + 1) - 1;
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES) = {};
	struct interval_tree_node *it;
	struct mutex *lock;
	bool done = true;

	if (!READ_ONCE(t->anew))
		return true;
	mutex_lock(&owner->lock);
	for (it = interval_tree_iter_first(&owner->spans, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		unsigned long from = max(lo, it->start), to = min(hi, it->last);

		if (container_of(it, struct som_span, it)->anew)
			bitmap_set(pages, from - lo, to - from + 1);
		cond_resched();
	}
	first = max(first, lo);
	last = min(last, hi);
	if (first <= last)
		bitmap_clear(pages, first - lo, last - first + 1);
	lock = som_owner_lock_index(owner, idx);
	if (bitmap_empty(pages, SOM_UNIT_PAGES) || som_tracker_tracks(t, idx))
		done = true;
	else if (!som_units_load(&owner->units, idx))
		done = som_owner_may_record(owner) &&
		       !som_tracker_unreported(t, idx, pages,
					       GFP_KERNEL_ACCOUNT);
	else if (!som_tracker_find(t, idx))
		done = som_tracker_make(t, idx, false);
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
static bool find_other(struct som_span *span, unsigned long *first,
		       unsigned long *last)
{
	struct som_owner *owner = span->owner;
	struct interval_tree_node *it;

	if (!READ_ONCE(owner->may_alias))
		return false;
	mutex_lock(&owner->lock);
	it = interval_tree_iter_first(&owner->spans, *first, *last);
	if (it == &span->it)
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
 * @span: span of the mapping
 * @first: first page offset
 * @last: last page offset
 *
 * Without memory for that, it is reported once more; and so are units of which others map
 * the same pages, since what one of them shows was not reported of the other.
 *
 * Context: Process context; takes owner->lock. The caller has mmap_lock and
 * tracker.lock.
 */
void som_owner_reported(struct som_span *span, unsigned long first,
			unsigned long last)
{
	unsigned long from, to;
	int ret = 0;

	while (first <= last && !ret) {
		from = first;
		to = last;
		if (find_other(span, &from, &to)) {
			from = som_unit_pgoff(som_pgoff_unit(from));
			to = som_unit_pgoff(som_pgoff_unit(to) + 1) - 1;
		} else {
			from = last + 1;
			to = last;
		}
		if (first < from)
			ret = track_reported(span->owner, first, from - 1);
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
	it = interval_tree_iter_first(&owner->spans, first, last);
	aliased = it && interval_tree_iter_next(it, first, last);
	mutex_unlock(&owner->lock);
	return aliased;
}

/**
 * som_span_run - are a private mapping's page offsets now mapped elsewhere?
 * @span: span of the mapping
 * @first: first page offset
 * @last: last page offset
 * @superseded: where it goes whether @first is
 *
 * That is how MREMAP_DONTUNMAP, and mremap from length 0, leave a mapping. Anonymous
 * memory would read as zero there; som refuses access.
 *
 * Context: mmap_lock or the VMA lock is held; takes owner->span_lock, for some spans at a
 * time.
 * Return: up to which page offset it is the same, as far as it has looked, at most @last.
 */
unsigned long som_span_run(struct som_span *span, unsigned long first,
			   unsigned long last, bool *superseded)
{
	struct som_owner *owner = span->owner;
	struct interval_tree_node *it;
	unsigned long end = last;
	unsigned int seen = 0;

	*superseded = false;
	if (!som_span_may_be_superseded(span))
		return last;
	spin_lock(&owner->span_lock);
	for (it = interval_tree_iter_first(&owner->spans, first, last); it;
	     it = interval_tree_iter_next(it, first, last)) {
		bool newer = container_of(it, struct som_span, it)->generation >
			     span->generation;

		/* They come in order: nothing behind this one is of this run. */
		if (it->start > first && (newer || *superseded ||
					  ++seen == SOM_RUN_SPANS)) {
			last = *superseded ? last : it->start - 1;
			break;
		}
		if (newer) {
			last = *superseded ? max(last, it->last) : it->last;
			*superseded = true;
		}
	}
	spin_unlock(&owner->span_lock);
	return min(last, end);
}

/**
 * som_span_crowded - has mremap made too many mappings of something?
 * @span: span of the new mapping
 *
 * Context: Process context; mmap_lock is held for write. Takes owner->lock.
 * Return: true if a page offset has more than SOM_MAX_ALIASES mappings, the one that is
 * moved, if any, among them.
 */
bool som_span_crowded(struct som_span *span)
{
	unsigned long first = span->it.start, last = span->it.last;
	unsigned long ends[SOM_MAX_ALIASES];	/* of those that lie over one */
	struct som_owner *owner = span->owner;
	struct interval_tree_node *it;
	unsigned int nr = 0, i, left;

	mutex_lock(&owner->lock);
	for (it = interval_tree_iter_first(&owner->spans, first, last); it;
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
	it = interval_tree_iter_first(&owner->spans, first, last);
	for (; it && !found; it = interval_tree_iter_next(it, first, last)) {
		unsigned long lo = max(first, it->start);
		unsigned long hi = min(last, it->last);

		cond_resched();
		if (!container_of(it, struct som_span, it)->private)
			continue;
		found = interval_tree_iter_first(&owner->spans, lo, hi) != it ||
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
	const struct som_span *span = vma->vm_private_data;

	return !(vma->vm_flags & VM_NOHUGEPAGE) &&
	       span->map_size >= SOM_UNIT_SIZE;
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
	it = interval_tree_iter_first(&owner->spans, lo, hi);
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
