// SPDX-License-Identifier: GPL-2.0
/*
 * Users do not share chunks: what a stranger's pin costs, who gets a chunk, that what is
 * reserved is there, and what an administrator can choose.
 *
 * SOM-TEST: chunks=3 timeout=600 takes=30
 */
#include "som_scan.h"

#define USER	1234

FIXTURE(users)
{
	struct som_state before;
	struct stat node;
	int fd, *step;
};

static int share(int value)
{
	return som_write_string(SOM_SYSFS "share_chunks", value ? "1" : "0");
}

FIXTURE_SETUP(users)
{
	som_state_read(&self->before);
	ASSERT_EQ(3 * CHUNK_UNITS, self->before.free);
	ASSERT_EQ(0, som_number(SOM_SYSFS "share_chunks"));
	ASSERT_EQ(0, stat(SOM_DEV, &self->node));
	ASSERT_EQ(0, chmod(SOM_DEV, 0666));
	som_catch_faults();
	self->step = som_shared(PAGE);
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(users)
{
	som_write_string(SOM_SYSFS "limit_user", "max");
	som_setting("cache_max", 0);
	if (chmod(SOM_DEV, self->node.st_mode & 0777))
		TH_LOG("%s is not as it was", SOM_DEV);
	EXPECT_TRUE(som_state_wait(&self->before));
	EXPECT_EQ(0, share(0));
}

static long quarantined(void)
{
	return som_pool("units_quarantined");
}

static void become(uid_t uid)
{
	child_assert(!setgid(uid) && !setuid(uid));
}

/*
 * A child of another user, with @units units mapped and, if @touched, used; it says so in
 * *step, and stays until it is killed. @pinned: it has a pin on a page of the first.
 */
static pid_t stranger(int *step, uid_t uid, long units, bool touched, bool pinned)
{
	struct iovec iov = { .iov_len = PAGE };
	int before = READ_ONCE(*step), fds[2];
	pid_t pid = fork();
	char *p;

	if (!pid) {
		become(uid);
		p = som_map(som_open(), units * UNIT);
		child_assert(p != MAP_FAILED);
		if (touched)
			som_touch_units(p, units * UNIT);
		iov.iov_base = p;
		if (pinned)
			child_assert(!pipe(fds) &&
				     vmsplice(fds[1], &iov, 1, 0) == PAGE);
		WRITE_ONCE(*step, before + 1);
		for (;;)
			pause();
	}
	return som_wait_flag(step, before + 1) ? pid : -1;
}

static int end(pid_t pid)
{
	if (pid < 0)
		return -1;
	kill(pid, SIGKILL);
	return som_wait_child(pid);
}

/* The errno of a mapping that another user makes and gives up; 0 if it can. */
static int errno_of(uid_t uid, long units)
{
	pid_t pid = fork();

	if (!pid) {
		become(uid);
		_exit(som_map(som_open(), units * UNIT) == MAP_FAILED ?
		      errno : 0);
	}
	return som_wait_child(pid);
}

/* Who has a chunk, in a column of debugfs's list; -1 if it is nobody's. */
static long column_of(long chunk, const char *column)
{
	static const char between[] = { ' ', '\n', 0 };
	FILE *f = fopen("/sys/kernel/debug/som/chunks", "re");
	char line[256], *word, *save;
	int want = -1, i;
	long value = -2;

	if (!f)
		return value;
	while (fgets(line, sizeof(line), f)) {
		word = strtok_r(line, between, &save);
		if (want >= 0 && atol(word) != chunk)
			continue;
		for (i = 0; word; i++, word = strtok_r(NULL, between, &save)) {
			if (want < 0 && !strcmp(word, column))
				break;
			if (i == want)
				value = *word == '-' ? -1 : atol(word);
		}
		if (want < 0)
			want = i;
	}
	fclose(f);
	return value;
}

/*
 * A stranger's pin
 */

TEST_F(users, a_pin_costs_strangers_nothing)
{
	struct som_policy policy = { .size = sizeof(policy) };
	size_t len = 4 * UNIT;
	char *w, *p;
	pid_t pid;
	int i;

	w = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, w);
	ASSERT_LE(0, som_scan_clean(self->fd, w, len));
	som_touch_units(w, len);
	ASSERT_LE(0, som_scan_clean(self->fd, w, len));
	pid = stranger(self->step, USER, 1, true, true);
	ASSERT_LT(0, pid);

	/* What is given up is free at once. */
	p = som_map(self->fd, 100 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 100 * UNIT);
	ASSERT_EQ(0, munmap(p, 100 * UNIT));
	EXPECT_EQ(0, quarantined());
	EXPECT_USED(5);
	/* A page that is written is one page, and clean after that. */
	w[5 * PAGE] = 2;
	EXPECT_EQ(1, som_scan_count(self->fd, w, len, WRITTEN));
	ASSERT_LE(0, som_scan_clean(self->fd, w, len));
	EXPECT_EQ(0, som_scan_count(self->fd, w, len, WRITTEN));
	/* A reset is of the page that was written. */
	w[6 * PAGE] = 1;
	EXPECT_LE(0, som_reset_zero(self->fd, w, len));
	EXPECT_EQ(0, w[6 * PAGE]);
	EXPECT_EQ(2, w[5 * PAGE]);
	EXPECT_EQ(0, som_scan_count(self->fd, w, len, WRITTEN));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, madvise(w, len, MADV_REMOVE));
	EXPECT_USED(1);
	som_touch_units(w, len);
	if (!som_no_pinnable(self->fd) &&
	    !ioctl(self->fd, SOM_IOC_GET_POLICY, &policy))
		EXPECT_EQ(0, som_page_backed(self->fd, w, len));
	EXPECT_EQ(0, quarantined());
	EXPECT_EQ(-SIGKILL, end(pid));
	ASSERT_EQ(0, munmap(w, len));
}

