// SPDX-License-Identifier: GPL-2.0
/*
 * Recycling: units that their owner keeps, and who makes it give them up.
 *
 * SOM-TEST: timeout=300 kmemleak
 */
#include "som_test.h"

#define NR	8
#define USER	1234

FIXTURE(recycle)
{
	struct som_state before;
	long zero_rate;
	int fd;
};

FIXTURE_SETUP(recycle)
{
	som_state_read(&self->before);
	self->zero_rate = som_setting("zero_rate", 0);
	ASSERT_LE(0, self->zero_rate);
	ASSERT_EQ(0, som_setting("cache_max", NR));
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(recycle)
{
	som_setting("cache_max", 0);
	som_setting("cache_low", 0);
	som_setting("release_rate", 0);
	som_setting("zero_rate", self->zero_rate);
	som_write_string(SOM_SYSFS "limit_owner", "max");
	som_write_string(SOM_SYSFS "limit_user", "max");
	EXPECT_TRUE(som_state_wait(&self->before));
}

static long kept(void)
{
	return som_pool("units_cached");
}

/* Map, mark and unmap: what of it can be kept is. */
static void use(struct __test_metadata *_metadata, int fd, long nr, __u64 mark)
{
	char *p = som_map(fd, nr * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, nr * UNIT, mark);
	ASSERT_EQ(0, munmap(p, nr * UNIT));
}

TEST_F(recycle, up_to_the_limit)
{
	use(_metadata, self->fd, NR - 3, 1);
	EXPECT_EQ(NR - 3, kept());
	EXPECT_EQ(NR - 3, som_used() - self->before.used);
	EXPECT_EQ(NR - 3, som_committed() - self->before.committed);
	EXPECT_EQ(NR - 3, som_fdinfo(getpid(), self->fd, getpid(), "cached"));
	use(_metadata, self->fd, 2 * NR, 1);
	EXPECT_EQ(NR, kept());
	EXPECT_EQ(NR, som_used() - self->before.used);
	/* Less of a limit: what is above goes at once. */
	ASSERT_EQ(NR, som_setting("cache_max", 3));
	EXPECT_EQ(3, kept());
}

TEST_F(recycle, own_units_come_back_zeroed)
{
	char *p;

	use(_metadata, self->fd, NR, 2);
	ASSERT_EQ(NR, kept());
	p = som_map(self->fd, NR * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_not_zero(p, NR * UNIT));
	EXPECT_EQ(0, kept());
	EXPECT_EQ(NR, som_used() - self->before.used);
	EXPECT_EQ(NR, som_committed() - self->before.committed);
	ASSERT_EQ(0, munmap(p, NR * UNIT));
}

TEST_F(recycle, unzeroed_by_request)
{
	struct som_policy policy = { .size = sizeof(policy) };
	char *p, *q;
	int fd;

	use(_metadata, self->fd, NR, 3);
	fd = som_open();
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_GET_POLICY, &policy));
	EXPECT_EQ(0, policy.options);
	policy.options = SOM_POLICY_REUSE;
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_SET_POLICY, &policy));
	p = som_map(fd, NR * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, NR * UNIT);
	EXPECT_EQ(0, kept());
	/* Old bytes of its own, as the touch has left them. */
	EXPECT_LE(0, som_not_zero(p + PAGE, UNIT - PAGE));
	ASSERT_EQ(0, munmap(p, NR * UNIT));
	EXPECT_EQ(NR, kept());
	/* The other file has not asked for it. */
	q = som_map(self->fd, NR * UNIT);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_not_zero(q, NR * UNIT));
	ASSERT_EQ(0, munmap(q, NR * UNIT));
	policy.options = 1ULL << 63;
	EXPECT_EQ(-1, ioctl(fd, SOM_IOC_SET_POLICY, &policy));
	EXPECT_EQ(EINVAL, errno);
}

static int set_limit(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), SOM_SYSFS "%s", name);
	return som_write_string(path, value);
}

/* Somebody else: asks for more than it gets, with limits and without. */
static void ask(int fd, size_t nr, const char *name, const char *limit)
{
	long before = kept();

	child_assert(!set_limit(name, limit));
	child_assert(!setresuid(USER, USER, 0));
	child_assert(som_map(fd, nr * UNIT) == MAP_FAILED && errno == ENOMEM);
	child_assert(!setresuid(0, 0, 0));
	child_assert(!set_limit(name, "max"));
	child_assert(kept() == before);
}

