// SPDX-License-Identifier: GPL-2.0
/*
 * What a call costs, and what workers do because of it, goes by the memory that somebody
 * has and the records that are made, not by addresses: the same things happen in a
 * short and in a very long mapping, and instructions are counted.
 *
 * SOM-TEST: icount smp=1 kernels=generic takes=40
 */
#include <x86intrin.h>
#include "som_scan.h"

static bool som_one_process = true;

#define GIB	(1UL << 30)
#define TIB	(1UL << 40)

/* How much more something may take where a thousand times the addresses are. */
#define FACTOR	5

static char *map_long(int fd, size_t len, int flags)
{
	char *p = mmap(NULL, len, RW, flags | MAP_NORESERVE, fd, 0);

	return p;
}

/* The least of some tries, as interrupts count. */
#define TRIES	5

static __u64 dontneed_cost(struct __test_metadata *_metadata, int fd, size_t len,
			   size_t nr)
{
	char *p = map_long(fd, len, MAP_PRIVATE);
	__u64 best = ~0ULL, cost;
	size_t i, j;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < TRIES; i++) {
		for (j = 0; j < nr; j++)
			WRITE_ONCE(p[len / nr * j], 1);
		cost = __rdtsc();
		ASSERT_EQ(0, madvise(p, len, MADV_DONTNEED));
		cost = __rdtsc() - cost;
		best = cost < best ? cost : best;
		for (j = 0; j < nr; j++)
			ASSERT_EQ(0, p[len / nr * j]);
	}
	ASSERT_EQ(0, munmap(p, len));
	return best;
}

TEST_F(som, dontneed)
{
	__u64 few, many;

	few = dontneed_cost(_metadata, self->fd, 16 * GIB, 4);
	many = dontneed_cost(_metadata, self->fd, 16 * TIB, 4);
	TH_LOG("16 GiB: %llu, 16 TiB: %llu", few, many);
	EXPECT_GT(FACTOR * few, many);
}

/* What all workers of the kernel have used, in nanoseconds. */
static long long workers(void)
{
	DIR *proc = opendir("/proc");
	long long sum = 0, ran;
	struct dirent *entry;
	char path[300], comm[64];
	FILE *f;

	if (!proc)
		return -1;
	while ((entry = readdir(proc))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (!fgets(comm, sizeof(comm), f))
			comm[0] = 0;
		fclose(f);
		if (strncmp(comm, "kworker", 7))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/schedstat", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%lld", &ran) == 1)
			sum += ran;
		fclose(f);
	}
	closedir(proc);
	return sum;
}

/* What is waited for is that units at the two ends have entries of 2 MiB again. */
static long long collapse_cost(struct __test_metadata *_metadata, int fd,
			       size_t len)
{
	char *p = map_long(fd, len, MAP_SHARED), *last = p + len - UNIT;
	double end = som_now() + SOM_WAIT_SECONDS;
	long long before;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(fd, p, UNIT));
	ASSERT_EQ(0, som_scan_clean(fd, last, UNIT));
	WRITE_ONCE(p[0], 1);
	WRITE_ONCE(last[0], 1);
	ASSERT_EQ(2, som_units_4k(fd));
	before = workers();
	ASSERT_LE(0, before);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
	ASSERT_EQ(0, madvise(last, UNIT, MADV_REMOVE));
	while (som_units_2m(fd) != 2 && som_now() < end) {
		EXPECT_EQ(0, READ_ONCE(p[0]));
		EXPECT_EQ(0, READ_ONCE(last[0]));
		usleep(200000);
	}
	EXPECT_EQ(2, som_units_2m(fd));
	before = workers() - before;
	ASSERT_EQ(0, munmap(p, len));
	return before;
}

TEST_F(som, collapse)
{
	long long few, many;

	few = collapse_cost(_metadata, self->fd, 64 * GIB);
	many = collapse_cost(_metadata, self->fd, 64 * TIB);
	TH_LOG("64 GiB: %lld us, 64 TiB: %lld us", few / 1000, many / 1000);
	/* Other workers work, too: what it took before was 25 times that. */
	EXPECT_GT(few + 100000000, many);
}

TEST_HARNESS_MAIN
