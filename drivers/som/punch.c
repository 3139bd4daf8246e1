// SPDX-License-Identifier: GPL-2.0
/*
 * Remove units below existing VMAs: for MADV_REMOVE, the driver's own calls, and
 * MADV_DONTNEED of private mappings.
 *
 *  1. Take mmap_lock for write. Everything else that clears page table entries, e.g.
 *     munmap, holds it until its TLB flush, so no such flush is outstanding.
 *  2. Under owner->lock and the units' fault_locks, som_zap() clears page table entries and
 *     flushes. Nothing maps the units now, and no fault can map them.
 *  3. A unit that may be pinned needs an extra charge: the pool may quarantine it for long,
 *     while its reservation stays. Without the charge it stays at its index, discarded: see
 *     owner_settle_unit().
 *  4. The other units leave owner->tables and return to the pool before their fault_locks
 *     are released. A fault at their indices then finds the reservations free.
 *
 * Not chosen: step 1 last, only as a barrier. The units would have left their indices by
 * then, so the wait could not be abandoned when the process is killed, and a fault at an
 * index would have to find the old unit meanwhile.
 *
 * One flush covers up to SOM_FAULT_LOCKS units, whose indices have different locks.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/xarray.h>
#include "account.h"
#include "cache.h"
#include "compat.h"
#include "cow.h"
#include "dirty_log.h"
#include "entry.h"
#include "mapping.h"
#include "pool.h"
#include "punch.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "unit.h"
#include "zap.h"

/* Test whether all mapped parts of a unit are inside the page offsets first..last. */
static bool punch_covers(struct som_owner *owner, unsigned long idx,
			 unsigned long first, unsigned long last)
{
	unsigned long lo = som_index_pgoff(idx);
	unsigned long hi = som_index_pgoff(idx + 1) - 1;
	struct interval_tree_node *it;

	if (first <= lo && last >= hi)
		return true;
	for (it = interval_tree_iter_first(&owner->mappings, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		if (max(it->start, lo) < first || min(it->last, hi) > last)
			return false;
	}
	return true;
}

static void punch_zero(struct som_owner *owner, som_unit_t unit,
		       unsigned long idx, unsigned long first,
		       unsigned long last)
{
	unsigned long lo = max(first, som_index_pgoff(idx));
	unsigned long hi = min(last, som_index_pgoff(idx + 1) - 1);

	if (!som_pool_poisoned(unit))
		memset(som_unit_address(unit) +
		       ((lo - som_index_pgoff(idx)) << PAGE_SHIFT), 0,
		       (hi - lo + 1) << PAGE_SHIFT);
	som_dirty_log_wrote(&owner->dirty_log, idx, lo - som_index_pgoff(idx),
			    hi - lo + 1);
}

static void punch_unmap(struct som_owner *owner, unsigned long idx,
			unsigned long nr)
{
	if (nr)
		som_zap(owner, som_index_pgoff(idx), nr << SOM_UNIT_PAGE_SHIFT);
}

enum punch_which {
	PUNCH_COVERED,		/* whose mapped parts are all in the range */
	PUNCH_DISCARDED,	/* that were discarded */
};

/**
 * struct punch - removal of units
 * @owner: owner of the units
 * @first: first page offset
 * @last: last page offset
 * @which: units to remove
 * @idx: next unit index
 * @found: @idx has an entry that was not examined yet
 * @more: there may be entries from @idx on
 * @looks: units that may still be examined before the locks are released
 * @error: why it stopped at @idx: -EAGAIN: children need copies first, and the pool is
 *	empty; -ERESTART: children need more copies
 * @stay: some units stay because they may be pinned
 * @given: number of units removed
 */
struct punch {
	struct som_owner *owner;
	unsigned long first, last;
	enum punch_which which;
	unsigned long idx;
	bool found, more;
	unsigned int looks;
	int error;
	bool stay;
	unsigned long given;
};

/* Units whose indices have different locks; all those locks are held. */
struct punch_window {
	unsigned int nr;
	unsigned long idx[SOM_FAULT_LOCKS];
	struct mutex *lock[SOM_FAULT_LOCKS];
};

/* Do step 3. @charge: no charge has failed yet. Return: true if the unit can leave. */
static bool punch_may_go(struct som_owner *owner, unsigned long idx,
			 const void *entry, bool charge)
{
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ||
	    !som_pool_pinned(som_entry_unit(entry)))
		return true;
	if (charge && som_cache_charge(owner->account, 1)) {
		entry = som_entry_change(owner, idx, 0, SOM_ENTRY_CHARGED);
		/* Charged already, so another unit can most likely be charged, too. */
		if (som_entry_test(entry, SOM_ENTRY_CHARGED))
			som_account_uncharge(owner->account, 1);
		return true;
	}
	WRITE_ONCE(owner->discards, true);
	entry = som_entry_change(owner, idx, 0, SOM_ENTRY_DISCARDED);
	if (!som_entry_test(entry, SOM_ENTRY_DISCARDED))
		som_dirty_log_wrote(&owner->dirty_log, idx, 0, SOM_UNIT_PAGES);
	return false;
}

