// SPDX-License-Identifier: GPL-2.0
/*
 * The scan call against the kernel's own: each case runs on ordinary memory
 * under userfaultfd's asynchronous write protection, asked through
 * /proc/self/pagemap, and on som memory, asked through the som file. Regions,
 * return value, walk_end and errno must be the same.
 *
 * Two things differ by design and are kept out of the cases: som memory is
 * present by units of 2 MiB, ordinary memory by pages, so that a case either
 * populates everything first or leaves PAGE_IS_PRESENT alone; and a scan that
 * fills more than 512 regions has a stale walk_end in Linux 6.12, which is
 * then not compared.
 *
 * SOM-TEST: timeout=600 takes=20
 */
#include <stddef.h>

#include "som_scan.h"

static bool som_one_process = true;

#define PAGES		(4 * UNIT_PAGES)
#define MAX_STEPS	24
#define MAX_REGIONS	2100
#define STALE_REGIONS	512

enum op {
	END,
	WRITE,		/* pages [from, to), every nth */
	READ,
	SYSCALL,	/* the kernel writes to them */
	SCAN,
	PROTECT,	/* read only, or back */
	UNMAP,
	DISCARD,	/* gone, and written again at once */
	DROP,		/* gone */
};

struct step {
	enum op op;
	unsigned int from, to, every;
	int prot;
	/* of a scan */
	__u64 flags, mask, inverted, anyof, ret_mask;
	unsigned int vec_len, max_pages;
	unsigned int cut;	/* bytes off the end */
};

/* What the memory is like before the first step. */
enum start {
	POPULATED,	/* all written, then cleaned */
	EMPTY,		/* tracked before anything is written */
	UNTRACKED,	/* all written, never tracked */
};

struct test_case {
	const char *name;
	enum start start;
	struct step steps[MAX_STEPS];
};

#define W(f, t)		{ .op = WRITE, .from = f, .to = t, .every = 1 }
#define WE(f, t, n)	{ .op = WRITE, .from = f, .to = t, .every = n }
#define R(f, t)		{ .op = READ, .from = f, .to = t, .every = 1 }
#define K(f, t)		{ .op = SYSCALL, .from = f, .to = t, .every = 1 }
#define RO(f, t)	{ .op = PROTECT, .from = f, .to = t, .prot = PROT_READ }
#define NONE(f, t)	{ .op = PROTECT, .from = f, .to = t, .prot = PROT_NONE }
#define BACK(f, t)	{ .op = PROTECT, .from = f, .to = t, .prot = RW }
#define U(f, t)		{ .op = UNMAP, .from = f, .to = t }
#define D(f, t)		{ .op = DISCARD, .from = f, .to = t, .every = 1 }
#define DROP(f, t)	{ .op = DROP, .from = f, .to = t }
/* written pages; with flags; with limits of regions and pages */
#define S(f, t)		SL(f, t, 0, MAX_REGIONS, 0)
#define SF(f, t, fl)	SL(f, t, fl, MAX_REGIONS, 0)
#define SL(f, t, fl, n, max)						\
	{ .op = SCAN, .from = f, .to = t, .flags = fl, .mask = WRITTEN,	\
	  .ret_mask = WRITTEN, .vec_len = n, .max_pages = max }
/* with masks: matching, inverted, any of, to return */
#define SM(f, t, fl, m, i, a, r)					\
	{ .op = SCAN, .from = f, .to = t, .flags = fl, .mask = m,	\
	  .inverted = i, .anyof = a, .ret_mask = r,			\
	  .vec_len = MAX_REGIONS }
#define SCUT(f, t, bytes)						\
	{ .op = SCAN, .from = f, .to = t, .mask = WRITTEN,		\
	  .ret_mask = WRITTEN, .vec_len = MAX_REGIONS, .cut = bytes }

#define FILE_ ((__u64)PAGE_IS_FILE)
#define SWAPPED ((__u64)PAGE_IS_SWAPPED)
#define PFNZERO ((__u64)PAGE_IS_PFNZERO)

/* Means the same on both memories, when everything is populated. */
#define COMMON (WRITTEN | PRESENT | TRACKED | FILE_ | SWAPPED | PFNZERO)

