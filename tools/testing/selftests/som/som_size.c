// SPDX-License-Identifier: GPL-2.0
/*
 * How large the entries are that map memory: SOM_IOC_GET_POLICY and
 * SOM_IOC_SET_POLICY, and entries of 1 GiB: when there are any, what falls back
 * to smaller ones, and that it loses nothing.
 *
 * SOM-TEST: chunks=2 timeout=900 takes=60
 */
#include "som_scan.h"

static const char *(*som_missing)(int fd) = som_no_policy;
static bool som_one_process = true;

#define SIZE_4K		(1ULL << 12)
#define SIZE_2M		(1ULL << 21)
#define SIZE_1G		(1ULL << 30)

/* A number that fdinfo has once for the file; -1 when it is not there. */
static long file_value(int fd, const char *key)
{
	char path[64], line[256], name[64];
	long value, found = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "som-%63[^:]: %ld", name, &value) == 2 &&
		    !strcmp(name, key)) {
			found = value;
			break;
		}
	fclose(f);
	return found;
}

/* Units by size of their entries, as the call and fdinfo say. */
static void expect_sizes(struct __test_metadata *_metadata, int fd,
			 long units_1g, long units_2m, long units_4k)
{
	struct som_info info;

	ASSERT_EQ(0, som_get_info(fd, &info));
	EXPECT_EQ(units_1g, info.units_1g);
	EXPECT_EQ(units_2m, info.units_2m);
	EXPECT_EQ(units_4k, info.units_4k);
	EXPECT_EQ(units_1g, som_units_1g(fd));
	EXPECT_EQ(units_2m, som_units_2m(fd));
	EXPECT_EQ(units_4k, som_units_4k(fd));
}

#define EXPECT_SIZES(...)						\
	expect_sizes(_metadata, self->fd, __VA_ARGS__)

/* A GiB that one entry maps, with marks. */
static char *map_1g(struct __test_metadata *_metadata, int fd)
{
	char *p;

	ASSERT_EQ(0, som_set_policy(fd, SIZE_1G));
	p = som_map(fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(som_aligned(p, CHUNK));
	WRITE_ONCE(p[77 * UNIT], 1);
	ASSERT_EQ(CHUNK_UNITS, som_units_1g(fd))
		TH_LOG("no entry of 1 GiB");
	som_fill_pages(p, CHUNK, 1);
	return p;
}

/*
 * The calls
 */

TEST_F(som, default_policy)
{
	__u64 size = 0, param;
	char text[32] = "";
	int fd;

	ASSERT_EQ(0, som_get_policy(self->fd, &size));
	EXPECT_EQ(SIZE_2M, size);
	EXPECT_EQ(SIZE_2M, file_value(self->fd, "map-size"));
	fd = open("/sys/module/som/parameters/map_size", O_RDONLY);
	if (fd < 0)
		return;
	ASSERT_LT(0, read(fd, text, sizeof(text) - 1));
	close(fd);
	param = strtoull(text, NULL, 0);
	/* In bytes, or as it was written. */
	EXPECT_TRUE(param == SIZE_2M || text[0] == '2')
		TH_LOG("map_size=%s", text);
}

TEST_F(som, set_and_get)
{
	static const __u64 sizes[] = { SIZE_4K, SIZE_2M, SIZE_1G, SIZE_4K };
	__u64 size = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, som_set_policy(self->fd, sizes[i]));
		ASSERT_EQ(0, som_get_policy(self->fd, &size));
		EXPECT_EQ(sizes[i], size);
		EXPECT_EQ(sizes[i], file_value(self->fd, "map-size"));
	}
	EXPECT_UNCHANGED();
}

TEST_F(som, policy_is_of_the_open_file)
{
	int other = som_open(), copy = dup(self->fd);
	__u64 size = 0;
	pid_t pid;

	ASSERT_LE(0, other);
	ASSERT_LE(0, copy);
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_4K));
	ASSERT_EQ(0, som_get_policy(other, &size));
	EXPECT_EQ(SIZE_2M, size);
	ASSERT_EQ(0, som_get_policy(copy, &size));
	EXPECT_EQ(SIZE_4K, size);
	pid = fork();
	if (!pid) {
		child_assert(!som_get_policy(self->fd, &size));
		child_assert(size == SIZE_4K);
		child_assert(som_set_policy(self->fd, SIZE_1G) == -EPERM);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	ASSERT_EQ(0, som_get_policy(self->fd, &size));
	EXPECT_EQ(SIZE_4K, size);
	ASSERT_EQ(0, som_set_policy(copy, SIZE_1G));
	ASSERT_EQ(0, som_get_policy(self->fd, &size));
	EXPECT_EQ(SIZE_1G, size);
}

TEST_F(som, wrong_arguments)
{
	static const __u64 sizes[] = {
		0, 1, 12, 21, 30, 4095, 4097, 8192, SIZE_2M - 1, SIZE_2M + 1,
		2 * SIZE_2M, SIZE_1G / 2, SIZE_1G + 1, 2 * SIZE_1G,
		SIZE_4K | SIZE_2M, 1ULL << 63, ~0ULL, SIZE_2M << 32,
	};
	char *mem = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct som_policy *policy = (struct som_policy *)mem, good;
	unsigned long calls[] = { SOM_IOC_GET_POLICY, SOM_IOC_SET_POLICY };
	__u64 size = 0;
	size_t i;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_4K));
	good = (struct som_policy) { sizeof(good), 0, SIZE_1G };
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		EXPECT_EQ(-EINVAL, som_set_policy(self->fd, sizes[i]))
			TH_LOG("%#llx", sizes[i]);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		*policy = good;
		policy->flags = 1;
		EXPECT_EQ(-1, ioctl(self->fd, calls[i], policy));
		EXPECT_EQ(EINVAL, errno);
		policy->flags = 1U << 31;
		EXPECT_EQ(-1, ioctl(self->fd, calls[i], policy));
		EXPECT_EQ(EINVAL, errno);
		*policy = good;
		policy->size = 0;
		EXPECT_EQ(-1, ioctl(self->fd, calls[i], policy));
		EXPECT_EQ(EINVAL, errno);
		policy->size = SOM_POLICY_SIZE_VER0 - 1;
		EXPECT_EQ(-1, ioctl(self->fd, calls[i], policy));
		EXPECT_EQ(EINVAL, errno);
		policy->size = PAGE + 1;
		EXPECT_EQ(-1, ioctl(self->fd, calls[i], policy));
		EXPECT_EQ(E2BIG, errno);
		*policy = good;
		policy->size = 100;
		mem[99] = 1;
		EXPECT_EQ(-1, ioctl(self->fd, calls[i], policy));
		EXPECT_EQ(E2BIG, errno);
		mem[99] = 0;
		EXPECT_EQ(-1, ioctl(self->fd, calls[i], NULL));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, ioctl(self->fd, calls[i], ~(~0UL >> 1)));
		EXPECT_EQ(EFAULT, errno);
	}
	ASSERT_EQ(0, som_get_policy(self->fd, &size));
	EXPECT_EQ(SIZE_4K, size);
	/* Longer, with zeroes. */
	*policy = good;
	policy->size = 100;
	EXPECT_EQ(0, ioctl(self->fd, SOM_IOC_SET_POLICY, policy));
	ASSERT_EQ(0, som_get_policy(self->fd, &size));
	EXPECT_EQ(SIZE_1G, size);
	EXPECT_UNCHANGED();
}

