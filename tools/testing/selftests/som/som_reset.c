// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_IOC_RESET: written pages go back to zero or to an image, the rest stays,
 * what is beyond the limit is released, and the range is clean and tracked
 * afterwards.
 *
 * SOM-TEST: smp=2 timeout=600 takes=30 kmemleak
 */
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/klog.h>

#include "som_scan.h"

#define MAX_PAGES	(8 * UNIT_PAGES)
#define ALL		(WRITTEN | PRESENT | TRACKED)

static __u64 got[MAX_PAGES];

/* A reset that did all that was asked, and released nothing. */
#define EXPECT_COMPLETE(reset, nr_pages) do {				\
	struct som_reset *__r = &(reset);				\
									\
	EXPECT_EQ(__r->end, __r->walk_end);				\
	EXPECT_EQ((nr_pages) * PAGE, __r->rewritten);			\
	EXPECT_EQ(0, __r->released);					\
	EXPECT_EQ(__r->end, __r->released_start);			\
} while (0)

static char *map_tracked_empty(int fd, size_t units)
{
	char *p = som_map(fd, units * UNIT);

	if (p != MAP_FAILED && som_scan_clean(fd, p, units * UNIT))
		return MAP_FAILED;
	return p;
}

/*
 * To zero
 */

TEST_F(som, written_pages_become_zero)
{
	char *p = map_tracked_empty(self->fd, 3);
	struct som_reset reset = som_reset_args(p, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p + 3 * PAGE, 2 * PAGE, 1);
	som_fill(p + UNIT - PAGE, 2 * PAGE, 2);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, 4);
	EXPECT_USED(2);
	GET(p, 3 * UNIT_PAGES, ALL | ZERO);
	EXPECT_PAGES(0, 2 * UNIT_PAGES, PRESENT | TRACKED | ZERO);
	EXPECT_PAGES(2 * UNIT_PAGES, 3 * UNIT_PAGES, TRACKED | ZERO);
	EXPECT_EQ(-1, som_not_zero(p, 3 * UNIT));

	/* Again and again: only what is new. */
	p[9 * PAGE] = 1;
	p[2 * UNIT + 9 * PAGE] = 1;
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, 2);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, 0);
	EXPECT_EQ(-1, som_not_zero(p, 3 * UNIT));
}

TEST_F(som, every_page_of_untracked_memory)
{
	char *p = som_map(self->fd, 4 * UNIT);
	struct som_reset reset = som_reset_args(p, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	p[2 * UNIT] = 1;
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, 2 * UNIT_PAGES);
	EXPECT_USED(2);
	GET(p, 4 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, UNIT_PAGES, PRESENT | TRACKED);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, TRACKED);
	EXPECT_PAGES(2 * UNIT_PAGES, 3 * UNIT_PAGES, PRESENT | TRACKED);
	EXPECT_PAGES(3 * UNIT_PAGES, 4 * UNIT_PAGES, TRACKED);
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(-1, som_not_zero(p + 2 * UNIT, UNIT));

	p[7 * PAGE] = 1;
	p[3 * UNIT + 7 * PAGE] = 1;
	GET(p, 4 * UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 7, 0);
	EXPECT_PAGES(7, 8, WRITTEN);
	EXPECT_PAGES(8, 3 * UNIT_PAGES + 7, 0);
	EXPECT_PAGES(3 * UNIT_PAGES + 7, 3 * UNIT_PAGES + 8, WRITTEN);
	EXPECT_PAGES(3 * UNIT_PAGES + 8, 4 * UNIT_PAGES, 0);
}

TEST_F(som, clean_pages_stay)
{
	char *p = som_map(self->fd, UNIT);
	struct som_reset reset = som_reset_args(p, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
	p[100 * PAGE] = 1;
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, 1);
	EXPECT_EQ(-1, som_not_zero(p + 100 * PAGE, PAGE));
	memset(p + 100 * PAGE, 0, PAGE);
	som_fill(p + 100 * PAGE, 0, 0);
	EXPECT_EQ(-1, som_check(p, 100 * PAGE, 1));
	EXPECT_EQ(som_word(1, 101 * PAGE), *(__u64 *)(p + 101 * PAGE));
	EXPECT_EQ(som_word(1, UNIT - 8), *(__u64 *)(p + UNIT - 8));
}

TEST_F(som, nothing_outside_the_range)
{
	char *p = map_tracked_empty(self->fd, 2);
	struct som_reset reset;

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 2 * UNIT, 1);
	reset = som_reset_args(p + 100 * PAGE, UNIT);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, UNIT_PAGES);
	EXPECT_EQ(-1, som_check_pages(p, 100 * PAGE, 1));
	EXPECT_EQ(-1, som_not_zero(p + 100 * PAGE, UNIT));
	EXPECT_EQ(som_word(1, UNIT + 100 * PAGE),
		  *(__u64 *)(p + UNIT + 100 * PAGE));
	GET(p, 2 * UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 100, WRITTEN);
	EXPECT_PAGES(100, 100 + UNIT_PAGES, 0);
	EXPECT_PAGES(100 + UNIT_PAGES, 2 * UNIT_PAGES, WRITTEN);

	/* The end is rounded up. */
	reset = som_reset_args(p, 2 * PAGE + 1);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_EQ(3 * PAGE, reset.rewritten);
	EXPECT_EQ(-1, som_not_zero(p, 3 * PAGE));
	EXPECT_EQ(som_word(1, 3 * PAGE), *(__u64 *)(p + 3 * PAGE));

	reset = som_reset_args(p + 5 * PAGE, 0);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, 0);
}

