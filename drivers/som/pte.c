// SPDX-License-Identifier: GPL-2.0
/*
 * 4 KiB entries: filling them, and reading and clearing their dirty bits.
 *
 * The functions work on the entries that one VMA has of one unit, or on some groups of
 * them. They process a page table at a time, under its lock, so that an entry costs a few
 * instructions and no call. A missing page table is made by apply_to_page_range(), which
 * calls back for the first entry. The callback handles all entries and ends the walk.
 *
 * Context of every function: mmap_lock or the VMA lock is held, which keeps the page
 * tables; and the unit's fault_lock, which prevents a 2 MiB entry of the unit. After
 * clearing a dirty bit or write access, the caller must flush the TLB (track.c).
 */
#include <linux/bitmap.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include "compat.h"
#include "entry.h"
#include "pte.h"
#include "range.h"

/* Returned by a callback to end the walk of a page table. */
#define SOM_WALK_DONE	1

struct som_walk {
	struct som_ptes *ptes;
	unsigned long start;	/* part in this page table */
	unsigned long end;
	unsigned int page;	/* first page of that part */
	void (*fn)(struct som_walk *walk, pte_t *pte);
	/* arguments and results of fn */
	unsigned long groups;
	unsigned long *dirty;
	unsigned long *missing;
	const unsigned long *pages;
	const unsigned long *filled;
	pte_t entry;
	pgprot_t prot;
	pgprot_t prot_write;
	unsigned int hot;
	bool changed;
	bool discarded;
};

static unsigned int walk_nr(const struct som_walk *walk)
{
	return (walk->end - walk->start) >> PAGE_SHIFT;
}

/* Find the pages of a group that are in the walk's page table. Return: false if none. */
static bool walk_group(const struct som_walk *walk, unsigned int group,
		       unsigned int *first, unsigned int *last)
{
	*first = max(walk->page, group * SOM_GROUP_PAGES);
	*last = min(walk->page + walk_nr(walk), (group + 1) * SOM_GROUP_PAGES);
	return *first < *last;
}

static int walk_pte(pte_t *pte, unsigned long addr, void *data)
{
	struct som_walk *walk = data;

	walk->fn(walk, pte);
	return SOM_WALK_DONE;
}

/**
 * som_pmd - Return the PMD entry of an address
 * @mm: address space
 * @addr: address
 * Return: pointer to the entry; NULL if there is no PMD table.
 */
pmd_t *som_pmd(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud) || pud_leaf(*pud))
		return NULL;
	return pmd_offset(pud, addr);
}

/*
 * Test whether a unit is discarded. The result is valid while a page table's lock is held:
 * a task that discards the unit sets the bit, then takes that lock (som_ptes_sync()), and
 * then clears the entries.
 */
static bool entryp_discarded(void **entryp)
{
	void *entry;

	if (!entryp)
		return false;
	/* som_ptes_sync() may miss a new page table: order making it before the load. */
	smp_mb();
	entry = READ_ONCE(*entryp);
	return !entry || som_entry_test(entry, SOM_ENTRY_DISCARDED);
}

/**
 * som_ptes_sync - Wait for tasks that are making entries of a unit
 * @mm: address space
 * @start: first address
 * @end: end address, exclusive, in the same unit
 *
 * If the unit was marked as discarded before, no entry of it is made afterwards.
 * Context: Process context; mmap_lock is held.
 */
void som_ptes_sync(struct mm_struct *mm, unsigned long start,
		   unsigned long end)
{
	unsigned long addr, next;

	for (addr = start; addr < end; addr = next) {
		pmd_t *pmd = som_pmd(mm, addr);
		spinlock_t *outer, *inner;
		pmd_t val;

		next = pmd_addr_end(addr, end);
		if (!pmd)
			continue;
		outer = pmd_lock(mm, pmd);
		val = pmdp_get(pmd);
		if (!pmd_none(val) && !pmd_leaf(val)) {
			inner = pte_lockptr(mm, pmd);
			spin_lock_nested(inner, SINGLE_DEPTH_NESTING);
			spin_unlock(inner);
		}
		spin_unlock(outer);
	}
}

