// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_IOC_VIEW: a view finds what another process writes, and reads what it has, while that
 * runs; populates nothing; is for those alone who could ptrace; ends with the address
 * space; and takes no write from the process's own tracking.
 *
 * SOM-TEST: chunks=1 smp=2 timeout=900 takes=25 kmemleak
 */
#include <sys/prctl.h>
#include <sys/resource.h>

#include "som_scan.h"

#define NR	8
#define LEN	(NR * UNIT)
#define PAGES	(LEN / PAGE)
#define USER	1234

/* Commands to a target, for [p + off, p + off + len). */
enum command {
	NOTHING,
	MAP,		/* arg: MAP_* beside those of som_map_at(); ret: the address */
	FILL,		/* arg: the mark */
	PROTECT,	/* arg: PROT_* */
	ADVISE,		/* arg: MADV_* */
	BACKED,		/* page-backed */
	CLEAN,		/* its own scan that cleans */
	COUNT,		/* arg: categories; ret: pages that have them */
	CHECK_TRACKED,
	RESET,
	NOT_ZERO,	/* ret: offset of what is not zero */
	OPTIONS,	/* arg: SOM_POLICY_* */
	UNMAP,
	MOVE,		/* elsewhere, and the mapping stays */
	FORK,		/* ret: a child that is a target, too */
	BECOME,		/* arg: another user */
	DUMPABLE,	/* arg: whether it is */
	EXEC,
	SCRIBBLE,	/* on and on, until it is killed or stopped */
};

struct target {
	int command, done;
	char *p;
	size_t off, len;
	long arg, ret;
	pid_t pid;
	int stop, stopped;
	struct target *child;
};

static const char pause_env[] = "SOM_VIEW_PAUSE";

/* What a target executes: this program, which then does nothing. */
static __attribute__((constructor)) void paused(void)
{
	if (getenv(pause_env))
		for (;;)
			pause();
}

static long set_options(int fd, __u64 options)
{
	struct som_policy policy = { .size = sizeof(policy) };

	if (ioctl(fd, SOM_IOC_GET_POLICY, &policy))
		return -errno;
	policy.options = options;
	return ioctl(fd, SOM_IOC_SET_POLICY, &policy) ? -errno : 0;
}

static void scribble(struct target *t)
{
	struct som_random r = { 7 };
	size_t page;

	WRITE_ONCE(t->done, 1);
	while (!READ_ONCE(t->stop)) {
		page = som_below(&r, t->len / PAGE);
		WRITE_ONCE(*(__u64 *)(t->p + page * PAGE +
				      8 * som_below(&r, PAGE / 8)),
			   som_random(&r));
	}
	WRITE_ONCE(t->stopped, 1);
	for (;;)
		pause();
}

static void target_main(int fd, struct target *t);

static long obey(int fd, struct target *t)
{
	char *p = t->p + t->off, *const argv[] = { "som_view", NULL };
	char env[64], *const envp[] = { env, NULL };
	struct som_reset reset;
	pid_t pid;
	long ret;

	switch (t->command) {
	case MAP:
		t->p = t->arg & MAP_PRIVATE ?
			som_map_private_at(fd, NULL, t->len, RW,
					   t->arg & ~MAP_PRIVATE) :
			som_map_at(fd, NULL, t->len, RW, t->arg);
		return t->p == MAP_FAILED ? -errno : 0;
	case FILL:
		if (t->arg)
			som_fill(p, t->len, t->arg);
		else
			memset(p, 0, t->len);
		return 0;
	case PROTECT:
		return mprotect(p, t->len, t->arg) ? -errno : 0;
	case ADVISE:
		return madvise(p, t->len, t->arg) ? -errno : 0;
	case BACKED:
		return som_page_backed(fd, p, t->len);
	case CLEAN:
		return som_scan_clean(fd, p, t->len);
	case COUNT:
		return som_scan_count(fd, p, t->len, t->arg);
	case CHECK_TRACKED:
		return som_scan_written(fd, p, t->len, CHECK, NULL, 0);
	case RESET:
		reset = som_reset_args(p, t->len);
		ret = som_reset_call(fd, &reset);
		return ret ?: reset.rewritten;
	case NOT_ZERO:
		return som_not_zero(p, t->len);
	case OPTIONS:
		return set_options(fd, t->arg);
	case UNMAP:
		return munmap(p, t->len) ? -errno : 0;
	case MOVE:
		return syscall(SYS_mremap, p, t->len, t->len, MREMAP_MAYMOVE |
			       MREMAP_DONTUNMAP, 0) == -1 ? -errno : 0;
	case FORK:
		t->child->p = t->p;
		pid = fork();
		if (!pid) {
			som_catch_faults();
			t->child->pid = getpid();
			target_main(fd, t->child);
		}
		return pid < 0 ? -errno : pid;
	case BECOME:
		return setgid(t->arg) || setuid(t->arg) ? -errno : 0;
	case DUMPABLE:
		return prctl(PR_SET_DUMPABLE, t->arg) ? -errno : 0;
	case EXEC:
		snprintf(env, sizeof(env), "%s=1", pause_env);
		execve("/proc/self/exe", argv, envp);
		return -errno;
	case SCRIBBLE:
		scribble(t);
	}
	return -EPROTO;
}

static void target_main(int fd, struct target *t)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Only the address space that opened a file sets its policy. */
	fd = som_open();
	child_assert(fd >= 0);
	for (;;) {
		while (!READ_ONCE(t->command) || READ_ONCE(t->done))
			usleep(200);
		t->ret = obey(fd, t);
		__atomic_store_n(&t->done, 1, __ATOMIC_RELEASE);
	}
}

/* Tell a target what to do, and wait until it is done. */
static long tell(struct target *t, enum command what, size_t off, size_t len,
		 long arg)
{
	double end = som_now() + (som_debug_kernel() ? 120 : 60);

	t->off = off;
	t->len = len;
	t->arg = arg;
	WRITE_ONCE(t->done, 0);
	__atomic_store_n(&t->command, what, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&t->done, __ATOMIC_ACQUIRE)) {
		if (som_now() > end)
			return -ETIMEDOUT;
		usleep(200);
	}
	WRITE_ONCE(t->command, NOTHING);
	return t->ret;
}

