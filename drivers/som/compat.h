/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between kernels and processors, and nothing else: the one place
 * of the driver that asks for a version or for a configuration option.
 */
#ifndef _SOM_COMPAT_H
#define _SOM_COMPAT_H

#include <linux/cgroup.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/maple_tree.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/mm_types.h>
#include <linux/nodemask.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/seqlock.h>
#include <linux/slab.h>
#include <linux/userfaultfd_k.h>
#include <linux/version.h>
#include <asm/e820/api.h>
#include <asm/pgalloc.h>
#include <asm/syscall.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0) || \
	LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#error "som supports Linux 6.12"
#endif

/* An int in 6.12.0, which is changed by other functions and at other moments. */
static_assert(__same_type(((struct mm_struct *)NULL)->mm_lock_seq, seqcount_t),
	      "som supports 6.12.y from the one on in which mm_lock_seq is a seqcount");

/**
 * define SOM_MT_FLAGS - the mode of every maple tree that is read under RCU
 *
 * With MT_FLAGS_ALLOC_RANGE, as the tree of VMAs has it. Without, a node that is not a
 * table keeps its metadata in its last entry pointer, and when a large subtree goes at once
 * the walk that frees it after a grace period (mt_free_walk()) takes
 * the metadata for a pointer. With it, metadata has a place of its own.
 */
#define SOM_MT_FLAGS		(MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU | \
				 MT_FLAGS_LOCK_EXTERN)

/**
 * som_mas_store - store into a maple tree, and charge the memory that it needs
 * @mas: the state, with a range
 * @entry: what to store there
 * @gfp: how to get memory
 *
 * As the tree of VMAs is stored to. mas_store_gfp() tries to get memory without waiting
 * first, and without __GFP_ACCOUNT, whatever it is told.
 *
 * Context: The tree's lock is held, a mutex; or @gfp does not wait.
 * Return: 0 or -ENOMEM.
 */
static inline int som_mas_store(struct ma_state *mas, void *entry, gfp_t gfp)
{
	int ret = mas_preallocate(mas, entry, gfp);

	if (!ret)
		mas_store_prealloc(mas, entry);
	return ret;
}

/**
 * som_file_tryget - take a reference unless the file is on its way out
 * @file: a file whose memory is known to be valid
 *
 * Context: Any.
 * Return: true if a reference was taken.
 */
static inline bool som_file_tryget(struct file *file)
{
	return atomic_long_inc_not_zero(&file->f_count);
}

/**
 * som_mm_write_seq - which holder of mmap_lock for write this is
 * @mm: an address space
 *
 * Context: mmap_lock is held.
 * Return: a number that is the same exactly as long as mmap_lock is held for
 * write without interruption.
 */
static inline unsigned int som_mm_write_seq(struct mm_struct *mm)
{
	return READ_ONCE(mm->mm_lock_seq.sequence);
}

/**
 * som_mm_write_trylock - take mmap_lock for write if that needs no waiting
 * @mm: an address space
 *
 * The kernel has no such call.
 *
 * Context: Process context.
 * Return: true if it was taken, for mmap_write_unlock().
 */
static inline bool som_mm_write_trylock(struct mm_struct *mm)
{
	if (!down_write_trylock(&mm->mmap_lock))
		return false;
	mm_lock_seqcount_begin(mm);
	return true;
}

/**
 * som_mm_write_locked - does anybody hold mmap_lock for write?
 * @mm: an address space
 *
 * To a caller who holds it one way or the other, it tells which.
 *
 * Context: Any.
 * Return: true if so.
 */
static inline bool som_mm_write_locked(struct mm_struct *mm)
{
	return atomic_long_read(&mm->mmap_lock.count) & RWSEM_WRITER_LOCKED;
}

/**
 * som_private_works - can MADV_DONTNEED be told from all else that clears entries?
 *
 * Not where the kernel splits huge entries of a som VMA with mmap_lock held for read, by a
 * call that the MMU notifier cannot tell from MADV_DONTNEED (discard.c):
 * make_device_exclusive_range(), on kernels with DEVICE_PRIVATE; and userfaultfd's
 * write-protection, on 6.12.y in which vma_can_userfault() does not refuse VM_SPECIAL.
 *
 * Return: true if so; all of it is known when the module is compiled.
 */
