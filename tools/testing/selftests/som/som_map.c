// SPDX-License-Identifier: GPL-2.0
/*
 * What a mapping of /dev/som promises: fresh zeroed memory at aligned
 * addresses, data that stays through every split and move, and units that go
 * back to the pool exactly when their last mapped part does.
 *
 * SOM-TEST: timeout=400 takes=30
 */
#include <sys/prctl.h>

#include "som_test.h"

static bool som_one_process = true;

static const char thp_enabled[] = "/sys/kernel/mm/transparent_hugepage/enabled";

/*
 * Fresh and zeroed
 */

TEST_F(som, new_memory_is_zero)
{
	char *p = som_map(self->fd, 8 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_not_zero(p, 8 * UNIT));
}

TEST_F(som, reused_memory_is_zero)
{
	size_t whole = self->before.free * UNIT;
	char *p;

	p = som_map(self->fd, whole);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, whole, 1);
	som_fill(p + 17 * UNIT, 4 * UNIT, 2);
	ASSERT_EQ(0, munmap(p, whole));
	EXPECT_USED(0);

	/* Every unit of the pool comes again, wherever it was. */
	p = som_map(self->fd, whole);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_pages_not_zero(p, whole));
	EXPECT_EQ(-1, som_not_zero(p, 64 * UNIT));
}

TEST_F(som, mappings_of_one_fd_are_different_memory)
{
	char *p = som_map(self->fd, UNIT);
	char *q = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, som_not_zero(q, UNIT));
	som_fill(q, UNIT, 2);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_check(q, UNIT, 2));
	EXPECT_USED(2);
}

TEST_F(som, mappings_of_two_fds_are_different_memory)
{
	int fd = som_open();
	char *p, *q;

	ASSERT_LE(0, fd);
	p = som_map(self->fd, UNIT);
	q = som_map(fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, som_not_zero(q, UNIT));
	som_fill(q, UNIT, 2);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_check(q, UNIT, 2));
	EXPECT_USED(2);
}

TEST_F(som, first_touch_by_read_then_write)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_USED(0);
	EXPECT_EQ(0, READ_ONCE(p[UNIT + 5 * PAGE]));
	EXPECT_USED(1);
	som_fill(p, 2 * UNIT, 3);
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 3));
	EXPECT_USED(2);
}

TEST_F(som, data_stays_when_fd_is_closed)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, close(self->fd));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	som_fill(p + UNIT, UNIT, 2);
	EXPECT_EQ(-1, som_check(p + UNIT, UNIT, 2));
	EXPECT_USED(2);
	ASSERT_EQ(0, munmap(p, 2 * UNIT));
	EXPECT_USED(0);
}

/*
 * Addresses
 */

TEST_F(som, small_mappings_are_2m_aligned)
{
	static const size_t lengths[] = {
		PAGE, UNIT - PAGE, UNIT, UNIT + PAGE, 7 * UNIT, CHUNK / 2,
	};
	size_t i;
	char *p;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		p = som_map_at(self->fd, NULL, lengths[i], RW, MAP_NORESERVE);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_TRUE(som_aligned(p, UNIT))
			TH_LOG("length %#zx at %p", lengths[i], p);
	}
}

TEST_F(som, large_mappings_are_1g_aligned)
{
	static const size_t lengths[] = {
		CHUNK, CHUNK + UNIT, 2 * CHUNK + PAGE, 40 * CHUNK,
	};
	size_t i;
	char *p;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		p = som_map_at(self->fd, NULL, lengths[i], RW, MAP_NORESERVE);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_TRUE(som_aligned(p, CHUNK))
			TH_LOG("length %#zx at %p", lengths[i], p);
		p = som_map_at(self->fd, NULL, lengths[i], PROT_NONE, 0);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_TRUE(som_aligned(p, CHUNK))
			TH_LOG("length %#zx at %p", lengths[i], p);
	}
}

TEST_F(som, free_page_aligned_hint_is_taken)
{
	char *room = som_room(8 * UNIT, UNIT), *p;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, munmap(room, 8 * UNIT));
	p = som_map_at(self->fd, room + 2 * UNIT, UNIT, RW, 0);
	EXPECT_EQ(room + 2 * UNIT, p);
	p = som_map_at(self->fd, room + 4 * UNIT + PAGE, UNIT, RW, 0);
	EXPECT_EQ(room + 4 * UNIT + PAGE, p);
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
}

TEST_F(som, occupied_hint_gives_another_aligned_address)
{
	char *room = som_room(2 * UNIT, UNIT), *p;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room, UNIT, RW, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_NE(room, p);
	EXPECT_TRUE(som_aligned(p, UNIT));
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
}

TEST_F(som, fixed_at_unaligned_address)
{
	char *room = som_room(4 * UNIT, UNIT), *p;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room + 3 * PAGE, 2 * UNIT, RW, MAP_FIXED);
	ASSERT_EQ(room + 3 * PAGE, p);
	EXPECT_COMMITTED(3);
	som_fill(p, 2 * UNIT, 1);
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	EXPECT_USED(3);
	/* The middle one is covered whole. */
	EXPECT_EQ(1, som_units_2m(self->fd));
	EXPECT_EQ(2, som_units_4k(self->fd));
}

TEST_F(som, fixed_noreplace_of_occupied_address)
{
	char *p = som_map(self->fd, UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	q = som_map_at(self->fd, p + PAGE, UNIT, RW, MAP_FIXED_NOREPLACE);
	EXPECT_EQ(MAP_FAILED, q);
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
	EXPECT_COMMITTED(1);
}

TEST_F(som, fixed_noreplace_of_free_address)
{
	char *room = som_room(2 * UNIT, UNIT), *p;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, munmap(room, 2 * UNIT));
	p = som_map_at(self->fd, room, UNIT, RW, MAP_FIXED_NOREPLACE);
	EXPECT_EQ(room, p);
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
}

