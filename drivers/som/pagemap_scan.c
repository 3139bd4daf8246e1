// SPDX-License-Identifier: GPL-2.0
/*
 * PAGEMAP_SCAN on a som file: same number, structure, results and errors as the kernel's
 * call on /proc/PID/pagemap. include/uapi/linux/som.h defines the categories.
 *
 * Each sweep does the following:
 * 1. Take mmap_lock and dirty_log.lock, look at units and clean them.
 * 2. Flush the TLB once, and release the locks.
 * 3. Copy the page regions that were found to the caller. This may fault, even on som
 *    memory. The last one stays in the buffer and is copied again, as it may grow.
 *
 * The buffer limits the memory. The sweep's budget of units, runs without memory and VMAs
 * limits the time with locks held.
 *
 * If copying fails, the pages that this sweep has cleaned for these page regions are marked
 * as written again, using their regions in the dirty log. Pages that have lost their memory
 * may have no such region. They are cleaned only after copying.
 *
 * A scan by a view (view_file.c) is of another process. It holds the address space for one
 * sweep at a time, so a process that exits gives its memory back while regions are copied out.
 * It does not copy memory that the process has inherited unless it cleans.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "claim.h"
#include "cow.h"
#include "dirty_log.h"
#include "inode.h"
#include "mapping.h"
#include "pagemap_scan.h"
#include "range.h"
#include "scan.h"
#include "som_types.h"
#include "track.h"
#include "vma_kind.h"

/* Room for the page regions of two units: 24 KiB. */
#define SOM_SCAN_BUF	1024

static int scan_args(struct pm_scan_arg *arg, struct pm_scan_arg __user *user)
{
	if (copy_from_user(arg, user, sizeof(*arg)))
		return -EFAULT;
	if (arg->size != sizeof(*arg))
		return -EINVAL;
	if (arg->flags & ~SOM_SCAN_FLAGS)
		return -EINVAL;
	if ((arg->category_inverted | arg->category_mask |
	     arg->category_anyof_mask | arg->return_mask) &
	    ~SOM_SCAN_CATEGORIES)
		return -EINVAL;

	arg->start = untagged_addr((unsigned long)arg->start);
	arg->end = untagged_addr((unsigned long)arg->end);
	arg->vec = untagged_addr((unsigned long)arg->vec);
	if (!PAGE_ALIGNED(arg->start))
		return -EINVAL;
	if (!access_ok((void __user *)arg->start, arg->end - arg->start))
		return -EFAULT;
	if (!arg->vec && arg->vec_len)
		return -EINVAL;
	if (arg->vec && !access_ok((void __user *)arg->vec,
				   size_mul(arg->vec_len,
					    sizeof(struct page_region))))
		return -EFAULT;

	arg->end = PAGE_ALIGN(arg->end);
	arg->walk_end = 0;
	if (!arg->max_pages)
		arg->max_pages = ULONG_MAX;
	return 0;
}

/* Is all of a part of a VMA tracked, for PM_SCAN_CHECK_WPASYNC? */
static bool scan_covered(struct som_dirty_log *dirty_log,
			 const struct som_scan *scan,
			 struct vm_area_struct *vma, unsigned long addr,
			 unsigned long end)
{
	if (scan->untracked)
		return false;
	return som_vma_mapping(vma)->anew ||
	       som_dirty_log_covers(dirty_log,
				    som_pgoff_index(linear_page_index(vma, addr)),
				    som_pgoff_index(linear_page_index(vma, end - 1)));
}

static int scan_vma(struct som_sweep *sweep, struct som_scan *scan,
		    struct vm_area_struct *vma, unsigned long *addr,
		    unsigned long stop, bool clean)
{
	struct som_owner *owner = sweep->owner;
	unsigned long settled;
	int ret = 0;

	if (som_owner_unsettled(owner)) {
		settled = stop;
		ret = som_track_settle(owner, vma, *addr, &settled, !scan->peek);
		stop = settled;
	}
	return ret ?: som_track_scan(sweep, scan, vma, addr, stop, clean);
}

/*
 * Do one sweep, from *addr on. Return: 0; -EAGAIN if a VMA at *addr is not ready for
 * tracking; -ERESTART to retry a tick later; -EBUSY if the view has
 * lost the log; or another error.
 */