/*
 * Zero the part of a unit that is in the range, unless the unit is to be removed. Its index
 * is locked. Return: 1 to remove it; 0; or an error as in struct punch.
 */
static int punch_takes(struct punch *p, unsigned long idx)
{
	void *entry = som_tables_load(&p->owner->tables, idx);
	int ret;

	if (!entry || (p->which == PUNCH_DISCARDED &&
		       !som_entry_test(entry, SOM_ENTRY_DISCARDED)))
		return 0;
	if (som_entry_test(entry, SOM_ENTRY_SHARED)) {
		/* Copies take much longer than an examination. */
		p->looks -= min(p->looks, SOM_BATCH / 4);
		ret = som_cow_break_some(p->owner, idx);
		if (ret)
			return ret;
	}
	/* Zero parts in place: a pin must keep seeing the owner's data. */
	if (p->which == PUNCH_DISCARDED ||
	    punch_covers(p->owner, idx, p->first, p->last))
		return 1;
	punch_zero(p->owner, som_entry_unit(entry), idx, p->first, p->last);
	return 0;
}

static void punch_find(struct punch *p)
{
	unsigned long last = som_pgoff_index(p->last);
	struct som_tables *units = &p->owner->tables;

	p->more = p->which == PUNCH_DISCARDED ?
		som_tables_find_hinted(units, &p->idx, last, SOM_HINT_DISCARDED) :
		som_tables_find(units, &p->idx, last);
	p->found = p->more;
}

/*
 * Collect units to remove, with their locks held. Stop at an index
 * whose lock would be out of order (p->idx, with p->found set), or when p->looks is used up.
 */
static void punch_gather(struct punch *p, struct punch_window *w)
{
	struct som_owner *owner = p->owner;
	int takes;

	for (w->nr = 0; w->nr < SOM_FAULT_LOCKS && !p->error; p->idx++) {
		struct mutex *lock = &owner->fault_lock[0];

		if (!p->found && !p->looks)
			return;
		if (!p->found)
			punch_find(p);
		if (!p->more)
			return;
		/* Take the locks in ascending order, like som_owner_lock_all(). */
		if (w->nr && p->idx / SOM_FAULT_LOCKS !=
			     w->idx[0] / SOM_FAULT_LOCKS)
			return;
		p->found = false;
		p->looks -= min(p->looks, 1U);
		lock += p->idx % SOM_FAULT_LOCKS;
		mutex_lock_nest_lock(lock, &owner->lock);
		takes = punch_takes(p, p->idx);
		if (takes > 0) {
			w->idx[w->nr] = p->idx;
			w->lock[w->nr++] = lock;
			continue;
		}
		mutex_unlock(lock);
		if (!takes)
			continue;
		p->error = takes;
		/* Set the hint again, which the search has cleared. */
		if (p->which == PUNCH_DISCARDED)
			som_tables_hint(&owner->tables, p->idx,
					SOM_HINT_DISCARDED);
		return;
	}
}

static void punch_unmap_window(struct som_owner *owner,
			       const struct punch_window *w)
{
	unsigned int i, run = 0;

	for (i = 1; i <= w->nr; i++) {
		if (i < w->nr && w->idx[i] == w->idx[i - 1] + 1)
			continue;
		punch_unmap(owner, w->idx[run], i - run);
		run = i;
	}
}

/* Do steps 2 to 4 for some of the next units. */
static void punch_some(struct punch *p)
{
	struct som_owner *owner = p->owner;
	void *gone[SOM_FAULT_LOCKS], *entry;
	unsigned int i, nr = 0;
	struct punch_window w;

	lockdep_assert_held(&owner->lock);
	mmap_assert_write_locked(owner->mm);

	punch_gather(p, &w);
	punch_unmap_window(owner, &w);
	for (i = 0; i < w.nr; i++) {
		entry = som_tables_load(&owner->tables, w.idx[i]);
		if (!punch_may_go(owner, w.idx[i], entry, !p->stay)) {
			p->stay = true;
			continue;
		}
		entry = som_tables_erase(&owner->tables, w.idx[i]);
		som_dirty_log_drop(&owner->dirty_log, w.idx[i]);
		if (som_entry_level(entry) == SOM_LEVEL_4K)
			som_collapse_want(owner, w.idx[i]);
		som_entry_forget(owner, entry);
		gone[nr++] = entry;
	}
	som_entries_drop(owner, gone, nr);
	p->given += nr;
	for (i = 0; i < w.nr; i++)
		mutex_unlock(w.lock[i]);
}

