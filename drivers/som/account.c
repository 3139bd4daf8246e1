// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of owners, of users and of cgroups (cgroup.c), and the charge of every unit.
 *
 * An owner belongs to the user that made it: the real user ID at its first mmap. It stays
 * so if the process changes its user ID. A user exists while it has accounts.
 *
 * Any process can get more user IDs by creating a user namespace. So the units of a user
 * namespace also count against the limit of its creator, up to the initial namespace, as in
 * kernel/ucount.c:
 *
 *	UID 100000, in a namespace made by UID 1000  ->  UID 1000
 *
 * Namespaces made by root of the initial namespace are containers. Such a namespace is a
 * user of its own: its limit applies to all users in it together, and root is not charged.
 *
 * The pool gives no chunk to two users. Its users are the topmost ones: UID 1000 with its
 * namespaces, or a container.
 *
 * som_charge_lock makes a charge all or nothing: no counter shows a charge that is refused
 * later, so a charge is refused only if it does not fit. The pool's commit_lock nests
 * inside. Uncharging does not take it, as the counters are atomic. som_users_lock guards
 * the table of users. Both are spinlocks that nest inside all the driver's mutexes and
 * chunk->lock.
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/hashtable.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>
#include "account.h"
#include "cgroup.h"
#include "pool.h"

/**
 * struct som_user - one user
 * @hash: link in the table of users.
 * @refs: accounts and child users.
 * @parent: user that is charged too, with a reference; or NULL.
 * @uid: user ID; INVALID_UID for a user namespace.
 * @ns: user namespace made by root, with a reference; or NULL.
 * @units: units of its owners and of all users below it.
 * @extra: charges by enum som_extra, counted like @units.
 * @pool: its chunks; unused if it has a @parent.
 */
struct som_user {
	struct hlist_node hash;
	refcount_t refs;
	struct som_user *parent;
	kuid_t uid;
	struct user_namespace *ns;
	atomic_long_t units;
	atomic_long_t extra[SOM_EXTRAS];
	struct som_pool_user pool;
};

static DEFINE_HASHTABLE(som_users, 6);
static DEFINE_SPINLOCK(som_users_lock);
static DEFINE_SPINLOCK(som_charge_lock);

unsigned long som_limit_owner = SOM_NO_LIMIT;
unsigned long som_limit_user = SOM_NO_LIMIT;

static int limit_set(const char *text, const struct kernel_param *kp)
{
	return som_limit_parse(text, kp->arg);
}

static int limit_get(char *buf, const struct kernel_param *kp)
{
	return som_limit_print(buf, READ_ONCE(*(unsigned long *)kp->arg));
}

static const struct kernel_param_ops limit_ops = {
	.set = limit_set,
	.get = limit_get,
};

module_param_cb(limit_owner, &limit_ops, &som_limit_owner, 0644);
MODULE_PARM_DESC(limit_owner, "limit of units reserved or in use per process (default max)");
module_param_cb(limit_user, &limit_ops, &som_limit_user, 0644);
MODULE_PARM_DESC(limit_user, "limit of units reserved or in use by all processes of a user (default max)");

/* Find a user by parent, namespace and user ID, and take a reference. */
static struct som_user *lookup_user(const struct som_user *like)
{
	struct som_user *user;

	lockdep_assert_held(&som_users_lock);

	hash_for_each_possible(som_users, user, hash, __kuid_val(like->uid)) {
		if (user->parent != like->parent || user->ns != like->ns ||
		    !uid_eq(user->uid, like->uid))
			continue;
		refcount_inc(&user->refs);
		return user;
	}
	return NULL;
}

/* Drop a reference. If it was the last, remove the user from the table and return true. */
static bool user_unref(struct som_user *user)
{
	bool last;

	spin_lock(&som_users_lock);
	last = refcount_dec_and_test(&user->refs);
	if (last)
		hash_del(&user->hash);
	spin_unlock(&som_users_lock);
	return last;
}

static void account_put_user(struct som_user *user)
{
	struct som_user *parent;

	while (user && user_unref(user)) {
		WARN_ON_ONCE(atomic_long_read(&user->units) ||
			     user->pool.commit.claim);
		if (user->ns)
			put_user_ns(user->ns);
		parent = user->parent;
		kfree(user);
		user = parent;
	}
}

/*
 * Find or create a user. Consumes the reference to @parent. Return: the user with a
 * reference; NULL without memory.
 */
