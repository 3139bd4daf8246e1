// SPDX-License-Identifier: GPL-2.0
/*
 * Canaries: processes pass parcels round. Each of them may be killed at any moment, forks
 * in between, and the pool is compacted, shrunk and grown meanwhile. Whoever claims
 * something finds the bytes that were given to him, all of them, and nothing else.
 *
 * SOM_PARCELS is how many parcels are passed on; 10,000 take some minutes.
 *
 * SOM-TEST: chunks=2 spare=1 timeout=900 takes=40
 */
#include <sys/prctl.h>

#include "som_parcel.h"
#include "som_scan.h"

#define PROCESSES	3
#define MAX_UNITS	4

/**
 * struct round - what those who pass parcels share
 * @passed: parcels that were claimed and found to be right.
 * @bad: bytes that were wrong.
 * @stop: it is over.
 */
struct round {
	long passed, bad;
	int stop;
};

static long parcels_to_pass(void)
{
	const char *text = getenv("SOM_PARCELS");

	return text ? strtol(text, NULL, 0) : som_debug_kernel() ? 150 : 600;
}

/* Every word of it is one of the mark: every page begins and ends with one. */
static void write_mark(char *p, size_t len, __u64 mark)
{
	som_fill_pages(p, len, mark);
	*(__u64 *)(p + len - 8) = som_word(mark, len - 8);
}

static bool has_mark(const char *p, size_t len, __u64 mark)
{
	return som_check_pages(p, len, mark) == -1 &&
	       *(const __u64 *)(p + len - 8) == som_word(mark, len - 8);
}

static void say_bad(struct round *round, const char *what, int err)
{
	dprintf(STDOUT_FILENO, "# process %d: %s (errno %d)\n", getpid(), what,
		err);
	__atomic_fetch_add(&round->bad, 1, __ATOMIC_RELAXED);
}

/* Pack memory with a mark, and send it. Return: false if there is nobody to send to. */
static bool give(struct round *round, int fd, int sock, char *p, size_t len,
		 __u64 mark)
{
	int parcel, ret, tries = 0;

	do {
		parcel = parcel_pack(fd, p, len);
		/* Somebody else's pin, for long: it may be seen once more. */
	} while ((parcel == -EBUSY || parcel == -ENOMEM) && ++tries < 1000);
	if (parcel < 0) {
		say_bad(round, "cannot pack", -parcel);
		munmap(p, len);
		return true;
	}
	if (som_read_signal(p) != SIGSEGV)
		say_bad(round, "packed, and still mapped", 0);
	ret = som_pass(sock, parcel, mark << 8 | len / UNIT);
	close(parcel);
	return !ret;
}

/* Have what was sent. Return: its address, or NULL if there is nothing right now. */
static char *take(struct round *round, struct som_random *random, int sock,
		  size_t *len, __u64 *mark)
{
	int parcel, tries = 0, flags = som_one_in(random, 2) ? MAP_SHARED :
							       MAP_PRIVATE;
	char *p, byte[16];
	long word;

	parcel = som_pass_receive(sock, &word, MSG_DONTWAIT);
	if (parcel < 0)
		return NULL;
	*mark = (__u64)word >> 8;
	*len = (word & 0xff) * UNIT;
	if (som_one_in(random, 4) &&
	    (pread(parcel, byte, 8, PAGE) != 8 ||
	     *(__u64 *)byte != som_word(*mark, PAGE)))
		say_bad(round, "read", errno);
	do {
		p = parcel_claim_at(parcel, NULL, 0, *len, RW, flags |
				    (som_one_in(random, 2) ? MAP_POPULATE : 0));
	} while (p == MAP_FAILED && (errno == EBUSY || errno == ENOMEM) &&
		 ++tries < 1000 && !usleep(1000));
	close(parcel);
	if (p == MAP_FAILED) {
		say_bad(round, "cannot claim", errno);
		return NULL;
	}
	if (!has_mark(p, *len, *mark))
		say_bad(round, "wrong bytes", 0);
	__atomic_fetch_add(&round->passed, 1, __ATOMIC_RELAXED);
	return p;
}

/* A child that has what its parent had, whatever the parent gives away meanwhile. */
static void fork_reader(struct round *round, char *p, size_t len, __u64 mark)
{
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	usleep(rand() % 3000);
	if (!has_mark(p, len, mark))
		say_bad(round, "a child's bytes", 0);
	_exit(0);
}

static void pass_on(struct round *round, int from, int to, __u64 seed)
{
	struct som_policy policy = { .size = sizeof(policy) };
	struct som_random random = { .state = seed };
	int fd = som_open();
	__u64 mark;
	size_t len;
	char *p;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	som_catch_faults();
	signal(SIGCHLD, SIG_IGN);
	child_assert(fd >= 0);
	child_assert(!ioctl(fd, SOM_IOC_GET_POLICY, &policy));
	policy.options = SOM_POLICY_FORK_COPY | SOM_POLICY_FORK_NORESERVE;
	child_assert(!ioctl(fd, SOM_IOC_SET_POLICY, &policy));
	while (!READ_ONCE(round->stop)) {
		p = take(round, &random, from, &len, &mark);
		if (!p) {
			/* Something new. */
			len = (1 + som_below(&random, MAX_UNITS)) * UNIT;
			p = som_map(fd, len);
			if (p == MAP_FAILED) {
				usleep(1000);
				continue;
			}
			if (som_pages_not_zero(p, len) != -1)
				say_bad(round, "not zero", 0);
		}
		mark = som_random(&random) >> 16;
		write_mark(p, len, mark);
		if (som_one_in(&random, 8))
			fork_reader(round, p, len, mark);
		if (som_one_in(&random, 16)) {
			munmap(p, len);
			continue;
		}
		if (!give(round, fd, to, p, len, mark))
			break;
	}
	_exit(0);
}

