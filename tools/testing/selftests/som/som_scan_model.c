// SPDX-License-Identifier: GPL-2.0
/*
 * Random steps against a model in user space: writes, reads, scans with random
 * masks and limits, resets, MADV_REMOVE, MADV_DONTNEED, mprotect, mmap, munmap,
 * mremap with moves and duplicates. The model knows what every scan must
 * report and what every byte must be.
 *
 * SOM_SEED=N repeats a run, SOM_MODEL_STEPS=N says how long it is; without, it
 * runs for a time that the kernel can afford.
 *
 * SOM-TEST: timeout=900 takes=12
 */
#include "som_scan.h"

static bool som_one_process = true;

#define ROOM_UNITS	6
#define PAGES		(ROOM_UNITS * UNIT_PAGES)
/* Where a page's content is; the rest of it is zero. */
#define WORD		0x7f8

/* GONE: had other memory before, and is zero: a reset to zero has nothing to do. */
enum maybe { NO, YES, MAYBE, GONE };

/* A unit of memory, by the offset that the driver gave it. */
struct unit {
	bool present;
	/* Pages may be written without memory: they had some, and are zero now. */
	bool tracked;
	/* Duplicated: a scan may tell more, never less. */
	bool fuzzy;
	unsigned int mappings;
	char written[UNIT_PAGES];
	__u64 value[UNIT_PAGES];
};

/* A page of the address space. */
struct page {
	struct unit *unit;	/* NULL: not mapped */
	unsigned int idx;
	int prot;
	bool split;		/* a VMA may start here */
	bool anew;		/* mapped where a scan had been: written until told */
};

struct model {
	struct __test_metadata *_metadata;
	struct som_random rnd;
	__u64 seed, step, trace;
	int fd, mem, pipe[2];
	char *room, *image;
	struct page pages[PAGES];
	bool seen[PAGES];	/* by a scan with WP */
	bool known;		/* something was mapped: the driver notes that */
	__u64 counter;
	long count[16];
	bool failed;
	bool quiet;		/* only scans, of everything */
};

/* Says what is wrong, and is false. */
#define wrong(m, fmt, ...) ({						\
	struct model *__m = (m);					\
	struct __test_metadata *_metadata = __m->_metadata;		\
									\
	TH_LOG("SOM_SEED=%llu, step %llu: " fmt " (errno %d)",		\
	       __m->seed, __m->step, ##__VA_ARGS__, errno);		\
	__m->failed = true;						\
	false;								\
})

/* SOM_MODEL_TRACE=N: what happens from step N on. */
#define trace(m, fmt, ...) do {						\
	struct model *__m = (m);					\
	struct __test_metadata *_metadata = __m->_metadata;		\
									\
	if (__m->step >= __m->trace)					\
		TH_LOG("step %llu: " fmt, __m->step, ##__VA_ARGS__);	\
} while (0)

static char *address(struct model *m, size_t page)
{
	return m->room + page * PAGE;
}

static __u64 *word(struct model *m, size_t page)
{
	return (__u64 *)(address(m, page) + WORD);
}

static __u64 *image_word(struct model *m, size_t page)
{
	return (__u64 *)(m->image + page * PAGE + WORD);
}

static enum maybe page_written(const struct page *p)
{
	if (p->unit->tracked)
		return p->unit->written[p->idx] == GONE ? YES :
			p->unit->written[p->idx];
	return p->unit->present || p->anew ? YES : NO;
}

/* To be rewritten by a reset? */
static enum maybe page_differs(const struct page *p, bool image)
{
	if (p->unit->tracked && p->unit->written[p->idx] == GONE &&
	    (!image || !p->unit->present))
		return NO;
	if (!p->unit->tracked && !p->unit->present)
		return NO;
	return page_written(p);
}

static void mark_written(struct page *p)
{
	p->unit->written[p->idx] = YES;
}

static void mark_clean(struct page *p)
{
	p->unit->written[p->idx] = p->unit->fuzzy ? MAYBE : NO;
}

/* From now on tracked: what is there, and what was mapped anew, counts as written. */
static void start_tracking(struct model *m, struct unit *u)
{
	size_t i;

	if (u->tracked)
		return;
	u->tracked = true;
	memset(u->written, u->present ? YES : NO, sizeof(u->written));
	for (i = 0; i < PAGES && !u->present; i++)
		if (m->pages[i].unit == u && m->pages[i].anew)
			u->written[m->pages[i].idx] = GONE;
}

static void populate(struct unit *u)
{
	size_t i;

	if (u->present)
		return;
	u->present = true;
	memset(u->value, 0, sizeof(u->value));
	for (i = 0; i < UNIT_PAGES && u->fuzzy; i++)
		if (u->written[i] == NO)
			u->written[i] = MAYBE;
}

