// SPDX-License-Identifier: GPL-2.0
/*
 * Memory seen from outside: by a debugger (ptrace, /proc/PID/mem) and by
 * process_vm_readv(2). Whatever an access may answer, it never answers with
 * wrong data, and it never leaves a unit behind.
 */
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "som_test.h"

static bool som_one_process = true;

/*
 * A child that holds two mappings and waits: one unit by a 2M entry, and
 * 100 pages by 4K entries.
 */
#define SMALL_LEN	(100 * PAGE)

struct target {
	char *huge, *small, *untouched;
	int step;
	long bad;
};

FIXTURE(access)
{
	struct som_state before;
	struct target *t;
	pid_t pid, me;
	int fd, mem;
};

static void target_main(int fd, struct target *t)
{
	t->huge = som_map(fd, UNIT);
	child_assert(t->huge != MAP_FAILED);
	som_fill(t->huge, UNIT, 1);
	t->small = som_map(fd, SMALL_LEN);
	child_assert(t->small != MAP_FAILED);
	som_fill(t->small, SMALL_LEN, 2);
	t->untouched = som_map(fd, 2 * UNIT);
	child_assert(t->untouched != MAP_FAILED);
	child_assert(som_units_2m(fd) == 1);
	child_assert(som_units_4k(fd) == 1);
	WRITE_ONCE(t->step, 1);
	/* Step 2: count what the parent has changed. */
	child_assert(som_wait_flag(&t->step, 2));
	t->bad = 0;
	t->bad += *(__u64 *)(t->huge + 8 * PAGE) != 0x1111;
	t->bad += *(__u64 *)(t->small + 8 * PAGE) != 0x2222;
	t->bad += *(__u64 *)(t->untouched + UNIT) != 0x3333;
	*(__u64 *)(t->huge + 8 * PAGE) = som_word(1, 8 * PAGE);
	t->bad += som_check(t->huge, UNIT, 1) != -1;
	*(__u64 *)(t->small + 8 * PAGE) = som_word(2, 8 * PAGE);
	t->bad += som_check(t->small, SMALL_LEN, 2) != -1;
	*(__u64 *)(t->untouched + UNIT) = 0;
	t->bad += som_not_zero(t->untouched, 2 * UNIT) != -1;
	WRITE_ONCE(t->step, 3);
	for (;;)
		pause();
}

FIXTURE_SETUP(access)
{
	char path[64];
	pid_t pid;

	self->me = getpid();
	som_state_read(&self->before);
	ASSERT_LE(0, self->before.free);
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
	self->t = som_shared(sizeof(*self->t));
	/* Both write *self, which is shared. */
	pid = fork();
	if (!pid)
		target_main(self->fd, self->t);
	self->pid = pid;
	ASSERT_TRUE(som_wait_flag(&self->t->step, 1));
	snprintf(path, sizeof(path), "/proc/%d/mem", self->pid);
	self->mem = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->mem);
}

FIXTURE_TEARDOWN_PARENT(access)
{
	kill(self->pid, SIGKILL);
	if (getpid() != self->me)
		EXPECT_TRUE(som_state_wait(&self->before));
}

/* The target has seen what was written, and nothing else has changed. */
#define EXPECT_WRITTEN() do {						\
	WRITE_ONCE(self->t->step, 2);					\
	ASSERT_TRUE(som_wait_flag(&self->t->step, 3));			\
	EXPECT_EQ(0, self->t->bad);					\
	EXPECT_USED(4);							\
} while (0)

TEST_F(access, proc_mem_reads_a_2m_entry)
{
	char *buf = malloc(UNIT);
	size_t n;

	for (n = 0; n < UNIT; n += 16 * PAGE)
		ASSERT_EQ(16 * PAGE, pread(self->mem, buf + n, 16 * PAGE,
					   (off_t)self->t->huge + n));
	EXPECT_EQ(-1, som_check(buf, UNIT, 1));
	EXPECT_USED(2);
	free(buf);
}

