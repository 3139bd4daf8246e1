// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_IOC_RESET: restore written pages to zero or to an image.
 *
 * In steps of a few units:
 * 1. Harvest: move dirty bits into the units' regions, and flush the TLB once. A later
 *    write sets a dirty bit again.
 * 2. Rewrite each page that is written according to its region, through the kernel's own
 *    mapping, which sets no dirty bit. Then clear its bit in the region. dirty_log.lock is
 *    held, so no other scan or reset of the process has a flush outstanding.
 *
 * A write during the call thus either precedes the rewriting of its page and is lost, or
 * marks the page as written. If the call ends early, the regions still hold what remains.
 *
 * With an image, step 2 reads bytes into a buffer without locks, as a file read or a fault
 * may sleep. Then it takes the locks and looks up the unit again. If the pages are no
 * longer mapped as before, the step is repeated.
 *
 * What exceeds keep_resident is released as by MADV_REMOVE.
 */
#include <linux/bitmap.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/som.h>
#include "claim.h"
#include "cow.h"
#include "dirty_log.h"
#include "entry.h"
#include "inode.h"
#include "mapping.h"
#include "page_backed.h"
#include "pool.h"
#include "punch.h"
#include "range.h"
#include "reset.h"
#include "som_types.h"
#include "track.h"
#include "unit.h"
#include "vma_kind.h"

/* Units per step. */
#define SOM_RESET_UNITS	16
/* Image pages per read. */
#define SOM_RESET_PAGES	16

/* What a step has harvested of a unit. */
struct reset_unit {
	unsigned long idx;
	unsigned long start;	/* its addresses */
	unsigned long end;
	unsigned int first;	/* number of its first page in the unit */
	bool aliased;		/* not harvested: pages stay written */
};

struct som_resetter {
	struct som_reset *args;
	struct som_owner *owner;
	struct file *file;	/* image file, or NULL */
	void *buf;		/* image bytes; NULL: reset to zero */
	unsigned long addr;	/* all below is done */
	unsigned long next;	/* all below is in units, or needs nothing */
	unsigned long end;
	u64 budget;		/* bytes that may still be rewritten */
	bool full;		/* budget is too small for the unit at addr */
	bool again;		/* repeat from addr, later */
	unsigned int nr;
	struct reset_unit units[SOM_RESET_UNITS];
};

static unsigned int unit_last(const struct reset_unit *u)
{
	return u->first + ((u->end - u->start) >> PAGE_SHIFT);
}

/* Do step 1 for a unit. */
static void harvest_unit(struct som_resetter *r, struct som_sweep *sweep,
			 struct vm_area_struct *vma, unsigned long addr,
			 unsigned long idx)
{
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES) = {};
	struct reset_unit *u = &r->units[r->nr++];
	struct som_view view;
	struct mutex *lock;
	pgoff_t pgoff;
	som_unit_t unit;

	u->idx = idx;
	som_index_clip(vma->vm_start, vma->vm_end, vma->vm_pgoff, idx,
		       &u->start, &u->end);
	u->start = max(u->start, addr);
	u->end = min(u->end, r->end);
	r->next = u->end;
	pgoff = linear_page_index(vma, u->start);
	u->first = pgoff - som_index_pgoff(idx);
	bitmap_set(pages, u->first, unit_last(u) - u->first);
	u->aliased = som_owner_aliased(r->owner, pgoff,
				       linear_page_index(vma, u->end - 1));

	lock = som_owner_lock_unit(r->owner, idx);
	unit = som_owner_lookup(r->owner, idx);
	if (som_unit_failed(unit) || !som_dirty_log_find(&r->owner->dirty_log, idx))
		goto out;
	som_view_read(&view, r->owner, vma, idx, unit, u->aliased);
	/* Without dirty bits all of it counts as written. */
	if (u->aliased || view.region->pinned)
		som_dirty_log_wrote(&r->owner->dirty_log, idx, u->first,
				    unit_last(u) - u->first);
	if (!u->aliased) {
		som_view_harvest(&view, sweep, pages);
		som_view_idle(&view, sweep);
		som_dirty_log_update(&r->owner->dirty_log, idx, view.region);
	}
