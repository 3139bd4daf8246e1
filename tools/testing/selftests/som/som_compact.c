// SPDX-License-Identifier: GPL-2.0
/*
 * Units move from chunk to chunk, so that chunks become empty, and nobody who
 * uses them notices: not by a wrong byte, not by a write that is lost to the
 * memory or to a scan. What cannot move is left alone.
 *
 * In which chunk a unit is says its page frame number, which root sees. Units that
 * somebody is busy with: som_compact_race. On the debug kernel it takes minutes:
 * there som_random and som_page_backed move units, and this only runs when it is asked
 * for by name.
 *
 * SOM-TEST: chunks=3 timeout=900 kernels=generic takes=45
 */
#include "som_scan.h"

static const char *(*som_missing)(int fd) = som_no_compact;

#define MAX_CHUNKS	3
#define MAX_UNITS	(MAX_CHUNKS * CHUNK_UNITS)

static long chunks_empty(void)
{
	return som_pool("chunks_empty");
}

/*
 * A pool with a few units in use in each chunk
 */

struct unit {
	char *p;
	long chunk;
	/* Pages that are still there, and a second view of them. */
	size_t from, to;
	char *duplicate;
};

struct units {
	struct unit unit[MAX_UNITS];
	long nr, chunks[MAX_CHUNKS];
	int nr_chunks;
};

static int chunk_number(struct units *u, long chunk)
{
	int i;

	for (i = 0; i < u->nr_chunks; i++)
		if (u->chunks[i] == chunk)
			return i;
	if (i == MAX_CHUNKS)
		return -1;
	u->chunks[u->nr_chunks++] = chunk;
	return i;
}

static __u64 mark_of(const struct unit *unit)
{
	return (uintptr_t)unit->p >> SOM_UNIT_SHIFT;
}

static void fill_unit(struct unit *unit, size_t nr)
{
	if (nr % 16 == 0)
		som_fill(unit->p, UNIT, mark_of(unit));
	som_fill_pages(unit->p, UNIT, mark_of(unit));
}

/* Return: whether what is there of the unit is as it was filled. */
static bool check_unit_at(const char *p, const struct unit *unit)
{
	size_t i;

	for (i = unit->from; i < unit->to; i++)
		if (READ_ONCE(*(__u64 *)(p + i * PAGE)) !=
		    som_word(mark_of(unit), i * PAGE))
			return false;
	return true;
}

/*
 * Take the whole pool, and release all but @want[c] units of each chunk. What
 * stays is spread evenly, and has marks.
 */
static struct units *scatter(struct __test_metadata *_metadata, int fd,
			     bool private, const long *want)
{
	struct units *u = calloc(1, sizeof(*u));
	long seen[MAX_CHUNKS] = {}, nr = som_free(), used = som_used(), i, n;
	char *mem;

	ASSERT_NE(NULL, u);
	ASSERT_GE(MAX_UNITS, nr);
	mem = private ? som_map_private(fd, nr * UNIT) : som_map(fd, nr * UNIT);
	ASSERT_NE(MAP_FAILED, mem);
	som_touch_units(mem, nr * UNIT);
	for (i = 0; i < nr; i++) {
		char *p = mem + i * UNIT;
		long chunk = som_chunk_of(getpid(), p);
		int c = chunk_number(u, chunk);

		ASSERT_LE(0, chunk);
		ASSERT_LE(0, c);
		n = seen[c]++;
		if (n * want[c] / CHUNK_UNITS ==
		    (n + 1) * want[c] / CHUNK_UNITS) {
			ASSERT_EQ(0, munmap(p, UNIT));
			continue;
		}
		u->unit[u->nr] = (struct unit) {
			.p = p, .chunk = chunk, .to = UNIT_PAGES,
		};
		fill_unit(&u->unit[u->nr], u->nr);
		u->nr++;
	}
	ASSERT_EQ(used + u->nr, som_used());
	return u;
}

#define SCATTER(a, b, c)						\
	scatter(_metadata, self->fd, false, (const long[]) { a, b, c })

