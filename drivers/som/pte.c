// SPDX-License-Identifier: GPL-2.0
/*
 * 4 KiB entries: filling them, and reading and clearing their dirty bits.
 *
 * All work on the part of one unit that one VMA maps, or on some groups of pages
 * of it, one page table at a time
 * under its lock: an entry costs a few instructions, and no call. A page table
 * that is missing is made by the kernel's apply_to_page_range(), which calls
 * back for the first entry; the callback goes through the entries by itself and
 * ends the walk.
 *
 * Context of every function: mmap_lock or the VMA lock is held (so the page
 * tables stay) and the unit's fault_lock (so no 2 MiB entry of the unit
 * comes). Clearing a dirty bit, or write access, leaves the TLB behind: the
 * caller flushes (track.c).
 */
#include <linux/bitmap.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include "compat.h"
#include "entry.h"
#include "pte.h"
#include "range.h"

/* What a callback returns to end the walk of a page table. */
#define SOM_WALK_DONE	1

struct som_walk {
	struct som_ptes *ptes;
	unsigned long start;	/* this page table's part ... */
	unsigned long end;
	unsigned int page;	/* ... and its first page in the unit */
	void (*fn)(struct som_walk *walk, pte_t *pte);
	/* what fn works with */
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

/* The pages of a group that a walk has come to; false if there are none. */
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
 * som_pmd - the entry above a page table
 * @mm: address space
 * @addr: an address
 *
 * Return: a pointer to it, or NULL if there is no table for it, either.
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
 * Is a unit discarded by now? With a page table's lock held, the answer holds: whoever
 * discards it takes that lock after he has said so (som_ptes_sync()), and then clears the
 * entries that there are.
 */
static bool entryp_discarded(void **entryp)
{
	void *entry;

	if (!entryp)
		return false;
	/* Another page table may have come since it was said. */
	smp_mb();
	entry = READ_ONCE(*entryp);
	return !entry || som_entry_test(entry, SOM_ENTRY_DISCARDED);
}

/**
 * som_ptes_sync - wait for those who are making entries of a unit right now
 * @mm: address space
 * @start: first address
 * @end: address behind the last, of one unit
 *
 * From then on nobody makes an entry there if the unit was said to be discarded before.
 *
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
 * som_pmd_insert - make a 2 MiB entry where there is none
 * @vmf: the fault; its 2 MiB are in the VMA
 * @pfn: first page frame
 * @write: whether it is writable as far as the VMA is, and about to be written
 * @entryp: as in &struct som_ptes
 *
 * What vmf_insert_pfn_pmd() does, but that it asks first, for a quarter of all the
 * instructions of a fault and under a lock that all processors share, how the memory
 * is to be cached: som's is ordinary memory.
 *
 * Context: as every function here.
 * Return: true, or false (and nothing is changed) if there is something already, or the
 * unit is discarded.
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
 * Call walk->fn for each page table of walk->ptes. With create, they are made;
 * otherwise those that are not there are passed over. A 2 MiB entry is passed
 * over in any case; -EEXIST then. If all is in one page table, that is kept in
 * walk->ptes, as it stays as long as mmap_lock is held.
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
			/* It stays: the VMA does, and so do its page tables. */
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
 * som_ptes_init - say which entries are meant
 * @ptes: where it goes
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
 * som_ptes_single - mean one entry of those that are meant
 * @ptes: which
 * @addr: its address
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
 * som_ptes_group - mean those of one group only
 * @ptes: which; some are of that group
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

/* Had a page an entry that somebody has taken, perhaps with a dirty bit? */
static bool walk_lost(const struct som_walk *walk, unsigned int page)
{
	return walk->filled && test_bit(page, walk->filled);
}

/* Pages @first to @last (exclusive), of one group; @pte is of the first. */
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