static inline bool som_private_works(void)
{
#ifdef CONFIG_USERFAULTFD
	struct vm_area_struct vma = {};

	vm_flags_init(&vma, VM_MIXEDMAP | VM_SHARED | VM_MAYSHARE);
	if (vma_can_userfault(&vma, VM_UFFD_WP, true))
		return false;
#endif
	return !IS_ENABLED(CONFIG_DEVICE_PRIVATE);
}

/**
 * som_fork_can_fail - can som make fork fail when a child cannot inherit?
 *
 * See compat_fork.h for how, and why it needs loadable modules.
 *
 * Return: true if so.
 */
static inline bool som_fork_can_fail(void)
{
	return IS_ENABLED(CONFIG_MODULES);
}

/* What memory_failure() tells: page frame number, enum mf_action_page_type, result. */
#define SOM_FAILURE_TRACEPOINT	"memory_failure_event"

typedef void (*som_failure_probe)(void *data, unsigned long pfn, int type,
				  int result);

/**
 * som_mm_owner - a task that has an address space
 * @mm: the address space
 *
 * Context: RCU.
 * Return: the task, or NULL if the kernel does not know one.
 */
static inline struct task_struct *som_mm_owner(struct mm_struct *mm)
{
#ifdef CONFIG_MEMCG
	return rcu_dereference(mm->owner);
#else
	return NULL;
#endif
}

/**
 * struct som_mempolicy - a memory policy, as far as som follows it
 * @mode: MPOL_*.
 * @home_node: the node that mbind() named, or NUMA_NO_NODE.
 * @nodes: the nodes of the policy. A cpuset may change those of a task meanwhile.
 */
struct som_mempolicy {
	unsigned short mode;
	int home_node;
	nodemask_t *nodes;
};

/**
 * som_mempolicy_get - read the memory policy that applies to a VMA
 * @vma: the VMA
 * @policy: set to the VMA's policy, or else the current task's
 *
 * Context: mmap_lock or the VMA lock is held for as long as @policy is used.
 * Return: false if there is none.
 */
static inline bool som_mempolicy_get(struct vm_area_struct *vma,
				     struct som_mempolicy *policy)
{
#ifdef CONFIG_NUMA
	struct mempolicy *pol = vma->vm_policy ?: current->mempolicy;

	if (!pol)
		return false;
	policy->mode = pol->mode;
	policy->home_node = pol->home_node;
	policy->nodes = &pol->nodes;
	return true;
#else
	return false;
#endif
}

/**
 * som_pages_may_be_anonymous - can pages of a shared mapping be anonymous memory?
 *
 * Not where the kernel takes write access away by itself (clear_refs) and checks, when it
 * gives it back, that the page is one of a file (fault_dirty_shared_page()).
 *
 * Return: true if so.
 */
static inline bool som_pages_may_be_anonymous(void)
{
	return !IS_ENABLED(CONFIG_DEBUG_VM) || !IS_ENABLED(CONFIG_MEM_SOFT_DIRTY);
}

#ifdef CONFIG_PAGE_TABLE_CHECK
#include <linux/page_table_check.h>

/**
 * som_checks_page_tables - does the kernel check how often memory is mapped?
 *
 * It calls BUG() then where anonymous memory, as som's is to it, has two writable
 * entries.
 *
 * Return: true if so.
 */
static inline bool som_checks_page_tables(void)
{
	return !static_branch_likely(&page_table_check_disabled);
}
#else
static inline bool som_checks_page_tables(void)
{
	return false;
}
#endif

#ifdef CONFIG_X86
/**
 * som_memory_listed - is there anything in the firmware's memory map?
 * @start: physical address
 * @size: bytes
 *
 * Context: Any.
 * Return: true if any entry has a part of it.
 */
static inline bool som_memory_listed(phys_addr_t start, unsigned long size)
{
	return e820__mapped_raw_any(start, start + size, 0);
}

