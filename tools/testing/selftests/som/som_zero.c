// SPDX-License-Identifier: GPL-2.0
/*
 * Units are zeroed in the background: how many, how fast, and that it makes no
 * difference to anybody but in time.
 *
 * SOM-TEST: timeout=300 kmemleak
 */
#include "som_test.h"

#define NR	16

FIXTURE(zero)
{
	struct som_state before;
	long rate;
	int fd;
};

FIXTURE_SETUP(zero)
{
	som_state_read(&self->before);
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
	self->rate = som_zero_stop();
	ASSERT_LE(0, self->rate);
}

FIXTURE_TEARDOWN_PARENT(zero)
{
	som_setting("zero_rate", self->rate);
	EXPECT_TRUE(som_state_wait(&self->before));
}

static long dirty(void)
{
	return som_pool("units_dirty");
}

static long zeroed(void)
{
	return som_pool("zeroed_background");
}

/* Write to units and give them back: dirty, as long as nobody zeroes them. */
static void make_dirty(struct __test_metadata *_metadata, int fd, long nr)
{
	char *p = som_map(fd, nr * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, nr * UNIT, 3);
	ASSERT_EQ(0, munmap(p, nr * UNIT));
}

TEST_F(zero, rate_0_is_off)
{
	long before;

	make_dirty(_metadata, self->fd, NR);
	before = dirty();
	ASSERT_LE(NR, before);
	usleep(300000);
	EXPECT_EQ(before, dirty());
}

TEST_F_TIMEOUT(zero, all_is_zeroed, 200)
{
	long total = zeroed(), nr, i;
	char *p;

	make_dirty(_metadata, self->fd, NR);
	nr = dirty();
	ASSERT_LE(0, som_setting("zero_rate", 1000000));
	/* A unit is counted when it is not dirty any more. */
	EXPECT_EQ(total + nr, som_wait_number(zeroed, total + nr));
	EXPECT_EQ(0, dirty());
	EXPECT_EQ(som_free(), som_pool("units_zeroed"));

	/* And it is zero: what nobody zeroes again when it is touched. */
	p = som_map(self->fd, NR * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < NR; i++)
		EXPECT_EQ(-1, som_not_zero(p + i * UNIT, UNIT));
	EXPECT_EQ(0, dirty());
	ASSERT_EQ(0, munmap(p, NR * UNIT));
}

TEST_F(zero, not_faster_than_said)
{
	long before, nr;
	double start;

	make_dirty(_metadata, self->fd, 64);
	before = zeroed();
	start = som_now();
	ASSERT_LE(0, som_setting("zero_rate", 10));
	do {
		sleep(1);
		nr = zeroed() - before;
	} while (!nr && som_now() < start + 60);
	EXPECT_LE(1, nr);
	/* A tick more or less, and a guest's second can be long. */
	EXPECT_GE(20 + 20 * (som_now() - start), nr);
	ASSERT_LE(0, som_setting("zero_rate", 0));
}

/* A unit that is being zeroed can be waited for, but is not lost or given twice. */
TEST_F_TIMEOUT(zero, all_of_the_pool_while_it_is_zeroed, 200)
{
	double end = som_now() + 2 * som_race_seconds();
	long nr = som_free(), before = zeroed(), i;
	char *p;

	ASSERT_LE(0, som_setting("zero_rate", 1000000));
	do {
		p = som_map(self->fd, nr * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		for (i = 0; i < nr; i++) {
			ASSERT_EQ(0, *(long *)(p + i * UNIT + 8 * i));
			*(long *)(p + i * UNIT + 8 * i) = i + 1;
		}
		for (i = 0; i < nr; i++)
			ASSERT_EQ(i + 1, *(long *)(p + i * UNIT + 8 * i));
		EXPECT_EQ(self->before.used + nr, som_used());
		ASSERT_EQ(0, munmap(p, nr * UNIT));
	} while (som_now() < end || zeroed() == before);
}

/* A chunk that is being zeroed can be given back and taken again. */
TEST_F_TIMEOUT(zero, shrink_while_it_is_zeroed, 200)
{
	double end = som_now() + som_race_seconds();
	long chunks = self->before.chunks;

	ASSERT_LE(0, som_setting("zero_rate", 1000000));
	do {
		make_dirty(_metadata, self->fd, NR);
		ASSERT_EQ(0, som_set_chunks(0));
		EXPECT_EQ(0, som_pool("units_total"));
		ASSERT_EQ(0, som_set_chunks(chunks));
	} while (som_now() < end);
}

/* It is polite: while somebody else wants the processors, it gives them up. */
TEST_F_TIMEOUT(zero, paused_under_load, 200)
{
	double end = som_now() + 120;
	long pauses = som_pool("zero_pauses");
	pid_t pid[4];
	int i;

	for (i = 0; i < 4; i++) {
		pid[i] = fork();
		if (!pid[i])
			for (;;)
				;
	}
	ASSERT_LE(0, som_setting("zero_rate", 1000000));
	while (som_pool("zero_pauses") == pauses && som_now() < end) {
		make_dirty(_metadata, self->fd, 64);
		usleep(50000);
	}
	EXPECT_LT(pauses, som_pool("zero_pauses"));
	for (i = 0; i < 4; i++) {
		kill(pid[i], SIGKILL);
		EXPECT_EQ(-SIGKILL, som_wait_child(pid[i]));
	}
}

TEST_HARNESS_MAIN
