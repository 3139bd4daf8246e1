// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_POLICY_FORK_COPY: a child has the bytes that its parent had at fork, whoever
 * touches, writes, discards, unmaps or ends first; no unit is copied that need not
 * be; a fork that the pool cannot hold fails, and nothing is changed.
 *
 * SOM-TEST: chunks=1 timeout=900 takes=60
 */
#include <sys/prctl.h>

#include <linux/io_uring.h>

#include "som_scan.h"

#define NR	6
#define LEN	(NR * UNIT)
#define NORESERVE (SOM_POLICY_FORK_COPY | SOM_POLICY_FORK_NORESERVE)

static int set_options(int fd, __u64 options)
{
	struct som_policy policy = { .size = sizeof(policy) };

	if (ioctl(fd, SOM_IOC_GET_POLICY, &policy))
		return -errno;
	policy.options = options;
	return ioctl(fd, SOM_IOC_SET_POLICY, &policy) ? -errno : 0;
}

static char *map_copied(int fd, size_t len, bool private)
{
	struct som_policy policy = { .size = sizeof(policy) };
	int ret = set_options(fd, SOM_POLICY_FORK_COPY);

	/* In a child, it is the parent's file, with the parent's policy. */
	if (ret == -EPERM && !ioctl(fd, SOM_IOC_GET_POLICY, &policy) &&
	    !(policy.options & SOM_POLICY_FORK_COPY)) {
		fd = som_open();
		ret = set_options(fd, SOM_POLICY_FORK_COPY);
	}
	if (ret && ret != -EPERM)
		return MAP_FAILED;
	return private ? som_map_private(fd, len) : som_map(fd, len);
}

/* What parent and child tell each other. */
static int *turn;

static void wait_turn(int want)
{
	child_assert(som_wait_flag(turn, want));
}

static void next_turn(int to)
{
	WRITE_ONCE(*turn, to);
}

FIXTURE(copy)
{
	struct som_state before;
	pid_t pid;
	int fd;
	char *p;
};

FIXTURE_VARIANT(copy)
{
	bool private;
	bool small;
};

FIXTURE_VARIANT_ADD(copy, shared) { };
FIXTURE_VARIANT_ADD(copy, private) { .private = true };
FIXTURE_VARIANT_ADD(copy, shared_4k) { .small = true };
FIXTURE_VARIANT_ADD(copy, private_4k) { .private = true, .small = true };

FIXTURE_SETUP(copy)
{
	self->pid = getpid();
	som_state_read(&self->before);
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
	turn = som_shared(PAGE);
	ASSERT_NE(MAP_FAILED, turn);
	self->p = map_copied(self->fd, LEN, variant->private);
	ASSERT_NE(MAP_FAILED, self->p);
	/* In pieces, a VMA never has a whole unit. */
	if (variant->small) {
		for (int i = 0; i < NR; i++)
			ASSERT_EQ(0, mprotect(self->p + i * UNIT + UNIT / 2,
					      PAGE, PROT_READ));
		for (int i = 0; i < NR; i++)
			ASSERT_EQ(0, mprotect(self->p + i * UNIT + UNIT / 2,
					      PAGE, RW));
	}
	som_fill(self->p, LEN, 1);
	EXPECT_EQ(self->before.used + NR, som_used());
}

FIXTURE_TEARDOWN_PARENT(copy)
{
	if (getpid() == self->pid || som_state_wait(&self->before))
		return;
	EXPECT_EQ(self->before.used, som_used());
	EXPECT_EQ(self->before.committed, som_committed());
	EXPECT_EQ(self->before.free, som_free());
}

/* Nothing is copied for a child that ends, or executes something else. */
TEST_F(copy, not_at_fork)
{
	pid_t pid = fork();

	if (!pid) {
		wait_turn(1);
		_exit(0);
	}
	ASSERT_LT(0, pid);
	EXPECT_USED(NR);
	EXPECT_COMMITTED(2 * NR);
	/* The parent's looking is no reason either. */
	EXPECT_EQ(-1, som_check(self->p, LEN, 1));
	EXPECT_USED(NR);
	next_turn(1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_USED(NR);
	EXPECT_COMMITTED(NR);
	som_fill(self->p, LEN, 2);
	EXPECT_USED(NR);

	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "som_fork_copy", "exit", NULL);
		_exit(1);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	som_fill(self->p, LEN, 3);
	EXPECT_USED(NR);
	EXPECT_EQ(-1, som_check(self->p, LEN, 3));
}

TEST_F(copy, child_touches_first)
{
	pid_t pid = fork();
	int i;

	if (!pid) {
		for (i = 0; i < NR; i++) {
			child_assert(som_used() == self->before.used + NR + i);
			child_assert(som_check(self->p, (i + 1) * UNIT, 1) == -1);
		}
		child_assert(som_used() == self->before.used + 2 * NR);
		som_fill(self->p, LEN, 2);
		next_turn(1);
		wait_turn(2);
		child_assert(som_check(self->p, LEN, 2) == -1);
		_exit(0);
	}
	EXPECT_TRUE(som_wait_flag(turn, 1));
	EXPECT_EQ(-1, som_check(self->p, LEN, 1));
	som_fill(self->p, LEN, 3);
	EXPECT_USED(2 * NR);
	next_turn(2);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(self->p, LEN, 3));
	EXPECT_USED(NR);
}

TEST_F(copy, parent_writes_first)
{
	pid_t pid = fork();

	if (!pid) {
		wait_turn(1);
		child_assert(som_check(self->p, LEN, 1) == -1);
		_exit(0);
	}
	WRITE_ONCE(self->p[UNIT + PAGE], 0x55);
	EXPECT_USED(NR + 1);
	WRITE_ONCE(self->p[UNIT + UNIT - 1], 0x55);
	EXPECT_USED(NR + 1);
	som_fill(self->p + 2 * UNIT, LEN - 2 * UNIT, 2);
	EXPECT_USED(2 * NR - 1);
	next_turn(1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_USED(NR);
	EXPECT_EQ(-1, som_check(self->p + 2 * UNIT, LEN - 2 * UNIT, 2));
	EXPECT_EQ(-1, som_check(self->p, UNIT, 1));
}

#define CHILDREN	6

/*
 * Children that look, and write, when it is their turn. Those whose number is below
 * @parts do not inherit the second half of each unit: it is zero for them.
 */
static void fork_family(struct __test_metadata *_metadata, char *p, pid_t *pid,
			int parts)
{
	int i, unit, mark;
	char *at;

	for (at = p; at < p + LEN; at += UNIT / 2)
		som_fill(at, UNIT / 2, 1);
	for (i = 0; i < CHILDREN; i++) {
		for (unit = 0; unit < NR; unit++)
			ASSERT_EQ(0, madvise(p + unit * UNIT + UNIT / 2, UNIT / 2,
					     i < parts ? MADV_DONTFORK :
							 MADV_DOFORK));
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (pid[i])
			continue;
		mark = 10 + i;
		wait_turn(i + 1);
		for (at = p; at < p + LEN; at += UNIT) {
			child_assert(som_check(at, UNIT / 2, 1) == -1);
			child_assert(i < parts ||
				     som_check(at + UNIT / 2, UNIT / 2, 1) == -1);
			som_fill(at, UNIT / 2, mark);
		}
		next_turn(100 + i);
		wait_turn(i + 11);
		for (at = p; at < p + LEN; at += UNIT)
			child_assert(som_check(at, UNIT / 2, mark) == -1);
		_exit(0);
	}
}

/* @copies: of each unit, when the parent has written. */
static void write_before_family(struct __test_metadata *_metadata, char *p,
				long used, int parts, int copies)
{
	pid_t pid[CHILDREN];
	int i;

	fork_family(_metadata, p, pid, parts);
	som_fill(p, LEN, 2);
	EXPECT_EQ(used + (1 + copies) * NR, som_used());
	/* The youngest first, so that each depends on another one's unit. */
	for (i = CHILDREN - 1; i >= 0; i--) {
		next_turn(i + 1);
		EXPECT_TRUE(som_wait_flag(turn, 100 + i));
	}
	EXPECT_EQ(used + (1 + CHILDREN) * NR, som_used());
	EXPECT_EQ(-1, som_check(p, LEN, 2));
	for (i = 0; i < CHILDREN; i++) {
		next_turn(i + 11);
		EXPECT_EQ(0, som_wait_child(pid[i]));
	}
	EXPECT_EQ(used + NR, som_used());
}

/* A parent's write costs one copy, however many children depend on the unit. */
TEST_F(copy, one_for_all_children)
{
	write_before_family(_metadata, self->p, self->before.used, 0, 1);
}

/* The oldest lacks what the others have: these have one of their own. */
TEST_F(copy, one_for_each_part)
{
	write_before_family(_metadata, self->p, self->before.used, 3, 2);
}

/* What the parent gives up, the child gets; of several, each has the bytes. */
TEST_F(copy, parent_unmaps_first)
{
	pid_t pid[3];
	int i;

	for (i = 0; i < 3; i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i]) {
			wait_turn(i + 1);
			child_assert(som_check(self->p, LEN, 1) == -1);
			som_fill(self->p, LEN, 10 + i);
			child_assert(som_check(self->p, LEN, 10 + i) == -1);
			next_turn(100 + i);
			wait_turn(i + 11);
			child_assert(som_check(self->p, LEN, 10 + i) == -1);
			_exit(0);
		}
	}
	EXPECT_USED(NR);
	EXPECT_EQ(0, munmap(self->p, LEN));
	EXPECT_USED(NR);
	EXPECT_COMMITTED(3 * NR);
	for (i = 0; i < 3; i++) {
		next_turn(i + 1);
		EXPECT_TRUE(som_wait_flag(turn, 100 + i));
	}
	EXPECT_USED(3 * NR);
	for (i = 0; i < 3; i++) {
		next_turn(i + 11);
		EXPECT_EQ(0, som_wait_child(pid[i]));
	}
	EXPECT_USED(0);
}

