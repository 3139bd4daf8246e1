// SPDX-License-Identifier: GPL-2.0
/*
 * A compaction does not make anybody wait for somebody else: not who was promised units
 * for the chunks that are to be empty, and not who asked for it for an owner that
 * does not let go of its mmap_lock.
 *
 * What holds mmap_lock for seconds, and cannot be interrupted, is the kernel's own: a
 * PAGEMAP_SCAN of a HugeTLB mapping goes through every page of it. The debug kernel takes
 * too long to get there.
 *
 * SOM-TEST: chunks=2 kernels=generic,cloud takes=20
 */
#include <linux/fs.h>
#include <sys/prctl.h>
#include "som_scan.h"

static const char *(*som_missing)(int fd) = som_no_compact;

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB	(21 << 26)
#endif

/* How long mmap_lock is held, in seconds. */
#define HOLD_SECONDS	8.0

/* Nobody needs more of them in any of the other tests. */
#define VICTIM_UNITS	16UL

struct stage {
	int used, holding, held, compacted, stop;
	double took;
};

static struct stage *stage;

/* Hold mmap_lock for as long as it takes to look at so many pages of nothing. */
static double hold(int pagemap, char *p, size_t len)
{
	double begin = som_now();
	struct page_region region;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)p, .end = (uintptr_t)p + len,
		.vec = (uintptr_t)&region, .vec_len = 1,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT,
	};

	child_assert(!ioctl(pagemap, PAGEMAP_SCAN, &arg));
	return som_now() - begin;
}

