// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel and the driver keep beside a GiB of memory, in bytes, by kind of
 * memory. All of it is counted where it is taken, not derived from what is free.
 *
 * bench_memory reserve: struct pages, with and without the vmemmap optimisation of
 * HugeTLB: what reserving a GiB does to nr_memmap_pages and nr_memmap_boot_pages of
 * /proc/vmstat, less than the 16 MiB there were; and the page tables that map what
 * is left, pages that the kernel's tracepoint shows to be taken by
 * functions of the optimisation and that are not struct pages. Linux 6.12 says "Bad
 * page state" when it frees pages that lack struct pages, so they stay reserved.
 *
 * bench_memory: a process that maps and touches one GiB, and another one. Page
 * tables: VmPTE of /proc/self/status. Slab: every kmalloc() and kmem_cache_alloc(),
 * as the kernel's tracepoints tell of them, less what was freed again, in
 * the bytes that were taken for it; the driver's are those that have it on their
 * stack. The second GiB is what a GiB costs; what the first one costs more is for
 * the process.
 *
 * Names of figures: vmemmap.SIZE.on|off, kernel_tables.SIZE.on|off,
 * tables.KIND.first|second, slab.KIND.first|second.driver|kernel.CALLER,
 * slab.chunk.driver|kernel.CALLER.
 */
#include <ctype.h>

#include "bench.h"

#define VMEMMAP_GIB	(GIB / PAGE * 64)
#define MAX_OBJECTS	10000
#define MAX_CALLERS	200

static int fd;

/*
 * The trace
 */

static int switch_fd;

/* Setting it up takes memory, too: the trace is on for nothing but what counts. */
static void trace_begin(const char *const events[], const char *const stacks[])
{
	char path[128], text[128];

	set_number(TRACING "tracing_on", 0);
	trace_empty();
	set_number(TRACING "buffer_size_kb", 65536);
	for (; *events; events++) {
		snprintf(path, sizeof(path), TRACING "events/kmem/%s/enable",
			 *events);
		set_number(path, 1);
	}
	for (; *stacks; stacks++) {
		snprintf(path, sizeof(path), TRACING "events/kmem/%s/filter",
			 *stacks);
		snprintf(text, sizeof(text), "common_pid == %d", getpid());
		check(text_try(path, text), path);
		snprintf(path, sizeof(path), TRACING "events/kmem/%s/trigger",
			 *stacks);
		snprintf(text, sizeof(text), "stacktrace if common_pid == %d",
			 getpid());
		check(text_try(path, text), path);
	}
	switch_fd = open(TRACING "tracing_on", O_WRONLY | O_CLOEXEC);
	check(switch_fd >= 0 && write(switch_fd, "1", 1) == 1, "the trace is on");
}

/* Every line goes to a function, and then everything is as before. */
static void trace_end(const char *const stacks[], void (*line)(char *text))
{
	char text[1024];
	FILE *f;

	check(write(switch_fd, "0", 1) == 1, "the trace is off");
	close(switch_fd);
	set_number(TRACING "events/enable", 0);
	for (; *stacks; stacks++) {
		snprintf(text, sizeof(text), TRACING "events/kmem/%s/trigger",
			 *stacks);
		check(text_try(text, "!stacktrace"), text);
		snprintf(text, sizeof(text), TRACING "events/kmem/%s/filter",
			 *stacks);
		check(text_try(text, "0"), text);
	}
	check(!field(TRACING "per_cpu/cpu0/stats", "overrun"),
	      "nothing of the trace was lost");
	f = fopen(TRACING "trace", "re");
	if (!f)
		die(TRACING "trace");
	while (fgets(text, sizeof(text), f))
		line(text);
	fclose(f);
	set_number(TRACING "tracing_on", 1);
}

/*
 * Struct pages
 */

static long memmap_bytes(void)
{
	long nr = 0, value;
	char name[80];
	FILE *f = fopen("/proc/vmstat", "re");

	if (!f)
		die("/proc/vmstat");
	while (fscanf(f, "%79s %ld", name, &value) == 2)
		if (!strcmp(name, "nr_memmap_pages") ||
		    !strcmp(name, "nr_memmap_boot_pages"))
			nr += value;
	fclose(f);
	return nr * PAGE;
}

static long vmemmap_pages;
static bool single_page, counted;

/* Pages that are taken in a function of the optimisation. */
static void page_line(char *text)
{
	if (strstr(text, "mm_page_alloc:")) {
		single_page = strstr(text, "order=0");
		counted = false;
	} else if (single_page && !counted && strstr(text, "=>") &&
		   strstr(text, "vmemmap")) {
		vmemmap_pages++;
		counted = true;
	}
}

static void reserve(const char *path, long pages, const char *size,
		    bool optimise)
{
	static const char *const events[] = { "mm_page_alloc", NULL };
	const char *how = optimise ? "on" : "off";
	long memmap, had = number(path);

	set_number(OPTIMISE, optimise);
	vmemmap_pages = 0;
	memmap = memmap_bytes();
	trace_begin(events, events);
	hugetlb_pages(path, had + pages);
	trace_end(events, page_line);
	memmap = VMEMMAP_GIB - (memmap - memmap_bytes());
	figure(memmap, "vmemmap.%s.%s", size, how);
	/* Of the pages taken, what is left as struct pages is counted there. */
	figure(optimise ? vmemmap_pages * PAGE - memmap : vmemmap_pages * PAGE,
	       "kernel_tables.%s.%s", size, how);
	if (!optimise)
		hugetlb_pages(path, had);
}

