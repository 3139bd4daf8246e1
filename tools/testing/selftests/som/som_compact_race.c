// SPDX-License-Identifier: GPL-2.0
/*
 * Units move to another chunk while their owner writes, reads, protects, unmaps,
 * pins, scans, forks or ends, and it notices nothing.
 *
 * The pool has two chunks: a target in one of them moves to the other when that one
 * holds more. SOM_SECONDS=N sets for how long units move beside each kind of use. On
 * the debug kernel it takes minutes: there som_random and som_page_backed move units,
 * and this only runs when it is asked for by name.
 *
 * SOM-TEST: chunks=2 timeout=1800 kernels=generic takes=50
 */
#include "som_scan.h"

static const char *(*som_missing)(int fd) = som_no_compact;

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
	long from = som_chunk_of(pid, target), want = 2 * units + 20;
	size_t nr = som_pool("units_total"), n, i;
	bool *other = calloc(nr, sizeof(*other));
	char *mem = som_map_at(m->fd, NULL, nr * UNIT, RW, MAP_NORESERVE);

	if (from < 0 || !other || mem == MAP_FAILED) {
		if (mem != MAP_FAILED)
			munmap(mem, nr * UNIT);
		free(other);
		return;
	}
	/* Until there is enough in the other chunk. */
	for (n = 0; n < nr && want; n++) {
		if (som_try_write(mem + n * UNIT, n))
			break;
		other[n] = som_chunk_of(getpid(), mem + n * UNIT) != from;
		want -= other[n];
	}
	for (i = 0; i < n; i++)
		if (!other[i])
			munmap(mem + i * UNIT, UNIT);
	free(other);
	if (m->ballast)
		munmap(m->ballast, m->len);
	m->ballast = mem;
	m->len = nr * UNIT;
	if (m->go)
		WRITE_ONCE(*m->go, 1);
	som_compact(1);
	m->tries++;
	if (som_chunk_of(pid, target) != from)
		m->moved++;
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
	pid = fork_user(t);
	ASSERT_TRUE(som_wait_flag(&t->ready, 1));
	usleep(som_race_seconds() * 1e6);
	WRITE_ONCE(t->stop, 1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(0, t->bad);
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
}

static void end_while_moving(struct __test_metadata *_metadata, int fd,
			     bool by_signal)
{
	double end = som_now() + som_race_seconds();
	struct som_random rnd = { 16 };
	int *go = som_shared(PAGE), rounds = 0;

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
}

TEST_F_TIMEOUT(som, sigkill_while_units_move, 3600)
{
	end_while_moving(_metadata, self->fd, true);
}

TEST_F_TIMEOUT(som, exit_while_units_move, 3600)
{
	end_while_moving(_metadata, self->fd, false);
}

TEST_HARNESS_MAIN