static int scan_sweep(struct som_owner *owner, struct som_scan *scan,
		      unsigned long *addr, unsigned long end, u64 flags)
{
	struct som_dirty_log *dirty_log = &owner->dirty_log;
	struct mm_struct *mm = owner->mm;
	bool clean = flags & PM_SCAN_WP_MATCHING;
	unsigned long begin = *addr;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	struct som_sweep sweep;
	int ret;

	ret = mmap_read_lock_killable(mm);
	if (ret)
		return ret;
	vma_iter_init(&vmi, mm, *addr);
	mutex_lock(&dirty_log->lock);
	ret = som_claim_check(owner, scan);
	if (ret)
		goto out_unlock;
	som_sweep_begin(&sweep, owner);
	for_each_vma_range(vmi, vma, end) {
		unsigned long stop = min(end, vma->vm_end);

		*addr = max(*addr, vma->vm_start);
		if (!sweep.budget)
			break;
		sweep.budget--;
		if (!som_vma_mapping(vma))
			continue;
		if (flags & PM_SCAN_CHECK_WPASYNC &&
		    !scan_covered(dirty_log, scan, vma, *addr, stop))
			ret = -EPERM;
		else if (clean && !som_vma_ready(vma))
			ret = -EAGAIN;
		else
			ret = scan_vma(&sweep, scan, vma, addr, stop, clean);
		if (ret || *addr < stop)
			break;
	}
	if (!vma)
		*addr = end;
	som_sweep_end(&sweep);
	/* Record the addresses: what is mapped there later was not scanned. */
	if (clean)
		som_seen_add(&dirty_log->seen, begin,
			     scan->full ? scan->walk_end : *addr);
out_unlock:
	mutex_unlock(&dirty_log->lock);
	mmap_read_unlock(mm);
	return ret;
}

/* Do one sweep, or prepare VMAs for it. */
static int scan_step(struct som_owner *owner, struct som_scan *scan,
		     unsigned long *addr, const struct pm_scan_arg *arg)
{
	struct mm_struct *mm = owner->mm;
	int ret;

	if (scan->remote && !mmget_not_zero(mm))
		return -ESRCH;
	ret = scan_sweep(owner, scan, addr, arg->end, arg->flags);
	if (ret == -EAGAIN)
		ret = som_vma_track(mm, *addr, arg->end);
	if (scan->remote)
		mmput(mm);
	return ret;
}

/* Lock the VMAs of a process. A view fails if it cannot, or is killed. */
static bool scan_lock(struct mm_struct *mm, const struct som_scan *scan)
{
	if (!scan->remote) {
		mmap_read_lock(mm);
		return true;
	}
	if (!mmget_not_zero(mm))
		return false;
	if (!mmap_read_lock_killable(mm))
		return true;
	mmput(mm);
	return false;
}

static void scan_unlock(struct mm_struct *mm, const struct som_scan *scan)
{
	mmap_read_unlock(mm);
	if (scan->remote)
		mmput(mm);
}

/*
 * Call @fn for what the last sweep has reported and cleaned. Everything below scan->copied
 * was copied to the caller before. Return: false if nothing was done.
 */
static bool scan_regions(struct som_owner *owner, struct som_scan *scan,
			 void (*fn)(struct som_owner *owner,
				    struct vm_area_struct *vma,
				    unsigned long addr, unsigned long end))
{
	struct mm_struct *mm = owner->mm;
	unsigned int i;

	if (!scan_lock(mm, scan))
		return false;
	for (i = 0; i < scan->buf_nr; i++) {
		const struct page_region *region = &scan->buf[i];
		unsigned long addr = max(region->start, scan->copied);
		struct vm_area_struct *vma;
		struct vma_iterator vmi;

		/* Reported as not written: nothing was cleaned. */
		if (scan->return_mask & ~region->categories & PAGE_IS_WRITTEN)
			continue;
		vma_iter_init(&vmi, mm, addr);
		for_each_vma_range(vmi, vma, region->end) {
			if (som_vma_mapping(vma))
				fn(owner, vma, max(addr, vma->vm_start),
				   min_t(unsigned long, region->end,
					 vma->vm_end));
		}
	}
	scan_unlock(mm, scan);
	return true;
}

