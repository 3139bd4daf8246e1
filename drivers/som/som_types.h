/* SPDX-License-Identifier: GPL-2.0 */
/* Structures of an owner that the layers from here on share. */
#ifndef _SOM_TYPES_H
#define _SOM_TYPES_H

#include <linux/atomic.h>
#include <linux/interval_tree.h>
#include <linux/list.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include "account.h"
#include "cache.h"
#include "dirty_log.h"
#include "range.h"
#include "tables.h"

struct file;
struct inode;
struct mm_struct;
struct pid;
struct som_packing;
struct som_remap;
struct task_struct;
struct vm_area_struct;

/**
 * struct som_cow - copy-on-write state of an owner (cow.c)
 * @lock: held to copy units of this owner for a child; guards @children.
 * @children: links to owners that inherited from this one.
 * @parents: links to owners that this one inherited from; made by fork, and when a parent
 *	passes a unit on.
 * @parents_lock: guards @parents, as several parents may exit at the same time.
 * @has_child: another owner inherited from this one. Never cleared.
 * @inherited: this owner inherited something. Never cleared.
 * @pending: unit index -> link, of inherited units that were not copied yet; SOM_LOST if
 *	the data is lost.
 * @parts: unit index -> inherited pages, for units in @pending inherited in part.
 */
struct som_cow {
	struct mutex lock;	/* guards children */
	struct list_head children;
	struct list_head parents;
	spinlock_t parents_lock;	/* guards parents */
	bool has_child;
	bool inherited;
	struct xarray pending;
	struct xarray parts;
};

/** define SOM_ZAP_PARTS - concurrent partial MADV_DONTNEEDs of one owner. */
#define SOM_ZAP_PARTS	16

/**
 * struct som_zap_marker - a zap in progress
 * @list: in the owner's markers.
 * @task: the task that zaps; NULL for an unused part.
 * @start: of a part: first address.
 * @end: of a part: end address, exclusive.
 */
struct som_zap_marker {
	struct list_head list;
	struct task_struct *task;
	unsigned long start;
	unsigned long end;
};

/**
 * struct som_zaps - in-flight zaps whose invalidations the MMU notifier ignores
 * @lock: guards the other members.
 * @markers: zaps in progress.
 * @parts: markers of MADV_DONTNEED, which starts and ends in separate notifier calls.
 * @wait: waiters for an unused marker of @parts.
 */
struct som_zaps {
	spinlock_t lock;	/* guards markers and parts */
	struct list_head markers;
	struct som_zap_marker parts[SOM_ZAP_PARTS];
	wait_queue_head_t wait;
};

/** define SOM_FAULT_LOCKS - locks that serialise faults on one unit index. */
#define SOM_FAULT_LOCKS	16

/**
 * define SOM_MAX_ALIASES - maximum number of mappings of one page offset.
 *
 * mremap from length 0 adds one. Removing a mapping walks the others of its units, so
 * without a limit, removing all would take quadratic time.
 */
#define SOM_MAX_ALIASES	64

/**
 * enum som_level - how a unit is mapped
 * @SOM_LEVEL_NONE: not mapped yet.
 * @SOM_LEVEL_4K: by 4 KiB entries.
 * @SOM_LEVEL_2M: by one 2 MiB entry.
 * @SOM_LEVEL_1G: by one 1 GiB entry, with all other units of its chunk.
 * @SOM_LEVELS: number of levels.
 */
enum som_level {
	SOM_LEVEL_NONE,
	SOM_LEVEL_4K,
	SOM_LEVEL_2M,
	SOM_LEVEL_1G,
	SOM_LEVELS,
};

/**
 * struct som_listed - a member of the list of all owners
 * @list: link.
 * @owner: the owner; NULL for the position of a walk (struct som_owner_walk).
 */
struct som_listed {
	struct list_head list;
	struct som_owner *owner;
};

/**
 * struct som_owner - one process's address space and its memory
 * @mm: the address space; the structure is referenced, not its users.
 * @file: pseudo file, vm_file of every mapping; the owner lives as long as it.
 * @hash: link in the table of owners (inode.c).
 * @listed: link in the list of owners (inode.c).
 * @id: unique number.
 * @pid: the process, for display; changed under @mapping_lock.
 * @lock: guards @mappings, @reserved and its tree, @cursor, @mapped_pages, and every
 *	removal from @tables, except by a fault that failed.
 * @pud_lock: serialises 1 GiB faults; taken before @lock.
 * @mapping_lock: taken in addition to @lock to change @mappings, so either lock is enough
 *	to read them.
 * @fault_lock: selected by unit index: guards the index's entry in @tables from its look-up
 *	until the page table entry is made.
 * @tables: unit index -> entry (entry.h).
 * @deferred_free: unit number -> entry, of discarded units that were replaced.
 * @mappings: every VMA's interval of page offsets.
 * @reserved: reserved unit indices.
 * @nr_reserved: number of reserved units.
 * @cursor: first page offset that was never allotted.
 * @floor: first page offset that no child inherited.
 * @mapped_pages: pages in all VMAs.
 * @nr_mappings: number of @mappings.
 * @nr_files: references to @file held by open files of /dev/som.
 * @may_alias: mremap was used: page offsets may be mapped more than once.
 * @nr_level: number of units, by level.
 * @nr_page_backed: number of page-backed units.
 * @dirty_log: tracking state.
 * @notified: @mn is registered, as there are private mappings. Never cleared.
 * @discards: there are, or were, units discarded or zeroed in part. Never cleared.
 * @mn: reports MADV_DONTNEED (discard.c).
 * @zaps: zaps that @mn ignores.
 * @discard_work: frees discarded units.
 * @collapse_work: frees page tables that may no longer be needed.
 * @account: its charges.
 * @cache: units that it released and caches.
 * @cow: copy-on-write state.
 * @inherited_files: files of inherited mappings; constant after fork.
 * @remap: mapping that is about to replace others (remap.c), or NULL.
 * @packing: last PACK that can be continued, guarded by @lock; or NULL.
 */
