// SPDX-License-Identifier: GPL-2.0
/*
 * Work that is done for an owner some time later, by the kernel's workers.
 *
 * Queued work has no reference to its owner, whose end cancels it and waits for
 * what runs (som_work_cancel()); so nothing keeps the module from being unloaded.
 * While it runs it has a reference to the address space, if that is still in use.
 */
#include <linux/delay.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>
#include "compat.h"
#include "owner.h"
#include "work.h"

/* How often mmap_lock is tried, a millisecond apart. */
#define SOM_LOCK_TRIES	50

static struct workqueue_struct *som_wq;

/**
 * som_work_queue - have work done, unless it is queued already
 * @work: what; it calls som_work_begin() and som_work_end()
 * @msecs: when, from now
 *
 * Context: Any; the caller has a reference to the owner.
 */
void som_work_queue(struct delayed_work *work, unsigned int msecs)
{
	queue_delayed_work(som_wq, work, msecs_to_jiffies(msecs));
}

/**
 * som_work_cancel - wait until work neither is queued nor runs
 * @work: what; nobody queues it any more
 *
 * Context: Process context.
 */
void som_work_cancel(struct delayed_work *work)
{
	cancel_delayed_work_sync(work);
}

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

/**
 * som_work_init - make the workqueue
 *
 * Context: Module load.
 * Return: 0 or -ENOMEM.
 */
int som_work_init(void)
{
	som_wq = alloc_workqueue("som", WQ_UNBOUND, 0);
	return som_wq ? 0 : -ENOMEM;
}

/**
 * som_work_exit - the opposite of som_work_init()
 *
 * Context: Module unload; no owner is left.
 */
void som_work_exit(void)
{
	destroy_workqueue(som_wq);
}
