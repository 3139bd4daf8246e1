// SPDX-License-Identifier: GPL-2.0
/* som_conform: mlock, mincore, msync, mseal, names. */
#include <sys/prctl.h>
#include <sys/resource.h>

#include "conform.h"

#ifndef __NR_mseal
#define __NR_mseal	462
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA		0x53564d41
#define PR_SET_VMA_ANON_NAME	0
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT	1
#endif
#ifndef MCL_ONFAULT
#define MCL_ONFAULT	4
#endif

static void say_locked(struct conform *c)
{
	say(c, "VmLck %ld kB, %d pages resident", status_value("VmLck"),
	    resident(c->p, CONFORM_LEN));
}

static void op_mlock(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);

	say_result(c, mlock2(p, len, c->row->arg));
	say_locked(c);
	fill(c);
	say_result(c, munlock(p, len));
	if (status_value("VmLck"))
		say(c, "STILL LOCKED");
	say_data(c, WHOLE);
}

static void op_mlock_filled(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);

	fill(c);
	say_result(c, mlock(p, len));
	say(c, "VmLck %ld kB", status_value("VmLck"));
	say_data(c, c->row->part);
	say_result(c, munmap(p, len));
	say(c, "VmLck %ld kB", status_value("VmLck"));
}

static void op_mlockall(struct conform *c)
{
	long before, more;
	char *p;

	fill(c);
	if (!say_result(c, mlockall(c->row->arg)))
		return;
	say(c, "%d pages resident", resident(c->p, CONFORM_LEN));
	before = status_value("VmLck");
	p = map_more(c, NULL, UNIT, RW, 0);
	if (p == MAP_FAILED) {
		say(c, "mmap: %s", strerrorname_np(errno));
		return;
	}
	more = status_value("VmLck") - before;
	say(c, "VmLck +%ld kB, %d pages resident", more,
	    resident(p, UNIT));
	say_result(c, munlockall());
	say_data(c, WHOLE);
}

static void op_mlock_none(struct conform *c)
{
	fill(c);
	mprotect(c->p, CONFORM_LEN, PROT_NONE);
	say_result(c, mlock(c->p, CONFORM_LEN));
	mprotect(c->p, CONFORM_LEN, RW);
	say_data(c, WHOLE);
}

/* Of a process that may lock nothing. */
static void op_mlock_limit(struct conform *c)
{
	struct rlimit none = { 0, 0 };

	fill(c);
	setrlimit(RLIMIT_MEMLOCK, &none);
	if (setresuid(65534, 65534, 65534))
		say(c, "setresuid: %s", strerrorname_np(errno));
	say_result(c, mlock(c->p, CONFORM_LEN));
	say_data(c, WHOLE);
}

static void op_mlock_mremap(struct conform *c)
{
	char *q;

	fill(c);
	say_result(c, mlock(c->p, CONFORM_LEN));
	q = mremap(c->p, CONFORM_LEN, CONFORM_LEN,
		   MREMAP_MAYMOVE | MREMAP_FIXED, som_room(CONFORM_LEN, UNIT));
	if (!say_result(c, (long)q))
		return;
	say(c, "VmLck %ld kB", status_value("VmLck"));
	say_writable(c, q, CONFORM_LEN, 0);
}

static void op_mincore(struct conform *c)
{
	if (c->row->arg == 1)
		WRITE_ONCE(c->p[UNIT], 1);
	else if (c->row->arg == 2)
		(void)READ_ONCE(c->p[UNIT]);
	else if (c->row->arg == 3)
		fill(c);
	say(c, "%d of 2048 pages", resident(c->p, CONFORM_LEN));
}

static void op_mincore_protected(struct conform *c)
{
	fill(c);
	mprotect(c->p + UNIT, 4 * PAGE, PROT_NONE);
	say(c, "%d of 2048 pages", resident(c->p, CONFORM_LEN));
}

static void op_msync(struct conform *c)
{
	char *p = part_start(c, c->row->part);

	fill(c);
	say_result(c, msync(p, part_len(c->row->part), c->row->arg));
	say_data(c, c->row->part);
}

