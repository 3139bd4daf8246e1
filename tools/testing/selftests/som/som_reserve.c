// SPDX-License-Identifier: GPL-2.0
/*
 * Promises. Whoever has one never gets SIGBUS; whoever opted out gets it only
 * when the pool is dry, and can go on; the arithmetic is exact to the unit.
 *
 * SOM-TEST: timeout=400 takes=15 kmemleak
 */
#include "som_test.h"

static bool som_one_process = true;

/* Everything but @left units, promised and untouched. */
static char *take_all_but(int fd, const struct som_state *s, long left,
			  size_t *len)
{
	*len = (s->total - s->committed - left) * UNIT;
	return som_map(fd, *len);
}

/*
 * At mmap
 */

TEST_F(som, enomem_at_the_exact_unit)
{
	size_t len;
	char *p = take_all_but(self->fd, &self->before, 1, &len), *q;

	ASSERT_NE(MAP_FAILED, p);
	q = som_map(self->fd, UNIT + PAGE);
	EXPECT_EQ(MAP_FAILED, q);
	EXPECT_EQ(ENOMEM, errno);
	q = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(self->before.total, som_committed());
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, PAGE));
	EXPECT_EQ(ENOMEM, errno);

	/* A unit back is a unit that can be promised again. */
	ASSERT_EQ(0, munmap(p + 3 * UNIT, UNIT));
	q = som_map(self->fd, PAGE);
	EXPECT_NE(MAP_FAILED, q);
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, PAGE));
	EXPECT_EQ(ENOMEM, errno);
}

TEST_F(som, a_page_costs_a_unit)
{
	char *p = som_map(self->fd, PAGE);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(1);
	EXPECT_EQ(1, som_fdinfo(getpid(), self->fd, getpid(), "reserved"));
	ASSERT_EQ(0, munmap(p, PAGE));
	EXPECT_COMMITTED(0);
}

TEST_F(som, an_unaligned_mapping_costs_what_it_touches)
{
	char *room = som_room(8 * UNIT, UNIT), *p;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room + PAGE, UNIT, RW, MAP_FIXED);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(2);
	p = som_map_at(self->fd, room + 4 * UNIT - PAGE, 2 * PAGE, RW,
		       MAP_FIXED);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(4);
}

TEST_F(som, any_access_is_promised)
{
	static const int prots[] = {
		PROT_READ, PROT_WRITE, PROT_EXEC, PROT_READ | PROT_EXEC,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(prots); i++) {
		char *p = som_map_at(self->fd, NULL, 3 * UNIT, prots[i], 0);

		ASSERT_NE(MAP_FAILED, p);
		EXPECT_COMMITTED(3);
		ASSERT_EQ(0, munmap(p, 3 * UNIT));
		EXPECT_COMMITTED(0);
	}
}

TEST_F(som, touching_a_promised_unit_changes_no_promise)
{
	char *p = som_map(self->fd, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(4);
	som_touch_units(p, 2 * UNIT);
	EXPECT_COMMITTED(4);
	EXPECT_USED(2);
	EXPECT_EQ(4, som_fdinfo(getpid(), self->fd, getpid(), "reserved"));
}

/* All of a full pool can be touched. */
TEST_F(som, every_promise_is_kept)
{
	size_t len, i;
	char *p = take_all_but(self->fd, &self->before, 0, &len);

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < len; i += UNIT)
		ASSERT_EQ(0, som_try_write(p + i, i + 1));
	for (i = 0; i < len; i += UNIT)
		ASSERT_EQ(i + 1, *(__u64 *)(p + i));
	EXPECT_EQ(0, som_free());
}

/*
 * MAP_NORESERVE
 */

TEST_F(som, noreserve_is_committed_when_touched)
{
	char *p = som_map_at(self->fd, NULL, 4 * UNIT, RW, MAP_NORESERVE);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(0);
	som_touch_units(p, 3 * UNIT);
	EXPECT_COMMITTED(3);
	EXPECT_USED(3);
	EXPECT_EQ(0, som_fdinfo(getpid(), self->fd, getpid(), "reserved"));
	ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
	EXPECT_COMMITTED(2);
	EXPECT_USED(2);
	ASSERT_EQ(0, munmap(p, 4 * UNIT));
	EXPECT_COMMITTED(0);
}

