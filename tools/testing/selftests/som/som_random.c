// SPDX-License-Identifier: GPL-2.0
/*
 * Random steps of every kind by several processes at once, which take each
 * other's units, move each other's units, and are killed at any moment. Each
 * knows what every page of its own must be. In the end nothing is missing.
 *
 * Steps that need what som.ko does not have are left out. SOM_RANDOM_SEED=N
 * repeats the choices of a run, SOM_RANDOM_STEPS=N says how many steps all make
 * together; without it, a slow machine ends after some minutes.
 *
 * SOM-TEST: chunks=2 timeout=900 kernels=generic,debug takes=40
 */
#include <stdarg.h>

#include "som_scan.h"

#define WORKERS		4
#define STEPS		50000
#define ARENA_UNITS	10
#define PAGES		(ARENA_UNITS * UNIT_PAGES)
#define LEN		(ARENA_UNITS * UNIT)
#define HOLDS		3
#define HISTORY		40

/* What all processes share. */
struct common {
	long steps, limit;
	int stop, processes;
	/* What som.ko has. */
	bool private, policy, compact, pinnable;
	long chunks;
	long kinds[32], killed, refused;
};

/* A page of the arena, as it must be. */
struct page {
	__u64 value;
	unsigned int map;	/* number of its mmap; 0: not mapped */
	unsigned int orig;	/* where it was mapped first: says its unit */
	unsigned char prot;
	bool private, noreserve;
	bool split;		/* a VMA may start here */
	bool whole;		/* its mmap is still in one piece */
	bool changed;		/* since a scan cleaned it */
};

/* A page in a pipe. */
struct hold {
	int fds[2];
	bool used;
	__u64 value, counter;
};

struct worker {
	struct common *common;
	struct som_random rnd;
	__u64 seed, tag, counter, step;
	int nr, fd, mem;
	unsigned int maps;
	char *arena;
	struct page pages[PAGES];
	struct hold holds[HOLDS];
	char history[HISTORY][128];
};

static __printf(2, 3) void say(struct worker *w, const char *fmt, ...)
{
	char *line = w->history[w->step % HISTORY];
	size_t n = strlen(line);
	va_list args;

	va_start(args, fmt);
	vsnprintf(line + n, sizeof(w->history[0]) - n, fmt, args);
	va_end(args);
}

/* The last steps, and what was wrong. Does not return. */
static __printf(2, 3) void wrong(struct worker *w, const char *fmt, ...)
{
	int error = errno, i;
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	WRITE_ONCE(w->common->stop, 1);
	for (i = 1; i <= HISTORY; i++)
		if (w->history[(w->step + i) % HISTORY][0])
			dprintf(STDOUT_FILENO, "# worker %d: %s\n", w->nr,
				w->history[(w->step + i) % HISTORY]);
	dprintf(STDOUT_FILENO,
		"# worker %d, process seed %llu, step %llu: %s (errno %d)\n",
		w->nr, w->seed, w->step, text, error);
	_exit(KSFT_FAIL);
}

static char *address(struct worker *w, size_t page)
{
	return w->arena + page * PAGE;
}

/* A page's content is two words, behind 8 and before the end. */
static __u64 *word(struct worker *w, size_t page, size_t offset)
{
	return (__u64 *)(address(w, page) + offset);
}

static bool has_access(struct page *p, int prot)
{
	return p->map && (p->prot & prot) == prot;
}

static __u64 new_value(struct worker *w)
{
	return w->tag << 40 | ++w->counter;
}

static void set_split(struct worker *w, size_t page)
{
	if (page < PAGES)
		w->pages[page].split = true;
}

/* A piece of a mapping goes its own way. */
static void break_map(struct worker *w, size_t page)
{
	unsigned int map = w->pages[page].map;
	size_t i;

	for (i = 0; map && i < PAGES; i++)
		if (w->pages[i].map == map)
			w->pages[i].whole = false;
}

static void break_maps(struct worker *w, size_t from, size_t len)
{
	size_t i;

	for (i = from; i < from + len; i++)
		if (w->pages[i].map && w->pages[i].whole)
			break_map(w, i);
	set_split(w, from);
	set_split(w, from + len);
}