static void op_seal(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);

	fill(c);
	if (say_result(c, syscall(__NR_mseal, p, len, 0))) {
		say(c, "munmap:");
		say_result(c, munmap(p, len));
		say(c, "mprotect:");
		say_result(c, mprotect(p, len, PROT_READ));
		say(c, "mmap:");
		say_result(c, (long)map_more(c, p, len, RW, MAP_FIXED));
		say(c, "mremap:");
		say_result(c, (long)mremap(p, len, len,
					   MREMAP_MAYMOVE | MREMAP_FIXED,
					   som_room(len, UNIT)));
	}
	say_data(c, c->row->part);
}

/* Memory that may not be written may not be thrown away when sealed. */
static void op_seal_discard(struct conform *c)
{
	char *p = part_start(c, ONE_UNIT);

	fill(c);
	mprotect(p, UNIT, PROT_READ);
	say_result(c, syscall(__NR_mseal, p, UNIT, 0));
	say_result(c, madvise(p, UNIT, c->row->arg));
	say_range(c, p, UNIT, UNIT);
	say_rest(c, UNIT, UNIT);
}

static void op_name(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	char line[256];
	bool found = false;
	FILE *f;

	fill(c);
	say_result(c, prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p,
			    part_len(c->row->part), "conform"));
	f = fopen("/proc/self/maps", "re");
	while (fgets(line, sizeof(line), f))
		found |= !!strstr(line, ":conform]");
	fclose(f);
	say(c, found ? "the name shows" : "no name");
	say_data(c, c->row->part);
}

static const char why_lock[] =
	"som memory is always locked, as HugeTLB memory is, and not counted. "
	"The kernel populates memory to be locked in whole units, with and "
	"without MLOCK_ONFAULT.";

static const char why_seal[] =
	"mseal prevents discarding only of read-only anonymous memory "
	"(mm/mseal.c, is_ro_anon()).";

