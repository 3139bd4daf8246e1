// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of owners and of users, and the charge that every unit has.
 *
 * An owner is its user's who made it: the real user ID at its first mmap. It stays
 * so if the process becomes somebody else.
 *
 * som_users_lock guards the table of users; it is the innermost lock but those of
 * the pool. The counts are atomic: whoever comes over a limit takes back what it has
 * added, so a charge can be refused, for a moment, that would have fitted.
 */
#include <linux/cred.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>
#include <linux/xarray.h>
#include "account.h"
#include "pool.h"

/* One user: all the owners with the same user ID. */
struct som_user {
	atomic_long_t units;
	unsigned long nr_owners;	/* under som_users_lock */
	kuid_t uid;
};

static DEFINE_XARRAY(som_users);
static DEFINE_MUTEX(som_users_lock);

unsigned long som_limit_owner = SOM_NO_LIMIT;
unsigned long som_limit_user = SOM_NO_LIMIT;

/**
 * som_limit_parse - a limit, in words
 * @text: "max" or a number of units
 * @limit: where it goes
 *
 * Return: 0 or -errno, and @limit is as it was.
 */
int som_limit_parse(const char *text, unsigned long *limit)
{
	unsigned long value;
	int ret;

	if (sysfs_streq(text, "max")) {
		WRITE_ONCE(*limit, SOM_NO_LIMIT);
		return 0;
	}
	ret = kstrtoul(text, 0, &value);
	if (!ret)
		WRITE_ONCE(*limit, value);
	return ret;
}

/**
 * som_limit_print - the opposite of som_limit_parse()
 * @buf: a page
 * @limit: the limit
 *
 * Return: length of the text.
 */
int som_limit_print(char *buf, unsigned long limit)
{
	return limit == SOM_NO_LIMIT ? sysfs_emit(buf, "max\n") :
				       sysfs_emit(buf, "%lu\n", limit);
}

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
MODULE_PARM_DESC(limit_owner, "units that one process may have promised or in use (default max)");
module_param_cb(limit_user, &limit_ops, &som_limit_user, 0644);
MODULE_PARM_DESC(limit_user, "units that all processes of one user may have promised or in use (default max)");

/**
 * som_account_alloc - make an account with nothing charged, of the current user
 *
 * Context: Process context.
 * Return: the account, with a reference, or NULL.
 */
struct som_account *som_account_alloc(void)
{
	struct som_account *account;
	kuid_t uid = current_uid();
	struct som_user *user;
	int ret = 0;

	account = kzalloc(sizeof(*account), GFP_KERNEL_ACCOUNT);
	if (!account)
		return NULL;
	refcount_set(&account->refs, 1);
	account->max = SOM_NO_LIMIT;

	mutex_lock(&som_users_lock);
	user = xa_load(&som_users, __kuid_val(uid));
	if (!user) {
		user = kzalloc(sizeof(*user), GFP_KERNEL);
		ret = user ? xa_insert(&som_users, __kuid_val(uid), user,
				       GFP_KERNEL) : -ENOMEM;
		if (ret) {
			kfree(user);
			goto out;
		}
		user->uid = uid;
	}
	user->nr_owners++;
	account->user = user;
out:
	mutex_unlock(&som_users_lock);
	if (!ret)
		return account;
	kfree(account);
	return NULL;
}

/**
 * som_account_get - take a reference to an account
 * @account: the account, to which the caller has a reference
 *
 * Context: Any.
 * Return: the account.
 */
struct som_account *som_account_get(struct som_account *account)
{
	refcount_inc(&account->refs);
	return account;
}

/**
 * som_account_put - give a reference to an account back
 * @account: the account; with the last reference, nothing is charged to it
 *
 * Context: Process context.
 */
void som_account_put(struct som_account *account)
{
	struct som_user *user = account->user;

	if (!refcount_dec_and_test(&account->refs))
		return;
	WARN_ON_ONCE(atomic_long_read(&account->units));
	mutex_lock(&som_users_lock);
	if (!--user->nr_owners) {
		xa_erase(&som_users, __kuid_val(user->uid));
		kfree(user);
	}
	mutex_unlock(&som_users_lock);
	kfree(account);
}

/**
 * som_account_uid - whose account it is
 * @account: the account
 *
 * Return: the user ID as the initial user namespace has it.
 */
unsigned int som_account_uid(const struct som_account *account)
{
	return from_kuid_munged(&init_user_ns, account->user->uid);
}

/**
 * som_account_lower - lower an account's own limit
 * @account: the account
 * @max: units that it may be charged from now on, if that is less than before
 *
 * What it has been charged already stays.
 *
 * Context: Process context; mmap_lock is held for write.
 */
void som_account_lower(struct som_account *account, unsigned long max)
{
	if (max < account->max)
		WRITE_ONCE(account->max, max);
}

static bool charge_count(atomic_long_t *count, unsigned long nr_units,
			 unsigned long limit)
{
	unsigned long sum = atomic_long_add_return(nr_units, count);

	if (sum <= limit)
		return true;
	atomic_long_sub(nr_units, count);
	return false;
}

/**
 * som_account_charge - charge units
 * @account: whose
 * @nr_units: how many
 *
 * Context: Process context.
 * Return: true, or false (and nothing is changed) if a limit would be exceeded, or
 * the pool cannot promise as many.
 */
bool som_account_charge(struct som_account *account, unsigned long nr_units)
{
	unsigned long limit = min(READ_ONCE(account->max),
				  READ_ONCE(som_limit_owner));

	if (!charge_count(&account->units, nr_units, limit))
		return false;
	if (!charge_count(&account->user->units, nr_units,
			  READ_ONCE(som_limit_user)))
		goto out_owner;
	if (som_pool_charge(nr_units))
		return true;
	atomic_long_sub(nr_units, &account->user->units);
out_owner:
	atomic_long_sub(nr_units, &account->units);
	return false;
}

/**
 * som_account_uncharge - take charges back
 * @account: whose
 * @nr_units: how many units, each charged before
 *
 * Context: Process context.
 */
void som_account_uncharge(struct som_account *account, unsigned long nr_units)
{
	if (!nr_units)
		return;
	som_pool_uncharge(nr_units);
	atomic_long_sub(nr_units, &account->user->units);
	atomic_long_sub(nr_units, &account->units);
}
