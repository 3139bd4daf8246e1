// SPDX-License-Identifier: GPL-2.0
/*
 * MAP_PRIVATE: nothing else than MADV_DONTNEED and MADV_REMOVE that the kernel does to the
 * entries of such memory makes it zero.
 *
 * SOM-TEST: timeout=900 takes=12
 */
#include "som_scan.h"

#ifndef MADV_COLD
#define MADV_COLD		20
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

static const char *(*som_missing)(int fd) = som_no_private;
static bool som_one_process = true;

/*
 * All else that drops entries, or might
 */

#define KEEP_UNITS	3
#define KEEP_LEN	(KEEP_UNITS * UNIT)

struct keep {
	int fd;
	char *p, *room;
};

static int keep_protect(struct keep *k, int prot)
{
	size_t at;

	for (at = 0; at < KEEP_LEN; at += 129 * PAGE)
		if (mprotect(k->p + at, PAGE, prot))
			return -1;
	return mprotect(k->p, KEEP_LEN, RW);
}

static int do_protect_none(struct keep *k)
{
	return keep_protect(k, PROT_NONE);
}

static int do_protect_read(struct keep *k)
{
	return keep_protect(k, PROT_READ);
}

static int do_protect_exec(struct keep *k)
{
	return keep_protect(k, PROT_READ | PROT_EXEC);
}

static int do_protect_all(struct keep *k)
{
	return mprotect(k->p, KEEP_LEN, PROT_NONE) ||
		mprotect(k->p, KEEP_LEN, RW);
}

/* Neighbours of the same mapping, which som has to forget. */
static int do_munmap(struct keep *k)
{
	return munmap(k->p - PAGE, PAGE) || munmap(k->p + KEEP_LEN, PAGE) ||
		munmap(k->p - 100 * PAGE, 50 * PAGE) ||
		munmap(k->p - UNIT, UNIT) || munmap(k->p + KEEP_LEN, UNIT);
}

static int do_map_over(struct keep *k)
{
	return mmap(k->p - PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
		    MAP_FIXED, -1, 0) == MAP_FAILED ||
		som_map_private_at(k->fd, k->p + KEEP_LEN, PAGE, RW,
				   MAP_FIXED) == MAP_FAILED;
}

/* The neighbours are DONTNEEDed, to the very page. */
static int do_dontneed_around(struct keep *k)
{
	return madvise(k->p - UNIT, UNIT, MADV_DONTNEED) ||
		madvise(k->p + KEEP_LEN, UNIT, MADV_DONTNEED) ||
		madvise(k->p - PAGE, PAGE, MADV_DONTNEED) ||
		madvise(k->p + KEEP_LEN, PAGE, MADV_REMOVE);
}

static int keep_move(struct keep *k, size_t at, size_t len, size_t shift)
{
	char *q = k->room + shift, *p = k->p + at;

	/* The kernel moves no more than one mapping at a time. */
	if (mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, q) != q)
		return errno != EFAULT;
	return mremap(q, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, p) != p;
}

static int do_move(struct keep *k)
{
	return keep_move(k, 0, KEEP_LEN, 0);
}

static int do_move_unaligned(struct keep *k)
{
	return keep_move(k, 0, KEEP_LEN, 5 * PAGE);
}

static int do_move_a_unit(struct keep *k)
{
	return keep_move(k, UNIT, UNIT, 0);
}

static int do_move_a_page(struct keep *k)
{
	return keep_move(k, UNIT + 9 * PAGE, PAGE, 3 * PAGE);
}

static int do_move_across(struct keep *k)
{
	return keep_move(k, UNIT - 3 * PAGE, UNIT + 7 * PAGE, UNIT);
}

static int do_mlock(struct keep *k)
{
	return mlock(k->p, KEEP_LEN) || munlock(k->p, KEEP_LEN);
}

static int do_mlockall(struct keep *k)
{
	mlockall(MCL_CURRENT);
	return munlockall();
}