static const struct conform_row lock_rows[] = {
	{ "mlock of all", op_mlock, 0, WHOLE,
	  { "ok, VmLck 8192 kB, 2048 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 2048 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 2048 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 2048 pages resident, ok, data kept" },
	  why_lock },
	{ "mlock of 2M", op_mlock, 0, ONE_UNIT,
	  { "ok, VmLck 2048 kB, 512 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 512 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 512 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 512 pages resident, ok, data kept" },
	  why_lock },
	{ "mlock of 8K", op_mlock, 0, TWO_PAGES,
	  { "ok, VmLck 8 kB, 2 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 512 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 512 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 512 pages resident, ok, data kept" },
	  why_lock },
	{ "mlock2(MLOCK_ONFAULT) of all", op_mlock, MLOCK_ONFAULT, WHOLE,
	  { "ok, VmLck 8192 kB, 0 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 2048 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 2048 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 2048 pages resident, ok, data kept" },
	  why_lock },
	{ "mlock2(MLOCK_ONFAULT) of 8K", op_mlock, MLOCK_ONFAULT, TWO_PAGES,
	  { "ok, VmLck 8 kB, 0 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 512 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 512 pages resident, ok, data kept",
	    "ok, VmLck 0 kB, 512 pages resident, ok, data kept" },
	  why_lock },
	{ "mlock of all, filled, munmap", op_mlock_filled, 0, WHOLE,
	  { "ok, VmLck 8192 kB, data kept, ok, VmLck 0 kB",
	    "ok, VmLck 0 kB, data kept, ok, VmLck 0 kB",
	    "ok, VmLck 0 kB, data kept, ok, VmLck 0 kB",
	    "ok, VmLck 0 kB, data kept, ok, VmLck 0 kB" },
	  why_lock },
	{ "mlock of 8K, filled, munmap", op_mlock_filled, 0, TWO_PAGES,
	  { "ok, VmLck 8 kB, data kept, ok, VmLck 0 kB",
	    "ok, VmLck 0 kB, data kept, EINVAL, VmLck 0 kB",
	    "ok, VmLck 0 kB, data kept, ok, VmLck 0 kB",
	    "ok, VmLck 0 kB, data kept, ok, VmLck 0 kB" }, why_lock },
	{ "mlock, no access", op_mlock_none, 0, 0, { "ENOMEM, data kept" } },
	{ "mlock, RLIMIT_MEMLOCK 0, no privilege", op_mlock_limit, 0, 0,
	  { "EPERM, data kept" } },
	{ "mlock, then mremap", op_mlock_mremap, 0, 0,
	  { "ok, ok, VmLck 8192 kB, data kept",
	    "ok, ok, VmLck 0 kB, data kept",
	    "ok, ok, VmLck 0 kB, data kept",
	    "ok, ok, VmLck 0 kB, data kept" }, why_lock },
	{ "mlockall(MCL_CURRENT), then mmap", op_mlockall, MCL_CURRENT, 0,
	  { "ok, 2048 pages resident, VmLck +0 kB, 0 pages resident, ok, "
	    "data kept" } },
	{ "mlockall(MCL_CURRENT | MCL_FUTURE), then mmap", op_mlockall,
	  MCL_CURRENT | MCL_FUTURE, 0,
	  { "ok, 2048 pages resident, VmLck +2048 kB, 512 pages resident, ok, "
	    "data kept",
	    "ok, 2048 pages resident, VmLck +0 kB, 512 pages resident, ok, "
	    "data kept",
	    "ok, 2048 pages resident, VmLck +0 kB, 512 pages resident, ok, "
	    "data kept",
	    "ok, 2048 pages resident, VmLck +0 kB, 512 pages resident, ok, "
	    "data kept" }, why_lock },
	{ "mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT), then mmap",
	  op_mlockall, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT, 0,
	  { "ok, 2048 pages resident, VmLck +2048 kB, 0 pages resident, ok, "
	    "data kept",
	    "ok, 2048 pages resident, VmLck +0 kB, 512 pages resident, ok, "
	    "data kept",
	    "ok, 2048 pages resident, VmLck +0 kB, 512 pages resident, ok, "
	    "data kept",
	    "ok, 2048 pages resident, VmLck +0 kB, 512 pages resident, ok, "
	    "data kept" }, why_lock },
	{ "mincore, nothing touched", op_mincore, 0, 0, { "0 of 2048 pages" } },
	{ "mincore, one byte written", op_mincore, 1, 0,
	  { "512 of 2048 pages" } },
	{ "mincore, one byte read", op_mincore, 2, 0, { "512 of 2048 pages" } },
	{ "mincore, all written", op_mincore, 3, 0,
	  { "2048 of 2048 pages" } },
	{ "mincore, 16K of PROT_NONE", op_mincore_protected, 0, 0,
	  { "2048 of 2048 pages", NULL, "1536 of 2048 pages",
	    "1536 of 2048 pages" },
	  "A split of a mapping drops the entry of that unit; the next touch "
	  "makes new entries. The data is unchanged." },
	{ "msync(MS_SYNC) of all", op_msync, MS_SYNC, WHOLE,
	  { "ok, data kept" } },
	{ "msync(MS_SYNC) of 8K", op_msync, MS_SYNC, TWO_PAGES,
	  { "ok, data kept" } },
	{ "msync(MS_ASYNC)", op_msync, MS_ASYNC, WHOLE, { "ok, data kept" } },
	{ "msync(MS_INVALIDATE)", op_msync, MS_INVALIDATE, WHOLE,
	  { "ok, data kept" } },
	{ "mseal of 2M", op_seal, 0, ONE_UNIT,
	  { "ok, munmap:, EPERM, mprotect:, EPERM, mmap:, EPERM, mremap:, "
	    "EPERM, data kept" } },
	{ "mseal of 8K", op_seal, 0, TWO_PAGES,
	  { "ok, munmap:, EPERM, mprotect:, EPERM, mmap:, EPERM, mremap:, "
	    "EPERM, data kept", "EINVAL, data kept" } },
	{ "mseal, read-only, MADV_DONTNEED", op_seal_discard, MADV_DONTNEED, 0,
	  { "ok, EPERM, data kept", "ok, ok, zeroes", "ok, ok, data kept",
	    "ok, ok, zeroes" }, why_seal },
	{ "mseal, read-only, MADV_REMOVE", op_seal_discard, MADV_REMOVE, 0,
	  { "ok, EPERM, data kept", "ok, EACCES, data kept", "ok, ok, zeroes",
	    "ok, ok, zeroes" }, why_seal },
	{ "PR_SET_VMA_ANON_NAME of all", op_name, 0, WHOLE,
	  { "EINVAL, no name, data kept" } },
	{ "PR_SET_VMA_ANON_NAME of 8K", op_name, 0, TWO_PAGES,
	  { "EINVAL, no name, data kept" } },
	{}
};

const struct conform_topic conform_lock = {
	"mlock, mincore, msync, mseal, names", lock_rows
};
