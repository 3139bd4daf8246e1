// SPDX-License-Identifier: GPL-2.0
/*
 * Allocation and destruction of owners.
 *
 * An owner is one address space with the units that it holds and those reserved for it:
 * entries (entry.c), mappings (mapping.c, map.c), reservations (reserve.c), units (unit.c).
 *
 * Locks, outer to inner: mmap_lock, VMA lock, owner->lock, fault_lock, i_mmap_rwsem
 * (som_zap), page table lock. A fault takes a fault_lock without owner->lock.
 */
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "account.h"
#include "cache.h"
#include "collapse.h"
#include "compat.h"
#include "cow.h"
#include "dirty_log.h"
#include "entry.h"
#include "owner.h"
#include "som_types.h"
#include "tables.h"
#include "zap.h"

static atomic_long_t som_owner_ids = ATOMIC_LONG_INIT(0);

/**
 * som_owner_alloc - Allocate an owner for an address space
 * @mm: address space
 * Context: Process context.
 * Return: the owner, which holds no units; or NULL.
 */
struct som_owner *som_owner_alloc(struct mm_struct *mm)
{
	struct som_owner *owner = kzalloc(sizeof(*owner), GFP_KERNEL_ACCOUNT);
	int i;

	if (!owner)
		return NULL;
	owner->account = som_account_alloc();
	if (!owner->account) {
		kfree(owner);
		return NULL;
	}
	som_zaps_init(&owner->zaps);
	som_cache_init(&owner->cache, owner->account, mm);
	owner->id = atomic_long_inc_return(&som_owner_ids);
	owner->pid = get_pid(task_tgid(current));
	mutex_init(&owner->lock);
	mutex_init(&owner->pud_lock);
	spin_lock_init(&owner->mapping_lock);
	for (i = 0; i < SOM_FAULT_LOCKS; i++)
		mutex_init(&owner->fault_lock[i]);
	som_tables_init(&owner->tables);
	xa_init_flags(&owner->deferred_free, XA_FLAGS_ACCOUNT);
	som_cow_init(&owner->cow);
	INIT_LIST_HEAD(&owner->inherited_files);
	owner->mappings = RB_ROOT_CACHED;
	mt_init_flags(&owner->reserved, SOM_MT_FLAGS);
	mt_set_external_lock(&owner->reserved, &owner->lock);
	som_dirty_log_init(&owner->dirty_log, &owner->lock);
	som_collapse_init(owner);
	mmgrab(mm);
	owner->mm = mm;
	return owner;
}

/**
 * som_owner_destroy - Free everything that an owner holds
 * @owner: owner without mappings; som_owner_free() frees the structure
 * Context: Process context.
 */
void som_owner_destroy(struct som_owner *owner)
{
	unsigned long nr;
	void *entry;

	som_cow_destroy(owner);
	xa_for_each(&owner->deferred_free, nr, entry)
		som_entry_drop(owner, entry);
	xa_destroy(&owner->deferred_free);
	WARN_ON_ONCE(!som_tables_destroy(&owner->tables) || owner->nr_reserved);
	mutex_lock(&owner->lock);
	__mt_destroy(&owner->reserved);
	som_dirty_log_destroy(&owner->dirty_log);
	mutex_unlock(&owner->lock);
	som_cache_destroy(&owner->cache);
	som_account_put(owner->account);
	som_inode_disinherit(owner);
	mmdrop(owner->mm);
}

/**
 * som_owner_free - Free the structure of an owner
 * @owner: destroyed owner whose MMU notifier does not run
 * Context: Any.
 */
void som_owner_free(struct som_owner *owner)
{
	put_pid(owner->pid);
	kfree(owner);
}

/**
 * som_owner_stats - Count what an owner holds
 * @owner: owner
 * @stats: result
 * Context: Process context; takes owner->lock.
 */
void som_owner_stats(struct som_owner *owner, struct som_owner_stats *stats)
{
	int i;

	mutex_lock(&owner->lock);
	stats->mapped_pages = owner->mapped_pages;
	stats->nr_reserved = owner->nr_reserved;
	mutex_unlock(&owner->lock);
	for (i = 0; i < SOM_LEVELS; i++)
		stats->nr_level[i] = atomic_long_read(&owner->nr_level[i]);
	stats->nr_page_backed = atomic_long_read(&owner->nr_page_backed);
	stats->records = som_records_now(owner);
	stats->max_records = som_records_max(owner);
}

/**
 * som_inode_disinherit - Release the inherited files of an owner
 * @owner: owner without mappings
 * Context: Process context; the file system is mounted.
 */
void som_inode_disinherit(struct som_owner *owner)
{
	struct som_inherited_file *inherited, *next;

	list_for_each_entry_safe(inherited, next, &owner->inherited_files, list) {
		iput(inherited->inode);
		kfree(inherited);
	}
}