TEST_F(access, proc_mem_reads_4k_entries)
{
	char *buf = malloc(SMALL_LEN);
	size_t n;

	for (n = 0; n < SMALL_LEN; n += PAGE)
		ASSERT_EQ(PAGE, pread(self->mem, buf + n, PAGE,
				      (off_t)self->t->small + n));
	EXPECT_EQ(-1, som_check(buf, SMALL_LEN, 2));
	EXPECT_USED(2);
	free(buf);
}

TEST_F(access, proc_mem_reads_across_pages)
{
	__u64 buf[2 * PAGE / 8];
	size_t i;

	ASSERT_EQ(sizeof(buf), pread(self->mem, buf, sizeof(buf),
				     (off_t)self->t->small + PAGE / 2));
	for (i = 0; i < ARRAY_SIZE(buf); i++)
		ASSERT_EQ(som_word(2, PAGE / 2 + i * 8), buf[i]);
}

TEST_F(access, proc_mem_reads_untouched_memory_as_zero)
{
	char buf[64];

	memset(buf, 0x55, sizeof(buf));
	ASSERT_EQ(64, pread(self->mem, buf, 64,
			    (off_t)self->t->untouched + UNIT + 128));
	EXPECT_EQ(-1, som_not_zero(buf, sizeof(buf)));
}

TEST_F(access, proc_mem_writes)
{
	__u64 value = 0x1111;

	ASSERT_EQ(8, pwrite(self->mem, &value, 8,
			    (off_t)self->t->huge + 8 * PAGE));
	value = 0x2222;
	ASSERT_EQ(8, pwrite(self->mem, &value, 8,
			    (off_t)self->t->small + 8 * PAGE));
	value = 0x3333;
	ASSERT_EQ(8, pwrite(self->mem, &value, 8,
			    (off_t)self->t->untouched + UNIT));
	WRITE_ONCE(self->t->step, 2);
	ASSERT_TRUE(som_wait_flag(&self->t->step, 3));
	EXPECT_EQ(0, self->t->bad);
	/* The child has touched the other untouched unit, to check it. */
	EXPECT_USED(4);
}

TEST_F(access, proc_mem_stops_at_the_end_of_a_mapping)
{
	char buf[16];

	errno = 0;
	EXPECT_EQ(-1, pread(self->mem, buf, 8,
			    (off_t)self->t->small + SMALL_LEN));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(8, pread(self->mem, buf, 16,
			   (off_t)self->t->small + SMALL_LEN - 8));
}

TEST_F(access, ptrace_peeks_and_pokes)
{
	pid_t pid = self->pid;
	char *huge = self->t->huge, *small = self->t->small;

	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, 0));
	ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, pid, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(som_word(1, UNIT - 8),
		  (__u64)ptrace(PTRACE_PEEKDATA, pid, huge + UNIT - 8, 0));
	EXPECT_EQ(som_word(2, 4 * PAGE),
		  (__u64)ptrace(PTRACE_PEEKDATA, pid, small + 4 * PAGE, 0));
	EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, pid, huge + 8 * PAGE, 0x1111));
	EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, pid, small + 8 * PAGE, 0x2222));
	EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, pid, self->t->untouched + UNIT,
			    0x3333));
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, pid, 0, 0));
	EXPECT_WRITTEN();
}