static void check_units(struct __test_metadata *_metadata, struct units *u)
{
	long i;

	for (i = 0; i < u->nr; i++)
		EXPECT_TRUE(check_unit_at(u->unit[i].p, &u->unit[i]))
			TH_LOG("unit %ld of %ld", i, u->nr);
	EXPECT_EQ(-1, som_check(u->unit[0].p, u->unit[0].from ? 0 : PAGE,
				mark_of(&u->unit[0])));
}

/* How many are in another chunk now. */
static long count_moved(struct units *u)
{
	long i, moved = 0;

	for (i = 0; i < u->nr; i++)
		moved += som_chunk_of(getpid(), u->unit[i].p +
				      u->unit[i].from * PAGE) !=
			u->unit[i].chunk;
	return moved;
}

/*
 * The attributes
 */

TEST_F(som, chunks_empty)
{
	char *p;

	EXPECT_EQ(3, chunks_empty());
	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(3, chunks_empty());
	p[0] = 1;
	EXPECT_EQ(2, chunks_empty());
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_EQ(3, chunks_empty());
	ASSERT_EQ(0, som_set_chunks(2));
	EXPECT_EQ(2, chunks_empty());
	ASSERT_EQ(0, som_set_chunks(3));
	EXPECT_EQ(3, chunks_empty());
}

TEST_F(som, nonsense_is_refused)
{
	static const char * const texts[] = {
		"", "\n", "x", "-1", "1x", "1 1", "0x", "one", "1.5", " 1", "+-1",
	};
	struct units *u = SCATTER(2, 2, 2);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		int ret = som_write_string(SOM_SYSFS "compact", texts[i]);

		/* Nothing written is no write. */
		if (i)
			EXPECT_EQ(-EINVAL, ret)
				TH_LOG("\"%s\"", texts[i]);
	}
	EXPECT_GT(0, som_write_string(SOM_SYSFS "compact",
				      "99999999999999999999999"));
	EXPECT_EQ(0, chunks_empty());
	EXPECT_EQ(0, count_moved(u));
	check_units(_metadata, u);
}

TEST_F(som, nothing_to_empty)
{
	EXPECT_EQ(-EBUSY, som_compact(1));
	EXPECT_EQ(3, chunks_empty());
	EXPECT_UNCHANGED();
}

/*
 * Units that nobody disturbs
 */

TEST_F(som, units_move_together)
{
	struct units *u = SCATTER(8, 8, 8);

	EXPECT_EQ(0, chunks_empty());
	ASSERT_EQ(0, som_compact(2));
	EXPECT_EQ(2, chunks_empty());
	EXPECT_USED(24);
	EXPECT_COMMITTED(24);
	check_units(_metadata, u);
	EXPECT_EQ(16, count_moved(u));
	/* What this is for. */
	ASSERT_EQ(0, som_set_chunks(1));
	check_units(_metadata, u);
	ASSERT_EQ(0, som_set_chunks(3));
	check_units(_metadata, u);
}

TEST_F(som, one_chunk_after_the_other)
{
	struct units *u = SCATTER(8, 8, 8);

	ASSERT_EQ(0, som_compact(1));
	EXPECT_EQ(1, chunks_empty());
	check_units(_metadata, u);
	ASSERT_EQ(0, som_compact(1));
	EXPECT_EQ(2, chunks_empty());
	check_units(_metadata, u);
	EXPECT_EQ(-EBUSY, som_compact(1));
	EXPECT_EQ(2, chunks_empty());
	check_units(_metadata, u);
	EXPECT_USED(24);
}

/* As far as it comes; what is empty stays so. */
TEST_F(som, more_than_can_be)
{
	struct units *u = SCATTER(5, 9, 7);

	EXPECT_EQ(-EBUSY, som_compact(3));
	EXPECT_EQ(2, chunks_empty());
	check_units(_metadata, u);
	EXPECT_EQ(-EBUSY, som_compact(1000));
	EXPECT_EQ(2, chunks_empty());
	check_units(_metadata, u);
}

TEST_F(som, the_least_used_chunk_is_emptied)
{
	struct units *u = SCATTER(40, 3, 60);
	long i, moved = 0;

	ASSERT_EQ(0, som_compact(1));
	EXPECT_EQ(1, chunks_empty());
	for (i = 0; i < u->nr; i++)
		moved += som_chunk_of(getpid(), u->unit[i].p) == u->chunks[1];
	EXPECT_EQ(0, moved);
	EXPECT_EQ(3, count_moved(u));
	check_units(_metadata, u);
}