/* Tracking is by the unit: a part of one that has no memory makes all of it clean. */
TEST_F(som, part_of_a_unit_without_memory)
{
	struct som_reset reset;
	char *p;
	int i;

	for (i = 0; i < 2; i++) {
		p = som_map(self->fd, UNIT);
		ASSERT_NE(MAP_FAILED, p);
		som_fill_pages(p, UNIT, 1);
		ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
		reset = som_reset_args(p, 10 * PAGE);
		if (i)
			ASSERT_EQ(0, som_reset_call(self->fd, &reset));
		EXPECT_EQ(0, *(__u64 *)(p + 300 * PAGE));
		EXPECT_EQ(i ? 0 : UNIT_PAGES,
			  som_scan_count(self->fd, p, UNIT, WRITTEN));
		ASSERT_EQ(0, munmap(p, UNIT));
	}
}

/*
 * The budget is used up in one VMA; a part of the next, which nobody has tracked yet, is
 * released. The rest of that unit has been written, with zeroes: it stays so.
 */
TEST_F(som, rest_of_a_unit_of_which_a_part_is_released)
{
	struct som_reset reset;
	char *p, *q;
	int i;

	for (i = 0; i < 2; i++) {
		p = som_room(2 * UNIT, UNIT);
		q = p + UNIT;
		ASSERT_EQ(p, som_map_at(self->fd, p, UNIT, RW, MAP_FIXED));
		ASSERT_EQ(q, i ? som_map_private_at(self->fd, q, 100 * PAGE, RW,
						    MAP_FIXED) :
			  som_map_at(self->fd, q, 100 * PAGE, RW, MAP_FIXED));
		ASSERT_EQ(0, som_scan_clean(self->fd, p, UNIT));
		som_fill_pages(p, UNIT, 1);
		som_fill_pages(q, 100 * PAGE, 2);
		ASSERT_EQ(0, madvise(q + 50 * PAGE, 50 * PAGE, MADV_REMOVE));
		reset = som_reset_args(p, UNIT + 90 * PAGE);
		reset.keep_resident = 3 * PAGE;
		ASSERT_EQ(0, som_reset_call(self->fd, &reset));
		EXPECT_EQ(-1, som_pages_not_zero(p, UNIT + 100 * PAGE));
		/* What was released. */
		EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, p,
						     UNIT + 90 * PAGE, WRITTEN));
		EXPECT_EQ(10, som_scan_count(self->fd, q + 90 * PAGE, 10 * PAGE,
					     WRITTEN));
		ASSERT_EQ(0, munmap(p, UNIT + 100 * PAGE));
	}
}

TEST_F(som, populates_nothing)
{
	size_t len = 1UL << 40;
	char *p = som_map_at(self->fd, NULL, len, RW, MAP_NORESERVE);
	struct som_reset reset = som_reset_args(p, len);
	double start, limit = som_debug_kernel() ? 60 : 15;

	ASSERT_NE(MAP_FAILED, p);
	p[len / 2] = 1;
	start = som_now();
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	TH_LOG("a terabyte: %.3f s", som_now() - start);
	EXPECT_GT(limit, som_now() - start);
	EXPECT_COMPLETE(reset, UNIT_PAGES);
	EXPECT_USED(1);
	start = som_now();
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_GT(limit, som_now() - start);
	EXPECT_COMPLETE(reset, 0);
	EXPECT_USED(1);
}

TEST_F(som, protected_pages_are_reset_too)
{
	char *p = map_tracked_empty(self->fd, 1);
	struct som_reset reset = som_reset_args(p, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 30 * PAGE, 1);
	ASSERT_EQ(0, mprotect(p + 10 * PAGE, 10 * PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(p + 20 * PAGE, 10 * PAGE, PROT_NONE));
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, 30);
	ASSERT_EQ(0, mprotect(p, UNIT, RW));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, UNIT, WRITTEN));
}