/* The same when it ends, and its child before its grandchild, and that is killed. */
TEST_F(copy, whoever_ends_first)
{
	pid_t pid, child;

	for (int kill_it = 0; kill_it < 2; kill_it++) {
		next_turn(0);
		pid = fork();
		if (!pid) {
			child = fork();
			if (!child && !fork()) {
				wait_turn(1);
				child_assert(som_check(self->p, LEN, 1) == -1);
				child_assert(som_used() <=
					     self->before.used + 2 * NR);
				next_turn(2);
				_exit(0);
			}
			if (!child)
				_exit(0);
			som_wait_child(child);
			if (kill_it)
				raise(SIGKILL);
			_exit(0);
		}
		EXPECT_EQ(kill_it ? -SIGKILL : 0, som_wait_child(pid));
		next_turn(1);
		EXPECT_TRUE(som_wait_flag(turn, 2));
		EXPECT_USED_SOON(NR);
	}
	EXPECT_EQ(-1, som_check(self->p, LEN, 1));
}

/* A parent that ends with all of its memory; only orphans have it then. */
TEST_F(copy, orphans)
{
	int *done = turn + 1;
	pid_t pid = fork();

	EXPECT_EQ(0, pid ? munmap(self->p, LEN) : 0);
	if (!pid) {
		som_fill(self->p, LEN, 4);
		for (int i = 0; i < 3; i++) {
			if (fork())
				continue;
			wait_turn(1);
			if (i == 2)
				child_assert(!munmap(self->p, UNIT));
			child_assert(som_check(self->p + UNIT, LEN - UNIT, 1) != -1);
			for (size_t o = UNIT; o < LEN; o += 8)
				child_assert(*(__u64 *)(self->p + o) ==
					     som_word(4, o));
			__atomic_fetch_add(done, 1, __ATOMIC_SEQ_CST);
			_exit(0);
		}
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_USED_SOON(NR);
	next_turn(1);
	EXPECT_TRUE(som_wait_flag(done, 3));
	EXPECT_USED_SOON(0);
}

TEST_F(copy, generations)
{
	pid_t pid;
	int depth;

	for (depth = 0; depth < 5; depth++) {
		WRITE_ONCE(self->p[depth * UNIT], depth);
		pid = fork();
		if (pid) {
			child_assert(!som_wait_child(pid));
			/* The child has not changed it. */
			for (int i = 0; i <= depth; i++)
				child_assert(READ_ONCE(self->p[i * UNIT]) == i);
			if (depth)
				_exit(0);
			break;
		}
		for (int i = 0; i <= depth; i++)
			child_assert(READ_ONCE(self->p[i * UNIT]) == i);
	}
	if (depth == 5) {
		child_assert(*(__u64 *)(self->p + 5 * UNIT) ==
			     som_word(1, 5 * UNIT));
		_exit(0);
	}
	EXPECT_USED_SOON(NR);
}

/* Memory that either side maps afterwards is its own, and so is what it does with it. */
TEST_F(copy, new_memory_afterwards)
{
	char *q, *r;
	pid_t pid;

	pid = fork();
	q = map_copied(self->fd, LEN, variant->private);
	child_assert(q != MAP_FAILED);
	child_assert(som_not_zero(q, LEN) == -1);
	som_fill(q, LEN, pid ? 20 : 21);
	if (!pid) {
		next_turn(1);
		wait_turn(2);
		child_assert(som_check(q, LEN, 21) == -1);
		child_assert(!madvise(q, 2 * UNIT, MADV_REMOVE));
		child_assert(!munmap(q + 2 * UNIT, UNIT));
		r = som_room(LEN, UNIT);
		child_assert(mremap(q + 3 * UNIT, UNIT, UNIT,
				    MREMAP_MAYMOVE | MREMAP_FIXED, r) == r);
		child_assert(som_not_zero(q, 2 * UNIT) == -1);
		child_assert(!madvise(self->p, UNIT, MADV_REMOVE));
		child_assert(som_not_zero(self->p, UNIT) == -1);
		_exit(0);
	}
	EXPECT_TRUE(som_wait_flag(turn, 1));
	EXPECT_EQ(-1, som_check(q, LEN, 20));
	EXPECT_EQ(0, madvise(q, UNIT, MADV_REMOVE));
	next_turn(2);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_not_zero(q, UNIT));
	for (size_t o = UNIT; o < LEN; o += 8)
		ASSERT_EQ(som_word(20, o), *(__u64 *)(q + o));
	EXPECT_EQ(-1, som_check(self->p, LEN, 1));
}

/* Ways to change or lose memory without a write that faults. */
static void change(int fd, char *p, int how)
{
	struct som_reset reset = {
		.size = sizeof(reset),
		.start = som_addr(p), .end = som_addr(p) + 2 * UNIT,
		.keep_resident = how == 3 ? 0 : LEN,
	};
	char *room;
	int mem;

	switch (how) {
	case 0:
		child_assert(!madvise(p, 2 * UNIT, MADV_REMOVE));
		break;
	case 1:
		child_assert(!madvise(p + PAGE, 2 * UNIT - 2 * PAGE, MADV_REMOVE));
		break;
	case 2:
	case 3:
		child_assert(!ioctl(fd, SOM_IOC_RESET, &reset));
		break;
	case 4:
		mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		child_assert(mem >= 0);
		child_assert(pwrite(mem, "changed", 8, som_addr(p)) == 8);
		child_assert(pwrite(mem, "changed", 8, som_addr(p + UNIT)) == 8);
		close(mem);
		break;
	case 5:
		child_assert(!som_page_backed(fd, p, 2 * UNIT));
		som_fill(p, 2 * UNIT, 9);
		child_assert(!som_pool_backed(fd, p, 2 * UNIT));
		break;
	case 6:
		child_assert(mmap(p, 2 * UNIT, RW, MAP_PRIVATE | MAP_ANONYMOUS |
				  MAP_FIXED, -1, 0) == p);
		break;
	case 7:
		room = som_room(2 * UNIT, UNIT);
		child_assert(mremap(p, 2 * UNIT, 2 * UNIT,
				    MREMAP_MAYMOVE | MREMAP_FIXED, room) == room);
		som_fill(room, 2 * UNIT, 8);
		child_assert(!munmap(room, 2 * UNIT));
		break;
	case 8:
		/* Private memory discards, shared does not. */
		child_assert(!madvise(p, UNIT, MADV_DONTNEED));
		child_assert(!madvise(p + UNIT + PAGE, UNIT - PAGE, MADV_DONTNEED));
		break;
	case 9:
		child_assert(!som_scan_clean(fd, p, 2 * UNIT));
		som_fill(p, 2 * UNIT, 7);
		break;
	}
}

