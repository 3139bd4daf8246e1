/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who may have how much: an owner's units are charged to the owner, to its user and
 * to the pool, at reservation, all or none.
 */
#ifndef _SOM_ACCOUNT_H
#define _SOM_ACCOUNT_H

#include <linux/atomic.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include "pool.h"

struct som_cgroup;
struct som_user;
struct task_struct;

/**
 * struct som_account - what an owner has been charged
 * @refs: its owner, and chunks that hold units for it: what is charged stays with the
 *	user, whatever becomes of the owner.
 * @units: units reserved, in use, kept or held.
 * @quarantined: units of those that the pool holds, as they may be pinned.
 * @payer: for the pool, to tell that it does not hold them any more.
 * @max: the owner's own limit; it is lowered only.
 * @mmap_max: what it will be if an mmap succeeds that is going on.
 * @mmap_task: who is in that mmap, or NULL.
 * @user: the user who has it.
 * @pool: whose chunks its units are in: of the user that is charged last.
 * @cgroup: the cgroup that is charged (cgroup.c), or NULL.
 */
struct som_account {
	refcount_t refs;
	atomic_long_t units;
	atomic_long_t quarantined;
	struct som_quarantine_charge payer;
	unsigned long max;
	unsigned long mmap_max;
	const struct task_struct *mmap_task;
	struct som_user *user;
	struct som_pool_user *pool;
	struct som_cgroup *cgroup;
};

/**
 * enum som_extra - what a user has that is limited beside units
 * @SOM_EXTRA_PAGE_BACKED: units that are page-backed (page_backed.c).
 * @SOM_EXTRA_PARCELS: parcels (parcel.c).
 * @SOM_EXTRAS: how many kinds there are.
 */
enum som_extra {
	SOM_EXTRA_PAGE_BACKED,
	SOM_EXTRA_PARCELS,
	SOM_EXTRAS,
};

/**
 * enum som_lack - why units cannot be charged
 * @SOM_LACK_NONE: they can.
 * @SOM_LACK_OWNER: the limit of a process, or its own.
 * @SOM_LACK_USER: the limit of a user.
 * @SOM_LACK_CGROUP: the limit of a cgroup.
 * @SOM_LACK_POOL: the pool cannot reservation as many.
 */
enum som_lack {
	SOM_LACK_NONE,
	SOM_LACK_OWNER,
	SOM_LACK_USER,
	SOM_LACK_CGROUP,
	SOM_LACK_POOL,
};

/**
 * struct som_shortage - what there is too little of
 * @kind: the first limit that is in the way.
 * @units: how many units too few; all that were asked for, if it is the pool.
 * @user: with SOM_LACK_USER, whose limit; it lives as long as the account.
 * @cgroup: the same with SOM_LACK_CGROUP.
 */
struct som_shortage {
	enum som_lack kind;
	unsigned long units;
	const struct som_user *user;
	const struct som_cgroup *cgroup;
};

extern unsigned long som_limit_owner;
extern unsigned long som_limit_user;

struct som_account *som_account_alloc(void);
struct som_account *som_account_get(struct som_account *account);
void som_account_put(struct som_account *account);
void som_account_lower(struct som_account *account, unsigned long max);
void som_account_mmap_begin(struct som_account *account, unsigned long max);
void som_account_mmap_end(struct som_account *account, bool mapped);
bool som_account_try(struct som_account *account, unsigned long nr_units,
		     struct som_shortage *lack);
bool som_account_charge(struct som_account *account, unsigned long nr_units);
void som_account_uncharge(struct som_account *account, unsigned long nr_units);
bool som_account_transfer(struct som_account *from, struct som_account *to,
			  unsigned long nr_units, struct som_shortage *lack);
void som_account_return(struct som_account *from, struct som_account *to,
			unsigned long nr_units);
void som_account_quarantine(struct som_account *account, const unsigned long *units,
			    unsigned int nr);
bool som_account_counts(const struct som_account *account,
			const struct som_shortage *lack);
bool som_account_charge_extra(struct som_account *account,
			      enum som_extra which, unsigned long max);
void som_account_uncharge_extra(struct som_account *account,
				enum som_extra which);
unsigned int som_account_uid(const struct som_account *account);

#endif /* _SOM_ACCOUNT_H */