TEST_F(som, fixed_over_som_is_fresh)
{
	char *p = som_map(self->fd, 3 * UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	EXPECT_USED(3);
	q = som_map_at(self->fd, p + UNIT, UNIT, RW, MAP_FIXED);
	ASSERT_EQ(p + UNIT, q);
	EXPECT_USED(2);
	EXPECT_COMMITTED(3);
	EXPECT_EQ(-1, som_not_zero(q, UNIT));
	EXPECT_USED(3);
	som_fill(q, UNIT, 2);
	EXPECT_EQ(0, memcmp(p + UNIT, q, UNIT));
	ASSERT_EQ(0, munmap(q, UNIT));
	EXPECT_USED(2);
	q = mmap(p + UNIT, UNIT, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0);
	ASSERT_EQ(p + UNIT, q);
	memset(q, 0, UNIT);
	som_fill(p + UNIT, UNIT, 3);
	EXPECT_USED(2);
}

TEST_F(som, fixed_page_inside_a_unit)
{
	char *p = som_map(self->fd, UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	q = som_map_at(self->fd, p + 100 * PAGE, PAGE, RW, MAP_FIXED);
	ASSERT_EQ(p + 100 * PAGE, q);
	EXPECT_COMMITTED(2);
	EXPECT_EQ(-1, som_not_zero(q, PAGE));
	EXPECT_USED(2);
	memset(q, 0x55, PAGE);
	EXPECT_EQ(-1, som_check(p, 100 * PAGE, 1));
	/* Behind the page the marks go on where they were. */
	EXPECT_EQ(som_word(1, 101 * PAGE), *(__u64 *)(p + 101 * PAGE));
	EXPECT_EQ(som_word(1, UNIT - 8), *(__u64 *)(p + UNIT - 8));
	ASSERT_EQ(0, munmap(q, PAGE));
	EXPECT_USED(1);
	EXPECT_COMMITTED(1);
}

/*
 * munmap
 */

TEST_F(som, munmap_whole_frees_all)
{
	char *p = som_map(self->fd, 5 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(5);
	som_touch_units(p, 5 * UNIT);
	EXPECT_USED(5);
	ASSERT_EQ(0, munmap(p, 5 * UNIT));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

TEST_F(som, munmap_of_units_frees_those)
{
	char *p = som_map(self->fd, 5 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 5 * UNIT, 1);
	ASSERT_EQ(0, munmap(p + 2 * UNIT, UNIT));
	EXPECT_USED(4);
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_USED(3);
	ASSERT_EQ(0, munmap(p + 4 * UNIT, UNIT));
	EXPECT_USED(2);
	EXPECT_COMMITTED(2);
	EXPECT_EQ(som_word(1, UNIT), *(__u64 *)(p + UNIT));
	EXPECT_EQ(som_word(1, 2 * UNIT - 8), *(__u64 *)(p + 2 * UNIT - 8));
	EXPECT_EQ(som_word(1, 3 * UNIT), *(__u64 *)(p + 3 * UNIT));
	EXPECT_EQ(som_word(1, 4 * UNIT - 8), *(__u64 *)(p + 4 * UNIT - 8));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 2 * UNIT));
}

/*
 * Unmap a unit page by page, page number i * @step modulo 512 from @first on.
 * Return: how many pages went before the unit did; 512 is right.
 */
static int pages_until_freed(char *p, int first, int step, long used)
{
	int i;

	for (i = 1; i <= UNIT / PAGE; i++) {
		if (munmap(p + (first + (i - 1) * step) % 512 * PAGE, PAGE))
			return -errno;
		if (som_used() != used)
			break;
	}
	return i;
}

TEST_F(som, munmap_of_pages_from_the_front)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, UNIT);
	EXPECT_EQ(512, pages_until_freed(p, 0, 1, self->before.used + 1));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

TEST_F(som, munmap_of_pages_from_the_back)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, UNIT);
	EXPECT_EQ(512, pages_until_freed(p, 511, 511, self->before.used + 1));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

TEST_F(som, munmap_of_pages_from_the_middle)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, UNIT);
	/* 197 is coprime to 512: the holes are everywhere. */
	EXPECT_EQ(512, pages_until_freed(p, 256, 197, self->before.used + 1));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

TEST_F(som, munmap_of_a_page_keeps_the_other_data)
{
	static const size_t holes[] = { 0, 300 * PAGE, UNIT - PAGE };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(holes); i++) {
		size_t hole = holes[i];
		char *p = som_map(self->fd, UNIT);

		ASSERT_NE(MAP_FAILED, p);
		som_fill_pages(p, UNIT, 1);
		EXPECT_EQ(1, som_units_2m(self->fd));
		ASSERT_EQ(0, munmap(p + hole, PAGE));
		EXPECT_EQ(-1, som_check_pages(p, hole, 1));
		if (hole != UNIT - PAGE)
			EXPECT_EQ(som_word(1, UNIT - PAGE),
				  *(__u64 *)(p + UNIT - PAGE));
		EXPECT_EQ(SIGSEGV, som_read_signal(p + hole));
		EXPECT_USED(1);
		EXPECT_COMMITTED(1);
		ASSERT_EQ(0, munmap(p, UNIT));
		EXPECT_USED(0);
	}
}

TEST_F(som, munmap_across_a_unit_border)
{
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 3 * UNIT);
	/* The end of the first, all of the second, the start of the third. */
	ASSERT_EQ(0, munmap(p + UNIT - PAGE, UNIT + 2 * PAGE));
	EXPECT_USED(2);
	EXPECT_COMMITTED(2);
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_USED(1);
	ASSERT_EQ(0, munmap(p + 2 * UNIT, UNIT));
	EXPECT_USED(0);
}

