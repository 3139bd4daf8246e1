// SPDX-License-Identifier: GPL-2.0
/*
 * Programs for som_matrix.sh that Debian has no example of. Each prints the same on any
 * memory:
 *
 *	matrix stacks	threads on stacks that the program maps itself
 *	matrix sandbox	threads with a seccomp filter
 *	matrix work	allocation, own mappings, threads and fork; also built with
 *			AddressSanitizer and ThreadSanitizer
 *	matrix core FILE	MADV_DONTDUMP and MADV_DODUMP, and what a core file has
 *	matrix maps	a churn of sizes; on stderr, how many mappings there are then
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	4096UL
#define UNIT	(2UL << 20)
#define THREADS	4
#define SLOTS	2000

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static unsigned int next(unsigned int *x)
{
	*x = *x * 1103515245 + 12345;
	return *x >> 8;
}

/* A churn of sizes, with all bytes checked. Return: a sum of them. */
static unsigned long churn(unsigned int seed, unsigned int steps)
{
	unsigned char **slot = calloc(SLOTS, sizeof(*slot));
	size_t *size = calloc(SLOTS, sizeof(*size)), at;
	unsigned long sum = 0;
	unsigned int i, k;

	if (!slot || !size)
		fail("calloc");
	for (i = 0; i < steps; i++) {
		k = next(&seed) % SLOTS;
		for (at = 0; at < size[k]; at += 61) {
			if (slot[k][at] != (unsigned char)(k + at)) {
				fprintf(stderr, "slot %u: wrong data\n", k);
				exit(1);
			}
			sum = sum * 31 + slot[k][at];
		}
		if (size[k] && next(&seed) % 4 == 0) {
			size[k] += next(&seed) % 4096;
			slot[k] = realloc(slot[k], size[k]);
		} else {
			free(slot[k]);
			size[k] = 1 + next(&seed) % (i % 64 ? 6000 : 200000);
			slot[k] = malloc(size[k]);
		}
		if (!slot[k])
			fail("malloc");
		for (at = 0; at < size[k]; at++)
			slot[k][at] = k + at;
	}
	for (k = 0; k < SLOTS; k++)
		free(slot[k]);
	free(slot);
	free(size);
	return sum;
}

static void *thread_churn(void *arg)
{
	volatile char deep[40000];
	unsigned long nr = (unsigned long)arg;

	memset((char *)deep, 1, sizeof(deep));
	return (void *)(churn(nr, 3000) + deep[sizeof(deep) - 1]);
}

/* Threads on these stacks, or on libc's where there are none. */
static void run_threads(char *const *stack, size_t size)
{
	pthread_t thread[THREADS];
	pthread_attr_t attr;
	void *sum;
	int i;

	for (i = 0; i < THREADS; i++) {
		pthread_attr_init(&attr);
		if (stack && pthread_attr_setstack(&attr, stack[i], size))
			fail("pthread_attr_setstack");
		if (pthread_create(&thread[i], &attr, thread_churn,
				   (void *)(unsigned long)i))
			fail("pthread_create");
	}
	for (i = 0; i < THREADS; i++) {
		if (pthread_join(thread[i], &sum))
			fail("pthread_join");
		printf("thread %d: %lx\n", i, (unsigned long)sum);
	}
}

static char *map(size_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	return p;
}

/* With a guard page below, as runtimes have it, and without one; used more than once. */
static int run_stacks(void)
{
	static const size_t sizes[] = { UNIT, 4 * UNIT, UNIT - 3 * PAGE, UNIT / 2 };
	char *stack[THREADS];
	size_t i, guard;
	int t, round;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (guard = 0; guard <= PAGE; guard += PAGE) {
			for (t = 0; t < THREADS; t++) {
				stack[t] = map(sizes[i] + guard);
				if (guard && mprotect(stack[t], guard, PROT_NONE))
					fail("mprotect");
				stack[t] += guard;
			}
			printf("stacks of %zu bytes, guard of %zu\n", sizes[i],
			       guard);
			for (round = 0; round < 2; round++)
				run_threads(stack, sizes[i]);
			for (t = 0; t < THREADS; t++)
				if (munmap(stack[t] - guard, sizes[i] + guard))
					fail("munmap");
		}
	}
	return 0;
}

