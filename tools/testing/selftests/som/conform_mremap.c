// SPDX-License-Identifier: GPL-2.0
/* som_conform: mremap. */
#include "conform.h"

/* Where is it now, and what is in @len bytes of it? */
static void say_new(struct conform *c, char *q, size_t len)
{
	if (!say_result(c, (long)q))
		return;
	say(c, q == c->p ? "in place" : "moved");
	if (len <= CONFORM_LEN) {
		say_writable(c, q, len, 0);
		return;
	}
	say_writable(c, q, CONFORM_LEN, 0);
	say_writable(c, q + CONFORM_LEN, len - CONFORM_LEN, CONFORM_LEN);
}

static void op_shrink(struct conform *c)
{
	size_t len = c->row->arg;

	fill(c);
	say_new(c, mremap(c->p, CONFORM_LEN, len, 0), len);
	say_range(c, c->p + len, CONFORM_LEN - len, len);
}

static void op_grow(struct conform *c)
{
	size_t len = CONFORM_LEN + c->row->arg;
	char *q;

	fill(c);
	q = mremap(c->p, CONFORM_LEN, len, c->row->part);
	say_new(c, q, len);
	if (q == MAP_FAILED)
		say_data(c, WHOLE);
	else if (q != c->p)
		say_range(c, c->p, CONFORM_LEN, 0);
}

/* Where the next address is taken. */
static void op_grow_blocked(struct conform *c)
{
	size_t len = CONFORM_LEN + UNIT;
	char *q;

	fill(c);
	q = mmap(c->p + CONFORM_LEN, PAGE, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (q == MAP_FAILED)
		say(c, "NO NEIGHBOUR");
	q = mremap(c->p, CONFORM_LEN, len, MREMAP_MAYMOVE);
	say_new(c, q, len);
	if (q == MAP_FAILED)
		say_data(c, WHOLE);
	else if (q != c->p)
		say_range(c, c->p, CONFORM_LEN, 0);
}

/* Move a part to somewhere, arg bytes from 2 MiB alignment. */
static void op_move(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);
	size_t offset = part_offset(c->row->part);
	char *to = som_room(len + 2 * UNIT, UNIT) + c->row->arg;
	char *q;

	fill(c);
	q = mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (!say_result(c, (long)q)) {
		say_data(c, c->row->part);
		return;
	}
	say_writable(c, q, len, offset);
	say_range(c, p, len, offset);
	say_rest(c, offset, len);
	/* And back. */
	say_result(c, (long)mremap(q, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
				   p));
	say_data(c, c->row->part);
}

/* Over a part of itself's neighbour: the last unit goes over the second. */
static void op_move_over(struct conform *c)
{
	char *from = c->p + 3 * UNIT, *to = c->p + UNIT, *q;

	fill(c);
	q = mremap(from, UNIT, UNIT, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (!say_result(c, (long)q))
		return;
	say_writable(c, to, UNIT, 3 * UNIT);
	say_range(c, from, UNIT, 3 * UNIT);
	say_range(c, c->p, UNIT, 0);
	say_range(c, c->p + 2 * UNIT, UNIT, 2 * UNIT);
}

static void op_overlap(struct conform *c)
{
	fill(c);
	say_result(c, (long)mremap(c->p, 2 * UNIT, 2 * UNIT,
				   MREMAP_MAYMOVE | MREMAP_FIXED,
				   c->p + UNIT));
	say_data(c, WHOLE);
}

static void op_dontunmap(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);
	size_t offset = part_offset(c->row->part);
	char *to = som_room(len, UNIT), *q;

	fill(c);
	q = mremap(p, len, len,
		   MREMAP_MAYMOVE | MREMAP_DONTUNMAP | c->row->arg, to);
	if (!say_result(c, (long)q)) {
		say_data(c, c->row->part);
		return;
	}
	say_writable(c, q, len, offset);
	say(c, "left behind:");
	say_data(c, c->row->part);
}

/* From length 0: another mapping of the same memory, where that is possible. */
static void op_duplicate(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);
	size_t offset = part_offset(c->row->part);
	char *to = som_room(len, UNIT), *q;

	catch_faults();
	fill(c);
	q = mremap(p, 0, len, MREMAP_MAYMOVE | c->row->arg, to);
	if (say_result(c, (long)q)) {
		say_range(c, q, len, offset);
		WRITE_ONCE(*(__u64 *)q, 42);
		if (read_signal(p))
			say(c, "the first: refused");
		else
			say(c, READ_ONCE(*(__u64 *)p) == 42 ? "the same memory" :
			    "other memory");
		WRITE_ONCE(*(__u64 *)q, som_word(1, offset));
		if (munmap(q, len))
			say(c, "munmap: %s", strerrorname_np(errno));
	}
	say_data(c, c->row->part);
}

static void op_hole(struct conform *c)
{
	fill(c);
	munmap(c->p + UNIT, UNIT);
	say_result(c, (long)mremap(c->p, CONFORM_LEN, CONFORM_LEN + UNIT,
				   MREMAP_MAYMOVE));
	say_range(c, c->p + 2 * UNIT, 2 * UNIT, 2 * UNIT);
}

static void op_bad(struct conform *c)
{
	fill(c);
	say_result(c, (long)mremap(c->p + c->row->arg, UNIT, c->row->part,
				   MREMAP_MAYMOVE));
	say_data(c, WHOLE);
}

