// SPDX-License-Identifier: GPL-2.0
/*
 * A futex that is not private is its owner's: whoever owns the memory next wakes nobody of
 * the former, a child has its own, and a waiter stays one when its memory moves.
 *
 * SOM-TEST: chunks=2 timeout=600 takes=15
 */
#include <linux/futex.h>

#include "som_mutex.h"

static const char *(*som_missing)(int fd);
static bool som_one_process = true;

#define AT	(5 * PAGE + 64)

static long futex(const int *word, int op, int value,
		  const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static long wake(const void *p)
{
	return futex(p, FUTEX_WAKE, INT_MAX, NULL);
}

/* A thread that waits as long as a word is 0. */
struct waiter {
	pthread_t thread;
	int *word, tid, woken;
	long err;
};

static void *wait_here(void *arg)
{
	struct waiter *w = arg;
	const struct timespec limit = { .tv_sec = 2 * SOM_WAIT_SECONDS };

	WRITE_ONCE(w->tid, gettid());
	w->err = futex(w->word, FUTEX_WAIT, 0, &limit) ? errno : 0;
	WRITE_ONCE(w->woken, 1);
	return NULL;
}

static bool start_waiter(struct waiter *w, void *word)
{
	double end = som_now() + SOM_WAIT_SECONDS;

	*w = (struct waiter) { .word = word };
	*w->word = 0;
	if (pthread_create(&w->thread, NULL, wait_here, w))
		return false;
	while (!READ_ONCE(w->tid) || !som_sleeps_in_futex(w->tid)) {
		if (som_now() > end || READ_ONCE(w->woken))
			return false;
		usleep(1000);
	}
	return true;
}

/* The waiter is woken, through its own address, and by nothing else. */
static void expect_woken(struct __test_metadata *_metadata, struct waiter *w)
{
	EXPECT_EQ(0, READ_ONCE(w->woken));
	EXPECT_EQ(1, wake(w->word));
	EXPECT_EQ(0, pthread_join(w->thread, NULL));
	EXPECT_EQ(0, w->err);
}

/* Page frame number of what is mapped at an address, or 0. */
static __u64 pfn_of(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	__u64 entry = 0;

	if (pread(fd, &entry, 8, (uintptr_t)p / PAGE * 8) != 8)
		entry = 0;
	close(fd);
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

/* The waiter of a former owner hears nothing of the next one. */
TEST_F(som, next_owner_wakes_nobody)
{
	struct waiter w;
	__u64 *pfn = som_shared(sizeof(*pfn));
	int *woken = som_shared(sizeof(*woken));
	int *step = som_shared(sizeof(*step));
	pid_t pid;
	char *p;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int fd = som_open();
		long nr, i;
		char *q;

		child_assert(fd >= 0);
		child_assert(som_wait_flag(step, 1));
		nr = som_free();
		q = som_map_at(fd, NULL, nr * UNIT, RW, MAP_NORESERVE);
		child_assert(q != MAP_FAILED);
		for (i = 0; i < nr; i++) {
			WRITE_ONCE(q[i * UNIT], 1);
			if (pfn_of(q + i * UNIT) == *pfn)
				break;
		}
		child_assert(i < nr);
		child_assert(!wake(q + i * UNIT + AT));
		_exit(0);
	}
	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(start_waiter(&w, p + AT));
	*pfn = pfn_of(p);
	ASSERT_NE(0, *pfn);
	ASSERT_EQ(0, munmap(p, UNIT));
	WRITE_ONCE(*step, 1);
	EXPECT_EQ(0, som_wait_child(pid));
	usleep(10000);
	/* Something else is there now: the same address is the same futex. */
	ASSERT_EQ(p, som_map_at(self->fd, p, UNIT, RW, MAP_FIXED_NOREPLACE));
	expect_woken(_metadata, &w);
}

/* Parent and child have the same address, and futexes of their own there. */
TEST_F(som, child_has_its_own)
{
	struct som_policy policy = { .size = sizeof(policy) };
	struct waiter w;
	pid_t pid;
	char *p;

	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &policy));
	policy.options |= SOM_POLICY_FORK_COPY;
	policy.map_size = UNIT;
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, &policy));
	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(start_waiter(&w, p + AT));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		child_assert(!wake(p + AT));
		WRITE_ONCE(p[0], 1);
		child_assert(!wake(p + AT));
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	expect_woken(_metadata, &w);
}

/* A unit that is alone in its chunk, which a compaction empties; NULL without room. */
static char *lonely_unit(int fd)
{
	long nr = CHUNK_UNITS + 16, i, first;
	char *p;

	if (som_no_compact(fd) || som_free() < nr)
		return NULL;
	p = som_map(fd, nr * UNIT);
	if (p == MAP_FAILED)
		return NULL;
	som_touch_units(p, nr * UNIT);
	first = som_chunk_of(getpid(), p);
	for (i = 1; i < nr; i++)
		if (som_chunk_of(getpid(), p + i * UNIT) == first &&
		    madvise(p + i * UNIT, UNIT, MADV_REMOVE))
			return NULL;
	return p;
}

/* Compaction moves the unit below a waiter. */
TEST_F(som, survives_compaction)
{
	struct waiter w;
	__u64 pfn;
	char *p;

	p = lonely_unit(self->fd);
	if (!p)
		SKIP(return, "no room for compaction");
	ASSERT_TRUE(start_waiter(&w, p + AT));
	pfn = pfn_of(p);
	ASSERT_EQ(0, som_compact(1));
	WRITE_ONCE(p[1], 1);
	EXPECT_NE(pfn, pfn_of(p));
	expect_woken(_metadata, &w);
}

static void compact_one(void *arg)
{
	*(int *)arg = som_compact(1);
}

/* And a mutex that inherits priority and tells of the end of its owner, which has both. */
TEST_F(som, mutex_survives_compaction)
{
	int ret = -1;
	__u64 pfn;
	char *p;

	p = lonely_unit(self->fd);
	if (!p)
		SKIP(return, "no room for compaction");
	pfn = pfn_of(p);
	EXPECT_EQ(NULL, try_mutex(p + AT, MUTEX_KINDS - 1, compact_one, &ret));
	EXPECT_EQ(0, ret);
	EXPECT_NE(pfn, pfn_of(p));
}

TEST_HARNESS_MAIN