/* Nothing is mapped there any more: keep the place. */
static void make_hole(struct worker *w, size_t from, size_t len)
{
	if (mmap(address(w, from), len * PAGE, PROT_NONE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) !=
	    address(w, from))
		wrong(w, "no hole at %#zx + %#zx", from, len);
	memset(&w->pages[from], 0, len * sizeof(struct page));
	set_split(w, from);
	set_split(w, from + len);
}

static size_t random_range(struct worker *w, size_t *len)
{
	size_t from;

	*len = som_small(&w->rnd, PAGES);
	from = som_below(&w->rnd, PAGES - *len + 1);
	if (som_one_in(&w->rnd, 3)) {
		from &= ~(UNIT_PAGES - 1);
		*len = (*len + UNIT_PAGES - 1) & ~(UNIT_PAGES - 1);
	}
	return from;
}

/* A range of one VMA. Return: whether there is one. */
static bool random_run(struct worker *w, size_t *from, size_t *len)
{
	size_t max, i;

	*from = random_range(w, &max);
	if (!w->pages[*from].map)
		return false;
	for (i = 1; i < max; i++)
		if (w->pages[*from + i].map != w->pages[*from].map ||
		    w->pages[*from + i].split)
			break;
	*len = i;
	return true;
}

/* The pool is empty: that is for memory that nobody promised. */
static bool may_fail(struct page *p, int sig)
{
	return sig == SIGBUS && p->noreserve && !p->value;
}

static void check_page(struct worker *w, size_t page, const char *when)
{
	struct page *p = &w->pages[page];
	__u64 a, b;
	int sig;

	sig = som_try_read(word(w, page, 8), &a);
	if (!sig)
		sig = som_try_read(word(w, page, PAGE - 8), &b);
	if (sig) {
		if (!may_fail(p, sig))
			wrong(w, "%s: page %#zx: signal %d", when, page, sig);
		return;
	}
	if (a != p->value || b != p->value)
		wrong(w, "%s: page %#zx: %#llx %#llx instead of %#llx%s%s",
		      when, page, a, b, p->value,
		      p->private ? ", private" : "",
		      p->noreserve ? ", noreserve" : "");
}

static void check_range(struct worker *w, size_t from, size_t len,
			const char *when)
{
	size_t i;

	for (i = from; i < from + len; i++)
		if (has_access(&w->pages[i], PROT_READ))
			check_page(w, i, when);
}

/* The content whatever the protection is. Return: false if it cannot be had. */
static bool peek(struct worker *w, size_t page, __u64 *value)
{
	return pread(w->mem, value, 8, som_addr(word(w, page, 8))) == 8;
}

static void zeroed(struct page *p)
{
	if (p->value)
		p->changed = true;
	p->value = 0;
}

/*
 * Steps
 */

static void do_write(struct worker *w)
{
	size_t len, from = random_range(w, &len), i;
	size_t every = 1 + som_small(&w->rnd, 40) * som_below(&w->rnd, 2);

	say(w, "write %#zx + %#zx, every %zu", from, len, every);
	for (i = from; i < from + len; i += every) {
		struct page *p = &w->pages[i];
		__u64 value = som_one_in(&w->rnd, 6) ? 0 : new_value(w);
		int sig;

		if (!has_access(p, PROT_READ | PROT_WRITE))
			continue;
		sig = som_try_write(word(w, i, 8), value);
		if (sig) {
			if (!may_fail(p, sig))
				wrong(w, "write to page %#zx: signal %d", i,
				      sig);
			w->common->refused++;
			continue;
		}
		WRITE_ONCE(*word(w, i, PAGE - 8), value);
		p->value = value;
		p->changed = true;
	}
}

static void do_read(struct worker *w)
{
	size_t len, from = random_range(w, &len);

	say(w, "read %#zx + %#zx", from, len);
	check_range(w, from, len, "read");
}