static int open_pidfd(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

/* Return: a view, or -errno. */
static int open_view(int fd, pid_t pid, unsigned int flags)
{
	struct som_open_view args = {
		.size = sizeof(args), .flags = flags, .pidfd = open_pidfd(pid),
	};
	int view;

	if (args.pidfd < 0)
		return -errno;
	view = ioctl(fd, SOM_IOC_VIEW, &args);
	view = view < 0 ? -errno : view;
	close(args.pidfd);
	return view;
}

/* Return: what pread() returns, or -errno. */
static long view_read(int view, void *buf, size_t len, const void *addr)
{
	ssize_t got = pread(view, buf, len, (uintptr_t)addr);

	return got < 0 ? -errno : got;
}

static long view_seek(int view, const void *addr, int whence)
{
	off_t at = lseek(view, (uintptr_t)addr, whence);

	return at < 0 ? -errno : at;
}

static struct som_view_maps maps_args(struct som_view_map *vec, unsigned int nr)
{
	return (struct som_view_maps) {
		.size = sizeof(struct som_view_maps),
		.end = 1UL << 47, .vec = som_addr(vec), .vec_len = nr,
		.map_size = sizeof(*vec),
	};
}

/* Return: how many there are, or -errno. */
static long view_maps(int view, struct som_view_map *vec, unsigned int nr)
{
	struct som_view_maps args = maps_args(vec, nr);

	return ioctl(view, SOM_IOC_VIEW_MAPS, &args) ? -errno : (long)args.nr;
}

FIXTURE(view)
{
	struct som_state before;
	pid_t pid, targets[2];
	int fd;
	struct target *t, *child;
	char *buf;
	__u64 *got;
};

/* Some steps of a test are done by the harness's child, so all is shared. */
FIXTURE_SETUP(view)
{
	pid_t pid;

	self->pid = getpid();
	som_state_read(&self->before);
	ASSERT_LE(0, self->before.free);
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
	self->t = som_shared(sizeof(*self->t));
	self->child = som_shared(sizeof(*self->child));
	self->t->child = self->child;
	self->buf = malloc(LEN);
	self->got = malloc(PAGES * sizeof(*self->got));
	pid = fork();
	if (!pid)
		target_main(self->fd, self->t);
	ASSERT_LT(0, pid);
	self->t->pid = pid;
	self->targets[0] = pid;
}

FIXTURE_TEARDOWN_PARENT(view)
{
	/* What the pointers point to is not mapped here. */
	if (self->targets[1] > 0)
		kill(self->targets[1], SIGKILL);
	if (self->targets[0] > 0)
		kill(self->targets[0], SIGKILL);
	if (getpid() == self->pid)
		return;
	EXPECT_TRUE(som_state_wait(&self->before));
}

#define TELL(want, command, off, len, arg)				\
	ASSERT_EQ(want, tell(self->t, command, off, len, arg))

#define VIEW(flags) ({							\
	int __view = open_view(self->fd, self->t->pid, flags);		\
									\
	ASSERT_LE(0, __view);						\
	__view;								\
})

/* What each page of the target's memory is, to a view. */
#define LOOK(view, flags, match, mask)					\
	ASSERT_EQ(0, som_scan_pages(view, self->t->p, PAGES, flags,	\
				    match, mask, self->got))

#define EXPECT_LOOK(from, to, want) do {				\
	long __page = som_unlike(self->got, from, to, want);		\
									\
	EXPECT_EQ(-1, __page)						\
		TH_LOG("page %#lx is %#llx", __page,			\
		       self->got[__page < 0 ? 0 : __page]);		\
} while (0)

/*
 * Scans
 */

TEST_F(view, finds_writes)
{
	size_t first = UNIT_PAGES + 5, second = 4 * UNIT_PAGES - 1;
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, 4 * UNIT, 1);
	view = VIEW(SOM_VIEW_TRACK);
	LOOK(view, 0, 0, WRITTEN | PRESENT | TRACKED);
	EXPECT_LOOK(0, 4 * UNIT_PAGES, WRITTEN | PRESENT);
	EXPECT_LOOK(4 * UNIT_PAGES, PAGES, 0);
	LOOK(view, WP, WRITTEN, WRITTEN);
	EXPECT_LOOK(0, 4 * UNIT_PAGES, WRITTEN);
	EXPECT_LOOK(4 * UNIT_PAGES, PAGES, NOT_LISTED);

	TELL(0, FILL, first * PAGE, PAGE, 2);
	TELL(0, FILL, second * PAGE, PAGE, 3);
	TELL(0, FILL, 6 * UNIT, PAGE, 4);
	LOOK(view, WP, WRITTEN, WRITTEN);
	EXPECT_LOOK(0, first, NOT_LISTED);
	EXPECT_LOOK(first, first + 1, WRITTEN);
	EXPECT_LOOK(first + 1, second, NOT_LISTED);
	EXPECT_LOOK(second, second + 1, WRITTEN);
	EXPECT_LOOK(second + 1, 6 * UNIT_PAGES, NOT_LISTED);
	EXPECT_LOOK(6 * UNIT_PAGES, 6 * UNIT_PAGES + 1, WRITTEN);
	EXPECT_LOOK(6 * UNIT_PAGES + 1, PAGES, NOT_LISTED);
	LOOK(view, WP, WRITTEN, WRITTEN);
	EXPECT_LOOK(0, PAGES, NOT_LISTED);
	EXPECT_USED(5);
}

TEST_F(view, finds_zero_pages)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, UNIT, 1);
	TELL(0, FILL, 9 * PAGE, 3 * PAGE, 0);
	view = VIEW(0);
	LOOK(view, 0, 0, PRESENT | ZERO);
	EXPECT_LOOK(0, 9, PRESENT);
	EXPECT_LOOK(9, 12, PRESENT | ZERO);
	EXPECT_LOOK(12, UNIT_PAGES, PRESENT);
	EXPECT_LOOK(UNIT_PAGES, PAGES, ZERO);
	EXPECT_USED(1);
	EXPECT_COMMITTED(NR);
}

TEST_F(view, sees_what_was_released)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	view = VIEW(SOM_VIEW_TRACK);
	LOOK(view, WP, WRITTEN, WRITTEN);
	TELL(0, ADVISE, UNIT, UNIT, MADV_REMOVE);
	LOOK(view, 0, WRITTEN, WRITTEN | PRESENT);
	EXPECT_LOOK(0, UNIT_PAGES, NOT_LISTED);
	EXPECT_LOOK(UNIT_PAGES, 2 * UNIT_PAGES, WRITTEN);
	EXPECT_LOOK(2 * UNIT_PAGES, PAGES, NOT_LISTED);
	LOOK(view, WP, WRITTEN, WRITTEN);
	LOOK(view, 0, WRITTEN, WRITTEN);
	EXPECT_LOOK(0, PAGES, NOT_LISTED);
}

/*
 * A copy that is brought up to date by scans alone is what the target has in the end: no
 * write is lost, however scans and writes meet.
 */
