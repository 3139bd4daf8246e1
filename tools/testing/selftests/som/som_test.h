/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of /dev/som share: opening and mapping, the pool's numbers in
 * sysfs, a process's numbers in fdinfo, marks in memory, touching an address
 * that may raise a signal, and the fixture that watches the pool. som_test.c has the
 * functions.
 *
 * A test's memory must be back in the pool when its process is gone, so the
 * fixture's teardown runs in the parent of the test and compares with what the
 * pool held at setup. Programs run one after another: the numbers are exact.
 */
#ifndef SOM_TEST_H
#define SOM_TEST_H

/* Everything said goes where the results go. */
#define TH_LOG_STREAM stdout

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/som.h>

/* A program of several files has the harness in none of them. */
#ifdef SOM_TEST_NO_HARNESS
#include "kselftest.h"
#else
#include "kselftest_harness.h"

/* The emulated processor of a busy machine is slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 240
#endif

#define SOM_DEV		"/dev/som"
#define SOM_SYSFS	"/sys/class/misc/som/"
#define HUGE_1G		"/sys/kernel/mm/hugepages/hugepages-1048576kB/"

#define UNIT		SOM_UNIT_SIZE
#define CHUNK_UNITS	512UL
#define CHUNK		(CHUNK_UNITS * UNIT)
#define PAGE		4096UL

#define RW		(PROT_READ | PROT_WRITE)

/* Memory that others change, and accesses that are there to be made. */
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, value)	__atomic_store_n(&(x), (value), __ATOMIC_RELAXED)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

/* In a child or a thread's process: say what was wrong, and exit. */
#define child_assert(cond)						\
	do {								\
		if (!(cond)) {						\
			dprintf(STDOUT_FILENO,				\
				"# %s:%d: in child %d: %s (errno %d)\n",\
				__FILE__, __LINE__, getpid(), #cond,	\
				errno);					\
			_exit(KSFT_FAIL);				\
		}							\
	} while (0)

bool som_debug_kernel(void);

/*
 * mremap from length 0, and MREMAP_DONTUNMAP, make a second mapping of shared memory.
 * Where the kernel checks page tables, as the debug kernel does, som refuses that.
 */
static inline bool som_no_second_view(void)
{
	return som_debug_kernel();
}

bool som_cloud_kernel(void);
double som_seconds(double generic, double debug);

/*
 * Long tables of which the generic kernel does all are gone through in part where
 * everything is slow, and where it is much the same kernel; SOM_ALL=1: in full.
 */
static inline bool som_in_part(void)
{
	return (som_debug_kernel() || som_cloud_kernel()) && !getenv("SOM_ALL");
}

/* By how many rows such a loop goes on. */
static inline size_t som_stride(void)
{
	return som_in_part() ? 2 : 1;
}

int som_rounds(int rounds);
void som_one_cpu(void);
void som_all_cpus(void);
double som_now(void);

/*
 * Files with one number
 */

long som_read_number(const char *path);

long som_number(const char *path);
int som_write_string(const char *path, const char *text);
long som_pool(const char *name);
int som_set_chunks(long chunks);

static inline long som_free_hugepages(void)
{
	return som_number(HUGE_1G "free_hugepages");
}

static inline long som_used(void)
{
	return som_pool("units_used");
}

static inline long som_free(void)
{
	return som_pool("units_free");
}

static inline long som_committed(void)
{
	return som_pool("units_committed");
}

/**
 * struct som_state - what must be the same before and after a test
 */
struct som_state {
	long chunks, total, free, used, quarantined, committed, hugepages;
	long empty, page_backed;	/* -1 where som.ko does not have them */
};

void som_state_read(struct som_state *s);
bool som_state_same(const struct som_state *a);

/*
 * How long to wait for what comes by itself, in seconds. The processors of an emulated
 * machine may stand still for some of them.
 */
#define SOM_WAIT_SECONDS	60

bool som_state_wait(const struct som_state *s);
long som_wait_number(long (*read_it)(void), long want);

/*
 * The device and its memory
 */

static inline int som_open(void)
{
	return open(SOM_DEV, O_RDWR | O_CLOEXEC);
}

static inline char *som_map_at(int fd, void *addr, size_t len, int prot,
			       int flags)
{
	return mmap(addr, len, prot, MAP_SHARED | flags, fd, 0);
}

