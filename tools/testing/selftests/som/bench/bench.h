/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the benchmarks share: the clock, memory of several kinds, and figures.
 *
 * A program prints one figure a line, a name and a number; report.py makes
 * tables and plots of them. All of it is in this header, as each benchmark is one
 * source file.
 */
#ifndef _SOM_BENCH_H
#define _SOM_BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/mman.h>
#include <linux/som.h>

#define PAGE		4096UL
#define UNIT		SOM_UNIT_SIZE
#define GIB		(1UL << 30)
#define GIB_UNITS	(GIB / UNIT)

#define SYSFS		"/sys/class/misc/som/"
#define HUGEPAGES	"/sys/kernel/mm/hugepages/hugepages-"
#define HUGETLB_2M	HUGEPAGES "2048kB/nr_hugepages"
#define HUGETLB_1G	HUGEPAGES "1048576kB/nr_hugepages"
#define TRACING		"/sys/kernel/tracing/"
#define OPTIMISE	"/proc/sys/vm/hugetlb_optimize_vmemmap"

/* The time stamp counter: instructions, in a guest with "exec --icount". */
static inline __u64 now(void)
{
	__u32 lo, hi;

	asm volatile("lfence; rdtsc" : "=a" (lo), "=d" (hi) : : "memory");
	return (__u64)hi << 32 | lo;
}

static inline void write_byte(void *p)
{
	__atomic_store_n((char *)p, 1, __ATOMIC_RELAXED);
}

static inline char read_byte(const void *p)
{
	return __atomic_load_n((const char *)p, __ATOMIC_RELAXED);
}

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline void check(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "not so: %s\n", what);
		exit(1);
	}
}

/*
 * Figures
 */

static inline int compare_samples(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

/* Sorts the samples. */
static inline __u64 median(__u64 *samples, size_t nr)
{
	qsort(samples, nr, sizeof(*samples), compare_samples);
	return samples[nr / 2];
}

static inline __u64 smallest(const __u64 *samples, size_t nr)
{
	__u64 least = samples[0];
	size_t i;

	for (i = 1; i < nr; i++)
		if (samples[i] < least)
			least = samples[i];
	return least;
}

static inline void figure(__u64 value, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	vprintf(name, args);
	va_end(args);
	printf(" %llu\n", (unsigned long long)value);
	fflush(stdout);
}

/* Which kernel and processor the figures are of. */
static inline void print_machine(void)
{
	struct utsname u;
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");

	uname(&u);
	printf("kernel: %s %s %s\n", u.sysname, u.release, u.version);
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "model name", 10)) {
			printf("processor:%s", strchr(line, ':') + 1);
			break;
		}
	}
	if (f)
		fclose(f);
	fflush(stdout);
}

/*
 * Files of the kernel that hold a number
 */

static inline bool number_try(const char *path, long *value)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		return false;
	ok = fscanf(f, "%ld", value) == 1;
	fclose(f);
	return ok;
}

static inline long number(const char *path)
{
	long value;

	if (!number_try(path, &value))
		die(path);
	return value;
}

static inline bool text_try(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static inline void set_number(const char *path, long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", value);
	if (!text_try(path, text))
		die(path);
}

static inline void hugetlb_pages(const char *path, long nr)
{
	set_number(path, nr);
	check(number(path) == nr, "as many HugeTLB pages as were asked for");
}

/* Empties the kernel's trace. */
static inline void trace_empty(void)
{
	int fd = open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		die(TRACING "trace");
	close(fd);
}

/* A number behind a name in a file such as /proc/self/status, or 0. */
static inline long field(const char *path, const char *name)
{
	char line[512];
	long value = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, strlen(name)) &&
		    sscanf(line + strlen(name), ": %ld", &value) == 1)
			break;
	}
	fclose(f);
	return value;
}

/*
 * som's pool
 */

