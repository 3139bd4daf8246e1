// SPDX-License-Identifier: GPL-2.0
/*
 * MAP_PRIVATE: what MADV_DONTNEED gives back to the pool, with a pool that has no other
 * units, with pins that last, and with touches of the kernel itself.
 *
 * SOM-TEST: timeout=900 takes=10
 */
#include "som_scan.h"

static const char *(*som_missing)(int fd) = som_no_private;
static bool som_one_process = true;

/* A freed unit is zero in the next process that gets it. */
TEST_F(som, reuse_by_another_process)
{
	size_t len = self->before.free * UNIT;
	char *p = som_map_private_at(self->fd, NULL, len, RW, MAP_NORESERVE);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, len, 1);
	som_fill(p, 16 * UNIT, 1);
	ASSERT_EQ(0, madvise(p, len, MADV_DONTNEED));
	EXPECT_USED_SOON(0);
	/* The units are freed before they are uncharged. */
	EXPECT_EQ(self->before.committed,
		  som_wait_number(som_committed, self->before.committed));
	pid = fork();
	if (!pid) {
		char *q = som_map(self->fd, len);

		child_assert(q != MAP_FAILED);
		child_assert(som_pages_not_zero(q, len) == -1);
		child_assert(som_not_zero(q, 64 * UNIT) == -1);
		som_fill_pages(q, len, 2);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_USED_SOON(0);
	EXPECT_EQ(-1, som_not_zero(p, 4 * UNIT));
}

/* The pool is empty but for what DONTNEED gives back: that must be enough. */
TEST_F(som, refault_with_an_empty_pool)
{
	size_t len = self->before.free * UNIT;
	char *p = som_map_private(self->fd, len);
	int i, rounds = som_rounds(100);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, len);
	EXPECT_EQ(0, som_free());
	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, madvise(p, 4 * UNIT, MADV_DONTNEED));
		ASSERT_EQ(-1, som_pages_not_zero(p, 4 * UNIT));
		som_fill_pages(p, 4 * UNIT, i);
	}
	EXPECT_EQ(-1, som_check_pages(p, 4 * UNIT, i - 1));
	EXPECT_EQ(self->before.total, som_used());
}

/*
 * The kernel itself touches what was given up, with mmap_lock held, while the pool has
 * nothing but that: who gives it back and who waits for it must not wait for each
 * other.
 */
#define WANTED	128UL	/* units: more than are touched before the worker comes */

/* The pool is empty but for some units. Return: what holds the others. */
static char *hold_all_but(int fd, long units)
{
	size_t len = (som_free() - units) * UNIT;
	char *p = som_map(fd, len);

	if (p != MAP_FAILED)
		som_touch_units(p, len);
	return p;
}

enum toucher { POPULATE_WRITE, POPULATE_READ, MLOCK, VM_WRITEV, VM_READV, NR_TOUCHERS };

/* Transfer one word of each unit by process_vm. Return: the number of words. */
static long vm_words(char *p, long units, __u64 *words, bool write)
{
	struct iovec local = { words, units * 8 }, remote[WANTED];
	long i, n;

	for (i = 0; i < units; i++)
		remote[i] = (struct iovec) { p + i * UNIT, 8 };
	n = write ? process_vm_writev(getpid(), &local, 1, remote, units, 0) :
		    process_vm_readv(getpid(), &local, 1, remote, units, 0);
	return n / 8;
}

static void touch_all(char *p, enum toucher how)
{
	static __u64 words[WANTED];
	size_t len = WANTED * UNIT;

	switch (how) {
	case POPULATE_WRITE:
		child_assert(!madvise(p, len, MADV_POPULATE_WRITE));
		break;
	case POPULATE_READ:
		child_assert(!madvise(p, len, MADV_POPULATE_READ));
		break;
	case MLOCK:
		child_assert(!mlock(p, len) && !munlock(p, len));
		break;
	case VM_WRITEV:
		child_assert(vm_words(p, WANTED, words, true) == WANTED);
		break;
	default:
		words[5] = 1;
		child_assert(vm_words(p, WANTED, words, false) == WANTED);
		child_assert(som_not_zero(words, sizeof(words)) == -1);
	}
}

TEST_F(som, kernel_touches_what_was_given_up)
{
	size_t len = WANTED * UNIT;
	pid_t pid;
	int how;

	ASSERT_NE(MAP_FAILED, hold_all_but(self->fd, WANTED));
	for (how = 0; how < NR_TOUCHERS; how++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			char *p = som_map_private(self->fd, len);

			child_assert(p != MAP_FAILED);
			som_fill_pages(p, len, 1);
			child_assert(!som_free());
			/* The worker is on another processor. */
			som_all_cpus();
			child_assert(!madvise(p, len, MADV_DONTNEED));
			touch_all(p, how);
			child_assert(som_pages_not_zero(p, len) == -1);
			som_fill_pages(p, len, 2);
			child_assert(som_check_pages(p, len, 2) == -1);
			_exit(0);
		}
		EXPECT_EQ(0, som_wait_child_for(pid, 0))
			TH_LOG("way %d", how);
		EXPECT_EQ(0, som_wait_number(som_free, WANTED) - (long)WANTED);
	}
}

#define FEW	4UL

/* All bytes of a word are the same: copies are made byte by byte. */
static bool mixed(__u64 word, __u64 byte)
{
	for (; word; word >>= 8)
		if (word % 256 && word % 256 != byte)
			return true;
	return false;
}

