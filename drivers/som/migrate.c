// SPDX-License-Identifier: GPL-2.0
/*
 * Move units to other memory while readers and writers run.
 *
 * som_migrate_unit() performs every move:
 *
 *  1. Stop access. With mmap_lock held for write, no cleared entry is left unflushed, and
 *     no system call uses the memory. With the unit's fault_lock held, no fault maps it.
 *     som_zap() clears its entries. Threads that touch the unit wait in their fault.
 *  2. Check for pins: a pin holds a reference, and no new one can appear. A pinned unit
 *     stays.
 *  3. Copy, and switch owner->tables to the copy.
 *  4. Free the old memory: it is in no page table and no TLB.
 *
 * The cleared entries' dirty bits are not lost: tracking counts an entry that was present
 * and is missing as written.
 */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/topology.h>
#include "cow.h"
#include "dirty_log.h"
#include "entry.h"
#include "migrate.h"
#include "page_backed.h"
#include "pool.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "trace.h"
#include "unit.h"
#include "zap.h"

/**
 * som_migrate_free - Free memory that no index refers to
 * @memory: from som_migrate_unit(), or allocated for it; or NULL
 * Context: Process context; no page table and no TLB maps the memory.
 */
void som_migrate_free(void *memory)
{
	if (!memory)
		return;
	if (som_entry_test(memory, SOM_ENTRY_PAGE_BACKED))
		som_page_backed_free(som_entry_unit(memory));
	else
		som_pool_free(som_entry_unit(memory));
}

/**
 * som_migrate_unit - Move a unit to other memory
 * @owner: owner
 * @idx: index of an existing unit
 * @memory: in: entry with number and kind (SOM_ENTRY_KIND) of the caller's memory; out, if
 *	the unit was moved: the same of its old memory, for som_migrate_free()
 * Context: Process context; mmap_lock is held for write, and owner->lock.
 * Return: 0; -ENOENT if there is no unit; -EBUSY if it is pinned; -EAGAIN if children need
 * copies first and the pool is empty; -EHWPOISON if its memory cannot be read: it stays.
 */
int som_migrate_unit(struct som_owner *owner, unsigned long idx, void **memory)
{
	unsigned long kind = som_entry_bits(*memory) & SOM_ENTRY_KIND;
	bool to_page_backed = kind & SOM_ENTRY_PAGE_BACKED;
	som_unit_t unit = som_entry_unit(*memory);
	struct mutex *lock = som_owner_lock_unit(owner, idx);
	void *entry = som_tables_load(&owner->tables, idx);
	int ret = -ENOENT;

	lockdep_assert_held(&owner->lock);

	if (!entry)
		goto out;
	som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
	ret = -EBUSY;
	if (som_entry_pinned(entry))
		goto out;
	ret = -EHWPOISON;
	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) &&
	    som_page_backed_poisoned(som_entry_unit(entry)))
		goto out;
	/* Children cannot share page-backed memory: make their copies. */
	ret = to_page_backed ? som_cow_break(owner, idx) : 0;
	if (ret)
		goto out;
	/* No child may copy from the old memory during the switch. */
	mutex_lock(&owner->cow.lock);
	ret = som_unit_copy(unit, som_entry_unit(entry));
	if (!ret)
		entry = som_entry_replace(owner, idx, unit,
					  SOM_ENTRY_LEVEL | SOM_ENTRY_KIND,
					  SOM_LEVEL_NONE | kind);
	mutex_unlock(&owner->cow.lock);
	if (ret)
		goto out;
	if (som_entry_level(entry) == SOM_LEVEL_4K)
		som_collapse_want(owner, idx);
	/* By policy, the unit is tracked page by page. */
	if (to_page_backed && !(kind & SOM_ENTRY_BY_POLICY))
		som_dirty_log_pinned(&owner->dirty_log, idx);
	trace_som_unit_move(som_entry_unit(entry), unit);
	*memory = som_entry(som_entry_unit(entry),
			    som_entry_bits(entry) & SOM_ENTRY_KIND);
	ret = 0;
out:
	mutex_unlock(lock);
	return ret;
}

/*
 * Units that are ordinary pages by policy (SOM_POLICY_PAGE_BACKED).
 *
 * get_user_pages() finds no page for a special 4 KiB entry. So a unit that needs 4 KiB
 * entries becomes page-backed, as with SOM_IOC_PAGE_BACKED, and returns to the pool when
 * nothing needs them any more:
 *
 *  1. If it has no memory yet, owner_populate_unit() allocates pages instead of a unit.
 *  2. If it has, its data can only be moved with mmap_lock held for write. The fault
 *     releases its lock, takes mmap_lock, moves the unit and has the kernel retry
 *     (VM_FAULT_RETRY). It holds no other lock, so it may sleep.
 *  3. If the unit cannot be moved (its chunk is pinned, a limit, no memory), or the fault
 *     may not be retried, special entries map it. The worker of collapse.c tries again
 *     later.
 *  4. The worker moves it back when one VMA covers all of it again and it is not tracked. A
 *     tracked unit would need 4 KiB entries again at the next write, so it stays.
 *
 * SOM_ENTRY_BY_POLICY distinguishes these units from those of SOM_IOC_PAGE_BACKED.
 */

