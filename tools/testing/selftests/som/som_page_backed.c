// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_POLICY_PAGE_BACKED: what needs 4 KiB entries is ordinary pages, on which every
 * access of the kernel works, and is a unit of the pool again when nothing needs them. The
 * content stays, whatever runs beside; where it cannot be done, memory is as it was.
 *
 * SOM-TEST: chunks=1 timeout=900 takes=40 kmemleak
 */
#include <linux/futex.h>

#include "som_pins.h"

static const char *som_no_page_backed(int fd);
static const char *(*som_missing)(int fd) = som_no_page_backed;
static bool som_one_process = true;

#define MAX_PINNABLE	"/sys/module/som/parameters/max_page_backed"

static int set_options(int fd, __u64 map_size, __u64 options)
{
	struct som_policy policy = { .size = sizeof(policy) };

	if (ioctl(fd, SOM_IOC_GET_POLICY, &policy))
		return -errno;
	policy.map_size = map_size;
	policy.options = options;
	return ioctl(fd, SOM_IOC_SET_POLICY, &policy) ? -errno : 0;
}

static const char *som_no_page_backed(int fd)
{
	return set_options(fd, UNIT, SOM_POLICY_PAGE_BACKED) ?
		"no SOM_POLICY_PAGE_BACKED" : NULL;
}

static long units_page_backed(void)
{
	return som_pool("units_page_backed");
}

static long units_2m_of(int fd)
{
	return som_units_2m(fd);
}

/* Wait until a process has so many units by 2 MiB entries; it touches them meanwhile. */
static long wait_2m(int fd, char *p, size_t len, long want)
{
	double end = som_now() + SOM_WAIT_SECONDS;

	do {
		som_read_signal(p);
		if (units_2m_of(fd) == want)
			break;
		usleep(10000);
	} while (som_now() < end);
	return units_2m_of(fd);
}

/*
 * Shapes: why a unit needs 4 KiB entries. Each gives a unit's worth of memory, filled, in
 * which the pages of AT and some behind it can be written.
 */

#define GUARD	(7 * PAGE)

static char *map_of(int fd, bool private, size_t len)
{
	return private ? som_map_private(fd, len) : som_map(fd, len);
}

/* A guard page before the first touch. */
static char *guard_first(int fd, bool private)
{
	char *p = map_of(fd, private, UNIT);

	if (p == MAP_FAILED || mprotect(p + GUARD, PAGE, PROT_NONE))
		return MAP_FAILED;
	som_fill(p, GUARD, 1);
	for (size_t i = GUARD + PAGE; i < UNIT; i += 8)
		*(__u64 *)(p + i) = som_word(1, i);
	return p;
}

/* A guard page in memory that is there. */
static char *guard_later(int fd, bool private)
{
	char *p = map_of(fd, private, UNIT);

	if (p == MAP_FAILED)
		return MAP_FAILED;
	som_fill(p, UNIT, 1);
	return mprotect(p + GUARD, PAGE, PROT_NONE) ? MAP_FAILED : p;
}

/* A part of it is unmapped. */
static char *hole(int fd, bool private)
{
	char *p = map_of(fd, private, UNIT);

	if (p == MAP_FAILED)
		return MAP_FAILED;
	som_fill(p, UNIT, 1);
	return munmap(p + GUARD, PAGE) ? MAP_FAILED : p;
}

/* The mapping ends in the unit. */
static char *short_mapping(int fd, bool private)
{
	char *p = map_of(fd, private, UNIT / 2);

	if (p != MAP_FAILED)
		som_fill(p, UNIT / 2, 1);
	return p;
}

/* It is policy. */
static char *small_entries(int fd, bool private)
{
	char *p;

	set_options(fd, PAGE, SOM_POLICY_PAGE_BACKED);
	p = map_of(fd, private, UNIT);
	set_options(fd, UNIT, SOM_POLICY_PAGE_BACKED);
	if (p != MAP_FAILED)
		som_fill(p, UNIT, 1);
	return p;
}

/* It was moved to where no 2 MiB entry can be. */
static char *moved(int fd, bool private)
{
	char *room = som_room(2 * UNIT, UNIT), *p = map_of(fd, private, UNIT);

	if (p == MAP_FAILED || room == MAP_FAILED)
		return MAP_FAILED;
	som_fill(p, UNIT, 1);
	return mremap(p, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED,
		      room + 5 * PAGE);
}

