// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of a process, of a user and of a file, and the device for a group.
 *
 * SOM-TEST: timeout=300 kmemleak
 */
#include <grp.h>
#include <sys/stat.h>
#include "som_test.h"
#include "som_scan.h"

#define USER	1234
#define GROUP	4321

FIXTURE(limit)
{
	struct som_state before;
	struct stat node;
	int fd;
};

static int set_limit(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), SOM_SYSFS "%s", name);
	return som_write_string(path, value);
}

FIXTURE_SETUP(limit)
{
	som_state_read(&self->before);
	ASSERT_LE(64, self->before.free);
	ASSERT_EQ(0, stat(SOM_DEV, &self->node));
	/* There is one chunk for several users. */
	ASSERT_EQ(0, set_limit("share_chunks", "1"));
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(limit)
{
	set_limit("limit_owner", "max");
	set_limit("limit_user", "max");
	som_write_string("/sys/module/som/parameters/max_page_backed_user", "0");
	som_write_string("/sys/module/som/parameters/max_page_backed", "512");
	som_write_string("/sys/module/som/parameters/max_records", "0");
	if (chown(SOM_DEV, self->node.st_uid, self->node.st_gid) ||
	    chmod(SOM_DEV, self->node.st_mode & 0777))
		TH_LOG("%s is not as it was", SOM_DEV);
	EXPECT_TRUE(som_state_wait(&self->before));
	EXPECT_EQ(0, set_limit("share_chunks", "0"));
}

TEST_F(limit, words)
{
	char path[] = SOM_SYSFS "limit_owner", text[16] = "";
	int fd;

	EXPECT_EQ(0, set_limit("limit_owner", "17"));
	EXPECT_EQ(17, som_pool("limit_owner"));
	EXPECT_EQ(17, som_read_number("/sys/module/som/parameters/limit_owner"));
	EXPECT_EQ(-EINVAL, set_limit("limit_owner", "some"));
	EXPECT_EQ(-EINVAL, set_limit("limit_owner", "-1"));
	EXPECT_EQ(17, som_pool("limit_owner"));
	EXPECT_EQ(0, set_limit("limit_owner", "max\n"));
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(4, read(fd, text, sizeof(text)));
	EXPECT_STREQ("max\n", text);
	close(fd);
}

/* Accounted at reservation: to the unit, at mmap, and nothing is changed. */
TEST_F(limit, of_a_process)
{
	char *p, *q;

	ASSERT_EQ(0, set_limit("limit_owner", "10"));
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, 11 * UNIT));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_TRUE(som_state_same(&self->before));
	p = som_map(self->fd, 7 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(7, som_fdinfo(getpid(), self->fd, getpid(), "charged"));
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, 4 * UNIT));
	EXPECT_EQ(ENOMEM, errno);
	q = som_map(self->fd, 3 * UNIT);
	ASSERT_NE(MAP_FAILED, q);
	som_touch_units(p, 7 * UNIT);
	som_touch_units(q, 3 * UNIT);
	/* Lower than what it has: nothing is taken away, nothing more is given. */
	ASSERT_EQ(0, set_limit("limit_owner", "5"));
	EXPECT_EQ(0, munmap(q, 3 * UNIT));
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, UNIT));
	EXPECT_EQ(0, munmap(p, 3 * UNIT));
	q = som_map(self->fd, UNIT);
	EXPECT_NE(MAP_FAILED, q);
	EXPECT_EQ(0, munmap(q, UNIT));
	EXPECT_EQ(0, munmap(p + 3 * UNIT, 4 * UNIT));
}

