/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rules of PAGEMAP_SCAN: which pages match, how regions merge, where limits apply, and
 * the value of walk_end. Pure: takes runs of pages and produces regions.
 */
#ifndef _SOM_SCAN_H
#define _SOM_SCAN_H

#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/pgtable.h>
#include <linux/som.h>
#include <linux/types.h>
#include <uapi/linux/fs.h>

/** define SOM_SCAN_CATEGORIES - all categories that a mask may contain. */
#define SOM_SCAN_CATEGORIES						\
	(PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN | PAGE_IS_FILE |		\
	 PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO |		\
	 PAGE_IS_HUGE | PAGE_IS_SOFT_DIRTY | SOM_PAGE_IS_ZERO)

/** define SOM_SCAN_FLAGS - all flags of a scan. */
#define SOM_SCAN_FLAGS	(PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC)

/**
 * struct som_scan - a scan in progress
 * @inverted: categories that are inverted before matching.
 * @mask: categories of which a page must have all.
 * @anyof: categories of which a page must have one, unless this is 0.
 * @return_mask: categories that are reported.
 * @vec_len: regions that the caller has room for; 0: no regions and no limits.
 * @max_pages: maximum of pages to report; never 0.
 * @pages: pages reported so far.
 * @regions: regions begun so far, including those already copied out.
 * @buf: the newest regions.
 * @buf_nr: number of regions in @buf; the last one may still grow.
 * @buf_len: size of @buf in regions.
 * @copied: end address of the regions copied out.
 * @walk_end: address of the first matching page that did not fit, if @full.
 * @full: a limit was reached.
 * @dropped: a page in @buf was written but has lost its memory.
 * @remote: a view scans another process.
 * @peek: inherited memory is reported, and not copied.
 * @claim: stands for the view, if it may clean; otherwise NULL.
 * @untracked: nothing is tracked as far as this scan can see.
 */
struct som_scan {
	u64 inverted;
	u64 mask;
	u64 anyof;
	u64 return_mask;
	u64 vec_len;
	u64 max_pages;
	u64 pages;
	u64 regions;
	struct page_region *buf;
	unsigned int buf_nr;
	unsigned int buf_len;
	u64 copied;
	u64 walk_end;
	bool full;
	bool dropped;
	bool remote;
	bool peek;
	const void *claim;
	bool untracked;
};

/**
 * som_scan_matches - Test whether a page matches
 * @scan: scan
 * @categories: categories of the page
 * Return: true if it does.
 */
static inline bool som_scan_matches(const struct som_scan *scan,
				    u64 categories)
{
	categories ^= scan->inverted;
	return (categories & scan->mask) == scan->mask &&
	       (!scan->anyof || categories & scan->anyof);
}

/**
 * som_scan_uses - Test whether the result depends on a category
 * @scan: scan
 * @category: one category
 * Return: true if a mask contains it.
 */
static inline bool som_scan_uses(const struct som_scan *scan, u64 category)
{
	return (scan->mask | scan->anyof | scan->return_mask) & category;
}

/**
 * som_scan_wants_written - Test whether only written pages can match
 * @scan: scan
 * Return: true if so.
 */
static inline bool som_scan_wants_written(const struct som_scan *scan)
{
	return scan->mask & ~scan->inverted & PAGE_IS_WRITTEN;
}

/**
 * som_scan_room - Test whether the buffer has room for new regions
 * @scan: scan
 * @nr: number of regions
 * Return: false if the buffer must be emptied first.
 */
static inline bool som_scan_room(const struct som_scan *scan, u64 nr)
{
	nr = min(nr, scan->vec_len - scan->regions);
	return scan->buf_nr + nr <= scan->buf_len;
}

/**
 * som_scan_push - Report a run of matching pages
 * @scan: scan, not full; its buffer has room for one more region
 * @addr: address of the first page
 * @nr: number of pages, not 0
 * @categories: categories of all of them
 * Return: number of pages taken; if fewer than @nr, the scan is full and its walk_end is
 * the first page not taken.
 */
static inline unsigned long som_scan_push(struct som_scan *scan, u64 addr,
					  unsigned long nr, u64 categories)
{
	struct page_region *last;
	u64 take;

	if (!scan->vec_len)
		return nr;

	categories &= scan->return_mask;
	take = min_t(u64, nr, scan->max_pages - scan->pages);
	last = scan->buf_nr ? &scan->buf[scan->buf_nr - 1] : NULL;
	if (!take) {
		/* No more pages allowed. */
	} else if (last && last->end == addr &&
		   last->categories == categories) {
		last->end += take << PAGE_SHIFT;
	} else if (scan->regions < scan->vec_len) {
		scan->regions++;
		scan->buf[scan->buf_nr++] = (struct page_region) {
			.start = addr,
			.end = addr + (take << PAGE_SHIFT),
			.categories = categories,
		};
	} else {
		take = 0;
	}
	scan->pages += take;
	if (take < nr) {
		scan->full = true;
		scan->walk_end = addr + (take << PAGE_SHIFT);
	}
	return take;
}

/**
 * som_scan_push_bits - Report matching pages out of 64
 * @scan: scan, not full; its buffer has room for 32 more regions
 * @addr: address of the first of the 64 pages
 * @bits: bitmap of the matching pages
 * @categories: categories of all of them
 *
 * Has the effect of som_scan_push() for each run of bits, in fewer instructions.
 * Return: bitmap of the pages taken; if not all, the scan is full and its walk_end is the
 * first page not taken.
 */
static inline u64 som_scan_push_bits(struct som_scan *scan, u64 addr, u64 bits,
				     u64 categories)
{
	struct page_region *out = scan->buf + scan->buf_nr;
	u64 left = scan->max_pages - scan->pages;
	u64 room = scan->vec_len - scan->regions;
	u64 end = 1, todo = bits;

	if (!scan->vec_len)
		return bits;

	categories &= scan->return_mask;
	/* Address at which a run extends the last region; 1 if no run can. */
	if (scan->buf_nr && out[-1].categories == categories)
		end = out[-1].end;
	while (todo) {
		unsigned int shift = __ffs64(todo), len = 1;
		u64 start = addr + ((u64)shift << PAGE_SHIFT);

		if (todo >> shift & 2)
			len = ~(todo >> shift) ? __ffs64(~(todo >> shift)) : 64;
		if (unlikely(len > left))
			len = left;
		if (start != end) {
			if (unlikely(!room))
				len = 0;
			if (unlikely(!len))
				break;
			out->start = start;
			out->categories = categories;
			out++;
			room--;
		} else if (unlikely(!len)) {
			break;
		}
		end = start + ((u64)len << PAGE_SHIFT);
		out[-1].end = end;
		left -= len;
		todo &= len + shift < 64 ? ~0ULL << (len + shift) : 0;
		if (unlikely(!left))
			break;
	}
	/* If a run was cut, keep the rest of it in todo. */
	if (unlikely(!left || todo)) {
		if (end != 1 && end > addr)
			todo = bits & (end - addr < 64ULL << PAGE_SHIFT ?
				       ~0ULL << ((end - addr) >> PAGE_SHIFT) : 0);
		if (todo) {
			scan->full = true;
			scan->walk_end = addr +
					 ((u64)__ffs64(todo) << PAGE_SHIFT);
		}
	}
	scan->buf_nr = out - scan->buf;
	scan->regions = scan->vec_len - room;
	scan->pages = scan->max_pages - left;
	return bits & ~todo;
}

#endif /* _SOM_SCAN_H */
