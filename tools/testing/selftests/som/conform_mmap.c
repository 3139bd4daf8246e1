// SPDX-License-Identifier: GPL-2.0
/* som_conform: mmap, its flags, addresses and lengths; mprotect; munmap. */
#include "conform.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE	0x08
#endif
#ifndef MAP_UNINITIALIZED
#define MAP_UNINITIALIZED 0x4000000
#endif

static const char ret_42[] = { 0xb8, 42, 0, 0, 0, 0xc3 };

/* mmap with more flags, at a free address: is it memory, fresh and zeroed? */
static void op_map(struct conform *c)
{
	char *p = map_more(c, NULL, 2 * UNIT, RW, c->row->arg);

	if (!say_result(c, (long)p))
		return;
	if (c->row->arg & MAP_POPULATE || c->row->arg & MAP_LOCKED)
		say(c, "%d of 1024 pages resident", resident(p, 2 * UNIT));
	if (c->row->arg & MAP_LOCKED)
		say(c, "VmLck %ld kB", status_value("VmLck"));
	say_writable(c, p, 2 * UNIT, 0);
}

/* The type of the mapping replaced. */
static void op_map_type(struct conform *c)
{
	char *p = mmap(NULL, 2 * UNIT, RW,
		       (map_flags(c) & ~MAP_TYPE) | c->row->arg, c->fd, 0);

	if (say_result(c, (long)p))
		say_writable(c, p, 2 * UNIT, 0);
}

/* Over a part of what is there. */
static void op_map_fixed(struct conform *c)
{
	char *p = part_start(c, c->row->part);

	fill(c);
	say_result(c, (long)map_more(c, p, part_len(c->row->part), RW,
				     c->row->arg));
	say_data(c, c->row->part);
}

static void op_map_fixed_free(struct conform *c)
{
	char *p = c->p + CONFORM_LEN + UNIT;

	p = map_more(c, p, UNIT, RW, c->row->arg);
	if (!say_result(c, (long)p))
		return;
	say(c, "%s", p == c->p + CONFORM_LEN + UNIT ? "there" : "elsewhere");
	say_writable(c, p, UNIT, 0);
}

static void op_map_fixed_unaligned(struct conform *c)
{
	char *p = c->p + CONFORM_LEN + UNIT + 3 * PAGE;
	char *q = map_more(c, p, UNIT, RW, MAP_FIXED);

	if (!say_result(c, (long)q))
		return;
	say_writable(c, q, UNIT, 0);
}

static void op_map_hint(struct conform *c)
{
	char *hint = c->p + c->row->arg;
	char *p = map_more(c, hint, UNIT, RW, 0);

	fill(c);
	if (!say_result(c, (long)p))
		return;
	say(c, "%s", p == hint ? "there" :
	    p == (char *)((uintptr_t)hint & ~(PAGE - 1)) ? "rounded down" :
	    "elsewhere");
	say_writable(c, p, UNIT, 0);
	say_rest(c, 0, 0);
}

static void op_map_align(struct conform *c)
{
	char *p = map_more(c, NULL, c->row->arg, RW, 0);
	char *q = map_more(c, NULL, c->row->arg, RW, 0);

	if (!say_result(c, (long)p))
		return;
	say(c, "%s", som_aligned(p, UNIT) && som_aligned(q, UNIT) ?
	    "2M aligned" : "page aligned");
	say_writable(c, p, c->row->arg, 0);
	if (!say_result(c, munmap(p, c->row->arg)))
		return;
	say_range(c, p, c->row->arg, 0);
}

static void op_map_len(struct conform *c)
{
	say_result(c, (long)map_more(c, NULL, c->row->arg, RW, 0));
}

static void op_map_offset(struct conform *c)
{
	char *p = mmap(NULL, UNIT, RW, map_flags(c), c->fd, c->row->arg);

	if (say_result(c, (long)p))
		say_writable(c, p, UNIT, 0);
}

/* With less access, then with all. */
static void op_map_prot(struct conform *c)
{
	char *p = map_more(c, NULL, UNIT, c->row->arg, 0);
	__u64 value;
	int sig;

	if (!say_result(c, (long)p))
		return;
	sig = try_read(p, &value);
	say(c, "read %s", sig ? signal_name(sig) : value ? "WRONG" : "zero");
	sig = try_write(p, 0);
	say(c, "write %s", sig ? signal_name(sig) : "ok");
	if (mprotect(p, UNIT, RW))
		say(c, "then %s", strerrorname_np(errno));
	else
		say_writable(c, p, UNIT, 0);
}