TEST_F(access, process_vm_readv_of_a_2m_entry)
{
	char *buf = malloc(UNIT);
	struct iovec local = { buf, UNIT };
	struct iovec remote = { self->t->huge, UNIT };

	ASSERT_EQ(UNIT, process_vm_readv(self->pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(-1, som_check(buf, UNIT, 1));
	EXPECT_USED(2);
	free(buf);
}

/* It may be refused; it may not be wrong. */
TEST_F(access, process_vm_readv_of_4k_entries)
{
	char *buf = calloc(1, SMALL_LEN);
	struct iovec local = { buf, SMALL_LEN };
	struct iovec remote = { self->t->small, SMALL_LEN };
	ssize_t n;

	n = process_vm_readv(self->pid, &local, 1, &remote, 1, 0);
	EXPECT_TRUE(n > 0 || errno == EFAULT);
	if (n > 0)
		EXPECT_EQ(-1, som_check(buf, n, 2));
	EXPECT_USED(2);
	free(buf);
}

TEST_F(access, process_vm_writev)
{
	__u64 value = 0x1111;
	struct iovec local = { &value, 8 };
	struct iovec remote = { self->t->huge + 8 * PAGE, 8 };
	ssize_t n;

	ASSERT_EQ(8, process_vm_writev(self->pid, &local, 1, &remote, 1, 0));
	value = 0x2222;
	remote.iov_base = self->t->small + 8 * PAGE;
	n = process_vm_writev(self->pid, &local, 1, &remote, 1, 0);
	if (n < 0) {
		EXPECT_EQ(EFAULT, errno);
		ASSERT_EQ(8, pwrite(self->mem, &value, 8,
				    (off_t)remote.iov_base));
	}
	value = 0x3333;
	remote.iov_base = self->t->untouched + UNIT;
	ASSERT_EQ(8, process_vm_writev(self->pid, &local, 1, &remote, 1, 0));
	EXPECT_WRITTEN();
}

/* Nothing is left pinned by any of it: the units go straight to the pool. */
TEST_F(access, nothing_stays_pinned)
{
	char buf[64];
	struct iovec local = { buf, sizeof(buf) };
	struct iovec remote = { self->t->huge, sizeof(buf) };

	ASSERT_EQ(64, process_vm_readv(self->pid, &local, 1, &remote, 1, 0));
	ASSERT_EQ(64, pread(self->mem, buf, 64, (off_t)self->t->huge));
	EXPECT_EQ(1, som_fdinfo(self->pid, self->fd, self->pid, "units-2M"));
	EXPECT_EQ(1, som_fdinfo(self->pid, self->fd, self->pid, "units-4K"));
	EXPECT_EQ(4, som_fdinfo(self->pid, self->fd, self->pid, "reserved"));
	kill(self->pid, SIGKILL);
	ASSERT_EQ(-SIGKILL, som_wait_child(self->pid));
	EXPECT_EQ(self->before.free,
		  som_wait_number(som_free, self->before.free));
	EXPECT_EQ(0, som_pool("units_quarantined"));
}

/* /proc/PID/mem of a process that has gone. */
TEST_F(access, proc_mem_of_a_dead_process)
{
	char buf[8];

	kill(self->pid, SIGKILL);
	ASSERT_EQ(-SIGKILL, som_wait_child(self->pid));
	EXPECT_EQ(self->before.used,
		  som_wait_number(som_used, self->before.used));
	EXPECT_GE(0, pread(self->mem, buf, 8, (off_t)self->t->huge));
}

/* What DOFORK leaves in a child has nothing to show to a debugger either. */
TEST_F(som, inherited_range_shows_nothing)
{
	int *step = som_shared(sizeof(*step));
	char *p = som_map(self->fd, UNIT), buf[64], path[64];
	struct iovec local = { buf, sizeof(buf) };
	struct iovec remote = { p, sizeof(buf) };
	__u64 value = 0x4444;
	pid_t pid;
	int mem;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	madvise(p, UNIT, MADV_DOFORK);
	pid = fork();
	if (!pid) {
		WRITE_ONCE(*step, 1);
		for (;;)
			pause();
	}
	ASSERT_TRUE(som_wait_flag(step, 1));
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR);
	ASSERT_LE(0, mem);
	memset(buf, 0, sizeof(buf));
	EXPECT_GE(0, pread(mem, buf, 64, (off_t)p));
	EXPECT_GE(0, pwrite(mem, &value, 8, (off_t)p));
	EXPECT_EQ(-1, process_vm_readv(pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(-1, som_not_zero(buf, sizeof(buf)));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, som_wait_child(pid));
	EXPECT_USED(1);
}

/* A direct write from som memory to a pipe that outlives the mapping. */
TEST_F(som, vmsplice_then_unmap)
{
	char *p = som_map(self->fd, UNIT), buf[2 * PAGE];
	struct iovec iov = { p + PAGE, 2 * PAGE };
	int fds[2];
	ssize_t n;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, pipe(fds));
	n = vmsplice(fds[1], &iov, 1, 0);
	if (n < 0) {
		EXPECT_EQ(EFAULT, errno);
		SKIP(return, "vmsplice is refused");
	}
	ASSERT_EQ(0, munmap(p, UNIT));
	/* The pipe still has the bytes, and nobody else may get the unit. */
	EXPECT_EQ(0, som_used());
	EXPECT_EQ(1, som_pool("units_quarantined"));
	p = som_map(self->fd, 64 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0xff, 64 * UNIT);
	ASSERT_EQ(n, read(fds[0], buf, n));
	EXPECT_EQ(som_word(1, PAGE), *(__u64 *)buf);
	EXPECT_EQ(som_word(1, PAGE + n - 8), *(__u64 *)(buf + n - 8));
	close(fds[0]);
	close(fds[1]);
	ASSERT_EQ(0, munmap(p, 64 * UNIT));
	EXPECT_EQ(self->before.free,
		  som_wait_number(som_free, self->before.free));
	EXPECT_EQ(0, som_pool("units_quarantined"));
}

/*
 * Core dumps
 */

#define CORE		"/tmp/som_access.core"
#define CORE_UNITS	64

/* One unit of many has been touched, and one that is not to be dumped. */
static void crash(int fd)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	char *p;

	prctl(PR_SET_DUMPABLE, 1);
	setrlimit(RLIMIT_CORE, &all);
	p = som_map_at(fd, NULL, CORE_UNITS * UNIT, RW, MAP_NORESERVE);
	child_assert(p != MAP_FAILED);
	som_fill(p + UNIT, UNIT, 0x600d);
	som_fill(p + 4 * UNIT, UNIT, 0xbad);
	child_assert(!madvise(p + 4 * UNIT, UNIT, MADV_DONTDUMP));
	abort();
}