/**
 * som_pmd_insert - Make a 2 MiB entry if there is none
 * @vmf: the fault; its 2 MiB are in the VMA
 * @pfn: first page frame
 * @write: the access is a write: make the entry dirty and, if the VMA allows it, writable
 * @entryp: as in &struct som_ptes
 *
 * Does what vmf_insert_pfn_pmd() does, but omits the look-up of the memory's cache
 * attributes, as som's memory is ordinary. That took a quarter of a fault's instructions
 * and a lock that all processors share.
 * Context: as every function here.
 * Return: true; false if there is an entry or the unit is discarded: nothing is changed.
 */
bool som_pmd_insert(struct vm_fault *vmf, unsigned long pfn, bool write,
		    void **entryp)
{
	unsigned long addr = vmf->address & PMD_MASK;
	struct vm_area_struct *vma = vmf->vma;
	spinlock_t *ptl;
	bool none;
	pmd_t pmd;

	if (arch_needs_pgtable_deposit())
		return false;
	pmd = pmd_mkspecial(pmd_mkhuge(pfn_pmd(pfn, write ? vma->vm_page_prot :
				       vm_get_page_prot(vma->vm_flags &
							~VM_SHARED))));
	if (write)
		pmd = pmd_mkyoung(pmd_mkdirty(pmd));
	if (write && vma->vm_flags & VM_WRITE)
		pmd = pmd_mkwrite_novma(pmd);
	ptl = pmd_lock(vma->vm_mm, vmf->pmd);
	none = pmd_none(*vmf->pmd) && !entryp_discarded(entryp);
	if (none) {
		set_pmd_at(vma->vm_mm, addr, vmf->pmd, pmd);
		update_mmu_cache_pmd(vma, addr, vmf->pmd);
	}
	spin_unlock(ptl);
	return none;
}

/*
 * Call walk->fn for each page table of walk->ptes. With @create, make missing ones,
 * otherwise skip them. Skip 2 MiB entries in any case, and return -EEXIST. If there is only
 * one page table, remember it in walk->ptes: it exists as long as mmap_lock is held.
 */
static int walk_ptes(struct som_walk *walk, bool create)
{
	struct som_ptes *ptes = walk->ptes;
	struct mm_struct *mm = ptes->vma->vm_mm;
	unsigned long addr, next;
	int ret = 0, err;

	if (ptes->pte) {
		walk->start = ptes->start;
		walk->end = ptes->end;
		walk->page = ptes->page;
		spin_lock(ptes->lock);
		walk->fn(walk, ptes->pte);
		spin_unlock(ptes->lock);
		return 0;
	}
	for (addr = ptes->start; addr < ptes->end; addr = next) {
		pmd_t *pmd = som_pmd(mm, addr);
		pmd_t val = pmd ? pmdp_get_lockless(pmd) : __pmd(0);

		next = pmd_addr_end(addr, ptes->end);
		walk->start = addr;
		walk->end = next;
		walk->page = ptes->page + ((addr - ptes->start) >> PAGE_SHIFT);
		if (pmd_trans_huge(val)) {
			ret = -EEXIST;
		} else if (!pmd_none(val)) {
			/* The VMA keeps its page tables. */
			spinlock_t *ptl = pte_lockptr(mm, pmd);
			pte_t *pte;

			spin_lock(ptl);
			pte = pte_offset_kernel(pmd, addr);
			walk->fn(walk, pte);
			spin_unlock(ptl);
			if (addr == ptes->start && next == ptes->end) {
				ptes->pte = pte;
				ptes->lock = ptl;
			}
		} else if (create) {
			err = apply_to_page_range(mm, addr, next - addr,
						  walk_pte, walk);
			if (err < 0)
				return err;
		}
	}
	return ret;
}

/**
 * som_ptes_init - Select the entries of a unit in a VMA
 * @ptes: result
 * @vma: the VMA
 * @idx: a unit index that it touches
 * @unit: number of the unit there
 */
void som_ptes_init(struct som_ptes *ptes, struct vm_area_struct *vma,
		   unsigned long idx, som_unit_t unit)
{
	ptes->vma = vma;
	som_index_clip(vma->vm_start, vma->vm_end, vma->vm_pgoff, idx,
		       &ptes->start, &ptes->end);
	ptes->page = linear_page_index(vma, ptes->start) - som_index_pgoff(idx);
	ptes->pfn = som_unit_pfn(unit) + ptes->page;
	ptes->pte = NULL;
	ptes->entryp = NULL;
	ptes->paged = false;
}

