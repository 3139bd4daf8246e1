// SPDX-License-Identifier: GPL-2.0
/* som_conform: /proc/PID, ptrace, process_vm_readv, core dumps. */
#include <elf.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/user.h>

#include <linux/fs.h>

#include "conform.h"

/* The line of /proc/self/@file that begins with the mapping's address. */
static bool find_line(struct conform *c, const char *file, char *line,
		      size_t size)
{
	char path[64], start[32];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/%s", file);
	snprintf(start, sizeof(start), "%lx", (unsigned long)c->p);
	f = fopen(path, "re");
	while (!found && f && fgets(line, size, f))
		found = !strncmp(line, start, strlen(start));
	if (f)
		fclose(f);
	return found;
}

static unsigned long mapped_kb(struct conform *c)
{
	unsigned long start, end;
	char line[512];

	if (!find_line(c, "maps", line, sizeof(line)) ||
	    sscanf(line, "%lx-%lx", &start, &end) != 2)
		return 0;
	return (end - start) >> 10;
}

static void op_maps(struct conform *c)
{
	char line[512], perms[8], name[256] = "";
	unsigned long start, end, offset;

	fill(c);
	if (!find_line(c, "maps", line, sizeof(line))) {
		say(c, "no line");
		return;
	}
	if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %255[^\n]", &start, &end,
		   perms, &offset, name) < 4)
		say(c, "ANOTHER FORMAT");
	say(c, "%s", perms);
	say(c, "%lu kB", (end - start) >> 10);
	if (name[0])
		say(c, "%s", name);
	if (c->row->arg) {
		mprotect(c->p + UNIT, PAGE, PROT_READ);
		say(c, "split: %lu kB", mapped_kb(c));
		mprotect(c->p + UNIT, PAGE, RW);
		say(c, "back: %lu kB", mapped_kb(c));
	}
}

/* A key of the mapping's part of smaps. */
static void op_smaps(struct conform *c)
{
	static const char *const keys[] = {
		"Size:", "Rss:", "Private_Hugetlb:", "Locked:",
	};
	char line[512], start[32];
	bool mine = false;
	unsigned int i;
	long value;
	FILE *f;

	if (c->row->arg)
		fill(c);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)c->p);
	f = fopen("/proc/self/smaps", "re");
	while (fgets(line, sizeof(line), f)) {
		if (strchr("0123456789abcdef", line[0]))
			mine = !strncmp(line, start, strlen(start));
		for (i = 0; mine && i < ARRAY_SIZE(keys); i++) {
			if (strncmp(line, keys[i], strlen(keys[i])))
				continue;
			value = strtol(line + strlen(keys[i]), NULL, 10);
			say(c, "%s %ld kB", keys[i], value);
		}
	}
	fclose(f);
}

static void op_vmflags(struct conform *c)
{
	char line[512], start[32];
	bool mine = false;
	FILE *f;

	fill(c);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)c->p);
	f = fopen("/proc/self/smaps", "re");
	while (fgets(line, sizeof(line), f)) {
		if (strchr("0123456789abcdef", line[0]))
			mine = !strncmp(line, start, strlen(start));
		if (mine && !strncmp(line, "VmFlags: ", 9)) {
			line[strcspn(line, "\n")] = 0;
			while (line[strlen(line) - 1] == ' ')
				line[strlen(line) - 1] = 0;
			say(c, "%s", line + 9);
		}
	}
	fclose(f);
}

static void op_rss(struct conform *c)
{
	long before = status_value("VmRSS"), now;

	fill(c);
	now = status_value("VmRSS");
	say(c, "VmRSS %s", now - before >= 8000 ? "+8 MiB" :
	    now - before < 1000 ? "+0" : "ODD");
}

static void op_numa_maps(struct conform *c)
{
	char line[512], *word;

	fill(c);
	if (!find_line(c, "numa_maps", line, sizeof(line))) {
		say(c, "no line");
		return;
	}
	/* Without the address; numbers of pages and of nodes vary. */
	for (word = strtok(line, "\n "); word; word = strtok(NULL, "\n ")) {
		if (strchr(word, '=') && strncmp(word, "file=", 5))
			*strchr(word, '=') = 0;
		if (word[0] == 'N' && word[1] >= '0' && word[1] <= '9')
			word = "pages by node";
		if (strtoul(word, NULL, 16) != (unsigned long)c->p &&
		    !strstr(c->answer, word))
			say(c, "%s", word);
	}
}

