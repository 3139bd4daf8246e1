// SPDX-License-Identifier: GPL-2.0
/*
 * Faults against everything that takes memory away, on the same units, from
 * several threads and processes at once. Everybody checks marks of his own: a
 * word reads as its owner last wrote it, or zero where it was removed.
 *
 * SOM-TEST: timeout=600 takes=22
 */
#include <sys/uio.h>

#include "som_test.h"

#define THREADS	4

/* Who start together. */
static pthread_barrier_t barrier;

/*
 * The first faults of a unit, from all threads at once: they must meet in the
 * same unit.
 */
static void *fault_together(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	int i, page;
	__u64 *w;
	char *p;

	for (;;) {
		pthread_barrier_wait(&barrier);
		if (READ_ONCE(race->stop))
			return NULL;
		p = race->mem;
		for (i = 0; i < 16; i++) {
			page = (i * THREADS + r->nr) * 8 % 512;
			w = (__u64 *)(p + page * PAGE + r->nr * 8);
			WRITE_ONCE(*w, page + 1);
		}
		pthread_barrier_wait(&barrier);
		for (i = 0; i < 16; i++) {
			page = (i * THREADS + r->nr) * 8 % 512;
			w = (__u64 *)(p + page * PAGE + r->nr * 8);
			som_bad(race, READ_ONCE(*w) != page + 1);
		}
		pthread_barrier_wait(&barrier);
	}
}

/* However slow the machine is. */
#define MIN_ROUNDS	10

static void fault_together_rounds(struct som_race *race, size_t len, long units)
{
	double end = som_race_end(race);
	long used = som_used();

	while (som_now() < end || race->rounds <= MIN_ROUNDS) {
		race->mem = som_map(race->fd, len);
		som_bad(race, race->mem == MAP_FAILED);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		som_bad(race, som_used() != used + units);
		pthread_barrier_wait(&barrier);
		munmap(race->mem, len);
		race->rounds++;
	}
	WRITE_ONCE(race->stop, 1);
	pthread_barrier_wait(&barrier);
}

static void fault_2m_rounds(struct som_race *race)
{
	fault_together_rounds(race, UNIT, 1);
}

/* One page is missing: 4K entries. */
static void fault_4k_rounds(struct som_race *race)
{
	fault_together_rounds(race, UNIT - PAGE, 1);
}

TEST_F(som, first_faults_of_a_2m_entry)
{
	struct som_race race = { .fd = self->fd };

	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	ASSERT_EQ(0, som_run_racers(&race, THREADS, fault_together,
				    fault_2m_rounds));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(MIN_ROUNDS, race.rounds);
	TH_LOG("%ld rounds", race.rounds);
	EXPECT_USED(0);
}

TEST_F(som, first_faults_of_4k_entries)
{
	struct som_race race = { .fd = self->fd };

	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	ASSERT_EQ(0, som_run_racers(&race, THREADS, fault_together,
				    fault_4k_rounds));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(MIN_ROUNDS, race.rounds);
	TH_LOG("%ld rounds", race.rounds);
	EXPECT_USED(0);
}

/*
 * Threads own every second page of two units and never lose what they wrote,
 * while other pages of the same units are protected, removed, unmapped, mapped
 * over and moved away.
 */
static void *keep_own_pages(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	__u64 round, v;
	int page;

	som_catch_faults();
	for (round = 1; !READ_ONCE(race->stop); round++) {
		for (page = 2 * r->nr; page < 1024; page += 2 * THREADS) {
			__u64 *w = (__u64 *)(race->mem + page * PAGE);

			v = (round - 1) << 8 | r->nr;
			som_bad(race, round > 1 && READ_ONCE(*w) != v);
			WRITE_ONCE(*w, round << 8 | r->nr);
		}
		som_round(race);
	}
	return NULL;
}

/* An odd page of the two units. */
static char *odd_page(struct som_race *race, unsigned int *seed)
{
	return race->mem + (rand_r(seed) % 512 * 2 + 1) * PAGE;
}

static void disturb_mprotect(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 1;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed);

		som_bad(race, mprotect(p, PAGE, PROT_NONE));
		som_bad(race, mprotect(p, PAGE, PROT_READ));
		som_bad(race, mprotect(p, PAGE, RW));
	}
}

static void disturb_remove(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 2;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed);

		WRITE_ONCE(*p, 1);
		som_bad(race, madvise(p, PAGE, MADV_REMOVE));
		som_bad(race, READ_ONCE(*p));
		som_bad(race, madvise(p, PAGE, MADV_DONTNEED));
	}
}

static void disturb_munmap(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 3;

	while (som_race_on(race, end))
		som_bad(race, munmap(odd_page(race, &seed), PAGE));
}