/* The first version of som_info is filled as ever, and no byte more. */
TEST_F(som, the_shorter_info)
{
	struct {
		struct som_info info;
		char behind[64];
	} a;

	ASSERT_EQ(96, sizeof(a.info));
	memset(&a, 0x55, sizeof(a));
	memset(&a.info, 0, SOM_INFO_SIZE_VER0);
	a.info.size = SOM_INFO_SIZE_VER0;
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_INFO, &a.info));
	EXPECT_EQ(UNIT, a.info.unit_size);
	EXPECT_EQ(0x5555555555555555ULL, a.info.units_1g);
	EXPECT_EQ(0x5555555555555555ULL, a.info.units_page_backed);
	memset(&a, 0x55, sizeof(a));
	memset(&a.info, 0, sizeof(a.info));
	a.info.size = sizeof(a.info);
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_INFO, &a.info));
	EXPECT_EQ(0, a.info.units_1g);
	EXPECT_EQ(0, a.info.units_page_backed);
	EXPECT_EQ(0x55, a.behind[0]);
}

/*
 * 4 KiB and 2 MiB
 */

TEST_F(som, size_4k)
{
	char *p;

	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_4K));
	p = som_map(self->fd, 4 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(4);
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	som_fill(p, 4 * UNIT, 1);
	EXPECT_USED(4);
	EXPECT_SIZES(0, 0, 4);
	EXPECT_EQ(-1, som_check(p, 4 * UNIT, 1));
	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_REMOVE));
	EXPECT_USED(3);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_SIZES(0, 0, 3);
	EXPECT_EQ(-1, som_not_zero(p + UNIT, UNIT));
	ASSERT_EQ(0, munmap(p, 4 * UNIT));
	EXPECT_USED(0);
}

TEST_F(som, size_holds_for_later_mappings)
{
	char *p = som_map(self->fd, 2 * UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_4K));
	q = som_map(self->fd, 3 * UNIT);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_2M));
	som_fill_pages(p, 2 * UNIT, 1);
	som_fill_pages(q, 3 * UNIT, 2);
	EXPECT_SIZES(0, 2, 3);
	EXPECT_EQ(-1, som_check_pages(p, 2 * UNIT, 1));
	EXPECT_EQ(-1, som_check_pages(q, 3 * UNIT, 2));
	/* It stays with the mapping, wherever that goes. */
	ASSERT_EQ(0, madvise(q, 3 * UNIT, MADV_REMOVE));
	q = mremap(q, 3 * UNIT, 5 * UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	som_fill_pages(q, 5 * UNIT, 3);
	EXPECT_SIZES(0, 2, 5);
	EXPECT_EQ(-1, som_check_pages(q, 5 * UNIT, 3));
}

/*
 * 1 GiB
 */

TEST_F(som, one_entry_for_a_gib)
{
	char *p;

	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	p = som_map(self->fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_USED(0);
	EXPECT_COMMITTED(CHUNK_UNITS);
	EXPECT_EQ(0, READ_ONCE(p[300 * UNIT + 5]));
	EXPECT_USED(CHUNK_UNITS);
	EXPECT_COMMITTED(CHUNK_UNITS);
	EXPECT_SIZES(CHUNK_UNITS, 0, 0);
	EXPECT_EQ(-1, som_pages_not_zero(p, CHUNK));
	som_fill_pages(p, CHUNK, 1);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	EXPECT_SIZES(CHUNK_UNITS, 0, 0);
	ASSERT_EQ(0, munmap(p, CHUNK));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
	EXPECT_SIZES(0, 0, 0);
}

/* Memory that was others' is zero, in every word that they wrote. */
TEST_F(som, a_used_chunk_is_zeroed)
{
	size_t len = self->before.free * UNIT;
	pid_t pid = fork();
	char *p;

	if (!pid) {
		p = som_map(self->fd, len);
		child_assert(p != MAP_FAILED);
		som_fill_pages(p, len, 3);
		som_fill(p + 100 * UNIT, 16 * UNIT, 3);
		_exit(0);
	}
	ASSERT_EQ(0, som_wait_child(pid));
	EXPECT_USED_SOON(0);
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	p = som_map(self->fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_pages_not_zero(p, CHUNK));
	EXPECT_EQ(CHUNK_UNITS, som_units_1g(self->fd));
	EXPECT_EQ(-1, som_not_zero(p + 100 * UNIT, 16 * UNIT));
	som_fill_pages(p, CHUNK, 4);
	/* And what comes after it. */
	ASSERT_EQ(0, munmap(p, CHUNK));
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_2M));
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_pages_not_zero(p, len));
}

TEST_F(som, whole_gibs_of_a_longer_mapping)
{
	char *p;

	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	p = som_map(self->fd, CHUNK + 2 * UNIT + PAGE);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(som_aligned(p, CHUNK));
	som_fill_pages(p, CHUNK + 2 * UNIT + PAGE, 1);
	EXPECT_SIZES(CHUNK_UNITS, 2, 1);
	EXPECT_USED(CHUNK_UNITS + 3);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK + 2 * UNIT + PAGE, 1));
}

TEST_F(som, two_gibs)
{
	char *p;

	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	p = som_map(self->fd, 2 * CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	p[CHUNK] = 1;
	EXPECT_USED(CHUNK_UNITS);
	p[CHUNK - 1] = 2;
	EXPECT_USED(2 * CHUNK_UNITS);
	EXPECT_SIZES(2 * CHUNK_UNITS, 0, 0);
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, PAGE));
	EXPECT_EQ(1, p[CHUNK]);
	EXPECT_EQ(2, p[CHUNK - 1]);
}

TEST_F(som, shorter_mappings_have_2m)
{
	char *p;

	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	p = som_map(self->fd, CHUNK - UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 3 * UNIT);
	EXPECT_SIZES(0, 3, 0);
	EXPECT_USED(3);
}