#define NR_CHANGES	10

TEST_F(copy, the_parent_changes)
{
	for (int how = 0; how < NR_CHANGES; how++) {
		pid_t pid = fork();
		pid_t child;

		ASSERT_LE(0, pid);
		if (pid) {
			ASSERT_EQ(0, som_wait_child(pid))
				TH_LOG("way %d", how);
			continue;
		}
		/* Moved in pieces, mremap would have to be called for each. */
		if (variant->small && how == 7)
			_exit(0);
		next_turn(0);
		child = fork();
		if (!child) {
			wait_turn(1);
			child_assert(som_check(self->p, LEN, 1) == -1);
			som_fill(self->p, LEN, 2);
			child_assert(som_check(self->p, LEN, 2) == -1);
			_exit(0);
		}
		change(self->fd, self->p, how);
		next_turn(1);
		child_assert(!som_wait_child(child));
		for (size_t o = 2 * UNIT; o < LEN; o += 8)
			child_assert(*(__u64 *)(self->p + o) == som_word(1, o));
		_exit(0);
	}
	EXPECT_EQ(-1, som_check(self->p, LEN, 1));
}

TEST_F(copy, the_child_changes)
{
	for (int how = 0; how < NR_CHANGES; how++) {
		pid_t pid;

		if (variant->small && how == 7)
			continue;
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			change(self->fd, self->p, how);
			if (how < 2 || how == 3)
				child_assert(som_not_zero(self->p + PAGE,
							  2 * UNIT - 2 * PAGE) == -1);
			if (how == 1)
				child_assert(*(__u64 *)self->p == som_word(1, 0));
			if (how == 2)
				child_assert(som_not_zero(self->p, 2 * UNIT) == -1);
			if (how == 8 && variant->private) {
				child_assert(som_not_zero(self->p, UNIT) == -1);
				child_assert(*(__u64 *)(self->p + UNIT) ==
					     som_word(1, UNIT));
				child_assert(som_not_zero(self->p + UNIT + PAGE,
							  UNIT - PAGE) == -1);
			}
			if (how == 8 && !variant->private)
				child_assert(som_check(self->p, LEN, 1) == -1);
			for (size_t o = 2 * UNIT; o < LEN; o += 8)
				child_assert(*(__u64 *)(self->p + o) ==
					     som_word(1, o));
			_exit(0);
		}
		EXPECT_EQ(0, som_wait_child(pid))
			TH_LOG("way %d", how);
		EXPECT_EQ(-1, som_check(self->p, LEN, 1));
	}
	EXPECT_USED_SOON(NR);
}

/* Somebody else reads and writes a child that has not touched anything. */
TEST_F(copy, from_outside)
{
	__u64 word = 0;
	struct iovec local = { &word, 8 }, remote = { self->p + UNIT, 8 };
	char path[64];
	pid_t pid;
	int mem;

	pid = fork();
	if (!pid) {
		wait_turn(1);
		child_assert(*(__u64 *)self->p == 77);
		child_assert(*(__u64 *)(self->p + 8) == som_word(1, 8));
		_exit(0);
	}
	if (variant->small) {
		/* As of a parent: not by 4 KiB entries. */
		EXPECT_EQ(-1, process_vm_readv(pid, &local, 1, &remote, 1, 0));
		EXPECT_EQ(EFAULT, errno);
	} else {
		EXPECT_EQ(8, process_vm_readv(pid, &local, 1, &remote, 1, 0));
		EXPECT_EQ(som_word(1, UNIT), word);
	}
	EXPECT_USED(NR + 1);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	word = 77;
	EXPECT_EQ(8, pwrite(mem, &word, 8, som_addr(self->p)));
	EXPECT_EQ(8, pread(mem, &word, 8, som_addr(self->p + 2 * UNIT)));
	EXPECT_EQ(som_word(1, 2 * UNIT), word);
	close(mem);
	next_turn(1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(self->p, LEN, 1));
}

