// SPDX-License-Identifier: GPL-2.0
/*
 * Does a fault cost the same however many there are? Faults of many threads and of
 * many processes at a time, faults far apart in a huge mapping, faults among
 * very many VMAs.
 *
 * With "exec --icount", QEMU runs the virtual processors in turn, and the time
 * stamp counter counts what all of them execute. A fault is measured by itself,
 * and after each one the processor says "pause", at which QEMU goes on with the
 * next processor: so the faults of all workers alternate, and none of them is in a
 * figure of another, but for the few that the end of a processor's turn falls
 * into. The median is not moved by those. It says what a fault has to do, and
 * nothing of how long memory and locks make it wait where processors really
 * run at the same time; how often a worker had to sleep is counted.
 *
 * Names of figures: threads.KIND.N, procs.KIND.N, sleeps_threads.KIND.N,
 * sleeps_procs.KIND.N, sparse.KIND.I (I-th sixteenth of the touches),
 * vmas.KIND.WHAT.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "bench.h"

#define MAX_WORKERS	8
#define TOUCHES		64	/* of a worker */
#define SIXTEENTHS	16
#define NR_VMAS		60000

static int fd;

/* What workers share, with their parent, too. */
static struct shared {
	pthread_barrier_t barrier;
	char *mem;
	__u64 samples[MAX_WORKERS * TOUCHES];
	long sleeps[MAX_WORKERS];
} *shared;

struct worker {
	int nr, of;
	bool thread;
};