/**
 * som_mremap_leaves - does the current mremap() leave mapped what it moves?
 *
 * ->mremap cannot tell. That is so with a length of 0 and with MREMAP_DONTUNMAP.
 *
 * Context: Process context, within mremap().
 * Return: true if so.
 */
static inline bool som_mremap_leaves(void)
{
	unsigned long args[6];

	syscall_get_arguments(current, task_pt_regs(current), args);
	return !PAGE_ALIGN(args[1]) || args[3] & MREMAP_DONTUNMAP;
}

/**
 * som_in_ptrace - is the current task in the system call ptrace()?
 *
 * Context: Process context.
 * Return: true if so; false may also mean that it is not known.
 */
static inline bool som_in_ptrace(void)
{
	return !(current->flags & (PF_KTHREAD | PF_USER_WORKER)) &&
	       !in_compat_syscall() &&
	       syscall_get_nr(current, task_pt_regs(current)) == __NR_ptrace;
}

/**
 * som_ptes_idle - are 8 special entries all there, and none of them dirty?
 * @pte: the first
 *
 * Three instructions an entry.
 *
 * Context: The page table lock is held.
 * Return: true only if so.
 */
static inline bool som_ptes_idle(const pte_t *pte)
{
	pteval_t any = 0, all = ~0UL;
	int i;

#pragma GCC unroll 8
	for (i = 0; i < 8; i++) {
		any |= pte[i].pte;
		all &= pte[i].pte;
	}
	return all & _PAGE_SPECIAL && !(any & _PAGE_DIRTY_BITS);
}

/**
 * som_ptes_look - what 8 special entries say
 * @pte: the first
 * @missing: where it goes which of them are none, a bit for each
 *
 * A few instructions an entry.
 *
 * Context: The page table lock is held.
 * Return: which of them are dirty, a bit for each.
 */
static inline unsigned int som_ptes_look(const pte_t *pte,
					 unsigned int *missing)
{
	unsigned int dirty = 0;
	int i;

	*missing = 0;
#pragma GCC unroll 8
	for (i = 0; i < 8; i++) {
		pteval_t val = READ_ONCE(pte[i].pte);

		dirty |= !!(val & _PAGE_DIRTY_BITS) << i;
		*missing |= !(val & _PAGE_SPECIAL) << i;
	}
	return dirty;
}

/**
 * som_ptep_mkclean - clear the dirty bit of an entry
 * @pte: the entry, present
 *
 * Atomic against the processor.
 *
 * Context: The page table lock is held.
 */
static inline void som_ptep_mkclean(pte_t *pte)
{
	pte_t old = ptep_get(pte), new;

	do {
		new = pte_mkclean(old);
	} while (!try_cmpxchg(&pte->pte, &old.pte, new.pte));
}

/**
 * som_ptep_mkwrite - make an entry writable
 * @pte: the entry, present and not writable
 *
 * Atomic against the processor. A TLB that has the old one finds out by itself.
 *
 * Context: The page table lock is held.
 */
static inline void som_ptep_mkwrite(pte_t *pte)
{
	pte_t old = ptep_get(pte), new;

	do {
		new = pte_mkwrite_novma(old);
	} while (!try_cmpxchg(&pte->pte, &old.pte, new.pte));
}

static inline void som_pgtable_free(struct rcu_head *rcu)
{
	struct ptdesc *ptdesc = container_of(rcu, struct ptdesc, pt_rcu_head);

	paravirt_release_pte(page_to_pfn(ptdesc_page(ptdesc)));
#if ALLOC_SPLIT_PTLOCKS
	/* What ptlock_free() does, which is not exported. */
	kfree(ptdesc->ptl);
	__folio_clear_pgtable(ptdesc_folio(ptdesc));
	lruvec_stat_sub_folio(ptdesc_folio(ptdesc), NR_PAGETABLE);
#else
	pagetable_pte_dtor(ptdesc);
#endif
	pagetable_free(ptdesc);
}

