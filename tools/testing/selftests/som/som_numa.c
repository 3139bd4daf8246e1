// SPDX-License-Identifier: GPL-2.0
/*
 * Which node a unit comes from: the processor's, the VMA's policy, the task's.
 *
 * The guest has two nodes with a chunk of each.
 *
 * SOM-TEST: chunks=0 spare=2 mem=8G timeout=300 nodes=2 takes=15
 */
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include "som_test.h"

#define NR	6

static long set_mempolicy(int mode, unsigned long nodes)
{
	return syscall(__NR_set_mempolicy, mode, nodes ? &nodes : NULL,
		       nodes ? 8 * sizeof(nodes) : 0);
}

static long mbind(void *p, size_t len, int mode, unsigned long nodes)
{
	return syscall(__NR_mbind, p, len, mode, &nodes, 8 * sizeof(nodes), 0);
}

static long node_pool(int node, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), SOM_SYSFS "node%d/%s", node, name);
	return som_read_number(path);
}

static long used(int node)
{
	return node_pool(node, "units_used");
}

FIXTURE(numa)
{
	struct som_state before;
	int fd;
};

FIXTURE_SETUP(numa)
{
	long chunks = 0;

	som_state_read(&self->before);
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
	som_catch_faults();
	/* The source gives from whatever node it has a page of. */
	while (node_pool(0, "nr_chunks") < 1 || node_pool(1, "nr_chunks") < 1) {
		if (!som_set_chunks(++chunks))
			continue;
		som_set_chunks(self->before.chunks);
		SKIP(return, "no 1 GiB pages on each of two nodes");
	}
}

FIXTURE_TEARDOWN_PARENT(numa)
{
	ASSERT_EQ(0, som_set_chunks(self->before.chunks));
	EXPECT_TRUE(som_state_wait(&self->before));
}

static char *map_touch(int fd, int flags, long units)
{
	char *p = som_map_at(fd, NULL, units * UNIT, RW, flags);

	if (p != MAP_FAILED)
		som_touch_units(p, units * UNIT);
	return p;
}

TEST_F(numa, of_the_processor)
{
	unsigned int cpu, node;
	cpu_set_t set;
	char *p;
	int i;

	for (i = 0; i < 2; i++) {
		CPU_ZERO(&set);
		CPU_SET(i, &set);
		ASSERT_EQ(0, sched_setaffinity(0, sizeof(set), &set));
		ASSERT_EQ(0, syscall(__NR_getcpu, &cpu, &node, NULL));
		ASSERT_EQ(i, node);
		p = map_touch(self->fd, 0, NR);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(NR, used(node));
		EXPECT_EQ(0, used(!node));
		EXPECT_EQ(0, munmap(p, NR * UNIT));
	}
}

TEST_F(numa, of_the_task)
{
	int node;
	char *p;

	for (node = 0; node < 2; node++) {
		ASSERT_EQ(0, set_mempolicy(MPOL_PREFERRED, 1 << node));
		p = map_touch(self->fd, 0, NR);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(NR, used(node));
		EXPECT_EQ(0, used(!node));
		EXPECT_EQ(0, munmap(p, NR * UNIT));
		ASSERT_EQ(0, set_mempolicy(MPOL_BIND, 1 << node));
		p = map_touch(self->fd, 0, NR);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(NR, used(node));
		EXPECT_EQ(0, munmap(p, NR * UNIT));
	}
	ASSERT_EQ(0, set_mempolicy(MPOL_INTERLEAVE, 3));
	p = map_touch(self->fd, 0, NR);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(NR / 2, used(0));
	EXPECT_EQ(NR / 2, used(1));
	EXPECT_EQ(0, munmap(p, NR * UNIT));
	ASSERT_EQ(0, set_mempolicy(MPOL_DEFAULT, 0));
}

/* The VMA's policy is stronger than the task's. */
TEST_F(numa, of_the_mapping)
{
	int node;
	char *p;

	for (node = 0; node < 2; node++) {
		ASSERT_EQ(0, set_mempolicy(MPOL_BIND, 1 << !node));
		p = som_map(self->fd, NR * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(0, mbind(p, NR * UNIT, MPOL_PREFERRED, 1 << node));
		som_touch_units(p, NR * UNIT);
		EXPECT_EQ(NR, used(node));
		EXPECT_EQ(0, used(!node));
		EXPECT_EQ(0, munmap(p, NR * UNIT));
		p = som_map(self->fd, NR * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(0, mbind(p, NR * UNIT, MPOL_PREFERRED_MANY, 1 << node));
		som_touch_units(p, NR * UNIT);
		EXPECT_EQ(NR, used(node));
		EXPECT_EQ(0, munmap(p, NR * UNIT));
	}
	ASSERT_EQ(0, set_mempolicy(MPOL_DEFAULT, 0));
}

/* The node is full: the next one for who prefers it, none for who is bound. */
TEST_F(numa, when_a_node_is_full)
{
	long free = node_pool(1, "units_free");
	char *p, *q;

	p = som_map(self->fd, free * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mbind(p, free * UNIT, MPOL_BIND, 1 << 1));
	som_touch_units(p, free * UNIT);
	EXPECT_EQ(free, used(1));

	q = som_map(self->fd, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_EQ(0, mbind(q, UNIT, MPOL_PREFERRED, 1 << 1));
	ASSERT_EQ(0, mbind(q + UNIT, UNIT, MPOL_BIND, 1 << 1));
	EXPECT_EQ(0, som_try_write(q, 1));
	EXPECT_EQ(1, used(0));
	EXPECT_EQ(SIGBUS, som_try_write(q + UNIT, 1));
	EXPECT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(0, som_try_write(q + UNIT, 1));
	EXPECT_EQ(free, used(1));
	EXPECT_EQ(0, munmap(p, free * UNIT));
	EXPECT_EQ(0, munmap(q, 2 * UNIT));
}

TEST_HARNESS_MAIN