/* A pin that the parent has taken before goes on showing the parent's bytes. */
TEST_F(copy, pinned)
{
	struct iovec iov = { self->p + PAGE, PAGE };
	__u64 page[PAGE / 8];
	int fds[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	/* There is no pin on 4 KiB entries. */
	if (vmsplice(fds[1], &iov, 1, 0) != PAGE) {
		EXPECT_TRUE(variant->small);
		ASSERT_EQ(0, som_page_backed(self->fd, self->p, UNIT));
		ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	}
	pid = fork();
	if (!pid) {
		wait_turn(1);
		child_assert(som_check(self->p, LEN, 1) == -1);
		som_fill(self->p, LEN, 5);
		_exit(0);
	}
	WRITE_ONCE(*(__u64 *)(self->p + PAGE), 88);
	next_turn(1);
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(PAGE, read(fds[0], page, PAGE));
	EXPECT_EQ(88, page[0]);
	EXPECT_EQ(som_word(1, PAGE + 8), page[1]);
	close(fds[0]);
	close(fds[1]);
}

/* Writes that were not told before fork, and those after, are told to the parent. */
TEST_F(copy, tracking_goes_on)
{
	struct page_region vec[16];
	pid_t pid;

	ASSERT_EQ(0, som_scan_clean(self->fd, self->p, LEN));
	for (int round = 0; round < 3; round++) {
		WRITE_ONCE(self->p[round * UNIT + 7 * PAGE], 1);
		pid = fork();
		if (!pid) {
			/* Tracking is not inherited: all of it counts as written. */
			child_assert(som_scan_written(self->fd, self->p, LEN, 0,
						      vec, 16) == 1);
			child_assert(vec[0].start == som_addr(self->p) &&
				     vec[0].end == som_addr(self->p + LEN));
			child_assert(!som_scan_clean(self->fd, self->p, LEN));
			child_assert(!som_scan_written(self->fd, self->p, LEN, 0,
						       vec, 16));
			WRITE_ONCE(self->p[PAGE], 1);
			child_assert(som_scan_written(self->fd, self->p, LEN, 0,
						      vec, 16) == 1);
			child_assert(vec[0].start == som_addr(self->p + PAGE));
			_exit(0);
		}
		WRITE_ONCE(self->p[round * UNIT + UNIT / 2 + PAGE], 1);
		EXPECT_EQ(0, som_wait_child(pid));
		ASSERT_LE(1, som_scan_written(self->fd, self->p, LEN, WP, vec, 16));
		/* More may be told, never less. */
		EXPECT_LE(vec[0].start, som_addr(self->p + round * UNIT + 7 * PAGE));
		EXPECT_EQ(0, som_scan_written(self->fd, self->p, LEN, WP, vec, 16));
	}
}

/* What a child does to its own page tables is not told as its parent's writes. */
TEST_F(copy, a_child_that_moves_memory)
{
	pid_t pid;

	ASSERT_EQ(0, som_scan_clean(self->fd, self->p, LEN));
	pid = fork();
	if (!pid) {
		wait_turn(1);
		for (int i = 0; i < 20; i++) {
			char *q = mremap(self->p, 0, UNIT / 2, MREMAP_MAYMOVE);

			child_assert(q != MAP_FAILED ||
				     (som_no_second_view() && !variant->private));
			child_assert(q == MAP_FAILED || !munmap(q, UNIT / 2));
			child_assert(!madvise(self->p + i % NR * UNIT + PAGE,
					      PAGE, MADV_REMOVE));
		}
		next_turn(2);
		wait_turn(3);
		_exit(0);
	}
	ASSERT_LT(0, pid);
	/* All copies are made, and what fork itself has cleared is told. */
	som_touch_units(self->p, LEN);
	ASSERT_EQ(0, som_scan_clean(self->fd, self->p, LEN));
	som_touch_units(self->p, LEN);
	ASSERT_EQ(NR, som_scan_count(self->fd, self->p, LEN, WRITTEN));
	next_turn(1);
	EXPECT_TRUE(som_wait_flag(turn, 2));
	EXPECT_EQ(NR, som_scan_count(self->fd, self->p, LEN, WRITTEN));
	next_turn(3);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(NR, som_scan_count(self->fd, self->p, LEN, WRITTEN));
}

/* A scan of what heirs depend on is not a way to write it unseen. */
TEST_F(copy, scans_and_resets_keep_what_heirs_need)
{
	static const __u64 flags[] = { 0, WP, 0 };
	pid_t pid;

	ASSERT_EQ(0, som_scan_clean(self->fd, self->p, LEN));
	for (size_t how = 0; how < ARRAY_SIZE(flags); how++) {
		som_fill(self->p, LEN, how);
		next_turn(0);
		pid = fork();
		if (!pid) {
			wait_turn(1);
			child_assert(som_check(self->p, LEN, how) == -1);
			_exit(0);
		}
		ASSERT_LT(0, pid);
		if (how == 2)
			ASSERT_EQ(0, som_reset_zero(self->fd, self->p, LEN / 2));
		ASSERT_LE(0, som_scan_written(self->fd, self->p, LEN, flags[how],
					      NULL, 0));
		som_fill_pages(self->p, LEN, 99);
		next_turn(1);
		EXPECT_EQ(0, som_wait_child(pid))
			TH_LOG("way %zu", how);
		EXPECT_EQ(-1, som_check_pages(self->p, LEN, 99));
	}
}

/* What madvise takes out of fork is not there, and what lies beside it is. */
TEST_F(copy, dontfork)
{
	pid_t pid;
	char *q;

	ASSERT_EQ(0, madvise(self->p + UNIT / 2, UNIT, MADV_DONTFORK));
	pid = fork();
	if (!pid) {
		child_assert(som_read_signal(self->p + UNIT / 2) == SIGSEGV);
		child_assert(som_check(self->p, UNIT / 2, 1) == -1);
		for (size_t o = UNIT + UNIT / 2; o < LEN; o += 8)
			child_assert(*(__u64 *)(self->p + o) == som_word(1, o));
		/* Nor can it be had by growing into it. */
		if (!variant->small) {
			/* Where there is room behind it, the kernel does not move it. */
			q = mmap(self->p + UNIT / 2, PAGE, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			child_assert(q != MAP_FAILED);
			q = mremap(self->p, UNIT / 2, UNIT, MREMAP_MAYMOVE);
			child_assert(q != MAP_FAILED || variant->private);
			child_assert(q == MAP_FAILED ||
				     som_not_zero(q + UNIT / 2, UNIT / 2) == -1);
		}
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(self->p, LEN, 1));
}

/* What is copied at fork itself, in as many parts as there are mappings of it. */
TEST_F(copy, pinnable_at_fork)
{
	pid_t pid;

	ASSERT_EQ(0, som_page_backed(self->fd, self->p, 2 * UNIT));
	ASSERT_EQ(0, madvise(self->p + UNIT, PAGE, MADV_DONTFORK));
	pid = fork();
	if (!pid) {
		child_assert(som_check(self->p, UNIT, 1) == -1);
		child_assert(som_read_signal(self->p + UNIT) == SIGSEGV);
		for (size_t o = UNIT + PAGE; o < LEN; o += 8)
			child_assert(*(__u64 *)(self->p + o) == som_word(1, o));
		_exit(0);
	}
	ASSERT_LT(0, pid);
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(0, som_pool_backed(self->fd, self->p, 2 * UNIT));
}

/* What MREMAP_DONTUNMAP has left behind is zero where its memory is not inherited. */
static void left_behind(struct __test_metadata *_metadata, int fd, size_t offset,
			size_t len)
{
	char *p = map_copied(fd, 2 * UNIT, true), *q;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	q = mremap(p + offset, len, len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	ASSERT_NE(MAP_FAILED, q);
	for (int inherits = 0; inherits < 2; inherits++) {
		ASSERT_EQ(0, madvise(q, len, inherits ? MADV_DOFORK :
							MADV_DONTFORK));
		pid = fork();
		if (!pid) {
			for (size_t o = 0; o < 2 * UNIT; o += PAGE) {
				bool left = o >= offset && o < offset + len;
				__u64 word;
				int sig = som_try_read(p + o, &word);

				child_assert(sig == (left && inherits ? SIGBUS : 0));
				child_assert(sig || word == (left ? 0 :
							     som_word(1, o)));
			}
			if (!inherits)
				child_assert(som_read_signal(q) == SIGSEGV);
			for (size_t o = 0; inherits && o < len; o += PAGE)
				child_assert(*(__u64 *)(q + o) ==
					     som_word(1, offset + o));
			_exit(0);
		}
		EXPECT_EQ(0, som_wait_child(pid))
			TH_LOG("%zu at %zu, inherited %d", len, offset, inherits);
	}
	ASSERT_EQ(0, munmap(q, len));
	ASSERT_EQ(0, munmap(p, 2 * UNIT));
}

TEST_F(som, left_behind)
{
	left_behind(_metadata, self->fd, 0, UNIT);
	left_behind(_metadata, self->fd, 0, 2 * UNIT);
	left_behind(_metadata, self->fd, PAGE, PAGE);
	left_behind(_metadata, self->fd, UNIT / 2, UNIT);
}

/*
 * Whatever is moved, left, kept from the child, unmapped and written in a parent: its
 * child sees what anonymous memory shows, which goes through the same.
 */
#define TWIN_LEN	(2 * UNIT)

struct twins {
	char *mem[2];		/* som's first */
	char *room[2];		/* where parts of it are moved to */
	unsigned int seed;
};

static size_t random_in(struct twins *t, size_t nr)
{
	return rand_r(&t->seed) % nr;
}

/* Some pages: borders are as often those of units, and halves of them, as any. */
static size_t random_range(struct twins *t, size_t *len)
{
	size_t grain = random_in(t, 2) ? UNIT / 2 : PAGE;
	size_t nr = TWIN_LEN / grain, from = random_in(t, nr);

	*len = (1 + random_in(t, random_in(t, 3) ? nr - from : 1)) * grain;
	return from * grain;
}

/* Where som refuses, the other has its turn neither: what is left behind, growing. */
static void write_both(struct twins *t, char **at, size_t offset, size_t len)
{
	__u64 mark = rand_r(&t->seed);

	for (size_t o = offset; o < offset + len; o += PAGE)
		if (!som_try_write(at[0] + o, som_word(mark, o)))
			som_try_write(at[1] + o, som_word(mark, o));
}

/* What is there goes first, also when mremap fails then. */
static void move_both(struct twins *t, size_t offset, size_t len, int flags)
{
	char *q = MAP_FAILED;

	flags |= MREMAP_MAYMOVE | MREMAP_FIXED;
	for (int i = 0; i < 2; i++) {
		munmap(t->room[i] + offset, len);
		if (i && q == MAP_FAILED)
			break;
		q = mremap(t->mem[i] + offset, len, len, flags,
			   t->room[i] + offset);
		child_assert(!i || q != MAP_FAILED);
	}
}

static void change_both(struct twins *t)
{
	char **at = random_in(t, 3) ? t->mem : t->room;
	size_t len, offset = random_range(t, &len);
	int what = random_in(t, 8);

	if (what < 2)
		write_both(t, at, offset, len);
	else if (what == 2)
		move_both(t, offset, len, 0);
	else if (what == 3)
		move_both(t, offset, len, MREMAP_DONTUNMAP);
	for (int i = 0; i < 2; i++) {
		if (what == 4 || what == 5)
			madvise(at[i] + offset, len, MADV_DONTFORK);
		else if (what == 6)
			munmap(at[i] + offset, len);
		else if (what == 7)
			madvise(at[i] + offset, len, MADV_DONTNEED);
	}
}

/* What som refuses as it is mapped elsewhere is zero there, and so is what was zeroed. */
static bool same_in_both(struct twins *t, char **at)
{
	/* Not each page each time: a look is a system call or two. */
	size_t step = (1 + random_in(t, 7)) * PAGE;

	for (size_t o = random_in(t, 7) * PAGE; o < TWIN_LEN; o += step) {
		__u64 word[2] = { 0 };
		int sig[2];

		for (int i = 0; i < 2; i++)
			sig[i] = som_try_read(at[i] + o, &word[i]);
		if (sig[0] == SIGBUS ? sig[1] || word[1] :
				       sig[0] != sig[1] || word[0] != word[1]) {
			printf("# page %zu of %s: signal %d, word %llx, not %d, %llx\n",
			       o / PAGE, at == t->mem ? "memory" : "room", sig[0],
			       word[0], sig[1], word[1]);
			return false;
		}
	}
	return true;
}

static void look_at_both(struct twins *t)
{
	bool same = same_in_both(t, t->mem) && same_in_both(t, t->room);

	write_both(t, t->mem, 0, TWIN_LEN);
	same = same && same_in_both(t, t->mem) && same_in_both(t, t->room);
	if (!same)
		fflush(stdout);
	_exit(!same);
}

static void twins(int fd, unsigned int seed)
{
	struct twins t = { .seed = seed };
	int i, way = random_in(&t, 5);
	pid_t pid;

	t.mem[0] = map_copied(fd, TWIN_LEN, true);
	t.mem[1] = mmap(som_room(TWIN_LEN, UNIT), TWIN_LEN, RW, MAP_PRIVATE |
			MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	child_assert(t.mem[0] != MAP_FAILED && t.mem[1] != MAP_FAILED);
	for (i = 0; i < 2; i++) {
		madvise(t.mem[i], TWIN_LEN, MADV_NOHUGEPAGE);
		t.room[i] = som_room(TWIN_LEN, UNIT);
	}
	if (!random_in(&t, 3))
		som_page_backed(fd, t.mem[0], TWIN_LEN);
	write_both(&t, t.mem, 0, TWIN_LEN);
	for (i = random_in(&t, 8); i >= 0; i--)
		change_both(&t);
	*turn = 0;
	pid = fork();
	if (!pid) {
		wait_turn(1);
		if (way == 3) {
			pid = fork();
			if (pid)
				_exit(som_wait_child(pid));
		}
		look_at_both(&t);
	}
	child_assert(pid > 0);
	if (way == 1)
		write_both(&t, t.mem, 0, TWIN_LEN);
	else if (way == 2)
		for (i = 0; i < 2; i++) {
			munmap(t.mem[i], TWIN_LEN);
			munmap(t.room[i], TWIN_LEN);
		}
	else if (way == 4)
		change_both(&t);
	next_turn(1);
	child_assert(!som_wait_child(pid));
	look_at_both(&t);
}

TEST_F(som, children_of_twins)
{
	double end = som_now() + som_seconds(2.5, 8);
	unsigned int seed = time(NULL), rounds = 0;
	pid_t pid;

	turn = som_shared(PAGE);
	ASSERT_NE(MAP_FAILED, turn);
	for (; som_now() < end || !rounds; rounds++, seed++) {
		pid = fork();
		if (!pid)
			twins(self->fd, seed);
		ASSERT_EQ(0, som_wait_child(pid))
			TH_LOG("seed %u", seed);
	}
	TH_LOG("%u rounds", rounds);
}

TEST_F(som, only_what_was_mapped_so)
{
	char *p = som_map(self->fd, UNIT), *q;
	pid_t pid;

	q = map_copied(self->fd, UNIT, false);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	som_fill(p, UNIT, 1);
	som_fill(q, UNIT, 2);
	pid = fork();
	if (!pid) {
		child_assert(som_read_signal(p) == SIGSEGV);
		child_assert(som_check(q, UNIT, 2) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
}

TEST_F(som, settings)
{
	struct som_policy policy = { .size = sizeof(policy) };

	EXPECT_EQ(-EINVAL, set_options(self->fd, SOM_POLICY_FORK_NORESERVE));
	EXPECT_EQ(-EINVAL, set_options(self->fd, 1 << 4));
	EXPECT_EQ(0, set_options(self->fd, NORESERVE));
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &policy));
	EXPECT_EQ(NORESERVE, policy.options);
	/* An older structure leaves it, and goes by it. */
	EXPECT_EQ(-EINVAL, som_set_policy(self->fd, CHUNK));
	EXPECT_EQ(0, som_set_policy(self->fd, PAGE));
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &policy));
	EXPECT_EQ(NORESERVE, policy.options);
	EXPECT_EQ(PAGE, policy.map_size);
	policy.map_size = CHUNK;
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_SET_POLICY, &policy));
	EXPECT_EQ(EINVAL, errno);
	policy.options = 0;
	EXPECT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, &policy));
}