/* Racer 0 gives units up, the others read and write them from outside. */
static void *touch_from_outside(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = 40 + r->nr;
	__u64 words[FEW];
	size_t i;

	while (!READ_ONCE(race->stop)) {
		for (i = 0; i < FEW; i++)
			memset(words + i, i + 1, 8);
		if (r->nr == 0) {
			char *p = race->mem + rand_r(&seed) % FEW * UNIT;
			/* Where DONTNEED keeps the data, REMOVE it is. */
			bool remove = !race->other || rand_r(&seed) % 4 == 0;

			som_bad(race, madvise(p, UNIT, remove ? MADV_REMOVE :
							       MADV_DONTNEED));
			continue;
		}
		som_bad(race, vm_words(race->mem, FEW, words, r->nr % 2) != FEW);
		for (i = 0; i < FEW; i++)
			som_bad(race, mixed(words[i], i + 1));
		som_round(race);
	}
	return NULL;
}

SOM_FIXTURE(giving_up)

FIXTURE_VARIANT(giving_up)
{
	bool private;
};

FIXTURE_VARIANT_ADD(giving_up, shared)
{
};

FIXTURE_VARIANT_ADD(giving_up, private)
{
	.private = true,
};

TEST_F(giving_up, beside_touches_from_outside)
{
	struct som_race race = {
		.fd = self->fd, .seconds = som_race_seconds(),
	};
	pid_t pid;

	ASSERT_NE(MAP_FAILED, hold_all_but(self->fd, FEW));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		race.mem = variant->private ?
			som_map_private(self->fd, FEW * UNIT) :
			som_map(self->fd, FEW * UNIT);
		race.other = variant->private ? race.mem : NULL;
		child_assert(race.mem != MAP_FAILED);
		som_touch_units(race.mem, FEW * UNIT);
		child_assert(!madvise(race.mem, FEW * UNIT, MADV_REMOVE));
		child_assert(!som_run_racers(&race, 3, touch_from_outside,
					     som_just_wait));
		child_assert(race.rounds > 0);
		child_assert(race.bad == 0);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child_for(pid, race.seconds));
	EXPECT_EQ(FEW, som_wait_number(som_free, FEW));
}

/*
 * Memory that is pinned and given up has no owner as long as the pin lasts. A process that
 * pins more and more must not get units that are reserved for another process.
 */
#define PINNED_ROUNDS	8

/* Two files are not read at one time: a unit on its way may be in both. */
static bool pool_keeps_its_word(void)
{
	int tries;

	for (tries = 0; tries < 20; tries++) {
		if (som_committed() + som_pool("units_quarantined") <=
		    som_pool("units_total"))
			return true;
		usleep(1000);
	}
	return false;
}

/* A child that reserves all but some units, and touches them at turn 2. */
static pid_t child_with_a_reservation(int fd, int *turn, long left)
{
	size_t len = (som_free() - left) * UNIT;
	pid_t pid = fork();
	char *p;

	if (pid)
		return pid;
	p = som_map(fd, len);
	child_assert(p != MAP_FAILED);
	WRITE_ONCE(*turn, 1);
	child_assert(som_wait_flag(turn, 2));
	som_touch_units(p, len);
	_exit(0);
}

/* A pinned page has its data of the time of the pin, or is zero. */
static void check_pipe(struct __test_metadata *_metadata, int fd)
{
	__u64 page[PAGE / 8];
	int i;

	for (i = 0; i < PINNED_ROUNDS; i++) {
		ASSERT_EQ(PAGE, read(fd, page, PAGE));
		EXPECT_TRUE(som_check(page, PAGE, i + 1) == -1 ||
			    som_not_zero(page, PAGE) == -1)
			TH_LOG("page %d: %llx", i, page[0]);
	}
}

SOM_FIXTURE(pinned)

FIXTURE_VARIANT(pinned)
{
	unsigned int pause;	/* us */
};

FIXTURE_VARIANT_ADD(pinned, touched_later)
{
	.pause = 30000,
};

FIXTURE_VARIANT_ADD(pinned, touched_at_once)
{
	.pause = 0,
};

TEST_F(pinned, and_given_up)
{
	int *turn = som_shared(PAGE), fds[2], i;
	struct iovec iov = { .iov_len = PAGE };
	char *p;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, turn);
	ASSERT_EQ(0, pipe(fds));
	pid = child_with_a_reservation(self->fd, turn, 3);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(som_wait_flag(turn, 1));
	p = som_map_private(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < PINNED_ROUNDS; i++) {
		/* Each time another page, which is not written again. */
		iov.iov_base = p + i * PAGE;
		som_fill(iov.iov_base, PAGE, i + 1);
		ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
		ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
		EXPECT_TRUE(pool_keeps_its_word())
			TH_LOG("round %d", i);
		usleep(variant->pause);
		EXPECT_EQ(-1, som_pages_not_zero(p, UNIT));
		EXPECT_TRUE(pool_keeps_its_word())
			TH_LOG("round %d", i);
	}
	som_all_cpus();
	WRITE_ONCE(*turn, 2);
	EXPECT_EQ(0, som_wait_child_for(pid, 0));
	EXPECT_TRUE(pool_keeps_its_word());
	check_pipe(_metadata, fds[0]);
	close(fds[0]);
	close(fds[1]);
	EXPECT_EQ(-1, som_pages_not_zero(p, UNIT));
}

TEST_HARNESS_MAIN
