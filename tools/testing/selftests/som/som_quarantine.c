// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is given up while somebody has a pin on its chunk: who is charged for it,
 * what the pin sees, and that nobody waits for a pin that is a stranger's, where users
 * share chunks.
 *
 * SOM-TEST: chunks=1 timeout=900 takes=40
 */
#include "som_test.h"

#define USER	1234

FIXTURE(quarantine)
{
	struct som_state before;
	struct stat node;
	long zero_rate;
	int fd, pipe[2];
};

static int set_limit(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), SOM_SYSFS "%s", name);
	return som_write_string(path, value);
}

FIXTURE_SETUP(quarantine)
{
	som_state_read(&self->before);
	ASSERT_EQ(CHUNK_UNITS, self->before.free);
	ASSERT_EQ(0, stat(SOM_DEV, &self->node));
	ASSERT_EQ(0, chmod(SOM_DEV, 0666));
	ASSERT_EQ(0, som_write_string(SOM_SYSFS "share_chunks", "1"));
	self->zero_rate = som_setting("zero_rate", 0);
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, pipe(self->pipe));
}

FIXTURE_TEARDOWN_PARENT(quarantine)
{
	set_limit("limit_owner", "max");
	set_limit("limit_user", "max");
	som_setting("cache_max", 0);
	som_setting("zero_rate", self->zero_rate);
	if (chmod(SOM_DEV, self->node.st_mode & 0777))
		TH_LOG("%s is not as it was", SOM_DEV);
	EXPECT_TRUE(som_state_wait(&self->before));
	EXPECT_EQ(0, som_write_string(SOM_SYSFS "share_chunks", "0"));
}

static long quarantined(void)
{
	return som_pool("units_quarantined");
}

static long mine(int fd, const char *key)
{
	return som_fdinfo(getpid(), fd, getpid(), key);
}

/* Pin pages from @p on by way of a pipe. */
static bool pin(int fds[2], void *p, size_t len)
{
	struct iovec iov = { p, len };

	return vmsplice(fds[1], &iov, 1, 0) == len;
}

/* The end of all pins of a pipe: its pages are read, at most @len bytes of them. */
static ssize_t unpin(int fds[2], void *buf, size_t len)
{
	return read(fds[0], buf, len);
}

/* A child that becomes somebody else and pins a page of one unit, until it is killed. */
static pid_t stranger_with_a_pin(int fds[2])
{
	int *flag = som_shared(PAGE);
	pid_t pid = fork();

	if (!pid) {
		int fd;
		char *p;

		child_assert(!setgid(USER + 1) && !setuid(USER + 1));
		fd = som_open();
		child_assert(fd >= 0);
		p = som_map(fd, UNIT);
		child_assert(p != MAP_FAILED);
		*p = 1;
		child_assert(pin(fds, p, PAGE));
		WRITE_ONCE(*flag, 1);
		for (;;)
			pause();
	}
	if (!som_wait_flag(flag, 1)) {
		kill(pid, SIGKILL);
		pid = -1;
	}
	munmap(flag, PAGE);
	return pid;
}

/* Map, use and give up a unit, @rounds times. Return: how often that went well. */
static long churn(int fd, long rounds)
{
	long i;
	char *p;

	for (i = 0; i < rounds; i++) {
		p = som_map(fd, UNIT);
		if (p == MAP_FAILED)
			break;
		*p = 1;
		munmap(p, UNIT);
	}
	return i;
}

/*
 * Who is charged
 */