/* What goes together is seen together: each reads when the other may be writing. */
static void *set_and_get_policy(void *arg)
{
	static const struct som_policy policies[] = {
		{ sizeof(policies[0]), .map_size = CHUNK },
		{ sizeof(policies[0]), .map_size = UNIT, .options = NORESERVE },
	};
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	struct som_policy policy;

	while (!READ_ONCE(race->stop)) {
		policy = policies[r->nr];
		som_bad(race, ioctl(race->fd, SOM_IOC_SET_POLICY, &policy));
		som_bad(race, ioctl(race->fd, SOM_IOC_GET_POLICY, &policy));
		som_bad(race, policy.options != (policy.map_size == CHUNK ?
						 0 : NORESERVE));
		som_round(race);
	}
	return NULL;
}

TEST_F(som, settings_by_two_threads)
{
	struct som_policy policy = {
		.size = sizeof(policy), .map_size = CHUNK,
	};
	struct som_race race = { .fd = self->fd };

	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, &policy));
	ASSERT_EQ(0, som_run_racers(&race, 2, set_and_get_policy,
				    som_just_wait));
	EXPECT_EQ(0, race.bad)
		TH_LOG("%ld of %ld", race.bad, race.rounds);
	/* And in the end it is one of the two. */
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &policy));
	EXPECT_EQ(policy.map_size == CHUNK ? 0 : NORESERVE, policy.options);
}