	for (i = 0; i < nr; i += run) {
		pte_t entry, old = ptep_get(pte + i);
		bool lost;

		run = 1;
		if (!pte_none(old)) {
			if (write && !pte_write(old) && pte_pfn(old) == pfn + i)
				som_ptep_mkwrite(pte + i);
			continue;
		}
		lost = walk_lost(walk, first + i);
		while (i + run < nr && pte_none(ptep_get(pte + i + run)) &&
		       walk_lost(walk, first + i + run) == lost)
			run++;
		entry = pte_mkspecial(pfn_pte(pfn + i, prot));
		set_ptes(vma->vm_mm, addr + i * PAGE_SIZE, pte + i,
			 lost ? pte_mkdirty(entry) : entry, run);
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
	/* Nobody has used a new entry yet: the lock is held. */
	i = walk->hot - walk->page;
	if (i < walk_nr(walk)) {
		pte_t val = ptep_get(pte + i);

		if (pte_write(val) && !pte_dirty(val) &&
		    pte_pfn(val) == ptes->pfn + (walk->hot - ptes->page))
			set_pte(pte + i, pte_mkyoung(pte_mkdirty(val)));
	}
}

/**
 * som_ptes_fill - make entries where there are none
 * @ptes: which
 * @groups: those that are writable, as far as the VMA is; what is there of them
 *	becomes so, too. All other new entries are not writable
 * @hot: a page that is about to be written, or SOM_UNIT_PAGES: if its entry is
 *	writable, it is dirty, which saves the processor the update
 * @filled: pages whose new entries are dirty, as they had entries that may have been, or
 *	NULL: whoever took those may not have flushed the TLB yet
 *
 * All other new entries are clean.
 *
 * Return: 0; -ENOMEM without memory for a page table; -EEXIST if there is a
 * 2 MiB entry; -EAGAIN if the unit is discarded.
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

/* The kernel has entries of ordinary pages in its counts, and takes them out itself. */
static void count_pages(struct mm_struct *mm, struct page *page, int added,
			int mapped)
{
	struct folio *folio = page_folio(page);

	percpu_counter_add(&mm->rss_stat[mm_counter(folio)], added);
	if (mapped)
		__lruvec_stat_mod_folio(folio, folio_test_anon(folio) ?
					NR_ANON_MAPPED : NR_FILE_MAPPED, mapped);
}

/* Is a page to have write access? Where it is tracked, only the one that is written. */
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
 * som_ptes_fill_pages - make ordinary entries where there are none
 * @ptes: which; the unit is ordinary pages
 *
 * @hot: a page that is about to be written, or SOM_UNIT_PAGES
 * @filled: as in som_ptes_fill()
 *
 * All of them are writable as far as the VMA is, and clean; what is there becomes
 * writable, too. That is what vm_insert_page() does, but for anonymous pages, which it
 * refuses. With @ptes->paged, @hot alone becomes writable, and is dirty. Pages that
 * have failed get no entry.
 *
 * Return: 0; -ENOMEM without memory for a page table; -EEXIST if there is a
 * 2 MiB entry; -EAGAIN if the unit is discarded.
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

/* A whole group, eight entries at once. */
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
 * som_ptes_gather - read dirty bits
 * @ptes: which
 * @groups: only those of these groups
 * @dirty: pages whose entry is dirty are set here
 * @missing: pages that have no entry are set here, unless there is no page table
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
 * som_ptes_clean - clear dirty bits
 * @ptes: which
 * @groups: only those of these groups,
 * @pages: and of these pages
 *
 * With @ptes->paged, they lose write access, too.
 *
 * Return: true if one was set, and the TLB must be flushed.
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
 * som_ptes_protect - take write access away
 * @ptes: which
 * @groups: of these groups
 *
 * Dirty bits stay. The TLB must be flushed.
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
 * som_ptes_take - remove one entry and say what it was
 * @ptes: exactly one
 *
 * From then on no processor can set its dirty bit. The TLB must be flushed.
 *
 * Return: the entry, or none.
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
 * som_ptes_restore - put an entry back that was taken
 * @ptes: exactly one, of a unit that is still where it was
 * @entry: what it shall be
 *
 * Return: false if it was not, as there is another by now, or the unit is discarded.
 */
bool som_ptes_restore(struct som_ptes *ptes, pte_t entry)
{
	struct som_walk walk = {
		.ptes = ptes,
		.fn = restore_fn,
		.entry = entry,
	};

	/* The page table is there, the entry was in it: this cannot fail. */
	walk_ptes(&walk, true);
	return walk.changed;
}

/**
 * som_ptes_drop - an entry that was taken does not come back
 * @ptes: exactly one
 * @entry: what it was
 *
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
 * som_ptes_retract - take an empty page table out
 * @mm: address space; mmap_lock and the VMA are locked for write
 * @pmd: the entry above it
 * @addr: its first address
 *
 * Processors and get_user_pages_fast() may still be looking at it: it can be
 * freed after a TLB flush that says so, and an RCU grace period.
 *
 * Return: the page table, or NULL if it is not empty, or none.
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
	/* Two locks: the one is the page table's, the other the one above it. */
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
