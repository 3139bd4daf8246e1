// SPDX-License-Identifier: GPL-2.0
/*
 * Recognise madvise(MADV_DONTNEED) of private mappings, and discard their memory.
 *
 * A private mapping of som is internally shared, as the kernel would copy pages on write
 * otherwise. Only MADV_DONTNEED differs: the memory reads as zero afterwards. The kernel
 * does not call the driver for it but clears the entries. An MMU notifier sees that, as
 * every clearing of entries, and must distinguish the reasons. A CLEAR event for a private
 * mapping comes from one of:
 *
 *  - a split of a VMA and of a huge entry with it; or mprotect(), mremap() or munmap()
 *    splitting one: the caller holds mmap_lock for write;
 *  - a zap of the driver: it has a marker (zap.c);
 *  - a split of a huge entry during MADV_DONTNEED of a part of it: it has a marker;
 *  - a fault handler that has the kernel split a huge entry: som's never does so in private
 *    mappings (fault.c);
 *  - MADV_DONTNEED or MADV_DONTNEED_LOCKED: always of the same address space, and the only
 *    caller that holds mmap_lock for read.
 *
 * On some kernels two more callers split huge entries with mmap_lock held for read and an
 * identical event: FOLL_SPLIT_PMD of make_device_exclusive_range(), and write-protection of
 * userfaultfd. Private mappings are refused there (som_private_works()). uprobes also uses
 * FOLL_SPLIT_PMD, but holds mmap_lock for write and skips VM_MAYSHARE VMAs.
 *
 * All other callers handle anonymous, page cache or HugeTLB memory only, never a VMA with
 * VM_MIXEDMAP and VM_SHARED: rmap walks, khugepaged, KSM, the OOM reaper, userfaultfd,
 * migration.
 *
 * The notifier runs before the entries are cleared. It marks whole units and zeroes parts
 * (som_owner_discard()). A worker frees the marked units after the TLB flush, as memory
 * must not reach the pool earlier.
 *
 * Locking: the notifier takes no lock under which som zaps, i.e. neither owner->lock nor a
 * fault_lock, and does not wait for memory.
 */
#include <linux/completion.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "compat.h"
#include "discard.h"
#include "entry.h"
#include "mapping.h"
#include "owner.h"
#include "pte.h"
#include "punch.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "zap.h"

/* Its work never waits for mmap_lock, which the waiting tasks hold. */
static struct workqueue_struct *som_private_wq;

/*
 * Return the private mapping of @owner at an address, or NULL. If there is one, the caller
 * of the notifier holds mmap_lock or has a marker; until that is known, RCU protects the
 * VMA.
 */
static struct vm_area_struct *private_vma(struct som_owner *owner,
					  struct mm_struct *mm,
					  unsigned long addr)
{
	MA_STATE(mas, &mm->mm_mt, addr, addr);
	struct vm_area_struct *vma;
	struct som_mapping *mapping;

	rcu_read_lock();
	vma = mas_walk(&mas);
	mapping = vma ? som_vma_mapping(vma) : NULL;
	if (!mapping || mapping->owner != owner || !mapping->private)
		vma = NULL;
	rcu_read_unlock();
	return vma;
}

/*
 * Wait for tasks that are mapping discarded units: each sets its entry before the kernel
 * clears it, or not at all. Walk units instead of addresses, so that unpopulated ranges
 * cost nothing. A mark that is already cleared was cleared under the unit's lock, under
 * which entries are set.
 */
static void sync_discarded(struct som_owner *owner, struct vm_area_struct *vma,
			   pgoff_t first, pgoff_t last)
{
	unsigned long idx, start, end;
	void *entry;

	/* Order the marks before the page table reads: pairs with entryp_discarded(). */
	smp_mb();
	som_tables_for_each(&owner->tables, idx, entry, som_pgoff_index(first),
			    som_pgoff_index(last)) {
		cond_resched();
		if (!som_entry_test(entry, SOM_ENTRY_DISCARDED))
			continue;
		som_index_clip(vma->vm_start, vma->vm_end, vma->vm_pgoff, idx,
			       &start, &end);
		som_ptes_sync(vma->vm_mm, start, end);
	}
}

static int som_private_range_start(struct mmu_notifier *mn,
				   const struct mmu_notifier_range *range)
{
	struct som_owner *owner = container_of(mn, struct som_owner, mn);
	struct vm_area_struct *vma;
	bool noted = false, superseded;
	pgoff_t first, last, next;

	if (range->event != MMU_NOTIFY_CLEAR || current->mm != range->mm ||
	    !mmu_notifier_range_blockable(range) ||
	    som_mm_write_locked(range->mm) || som_zaps_mine(&owner->zaps))
		return 0;
	vma = private_vma(owner, range->mm, range->start);
	if (!vma)
		return 0;

	first = linear_page_index(vma, range->start);
	last = linear_page_index(vma, range->end - 1);
	if (first != som_index_pgoff(som_pgoff_index(first)) ||
	    last + 1 != som_index_pgoff(som_pgoff_index(last + 1)))
		som_zaps_begin_part(&owner->zaps, range->start, range->end);
	/* Nothing to discard where mremap has superseded the mapping. */
	for (; first <= last; first = next + 1) {
		next = som_mapping_run(som_vma_mapping(vma), first, last, &superseded);
		if (!superseded)
			noted |= som_owner_discard(owner, first, next);
	}
	if (noted) {
		sync_discarded(owner, vma,
			       linear_page_index(vma, range->start), last);
		queue_delayed_work(system_unbound_wq, &owner->discard_work,
				   msecs_to_jiffies(SOM_DISCARD_MS));
	}
	return 0;
}

