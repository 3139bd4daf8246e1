// SPDX-License-Identifier: GPL-2.0
/*
 * MAP_PRIVATE: threads and processes that write, give up, move and unmap the same memory
 * at the same time.
 *
 * SOM-TEST: timeout=900 takes=20
 */
#include "som_scan.h"

static const char *(*som_missing)(int fd) = som_no_private;
static bool som_one_process = true;

#define THREADS	4

/*
 * Five units. Threads own the even pages of the second and the fourth. The
 * others, and all of the first, the third and the fifth unit, are disturbed.
 */
#define OWN_PAGES	512	/* both units' */

static char *own_page(struct som_race *race, int i)
{
	size_t unit = i < OWN_PAGES / 2 ? 1 : 3;

	return race->mem + unit * UNIT + i % (OWN_PAGES / 2) * 2 * PAGE;
}

static char *odd_page(struct som_race *race, unsigned int *seed)
{
	return own_page(race, rand_r(seed) % OWN_PAGES) + PAGE;
}

static void *keep_own_pages(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	__u64 round, v;
	int i;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		for (i = r->nr; i < OWN_PAGES; i += THREADS) {
			__u64 *w = (__u64 *)own_page(race, i);

			v = (round - 1) << 8 | r->nr;
			som_bad(race, round > 1 && (READ_ONCE(*w) != v ||
						    READ_ONCE(w[511]) != v));
			WRITE_ONCE(*w, round << 8 | r->nr);
			WRITE_ONCE(w[511], round << 8 | r->nr);
		}
		som_round(race);
	}
	return NULL;
}

static void disturb_dontneed_pages(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 1;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed);

		WRITE_ONCE(*(__u64 *)p, 1);
		som_bad(race, madvise(p, PAGE, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)p));
	}
}

static void disturb_dontneed_units(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 2;

	while (som_race_on(race, end)) {
		size_t unit = rand_r(&seed) % 3 * 2;
		char *p = race->mem + unit * UNIT, *from = p, *to = p + UNIT;

		/* No thread owns the last page of the unit before. */
		if (unit && rand_r(&seed) % 2)
			from -= PAGE;
		if (rand_r(&seed) % 4 == 0)
			to -= (1 + rand_r(&seed) % 300) * PAGE;
		WRITE_ONCE(*(__u64 *)from, 1);
		WRITE_ONCE(*(__u64 *)(to - PAGE), 1);
		som_bad(race, madvise(from, to - from, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)from));
		som_bad(race, READ_ONCE(*(__u64 *)(to - PAGE)));
		if (rand_r(&seed) % 8 == 0)
			usleep(rand_r(&seed) % 12000);
	}
}

static void disturb_mprotect(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 3;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed);

		som_bad(race, mprotect(p, PAGE, PROT_NONE));
		som_bad(race, madvise(odd_page(race, &seed), PAGE,
				      MADV_DONTNEED));
		som_bad(race, mprotect(p, PAGE, PROT_READ));
		som_bad(race, madvise(p, PAGE, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)p));
		som_bad(race, mprotect(p, PAGE, RW));
		WRITE_ONCE(*(__u64 *)p, 1);
	}
}

static void disturb_remove(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 4;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed), *q = odd_page(race, &seed);

		WRITE_ONCE(*(__u64 *)p, 1);
		WRITE_ONCE(*(__u64 *)q, 1);
		som_bad(race, madvise(p, PAGE, MADV_REMOVE));
		som_bad(race, madvise(q, PAGE, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)p));
		som_bad(race, READ_ONCE(*(__u64 *)q));
	}
}

static void disturb_munmap(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 5;

	while (som_race_on(race, end)) {
		som_bad(race, munmap(odd_page(race, &seed), PAGE));
		/* ENOMEM where it is gone already. */
		madvise(odd_page(race, &seed), PAGE, MADV_DONTNEED);
	}
}

static void disturb_mremap(struct som_race *race)
{
	double end = som_race_end(race);
	char *room = som_room(2 * UNIT, UNIT);
	unsigned int seed = 6;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed), *q;
		__u64 v = (__u64)p;

		WRITE_ONCE(*(__u64 *)p, v);
		q = room + rand_r(&seed) % 1024 * PAGE;
		som_bad(race, mremap(p, PAGE, PAGE, MREMAP_MAYMOVE |
				     MREMAP_FIXED, q) != q);
		som_bad(race, READ_ONCE(*(__u64 *)q) != v);
		som_bad(race, madvise(q, PAGE, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)q));
		som_bad(race, mremap(q, PAGE, PAGE, MREMAP_MAYMOVE |
				     MREMAP_FIXED, p) != p);
		som_bad(race, READ_ONCE(*(__u64 *)p));
	}
}

