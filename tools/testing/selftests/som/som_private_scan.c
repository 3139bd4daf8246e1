// SPDX-License-Identifier: GPL-2.0
/*
 * MAP_PRIVATE: what scans and resets say of memory that was given up.
 *
 * SOM-TEST: timeout=900 takes=8
 */
#include "som_scan.h"

static const char *(*som_missing)(int fd) = som_no_private;
static bool som_one_process = true;

/*
 * A page whose content DONTNEED has changed is reported as written, or
 * is not present.
 */
TEST_F(som, tracked_pages_are_told)
{
	static const struct {
		size_t from, to;
	} cases[] = {
		{ 5, 6 }, { 0, 512 }, { 100, 900 }, { 511, 1025 }, { 0, 1536 },
	};
	__u64 got[3 * UNIT_PAGES];
	size_t i, page;
	int again;

	for (i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		size_t from = cases[i / 2].from, to = cases[i / 2].to;
		char *p = som_map_private(self->fd, 3 * UNIT);

		ASSERT_NE(MAP_FAILED, p);
		/* Tracked before it is written, or after. */
		if (i % 2)
			ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
		som_fill_pages(p, 3 * UNIT, 1);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
		ASSERT_EQ(0, som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
		ASSERT_EQ(0, madvise(p + from * PAGE, (to - from) * PAGE,
				     MADV_DONTNEED));
		for (again = 0; again < 2; again++) {
			ASSERT_EQ(0, som_scan_pages(self->fd, p, 3 * UNIT_PAGES,
						    again ? WP : 0, 0,
						    WRITTEN | PRESENT, got));
			for (page = from; page < to; page++) {
				ASSERT_NE(NOT_LISTED, got[page]);
				if (got[page] & PRESENT)
					EXPECT_NE(0, got[page] & WRITTEN)
						TH_LOG("page %zu of %zu to %zu",
						       page, from, to);
			}
			if (!again && i % 2)
				READ_ONCE(p[from * PAGE]);
		}
		EXPECT_EQ(-1, som_pages_not_zero(p + from * PAGE,
						 (to - from) * PAGE));
		ASSERT_EQ(0, munmap(p, 3 * UNIT));
	}
}

/*
 * A scan for written pages alone, and a reset, pass over what they know to be
 * clean: not over a part that DONTNEED has zeroed meanwhile.
 */
TEST_F(som, parts_that_went_are_written)
{
	char *p = som_map_private(self->fd, 3 * UNIT), *q = p + UNIT + 5 * PAGE;
	char *image = som_shared(3 * UNIT);
	struct som_reset reset;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, image);
	som_fill(p, 3 * UNIT, 1);
	memcpy(image, p, 3 * UNIT);
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
		ASSERT_EQ(0, som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
		ASSERT_EQ(0, madvise(q, 2 * PAGE, MADV_DONTNEED));
		EXPECT_EQ(UNIT_PAGES,
			  som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
		EXPECT_EQ(0, som_scan_clean(self->fd, p, 3 * UNIT));
		ASSERT_EQ(0, madvise(q, 2 * PAGE, MADV_DONTNEED));
		reset = som_reset_args(p, 3 * UNIT);
		reset.flags = SOM_RESET_IMAGE_MEM;
		reset.image = som_addr(image);
		ASSERT_EQ(0, som_reset_call(self->fd, &reset));
		EXPECT_EQ(UNIT, reset.rewritten);
		EXPECT_EQ(-1, som_check(p, 3 * UNIT, 1));
	}
}

#define GOING_UNITS	4

/* Units come and go: each one is given up whole, and soon written again. */
static void *give_up_units(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	size_t unit;

	while (!READ_ONCE(race->stop)) {
		for (unit = r->nr; unit < GOING_UNITS; unit += 2) {
			char *p = race->mem + unit * UNIT;

			WRITE_ONCE(*p, 1);
			som_bad(race, madvise(p, UNIT, MADV_DONTNEED));
		}
		som_round(race);
	}
	return NULL;
}

/* A scan that takes all there is lists every page, there or not. */
static void scan_all_pages(struct som_race *race)
{
	static __u64 got[GOING_UNITS * UNIT_PAGES];
	double end = som_race_end(race);
	size_t page;

	while (som_race_on(race, end)) {
		som_bad(race, som_scan_pages(race->fd, race->mem,
					     GOING_UNITS * UNIT_PAGES, 0, 0,
					     PRESENT, got));
		for (page = 0; page < GOING_UNITS * UNIT_PAGES; page++)
			som_bad(race, got[page] == NOT_LISTED);
	}
}

TEST_F(som, scans_list_units_that_go)
{
	struct som_race race = {
		.fd = self->fd, .seconds = 2 * som_race_seconds(),
	};

	race.mem = som_map_private(self->fd, GOING_UNITS * UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_run_racers(&race, 2, give_up_units, scan_all_pages));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
}

/*
 * Each thread has units of its own, below scans that clean them: what it has given up is
 * zero, what it has written then stays, also when a worker comes by.
 */
static void *give_up_and_keep(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = 50 + r->nr;
	__u64 round;
	size_t at;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		size_t unit = rand_r(&seed) % 2 * 2 + r->nr;
		char *p = race->mem + unit * UNIT;
		size_t keep = rand_r(&seed) % UNIT_PAGES * PAGE;

		for (at = rand_r(&seed) % 64 * PAGE; at < UNIT; at += 61 * PAGE)
			WRITE_ONCE(*(__u64 *)(p + at), som_word(round, at));
		WRITE_ONCE(*(__u64 *)(p + keep), round);
		/* A part alone makes it zero where it is. */
		if (rand_r(&seed) % 2)
			som_bad(race, madvise(p + rand_r(&seed) % 511 * PAGE,
					      PAGE, MADV_DONTNEED));
		som_bad(race, madvise(p, UNIT, MADV_DONTNEED));
		if (rand_r(&seed) % 4)
			som_bad(race, READ_ONCE(*(__u64 *)(p + keep)));
		WRITE_ONCE(*(__u64 *)(p + keep), round);
		if (rand_r(&seed) % 2)
			usleep(rand_r(&seed) % 15000);
		som_bad(race, READ_ONCE(*(__u64 *)(p + keep)) != round);
		WRITE_ONCE(*(__u64 *)(p + keep), 0);
		if (rand_r(&seed) % 4 == 0)
			som_bad(race, som_pages_not_zero(p, UNIT) != -1);
		som_round(race);
	}
	return NULL;
}