/* Two chunks of one user become one, and a stranger's, with a pin, stays. */
TEST_F(users, compaction_is_for_each_user)
{
	size_t len = (CHUNK_UNITS + 8) * UNIT;
	char *p = som_map(self->fd, len);
	pid_t pid = stranger(self->step, USER, 2, true, true);
	long i, first;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_LT(0, pid);
	som_touch_units(p, len);
	EXPECT_EQ(0, som_pool("chunks_empty"));
	for (i = 1; i < CHUNK_UNITS; i++)
		ASSERT_EQ(0, madvise(p + i * UNIT, UNIT, MADV_REMOVE));
	EXPECT_USED(9 + 2);
	EXPECT_EQ(0, som_compact(1));
	EXPECT_EQ(1, som_pool("chunks_empty"));
	first = som_chunk_of(getpid(), p);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(first, som_chunk_of(getpid(),
					      p + (CHUNK_UNITS + i) * UNIT));
	EXPECT_EQ(0, column_of(first, "uid"));
	EXPECT_EQ(9, column_of(first, "used"));
	/* The stranger's two units fit, but are not put there. */
	EXPECT_GT(0, som_compact(1));
	EXPECT_EQ(1, som_pool("chunks_empty"));
	EXPECT_EQ(-SIGKILL, end(pid));
	ASSERT_EQ(0, munmap(p, len));
}

