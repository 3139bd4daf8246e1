// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that fails: its owner is told, the unit is retired alone, and everything else
 * of the chunk lives on.
 *
 * Each failure is for good: a chunk with one is not given out again by HugeTLB. So a chunk
 * has many here, and the guest has pages to spare.
 *
 * SOM-TEST: chunks=1 spare=4 takes=30 append=som_mce.own_guest
 */
#include <linux/fs.h>
#include <sys/prctl.h>

#include "som_test.h"

#ifndef MADV_HWPOISON
#define MADV_HWPOISON	100
#endif
#ifndef BUS_MCEERR_AR
#define BUS_MCEERR_AR	4
#define BUS_MCEERR_AO	5
#endif

#define PFN_MASK	((1ULL << 55) - 1)
#define BAD_PAGE	17

/* The kernel's own injector of machine checks; Debian's kernels have it as a module. */
#define MCE_INJECT_KO	"/som/mce-inject.ko"
#define MCE_INJECT	"/sys/kernel/debug/mce-inject/"
/* Valid, uncorrected, with address and more: memory, by AMD's northbridge and by Intel. */
#define MCE_STATUS	0xbc0000000008009fULL
#define MCE_BANK	4
/* A physical address, of which a page is known. */
#define MCE_MISC	0x8cULL

static sigjmp_buf bus_env;
static volatile sig_atomic_t bus_armed, bus_code;
static void *volatile bus_addr;

static void bus_handler(int sig, siginfo_t *info, void *context)
{
	bus_code = info->si_code;
	bus_addr = info->si_addr;
	if (bus_armed)
		siglongjmp(bus_env, 1);
}

static void bus_catch(void)
{
	struct sigaction sa = {
		.sa_sigaction = bus_handler,
		.sa_flags = SA_SIGINFO,
	};

	sigaction(SIGBUS, &sa, NULL);
}

/* Touch; the si_code of the SIGBUS that comes, or 0. */
static int touch(char *p, bool write)
{
	bus_code = 0;
	if (!sigsetjmp(bus_env, 1)) {
		bus_armed = 1;
		if (write)
			*(volatile char *)p = 1;
		else
			(void)*(volatile char *)p;
		bus_armed = 0;
		return 0;
	}
	bus_armed = 0;
	return bus_addr == p ? bus_code : -1;
}

static unsigned long pfn_of(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	__u64 entry = 0;

	if (pread(fd, &entry, 8, (uintptr_t)p / PAGE * 8) != 8)
		entry = 0;
	close(fd);
	return entry & PFN_MASK;
}

/* The kernel cannot unmap what has failed, and says so; or that more of it has failed. */
static int fail(char *p)
{
	if (!madvise(p, PAGE, MADV_HWPOISON))
		return 0;
	return errno == EBUSY || errno == EHWPOISON ? 0 : -errno;
}

struct numbers {
	long total, free, used, held, poisoned;
};

static struct numbers numbers(void)
{
	return (struct numbers){
		.total = som_pool("units_total"),
		.free = som_free(),
		.used = som_used(),
		.held = som_pool("units_quarantined"),
		.poisoned = som_pool("units_poisoned"),
	};
}

#define EXPECT_NUMBERS(total_, used_, poisoned_) do {			\
	struct numbers is = numbers();					\
	EXPECT_EQ(self->was.total + (total_), is.total);			\
	EXPECT_EQ(self->was.used + (used_), is.used);			\
	EXPECT_EQ(self->was.held, is.held);					\
	EXPECT_EQ(self->was.poisoned + (poisoned_), is.poisoned);		\
	EXPECT_EQ(is.total, is.free + is.used + is.held);		\
} while (0)

FIXTURE(mce)
{
	struct numbers was;
	int fd;
};

FIXTURE_SETUP(mce)
{
	bus_catch();
	self->fd = som_open();
	ASSERT_LE(0, self->fd);
	self->was = numbers();
}

FIXTURE_TEARDOWN_PARENT(mce)
{
	EXPECT_EQ(0, som_wait_number(som_used, 0));
	EXPECT_EQ(0, som_committed());
	EXPECT_EQ(0, som_pool("units_quarantined"));
}