/* What it had is written until it was told. */
static void unit_gone(struct unit *u)
{
	u->present = false;
	memset(u->value, 0, sizeof(u->value));
	memset(u->written, u->tracked ? GONE : NO, sizeof(u->written));
}

static void drop_page(struct page *p)
{
	struct unit *u = p->unit;

	p->unit = NULL;
	if (u && !--u->mappings)
		free(u);
}

/* A random range; usually small, sometimes of whole units. */
static size_t random_range(struct model *m, size_t *len)
{
	size_t from;

	*len = som_small(&m->rnd, PAGES);
	from = som_below(&m->rnd, PAGES - *len + 1);
	if (som_one_in(&m->rnd, 4)) {
		from &= ~(UNIT_PAGES - 1);
		*len = (*len + UNIT_PAGES - 1) & ~(UNIT_PAGES - 1);
	}
	return from;
}

/* A range of one VMA, for sure. Return: whether there is one. */
static bool random_run(struct model *m, size_t *from, size_t *len)
{
	size_t max, i;

	*from = random_range(m, &max);
	if (!m->pages[*from].unit)
		return false;
	for (i = 1; i < max; i++)
		if (!m->pages[*from + i].unit || m->pages[*from + i].split)
			break;
	*len = i;
	return true;
}

static void set_split(struct model *m, size_t page)
{
	if (page < PAGES)
		m->pages[page].split = true;
}

/* What is there now that nobody can know. */
static __u64 peek(struct model *m, size_t page)
{
	__u64 value = 0xdeadbeef;

	if (pread(m->mem, &value, 8, som_addr(word(m, page))) != 8)
		wrong(m, "page %#zx cannot be read", page);
	return value;
}

/*
 * After something that may have ended or started tracking, or freed a unit: the
 * driver says which, as far as it has a choice.
 */
static bool learn_unit(struct model *m, size_t page)
{
	struct unit *u = m->pages[page].unit;
	__u64 c = som_scan_page(m->fd, address(m, page), PRESENT | TRACKED);
	size_t i;

	if (c & ~(PRESENT | TRACKED))
		return wrong(m, "page %#zx: a scan says %#llx", page, c);
	if (u->present && !(c & PRESENT)) {
		for (i = 0; i < PAGES; i++) {
			struct page *p = &m->pages[i];

			if (p->unit == u && u->value[p->idx])
				return wrong(m, "page %#zx has lost its data",
					     i);
		}
		if (u->tracked && !(c & TRACKED))
			return wrong(m, "page %#zx is not tracked any more", page);
		unit_gone(u);
		u->tracked = c & TRACKED && (u->tracked || !m->pages[page].anew);
		return true;
	}
	if (!u->present && c & PRESENT)
		return wrong(m, "page %#zx is there already", page);
	/* Of these it is told anyway, and makes no difference until they are told. */
	if (m->pages[page].anew && !u->tracked)
		return c & TRACKED || wrong(m, "page %#zx was mapped anew", page);
	if (c & TRACKED)
		start_tracking(m, u);
	u->tracked = c & TRACKED;
	return true;
}

/* The driver and the model begin anew: all is tracked, clean, and seen. */
static bool clean_all(struct model *m)
{
	size_t i;

	trace(m, "clean all%s", "");
	if (som_scan_clean(m->fd, m->room, PAGES * PAGE))
		return wrong(m, "cleaning all");
	for (i = 0; i < PAGES; i++) {
		struct unit *u = m->pages[i].unit;

		m->seen[i] = m->known;
		if (!u)
			continue;
		u->tracked = true;
		memset(u->written, u->fuzzy ? MAYBE : NO, sizeof(u->written));
	}
	return true;
}

/*
 * Steps
 */

static bool do_write(struct model *m)
{
	size_t len, from = random_range(m, &len), i;
	size_t every = 1 + som_small(&m->rnd, 40) * som_below(&m->rnd, 2);
	bool by_kernel = som_one_in(&m->rnd, 8);

	trace(m, "write %#zx + %#zx, every %zu%s", from, len, every,
	      by_kernel ? ", by the kernel" : "");
	for (i = from; i < from + len; i += every) {
		struct page *p = &m->pages[i];
		__u64 value = som_one_in(&m->rnd, 4) ? 0 : ++m->counter;

		if (!p->unit || !(p->prot & PROT_WRITE))
			continue;
		populate(p->unit);
		p->unit->value[p->idx] = value;
		mark_written(p);
		if (!by_kernel) {
			WRITE_ONCE(*word(m, i), value);
		} else if (write(m->pipe[1], &value, 8) != 8 ||
			   read(m->pipe[0], word(m, i), 8) != 8) {
			return wrong(m, "the kernel cannot write page %#zx", i);
		}
	}
	return true;
}