static void disturb_fork(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 7;

	while (som_race_on(race, end)) {
		pid_t pid = fork();

		if (!pid) {
			som_catch_faults();
			_exit(som_read_signal(race->mem + UNIT) != SIGSEGV);
		}
		som_bad(race, madvise(odd_page(race, &seed), PAGE,
				      MADV_DONTNEED));
		som_bad(race, som_wait_child(pid));
	}
}

/* The scans track and clean below the writers. */
static void disturb_scan(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 8;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed);

		som_bad(race, som_scan_clean(race->fd, race->mem, 5 * UNIT));
		WRITE_ONCE(*(__u64 *)p, 1);
		som_bad(race, madvise(p, PAGE, MADV_DONTNEED));
		som_bad(race, READ_ONCE(*(__u64 *)p));
		som_bad(race, madvise(race->mem + 2 * UNIT, UNIT,
				      MADV_DONTNEED));
	}
}

SOM_FIXTURE(own_pages)

FIXTURE_VARIANT(own_pages)
{
	void (*disturb)(struct som_race *race);
};

FIXTURE_VARIANT_ADD(own_pages, dontneed_of_pages)
{
	.disturb = disturb_dontneed_pages,
};

FIXTURE_VARIANT_ADD(own_pages, dontneed_of_units)
{
	.disturb = disturb_dontneed_units,
};

FIXTURE_VARIANT_ADD(own_pages, mprotect)
{
	.disturb = disturb_mprotect,
};

FIXTURE_VARIANT_ADD(own_pages, remove)
{
	.disturb = disturb_remove,
};

FIXTURE_VARIANT_ADD(own_pages, munmap)
{
	.disturb = disturb_munmap,
};

FIXTURE_VARIANT_ADD(own_pages, mremap)
{
	.disturb = disturb_mremap,
};

FIXTURE_VARIANT_ADD(own_pages, fork)
{
	.disturb = disturb_fork,
};

FIXTURE_VARIANT_ADD(own_pages, scans)
{
	.disturb = disturb_scan,
};

TEST_F(own_pages, survive)
{
	struct som_race race = { .fd = self->fd };

	race.mem = som_map_private(self->fd, 5 * UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_run_racers(&race, THREADS, keep_own_pages,
				    variant->disturb));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	TH_LOG("%ld rounds", race.rounds);
}

/*
 * Every thread has blocks of 64 pages of its own in the same units, and a unit
 * of its own: what it DONTNEEDs there is zero to it, what it does not stays.
 */
#define BLOCK_PAGES	64
#define BLOCKS		16	/* of each thread */

static void *dontneed_own_blocks(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = r->nr;
	__u64 round;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		size_t pages = BLOCK_PAGES, from, to, i;
		char *p = race->mem + THREADS * UNIT +
			(rand_r(&seed) % BLOCKS * THREADS + r->nr) *
			BLOCK_PAGES * PAGE;

		if (rand_r(&seed) % 4 == 0) {
			p = race->mem + r->nr * UNIT;
			pages = UNIT_PAGES;
		}
		from = rand_r(&seed) % pages;
		to = from + 1 + rand_r(&seed) % (pages - from);
		if (rand_r(&seed) % 2) {
			from = 0;
			to = pages;
		}
		for (i = 0; i < pages; i++)
			WRITE_ONCE(*(__u64 *)(p + i * PAGE),
				   som_word(round << 8 | r->nr, i));
		som_bad(race, madvise(p + from * PAGE, (to - from) * PAGE,
				      MADV_DONTNEED));
		for (i = 0; i < pages; i++)
			som_bad(race, READ_ONCE(*(__u64 *)(p + i * PAGE)) !=
				(i >= from && i < to ? 0 :
				 som_word(round << 8 | r->nr, i)));
		som_round(race);
	}
	return NULL;
}

TEST_F(som, dontneed_is_zero_to_its_thread)
{
	size_t len = THREADS * UNIT + BLOCKS * THREADS * BLOCK_PAGES * PAGE;
	struct som_race race = { .fd = self->fd };

	race.mem = som_map_private(self->fd, len);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_run_racers(&race, THREADS, dontneed_own_blocks,
				    som_just_wait));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	TH_LOG("%ld rounds", race.rounds);
	ASSERT_EQ(0, madvise(race.mem, len, MADV_DONTNEED));
	EXPECT_USED_SOON(0);
	EXPECT_EQ(-1, som_not_zero(race.mem, len));
}