static inline char *som_map(int fd, size_t len)
{
	return som_map_at(fd, NULL, len, RW, 0);
}

char *som_room(size_t len, size_t align);

/* MAP_PRIVATE: MADV_DONTNEED makes it zero. */
static inline char *som_map_private_at(int fd, void *addr, size_t len, int prot,
				       int flags)
{
	return mmap(addr, len, prot, MAP_PRIVATE | flags, fd, 0);
}

static inline char *som_map_private(int fd, size_t len)
{
	return som_map_private_at(fd, NULL, len, RW, 0);
}

static inline bool som_aligned(const void *p, size_t align)
{
	return !((uintptr_t)p & (align - 1));
}

int som_get_info(int fd, struct som_info *info);
long som_fdinfo(pid_t pid, int fd, pid_t owner, const char *key);

static inline long som_units_2m(int fd)
{
	return som_fdinfo(getpid(), fd, getpid(), "units-2M");
}

static inline long som_units_4k(int fd)
{
	return som_fdinfo(getpid(), fd, getpid(), "units-4K");
}

static inline long som_units_1g(int fd)
{
	return som_fdinfo(getpid(), fd, getpid(), "units-1G");
}

int som_get_policy(int fd, __u64 *map_size);
int som_set_policy(int fd, __u64 map_size);
long som_setting(const char *name, long value);
long som_zero_stop(void);
int som_range_call(int fd, unsigned long call, const void *start, size_t len,
		   __u64 *walk_end);

static inline int som_page_backed(int fd, const void *start, size_t len)
{
	return som_range_call(fd, SOM_IOC_PAGE_BACKED, start, len, NULL);
}

static inline int som_pool_backed(int fd, const void *start, size_t len)
{
	return som_range_call(fd, SOM_IOC_POOL_BACKED, start, len, NULL);
}

int som_compact(long chunks);

/*
 * What a som.ko may not have. Return: NULL if it has it, or what to say.
 */

const char *som_no_private(int fd);
const char *som_no_policy(int fd);

static inline const char *som_no_compact(int fd)
{
	return access(SOM_SYSFS "compact", F_OK) ?
		"this som.ko does not have compact in sysfs" : NULL;
}

static inline const char *som_no_pinnable(int fd)
{
	return som_pool_backed(fd, NULL, 0) == -ENOTTY ?
		"this som.ko does not have SOM_IOC_PAGE_BACKED" : NULL;
}

/*
 * Where memory is
 */

long som_chunk_of(pid_t pid, const void *p);

/*
 * Marks: every word says whose it is and where it was written
 */

static inline __u64 som_word(__u64 mark, size_t offset)
{
	return mark * 0x9e3779b97f4a7c15ULL + offset + 1;
}

void som_fill(void *p, size_t len, __u64 mark);
long som_check(const void *p, size_t len, __u64 mark);
void som_fill_pages(void *p, size_t len, __u64 mark);
long som_check_pages(const void *p, size_t len, __u64 mark);
long som_not_zero(const void *p, size_t len);
long som_pages_not_zero(const void *p, size_t len);
void som_touch_units(char *p, size_t len);

/*
 * Touching what may raise a signal
 */

/* Where the handler jumps to, if it is armed. */
extern __thread sigjmp_buf som_fault_env;
extern __thread int som_fault_armed;

void som_catch_faults(void);
int som_try_read(const void *p, __u64 *value);
int som_try_write(void *p, __u64 value);
int som_read_signal(const void *p);

/*
 * Children
 */

int som_wait_child(pid_t pid);
int som_wait_child_for(pid_t pid, double seconds);