/* A chunk of which nothing has failed. */
static int fresh_chunk(void)
{
	if (!som_pool("units_poisoned"))
		return 0;
	return som_set_chunks(0) ?: som_set_chunks(1);
}

TEST_F(mce, owner_is_told)
{
	char *p = som_map(self->fd, 3 * UNIT), buf[16], *bad = p + UNIT;
	int mem, fds[2], i;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 3 * UNIT, 1);
	ASSERT_EQ(0, fail(bad + BAD_PAGE * PAGE));
	EXPECT_EQ(BUS_MCEERR_AR, touch(bad + BAD_PAGE * PAGE, false));
	EXPECT_EQ(BUS_MCEERR_AR, touch(bad + BAD_PAGE * PAGE, true));
	/* It is the unit that is lost, and nothing else. */
	EXPECT_EQ(BUS_MCEERR_AR, touch(bad, false));
	EXPECT_EQ(BUS_MCEERR_AR, touch(bad + UNIT - PAGE, true));
	EXPECT_EQ(-1, som_check(p, UNIT, 1));
	EXPECT_EQ(som_word(1, 2 * UNIT), *(__u64 *)(p + 2 * UNIT));
	EXPECT_NUMBERS(0, 3, 1);

	/* System calls do not see it either. */
	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(-1, write(fds[1], bad, 16));
	EXPECT_EQ(EFAULT, errno);
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, pread(mem, buf, 16, (off_t)bad));
	EXPECT_EQ(-1, pwrite(mem, buf, 16, (off_t)bad));
	EXPECT_EQ(16, pread(mem, buf, 16, (off_t)p));

	/* Others go back as ever: no reference to the chunk is taken for a pin. */
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_NUMBERS(0, 2, 1);
	/* With smaller entries, too. */
	ASSERT_EQ(0, mprotect(bad + PAGE, PAGE, PROT_READ));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(BUS_MCEERR_AR, touch(bad + i * PAGE, false));
	ASSERT_EQ(0, munmap(bad, 2 * UNIT));
	EXPECT_NUMBERS(-1, 0, 1);
}

static int mce_set(const char *file, unsigned long long value)
{
	char path[64], text[32];

	snprintf(path, sizeof(path), MCE_INJECT "%s", file);
	snprintf(text, sizeof(text), strcmp(file, "bank") ? "0x%llx" : "%llu",
		 value);
	return som_write_string(path, text);
}

/* Return: NULL, or why there is no injector of machine checks. */
static const char *mce_load(void)
{
	int ko = open(MCE_INJECT_KO, O_RDONLY | O_CLOEXEC), ret;

	if (ko < 0)
		return "there is no " MCE_INJECT_KO;
	ret = syscall(SYS_finit_module, ko, "", 0);
	close(ko);
	return ret && errno != EEXIST ? MCE_INJECT_KO " does not load" : NULL;
}

/* To those who decode machine checks alone: memory_failure() does not hear of it. */
static int mce_tell(unsigned long long status, unsigned long long addr)
{
	return mce_set("status", status) ?: mce_set("addr", addr) ?:
	       mce_set("misc", MCE_MISC) ?: mce_set("bank", MCE_BANK);
}

static long units_poisoned(void)
{
	return som_pool("units_poisoned");
}

