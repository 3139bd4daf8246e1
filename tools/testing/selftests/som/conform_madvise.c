// SPDX-License-Identifier: GPL-2.0
/* som_conform: madvise with every value, and process_madvise. */
#include <sys/pidfd.h>

#include "conform.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif
#ifndef __NR_process_madvise
#define __NR_process_madvise	440
#endif

static void op_advise(struct conform *c)
{
	fill(c);
	say_result(c, madvise(part_start(c, c->row->part),
			      part_len(c->row->part), c->row->arg));
	say_data(c, c->row->part);
}

/* Where nothing is populated: how many pages are then? */
static void op_advise_empty(struct conform *c)
{
	say_result(c, madvise(part_start(c, c->row->part),
			      part_len(c->row->part), c->row->arg));
	say(c, "%d pages resident", resident(c->p, CONFORM_LEN));
	say_writable(c, c->p, CONFORM_LEN, 0);
}

/* Where there is no access. */
static void op_advise_none(struct conform *c)
{
	fill(c);
	mprotect(c->p, CONFORM_LEN, PROT_NONE);
	say_result(c, madvise(part_start(c, c->row->part),
			      part_len(c->row->part), c->row->arg));
	mprotect(c->p, CONFORM_LEN, RW);
	say_data(c, c->row->part);
}

/* By a process that has no privilege. */
static void op_advise_nobody(struct conform *c)
{
	fill(c);
	if (setresuid(65534, 65534, 65534))
		say(c, "setresuid: %s", strerrorname_np(errno));
	say_result(c, madvise(part_start(c, c->row->part),
			      part_len(c->row->part), c->row->arg));
	say_data(c, c->row->part);
}

/* By one that has: HugeTLB would lose a page of its pool. */
static void op_soft_offline(struct conform *c)
{
	if (c->kind == HUGETLB) {
		say(c, "not run, takes a page from the pool");
		return;
	}
	op_advise(c);
}

/* Written again after it was given up. */
static void op_advise_reuse(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);
	int round;

	fill(c);
	for (round = 0; round < 3; round++) {
		if (madvise(p, len, c->row->arg)) {
			say(c, "%s", strerrorname_np(errno));
			break;
		}
		fill_range(p, len, part_offset(c->row->part));
	}
	if (round == 3)
		say(c, "ok");
	say_data(c, c->row->part);
}

static void op_process_madvise(struct conform *c)
{
	struct iovec vec[2] = {
		{ part_start(c, c->row->part), part_len(c->row->part) / 2 },
		{ part_start(c, c->row->part) + part_len(c->row->part) / 2,
		  part_len(c->row->part) / 2 },
	};
	int pidfd = pidfd_open(getpid(), 0);
	long ret;

	fill(c);
	ret = syscall(__NR_process_madvise, pidfd, vec, 2, c->row->arg, 0);
	if (say_result(c, ret) && ret != part_len(c->row->part))
		say(c, "%ld bytes", ret);
	say_data(c, c->row->part);
}

static void op_advise_hole(struct conform *c)
{
	fill(c);
	munmap(c->p + 2 * UNIT, UNIT);
	say_result(c, madvise(c->p, CONFORM_LEN, c->row->arg));
	say_range(c, c->p, 2 * UNIT, 0);
	say_range(c, c->p + 3 * UNIT, UNIT, 3 * UNIT);
}

static void op_advise_bad(struct conform *c)
{
	fill(c);
	say_result(c, madvise(c->p + 100, PAGE, c->row->arg));
	say_data(c, WHOLE);
}

#define WORDS(...)	{ __VA_ARGS__ }