static void scan_and_clean(struct som_race *race)
{
	double end = som_race_end(race);

	while (som_race_on(race, end))
		som_bad(race, som_scan_clean(race->fd, race->mem,
					     GOING_UNITS * UNIT));
}

TEST_F(som, scans_beside_what_goes_and_comes)
{
	struct som_race race = { .fd = self->fd };

	race.mem = som_map_private(self->fd, GOING_UNITS * UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(0, som_scan_clean(self->fd, race.mem, GOING_UNITS * UNIT));
	ASSERT_EQ(0, som_run_racers(&race, 2, give_up_and_keep, scan_and_clean));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	TH_LOG("%ld rounds, %ld wrong", race.rounds, race.bad);
}

/* A write after the DONTNEED is reported. */
TEST_F(som, tracked_and_written_again)
{
	char *p = som_map_private(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 2 * UNIT, 1);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	ASSERT_EQ(0, madvise(p, UNIT + 10 * PAGE, MADV_DONTNEED));
	/* Whatever this one says; all is clean afterwards. */
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	p[3 * PAGE] = 1;
	p[UNIT + 3 * PAGE] = 1;
	EXPECT_NE(0, som_scan_page(self->fd, p + 3 * PAGE, WRITTEN));
	EXPECT_NE(0, som_scan_page(self->fd, p + UNIT + 3 * PAGE, WRITTEN));
	EXPECT_EQ(som_word(1, UNIT + 10 * PAGE),
		  *(__u64 *)(p + UNIT + 10 * PAGE));
}

TEST_F(som, zero_category_after_dontneed)
{
	char *p = som_map_private(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 2 * UNIT, 1);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, ZERO));
	ASSERT_EQ(0, madvise(p, UNIT + 10 * PAGE, MADV_DONTNEED));
	EXPECT_EQ(UNIT_PAGES + 10,
		  som_scan_count(self->fd, p, 2 * UNIT, ZERO));
}

TEST_F(som, reset_of_private_memory)
{
	char *p = som_map_private(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * UNIT));
	som_fill_pages(p, 2 * UNIT, 1);
	ASSERT_EQ(0, madvise(p + UNIT, 5 * PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, som_reset_zero(self->fd, p, 2 * UNIT));
	EXPECT_EQ(-1, som_not_zero(p, 2 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
}

TEST_HARNESS_MAIN
