// SPDX-License-Identifier: GPL-2.0
/*
 * Write tracking: find written pages and make them clean.
 *
 * The state of a tracked unit is in its region (region.h) and, in DIRTY mode, in the dirty
 * bits of its 4 KiB entries:
 *
 *	written = region.written | dirty bits
 *
 * Cleaning a page clears both. No write is lost:
 * 1. Only pages that the same call has reported as written are cleaned.
 * 2. A processor with the dirty entry in its TLB keeps writing without setting the bit
 *    until the TLB is flushed. The flush precedes the end of the call, so a read of the
 *    page after the call sees these writes.
 * 3. After the flush, the next write sets the bit again.
 *
 * A module cannot flush a TLB directly. It can announce a pending flush, as all code that
 * changes entries does (inc_tlb_flush_pending()): a zap that ends meanwhile flushes the
 * whole address space. som_sweep_end() causes one. It takes out one entry by hand, so that
 * its dirty bit is known exactly, calls som_zap(), which finds nothing there but flushes,
 * and restores the entry. A sweep flushes once, however many entries it has cleaned.
 *
 * MADV_DONTNEED of a shared mapping clears entries, even dirty ones, and flushes much
 * later. Until then stale TLB entries allow writes. A missing entry counts as written, but
 * a scan that has reported it must not leave the page clean while such writes are possible.
 * So a sweep also flushes if another flush is pending, and a fault that fills the entry
 * before any sweep makes it dirty (som_ptes_fill()). Thus only during a sweep can a bit in
 * region.written depend on a flush.
 *
 * Groups of pages that are no longer written drop out of scans (dirty_log.c decides when),
 * in two steps. One scan takes away write access, which makes the group cooling, and
 * flushes. If the next scan finds no dirty bit either, no write is possible without a
 * fault, and the group is no longer active. A unit without active groups is CLEAN. This
 * requires that one VMA maps the whole unit.
 *
 * Units that are page-backed by policy (migrate.c) have ordinary entries, through which
 * get_user_pages_fast() lets devices write without setting a dirty bit. So no such entry is
 * writable and clean: cleaning also takes write access, and the fault that restores it,
 * even one of get_user_pages(), makes the entry dirty. A page that is pinned when it is
 * cleaned stays written, as the device may still write to it. A later pin begins with such
 * a fault.
 *
 * Pages that two VMAs map (mremap with an old length of 0, MREMAP_DONTUNMAP) have two dirty
 * bits each. They count as written while both exist.
 *
 * Locks: mmap_lock for read and dirty_log.lock during a sweep, and the fault_lock of one
 * unit at a time: a fault waits for the work on one unit at most.
 */
#include <linux/bitmap.h>
#include <linux/interval_tree.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/string.h>
#include "cow.h"
#include "dirty_log.h"
#include "entry.h"
#include "map.h"
#include "mapping.h"
#include "page_backed.h"
#include "pool.h"
#include "pte.h"
#include "range.h"
#include "scan.h"
#include "som_types.h"
#include "tables.h"
#include "track.h"
#include "unit.h"
#include "zap.h"

/**
 * som_sweep_begin - Begin a sweep
 * @sweep: sweep
 * @owner: owner of the memory
 * Context: mmap_lock and dirty_log.lock are held until after som_sweep_end().
 */
void som_sweep_begin(struct som_sweep *sweep, struct som_owner *owner)
{
	*sweep = (struct som_sweep) {
		.owner = owner,
		.budget = SOM_TRACK_UNITS,
	};
	inc_tlb_flush_pending(owner->mm);
}

/**
 * som_sweep_end - End a sweep, and flush the TLB if necessary
 * @sweep: sweep
 *
 * Flushes if the sweep has changed an entry, or if another task has a flush pending and may
 * have cleared entries of cleaned pages.
 * Context: as som_sweep_begin().
 */
void som_sweep_end(struct som_sweep *sweep)
{
	struct som_owner *owner = sweep->owner;
	struct som_ptes *one = &sweep->one;
	struct mutex *lock;
	pte_t entry;
	som_unit_t unit;

	/* Page table locks were taken: a flush for what they show was announced before. */
	if (!one->vma || !(sweep->changed || mm_tlb_flush_nested(owner->mm)))
		goto out;

	lock = som_owner_lock_unit(owner, sweep->idx);
	unit = som_owner_lookup(owner, sweep->idx);

	entry = som_ptes_take(one);
	som_zap(owner, som_index_pgoff(sweep->idx) + one->page, 1);
	/* Do not restore the entry if the unit was punched meanwhile. */
	if (!som_unit_failed(unit) && !pte_none(entry) &&
	    pte_pfn(entry) == som_unit_pfn(unit) + one->page) {
		if (READ_ONCE(owner->notified) &&
		    som_vma_mapping(one->vma)->private)
			one->entryp = som_owner_entryp(som_vma_mapping(one->vma),
						       sweep->idx);
		if (pte_special(entry) && pte_dirty(entry)) {
			som_dirty_log_wrote(&owner->dirty_log, sweep->idx,
					    one->page, 1);
			entry = pte_mkclean(entry);
		}
		if (som_ptes_restore(one, entry))
			goto out_unlock;
	}
	if (!pte_none(entry))
		som_ptes_drop(one, entry);
out_unlock:
	mutex_unlock(lock);
out:
	dec_tlb_flush_pending(owner->mm);
}

