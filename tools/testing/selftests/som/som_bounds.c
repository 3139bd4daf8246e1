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

static __u64 pool_backed_cost(struct __test_metadata *_metadata, int fd, size_t len)
{
	char *p = map_long(fd, len, MAP_SHARED);
	struct som_range range = {
		.size = sizeof(range),
		.start = som_addr(p),
		.end = som_addr(p) + len,
	};
	__u64 best = ~0ULL, cost;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < 4; i++)
		WRITE_ONCE(p[len / 4 * i], 1);
	for (i = 0; i < TRIES; i++) {
		cost = __rdtsc();
		ASSERT_EQ(0, ioctl(fd, SOM_IOC_POOL_BACKED, &range));
		cost = __rdtsc() - cost;
		best = cost < best ? cost : best;
		EXPECT_EQ(range.end, range.walk_end);
	}
	ASSERT_EQ(0, munmap(p, len));
	return best;
}

/* Memory counts, not addresses. */
TEST_F(som, back_to_the_pool)
{
	__u64 few, many;

	few = pool_backed_cost(_metadata, self->fd, 16 * GIB);
	many = pool_backed_cost(_metadata, self->fd, 16 * TIB);
	TH_LOG("16 GiB: %llu, 16 TiB: %llu", few, many);
	EXPECT_GT(FACTOR * few, many);
}

/* Mappings that are somebody else's are passed over, however many there are. */
TEST_F(som, many_other_mappings)
{
	size_t nr = 10 * UNIT_PAGES, len = nr * PAGE, i;
	char *p = som_room(len + 2 * UNIT, UNIT);
	struct page_region region;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < nr; i += 2)
		ASSERT_EQ(0, mprotect(p + UNIT + i * PAGE, PAGE, PROT_READ));
	pid = fork();
	if (!pid) {
		int fd = som_open();
		char *q = p + UNIT + len;

		child_assert(fd >= 0);
		child_assert(som_map_at(fd, p, UNIT, RW, MAP_FIXED) == p);
		child_assert(som_map_at(fd, q, UNIT, RW, MAP_FIXED) == q);
		p[0] = 1;
		q[0] = 1;
		child_assert(!som_scan_clean(fd, p, len + 2 * UNIT));
		p[0] = 2;
		q[0] = 2;
		child_assert(som_scan_written(fd, p + UNIT, len + UNIT, 0,
					      &region, 1) == 1);
		child_assert(region.start == som_addr(q));
		child_assert(!som_reset_zero(fd, p, len + 2 * UNIT));
		child_assert(!p[0] && !q[0]);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child_for(pid, 20));
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

/*
 * Duplicates, which mremap from length 0 makes
 */

/* Documentation/userspace-api/som.rst. */
#define MAX_ALIASES	64

/* Each is a duplicate of the last. Return: how many there are, with @p. */
static int duplicate(char *p, size_t len, int max, char **last)
{
	int nr = 1;
	char *q;

	for (*last = p; nr < max; nr++) {
		q = mremap(*last, 0, len, MREMAP_MAYMOVE);
		if (q == MAP_FAILED)
			break;
		*last = q;
	}
	return nr;
}

FIXTURE(aliases)
{
	int fd;
};

FIXTURE_VARIANT(aliases)
{
	int flags;
};

FIXTURE_VARIANT_ADD(aliases, shared)
{
	.flags = MAP_SHARED,
};

FIXTURE_VARIANT_ADD(aliases, private)
{
	.flags = MAP_PRIVATE,
};

