// SPDX-License-Identifier: GPL-2.0
/*
 * Work that is done for an owner some time later, by the kernel's workers.
 *
 * Queued work has no reference to its owner, whose end cancels it and waits for
 * what runs; so nothing keeps the module from being unloaded.
 * While it runs it has a reference to the address space, if that is still in use.
 */
#include <linux/delay.h>
#include <linux/sched/mm.h>
#include "compat.h"
#include "owner.h"
#include "work.h"

/* How often mmap_lock is tried, a millisecond apart. */
#define SOM_LOCK_TRIES	50

/**
 * som_work_begin - work begins
 * @owner: whose
 *
 * Context: Process context.
 * Return: true if the address space is in use, and stays so until
 * som_work_end().
 */
bool som_work_begin(struct som_owner *owner)
{
	return mmget_not_zero(owner->mm);
}

/**
 * som_work_end - work is done
 * @owner: whose
 *
 * Context: Process context.
 */
void som_work_end(struct som_owner *owner)
{
	mmput(owner->mm);
}

/**
 * som_work_lock - take mmap_lock for write, if it is to be had soon
 * @owner: whose
 *
 * A worker is the system's, and who has mmap_lock may keep it as long as he likes.
 *
 * Context: Process context, between som_work_begin() and som_work_end().
 * Return: true, for mmap_write_unlock(); false if the work has to come again, or nobody
 * but the worker has the address space any more, whose end gives everything back.
 */
bool som_work_lock(struct som_owner *owner)
{
	struct mm_struct *mm = owner->mm;
	unsigned int i;

	for (i = 0; i < SOM_LOCK_TRIES && atomic_read(&mm->mm_users) > 1; i++) {
		if (som_mm_write_trylock(mm))
			return true;
		usleep_range(500, 1000);
	}
	return false;
}