static void op_map_exec(struct conform *c)
{
	char *p = map_more(c, NULL, UNIT, RW | PROT_EXEC, 0);
	int (*fn)(void) = (void *)p;

	if (!say_result(c, (long)p))
		return;
	memcpy(p, ret_42, sizeof(ret_42));
	say(c, fn() == 42 ? "runs" : "WRONG");
}

#define MAP_ROW(flag)	{ #flag, op_map, flag, 0, { "ok, zeroes" } }
#define FULL		"2M aligned"

static const char why_offset[] =
	"Anonymous memory ignores the offset. /dev/som accepts only offset 0, "
	"unless the policy of the file sets another one.";
static const char why_align[] =
	"Without a hint, som memory is aligned to 2 MiB, for huge entries.";
static const char why_growsdown[] =
	"The kernel refuses it for every file (mm/mmap.c, do_mmap()).";

static const struct conform_row mmap_rows[] = {
	{ "no flag", op_map, 0, 0, { "ok, zeroes" } },
	{ "MAP_FIXED, free", op_map_fixed_free, MAP_FIXED, 0,
	  { "ok, there, zeroes" } },
	{ "MAP_FIXED, 2M aligned + 12K", op_map_fixed_unaligned, 0, 0,
	  { "ok, zeroes", "EINVAL" } },
	{ "MAP_FIXED over all", op_map_fixed, MAP_FIXED, WHOLE,
	  { "ok, zeroes" } },
	{ "MAP_FIXED over 2M", op_map_fixed, MAP_FIXED, ONE_UNIT,
	  { "ok, zeroes" } },
	{ "MAP_FIXED over 8K", op_map_fixed, MAP_FIXED, TWO_PAGES,
	  { "ok, zeroes", "EINVAL, data kept" } },
	{ "MAP_FIXED_NOREPLACE, free", op_map_fixed_free, MAP_FIXED_NOREPLACE,
	  0, { "ok, there, zeroes" } },
	{ "MAP_FIXED_NOREPLACE over 2M", op_map_fixed, MAP_FIXED_NOREPLACE,
	  ONE_UNIT, { "EEXIST, data kept" } },
	{ "MAP_FIXED_NOREPLACE over 8K", op_map_fixed, MAP_FIXED_NOREPLACE,
	  TWO_PAGES, { "EEXIST, data kept", "EINVAL, data kept" } },
	MAP_ROW(MAP_NORESERVE),
	{ "MAP_POPULATE", op_map, MAP_POPULATE, 0,
	  { "ok, 1024 of 1024 pages resident, zeroes" } },
	{ "MAP_POPULATE, MAP_NONBLOCK", op_map, MAP_POPULATE | MAP_NONBLOCK,
	  0, { "ok, 0 of 1024 pages resident, zeroes" } },
	{ "MAP_LOCKED", op_map, MAP_LOCKED, 0,
	  { "ok, 1024 of 1024 pages resident, VmLck 4096 kB, zeroes",
	    "ok, 1024 of 1024 pages resident, VmLck 0 kB, zeroes",
	    "ok, 1024 of 1024 pages resident, VmLck 0 kB, zeroes",
	    "ok, 1024 of 1024 pages resident, VmLck 0 kB, zeroes" },
	  "som memory is always locked, as HugeTLB memory is. It is "
	  "populated, and not counted as locked." },
	{ "MAP_GROWSDOWN", op_map, MAP_GROWSDOWN, 0,
	  { "ok, zeroes", "EINVAL", "EINVAL", "EINVAL" }, why_growsdown },
	MAP_ROW(MAP_STACK),
	{ "MAP_HUGETLB", op_map, MAP_HUGETLB, 0,
	  { "ok, zeroes", "ok, zeroes", "EINVAL", "EINVAL" },
	  "The kernel supports it for files of hugetlbfs only (mm/mmap.c, "
	  "ksys_mmap_pgoff())." },
	MAP_ROW(MAP_32BIT),
	{ "MAP_SYNC", op_map, MAP_SYNC, 0, { "ok, zeroes" } },
	{ "MAP_SYNC, MAP_SHARED_VALIDATE", op_map_type,
	  MAP_SHARED_VALIDATE | MAP_SYNC, 0,
	  { "EINVAL", "EOPNOTSUPP", "EOPNOTSUPP", "EOPNOTSUPP" },
	  "MAP_SHARED_VALIDATE works with files only, and a file without DAX "
	  "refuses MAP_SYNC." },
	{ "MAP_DROPPABLE", op_map_type, MAP_DROPPABLE, 0,
	  { "ok, zeroes", "EINVAL", "EINVAL", "EINVAL" },
	  "The kernel supports it for anonymous memory only (mm/mmap.c, "
	  "do_mmap())." },
	MAP_ROW(MAP_UNINITIALIZED),
	{ "hint, free", op_map_hint, CONFORM_LEN + UNIT, 0,
	  { "ok, there, zeroes" } },
	{ "hint, free, 2M aligned + 12K", op_map_hint,
	  CONFORM_LEN + UNIT + 3 * PAGE, 0,
	  { "ok, there, zeroes", "ok, elsewhere, zeroes" } },
	{ "hint, free, not page aligned", op_map_hint,
	  CONFORM_LEN + UNIT + 100, 0, { "ok, rounded down, zeroes" } },
	{ "hint, taken", op_map_hint, UNIT, 0, { "ok, elsewhere, zeroes" } },
	{ "2M, no hint; munmap", op_map_align, UNIT, 0,
	  { "ok, 2M aligned, zeroes, ok, SIGSEGV" } },
	{ "2M + 4K, no hint; munmap", op_map_align, UNIT + PAGE, 0,
	  { "ok, page aligned, zeroes, ok, SIGSEGV",
	    "ok, 2M aligned, zeroes, EINVAL",
	    "ok, 2M aligned, zeroes, ok, SIGSEGV",
	    "ok, 2M aligned, zeroes, ok, SIGSEGV" },
	  why_align },
	{ "4K, no hint; munmap", op_map_align, PAGE, 0,
	  { "ok, page aligned, zeroes, ok, SIGSEGV",
	    "ok, 2M aligned, zeroes, EINVAL",
	    "ok, 2M aligned, zeroes, ok, SIGSEGV",
	    "ok, 2M aligned, zeroes, ok, SIGSEGV" },
	  why_align },
	{ "length 0", op_map_len, 0, 0, { "EINVAL" } },
	{ "length 256T", op_map_len, 1L << 48, 0, { "ENOMEM" } },
	{ "length 1T", op_map_len, 1L << 40, 0, { "ENOMEM" } },
	{ "offset 2M", op_map_offset, UNIT, 0,
	  { "ok, zeroes", NULL, "EINVAL", "EINVAL" }, why_offset },
	{ "offset 4K", op_map_offset, PAGE, 0,
	  { "ok, zeroes", "EINVAL", "EINVAL", "EINVAL" }, why_offset },
	{ "PROT_NONE, then all", op_map_prot, PROT_NONE, 0,
	  { "ok, read SIGSEGV, write SIGSEGV, zeroes" } },
	{ "PROT_READ, then all", op_map_prot, PROT_READ, 0,
	  { "ok, read zero, write SIGSEGV, zeroes" } },
	{ "PROT_WRITE, then all", op_map_prot, PROT_WRITE, 0,
	  { "ok, read zero, write ok, zeroes" } },
	{ "PROT_EXEC, run it", op_map_exec, 0, 0, { "ok, runs" } },
	{}
};