/* Keep an entry of a cleaned page, to flush with. @changed: entries were changed. */
static void sweep_flush(struct som_sweep *sweep, const struct som_view *view,
			bool changed)
{
	sweep->changed |= changed;
	if (sweep->one.vma)
		return;
	sweep->one = view->ptes;
	sweep->one.end = sweep->one.start + PAGE_SIZE;
	sweep->idx = view->idx;
}

/**
 * som_view_read - Read the state of a unit; change nothing
 * @view: destination
 * @owner: owner of the unit
 * @vma: VMA to look through
 * @idx: unit index, which the VMA touches
 * @unit: unit number
 * @aliased: som_owner_aliased() of the unit's pages in the VMA
 * Context: som_owner_lock_unit() and mmap_lock are held.
 */
void som_view_read(struct som_view *view, struct som_owner *owner,
		   struct vm_area_struct *vma, unsigned long idx,
		   som_unit_t unit, bool aliased)
{
	struct som_region *region = som_dirty_log_find(&owner->dirty_log, idx);
	unsigned long active;
	unsigned int group;

	view->idx = idx;
	view->unit = unit;
	view->region = region;
	view->aliased = aliased;
	som_ptes_init(&view->ptes, vma, idx, unit);
	view->ptes.paged = region && som_owner_auto_converted(owner, idx);
	bitmap_zero(view->fresh, SOM_UNIT_PAGES);
	bitmap_zero(view->lost, SOM_UNIT_PAGES);
	if (!region || region->pinned || aliased) {
		bitmap_fill(view->written, SOM_UNIT_PAGES);
		if (!region || aliased)
			return;
	} else {
		bitmap_copy(view->written, region->written, SOM_UNIT_PAGES);
	}
	active = region->active;
	if (!active)
		return;
	som_ptes_gather(&view->ptes, active, view->fresh, view->lost);
	for_each_set_bit(group, &active, SOM_UNIT_GROUPS) {
		view->lost[group] &= region->filled[group];
		view->fresh[group] |= view->lost[group];
		view->written[group] |= view->fresh[group];
	}
}

/* Mark all pages as written after the last pin: the device may have written to them. */
static void view_unpinned(struct som_view *view, struct som_owner *owner)
{
	struct som_region *region = view->region;

	if (!region->pinned || som_owner_pinned(owner, view->idx))
		return;
	region->pinned = false;
	bitmap_fill(region->written, SOM_UNIT_PAGES);
	bitmap_fill(region->nonzero, SOM_UNIT_PAGES);
}

/*
 * Fill the entries of pages that have lost theirs. Three kinds are left to the next fault:
 * private memory, which mremap may have moved; units with ordinary entries; and units that
 * children depend on, which must not be written without a fault.
 */
static void view_refill(struct som_view *view, struct som_owner *owner)
{
	struct som_region *region = view->region;

	if (som_vma_mapping(view->ptes.vma)->private || view->ptes.paged ||
	    som_owner_shared(owner, view->idx)) {
		bitmap_andnot(region->filled, region->filled, view->lost,
			      SOM_UNIT_PAGES);
		return;
	}
	/* The kernel makes entries writable in a plain VMA (fault.c). */
	if (!som_vma_tracked(view->ptes.vma))
		som_region_open(region, SOM_ALL_GROUPS, SOM_UNIT_PAGES);
	som_ptes_fill(&view->ptes, som_region_writable(region), SOM_UNIT_PAGES,
		      NULL);
	bitmap_set(region->filled, view->ptes.page,
		   (view->ptes.end - view->ptes.start) >> PAGE_SHIFT);
}

/**
 * som_view_harvest - Move dirty bits into the region
 * @view: tracked unit without aliases, just read
 * @sweep: current sweep
 * @pages: pages to harvest, all inside the view's entries
 *
 * After the sweep, a write to one of the pages sets a dirty bit unless the region already
 * has the page as written.
 * Context: as som_view_read(); allocates no memory.
 */