TEST_F(som, a_full_pool)
{
	struct units *u = SCATTER(512, 512, 512);

	EXPECT_EQ(-EBUSY, som_compact(1));
	EXPECT_EQ(0, chunks_empty());
	EXPECT_EQ(0, som_free());
	check_units(_metadata, u);
}

/* It fits to the very unit, and then it does not. */
TEST_F(som, just_enough_room)
{
	struct units *u = SCATTER(512, 412, 100);

	ASSERT_EQ(0, som_compact(1));
	EXPECT_EQ(1, chunks_empty());
	check_units(_metadata, u);
	EXPECT_EQ(100, count_moved(u));
}

TEST_F(som, one_unit_too_many)
{
	struct units *u = SCATTER(512, 412, 101);

	EXPECT_EQ(-EBUSY, som_compact(1));
	EXPECT_EQ(0, chunks_empty());
	check_units(_metadata, u);
	EXPECT_USED(1025);
}

/* Whoever has a promise gets a unit, also after a move. */
TEST_F(som, promises_are_kept)
{
	struct units *u = SCATTER(8, 8, 8);
	size_t len = (self->before.free - 24) * UNIT;
	char *p = som_map(self->fd, len);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(self->before.total, som_committed());
	ASSERT_EQ(0, som_compact(2));
	EXPECT_EQ(2, chunks_empty());
	EXPECT_EQ(self->before.total, som_committed());
	EXPECT_EQ(-1, som_pages_not_zero(p, len));
	som_fill_pages(p, len, 99);
	EXPECT_EQ(self->before.total, som_used());
	check_units(_metadata, u);
	EXPECT_EQ(-1, som_check_pages(p, len, 99));
}

/* What they have left is zeroed before it is anybody else's. */
TEST_F(som, nothing_is_left_behind)
{
	struct units *u = SCATTER(30, 30, 30);
	size_t len = (self->before.free - 90) * UNIT;
	long i;
	pid_t pid;

	for (i = 0; i < u->nr; i++)
		som_fill(u->unit[i].p, UNIT, mark_of(&u->unit[i]));
	ASSERT_EQ(0, som_compact(2));
	pid = fork();
	if (!pid) {
		char *p = som_map(self->fd, len);

		child_assert(p != MAP_FAILED);
		child_assert(som_not_zero(p, len) == -1);
		som_fill_pages(p, len, 7);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child(pid));
	for (i = 0; i < u->nr; i++)
		EXPECT_EQ(-1, som_check(u->unit[i].p, UNIT,
					mark_of(&u->unit[i])));
}

/* However the units are mapped. */
enum shape {
	AS_IT_IS,
	BY_4K,
	NO_ENTRIES,
	NO_ACCESS,
	READ_ONLY,
	UNALIGNED,
	DUPLICATED,
	IN_PART,
	TRACKED_CLEAN,
	TRACKED_DIRTY,
	NR_SHAPES,
};

static bool shape_unit(int fd, struct unit *unit, enum shape shape)
{
	char *p = unit->p;

	switch (shape) {
	case BY_4K:
	case NO_ENTRIES:
		if (mprotect(p + 7 * PAGE, PAGE, PROT_READ) ||
		    mprotect(p + 7 * PAGE, PAGE, RW))
			return false;
		return shape == NO_ENTRIES || check_unit_at(p, unit);
	case NO_ACCESS:
		return !mprotect(p, UNIT, PROT_NONE);
	case READ_ONLY:
		return !mprotect(p, UNIT, PROT_READ) && check_unit_at(p, unit);
	case DUPLICATED:
		unit->duplicate = mremap(p, 0, UNIT, MREMAP_MAYMOVE);
		return unit->duplicate != MAP_FAILED &&
			check_unit_at(unit->duplicate, unit);
	case IN_PART:
		unit->from = 10;
		unit->to = 500;
		return !munmap(p, 10 * PAGE) &&
			!munmap(p + 500 * PAGE, 12 * PAGE) &&
			check_unit_at(p, unit);
	case TRACKED_CLEAN:
		return !som_scan_clean(fd, p, UNIT);
	case TRACKED_DIRTY:
		if (som_scan_clean(fd, p, UNIT))
			return false;
		p[9 * PAGE + 8] = 1;
		return true;
	default:
		return true;
	}
}