#define PM_SOFT_DIRTY	(1ULL << 55)
#define PM_FILE		(1ULL << 61)
#define PM_PRESENT	(1ULL << 63)

/* Return: how many pages have a bit of pagemap, or -1. */
static int pagemap_count(struct conform *c, __u64 bit)
{
	static __u64 map[CONFORM_LEN / PAGE];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int n = 0;
	size_t i;

	if (pread(fd, map, sizeof(map), (uintptr_t)c->p / PAGE * 8) !=
	    sizeof(map))
		n = -1;
	close(fd);
	for (i = 0; n >= 0 && i < ARRAY_SIZE(map); i++)
		n += !!(map[i] & bit);
	return n;
}

static void op_pagemap(struct conform *c)
{
	say(c, "empty: %d present", pagemap_count(c, PM_PRESENT));
	fill(c);
	say(c, "filled: %d present", pagemap_count(c, PM_PRESENT));
	say(c, "%d of a file", pagemap_count(c, PM_FILE));
	say_data(c, WHOLE);
}

static void op_pagemap_scan(struct conform *c)
{
	struct page_region region[8];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)c->p,
		.end = (uintptr_t)c->p + CONFORM_LEN,
		.vec = (uintptr_t)region,
		.vec_len = ARRAY_SIZE(region),
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_WRITTEN |
			       PAGE_IS_HUGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	long n;

	fill(c);
	n = ioctl(fd, PAGEMAP_SCAN, &arg);
	if (n == 1)
		say(c, "%llu pages%s%s",
		    (region[0].end - region[0].start) / PAGE,
		    region[0].categories & PAGE_IS_PRESENT ? " PRESENT" : "",
		    region[0].categories & PAGE_IS_WRITTEN ? " WRITTEN" : "");
	else if (n < 0)
		say(c, "%s", strerrorname_np(errno));
	else
		say(c, "%ld regions", n);
}

static void op_clear_refs(struct conform *c)
{
	char text[2] = { '0' + c->row->arg, 0 };
	int err;

	fill(c);
	err = -som_write_string("/proc/self/clear_refs", text);
	say(c, "%s", err ? strerrorname_np(err) : "ok");
	say_data(c, WHOLE);
}

static void op_soft_dirty(struct conform *c)
{
	int err;

	fill(c);
	err = -som_write_string("/proc/self/clear_refs", "4");
	say(c, "%s", err ? strerrorname_np(err) : "ok");
	say(c, "%d soft-dirty", pagemap_count(c, PM_SOFT_DIRTY));
	WRITE_ONCE(c->p[UNIT], READ_ONCE(c->p[UNIT]));
	say(c, "then a write: %d", pagemap_count(c, PM_SOFT_DIRTY));
	say_data(c, WHOLE);
}

/* By another process, or our own: /proc/PID/mem. */
static void op_mem(struct conform *c)
{
	char path[64], buf[2 * PAGE];
	size_t offset = UNIT - PAGE;
	int fd;

	if (c->row->arg != 2)
		fill(c);
	if (c->row->arg == 1)
		mprotect(c->p + UNIT + 8 * PAGE, PAGE, PROT_READ);
	if (c->row->arg == 3)
		mprotect(c->p, CONFORM_LEN, PROT_NONE);
	snprintf(path, sizeof(path), "/proc/%d/mem", getpid());
	fd = open(path, O_RDWR | O_CLOEXEC);
	memset(buf, 1, sizeof(buf));
	say(c, "read:");
	say_result(c, pread(fd, buf, sizeof(buf), (uintptr_t)c->p + offset));
	say_range(c, buf, sizeof(buf), offset);
	fill_range(buf, sizeof(buf), offset);
	say(c, "write:");
	say_result(c, pwrite(fd, buf, sizeof(buf), (uintptr_t)c->p + offset));
	mprotect(c->p, CONFORM_LEN, RW);
	if (c->row->arg == 2)
		say_writable(c, c->p + offset, sizeof(buf), offset);
	else
		say_data(c, WHOLE);
}