void som_view_harvest(struct som_view *view, struct som_sweep *sweep,
		      const unsigned long *pages)
{
	struct som_region *region = view->region;
	unsigned long active = region->active, dirty_groups = 0, lost = 0;
	unsigned long dirty[SOM_UNIT_GROUPS];
	unsigned int group;

	view_unpinned(view, sweep->owner);
	for_each_set_bit(group, &active, SOM_UNIT_GROUPS) {
		dirty[group] = pages[group] & view->fresh[group];
		if (!dirty[group])
			continue;
		region->written[group] |= dirty[group];
		region->nonzero[group] |= dirty[group];
		dirty_groups |= BIT(group);
		lost |= pages[group] & view->lost[group];
	}

	if (region->mode == SOM_MODE_OPEN) {
		/* From now on every write begins with a fault. */
		som_zap(sweep->owner, som_index_pgoff(view->idx),
			SOM_UNIT_PAGES);
		som_owner_set_level(sweep->owner, view->idx, SOM_LEVEL_NONE);
		region->mode = SOM_MODE_CLEAN;
		/* No new pin for writing can appear. */
		region->pinned = som_owner_pinned(sweep->owner, view->idx);
	} else if (active) {
		sweep_flush(sweep, view, dirty_groups &&
			    som_ptes_clean(&view->ptes, dirty_groups, dirty));
	}
	if (lost) {
		/* A filled page is no longer lost: record all lost pages before. */
		bitmap_or(region->written, region->written, view->lost,
			  SOM_UNIT_PAGES);
		bitmap_or(region->nonzero, region->nonzero, view->lost,
			  SOM_UNIT_PAGES);
		view_refill(view, sweep->owner);
	}
}

/* Keep pinned pages written: they can be written to until a scan finds them unpinned. */
static void keep_pinned(const struct som_view *view, const unsigned long *pages)
{
	struct som_region *region = view->region;
	unsigned int page;

	for_each_set_bit(page, pages, SOM_UNIT_PAGES) {
		if (!som_page_backed_page_pinned(view->unit, page))
			continue;
		__set_bit(page, region->written);
		__set_bit(page, region->nonzero);
	}
}

/**
 * som_view_clean - Clean pages that were reported as written
 * @view: tracked unit without aliases, just read
 * @sweep: current sweep
 * @pages: pages to clean, all inside the view's entries
 * Context: as som_view_read(); allocates no memory.
 */
void som_view_clean(struct som_view *view, struct som_sweep *sweep,
		    const unsigned long *pages)
{
	struct som_region *region = view->region;

	unsigned int group;

	som_view_harvest(view, sweep, pages);
	for (group = 0; group < SOM_UNIT_GROUPS; group++)
		region->written[group] &= ~pages[group];
	if (unlikely(view->ptes.paged))
		keep_pinned(view, pages);
	som_dirty_log_update(&sweep->owner->dirty_log, view->idx, region);
}

/* Test whether groups may lose write access. In a plain VMA the kernel would restore it. */
static bool view_may_cool(const struct som_view *view,
			  const struct som_sweep *sweep)
{
	return som_vma_tracked(view->ptes.vma) && !view->ptes.paged &&
	       view->ptes.end - view->ptes.start == SOM_UNIT_SIZE &&
	       som_owner_maps_once(sweep->owner, view->idx);
}

/**
 * som_view_idle - Take write access from groups that are no longer written
 * @view: tracked unit, just read and cleaned
 * @sweep: current sweep
 * Context: as som_view_read().
 */
void som_view_idle(struct som_view *view, struct som_sweep *sweep)
{
	struct som_region *region = view->region;
	unsigned long active = region->active, dirty = 0, idle;
	unsigned int group;

	if (!active)
		return;
	for_each_set_bit(group, &active, SOM_UNIT_GROUPS) {
		if (view->fresh[group])
			dirty |= BIT(group);
	}
	idle = som_region_idle(region, dirty);
	if (!idle || !view_may_cool(view, sweep))
		return;
	idle = som_region_close(region, idle);
	if (idle) {
		som_ptes_protect(&view->ptes, idle);
		sweep_flush(sweep, view, true);
		som_region_protected(region, idle);
	}
	if (region->mode == SOM_MODE_CLEAN) {
		som_dirty_log_update(&sweep->owner->dirty_log, view->idx, region);
		som_collapse_want(sweep->owner, view->idx);
	}
}

/* Test whether a page is all zero. Read it only if no bit decides. */
static bool view_page_zero(const struct som_view *view, unsigned int page)
{
	const struct som_region *region = view->region;

	if (region && !region->pinned && !view->aliased &&
	    !test_bit(page, region->nonzero) &&
	    !test_bit(page, view->fresh))
		return true;
	return !som_pool_poisoned(view->unit) &&
	       !memchr_inv(som_unit_address(view->unit) + page * PAGE_SIZE, 0,
			   PAGE_SIZE);
}