static void disturb_map_over(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 4;
	int n = 0;

	while (som_race_on(race, end) && n++ < 300) {
		char *p = odd_page(race, &seed);

		som_bad(race, som_map_at(race->fd, p, PAGE, RW,
					 MAP_FIXED | MAP_NORESERVE) != p);
		som_bad(race, READ_ONCE(*p));
		WRITE_ONCE(*p, 1);
	}
	/* Each of them has a unit of its own: no more, but a round there is to be. */
	while (!READ_ONCE(race->rounds))
		usleep(1000);
}

static void disturb_mremap(struct som_race *race)
{
	double end = som_race_end(race);
	char *room = som_room(2 * UNIT, UNIT);
	unsigned int seed = 5;

	while (som_race_on(race, end)) {
		char *p = odd_page(race, &seed), *q;
		__u64 v = (__u64)p;

		WRITE_ONCE(*(__u64 *)p, v);
		q = room + rand_r(&seed) % 1024 * PAGE;
		som_bad(race, mremap(p, PAGE, PAGE,
				     MREMAP_MAYMOVE | MREMAP_FIXED, q) != q);
		som_bad(race, READ_ONCE(*(__u64 *)q) != v);
		som_bad(race, mremap(q, PAGE, PAGE,
				     MREMAP_MAYMOVE | MREMAP_FIXED, p) != p);
		som_bad(race, READ_ONCE(*(__u64 *)p) != v);
	}
}

/* Run one of them against the threads. */
#define EXPECT_PAGES_SURVIVE(disturb) do {				\
	struct som_race race = { .fd = self->fd };				\
									\
	race.mem = som_map(self->fd, 2 * UNIT);				\
	ASSERT_NE(MAP_FAILED, race.mem);				\
	ASSERT_EQ(0, som_run_racers(&race, THREADS, keep_own_pages,		\
				    disturb));				\
	EXPECT_EQ(0, race.bad);						\
	EXPECT_LT(0, race.rounds);					\
	TH_LOG("%ld rounds", race.rounds);				\
} while (0)

TEST_F(som, own_pages_survive_mprotect)
{
	EXPECT_PAGES_SURVIVE(disturb_mprotect);
}

TEST_F(som, own_pages_survive_remove)
{
	EXPECT_PAGES_SURVIVE(disturb_remove);
}

TEST_F(som, own_pages_survive_munmap)
{
	EXPECT_PAGES_SURVIVE(disturb_munmap);
}

TEST_F(som, own_pages_survive_map_over)
{
	EXPECT_PAGES_SURVIVE(disturb_map_over);
}

TEST_F(som, own_pages_survive_mremap)
{
	EXPECT_PAGES_SURVIVE(disturb_mremap);
}

/*
 * Whole units removed below threads that write them, in two processes at once:
 * a word is what this process wrote there last, or zero, but never what the
 * other process wrote.
 */
static void *write_removed(void *arg)
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
			/* A page that nobody else writes. */
			seen = READ_ONCE(w[511]);
			som_bad(race, seen && seen >> 32 != mark >> 32);
			WRITE_ONCE(w[511], mark | round);
		}
		som_round(race);
	}
	return NULL;
}

static void remove_units(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = getpid();

	while (som_race_on(race, end)) {
		char *p = race->mem + rand_r(&seed) % 4 * UNIT;
		size_t len = rand_r(&seed) % 3 ? UNIT : 10 * PAGE;

		som_bad(race, madvise(p, len, MADV_REMOVE));
	}
}

TEST_F(som, removed_units_of_two_processes)
{
	size_t held_len = (self->before.free - 8) * UNIT;
	pid_t pid[2];
	char *held;
	int i;

	/* Eight units for both: they get each other's all the time. */
	held = som_map(self->fd, held_len);
	ASSERT_NE(MAP_FAILED, held);
	som_touch_units(held, held_len);
	for (i = 0; i < 2; i++) {
		struct som_race race = { .fd = self->fd };

		pid[i] = fork();
		if (pid[i])
			continue;
		race.mem = som_map(self->fd, 4 * UNIT);
		child_assert(race.mem != MAP_FAILED);
		child_assert(!som_run_racers(&race, THREADS, write_removed,
					     remove_units));
		child_assert(race.rounds > 0);
		child_assert(race.bad == 0);
		_exit(0);
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, som_wait_child(pid[i]));
}

/*
 * A unit that jumps to and fro. Whoever looks meets his mark at one of the
 * two places, or nothing, but never other bytes.
 */
static void *look_at_moving(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = r->nr;
	__u64 value;

	som_catch_faults();
	while (!READ_ONCE(race->stop)) {
		size_t at = rand_r(&seed) % 512 * PAGE;
		struct iovec local = { &value, 8 };
		struct iovec remote = { race->mem + at, 8 };

		if (!som_try_read(race->mem + at, &value))
			som_bad(race, value != som_word(1, at));
		if (!som_try_read(race->other + at, &value))
			som_bad(race, value != som_word(1, at));
		if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 8)
			som_bad(race, value != som_word(1, at));
		som_round(race);
	}
	return NULL;
}

