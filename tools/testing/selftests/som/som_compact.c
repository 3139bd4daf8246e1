// SPDX-License-Identifier: GPL-2.0
/*
 * Units move from chunk to chunk, so that chunks become empty, and nobody who
 * uses them notices: not by a wrong byte, not by a write that is lost to the
 * memory or to a scan. What cannot move is left alone.
 *
 * In which chunk a unit is says its page frame number, which root sees.
 * SOM_SECONDS=N sets for how long units move beside each kind of use. On the debug
 * kernel it takes six minutes: there som_random and som_pinnable move units, and
 * this only runs when it is asked for by name.
 *
 * SOM-TEST: chunks=3 timeout=1800 kernels=generic takes=85
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

/*
 * A mover: makes the chunk that a target is in the least used one, by units of
 * its own in another chunk, and has it emptied.
 */
struct mover {
	int fd;
	char *ballast;
	size_t len;
	long tries, moved;
	int *go;	/* set when the move begins */
};

static void move_once(struct mover *m, pid_t pid, const char *target,
		      long units)
{
	long from = som_chunk_of(pid, target), want = 2 * units + 20, n, i;
	struct units *u;
	size_t len;
	char *mem;
	int c, best = -1;

	if (from < 0)
		return;
	u = calloc(1, sizeof(*u));
	len = som_pool("units_total") * UNIT;
	mem = som_map_at(m->fd, NULL, len, RW, MAP_NORESERVE);
	if (!u || mem == MAP_FAILED)
		goto out;
	/* Until there is enough in one of the others. */
	for (n = 0; n < len / UNIT && best < 0; n++) {
		long chunk, of = 0;

		if (som_try_write(mem + n * UNIT, n))
			break;
		chunk = som_chunk_of(getpid(), mem + n * UNIT);
		c = chunk_number(u, chunk);
		if (c < 0)
			break;
		u->unit[n].chunk = chunk;
		for (i = 0; i <= n; i++)
			of += u->unit[i].chunk == chunk;
		if (chunk != from && of >= want)
			best = c;
	}
	for (i = 0; i < n; i++)
		if (best < 0 || u->unit[i].chunk != u->chunks[best])
			munmap(mem + i * UNIT, UNIT);
	if (m->ballast)
		munmap(m->ballast, m->len);
	m->ballast = mem;
	m->len = len;
	if (m->go)
		WRITE_ONCE(*m->go, 1);
	som_compact(1);
	m->tries++;
	if (som_chunk_of(pid, target) != from)
		m->moved++;
	mem = MAP_FAILED;
out:
	if (mem != MAP_FAILED)
		munmap(mem, len);
	free(u);
}

/*
 * Users of memory. Each is a process with two threads on the same units.
 */

#define TARGET_UNITS	12
#define TARGET_LEN	(TARGET_UNITS * UNIT)
#define TARGET_PAGES	(TARGET_UNITS * UNIT_PAGES)

struct target {
	void *(*work[2])(void *target);
	/* Called when the threads are gone: is all as it should be? */
	bool (*check)(struct target *t);

	int fd, ready, stop;
	char *mem, *room;
	bool private;
	long bad, rounds;
	__u64 value[TARGET_PAGES], copy[TARGET_PAGES];
};

struct target_thread {
	struct target *t;
	int nr;
};

static void target_bad(struct target *t, bool bad)
{
	if (bad)
		__atomic_fetch_add(&t->bad, 1, __ATOMIC_RELAXED);
}

static __u64 *target_word(struct target *t, size_t page)
{
	return (__u64 *)(t->mem + page * PAGE);
}

static void start_user(struct target *t)
{
	size_t i;

	t->mem = t->private ? som_map_private(t->fd, TARGET_LEN) :
		som_map(t->fd, TARGET_LEN);
	child_assert(t->mem != MAP_FAILED);
	som_touch_units(t->mem, TARGET_LEN);
	for (i = 0; i < TARGET_PAGES; i++)
		WRITE_ONCE(*target_word(t, i), 0);
	t->room = som_room(2 * UNIT, UNIT);
	child_assert(t->room != MAP_FAILED);
}

static void run_user(struct target *t)
{
	struct target_thread threads[2] = { { t, 0 }, { t, 1 } };
	pthread_t id[2];
	int i;

	for (i = 0; i < 2; i++)
		child_assert(!pthread_create(&id[i], NULL, t->work[i],
					     &threads[i]));
	WRITE_ONCE(t->ready, 1);
	for (i = 0; i < 2; i++)
		pthread_join(id[i], NULL);
	child_assert(!t->check || t->check(t));
}