static const struct shape {
	const char *name;
	char *(*map)(int fd, bool private);
	size_t len;
} shapes[] = {
	{ "guard, then touched", guard_first, UNIT },
	{ "touched, then guarded", guard_later, UNIT },
	{ "a hole", hole, UNIT },
	{ "half a unit", short_mapping, UNIT / 2 },
	{ "4 KiB by policy", small_entries, UNIT },
	{ "moved", moved, UNIT },
};

/* A shared futex: a thread waits, and is woken. */
static int try_futex(char *p)
{
	int *word = (int *)(p + AT), old = *word;
	const struct timespec limit = { .tv_nsec = 1 };

	if (syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) < 0)
		return -errno;
	if (!syscall(SYS_futex, word, FUTEX_WAIT, old, &limit, NULL, 0) ||
	    (errno != ETIMEDOUT && errno != EINTR))
		return errno ? -errno : -EIO;
	return 0;
}

/* /proc/PID/mem, which asks get_user_pages() first. */
static int try_proc_mem(char *p)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC), ret = 0;
	__u64 word = 0;

	if (pread(fd, &word, 8, (uintptr_t)p + AT) != 8 ||
	    word != som_word(1, AT) ||
	    pwrite(fd, &word, 8, (uintptr_t)p + AT) != 8)
		ret = -EIO;
	close(fd);
	return ret;
}

static const struct pin {
	const char *name;
	int (*try)(char *p);
} pins[] = {
	{ "futex", try_futex },
	{ "vmsplice", try_vmsplice },
	{ "process_vm", try_process_vm },
	{ "MSG_ZEROCOPY", try_zerocopy },
	{ "O_DIRECT", try_direct },
	{ "io_uring, fixed", try_uring },
	{ "/proc/PID/mem", try_proc_mem },
};

static void every_pin(struct __test_metadata *_metadata, char *p,
		      const char *what)
{
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(pins); i++) {
		ret = pins[i].try(p);
		EXPECT_TRUE(!ret || ret == -ENODEV)
			TH_LOG("%s, %s: %d", what, pins[i].name, ret);
	}
}

/* Every access of the kernel, on every shape, shared and private. */
TEST_F(som, every_access_works)
{
	size_t i;
	char *p;

	for (i = 0; i < 2 * ARRAY_SIZE(shapes); i++) {
		const struct shape *shape = &shapes[i / 2];

		p = shape->map(self->fd, i % 2);
		ASSERT_NE(MAP_FAILED, p);
		every_pin(_metadata, p, shape->name);
		EXPECT_EQ(1, units_page_backed());
		EXPECT_EQ(-1, som_check(p, GUARD, 1));
		EXPECT_EQ(som_word(1, AT), *(__u64 *)(p + AT));
		ASSERT_EQ(0, munmap(p, shape->len));
		EXPECT_EQ(0, som_wait_number(units_page_backed, 0));
	}
}

/* Without the policy nothing becomes page-backed, and the accesses fail. */
TEST_F(som, only_by_policy)
{
	char *p;

	ASSERT_EQ(0, set_options(self->fd, UNIT, 0));
	p = guard_later(self->fd, false);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, som_read_signal(p));
	EXPECT_EQ(0, units_page_backed());
	EXPECT_NE(0, try_futex(p));
	EXPECT_NE(0, try_vmsplice(p));
	/* What is mapped from then on. */
	ASSERT_EQ(0, set_options(self->fd, UNIT, SOM_POLICY_PAGE_BACKED));
	EXPECT_NE(0, try_futex(p));
	EXPECT_EQ(0, units_page_backed());
	EXPECT_EQ(-EINVAL, set_options(self->fd, UNIT, 1 << 4));
}

/* A waiter stays one when the unit below it becomes page-backed. */
struct waiter {
	int *word, tid;
	long err;
};

static void *wait_here(void *arg)
{
	struct waiter *w = arg;
	const struct timespec limit = { .tv_sec = SOM_WAIT_SECONDS };

	WRITE_ONCE(w->tid, gettid());
	w->err = syscall(SYS_futex, w->word, FUTEX_WAIT, 0, &limit, NULL, 0) ?
		 errno : 0;
	return NULL;
}

