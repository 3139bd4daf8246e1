// SPDX-License-Identifier: GPL-2.0
/*
 * The leaves of an owner's units.
 *
 * A leaf is made by the first fault in it, and goes when no span touches any of its
 * indices (som_units_prune(), under owner->lock, under which spans come and go). So
 * who has a span at an index, and keeps it, may keep the pointer to its slot;
 * everybody else looks under RCU.
 *
 * Slots are changed by xchg and cmpxchg. Who is to change which is told in entry.h.
 */
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include "units.h"

/*
 * Leaves that are looked at in one RCU section: an owner may have millions, and whoever waits
 * for RCU's grace period is somebody else.
 */
#define SOM_RCU_LEAVES	64

static struct kmem_cache *som_leaf_cache;

/**
 * som_units_module_init - make what all owners share
 *
 * Context: Module load.
 * Return: 0 or -ENOMEM.
 */
int som_units_module_init(void)
{
	som_leaf_cache = KMEM_CACHE(som_leaf, SLAB_ACCOUNT);
	return som_leaf_cache ? 0 : -ENOMEM;
}

/**
 * som_units_module_exit - the opposite of som_units_module_init()
 *
 * Context: Module unload; no owner is left.
 */
void som_units_module_exit(void)
{
	rcu_barrier();
	kmem_cache_destroy(som_leaf_cache);
}

static void free_leaf(struct rcu_head *rcu)
{
	kmem_cache_free(som_leaf_cache, container_of(rcu, struct som_leaf, rcu));
}

/**
 * som_units_init - no entries
 * @units: the entries
 */
void som_units_init(struct som_units *units)
{
	xa_init_flags(&units->leaves, XA_FLAGS_ACCOUNT);
	atomic_long_set(&units->nr_leaves, 0);
}

/**
 * som_units_destroy - the end of an owner's entries
 * @units: the entries; nobody looks at them any more
 *
 * Context: Process context.
 * Return: true if there were none, as it should be.
 */
bool som_units_destroy(struct som_units *units)
{
	struct som_leaf *leaf;
	unsigned long nr, idx = 0;
	bool empty = !som_units_find(units, &idx, ULONG_MAX);

	xa_for_each(&units->leaves, nr, leaf)
		kmem_cache_free(som_leaf_cache, leaf);
	xa_destroy(&units->leaves);
	return empty;
}

static struct som_leaf *find_leaf(struct som_units *units, unsigned long idx)
{
	return xa_load(&units->leaves, idx / SOM_LEAF_UNITS);
}

/**
 * som_units_slot - where the entry of an index is, or would be
 * @units: the entries
 * @idx: unit index
 *
 * Context: RCU; or the caller keeps a span that touches the index.
 * Return: the place, or NULL if there is none yet.
 */
void **som_units_slot(struct som_units *units, unsigned long idx)
{
	struct som_leaf *leaf = find_leaf(units, idx);

	return leaf ? &leaf->entry[idx % SOM_LEAF_UNITS] : NULL;
}

/**
 * som_units_leaf - the leaf of an index, made if need be
 * @units: the entries
 * @idx: unit index
 *
 * Context: Process context; the caller keeps a span that touches the index.
 * Return: the leaf, or NULL without memory for it.
 */
struct som_leaf *som_units_leaf(struct som_units *units, unsigned long idx)
{
	struct som_leaf *leaf = find_leaf(units, idx), *other;

	if (leaf)
		return leaf;
	leaf = kmem_cache_zalloc(som_leaf_cache, GFP_KERNEL);
	if (!leaf)
		return NULL;
	leaf->nr = idx / SOM_LEAF_UNITS;
	other = xa_cmpxchg(&units->leaves, leaf->nr, NULL, leaf, GFP_KERNEL);
	if (!other) {
		atomic_long_inc(&units->nr_leaves);
		return leaf;
	}
	kmem_cache_free(som_leaf_cache, leaf);
	return xa_is_err(other) ? NULL : other;
}

/**
 * som_units_find_leaf - find the leaf of an index
 * @units: the entries
 * @idx: unit index
 *
 * Context: The caller knows why the leaf stays.
 * Return: the leaf, or NULL if there is none yet.
 */
struct som_leaf *som_units_find_leaf(struct som_units *units, unsigned long idx)
{
	return find_leaf(units, idx);
}