TEST_F(view, copy_by_scans_is_exact)
{
	double end = som_now() + som_seconds(2, 6);
	int view, rounds = 0, last = 0;
	char *copy, *now;
	size_t i;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN / 2, 1);
	view = VIEW(SOM_VIEW_TRACK);
	copy = self->buf;
	now = malloc(LEN);
	memset(copy, 0x55, LEN);
	som_all_cpus();
	tell(self->t, SCRIBBLE, 0, LEN, 0);
	while (last < 2) {
		/* All that matches is cleaned before it is read. */
		LOOK(view, WP, rounds ? WRITTEN : 0, WRITTEN);
		for (i = 0; i < PAGES; i++)
			if (self->got[i] != NOT_LISTED)
				ASSERT_EQ(PAGE, view_read(view, copy + i * PAGE, PAGE,
							  self->t->p + i * PAGE));
		rounds++;
		if (som_now() < end)
			continue;
		WRITE_ONCE(self->t->stop, 1);
		ASSERT_TRUE(som_wait_flag(&self->t->stopped, 1));
		last++;
	}
	ASSERT_EQ(LEN, view_read(view, now, LEN, self->t->p));
	for (i = 0; i < LEN; i += PAGE)
		ASSERT_EQ(0, memcmp(copy + i, now + i, PAGE))
			TH_LOG("page %#zx is not what it was", i / PAGE);
	TH_LOG("%d rounds", rounds);
	free(now);
}

/* Regions that cannot be copied out are not lost. */
TEST_F(view, failed_copy_cleans_nothing)
{
	struct page_region *vec;
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	view = VIEW(SOM_VIEW_TRACK);
	LOOK(view, WP, WRITTEN, WRITTEN);
	TELL(0, FILL, 3 * PAGE, PAGE, 2);
	vec = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_EQ(-EFAULT, som_scan_written(view, self->t->p, LEN, WP, vec, 4));
	LOOK(view, WP, WRITTEN, WRITTEN);
	EXPECT_LOOK(0, 3, NOT_LISTED);
	EXPECT_LOOK(3, 4, WRITTEN);
	EXPECT_LOOK(4, PAGES, NOT_LISTED);
}

/*
 * Reading
 */

TEST_F(view, reads_and_populates_nothing)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 2 * UNIT, UNIT, 1);
	TELL(0, FILL, 5 * UNIT + PAGE, 2 * PAGE, 2);
	view = VIEW(0);
	memset(self->buf, 0x55, LEN);
	ASSERT_EQ(LEN, view_read(view, self->buf, LEN, self->t->p));
	EXPECT_EQ(-1, som_not_zero(self->buf, 2 * UNIT));
	EXPECT_EQ(-1, som_check(self->buf + 2 * UNIT, UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(self->buf + 3 * UNIT, 2 * UNIT + PAGE));
	EXPECT_EQ(-1, som_check(self->buf + 5 * UNIT + PAGE, 2 * PAGE, 2));
	EXPECT_EQ(-1, som_not_zero(self->buf + 5 * UNIT + 3 * PAGE,
				   3 * UNIT - 3 * PAGE));
	EXPECT_USED(2);
	EXPECT_COMMITTED(NR);
}

TEST_F(view, reads_any_part)
{
	static const size_t offs[] = { 0, 1, PAGE - 3, UNIT - 5, UNIT / 2 + 7 };
	static const size_t lens[] = { 1, 7, PAGE, PAGE + 9, 70000 };
	size_t i, j;
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, 2 * UNIT, 1);
	som_fill(self->buf, 2 * UNIT, 1);
	view = VIEW(0);
	for (i = 0; i < ARRAY_SIZE(offs); i++) {
		for (j = 0; j < ARRAY_SIZE(lens); j++) {
			char *to = self->buf + 4 * UNIT;

			memset(to, 0x55, lens[j] + 1);
			ASSERT_EQ(lens[j], view_read(view, to, lens[j],
						     self->t->p + offs[i]));
			ASSERT_EQ(0, memcmp(to, self->buf + offs[i], lens[j]));
			ASSERT_EQ(0x55, to[lens[j]]);
		}
	}
	/* read() goes on where it was. */
	ASSERT_EQ((off_t)self->t->p + 100, lseek(view, (off_t)self->t->p + 100,
						 SEEK_SET));
	ASSERT_EQ(50, read(view, self->buf + 4 * UNIT, 50));
	ASSERT_EQ(50, read(view, self->buf + 4 * UNIT + 50, 50));
	EXPECT_EQ(0, memcmp(self->buf + 100, self->buf + 4 * UNIT, 100));
	EXPECT_EQ((off_t)self->t->p + 200, lseek(view, 0, SEEK_CUR));
}

TEST_F(view, reads_no_other_memory)
{
	char *room, *readonly;
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, LEN - UNIT, UNIT, 1);
	TELL(0, UNMAP, LEN - PAGE, PAGE, 0);
	readonly = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, readonly);
	view = VIEW(0);
	room = self->t->p + LEN - PAGE;
	EXPECT_EQ(PAGE, view_read(view, self->buf, 3 * PAGE, room - PAGE));
	EXPECT_EQ(-EFAULT, view_read(view, self->buf, 1, room));
	/* Ordinary memory, which both have at that address. */
	EXPECT_EQ(-EFAULT, view_read(view, self->buf, 8, self->t));
	EXPECT_EQ(-EFAULT, view_read(view, self->buf, 8, NULL));
	EXPECT_EQ(-EINVAL, view_read(view, self->buf, 8, (void *)~0UL));
	EXPECT_EQ(0, view_read(view, self->buf, 0, room));
	EXPECT_EQ(-EFAULT, view_read(view, readonly, 8, self->t->p));
	EXPECT_EQ(-1, write(view, "x", 1));
}

/* Memory without read access is as /proc/PID/mem says. */
TEST_F(view, reads_protected_memory_as_proc_mem)
{
	char path[64];
	int view, mem;
	long want;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, UNIT, 1);
	TELL(0, PROTECT, 0, UNIT, PROT_NONE);
	view = VIEW(0);
	snprintf(path, sizeof(path), "/proc/%d/mem", self->t->pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, mem);
	want = pread(mem, self->buf, PAGE, (uintptr_t)self->t->p);
	EXPECT_EQ(want < 0 ? -EFAULT : PAGE,
		  view_read(view, self->buf, PAGE, self->t->p));
	if (want > 0)
		EXPECT_EQ(-1, som_check(self->buf, PAGE, 1));
}