/* A machine check that the kernel itself does nothing about. */
TEST_F(mce, machine_check)
{
	const char *missing = mce_load();
	unsigned long pfn;
	char *p;

	if (missing)
		SKIP(return, "%s", missing);
	p = som_map(self->fd, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	pfn = pfn_of(p + BAD_PAGE * PAGE);
	ASSERT_NE(0, pfn);
	/* Corrected, or of nobody knows what: memory is as good as before. */
	ASSERT_EQ(0, mce_tell(MCE_STATUS & ~(1ULL << 61), pfn * PAGE));
	ASSERT_EQ(0, mce_tell(MCE_STATUS & ~(1ULL << 58), pfn * PAGE));
	/* Memory that is not som's. */
	ASSERT_EQ(0, mce_tell(MCE_STATUS, PAGE));
	usleep(100000);
	EXPECT_EQ(0, touch(p + BAD_PAGE * PAGE, false));
	EXPECT_NUMBERS(0, 2, 0);

	ASSERT_EQ(0, mce_tell(MCE_STATUS, pfn * PAGE + 8));
	EXPECT_EQ(self->was.poisoned + 1,
		  som_wait_number(units_poisoned, self->was.poisoned + 1));
	/* Entries go a moment later: nobody returns from the machine check here. */
	for (int i = 0; i < 100 && !touch(p, false); i++)
		usleep(10000);
	EXPECT_EQ(BUS_MCEERR_AR, touch(p + BAD_PAGE * PAGE, false));
	EXPECT_EQ(BUS_MCEERR_AR, touch(p, true));
	EXPECT_EQ(som_word(1, UNIT), *(__u64 *)(p + UNIT));
	ASSERT_EQ(0, munmap(p, 2 * UNIT));
	EXPECT_NUMBERS(-1, 0, 1);
}

/* Nobody gets the unit any more. */
TEST_F(mce, unit_is_retired)
{
	char *p = som_map(self->fd, UNIT), *all;
	unsigned long pfn;
	long i, nr;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	pfn = pfn_of(p);
	ASSERT_NE(0, pfn);
	ASSERT_EQ(0, fail(p + BAD_PAGE * PAGE));
	ASSERT_EQ(0, munmap(p, UNIT));
	EXPECT_NUMBERS(-1, 0, 1);

	nr = som_pool("units_total");
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, (nr + 1) * UNIT));
	all = som_map(self->fd, nr * UNIT);
	ASSERT_NE(MAP_FAILED, all);
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(0, touch(all + i * UNIT, true));
		ASSERT_NE(pfn, pfn_of(all + i * UNIT));
	}
	EXPECT_NUMBERS(-1, nr, 1);
	ASSERT_EQ(0, munmap(all, nr * UNIT));
}

/* Whoever gives the memory up gets other memory. */
TEST_F(mce, memory_can_be_had_again)
{
	char *p = som_map(self->fd, UNIT), *q;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, fail(p));
	ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
	EXPECT_EQ(0, touch(p, false));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_NUMBERS(-1, 1, 1);
	if (som_no_private(self->fd))
		return;
	q = som_map_private(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, q);
	som_fill(q, UNIT, 1);
	ASSERT_EQ(0, fail(q));
	EXPECT_EQ(BUS_MCEERR_AR, touch(q, false));
	/* Of a part that is not enough. */
	ASSERT_EQ(0, madvise(q, PAGE, MADV_DONTNEED));
	EXPECT_EQ(BUS_MCEERR_AR, touch(q, false));
	ASSERT_EQ(0, madvise(q, UNIT, MADV_DONTNEED));
	EXPECT_EQ(0, touch(q, false));
	EXPECT_EQ(-1, som_not_zero(q, UNIT));
	EXPECT_NUMBERS(-2, 2, 2);
}

/* The pool has promised more than it has then: SIGBUS, and no wait that does not end. */
TEST_F(mce, all_was_promised)
{
	long nr = som_free(), i;
	char *p = som_map(self->fd, nr * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, touch(p + i * UNIT, true));
	ASSERT_EQ(0, fail(p));
	ASSERT_EQ(0, madvise(p, UNIT, MADV_REMOVE));
	EXPECT_NUMBERS(-1, nr - 1, 1);
	EXPECT_EQ(nr, som_committed());
	EXPECT_EQ(BUS_ADRERR, touch(p, false));
	EXPECT_EQ(MAP_FAILED, som_map(self->fd, UNIT));
	/* As soon as somebody gives one up, it is kept again. */
	ASSERT_EQ(0, munmap(p + UNIT, UNIT));
	EXPECT_EQ(0, touch(p, false));
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
}