/*
 * All threads write and DONTNEED the same pages, by ranges that overlap. A word
 * is zero, or a value that a thread wrote to this page.
 */
static void *dontneed_overlapping(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	size_t pages = race->len / PAGE, from, len, i;
	unsigned int seed = 10 + r->nr;

	while (!READ_ONCE(race->stop)) {
		from = rand_r(&seed) % pages;
		len = 1 + rand_r(&seed) % (pages - from);
		if (rand_r(&seed) % 2)
			len = len > 8 ? 8 : len;
		for (i = from; i < from + len; i++)
			WRITE_ONCE(*(__u64 *)(race->mem + i * PAGE),
				   som_word(r->nr, i));
		som_bad(race, madvise(race->mem + from * PAGE, len * PAGE,
				      rand_r(&seed) % 8 ? MADV_DONTNEED :
				      MADV_REMOVE));
		for (i = from; i < from + len; i++) {
			__u64 v = READ_ONCE(*(__u64 *)(race->mem + i * PAGE));
			int nr;

			for (nr = 0; v && nr < THREADS; nr++)
				if (v == som_word(nr, i))
					v = 0;
			som_bad(race, v);
			v = READ_ONCE(*(__u64 *)(race->mem + i * PAGE + 2048));
			som_bad(race, v);
		}
		som_round(race);
	}
	return NULL;
}

TEST_F(som, overlapping_dontneed)
{
	struct som_race race = { .fd = self->fd, .len = 3 * UNIT };

	race.mem = som_map_private(self->fd, race.len);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_run_racers(&race, THREADS, dontneed_overlapping,
				    som_just_wait));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	ASSERT_EQ(0, madvise(race.mem, race.len, MADV_DONTNEED));
	EXPECT_USED_SOON(0);
	EXPECT_EQ(-1, som_not_zero(race.mem, race.len));
	EXPECT_COMMITTED(3);
}

/* DONTNEED of everything while another thread maps, moves and unmaps it. */
static void *dontneed_what_moves(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = 20 + r->nr;

	som_catch_faults();
	while (!READ_ONCE(race->stop)) {
		size_t pages = race->len / PAGE, page = rand_r(&seed) % pages;
		char *p = (r->nr % 2 ? race->mem : race->other) + page * PAGE;
		size_t nr = 1 + rand_r(&seed) % 700;
		__u64 value;

		/* Other memory follows. */
		if (nr > pages - page)
			nr = pages - page;
		madvise(p, nr * PAGE, MADV_DONTNEED);
		if (!som_try_read(p, &value))
			som_bad(race, value && value >> 32 != 0x5555);
		som_round(race);
	}
	return NULL;
}

static void move_about(struct som_race *race)
{
	char *from, *to, *swap;
	unsigned int seed = 30;
	double end;

	/* Nothing of a thread's own may come to where the mappings move about. */
	while (READ_ONCE(race->rounds) < 100)
		usleep(1000);
	end = som_race_end(race);
	while (som_race_on(race, end)) {
		from = race->mem;
		to = race->other;
		/* A fresh mapping each time. */
		som_bad(race, som_map_private_at(race->fd, from, race->len, RW,
						 MAP_FIXED) != from);
		for (int i = 0; i < 6; i++) {
			char *p = from + rand_r(&seed) % 4096 * (race->len / 4096);

			WRITE_ONCE(*(__u64 *)((uintptr_t)p & ~7UL),
				   0x5555ULL << 32);
			som_bad(race, mremap(from, race->len, race->len,
					     MREMAP_MAYMOVE | MREMAP_FIXED,
					     to) != to);
			swap = from;
			from = to;
			to = swap;
		}
		som_bad(race, munmap(from + UNIT + PAGE, PAGE));
		som_bad(race, munmap(from, race->len));
	}
}

SOM_FIXTURE(moves)

FIXTURE_VARIANT(moves)
{
	size_t shift;
};

FIXTURE_VARIANT_ADD(moves, aligned)
{
	.shift = 0,
};

FIXTURE_VARIANT_ADD(moves, unaligned)
{
	.shift = 7 * PAGE,
};