static void trouble_the_pool(struct round *round)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!READ_ONCE(round->stop)) {
		som_compact(1);
		som_set_chunks(1);
		usleep(20000);
		som_set_chunks(2);
		usleep(20000);
	}
	_exit(0);
}

TEST_F(som, canaries)
{
	struct round *round = som_shared(PAGE);
	struct som_random random = { .state = som_seed() };
	long want = parcels_to_pass(), seen = 0;
	int socks[PROCESSES][2], i, killed = 0, size = 4608;
	pid_t pids[PROCESSES], trouble;
	double last = som_now();

	som_all_cpus();
	for (i = 0; i < PROCESSES; i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, socks[i]));
		/* Few are under way at a time. */
		setsockopt(socks[i][0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	trouble = fork();
	if (!trouble)
		trouble_the_pool(round);
	for (i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (!pids[i])
			pass_on(round, socks[i][1], socks[(i + 1) % PROCESSES][0],
				som_random(&random));
	}
	while (READ_ONCE(round->passed) < want && !READ_ONCE(round->bad)) {
		usleep(som_below(&random, 100000));
		if (READ_ONCE(round->passed) != seen)
			last = som_now();
		seen = READ_ONCE(round->passed);
		/* Nothing has gone through for long. */
		if (som_now() - last > 2 * SOM_WAIT_SECONDS)
			break;
		i = som_below(&random, PROCESSES);
		kill(pids[i], SIGKILL);
		EXPECT_EQ(-SIGKILL, som_wait_child(pids[i]));
		killed++;
		pids[i] = fork();
		if (!pids[i])
			pass_on(round, socks[i][1], socks[(i + 1) % PROCESSES][0],
				som_random(&random));
	}
	WRITE_ONCE(round->stop, 1);
	for (i = 0; i < PROCESSES; i++) {
		kill(pids[i], SIGKILL);
		som_wait_child(pids[i]);
		close(socks[i][0]);
		close(socks[i][1]);
	}
	EXPECT_EQ(0, som_wait_child(trouble));
	TH_LOG("%ld parcels passed on, %d processes killed", round->passed, killed);
	EXPECT_LE(want, round->passed);
	EXPECT_EQ(0, round->bad);
	EXPECT_EQ(0, som_set_chunks(2));
	EXPECT_EQ(0, som_wait_number(parcel_units, 0));
}

/* Threads pack, and fork, unmap, discard and pin at the same addresses. */
static void *race_pack(void *data)
{
	struct som_racer *racer = data;
	struct som_race *race = racer->race;
	struct som_random random = { .state = racer->nr + 1 };
	char *p = race->mem;
	int parcel, fds[2];
	struct iovec iov;

	while (!READ_ONCE(race->stop)) {
		size_t at = som_below(&random, race->len / UNIT) * UNIT;
		size_t len = UNIT * (1 + som_below(&random, 2));

		if (at + len > race->len)
			len = UNIT;
		switch (som_below(&random, 6)) {
		case 0:
		case 1:
			parcel = parcel_pack(race->fd, p + at, len);
			if (parcel < 0)
				break;
			if (som_one_in(&random, 2))
				parcel_claim_at(parcel, p + at, 0, len, RW,
						MAP_FIXED |
						(som_one_in(&random, 2) ?
						 MAP_SHARED : MAP_PRIVATE));
			close(parcel);
			break;
		case 2:
			som_map_at(race->fd, p + at, len, RW, MAP_FIXED);
			break;
		case 3:
			madvise(p + at, len, som_one_in(&random, 2) ?
				MADV_REMOVE : MADV_DONTNEED);
			break;
		case 4:
			if (pipe(fds))
				break;
			iov = (struct iovec) { p + at, PAGE };
			if (vmsplice(fds[1], &iov, 1, 0) < 0)
				som_try_write(p + at, 1);
			close(fds[0]);
			close(fds[1]);
			break;
		default:
			som_try_write(p + at + som_below(&random, 512) * PAGE, 1);
		}
		som_round(race);
	}
	return NULL;
}

TEST_F(som, threads)
{
	struct som_race race = { .fd = self->fd, .len = 8 * UNIT };
	pid_t pid;

	race.mem = som_room(race.len, UNIT);
	ASSERT_NE(MAP_FAILED, race.mem);
	ASSERT_EQ(race.mem, som_map_at(self->fd, race.mem, race.len, RW, MAP_FIXED));
	pid = fork();
	if (!pid) {
		som_map_at(self->fd, race.mem, race.len, RW, MAP_FIXED);
		child_assert(!som_run_racers(&race, 4, race_pack, som_just_wait));
		child_assert(race.rounds > 0);
		_exit(0);
	}
	EXPECT_EQ(0, som_wait_child_for(pid, som_race_seconds()));
	EXPECT_EQ(0, som_wait_number(parcel_units, 0));
}

TEST_HARNESS_MAIN
