// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_IOC_PINNABLE and SOM_IOC_UNPINNABLE: moving units to memory that every kind
 * of pin works on, and back.
 *
 * One unit at a time, each with memory that was allocated before mmap_lock is
 * taken: other threads wait for the copying of one unit at most.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/som.h>
#include <linux/topology.h>
#include "inode.h"
#include "migrate.h"
#include "owner.h"
#include "pin.h"
#include "pinnable.h"
#include "pool.h"
#include "vma.h"

/* No memory yet. */
#define NO_UNIT		ULONG_MAX

static int alloc_memory(bool pinnable, unsigned long *unit)
{
	long ret = pinnable ? som_pinnable_alloc() : som_pool_alloc_unzeroed(numa_mem_id());

	if (ret < 0)
		return ret;
	*unit = ret;
	return 0;
}

static void free_memory(bool pinnable, unsigned long unit)
{
	if (unit == NO_UNIT)
		return;
	if (pinnable)
		som_pinnable_free(unit);
	else
		som_pool_free(unit);
}

/* Is there a unit that is to be moved? To become pinnable, it is made. */
static int find_unit(struct som_span *span, unsigned long idx, bool pinnable)
{
	struct mutex *lock = som_owner_lock_unit(span->owner, idx);
	enum som_level level = SOM_LEVEL_NONE;
	long unit = pinnable ? som_owner_unit(span, idx, &level) :
			       som_owner_peek(span->owner, idx);
	bool is = som_owner_pinnable(span->owner, idx);

	mutex_unlock(lock);
	if (unit == -ENOENT || is == pinnable)
		return 0;
	return unit < 0 ? unit : 1;
}

/*
 * The unit at *addr, or at the next som mapping. On success *addr is behind it.
 * @unit: memory to move to; what is left over afterwards. -EXFULL: there is none,
 * and some is needed.
 */
static int pin_unit(struct som_owner *owner, unsigned long *addr,
		    unsigned long end, bool pinnable, unsigned long *unit,
		    bool *left_pinnable)
{
	struct vm_area_struct *vma = find_vma(owner->mm, *addr);
	unsigned long idx, start, stop;
	struct som_span *span;
	int ret;

	if (!vma || vma->vm_start >= end) {
		*addr = end;
		return 0;
	}
	span = som_vma_span(vma);
	if (!span) {
		*addr = min(end, vma->vm_end);
		return 0;
	}
	*addr = max(*addr, vma->vm_start);
	idx = som_pgoff_unit(linear_page_index(vma, *addr));
	som_unit_clip(vma->vm_start, vma->vm_end, vma->vm_pgoff, idx, &start,
		      &stop);

	ret = find_unit(span, idx, pinnable);
	if (ret > 0 && *unit == NO_UNIT)
		return -EXFULL;
	if (ret > 0) {
		mutex_lock(&owner->lock);
		ret = som_migrate_unit(owner, idx, unit, pinnable);
		mutex_unlock(&owner->lock);
		/* What is left over is the old memory, of the other kind. */
		*left_pinnable = ret ? pinnable : !pinnable;
	}
	if (!ret && pinnable && !span->pinnable)
		som_vma_pinnable(vma);
	if (!ret)
		*addr = min(end, stop);
	return ret;
}

static int pin_walk(struct som_owner *owner, unsigned long *addr,
		    unsigned long end, bool pinnable)
{
	unsigned long unit = NO_UNIT;
	bool left = pinnable;
	int ret = 0;

	while (*addr < end && !ret) {
		ret = mmap_write_lock_killable(owner->mm);
		if (ret)
			break;
		ret = pin_unit(owner, addr, end, pinnable, &unit, &left);
		mmap_write_unlock(owner->mm);
		free_memory(left, unit);
		unit = NO_UNIT;
		left = pinnable;
		switch (ret) {
		case -EXFULL:
			ret = alloc_memory(pinnable, &unit);
			/* Promised: it is on its way back from somebody. */
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
	free_memory(left, unit);
	return ret;
}

/**
 * som_pin - the pinnable and unpinnable calls
 * @args: their argument, in and out
 * @pinnable: which of the two
 *
 * Context: Process context; means the calling process.
 * Return: 0 or -errno, as include/uapi/linux/som.h says.
 */
int som_pin(struct som_range *args, bool pinnable)
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
		ret = pin_walk(owner, &addr, args->end, pinnable);
		som_inode_put_owner(owner);
	} else {
		addr = args->end;
	}
	args->walk_end = addr;
	return ret;
}