/* What an allocator and threads need, and output. Anything else is the end. */
static void enter_sandbox(void)
{
	static const unsigned int calls[] = {
		SYS_read, SYS_write, SYS_mmap, SYS_munmap, SYS_mremap,
		SYS_mprotect, SYS_madvise, SYS_brk, SYS_futex, SYS_exit,
		SYS_exit_group, SYS_clone, SYS_clone3, SYS_rseq,
		SYS_set_robust_list, SYS_rt_sigprocmask, SYS_rt_sigreturn,
		SYS_sched_yield, SYS_getrandom, SYS_clock_gettime, SYS_newfstatat,
	};
	const size_t nr = sizeof(calls) / sizeof(*calls);
	struct sock_filter filter[2 * sizeof(calls) / sizeof(*calls) + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
	};
	struct sock_fprog prog = { .filter = filter, .len = 2 * nr + 2 };
	size_t i;

	for (i = 0; i < nr; i++) {
		filter[1 + 2 * i] = (struct sock_filter)
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		filter[2 + 2 * i] = (struct sock_filter)
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	filter[1 + 2 * nr] = (struct sock_filter)
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		fail("seccomp");
}

static int run_sandbox(void)
{
	/* Allocators look at the machine when they first see threads. */
	run_threads(NULL, 0);
	printf("before: %lx\n", churn(1, 4000));
	fflush(stdout);
	enter_sandbox();
	printf("with the filter: %lx\n", churn(2, 8000));
	run_threads(NULL, 0);
	printf("afterwards: %lx\n", churn(3, 4000));
	return 0;
}

static int run_work(void)
{
	char *p = map(8 * UNIT);
	unsigned long sum = 0;
	int status;
	size_t at;
	pid_t pid;

	for (at = 0; at < 8 * UNIT; at += PAGE)
		memset(p + at, at / PAGE, PAGE);
	if (madvise(p + UNIT, UNIT, MADV_DONTNEED) ||
	    mprotect(p + 2 * UNIT, PAGE, PROT_READ) ||
	    mprotect(p + 2 * UNIT, PAGE, PROT_READ | PROT_WRITE))
		fail("madvise");
	p = mremap(p, 8 * UNIT, 12 * UNIT, MREMAP_MAYMOVE);
	if (p == MAP_FAILED)
		fail("mremap");
	for (at = 0; at < 12 * UNIT; at += 64)
		sum = sum * 31 + (unsigned char)p[at];
	printf("mapped: %lx\n", sum);
	run_threads(NULL, 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		p[3 * UNIT] = 1;
		printf("child: %lx, %d\n", churn(9, 2000), p[4 * UNIT + PAGE]);
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		fail("fork");
	p[3 * UNIT + 1] = 2;
	printf("parent: %lx, %d\n", churn(9, 2000), p[3 * UNIT]);
	return munmap(p, 12 * UNIT) ? 1 : 0;
}

#define CORE_UNITS	8
#define CORE_PAGES	(CORE_UNITS * UNIT / PAGE)

/* No page of the core file has this by chance, nor is it in the program. */
static volatile unsigned long secret = 0x5ec2e7;

static unsigned long mark_of(size_t page)
{
	return (secret << 32 | 0x1234567) + page;
}

/* Test for the pages with MADV_DODUMP: unit 2, units 6 and 7, two pages of unit 4. */
static bool is_dumped(size_t page)
{
	size_t unit = page / (UNIT / PAGE);

	return unit == 2 || unit >= 6 || page == 4 * UNIT / PAGE + 3 ||
	       page == 4 * UNIT / PAGE + 4;
}

static void crash(bool mapped)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	void *block = NULL;
	size_t page;
	char *p;

	setrlimit(RLIMIT_CORE, &all);
	if (mapped)
		block = map(CORE_UNITS * UNIT);
	else if (posix_memalign(&block, UNIT, CORE_UNITS * UNIT))
		fail("posix_memalign");
	p = block;
	for (page = 0; page < CORE_PAGES; page++)
		*(unsigned long *)(p + page * PAGE) = mark_of(page);
	if (madvise(p, 6 * UNIT, MADV_DONTDUMP) ||
	    madvise(p + 2 * UNIT, UNIT, MADV_DODUMP) ||
	    madvise(p + 4 * UNIT + 3 * PAGE, 2 * PAGE, MADV_DODUMP))
		fail("madvise");
	abort();
}

static int run_core(const char *file)
{
	static unsigned int seen[CORE_PAGES];
	unsigned long words[512], nr;
	size_t page, i, wrong;
	int mapped, status, fd;
	ssize_t got;
	pid_t pid;

	for (mapped = 0; mapped < 2; mapped++) {
		unlink(file);
		fflush(stdout);
		pid = fork();
		if (!pid)
			crash(mapped);
		if (waitpid(pid, &status, 0) != pid || !WCOREDUMP(status))
			fail("no core file");
		fd = open(file, O_RDONLY);
		if (fd < 0)
			fail(file);
		memset(seen, 0, sizeof(seen));
		while ((got = read(fd, words, sizeof(words))) > 0) {
			for (i = 0; i < got / sizeof(*words); i++) {
				nr = words[i] - mark_of(0);
				if (nr < CORE_PAGES)
					seen[nr]++;
			}
		}
		close(fd);
		unlink(file);
		wrong = 0;
		for (page = 0; page < CORE_PAGES; page++)
			wrong += !seen[page] != !is_dumped(page);
		printf("%s: %zu pages wrong\n", mapped ? "mapped" : "allocated",
		       wrong);
	}
	return 0;
}

#define MAPS_SLOTS	4000
#define MAPS_STEPS	200000
#define MAPS_BYTES	(400UL << 20)

static unsigned int count_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "r");
	unsigned int nr = 0;
	int c;

	if (!file)
		fail("maps");
	while ((c = getc(file)) != EOF)
		nr += c == '\n';
	fclose(file);
	return nr;
}