out:
	mutex_unlock(lock);
}

/* Do step 1 from addr to stop in a VMA; return false if the step is full. */
static bool harvest_vma(struct som_resetter *r, struct som_sweep *sweep,
			struct vm_area_struct *vma, unsigned long addr,
			unsigned long stop)
{
	unsigned long idx = som_pgoff_index(linear_page_index(vma, addr));
	unsigned long last = som_pgoff_index(linear_page_index(vma, stop - 1));

	for (; xa_find(&r->owner->dirty_log.regions, &idx, last,
		       SOM_REGION_DIRTY); idx++) {
		if (r->nr == SOM_RESET_UNITS)
			return false;
		harvest_unit(r, sweep, vma, addr, idx);
	}
	r->next = stop;
	return true;
}

/*
 * Skip pages that are known to be zero. They count as written because their index had other
 * memory before.
 */
static void skip_zeroes(const struct reset_unit *u, struct som_region *region)
{
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	unsigned long zeroes = 0;
	unsigned int word;

	for (word = 0; word < SOM_UNIT_GROUPS; word++)
		zeroes |= region->written[word] & ~region->nonzero[word];
	if (likely(!zeroes) || region->pinned || u->aliased)
		return;
	bitmap_zero(pages, SOM_UNIT_PAGES);
	bitmap_set(pages, u->first, unit_last(u) - u->first);
	bitmap_andnot(pages, pages, region->nonzero, SOM_UNIT_PAGES);
	bitmap_andnot(region->written, region->written, pages, SOM_UNIT_PAGES);
}

/* Rewrite the written pages first..last (exclusive) of a unit, which is locked. */
static void rewrite_pages(struct som_resetter *r, const struct reset_unit *u,
			  som_unit_t unit, struct som_region *region,
			  unsigned int first, unsigned int last)
{
	bool paged = som_owner_auto_converted(r->owner, u->idx);
	unsigned int page = first;

	for_each_set_bit_from(page, region->written, last) {
		void *mem = som_unit_address(unit) + page * PAGE_SIZE;
		/* Another VMA, or a device, may still write to it. */
		bool stays = u->aliased ||
			     (paged && som_page_backed_page_pinned(unit, page));

		if (r->buf) {
			copy_page(mem, r->buf + (page - first) * PAGE_SIZE);
			__set_bit(page, region->nonzero);
		} else {
			clear_page(mem);
			if (!region->pinned && !stays)
				__clear_bit(page, region->nonzero);
		}
		if (!stays)
			__clear_bit(page, region->written);
		r->args->rewritten += PAGE_SIZE;
		r->budget -= min_t(u64, r->budget, PAGE_SIZE);
	}
	som_dirty_log_update(&r->owner->dirty_log, u->idx, region);
}

/* Test whether the budget suffices for the written pages of a unit. */
static bool unit_fits(struct som_resetter *r, const struct reset_unit *u,
		      const struct som_region *region)
{
	unsigned int page = u->first;
	u64 bytes = 0;

	if (r->budget >= SOM_UNIT_SIZE)
		return true;
	for_each_set_bit_from(page, region->written, unit_last(u))
		bytes += PAGE_SIZE;
	return bytes <= r->budget;
}

