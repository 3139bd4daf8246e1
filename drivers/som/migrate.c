// SPDX-License-Identifier: GPL-2.0
/*
 * Moving units: the same bytes in other memory, below running readers and writers.
 *
 * som_migrate_unit() is the one way to do it:
 *
 *  1. stop access: with mmap_lock held for write nobody has cleared an entry
 *     without having flushed, and no system call is at the memory; with the unit's
 *     fault_lock held no fault gives it an entry; som_zap() takes the entries away.
 *     Threads that touch the unit wait in their fault;
 *  2. who has a pin by then has a reference, and no new one can come: if there is
 *     any, the unit stays;
 *  3. copy, and switch owner->tables to the copy;
 *  4. release: the old memory is in no page table and no TLB.
 *
 * Dirty bits that go with the entries are not lost: tracking counts an entry that
 * was filled and is missing as written.
 *
 * som_compact() empties chunks so that they can be given back. Nobody knows which
 * owner has a unit but the owner, so each owner's units are looked through once
 * for each chunk: 512 entries for each GiB that it has. It waits for owners, within limits,
 * and keeps nothing from anybody meanwhile: units of chunks that it wants empty are taken
 * last, not quarantined.
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
 * som_migrate_free - free memory that no index has
 * @memory: from som_migrate_unit(), or allocated for it; or NULL
 *
 * Its own bits say what kind of memory it is.
 *
 * Context: Process context; no page table and no TLB has a translation of it.
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
 * som_migrate_unit - move a unit to other memory
 * @owner: whose
 * @idx: index of a unit that is there
 * @memory: in: an entry with the number and the kind (SOM_ENTRY_KIND) of memory
 *	that the caller has; out, if the unit was moved: the same of its old
 *	memory, as its entry had them, for som_migrate_free()
 *
 * Context: Process context; mmap_lock is held for write, and owner->lock.
 * Return: 0; -ENOENT if there is no unit; -EBUSY if somebody has a pin on it; -EAGAIN if
 * children need copies first and the pool has nothing right now; -EHWPOISON if its memory
 * cannot be read, and it stays where it is.
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
	/* From page-backed memory a child can only have a copy. */
	ret = to_page_backed ? som_cow_break(owner, idx) : 0;
	if (ret)
		goto out;
	/* Nor does a child copy from the old memory while it goes. */
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
	/* By policy, it is tracked page by page. */
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
 * get_user_pages() finds no page behind a special 4 KiB entry. So a unit that needs such
 * entries becomes page-backed, as SOM_IOC_PAGE_BACKED makes it, and goes back to the pool
 * when nothing needs them any more:
 *
 *  1. It has no memory yet: owner_populate_unit() in unit.c takes pages in place of a unit.
 *  2. It has: its data can only be moved with mmap_lock held for write. The fault lets
 *     go of its lock, takes that, moves the unit and has the kernel begin again
 *     (VM_FAULT_RETRY). So it holds nothing that it may not sleep under.
 *  3. It cannot be moved (somebody has a pin on its chunk, a limit, no memory), or the
 *     fault may not be begun again: it is mapped by special entries, and the worker of
 *     collapse.c tries once more, a while later.
 *  4. The same worker moves it back where one VMA covers all of it again and it is not
 *     tracked. What is tracked needs 4 KiB entries as soon as it is written, and stays
 *     as it is.
 *
 * SOM_ENTRY_BY_POLICY tells such a unit from one that somebody has asked for.
 */

/* How often a fault tries to move a unit that somebody has a pin on, a tick apart. */
#define SOM_CONVERT_TRIES	5

/* Is a unit still one that is to be moved that way? owner->lock is held. */
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

/* Pages, charged to the cgroup of the address space, in the worker, too. */
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
 * som_convert_alloc - allocate memory to move a unit to
 * @owner: whose
 * @to_pages: ordinary pages, or a unit of the pool
 *
 * Context: Process context; owner->lock is not held, as the kernel may have to reclaim
 * memory first.
 * Return: an entry that says its kind, for som_convert_unit() and som_migrate_free(); or
 * ERR_PTR(): -ENOMEM; -ENOSPC if the pool has no unit right now.
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
 * som_convert_unit - move a unit to ordinary pages, or back to the pool
 * @owner: whose
 * @idx: unit index
 * @to_pages: which of the two
 * @memory: from som_convert_alloc(); and where it goes what is left: it, or, if the
 *	unit was moved, its old memory
 *
 * Context: Process context; mmap_lock is held for write. Takes owner->lock.
 * Return: 0; -ENOENT if there is nothing to do; the errors of som_migrate_unit().
 */
int som_convert_unit(struct som_owner *owner, unsigned long idx, bool to_pages,
		     void **memory)
{
	int ret = -ENOENT;

	mutex_lock(&owner->lock);
	/* As long as owner->lock is held, it stays so. */
	if (convert_wanted(owner, idx, to_pages))
		ret = som_migrate_unit(owner, idx, memory);
	mutex_unlock(&owner->lock);
	return ret;
}

/**
 * som_convert_fault - have a fault find ordinary pages when it comes again
 * @vmf: the fault, which may be begun again (FAULT_FLAG_ALLOW_RETRY, and not
 *	FAULT_FLAG_RETRY_NOWAIT)
 * @owner: whose
 * @idx: unit index
 *
 * Whether that was possible does not matter: who comes again maps what is there.
 *
 * Context: Process context; the fault's lock is released, the VMA may be gone.
 * Return: what the fault handler is to return.
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
		/* A pin is most often gone soon, and so is a copy that waits. */
		if (ret == -EBUSY || ret == -EAGAIN)
			schedule_timeout_killable(1);
	} while ((ret == -EBUSY || ret == -EAGAIN) && --tries &&
		 !fatal_signal_pending(current));
	som_migrate_free(memory);
out:
	fput(file);
	/* With ->pfn_mkwrite the kernel asks for NOPAGE, too. */
	return VM_FAULT_RETRY | VM_FAULT_NOPAGE;
}