static struct som_user *make_user(struct som_user *parent, kuid_t uid,
				  struct user_namespace *ns)
{
	struct som_user *new, *user;

	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new) {
		account_put_user(parent);
		return NULL;
	}
	refcount_set(&new->refs, 1);
	new->parent = parent;
	new->uid = uid;
	new->ns = ns;
	new->pool.uid = from_kuid_munged(&init_user_ns, ns ? ns->owner : uid);
	spin_lock(&som_users_lock);
	user = lookup_user(new);
	if (!user) {
		if (ns)
			get_user_ns(ns);
		hash_add(som_users, &new->hash, __kuid_val(uid));
		swap(user, new);
	}
	spin_unlock(&som_users_lock);
	if (new) {
		/* The existing user has its own reference to the parent. */
		account_put_user(parent);
		kfree(new);
	}
	return user;
}

static struct user_namespace *ns_at_level(struct user_namespace *ns, int level)
{
	while (ns->level > level)
		ns = ns->parent;
	return ns;
}

/* Return the user of the current process with a reference; NULL without memory. */
static struct som_user *current_som_user(void)
{
	struct user_namespace *ns = current_user_ns(), *at;
	struct som_user *user = NULL;
	int level;

	for (level = 1; level <= ns->level; level++) {
		at = ns_at_level(ns, level);
		if (uid_eq(at->owner, GLOBAL_ROOT_UID))
			user = make_user(user, INVALID_UID, at);
		else if (!user || !uid_eq(user->uid, at->owner))
			user = make_user(user, at->owner, NULL);
		if (!user)
			return NULL;
	}
	if (user && uid_eq(user->uid, current_uid()))
		return user;
	return make_user(user, current_uid(), NULL);
}

/* Return the number of units by which a charge would exceed a limit. */
static unsigned long excess(const atomic_long_t *count, unsigned long nr_units,
			    unsigned long limit)
{
	unsigned long sum = size_add(atomic_long_read(count), nr_units);

	return sum > limit ? sum - limit : 0;
}

/* Test whether a charge would exceed the limit of a user or of a parent. */
static bool over_limit(const struct som_user *user, unsigned long nr_units,
		       struct som_shortage *lack)
{
	for (; user; user = user->parent) {
		lack->units = excess(&user->units, nr_units,
				     READ_ONCE(som_limit_user));
		lack->user = user;
		if (lack->units)
			return true;
	}
	return false;
}

static bool over_cgroup(const struct som_cgroup *cg, unsigned long nr_units,
			struct som_shortage *lack)
{
	lack->cgroup = som_cgroup_over(cg, nr_units, &lack->units);
	return lack->cgroup;
}

static void user_add(struct som_user *user, unsigned long nr_units)
{
	lockdep_assert_held(&som_charge_lock);

	for (; user; user = user->parent)
		atomic_long_add(nr_units, &user->units);
}

static void user_sub(struct som_user *user, unsigned long nr_units)
{
	for (; user; user = user->parent)
		atomic_long_sub(nr_units, &user->units);
}

static void account_gone(struct som_quarantine_charge *payer, unsigned int nr_units);

/* Return the user that has the chunks: the topmost one. */
static struct som_pool_user *user_pool(struct som_user *user)
{
	while (user->parent)
		user = user->parent;
	return &user->pool;
}

/**
 * som_account_alloc - Allocate an account of the current user
 * Context: Process context.
 * Return: the account with a reference and no charges; NULL without memory.
 */
struct som_account *som_account_alloc(void)
{
	struct som_account *account;

	account = kzalloc(sizeof(*account), GFP_KERNEL_ACCOUNT);
	if (!account)
		return NULL;
	refcount_set(&account->refs, 1);
	account->payer.gone = account_gone;
	account->max = SOM_NO_LIMIT;
	account->cgroup = som_cgroup_current();
	if (IS_ERR(account->cgroup))
		goto out_free;
	account->user = current_som_user();
	if (account->user) {
		account->pool = user_pool(account->user);
		return account;
	}
	som_cgroup_put(account->cgroup);
out_free:
	kfree(account);
	return NULL;
}

/**
 * som_account_get - Take a reference to an account
 * @account: account
 * Context: Any.
 * Return: @account.
 */
struct som_account *som_account_get(struct som_account *account)
{
	refcount_inc(&account->refs);
	return account;
}

static void account_put(struct som_account *account, unsigned int refs)
{
	if (!refcount_sub_and_test(refs, &account->refs))
		return;
	WARN_ON_ONCE(atomic_long_read(&account->units));
	account_put_user(account->user);
	som_cgroup_put(account->cgroup);
	kfree(account);
}

/**
 * som_account_put - Drop a reference to an account
 * @account: account; has no charges if this is the last reference
 * Context: Process context; spinlocks may be held.
 */
void som_account_put(struct som_account *account)
{
	account_put(account, 1);
}

/* Release charges except the pool's. */
static void uncharge_counts(struct som_account *account, unsigned long nr_units)
{
	user_sub(account->user, nr_units);
	som_cgroup_sub(account->cgroup, nr_units);
	atomic_long_sub(nr_units, &account->units);
}