TEST_F(som, munmap_before_any_touch)
{
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p, UNIT + PAGE));
	EXPECT_COMMITTED(2);
	EXPECT_EQ(-1, som_not_zero(p + UNIT + PAGE, UNIT));
	EXPECT_USED(2);
	ASSERT_EQ(0, munmap(p, 3 * UNIT));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

/*
 * mprotect
 */

TEST_F(som, mprotect_of_a_page_and_back)
{
	char *p = som_map(self->fd, 2 * UNIT), *page;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	page = p + UNIT + 77 * PAGE;
	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	EXPECT_EQ(SIGSEGV, som_try_write(page, 0));
	EXPECT_EQ(0, som_try_write(page + PAGE, som_word(1, page + PAGE - p)));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	ASSERT_EQ(0, mprotect(page, PAGE, RW));
	EXPECT_EQ(0, som_try_write(page, som_word(1, page - p)));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	EXPECT_USED(2);
	EXPECT_COMMITTED(2);
}

TEST_F(som, mprotect_none_of_a_page_and_back)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, mprotect(p + 9 * PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 9 * PAGE));
	EXPECT_EQ(0, som_read_signal(p + 8 * PAGE));
	EXPECT_EQ(0, som_read_signal(p + 10 * PAGE));
	ASSERT_EQ(0, mprotect(p + 9 * PAGE, PAGE, RW));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
}

TEST_F(som, mprotect_none_of_all_and_back)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	ASSERT_EQ(0, mprotect(p, 2 * UNIT, PROT_NONE));
	EXPECT_EQ(SIGSEGV, som_read_signal(p));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 2 * UNIT - 8));
	EXPECT_USED(2);
	ASSERT_EQ(0, mprotect(p, 2 * UNIT, RW));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	som_fill(p, 2 * UNIT, 2);
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 2));
}

TEST_F(som, mprotect_read_of_all_and_back)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, mprotect(p, UNIT, PROT_READ));
	EXPECT_EQ(SIGSEGV, som_try_write(p, 0));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	ASSERT_EQ(0, mprotect(p, UNIT, RW));
	som_fill(p, UNIT, 2);
	EXPECT_EQ(-1, som_check(p, UNIT, 2));
}

/* First touched while it is read-only; the zeroes are then written over. */
TEST_F(som, mprotect_write_after_read_faults)
{
	char *p = som_map_at(self->fd, NULL, UNIT, PROT_READ, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(SIGSEGV, som_try_write(p, 1));
	ASSERT_EQ(0, mprotect(p, UNIT, RW));
	som_fill(p, UNIT, 1);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
}

TEST_F(som, every_second_page_protected)
{
	char *p = som_map(self->fd, UNIT);
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	for (i = 0; i < UNIT; i += 2 * PAGE)
		ASSERT_EQ(0, mprotect(p + i, PAGE, PROT_READ));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	for (i = 0; i < UNIT; i += PAGE)
		ASSERT_EQ(i % (2 * PAGE) ? 0 : SIGSEGV,
			  som_try_write(p + i, som_word(1, i)));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
	EXPECT_COMMITTED(1);
}

/*
 * mremap
 */

TEST_F(som, mremap_moves_all)
{
	char *room = som_room(3 * UNIT, UNIT);
	char *p = som_map(self->fd, 3 * UNIT), *q;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	q = mremap(p, 3 * UNIT, 3 * UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	ASSERT_EQ(room, q);
	EXPECT_EQ(-1, som_check(q, 3 * UNIT, 1));
	som_fill(q, 3 * UNIT, 2);
	EXPECT_EQ(-1, som_check(q, 3 * UNIT, 2));
	EXPECT_EQ(SIGSEGV, som_read_signal(p));
	EXPECT_USED(3);
	EXPECT_COMMITTED(3);
	EXPECT_EQ(3, som_units_2m(self->fd));
	ASSERT_EQ(0, munmap(q, 3 * UNIT));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

TEST_F(som, mremap_moves_untouched_memory)
{
	char *room = som_room(2 * UNIT, UNIT);
	char *p = som_map(self->fd, 2 * UNIT), *q;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_NE(MAP_FAILED, p);
	q = mremap(p, 2 * UNIT, 2 * UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	ASSERT_EQ(room, q);
	EXPECT_USED(0);
	EXPECT_COMMITTED(2);
	EXPECT_EQ(-1, som_not_zero(q, 2 * UNIT));
	EXPECT_USED(2);
}

TEST_F(som, mremap_moves_a_unit_out_of_the_middle)
{
	char *room = som_room(UNIT, UNIT);
	char *p = som_map(self->fd, 3 * UNIT), *q;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	som_fill(p + UNIT, UNIT, 2);
	som_fill(p + 2 * UNIT, UNIT, 3);
	q = mremap(p + UNIT, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	ASSERT_EQ(room, q);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_check(q, UNIT, 2));
	EXPECT_EQ(-1, som_check(p + 2 * UNIT, UNIT, 3));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + UNIT));
	EXPECT_USED(3);
	EXPECT_COMMITTED(3);
}

TEST_F(som, mremap_moves_a_page_out_of_a_unit)
{
	char *room = som_room(UNIT, UNIT);
	char *p = som_map(self->fd, UNIT), *q;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, UNIT, 1);
	q = mremap(p + 50 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   room + 7 * PAGE);
	ASSERT_EQ(room + 7 * PAGE, q);
	EXPECT_EQ(som_word(1, 50 * PAGE), *(__u64 *)q);
	EXPECT_EQ(-1, som_check_pages(p, 50 * PAGE, 1));
	EXPECT_EQ(som_word(1, 51 * PAGE), *(__u64 *)(p + 51 * PAGE));
	EXPECT_USED(1);
	/* The unit stays for the page that moved, and goes with it. */
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_USED(1);
	EXPECT_EQ(som_word(1, 50 * PAGE), *(__u64 *)q);
	ASSERT_EQ(0, munmap(q, PAGE));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

TEST_F(som, mremap_to_unaligned_address_and_back)
{
	char *room = som_room(4 * UNIT, UNIT);
	char *p = som_map(self->fd, 2 * UNIT), *q;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	q = mremap(p, 2 * UNIT, 2 * UNIT, MREMAP_MAYMOVE | MREMAP_FIXED,
		   room + PAGE);
	ASSERT_EQ(room + PAGE, q);
	EXPECT_EQ(-1, som_check(q, 2 * UNIT, 1));
	som_fill(q, 2 * UNIT, 2);
	EXPECT_USED(2);
	EXPECT_EQ(p, mremap(q, 2 * UNIT, 2 * UNIT,
			    MREMAP_MAYMOVE | MREMAP_FIXED, p));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 2));
	EXPECT_USED(2);
	EXPECT_COMMITTED(2);
}