#define MOVED	"ok, data kept, SIGSEGV, ok, data kept"

static const char why_grow[] =
	"Linux 6.12 never grows a special mapping in place. If the addresses "
	"after it are free, it fails, also with MREMAP_MAYMOVE (mm/mremap.c, "
	"vma_merge_extend()).";
static const char why_grow_private[] =
	"The new part of a shared mapping shows the existing content, as for "
	"a file. In a private mapping it would have to be zero, but other "
	"mappings may have that memory. So growing is refused, and the caller "
	"copies.";
static const char why_dontunmap[] =
	"The old shared mapping stays, with the same memory, as for any file "
	"(mremap(2)). The old private mapping would have to be fresh memory, "
	"which a driver cannot provide. So access is refused while the new "
	"mapping exists, and reads as zero afterwards. On a kernel that "
	"checks page tables, such as the debug kernel, shared memory has one "
	"mapping only.";
static const char why_duplicate[] =
	"The kernel refuses it for private mappings only, and treats som "
	"mappings as shared. The second mapping has the same memory; it takes "
	"over the memory of a private one. On a kernel that checks page "
	"tables, shared memory has one mapping only.";

#define HUGE_NO		"EINVAL, data kept"
#define GROWN		{ "ok, in place, data kept, zeroes", HUGE_NO,	\
			  "ENOMEM, data kept", "ENOMEM, data kept" }
#define LEFT		{ "ok, data kept, left behind:, zeroes", HUGE_NO, \
			  "ok, data kept, left behind:, data kept"	\
			  "; debug: ENOMEM, data kept",			\
			  "ok, data kept, left behind:, SIGBUS" }
#define DUPLICATE	{ "EINVAL, data kept", NULL,			\
			  "ok, data kept, the same memory, data kept"	\
			  "; debug: ENOMEM, data kept",			\
			  "ok, data kept, the first: refused, zeroes" }

static const struct conform_row mremap_rows[] = {
	{ "shrink to half", op_shrink, 2 * UNIT, 0,
	  { "ok, in place, data kept, SIGSEGV" } },
	{ "shrink to 4K", op_shrink, PAGE, 0,
	  { "ok, in place, data kept, SIGSEGV",
	    "ok, in place, data kept, data kept and SIGSEGV" } },
	{ "grow by 2M, no flag", op_grow, UNIT, 0, GROWN, why_grow },
	{ "grow by 4K, no flag", op_grow, PAGE, 0, GROWN, why_grow },
	{ "grow by 2M, MAYMOVE", op_grow, UNIT, MREMAP_MAYMOVE, GROWN,
	  why_grow },
	{ "grow by 4K, MAYMOVE", op_grow, PAGE, MREMAP_MAYMOVE, GROWN,
	  why_grow },
	{ "grow by 2M, MAYMOVE, next address taken", op_grow_blocked, 0, 0,
	  { "ok, moved, data kept, zeroes, SIGSEGV", HUGE_NO, NULL,
	    "ENOMEM, data kept" }, why_grow_private },
	{ "move all, FIXED", op_move, 0, WHOLE, { MOVED } },
	{ "move 2M, FIXED", op_move, 0, ONE_UNIT, { MOVED } },
	{ "move 8K, FIXED", op_move, 0, TWO_PAGES, { MOVED, HUGE_NO } },
	{ "move all to 2M aligned + 20K", op_move, 5 * PAGE, WHOLE,
	  { MOVED, HUGE_NO } },
	{ "move 2M to 2M aligned + 20K", op_move, 5 * PAGE, ONE_UNIT,
	  { MOVED, HUGE_NO } },
	{ "move 8K to 2M aligned + 20K", op_move, 5 * PAGE, TWO_PAGES,
	  { MOVED, HUGE_NO } },
	{ "move 2M over 2M of the same mapping", op_move_over, 0, 0,
	  { "ok, data kept, SIGSEGV, data kept, data kept" } },
	{ "FIXED, overlapping", op_overlap, 0, 0, { "EINVAL, data kept" } },
	{ "DONTUNMAP, all", op_dontunmap, 0, WHOLE, LEFT, why_dontunmap },
	{ "DONTUNMAP, 2M, FIXED", op_dontunmap, MREMAP_FIXED, ONE_UNIT, LEFT,
	  why_dontunmap },
	{ "DONTUNMAP, 8K, FIXED", op_dontunmap, MREMAP_FIXED, TWO_PAGES, LEFT,
	  why_dontunmap },
	{ "old size 0, all", op_duplicate, 0, WHOLE, DUPLICATE,
	  why_duplicate },
	{ "old size 0, 2M, FIXED", op_duplicate, MREMAP_FIXED, ONE_UNIT,
	  DUPLICATE, why_duplicate },
	{ "old size 0, 8K, FIXED", op_duplicate, MREMAP_FIXED, TWO_PAGES,
	  DUPLICATE, why_duplicate },
	{ "grow over a hole", op_hole, 0, 0,
	  { "EFAULT, data kept", HUGE_NO } },
	{ "new size 0", op_bad, 0, 0, { "EINVAL, data kept" } },
	{ "not page aligned", op_bad, 100, UNIT, { "EINVAL, data kept" } },
	{}
};

const struct conform_topic conform_mremap = { "mremap", mremap_rows };