static void futex_survives(struct __test_metadata *_metadata, int fd,
			   bool private)
{
	char *p = map_of(fd, private, 2 * UNIT);
	struct waiter w = { .word = (int *)(p + AT) };
	pthread_t thread;

	ASSERT_NE(MAP_FAILED, p);
	*w.word = 0;
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_here, &w));
	while (!READ_ONCE(w.tid))
		usleep(1000);
	usleep(100000);
	/* Page-backed by policy. */
	ASSERT_EQ(0, mprotect(p + UNIT - PAGE, PAGE, PROT_NONE));
	WRITE_ONCE(p[0], 1);
	EXPECT_EQ(1, units_page_backed());
	/* To the pool, and once more. */
	ASSERT_EQ(0, som_pool_backed(fd, p, UNIT));
	EXPECT_EQ(0, units_page_backed());
	WRITE_ONCE(p[0], 1);
	EXPECT_EQ(1, units_page_backed());
	EXPECT_EQ(1, syscall(SYS_futex, w.word, FUTEX_WAKE, 1, NULL, NULL, 0));
	EXPECT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, w.err);
	ASSERT_EQ(0, munmap(p, 2 * UNIT));
}

TEST_F(som, futex_survives_conversion)
{
	futex_survives(_metadata, self->fd, false);
	futex_survives(_metadata, self->fd, true);
}

static void *on_a_stack(void *arg)
{
	char buf[20000];
	size_t i;

	for (i = 0; i < sizeof(buf); i++)
		WRITE_ONCE(buf[i], 1);
	return arg;
}

/* Stacks that a program maps itself: the thread's tid is a shared futex. */
TEST_F(som, own_thread_stacks)
{
	static const size_t sizes[] = { UNIT, UNIT + PAGE, UNIT / 2, 3 * UNIT };
	size_t i;

	for (i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i / 2], guard = i % 2 * PAGE;
		pthread_attr_t attr;
		pthread_t thread;
		void *ret = NULL;
		char *p;

		p = som_map_private(self->fd, size + guard);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(0, guard ? mprotect(p, guard, PROT_NONE) : 0);
		pthread_attr_init(&attr);
		ASSERT_EQ(0, pthread_attr_setstack(&attr, p + guard, size));
		ASSERT_EQ(0, pthread_create(&thread, &attr, on_a_stack, p));
		EXPECT_EQ(0, pthread_join(thread, &ret));
		EXPECT_EQ(p, ret);
		ASSERT_EQ(0, munmap(p, size + guard));
	}
}

/* Nothing but an old page table: the unit goes back. */
TEST_F(som, goes_back)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, som_page_backed(self->fd, p, UNIT));
	WRITE_ONCE(p[0], p[0]);
	ASSERT_EQ(0, som_pool_backed(self->fd, p, UNIT));
	WRITE_ONCE(p[0], p[0]);
	EXPECT_EQ(1, wait_2m(self->fd, p, UNIT, 1));
	EXPECT_EQ(0, units_page_backed());
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
}

/* The boundary goes: one VMA covers the unit again. */
TEST_F(som, goes_back_when_joined)
{
	char *p = guard_later(self->fd, false);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, som_read_signal(p));
	EXPECT_EQ(1, units_page_backed());
	ASSERT_EQ(0, mprotect(p + GUARD, PAGE, RW));
	ASSERT_EQ(p, mmap(p, UNIT, RW, MAP_SHARED | MAP_FIXED, self->fd,
			  SOM_MMAP_JOIN));
	EXPECT_EQ(1, wait_2m(self->fd, p, UNIT, 1));
	EXPECT_EQ(0, units_page_backed());
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
}

/* Who has asked for it keeps it. */
TEST_F(som, stays_when_asked_for)
{
	char *p = guard_later(self->fd, false);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, som_read_signal(p));
	EXPECT_EQ(1, units_page_backed());
	ASSERT_EQ(0, som_page_backed(self->fd, p, UNIT));
	ASSERT_EQ(0, mprotect(p, UNIT, RW));
	som_fill(p, UNIT, 1);
	sleep(3);
	EXPECT_EQ(1, units_page_backed());
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
}