/* Report the pages that are set in words ^ invert. */
static bool view_scan_bits(struct som_scan *scan, unsigned long addr,
			   u64 categories, const unsigned long *words,
			   unsigned long invert, unsigned int first,
			   unsigned int last, unsigned long *clean)
{
	unsigned int word;

	for (word = first / BITS_PER_LONG; word * BITS_PER_LONG < last; word++) {
		unsigned int base = word * BITS_PER_LONG;
		unsigned long bits = words[word] ^ invert;

		if (!bits)
			continue;
		if (first > base)
			bits &= BITMAP_FIRST_WORD_MASK(first);
		if (last < base + BITS_PER_LONG)
			bits &= BITMAP_LAST_WORD_MASK(last);
		if (!bits)
			continue;
		bits = som_scan_push_bits(scan, addr + base * PAGE_SIZE, bits,
					  categories);
		if (clean)
			clean[word] |= bits;
		if (scan->full)
			return false;
	}
	return true;
}

/*
 * Report pages first..last (exclusive) of a view. @base: categories of all of them. Return
 * false if the scan is full.
 */
static bool view_scan(struct som_view *view, struct som_scan *scan, u64 base,
		      unsigned int first, unsigned int last,
		      unsigned long *clean)
{
	unsigned long addr = view->ptes.start - ((unsigned long)view->ptes.page
						 << PAGE_SHIFT);
	bool zeroes = som_scan_uses(scan, SOM_PAGE_IS_ZERO) &&
		      !(base & SOM_PAGE_IS_ZERO);
	bool match = som_scan_matches(scan, base);
	bool match_written = som_scan_matches(scan, base | PAGE_IS_WRITTEN);
	unsigned int page = first, next, got;

	if (!zeroes && match != match_written)
		return view_scan_bits(scan, addr,
				      match ? base : base | PAGE_IS_WRITTEN,
				      view->written, match ? ~0UL : 0, first,
				      last, match ? NULL : clean);

	while (page < last) {
		bool written = test_bit(page, view->written);
		u64 categories = base;

		if (written) {
			categories |= PAGE_IS_WRITTEN;
			next = find_next_zero_bit(view->written, last, page);
		} else {
			next = find_next_bit(view->written, last, page);
		}
		if (zeroes) {
			if (view_page_zero(view, page))
				categories |= SOM_PAGE_IS_ZERO;
			next = page + 1;
		}
		if (som_scan_matches(scan, categories)) {
			got = som_scan_push(scan, addr + page * PAGE_SIZE,
					    next - page, categories);
			if (clean && written && got)
				bitmap_set(clean, page, got);
			if (scan->full)
				return false;
		}
		page = next;
	}
	return true;
}

/*
 * Report addresses *addr..end, which have no memory. Return false if the scan must stop, at
 * *addr. In a mapping with ->anew set, untracked indices count as written; they are
 * cleaned, that is, tracked, when the caller has received the report.
 */
static bool scan_hole(struct som_sweep *sweep, struct som_scan *scan,
		      struct vm_area_struct *vma, unsigned long *addr,
		      unsigned long end, bool clean)
{
	struct som_owner *owner = sweep->owner;
	bool anew = som_vma_mapping(vma)->anew && !scan->untracked;

	while (*addr < end) {
		unsigned long idx = som_pgoff_index(linear_page_index(vma, *addr));
		unsigned long last, next;
		u64 categories = SOM_PAGE_IS_ZERO;
		bool tracked;

		last = som_pgoff_index(linear_page_index(vma, end - 1));
		tracked = false;
		if (!scan->untracked)
			last = som_dirty_log_run(&owner->dirty_log, idx, last,
						 &tracked);
		next = som_track_end(vma, last, end);
		if (tracked || anew)
			categories |= PAGE_IS_WPALLOWED;
		if (!tracked && anew)
			categories |= PAGE_IS_WRITTEN;
		if (!sweep->budget || !som_scan_room(scan, 1))
			return false;
		sweep->budget--;
		if (som_scan_matches(scan, categories)) {
			som_scan_push(scan, *addr,
				      (next - *addr) >> PAGE_SHIFT, categories);
			if (clean && anew && !tracked && scan->vec_len)
				scan->dropped = true;
			else if (clean && anew && !tracked)
				som_owner_reported(som_vma_mapping(vma),
						   linear_page_index(vma, *addr),
						   linear_page_index(vma, next - 1));
		}
		if (scan->full)
			return false;
		*addr = next;
	}
	return true;
}

/* Convert addresses addr..end into page numbers of the unit. */
static void view_clip(const struct som_view *view, unsigned long addr,
		      unsigned long end, unsigned int *first,
		      unsigned int *last)
{
	*first = view->ptes.page + ((addr - view->ptes.start) >> PAGE_SHIFT);
	*last = *first + ((end - addr) >> PAGE_SHIFT);
}

/*
 * Scan addresses addr..end of a unit that is discarded or dropped; its index is locked. A
 * dropped unit is cleaned only when the caller has received the report: undoing that could
 * need memory.
 *
 * Return: whether to go on; -ENOENT if it is neither.
 */
