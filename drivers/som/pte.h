/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_PTE_H
#define _SOM_PTE_H

#include <linux/mm.h>
#include <linux/mm_types.h>
#include <linux/types.h>

struct mm_struct;
struct page;
struct vm_area_struct;
struct vm_fault;

/**
 * struct som_ptes - 4 KiB entries of a unit in a VMA
 * @vma: the VMA.
 * @start: first address.
 * @end: end address, exclusive.
 * @page: number of the first page in the unit.
 * @pfn: page frame of the first page.
 * @pte: the first entry, if all are in one page table that was found before; else NULL.
 * @lock: lock of that page table.
 * @entryp: pointer to the unit's entry if the unit may be discarded at any time, in which
 *	case no page table entry is made; else NULL.
 * @paged: entries of a tracked, page-backed unit: only dirty ones are writable.
 *
 * Bitmaps passed along have a bit for each of the unit's 512 pages.
 */
struct som_ptes {
	struct vm_area_struct *vma;
	unsigned long start;
	unsigned long end;
	unsigned int page;
	unsigned long pfn;
	pte_t *pte;
	spinlock_t *lock;	/* of the page table that @pte is in */
	void **entryp;
	bool paged;
};

pmd_t *som_pmd(struct mm_struct *mm, unsigned long addr);
bool som_pmd_insert(struct vm_fault *vmf, unsigned long pfn, bool write,
		    void **entryp);
void som_ptes_sync(struct mm_struct *mm, unsigned long start,
		   unsigned long end);
struct page *som_ptes_retract(struct mm_struct *mm, pmd_t *pmd,
			      unsigned long addr);
void som_ptes_init(struct som_ptes *ptes, struct vm_area_struct *vma,
		   unsigned long idx, som_unit_t unit);
void som_ptes_single(struct som_ptes *ptes, unsigned long addr);
void som_ptes_group(struct som_ptes *ptes, unsigned int group);
int som_ptes_fill(struct som_ptes *ptes, unsigned long groups,
		  unsigned int hot, const unsigned long *filled);
void som_ptes_gather(struct som_ptes *ptes, unsigned long groups,
		     unsigned long *dirty, unsigned long *missing);
bool som_ptes_clean(struct som_ptes *ptes, unsigned long groups,
		    const unsigned long *pages);
void som_ptes_protect(struct som_ptes *ptes, unsigned long groups);
int som_ptes_fill_pages(struct som_ptes *ptes, unsigned int hot,
			const unsigned long *filled);
pte_t som_ptes_take(struct som_ptes *ptes);
bool som_ptes_restore(struct som_ptes *ptes, pte_t entry);
void som_ptes_drop(struct som_ptes *ptes, pte_t entry);

#endif /* _SOM_PTE_H */