TEST_F(view, reads_private_and_discarded_memory)
{
	int view;

	if (som_no_private(self->fd))
		SKIP(return, "no MAP_PRIVATE");
	TELL(0, MAP, 0, LEN, MAP_PRIVATE);
	TELL(0, FILL, 0, 4 * UNIT, 1);
	TELL(0, ADVISE, UNIT, UNIT, MADV_DONTNEED);
	TELL(0, ADVISE, 2 * UNIT + 4 * PAGE, PAGE, MADV_DONTNEED);
	view = VIEW(0);
	ASSERT_EQ(LEN, view_read(view, self->buf, LEN, self->t->p));
	EXPECT_EQ(-1, som_check(self->buf, UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(self->buf + UNIT, UNIT));
	EXPECT_EQ(-1, som_not_zero(self->buf + 2 * UNIT + 4 * PAGE, PAGE));
	EXPECT_EQ(som_word(1, 2 * UNIT + 5 * PAGE),
		  *(__u64 *)(self->buf + 2 * UNIT + 5 * PAGE));
	EXPECT_EQ(-1, som_not_zero(self->buf + 4 * UNIT, 4 * UNIT));
	LOOK(view, 0, 0, PRESENT);
	EXPECT_LOOK(UNIT_PAGES, 2 * UNIT_PAGES, 0);
}

TEST_F(view, reads_page_backed_memory)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, 2 * UNIT, 1);
	TELL(0, BACKED, 0, UNIT, 0);
	view = VIEW(0);
	ASSERT_EQ(2 * UNIT, view_read(view, self->buf, 2 * UNIT, self->t->p));
	EXPECT_EQ(-1, som_check(self->buf, 2 * UNIT, 1));
	LOOK(view, 0, WRITTEN, WRITTEN | PRESENT);
	EXPECT_LOOK(0, 2 * UNIT_PAGES, WRITTEN | PRESENT);
	EXPECT_LOOK(2 * UNIT_PAGES, PAGES, NOT_LISTED);
}

/*
 * What a child has inherited
 */

#define INHERIT() do {							\
	TELL(0, OPTIONS, 0, 0, SOM_POLICY_FORK_COPY);			\
	TELL(0, MAP, 0, LEN, 0);					\
	TELL(0, FILL, 0, 3 * UNIT, 1);					\
	TELL(0, FILL, UNIT, 8 * PAGE, 0);				\
	ASSERT_LT(0, tell(self->t, FORK, 0, 0, 0));			\
	self->targets[1] = self->t->ret;				\
	ASSERT_TRUE(som_wait_flag(&self->child->pid, self->t->ret));	\
} while (0)

TEST_F(view, reads_deferred_copies)
{
	struct som_view_map map;
	int view;

	INHERIT();
	view = open_view(self->fd, self->child->pid, 0);
	ASSERT_LE(0, view);
	EXPECT_USED(3);
	ASSERT_EQ(LEN, view_read(view, self->buf, LEN, self->t->p));
	EXPECT_EQ(-1, som_check(self->buf, UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(self->buf + UNIT, 8 * PAGE));
	EXPECT_EQ(som_word(1, 2 * UNIT), *(__u64 *)(self->buf + 2 * UNIT));
	EXPECT_EQ(-1, som_not_zero(self->buf + 3 * UNIT, LEN - 3 * UNIT));

	LOOK(view, 0, 0, PRESENT | WRITTEN | TRACKED | ZERO);
	EXPECT_LOOK(0, UNIT_PAGES, PRESENT | WRITTEN);
	EXPECT_LOOK(UNIT_PAGES, UNIT_PAGES + 8, PRESENT | WRITTEN | ZERO);
	EXPECT_LOOK(UNIT_PAGES + 8, 3 * UNIT_PAGES, PRESENT | WRITTEN);
	EXPECT_LOOK(3 * UNIT_PAGES, PAGES, ZERO);
	ASSERT_EQ(1, view_maps(view, &map, 1));
	EXPECT_EQ(3 * UNIT, map.deferred);
	EXPECT_EQ(0, map.resident);
	EXPECT_EQ((long)self->t->p, view_seek(view, self->t->p, SEEK_DATA));
	EXPECT_EQ((long)(self->t->p + 3 * UNIT),
		  view_seek(view, self->t->p, SEEK_HOLE));
	/* Nothing was copied for that. */
	EXPECT_USED(3);

	/* What the parent writes from then on is its own, and what the child writes. */
	TELL(0, FILL, 0, PAGE, 2);
	ASSERT_EQ(0, tell(self->child, FILL, 2 * UNIT, PAGE, 3));
	EXPECT_USED(5);
	ASSERT_EQ(UNIT, view_read(view, self->buf, UNIT, self->t->p));
	EXPECT_EQ(-1, som_check(self->buf, UNIT, 1));
	ASSERT_EQ(UNIT, view_read(view, self->buf, UNIT, self->t->p + 2 * UNIT));
	EXPECT_EQ(-1, som_check(self->buf, PAGE, 3));
	EXPECT_EQ(som_word(1, 2 * UNIT + PAGE), *(__u64 *)(self->buf + PAGE));
	ASSERT_EQ(1, view_maps(view, &map, 1));
	EXPECT_EQ(UNIT, map.deferred);
	EXPECT_EQ(2 * UNIT, map.resident);

	/* The parent's end leaves the child what it has. */
	kill(self->t->pid, SIGSTOP);
	ASSERT_EQ(UNIT - 8 * PAGE, view_read(view, self->buf, UNIT - 8 * PAGE,
					     self->t->p + UNIT + 8 * PAGE));
	EXPECT_EQ(som_word(1, UNIT + 8 * PAGE), *(__u64 *)self->buf);
}

TEST_F(view, reads_what_was_inherited_in_part)
{
	int view;

	TELL(0, OPTIONS, 0, 0, SOM_POLICY_FORK_COPY);
	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, UNIT, 1);
	/* Not the child's: it reads as zero, or is not mapped at all. */
	TELL(0, UNMAP, 16 * PAGE, PAGE, 0);
	ASSERT_LT(0, tell(self->t, FORK, 0, 0, 0));
	self->targets[1] = self->t->ret;
	ASSERT_TRUE(som_wait_flag(&self->child->pid, self->t->ret));
	view = open_view(self->fd, self->child->pid, 0);
	ASSERT_LE(0, view);
	ASSERT_EQ(16 * PAGE, view_read(view, self->buf, UNIT, self->t->p));
	EXPECT_EQ(-1, som_check(self->buf, 16 * PAGE, 1));
	EXPECT_EQ(-EFAULT, view_read(view, self->buf, 1, self->t->p + 16 * PAGE));
	ASSERT_EQ(PAGE, view_read(view, self->buf, PAGE, self->t->p + 17 * PAGE));
	EXPECT_EQ(som_word(1, 17 * PAGE), *(__u64 *)self->buf);
	EXPECT_USED(1);
}