/* More than the pool has: fork fails, and everything is as it was. */
TEST_F(som, a_fork_too_many)
{
	size_t len = (self->before.free / 2 + 1) * UNIT;
	char *p = map_copied(self->fd, len, false), *q;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	q = map_copied(self->fd, UNIT, true);
	ASSERT_NE(MAP_FAILED, q);
	som_fill_pages(p, len, 1);
	som_fill_pages(q, UNIT, 2);
	for (int i = 0; i < 3; i++) {
		pid = fork();
		if (!pid)
			_exit(1);
		ASSERT_EQ(-1, pid);
		EXPECT_EQ(ENOMEM, errno);
		EXPECT_EQ(-1, som_check_pages(p, len, 1));
		EXPECT_USED_SOON(len / UNIT + 1);
		EXPECT_COMMITTED(len / UNIT + 1);
	}
	som_fill_pages(p, len, 3);
	ASSERT_EQ(0, munmap(p, 2 * UNIT));
	pid = fork();
	if (!pid) {
		child_assert(*(__u64 *)(p + 2 * UNIT) == som_word(3, 2 * UNIT));
		child_assert(som_check_pages(q, UNIT, 2) == -1);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
}

/* As many children as there is room for, all of which work. */
TEST_F(som, until_the_pool_is_full)
{
	size_t len = self->before.free / 10 * UNIT;
	char *p = map_copied(self->fd, len, false);
	pid_t pids[32];
	int nr, i;

	turn = som_shared(PAGE);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, len, 1);
	for (nr = 0; nr < 32; nr++) {
		pids[nr] = fork();
		if (!pids[nr]) {
			wait_turn(1);
			child_assert(som_check_pages(p, len, 1) == -1);
			som_fill_pages(p, len, 2 + nr);
			child_assert(som_check_pages(p, len, 2 + nr) == -1);
			_exit(0);
		}
		if (pids[nr] < 0)
			break;
	}
	EXPECT_EQ(9, nr);
	EXPECT_EQ(ENOMEM, errno);
	som_all_cpus();
	next_turn(1);
	som_fill_pages(p, len, 99);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(0, som_wait_child(pids[i]));
	EXPECT_EQ(-1, som_check_pages(p, len, 99));
}

/* Without a promise: what there is no memory for is refused, for good or not. */
TEST_F(som, without_a_promise)
{
	size_t nr = self->before.free - 2, len = nr * UNIT;
	char *p, *q;
	pid_t pid;

	turn = som_shared(PAGE);
	ASSERT_EQ(0, set_options(self->fd, NORESERVE));
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, len, 1);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		som_catch_faults();
		/* Two fit. */
		child_assert(som_check_pages(p, 2 * UNIT, 1) == -1);
		child_assert(som_read_signal(p + 2 * UNIT) == SIGBUS);
		child_assert(som_read_signal(p + 3 * UNIT) == SIGBUS);
		next_turn(1);
		wait_turn(2);
		/* The parent wrote to the third when there was nothing left. */
		child_assert(som_read_signal(p + 2 * UNIT) == SIGBUS);
		/* It gave up the last two, and they came here. */
		child_assert(*(__u64 *)(p + len - UNIT) == som_word(1, len - UNIT));
		child_assert(!munmap(p, 2 * UNIT));
		child_assert(*(__u64 *)(p + 3 * UNIT) == som_word(1, 3 * UNIT));
		child_assert(som_read_signal(p + 2 * UNIT) == SIGBUS);
		_exit(0);
	}
	EXPECT_TRUE(som_wait_flag(turn, 1));
	WRITE_ONCE(p[2 * UNIT], 5);
	EXPECT_EQ(5, READ_ONCE(p[2 * UNIT]));
	EXPECT_EQ(0, munmap(p + len - 2 * UNIT, 2 * UNIT));
	next_turn(2);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_USED_SOON(nr - 2);
	q = som_map(self->fd, 2 * UNIT);
	EXPECT_NE(MAP_FAILED, q);
}

/*
 * A daemon's parent has @nr units without a promise, and ends: its memory is the child's,
 * who has @own units beside, as far as limits let it.
 */
static void daemonize(struct __test_metadata *_metadata, int fd, long nr, long own,
		      long expected)
{
	pid_t parent, pid;
	char *p, *q;

	turn = som_shared(PAGE);
	ASSERT_NE(MAP_FAILED, turn);
	parent = fork();
	if (!parent) {
		long good = 0;

		parent = getpid();
		p = som_map_at(fd, NULL, nr * UNIT, RW, MAP_NORESERVE);
		q = som_map_at(fd, NULL, (own + 1) * UNIT, RW, MAP_NORESERVE);
		child_assert(p != MAP_FAILED && q != MAP_FAILED);
		for (long i = 0; i < nr; i++)
			*(__u64 *)(p + i * UNIT) = som_word(i, 1);
		pid = fork();
		child_assert(pid >= 0);
		if (pid) {
			wait_turn(1);
			_exit(0);
		}
		som_touch_units(q, own * UNIT);
		next_turn(1);
		while (getppid() == parent)
			usleep(1000);
		for (long i = 0; i < nr; i++) {
			__u64 word;

			if (som_try_read(p + i * UNIT, &word))
				continue;
			child_assert(word == som_word(i, 1));
			good++;
		}
		next_turn(2 + good);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(parent));
	EXPECT_TRUE(som_wait_flag(turn, 2 + expected))
		TH_LOG("%d of %ld units", READ_ONCE(*turn) - 2, nr);
}

TEST_F(som, handed_over_by_a_full_pool)
{
	ASSERT_EQ(0, set_options(self->fd, NORESERVE));
	daemonize(_metadata, self->fd, self->before.free, 0, self->before.free);
}

TEST_F(som, handed_over_by_a_user_at_the_limit)
{
	ASSERT_EQ(0, set_options(self->fd, NORESERVE));
	ASSERT_EQ(0, som_write_string(SOM_SYSFS "limit_user", "8"));
	daemonize(_metadata, self->fd, 8, 0, 8);
	EXPECT_EQ(0, som_write_string(SOM_SYSFS "limit_user", "max"));
}

/* Nor is it a way to have more than the limit of a process. */
TEST_F(som, handed_over_to_a_process_at_the_limit)
{
	ASSERT_EQ(0, set_options(self->fd, NORESERVE));
	ASSERT_EQ(0, som_write_string(SOM_SYSFS "limit_owner", "8"));
	daemonize(_metadata, self->fd, 6, 4, 4);
	EXPECT_EQ(0, som_write_string(SOM_SYSFS "limit_owner", "max"));
}

/* Requests of io_uring that complete all the time, each of which interrupts the task. */
static bool tick_by_io_uring(void)
{
	static struct __kernel_timespec every = { .tv_nsec = 500000 };
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQSIZE, .cq_entries = 4096,
	};
	int ring = syscall(SYS_io_uring_setup, 8, &params);
	struct io_uring_sqe *sqes;
	unsigned int *array;
	char *sq;

	if (ring < 0)
		return false;
	sq = mmap(NULL, params.sq_off.array + 8 * sizeof(*array), RW, MAP_SHARED,
		  ring, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, 8 * sizeof(*sqes), RW, MAP_SHARED, ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || sqes == MAP_FAILED)
		return false;
	array = (unsigned int *)(sq + params.sq_off.array);
	for (int i = 0; i < 8; i++) {
		sqes[i] = (struct io_uring_sqe) {
			.opcode = IORING_OP_TIMEOUT,
			.addr = som_addr(&every),
			.len = 1,
			.timeout_flags = IORING_TIMEOUT_MULTISHOT,
		};
		array[i] = i;
	}
	WRITE_ONCE(*(unsigned int *)(sq + params.sq_off.tail), 8);
	return syscall(SYS_io_uring_enter, ring, 8, 0, 0, NULL, 0) == 8;
}