static bool check_value(struct model *m, size_t page)
{
	struct page *p = &m->pages[page];
	__u64 value = READ_ONCE(*word(m, page));

	populate(p->unit);
	if (value != p->unit->value[p->idx])
		return wrong(m, "page %#zx: %#llx instead of %#llx", page,
			     value, p->unit->value[p->idx]);
	return true;
}

static bool do_read(struct model *m)
{
	size_t len, from = random_range(m, &len), i;

	trace(m, "read %#zx + %#zx", from, len);
	for (i = from; i < from + len; i++)
		if (m->pages[i].unit && m->pages[i].prot & PROT_READ &&
		    !check_value(m, i))
			return false;
	return true;
}

/* What a scan may say of a page. @unknown: bits that may be either. */
static __u64 page_categories(const struct page *p, bool starts, __u64 *unknown)
{
	struct unit *u = p->unit;
	__u64 c = 0;

	*unknown = 0;
	/* By the very scan that starts tracking it: before or after. */
	if (p->anew || (u->tracked && !starts))
		c |= TRACKED;
	else if (starts)
		*unknown |= TRACKED;
	c |= u->present ? PRESENT : ZERO;
	if (u->present)
		*unknown |= HUGE_2M;
	switch (page_written(p)) {
	case YES:
		c |= WRITTEN;
		break;
	case MAYBE:
		*unknown |= WRITTEN;
		break;
	default:
		break;
	}
	if (!u->value[p->idx])
		c |= ZERO;
	return c;
}

static bool matches(const struct pm_scan_arg *a, __u64 c)
{
	c ^= a->category_inverted;
	return (c & a->category_mask) == a->category_mask &&
		(!a->category_anyof_mask || c & a->category_anyof_mask);
}

/* Does a page match? */
static enum maybe page_matches(const struct pm_scan_arg *a, __u64 c, __u64 unknown)
{
	bool can = false, must = true;
	__u64 bits;

	unknown &= a->category_mask | a->category_anyof_mask;
	c &= ~unknown;
	if (!unknown)
		return matches(a, c) ? YES : NO;
	/* All subsets of the unknown bits. */
	bits = 0;
	do {
		if (matches(a, c | bits))
			can = true;
		else
			must = false;
		bits = (bits - unknown) & unknown;
	} while (bits);
	return must ? YES : can ? MAYBE : NO;
}

/* Regions are in order, inside the range, and as few as can be. */
static bool check_regions(struct model *m, const struct pm_scan_arg *a,
			  const struct page_region *vec, long nr)
{
	__u64 behind = a->start, pages = 0;
	long i;

	for (i = 0; i < nr; i++) {
		if (vec[i].start < behind || vec[i].end <= vec[i].start ||
		    vec[i].start % PAGE || vec[i].end % PAGE ||
		    vec[i].end > a->walk_end ||
		    vec[i].categories & ~a->return_mask)
			return wrong(m, "region %ld: %#llx %#llx %#llx", i,
				     vec[i].start, vec[i].end,
				     vec[i].categories);
		if (i && vec[i].start == vec[i - 1].end &&
		    vec[i].categories == vec[i - 1].categories)
			return wrong(m, "regions %ld and %ld should be one",
				     i - 1, i);
		behind = vec[i].end;
		pages += (vec[i].end - vec[i].start) / PAGE;
	}
	if (nr > (long)a->vec_len)
		return wrong(m, "%ld regions for %llu", nr, a->vec_len);
	if (!a->vec_len)
		return a->walk_end == a->end ||
			wrong(m, "stopped without a vec");
	if (a->max_pages && pages > a->max_pages)
		return wrong(m, "%llu pages for %llu", pages, a->max_pages);
	if (a->walk_end != a->end && nr < (long)a->vec_len &&
	    (!a->max_pages || pages < a->max_pages))
		return wrong(m, "stopped early: %ld of %llu, %llu of %llu", nr,
			     a->vec_len, pages, a->max_pages);
	return true;
}