TEST_F(view, cleaning_copies_what_was_inherited)
{
	int view;

	INHERIT();
	view = open_view(self->fd, self->child->pid, SOM_VIEW_TRACK);
	ASSERT_LE(0, view);
	LOOK(view, WP, WRITTEN, WRITTEN);
	EXPECT_LOOK(0, 3 * UNIT_PAGES, WRITTEN);
	EXPECT_LOOK(3 * UNIT_PAGES, PAGES, NOT_LISTED);
	EXPECT_USED(6);
	ASSERT_EQ(0, tell(self->child, FILL, 5 * PAGE, PAGE, 4));
	LOOK(view, WP, WRITTEN, WRITTEN);
	EXPECT_LOOK(0, 5, NOT_LISTED);
	EXPECT_LOOK(5, 6, WRITTEN);
	EXPECT_LOOK(6, PAGES, NOT_LISTED);
	/* Of the parent, nothing is known. */
	EXPECT_EQ(0, tell(self->t, COUNT, 0, LEN, TRACKED));
}

/*
 * SEEK_DATA and SEEK_HOLE
 */

TEST_F(view, seeks)
{
	char *p;
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, UNIT, PAGE, 1);
	TELL(0, FILL, 2 * UNIT, PAGE, 1);
	TELL(0, FILL, 7 * UNIT, PAGE, 1);
	view = VIEW(0);
	p = self->t->p;
	EXPECT_EQ((long)(p + UNIT), view_seek(view, NULL, SEEK_DATA));
	EXPECT_EQ((long)(p + UNIT), view_seek(view, p, SEEK_DATA));
	EXPECT_EQ((long)(p + UNIT + 5), view_seek(view, p + UNIT + 5, SEEK_DATA));
	EXPECT_EQ((long)(p + 3 * UNIT), view_seek(view, p + UNIT + 5, SEEK_HOLE));
	EXPECT_EQ((long)(p + 3 * UNIT), lseek(view, 0, SEEK_CUR));
	EXPECT_EQ((long)(p + 7 * UNIT), view_seek(view, p + 3 * UNIT, SEEK_DATA));
	EXPECT_EQ((long)(p + LEN), view_seek(view, p + 7 * UNIT, SEEK_HOLE));
	EXPECT_EQ((long)(p + 4 * UNIT), view_seek(view, p + 4 * UNIT, SEEK_HOLE));
	EXPECT_EQ(0, view_seek(view, NULL, SEEK_HOLE));
	EXPECT_EQ((long)self->t, view_seek(view, self->t, SEEK_HOLE));
	EXPECT_EQ(-ENXIO, view_seek(view, p + LEN, SEEK_DATA));
	EXPECT_EQ(-ENXIO, view_seek(view, (void *)(1UL << 62), SEEK_DATA));
	EXPECT_EQ(-ENXIO, view_seek(view, (void *)(1UL << 62), SEEK_HOLE));
	EXPECT_EQ(-EINVAL, view_seek(view, NULL, SEEK_END));
	EXPECT_USED(3);
	TELL(0, ADVISE, 0, LEN, MADV_REMOVE);
	EXPECT_EQ(-ENXIO, view_seek(view, NULL, SEEK_DATA));
}

/*
 * The list of mappings
 */

TEST_F(view, lists_mappings)
{
	struct som_view_map maps[8], wide[2];
	struct som_view_maps args;
	char *room, *p;
	int view, i;

	TELL(0, OPTIONS, 0, 0, SOM_POLICY_REUSE);
	TELL(0, MAP, 0, LEN, MAP_NORESERVE);
	TELL(0, FILL, UNIT, UNIT, 1);
	TELL(0, FILL, 6 * UNIT, PAGE, 1);
	TELL(0, PROTECT, 4 * UNIT, UNIT, PROT_READ);
	TELL(0, ADVISE, 5 * UNIT, 3 * UNIT, MADV_DONTDUMP);
	p = self->t->p;
	view = VIEW(0);
	ASSERT_EQ(3, view_maps(view, maps, 8));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(SOM_POLICY_REUSE, maps[i].options);
		EXPECT_EQ(UNIT, maps[i].map_size);
		EXPECT_EQ(maps[0].offset + maps[i].start - maps[0].start,
			  maps[i].offset);
		EXPECT_EQ(0, maps[i].deferred);
	}
	EXPECT_EQ((long)p, maps[0].start);
	EXPECT_EQ((long)p + 4 * UNIT, maps[0].end);
	EXPECT_EQ((long)p + 5 * UNIT, maps[1].end);
	EXPECT_EQ((long)p + LEN, maps[2].end);
	EXPECT_EQ(RW, maps[0].prot);
	EXPECT_EQ(PROT_READ, maps[1].prot);
	EXPECT_EQ(SOM_VIEW_MAP_NORESERVE, maps[0].flags);
	EXPECT_EQ(SOM_VIEW_MAP_NORESERVE | SOM_VIEW_MAP_DONTDUMP, maps[2].flags);
	EXPECT_EQ(UNIT, maps[0].resident);
	EXPECT_EQ(0, maps[1].resident);
	EXPECT_EQ(UNIT, maps[2].resident);

	/* One by one. */
	args = maps_args(maps, 1);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, ioctl(view, SOM_IOC_VIEW_MAPS, &args));
		ASSERT_EQ(1, args.nr);
		/* After the last one, the rest was searched, too. */
		EXPECT_EQ(i < 2 ? maps[0].end : args.end, args.walk_end);
		args.start = args.walk_end;
	}
	EXPECT_EQ((long)p + LEN, maps[0].end);
	ASSERT_EQ(0, ioctl(view, SOM_IOC_VIEW_MAPS, &args));
	EXPECT_EQ(0, args.nr);
	EXPECT_EQ(args.end, args.walk_end);

	/* A part of the addresses: a mapping is listed whole. */
	args = maps_args(maps, 8);
	args.start = (uintptr_t)p + 4 * UNIT + PAGE;
	args.end = args.start + 1;
	ASSERT_EQ(0, ioctl(view, SOM_IOC_VIEW_MAPS, &args));
	ASSERT_EQ(1, args.nr);
	EXPECT_EQ((long)p + 4 * UNIT, maps[0].start);

	/* A caller that knows more of each than the kernel. */
	memset(wide, 0x55, sizeof(wide));
	args = maps_args(wide, 1);
	args.map_size = sizeof(wide);
	ASSERT_EQ(0, ioctl(view, SOM_IOC_VIEW_MAPS, &args));
	EXPECT_EQ((long)p, wide[0].start);
	EXPECT_EQ(-1, som_not_zero(&wide[1], sizeof(wide[1])));

	/* An array that cannot be written. */
	room = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_EQ(-EFAULT, view_maps(view, (void *)room, 8));
	EXPECT_USED(2);
}