/* Who has opted out of reservation is told at the touch; mprotect at the call. */
TEST_F(limit, of_who_reserves_later)
{
	char *p = som_map_at(self->fd, NULL, 4 * UNIT, RW, MAP_NORESERVE);
	char *q = som_map_at(self->fd, NULL, 4 * UNIT, PROT_NONE, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_EQ(0, set_limit("limit_owner", "2"));
	EXPECT_EQ(0, som_try_write(p, 1));
	EXPECT_EQ(-1, mprotect(q, 2 * UNIT, RW));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(0, som_try_write(p + UNIT, 1));
	EXPECT_EQ(SIGBUS, som_try_write(p + 2 * UNIT, 1));
	EXPECT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(0, mprotect(q, UNIT, RW));
	EXPECT_EQ(0, munmap(p + UNIT, 3 * UNIT));
	EXPECT_EQ(0, munmap(q, 4 * UNIT));
}

/* A child: its memory is its own, and the same user's. */
TEST_F(limit, of_a_user)
{
	char *p;
	pid_t pid;

	ASSERT_EQ(0, set_limit("limit_user", "10"));
	p = som_map(self->fd, 6 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	pid = fork();
	if (!pid) {
		char *q;

		child_assert(som_map(self->fd, 5 * UNIT) == MAP_FAILED);
		child_assert(errno == ENOMEM);
		q = som_map(self->fd, 4 * UNIT);
		child_assert(q != MAP_FAILED);
		som_touch_units(q, 4 * UNIT);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	/* Another user has a limit of its own. */
	pid = fork();
	if (!pid) {
		child_assert(!setuid(USER));
		child_assert(som_map(self->fd, 11 * UNIT) == MAP_FAILED);
		child_assert(som_map(self->fd, 10 * UNIT) != MAP_FAILED);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, munmap(p, 6 * UNIT));
}

/* What others ask for in vain is charged at no instant: what fits is never refused. */
static void ask_in_vain(int fd, size_t nr)
{
	char *p;

	child_assert(!setuid(USER));
	p = som_map_at(fd, NULL, nr * UNIT, PROT_NONE, 0);
	child_assert(p != MAP_FAILED);
	for (;;)
		child_assert(mprotect(p, nr * UNIT, RW));
}

static void ask_for_what_fits(int fd, size_t nr, double seconds)
{
	double end = som_now() + seconds;
	char *p;

	child_assert(!setuid(USER));
	p = som_map_at(fd, NULL, UNIT, RW, MAP_NORESERVE);
	child_assert(p != MAP_FAILED);
	do {
		char *q = som_map(fd, nr * UNIT);

		child_assert(q != MAP_FAILED);
		child_assert(!munmap(q, nr * UNIT));
		child_assert(!som_try_write(p, 1));
		child_assert(!madvise(p, UNIT, MADV_REMOVE));
	} while (som_now() < end);
	_exit(0);
}

#define VAIN	4

TEST_F(limit, a_charge_that_fits)
{
	/* Over the limit of the user; within it, but more than the pool has. */
	size_t vain[] = { 201, 150 }, other[] = { 1, 0 }, i, j;
	pid_t pids[VAIN + 1];
	char *p;

	other[1] = som_pool("units_total") - som_committed() - 100;
	som_all_cpus();
	for (i = 0; i < ARRAY_SIZE(vain); i++) {
		ASSERT_EQ(0, set_limit("limit_user", "max"));
		p = som_map(self->fd, other[i] * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(0, set_limit("limit_user", "200"));
		for (j = 0; j <= VAIN; j++) {
			pids[j] = fork();
			if (!pids[j] && j < VAIN)
				ask_in_vain(self->fd, vain[i]);
			if (!pids[j])
				ask_for_what_fits(self->fd, 60,
						  som_seconds(1, 1));
		}
		EXPECT_EQ(0, som_wait_child(pids[VAIN]));
		for (j = 0; j < VAIN; j++) {
			EXPECT_EQ(0, kill(pids[j], SIGKILL));
			EXPECT_EQ(pids[j], waitpid(pids[j], NULL, 0));
		}
		ASSERT_EQ(0, munmap(p, other[i] * UNIT));
	}
}

/*
 * A process in a user namespace that @maker makes, which has @ids user IDs from @first on
 * beside its root. It becomes @id and maps @nr units; @ready: 1 or -errno; it ends
 * when @hold is set. Return: its process ID, or -1.
 */
static pid_t in_namespace(uid_t maker, uid_t first, int ids, int id, int fd,
			  size_t nr, int *ready, int *hold)
{
	int made[2], mapped[2];
	char path[64], text[64], c = 0;
	pid_t pid;

	if (pipe(made) || pipe(mapped))
		return -1;
	pid = fork();
	if (!pid) {
		char *p;

		child_assert(!setresuid(maker, maker, maker));
		child_assert(!unshare(CLONE_NEWUSER));
		child_assert(write(made[1], "x", 1) == 1);
		child_assert(read(mapped[0], &c, 1) == 1);
		child_assert(!setresuid(id, id, id));
		p = som_map(fd, nr * UNIT);
		__atomic_store_n(ready, p == MAP_FAILED ? -errno : 1,
				 __ATOMIC_RELEASE);
		som_wait_flag(hold, 1);
		_exit(0);
	}
	close(made[1]);
	close(mapped[0]);
	if (read(made[0], &c, 1) != 1)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	snprintf(text, sizeof(text), "0 %u 1\n1 %u %d\n", maker, first, ids);
	if (som_write_string(path, text) || write(mapped[1], "x", 1) != 1)
		return -1;
	close(made[0]);
	close(mapped[1]);
	return pid;
}

#define IDS	6

/* More user IDs, in namespaces of one's own, are not more memory. */
TEST_F(limit, of_a_user_and_its_namespaces)
{
	uid_t makers[] = { USER, 0 };
	int *flags = som_shared(PAGE), i, got;
	pid_t pids[IDS];
	size_t m;

	ASSERT_NE(MAP_FAILED, flags);
	if (access("/proc/self/ns/user", F_OK))
		SKIP(return, "there are no user namespaces");
	/* Only Debian's kernels have it. */
	som_write_string("/proc/sys/kernel/unprivileged_userns_clone", "1");
	ASSERT_EQ(0, set_limit("limit_user", "10"));
	for (m = 0; m < ARRAY_SIZE(makers); m++) {
		memset(flags, 0, PAGE);
		for (i = 0, got = 0; i < IDS; i++) {
			pids[i] = in_namespace(makers[m], 100000 + 10 * i, 4,
					       i % 4, self->fd, 4, &flags[i + 1],
					       &flags[0]);
			ASSERT_LT(0, pids[i]);
			while (!READ_ONCE(flags[i + 1]))
				usleep(1000);
			got += flags[i + 1] == 1;
			EXPECT_TRUE(flags[i + 1] == 1 ||
				    flags[i + 1] == -ENOMEM);
		}
		/* What root makes a namespace for is a user by itself. */
		EXPECT_EQ(makers[m] ? 2 : IDS, got);
		WRITE_ONCE(flags[0], 1);
		for (i = 0; i < IDS; i++)
			EXPECT_EQ(0, som_wait_child(pids[i]));
		EXPECT_TRUE(som_state_wait(&self->before));
	}
}

/*
 * Control groups
 */

#define CGROUPS	"/sys/fs/cgroup/"

/* Return: the ID of a cgroup that is made, or 0. */
static unsigned long make_cgroup(const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), CGROUPS "%s", name);
	if ((mkdir(path, 0755) && errno != EEXIST) || stat(path, &st))
		return 0;
	return st.st_ino;
}

static int remove_cgroup(const char *name)
{
	double end = som_now() + SOM_WAIT_SECONDS;
	char path[128];

	snprintf(path, sizeof(path), CGROUPS "%s", name);
	while (rmdir(path)) {
		if (errno != EBUSY || som_now() > end)
			return -errno;
		usleep(10000);
	}
	return 0;
}

static int join_cgroup(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), CGROUPS "%s/cgroup.procs", name);
	return som_write_string(path, "0");
}

