// SPDX-License-Identifier: GPL-2.0
/*
 * Check the properties of anonymous private memory in three ways: on ordinary memory (to
 * verify the test itself), with the preloaded library and no device, and with the library
 * and memory from /dev/som. Prints TAP.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/som.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw.h"
#include "table.h"

#define UNIT	SOM_UNIT_SIZE
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)

static int som_fd = -1;
static bool on_som;
static int failures;

#define CHECK(cond) do {						\
	if (!(cond)) {							\
		printf("# line %d: %s (errno %d, %s)\n", __LINE__, #cond,\
		       errno, strerror(errno));				\
		failures++;						\
		return;							\
	}								\
} while (0)

/* Return: errno of a call that should fail; 0 if it succeeds. */
#define ERRNO(call)	(errno = 0, (call) == -1 ? errno : 0)
#define MAP_ERRNO(...)	ERRNO((long)mmap(__VA_ARGS__))

static struct som_info info(void)
{
	struct som_info i = { .size = sizeof(i) };

	if (som_fd >= 0 && ioctl(som_fd, SOM_IOC_INFO, &i))
		printf("# SOM_IOC_INFO: %s\n", strerror(errno));
	return i;
}

/* Return: bytes that this process has mapped on som; 0 if it should have none. */
static unsigned long som_bytes(void)
{
	return on_som ? info().mapped_bytes : 0;
}

static unsigned long if_som(unsigned long bytes)
{
	return on_som ? bytes : 0;
}

static unsigned long if_units(unsigned long nr)
{
	return on_som ? nr : 0;
}

/* Return: units of this process. */
static unsigned long units(void)
{
	struct som_info i = info();

	return i.units_2m + i.units_4k;
}

static bool all_are(const unsigned char *p, size_t len, unsigned char value)
{
	return p[0] == value && !memcmp(p, p + 1, len - 1);
}

static unsigned char *map(size_t len, int prot)
{
	return mmap(NULL, len, prot, ANON, -1, 0);
}

/* Return whether an address is readable, without touching it. */
static bool readable(const void *p)
{
	int fd[2];
	bool ok;

	if (pipe(fd))
		return false;
	ok = write(fd[1], p, 1) == 1;
	close(fd[0]);
	close(fd[1]);
	return ok;
}

/* Return whether mappings smaller than a unit are put on som. */
static bool small_on_som(void)
{
	const char *min = getenv("SOM_PRELOAD_MIN");

	return on_som && min && !strcmp(min, "64K");
}

static enum page_state state_at(unsigned long addr)
{
	unsigned long next;

	return table_run(addr, addr + PAGE, &next);
}

/* The part of a range that has the state of its first page ends there. */
static unsigned long run_end(unsigned long start, unsigned long end)
{
	unsigned long next;

	table_run(start, end, &next);
	return next;
}

#define GIB	(1UL << 30)

static void test_table(void)
{
	const unsigned long at = 100 * GIB, end = at + 3 * GIB;
	const unsigned long cut = at + GIB + 5 * UNIT + 7 * PAGE;

	/* Before there is a table, and where there is none. */
	CHECK(!table_any(0, ~(PAGE - 1), IS_OURS));
	CHECK(table_all(at, end, IS(PAGE_OTHER)) && !table_has_room(at, end));
	table_change(at, end, IS_ANY, PAGE_PROMISED);
	CHECK(table_open(true) && !table_any(at, end, IS_OURS));
	CHECK(table_has_room(at, end) && !table_has_room(at, 1UL << 48));
	CHECK(!table_has_room(at, at) && !table_has_room(at, 0));
	table_change(1UL << 50, (1UL << 50) + UNIT, IS_ANY, PAGE_PROMISED);
	CHECK(state_at(1UL << 50) == PAGE_OTHER);

	table_change(at, end, IS_ANY, PAGE_RESERVED);
	CHECK(table_all(at, end, IS(PAGE_RESERVED)) && !table_all(at, at, IS_ANY));
	CHECK(!table_all(at, end + PAGE, IS_OURS) && table_any(0, at + PAGE, IS_OURS));
	CHECK(!table_any(0, at, IS_OURS) && !table_any(end, 1UL << 47, IS_OURS));
	CHECK(run_end(at - PAGE, end) == at && run_end(at, end + GIB) == end);
	/* One page, then what is around it. */
	table_change(cut, cut + PAGE, IS(PAGE_RESERVED), PAGE_PROMISED);
	CHECK(state_at(cut) == PAGE_PROMISED && state_at(cut - PAGE) == PAGE_RESERVED);
	CHECK(run_end(at, end) == cut && run_end(cut, end) == cut + PAGE);
	CHECK(run_end(cut + PAGE, end) == end && table_all(at, end, IS_OURS));
	CHECK(table_any(at, end, IS(PAGE_PROMISED)));
	CHECK(!table_any(at, cut, IS(PAGE_PROMISED)));
	/* Only some states change. */
	table_change(at, end, IS(PAGE_PROMISED), PAGE_LEAVING);
	CHECK(state_at(cut) == PAGE_LEAVING && !table_all(at, end, IS_OURS));
	table_change(at, end, IS(PAGE_LEAVING), PAGE_OTHER);
	CHECK(state_at(cut) == PAGE_OTHER && run_end(cut + PAGE, end) == end);
	table_change(cut - 40 * PAGE, cut + 70 * PAGE, IS_OURS, PAGE_OTHER);
	CHECK(run_end(cut - 40 * PAGE, end) == cut + 70 * PAGE);
	CHECK(run_end(at, end) == cut - 40 * PAGE);
	table_change(at + UNIT, end, IS_ANY, PAGE_PROMISED);
	CHECK(run_end(at, end) == at + UNIT && run_end(at + UNIT, end) == end);
	table_change(0, 1UL << 47, IS_ANY, PAGE_OTHER);
	CHECK(!table_any(0, 1UL << 47, ~IS(PAGE_OTHER)));
}

static void test_table_cuts(void)
{
	const unsigned long at = 300 * GIB + 5 * PAGE, end = at + UNIT;

	CHECK(!table_cuts() && !table_is_cut(at));
	table_change(at, end, IS_ANY, PAGE_PROMISED);
	table_cut(at + PAGE);
	table_cut(at + PAGE);
	table_cut(at + 100 * PAGE);
	table_cut(end - PAGE);
	CHECK(table_cuts() == 3 && table_is_cut(at + PAGE));
	CHECK(!table_is_cut(at) && !table_is_cut(at + 2 * PAGE));
	CHECK(table_is_cut(end - PAGE) && table_all(at, end, IS(PAGE_PROMISED)));
	CHECK(run_end(at, end) == end);
	CHECK(table_next_cut(at, end) == at + PAGE);
	CHECK(table_next_cut(at + PAGE, end) == at + 100 * PAGE);
	CHECK(table_next_cut(at + 100 * PAGE, at + 101 * PAGE) == at + 101 * PAGE);
	CHECK(table_next_cut(at + 100 * PAGE, end) == end - PAGE);
	CHECK(table_next_cut(end - PAGE, end) == end);
	/* Borders of units are found, and do not count. */
	table_cut(300 * GIB + UNIT);
	CHECK(table_is_cut(300 * GIB + UNIT) && table_cuts() == 3);
	CHECK(table_next_cut(at + 100 * PAGE, end) == 300 * GIB + UNIT);
	/* What leaves takes its own along, and that at its end. */
	table_change(at, at + 10 * PAGE, IS_ANY, PAGE_LEAVING);
	CHECK(table_cuts() == 3);
	table_change(at, at + 10 * PAGE, IS(PAGE_LEAVING), PAGE_PROMISED);
	CHECK(table_cuts() == 3);
	table_change(at + 20 * PAGE, at + 100 * PAGE, IS_ANY, PAGE_OTHER);
	CHECK(table_cuts() == 2 && !table_is_cut(at + 100 * PAGE));
	table_change(at, end, IS_ANY, PAGE_OTHER);
	CHECK(!table_cuts() && !table_any(at, end, IS_OURS));
}

/* Where memory runs out, less is known, and nothing that is wrong. */
static void test_table_full(void)
{
	unsigned long at = 200 * GIB, n;

	for (n = 0; table_has_room(at, at + PAGE); n++, at += GIB + UNIT)
		table_change(at, at + PAGE, IS_ANY, PAGE_PROMISED);
	CHECK(n > 1000 && state_at(at - GIB - UNIT) == PAGE_PROMISED);
	at = (at + GIB) & ~(GIB - 1);
	for (n = 0; n < 20; n++) {
		table_change(at, at + GIB, IS_ANY, PAGE_RESERVED);
		table_change(at + PAGE, at + UNIT, IS_OURS, PAGE_OTHER);
		CHECK(state_at(at + PAGE) == PAGE_OTHER);
		table_change(at + GIB, at + 2 * GIB, IS_ANY, PAGE_RESERVED);
		table_change(at + GIB + PAGE, at + GIB + UNIT, IS_OURS,
			     PAGE_PROMISED);
		CHECK(state_at(at + GIB + PAGE) == PAGE_PROMISED);
		at += 2 * GIB;
	}
	/* There was not even room for the level below any more. */
	CHECK(state_at(at - GIB) == PAGE_PROMISED);
	CHECK(state_at(at - 2 * GIB) == PAGE_OTHER);
	table_change(at, at + PAGE, IS_ANY, PAGE_RESERVED);
	CHECK(state_at(at) == PAGE_OTHER);
	table_change(0, 1UL << 47, IS_ANY, PAGE_OTHER);
	CHECK(!table_any(0, 1UL << 47, ~IS(PAGE_OTHER)));
}

static void *change_pages(void *arg)
{
	unsigned long at = 50 * GIB + (unsigned long)arg * PAGE, i, j;

	/* Every fourth page of the same words, each as often. */
	for (i = 0; i < 2000; i++)
		for (j = 0; j < 64; j += 4)
			table_change(at + j * PAGE, at + j * PAGE + PAGE, IS_ANY,
				     i % PAGE_STATES);
	return NULL;
}

static void test_table_threads(void)
{
	pthread_t threads[4];
	unsigned long i;

	for (i = 0; i < 4; i++)
		CHECK(!pthread_create(&threads[i], NULL, change_pages, (void *)i));
	for (i = 0; i < 4; i++)
		CHECK(!pthread_join(threads[i], NULL));
	i = 50 * GIB;
	CHECK(table_all(i, i + 64 * PAGE, IS(1999 % PAGE_STATES)));
	table_change(i, i + GIB, IS_ANY, PAGE_OTHER);
}