TEST_F(som, holes_and_others_memory)
{
	char *room = som_room(6 * UNIT, UNIT), *anon, *p, *q;
	struct som_reset reset = som_reset_args(room, 6 * UNIT);
	char *image = som_room(6 * UNIT, UNIT);

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room + PAGE, UNIT, RW, MAP_FIXED);
	q = som_map_at(self->fd, room + 4 * UNIT, UNIT, RW, MAP_FIXED);
	anon = mmap(room + 2 * UNIT, UNIT, RW,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(room + PAGE, p);
	ASSERT_EQ(room + 4 * UNIT, q);
	ASSERT_EQ(room + 2 * UNIT, anon);
	som_fill_pages(anon, UNIT, 1);
	som_fill_pages(p, UNIT, 2);
	som_fill_pages(q, UNIT, 2);
	ASSERT_EQ(0, munmap(q + 100 * PAGE, 10 * PAGE));
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	/* The first one is in parts of two units. */
	EXPECT_COMPLETE(reset, 2 * UNIT_PAGES - 10);
	EXPECT_EQ(-1, som_check_pages(anon, UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(-1, som_not_zero(q, 100 * PAGE));
	EXPECT_EQ(-1, som_not_zero(q + 110 * PAGE, UNIT - 110 * PAGE));

	/* The image has the same holes. */
	ASSERT_EQ(0, mprotect(image, 6 * UNIT, RW));
	som_fill(image, 6 * UNIT, 7);
	som_fill_pages(p, UNIT, 2);
	som_fill_pages(q, 100 * PAGE, 2);
	reset.flags = SOM_RESET_IMAGE_MEM;
	reset.image = som_addr(image);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, UNIT_PAGES + 100);
	EXPECT_EQ(0, memcmp(p, image + PAGE, UNIT));
	EXPECT_EQ(0, memcmp(q, image + 4 * UNIT, 100 * PAGE));
	EXPECT_EQ(-1, som_check_pages(anon, UNIT, 1));
}

TEST_F(som, the_caller_s_own_memory)
{
	char *p = map_tracked_empty(self->fd, 1);
	struct som_reset reset = som_reset_args(p, UNIT);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		child_assert(som_reset_call(self->fd, &reset) == 0);
		child_assert(reset.rewritten == 0);
		child_assert(reset.walk_end == reset.end);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(UNIT_PAGES, som_scan_count(self->fd, p, UNIT, WRITTEN));
}

/* After a reset a mapping behaves as new, in every way that entries can be. */
TEST_F(som, any_number_of_pages_in_any_round)
{
	static const size_t numbers[] = {
		1, 2, 3, 8, 9, 16, 17, 33, 64, 200, 512, 1024,
	};
	char *p = map_tracked_empty(self->fd, 2);
	struct som_reset reset = som_reset_args(p, 2 * UNIT);
	struct som_random r = { 1 };
	static bool wrote[2 * UNIT_PAGES];
	size_t i, n, page, want;
	int round, rounds = som_rounds(10);

	ASSERT_NE(MAP_FAILED, p);
	for (round = 0; round < rounds; round++) {
		for (n = 0; n < ARRAY_SIZE(numbers); n++) {
			memset(wrote, 0, sizeof(wrote));
			for (i = 0; i < numbers[n]; i++) {
				page = numbers[n] >= 512 ? i :
					som_below(&r, 2 * UNIT_PAGES);
				wrote[page] = true;
				p[page * PAGE + som_below(&r, PAGE)] = 1;
			}
			for (want = 0, i = 0; i < 2 * UNIT_PAGES; i++)
				want += wrote[i];
			ASSERT_EQ(0, som_reset_call(self->fd, &reset));
			ASSERT_EQ(want * PAGE, reset.rewritten);
			ASSERT_EQ(-1, som_not_zero(p, 2 * UNIT));
			ASSERT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT,
						    WRITTEN));
		}
	}
}

/*
 * To an image
 */

enum { IMAGE_UNITS = 2, IMAGE_LEN = IMAGE_UNITS * UNIT };

/* Resets scattered pages, three times, and looks at every byte. */
static void check_image(struct __test_metadata *_metadata, int fd,
			struct som_reset *image, const char *bytes)
{
	char *p = map_tracked_empty(fd, IMAGE_UNITS);
	struct som_reset reset;
	struct som_random r = { 2 };
	size_t i, page;

	ASSERT_NE(MAP_FAILED, p);
	/* Everything, for a start. */
	som_fill_pages(p, IMAGE_LEN, 3);
	for (i = 0; i < 3; i++) {
		reset = *image;
		reset.start = som_addr(p);
		reset.end = reset.start + IMAGE_LEN;
		ASSERT_EQ(0, som_reset_call(fd, &reset));
		if (!i)
			EXPECT_COMPLETE(reset, IMAGE_UNITS * UNIT_PAGES);
		EXPECT_EQ(0, memcmp(p, bytes, IMAGE_LEN));
		EXPECT_EQ(0, som_scan_count(fd, p, IMAGE_LEN, WRITTEN));
		for (page = 0; page < 50; page++)
			som_fill(p + som_below(&r, IMAGE_LEN / PAGE) * PAGE,
				 PAGE, 4);
	}
	/* A part, with the image's part that belongs to it. */
	reset = *image;
	reset.start = som_addr(p + 100 * PAGE);
	reset.end = som_addr(p + 700 * PAGE);
	reset.image += 100 * PAGE;
	ASSERT_EQ(0, som_reset_call(fd, &reset));
	EXPECT_EQ(0, memcmp(p + 100 * PAGE, bytes + 100 * PAGE, 600 * PAGE));
	ASSERT_EQ(0, munmap(p, IMAGE_LEN));
}

static int image_file(const char *bytes, size_t len, size_t skip)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, skip) ||
	    pwrite(fd, bytes, len, skip) != (ssize_t)len)
		return -1;
	return fd;
}