static int limit_cgroup(unsigned long id, const char *limit)
{
	char text[64];

	snprintf(text, sizeof(text), "%lu %s\n", id, limit);
	return som_write_string(SOM_SYSFS "cgroup_limits", text);
}

/* The line of a cgroup. Return: its units, or -1 if there is no such line. */
static long cgroup_units(unsigned long id, char *limit)
{
	unsigned long of;
	long units, found = -1;
	char word[32];
	FILE *f;

	f = fopen(SOM_SYSFS "cgroup_limits", "re");
	if (!f)
		return -1;
	while (fscanf(f, "%lu %31s %ld", &of, word, &units) == 3) {
		if (of != id)
			continue;
		memcpy(limit, word, sizeof(word));
		found = units;
	}
	fclose(f);
	return found;
}

/* Cgroups that were removed, and that somebody still refers to. */
static long dying_cgroups(void)
{
	char line[128];
	long nr = -1;
	FILE *f;

	f = fopen(CGROUPS "cgroup.stat", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "nr_dying_descendants %ld", &nr) == 1)
			break;
	if (f)
		fclose(f);
	return nr;
}

/* In a cgroup: map, and stay until told. */
static pid_t in_cgroup(const char *name, int fd, size_t nr, int *ready,
		       int *hold)
{
	pid_t pid = fork();

	if (!pid) {
		char *p;

		child_assert(!join_cgroup(name));
		p = som_map(fd, nr * UNIT);
		__atomic_store_n(ready, p == MAP_FAILED ? -errno : 1,
				 __ATOMIC_RELEASE);
		som_wait_flag(hold, 1);
		_exit(0);
	}
	while (!READ_ONCE(*ready))
		usleep(1000);
	return pid;
}