/**
 * som_ptes_single - Narrow the range to one entry
 * @ptes: the range
 * @addr: address of the entry
 */
void som_ptes_single(struct som_ptes *ptes, unsigned long addr)
{
	unsigned long skip = (addr - ptes->start) >> PAGE_SHIFT;

	ptes->start = addr;
	ptes->end = addr + PAGE_SIZE;
	ptes->page += skip;
	ptes->pfn += skip;
	if (ptes->pte)
		ptes->pte += skip;
}

/**
 * som_ptes_group - Narrow the range to the entries of one group
 * @ptes: the range; some entries are of that group
 * @group: the group
 */
void som_ptes_group(struct som_ptes *ptes, unsigned int group)
{
	unsigned int nr = (ptes->end - ptes->start) >> PAGE_SHIFT;
	unsigned int first = max(ptes->page, group * SOM_GROUP_PAGES);
	unsigned int last = min(ptes->page + nr, (group + 1) * SOM_GROUP_PAGES);

	som_ptes_single(ptes, ptes->start +
			(unsigned long)(first - ptes->page) * PAGE_SIZE);
	ptes->end = ptes->start + (unsigned long)(last - first) * PAGE_SIZE;
}

/* Test whether a page's entry was cleared since it was filled, perhaps with a dirty bit. */
static bool walk_lost(const struct som_walk *walk, unsigned int page)
{
	return walk->filled && test_bit(page, walk->filled);
}

/* Fill pages @first to @last (exclusive) of one group; @pte is of the first. */
static void fill_group(struct som_walk *walk, pte_t *pte, unsigned int first,
		       unsigned int last, bool write)
{
	const struct som_ptes *ptes = walk->ptes;
	struct vm_area_struct *vma = ptes->vma;
	unsigned long pfn = ptes->pfn + (first - ptes->page);
	unsigned long addr = walk->start +
			     (unsigned long)(first - walk->page) * PAGE_SIZE;
	pgprot_t prot = write ? walk->prot_write : walk->prot;
	unsigned int nr = last - first, i, run;
	/* As walk_lost(), a bit for each page from the first on. */
	unsigned long lost = walk->filled ?
		walk->filled[first / SOM_GROUP_PAGES] >> first % SOM_GROUP_PAGES : 0;

	BUILD_BUG_ON(SOM_GROUP_PAGES != BITS_PER_LONG);
	for (i = 0; i < nr; i += run) {
		pte_t entry, old = ptep_get(pte + i);

		run = 1;
		if (!pte_none(old)) {
			if (write && !pte_write(old) && pte_pfn(old) == pfn + i)
				som_ptep_mkwrite(pte + i);
			continue;
		}
		while (!lost && i + run < nr && pte_none(ptep_get(pte + i + run)))
			run++;
		entry = pte_mkspecial(pfn_pte(pfn + i, prot));
		if (lost & BIT(i))
			entry = pte_mkdirty(entry);
		set_ptes(vma->vm_mm, addr + i * PAGE_SIZE, pte + i, entry, run);
	}
}

static void fill_fn(struct som_walk *walk, pte_t *pte)
{
	const struct som_ptes *ptes = walk->ptes;
	unsigned int group, first, last, i;

	if (entryp_discarded(ptes->entryp)) {
		walk->discarded = true;
		return;
	}
	for (group = 0; group < SOM_UNIT_GROUPS; group++) {
		if (walk_group(walk, group, &first, &last))
			fill_group(walk, pte + (first - walk->page), first,
				   last, walk->groups & BIT(group));
	}
	/* The lock is held, so no new entry was used yet. */
	i = walk->hot - walk->page;
	if (i < walk_nr(walk)) {
		pte_t val = ptep_get(pte + i);

		if (pte_write(val) && !pte_dirty(val) &&
		    pte_pfn(val) == ptes->pfn + (walk->hot - ptes->page))
			set_pte(pte + i, pte_mkyoung(pte_mkdirty(val)));
	}
}

