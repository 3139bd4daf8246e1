/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Arithmetic of reservations. Pure; the caller locks.
 *
 * Each unit that is reserved for, or used by, an owner is committed once. A unit that was
 * released while pinned is quarantined: its charge moves from committed to quarantined.
 * committed + quarantined never exceeds total, so an owner with a reservation finds a unit.
 * Only memory failure can break this: som_commit_retire().
 *
 * Users share no chunks, so each user claims whole chunks:
 *
 *	claim = max(chunks that it has, chunks that its units need)
 *
 * The claims never exceed the chunks of the pool. A user that needs another chunk has
 * filled its own, so it claims more than it has; other users have at most what they claim;
 * so a chunk without a user exists. Units retired from any chunk count for every user, as
 * each of them may get that chunk.
 */
#ifndef _SOM_COMMIT_H
#define _SOM_COMMIT_H

#include <linux/bug.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/types.h>
#include "range.h"

/**
 * struct som_commit - reservations of a pool
 * @total: units in the pool, except retired ones.
 * @committed: units reserved or in use.
 * @quarantined: units released, but not yet available.
 * @retired: units without an owner whose memory has failed.
 * @chunks: chunks in the pool.
 * @claimed: chunks claimed by users.
 */
struct som_commit {
	unsigned long total;
	unsigned long committed;
	unsigned long quarantined;
	unsigned long retired;
	unsigned long chunks;
	unsigned long claimed;
};

/**
 * struct som_commit_user - reservations of one user
 * @units: units committed or quarantined.
 * @retired: retired units of @chunks.
 * @chunks: chunks of the user.
 * @claim: chunks that it may have, including @chunks.
 */
struct som_commit_user {
	unsigned long units;
	unsigned long retired;
	unsigned long chunks;
	unsigned long claim;
};

/**
 * som_commit_need - Return the number of chunks that hold some units in the worst case
 * @c: reservations of the pool
 * @units: number of units
 * Return: number of chunks.
 */
static inline unsigned long som_commit_need(const struct som_commit *c,
					    unsigned long units)
{
	return units ? DIV_ROUND_UP(units + c->retired, SOM_CHUNK_UNITS) : 0;
}

/* Chunks that no other user claims. */
static inline unsigned long som_commit_limit(const struct som_commit *c,
					     const struct som_commit_user *u)
{
	unsigned long others = c->claimed - u->claim;

	return others < c->chunks ? c->chunks - others : 0;
}

static inline void som_commit_set_claim(struct som_commit *c,
					struct som_commit_user *u,
					unsigned long claim)
{
	c->claimed += claim - u->claim;
	u->claim = claim;
}

/* Lower the claim to the need. Never raise it, even if units were retired meanwhile. */
static inline void som_commit_lower_claim(struct som_commit *c,
					  struct som_commit_user *u)
{
	unsigned long need = min(som_commit_need(c, u->units), u->claim);

	som_commit_set_claim(c, u, max(need, u->chunks));
}

/**
 * som_commit_room - Count the units that a user can still reserve
 * @c: reservations of the pool
 * @u: user
 * Return: number of units.
 */
static inline unsigned long som_commit_room(const struct som_commit *c,
					    const struct som_commit_user *u)
{
	unsigned long gone = c->committed + c->quarantined;
	unsigned long room = gone < c->total ? c->total - gone : 0;
	unsigned long all = som_commit_limit(c, u) * SOM_CHUNK_UNITS;
	unsigned long mine = u->units + c->retired;

	return min(room, mine < all ? all - mine : 0);
}

/**
 * som_commit_charge - Reserve units
 * @c: reservations of the pool
 * @u: user
 * @n: number of units
 * Return: true; false if there is no room for all: nothing is changed.
 */
static inline bool som_commit_charge(struct som_commit *c,
				     struct som_commit_user *u, unsigned long n)
{
	if (n > som_commit_room(c, u))
		return false;
	c->committed += n;
	u->units += n;
	som_commit_set_claim(c, u, max(som_commit_need(c, u->units), u->claim));
	return true;
}

/**
 * som_commit_uncharge - Release reservations
 * @c: reservations of the pool
 * @u: user
 * @n: number of units, at most the number charged
 */
static inline void som_commit_uncharge(struct som_commit *c,
				       struct som_commit_user *u,
				       unsigned long n)
{
	if (WARN_ON_ONCE(n > c->committed || n > u->units))
		n = min(c->committed, u->units);
	c->committed -= n;
	u->units -= n;
	som_commit_lower_claim(c, u);
}