TEST_F(limit, of_a_cgroup)
{
	unsigned long outer, inner, other;
	int *flags = som_shared(PAGE), i;
	long dying, round;
	char limit[32];
	pid_t pids[3], pid;
	struct stat st;

	if (access(CGROUPS "cgroup.procs", F_OK))
		SKIP(return, "there is no cgroup v2");
	ASSERT_EQ(0, stat(CGROUPS, &st));
	dying = dying_cgroups();
	outer = make_cgroup("som_a");
	inner = make_cgroup("som_a/b");
	other = make_cgroup("som_c");
	ASSERT_TRUE(outer && inner && other);
	EXPECT_EQ(-EINVAL, limit_cgroup(st.st_ino, "1"));
	EXPECT_EQ(-ENOENT, limit_cgroup(~0UL >> 1, "1"));
	EXPECT_EQ(-EINVAL, limit_cgroup(outer, ""));
	EXPECT_EQ(-EINVAL, limit_cgroup(outer, "-1"));
	EXPECT_EQ(-EINVAL, limit_cgroup(outer, "1 2"));
	EXPECT_EQ(-1, cgroup_units(outer, limit));

	/* What is charged before there is a limit counts. */
	pids[0] = in_cgroup("som_a/b", self->fd, 6, &flags[1], &flags[0]);
	EXPECT_EQ(1, flags[1]);
	ASSERT_EQ(0, limit_cgroup(outer, "10"));
	EXPECT_EQ(6, cgroup_units(outer, limit));
	EXPECT_STREQ("10", limit);
	pids[1] = in_cgroup("som_a", self->fd, 5, &flags[2], &flags[0]);
	EXPECT_EQ(-ENOMEM, flags[2]);
	pids[2] = in_cgroup("som_c", self->fd, 20, &flags[3], &flags[0]);
	EXPECT_EQ(1, flags[3]);
	EXPECT_EQ(6, cgroup_units(outer, limit));

	pid = fork();
	if (!pid) {
		char *p;

		child_assert(!join_cgroup("som_a"));
		p = som_map_at(self->fd, NULL, 8 * UNIT, RW, MAP_NORESERVE);
		child_assert(p != MAP_FAILED);
		for (i = 0; i < 4; i++)
			child_assert(!som_try_write(p + i * UNIT, 1));
		child_assert(som_try_write(p + i * UNIT, 1) == SIGBUS);
		/* The charge stays where it was made. */
		child_assert(!join_cgroup("som_c"));
		child_assert(som_try_write(p + i * UNIT, 1) == SIGBUS);
		child_assert(cgroup_units(outer, limit) == 10);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(0, limit_cgroup(inner, "7"));
	ASSERT_EQ(0, limit_cgroup(outer, "max"));
	EXPECT_EQ(-1, cgroup_units(outer, limit));
	EXPECT_EQ(6, cgroup_units(inner, limit));
	WRITE_ONCE(flags[0], 1);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, som_wait_child(pids[i]));
	EXPECT_TRUE(som_state_wait(&self->before));
	EXPECT_EQ(0, cgroup_units(inner, limit));

	/* A limit does not keep a cgroup, nor a cgroup its limit. */
	EXPECT_EQ(0, remove_cgroup("som_a/b"));
	EXPECT_EQ(-1, cgroup_units(inner, limit));
	for (round = 0; round < 20; round++) {
		ASSERT_EQ(0, limit_cgroup(outer, "3"));
		EXPECT_EQ(0, remove_cgroup("som_a"));
		outer = make_cgroup("som_a");
		ASSERT_LT(0, outer);
	}
	EXPECT_EQ(0, remove_cgroup("som_a"));
	EXPECT_EQ(0, remove_cgroup("som_c"));
	EXPECT_EQ(-1, cgroup_units(outer, limit));
	EXPECT_EQ(dying, som_wait_number(dying_cgroups, dying));
}

