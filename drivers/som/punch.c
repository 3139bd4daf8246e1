// SPDX-License-Identifier: GPL-2.0
/*
 * Taking units away below living VMAs, for MADV_REMOVE, the driver's own calls and
 * MADV_DONTNEED of private mappings:
 *
 *  1. mmap_lock is taken for write: munmap and everything else that clears entries
 *     holds it until it has flushed the TLB. So nobody is between the two;
 *  2. under owner->lock and the units' fault_locks, som_zap() clears page table entries and
 *     flushes: nothing maps the units any more, and no fault can map them;
 *  3. those that may be pinned now need a charge of their own, as the pool may hold them for
 *     long, while their reservations stay. If that cannot be had, a unit stays at its
 *     index, discarded: see owner_settle_unit();
 *  4. the others leave owner->tables and go to the pool, before their fault_locks are given
 *     up. So a fault at their indices finds that their reservations are free.
 *
 * Not chosen: step 1 after step 2, alone, as a barrier, which can be waited for no more when
 * the units have left their indices, also when the process is killed; and which leaves
 * them between two places, where a fault at an index has to find its old unit.
 *
 * Up to SOM_FAULT_LOCKS units, of indices that have a lock each, go with one flush.
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

/* Are all mapped parts of a unit inside the page offsets first..last? */
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

/* Zero the pages first..last of a unit where it is. */
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

/* Which units are to go. */
enum punch_which {
	PUNCH_COVERED,		/* all whose mapped parts are in the range */
	PUNCH_DISCARDED,	/* all that were discarded */
};

/**
 * struct punch - units that are taken away
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 * @which: which of those
 * @idx: the next unit index
 * @found: there is an entry at @idx that is to be looked at
 * @more: there may be some from @idx on
 * @looks: how many units may still be looked at with the locks held
 * @error: why it stops at @idx: -EAGAIN, children need copies first, and the pool has nothing
 *	right now; -ERESTART, they need more of them
 * @stay: some units stay, as they may be pinned
 * @given: how many have gone
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

/* Units of indices that have a lock each; all of those are held. */
struct punch_window {
	unsigned int nr;
	unsigned long idx[SOM_FAULT_LOCKS];
	struct mutex *lock[SOM_FAULT_LOCKS];
};

/*
 * Step 3. @charge: to try is not in vain, as far as is known. Return: whether the unit goes.
 */
static bool punch_may_go(struct som_owner *owner, unsigned long idx,
			 const void *entry, bool charge)
{
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ||
	    !som_pool_pinned(som_entry_unit(entry)))
		return true;
	if (charge && som_cache_charge(owner->account, 1)) {
		entry = som_entry_change(owner, idx, 0, SOM_ENTRY_CHARGED);
		/* It has its own; but the index can most likely have another unit. */
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
 * Is a unit to go (1), or not (0)? If not, what is to be zeroed of it is. Its index is
 * locked. Or an error, as in struct punch.
 */
static int punch_takes(struct punch *p, unsigned long idx)
{
	void *entry = som_tables_load(&p->owner->tables, idx);
	int ret;

	if (!entry || (p->which == PUNCH_DISCARDED &&
		       !som_entry_test(entry, SOM_ENTRY_DISCARDED)))
		return 0;
	if (som_entry_test(entry, SOM_ENTRY_SHARED)) {
		/* Copies take so much longer than a look. */
		p->looks -= min(p->looks, SOM_BATCH / 4);
		ret = som_cow_break_some(p->owner, idx);
		if (ret)
			return ret;
	}
	/* Whoever pins it must go on seeing the owner's bytes. */
	if (p->which == PUNCH_DISCARDED ||
	    punch_covers(p->owner, idx, p->first, p->last))
		return 1;
	punch_zero(p->owner, som_entry_unit(entry), idx, p->first, p->last);
	return 0;
}

/* The next index that punch_takes() is to be asked about. */
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
 * Units that are to go, with their locks. Stops where an index has the lock of another one,
 * which is then p->idx, and p->found; or before the next look.
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
		/* In this order, as whoever takes all of them. */
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
		/* To be found once more. */
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

/* Steps 2 to 4 for some of the next units. */
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

/* Step 1. A worker waits for nobody. */
static int punch_lock(struct punch *p)
{
	if (p->which == PUNCH_COVERED)
		return mmap_write_lock_killable(p->owner->mm);
	return som_work_lock(p->owner) ? 0 : -EBUSY;
}

/*
 * Take units out of a range, and give them back, SOM_BATCH at a time. Return: 0; -EINTR on a
 * fatal signal; in a worker -EAGAIN if children need copies first, and -EBUSY if mmap_lock
 * is not to be had.
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
	/* The table's hint may have been taken. */
	if (ret && p->which == PUNCH_DISCARDED)
		som_tables_hint(&owner->tables, p->idx, SOM_HINT_DISCARDED);
	/* Those that stay go when they are not pinned any more. */
	if (ret == -EAGAIN || ret == -EBUSY || p->stay)
		queue_delayed_work(system_unbound_wq, &owner->discard_work,
				   msecs_to_jiffies(ret == -EAGAIN && !p->stay ?
						    SOM_DISCARD_MS : SOM_PINNED_MS));
	return ret;
}

