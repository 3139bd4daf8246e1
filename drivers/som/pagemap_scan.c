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
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
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

static int scan_vma(struct som_sweep *sweep, struct som_scan *scan,
		    struct vm_area_struct *vma, unsigned long *addr,
		    unsigned long stop, bool clean)
{
	struct som_owner *owner = sweep->owner;
	unsigned long settled;
	int ret = 0;

	if (som_owner_unsettled(owner)) {
		settled = stop;
		ret = som_track_settle(owner, vma, *addr, &settled);
		stop = settled;
	}
	return ret ?: som_track_scan(sweep, scan, vma, addr, stop, clean);
}

/*
 * Do one sweep, from *addr on. Return: 0; -EAGAIN if a VMA at *addr is not ready for
 * tracking; -ERESTART to retry a tick later; or another error.
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
	som_sweep_begin(&sweep, owner);
	for_each_vma_range(vmi, vma, end) {
		unsigned long stop = min(end, vma->vm_end);

		*addr = max(*addr, vma->vm_start);
		if (!sweep.budget)
			break;
		sweep.budget--;
		if (!som_vma_mapping(vma))
			continue;
		if (flags & PM_SCAN_CHECK_WPASYNC && !som_vma_mapping(vma)->anew &&
		    !som_dirty_log_covers(dirty_log,
					  som_pgoff_index(linear_page_index(vma, *addr)),
					  som_pgoff_index(linear_page_index(vma, stop - 1))))
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
	mutex_unlock(&dirty_log->lock);
	mmap_read_unlock(mm);
	return ret;
}

/*
 * Call @fn for what the last sweep has reported and cleaned. Everything below scan->copied
 * was copied to the caller before.
 */
static void scan_regions(struct som_owner *owner, struct som_scan *scan,
			 void (*fn)(struct som_owner *owner,
				    struct vm_area_struct *vma,
				    unsigned long addr, unsigned long end))
{
	struct mm_struct *mm = owner->mm;
	unsigned int i;

	mmap_read_lock(mm);
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
	mmap_read_unlock(mm);
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
		if (flags & PM_SCAN_WP_MATCHING)
			scan_regions(owner, scan, som_track_unclean);
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
		ret = scan_sweep(owner, scan, &addr, arg->end, arg->flags);
		if (ret == -EAGAIN)
			ret = som_vma_track(owner->mm, addr, arg->end);
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

/**
 * som_pagemap_scan - Handle PAGEMAP_SCAN
 * @user: arguments and results
 * Context: Process context; acts on the calling process.
 * Return: number of page regions, or -errno as the kernel's call.
 */
long som_pagemap_scan(struct pm_scan_arg __user *user)
{
	struct som_scan scan = {};
	struct som_owner *owner;
	struct pm_scan_arg arg;
	long ret;

	ret = scan_args(&arg, user);
	if (ret)
		return ret;

	scan.inverted = arg.category_inverted;
	scan.mask = arg.category_mask;
	scan.anyof = arg.category_anyof_mask;
	scan.return_mask = arg.return_mask;
	scan.vec_len = arg.vec_len;
	scan.max_pages = arg.max_pages;
	scan.buf_len = SOM_SCAN_BUF;

	owner = som_inode_find_owner(current->mm);
	if (!owner) {
		arg.walk_end = arg.end;
		return put_user(arg.walk_end, &user->walk_end) ? -EFAULT : 0;
	}
	scan.buf = xchg(&owner->dirty_log.buf, NULL);
	if (!scan.buf)
		scan.buf = kvmalloc_array(scan.buf_len, sizeof(*scan.buf),
					  GFP_KERNEL_ACCOUNT);
	if (!scan.buf) {
		som_inode_put_owner(owner);
		return -ENOMEM;
	}
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