TEST_F(som, unaligned_mappings_have_2m)
{
	char *room = som_room(3 * CHUNK, CHUNK), *p;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	p = som_map_at(self->fd, room + UNIT, CHUNK + UNIT, RW, MAP_FIXED);
	ASSERT_EQ(room + UNIT, p);
	som_touch_units(p, 3 * UNIT);
	p[CHUNK - UNIT] = 1;
	EXPECT_SIZES(0, 4, 0);
	/* 4 KiB off. */
	ASSERT_EQ(0, munmap(p, CHUNK + UNIT));
	p = som_map_at(self->fd, room + PAGE, CHUNK, RW, MAP_FIXED);
	ASSERT_EQ(room + PAGE, p);
	p[UNIT] = 1;
	p[2 * UNIT - PAGE] = 1;
	EXPECT_SIZES(0, 2, 0);
}

static long units_dirty(void)
{
	return som_pool("units_dirty");
}

TEST_F(som, no_empty_chunk_means_2m)
{
	size_t len = self->before.free * UNIT;
	char *held = som_map(self->fd, len), *p;
	long chunk[2];

	ASSERT_NE(MAP_FAILED, held);
	/* What is dirty, or being zeroed, is taken last, whatever chunk it is of. */
	som_wait_number(units_dirty, 0);
	som_touch_units(held, len);
	/* One unit of each chunk stays. */
	chunk[0] = som_chunk_of(getpid(), held);
	chunk[1] = som_chunk_of(getpid(), held + len - UNIT);
	ASSERT_LE(0, chunk[0]);
	ASSERT_NE(chunk[0], chunk[1])
		TH_LOG("the first and the last unit are of one chunk");
	ASSERT_EQ(0, munmap(held + UNIT, len - 2 * UNIT));
	EXPECT_USED(2);
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	p = som_map(self->fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 5 * UNIT);
	EXPECT_SIZES(0, 7, 0);
	EXPECT_USED(7);
	/* When one is empty, what is mapped already keeps the GiB from it. */
	ASSERT_EQ(0, munmap(held, UNIT));
	ASSERT_EQ(0, munmap(held + len - UNIT, UNIT));
	som_fill_pages(p, CHUNK, 1);
	EXPECT_USED(CHUNK_UNITS);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
}

TEST_F(som, a_gib_that_has_a_unit_already)
{
	char *p;

	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	/* The first touch is of a mapping that does not allow it. */
	p = som_map_at(self->fd, NULL, CHUNK, RW, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + 5 * UNIT, PAGE, PROT_READ));
	som_fill_pages(p, 3 * UNIT, 1);
	ASSERT_EQ(0, mprotect(p + 5 * UNIT, PAGE, RW));
	EXPECT_USED(3);
	som_fill_pages(p, CHUNK, 2);
	EXPECT_USED(CHUNK_UNITS);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 2));
}

TEST_F(som, private_memory_has_2m)
{
	const char *missing = som_no_private(self->fd);
	char *p;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	p = som_map_private(self->fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 2 * UNIT);
	EXPECT_SIZES(0, 2, 0);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_DONTNEED));
	EXPECT_USED_SOON(1);
}

TEST_F(som, tracked_memory_has_2m)
{
	char *p;

	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	p = som_map(self->fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, CHUNK));
	EXPECT_USED(0);
	p[7 * UNIT + 9 * PAGE] = 1;
	EXPECT_USED(1);
	EXPECT_EQ(0, som_units_1g(self->fd));
	EXPECT_EQ(1, som_scan_count(self->fd, p, CHUNK, WRITTEN));
	EXPECT_NE(0, som_scan_page(self->fd, p + 7 * UNIT + 9 * PAGE, WRITTEN));
}

/* From its first scan on it is tracked to the page. */
TEST_F(som, tracking_of_a_gib_that_is_mapped)
{
	char *p;

	p = map_1g(_metadata, self->fd);
	EXPECT_EQ(CHUNK / PAGE, som_scan_count(self->fd, p, CHUNK, WRITTEN));
	EXPECT_EQ(CHUNK / PAGE, som_scan_count(self->fd, p, CHUNK, PRESENT));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, CHUNK));
	EXPECT_EQ(0, som_scan_count(self->fd, p, CHUNK, WRITTEN));
	EXPECT_EQ(som_word(1, 5 * PAGE), *(__u64 *)(p + 5 * PAGE));
	p[8] = 1;
	p[511 * UNIT + 511 * PAGE + 8] = 1;
	EXPECT_EQ(2, som_scan_count(self->fd, p, CHUNK, WRITTEN));
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	EXPECT_USED(CHUNK_UNITS);
	EXPECT_EQ(0, som_units_1g(self->fd));
}

/* Only a part of it is tracked. */
TEST_F(som, tracking_of_a_unit_of_a_gib)
{
	char *p;

	p = map_1g(_metadata, self->fd);
	ASSERT_EQ(0, som_scan_clean(self->fd, p + 9 * UNIT, UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p + 9 * UNIT, UNIT, WRITTEN));
	som_fill_pages(p, CHUNK, 2);
	EXPECT_EQ(UNIT_PAGES,
		  som_scan_count(self->fd, p + 9 * UNIT, UNIT, WRITTEN));
	EXPECT_EQ(UNIT_PAGES,
		  som_scan_count(self->fd, p + 8 * UNIT, UNIT, WRITTEN));
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 2));
}

TEST_F(som, reset_of_a_gib)
{
	char *p;

	p = map_1g(_metadata, self->fd);
	ASSERT_EQ(0, som_reset_zero(self->fd, p + UNIT, CHUNK - UNIT));
	EXPECT_EQ(-1, som_check_pages(p, UNIT, 1));
	EXPECT_EQ(-1, som_pages_not_zero(p + UNIT, CHUNK - UNIT));
}

/*
 * Parts of a GiB
 */

TEST_F(som, mprotect_of_parts)
{
	static const struct {
		size_t at, len;
	} parts[] = {
		{ 3 * PAGE, PAGE }, { 0, PAGE }, { CHUNK - PAGE, PAGE },
		{ 9 * UNIT, UNIT }, { 0, CHUNK / 2 }, { UNIT - PAGE, 2 * PAGE },
		{ 0, CHUNK },
	};
	size_t i;
	char *p;

	for (i = 0; i < ARRAY_SIZE(parts); i += som_stride()) {
		size_t at = parts[i].at, len = parts[i].len;

		p = map_1g(_metadata, self->fd);
		ASSERT_EQ(0, mprotect(p + at, len, PROT_READ));
		EXPECT_EQ(SIGSEGV, som_try_write(p + at, 0));
		EXPECT_EQ(SIGSEGV, som_try_write(p + at + len - 8, 0));
		if (at)
			EXPECT_EQ(0, som_try_write(p + at - 8, 7));
		if (at + len < CHUNK)
			EXPECT_EQ(0, som_try_write(p + at + len + 8, 7));
		EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
		ASSERT_EQ(0, mprotect(p + at, len, PROT_NONE));
		EXPECT_EQ(SIGSEGV, som_read_signal(p + at));
		ASSERT_EQ(0, mprotect(p + at, len, RW));
		EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
		som_fill_pages(p, CHUNK, 2);
		EXPECT_EQ(-1, som_check_pages(p, CHUNK, 2));
		EXPECT_USED(CHUNK_UNITS);
		EXPECT_EQ(CHUNK_UNITS, som_units_1g(self->fd) +
			  som_units_2m(self->fd) + som_units_4k(self->fd));
		if (len < CHUNK)
			EXPECT_EQ(0, som_units_1g(self->fd));
		ASSERT_EQ(0, munmap(p, CHUNK));
		EXPECT_USED(0);
	}
}