/* Who asks for it is told before the next touch. */
TEST_F(mce, early_kill)
{
	char *p;

	/* Later failures of a chunk raise the signal of a touch, by the kernel itself. */
	ASSERT_EQ(0, fresh_chunk());
	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0,
			   0));
	bus_code = 0;
	ASSERT_EQ(0, fail(p + BAD_PAGE * PAGE));
	EXPECT_EQ(BUS_MCEERR_AO, bus_code);
	EXPECT_EQ(p + BAD_PAGE * PAGE, bus_addr);
	EXPECT_EQ(BUS_MCEERR_AR, touch(p, false));
}

/* What a child is to copy has failed: it is not given anything else. */
TEST_F(mce, child_does_not_get_a_copy)
{
	struct som_policy policy = {
		.size = sizeof(policy),
		.map_size = UNIT,
		.options = SOM_POLICY_FORK_COPY,
	};
	int *step = som_shared(sizeof(*step));
	char *p;
	pid_t pid;

	if (ioctl(self->fd, SOM_IOC_SET_POLICY, &policy))
		SKIP(return, "no fork with a copy");
	p = som_map(self->fd, 2 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	pid = fork();
	if (!pid) {
		child_assert(som_wait_flag(step, 1));
		child_assert(touch(p, false) == BUS_MCEERR_AR);
		child_assert(!touch(p + UNIT, false));
		child_assert(*(__u64 *)(p + UNIT) == som_word(1, UNIT));
		_exit(0);
	}
	ASSERT_EQ(0, touch(p, false));
	ASSERT_EQ(0, fail(p));
	WRITE_ONCE(*step, 1);
	EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(BUS_MCEERR_AR, touch(p, false));
	ASSERT_EQ(0, munmap(p, 2 * UNIT));
	EXPECT_NUMBERS(-1, 0, 1);
}

/* A failed page of page-backed memory is not copied to a child either. */
TEST_F(mce, child_does_not_get_a_page)
{
	struct som_policy policy = {
		.size = sizeof(policy),
		.map_size = UNIT,
		.options = SOM_POLICY_FORK_COPY,
	};
	struct som_range range = { .size = sizeof(range) };
	char *p;
	pid_t pid;

	if (ioctl(self->fd, SOM_IOC_SET_POLICY, &policy))
		SKIP(return, "no fork with a copy");
	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	range.start = (uintptr_t)p;
	range.end = range.start + UNIT;
	ASSERT_EQ(0, ioctl(self->fd, SOM_IOC_PAGE_BACKED, &range));
	ASSERT_EQ(0, fail(p + BAD_PAGE * PAGE));
	pid = fork();
	if (!pid) {
		child_assert(touch(p + BAD_PAGE * PAGE, false));
		_exit(0);
	}
	/* fork copies page-backed units, and fails if it cannot. */
	if (pid < 0)
		ASSERT_EQ(ENOMEM, errno);
	if (pid > 0)
		EXPECT_EQ(0, som_wait_child(pid));
	EXPECT_EQ(BUS_MCEERR_AR, touch(p + BAD_PAGE * PAGE, false));
}

/* A scan reports the unit, and a reset of it fails. */
TEST_F(mce, reset_fails)
{
	struct page_region region;
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_WRITTEN | PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_WRITTEN | PAGE_IS_PRESENT,
	};
	struct som_reset reset = {
		.size = sizeof(reset),
		.keep_resident = ~0ULL,
	};
	char *p = som_map(self->fd, 2 * UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, 2 * UNIT, 1);
	ASSERT_EQ(0, fail(p + UNIT));
	scan.start = (uintptr_t)p;
	scan.end = scan.start + 2 * UNIT;
	EXPECT_EQ(1, ioctl(self->fd, PAGEMAP_SCAN, &scan));
	EXPECT_EQ(scan.start, region.start);
	EXPECT_EQ(scan.end, region.end);

	reset.start = scan.start;
	reset.end = scan.end;
	EXPECT_EQ(-1, ioctl(self->fd, SOM_IOC_RESET, &reset));
	EXPECT_EQ(EHWPOISON, errno);
	EXPECT_EQ(reset.start + UNIT, reset.walk_end);
	EXPECT_EQ(-1, som_not_zero(p, UNIT));
	EXPECT_EQ(BUS_MCEERR_AR, touch(p + UNIT, false));
}