TEST_F(som, image_in_ordinary_memory)
{
	char *image = mmap(NULL, IMAGE_LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);
	struct som_reset reset = som_reset_args(NULL, 0);

	ASSERT_NE(MAP_FAILED, image);
	som_fill(image, IMAGE_LEN, 9);
	reset.flags = SOM_RESET_IMAGE_MEM;
	reset.image = som_addr(image);
	check_image(_metadata, self->fd, &reset, image);
	/* Not touched yet: zero. */
	ASSERT_EQ(0, madvise(image, IMAGE_LEN, MADV_DONTNEED));
	check_image(_metadata, self->fd, &reset, image);
}

TEST_F(som, image_in_som_memory)
{
	char *image = som_map(self->fd, IMAGE_LEN);
	struct som_reset reset = som_reset_args(NULL, 0);

	ASSERT_NE(MAP_FAILED, image);
	som_fill(image, IMAGE_LEN, 9);
	ASSERT_EQ(0, som_scan_clean(self->fd, image, IMAGE_LEN));
	reset.flags = SOM_RESET_IMAGE_MEM;
	reset.image = som_addr(image);
	check_image(_metadata, self->fd, &reset, image);
	/* Reading it was no write. */
	EXPECT_EQ(0, som_scan_count(self->fd, image, IMAGE_LEN, WRITTEN));
	EXPECT_EQ(-1, som_check(image, IMAGE_LEN, 9));
	/* Mapped by 4 KiB entries. */
	som_fill_pages(image, IMAGE_LEN, 10);
	check_image(_metadata, self->fd, &reset, image);
	/* Read only, and not populated at all. */
	ASSERT_EQ(0, mprotect(image, IMAGE_LEN, PROT_READ));
	check_image(_metadata, self->fd, &reset, image);
	ASSERT_EQ(0, munmap(image, IMAGE_LEN));
	image = som_map(self->fd, IMAGE_LEN);
	ASSERT_NE(MAP_FAILED, image);
	reset.image = som_addr(image);
	check_image(_metadata, self->fd, &reset, image);
}

TEST_F(som, image_in_a_file)
{
	char *bytes = mmap(NULL, IMAGE_LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);
	struct som_reset reset = som_reset_args(NULL, 0);

	ASSERT_NE(MAP_FAILED, bytes);
	som_fill(bytes, IMAGE_LEN, 9);
	reset.flags = SOM_RESET_IMAGE_FD;
	reset.image_fd = image_file(bytes, IMAGE_LEN, 0);
	ASSERT_LE(0, reset.image_fd);
	check_image(_metadata, self->fd, &reset, bytes);
	/* The file's position is nobody's business. */
	EXPECT_EQ(0, lseek(reset.image_fd, 0, SEEK_CUR));

	/* From an offset on. */
	reset.image_fd = image_file(bytes, IMAGE_LEN, 5 * PAGE);
	reset.image = 5 * PAGE;
	check_image(_metadata, self->fd, &reset, bytes);
}

TEST_F(som, file_shorter_than_the_range)
{
	static const size_t lens[] = {
		0, 1, 100 * PAGE, 100 * PAGE + 1, UNIT + 5, IMAGE_LEN - 1,
	};
	char *bytes = mmap(NULL, IMAGE_LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);
	struct som_reset reset = som_reset_args(NULL, 0);
	size_t i;

	ASSERT_NE(MAP_FAILED, bytes);
	reset.flags = SOM_RESET_IMAGE_FD;
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		som_fill(bytes, IMAGE_LEN, 9);
		memset(bytes + lens[i], 0, IMAGE_LEN - lens[i]);
		reset.image_fd = image_file(bytes, lens[i], 0);
		ASSERT_LE(0, reset.image_fd);
		check_image(_metadata, self->fd, &reset, bytes);
		close(reset.image_fd);
	}
}

/* An image populates nothing. */
TEST_F(som, image_and_memory_that_is_not_there)
{
	char *image = mmap(NULL, 3 * UNIT, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);
	char *p = som_map(self->fd, 3 * UNIT);
	struct som_reset reset = som_reset_args(p, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, image);
	som_fill(image, 3 * UNIT, 9);
	p[UNIT] = 1;
	reset.flags = SOM_RESET_IMAGE_MEM;
	reset.image = som_addr(image);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, UNIT_PAGES);
	EXPECT_USED(1);
	EXPECT_EQ(0, memcmp(p + UNIT, image + UNIT, UNIT));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(-1, som_not_zero(p + 2 * UNIT, UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 3 * UNIT, WRITTEN));
}

TEST_F(som, image_is_the_range_itself)
{
	char *p = map_tracked_empty(self->fd, 2);
	struct som_reset reset = som_reset_args(p, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	reset.flags = SOM_RESET_IMAGE_MEM;
	reset.image = som_addr(p);
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, 2 * UNIT_PAGES);
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 2 * UNIT, WRITTEN));
	/* Overlapping: anything, but it ends. */
	som_fill(p, 2 * UNIT, 1);
	reset.end -= UNIT;
	reset.image = som_addr(p + 3 * PAGE);
	EXPECT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_EQ(0, som_scan_count(self->fd, p, UNIT, WRITTEN));
}

/*
 * What is kept
 */