TEST_F(recycle, others_keep_what_would_not_help)
{
	size_t all = som_pool("units_total");
	char *p, *q;
	pid_t pid;

	use(_metadata, self->fd, NR, 5);
	ASSERT_EQ(NR, kept());
	pid = fork();
	if (!pid) {
		ask(self->fd, 3, "limit_owner", "2");
		ask(self->fd, 3, "limit_user", "2");
		ask(self->fd, all + 1, "limit_user", "max");
		/* As much as helps, and no more. */
		p = som_map(self->fd, (all - som_committed() + 2) * UNIT);
		child_assert(p != MAP_FAILED);
		child_assert(kept() == NR - 2);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(NR - 2, kept());

	/* What counts against a limit goes for it: a user's for the user, */
	ASSERT_EQ(0, set_limit("limit_user", "10"));
	pid = fork();
	if (!pid) {
		p = som_map(self->fd, 7 * UNIT);
		child_assert(p != MAP_FAILED);
		child_assert(kept() < NR - 2);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(0, set_limit("limit_user", "max"));
	/* and a process's own for itself. */
	use(_metadata, self->fd, NR, 5);
	ASSERT_EQ(NR, kept());
	ASSERT_EQ(0, set_limit("limit_owner", "10"));
	q = som_map(self->fd, 10 * UNIT);
	EXPECT_NE(MAP_FAILED, q);
	EXPECT_EQ(0, kept());
	ASSERT_EQ(0, munmap(q, 10 * UNIT));
}

/* Another process, with the same file and the same option, sees nothing of it. */
TEST_F(recycle, never_for_another_process)
{
	struct som_policy policy = { .size = sizeof(policy) };
	long free = som_free();
	pid_t pid;
	char *p;

	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &policy));
	policy.options = SOM_POLICY_REUSE;
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, &policy));
	use(_metadata, self->fd, NR, 4);
	ASSERT_EQ(NR, kept());
	pid = fork();
	if (!pid) {
		/* All that there is: what is kept is given up for it. */
		p = som_map(self->fd, free * UNIT);
		child_assert(p != MAP_FAILED);
		child_assert(!kept());
		child_assert(som_pages_not_zero(p, free * UNIT) == -1);
		som_fill_pages(p, NR * UNIT, 5);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, kept());
	p = som_map(self->fd, free * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_pages_not_zero(p, free * UNIT));
	ASSERT_EQ(0, munmap(p, free * UNIT));
}

/* Ways for a child to come by a unit of which it has inherited a part. */
enum {
	CHILD_TOUCHES,
	PARENT_WRITES,
	PARENT_UNMAPS,
	PARENT_UNMAPS_BESIDE_A_SIBLING,
	GRANDCHILD_TOUCHES,
	NR_WAYS,
};

/* Inherited: the first quarter. Use it, let go of it, and look at what comes back. */
static void look_at_unit(int fd, char *p)
{
	char *q;

	child_assert(som_check(p, UNIT / 4, 6) == -1);
	/* With nothing mapped, nothing would be kept. */
	q = som_map(fd, UNIT);
	child_assert(!munmap(p, UNIT / 4));
	child_assert(q != MAP_FAILED);
	WRITE_ONCE(*q, 1);
	/* It is the same unit, as was asked for, and has nothing of others. */
	child_assert(*(__u64 *)(q + PAGE) == som_word(6, PAGE));
	child_assert(som_not_zero(q + UNIT / 4, UNIT - UNIT / 4) == -1);
	_exit(0);
}

static void inherit_a_part(int fd, int *turn, int way)
{
	char *p = som_map(fd, UNIT);
	pid_t pid, other = 0;

	child_assert(p != MAP_FAILED);
	som_fill(p, UNIT, 6);
	child_assert(!madvise(p + UNIT / 4, UNIT / 4, MADV_DONTFORK));
	child_assert(!munmap(p + UNIT / 2, UNIT / 2));
	*turn = 0;
	pid = fork();
	if (!pid) {
		child_assert(som_wait_flag(turn, 1));
		if (way == GRANDCHILD_TOUCHES) {
			pid = fork();
			if (pid)
				_exit(som_wait_child(pid));
		}
		look_at_unit(fd, p);
	}
	child_assert(pid > 0);
	/* It is to have more, in spite of who gets the unit itself. */
	if (way == PARENT_UNMAPS_BESIDE_A_SIBLING) {
		child_assert(!madvise(p + UNIT / 4, UNIT / 4, MADV_DOFORK));
		other = fork();
		if (!other) {
			child_assert(som_wait_flag(turn, 1));
			child_assert(som_check(p, UNIT / 2, 6) == -1);
			_exit(0);
		}
	}
	if (way == PARENT_WRITES)
		som_fill(p, UNIT / 2, 7);
	if (way == PARENT_UNMAPS || other)
		child_assert(!munmap(p, UNIT / 2));
	WRITE_ONCE(*turn, 1);
	child_assert(!som_wait_child(pid));
	child_assert(!other || !som_wait_child(other));
	_exit(0);
}

