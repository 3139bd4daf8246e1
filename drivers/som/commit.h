/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The arithmetic of reservations. Pure; the caller locks.
 *
 * Each unit that is reserved for, or used by, an owner is committed once; a
 * unit that was released but cannot be handed out yet is quarantined. It takes a
 * charge along when it becomes that. So committed + quarantined never exceeds
 * total, and an owner with a reservation finds a unit. The sum is
 * over the total only when memory has failed that was reserved: som_commit_retire().
 *
 * Chunks are not shared between users, so each user claims whole ones:
 *
 *	claim = max(chunks that it has, chunks that its units need)
 *
 * and the claims never exceed the chunks of the pool. A user gets another chunk
 * when its own are full. Then its units need more chunks than it has, so its claim
 * is above what it has; and as others have at most what they claim, a chunk is
 * nobody's. Units that a chunk has lost to memory errors count for every user, since
 * any of them may get that chunk.
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
 * @total: units in the pool.
 * @committed: units reserved or in use.
 * @quarantined: units released, but not yet available.
 * @retired: units whose memory has failed and that nobody has; not in @total.
 * @chunks: chunks in the pool.
 * @claimed: chunks that users claim.
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
 * struct som_commit_user - what one user has of it
 * @units: units committed or quarantined.
 * @retired: units of @chunks whose memory has failed.
 * @chunks: chunks that are the user's alone.
 * @claim: chunks that it may have, @chunks of which it has.
 */
struct som_commit_user {
	unsigned long units;
	unsigned long retired;
	unsigned long chunks;
	unsigned long claim;
};

/**
 * som_commit_need - how many chunks hold some units, whichever chunks they are
 * @c: the reservations
 * @units: how many
 *
 * Return: number of chunks.
 */
static inline unsigned long som_commit_need(const struct som_commit *c,
					    unsigned long units)
{
	return units ? DIV_ROUND_UP(units + c->retired, SOM_CHUNK_UNITS) : 0;
}

/* Chunks that nobody else claims. */
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

/* The user needs less than before. That holds whatever was retired meanwhile. */
static inline void som_commit_lower_claim(struct som_commit *c,
					  struct som_commit_user *u)
{
	unsigned long need = min(som_commit_need(c, u->units), u->claim);

	som_commit_set_claim(c, u, max(need, u->chunks));
}

/**
 * som_commit_room - count the units that can be reserved
 * @c: the reservations
 * @u: for whom
 *
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
 * som_commit_charge - reserve units
 * @c: the reservations
 * @u: for whom
 * @n: number of units
 *
 * Return: true if there was room for all; otherwise nothing is changed.
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
 * som_commit_uncharge - take a reservation back
 * @c: the reservations
 * @u: whose
 * @n: number of units, at most what was charged
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
 * som_commit_quarantine - used units are released, and not available for now
 * @c: the reservations
 * @n: number of units, each of which was committed until now
 */
static inline void som_commit_quarantine(struct som_commit *c, unsigned long n)
{
	if (WARN_ON_ONCE(n > c->committed))
		n = c->committed;
	c->committed -= n;
	c->quarantined += n;
}

/**
 * som_commit_restore - quarantined units are available again
 * @c: the reservations
 * @u: whose they were
 * @n: number of units, at most what was quarantined
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
 * som_commit_may_take - can a user have one more chunk?
 * @c: the reservations
 * @u: the user
 *
 * Return: true if so.
 */
static inline bool som_commit_may_take(const struct som_commit *c,
				       const struct som_commit_user *u)
{
	return u->chunks < u->claim || c->claimed < c->chunks;
}

/**
 * som_commit_take - a chunk that was nobody's becomes a user's
 * @c: the reservations
 * @u: the user
 * @retired: units of it whose memory has failed
 *
 * Return: true, or false (and nothing is changed) if others claim what is left.
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
 * som_commit_leave - a chunk of a user's becomes nobody's
 * @c: the reservations
 * @u: the user
 * @retired: units of it whose memory has failed
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
 * som_commit_retire - memory has failed: units are lost to the pool
 * @c: the reservations
 * @u: who has their chunk, or NULL
 * @n: number of units, none of which anybody has
 *
 * If all was reserved, so many reservations cannot be kept any more:
 * som_commit_broken().
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
 * som_commit_broken - is more reserved for a user than it can have?
 * @c: the reservations
 * @u: the user
 *
 * Return: true if so: whoever finds no unit need not wait for one.
 */
static inline bool som_commit_broken(const struct som_commit *c,
				     const struct som_commit_user *u)
{
	return c->retired && !som_commit_may_take(c, u) &&
	       u->units + u->retired > u->chunks * SOM_CHUNK_UNITS;
}

/**
 * som_commit_grow - a chunk was added to the pool
 * @c: the reservations
 * @retired: units of it whose memory has failed
 */
static inline void som_commit_grow(struct som_commit *c, unsigned long retired)
{
	c->total += SOM_CHUNK_UNITS - retired;
	c->retired += retired;
	c->chunks++;
}

/**
 * som_commit_shrink - a chunk is to leave the pool
 * @c: the reservations
 * @u: who has it, as units of it are quarantined; or NULL
 * @retired: units of it whose memory has failed
 * @quarantined: units of it that are quarantined
 *
 * Return: true if no reservation needs it; otherwise nothing is changed.
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