static int scan_gone(struct som_sweep *sweep, struct som_scan *scan,
		     struct vm_area_struct *vma, unsigned long idx,
		     unsigned long addr, unsigned long end, bool clean)
{
	struct som_dirty_log *t = &sweep->owner->dirty_log;
	struct som_region *region = som_dirty_log_find(t, idx);
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES) = {};
	struct som_view view;
	unsigned int first, last;
	bool more;

	if (scan->untracked)
		return -ENOENT;
	if (region && region->discarded && !region->pinned)
		bitmap_copy(view.written, region->written, SOM_UNIT_PAGES);
	else if (region)
		bitmap_fill(view.written, SOM_UNIT_PAGES);
	else if (!som_dirty_log_dropped(t, idx, view.written))
		return -ENOENT;

	som_ptes_init(&view.ptes, vma, idx, 0);
	view_clip(&view, addr, end, &first, &last);
	more = view_scan(&view, scan, PAGE_IS_WPALLOWED | SOM_PAGE_IS_ZERO,
			 first, last, pages);
	if (!clean || bitmap_empty(pages, SOM_UNIT_PAGES))
		return more;
	if (!region && scan->vec_len) {
		scan->dropped = true;
	} else if (!region) {
		som_dirty_log_reported(t, idx, first, last - first,
				       som_owner_may_record(sweep->owner));
	} else if (region->discarded) {
		bitmap_andnot(region->written, region->written, pages,
			      SOM_UNIT_PAGES);
		som_dirty_log_update(t, idx, region);
	}
	return more;
}

/* Return the unit at an index without a copy: -EINPROGRESS if it is inherited. */
static som_unit_t scan_peek(struct som_owner *owner, unsigned long idx)
{
	unsigned long deferred = idx;
	bool pending = som_cow_next(owner, &deferred, idx);
	void *entry = som_tables_load(&owner->tables, idx);

	if (!entry)
		return som_unit_error(pending ? -EINPROGRESS : -ENOENT);
	return som_entry_test(entry, SOM_ENTRY_DISCARDED) ?
		som_unit_error(-EAGAIN) : som_entry_unit(entry);
}

/* Find the pages of a child's unit that will be zero when it is copied. */
static int find_zeroes(void *arg, const void *mem, const unsigned long *pages)
{
	unsigned long *zeroes = arg;
	unsigned int page;

	for (page = 0; page < SOM_UNIT_PAGES; page++) {
		__assign_bit(page, zeroes, !test_bit(page, pages) ||
			     !memchr_inv(mem + page * PAGE_SIZE, 0, PAGE_SIZE));
		if (!(page % 64))
			cond_resched();
	}
	return 0;
}

/*
 * Scan addresses addr..end of a unit that is inherited and not copied yet: present, written
 * and untracked. Return: whether to continue; -ENOENT if it has been copied.
 */
static int scan_deferred(struct som_sweep *sweep, struct som_scan *scan,
			 struct vm_area_struct *vma, unsigned long idx,
			 unsigned long addr, unsigned long end)
{
	u64 base = PAGE_IS_PRESENT | PAGE_IS_WRITTEN, categories;
	DECLARE_BITMAP(zeroes, SOM_UNIT_PAGES) = {};
	pgoff_t first = linear_page_index(vma, addr) - som_index_pgoff(idx);
	pgoff_t last = first + ((end - addr) >> PAGE_SHIFT), next;

	if (som_vma_mapping(vma)->anew && !scan->untracked)
		base |= PAGE_IS_WPALLOWED;
	/* Lost bytes, and memory that cannot be read, do not count as zero. */
	if (som_scan_uses(scan, SOM_PAGE_IS_ZERO) &&
	    som_cow_look(sweep->owner, idx, find_zeroes, zeroes) == -ENOENT)
		return -ENOENT;
	for (; first < last; first = next) {
		bool zero = test_bit(first, zeroes);

		categories = base | (zero ? SOM_PAGE_IS_ZERO : 0);
		next = zero ? find_next_zero_bit(zeroes, last, first) :
			      find_next_bit(zeroes, last, first);
		if (som_scan_matches(scan, categories))
			som_scan_push(scan, addr, next - first, categories);
		if (scan->full)
			return false;
		addr += (next - first) << PAGE_SHIFT;
	}
	return true;
}

/*
 * Scan addresses addr..end of a unit that has, or had, memory. A unit of private memory may
 * be gone by now: mmap_lock does not prevent that.
 */
