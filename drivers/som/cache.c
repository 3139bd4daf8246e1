// SPDX-License-Identifier: GPL-2.0
/*
 * Cache of released units: an owner keeps units that it releases, up to a limit, and reuses
 * them before it takes units from the pool.
 *
 * A cached unit is in no page table or TLB. To the pool it is used, and it stays charged to
 * its owner. It has the owner's data, so it is zeroed before the owner maps it again unless
 * the file's policy says otherwise (policy.c). It reaches another owner only through the
 * pool. Units are cached only if unpinned; as nothing maps them, they are still unpinned
 * when they return to the pool.
 *
 * Cached units return to the pool when:
 * - the pool shrinks or is compacted: all;
 * - a charge fails: as many as are lacking (som_cache_charge());
 * - the cache is above the low watermark: at a limited rate;
 * - the process has ended: all. An owner may outlive its process while its file is open,
 *   and no event reports the end of the process, so a work item polls while units are
 *   cached.
 *
 * som_cache_lock guards the list of caches. It nests inside owner->lock; the xarrays' locks
 * and those of the pool and the account nest inside it.
 */
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include "account.h"
#include "cache.h"
#include "pool.h"

/* Interval at which units above the watermark are released, in milliseconds. */
#define SOM_RELEASE_MS	100
/* Attempts to charge: each may hit another limit, and other owners take freed units. */
#define SOM_DRAIN_TRIES	8
/* Interval of checks for ended processes while the release rate is 0, in milliseconds. */
#define SOM_REAP_MS	500

unsigned long som_cache_max;
module_param_named(cache_max, som_cache_max, ulong, 0444);
MODULE_PARM_DESC(cache_max, "limit of released units that a process caches for reuse (default 0)");
unsigned long som_cache_low;
unsigned long som_release_rate;

static LIST_HEAD(som_cache_list);
static DEFINE_MUTEX(som_cache_lock);
static atomic_long_t som_cache_nr;

static void som_release_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(release_work, som_release_work);

/**
 * som_cache_init - Initialise an empty cache
 * @cache: cache
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

/* Test whether the owner's process still exists. */
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

/* Add to the number of cached units; @nr may be negative. */
static void count(struct som_cache *cache, int nr)
{
	atomic_long_add(nr, &cache->nr);
	som_pool_keep(cache->account->pool, nr);
	atomic_long_add(nr, &som_cache_nr);
}

/* Remove any unit from the cache. Return: unit number; -ENOENT if it is empty. */
static som_unit_t cache_take(struct som_cache *cache)
{
	som_unit_t unit = som_unit_error(-ENOENT);
	unsigned long nr = 0;

	xa_lock(&cache->units);
	if (xa_find(&cache->units, &nr, ULONG_MAX, XA_PRESENT)) {
		__xa_erase(&cache->units, nr);
		unit = som_unit(nr);
	}
	xa_unlock(&cache->units);
	if (!som_unit_failed(unit))
		count(cache, -1);
	return unit;
}

/* Return up to @nr units to the pool. Return: number returned. */
static unsigned long give_up(struct som_cache *cache, unsigned long nr)
{
	unsigned long done;
	som_unit_t unit;

	for (done = 0; done < nr; done++) {
		unit = cache_take(cache);
		if (som_unit_failed(unit))
			break;
		som_pool_free(unit);
		som_account_uncharge(cache->account, 1);
		cond_resched();
	}
	return done;
}

/**
 * som_cache_destroy - Empty a cache when its owner is freed
 * @cache: cache
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
 * som_cache_keep - Cache a released unit if there is room
 * @cache: cache of its owner
 * @unit: unit number; no page table and no TLB has a translation of it
 * @charged: true if the unit has a charge, which it keeps in the cache
 * Context: Process context.
 * Return: true; false if the caller must return the unit to the pool.
 */
bool som_cache_keep(struct som_cache *cache, som_unit_t unit,
		    bool charged)
{
	if (atomic_long_read(&cache->nr) >= READ_ONCE(som_cache_max) ||
	    !in_use(cache) || som_pool_pinned(unit) ||
	    som_pool_poisoned(unit) ||
	    (!charged && !som_account_charge(cache->account, 1)))
		return false;
	/* Before the unit can be found, so the counters cannot become negative. */
	count(cache, 1);
	if (xa_err(xa_store(&cache->units, som_unit_nr(unit), xa_mk_value(1),
			    GFP_KERNEL))) {
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
 * som_cache_take - Take a unit from the cache
 * @cache: cache
 *
 * Releases the charge of the cached unit: the caller has its own charge.
 * Context: Process context.
 * Return: unit number, with the owner's data; -ENOENT if the cache is empty.
 */
som_unit_t som_cache_take(struct som_cache *cache)
{
	som_unit_t unit;

	if (!atomic_long_read(&cache->nr))
		return som_unit_error(-ENOENT);
	unit = cache_take(cache);
	if (!som_unit_failed(unit))
		som_account_uncharge(cache->account, 1);
	return unit;
}

/**
 * som_cache_drain - Return all cached units of all owners to the pool
 * Context: Process context.
 * Return: true if there were any.
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

/* Test whether emptying a cache helps an account that lacks something. */
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
 * Upper bound of units that the pool can give an account if caches are emptied: those of
 * its own user, and all chunks of users that have cached units only. Chunks of other users
 * stay theirs.
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

/* Empty the caches of such users until the account has room for @units. */
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

/* Empty caches to relieve a shortage. Return: false if that cannot help. */
static bool drain_for(const struct som_account *account,
		      const struct som_shortage *lack)
{
	unsigned long room = 0, nr = 0, want;
	struct som_cache *cache;

	if (lack->kind == SOM_LACK_POOL)
		room = som_pool_room(account->pool);
	/* The shortage is over already. */
	if (room >= lack->units)
		return true;
	want = lack->units - room;
	mutex_lock(&som_cache_lock);
	/* Empty no cache if that would not be enough. */
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
 * som_cache_charge - Charge units, emptying caches if necessary
 * @account: account
 * @nr_units: number of units
 *
 * If a limit does not allow the charge, only caches whose units count against it are
 * emptied. If the pool has too little, those of the account's user are, and those of users
 * that have cached units only (could_give()).
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
 * som_cache_transfer - Move charges to an account, emptying caches if necessary
 * @from: as som_account_transfer()
 * @to: as som_account_transfer()
 * @nr_units: number of units
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
 * som_cache_total - Count the cached units of all owners
 * Return: number of units.
 */
unsigned long som_cache_total(void)
{
	return atomic_long_read(&som_cache_nr);
}

/* Release units above the watermark at the set rate, and all units of ended processes. */
static void som_release_work(struct work_struct *work)
{
	unsigned long rate = READ_ONCE(som_release_rate);
	unsigned long low = READ_ONCE(som_cache_low), max, nr;
	static unsigned long parts;	/* remainder, in thousandths of a unit */
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
 * som_cache_changed - Apply a new limit, watermark or rate
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
 * som_cache_exit - Stop the release work
 * Context: Module unload; no owner is left and the rate cannot be changed.
 */
void som_cache_exit(void)
{
	cancel_delayed_work_sync(&release_work);
}