/* Do step 1. A worker only tries, as it must not block. */
static int punch_lock(struct punch *p)
{
	if (p->which == PUNCH_COVERED)
		return mmap_write_lock_killable(p->owner->mm);
	return som_work_lock(p->owner) ? 0 : -EBUSY;
}

/*
 * Remove units from a range, SOM_BATCH at a time. Return: 0; -EINTR on a fatal signal; in a
 * worker also -EAGAIN if children need copies first, and -EBUSY if mmap_lock is contended.
 */
static int punch_units(struct punch *p)
{
	struct som_owner *owner = p->owner;
	int ret;

	p->idx = som_pgoff_index(p->first);
	p->found = false;
	p->stay = false;
	p->given = 0;
	do {
		ret = punch_lock(p);
		if (ret)
			break;
		p->looks = SOM_BATCH;
		p->error = 0;
		mutex_lock(&owner->lock);
		do {
			punch_some(p);
		} while (p->more && !p->error && (p->looks || p->found));
		mutex_unlock(&owner->lock);
		mmap_write_unlock(owner->mm);
		if (p->error == -EAGAIN && p->which == PUNCH_DISCARDED)
			ret = -EAGAIN;
		else if (p->error == -EAGAIN)
			schedule_timeout_killable(1);
		else
			cond_resched();
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
	} while (!ret && p->more);
	/* The search may have cleared the table's hint. */
	if (ret && p->which == PUNCH_DISCARDED)
		som_tables_hint(&owner->tables, p->idx, SOM_HINT_DISCARDED);
	/* Units that stay are removed when they are no longer pinned. */
	if (ret == -EAGAIN || ret == -EBUSY || p->stay)
		queue_delayed_work(system_unbound_wq, &owner->discard_work,
				   msecs_to_jiffies(ret == -EAGAIN && !p->stay ?
						    SOM_DISCARD_MS : SOM_PINNED_MS));
	return ret;
}

/* Test whether a unit is all zero, beginning with page @first. */
static bool unit_is_zero(som_unit_t unit, unsigned int first)
{
	void *mem = som_unit_address(unit);

	return !som_pool_poisoned(unit) &&
	       !memchr_inv(mem + first * PAGE_SIZE, 0,
			   (SOM_UNIT_PAGES - first) * PAGE_SIZE) &&
	       !memchr_inv(mem, 0, first * PAGE_SIZE);
}

/* Test whether a zero unit can be removed: no child, pin or request for pages. */
static bool may_be_given_up(const void *entry)
{
	if (som_entry_test(entry, SOM_ENTRY_SHARED))
		return false;
	/* Pins of page-backed units can only be detected while nothing maps them. */
	return som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ?
		som_entry_test(entry, SOM_ENTRY_BY_POLICY) :
		!som_pool_pinned(som_entry_unit(entry));
}

/*
 * Free a unit that was punched in part and is now all zero: allocators purge in small
 * pieces. Tracked units stay, because all of their pages would count as written.
 *
 * With mmap_lock held for write, no cleared entry is left unflushed; with fault_lock held,
 * no new entry appears. So a unit that is zero after the unmapping stays zero.
 */