TEST_F(som, munmap_of_parts)
{
	static const struct {
		size_t at, len;
		long freed;
	} parts[] = {
		{ 3 * PAGE, PAGE, 0 }, { 0, PAGE, 0 }, { CHUNK - PAGE, PAGE, 0 },
		{ 0, UNIT, 1 }, { 100 * UNIT, 3 * UNIT, 3 },
		{ 7 * UNIT + PAGE, 2 * UNIT, 1 }, { 0, CHUNK / 2, 256 },
		{ PAGE, CHUNK - PAGE, 511 }, { 0, CHUNK - PAGE, 511 },
	};
	size_t i, at;
	char *p;

	for (i = 0; i < ARRAY_SIZE(parts); i += som_stride()) {
		size_t from = parts[i].at, to = from + parts[i].len;
		long bad = -1;

		p = map_1g(_metadata, self->fd);
		ASSERT_EQ(0, munmap(p + from, to - from));
		EXPECT_USED(CHUNK_UNITS - parts[i].freed);
		EXPECT_COMMITTED(CHUNK_UNITS - parts[i].freed);
		EXPECT_EQ(SIGSEGV, som_read_signal(p + from));
		EXPECT_EQ(SIGSEGV, som_read_signal(p + to - 8));
		for (at = 0; at < CHUNK && bad < 0; at += PAGE)
			if ((at < from || at >= to) &&
			    READ_ONCE(*(__u64 *)(p + at)) != som_word(1, at))
				bad = at;
		EXPECT_EQ(-1, bad)
			TH_LOG("%#zx to %#zx", from, to);
		/* What is free now is others'. */
		if (parts[i].freed) {
			size_t len = parts[i].freed * UNIT;
			char *q;

			ASSERT_EQ(0, som_set_policy(self->fd, SIZE_2M));
			q = som_map(self->fd, len);
			ASSERT_NE(MAP_FAILED, q);
			EXPECT_EQ(-1, som_pages_not_zero(q, len));
			som_fill_pages(q, len, 5);
			ASSERT_EQ(0, munmap(q, len));
			at = from ? 0 : to;
			EXPECT_EQ(som_word(1, at), *(__u64 *)(p + at));
		}
		ASSERT_EQ(0, munmap(p, CHUNK));
		EXPECT_USED(0);
	}
}

TEST_F(som, remove_of_parts)
{
	static const struct {
		size_t at, len;
		long freed;
	} parts[] = {
		{ 3 * PAGE, PAGE, 0 }, { 100 * UNIT, 3 * UNIT, 3 },
		{ 7 * UNIT + PAGE, 2 * UNIT, 1 }, { 0, CHUNK, 512 },
	};
	size_t i, at;
	char *p;

	for (i = 0; i < ARRAY_SIZE(parts); i += som_stride()) {
		size_t from = parts[i].at, to = from + parts[i].len;
		long bad = -1;

		p = map_1g(_metadata, self->fd);
		ASSERT_EQ(0, madvise(p + from, to - from, MADV_REMOVE));
		EXPECT_USED(CHUNK_UNITS - parts[i].freed);
		EXPECT_COMMITTED(CHUNK_UNITS);
		for (at = 0; at < CHUNK && bad < 0; at += PAGE)
			if (READ_ONCE(*(__u64 *)(p + at)) !=
			    (at >= from && at < to ? 0 : som_word(1, at)))
				bad = at;
		EXPECT_EQ(-1, bad)
			TH_LOG("%#zx to %#zx", from, to);
		EXPECT_USED(CHUNK_UNITS);
		som_fill_pages(p, CHUNK, 2);
		EXPECT_EQ(-1, som_check_pages(p, CHUNK, 2));
		ASSERT_EQ(0, munmap(p, CHUNK));
		EXPECT_USED(0);
	}
}

TEST_F(som, dontneed_keeps_a_gib)
{
	char *p;

	p = map_1g(_metadata, self->fd);
	ASSERT_EQ(0, madvise(p, CHUNK, MADV_DONTNEED));
	EXPECT_USED(CHUNK_UNITS);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	ASSERT_EQ(0, madvise(p + 5 * PAGE, PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(p + 9 * UNIT, 3 * UNIT, MADV_DONTNEED));
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	EXPECT_USED(CHUNK_UNITS);
}

TEST_F(som, mremap_of_all)
{
	static const size_t shifts[] = { 0, UNIT, PAGE };
	char *p, *q, *room;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(shifts); i++) {
		p = map_1g(_metadata, self->fd);
		room = som_room(2 * CHUNK, CHUNK);
		ASSERT_NE(MAP_FAILED, room);
		q = room + shifts[i];
		ASSERT_EQ(q, mremap(p, CHUNK, CHUNK, MREMAP_MAYMOVE |
				    MREMAP_FIXED, q));
		EXPECT_EQ(SIGSEGV, som_read_signal(p));
		EXPECT_EQ(-1, som_check_pages(q, CHUNK, 1));
		som_fill_pages(q, CHUNK, 2);
		EXPECT_EQ(-1, som_check_pages(q, CHUNK, 2));
		EXPECT_USED(CHUNK_UNITS);
		EXPECT_COMMITTED(CHUNK_UNITS);
		if (shifts[i])
			EXPECT_EQ(0, som_units_1g(self->fd));
		ASSERT_EQ(0, munmap(room, 2 * CHUNK));
		EXPECT_USED(0);
	}
}