static inline int som_open(void)
{
	int fd = open("/dev/som", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/som");
	return fd;
}

static inline struct som_info som_info(int fd)
{
	struct som_info info = { .size = sizeof(info) };

	if (ioctl(fd, SOM_IOC_INFO, &info))
		die("SOM_IOC_INFO");
	return info;
}

/* So many chunks, as they come from HugeTLB: all units are zeroed. */
static inline void som_fresh(long chunks)
{
	set_number(SYSFS "nr_chunks", 0);
	set_number(SYSFS "nr_chunks", chunks);
	check(number(SYSFS "units_free") == chunks * (long)GIB_UNITS &&
	      !number(SYSFS "units_dirty"), "a fresh pool is free and zeroed");
}

/* Zeroing in the background; false if this driver does not know of it. */
static inline bool som_zero_rate(long rate)
{
	if (access(SYSFS "zero_rate", W_OK))
		return false;
	set_number(SYSFS "zero_rate", rate);
	return true;
}

/*
 * Memory of several kinds
 */

enum kind { SOM, SOM_1G, THP, HUGETLB_2, HUGETLB_1, SMALL, NR_KINDS };

static const char *const kind_names[NR_KINDS] = {
	[SOM] = "som",
	[SOM_1G] = "som_1g",
	[THP] = "thp",
	[HUGETLB_2] = "hugetlb_2m",
	[HUGETLB_1] = "hugetlb_1g",
	[SMALL] = "small",
};

static inline bool is_som(enum kind kind)
{
	return kind == SOM || kind == SOM_1G;
}

/* Bytes that one fault maps. */
static inline size_t kind_grain(enum kind kind)
{
	switch (kind) {
	case SOM_1G:
	case HUGETLB_1:
		return GIB;
	case SMALL:
		return PAGE;
	default:
		return UNIT;
	}
}

static inline void som_map_size(int fd, __u64 bytes)
{
	struct som_policy policy = { .size = SOM_POLICY_SIZE_VER0,
				     .map_size = bytes };

	if (ioctl(fd, SOM_IOC_SET_POLICY, &policy))
		die("SOM_IOC_SET_POLICY");
}

/* Address space for len bytes, aligned to 1 GiB and not more than that. */
static inline char *room(size_t len)
{
	char *all = mmap(NULL, len + GIB, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *mem = (char *)(((uintptr_t)all + GIB - 1) & ~(GIB - 1));

	if (all == MAP_FAILED)
		die("address space");
	munmap(all, mem - all);
	munmap(mem + len, all + GIB - mem);
	return mem;
}

/* Memory of a kind at an address. @fd: of /dev/som. @flags: more for mmap. */
static inline void map_memory_at(char *mem, enum kind kind, int fd, size_t len,
				 int flags)
{
	flags |= MAP_FIXED;
	switch (kind) {
	case SOM:
	case SOM_1G:
		som_map_size(fd, kind == SOM ? UNIT : GIB);
		flags |= MAP_SHARED;
		break;
	case HUGETLB_2:
		flags |= MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			 MAP_HUGE_2MB;
		break;
	case HUGETLB_1:
		flags |= MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			 MAP_HUGE_1GB;
		break;
	default:
		flags |= MAP_PRIVATE | MAP_ANONYMOUS;
	}
	mem = mmap(mem, len, PROT_READ | PROT_WRITE, flags,
		   is_som(kind) ? fd : -1, 0);
	if (mem == MAP_FAILED)
		die(kind_names[kind]);
	if (kind == THP && madvise(mem, len, MADV_HUGEPAGE))
		die("MADV_HUGEPAGE");
	if (kind == SMALL && madvise(mem, len, MADV_NOHUGEPAGE))
		die("MADV_NOHUGEPAGE");
}

/*
 * The same, aligned to 1 GiB. Its page tables are new from the PMD on, as nothing
 * else is near it.
 */
static inline char *map_memory(enum kind kind, int fd, size_t len, int flags)
{
	char *mem = room(len);

	map_memory_at(mem, kind, fd, len, flags);
	return mem;
}

static inline void unmap_memory(char *mem, size_t len)
{
	if (munmap(mem, len))
		die("munmap");
}

/* Is so much memory mapped the way its kind should be? */
static inline void check_mapped(enum kind kind, int fd, size_t len)
{
	if (kind == SOM)
		check(som_info(fd).units_2m == len / UNIT, "2 MiB entries");
	if (kind == SOM_1G)
		check(som_info(fd).units_1g == len / UNIT, "1 GiB entries");
	if (kind == THP)
		check(field("/proc/self/smaps_rollup", "AnonHugePages") ==
		      (long)(len >> 10), "transparent huge pages");
}

/*
 * HugeTLB pages of 2 MiB with all of their struct pages: Linux 6.12 says "Bad page
 * state" when it frees pages without, as these will be.
 */
static inline void hugetlb_2m_pages(long nr)
{
	long optimise = number(OPTIMISE);

	set_number(OPTIMISE, 0);
	hugetlb_pages(HUGETLB_2M, nr);
	set_number(OPTIMISE, optimise);
}

/* What a kind needs before it can be mapped, and to be undone afterwards. */
static inline void kind_begin(enum kind kind, size_t units)
{
	if (is_som(kind))
		som_fresh((units + GIB_UNITS - 1) / GIB_UNITS);
	if (kind == HUGETLB_2)
		hugetlb_2m_pages(units);
}

static inline void kind_end(enum kind kind)
{
	if (kind == HUGETLB_2)
		hugetlb_pages(HUGETLB_2M, 0);
}

#endif /* _SOM_BENCH_H */
