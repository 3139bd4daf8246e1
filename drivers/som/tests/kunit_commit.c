// SPDX-License-Identifier: GPL-2.0
/* Tests of the arithmetic of reservations. */
#include <linux/array_size.h>
#include <linux/prandom.h>
#include "kunit.h"
#include "../commit.h"

#define CHUNK	SOM_CHUNK_UNITS

static void commit_charge_exact(struct kunit *test)
{
	struct som_commit c = { .total = CHUNK, .chunks = 1 };
	struct som_commit_user u = {};

	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &u, 513));
	KUNIT_EXPECT_EQ(test, c.committed, 0);
	KUNIT_EXPECT_EQ(test, u.claim, 0);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, 511));
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &u, 2));
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, 1));
	KUNIT_EXPECT_EQ(test, u.claim, 1);
	KUNIT_EXPECT_EQ(test, som_commit_room(&c, &u), 0);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, 0));
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &u, ULONG_MAX));
	som_commit_uncharge(&c, &u, 512);
	KUNIT_EXPECT_EQ(test, som_commit_room(&c, &u), 512);
	KUNIT_EXPECT_EQ(test, c.claimed, 0);
}

static void commit_empty_pool(struct kunit *test)
{
	struct som_commit c = {};
	struct som_commit_user u = {};

	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &u, 1));
	KUNIT_EXPECT_FALSE(test, som_commit_take(&c, &u, 0));
	som_commit_grow(&c, 0);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, 1));
}

/* Quarantined units keep their charge, so they make no room. */
static void commit_quarantine(struct kunit *test)
{
	struct som_commit c = { .total = CHUNK, .chunks = 1 };
	struct som_commit_user u = {};

	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, CHUNK));
	som_commit_quarantine(&c, 1);
	KUNIT_EXPECT_EQ(test, c.committed, CHUNK - 1);
	KUNIT_EXPECT_EQ(test, som_commit_room(&c, &u), 0);
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &u, 1));
	som_commit_restore(&c, &u, 1);
	KUNIT_EXPECT_EQ(test, som_commit_room(&c, &u), 1);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, 1));
	som_commit_quarantine(&c, CHUNK);
	som_commit_restore(&c, &u, CHUNK);
	KUNIT_EXPECT_EQ(test, c.quarantined, 0);
	KUNIT_EXPECT_EQ(test, c.claimed, 0);
}

/* If reserved memory fails, nothing more is reserved until reservations are released. */
static void commit_retire(struct kunit *test)
{
	struct som_commit c = { .total = CHUNK, .chunks = 1 };
	struct som_commit_user u = {};

	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, CHUNK - 1));
	KUNIT_EXPECT_TRUE(test, som_commit_take(&c, &u, 0));
	som_commit_retire(&c, &u, 1);
	KUNIT_EXPECT_FALSE(test, som_commit_broken(&c, &u));
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &u, 1));
	som_commit_retire(&c, &u, 1);
	KUNIT_EXPECT_TRUE(test, som_commit_broken(&c, &u));
	KUNIT_EXPECT_EQ(test, som_commit_room(&c, &u), 0);
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &u, 1));
	KUNIT_EXPECT_FALSE(test, som_commit_shrink(&c, NULL, 0, 0));
	som_commit_uncharge(&c, &u, 1);
	KUNIT_EXPECT_FALSE(test, som_commit_broken(&c, &u));
	som_commit_grow(&c, 0);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, 1));
}

/* Retired units of a chunk without a user count for every user. */
static void commit_retired_chunk(struct kunit *test)
{
	struct som_commit c = { .total = 2 * CHUNK, .chunks = 2 };
	struct som_commit_user a = {}, b = {};

	som_commit_retire(&c, NULL, 1);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &b, 1));
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &a, CHUNK));
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &a, CHUNK - 1));
	KUNIT_EXPECT_EQ(test, c.claimed, 2);
	/* Units retired later do not prevent a release. */
	som_commit_retire(&c, NULL, 5);
	som_commit_uncharge(&c, &a, 1);
	KUNIT_EXPECT_EQ(test, a.claim, 1);
	som_commit_uncharge(&c, &a, CHUNK - 2);
	som_commit_uncharge(&c, &b, 1);
	KUNIT_EXPECT_EQ(test, c.claimed, 0);
}

