/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of the scan and reset calls share: the calls themselves, an
 * answer as one category word for each page, and ordinary memory whose writes
 * the kernel tracks by userfaultfd, which is the oracle.
 */
#ifndef SOM_SCAN_H
#define SOM_SCAN_H

#include "som_test.h"

#include <linux/fs.h>
#include <linux/userfaultfd.h>

#define WP		PM_SCAN_WP_MATCHING
#define CHECK		PM_SCAN_CHECK_WPASYNC

#define WRITTEN		((__u64)PAGE_IS_WRITTEN)
#define PRESENT		((__u64)PAGE_IS_PRESENT)
#define TRACKED		((__u64)PAGE_IS_WPALLOWED)
#define HUGE_2M		((__u64)PAGE_IS_HUGE)
#define ZERO		SOM_PAGE_IS_ZERO

#define UNIT_PAGES	((size_t)(UNIT / PAGE))

/* All that the kernel's own call knows. */
#define KERNEL_CATEGORIES						\
	((__u64)(PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN | PAGE_IS_FILE |\
		    PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO |\
		    PAGE_IS_HUGE | PAGE_IS_SOFT_DIRTY))

/* A page that no region of an answer covers. */
#define NOT_LISTED	((__u64)1 << 62)

static inline __u64 som_addr(const void *p)
{
	return (uintptr_t)p;
}

/* Everything that a scan of [start, start + len) can be told has a field. */
static inline struct pm_scan_arg som_scan_args(const void *start, size_t len,
					       struct page_region *vec,
					       size_t vec_len)
{
	return (struct pm_scan_arg) {
		.size = sizeof(struct pm_scan_arg),
		.start = som_addr(start),
		.end = som_addr(start) + len,
		/* Never a right answer. */
		.walk_end = 0x1234,
		.vec = som_addr(vec),
		.vec_len = vec_len,
	};
}

/* Return: regions written, or -errno. */
static inline long som_scan_call(int fd, struct pm_scan_arg *arg)
{
	int ret = ioctl(fd, PAGEMAP_SCAN, arg);

	return ret < 0 ? -errno : ret;
}

/* Regions of written pages, with no limit of pages. */
static inline long som_scan_written(int fd, const void *start, size_t len,
				    __u64 flags, struct page_region *vec,
				    size_t vec_len)
{
	struct pm_scan_arg arg = som_scan_args(start, len, vec, vec_len);

	arg.flags = flags;
	arg.category_mask = WRITTEN;
	arg.return_mask = WRITTEN;
	return som_scan_call(fd, &arg);
}

/* Starts tracking of the range, or cleans it. Return: 0 or -errno. */
static inline long som_scan_clean(int fd, const void *start, size_t len)
{
	return som_scan_written(fd, start, len, WP, NULL, 0);
}

/*
 * The categories of every page, by as many calls as it takes; those not in
 * @mask are 0. A page that is not listed is NOT_LISTED. @flags is 0 or WP.
 * Return: 0 or -errno; -EPROTO for an answer that makes no sense.
 */
static inline long som_scan_pages(int fd, const void *start, size_t pages,
				  __u64 flags, __u64 match, __u64 mask,
				  __u64 *categories)
{
	struct page_region vec[128];
	struct pm_scan_arg arg = som_scan_args(start, pages * PAGE, vec,
					       ARRAY_SIZE(vec));
	__u64 base = arg.start, behind = arg.start, a;
	long ret, i;

	for (i = 0; i < (long)pages; i++)
		categories[i] = NOT_LISTED;
	arg.flags = flags;
	arg.category_mask = match;
	arg.return_mask = mask;
	do {
		ret = som_scan_call(fd, &arg);
		if (ret < 0)
			return ret;
		for (i = 0; i < ret; i++) {
			if (vec[i].start < behind || vec[i].end <= vec[i].start ||
			    vec[i].end > arg.walk_end ||
			    vec[i].categories & ~mask)
				return -EPROTO;
			behind = vec[i].end;
			for (a = vec[i].start; a < behind; a += PAGE)
				categories[(a - base) / PAGE] =
					vec[i].categories;
		}
		if (arg.walk_end <= arg.start || arg.walk_end > arg.end)
			return -EPROTO;
		/* A call that stops early had its vec full. */
		if (arg.walk_end < arg.end && ret < (long)ARRAY_SIZE(vec))
			return -EPROTO;
		arg.start = arg.walk_end;
	} while (arg.start < arg.end);
	return 0;
}

/* Pages of the range with all of @match; -errno on failure. */
static inline long som_scan_count(int fd, const void *start, size_t len,
				  __u64 match)
{
	size_t pages = len / PAGE, i;
	__u64 *categories = malloc(pages * sizeof(*categories));
	long count = 0, ret;

	ret = som_scan_pages(fd, start, pages, 0, match, match, categories);
	for (i = 0; i < pages; i++)
		count += categories[i] == match;
	free(categories);
	return ret < 0 ? ret : count;
}

/* The category word of one page, as far as @mask goes. */
static inline __u64 som_scan_page(int fd, const void *page, __u64 mask)
{
	__u64 categories;
	long ret;

	ret = som_scan_pages(fd, page, 1, 0, 0, mask, &categories);
	return ret < 0 ? (__u64)ret : categories;
}

/*
 * Reset
 */

static inline struct som_reset som_reset_args(const void *start, size_t len)
{
	return (struct som_reset) {
		.size = sizeof(struct som_reset),
		.start = som_addr(start),
		.end = som_addr(start) + len,
		.keep_resident = ~0ULL,
	};
}