/* A stranger with limits of two units keeps two from others, and the rest of a chunk. */
TEST_F(users, what_a_pin_holds_back)
{
	size_t len = 2 * CHUNK_UNITS * UNIT;
	pid_t pid;
	char *p;

	ASSERT_EQ(0, som_write_string(SOM_SYSFS "limit_user", "2"));
	pid = fork();
	if (!pid) {
		struct iovec iov = { .iov_len = PAGE };
		int fd, fds[2], i;

		become(USER);
		fd = som_open();
		p = som_map(fd, UNIT);
		child_assert(p != MAP_FAILED);
		*p = 1;
		iov.iov_base = p;
		child_assert(!pipe(fds) && vmsplice(fds[1], &iov, 1, 0) == PAGE);
		for (i = 0; i < 100; i++) {
			char *q = som_map(fd, UNIT);

			if (q == MAP_FAILED)
				break;
			*q = 1;
			munmap(q, UNIT);
		}
		child_assert(i == 1);
		WRITE_ONCE(*self->step, 1);
		for (;;)
			pause();
	}
	ASSERT_TRUE(som_wait_flag(self->step, 1));
	ASSERT_EQ(0, som_write_string(SOM_SYSFS "limit_user", "max"));
	EXPECT_EQ(1, quarantined());
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p, len));
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, len + UNIT));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-SIGKILL, end(pid));
}

/*
 * Who gets a chunk
 */

TEST_F(users, a_chunk_each)
{
	pid_t a, b, c;
	char *p;

	a = stranger(self->step, USER, 1, true, false);
	b = stranger(self->step, USER + 1, 1, false, false);
	c = stranger(self->step, USER + 2, 1, true, false);
	ASSERT_LT(0, a);
	ASSERT_LT(0, b);
	ASSERT_LT(0, c);
	EXPECT_USED(2);
	EXPECT_EQ(ENOMEM, errno_of(USER + 3, 1));
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, UNIT));
	EXPECT_EQ(ENOMEM, errno);
	/* Without a reservation, too. */
	p = mmap(NULL, UNIT, RW, MAP_SHARED | MAP_NORESERVE, self->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SIGBUS, som_try_write(p, 1));
	/* Each has all of its chunk, and no more. */
	EXPECT_EQ(0, errno_of(USER, CHUNK_UNITS - 1));
	EXPECT_EQ(ENOMEM, errno_of(USER, CHUNK_UNITS));
	EXPECT_EQ(0, errno_of(USER + 1, CHUNK_UNITS - 1));
	EXPECT_EQ(-SIGKILL, end(b));
	EXPECT_EQ(0, errno_of(USER + 3, CHUNK_UNITS));
	EXPECT_EQ(0, errno_of(USER, CHUNK_UNITS));
	EXPECT_EQ(0, som_try_write(p, 1));
	EXPECT_EQ(0, column_of(som_chunk_of(getpid(), p), "uid"));
	EXPECT_EQ(1, column_of(som_chunk_of(getpid(), p), "used"));
	EXPECT_EQ(ENOMEM, errno_of(USER + 3, 1));
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(-SIGKILL, end(a));
	EXPECT_EQ(-SIGKILL, end(c));
}

/* What is reserved is there, also where the others take what they can first. */
TEST_F(users, what_is_reserved_is_there)
{
	size_t len = (CHUNK_UNITS + 1) * UNIT;
	char *p = som_map(self->fd, len), *q;
	pid_t a;

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(ENOMEM, errno_of(USER, CHUNK_UNITS + 1));
	a = stranger(self->step, USER, CHUNK_UNITS, true, false);
	ASSERT_LT(0, a);
	EXPECT_EQ(ENOMEM, errno_of(USER, 1));
	EXPECT_EQ(ENOMEM, errno_of(USER + 1, 1));
	som_touch_units(p, len);
	q = som_map(self->fd, (CHUNK_UNITS - 1) * UNIT);
	ASSERT_NE(MAP_FAILED, q);
	som_touch_units(q, (CHUNK_UNITS - 1) * UNIT);
	EXPECT_EQ(3 * CHUNK_UNITS, som_used());
	EXPECT_EQ(-SIGKILL, end(a));
	ASSERT_EQ(0, munmap(p, len));
	ASSERT_EQ(0, munmap(q, (CHUNK_UNITS - 1) * UNIT));
}