/* Retired units enter the pool, pass to a user and leave the pool with their chunk. */
static void commit_retired_count(struct kunit *test)
{
	struct som_commit c = {};
	struct som_commit_user u = {};

	som_commit_grow(&c, 3);
	KUNIT_EXPECT_EQ(test, c.total, CHUNK - 3);
	KUNIT_EXPECT_EQ(test, c.retired, 3);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, 1));
	KUNIT_EXPECT_TRUE(test, som_commit_take(&c, &u, 3));
	KUNIT_EXPECT_EQ(test, u.retired, 3);
	som_commit_retire(&c, &u, 1);
	KUNIT_EXPECT_EQ(test, u.retired, 4);
	KUNIT_EXPECT_EQ(test, c.total, CHUNK - 4);
	som_commit_leave(&c, &u, 4);
	KUNIT_EXPECT_EQ(test, u.retired, 0);
	som_commit_uncharge(&c, &u, 1);
	KUNIT_EXPECT_TRUE(test, som_commit_shrink(&c, NULL, 4, 0));
	KUNIT_EXPECT_EQ(test, c.total, 0);
	KUNIT_EXPECT_EQ(test, c.retired, 0);
	KUNIT_EXPECT_EQ(test, c.chunks, 0);
}

static void commit_shrink(struct kunit *test)
{
	struct som_commit c = { .total = 2 * CHUNK, .chunks = 2 };
	struct som_commit_user u = {};

	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, CHUNK + 1));
	KUNIT_EXPECT_FALSE(test, som_commit_shrink(&c, NULL, 0, 0));
	KUNIT_EXPECT_EQ(test, c.total, 2 * CHUNK);
	som_commit_uncharge(&c, &u, 1);
	KUNIT_EXPECT_TRUE(test, som_commit_shrink(&c, NULL, 0, 0));
	KUNIT_EXPECT_EQ(test, c.total, CHUNK);
	KUNIT_EXPECT_FALSE(test, som_commit_shrink(&c, NULL, 0, 0));
}

/* Shrinking removes quarantined units with their chunk, or changes nothing. */
static void commit_shrink_quarantined(struct kunit *test)
{
	struct som_commit c = { .total = 2 * CHUNK, .chunks = 2 };
	struct som_commit_user u = {};

	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &u, CHUNK + 2));
	KUNIT_EXPECT_TRUE(test, som_commit_take(&c, &u, 0));
	som_commit_quarantine(&c, 1);
	KUNIT_EXPECT_FALSE(test, som_commit_shrink(&c, &u, 0, 1));
	KUNIT_EXPECT_EQ(test, c.total, 2 * CHUNK);
	KUNIT_EXPECT_EQ(test, c.committed, CHUNK + 1);
	KUNIT_EXPECT_EQ(test, c.quarantined, 1);
	KUNIT_EXPECT_EQ(test, u.chunks, 1);
	som_commit_uncharge(&c, &u, 1);
	KUNIT_EXPECT_FALSE(test, som_commit_shrink(&c, NULL, 0, 0));
	KUNIT_EXPECT_TRUE(test, som_commit_shrink(&c, &u, 0, 1));
	KUNIT_EXPECT_EQ(test, c.total, CHUNK);
	KUNIT_EXPECT_EQ(test, c.committed, CHUNK);
	KUNIT_EXPECT_EQ(test, c.quarantined, 0);
	KUNIT_EXPECT_EQ(test, u.chunks, 0);
	KUNIT_EXPECT_EQ(test, u.claim, 1);
}

/* A user with one unit claims a whole chunk. */
static void commit_strangers(struct kunit *test)
{
	struct som_commit c = { .total = 2 * CHUNK, .chunks = 2 };
	struct som_commit_user a = {}, b = {}, d = {};

	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &a, 1));
	KUNIT_EXPECT_EQ(test, som_commit_room(&c, &b), CHUNK);
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &b, CHUNK + 1));
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &b, CHUNK));
	KUNIT_EXPECT_EQ(test, som_commit_room(&c, &d), 0);
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &d, 1));
	KUNIT_EXPECT_EQ(test, som_commit_room(&c, &a), CHUNK - 1);
	/* No user gets a second chunk, as the other user has reserved it. */
	KUNIT_EXPECT_TRUE(test, som_commit_take(&c, &a, 0));
	KUNIT_EXPECT_FALSE(test, som_commit_take(&c, &a, 0));
	som_commit_uncharge(&c, &b, CHUNK);
	KUNIT_EXPECT_TRUE(test, som_commit_take(&c, &a, 0));
	KUNIT_EXPECT_FALSE(test, som_commit_charge(&c, &b, 1));
	/* Whole chunks are claimed, not units. */
	som_commit_leave(&c, &a, 0);
	KUNIT_EXPECT_TRUE(test, som_commit_charge(&c, &b, 1));
}

/* Reserve units for two users. */
static void commit_two(struct kunit *test, unsigned long chunks,
		       unsigned long a, unsigned long b)
{
	struct som_commit c = { .total = chunks * CHUNK, .chunks = chunks };
	struct som_commit_user x = {}, y = {};
	bool fits;

	fits = DIV_ROUND_UP(a, CHUNK) <= chunks;
	KUNIT_EXPECT_EQ(test, som_commit_charge(&c, &x, a), fits);
	if (!fits)
		a = 0;
	fits = DIV_ROUND_UP(a, CHUNK) + DIV_ROUND_UP(b, CHUNK) <= chunks;
	KUNIT_EXPECT_EQ(test, som_commit_charge(&c, &y, b), fits);
	KUNIT_EXPECT_EQ(test, c.committed, a + (fits ? b : 0));
	KUNIT_EXPECT_EQ(test, c.claimed, x.claim + y.claim);
}