/* Do step 2 of a reset to zero; mmap_lock is held since step 1. Return 0 or -EHWPOISON. */
static int zero_units(struct som_resetter *r)
{
	unsigned int i;

	for (i = 0; i < r->nr && !r->full; i++) {
		const struct reset_unit *u = &r->units[i];
		struct mutex *lock = som_owner_lock_unit(r->owner, u->idx);
		som_unit_t unit = som_owner_lookup(r->owner, u->idx);
		struct som_region *region;

		region = som_dirty_log_find(&r->owner->dirty_log, u->idx);
		if (!som_unit_failed(unit) && region && som_cow_break(r->owner, u->idx)) {
			/* No unit is available for a child's copy: repeat from here. */
			mutex_unlock(lock);
			r->addr = u->start;
			r->again = true;
			return 0;
		}
		if (!som_unit_failed(unit) && region && som_pool_poisoned(unit)) {
			mutex_unlock(lock);
			r->addr = u->start;
			return -EHWPOISON;
		}
		if (!som_unit_failed(unit) && region) {
			skip_zeroes(u, region);
			r->full = !unit_fits(r, u, region);
			if (!r->full)
				rewrite_pages(r, u, unit, region, u->first,
					      unit_last(u));
		}
		mutex_unlock(lock);
		r->addr = r->full ? u->start : u->end;
	}
	return 0;
}

/*
 * Track units with memory from first on, and set *last to the end of what is tracked. For a
 * mapping with ->anew set: indices without memory stay written for the next scan, as
 * released ones do.
 */
static int track_units(struct som_resetter *r, unsigned long first,
		       unsigned long *last)
{
	unsigned long idx = first, end;
	unsigned int nr = 0;
	int ret = 0;

	for (; !ret && som_owner_populated(r->owner, &idx, *last); idx++) {
		if (nr++ == SOM_TRACK_UNITS) {
			*last = idx - 1;
			break;
		}
		end = idx;
		ret = som_owner_keep(r->owner, idx, 1, 0) ?
			som_owner_track(r->owner, idx, &end) : -ENOMEM;
	}
	return ret;
}

/* Track a part of a VMA from addr on, and set *stop to the end of what is tracked. */
static int track_vma(struct som_resetter *r, struct vm_area_struct *vma,
		     unsigned long addr, unsigned long *stop)
{
	unsigned long first = som_pgoff_index(linear_page_index(vma, addr));
	unsigned long last;
	int ret = 0;

	if (som_owner_unsettled(r->owner))
		ret = som_track_settle(r->owner, vma, addr, stop, true);
	if (ret)
		return ret;
	last = som_pgoff_index(linear_page_index(vma, *stop - 1));
	ret = som_vma_mapping(vma)->anew ? track_units(r, first, &last) :
					som_owner_track(r->owner, first, &last);
	*stop = som_track_end(vma, last, *stop);
	return ret;
}

/*
 * Do step 1, and step 2 of a reset to zero. Return: 0; -EAGAIN if the VMA at r->addr is not
 * ready for tracking; -ERESTART to retry a tick later; or another error.
 */
static int reset_step(struct som_resetter *r)
{
	struct mm_struct *mm = r->owner->mm;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	struct som_sweep sweep;
	int ret;

	ret = mmap_read_lock_killable(mm);
	if (ret)
		return ret;
	vma_iter_init(&vmi, mm, r->addr);
	mutex_lock(&r->owner->dirty_log.lock);
	som_sweep_begin(&sweep, r->owner);
	r->nr = 0;
	r->next = r->addr;
	for_each_vma_range(vmi, vma, r->end) {
		unsigned long addr = max(r->addr, vma->vm_start);
		unsigned long end = min(r->end, vma->vm_end);
		unsigned long stop = end;

		if (!sweep.budget)
			break;
		sweep.budget--;
		if (!som_vma_mapping(vma)) {
			r->next = end;
			continue;
		}
		if (som_mapping_superseded(som_vma_mapping(vma),
					   linear_page_index(vma, addr),
					   linear_page_index(vma, stop - 1))) {
			ret = -EFAULT;
			break;
		}
		ret = som_vma_ready(vma) ? track_vma(r, vma, addr, &stop) :
					   -EAGAIN;
		if (ret || !harvest_vma(r, &sweep, vma, addr, stop) ||
		    stop < end)
			break;
	}
	if (!vma)
		r->next = r->end;
	som_sweep_end(&sweep);
	/* Finish what was harvested. The next step meets the error again. */
	if (r->next > r->addr)
		ret = 0;
	if (!ret && !r->buf)
		ret = zero_units(r);
	mutex_unlock(&r->owner->dirty_log.lock);
	mmap_read_unlock(mm);
	return ret;
}

