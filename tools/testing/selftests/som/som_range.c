// SPDX-License-Identifier: GPL-2.0
/*
 * Chunks from ranges of physical memory that the kernel does not use: two GiB that the
 * command line keeps out of System RAM, and HugeTLB beside them.
 *
 * SOM-TEST: chunks=1 no-module mem=9G append=memmap=2G$0x100000000
 * SOM-TEST: kernels=generic,cloud timeout=600 takes=30
 */
#include <linux/futex.h>
#include <sys/klog.h>

#include "som_load.h"
#include "som_test.h"

#define RANGES	"ranges=2G@0x100000000"
#define SOURCE	SOM_SYSFS "range/"
#define HUGETLB	SOM_SYSFS "hugetlb_1g/"

FIXTURE(range)
{
	long hugepages;
	int ko;
};

/* Lines of a file with a word. */
static int lines_with(const char *path, const char *word)
{
	char line[512];
	FILE *f = fopen(path, "re");
	int nr = 0;

	while (f && fgets(line, sizeof(line), f))
		nr += !!strstr(line, word);
	if (f)
		fclose(f);
	return nr;
}

static int claims(void)
{
	return lines_with("/proc/iomem", " : som\n");
}

static long mem_free(void)
{
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");
	long kb = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemFree: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

FIXTURE_SETUP(range)
{
	const char *path = getenv("SOM_KO");

	if (!path)
		SKIP(return, "SOM_KO is not set");
	self->ko = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->ko);
	ASSERT_NE(0, access("/sys/module/som", F_OK));
	self->hugepages = som_free_hugepages();
	ASSERT_LE(1, self->hugepages);
	ASSERT_EQ(0, claims());
	som_catch_faults();
}

FIXTURE_TEARDOWN_PARENT(range)
{
	if (!access("/sys/module/som", F_OK))
		unload_wait();
	EXPECT_NE(0, access("/sys/module/som", F_OK));
	EXPECT_EQ(0, claims());
	EXPECT_EQ(self->hugepages, som_wait_number(som_free_hugepages,
						   self->hugepages));
}

/* Ranges first, then HugeTLB; back in the opposite order. */
TEST_F(range, two_sources)
{
	ASSERT_EQ(0, load(self->ko, RANGES));
	EXPECT_EQ(2, claims());
	EXPECT_EQ(0, som_pool("nr_chunks"));
	ASSERT_EQ(0, som_set_chunks(1));
	EXPECT_EQ(1, som_number(SOURCE "nr_chunks"));
	EXPECT_EQ(0, som_number(HUGETLB "nr_chunks"));
	EXPECT_EQ(self->hugepages, som_free_hugepages());
	ASSERT_EQ(0, som_set_chunks(3));
	EXPECT_EQ(2, som_number(SOURCE "nr_chunks"));
	EXPECT_EQ(1, som_number(HUGETLB "nr_chunks"));
	EXPECT_EQ(self->hugepages - 1, som_free_hugepages());
	EXPECT_EQ(3 * CHUNK_UNITS, som_free());
	EXPECT_EQ(2 * 40960, som_number(SOURCE "kernel_bytes"));
	/* With hugetlb_free_vmemmap=on: a page, and page tables. */
	EXPECT_EQ(36864, som_number(HUGETLB "kernel_bytes"));
	/* More than there is: all or nothing. */
	EXPECT_EQ(-ENOMEM, som_set_chunks(3 + self->hugepages));
	EXPECT_EQ(3, som_pool("nr_chunks"));
	ASSERT_EQ(0, som_set_chunks(2));
	EXPECT_EQ(0, som_number(HUGETLB "nr_chunks"));
	ASSERT_EQ(0, som_set_chunks(0));
	EXPECT_EQ(0, som_number(SOURCE "nr_chunks"));
	EXPECT_EQ(2, claims());
	ASSERT_EQ(0, unload_wait());
}

