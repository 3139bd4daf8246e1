/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The arithmetic of promises. Pure; the caller locks.
 *
 * Each unit that is promised to, or used by, an owner is committed once; a
 * unit that was released but cannot be handed out yet is withheld. It takes a
 * charge along when it becomes that. So committed + withheld never exceeds
 * total, and an owner with a promise finds a unit. The sum is
 * over the total only when memory has failed that was promised: som_commit_retire().
 */
#ifndef _SOM_COMMIT_H
#define _SOM_COMMIT_H

#include <linux/bug.h>
#include <linux/types.h>

/**
 * struct som_commit - promises of a pool, all in units
 * @total: units in the pool.
 * @committed: promised or in use.
 * @withheld: released, but not yet available.
 */
struct som_commit {
	unsigned long total;
	unsigned long committed;
	unsigned long withheld;
};

/**
 * som_commit_room - how many more units can be promised
 * @c: the promises
 *
 * Return: number of units.
 */
static inline unsigned long som_commit_room(const struct som_commit *c)
{
	unsigned long gone = c->committed + c->withheld;

	return gone < c->total ? c->total - gone : 0;
}

/**
 * som_commit_charge - promise units
 * @c: the promises
 * @n: number of units
 *
 * Return: true if there was room for all; otherwise nothing is changed.
 */
static inline bool som_commit_charge(struct som_commit *c, unsigned long n)
{
	if (n > som_commit_room(c))
		return false;
	c->committed += n;
	return true;
}

/**
 * som_commit_uncharge - take a promise back
 * @c: the promises
 * @n: number of units, at most what was charged
 */
static inline void som_commit_uncharge(struct som_commit *c, unsigned long n)
{
	if (WARN_ON_ONCE(n > c->committed))
		n = c->committed;
	c->committed -= n;
}

/**
 * som_commit_withhold - used units are released, and not available for now
 * @c: the promises
 * @n: number of units, each of which was committed until now
 */
static inline void som_commit_withhold(struct som_commit *c, unsigned long n)
{
	som_commit_uncharge(c, n);
	c->withheld += n;
}

/**
 * som_commit_restore - withheld units are available again
 * @c: the promises
 * @n: number of units, at most what was withheld
 */
static inline void som_commit_restore(struct som_commit *c, unsigned long n)
{
	if (WARN_ON_ONCE(n > c->withheld))
		n = c->withheld;
	c->withheld -= n;
}

/**
 * som_commit_retire - memory has failed: units are lost to the pool
 * @c: the promises
 * @n: number of units, none of which anybody has
 *
 * If all was promised, so many promises cannot be kept any more: som_commit_broken().
 */
static inline void som_commit_retire(struct som_commit *c, unsigned long n)
{
	if (WARN_ON_ONCE(n > c->total))
		n = c->total;
	c->total -= n;
}

/**
 * som_commit_broken - is more promised than there is?
 * @c: the promises
 *
 * Return: true if so: whoever finds no unit need not wait for one.
 */
static inline bool som_commit_broken(const struct som_commit *c)
{
	return c->committed > c->total;
}

/**
 * som_commit_grow - units were added to the pool
 * @c: the promises
 * @n: number of units
 */
static inline void som_commit_grow(struct som_commit *c, unsigned long n)
{
	c->total += n;
}

/**
 * som_commit_shrink - units are to leave the pool
 * @c: the promises
 * @n: number of units
 *
 * Return: true if no promise needs them; otherwise nothing is changed.
 */
static inline bool som_commit_shrink(struct som_commit *c, unsigned long n)
{
	if (n > som_commit_room(c))
		return false;
	c->total -= n;
	return true;
}

/**
 * som_commit_shrink_held - units are to leave the pool, some of them withheld
 * @c: the promises
 * @n: number of units
 * @held: how many of them are withheld
 *
 * Return: true if no promise needs them; otherwise nothing is changed.
 */
static inline bool som_commit_shrink_held(struct som_commit *c,
					  unsigned long n, unsigned long held)
{
	som_commit_restore(c, held);
	if (som_commit_shrink(c, n))
		return true;
	c->withheld += held;
	return false;
}

#endif /* _SOM_COMMIT_H */