TEST_F(som, mremap_fixed_over_som_frees_the_target)
{
	char *p = som_map(self->fd, UNIT), *q = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	som_fill(p, UNIT, 1);
	som_fill(q, UNIT, 2);
	EXPECT_USED(2);
	ASSERT_EQ(q, mremap(p, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, q));
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	EXPECT_USED(1);
	EXPECT_COMMITTED(1);
}

TEST_F(som, mremap_shrinks)
{
	char *p = som_map(self->fd, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 4 * UNIT, 1);
	ASSERT_EQ(p, mremap(p, 4 * UNIT, 2 * UNIT, 0));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 2 * UNIT));
	EXPECT_USED(2);
	EXPECT_COMMITTED(2);
	ASSERT_EQ(p, mremap(p, 2 * UNIT, UNIT + PAGE, 0));
	EXPECT_USED(2);
	ASSERT_EQ(p, mremap(p, UNIT + PAGE, PAGE, 0));
	EXPECT_USED(1);
	EXPECT_EQ(-1, som_check(p, PAGE, 1));
}

TEST_F(som, mremap_shrinks_while_it_moves)
{
	char *room = som_room(UNIT, UNIT);
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	ASSERT_EQ(room, mremap(p, 3 * UNIT, UNIT,
			       MREMAP_MAYMOVE | MREMAP_FIXED, room));
	EXPECT_EQ(-1, som_check(room, UNIT, 1));
	EXPECT_USED(1);
	EXPECT_COMMITTED(1);
}

/* A mapping of @len at the returned address, with something right behind. */
static char *map_hemmed_in(int fd, size_t len)
{
	char *room = som_room(len + UNIT, UNIT);

	if (room == MAP_FAILED)
		return room;
	return som_map_at(fd, room, len, RW, MAP_FIXED);
}

