// SPDX-License-Identifier: GPL-2.0
/*
 * A processor that has a dirty entry in its TLB writes without leaving a trace until
 * the TLB is flushed. Whoever takes the entry, or its dirty bit, flushes later than he lets
 * go of the page table: so here others scan and reset in between, and each write is
 * accounted for nevertheless.
 *
 * SOM-TEST: smp=3 timeout=600 takes=20
 */
#include "som_scan.h"

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/*
 * MADV_DONTNEED of shared memory takes entries out, and flushes when it is through with
 * all of its range. A writer on another processor has the first of them in its TLB.
 */

struct drop {
	int fd, pagemap;
	char *mem;
	__u64 *word;		/* what is written */
	int write, wrote;	/* writes that are asked for, and done */
	int drop, dropped;	/* the same of MADV_DONTNEED */
	size_t units;
	bool private;
	bool touch;		/* somebody makes the entry again before a scan looks */
};

static void *write_when_asked(void *arg)
{
	struct drop *d = arg;
	int want, done = 0;

	run_on(0);
	/* Without a system call: the TLB is to stay as it is. */
	while ((want = READ_ONCE(d->write)) >= 0) {
		if (want == done)
			continue;
		WRITE_ONCE(*d->word, *d->word + 1);
		__atomic_store_n(&d->wrote, ++done, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *drop_when_asked(void *arg)
{
	struct drop *d = arg;
	int want, done = 0;

	run_on(1);
	while ((want = READ_ONCE(d->drop)) >= 0) {
		if (want == done) {
			sched_yield();
			continue;
		}
		if (madvise(d->mem, d->units * UNIT, MADV_DONTNEED))
			break;
		__atomic_store_n(&d->dropped, ++done, __ATOMIC_RELEASE);
	}
	return NULL;
}

static bool wait_done(const int *want, int *done)
{
	double end = som_now() + SOM_WAIT_SECONDS;

	while (READ_ONCE(*done) != *want) {
		if (som_now() > end)
			return false;
	}
	return true;
}

static bool ask_to_write(struct drop *d)
{
	WRITE_ONCE(d->write, d->write + 1);
	return wait_done(&d->write, &d->wrote);
}

/* Has the page been written since the last scan? If so, it is clean now. */
static bool page_told(struct drop *d)
{
	struct page_region region;

	return som_scan_written(d->fd, d->word, PAGE, WP, &region, 1) == 1;
}

/* Wait until the entry of the word is gone, or MADV_DONTNEED has come and gone. */
static void wait_gone(struct drop *d)
{
	__u64 entry = 0;

	while (READ_ONCE(d->dropped) != d->drop &&
	       (pread(d->pagemap, &entry, sizeof(entry),
		      som_addr(d->word) / PAGE * sizeof(entry)) != sizeof(entry) ||
		entry >> 63))
		;
}

/* Return: 1 if a scan came while entries were gone, 0 if not, -1 if a write was missed. */
static int drop_round(struct drop *d)
{
	bool during, told;
	__u64 copy;
	size_t i;

	/* Entries of 4 KiB everywhere, so that it takes its time. */
	for (i = 0; i < d->units; i++)
		WRITE_ONCE(d->mem[i * UNIT + PAGE], 1);
	page_told(d);
	/* A dirty entry, in the page table and in the writer's TLB. */
	if (!ask_to_write(d))
		return -1;
	WRITE_ONCE(d->drop, d->drop + 1);
	wait_gone(d);
	if (d->touch)
		READ_ONCE(*d->word);
	told = page_told(d);
	/* The first touch of what is discarded has it zeroed. */
	copy = d->private ? READ_ONCE(*d->word) : 0;
	during = READ_ONCE(d->dropped) != d->drop;
	if (!told || !ask_to_write(d))
		return -1;
	if (!wait_done(&d->drop, &d->dropped))
		return -1;
	if (d->private && READ_ONCE(*d->word) == copy)
		return during;
	return page_told(d) ? during : -1;
}

static void drop_and_scan(struct __test_metadata *_metadata, int fd, bool private,
			  bool touch)
{
	struct drop d = { .fd = fd, .private = private, .touch = touch };
	double end = som_now() + som_race_seconds();
	long rounds = 0, during = 0, missed = 0;
	pthread_t threads[2];
	int ret;

	/* Each touch of private memory that was dropped zeroes a unit. */
	d.units = private ? 60 : 200;
	d.mem = private ? som_map_private(fd, d.units * UNIT) :
			  som_map(fd, d.units * UNIT);
	ASSERT_NE(MAP_FAILED, d.mem);
	d.word = (__u64 *)d.mem;
	d.pagemap = open("/proc/self/pagemap", O_RDONLY);
	ASSERT_LE(0, d.pagemap);
	ASSERT_EQ(0, som_scan_clean(fd, d.mem, d.units * UNIT));
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, write_when_asked, &d));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, drop_when_asked, &d));
	run_on(2);
	/* A busy machine may take some rounds until a scan comes in time. */
	while (som_now() < end || rounds < 3 || (!during && som_now() < end + 20)) {
		ret = drop_round(&d);
		rounds++;
		missed += ret < 0;
		during += ret > 0;
	}
	WRITE_ONCE(d.write, -1);
	WRITE_ONCE(d.drop, -1);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	close(d.pagemap);
	TH_LOG("%ld rounds, %ld scans within MADV_DONTNEED", rounds, during);
	EXPECT_EQ(0, missed);
}

