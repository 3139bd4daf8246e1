// SPDX-License-Identifier: GPL-2.0
/*
 * What fork costs a process with memory that its child inherits, by kind of memory.
 *
 * Names of figures: fork.KIND (the call, with 512 units), fork.none (without any),
 * forkwrite.KIND (the parent's first write to a unit afterwards), forkwriteall.KIND (to
 * all of its pages), forkread.KIND (the child's first read of a unit).
 */
#include "bench.h"

#define UNITS	448
#define FORKS	5

static int fd;

/* What the child tells of its reads. */
static __u64 *told;

static char *map_inherited(enum kind kind, size_t len)
{
	struct som_policy policy = { .size = sizeof(policy) };

	if (is_som(kind)) {
		if (ioctl(fd, SOM_IOC_GET_POLICY, &policy))
			die("SOM_IOC_GET_POLICY");
		policy.options = SOM_POLICY_FORK_COPY;
		if (ioctl(fd, SOM_IOC_SET_POLICY, &policy))
			die("SOM_IOC_SET_POLICY");
	}
	return map_memory(kind, fd, len, 0);
}

/* The call alone, with a child that ends at once. */
static __u64 measure_fork(void)
{
	__u64 samples[FORKS], t;
	int i, status;
	pid_t pid;

	for (i = 0; i < FORKS; i++) {
		t = now();
		pid = fork();
		if (!pid)
			_exit(0);
		samples[i] = now() - t;
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			die("fork");
	}
	return median(samples, FORKS);
}

static void child_reads(char *mem)
{
	size_t i;
	__u64 t;

	for (i = UNITS / 2; i < UNITS; i++) {
		t = now();
		check(read_byte(mem + i * UNIT) == 1, "the child has the bytes");
		told[i - UNITS / 2] = now() - t;
	}
}

/* Half of the units are written by the parent, the others read by the child. */
static void measure_copies(const char *name, char *mem)
{
	static __u64 one[UNITS], all[UNITS];
	int ready[2], status;
	char byte = 0;
	size_t i, page;
	pid_t pid;
	__u64 t;

	if (pipe(ready))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		close(ready[1]);
		byte = read(ready[0], &byte, 1);
		child_reads(mem);
		_exit(0);
	}
	for (i = 0; i < UNITS / 2; i++) {
		t = now();
		write_byte(mem + i * UNIT);
		one[i] = now() - t;
		for (page = 1; page < UNIT / PAGE; page++)
			write_byte(mem + i * UNIT + page * PAGE);
		all[i] = now() - t;
	}
	close(ready[0]);
	close(ready[1]);
	if (waitpid(pid, &status, 0) != pid || status)
		die("the child");
	figure(median(one, UNITS / 2), "forkwrite.%s", name);
	figure(median(all, UNITS / 2), "forkwriteall.%s", name);
	figure(median(told, UNITS / 2), "forkread.%s", name);
}

static void measure(enum kind kind)
{
	char *mem = map_inherited(kind, UNITS * UNIT);
	size_t i;

	for (i = 0; i < UNITS * UNIT; i += PAGE)
		write_byte(mem + i);
	figure(measure_fork(), "fork.%s", kind_names[kind]);
	measure_copies(kind_names[kind], mem);
	munmap(mem, UNITS * UNIT);
}

int main(void)
{
	print_machine();
	fd = som_open();
	som_zero_rate(0);
	told = mmap(NULL, UNITS * sizeof(*told), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		die("mmap");
	memset(told, 0, UNITS * sizeof(*told));
	figure(measure_fork(), "fork.none");
	measure(SOM);
	measure(THP);
	measure(SMALL);
	return 0;
}
