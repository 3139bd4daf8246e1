// SPDX-License-Identifier: GPL-2.0
/*
 * Back to 2 MiB entries.
 *
 * A fault makes a 2 MiB entry only where there is no page table, and the kernel
 * frees a page table no earlier than it unmaps the addresses. So where a unit
 * was mapped by 4 KiB entries for a reason that is gone, its page table has to
 * go: after tracking found that nobody writes to it any more, after it was
 * released, or was made page-backed and moved back. Whoever notices that marks the table
 * that the unit's index is in (som_collapse_want()), and a worker looks at marked
 * leaves a while later.
 *
 * The worker is the system's and not the owner's. So it does not wait for mmap_lock: it
 * tries for a while, and comes again otherwise. It holds mmap_lock for one table at a
 * time, and stops when nobody else has the address space.
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
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "collapse.h"
#include "compat.h"
#include "dirty_log.h"
#include "entry.h"
#include "mapping.h"
#include "migrate.h"
#include "pte.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "zap.h"

/* Page tables that go in one go. */
#define SOM_COLLAPSE_TABLES	64
/* Units that are moved in one go. */
#define SOM_COLLAPSE_MOVES	8

struct collapser {
	struct som_owner *owner;
	unsigned long idx;	/* next to be looked at */
	unsigned long last;	/* of the table */
	unsigned int nr;
	unsigned int moved;	/* to ordinary pages, or back */
	pgoff_t pgoff;		/* of one that was collapsed */
	struct page *tables[SOM_COLLAPSE_TABLES];
};

/* Is there nothing that needs 4 KiB entries? The unit index is locked. */
static bool may_collapse(struct som_owner *owner, unsigned long idx)
{
	struct som_region *region = som_dirty_log_find(&owner->dirty_log, idx);

	if (som_owner_page_backed(owner, idx))
		return false;
	return !region || region->mode == SOM_MODE_OPEN || region->mode == SOM_MODE_CLEAN;
}

/* Does a tracked unit have 4 KiB entries because it is written? */
static bool written_lately(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);
	struct som_region *region = som_dirty_log_find(&owner->dirty_log, idx);
	bool ret = region && region->mode == SOM_MODE_DIRTY;

	mutex_unlock(lock);
	return ret;
}

/*
 * A unit that is page-backed by policy goes back to the pool if one VMA covers it, or it
 * is not tracked; and one that is mapped by special 4 KiB entries becomes page-backed, where
 * that is the policy (migrate.c). If a pin is in the way, somebody looks again.
 */
static void convert_unit(struct collapser *c, struct som_mapping *mapping,
			 bool covered)
{
	struct som_owner *owner = c->owner;
	void *entry = som_tables_load(&owner->tables, c->idx);
	bool tracked = som_dirty_log_tracks(&owner->dirty_log, c->idx);
	bool back = covered && !tracked;
	void *memory;
	int ret;

	if (!entry)
		return;
	if (back ? !som_entry_test(entry, SOM_ENTRY_BY_POLICY) :
		   !mapping->auto_convert ||
		   som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ||
		   som_entry_level(entry) != SOM_LEVEL_4K)
		return;
	/* It is about to be mapped by 2 MiB again. */
	if (tracked && covered && !written_lately(owner, c->idx))
		return;
	memory = som_convert_alloc(owner, !back);
	ret = PTR_ERR_OR_ZERO(memory);
	if (!ret) {
		ret = som_convert_unit(owner, c->idx, !back, &memory);
		som_migrate_free(memory);
	}
	if (!ret)
		c->moved++;
	else if (ret == -EBUSY || ret == -EAGAIN || ret == -ENOSPC)
		som_collapse_want(owner, c->idx);
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
		som_zap(c->owner, som_index_pgoff(c->idx), SOM_UNIT_PAGES);
		table = som_ptes_retract(vma->vm_mm, pmd, addr);
	}
	if (table) {
		som_owner_set_level(c->owner, c->idx, SOM_LEVEL_NONE);
		c->tables[c->nr++] = table;
		c->pgoff = som_index_pgoff(c->idx);
	}
	mutex_unlock(lock);
	mutex_unlock(&c->owner->lock);
}

/* The units of one VMA, as far as tables and moves go; false: they are used up. */
static bool collapse_vma(struct collapser *c, struct som_mapping *mapping)
{
	struct vm_area_struct *vma = mapping->vma;
	unsigned long last = min(c->last, som_pgoff_index(mapping->it.last));
	bool maps_2m = som_owner_maps_2m(vma);

	c->idx = max(c->idx, som_pgoff_index(mapping->it.start));
	for (; c->idx <= last; c->idx++) {
		unsigned long start, end;
		bool covered;

		if (c->nr == SOM_COLLAPSE_TABLES ||
		    c->moved == SOM_COLLAPSE_MOVES)
			return false;
		som_index_clip(vma->vm_start, vma->vm_end, vma->vm_pgoff, c->idx,
			       &start, &end);
		covered = maps_2m && end - start == SOM_UNIT_SIZE &&
			  !(start & (SOM_UNIT_SIZE - 1));
		convert_unit(c, mapping, covered);
		if (covered)
			collapse_unit(c, vma, start);
	}
	return true;
}

/*
 * As much of a table as may be done with mmap_lock held, under which no mapping comes or goes.
 * False if it was not to be had.
 */
static bool collapse_some(struct collapser *c)
{
	struct som_owner *owner = c->owner;
	struct interval_tree_node *it;
	unsigned int i;

	if (!som_work_lock(owner))
		return false;
	c->nr = 0;
	c->moved = 0;
	inc_tlb_flush_pending(owner->mm);
	while (c->idx <= c->last) {
		struct som_mapping *mapping;

		it = interval_tree_iter_first(&owner->mappings,
					      som_index_pgoff(c->idx),
					      som_index_pgoff(c->last + 1) - 1);
		if (!it) {
			c->idx = c->last + 1;
			break;
		}
		mapping = container_of(it, struct som_mapping, it);
		if (som_owner_maps_2m(mapping->vma) || mapping->auto_convert) {
			if (!collapse_vma(c, mapping))
				break;
		} else {
			c->idx = som_pgoff_index(it->last);
		}
		/* A unit at the seam of two mappings is covered by neither. */
		if (c->idx <= som_pgoff_index(it->last))
			c->idx = som_pgoff_index(it->last) + 1;
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
	return true;
}

/* All leaves that are marked. */
static void collapse_tables(struct collapser *c)
{
	struct som_owner *owner = c->owner;
	unsigned long first = 0;

	for (; som_tables_take_hint(&owner->tables, &first, SOM_HINT_COLLAPSE);
	     first += SOM_TABLE_UNITS) {
		c->idx = first;
		c->last = first + SOM_TABLE_UNITS - 1;
		do {
			if (!collapse_some(c)) {
				som_collapse_want(owner, first);
				return;
			}
			cond_resched();
		} while (c->idx <= c->last);
	}
}

static void som_collapse_work(struct work_struct *work)
{
	struct som_owner *owner = container_of(to_delayed_work(work),
					       struct som_owner, collapse_work);
	struct collapser *c = kmalloc(sizeof(*c), GFP_KERNEL);
	bool begun = som_work_begin(owner);

	if (c && begun) {
		c->owner = owner;
		collapse_tables(c);
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
	INIT_DELAYED_WORK(&owner->collapse_work, som_collapse_work);
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