TEST_F(moves, beside_dontneed)
{
	struct som_race race = { .fd = self->fd, .len = 3 * UNIT };

	race.mem = som_room(race.len + UNIT, UNIT);
	race.other = som_room(race.len + UNIT, UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_NE(MAP_FAILED, race.other);
	race.other += variant->shift;
	ASSERT_EQ(0, som_run_racers(&race, 2, dontneed_what_moves, move_about));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	EXPECT_USED_SOON(0);
	EXPECT_COMMITTED(0);
}

/*
 * Two processes and eight units: what one gives back the other has next. A
 * word is what this process wrote, or zero.
 */
static void *write_dontneeded(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	__u64 mark = (__u64)getpid() << 40 | (__u64)r->nr << 32;
	__u64 round, seen;
	int page;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		for (page = r->nr; page < 2048; page += THREADS * 4) {
			__u64 *w = (__u64 *)(race->mem + page * PAGE);

			WRITE_ONCE(*w, mark | round);
			seen = READ_ONCE(*w);
			som_bad(race, seen && seen != (mark | round));
			seen = READ_ONCE(w[511]);
			som_bad(race, seen && seen >> 32 != mark >> 32);
			WRITE_ONCE(w[511], mark | round);
		}
		som_round(race);
	}
	return NULL;
}

static void dontneed_units(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = getpid();

	while (som_race_on(race, end)) {
		char *p = race->mem + rand_r(&seed) % 4 * UNIT;
		size_t len = rand_r(&seed) % 3 ? UNIT : 10 * PAGE;

		som_bad(race, madvise(p, len, MADV_DONTNEED));
	}
}

TEST_F(som, units_of_two_processes)
{
	size_t held_len = (self->before.free - 8) * UNIT;
	pid_t pid[2];
	char *held;
	int i;

	held = som_map(self->fd, held_len);
	ASSERT_NE(MAP_FAILED, held);
	som_touch_units(held, held_len);
	for (i = 0; i < 2; i++) {
		struct som_race race = { .fd = self->fd };

		pid[i] = fork();
		if (pid[i])
			continue;
		race.mem = som_map_private(self->fd, 4 * UNIT);
		child_assert(race.mem != MAP_FAILED);
		child_assert(!som_run_racers(&race, THREADS, write_dontneeded,
					     dontneed_units));
		child_assert(race.rounds > 0);
		child_assert(race.bad == 0);
		_exit(0);
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, som_wait_child(pid[i]));
}

TEST_F(som, sigkill_in_the_midst)
{
	double end = som_now() + 2 * som_race_seconds();
	unsigned int seed = 1;
	int rounds = 0;

	while (som_now() < end || rounds < 3) {
		pid_t pid = fork();

		if (!pid) {
			struct som_race race = { .len = 3 * UNIT };

			race.mem = som_map_private(self->fd, race.len);
			som_run_racers(&race, 3, dontneed_overlapping,
				       som_just_wait);
			child_assert(race.bad == 0);
			_exit(0);
		}
		usleep(rand_r(&seed) % 300000);
		kill(pid, SIGKILL);
		EXPECT_GE(0, som_wait_child(pid));
		rounds++;
	}
	TH_LOG("%d rounds", rounds);
	EXPECT_TRUE(som_state_wait(&self->before));
}

/* Unmap, exit, or close right after: nothing that comes late meets others. */
TEST_F(som, dontneed_and_gone)
{
	int i, rounds = som_rounds(200);

	for (i = 0; i < rounds; i++) {
		char *p = som_map_private(self->fd, 2 * UNIT), *q;

		ASSERT_NE(MAP_FAILED, p);
		som_fill_pages(p, 2 * UNIT, i);
		ASSERT_EQ(0, madvise(p, 2 * UNIT - i % 2 * PAGE,
				     MADV_DONTNEED));
		ASSERT_EQ(0, munmap(p, 2 * UNIT));
		/* The next one has these addresses, and its own data. */
		q = som_map_at(self->fd, p, 2 * UNIT, RW, MAP_FIXED);
		ASSERT_EQ(p, q);
		ASSERT_EQ(-1, som_pages_not_zero(q, 2 * UNIT));
		som_fill_pages(q, 2 * UNIT, ~i);
		if (i % 16 == 0)
			usleep(15000);
		ASSERT_EQ(-1, som_check_pages(q, 2 * UNIT, ~i));
		ASSERT_EQ(0, munmap(q, 2 * UNIT));
	}
	EXPECT_USED_SOON(0);
}

TEST_HARNESS_MAIN