/* A chunk that is needed does not go, and one that is nobody's does. */
TEST_F(users, shrinking)
{
	pid_t a = stranger(self->step, USER, 1, false, false);
	pid_t b = stranger(self->step, USER + 1, 1, false, false);

	ASSERT_LT(0, a);
	ASSERT_LT(0, b);
	EXPECT_USED(0);
	EXPECT_EQ(0, som_set_chunks(2));
	EXPECT_GT(0, som_set_chunks(1));
	EXPECT_EQ(2, som_pool("nr_chunks"));
	EXPECT_EQ(ENOMEM, errno_of(USER + 2, 1));
	EXPECT_EQ(0, som_set_chunks(3));
	EXPECT_EQ(0, errno_of(USER + 2, 1));
	EXPECT_EQ(-SIGKILL, end(a));
	EXPECT_EQ(-SIGKILL, end(b));
}

/*
 * What somebody keeps for itself is given up for another user where a chunk comes free
 * by that, and stays otherwise.
 */
TEST_F(users, what_is_kept)
{
	pid_t pid;

	ASSERT_LE(0, som_setting("cache_max", 4));
	pid = fork();
	if (!pid) {
		char *p;
		int fd;

		become(USER);
		fd = som_open();
		p = som_map(fd, 5 * UNIT);
		child_assert(p != MAP_FAILED);
		som_touch_units(p, 5 * UNIT);
		child_assert(!munmap(p, 4 * UNIT));
		WRITE_ONCE(*self->step, 1);
		child_assert(som_wait_flag(self->step, 2));
		child_assert(!munmap(p + 4 * UNIT, UNIT));
		WRITE_ONCE(*self->step, 3);
		for (;;)
			pause();
	}
	ASSERT_TRUE(som_wait_flag(self->step, 1));
	EXPECT_EQ(4, som_pool("units_cached"));
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, 3 * CHUNK_UNITS * UNIT));
	EXPECT_EQ(4, som_pool("units_cached"));
	EXPECT_EQ(0, errno_of(0, 2 * CHUNK_UNITS));
	EXPECT_EQ(4, som_pool("units_cached"));
	WRITE_ONCE(*self->step, 2);
	ASSERT_TRUE(som_wait_flag(self->step, 3));
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, (3 * CHUNK_UNITS + 1) * UNIT));
	EXPECT_EQ(4, som_pool("units_cached"));
	EXPECT_EQ(0, errno_of(0, 3 * CHUNK_UNITS));
	EXPECT_EQ(0, som_pool("units_cached"));
	EXPECT_EQ(-SIGKILL, end(pid));
}

