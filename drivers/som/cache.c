// SPDX-License-Identifier: GPL-2.0
/*
 * Recycling: an owner's released units stay with it, up to a limit, and are what it
 * gets first when it needs one.
 *
 * A kept unit is in nobody's page table or TLB, as one that goes to the pool; it is "used"
 * to the pool and charged to its owner. It has bytes of that owner and is zeroed
 * before the owner maps it again, unless the file says otherwise (policy.c). To
 * anybody else it goes through the pool alone. Memory that is pinned is not
 * kept: the pool knows how to wait for the pin.
 *
 * Whoever shrinks or compacts the pool makes all owners give up what they keep; whoever
 * cannot be charged, as much of it as is lacking (som_cache_charge()). Apart from
 * that, what an owner keeps above a watermark goes at a rate. The end of a process does
 * not tell: an owner lives as long as a file that it has mapped through. So as long as
 * anything is kept, somebody looks now and then whose process is gone.
 *
 * som_cache_lock guards the list of owners that have kept something. It is taken under
 * owner->lock; below it are the xarrays and the locks of the pool and the account.
 *
 * What is kept was seen not to be pinned when nothing mapped it any more, so it is not
 * pinned when it goes to the pool.
 */
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include "account.h"
#include "cache.h"
#include "pool.h"

/* How often owners give up what is above the watermark, in milliseconds. */
#define SOM_RELEASE_MS	100
/* How often a charge is tried: each limit may be in the way, and others take, too. */
#define SOM_DRAIN_TRIES	8
/* How soon after its process an owner gives up everything, in milliseconds. */
#define SOM_REAP_MS	500

unsigned long som_cache_max;
module_param_named(cache_max, som_cache_max, ulong, 0444);
MODULE_PARM_DESC(cache_max, "units that a process keeps at most for itself when it has released them (default 0)");
unsigned long som_cache_low;
unsigned long som_release_rate;

static LIST_HEAD(som_cache_list);
static DEFINE_MUTEX(som_cache_lock);
static atomic_long_t som_cache_nr;

static void som_release_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(release_work, som_release_work);

/**
 * som_cache_init - nothing is kept
 * @cache: what an owner keeps
 * @account: the owner's account
 * @mm: the owner's address space
 */
void som_cache_init(struct som_cache *cache, struct som_account *account,
		    struct mm_struct *mm)
{
	xa_init_flags(&cache->units, XA_FLAGS_ACCOUNT);
	atomic_long_set(&cache->nr, 0);
	INIT_LIST_HEAD(&cache->list);
	cache->account = account;
	cache->mm = mm;
}

/* Has the owner's process not ended? */
static bool in_use(const struct som_cache *cache)
{
	return atomic_read(&cache->mm->mm_users);
}

static void queue_release(void)
{
	queue_delayed_work(system_unbound_wq, &release_work,
			   msecs_to_jiffies(READ_ONCE(som_release_rate) ?
					    SOM_RELEASE_MS : SOM_REAP_MS));
}

/* So many more units are kept. */
static void count(struct som_cache *cache, int nr)
{
	atomic_long_add(nr, &cache->nr);
	som_pool_keep(cache->account->pool, nr);
	atomic_long_add(nr, &som_cache_nr);
}

/* Take any unit out; -ENOENT if there is none. */
static long cache_take(struct som_cache *cache)
{
	unsigned long unit = 0;
	long ret = -ENOENT;

	xa_lock(&cache->units);
	if (xa_find(&cache->units, &unit, ULONG_MAX, XA_PRESENT)) {
		__xa_erase(&cache->units, unit);
		ret = unit;
	}
	xa_unlock(&cache->units);
	if (ret >= 0)
		count(cache, -1);
	return ret;
}

/* Give up to nr units to the pool; how many there were. */
static unsigned long give_up(struct som_cache *cache, unsigned long nr)
{
	unsigned long done;
	long unit;

	for (done = 0; done < nr; done++) {
		unit = cache_take(cache);
		if (unit < 0)
			break;
		som_pool_free(unit);
		som_account_uncharge(cache->account, 1);
		cond_resched();
	}
	return done;
}

/**
 * som_cache_destroy - the end of an owner: it keeps nothing any more
 * @cache: what it has kept
 *
 * Context: Process context.
 */
