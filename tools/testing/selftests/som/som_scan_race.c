// SPDX-License-Identifier: GPL-2.0
/*
 * Writers on one processor, a scanner on the other: every write is accounted
 * for.
 *
 * A writer counts up a word in each of its pages. The scanner keeps a copy: it
 * copies a page when, and only when, a scan with PM_SCAN_WP_MATCHING reports
 * it. When the writers have stopped and one last scan has been made, the copy
 * must be the memory. A write that no scan told of leaves a wrong copy behind.
 *
 * SOM-TEST: smp=2 timeout=900 takes=25
 */
#include <sys/resource.h>

#include "som_scan.h"

#define UNITS		6
#define SIZE		(UNITS * UNIT)
#define PAGES		(UNITS * UNIT_PAGES)
#define MAX_WRITERS	2
#define MAX_SCANNERS	2

struct race {
	int fd;
	char *mem;		/* moves in some variants */
	char *home, *away;	/* where it may be */
	__u64 copy[PAGES];
	__u64 wrote[PAGES];	/* what the writers know */
	int writers, scanners;
	int stop_writers, stop_scanners, stop_other;
	bool falling;		/* values may go back to zero */
	bool rare;		/* written at the time when a scan gives up looking */
	long faults;		/* of rare writers */
	long writes, scans, reported, others, bad;
	__u64 seed;
};

struct racer {
	struct race *race;
	int nr;
};