static bool check_scan(struct model *m, const struct pm_scan_arg *a,
		       const struct page_region *vec, long nr)
{
	bool wp = a->flags & WP;
	size_t from = (a->start - som_addr(m->room)) / PAGE;
	size_t stop = (a->walk_end - som_addr(m->room)) / PAGE;
	size_t to = (a->end - som_addr(m->room)) / PAGE, i;
	bool news[PAGES] = {};
	long next = 0;

	for (i = from; wp && i < to; i++)
		news[i] = m->pages[i].unit && !m->pages[i].unit->tracked;
	for (i = from; i < stop; i++) {
		struct page *p = &m->pages[i];
		__u64 addr = som_addr(address(m, i)), c, unknown;
		enum maybe match = NO;
		bool told;

		if (next < nr && addr == vec[next].end)
			next++;
		told = next < nr && addr >= vec[next].start;
		if (!p->unit) {
			if (told)
				return wrong(m, "page %#zx is not mapped", i);
			continue;
		}
		c = page_categories(p, news[i], &unknown);
		match = page_matches(a, c, unknown);
		if (!a->vec_len) {
			told = match != NO;
		} else if (told) {
			if (match == NO ||
			    (vec[next].categories ^ c) & a->return_mask &
			    ~unknown)
				return wrong(m,
					     "page %#zx is told as %#llx, is %#llx or %#llx",
					     i, vec[next].categories, c,
					     c | unknown);
		} else if (match == YES) {
			return wrong(m, "page %#zx is not told, is %#llx", i,
				     c);
		}
		if (wp && (told || p->unit->present || !p->anew)) {
			start_tracking(m, p->unit);
			if (told && page_written(p) != NO)
				mark_clean(p);
		}
	}
	for (i = from; wp && i < stop; i++)
		m->seen[i] = m->known;
	if (stop < to) {
		struct page *p = &m->pages[stop];
		__u64 c, unknown;

		if (!p->unit)
			return wrong(m, "stopped where nothing is");
		c = page_categories(p, news[stop], &unknown);
		if (page_matches(a, c, unknown) == NO)
			return wrong(m, "stopped at page %#zx, is %#llx", stop,
				     c);
	}
	/* What was not reached may be tracked, too. */
	for (i = from; wp && i < to; i++)
		if (news[i] && (i == from || m->pages[i].unit !=
				m->pages[i - 1].unit || i == stop)) {
			struct unit *u = m->pages[i].unit;

			if (!learn_unit(m, i))
				return false;
			/* Not if it stopped inside, where nothing is yet. */
			if (i < stop && !u->tracked && !m->pages[i].anew &&
			    (u->present || stop == to ||
			     u != m->pages[stop].unit))
				return wrong(m, "page %#zx is not tracked", i);
		}
	return true;
}

static __u64 some_of(struct model *m, __u64 set)
{
	return set & som_random(&m->rnd) & som_random(&m->rnd) &
		(som_one_in(&m->rnd, 2) ? ~0ULL : som_random(&m->rnd));
}

static bool do_scan(struct model *m)
{
	static const __u64 set = WRITTEN | PRESENT | TRACKED | PAGE_IS_FILE |
		PAGE_IS_SWAPPED | PAGE_IS_PFNZERO;
	static struct page_region vec[PAGES + 1];
	size_t len, from = random_range(m, &len), i;
	__u64 use = set | (som_one_in(&m->rnd, 4) ? ZERO : 0) |
		(som_one_in(&m->rnd, 8) ? HUGE_2M : 0);
	struct pm_scan_arg arg;
	bool tracked = true;
	long ret;

	if (m->quiet || som_one_in(&m->rnd, 4)) {
		from = 0;
		len = PAGES;
	}
	arg = som_scan_args(address(m, from), len * PAGE, vec, PAGES);
	if (som_one_in(&m->rnd, 2))
		arg.flags |= WP;
	if (som_one_in(&m->rnd, 8))
		arg.flags |= CHECK;
	if (som_one_in(&m->rnd, 2))
		arg.vec_len = som_small(&m->rnd, 600);
	if (som_one_in(&m->rnd, 10)) {
		arg.vec = 0;
		arg.vec_len = 0;
	}
	if (som_one_in(&m->rnd, 2))
		arg.max_pages = som_small(&m->rnd, PAGES);
	arg.category_mask = WRITTEN;
	arg.return_mask = som_one_in(&m->rnd, 2) ? WRITTEN : use;
	/* Without a vec, only written pages: the kernel does not filter. */
	if (arg.vec_len && som_one_in(&m->rnd, 2)) {
		arg.category_mask = some_of(m, use);
		arg.category_inverted = some_of(m, use);
		arg.category_anyof_mask = som_one_in(&m->rnd, 3) ?
			some_of(m, use) : 0;
		arg.return_mask = use & som_random(&m->rnd);
	}
	if (m->quiet) {
		arg = som_scan_args(address(m, 0), PAGES * PAGE, vec, PAGES);
		arg.flags = WP;
		arg.category_mask = WRITTEN;
		arg.return_mask = WRITTEN;
	}
	for (i = from; i < from + len; i++)
		if (m->pages[i].unit && !m->pages[i].unit->tracked &&
		    !m->pages[i].anew)
			tracked = false;

	ret = som_scan_call(m->fd, &arg);
	trace(m, "scan %#zx + %#zx flags %#llx masks %#llx %#llx %#llx %#llx vec %llu, %llu: %ld",
	      from, len, arg.flags, arg.category_mask, arg.category_inverted,
	      arg.category_anyof_mask, arg.return_mask, arg.vec_len,
	      arg.max_pages, ret);
	if (ret == -EPERM && arg.flags & CHECK) {
		if (tracked)
			return wrong(m, "EPERM, but all is tracked");
		/* It may have come some way: no limit was told. */
		return !(arg.flags & WP) || clean_all(m);
	}
	if (ret < 0)
		return wrong(m, "scan: error %ld", ret);
	if (arg.flags & CHECK && !tracked && arg.walk_end == arg.end)
		return wrong(m, "no EPERM");
	if (arg.walk_end < arg.start || arg.walk_end > arg.end ||
	    arg.walk_end % PAGE)
		return wrong(m, "walk_end %#llx", arg.walk_end);
	return check_regions(m, &arg, vec, ret) &&
		check_scan(m, &arg, vec, ret);
}

