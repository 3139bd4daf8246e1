// SPDX-License-Identifier: GPL-2.0
/*
 * What write tracking and reset cost, in instructions if the time stamp counter
 * counts them (bench.sh sees to that), beside what ordinary memory offers in the
 * same run: PAGEMAP_SCAN with userfaultfd's asynchronous write protection, and
 * MADV_DONTNEED with the faults that follow it.
 *
 * Every loop is in its steady state: it has run ten times before it is measured.
 * The figure is the median of eleven more rounds, so that a timer interrupt or
 * the kernel's own work in one of them does not count.
 */
#include <limits.h>
#include <sys/syscall.h>

#include <linux/fs.h>
#include <linux/userfaultfd.h>

#include "bench.h"

#define UNIT_PAGES	(UNIT / PAGE)
#define WARM_UP		10
#define ROUNDS		11
#define MAX_REGIONS	4096

static struct page_region vec[MAX_REGIONS];

/* Memory whose writes are tracked, and whom to ask. */
struct memory {
	int fd;
	char *mem;
	size_t len;
};

/* Return: regions of written pages. */
static int scan(struct memory *m, size_t len, __u64 flags)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)m->mem,
		.end = (uintptr_t)m->mem + len,
		.vec = (uintptr_t)vec,
		.vec_len = MAX_REGIONS,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int n = ioctl(m->fd, PAGEMAP_SCAN, &arg);

	if (n < 0)
		die("PAGEMAP_SCAN");
	return n;
}

static void scan_clean(struct memory *m)
{
	scan(m, m->len, PM_SCAN_WP_MATCHING);
}

static void write_pages(struct memory *m, size_t pages, size_t every)
{
	size_t i;

	for (i = 0; i < pages; i++)
		write_byte(m->mem + i * every * PAGE);
}

static void populate(struct memory *m)
{
	write_pages(m, m->len / PAGE, 1);
}

static struct memory som_memory(int fd, size_t len)
{
	struct memory m = { fd, NULL, len };

	m.mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m.mem == MAP_FAILED)
		die("mmap of som memory");
	return m;
}

static struct memory plain_memory(size_t len)
{
	struct memory m = { -1, NULL, len };

	m.mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m.mem == MAP_FAILED)
		die("mmap");
	madvise(m.mem, len, MADV_NOHUGEPAGE);
	return m;
}

static struct memory uffd_memory(int pagemap, int uffd, size_t len)
{
	struct memory m = plain_memory(len);
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)m.mem, .len = len },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (ioctl(uffd, UFFDIO_REGISTER, &reg))
		die("UFFDIO_REGISTER");
	m.fd = pagemap;
	return m;
}

