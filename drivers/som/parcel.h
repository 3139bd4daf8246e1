/* SPDX-License-Identifier: GPL-2.0 */
/* Parcels: units on their way from one owner to another. */
#ifndef _SOM_PARCEL_H
#define _SOM_PARCEL_H

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/mm.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>
#include "policy.h"
#include "range.h"
#include "tables.h"

struct file;
struct iov_iter;
struct pid;
struct som_account;
struct som_owner;
struct task_struct;
struct vm_area_struct;

/** define SOM_PARCEL_MAX_UNITS - maximum indices of a parcel: 4 TiB. */
#define SOM_PARCEL_MAX_UNITS	BIT(21)

/**
 * struct som_parcel - units that have left one owner and not yet reached the next
 * @id: unique number.
 * @file: the only file; the parcel is freed with it.
 * @lock: guards @tables to @pinned; below owner->lock.
 * @tables: index in the parcel -> entry, which holds only a unit number.
 * @claimed: bitmap of claimed indices.
 * @nr_left: unclaimed indices.
 * @nr_units: units in @tables. Each is charged to @account.
 * @pinned: a chunk was pinned when its units arrived.
 * @size: number of indices.
 * @phase: page offset of the packed addresses within 1 GiB.
 * @account: account charged; a reference.
 * @pid: process that has packed it, for display.
 * @wait: wait queue of poll().
 * @settings: settings for claims, copied from the file used to pack it.
 * @packing: PACK in progress; NULL once the file is visible to others.
 */
struct som_parcel {
	unsigned long id;
	struct file *file;
	struct mutex lock;	/* guards tables to pinned */
	struct som_tables tables;
	unsigned long *claimed;
	unsigned long nr_left;
	unsigned long nr_units;
	bool pinned;
	unsigned long size;
	unsigned long phase;
	struct som_account *account;
	struct pid *pid;
	wait_queue_head_t wait;
	struct som_settings settings;
	struct som_packing *packing;
};

/**
 * struct som_packing - PACK in progress
 * @parcel: destination.
 * @owner: owner of the units.
 * @task: calling task.
 * @start: first address.
 * @end: end address, exclusive.
 * @delta: parcel index minus unit index, for the VMA being closed.
 * @active: a mapping of the range is being removed; under owner->lock.
 * @done: the VMAs are closed, and the units belong to the parcel.
 */
struct som_packing {
	struct som_parcel *parcel;
	struct som_owner *owner;
	const struct task_struct *task;
	unsigned long start;
	unsigned long end;
	unsigned long delta;
	bool active;
	bool done;
};

/**
 * struct som_claim - part of a parcel that is being claimed
 * @parcel: parcel.
 * @first: first index.
 * @nr: number of indices.
 * @nr_units: number of these with units; set by som_parcel_claim_begin().
 */
struct som_claim {
	struct som_parcel *parcel;
	unsigned long first;
	unsigned long nr;
	unsigned long nr_units;
};

extern unsigned long som_max_parcels;

/**
 * som_packing_vma - Set the delta for a VMA
 * @packing: the PACK
 * @vma: VMA in its range, whose units are at addresses that are multiples of 2 MiB
 */
static inline void som_packing_vma(struct som_packing *packing,
				   const struct vm_area_struct *vma)
{
	unsigned long addr = ALIGN_DOWN(vma->vm_start, SOM_UNIT_SIZE);

	packing->delta = (long)(addr - packing->start) / (long)SOM_UNIT_SIZE -
			 som_pgoff_index(vma->vm_pgoff);
}

struct som_parcel *som_parcel_alloc(struct som_owner *owner, unsigned long size,
				    const struct som_settings *settings);
void som_parcel_publish(struct som_parcel *parcel);
void som_parcel_free(struct som_parcel *parcel);
int som_parcel_prepare(struct som_packing *packing, unsigned long first,
		       unsigned long last);
unsigned long som_parcel_take(struct som_packing *packing,
			      unsigned long first, unsigned long last);
bool som_parcel_claimed(struct som_parcel *parcel, unsigned long first,
			unsigned long nr);
int som_parcel_claim_begin(struct som_claim *claim, struct som_tables *units,
			   unsigned long to);
void som_parcel_claim_end(struct som_claim *claim, struct som_tables *units,
			  unsigned long to, unsigned long bits);
void som_parcel_claim_abort(struct som_claim *claim);
ssize_t som_parcel_copy(struct som_parcel *parcel, unsigned long pos,
			size_t len, struct iov_iter *to);
bool som_parcel_migrate(struct som_parcel *parcel, unsigned long chunk);
struct som_parcel *som_parcel_next(unsigned long id);
unsigned long som_parcel_units(void);

#endif /* _SOM_PARCEL_H */