static void move_in_all_shapes(struct __test_metadata *_metadata, int fd,
			       bool private)
{
	static const long want[] = { 2 * NR_SHAPES, 2 * NR_SHAPES,
				     2 * NR_SHAPES };
	struct units *u = scatter(_metadata, fd, private, want);
	long i, written;

	for (i = 0; i < u->nr; i++) {
		char *room = som_room(2 * UNIT, UNIT);

		/* Private memory has no second view. */
		if (!private || i % NR_SHAPES != DUPLICATED)
			ASSERT_TRUE(shape_unit(fd, &u->unit[i], i % NR_SHAPES))
				TH_LOG("shape %ld", i % NR_SHAPES);
		if (i % NR_SHAPES == UNALIGNED) {
			char *p = u->unit[i].p, *q = room + 5 * PAGE;

			ASSERT_EQ(q, mremap(p, UNIT, UNIT, MREMAP_MAYMOVE |
					    MREMAP_FIXED, q));
			u->unit[i].p = q;
			som_fill_pages(q, UNIT, mark_of(&u->unit[i]));
		} else {
			munmap(room, 2 * UNIT);
		}
	}
	ASSERT_EQ(0, som_compact(2));
	EXPECT_EQ(2, chunks_empty());
	EXPECT_EQ(u->nr, som_used());
	for (i = 0; i < u->nr; i++) {
		struct unit *unit = &u->unit[i];
		int shape = i % NR_SHAPES;
		char *p = unit->p;

		if (shape == NO_ACCESS) {
			EXPECT_EQ(SIGSEGV, som_read_signal(p));
			ASSERT_EQ(0, mprotect(p, UNIT, PROT_READ));
		}
		EXPECT_TRUE(check_unit_at(p, unit))
			TH_LOG("unit %ld, shape %d", i, shape);
		if (shape == NO_ACCESS || shape == READ_ONLY) {
			EXPECT_EQ(SIGSEGV, som_try_write(p, 0));
			ASSERT_EQ(0, mprotect(p, UNIT, RW));
		}
		if (shape == IN_PART) {
			EXPECT_EQ(SIGSEGV, som_read_signal(p));
			EXPECT_EQ(SIGSEGV, som_read_signal(p + 500 * PAGE));
		}
		if (shape == TRACKED_DIRTY)
			EXPECT_NE(0, som_scan_page(fd, p + 9 * PAGE, WRITTEN));
		if (shape == TRACKED_CLEAN || shape == TRACKED_DIRTY) {
			EXPECT_NE(0, som_scan_page(fd, p, TRACKED));
			ASSERT_EQ(0, som_scan_clean(fd, p, UNIT));
			p[20 * PAGE + 8] = 1;
			written = som_scan_count(fd, p, UNIT, WRITTEN);
			EXPECT_LE(1, written);
			EXPECT_NE(0, som_scan_page(fd, p + 20 * PAGE, WRITTEN));
		}
		if (unit->duplicate) {
			EXPECT_TRUE(check_unit_at(unit->duplicate, unit));
			WRITE_ONCE(*(p + 3 * PAGE + 8), 0x77);
			EXPECT_EQ(0x77, unit->duplicate[3 * PAGE + 8]);
			WRITE_ONCE(unit->duplicate[4 * PAGE + 8], 0x78);
			EXPECT_EQ(0x78, p[4 * PAGE + 8]);
		}
		/* It is memory as before. */
		som_fill_pages(p + unit->from * PAGE,
			       (unit->to - unit->from) * PAGE, i);
		EXPECT_EQ(-1, som_check_pages(p + unit->from * PAGE,
					      (unit->to - unit->from) * PAGE,
					      i));
	}
	EXPECT_EQ(u->nr, som_used());
}

TEST_F(som, all_shapes)
{
	move_in_all_shapes(_metadata, self->fd, false);
}

TEST_F(som, all_shapes_of_private_memory)
{
	const char *missing = som_no_private(self->fd);

	if (missing)
		SKIP(return, "%s", missing);
	move_in_all_shapes(_metadata, self->fd, true);
}