TEST_F(som, what_is_beyond_the_limit_is_released)
{
	char *p = map_tracked_empty(self->fd, 4);
	struct som_reset reset = som_reset_args(p, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 4 * UNIT, 1);
	reset.keep_resident = UNIT;
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_EQ(reset.end, reset.walk_end);
	EXPECT_EQ(UNIT, reset.rewritten);
	EXPECT_EQ(3 * UNIT, reset.released);
	EXPECT_EQ(som_addr(p + UNIT), reset.released_start);
	EXPECT_USED(1);
	EXPECT_COMMITTED(4);
	/* Tracked; written, as pages that nobody had written have changed, too. */
	GET(p, 4 * UNIT_PAGES, ALL);
	EXPECT_PAGES(0, UNIT_PAGES, PRESENT | TRACKED);
	EXPECT_PAGES(UNIT_PAGES, 4 * UNIT_PAGES, TRACKED | WRITTEN);
	/* A reset does not tell. */
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_EQ(0, reset.rewritten + reset.released);
	EXPECT_USED(1);
	EXPECT_EQ(3 * UNIT_PAGES, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
	ASSERT_EQ(0, som_scan_clean(self->fd, p, 4 * UNIT));
	EXPECT_EQ(0, som_scan_count(self->fd, p, 4 * UNIT, WRITTEN));
	p[2 * UNIT + 7 * PAGE] = 1;
	GET(p, 4 * UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 2 * UNIT_PAGES + 7, 0);
	EXPECT_PAGES(2 * UNIT_PAGES + 7, 2 * UNIT_PAGES + 8, WRITTEN);
	EXPECT_PAGES(2 * UNIT_PAGES + 8, 4 * UNIT_PAGES, 0);
	p[2 * UNIT + 7 * PAGE] = 0;
	EXPECT_EQ(-1, som_not_zero(p, 4 * UNIT));
}

TEST_F(som, keep_nothing)
{
	char *p = map_tracked_empty(self->fd, 2);
	struct som_reset reset = som_reset_args(p, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 2 * UNIT, 1);
	reset.keep_resident = 0;
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_EQ(reset.end, reset.walk_end);
	EXPECT_EQ(0, reset.rewritten);
	EXPECT_EQ(2 * UNIT, reset.released);
	EXPECT_EQ(reset.start, reset.released_start);
	EXPECT_USED(0);
	EXPECT_EQ(-1, som_not_zero(p, 2 * UNIT));
}

/*
 * A unit that does not fit may be released as a whole: it is all or nothing
 * that is resident.
 */
TEST_F(som, limits_that_cut_a_unit)
{
	static const __u64 limits[] = {
		0, 1, PAGE - 1, PAGE, PAGE + 1, 7 * PAGE, 10 * PAGE,
		299 * PAGE, 300 * PAGE, 301 * PAGE, 599 * PAGE,
	};
	struct som_reset reset;
	size_t i, page, kept;
	char *p;

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		p = map_tracked_empty(self->fd, 2);
		ASSERT_NE(MAP_FAILED, p);
		reset = som_reset_args(p, 2 * UNIT);
		for (page = 0; page < 300; page++) {
			som_fill(p + page * PAGE, PAGE, 1);
			som_fill(p + UNIT + page * PAGE, PAGE, 1);
		}
		reset.keep_resident = limits[i];
		ASSERT_EQ(0, som_reset_call(self->fd, &reset));
		EXPECT_EQ(reset.end, reset.walk_end);
		EXPECT_GE(limits[i], reset.rewritten)
			TH_LOG("keep_resident %llu", limits[i]);
		EXPECT_LT(0, reset.released);
		EXPECT_EQ(0, reset.released % PAGE);
		kept = reset.rewritten / PAGE;
		page = kept < 300 ? kept : UNIT_PAGES + kept - 300;
		if (reset.released_start != som_addr(p + page * PAGE))
			EXPECT_EQ(kept < 300 ? som_addr(p) : som_addr(p + UNIT),
				  reset.released_start)
				TH_LOG("keep_resident %llu", limits[i]);
		/* What fits whole is kept. */
		if (limits[i] >= 300 * PAGE)
			EXPECT_LE(300, kept);
		EXPECT_USED(kept < 300 ? 0 : 1);
		page = kept < 300 ? 0 : UNIT_PAGES;
		GET(p, 2 * UNIT_PAGES, TRACKED | WRITTEN);
		EXPECT_PAGES(0, page, TRACKED);
		EXPECT_PAGES(page, 2 * UNIT_PAGES, TRACKED | WRITTEN);
		EXPECT_EQ(-1, som_not_zero(p, 2 * UNIT));
		ASSERT_EQ(0, munmap(p, 2 * UNIT));
	}
}

/*
 * What lies around the range in its first and last unit stays, and so does the
 * unit's memory: there is nothing to release.
 */
TEST_F(som, limit_and_parts_of_units)
{
	char *p = map_tracked_empty(self->fd, 3);
	struct som_reset reset = som_reset_args(p + 100 * PAGE, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 3 * UNIT, 1);
	reset.keep_resident = 0;
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_EQ(reset.end, reset.walk_end);
	EXPECT_EQ(UNIT, reset.rewritten);
	EXPECT_EQ(UNIT, reset.released);
	EXPECT_EQ(reset.start, reset.released_start);
	EXPECT_USED(2);
	EXPECT_EQ(-1, som_check_pages(p, 100 * PAGE, 1));
	GET(p, 3 * UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, 100, WRITTEN);
	EXPECT_PAGES(100, UNIT_PAGES, 0);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(2 * UNIT_PAGES, 2 * UNIT_PAGES + 100, 0);
	EXPECT_PAGES(2 * UNIT_PAGES + 100, 3 * UNIT_PAGES, WRITTEN);
	EXPECT_EQ(-1, som_not_zero(p + 100 * PAGE, 2 * UNIT));
	EXPECT_EQ(som_word(1, 2 * UNIT + 100 * PAGE),
		  *(__u64 *)(p + 2 * UNIT + 100 * PAGE));
}