/* Attempts of a fault, a tick apart, to move a unit that is pinned. */
#define SOM_CONVERT_TRIES	5

/* Test whether a unit still has to be moved that way. owner->lock is held. */
static bool convert_wanted(struct som_owner *owner, unsigned long idx,
			   bool to_pages)
{
	void *entry = som_tables_load(&owner->tables, idx);

	if (!entry)
		return false;
	if (to_pages)
		return !som_entry_test(entry, SOM_ENTRY_PAGE_BACKED);
	return som_entry_test(entry, SOM_ENTRY_BY_POLICY) &&
	       !som_dirty_log_tracks(&owner->dirty_log, idx);
}

/* Allocate pages; charge the cgroup of the address space, also in the worker. */
static som_unit_t alloc_pages_for(struct som_owner *owner)
{
	struct mem_cgroup *memcg = get_mem_cgroup_from_mm(owner->mm);
	struct mem_cgroup *old = set_active_memcg(memcg);
	som_unit_t unit = som_page_backed_alloc(owner->account, false);

	set_active_memcg(old);
	mem_cgroup_put(memcg);
	return unit;
}

/**
 * som_convert_alloc - Allocate memory to move a unit to
 * @owner: owner
 * @to_pages: true for ordinary pages, false for a unit of the pool
 * Context: Process context; owner->lock is not held, as the kernel may have to reclaim
 * memory.
 * Return: entry with its kind, for som_convert_unit() and som_migrate_free();
 * ERR_PTR(-ENOMEM); ERR_PTR(-ENOSPC) if the pool is empty.
 */
void *som_convert_alloc(struct som_owner *owner, bool to_pages)
{
	som_unit_t unit = to_pages ? alloc_pages_for(owner) :
				     som_pool_alloc_unzeroed(owner->account->pool,
							     numa_mem_id());

	if (som_unit_failed(unit))
		return ERR_PTR(som_unit_errno(unit));
	return som_entry(unit, to_pages ? SOM_ENTRY_KIND : 0);
}

/**
 * som_convert_unit - Move a unit to ordinary pages, or back to the pool
 * @owner: owner
 * @idx: unit index
 * @to_pages: true to move to pages
 * @memory: in: from som_convert_alloc(); out: memory to free: the same, or the unit's old
 *	memory
 * Context: Process context; mmap_lock is held for write. Takes owner->lock.
 * Return: 0; -ENOENT if there is nothing to do; or an error of som_migrate_unit().
 */
int som_convert_unit(struct som_owner *owner, unsigned long idx, bool to_pages,
		     void **memory)
{
	int ret = -ENOENT;

	mutex_lock(&owner->lock);
	/* The result holds while owner->lock is held. */
	if (convert_wanted(owner, idx, to_pages))
		ret = som_migrate_unit(owner, idx, memory);
	mutex_unlock(&owner->lock);
	return ret;
}

/**
 * som_convert_fault - Move a unit to ordinary pages for a fault, and retry the fault
 * @vmf: fault that may be retried (FAULT_FLAG_ALLOW_RETRY without FAULT_FLAG_RETRY_NOWAIT)
 * @owner: owner
 * @idx: unit index
 *
 * A failure is ignored: the retried fault maps the unit as it is.
 * Context: Process context; releases the fault's lock, so the VMA may disappear.
 * Return: result for the fault handler.
 */
vm_fault_t som_convert_fault(struct vm_fault *vmf, struct som_owner *owner,
			     unsigned long idx)
{
	struct mm_struct *mm = vmf->vma->vm_mm;
	struct file *file = get_file(owner->file);
	unsigned int tries = SOM_CONVERT_TRIES;
	void *memory;
	int ret;

	release_fault_lock(vmf);
	memory = som_convert_alloc(owner, true);
	if (IS_ERR(memory))
		goto out;
	do {
		ret = mmap_write_lock_killable(mm);
		if (ret)
			break;
		ret = som_convert_unit(owner, idx, true, &memory);
		mmap_write_unlock(mm);
		/* Most pins, and copies for children, are short. */
		if (ret == -EBUSY || ret == -EAGAIN)
			schedule_timeout_killable(1);
	} while ((ret == -EBUSY || ret == -EAGAIN) && --tries &&
		 !fatal_signal_pending(current));
	som_migrate_free(memory);
out:
	fput(file);
	/* For ->pfn_mkwrite the kernel requires NOPAGE, too. */
	return VM_FAULT_RETRY | VM_FAULT_NOPAGE;
}
