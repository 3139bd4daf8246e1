/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an owner is made of: the structures that the files from here on share.
 */
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
 * struct som_cow - what an owner has inherited, and what others have from it
 * @lock: held to copy units of this owner for a child, and to change @children.
 * @children: links to owners that have inherited from this one.
 * @parents: links to owners that this one has inherited from; made by fork, and by a
 *	parent that goes.
 * @parents_lock: guards @parents; several parents may go at a time.
 * @has_child: something was inherited from this owner. Stays.
 * @inherited: this owner has inherited something. Stays.
 * @pending: unit index -> link, of units that this owner has inherited and that
 *	were not copied yet; SOM_LOST where the bytes could not be kept.
 * @parts: unit index -> pages that were inherited, of units in @pending of which that is
 *	not all.
 */
struct som_cow {
	struct mutex lock;	/* copying, and children */
	struct list_head children;
	struct list_head parents;
	spinlock_t parents_lock;	/* parents */
	bool has_child;
	bool inherited;
	struct xarray pending;
	struct xarray parts;
};

/** define SOM_ZAP_PARTS - partial MADV_DONTNEED of one owner under way at a time. */
#define SOM_ZAP_PARTS	16

/**
 * struct som_zap_marker - a zap that is under way
 * @list: in the owner's markers.
 * @task: by whom; NULL if a part is not used.
 * @start: of a part: first address.
 * @end: of a part: address behind the last.
 */
struct som_zap_marker {
	struct list_head list;
	struct task_struct *task;
	unsigned long start;
	unsigned long end;
};

/**
 * struct som_zaps - zaps whose further invalidations the MMU notifier ignores
 * @lock: guards all others.
 * @markers: those under way.
 * @parts: markers of MADV_DONTNEED, which begin and end in two calls of the notifier.
 * @wait: for one of @parts that is not used.
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
 * define SOM_MAX_ALIASES - mappings that a page offset can have.
 *
 * mremap from length 0 makes another one. Without a bound, every walk through the mappings of
 * a unit, and there is one for each of them that goes, would cost by their number.
 */
#define SOM_MAX_ALIASES	64

/**
 * enum som_level - how a unit is mapped
 * @SOM_LEVEL_NONE: not yet.
 * @SOM_LEVEL_4K: by 4 KiB entries.
 * @SOM_LEVEL_2M: by one 2 MiB entry.
 * @SOM_LEVEL_1G: by one 1 GiB entry, with all other units of its chunk.
 * @SOM_LEVELS: how many there are.
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
 * @owner: whose it is, or NULL: a walk is here (struct som_owner_walk).
 */
struct som_listed {
	struct list_head list;
	struct som_owner *owner;
};

/**
 * struct som_owner - one process's address space and what it holds
 * @mm: the address space; its structure, not its users, is referenced.
 * @file: the pseudo file in vm_file of every mapping; its life is the owner's.
 * @hash: link in the table of owners (inode.c).
 * @listed: link in the list of owners (inode.c).
 * @id: unique number.
 * @pid: the process, for people; changed under @mapping_lock.
 * @lock: guards @mappings, @reserved and its tree, @cursor, @mapped_pages, and
 *	every removal from @tables.
 * @pud_lock: one 1 GiB fault at a time; taken before @lock.
 * @mapping_lock: taken beside @lock to change @mappings, so that it alone, too, keeps
 *	them as they are.
 * @fault_lock: taken by the hash of a unit index: guards the index's entry
 *	in @tables from its look-up until it is in the page table.
 * @tables: unit index -> entry (entry.h).
 * @deferred_free: unit number -> entry, of discarded units that were replaced.
 * @mappings: every VMA's interval of page offsets.
 * @reserved: unit indices that are reserved.
 * @nr_reserved: how many.
 * @cursor: first page offset behind all that are given out.
 * @floor: first page offset that no child has inherited.
 * @mapped_pages: pages in all VMAs.
 * @nr_mappings: how many are in @mappings.
 * @nr_files: references to @file that open files of /dev/som have.
 * @may_alias: mremap was used: page offsets may be mapped twice.
 * @nr_level: units held, by how they are mapped.
 * @nr_page_backed: units held that are page-backed.
 * @dirty_log: what is tracked.
 * @notified: @mn is registered: there are private mappings. Stays.
 * @discards: there are, or were, discarded units, or units zeroed in part. Stays.
 * @mn: tells of MADV_DONTNEED (discard.c).
 * @zaps: zaps that @mn is not to mind.
 * @discard_work: releases what was discarded.
 * @collapse_work: takes page tables out that may not be needed any more.
 * @account: what it has been charged.
 * @cache: units that it has released and keeps.
 * @cow: what it has inherited, and what others have from it.
 * @inherited_files: files of mappings that it has inherited; made by fork, and then fixed.
 * @remap: a mapping that is about to replace others (remap.c), or NULL.
 * @packing: the last PACK that has found that it can go on, under @lock; or NULL.
 */
