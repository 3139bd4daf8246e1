// SPDX-License-Identifier: GPL-2.0
/*
 * fork inherits nothing, whatever madvise said before; a child's memory is its
 * own; every way for a process to end gives its memory back.
 *
 * SOM-TEST: timeout=400 kmemleak
 */
#include <sys/uio.h>

#include "som_test.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#define MADV_KEEPONFORK 19
#endif

/* Nothing that a child may do with an inherited range gives it any data. */
static void child_gets_nothing(char *p, size_t len, __u64 mark)
{
	char buf[64] = { 0 };
	struct iovec local = { buf, sizeof(buf) };
	struct iovec remote = { p, sizeof(buf) };
	int fds[2];
	size_t i;

	for (i = 0; i < len; i += UNIT / 4)
		child_assert(som_read_signal(p + i) == SIGSEGV);
	for (i = 0; i < len; i += UNIT / 4)
		child_assert(som_try_write(p + i, 0) == SIGSEGV);
	child_assert(!pipe(fds));
	child_assert(write(fds[1], p, 8) == -1 && errno == EFAULT);
	child_assert(write(fds[1], "abcdefgh", 8) == 8);
	child_assert(read(fds[0], p, 8) == -1 && errno == EFAULT);
	child_assert(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) < 0 ||
		     *(__u64 *)buf != som_word(mark, 0));
}

/* Fork a child, and it a grandchild, that must find nothing at @p. */
static int child_status(char *p, size_t len, __u64 mark)
{
	pid_t pid = fork();

	if (!pid) {
		som_catch_faults();
		child_gets_nothing(p, len, mark);
		pid = fork();
		if (!pid) {
			child_gets_nothing(p, len, mark);
			_exit(0);
		}
		child_assert(!som_wait_child(pid));
		_exit(0);
	}
	return som_wait_child(pid);
}

TEST_F(som, child_inherits_nothing)
{
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	EXPECT_EQ(0, child_status(p, 3 * UNIT, 1));
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	EXPECT_USED(3);
	EXPECT_COMMITTED(3);
}

TEST_F(som, child_inherits_nothing_of_4k_entries)
{
	char *p = som_map(self->fd, UNIT / 2);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT / 2, 1);
	EXPECT_EQ(0, child_status(p, UNIT / 2, 1));
	EXPECT_EQ(-1, som_check(p, UNIT / 2, 1));
	EXPECT_USED(1);
}

TEST_F(som, child_inherits_nothing_after_dofork)
{
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	madvise(p, 3 * UNIT, MADV_DOFORK);
	EXPECT_EQ(0, child_status(p, 3 * UNIT, 1));
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	EXPECT_USED(3);
	EXPECT_COMMITTED(3);
}

TEST_F(som, child_inherits_nothing_of_4k_entries_after_dofork)
{
	char *p = som_map(self->fd, UNIT / 2);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT / 2, 1);
	madvise(p, UNIT / 2, MADV_DOFORK);
	EXPECT_EQ(0, child_status(p, UNIT / 2, 1));
	EXPECT_EQ(-1, som_check(p, UNIT / 2, 1));
	EXPECT_USED(1);
}

TEST_F(som, child_inherits_nothing_of_part_after_dofork)
{
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	madvise(p + UNIT + 5 * PAGE, UNIT, MADV_DOFORK);
	EXPECT_EQ(0, child_status(p, 3 * UNIT, 1));
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	EXPECT_USED(3);
}

TEST_F(som, child_inherits_nothing_after_keeponfork)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	madvise(p, 2 * UNIT, MADV_DOFORK);
	madvise(p, 2 * UNIT, MADV_KEEPONFORK);
	EXPECT_EQ(0, child_status(p, 2 * UNIT, 1));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
}

TEST_F(som, child_inherits_nothing_after_wipeonfork)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	madvise(p, 2 * UNIT, MADV_DOFORK);
	madvise(p, 2 * UNIT, MADV_WIPEONFORK);
	EXPECT_EQ(0, child_status(p, 2 * UNIT, 1));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
}

TEST_F(som, child_inherits_nothing_of_noreserve_after_dofork)
{
	char *p = som_map_at(self->fd, NULL, 2 * UNIT, RW, MAP_NORESERVE);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	madvise(p, 2 * UNIT, MADV_DOFORK);
	EXPECT_EQ(0, child_status(p, 2 * UNIT, 1));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
	EXPECT_COMMITTED(1);
}