TEST_F(som, mremap_grows_by_moving)
{
	char *p = map_hemmed_in(self->fd, 2 * UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	q = mremap(p, 2 * UNIT, 5 * UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_COMMITTED(5);
	EXPECT_EQ(-1, som_check(q, 2 * UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(q + 2 * UNIT, 3 * UNIT));
	som_fill(q, 5 * UNIT, 2);
	EXPECT_EQ(-1, som_check(q, 5 * UNIT, 2));
	EXPECT_EQ(SIGSEGV, som_read_signal(p));
	EXPECT_USED(5);
	EXPECT_EQ(5, som_units_2m(self->fd));
	ASSERT_EQ(0, munmap(q, 5 * UNIT));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

TEST_F(som, mremap_grows_a_ragged_mapping)
{
	char *p = map_hemmed_in(self->fd, UNIT + 5 * PAGE), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT + 5 * PAGE, 1);
	EXPECT_COMMITTED(2);
	q = mremap(p, UNIT + 5 * PAGE, UNIT + 9 * PAGE, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_COMMITTED(2);
	EXPECT_EQ(-1, som_check(q, UNIT + 5 * PAGE, 1));
	EXPECT_EQ(-1, som_not_zero(q + UNIT + 5 * PAGE, 4 * PAGE));
	EXPECT_USED(2);
}

TEST_F(som, mremap_grows_eight_times)
{
	char *p = map_hemmed_in(self->fd, UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	q = mremap(p, UNIT, 8 * UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_COMMITTED(8);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(q + UNIT, 7 * UNIT));
	EXPECT_USED(8);
}

TEST_F(som, mremap_does_not_grow_more_than_eight_times)
{
	char *p = map_hemmed_in(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	EXPECT_EQ(MAP_FAILED, mremap(p, UNIT, 8 * UNIT + PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
	EXPECT_COMMITTED(1);
}

/* The limit counts from what mmap was given, also after a first growth. */
TEST_F(som, mremap_grows_in_steps_up_to_the_limit)
{
	char *p = map_hemmed_in(self->fd, UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	q = som_room(5 * UNIT, UNIT);
	ASSERT_EQ(q, mremap(p, UNIT, 4 * UNIT, MREMAP_MAYMOVE | MREMAP_FIXED,
			    q));
	som_fill(q, 4 * UNIT, 2);
	EXPECT_EQ(MAP_FAILED, mremap(q, 4 * UNIT, 9 * UNIT, MREMAP_MAYMOVE));
	EXPECT_EQ(ENOMEM, errno);
	p = mremap(q, 4 * UNIT, 8 * UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_check(p, 4 * UNIT, 2));
	EXPECT_EQ(-1, som_not_zero(p + 4 * UNIT, 4 * UNIT));
	EXPECT_COMMITTED(8);
}

/* What was cut off and unmapped must not come back when it grows again. */
TEST_F(som, mremap_grows_into_what_it_shrank_from)
{
	char *p = map_hemmed_in(self->fd, 3 * UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	ASSERT_EQ(p, mremap(p, 3 * UNIT, UNIT + PAGE, 0));
	ASSERT_NE(MAP_FAILED, mmap(p + UNIT + PAGE, PAGE, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				   -1, 0));
	EXPECT_USED(2);
	q = mremap(p, UNIT + PAGE, 3 * UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check(q, UNIT + PAGE, 1));
	EXPECT_EQ(-1, som_not_zero(q + 2 * UNIT, UNIT));
	EXPECT_COMMITTED(3);
}

TEST_F(som, mremap_does_not_grow_in_place)
{
	char *room = som_room(4 * UNIT, UNIT), *p;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room, UNIT, RW, MAP_FIXED);
	ASSERT_EQ(room, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, munmap(room + UNIT, 3 * UNIT));
	EXPECT_EQ(MAP_FAILED, mremap(p, UNIT, 2 * UNIT, 0));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(1);
	EXPECT_COMMITTED(1);
}

/* A second view of shared memory; the units go with the last view. */
TEST_F(som, mremap_of_length_zero_duplicates)
{
	char *p = som_map(self->fd, 2 * UNIT), *q;

	if (som_no_second_view())
		SKIP(return, "the kernel checks page tables");
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	q = mremap(p, 0, 2 * UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_NE(p, q);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	som_fill(q + UNIT, UNIT, 2);
	EXPECT_EQ(-1, som_check(p + UNIT, UNIT, 2));
	EXPECT_USED(2);
	EXPECT_COMMITTED(2);
	ASSERT_EQ(0, munmap(p, 2 * UNIT));
	EXPECT_USED(2);
	EXPECT_COMMITTED(2);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	EXPECT_EQ(-1, som_check(q + UNIT, UNIT, 2));
	ASSERT_EQ(0, munmap(q, UNIT + PAGE));
	EXPECT_USED(1);
	ASSERT_EQ(0, munmap(q, 2 * UNIT));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

/* MADV_REMOVE through one view must be seen in the other. */
TEST_F(som, remove_reaches_a_duplicate)
{
	char *p = som_map(self->fd, UNIT), *q;

	if (som_no_second_view())
		SKIP(return, "the kernel checks page tables");
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	q = mremap(p, 0, UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
	EXPECT_EQ(-1, som_not_zero(q, UNIT));
	som_fill(q, UNIT, 2);
	EXPECT_EQ(-1, som_check(p, UNIT, 2));
	EXPECT_USED(1);
}

TEST_F(som, mremap_dontunmap_leaves_a_second_view)
{
	char *p = som_map(self->fd, UNIT), *q;

	if (som_no_second_view())
		SKIP(return, "the kernel checks page tables");
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	q = mremap(p, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_NE(p, q);
	EXPECT_EQ(-1, som_check(q, UNIT, 1));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	som_fill(p, UNIT, 2);
	EXPECT_EQ(-1, som_check(q, UNIT, 2));
	EXPECT_USED(1);
	EXPECT_COMMITTED(1);
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(-1, som_check(q, UNIT, 2));
	EXPECT_USED(1);
	ASSERT_EQ(0, munmap(q, UNIT));
	EXPECT_USED(0);
	EXPECT_COMMITTED(0);
}

/*
 * madvise
 */

TEST_F(som, remove_of_all)
{
	char *p = som_map(self->fd, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 4 * UNIT, 1);
	ASSERT_EQ(0, madvise(p, 4 * UNIT, MADV_REMOVE));
	EXPECT_USED(0);
	EXPECT_COMMITTED(4);
	EXPECT_EQ(-1, som_not_zero(p, 4 * UNIT));
	EXPECT_USED(4);
	som_fill(p, 4 * UNIT, 2);
	EXPECT_EQ(-1, som_check(p, 4 * UNIT, 2));
}

TEST_F(som, remove_of_one_unit)
{
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	som_fill(p + UNIT, UNIT, 2);
	som_fill(p + 2 * UNIT, UNIT, 3);
	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_REMOVE));
	EXPECT_USED(2);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(p + UNIT, UNIT));
	EXPECT_EQ(-1, som_check(p + 2 * UNIT, UNIT, 3));
	EXPECT_USED(3);
}

TEST_F(som, remove_of_one_page)
{
	char *p = som_map(self->fd, UNIT);
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, madvise(p + 33 * PAGE, PAGE, MADV_REMOVE));
	EXPECT_USED(1);
	EXPECT_EQ(-1, som_not_zero(p + 33 * PAGE, PAGE));
	EXPECT_EQ(-1, som_check(p, 33 * PAGE, 1));
	for (i = 34 * PAGE; i < UNIT; i += 8)
		if (*(__u64 *)(p + i) != som_word(1, i))
			break;
	EXPECT_EQ(UNIT, i);
	som_fill(p, UNIT, 2);
	EXPECT_EQ(-1, som_check(p, UNIT, 2));
}

TEST_F(som, remove_of_parts_around_a_unit)
{
	char *p = som_map(self->fd, 3 * UNIT);
	size_t from = UNIT - 3 * PAGE, to = 2 * UNIT + 2 * PAGE, i;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	ASSERT_EQ(0, madvise(p + from, to - from, MADV_REMOVE));
	EXPECT_USED(2);
	EXPECT_EQ(-1, som_check(p, from, 1));
	EXPECT_EQ(-1, som_not_zero(p + from, to - from));
	for (i = to; i < 3 * UNIT; i += 8)
		if (*(__u64 *)(p + i) != som_word(1, i))
			break;
	EXPECT_EQ(3 * UNIT, i);
}

TEST_F(som, remove_of_all_that_is_mapped_of_a_unit)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	/* Only pages 10 to 19 of the first unit are left. */
	ASSERT_EQ(0, munmap(p, 10 * PAGE));
	ASSERT_EQ(0, munmap(p + 20 * PAGE, UNIT - 20 * PAGE));
	EXPECT_USED(2);
	ASSERT_EQ(0, madvise(p + 10 * PAGE, 9 * PAGE, MADV_REMOVE));
	EXPECT_USED(2);
	EXPECT_EQ(som_word(1, 19 * PAGE), *(__u64 *)(p + 19 * PAGE));
	ASSERT_EQ(0, madvise(p + 10 * PAGE, 10 * PAGE, MADV_REMOVE));
	EXPECT_USED(1);
	EXPECT_COMMITTED(2);
	EXPECT_EQ(-1, som_not_zero(p + 10 * PAGE, 10 * PAGE));
	EXPECT_USED(2);
}

TEST_F(som, remove_of_a_ragged_end)
{
	char *p = som_map(self->fd, UNIT + 3 * PAGE);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT + 3 * PAGE, 1);
	EXPECT_USED(2);
	ASSERT_EQ(0, madvise(p + UNIT, 3 * PAGE, MADV_REMOVE));
	EXPECT_USED(1);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(p + UNIT, 3 * PAGE));
}

TEST_F(som, remove_of_untouched_memory)
{
	char *p = som_map(self->fd, 3 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, 3 * UNIT, MADV_REMOVE));
	ASSERT_EQ(0, madvise(p + UNIT, PAGE, MADV_REMOVE));
	EXPECT_USED(0);
	EXPECT_COMMITTED(3);
	EXPECT_EQ(-1, som_not_zero(p, 3 * UNIT));
}

TEST_F(som, remove_after_a_move)
{
	char *room = som_room(2 * UNIT, UNIT);
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	ASSERT_EQ(room, mremap(p + UNIT, UNIT, UNIT,
			       MREMAP_MAYMOVE | MREMAP_FIXED, room));
	ASSERT_EQ(0, madvise(room, UNIT, MADV_REMOVE));
	EXPECT_EQ(-1, som_not_zero(room, UNIT));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_USED(2);
}

struct remover {
	char *mem;
	int stop;
	int thread;
	long bad, zeroed, rounds;
};

/* Writes its own pages; each reads as written last, or zero. */
static void *write_while_removed(void *arg)
{
	struct remover *r = arg;
	__u64 value, seen, *w;
	int page;

	for (value = 1; !READ_ONCE(r->stop); value++) {
		for (page = r->thread; page < 512; page += 64) {
			w = (__u64 *)(r->mem + page * PAGE);
			WRITE_ONCE(*w, value << 8 | r->thread);
			seen = READ_ONCE(*w);
			if (!seen)
				r->zeroed++;
			else if (seen != (value << 8 | r->thread))
				r->bad++;
		}
		r->rounds++;
	}
	return NULL;
}

/* Has every thread written all of its pages? */
static bool all_wrote(struct remover *r, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		if (!READ_ONCE(r[i].rounds))
			return false;
	return true;
}

TEST_F(som, remove_while_threads_write)
{
	struct remover r[3];
	pthread_t t[3];
	int i, rounds;
	double end;
	char *p;

	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	memset(r, 0, sizeof(r));
	som_all_cpus();
	for (i = 0; i < 3; i++) {
		r[i].mem = p;
		r[i].thread = i + 1;
		ASSERT_EQ(0, pthread_create(&t[i], NULL, write_while_removed,
					    &r[i]));
	}
	end = som_now() + 2 * som_race_seconds();
	for (rounds = 0; som_now() < end || rounds <= 10 || !all_wrote(r, 3);
	     rounds++) {
		if (rounds % 3) {
			EXPECT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
		} else {
			EXPECT_EQ(0, madvise(p + rounds % 512 * PAGE, PAGE,
					     MADV_REMOVE));
		}
		if (rounds % 16 == 15)
			usleep(1000);
	}
	for (i = 0; i < 3; i++)
		WRITE_ONCE(r[i].stop, 1);
	for (i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(0, r[i].bad);
		EXPECT_LT(0, r[i].rounds);
	}
	EXPECT_LT(10, rounds);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
	EXPECT_USED(0);
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
}

TEST_F(som, dontneed_keeps_data)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	ASSERT_EQ(0, madvise(p, 2 * UNIT, MADV_DONTNEED));
	EXPECT_USED(2);
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	ASSERT_EQ(0, madvise(p + 5 * PAGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
	EXPECT_USED(2);
}

TEST_F(som, mmap_populate)
{
	char *p = som_map_at(self->fd, NULL, 4 * UNIT, RW, MAP_POPULATE);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_USED(4);
	EXPECT_EQ(4, som_units_2m(self->fd));
	EXPECT_EQ(-1, som_not_zero(p, 4 * UNIT));
}

TEST_F(som, madvise_populate_write)
{
	char *p = som_map(self->fd, 3 * UNIT + PAGE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p + UNIT, UNIT, MADV_POPULATE_WRITE));
	EXPECT_USED(1);
	ASSERT_EQ(0, madvise(p, 3 * UNIT, MADV_POPULATE_WRITE));
	EXPECT_USED(3);
	EXPECT_EQ(-1, som_not_zero(p, 3 * UNIT));
}

TEST_F(som, madvise_populate_read)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, madvise(p, 2 * UNIT, MADV_POPULATE_READ));
	EXPECT_USED(2);
	som_fill(p, 2 * UNIT, 1);
	EXPECT_EQ(-1, som_check(p, 2 * UNIT, 1));
}

/*
 * Code
 */

/* mov $42, %eax; ret */
static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };

TEST_F(som, code_runs)
{
	char *p = som_map_at(self->fd, NULL, UNIT, RW | PROT_EXEC, 0);

	ASSERT_NE(MAP_FAILED, p);
	memcpy(p + UNIT - 16, code, sizeof(code));
	EXPECT_EQ(42, ((int (*)(void))(p + UNIT - 16))());
}

TEST_F(som, code_runs_after_mprotect)
{
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	memcpy(p + 3 * PAGE, code, sizeof(code));
	ASSERT_EQ(0, mprotect(p + 3 * PAGE, PAGE, PROT_READ | PROT_EXEC));
	EXPECT_EQ(42, ((int (*)(void))(p + 3 * PAGE))());
}

/*
 * Sizes of entries
 */

TEST_F(som, ragged_lengths)
{
	static const struct {
		size_t len;
		long huge, small;
	} cases[] = {
		{ PAGE, 0, 1 },
		{ UNIT - PAGE, 0, 1 },
		{ UNIT, 1, 0 },
		{ UNIT + PAGE, 1, 1 },
		{ 2 * UNIT + 300 * PAGE, 2, 1 },
	};
	size_t i;
	char *p;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		p = som_map(self->fd, cases[i].len);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_COMMITTED(cases[i].huge + cases[i].small);
		som_fill(p, cases[i].len, i);
		EXPECT_EQ(-1, som_check(p, cases[i].len, i));
		EXPECT_USED(cases[i].huge + cases[i].small);
		EXPECT_EQ(cases[i].huge, som_units_2m(self->fd));
		EXPECT_EQ(cases[i].small, som_units_4k(self->fd));
		ASSERT_EQ(0, munmap(p, cases[i].len));
		EXPECT_USED(0);
		EXPECT_COMMITTED(0);
	}
}

TEST_F(som, length_is_rounded_up_to_pages)
{
	char *room = som_room(4 * UNIT, UNIT), *p;

	/* Nothing else is mapped right behind it. */
	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, munmap(room, 4 * UNIT));
	p = som_map_at(self->fd, room + UNIT, UNIT + 1, RW, MAP_FIXED_NOREPLACE);
	ASSERT_EQ(room + UNIT, p);
	EXPECT_COMMITTED(2);
	EXPECT_EQ(0, som_try_write(p + UNIT + PAGE - 8, 1));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + UNIT + PAGE));
}

