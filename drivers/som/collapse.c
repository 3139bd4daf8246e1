// SPDX-License-Identifier: GPL-2.0
/*
 * Back to 2 MiB entries.
 *
 * A fault makes a 2 MiB entry only where there is no page table, and the kernel
 * frees a page table no earlier than it unmaps the addresses. So where a unit
 * was mapped by 4 KiB entries for a reason that is gone, its page table has to
 * go: after tracking found that nobody writes to it any more, after it was
 * released, or was made pinnable and moved back. Whoever notices that says so
 * (som_collapse_want()), and a worker does it a while later.
 *
 * For a page table to go,
 *
 *  - mmap_lock and the VMA are locked for write, so nobody but a zap is in it, and
 *    owner->lock and the unit's fault_lock are held, so none of som's zaps is;
 *  - its entries are zapped: the next touch brings the unit back;
 *  - the entry above it is cleared, under both page table locks;
 *  - the TLB is flushed with everything that the processors remember of page tables,
 *    the same way as in track.c: a flush is announced, and a zap does it;
 *  - an RCU grace period passes: get_user_pages_fast() looks at page tables with
 *    interrupts off and no lock.
 */
#include <linux/interval_tree.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include "collapse.h"
#include "compat.h"
#include "entry.h"
#include "owner.h"
#include "pte.h"
#include "work.h"
#include "zap.h"

/* When page tables are looked at, in milliseconds: what is idle may stay so. */
#define SOM_COLLAPSE_MS		1000
/* Units that are looked at, and page tables that go, in one go. */
#define SOM_COLLAPSE_UNITS	512
#define SOM_COLLAPSE_TABLES	64

struct collapser {
	struct som_owner *owner;
	unsigned long idx;	/* next to be looked at */
	unsigned long last;
	unsigned int budget;
	unsigned int nr;
	pgoff_t pgoff;		/* of one that was collapsed */
	struct page *tables[SOM_COLLAPSE_TABLES];
};

/* Is there nothing that needs 4 KiB entries? The unit index is locked. */
static bool may_collapse(struct som_owner *owner, unsigned long idx)
{
	struct som_record *rec = som_tracker_find(&owner->tracker, idx);

	if (som_owner_pinnable(owner, idx))
		return false;
	return !rec || rec->mode == SOM_MODE_OPEN || rec->mode == SOM_MODE_CLEAN;
}

static void collapse_unit(struct collapser *c, struct vm_area_struct *vma,
			  unsigned long addr)
{
	pmd_t *pmd = som_pmd(vma->vm_mm, addr);
	struct page *table = NULL;
	struct mutex *lock;

	if (!pmd || pmd_none(pmdp_get_lockless(pmd)) ||
	    pmd_trans_huge(pmdp_get_lockless(pmd)))
		return;
	/* First: faults take owner->lock with the VMA locked. */
	vma_start_write(vma);
	mutex_lock(&c->owner->lock);
	lock = som_owner_lock_index(c->owner, c->idx);
	if (may_collapse(c->owner, c->idx)) {
		som_zap(c->owner, som_unit_pgoff(c->idx), SOM_UNIT_PAGES);
		table = som_ptes_retract(vma->vm_mm, pmd, addr);
	}
	if (table) {
		som_owner_set_level(c->owner, c->idx, SOM_LEVEL_NONE);
		c->tables[c->nr++] = table;
		c->pgoff = som_unit_pgoff(c->idx);
	}
	mutex_unlock(lock);
	mutex_unlock(&c->owner->lock);
}

