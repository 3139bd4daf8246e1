// SPDX-License-Identifier: GPL-2.0
/*
 * Test of the hooks, one program for each allocator: the heap is on som, keeps its data,
 * returns to the pool, is copied by fork, and is ordinary memory when the pool is empty.
 * som_hooks.sh runs it and checks the pool afterwards.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libsom.h>

#include "hooks_test.h"
#include "som_space.h"

#define UNIT		SOM_UNIT_SIZE
#define RW		(PROT_READ | PROT_WRITE)
#define MIB		(1UL << 20)

#define THREADS		4
#define ROUNDS		500
#define SLOTS		64
#define MAX_MAPS	4096

static int failures;

#define CHECK(cond)							\
	do {								\
		if (!(cond)) {						\
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond); \
			failures++;					\
		}							\
	} while (0)

/*
 * Owner of memory
 */

static struct {
	uintptr_t start;
	uintptr_t end;
} maps[MAX_MAPS];

static size_t nr_maps;

static void read_maps(void)
{
	static char line[4096];
	unsigned long start, end;
	FILE *file;

	nr_maps = 0;
	file = fopen("/proc/self/maps", "r");
	while (file && nr_maps < MAX_MAPS && fgets(line, sizeof(line), file)) {
		if (!strstr(line, "/dev/som") ||
		    sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		maps[nr_maps].start = start;
		maps[nr_maps++].end = end;
	}
	if (file)
		fclose(file);
}

static bool on_som(const void *p)
{
	uintptr_t addr = (uintptr_t)p;
	size_t i;

	for (i = 0; i < nr_maps; i++)
		if (addr >= maps[i].start && addr < maps[i].end)
			return true;
	return false;
}

bool is_on_som(const void *p)
{
	read_maps();
	return on_som(p);
}

/* Units that this process holds. */
static unsigned long units(int fd)
{
	struct som_info info;

	if (som_read_info(fd, &info, sizeof(info)))
		return ~0UL;
	return info.units_2m + info.units_4k + info.units_1g;
}

/*
 * Blocks with known content
 */

struct block {
	uint64_t *p;
	size_t len;
	uint64_t seed;
};

static uint64_t word(const struct block *b, size_t i)
{
	return b->seed * 0x9e3779b97f4a7c15ULL + i;
}

/* Check small blocks completely, of large ones the ends and some words of each page. */
static size_t stride(const struct block *b)
{
	return b->len > 65536 ? 509 : 1;
}

static void fill(struct block *b)
{
	size_t nr = b->len / sizeof(*b->p), i;

	for (i = 0; i < nr; i += stride(b))
		b->p[i] = word(b, i);
	b->p[nr - 1] = word(b, nr - 1);
}

static bool holds(const struct block *b)
{
	size_t nr = b->len / sizeof(*b->p), i;

	for (i = 0; i < nr; i += stride(b))
		if (b->p[i] != word(b, i) && i != nr - 1)
			return false;
	return b->p[nr - 1] == word(b, nr - 1);
}

static bool allocate(struct block *b, size_t len, uint64_t seed)
{
	b->p = malloc(len);
	b->len = len;
	b->seed = seed;
	if (!b->p)
		return false;
	fill(b);
	return true;
}

/* Return: whether the content is correct. */
static bool release(struct block *b)
{
	bool ok = !b->p || holds(b);

	free(b->p);
	b->p = NULL;
	return ok;
}

/* Threads free blocks that other threads have allocated. */
static struct block slots[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Mostly small blocks, sometimes 2 MiB. */
static size_t choose_size(unsigned int *seed)
{
	unsigned int r = rand_r(seed);

	return ((16UL << r % 18) + rand_r(seed) % 4096) & ~7UL;
}

static void *churn(void *arg)
{
	unsigned int seed = (uintptr_t)arg;
	const char *error = NULL;
	struct block b, old;
	int i, slot;

	for (i = 0; i < ROUNDS && !error; i++) {
		if (!allocate(&b, choose_size(&seed), rand_r(&seed)))
			return (void *)"malloc";
		slot = rand_r(&seed) % SLOTS;
		pthread_mutex_lock(&lock);
		old = slots[slot];
		slots[slot] = b;
		pthread_mutex_unlock(&lock);
		if (!release(&old))
			error = "a block has changed";
		if (i % 250 == 249)
			allocator_purge();
	}
	return (void *)error;
}

static bool run_threads(void *(*run)(void *arg), size_t nr)
{
	pthread_t threads[THREADS];
	void *error;
	bool ok = true;
	size_t i;

	for (i = 0; i < nr; i++)
		if (pthread_create(&threads[i], NULL, run, (void *)(i + 1)))
			abort();
	for (i = 0; i < nr; i++) {
		pthread_join(threads[i], &error);
		if (error)
			printf("# thread %zu: %s\n", i, (char *)error);
		ok = ok && !error;
	}
	return ok;
}

/*
 * Tests
 */

static int som;

static void test_threads(void)
{
	int i;

	CHECK(run_threads(churn, THREADS));
	for (i = 0; i < SLOTS; i++)
		CHECK(release(&slots[i]));
}

#define LARGE		24
#define LARGE_SIZE	(2 * MIB - 65536)
/* More than one chunk of an allocator, whatever its size classes. */
#define HUGE_SIZE	(24 * MIB)

static struct block large[LARGE], huge;

static void *allocate_large(void *arg)
{
	size_t i;

	for (i = 0; i < LARGE; i++) {
		if (!allocate(&large[i], LARGE_SIZE, i))
			return (void *)"malloc";
		/* Touch all of it. */
		memset((char *)large[i].p + 8, 7, LARGE_SIZE - 16);
		fill(&large[i]);
	}
	return NULL;
}

static void *allocate_huge(void *arg)
{
	return allocate(&huge, HUGE_SIZE, 99) ? NULL : (void *)"malloc";
}

static void test_on_som(void)
{
	size_t i, there = 0;

	CHECK(run_threads(allocate_large, 1));
	CHECK(run_threads(allocate_huge, 1));
	read_maps();
	CHECK(on_som(huge.p) && on_som((char *)huge.p + HUGE_SIZE - 1));
	for (i = 0; i < LARGE; i++)
		there += on_som(large[i].p) &&
			 on_som((char *)large[i].p + LARGE_SIZE - 1);
	printf("# %zu of %d blocks, %lu units\n", there, LARGE, units(som));
	/* The rest may be memory that the allocator already had. */
	CHECK(there >= LARGE - 4);
	CHECK(units(som) >= (there * LARGE_SIZE + HUGE_SIZE) / UNIT);
}

/* Units of private memory return about 10 ms later. */
static void test_gives_back(void)
{
	unsigned long before = units(som);
	const unsigned long back = LARGE / 2 + HUGE_SIZE / UNIT - 2;
	int i, tries = 0;

	CHECK(release(&huge));
	for (i = 0; i < LARGE; i++)
		CHECK(release(&large[i]));
	allocator_purge();
	while (units(som) + back > before && tries++ < 100)
		usleep(10000);
	printf("# %lu units, %lu when purged\n", before, units(som));
	CHECK(units(som) + back <= before);
}

static void *calloc_large(void *arg)
{
	size_t i, j;

	for (i = 0; i < LARGE; i++) {
		large[i].p = calloc(1, LARGE_SIZE);
		if (!large[i].p)
			return (void *)"calloc";
		for (j = 0; j < LARGE_SIZE / sizeof(*large[i].p); j++)
			if (large[i].p[j])
				return (void *)"not zero";
	}
	for (i = 0; i < LARGE; i++) {
		free(large[i].p);
		large[i].p = NULL;
	}
	return NULL;
}

static void test_is_zero(void)
{
	CHECK(run_threads(calloc_large, 1));
}

/* Use the heap in the child. Return: 0, or the number of the failed step. */
static int use_inherited(void)
{
	struct block b;
	size_t i;

	for (i = 0; i < LARGE; i++)
		if (!holds(&large[i]))
			return 1;
	memset(large[0].p, 0, LARGE_SIZE);
	for (i = 1; i < 4; i++)
		if (!release(&large[i]))
			return 2;
	for (i = 0; i < 8; i++)
		if (!allocate(&b, MIB, i) || !release(&b))
			return 3;
	return 0;
}

static void test_fork(void)
{
	int status = -1, i;
	pid_t pid;

	CHECK(run_threads(allocate_large, 1));
	pid = fork();
	if (!pid)
		_exit(use_inherited());
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status)
		printf("# child: status %#x\n", status);
	CHECK(!status);
	for (i = 0; i < LARGE; i++)
		CHECK(release(&large[i]));
}

#define DRY		48
#define DRY_SIZE	(4 * MIB)

static struct block many[DRY];

static void *allocate_many(void *arg)
{
	size_t i;

	for (i = 0; i < DRY; i++)
		if (!allocate(&many[i], DRY_SIZE, i))
			return (void *)"malloc";
	return NULL;
}

/* One unit is left, and a step is longer: the second attempt succeeds. */
static void test_last_unit(void)
{
	struct som_info info;
	size_t len;
	void *rest;

	CHECK(!som_read_info(som, &info, sizeof(info)));
	len = (info.pool_units - info.pool_committed - 1) * UNIT;
	rest = som_map(som, NULL, len, RW, 0);
	CHECK(rest);
	errno = EDOM;
	CHECK(som_space_alloc(UNIT, 64 * UNIT) && errno == EDOM);
	CHECK(!som_space_alloc(UNIT, UNIT) && errno == ENOMEM);
	CHECK(!som_unmap(rest, len));
}

/* More than is reserved already. */
static void test_dry(void)
{
	struct som_info info;
	size_t i, there = 0;
	void *rest;

	/* mimalloc's arena is one mapping. */
	if (som_space_alloc(UNIT, 64 * UNIT))
		test_last_unit();
	CHECK(!som_read_info(som, &info, sizeof(info)));
	rest = som_map(som, NULL, (info.pool_units - info.pool_committed) * UNIT,
		       RW, 0);
	CHECK(rest);
	CHECK(!som_map(som, NULL, UNIT, RW, 0));
	CHECK(run_threads(allocate_many, 1));
	read_maps();
	for (i = 0; i < DRY; i++) {
		there += on_som(many[i].p);
		CHECK(release(&many[i]));
	}
	printf("# %zu of %d blocks on som\n", there, DRY);
	CHECK(there < DRY);
	CHECK(!som_unmap(rest, (info.pool_units - info.pool_committed) * UNIT));
}

static void test_own(void)
{
	const char *error = allocator_test();

	if (error)
		printf("# %s\n", error);
	CHECK(!error);
}

static void test_install(void)
{
	errno = EDOM;
	if (allocator_install()) {
		perror("# install");
		failures++;
	}
	CHECK(errno == EDOM);
	som = som_open(NULL);
	CHECK(som >= 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "install", test_install },
	{ "allocated memory is on som", test_on_som },
	{ "freed and purged memory returns to the pool", test_gives_back },
	{ "it reads as zero afterwards", test_is_zero },
	{ "threads that free each other's blocks", test_threads },
	{ "fork: the child has a copy", test_fork },
	{ "functions of this hook only", test_own },
	{ "an empty pool gives ordinary memory", test_dry },
};

int main(void)
{
	size_t n = sizeof(tests) / sizeof(tests[0]), i;
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%zu\n", n);
	for (i = 0; i < n; i++) {
		failures = 0;
		tests[i].run();
		printf("%sok %zu %s\n", failures ? "not " : "", i + 1,
		       tests[i].name);
		failed += !!failures;
	}
	return !!failed;
}