static void move_unit(struct som_race *race)
{
	double end = som_race_end(race);
	char *from = race->mem, *to = race->other, *swap;

	while (som_race_on(race, end)) {
		som_bad(race, mremap(from, UNIT, UNIT, MREMAP_MAYMOVE |
				     MREMAP_FIXED, to) != to);
		swap = from;
		from = to;
		to = swap;
	}
}

TEST_F(som, moving_unit)
{
	struct som_race race = { .fd = self->fd };

	race.mem = som_map(self->fd, UNIT);
	race.other = som_room(UNIT, UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_NE(MAP_FAILED, race.other);
	som_fill(race.mem, UNIT, 1);
	ASSERT_EQ(0, som_run_racers(&race, 2, look_at_moving, move_unit));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	EXPECT_USED(1);
}

TEST_F(som, moving_unit_at_unaligned_addresses)
{
	struct som_race race = { .fd = self->fd };

	race.mem = som_map(self->fd, UNIT);
	race.other = som_room(2 * UNIT, UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_NE(MAP_FAILED, race.other);
	race.other += 5 * PAGE;
	som_fill(race.mem, UNIT, 1);
	ASSERT_EQ(0, som_run_racers(&race, 2, look_at_moving, move_unit));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	EXPECT_USED(1);
}

/*
 * A page in the middle first, then what is left on both sides of it. Not the
 * whole once more: another thread may have mapped its own in the gap.
 */
static int unmap_in_pieces(char *p, size_t len)
{
	size_t gap = len / 2 / PAGE * PAGE, rest = gap + PAGE;

	if (munmap(p + gap, PAGE))
		return -1;
	if (gap && munmap(p, gap))
		return -1;
	return rest < len ? munmap(p + rest, len - rest) : 0;
}

/*
 * Threads that map, touch and unmap through two fds, each on his own.
 */
static void *map_loop(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	int fd = r->nr % 2 ? race->fd : open(SOM_DEV, O_RDWR | O_CLOEXEC);
	unsigned int seed = r->nr;
	__u64 round;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		size_t len = (1 + rand_r(&seed) % 2000) * PAGE;
		char *p = som_map(fd, len);

		som_bad(race, p == MAP_FAILED);
		if (p == MAP_FAILED)
			break;
		som_bad(race, som_pages_not_zero(p, len) != -1);
		som_fill_pages(p, len, round << 8 | r->nr);
		som_bad(race, madvise(p, PAGE, MADV_REMOVE));
		*(__u64 *)p = som_word(round << 8 | r->nr, 0);
		som_bad(race,
			som_check_pages(p, len, round << 8 | r->nr) != -1);
		if (round % 2)
			som_bad(race, unmap_in_pieces(p, len));
		else
			som_bad(race, munmap(p, len));
		som_round(race);
	}
	if (fd != race->fd)
		close(fd);
	return NULL;
}

TEST_F(som, two_fds_in_threads)
{
	struct som_race race = { .fd = self->fd };

	ASSERT_EQ(0, som_run_racers(&race, THREADS, map_loop, som_just_wait));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	TH_LOG("%ld rounds", race.rounds);
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

/* The same in processes that are killed in the midst of it. */
TEST_F(som, sigkill_in_the_midst)
{
	double end = som_now() + 2 * som_race_seconds();
	unsigned int seed = 1;
	int rounds = 0;

	while (som_now() < end || rounds < 3) {
		pid_t pid = fork();

		if (!pid) {
			struct som_race race = { .fd = self->fd };

			som_run_racers(&race, 3, map_loop, som_just_wait);
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

/* Fork, with MADV_DOFORK, while threads fault and another one removes. */
static void fork_meanwhile(struct som_race *race)
{
	double end = som_race_end(race);

	madvise(race->mem, 4 * UNIT, MADV_DOFORK);
	while (som_race_on(race, end)) {
		pid_t pid = fork();

		if (!pid) {
			som_catch_faults();
			_exit(som_try_write(race->mem, 1) != SIGSEGV ||
			      som_read_signal(race->mem + UNIT) != SIGSEGV);
		}
		som_bad(race, madvise(race->mem + 3 * UNIT, UNIT,
				      MADV_REMOVE));
		som_bad(race, som_wait_child(pid));
	}
}

TEST_F(som, fork_while_threads_fault)
{
	struct som_race race = { .fd = self->fd };

	race.mem = som_map(self->fd, 4 * UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_run_racers(&race, 3, write_removed, fork_meanwhile));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
}

TEST_HARNESS_MAIN