static bool scan_unit(struct som_sweep *sweep, struct som_scan *scan,
		      struct vm_area_struct *vma, unsigned long idx,
		      unsigned long addr, unsigned long end, bool clean)
{
	struct som_owner *owner = sweep->owner;
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES) = {};
	struct som_view view;
	unsigned int first, last;
	u64 base = PAGE_IS_PRESENT;
	bool more = true, aliased;
	struct mutex *lock;
	som_unit_t unit;
	int ret;

	aliased = som_owner_aliased(owner, linear_page_index(vma, addr),
				    linear_page_index(vma, end - 1));
	lock = som_owner_lock_look(owner, idx);
	unit = scan->peek ? scan_peek(owner, idx) : som_owner_lookup(owner, idx);
	if (som_unit_failed(unit) && som_unit_errno(unit) == -EINPROGRESS) {
		ret = scan_deferred(sweep, scan, vma, idx, addr, end);
		if (ret != -ENOENT) {
			mutex_unlock(lock);
			return ret;
		}
		/* The copy was made meanwhile. */
		unit = scan_peek(owner, idx);
	}
	if (som_unit_failed(unit)) {
		ret = scan_gone(sweep, scan, vma, idx, addr, end, clean);
		mutex_unlock(lock);
		if (ret >= 0)
			return ret;
		return scan_hole(sweep, scan, vma, &addr, end, clean);
	}
	som_view_read(&view, owner, vma, idx, unit, aliased);
	if (scan->untracked) {
		view.region = NULL;
		bitmap_fill(view.written, SOM_UNIT_PAGES);
	}
	view_clip(&view, addr, end, &first, &last);
	if (view.region || (som_vma_mapping(vma)->anew && !scan->untracked))
		base |= PAGE_IS_WPALLOWED;
	if (som_scan_uses(scan, PAGE_IS_HUGE) &&
	    som_owner_level(owner, idx) >= SOM_LEVEL_2M &&
	    som_index_covered(vma->vm_start, vma->vm_end, vma->vm_pgoff, addr))
		base |= PAGE_IS_HUGE;

	more = view_scan(&view, scan, base, first, last,
			 clean && view.region ? pages : NULL);
	if (clean && view.region && !aliased) {
		if (!bitmap_empty(pages, SOM_UNIT_PAGES))
			som_view_clean(&view, sweep, pages);
		som_view_idle(&view, sweep);
	}
	mutex_unlock(lock);
	return more;
}

/*
 * Track the units without memory at addresses addr..end of a VMA, and the last one only if
 * the scan has passed all of its requested pages.
 */
static int track_hole(struct som_owner *owner, struct vm_area_struct *vma,
		      unsigned long addr, unsigned long end, bool passed)
{
	unsigned long first, behind, last;
	int ret = 0;

	/* Tracked by som_owner_reported(). */
	if (addr >= end || som_vma_mapping(vma)->anew)
		return 0;
	first = som_pgoff_index(linear_page_index(vma, addr));
	if (passed)
		behind = som_pgoff_index(linear_page_index(vma, end - 1)) + 1;
	else
		behind = som_pgoff_index(linear_page_index(vma, end));
	/* Another VMA may map a part of the first and the last. */
	if (first < behind && !som_owner_keep(owner, first, 1, 0))
		first++;
	if (first < behind && !som_owner_keep(owner, behind - 1, 1, 0))
		behind--;
	/* One pass per untracked run that the scan has found. */
	for (; first < behind && !ret; first = last + 1) {
		last = behind - 1;
		ret = som_owner_track(owner, first, &last);
	}
	return ret;
}

/* Find the next index to scan by itself. */
static bool scan_next(struct som_owner *owner, const struct som_scan *scan,
		      bool dirty_only, unsigned long *idx, unsigned long last)
{
	struct xarray *regions = &owner->dirty_log.regions;
	unsigned long dropped = *idx, deferred = *idx;
	bool found, pending;

	if (dirty_only)
		return xa_find(regions, idx, last, SOM_REGION_DIRTY);
	/* First: a unit that is copied meanwhile is found by the next look. */
	pending = scan->peek && som_cow_next(owner, &deferred, last);
	found = som_owner_populated(owner, idx, last);
	if (pending && (!found || deferred < *idx)) {
		*idx = deferred;
		found = true;
	}
	if (scan->untracked || !som_dirty_log_any_dropped(&owner->dirty_log) ||
	    !xa_find(regions, &dropped, found ? *idx : last, SOM_REGION_DROPPED))
		return found;
	*idx = dropped;
	return true;
}

/**
 * som_track_end - Return the end address of a unit in a VMA
 * @vma: VMA that touches the unit
 * @idx: unit index
 * @end: upper limit: an address in the VMA, or its end
 * Context: mmap_lock is held.
 * Return: address, at most @end.
 */
unsigned long som_track_end(const struct vm_area_struct *vma,
			    unsigned long idx, unsigned long end)
{
	unsigned long addr = vma->vm_start +
		((som_index_pgoff(idx + 1) - vma->vm_pgoff) << PAGE_SHIFT);

	return min(addr, end);
}

/**
 * som_track_settle - Prepare a part of a VMA for a scan or a reset
 * @owner: owner of the VMA
 * @vma: VMA
 * @addr: first address
 * @end: end of the part; on return, end of what is prepared
 * @pull: copy memory that is inherited and not copied yet
 *
 * A scan or a reset is a touch, except a scan by a view that cleans nothing. Also records
 * in the regions what was zeroed without them.
 * Context: mmap_lock and dirty_log.lock are held.
 * Return: as som_cow_pull_range().
 */