static void do_mmap(struct worker *w)
{
	static const int prots[] = { RW, RW, RW, RW, PROT_READ, PROT_NONE };
	size_t len, from = random_range(w, &len), i;
	int prot = prots[som_below(&w->rnd, ARRAY_SIZE(prots))];
	bool private = w->common->private && som_one_in(&w->rnd, 2);
	bool noreserve = som_one_in(&w->rnd, 4);
	int flags = MAP_FIXED | (noreserve ? MAP_NORESERVE : 0) |
		(som_one_in(&w->rnd, 10) ? MAP_POPULATE : 0);
	char *p;

	break_maps(w, from, len);
	p = private ?
		som_map_private_at(w->fd, address(w, from), len * PAGE, prot,
				   flags) :
		som_map_at(w->fd, address(w, from), len * PAGE, prot, flags);
	say(w, "mmap %#zx + %#zx prot %d flags %#x private %d: %d", from, len,
	    prot, flags, private, p == MAP_FAILED ? errno : 0);
	if (p == MAP_FAILED) {
		if (errno != ENOMEM)
			wrong(w, "mmap");
		w->common->refused++;
		make_hole(w, from, len);
		return;
	}
	w->maps++;
	for (i = from; i < from + len; i++)
		w->pages[i] = (struct page) {
			.map = w->maps, .orig = i, .prot = prot,
			.private = private, .noreserve = noreserve,
			.whole = true,
		};
	set_split(w, from);
	set_split(w, from + len);
	if (prot & PROT_READ && som_one_in(&w->rnd, 2))
		check_range(w, from, len, "fresh");
}

static void do_munmap(struct worker *w)
{
	size_t len, from = random_range(w, &len);

	say(w, "munmap %#zx + %#zx", from, len);
	break_maps(w, from, len);
	if (munmap(address(w, from), len * PAGE))
		wrong(w, "munmap");
	make_hole(w, from, len);
}

static void do_mprotect(struct worker *w)
{
	static const int prots[] = { RW, RW, RW, PROT_READ, PROT_NONE };
	int prot = prots[som_below(&w->rnd, ARRAY_SIZE(prots))];
	size_t from, len, i;

	if (!random_run(w, &from, &len))
		return;
	say(w, "mprotect %#zx + %#zx %d", from, len, prot);
	break_maps(w, from, len);
	if (mprotect(address(w, from), len * PAGE, prot)) {
		/* A promise that it did not have. */
		if (errno != ENOMEM)
			wrong(w, "mprotect");
		w->common->refused++;
		return;
	}
	for (i = from; i < from + len; i++)
		w->pages[i].prot = prot;
}

/* Move a run, perhaps with another length, to somewhere else in the arena. */
static void move_run(struct worker *w, size_t from, size_t len, size_t new_len)
{
	size_t to = som_below(&w->rnd, PAGES - new_len + 1), i;
	static struct page moved[PAGES];
	bool whole = w->pages[from].whole && new_len >= len;
	char *p;

	if (som_one_in(&w->rnd, 2))
		to = (to & ~(UNIT_PAGES - 1)) + from % UNIT_PAGES;
	if (to + new_len > PAGES || (to < from + len && from < to + new_len))
		return;
	/* All of its mmap, or else it is in pieces from now on. */
	for (i = 0; whole && i < PAGES; i++)
		if (w->pages[i].map == w->pages[from].map &&
		    (i < from || i >= from + len))
			whole = false;
	if (!whole)
		break_map(w, from);
	set_split(w, from);
	set_split(w, from + len);
	break_maps(w, to, new_len);
	p = mremap(address(w, from), len * PAGE, new_len * PAGE,
		   MREMAP_MAYMOVE | MREMAP_FIXED, address(w, to));
	say(w, "mremap %#zx + %#zx to %#zx + %#zx: %d", from, len, to, new_len,
	    p == MAP_FAILED ? errno : 0);
	if (p == MAP_FAILED) {
		/* What was there is gone; it was too long, or no promise. */
		if (errno != ENOMEM)
			wrong(w, "mremap");
		w->common->refused++;
		make_hole(w, to, new_len);
		if (new_len < len)
			make_hole(w, from + new_len, len - new_len);
		return;
	}
	memcpy(moved, &w->pages[from], len * sizeof(moved[0]));
	make_hole(w, from, len);
	for (i = 0; i < new_len; i++) {
		struct page *page = &w->pages[to + i];

		*page = moved[i < len ? i : 0];
		page->split = i < len && moved[i].split;
		page->whole = whole;
		page->orig = moved[0].orig + i;
		if (i >= len) {
			page->value = 0;
			page->changed = false;
		}
	}
	set_split(w, to);
	set_split(w, to + new_len);
	check_range(w, to, new_len, "moved");
}

static void do_move(struct worker *w)
{
	size_t from, len;

	if (random_run(w, &from, &len))
		move_run(w, from, len, len);
}

