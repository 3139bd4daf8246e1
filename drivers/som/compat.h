/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All differences between kernels and processors: no other file of the driver tests a
 * configuration option. Kbuild, out of the tree, tests the version.
 */
#ifndef _SOM_COMPAT_H
#define _SOM_COMPAT_H

#include <linux/cgroup.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/magic.h>
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
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/userfaultfd_k.h>
#include <asm/e820/api.h>
#include <asm/pgalloc.h>
#include <asm/syscall.h>

/* An int in 6.12.0, changed by other functions at other times. */
static_assert(__same_type(((struct mm_struct *)NULL)->mm_lock_seq, seqcount_t),
	      "som supports 6.12.y from the one on in which mm_lock_seq is a seqcount");

/**
 * define SOM_MT_FLAGS - flags of every maple tree that is read under RCU
 *
 * Includes MT_FLAGS_ALLOC_RANGE, as the tree of VMAs does. Without it, an internal node
 * keeps its metadata in its last slot, and mt_free_walk(), which frees a large subtree
 * after a grace period, takes that for a pointer. With it, metadata has a place of its own.
 */
#define SOM_MT_FLAGS		(MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU | \
				 MT_FLAGS_LOCK_EXTERN)

/**
 * som_mas_store - Store into a maple tree with charged memory
 * @mas: state, with a range
 * @entry: entry to store
 * @gfp: allocation flags
 *
 * Stores as the kernel stores VMAs. mas_store_gfp() first tries to allocate without waiting
 * and without __GFP_ACCOUNT, whatever @gfp is.
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
 * som_file_tryget - Take a reference to a file unless its last one was dropped
 * @file: file; its memory must be valid
 * Context: Any.
 * Return: true if a reference was taken.
 */
static inline bool som_file_tryget(struct file *file)
{
	return atomic_long_inc_not_zero(&file->f_count);
}

/**
 * som_folio_add_mapcount - Add to the number of mappings of a large folio
 * @folio: folio; its other counts stay as they are
 * @nr: number to add; negative to subtract
 * Context: Any.
 */
static inline void som_folio_add_mapcount(struct folio *folio, int nr)
{
	atomic_add(nr, &folio->_large_mapcount);
}

/**
 * som_mm_write_seq - Return a number that identifies a write-locked section of mmap_lock
 * @mm: address space
 * Context: mmap_lock is held.
 * Return: a number that changes each time mmap_lock is taken or released for write.
 */
static inline unsigned int som_mm_write_seq(struct mm_struct *mm)
{
	return READ_ONCE(mm->mm_lock_seq.sequence);
}

/**
 * som_mm_write_trylock - Take mmap_lock for write without waiting; missing in the kernel
 * @mm: address space
 * Context: Process context.
 * Return: true if it was taken; release it with mmap_write_unlock().
 */
static inline bool som_mm_write_trylock(struct mm_struct *mm)
{
	if (!down_write_trylock(&mm->mmap_lock))
		return false;
	mm_lock_seqcount_begin(mm);
	return true;
}

/**
 * som_mm_write_locked - Test whether mmap_lock is held for write
 * @mm: address space
 * Context: Any; a caller that holds it learns whether for read or for write.
 * Return: true if it is.
 */
static inline bool som_mm_write_locked(struct mm_struct *mm)
{
	return atomic_long_read(&mm->mmap_lock.count) & RWSEM_WRITER_LOCKED;
}

/**
 * som_pidfd_pid - Return the process of a pidfd
 * @file: any file
 *
 * As pidfd_pid(), which is not exported: pidfs has the inodes of pidfds and no others, and
 * i_private of an inode is the process.
 *
 * Context: Any.
 * Return: the process, valid as long as the file is; or NULL if it is no pidfd.
 */
static inline struct pid *som_pidfd_pid(const struct file *file)
{
	struct inode *inode = file_inode(file);

	return inode->i_sb->s_magic == PID_FS_MAGIC ? inode->i_private : NULL;
}

/**
 * som_proc_mem_mm - Return the address space of an open /proc/PID/mem
 * @file: the file
 *
 * Context: Any.
 * Return: the address space, as valid as the file; or NULL.
 */
static inline struct mm_struct *som_proc_mem_mm(const struct file *file)
{
	return file->private_data;
}

/**
 * som_private_works - Test whether MADV_DONTNEED can be recognised
 *
 * It cannot if the kernel splits huge entries of a som VMA with mmap_lock held for read, in
 * a call that the MMU notifier cannot distinguish from MADV_DONTNEED (discard.c):
 * make_device_exclusive_range(), with DEVICE_PRIVATE; and write-protection by userfaultfd,
 * in 6.12.y versions whose vma_can_userfault() does not refuse VM_SPECIAL.
 * Return: true if it can; known at compile time.
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
 * som_fork_can_fail - Test whether the driver can make fork fail
 * Return: true if it can; compat_fork.h explains how, and why it needs loadable modules.
 */
static inline bool som_fork_can_fail(void)
{
	return IS_ENABLED(CONFIG_MODULES);
}