int som_track_settle(struct som_owner *owner, struct vm_area_struct *vma,
		     unsigned long addr, unsigned long *end, bool pull)
{
	unsigned long first = som_pgoff_index(linear_page_index(vma, addr));
	unsigned long last = som_pgoff_index(linear_page_index(vma, *end - 1));

	last = som_owner_settle(owner, first, last);
	*end = som_track_end(vma, last, *end);
	return pull && som_cow_pending(&owner->cow) ?
		som_cow_pull_range(owner, first, last) : 0;
}

/**
 * som_track_scan - Scan a part of a VMA
 * @sweep: current sweep
 * @scan: scan
 * @vma: VMA of the sweep's owner
 * @addr: first address; on return, where the scan stopped
 * @end: end address
 * @clean: clean matching written pages, and track what was scanned
 *
 * Stops before @end when the scan is full, its buffer must be emptied or the sweep's budget
 * is used up. Units that the scan does not reach are not tracked: their earlier contents,
 * and that they were replaced, are not reported yet.
 * Context: mmap_lock and dirty_log.lock are held.
 * Return: 0 or -ENOMEM.
 */
int som_track_scan(struct som_sweep *sweep, struct som_scan *scan,
		   struct vm_area_struct *vma, unsigned long *addr,
		   unsigned long end, bool clean)
{
	struct som_owner *owner = sweep->owner;
	unsigned long last = som_pgoff_index(linear_page_index(vma, end - 1));
	/* Reading the pages takes longer. */
	unsigned int cost = som_scan_uses(scan, SOM_PAGE_IS_ZERO) ? 64 : 1;
	bool dirty_only, tracked, more;
	unsigned long got;
	int ret;

	tracked = !scan->untracked &&
		  som_dirty_log_covers(&owner->dirty_log,
				       som_pgoff_index(linear_page_index(vma, *addr)),
				       last);
	/* Tracked: only regions marked SOM_REGION_DIRTY can have written pages. */
	dirty_only = tracked && som_scan_wants_written(scan);

	while (*addr < end) {
		unsigned long idx = som_pgoff_index(linear_page_index(vma, *addr));
		unsigned long start, stop, found = idx;
		unsigned long hole = *addr, hole_end = end;

		if (scan_next(owner, scan, dirty_only, &found, last)) {
			som_index_clip(vma->vm_start, vma->vm_end, vma->vm_pgoff,
				       found, &start, &stop);
			hole_end = max(start, *addr);
		} else {
			found = last + 1;
		}
		more = dirty_only ||
		       scan_hole(sweep, scan, vma, addr, hole_end, clean);
		if (more)
			*addr = hole_end;
		if (clean && !tracked) {
			ret = track_hole(owner, vma, hole,
					 scan->full ? scan->walk_end : *addr,
					 !scan->full);
			if (ret)
				return ret;
		}
		if (!more || found > last ||
		    sweep->budget < cost || !som_scan_room(scan, SOM_UNIT_PAGES))
			return 0;

		if (clean && !tracked) {
			got = found;
			ret = som_owner_keep(owner, found, 1, 0) ?
				som_owner_track(owner, found, &got) : -ENOMEM;
			if (ret)
				return ret;
		}
		sweep->budget -= cost;
		stop = min(stop, end);
		if (!scan_unit(sweep, scan, vma, found, *addr, stop, clean))
			return 0;
		*addr = stop;
	}
	return 0;
}

/**
 * som_track_unclean - Mark as written again what a scan has cleaned
 * @owner: owner of the VMA
 * @vma: VMA
 * @addr: first address
 * @end: end address
 *
 * Only units with a region were cleaned.
 * Context: mmap_lock is held; takes fault_locks.
 */
void som_track_unclean(struct som_owner *owner, struct vm_area_struct *vma,
		       unsigned long addr, unsigned long end)
{
	som_owner_wrote(owner, linear_page_index(vma, addr),
			linear_page_index(vma, end - 1));
}

/**
 * som_track_reported - Clean addresses without memory after their report
 * @owner: owner of the VMA
 * @vma: VMA
 * @addr: first address
 * @end: end address
 *
 * This includes units released since the report: a read after the call sees that.
 * Context: mmap_lock is held; takes dirty_log.lock, owner->lock and fault_locks.
 */