static long trace_has(const char *want)
{
	char line[512];
	long nr = 0;
	FILE *f = fopen("/sys/kernel/tracing/trace", "re");

	while (f && fgets(line, sizeof(line), f))
		nr += !!strstr(line, want);
	if (f)
		fclose(f);
	return nr;
}

TEST_F(mce, tracepoint)
{
	static const char enable[] =
		"/sys/kernel/tracing/events/som/som_unit_poison/enable";
	char *p = som_map(self->fd, UNIT), want[128];
	unsigned long pfn;

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	pfn = pfn_of(p) + BAD_PAGE;
	if (som_write_string(enable, "1"))
		SKIP(return, "no tracefs");
	ASSERT_EQ(0, fail(p + BAD_PAGE * PAGE));
	som_write_string(enable, "0");
	snprintf(want, sizeof(want), "som_unit_poison: unit=%lu pfn=0x%lx used=1",
		 pfn / 512, pfn);
	EXPECT_EQ(1, trace_has(want));
}

/*
 * A task on its way back to user space gives no reference to the module back: that would
 * be done by the module's own code, which could be unloaded before it returns.
 */
TEST_F(mce, module_is_not_let_go_by_itself)
{
	static const char enable[] =
		"/sys/kernel/tracing/events/module/module_put/enable";
	char *p = som_map(self->fd, UNIT);

	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	if (som_write_string(enable, "1"))
		SKIP(return, "no tracefs");
	ASSERT_EQ(0, fail(p + BAD_PAGE * PAGE));
	som_write_string(enable, "0");
	EXPECT_EQ(0, trace_has("module_put: som "));
}

/* A 1 GiB entry goes as a whole, and comes back in parts. */
TEST_F(mce, gigantic_entry)
{
	char *p;
	long i;

	/*
	 * Its page table check looks for what it knows of a GiB in one piece, which that of
	 * high memory is not (mm/page_table_check.c, page_ext_next()).
	 */
	if (som_debug_kernel())
		SKIP(return, "no 1 GiB entries anywhere on this kernel");
	ASSERT_EQ(0, fresh_chunk());
	self->was = numbers();
	ASSERT_EQ(0, som_set_policy(self->fd, CHUNK));
	p = som_map(self->fd, CHUNK);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, touch(p, true));
	EXPECT_EQ(512, som_units_1g(self->fd));
	ASSERT_EQ(0, fail(p + 3 * UNIT + BAD_PAGE * PAGE));
	for (i = 0; i < 512; i++)
		ASSERT_EQ(i == 3 ? BUS_MCEERR_AR : 0, touch(p + i * UNIT, true));
	EXPECT_EQ(0, som_units_1g(self->fd));
	ASSERT_EQ(0, munmap(p, CHUNK));
	EXPECT_NUMBERS(-1, 0, 1);
	/* The chunk is not a whole any more. */
	p = som_map(self->fd, 511 * UNIT);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, touch(p, true));
	ASSERT_EQ(0, munmap(p, 511 * UNIT));
}

/* HugeTLB gets the page back, and gives it to nobody. */
TEST_F(mce, chunk_is_given_back)
{
	long pages;
	char *p;

	p = som_map(self->fd, UNIT);
	ASSERT_NE(MAP_FAILED, p);
	som_fill(p, UNIT, 1);
	ASSERT_EQ(0, fail(p));
	ASSERT_EQ(0, munmap(p, UNIT));
	pages = som_free_hugepages();
	ASSERT_EQ(0, som_set_chunks(0));
	EXPECT_EQ(pages + 1, som_free_hugepages());
	EXPECT_EQ(0, som_pool("units_total"));
	EXPECT_EQ(0, som_pool("units_poisoned"));
	ASSERT_EQ(0, som_set_chunks(1));
	EXPECT_EQ(0, som_pool("units_poisoned"));
	EXPECT_EQ(512, som_free());
}

TEST_HARNESS_MAIN