/* A list of more than a page is whole. */
TEST_F(limit, of_many_cgroups)
{
	unsigned long ids[100];
	char name[32], limit[32];
	size_t i;

	if (access(CGROUPS "cgroup.procs", F_OK))
		SKIP(return, "there is no cgroup v2");
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		snprintf(name, sizeof(name), "som_%zu", i);
		ids[i] = make_cgroup(name);
		ASSERT_LT(0, ids[i]);
		snprintf(limit, sizeof(limit), "%zu", i);
		ASSERT_EQ(0, limit_cgroup(ids[i], limit));
	}
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		EXPECT_EQ(0, cgroup_units(ids[i], limit));
		EXPECT_EQ(i, atoi(limit));
	}
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		snprintf(name, sizeof(name), "som_%zu", i);
		EXPECT_EQ(0, remove_cgroup(name));
	}
	EXPECT_EQ(-1, cgroup_units(ids[0], limit));
}

static const char max_page_backed[] = "/sys/module/som/parameters/max_page_backed";
static const char max_user[] = "/sys/module/som/parameters/max_page_backed_user";

/* How many of some units become pinnable. */
static long make_pinnable(int fd, size_t nr)
{
	char *p = som_map(fd, nr * UNIT);
	__u64 walk_end = 0;
	int ret;

	if (p == MAP_FAILED)
		return -1;
	ret = som_range_call(fd, SOM_IOC_PAGE_BACKED, p, nr * UNIT, &walk_end);
	if (ret && ret != -ENOMEM)
		return ret;
	return (walk_end - (uintptr_t)p) / UNIT;
}