static void do_shrink(struct worker *w)
{
	size_t from, len, new_len;

	if (!random_run(w, &from, &len) || len < 2)
		return;
	new_len = 1 + som_below(&w->rnd, len - 1);
	if (som_one_in(&w->rnd, 2)) {
		move_run(w, from, len, new_len);
		return;
	}
	say(w, "shrink %#zx + %#zx to %#zx", from, len, new_len);
	break_maps(w, from, len);
	if (mremap(address(w, from), len * PAGE, new_len * PAGE, 0) !=
	    address(w, from))
		wrong(w, "mremap");
	make_hole(w, from + new_len, len - new_len);
}

/* Only what is still as it was mapped: the rest has room that was others'. */
static void do_grow(struct worker *w)
{
	size_t from = som_below(&w->rnd, PAGES), len, more;
	unsigned int map = w->pages[from].map;

	if (!map || !w->pages[from].whole)
		return;
	while (from && w->pages[from - 1].map == map)
		from--;
	for (len = 0; from + len < PAGES && w->pages[from + len].map == map;)
		len++;
	if (len == PAGES)
		return;
	more = som_small(&w->rnd, PAGES - len);
	move_run(w, from, len, len + more);
}

static void do_remove(struct worker *w)
{
	size_t from, len, i;

	if (!random_run(w, &from, &len))
		return;
	say(w, "remove %#zx + %#zx", from, len);
	if (madvise(address(w, from), len * PAGE, MADV_REMOVE))
		wrong(w, "MADV_REMOVE");
	for (i = from; i < from + len; i++)
		zeroed(&w->pages[i]);
	if (som_one_in(&w->rnd, 2))
		check_range(w, from, len, "removed");
}

static void do_dontneed(struct worker *w)
{
	size_t len, from = random_range(w, &len), i;

	say(w, "dontneed %#zx + %#zx", from, len);
	if (madvise(address(w, from), len * PAGE, MADV_DONTNEED))
		wrong(w, "MADV_DONTNEED");
	for (i = from; i < from + len; i++)
		if (w->pages[i].map && w->pages[i].private)
			zeroed(&w->pages[i]);
	if (som_one_in(&w->rnd, 2))
		check_range(w, from, len, "dontneeded");
}

static void do_advise(struct worker *w)
{
	static const int advices[] = {
		20 /* MADV_COLD */, 21 /* MADV_PAGEOUT */, MADV_WILLNEED,
		MADV_NOHUGEPAGE, MADV_HUGEPAGE, MADV_POPULATE_READ,
	};
	int advice = advices[som_below(&w->rnd, ARRAY_SIZE(advices))];
	size_t from, len;

	if (!random_run(w, &from, &len))
		return;
	say(w, "madvise %#zx + %#zx %d", from, len, advice);
	break_maps(w, from, len);
	madvise(address(w, from), len * PAGE, advice);
	check_range(w, from, len, "advised");
}

/* A clean scan, or a reset, starts tracking by the unit: where nothing is, all clean. */
static void unit_is_clean(struct worker *w, const struct page *p)
{
	size_t i;

	for (i = 0; i < PAGES; i++)
		if (w->pages[i].map == p->map &&
		    w->pages[i].orig / UNIT_PAGES == p->orig / UNIT_PAGES)
			w->pages[i].changed = false;
}

static void do_scan(struct worker *w)
{
	const struct page *absent = NULL;
	static __u64 got[PAGES];
	bool clean = som_one_in(&w->rnd, 2);
	size_t len, from = random_range(w, &len), i;
	long ret;

	say(w, "scan %#zx + %#zx, %d", from, len, clean);
	ret = som_scan_pages(w->fd, address(w, from), len, clean ? WP : 0, 0,
			     WRITTEN | PRESENT, got);
	if (ret)
		wrong(w, "scan: %ld", ret);
	for (i = 0; i < len; i++) {
		struct page *p = &w->pages[from + i];

		if (!p->map)
			continue;
		if (got[i] == NOT_LISTED)
			wrong(w, "page %#zx is not told", from + i);
		if (p->value && !(got[i] & PRESENT))
			wrong(w, "page %#zx is not present", from + i);
		if (p->changed && got[i] & PRESENT && !(got[i] & WRITTEN))
			wrong(w, "page %#zx is not told as written, of %u.%#x %#llx",
			      from + i, p->map, p->orig, p->value);
		if (!clean)
			continue;
		p->changed = false;
		if (got[i] & PRESENT || (absent && absent->map == p->map &&
					 absent->orig / UNIT_PAGES ==
					 p->orig / UNIT_PAGES))
			continue;
		absent = p;
		unit_is_clean(w, p);
	}
}