TEST_F(som, limit_that_is_not_reached)
{
	char *p = map_tracked_empty(self->fd, 2);
	struct som_reset reset = som_reset_args(p, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 10 * PAGE, 1);
	som_fill_pages(p + UNIT, 10 * PAGE, 1);
	reset.keep_resident = 20 * PAGE;
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_COMPLETE(reset, 20);
	EXPECT_USED(2);
}

TEST_F(som, limit_and_image)
{
	char *image = mmap(NULL, 2 * UNIT, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);
	char *p = map_tracked_empty(self->fd, 2);
	struct som_reset reset = som_reset_args(p, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, image);
	som_fill(image, 2 * UNIT, 9);
	som_fill_pages(p, 2 * UNIT, 1);
	reset.flags = SOM_RESET_IMAGE_MEM;
	reset.image = som_addr(image);
	reset.keep_resident = UNIT;
	ASSERT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_EQ(UNIT, reset.rewritten);
	EXPECT_EQ(UNIT, reset.released);
	EXPECT_EQ(som_addr(p + UNIT), reset.released_start);
	EXPECT_EQ(-1, som_check(p, UNIT, 9));
	EXPECT_EQ(-1, som_not_zero(p + UNIT, UNIT));
	/* It is not what the image says. */
	GET(p, 2 * UNIT_PAGES, WRITTEN);
	EXPECT_PAGES(0, UNIT_PAGES, 0);
	EXPECT_PAGES(UNIT_PAGES, 2 * UNIT_PAGES, WRITTEN);
}

/*
 * Errors
 */

enum how { KEEP, SET, ADD };

struct change {
	enum how how;
	size_t field;
	__u64 value;
};

#define SET_(f, v)	{ SET, offsetof(struct som_reset, f), v }
#define ADD_(f, v)	{ ADD, offsetof(struct som_reset, f), v }

/* One thing is wrong in each. @mem, @file: with such an image. */
static const struct wrong {
	const char *name;
	int error;
	bool mem, file;
	struct change change;
} wrong[] = {
	{ "flag 4", EINVAL, .change = SET_(flags, 4) },
	{ "flag 1 << 31", EINVAL, .change = SET_(flags, 1U << 31) },
	{ "both images", EINVAL, .mem = true, .change = ADD_(flags, 2) },
	{ "start not aligned", EINVAL, .change = ADD_(start, 1) },
	{ "start at half a page", EINVAL, .change = ADD_(start, 2048) },
	{ "end below start", EINVAL, .change = SET_(end, PAGE) },
	{ "end in the kernel", EFAULT, .change = SET_(end, ~0ULL << 12) },
	{ "reserved", EINVAL, .change = SET_(reserved, 1) },
	{ "image_fd without flag", EINVAL, .change = SET_(image_fd, 1) },
	{ "image not aligned", EINVAL, .mem = true, .change = ADD_(image, 8) },
	{ "image in the kernel", EFAULT, .mem = true,
		.change = SET_(image, ~(~0ULL >> 1)) },
	{ "image 0", EFAULT, .mem = true, .change = SET_(image, 0) },
	{ "offset not aligned", EINVAL, .file = true, .change = ADD_(image, 1) },
	{ "no such file", EBADF, .file = true, .change = SET_(image_fd, 999) },
	{ "negative file", EBADF, .file = true,
		.change = SET_(image_fd, (__u32)-1) },
	{ "size 0", EINVAL, .change = SET_(size, 0) },
	{ "size 79", EINVAL, .change = SET_(size, 79) },
	{ "size of a page and one", E2BIG, .change = SET_(size, PAGE + 1) },
};

static void change_field(struct som_reset *reset, const struct change *c)
{
	void *field = (char *)reset + c->field;
	__u64 *u64 = field;
	__u32 *u32 = field;

	switch (c->field) {
	case offsetof(struct som_reset, size):
	case offsetof(struct som_reset, flags):
	case offsetof(struct som_reset, image_fd):
	case offsetof(struct som_reset, reserved):
		*u32 = c->value + (c->how == ADD ? *u32 : 0);
		break;
	default:
		*u64 = c->value + (c->how == ADD ? *u64 : 0);
		break;
	}
}