/* Three rows for an advice: all, 2M and 8K, where HugeTLB says otherwise. */
#define ADVICE(name, big, small, reason)				\
	{ #name " of all", op_advise, name, WHOLE, big, reason },	\
	{ #name " of 2M", op_advise, name, ONE_UNIT, big, reason },	\
	{ #name " of 8K", op_advise, name, TWO_PAGES, small, reason }

#define KEPT		WORDS("ok, data kept")
#define KEPT_2M		WORDS("ok, data kept", "EINVAL, data kept")
#define REFUSED		WORDS("EINVAL, data kept")
#define ANON_ONLY	WORDS("ok, data kept", "EINVAL, data kept",	\
			      "EINVAL, data kept", "EINVAL, data kept")

static const char why_dontneed[] =
	"MADV_DONTNEED of a shared mapping keeps the data, see madvise(2).";
static const char why_free[] =
	"The kernel supports it for anonymous memory only (mm/madvise.c, "
	"madvise_free_single_vma()).";
static const char why_remove[] =
	"The kernel supports it for shared mappings only; som mappings count "
	"as shared. It releases the memory.";
static const char why_wipe[] =
	"The kernel supports it for anonymous memory only (mm/madvise.c, "
	"madvise_vma_behavior()). A child inherits nothing anyway.";
static const char why_dump[] =
	"The kernel refuses it for special mappings (mm/madvise.c, "
	"madvise_vma_behavior()). Use SOM_MMAP_DODUMP.";
static const char why_collapse[] =
	"The kernel collapses anonymous and page cache memory only. som "
	"memory has huge entries wherever possible.";

static const char why_offline[] =
	"A page of som memory is part of a chunk of 1 GiB that does not move, "
	"so the page stays in use.";
static const char why_poison[] =
	"With privilege, it removes the memory permanently: for som memory "
	"the chunk of 1 GiB, which HugeTLB does not allocate again. So only "
	"the refusal is tested.";

static const struct conform_row madvise_rows[] = {
	ADVICE(MADV_NORMAL, KEPT, KEPT, NULL),
	ADVICE(MADV_RANDOM, KEPT, KEPT_2M, NULL),
	ADVICE(MADV_SEQUENTIAL, KEPT, KEPT_2M, NULL),
	ADVICE(MADV_WILLNEED, KEPT, KEPT, NULL),
	ADVICE(MADV_DONTNEED, WORDS("ok, zeroes", NULL, "ok, data kept"),
	       WORDS("ok, zeroes", "EINVAL, data kept", "ok, data kept"),
	       why_dontneed),
	{ "MADV_DONTNEED of 2M, written, three times", op_advise_reuse,
	  MADV_DONTNEED, ONE_UNIT, KEPT },
	{ "MADV_DONTNEED of 8K, written, three times", op_advise_reuse,
	  MADV_DONTNEED, TWO_PAGES, KEPT_2M },
	{ "MADV_DONTNEED of 2M without access", op_advise_none, MADV_DONTNEED,
	  ONE_UNIT, { "ok, zeroes", NULL, "ok, data kept" }, why_dontneed },
	{ "MADV_DONTNEED over a hole", op_advise_hole, MADV_DONTNEED, 0,
	  { "ENOMEM, zeroes, zeroes", NULL, "ENOMEM, data kept, data kept" },
	  why_dontneed },
	ADVICE(MADV_DONTNEED_LOCKED,
	       WORDS("ok, zeroes", NULL, "ok, data kept"),
	       WORDS("ok, zeroes", "EINVAL, data kept", "ok, data kept"),
	       why_dontneed),
	ADVICE(MADV_FREE, ANON_ONLY, ANON_ONLY, why_free),
	{ "MADV_FREE of 2M, written, three times", op_advise_reuse,
	  MADV_FREE, ONE_UNIT, ANON_ONLY, why_free },
	ADVICE(MADV_REMOVE,
	       WORDS("EINVAL, data kept", "EACCES, data kept", "ok, zeroes",
		     "ok, zeroes"),
	       WORDS("EINVAL, data kept", "EACCES, data kept", "ok, zeroes",
		     "ok, zeroes"), why_remove),
	{ "MADV_REMOVE of 2M, written, three times", op_advise_reuse,
	  MADV_REMOVE, ONE_UNIT,
	  { "EINVAL, data kept", "EACCES, data kept", "ok, data kept",
	    "ok, data kept" }, why_remove },
	ADVICE(MADV_DONTFORK, KEPT, KEPT_2M, NULL),
	ADVICE(MADV_DOFORK, KEPT, KEPT, NULL),
	ADVICE(MADV_WIPEONFORK, ANON_ONLY, ANON_ONLY, why_wipe),
	ADVICE(MADV_KEEPONFORK, KEPT, KEPT, NULL),
	ADVICE(MADV_MERGEABLE, KEPT, KEPT, NULL),
	ADVICE(MADV_UNMERGEABLE, KEPT, KEPT, NULL),
	ADVICE(MADV_HUGEPAGE, KEPT, KEPT_2M, NULL),
	ADVICE(MADV_NOHUGEPAGE, KEPT, KEPT_2M, NULL),
	ADVICE(MADV_COLLAPSE, ANON_ONLY, REFUSED, why_collapse),
	ADVICE(MADV_DONTDUMP, KEPT, KEPT_2M, NULL),
	ADVICE(MADV_DODUMP,
	       WORDS("ok, data kept", NULL, "EINVAL, data kept",
		     "EINVAL, data kept"),
	       WORDS("ok, data kept", NULL, "EINVAL, data kept",
		     "EINVAL, data kept"), why_dump),
	ADVICE(MADV_COLD, KEPT_2M, KEPT_2M, NULL),
	ADVICE(MADV_PAGEOUT, KEPT_2M, KEPT_2M, NULL),
	ADVICE(MADV_POPULATE_READ, KEPT, KEPT, NULL),
	ADVICE(MADV_POPULATE_WRITE, KEPT, KEPT, NULL),
	{ "MADV_POPULATE_READ of 2M, empty", op_advise_empty,
	  MADV_POPULATE_READ, ONE_UNIT, { "ok, 512 pages resident, zeroes" } },
	{ "MADV_POPULATE_READ of 8K, empty", op_advise_empty,
	  MADV_POPULATE_READ, TWO_PAGES, { "ok, 512 pages resident, zeroes" } },
	{ "MADV_POPULATE_WRITE of 2M, empty", op_advise_empty,
	  MADV_POPULATE_WRITE, ONE_UNIT, { "ok, 512 pages resident, zeroes" } },
	{ "MADV_POPULATE_WRITE of 8K, empty", op_advise_empty,
	  MADV_POPULATE_WRITE, TWO_PAGES, { "ok, 512 pages resident, zeroes" } },
	{ "MADV_WILLNEED of 2M, empty", op_advise_empty, MADV_WILLNEED,
	  ONE_UNIT, { "ok, 0 pages resident, zeroes" } },
	{ "MADV_POPULATE_READ of 2M without access", op_advise_none,
	  MADV_POPULATE_READ, ONE_UNIT, REFUSED },
	{ "MADV_POPULATE_WRITE of 8K without access", op_advise_none,
	  MADV_POPULATE_WRITE, TWO_PAGES, REFUSED },
	ADVICE(MADV_GUARD_INSTALL, REFUSED, REFUSED, NULL),
	ADVICE(MADV_GUARD_REMOVE, REFUSED, REFUSED, NULL),
	{ "MADV_SOFT_OFFLINE of 8K", op_soft_offline, MADV_SOFT_OFFLINE,
	  TWO_PAGES,
	  { "ok, data kept", "not run, takes a page from the pool",
	    "EBUSY, data kept", "EBUSY, data kept" }, why_offline },
	{ "MADV_HWPOISON of 8K, no privilege", op_advise_nobody,
	  MADV_HWPOISON, TWO_PAGES, { "EPERM, data kept" }, why_poison },
	{ "MADV_SOFT_OFFLINE of 8K, no privilege", op_advise_nobody,
	  MADV_SOFT_OFFLINE, TWO_PAGES, { "EPERM, data kept" } },
	{ "an unknown value", op_advise, 9999, TWO_PAGES,
	  { "EINVAL, data kept" } },
	{ "not page aligned", op_advise_bad, MADV_DONTNEED, 0,
	  { "EINVAL, data kept" } },
	{ "process_madvise(MADV_COLD) of 8K", op_process_madvise, MADV_COLD,
	  TWO_PAGES, KEPT_2M },
	{ "process_madvise(MADV_PAGEOUT) of 8K", op_process_madvise,
	  MADV_PAGEOUT, TWO_PAGES, KEPT_2M },
	{ "process_madvise(MADV_WILLNEED) of 8K", op_process_madvise,
	  MADV_WILLNEED, TWO_PAGES, { "ok, data kept" } },
	{ "process_madvise(MADV_COLLAPSE) of all", op_process_madvise,
	  MADV_COLLAPSE, WHOLE, ANON_ONLY, why_collapse },
	{ "process_madvise(MADV_DONTNEED) of 8K", op_process_madvise,
	  MADV_DONTNEED, TWO_PAGES, { "EINVAL, data kept" } },
	{}
};

const struct conform_topic conform_madvise = { "madvise", madvise_rows };