FIXTURE_SETUP(aliases)
{
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(aliases)
{
	close(self->fd);
}

TEST_F(aliases, have_a_limit)
{
	char *p = map_long(self->fd, 3 * UNIT, variant->flags), *last, *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 3 * UNIT, 1);
	EXPECT_EQ(MAX_ALIASES, duplicate(p, 3 * UNIT, 1000, &last));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, som_check_pages(last, 3 * UNIT, 1));
	/* Of a part of it, too, and a move counts what it moves. */
	EXPECT_EQ(MAP_FAILED, mremap(p + UNIT, 0, PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(ENOMEM, errno);
	q = som_room(3 * UNIT, UNIT);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(MAP_FAILED, mremap(last, 3 * UNIT, 3 * UNIT,
				     MREMAP_MAYMOVE | MREMAP_FIXED, q));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, som_check_pages(last, 3 * UNIT, 1));
	/* What is nobody else's is not counted, nor what is beside it. */
	ASSERT_EQ(0, munmap(p + UNIT, UNIT));
	EXPECT_NE(MAP_FAILED, mremap(last + UNIT, 0, UNIT, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(last + UNIT, 0, UNIT, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(last, 0, PAGE, MREMAP_MAYMOVE));
	ASSERT_EQ(0, munmap(p + 2 * UNIT, UNIT));
	EXPECT_EQ(last + 2 * UNIT,
		  mremap(last + 2 * UNIT, UNIT, UNIT, MREMAP_MAYMOVE));
}

/* What the end of a process costs that has so many duplicates, of one page. */
static __u64 end_cost(struct __test_metadata *_metadata, int fd, int flags,
		      int nr)
{
	char *p = map_long(fd, PAGE, flags), *last;
	__u64 best = ~0ULL, cost;
	int i, go[2];
	pid_t pid;
	char c;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p, PAGE));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, pipe(go));
		pid = fork();
		if (!pid) {
			fd = som_open();
			child_assert(fd >= 0);
			p = map_long(fd, PAGE, flags);
			child_assert(p != MAP_FAILED);
			p[0] = 1;
			child_assert(duplicate(p, PAGE, nr, &last) == nr);
			child_assert(read(go[0], &c, 1) == 1);
			_exit(0);
		}
		/* It waits by now. */
		usleep(100000);
		cost = __rdtsc();
		ASSERT_EQ(1, write(go[1], "x", 1));
		EXPECT_EQ(0, som_wait_child(pid));
		cost = __rdtsc() - cost;
		best = cost < best ? cost : best;
		close(go[0]);
		close(go[1]);
	}
	return best;
}

TEST_F(aliases, cost_of_the_end)
{
	__u64 none, few, many;

	none = end_cost(_metadata, self->fd, variant->flags, 1);
	few = end_cost(_metadata, self->fd, variant->flags, 11);
	many = end_cost(_metadata, self->fd, variant->flags, 61);
	TH_LOG("1: %llu, 11: %llu, 61: %llu", none, few, many);
	/* At most with the square of how many there are, never with its third power. */
	EXPECT_LE(many - none, 36 * (few - none));
}

/* A long private mapping every other page of which was moved away. */
static __u64 holes_cost(struct __test_metadata *_metadata, int fd, size_t nr)
{
	size_t len = nr * 2 * PAGE, i;
	char *room, *p, *q;
	__u64 cost;

	p = map_long(fd, len, MAP_PRIVATE);
	ASSERT_NE(MAP_FAILED, p);
	room = som_room(len, PAGE);
	ASSERT_NE(MAP_FAILED, room);
	som_touch_units(p, len);
	for (i = 0; i < nr; i++) {
		q = mremap(p + i * 2 * PAGE, 0, PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, room + i * 2 * PAGE);
		ASSERT_NE(MAP_FAILED, q);
	}
	cost = __rdtsc();
	ASSERT_EQ(0, madvise(p, len, MADV_DONTNEED));
	cost = __rdtsc() - cost;
	ASSERT_EQ(0, munmap(p, len));
	ASSERT_EQ(0, munmap(room, len));
	return cost;
}

TEST_F(som, dontneed_of_what_has_holes)
{
	__u64 few, many;

	few = holes_cost(_metadata, self->fd, 500);
	many = holes_cost(_metadata, self->fd, 4000);
	TH_LOG("500 holes: %llu, 4000: %llu", few, many);
	/* Eight times as many: not 64 times as much. */
	EXPECT_LT(many, 24 * few);
}

/* What a thread waits for in mmap, at most. */
struct mapper {
	int fd, stop;
	__u64 worst;
};

