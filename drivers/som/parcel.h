/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Parcels: units between two owners.
 */
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

/** define SOM_PARCEL_MAX_UNITS - indices of a parcel: 4 TiB. */
#define SOM_PARCEL_MAX_UNITS	BIT(21)

/**
 * struct som_parcel - units that have left one owner, for another
 * @id: unique number.
 * @file: the only file; the parcel's life is the file's.
 * @lock: guards everything from @units to @pinned; below owner->lock.
 * @tables: index in the parcel -> entry, with nothing but a unit number.
 * @claimed: a bit for each index: somebody has claimed it.
 * @nr_left: indices that nobody has claimed.
 * @nr_units: units in @units. Each has a charge of @account.
 * @pinned: when some of the units came, their chunks had a pin.
 * @size: indices in all.
 * @phase: page offset, within a GiB, of the addresses that were packed.
 * @account: who pays, with a reference.
 * @pid: the process that has packed it, for people.
 * @wait: who polls.
 * @settings: how a claim maps, as the file did that it was packed through.
 * @packing: the PACK that is under way; NULL when anybody else knows the file.
 */
struct som_parcel {
	unsigned long id;
	struct file *file;
	struct mutex lock;	/* guards units to pinned */
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
 * struct som_packing - a PACK that is under way
 * @parcel: where the units go.
 * @owner: whose they are.
 * @task: who packs.
 * @start: first address.
 * @end: address behind the last.
 * @delta: what makes a unit index of the VMA that is being closed one of the parcel.
 * @active: the mapping of one of them goes right now; under owner->lock.
 * @done: the VMAs were closed: the units are the parcel's.
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
 * struct som_claim - a part of a parcel that somebody is about to have
 * @parcel: the parcel.
 * @first: first index in it.
 * @nr: indices.
 * @nr_units: how many of them have units; set by som_parcel_claim_begin().
 */
struct som_claim {
	struct som_parcel *parcel;
	unsigned long first;
	unsigned long nr;
	unsigned long nr_units;
};

extern unsigned long som_max_parcels;

/**
 * som_packing_vma - set how unit indices of a VMA become those of the parcel
 * @packing: the PACK
 * @vma: a VMA in its range, whose units are at addresses that are multiples of 2 MiB
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