/* Copy one by one: there are few, and the checks of copy_to_user() cost more. */
static int copy_regions(struct page_region __user *out,
			const struct page_region *region, unsigned int nr)
{
	if (!user_write_access_begin(out, nr * sizeof(*out)))
		return -EFAULT;
	for (; nr; nr--, region++, out++) {
		unsafe_put_user(region->start, &out->start, fault);
		unsafe_put_user(region->end, &out->end, fault);
		unsafe_put_user(region->categories, &out->categories, fault);
	}
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

/* Copy page regions to the caller. The last one stays in the buffer: it may grow. */
static int scan_flush(struct som_owner *owner, struct som_scan *scan,
		      struct page_region __user *vec, u64 flags)
{
	unsigned int nr = scan->buf_nr;

	if (copy_regions(vec + (scan->regions - nr), scan->buf, nr)) {
		/* A view that cannot note it loses the log: its answers would be wrong. */
		if (flags & PM_SCAN_WP_MATCHING &&
		    !scan_regions(owner, scan, som_track_unclean))
			som_claim_end(owner, scan->claim);
		return -EFAULT;
	}
	if (scan->dropped)
		scan_regions(owner, scan, som_track_reported);
	scan->dropped = false;
	scan->buf[0] = scan->buf[nr - 1];
	scan->buf_nr = 1;
	scan->copied = scan->buf[0].end;
	return 0;
}

static int scan_walk(struct som_owner *owner, struct som_scan *scan,
		     struct pm_scan_arg *arg)
{
	struct page_region __user *vec = (void __user *)arg->vec;
	unsigned long addr = arg->start;
	int ret = 0, err;

	while (addr < arg->end && !scan->full && !ret) {
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		ret = scan_step(owner, scan, &addr, arg);
		if (ret == -ERESTART) {
			schedule_timeout_killable(1);
			ret = 0;
		}
		if (!ret && addr < arg->end && !scan->full) {
			if (scan->buf_nr)
				ret = scan_flush(owner, scan, vec, arg->flags);
			cond_resched();
		}
	}
	/* Page regions found before an error are already clean: report them. */
	err = scan->buf_nr ? scan_flush(owner, scan, vec, arg->flags) : 0;
	arg->walk_end = scan->full ? scan->walk_end : addr;
	return err ? err : ret;
}

/* End a scan of a process without som memory. */
static int scan_nothing(struct mm_struct *mm, const struct som_scan *scan,
			struct pm_scan_arg *arg,
			struct pm_scan_arg __user *user)
{
	if (scan->remote && !mmget_not_zero(mm))
		return -ESRCH;
	if (scan->remote)
		mmput(mm);
	arg->walk_end = arg->end;
	return put_user(arg->walk_end, &user->walk_end) ? -EFAULT : 0;
}

static long scan_mm(struct pm_scan_arg __user *user, struct mm_struct *mm,
		    bool remote, const void *claim)
{
	struct som_scan scan = {
		.remote = remote,
		.claim = claim,
	};
	struct som_owner *owner;
	struct pm_scan_arg arg;
	bool clean;
	long ret;

	ret = scan_args(&arg, user);
	if (ret)
		return ret;
	clean = arg.flags & PM_SCAN_WP_MATCHING;
	if (clean && remote && !claim)
		return -EBUSY;

	scan.peek = remote && !clean;
	scan.inverted = arg.category_inverted;
	scan.mask = arg.category_mask;
	scan.anyof = arg.category_anyof_mask;
	scan.return_mask = arg.return_mask;
	scan.vec_len = arg.vec_len;
	scan.max_pages = arg.max_pages;
	scan.buf_len = SOM_SCAN_BUF;

	owner = som_inode_find_owner(mm);
	if (!owner)
		return scan_nothing(mm, &scan, &arg, user);
	scan.buf = xchg(&owner->dirty_log.buf, NULL);
	if (!scan.buf)
		scan.buf = kvmalloc_array(scan.buf_len, sizeof(*scan.buf),
					  GFP_KERNEL_ACCOUNT);
	if (!scan.buf) {
		som_inode_put_owner(owner);
		return -ENOMEM;
	}
	ret = clean && !remote ? som_claim_own(owner) : 0;
	if (!ret)
		ret = scan_walk(owner, &scan, &arg);
	/* Another scan may have stored one meanwhile. */
	kvfree(xchg(&owner->dirty_log.buf, scan.buf));
	som_inode_put_owner(owner);
	if (!ret)
		ret = scan.regions;
	if (put_user(arg.walk_end, &user->walk_end))
		ret = -EFAULT;
	return ret;
}

/**
 * som_pagemap_scan - Handle PAGEMAP_SCAN
 * @user: arguments and results
 * Context: Process context; acts on the calling process.
 * Return: number of page regions, or -errno as the kernel's call.
 */
long som_pagemap_scan(struct pm_scan_arg __user *user)
{
	return scan_mm(user, current->mm, false, NULL);
}

/**
 * som_pagemap_scan_view - Scan another process, by a view
 * @user: its argument
 * @mm: the address space; its structure, not its users, is referenced
 * @claim: stands for the view if it may clean, or NULL
 *
 * Context: Process context; the caller may look at it.
 * Return: as som_pagemap_scan(); -ESRCH if the address space is gone; -EBUSY if the view may
 * not clean, or not any more.
 */
long som_pagemap_scan_view(struct pm_scan_arg __user *user,
			   struct mm_struct *mm, const void *claim)
{
	return scan_mm(user, mm, true, claim);
}