struct som_owner {
	struct mm_struct *mm;
	struct file *file;
	struct hlist_node hash;
	struct som_listed listed;
	unsigned long id;
	struct pid *pid;
	struct mutex lock;	/* mappings, reservations, removal of units */
	struct mutex pud_lock;	/* serialises 1 GiB faults */
	spinlock_t mapping_lock;	/* mappings, to read */
	struct mutex fault_lock[SOM_FAULT_LOCKS];	/* one unit index each */
	struct som_tables tables;
	struct xarray deferred_free;
	struct rb_root_cached mappings;
	struct maple_tree reserved;
	unsigned long nr_reserved;
	unsigned long cursor;
	unsigned long floor;
	unsigned long mapped_pages;
	unsigned long nr_mappings;
	atomic_long_t nr_files;
	bool may_alias;
	atomic_long_t nr_level[SOM_LEVELS];
	atomic_long_t nr_page_backed;
	struct som_dirty_log dirty_log;
	bool notified;
	bool discards;
	struct mmu_notifier mn;
	struct som_zaps zaps;
	struct delayed_work discard_work;
	struct delayed_work collapse_work;
	struct som_account *account;
	struct som_cache cache;
	struct som_cow cow;
	struct list_head inherited_files;
	struct som_remap *remap;
	struct som_packing *packing;
};

/**
 * struct som_inherited_file - a file of inherited mappings
 * @list: in the owner's inherited_files.
 * @inode: inode of the parent's file; referenced.
 * @limit: first page offset that the owner did not inherit.
 * @file: vm_file of the mappings; valid only during fork.
 */
struct som_inherited_file {
	struct list_head list;
	struct inode *inode;
	unsigned long limit;
	struct file *file;
};

/**
 * enum som_fork - what a child inherits of a mapping
 * @SOM_FORK_NONE: nothing.
 * @SOM_FORK_COPY: the data, with a reservation.
 * @SOM_FORK_COPY_NORESERVE: the data, if the pool has memory when it is copied.
 */
enum som_fork {
	SOM_FORK_NONE,
	SOM_FORK_COPY,
	SOM_FORK_COPY_NORESERVE,
};

/**
 * struct som_mapping - the page offsets that one VMA maps
 * @it: first and last page offset, in the owner's tree.
 * @owner: owner of the memory.
 * @vma: the VMA.
 * @limit: end of the page offsets allotted to the original VMA, exclusive.
 * @reserved: all its units are reserved.
 * @dup: made by mremap: other mappings of the page offsets may exist.
 * @dup_seq: som_mm_write_seq() of that mremap.
 * @generation: how often its page offsets were moved or duplicated.
 * @cut: page offset at which the VMA was last about to be split.
 * @cut_seq: som_mm_write_seq() at that time.
 * @grown: mremap extended it when it moved it.
 * @anew: mapped at, or moved to, addresses that a scan has passed: untracked indices
 *	without memory count as written. Changed under mmap_lock for write.
 * @private: MAP_PRIVATE: MADV_DONTNEED discards.
 * @map_size: maximum bytes that one entry maps.
 * @page_backed: it stays of the kind that can be pinned for writing (vma_kind.c).
 * @reuse: units cached by the owner need not be zeroed.
 * @fork: what a child inherits.
 * @claimed: made from a parcel and unchanged since.
 * @auto_convert: units that need 4 KiB entries become page-backed (migrate.c).
 * @file: second reference to vm_file of an inherited mapping; else NULL.
 * @table: table of the last fault's entry, or NULL; valid while the mapping touches one of
 *	its indices.
 *
 * Stored in vm_private_data of the VMA.
 */
struct som_mapping {
	struct interval_tree_node it;
	struct som_owner *owner;
	struct vm_area_struct *vma;
	unsigned long limit;
	bool reserved;
	bool dup;
	unsigned int dup_seq;
	unsigned int generation;
	unsigned long cut;
	unsigned int cut_seq;
	bool grown;
	bool anew;
	bool private;
	unsigned long map_size;
	bool page_backed;
	bool reuse;
	enum som_fork fork;
	bool claimed;
	bool auto_convert;
	struct file *file;
	struct som_table *table;
};

/**
 * som_dumping - Test whether the current task is writing its core dump
 *
 * A dump reads all memory and must not populate any.
 * Return: true if it is.
 */
static inline bool som_dumping(void)
{
	return unlikely(current->flags & PF_DUMPCORE);
}

#endif /* _SOM_TYPES_H */