/* A child's unit has no byte that the child has not inherited. */
TEST_F(recycle, nothing_that_was_not_inherited)
{
	struct som_policy policy = { .size = sizeof(policy) };
	int *turn = som_shared(PAGE), way;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, turn);
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &policy));
	policy.options = SOM_POLICY_REUSE | SOM_POLICY_FORK_COPY;
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, &policy));
	for (way = 0; way < NR_WAYS; way++) {
		pid = fork();
		if (!pid)
			inherit_a_part(self->fd, turn, way);
		EXPECT_EQ(0, som_wait_child(pid))
			TH_LOG("way %d", way);
	}
}

TEST_F(recycle, goes_with_the_process)
{
	pid_t pid = fork();

	if (!pid) {
		char *p = som_map(self->fd, NR * UNIT);

		child_assert(p != MAP_FAILED);
		som_fill_pages(p, NR * UNIT, 6);
		child_assert(!munmap(p, NR * UNIT));
		child_assert(kept() == NR);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, som_wait_number(kept, 0));
}

TEST_F(recycle, shrink_and_compact_take_it)
{
	long chunks = self->before.chunks;

	use(_metadata, self->fd, NR, 7);
	ASSERT_EQ(0, som_set_chunks(0));
	EXPECT_EQ(0, kept());
	ASSERT_EQ(0, som_set_chunks(chunks));
	use(_metadata, self->fd, NR, 7);
	som_compact(1);
	EXPECT_EQ(0, kept());
}

TEST_F(recycle, above_the_watermark_at_a_rate)
{
	double start;
	long low = 2;

	ASSERT_EQ(0, som_setting("cache_low", low));
	use(_metadata, self->fd, NR, 8);
	EXPECT_EQ(NR, kept());
	usleep(300000);
	EXPECT_EQ(NR, kept());
	start = som_now();
	ASSERT_EQ(0, som_setting("release_rate", 4));
	EXPECT_EQ(low, som_wait_number(kept, low));
	/* NR - low units at 4 in a second, and they do not all go at the end. */
	EXPECT_LE(0.5, som_now() - start);
	usleep(500000);
	EXPECT_EQ(low, kept());
}

/* Memory that somebody has a pin on is not kept: the pool waits for the pin. */
TEST_F(recycle, not_what_is_pinned)
{
	char *p = som_map(self->fd, UNIT);
	struct iovec vec = { p, PAGE };
	int fds[2];

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, UNIT, 9);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(PAGE, vmsplice(fds[1], &vec, 1, 0));
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(0, kept());
	EXPECT_EQ(1, som_pool("units_quarantined"));
	close(fds[0]);
	close(fds[1]);
}

/* Empty chunks above a watermark go back to HugeTLB, at a rate. */
TEST_F_TIMEOUT(recycle, empty_chunks_are_trimmed, 60)
{
	long chunks = self->before.chunks;

	ASSERT_EQ(0, som_setting("shrink_low", chunks));
	ASSERT_EQ(0, som_setting("shrink_rate", 600));
	usleep(500000);
	EXPECT_EQ(chunks, som_pool("nr_chunks"));
	ASSERT_EQ(chunks, som_setting("shrink_low", 0));
	/* A chunk leaves the pool's counts first. */
	EXPECT_EQ(self->before.hugepages + chunks,
		  som_wait_number(som_free_hugepages,
				  self->before.hugepages + chunks));
	EXPECT_EQ(0, som_free());
	EXPECT_EQ(0, som_pool("nr_chunks"));
	ASSERT_EQ(600, som_setting("shrink_rate", 0));
	ASSERT_EQ(0, som_set_chunks(chunks));
}

TEST_HARNESS_MAIN