static void op_map_files(struct conform *c)
{
	char path[128], target[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		 (unsigned long)c->p, (unsigned long)c->p + CONFORM_LEN);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0) {
		say(c, "%s", strerrorname_np(errno));
		return;
	}
	target[n] = 0;
	say(c, "%s", target);
	say(c, "open: %s", open(path, O_RDWR | O_CLOEXEC) < 0 ?
	    strerrorname_np(errno) : "ok");
}

/*
 * A tracer: the mapping's process is the tracee, stopped
 */

static void op_ptrace(struct conform *c)
{
	pid_t pid = getpid(), tracer;
	size_t where = UNIT + 5 * PAGE;
	int status;

	fill(c);
	if (c->row->arg == 1)
		mprotect(c->p + UNIT + 8 * PAGE, PAGE, PROT_READ);
	if (c->row->arg == 2)
		mprotect(c->p, CONFORM_LEN, PROT_READ);
	if (c->row->arg == 3)
		mprotect(c->p, CONFORM_LEN, PROT_NONE);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	tracer = fork();
	if (!tracer) {
		if (ptrace(PTRACE_ATTACH, pid, NULL, NULL))
			_exit(1);
		waitpid(pid, &status, __WALL);
		errno = 0;
		status = ptrace(PTRACE_PEEKDATA, pid, c->p + where, NULL) ==
			 (long)som_word(1, where);
		say(c, "peek: %s", errno ? strerrorname_np(errno) :
		    status ? "ok" : "WRONG");
		say(c, "poke: %s",
		    ptrace(PTRACE_POKEDATA, pid, c->p + where + PAGE,
			   som_word(1, where)) ? strerrorname_np(errno) : "ok");
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
		_exit(0);
	}
	while (waitpid(tracer, &status, 0) != tracer)
		;
	mprotect(c->p, CONFORM_LEN, RW);
	if (strstr(c->answer, "poke: ok")) {
		if (*(__u64 *)(c->p + where + PAGE) != som_word(1, where))
			say(c, "NOT WRITTEN");
		*(__u64 *)(c->p + where + PAGE) = som_word(1, where + PAGE);
	}
	say_data(c, WHOLE);
}

static pid_t target_pid;

/* From another process: parent's memory at the same address. */
static void child_vm(struct conform *c)
{
	size_t where = 2 * UNIT - PAGE;
	char buf[2 * PAGE];
	struct iovec local = { buf, sizeof(buf) };
	struct iovec remote = { c->p + where, sizeof(buf) };

	memset(buf, 1, sizeof(buf));
	say(c, "readv:");
	if (say_result(c, process_vm_readv(target_pid, &local, 1, &remote, 1,
					   0)))
		say_range(c, buf, sizeof(buf), where);
	fill_range(buf, sizeof(buf), where);
	say(c, "writev:");
	say_result(c, process_vm_writev(target_pid, &local, 1, &remote, 1, 0));
}

static void op_process_vm(struct conform *c)
{
	target_pid = getpid();
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	if (c->row->arg != 2)
		fill(c);
	if (c->row->arg == 1)
		mprotect(c->p + 2 * UNIT - PAGE, PAGE, PROT_READ);
	if (c->row->arg == 1)
		mprotect(c->p + 2 * UNIT - PAGE, PAGE, RW);
	(void)READ_ONCE(c->p[2 * UNIT - PAGE]);
	run_child(child_vm, c);
	if (c->row->arg != 2)
		say_data(c, WHOLE);
}