static unsigned long punch_zero_unit(struct som_owner *owner,
				     unsigned long idx, unsigned int first)
{
	struct mutex *lock;
	bool gone = false;
	void *entry;
	som_unit_t unit;

	lock = som_owner_lock_unit(owner, idx);
	unit = som_owner_lookup(owner, idx);
	gone = !som_unit_failed(unit) && !som_dirty_log_tracks(&owner->dirty_log, idx) &&
	       unit_is_zero(unit, first);
	mutex_unlock(lock);
	if (!gone || mmap_write_lock_killable(owner->mm))
		return 0;

	mutex_lock(&owner->lock);
	lock = som_owner_lock_unit(owner, idx);
	entry = som_tables_load(&owner->tables, idx);
	gone = false;
	if (entry && !som_dirty_log_tracks(&owner->dirty_log, idx) &&
	    may_be_given_up(entry)) {
		punch_unmap(owner, idx, 1);
		gone = !som_entry_pinned(entry) &&
		       unit_is_zero(som_entry_unit(entry), first);
	}
	if (gone) {
		entry = som_tables_erase(&owner->tables, idx);
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
 * Punch deferred copies: drop those that are wholly in the range; copy others, and leave
 * the zeroing to the caller. Return: 0, or -EINTR on a fatal signal.
 */
static int punch_deferred(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	unsigned long idx = som_pgoff_index(first);
	struct mutex *lock;
	int ret;

	while (som_cow_find(owner, &idx, som_pgoff_index(last))) {
		mutex_lock(&owner->lock);
		lock = som_owner_lock_index(owner, idx);
		ret = 0;
		if (punch_covers(owner, idx, first, last))
			som_cow_drop(owner, idx, idx);
		else
			ret = som_cow_pull(owner, idx);
		/* A failed copy would expose the part that was to be zeroed. */
		if (ret && ret != -EAGAIN)
			som_cow_lose(owner, idx);
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
 * som_owner_punch - Zero page offsets and free units
 * @owner: owner
 * @first: first page offset
 * @last: last page offset
 * @given: set to the number of units freed
 *
 * Units return to the pool if all their mapped parts are inside, or if they are all zero
 * afterwards. Others are zeroed in place. The pool quarantines units that may be pinned,
 * and the owner is charged for them; if that fails, a unit stays, discarded. Reservations
 * stay.
 * Context: Process context of the owner, without mmap_lock and owner->lock; takes both
 * (mmap_lock for write) for SOM_BATCH units at a time.
 * Return: 0, or -EINTR on a fatal signal, when a part may be done.
 */
int som_owner_punch(struct som_owner *owner, unsigned long first,
		    unsigned long last, unsigned long *given)
{
	struct punch p = {
		.owner = owner,
		.first = first,
		.last = last,
		.which = PUNCH_COVERED,
	};
	unsigned long idx = som_pgoff_index(first);
	int ret;

	*given = 0;
	ret = punch_deferred(owner, first, last);
	/* With no unit to remove, do not wait for mmap_lock. */
	if (ret || !som_tables_find(&owner->tables, &idx, som_pgoff_index(last)))
		return ret;
	ret = punch_units(&p);
	*given = p.given;
	if (ret)
		return ret;
	/* Only the first and the last unit can have been punched in part. */
	idx = som_pgoff_index(first);
	if (first != som_index_pgoff(idx))
		*given += punch_zero_unit(owner, idx, 0);
	idx = som_pgoff_index(last);
	if (last + 1 != som_index_pgoff(idx + 1))
		*given += punch_zero_unit(owner, idx,
					  last + 1 - som_index_pgoff(idx));
	return 0;
}

static void discard_deferred(struct som_owner *owner, unsigned long first,
			     unsigned long last, unsigned long *until)
{
	unsigned long idx = som_pgoff_index(first);

	for (; som_cow_find(owner, &idx, som_pgoff_index(last)); idx++) {
		if (som_index_pgoff(idx) >= first &&
		    som_index_pgoff(idx + 1) - 1 <= last)
			som_cow_drop(owner, idx, idx);
		else
			som_cow_settle_now(owner, idx, until);
	}
}

/* Test whether another mapping than the discarding one maps some page offsets. */
static bool discard_alias(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	struct interval_tree_node *it;
	bool alias = false;

	if (!READ_ONCE(owner->may_alias))
		return false;
	spin_lock(&owner->mapping_lock);
	it = interval_tree_iter_first(&owner->mappings, first, last);
	if (it)
		alias = it->start > first || it->last < last ||
			interval_tree_iter_next(it, first, last);
	spin_unlock(&owner->mapping_lock);
	return alias;
}

static void discard_pages(som_unit_t unit, unsigned int first,
			  unsigned int nr)
{
	if (!som_pool_poisoned(unit))
		memset(som_unit_address(unit) + first * PAGE_SIZE, 0,
		       nr * PAGE_SIZE);
}

/**
 * som_owner_discard - Discard page offsets for MADV_DONTNEED of a private mapping
 * @owner: owner
 * @first: first page offset
 * @last: last page offset
 *
 * Mark whole units as discarded: owner_settle_unit() zeroes them before they are visible
 * again, or som_owner_release_discarded() frees them. Zero parts in place.
 *
 * Called before the kernel clears the entries. Others may write until then; whether their
 * data is zeroed does not matter. Takes neither owner->lock nor a fault_lock, and does not
 * wait for kernel memory.
 * Context: mmap_lock is held, so no unit changes its owner.
 * Return: true if a unit was marked.
 */
bool som_owner_discard(struct som_owner *owner, unsigned long first,
		       unsigned long last)
{
	bool noted = false, alias = discard_alias(owner, first, last);
	unsigned long idx, until = 0;
	void *entry;

	discard_deferred(owner, first, last, &until);
	WRITE_ONCE(owner->discards, true);
	som_tables_for_each(&owner->tables, idx, entry, som_pgoff_index(first),
			    som_pgoff_index(last)) {
		unsigned long lo = max(first, som_index_pgoff(idx));
		unsigned long hi = min(last, som_index_pgoff(idx + 1) - 1);
		bool whole = hi - lo + 1 == SOM_UNIT_PAGES;

		/* Another mapping of the unit must not keep showing the old data. */
		if (!whole || alias) {
			if (som_entry_test(entry, SOM_ENTRY_SHARED) &&
			    som_cow_settle_now(owner, idx, &until))
				continue;
			discard_pages(som_entry_unit(entry),
				      lo - som_index_pgoff(idx), hi - lo + 1);
		}
		som_entry_change(owner, idx, 0, whole ? SOM_ENTRY_DISCARDED :
							SOM_ENTRY_ZEROED);
		noted |= whole;
		cond_resched();
	}
	return noted;
}

/*
 * Discard page offsets of a closed mapping in the older mappings that it was moved from.
 * The tree yields those by first page offset, so each page is discarded once.
 */
static bool discard_older(struct som_mapping *mapping, unsigned long lo,
			  unsigned long hi)
{
	struct som_owner *owner = mapping->owner;
	struct interval_tree_node *it;
	bool noted = false;

	for (it = interval_tree_iter_first(&owner->mappings, lo, hi); it;
	     it = interval_tree_iter_next(it, lo, hi)) {
		unsigned long first = max(lo, it->start);
		unsigned long last = min(hi, it->last);

		if (first > last || container_of(it, struct som_mapping, it)->generation >=
				    mapping->generation)
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
 * som_mapping_discard_left - Discard the memory of a private mapping that mremap has moved
 * @mapping: mapping of the VMA that is being closed
 *
 * If mremap left an older mapping in place (MREMAP_DONTUNMAP), that is accessible from now
 * on and must read as zero. Do nothing if mremap itself has failed and restores the old
 * mapping.
 * Context: Process context; the VMA's entries are cleared and the TLB is flushed. Takes
 * owner->lock.
 */
void som_mapping_discard_left(struct som_mapping *mapping)
{
	struct som_owner *owner = mapping->owner;
	unsigned long first = mapping->it.start, last = mapping->it.last, next;
	bool noted = false, superseded;

	if (!mapping->private || !mapping->dup ||
	    mapping->dup_seq == som_mm_write_seq(owner->mm))
		return;
	mutex_lock(&owner->lock);
	for (; first <= last; first = next + 1) {
		next = som_mapping_run(mapping, first, last, &superseded);
		/* Data that was moved on, or is being moved, stays. */
		if (!superseded)
			noted |= discard_older(mapping, first, next);
	}
	mutex_unlock(&owner->lock);
	if (noted)
		queue_delayed_work(system_unbound_wq, &owner->discard_work,
				   msecs_to_jiffies(SOM_DISCARD_MS));
}

/**
 * som_owner_release_discarded - Free discarded units
 * @owner: owner
 *
 * Queues the work again for units that cannot be freed now.
 * Context: The owner's discard_work, between som_work_begin() and som_work_end(). Tries
 * mmap_lock for write.
 */
void som_owner_release_discarded(struct som_owner *owner)
{
	struct punch p = {
		.owner = owner,
		.last = ULONG_MAX,
		.which = PUNCH_DISCARDED,
	};
	void *batch[SOM_BATCH];
	unsigned long number;
	int nr;

	punch_units(&p);
	do {
		if (xa_empty(&owner->deferred_free))
			return;
		if (!som_work_lock(owner)) {
			queue_delayed_work(system_unbound_wq,
					   &owner->discard_work,
					   msecs_to_jiffies(SOM_PINNED_MS));
			return;
		}
		nr = 0;
		xa_for_each(&owner->deferred_free, number, batch[nr]) {
			xa_erase(&owner->deferred_free, number);
			if (++nr == SOM_BATCH)
				break;
		}
		mmap_write_unlock(owner->mm);
		som_entries_drop(owner, batch, nr);
		cond_resched();
	} while (nr == SOM_BATCH);
}