TEST_F(som, mremap_of_parts)
{
	char *room = som_room(CHUNK, CHUNK), *p, *q;
	size_t at;

	ASSERT_NE(MAP_FAILED, room);
	p = map_1g(_metadata, self->fd);
	/* A page, a unit, and all but the first half. */
	ASSERT_EQ(room + 3 * PAGE, mremap(p + 9 * PAGE, PAGE, PAGE,
					  MREMAP_MAYMOVE | MREMAP_FIXED,
					  room + 3 * PAGE));
	EXPECT_EQ(som_word(1, 9 * PAGE), *(__u64 *)(room + 3 * PAGE));
	EXPECT_EQ(-1, som_check_pages(p, 9 * PAGE, 1));
	EXPECT_EQ(som_word(1, 10 * PAGE), *(__u64 *)(p + 10 * PAGE));
	ASSERT_EQ(room + UNIT, mremap(p + 5 * UNIT, UNIT, UNIT,
				      MREMAP_MAYMOVE | MREMAP_FIXED,
				      room + UNIT));
	for (at = 0; at < UNIT; at += PAGE)
		if (*(__u64 *)(room + UNIT + at) != som_word(1, 5 * UNIT + at))
			break;
	EXPECT_EQ(UNIT, at);
	q = room + 4 * UNIT;
	ASSERT_EQ(q, mremap(p + CHUNK / 2, CHUNK / 2, CHUNK / 2,
			    MREMAP_MAYMOVE | MREMAP_FIXED, q));
	for (at = 0; at < CHUNK / 2; at += PAGE)
		if (*(__u64 *)(q + at) != som_word(1, CHUNK / 2 + at))
			break;
	EXPECT_EQ(CHUNK / 2, at);
	EXPECT_USED(CHUNK_UNITS);
	EXPECT_COMMITTED(CHUNK_UNITS);
	EXPECT_EQ(som_word(1, CHUNK / 2 - PAGE),
		  *(__u64 *)(p + CHUNK / 2 - PAGE));
}

TEST_F(som, mremap_shrinks_and_grows)
{
	char *p, *q;

	p = map_1g(_metadata, self->fd);
	ASSERT_EQ(p, mremap(p, CHUNK, CHUNK - 5 * PAGE, 0));
	EXPECT_USED(CHUNK_UNITS);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK - 5 * PAGE, 1));
	ASSERT_EQ(p, mremap(p, CHUNK - 5 * PAGE, 3 * UNIT, 0));
	EXPECT_USED(3);
	EXPECT_EQ(-1, som_check_pages(p, 3 * UNIT, 1));
	q = mremap(p, 3 * UNIT, CHUNK, MREMAP_MAYMOVE);
	if (q == MAP_FAILED)
		return;
	EXPECT_EQ(-1, som_check_pages(q, 3 * UNIT, 1));
	EXPECT_EQ(-1, som_pages_not_zero(q + 3 * UNIT, CHUNK - 3 * UNIT));
	EXPECT_USED(CHUNK_UNITS);
}

TEST_F(som, a_duplicate_of_a_gib)
{
	char *p, *q;

	if (som_no_second_view())
		SKIP(return, "the kernel checks page tables");
	p = map_1g(_metadata, self->fd);
	q = mremap(p, 0, CHUNK, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check_pages(q, CHUNK, 1));
	som_fill_pages(q, CHUNK, 2);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 2));
	ASSERT_EQ(0, madvise(p + 5 * UNIT, UNIT, MADV_REMOVE));
	EXPECT_EQ(-1, som_pages_not_zero(q + 5 * UNIT, UNIT));
	ASSERT_EQ(0, munmap(p, CHUNK));
	EXPECT_USED(CHUNK_UNITS);
	EXPECT_EQ(-1, som_check_pages(q, 5 * UNIT, 2));
	ASSERT_EQ(0, munmap(q, CHUNK));
	EXPECT_USED(0);
}

/*
 * Two views of a GiB: the first is mapped by one entry of 1 GiB, the second is not, and
 * has been touched last.
 */

static long units_mapped(int fd)
{
	return som_units_1g(fd) + som_units_2m(fd) + som_units_4k(fd);
}

/* The second view is at @at, and has @len bytes of the first one, which is @p. */
static void view_again(struct __test_metadata *_metadata, int fd, char *p,
		       char *at, size_t len)
{
	ASSERT_EQ(at, mremap(p, 0, len, MREMAP_MAYMOVE | MREMAP_FIXED, at));
	WRITE_ONCE(p[77 * UNIT + 8], 1);
	EXPECT_EQ(CHUNK_UNITS, units_mapped(fd));
	som_touch_units(at + 8, len);
	/* A smaller entry comes when that of 1 GiB has gone. */
	EXPECT_EQ(len / UNIT ?: 1, units_mapped(fd));
}

/* What is written through one view is seen through the other. */
static void same_gib(struct __test_metadata *_metadata, int fd, char *p, char *q)
{
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	EXPECT_EQ(-1, som_check_pages(q, CHUNK, 1));
	EXPECT_EQ(CHUNK_UNITS, units_mapped(fd));
	som_fill_pages(q, CHUNK, 2);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 2));
	EXPECT_EQ(CHUNK_UNITS, som_used());
}

TEST_F(som, two_views_and_mprotect)
{
	char *room = som_room(2 * CHUNK, CHUNK), *p, *q;

	if (som_no_second_view())
		SKIP(return, "the kernel checks page tables");
	ASSERT_NE(MAP_FAILED, room);
	q = room + UNIT;
	p = map_1g(_metadata, self->fd);
	view_again(_metadata, self->fd, p, q, CHUNK);
	ASSERT_EQ(0, mprotect(p + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(SIGSEGV, som_try_write(p + PAGE, 0));
	EXPECT_EQ(SIGSEGV, som_try_write(p + 2 * PAGE - 8, 0));
	EXPECT_EQ(0, som_try_write(p + PAGE - 8, 7));
	EXPECT_EQ(0, som_try_write(p + 2 * PAGE + 8, 7));
	same_gib(_metadata, self->fd, p, q);
	EXPECT_EQ(SIGSEGV, som_try_write(p + PAGE, 0));
	ASSERT_EQ(0, munmap(p, CHUNK));
	EXPECT_EQ(-1, som_check_pages(q, CHUNK, 2));
	EXPECT_USED(CHUNK_UNITS);
}

TEST_F(som, two_views_and_mremap)
{
	char *room = som_room(4 * CHUNK, CHUNK), *p, *q, *to;

	if (som_no_second_view())
		SKIP(return, "the kernel checks page tables");
	ASSERT_NE(MAP_FAILED, room);
	q = room + UNIT;
	to = room + 2 * CHUNK + UNIT;
	p = map_1g(_metadata, self->fd);
	view_again(_metadata, self->fd, p, q, CHUNK);
	som_touch_units(p + 8, CHUNK);
	ASSERT_EQ(to, mremap(p, CHUNK, CHUNK, MREMAP_MAYMOVE | MREMAP_FIXED,
			     to));
	/* No processor knows the entry any more. */
	EXPECT_EQ(SIGSEGV, som_read_signal(p + CHUNK - UNIT + 8));
	EXPECT_EQ(SIGSEGV, som_read_signal(p));
	same_gib(_metadata, self->fd, to, q);
	ASSERT_EQ(0, munmap(room, 4 * CHUNK));
	EXPECT_USED(0);
}

TEST_F(som, two_views_and_mremap_of_parts)
{
	char *room = som_room(3 * CHUNK, CHUNK), *p, *q, *to;
	size_t at;

	if (som_no_second_view())
		SKIP(return, "the kernel checks page tables");
	ASSERT_NE(MAP_FAILED, room);
	q = room + UNIT;
	to = room + 2 * CHUNK;
	p = map_1g(_metadata, self->fd);
	view_again(_metadata, self->fd, p, q, CHUNK);
	ASSERT_EQ(to, mremap(p + CHUNK / 2, CHUNK / 2, CHUNK / 2,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + CHUNK / 2));
	EXPECT_EQ(-1, som_check_pages(p, CHUNK / 2, 1));
	for (at = 0; at < CHUNK / 2; at += PAGE)
		if (READ_ONCE(*(__u64 *)(to + at)) !=
		    som_word(1, CHUNK / 2 + at))
			break;
	EXPECT_EQ(CHUNK / 2, at);
	EXPECT_EQ(-1, som_check_pages(q, CHUNK, 1));
	EXPECT_EQ(CHUNK_UNITS, units_mapped(self->fd));
	EXPECT_USED(CHUNK_UNITS);
}

TEST_F(som, two_views_and_munmap)
{
	char *room = som_room(2 * CHUNK, CHUNK), *p, *q;
	size_t at;

	if (som_no_second_view())
		SKIP(return, "the kernel checks page tables");
	ASSERT_NE(MAP_FAILED, room);
	q = room + UNIT;
	p = map_1g(_metadata, self->fd);
	view_again(_metadata, self->fd, p, q, CHUNK);
	ASSERT_EQ(0, munmap(p + 9 * UNIT + PAGE, UNIT));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 9 * UNIT + PAGE));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 10 * UNIT));
	EXPECT_EQ(-1, som_check_pages(p, 9 * UNIT + PAGE, 1));
	for (at = 10 * UNIT + PAGE; at < CHUNK; at += PAGE)
		if (READ_ONCE(*(__u64 *)(p + at)) != som_word(1, at))
			break;
	EXPECT_EQ(CHUNK, at);
	EXPECT_EQ(-1, som_check_pages(q, CHUNK, 1));
	EXPECT_USED(CHUNK_UNITS);
}