/*
 * So many scans in a row that the driver stops looking at some, or at all, pages
 * that were written (dirty_log.c).
 */
static bool do_quiet(struct model *m)
{
	unsigned int n = 1 + som_below(&m->rnd, 20);
	bool right = true;

	m->quiet = true;
	while (right && n--)
		right = do_scan(m);
	m->quiet = false;
	return right;
}

/* A page that a reset came to and did not release. */
static bool reset_page(struct model *m, size_t page, bool image)
{
	struct page *p = &m->pages[page];
	__u64 value = image ? *image_word(m, page) : 0;
	__u64 *old = &p->unit->value[p->idx];

	if (p->unit->fuzzy) {
		/* As for its other pages, the last one may have won. */
		if (p->unit->present)
			*old = peek(m, page);
	} else if (page_differs(p, image) == YES) {
		*old = value;
	} else if (page_differs(p, image) == MAYBE) {
		__u64 now = peek(m, page);

		if (now != *old && now != value)
			return wrong(m, "page %#zx is %#llx after a reset",
				     page, now);
		*old = now;
	}
	return true;
}

static bool do_reset(struct model *m)
{
	size_t len, from = random_range(m, &len), i, first, released;
	bool image = som_one_in(&m->rnd, 2), exact = true;
	struct som_reset reset = som_reset_args(address(m, from), len * PAGE);
	__u64 keep = ~0ULL, written = 0, kept = 0;
	long ret;

	if (image) {
		reset.flags = SOM_RESET_IMAGE_MEM;
		reset.image = som_addr(m->image + from * PAGE);
	}
	if (som_one_in(&m->rnd, 3)) {
		keep = som_small(&m->rnd, PAGES + 1) - 1;
		reset.keep_resident = keep * PAGE + som_below(&m->rnd, PAGE);
	}
	/* Where releasing starts, if it does. */
	first = from + len;
	for (i = from; i < from + len; i++) {
		struct page *p = &m->pages[i];

		if (!p->unit)
			continue;
		if (page_written(p) == MAYBE || p->unit->fuzzy)
			exact = false;
		if (page_differs(p, image) == YES && ++written > keep &&
		    first == from + len)
			first = i;
	}

	ret = som_reset_call(m->fd, &reset);
	trace(m, "reset %#zx + %#zx flags %u keep %#llx: %ld, %#llx, %#llx, %#llx from %#llx",
	      from, len, reset.flags, reset.keep_resident, ret,
	      (reset.walk_end - som_addr(m->room)) / PAGE, reset.rewritten,
	      reset.released,
	      (reset.released_start - som_addr(m->room)) / PAGE);
	if (ret)
		return wrong(m, "reset: error %ld", ret);
	if (reset.walk_end != reset.end)
		return wrong(m, "reset stopped");
	if (reset.released_start < reset.start ||
	    reset.released_start > reset.end)
		return wrong(m, "released from %#llx on", reset.released_start);
	released = (reset.released_start - som_addr(m->room)) / PAGE;
	/* A unit may be released as a whole, but not without need. */
	if (exact && (written <= keep ? released != from + len :
					released > first))
		return wrong(m, "released from %#zx on instead of %#zx",
			     released, first);
	for (kept = 0, i = from; i < released; i++)
		if (m->pages[i].unit)
			kept += page_differs(&m->pages[i], image) == YES;
	if (exact && (reset.rewritten < kept * PAGE ||
		      (written <= keep && reset.rewritten > kept * PAGE)))
		return wrong(m, "reset: %llu pages instead of %llu",
			     reset.rewritten / PAGE, kept);
	first = released;

	for (i = from; i < first; i++)
		if (m->pages[i].unit && !reset_page(m, i, image))
			return false;
	for (; i < from + len; i++) {
		struct page *p = &m->pages[i];

		/* Written: zero. Clean in what was released: either. */
		if (p->unit && page_written(p) == YES)
			p->unit->value[p->idx] = 0;
	}
	for (i = first; i < from + len; i++) {
		struct page *p = &m->pages[i];
		__u64 c, *value;

		if (!p->unit || !p->unit->present)
			continue;
		value = &p->unit->value[p->idx];
		c = som_scan_page(m->fd, address(m, i), PRESENT);
		if (c & PRESENT && *value) {
			__u64 now = peek(m, i);

			if (now && now != *value)
				return wrong(m, "page %#zx is %#llx", i, now);
			*value = now;
		} else {
			*value = 0;
		}
	}
	for (i = from; i < from + len; i++) {
		struct page *p = &m->pages[i];

		if (p->unit && (p->unit->present || !p->anew)) {
			start_tracking(m, p->unit);
			if (p->unit->present)
				mark_clean(p);
		}
	}
	/* What was released is written. */
	for (i = first; i < from + len; i++) {
		struct page *p = &m->pages[i];

		if (p->unit && p->unit->present && !learn_unit(m, i))
			return false;
		if (p->unit && !p->unit->tracked && !p->anew)
			return wrong(m, "page %#zx is not tracked", i);
	}
	return true;
}

