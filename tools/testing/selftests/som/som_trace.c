// SPDX-License-Identifier: GPL-2.0
/*
 * Tracepoints fire when they should, with the right values. Read through a
 * tracefs instance of the test's own.
 *
 * SOM-TEST: takes=14 kmemleak
 */
#include "som_test.h"

static bool som_one_process = true;

#define TRACEFS		"/sys/kernel/tracing/"
#define INSTANCE	TRACEFS "instances/som_trace/"

FIXTURE(trace)
{
	struct som_state before;
	pid_t pid;
	int fd;
};

FIXTURE_SETUP(trace)
{
	self->pid = getpid();
	som_state_read(&self->before);
	ASSERT_LE(0, self->before.free);
	if (access(TRACEFS "instances", F_OK))
		SKIP(return, "no tracefs in this kernel");
	mkdir(INSTANCE, 0700);
	ASSERT_EQ(0, som_write_string(INSTANCE "events/som/enable", "1"));
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN_PARENT(trace)
{
	som_write_string(INSTANCE "events/som/enable", "0");
	rmdir(INSTANCE);
	som_set_chunks(self->before.chunks);
	if (getpid() != self->pid)
		EXPECT_TRUE(som_state_wait(&self->before));
}

/* Forget what was traced so far. */
static void trace_clear(void)
{
	int fd = open(INSTANCE "trace", O_WRONLY | O_TRUNC);

	if (fd >= 0)
		close(fd);
}

/* The number behind "@key=" in an event's line; -1 when it is not there. */
static long event_value(const char *line, const char *key)
{
	char name[64];
	char *at;

	snprintf(name, sizeof(name), " %s=", key);
	at = strstr(line, name);
	return at ? strtol(at + strlen(name), NULL, 0) : -1;
}

struct event {
	long address, unit, entry_size, write, cleared, held, chunk, nid;
};

/*
 * Read the events of one name, up to @max of them, in order.
 * Return: how many there are.
 */
static int trace_read(const char *name, struct event *events, int max)
{
	char line[512], word[64];
	int nr = 0;
	FILE *f;

	f = fopen(INSTANCE "trace", "re");
	if (!f)
		return -1;
	snprintf(word, sizeof(word), ": %s:", name);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || !strstr(line, word))
			continue;
		if (nr < max) {
			events[nr].address = event_value(line, "address");
			events[nr].unit = event_value(line, "unit");
			events[nr].entry_size = event_value(line, "entry_size");
			events[nr].write = event_value(line, "write");
			events[nr].cleared = event_value(line, "cleared");
			events[nr].held = event_value(line, "held");
			events[nr].chunk = event_value(line, "chunk");
			events[nr].nid = event_value(line, "nid");
		}
		nr++;
	}
	fclose(f);
	return nr;
}

TEST_F(trace, fault_at_a_2m_entry)
{
	char *p = som_map(self->fd, UNIT);
	struct event alloc, fault;

	ASSERT_NE(MAP_FAILED, p);
	trace_clear();
	WRITE_ONCE(p[7 * PAGE + 5], 1);
	ASSERT_EQ(1, trace_read("som_unit_alloc", &alloc, 1));
	ASSERT_EQ(1, trace_read("som_fault", &fault, 1));
	EXPECT_EQ((long)p + 7 * PAGE + 5, fault.address);
	EXPECT_EQ(UNIT, fault.entry_size);
	EXPECT_EQ(1, fault.write);
	EXPECT_EQ(alloc.unit, fault.unit);
	EXPECT_LE(0, alloc.unit);
}

TEST_F(trace, fault_at_4k_entries)
{
	char *p = som_map(self->fd, UNIT / 2);
	struct event fault;

	ASSERT_NE(MAP_FAILED, p);
	trace_clear();
	EXPECT_EQ(0, READ_ONCE(p[7 * PAGE]));
	ASSERT_EQ(1, trace_read("som_fault", &fault, 1));
	EXPECT_EQ((long)p + 7 * PAGE, fault.address);
	EXPECT_EQ(PAGE, fault.entry_size);
	EXPECT_EQ(0, fault.write);
}

/* One fault fills the whole of what is mapped of a unit. */
TEST_F(trace, one_fault_for_all_pages)
{
	char *p = som_map(self->fd, UNIT - PAGE);
	struct event fault;

	ASSERT_NE(MAP_FAILED, p);
	trace_clear();
	som_fill(p, UNIT - PAGE, 1);
	EXPECT_EQ(1, trace_read("som_fault", &fault, 1));
}