/* What a chunk has cost comes back with it. */
TEST_F(range, kernel_memory)
{
	long before, gone;
	int i;

	ASSERT_EQ(0, load(self->ko, RANGES));
	/* The first time, zones and page tables are made that stay. */
	ASSERT_EQ(0, som_set_chunks(2));
	ASSERT_EQ(0, som_set_chunks(0));
	before = mem_free();
	for (i = 0; i < som_rounds(20); i++) {
		ASSERT_EQ(0, som_set_chunks(2));
		ASSERT_EQ(0, som_set_chunks(0));
	}
	/* 20 times 80 KiB would be 1,600. */
	gone = before - mem_free();
	EXPECT_GT(1000, gone)
		TH_LOG("%ld KiB are gone", gone);
	ASSERT_EQ(0, unload_wait());
}

/* Memory is memory: zeroed, written, given up, and never seen by the next. */
TEST_F(range, as_any_other)
{
	size_t len = 2 * CHUNK_UNITS * UNIT, i;
	struct iovec remote = { .iov_len = 64 };
	char *p, buf[64];
	struct iovec local = { buf, sizeof(buf) };
	int fd, fds[2];

	ASSERT_EQ(0, load(self->ko, RANGES " chunks=2"));
	fd = open_device();
	ASSERT_LE(0, fd);
	p = som_map(fd, len);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < len; i += 16 * UNIT) {
		EXPECT_EQ(-1, som_not_zero(p + i, PAGE));
		som_fill_pages(p + i, UNIT, i);
	}
	for (i = 0; i < len; i += 16 * UNIT)
		EXPECT_EQ(-1, som_check_pages(p + i, UNIT, i));
	EXPECT_EQ(0, madvise(p, UNIT, MADV_COLD));
	EXPECT_EQ(0, madvise(p, PAGE, MADV_COLD));
	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(64, write(fds[1], p, 64));
	EXPECT_EQ(64, read(fds[0], buf, 64));
	EXPECT_EQ(0, memcmp(p, buf, 64));
	/* A futex that is not private is the owner's. */
	EXPECT_EQ(0, syscall(SYS_futex, p, FUTEX_WAKE, 1, NULL, NULL, 0));
	EXPECT_EQ(0, syscall(SYS_futex, p + 300 * PAGE, FUTEX_WAKE, 1, NULL,
			     NULL, 0));
	/* A pin for reading, of what cannot be written. */
	ASSERT_EQ(0, mprotect(p, UNIT, PROT_READ));
	remote.iov_base = p + 300 * PAGE;
	EXPECT_EQ(64, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	EXPECT_EQ(0, memcmp(p + 300 * PAGE, buf, 64));
	ASSERT_EQ(0, mprotect(p, UNIT, RW));
	EXPECT_EQ(0, madvise(p, len, MADV_REMOVE));
	EXPECT_EQ(0, som_used());
	for (i = 0; i < len; i += 16 * UNIT)
		EXPECT_EQ(-1, som_pages_not_zero(p + i, UNIT));
	ASSERT_EQ(0, munmap(p, len));
	close(fd);
	ASSERT_EQ(0, unload_wait());
}

/* What is said to be zero need not be zeroed, the first time. */
TEST_F(range, known_to_be_zero)
{
	ASSERT_EQ(0, load(self->ko, "ranges=1G@4G:zero,1G@5G zero_rate=0"));
	ASSERT_EQ(0, som_set_chunks(2));
	EXPECT_EQ(CHUNK_UNITS, som_pool("units_zeroed"));
	EXPECT_EQ(CHUNK_UNITS, som_pool("units_dirty"));
	ASSERT_EQ(0, som_set_chunks(0));
	ASSERT_EQ(0, som_set_chunks(2));
	EXPECT_EQ(0, som_pool("units_zeroed"));
	EXPECT_EQ(2 * CHUNK_UNITS, som_pool("units_dirty"));
	ASSERT_EQ(0, unload_wait());
}