/* A flag or a counter that parent and children see. */
static inline void *som_shared(size_t len)
{
	return mmap(NULL, len, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

bool som_wait_flag(int *flag, int value);

/*
 * Threads that work beside something else
 */

#define SOM_MAX_RACERS	8

struct som_race {
	int fd;
	char *mem, *other;
	size_t len;
	double seconds;
	int stop;
	long bad, rounds;
};

struct som_racer {
	struct som_race *race;
	int nr;
};

static inline void som_bad(struct som_race *race, bool bad)
{
	if (bad)
		__atomic_fetch_add(&race->bad, 1, __ATOMIC_RELAXED);
}

static inline void som_round(struct som_race *race)
{
	__atomic_fetch_add(&race->rounds, 1, __ATOMIC_RELAXED);
}

/* How long they run by default. */
static inline double som_race_seconds(void)
{
	return som_seconds(0.7, 0.7);
}

static inline double som_race_end(const struct som_race *race)
{
	return som_now() + (race->seconds ? race->seconds : som_race_seconds());
}

/* Is a race to go on? Until @end, and however slow the machine is, for a round. */
static inline bool som_race_on(const struct som_race *race, double end)
{
	return som_now() < end || !READ_ONCE(race->rounds);
}

void som_just_wait(struct som_race *race);
int som_run_racers(struct som_race *race, int nr, void *(*fn)(void *racer),
		   void (*meanwhile)(struct som_race *race));

/*
 * The fixture
 */

#ifndef SOM_TEST_NO_HARNESS

/*
 * A program whose tests are all about one feature defines this once more, with a
 * value: a function that says what is missing, if anything is.
 */
static const char *(*som_missing)(int fd);

/* Likewise: a program most of whose tests are of one process. */
static bool som_one_process;

struct som_fixture {
	struct som_state before;
	pid_t pid;
	int fd;
};

static void som_fixture_setup(struct __test_metadata *_metadata,
			      struct som_fixture *self)
{
	const char *missing;

	self->pid = getpid();
	som_state_read(&self->before);
	ASSERT_LE(0, self->before.free)
		TH_LOG("no pool: is som.ko loaded?");
	ASSERT_EQ(self->before.total, self->before.free + self->before.used +
				      self->before.quarantined);
	if (som_one_process)
		som_one_cpu();
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
	missing = som_missing ? som_missing(self->fd) : NULL;
	if (missing)
		SKIP(return, "%s", missing);
}

static void som_fixture_teardown(struct __test_metadata *_metadata,
				 struct som_fixture *self)
{
	struct som_state now;

	/* After a failed ASSERT the harness may run this in the test itself. */
	if (getpid() == self->pid || som_state_wait(&self->before))
		return;
	som_state_read(&now);
	EXPECT_EQ(self->before.chunks, now.chunks);
	EXPECT_EQ(self->before.total, now.total);
	EXPECT_EQ(self->before.free, now.free);
	EXPECT_EQ(self->before.used, now.used);
	EXPECT_EQ(self->before.quarantined, now.quarantined);
	EXPECT_EQ(self->before.committed, now.committed);
	EXPECT_EQ(self->before.hugepages, now.hugepages);
	EXPECT_EQ(self->before.empty, now.empty);
	EXPECT_EQ(self->before.page_backed, now.page_backed);
}

/*
 * A fixture with the fields of struct som_fixture: the memory of a test is back in the
 * pool after it. One for each set of variants.
 */
#define SOM_FIXTURE(name...)						\
struct som_fixture;							\
FIXTURE(name)								\
{									\
	struct som_state before;					\
	pid_t pid;							\
	int fd;								\
};									\
									\
FIXTURE_SETUP(name)							\
{									\
	som_fixture_setup(_metadata, (struct som_fixture *)self);	\
}									\
									\
FIXTURE_TEARDOWN_PARENT(name)						\
{									\
	som_fixture_teardown(_metadata, (struct som_fixture *)self);	\
}

/* Tests without variants. */
SOM_FIXTURE(som)

/* A call that failed has changed nothing. */
#define EXPECT_UNCHANGED() EXPECT_TRUE(som_state_same(&self->before))

/* Compares the units held, and with them the free ones, with the baseline. */
#define EXPECT_USED(n) do {						\
	long __units = (n);						\
									\
	EXPECT_EQ(self->before.used + __units, som_used());		\
	EXPECT_EQ(self->before.free - __units, som_free());		\
} while (0)

/* The same for units that are freed a moment after they were given up. */
#define EXPECT_USED_SOON(n) do {					\
	long __want = self->before.used + (n);				\
									\
	EXPECT_EQ(__want, som_wait_number(som_used, __want));		\
} while (0)

#define EXPECT_COMMITTED(n)						\
	EXPECT_EQ(self->before.committed + (long)(n), som_committed())

#endif /* SOM_TEST_NO_HARNESS */

#endif /* SOM_TEST_H */