static int do_msync(struct keep *k)
{
	msync(k->p, KEEP_LEN, MS_SYNC);
	msync(k->p, KEEP_LEN, MS_INVALIDATE | MS_ASYNC);
	return 0;
}

static int do_scan(struct keep *k)
{
	return som_scan_count(k->fd, k->p, KEEP_LEN, PRESENT) < 0 ||
		som_scan_clean(k->fd, k->p, KEEP_LEN) ||
		som_scan_clean(k->fd, k->p, KEEP_LEN);
}

/* The kernel's own call, which may refuse but not change anything. */
static int do_scan_pagemap(struct keep *k)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	som_scan_count(fd, k->p, KEEP_LEN, PRESENT);
	som_scan_clean(fd, k->p, KEEP_LEN);
	som_scan_written(fd, k->p, KEEP_LEN, WP | CHECK, NULL, 0);
	close(fd);
	return 0;
}

static int read_all(const char *path, off_t from, size_t len)
{
	static char buf[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t n;

	if (fd < 0)
		return -1;
	do {
		n = pread(fd, buf, sizeof(buf), from + done);
		done += n > 0 ? n : 0;
	} while (n > 0 && done < len);
	close(fd);
	return 0;
}

static int do_pagemap(struct keep *k)
{
	return read_all("/proc/self/pagemap", (uintptr_t)k->p / PAGE * 8,
			KEEP_LEN / PAGE * 8);
}

static int do_smaps(struct keep *k)
{
	return read_all("/proc/self/smaps", 0, ~0UL) ||
		read_all("/proc/self/smaps_rollup", 0, ~0UL);
}

static int do_numa_maps(struct keep *k)
{
	read_all("/proc/self/numa_maps", 0, ~0UL);
	return 0;
}

static int do_clear_refs(struct keep *k)
{
	int i;

	for (i = 1; i <= 5; i++) {
		char text[2] = { '0' + i, 0 };

		som_write_string("/proc/self/clear_refs", text);
	}
	return 0;
}

static int do_fork(struct keep *k)
{
	pid_t pid = fork();

	if (!pid) {
		som_catch_faults();
		_exit(som_read_signal(k->p) != SIGSEGV ||
		      som_try_write(k->p + UNIT, 1) != SIGSEGV);
	}
	return som_wait_child(pid);
}

/* DONTNEED in the child affects only the child. */
static int do_fork_dofork(struct keep *k)
{
	pid_t pid;

	madvise(k->p, KEEP_LEN, MADV_DOFORK);
	pid = fork();
	if (!pid) {
		som_catch_faults();
		madvise(k->p, KEEP_LEN, MADV_DONTNEED);
		madvise(k->p, KEEP_LEN, MADV_REMOVE);
		munmap(k->p + UNIT, PAGE);
		_exit(som_read_signal(k->p) != SIGSEGV);
	}
	return som_wait_child(pid);
}

static int do_vfork(struct keep *k)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/proc/self/exe", "som_private_keep", "exit", NULL);
		_exit(1);
	}
	return som_wait_child(pid);
}

static int do_process_vm(struct keep *k)
{
	static char buf[UNIT];
	struct iovec local = { buf, sizeof(buf) };
	struct iovec remote = { k->p + UNIT / 2, sizeof(buf) };

	process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	remote.iov_base = k->p + UNIT;
	local.iov_len = 8;
	remote.iov_len = 8;
	*(__u64 *)buf = som_word(1, UNIT);
	process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	return 0;
}

static int do_proc_mem(struct keep *k)
{
	__u64 word = som_word(1, 77 * PAGE);
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	int ret;

	ret = pwrite(fd, &word, 8, som_addr(k->p + 77 * PAGE)) != 8;
	close(fd);
	return ret;
}