/* No access beyond the end of the mapping by way of a whole unit. */
TEST_F(som, nothing_is_behind_a_ragged_end)
{
	char *room = som_room(2 * UNIT, UNIT), *p;

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, munmap(room, 2 * UNIT));
	p = som_map_at(self->fd, room, PAGE, RW, MAP_FIXED_NOREPLACE);
	ASSERT_EQ(room, p);
	EXPECT_EQ(0, som_try_write(p, 1));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + PAGE));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + UNIT - PAGE));
}

TEST_F(som, many_small_mappings)
{
	enum { NR = 300 };
	char *p[NR];
	int i;

	for (i = 0; i < NR; i++) {
		p[i] = som_map(self->fd, PAGE);
		ASSERT_NE(MAP_FAILED, p[i]);
		som_fill(p[i], PAGE, i);
	}
	EXPECT_USED(NR);
	EXPECT_COMMITTED(NR);
	for (i = 0; i < NR; i++)
		EXPECT_EQ(-1, som_check(p[i], PAGE, i));
	for (i = 0; i < NR; i += 2)
		ASSERT_EQ(0, munmap(p[i], PAGE));
	EXPECT_USED(NR / 2);
	for (i = 1; i < NR; i += 2)
		EXPECT_EQ(-1, som_check(p[i], PAGE, i));
}

