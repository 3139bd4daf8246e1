// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading. Whatever happens, HugeTLB has its pages back.
 *
 * SOM-TEST: chunks=1 no-module timeout=900 takes=35 kmemleak
 */
#include <sys/klog.h>

#include "som_load.h"
#include "som_test.h"

#define CHUNKS_PARAM	"/sys/module/som/parameters/chunks"

FIXTURE(module)
{
	long hugepages;
	int ko;
};

FIXTURE_SETUP(module)
{
	const char *path = getenv("SOM_KO");

	if (!path)
		SKIP(return, "SOM_KO is not set");
	som_one_cpu();
	self->ko = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->ko);
	ASSERT_NE(0, access("/sys/module/som", F_OK));
	self->hugepages = som_free_hugepages();
	ASSERT_LE(2, self->hugepages);
	som_catch_faults();
}

FIXTURE_TEARDOWN_PARENT(module)
{
	if (!access("/sys/module/som", F_OK))
		unload_wait();
	EXPECT_NE(0, access("/sys/module/som", F_OK));
	EXPECT_NE(0, access(SOM_DEV, F_OK));
	EXPECT_EQ(self->hugepages, som_wait_number(som_free_hugepages,
						   self->hugepages));
}

TEST_F(module, load_and_unload_in_a_loop)
{
	int i, rounds = som_rounds(8);

	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, load(self->ko, i % 2 ? "chunks=1" : ""));
		ASSERT_EQ(i % 2, som_pool("nr_chunks"));
		ASSERT_EQ(i % 2, som_read_number(CHUNKS_PARAM));
		ASSERT_EQ(self->hugepages - i % 2, som_free_hugepages());
		ASSERT_EQ(0, unload());
		ASSERT_EQ(self->hugepages, som_free_hugepages());
	}
}

TEST_F(module, load_use_and_unload_in_a_loop)
{
	int i, fd, rounds = som_rounds(3);
	char *p;

	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, load(self->ko, "chunks=1"));
		fd = open_device();
		ASSERT_LE(0, fd);
		p = som_map(fd, 4 * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(-1, som_pages_not_zero(p, 4 * UNIT));
		som_fill_pages(p, 4 * UNIT, i);
		ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
		ASSERT_EQ(0, munmap(p, 4 * UNIT));
		close(fd);
		ASSERT_EQ(0, unload_wait());
		ASSERT_EQ(self->hugepages, som_free_hugepages());
	}
}

/* Whoever opens the device in its first moment finds all of it. */
TEST_F(module, device_is_complete_when_it_can_be_opened)
{
	int *step = som_shared(2 * sizeof(*step)), *done = step + 1;
	int i, rounds = som_rounds(30);
	pid_t pid;

	pid = fork();
	if (!pid) {
		som_all_cpus();
		for (i = 1; i <= rounds; i++) {
			int fd, ok;

			while ((fd = open(SOM_DEV, O_RDWR | O_CLOEXEC)) < 0)
				child_assert(errno == ENOENT || errno == ENODEV ||
					     errno == ENXIO);
			ok = !access(SOM_SYSFS "node0/units_quarantined", R_OK) &&
			     !access(SOM_SYSFS "units_total", R_OK);
			child_assert(ok);
			close(fd);
			WRITE_ONCE(*done, i);
			child_assert(som_wait_flag(step, i));
		}
		_exit(0);
	}
	som_all_cpus();
	for (i = 1; i <= rounds; i++) {
		ASSERT_EQ(0, load(self->ko, ""));
		ASSERT_TRUE(som_wait_flag(done, i))
			kill(pid, SIGKILL);
		ASSERT_EQ(0, unload_wait());
		WRITE_ONCE(*step, i);
	}
	EXPECT_EQ(0, som_wait_child(pid));
}