/* How many mappings of the process begin in a range? */
static size_t count_maps(unsigned long start, unsigned long end)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned long at;
	char line[512];
	size_t nr = 0;

	while (file && fgets(line, sizeof(line), file))
		nr += sscanf(line, "%lx-", &at) == 1 && at >= start && at < end;
	if (file)
		fclose(file);
	return nr;
}

static void test_where(void)
{
	unsigned long before = som_bytes();
	unsigned char *big, *small, *shared, *stack, *exec;

	big = map(2 * UNIT, RW);
	CHECK(big != MAP_FAILED);
	CHECK(som_bytes() == before + if_som(2 * UNIT));
	CHECK(!on_som || (unsigned long)big % UNIT == 0);
	small = map(UNIT / 2, RW);
	shared = mmap(NULL, UNIT, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stack = mmap(NULL, UNIT, RW, ANON | MAP_STACK, -1, 0);
	exec = map(UNIT, RW | PROT_EXEC);
	CHECK(small != MAP_FAILED && shared != MAP_FAILED);
	CHECK(stack != MAP_FAILED && exec != MAP_FAILED);
	CHECK(som_bytes() == before + if_som(2 * UNIT));
	CHECK(all_are(big, 2 * UNIT, 0));
	memset(big, 0x5a, 2 * UNIT);
	CHECK(all_are(big, 2 * UNIT, 0x5a));
	CHECK(!munmap(big, 2 * UNIT) && !munmap(small, UNIT / 2));
	CHECK(!munmap(shared, UNIT) && !munmap(stack, UNIT));
	CHECK(!munmap(exec, UNIT));
	CHECK(som_bytes() == before);
}

/* With a minimum below a unit: small mappings share units. */
static void test_small(void)
{
	unsigned long before = som_bytes(), size = UNIT / 4 + PAGE;
	unsigned char *p[20];
	size_t i;

	for (i = 0; i < 20; i++) {
		p[i] = map(size, RW);
		CHECK(p[i] != MAP_FAILED && all_are(p[i], size, 0));
		memset(p[i], i + 1, size);
	}
	CHECK(!small_on_som() || (som_bytes() >= before + 20 * size &&
				  som_bytes() <= before + 16 * UNIT));
	CHECK(!madvise(p[3], size, MADV_DONTNEED));
	for (i = 0; i < 20; i++)
		CHECK(all_are(p[i], size, i == 3 ? 0 : i + 1));
	p[3] = mremap(p[3], size, 2 * UNIT, MREMAP_MAYMOVE);
	CHECK(p[3] != MAP_FAILED && all_are(p[3], 2 * UNIT, 0));
	CHECK(!munmap(p[3], 2 * UNIT));
	CHECK(mmap(p[4], size, PROT_NONE, ANON | MAP_FIXED, -1, 0) == p[4]);
	CHECK(!readable(p[4]) && all_are(p[5], size, 6));
	for (i = 0; i < 20; i++)
		CHECK(i == 3 || !munmap(p[i], size));
	/* The rest of what they were cut from stays for the next. */
	CHECK(som_bytes() <= before + 4 * UNIT);
}

/*
 * An allocator maps more than it needs, and unmaps what does not fit its alignment:
 * neither holes nor mappings are left.
 */
static void test_small_aligned(void)
{
	const size_t size = UNIT / 2, align = 2 * PAGE, nr = 64;
	unsigned long low = ~0UL, high = 0, at, more;
	unsigned char *p[64];
	size_t i;

	for (i = 0; i < nr; i++) {
		p[i] = map(size + PAGE, RW);
		CHECK(p[i] != MAP_FAILED);
		at = (unsigned long)p[i];
		more = at % align;
		CHECK(!munmap(more ? p[i] : p[i] + size, PAGE));
		p[i] += more;
		CHECK(all_are(p[i], size, 0));
		memset(p[i], i + 1, size);
		at = (unsigned long)p[i];
		low = at < low ? at : low;
		high = at + size > high ? at + size : high;
	}
	if (small_on_som())
		CHECK(count_maps(low, high) <= nr * size / (4 * UNIT) + 4);
	for (i = 0; i < nr; i++)
		CHECK(all_are(p[i], size, i + 1));
	/* The last piece returns; the next one is at its address, without its bytes. */
	i = nr - 1;
	CHECK(!munmap(p[i], size));
	p[i] = map(size, RW);
	CHECK(p[i] != MAP_FAILED && all_are(p[i], size, 0));
	/* Not so what has other access, or is not dumped. */
	CHECK(!mprotect(p[i], PAGE, PROT_NONE) && !munmap(p[i], size));
	p[i] = map(size, RW);
	CHECK(p[i] != MAP_FAILED && all_are(p[i], size, 0));
	memset(p[i], 1, size);
	for (i = 0; i < nr; i++)
		CHECK(!munmap(p[i], size));
}

/* A guard page below a stack does not cut the units of the stack. */
static void test_guard(void)
{
	unsigned long before = info().units_2m;
	unsigned char *p = map(2 * UNIT + PAGE, RW);

	CHECK(p != MAP_FAILED && all_are(p, 2 * UNIT + PAGE, 0));
	CHECK(!madvise(p, 2 * UNIT + PAGE, MADV_DONTNEED));
	CHECK(!mprotect(p, PAGE, PROT_NONE));
	memset(p + PAGE, 5, 2 * UNIT);
	CHECK(!readable(p) && all_are(p + PAGE, 2 * UNIT, 5));
	CHECK(info().units_2m >= before + if_units(2));
	CHECK(!munmap(p, 2 * UNIT + PAGE));
}

static void test_munmap(void)
{
	unsigned long before = som_bytes();
	unsigned char *p = map(4 * UNIT, RW);

	CHECK(p != MAP_FAILED);
	memset(p, 1, 4 * UNIT);
	CHECK(!munmap(p + UNIT + PAGE, PAGE));
	CHECK(!readable(p + UNIT + PAGE));
	CHECK(readable(p + UNIT) && readable(p + UNIT + 2 * PAGE));
	CHECK(som_bytes() == before + if_som(4 * UNIT - PAGE));
	CHECK(!munmap(p, UNIT + PAGE / 2));
	CHECK(all_are(p + UNIT + 2 * PAGE, 3 * UNIT - 2 * PAGE, 1));
	CHECK(!munmap(p, 4 * UNIT));
	CHECK(som_bytes() == before);
	errno = 0;
	CHECK(munmap(p + 1, UNIT) == -1 && errno == EINVAL);
	CHECK(munmap(p, 0) == -1 && errno == EINVAL);
}

static void test_dontneed(void)
{
	unsigned char *p = map(4 * UNIT, RW);

	CHECK(p != MAP_FAILED);
	memset(p, 7, 4 * UNIT);
	CHECK(!madvise(p + UNIT, UNIT, MADV_DONTNEED));
	CHECK(all_are(p, UNIT, 7));
	CHECK(all_are(p + UNIT, UNIT, 0));
	CHECK(all_are(p + 2 * UNIT, 2 * UNIT, 7));
	/* One page, and a length that is not a number of pages. */
	CHECK(!madvise(p + 2 * UNIT + PAGE, PAGE - 1, MADV_DONTNEED));
	CHECK(all_are(p + 2 * UNIT + PAGE, PAGE, 0));
	CHECK(all_are(p + 2 * UNIT, PAGE, 7));
	CHECK(all_are(p + 2 * UNIT + 2 * PAGE, UNIT - 2 * PAGE, 7));
	/* Memory that cannot be accessed is emptied as well. */
	CHECK(!mprotect(p, UNIT, PROT_NONE));
	CHECK(!madvise(p, UNIT, MADV_DONTNEED));
	CHECK(!mprotect(p, UNIT, RW));
	CHECK(all_are(p, UNIT, 0));
	CHECK(!madvise(p, 0, MADV_DONTNEED));
	errno = 0;
	CHECK(madvise(p + 1, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL);
	/* Across a hole: the rest is done, and ENOMEM. */
	memset(p, 9, 4 * UNIT);
	CHECK(!munmap(p + UNIT, UNIT));
	errno = 0;
	CHECK(madvise(p, 3 * UNIT, MADV_DONTNEED) == -1 && errno == ENOMEM);
	CHECK(all_are(p, UNIT, 0) && all_are(p + 2 * UNIT, UNIT, 0));
	CHECK(all_are(p + 3 * UNIT, UNIT, 9));
	CHECK(!munmap(p, 4 * UNIT));
}

static void test_dontneed_releases(void)
{
	unsigned char *p = map(8 * UNIT, RW);
	unsigned long before;
	int tries = 0;

	CHECK(p != MAP_FAILED);
	memset(p, 7, 8 * UNIT);
	before = units();
	CHECK(!madvise(p, 8 * UNIT, MADV_DONTNEED));
	/* They go some 10 ms later. */
	while (units() + if_units(8) > before && tries++ < 500)
		usleep(10000);
	CHECK(units() + if_units(8) == before);
	memset(p, 7, 8 * UNIT);
	CHECK(units() == before && !madvise(p + PAGE, 6 * UNIT, MADV_FREE));
	for (tries = 0; units() + if_units(5) > before && tries < 500; tries++)
		usleep(10000);
	CHECK(units() + if_units(5) == before);
	CHECK(all_are(p, PAGE, 7) && all_are(p + 7 * UNIT, UNIT, 7));
	CHECK(!munmap(p, 8 * UNIT));
}

static void test_hints(void)
{
	static const int hints[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP,
		MADV_COLD, MADV_DONTFORK, MADV_DOFORK,
	};
	unsigned char *p = map(2 * UNIT, RW);
	size_t i;

	CHECK(p != MAP_FAILED);
	memset(p, 3, 2 * UNIT);
	for (i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		CHECK(!madvise(p, 2 * UNIT, hints[i]));
	CHECK(!posix_madvise(p, 2 * UNIT, POSIX_MADV_WILLNEED));
	CHECK(!posix_madvise(p, 2 * UNIT, POSIX_MADV_DONTNEED));
	CHECK(!madvise(p, 2 * UNIT, MADV_POPULATE_WRITE));
	CHECK(all_are(p, 2 * UNIT, 3));
	CHECK(!madvise(p, 2 * UNIT, MADV_FREE));
	errno = 0;
	CHECK(madvise(p, 2 * UNIT, 12345) == -1 && errno == EINVAL);
	memset(p, 4, 2 * UNIT);
	CHECK(all_are(p, 2 * UNIT, 4));
	CHECK(!munmap(p, 2 * UNIT));
}

#define CORE		"/tmp/preload_test.core"
#define SECRET		0x5ec3e75ec3e75ec3UL

/* The pages of 4 units that must not be in the core file. */
static bool is_left_out(size_t page)
{
	return page / 512 == 1 || page / 512 == 3;
}

static void crash(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned char *p = map(4 * UNIT, RW);
	size_t at;

	setrlimit(RLIMIT_CORE, &all);
	for (at = 0; at < 4 * UNIT; at += PAGE)
		*(unsigned long *)(p + at) = SECRET + at;
	if (madvise(p, 4 * UNIT, MADV_DONTDUMP) ||
	    madvise(p, UNIT, MADV_DODUMP) ||
	    madvise(p + 2 * UNIT, UNIT / 2, MADV_DODUMP) ||
	    madvise(p + UNIT, 2 * UNIT, MADV_DODUMP) ||
	    madvise(p + UNIT, UNIT, MADV_DONTDUMP))
		_exit(1);
	for (at = 0; at < 4 * UNIT; at += PAGE)
		if (*(unsigned long *)(p + at) != SECRET + at)
			_exit(2);
	abort();
}

/* MADV_DONTDUMP and MADV_DODUMP mean what they say, page by page of a core file. */
static void test_dump(void)
{
	static int found[4 * UNIT / PAGE];
	unsigned long page[PAGE / 8];
	int fd, status;
	size_t i;
	pid_t pid;

	/* Where core files go is for the whole machine: only in a test machine. */
	if (!on_som || getuid())
		return;
	fd = open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, CORE, strlen(CORE)) > 0);
	close(fd);
	unlink(CORE);
	pid = fork();
	if (!pid)
		crash();
	CHECK(waitpid(pid, &status, 0) == pid && WCOREDUMP(status));
	fd = open(CORE, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	memset(found, 0, sizeof(found));
	while (read(fd, page, PAGE) == PAGE)
		if (page[0] - SECRET < 4 * UNIT)
			found[(page[0] - SECRET) / PAGE]++;
	close(fd);
	unlink(CORE);
	for (i = 0; i < 4 * UNIT / PAGE; i++)
		CHECK(found[i] == !is_left_out(i));
}

static void test_fixed(void)
{
	unsigned long before = som_bytes(), old = info().reserved_units;
	unsigned char *p = map(16 * UNIT, PROT_NONE), *q;

	CHECK(p != MAP_FAILED);
	CHECK(som_bytes() == before + if_som(16 * UNIT));
	CHECK(info().reserved_units == old);
	/* An allocator commits parts of what it reserved, at any grain. */
	q = mmap(p + UNIT, 2 * UNIT, RW, ANON | MAP_FIXED, -1, 0);
	CHECK(q == p + UNIT);
	memset(q, 1, 2 * UNIT);
	q = mmap(p + 4 * UNIT, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	CHECK(q == p + 4 * UNIT);
	memset(q, 2, PAGE);
	CHECK(!readable(q + PAGE) && !readable(q - 1));
	CHECK(som_bytes() == before + if_som(16 * UNIT));
	CHECK(!on_som || info().reserved_units == old + 3);
	/* Fixed over data: zeroes. */
	q = mmap(p + UNIT + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	CHECK(q == p + UNIT + PAGE);
	CHECK(all_are(q, PAGE, 0) && q[-1] == 1 && q[PAGE] == 1);
	/* Decommit, and commit again: zeroes. */
	q = mmap(p + 2 * UNIT, UNIT, PROT_NONE, ANON | MAP_FIXED, -1, 0);
	CHECK(q == p + 2 * UNIT && !readable(q) && readable(q - 1));
	CHECK(!mprotect(q, UNIT, RW));
	CHECK(all_are(q, UNIT, 0));
	/* Other memory over it: ours no more, and not emptied by our rules. */
	q = mmap(p + 8 * UNIT, UNIT, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0);
	CHECK(q == p + 8 * UNIT);
	CHECK(som_bytes() == before + if_som(15 * UNIT));
	memset(q, 5, UNIT);
	CHECK(!madvise(q, UNIT, MADV_DONTNEED));
	CHECK(all_are(q, UNIT, 5));
	errno = 0;
	q = mmap(p, UNIT, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(q == MAP_FAILED && errno == EEXIST);
	CHECK(!munmap(p, 16 * UNIT));
	CHECK(som_bytes() == before);
}

/* Does a mapping of @len at @p fail with EEXIST, with and without MAP_FIXED? */
static bool exists(unsigned char *p, size_t len)
{
	const int flags = ANON | MAP_FIXED_NOREPLACE;

	errno = 0;
	if (mmap(p, len, RW, flags, -1, 0) != MAP_FAILED || errno != EEXIST)
		return false;
	errno = 0;
	return mmap(p, len, RW, flags | MAP_FIXED, -1, 0) == MAP_FAILED &&
	       errno == EEXIST;
}

static void test_noreplace(void)
{
	unsigned char *p = map(8 * UNIT, RW), *q;

	CHECK(p != MAP_FAILED);
	memset(p, 0x5a, 8 * UNIT);
	CHECK(exists(p, 8 * UNIT) && exists(p + 2 * UNIT, 2 * UNIT));
	CHECK(exists(p + UNIT + PAGE, 2 * PAGE));
	CHECK(exists(p + 8 * UNIT - PAGE, 2 * PAGE));
	CHECK(exists(p + 7 * UNIT, 4 * UNIT));
	CHECK(all_are(p, 8 * UNIT, 0x5a));
	/* Where nothing is, it is mapped there. */
	CHECK(!munmap(p + 2 * UNIT, 4 * UNIT));
	q = mmap(p + 2 * UNIT, 2 * UNIT, RW,
		 ANON | MAP_FIXED | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(q == p + 2 * UNIT && all_are(q, 2 * UNIT, 0));
	q = mmap(p + 4 * UNIT, 2 * UNIT, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(q == p + 4 * UNIT && all_are(q, 2 * UNIT, 0));
	CHECK(exists(q, UNIT) && !munmap(p, 8 * UNIT));
}

static const size_t too_long[] = { -1UL, -PAGE, -UNIT, -UNIT + 1, 1UL << 62 };

static void test_arguments_mmap(void)
{
	static const int odd[] = {
		MAP_NORESERVE, MAP_STACK, MAP_POPULATE, MAP_NONBLOCK,
		MAP_POPULATE | MAP_NONBLOCK, MAP_GROWSDOWN, MAP_SYNC,
		0x4000000 /* MAP_UNINITIALIZED */, MAP_DENYWRITE, MAP_EXECUTABLE,
	};
	const int kinds[] = { 0, MAP_NORESERVE, MAP_FIXED_NOREPLACE };
	unsigned char *p;
	size_t i, k;

	CHECK(MAP_ERRNO(NULL, 0, RW, ANON, -1, 0) == EINVAL);
	CHECK(MAP_ERRNO(NULL, 0, PROT_NONE, ANON, -1, 0) == EINVAL);
	for (k = 0; k < 3; k++) {
		void *at = kinds[k] == MAP_FIXED_NOREPLACE ? (void *)UNIT : NULL;

		for (i = 0; i < sizeof(too_long) / sizeof(*too_long); i++) {
			CHECK(MAP_ERRNO(at, too_long[i], RW, ANON | kinds[k], -1,
					0) == ENOMEM);
			CHECK(MAP_ERRNO(at, too_long[i], PROT_NONE,
					ANON | kinds[k], -1, 0) == ENOMEM);
		}
		CHECK(MAP_ERRNO(at, UNIT, RW, ANON | kinds[k], -1, 1) == EINVAL);
		CHECK(MAP_ERRNO(at, UNIT, RW, MAP_ANONYMOUS | kinds[k], -1, 0) ==
		      EINVAL);
	}
	CHECK(MAP_ERRNO(NULL, UNIT, RW, MAP_PRIVATE, -1, 0) == EBADF);
	CHECK(MAP_ERRNO((void *)(2 * UNIT + 1), UNIT, RW,
			ANON | MAP_FIXED_NOREPLACE, -1, 0) == EINVAL);
	for (i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		p = mmap(NULL, 2 * UNIT + 1, RW, ANON | odd[i], -1, 0);
		CHECK(p != MAP_FAILED && all_are(p, 2 * UNIT + PAGE, 0));
		CHECK(!munmap(p, 2 * UNIT + 1));
		CHECK(odd[i] == MAP_GROWSDOWN || !readable(p + 2 * UNIT));
	}
	p = mmap(NULL, 2 * UNIT, RW, ANON | MAP_32BIT, -1, 0);
	CHECK(p != MAP_FAILED && (unsigned long)p < 1UL << 32);
	CHECK(!munmap(p, 2 * UNIT));
}

static void test_arguments(void)
{
	unsigned char *p = map(4 * UNIT, RW), *q;
	size_t i;

	CHECK(p != MAP_FAILED);
	memset(p, 0x5a, 4 * UNIT);
	for (i = 0; i < sizeof(too_long) / sizeof(*too_long); i++) {
		CHECK(ERRNO(munmap(p, too_long[i])) == EINVAL);
		/* The last is a range, and what is mapped of it is changed. */
		CHECK(too_long[i] == 1UL << 62 ||
		      ERRNO(mprotect(p, too_long[i], PROT_NONE)) == ENOMEM);
		CHECK(ERRNO((long)mremap(p, UNIT, too_long[i], 0)) ||
		      too_long[i] > -PAGE);
		CHECK(ERRNO((long)mremap(p, UNIT, too_long[i], MREMAP_MAYMOVE)) ||
		      too_long[i] > -PAGE);
	}
	CHECK(ERRNO(madvise(p, -1UL, MADV_DONTNEED)) == EINVAL);
	CHECK(ERRNO(madvise(p, -UNIT, MADV_DONTNEED)) == EINVAL);
	CHECK(ERRNO(madvise(p + 1, UNIT, MADV_DONTNEED)) == EINVAL);
	CHECK(ERRNO(madvise(p, UNIT, -1)) == EINVAL);
	CHECK(ERRNO(madvise(p, UNIT, MADV_REMOVE)) == EINVAL);
	CHECK(!madvise(p, 0, MADV_REMOVE));
	CHECK(ERRNO(mprotect(p + 1, UNIT, PROT_NONE)) == EINVAL);
	CHECK(ERRNO(mprotect(p, UNIT, 0x10000)) == EINVAL);
	CHECK(ERRNO(mprotect(p, UNIT, RW | PROT_GROWSDOWN)) == EINVAL);
	CHECK(!mprotect(p, 0, PROT_NONE));
	CHECK(ERRNO(munmap(p, 0)) == EINVAL);
	CHECK(ERRNO((long)mremap(p, UNIT, UNIT, 64)) == EINVAL);
	CHECK(ERRNO((long)mremap(p + 1, UNIT, UNIT, 0)) == EINVAL);
	CHECK(ERRNO((long)mremap(p, 0, UNIT, MREMAP_MAYMOVE)) == EINVAL);
	CHECK(ERRNO((long)mremap(p, UNIT, 0, MREMAP_MAYMOVE)) == EINVAL);
	CHECK(ERRNO((long)mremap(p, UNIT, UNIT, MREMAP_FIXED, p + 8 * UNIT)) ==
	      EINVAL);
	CHECK(ERRNO((long)mremap(p, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED,
				 p + UNIT / 2)) == EINVAL);
	CHECK(ERRNO((long)mremap(p, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED,
				 p + 2 * UNIT + 1)) == EINVAL);
	CHECK(ERRNO((long)mremap(p, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED,
				 (void *)(-2 * UNIT))) == EINVAL);
	CHECK(all_are(p, 4 * UNIT, 0x5a));
	/* A hole, whatever is beside it. */
	CHECK(!munmap(p + UNIT, UNIT));
	CHECK(ERRNO(mprotect(p, 4 * UNIT, PROT_READ)) == ENOMEM);
	CHECK(!mprotect(p, UNIT, RW));
	CHECK(ERRNO((long)mremap(p + UNIT, UNIT, UNIT, MREMAP_MAYMOVE)) == EFAULT);
	CHECK(all_are(p, UNIT, 0x5a) && all_are(p + 2 * UNIT, 2 * UNIT, 0x5a));
	/* Nothing changes errno that does not fail. */
	errno = 4711;
	q = map(2 * UNIT, RW);
	CHECK(q != MAP_FAILED && errno == 4711);
	CHECK(!mprotect(q, UNIT, PROT_NONE) && !mprotect(q, UNIT, RW));
	CHECK(!madvise(q, UNIT, MADV_DONTNEED) && !madvise(q, UNIT, MADV_FREE));
	CHECK(mmap(q, UNIT, RW, ANON | MAP_FIXED, -1, 0) == q);
	q = mremap(q, 2 * UNIT, 3 * UNIT, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && !munmap(q, 3 * UNIT) && errno == 4711);
	CHECK(!munmap(p, 4 * UNIT) && errno == 4711);
}

static void test_hint(void)
{
	unsigned char *p = map(8 * UNIT, PROT_NONE), *q;

	CHECK(p != MAP_FAILED && !munmap(p, 8 * UNIT));
	p = (unsigned char *)(((unsigned long)p + UNIT - 1) & ~(UNIT - 1));
	q = mmap(p, 2 * UNIT, RW, ANON, -1, 0);
	CHECK(q == p && !munmap(q, 2 * UNIT));
	q = mmap(p, 2 * UNIT, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(q == p && !munmap(q, 2 * UNIT));
	q = mmap(p + PAGE, 2 * UNIT, RW, ANON, -1, 0);
	CHECK(q != MAP_FAILED && !munmap(q, 2 * UNIT));
}

static void test_mremap(void)
{
	unsigned long before = som_bytes();
	unsigned char *p = map(4 * UNIT, RW), *q;

	CHECK(p != MAP_FAILED);
	memset(p, 1, 4 * UNIT);
	/* Shrink in place. */
	CHECK(mremap(p, 4 * UNIT, 2 * UNIT, 0) == p);
	CHECK(!readable(p + 2 * UNIT));
	CHECK(som_bytes() == before + if_som(2 * UNIT));
	/* Grow. */
	q = mremap(p, 2 * UNIT, 6 * UNIT, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED);
	CHECK(all_are(q, 2 * UNIT, 1) && all_are(q + 2 * UNIT, 4 * UNIT, 0));
	CHECK(q == p || !readable(p));
	CHECK(som_bytes() == before + if_som(6 * UNIT));
	memset(q, 2, 6 * UNIT);
	/* Grow by pages, and far beyond what it was. */
	p = mremap(q, 6 * UNIT, 6 * UNIT + PAGE, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED);
	CHECK(all_are(p, 6 * UNIT, 2) && all_are(p + 6 * UNIT, PAGE, 0));
	q = mremap(p, 6 * UNIT + PAGE, 60 * UNIT, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED);
	CHECK(all_are(q, 6 * UNIT, 2) && all_are(q + 6 * UNIT, 54 * UNIT, 0));
	CHECK(som_bytes() == before + if_som(60 * UNIT));
	/* Removed memory does not reappear, nor memory after a part. */
	p = map(4 * UNIT, RW);
	CHECK(p != MAP_FAILED);
	memset(p, 5, 4 * UNIT);
	CHECK(mremap(p, 4 * UNIT, 3 * UNIT + PAGE, 0) == p);
	p = mremap(p, 3 * UNIT + PAGE, 4 * UNIT, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && all_are(p, 3 * UNIT + PAGE, 5));
	CHECK(all_are(p + 3 * UNIT + PAGE, UNIT - PAGE, 0));
	p = mremap(p, UNIT, 2 * UNIT, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && all_are(p, UNIT, 5));
	CHECK(all_are(p + UNIT, UNIT, 0) && !munmap(p, 2 * UNIT));
	before = som_bytes() - if_som(60 * UNIT);
	/* Part of it, to a place of our choice, over other memory. */
	p = map(4 * UNIT, RW);
	CHECK(p != MAP_FAILED);
	memset(p, 3, 4 * UNIT);
	CHECK(mremap(q + UNIT, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED,
		     p + UNIT) == p + UNIT);
	CHECK(all_are(p, UNIT, 3) && all_are(p + UNIT, UNIT, 2));
	CHECK(all_are(p + 2 * UNIT, 2 * UNIT, 3));
	CHECK(!readable(q + UNIT) && readable(q) && readable(q + 2 * UNIT));
	CHECK(som_bytes() == before + if_som(63 * UNIT));
	CHECK(!madvise(p, 4 * UNIT, MADV_DONTNEED));
	CHECK(all_are(p, 4 * UNIT, 0));
	errno = 0;
	CHECK(mremap(p, 0, UNIT, MREMAP_MAYMOVE) == MAP_FAILED);
	CHECK(errno == EINVAL);
	errno = 0;
	CHECK(mremap(p, UNIT, 0, MREMAP_MAYMOVE) == MAP_FAILED);
	CHECK(errno == EINVAL);
	CHECK(!munmap(p, 4 * UNIT) && !munmap(q, 60 * UNIT));
	CHECK(som_bytes() == before);
}

static void test_mprotect(void)
{
	unsigned char *p = map(4 * UNIT, PROT_NONE);
	size_t at;

	CHECK(p != MAP_FAILED && !readable(p));
	for (at = 0; at < UNIT; at += 32 * PAGE) {
		CHECK(!mprotect(p + at, 32 * PAGE, RW));
		memset(p + at, 6, 32 * PAGE);
	}
	CHECK(all_are(p, UNIT, 6) && !readable(p + UNIT));
	/* A guard page in the middle, and away again. */
	CHECK(!mprotect(p + 8 * PAGE, PAGE, PROT_NONE));
	CHECK(!readable(p + 8 * PAGE) && readable(p + 9 * PAGE));
	CHECK(!mprotect(p + 8 * PAGE, PAGE, RW));
	CHECK(all_are(p, UNIT, 6));
	CHECK(!munmap(p, 4 * UNIT));
}

/* Code that a program makes, in what it has reserved and in what it has written. */
static void test_exec(void)
{
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	unsigned char *p = map(4 * UNIT, PROT_NONE);
	int (*run)(void);

	CHECK(p != MAP_FAILED);
	CHECK(!mprotect(p + UNIT, 2 * UNIT, RW | PROT_EXEC));
	memcpy(p + UNIT, code, sizeof(code));
	CHECK(!mprotect(p + UNIT, UNIT, PROT_READ | PROT_EXEC));
	run = (int (*)(void))(p + UNIT);
	CHECK(run() == 42 && !readable(p) && !readable(p + 3 * UNIT));
	CHECK(all_are(p + 2 * UNIT, UNIT, 0));
	CHECK(!munmap(p, 4 * UNIT));
}

/*
 * Any calls in any order on some units, and a model of what each page is then. Ranges
 * are of pages now and of units then, so that both are cut and whole.
 */
#define MODEL_PAGES	(6 * UNIT / PAGE)
#define MODEL_STEPS	2500

enum { MODEL_GONE, MODEL_NONE, MODEL_RW };

static unsigned char model_access[MODEL_PAGES];
static unsigned char model_value[MODEL_PAGES];
static unsigned char *model_base;

struct model_range {
	unsigned char *p;
	size_t len;
	size_t first;
	size_t nr;
};

static struct model_range choose_range(unsigned int *seed)
{
	size_t grain = rand_r(seed) % 3 ? 1 : UNIT / PAGE;
	struct model_range r;

	r.first = rand_r(seed) % (MODEL_PAGES / grain) * grain;
	r.nr = 1 + rand_r(seed) % (rand_r(seed) % 4 ? 40 : MODEL_PAGES);
	r.nr = (r.nr + grain - 1) / grain * grain;
	if (r.nr > MODEL_PAGES - r.first)
		r.nr = MODEL_PAGES - r.first;
	r.p = model_base + r.first * PAGE;
	r.len = r.nr * PAGE;
	return r;
}

/* How many pages of a range have such access? */
static size_t model_count(const struct model_range *r, unsigned char access)
{
	size_t i, n = 0;

	for (i = r->first; i < r->first + r->nr; i++)
		n += model_access[i] == access;
	return n;
}

static void model_set(const struct model_range *r, unsigned char access,
		      bool zero)
{
	memset(model_access + r->first, access, r->nr);
	if (zero)
		memset(model_value + r->first, 0, r->nr);
}

/* Return: whether the answer was right. */
static bool model_step(unsigned int *seed)
{
	struct model_range r = choose_range(seed);
	bool none = rand_r(seed) % 2, holes = model_count(&r, MODEL_GONE);
	int prot = none ? PROT_NONE : RW;
	unsigned char access = none ? MODEL_NONE : MODEL_RW;
	size_t i, at;

	switch (rand_r(seed) % 9) {
	case 0:
		if (mmap(r.p, r.len, prot, ANON | MAP_FIXED, -1, 0) != r.p)
			return false;
		model_set(&r, access, true);
		return true;
	case 1:
		if (model_count(&r, MODEL_GONE) < r.nr)
			return exists(r.p, r.len);
		if (mmap(r.p, r.len, prot, ANON | MAP_FIXED_NOREPLACE, -1, 0) !=
		    r.p)
			return false;
		model_set(&r, access, true);
		return true;
	case 2:
		model_set(&r, MODEL_GONE, true);
		return !munmap(r.p, r.len);
	case 3:
		if (holes)
			return true;
		model_set(&r, access, false);
		return !mprotect(r.p, r.len, prot);
	case 4:
		for (i = r.first; i < r.first + r.nr; i++)
			model_value[i] = 0;
		errno = 0;
		return madvise(r.p, r.len, MADV_DONTNEED) ?
			errno == ENOMEM && holes : !holes;
	case 5:
		/* Where it is, elsewhere and back: one mapping, or else EFAULT. */
		r.nr = 1;
		r.len = PAGE;
		if (model_count(&r, MODEL_GONE))
			return ERRNO((long)mremap(r.p, PAGE, PAGE,
						  MREMAP_MAYMOVE | MREMAP_FIXED,
						  model_base - UNIT)) == EFAULT;
		return mremap(r.p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			      model_base - UNIT) == model_base - UNIT &&
		       mremap(model_base - UNIT, PAGE, PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, r.p) == r.p;
	default:
		for (i = r.first; i < r.first + r.nr; i++) {
			if (model_access[i] != MODEL_RW)
				continue;
			at = rand_r(seed) % PAGE;
			model_base[i * PAGE] = ++model_value[i];
			model_base[i * PAGE + at] = model_value[i];
			if (at)
				model_base[i * PAGE + at] = 0;
		}
		return true;
	}
}

static bool model_holds(size_t page)
{
	unsigned char *p = model_base + page * PAGE;

	if (model_access[page] != MODEL_RW)
		return !readable(p);
	return p[0] == model_value[page] && all_are(p + 1, PAGE - 1, 0);
}

static void test_model(void)
{
	unsigned char *p = map(MODEL_PAGES * PAGE + 2 * UNIT, PROT_NONE);
	unsigned int seed = 4711;
	size_t i, j;

	CHECK(p != MAP_FAILED && !munmap(p, MODEL_PAGES * PAGE + 2 * UNIT));
	p = (unsigned char *)(((unsigned long)p + 2 * UNIT - 1) & ~(UNIT - 1));
	model_base = p;
	memset(model_access, MODEL_GONE, sizeof(model_access));
	memset(model_value, 0, sizeof(model_value));
	for (i = 0; i < MODEL_STEPS; i++) {
		bool right = model_step(&seed);

		if (!right)
			printf("# step %zu\n", i);
		CHECK(right);
		for (j = 0; j < 4; j++)
			CHECK(model_holds(rand_r(&seed) % MODEL_PAGES));
		if (i % 250 == 249)
			for (j = 0; j < MODEL_PAGES; j++)
				CHECK(model_holds(j));
	}
	CHECK(!munmap(p, MODEL_PAGES * PAGE));
}

#define PIECES_PAGES	(32 * UNIT / PAGE)
#define PIECES_STEPS	6000
/* The most that there may be more than of ordinary memory. */
#define PIECES_MORE	500

/*
 * An allocator that gives access to a part of what it has reserved, and takes it away
 * again, as jemalloc does where memory is not overcommitted: the kernel joins what is
 * ordinary memory, and the number of mappings stays near what that has.
 */
static void test_pieces(void)
{
	unsigned char *p = map(PIECES_PAGES * PAGE, PROT_NONE), *q;
	static unsigned char value[PIECES_PAGES];
	unsigned int seed = 12;
	size_t i, j, at, nr, runs = 0;

	CHECK(p != MAP_FAILED);
	memset(value, 0, sizeof(value));
	for (i = 0; i < PIECES_STEPS; i++) {
		at = rand_r(&seed) % (PIECES_PAGES - 64);
		nr = 1 + rand_r(&seed) % 64;
		q = p + at * PAGE;
		if (rand_r(&seed) % 2) {
			CHECK(mmap(q, nr * PAGE, PROT_NONE, ANON | MAP_FIXED, -1,
				   0) == q);
			memset(value + at, 0, nr);
			continue;
		}
		if (i % 5)
			CHECK(mmap(q, nr * PAGE, RW, ANON | MAP_FIXED, -1, 0) ==
			      q);
		else
			CHECK(!madvise(q, nr * PAGE, MADV_DONTNEED) &&
			      !mprotect(q, nr * PAGE, RW));
		for (j = 0; j < nr; j++) {
			CHECK(!q[j * PAGE] && !q[j * PAGE + PAGE - 1]);
			value[at + j] = 1 + i % 255;
			q[j * PAGE] = value[at + j];
		}
	}
	for (i = 0; i < PIECES_PAGES; i++) {
		CHECK(value[i] ? p[i * PAGE] == value[i] : !readable(p + i * PAGE));
		runs += !i || !value[i] != !value[i - 1];
	}
	nr = count_maps((unsigned long)p, (unsigned long)p + PIECES_PAGES * PAGE);
	printf("# %zu mappings of %zu pieces\n", nr, runs);
	/* What the kernel does not join of ordinary memory is less than half. */
	CHECK(nr <= 2 * runs + (on_som ? PIECES_MORE : 0));
	CHECK(!munmap(p, PIECES_PAGES * PAGE));
}

/* More than the pool has: ordinary memory, not an error and not a SIGBUS. */
static void test_dry(void)
{
	unsigned long before, len, i;
	unsigned char *all, *p, *q;

	if (!on_som)
		return;
	before = som_bytes();
	len = (info().pool_units - info().pool_committed) * UNIT;
	all = map(len, RW);
	CHECK(all != MAP_FAILED && som_bytes() == before + len);
	/* Jemalloc's way: without reservation, which must not lead to SIGBUS. */
	p = mmap(NULL, 4 * UNIT, RW, ANON | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED && som_bytes() == before + len);
	memset(p, 1, 4 * UNIT);
	CHECK(!madvise(p, 4 * UNIT, MADV_DONTNEED));
	CHECK(all_are(p, 4 * UNIT, 0));
	CHECK(!munmap(p, 4 * UNIT));
	/* Reserved without access, committed when the pool has nothing left. */
	p = map(8 * UNIT, PROT_NONE);
	CHECK(p != MAP_FAILED && som_bytes() == before + len + 8 * UNIT);
	for (i = 0; i < 8; i += 2) {
		CHECK(!mprotect(p + i * UNIT, UNIT, RW));
		memset(p + i * UNIT, i + 1, UNIT);
	}
	CHECK(som_bytes() == before + len + 4 * UNIT);
	for (i = 0; i < 8; i += 2)
		CHECK(all_are(p + i * UNIT, UNIT, i + 1));
	CHECK(!madvise(p, UNIT, MADV_DONTNEED) && all_are(p, UNIT, 0));
	CHECK(!munmap(p, 8 * UNIT));
	/* Growth when dry: copied out to ordinary memory. */
	CHECK(!munmap(all + UNIT, len - UNIT));
	memset(all, 8, UNIT);
	q = map(len - UNIT, RW);
	CHECK(q != MAP_FAILED && som_bytes() == before + len);
	p = mremap(all, UNIT, 3 * UNIT, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED);
	CHECK(all_are(p, UNIT, 8) && all_are(p + UNIT, 2 * UNIT, 0));
	CHECK(som_bytes() == before + len - UNIT);
	CHECK(!munmap(q, len - UNIT) && !munmap(p, 3 * UNIT));
	CHECK(som_bytes() == before);
}

/* The library's descriptor of the device, or -1. */
static int find_shim_fd(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	char name[64], link[64];
	int fd, found = -1;
	ssize_t len;

	while (dir && (entry = readdir(dir))) {
		fd = atoi(entry->d_name);
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		len = readlink(name, link, sizeof(link) - 1);
		if (len < 0)
			continue;
		link[len] = '\0';
		if (fd != som_fd && !strcmp(link, "/dev/som"))
			found = fd;
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

/* A new mapping is on som. */
static bool maps_som(bool som)
{
	unsigned long before = som_bytes();
	unsigned char *p = map(UNIT, RW);
	bool ok = p != MAP_FAILED && all_are(p, UNIT, 0) &&
		  som_bytes() == before + (som ? if_som(UNIT) : 0);

	if (p != MAP_FAILED)
		memset(p, 1, UNIT);
	return ok && !munmap(p, UNIT);
}

static void test_closed_fds(void)
{
	int fd, null = open("/dev/null", O_RDWR), spare;
	unsigned int shim;

	CHECK(null >= 0 && maps_som(true));
	fd = find_shim_fd();
	CHECK(!on_som == (fd < 0));
	if (fd < 0)
		return;
	shim = fd;
	/* To the program it is not open. */
	CHECK(ERRNO(close(fd)) == EBADF && is_open(fd));
	CHECK(ERRNO(syscall(SYS_close, fd)) == EBADF && is_open(fd));
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && maps_som(true));
	/* Ranges are closed but for it. */
	for (int i = -1; i <= 1; i++) {
		CHECK(dup2(null, fd - 1) == fd - 1 && dup2(null, fd + 1) == fd + 1);
		CHECK(!close_range(shim - (i < 1), shim + (i > -1), 0));
		CHECK(is_open(fd) && is_open(fd - 1) == (i > 0));
		CHECK(is_open(fd + 1) == (i < 0) && maps_som(true));
	}
	CHECK(!close_range(shim, shim, 0) && is_open(fd));
	CHECK(ERRNO(close_range(shim + 1, shim, 0)) == EINVAL);
	CHECK(ERRNO(close_range(shim, shim, 1 << 20)) == EINVAL && is_open(fd));
	CHECK(dup2(null, fd + 1) == fd + 1);
	CHECK(!syscall(SYS_close_range, shim - 1, ~0U, 0));
	CHECK(is_open(fd) && !is_open(fd + 1));
	CHECK(dup2(null, fd + 1) == fd + 1);
	closefrom(fd - 1);
	CHECK(is_open(fd) && !is_open(fd + 1) && maps_som(true));
	/* As a daemon does; our own descriptor for the ioctl stays. */
	for (spare = 3; spare < 4096; spare++)
		if (spare != som_fd)
			close(spare);
	CHECK(maps_som(true) && find_shim_fd() == fd);
	/* dup2() to the number succeeds. */
	null = open("/dev/null", O_RDWR);
	CHECK(null >= 0 && dup2(null, fd) == fd && maps_som(true));
	CHECK(write(fd, "x", 1) == 1 && find_shim_fd() != fd);
	CHECK(!close(fd) && !is_open(fd) && maps_som(true));
	fd = find_shim_fd();
	CHECK(fd >= 0 && dup3(null, fd, O_CLOEXEC) == fd && maps_som(true));
	CHECK(!close_range(fd, fd, 0) && !is_open(fd) && maps_som(true));
	close(null);
}

/* In a child, as nothing goes to som afterwards. */
static int lose_fd(void)
{
	int fd = find_shim_fd(), file = memfd_create("file", MFD_CLOEXEC);
	unsigned char *p, *q;

	if (fd < 0)
		return !!on_som;
	if (file < 0 || ftruncate(file, 4 * UNIT))
		return 2;
	p = mmap(NULL, 4 * UNIT, RW, MAP_SHARED, file, 0);
	q = map(UNIT, RW);
	if (p == MAP_FAILED || q == MAP_FAILED)
		return 3;
	memset(p, 0x5a, 4 * UNIT);
	memset(q, 1, UNIT);
	/* Close the descriptor and reuse its number, by direct system calls. */
	if (sys(SYS_close, fd, 0, 0, 0, 0, 0) || !maps_som(false))
		return 4;
	if (sys(SYS_dup2, file, fd, 0, 0, 0, 0) != fd || !maps_som(false))
		return 5;
	if (!all_are(p, 4 * UNIT, 0x5a))
		return 6;
	/* The same device, but not our file. */
	if (sys(SYS_dup2, som_fd, fd, 0, 0, 0, 0) != fd || !maps_som(false))
		return 7;
	/* It is the program's to close. */
	if (close(fd) || is_open(fd))
		return 8;
	if (sys(SYS_dup2, file, fd, 0, 0, 0, 0) != fd || dup2(0, fd) != fd ||
	    close_range(fd, fd, 0) || is_open(fd))
		return 9;
	/* Earlier mappings are unchanged. */
	if (!all_are(q, UNIT, 1) || madvise(q, UNIT, MADV_DONTNEED) ||
	    !all_are(q, UNIT, 0) || munmap(q, UNIT))
		return 10;
	return 0;
}

static volatile bool races;

/* Close and open by direct system calls, as fast as it can be. */
static void *swap_fd(void *arg)
{
	int fd = find_shim_fd(), file = *(int *)arg;

	while (fd >= 0 && races) {
		sys(SYS_dup2, file, fd, 0, 0, 0, 0);
		sys(SYS_close, fd, 0, 0, 0, 0, 0);
	}
	return NULL;
}

static int race_fd(void)
{
	int file = memfd_create("file", MFD_CLOEXEC), i, wrong = 0;
	unsigned char *p, *q;
	pthread_t thread;

	if (file < 0 || ftruncate(file, UNIT))
		return 1;
	p = mmap(NULL, UNIT, RW, MAP_SHARED, file, 0);
	if (p == MAP_FAILED)
		return 2;
	memset(p, 0x5a, UNIT);
	races = true;
	if (pthread_create(&thread, NULL, swap_fd, &file))
		return 3;
	for (i = 0; i < 300 && !wrong; i++) {
		q = map(UNIT, RW);
		wrong = q == MAP_FAILED || q[0] || q[UNIT - 1];
		q[0] = 1;
		wrong |= munmap(q, UNIT);
	}
	races = false;
	pthread_join(thread, NULL);
	return wrong || !all_are(p, UNIT, 0x5a) ? 4 : 0;
}

/* A process that is to end well. */
static bool ends_well(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	if (status)
		printf("# child: status %#x\n", status);
	return !status;
}

static void test_lost_fd(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(lose_fd());
	CHECK(ends_well(pid));
	pid = fork();
	if (!pid)
		_exit(race_fd());
	CHECK(ends_well(pid));
	CHECK(maps_som(true));
	/* A child that shares our memory, and not our descriptors. */
	pid = vfork();
	if (!pid) {
		int fd = find_shim_fd();

		_exit(fd >= 0 && (dup2(0, fd) != fd || !maps_som(true)));
	}
	CHECK(ends_well(pid));
	CHECK(maps_som(true));
}

/* A filter that allows some system calls; any other is the end. */
static int enter_sandbox(const unsigned int *calls, size_t nr)
{
	struct sock_filter filter[32] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
	};
	struct sock_fprog prog = { .filter = filter, .len = 1 };
	size_t i;

	for (i = 0; i < nr; i++) {
		filter[prog.len++] = (struct sock_filter)
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		filter[prog.len++] = (struct sock_filter)
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	filter[prog.len++] = (struct sock_filter)
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* What the test itself calls, for all of it and for mmap and munmap alone. */
static const unsigned int sandbox[] = {
	SYS_exit_group, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise,
	SYS_mremap,
};

static int live_in_sandbox(unsigned char *old)
{
	unsigned char *p, *q;

	if (enter_sandbox(sandbox, 6))
		return 1;
	p = map(4 * UNIT, RW);
	if (p == MAP_FAILED || !all_are(p, 4 * UNIT, 0))
		return 2;
	memset(p, 1, 4 * UNIT);
	if (madvise(p, UNIT, MADV_DONTNEED) || !all_are(p, UNIT, 0) ||
	    madvise(p, UNIT, MADV_FREE) || madvise(p, 4 * UNIT, MADV_NOHUGEPAGE))
		return 3;
	if (mprotect(p, UNIT, PROT_NONE) || mprotect(p, UNIT, RW))
		return 4;
	q = mremap(p, 4 * UNIT, 6 * UNIT, MREMAP_MAYMOVE);
	if (q == MAP_FAILED || !all_are(q + UNIT, 3 * UNIT, 1))
		return 5;
	p = mmap(q + UNIT, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	if (p != q + UNIT || !all_are(p, PAGE, 0) || p[PAGE] != 1)
		return 6;
	if (munmap(q, 6 * UNIT) || munmap(old, 2 * UNIT))
		return 7;
	p = map(2 * UNIT, PROT_NONE);
	if (p == MAP_FAILED || mprotect(p, UNIT, RW) || !all_are(p, UNIT, 0))
		return 8;
	return munmap(p, 2 * UNIT) ? 9 : 0;
}

static int live_in_small_sandbox(void)
{
	unsigned char *p;
	size_t size;

	if (enter_sandbox(sandbox, 3))
		return 1;
	for (size = PAGE; size < 8 * UNIT; size *= 2) {
		p = map(size, RW);
		if (p == MAP_FAILED || !all_are(p, size, 0))
			return 2;
		memset(p, 1, size);
		if (munmap(p, size))
			return 3;
	}
	return 0;
}

/* A filter that lets no file be mapped: memory is ordinary from then on. */
static int live_without_files(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[3])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .filter = filter, .len = 6 };
	unsigned char *old = map(2 * UNIT, RW), *p, *q;
	unsigned long before = som_bytes();
	size_t size;

	if (old == MAP_FAILED)
		return 6;
	memset(old, 1, 2 * UNIT);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return 1;
	for (size = PAGE; size <= 4 * UNIT; size *= 2) {
		errno = 0;
		p = map(size + PAGE, RW);
		if (p == MAP_FAILED || errno || !all_are(p, size + PAGE, 0))
			return 2;
		memset(p, 1, size);
		q = mremap(p, size + PAGE, 3 * size, MREMAP_MAYMOVE);
		if (q == MAP_FAILED || !all_are(q, size, 1) ||
		    !all_are(q + size, 2 * size, 0) || munmap(q, 3 * size))
			return 3;
	}
	if (!small_on_som() && som_bytes() != before)
		return 4;
	/* som memory stays som memory, and grows into ordinary memory. */
	q = mremap(old, 2 * UNIT, 3 * UNIT, MREMAP_MAYMOVE);
	if (q == MAP_FAILED || !all_are(q, 2 * UNIT, 1) ||
	    !all_are(q + 2 * UNIT, UNIT, 0) || munmap(q, 3 * UNIT))
		return 5;
	return 0;
}

/* After the start no system call is made but those that the program makes. */
static void test_seccomp(void)
{
	unsigned char *p = map(2 * UNIT, RW);
	pid_t pid;

	CHECK(p != MAP_FAILED);
	memset(p, 1, 2 * UNIT);
	pid = fork();
	if (!pid)
		_exit(live_in_sandbox(p));
	CHECK(ends_well(pid));
	pid = fork();
	if (!pid)
		_exit(live_in_small_sandbox());
	CHECK(ends_well(pid));
	pid = fork();
	if (!pid)
		_exit(live_without_files());
	CHECK(ends_well(pid));
	CHECK(all_are(p, 2 * UNIT, 1) && !munmap(p, 2 * UNIT));
}

/* The environment is the program's. */
static int change_environment(void)
{
	int fd[2], i;
	char buf[256] = "";
	unsigned long len = (info().pool_units - info().pool_committed) * UNIT;

	for (i = 0; environ[i]; i++)
		if (!strncmp(environ[i], "SOM_PRELOAD_", 12))
			memset(environ[i], 'x', strlen(environ[i]));
	if (clearenv() || setenv("SOM_PRELOAD_DEVICE", "/nowhere", 1) ||
	    !maps_som(true))
		return 1;
	/* With SOM_PRELOAD_VERBOSE, the library prints that the pool is empty. */
	if (pipe(fd) || fcntl(fd[0], F_SETFL, O_NONBLOCK))
		return 2;
	if (map(len + UNIT, RW) == MAP_FAILED)
		return 3;
	/* But not what has got its number since. */
	if (dup2(fd[1], 2) != 2 || map(len + UNIT, RW) == MAP_FAILED)
		return 4;
	return read(fd[0], buf, sizeof(buf)) > 0 ? 5 : 0;
}

static void test_environment(void)
{
	bool verbose = getenv("SOM_PRELOAD_VERBOSE");
	char buf[512] = "";
	char *args[3] = { "preload_test", "--environment", NULL };
	int fd[2];
	pid_t pid;

	CHECK(!pipe(fd));
	pid = fork();
	if (!pid) {
		dup2(fd[1], 2);
		execv("/proc/self/exe", args);
		_exit(9);
	}
	close(fd[1]);
	CHECK(ends_well(pid));
	CHECK(read(fd[0], buf, sizeof(buf) - 1) >= 0);
	close(fd[0]);
	if (on_som && verbose)
		CHECK(strstr(buf, "som-preload: /dev/som: in use") &&
		      strstr(buf, "som-preload: /dev/som: no units for"));
	else if (!verbose)
		CHECK(!buf[0]);
}

/* Without a copy, the child inherits no som memory. */
static int child_without(unsigned char *p)
{
	unsigned char *q;

	/* Before anything new can be at the same address. */
	if (readable(p) == on_som)
		return 4;
	q = map(2 * UNIT, RW);
	if (q == MAP_FAILED || !all_are(q, 2 * UNIT, 0))
		return 1;
	if (som_bytes() != if_som(2 * UNIT))
		return 2;
	memset(q, 2, 2 * UNIT);
	if (madvise(q, UNIT, MADV_DONTNEED) || !all_are(q, UNIT, 0))
		return 3;
	if (munmap(q, 2 * UNIT) || som_bytes())
		return 5;
	return 0;
}

/* With a copy, the child can use all memory. */
static int child_with(unsigned char *p, unsigned long bytes)
{
	unsigned char *q;
	pid_t pid;

	if (som_bytes() != bytes || !all_are(p, 4 * UNIT, 1))
		return 1;
	memset(p, 2, UNIT);
	if (madvise(p + UNIT, UNIT, MADV_DONTNEED) ||
	    !all_are(p + UNIT, UNIT, 0))
		return 2;
	if (madvise(p + 2 * UNIT, PAGE, MADV_DONTNEED) ||
	    !all_are(p + 2 * UNIT, PAGE, 0) ||
	    !all_are(p + 2 * UNIT + PAGE, UNIT - PAGE, 1))
		return 3;
	q = mremap(p, 4 * UNIT, 6 * UNIT, MREMAP_MAYMOVE);
	if (q == MAP_FAILED || som_bytes() != bytes + if_som(2 * UNIT))
		return 4;
	if (!all_are(q, UNIT, 2) || !all_are(q + 3 * UNIT, UNIT, 1) ||
	    !all_are(q + 4 * UNIT, 2 * UNIT, 0))
		return 5;
	pid = fork();
	if (!pid)
		_exit(!all_are(q, UNIT, 2) || !all_are(q + 3 * UNIT, UNIT, 1));
	if (!ends_well(pid))
		return 6;
	if (munmap(q, 6 * UNIT) || som_bytes() != bytes - if_som(4 * UNIT))
		return 7;
	return 0;
}

static void test_fork(void)
{
	const char *policy = getenv("SOM_PRELOAD_FORK");
	bool copy = !on_som || !policy || strcmp(policy, "none");
	unsigned char *p = map(4 * UNIT, RW);
	unsigned long bytes = som_bytes();
	pid_t pid;

	CHECK(p != MAP_FAILED);
	memset(p, 1, 4 * UNIT);
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(copy ? child_with(p, bytes) : child_without(p));
	CHECK(ends_well(pid));
	CHECK(all_are(p, 4 * UNIT, 1));
	/* What the parent does is not seen either. */
	pid = fork();
	if (!pid) {
		usleep(20000);
		_exit(copy ? !all_are(p, 4 * UNIT, 1) : 0);
	}
	memset(p, 3, UNIT);
	CHECK(!madvise(p + UNIT, UNIT, MADV_DONTNEED));
	CHECK(!munmap(p + 2 * UNIT, 2 * UNIT));
	CHECK(ends_well(pid));
	CHECK(all_are(p, UNIT, 3) && all_are(p + UNIT, UNIT, 0));
	CHECK(!munmap(p, 2 * UNIT));
	CHECK(som_bytes() == bytes - if_som(4 * UNIT));
}

/* Other programs: they share memory with this one at first. */
static void test_spawn(void)
{
	char *args[3] = { "preload_test", "--child", NULL };
	unsigned long before = som_bytes();
	unsigned char *p = map(2 * UNIT, RW);
	pid_t pid;

	CHECK(p != MAP_FAILED);
	memset(p, 1, 2 * UNIT);
	CHECK(!posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ));
	CHECK(ends_well(pid));
	pid = vfork();
	if (!pid) {
		execv("/proc/self/exe", args);
		_exit(9);
	}
	CHECK(ends_well(pid));
	pid = fork();
	if (!pid) {
		execv("/proc/self/exe", args);
		_exit(9);
	}
	CHECK(ends_well(pid));
	CHECK(all_are(p, 2 * UNIT, 1) && !munmap(p, 2 * UNIT));
	CHECK(som_bytes() == before);
}

/* What such a program does. */
static int spawned(void)
{
	unsigned char *p;

	if (som_bytes())
		return 1;
	p = map(2 * UNIT, RW);
	if (p == MAP_FAILED || !all_are(p, 2 * UNIT, 0))
		return 2;
	memset(p, 1, 2 * UNIT);
	return som_bytes() == if_som(2 * UNIT) ? 0 : 3;
}

/* A number of /proc/self/statm, in bytes: 0 is the address space, 5 data and stack. */
static unsigned long bytes_in_use(size_t which)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;
	size_t i;

	for (i = 0; file && i <= which; i++)
		if (fscanf(file, "%lu", &pages) != 1)
			pages = 0;
	if (file)
		fclose(file);
	return pages * PAGE;
}

/*
 * With room for five units: what the library maps beside what it was asked for is not
 * counted against the program for longer than a call. To the kernel, som memory is no
 * data: RLIMIT_DATA refuses a mapping that is longer, and does not sum them up.
 */
static int live_in_limit(int resource, unsigned long now)
{
	struct rlimit limit = { now + 5 * UNIT, now + 5 * UNIT };
	bool sum = resource == RLIMIT_AS || !on_som;
	unsigned char *p, *q;
	int i;

	if (setrlimit(resource, &limit))
		return 1;
	p = map(3 * UNIT, RW);
	if (p == MAP_FAILED || !all_are(p, 3 * UNIT, 0))
		return 2;
	memset(p, 1, 3 * UNIT);
	errno = 0;
	q = map(sum ? 4 * UNIT : 6 * UNIT, RW);
	if (q != MAP_FAILED || errno != ENOMEM)
		return 3;
	q = map(4 * UNIT, PROT_NONE);
	if (resource == RLIMIT_AS ? q != MAP_FAILED : q == MAP_FAILED)
		return 4;
	/* Access makes it data. */
	if (q != MAP_FAILED &&
	    ERRNO(mprotect(q, 4 * UNIT, RW)) != (sum ? ENOMEM : 0))
		return 5;
	if (q != MAP_FAILED && munmap(q, 4 * UNIT))
		return 6;
	if (!all_are(p, 3 * UNIT, 1) || munmap(p, 3 * UNIT))
		return 7;
	/* A little more than units, units and less than one. */
	for (i = 0; i < 20; i++) {
		size_t len = i % 3 == 0 ? 3 * UNIT + PAGE :
			     i % 3 == 1 ? 4 * UNIT : UNIT / 2;

		p = map(len, RW);
		if (p == MAP_FAILED || !all_are(p, len, 0))
			return 8;
		memset(p, 1, len);
		if (munmap(p, len))
			return 9;
	}
	return 0;
}

/* With no number left for a descriptor, memory comes from the one that is open. */
static int live_without_descriptors(void)
{
	struct rlimit limit = { 3, 3 };

	return setrlimit(RLIMIT_NOFILE, &limit) || !maps_som(true);
}

/* In another root, as another user and without a place for files. */
static int live_as_nobody(void)
{
	struct rlimit none = { 0, 0 };

	if (chroot("/proc") || chdir("/") || setgid(65534) || setuid(65534))
		return 1;
	return setrlimit(RLIMIT_FSIZE, &none) || !maps_som(true);
}

/* Started where the loader has one number for descriptors, which the device takes then. */
static int start_with_descriptor(void)
{
	char *args[3] = { "preload_test", "--limit", NULL };
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 1;
	limit.rlim_cur = 4;
	if (close_range(3, ~0U, 0) || setrlimit(RLIMIT_NOFILE, &limit))
		return 2;
	execv("/proc/self/exe", args);
	return 3;
}

/* What that program does, when it has taken away the limit. */
static int started(void)
{
	const char *preload = getenv("LD_PRELOAD");
	struct rlimit limit;

	if (som_fd >= 0 || getrlimit(RLIMIT_NOFILE, &limit))
		return 1;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return 2;
	if (preload && strstr(preload, "libsom_preload"))
		som_fd = open("/dev/som", O_RDWR | O_CLOEXEC);
	on_som = som_fd >= 0;
	return maps_som(true) ? 0 : 3;
}

static void test_limits(void)
{
	pid_t pid;
	int i;

	/* The library's table has its memory from then on. */
	CHECK(maps_som(true));
	for (i = 0; i < 5; i++) {
		int status;

		fflush(stdout);
		pid = fork();
		if (!pid)
			_exit(i == 0 ? live_in_limit(RLIMIT_AS, bytes_in_use(0)) :
			      i == 1 ? live_in_limit(RLIMIT_DATA, bytes_in_use(5)) :
			      i == 2 ? live_without_descriptors() :
			      i == 3 ? start_with_descriptor() :
			      getuid() ? 0 : live_as_nobody());
		CHECK(waitpid(pid, &status, 0) == pid);
		if (status)
			printf("# limit %d: status %#x\n", i, status);
		CHECK(!status);
	}
}

#define THREADS	4
#define ROUNDS	40
#define CHILDREN	4
#define CHILD_ROUNDS	5

static void *churn_rounds(unsigned int seed, int rounds)
{
	int i;

	for (i = 0; i < rounds; i++) {
		size_t len = UNIT * (1 + rand_r(&seed) % 3);
		unsigned char *p = map(len, RW), *q;
		size_t at = rand_r(&seed) % (len / PAGE) * PAGE;

		if (p == MAP_FAILED || p[at] || p[len - 1])
			return (void *)"map";
		p[at] = seed;
		p[len - 1] = i;
		if (madvise(p + at, PAGE, MADV_DONTNEED) || p[at])
			return (void *)"madvise";
		p[0] = i;
		q = mremap(p, len, len + UNIT, MREMAP_MAYMOVE);
		if (q == MAP_FAILED || q[0] != (unsigned char)i || q[len])
			return (void *)"mremap";
		/* Nothing twice: others may have mapped theirs in the gap. */
		if (munmap(q + UNIT, PAGE) || munmap(q, UNIT) ||
		    munmap(q + UNIT + PAGE, len - PAGE))
			return (void *)"munmap";
	}
	return NULL;
}

static void *churn(void *arg)
{
	return churn_rounds((unsigned long)arg, ROUNDS);
}

static volatile sig_atomic_t alarms;
static volatile sig_atomic_t alarm_failures;
static volatile sig_atomic_t alarms_off;

/* The next alarm: not before the one before is done with, however long that takes. */
static int next_alarm(void)
{
	struct itimerval tick = { { 0, 0 }, { 0, 2000 } };

	return setitimer(ITIMER_REAL, &tick, NULL);
}

/* Not allowed by POSIX, and done by crash handlers and collectors. */
static void on_alarm(int sig)
{
	int saved = errno;
	unsigned char *p = map(UNIT, RW);

	(void)sig;
	if (p == MAP_FAILED || p[0] || munmap(p, UNIT))
		alarm_failures = 1;
	alarms = 1;
	if (!alarms_off && next_alarm())
		alarm_failures = 1;
	errno = saved;
}

/* A fork may happen while other threads are in the library. */
static void test_fork_threads(void)
{
	unsigned long before = som_bytes();
	pthread_t threads[THREADS];
	unsigned long i;
	void *error;

	for (i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, churn, (void *)(i + 1)));
	for (i = 0; i < CHILDREN; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(!!churn_rounds(i, CHILD_ROUNDS));
		CHECK(ends_well(pid));
	}
	for (i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i], &error) && !error);
	CHECK(som_bytes() == before);
}

static void test_threads(void)
{
	struct itimerval off = { 0 };
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	unsigned long before = som_bytes();
	const char *errors[THREADS];
	pthread_t threads[THREADS];
	unsigned long i;
	void *error;

	CHECK(!sigaction(SIGALRM, &sa, NULL));
	CHECK(!next_alarm());
	for (i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, churn, (void *)(i + 1)));
	for (i = 0; i < THREADS; i++) {
		CHECK(!pthread_join(threads[i], &error));
		errors[i] = error;
	}
	alarms_off = 1;
	CHECK(!setitimer(ITIMER_REAL, &off, NULL));
	for (i = 0; i < THREADS; i++) {
		if (errors[i])
			printf("# thread %lu: %s\n", i, errors[i]);
		CHECK(!errors[i]);
	}
	CHECK(alarms && !alarm_failures);
	CHECK(som_bytes() == before);
}

/* Unmapped by libc's syscall(), which is seen, then used for something else. */
static void test_syscall(void)
{
	unsigned char *p = map(2 * UNIT, RW), *q;
	unsigned long before = som_bytes();
	int file = memfd_create("file", MFD_CLOEXEC), id, i;

	CHECK(p != MAP_FAILED && file >= 0 && !ftruncate(file, UNIT));
	memset(p, 1, 2 * UNIT);
	CHECK(!syscall(SYS_munmap, p, 2 * UNIT));
	CHECK(som_bytes() == before - if_som(2 * UNIT));
	q = (void *)syscall(SYS_mmap, p, 2 * UNIT, RW, ANON | MAP_FIXED, -1, 0);
	CHECK(q == p && som_bytes() == before - if_som(2 * UNIT));
	memset(q, 2, 2 * UNIT);
	CHECK(!madvise(q, UNIT, MADV_DONTNEED));
	CHECK(all_are(q, UNIT, 0) && all_are(q + UNIT, UNIT, 2));
	CHECK(!munmap(q, 2 * UNIT));
	/* Errors, and a call with six arguments. */
	CHECK(ERRNO(syscall(SYS_munmap, p, 0)) == EINVAL);
	CHECK(ERRNO(syscall(SYS_mmap, 0, 0, RW, ANON, -1, 0)) == EINVAL);
	CHECK(ERRNO(syscall(SYS_read, -1, p, 1)) == EBADF);
	CHECK(ERRNO(syscall(SYS_close, -1)) == EBADF);
	CHECK(syscall(SYS_getpid) == getpid());

	/* A file in place of som memory: what is done to it is done to the file. */
	for (i = 0; i < 2; i++) {
		p = map(UNIT, RW);
		CHECK(p != MAP_FAILED);
		memset(p, 1, UNIT);
		if (i) {
			id = shmget(IPC_PRIVATE, UNIT, IPC_CREAT | 0600);
			CHECK(id >= 0 && shmat(id, p, SHM_REMAP) == p);
			shmctl(id, IPC_RMID, NULL);
		} else {
			q = (void *)syscall(SYS_mmap, p, UNIT, RW,
					    MAP_SHARED | MAP_FIXED, file, 0);
			CHECK(q == p);
		}
		memset(p, 3, UNIT);
		CHECK(!madvise(p, UNIT, MADV_DONTNEED) && all_are(p, UNIT, 3));
		CHECK(ERRNO(madvise(p, UNIT, MADV_FREE)) == EINVAL);
		q = mmap(p, UNIT, RW, ANON | MAP_FIXED, -1, 0);
		CHECK(q == p && all_are(p, UNIT, 0));
		memset(p, 4, UNIT);
		CHECK(!munmap(p, UNIT));
	}
	p = mmap(NULL, UNIT, RW, MAP_SHARED, file, 0);
	CHECK(p != MAP_FAILED && all_are(p, UNIT, 3) && !munmap(p, UNIT));
	close(file);
}

/* Direct system calls are not intercepted: other memory is not harmed. */
static void test_behind(void)
{
	unsigned char *p = map(2 * UNIT, RW), *q;
	int file = memfd_create("file", MFD_CLOEXEC);
	char line[32] = "";

	CHECK(p != MAP_FAILED && file >= 0 && !ftruncate(file, 2 * UNIT));
	memset(p, 1, 2 * UNIT);
	CHECK(!sys_munmap((unsigned long)p, 2 * UNIT));
	q = (void *)sys_mmap((unsigned long)p, 2 * UNIT, RW,
			     MAP_SHARED | MAP_FIXED, file, 0);
	CHECK(q == p);
	memset(q, 2, 2 * UNIT);
	CHECK(!madvise(q, UNIT, MADV_DONTNEED));
	CHECK(!madvise(q + UNIT + PAGE, 2 * PAGE, MADV_DONTNEED));
	madvise(q, 2 * UNIT, MADV_FREE);
	CHECK(all_are(q, 2 * UNIT, 2));
	CHECK(pread(file, line, 1, 0) == 1 && line[0] == 2);
	CHECK(!munmap(q, 2 * UNIT));
	/* A mapping by libc at the same addresses. */
	q = mmap(p, 2 * UNIT, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0);
	CHECK(q == p && ERRNO(madvise(q, UNIT, MADV_FREE)) == EINVAL);
	CHECK(all_are(q, 2 * UNIT, 2) && !munmap(q, 2 * UNIT));
	close(file);
	/* Anonymous memory. */
	p = map(2 * UNIT, RW);
	CHECK(p != MAP_FAILED && !sys_munmap((unsigned long)p, 2 * UNIT));
	q = (void *)sys_mmap((unsigned long)p, 2 * UNIT, RW, ANON | MAP_FIXED, -1,
			     0);
	CHECK(q == p);
	memset(q, 2, 2 * UNIT);
	CHECK(!madvise(q, UNIT, MADV_DONTNEED));
	CHECK(all_are(q, UNIT, 0) && all_are(q + UNIT, UNIT, 2));
	CHECK(mmap(q, 2 * UNIT, RW, ANON | MAP_FIXED, -1, 0) == q);
	CHECK(all_are(q, 2 * UNIT, 0) && !munmap(q, 2 * UNIT));
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "table: states of pages", test_table },
	{ "table: cuts", test_table_cuts },
	{ "table: threads", test_table_threads },
	{ "table: no memory is left", test_table_full },
	{ "mmap: only large, plain anonymous memory moves", test_where },
	{ "mmap: small mappings, with SOM_PRELOAD_MIN=64K", test_small },
	{ "mmap: small mappings that are aligned", test_small_aligned },
	{ "mmap: a guard page in front", test_guard },
	{ "munmap: whole, 4K parts, bad arguments", test_munmap },
	{ "madvise: DONTNEED reads as zeroes", test_dontneed },
	{ "madvise: DONTNEED gives units back", test_dontneed_releases },
	{ "madvise: hints change nothing", test_hints },
	{ "madvise: DONTDUMP, DODUMP and a core file", test_dump },
	{ "mmap: MAP_FIXED over a reservation", test_fixed },
	{ "mmap: MAP_FIXED_NOREPLACE, also with MAP_FIXED", test_noreplace },
	{ "mmap: an address as a hint", test_hint },
	{ "bad and odd arguments: mmap", test_arguments_mmap },
	{ "bad and odd arguments: other calls", test_arguments },
	{ "mremap: shrink, grow, move", test_mremap },
	{ "mprotect: commit in steps, guard pages", test_mprotect },
	{ "mprotect: code", test_exec },
	{ "any calls in any order", test_model },
	{ "the number of mappings stays bounded", test_pieces },
	{ "a dry pool gives ordinary memory", test_dry },
	{ "descriptors: the program closes them", test_closed_fds },
	{ "descriptors: closed and reused by direct system calls", test_lost_fd },
	{ "a seccomp filter", test_seccomp },
	{ "the environment changes", test_environment },
	{ "fork: what the child has, and what it can do", test_fork },
	{ "vfork, posix_spawn and exec", test_spawn },
	{ "limits: memory, descriptors, another user", test_limits },
	{ "threads and signal handlers", test_threads },
	{ "fork while threads are at work", test_fork_threads },
	{ "memory unmapped by syscall()", test_syscall },
	{ "memory unmapped by a direct system call", test_behind },
};

/* preload_test [TEXT]: the tests whose name has TEXT in it. */
int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : "";
	const char *preload = getenv("LD_PRELOAD");
	size_t n = sizeof(tests) / sizeof(tests[0]), i, nr = 0;
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (preload && strstr(preload, "libsom_preload"))
		som_fd = open("/dev/som", O_RDWR | O_CLOEXEC);
	on_som = som_fd >= 0;
	if (!strcmp(only, "--child"))
		return spawned();
	if (!strcmp(only, "--limit"))
		return started();
	if (!strcmp(only, "--environment"))
		return change_environment();
	for (i = 0; i < n; i++)
		nr += !!strstr(tests[i].name, only);
	printf("TAP version 13\n1..%zu\n# memory: %s\n", nr,
	       on_som ? "/dev/som" : "ordinary");
	for (nr = 0, i = 0; i < n; i++) {
		if (!strstr(tests[i].name, only))
			continue;
		failures = 0;
		tests[i].run();
		printf("%sok %zu %s%s\n", failures ? "not " : "", ++nr,
		       tests[i].name,
		       !on_som && tests[i].run == test_dry ?
		       " # SKIP no som memory" : "");
		failed += !!failures;
	}
	return !!failed;
}