static bool do_remove(struct model *m)
{
	size_t from, len, i, j, covered;

	if (!random_run(m, &from, &len))
		return true;
	trace(m, "remove %#zx + %#zx", from, len);
	if (madvise(address(m, from), len * PAGE, MADV_REMOVE))
		return wrong(m, "MADV_REMOVE of %#zx pages at %#zx", len, from);
	for (i = from; i < from + len; i = j) {
		struct unit *u = m->pages[i].unit;

		covered = 0;
		for (j = i; j < from + len && m->pages[j].unit == u; j++) {
			struct page *p = &m->pages[j];

			covered++;
			u->value[p->idx] = 0;
			if (u->present)
				mark_written(p);
		}
		if (covered == u->mappings && u->present) {
			if (som_scan_page(m->fd, address(m, i), PRESENT))
				return wrong(m, "page %#zx is still there", i);
			unit_gone(u);
		}
		if (!learn_unit(m, i))
			return false;
	}
	return true;
}

static bool do_dontneed(struct model *m)
{
	size_t from, len, i;

	if (!random_run(m, &from, &len))
		return true;
	trace(m, "dontneed %#zx + %#zx", from, len);
	if (madvise(address(m, from), len * PAGE, MADV_DONTNEED))
		return wrong(m, "MADV_DONTNEED");
	/* Dropped with their entries: perhaps written, for all one knows. */
	for (i = from; i < from + len; i++) {
		struct page *p = &m->pages[i];

		if (page_written(p) == NO && p->unit->present)
			p->unit->written[p->idx] = MAYBE;
	}
	return true;
}

static bool do_protect(struct model *m)
{
	static const int prots[] = { PROT_NONE, PROT_READ, RW, RW, RW };
	int prot = prots[som_below(&m->rnd, ARRAY_SIZE(prots))];
	size_t from, len, i;

	if (!random_run(m, &from, &len))
		return true;
	trace(m, "protect %#zx + %#zx: %d", from, len, prot);
	if (mprotect(address(m, from), len * PAGE, prot))
		return wrong(m, "mprotect");
	for (i = from; i < from + len; i++)
		m->pages[i].prot = prot;
	set_split(m, from);
	set_split(m, from + len);
	return true;
}