/* Read the bytes of the image for an address into the buffer. */
static int read_image(struct som_resetter *r, unsigned long addr,
		      unsigned int nr)
{
	u64 at = r->args->image + (addr - r->args->start);
	size_t len = nr * PAGE_SIZE, done = 0;
	loff_t pos = at;
	ssize_t got;

	if (!r->file)
		return copy_from_user(r->buf, (void __user *)at, len) ?
			-EFAULT : 0;
	while (done < len) {
		got = kernel_read(r->file, r->buf + done, len - done, &pos);
		if (got < 0)
			return got;
		if (!got)
			break;
		done += got;
	}
	memset(r->buf + done, 0, len - done);
	return 0;
}

/* Test whether pages of a unit are mapped where they were when they were harvested. */
static bool image_mapped(struct som_resetter *r, const struct reset_unit *u,
			 unsigned int first, unsigned int last)
{
	unsigned long addr = u->start + (first - u->first) * PAGE_SIZE;
	struct vm_area_struct *vma = vma_lookup(r->owner->mm, addr);
	pgoff_t pgoff = som_index_pgoff(u->idx) + first;

	return vma && som_vma_mapping(vma) &&
	       linear_page_index(vma, addr) == pgoff &&
	       vma->vm_end - addr >= (last - first) * PAGE_SIZE &&
	       !som_mapping_superseded(som_vma_mapping(vma), pgoff,
				       pgoff + last - first - 1);
}

/*
 * With @rewrite: rewrite those of @nr pages from @first on that are still written, from the
 * buffer. Without: find written pages from @first on; set @found to the first.
 *
 * Return: number of pages, at most SOM_RESET_PAGES; 0 if there are none or the unit is
 * gone; -ESTALE if the mapping has changed; or another error.
 */
static int image_pages(struct som_resetter *r, const struct reset_unit *u,
		       unsigned int first, unsigned int nr,
		       unsigned int *found, bool rewrite)
{
	struct mm_struct *mm = r->owner->mm;
	unsigned int last = unit_last(u);
	struct som_region *region;
	struct mutex *lock;
	som_unit_t unit;
	int ret;

	ret = mmap_read_lock_killable(mm);
	if (ret)
		return ret;
	/* A mapped unit is removed only by som_owner_punch(), under fault_lock. */
	if (!image_mapped(r, u, first, rewrite ? first + nr : last)) {
		ret = -ESTALE;
		goto out_mmap;
	}
	/* No other sweep may have a flush outstanding. */
	if (rewrite)
		mutex_lock(&r->owner->dirty_log.lock);
	lock = som_owner_lock_unit(r->owner, u->idx);
	unit = som_owner_lookup(r->owner, u->idx);
	region = som_dirty_log_find(&r->owner->dirty_log, u->idx);
	if (som_unit_failed(unit) || !region) {
		ret = 0;
	} else if (som_pool_poisoned(unit)) {
		ret = -EHWPOISON;
	} else if (rewrite && som_cow_break(r->owner, u->idx)) {
		ret = -EAGAIN;
	} else if (rewrite) {
		rewrite_pages(r, u, unit, region, first, first + nr);
		ret = nr;
	} else {
		*found = find_next_bit(region->written, last, first);
		last = min(last, *found + SOM_RESET_PAGES);
		if (*found < last)
			ret = find_next_zero_bit(region->written, last, *found) -
			      *found;
		if (first == u->first && !unit_fits(r, u, region)) {
			r->full = true;
			ret = 0;
		}
	}
	mutex_unlock(lock);
	if (rewrite)
		mutex_unlock(&r->owner->dirty_log.lock);
out_mmap:
	mmap_read_unlock(mm);
	return ret;
}