/*
 * What a child does to an inherited range is nothing to its parent.
 */

static int child_acts(char *p, size_t len, void (*act)(char *p, size_t len))
{
	pid_t pid = fork();

	if (!pid) {
		som_catch_faults();
		act(p, len);
		_exit(0);
	}
	return som_wait_child(pid);
}

static void act_remove(char *p, size_t len)
{
	madvise(p, len, MADV_REMOVE);
	madvise(p + PAGE, PAGE, MADV_REMOVE);
}

static void act_dontneed(char *p, size_t len)
{
	madvise(p, len, MADV_DONTNEED);
	madvise(p + PAGE, PAGE, MADV_DONTNEED);
}

static void act_populate(char *p, size_t len)
{
	child_assert(madvise(p, len, MADV_POPULATE_WRITE));
	child_assert(madvise(p, len, MADV_POPULATE_READ));
}

static void act_munmap(char *p, size_t len)
{
	child_assert(!munmap(p + PAGE, PAGE));
	child_assert(!munmap(p, len));
}

static void act_mprotect(char *p, size_t len)
{
	/* There may be nothing there, or nothing that can be promised. */
	mprotect(p + PAGE, PAGE, PROT_READ);
	mprotect(p, len, PROT_NONE);
	mprotect(p, len, RW);
	child_assert(som_try_write(p, 0) == SIGSEGV);
	child_assert(som_try_write(p + PAGE, 0) == SIGSEGV);
}

static void act_mremap(char *p, size_t len)
{
	char *q = mremap(p, len, len, MREMAP_MAYMOVE, NULL);
	char *room = som_room(2 * len, UNIT);

	if (q != MAP_FAILED)
		p = q;
	q = mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	if (q != MAP_FAILED)
		p = q;
	q = mremap(p, len, 2 * len, MREMAP_MAYMOVE);
	if (q != MAP_FAILED)
		p = q;
	child_assert(som_try_write(p, 0) == SIGSEGV);
	child_assert(som_read_signal(p + PAGE) == SIGSEGV);
	q = mremap(p, 0, len, MREMAP_MAYMOVE);
	if (q != MAP_FAILED)
		child_assert(som_read_signal(q) == SIGSEGV);
}

static void act_fork_again(char *p, size_t len)
{
	pid_t pid;

	madvise(p, len, MADV_DOFORK);
	pid = fork();
	if (!pid) {
		act_remove(p, len);
		act_munmap(p, len);
		_exit(0);
	}
	child_assert(!som_wait_child(pid));
}

#define EXPECT_PARENT_KEEPS_DATA(act) do {				\
	char *p = som_map(self->fd, 3 * UNIT);				\
									\
	ASSERT_NE(MAP_FAILED, p);					\
	som_fill(p, 3 * UNIT, 1);					\
	madvise(p, 3 * UNIT, MADV_DOFORK);				\
	EXPECT_EQ(0, child_acts(p, 3 * UNIT, act));			\
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));			\
	som_fill(p, 3 * UNIT, 2);					\
	EXPECT_EQ(-1, som_check(p, 3 * UNIT, 2));			\
	EXPECT_USED(3);							\
	EXPECT_COMMITTED(3);						\
} while (0)

TEST_F(som, parent_keeps_data_when_child_removes)
{
	EXPECT_PARENT_KEEPS_DATA(act_remove);
}

TEST_F(som, parent_keeps_data_when_child_says_dontneed)
{
	EXPECT_PARENT_KEEPS_DATA(act_dontneed);
}

TEST_F(som, parent_keeps_data_when_child_populates)
{
	EXPECT_PARENT_KEEPS_DATA(act_populate);
}

TEST_F(som, parent_keeps_data_when_child_unmaps)
{
	EXPECT_PARENT_KEEPS_DATA(act_munmap);
}

TEST_F(som, parent_keeps_data_when_child_protects)
{
	EXPECT_PARENT_KEEPS_DATA(act_mprotect);
}

TEST_F(som, parent_keeps_data_when_child_moves)
{
	EXPECT_PARENT_KEEPS_DATA(act_mremap);
}

