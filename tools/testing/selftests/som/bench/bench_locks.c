// SPDX-License-Identifier: GPL-2.0
/*
 * How long the end of a process with 1,000 units of memory keeps others waiting.
 *
 * Locks: kprobes on the kernel's own functions that take and release spinlocks, or
 * mutexes, with the trace's clock set to the time stamp counter, tell for each lock
 * that the process takes while it ends how long it holds it. The instructions of the
 * probes are in these figures, so those of spinlocks with others inside are too
 * large. Locks that an interrupt takes are left out; of several runs the one with
 * the shortest longest hold counts, as an interrupt only makes it longer. The lock of
 * __schedule() is left out, too: who is scheduled next releases it.
 *
 * Stall: a process of the highest priority sleeps for a short while again and
 * again, on the same processor. How late it runs says for how long the end of the
 * other process does not let the processor go.
 *
 * Names of figures: hold.LOCK.KIND (instructions), holder.LOCK.KIND.FUNCTION,
 * taken.LOCK.KIND, stall.KIND.
 */
#include <sched.h>
#include <time.h>

#include "bench.h"

#define RUNS		2
#define EXIT_UNITS	1000
#define MAX_HELD	64
#define PERIOD_NS	50000

static int fd;

/* The process that is to end, and the two pipes that it is led by. */
struct ending {
	pid_t pid;
	int go;
};

static struct ending ending_start(enum kind kind, bool memory)
{
	struct ending e;
	int ready[2], go[2];
	char byte = 0;
	size_t i;

	if (pipe(ready) || pipe(go))
		die("pipe");
	e.pid = fork();
	if (e.pid < 0)
		die("fork");
	if (!e.pid) {
		close(go[1]);
		if (memory) {
			char *mem;

			/* The policy of a file is for its opener to set. */
			fd = som_open();
			mem = map_memory(kind, fd, 2 * GIB, MAP_NORESERVE);
			for (i = 0; i < EXIT_UNITS; i++)
				write_byte(mem + i * UNIT);
			check_mapped(kind, fd, EXIT_UNITS * UNIT);
		}
		byte = write(ready[1], &byte, 1);
		byte = read(go[0], &byte, 1);
		_exit(0);
	}
	check(read(ready[0], &byte, 1) == 1, "the process is ready");
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	e.go = go[1];
	return e;
}

static void ending_end(struct ending *e)
{
	int status;

	check(write(e->go, "", 1) == 1, "the process is told to end");
	close(e->go);
	if (waitpid(e->pid, &status, 0) != e->pid || status)
		die("the process");
}

/*
 * Locks
 */

enum lock { SPIN, MUTEX, NR_LOCKS };

static const char *const lock_names[NR_LOCKS] = { "spin", "mutex" };

static const struct {
	const char *function;
	enum lock lock;
	bool takes;
} functions[] = {
	{ "_raw_spin_lock", SPIN, true },
	{ "_raw_spin_lock_bh", SPIN, true },
	{ "_raw_spin_lock_irq", SPIN, true },
	{ "_raw_spin_lock_irqsave", SPIN, true },
	{ "_raw_spin_unlock", SPIN, false },
	{ "_raw_spin_unlock_bh", SPIN, false },
	{ "_raw_spin_unlock_irq", SPIN, false },
	{ "_raw_spin_unlock_irqrestore", SPIN, false },
	{ "mutex_lock", MUTEX, true },
	{ "mutex_lock_killable", MUTEX, true },
	{ "mutex_unlock", MUTEX, false },
};

#define NR_FUNCTIONS	(sizeof(functions) / sizeof(*functions))

static void probes_make(void)
{
	char text[160];
	size_t i;

	for (i = 0; i < NR_FUNCTIONS; i++) {
		/* Whoever called it is on top of the stack. */
		snprintf(text, sizeof(text),
			 "p:bench_%s/%c%zu %s lock=%%di:x64 by=$stack0:symbol\n",
			 lock_names[functions[i].lock],
			 functions[i].takes ? 'l' : 'u', i,
			 functions[i].function);
		if (!text_try(TRACING "kprobe_events", text))
			die(functions[i].function);
	}
	check(text_try(TRACING "trace_clock", "x86-tsc"), "trace_clock");
	set_number(TRACING "buffer_size_kb", 131072);
	set_number(TRACING "tracing_on", 0);
}

static void probes_remove(void)
{
	set_number(TRACING "events/enable", 0);
	fclose(fopen(TRACING "kprobe_events", "we"));
	trace_empty();
	set_number(TRACING "buffer_size_kb", 1024);
	check(text_try(TRACING "trace_clock", "local"), "trace_clock");
	set_number(TRACING "tracing_on", 1);
}

struct holds {
	__u64 longest, taken;
	char by[80];
};

static struct held {
	__u64 lock, since;
	char by[80];
} held[MAX_HELD];

static int nr_held;

static void lock_taken(__u64 lock, __u64 when, const char *by)
{
	check(nr_held < MAX_HELD, "few locks at a time");
	held[nr_held].lock = lock;
	held[nr_held].since = when;
	snprintf(held[nr_held++].by, sizeof(held->by), "%s", by);
}