/* Do step 2 with an image for a unit. */
static int image_unit(struct som_resetter *r, const struct reset_unit *u)
{
	unsigned int first = u->first, found;
	unsigned long addr;
	int nr, ret;

	for (;;) {
		if (fatal_signal_pending(current))
			return -EINTR;
		nr = image_pages(r, u, first, 0, &found, false);
		if (nr <= 0)
			return nr;
		addr = u->start + (found - u->first) * PAGE_SIZE;
		r->addr = addr;
		ret = read_image(r, addr, nr);
		if (ret)
			return ret;
		ret = image_pages(r, u, found, nr, &found, true);
		if (ret == -EAGAIN) {
			/* No unit is available for a child's copy. */
			schedule_timeout_killable(1);
			continue;
		}
		if (ret < 0)
			return ret;
		first = found + nr;
		if (first >= unit_last(u))
			return 0;
	}
}

static int image_units(struct som_resetter *r)
{
	unsigned int i;
	int ret;

	for (i = 0; i < r->nr; i++) {
		ret = image_unit(r, &r->units[i]);
		if (ret == -ESTALE) {
			r->again = true;
			return 0;
		}
		if (ret)
			return ret;
		r->addr = r->full ? r->units[i].start : r->units[i].end;
		if (r->full)
			break;
	}
	return 0;
}

static int track_page(struct som_resetter *r, struct vm_area_struct *vma,
		      unsigned long addr)
{
	unsigned long stop = addr + PAGE_SIZE;

	return track_vma(r, vma, addr, &stop);
}

/*
 * Track the units of which only a part will be released. An untracked unit that is then all
 * zero would return to the pool; if tracked, its other pages stay written.
 */
static int track_ends(struct som_resetter *r, struct vm_area_struct *vma,
		      unsigned long addr, unsigned long stop)
{
	pgoff_t first = linear_page_index(vma, addr);
	pgoff_t behind = linear_page_index(vma, stop);
	int ret = 0;

	if (!som_vma_ready(vma))
		return -EAGAIN;
	mutex_lock(&r->owner->dirty_log.lock);
	if (first != som_index_pgoff(som_pgoff_index(first)))
		ret = track_page(r, vma, addr);
	if (!ret && behind != som_index_pgoff(som_pgoff_index(behind)))
		ret = track_page(r, vma, stop - PAGE_SIZE);
	mutex_unlock(&r->owner->dirty_log.lock);
	return ret;
}

/*
 * Prepare to repeat from @addr on: make the VMA ready for tracking after -EAGAIN, or wait a
 * tick after -ERESTART. Return: 0 or -errno.
 */
static int make_ready(struct som_resetter *r, unsigned long addr, int why)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	if (why == -EAGAIN)
		return som_vma_track(r->owner->mm, addr, r->end);
	schedule_timeout_killable(1);
	return 0;
}

/* Release everything from r->addr on, as the budget is used up. */
static int release_rest(struct som_resetter *r)
{
	struct mm_struct *mm = r->owner->mm;
	unsigned long addr = r->addr, stop, nr;
	pgoff_t first, last;
	int ret;

	r->args->released_start = r->addr;
	for (;;) {
		struct vm_area_struct *vma;
		struct vma_iterator vmi;

		ret = mmap_read_lock_killable(mm);
		if (ret)
			return ret;
		vma_iter_init(&vmi, mm, addr);
		do {
			vma = vma_find(&vmi, r->end);
		} while (vma && !som_vma_mapping(vma));
		if (vma) {
			addr = max(addr, vma->vm_start);
			stop = min(r->end, vma->vm_end);
			first = linear_page_index(vma, addr);
			last = linear_page_index(vma, stop - 1);
			ret = som_mapping_superseded(som_vma_mapping(vma), first, last) ?
				-EFAULT : track_ends(r, vma, addr, stop);
		}
		mmap_read_unlock(mm);
		if (ret == -EAGAIN || ret == -ERESTART) {
			ret = make_ready(r, addr, ret);
			if (ret)
				return ret;
			continue;
		}
		if (!vma || ret)
			break;
		ret = som_owner_punch(r->owner, first, last, &nr);
		r->args->released += (u64)nr << SOM_UNIT_SHIFT;
		if (ret)
			return ret;
		addr = stop;
	}
	if (ret)
		return ret;
	/* Zero and clean what could not be released. */
	kvfree(r->buf);
	r->buf = NULL;
	r->full = false;
	r->budget = U64_MAX;
	return 0;
}

