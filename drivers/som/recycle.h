/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Units that an owner has released and keeps for itself.
 */
#ifndef _SOM_RECYCLE_H
#define _SOM_RECYCLE_H

#include <linux/list.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct mm_struct;
struct som_account;

/**
 * struct som_recycle - the units that an owner keeps
 * @units: unit number -> anything.
 * @nr: how many.
 * @list: link in the list of all owners that have kept some.
 * @account: the owner's, which they are charged to.
 * @mm: the owner's address space, which the owner has a reference to.
 */
struct som_recycle {
	struct xarray units;
	atomic_long_t nr;
	struct list_head list;
	struct som_account *account;
	struct mm_struct *mm;
};

extern unsigned long som_recycle_max;
extern unsigned long som_recycle_low;
extern unsigned long som_release_rate;

void som_recycle_init(struct som_recycle *recycle, struct som_account *account,
		      struct mm_struct *mm);
void som_recycle_destroy(struct som_recycle *recycle);
bool som_recycle_keep(struct som_recycle *recycle, unsigned long unit,
		      bool charged);
long som_recycle_take(struct som_recycle *recycle);
bool som_recycle_drain(void);
bool som_recycle_transfer(struct som_account *from, struct som_account *to,
			  unsigned long nr_units);
bool som_recycle_charge(struct som_account *account, unsigned long nr_units);
unsigned long som_recycle_total(void);
void som_recycle_changed(void);
void som_recycle_exit(void);

/**
 * som_recycle_on - do owners keep units at all?
 *
 * Return: true if so.
 */
static inline bool som_recycle_on(void)
{
	return READ_ONCE(som_recycle_max);
}

#endif /* _SOM_RECYCLE_H */