TEST_F(som, noreserve_gets_the_last_unit_and_then_sigbus)
{
	long i, nr = self->before.total - self->before.committed;
	char *p = som_map_at(self->fd, NULL, (nr + 2) * UNIT, RW,
			     MAP_NORESERVE);

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, som_try_write(p + i * UNIT, i + 1));
	EXPECT_EQ(SIGBUS, som_try_write(p + nr * UNIT, 1));
	EXPECT_EQ(SIGBUS, som_read_signal(p + (nr + 1) * UNIT));
	EXPECT_EQ(0, som_free());

	/* It can go on, and its data is what it was. */
	for (i = 0; i < nr; i++)
		ASSERT_EQ(i + 1, *(__u64 *)(p + i * UNIT));
	ASSERT_EQ(0, madvise(p + 5 * UNIT, UNIT, MADV_REMOVE));
	EXPECT_EQ(0, som_try_write(p + nr * UNIT, 77));
	EXPECT_EQ(77, *(__u64 *)(p + nr * UNIT));
	EXPECT_EQ(SIGBUS, som_read_signal(p + 5 * UNIT));
	EXPECT_EQ(5, *(__u64 *)(p + 4 * UNIT));
}

TEST_F(som, noreserve_at_4k_entries_gets_sigbus)
{
	size_t len;
	char *all = take_all_but(self->fd, &self->before, 0, &len), *p;

	ASSERT_NE(MAP_FAILED, all);
	p = som_map_at(self->fd, NULL, PAGE, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SIGBUS, som_try_write(p, 1));
	ASSERT_EQ(0, munmap(all, UNIT));
	EXPECT_EQ(0, som_try_write(p, 1));
}

TEST_F(som, noreserve_cannot_take_what_is_promised)
{
	size_t len;
	char *p = take_all_but(self->fd, &self->before, 3, &len), *q;
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	q = som_map_at(self->fd, NULL, 8 * UNIT, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, q);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, som_try_write(q + i * UNIT, i));
	/* Hundreds of units are free, but spoken for. */
	EXPECT_LT(100, som_free());
	EXPECT_EQ(SIGBUS, som_try_write(q + 3 * UNIT, 1));
	for (i = 0; i < len; i += UNIT)
		ASSERT_EQ(0, som_try_write(p + i, i));
	EXPECT_EQ(0, som_free());
}

