// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that fails.
 *
 * The kernel's memory_failure() hears of every uncorrected error: of machine checks, of
 * firmware, of madvise(MADV_HWPOISON) and debugfs (hwpoison/corrupt-pfn). Of a chunk,
 * it marks the folio and remembers the page for itself; that nobody can unmap it, as
 * som's entries are not in rmap, is an error to it (EBUSY). It keeps a reference to
 * the folio then, once for each folio. Which page it was, it tells by a tracepoint,
 * memory_failure_event, and that is how som learns of it. Machine checks are listened
 * to as well, since not every one of them comes to memory_failure().
 *
 *  1. som_pool_poison() notes it in the chunk at once: from then on nobody zeroes or
 *     copies the unit, gets it, or is given an entry for it;
 *  2. if it is in use, its entries go: of each owner that has it in its tree. That takes
 *     locks that cannot be had in a tracepoint, so it is done by a worker, and before the
 *     task that told of it returns to user space;
 *  3. the next touch raises SIGBUS with BUS_MCEERR_AR (vma.c). Who has asked to be told
 *     early by prctl(PR_MCE_KILL) gets BUS_MCEERR_AO now;
 *  4. when its owner gives it up, the unit is retired: no state of a unit that others
 *     can get comes after that. The rest of the chunk lives on.
 *
 * It is the unit as a whole that is lost to its owner: to go on with 511 of its pages,
 * each would need an entry of its own, and a unit has one owner and one state.
 *
 * Page-backed memory is of ordinary pages, each with its own mark, PG_hwpoison.
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

/* Failures that are told of early; more at a time are told of by the next touch. */
#define SOM_FAILURES	16

static unsigned long failures[SOM_FAILURES];
static unsigned int nr_failures;
static DEFINE_SPINLOCK(failures_lock);

static void som_hwpoison_work(struct work_struct *work);
static DECLARE_WORK(hwpoison_work, som_hwpoison_work);

/*
 * Tasks that are to call som_hwpoison_task_work(). The module must not go before they
 * have: som_hwpoison_exit() waits for them. A reference to the module would be given back
 * by code of the module's own, which could be gone before it returns.
 */
static atomic_t nr_callbacks;
static bool callbacks_used;

static struct tracepoint *failure_tracepoint;

/* The page of a unit that has failed, among those that were just told of; or -1. */
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

/* Has any of an entry's memory failed? */
static bool entry_poisoned(const void *entry)
{
	som_unit_t unit = som_entry_unit(entry);

	return som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) ?
		som_page_backed_poisoned(unit) : som_pool_poisoned(unit);
}

/* Where a page offset is mapped; false if nowhere. mmap_lock is held. */
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

/* One thread of each process that has asked for it. */
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

/* Nobody is waited for: whoever is not told now gets the signal when it touches. */
static void tell_early(struct som_owner *owner, unsigned long pgoff)
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

/* An owner loses the entries of all its units whose memory has failed. */
static void unmap_owner(struct som_owner *owner, const unsigned long *pfns,
			unsigned int nr)
{
	unsigned long idx;
	void *entry;

	som_tables_for_each(&owner->tables, idx, entry, 0, ULONG_MAX) {
		long page = failed_page(pfns, nr, som_entry_unit(entry));

		if (!entry_poisoned(entry))
			continue;
		/* Whoever has found the unit before it was poisoned has its entry by now. */
		mutex_lock(&owner->lock);
		mutex_unlock(som_owner_lock_index(owner, idx));
		som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
		mutex_unlock(&owner->lock);
		if (page >= 0)
			tell_early(owner, som_index_pgoff(idx) + page);
		cond_resched();
	}
}

/* Step 2, for all that was told of until now. */
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

/* Have step 2 done before the current task sees user space again, if that can be had. */
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
	/* It is about to end, and will not return. Nobody waits yet: see the exit. */
	atomic_dec(&nr_callbacks);
	kfree(head);
}

/* A page has failed. @marked: see som_pool_poison(). */
static void page_failed(unsigned long pfn, bool marked)
{
	if (!som_pool_poison(pfn, marked) && !som_page_backed_units())
		return;
	spin_lock(&failures_lock);
	if (nr_failures < SOM_FAILURES)
		failures[nr_failures++] = pfn;
	spin_unlock(&failures_lock);
	unmap_before_return();
	/* That task may be kept from returning. */
	queue_work(system_unbound_wq, &hwpoison_work);
}

/*
 * memory_failure() is at its end. The first failure of a folio ends with this type, and
 * with a reference; later ones end early, and without.
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
 * som_hwpoison_init - listen to failures of memory
 *
 * Where the kernel does not know memory_failure(), there is nothing to listen to.
 *
 * Context: Module load; the pool is there, and may have chunks already.
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
 * som_hwpoison_exit - stop listening
 *
 * Context: Module unload; no owner is left.
 */
void som_hwpoison_exit(void)
{
	som_mce_unregister(&som_mce_nb);
	som_failure_unregister(som_failure_event, failure_tracepoint);
	/* Nobody counts up from here on. */
	wait_var_event(&nr_callbacks, !atomic_read(&nr_callbacks));
	/* Whoever has counted down may still be in the function, and preempted there. */
	if (callbacks_used)
		synchronize_rcu_tasks();
	cancel_work_sync(&hwpoison_work);
}
