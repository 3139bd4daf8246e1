// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation of every call fails in turn. The call gives an errno or
 * works; either way nothing is lost, and the next call works.
 *
 * Uses /proc/thread-self/fail-nth with failslab and fail_page_alloc, for
 * allocations of any kind and order.
 *
 * SOM-TEST: kernels=debug timeout=2400 takes=75 kmemleak
 */
#include <sys/rseq.h>
#include "som_scan.h"

#define INSTANCE	"/sys/kernel/tracing/instances/som_fail_nth/"

/**
 * struct inject - a loop in which each allocation fails in turn
 * @nth: the allocation that fails now, from 1 on.
 * @step: how many it goes on by, 0 means 1.
 * @err: errno of the call, 0 if it worked.
 * @last: the call took fewer allocations than @nth, or a test failed.
 */
struct inject {
	long nth;
	long step;
	int err;
	bool last;
};

static int inject_fd = -1;

/*
 * Long rows of allocations, of which few are som's, are gone through in steps of @step
 * on the slow machine that this is; where they begin differs from run to run.
 */
static struct inject inject_in_steps(long step)
{
	if (!som_in_part())
		return (struct inject){ .step = 1 };
	return (struct inject){
		.nth = (long)(som_now() * 1e6) % step + 1 - step, .step = step,
	};
}

static bool inject_next(struct inject *in)
{
	in->nth += in->step ? in->step : 1;
	return !in->last && in->nth < 2000;
}

/* The next call's allocation number nth fails. */
static void inject_arm(const struct inject *in)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%ld", in->nth);

	errno = 0;
	if (pwrite(inject_fd, text, len, 0) != len)
		abort();
}

/*
 * The call is over and gave @ret. Return: how many allocations more it would
 * have taken; 0: one failed.
 */
static long inject_disarm(struct inject *in, long ret)
{
	char text[32] = "";
	long left;

	in->err = ret < 0 ? errno : 0;
	if (pread(inject_fd, text, sizeof(text) - 1, 0) <= 0 ||
	    pwrite(inject_fd, "0", 1, 0) != 1)
		abort();
	left = strtol(text, NULL, 10);
	in->last = left;
	return left;
}

/*
 * Restartable sequences: who comes back from the kernel gets SIGSEGV when the page with
 * their state has to be copied, as after fork, and that is what fails.
 */
static void no_rseq(void)
{
	syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset,
		sizeof(struct rseq), RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

/* Return: false when the kernel cannot inject faults. */
static bool inject_setup(void)
{
	static const char * const settings[][2] = {
		{ "failslab/verbose", "0" },
		{ "failslab/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
	};
	char path[128];
	size_t i;

	inject_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (inject_fd < 0 || access("/sys/kernel/debug/failslab", F_OK))
		return false;
	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s",
			 settings[i][0]);
		som_write_string(path, settings[i][1]);
	}
	return true;
}

/* Return: 0 or -errno. */
static int load(int ko, const char *params)
{
	return syscall(SYS_finit_module, ko, params, 0) ? -errno : 0;
}

static int unload(void)
{
	double end = som_now() + 20;
	int ret;

	do {
		ret = syscall(SYS_delete_module, "som", O_NONBLOCK) ? -errno : 0;
		if (ret == -EWOULDBLOCK)
			usleep(10000);
	} while (ret == -EWOULDBLOCK && som_now() < end);
	return ret;
}

FIXTURE(fail)
{
	struct som_state before;
	long hugepages;
	pid_t pid;
	int ko, fd;
};

FIXTURE_SETUP(fail)
{
	const char *path = getenv("SOM_KO");

	self->pid = getpid();
	som_one_cpu();
	no_rseq();
	if (!inject_setup())
		SKIP(return, "no fault injection in this kernel");
	if (!path)
		SKIP(return, "SOM_KO is not set");
	self->ko = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->ko);
	/* Where a test failed that loads and unloads it. */
	if (access("/sys/module/som", F_OK))
		ASSERT_EQ(0, load(self->ko, "chunks=1"));
	som_state_read(&self->before);
	ASSERT_EQ(1, self->before.chunks);
	ASSERT_EQ(512, self->before.free);
	self->hugepages = som_free_hugepages() + 1;
	ASSERT_LE(2, self->hugepages);
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(fail)
{
	if (getpid() != self->pid)
		EXPECT_TRUE(som_state_wait(&self->before));
}

/* Errors that memory running out may be told with. */
static bool fine(int err)
{
	return !err || err == ENOMEM || err == EAGAIN || err == EFAULT ||
	       err == EINTR || err == ENFILE || err == ENXIO || err == ENOSPC;
}