/* All small pools: a charge succeeds exactly if there is room. */
static void commit_exhaustive(struct kunit *test)
{
	static const unsigned long units[] = {
		0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK,
	};
	unsigned int i, nr = ARRAY_SIZE(units);

	for (i = 0; i < 5 * nr * nr; i++)
		commit_two(test, i / nr / nr, units[i / nr % nr], units[i % nr]);
}

#define USERS	3
#define CHUNKS	4

/* A pool with users that reserve, use and free units at random. */
struct model {
	struct som_commit c;
	struct som_commit_user users[USERS];
	unsigned long used[USERS];
	int owner[CHUNKS];		/* or -1 */
	unsigned long in[CHUNKS];	/* units used */
	unsigned long size[CHUNKS];	/* units that have not failed */
};

/* Use a reserved unit. Return: false if there is none, which is an error. */
static bool model_use(struct model *m, int user)
{
	int i, chunk = -1;

	for (i = 0; i < CHUNKS; i++)
		if (m->owner[i] == user && m->in[i] < m->size[i])
			chunk = i;
	for (i = 0; i < CHUNKS && chunk < 0; i++) {
		if (m->owner[i] >= 0)
			continue;
		if (!som_commit_take(&m->c, &m->users[user],
				     CHUNK - m->size[i]))
			return false;
		m->owner[i] = user;
		chunk = i;
	}
	if (chunk < 0)
		return false;
	m->in[chunk]++;
	m->used[user]++;
	return true;
}

static void model_free(struct model *m, int user, unsigned int which)
{
	int i;

	for (i = 0; i < CHUNKS; i++) {
		int chunk = (i + which) % CHUNKS;

		if (m->owner[chunk] != user)
			continue;
		m->used[user]--;
		if (!--m->in[chunk]) {
			m->owner[chunk] = -1;
			som_commit_leave(&m->c, &m->users[user],
					 CHUNK - m->size[chunk]);
		}
		return;
	}
}

/* A user with a reservation always finds a unit, wherever used units are. */
static void commit_kept(struct kunit *test)
{
	struct model m = { .c = { .total = CHUNKS * CHUNK, .chunks = CHUNKS } };
	unsigned long n, step, uses = 0, refused = 0;
	struct rnd_state rnd;
	int i, user;

	prandom_seed_state(&rnd, 1);
	for (i = 0; i < CHUNKS; i++) {
		m.owner[i] = -1;
		m.size[i] = i ? CHUNK : CHUNK - 3;
	}
	som_commit_retire(&m.c, NULL, 3);
	for (step = 0; step < 20000; step++) {
		struct som_commit_user *u;

		user = prandom_u32_state(&rnd) % USERS;
		u = &m.users[user];
		n = prandom_u32_state(&rnd) % (CHUNK + 100);
		switch (prandom_u32_state(&rnd) % 4) {
		case 0:
			refused += !som_commit_charge(&m.c, u, n);
			break;
		case 1:
			som_commit_uncharge(&m.c, u,
					    min(n, u->units - m.used[user]));
			break;
		case 2:
			for (; n && m.used[user] < u->units; n--) {
				KUNIT_ASSERT_TRUE(test, model_use(&m, user));
				uses++;
			}
			break;
		case 3:
			for (; n && m.used[user]; n--)
				model_free(&m, user, prandom_u32_state(&rnd));
			break;
		}
		for (i = 0, n = 0; i < USERS; i++)
			n += m.users[i].claim;
		KUNIT_ASSERT_EQ(test, m.c.claimed, n);
		KUNIT_ASSERT_LE(test, m.c.claimed, CHUNKS);
		KUNIT_ASSERT_LE(test, m.c.committed, m.c.total);
	}
	KUNIT_EXPECT_GT(test, uses, 10000);
	KUNIT_EXPECT_GT(test, refused, 100);
}

static struct kunit_case som_commit_cases[] = {
	KUNIT_CASE(commit_charge_exact),
	KUNIT_CASE(commit_empty_pool),
	KUNIT_CASE(commit_quarantine),
	KUNIT_CASE(commit_retire),
	KUNIT_CASE(commit_retired_chunk),
	KUNIT_CASE(commit_retired_count),
	KUNIT_CASE(commit_shrink),
	KUNIT_CASE(commit_shrink_quarantined),
	KUNIT_CASE(commit_strangers),
	KUNIT_CASE(commit_exhaustive),
	KUNIT_CASE(commit_kept),
	{}
};

struct kunit_suite som_commit_suite = {
	.name = "som_commit",
	.test_cases = som_commit_cases,
};