static void som_private_range_end(struct mmu_notifier *mn,
				  const struct mmu_notifier_range *range)
{
	struct som_owner *owner = container_of(mn, struct som_owner, mn);

	if (range->event == MMU_NOTIFY_CLEAR)
		som_zaps_end_part(&owner->zaps, range->start,
				  range->end);
}

static void som_private_free(struct mmu_notifier *mn)
{
	som_owner_free(container_of(mn, struct som_owner, mn));
}

static const struct mmu_notifier_ops som_private_ops = {
	.invalidate_range_start = som_private_range_start,
	.invalidate_range_end = som_private_range_end,
	.free_notifier = som_private_free,
};

static void som_private_work(struct work_struct *work)
{
	struct som_owner *owner = container_of(to_delayed_work(work),
					       struct som_owner, discard_work);
	if (!som_work_begin(owner))
		return;
	som_owner_release_discarded(owner);
	som_work_end(owner);
}

/**
 * som_private_new - Initialise the discard work of an owner
 * @owner: new owner
 */
void som_private_new(struct som_owner *owner)
{
	INIT_DELAYED_WORK(&owner->discard_work, som_private_work);
}

/**
 * struct som_registration - registration of an MMU notifier by a worker for a task
 * @work: work item.
 * @done: completed when the work is done.
 * @owner: owner of the notifier; the task holds its mmap_lock for write.
 * @mm: the task's address space; the task holds its mmap_lock for write, too. In a fork,
 *	VMAs not yet copied are still in the child's tree.
 * @ret: result.
 */
struct som_registration {
	struct work_struct work;
	struct completion done;
	struct som_owner *owner;
	struct mm_struct *mm;
	int ret;
};

static void register_work(struct work_struct *work)
{
	struct som_registration *reg = container_of(work, struct som_registration,
						    work);
	struct mm_struct *mm = reg->owner->mm;

	/* The waiting task holds the locks; let lockdep know. */
	rwsem_acquire(&reg->mm->mmap_lock.dep_map, 0, 1, _RET_IP_);
	if (mm != reg->mm)
		rwsem_acquire(&mm->mmap_lock.dep_map, SINGLE_DEPTH_NESTING, 1,
			      _RET_IP_);
	reg->ret = __mmu_notifier_register(&reg->owner->mn, mm);
	if (mm != reg->mm)
		rwsem_release(&mm->mmap_lock.dep_map, _RET_IP_);
	rwsem_release(&reg->mm->mmap_lock.dep_map, _RET_IP_);
	complete(&reg->done);
}

/*
 * Registering takes all locks of an address space. It gives up on a pending signal, or on
 * anything else that interrupts the task, e.g. task work of io_uring, or a stop. fork and
 * mmap must neither fail nor restart for that. A worker has no signals.
 */
static int register_by_worker(struct som_owner *owner)
{
	struct som_registration reg = {
		.owner = owner,
		.mm = current->mm,
	};

	INIT_WORK_ONSTACK(&reg.work, register_work);
	init_completion(&reg.done);
	queue_work(som_private_wq, &reg.work);
	wait_for_completion(&reg.done);
	destroy_work_on_stack(&reg.work);
	return reg.ret;
}

/**
 * som_private_start - Register the MMU notifier for the first private mapping
 * @owner: owner
 * Context: Process context; mmap_lock is held for write, in a fork that of both address
 * spaces.
 * Return: 0; -EOPNOTSUPP on a kernel where MADV_DONTNEED cannot be recognised; -ENOMEM.
 */
int som_private_start(struct som_owner *owner)
{
	int ret;

	if (owner->notified)
		return 0;
	if (!som_private_works())
		return -EOPNOTSUPP;
	owner->mn.ops = &som_private_ops;
	ret = __mmu_notifier_register(&owner->mn, owner->mm);
	if (ret == -EINTR)
		ret = register_by_worker(owner);
	if (ret)
		return ret;
	WRITE_ONCE(owner->notified, true);
	return 0;
}

/**
 * som_private_free_owner - Free an owner when its notifier can no longer run
 * @owner: owner that nothing but the MMU notifier refers to
 * Context: Process context.
 */
void som_private_free_owner(struct som_owner *owner)
{
	if (owner->notified)
		mmu_notifier_put(&owner->mn);
	else
		som_owner_free(owner);
}

/**
 * som_private_init - Create the workqueue for registrations
 * Context: Module load.
 * Return: 0 or -ENOMEM.
 */
int som_private_init(void)
{
	som_private_wq = alloc_workqueue("som_register",
					 WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return som_private_wq ? 0 : -ENOMEM;
}

/**
 * som_private_exit - Wait for notifiers that are being freed
 * Context: Module unload; no owner is left.
 */
void som_private_exit(void)
{
	mmu_notifier_synchronize();
	destroy_workqueue(som_private_wq);
}