TEST_F(limit, of_a_user_that_makes_memory_pinnable)
{
	long before = som_read_number(max_page_backed);
	char text[32];
	pid_t pid;

	ASSERT_LT(0, before);
	ASSERT_EQ(0, som_read_number(max_user));
	ASSERT_EQ(0, som_write_string(max_page_backed, "8"));
	pid = fork();
	if (!pid) {
		child_assert(!setuid(USER));
		child_assert(make_pinnable(self->fd, 8) == 4);
		/* Another process of it: nothing is left. */
		pid = fork();
		if (!pid) {
			child_assert(!make_pinnable(self->fd, 1));
			_exit(0);
		}
		child_assert(!som_wait_child(pid));
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	pid = fork();
	if (!pid) {
		child_assert(make_pinnable(self->fd, 8) == 4);
		pid = fork();
		if (!pid) {
			child_assert(!setuid(USER));
			child_assert(make_pinnable(self->fd, 3) == 3);
			_exit(0);
		}
		child_assert(!som_wait_child(pid));
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(0, som_write_string(max_user, "3"));
	EXPECT_EQ(3, make_pinnable(self->fd, 8));
	EXPECT_EQ(0, som_write_string(max_user, "0"));
	snprintf(text, sizeof(text), "%ld", before);
	EXPECT_EQ(0, som_write_string(max_page_backed, text));
}

/*
 * What is recorded of addresses
 */

#define LEAF	(256 * UNIT)

static const char max_records[] = "/sys/module/som/parameters/max_records";

static long records_of(int fd)
{
	return som_fdinfo(getpid(), fd, getpid(), "records-kB");
}

/* Touch one unit in each leaf and give it back. Return: leaves until it failed. */
static long scatter(char *p, long nr)
{
	long i;

	for (i = 0; i < nr; i++) {
		if (som_try_write(p + i * LEAF, i + 1))
			break;
		if (madvise(p + i * LEAF, UNIT, MADV_REMOVE))
			return -1;
	}
	return i;
}

TEST_F(limit, of_addresses_that_are_touched)
{
	size_t nr = 300;
	long before, made;
	char *p, *q, *r;

	p = som_map_at(self->fd, NULL, nr * LEAF, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	q = som_map(self->fd, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, q);
	r = som_map_at(self->fd, NULL, 4 * LEAF, PROT_NONE, 0);
	ASSERT_NE(MAP_FAILED, r);
	before = records_of(self->fd);
	EXPECT_LE(0, before);
	EXPECT_LT(16 << 10, som_fdinfo(getpid(), self->fd, getpid(),
				       "records-max-kB"));
	ASSERT_EQ(0, som_write_string(max_records, "256"));
	EXPECT_EQ(256, som_fdinfo(getpid(), self->fd, getpid(),
				  "records-max-kB"));
	made = scatter(p, nr);
	EXPECT_LT(64, made);
	EXPECT_GT(128, made);
	EXPECT_LE(256, records_of(self->fd));
	/* Where there is a record already, and where units are promised. */
	EXPECT_EQ(0, som_try_write(p + UNIT, 1));
	EXPECT_EQ(0, som_try_write(q, 1));
	EXPECT_EQ(0, som_try_write(q + UNIT, 1));
	ASSERT_EQ(0, mprotect(r + 2 * LEAF, 2 * UNIT, RW));
	EXPECT_EQ(0, som_try_write(r + 2 * LEAF + UNIT, 1));
	/* The end of the mapping is the end of its records. */
	ASSERT_EQ(0, munmap(p, nr * LEAF));
	EXPECT_GE(before + 6, records_of(self->fd));
	p = som_map_at(self->fd, NULL, 10 * LEAF, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(10, scatter(p, 10));
	EXPECT_EQ(0, som_write_string(max_records, "0"));
	ASSERT_EQ(0, munmap(p, 10 * LEAF));
}

/* Track each other unit. Return: how many until it failed. */
static long track_scattered(int fd, char *p, long nr)
{
	long i;

	for (i = 0; i < nr; i++)
		if (som_scan_clean(fd, p + 2 * i * UNIT, UNIT))
			break;
	return i;
}

TEST_F(limit, of_runs_that_are_tracked)
{
	long nr = 1500, before, made;
	char *p;

	p = som_map_at(self->fd, NULL, 2 * nr * UNIT, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	before = records_of(self->fd);
	ASSERT_EQ(0, som_write_string(max_records, "64"));
	made = track_scattered(self->fd, p, nr);
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_LT(900, made);
	EXPECT_GE(1024, made);
	EXPECT_LE(before + 56, records_of(self->fd));
	/* Those that there are grow, and become one. */
	EXPECT_EQ(0, som_scan_clean(self->fd, p, 4 * UNIT));
	EXPECT_EQ(0, som_scan_clean(self->fd, p, 2 * made * UNIT));
	EXPECT_GE(before + 1, records_of(self->fd));
	EXPECT_EQ(0, som_scan_clean(self->fd, p, 2 * nr * UNIT));
	ASSERT_EQ(0, munmap(p + UNIT, UNIT));
	ASSERT_EQ(0, munmap(p + 2 * UNIT, (2 * nr - 2) * UNIT));
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_GE(before + 1, records_of(self->fd));
	EXPECT_EQ(0, som_write_string(max_records, "0"));
}

/*
 * Bytes of a cgroup's slab memory that processes alone give back. memory.stat may be late by
 * half a megabyte; cpu.stat brings all of a cgroup's figures up to date.
 */
static long cgroup_slab_now(const char *name)
{
	char path[128], line[128];
	long bytes = -1;
	FILE *f;

	snprintf(path, sizeof(path), CGROUPS "%s/cpu.stat", name);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		;
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), CGROUPS "%s/memory.stat", name);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "slab_unreclaimable %ld", &bytes);
	if (f)
		fclose(f);
	return bytes;
}

/* The same when what waits for the end of an RCU grace period is freed, too. */
static long cgroup_slab(const char *name)
{
	long bytes = cgroup_slab_now(name), before;
	int i = 20;

	do {
		before = bytes;
		usleep(200000);
		bytes = cgroup_slab_now(name);
	} while (bytes != before && --i);
	return bytes;
}

/*
 * What the driver allocates for a process is charged to its cgroup: nodes of maple trees,
 * leaves of entries, records of units with memory, and of units that had some.
 */
TEST_F(limit, kernel_memory_is_charged)
{
	long nr = 8192, i, units = 300, was, now;
	pid_t pid;
	char *p;

	som_write_string(CGROUPS "cgroup.subtree_control", "+memory");
	if (!make_cgroup("som_k") || cgroup_slab("som_k") < 0)
		SKIP(return, "there is no memory cgroup");
	pid = fork();
	if (!pid) {
		int fd;

		child_assert(!join_cgroup("som_k"));
		fd = som_open();
		p = som_map_at(fd, NULL, 2 * nr * UNIT, RW, MAP_NORESERVE);
		child_assert(p != MAP_FAILED);
		som_touch_units(p, UNIT);

		/* 16 bytes for the run, and for what is between it and the next. */
		was = cgroup_slab("som_k");
		child_assert(track_scattered(fd, p, nr) == nr);
		now = cgroup_slab("som_k");
		printf("# %ld bytes for %ld runs\n", now - was, nr);
		child_assert(now - was > nr * 24);

		/* They stay, so that nothing is given back meanwhile. */
		was = now;
		p = som_map_at(fd, NULL, 256 * units * UNIT, RW, MAP_NORESERVE);
		child_assert(p != MAP_FAILED);
		for (i = 0; i < units; i++)
			p[i * 256 * UNIT] = 1;
		now = cgroup_slab("som_k");
		printf("# %ld bytes for %ld leaves\n", now - was, units);
		child_assert(now - was > units * 2080);

		was = now;
		child_assert(!som_scan_clean(fd, p, 256 * units * UNIT));
		now = cgroup_slab("som_k");
		printf("# %ld bytes for %ld records\n", now - was, units);
		child_assert(now - was > units * 200);

		for (i = 0; i < units; i++)
			child_assert(!madvise(p + i * 256 * UNIT, UNIT,
					      MADV_REMOVE));
		was = cgroup_slab("som_k");
		for (i = 0; i < units; i++)
			child_assert(!som_scan_clean(fd, p + i * 256 * UNIT,
						     PAGE));
		now = cgroup_slab("som_k");
		printf("# %ld bytes for %ld records of parts\n", now - was,
		       units);
		child_assert(now - was > units * 200);
		fflush(stdout);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, remove_cgroup("som_k"));
}

/*
 * What a scan has reported of a unit without memory is kept as long as there may be records.
 * Where there may be none, all of the unit is reported once more.
 */
TEST_F(limit, of_parts_that_were_reported)
{
	long nr = 1000, before, i;
	char *p;

	p = som_map_at(self->fd, NULL, nr * UNIT, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, nr * UNIT));
	before = records_of(self->fd);
	ASSERT_EQ(p, som_map_at(self->fd, p, nr * UNIT, RW,
				MAP_NORESERVE | MAP_FIXED));
	ASSERT_EQ(0, som_write_string(max_records, "64"));
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, som_scan_clean(self->fd, p + i * UNIT, PAGE));
	EXPECT_GE(before + 66, records_of(self->fd));
	EXPECT_EQ(512 - 1, som_scan_count(self->fd, p, UNIT, WRITTEN));
	EXPECT_EQ(512, som_scan_count(self->fd, p + (nr - 1) * UNIT, UNIT, WRITTEN));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, nr * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, nr * UNIT, WRITTEN));
	EXPECT_GE(before + 1, records_of(self->fd));
	EXPECT_EQ(0, som_write_string(max_records, "0"));
}