struct som_owner {
	struct mm_struct *mm;
	struct file *file;
	struct hlist_node hash;
	struct som_listed listed;
	unsigned long id;
	struct pid *pid;
	struct mutex lock;	/* mappings, reservations, removal of units */
	struct mutex pud_lock;	/* one chunk is taken at a time */
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
 * struct som_inherited_file - a file of mappings that an owner has inherited
 * @list: in the owner's inherited_files.
 * @inode: what is in the file of the mappings it was inherited from, too; a reference is
 *	held.
 * @limit: first page offset of it that the owner has not inherited.
 * @file: vm_file of the mappings; valid during the fork alone.
 */
struct som_inherited_file {
	struct list_head list;
	struct inode *inode;
	unsigned long limit;
	struct file *file;
};

/**
 * enum som_fork - what a child gets of a mapping
 * @SOM_FORK_NONE: nothing.
 * @SOM_FORK_COPY: the bytes, and a reservation.
 * @SOM_FORK_COPY_NORESERVE: the bytes, if the pool has the memory when it comes to it.
 */
enum som_fork {
	SOM_FORK_NONE,
	SOM_FORK_COPY,
	SOM_FORK_COPY_NORESERVE,
};

/**
 * struct som_mapping - the page offsets that one VMA maps
 * @it: first and last page offset, in the owner's tree.
 * @owner: whose.
 * @vma: the VMA.
 * @limit: first page offset behind the allotment that the VMA came from.
 * @reserved: every unit it touches is reserved.
 * @dup: it was made by mremap: there may be others for the same page offsets.
 * @dup_seq: by which holder of mmap_lock.
 * @generation: how often its page offsets were moved or duplicated.
 * @cut: page offset at which the VMA was last about to be cut.
 * @cut_seq: by which holder of mmap_lock.
 * @grown: mremap has added something to what it has moved.
 * @anew: it was mapped, or moved, to where a scan has been before: what has no memory, and
 *	is not tracked, counts as written. Changed under mmap_lock for write.
 * @private: MAP_PRIVATE: MADV_DONTNEED discards.
 * @map_size: bytes that one entry maps at most.
 * @page_backed: it is to stay of the kind that can be pinned for writing (vma.c).
 * @reuse: units that the owner has kept need not be zeroed.
 * @fork: what a child gets.
 * @claimed: it was made of a parcel, and is as it was made.
 * @auto_convert: units that need 4 KiB entries become ordinary pages (migrate.c).
 * @file: of a mapping that was inherited: its vm_file, once more; else NULL.
 * @table: where the last fault found its entry, or NULL; it stays as long as
 *	the mapping touches one of its indices.
 *
 * It is vm_private_data of the VMA.
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
 * som_dumping - is the current task writing its core dump?
 *
 * It reads all memory there is, and must not make any.
 *
 * Return: true if so.
 */
static inline bool som_dumping(void)
{
	return unlikely(current->flags & PF_DUMPCORE);
}

#endif /* _SOM_TYPES_H */