/**
 * som_ptes_fill - Make missing entries
 * @ptes: the range
 * @groups: groups whose entries, new or existing, become writable if the VMA is; other new
 *	entries are not writable
 * @hot: page that is about to be written, or SOM_UNIT_PAGES: if writable, its entry is made
 *	dirty, which saves the processor the update
 * @filled: pages whose new entry is made dirty, as an earlier one may have been dirty and
 *	its TLB entry may not be flushed yet; or NULL
 *
 * All other new entries are clean.
 * Return: 0; -ENOMEM without memory for a page table; -EEXIST if there is a 2 MiB entry;
 * -EAGAIN if the unit is discarded.
 */
int som_ptes_fill(struct som_ptes *ptes, unsigned long groups,
		  unsigned int hot, const unsigned long *filled)
{
	struct som_walk walk = {
		.ptes = ptes,
		.fn = fill_fn,
		.groups = ptes->vma->vm_flags & VM_WRITE ? groups : 0,
		.filled = filled,
		.hot = hot,
	};
	unsigned long flags = ptes->vma->vm_flags;
	int ret;

	walk.prot = vm_get_page_prot(flags & ~VM_SHARED);
	walk.prot_write = vm_get_page_prot(flags);

	ret = walk_ptes(&walk, true);
	return walk.discarded ? -EAGAIN : ret;
}

/* Count entries of ordinary pages: the kernel subtracts them when it zaps them. */
static void count_pages(struct mm_struct *mm, struct page *page, int added,
			int mapped)
{
	struct folio *folio = page_folio(page);

	percpu_counter_add(&mm->rss_stat[mm_counter(folio)], added);
	if (mapped)
		__lruvec_stat_mod_folio(folio, folio_test_anon(folio) ?
					NR_ANON_MAPPED : NR_FILE_MAPPED, mapped);
}

/* Test whether an entry gets write access: if tracked, only that of the written page. */
static bool page_writable(const struct som_walk *walk, unsigned int i)
{
	return walk->groups &&
	       (!walk->ptes->paged || walk->page + i == walk->hot);
}

static pte_t make_page_entry(const struct som_walk *walk, struct page *page,
			     unsigned int i)
{
	pte_t entry = mk_pte(page, walk->prot);

	if (!page_writable(walk, i))
		return walk_lost(walk, walk->page + i) ? pte_mkdirty(entry) : entry;
	entry = mk_pte(page, walk->prot_write);
	return walk->ptes->paged ? pte_mkyoung(pte_mkdirty(entry)) : entry;
}

static void fill_pages_fn(struct som_walk *walk, pte_t *pte)
{
	const struct som_ptes *ptes = walk->ptes;
	struct mm_struct *mm = ptes->vma->vm_mm;
	struct page *first = pfn_to_page(ptes->pfn + (walk->page - ptes->page));
	unsigned int nr = walk_nr(walk), added = 0, mapped = 0, i;

	if (entryp_discarded(ptes->entryp)) {
		walk->discarded = true;
		return;
	}
	for (i = 0; i < nr; i++) {
		struct page *page = first + i;
		pte_t old = ptep_get(pte + i);

		if (!pte_none(old)) {
			if (!page_writable(walk, i) || pte_write(old) ||
			    pte_pfn(old) != page_to_pfn(page))
				continue;
			if (ptes->paged)
				som_ptep_mkdirty(pte + i);
			else
				som_ptep_mkwrite(pte + i);
			continue;
		}
		if (PageHWPoison(page))
			continue;
		get_page(page);
		mapped += atomic_inc_and_test(&page->_mapcount);
		added++;
		set_pte_at(mm, walk->start + i * PAGE_SIZE, pte + i,
			   make_page_entry(walk, page, i));
	}
	if (added)
		count_pages(mm, first, added, mapped);
}

/**
 * som_ptes_fill_pages - Make missing entries of a page-backed unit
 * @ptes: the range
 * @hot: page that is about to be written, or SOM_UNIT_PAGES
 * @filled: as in som_ptes_fill()
 *
 * All entries, new or existing, become writable if the VMA is; new ones are clean. With
 * @ptes->paged, only @hot becomes writable, and is made dirty. Does what vm_insert_page()
 * does, but for anonymous pages, which that refuses. Pages whose memory has failed get no
 * entry.
 * Return: 0; -ENOMEM without memory for a page table; -EEXIST if there is a 2 MiB entry;
 * -EAGAIN if the unit is discarded.
 */