/* Nothing of what is below is there any more when a unit has moved. */
TEST_F(som, mapped_over_and_removed_afterwards)
{
	struct units *u = SCATTER(8, 8, 8);
	long i;

	ASSERT_EQ(0, som_compact(2));
	for (i = 0; i < u->nr; i++) {
		char *p = u->unit[i].p;

		switch (i % 3) {
		case 0:
			ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
			EXPECT_EQ(-1, som_not_zero(p, UNIT));
			break;
		case 1:
			ASSERT_EQ(0, munmap(p, UNIT));
			EXPECT_EQ(SIGSEGV, som_read_signal(p));
			break;
		default:
			ASSERT_EQ(0, madvise(p + PAGE, PAGE, MADV_REMOVE));
			EXPECT_EQ(-1, som_not_zero(p + PAGE, PAGE));
			EXPECT_EQ(som_word(mark_of(&u->unit[i]), 0),
				  *(__u64 *)p);
			break;
		}
	}
	EXPECT_USED(16);
}

TEST_F(som, a_gib_at_one_entry_stays)
{
	struct units *u;
	char *p;

	if (som_set_policy(self->fd, CHUNK))
		SKIP(return, "this som.ko does not have SOM_IOC_SET_POLICY");
	p = som_map(self->fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	p[0] = 1;
	if (som_units_1g(self->fd) != CHUNK_UNITS)
		SKIP(return, "this som.ko does not have entries of 1 GiB");
	som_fill_pages(p, CHUNK, 1);
	ASSERT_EQ(0, som_set_policy(self->fd, UNIT));
	u = SCATTER(8, 8, 0);
	EXPECT_EQ(0, chunks_empty());
	ASSERT_EQ(0, som_compact(1));
	EXPECT_EQ(1, chunks_empty());
	EXPECT_EQ(CHUNK_UNITS, som_units_1g(self->fd));
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	check_units(_metadata, u);
	/* It is full: it does not go anywhere either. */
	EXPECT_EQ(-EBUSY, som_compact(1));
	EXPECT_EQ(-1, som_check_pages(p, CHUNK, 1));
	check_units(_metadata, u);
}

/*
 * What is pinned
 */

TEST_F(som, a_pinned_unit_refuses)
{
	struct units *u = SCATTER(8, 8, 8);
	char buf[2 * PAGE];
	int fds[3][2], i;

	/* One of each chunk. */
	for (i = 0; i < 3; i++) {
		struct iovec iov = { u->unit[i * 8 + 3].p + PAGE, 2 * PAGE };

		ASSERT_EQ(0, pipe(fds[i]));
		ASSERT_EQ(2 * PAGE, vmsplice(fds[i][1], &iov, 1, 0));
	}
	EXPECT_EQ(-EBUSY, som_compact(2));
	EXPECT_EQ(0, chunks_empty());
	check_units(_metadata, u);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(u->unit[i * 8 + 3].chunk,
			  som_chunk_of(getpid(), u->unit[i * 8 + 3].p));
	/* What is written now is seen through the pipe. */
	*(__u64 *)(u->unit[3].p + PAGE + 8) = 0x1234;
	ASSERT_EQ(2 * PAGE, read(fds[0][0], buf, 2 * PAGE));
	EXPECT_EQ(0x1234, ((__u64 *)buf)[1]);
	EXPECT_EQ(som_word(mark_of(&u->unit[3]), PAGE), *(__u64 *)buf);
	/* Two pins are left: one chunk can go. */
	EXPECT_EQ(-EBUSY, som_compact(2));
	EXPECT_EQ(1, chunks_empty());
	check_units(_metadata, u);
	for (i = 1; i < 3; i++) {
		ASSERT_EQ(2 * PAGE, read(fds[i][0], buf, 2 * PAGE));
		EXPECT_EQ(som_word(mark_of(&u->unit[i * 8 + 3]), PAGE),
			  *(__u64 *)buf);
	}
	EXPECT_EQ(0, som_compact(1));
	EXPECT_EQ(2, chunks_empty());
	check_units(_metadata, u);
}

/* A unit that nobody owns any more, but a pipe has a page of. */
TEST_F(som, a_pin_that_outlives_its_unit)
{
	struct units *u = SCATTER(4, 4, 4);
	struct iovec iov = { u->unit[1].p, PAGE };
	char buf[PAGE];
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(PAGE, vmsplice(fds[1], &iov, 1, 0));
	ASSERT_EQ(0, munmap(u->unit[1].p, UNIT));
	EXPECT_EQ(1, som_pool("units_quarantined"));
	som_compact(2);
	EXPECT_GE(2, chunks_empty());
	EXPECT_EQ(1, som_pool("units_quarantined"));
	ASSERT_EQ(PAGE, read(fds[0], buf, PAGE));
	EXPECT_EQ(som_word(mark_of(&u->unit[1]), 0), *(__u64 *)buf);
	u->unit[1] = u->unit[--u->nr];
	check_units(_metadata, u);
}

/* A tracked unit that is clean is not written because it moved. */
TEST_F(som, moves_are_not_lost_writes)
{
	struct units *u = SCATTER(6, 6, 6);
	long i, over = 0;

	for (i = 0; i < u->nr; i++)
		ASSERT_EQ(0, som_scan_clean(self->fd, u->unit[i].p, UNIT));
	for (i = 0; i < u->nr; i++)
		u->unit[i].p[7 * PAGE + 8] = 1;
	ASSERT_EQ(0, som_compact(2));
	for (i = 0; i < u->nr; i++) {
		u->unit[i].p[8 * PAGE + 8] = 1;
		EXPECT_NE(0, som_scan_page(self->fd, u->unit[i].p + 7 * PAGE,
					   WRITTEN));
		EXPECT_NE(0, som_scan_page(self->fd, u->unit[i].p + 8 * PAGE,
					   WRITTEN));
		over += som_scan_count(self->fd, u->unit[i].p, UNIT,
				       WRITTEN) - 2;
		/* And then there is peace. */
		ASSERT_EQ(0, som_scan_clean(self->fd, u->unit[i].p, UNIT));
		EXPECT_EQ(0, som_scan_count(self->fd, u->unit[i].p, UNIT,
					    WRITTEN));
	}
	TH_LOG("%ld pages told that were not written", over);
	check_units(_metadata, u);
}

/* The one who asked for it is killed. */
TEST_F(som, sigkill_of_the_mover)
{
	int rounds = som_debug_kernel() ? 3 : 6, i;
	struct units *u = SCATTER(100, 100, 100);
	struct som_random rnd = { 17 };

	for (i = 0; i < rounds; i++) {
		pid_t pid = fork();

		if (!pid) {
			som_compact(2);
			_exit(0);
		}
		usleep(som_below(&rnd, 300000));
		kill(pid, SIGKILL);
		som_wait_child(pid);
		check_units(_metadata, u);
		EXPECT_USED(300);
	}
}

/* Several movers, and a pool that shrinks and grows. */
TEST_F(som, movers_and_resizers)
{
	struct units *u = SCATTER(30, 30, 30);
	double end = som_now() + som_race_seconds();
	struct som_random rnd = { 18 };
	pid_t pid[3];
	long rounds = 0;
	int i;

	for (i = 0; i < 3; i++) {
		pid[i] = fork();
		while (!pid[i] && som_now() < end) {
			if (i < 2)
				som_compact(1 + i);
			else if (!som_set_chunks(2))
				som_set_chunks(3);
		}
		if (!pid[i])
			_exit(0);
	}
	while (som_now() < end) {
		char *p = som_map_at(self->fd, NULL, 40 * UNIT, RW,
				     MAP_NORESERVE);

		ASSERT_NE(MAP_FAILED, p);
		for (i = 0; i < 40; i++)
			if (!som_try_write(p + i * UNIT, i))
				EXPECT_EQ(i, *(__u64 *)(p + i * UNIT));
		usleep(som_below(&rnd, 20000));
		ASSERT_EQ(0, munmap(p, 40 * UNIT));
		check_units(_metadata, u);
		rounds++;
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, som_wait_child(pid[i]));
	EXPECT_EQ(0, som_set_chunks(3));
	check_units(_metadata, u);
	EXPECT_USED(90);
	TH_LOG("%ld rounds", rounds);
}

TEST_HARNESS_MAIN
