// SPDX-License-Identifier: GPL-2.0
/*
 * Restore 2 MiB entries.
 *
 * A fault makes a 2 MiB entry only where there is no page table, and the kernel frees a
 * page table only when it unmaps the addresses. So a page table has to be removed when the
 * reason for a unit's 4 KiB entries is gone: tracking sees no more writes, the unit was
 * freed, or it was page-backed and moved back. som_collapse_want() then marks the table of
 * the unit's index, and a worker examines marked tables later.
 *
 * The work runs on a system workqueue and must not block on an owner: it tries mmap_lock,
 * and is queued again if that fails. It holds mmap_lock for one table at a time, and stops
 * when the address space has no other user.
 *
 * To remove a page table:
 *
 *  - Hold mmap_lock and the VMA lock for write, so that only zaps access it, and
 *    owner->lock and the unit's fault_lock, which exclude som's zaps.
 *  - Zap its entries; the next access maps the unit again.
 *  - Clear the entry above it under both page table locks.
 *  - Flush the TLB including cached page table entries, as in track.c: announce a flush,
 *    and let a zap do it.
 *  - Wait for an RCU grace period: get_user_pages_fast() walks page tables with interrupts
 *    disabled and no lock.
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

/* Page tables to remove per hold of mmap_lock. */
#define SOM_COLLAPSE_TABLES	64
/* Units to move per hold of mmap_lock. */
#define SOM_COLLAPSE_MOVES	8

struct collapser {
	struct som_owner *owner;
	unsigned long idx;	/* next to examine */
	unsigned long last;	/* of the table */
	unsigned int nr;
	unsigned int moved;	/* to ordinary pages, or back */
	pgoff_t pgoff;		/* of a collapsed unit */
	struct page *tables[SOM_COLLAPSE_TABLES];
};

/* Test whether nothing needs 4 KiB entries. The unit index is locked. */
static bool may_collapse(struct som_owner *owner, unsigned long idx)
{
	struct som_region *region = som_dirty_log_find(&owner->dirty_log, idx);

	if (som_owner_page_backed(owner, idx))
		return false;
	return !region || region->mode == SOM_MODE_OPEN || region->mode == SOM_MODE_CLEAN;
}

/* Test whether a tracked unit has 4 KiB entries because it is being written. */
static bool written_lately(struct som_owner *owner, unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(owner, idx);
	struct som_region *region = som_dirty_log_find(&owner->dirty_log, idx);
	bool ret = region && region->mode == SOM_MODE_DIRTY;

	mutex_unlock(lock);
	return ret;
}

/*
 * Convert a unit as the policy requires (migrate.c): a page-backed one returns to the pool
 * if one VMA covers it and it is not tracked; one mapped by special 4 KiB entries becomes
 * page-backed. Mark the table again if that fails for now.
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
	/* Its 4 KiB entries are about to be collapsed. */
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
	/* Take this first: faults take owner->lock with the VMA locked. */
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

/* Process the units of one VMA. Return: false if a limit is reached. */
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
 * Process as much of a table as one hold of mmap_lock allows. Return: false if there is
 * contention for mmap_lock.
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
		/* A unit that two mappings share is covered by neither. */
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

/* Process all marked tables. */
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
 * som_collapse_init - Initialise the collapse work of an owner
 * @owner: new owner
 */
void som_collapse_init(struct som_owner *owner)
{
	INIT_DELAYED_WORK(&owner->collapse_work, som_collapse_work);
}

/**
 * som_collapse_exit - Wait until removed page tables are freed
 * Context: Module unload; no owner is left.
 */
void som_collapse_exit(void)
{
	rcu_barrier();
}
