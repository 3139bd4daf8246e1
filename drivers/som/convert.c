// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_IOC_PAGE_BACKED and SOM_IOC_POOL_BACKED: move units to memory that every kind of pin
 * works on, and back.
 *
 * Units are moved one at a time, to memory that is allocated before mmap_lock is taken:
 * other threads wait for the copying of one unit at most.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/topology.h>
#include <linux/uaccess.h>
#include <linux/som.h>
#include "convert.h"
#include "dirty_log.h"
#include "entry.h"
#include "inode.h"
#include "mapping.h"
#include "migrate.h"
#include "page_backed.h"
#include "pool.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "unit.h"
#include "vma_kind.h"

/* Allocate memory for a unit. Return: entry with its kind, or ERR_PTR(-errno). */
static void *alloc_memory(struct som_owner *owner, bool page_backed)
{
	som_unit_t unit = page_backed ? som_page_backed_alloc(owner->account, false) :
			       som_pool_alloc_unzeroed(owner->account->pool,
						       numa_mem_id());

	if (som_unit_failed(unit))
		return ERR_PTR(som_unit_errno(unit));
	return som_entry(unit, page_backed ? SOM_ENTRY_PAGE_BACKED : 0);
}

/*
 * Return 1 if a unit must be moved, 0 if not, or -errno. To become page-backed, a missing
 * unit is allocated. The result is valid while owner->lock is held: units are removed and
 * moved only under it.
 */
static int convert_find_unit(struct som_mapping *mapping, unsigned long idx, bool page_backed)
{
	enum som_level level = SOM_LEVEL_NONE;
	struct mutex *lock;
	som_unit_t unit;
	bool is;

	lockdep_assert_held(&mapping->owner->lock);

	lock = som_owner_lock_unit(mapping->owner, idx);
	unit = page_backed ? som_owner_unit(mapping, idx, &level) :
			  som_owner_lookup(mapping->owner, idx);
	is = som_owner_page_backed(mapping->owner, idx);
	/* An explicit request overrides the policy: no automatic move back. */
	if (is && page_backed && som_owner_auto_converted(mapping->owner, idx)) {
		som_entry_change(mapping->owner, idx, SOM_ENTRY_BY_POLICY, 0);
		som_dirty_log_pinned(&mapping->owner->dirty_log, idx);
	}
	mutex_unlock(lock);
	if (unit == som_unit_error(-ENOENT) || is == page_backed)
		return 0;
	return som_unit_failed(unit) ? som_unit_errno(unit) : 1;
}

/*
 * Convert the unit at *addr, or at the next som mapping, and advance *addr past it.
 * *memory: memory to move to, or NULL; on return, memory to free. -EXFULL: memory is
 * needed.
 */
static int convert_one(struct som_owner *owner, unsigned long *addr,
		       unsigned long end, bool page_backed, void **memory)
{
	struct vm_area_struct *vma = find_vma(owner->mm, *addr);
	unsigned long idx, last, start, stop;
	struct som_mapping *mapping;
	int ret;

	if (!vma || vma->vm_start >= end) {
		*addr = end;
		return 0;
	}
	mapping = som_vma_mapping(vma);
	if (!mapping) {
		*addr = min(end, vma->vm_end);
		return 0;
	}
	*addr = max(*addr, vma->vm_start);
	idx = som_pgoff_index(linear_page_index(vma, *addr));
	last = som_pgoff_index(linear_page_index(vma, min(end, vma->vm_end) - 1));
	/* Skip the rest of a VMA at once if it has no memory. */
	if (!page_backed && !som_tables_find(&owner->tables, &idx, last)) {
		*addr = min(end, vma->vm_end);
		return 0;
	}
	som_index_clip(vma->vm_start, vma->vm_end, vma->vm_pgoff, idx, &start,
		       &stop);

	mutex_lock(&owner->lock);
	ret = convert_find_unit(mapping, idx, page_backed);
	if (ret > 0)
		ret = *memory ? som_migrate_unit(owner, idx, memory) : -EXFULL;
	mutex_unlock(&owner->lock);
	if (!ret && page_backed && !mapping->page_backed)
		som_vma_page_backed(vma);
	if (!ret)
		*addr = min(end, stop);
	return ret;
}

static int convert_walk(struct som_owner *owner, unsigned long *addr,
			unsigned long end, bool page_backed)
{
	void *memory = NULL;
	int ret = 0;

	while (*addr < end && !ret) {
		ret = mmap_write_lock_killable(owner->mm);
		if (ret)
			break;
		ret = convert_one(owner, addr, end, page_backed, &memory);
		mmap_write_unlock(owner->mm);
		som_migrate_free(memory);
		memory = NULL;
		switch (ret) {
		case -EXFULL:
			memory = alloc_memory(owner, page_backed);
			ret = PTR_ERR_OR_ZERO(memory);
			if (ret)
				memory = NULL;
			/* Reserved, so a unit is on its way back to the pool. */
			if (ret != -ENOSPC)
				break;
			fallthrough;
		case -EAGAIN:
			schedule_timeout_killable(1);
			ret = 0;
			break;
		}
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	som_migrate_free(memory);
	return ret;
}

/**
 * som_convert_to_pool - Move all units of a range to the pool
 * @owner: owner of the calling process
 * @start: first address
 * @end: end address
 *
 * Cheap if the owner has no page-backed units.
 * Context: Process context; takes mmap_lock for write.
 * Return: 0; -EBUSY if a page is pinned; or another error of SOM_IOC_POOL_BACKED. Units
 * before the failing one may have been moved.
 */
int som_convert_to_pool(struct som_owner *owner, unsigned long start, unsigned long end)
{
	if (!atomic_long_read(&owner->nr_page_backed))
		return 0;
	return convert_walk(owner, &start, end, false);
}

/**
 * som_convert - Handle SOM_IOC_PAGE_BACKED and SOM_IOC_POOL_BACKED
 * @args: arguments and results
 * @page_backed: true for the former
 * Context: Process context; acts on the calling process.
 * Return: 0, or -errno documented in include/uapi/linux/som.h.
 */
int som_convert(struct som_range *args, bool page_backed)
{
	struct som_owner *owner;
	unsigned long addr;
	int ret = 0;

	if (args->flags || !PAGE_ALIGNED(args->start) || args->end < args->start)
		return -EINVAL;
	if (!access_ok((void __user *)args->start, args->end - args->start))
		return -EFAULT;
	args->end = PAGE_ALIGN(args->end);
	addr = args->start;
	owner = som_inode_find_owner(current->mm);
	if (owner) {
		ret = convert_walk(owner, &addr, args->end, page_backed);
		som_inode_put_owner(owner);
	} else {
		addr = args->end;
	}
	args->walk_end = addr;
	return ret;
}
