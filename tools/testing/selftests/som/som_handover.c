// SPDX-License-Identifier: GPL-2.0
/*
 * A unit never reaches another owner without having been zeroed.
 *
 * All but a few units are held by the test itself, so that those few go from
 * owner to owner again and again. Every owner looks at every byte, puts its own
 * mark into every page, or every word, and gives them up in one of many ways. Two lines of
 * owners run at the same time and take each other's units.
 *
 * SOM-TEST: timeout=600 takes=35
 */
#include "som_test.h"

#define UNITS		8	/* of each owner */
#define SPARE		(2 * UNITS + 2)
#define LEN		(UNITS * UNIT)

/* How the memory is given up; the process is gone afterwards in any case. */
enum way {
	BY_EXIT,
	BY_SIGKILL,
	BY_EXEC,
	BY_MUNMAP,
	BY_MUNMAP_PAGES,
	BY_REMOVE,
	BY_MAP_OVER,
	BY_SHRINK,
	BY_MOVE_AND_EXIT,
	BY_PIN_AND_EXIT,
	NR_WAYS,
};

static const char * const way_names[] = {
	"exit", "SIGKILL", "exec", "munmap", "munmap in pieces", "MADV_REMOVE",
	"MAP_FIXED", "mremap shrink", "mremap move", "pin and exit",
};

/* Whoever has this end of a pipe has a pin on what the owner put into it. */
static int pin_fds[2];

/* Give the memory up and end; @ready tells the parent that it may kill. */
static void give_up(char *p, enum way way, int *ready)
{
	char *room;
	size_t i;

	switch (way) {
	case BY_EXIT:
		break;
	case BY_SIGKILL:
		WRITE_ONCE(*ready, 1);
		for (;;)
			pause();
	case BY_EXEC:
		execl("/proc/self/exe", "som_handover", "exit", NULL);
		child_assert(!"execl");
		break;
	case BY_MUNMAP:
		child_assert(!munmap(p, LEN));
		break;
	case BY_MUNMAP_PAGES:
		for (i = 0; i < LEN; i += UNIT / 2 + PAGE)
			child_assert(!munmap(p + i, UNIT / 4));
		break;
	case BY_REMOVE:
		child_assert(!madvise(p, LEN, MADV_REMOVE));
		break;
	case BY_MAP_OVER:
		child_assert(mmap(p, LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS |
				  MAP_FIXED, -1, 0) == p);
		break;
	case BY_SHRINK:
		child_assert(mremap(p, LEN, PAGE, 0) == p);
		break;
	case BY_MOVE_AND_EXIT:
		room = som_room(LEN, UNIT);
		child_assert(mremap(p, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED,
				    room + PAGE) == room + PAGE);
		break;
	case BY_PIN_AND_EXIT:
		child_assert(vmsplice(pin_fds[1],
				      &(struct iovec){ p + PAGE, PAGE }, 1, 0) ==
			     PAGE);
		break;
	default:
		break;
	}
	_exit(0);
}

/* What an owner has put into the pipe is what it still says. */
static void read_pinned(__u64 mark)
{
	__u64 page[PAGE / 8];

	usleep(20000);
	child_assert(read(pin_fds[0], page, PAGE) == PAGE);
	child_assert(page[0] == som_word(mark, PAGE));
}

/* A pin on one unit keeps those that others gave up from being taken meanwhile. */
static char *map_when_there_is_room(int fd, char *room, size_t len)
{
	double end = som_now() + SOM_WAIT_SECONDS;
	char *p;

	do {
		p = som_map_at(fd, room, len, RW, MAP_FIXED);
	} while (p == MAP_FAILED && errno == ENOMEM && som_now() < end &&
		 !usleep(1000));
	return p;
}

/* One owner. Its memory is at 4K entries when @small. */
static void own(int fd, __u64 mark, enum way way, bool small,
		int *ready)
{
	char *room = som_room(LEN + UNIT, UNIT), *p;
	size_t len = small ? LEN - UNIT : LEN;
	long bad;

	p = map_when_there_is_room(fd, small ? room + PAGE : room, len);
	child_assert(p != MAP_FAILED);
	bad = som_not_zero(p, len);
	if (bad >= 0)
		dprintf(STDOUT_FILENO, "# owner %lu got %#lx at %#lx\n",
			(long)mark, *(long *)(p + bad), bad);
	child_assert(bad == -1);
	if (mark % 8) {
		som_fill_pages(p, len, mark);
		child_assert(som_check_pages(p, len, mark) == -1);
	} else {
		som_fill(p, len, mark);
		child_assert(som_check(p, len, mark) == -1);
	}
	if (small)
		_exit(0);
	give_up(p, way, ready);
}

