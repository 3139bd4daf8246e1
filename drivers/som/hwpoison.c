// SPDX-License-Identifier: GPL-2.0
/*
 * Memory failure.
 *
 * memory_failure() handles every uncorrected error that a machine check, firmware,
 * madvise(MADV_HWPOISON) or debugfs (hwpoison/corrupt-pfn) reports. For a page of a chunk
 * it marks the folio and records the page. It cannot unmap the page, as som's entries are
 * not in rmap, so it fails with EBUSY and keeps a reference to the folio, once per folio.
 * som receives the page from its tracepoint, memory_failure_event. som also registers for
 * machine checks, as some of them never reach memory_failure().
 *
 * 1. som_pool_poison() marks the unit in its chunk at once. From then on it is not zeroed,
 *    copied, allocated or mapped.
 * 2. If the unit is in use, its entries are zapped. That takes locks that a tracepoint
 *    cannot take. A worker does it, and also task work, before the reporting task returns
 *    to user space.
 * 3. The next touch raises SIGBUS with BUS_MCEERR_AR (fault.c). Processes with
 *    PR_MCE_KILL_EARLY get BUS_MCEERR_AO at once.
 * 4. When its owner releases the unit, it is retired and never allocated again. The rest of
 *    the chunk stays in use.
 *
 * The owner loses the whole unit: to keep the other 511 pages, each would need an entry of
 * its own, but a unit has one owner and one state.
 *
 * Page-backed memory consists of ordinary pages, each with its own mark, PG_hwpoison.
 */
#include <linux/gfp.h>
#include <linux/interval_tree.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/page-flags.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>
#include "compat.h"
#include "entry.h"
#include "hwpoison.h"
#include "inode.h"
#include "page_backed.h"
#include "pool.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "zap.h"

/* Pending failures with an early signal; further ones are signalled on touch. */
#define SOM_FAILURES	16

static unsigned long failures[SOM_FAILURES];
static unsigned int nr_failures;
static DEFINE_SPINLOCK(failures_lock);

static void som_hwpoison_work(struct work_struct *work);
static DECLARE_WORK(hwpoison_work, som_hwpoison_work);

/*
 * Tasks with a pending som_hwpoison_task_work(). som_hwpoison_exit() waits for them. Module
 * references cannot do that: the module's own code would drop the last one, and could be
 * freed before it returns.
 */
static atomic_t nr_callbacks;
static bool callbacks_used;

static struct tracepoint *failure_tracepoint;

/* Return the page of a unit that is among new failures, or -1. */
static long failed_page(const unsigned long *pfns, unsigned int nr,
			som_unit_t unit)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (som_pfn_unit(pfns[i]) == unit)
			return pfns[i] % SOM_UNIT_PAGES;
	}
	return -1;
}

/* Test whether any memory of an entry has failed. */
static bool entry_poisoned(const void *entry)
{
	som_unit_t unit = som_entry_unit(entry);

	return som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ?
		som_page_backed_poisoned(unit) : som_pool_poisoned(unit);
}

/* Find an address at which a page offset is mapped. mmap_lock is held. */
static bool hwpoison_find_address(struct som_owner *owner, unsigned long pgoff,
				  unsigned long *addr)
{
	struct interval_tree_node *it;
	struct vm_area_struct *vma;

	mutex_lock(&owner->lock);
	it = interval_tree_iter_first(&owner->mappings, pgoff, pgoff);
	if (it) {
		vma = container_of(it, struct som_mapping, it)->vma;
		*addr = vma->vm_start + ((pgoff - vma->vm_pgoff) << PAGE_SHIFT);
	}
	mutex_unlock(&owner->lock);
	return it;
}

/* Signal one thread of each process that has asked for early signals. */
static void signal_early(struct mm_struct *mm, unsigned long addr)
{
	struct task_struct *process, *thread;

	rcu_read_lock();
	for_each_process(process) {
		for_each_thread(process, thread) {
			if (READ_ONCE(thread->mm) != mm ||
			    (thread->flags & PF_KTHREAD) ||
			    !(thread->flags & PF_MCE_PROCESS) ||
			    !(thread->flags & PF_MCE_EARLY))
				continue;
			send_sig_mceerr(BUS_MCEERR_AO, (void __user *)addr,
					PAGE_SHIFT, thread);
			break;
		}
	}
	rcu_read_unlock();
}

/* Send early signals without waiting. Without one, the next touch raises a signal. */
static void signal_owner_early(struct som_owner *owner, unsigned long pgoff)
{
	struct mm_struct *mm = owner->mm;
	unsigned long addr;
	bool found;

	if (!mmget_not_zero(mm))
		return;
	if (mmap_read_trylock(mm)) {
		found = hwpoison_find_address(owner, pgoff, &addr);
		mmap_read_unlock(mm);
		if (found)
			signal_early(mm, addr);
	}
	mmput_async(mm);
}