/* The arguments of memory_failure_event: page frame number, enum mf_action_page_type, result. */
typedef void (*som_failure_probe)(void *data, unsigned long pfn, int type,
				  int result);

#ifdef CONFIG_TRACEPOINTS
static inline void som_failure_find(struct tracepoint *tp, void *found)
{
	if (!strcmp(tp->name, "memory_failure_event"))
		*(struct tracepoint **)found = tp;
}

/**
 * som_failure_register - have a function called at the end of memory_failure()
 * @probe: the function
 * @tp: set for som_failure_unregister()
 *
 * Context: Process context.
 * Return: 0, also if the kernel has no memory_failure(); or -errno.
 */
static inline int som_failure_register(som_failure_probe probe,
				       struct tracepoint **tp)
{
	*tp = NULL;
	for_each_kernel_tracepoint(som_failure_find, tp);
	return *tp ? tracepoint_probe_register(*tp, probe, NULL) : 0;
}

/**
 * som_failure_unregister - undo som_failure_register(), and wait for running calls
 * @probe: the function
 * @tp: as som_failure_register() has set it
 *
 * Context: Process context.
 */
static inline void som_failure_unregister(som_failure_probe probe,
					  struct tracepoint *tp)
{
	if (tp)
		tracepoint_probe_unregister(tp, probe, NULL);
	tracepoint_synchronize_unregister();
}
#else
static inline int som_failure_register(som_failure_probe probe,
				       struct tracepoint **tp)
{
	return 0;
}

static inline void som_failure_unregister(som_failure_probe probe,
					  struct tracepoint *tp)
{
}
#endif

/**
 * som_mm_owner - Return the task that owns an address space
 * @mm: address space
 * Context: RCU.
 * Return: the task; NULL if the kernel does not record one.
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
 * struct som_mempolicy - the parts of a memory policy that the driver follows
 * @mode: MPOL_*.
 * @home_node: node set by set_mempolicy_home_node(), or NUMA_NO_NODE.
 * @nodes: nodes of the policy. A cpuset may change a task's nodes at any time.
 */
struct som_mempolicy {
	unsigned short mode;
	int home_node;
	nodemask_t *nodes;
};

/**
 * som_mempolicy_get - Find the memory policy that applies to a VMA
 * @vma: VMA
 * @policy: set to the VMA's policy, or else the current task's
 * Context: mmap_lock or the VMA lock is held while @policy is used.
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
 * som_pages_may_be_anonymous - Test whether a shared mapping may map anonymous pages
 *
 * It may not if the kernel removes write access itself (clear_refs) and, on restoring it,
 * checks that the page belongs to a file (fault_dirty_shared_page()).
 * Return: true if it may.
 */
static inline bool som_pages_may_be_anonymous(void)
{
	return !IS_ENABLED(CONFIG_DEBUG_VM) || !IS_ENABLED(CONFIG_MEM_SOFT_DIRTY);
}

/**
 * som_kernel_asks_for_pages - Test whether shared mappings of pages need page_mkwrite
 *
 * If a shared mapping has no page_mkwrite, the kernel gives write access to an entry of an
 * anonymous page by itself and marks it dirty; but with CONFIG_DEBUG_VM it checks that it
 * is a page of a file (fault_dirty_shared_page()).
 *
 * Return: true if they do.
 */
static inline bool som_kernel_asks_for_pages(void)
{
	return IS_ENABLED(CONFIG_DEBUG_VM);
}

#ifdef CONFIG_PAGE_TABLE_CHECK
#include <linux/page_table_check.h>

/**
 * som_checks_page_tables - Test whether CONFIG_PAGE_TABLE_CHECK is active
 *
 * If so, the kernel calls BUG() when anonymous memory, such as som's, has two writable
 * entries.
 * Return: true if it is.
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
 * som_memory_listed - Test whether the firmware's memory map lists any part of a range
 * @start: physical address
 * @size: bytes
 * Context: Any.
 * Return: true if it does.
 */
static inline bool som_memory_listed(phys_addr_t start, unsigned long size)
{
	return e820__mapped_raw_any(start, start + size, 0);
}

/**
 * som_mremap_leaves - Test whether the current mremap() keeps the old mapping
 *
 * It does with an old length of 0 and with MREMAP_DONTUNMAP. ->mremap has no such argument.
 * Context: Process context, within mremap().
 * Return: true if it does.
 */
static inline bool som_mremap_leaves(void)
{
	unsigned long args[6];

	syscall_get_arguments(current, task_pt_regs(current), args);
	return !PAGE_ALIGN(args[1]) || args[3] & MREMAP_DONTUNMAP;
}

/**
 * som_in_ptrace - Test whether the current task is in the system call ptrace()
 * Context: Process context.
 * Return: true if it is; false if not, or if that is unknown.
 */
static inline bool som_in_ptrace(void)
{
	return !(current->flags & (PF_KTHREAD | PF_USER_WORKER)) &&
	       !in_compat_syscall() &&
	       syscall_get_nr(current, task_pt_regs(current)) == __NR_ptrace;
}