TEST_F(limit, of_a_file_only_lower)
{
	struct som_policy policy = { .size = sizeof(policy) };
	int fd = som_open();
	char *p;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_GET_POLICY, &policy));
	EXPECT_EQ(0, policy.max_units);
	policy.max_units = 5;
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_SET_POLICY, &policy));
	policy.max_units = 6;
	EXPECT_EQ(-1, ioctl(fd, SOM_IOC_SET_POLICY, &policy));
	EXPECT_EQ(EINVAL, errno);
	policy.max_units = 0;
	EXPECT_EQ(-1, ioctl(fd, SOM_IOC_SET_POLICY, &policy));
	EXPECT_EQ(EINVAL, errno);
	/* A caller of the first version leaves it as it is. */
	EXPECT_EQ(0, som_set_policy(fd, UNIT));
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_GET_POLICY, &policy));
	EXPECT_EQ(5, policy.max_units);

	EXPECT_EQ(MAP_FAILED, som_map(fd, 6 * UNIT));
	EXPECT_EQ(ENOMEM, errno);
	p = som_map(fd, 5 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	/* It is the process's from then on, whatever file it comes with. */
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, UNIT));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(0, munmap(p, 5 * UNIT));
	close(fd);
}

/* A mapping that fails changes nothing, neither the limit of the process. */
TEST_F(limit, a_mapping_that_fails_lowers_nothing)
{
	struct som_policy policy = { .size = sizeof(policy) };
	int fd = som_open();
	char *p;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_GET_POLICY, &policy));
	policy.max_units = 2;
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_SET_POLICY, &policy));
	EXPECT_EQ(MAP_FAILED, som_map(fd, 3 * UNIT));
	EXPECT_EQ(ENOMEM, errno);
	p = som_map(self->fd, 5 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	/* Who has more already gets nothing more, and keeps what it has. */
	EXPECT_EQ(MAP_FAILED, som_map(fd, UNIT));
	EXPECT_NE(MAP_FAILED, som_map(self->fd, UNIT));
	EXPECT_NE(MAP_FAILED, som_map_at(fd, NULL, UNIT, RW, MAP_NORESERVE));
	som_touch_units(p, 5 * UNIT);
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, UNIT));
	EXPECT_EQ(ENOMEM, errno);
	close(fd);
}