TEST_F(trace, no_fault_on_the_second_touch)
{
	char *p = som_map(self->fd, 2 * UNIT);
	struct event e;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	trace_clear();
	som_fill(p, 2 * UNIT, 2);
	EXPECT_EQ(0, trace_read("som_fault", &e, 1));
	EXPECT_EQ(0, trace_read("som_unit_alloc", &e, 1));
}

/* The units that are taken are the units that come back. */
TEST_F(trace, units_are_freed_that_were_taken)
{
	struct event alloc[4], freed[4];
	char *p = som_map(self->fd, 4 * UNIT);
	int i, j, found = 0;

	ASSERT_NE(MAP_FAILED, p);
	trace_clear();
	som_touch_units(p, 4 * UNIT);
	ASSERT_EQ(4, trace_read("som_unit_alloc", alloc, 4));
	EXPECT_EQ(0, trace_read("som_unit_free", freed, 4));
	ASSERT_EQ(0, munmap(p + UNIT, UNIT));
	ASSERT_EQ(1, trace_read("som_unit_free", freed, 4));
	EXPECT_EQ(alloc[1].unit, freed[0].unit);
	EXPECT_EQ(0, freed[0].held);
	ASSERT_EQ(0, munmap(p, 4 * UNIT));
	ASSERT_EQ(4, trace_read("som_unit_free", freed, 4));
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++)
			found += alloc[i].unit == freed[j].unit;
	EXPECT_EQ(4, found);
}

/* A unit that was somebody's is zeroed when it is taken; a new one is not. */
TEST_F(trace, dirty_units_are_cleared)
{
	long clean, i, nr, cleared = 0, rate = som_zero_stop();
	struct event *alloc;
	char *p;

	/* Nobody but who takes them. */
	ASSERT_LE(0, rate);
	clean = som_free() - som_pool("units_dirty");
	nr = som_free();
	alloc = calloc(nr, sizeof(*alloc));
	ASSERT_NE(NULL, alloc);
	p = som_map(self->fd, nr * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	trace_clear();
	som_touch_units(p, nr * UNIT);
	ASSERT_EQ(nr, trace_read("som_unit_alloc", alloc, nr));
	for (i = 0; i < nr; i++)
		cleared += alloc[i].cleared;
	EXPECT_EQ(nr - clean, cleared);
	ASSERT_EQ(0, munmap(p, nr * UNIT));

	trace_clear();
	p = som_map(self->fd, 3 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 3 * UNIT);
	ASSERT_EQ(3, trace_read("som_unit_alloc", alloc, 3));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(1, alloc[i].cleared);
	ASSERT_EQ(0, som_setting("zero_rate", rate));
	free(alloc);
}

TEST_F(trace, chunk_get_and_put)
{
	struct event get, put;
	char path[64];

	ASSERT_LE(1, self->before.hugepages)
		TH_LOG("this test wants a spare 1G page");
	trace_clear();
	ASSERT_EQ(0, som_set_chunks(2));
	ASSERT_EQ(1, trace_read("som_chunk_get", &get, 1));
	EXPECT_EQ(0, trace_read("som_chunk_put", &put, 1));
	EXPECT_LE(0, get.chunk);
	snprintf(path, sizeof(path), "node%ld/nr_chunks", get.nid);
	EXPECT_LE(1, som_pool(path));
	ASSERT_EQ(0, som_set_chunks(0));
	ASSERT_EQ(2, trace_read("som_chunk_put", &put, 1));
	ASSERT_EQ(0, som_set_chunks(1));
}

TEST_F(trace, units_are_of_a_chunk)
{
	struct event get, alloc;
	char *p;

	ASSERT_EQ(0, som_set_chunks(0));
	trace_clear();
	ASSERT_EQ(0, som_set_chunks(1));
	ASSERT_EQ(1, trace_read("som_chunk_get", &get, 1));
	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, UNIT);
	ASSERT_EQ(1, trace_read("som_unit_alloc", &alloc, 1));
	EXPECT_EQ(get.chunk, alloc.unit / (long)CHUNK_UNITS);
}

TEST_F(trace, no_events_when_nothing_happens)
{
	struct event e;

	trace_clear();
	ASSERT_NE(MAP_FAILED, som_map(self->fd, UNIT));
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, 1UL << 40));
	EXPECT_EQ(0, trace_read("som_fault", &e, 1));
	EXPECT_EQ(0, trace_read("som_unit_alloc", &e, 1));
	EXPECT_EQ(0, trace_read("som_unit_free", &e, 1));
}

TEST_HARNESS_MAIN