const struct conform_topic conform_mmap = { "mmap", mmap_rows };

/*
 * mprotect
 */

/* Take access away from a part, look, and give it back. */
static void op_protect(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);
	size_t offset = part_offset(c->row->part);
	int sig;

	fill(c);
	if (say_result(c, mprotect(p, len, c->row->arg))) {
		say_range(c, p, len, offset);
		sig = try_write(p + len - PAGE, 1);
		say(c, "write %s", sig ? signal_name(sig) : "ok");
		say_rest(c, offset, len);
		say_result(c, mprotect(p, len, RW));
	}
	say_data(c, c->row->part);
}

/* The same before anything is populated. */
static void op_protect_empty(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);

	say_result(c, mprotect(p, len, c->row->arg));
	say_result(c, mprotect(p, len, RW));
	say_writable(c, c->p, CONFORM_LEN, 0);
}

static void op_protect_exec(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	int (*fn)(void) = (void *)p;

	memcpy(p, ret_42, sizeof(ret_42));
	if (say_result(c, mprotect(p, part_len(c->row->part),
				   PROT_READ | PROT_EXEC)))
		say(c, fn() == 42 ? "runs" : "WRONG");
}

/* Every other page. */
static void op_protect_comb(struct conform *c)
{
	size_t i;
	int ret = 0;

	fill(c);
	for (i = 0; i < 64; i += 2)
		ret |= mprotect(c->p + UNIT + i * PAGE, PAGE, PROT_READ);
	say_result(c, ret);
	for (i = 0; i < 64; i += 2)
		if (try_write(c->p + UNIT + i * PAGE, 0) != SIGSEGV)
			break;
	say(c, i < 64 ? "writable" : "SIGSEGV for writing");
	say_result(c, mprotect(c->p, CONFORM_LEN, RW));
	say_data(c, WHOLE);
}