/* The second view is of one page: little says that it has been touched. */
TEST_F(som, a_view_of_a_page_and_remove)
{
	size_t from = 5 * UNIT, to = 6 * UNIT, at;
	char *q = som_room(UNIT, UNIT), *p;
	long bad = -1;

	if (som_no_second_view())
		SKIP(return, "the kernel checks page tables");
	ASSERT_NE(MAP_FAILED, q);
	p = map_1g(_metadata, self->fd);
	view_again(_metadata, self->fd, p, q, PAGE);
	ASSERT_EQ(0, madvise(p + from, to - from, MADV_REMOVE));
	EXPECT_USED(CHUNK_UNITS - 1);
	for (at = 0; at < CHUNK && bad < 0; at += PAGE)
		if (READ_ONCE(*(__u64 *)(p + at)) !=
		    (at >= from && at < to ? 0 : som_word(1, at)))
			bad = at;
	EXPECT_EQ(-1, bad);
	EXPECT_EQ(-1, som_not_zero(p + from, to - from));
	EXPECT_EQ(som_word(1, 0), *(__u64 *)q);
	EXPECT_USED(CHUNK_UNITS);
	EXPECT_EQ(CHUNK_UNITS, units_mapped(self->fd));
	som_fill_pages(p, CHUNK, 2);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 2));
	EXPECT_EQ(som_word(2, 0), *(__u64 *)q);
}

/*
 * Seen from outside
 */

TEST_F(som, files_in_proc)
{
	static const char * const names[] = {
		"/proc/self/smaps", "/proc/self/smaps_rollup",
		"/proc/self/numa_maps", "/proc/self/maps",
	};
	__u64 buf[512];
	char *p, text[8192];
	size_t i, at;
	int fd;

	p = map_1g(_metadata, self->fd);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		fd = open(names[i], O_RDONLY);
		while (fd >= 0 && read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
		EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1))
			TH_LOG("%s", names[i]);
	}
	fd = open("/proc/self/pagemap", O_RDONLY);
	ASSERT_LE(0, fd);
	for (at = 0; at < CHUNK; at += CHUNK / 4)
		EXPECT_EQ(sizeof(buf), pread(fd, buf, sizeof(buf),
					     som_addr(p + at) / PAGE * 8));
	som_scan_count(fd, p, CHUNK, PRESENT);
	som_scan_clean(fd, p, CHUNK);
	close(fd);
	for (i = 1; i <= 5; i++) {
		char number[2] = { '0' + i, 0 };

		som_write_string("/proc/self/clear_refs", number);
	}
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	madvise(p, CHUNK, 20 /* MADV_COLD */);
	madvise(p, CHUNK, 21 /* MADV_PAGEOUT */);
	madvise(p + 5 * UNIT, UNIT, 21);
	EXPECT_EQ(0, mlock(p, CHUNK));
	EXPECT_EQ(0, munlock(p, CHUNK));
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	EXPECT_USED(CHUNK_UNITS);
}

