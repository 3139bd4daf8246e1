// SPDX-License-Identifier: GPL-2.0
/*
 * The party that tracks the writes of a process: itself, or a view of it.
 *
 * An owner has one dirty log. A scan that cleans takes from it what the next scan would
 * have found. So at most one party at a time may clean. In order:
 *
 *  1. none, as long as nothing was cleaned;
 *  2. a view with SOM_VIEW_TRACK: som_claim_take(). A scan by any other party finds
 *     untracked memory, whatever the view's scans have cleaned;
 *  3. the process itself, from its first scan with PM_SCAN_WP_MATCHING or SOM_IOC_RESET
 *     on: som_claim_own(). That stays, and takes the log away from a view: a viewer must
 *     not make the calls of a program fail.
 *
 * When a claim ends, the regions and ranges of the log are removed, some at a time, and
 * their memory is untracked, as before. Until then the claim is SOM_CLAIM_ENDING, and no party
 * can take the log. A process that waits for it helps.
 *
 * Locking: dirty_log.lock guards claim, own and ending; owner->lock is taken below it.
 * mmap_lock is not needed: mappings are made, and go, under owner->lock.
 */
#include <linux/errno.h>
#include <linux/interval_tree.h>
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/xarray.h>
#include "claim.h"
#include "dirty_log.h"
#include "entry.h"
#include "map.h"
#include "scan.h"
#include "seen.h"
#include "som_types.h"

/* In the place of a claim: it has ended, and its regions are being removed. */
#define SOM_CLAIM_ENDING	((const void *)1)

/**
 * som_claim_take - Give the log of a process to a view
 * @owner: the process's
 * @claim: stands for the view; not NULL
 *
 * Context: Process context; takes dirty_log.lock.
 * Return: 0; -EBUSY if the process tracks for itself, or another view has the log.
 */
int som_claim_take(struct som_owner *owner, const void *claim)
{
	struct som_dirty_log *t = &owner->dirty_log;
	int ret = -EBUSY;

	mutex_lock(&t->lock);
	if (!t->own && !t->claim) {
		t->claim = claim;
		ret = 0;
	}
	mutex_unlock(&t->lock);
	return ret;
}

/* Find the index up to which regions are removed in one step. */
static unsigned long step_last(struct som_owner *owner, unsigned long idx)
{
	struct xarray *regions = &owner->dirty_log.regions;
	unsigned int nr = 0;

	for (; xa_find(regions, &idx, ULONG_MAX, XA_PRESENT); idx++) {
		/* Nothing asks for 4 KiB entries any more. */
		som_collapse_want(owner, idx);
		if (++nr == SOM_TRACK_UNITS)
			return idx;
	}
	return ULONG_MAX;
}

/*
 * Forget the addresses that scans have passed. dirty_log.anew stays, as mremap may be about to
 * copy the flag of a mapping. The copy then counts as written, which is safe.
 */
static void forget_seen(struct som_owner *owner)
{
	struct som_dirty_log *t = &owner->dirty_log;
	struct interval_tree_node *it;

	som_seen_init(&t->seen);
	if (!READ_ONCE(t->anew))
		return;
	for (it = interval_tree_iter_first(&owner->mappings, 0, ULONG_MAX); it;
	     it = interval_tree_iter_next(it, 0, ULONG_MAX)) {
		WRITE_ONCE(container_of(it, struct som_mapping, it)->anew, false);
		cond_resched();
	}
}

/* Do one step of the end of a claim. */
static void end_step(struct som_owner *owner)
{
	struct som_dirty_log *t = &owner->dirty_log;
	unsigned long last;

	lockdep_assert_held(&t->lock);

	mutex_lock(&owner->lock);
	last = step_last(owner, t->ending);
	som_owner_untrack(owner, t->ending, last);
	t->ending = last + 1;
	if (last == ULONG_MAX) {
		forget_seen(owner);
		t->claim = NULL;
	}
	mutex_unlock(&owner->lock);
}

static void begin_end(struct som_dirty_log *t)
{
	lockdep_assert_held(&t->lock);

	if (t->claim == SOM_CLAIM_ENDING)
		return;
	t->claim = SOM_CLAIM_ENDING;
	t->ending = 0;
}

/**
 * som_claim_end - Take the log back from a view
 * @owner: the process's
 * @claim: stands for the view; it may have lost the log already
 *
 * Context: Process context; takes dirty_log.lock and owner->lock, for some units at a time.
 */
void som_claim_end(struct som_owner *owner, const void *claim)
{
	struct som_dirty_log *t = &owner->dirty_log;
	bool more;

	do {
		mutex_lock(&t->lock);
		if (t->claim == claim)
			begin_end(t);
		more = t->claim == SOM_CLAIM_ENDING;
		if (more)
			end_step(owner);
		mutex_unlock(&t->lock);
		cond_resched();
	} while (more);
}

/**
 * som_claim_own - Give the log of a process to the process
 * @owner: its own
 *
 * Context: Process context; takes dirty_log.lock and owner->lock, for some units at a time.
 * Return: 0, or -EINTR on a fatal signal.
 */
int som_claim_own(struct som_owner *owner)
{
	struct som_dirty_log *t = &owner->dirty_log;
	bool done = READ_ONCE(t->own);

	while (!done) {
		if (fatal_signal_pending(current))
			return -EINTR;
		mutex_lock(&t->lock);
		if (t->claim) {
			begin_end(t);
			end_step(owner);
		}
		done = !t->claim;
		if (done)
			WRITE_ONCE(t->own, true);
		mutex_unlock(&t->lock);
		cond_resched();
	}
	return 0;
}

/**
 * som_claim_check - Set what a scan may see of the log
 * @owner: whose
 * @scan: the scan; its @untracked is set
 *
 * Context: dirty_log.lock is held, and it is right as long as it is.
 * Return: 0; -EBUSY if the scan is of a view that has lost the log.
 */
int som_claim_check(struct som_owner *owner, struct som_scan *scan)
{
	struct som_dirty_log *t = &owner->dirty_log;

	lockdep_assert_held(&t->lock);

	if (scan->claim && t->claim != scan->claim)
		return -EBUSY;
	scan->untracked = t->claim != scan->claim;
	return 0;
}