/**
 * som_units_load - the entry of an index
 * @units: the entries
 * @idx: unit index
 *
 * Context: Any.
 * Return: the entry, or NULL.
 */
void *som_units_load(struct som_units *units, unsigned long idx)
{
	void **slot, *entry = NULL;

	rcu_read_lock();
	slot = som_units_slot(units, idx);
	if (slot)
		entry = READ_ONCE(*slot);
	rcu_read_unlock();
	return entry;
}

/**
 * som_units_change - replace an entry if it is what it is thought to be
 * @units: the entries
 * @idx: unit index
 * @old: the entry that is expected
 * @new: what it shall be
 *
 * Context: Any.
 * Return: the entry as it was: @old if it was changed.
 */
void *som_units_change(struct som_units *units, unsigned long idx, void *old,
		       void *new)
{
	void **slot, *was = NULL;

	rcu_read_lock();
	slot = som_units_slot(units, idx);
	if (slot)
		was = cmpxchg(slot, old, new);
	rcu_read_unlock();
	return was;
}

/**
 * som_units_erase - take an entry out
 * @units: the entries
 * @idx: unit index
 *
 * Context: Any.
 * Return: the entry, or NULL.
 */
void *som_units_erase(struct som_units *units, unsigned long idx)
{
	void **slot, *was = NULL;

	rcu_read_lock();
	slot = som_units_slot(units, idx);
	if (slot)
		was = xchg(slot, NULL);
	rcu_read_unlock();
	return was;
}

/*
 * The next leaf that has indices from *i on; *i becomes the first of those. What this one needs
 * is done within RCU, and after so many of them RCU is left: see pause_rcu().
 */
static struct som_leaf *next_leaf(struct som_units *units, unsigned long *i,
				  unsigned long last)
{
	unsigned long nr = *i / SOM_LEAF_UNITS;
	struct som_leaf *leaf;

	if (*i > last)
		return NULL;
	leaf = xa_find(&units->leaves, &nr, last / SOM_LEAF_UNITS, XA_PRESENT);
	if (leaf)
		*i = max(*i, nr * SOM_LEAF_UNITS);
	return leaf;
}

/* The last index of the leaf that an index is in, or @last. */
static unsigned long leaf_last(unsigned long i, unsigned long last)
{
	return min(last, i | (SOM_LEAF_UNITS - 1));
}

/* A leaf has been looked at. */
static void pause_rcu(unsigned int *nr)
{
	if (++*nr % SOM_RCU_LEAVES)
		return;
	rcu_read_unlock();
	cond_resched();
	rcu_read_lock();
}

/**
 * som_units_next_leaf - find the next leaf that has some indices
 * @units: the entries
 * @idx: first index to look for, and where the first one that the leaf has goes
 * @last: last unit index
 * @end: where the last one that the leaf has goes, at most @last
 *
 * For loops over many entries that a function call for each would slow down.
 *
 * Context: The caller knows why the leaves stay.
 * Return: the leaf, or NULL if there is none.
 */
struct som_leaf *som_units_next_leaf(struct som_units *units,
				     unsigned long *idx, unsigned long last,
				     unsigned long *end)
{
	struct som_leaf *leaf;

	rcu_read_lock();
	leaf = next_leaf(units, idx, last);
	rcu_read_unlock();
	if (leaf)
		*end = leaf_last(*idx, last);
	return leaf;
}

static bool take_hint(struct som_leaf *leaf, enum som_hint hint)
{
	return test_bit(hint, &leaf->hints) &&
	       test_and_clear_bit(hint, &leaf->hints);
}

/**
 * som_units_take - take many entries out
 * @units: the entries
 * @idx: first unit index, and where the index behind the last that was looked
 *	at goes
 * @last: last unit index
 * @entries: where they go
 * @nr: how many at most
 *
 * Context: Process context; may sleep.
 * Return: how many; fewer than @nr if there are no more.
 */