/* A page in a pipe, and limits of 2 units: that is what can be kept from others. */
TEST_F(quarantine, no_more_than_the_limit)
{
	int *step = som_shared(PAGE);
	size_t len;
	pid_t pid;
	char *p;

	ASSERT_EQ(0, set_limit("limit_owner", "2"));
	pid = fork();
	if (!pid) {
		char buf[PAGE];
		int fd;

		child_assert(!setgid(USER) && !setuid(USER));
		fd = som_open();
		p = som_map(fd, UNIT);
		child_assert(p != MAP_FAILED);
		*p = 1;
		child_assert(pin(self->pipe, p, PAGE));
		child_assert(churn(fd, 1000) == 1);
		child_assert(errno == ENOMEM);
		child_assert(mine(fd, "quarantined") == 1);
		child_assert(mine(fd, "charged") == 2);
		WRITE_ONCE(*step, 1);
		child_assert(som_wait_flag(step, 2));
		/* Without the pin everything is there again, at once. */
		child_assert(unpin(self->pipe, buf, PAGE) == PAGE);
		child_assert(churn(fd, 1000) == 1000);
		child_assert(!mine(fd, "quarantined"));
		child_assert(mine(fd, "charged") == 1);
		_exit(0);
	}
	ASSERT_TRUE(som_wait_flag(step, 1));
	EXPECT_EQ(1, quarantined());
	ASSERT_EQ(0, set_limit("limit_owner", "max"));
	len = (CHUNK_UNITS - 2) * UNIT;
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, len);
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, UNIT));
	ASSERT_EQ(0, set_limit("limit_owner", "2"));
	WRITE_ONCE(*step, 2);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, quarantined());
	EXPECT_EQ(0, munmap(p, len));
}

/* MADV_REMOVE and MADV_DONTNEED are no other way, nor is memory without a promise. */
TEST_F(quarantine, whatever_gives_it_up)
{
	static const struct {
		int flags, advice;
	} way[] = {
		{ MAP_SHARED, MADV_REMOVE },
		{ MAP_SHARED | MAP_NORESERVE, MADV_REMOVE },
		{ MAP_PRIVATE, MADV_REMOVE },
		{ MAP_PRIVATE, MADV_DONTNEED },
		{ MAP_PRIVATE | MAP_NORESERVE, MADV_DONTNEED },
	};
	char buf[PAGE];
	char *p, *q;
	size_t i;
	int j;

	ASSERT_EQ(0, set_limit("limit_owner", "4"));
	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	*p = 1;
	ASSERT_TRUE(pin(self->pipe, p, PAGE));
	for (i = 0; i < ARRAY_SIZE(way); i++) {
		q = mmap(NULL, UNIT, RW, way[i].flags, self->fd, 0);
		ASSERT_NE(MAP_FAILED, q)
			TH_LOG("way %zu", i);
		for (j = 0; j < 10; j++) {
			/* It can always be touched, and is zero. */
			EXPECT_EQ(0, som_try_write(q, 7 + j));
			EXPECT_EQ(0, *(__u64 *)(q + PAGE))
				TH_LOG("way %zu, round %d", i, j);
			*(__u64 *)(q + PAGE) = 1;
			ASSERT_EQ(0, madvise(q, UNIT, way[i].advice));
			if (j & 1)
				usleep(20000);
			EXPECT_GE(4, mine(self->fd, "charged"));
			EXPECT_GE(3, quarantined());
		}
		EXPECT_EQ(0, munmap(q, UNIT));
		ASSERT_EQ(PAGE, unpin(self->pipe, buf, PAGE));
		EXPECT_EQ(0, som_wait_number(quarantined, 0));
		ASSERT_TRUE(pin(self->pipe, p, PAGE));
	}
	ASSERT_EQ(PAGE, unpin(self->pipe, buf, PAGE));
}