TEST_F(som, wrong_arguments_change_nothing)
{
	char *image = mmap(NULL, UNIT, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = map_tracked_empty(self->fd, 1);
	/* Zeroes behind it, for what is longer. */
	struct som_reset *reset = mmap(NULL, 2 * PAGE, RW,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = image_file("x", 1, 0);
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, image);
	som_fill(p, 10 * PAGE, 1);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		*reset = som_reset_args(p, UNIT);
		if (wrong[i].mem) {
			reset->flags = SOM_RESET_IMAGE_MEM;
			reset->image = som_addr(image);
		}
		if (wrong[i].file) {
			reset->flags = SOM_RESET_IMAGE_FD;
			reset->image_fd = file;
		}
		change_field(reset, &wrong[i].change);
		EXPECT_EQ(-wrong[i].error, som_reset_call(self->fd, reset))
			TH_LOG("%s", wrong[i].name);
		EXPECT_EQ(-1, som_check(p, 10 * PAGE, 1))
			TH_LOG("%s", wrong[i].name);
		EXPECT_EQ(10, som_scan_count(self->fd, p, UNIT, WRITTEN))
			TH_LOG("%s", wrong[i].name);
	}
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_RESET, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_RESET, ~(~0UL >> 1)));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, som_check(p, 10 * PAGE, 1));

	/* Longer, with zeroes. */
	*reset = som_reset_args(p, UNIT);
	reset->size = 200;
	EXPECT_EQ(0, som_reset_call(self->fd, reset));
	EXPECT_EQ(10 * PAGE, reset->rewritten);
	/* Longer, with something. */
	p[0] = 1;
	*reset = som_reset_args(p, UNIT);
	reset->size = 200;
	((char *)reset)[199] = 1;
	EXPECT_EQ(-E2BIG, som_reset_call(self->fd, reset));
	EXPECT_EQ(1, p[0]);
}

/* How often the kernel has complained of a file that it was to read. */
static int complaints(void)
{
	static char log[1 << 18];
	int n = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof(log) - 1);
	char *at = log;
	int count = 0;

	log[n > 0 ? n : 0] = '\0';
	while ((at = strstr(at, "kernel read not supported"))) {
		count++;
		at++;
	}
	return count;
}

TEST_F(som, files_that_cannot_be_read)
{
	/* Write only, no file, a directory, ->read alone, the device. */
	static const struct {
		const char *path;
		int flags;
	} files[] = {
		{ "/dev/null", O_WRONLY },
		{ "/", O_PATH },
		{ "/", O_RDONLY },
		{ "/proc", O_RDONLY },
		{ "/proc/self/mem", O_RDONLY },
		{ "/proc/self/maps", O_RDONLY },
		{ "/proc/self/pagemap", O_RDONLY },
		{ "/dev/kmsg", O_RDONLY },
		{ "/dev/som", O_RDWR },
	};
	char *p = map_tracked_empty(self->fd, 1);
	struct som_reset reset = som_reset_args(p, UNIT);
	int fds[2], before = complaints();
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 10 * PAGE, 1);
	reset.flags = SOM_RESET_IMAGE_FD;
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		reset.image_fd = open(files[i].path, files[i].flags);
		ASSERT_LE(0, reset.image_fd);
		EXPECT_EQ(-EBADF, som_reset_call(self->fd, &reset))
			TH_LOG("%s", files[i].path);
		close(reset.image_fd);
	}
	/* Without an offset. */
	ASSERT_EQ(0, pipe(fds));
	reset.image_fd = fds[0];
	EXPECT_EQ(-EBADF, som_reset_call(self->fd, &reset));
	reset.image_fd = eventfd(1, 0);
	EXPECT_EQ(-EBADF, som_reset_call(self->fd, &reset));
	EXPECT_EQ(before, complaints());
	EXPECT_EQ(10, som_scan_count(self->fd, p, UNIT, WRITTEN));
	/* One that has no pages of its own. */
	reset.image_fd = open("/proc/version", O_RDONLY);
	EXPECT_EQ(0, som_reset_call(self->fd, &reset));
	EXPECT_EQ(0, strncmp(p, "Linux ", 6));
	EXPECT_EQ(-1, som_not_zero(p + PAGE, UNIT - PAGE));
}

/* What is below walk_end is done, what is above is not forgotten. */
static void check_half_way(struct __test_metadata *_metadata, int fd, char *p,
			   const struct som_reset *reset, size_t readable)
{
	size_t pages = (reset->end - reset->start) / PAGE, done, i;

	ASSERT_LE(reset->start, reset->walk_end);
	ASSERT_GE(reset->start + readable, reset->walk_end);
	ASSERT_EQ(0, reset->walk_end % PAGE);
	done = (reset->walk_end - reset->start) / PAGE;
	TH_LOG("%zu of %zu pages done, %llu bytes rewritten", done, pages,
	       reset->rewritten);
	EXPECT_EQ(done * PAGE, reset->rewritten);
	EXPECT_EQ(0, reset->released);
	ASSERT_EQ(0, som_scan_pages(fd, p, pages, 0, 0, WRITTEN, got));
	EXPECT_PAGES(0, done, 0);
	EXPECT_PAGES(done, pages, WRITTEN);
	EXPECT_EQ(-1, som_check(p, done * PAGE, 9));
	/* Old or new, but nothing else. */
	for (i = done * PAGE; i < pages * PAGE; i += 8) {
		__u64 w = *(__u64 *)(p + i);

		if (w != som_word(1, i) && w != som_word(9, i))
			break;
	}
	EXPECT_EQ(pages * PAGE, i);
}