/* The end of a round: an errno or success, and all is back in the pool. */
#define EXPECT_FAILED_WELL(in) do {					\
	struct inject *__in = (in);					\
									\
	EXPECT_TRUE(fine(__in->err))					\
		TH_LOG("allocation %ld: errno %d", __in->nth, __in->err); \
	EXPECT_FALSE(__in->last && __in->err);				\
	EXPECT_TRUE(som_state_wait(&self->before))			\
		TH_LOG("after allocation %ld", __in->nth);		\
	if (_metadata->exit_code)					\
		__in->last = true;					\
} while (0)

/* The end of the loop: all were tried, and there were so many at least. */
#define EXPECT_TRIED(in, least) do {					\
	struct inject *__in = (in);					\
									\
	TH_LOG("%ld allocations", __in->nth - 2);			\
	EXPECT_TRUE(__in->last);					\
	EXPECT_LT((least) + 1, __in->nth);				\
} while (0)

/* If not one allocation failed, nothing was tested. */
#define EXPECT_ALL_TRIED(in)	EXPECT_TRIED(in, 1)

TEST_F(fail, open)
{
	struct inject in = {};
	int fd;

	while (inject_next(&in)) {
		inject_arm(&in);
		fd = open(SOM_DEV, O_RDWR);
		inject_disarm(&in, fd);
		close(fd);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

/* A new owner each time: its first mapping, and its last reference gone. */
TEST_F(fail, first_mmap)
{
	struct inject in = {};
	char *p;
	int fd;

	while (inject_next(&in)) {
		fd = som_open();
		inject_arm(&in);
		p = som_map(fd, 3 * UNIT);
		inject_disarm(&in, p == MAP_FAILED ? -1 : 0);
		if (!in.err)
			EXPECT_EQ(0, munmap(p, 3 * UNIT));
		close(fd);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, second_mmap)
{
	struct inject in = {};
	char *p;

	ASSERT_NE(MAP_FAILED, som_map_at(self->fd, NULL, PAGE, PROT_NONE, 0));
	while (inject_next(&in)) {
		inject_arm(&in);
		p = som_map(self->fd, 3 * UNIT + PAGE);
		inject_disarm(&in, p == MAP_FAILED ? -1 : 0);
		if (!in.err)
			EXPECT_EQ(0, munmap(p, 3 * UNIT + PAGE));
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, mmap_populate)
{
	struct inject in = {};
	char *p;

	while (inject_next(&in)) {
		inject_arm(&in);
		p = som_map_at(self->fd, NULL, 2 * UNIT, RW, MAP_POPULATE);
		inject_disarm(&in, p == MAP_FAILED ? -1 : 0);
		if (!in.err) {
			som_fill(p, 2 * UNIT, in.nth);
			EXPECT_EQ(-1, som_check(p, 2 * UNIT, in.nth));
			munmap(p, 2 * UNIT);
		}
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

/* Where there is no page table yet, for two units of which one is touched. */
static char *map_far(int fd, size_t len, int flags)
{
	return som_map_at(fd, som_room(CHUNK, CHUNK), len, RW, flags);
}

/* A touch has no errno: the kernel tries again, and it must have worked. */
TEST_F(fail, first_touch)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = map_far(self->fd, 2 * UNIT, MAP_FIXED);
		inject_arm(&in);
		ret = som_try_write(p + UNIT, 5);
		inject_disarm(&in, 0);
		EXPECT_EQ(0, ret);
		EXPECT_EQ(5, *(__u64 *)(p + UNIT));
		EXPECT_EQ(-1, som_not_zero(p + UNIT + 8, UNIT - 8));
		munmap(p, 2 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, first_touch_of_4k_entries)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = map_far(self->fd, UNIT / 2, MAP_FIXED);
		inject_arm(&in);
		ret = som_try_write(p, 5);
		inject_disarm(&in, 0);
		EXPECT_EQ(0, ret);
		EXPECT_EQ(5, *(__u64 *)p);
		EXPECT_EQ(-1, som_not_zero(p + 8, UNIT / 2 - 8));
		munmap(p, UNIT / 2);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, first_touch_without_a_promise)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = map_far(self->fd, 2 * UNIT, MAP_FIXED | MAP_NORESERVE);
		inject_arm(&in);
		ret = som_try_write(p + UNIT, 5);
		inject_disarm(&in, 0);
		EXPECT_EQ(0, ret);
		EXPECT_EQ(5, *(__u64 *)(p + UNIT));
		EXPECT_EQ(-1, som_not_zero(p + UNIT + 8, UNIT - 8));
		munmap(p, 2 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

/* The unit has its charge when there is no memory for what is known of its pages. */
TEST_F(fail, first_touch_of_tracked_memory)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = map_far(self->fd, 2 * UNIT, MAP_FIXED | MAP_NORESERVE);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
		inject_arm(&in);
		ret = som_try_write(p + UNIT, 5);
		inject_disarm(&in, 0);
		EXPECT_EQ(0, ret);
		EXPECT_EQ(5, *(__u64 *)(p + UNIT));
		EXPECT_USED(1);
		EXPECT_COMMITTED(1);
		EXPECT_EQ(1, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
		munmap(p, 2 * UNIT);
		EXPECT_COMMITTED(0);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, touch_after_a_split)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = som_map(self->fd, UNIT);
		som_fill_pages(p, UNIT, 1);
		mprotect(p + PAGE, PAGE, PROT_READ);
		inject_arm(&in);
		ret = som_try_write(p + 8, 5);
		inject_disarm(&in, 0);
		EXPECT_EQ(0, ret);
		EXPECT_EQ(5, *(__u64 *)(p + 8));
		EXPECT_EQ(-1, som_check_pages(p, UNIT, 1));
		munmap(p, UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

/* Promised by mprotect, in one piece. */
TEST_F(fail, mprotect_gives_access)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = som_map_at(self->fd, NULL, 4 * UNIT, PROT_NONE, 0);
		inject_arm(&in);
		ret = mprotect(p, 4 * UNIT, RW);
		inject_disarm(&in, ret);
		EXPECT_EQ(in.err ? SIGSEGV : 0, som_try_write(p, 1));
		if (!in.err)
			EXPECT_COMMITTED(4);
		munmap(p, 4 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

/* In the middle of a mapping, which is split. */
TEST_F(fail, mprotect_splits)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = som_map(self->fd, 3 * UNIT);
		som_fill_pages(p, 3 * UNIT, 1);
		inject_arm(&in);
		ret = mprotect(p + UNIT + PAGE, PAGE, PROT_READ);
		inject_disarm(&in, ret);
		EXPECT_EQ(-1, som_check_pages(p, 3 * UNIT, 1));
		EXPECT_EQ(in.err ? 0 : SIGSEGV,
			  som_try_write(p + UNIT + PAGE,
					som_word(1, UNIT + PAGE)));
		EXPECT_USED(3);
		munmap(p, 3 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, mprotect_splits_and_promises)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = som_map_at(self->fd, NULL, 6 * UNIT, PROT_NONE, 0);
		inject_arm(&in);
		ret = mprotect(p + UNIT, 2 * UNIT, RW);
		inject_disarm(&in, ret);
		EXPECT_EQ(SIGSEGV, som_read_signal(p));
		EXPECT_EQ(in.err ? SIGSEGV : 0, som_read_signal(p + UNIT));
		munmap(p, 6 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, mremap_moves)
{
	struct inject in = {};
	char *room, *p, *q;

	while (inject_next(&in)) {
		room = som_room(2 * UNIT, UNIT);
		p = som_map(self->fd, 2 * UNIT);
		som_fill_pages(p, 2 * UNIT, 1);
		inject_arm(&in);
		q = mremap(p, 2 * UNIT, 2 * UNIT,
			   MREMAP_MAYMOVE | MREMAP_FIXED, room);
		inject_disarm(&in, q == MAP_FAILED ? -1 : 0);
		EXPECT_EQ(-1, som_check_pages(in.err ? p : room, 2 * UNIT, 1));
		EXPECT_USED(2);
		EXPECT_COMMITTED(2);
		munmap(p, 2 * UNIT);
		munmap(room, 2 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, mremap_moves_a_page)
{
	struct inject in = {};
	char *room, *p, *q;

	while (inject_next(&in)) {
		room = som_room(UNIT, UNIT);
		p = som_map(self->fd, UNIT);
		som_fill_pages(p, UNIT, 1);
		inject_arm(&in);
		q = mremap(p + 9 * PAGE, PAGE, PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, room);
		inject_disarm(&in, q == MAP_FAILED ? -1 : 0);
		EXPECT_EQ(-1, som_check_pages(p, 9 * PAGE, 1));
		q = in.err ? p + 9 * PAGE : room;
		EXPECT_EQ(som_word(1, 9 * PAGE), *(__u64 *)q);
		EXPECT_USED(1);
		munmap(p, UNIT);
		munmap(room, PAGE);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, mremap_grows)
{
	struct inject in = {};
	char *room = som_room(4 * UNIT, UNIT), *p, *q;

	while (inject_next(&in)) {
		p = som_map_at(self->fd, room, UNIT, RW, MAP_FIXED);
		som_fill_pages(p, UNIT, 1);
		inject_arm(&in);
		q = mremap(p, UNIT, 3 * UNIT, MREMAP_MAYMOVE);
		inject_disarm(&in, q == MAP_FAILED ? -1 : 0);
		if (in.err) {
			EXPECT_COMMITTED(1);
			q = p;
		} else {
			EXPECT_COMMITTED(3);
			EXPECT_EQ(0, som_try_write(q + 2 * UNIT, 1));
		}
		EXPECT_EQ(-1, som_check_pages(q, UNIT, 1));
		munmap(q, in.err ? UNIT : 3 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, munmap)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = som_map(self->fd, 3 * UNIT);
		som_fill_pages(p, 3 * UNIT, 1);
		inject_arm(&in);
		ret = munmap(p, 3 * UNIT);
		inject_disarm(&in, ret);
		if (in.err)
			EXPECT_EQ(-1, som_check_pages(p, 3 * UNIT, 1));
		munmap(p, 3 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, munmap_splits)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = som_map(self->fd, 3 * UNIT);
		som_fill_pages(p, 3 * UNIT, 1);
		inject_arm(&in);
		ret = munmap(p + UNIT - PAGE, UNIT + 2 * PAGE);
		inject_disarm(&in, ret);
		EXPECT_EQ(-1, som_check_pages(p, in.err ? 3 * UNIT : UNIT - PAGE,
					      1));
		EXPECT_USED(in.err ? 3 : 2);
		EXPECT_COMMITTED(in.err ? 3 : 2);
		munmap(p, 3 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, mmap_over)
{
	struct inject in = {};
	char *p, *q;

	while (inject_next(&in)) {
		p = som_map(self->fd, 3 * UNIT);
		som_fill_pages(p, 3 * UNIT, 1);
		inject_arm(&in);
		q = som_map_at(self->fd, p + UNIT, UNIT, RW, MAP_FIXED);
		inject_disarm(&in, q == MAP_FAILED ? -1 : 0);
		EXPECT_EQ(-1, som_check_pages(p, UNIT, 1));
		if (!in.err)
			EXPECT_EQ(-1, som_not_zero(q, UNIT));
		munmap(p, 3 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

/*
 * Several mappings become one. What fails before the kernel unmaps them changes nothing;
 * behind that it leaves a hole, and the units go back.
 */
TEST_F(fail, join)
{
	struct inject in = {};
	char *p, *q;

	while (inject_next(&in)) {
		p = som_map(self->fd, 3 * UNIT);
		som_fill_pages(p, 3 * UNIT, 1);
		mprotect(p + UNIT + PAGE, PAGE, PROT_READ);
		mprotect(p + UNIT + PAGE, PAGE, RW);
		inject_arm(&in);
		q = mmap(p + UNIT, UNIT, RW, MAP_SHARED | MAP_FIXED, self->fd,
			 SOM_MMAP_JOIN);
		inject_disarm(&in, q == MAP_FAILED ? -1 : 0);
		EXPECT_EQ(-1, som_check_pages(p, UNIT, 1));
		if (!som_read_signal(p + UNIT))
			EXPECT_EQ(som_word(1, 2 * UNIT - PAGE),
				  *(__u64 *)(p + 2 * UNIT - PAGE));
		EXPECT_TRUE(in.err || !som_read_signal(p + UNIT));
		EXPECT_EQ(som_word(1, 2 * UNIT), *(__u64 *)(p + 2 * UNIT));
		munmap(p, 3 * UNIT);
		EXPECT_USED(0);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

/* A child has all of the bytes, or there is none; a parent loses nothing. */
TEST_F_TIMEOUT(fail, fork_with_a_copy, 900)
{
	struct som_policy policy = {
		.size = sizeof(policy), .map_size = UNIT,
		.options = SOM_POLICY_FORK_COPY,
	};
	struct som_state before = self->before;
	struct inject in = inject_in_steps(6);
	char *p, *q;
	pid_t pid;

	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, &policy));
	p = som_map(self->fd, 3 * UNIT + PAGE);
	q = som_map_private(self->fd, UNIT);
	som_fill_pages(p, 3 * UNIT + PAGE, 1);
	som_fill_pages(q, UNIT, 2);
	/* It takes some 400 allocations: the memory is the same for all of them. */
	som_state_read(&self->before);
	while (inject_next(&in)) {
		inject_arm(&in);
		pid = fork();
		if (!pid) {
			child_assert(som_check_pages(p, 3 * UNIT + PAGE, 1) == -1);
			child_assert(!madvise(q, UNIT / 2, MADV_DONTNEED));
			child_assert(som_not_zero(q, UNIT / 2) == -1);
			_exit(0);
		}
		inject_disarm(&in, pid);
		EXPECT_EQ(-1, som_check_pages(p, 3 * UNIT + PAGE, 1));
		WRITE_ONCE(p[UNIT], 1);
		if (pid > 0)
			EXPECT_EQ(0, som_wait_child(pid));
		EXPECT_EQ(-1, som_check_pages(q, UNIT, 2));
		*(__u64 *)(p + UNIT) = som_word(1, UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
	munmap(p, 3 * UNIT + PAGE);
	munmap(q, UNIT);
	self->before = before;
}

/* It may need no memory at all. */
TEST_F(fail, remove)
{
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = som_map(self->fd, 3 * UNIT);
		som_fill_pages(p, 3 * UNIT, 1);
		inject_arm(&in);
		ret = madvise(p + UNIT - PAGE, UNIT + 2 * PAGE, MADV_REMOVE);
		inject_disarm(&in, ret);
		EXPECT_EQ(-1, som_check_pages(p, UNIT - PAGE, 1));
		if (!in.err)
			EXPECT_EQ(-1, som_not_zero(p + UNIT - PAGE,
						   UNIT + 2 * PAGE));
		munmap(p, 3 * UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_TRUE(in.last);
}

/* Nor may this. */
TEST_F(fail, ioctl_info)
{
	struct inject in = {};
	struct som_info info;
	int ret;

	while (inject_next(&in)) {
		memset(&info, 0, sizeof(info));
		info.size = sizeof(info);
		inject_arm(&in);
		ret = ioctl(self->fd, SOM_IOC_INFO, &info);
		inject_disarm(&in, ret);
		EXPECT_EQ(in.err ? 0 : UNIT, info.unit_size);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_TRUE(in.last);
}

TEST_F(fail, fdinfo)
{
	struct inject in = {};
	char path[64], buf[1024];
	int fd, ret;

	ASSERT_NE(MAP_FAILED, som_map_at(self->fd, NULL, UNIT, PROT_NONE, 0));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->fd);
	while (inject_next(&in)) {
		fd = open(path, O_RDONLY);
		inject_arm(&in);
		ret = read(fd, buf, sizeof(buf));
		inject_disarm(&in, ret);
		close(fd);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

/* Growing takes all or nothing, shrinking gives back what it said. */
TEST_F_TIMEOUT(fail, grow, 600)
{
	struct inject in = inject_in_steps(4);
	int ret;

	while (inject_next(&in)) {
		inject_arm(&in);
		ret = som_set_chunks(2);
		inject_disarm(&in, 0);
		in.err = -ret;
		EXPECT_EQ(ret ? 1 : 2, som_pool("nr_chunks"));
		EXPECT_EQ(self->hugepages - (ret ? 1 : 2), som_free_hugepages());
		EXPECT_EQ(0, som_set_chunks(1));
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, shrink)
{
	struct inject in = inject_in_steps(4);
	int ret;

	while (inject_next(&in)) {
		ASSERT_EQ(0, som_set_chunks(2));
		inject_arm(&in);
		ret = som_set_chunks(1);
		inject_disarm(&in, 0);
		in.err = -ret;
		EXPECT_EQ(ret ? 2 : 1, som_pool("nr_chunks"));
		EXPECT_EQ(0, som_set_chunks(1));
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

/*
 * Tracking, resets, pinnable memory
 */

#define TRACKED_LEN	(3 * UNIT + PAGE)

/* Pages that a clean scan tells as written, also one that fails. Return: as that. */
static long scan_told(int fd, const char *p, bool *told)
{
	struct page_region vec[64] = {};
	long ret = som_scan_written(fd, p, TRACKED_LEN, WP, vec, ARRAY_SIZE(vec));
	size_t i;
	__u64 a;

	for (i = 0; i < ARRAY_SIZE(vec) && vec[i].end; i++)
		for (a = vec[i].start; a < vec[i].end; a += PAGE)
			told[(a - som_addr(p)) / PAGE] = true;
	return ret;
}

/* Each write is told by the scan that failed or by the next one. */
static void scan_fails(struct __test_metadata *_metadata, struct _test_data_fail *self,
		       bool private, bool tracked)
{
	struct inject in = {};

	while (inject_next(&in)) {
		bool told[TRACKED_LEN / PAGE] = {};
		size_t i, missing = 0;
		long ret;
		char *p;

		p = private ? som_map_private(self->fd, TRACKED_LEN) :
			som_map(self->fd, TRACKED_LEN);
		ASSERT_NE(MAP_FAILED, p);
		if (tracked)
			ASSERT_EQ(0, som_scan_clean(self->fd, p, TRACKED_LEN));
		som_fill_pages(p, TRACKED_LEN, 1);
		inject_arm(&in);
		ret = scan_told(self->fd, p, told);
		inject_disarm(&in, ret);
		if (ret < 0)
			EXPECT_LE(0, scan_told(self->fd, p, told));
		for (i = 0; i < ARRAY_SIZE(told); i++)
			missing += !told[i];
		EXPECT_EQ(0, missing)
			TH_LOG("after allocation %ld: %ld", in.nth, ret);
		EXPECT_EQ(0, som_scan_count(self->fd, p, TRACKED_LEN, WRITTEN));
		EXPECT_EQ(-1, som_check_pages(p, TRACKED_LEN, 1));
		munmap(p, TRACKED_LEN);
		EXPECT_FAILED_WELL(&in);
	}
	/* A later one may need no memory at all. */
	EXPECT_TRIED(&in, tracked ? 0 : 1);
}

TEST_F(fail, first_scan)
{
	scan_fails(_metadata, self, false, false);
}

TEST_F(fail, first_scan_of_private_memory)
{
	scan_fails(_metadata, self, true, false);
}

TEST_F(fail, later_scan)
{
	scan_fails(_metadata, self, false, true);
}

/* What has lost its memory and was not reported is reported, whatever fails. */
TEST_F(fail, scan_of_a_part_of_what_is_gone)
{
	struct inject in = {};

	while (inject_next(&in)) {
		char *p = som_map(self->fd, UNIT);
		long ret;

		ASSERT_NE(MAP_FAILED, p);
		som_fill_pages(p, UNIT, 1);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
		ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
		inject_arm(&in);
		ret = som_scan_clean(self->fd, p, 10 * PAGE);
		inject_disarm(&in, ret);
		EXPECT_EQ(UNIT_PAGES - 10,
			  som_scan_count(self->fd, p + 10 * PAGE, UNIT - 10 * PAGE,
					 WRITTEN));
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 10 * PAGE));
		EXPECT_EQ(UNIT_PAGES - 10,
			  som_scan_count(self->fd, p, UNIT, WRITTEN));
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
		EXPECT_EQ(0, som_scan_count(self->fd, p, UNIT, WRITTEN));
		munmap(p, UNIT);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

/* What was tracked before stays so, and nothing else comes to it. */
TEST_F(fail, tracking_what_is_between)
{
	struct inject in = {};
	bool failed = false;
	char *p;
	int i;

	while (inject_next(&in)) {
		struct som_reset reset;
		long ret;

		p = som_map(self->fd, 5 * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		som_touch_units(p, 4 * UNIT);
		for (i = 0; i < 4; i += 3)
			ASSERT_EQ(0, som_scan_clean(self->fd, p + i * UNIT, UNIT));
		reset = som_reset_args(p, 5 * UNIT);
		inject_arm(&in);
		ret = som_reset_call(self->fd, &reset);
		inject_disarm(&in, ret);
		for (i = 0; i < 4; i += 3)
			EXPECT_EQ(0, som_scan_written(self->fd, p + i * UNIT, UNIT,
						      CHECK, NULL, 0));
		if (ret < 0 && reset.walk_end <= som_addr(p + UNIT)) {
			failed = true;
			EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, p, UNIT,
							     TRACKED));
			EXPECT_EQ(0, som_scan_count(self->fd, p + UNIT, 2 * UNIT,
						    TRACKED));
			EXPECT_EQ(2 * UNIT_PAGES,
				  som_scan_count(self->fd, p + UNIT, 2 * UNIT,
						 WRITTEN));
		}
		ASSERT_EQ(0, som_reset_call(self->fd, &reset));
		EXPECT_EQ(0, som_scan_written(self->fd, p, 5 * UNIT, CHECK, NULL,
					      0));
		/* What is mapped where a scan has been is tracked: keep the addresses. */
		ASSERT_EQ(p, mmap(p, 5 * UNIT, PROT_NONE, MAP_PRIVATE | MAP_FIXED |
				  MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
	EXPECT_TRUE(failed);
}

/* What a reset that failed has not done is still told as written. */
static void reset_fails(struct __test_metadata *_metadata, struct _test_data_fail *self,
			const char *image, __u64 keep)
{
	struct inject in = {};

	while (inject_next(&in)) {
		char *p = som_map(self->fd, TRACKED_LEN);
		struct som_reset reset = som_reset_args(p, TRACKED_LEN);
		size_t done = 0;
		long ret;

		ASSERT_NE(MAP_FAILED, p);
		som_fill_pages(p, TRACKED_LEN, 1);
		reset.flags = image ? SOM_RESET_IMAGE_MEM : 0;
		reset.image = som_addr(image);
		reset.keep_resident = keep;
		inject_arm(&in);
		ret = som_reset_call(self->fd, &reset);
		inject_disarm(&in, ret);
		if (ret < 0 && keep) {
			if (reset.walk_end)
				done = reset.walk_end - reset.start;
			EXPECT_EQ((TRACKED_LEN - done) / PAGE,
				  som_scan_count(self->fd, p + done,
						 TRACKED_LEN - done, WRITTEN));
			EXPECT_EQ(-1, image ? som_check_pages(p, done, 2) :
					      som_pages_not_zero(p, done));
		}
		if (ret < 0)
			EXPECT_EQ(0, som_reset_call(self->fd, &reset));
		EXPECT_EQ(-1, image ? som_check_pages(p, TRACKED_LEN, 2) :
				      som_pages_not_zero(p, TRACKED_LEN))
			TH_LOG("after allocation %ld: %ld", in.nth, ret);
		/* What was released counts as written. */
		EXPECT_EQ(keep ? 0 : TRACKED_LEN / PAGE,
			  som_scan_count(self->fd, p, TRACKED_LEN, WRITTEN));
		ASSERT_EQ(0, som_scan_clean(self->fd, p, TRACKED_LEN));
		EXPECT_EQ(0, som_scan_count(self->fd, p, TRACKED_LEN, WRITTEN));
		munmap(p, TRACKED_LEN);
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
}

TEST_F(fail, reset_to_zero)
{
	reset_fails(_metadata, self, NULL, ~0ULL);
}

TEST_F(fail, reset_to_an_image)
{
	char *image = mmap(NULL, TRACKED_LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, image);
	som_fill_pages(image, TRACKED_LEN, 2);
	reset_fails(_metadata, self, image, ~0ULL);
}

TEST_F(fail, reset_that_releases)
{
	reset_fails(_metadata, self, NULL, 0);
}

/* To pages of the kernel's and back: the bytes are in one or the other. */
static void pinnable_fails(struct __test_metadata *_metadata,
			   struct _test_data_fail *self, bool back)
{
	size_t len = 2 * UNIT;
	struct inject in = {};
	char *p;
	int ret;

	while (inject_next(&in)) {
		p = som_map(self->fd, len);
		ASSERT_NE(MAP_FAILED, p);
		som_fill(p, len, 1);
		if (back)
			ASSERT_EQ(0, som_page_backed(self->fd, p, len));
		inject_arm(&in);
		ret = back ? som_pool_backed(self->fd, p, len) :
			som_page_backed(self->fd, p, len);
		inject_disarm(&in, ret);
		EXPECT_EQ(-1, som_check(p, len, 1))
			TH_LOG("after allocation %ld: %d", in.nth, ret);
		EXPECT_EQ(0, som_pool_backed(self->fd, p, len));
		EXPECT_EQ(-1, som_check(p, len, 1));
		munmap(p, len);
		EXPECT_FAILED_WELL(&in);
	}
	/* The way back may need no memory at all. */
	EXPECT_TRIED(&in, back ? 0 : 1);
}

TEST_F(fail, pinnable)
{
	pinnable_fails(_metadata, self, false);
}

TEST_F(fail, unpinnable)
{
	pinnable_fails(_metadata, self, true);
}

/* An entry of 1 GiB, which smaller ones replace when a part is protected. */
TEST_F_TIMEOUT(fail, split_of_a_gib, 300)
{
	struct inject in = inject_in_steps(3);
	char *p;
	int ret;

	ASSERT_EQ(0, som_set_policy(self->fd, CHUNK));
	while (inject_next(&in)) {
		p = som_map(self->fd, CHUNK);
		ASSERT_NE(MAP_FAILED, p);
		som_fill_pages(p, CHUNK, 1);
		ASSERT_EQ(CHUNK_UNITS, som_units_1g(self->fd));
		inject_arm(&in);
		ret = mprotect(p + 7 * UNIT + PAGE, PAGE, PROT_READ);
		inject_disarm(&in, ret);
		if (!in.err)
			EXPECT_EQ(SIGSEGV, som_try_write(p + 7 * UNIT + PAGE, 2));
		EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
		EXPECT_EQ(0, munmap(p, CHUNK));
		EXPECT_FAILED_WELL(&in);
	}
	EXPECT_ALL_TRIED(&in);
	som_set_policy(self->fd, UNIT);
}

/*
 * Loading and unloading
 */

/* Did the module get as far as its init function? */
static bool init_was_reached(void)
{
	char line[512];
	bool found = false;
	FILE *f;

	f = fopen(INSTANCE "trace", "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = line[0] != '#' && strstr(line, "module_load: som");
	fclose(f);
	return found;
}

static void trace_clear(void)
{
	int fd = open(INSTANCE "trace", O_WRONLY | O_TRUNC);

	if (fd >= 0)
		close(fd);
}

/* What loading took, and what became of it. */
struct load_result {
	long all;	/* allocations of a load */
	long tried;	/* of those, how many failed in a load */
	long failed;	/* loads that failed */
	const char *wrong;
	long nth;	/* where that was */
};

/*
 * The module's own allocations are the last ones of the load. Go back from
 * there, by @step, to the first that fails before its init function is called;
 * what is before is not som's.
 */
static void load_each(int ko, const char *params, long step,
		      struct load_result *r)
{
	struct inject in = { .nth = 1000000 };
	long hugepages = som_free_hugepages();
	int ret;

	memset(r, 0, sizeof(*r));
	trace_clear();
	inject_arm(&in);
	ret = load(ko, params);
	r->all = in.nth - inject_disarm(&in, 0);
	if (ret || !init_was_reached())
		r->wrong = "the load without a failure";
	if (!ret && unload())
		r->wrong = "the first unload";

	/* The number differs a little from time to time. */
	in = inject_in_steps(step);
	for (in.nth += r->all + 10; in.nth > 0 && !r->wrong;
	     in.nth -= in.step) {
		trace_clear();
		inject_arm(&in);
		ret = load(ko, params);
		inject_disarm(&in, 0);
		r->tried++;
		r->failed += !!ret;
		r->nth = in.nth;
		if (!fine(-ret))
			r->wrong = "the error";
		else if (!ret && unload())
			r->wrong = "the unload";
		else if (!access("/sys/module/som", F_OK))
			r->wrong = "the module, which is still there";
		else if (som_wait_number(som_free_hugepages, hugepages) !=
			 hugepages)
			r->wrong = "the number of free huge pages";
		if (!init_was_reached())
			break;
	}
}

TEST_F_TIMEOUT(fail, load, 1200)
{
	struct load_result r;

	close(self->fd);
	ASSERT_EQ(0, unload());
	mkdir(INSTANCE, 0700);
	ASSERT_EQ(0, som_write_string(INSTANCE "events/module/module_load/enable",
				      "1"));
	load_each(self->ko, "", 18, &r);
	TH_LOG("%ld allocations, %ld tried, %ld loads failed", r.all, r.tried,
	       r.failed);
	EXPECT_EQ(NULL, r.wrong)
		TH_LOG("after allocation %ld: %s", r.nth, r.wrong);
	EXPECT_LT(2, r.failed);

	/*
	 * Each time a chunk is cleared; the rest of its allocations fail in grow.
	 * How many of so few steps hit one that a load cannot do without is luck.
	 */
	load_each(self->ko, "chunks=1", 60, &r);
	TH_LOG("%ld allocations, %ld tried, %ld loads failed", r.all, r.tried,
	       r.failed);
	EXPECT_EQ(NULL, r.wrong)
		TH_LOG("after allocation %ld: %s", r.nth, r.wrong);
	EXPECT_LT(0, r.failed);

	som_write_string(INSTANCE "events/module/module_load/enable", "0");
	rmdir(INSTANCE);
	ASSERT_EQ(0, load(self->ko, "chunks=1"));
}

/* Unloading cannot fail half-way. */
TEST_F_TIMEOUT(fail, unload, 600)
{
	struct inject in = inject_in_steps(3);
	int ret;

	close(self->fd);
	ASSERT_EQ(0, unload());
	while (inject_next(&in)) {
		ASSERT_EQ(0, load(self->ko, "chunks=1"));
		inject_arm(&in);
		ret = syscall(SYS_delete_module, "som", O_NONBLOCK);
		inject_disarm(&in, 0);
		if (ret)
			ASSERT_EQ(0, unload());
		EXPECT_EQ(self->hugepages, som_wait_number(som_free_hugepages,
							   self->hugepages))
			TH_LOG("after allocation %ld", in.nth);
		if (_metadata->exit_code)
			break;
	}
	TH_LOG("%ld allocations", in.nth - 2);
	EXPECT_TRUE(in.last);
	ASSERT_EQ(0, load(self->ko, "chunks=1"));
}

TEST_HARNESS_MAIN