static pid_t fork_user(struct target *t)
{
	pid_t pid = fork();

	if (!pid) {
		som_catch_faults();
		start_user(t);
		run_user(t);
		_exit(0);
	}
	return pid;
}

/* Move a user's units until time is up, and see that it did not notice. */
static void move_beside_for(struct __test_metadata *_metadata, int fd,
			    struct target *t, double seconds)
{
	double end = som_now() + seconds;
	struct mover m = { .fd = fd };
	pid_t pid;

	ASSERT_NE(MAP_FAILED, t);
	t->fd = fd;
	/* Two chunks are enough, and filled sooner. */
	ASSERT_EQ(0, som_set_chunks(2));
	pid = fork_user(t);
	ASSERT_LT(0, pid);
	ASSERT_TRUE(som_wait_flag(&t->ready, 1));
	/* A slow machine tries twice, and a user who pins may be in the way then. */
	while (som_now() < end || m.tries < 2 || !m.moved ||
	       !READ_ONCE(t->rounds)) {
		move_once(&m, pid, t->mem, TARGET_UNITS);
		if (som_now() > end + 240)
			break;
	}
	WRITE_ONCE(t->stop, 1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, t->bad);
	EXPECT_LT(0, t->rounds);
	EXPECT_LT(0, m.moved);
	TH_LOG("%ld of %ld moves, %ld rounds", m.moved, m.tries, t->rounds);
	if (m.ballast)
		munmap(m.ballast, m.len);
	EXPECT_EQ(0, som_set_chunks(3));
}

static void move_beside(struct __test_metadata *_metadata, int fd,
			struct target *t)
{
	move_beside_for(_metadata, fd, t, som_race_seconds());
}