static void do_reset(struct worker *w)
{
	size_t len, from = random_range(w, &len), i;
	struct som_reset reset = som_reset_args(address(w, from), len * PAGE);
	const struct page *absent = NULL;
	static __u64 got[PAGES];
	long ret;

	ret = som_scan_pages(w->fd, address(w, from), len, 0, 0, PRESENT, got);
	if (ret)
		wrong(w, "scan before a reset: %ld", ret);
	if (som_one_in(&w->rnd, 2))
		reset.keep_resident = som_small(&w->rnd, len) * PAGE - 1;
	ret = som_reset_call(w->fd, &reset);
	say(w, "reset %#zx + %#zx keep %#llx: %ld", from, len,
	    reset.keep_resident, ret);
	if (ret)
		wrong(w, "reset: %ld", ret);
	for (i = from; i < from + len; i++) {
		struct page *p = &w->pages[i];
		__u64 value;

		if (!p->map)
			continue;
		if (!peek(w, i, &value)) {
			if (p->value || !p->noreserve)
				wrong(w, "page %#zx cannot be read", i);
			continue;
		}
		if (value && (value != p->value || p->changed ||
			      som_addr(address(w, i)) >= reset.released_start))
			wrong(w, "page %#zx is %#llx after a reset, was %#llx",
			      i, value, p->value);
		p->value = value;
		p->changed = false;
		if (got[i - from] & PRESENT || (absent && absent->map == p->map &&
						absent->orig / UNIT_PAGES ==
						p->orig / UNIT_PAGES))
			continue;
		absent = p;
		unit_is_clean(w, p);
	}
}

static void do_pinnable(struct worker *w)
{
	size_t len, from = random_range(w, &len);
	bool back = som_one_in(&w->rnd, 2);
	int ret;

	ret = back ? som_pool_backed(w->fd, address(w, from), len * PAGE) :
		som_page_backed(w->fd, address(w, from), len * PAGE);
	say(w, "%spinnable %#zx + %#zx: %d", back ? "un" : "", from, len, ret);
	if (ret && ret != -EBUSY && (back || (ret != -ENOMEM &&
					      ret != -ENOSPC)))
		wrong(w, "pinnable: %d", ret);
	if (ret)
		w->common->refused++;
	check_range(w, from, len, "pinnable");
}

static void do_policy(struct worker *w)
{
	static const __u64 sizes[] = { PAGE, UNIT, UNIT, CHUNK };
	__u64 size = sizes[som_below(&w->rnd, ARRAY_SIZE(sizes))];

	say(w, "policy %#llx", size);
	if (som_set_policy(w->fd, size))
		wrong(w, "policy");
}

/* More than the arena has room for: a GiB, perhaps by one entry. */
static void do_gib(struct worker *w)
{
	__u64 tag = new_value(w);
	int i, n = 40;
	char *p;

	if (w->nr != 1 || !som_one_in(&w->rnd, 8))
		return;
	if (w->common->policy)
		som_set_policy(w->fd, CHUNK);
	p = som_map(w->fd, CHUNK);
	say(w, "a GiB: %d", p == MAP_FAILED);
	if (p == MAP_FAILED) {
		w->common->refused++;
		return;
	}
	for (i = 0; i < n; i++) {
		__u64 *at = (__u64 *)(p + i * (CHUNK / n) / PAGE * PAGE);

		if (*at)
			wrong(w, "%#llx in a new GiB", *at);
		*at = tag + i;
	}
	if (mprotect(p + 7 * UNIT + PAGE, PAGE, PROT_READ) ||
	    munmap(p + 9 * UNIT, PAGE) ||
	    madvise(p + 3 * PAGE, PAGE, MADV_REMOVE))
		wrong(w, "parts of a GiB");
	for (i = 0; i < n; i++) {
		__u64 *at = (__u64 *)(p + i * (CHUNK / n) / PAGE * PAGE);

		if (*at != tag + i)
			wrong(w, "%#llx in a GiB, not %#llx", *at, tag + i);
	}
	if (munmap(p, CHUNK))
		wrong(w, "munmap of a GiB");
}

