/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Limits: an owner's units are charged to the owner, its user, its cgroup and the pool when
 * they are reserved, to all or to none.
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
 * struct som_account - charges of an owner
 * @refs: the owner, and one per quarantined unit: the user stays charged after the owner is
 *	gone.
 * @units: units reserved, used, cached or quarantined.
 * @quarantined: units of @units that are quarantined.
 * @payer: called by the pool when a quarantine ends.
 * @max: the owner's own limit; it only decreases.
 * @mmap_max: limit requested by the mmap in progress.
 * @mmap_task: task in that mmap, or NULL.
 * @user: the owner's user.
 * @pool: user of the pool that has its chunks: the topmost parent of @user.
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
 * enum som_extra - resources with a limit per user, besides units
 * @SOM_EXTRA_PAGE_BACKED: page-backed units (page_backed.c).
 * @SOM_EXTRA_PARCELS: parcels (parcel.c).
 * @SOM_EXTRAS: number of resources.
 */
enum som_extra {
	SOM_EXTRA_PAGE_BACKED,
	SOM_EXTRA_PARCELS,
	SOM_EXTRAS,
};

/**
 * enum som_lack - reason why units cannot be charged
 * @SOM_LACK_NONE: they can.
 * @SOM_LACK_OWNER: limit per process (limit_owner), or the owner's own.
 * @SOM_LACK_USER: limit of a user.
 * @SOM_LACK_CGROUP: limit of a cgroup.
 * @SOM_LACK_POOL: the pool cannot reserve that many.
 */
enum som_lack {
	SOM_LACK_NONE,
	SOM_LACK_OWNER,
	SOM_LACK_USER,
	SOM_LACK_CGROUP,
	SOM_LACK_POOL,
};

/**
 * struct som_shortage - description of a failed charge
 * @kind: first limit that does not allow the charge.
 * @units: units in excess of it; all requested units for SOM_LACK_POOL.
 * @user: with SOM_LACK_USER, the limit's user; valid while the account is.
 * @cgroup: the same for SOM_LACK_CGROUP.
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
void som_account_quarantine(struct som_account *account, const som_unit_t *units,
			    unsigned int nr);
bool som_account_counts(const struct som_account *account,
			const struct som_shortage *lack);
bool som_account_charge_extra(struct som_account *account,
			      enum som_extra which, unsigned long max);
void som_account_uncharge_extra(struct som_account *account,
				enum som_extra which);
unsigned int som_account_uid(const struct som_account *account);

#endif /* _SOM_ACCOUNT_H */