/* Room to hold mmap_lock with, and how much of it takes that long. */
static char *hold_room(int pagemap, double seconds, size_t *len)
{
	size_t max = 96UL << 40;
	double took;
	char *p;

	p = mmap(NULL, max, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
		 MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
	child_assert(p != MAP_FAILED);
	*len = 64UL << 30;
	do {
		*len *= 2;
		took = hold(pagemap, p, *len);
	} while (took < 0.2 && *len < max);
	*len *= seconds / took;
	*len = (*len < max ? *len : max) & -UNIT;
	return p;
}

/* The owner of one unit. Return: never. */
static void holder(int fd)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	char *p, *room;
	size_t len;

	child_assert(pagemap >= 0);
	/* Whatever becomes of the test. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	p = som_map(fd, UNIT);
	child_assert(p != MAP_FAILED);
	p[0] = 1;
	WRITE_ONCE(stage->used, 1);
	som_all_cpus();
	room = hold_room(pagemap, HOLD_SECONDS, &len);
	child_assert(som_wait_flag(&stage->holding, 1));
	WRITE_ONCE(stage->holding, 2);
	stage->took = hold(pagemap, room, len);
	WRITE_ONCE(stage->held, 1);
	child_assert(som_wait_flag(&stage->stop, 1));
	_exit(p[0] != 1);
}

static void mover(void)
{
	int ret = som_compact(1);

	child_assert(!ret || ret == -EBUSY);
	WRITE_ONCE(stage->compacted, ret ? 2 : 1);
	_exit(0);
}

static long units_dirty(void)
{
	return som_pool("units_dirty");
}

/*
 * The first chunk has the holder's unit only; the second has room for half of what
 * is promised.
 */
TEST_F(som, nobody_waits_for_who_holds_mmap_lock)
{
	size_t rest = CHUNK_UNITS - VICTIM_UNITS / 2, i;
	char *first, *second, *mine;
	pid_t pid[2];
	long chunk;

	stage = som_shared(sizeof(*stage));
	ASSERT_NE(MAP_FAILED, stage);
	/* Zeroed units are taken first, and each processor has its own chunk. */
	ASSERT_EQ(0, som_wait_number(units_dirty, 0));
	som_one_cpu();
	pid[0] = fork();
	if (!pid[0])
		holder(self->fd);
	ASSERT_TRUE(som_wait_flag(&stage->used, 1));
	first = som_map(self->fd, (CHUNK_UNITS - 1) * UNIT);
	ASSERT_NE(MAP_FAILED, first);
	som_touch_units(first, (CHUNK_UNITS - 1) * UNIT);
	chunk = som_chunk_of(getpid(), first);
	second = som_map(self->fd, rest * UNIT);
	ASSERT_NE(MAP_FAILED, second);
	som_touch_units(second, rest * UNIT);
	for (i = 0; i < CHUNK_UNITS - 1; i++)
		ASSERT_EQ(chunk, som_chunk_of(getpid(), first + i * UNIT));
	som_all_cpus();
	mine = som_map(self->fd, VICTIM_UNITS * UNIT);
	ASSERT_EQ(MAP_FAILED, mine);
	ASSERT_EQ(0, munmap(first, (CHUNK_UNITS - 1) * UNIT));
	mine = som_map(self->fd, VICTIM_UNITS * UNIT);
	ASSERT_NE(MAP_FAILED, mine);

	WRITE_ONCE(stage->holding, 1);
	ASSERT_TRUE(som_wait_flag(&stage->holding, 2));
	usleep(300000);
	pid[1] = fork();
	if (!pid[1])
		mover();
	usleep(300000);
	for (i = 0; i < VICTIM_UNITS; i++)
		WRITE_ONCE(mine[i * UNIT], 1);
	EXPECT_EQ(0, READ_ONCE(stage->held))
		TH_LOG("a touch of promised memory has waited");
	EXPECT_TRUE(som_wait_flag(&stage->compacted, 2));
	EXPECT_EQ(0, READ_ONCE(stage->held))
		TH_LOG("the compaction has waited");
	EXPECT_EQ(0, som_wait_child(pid[1]));
	ASSERT_TRUE(som_wait_flag(&stage->held, 1));
	TH_LOG("mmap_lock was held for %.1f s", stage->took);

	/* Now that nothing is in the way. */
	ASSERT_EQ(0, munmap(mine, VICTIM_UNITS * UNIT));
	EXPECT_EQ(0, som_pool("chunks_empty"));
	EXPECT_EQ(0, som_compact(1));
	EXPECT_EQ(1, som_pool("chunks_empty"));
	WRITE_ONCE(stage->stop, 1);
	EXPECT_EQ(0, som_wait_child(pid[0]));
}

/*
 * A unit of an empty chunk that a compaction wants to stay so is had, too; a compaction that
 * goes on all the time beside it hides nothing from anybody.
 */
TEST_F(som, promises_are_kept_beside_compactions)
{
	double end = som_now() + som_race_seconds(), longest = 0;
	size_t nr = som_free();
	long rounds = 0;
	pid_t pid;

	som_all_cpus();
	stage = som_shared(sizeof(*stage));
	ASSERT_NE(MAP_FAILED, stage);
	pid = fork();
	while (!pid) {
		som_compact(2);
		if (READ_ONCE(stage->stop))
			_exit(0);
	}
	do {
		char *p = som_map(self->fd, nr * UNIT);
		double begin = som_now();

		ASSERT_NE(MAP_FAILED, p);
		som_touch_units(p, nr * UNIT);
		begin = som_now() - begin;
		longest = begin > longest ? begin : longest;
		ASSERT_EQ(0, munmap(p, nr * UNIT));
		rounds++;
	} while (som_now() < end);
	WRITE_ONCE(stage->stop, 1);
	EXPECT_EQ(0, som_wait_child(pid));
	TH_LOG("%ld rounds, the longest took %.2f s", rounds, longest);
}

/*
 * Workers of the kernel
 */

/* Is any of them waiting for something that nothing ends but that itself? */
static bool worker_waits(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char path[300], text[256];
	bool waits = false;
	FILE *f;

	child_assert(proc);
	while (!waits && (entry = readdir(proc))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		waits = fgets(text, sizeof(text), f) &&
			strstr(text, "(kworker") && strstr(text, ") D ");
		fclose(f);
	}
	closedir(proc);
	return waits;
}

static void *hold_in_thread(void *data)
{
	size_t *len = data;
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	char *room;

	room = hold_room(pagemap, HOLD_SECONDS / 2, len);
	WRITE_ONCE(stage->holding, 1);
	hold(pagemap, room, *len);
	WRITE_ONCE(stage->held, 1);
	return NULL;
}

/* What gives discarded memory back comes again, and does not stand in a queue meanwhile. */
static void discard_beside(int fd)
{
	int free = 0, samples = 0;
	pthread_t thread;
	size_t len;
	char *p;

	p = som_map_private(fd, 8 * UNIT);
	child_assert(p != MAP_FAILED);
	som_touch_units(p, 8 * UNIT);
	child_assert(!pthread_create(&thread, NULL, hold_in_thread, &len));
	child_assert(som_wait_flag(&stage->holding, 1));
	usleep(200000);
	child_assert(!madvise(p, 8 * UNIT, MADV_DONTNEED));
	usleep(200000);
	while (!READ_ONCE(stage->held)) {
		free += !worker_waits();
		samples++;
		usleep(50000);
	}
	child_assert(samples > 2);
	/* It tries for a while each time, and that counts as waiting, too. */
	child_assert(free);
	pthread_join(thread, NULL);
	WRITE_ONCE(stage->stop, 1);
	child_assert(som_wait_flag(&stage->stop, 2));
	_exit(0);
}

TEST_F(som, workers_do_not_queue_for_mmap_lock)
{
	pid_t pid;

	stage = som_shared(sizeof(*stage));
	ASSERT_NE(MAP_FAILED, stage);
	som_all_cpus();
	pid = fork();
	if (!pid)
		discard_beside(self->fd);
	EXPECT_TRUE(som_wait_flag(&stage->stop, 1));
	EXPECT_USED_SOON(0);
	WRITE_ONCE(stage->stop, 2);
	EXPECT_EQ(0, som_wait_child(pid));
}

TEST_HARNESS_MAIN