TEST_F(module, default_is_no_chunks)
{
	int fd;

	ASSERT_EQ(0, load(self->ko, ""));
	EXPECT_EQ(0, som_read_number(CHUNKS_PARAM));
	EXPECT_EQ(0, som_pool("units_total"));
	EXPECT_EQ(self->hugepages, som_free_hugepages());
	fd = open_device();
	ASSERT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, som_map(fd, PAGE));
	EXPECT_EQ(ENOMEM, errno);
	close(fd);
	EXPECT_EQ(0, unload_wait());
}

TEST_F(module, chunks_are_taken_and_given_back)
{
	ASSERT_EQ(0, load(self->ko, "chunks=2"));
	EXPECT_EQ(2, som_pool("nr_chunks"));
	EXPECT_EQ(1024, som_free());
	EXPECT_EQ(0, som_pool("units_dirty"));
	EXPECT_EQ(self->hugepages - 2, som_free_hugepages());
	EXPECT_EQ(0, unload());
	EXPECT_EQ(self->hugepages, som_free_hugepages());
}

/* The chunks of one load were written to; HugeTLB zeroes them for the next. */
TEST_F(module, memory_is_zero_in_the_next_load)
{
	int i, fd;
	char *p;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, load(self->ko, "chunks=2"));
		fd = open_device();
		ASSERT_LE(0, fd);
		p = som_map(fd, 1024 * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(-1, som_pages_not_zero(p, 1024 * UNIT));
		som_fill_pages(p, 1024 * UNIT, 1);
		munmap(p, 1024 * UNIT);
		close(fd);
		ASSERT_EQ(0, unload_wait());
	}
}

TEST_F(module, resized_pool_is_given_back)
{
	ASSERT_EQ(0, load(self->ko, "chunks=1"));
	EXPECT_EQ(0, som_set_chunks(2));
	EXPECT_EQ(self->hugepages - 2, som_free_hugepages());
	EXPECT_EQ(0, unload());
}

/*
 * Loads that fail
 */

/* A line of the kernel's log behind @mark with all three words. */
static bool log_has(const char *mark, const char *a, const char *b,
		    const char *c)
{
	static char log[1 << 20];
	char *line, *next;
	int n;

	n = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof(log) - 1);
	if (n < 0)
		return false;
	log[n] = 0;
	for (line = strstr(log, mark); line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (strstr(line, "som: ") && strstr(line, a) &&
		    strstr(line, b) && strstr(line, c))
			return true;
	}
	return false;
}

TEST_F(module, too_many_chunks)
{
	char params[32], mark[64], asked[32], found[32];

	snprintf(params, sizeof(params), "chunks=%ld", self->hugepages + 3);
	snprintf(asked, sizeof(asked), " %ld ", self->hugepages + 3);
	snprintf(found, sizeof(found), " %ld ", self->hugepages);
	snprintf(mark, sizeof(mark), "som_module: mark %d", getpid());
	ASSERT_EQ(0, som_write_string("/dev/kmsg", mark));

	EXPECT_EQ(-ENOMEM, load(self->ko, params));
	EXPECT_NE(0, access("/sys/module/som", F_OK));
	EXPECT_EQ(self->hugepages, som_free_hugepages());
	/* One line says how many were asked for, were found, and what to do. */
	EXPECT_TRUE(log_has(mark, asked, found,
			    "hugepages-1048576kB/nr_hugepages"));
	EXPECT_TRUE(log_has(mark, asked, found, "hugepages="));

	/* It can be loaded with fewer right after. */
	EXPECT_EQ(0, load(self->ko, "chunks=1"));
	EXPECT_EQ(0, unload());
}

TEST_F(module, too_many_chunks_in_a_loop)
{
	int i;

	/* Each time it takes all pages that there are, and clears them. */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(-ENOMEM, load(self->ko, "chunks=100"));
		ASSERT_EQ(self->hugepages, som_free_hugepages());
	}
}

