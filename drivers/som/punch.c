// SPDX-License-Identifier: GPL-2.0
/*
 * Taking units away below living VMAs, for MADV_REMOVE, the driver's own calls and
 * MADV_DONTNEED of private mappings:
 *
 *  1. under owner->lock and the unit's fault lock, the entry leaves
 *     owner->units: from now on a fault finds nothing and takes a new unit;
 *     a fault that found the old one has its page table entry in place;
 *  2. som_zap() clears page table entries and flushes the TLB;
 *  3. others may have cleared an entry of the unit without having flushed yet:
 *     munmap and everything else that does so holds mmap_lock until it
 *     has. Taking mmap_lock for write once, after 2., waits for them;
 *  4. only then the units go to the pool. Those that may be pinned are held there.
 *
 * Between 1. and 4. a unit is "going" (going.c): it has no charge but the promise of its index,
 * if that stays. If it may be pinned then, so that the pool has to hold it, the owner
 * is charged for it; if that cannot be had, it goes back to its index, discarded.
 *
 * A unit that was punched in part, and is found to be all zero, goes with
 * mmap_lock, owner->lock and fault_lock held throughout: punch_zero_unit().
 *
 * A fault may meet, between 1. and 2., an entry of the old unit where it wants
 * the new one; vma.c sees that and retries.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/xarray.h>
#include "collapse.h"
#include "compat.h"
#include "entry.h"
#include "going.h"
#include "owner.h"
#include "pool.h"
#include "punch.h"
#include "share.h"
#include "work.h"
#include "zap.h"

/* Are all mapped parts of a unit inside the page offsets first..last? */
static bool punch_covers(struct som_owner *owner, unsigned long idx,
			 unsigned long first, unsigned long last)
{
	unsigned long lo = som_unit_pgoff(idx);
	unsigned long hi = som_unit_pgoff(idx + 1) - 1;
	struct interval_tree_node *it;

	if (first <= lo && last >= hi)
		return true;
	for (it = interval_tree_iter_first(&owner->spans, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		if (max(it->start, lo) < first || min(it->last, hi) > last)
			return false;
	}
	return true;
}

/* Zero the pages first..last of a unit where it is. */
static void punch_zero(struct som_owner *owner, unsigned long unit,
		       unsigned long idx, unsigned long first,
		       unsigned long last)
{
	unsigned long lo = max(first, som_unit_pgoff(idx));
	unsigned long hi = min(last, som_unit_pgoff(idx + 1) - 1);

	if (!som_pool_poisoned(unit))
		memset(som_unit_address(unit) +
		       ((lo - som_unit_pgoff(idx)) << PAGE_SHIFT), 0,
		       (hi - lo + 1) << PAGE_SHIFT);
	som_tracker_wrote(&owner->tracker, idx, lo - som_unit_pgoff(idx),
			  hi - lo + 1);
}

static void punch_unmap(struct som_owner *owner, unsigned long idx,
			unsigned long nr)
{
	if (nr)
		som_zap(owner, som_unit_pgoff(idx), nr << SOM_UNIT_PAGE_SHIFT);
}

/*
 * Step 3. Not killable: the end of the process waits for the lock just so, and until
 * it has it, the units cannot go anywhere.
 */
static void punch_barrier(struct som_owner *owner)
{
	mmap_write_lock(owner->mm);
	mmap_write_unlock(owner->mm);
}

/* Which units a batch is to take. */
enum punch_which {
	PUNCH_COVERED,		/* all whose mapped parts are in the range */
	PUNCH_DISCARDED,	/* all that were discarded */
};

/* A unit goes back to its index, where nothing came meanwhile, discarded. */
static void going_put_back(struct som_owner *owner, struct som_going *going,
			   unsigned int i)
{
	unsigned long idx = going->idx[i];
	void *entry, **slot;
	struct mutex *lock;

	mutex_lock(&owner->lock);
	lock = som_owner_lock_index(owner, idx);
	spin_lock(&owner->going_lock);
	entry = som_going_promised(going->entry[i]) ? going->entry[i] : NULL;
	if (entry)
		going->entry[i] = NULL;
	spin_unlock(&owner->going_lock);
	/* It has its promise, so a span touches it, and its leaf has stayed. */
	slot = som_units_slot(&owner->units, idx);
	if (entry && !WARN_ON_ONCE(!slot || READ_ONCE(*slot))) {
		WRITE_ONCE(owner->discards, true);
		WRITE_ONCE(*slot, som_entry(som_entry_unit(entry),
					    SOM_LEVEL_NONE |
					    SOM_ENTRY_DISCARDED));
		atomic_long_inc(&owner->nr_level[SOM_LEVEL_NONE]);
		som_units_hint(&owner->units, idx, SOM_HINT_DISCARDED);
		som_units_hint(&owner->units, idx, SOM_HINT_UNTOLD);
		if (som_tracker_tracks(&owner->tracker, idx))
			som_tracker_make(&owner->tracker, idx, false);
	}
	mutex_unlock(lock);
	mutex_unlock(&owner->lock);
}

/*
 * Step 4. Nothing maps the units any more, so one that is seen not to be pinned never
 * will be. Return: how many went.
 */
static unsigned int going_drop(struct som_owner *owner, struct som_going *going,
			       bool *stay)
{
	unsigned int i, nr = 0;

	for (i = 0; i < going->nr; i++) {
		void *entry = READ_ONCE(going->entry[i]);

		if (!som_going_promised(entry) ||
		    !som_pool_pinned(som_entry_unit(entry)) ||
		    som_going_settle(owner, going->idx[i]))
			continue;
		going_put_back(owner, going, i);
		*stay = true;
	}
	som_going_end(owner, going);
	for (i = 0; i < going->nr; i++) {
		if (going->entry[i])
			going->entry[nr++] = going->entry[i];
	}
	som_entries_drop(owner, going->entry, nr);
	return nr;
}

/*
 * A unit that may be pinned needs a charge of its own when it goes, as the pool may hold
 * it for long, while its owner's promise stays. If that cannot be had, it stays,
 * discarded: see settle(). @charge: to try is not in vain, as far as is known.
 */
static bool punch_may_go(struct som_owner *owner, unsigned long idx,
			 const void *entry, bool charge)
{
	if (som_entry_test(entry, SOM_ENTRY_PINNABLE) ||
	    !som_pool_pinned(som_entry_unit(entry)))
		return true;
	if (charge && som_recycle_charge(owner->account, 1)) {
		entry = som_entry_change(owner, idx, 0, SOM_ENTRY_CHARGED);
		/* It has its own; but the index can most likely have another unit. */
		if (som_entry_test(entry, SOM_ENTRY_CHARGED))
			som_account_uncharge(owner->account, 1);
		return true;
	}
	WRITE_ONCE(owner->discards, true);
	entry = som_entry_change(owner, idx, 0, SOM_ENTRY_DISCARDED);
	if (!som_entry_test(entry, SOM_ENTRY_DISCARDED))
		som_tracker_wrote(&owner->tracker, idx, 0, SOM_UNIT_PAGES);
	return false;
}

/*
 * Is a unit to go (1), or not (0)? If not, what is to be zeroed of it is, or it stays as it
 * is but for being discarded, and is to be unmapped (2). Its index is locked.
 * -EAGAIN: heirs need copies first, and the pool has nothing right now.
 */
static int punch_takes(struct som_owner *owner, unsigned long idx,
		       unsigned long first, unsigned long last,
		       enum punch_which which, bool charge)
{
	void *entry = som_units_load(&owner->units, idx);

	if (!entry || (which == PUNCH_DISCARDED &&
		       !som_entry_test(entry, SOM_ENTRY_DISCARDED)))
		return 0;
	if (som_entry_test(entry, SOM_ENTRY_SHARED) &&
	    som_share_break(owner, idx))
		return -EAGAIN;
	/* Whoever pins it must go on seeing the owner's bytes. */
	if (which == PUNCH_DISCARDED || punch_covers(owner, idx, first, last))
		return punch_may_go(owner, idx, entry, charge) ? 1 : 2;
	punch_zero(owner, som_entry_unit(entry), idx, first, last);
	return 0;
}

/* The next index that punch_takes() is to be asked about. */
static bool punch_find(struct som_owner *owner, unsigned long *idx,
		       unsigned long last, enum punch_which which)
{
	return which == PUNCH_DISCARDED ?
		som_units_find_hinted(&owner->units, idx, last,
				      SOM_HINT_DISCARDED) :
		som_units_find(&owner->units, idx, last);
}

/*
 * Steps 1 and 2 for those of the next SOM_BATCH units at or behind *idx that are to go: take
 * them out of owner->units and out of the page tables. So owner->lock is not held for
 * longer, whether they go or not. *more: there may be some from *idx on. *again: it is to
 * be done once more from there on, later. *stay: some stay, as they may be pinned.
 */
static void punch_batch(struct som_owner *owner, unsigned long *idx,
			unsigned long first, unsigned long last,
			enum punch_which which, struct som_going *going,
			bool *more, bool *again, bool *stay)
{
	unsigned long i = *idx, run = 0, run_len = 0;
	unsigned int seen;
	void *entry;
	int takes;

	lockdep_assert_held(&owner->lock);

	for (seen = 0; seen < SOM_BATCH; seen++, i++) {
		struct mutex *lock;

		/* Not before there is room for it: that takes the leaf's hint. */
		*more = punch_find(owner, &i, som_pgoff_unit(last), which);
		if (!*more)
			break;
		lock = som_owner_lock_index(owner, i);
		takes = punch_takes(owner, i, first, last, which, !*stay);
		if (takes == 2) {
			/* Whoever touches it settles what is left to do. */
			mutex_unlock(lock);
			if (which == PUNCH_COVERED)
				punch_unmap(owner, i, 1);
			*stay = true;
			continue;
		}
		if (takes <= 0) {
			mutex_unlock(lock);
			*again = takes;
			if (!*again)
				continue;
			if (which == PUNCH_DISCARDED)
				som_units_hint(&owner->units, i,
					       SOM_HINT_DISCARDED);
			break;
		}
		entry = som_going_add(owner, going, i);
		som_tracker_drop(&owner->tracker, i);
		mutex_unlock(lock);
		if (som_entry_level(entry) == SOM_LEVEL_4K)
			som_collapse_want(owner, i);
		som_entry_forget(owner, entry);
		if (run + run_len != i) {
			punch_unmap(owner, run, run_len);
			run = i;
			run_len = 0;
		}
		run_len++;
	}
	punch_unmap(owner, run, run_len);
	*idx = i;
}

/*
 * Take units out of a range, and give them back; *given: how many. Return: 0; -EINTR on a
 * fatal signal; in a worker, which waits for nobody, -EAGAIN if heirs need copies first, and
 * -EBUSY if mmap_lock is not to be had: it has that before step 1 instead of step 3.
 */
static int punch_units(struct som_owner *owner, unsigned long first,
		       unsigned long last, enum punch_which which,
		       unsigned long *given)
{
	unsigned long idx = som_pgoff_unit(first);
	bool more, again, stay = false;
	struct som_going going;
	int ret = 0;

	do {
		again = false;
		if (which == PUNCH_DISCARDED && !som_work_lock(owner)) {
			/* The leaf's hint may have been taken. */
			som_units_hint(&owner->units, idx, SOM_HINT_DISCARDED);
			ret = -EBUSY;
			break;
		}
		som_going_begin(owner, &going);
		mutex_lock(&owner->lock);
		punch_batch(owner, &idx, first, last, which, &going, &more,
			    &again, &stay);
		mutex_unlock(&owner->lock);
		if (which == PUNCH_DISCARDED)
			mmap_write_unlock(owner->mm);
		else if (going.nr)
			punch_barrier(owner);
		*given += going_drop(owner, &going, &stay);
		if (again && which == PUNCH_DISCARDED)
			ret = -EAGAIN;
		else if (again)
			schedule_timeout_killable(1);
		else
			cond_resched();
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
	} while (!ret && more);
	/* Those that stay go when they are not pinned any more. */
	if (ret == -EAGAIN || ret == -EBUSY || stay)
		som_work_queue(&owner->discard_work, ret == -EAGAIN && !stay ?
						     SOM_DISCARD_MS :
						     SOM_PINNED_MS);
	return ret;
}

/* Is a unit all zero? @first: the page to begin with: the likeliest not to be. */
static bool unit_is_zero(unsigned long unit, unsigned int first)
{
	void *mem = som_unit_address(unit);

	return !som_pool_poisoned(unit) &&
	       !memchr_inv(mem + first * PAGE_SIZE, 0,
			   (SOM_UNIT_PAGES - first) * PAGE_SIZE) &&
	       !memchr_inv(mem, 0, first * PAGE_SIZE);
}

/*
 * A unit that was punched in part may be zero as a whole by now: allocators
 * purge in small pieces. If so, it goes back to the pool.
 *
 * Not if it is tracked: then all of its pages would count as written.
 *
 * With mmap_lock held for write nobody else has cleared an entry without having
 * flushed. With fault_lock held nobody gets an entry. So what is found zero after
 * the unmapping stays so.
 */
static unsigned long punch_zero_unit(struct som_owner *owner,
				     unsigned long idx, unsigned int first)
{
	struct mutex *lock;
	bool gone = false;
	void *entry;
	long unit;

	lock = som_owner_lock_unit(owner, idx);
	unit = som_owner_peek(owner, idx);
	gone = unit >= 0 && !som_tracker_tracks(&owner->tracker, idx) &&
	       unit_is_zero(unit, first);
	mutex_unlock(lock);
	if (!gone)
		return 0;

	mmap_write_lock(owner->mm);
	mutex_lock(&owner->lock);
	lock = som_owner_lock_unit(owner, idx);
	entry = som_units_load(&owner->units, idx);
	gone = false;
	if (entry && !som_tracker_tracks(&owner->tracker, idx) &&
	    !som_entry_test(entry, SOM_ENTRY_PINNABLE | SOM_ENTRY_SHARED) &&
	    !som_pool_pinned(som_entry_unit(entry))) {
		punch_unmap(owner, idx, 1);
		gone = !som_pool_pinned(som_entry_unit(entry)) &&
		       unit_is_zero(som_entry_unit(entry), first);
	}
	if (gone) {
		entry = som_units_erase(&owner->units, idx);
		if (som_entry_level(entry) == SOM_LEVEL_4K)
			som_collapse_want(owner, idx);
		som_entry_forget(owner, entry);
		som_entry_drop(owner, entry);
	}
	mutex_unlock(lock);
	mutex_unlock(&owner->lock);
	mmap_write_unlock(owner->mm);
	return gone;
}

/*
 * What was inherited and not copied yet: dropped where all of it is in the range, and
 * copied where a part is, to be zeroed there. Return: 0, or -EINTR on a fatal signal.
 */
static int punch_notes(struct som_owner *owner, unsigned long first,
		       unsigned long last)
{
	unsigned long idx = som_pgoff_unit(first);
	struct mutex *lock;
	int ret;

	while (som_share_find(owner, &idx, som_pgoff_unit(last))) {
		mutex_lock(&owner->lock);
		lock = som_owner_lock_index(owner, idx);
		ret = 0;
		if (punch_covers(owner, idx, first, last))
			som_share_drop(owner, idx, idx);
		else
			ret = som_share_pull(owner, idx);
		/* A part of it that cannot be zeroed is not to be seen later. */
		if (ret && ret != -EAGAIN)
			som_share_lose(owner, idx);
		mutex_unlock(lock);
		mutex_unlock(&owner->lock);
		if (ret == -EAGAIN)
			schedule_timeout_killable(1);
		else
			idx++;
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

/**
 * som_owner_punch - zero page offsets and give back what can be given back
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 * @given: where it goes how many units were given up
 *
 * Units all of whose mapped parts are inside, or that are all zero then, go
 * back to the pool; everything else is zeroed in place. What may be pinned the pool
 * holds, and the owner is charged for it; if it cannot be, the unit stays,
 * discarded. Promises stay.
 *
 * Context: Process context of the owner; takes owner->lock and, apart from
 * it, mmap_lock. The caller has neither.
 * Return: 0, or -EINTR on a fatal signal, and a part may be done.
 */
int som_owner_punch(struct som_owner *owner, unsigned long first,
		    unsigned long last, unsigned long *given)
{
	unsigned long idx;
	int ret;

	*given = 0;
	ret = punch_notes(owner, first, last) ?:
	      punch_units(owner, first, last, PUNCH_COVERED, given);
	if (ret)
		return ret;
	/* Only the first and the last unit can have been punched in part. */
	idx = som_pgoff_unit(first);
	if (first != som_unit_pgoff(idx))
		*given += punch_zero_unit(owner, idx, 0);
	idx = som_pgoff_unit(last);
	if (last + 1 != som_unit_pgoff(idx + 1))
		*given += punch_zero_unit(owner, idx,
					  last + 1 - som_unit_pgoff(idx));
	return 0;
}

/* The same of what was inherited and not copied yet. */
static void discard_notes(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	unsigned long idx = som_pgoff_unit(first);

	for (; som_share_find(owner, &idx, som_pgoff_unit(last)); idx++) {
		if (som_unit_pgoff(idx) >= first &&
		    som_unit_pgoff(idx + 1) - 1 <= last)
			som_share_drop(owner, idx, idx);
		else
			som_share_settle_now(owner, idx);
	}
}

/* Does anything map some page offsets but the mapping that gives them up? */
static bool discard_alias(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	struct interval_tree_node *it;
	bool alias = false;

	if (!READ_ONCE(owner->may_alias))
		return false;
	spin_lock(&owner->span_lock);
	it = interval_tree_iter_first(&owner->spans, first, last);
	if (it)
		alias = it->start > first || it->last < last ||
			interval_tree_iter_next(it, first, last);
	spin_unlock(&owner->span_lock);
	return alias;
}

static void discard_pages(unsigned long unit, unsigned int first,
			  unsigned int nr)
{
	if (!som_pool_poisoned(unit))
		memset(som_unit_address(unit) + first * PAGE_SIZE, 0,
		       nr * PAGE_SIZE);
}

/**
 * som_owner_discard - MADV_DONTNEED of a private mapping
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 *
 * Whole units are noted as discarded: settle() zeroes them before anybody sees
 * them again, unless som_owner_release_discarded() comes first. Parts are zeroed
 * where they are.
 *
 * Called before the kernel clears the entries: until then others may go on
 * writing, and it does not matter whether what they write is zeroed. Needs no
 * memory and takes none of the owner's locks.
 *
 * Context: The caller has mmap_lock, so no unit that the owner has goes to
 * somebody else.
 * Return: true if a unit was noted.
 */
bool som_owner_discard(struct som_owner *owner, unsigned long first,
		       unsigned long last)
{
	bool noted = false, alias = discard_alias(owner, first, last);
	unsigned long idx;
	void *entry;

	discard_notes(owner, first, last);
	WRITE_ONCE(owner->discards, true);
	som_units_for_each(&owner->units, idx, entry, som_pgoff_unit(first),
			   som_pgoff_unit(last)) {
		unsigned long lo = max(first, som_unit_pgoff(idx));
		unsigned long hi = min(last, som_unit_pgoff(idx + 1) - 1);
		bool whole = hi - lo + 1 == SOM_UNIT_PAGES;

		/* Another mapping of it must not go on showing the old bytes. */
		if (!whole || alias) {
			if (som_entry_test(entry, SOM_ENTRY_SHARED))
				som_share_settle_now(owner, idx);
			discard_pages(som_entry_unit(entry),
				      lo - som_unit_pgoff(idx), hi - lo + 1);
		}
		som_entry_change(owner, idx, 0, whole ? SOM_ENTRY_DISCARDED :
							SOM_ENTRY_ZEROED);
		noted |= whole;
		cond_resched();
	}
	return noted;
}

/*
 * Page offsets of a span that goes, in the mappings that it was moved from: once for all of
 * them. They come in order of their first page offset.
 */
static bool discard_older(struct som_span *span, unsigned long lo,
			  unsigned long hi)
{
	struct som_owner *owner = span->owner;
	struct interval_tree_node *it;
	bool noted = false;

	for (it = interval_tree_iter_first(&owner->spans, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		unsigned long first = max(lo, it->start);
		unsigned long last = min(hi, it->last);

		if (first > last || container_of(it, struct som_span, it)->generation >=
				    span->generation)
			continue;
		som_zap(owner, first, last - first + 1);
		noted |= som_owner_discard(owner, first, last);
		if (last == hi)
			break;
		lo = last + 1;
		cond_resched();
	}
	return noted;
}

/**
 * som_span_discard_left - a private mapping goes that was moved by mremap
 * @span: its span
 *
 * If mremap has left an older mapping behind (MREMAP_DONTUNMAP), that is accessible
 * from now on, and must read as zero. Not so if this is mremap itself, which has
 * failed and put everything back.
 *
 * Context: Process context; the VMA's entries are cleared and the TLB is flushed.
 * Takes owner->lock.
 */
void som_span_discard_left(struct som_span *span)
{
	struct som_owner *owner = span->owner;
	unsigned long first = span->it.start, last = span->it.last, next;
	bool noted = false, superseded;

	if (!span->private || !span->dup ||
	    span->dup_seq == som_mm_write_seq(owner->mm))
		return;
	mutex_lock(&owner->lock);
	for (; first <= last; first = next + 1) {
		next = som_span_run(span, first, last, &superseded);
		/* What was moved on, or is right now, stays where it went. */
		if (!superseded)
			noted |= discard_older(span, first, next);
	}
	mutex_unlock(&owner->lock);
	if (noted)
		som_work_queue(&owner->discard_work, SOM_DISCARD_MS);
}

/**
 * som_owner_release_discarded - give back what was discarded
 * @owner: whose
 *
 * What cannot be given back now is when the work comes again, which is queued then.
 *
 * Context: The owner's discard_work, between som_work_begin() and som_work_end(). Tries
 * mmap_lock for write.
 */
void som_owner_release_discarded(struct som_owner *owner)
{
	unsigned long unit, given = 0;
	void *batch[SOM_BATCH];
	int nr;

	punch_units(owner, 0, ULONG_MAX, PUNCH_DISCARDED, &given);
	do {
		if (xa_empty(&owner->limbo))
			return;
		if (!som_work_lock(owner)) {
			som_work_queue(&owner->discard_work, SOM_PINNED_MS);
			return;
		}
		nr = 0;
		xa_for_each(&owner->limbo, unit, batch[nr]) {
			xa_erase(&owner->limbo, unit);
			if (++nr == SOM_BATCH)
				break;
		}
		mmap_write_unlock(owner->mm);
		som_entries_drop(owner, batch, nr);
		cond_resched();
	} while (nr == SOM_BATCH);
}