static int reset_walk(struct som_resetter *r)
{
	int ret;

	while (r->addr < r->end) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = reset_step(r);
		if (!ret && !r->again && r->buf)
			ret = image_units(r);
		if (r->again)
			ret = -ERESTART;
		r->again = false;
		if (ret == -EAGAIN || ret == -ERESTART) {
			ret = make_ready(r, r->addr, ret);
			if (ret)
				return ret;
			continue;
		}
		if (ret)
			return ret;
		if (r->full) {
			ret = release_rest(r);
			if (ret)
				return ret;
		} else {
			r->addr = r->next;
		}
		cond_resched();
	}
	return 0;
}

/*
 * Test whether the kernel can read a file at an offset. kernel_read() refuses, and logs, a
 * file that has ->read, such as /proc/self/mem or a directory.
 */
static bool image_readable(const struct file *file)
{
	const fmode_t mode = FMODE_READ | FMODE_CAN_READ | FMODE_PREAD;

	return (file->f_mode & mode) == mode && file->f_op->read_iter &&
	       !file->f_op->read;
}

static int reset_check(struct som_reset *args)
{
	u64 images = SOM_RESET_IMAGE_MEM | SOM_RESET_IMAGE_FD;

	if (args->flags & ~images || args->flags == images || args->reserved)
		return -EINVAL;
	if (!(args->flags & SOM_RESET_IMAGE_FD) && args->image_fd)
		return -EINVAL;
	if (!args->flags && args->image)
		return -EINVAL;
	if (!PAGE_ALIGNED(args->start) || !PAGE_ALIGNED(args->image) ||
	    args->end < args->start)
		return -EINVAL;
	if (!access_ok((void __user *)args->start, args->end - args->start))
		return -EFAULT;
	args->end = PAGE_ALIGN(args->end);
	if (args->flags & SOM_RESET_IMAGE_MEM &&
	    !access_ok((void __user *)args->image, args->end - args->start))
		return -EFAULT;
	if (args->flags & SOM_RESET_IMAGE_FD &&
	    args->image > (u64)MAX_LFS_FILESIZE - (args->end - args->start))
		return -EINVAL;
	return 0;
}

/**
 * som_reset - Handle SOM_IOC_RESET
 * @args: arguments and results
 * Context: Process context; acts on the calling process.
 * Return: 0, or -errno documented in include/uapi/linux/som.h.
 */
int som_reset(struct som_reset *args)
{
	/* Set up without memset(): most resets are short. */
	struct som_resetter resetter, *r = &resetter;
	int ret;

	ret = reset_check(args);
	if (ret)
		return ret;
	r->file = NULL;
	r->buf = NULL;
	if (args->flags) {
		r->buf = kvmalloc(SOM_RESET_PAGES * PAGE_SIZE,
				  GFP_KERNEL_ACCOUNT);
		ret = r->buf ? 0 : -ENOMEM;
	}
	if (!ret && args->flags & SOM_RESET_IMAGE_FD) {
		r->file = fget(args->image_fd);
		if (!r->file || !image_readable(r->file))
			ret = -EBADF;
	}
	if (ret)
		goto out;

	r->args = args;
	r->full = false;
	r->again = false;
	r->nr = 0;
	r->addr = args->start;
	r->end = args->end;
	r->budget = args->keep_resident;
	args->rewritten = 0;
	args->released = 0;
	args->released_start = args->end;
	r->owner = som_inode_find_owner(current->mm);
	if (r->owner) {
		ret = som_claim_own(r->owner) ?: reset_walk(r);
		som_inode_put_owner(r->owner);
	} else {
		r->addr = r->end;
	}
	args->walk_end = r->addr;
out:
	if (r->file)
		fput(r->file);
	kvfree(r->buf);
	return ret;
}