#define EXPECT_BAD_CHUNKS(value) do {					\
	EXPECT_EQ(-EINVAL, load(self->ko, "chunks=" value));		\
	EXPECT_NE(0, access("/sys/module/som", F_OK));			\
} while (0)

TEST_F(module, chunks_refuses_letters)
{
	EXPECT_BAD_CHUNKS("one");
}

TEST_F(module, chunks_refuses_negative)
{
	EXPECT_BAD_CHUNKS("-1");
}

TEST_F(module, chunks_refuses_trailing_letter)
{
	EXPECT_BAD_CHUNKS("1x");
}

TEST_F(module, chunks_refuses_nothing)
{
	EXPECT_BAD_CHUNKS("");
}

TEST_F(module, chunks_cannot_be_written)
{
	ASSERT_EQ(0, load(self->ko, "chunks=1"));
	EXPECT_GT(0, som_write_string(CHUNKS_PARAM, "2"));
	EXPECT_EQ(1, som_pool("nr_chunks"));
	EXPECT_EQ(0, unload());
}

TEST_F(module, second_load)
{
	ASSERT_EQ(0, load(self->ko, "chunks=1"));
	EXPECT_EQ(-EEXIST, load(self->ko, "chunks=1"));
	EXPECT_EQ(1, som_pool("nr_chunks"));
	EXPECT_EQ(0, unload());
}

/*
 * Unloads that are refused. The kernel's own answer for a module in use is
 * EWOULDBLOCK.
 */

TEST_F(module, no_unload_while_open)
{
	int fd;

	ASSERT_EQ(0, load(self->ko, "chunks=1"));
	fd = open_device();
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EWOULDBLOCK, unload());
	EXPECT_EQ(1, som_pool("nr_chunks"));
	close(fd);
	EXPECT_EQ(0, unload_wait());
}

TEST_F(module, no_unload_while_mapped)
{
	char *p;
	int fd;

	ASSERT_EQ(0, load(self->ko, "chunks=1"));
	fd = open_device();
	ASSERT_LE(0, fd);
	p = som_map(fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	close(fd);
	usleep(100000);
	EXPECT_EQ(-EWOULDBLOCK, unload());
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	som_fill(p, UNIT, 2);
	EXPECT_EQ(-1, som_check(p, UNIT, 2));
	munmap(p, UNIT);
	EXPECT_EQ(0, unload_wait());
}

/* A mapping that was never touched counts as well. */
TEST_F(module, no_unload_while_mapped_untouched)
{
	char *p;
	int fd;

	ASSERT_EQ(0, load(self->ko, ""));
	fd = open_device();
	ASSERT_LE(0, fd);
	p = som_map_at(fd, NULL, UNIT, PROT_NONE, 0);
	ASSERT_NE(MAP_FAILED, p);
	close(fd);
	usleep(100000);
	EXPECT_EQ(-EWOULDBLOCK, unload());
	munmap(p, UNIT);
	EXPECT_EQ(0, unload_wait());
}

/* An inherited range, which is good for nothing, still has the file. */
TEST_F(module, unload_after_dofork)
{
	int *step = som_shared(sizeof(*step));
	pid_t pid;
	char *p;
	int fd;

	ASSERT_EQ(0, load(self->ko, "chunks=1"));
	fd = open_device();
	ASSERT_LE(0, fd);
	p = som_map(fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	madvise(p, UNIT, MADV_DOFORK);
	pid = fork();
	if (!pid) {
		close(fd);
		WRITE_ONCE(*step, 1);
		child_assert(som_wait_flag(step, 2));
		child_assert(som_read_signal(p) == SIGSEGV);
		_exit(0);
	}
	ASSERT_TRUE(som_wait_flag(step, 1));
	munmap(p, UNIT);
	close(fd);
	EXPECT_EQ(512, som_wait_number(som_free, 512));
	EXPECT_EQ(-EWOULDBLOCK, unload());
	WRITE_ONCE(*step, 2);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, unload_wait());
}

TEST_HARNESS_MAIN