/* A kernel access to such memory is an error, not a signal. */
TEST_F(som, noreserve_system_call_gets_efault)
{
	size_t len;
	char *all = take_all_but(self->fd, &self->before, 0, &len), *p;
	int fds[2];

	ASSERT_NE(MAP_FAILED, all);
	p = som_map_at(self->fd, NULL, UNIT, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(1, write(fds[1], "x", 1));
	EXPECT_EQ(-1, read(fds[0], p, 1));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(som, noreserve_populate_fails_when_dry)
{
	size_t len;
	char *all = take_all_but(self->fd, &self->before, 2, &len), *p;

	ASSERT_NE(MAP_FAILED, all);
	p = som_map_at(self->fd, NULL, 4 * UNIT, RW, MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, madvise(p, 4 * UNIT, MADV_POPULATE_WRITE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_USED(2);
	EXPECT_EQ(SIGBUS, som_try_write(p + 2 * UNIT, 1));
}

/* The SIGBUS of one process is nothing to another. */
TEST_F(som, sigbus_leaves_other_processes_alone)
{
	size_t len;
	char *all = take_all_but(self->fd, &self->before, 0, &len), *p;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, all);
	som_fill(all, 2 * UNIT, 1);
	pid = fork();
	if (!pid) {
		p = som_map_at(self->fd, NULL, 2 * UNIT, RW, MAP_NORESERVE);
		child_assert(p != MAP_FAILED);
		child_assert(som_try_write(p, 1) == SIGBUS);
		child_assert(som_read_signal(p + UNIT) == SIGBUS);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(-1, som_check(all, 2 * UNIT, 1));
}

TEST_F(som, sigbus_without_a_handler_kills)
{
	size_t len;
	char *all = take_all_but(self->fd, &self->before, 0, &len), *p;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, all);
	pid = fork();
	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		p = som_map_at(self->fd, NULL, UNIT, RW, MAP_NORESERVE);
		child_assert(p != MAP_FAILED);
		WRITE_ONCE(*p, 1);
		_exit(0);
	}
	EXPECT_EQ(-SIGBUS, som_wait_child(pid));
}

/*
 * PROT_NONE
 */

TEST_F(som, prot_none_is_promised_by_mprotect)
{
	char *p = som_map_at(self->fd, NULL, 8 * UNIT, PROT_NONE, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(0);
	ASSERT_EQ(0, mprotect(p + 2 * UNIT, 3 * UNIT, RW));
	EXPECT_COMMITTED(3);
	som_fill(p + 2 * UNIT, 3 * UNIT, 1);
	EXPECT_COMMITTED(3);
	EXPECT_USED(3);
	EXPECT_EQ(SIGSEGV, som_read_signal(p + UNIT));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 5 * UNIT));
	ASSERT_EQ(0, mprotect(p, 8 * UNIT, PROT_READ));
	EXPECT_COMMITTED(8);
	EXPECT_EQ(-1, som_check(p + 2 * UNIT, 3 * UNIT, 1));
	ASSERT_EQ(0, munmap(p, 8 * UNIT));
	EXPECT_COMMITTED(0);
}

TEST_F(som, prot_none_page_promises_its_unit_once)
{
	char *p = som_map_at(self->fd, NULL, 2 * UNIT, PROT_NONE, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p + 5 * PAGE, PAGE, RW));
	EXPECT_COMMITTED(1);
	ASSERT_EQ(0, mprotect(p + 7 * PAGE, PAGE, RW));
	EXPECT_COMMITTED(1);
	/* Two pages on both sides of the border: the second unit as well. */
	ASSERT_EQ(0, mprotect(p + UNIT - PAGE, 2 * PAGE, RW));
	EXPECT_COMMITTED(2);
	EXPECT_EQ(0, som_try_write(p + 5 * PAGE, 1));
	EXPECT_EQ(0, som_try_write(p + UNIT, 1));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 6 * PAGE));
	EXPECT_USED(2);
}

TEST_F(som, mprotect_enomem_changes_nothing)
{
	size_t len;
	char *all = take_all_but(self->fd, &self->before, 2, &len), *p;

	ASSERT_NE(MAP_FAILED, all);
	p = som_map_at(self->fd, NULL, 4 * UNIT, PROT_NONE, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, 3 * UNIT, RW));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(self->before.total - 2, som_committed());
	EXPECT_EQ(SIGSEGV, som_read_signal(p));
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 2 * UNIT));
	/* What there is room for still works, to the exact unit. */
	ASSERT_EQ(0, mprotect(p + UNIT, 2 * UNIT, RW));
	EXPECT_EQ(self->before.total, som_committed());
	EXPECT_EQ(-1, mprotect(p, PAGE, RW));
	EXPECT_EQ(ENOMEM, errno);
	som_fill(p + UNIT, 2 * UNIT, 1);
	EXPECT_EQ(-1, som_check(p + UNIT, 2 * UNIT, 1));
}

TEST_F(som, mprotect_of_a_page_enomem)
{
	size_t len;
	char *all = take_all_but(self->fd, &self->before, 0, &len), *p;

	ASSERT_NE(MAP_FAILED, all);
	p = som_map_at(self->fd, NULL, UNIT, PROT_NONE, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p + 3 * PAGE, PAGE, PROT_READ));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(SIGSEGV, som_read_signal(p + 3 * PAGE));
	EXPECT_EQ(self->before.total, som_committed());
}

TEST_F(som, mprotect_to_none_keeps_the_promise)
{
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p, 2 * UNIT, PROT_NONE));
	EXPECT_COMMITTED(2);
	ASSERT_EQ(0, mprotect(p, 2 * UNIT, RW));
	EXPECT_COMMITTED(2);
}

/* MAP_NORESERVE is for good; mprotect does not take it back. */
TEST_F(som, mprotect_of_noreserve_promises_nothing)
{
	char *p = som_map_at(self->fd, NULL, 2 * self->before.total * UNIT,
			     PROT_NONE, MAP_NORESERVE);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mprotect(p, 2 * self->before.total * UNIT, RW));
	EXPECT_COMMITTED(0);
	som_touch_units(p, UNIT);
	EXPECT_COMMITTED(1);
}