static int run_maps(void)
{
	static unsigned char *slot[MAPS_SLOTS];
	static size_t size[MAPS_SLOTS];
	unsigned int seed = 5, i, k;
	size_t live = 0;

	for (i = 0; i < MAPS_STEPS; i++) {
		k = next(&seed) % MAPS_SLOTS;
		if (slot[k] && (slot[k][0] != (unsigned char)k ||
				slot[k][size[k] - 1] != (unsigned char)k)) {
			printf("step %u: wrong data\n", i);
			return 1;
		}
		free(slot[k]);
		live -= size[k];
		size[k] = 4096 + next(&seed) % 300000;
		if (live + size[k] > MAPS_BYTES)
			size[k] = 1;
		slot[k] = malloc(size[k]);
		if (!slot[k])
			fail("malloc");
		live += size[k];
		slot[k][0] = k;
		slot[k][size[k] - 1] = k;
	}
	printf("%u steps, %zu bytes\n", i, live);
	fprintf(stderr, "mappings %u\n", count_maps());
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "stacks"))
		return run_stacks();
	if (!strcmp(what, "sandbox"))
		return run_sandbox();
	if (!strcmp(what, "work"))
		return run_work();
	if (!strcmp(what, "core") && argc > 2)
		return run_core(argv[2]);
	if (!strcmp(what, "maps"))
		return run_maps();
	fprintf(stderr, "usage: matrix stacks|sandbox|work|core FILE|maps\n");
	return 2;
}