/* The local side of the same. */
static void op_process_vm_local(struct conform *c)
{
	size_t where = 2 * UNIT - PAGE;
	char *buf = som_shared(2 * PAGE);
	struct iovec local = { c->p + where, 2 * PAGE };
	struct iovec remote = { buf, 2 * PAGE };

	fill(c);
	fill_range(buf, 2 * PAGE, where);
	memset(c->p + where, 0, 2 * PAGE);
	say_result(c, process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	memset(buf, 0, 2 * PAGE);
	say_result(c, process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
	say_range(c, buf, 2 * PAGE, where);
	say_data(c, WHOLE);
}

static const char why_rss[] =
	"som memory is not part of RSS, like HugeTLB memory; fdinfo and sysfs "
	"show it.";
static const char why_maps[] =
	"The mapping belongs to a file of the device, and the kernel treats "
	"it as shared.";
static const char why_merge[] =
	"The kernel never merges special mappings. A program that protects "
	"single pages must respect vm.max_map_count, or join the mappings "
	"(SOM_MMAP_JOIN).";
static const char why_flags[] =
	"sh and ms: shared. dc: not inherited by fork. mm: special entries. "
	"hg: huge entries, independent of the THP setting.";
static const char why_numa_maps[] =
	"The kernel counts no special entries here.";
static const char why_vm_4k[] =
	"A special entry of 4 KiB cannot be pinned (mm/gup.c, follow_pfn_pte()). "
	"/proc/PID/mem and ptrace work everywhere.";

static const char why_shared[] =
	"Anonymous memory is a private mapping here. The write protection of "
	"a shared mapping cannot be overridden (mm/gup.c, check_vma_flags()).";

static const struct conform_row proc_rows[] = {
	{ "maps", op_maps, 0, 0,
	  { "rw-p, 8192 kB", "rw-p, 8192 kB, /anon_hugepage (deleted)",
	    "rw-s, 8192 kB, /dev/som", "rw-s, 8192 kB, /dev/som" },
	  why_maps },
	{ "maps, mprotect of 4K and back", op_maps, 1, 0,
	  { "rw-p, 8192 kB, split: 2048 kB, back: 8192 kB",
	    "rw-p, 8192 kB, /anon_hugepage (deleted), split: 2048 kB, "
	    "back: 2048 kB",
	    "rw-s, 8192 kB, /dev/som, split: 2048 kB, back: 2048 kB",
	    "rw-s, 8192 kB, /dev/som, split: 2048 kB, back: 2048 kB" },
	  why_merge },
	{ "smaps, empty", op_smaps, 0, 0,
	  { "Size: 8192 kB, Rss: 0 kB, Private_Hugetlb: 0 kB, Locked: 0 kB" } },
	{ "smaps, filled", op_smaps, 1, 0,
	  { "Size: 8192 kB, Rss: 8192 kB, Private_Hugetlb: 0 kB, Locked: 0 kB",
	    "Size: 8192 kB, Rss: 0 kB, Private_Hugetlb: 8192 kB, Locked: 0 kB",
	    "Size: 8192 kB, Rss: 0 kB, Private_Hugetlb: 0 kB, Locked: 0 kB",
	    "Size: 8192 kB, Rss: 0 kB, Private_Hugetlb: 0 kB, Locked: 0 kB" },
	  why_rss },
	{ "smaps, VmFlags", op_vmflags, 0, 0,
	  { "rd wr mr mw me ac sd; debug: rd wr mr mw me ac",
	    "rd wr mr mw me de ht sd; debug: rd wr mr mw me de ht",
	    "rd wr sh mr mw me ms dc sd mm hg; debug: rd wr sh mr mw me ms dc "
	    "mm hg",
	    "rd wr sh mr mw me ms dc ac sd mm hg; debug: rd wr sh mr mw me ms "
	    "dc ac mm hg" }, why_flags },
	{ "VmRSS, filled", op_rss, 0, 0,
	  { "VmRSS +8 MiB", "VmRSS +0", "VmRSS +0", "VmRSS +0" }, why_rss },
	{ "numa_maps", op_numa_maps, 0, 0,
	  { "default, anon, dirty, active, pages by node, kernelpagesize_kB",
	    "default, file=/anon_hugepage\\040(deleted), dirty, pages by node, "
	    "kernelpagesize_kB",
	    "default, file=/dev/som", "default, file=/dev/som" },
	  why_numa_maps },
	{ "pagemap", op_pagemap, 0, 0,
	  { "empty: 0 present, filled: 2048 present, 0 of a file, data kept" } },
	{ "PAGEMAP_SCAN of pagemap, filled", op_pagemap_scan, 0, 0,
	  { "2048 pages PRESENT WRITTEN" } },
	{ "clear_refs, 1", op_clear_refs, 1, 0, { "ok, data kept" } },
	{ "clear_refs, 2 (anonymous)", op_clear_refs, 2, 0,
	  { "ok, data kept" } },
	{ "clear_refs, 3 (mapped)", op_clear_refs, 3, 0, { "ok, data kept" } },
	{ "clear_refs, 4 (soft-dirty)", op_soft_dirty, 4, 0,
	  { "ok, 0 soft-dirty, then a write: 512, data kept; debug: ok, "
	    "0 soft-dirty, then a write: 0, data kept",
	    "ok, 0 soft-dirty, then a write: 0, data kept" } },
	{ "clear_refs, 5 (peak RSS)", op_clear_refs, 5, 0,
	  { "ok, data kept" } },
	{ "mem, 8K across two units", op_mem, 0, 0,
	  { "read:, ok, data kept, write:, ok, data kept" } },
	{ "mem, 4K entries", op_mem, 1, 0,
	  { "read:, ok, data kept, write:, ok, data kept" } },
	{ "mem, empty", op_mem, 2, 0,
	  { "read:, ok, zeroes, write:, ok, data kept" } },
	{ "mem, PROT_NONE", op_mem, 3, 0,
	  { "read:, ok, data kept, write:, ok, data kept",
	    "read:, ok, data kept, write:, EIO, data kept",
	    "read:, ok, data kept, write:, EIO, data kept" }, why_shared },
	{ "map_files", op_map_files, 0, 0,
	  { "ENOENT", "/anon_hugepage (deleted), open: ok",
	    "/dev/som, open: ENXIO", "/dev/som, open: ENXIO" },
	  "The pseudo file of a process's memory cannot be opened." },
	{ "ptrace peek and poke", op_ptrace, 0, 0,
	  { "peek: ok, poke: ok, data kept" } },
	{ "ptrace peek and poke, 4K entries", op_ptrace, 1, 0,
	  { "peek: ok, poke: ok, data kept" } },
	{ "ptrace peek and poke, PROT_READ", op_ptrace, 2, 0,
	  { "peek: ok, poke: ok, data kept",
	    "peek: ok, poke: EIO, data kept",
	    "peek: ok, poke: EIO, data kept" }, why_shared },
	{ "ptrace peek and poke, PROT_NONE", op_ptrace, 3, 0,
	  { "peek: ok, poke: ok, data kept",
	    "peek: ok, poke: EIO, data kept",
	    "peek: ok, poke: EIO, data kept" }, why_shared },
	{ "process_vm_readv, writev, remote", op_process_vm, 0, 0,
	  { "readv:, ok, data kept, writev:, ok, data kept" } },
	{ "process_vm_readv, writev, remote, 4K entries", op_process_vm, 1, 0,
	  { "readv:, ok, data kept, writev:, ok, data kept", NULL,
	    "readv:, EFAULT, writev:, EFAULT, data kept",
	    "readv:, EFAULT, writev:, EFAULT, data kept" }, why_vm_4k },
	{ "process_vm_readv, writev, remote, half empty", op_process_vm, 2, 0,
	  { "readv:, ok, zeroes, writev:, ok" } },
	{ "process_vm_readv, writev, local", op_process_vm_local, 0, 0,
	  { "ok, ok, data kept, data kept" } },
	{}
};

const struct conform_topic conform_proc = {
	"/proc, ptrace, process_vm_readv", proc_rows
};

/*
 * Core dumps
 */

#define CORE	"/tmp/conform.core"
#define EMPTY	3

static void child_crashes(struct conform *c)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	char text[16];

	prctl(PR_SET_DUMPABLE, 1);
	setrlimit(RLIMIT_CORE, &all);
	if (c->row->arg) {
		snprintf(text, sizeof(text), "%ld", c->row->arg);
		som_write_string("/proc/self/coredump_filter", text);
	}
	c->p = map_more(c, c->p, CONFORM_LEN, RW, MAP_FIXED);
	if (c->row->part != EMPTY)
		fill(c);
	if (c->row->part == ONE_UNIT)
		madvise(part_start(c, ONE_UNIT), UNIT, MADV_DONTDUMP);
	if (c->row->part == TWO_PAGES) {
		/* The second unit gets entries of 4 KiB. */
		mprotect(part_start(c, TWO_PAGES), 2 * PAGE, PROT_READ);
		fill_range(part_start(c, ONE_UNIT), PAGE, UNIT);
	}
	abort();
}

/* The memory of the range that the dump has. */
static void say_core(struct conform *c, int fd)
{
	static char buf[CONFORM_LEN];
	size_t dumped = 0;
	size_t zeroes = 0, j;
	bool some = false;
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	int i;

	if (pread(fd, &eh, sizeof(eh), 0) != sizeof(eh)) {
		say(c, "no dump");
		return;
	}
	for (i = 0; i < eh.e_phnum; i++) {
		size_t offset;

		if (pread(fd, &ph, sizeof(ph), eh.e_phoff + i * sizeof(ph)) !=
		    sizeof(ph))
			break;
		if (ph.p_type != PT_LOAD || ph.p_vaddr < (uintptr_t)c->p ||
		    ph.p_vaddr >= (uintptr_t)c->p + CONFORM_LEN)
			continue;
		offset = ph.p_vaddr - (uintptr_t)c->p;
		memset(buf, 0, ph.p_filesz);
		if (pread(fd, buf, ph.p_filesz, ph.p_offset) != ph.p_filesz)
			say(c, "TRUNCATED");
		dumped += ph.p_filesz;
		for (j = 0; j < ph.p_filesz; j += PAGE) {
			if (is_filled(buf + j, PAGE, offset + j))
				some = true;
			else if (som_not_zero(buf + j, PAGE) < 0)
				zeroes += PAGE;
			else
				say(c, "WRONG DATA");
		}
	}
	say(c, "%zu kB dumped", dumped >> 10);
	if (some)
		say(c, "data kept");
	if (zeroes == dumped && dumped)
		say(c, "zeroes");
	else if (zeroes)
		say(c, "but %zu kB zeroes", zeroes >> 10);
}

static void op_core(struct conform *c)
{
	int fd, status;

	som_write_string("/proc/sys/kernel/core_pattern", CORE);
	som_write_string("/proc/sys/kernel/core_uses_pid", "0");
	munmap(c->p, CONFORM_LEN);
	unlink(CORE);
	status = run_child(child_crashes, c);
	if (status != -SIGABRT)
		say(c, "STATUS %d", status);
	fd = open(CORE, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		say(c, "no file");
	else
		say_core(c, fd);
	unlink(CORE);
}

static const char why_filter[] =
	"som memory counts as shared anonymous memory, also in private "
	"mappings: bit 1 of /proc/PID/coredump_filter.";
static const char why_core_empty[] =
	"The kernel populates the file mappings that it dumps.";

#define NOTHING	"0 kB dumped"
#define ALL	"8192 kB dumped, data kept"

static const struct conform_row core_rows[] = {
	{ "all, default filter", op_core, 0, WHOLE,
	  { ALL }, why_filter },
	{ "filter 1 (anonymous private)", op_core, 0x01, WHOLE,
	  { ALL, NOTHING, NOTHING, NOTHING }, why_filter },
	{ "filter 2 (anonymous shared)", op_core, 0x02, WHOLE,
	  { NOTHING, NULL, ALL, ALL }, why_filter },
	{ "filter 8 (mapped shared)", op_core, 0x08, WHOLE,
	  { NOTHING } },
	{ "filter 32 (hugetlb private)", op_core, 0x20, WHOLE,
	  { NOTHING, ALL, NOTHING, NOTHING } },
	{ "filter 127 (all)", op_core, 0x7f, WHOLE, { ALL } },
	{ "filter 127, empty", op_core, 0x7f, EMPTY,
	  { NOTHING, "8192 kB dumped, zeroes", "8192 kB dumped, zeroes",
	    "8192 kB dumped, zeroes" }, why_core_empty },
	{ "filter 127, 2M of MADV_DONTDUMP", op_core, 0x7f, ONE_UNIT,
	  { "6144 kB dumped, data kept" } },
	{ "filter 127, 2M of 4K entries", op_core, 0x7f, TWO_PAGES,
	  { ALL } },
	{}
};

const struct conform_topic conform_core = { "Core dump", core_rows };