/* A line of owners, one after the other. Return: 0 or 1. */
static int line_of_owners(int fd, unsigned int line, int rounds)
{
	int *ready = som_shared(sizeof(*ready));
	int i;

	child_assert(!pipe(pin_fds));

	for (i = 0; i < rounds; i++) {
		enum way way = (i * 7 + line) % NR_WAYS;
		bool small = i % 5 == 4;
		int want = 0, got;
		pid_t pid;

		/* A pin holds up everybody's units for a moment: not too often. */
		if (way == BY_PIN_AND_EXIT && (small || i % 3))
			way = BY_EXIT;
		WRITE_ONCE(*ready, 0);
		pid = fork();
		if (!pid)
			own(fd, line * 1000000 + i, way, small, ready);
		if (way == BY_SIGKILL && !small) {
			while (!READ_ONCE(*ready) && !kill(pid, 0) &&
			       waitpid(pid, NULL, WNOHANG) == 0)
				usleep(500);
			kill(pid, SIGKILL);
			want = -SIGKILL;
		}
		got = som_wait_child(pid);
		if (got != want) {
			dprintf(STDOUT_FILENO,
				"# line %u, owner %d by %s ended with %d\n",
				line, i, way_names[way], got);
			return 1;
		}
		if (way == BY_PIN_AND_EXIT)
			read_pinned(line * 1000000 + i);
	}
	return 0;
}

FIXTURE(handover)
{
	struct som_state before;
	long zero_rate;
	int fd;
	char *held;
	size_t held_len;
};

FIXTURE_SETUP(handover)
{
	som_state_read(&self->before);
	ASSERT_LE(SPARE, self->before.free);
	self->zero_rate = som_zero_stop();
	ASSERT_LE(0, self->zero_rate);
	som_catch_faults();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
	/* The spare units must have been dirty before, too. */
	self->held_len = self->before.free * UNIT;
	self->held = som_map(self->fd, self->held_len);
	ASSERT_NE(MAP_FAILED, self->held);
	som_fill_pages(self->held, self->held_len, 7);
	self->held_len -= SPARE * UNIT;
	ASSERT_EQ(0, munmap(self->held + self->held_len, SPARE * UNIT));
	ASSERT_EQ(SPARE, som_free());
	ASSERT_EQ(SPARE, som_pool("units_dirty"));
}

FIXTURE_TEARDOWN_PARENT(handover)
{
	som_setting("zero_rate", self->zero_rate);
	EXPECT_TRUE(som_state_wait(&self->before));
}

static void two_lines(struct __test_metadata *_metadata, int fd, char *held,
		      size_t held_len)
{
	/* 8 units in each round of each line: 10,000 handovers in both tests. */
	int rounds = som_rounds(320);
	pid_t pid[2];
	int i;

	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			munmap(held, held_len);
			_exit(line_of_owners(fd, i + 1, rounds));
		}
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, som_wait_child(pid[i]));
	EXPECT_EQ(-1, som_check_pages(held, held_len, 7));
}

TEST_F_TIMEOUT(handover, two_lines_of_owners, 300)
{
	two_lines(_metadata, self->fd, self->held, self->held_len);
}

/* The same while units are zeroed in the background, and are taken meanwhile. */
TEST_F_TIMEOUT(handover, two_lines_of_owners_and_zeroing, 300)
{
	ASSERT_EQ(0, som_setting("zero_rate", 1000000));
	two_lines(_metadata, self->fd, self->held, self->held_len);
	EXPECT_LT(0, som_pool("zeroed_background"));
}

/* The same units, handed to another mapping of the same process. */
TEST_F(handover, own_units_come_back_zeroed)
{
	int i, rounds = som_rounds(20);

	for (i = 0; i < rounds; i++) {
		char *p = som_map(self->fd, SPARE * UNIT);

		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(-1, som_not_zero(p, SPARE * UNIT));
		som_fill(p, SPARE * UNIT, i);
		if (i % 2)
			ASSERT_EQ(0, madvise(p, SPARE * UNIT, MADV_REMOVE));
		ASSERT_EQ(0, munmap(p, SPARE * UNIT));
	}
}

/* NORESERVE takers at the edge of the pool. */
TEST_F(handover, units_taken_without_a_promise)
{
	int i, j, rounds = som_rounds(30);

	for (i = 0; i < rounds; i++) {
		pid_t pid[2];

		for (j = 0; j < 2; j++) {
			char *p;
			size_t at;

			pid[j] = fork();
			if (pid[j])
				continue;
			p = som_map_at(self->fd, NULL, 2 * SPARE * UNIT, RW,
				       MAP_NORESERVE);
			child_assert(p != MAP_FAILED);
			for (at = 0; at < SPARE * UNIT; at += UNIT) {
				if (som_read_signal(p + at))
					break;
				child_assert(som_not_zero(p + at, UNIT) == -1);
				som_fill(p + at, UNIT, i * 2 + j);
			}
			_exit(0);
		}
		for (j = 0; j < 2; j++)
			ASSERT_EQ(0, som_wait_child(pid[j]));
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "exit"))
		return 0;
	return test_harness_run(argc, argv);
}