TEST_F(view, lists_private_and_moved_mappings)
{
	struct som_view_map maps[4];
	int view, i;
	bool moved;

	if (som_no_private(self->fd))
		SKIP(return, "no MAP_PRIVATE");
	TELL(0, MAP, 0, LEN, MAP_PRIVATE);
	TELL(0, FILL, 0, UNIT, 1);
	view = VIEW(0);
	ASSERT_EQ(1, view_maps(view, maps, 4));
	EXPECT_EQ(SOM_VIEW_MAP_PRIVATE, maps[0].flags);
	EXPECT_EQ(UNIT, maps[0].resident);
	TELL(0, MOVE, 0, LEN, 0);
	ASSERT_EQ(2, view_maps(view, maps, 4));
	for (i = 0; i < 2; i++) {
		moved = maps[i].start == (uintptr_t)self->t->p;
		EXPECT_EQ(SOM_VIEW_MAP_PRIVATE | (moved ? SOM_VIEW_MAP_MOVED : 0),
			  maps[i].flags);
		EXPECT_EQ(maps[0].offset, maps[i].offset);
		EXPECT_EQ(moved ? -EFAULT : PAGE,
			  view_read(view, self->buf, PAGE, (void *)maps[i].start));
		if (!moved)
			EXPECT_EQ((long)maps[i].start,
				  view_seek(view, NULL, SEEK_DATA));
	}
	EXPECT_EQ(-1, som_check(self->buf, PAGE, 1));
}

TEST_F(view, lists_many_mappings)
{
	struct som_view_map maps[64];
	long got;
	int view, i;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, UNIT, 1);
	/* 49 mappings, more than are listed at a time. */
	for (i = 1; i < 50; i += 2)
		TELL(0, PROTECT, i * PAGE, PAGE, PROT_READ);
	view = VIEW(0);
	got = view_maps(view, maps, 64);
	ASSERT_EQ(51, got);
	for (i = 0; i < got; i++) {
		ASSERT_EQ(i & 1 ? PROT_READ : RW, (int)maps[i].prot);
		ASSERT_EQ((long)self->t->p + i * PAGE, maps[i].start);
	}
	EXPECT_EQ(PAGE, maps[3].resident);
}

/*
 * Exclusive tracking
 */

TEST_F(view, one_view_tracks)
{
	int first, second, third;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	first = VIEW(SOM_VIEW_TRACK);
	EXPECT_EQ(-EBUSY, open_view(self->fd, self->t->pid, SOM_VIEW_TRACK));
	second = VIEW(0);
	EXPECT_EQ(-EBUSY, som_scan_clean(second, self->t->p, LEN));
	ASSERT_EQ(0, som_scan_clean(first, self->t->p, LEN));
	TELL(0, FILL, 0, PAGE, 2);
	/* To the second, nothing is tracked; and it takes nothing from the first. */
	LOOK(second, 0, 0, WRITTEN | PRESENT | TRACKED);
	EXPECT_LOOK(0, PAGES, WRITTEN | PRESENT);
	EXPECT_EQ(-EPERM, som_scan_written(second, self->t->p, LEN, CHECK, NULL, 0));
	LOOK(first, 0, WRITTEN, WRITTEN | TRACKED);
	EXPECT_LOOK(0, 1, WRITTEN | TRACKED);
	EXPECT_LOOK(1, PAGES, NOT_LISTED);
	close(first);

	third = VIEW(SOM_VIEW_TRACK);
	LOOK(third, 0, 0, WRITTEN | PRESENT | TRACKED);
	EXPECT_LOOK(0, PAGES, WRITTEN | PRESENT);
	ASSERT_EQ(0, som_scan_clean(third, self->t->p, LEN));
	EXPECT_EQ(0, som_scan_written(third, self->t->p, LEN, CHECK, NULL, 0));
}

/* Without a claim, a view sees what the process sees, and leaves it there. */
TEST_F(view, looks_at_what_a_process_tracks)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	TELL(0, CLEAN, 0, LEN, 0);
	EXPECT_EQ(-EBUSY, open_view(self->fd, self->t->pid, SOM_VIEW_TRACK));
	view = VIEW(0);
	TELL(0, FILL, 7 * PAGE, PAGE, 2);
	LOOK(view, 0, WRITTEN, WRITTEN | TRACKED);
	EXPECT_LOOK(0, 7, NOT_LISTED);
	EXPECT_LOOK(7, 8, WRITTEN | TRACKED);
	EXPECT_LOOK(8, PAGES, NOT_LISTED);
	EXPECT_EQ(-EBUSY, som_scan_clean(view, self->t->p, LEN));
	EXPECT_EQ(1, tell(self->t, COUNT, 0, LEN, WRITTEN));
	close(view);
	EXPECT_EQ(1, tell(self->t, COUNT, 0, LEN, WRITTEN));
	EXPECT_EQ(PAGE, tell(self->t, RESET, 0, LEN, 0));
}

/* While a view tracks, the process sees memory that is not tracked; and afterwards. */
TEST_F(view, hides_its_tracking_from_the_process)
{
	int view, round;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, 4 * UNIT, 1);
	view = VIEW(SOM_VIEW_TRACK);
	ASSERT_EQ(0, som_scan_clean(view, self->t->p, LEN));
	TELL(0, ADVISE, 0, UNIT, MADV_REMOVE);
	for (round = 0; round < 2; round++) {
		EXPECT_EQ(3 * UNIT_PAGES, tell(self->t, COUNT, 0, LEN, WRITTEN));
		EXPECT_EQ(3 * UNIT_PAGES, tell(self->t, COUNT, 0, LEN, PRESENT));
		EXPECT_EQ(0, tell(self->t, COUNT, 0, LEN, TRACKED));
		EXPECT_EQ(-EPERM, tell(self->t, CHECK_TRACKED, 0, LEN, 0));
		close(view);
	}
	/* It can still be used, and tracked anew. */
	TELL(0, FILL, 0, LEN, 2);
	TELL(0, CLEAN, 0, LEN, 0);
	TELL(0, FILL, 9 * PAGE, PAGE, 3);
	EXPECT_EQ(1, tell(self->t, COUNT, 0, LEN, WRITTEN));
}