/**
 * som_ptes_idle - Test whether 8 special entries are present and clean, in few instructions
 * @pte: first entry
 * Context: The page table lock is held.
 * Return: true if they are.
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
 * som_ptes_look - Read the state of 8 special entries
 * @pte: first entry
 * @missing: set to a bitmap of the entries that are not present
 * Context: The page table lock is held.
 * Return: bitmap of the entries that are dirty.
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
 * som_ptep_mkclean - Clear the dirty bit of an entry atomically
 * @pte: present entry
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
 * som_ptep_mkwrite - Make an entry writable atomically
 * @pte: entry, present and not writable
 *
 * Needs no flush: a processor with the old translation drops it when it faults.
 * Context: The page table lock is held.
 */
static inline void som_ptep_mkwrite(pte_t *pte)
{
	pte_t old = ptep_get(pte), new;

	do {
		new = pte_mkwrite_novma(old);
	} while (!try_cmpxchg(&pte->pte, &old.pte, new.pte));
}

/**
 * som_ptep_mkdirty - make an entry writable, and dirty
 * @pte: the entry, present and not writable
 *
 * As som_ptep_mkwrite(): no processor sees it writable and clean.
 *
 * Context: The page table lock is held.
 */
static inline void som_ptep_mkdirty(pte_t *pte)
{
	pte_t old = ptep_get(pte), new;

	do {
		new = pte_mkdirty(pte_mkwrite_novma(old));
	} while (!try_cmpxchg(&pte->pte, &old.pte, new.pte));
}

/**
 * som_ptep_protect_clean - take write access and the dirty bit from an entry
 * @pte: the entry, present
 *
 * Atomic against the processor, and a full barrier: get_user_pages_fast(), which takes a
 * reference and looks at the entry again, either finds it changed, or its reference is seen
 * from then on.
 *
 * Context: The page table lock is held.
 */
static inline void som_ptep_protect_clean(pte_t *pte)
{
	pte_t old = ptep_get(pte), new;

	do {
		new = pte_wrprotect(pte_mkclean(old));
	} while (!try_cmpxchg(&pte->pte, &old.pte, new.pte));
}

static inline void som_pgtable_free(struct rcu_head *rcu)
{
	struct ptdesc *ptdesc = container_of(rcu, struct ptdesc, pt_rcu_head);

	paravirt_release_pte(page_to_pfn(ptdesc_page(ptdesc)));
#if ALLOC_SPLIT_PTLOCKS
	/* Does what ptlock_free() does, which is not exported. */
	kfree(ptdesc->ptl);
	__folio_clear_pgtable(ptdesc_folio(ptdesc));
	lruvec_stat_sub_folio(ptdesc_folio(ptdesc), NR_PAGETABLE);
#else
	pagetable_pte_dtor(ptdesc);
#endif
	pagetable_free(ptdesc);
}

/**
 * som_pgtable_free_rcu - Free a page table after a grace period
 * @table: page table; no entry points to it and no TLB caches it
 * Context: Any; call rcu_barrier() before the module is unloaded.
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
 * som_mce_pfn - Find the page that a machine check reports as failed
 * @data: argument of the decode chain
 * @pfn: set to the page frame number
 * Context: Any.
 * Return: true if it reports an uncorrected memory error at a known address.
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
 * som_current_cgroup - Find the cgroup (v2) of the current process
 * Return: the cgroup with a reference for som_put_cgroup(); NULL without CONFIG_CGROUPS.
 */
static inline struct cgroup *som_current_cgroup(void)
{
	struct cgroup *cgrp;

	rcu_read_lock();
	/* The task may be moving to another cgroup. */
	while (!cgroup_tryget(cgrp = task_dfl_cgroup(current)))
		cpu_relax();
	rcu_read_unlock();
	return cgrp;
}

/**
 * som_find_cgroup - Find a cgroup by its ID
 * @id: ID
 * Return: the cgroup with a reference for som_put_cgroup(), or ERR_PTR(-errno).
 */
static inline struct cgroup *som_find_cgroup(u64 id)
{
	return cgroup_get_from_id(id);
}

/**
 * som_put_cgroup - Drop a reference to a cgroup
 * @cgrp: cgroup
 */
static inline void som_put_cgroup(struct cgroup *cgrp)
{
	cgroup_put(cgrp);
}

/**
 * som_cgroup_level - Return the depth of a cgroup
 * @cgrp: cgroup
 * Return: number of its ancestors.
 */
static inline int som_cgroup_level(const struct cgroup *cgrp)
{
	return cgrp->level;
}

/**
 * som_cgroup_ancestor_id - Return the ID of a cgroup's ancestor
 * @cgrp: cgroup
 * @level: depth of the ancestor
 * Return: ID.
 */
static inline u64 som_cgroup_ancestor_id(const struct cgroup *cgrp, int level)
{
	return cgroup_id(cgrp->ancestors[level]);
}

/**
 * som_cgroup_removed - Test whether a cgroup was removed
 * @cgrp: cgroup
 * Return: true if it was.
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