/* How many units with a mark a file has. */
static int find_units(int fd, __u64 mark)
{
	static char buf[PAGE];
	off_t at = 0;
	int nr = 0;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		if (pread(fd, buf, PAGE, at) != PAGE)
			break;
		nr += *(__u64 *)buf == som_word(mark, 0);
		at += PAGE;
	}
	return nr;
}

TEST_F(som, core_dump_makes_no_memory)
{
	long most = 0, used;
	struct stat st;
	int fd, status;
	pid_t pid;

	ASSERT_EQ(0, som_write_string("/proc/sys/kernel/core_pattern", CORE));
	ASSERT_EQ(0, som_write_string("/proc/sys/kernel/core_uses_pid", "0"));
	unlink(CORE);
	pid = fork();
	if (!pid)
		crash(self->fd);
	while (!waitpid(pid, &status, WNOHANG)) {
		used = som_used();
		if (used > most)
			most = used;
	}
	EXPECT_TRUE(WCOREDUMP(status));
	EXPECT_GE(self->before.used + 2, most);
	fd = open(CORE, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, find_units(fd, 0x600d));
	EXPECT_EQ(0, find_units(fd, 0xbad));
	/* What has no memory is a hole. */
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_LT((CORE_UNITS - 1) * UNIT, st.st_size);
	EXPECT_GT(CORE_UNITS / 2 * UNIT, st.st_blocks * 512);
	close(fd);
	unlink(CORE);
}

TEST_HARNESS_MAIN