TEST_F(som, scan_within_dontneed)
{
	drop_and_scan(_metadata, self->fd, false, false);
}

TEST_F(som, fault_and_scan_within_dontneed)
{
	drop_and_scan(_metadata, self->fd, false, true);
}

/* Private memory is zero from then on. */
TEST_F(som, scan_within_private_dontneed)
{
	const char *missing = som_no_private(self->fd);

	if (missing)
		SKIP(return, "%s", missing);
	drop_and_scan(_metadata, self->fd, true, false);
}

/*
 * Two resets of the same memory, or a reset and a scan: what the one has taken from the dirty
 * bits, and is yet to flush, the other must not take for clean.
 */

#define RESET_UNITS	16
#define RESET_SIZE	(RESET_UNITS * UNIT)

struct resets {
	int fd;
	char *mem, *image;
	int round, stop;	/* rounds that have begun, and are at their end */
	int idle;		/* who waits for the next */
	bool zero[2];		/* a reset without an image */
	long resets, bad;
};

struct resetter {
	struct resets *resets;
	int nr;
};

static bool next_round(struct resets *r, int *round)
{
	__atomic_fetch_add(&r->idle, 1, __ATOMIC_ACQ_REL);
	while (READ_ONCE(r->round) == *round)
		sched_yield();
	*round = __atomic_load_n(&r->round, __ATOMIC_ACQUIRE);
	return *round >= 0;
}

static void *reset_again(void *arg)
{
	struct resetter *me = arg;
	struct resets *r = me->resets;
	struct som_reset args;
	int round = 0;

	run_on(1 + me->nr);
	while (next_round(r, &round)) {
		while (READ_ONCE(r->stop) != round) {
			args = som_reset_args(r->mem, RESET_SIZE);
			if (!r->zero[me->nr]) {
				args.flags = SOM_RESET_IMAGE_MEM;
				args.image = som_addr(r->image);
			}
			if (som_reset_call(r->fd, &args))
				__atomic_fetch_add(&r->bad, 1, __ATOMIC_RELAXED);
			__atomic_fetch_add(&r->resets, 1, __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

/* The page of a unit that is written. */
static char *page_of(char *mem, size_t unit)
{
	return mem + unit * (UNIT + PAGE);
}

/* Is a page not told as written, and not as the image? */
static bool missed_write(struct resets *r)
{
	bool missed = false;
	size_t unit;
	char *p;

	for (unit = 0; unit < RESET_UNITS; unit++) {
		p = page_of(r->mem, unit);
		missed |= !(som_scan_page(r->fd, p, WRITTEN) & WRITTEN) &&
			  memcmp(p, page_of(r->image, unit), PAGE);
	}
	return missed;
}

/* Until there have been some resets. */
static void write_some(struct resets *r, struct som_random *rnd)
{
	long resets = READ_ONCE(r->resets) + 2 + som_below(rnd, 4), n, i;

	for (n = 1; READ_ONCE(r->resets) < resets; n++) {
		for (i = 0; i < RESET_UNITS; i++)
			WRITE_ONCE(*(__u64 *)page_of(r->mem, i), n);
	}
	/* And end anywhere in one. */
	for (n = som_below(rnd, 3000); n; n--) {
		for (i = 0; i < RESET_UNITS; i++)
			WRITE_ONCE(*(__u64 *)page_of(r->mem, i), n);
	}
}

static void reset_beside(struct __test_metadata *_metadata, int fd, bool first_zero,
			 bool second_zero)
{
	struct resets r = { .fd = fd, .zero = { first_zero, second_zero } };
	struct resetter resetters[2] = { { &r, 0 }, { &r, 1 } };
	struct som_random rnd = { som_seed() };
	double end = som_now() + som_race_seconds();
	pthread_t threads[2];
	long rounds = 0, missed = 0;
	int i;

	r.mem = som_map(fd, RESET_SIZE);
	r.image = mmap(NULL, RESET_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, r.mem);
	ASSERT_NE(MAP_FAILED, r.image);
	ASSERT_EQ(0, som_scan_clean(fd, r.mem, RESET_SIZE));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, reset_again,
					    &resetters[i]));
	run_on(0);
	while (som_now() < end || rounds < 3) {
		while (__atomic_load_n(&r.idle, __ATOMIC_ACQUIRE) < 2)
			sched_yield();
		r.idle = 0;
		__atomic_store_n(&r.round, ++rounds, __ATOMIC_RELEASE);
		write_some(&r, &rnd);
		WRITE_ONCE(r.stop, rounds);
		while (__atomic_load_n(&r.idle, __ATOMIC_ACQUIRE) < 2)
			sched_yield();
		missed += missed_write(&r);
	}
	WRITE_ONCE(r.round, -1);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	TH_LOG("%ld rounds, %ld resets, %ld with a write that is not told", rounds,
	       r.resets, missed);
	EXPECT_EQ(0, missed);
	EXPECT_EQ(0, r.bad);
}

TEST_F(som, two_resets_with_an_image)
{
	reset_beside(_metadata, self->fd, false, false);
}

TEST_F(som, reset_to_zero_beside_one_with_an_image)
{
	reset_beside(_metadata, self->fd, true, false);
}

TEST_F(som, two_resets_to_zero)
{
	reset_beside(_metadata, self->fd, true, true);
}

TEST_HARNESS_MAIN