unsigned int som_units_take(struct som_units *units, unsigned long *idx,
			    unsigned long last, void **entries, unsigned int nr)
{
	unsigned int taken = 0, leaves = 0;
	unsigned long i = *idx, end;
	struct som_leaf *leaf;

	rcu_read_lock();
	while (taken < nr && (leaf = next_leaf(units, &i, last))) {
		end = leaf_last(i, last);
		for (; i <= end && taken < nr; i++) {
			void **slot = &leaf->entry[i % SOM_LEAF_UNITS];

			if (READ_ONCE(*slot))
				entries[taken++] = xchg(slot, NULL);
		}
		pause_rcu(&leaves);
	}
	rcu_read_unlock();
	*idx = i;
	return taken;
}

/* @hint: an enum som_hint, or -1. */
static void *find(struct som_units *units, unsigned long *idx,
		  unsigned long last, int hint)
{
	unsigned long i = *idx, end;
	unsigned int leaves = 0;
	struct som_leaf *leaf;
	void *entry = NULL;

	cond_resched();
	rcu_read_lock();
	while ((leaf = next_leaf(units, &i, last))) {
		end = leaf_last(i, last);
		/* In the midst of a leaf its hint has been taken already. */
		if (hint >= 0 && i % SOM_LEAF_UNITS == 0 &&
		    !take_hint(leaf, hint))
			i = end + 1;
		for (; i <= end && !entry; i++)
			entry = READ_ONCE(leaf->entry[i % SOM_LEAF_UNITS]);
		if (entry)
			break;
		pause_rcu(&leaves);
	}
	rcu_read_unlock();
	if (entry)
		*idx = i - 1;
	return entry;
}

/**
 * som_units_find - the next entry
 * @units: the entries
 * @idx: where to begin, and where its index goes if there is one
 * @last: last unit index
 *
 * Context: Process context; may sleep.
 * Return: the entry, or NULL.
 */
void *som_units_find(struct som_units *units, unsigned long *idx,
		     unsigned long last)
{
	return find(units, idx, last, -1);
}

/**
 * som_units_find_hinted - the next entry in a leaf with a hint
 * @units: the entries
 * @idx: where to begin, and where its index goes if there is one
 * @last: last unit index
 * @hint: which hint
 *
 * To be called from the first index of a leaf on to the end of it: the hint goes at
 * the beginning, and comes back if som_units_hint() is called meanwhile.
 *
 * Context: Process context; may sleep.
 * Return: the entry, or NULL.
 */
void *som_units_find_hinted(struct som_units *units, unsigned long *idx,
			    unsigned long last, enum som_hint hint)
{
	return find(units, idx, last, hint);
}

/**
 * som_units_take_hint - the next leaf with a hint, which is taken away
 * @units: the entries
 * @idx: unit index to begin with, and where the first one of the leaf goes
 * @hint: which hint
 *
 * Context: Process context; may sleep.
 * Return: true if there is one.
 */
bool som_units_take_hint(struct som_units *units, unsigned long *idx,
			 enum som_hint hint)
{
	unsigned int leaves = 0;
	struct som_leaf *leaf;
	bool found = false;

	rcu_read_lock();
	while ((leaf = next_leaf(units, idx, ULONG_MAX))) {
		found = take_hint(leaf, hint);
		if (found)
			break;
		*idx = leaf_last(*idx, ULONG_MAX) + 1;
		pause_rcu(&leaves);
	}
	rcu_read_unlock();
	return found;
}

/**
 * som_units_hint - somebody should look at an entry
 * @units: the entries
 * @idx: index of the entry, which was changed before
 * @hint: why
 *
 * Context: Any.
 */
void som_units_hint(struct som_units *units, unsigned long idx,
		    enum som_hint hint)
{
	struct som_leaf *leaf;

	rcu_read_lock();
	leaf = find_leaf(units, idx);
	if (leaf)
		set_bit(hint, &leaf->hints);
	rcu_read_unlock();
}

/**
 * som_units_prune - free the leaves of some indices
 * @units: the entries; there are none in those leaves, and none can come
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; owner->lock is held.
 */
void som_units_prune(struct som_units *units, unsigned long first,
		     unsigned long last)
{
	struct som_leaf *leaf;
	unsigned long nr;

	xa_for_each_range(&units->leaves, nr, leaf, first / SOM_LEAF_UNITS,
			  last / SOM_LEAF_UNITS) {
		xa_erase(&units->leaves, nr);
		atomic_long_dec(&units->nr_leaves);
		call_rcu(&leaf->rcu, free_leaf);
		cond_resched();
	}
}