/* The units of one VMA, as far as tables and budget go; false: they are used up. */
static bool collapse_vma(struct collapser *c, struct som_span *span)
{
	struct vm_area_struct *vma = span->vma;
	unsigned long last = min(c->last, som_pgoff_unit(span->it.last));

	c->idx = max(c->idx, som_pgoff_unit(span->it.start));
	for (; c->idx <= last; c->idx++) {
		unsigned long start, end;

		if (c->nr == SOM_COLLAPSE_TABLES || !c->budget)
			return false;
		c->budget--;
		som_unit_clip(vma->vm_start, vma->vm_end, vma->vm_pgoff, c->idx,
			      &start, &end);
		if (end - start == SOM_UNIT_SIZE &&
		    !(start & (SOM_UNIT_SIZE - 1)))
			collapse_unit(c, vma, start);
	}
	return true;
}

/* As much as may be done with mmap_lock held, under which no span comes or goes. */
static void collapse_some(struct collapser *c)
{
	struct som_owner *owner = c->owner;
	struct interval_tree_node *it;
	unsigned int i;

	c->nr = 0;
	c->budget = SOM_COLLAPSE_UNITS;
	mmap_write_lock(owner->mm);
	inc_tlb_flush_pending(owner->mm);
	while (c->idx <= c->last) {
		struct som_span *span;

		it = interval_tree_iter_first(&owner->spans,
					      som_unit_pgoff(c->idx),
					      som_unit_pgoff(c->last + 1) - 1);
		if (!it) {
			c->idx = c->last + 1;
			break;
		}
		span = container_of(it, struct som_span, it);
		if (som_owner_maps_2m(span->vma)) {
			if (!collapse_vma(c, span))
				break;
		} else {
			c->idx = som_pgoff_unit(it->last);
		}
		/* A unit at the seam of two spans is covered by neither. */
		if (c->idx <= som_pgoff_unit(it->last))
			c->idx = som_pgoff_unit(it->last) + 1;
	}
	if (c->nr) {
		mutex_lock(&owner->lock);
		som_zap(owner, c->pgoff, 1);
		mutex_unlock(&owner->lock);
	}
	dec_tlb_flush_pending(owner->mm);
	mmap_write_unlock(owner->mm);
	for (i = 0; i < c->nr; i++)
		som_pgtable_free_rcu(c->tables[i]);
}

static void som_collapse_work(struct work_struct *work)
{
	struct som_owner *owner = container_of(to_delayed_work(work),
					       struct som_owner, collapse.work);
	struct collapser *c = kmalloc(sizeof(*c), GFP_KERNEL);
	bool begun = som_work_begin(owner);

	if (c && begun) {
		c->owner = owner;
		spin_lock(&owner->collapse.lock);
		c->idx = owner->collapse.first;
		c->last = owner->collapse.last;
		owner->collapse.first = ULONG_MAX;
		owner->collapse.last = 0;
		spin_unlock(&owner->collapse.lock);
		while (c->idx <= c->last) {
			collapse_some(c);
			cond_resched();
		}
	}
	kfree(c);
	if (begun)
		som_work_end(owner);
}

/**
 * som_collapse_init - nothing is to be collapsed
 * @owner: a new owner
 */
void som_collapse_init(struct som_owner *owner)
{
	struct som_collapse *col = &owner->collapse;

	spin_lock_init(&col->lock);
	col->first = ULONG_MAX;
	col->last = 0;
	INIT_DELAYED_WORK(&col->work, som_collapse_work);
}

/**
 * som_collapse_want - the reason why a unit is mapped by 4 KiB entries is gone
 * @owner: whose
 * @idx: unit index
 *
 * Context: Any; the caller has a reference to the owner.
 */
void som_collapse_want(struct som_owner *owner, unsigned long idx)
{
	struct som_collapse *col = &owner->collapse;

	spin_lock(&col->lock);
	col->first = min(col->first, idx);
	col->last = max(col->last, idx);
	spin_unlock(&col->lock);
	som_work_queue(&col->work, SOM_COLLAPSE_MS);
}

/**
 * som_collapse_exit - wait for page tables that are being freed
 *
 * Context: Module unload; no owner is left.
 */
void som_collapse_exit(void)
{
	rcu_barrier();
}