/* Is a unit all zero? @first: the page to begin with: the likeliest not to be. */
static bool unit_is_zero(som_unit_t unit, unsigned int first)
{
	void *mem = som_unit_address(unit);

	return !som_pool_poisoned(unit) &&
	       !memchr_inv(mem + first * PAGE_SIZE, 0,
			   (SOM_UNIT_PAGES - first) * PAGE_SIZE) &&
	       !memchr_inv(mem, 0, first * PAGE_SIZE);
}

/* Does nobody but its content keep a unit: no child, no pin, nobody who wants it page-backed? */
static bool may_be_given_up(const void *entry)
{
	if (som_entry_test(entry, SOM_ENTRY_SHARED))
		return false;
	/* Who pins pages is only seen when nothing maps them. */
	return som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ?
		som_entry_test(entry, SOM_ENTRY_BY_POLICY) :
		!som_pool_pinned(som_entry_unit(entry));
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
 * What was inherited and not copied yet: dropped where all of it is in the range, and
 * copied where a part is, to be zeroed there. Return: 0, or -EINTR on a fatal signal.
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
		/* A part of it that cannot be zeroed is not to be seen later. */
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
 * som_owner_punch - zero page offsets and give back what can be given back
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 * @given: where it goes how many units were given up
 *
 * Units all of whose mapped parts are inside, or that are all zero then, go
 * back to the pool; everything else is zeroed in place. What may be pinned the pool
 * holds, and the owner is charged for it; if it cannot be, the unit stays,
 * discarded. Reservations stay.
 *
 * Context: Process context of the owner; takes mmap_lock for write, and owner->lock, for
 * SOM_BATCH units at a time. The caller has neither.
 * Return: 0, or -EINTR on a fatal signal, and a part may be done.
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
	/* Whoever gives up what he has not waits for nobody. */
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

/* The same of what was inherited and not copied yet. */
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

/* Does anything map some page offsets but the mapping that gives them up? */
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
 * som_owner_discard - MADV_DONTNEED of a private mapping
 * @owner: whose
 * @first: first page offset
 * @last: last page offset
 *
 * Whole units are noted as discarded: owner_settle_unit() zeroes them before anybody sees
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
	unsigned long idx, until = 0;
	void *entry;

	discard_deferred(owner, first, last, &until);
	WRITE_ONCE(owner->discards, true);
	som_tables_for_each(&owner->tables, idx, entry, som_pgoff_index(first),
			    som_pgoff_index(last)) {
		unsigned long lo = max(first, som_index_pgoff(idx));
		unsigned long hi = min(last, som_index_pgoff(idx + 1) - 1);
		bool whole = hi - lo + 1 == SOM_UNIT_PAGES;

		/* Another mapping of it must not go on showing the old bytes. */
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
 * Page offsets of a mapping that goes, in the mappings that it was moved from: once for all of
 * them. They come in order of their first page offset.
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
 * som_mapping_discard_left - a private mapping goes that was moved by mremap
 * @mapping: its mapping
 *
 * If mremap has left an older mapping behind (MREMAP_DONTUNMAP), that is accessible
 * from now on, and must read as zero. Not so if this is mremap itself, which has
 * failed and put everything back.
 *
 * Context: Process context; the VMA's entries are cleared and the TLB is flushed.
 * Takes owner->lock.
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
		/* What was moved on, or is right now, stays where it went. */
		if (!superseded)
			noted |= discard_older(mapping, first, next);
	}
	mutex_unlock(&owner->lock);
	if (noted)
		queue_delayed_work(system_unbound_wq, &owner->discard_work,
				   msecs_to_jiffies(SOM_DISCARD_MS));
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