int som_ptes_fill_pages(struct som_ptes *ptes, unsigned int hot,
			const unsigned long *filled)
{
	unsigned long flags = ptes->vma->vm_flags;
	struct som_walk walk = {
		.ptes = ptes,
		.fn = fill_pages_fn,
		.groups = flags & VM_WRITE ? SOM_ALL_GROUPS : 0,
		.hot = hot,
		.filled = filled,
	};
	int ret;

	walk.prot = vm_get_page_prot(flags & ~VM_SHARED);
	walk.prot_write = vm_get_page_prot(flags);
	ret = walk_ptes(&walk, true);
	return walk.discarded ? -EAGAIN : ret;
}

/* Gather a whole group, eight entries at a time. */
static void gather_group(struct som_walk *walk, const pte_t *pte,
			 unsigned int group)
{
	unsigned long dirty = 0, missing = 0;
	unsigned int shift, none;

	for (shift = 0; shift < SOM_GROUP_PAGES; shift += 8, pte += 8) {
		if (som_ptes_idle(pte))
			continue;
		dirty |= (unsigned long)som_ptes_look(pte, &none) << shift;
		missing |= (unsigned long)none << shift;
	}
	walk->dirty[group] |= dirty;
	walk->missing[group] |= missing;
}

static void gather_fn(struct som_walk *walk, pte_t *pte)
{
	unsigned int group, page, last;

	for_each_set_bit(group, &walk->groups, SOM_UNIT_GROUPS) {
		if (!walk_group(walk, group, &page, &last))
			continue;
		if (last - page == SOM_GROUP_PAGES && !walk->ptes->paged) {
			gather_group(walk, pte + (page - walk->page), group);
			continue;
		}
		for (; page < last; page++) {
			pte_t val = ptep_get(pte + (page - walk->page));

			if (pte_dirty(val))
				__set_bit(page, walk->dirty);
			else if (pte_none(val))
				__set_bit(page, walk->missing);
		}
	}
}

/**
 * som_ptes_gather - Read dirty bits
 * @ptes: the range
 * @groups: groups to read
 * @dirty: bits are set for pages with a dirty entry
 * @missing: bits are set for pages without an entry, but not if there is no page table
 */
void som_ptes_gather(struct som_ptes *ptes, unsigned long groups,
		     unsigned long *dirty, unsigned long *missing)
{
	struct som_walk walk = {
		.ptes = ptes,
		.fn = gather_fn,
		.groups = groups,
		.dirty = dirty,
		.missing = missing,
	};

	walk_ptes(&walk, false);
}

static void clean_fn(struct som_walk *walk, pte_t *pte)
{
	unsigned int group, first, last, page;

	for_each_set_bit(group, &walk->groups, SOM_UNIT_GROUPS) {
		unsigned long bits = walk->pages[group];

		if (!walk_group(walk, group, &first, &last))
			continue;
		for (; bits; bits &= bits - 1) {
			page = group * SOM_GROUP_PAGES + __ffs(bits);
			if (page < first || page >= last ||
			    !pte_dirty(ptep_get(pte + page - walk->page)))
				continue;
			if (walk->ptes->paged)
				som_ptep_protect_clean(pte + page - walk->page);
			else
				som_ptep_mkclean(pte + page - walk->page);
			walk->changed = true;
		}
	}
}

/**
 * som_ptes_clean - Clear dirty bits
 * @ptes: the range
 * @groups: groups to clear
 * @pages: pages of them to clear; with @ptes->paged, they lose write access, too
 * Return: true if one was set: the TLB must be flushed.
 */
bool som_ptes_clean(struct som_ptes *ptes, unsigned long groups,
		    const unsigned long *pages)
{
	struct som_walk walk = {
		.ptes = ptes,
		.fn = clean_fn,
		.groups = groups,
		.pages = pages,
	};

	walk_ptes(&walk, false);
	return walk.changed;
}

static void protect_fn(struct som_walk *walk, pte_t *pte)
{
	struct mm_struct *mm = walk->ptes->vma->vm_mm;
	unsigned int group, page, last, i;

	for_each_set_bit(group, &walk->groups, SOM_UNIT_GROUPS) {
		if (!walk_group(walk, group, &page, &last))
			continue;
		for (; page < last; page++) {
			i = page - walk->page;
			if (pte_write(ptep_get(pte + i)))
				ptep_set_wrprotect(mm, walk->start +
						   (unsigned long)i * PAGE_SIZE,
						   pte + i);
		}
	}
}