/* A process that resets its memory must not find it clean because a view has cleaned it. */
TEST_F(view, process_takes_the_tracking)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	view = VIEW(SOM_VIEW_TRACK);
	ASSERT_EQ(0, som_scan_clean(view, self->t->p, LEN));
	TELL(0, FILL, 0, PAGE, 2);
	EXPECT_EQ(LEN, tell(self->t, RESET, 0, LEN, 0));
	EXPECT_EQ(-1, tell(self->t, NOT_ZERO, 0, LEN, 0));
	EXPECT_EQ(-EBUSY, som_scan_clean(view, self->t->p, LEN));
	EXPECT_EQ(-EBUSY, som_scan_written(view, self->t->p, LEN, 0, NULL, 0));
	/* It can still read. */
	EXPECT_EQ(PAGE, view_read(view, self->buf, PAGE, self->t->p));
	TELL(0, FILL, 3 * PAGE, PAGE, 2);
	close(view);
	/* And takes nothing away when it goes. */
	EXPECT_EQ(1, tell(self->t, COUNT, 0, LEN, WRITTEN));
	EXPECT_EQ(-EBUSY, open_view(self->fd, self->t->pid, SOM_VIEW_TRACK));
}

TEST_F(view, process_takes_the_tracking_by_a_scan)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	view = VIEW(SOM_VIEW_TRACK);
	ASSERT_EQ(0, som_scan_clean(view, self->t->p, LEN));
	TELL(0, CLEAN, 0, UNIT, 0);
	EXPECT_EQ(0, tell(self->t, COUNT, 0, UNIT, WRITTEN));
	EXPECT_EQ((NR - 1) * UNIT_PAGES,
		  tell(self->t, COUNT, UNIT, LEN - UNIT, WRITTEN));
	EXPECT_EQ(UNIT_PAGES, tell(self->t, COUNT, 0, LEN, TRACKED));
	EXPECT_EQ(-EBUSY, som_scan_written(view, self->t->p, LEN, 0, NULL, 0));
}

/* Mappings at addresses that a view has scanned are as any others when it is closed. */
TEST_F(view, leaves_no_addresses_behind)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	view = VIEW(SOM_VIEW_TRACK);
	ASSERT_EQ(0, som_scan_written(view, NULL, (1UL << 47) - PAGE,
				      WP, NULL, 0));
	TELL(0, UNMAP, 0, LEN, 0);
	TELL(0, MAP, 0, LEN, 0);
	LOOK(view, 0, 0, WRITTEN | TRACKED);
	EXPECT_LOOK(0, PAGES, WRITTEN | TRACKED);
	EXPECT_EQ(0, tell(self->t, COUNT, 0, LEN, WRITTEN));
	close(view);
	EXPECT_EQ(0, tell(self->t, COUNT, 0, LEN, WRITTEN));
	EXPECT_EQ(0, tell(self->t, COUNT, 0, LEN, TRACKED));
	TELL(0, UNMAP, 0, LEN, 0);
	TELL(0, MAP, 0, LEN, 0);
	EXPECT_EQ(0, tell(self->t, COUNT, 0, LEN, WRITTEN));
}

/*
 * Rights
 */

/* Return whether every call of a view fails with @error; print one that does not. */
static bool all_fail(int view, struct target *t, int error)
{
	struct som_view_map map;
	char buf[8];
	long got[] = {
		view_read(view, buf, sizeof(buf), t->p),
		view_maps(view, &map, 1),
		view_seek(view, t->p, SEEK_DATA),
		view_seek(view, t->p, SEEK_HOLE),
		som_scan_written(view, t->p, LEN, 0, NULL, 0),
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(got); i++) {
		if (got[i] == -error)
			continue;
		printf("# call %zu returns %ld\n", i, got[i]);
		return false;
	}
	return true;
}

TEST_F(view, caller_needs_the_right)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	view = VIEW(SOM_VIEW_TRACK);
	ASSERT_EQ(8, view_read(view, self->buf, 8, self->t->p));
	memset(self->buf, 0x55, 8);
	ASSERT_EQ(0, setgid(USER));
	ASSERT_EQ(0, setuid(USER));
	EXPECT_TRUE(all_fail(view, self->t, EPERM));
	EXPECT_EQ(-EPERM, som_scan_clean(view, self->t->p, LEN));
	EXPECT_EQ(0x5555555555555555, *(__u64 *)self->buf);
	EXPECT_EQ(-EPERM, open_view(self->fd, self->t->pid, 0));
	EXPECT_EQ(-EPERM, open_view(self->fd, self->t->pid, SOM_VIEW_TRACK));
}

TEST_F(view, target_may_lose_the_right)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	TELL(0, BECOME, 0, 0, USER);
	TELL(0, DUMPABLE, 0, 0, 1);
	ASSERT_EQ(0, setgid(USER));
	ASSERT_EQ(0, setuid(USER));
	view = open_view(self->fd, self->t->pid, 0);
	if (view == -EPERM)
		SKIP(return, "a security module does not let a user ptrace");
	ASSERT_LE(0, view);
	ASSERT_EQ(8, view_read(view, self->buf, 8, self->t->p));
	TELL(0, DUMPABLE, 0, 0, 0);
	EXPECT_TRUE(all_fail(view, self->t, EPERM));
	EXPECT_EQ(-EPERM, open_view(self->fd, self->t->pid, 0));
	TELL(0, DUMPABLE, 0, 0, 1);
	EXPECT_EQ(8, view_read(view, self->buf, 8, self->t->p));
}

TEST_F(view, target_may_become_another_user)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	TELL(0, DUMPABLE, 0, 0, 1);
	view = VIEW(0);
	ASSERT_EQ(0, setgid(USER));
	ASSERT_EQ(0, setuid(USER));
	EXPECT_TRUE(all_fail(view, self->t, EPERM));
	TELL(0, BECOME, 0, 0, USER + 1);
	TELL(0, DUMPABLE, 0, 0, 1);
	EXPECT_TRUE(all_fail(view, self->t, EPERM));
}

/* Root of its own user namespace has no rights to a process outside. */
TEST_F(view, user_namespace_gives_no_right)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	view = VIEW(0);
	ASSERT_EQ(0, setgid(USER));
	ASSERT_EQ(0, setuid(USER));
	if (unshare(0x10000000 /* CLONE_NEWUSER */))
		SKIP(return, "no user namespaces");
	EXPECT_TRUE(all_fail(view, self->t, EPERM));
	EXPECT_EQ(-EPERM, open_view(self->fd, self->t->pid, 0));
}

/* Nothing that a caller mounts at /proc is asked. */
TEST_F(view, proc_is_not_the_callers)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	ASSERT_EQ(0, chroot("/dev"));
	view = VIEW(0);
	ASSERT_EQ(8, view_read(view, self->buf, 8, self->t->p));
	ASSERT_EQ(0, setgid(USER));
	ASSERT_EQ(0, setuid(USER));
	EXPECT_TRUE(all_fail(view, self->t, EPERM));
}

/*
 * The end of the address space
 */

