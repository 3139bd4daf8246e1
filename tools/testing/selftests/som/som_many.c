// SPDX-License-Identifier: GPL-2.0
/*
 * Thousands of ranges of one process: each tracked, or reserved, by itself, and all of
 * them given up at once. What the driver keeps of them is in trees whose nodes are freed
 * after a grace period, by whole subtrees.
 *
 * SOM-TEST: chunks=1 takes=20
 */
#include "som_scan.h"

static bool som_one_process = true;

/* More than the 2,850 with which the first subtree went at once that has two levels. */
#define RANGES	(som_in_part() ? 3200UL : 12000UL)

/* What was given up is freed when all processors have been idle, or scheduled. */
static void grace_period(void)
{
	usleep(200000);
}

/* Every other unit of @p is tracked. */
static void track_alternate(struct __test_metadata *_metadata, int fd, char *p)
{
	unsigned long i;

	for (i = 0; i < RANGES; i++)
		ASSERT_EQ(0, som_scan_clean(fd, p + 2 * i * UNIT, PAGE));
}

static char *map_room(int fd)
{
	return som_map_at(fd, NULL, 2 * RANGES * UNIT, PROT_NONE,
			  MAP_NORESERVE);
}

TEST_F(som, tracked_then_unmapped)
{
	char *p = map_room(self->fd);

	ASSERT_NE(MAP_FAILED, p);
	track_alternate(_metadata, self->fd, p);
	ASSERT_EQ(0, munmap(p, 2 * RANGES * UNIT));
	grace_period();
	EXPECT_UNCHANGED();
}

TEST_F(som, tracked_then_exit)
{
	pid_t pid;

	if (som_in_part())
		SKIP(return, "munmap does the same");
	pid = fork();
	if (!pid) {
		char *p = map_room(self->fd);

		child_assert(p != MAP_FAILED);
		track_alternate(_metadata, self->fd, p);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	grace_period();
}

/* One store over all of the tree, and back. */
TEST_F(som, tracked_then_tracked_as_one)
{
	char *p = map_room(self->fd);
	int round;

	ASSERT_NE(MAP_FAILED, p);
	for (round = 0; round < (som_in_part() ? 1 : 2); round++) {
		track_alternate(_metadata, self->fd, p);
		ASSERT_EQ(0, som_scan_clean(self->fd, p, 2 * RANGES * UNIT));
		grace_period();
		ASSERT_EQ(0, madvise(p, 2 * RANGES * UNIT, MADV_REMOVE));
	}
	ASSERT_EQ(0, munmap(p, 2 * RANGES * UNIT));
	grace_period();
}

/*
 * The same of reservations: the first page of every other unit of the pool's is
 * accessible, as many as the pool has.
 */
TEST_F(som, reserved_then_unmapped)
{
	unsigned long units = som_free(), i;
	char *p = som_map_at(self->fd, NULL, 2 * units * UNIT, PROT_NONE, 0);

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < units; i++)
		ASSERT_EQ(0, mprotect(p + 2 * i * UNIT, PAGE, RW));
	EXPECT_COMMITTED(units);
	ASSERT_EQ(0, munmap(p, 2 * units * UNIT));
	grace_period();
	EXPECT_COMMITTED(0);
}

TEST_HARNESS_MAIN
