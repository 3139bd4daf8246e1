// SPDX-License-Identifier: GPL-2.0
/*
 * What memory costs when it is touched first, and when it is given back, by kind
 * of memory.
 *
 * A batch is a GiB: one mapping, 512 first touches each measured by itself, one
 * munmap. Of single touches the median counts, of whole batches the shortest: a
 * timer interrupt makes what it falls into longer, never shorter.
 *
 * Names of figures: touch.KIND (one fault), touch1.KIND (the first one in a GiB,
 * with a new page table), touchall.KIND (a GiB), give.KIND (munmap of a GiB),
 * giveone.KIND (munmap of one unit), exit.KIND (end of a process with 1,000
 * units).
 */
#include "bench.h"

#define BATCHES		3
#define EXITS		3
#define EXIT_UNITS	1000

static int fd;

struct batch {
	__u64 touch, first, all, give;
};

static struct batch run_batch(enum kind kind)
{
	size_t grain = kind_grain(kind), nr = GIB / grain, i;
	static __u64 samples[GIB_UNITS];
	struct batch b = {};
	char *mem;
	__u64 t;

	memset(samples, 0, sizeof(samples));
	mem = map_memory(kind, fd, GIB, 0);
	for (i = 0; i < nr; i++) {
		t = now();
		write_byte(mem + i * grain);
		samples[i] = now() - t;
		b.all += samples[i];
	}
	check_mapped(kind, fd, GIB);
	b.first = samples[0];
	b.touch = median(samples, nr);
	t = now();
	munmap(mem, GIB);
	b.give = now() - t;
	return b;
}

static void batches(enum kind kind, const char *name, void (*before)(void))
{
	__u64 touch[BATCHES], first[BATCHES], all[BATCHES], give[BATCHES];
	int i;

	for (i = 0; i < BATCHES; i++) {
		struct batch b;

		if (before)
			before();
		b = run_batch(kind);
		touch[i] = b.touch;
		first[i] = b.first;
		all[i] = b.all;
		give[i] = b.give;
	}
	figure(median(touch, BATCHES), "touch.%s", name);
	figure(median(first, BATCHES), "touch1.%s", name);
	figure(smallest(all, BATCHES), "touchall.%s", name);
	figure(smallest(give, BATCHES), "give.%s", name);
}

static void give_one(enum kind kind)
{
	static __u64 samples[GIB_UNITS];
	char *mem = map_memory(kind, fd, GIB, 0);
	size_t i;
	__u64 t;

	for (i = 0; i < 64; i++)
		write_byte(mem + i * UNIT);
	for (i = 0; i < 64; i++) {
		t = now();
		munmap(mem + i * UNIT, UNIT);
		samples[i] = now() - t;
	}
	figure(median(samples, 64), "giveone.%s", kind_names[kind]);
	munmap(mem, GIB);
}

/* From telling a process to end until it is gone, with so many units. */
static __u64 measure_exit(enum kind kind, size_t units)
{
	int ready[2], go[2], status;
	char *mem, byte = 0;
	pid_t pid;
	size_t i;
	__u64 t;

	if (pipe(ready) || pipe(go))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		close(go[1]);
		/* The policy of a file is for its opener to set. */
		fd = som_open();
		if (units) {
			mem = map_memory(kind, fd, 2 * GIB, MAP_NORESERVE);
			for (i = 0; i < units; i++)
				write_byte(mem + i * UNIT);
			check_mapped(kind, fd, units * UNIT);
		}
		byte = write(ready[1], &byte, 1);
		byte = read(go[0], &byte, 1);
		_exit(0);
	}
	check(read(ready[0], &byte, 1) == 1, "the process is ready");
	close(go[0]);
	t = now();
	close(go[1]);
	if (waitpid(pid, &status, 0) != pid || status)
		die("the process");
	t = now() - t;
	close(ready[0]);
	close(ready[1]);
	return t;
}

static void ends(enum kind kind)
{
	__u64 with[EXITS], without[EXITS];
	int i;

	kind_begin(kind, 1024);
	for (i = 0; i < EXITS; i++) {
		without[i] = measure_exit(kind, 0);
		with[i] = measure_exit(kind, EXIT_UNITS);
	}
	kind_end(kind);
	figure(smallest(with, EXITS) - smallest(without, EXITS),
	       "exit.%s", kind_names[kind]);
}

static void fresh(void)
{
	som_fresh(1);
}

/* A read fault on ordinary memory maps the zero page: no fault does less. */
static void cheapest(void)
{
	static __u64 samples[GIB_UNITS];
	char *mem = map_memory(SMALL, fd, GIB, 0);
	size_t i;
	__u64 t;

	for (i = 0; i < GIB_UNITS; i++) {
		t = now();
		read_byte(mem + i * PAGE);
		samples[i] = now() - t;
	}
	figure(median(samples, GIB_UNITS), "touch.zero_page");
	munmap(mem, GIB);
}

/* Units that were used, given back, and zeroed in the background. */
static void run_again(void)
{
	struct batch b;
	int i;

	som_zero_rate(4096);
	for (i = 0; i < 1000 && number(SYSFS "units_dirty"); i++)
		usleep(10000);
	som_zero_rate(0);
	check(!number(SYSFS "units_dirty"), "zeroed in the background");
	b = run_batch(SOM);
	figure(b.touch, "touch.som_zeroed_again");
}

static void measure(void)
{
	bool background = som_zero_rate(0);
	char *mem;

	cheapest();

	batches(SOM, "som", fresh);
	som_fresh(1);
	run_batch(SOM);
	check(number(SYSFS "units_dirty") == GIB_UNITS, "used units are dirty");
	batches(SOM, "som_dirty", NULL);
	give_one(SOM);
	if (background)
		run_again();
	batches(SOM_1G, "som_1g", fresh);

	batches(THP, "thp", NULL);
	give_one(THP);

	kind_begin(HUGETLB_2, GIB_UNITS);
	batches(HUGETLB_2, "hugetlb_2m", NULL);
	give_one(HUGETLB_2);
	kind_end(HUGETLB_2);
	batches(HUGETLB_1, "hugetlb_1g", NULL);

	ends(SOM);
	ends(THP);
	ends(HUGETLB_2);
	som_fresh(2);

	/* The loop itself: a page that is there. */
	mem = map_memory(SMALL, fd, PAGE, 0);
	write_byte(mem);
	figure(({ __u64 t = now(); write_byte(mem); now() - t; }), "loop");
	munmap(mem, PAGE);
}

int main(void)
{
	print_machine();
	fd = som_open();
	measure();
	return 0;
}