static int try_policy(int fd, __u64 max_units, __u64 options)
{
	struct som_policy policy = { .size = sizeof(policy) };

	if (ioctl(fd, SOM_IOC_GET_POLICY, &policy))
		return -errno;
	policy.max_units = max_units;
	policy.options = options;
	return ioctl(fd, SOM_IOC_SET_POLICY, &policy) ? -errno : 0;
}

/* This program once more, in the same process: it did not open what it inherits. */
static const char exec_fd[] = "SOM_LIMIT_FD";

static void __attribute__((constructor)) executed(void)
{
	const char *text = getenv(exec_fd);
	int fd;

	if (!text)
		return;
	fd = atoi(text);
	child_assert(try_policy(fd, 1, 0) == -EPERM);
	child_assert(som_map(fd, 4 * UNIT) == MAP_FAILED && errno == ENOMEM);
	child_assert(som_map(fd, 3 * UNIT) != MAP_FAILED);
	_exit(0);
}

static void *set_in_thread(void *fd)
{
	return (void *)(long)try_policy(*(int *)fd, 3, SOM_POLICY_FORK_COPY);
}

TEST_F(limit, of_a_file_by_its_opener_only)
{
	struct som_policy before = { .size = sizeof(before) }, after = before;
	char number[16], *p;
	pthread_t thread;
	void *ret;
	int fd, own;
	pid_t pid;

	fd = open(SOM_DEV, O_RDWR);
	ASSERT_LE(0, fd);
	/* Another thread is the same process. */
	ASSERT_EQ(0, pthread_create(&thread, NULL, set_in_thread, &fd));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	ASSERT_EQ(NULL, ret);
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_GET_POLICY, &before));
	EXPECT_EQ(3, before.max_units);
	p = som_map_at(fd, NULL, 2 * UNIT, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_try_write(p, 1));
	pid = fork();
	if (!pid) {
		child_assert(!setuid(USER));
		child_assert(try_policy(fd, 1, 0) == -EPERM);
		child_assert(try_policy(fd, 3, SOM_POLICY_REUSE) == -EPERM);
		child_assert(try_policy(fd, 3, SOM_POLICY_FORK_COPY) == -EPERM);
		child_assert(som_set_policy(fd, PAGE) == -EPERM);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(0, ioctl(fd, SOM_IOC_GET_POLICY, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	EXPECT_EQ(0, som_try_write(p + UNIT, 1));
	ASSERT_EQ(0, munmap(p, 2 * UNIT));

	/* Who has memory of its own does not get somebody else's limit. */
	pid = fork();
	if (!pid) {
		own = som_open();
		child_assert(own >= 0 && !try_policy(own, 0, 0));
		p = som_map_at(own, NULL, 5 * UNIT, RW, MAP_NORESERVE);
		child_assert(p != MAP_FAILED);
		child_assert(som_map(fd, UNIT) != MAP_FAILED);
		som_touch_units(p, 5 * UNIT);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));

	/* With exec, the opener has ended: the file stays as it is. */
	snprintf(number, sizeof(number), "%d", fd);
	pid = fork();
	if (!pid) {
		setenv(exec_fd, number, 1);
		execl("/proc/self/exe", "som_limit", NULL);
		_exit(1);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, try_policy(fd, 2, 0));
	close(fd);
}

/* Not root, but of the group that the device belongs to. */
TEST_F(limit, device_for_a_group)
{
	pid_t pid;

	ASSERT_EQ(0, chown(SOM_DEV, 0, GROUP));
	ASSERT_EQ(0, chmod(SOM_DEV, 0660));
	pid = fork();
	if (!pid) {
		gid_t group = GROUP;
		char *p;
		int fd;

		child_assert(!setgroups(1, &group));
		child_assert(!setgid(USER) && !setuid(USER));
		fd = som_open();
		child_assert(fd >= 0);
		p = som_map(fd, 4 * UNIT);
		child_assert(p != MAP_FAILED);
		som_fill_pages(p, 4 * UNIT, 1);
		child_assert(som_check_pages(p, 4 * UNIT, 1) == -1);
		/* The pool and its settings are root's. */
		child_assert(som_set_chunks(0) < 0);
		child_assert(set_limit("limit_owner", "1") < 0);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	pid = fork();
	if (!pid) {
		child_assert(!setgroups(0, NULL));
		child_assert(!setgid(USER) && !setuid(USER));
		child_assert(som_open() == -1 && errno == EACCES);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
}

TEST_HARNESS_MAIN