TEST_F(som, more_memory_over_time_than_the_pool_has)
{
	long done = 0, enough = 3 * self->before.total;
	int i;
	char *p;

	for (i = 0; done < enough; i++) {
		p = som_map(self->fd, 16 * UNIT);
		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(-1, som_pages_not_zero(p, 16 * UNIT));
		som_fill_pages(p, 16 * UNIT, i);
		ASSERT_EQ(-1, som_check_pages(p, 16 * UNIT, i));
		done += 16;
		ASSERT_EQ(0, munmap(p, 16 * UNIT));
	}
	EXPECT_USED(0);
}

/*
 * 2M entries do not depend on what the system says of anonymous memory.
 */

/* Return: units at 2M entries under that setting, or -errno. */
static long units_2m_under_thp(int fd, const char *setting)
{
	char old[64] = "", *word;
	long units = -EINVAL;
	FILE *f;
	char *p;
	int ret;

	f = fopen(thp_enabled, "re");
	if (!f)
		return -errno;
	if (!fgets(old, sizeof(old), f))
		old[0] = 0;
	fclose(f);
	word = strchr(old, '[');
	if (!word || !strchr(word, ']'))
		return -EINVAL;
	*strchr(++word, ']') = 0;

	ret = som_write_string(thp_enabled, setting);
	if (ret)
		return ret;
	p = som_map(fd, 4 * UNIT);
	if (p != MAP_FAILED) {
		som_fill_pages(p, 4 * UNIT, 1);
		units = som_units_2m(fd);
		munmap(p, 4 * UNIT);
	}
	som_write_string(thp_enabled, word);
	return units;
}

TEST_F(som, entries_are_2m_with_thp_never)
{
	if (access(thp_enabled, F_OK))
		SKIP(return, "no transparent huge pages in this kernel");
	EXPECT_EQ(4, units_2m_under_thp(self->fd, "never"));
}