static void lock_released(struct holds *h, __u64 lock, __u64 when)
{
	int i;

	for (i = nr_held - 1; i >= 0 && held[i].lock != lock; i--)
		;
	if (i < 0)
		return;		/* taken before, or by a way that is not probed */
	if (when - held[i].since > h->longest) {
		h->longest = when - held[i].since;
		memcpy(h->by, held[i].by, sizeof(h->by));
	}
	held[i] = held[--nr_held];
}

/* "exit-77  [000] ..... 1234: l0: (_raw_spin_lock+0x0/0x40) lock=0x.. by=f+0x1" */
static void trace_line(struct holds *h, const char *line)
{
	unsigned long long when, lock;
	char flags[16], kind, by[80];
	int nr;

	if (sscanf(line, " %*s [%*d] %15s %llu: %c%d: (%*[^)]) lock=%llx by=%79[^+ ]",
		   flags, &when, &kind, &nr, &lock, by) != 6)
		return;
	/* Third character: in a hard or soft interrupt. */
	if (strchr("hHszZ", flags[2]))
		return;
	if (kind == 'u') {
		lock_released(h, lock, when);
	} else if (strcmp(by, "__schedule")) {
		h->taken++;
		lock_taken(lock, when, by);
	}
}

static struct holds trace_read(void)
{
	struct holds h = {};
	char line[512];
	FILE *f = fopen(TRACING "trace", "re");

	if (!f)
		die(TRACING "trace");
	check(!field(TRACING "per_cpu/cpu0/stats", "overrun"),
	      "nothing of the trace was lost");
	nr_held = 0;
	while (fgets(line, sizeof(line), f))
		trace_line(&h, line);
	fclose(f);
	return h;
}

static struct holds run_locks(enum kind kind, enum lock l)
{
	struct ending e = ending_start(kind, true);
	char path[80];

	snprintf(path, sizeof(path), TRACING "events/bench_%s/enable",
		 lock_names[l]);
	set_number(TRACING "set_event_pid", e.pid);
	trace_empty();
	set_number(path, 1);
	set_number(TRACING "tracing_on", 1);
	ending_end(&e);
	set_number(TRACING "tracing_on", 0);
	set_number(path, 0);
	return trace_read();
}

static void measure_locks(enum kind kind)
{
	struct holds best, h;
	enum lock l;
	int i;

	kind_begin(kind, 1024);
	for (l = 0; l < NR_LOCKS; l++) {
		const char *lock = lock_names[l], *name = kind_names[kind];

		best = run_locks(kind, l);
		for (i = 1; i < RUNS; i++) {
			h = run_locks(kind, l);
			if (h.longest < best.longest)
				best = h;
		}
		figure(best.longest, "hold.%s.%s", lock, name);
		if (best.longest)
			figure(1, "holder.%s.%s.%s", lock, name, best.by);
		figure(best.taken, "taken.%s.%s", lock, name);
	}
	kind_end(kind);
}

/*
 * Stall
 */

static struct watch {
	volatile bool stop;
	__u64 latest;
} *watch;

static void watcher(void)
{
	struct sched_param first = { .sched_priority = 99 };
	struct timespec nap = { .tv_nsec = PERIOD_NS };

	if (sched_setscheduler(0, SCHED_FIFO, &first))
		die("SCHED_FIFO");
	while (!watch->stop) {
		__u64 t = now();

		nanosleep(&nap, NULL);
		t = now() - t;
		if (t > watch->latest)
			watch->latest = t;
	}
	_exit(0);
}

static __u64 run_stall(enum kind kind, bool memory)
{
	struct ending e = ending_start(kind, memory);
	int status;
	pid_t pid;

	watch->stop = false;
	watch->latest = 0;
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		watcher();
	usleep(10000);
	watch->latest = 0;
	ending_end(&e);
	watch->stop = true;
	if (waitpid(pid, &status, 0) != pid || status)
		die("the watcher");
	return watch->latest - PERIOD_NS;
}

static void measure_stall(enum kind kind, bool memory, const char *name)
{
	__u64 runs[RUNS];
	int i;

	if (memory)
		kind_begin(kind, 1024);
	for (i = 0; i < RUNS; i++)
		runs[i] = run_stall(kind, memory);
	if (memory)
		kind_end(kind);
	figure(smallest(runs, RUNS), "stall.%s", name);
}

int main(void)
{
	static const enum kind kinds[] = { SOM, THP, HUGETLB_2 };
	size_t i;

	fd = som_open();
	som_zero_rate(0);
	watch = mmap(NULL, sizeof(*watch), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (watch == MAP_FAILED)
		die("mmap");
	for (i = 0; i < 3; i++)
		measure_stall(kinds[i], true, kind_names[kinds[i]]);
	measure_stall(SOM, false, "none");
	probes_make();
	for (i = 0; i < 3; i++)
		measure_locks(kinds[i]);
	probes_remove();
	som_fresh(2);
	return 0;
}