static int do_vmsplice(struct keep *k)
{
	struct iovec iov = { k->p + 30 * PAGE, 3 * PAGE };
	int fds[2];

	if (pipe(fds))
		return -1;
	vmsplice(fds[1], &iov, 1, 0);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

static int do_move_pages(struct keep *k)
{
	unsigned long mask = 1;
	void *pages[] = { k->p, k->p + UNIT };
	int nodes[] = { 0, 0 }, status[2];

	syscall(__NR_move_pages, 0, 2, pages, NULL, status, 2);
	syscall(__NR_move_pages, 0, 2, pages, nodes, status, 2);
	/* MPOL_BIND, MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL */
	syscall(__NR_mbind, k->p, KEEP_LEN, 2, &mask, 64, 7);
	syscall(__NR_migrate_pages, 0, 64, &mask, &mask);
	return 0;
}

/* Reclaim everywhere: caches, compaction, a process that fills the memory. */
static int do_pressure(struct keep *k)
{
	long pages = sysconf(_SC_AVPHYS_PAGES) * 7 / 10;
	size_t at;
	pid_t pid;
	char *p;

	som_write_string("/proc/sys/vm/drop_caches", "3");
	som_write_string("/proc/sys/vm/compact_memory", "1");
	pid = fork();
	if (pid)
		return som_wait_child(pid);
	p = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_NORESERVE, -1, 0);
	madvise(p, pages * PAGE, MADV_HUGEPAGE);
	for (at = 0; p != MAP_FAILED && at < pages * PAGE; at += PAGE)
		p[at] = 1;
	_exit(0);
}

static const struct {
	const char *name;
	int (*fn)(struct keep *k);
	bool once;
	/* Without a function; whatever its answer is, the data stay. */
	int advice;
} disturbances[] = {
	{ "mprotect none", do_protect_none },
	{ "mprotect read", do_protect_read },
	{ "mprotect exec", do_protect_exec },
	{ "mprotect all", do_protect_all },
	{ "munmap of neighbours", do_munmap },
	{ "mmap over neighbours", do_map_over },
	{ "DONTNEED of neighbours", do_dontneed_around },
	{ "mremap", do_move },
	{ "mremap unaligned", do_move_unaligned },
	{ "mremap of a unit", do_move_a_unit },
	{ "mremap of a page", do_move_a_page },
	{ "mremap across units", do_move_across },
	{ "MADV_COLD", .advice = MADV_COLD },
	{ "MADV_PAGEOUT", .advice = MADV_PAGEOUT },
	{ "MADV_FREE", .advice = MADV_FREE },
	{ "MADV_WILLNEED", .advice = MADV_WILLNEED },
	{ "MADV_SEQUENTIAL", .advice = MADV_SEQUENTIAL },
	{ "MADV_RANDOM", .advice = MADV_RANDOM },
	{ "MADV_NORMAL", .advice = MADV_NORMAL },
	{ "MADV_NOHUGEPAGE", .advice = MADV_NOHUGEPAGE },
	{ "MADV_HUGEPAGE", .advice = MADV_HUGEPAGE },
	{ "MADV_COLLAPSE", .advice = MADV_COLLAPSE },
	{ "MADV_MERGEABLE", .advice = MADV_MERGEABLE },
	{ "MADV_DONTDUMP", .advice = MADV_DONTDUMP },
	{ "MADV_WIPEONFORK", .advice = MADV_WIPEONFORK },
	{ "MADV_POPULATE_READ", .advice = MADV_POPULATE_READ },
	{ "MADV_POPULATE_WRITE", .advice = MADV_POPULATE_WRITE },
	{ "mlock", do_mlock },
	{ "mlockall", do_mlockall },
	{ "msync", do_msync },
	{ "PAGEMAP_SCAN", do_scan },
	{ "PAGEMAP_SCAN of pagemap", do_scan_pagemap },
	{ "pagemap", do_pagemap },
	{ "smaps", do_smaps },
	{ "numa_maps", do_numa_maps },
	{ "clear_refs", do_clear_refs },
	{ "fork", do_fork },
	{ "fork with DOFORK", do_fork_dofork },
	{ "vfork and exec", do_vfork },
	{ "process_vm", do_process_vm },
	{ "/proc/self/mem", do_proc_mem },
	{ "vmsplice", do_vmsplice },
	{ "move_pages", do_move_pages },
	{ "memory pressure", do_pressure, true },
};