static int uffd_open(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	int uffd = syscall(__NR_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		die("userfaultfd");
	return uffd;
}

/* The loop of write, scan-and-clean. Both figures are for a whole round. */
static void loop_scan(struct memory *m, size_t pages, size_t every,
		      __u64 *writing, __u64 *scanning)
{
	__u64 w[ROUNDS], s[ROUNDS], t0, t1;
	int i;

	for (i = 0; i < WARM_UP + ROUNDS; i++) {
		t0 = now();
		write_pages(m, pages, every);
		t1 = now();
		scan_clean(m);
		if (i >= WARM_UP) {
			s[i - WARM_UP] = now() - t1;
			w[i - WARM_UP] = t1 - t0;
		}
	}
	*writing = median(w, ROUNDS);
	*scanning = median(s, ROUNDS);
}

static void som_reset_to_zero(struct memory *m)
{
	struct som_reset reset = {
		.size = sizeof(reset),
		.start = (uintptr_t)m->mem,
		.end = (uintptr_t)m->mem + m->len,
		.keep_resident = ~0ULL,
	};

	if (ioctl(m->fd, SOM_IOC_RESET, &reset))
		die("SOM_IOC_RESET");
}

/* Scan, and clear what it tells of by hand. */
static void scan_and_clear(struct memory *m)
{
	int n = scan(m, m->len, 0), i;

	for (i = 0; i < n; i++)
		memset((void *)(uintptr_t)vec[i].start, 0,
		       vec[i].end - vec[i].start);
	scan_clean(m);
}

static void drop(struct memory *m)
{
	if (madvise(m->mem, m->len, MADV_DONTNEED))
		die("MADV_DONTNEED");
}

/* The loop of write, back to zero. */
static void loop_reset(struct memory *m, size_t pages, size_t every,
		       void (*reset)(struct memory *m), __u64 *writing,
		       __u64 *resetting)
{
	__u64 w[ROUNDS], r[ROUNDS], t0, t1;
	int i;

	for (i = 0; i < WARM_UP + ROUNDS; i++) {
		t0 = now();
		write_pages(m, pages, every);
		t1 = now();
		reset(m);
		if (i >= WARM_UP) {
			r[i - WARM_UP] = now() - t1;
			w[i - WARM_UP] = t1 - t0;
		}
	}
	*writing = median(w, ROUNDS);
	*resetting = median(r, ROUNDS);
}

enum pattern { EVERY_4TH, NEIGHBOURS, ONE, FEW, NR_PATTERNS };

static const struct {
	const char *name;
	size_t units, pages, every;
} patterns[NR_PATTERNS] = {
	[EVERY_4TH] = { "every 4th of 2048 pages", 4, 512, 4 },
	[NEIGHBOURS] = { "512 neighbours of 2048", 4, 512, 1 },
	[ONE] = { "1 of 2048", 4, 1, 1 },
	[FEW] = { "8 of 512", 1, 8, 64 },
};

/* What one run found out. */
struct figures {
	struct {
		__u64 write, scan;		/* a round */
		__u64 reset_write, reset;
	} som[NR_PATTERNS], uffd[NR_PATTERNS], dontneed[NR_PATTERNS];
	struct {
		__u64 call, look, all;
	} som_one, uffd_one;
	__u64 som_idle, uffd_idle;	/* a unit */
	__u64 first_write;		/* a unit's, with its 512 entries */
	__u64 clear_page;
	__u64 written_again;		/* a page that is dirty already */
};

static void measure_pattern(struct figures *f, int som, int pagemap, int uffd,
			    int p)
{
	size_t len = patterns[p].units * UNIT, pages = patterns[p].pages;
	size_t every = patterns[p].every;
	struct memory m;

	m = som_memory(som, len);
	populate(&m);
	loop_scan(&m, pages, every, &f->som[p].write, &f->som[p].scan);
	munmap(m.mem, len);
	m = som_memory(som, len);
	populate(&m);
	loop_reset(&m, pages, every, som_reset_to_zero, &f->som[p].reset_write,
		   &f->som[p].reset);
	munmap(m.mem, len);

	m = uffd_memory(pagemap, uffd, len);
	populate(&m);
	loop_scan(&m, pages, every, &f->uffd[p].write, &f->uffd[p].scan);
	loop_reset(&m, pages, every, scan_and_clear, &f->uffd[p].reset_write,
		   &f->uffd[p].reset);
	munmap(m.mem, len);

	m = plain_memory(len);
	loop_reset(&m, pages, every, drop, &f->dontneed[p].reset_write,
		   &f->dontneed[p].reset);
	munmap(m.mem, len);
}

/*
 * Where it goes if one page of 2048 is dirty: a call with an empty range, one
 * that only looks, one that cleans, all in the same loop.
 */
static void measure_one(struct memory *m, __u64 *call, __u64 *look,
			__u64 *all)
{
	__u64 c[ROUNDS], l[ROUNDS], a[ROUNDS], t0, t1, t2, t3;
	int i;

	for (i = 0; i < WARM_UP + ROUNDS; i++) {
		write_byte(m->mem);
		t0 = now();
		scan(m, 0, 0);
		t1 = now();
		scan(m, m->len, 0);
		t2 = now();
		scan_clean(m);
		t3 = now();
		if (i >= WARM_UP) {
			c[i - WARM_UP] = t1 - t0;
			l[i - WARM_UP] = t2 - t1;
			a[i - WARM_UP] = t3 - t2;
		}
	}
	*call = median(c, ROUNDS);
	*look = median(l, ROUNDS);
	*all = median(a, ROUNDS);
}

static void measure_parts(struct figures *f, int som, int pagemap, int uffd)
{
	struct memory m = som_memory(som, 4 * UNIT);

	populate(&m);
	measure_one(&m, &f->som_one.call, &f->som_one.look, &f->som_one.all);
	munmap(m.mem, m.len);
	m = uffd_memory(pagemap, uffd, 4 * UNIT);
	populate(&m);
	measure_one(&m, &f->uffd_one.call, &f->uffd_one.look, &f->uffd_one.all);
	munmap(m.mem, m.len);
}

static void measure_idle(struct figures *f, int som, int pagemap, int uffd)
{
	size_t units = 512, plain_units = 64;
	__u64 ignored;
	struct memory m;

	m = som_memory(som, units * UNIT);
	populate(&m);
	loop_scan(&m, 0, 1, &ignored, &f->som_idle);
	f->som_idle /= units;
	munmap(m.mem, m.len);

	m = uffd_memory(pagemap, uffd, plain_units * UNIT);
	populate(&m);
	loop_scan(&m, 0, 1, &ignored, &f->uffd_idle);
	f->uffd_idle /= plain_units;
	munmap(m.mem, m.len);
}

static void measure_first_write(struct figures *f, int som)
{
	size_t units = WARM_UP + ROUNDS, i;
	struct memory m = som_memory(som, units * UNIT);
	__u64 rounds[ROUNDS], t;

	populate(&m);
	scan_clean(&m);
	for (i = 0; i < units; i++) {
		t = now();
		write_byte(m.mem + i * UNIT);
		if (i >= WARM_UP)
			rounds[i - WARM_UP] = now() - t;
	}
	f->first_write = median(rounds, ROUNDS);
	munmap(m.mem, m.len);
}

/* As the kernel clears a page where "rep stosb" is not fast. */
static void clear_page(void *page)
{
	size_t n = PAGE / 8;

	asm volatile("rep stosq" : "+c" (n), "+D" (page) : "a" (0) : "memory");
}

static void measure_small(struct figures *f)
{
	struct memory m = plain_memory(512 * PAGE);
	__u64 writing[ROUNDS], clearing[ROUNDS], t;
	int i, page;

	populate(&m);
	for (i = 0; i < ROUNDS; i++) {
		t = now();
		write_pages(&m, 512, 1);
		writing[i] = (now() - t) / 512;
		t = now();
		for (page = 0; page < 512; page++)
			clear_page(m.mem + page * PAGE);
		clearing[i] = (now() - t) / 512;
	}
	f->written_again = median(writing, ROUNDS);
	f->clear_page = median(clearing, ROUNDS);
	munmap(m.mem, m.len);
}

static void measure(struct figures *f)
{
	int som = open("/dev/som", O_RDWR);
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	int uffd = uffd_open(), p;

	if (som < 0 || pagemap < 0)
		die("open");
	write_pages(&(struct memory){ .mem = (char *)vec }, sizeof(vec) / PAGE,
		    1);
	measure_small(f);
	measure_first_write(f, som);
	for (p = 0; p < NR_PATTERNS; p++)
		measure_pattern(f, som, pagemap, uffd, p);
	measure_parts(f, som, pagemap, uffd);
	measure_idle(f, som, pagemap, uffd);
}

/*
 * The table
 */

static int missed;

static void heading(const char *text)
{
	printf("\n%-36s %9s %9s %9s %9s\n", text, "som", "again", "uffd-wp",
	       "DONTNEED");
}

/* No figure, or no target. */
#define NONE		LLONG_MIN

static void cell(long long value)
{
	if (value == NONE)
		printf(" %9s", "-");
	else
		printf(" %9lld", value);
}

static void row(const char *name, long long som, long long again,
		long long uffd, long long dontneed, long long target)
{
	printf("%-36s", name);
	cell(som);
	cell(again);
	cell(uffd);
	cell(dontneed);
	if (target != NONE) {
		bool met = som <= target && again <= target;

		printf("  <= %lld %s", target, met ? "met" : "NOT MET");
		missed += !met;
	}
	printf("\n");
}

/* What a reset costs for each page, beside scanning and clearing it. */
static long long beside(const struct figures *f, int p)
{
	long long n = patterns[p].pages;

	return (long long)(f->som[p].reset - f->som[p].scan) / n -
		(long long)f->clear_page;
}

static void print_table(const struct figures *a, const struct figures *b)
{
	/* A fault costs some hundred instructions at least. */
	static const long long no_fault = 100;
	static const long long scan_target[NR_PATTERNS] = { 185, 90, 6000, NONE };
	char name[80];
	int p;

	heading("first write to a page, each");
	for (p = 0; p < NR_PATTERNS; p++) {
		size_t n = patterns[p].pages;

		row(patterns[p].name, a->som[p].write / n, b->som[p].write / n,
		    a->uffd[p].write / n, NONE, p == ONE ? NONE : no_fault);
	}
	row("(written before)", a->written_again, b->written_again,
	    a->written_again, NONE, NONE);

	heading("scan and clean, each dirty page");
	for (p = 0; p < NR_PATTERNS; p++) {
		size_t n = patterns[p].pages;

		row(patterns[p].name, a->som[p].scan / n, b->som[p].scan / n,
		    a->uffd[p].scan / n, NONE, scan_target[p]);
	}
	heading("1 of 2048: where it goes");
	row("a call with an empty range", a->som_one.call, b->som_one.call,
	    a->uffd_one.call, NONE, NONE);
	row("looking at 2048 pages", a->som_one.look - a->som_one.call,
	    b->som_one.look - b->som_one.call,
	    a->uffd_one.look - a->uffd_one.call, NONE, NONE);
	row("cleaning the one, flushing the TLB",
	    a->som_one.all - a->som_one.look, b->som_one.all - b->som_one.look,
	    a->uffd_one.all - a->uffd_one.look, NONE, NONE);
	heading("nothing written, each unit");
	row("scan of 1 GiB", a->som_idle, b->som_idle, a->uffd_idle, NONE, 20);

	heading("first write to a clean unit");
	row("512 entries", a->first_write, b->first_write, NONE, NONE, 25000);

	heading("back to zero, each dirty page");
	for (p = 0; p < NR_PATTERNS; p++) {
		size_t n = patterns[p].pages;

		row(patterns[p].name, a->som[p].reset / n, b->som[p].reset / n,
		    a->uffd[p].reset / n, a->dontneed[p].reset / n, NONE);
		if (p == ONE)
			continue;
		snprintf(name, sizeof(name), "  beside scan %llu and clear %llu",
			 a->som[p].scan / n, a->clear_page);
		row(name, beside(a, p), beside(b, p), NONE, NONE, 100);
	}
	heading("written and back to zero, each page");
	for (p = 0; p < NR_PATTERNS; p++) {
		size_t n = patterns[p].pages;

		row(patterns[p].name,
		    (a->som[p].reset_write + a->som[p].reset) / n,
		    (b->som[p].reset_write + b->som[p].reset) / n,
		    (a->uffd[p].reset_write + a->uffd[p].reset) / n,
		    (a->dontneed[p].reset_write + a->dontneed[p].reset) / n,
		    NONE);
	}
}

int main(void)
{
	struct figures *f = mmap(NULL, 2 * sizeof(*f), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int i, status;

	print_machine();
	for (i = 0; i < 2; i++) {
		pid_t pid = fork();

		if (!pid) {
			measure(&f[i]);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			return 1;
	}
	print_table(&f[0], &f[1]);
	printf("\n%d targets missed\n", missed);
	return 0;
}