static const struct test_case cases[] = {
	{ "nothing written", POPULATED, {
		S(0, PAGES), SF(0, PAGES, WP), S(0, PAGES) } },
	{ "everything written", POPULATED, {
		W(0, PAGES), S(0, PAGES), SF(0, PAGES, WP), S(0, PAGES) } },
	{ "one page", POPULATED, {
		W(700, 701), S(0, PAGES), S(700, 701), S(0, 700), S(701, PAGES),
		SF(0, PAGES, WP), S(0, PAGES) } },
	{ "first and last", POPULATED, {
		W(0, 1), W(PAGES - 1, PAGES), S(0, PAGES), SF(0, 1, WP),
		S(0, PAGES), SF(PAGES - 1, PAGES, WP), S(0, PAGES) } },
	{ "all but first and last", POPULATED, {
		W(1, PAGES - 1), S(0, PAGES), SF(0, PAGES, WP),
		S(0, PAGES) } },
	{ "every second page", POPULATED, {
		WE(0, 800, 2), S(0, PAGES), SF(0, 801, WP), S(0, PAGES) } },
	{ "every second page, cleaned in pieces", POPULATED, {
		WE(0, 1000, 2), SF(3, 17, WP), S(0, 1000), SF(500, 530, WP),
		S(0, 1000), SF(0, PAGES, WP), S(0, PAGES) } },
	{ "written again after cleaning", POPULATED, {
		W(5, 10), SF(0, 100, WP), W(7, 8), S(0, 100), SF(0, 100, WP),
		W(7, 8), W(99, 100), SF(0, 100, WP), S(0, 100) } },
	{ "reads are no writes", POPULATED, {
		R(0, PAGES), S(0, PAGES), W(3, 5), R(0, PAGES),
		SF(0, PAGES, WP), R(0, PAGES), S(0, PAGES) } },
	{ "the kernel writes", POPULATED, {
		K(510, 515), S(0, PAGES), SF(0, PAGES, WP), K(512, 513),
		SF(0, PAGES, WP), S(0, PAGES) } },
	{ "clean only what is looked at", POPULATED, {
		W(0, PAGES), SF(100, 1500, WP), S(0, PAGES) } },
	{ "clean without a vec", POPULATED, {
		WE(0, PAGES, 3), SL(100, 600, WP, 0, 0), S(0, 700),
		SL(0, PAGES, 0, 0, 0), S(0, 700) } },
	{ "no vec: max_pages is not heeded", POPULATED, {
		W(0, 64), SL(0, 64, 0, 0, 7), S(0, 64), SL(0, 64, WP, 0, 7),
		S(0, 64) } },
	{ "regions across units merge", POPULATED, {
		W(500, 530), W(1020, 1030), S(0, PAGES), S(505, 1025),
		SF(0, PAGES, WP) } },
	{ "neighbours written one by one", POPULATED, {
		W(9, 10), W(8, 9), W(11, 12), W(10, 11), S(0, 20) } },

	{ "max_pages cuts a region", POPULATED, {
		W(10, 20), SL(0, 100, 0, 8, 1), SL(0, 100, 0, 8, 9),
		SL(0, 100, 0, 8, 10), SL(0, 100, 0, 8, 11) } },
	{ "max_pages between regions", POPULATED, {
		W(10, 20), W(30, 40), SL(0, 100, 0, 8, 10),
		SL(0, 100, 0, 8, 11), SL(0, 100, 0, 8, 20),
		SL(0, 100, 0, 8, 21) } },
	{ "max_pages at the end of the range", POPULATED, {
		W(10, 20), SL(0, 20, 0, 8, 10), SL(0, 19, 0, 8, 9),
		SL(0, 20, 0, 8, 9) } },
	{ "max_pages and cleaning", POPULATED, {
		W(10, 20), SL(0, 100, WP, 8, 3), S(0, 100),
		SL(0, 100, WP, 8, 3), S(0, 100), SL(0, 100, WP, 8, 4),
		S(0, 100) } },
	{ "max_pages over a unit's border", POPULATED, {
		W(400, 700), SL(0, PAGES, WP, 8, 112), S(0, PAGES),
		SL(0, PAGES, WP, 8, 100), SL(0, PAGES, WP, 8, 100),
		S(0, PAGES) } },
	{ "vec of one", POPULATED, {
		WE(0, 40, 4), SL(0, 100, 0, 1, 0), SL(1, 100, 0, 1, 0),
		SL(36, 100, 0, 1, 0), SL(37, 100, 0, 1, 0) } },
	{ "vec just fits", POPULATED, {
		WE(0, 40, 4), SL(0, 100, 0, 10, 0), SL(0, 100, 0, 9, 0),
		SL(0, 100, 0, 11, 0), SL(0, 37, 0, 10, 0) } },
	{ "full vec and cleaning", POPULATED, {
		WE(0, 40, 4), SL(0, 100, WP, 3, 0), S(0, 100),
		SL(0, 100, WP, 3, 0), SL(0, 100, WP, 4, 0), S(0, 100) } },
	{ "full vec, last region goes on", POPULATED, {
		W(0, 4), W(8, 600), W(700, 701), SL(0, PAGES, 0, 2, 0),
		SL(0, PAGES, WP, 2, 0), S(0, PAGES) } },
	{ "vec and max_pages meet", POPULATED, {
		W(0, 4), W(8, 12), W(16, 20), SL(0, 100, 0, 2, 8),
		SL(0, 100, 0, 2, 7), SL(0, 100, 0, 2, 9),
		SL(0, 100, 0, 3, 8), SL(0, 100, WP, 2, 8), S(0, 100) } },
	{ "512 regions", POPULATED, {
		WE(0, 1024, 2), SL(0, 1024, 0, 512, 0),
		SL(0, PAGES, 0, 513, 0), SL(0, PAGES, 0, 511, 0) } },
	{ "more than 512 regions", POPULATED, {
		WE(0, PAGES, 2), SL(0, PAGES, 0, MAX_REGIONS, 0),
		SL(0, PAGES, 0, 700, 0), SL(0, PAGES, 0, 1024, 0),
		SL(0, PAGES, 0, 1023, 0), SL(0, PAGES, 0, MAX_REGIONS, 600),
		SL(0, PAGES, WP, 700, 0), SL(0, PAGES, WP, MAX_REGIONS, 0),
		S(0, PAGES) } },

	{ "all categories", POPULATED, {
		WE(0, 30, 3), SM(0, 40, 0, 0, 0, 0, COMMON),
		SM(0, 40, 0, WRITTEN, 0, 0, COMMON),
		SM(0, 40, 0, PRESENT, 0, 0, COMMON),
		SM(0, 40, 0, TRACKED, 0, 0, COMMON),
		SM(0, 40, 0, FILE_, 0, 0, COMMON),
		SM(0, 40, 0, SWAPPED, 0, 0, COMMON),
		SM(0, 40, 0, PFNZERO, 0, 0, COMMON) } },
	{ "nothing to return", POPULATED, {
		WE(0, 30, 3), SM(0, 40, 0, WRITTEN, 0, 0, 0),
		SM(0, 40, 0, 0, 0, 0, 0) } },
	{ "return other than matched", POPULATED, {
		WE(0, 30, 3), SM(0, 40, 0, WRITTEN, 0, 0, PRESENT),
		SM(0, 40, 0, PRESENT, 0, 0, WRITTEN),
		SM(0, 40, 0, 0, 0, PRESENT, TRACKED | WRITTEN) } },
	{ "inverted", POPULATED, {
		WE(0, 30, 3), SM(0, 40, 0, WRITTEN, WRITTEN, 0, COMMON),
		SM(0, 40, 0, FILE_, FILE_, 0, COMMON),
		SM(0, 40, 0, WRITTEN | FILE_, FILE_, 0, COMMON),
		SM(0, 40, 0, PRESENT, PRESENT, 0, COMMON),
		SM(0, 40, 0, TRACKED, TRACKED, 0, COMMON),
		SM(0, 40, 0, 0, WRITTEN, 0, COMMON) } },
	{ "any of", POPULATED, {
		WE(0, 30, 3), SM(0, 40, 0, 0, 0, WRITTEN, COMMON),
		SM(0, 40, 0, 0, 0, WRITTEN | FILE_, COMMON),
		SM(0, 40, 0, 0, 0, FILE_ | SWAPPED, COMMON),
		SM(0, 40, 0, 0, FILE_, FILE_ | WRITTEN, COMMON),
		SM(0, 40, 0, 0, WRITTEN, WRITTEN, COMMON) } },
	{ "mask and any of together", POPULATED, {
		WE(0, 30, 3), SM(0, 40, 0, PRESENT, 0, WRITTEN, COMMON),
		SM(0, 40, 0, WRITTEN, 0, PRESENT | FILE_, COMMON),
		SM(0, 40, 0, WRITTEN, 0, FILE_, COMMON),
		SM(0, 40, 0, WRITTEN | PRESENT, WRITTEN, PRESENT, COMMON) } },
	{ "what a pooling runtime asks", POPULATED, {
		W(3, 9), WE(20, 60, 2),
		SM(0, 512, 0, WRITTEN | PRESENT | PFNZERO | FILE_,
		   PFNZERO | FILE_, 0, 0),
		{ .op = SCAN, .to = 512,
		  .mask = WRITTEN | PRESENT | PFNZERO | FILE_,
		  .inverted = PFNZERO | FILE_, .vec_len = 8,
		  .max_pages = 16 } } },
	{ "cleaning by another category", POPULATED, {
		WE(0, 30, 3), SM(0, 20, WP, PRESENT, 0, 0, WRITTEN), S(0, 40),
		SM(0, 40, WP, TRACKED, 0, 0, COMMON), S(0, 40) } },
	{ "cleaning what does not match", POPULATED, {
		WE(0, 30, 3), SM(0, 40, WP, FILE_, 0, 0, WRITTEN), S(0, 40),
		SM(0, 40, WP, WRITTEN, WRITTEN, 0, WRITTEN), S(0, 40),
		SM(0, 40, WP, 0, 0, FILE_, WRITTEN), S(0, 40) } },

	{ "empty range", POPULATED, {
		W(0, 9), S(0, 0), S(5, 5), SF(5, 5, WP), SF(5, 5, CHECK),
		S(0, 9) } },
	{ "end within a page", POPULATED, {
		W(0, 9), SCUT(0, 5, 4095), SCUT(0, 5, 1), SCUT(0, 9, 2048),
		SCUT(0, 1, 4095) } },
	{ "holes", POPULATED, {
		WE(0, PAGES, 5), U(20, 40), U(500, 700), U(1024, 1536),
		SM(0, PAGES, 0, PRESENT, 0, 0, PRESENT), S(0, PAGES),
		S(20, 40), S(30, 50), SL(0, PAGES, 0, 9, 0),
		SL(0, PAGES, WP, 50, 60), SF(0, PAGES, WP), S(0, PAGES) } },
	{ "hole at a limit", POPULATED, {
		W(0, 10), U(10, 20), W(20, 30), SL(0, 30, 0, 1, 0),
		SL(0, 30, 0, 2, 0), SL(0, 30, 0, 2, 10), SL(0, 30, 0, 2, 11),
		SL(0, 15, 0, 1, 0) } },
	{ "holes at both ends", POPULATED, {
		U(0, 100), U(PAGES - 100, PAGES), W(100, 110), S(0, PAGES),
		S(0, 100), SF(0, PAGES, WP), S(50, 150) } },
	{ "regions do not merge over a hole", POPULATED, {
		W(0, 40), U(10, 11), S(0, 40), U(512, 1024),
		SM(0, PAGES, 0, PRESENT, 0, 0, PRESENT) } },
	{ "regions merge over a change of protection", POPULATED, {
		W(0, 40), RO(10, 20), S(0, 40), BACK(10, 20), S(0, 40) } },
	{ "written, then protected", POPULATED, {
		W(5, 15), RO(10, 20), S(0, 40), SF(0, 40, WP), S(0, 40),
		BACK(10, 20), S(0, 40), W(12, 13), S(0, 40) } },
	{ "protected, cleaned, given back, written", POPULATED, {
		W(0, 20), RO(0, PAGES), SF(0, PAGES, WP), BACK(0, PAGES),
		S(0, PAGES), W(600, 601), W(3, 4), S(0, PAGES) } },
	{ "no access", POPULATED, {
		W(5, 15), NONE(10, 20), S(0, 40), SF(0, 40, WP), S(0, 40),
		BACK(10, 20), R(0, 40), S(0, 40), W(14, 16), S(0, 40) } },
	{ "protect whole units and back", POPULATED, {
		WE(0, PAGES, 7), RO(512, 1024), NONE(1024, 1536),
		SF(0, PAGES, WP), BACK(512, 1536), W(1000, 1100),
		S(0, PAGES) } },
	{ "discarded and written", POPULATED, {
		D(5, 15), S(0, 40), SF(0, 40, WP), S(0, 40), D(8, 9),
		S(0, 40) } },

	{ "dropped", POPULATED, {
		DROP(512, 1024), S(0, PAGES), S(600, 700), SF(0, PAGES, WP),
		S(0, PAGES), W(600, 601), S(0, PAGES), SF(0, PAGES, WP),
		S(0, PAGES) } },
	{ "dropped, all of it", POPULATED, {
		DROP(0, PAGES), S(0, PAGES), SF(0, PAGES, WP | CHECK),
		SF(0, PAGES, WP | CHECK), WE(0, PAGES, 50), S(0, PAGES) } },
	{ "dropped, told in pieces", POPULATED, {
		DROP(512, 1536), SF(600, 700, WP), S(0, PAGES),
		SL(0, PAGES, WP, MAX_REGIONS, 100), S(0, PAGES),
		SL(0, PAGES, WP, 1, 0), S(0, PAGES),
		SL(0, PAGES, WP, MAX_REGIONS, 400), S(0, PAGES),
		SF(0, PAGES, WP), S(0, PAGES) } },
	{ "dropped, told in pieces, and written", POPULATED, {
		DROP(512, 1024), SF(600, 700, WP), W(650, 651), S(0, PAGES),
		W(900, 910), S(0, PAGES), SF(610, PAGES, WP), S(0, PAGES),
		SF(0, PAGES, WP), S(0, PAGES) } },
	{ "dropped and read", POPULATED, {
		DROP(0, 1024), SF(0, 500, WP), R(0, 1), R(512, 513),
		S(0, PAGES), SF(0, PAGES, WP), S(0, PAGES) } },
	{ "dropped again and again", POPULATED, {
		DROP(0, 512), SF(0, 512, WP), DROP(0, 1024), W(3, 4),
		DROP(0, 512), S(0, PAGES), SF(0, PAGES, WP), S(0, PAGES) } },
	{ "dropped without a vec", POPULATED, {
		DROP(512, 1024), SL(500, 600, WP, 0, 0), S(0, PAGES),
		SL(0, PAGES, WP, 0, 0), S(0, PAGES) } },
	{ "dropped, protected", POPULATED, {
		RO(0, 100), DROP(100, PAGES), S(0, PAGES), DROP(0, 100),
		SF(0, PAGES, WP), BACK(0, 100), W(5, 6), S(0, PAGES) } },
	{ "written, then dropped", POPULATED, {
		W(0, 20), WE(600, 700, 3), DROP(512, 1024), S(0, PAGES),
		SF(0, PAGES, WP), S(0, PAGES) } },
	{ "tracked before use, dropped", EMPTY, {
		W(5, 6), W(600, 601), DROP(512, 1024), S(0, 1024),
		SF(0, 1024, WP), S(0, 1024) } },

	{ "tracked before use", EMPTY, {
		S(0, PAGES), W(3, 4), S(0, PAGES), W(1000, 1010), S(0, PAGES),
		SF(0, PAGES, WP), S(0, PAGES) } },
	{ "tracked before use, read first", EMPTY, {
		R(0, 600), S(0, PAGES), W(500, 501), R(1500, 1501),
		W(1501, 1502), S(0, PAGES) } },
	{ "tracked before use, every second", EMPTY, {
		WE(0, 1200, 2), S(0, PAGES), SF(0, 700, WP), WE(0, 900, 3),
		S(0, PAGES), SF(0, PAGES, WP), S(0, PAGES) } },
	{ "tracked before use, limits", EMPTY, {
		W(10, 20), W(600, 700), SL(0, PAGES, WP, 1, 0),
		SL(0, PAGES, WP, 4, 5), S(0, PAGES), SL(0, PAGES, 0, 4, 95),
		SL(0, PAGES, 0, 4, 96) } },
	{ "tracked before use, the kernel writes", EMPTY, {
		K(511, 513), S(0, PAGES), R(0, PAGES), K(0, 1), S(0, PAGES) } },
	{ "tracked before use, protected", EMPTY, {
		W(1, 2), RO(0, 512), R(0, 512), SF(0, 512, WP), BACK(0, 512),
		W(9, 11), S(0, PAGES), NONE(512, 700), BACK(512, 700),
		W(600, 601), S(0, PAGES) } },
	{ "tracked before use, holes", EMPTY, {
		U(100, 200), W(90, 100), W(200, 210), S(0, PAGES), U(512, 1024),
		W(1024, 1030), S(0, PAGES), SF(0, PAGES, WP), S(0, PAGES) } },

	{ "never tracked", UNTRACKED, {
		SM(0, PAGES, 0, 0, 0, 0, WRITTEN | PRESENT | TRACKED),
		S(0, PAGES), S(100, 600), SL(0, PAGES, 0, 4, 100),
		SM(0, PAGES, 0, TRACKED, 0, 0, WRITTEN),
		SM(0, PAGES, 0, TRACKED, TRACKED, 0, WRITTEN) } },
	{ "never tracked, and must be", UNTRACKED, {
		SF(0, PAGES, CHECK), SF(0, PAGES, CHECK | WP), SF(7, 8, CHECK),
		SF(0, 0, CHECK), S(0, PAGES) } },
};