static void op_protect_hole(struct conform *c)
{
	fill(c);
	say_result(c, munmap(c->p + 2 * UNIT, UNIT));
	say_result(c, mprotect(c->p, CONFORM_LEN, PROT_READ));
	say_range(c, c->p, UNIT, 0);
}

static void op_protect_misaligned(struct conform *c)
{
	fill(c);
	say_result(c, mprotect(c->p + 100, PAGE, PROT_READ));
	say_data(c, WHOLE);
}

static void op_pkey(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);
	size_t offset = part_offset(c->row->part);
	int key = pkey_alloc(0, 0);

	fill(c);
	if (key < 0) {
		say(c, "no keys");
		return;
	}
	if (say_result(c, pkey_mprotect(p, len, RW, key))) {
		pkey_set(key, PKEY_DISABLE_WRITE);
		say(c, "%s", signal_name(try_write(p, 0)));
		pkey_set(key, PKEY_DISABLE_ACCESS);
		say(c, "%s", signal_name(read_signal(p + len - PAGE)));
		say_rest(c, offset, len);
		pkey_set(key, 0);
	}
	say_data(c, c->row->part);
}

#define HUGETLB_4K	"EINVAL, data kept"

static const struct conform_row mprotect_rows[] = {
	{ "PROT_READ of all and back", op_protect, PROT_READ, WHOLE,
	  { "ok, data kept, write SIGSEGV, ok, data kept" } },
	{ "PROT_READ of 2M and back", op_protect, PROT_READ, ONE_UNIT,
	  { "ok, data kept, write SIGSEGV, ok, data kept" } },
	{ "PROT_READ of 8K and back", op_protect, PROT_READ, TWO_PAGES,
	  { "ok, data kept, write SIGSEGV, ok, data kept", HUGETLB_4K } },
	{ "PROT_NONE of all and back", op_protect, PROT_NONE, WHOLE,
	  { "ok, SIGSEGV, write SIGSEGV, ok, data kept" } },
	{ "PROT_NONE of 2M and back", op_protect, PROT_NONE, ONE_UNIT,
	  { "ok, SIGSEGV, write SIGSEGV, ok, data kept" } },
	{ "PROT_NONE of 8K and back", op_protect, PROT_NONE, TWO_PAGES,
	  { "ok, SIGSEGV, write SIGSEGV, ok, data kept", HUGETLB_4K } },
	{ "PROT_NONE of 2M and back, not populated", op_protect_empty,
	  PROT_NONE, ONE_UNIT, { "ok, ok, zeroes" } },
	{ "PROT_NONE of 8K and back, not populated", op_protect_empty,
	  PROT_NONE, TWO_PAGES, { "ok, ok, zeroes", "EINVAL, ok, zeroes" } },
	{ "PROT_READ of 32 single pages and back", op_protect_comb, 0, 0,
	  { "ok, SIGSEGV for writing, ok, data kept",
	    "EINVAL, writable, ok, data kept and zeroes" } },
	{ "PROT_EXEC of 2M, run it", op_protect_exec, 0, ONE_UNIT,
	  { "ok, runs" } },
	{ "PROT_EXEC of 8K, run it", op_protect_exec, 0, TWO_PAGES,
	  { "ok, runs", "EINVAL" } },
	{ "over a hole", op_protect_hole, 0, 0,
	  { "ok, ENOMEM, data kept" } },
	{ "not page aligned", op_protect_misaligned, 0, 0,
	  { "EINVAL, data kept" } },
	{ "pkey_mprotect of all", op_pkey, 0, WHOLE,
	  { "ok, SIGSEGV, SIGSEGV, data kept" } },
	{ "pkey_mprotect of 2M", op_pkey, 0, ONE_UNIT,
	  { "ok, SIGSEGV, SIGSEGV, data kept" } },
	{ "pkey_mprotect of 8K", op_pkey, 0, TWO_PAGES,
	  { "ok, SIGSEGV, SIGSEGV, data kept", HUGETLB_4K } },
	{}
};