static void fork_for_a_while(void)
{
	double end = som_now() + som_seconds(1.5, 3);
	int nr = 0;
	pid_t pid;

	/* A process of some size: the longer it takes, the more comes in between. */
	for (int i = 0; i < 200; i++)
		child_assert(mmap(NULL, PAGE, i & 1 ? PROT_READ : RW,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	for (; som_now() < end || nr < 4; nr++) {
		pid = fork();
		if (!pid)
			_exit(0);
		child_assert(pid > 0);
		child_assert(!som_wait_child(pid));
	}
	_exit(0);
}

/* fork does not fail for what interrupts its caller, nor does mmap go on for ever. */
TEST_F(som, interrupted_by_io_uring)
{
	pid_t pid = fork();

	if (!pid) {
		if (!tick_by_io_uring())
			_exit(KSFT_SKIP);
		child_assert(map_copied(som_open(), UNIT, true) != MAP_FAILED);
		fork_for_a_while();
	}
	switch (som_wait_child(pid)) {
	case 0:
		break;
	case KSFT_SKIP:
		SKIP(return, "no io_uring");
	default:
		ASSERT_TRUE(false);
	}
}

static void *spin(void *arg)
{
	while (!READ_ONCE(*turn))
		;
	return NULL;
}

TEST_F(som, interrupted_by_stops)
{
	siginfo_t info = { 0 };
	pthread_t thread;
	pid_t pid;

	turn = som_shared(PAGE);
	ASSERT_NE(MAP_FAILED, turn);
	pid = fork();
	if (!pid) {
		som_all_cpus();
		child_assert(map_copied(som_open(), UNIT, true) != MAP_FAILED);
		child_assert(!pthread_create(&thread, NULL, spin, NULL));
		fork_for_a_while();
	}
	while (!waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       !info.si_pid) {
		kill(pid, SIGSTOP);
		usleep(300);
		kill(pid, SIGCONT);
		usleep(700);
	}
	EXPECT_EQ(0, som_wait_child(pid));
}

/*
 * A child without a promise zeroes pages of what it has not touched, when there is no
 * memory for a copy: afterwards they are zero, or lost with their unit, or the call has
 * failed. That stays so when there is memory again.
 */
/* In pages, of four units: parts of one, and of two with a whole one between. */
static const struct {
	size_t from, to;
} parts[] = { { 1, 2 }, { 0, 1 }, { 511, 512 }, { 511, 514 }, { 100, 1400 } };

/* What does a child see? @went: the call has returned 0. */
static bool right_word(const char *p, size_t page, size_t part, bool went)
{
	__u64 word, old = som_word(1, page * PAGE);

	if (som_try_read(p + page * PAGE, &word))
		return true;
	if (page < parts[part].from || page >= parts[part].to)
		return word == old;
	return !word || (!went && word == old);
}

static void zero_without_memory(char *p, int advice, size_t part)
{
	size_t from = parts[part].from, len = parts[part].to - from, page;
	bool went;

	som_catch_faults();
	went = !madvise(p + from * PAGE, len * PAGE, advice);
	for (page = 0; page < 4 * UNIT_PAGES; page += UNIT_PAGES)
		child_assert(right_word(p, page, part, went));
	next_turn(1);
	wait_turn(2);
	for (page = 0; page < 4 * UNIT_PAGES; page++)
		child_assert(right_word(p, page, part, went));
}

static void part_of_what_cannot_be_had(struct __test_metadata *_metadata, int fd,
				       bool private, int advice)
{
	char *p, *q;
	long committed;
	size_t part;
	pid_t pid;

	turn = som_shared(PAGE);
	ASSERT_NE(MAP_FAILED, turn);
	ASSERT_EQ(0, set_options(fd, NORESERVE));
	p = private ? som_map_private(fd, 4 * UNIT) : som_map(fd, 4 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 4 * UNIT, 1);
	ASSERT_EQ(0, set_options(fd, 0));
	committed = som_committed();
	for (part = 0; part < ARRAY_SIZE(parts); part++) {
		size_t len = (som_pool("units_total") - committed) * UNIT;

		q = som_map(fd, len);
		ASSERT_NE(MAP_FAILED, q);
		next_turn(0);
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			zero_without_memory(p, advice, part);
			_exit(0);
		}
		EXPECT_TRUE(som_wait_flag(turn, 1));
		ASSERT_EQ(0, munmap(q, len));
		next_turn(2);
		EXPECT_EQ(0, som_wait_child(pid))
			TH_LOG("pages %zu to %zu", parts[part].from,
			       parts[part].to);
		EXPECT_EQ(-1, som_check_pages(p, 4 * UNIT, 1));
		ASSERT_EQ(committed, som_wait_number(som_committed, committed));
	}
}

TEST_F(som, remove_of_a_part_that_cannot_be_had)
{
	part_of_what_cannot_be_had(_metadata, self->fd, false, MADV_REMOVE);
}

TEST_F(som, private_remove_of_a_part_that_cannot_be_had)
{
	part_of_what_cannot_be_had(_metadata, self->fd, true, MADV_REMOVE);
}

TEST_F(som, dontneed_of_a_part_that_cannot_be_had)
{
	part_of_what_cannot_be_had(_metadata, self->fd, true, MADV_DONTNEED);
}

TEST_F(som, compaction_meanwhile)
{
	char *p, *q;
	pid_t pid;
	int i;

	turn = som_shared(PAGE);
	if (som_set_chunks(2))
		SKIP(return, "no second chunk");
	q = som_map(self->fd, 400 * UNIT);
	p = map_copied(self->fd, 150 * UNIT, false);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(q, 400 * UNIT);
	som_fill_pages(p, 150 * UNIT, 1);
	/* Wherever they come from: both chunks keep some. */
	for (i = 0; i < 400; i++)
		if (i % 4)
			ASSERT_EQ(0, munmap(q + i * UNIT, UNIT));
	pid = fork();
	if (!pid) {
		child_assert(som_check_pages(p, 10 * UNIT, 1) == -1);
		next_turn(1);
		wait_turn(2);
		child_assert(som_check_pages(p, 150 * UNIT, 1) == -1);
		_exit(0);
	}
	EXPECT_TRUE(som_wait_flag(turn, 1));
	EXPECT_EQ(0, som_compact(1));
	EXPECT_EQ(-1, som_check_pages(p, 150 * UNIT, 1));
	WRITE_ONCE(p[20 * UNIT], 1);
	next_turn(2);
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(0, munmap(p, 150 * UNIT));
	ASSERT_EQ(0, munmap(q, 400 * UNIT));
	EXPECT_EQ(0, som_set_chunks(1));
}

/*
 * Writers count up, page by page, each in its own unit, while the process forks: of two
 * neighbours in a child, the one written first is never behind; nothing changes
 * while the child looks; children write, fork, are killed.
 */
#define WRITERS	3

static void *count_up(void *arg)
{
	struct som_racer *racer = arg;
	struct som_race *race = racer->race;
	char *p = race->mem + racer->nr * UNIT;
	__u64 n;

	for (n = 1; !READ_ONCE(race->stop); n++) {
		for (size_t o = 0; o < UNIT; o += 8 * PAGE) {
			__atomic_store_n((__u64 *)(p + o), n, __ATOMIC_SEQ_CST);
			__atomic_store_n((__u64 *)(p + o + 8), n, __ATOMIC_SEQ_CST);
		}
		som_round(race);
	}
	return NULL;
}

/* Beside the writers, one who discards, releases, cleans, and has units moved. */
#define OTHER	(2 * UNIT)

static void *meddle(struct som_race *race)
{
	char *p = race->other;
	__u64 n;

	for (n = 1; !READ_ONCE(race->stop); n++) {
		for (size_t o = 0; o < OTHER; o += 8 * PAGE)
			WRITE_ONCE(*(__u64 *)(p + o), n);
		switch (n % 6) {
		case 0:
			som_bad(race, madvise(p, OTHER, MADV_DONTNEED));
			break;
		case 1:
			som_bad(race, madvise(p + PAGE, UNIT, MADV_DONTNEED));
			break;
		case 2:
			som_bad(race, madvise(p, UNIT, MADV_REMOVE));
			break;
		case 3:
			som_bad(race, madvise(p + PAGE, UNIT, MADV_REMOVE));
			break;
		case 4:
			som_compact(1);
			break;
		case 5:
			som_bad(race, som_scan_clean(race->fd, p, OTHER));
			break;
		}
	}
	return NULL;
}

static void *work_beside(void *arg)
{
	struct som_racer *racer = arg;

	return racer->nr == WRITERS ? meddle(racer->race) : count_up(arg);
}

static void look_at_other(char *p)
{
	__u64 a, b;

	for (size_t o = 0; o < OTHER; o += 8 * PAGE) {
		a = READ_ONCE(*(__u64 *)(p + o));
		b = READ_ONCE(*(__u64 *)(p + o + PAGE - 8));
		child_assert(a < 1 << 30 && !b);
		child_assert(a == READ_ONCE(*(__u64 *)(p + o)));
	}
}

static void look(char *p)
{
	__u64 first[WRITERS], a, b;

	for (int w = 0; w < WRITERS; w++) {
		char *q = p + w * UNIT;

		first[w] = READ_ONCE(*(__u64 *)q);
		for (size_t o = 0; o < UNIT; o += 8 * PAGE) {
			a = READ_ONCE(*(__u64 *)(q + o));
			b = READ_ONCE(*(__u64 *)(q + o + 8));
			child_assert(a == b || a == b + 1);
			child_assert(a == first[w] || a + 1 == first[w]);
		}
	}
	for (int w = 0; w < WRITERS; w++)
		child_assert(first[w] == READ_ONCE(*(__u64 *)(p + w * UNIT)));
}

static void child_of_race(struct som_race *race, unsigned int seed)
{
	char *p = race->mem;

	srand(seed);
	if (rand() % 8 == 0)
		_exit(0);
	if (rand() % 4)
		look(p);
	if (rand() % 2)
		look_at_other(race->other);
	if (rand() % 3 == 0) {
		pid_t pid = fork();

		if (!pid) {
			look(p);
			som_fill_pages(p, WRITERS * UNIT, seed);
			child_assert(som_check_pages(p, WRITERS * UNIT, seed) == -1);
			_exit(0);
		}
		if (rand() % 2)
			look(p);
		if (pid > 0 && rand() % 2)
			child_assert(!som_wait_child(pid));
	}
	if (rand() % 4 == 0)
		child_assert(!madvise(p + UNIT, UNIT, MADV_REMOVE));
	if (rand() % 4 == 0)
		child_assert(!munmap(p + UNIT, UNIT));
	_exit(0);
}

static void fork_and_fork(struct som_race *race)
{
	double end = som_race_end(race);
	unsigned int seed = 1;

	while (som_now() < end || seed == 1 || !READ_ONCE(race->rounds)) {
		pid_t pids[4];
		int i, status;

		for (i = 0; i < 4; i++) {
			pids[i] = fork();
			if (!pids[i])
				child_of_race(race, seed);
			som_bad(race, pids[i] < 0);
			seed++;
		}
		if (seed % 3 == 0)
			usleep(seed % 7 * 1000);
		if (seed % 2)
			kill(pids[seed % 4], SIGKILL);
		for (i = 0; i < 4; i++) {
			status = som_wait_child(pids[i]);
			som_bad(race, status && status != -SIGKILL);
		}
	}
	printf("# %u forks, %ld rounds\n", seed - 1, race->rounds);
	fflush(stdout);
}

static void race_of_forks(struct __test_metadata *_metadata, int fd, bool private,
			  bool small)
{
	char *room = som_room((WRITERS + 1) * UNIT, UNIT);
	struct som_race race = { .fd = fd, .seconds = 2 * som_race_seconds() };

	ASSERT_EQ(0, set_options(fd, SOM_POLICY_FORK_COPY));
	race.mem = private ?
		som_map_private_at(fd, room, WRITERS * UNIT, RW, MAP_FIXED) :
		som_map_at(fd, room, WRITERS * UNIT, RW, MAP_FIXED);
	ASSERT_NE(MAP_FAILED, race.mem);
	race.other = private ? som_map_private(fd, OTHER) : som_map(fd, OTHER);
	ASSERT_NE(MAP_FAILED, race.other);
	if (small) {
		ASSERT_EQ(0, mprotect(race.mem + UNIT + PAGE, PAGE, PROT_READ));
		ASSERT_EQ(0, mprotect(race.mem + UNIT + PAGE, PAGE, RW));
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	EXPECT_EQ(0, som_run_racers(&race, WRITERS + 1, work_beside, fork_and_fork));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

TEST_F(som, writers_and_forks)
{
	race_of_forks(_metadata, self->fd, false, false);
}

TEST_F(som, writers_and_forks_private)
{
	race_of_forks(_metadata, self->fd, true, true);
}

/*
 * A process forks one child that is to have its memory, and another, which forks in the
 * very moment when the memory changes hands: all have the bytes that there were.
 */
#define MANY	40UL

struct handing {
	char *p;
	int ready, go, forked;
	unsigned int wait_parent, wait_child;	/* microseconds */
	bool exits;
};

static void wait_busily(unsigned int usec)
{
	double end = som_now() + usec / 1e6;

	while (som_now() < end)
		;
}

/* The first and the last word of each unit. */
static void fill_ends(char *p, size_t len, __u64 mark)
{
	for (size_t o = 0; o < len; o += UNIT) {
		WRITE_ONCE(*(__u64 *)(p + o), som_word(mark, o));
		WRITE_ONCE(*(__u64 *)(p + o + UNIT - 8), som_word(mark, o + 1));
	}
}

static void check_ends(const char *who, const char *p, size_t len, __u64 mark)
{
	int wrong = 0;

	for (size_t o = 0; o < len; o += UNIT) {
		__u64 first = READ_ONCE(*(__u64 *)(p + o));
		__u64 last = READ_ONCE(*(__u64 *)(p + o + UNIT - 8));

		if (first == som_word(mark, o) && last == som_word(mark, o + 1))
			continue;
		if (!wrong++)
			dprintf(STDOUT_FILENO, "# %s: unit %zu: %llx, %llx\n",
				who, o / UNIT, first, last);
	}
	child_assert(!wrong);
}

static void first_heir(struct handing *h, __u64 mark)
{
	child_assert(som_wait_flag(&h->forked, 1));
	check_ends("first child", h->p, MANY * UNIT, mark);
	_exit(0);
}

static void second_heir(struct handing *h, __u64 mark)
{
	pid_t pid;

	WRITE_ONCE(h->ready, 1);
	while (!READ_ONCE(h->go))
		;
	wait_busily(h->wait_child);
	pid = fork();
	if (pid)
		WRITE_ONCE(h->forked, 1);
	child_assert(pid >= 0);
	check_ends(pid ? "second child" : "grandchild", h->p, MANY * UNIT, mark);
	_exit(0);
}

static void hand_it_over(struct handing *h, int fd, __u64 mark, bool private)
{
	pid_t pid;

	h->p = map_copied(fd, MANY * UNIT, private);
	child_assert(h->p != MAP_FAILED);
	fill_ends(h->p, MANY * UNIT, mark);
	pid = fork();
	child_assert(pid >= 0);
	if (!pid)
		first_heir(h, mark);
	pid = fork();
	child_assert(pid >= 0);
	if (!pid)
		second_heir(h, mark);
	while (!READ_ONCE(h->ready))
		;
	WRITE_ONCE(h->go, 1);
	wait_busily(h->wait_parent);
	if (!h->exits)
		child_assert(!munmap(h->p, MANY * UNIT));
	_exit(0);
}

TEST_F(som, fork_while_memory_changes_hands)
{
	struct handing *h = som_shared(PAGE);
	double end = som_now() + 2 * som_race_seconds();
	unsigned int seed = 1, wait;
	int rounds, wrong = 0;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, h);
	/* Orphans, too. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	som_all_cpus();
	for (rounds = 0; som_now() < end || rounds < 2; rounds++) {
		memset(h, 0, sizeof(*h));
		wait = rand_r(&seed) % 3000;
		h->wait_parent = rand_r(&seed) % 2 ? wait : 0;
		h->wait_child = h->wait_parent ? 0 : wait;
		h->exits = rand_r(&seed) % 2;
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			hand_it_over(h, self->fd, rounds, rand_r(&seed) % 2);
		while (pid > 0) {
			int status;

			pid = waitpid(-1, &status, 0);
			wrong += pid > 0 && status;
		}
	}
	EXPECT_EQ(0, wrong);
	TH_LOG("%d rounds", rounds);
}

/* Executed by a child: do nothing at all. */
__attribute__((constructor))
static void only_exit(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "exit"))
		_exit(0);
}

TEST_HARNESS_MAIN