static void count(long *counter, long n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* So many at least, however slow the machine is. */
#define WRITES		100
#define RARE_WRITES	10
#define RARE_FAULTS	5

/* Writers run on processor 0, scanners on 1, everybody else anywhere. */
static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static __u64 *word_of(struct race *race, size_t page)
{
	char *mem = __atomic_load_n(&race->mem, __ATOMIC_ACQUIRE);

	return (__u64 *)(mem + page * PAGE + (page % 500) * 8);
}

static bool write_word(struct race *race, size_t page)
{
	/* It may have moved, or be protected for a moment. */
	while (som_try_write(word_of(race, page), race->wrote[page] + 1)) {
		if (READ_ONCE(race->stop_writers))
			return false;
		sched_yield();
	}
	race->wrote[page]++;
	return true;
}

/*
 * A scan stops looking at pages that nobody has written for 8, 16, ... scans
 * (dirty_log.c). Write some of them just then, before it and behind it.
 */
static void *rare_writer(void *arg)
{
	static const unsigned int gaps[] = {
		0, 1, 2, 7, 8, 8, 9, 9, 10, 11, 16, 17, 18, 32, 33, 34, 64, 65,
		66,
	};
	struct racer *r = arg;
	struct race *race = r->race;
	struct som_random rnd = { race->seed + r->nr };
	struct rusage before, after;
	size_t first = 0;
	long scans;
	int n = 0;

	run_on(0);
	while (!READ_ONCE(race->stop_writers)) {
		if (!n) {
			n = 1 + som_below(&rnd, 4);
			first = som_below(&rnd, PAGES) & ~63UL;
		}
		n--;
		getrusage(RUSAGE_THREAD, &before);
		if (!write_word(race, first + som_below(&rnd, 64)))
			break;
		getrusage(RUSAGE_THREAD, &after);
		count(&race->faults, after.ru_minflt - before.ru_minflt);
		count(&race->writes, 1);
		scans = READ_ONCE(race->scans) +
			gaps[som_below(&rnd, ARRAY_SIZE(gaps))];
		while (READ_ONCE(race->scans) < scans &&
		       !READ_ONCE(race->stop_writers))
			sched_yield();
		/* Anywhere in a scan. */
		for (scans = som_below(&rnd, 2000); scans; scans--)
			READ_ONCE(race->stop_writers);
	}
	return NULL;
}

/*
 * Pages are written in runs and alone, in few units and in all: a unit is now
 * left in peace, now written by the page, now filled.
 */
static void *writer(void *arg)
{
	struct racer *r = arg;
	struct race *race = r->race;
	struct som_random rnd = { race->seed + r->nr };
	size_t page, n, run;
	bool on = true;
	long writes;

	run_on(0);
	while (on && !READ_ONCE(race->stop_writers)) {
		page = som_below(&rnd, PAGES);
		if (som_one_in(&rnd, 2))
			page %= 2 * UNIT_PAGES;
		run = som_small(&rnd, 700);
		writes = 0;
		for (n = 0; on && n < run; n++, page = (page + 1) % PAGES) {
			/* Each page has one writer. */
			if (page % race->writers != r->nr)
				continue;
			on = write_word(race, page);
			writes += on;
		}
		count(&race->writes, writes);
		if (som_one_in(&rnd, 16))
			usleep(som_below(&rnd, 2000));
	}
	return NULL;
}

static void copy_page(struct race *race, size_t page)
{
	__u64 value, old;

	while (som_try_read(word_of(race, page), &value))
		sched_yield();
	old = READ_ONCE(race->copy[page]);
	/* Of two scanners, the one that read first may store last. */
	while ((race->falling || value > old) &&
	       !__atomic_compare_exchange_n(&race->copy[page], &old, value,
					    false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

/* One scan of @len bytes from @start, by as many calls as it takes. */
static long scan_and_copy(struct race *race, struct som_random *rnd,
			  char *start, size_t len)
{
	static const unsigned int lens[] = { 1, 3, 64, 512 };
	struct page_region vec[512];
	struct pm_scan_arg arg;
	long ret, i, reported = 0;
	size_t page;
	__u64 a;

	arg = som_scan_args(start, len, vec, ARRAY_SIZE(vec));
	arg.flags = WP;
	if (race->falling) {
		/* Memory that is gone is not written: it is not present. */
		arg.category_inverted = PRESENT;
		arg.category_anyof_mask = WRITTEN | PRESENT;
	} else {
		arg.category_mask = WRITTEN;
	}
	arg.return_mask = WRITTEN;
	do {
		arg.vec_len = lens[som_below(rnd, ARRAY_SIZE(lens))];
		arg.max_pages = som_one_in(rnd, 3) ? som_small(rnd, 300) : 0;
		ret = som_scan_call(race->fd, &arg);
		if (ret < 0) {
			count(&race->bad, 1);
			return reported;
		}
		for (i = 0; i < ret; i++) {
			for (a = vec[i].start; a < vec[i].end; a += PAGE) {
				page = (a - som_addr(start)) / PAGE;
				if (vec[i].categories)
					copy_page(race, page);
				else
					race->copy[page] = 0;
				reported++;
			}
		}
		arg.start = arg.walk_end;
	} while (arg.start < arg.end);
	return reported;
}

static void scan_everything(struct race *race, struct som_random *rnd)
{
	long reported = 0;

	reported += scan_and_copy(race, rnd, race->home, SIZE);
	if (race->away != race->home)
		reported += scan_and_copy(race, rnd, race->away, SIZE);
	count(&race->reported, reported);
	count(&race->scans, 1);
}

static void *scanner(void *arg)
{
	struct racer *r = arg;
	struct race *race = r->race;
	struct som_random rnd = { race->seed + 100 + r->nr };

	run_on(1);
	while (!READ_ONCE(race->stop_scanners)) {
		scan_everything(race, &rnd);
		if (!race->rare && som_one_in(&rnd, 4))
			usleep(som_below(&rnd, 3000));
	}
	return NULL;
}

static bool race_map(struct race *race, int fd)
{
	race->fd = fd;
	race->mem = som_map(fd, SIZE);
	race->home = race->mem;
	race->away = race->mem;
	race->seed = som_seed();
	return race->mem != MAP_FAILED && !som_scan_clean(fd, race->mem, SIZE);
}

/* Have writers and scanners done so much that it is worth looking at? */
static bool race_enough(struct race *race)
{
	if (!READ_ONCE(race->scans))
		return false;
	if (race->rare)
		return READ_ONCE(race->writes) > RARE_WRITES &&
			READ_ONCE(race->faults) > RARE_FAULTS;
	return READ_ONCE(race->writes) > WRITES;
}

/* @other runs beside writers and scanners, again and again. */
static bool race_run(struct race *race,
		     void (*other)(struct race *race, struct som_random *rnd))
{
	struct racer racers[MAX_WRITERS + MAX_SCANNERS];
	pthread_t threads[MAX_WRITERS + MAX_SCANNERS];
	struct som_random rnd = { race->seed + 200 };
	double end = som_now() + som_race_seconds();
	int n = race->writers + race->scanners, i;
	void *(*write)(void *arg) = race->rare ? rare_writer : writer;

	for (i = 0; i < n; i++) {
		racers[i].race = race;
		racers[i].nr = i < race->writers ? i : i - race->writers;
		if (pthread_create(&threads[i], NULL, i < race->writers ?
				   write : scanner, &racers[i]))
			return false;
	}
	while (som_now() < end || !race_enough(race)) {
		if (other) {
			other(race, &rnd);
			race->others++;
		}
		usleep(other ? som_below(&rnd, 1000) : 20000);
	}
	WRITE_ONCE(race->stop_writers, 1);
	for (i = 0; i < race->writers; i++)
		pthread_join(threads[i], NULL);
	WRITE_ONCE(race->stop_scanners, 1);
	for (; i < n; i++)
		pthread_join(threads[i], NULL);
	/* Memory that was taken away and is not back yet. */
	for (i = 0; i < UNITS; i++)
		READ_ONCE(race->mem[i * UNIT]);
	scan_everything(race, &rnd);
	return true;
}

static void expect_accounted(struct __test_metadata *_metadata,
			     struct race *race)
{
	size_t page, first = PAGES;
	long lost = 0;

	for (page = 0; page < PAGES; page++) {
		if (race->copy[page] != *word_of(race, page) && !lost++)
			first = page;
		if (!race->falling)
			EXPECT_EQ(race->wrote[page], *word_of(race, page));
	}
	EXPECT_EQ(0, lost)
		TH_LOG("SOM_SEED=%llu: page %#zx: copy %llu, memory %llu",
		       race->seed, first, race->copy[first],
		       *word_of(race, first));
	EXPECT_EQ(0, race->bad);
	EXPECT_LT(race->rare ? RARE_WRITES : WRITES, race->writes);
	EXPECT_LT(0, race->scans);
	TH_LOG("%ld writes, %ld scans, %ld pages told, %ld others",
	       race->writes, race->scans, race->reported, race->others);
	/* And then there is peace. */
	EXPECT_EQ(0, som_scan_count(race->fd, race->mem, SIZE, WRITTEN));
}

/* Read only for a moment, pieces or all: dirty entries are taken along. */
static void protect(struct race *race, struct som_random *rnd)
{
	size_t page = som_below(rnd, PAGES), n = som_small(rnd, PAGES);
	int prot = som_one_in(rnd, 4) ? PROT_NONE : PROT_READ;
	char *p = race->mem + page * PAGE;

	if (som_one_in(rnd, 4)) {
		p = race->mem;
		n = PAGES;
		page = 0;
	}
	if (n > PAGES - page)
		n = PAGES - page;
	if (mprotect(p, n * PAGE, prot))
		count(&race->bad, 1);
	if (som_one_in(rnd, 2))
		usleep(som_below(rnd, 500));
	if (mprotect(p, n * PAGE, RW))
		count(&race->bad, 1);
}

static void forget_entries(struct race *race, struct som_random *rnd)
{
	size_t page = som_below(rnd, PAGES), n = som_small(rnd, PAGES);

	if (n > PAGES - page)
		n = PAGES - page;
	if (madvise(race->mem + page * PAGE, n * PAGE, MADV_DONTNEED))
		count(&race->bad, 1);
}

static void take_away(struct race *race, struct som_random *rnd)
{
	size_t page = som_below(rnd, PAGES), n = som_small(rnd, UNIT_PAGES);

	if (som_one_in(rnd, 3)) {
		page &= ~(UNIT_PAGES - 1);
		n = UNIT_PAGES;
	}
	if (n > PAGES - page)
		n = PAGES - page;
	if (madvise(race->mem + page * PAGE, n * PAGE, MADV_REMOVE))
		count(&race->bad, 1);
}

static void move(struct race *race, struct som_random *rnd)
{
	char *from = race->mem, *to;

	to = from == race->home ? race->away : race->home;
	if (mremap(from, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to) {
		count(&race->bad, 1);
		return;
	}
	__atomic_store_n(&race->mem, to, __ATOMIC_RELEASE);
	/* Nothing else may be mapped there meanwhile. */
	if (mmap(from, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
		 MAP_NORESERVE, -1, 0) != from)
		count(&race->bad, 1);
	usleep(som_below(rnd, 20000));
}

static void fork_child(struct race *race, struct som_random *rnd)
{
	pid_t pid = fork();

	if (!pid) {
		usleep(som_below(rnd, 2000));
		_exit(0);
	}
	if (pid < 0 || som_wait_child(pid))
		count(&race->bad, 1);
}

/* Splits that stay, and a part that is mapped anew and never tracked. */
static void unmap_around(struct race *race, struct som_random *rnd)
{
	char *p = som_map(race->fd, 2 * UNIT);

	if (p == MAP_FAILED) {
		count(&race->bad, 1);
		return;
	}
	som_scan_clean(race->fd, p, 2 * UNIT);
	p[som_below(rnd, 2 * UNIT)] = 1;
	munmap(p + (1 + som_below(rnd, UNIT_PAGES)) * PAGE, UNIT - PAGE);
	p[0] = 2;
	munmap(p, 2 * UNIT);
}

/* A scan that only looks must not disturb one that cleans. */
static void look(struct race *race, struct som_random *rnd)
{
	__u64 mask = som_one_in(rnd, 2) ? WRITTEN | ZERO : WRITTEN;
	long ret = som_scan_count(race->fd, race->mem, SIZE, mask);

	if (ret < 0)
		count(&race->bad, 1);
}

SOM_FIXTURE(accounted)

FIXTURE_VARIANT(accounted)
{
	int writers, scanners;	/* 0 is 1 */
	bool private, rare, falling;
	/* Runs beside them. */
	void (*other)(struct race *race, struct som_random *rnd);
	size_t shift;		/* of the other place of memory that moves */
};

FIXTURE_VARIANT_ADD(accounted, one_writer_one_scanner) {};

FIXTURE_VARIANT_ADD(accounted, two_writers)
{
	.writers = 2,
};

FIXTURE_VARIANT_ADD(accounted, two_scanners)
{
	.scanners = 2,
};

FIXTURE_VARIANT_ADD(accounted, rare_writes)
{
	.rare = true,
};

FIXTURE_VARIANT_ADD(accounted, while_mprotect)
{
	.other = protect,
};

FIXTURE_VARIANT_ADD(accounted, rare_writes_while_mprotect)
{
	.rare = true,
	.other = protect,
};

FIXTURE_VARIANT_ADD(accounted, while_dontneed)
{
	.other = forget_entries,
};

/* In private memory, that changes it. */
FIXTURE_VARIANT_ADD(accounted, while_private_dontneed)
{
	.private = true,
	.falling = true,
	.other = forget_entries,
};

FIXTURE_VARIANT_ADD(accounted, while_remove)
{
	.falling = true,
	.other = take_away,
};

FIXTURE_VARIANT_ADD(accounted, while_mremap)
{
	.other = move,
};

/* Where no 2 MiB entry fits. */
FIXTURE_VARIANT_ADD(accounted, while_mremap_to_another_phase)
{
	.other = move,
	.shift = 5 * PAGE,
};

FIXTURE_VARIANT_ADD(accounted, while_fork)
{
	.other = fork_child,
};

FIXTURE_VARIANT_ADD(accounted, while_mmap_and_munmap)
{
	.writers = 2,
	.other = unmap_around,
};

FIXTURE_VARIANT_ADD(accounted, while_looking)
{
	.other = look,
};

TEST_F(accounted, writes)
{
	const char *missing = variant->private ? som_no_private(self->fd) : NULL;
	static struct race race;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_TRUE(race_map(&race, self->fd));
	race.writers = variant->writers ?: 1;
	race.scanners = variant->scanners ?: 1;
	race.rare = variant->rare;
	race.falling = variant->falling;
	if (variant->private) {
		ASSERT_EQ(race.mem, som_map_private_at(self->fd, race.mem, SIZE,
						       RW, MAP_FIXED));
		ASSERT_EQ(0, som_scan_clean(self->fd, race.mem, SIZE));
	}
	if (variant->other == move) {
		race.away = som_room(SIZE + UNIT, UNIT);
		ASSERT_NE(MAP_FAILED, race.away);
		race.away += variant->shift;
	}
	ASSERT_TRUE(race_run(&race, variant->other));
	expect_accounted(_metadata, &race);
	/* It did stop looking, again and again. */
	if (variant->rare)
		EXPECT_LT(RARE_FAULTS, race.faults)
			TH_LOG("%ld faults", race.faults);
}

TEST_HARNESS_MAIN