void som_track_reported(struct som_owner *owner, struct vm_area_struct *vma,
			unsigned long addr, unsigned long end)
{
	struct som_dirty_log *t = &owner->dirty_log;
	pgoff_t first = linear_page_index(vma, addr);
	pgoff_t last = linear_page_index(vma, end - 1);
	pgoff_t vma_last = linear_page_index(vma, vma->vm_end - 1);
	unsigned long idx = som_pgoff_index(first);

	for (; xa_find(&t->regions, &idx, som_pgoff_index(last),
		       SOM_REGION_DROPPED); idx++) {
		struct mutex *lock = som_owner_lock_index(owner, idx);
		unsigned long lo = som_index_pgoff(idx);
		unsigned long hi = som_index_pgoff(idx + 1) - 1;

		/* Clean the whole unit if no other page of it is mapped. */
		if (max(first, lo) != max(vma->vm_pgoff, lo) ||
		    min(last, hi) != min(vma_last, hi) ||
		    !som_owner_maps_once(owner, idx)) {
			lo = max(first, lo);
			hi = min(last, hi);
		}
		if (!som_tables_load(&owner->tables, idx))
			som_dirty_log_reported(t, idx, lo - som_index_pgoff(idx),
					       hi - lo + 1,
					       som_owner_may_record(owner));
		mutex_unlock(lock);
		cond_resched();
	}
	if (som_vma_mapping(vma)->anew) {
		mutex_lock(&t->lock);
		som_owner_reported(som_vma_mapping(vma), first, last);
		mutex_unlock(&t->lock);
	}
}

/* Create a region for a populated unit that becomes tracked. */
static int track_unit(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_unit(owner, idx);
	int ret = 0;

	if (!som_unit_failed(som_owner_lookup(owner, idx)) &&
	    !som_dirty_log_find(&owner->dirty_log, idx)) {
		if (!som_dirty_log_make(&owner->dirty_log, idx, false))
			ret = -ENOMEM;
	}
	mutex_unlock(lock);
	return ret;
}

/**
 * som_owner_track - Track writes to a range, or to the beginning of it
 * @owner: owner
 * @first: first unit index
 * @last: last unit index; on return, last tracked one
 *
 * Units that are populated and were not tracked count as written until they are cleaned. At
 * most SOM_TRACK_UNITS regions are created per call, to limit the time with locks held.
 * Context: Process context; takes owner->lock. mmap_lock and dirty_log.lock are held, and
 * mappings touch all of the indices.
 * Return: 0; -ENOMEM, and nothing is changed.
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
	/* Take a single untracked run: an error then undoes no earlier tracking. */
	end = som_dirty_log_run(t, first, *last, &tracked);
	if (tracked) {
		first = end + 1;
		end = som_dirty_log_run(t, first, *last, &tracked);
	}

	mutex_lock(&owner->lock);
	som_tables_for_each(&owner->tables, idx, entry, first, end) {
		if (++nr == SOM_TRACK_UNITS) {
			end = idx;
			break;
		}
	}
	ret = som_dirty_log_add(t, first, end, som_records_max(owner) / SOM_RUN_BYTES);
	if (ret)
		goto out;
	som_tables_for_each(&owner->tables, idx, entry, first, end) {
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
 * som_owner_keep - Record which pages count as written, before an index is tracked
 * @owner: owner
 * @idx: unit index
 * @first: first page offset that need not be kept
 * @last: last page offset that need not be kept
 *
 * Untracked pages of a mapping with ->anew set count as written (struct som_mapping). Once
 * the index is tracked, a region must record that.
 * Context: Process context; takes owner->lock. mmap_lock and dirty_log.lock are held.
 * Return: true; false if no region can be created.
 */
bool som_owner_keep(struct som_owner *owner, unsigned long idx,
		    unsigned long first, unsigned long last)
{
	struct som_dirty_log *t = &owner->dirty_log;
	unsigned long lo = som_index_pgoff(idx), hi = som_index_pgoff(idx + 1) - 1;
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
	else if (!som_tables_load(&owner->tables, idx))
		done = som_owner_may_record(owner) &&
		       !som_dirty_log_unreported(t, idx, pages,
						 GFP_KERNEL_ACCOUNT);
	else if (!som_dirty_log_find(t, idx))
		done = som_dirty_log_make(t, idx, false);
	mutex_unlock(lock);
	mutex_unlock(&owner->lock);
	return done;
}

/* Track page offsets first..last, which were all reported and have no other mapping. */
static int track_reported(struct som_owner *owner, unsigned long first,
			  unsigned long last)
{
	unsigned long idx = som_pgoff_index(first), end = som_pgoff_index(last);
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

/* Narrow first..last to the first part that another VMA maps; return false if none does. */
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
 * som_owner_reported - Track a reported range of a mapping with ->anew set
 * @mapping: mapping
 * @first: first page offset
 * @last: last page offset
 *
 * If memory is short, the range is reported again. So are units that other VMAs map, too: a
 * report for one VMA does not cover the others.
 * Context: Process context; takes owner->lock. mmap_lock and dirty_log.lock are held.
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
			from = som_index_pgoff(som_pgoff_index(from));
			to = som_index_pgoff(som_pgoff_index(to) + 1) - 1;
		} else {
			from = last + 1;
			to = last;
		}
		if (first < from)
			ret = track_reported(mapping->owner, first, from - 1);
		first = to + 1;
	}
}