/* Return: 0 or -errno. */
static inline long som_reset_call(int fd, struct som_reset *reset)
{
	return ioctl(fd, SOM_IOC_RESET, reset) < 0 ? -errno : 0;
}

static inline long som_reset_zero(int fd, const void *start, size_t len)
{
	struct som_reset reset = som_reset_args(start, len);

	return som_reset_call(fd, &reset);
}

/*
 * How long a process takes to die
 */

/* Shared with the process: how long one call takes, and that it has been done. */
struct som_dying {
	double took;
	int go;
};

/*
 * Seconds that a process with @len bytes takes to die, from a second @call or from
 * nothing; -1 if it never got so far. @fill gives a call all that it can have to do.
 */
static inline double som_time_to_die(int fd, size_t len, bool from_call,
				     struct som_dying *dying,
				     void (*fill)(char *p, size_t len),
				     int (*call)(int fd, char *p, size_t len))
{
	double start;
	pid_t pid;
	char *p;

	dying->go = 0;
	pid = fork();
	if (!pid) {
		p = som_map(fd, len);
		child_assert(p != MAP_FAILED);
		fill(p, len);
		start = som_now();
		child_assert(call(fd, p, len) == 0);
		dying->took = som_now() - start;
		fill(p, len);
		WRITE_ONCE(dying->go, 1);
		if (from_call)
			call(fd, p, len);
		for (;;)
			pause();
	}
	if (!som_wait_flag(&dying->go, 1))
		return -1;
	usleep(dying->took * 1e6 / 10);
	start = som_now();
	kill(pid, SIGKILL);
	som_wait_child(pid);
	return som_now() - start;
}

/*
 * Does a process that is killed in a call die at once, not when the call is through? False
 * too if it never got there, or left something behind.
 */
static inline bool som_kill_ends(int fd, const struct som_state *before,
				 void (*fill)(char *p, size_t len),
				 int (*call)(int fd, char *p, size_t len))
{
	struct som_dying *dying = som_shared(sizeof(*dying));
	size_t len = (som_free() - 8) * UNIT;
	double base, killed;
	int tries = 0;

	if (dying == MAP_FAILED)
		return false;
	/* Times are those of a machine that may have other things to do. */
	som_all_cpus();
	do {
		base = som_time_to_die(fd, len, false, dying, fill, call);
		if (base < 0 || !som_state_wait(before))
			return false;
		killed = som_time_to_die(fd, len, true, dying, fill, call);
		if (killed < 0 || !som_state_wait(before))
			return false;
		printf("# the call takes %.3f s, exit %.3f s, exit from it %.3f s\n",
		       dying->took, base, killed);
		fflush(stdout);
	} while (killed > base + dying->took / 2 + 0.2 && ++tries < 5);
	return tries < 5;
}

/*
 * The oracle: ordinary memory under userfaultfd's asynchronous write protection
 */

/* Return: a userfaultfd, or -errno where the kernel has no such thing. */
static inline int oracle_open(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	int uffd;

	uffd = syscall(__NR_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (uffd < 0)
		return -errno;
	if (ioctl(uffd, UFFDIO_API, &api)) {
		close(uffd);
		return -EOPNOTSUPP;
	}
	return uffd;
}

static inline int oracle_register(int uffd, char *p, size_t len)
{
	struct uffdio_register reg = {
		.range = { .start = som_addr(p), .len = len },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	return ioctl(uffd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

/* Pages of 4K only: som's unit has no counterpart there. */
static inline char *oracle_map_at(int uffd, char *at, size_t len, int flags)
{
	char *p = mmap(at, len, RW, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (p == MAP_FAILED)
		return MAP_FAILED;
	madvise(p, len, MADV_NOHUGEPAGE);
	if (oracle_register(uffd, p, len)) {
		munmap(p, len);
		return MAP_FAILED;
	}
	return p;
}

/*
 * Numbers that come again with the same seed
 */

struct som_random {
	__u64 state;
};

static inline __u64 som_random(struct som_random *r)
{
	__u64 x = r->state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* 0 <= result < @n */
static inline __u64 som_below(struct som_random *r, __u64 n)
{
	return som_random(r) % n;
}

/* true once in @n times */
static inline bool som_one_in(struct som_random *r, __u64 n)
{
	return !som_below(r, n);
}

/* 1 <= result <= @max, small ones more often */
static inline __u64 som_small(struct som_random *r, __u64 max)
{
	__u64 bits = 0;

	while (max >> bits > 1)
		bits++;
	return 1 + som_below(r, 1ULL << som_below(r, bits + 1)) % max;
}

static inline __u64 som_seed(void)
{
	const char *text = getenv("SOM_SEED");

	return text ? strtoull(text, NULL, 0) : (__u64)(som_now() * 1e6);
}

/*
 * Page by page: a test has an array of its own, got[], for what each page is.
 */

/* Return: first page of [from, to) in got[] that is not @want, or -1. */
static inline long som_unlike(const __u64 *got, size_t from, size_t to,
			      __u64 want)
{
	size_t i;

	for (i = from; i < to; i++)
		if (got[i] != want)
			return i;
	return -1;
}

#define EXPECT_PAGES(from, to, want) do {				\
	long __page = som_unlike(got, from, to, want);			\
									\
	EXPECT_EQ(-1, __page)						\
		TH_LOG("page %#lx is %#llx", __page,			\
		       got[__page < 0 ? 0 : __page]);			\
} while (0)

#define GET(start, pages, mask)						\
	ASSERT_EQ(0, som_scan_pages(self->fd, start, pages, 0, 0, mask, got))

#endif /* SOM_SCAN_H */