/* Nothing, but nobody else's either. */
static bool reserve(struct model *m, size_t from, size_t len)
{
	size_t i;

	trace(m, "unmap %#zx + %#zx", from, len);
	if (mmap(address(m, from), len * PAGE, PROT_NONE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return wrong(m, "mmap of nothing");
	for (i = from; i < from + len; i++)
		drop_page(&m->pages[i]);
	set_split(m, from);
	set_split(m, from + len);
	return true;
}

static bool do_unmap(struct model *m)
{
	size_t len, from = random_range(m, &len);

	if (som_one_in(&m->rnd, 2))
		len = 1 + len / 8;
	return reserve(m, from, len);
}

/* Has a scan been at any of some pages? */
static bool any_seen(struct model *m, size_t from, size_t len)
{
	return memchr(m->seen + from, true, len);
}

static bool do_map(struct model *m)
{
	static const int prots[] = { PROT_NONE, PROT_READ, RW, RW, RW, RW };
	int prot = prots[som_below(&m->rnd, ARRAY_SIZE(prots))];
	int flags = som_one_in(&m->rnd, 4) ? MAP_NORESERVE : 0;
	size_t len, from = random_range(m, &len), i;
	bool anew = any_seen(m, from, len);
	struct unit *u = NULL;

	m->known = true;
	trace(m, "map %#zx + %#zx: %d", from, len, prot);
	if (som_map_at(m->fd, address(m, from), len * PAGE, prot,
		       MAP_FIXED | flags) == MAP_FAILED)
		return wrong(m, "mmap of %#zx pages", len);
	for (i = from; i < from + len; i++) {
		struct page *p = &m->pages[i];

		drop_page(p);
		if (!u || !(i % UNIT_PAGES))
			u = calloc(1, sizeof(*u));
		u->mappings++;
		p->unit = u;
		p->idx = i % UNIT_PAGES;
		p->prot = prot;
		p->split = i == from;
		p->anew = anew;
	}
	set_split(m, from + len);
	return true;
}

/* A room for @len pages that does not touch [from, from + len). */
static bool other_place(struct model *m, size_t from, size_t len, size_t *to)
{
	if (2 * len > PAGES)
		return false;
	*to = som_below(&m->rnd, PAGES - len + 1);
	if (som_one_in(&m->rnd, 3))
		*to = (*to & ~(UNIT_PAGES - 1)) + from % UNIT_PAGES;
	return *to + len <= PAGES && (*to + len <= from || from + len <= *to);
}

static void move_pages(struct model *m, size_t from, size_t to, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		struct page *p = &m->pages[to + i];

		drop_page(p);
		*p = m->pages[from + i];
		p->unit->mappings++;
		p->split = !i;
	}
	set_split(m, to + len);
}

/*
 * Pages were moved to where a scan has been: they are written, and no more is. Units of
 * which all page offsets were among them, mapped or not, are not tracked any more.
 */
static void moved_anew(struct model *m, size_t to, size_t len)
{
	size_t i;

	for (i = to; i < to + len; i++) {
		struct page *p = &m->pages[i];
		struct unit *u = p->unit;

		p->anew = true;
		if (!u->tracked)
			continue;
		if (i - to >= p->idx && to + len - i >= UNIT_PAGES - p->idx)
			u->tracked = false;
		else
			u->written[p->idx] = u->present ? YES : GONE;
	}
}

static bool do_move(struct model *m)
{
	size_t from, len, to;
	bool anew, fuzzy;

	if (!random_run(m, &from, &len) || !other_place(m, from, len, &to))
		return true;
	trace(m, "move %#zx + %#zx to %#zx", from, len, to);
	if (mremap(address(m, from), len * PAGE, len * PAGE, MREMAP_MAYMOVE |
		   MREMAP_FIXED, address(m, to)) == MAP_FAILED)
		return wrong(m, "mremap");
	anew = any_seen(m, to, len);
	move_pages(m, from, to, len);
	fuzzy = m->pages[to].unit->fuzzy || m->pages[to + len - 1].unit->fuzzy;
	if (anew)
		moved_anew(m, to, len);
	return reserve(m, from, len) && (!anew || !fuzzy || clean_all(m));
}

static bool do_duplicate(struct model *m)
{
	size_t from, len, to, i, j;

	if (!random_run(m, &from, &len) || !other_place(m, from, len, &to))
		return true;
	for (i = from; i < from + len; i++) {
		struct unit *u = m->pages[i].unit;

		if (u->fuzzy)
			continue;
		u->fuzzy = true;
		for (j = 0; j < UNIT_PAGES; j++)
			if (u->written[j] == NO)
				u->written[j] = MAYBE;
	}
	trace(m, "duplicate %#zx + %#zx at %#zx", from, len, to);
	if (mremap(address(m, from), 0, len * PAGE, MREMAP_MAYMOVE |
		   MREMAP_FIXED, address(m, to)) == MAP_FAILED)
		return wrong(m, "duplicating mremap");
	move_pages(m, from, to, len);
	/* The other mapping of it is as it was, or anew, too. */
	return !any_seen(m, to, len) || clean_all(m);
}

/* Everything at once. */
static bool check_all(struct model *m)
{
	static struct page_region vec[PAGES + 1];
	struct pm_scan_arg arg = som_scan_args(m->room, PAGES * PAGE, vec,
					       PAGES);
	size_t i;
	long ret;

	arg.return_mask = WRITTEN | PRESENT | TRACKED | ZERO;
	ret = som_scan_call(m->fd, &arg);
	if (ret < 0)
		return wrong(m, "scan: error %ld", ret);
	if (!check_regions(m, &arg, vec, ret) || !check_scan(m, &arg, vec, ret))
		return false;
	for (i = 0; i < PAGES; i++)
		if (m->pages[i].unit && m->pages[i].unit->present &&
		    m->pages[i].prot & PROT_READ && !check_value(m, i))
			return false;
	return true;
}

static const struct {
	const char *name;
	bool (*step)(struct model *m);
	unsigned int weight;
} steps[] = {
	{ "write", do_write, 30 },
	{ "read", do_read, 6 },
	{ "scan", do_scan, 25 },
	{ "quiet", do_quiet, 2 },
	{ "reset", do_reset, 5 },
	{ "remove", do_remove, 3 },
	{ "dontneed", do_dontneed, 3 },
	{ "protect", do_protect, 4 },
	{ "unmap", do_unmap, 1 },
	{ "map", do_map, 3 },
	{ "move", do_move, 2 },
	{ "duplicate", do_duplicate, 1 },
	{ "check", check_all, 2 },
};

static bool model_setup(struct model *m, int fd)
{
	size_t i;

	m->fd = fd;
	m->mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	m->room = som_room(PAGES * PAGE, UNIT);
	m->image = mmap(NULL, PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);
	if (m->mem < 0 || pipe(m->pipe) || m->room == MAP_FAILED ||
	    m->image == MAP_FAILED)
		return wrong(m, "setup");
	for (i = 0; i < PAGES; i++)
		*image_word(m, i) = som_one_in(&m->rnd, 4) ? 0 : ~i;
	return true;
}

static void run_model(struct __test_metadata *_metadata, int fd,
		      bool duplicates, double seconds)
{
	const char *text = getenv("SOM_MODEL_STEPS");
	__u64 limit = text ? strtoull(text, NULL, 0) : ~0ULL;
	double end = text ? 1e18 : som_now() + seconds;
	struct model *m = calloc(1, sizeof(*m));
	unsigned int sum, pick;
	char counts[400] = "";
	size_t i;

	m->_metadata = _metadata;
	m->seed = som_seed();
	m->rnd.state = m->seed;
	text = getenv("SOM_MODEL_TRACE");
	m->trace = text ? strtoull(text, NULL, 0) : ~0ULL;
	TH_LOG("SOM_SEED=%llu", m->seed);
	ASSERT_TRUE(model_setup(m, fd));
	for (sum = 0, i = 0; i < ARRAY_SIZE(steps); i++)
		sum += steps[i].weight;
	for (; m->step < limit && som_now() < end; m->step++) {
		/* Start anew, now and then. */
		if (!(m->step % 4096))
			ASSERT_TRUE(reserve(m, 0, PAGES));
		pick = som_below(&m->rnd, sum);
		for (i = 0; pick >= steps[i].weight; i++)
			pick -= steps[i].weight;
		if (steps[i].step == do_duplicate && !duplicates)
			continue;
		m->count[i]++;
		ASSERT_TRUE(steps[i].step(m) && !m->failed)
			TH_LOG("step %llu was %s", m->step, steps[i].name);
	}
	ASSERT_TRUE(check_all(m));
	for (i = 0; i < ARRAY_SIZE(steps); i++)
		snprintf(counts + strlen(counts),
			 sizeof(counts) - strlen(counts), " %s %ld",
			 steps[i].name, m->count[i]);
	TH_LOG("%llu steps:%s", m->step, counts);
}

SOM_FIXTURE(random_steps)

FIXTURE_VARIANT(random_steps)
{
	bool duplicates;
	double generic, debug;	/* seconds */
};

FIXTURE_VARIANT_ADD(random_steps, exact)
{
	.generic = 4,
	.debug = 3,
};

FIXTURE_VARIANT_ADD(random_steps, with_duplicates)
{
	.duplicates = true,
	.generic = 2,
	.debug = 2,
};

TEST_F_TIMEOUT(random_steps, match_the_model, 600)
{
	if (variant->duplicates && som_no_second_view())
		SKIP(return, "memory is mapped once on this kernel");
	run_model(_metadata, self->fd, variant->duplicates,
		  som_seconds(variant->generic, variant->debug));
}

TEST_HARNESS_MAIN