TEST_F(som, parent_keeps_data_when_child_forks)
{
	EXPECT_PARENT_KEEPS_DATA(act_fork_again);
}

/*
 * The inherited fd
 */

TEST_F(som, child_maps_the_inherited_fd)
{
	char *p = som_map(self->fd, 2 * UNIT), *q;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	pid = fork();
	if (!pid) {
		q = som_map(self->fd, 2 * UNIT);
		child_assert(q != MAP_FAILED);
		child_assert(som_not_zero(q, 2 * UNIT) == -1);
		som_fill(q, 2 * UNIT, 2);
		child_assert(som_check(q, 2 * UNIT, 2) == -1);
		child_assert(som_used() == self->before.used + 4);
		child_assert(!madvise(q, UNIT, MADV_REMOVE));
		child_assert(som_used() == self->before.used + 3);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	EXPECT_EQ(2, som_wait_number(som_used, self->before.used + 2) -
		     self->before.used);
}

/* At the same address as its parent's, too. */
TEST_F(som, child_maps_at_its_parents_address)
{
	char *p = som_map(self->fd, 2 * UNIT), *q;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	madvise(p, 2 * UNIT, MADV_DOFORK);
	pid = fork();
	if (!pid) {
		q = som_map_at(self->fd, p, 2 * UNIT, RW, MAP_FIXED);
		child_assert(q == p);
		child_assert(som_not_zero(q, 2 * UNIT) == -1);
		som_fill(q, 2 * UNIT, 2);
		child_assert(som_check(q, 2 * UNIT, 2) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
}

TEST_F(som, parent_exits_first)
{
	int *step = som_shared(sizeof(*step));
	pid_t pid;

	pid = fork();
	if (!pid) {
		char *p = som_map(self->fd, 5 * UNIT);

		child_assert(p != MAP_FAILED);
		som_fill(p, 5 * UNIT, 1);
		madvise(p, 5 * UNIT, MADV_DOFORK);
		pid = fork();
		if (!pid) {
			char *q;

			child_assert(som_wait_flag(step, 1));
			child_assert(som_read_signal(p) == SIGSEGV);
			q = som_map(self->fd, 2 * UNIT);
			child_assert(q != MAP_FAILED);
			child_assert(som_not_zero(q, 2 * UNIT) == -1);
			som_fill(q, 2 * UNIT, 2);
			child_assert(som_used() == self->before.used + 2);
			child_assert(som_read_signal(p) == SIGSEGV);
			WRITE_ONCE(*step, 2);
			_exit(0);
		}
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	/* The grandchild still has the fd and the inherited range. */
	EXPECT_EQ(self->before.used,
		  som_wait_number(som_used, self->before.used));
	EXPECT_EQ(self->before.committed,
		  som_wait_number(som_committed, self->before.committed));
	WRITE_ONCE(*step, 1);
	EXPECT_TRUE(som_wait_flag(step, 2));
}

/*
 * Shared address spaces
 */

struct vm_clone {
	char *p;
	int ok;
};

static int vm_clone_main(void *arg)
{
	struct vm_clone *c = arg;

	c->ok = som_check(c->p, UNIT, 1) == -1;
	som_fill(c->p + UNIT, UNIT, 2);
	return 0;
}

TEST_F(som, clone_vm_shares_the_memory)
{
	struct vm_clone c = { .p = som_map(self->fd, 2 * UNIT) };
	char *stack = malloc(65536);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, c.p);
	som_fill(c.p, UNIT, 1);
	pid = clone(vm_clone_main, stack + 65536, CLONE_VM | SIGCHLD, &c);
	ASSERT_LT(0, pid);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(1, c.ok);
	EXPECT_EQ(-1, som_check(c.p, UNIT, 1));
	EXPECT_EQ(-1, som_check(c.p + UNIT, UNIT, 2));
	EXPECT_USED(2);
	free(stack);
}

TEST_F(som, vfork_shares_the_memory)
{
	char *p = som_map(self->fd, UNIT);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	pid = vfork();
	if (!pid)
		_exit(som_check(p, UNIT, 1) != -1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
}

/*
 * Ends of a process
 */

/* Fork a child that holds @units and then waits for whatever comes. */
static pid_t fork_holder(int fd, long units, int *ready)
{
	pid_t pid = fork();

	if (!pid) {
		char *p = som_map(fd, units * UNIT);

		child_assert(p != MAP_FAILED);
		som_touch_units(p, units * UNIT);
		WRITE_ONCE(*ready, 1);
		for (;;)
			pause();
	}
	return pid;
}

TEST_F(som, exit_gives_back)
{
	pid_t pid = fork();

	if (!pid) {
		char *p = som_map(self->fd, 7 * UNIT);

		child_assert(p != MAP_FAILED);
		som_touch_units(p, 7 * UNIT);
		child_assert(som_used() == self->before.used + 7);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(self->before.used,
		  som_wait_number(som_used, self->before.used));
}

TEST_F(som, sigkill_gives_back)
{
	int *ready = som_shared(sizeof(*ready));
	pid_t pid = fork_holder(self->fd, 7, ready);

	ASSERT_TRUE(som_wait_flag(ready, 1));
	EXPECT_USED(7);
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, som_wait_child(pid));
	EXPECT_EQ(self->before.used,
		  som_wait_number(som_used, self->before.used));
	EXPECT_EQ(self->before.committed,
		  som_wait_number(som_committed, self->before.committed));
}

/* The program that the exec test becomes; it still has the fd. */
static void exec_pause(bool keep_fd, int fd, long units)
{
	char *p = som_map(fd, units * UNIT);

	child_assert(p != MAP_FAILED);
	som_touch_units(p, units * UNIT);
	if (keep_fd)
		child_assert(!fcntl(fd, F_SETFD, 0));
	execl("/proc/self/exe", "som_fork", "pause", NULL);
	child_assert(!"execl");
}

TEST_F(som, exec_gives_back)
{
	int keep_fd;

	for (keep_fd = 0; keep_fd < 2; keep_fd++) {
		char comm[64], path[64];
		pid_t pid = fork();
		double end;
		FILE *f;

		if (!pid)
			exec_pause(keep_fd, self->fd, 6);
		/* It has become the other program when it says so. */
		snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
		end = som_now() + 60;
		do {
			usleep(10000);
			memset(comm, 0, sizeof(comm));
			f = fopen(path, "re");
			if (f) {
				ASSERT_LE(0, fread(comm, 1, 32, f));
				fclose(f);
			}
		} while (strcmp(comm, "som_fork") && som_now() < end);
		EXPECT_STREQ("som_fork", comm);
		EXPECT_EQ(self->before.used,
			  som_wait_number(som_used, self->before.used));
		EXPECT_EQ(self->before.committed,
			  som_wait_number(som_committed,
					  self->before.committed));
		EXPECT_EQ(0, kill(pid, 0));
		kill(pid, SIGKILL);
		EXPECT_EQ(-SIGKILL, som_wait_child(pid));
	}
}

static void busy_holder(int fd)
{
	char *room = som_room(4 * UNIT, UNIT), *p;
	unsigned int i;

	for (i = 0;; i++) {
		p = som_map(fd, 4 * UNIT);
		child_assert(p != MAP_FAILED);
		child_assert(som_pages_not_zero(p, 4 * UNIT) == -1);
		som_fill_pages(p, 4 * UNIT, i);
		child_assert(!madvise(p + UNIT, UNIT, MADV_REMOVE));
		child_assert(!mprotect(p + 9 * PAGE, PAGE, PROT_READ));
		child_assert(mremap(p + 2 * UNIT, UNIT, UNIT,
				    MREMAP_MAYMOVE | MREMAP_FIXED, room) ==
			     room);
		child_assert(!munmap(room, UNIT));
		child_assert(!munmap(p, 4 * UNIT));
	}
}

TEST_F(som, sigkill_at_any_point_gives_back)
{
	int i, rounds = som_rounds(60);
	unsigned int seed = 1;

	for (i = 0; i < rounds; i++) {
		pid_t pid = fork();

		if (!pid)
			busy_holder(self->fd);
		usleep(rand_r(&seed) % (som_debug_kernel() ? 200000 : 40000));
		kill(pid, SIGKILL);
		ASSERT_EQ(-SIGKILL, som_wait_child(pid));
	}
	EXPECT_TRUE(som_state_wait(&self->before));
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "pause"))
		for (;;)
			pause();
	return test_harness_run(argc, argv);
}