const struct conform_topic conform_mprotect = { "mprotect", mprotect_rows };

/*
 * munmap
 */

static void unmap(struct conform *c, size_t offset, size_t len)
{
	fill(c);
	say_result(c, munmap(c->p + offset, len));
	say_range(c, c->p + offset, len, offset);
	say_rest(c, offset, len);
}

static void op_unmap(struct conform *c)
{
	unmap(c, part_offset(c->row->part), part_len(c->row->part));
}

static void op_unmap_at(struct conform *c)
{
	unmap(c, c->row->arg, PAGE);
}

static void op_unmap_odd(struct conform *c)
{
	unmap(c, UNIT + 3 * PAGE, UNIT + 7 * PAGE);
}

static void op_unmap_bad(struct conform *c)
{
	fill(c);
	say_result(c, munmap(c->p + c->row->arg, c->row->arg ? PAGE : 0));
	say_data(c, WHOLE);
}

/* What was unmapped and is mapped again is new memory. */
static void op_unmap_refill(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);

	fill(c);
	say_result(c, munmap(p, len));
	say_result(c, (long)map_more(c, p, len, RW, MAP_FIXED_NOREPLACE));
	say_data(c, c->row->part);
}

/* All pages, one after the other, the odd ones first. */
static void op_unmap_pages(struct conform *c)
{
	size_t i;
	int ret = 0;

	fill(c);
	for (i = 1; i < 512; i += 2)
		ret |= munmap(c->p + UNIT + i * PAGE, PAGE);
	say_result(c, ret);
	for (i = 0; i < 512 && !ret; i += 2)
		if (!is_filled(c->p + UNIT + i * PAGE, PAGE, UNIT + i * PAGE))
			say(c, "WRONG DATA");
	for (i = 0; i < 512; i += 2)
		ret |= munmap(c->p + UNIT + i * PAGE, PAGE);
	say_range(c, c->p + UNIT, UNIT, UNIT);
	say_rest(c, UNIT, UNIT);
}

static const struct conform_row munmap_rows[] = {
	{ "all", op_unmap, 0, WHOLE, { "ok, SIGSEGV" } },
	{ "2M in the middle", op_unmap, 0, ONE_UNIT, { "ok, SIGSEGV" } },
	{ "8K in the middle", op_unmap, 0, TWO_PAGES,
	  { "ok, SIGSEGV", "EINVAL, data kept" } },
	{ "the first 4K", op_unmap_at, 0, 0,
	  { "ok, SIGSEGV", "EINVAL, data kept" } },
	{ "the last 4K", op_unmap_at, CONFORM_LEN - PAGE, 0,
	  { "ok, SIGSEGV", "EINVAL, data kept" } },
	{ "2M + 28K, not aligned", op_unmap_odd, 0, 0,
	  { "ok, SIGSEGV", "EINVAL, data kept" } },
	{ "2M page by page", op_unmap_pages, 0, 0,
	  { "ok, SIGSEGV", "EINVAL, data kept" } },
	{ "2M, mapped again", op_unmap_refill, 0, ONE_UNIT,
	  { "ok, ok, zeroes" } },
	{ "8K, mapped again", op_unmap_refill, 0, TWO_PAGES,
	  { "ok, ok, zeroes", "EINVAL, EINVAL, data kept" } },
	{ "length 0", op_unmap_bad, 0, 0, { "EINVAL, data kept" } },
	{ "not page aligned", op_unmap_bad, 100, 0, { "EINVAL, data kept" } },
	{}
};

const struct conform_topic conform_munmap = { "munmap", munmap_rows };