/* One of the two memories. */
struct side {
	const char *name;
	int fd;
	char *mem;
	int uffd;	/* -1: som */
	struct page_region *vec;
	long ret;
	__u64 walk_end;
};

static void make_side(struct __test_metadata *_metadata, struct side *s,
		      enum start start)
{
	/* Where no scan has been before. */
	if (s->uffd < 0)
		s->mem = som_map_at(s->fd, som_room(PAGES * PAGE, UNIT),
				    PAGES * PAGE, RW, MAP_FIXED);
	else if (start == UNTRACKED)
		s->mem = mmap(NULL, PAGES * PAGE, RW,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else
		s->mem = oracle_map_at(s->uffd, NULL, PAGES * PAGE, 0);
	ASSERT_NE(MAP_FAILED, s->mem);
	madvise(s->mem, PAGES * PAGE, MADV_NOHUGEPAGE);
	if (start != EMPTY)
		som_fill_pages(s->mem, PAGES * PAGE, 1);
	if (start != UNTRACKED)
		ASSERT_EQ(0, som_scan_clean(s->fd, s->mem, PAGES * PAGE))
			TH_LOG("%s", s->name);
}

static void scan_step(struct side *s, const struct step *step)
{
	struct pm_scan_arg arg;

	memset(s->vec, 0xee, MAX_REGIONS * sizeof(*s->vec));
	arg = som_scan_args(s->mem + step->from * PAGE,
			    (step->to - step->from) * PAGE - step->cut,
			    step->vec_len ? s->vec : NULL, step->vec_len);
	arg.flags = step->flags;
	arg.max_pages = step->max_pages;
	arg.category_mask = step->mask;
	arg.category_inverted = step->inverted;
	arg.category_anyof_mask = step->anyof;
	arg.return_mask = step->ret_mask;
	s->ret = som_scan_call(s->fd, &arg);
	s->walk_end = arg.walk_end - som_addr(s->mem);
}

/* Everything but a scan. Return: whether it worked. */
static bool do_step(struct side *s, const struct step *step)
{
	char *from = s->mem + step->from * PAGE, *to = s->mem + step->to * PAGE;
	static int zero = -1;
	char *p;

	switch (step->op) {
	case PROTECT:
		return !mprotect(from, to - from, step->prot);
	case UNMAP:
		return !munmap(from, to - from);
	case DISCARD:
	case DROP:
		if (madvise(from, to - from, s->uffd < 0 ? MADV_REMOVE :
							  MADV_DONTNEED))
			return false;
		if (step->op == DROP)
			return true;
		break;
	default:
		break;
	}
	for (p = from; p < to; p += step->every * PAGE) {
		__u64 *w = (__u64 *)(p + 8);

		switch (step->op) {
		case READ:
			READ_ONCE(*w);
			break;
		case SYSCALL:
			if (zero < 0)
				zero = open("/dev/zero", O_RDONLY);
			if (read(zero, w, 1) != 1)
				return false;
			break;
		default:
			WRITE_ONCE(*w, *w + 1);
			break;
		}
	}
	return true;
}

static void log_answer(struct __test_metadata *_metadata, const struct side *s)
{
	long i;

	TH_LOG("%8s: %ld, walk_end %#lx", s->name, s->ret,
	       (unsigned long)s->walk_end / PAGE);
	for (i = 0; i < s->ret && i < 12; i++)
		TH_LOG("%8s  [%#lx, %#lx) %#lx", s->name,
		       (unsigned long)(s->vec[i].start - som_addr(s->mem)) / PAGE,
		       (unsigned long)(s->vec[i].end - som_addr(s->mem)) / PAGE,
		       (unsigned long)s->vec[i].categories);
}

static bool same_answer(const struct side *a, const struct side *b)
{
	long i;

	if (a->ret != b->ret)
		return false;
	if (a->ret < 0)
		return true;
	if (a->ret <= STALE_REGIONS && a->walk_end != b->walk_end)
		return false;
	for (i = 0; i < a->ret; i++) {
		if (a->vec[i].start - som_addr(a->mem) !=
		    b->vec[i].start - som_addr(b->mem) ||
		    a->vec[i].end - som_addr(a->mem) !=
		    b->vec[i].end - som_addr(b->mem) ||
		    a->vec[i].categories != b->vec[i].categories)
			return false;
	}
	return true;
}

/* Return: whether both behaved the same. */
static bool run_case(struct __test_metadata *_metadata, struct side sides[2],
		     const char *name, enum start start,
		     const struct step *steps, int nr)
{
	bool same = true;
	int i;

	make_side(_metadata, &sides[0], start);
	make_side(_metadata, &sides[1], start);
	for (i = 0; i < nr && steps[i].op != END && same; i++) {
		if (steps[i].op == SCAN) {
			scan_step(&sides[0], &steps[i]);
			scan_step(&sides[1], &steps[i]);
			same = same_answer(&sides[0], &sides[1]);
		} else {
			same = do_step(&sides[0], &steps[i]) &&
				do_step(&sides[1], &steps[i]);
		}
		if (!same) {
			TH_LOG("%s, step %d: op %d [%#x, %#x) flags %#lx",
			       name, i, steps[i].op, steps[i].from,
			       steps[i].to, (unsigned long)steps[i].flags);
			TH_LOG("mask %#lx inverted %#lx anyof %#lx return %#lx",
			       (unsigned long)steps[i].mask,
			       (unsigned long)steps[i].inverted,
			       (unsigned long)steps[i].anyof,
			       (unsigned long)steps[i].ret_mask);
			TH_LOG("vec_len %u max_pages %u", steps[i].vec_len,
			       steps[i].max_pages);
			if (steps[i].op == SCAN) {
				log_answer(_metadata, &sides[0]);
				log_answer(_metadata, &sides[1]);
			}
		}
	}
	munmap(sides[0].mem, PAGES * PAGE);
	munmap(sides[1].mem, PAGES * PAGE);
	return same;
}

/* SOM_ORACLE_ONLY=1 asks the oracle twice, where there is no som scan. */
static bool open_sides(struct side sides[2], int som_fd)
{
	size_t size = MAX_REGIONS * sizeof(struct page_region);
	int uffd = oracle_open();

	if (uffd < 0)
		return false;
	sides[0].name = "pagemap";
	sides[0].fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	sides[0].uffd = uffd;
	sides[0].vec = malloc(size);
	sides[1].name = "som";
	sides[1].fd = som_fd;
	sides[1].uffd = -1;
	if (getenv("SOM_ORACLE_ONLY"))
		sides[1] = sides[0];
	sides[1].vec = malloc(size);
	return sides[0].fd >= 0;
}

TEST_F(som, table)
{
	struct side sides[2];
	/* The cloud kernel has another way of tracking. */
	size_t i, step = som_debug_kernel() ? som_stride() : 1;

	if (!open_sides(sides, self->fd))
		SKIP(return, "no userfaultfd with asynchronous write protection");
	for (i = 0; i < ARRAY_SIZE(cases); i += step)
		EXPECT_TRUE(run_case(_metadata, sides, cases[i].name,
				     cases[i].start, cases[i].steps, MAX_STEPS));
	TH_LOG("%zu cases", i / step);
}

/*
 * Random steps: the same generator of cases, both memories.
 */

static __u64 some_of(struct som_random *r, __u64 set)
{
	switch (som_below(r, 4)) {
	case 0:
		return 0;
	case 1:
		return set & som_random(r);
	default:
		return set & som_random(r) & som_random(r);
	}
}

static void random_range(struct som_random *r, struct step *s)
{
	unsigned int len = som_small(r, PAGES);

	s->from = som_below(r, PAGES - len + 1);
	s->to = s->from + len;
	if (som_one_in(r, 4)) {
		s->from &= ~(UNIT_PAGES - 1);
		if (som_one_in(r, 2))
			s->to = PAGES;
	}
}

static void random_scan(struct som_random *r, struct step *s, enum start start)
{
	__u64 usable = start == POPULATED ? COMMON :
		WRITTEN | TRACKED | FILE_;

	s->op = SCAN;
	if (som_one_in(r, 3)) {
		s->from = 0;
		s->to = PAGES;
	}
	s->flags = som_one_in(r, 2) ? WP : 0;
	if (som_one_in(r, 4))
		s->flags |= CHECK;
	s->vec_len = MAX_REGIONS;
	if (som_one_in(r, 2))
		s->vec_len = som_below(r, 20);
	s->max_pages = som_one_in(r, 2) ? som_small(r, 600) : 0;
	s->mask = WRITTEN;
	s->ret_mask = WRITTEN;
	/* Without a vec the kernel cleans what does not match, too. */
	if (!s->vec_len || som_one_in(r, 3))
		return;
	s->mask = some_of(r, usable);
	s->inverted = some_of(r, usable);
	s->anyof = som_one_in(r, 2) ? some_of(r, usable) : 0;
	s->ret_mask = some_of(r, usable);
}

/* Return: steps made, at most @max. */
static int random_steps(struct som_random *r, struct step *steps, int max,
			enum start start)
{
	bool holes = som_one_in(r, 4);
	int n = 0;