/* A partly unmapped PROT_NONE reservation, as allocators make them. */
TEST_F(som, prot_none_trimmed_then_used)
{
	char *p = som_map_at(self->fd, NULL, 16 * UNIT, PROT_NONE, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p, 3 * UNIT + PAGE));
	ASSERT_EQ(0, munmap(p + 10 * UNIT, 6 * UNIT));
	EXPECT_COMMITTED(0);
	ASSERT_EQ(0, mprotect(p + 3 * UNIT + PAGE, UNIT, RW));
	EXPECT_COMMITTED(2);
	ASSERT_EQ(0, munmap(p + 3 * UNIT + PAGE, UNIT - PAGE));
	EXPECT_COMMITTED(1);
	ASSERT_EQ(0, munmap(p, 10 * UNIT));
	EXPECT_COMMITTED(0);
}

/*
 * The life of a promise
 */

TEST_F(som, remove_keeps_the_promise)
{
	size_t len;
	char *p = take_all_but(self->fd, &self->before, 0, &len);
	size_t i;

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p, 8 * UNIT);
	ASSERT_EQ(0, madvise(p, 8 * UNIT, MADV_REMOVE));
	EXPECT_USED(0);
	EXPECT_EQ(self->before.total, som_committed());
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, PAGE));
	EXPECT_EQ(ENOMEM, errno);
	for (i = 0; i < 8; i++)
		EXPECT_EQ(0, som_try_write(p + i * UNIT, 1));
}

TEST_F(som, munmap_of_parts_releases_the_promise)
{
	char *p = som_map(self->fd, 6 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_touch_units(p + 3 * UNIT, UNIT);
	ASSERT_EQ(0, munmap(p, UNIT - PAGE));
	EXPECT_COMMITTED(6);
	ASSERT_EQ(0, munmap(p + UNIT - PAGE, PAGE));
	EXPECT_COMMITTED(5);
	ASSERT_EQ(0, munmap(p + 3 * UNIT, 2 * UNIT));
	EXPECT_COMMITTED(3);
	ASSERT_EQ(0, munmap(p + 5 * UNIT + 100 * PAGE, PAGE));
	EXPECT_COMMITTED(3);
}

TEST_F(som, moving_changes_no_promise)
{
	char *room = som_room(4 * UNIT, UNIT);
	char *p = som_map(self->fd, 4 * UNIT);

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(room, mremap(p, 4 * UNIT, 4 * UNIT,
			       MREMAP_MAYMOVE | MREMAP_FIXED, room));
	EXPECT_COMMITTED(4);
	ASSERT_EQ(p, mremap(room + UNIT, UNIT, UNIT,
			    MREMAP_MAYMOVE | MREMAP_FIXED, p));
	EXPECT_COMMITTED(4);
}

/* Also in a pool with no unit to spare. */
TEST_F(som, moving_works_in_a_full_pool)
{
	size_t len;
	char *p = take_all_but(self->fd, &self->before, 0, &len);
	char *room = som_room(len, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, room);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(room, mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
			       room));
	EXPECT_EQ(-1, som_check(room, UNIT, 1));
	EXPECT_EQ(self->before.total, som_committed());
	EXPECT_EQ(0, som_try_write(room + len - 8, 1));
}

TEST_F(som, growth_beyond_the_pool_is_enomem)
{
	char *room = som_room(4 * UNIT, UNIT), *p, *all;
	size_t len;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room, UNIT, RW, MAP_FIXED);
	ASSERT_EQ(room, p);
	som_fill(p, UNIT, 1);
	all = take_all_but(self->fd, &self->before, 3, &len);
	ASSERT_NE(MAP_FAILED, all);
	/* Two units are left. */
	EXPECT_EQ(MAP_FAILED, mremap(p, UNIT, 4 * UNIT, MREMAP_MAYMOVE));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(self->before.total - 2, som_committed());
	p = mremap(p, UNIT, 3 * UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(self->before.total, som_committed());
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(0, som_try_write(p + 2 * UNIT, 1));
}