TEST_F(som, image_that_ends_half_way)
{
	static const size_t readable[] = {
		0, PAGE, 100 * PAGE, UNIT, UNIT + PAGE, 3 * UNIT + 300 * PAGE,
	};
	size_t len = 4 * UNIT, i;
	struct som_reset reset;
	char *image, *p;

	for (i = 0; i < ARRAY_SIZE(readable); i++) {
		image = mmap(NULL, len, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		p = map_tracked_empty(self->fd, 4);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_NE(MAP_FAILED, image);
		som_fill(image, len, 9);
		som_fill(p, len, 1);
		ASSERT_EQ(0, munmap(image + readable[i],
				    len - readable[i]));
		reset = som_reset_args(p, len);
		reset.image = som_addr(image);
		reset.flags = SOM_RESET_IMAGE_MEM;
		EXPECT_EQ(-EFAULT, som_reset_call(self->fd, &reset));
		check_half_way(_metadata, self->fd, p, &reset, readable[i]);
		ASSERT_EQ(0, munmap(p, len));
		if (readable[i])
			munmap(image, readable[i]);
	}
}

/*
 * Signals and other threads
 */

static void fill_one(char *p, size_t len)
{
	som_fill_pages(p, len, 1);
}

static int reset_all(int fd, char *p, size_t len)
{
	struct som_reset reset = som_reset_args(p, len);
	int ret = som_reset_call(fd, &reset);

	return ret ?: reset.rewritten != len;
}

TEST_F_TIMEOUT(som, a_fatal_signal_ends_it, 300)
{
	EXPECT_TRUE(som_kill_ends(self->fd, &self->before, fill_one, reset_all));
}

struct writing {
	char *mem;
	size_t pages;
	int stop;
	long writes;
};

static void *write_all_the_time(void *arg)
{
	struct writing *w = arg;
	struct som_random r = { 5 };
	size_t page, n;

	while (!READ_ONCE(w->stop)) {
		page = som_below(&r, w->pages);
		for (n = som_small(&r, 600); n; n--) {
			WRITE_ONCE(*(__u64 *)(w->mem + page * PAGE +
					      som_below(&r, 512) * 8), 1);
			page = (page + 1) % w->pages;
			w->writes++;
		}
	}
	return NULL;
}

/* However slow the machine is. */
#define MIN_ROUNDS	3

/* Whatever was written meanwhile: the last reset puts it back. */
static void reset_against_writers(struct __test_metadata *_metadata, int fd,
				  const char *image, __u64 keep)
{
	size_t units = 6, len = units * UNIT;
	struct writing w[2] = {};
	struct som_reset reset;
	pthread_t threads[2];
	double end = som_now() + 2 * som_race_seconds();
	long rounds = 0;
	int i;

	for (i = 0; i < 2; i++) {
		w[i].mem = i ? w[0].mem : map_tracked_empty(fd, units);
		w[i].pages = units * UNIT_PAGES;
		ASSERT_NE(MAP_FAILED, w[i].mem);
		ASSERT_EQ(0, pthread_create(&threads[i], NULL,
					    write_all_the_time, &w[i]));
	}
	while (som_now() < end || rounds <= MIN_ROUNDS) {
		reset = som_reset_args(w[0].mem, len);
		reset.flags = image ? SOM_RESET_IMAGE_MEM : 0;
		reset.image = som_addr(image);
		reset.keep_resident = rounds % 2 ? ~0ULL : keep;
		ASSERT_EQ(0, som_reset_call(fd, &reset));
		rounds++;
		usleep(rounds % 8 * 100);
	}
	for (i = 0; i < 2; i++) {
		WRITE_ONCE(w[i].stop, 1);
		pthread_join(threads[i], NULL);
	}
	/* A released unit that no writer has touched since counts as written. */
	for (i = 0; i < units; i++)
		WRITE_ONCE(w[0].mem[i * UNIT], 1);
	reset.keep_resident = ~0ULL;
	ASSERT_EQ(0, som_reset_call(fd, &reset));
	EXPECT_EQ(0, som_scan_count(fd, w[0].mem, len, WRITTEN));
	EXPECT_TRUE(image ? !memcmp(w[0].mem, image, len) :
			    som_not_zero(w[0].mem, len) < 0);
	TH_LOG("%ld resets, %ld writes", rounds, w[0].writes + w[1].writes);
	EXPECT_LT(MIN_ROUNDS, rounds);
}

SOM_FIXTURE(writers)

FIXTURE_VARIANT(writers)
{
	bool image;
	__u64 keep;
};

FIXTURE_VARIANT_ADD(writers, zero)
{
	.keep = ~0ULL,
};

FIXTURE_VARIANT_ADD(writers, release)
{
	.keep = UNIT,
};

FIXTURE_VARIANT_ADD(writers, image)
{
	.image = true,
	.keep = ~0ULL,
};

TEST_F(writers, are_reset)
{
	char *image = NULL, *p;

	if (variant->image) {
		image = mmap(NULL, 6 * UNIT, RW, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
		ASSERT_NE(MAP_FAILED, image);
		/* What was never written is zero, as in the image. */
		for (p = image; p < image + 6 * UNIT; p += PAGE)
			*(__u64 *)p = 0;
	}
	reset_against_writers(_metadata, self->fd, image, variant->keep);
}

TEST_HARNESS_MAIN