TEST_F(som, entries_are_2m_with_thp_madvise)
{
	if (access(thp_enabled, F_OK))
		SKIP(return, "no transparent huge pages in this kernel");
	EXPECT_EQ(4, units_2m_under_thp(self->fd, "madvise"));
}

TEST_F(som, entries_are_2m_with_thp_always)
{
	if (access(thp_enabled, F_OK))
		SKIP(return, "no transparent huge pages in this kernel");
	EXPECT_EQ(4, units_2m_under_thp(self->fd, "always"));
}

TEST_F(som, entries_are_2m_in_a_process_without_thp)
{
	char *p;

	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	p = som_map(self->fd, 4 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill_pages(p, 4 * UNIT, 1);
	EXPECT_EQ(4, som_units_2m(self->fd));
}

/*
 * Page offsets are given out again when half of them are used up. With five levels of
 * page tables that takes some mappings, with four some 50,000; a mapping that stays is
 * not met by any of them.
 */
TEST_F_TIMEOUT(som, page_offsets_do_not_run_out, 200)
{
	size_t len = 1UL << 55, pages = 0;
	char *hint = (char *)(1UL << 55), *kept, *p;
	int fds[4], i;

	p = som_map_at(self->fd, hint, len, PROT_NONE, 0);
	if (p == MAP_FAILED || p != hint) {
		if (som_debug_kernel())
			SKIP(return, "four levels of page tables: slow");
		len = 96UL << 40;
		hint = NULL;
	} else {
		ASSERT_EQ(0, munmap(p, len));
	}
	kept = som_map(self->fd, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, kept);
	som_fill(kept, 2 * UNIT, 1);
	/* Other open files, and what was open, make no difference. */
	for (i = 0; i < 4; i++) {
		fds[i] = som_open();
		ASSERT_NE(MAP_FAILED, som_map(fds[i], PAGE));
		if (i % 2)
			close(fds[i]);
	}
	while (pages <= 1UL << 51) {
		p = som_map_at(self->fd, hint, len, PROT_NONE, 0);
		ASSERT_NE(MAP_FAILED, p)
			TH_LOG("after %zu page offsets", pages);
		pages += len / PAGE;
		ASSERT_EQ(0, munmap(p, len));
	}
	p = som_map(self->fd, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, som_not_zero(p, 2 * UNIT));
	som_fill(p, 2 * UNIT, 2);
	ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(-1, som_check(kept, 2 * UNIT, 1));
	ASSERT_EQ(0, munmap(kept, 2 * UNIT));
	EXPECT_EQ(som_word(2, UNIT), *(__u64 *)(p + UNIT));
}

/*
 * Committed memory: the kernel counts a mapping before it asks the driver, and what it
 * has counted it takes back with the mapping. So a private mapping that can be written
 * from the start counts, as anonymous memory does; no other does.
 */

static long committed_kb(void)
{
	char line[128];
	long kb = -1;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && kb < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "Committed_AS: %ld", &kb);
	if (f)
		fclose(f);
	return kb;
}

#define COMMIT_UNITS	256L
#define COMMIT_KB	(COMMIT_UNITS * (long)(UNIT / 1024))

/* Others in the guest may come and go: to a quarter. */
#define EXPECT_COMMITTED_KB(base, kb)					\
	EXPECT_GT(COMMIT_KB / 4, labs(committed_kb() - (base) - (kb)))

TEST_F(som, committed_memory)
{
	size_t len = COMMIT_UNITS * UNIT;
	long base = committed_kb();
	char *p;

	ASSERT_LT(0, base);
	p = som_map(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED_KB(base, 0);
	ASSERT_EQ(0, munmap(p, len));
	if (som_no_private(self->fd))
		return;

	p = som_map_private(self->fd, len);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED_KB(base, COMMIT_KB);
	/* A part goes, whatever has split the mapping. */
	ASSERT_EQ(0, mprotect(p + len / 4, len / 4, PROT_READ));
	ASSERT_EQ(0, munmap(p, len / 2));
	EXPECT_COMMITTED_KB(base, COMMIT_KB / 2);
	ASSERT_EQ(0, munmap(p + len / 2, len / 2));
	EXPECT_COMMITTED_KB(base, 0);

	p = som_map_private_at(self->fd, NULL, len, PROT_NONE, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p, len, RW));
	EXPECT_COMMITTED_KB(base, 0);
	ASSERT_EQ(0, munmap(p, len));
	EXPECT_COMMITTED_KB(base, 0);
}

/* With overcommit_memory=2 that limit is one, and access that comes later is not. */
TEST_F(som, committed_memory_is_limited)
{
	static const char mode[] = "/proc/sys/vm/overcommit_memory";
	static const char limit[] = "/proc/sys/vm/overcommit_kbytes";
	size_t len = COMMIT_UNITS * UNIT;
	char text[32], was[8], *p, *q, *r;

	if (som_no_private(self->fd))
		return;
	snprintf(was, sizeof(was), "%ld", som_read_number(mode));
	snprintf(text, sizeof(text), "%ld", committed_kb() + COMMIT_KB / 2);
	ASSERT_EQ(0, som_write_string(limit, text));
	ASSERT_EQ(0, som_write_string(mode, "2"));
	p = som_map_private(self->fd, len);
	q = som_map(self->fd, len);
	r = som_map_private_at(self->fd, NULL, UNIT, PROT_NONE, 0);
	som_write_string(mode, was);
	som_write_string(limit, "0");
	EXPECT_EQ(MAP_FAILED, p);
	EXPECT_NE(MAP_FAILED, q);
	ASSERT_NE(MAP_FAILED, r);
	EXPECT_EQ(0, mprotect(r, UNIT, RW));
}

TEST_HARNESS_MAIN