static void do_fork(struct worker *w)
{
	size_t len, from = random_range(w, &len), i;
	bool dofork = som_one_in(&w->rnd, 3);
	pid_t pid;
	int ret;

	say(w, "fork, %#zx + %#zx", from, len);
	if (dofork) {
		size_t run, run_len;

		if (random_run(w, &run, &run_len)) {
			break_maps(w, run, run_len);
			madvise(address(w, run), run_len * PAGE, MADV_DOFORK);
		}
	}
	pid = fork();
	if (!pid) {
		char *p;

		for (i = from; i < from + len; i += 7)
			if (som_read_signal(address(w, i)) != SIGSEGV)
				_exit(1);
		p = som_map_at(w->fd, NULL, UNIT, RW, MAP_NORESERVE);
		if (p != MAP_FAILED && !som_try_write(p, 5)) {
			if (som_not_zero(p + 8, UNIT - 8) != -1)
				_exit(2);
			som_fill(p, UNIT, 77);
			if (som_check(p, UNIT, 77) != -1)
				_exit(3);
		}
		_exit(0);
	}
	ret = som_wait_child(pid);
	if (ret)
		wrong(w, "the child ended with %d", ret);
	check_range(w, from, len, "forked");
}

static void do_vm_read(struct worker *w)
{
	static char buf[64 * PAGE];
	size_t from, len, i;
	struct iovec local, remote;
	ssize_t n;

	if (!random_run(w, &from, &len) ||
	    !has_access(&w->pages[from], PROT_READ))
		return;
	if (len > 64)
		len = 64;
	local = (struct iovec) { buf, len * PAGE };
	remote = (struct iovec) { address(w, from), len * PAGE };
	n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	say(w, "process_vm_readv %#zx + %#zx: %zd", from, len, n);
	if (n < 0 && errno != EFAULT)
		wrong(w, "process_vm_readv");
	for (i = 0; n > 0 && i < n / PAGE; i++) {
		__u64 value = *(__u64 *)(buf + i * PAGE + 8);

		if (value != w->pages[from + i].value)
			wrong(w, "process_vm_readv: page %#zx: %#llx, not %#llx",
			      from + i, value, w->pages[from + i].value);
	}
}

static void do_mem_write(struct worker *w)
{
	size_t page = som_below(&w->rnd, PAGES);
	struct page *p = &w->pages[page];
	__u64 value = new_value(w);

	if (!has_access(p, RW))
		return;
	say(w, "/proc/self/mem %#zx", page);
	if (pwrite(w->mem, &value, 8, som_addr(word(w, page, 8))) != 8 ||
	    pwrite(w->mem, &value, 8,
		   som_addr(word(w, page, PAGE - 8))) != 8) {
		if (!p->noreserve || p->value)
			wrong(w, "/proc/self/mem");
		return;
	}
	p->value = value;
	p->changed = true;
}

/* Put a page into a pipe, or look at one that is in there. */
static void do_pin(struct worker *w)
{
	struct hold *h = &w->holds[som_below(&w->rnd, HOLDS)];
	size_t page = som_below(&w->rnd, PAGES);
	struct iovec iov = { address(w, page), PAGE };
	__u64 buf[512];

	if (h->used) {
		say(w, "unpin %#llx", h->value);
		if (read(h->fds[0], buf, PAGE) != PAGE)
			wrong(w, "the pipe is empty");
		h->used = false;
		/* As it was then, or as this process wrote it later. */
		if (buf[1] && buf[1] != h->value &&
		    (buf[1] >> 40 != w->tag ||
		     (buf[1] & ((1ULL << 40) - 1)) <= h->counter))
			wrong(w, "%#llx in the pipe, not %#llx", buf[1],
			      h->value);
		return;
	}
	if (!has_access(&w->pages[page], PROT_READ))
		return;
	if (vmsplice(h->fds[1], &iov, 1, 0) != PAGE) {
		/* No page to pin at a 4 KiB entry. */
		if (errno != EFAULT && errno != EEXIST)
			wrong(w, "vmsplice");
		return;
	}
	say(w, "pin %#zx", page);
	h->used = true;
	h->value = w->pages[page].value;
	h->counter = w->counter;
}