/* A pin keeps what it pins, its chunk, and the module. */
TEST_F(range, pinned)
{
	struct iovec iov = { .iov_len = PAGE };
	char page[PAGE], *p;
	int fd, fds[2];

	ASSERT_EQ(0, load(self->ko, RANGES " chunks=2"));
	fd = open_device();
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, pipe(fds));
	p = som_map(fd, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 2 * UNIT, 7);
	iov.iov_base = p;
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	ASSERT_EQ(0, munmap(p, 2 * UNIT));
	EXPECT_EQ(2, som_pool("units_quarantined"));
	EXPECT_EQ(0, som_set_chunks(1));
	EXPECT_EQ(-EBUSY, som_set_chunks(0));
	EXPECT_EQ(1, som_pool("nr_chunks"));
	close(fd);
	usleep(300000);
	EXPECT_EQ(-EWOULDBLOCK, unload());
	EXPECT_EQ(1, som_number(SOURCE "nr_chunks"));
	ASSERT_EQ(PAGE, read(fds[0], page, PAGE));
	EXPECT_EQ(som_word(7, 0), *(__u64 *)page);
	ASSERT_EQ(0, unload_wait());
}

/* A page that fails costs its unit, and the chunk stays as long as the module. */
TEST_F(range, memory_error)
{
	char *p;
	int fd;

	ASSERT_EQ(0, load(self->ko, RANGES " chunks=1"));
	fd = open_device();
	ASSERT_LE(0, fd);
	p = som_map(fd, 4 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 4 * UNIT);
	if (madvise(p + UNIT, PAGE, MADV_HWPOISON))
		SKIP(return, "MADV_HWPOISON: %s", strerror(errno));
	EXPECT_EQ(SIGBUS, som_read_signal(p + UNIT));
	EXPECT_EQ(SIGBUS, som_read_signal(p + 2 * UNIT - PAGE));
	EXPECT_EQ(0, som_read_signal(p));
	EXPECT_EQ(0, som_read_signal(p + 2 * UNIT));
	ASSERT_EQ(0, munmap(p, 4 * UNIT));
	EXPECT_EQ(1, som_pool("units_poisoned"));
	EXPECT_EQ(CHUNK_UNITS - 1, som_pool("units_total"));
	EXPECT_EQ(0, som_pool("units_quarantined"));
	EXPECT_EQ(-EBUSY, som_set_chunks(0));
	close(fd);
	ASSERT_EQ(0, unload_wait());
}

/* What cannot be claimed: an errno, a line, and nothing is left. */
TEST_F(range, refused)
{
	static const struct {
		const char *params;
		int error;
	} bad[] = {
		{ "ranges=1G", -EINVAL },
		{ "ranges=1G@", -EINVAL },
		{ "ranges=@4G", -EINVAL },
		{ "ranges=0@4G", -EINVAL },
		{ "ranges=1G@4G,", -EINVAL },
		{ "ranges=1G@4Gx", -EINVAL },
		{ "ranges=1G@:zero", -EINVAL },
		{ "ranges=1G@4G:zero:zero", -EINVAL },
		{ "ranges=1G@4G:zeros", -EINVAL },
		{ "ranges=512M@4G", -EINVAL },
		{ "ranges=1G@0x100200000", -EINVAL },
		{ "ranges=1G@0xffffffffc0000000", -EINVAL },
		{ "ranges=0xffffffffc0000000@1G", -EINVAL },
		{ "ranges=1G@0", -EEXIST },
		{ "ranges=1G@1G", -EEXIST },
		{ "ranges=4G@4G", -EEXIST },
		{ "ranges=1G@4096G", -ENXIO },
		{ "ranges=1G@4G,1G@4G", -EBUSY },
	};
	char text[16384];
	size_t i;
	int n;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		klogctl(5, NULL, 0);
		EXPECT_EQ(bad[i].error, load(self->ko, bad[i].params))
			TH_LOG("%s", bad[i].params);
		n = klogctl(3, text, sizeof(text) - 1);
		text[n > 0 ? n : 0] = 0;
		EXPECT_NE(NULL, strstr(text, "som: range "))
			TH_LOG("%s: %s", bad[i].params, text);
		EXPECT_EQ(0, claims());
		EXPECT_NE(0, access("/sys/module/som/parameters", F_OK));
	}
	/* The rest is as before. */
	ASSERT_EQ(0, load(self->ko, "ranges=1G@4G,1G@5G chunks=2"));
	EXPECT_EQ(2, som_number(SOURCE "nr_chunks"));
	ASSERT_EQ(0, unload_wait());
}

TEST_HARNESS_MAIN