/* A child is its parent's user, also if the parent became somebody else before. */
TEST_F(users, fork_of_somebody_else)
{
	struct som_policy policy = { .size = sizeof(policy) };
	size_t len = 4 * UNIT;
	pid_t pid, child;
	char *p;

	pid = fork();
	if (!pid) {
		int fd = som_open();

		child_assert(!ioctl(fd, SOM_IOC_GET_POLICY, &policy));
		policy.options = SOM_POLICY_FORK_COPY;
		child_assert(!ioctl(fd, SOM_IOC_SET_POLICY, &policy));
		p = som_map(fd, len);
		child_assert(p != MAP_FAILED);
		som_fill_pages(p, len, 1);
		become(USER);
		child = fork();
		if (!child) {
			child_assert(som_wait_flag(self->step, 1));
			child_assert(som_check_pages(p, len, 1) == -1);
			WRITE_ONCE(*self->step, 2);
			for (;;)
				pause();
		}
		/* Its units stay in its chunk: the child gets copies. */
		child_assert(!munmap(p, 2 * UNIT));
		WRITE_ONCE(*self->step, 1);
		child_assert(som_wait_flag(self->step, 2));
		WRITE_ONCE(*self->step, 3 + child);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	child = READ_ONCE(*self->step) - 3;
	ASSERT_LT(0, child);
	EXPECT_EQ(4, som_wait_number(som_used, 4));
	EXPECT_EQ(2, som_pool("chunks_empty"));
	kill(child, SIGKILL);
	EXPECT_EQ(0, som_wait_number(som_used, 0));
}

/*
 * Sharing
 */

TEST_F(users, shared_by_choice)
{
	pid_t pid[4];
	char *p;
	int i;

	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-EBUSY, share(1));
	EXPECT_EQ(0, share(0));
	*p = 1;
	EXPECT_EQ(-EBUSY, share(1));
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(-EINVAL, som_write_string(SOM_SYSFS "share_chunks", "2"));
	ASSERT_EQ(0, share(1));
	EXPECT_EQ(1, som_number(SOM_SYSFS "share_chunks"));
	for (i = 0; i < 4; i++)
		pid[i] = stranger(self->step, USER + i, 2, true, i == 0);
	EXPECT_USED(8);
	EXPECT_EQ(2, som_pool("chunks_empty"));
	EXPECT_EQ(0, errno_of(0, 3 * CHUNK_UNITS - 8));
	EXPECT_EQ(-EBUSY, share(0));
	for (i = 1; i < 4; i++)
		EXPECT_EQ(-SIGKILL, end(pid[i]));
	/* Here, the pin does keep others' units back. */
	EXPECT_EQ(1, som_wait_number(quarantined, 6) == 6);
	EXPECT_EQ(-SIGKILL, end(pid[0]));
	EXPECT_EQ(0, som_wait_number(quarantined, 0));
	EXPECT_EQ(0, som_wait_number(som_committed, 0));
	EXPECT_EQ(0, share(0));
}

/*
 * Everything at a time
 */

#define RACERS	5

/* Whatever could be mapped can be touched, and is zero, and nobody else's. */
static int map_and_touch(uid_t uid, double seconds, int *step)
{
	struct som_random rnd = { uid };
	double until;
	long mapped = 0, units, i;
	__u64 value;
	char *p;
	int fd;

	become(uid);
	fd = som_open();
	child_assert(som_wait_flag(step, 1));
	until = som_now() + seconds;
	while (som_now() < until) {
		units = 1 + som_below(&rnd, som_one_in(&rnd, 4) ?
				      CHUNK_UNITS + 10 : 20);
		p = som_map(fd, units * UNIT);
		if (p == MAP_FAILED) {
			child_assert(errno == ENOMEM);
			continue;
		}
		mapped++;
		for (i = 0; i < units; i += 1 + som_below(&rnd, 30)) {
			child_assert(!som_try_read(p + i * UNIT, &value));
			child_assert(!value);
			*(__u64 *)(p + i * UNIT) = uid;
			if (som_one_in(&rnd, 5))
				child_assert(!madvise(p + i * UNIT, UNIT,
						      MADV_REMOVE));
		}
		for (i = 0; i < units; i++) {
			child_assert(!som_try_read(p + i * UNIT, &value));
			child_assert(!value || value == uid);
		}
		munmap(p, units * UNIT);
	}
	return mapped ? 0 : 1;
}

TEST_F(users, all_at_a_time)
{
	double seconds = som_seconds(3, 6), until;
	pid_t pid[RACERS];
	int i, good = 0;

	som_all_cpus();
	ASSERT_LE(0, som_setting("cache_max", 3));
	for (i = 0; i < RACERS; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(map_and_touch(USER + i % 4, seconds, self->step));
	}
	WRITE_ONCE(*self->step, 1);
	until = som_now() + seconds;
	while (som_now() < until) {
		som_compact(1);
		som_set_chunks(2 + i++ % 2);
		usleep(20000);
	}
	for (i = 0; i < RACERS; i++)
		good += som_wait_child_for(pid[i], 0) == 0;
	EXPECT_LE(1, good);
	EXPECT_EQ(0, som_set_chunks(3));
}

TEST_HARNESS_MAIN