/* The quarantine of some units has ended: see som_account_quarantine(). */
static void account_gone(struct som_quarantine_charge *payer, unsigned int nr_units)
{
	struct som_account *account = container_of(payer, struct som_account,
						   payer);

	uncharge_counts(account, nr_units);
	atomic_long_sub(nr_units, &account->quarantined);
	account_put(account, nr_units);
}

/**
 * som_account_quarantine - Quarantine units that may be pinned
 * @account: their account; each unit stays charged until its quarantine ends, which may be
 *	after the owner is gone
 * @units: unit numbers
 * @nr: number of units
 * Context: Process context; as som_pool_quarantine_units().
 */
void som_account_quarantine(struct som_account *account, const som_unit_t *units,
			    unsigned int nr)
{
	/* Dropped by account_gone(). */
	refcount_add(nr, &account->refs);
	atomic_long_add(nr, &account->quarantined);
	som_pool_quarantine_units(units, nr, &account->payer);
}

/**
 * som_account_uid - Return the user ID of an account
 * @account: account
 * Context: Process context.
 * Return: user ID in the current user namespace.
 */
unsigned int som_account_uid(const struct som_account *account)
{
	return from_kuid_munged(current_user_ns(), account->user->uid);
}

/**
 * som_account_counts - Test whether an account's units count against a limit
 * @account: account
 * @lack: the limit: of a user or of a cgroup
 * Context: Any.
 * Return: true if they do.
 */
bool som_account_counts(const struct som_account *account,
			const struct som_shortage *lack)
{
	const struct som_user *user;

	if (lack->kind == SOM_LACK_CGROUP)
		return som_cgroup_within(account->cgroup, lack->cgroup);
	for (user = account->user; user; user = user->parent)
		if (user == lack->user)
			return true;
	return false;
}

/**
 * som_account_lower - Lower an account's own limit
 * @account: account
 * @max: new limit in units; no effect unless lower
 *
 * Existing charges stay, even above the limit.
 * Context: Process context; mmap_lock is held for write.
 */
void som_account_lower(struct som_account *account, unsigned long max)
{
	if (max < account->max)
		WRITE_ONCE(account->max, max);
}

/**
 * som_account_mmap_begin - Apply a limit for the duration of an mmap
 * @account: account
 * @max: limit in units
 *
 * Only the current task is subject to it, as the mmap may fail and must then change
 * nothing.
 * Context: Process context; hold mmap_lock for write until som_account_mmap_end().
 */
void som_account_mmap_begin(struct som_account *account, unsigned long max)
{
	account->mmap_max = max;
	WRITE_ONCE(account->mmap_task, current);
}

/**
 * som_account_mmap_end - Keep or drop the limit of som_account_mmap_begin()
 * @account: account
 * @mapped: true if the mmap succeeded: the limit stays
 * Context: as som_account_mmap_begin().
 */
void som_account_mmap_end(struct som_account *account, bool mapped)
{
	WRITE_ONCE(account->mmap_task, NULL);
	if (mapped)
		som_account_lower(account, account->mmap_max);
}

/* The owner's limit that the current task is subject to. */
static unsigned long owner_limit(const struct som_account *account)
{
	unsigned long limit = min(READ_ONCE(account->max),
				  READ_ONCE(som_limit_owner));

	return READ_ONCE(account->mmap_task) == current ?
		min(limit, account->mmap_max) : limit;
}

/* Charge units without checking for pins that are gone. */
static bool try_charge(struct som_account *account, unsigned long nr_units,
		       struct som_shortage *lack)
{
	unsigned long limit = owner_limit(account);

	spin_lock(&som_charge_lock);
	lack->kind = SOM_LACK_NONE;
	lack->units = excess(&account->units, nr_units, limit);
	if (lack->units) {
		lack->kind = SOM_LACK_OWNER;
	} else if (over_limit(account->user, nr_units, lack)) {
		lack->kind = SOM_LACK_USER;
	} else if (over_cgroup(account->cgroup, nr_units, lack)) {
		lack->kind = SOM_LACK_CGROUP;
	} else if (!som_pool_charge(account->pool, nr_units)) {
		lack->kind = SOM_LACK_POOL;
		lack->units = nr_units;
	} else {
		atomic_long_add(nr_units, &account->units);
		user_add(account->user, nr_units);
		som_cgroup_add(account->cgroup, nr_units);
	}
	spin_unlock(&som_charge_lock);
	return lack->kind == SOM_LACK_NONE;
}

/**
 * som_account_try - Charge units and report why if that fails
 * @account: account
 * @nr_units: number of units
 * @lack: set to the limit that does not allow the charge
 *
 * Ends quarantines whose pins are gone before it fails.
 * Context: Process context.
 * Return: as som_account_charge().
 */