/**
 * som_pgtable_free_rcu - free a page table after a grace period
 * @table: a page table that no entry points to and no TLB knows
 *
 * Context: Any; rcu_barrier() before the module goes.
 */
static inline void som_pgtable_free_rcu(struct page *table)
{
	call_rcu(&page_ptdesc(table)->pt_rcu_head, som_pgtable_free);
}
#else
#error "som supports x86-64"
#endif

#ifdef CONFIG_X86_MCE
#include <asm/mce.h>

/**
 * som_mce_pfn - the memory that a machine check tells of
 * @data: what the decode chain gives
 * @pfn: where its page frame number goes
 *
 * Context: Any.
 * Return: true if memory has failed for good, and it is known which.
 */
static inline bool som_mce_pfn(void *data, unsigned long *pfn)
{
	struct mce *mce = data;

	if (!mce || !(mce->status & MCI_STATUS_UC) ||
	    !mce_usable_address(mce) || !mce_is_memory_error(mce))
		return false;
	*pfn = mce->addr >> PAGE_SHIFT;
	return true;
}

static inline void som_mce_register(struct notifier_block *nb)
{
	mce_register_decode_chain(nb);
}

static inline void som_mce_unregister(struct notifier_block *nb)
{
	mce_unregister_decode_chain(nb);
}
#else
struct notifier_block;

static inline bool som_mce_pfn(void *data, unsigned long *pfn)
{
	return false;
}

static inline void som_mce_register(struct notifier_block *nb) {}
static inline void som_mce_unregister(struct notifier_block *nb) {}
#endif

struct cgroup;

#ifdef CONFIG_CGROUPS
/**
 * som_current_cgroup - find the cgroup (v2) of the current process
 *
 * Return: the cgroup, with a reference for som_put_cgroup(); NULL if the kernel has
 * none.
 */
static inline struct cgroup *som_current_cgroup(void)
{
	struct cgroup *cgrp;

	rcu_read_lock();
	/* It may be on its way to another one. */
	while (!cgroup_tryget(cgrp = task_dfl_cgroup(current)))
		cpu_relax();
	rcu_read_unlock();
	return cgrp;
}

/**
 * som_find_cgroup - find a cgroup by its ID
 * @id: the ID
 *
 * Return: the cgroup, with a reference for som_put_cgroup(), or ERR_PTR(-errno).
 */
static inline struct cgroup *som_find_cgroup(u64 id)
{
	return cgroup_get_from_id(id);
}

/**
 * som_put_cgroup - give a reference back
 * @cgrp: the cgroup
 */
static inline void som_put_cgroup(struct cgroup *cgrp)
{
	cgroup_put(cgrp);
}

/**
 * som_cgroup_level - tell how deep a cgroup is
 * @cgrp: the cgroup
 *
 * Return: how many cgroups are above it.
 */
static inline int som_cgroup_level(const struct cgroup *cgrp)
{
	return cgrp->level;
}

/**
 * som_cgroup_ancestor_id - tell the ID of a cgroup above another
 * @cgrp: the other
 * @level: how deep it is
 *
 * Return: the ID.
 */
static inline u64 som_cgroup_ancestor_id(const struct cgroup *cgrp, int level)
{
	return cgroup_id(cgrp->ancestors[level]);
}

/**
 * som_cgroup_removed - tell whether a cgroup was removed
 * @cgrp: the cgroup
 *
 * Return: true if so.
 */
static inline bool som_cgroup_removed(const struct cgroup *cgrp)
{
	return !(READ_ONCE(cgrp->self.flags) & CSS_ONLINE);
}
#else
static inline struct cgroup *som_current_cgroup(void)
{
	return NULL;
}

static inline struct cgroup *som_find_cgroup(u64 id)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void som_put_cgroup(struct cgroup *cgrp)
{
}

static inline int som_cgroup_level(const struct cgroup *cgrp)
{
	return 0;
}

static inline u64 som_cgroup_ancestor_id(const struct cgroup *cgrp, int level)
{
	return 0;
}

static inline bool som_cgroup_removed(const struct cgroup *cgrp)
{
	return false;
}
#endif

#endif /* _SOM_COMPAT_H */
