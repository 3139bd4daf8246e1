// SPDX-License-Identifier: GPL-2.0
/*
 * Private mappings: madvise(MADV_DONTNEED) discards memory.
 *
 * Inside, a private mapping is a shared one: the kernel would try to copy pages
 * on write otherwise. What is left of MAP_PRIVATE is that MADV_DONTNEED makes it
 * read as zero. The kernel does not ask a driver then; it clears entries. An MMU
 * notifier hears of that, as of every other reason to clear entries, and
 * must tell them apart. A CLEAR event over a private mapping of som's is one of
 *
 *  - a VMA is split, and a huge entry with it; or mprotect(), mremap() or munmap()
 *    split one: the caller has mmap_lock for write;
 *  - a zap of the driver's own: noted (zap.c);
 *  - a split of a huge entry inside a MADV_DONTNEED of a part of it: noted;
 *  - the kernel's answer to a fault handler that wants a huge entry split: som's
 *    does not, in a private mapping (vma.c);
 *  - MADV_DONTNEED or MADV_DONTNEED_LOCKED: the caller has mmap_lock for read, and
 *    that is the only one that has. It is of the same address space, always.
 *
 * On some kernels two more split huge entries with mmap_lock held for read, by an event
 * that looks the same: FOLL_SPLIT_PMD of make_device_exclusive_range(), and userfaultfd's
 * write-protection. Private mappings are refused there (som_private_works()). uprobes has
 * FOLL_SPLIT_PMD, too, and mmap_lock for write; it leaves VM_MAYSHARE VMAs alone.
 *
 * Everything else that raises it is about anonymous, page cache or HugeTLB memory,
 * and cannot come to a VMA with VM_MIXEDMAP and VM_SHARED: rmap walks,
 * khugepaged, KSM, the OOM reaper, uprobes, userfaultfd, migration.
 *
 * The notifier is called before the entries are cleared. It notes and zeroes
 * (som_owner_discard()), and lets a worker give back whole units, as memory must
 * not reach the pool before the TLB is flushed: the worker waits for that.
 *
 * Locking: within the notifier no lock may be taken under which som zaps: not
 * owner->lock, no fault_lock. Nor may memory be allocated.
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

/* Nothing of it waits for mmap_lock, which those who wait for it have. */
static struct workqueue_struct *som_private_wq;

/*
 * The private mapping at an address, or NULL. If it is one of @owner's, then
 * the caller of the notifier holds mmap_lock, or is noted; until that is known,
 * RCU keeps the VMA.
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
 * Wait for those who are making entries, right now, of units that are discarded: each makes
 * his before the kernel clears it, or none. By units, not by addresses: what a long
 * mapping has none of costs nothing. A mark that is gone by now was taken back under the
 * unit's lock, under which entries are made.
 */
static void sync_discarded(struct som_owner *owner, struct vm_area_struct *vma,
			   pgoff_t first, pgoff_t last)
{
	unsigned long idx, start, end;
	void *entry;

	/* First the marks, and then a look at page tables: pairs with entryp_discarded(). */
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
	/* What mremap has left behind shows nothing, and has nothing to discard. */
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
 * som_private_new - prepare an owner that has no private mapping
 * @owner: the owner
 */
void som_private_new(struct som_owner *owner)
{
	INIT_DELAYED_WORK(&owner->discard_work, som_private_work);
}

/**
 * struct som_registration - an MMU notifier that a worker registers for a task
 * @work: for the worker.
 * @done: completed when that is done.
 * @owner: whose notifier; the task has mmap_lock for write.
 * @mm: the task's address space: its VMAs are in a child's tree as long as fork has
 *	not come to them. The task has its mmap_lock for write, too.
 * @ret: the result.
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

	/* The task that waits has the locks; lockdep is told that this one may use them. */
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
 * Registering takes all locks of an address space, and gives up if the task has a signal
 * pending, or anything else that is told by interrupting it: task work of io_uring, a
 * stop. Neither fork nor mmap is to fail for that, or to begin again as often as
 * something comes. A worker has no signals.
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
 * som_private_start - an owner is about to get its first private mapping
 * @owner: the owner
 *
 * Context: Process context; mmap_lock is held for write, in fork that of both address
 * spaces.
 * Return: 0; -EOPNOTSUPP on a kernel where MADV_DONTNEED cannot be told from all else;
 * -ENOMEM.
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
 * som_private_free_owner - free an owner when no notifier can be running
 * @owner: nothing refers to it but, possibly, the MMU notifier
 *
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
 * som_private_init - make what all owners share
 *
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
 * som_private_exit - wait for what is left of owners that are gone
 *
 * Context: Module unload; no owner is left.
 */
void som_private_exit(void)
{
	mmu_notifier_synchronize();
	destroy_workqueue(som_private_wq);
}