bool som_account_try(struct som_account *account, unsigned long nr_units,
		     struct som_shortage *lack)
{
	return try_charge(account, nr_units, lack) ||
	       (som_pool_look() && try_charge(account, nr_units, lack));
}

/**
 * som_account_charge - Charge units
 * @account: account
 * @nr_units: number of units
 * Context: Process context.
 * Return: true; false if a limit would be exceeded or the pool cannot reserve that many:
 * nothing is changed.
 */
bool som_account_charge(struct som_account *account, unsigned long nr_units)
{
	struct som_shortage lack;

	return som_account_try(account, nr_units, &lack);
}

/**
 * som_account_uncharge - Release charges
 * @account: account
 * @nr_units: number of units, all charged before
 * Context: Process context.
 */
void som_account_uncharge(struct som_account *account, unsigned long nr_units)
{
	if (!nr_units)
		return;
	som_pool_uncharge(account->pool, nr_units);
	uncharge_counts(account, nr_units);
}

/* Test whether a transfer exceeds a limit that does not count the units already. */
static bool over_others(const struct som_account *from,
			const struct som_account *to, unsigned long nr_units,
			struct som_shortage *lack)
{
	lack->kind = SOM_LACK_USER;
	if (over_limit(to->user, nr_units, lack) &&
	    !som_account_counts(from, lack))
		return true;
	lack->kind = SOM_LACK_CGROUP;
	return over_cgroup(to->cgroup, nr_units, lack) &&
	       !som_account_counts(from, lack);
}

static void transfer(struct som_account *from, struct som_account *to,
		     unsigned long nr_units)
{
	lockdep_assert_held(&som_charge_lock);

	user_sub(from->user, nr_units);
	user_add(to->user, nr_units);
	som_cgroup_sub(from->cgroup, nr_units);
	som_cgroup_add(to->cgroup, nr_units);
	atomic_long_sub(nr_units, &from->units);
	atomic_long_add(nr_units, &to->units);
}

/**
 * som_account_transfer - Move charges to another account
 * @from: account that has the charges
 * @to: account that gets them; may be the same
 * @nr_units: number of units
 * @lack: set to the limit that does not allow it
 *
 * The units stay reserved in the pool, so no other owner can take them in between. Both
 * accounts must be of one user (som_pool_same_user()): as no chunk has units of two users,
 * another user needs copies with charges of its own.
 * Context: Process context.
 * Return: true; false if a limit of @to would be exceeded or the users differ: nothing is
 * changed.
 */
bool som_account_transfer(struct som_account *from, struct som_account *to,
			  unsigned long nr_units, struct som_shortage *lack)
{
	bool fits;

	if (from == to || !nr_units)
		return true;
	lack->kind = SOM_LACK_NONE;
	lack->units = nr_units;
	if (!som_pool_same_user(from->pool, to->pool))
		return false;
	spin_lock(&som_charge_lock);
	lack->units = excess(&to->units, nr_units, owner_limit(to));
	fits = !lack->units;
	if (!fits)
		lack->kind = SOM_LACK_OWNER;
	else
		fits = !over_others(from, to, nr_units, lack);
	if (fits)
		transfer(from, to, nr_units);
	spin_unlock(&som_charge_lock);
	return fits;
}

/**
 * som_account_return - Undo som_account_transfer()
 * @from: account that gave the charges
 * @to: account that received them
 * @nr_units: number of units
 * Context: Process context.
 */
void som_account_return(struct som_account *from, struct som_account *to,
			unsigned long nr_units)
{
	if (from == to || !nr_units)
		return;
	spin_lock(&som_charge_lock);
	transfer(to, from, nr_units);
	spin_unlock(&som_charge_lock);
}

/**
 * som_account_charge_extra - Charge one item of a limited resource to a user
 * @account: account of the user
 * @which: resource
 * @max: limit per user
 * Context: Process context; spinlocks may be held.
 * Return: true; false if the user, or a parent, has @max: nothing is changed.
 */
bool som_account_charge_extra(struct som_account *account,
			      enum som_extra which, unsigned long max)
{
	struct som_user *user;
	bool ok = true;

	spin_lock(&som_charge_lock);
	for (user = account->user; user && ok; user = user->parent)
		ok = !excess(&user->extra[which], 1, max);
	for (user = account->user; user && ok; user = user->parent)
		atomic_long_inc(&user->extra[which]);
	spin_unlock(&som_charge_lock);
	return ok;
}

/**
 * som_account_uncharge_extra - Undo som_account_charge_extra()
 * @account: account of the user
 * @which: resource
 * Context: Any.
 */
void som_account_uncharge_extra(struct som_account *account,
				enum som_extra which)
{
	struct som_user *user;

	for (user = account->user; user; user = user->parent)
		atomic_long_dec(&user->extra[which]);
}