enum mapped { BY_2M, BY_4K, TRACKED_CLEAN, TRACKED_DIRTY, NOT_MAPPED, NR_MAPPED };

static int disturb(struct keep *k, size_t nr)
{
	int advice = disturbances[nr].advice;

	if (disturbances[nr].fn)
		return disturbances[nr].fn(k);
	madvise(k->p + 5 * PAGE, PAGE, advice);
	madvise(k->p, KEEP_LEN, advice);
	return 0;
}

/* A mapping with one more unit before and after the tested range. */
static bool keep_map(struct keep *k, enum mapped how)
{
	char *p = som_map_private(k->fd, KEEP_LEN + 2 * UNIT);
	size_t at;

	if (p == MAP_FAILED)
		return false;
	k->p = p + UNIT;
	if (how == TRACKED_DIRTY && som_scan_clean(k->fd, k->p, KEEP_LEN))
		return false;
	som_touch_units(p, KEEP_LEN + 2 * UNIT);
	som_fill_pages(k->p, KEEP_LEN, 1);
	switch (how) {
	case BY_4K:
	case NOT_MAPPED:
		for (at = 0; at < KEEP_LEN; at += UNIT)
			if (mprotect(k->p + at + 7 * PAGE, PAGE, PROT_READ) ||
			    mprotect(k->p + at + 7 * PAGE, PAGE, RW))
				return false;
		return how == NOT_MAPPED ||
			som_check_pages(k->p, KEEP_LEN, 1) == -1;
	case TRACKED_CLEAN:
		return !som_scan_clean(k->fd, k->p, KEEP_LEN);
	default:
		return true;
	}
}

/* In part: each disturbance meets one kind of entries. */
static bool left_out(size_t nr, int how)
{
	if (disturbances[nr].once)
		return how;
	return som_in_part() && (nr + how) % NR_MAPPED;
}

TEST_F_TIMEOUT(som, nothing_else_loses_data, 400)
{
	struct keep k = { .fd = self->fd };
	size_t i;
	int how;

	for (i = 0; i < ARRAY_SIZE(disturbances); i++) {
		for (how = 0; how < NR_MAPPED; how++) {
			if (left_out(i, how))
				continue;
			ASSERT_TRUE(keep_map(&k, how));
			k.room = som_room(KEEP_LEN + 2 * UNIT, UNIT);
			ASSERT_NE(MAP_FAILED, k.room);
			EXPECT_EQ(0, disturb(&k, i))
				TH_LOG("%s, %d, errno %d", disturbances[i].name,
				       how, errno);
			/* Work that is done a moment later counts, too. */
			if (how == BY_2M)
				usleep(20000);
			EXPECT_EQ(-1, som_check_pages(k.p, KEEP_LEN, 1))
				TH_LOG("%s, %d", disturbances[i].name, how);
			/* It is still private memory. */
			ASSERT_EQ(0, madvise(k.p + 3 * PAGE, UNIT,
					     MADV_DONTNEED));
			EXPECT_EQ(-1, som_pages_not_zero(k.p + 3 * PAGE, UNIT))
				TH_LOG("%s, %d", disturbances[i].name, how);
			EXPECT_EQ(som_word(1, 2 * PAGE),
				  *(__u64 *)(k.p + 2 * PAGE));
			EXPECT_EQ(som_word(1, UNIT + 3 * PAGE),
				  *(__u64 *)(k.p + UNIT + 3 * PAGE));
			munmap(k.p - UNIT, KEEP_LEN + 2 * UNIT);
		}
	}
	EXPECT_USED_SOON(0);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "exit"))
		return 0;
	return test_harness_run(argc, argv);
}