TEST_F(som, others_read_and_write_a_gib)
{
	static char buf[UNIT];
	struct iovec local = { buf, sizeof(buf) }, remote;
	char *p, page[PAGE];
	__u64 value;
	int mem, fds[2];
	ssize_t n;
	size_t at;

	p = map_1g(_metadata, self->fd);
	remote = (struct iovec) { p + 9 * UNIT, sizeof(buf) };
	n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	EXPECT_TRUE(n > 0 || errno == EFAULT);
	for (at = 0; n > 0 && at < n; at += PAGE)
		EXPECT_EQ(som_word(1, 9 * UNIT + at), *(__u64 *)(buf + at));
	mem = open("/proc/self/mem", O_RDWR);
	ASSERT_LE(0, mem);
	EXPECT_EQ(8, pread(mem, &value, 8, som_addr(p + 300 * UNIT)));
	EXPECT_EQ(som_word(1, 300 * UNIT), value);
	value = 0x1234;
	EXPECT_EQ(8, pwrite(mem, &value, 8, som_addr(p + 300 * UNIT)));
	EXPECT_EQ(0x1234, *(__u64 *)(p + 300 * UNIT));
	*(__u64 *)(p + 300 * UNIT) = som_word(1, 300 * UNIT);
	close(mem);
	/* A pin that outlives the mapping. */
	ASSERT_EQ(0, pipe(fds));
	remote = (struct iovec) { p + 7 * UNIT, PAGE };
	n = vmsplice(fds[1], &remote, 1, 0);
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	ASSERT_EQ(0, munmap(p, CHUNK));
	if (n == PAGE) {
		EXPECT_EQ(0, som_used());
		p = som_map(self->fd, som_free() * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		som_fill_pages(p, som_free() * UNIT, 9);
		ASSERT_EQ(PAGE, read(fds[0], page, PAGE));
		EXPECT_EQ(som_word(1, 7 * UNIT), *(__u64 *)page);
	}
	close(fds[0]);
	close(fds[1]);
}

TEST_F(som, fork_of_a_gib)
{
	pid_t pid;
	char *p;

	p = map_1g(_metadata, self->fd);
	madvise(p, CHUNK, MADV_DOFORK);
	pid = fork();
	if (!pid) {
		char *q;

		som_catch_faults();
		child_assert(som_read_signal(p) == SIGSEGV);
		child_assert(som_try_write(p + 9 * UNIT, 1) == SIGSEGV);
		child_assert(!munmap(p + UNIT, PAGE));
		/* A GiB of its own. */
		q = som_map(self->fd, CHUNK);
		child_assert(q != MAP_FAILED);
		child_assert(som_pages_not_zero(q, CHUNK) == -1);
		child_assert(som_units_1g(self->fd) == CHUNK_UNITS);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	EXPECT_USED_SOON(CHUNK_UNITS);
}

/*
 * The pool
 */

/* Whoever has a promise gets a unit, whatever a GiB would like to have. */
TEST_F(som, a_gib_takes_no_promised_units)
{
	size_t promised = 600 * UNIT;
	char *p = som_map(self->fd, promised), *q;

	ASSERT_EQ(2 * CHUNK_UNITS, self->before.free);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	q = som_map_at(self->fd, NULL, CHUNK, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, q);
	q[0] = 1;
	EXPECT_EQ(0, som_units_1g(self->fd));
	som_touch_units(p, promised);
	EXPECT_GE(2 * CHUNK_UNITS, som_committed());
	EXPECT_EQ(1, q[0]);
}

TEST_F(som, noreserve_gibs)
{
	char *p;
	long i;

	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	p = som_map_at(self->fd, NULL, 3 * CHUNK, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(0);
	EXPECT_EQ(0, som_try_write(p + 5 * UNIT, 1));
	EXPECT_EQ(CHUNK_UNITS, som_units_1g(self->fd));
	EXPECT_COMMITTED(CHUNK_UNITS);
	EXPECT_EQ(0, som_try_write(p + CHUNK, 1));
	EXPECT_EQ(SIGBUS, som_try_write(p + 2 * CHUNK, 1));
	ASSERT_EQ(0, madvise(p, CHUNK, MADV_REMOVE));
	EXPECT_COMMITTED(CHUNK_UNITS);
	/* A page table may be there since the touch that failed. */
	EXPECT_EQ(0, som_try_write(p + 2 * CHUNK, 1));
	EXPECT_LE(CHUNK_UNITS + 1, som_used());
	for (i = 0; i < CHUNK_UNITS; i += 100)
		EXPECT_EQ(0, som_try_write(p + CHUNK + i * UNIT, i));
	ASSERT_EQ(0, munmap(p, 3 * CHUNK));
	EXPECT_USED(0);
	p = som_map_at(self->fd, NULL, 3 * CHUNK, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, som_try_write(p + 2 * CHUNK, 1));
	EXPECT_EQ(0, som_try_write(p + CHUNK, 1));
	EXPECT_USED(2 * CHUNK_UNITS);
}

TEST_F(som, a_chunk_in_use_does_not_leave)
{
	char *p;

	p = map_1g(_metadata, self->fd);
	EXPECT_GT(0, som_set_chunks(0));
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	som_set_chunks(self->before.chunks);
	EXPECT_USED(CHUNK_UNITS);
}

TEST_F(som, chunks_empty_in_sysfs)
{
	char *p;

	if (self->before.empty < 0)
		SKIP(return, "this som.ko does not have chunks_empty in sysfs");
	EXPECT_EQ(2, self->before.empty);
	p = map_1g(_metadata, self->fd);
	EXPECT_EQ(1, som_pool("chunks_empty"));
	ASSERT_EQ(0, munmap(p, CHUNK - PAGE));
	EXPECT_EQ(1, som_pool("chunks_empty"));
	ASSERT_EQ(0, munmap(p, CHUNK));
	EXPECT_EQ(2, som_pool("chunks_empty"));
}

TEST_F(som, exit_and_sigkill)
{
	int *begun = som_shared(PAGE), *done = begun + 1, i;
	pid_t pid;

	som_all_cpus();
	for (i = 0; i < 4; i++) {
		*begun = 0;
		*done = 0;
		pid = fork();
		if (!pid) {
			char *p;

			som_set_policy(self->fd, SIZE_1G);
			p = som_map(self->fd, CHUNK);
			WRITE_ONCE(*begun, 1);
			/* Killed while the kernel zeroes it, too. */
			p[0] = 1;
			WRITE_ONCE(*done, 1);
			if (i == 1)
				_exit(0);
			for (;;)
				pause();
		}
		/* It may be further than that already. */
		ASSERT_TRUE(som_wait_flag(begun, 1));
		if (i == 1 || i == 3)
			ASSERT_TRUE(som_wait_flag(done, 1));
		kill(pid, SIGKILL);
		som_wait_child(pid);
		EXPECT_TRUE(som_state_wait(&self->before));
	}
}

/*
 * Races
 */

#define THREADS	3

static void *touch_together(void *arg)
{
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	unsigned int seed = r->nr;
	int i;

	for (i = 0; i < 500; i++) {
		__u64 *w = (__u64 *)(race->mem + (rand_r(&seed) % CHUNK_UNITS *
						  UNIT)) + r->nr + 1;

		WRITE_ONCE(*w, r->nr + 1);
		som_bad(race, READ_ONCE(*w) != r->nr + 1);
	}
	for (i = 0; i < CHUNK_UNITS; i++) {
		__u64 *w = (__u64 *)(race->mem + i * UNIT) + r->nr + 1;

		som_bad(race, READ_ONCE(*w) && READ_ONCE(*w) != r->nr + 1);
	}
	return NULL;
}

static void no_disturbance(struct som_race *race)
{
}

TEST_F(som, first_touch_by_several_threads)
{
	int i, rounds = som_debug_kernel() ? 3 : 5;
	struct som_race race = { .fd = self->fd };

	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	for (i = 0; i < rounds; i++) {
		race.stop = 0;
		race.mem = som_map(self->fd, CHUNK);
		ASSERT_NE(MAP_FAILED, race.mem);
		ASSERT_EQ(0, som_run_racers(&race, THREADS, touch_together,
					    no_disturbance));
		EXPECT_EQ(0, race.bad);
		EXPECT_USED(CHUNK_UNITS);
		EXPECT_EQ(CHUNK_UNITS, som_units_1g(self->fd));
		ASSERT_EQ(0, munmap(race.mem, CHUNK));
		EXPECT_USED(0);
	}
}

/* Threads own the even pages of the first, a middle and the last unit. */
static void *keep_own_pages(void *arg)
{
	static const size_t units[] = { 0, 200, 511 };
	struct som_racer *r = arg;
	struct som_race *race = r->race;
	__u64 round, v;
	int page;

	for (round = 1; !READ_ONCE(race->stop); round++) {
		for (page = 0; page < 512; page += 2) {
			__u64 *w = (__u64 *)(race->mem + units[r->nr] * UNIT +
					     page * PAGE);

			v = (round - 1) << 8 | r->nr;
			som_bad(race, round > 1 && READ_ONCE(*w) != v);
			WRITE_ONCE(*w, round << 8 | r->nr);
		}
		som_round(race);
	}
	return NULL;
}

/* Each takes one entry of 1 GiB apart; the page is nobody's. */

static void by_mprotect(struct som_race *race, char *page)
{
	som_bad(race, mprotect(page, PAGE, PROT_NONE));
	som_bad(race, mprotect(page, PAGE, RW));
}

static void by_remove(struct som_race *race, char *page)
{
	WRITE_ONCE(*page, 1);
	som_bad(race, madvise(page, PAGE, MADV_REMOVE));
	som_bad(race, READ_ONCE(*page));
}

static void by_dontneed(struct som_race *race, char *page)
{
	som_bad(race, madvise(race->mem, CHUNK, MADV_DONTNEED));
}

static void by_munmap(struct som_race *race, char *page)
{
	som_bad(race, munmap(page, PAGE));
}

static void by_scan(struct som_race *race, char *page)
{
	size_t unit = (page - race->mem) / UNIT;

	som_bad(race, som_scan_clean(race->fd, race->mem + unit * UNIT, UNIT));
}

static void by_mremap(struct som_race *race, char *page)
{
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	char *q = race->other;

	som_bad(race, mremap(page, PAGE, PAGE, flags, q) != q);
	som_bad(race, mremap(q, PAGE, PAGE, flags, page) != page);
}

SOM_FIXTURE(own_pages)

FIXTURE_VARIANT(own_pages)
{
	void (*take_apart)(struct som_race *race, char *page);
};

FIXTURE_VARIANT_ADD(own_pages, mprotect)
{
	.take_apart = by_mprotect,
};

FIXTURE_VARIANT_ADD(own_pages, remove)
{
	.take_apart = by_remove,
};

FIXTURE_VARIANT_ADD(own_pages, dontneed)
{
	.take_apart = by_dontneed,
};

FIXTURE_VARIANT_ADD(own_pages, munmap)
{
	.take_apart = by_munmap,
};

FIXTURE_VARIANT_ADD(own_pages, scan)
{
	.take_apart = by_scan,
};

FIXTURE_VARIANT_ADD(own_pages, mremap)
{
	.take_apart = by_mremap,
};

static void (*take_apart)(struct som_race *race, char *page);

/* An entry of 1 GiB is taken apart under them, again and again. */
static void disturb(struct som_race *race)
{
	int i, rounds = som_rounds(60);
	size_t page = PAGE * 5;

	/* However slow the machine is, until there was a round. */
	for (i = 0; i < rounds || !READ_ONCE(race->rounds);
	     i++, page = (page + 1000 * UNIT + 6 * PAGE) % CHUNK) {
		/* An odd page. */
		page |= PAGE;
		take_apart(race, race->mem + page);
		usleep(3000);
	}
}

TEST_F(own_pages, survive)
{
	struct som_race race = { .fd = self->fd };

	race.mem = map_1g(_metadata, self->fd);
	race.other = som_room(UNIT, UNIT);
	ASSERT_NE(MAP_FAILED, race.other);
	take_apart = variant->take_apart;
	ASSERT_EQ(0, som_run_racers(&race, 3, keep_own_pages, disturb));
	EXPECT_EQ(0, race.bad);
	EXPECT_LT(0, race.rounds);
	ASSERT_EQ(0, munmap(race.mem, CHUNK));
	EXPECT_USED(0);
}

/* The first touch, which zeroes a GiB. */
static void *touch_for_once(void *arg)
{
	struct som_racer *r = arg;

	WRITE_ONCE(r->race->mem[77 * UNIT + 8], 1);
	return NULL;
}

static double wait_to_protect;

static void protect_a_page(struct som_race *race)
{
	usleep(wait_to_protect * 1e6);
	som_bad(race, mprotect(race->mem + PAGE, PAGE, PROT_READ));
}

/* The mapping is cut while its first touch is under way. */
TEST_F(som, mprotect_and_the_first_touch)
{
	long rate = som_zero_stop();
	unsigned int seed = getpid();
	struct som_race race = { .fd = self->fd };
	double end, takes;
	size_t len, at;
	char *p;
	int i;

	ASSERT_LE(0, rate);
	ASSERT_EQ(0, som_set_policy(self->fd, SIZE_1G));
	/* All chunks have been used, and nobody zeroes them. */
	if (units_dirty() < som_free()) {
		len = som_free() * UNIT;
		p = som_map(self->fd, len);
		ASSERT_NE(MAP_FAILED, p);
		som_touch_units(p, len);
		ASSERT_EQ(0, munmap(p, len));
	}
	/* How long it takes. */
	p = som_map(self->fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	takes = som_now();
	p[0] = 1;
	takes = som_now() - takes;
	ASSERT_EQ(0, munmap(p, CHUNK));
	end = som_now() + som_race_seconds();
	for (i = 0; i < 2 || som_now() < end; i++) {
		race.stop = 0;
		race.mem = som_map(self->fd, CHUNK);
		ASSERT_NE(MAP_FAILED, race.mem);
		wait_to_protect = takes * (rand_r(&seed) % 1000) / 1000;
		EXPECT_EQ(0, som_run_racers(&race, 1, touch_for_once,
					    protect_a_page));
		EXPECT_EQ(0, race.bad);
		EXPECT_EQ(SIGSEGV, som_try_write(race.mem + PAGE, 1));
		EXPECT_EQ(0, som_try_write(race.mem + 2 * PAGE, 0));
		for (at = 0; at < CHUNK; at += UNIT)
			if (race.mem[at + 8] != (at == 77 * UNIT))
				break;
		EXPECT_EQ(CHUNK, at);
		ASSERT_EQ(0, mprotect(race.mem + PAGE, PAGE, RW));
		som_fill_pages(race.mem, CHUNK, i);
		EXPECT_EQ(-1, som_check_pages(race.mem, CHUNK, i));
		ASSERT_EQ(0, munmap(race.mem, CHUNK));
		EXPECT_USED(0);
	}
	ASSERT_EQ(0, som_setting("zero_rate", rate));
}

TEST_HARNESS_MAIN