/* Beyond the limit memory is as without the policy; a worker makes up for it. */
TEST_F(som, limits)
{
	char *p, *q;

	ASSERT_EQ(0, som_write_string(MAX_PINNABLE, "0"));
	p = guard_later(self->fd, true);
	q = guard_first(self->fd, false);
	ASSERT_EQ(0, som_write_string(MAX_PINNABLE, "512"));
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_EQ(0, som_write_string(MAX_PINNABLE, "0"));
	EXPECT_EQ(0, som_read_signal(p));
	EXPECT_EQ(0, units_page_backed());
	EXPECT_NE(0, try_futex(p));
	EXPECT_NE(0, try_futex(q));
	EXPECT_EQ(-1, som_check(p, GUARD, 1));
	ASSERT_EQ(0, som_write_string(MAX_PINNABLE, "512"));
	/* The next touch that finds no entry. */
	ASSERT_EQ(0, mprotect(p + 300 * PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(q + 300 * PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, madvise(q, GUARD, MADV_DONTNEED));
	EXPECT_EQ(0, som_read_signal(q));
	EXPECT_LE(1, som_wait_number(units_page_backed, 1));
	every_pin(_metadata, q, "after the limit");
	EXPECT_EQ(-1, som_check(q, GUARD, 1));
	EXPECT_EQ(-1, som_check(p, GUARD, 1));
}

/* A pin on the chunk is in the way of moving it, for as long as it is there. */
TEST_F(som, pinned_meanwhile)
{
	char *p = som_map(self->fd, 2 * UNIT), buf[PAGE];
	struct iovec iov = { p + UNIT, PAGE };
	int fds[2];

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	ASSERT_EQ(0, mprotect(p + GUARD, PAGE, PROT_NONE));
	EXPECT_EQ(0, som_read_signal(p));
	EXPECT_EQ(0, units_page_backed());
	EXPECT_EQ(0, som_try_write(p + AT, som_word(1, AT)));
	ASSERT_EQ(PAGE, read(fds[0], buf, PAGE));
	EXPECT_EQ(som_word(1, UNIT), *(__u64 *)buf);
	/* A worker tries again. */
	EXPECT_EQ(1, som_wait_number(units_page_backed, 1));
	every_pin(_metadata, p, "after the pin");
	EXPECT_EQ(-1, som_check(p, GUARD, 1));
	close(fds[0]);
	close(fds[1]);
}

/* Parent and child: the child's copy needs 4 KiB entries, too. */
TEST_F(som, fork_copies)
{
	int fds[2];
	size_t i;
	pid_t pid;

	ASSERT_EQ(0, set_options(self->fd, UNIT, SOM_POLICY_PAGE_BACKED |
						 SOM_POLICY_FORK_COPY));
	for (i = 0; i < 4; i++) {
		char *p = i % 2 ? guard_later(self->fd, i / 2) :
				  guard_first(self->fd, i / 2);
		struct iovec iov = { p + AT, PAGE };
		char buf[PAGE];

		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(0, som_read_signal(p));
		ASSERT_EQ(0, pipe(fds));
		/* One page is pinned while it is forked. */
		ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
		pid = fork();
		if (!pid) {
			child_assert(som_check(p, GUARD, 1) == -1);
			child_assert(!try_futex(p));
			child_assert(!try_vmsplice(p));
			child_assert(!try_process_vm(p));
			child_assert(som_wait_number(units_page_backed, 2) == 2);
			som_fill(p, GUARD, 3);
			WRITE_ONCE(p[AT], 3);
			_exit(0);
		}
		ASSERT_LT(0, pid);
		EXPECT_EQ(0, som_wait_child(pid));
		EXPECT_EQ(-1, som_check(p, GUARD, 1));
		every_pin(_metadata, p, "parent");
		ASSERT_EQ(PAGE, read(fds[0], buf, PAGE));
		EXPECT_EQ(som_word(1, AT), *(__u64 *)buf);
		close(fds[0]);
		close(fds[1]);
		ASSERT_EQ(0, munmap(p, UNIT));
		EXPECT_EQ(0, som_wait_number(units_page_backed, 0));
	}
}

/*
 * What is pinned lives on by its own reference; the memory is as it has to be. The unit is
 * given up as a whole: parts are zeroed where they are, for the pin, too.
 */
TEST_F(som, pins_outlive)
{
	size_t how;

	for (how = 0; how < 5; how++) {
		char *p = small_entries(self->fd, how >= 2);
		struct iovec iov = { p + AT, PAGE };
		char buf[PAGE];
		int fds[2];

		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(0, som_read_signal(p));
		EXPECT_EQ(1, units_page_backed());
		ASSERT_EQ(0, pipe(fds));
		ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
		switch (how) {
		case 0:
		case 2:
			ASSERT_EQ(0, munmap(p, UNIT));
			break;
		case 1:
		case 3:
			ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
			EXPECT_EQ(-1, som_not_zero(p, GUARD));
			break;
		case 4:
			ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
			EXPECT_EQ(-1, som_not_zero(p, GUARD));
			EXPECT_EQ(0, *(__u64 *)(p + AT));
			break;
		}
		ASSERT_EQ(PAGE, read(fds[0], buf, PAGE));
		EXPECT_EQ(som_word(1, AT), *(__u64 *)buf);
		close(fds[0]);
		close(fds[1]);
		munmap(p, UNIT);
		EXPECT_EQ(0, som_wait_number(units_page_backed, 0));
		EXPECT_USED_SOON(0);
	}
}

/* The kernel takes write access away (clear_refs), and gives it back. */
TEST_F(som, soft_dirty)
{
	size_t i;

	for (i = 0; i < 4; i++) {
		char *p = guard_later(self->fd, i % 2);

		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(0, som_read_signal(p));
		ASSERT_EQ(1, units_page_backed());
		/* In a tracked kind of mapping, too. */
		if (i >= 2)
			ASSERT_LE(0, som_scan_clean(self->fd, p, UNIT));
		if (som_write_string("/proc/self/clear_refs", "4"))
			SKIP(return, "no clear_refs");
		som_fill(p, GUARD, 2);
		ASSERT_EQ(0, mprotect(p + AT, PAGE, PROT_READ));
		ASSERT_EQ(0, mprotect(p + AT, PAGE, RW));
		som_fill(p + AT, UNIT - AT, 2);
		EXPECT_EQ(-1, som_check(p, GUARD, 2));
		EXPECT_EQ(-1, som_check(p + AT, UNIT - AT, 2));
		ASSERT_EQ(0, munmap(p, UNIT));
		EXPECT_EQ(0, som_wait_number(units_page_backed, 0));
	}
}

/* Others write and discard while units are cut and covered, again and again. */
static char *shared_p;
static int stop;

static void *writes(void *arg)
{
	unsigned long n = 0;

	while (!READ_ONCE(stop)) {
		__u64 *word = (__u64 *)(shared_p + AT + (n % 400) * PAGE);
		__u64 old = READ_ONCE(*word);

		WRITE_ONCE(*word, old + 1);
		if (READ_ONCE(*word) != old + 1)
			return (void *)1;
		n++;
	}
	return NULL;
}

static void *pins_it(void *arg)
{
	char buf[PAGE];

	while (!READ_ONCE(stop)) {
		struct iovec iov = { shared_p + UNIT - PAGE, PAGE };
		int fds[2];

		if (pipe(fds))
			return (void *)2;
		if (vmsplice(fds[1], &iov, 1, 0) == PAGE &&
		    read(fds[0], buf, PAGE) != PAGE)
			return (void *)3;
		close(fds[0]);
		close(fds[1]);
	}
	return NULL;
}

TEST_F(som, writers_lose_nothing)
{
	double end = som_now() + som_seconds(4, 4);
	pthread_t a, b;
	void *ret;
	long rounds = 0;

	som_all_cpus();
	shared_p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, shared_p);
	som_fill(shared_p, UNIT, 1);
	ASSERT_EQ(0, pthread_create(&a, NULL, writes, NULL));
	ASSERT_EQ(0, pthread_create(&b, NULL, pins_it, NULL));
	while (som_now() < end) {
		ASSERT_EQ(0, mprotect(shared_p + GUARD, PAGE,
				      rounds % 2 ? RW : PROT_NONE));
		som_pool_backed(self->fd, shared_p, UNIT);
		madvise(shared_p, GUARD, MADV_DONTNEED);
		rounds++;
	}
	WRITE_ONCE(stop, 1);
	EXPECT_EQ(0, pthread_join(a, &ret));
	EXPECT_EQ(NULL, ret);
	EXPECT_EQ(0, pthread_join(b, &ret));
	EXPECT_EQ(NULL, ret);
	EXPECT_EQ(-1, som_check(shared_p, GUARD, 1));
}

/* The only written pages are those of one run. */
static void only_written(struct __test_metadata *_metadata, int fd, char *p,
			 size_t first, size_t nr, const char *what)
{
	struct page_region vec[4] = {};
	long n = som_scan_written(fd, p, UNIT, WP, vec, 4);

	EXPECT_EQ(nr ? 1 : 0, n)
		TH_LOG("%s", what);
	if (n <= 0 || !nr)
		return;
	EXPECT_EQ(som_addr(p + first * PAGE), vec[0].start)
		TH_LOG("%s", what);
	EXPECT_EQ(som_addr(p + (first + nr) * PAGE), vec[0].end)
		TH_LOG("%s", what);
}

/* io_uring gives pins back when it comes to it; nothing is written then. */
static bool becomes_clean(int fd, char *p)
{
	double end = som_now() + SOM_WAIT_SECONDS;
	struct page_region vec;

	while (som_scan_written(fd, p, UNIT, WP, &vec, 1)) {
		if (som_now() > end)
			return false;
		usleep(1000);
	}
	return true;
}

/* A device reads, and writes later, by a pin that lasts. */
static void pinned_is_written(struct __test_metadata *_metadata, int fd, char *p)
{
	int file = memfd_create("som", 0), ret;
	struct uring u;
	__u64 word = 77;

	ASSERT_EQ(8, pwrite(file, &word, 8, 0));
	ret = uring_open(&u);
	ASSERT_EQ(0, ret);
	ret = uring_register(&u, p + 40 * PAGE, 2 * PAGE);
	/* There, tracked memory is of the kind that the kernel refuses it for. */
	if (som_debug_kernel()) {
		EXPECT_EQ(-EFAULT, ret);
	} else {
		ASSERT_EQ(0, ret);
		only_written(_metadata, fd, p, 40, 2, "registered");
		EXPECT_EQ(8, uring_fixed(&u, IORING_OP_READ_FIXED, file,
					 p + 41 * PAGE, 8));
		EXPECT_EQ(77, READ_ONCE(*(__u64 *)(p + 41 * PAGE)));
		only_written(_metadata, fd, p, 40, 2, "written by the device");
		EXPECT_EQ(0, som_reset_zero(fd, p, UNIT));
		EXPECT_EQ(0, READ_ONCE(*(__u64 *)(p + 41 * PAGE)));
		EXPECT_EQ(8, uring_fixed(&u, IORING_OP_READ_FIXED, file,
					 p + 41 * PAGE, 8));
		only_written(_metadata, fd, p, 40, 2, "after a reset");
		/* What it wrote last is reported, and then no more. */
		EXPECT_EQ(0, uring_unregister(&u));
		only_written(_metadata, fd, p, 40, 2, "pinned before");
		EXPECT_TRUE(becomes_clean(fd, p));
	}
	uring_close(&u);
	close(file);
}

/* A scan is exact to the page, whoever writes, as on anonymous memory. */
static void tracked_exactly(struct __test_metadata *_metadata, int fd, char *p)
{
	char buf[PAGE];
	struct iovec iov = { p + AT, PAGE };
	struct iovec local = { buf, 8 }, remote = { p + 30 * PAGE, 8 };
	int fds[2], mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	size_t i;

	EXPECT_EQ(1, units_page_backed());
	EXPECT_TRUE(becomes_clean(fd, p));
	WRITE_ONCE(*(__u64 *)(p + AT), som_word(1, AT));
	only_written(_metadata, fd, p, AT / PAGE, 1, "stored");
	for (i = 0; i < UNIT; i += PAGE)
		if (i < GUARD || i >= GUARD + PAGE)
			READ_ONCE(p[i]);
	only_written(_metadata, fd, p, 0, 0, "read");
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	only_written(_metadata, fd, p, 0, 0, "pinned to be read");
	ASSERT_EQ(PAGE, read(fds[0], buf, PAGE));
	ASSERT_EQ(8, process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
	only_written(_metadata, fd, p, 30, 1, "process_vm_writev");
	ASSERT_EQ(8, pwrite(mem, buf, 8, som_addr(p) + 50 * PAGE));
	only_written(_metadata, fd, p, 50, 1, "/proc/PID/mem");
	/* The kernel copies to it. */
	ASSERT_EQ(8, write(fds[1], buf, 8));
	ASSERT_EQ(8, read(fds[0], p + 60 * PAGE, 8));
	only_written(_metadata, fd, p, 60, 1, "read(2)");
	pinned_is_written(_metadata, fd, p);
	EXPECT_EQ(1, units_page_backed());
	/* What is written without access for a while. */
	ASSERT_EQ(0, mprotect(p, GUARD, PROT_READ));
	ASSERT_EQ(0, mprotect(p, GUARD, RW));
	som_scan_clean(fd, p, UNIT);
	only_written(_metadata, fd, p, 0, 0, "after mprotect");
	WRITE_ONCE(p[70 * PAGE], 1);
	only_written(_metadata, fd, p, 70, 1, "stored after mprotect");
	EXPECT_EQ(0, som_reset_zero(fd, p, UNIT));
	only_written(_metadata, fd, p, 0, 0, "reset");
	close(fds[0]);
	close(fds[1]);
	close(mem);
}

static char *tracked_hole(int fd, bool private)
{
	char *p = map_of(fd, private, UNIT);

	if (p == MAP_FAILED || som_scan_clean(fd, p, UNIT))
		return MAP_FAILED;
	som_fill(p, UNIT, 1);
	return p;
}

/* It has memory, and a 2 MiB entry, when it comes to be tracked. */
static char *tracked_later(int fd, bool private)
{
	char *p = map_of(fd, private, UNIT);

	if (p == MAP_FAILED)
		return p;
	som_fill(p, UNIT, 1);
	if (som_scan_clean(fd, p, UNIT) < 0)
		return MAP_FAILED;
	/* First it is read. */
	som_read_signal(p);
	WRITE_ONCE(*(__u64 *)(p + AT), som_word(1, AT));
	return p;
}

static char *tracked_cut(int fd, bool private)
{
	char *p = guard_later(fd, private);

	if (p == MAP_FAILED || som_read_signal(p) ||
	    som_scan_clean(fd, p, UNIT) < 0)
		return MAP_FAILED;
	som_fill(p, GUARD, 1);
	return p;
}

static const struct shape tracked_shapes[] = {
	{ "a hole, tracked", tracked_hole, UNIT },
	{ "tracked later", tracked_later, UNIT },
	{ "cut, then tracked", tracked_cut, UNIT },
};

/* What is tracked and written takes every access, and scans stay exact. */
TEST_F(som, tracked)
{
	size_t i;
	char *p;

	for (i = 0; i < 2 * ARRAY_SIZE(tracked_shapes); i++) {
		const struct shape *shape = &tracked_shapes[i / 2];

		p = shape->map(self->fd, i % 2);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(-1, som_check(p, GUARD, 1))
			TH_LOG("%s", shape->name);
		if (!som_debug_kernel())
			every_pin(_metadata, p, shape->name);
		tracked_exactly(_metadata, self->fd, p);
		ASSERT_EQ(0, munmap(p, UNIT));
		EXPECT_EQ(0, som_wait_number(units_page_backed, 0));
		EXPECT_USED_SOON(0);
	}
}

/* Units that are clean, or a child has, keep 2 MiB entries; mprotect() opens none. */
TEST_F(som, readonly_stays_so)
{
	size_t i;
	pid_t pid;

	ASSERT_EQ(0, set_options(self->fd, UNIT, SOM_POLICY_PAGE_BACKED |
						 SOM_POLICY_FORK_COPY));
	for (i = 0; i < 4; i++) {
		char *p = map_of(self->fd, i % 2, 2 * UNIT);
		int fds[2];
		char c;

		ASSERT_NE(MAP_FAILED, p);
		som_fill(p, 2 * UNIT, 1);
		if (i < 2) {
			ASSERT_LE(0, som_scan_clean(self->fd, p, 2 * UNIT));
			EXPECT_EQ(0, som_read_signal(p));
			EXPECT_EQ(0, units_page_backed());
			ASSERT_EQ(0, mprotect(p, 2 * UNIT, PROT_READ));
			EXPECT_EQ(0, som_read_signal(p));
			ASSERT_EQ(0, mprotect(p, 2 * UNIT, RW));
			WRITE_ONCE(p[AT], 1);
			WRITE_ONCE(p[UNIT + AT], 1);
			only_written(_metadata, self->fd, p, AT / PAGE, 1, "clean");
			only_written(_metadata, self->fd, p + UNIT, AT / PAGE, 1,
				     "clean");
			ASSERT_EQ(0, munmap(p, 2 * UNIT));
			continue;
		}
		ASSERT_EQ(0, pipe(fds));
		pid = fork();
		if (!pid) {
			close(fds[1]);
			child_assert(read(fds[0], &c, 1) == 0);
			child_assert(som_check(p, 2 * UNIT, 1) == -1);
			_exit(0);
		}
		ASSERT_LT(0, pid);
		EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
		ASSERT_EQ(0, mprotect(p, 2 * UNIT, PROT_READ));
		EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
		ASSERT_EQ(0, mprotect(p, 2 * UNIT, RW));
		som_fill(p, 2 * UNIT, 2);
		close(fds[0]);
		close(fds[1]);
		EXPECT_EQ(0, som_wait_child(pid));
		/* And it can still be pinned for long. */
		som_fill(p, 2 * UNIT, 1);
		if (!som_debug_kernel())
			every_pin(_metadata, p, "after a fork");
		ASSERT_EQ(0, munmap(p, 2 * UNIT));
	}
}

/*
 * Whoever copies what scans report has everything in the end: threads store, and let the
 * kernel write by pins, while pages are cleaned.
 */
#define SCANNED	128

static __u64 *scanned_word(size_t page)
{
	return (__u64 *)(shared_p + page * PAGE);
}

static void *stores_all(void *arg)
{
	__u64 n = 0;

	while (!READ_ONCE(stop)) {
		WRITE_ONCE(*scanned_word(n % SCANNED), n);
		n++;
	}
	return NULL;
}

static void *pins_all(void *arg)
{
	__u64 n = 0;

	while (!READ_ONCE(stop)) {
		struct iovec local = { &n, 8 };
		struct iovec remote = { scanned_word(n % SCANNED) + 1, 8 };

		if (process_vm_writev(getpid(), &local, 1, &remote, 1, 0) != 8)
			return (void *)1;
		n++;
	}
	return NULL;
}

/* Pins that last: a page is spliced out, and given back later. */
static void *dma_all(void *arg)
{
	int file = memfd_create("som", 0);
	struct uring u;
	__u64 n = 0;
	bool fixed;

	if (uring_open(&u))
		return (void *)2;
	while (!READ_ONCE(stop)) {
		char *page = (char *)scanned_word(n % SCANNED);

		if (pwrite(file, &n, 8, 0) != 8)
			return (void *)3;
		fixed = !uring_register(&u, page, PAGE);
		/* There, only the kernel's fast path pins tracked memory for long. */
		if (!fixed && !som_debug_kernel())
			return (void *)4;
		if (uring_fixed(&u, fixed ? IORING_OP_READ_FIXED : IORING_OP_READ,
				file, page + 16, 8) != 8)
			return (void *)5;
		if (fixed)
			uring_unregister(&u);
		n++;
	}
	uring_close(&u);
	close(file);
	return NULL;
}

static long copy_reported(int fd, char *copy)
{
	struct page_region vec[SCANNED];
	long n = som_scan_written(fd, shared_p, UNIT, WP, vec, SCANNED), i;

	for (i = 0; i < n; i++)
		memcpy(copy + (vec[i].start - som_addr(shared_p)),
		       (char *)(uintptr_t)vec[i].start, vec[i].end - vec[i].start);
	return n;
}

TEST_F(som, scans_lose_nothing)
{
	static void *(* const writers[])(void *) = {
		stores_all, pins_all, dma_all
	};
	double end = som_now() + som_seconds(6, 6);
	pthread_t threads[ARRAY_SIZE(writers)];
	char *copy = malloc(UNIT);
	long rounds = 0, n, ret;
	size_t i;
	void *err;

	som_all_cpus();
	WRITE_ONCE(stop, 0);
	shared_p = tracked_hole(self->fd, true);
	ASSERT_NE(MAP_FAILED, shared_p);
	ASSERT_NE(NULL, copy);
	ASSERT_EQ(1, units_page_backed());
	for (i = 0; i < ARRAY_SIZE(writers); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, writers[i], NULL));
	while (som_now() < end) {
		ret = copy_reported(self->fd, copy);
		if (ret < 0)
			break;
		rounds++;
	}
	ASSERT_LE(0, ret);
	WRITE_ONCE(stop, 1);
	for (i = 0; i < ARRAY_SIZE(writers); i++) {
		EXPECT_EQ(0, pthread_join(threads[i], &err));
		EXPECT_EQ(NULL, err)
			TH_LOG("writer %zu", i);
	}
	/* io_uring gives pins back a little later. */
	while ((n = copy_reported(self->fd, copy)) > 0 &&
	       som_now() < end + SOM_WAIT_SECONDS)
		usleep(1000);
	EXPECT_EQ(0, n);
	EXPECT_LT(10, rounds);
	EXPECT_EQ(0, memcmp(copy, shared_p, UNIT));
	EXPECT_EQ(1, units_page_backed());
	free(copy);
}

TEST_HARNESS_MAIN