/**
 * som_ptes_protect - Remove write access
 * @ptes: the range
 * @groups: groups to protect
 *
 * Keeps dirty bits. The TLB must be flushed.
 */
void som_ptes_protect(struct som_ptes *ptes, unsigned long groups)
{
	struct som_walk walk = {
		.ptes = ptes,
		.fn = protect_fn,
		.groups = groups,
	};

	walk_ptes(&walk, false);
}

static void pte_take_fn(struct som_walk *walk, pte_t *pte)
{
	walk->entry = ptep_get_and_clear(walk->ptes->vma->vm_mm, walk->start,
					 pte);
}

/**
 * som_ptes_take - Remove one entry
 * @ptes: exactly one entry
 *
 * No processor can set its dirty bit afterwards. The TLB must be flushed.
 * Return: the previous entry, or none.
 */
pte_t som_ptes_take(struct som_ptes *ptes)
{
	struct som_walk walk = {
		.ptes = ptes,
		.fn = pte_take_fn,
	};

	walk_ptes(&walk, false);
	return walk.entry;
}

static void restore_fn(struct som_walk *walk, pte_t *pte)
{
	if (!pte_none(ptep_get(pte)) || entryp_discarded(walk->ptes->entryp))
		return;
	set_pte_at(walk->ptes->vma->vm_mm, walk->start, pte, walk->entry);
	walk->changed = true;
}

/**
 * som_ptes_restore - Restore an entry that was removed
 * @ptes: exactly one entry, of the same unit
 * @entry: new entry
 * Return: true; false if there is another entry by now, or the unit is discarded.
 */
bool som_ptes_restore(struct som_ptes *ptes, pte_t entry)
{
	struct som_walk walk = {
		.ptes = ptes,
		.fn = restore_fn,
		.entry = entry,
	};

	/* The page table exists, as it contained the entry: this cannot fail. */
	walk_ptes(&walk, true);
	return walk.changed;
}

/**
 * som_ptes_drop - Release the page of an entry that was removed and is not restored
 * @ptes: exactly one entry
 * @entry: the previous entry
 * Context: as every function here; the TLB was flushed meanwhile.
 */
void som_ptes_drop(struct som_ptes *ptes, pte_t entry)
{
	struct page *page;

	if (pte_special(entry))
		return;
	page = pte_page(entry);
	count_pages(ptes->vma->vm_mm, page, -1,
		    atomic_add_negative(-1, &page->_mapcount) ? -1 : 0);
	put_page(page);
}

/**
 * som_ptes_retract - Remove an empty page table
 * @mm: address space; mmap_lock and the VMA are locked for write
 * @pmd: the PMD entry
 * @addr: its first address
 *
 * Processors and get_user_pages_fast() may still access the page table. Free it only after
 * a TLB flush for freed page tables and an RCU grace period.
 * Return: the page table; NULL if there is none or it is not empty.
 */
struct page *som_ptes_retract(struct mm_struct *mm, pmd_t *pmd,
			      unsigned long addr)
{
	spinlock_t *outer = pmd_lock(mm, pmd), *inner;
	struct page *table = NULL;
	pmd_t val = pmdp_get(pmd);
	bool empty = true;
	pte_t *pte;
	int i;

	BUILD_BUG_ON(!IS_ENABLED(CONFIG_SPLIT_PTE_PTLOCKS));
	if (pmd_none(val) || pmd_leaf(val))
		goto out;
	/* The PMD lock and the page table's lock are different locks. */
	inner = pte_lockptr(mm, pmd);
	spin_lock_nested(inner, SINGLE_DEPTH_NESTING);
	pte = pte_offset_kernel(pmd, addr);
	for (i = 0; i < PTRS_PER_PTE && empty; i++)
		empty = pte_none(ptep_get(pte + i));
	if (empty) {
		table = pmd_pgtable(val);
		pmd_clear(pmd);
		mm_dec_nr_ptes(mm);
	}
	spin_unlock(inner);
out:
	spin_unlock(outer);
	return table;
}