void som_cache_destroy(struct som_cache *cache)
{
	mutex_lock(&som_cache_lock);
	list_del_init(&cache->list);
	mutex_unlock(&som_cache_lock);
	give_up(cache, ULONG_MAX);
	xa_destroy(&cache->units);
}

/**
 * som_cache_keep - keep a unit that was released, if there is room for it
 * @cache: what its owner keeps
 * @unit: unit number, which no page table and no TLB knows
 * @charged: the unit has a charge that nothing else needs: it takes it along
 *
 * Context: Process context.
 * Return: true, or false if it is to go to the pool.
 */
bool som_cache_keep(struct som_cache *cache, unsigned long unit,
		    bool charged)
{
	if (atomic_long_read(&cache->nr) >= READ_ONCE(som_cache_max) ||
	    !in_use(cache) || som_pool_pinned(unit) ||
	    som_pool_poisoned(unit) ||
	    (!charged && !som_account_charge(cache->account, 1)))
		return false;
	/* Before it can be found, so that the counts do not go below 0. */
	count(cache, 1);
	if (xa_err(xa_store(&cache->units, unit, xa_mk_value(1), GFP_KERNEL))) {
		count(cache, -1);
		if (!charged)
			som_account_uncharge(cache->account, 1);
		return false;
	}
	if (list_empty_careful(&cache->list)) {
		mutex_lock(&som_cache_lock);
		if (list_empty(&cache->list))
			list_add_tail(&cache->list, &som_cache_list);
		mutex_unlock(&som_cache_lock);
	}
	queue_release();
	return true;
}

/**
 * som_cache_take - a unit that its owner has kept
 * @cache: what it keeps
 *
 * The charge of the kept unit goes; the caller has one for what it is to be.
 *
 * Context: Process context.
 * Return: unit number, with the owner's bytes; or -ENOENT.
 */
long som_cache_take(struct som_cache *cache)
{
	long unit;

	if (!atomic_long_read(&cache->nr))
		return -ENOENT;
	unit = cache_take(cache);
	if (unit >= 0)
		som_account_uncharge(cache->account, 1);
	return unit;
}

/**
 * som_cache_drain - all owners give up what they keep
 *
 * Context: Process context.
 * Return: true if there was any.
 */
bool som_cache_drain(void)
{
	struct som_cache *cache;
	unsigned long nr = 0;

	if (!atomic_long_read(&som_cache_nr))
		return false;
	mutex_lock(&som_cache_lock);
	list_for_each_entry(cache, &som_cache_list, list)
		nr += give_up(cache, ULONG_MAX);
	mutex_unlock(&som_cache_lock);
	return nr;
}

/* Does it help an account that lacks something if an owner gives up what it keeps? */
static bool helps(const struct som_cache *cache,
		  const struct som_account *account,
		  const struct som_shortage *lack)
{
	switch (lack->kind) {
	case SOM_LACK_OWNER:
		return cache->account == account;
	case SOM_LACK_USER:
	case SOM_LACK_CGROUP:
		return som_account_counts(cache->account, lack);
	case SOM_LACK_POOL:
		return som_pool_same_user(cache->account->pool, account->pool);
	default:
		return false;
	}
}

/*
 * Units that an account gets, at most, if everybody gives up what helps: its own user,
 * and users who have nothing but what they keep, all of whose chunks become free. What
 * anybody else keeps is in chunks that stay theirs.
 */
static unsigned long could_give(const struct som_account *account)
{
	unsigned long nr = som_pool_cached(account->pool);
	struct som_cache *cache;

	lockdep_assert_held(&som_cache_lock);

	list_for_each_entry(cache, &som_cache_list, list) {
		if (!som_pool_same_user(cache->account->pool, account->pool))
			nr += som_pool_idle_units(cache->account->pool);
	}
	return nr;
}

/* Have such users give up all of it until the account has room for some units. */
static unsigned long drain_idle(const struct som_account *account,
				unsigned long units)
{
	struct som_cache *cache;
	unsigned long nr = 0;

	lockdep_assert_held(&som_cache_lock);

	list_for_each_entry(cache, &som_cache_list, list) {
		if (som_pool_room(account->pool) >= units)
			break;
		if (!som_pool_same_user(cache->account->pool, account->pool) &&
		    som_pool_idle_units(cache->account->pool))
			nr += give_up(cache, ULONG_MAX);
	}
	return nr;
}