static void pin_to(int nr)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(nr % sysconf(_SC_NPROCESSORS_ONLN), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* Threads take every so-maniest unit of one mapping. */
static void touch(const struct worker *w, char *mem)
{
	size_t step = w->thread ? w->of : 1, i;
	size_t first = w->thread ? w->nr : 0;
	__u64 *samples = shared->samples + w->nr * TOUCHES;
	struct rusage before, after;

	memset(samples, 0, TOUCHES * sizeof(*samples));
	pthread_barrier_wait(&shared->barrier);
	getrusage(RUSAGE_THREAD, &before);
	for (i = 0; i < TOUCHES; i++) {
		char *p = mem + (first + i * step) * UNIT;
		__u64 t = now();

		write_byte(p);
		samples[i] = now() - t;
		asm volatile("pause");
	}
	getrusage(RUSAGE_THREAD, &after);
	shared->sleeps[w->nr] = after.ru_nvcsw - before.ru_nvcsw;
}

static void *thread(void *arg)
{
	const struct worker *w = arg;

	pin_to(w->nr);
	touch(w, shared->mem);
	return NULL;
}

static void run_threads(enum kind kind, int nr)
{
	pthread_t threads[MAX_WORKERS];
	struct worker workers[MAX_WORKERS];
	size_t len = nr * TOUCHES * UNIT;
	int i;

	shared->mem = map_memory(kind, fd, len, 0);
	for (i = 0; i < nr; i++) {
		workers[i] = (struct worker){ i, nr, true };
		if (pthread_create(&threads[i], NULL, thread, &workers[i]))
			die("pthread_create");
	}
	for (i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	check_mapped(kind, fd, len);
	munmap(shared->mem, len);
}

static void run_processes(enum kind kind, int nr)
{
	int i, status;

	for (i = 0; i < nr; i++) {
		struct worker w = { i, nr, false };
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid) {
			char *mem;

			/* The policy of a file is for its opener to set. */
			fd = som_open();
			mem = map_memory(kind, fd, TOUCHES * UNIT, 0);
			pin_to(i);
			touch(&w, mem);
			check_mapped(kind, fd, TOUCHES * UNIT);
			_exit(0);
		}
	}
	for (i = 0; i < nr; i++)
		if (wait(&status) < 0 || status)
			die("a process");
}

static void workers(enum kind kind, bool threads)
{
	const char *what = threads ? "threads" : "procs";
	pthread_barrierattr_t attr;
	long sleeps;
	int nr, i;

	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	for (nr = 1; nr <= MAX_WORKERS; nr *= 2) {
		kind_begin(kind, nr * TOUCHES);
		pthread_barrier_init(&shared->barrier, &attr, nr);
		if (threads)
			run_threads(kind, nr);
		else
			run_processes(kind, nr);
		pthread_barrier_destroy(&shared->barrier);
		kind_end(kind);
		for (i = 0, sleeps = 0; i < nr; i++)
			sleeps += shared->sleeps[i];
		figure(median(shared->samples, nr * TOUCHES), "%s.%s.%d", what,
		       kind_names[kind], nr);
		figure(sleeps, "sleeps_%s.%s.%d", what, kind_names[kind], nr);
	}
}

/* One unit in every GiB (every 4 GiB) of 1 TiB. */
static void far_apart(enum kind kind, size_t touches)
{
	size_t len = 1024 * GIB, step = len / touches, i, j;
	size_t batch = touches / SIXTEENTHS;
	static __u64 samples[1024];
	char *mem;

	kind_begin(kind, touches);
	mem = map_memory(kind, fd, len, MAP_NORESERVE);
	memset(samples, 0, sizeof(samples));
	for (i = 0; i < touches; i++) {
		__u64 t = now();

		write_byte(mem + i * step);
		samples[i] = now() - t;
	}
	check_mapped(kind, fd, touches * UNIT);
	for (j = 0; j < SIXTEENTHS; j++)
		figure(median(samples + j * batch, batch), "sparse.%s.%zu",
		       kind_names[kind], j + 1);
	munmap(mem, len);
	kind_end(kind);
}

static __u64 touch_spread(char *mem, size_t touches)
{
	static __u64 samples[256];
	size_t step = NR_VMAS / touches & ~1UL, i;

	for (i = 0; i < touches; i++) {
		__u64 t = now();

		write_byte(mem + i * step * UNIT);
		samples[i] = now() - t;
	}
	return median(samples, touches);
}

/* Every second unit read-only: each is a VMA of its own. */
static void among_vmas(enum kind kind)
{
	size_t len = NR_VMAS * UNIT, i, half = NR_VMAS / 2, touches = 128;
	static __u64 samples[NR_VMAS / 2];
	const char *name = kind_names[kind];
	char *mem;
	__u64 t;

	kind_begin(kind, touches);
	mem = map_memory(kind, fd, len, MAP_NORESERVE);
	figure(touch_spread(mem, touches), "vmas.%s.touch_in_1", name);
	munmap(mem, len);

	if (is_som(kind))
		som_fresh(1);
	mem = map_memory(kind, fd, len, MAP_NORESERVE);
	memset(samples, 0, sizeof(samples));
	for (i = 0; i < half; i++) {
		t = now();
		if (mprotect(mem + (2 * i + 1) * UNIT, UNIT, PROT_READ))
			die("mprotect");
		samples[i] = now() - t;
	}
	figure(median(samples, 1000), "vmas.%s.split_first", name);
	figure(median(samples + half - 1000, 1000), "vmas.%s.split_last",
	       name);
	figure(touch_spread(mem, touches), "vmas.%s.touch_in_60000", name);
	check_mapped(kind, fd, touches * UNIT);
	t = now();
	munmap(mem, len);
	figure((now() - t) / NR_VMAS, "vmas.%s.unmap", name);
	kind_end(kind);
}

int main(void)
{
	static const enum kind kinds[] = { SOM, THP, HUGETLB_2 };
	size_t i;

	fd = som_open();
	som_zero_rate(0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	for (i = 0; i < 3; i++) {
		workers(kinds[i], true);
		workers(kinds[i], false);
		far_apart(kinds[i], kinds[i] == SOM ? 1024 : 256);
		among_vmas(kinds[i]);
	}
	som_fresh(2);
	return 0;
}