TEST_F(view, ends_with_exec)
{
	int view;

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	view = VIEW(SOM_VIEW_TRACK);
	ASSERT_EQ(0, som_scan_clean(view, self->t->p, LEN));
	WRITE_ONCE(self->t->done, 0);
	__atomic_store_n(&self->t->command, EXEC, __ATOMIC_RELEASE);
	ASSERT_EQ(self->before.used, som_wait_number(som_used, self->before.used));
	EXPECT_TRUE(all_fail(view, self->t, ESRCH));
	EXPECT_EQ(-ESRCH, som_scan_clean(view, self->t->p, LEN));
	/* The new address space has no som memory. */
	view = VIEW(0);
	EXPECT_EQ(0, view_maps(view, (void *)self->buf, 8));
	EXPECT_EQ(0, som_scan_written(view, NULL, LEN, 0, NULL, 0));
	EXPECT_EQ(-ENODATA, open_view(self->fd, self->t->pid, SOM_VIEW_TRACK));
}

TEST_F(view, ends_with_exit)
{
	pid_t pid = self->t->pid;
	int view, pidfd;
	struct som_open_view args = { .size = sizeof(args) };

	TELL(0, MAP, 0, LEN, 0);
	TELL(0, FILL, 0, LEN, 1);
	view = VIEW(SOM_VIEW_TRACK);
	pidfd = open_pidfd(pid);
	ASSERT_LE(0, pidfd);
	ASSERT_EQ(0, som_scan_clean(view, self->t->p, LEN));
	kill(pid, SIGKILL);
	ASSERT_EQ(self->before.used, som_wait_number(som_used, self->before.used));
	EXPECT_TRUE(all_fail(view, self->t, ESRCH));
	args.pidfd = pidfd;
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_VIEW, &args));
	EXPECT_EQ(ESRCH, errno);
}

/* A view keeps no memory, and no call waits, when the process is killed in the middle. */
TEST_F(view, process_goes_in_the_middle)
{
	int rounds = som_rounds(8), i, view, scans;
	long ret;

	for (i = 0; i < rounds; i++) {
		struct target *t = som_shared(sizeof(*t));
		pid_t pid = fork();

		if (!pid)
			target_main(self->fd, t);
		ASSERT_LT(0, pid);
		ASSERT_EQ(0, tell(t, MAP, 0, LEN, 0));
		ASSERT_EQ(0, tell(t, FILL, 0, LEN, 1));
		view = open_view(self->fd, pid, i & 1 ? SOM_VIEW_TRACK : 0);
		ASSERT_LE(0, view);
		if (!fork()) {
			usleep(1000 + 3000 * i);
			kill(pid, SIGKILL);
			_exit(0);
		}
		for (scans = 0, ret = 0; !ret; scans++) {
			ret = som_scan_written(view, t->p, LEN, i & 1 ? WP : 0,
					       NULL, 0);
			if (!ret)
				ret = view_read(view, self->buf, LEN, t->p);
			if (ret > 0)
				ret = 0;
		}
		EXPECT_EQ(-ESRCH, ret);
		EXPECT_EQ(-SIGKILL, som_wait_child(pid));
		close(view);
	}
	EXPECT_USED_SOON(0);
}

/*
 * Bad input
 */

TEST_F(view, refuses_bad_arguments)
{
	struct som_open_view good = { .size = sizeof(good) }, args;
	struct som_view_maps maps;
	struct som_view_map map;
	struct rlimit limit;
	int view;

#define FAILS(error, change) do {					\
	args = good;							\
	change;								\
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_VIEW, &args));		\
	EXPECT_EQ(error, errno);					\
} while (0)
#define MAPS_FAIL(error, change) do {					\
	maps = maps_args(&map, 1);					\
	change;								\
	EXPECT_EQ(-1, ioctl(view, SOM_IOC_VIEW_MAPS, &maps));		\
	EXPECT_EQ(error, errno);					\
} while (0)

	good.pidfd = open_pidfd(self->t->pid);
	ASSERT_LE(0, good.pidfd);
	FAILS(EINVAL, args.size = sizeof(args) - 1);
	FAILS(E2BIG, args.size = PAGE + 1);
	FAILS(EINVAL, args.flags = 4);
	FAILS(EINVAL, args.reserved = 1);
	FAILS(EBADF, args.pidfd = -1);
	FAILS(EBADF, args.pidfd = self->fd);
	FAILS(ENODATA, args.flags = SOM_VIEW_TRACK);
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_VIEW, NULL));
	EXPECT_EQ(EFAULT, errno);
	/* A thread of the kernel. */
	EXPECT_EQ(-ESRCH, open_view(self->fd, 2, 0));

	TELL(0, MAP, 0, LEN, 0);
	args = good;
	args.flags = SOM_VIEW_CLOEXEC;
	view = ioctl(self->fd, SOM_IOC_VIEW, &args);
	ASSERT_LE(0, view);
	EXPECT_EQ(FD_CLOEXEC, fcntl(view, F_GETFD));
	EXPECT_EQ(0, fcntl(VIEW(0), F_GETFD));
	MAPS_FAIL(EINVAL, maps.size = sizeof(maps) - 1);
	MAPS_FAIL(EINVAL, maps.flags = 1);
	MAPS_FAIL(EINVAL, maps.reserved = 1);
	MAPS_FAIL(EINVAL, maps.vec_len = 0);
	MAPS_FAIL(EINVAL, maps.map_size = sizeof(map) - 1);
	MAPS_FAIL(EINVAL, maps.map_size = PAGE + 1);
	MAPS_FAIL(EFAULT, maps.vec = 0);
	/* Other files' calls. */
	EXPECT_EQ(-1, ioctl(view, SOM_IOC_INFO, &maps));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_VIEW_MAPS, &maps));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, view, 0));

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 3;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	FAILS(EMFILE, args.flags = 0);
#undef FAILS
#undef MAPS_FAIL
}

/* A process can view itself, too, and a child has the descriptor. */
TEST_F(view, of_oneself)
{
	char *p = som_map(self->fd, UNIT);
	__u64 word;
	int view;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	view = open_view(self->fd, getpid(), 0);
	ASSERT_LE(0, view);
	ASSERT_EQ(8, view_read(view, &word, 8, p));
	EXPECT_EQ(som_word(1, 0), word);
	/* Into som memory, of the same address space. */
	ASSERT_EQ(PAGE, view_read(view, p + 8 * PAGE, PAGE, p));
	EXPECT_EQ(-1, som_check(p + 8 * PAGE, PAGE, 1));
	pid = fork();
	if (!pid) {
		child_assert(view_read(view, &word, 8, p) == 8);
		child_assert(word == som_word(1, 0));
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
}

TEST_HARNESS_MAIN