/* Zap all of an owner's units whose memory has failed. */
static void unmap_owner(struct som_owner *owner, const unsigned long *pfns,
			unsigned int nr)
{
	unsigned long idx;
	void *entry;

	som_tables_for_each(&owner->tables, idx, entry, 0, ULONG_MAX) {
		long page = failed_page(pfns, nr, som_entry_unit(entry));

		if (!entry_poisoned(entry))
			continue;
		/* Wait for faults that found the unit before it was poisoned. */
		mutex_lock(&owner->lock);
		mutex_unlock(som_owner_lock_index(owner, idx));
		som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
		mutex_unlock(&owner->lock);
		if (page >= 0)
			signal_owner_early(owner, som_index_pgoff(idx) + page);
		cond_resched();
	}
}

/* Do step 2 for all failures so far. */
static void unmap_poisoned(void)
{
	static DEFINE_MUTEX(one_at_a_time);
	unsigned long pfns[SOM_FAILURES];
	struct som_owner_walk walk;
	struct som_owner *owner;
	unsigned int nr;

	mutex_lock(&one_at_a_time);
	spin_lock(&failures_lock);
	nr = nr_failures;
	memcpy(pfns, failures, nr * sizeof(*pfns));
	nr_failures = 0;
	spin_unlock(&failures_lock);
	som_owner_walk_begin(&walk);
	while ((owner = som_owner_walk_next(&walk)))
		unmap_owner(owner, pfns, nr);
	som_owner_walk_end(&walk);
	mutex_unlock(&one_at_a_time);
}

static void som_hwpoison_work(struct work_struct *work)
{
	unmap_poisoned();
}

static void som_hwpoison_task_work(struct callback_head *head)
{
	kfree(head);
	unmap_poisoned();
	if (atomic_dec_and_test(&nr_callbacks))
		wake_up_var(&nr_callbacks);
}

/* Try to do step 2 before the current task returns to user space. */
static void unmap_before_return(void)
{
	struct callback_head *head;

	if (current->flags & PF_KTHREAD)
		return;
	head = kmalloc(sizeof(*head), GFP_ATOMIC);
	if (!head)
		return;
	init_task_work(head, som_hwpoison_task_work);
	WRITE_ONCE(callbacks_used, true);
	atomic_inc(&nr_callbacks);
	if (!task_work_add(current, head, TWA_RESUME))
		return;
	/* The task is exiting. Nothing waits yet: som_hwpoison_exit() unregisters first. */
	atomic_dec(&nr_callbacks);
	kfree(head);
}

/* Handle a failed page. @marked: see som_pool_poison(). */
static void page_failed(unsigned long pfn, bool marked)
{
	if (!som_pool_poison(pfn, marked) && !som_page_backed_units())
		return;
	spin_lock(&failures_lock);
	if (nr_failures < SOM_FAILURES)
		failures[nr_failures++] = pfn;
	spin_unlock(&failures_lock);
	unmap_before_return();
	/* The task may not return soon. */
	queue_work(system_unbound_wq, &hwpoison_work);
}

/*
 * Handle the tracepoint at the end of memory_failure(). The first failure of a folio has
 * this type and took a reference; later ones have another and took none.
 */
static void som_failure_event(void *data, unsigned long pfn, int type,
			      int result)
{
	page_failed(pfn, type == MF_MSG_UNMAP_FAILED);
}

static int som_mce_notify(struct notifier_block *nb, unsigned long val,
			  void *data)
{
	unsigned long pfn;

	if (som_mce_pfn(data, &pfn))
		page_failed(pfn, false);
	return NOTIFY_DONE;
}

static struct notifier_block som_mce_nb = {
	.notifier_call = som_mce_notify,
};

/**
 * som_hwpoison_init - Register for memory failures
 *
 * Does nothing if the kernel lacks memory_failure().
 * Context: Module load; the pool exists and may have chunks.
 * Return: 0 or -errno.
 */
int som_hwpoison_init(void)
{
	int ret;

	ret = som_failure_register(som_failure_event, &failure_tracepoint);
	if (ret)
		return ret;
	som_mce_register(&som_mce_nb);
	return 0;
}

/**
 * som_hwpoison_exit - Unregister from memory failures
 * Context: Module unload; no owner is left.
 */
void som_hwpoison_exit(void)
{
	som_mce_unregister(&som_mce_nb);
	som_failure_unregister(som_failure_event, failure_tracepoint);
	/* The count no longer rises. */
	wait_var_event(&nr_callbacks, !atomic_read(&nr_callbacks));
	/* A task that has decremented it may be preempted before it leaves the function. */
	if (callbacks_used)
		synchronize_rcu_tasks();
	cancel_work_sync(&hwpoison_work);
}
