// SPDX-License-Identifier: GPL-2.0
/*
 * som_conform: what get_user_pages() finds behind 4 KiB entries, with
 * SOM_POLICY_PAGE_BACKED, which som-run sets.
 */
#include <linux/futex.h>

#include "conform.h"
#include "som_pins.h"

/* Why a unit has 4 KiB entries. */
enum entries {
	GUARD,		/* mprotect of a page, before there is memory */
	GUARD_LATER,	/* and afterwards */
	NO_HUGE,	/* MADV_NOHUGEPAGE */
	SMALL,		/* a map_size of 4096 */
	IS_TRACKED,	/* written while it is tracked */
	NR_ENTRIES
};

static const char * const entries_names[] = {
	"guard", "guard later", "NOHUGEPAGE", "map_size 4K", "tracked"
};

static bool is_som(const struct conform *c)
{
	return c->kind == SOM_SHARED || c->kind == SOM_PRIVATE;
}

static void fill_words(char *p)
{
	size_t i;

	for (i = 8 * PAGE; i < UNIT; i += 8)
		WRITE_ONCE(*(__u64 *)(p + i), som_word(1, i));
}

/* A unit of memory of the kind, in the place of what the row has. */
static int map_unit(struct conform *c, enum entries which)
{
	struct som_policy policy = { .size = sizeof(policy) };
	int fd;

	munmap(c->p, UNIT);
	if (!is_som(c))
		return map_more(c, c->p, UNIT, RW, MAP_FIXED) == c->p ? 0 :
								-errno;
	fd = som_open();
	if (ioctl(fd, SOM_IOC_GET_POLICY, &policy))
		return -errno;
	policy.options |= SOM_POLICY_PAGE_BACKED;
	policy.map_size = which == SMALL ? PAGE : UNIT;
	if (ioctl(fd, SOM_IOC_SET_POLICY, &policy) ||
	    mmap(c->p, UNIT, RW, MAP_FIXED |
		 (c->kind == SOM_SHARED ? MAP_SHARED : MAP_PRIVATE), fd,
		 0) != c->p)
		return -errno;
	if (which == IS_TRACKED && som_scan_clean(fd, c->p, UNIT))
		return -errno;
	return 0;
}

/* Return: the answer of a pin: 0 or -errno. */
static int pin_behind(struct conform *c, enum entries which,
		      int (*try)(char *p))
{
	int ret = map_unit(c, which);

	if (ret)
		return ret;
	if (which == GUARD)
		mprotect(c->p + 7 * PAGE, PAGE, PROT_NONE);
	if (which == NO_HUGE)
		madvise(c->p, UNIT, MADV_NOHUGEPAGE);
	fill_words(c->p);
	if (which == GUARD_LATER)
		mprotect(c->p + 7 * PAGE, PAGE, PROT_NONE);
	return try(c->p);
}

static int try_futex(char *p, int flag)
{
	const struct timespec limit = { .tv_nsec = 1 };
	int *word = (int *)(p + AT);

	if (syscall(SYS_futex, word, FUTEX_WAKE | flag, 1, NULL, NULL, 0) ||
	    !syscall(SYS_futex, word, FUTEX_WAIT | flag, *word, &limit, NULL, 0))
		return errno ? -errno : -EBADMSG;
	return errno == ETIMEDOUT ? 0 : -errno;
}

static int try_shared_futex(char *p)
{
	return try_futex(p, 0);
}

static int try_private_futex(char *p)
{
	return try_futex(p, FUTEX_PRIVATE_FLAG);
}

static int try_proc_mem(char *p)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC), ret = 0;
	__u64 word;

	if (pread(fd, &word, 8, (uintptr_t)p + AT) != 8 ||
	    pwrite(fd, &word, 8, (uintptr_t)p + AT) != 8)
		ret = -errno;
	else if (word != som_word(1, AT))
		ret = -EBADMSG;
	close(fd);
	return ret;
}

/* Reads and writes of a ring without registered buffers. */
static int try_uring_plain(char *p)
{
	int file = memfd_create("som", 0), ret;
	struct uring u;
	__u64 word;

	ret = uring_open(&u);
	if (ret)
		return ret;
	if (uring_fixed(&u, IORING_OP_WRITE, file, p + AT, PAGE) != PAGE ||
	    pread(file, &word, 8, 0) != 8 ||
	    uring_fixed(&u, IORING_OP_READ, file, p + AT, PAGE) != PAGE)
		ret = -EIO;
	else if (word != som_word(1, AT))
		ret = -EBADMSG;
	close(file);
	uring_close(&u);
	return ret;
}

static int (* const tries[])(char *p) = {
	try_vmsplice, try_process_vm, try_zerocopy, try_direct, try_uring,
	try_uring_plain, try_shared_futex, try_private_futex, try_proc_mem,
};

/* One answer where all are the same; else those that are not "ok". */
static void op_gup(struct conform *c)
{
	int i, ret, bad = 0;

	for (i = 0; i < NR_ENTRIES; i++) {
		ret = pin_behind(c, i, tries[c->row->arg]);
		if (ret == -ENODEV) {
			say(c, "no such device");
			return;
		}
		bad += !!ret;
		if (ret)
			say(c, "%s: %s", entries_names[i],
			    strerrorname_np(-ret));
	}
	if (!bad)
		say(c, "ok");
}

static const char why_debug[] =
	"With CONFIG_DEBUG_VM, the kernel checks that a page of a shared mapping "
	"is a file page before it makes its entry writable by itself. There som "
	"uses page_mkwrite for tracked memory, and the kernel refuses long-term pins for "
	"writing of such mappings with EFAULT, except of pages that were just written.";

#define DISK	"; debug: no such device"
#define CMA	"; debug: NOHUGEPAGE: ENOMEM"

static const struct conform_row gup_rows[] = {
	{ "vmsplice", op_gup, 0, 0, { "ok" } },
	{ "process_vm_readv, process_vm_writev", op_gup, 1, 0, { "ok" } },
	{ "MSG_ZEROCOPY", op_gup, 2, 0, { "ok" } },
	{ "O_DIRECT, block device", op_gup, 3, 0, { "ok" DISK } },
	{ "io_uring, registered buffers (FOLL_LONGTERM)", op_gup, 4, 0,
	  { "ok", NULL, "ok" CMA, "ok" CMA }, why_debug },
	{ "io_uring, other buffers", op_gup, 5, 0, { "ok" } },
	{ "shared futex", op_gup, 6, 0, { "ok" } },
	{ "private futex", op_gup, 7, 0, { "ok" } },
	{ "/proc/PID/mem", op_gup, 8, 0, { "ok" } },
	{}
};

const struct conform_topic conform_gup = { "GUP on 4 KiB entries", gup_rows };