TEST_F(som, growth_of_noreserve_promises_nothing)
{
	char *room = som_room(4 * UNIT, UNIT), *p;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room, UNIT, RW, MAP_FIXED | MAP_NORESERVE);
	ASSERT_EQ(room, p);
	som_fill(p, UNIT, 1);
	p = mremap(p, UNIT, 4 * UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(1);
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(-1, som_not_zero(p + UNIT, 3 * UNIT));
	EXPECT_COMMITTED(4);
}

/* PROT_NONE grows for nothing, and is promised when it becomes accessible. */
TEST_F(som, growth_of_prot_none)
{
	char *room = som_room(4 * UNIT, UNIT), *p;

	ASSERT_NE(MAP_FAILED, room);
	p = som_map_at(self->fd, room, UNIT, PROT_NONE, MAP_FIXED);
	ASSERT_EQ(room, p);
	p = mremap(p, UNIT, 4 * UNIT, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_COMMITTED(0);
	ASSERT_EQ(0, mprotect(p, 4 * UNIT, RW));
	EXPECT_COMMITTED(4);
	EXPECT_EQ(-1, som_not_zero(p, 4 * UNIT));
}

TEST_F(som, exit_releases_untouched_promises)
{
	pid_t pid = fork();

	if (!pid) {
		child_assert(som_map(self->fd, 50 * UNIT) != MAP_FAILED);
		child_assert(som_committed() == self->before.committed + 50);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(self->before.committed,
		  som_wait_number(som_committed, self->before.committed));
}

TEST_F(som, fork_doubles_no_promise)
{
	char *p = som_map(self->fd, 50 * UNIT);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, p);
	pid = fork();
	if (!pid) {
		child_assert(som_committed() == self->before.committed + 50);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_COMMITTED(50);
}

/*
 * A promise under fire: churners take, without a promise, whatever they get,
 * while a process that has one touches and removes all of its units.
 */
static void churn(int fd, size_t len, int *stop)
{
	size_t i;
	char *p;

	som_catch_faults();
	while (!READ_ONCE(*stop)) {
		p = som_map_at(fd, NULL, len, RW, MAP_NORESERVE);
		child_assert(p != MAP_FAILED);
		for (i = 0; i < len && !READ_ONCE(*stop); i += UNIT) {
			int sig = som_try_write(p + i, 1);

			child_assert(!sig || sig == SIGBUS);
			if (sig)
				break;
		}
		child_assert(!madvise(p, len / 2, MADV_REMOVE));
		child_assert(!munmap(p, len));
	}
}

TEST_F(som, no_sigbus_with_a_promise)
{
	int *stop = som_shared(sizeof(*stop));
	long units = 40, i, sigs = 0, stale = 0, rounds;
	size_t len;
	char *all, *p;
	pid_t pid[3];
	double end;

	/* Leave 50 units to fight for, 40 of them promised. */
	all = take_all_but(self->fd, &self->before, 50, &len);
	ASSERT_NE(MAP_FAILED, all);
	p = som_map(self->fd, units * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_all_cpus();
	for (i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			churn(self->fd, 30 * UNIT, stop);
			_exit(0);
		}
	}
	end = som_now() + 2 * som_race_seconds();
	for (rounds = 0; som_now() < end || rounds < 3; rounds++) {
		for (i = 0; i < units; i++) {
			__u64 value = 0;

			sigs += !!som_try_read(p + i * UNIT, &value);
			stale += !!value;
			sigs += !!som_try_write(p + i * UNIT, rounds + 1);
		}
		EXPECT_EQ(0, sigs);
		EXPECT_EQ(0, stale);
		if (sigs || stale)
			break;
		if (rounds % 2) {
			EXPECT_EQ(0, madvise(p, units * UNIT, MADV_REMOVE));
		} else {
			for (i = 0; i < units; i++)
				EXPECT_EQ(0, madvise(p + i * UNIT, UNIT,
						     MADV_REMOVE));
		}
	}
	WRITE_ONCE(*stop, 1);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, som_wait_child(pid[i]));
	TH_LOG("%ld rounds of %ld units", rounds, units);
}

TEST_HARNESS_MAIN