	memset(steps, 0, max * sizeof(*steps));
	while (n + 3 <= max) {
		struct step *s = &steps[n++];

		random_range(r, s);
		s->every = 1 + som_below(r, 3) * som_below(r, 4);
		/* Behind a hole there are only scans: nothing touches it. */
		switch (holes && n >= max / 2 ? 0 : 1 + som_below(r, 11)) {
		case 0:
			if (n == max / 2)
				s->op = UNMAP;
			else
				random_scan(r, s, start);
			break;
		case 1:
			s->op = READ;
			break;
		case 2:
			s->op = SYSCALL;
			break;
		case 3:
			/* Read only, a scan, and back. */
			s->op = PROTECT;
			s->prot = PROT_READ;
			random_range(r, &steps[n]);
			random_scan(r, &steps[n++], start);
			steps[n] = *s;
			steps[n++].prot = RW;
			break;
		case 4:
		case 5:
		case 6:
			s->op = WRITE;
			break;
		default:
			random_scan(r, s, start);
			break;
		}
	}
	return n;
}

TEST_F_TIMEOUT(som, random_cases, 300)
{
	double end = som_now() + som_seconds(3, 2);
	__u64 seed = som_seed();
	struct som_random r = { seed };
	struct step steps[40];
	struct side sides[2];
	enum start start;
	char name[80];
	long done;
	int n;

	if (!open_sides(sides, self->fd))
		SKIP(return, "no userfaultfd with asynchronous write protection");
	TH_LOG("SOM_SEED=%llu", seed);
	for (done = 0; som_now() < end; done++) {
		start = som_one_in(&r, 2) ? POPULATED : EMPTY;
		snprintf(name, sizeof(name), "SOM_SEED=%llu, number %ld, %s",
			 seed, done, start == EMPTY ? "empty" : "populated");
		n = random_steps(&r, steps, ARRAY_SIZE(steps), start);
		ASSERT_TRUE(run_case(_metadata, sides, name, start, steps, n));
	}
	TH_LOG("%ld cases", done);
}

/*
 * Wrong arguments, one at a time
 */

enum how { KEEP, SET, ADD };

struct change {
	enum how how;
	size_t field;
	__u64 value;
};

#define SET_(f, v)	{ SET, offsetof(struct pm_scan_arg, f), v }
#define ADD_(f, v)	{ ADD, offsetof(struct pm_scan_arg, f), v }

#define KERNEL_ADDR	(~(~0ULL >> 1))

/* Where several are wrong, the first one counts, in the kernel's order. */
static const struct wrong {
	const char *name;
	int error;
	struct change changes[8];
} wrong[] = {
	{ "nothing wrong", 0, { SET_(max_pages, 0) } },
	{ "size 0", EINVAL, { SET_(size, 0) } },
	{ "size 95", EINVAL, { ADD_(size, -1) } },
	{ "size 97", EINVAL, { ADD_(size, 1) } },
	{ "size 192", EINVAL, { SET_(size, 192) } },
	{ "flag 4", EINVAL, { SET_(flags, 4) } },
	{ "flag 1 << 63", EINVAL, { SET_(flags, 1ULL << 63) } },
	{ "inverted 256", EINVAL, { ADD_(category_inverted, 256) } },
	{ "mask 256", EINVAL, { ADD_(category_mask, 256) } },
	{ "any of 256", EINVAL, { ADD_(category_anyof_mask, 256) } },
	{ "return 256", EINVAL, { ADD_(return_mask, 256) } },
	{ "return 1 << 62", EINVAL, { ADD_(return_mask, 1ULL << 62) } },
	{ "start not aligned", EINVAL, { ADD_(start, 1) } },
	{ "start at half a page", EINVAL, { ADD_(start, 2048) } },
	{ "no vec", EINVAL, { SET_(vec, 0) } },
	{ "vec in the kernel", EFAULT, { SET_(vec, KERNEL_ADDR) } },
	{ "vec_len overflows", EFAULT, { SET_(vec_len, ~0ULL) } },
	{ "vec reaches the kernel", EFAULT, { SET_(vec_len, 1ULL << 45) } },
	{ "end below start", EFAULT, { ADD_(end, -101 * PAGE) } },
	{ "end in the kernel", EFAULT, { SET_(end, KERNEL_ADDR) } },
	{ "range in the kernel", EFAULT, { SET_(start, KERNEL_ADDR),
		SET_(end, KERNEL_ADDR + PAGE) } },
	{ "vec not mapped", EFAULT, { SET_(vec, PAGE) } },
	{ "vec not mapped, but not needed", 0, { SET_(vec, PAGE),
		SET_(category_mask, FILE_) } },
	{ "vec at an odd address", 0, { ADD_(vec, 3), ADD_(vec_len, -1) } },
	{ "probe", 0, { SET_(start, 0), SET_(end, 0), SET_(max_pages, 1),
		SET_(category_mask, KERNEL_CATEGORIES),
		SET_(category_anyof_mask, KERNEL_CATEGORIES),
		SET_(category_inverted, KERNEL_CATEGORIES),
		SET_(return_mask, KERNEL_CATEGORIES) } },
	{ "size and start", EINVAL, { ADD_(size, 1), SET_(end, KERNEL_ADDR) } },
	{ "start and range", EINVAL, { ADD_(start, 1), SET_(end, 0) } },
	{ "range and vec", EFAULT, { SET_(end, 0), SET_(vec, 0) } },
	{ "flag and vec", EINVAL, { SET_(flags, 4), SET_(vec, KERNEL_ADDR) } },
};

static void change_args(const struct wrong *w, struct pm_scan_arg *arg)
{
	const struct change *c;
	__u64 *field;

	for (c = w->changes; c->how != KEEP; c++) {
		field = (__u64 *)((char *)arg + c->field);
		*field = c->value + (c->how == ADD ? *field : 0);
	}
}

TEST_F(som, arguments)
{
	struct side sides[2];
	struct pm_scan_arg arg, after;
	long ret[2];
	size_t i;
	int s;

	if (!open_sides(sides, self->fd))
		SKIP(return, "no userfaultfd with asynchronous write protection");
	for (s = 0; s < 2; s++) {
		make_side(_metadata, &sides[s], POPULATED);
		som_fill_pages(sides[s].mem + 9 * PAGE, 2 * PAGE, 2);
	}
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		for (s = 0; s < 2; s++) {
			arg = som_scan_args(sides[s].mem, 100 * PAGE,
					    sides[s].vec, 10);
			arg.category_mask = WRITTEN;
			arg.return_mask = WRITTEN;
			change_args(&wrong[i], &arg);
			after = arg;
			ret[s] = som_scan_call(sides[s].fd, &after);
			if (ret[s] < 0)
				EXPECT_EQ(-wrong[i].error, ret[s])
					TH_LOG("%s: %s", sides[s].name,
					       wrong[i].name);
			/* Only walk_end is ever written. */
			if (ret[s] == -EINVAL)
				EXPECT_EQ(arg.walk_end, after.walk_end);
			after.walk_end = arg.walk_end;
			EXPECT_EQ(0, memcmp(&arg, &after, sizeof(arg)))
				TH_LOG("%s: %s", sides[s].name, wrong[i].name);
		}
		EXPECT_EQ(ret[0], ret[1])
			TH_LOG("%s", wrong[i].name);
	}
	for (s = 0; s < 2; s++)
		EXPECT_EQ(-EFAULT, ioctl(sides[s].fd, PAGEMAP_SCAN, 8) ?
			  -errno : 0);
}

TEST_HARNESS_MAIN