/* Give up what an account lacks, where that helps; false if there is nothing. */
static bool drain_for(const struct som_account *account,
		      const struct som_shortage *lack)
{
	unsigned long room = 0, nr = 0, want;
	struct som_cache *cache;

	if (lack->kind == SOM_LACK_POOL)
		room = som_pool_room(account->pool);
	/* For a moment there was too little of it. */
	if (room >= lack->units)
		return true;
	want = lack->units - room;
	mutex_lock(&som_cache_lock);
	/* Nobody gives anything up for what cannot be had. */
	if (want > (lack->kind == SOM_LACK_POOL ? could_give(account) :
						  som_cache_total()))
		goto out;
	list_for_each_entry(cache, &som_cache_list, list) {
		if (nr == want)
			break;
		if (helps(cache, account, lack))
			nr += give_up(cache, want - nr);
	}
	if (lack->kind == SOM_LACK_POOL && nr < want)
		nr += drain_idle(account, lack->units);
out:
	mutex_unlock(&som_cache_lock);
	return nr;
}

/**
 * som_cache_charge - charge units, at the cost of what owners keep
 * @account: whose
 * @nr_units: how many
 *
 * Where a limit is in the way, only those give up something whose units count against
 * it: the owner itself, or the owners of its user. If the pool is, the owners of its
 * user do, and those of users who have nothing else (could_give()).
 *
 * Context: Process context.
 * Return: as som_account_charge().
 */
bool som_cache_charge(struct som_account *account, unsigned long nr_units)
{
	struct som_shortage lack;
	unsigned int i;

	if (!nr_units)
		return true;
	for (i = 0; i < SOM_DRAIN_TRIES; i++) {
		if (som_account_try(account, nr_units, &lack))
			return true;
		if (!drain_for(account, &lack))
			break;
	}
	return false;
}

/**
 * som_cache_transfer - move charges to an account, at the cost of what owners keep
 * @from: as som_account_transfer()
 * @to: as som_account_transfer()
 * @nr_units: how many
 *
 * Context: Process context.
 * Return: as som_account_transfer().
 */
bool som_cache_transfer(struct som_account *from, struct som_account *to,
			unsigned long nr_units)
{
	struct som_shortage lack;
	unsigned int i;

	for (i = 0; i < SOM_DRAIN_TRIES; i++) {
		if (som_account_transfer(from, to, nr_units, &lack))
			return true;
		if (!drain_for(to, &lack))
			break;
	}
	return false;
}

/**
 * som_cache_total - how many units owners keep
 *
 * Return: number of units.
 */
unsigned long som_cache_total(void)
{
	return atomic_long_read(&som_cache_nr);
}

/* What is above the watermark goes, as the rate allows; and all of who is gone. */
static void som_release_work(struct work_struct *work)
{
	unsigned long rate = READ_ONCE(som_release_rate);
	unsigned long low = READ_ONCE(som_cache_low), max, nr;
	static unsigned long parts;	/* of a unit, in thousandths */
	struct som_cache *cache;

	parts += min(rate, 1000000UL) * SOM_RELEASE_MS;
	max = parts / 1000;
	parts %= 1000;
	mutex_lock(&som_cache_lock);
	list_for_each_entry(cache, &som_cache_list, list) {
		nr = atomic_long_read(&cache->nr);
		if (!in_use(cache))
			give_up(cache, ULONG_MAX);
		else if (nr > low)
			give_up(cache, min(nr - low, max));
	}
	mutex_unlock(&som_cache_lock);
	if (atomic_long_read(&som_cache_nr))
		queue_release();
}

/**
 * som_cache_changed - somebody has changed a limit, the watermark or the rate
 *
 * Context: Process context.
 */
void som_cache_changed(void)
{
	struct som_cache *cache;
	unsigned long max, nr;

	mutex_lock(&som_cache_lock);
	max = READ_ONCE(som_cache_max);
	list_for_each_entry(cache, &som_cache_list, list) {
		nr = atomic_long_read(&cache->nr);
		if (nr > max)
			give_up(cache, nr - max);
	}
	mutex_unlock(&som_cache_lock);
	if (READ_ONCE(som_release_rate))
		queue_delayed_work(system_unbound_wq, &release_work, 0);
}

/**
 * som_cache_exit - the end of the module
 *
 * Context: Module unload; no owner is left, and nobody can change the rate.
 */
void som_cache_exit(void)
{
	cancel_delayed_work_sync(&release_work);
}
