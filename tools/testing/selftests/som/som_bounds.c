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

TEST_HARNESS_MAIN