/* Writes every second page, having checked what it wrote there before. */
static void *write_and_check(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct som_random rnd = { me->nr };
	size_t page, n;

	while (!READ_ONCE(t->stop)) {
		page = som_below(&rnd, TARGET_PAGES) & ~1UL;
		for (n = som_small(&rnd, 300); n; n--) {
			__u64 *w = target_word(t, page + me->nr);
			__u64 *value = &t->value[page + me->nr];

			target_bad(t, READ_ONCE(w[0]) != *value ||
				   READ_ONCE(w[511]) != *value);
			++*value;
			WRITE_ONCE(w[0], *value);
			WRITE_ONCE(w[511], *value);
			page = (page + 2) % TARGET_PAGES;
		}
		__atomic_fetch_add(&t->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static bool check_values(struct target *t)
{
	size_t page;

	for (page = 0; page < TARGET_PAGES; page++)
		if (READ_ONCE(target_word(t, page)[0]) != t->value[page])
			return false;
	return true;
}

static struct target *new_target(void *(*first)(void *),
				 void *(*second)(void *),
				 bool (*check)(struct target *t))
{
	struct target *t = som_shared(sizeof(*t));

	if (t != MAP_FAILED) {
		t->work[0] = first;
		t->work[1] = second;
		t->check = check;
	}
	return t;
}

TEST_F_TIMEOUT(som, two_writers, 3600)
{
	move_beside_for(_metadata, self->fd,
			new_target(write_and_check, write_and_check,
				   check_values), 4 * som_race_seconds());
}

TEST_F_TIMEOUT(som, two_writers_of_private_memory, 3600)
{
	const char *missing = som_no_private(self->fd);
	struct target *t = new_target(write_and_check, write_and_check,
				      check_values);

	if (missing)
		SKIP(return, "%s", missing);
	t->private = true;
	move_beside(_metadata, self->fd, t);
}

/* The mover is a thread of the same process: it changes the same mm. */
static void *move_own_units(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct mover m = { .fd = t->fd };

	som_catch_faults();
	while (!READ_ONCE(t->stop))
		move_once(&m, getpid(), t->mem, TARGET_UNITS);
	__atomic_fetch_add(&t->rounds, m.moved, __ATOMIC_RELAXED);
	if (m.ballast)
		munmap(m.ballast, m.len);
	return NULL;
}

TEST_F_TIMEOUT(som, writers_move_themselves, 3600)
{
	struct target *t = new_target(write_and_check, move_own_units, NULL);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, t);
	t->fd = self->fd;
	ASSERT_EQ(0, som_set_chunks(2));
	pid = fork_user(t);
	ASSERT_TRUE(som_wait_flag(&t->ready, 1));
	usleep(som_race_seconds() * 1e6);
	WRITE_ONCE(t->stop, 1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, t->bad);
	EXPECT_EQ(0, som_set_chunks(3));
}

/* Reads by the kernel for somebody else. */
static void *read_from_outside(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct som_random rnd = { 7 };
	static __u64 buf[4 * 512];

	while (!READ_ONCE(t->stop)) {
		size_t page = som_below(&rnd, TARGET_PAGES - 4), i;
		struct iovec local = { buf, sizeof(buf) };
		struct iovec remote = { target_word(t, page), sizeof(buf) };
		__u64 before[4];
		ssize_t n;

		for (i = 0; i < 4; i++)
			before[i] = READ_ONCE(t->value[page + i]);
		n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
		/* Values of the writer's only grow. */
		for (i = 0; n > 0 && i < n / PAGE; i++)
			target_bad(t, buf[i * 512] + 1 < before[i] ||
				   buf[i * 512] >
				   READ_ONCE(t->value[page + i]) + 1);
		__atomic_fetch_add(&t->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST_F_TIMEOUT(som, a_reader_from_outside, 3600)
{
	move_beside(_metadata, self->fd,
		    new_target(write_and_check, read_from_outside,
			       check_values));
}

/* Pages 1, 3, 5, ... are free to be disturbed: the writer has the others. */
static char *odd_page(struct target *t, struct som_random *rnd)
{
	return t->mem + (som_below(rnd, TARGET_PAGES / 2) * 2 + 1) * PAGE;
}

static void *protect_pages(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct som_random rnd = { 8 };
	__u64 value = 0;

	while (!READ_ONCE(t->stop)) {
		char *p = odd_page(t, &rnd);

		WRITE_ONCE(*(__u64 *)p, ++value);
		target_bad(t, mprotect(p, PAGE, PROT_NONE));
		target_bad(t, mprotect(p, PAGE, PROT_READ));
		target_bad(t, READ_ONCE(*(__u64 *)p) != value);
		target_bad(t, mprotect(p, PAGE, RW));
		target_bad(t, READ_ONCE(*(__u64 *)p) != value);
		__atomic_fetch_add(&t->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *remove_pages(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct som_random rnd = { 9 };
	__u64 value = 0;

	while (!READ_ONCE(t->stop)) {
		char *p = odd_page(t, &rnd);

		WRITE_ONCE(*(__u64 *)p, ++value);
		target_bad(t, READ_ONCE(*(__u64 *)p) != value);
		target_bad(t, madvise(p, PAGE, t->private ? MADV_DONTNEED :
				      MADV_REMOVE));
		target_bad(t, READ_ONCE(*(__u64 *)p));
		__atomic_fetch_add(&t->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *unmap_pages(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct som_random rnd = { 10 };

	while (!READ_ONCE(t->stop)) {
		size_t len = (1 + som_below(&rnd, 1500)) * PAGE;
		char *p = som_map(t->fd, len);

		target_bad(t, munmap(odd_page(t, &rnd), PAGE));
		/* The pool may be full of ballast. */
		if (p == MAP_FAILED)
			continue;
		target_bad(t, som_pages_not_zero(p, len) != -1);
		som_fill_pages(p, len, t->rounds);
		usleep(som_below(&rnd, 3000));
		target_bad(t, som_check_pages(p, len, t->rounds) != -1);
		if (len > 9 * PAGE)
			target_bad(t, munmap(p + 7 * PAGE, PAGE));
		target_bad(t, munmap(p, len));
		t->rounds++;
	}
	return NULL;
}

static void *move_by_mremap(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct som_random rnd = { 11 };
	__u64 value = 0;

	while (!READ_ONCE(t->stop)) {
		char *p = odd_page(t, &rnd);
		char *q = t->room + som_below(&rnd, 1024) * PAGE;

		WRITE_ONCE(*(__u64 *)p, ++value);
		target_bad(t, mremap(p, PAGE, PAGE, MREMAP_MAYMOVE |
				     MREMAP_FIXED, q) != q);
		target_bad(t, READ_ONCE(*(__u64 *)q) != value);
		WRITE_ONCE(*(__u64 *)q, ++value);
		target_bad(t, mremap(q, PAGE, PAGE, MREMAP_MAYMOVE |
				     MREMAP_FIXED, p) != p);
		target_bad(t, READ_ONCE(*(__u64 *)p) != value);
		__atomic_fetch_add(&t->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *fork_children(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;

	while (!READ_ONCE(t->stop)) {
		pid_t pid = fork();

		if (!pid) {
			som_catch_faults();
			_exit(som_read_signal(t->mem) != SIGSEGV);
		}
		target_bad(t, som_wait_child(pid));
		__atomic_fetch_add(&t->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Pins that come and go: a unit that is pinned right now does not move. */
static void *pin_pages(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct som_random rnd = { 12 };
	__u64 buf[512];
	int fds[2];

	target_bad(t, pipe(fds));
	while (!READ_ONCE(t->stop)) {
		char *p = odd_page(t, &rnd);
		struct iovec iov = { p, PAGE };

		WRITE_ONCE(*(__u64 *)p, t->rounds + 1);
		if (vmsplice(fds[1], &iov, 1, 0) == PAGE) {
			usleep(som_below(&rnd, 20000));
			/* The pipe and the program see the same page. */
			WRITE_ONCE(*(__u64 *)(p + 8), t->rounds + 2);
			target_bad(t, read(fds[0], buf, PAGE) != PAGE);
			target_bad(t, buf[0] != t->rounds + 1 ||
				   buf[1] != t->rounds + 2);
		}
		t->rounds++;
		usleep(som_below(&rnd, 60000));
	}
	return NULL;
}

/* Only even pages, and counts nothing. */
static void *write_even_pages(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct som_random rnd = { me->nr };

	while (!READ_ONCE(t->stop)) {
		size_t page = som_below(&rnd, TARGET_PAGES) & ~1UL;
		__u64 *w = target_word(t, page);

		target_bad(t, READ_ONCE(w[0]) != t->value[page] ||
			   READ_ONCE(w[511]) != t->value[page]);
		t->value[page]++;
		WRITE_ONCE(w[0], t->value[page]);
		WRITE_ONCE(w[511], t->value[page]);
	}

	return NULL;
}

static bool check_even_values(struct target *t)
{
	size_t page;

	for (page = 0; page < TARGET_PAGES; page += 2)
		if (READ_ONCE(target_word(t, page)[0]) != t->value[page] ||
		    READ_ONCE(target_word(t, page)[511]) != t->value[page])
			return false;
	return true;
}

#define MOVE_BESIDE(fn)							\
	move_beside(_metadata, self->fd,				\
		    new_target(write_even_pages, fn, check_even_values))

TEST_F_TIMEOUT(som, while_mprotect, 3600)
{
	MOVE_BESIDE(protect_pages);
}

TEST_F_TIMEOUT(som, while_remove, 3600)
{
	MOVE_BESIDE(remove_pages);
}

TEST_F_TIMEOUT(som, while_private_dontneed, 3600)
{
	const char *missing = som_no_private(self->fd);
	struct target *t = new_target(write_even_pages, remove_pages,
				      check_even_values);

	if (missing)
		SKIP(return, "%s", missing);
	t->private = true;
	move_beside(_metadata, self->fd, t);
}

TEST_F_TIMEOUT(som, while_mmap_and_munmap, 3600)
{
	MOVE_BESIDE(unmap_pages);
}

TEST_F_TIMEOUT(som, while_mremap, 3600)
{
	MOVE_BESIDE(move_by_mremap);
}

TEST_F_TIMEOUT(som, while_fork, 3600)
{
	MOVE_BESIDE(fork_children);
}

TEST_F_TIMEOUT(som, while_pins_come_and_go, 3600)
{
	MOVE_BESIDE(pin_pages);
}

/*
 * Tracking: a copy that is brought up to date by scans alone must be right in
 * the end.
 */
static void *write_tracked(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct som_random rnd = { 13 };

	while (!READ_ONCE(t->stop)) {
		size_t page = som_below(&rnd, TARGET_PAGES), n;

		for (n = som_small(&rnd, 300); n; n--) {
			WRITE_ONCE(target_word(t, page)[page % 500],
				   ++t->value[page]);
			page = (page + 1) % TARGET_PAGES;
		}
		if (som_one_in(&rnd, 8))
			usleep(som_below(&rnd, 3000));
		__atomic_fetch_add(&t->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void scan_and_copy(struct target *t, struct som_random *rnd)
{
	struct page_region vec[64];
	struct pm_scan_arg arg = som_scan_args(t->mem, TARGET_LEN, vec, 64);
	size_t page;
	long ret, i;
	__u64 a;

	arg.flags = WP;
	arg.category_mask = WRITTEN;
	arg.return_mask = WRITTEN;
	do {
		arg.vec_len = som_one_in(rnd, 4) ? 1 : 64;
		arg.max_pages = som_one_in(rnd, 3) ? som_small(rnd, 300) : 0;
		ret = som_scan_call(t->fd, &arg);
		target_bad(t, ret < 0);
		for (i = 0; i < ret; i++)
			for (a = vec[i].start; a < vec[i].end; a += PAGE) {
				page = (a - som_addr(t->mem)) / PAGE;
				t->copy[page] =
					READ_ONCE(target_word(t, page)
						  [page % 500]);
			}
		arg.start = arg.walk_end;
	} while (ret >= 0 && arg.start < arg.end);
}

static void *scan_tracked(void *arg)
{
	struct target_thread *me = arg;
	struct target *t = me->t;
	struct som_random rnd = { 14 };

	while (!READ_ONCE(t->stop)) {
		scan_and_copy(t, &rnd);
		if (som_one_in(&rnd, 2))
			usleep(som_below(&rnd, 5000));
	}
	return NULL;
}

static bool check_copy(struct target *t)
{
	struct som_random rnd = { 15 };
	long lost = 0, wrong = 0;
	size_t page;

	scan_and_copy(t, &rnd);
	for (page = 0; page < TARGET_PAGES; page++) {
		__u64 value = READ_ONCE(target_word(t, page)[page % 500]);

		wrong += value != t->value[page];
		lost += value != t->copy[page];
	}
	if (wrong || lost)
		dprintf(STDOUT_FILENO, "# %ld pages wrong, %ld not told\n",
			wrong, lost);
	return !wrong && !lost;
}

TEST_F_TIMEOUT(som, a_tracker_accounts_for_every_write, 3600)
{
	move_beside(_metadata, self->fd,
		    new_target(write_tracked, scan_tracked, check_copy));
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

/*
 * Owners that go away
 */

/* Stopped, it cannot fault anything in, and its units move all the same. */
TEST_F(som, a_stopped_process)
{
	struct target *t = new_target(write_and_check, write_and_check,
				      check_values);
	struct mover m = { .fd = self->fd };
	int i, status;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, t);
	t->fd = self->fd;
	ASSERT_EQ(0, som_set_chunks(2));
	pid = fork_user(t);
	ASSERT_TRUE(som_wait_flag(&t->ready, 1));
	for (i = 0; i < 2; i++) {
		kill(pid, SIGSTOP);
		ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
		ASSERT_TRUE(WIFSTOPPED(status));
		move_once(&m, pid, t->mem, TARGET_UNITS);
		kill(pid, SIGCONT);
		usleep(50000);
	}
	EXPECT_LT(0, m.moved);
	WRITE_ONCE(t->stop, 1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, t->bad);
	munmap(m.ballast, m.len);
	EXPECT_EQ(0, som_set_chunks(3));
}

static void end_while_moving(struct __test_metadata *_metadata, int fd,
			     bool by_signal)
{
	double end = som_now() + som_race_seconds();
	struct som_random rnd = { 16 };
	int *go = som_shared(PAGE), rounds = 0;

	ASSERT_EQ(0, som_set_chunks(2));
	while (som_now() < end || rounds < 2) {
		struct target *t = new_target(write_and_check, write_and_check,
					      NULL);
		struct mover m = { .fd = fd, .go = go };
		pid_t pid, killer;
		long delay = som_below(&rnd, 60000);

		ASSERT_NE(MAP_FAILED, t);
		t->fd = fd;
		*go = 0;
		pid = fork_user(t);
		ASSERT_TRUE(som_wait_flag(&t->ready, 1));
		killer = fork();
		if (!killer) {
			som_wait_flag(go, 1);
			usleep(delay);
			if (by_signal)
				kill(pid, SIGKILL);
			else
				WRITE_ONCE(t->stop, 1);
			_exit(0);
		}
		move_once(&m, pid, t->mem, TARGET_UNITS);
		WRITE_ONCE(*go, 1);
		som_wait_child(killer);
		EXPECT_EQ(by_signal ? -SIGKILL : 0, som_wait_child(pid));
		EXPECT_EQ(0, t->bad);
		if (m.ballast)
			munmap(m.ballast, m.len);
		munmap(t, sizeof(*t));
		rounds++;
	}
	EXPECT_EQ(0, som_wait_number(som_used, 0));
	TH_LOG("%d rounds", rounds);
	EXPECT_EQ(0, som_set_chunks(3));
}

TEST_F_TIMEOUT(som, sigkill_while_units_move, 3600)
{
	end_while_moving(_metadata, self->fd, true);
}

TEST_F_TIMEOUT(som, exit_while_units_move, 3600)
{
	end_while_moving(_metadata, self->fd, false);
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