/**
 * som_commit_quarantine - Quarantine used units
 * @c: reservations of the pool
 * @n: number of units, all committed
 */
static inline void som_commit_quarantine(struct som_commit *c, unsigned long n)
{
	if (WARN_ON_ONCE(n > c->committed))
		n = c->committed;
	c->committed -= n;
	c->quarantined += n;
}

/**
 * som_commit_restore - Make quarantined units available again
 * @c: reservations of the pool
 * @u: the units' user
 * @n: number of units, at most the number quarantined
 */
static inline void som_commit_restore(struct som_commit *c,
				      struct som_commit_user *u,
				      unsigned long n)
{
	if (WARN_ON_ONCE(n > c->quarantined || n > u->units))
		n = min(c->quarantined, u->units);
	c->quarantined -= n;
	u->units -= n;
	som_commit_lower_claim(c, u);
}

/**
 * som_commit_may_take - Test whether a user can have one more chunk
 * @c: reservations of the pool
 * @u: user
 * Return: true if it can.
 */
static inline bool som_commit_may_take(const struct som_commit *c,
				       const struct som_commit_user *u)
{
	return u->chunks < u->claim || c->claimed < c->chunks;
}

/**
 * som_commit_take - Give a user a chunk that has none
 * @c: reservations of the pool
 * @u: user
 * @retired: retired units of the chunk
 * Return: true; false if other users claim all that is left: nothing is changed.
 */
static inline bool som_commit_take(struct som_commit *c,
				   struct som_commit_user *u,
				   unsigned long retired)
{
	if (!som_commit_may_take(c, u))
		return false;
	u->chunks++;
	u->retired += retired;
	som_commit_set_claim(c, u, max(u->claim, u->chunks));
	return true;
}

/**
 * som_commit_leave - Take a chunk from its user
 * @c: reservations of the pool
 * @u: user
 * @retired: retired units of the chunk
 */
static inline void som_commit_leave(struct som_commit *c,
				    struct som_commit_user *u,
				    unsigned long retired)
{
	u->chunks--;
	u->retired -= retired;
	som_commit_lower_claim(c, u);
}

/**
 * som_commit_retire - Remove failed units from the pool
 * @c: reservations of the pool
 * @u: user of their chunk, or NULL
 * @n: number of units, none of which has an owner
 *
 * If all units were reserved, @n reservations can no longer be met: som_commit_broken().
 */
static inline void som_commit_retire(struct som_commit *c,
				     struct som_commit_user *u, unsigned long n)
{
	if (WARN_ON_ONCE(n > c->total))
		n = c->total;
	c->total -= n;
	c->retired += n;
	if (u)
		u->retired += n;
}

/**
 * som_commit_broken - Test whether a user has more reserved than it can have
 * @c: reservations of the pool
 * @u: user
 * Return: true if so: waiting for a unit may never end.
 */
static inline bool som_commit_broken(const struct som_commit *c,
				     const struct som_commit_user *u)
{
	return c->retired && !som_commit_may_take(c, u) &&
	       u->units + u->retired > u->chunks * SOM_CHUNK_UNITS;
}

/**
 * som_commit_grow - Add a chunk to the pool
 * @c: reservations of the pool
 * @retired: retired units of the chunk
 */
static inline void som_commit_grow(struct som_commit *c, unsigned long retired)
{
	c->total += SOM_CHUNK_UNITS - retired;
	c->retired += retired;
	c->chunks++;
}

/**
 * som_commit_shrink - Remove a chunk from the pool
 * @c: reservations of the pool
 * @u: user of the chunk, which then has quarantined units only; or NULL
 * @retired: retired units of the chunk
 * @quarantined: quarantined units of the chunk
 * Return: true; false if a reservation needs the chunk: nothing is changed.
 */
static inline bool som_commit_shrink(struct som_commit *c,
				     struct som_commit_user *u,
				     unsigned long retired, unsigned long quarantined)
{
	struct som_commit after = *c;
	struct som_commit_user user = {};

	if (u) {
		user = *u;
		som_commit_restore(&after, &user, quarantined);
		som_commit_leave(&after, &user, retired);
	}
	after.chunks--;
	after.total -= SOM_CHUNK_UNITS - retired;
	if (after.claimed > after.chunks ||
	    after.committed + after.quarantined > after.total)
		return false;
	after.retired -= retired;
	*c = after;
	if (u)
		*u = user;
	return true;
}

#endif /* _SOM_COMMIT_H */