static void do_compact(struct worker *w)
{
	int ret;

	if (w->nr)
		return;
	ret = som_compact(1 + som_below(&w->rnd, w->common->chunks));
	say(w, "compact: %d", ret);
	if (ret && ret != -EBUSY)
		wrong(w, "compact: %d", ret);
	check_range(w, 0, PAGES, "compacted");
}

static void do_resize(struct worker *w)
{
	int ret;

	if (w->nr)
		return;
	ret = som_set_chunks(1 + som_below(&w->rnd, w->common->chunks));
	say(w, "nr_chunks: %d", ret);
	if (ret && ret != -EBUSY && ret != -ENOMEM && ret != -ENOSPC)
		wrong(w, "nr_chunks: %d", ret);
}

static void do_look(struct worker *w)
{
	char text[8192], path[64];
	struct som_info info;
	int fd, tries;
	ssize_t n;

	say(w, "look");
	snprintf(path, sizeof(path), som_one_in(&w->rnd, 2) ?
		 "/proc/self/smaps_rollup" : "/proc/self/fdinfo/%d", w->fd);
	fd = open(path, O_RDONLY);
	do {
		n = read(fd, text, sizeof(text));
	} while (n > 0);
	close(fd);
	if (som_get_info(w->fd, &info))
		wrong(w, "info");
	/* The pool may grow, and more be promised, while it is counted. */
	for (tries = 0; tries < 10 && info.pool_committed > info.pool_units;
	     tries++)
		if (som_get_info(w->fd, &info))
			wrong(w, "info");
	if (info.pool_free > info.pool_units ||
	    info.pool_committed > info.pool_units)
		wrong(w, "pool: %llu units, %llu free, %llu committed",
		      info.pool_units, info.pool_free, info.pool_committed);
}

static void do_reopen(struct worker *w)
{
	say(w, "reopen");
	close(w->fd);
	w->fd = som_open();
	if (w->fd < 0)
		wrong(w, "open");
}

static void do_check(struct worker *w)
{
	say(w, "check");
	check_range(w, 0, PAGES, "check");
}

static const struct {
	const char *name;
	void (*step)(struct worker *w);
	int weight;
} steps[] = {
	{ "write", do_write, 48 },
	{ "read", do_read, 32 },
	{ "check", do_check, 2 },
	{ "mmap", do_mmap, 20 },
	{ "munmap", do_munmap, 8 },
	{ "mprotect", do_mprotect, 12 },
	{ "move", do_move, 12 },
	{ "shrink", do_shrink, 4 },
	{ "grow", do_grow, 6 },
	{ "remove", do_remove, 8 },
	{ "dontneed", do_dontneed, 12 },
	{ "advise", do_advise, 4 },
	{ "scan", do_scan, 12 },
	{ "reset", do_reset, 4 },
	{ "pinnable", do_pinnable, 12 },
	{ "policy", do_policy, 4 },
	{ "gib", do_gib, 1 },
	{ "fork", do_fork, 2 },
	{ "vm_read", do_vm_read, 8 },
	{ "mem_write", do_mem_write, 4 },
	{ "pin", do_pin, 8 },
	{ "compact", do_compact, 6 },
	{ "resize", do_resize, 1 },
	{ "look", do_look, 2 },
	{ "reopen", do_reopen, 2 },
};

static bool left_out(const struct common *c, void (*step)(struct worker *w))
{
	return (step == do_pinnable && !c->pinnable) ||
		(step == do_policy && !c->policy) ||
		(step == do_compact && !c->compact);
}

/* A process. Does not return. */
static void work(struct common *c, int nr, __u64 seed)
{
	static struct worker w;
	int sum = 0, pick;
	size_t i;

	som_catch_faults();
	w.common = c;
	w.nr = nr;
	w.seed = seed;
	w.rnd.state = seed;
	w.tag = __atomic_add_fetch(&c->processes, 1, __ATOMIC_RELAXED);
	w.fd = som_open();
	w.mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	w.arena = som_room(LEN, UNIT);
	if (w.fd < 0 || w.mem < 0 || w.arena == MAP_FAILED)
		wrong(&w, "setup");
	for (i = 0; i < HOLDS; i++)
		if (pipe(w.holds[i].fds))
			wrong(&w, "pipe");
	for (i = 0; i < ARRAY_SIZE(steps); i++)
		if (!left_out(c, steps[i].step))
			sum += steps[i].weight;
	while (!READ_ONCE(c->stop) &&
	       __atomic_add_fetch(&c->steps, 1, __ATOMIC_RELAXED) <= c->limit) {
		w.step++;
		w.history[w.step % HISTORY][0] = 0;
		pick = som_below(&w.rnd, sum);
		for (i = 0;; i++) {
			if (left_out(c, steps[i].step))
				continue;
			if (pick < steps[i].weight)
				break;
			pick -= steps[i].weight;
		}
		__atomic_add_fetch(&c->kinds[i], 1, __ATOMIC_RELAXED);
		steps[i].step(&w);
	}
	check_range(&w, 0, PAGES, "end");
	_exit(0);
}