/* The next process of the same user is charged for what the last has left. */
TEST_F(quarantine, exit_is_no_way_out)
{
	long i, good = 0;
	char buf[PAGE];
	pid_t pid, other;
	int status;

	ASSERT_EQ(0, set_limit("limit_user", "3"));
	other = stranger_with_a_pin(self->pipe);
	ASSERT_LT(0, other);
	for (i = 0; i < 20; i++) {
		pid = fork();
		if (!pid) {
			int fd;

			child_assert(!setgid(USER) && !setuid(USER));
			fd = som_open();
			_exit(churn(fd, 1) == 1 ? 0 : 77);
		}
		status = som_wait_child(pid);
		EXPECT_TRUE(status == 0 || status == 77);
		good += !status;
	}
	EXPECT_EQ(3, good);
	EXPECT_EQ(3, quarantined());
	/* As are those that end with it. */
	pid = fork();
	if (!pid) {
		child_assert(!setgid(USER + 2) && !setuid(USER + 2));
		child_assert(churn(som_open(), 5) == 3);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	pid = fork();
	if (!pid) {
		child_assert(!setgid(USER + 2) && !setuid(USER + 2));
		child_assert(churn(som_open(), 5) == 0);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	/* It is the pin that counts. */
	ASSERT_EQ(PAGE, unpin(self->pipe, buf, PAGE));
	pid = fork();
	if (!pid) {
		child_assert(!setgid(USER + 2) && !setuid(USER + 2));
		child_assert(churn(som_open(), 5) == 5);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	kill(other, SIGKILL);
	EXPECT_EQ(-SIGKILL, som_wait_child(other));
}

/* What is held is charged once, also to who has shared it with a child. */
TEST_F(quarantine, after_fork_with_a_copy)
{
	struct som_policy policy = { .size = sizeof(policy) };
	char buf[2 * PAGE], *p;
	pid_t pid, child;
	int *step = som_shared(PAGE);

	pid = fork();
	if (!pid) {
		int fd = som_open();

		child_assert(!ioctl(fd, SOM_IOC_GET_POLICY, &policy));
		policy.options = SOM_POLICY_FORK_COPY;
		child_assert(!ioctl(fd, SOM_IOC_SET_POLICY, &policy));
		p = som_map(fd, 8 * UNIT);
		child_assert(p != MAP_FAILED);
		som_fill_pages(p, 8 * UNIT, 1);
		child_assert(pin(self->pipe, p + UNIT, 2 * PAGE));
		child = fork();
		if (child)
			_exit(0);
		child_assert(som_wait_flag(step, 1));
		child_assert(som_check_pages(p, 8 * UNIT, 1) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_GE(8, quarantined());
	EXPECT_GE(CHUNK_UNITS, som_committed() + quarantined());
	WRITE_ONCE(*step, 1);
	EXPECT_EQ(self->before.committed,
		  som_wait_number(som_committed, self->before.committed));
	ASSERT_EQ(2 * PAGE, unpin(self->pipe, buf, 2 * PAGE));
	EXPECT_EQ(som_word(1, UNIT), *(__u64 *)buf);
}

/* The charge goes along to what is kept, so a limit of 1 unit is no obstacle. */
TEST_F(quarantine, keeping_within_a_limit_of_one)
{
	char buf[PAGE], *p;
	int i;

	ASSERT_LE(0, som_setting("cache_max", 4));
	ASSERT_EQ(0, set_limit("limit_owner", "1"));
	for (i = 0; i < 5; i++) {
		p = som_map(self->fd, UNIT);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(0, *(__u64 *)p);
		som_fill_pages(p, UNIT, i);
		ASSERT_EQ(0, munmap(p, UNIT));
		EXPECT_EQ(1, som_pool("units_cached"));
		EXPECT_EQ(1, mine(self->fd, "charged"));
	}
	/* Not what is pinned: it is held instead, with the same charge. */
	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, UNIT, 9);
	ASSERT_TRUE(pin(self->pipe, p + PAGE, PAGE));
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(0, som_pool("units_cached"));
	EXPECT_EQ(1, mine(self->fd, "quarantined"));
	EXPECT_EQ(1, mine(self->fd, "charged"));
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, UNIT));
	EXPECT_EQ(ENOMEM, errno);
	ASSERT_EQ(PAGE, unpin(self->pipe, buf, PAGE));
	EXPECT_EQ(som_word(9, PAGE), *(__u64 *)buf);
	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, munmap(p, UNIT));
}

/*
 * What the pin sees
 */

/* Give up pinned memory, and use it again. Return: what byte the pin sees, or -errno. */
static int seen_by_a_pin(int fd, int flags, int advice, bool pinnable,
			 unsigned int wait)
{
	int fds[2], ret = -EIO, i;
	char page[PAGE], *p, *q;

	p = som_room(UNIT, UNIT);
	if (p == MAP_FAILED ||
	    mmap(p, UNIT, RW, flags | MAP_FIXED, fd, 0) != p || pipe(fds))
		return -errno;
	memset(p, 0x5a, UNIT);
	if (pinnable && som_page_backed(fd, p, UNIT))
		return -errno;
	/* What comes after pages cannot be pinned so for a while. */
	for (i = 0; i < (pinnable ? 1 : 3); i++) {
		q = p + (i * 200 + 3) * PAGE;
		memset(q, 0x5a, PAGE);
		if (!pin(fds, q, PAGE))
			return -errno;
		if (madvise(p, UNIT, advice))
			return -errno;
		usleep(wait);
		/* Before it is used again, and afterwards. */
		if (som_not_zero(p, UNIT) != -1)
			return -EILSEQ;
		memset(q, 0x77, PAGE);
		if (unpin(fds, page, PAGE) != PAGE)
			return -errno;
		ret = (unsigned char)page[2000];
		if (ret != 0x5a)
			break;
	}
	close(fds[0]);
	close(fds[1]);
	munmap(p, UNIT);
	return ret;
}

TEST_F(quarantine, the_pin_keeps_its_bytes)
{
	unsigned int wait;

	for (wait = 0; wait <= 40000; wait += 40000) {
		EXPECT_EQ(0x5a, seen_by_a_pin(self->fd, MAP_PRIVATE,
					      MADV_DONTNEED, false, wait));
		EXPECT_EQ(0x5a, seen_by_a_pin(self->fd, MAP_PRIVATE,
					      MADV_REMOVE, false, wait));
		EXPECT_EQ(0x5a, seen_by_a_pin(self->fd, MAP_SHARED,
					      MADV_REMOVE, false, wait));
		EXPECT_EQ(0x5a, seen_by_a_pin(self->fd,
					      MAP_SHARED | MAP_NORESERVE,
					      MADV_REMOVE, false, wait));
	}
}

TEST_F(quarantine, the_pin_keeps_its_bytes_in_pages)
{
	unsigned int wait;

	for (wait = 0; wait <= 40000; wait += 40000) {
		EXPECT_EQ(0x5a, seen_by_a_pin(self->fd, MAP_PRIVATE,
					      MADV_DONTNEED, true, wait));
		EXPECT_EQ(0x5a, seen_by_a_pin(self->fd,
					      MAP_PRIVATE | MAP_NORESERVE,
					      MADV_DONTNEED, true, wait));
		EXPECT_EQ(0x5a, seen_by_a_pin(self->fd, MAP_SHARED,
					      MADV_REMOVE, true, wait));
	}
	EXPECT_EQ(0, som_wait_number(som_used, 0));
	EXPECT_EQ(self->before.page_backed, som_pool("units_page_backed"));
}

/* Pages need no unit more: nothing else is true of them at a limit. */
TEST_F(quarantine, pages_at_the_limit)
{
	ASSERT_EQ(0, set_limit("limit_owner", "1"));
	EXPECT_EQ(0x5a, seen_by_a_pin(self->fd, MAP_PRIVATE, MADV_DONTNEED,
				      true, 0));
	EXPECT_EQ(0x5a, seen_by_a_pin(self->fd, MAP_PRIVATE, MADV_DONTNEED,
				      true, 40000));
	/* One of the pool's stays where it is, without one more. */
	EXPECT_EQ(0x77, seen_by_a_pin(self->fd, MAP_PRIVATE, MADV_DONTNEED,
				      false, 0));
	EXPECT_EQ(0x77, seen_by_a_pin(self->fd, MAP_SHARED, MADV_REMOVE,
				      false, 40000));
}

/* A mapping that was moved some time has to do with no other. */
TEST_F(quarantine, after_a_move)
{
	char *p = som_map_private(self->fd, 2 * UNIT);
	char *to = som_room(2 * UNIT, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, to);
	som_touch_units(p, 2 * UNIT);
	ASSERT_EQ(to, mremap(p, 2 * UNIT, 2 * UNIT,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(0x5a, seen_by_a_pin(self->fd, MAP_PRIVATE, MADV_DONTNEED,
				      false, 0));
	EXPECT_EQ(0x5a, seen_by_a_pin(self->fd, MAP_PRIVATE, MADV_DONTNEED,
				      false, 40000));
	EXPECT_EQ(0, munmap(to, 2 * UNIT));
}

/*
 * A stranger's pin
 */

/* Pins a page and lets go of it, and holds it where something is quarantined, or late. */
static pid_t stranger_who_tries(int fds[2], int *step, double seconds)
{
	pid_t pid = fork();
	double end;
	char *p, c;
	int fd, i;

	if (pid)
		return pid;
	child_assert(!setgid(USER + 1) && !setuid(USER + 1));
	fd = som_open();
	p = som_map(fd, UNIT);
	child_assert(p != MAP_FAILED);
	*p = 1;
	child_assert(som_wait_flag(step, 1));
	end = som_now() + seconds;
	while (som_now() < end) {
		child_assert(pin(fds, p, 1));
		for (i = 0; i < 3 && quarantined() <= 0; i++)
			;
		if (i < 3)
			break;
		child_assert(unpin(fds, &c, 1) == 1);
	}
	if (som_now() >= end)
		child_assert(pin(fds, p, 1));
	WRITE_ONCE(*step, 2);
	for (;;)
		pause();
}

/* Who was promised all the rest gets it, whoever pins what, and when. */
TEST_F(quarantine, a_promise_is_kept)
{
	double seconds = som_seconds(4, 4), end;
	int *step = som_shared(PAGE);
	long nr = CHUNK_UNITS - 1, i;
	pid_t pid, other;

	other = stranger_who_tries(self->pipe, step, seconds - 0.5);
	ASSERT_LT(0, other);
	som_all_cpus();
	EXPECT_EQ(1, som_wait_number(som_used, 1));
	pid = fork();
	if (!pid) {
		char *p = som_map(self->fd, nr * UNIT);

		child_assert(p != MAP_FAILED);
		som_touch_units(p, nr * UNIT);
		WRITE_ONCE(*step, 1);
		end = som_now() + seconds;
		for (i = 0; som_now() < end; i = (i + 1) % nr) {
			child_assert(!madvise(p + i * UNIT, UNIT, MADV_REMOVE));
			child_assert(!*(__u64 *)(p + i * UNIT));
			*(__u64 *)(p + i * UNIT) = i + 1;
		}
		child_assert(READ_ONCE(*step) == 2);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child_for(pid, seconds));
	EXPECT_GE(CHUNK_UNITS, som_committed() + quarantined());
	kill(other, SIGKILL);
	EXPECT_EQ(-SIGKILL, som_wait_child(other));
}

/*
 * A parent, all of whose memory a child has inherited, gives some up, while the pool
 * is full and a stranger has a pin: the child gets its copies, nobody waits for the pin.
 */
TEST_F(quarantine, nobody_waits_for_a_stranger)
{
	struct som_policy policy = { .size = sizeof(policy) };
	long nr = (CHUNK_UNITS - 2) / 2, i;
	int *step = som_shared(PAGE), *turn = som_shared(PAGE);
	pid_t pid, other, third;
	size_t len = nr * UNIT;
	char *p;

	other = stranger_who_tries(self->pipe, step, 1);
	ASSERT_LT(0, other);
	som_all_cpus();
	EXPECT_EQ(1, som_wait_number(som_used, 1));
	pid = fork();
	if (!pid) {
		int fd = som_open();
		pid_t child;

		child_assert(!ioctl(fd, SOM_IOC_GET_POLICY, &policy));
		policy.options = SOM_POLICY_FORK_COPY;
		child_assert(!ioctl(fd, SOM_IOC_SET_POLICY, &policy));
		p = som_map(fd, len);
		child_assert(p != MAP_FAILED);
		som_touch_units(p, len);
		child = fork();
		if (!child) {
			child_assert(som_wait_flag(turn, 2));
			for (i = 0; i < nr - 1; i++)
				child_assert(p[i * UNIT] == 1);
			WRITE_ONCE(*turn, 3);
			for (;;)
				pause();
		}
		WRITE_ONCE(*turn, 1);
		child_assert(som_wait_flag(turn, 4));
		child_assert(!madvise(p + (nr - 1) * UNIT, UNIT, MADV_REMOVE));
		kill(child, SIGKILL);
		child_assert(som_wait_child(child) == -SIGKILL);
		_exit(0);
	}
	ASSERT_TRUE(som_wait_flag(turn, 1));
	third = fork();
	if (!third) {
		p = som_map(self->fd, (CHUNK_UNITS - 1 - 2 * nr) * UNIT);
		child_assert(p != MAP_FAILED);
		*p = 1;
		WRITE_ONCE(*step, 1);
		while (READ_ONCE(*step) == 1) {
			child_assert(!madvise(p, UNIT, MADV_REMOVE));
			*p = 1;
		}
		child_assert(!madvise(p, UNIT, MADV_REMOVE));
		for (;;)
			pause();
	}
	ASSERT_TRUE(som_wait_flag(step, 2));
	WRITE_ONCE(*turn, 2);
	EXPECT_TRUE(som_wait_flag(turn, 3));
	WRITE_ONCE(*turn, 4);
	EXPECT_EQ(0, som_wait_child_for(pid, 0));
	kill(third, SIGKILL);
	EXPECT_EQ(-SIGKILL, som_wait_child(third));
	kill(other, SIGKILL);
	EXPECT_EQ(-SIGKILL, som_wait_child(other));
}

/*
 * Everything at a time
 */

#define RACE_UNITS	6

/* Each gives up memory in its own way, and uses it at once; one pins and lets go. */
static void *racer(void *arg)
{
	struct som_racer *me = arg;
	struct som_race *race = me->race;
	char *mem = race->mem, *p, page[PAGE];
	int fds[2], nr = me->nr, ret;
	__u64 value;
	long i = 0;

	if (pipe(fds))
		return arg;
	for (; !READ_ONCE(race->stop); i++) {
		p = mem + (i * 7 + nr) % RACE_UNITS * UNIT;
		switch (nr) {
		case 0:
			if (pin(fds, p, PAGE))
				unpin(fds, page, PAGE);
			break;
		case 1:
		case 2:
			ret = madvise(p, 2 * UNIT, MADV_REMOVE);
			som_bad(race, ret && errno != EINVAL && errno != ENOMEM);
			break;
		case 3:
			p = som_map_private(race->fd, UNIT);
			if (p == MAP_FAILED)
				break;
			if (!som_try_write(p + PAGE * nr, i + 1)) {
				if (pin(fds, p, PAGE))
					madvise(p, UNIT, MADV_DONTNEED);
				ret = som_try_read(p + PAGE * nr, &value);
				som_bad(race, !ret && value && value != i + 1);
				unpin(fds, page, PAGE);
			}
			munmap(p, UNIT);
			break;
		case 4:
			/* The promise ends, and begins again, below those. */
			if (mmap(p, UNIT, RW, MAP_SHARED | MAP_FIXED |
				 (i & 1 ? MAP_NORESERVE : 0), race->fd, 0) != p)
				som_bad(race, errno != ENOMEM);
			break;
		default:
			if (!som_try_read(p + PAGE * nr, &value))
				som_bad(race, value && value != nr);
			som_try_write(p + PAGE * nr, nr);
			break;
		}
		som_round(race);
	}
	close(fds[0]);
	close(fds[1]);
	return NULL;
}

TEST_F(quarantine, all_at_a_time)
{
	struct som_race race = { .fd = self->fd, .seconds = som_seconds(2, 4) };
	size_t len = (RACE_UNITS + 1) * UNIT;

	ASSERT_EQ(0, set_limit("limit_owner", "10"));
	ASSERT_LE(0, som_setting("cache_max", 2));
	race.mem = som_room(len, UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(race.mem, som_map_at(self->fd, race.mem, len, RW, MAP_FIXED));
	ASSERT_EQ(0, som_run_racers(&race, 7, racer, som_just_wait));
	EXPECT_EQ(0, race.bad);
	EXPECT_GE(10, mine(self->fd, "charged"));
	ASSERT_EQ(0, munmap(race.mem, len));
	EXPECT_EQ(0, som_wait_number(quarantined, 0));
}

TEST_HARNESS_MAIN