/*
 * Objects
 */

static struct object {
	char ptr[24];
	long bytes;
	int caller;
	bool driver;
} objects[MAX_OBJECTS];

static int nr_objects;
static struct object *last;

static struct caller {
	char name[64];
	long bytes[2];
} callers[MAX_CALLERS];

static int nr_callers;

static int find_caller(const char *name)
{
	int i;

	for (i = 0; i < nr_callers; i++)
		if (!strcmp(callers[i].name, name))
			return i;
	check(nr_callers < MAX_CALLERS, "few callers");
	memset(&callers[i], 0, sizeof(callers[i]));
	snprintf(callers[i].name, sizeof(callers[i].name), "%s", name);
	return nr_callers++;
}

static void object_gone(const char *ptr)
{
	int i;

	for (i = nr_objects - 1; i >= 0; i--)
		if (!strcmp(objects[i].ptr, ptr)) {
			objects[i] = objects[--nr_objects];
			return;
		}
}

/* What stands behind NAME= in a line. */
static bool word_of(const char *line, const char *name, char *word, size_t len)
{
	const char *p = strstr(line, name);
	size_t i = 0;

	if (!p)
		return false;
	for (p += strlen(name); *p && !isspace(*p) && *p != '+'; p++)
		if (i < len - 1)
			word[i++] = *p;
	word[i] = '\0';
	return true;
}

static void object_line(char *line)
{
	char ptr[24], caller[64], bytes[24];

	if (strstr(line, "=>")) {
		if (last && strstr(line, "=> som_"))
			last->driver = true;
		return;
	}
	if (!word_of(line, " ptr=", ptr, sizeof(ptr)))
		return;
	if (!word_of(line, " bytes_alloc=", bytes, sizeof(bytes))) {
		last = NULL;
		object_gone(ptr);
		return;
	}
	check(word_of(line, " call_site=", caller, sizeof(caller)), "a caller");
	check(nr_objects < MAX_OBJECTS, "few objects");
	last = &objects[nr_objects++];
	memcpy(last->ptr, ptr, sizeof(ptr));
	last->bytes = atol(bytes);
	last->caller = find_caller(caller);
	last->driver = false;
}

static const char *const object_events[] = {
	"kmalloc", "kmem_cache_alloc", "kfree", "kmem_cache_free", NULL
};

static const char *const object_stacks[] = {
	"kmalloc", "kmem_cache_alloc", NULL
};

static void objects_begin(void)
{
	nr_objects = 0;
	nr_callers = 0;
	last = NULL;
	trace_begin(object_events, object_stacks);
}

static void objects_end(const char *name)
{
	int i, driver;

	trace_end(object_stacks, object_line);
	for (i = 0; i < nr_objects; i++)
		callers[objects[i].caller].bytes[objects[i].driver] +=
			objects[i].bytes;
	for (i = 0; i < nr_callers; i++)
		for (driver = 0; driver < 2; driver++)
			if (callers[i].bytes[driver])
				figure(callers[i].bytes[driver],
				       "slab.%s.%s.%s", name,
				       driver ? "driver" : "kernel",
				       callers[i].name);
}

/* VmPTE, without taking any memory for looking. */
static long table_bytes(int status)
{
	char text[4096], *p;
	ssize_t len = pread(status, text, sizeof(text) - 1, 0);
	long kib;

	check(len > 0, "/proc/self/status");
	text[len] = '\0';
	p = strstr(text, "VmPTE:");
	check(p && sscanf(p, "VmPTE: %ld", &kib) == 1, "VmPTE");
	return kib << 10;
}

/* A GiB more. */
static void measure_gib(enum kind kind, const char *which)
{
	int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	size_t i, grain = kind_grain(kind);
	char *mem = room(GIB), name[64];
	long tables;

	table_bytes(status);
	objects_begin();
	tables = table_bytes(status);
	map_memory_at(mem, kind, fd, GIB, 0);
	for (i = 0; i < GIB; i += grain)
		write_byte(mem + i);
	tables = table_bytes(status) - tables;
	snprintf(name, sizeof(name), "%s.%s", kind_names[kind], which);
	objects_end(name);
	figure(tables, "tables.%s.%s", kind_names[kind], which);
	close(status);
}

static void measure_process(enum kind kind)
{
	int status;
	pid_t pid;

	kind_begin(kind, 2 * GIB_UNITS);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		/* The policy of a file is for its opener to set. */
		fd = som_open();
		measure_gib(kind, "first");
		measure_gib(kind, "second");
		check_mapped(kind, fd, 2 * GIB);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("the process");
	kind_end(kind);
}

int main(int argc, char **argv)
{
	enum kind kind;
	int file;

	if (argc > 1 && !strcmp(argv[1], "reserve")) {
		reserve(HUGETLB_1G, 1, "1g", false);
		reserve(HUGETLB_2M, GIB_UNITS, "2m", false);
		reserve(HUGETLB_1G, 1, "1g", true);
		reserve(HUGETLB_2M, GIB_UNITS, "2m", true);
		return 0;
	}
	fd = som_open();
	som_zero_rate(0);
	for (kind = 0; kind < NR_KINDS; kind++)
		measure_process(kind);

	/* What the pool keeps of a chunk. */
	som_fresh(1);
	file = open(SYSFS "nr_chunks", O_WRONLY | O_CLOEXEC);
	objects_begin();
	check(file >= 0 && write(file, "2", 1) == 1, "another chunk");
	objects_end("chunk");
	close(file);
	return 0;
}