static long chunks_before;

/* Return: 0, or -errno as long as what is left of a killed worker has a pin on one. */
static long put_chunks_back(void)
{
	return som_set_chunks(chunks_before);
}

TEST_F_TIMEOUT(som, random_steps, 36000)
{
	const char *text = getenv("SOM_RANDOM_SEED");
	__u64 seed = text ? strtoull(text, NULL, 0) : (__u64)(som_now() * 1e6);
	struct common *c = som_shared(sizeof(*c));
	struct som_random rnd = { seed };
	double end = som_now() + som_seconds(300, 15), next;
	char line[1024] = "";
	int processes = 0, ret, i;
	pid_t pid[WORKERS];
	bool done = false;

	ASSERT_NE(MAP_FAILED, c);
	text = getenv("SOM_RANDOM_STEPS");
	c->limit = text ? strtol(text, NULL, 0) :
		som_cloud_kernel() ? STEPS / 5 : STEPS;
	if (text)
		end = 1e12;
	c->chunks = self->before.chunks;
	c->private = !som_no_private(self->fd);
	c->policy = !som_no_policy(self->fd);
	c->compact = !som_no_compact(self->fd);
	c->pinnable = !som_no_pinnable(self->fd);
	TH_LOG("SOM_RANDOM_SEED=%llu, %ld steps", seed, c->limit);
	if (!c->private)
		TH_LOG("left out: private mappings");
	for (i = 0; i < ARRAY_SIZE(steps); i++)
		if (left_out(c, steps[i].step))
			TH_LOG("left out: %s", steps[i].name);

	memset(pid, 0, sizeof(pid));
	next = som_now() + 1;
	while (!done) {
		for (i = 0; i < WORKERS; i++) {
			if (pid[i])
				continue;
			pid[i] = fork();
			ASSERT_LE(0, pid[i]);
			if (!pid[i])
				work(c, i, seed * 1000003 + processes);
			processes++;
		}
		usleep(50000);
		if (som_now() > next) {
			i = som_below(&rnd, WORKERS);
			kill(pid[i], SIGKILL);
			c->killed++;
			next = som_now() + 0.2 + som_below(&rnd, 3000) / 1e3;
		}
		for (i = 0; i < WORKERS; i++) {
			if (waitpid(pid[i], &ret, WNOHANG) != pid[i])
				continue;
			pid[i] = 0;
			if (WIFSIGNALED(ret) && WTERMSIG(ret) == SIGKILL)
				continue;
			EXPECT_EQ(0, ret);
			done = true;
		}
		if (som_now() > end) {
			TH_LOG("stopped for the time it takes: %ld of %ld steps",
			       c->steps, c->limit);
			done = true;
		}
		if (c->stop)
			done = true;
	}
	WRITE_ONCE(c->stop, 1);
	for (i = 0; i < WORKERS; i++) {
		if (!pid[i])
			continue;
		ret = som_wait_child(pid[i]);
		EXPECT_TRUE(ret == 0 || ret == -SIGKILL)
			TH_LOG("worker %d ended with %d", i, ret);
	}
	for (i = 0; i < ARRAY_SIZE(steps); i++)
		snprintf(line + strlen(line), sizeof(line) - strlen(line),
			 " %s %ld", steps[i].name, c->kinds[i]);
	TH_LOG("%ld steps by %d processes, %ld killed, %ld refused:%s",
	       c->steps, processes, c->killed, c->refused, line);
	EXPECT_EQ(0, som_wait_number(som_used, self->before.used));
	chunks_before = self->before.chunks;
	EXPECT_EQ(0, som_wait_number(put_chunks_back, 0));
	EXPECT_TRUE(som_state_wait(&self->before));
}

TEST_HARNESS_MAIN