static void *map_and_unmap(void *arg)
{
	struct mapper *m = arg;

	while (!READ_ONCE(m->stop)) {
		__u64 took = __rdtsc();
		char *p = som_map_at(m->fd, NULL, PAGE, PROT_NONE, 0);

		took = __rdtsc() - took;
		m->worst = took > m->worst ? took : m->worst;
		munmap(p, PAGE);
		sched_yield();
	}
	return NULL;
}

/*
 * Memory that children depend on is copied when it is given up, some at a time: other
 * threads do not wait for all of it. 20 children, 8 units; one copy is 262,144.
 */
TEST_F(som, remove_of_what_children_depend_on)
{
	struct som_policy policy = { .size = sizeof(policy) };
	struct mapper m = { .fd = self->fd };
	size_t nr = 20, units = 8, i;
	pthread_t thread;
	pid_t pids[20];
	char *p;

	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_GET_POLICY, &policy));
	policy.options = SOM_POLICY_FORK_COPY;
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, &policy));
	p = som_map(self->fd, units * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, units * UNIT, 5);
	for (i = 0; i < nr; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i])
			for (;;)
				pause();
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, map_and_unmap, &m));
	usleep(20000);
	m.worst = 0;
	ASSERT_EQ(0, madvise(p, units * UNIT, MADV_REMOVE));
	WRITE_ONCE(m.stop, 1);
	pthread_join(thread, NULL);
	/* One copy of each for all of them. */
	EXPECT_EQ((long)units, som_used());
	TH_LOG("a thread waits for %llu", m.worst);
	EXPECT_GT(262144ULL * nr * units / 3, m.worst);
	for (i = 0; i < nr; i++)
		kill(pids[i], SIGKILL);
	for (i = 0; i < nr; i++)
		waitpid(pids[i], NULL, 0);
}

/*
 * Whoever goes through all owners comes to each of them once. By the file that lists them,
 * which is read with half the room for it until there is enough.
 */
static __u64 owners_cost(struct __test_metadata *_metadata, size_t nr)
{
	int fd = open("/sys/kernel/debug/som/owners", O_RDONLY | O_CLOEXEC);
	__u64 best = ~0ULL, cost;
	size_t i, lines, j;
	static char buf[1 << 18];
	ssize_t got, len;

	ASSERT_LE(0, fd);
	for (i = 0; i < TRIES; i++) {
		cost = __rdtsc();
		for (len = 0; (got = pread(fd, buf + len, sizeof(buf) - len, len)) > 0;)
			len += got;
		cost = __rdtsc() - cost;
		best = cost < best ? cost : best;
		for (lines = 0, j = 0; j < (size_t)len; j++)
			lines += buf[j] == '\n';
		ASSERT_LE(nr + 1, lines);
	}
	close(fd);
	return best / nr;
}

TEST_F(som, owners_of_others)
{
	size_t sizes[2] = { 50, 1000 }, nr = 0, i;
	pid_t *pids = calloc(sizes[1], sizeof(*pids));
	__u64 cost[2];
	int ready[2];
	char byte;

	ASSERT_EQ(0, pipe(ready));
	for (i = 0; i < 2; i++) {
		for (; nr < sizes[i]; nr++) {
			pids[nr] = fork();
			ASSERT_LE(0, pids[nr]);
			if (!pids[nr]) {
				char *p = som_map_at(self->fd, NULL, PAGE,
						     PROT_NONE, 0);

				child_assert(p != MAP_FAILED);
				child_assert(write(ready[1], "", 1) == 1);
				for (;;)
					pause();
			}
			ASSERT_EQ(1, read(ready[0], &byte, 1));
		}
		cost[i] = owners_cost(_metadata, nr);
	}
	TH_LOG("an owner of 50: %llu, of 1000: %llu", cost[0], cost[1]);
	EXPECT_GT(3 * cost[0], cost[1]);
	for (i = 0; i < nr; i++)
		kill(pids[i], SIGKILL);
	for (i = 0; i < nr; i++)
		waitpid(pids[i], NULL, 0);
}

TEST_HARNESS_MAIN
