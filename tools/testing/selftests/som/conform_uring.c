// SPDX-License-Identifier: GPL-2.0
/*
 * som_conform: io_uring, by system calls: buffers, registered buffers, and
 * access by its kernel threads.
 */
#include <sys/uio.h>

#include <linux/io_uring.h>

#include "conform.h"

#define IO_LEN		(4 * PAGE)
#define IO_OFFSET	(2 * UNIT - 2 * PAGE)

/* arg of a row */
#define FIXED		1	/* registered buffer */
#define WORKER		2	/* by a worker thread */
#define SQPOLL		4	/* submitted by a kernel thread */
#define ENTRIES_4K	8
#define UNMAP		16	/* registered, then unmapped */
#define EMPTY		32

struct ring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array, *sq_flags;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	bool poll;
};

static bool ring_open(struct ring *r, bool poll)
{
	struct io_uring_params p = {
		.flags = poll ? IORING_SETUP_SQPOLL : 0,
		.sq_thread_idle = 1000,
	};
	size_t len;
	char *ring;

	r->poll = poll;
	r->fd = syscall(SYS_io_uring_setup, 4, &p);
	if (r->fd < 0)
		return false;
	len = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	if (len < p.sq_off.array + p.sq_entries * sizeof(int))
		len = p.sq_off.array + p.sq_entries * sizeof(int);
	ring = mmap(NULL, len, RW, MAP_SHARED | MAP_POPULATE, r->fd,
		    IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe), RW,
		       MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQES);
	if (ring == MAP_FAILED || r->sqes == MAP_FAILED)
		return false;
	r->sq_tail = (void *)(ring + p.sq_off.tail);
	r->sq_mask = (void *)(ring + p.sq_off.ring_mask);
	r->sq_array = (void *)(ring + p.sq_off.array);
	r->sq_flags = (void *)(ring + p.sq_off.flags);
	r->cq_head = (void *)(ring + p.cq_off.head);
	r->cq_tail = (void *)(ring + p.cq_off.tail);
	r->cq_mask = (void *)(ring + p.cq_off.ring_mask);
	r->cqes = (void *)(ring + p.cq_off.cqes);
	return true;
}

/* One request. Return: its result, or -1 and errno. */
static long ring_do(struct ring *r, int op, int fd, void *p, unsigned int flags)
{
	unsigned int tail = *r->sq_tail, head = *r->cq_head;
	struct io_uring_sqe *sqe = &r->sqes[tail & *r->sq_mask];
	double end = som_now() + 20;
	unsigned int enter = IORING_ENTER_GETEVENTS;
	int res;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op;
	sqe->flags = flags;
	sqe->fd = fd;
	sqe->addr = (uintptr_t)p;
	sqe->len = IO_LEN;
	r->sq_array[tail & *r->sq_mask] = tail & *r->sq_mask;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_SEQ_CST);
	if (r->poll)
		enter |= IORING_ENTER_SQ_WAKEUP;
	if (syscall(SYS_io_uring_enter, r->fd, 1, 1, enter, NULL, 0) < 0)
		return -1;
	while (__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) == head) {
		if (som_now() > end) {
			errno = ETIMEDOUT;
			return -1;
		}
		usleep(100);
	}
	res = r->cqes[head & *r->cq_mask].res;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	if (res < 0) {
		errno = -res;
		return -1;
	}
	return res;
}

static void say_moved(struct conform *c, const char *what, long ret)
{
	if (ret == IO_LEN)
		say(c, "%s ok", what);
	else if (ret >= 0)
		say(c, "%s %ld bytes", what, ret);
	else
		say(c, "%s %s", what, strerrorname_np(errno));
}

static int temp_file(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/conform.ring.%d", getpid());
	mkdir("/tmp", 0777);
	return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static void op_uring(struct conform *c)
{
	static char buf[IO_LEN];
	char *p = c->p + IO_OFFSET, *q = c->p;
	long arg = c->row->arg;
	unsigned int flags = arg & WORKER ? IOSQE_ASYNC : 0;
	struct iovec vec = { c->p, CONFORM_LEN };
	struct ring ring;
	int fd = temp_file();

	if (!(arg & EMPTY))
		fill(c);
	if (arg & ENTRIES_4K) {
		mprotect(c->p + UNIT, PAGE, PROT_READ);
		mprotect(c->p + 3 * UNIT - PAGE, PAGE, PROT_READ);
		fill_range(p, IO_LEN, IO_OFFSET);
		vec.iov_base = p;
		vec.iov_len = IO_LEN;
	}
	if (!ring_open(&ring, arg & SQPOLL)) {
		say(c, "no ring: %s", strerrorname_np(errno));
		return;
	}
	if (arg & FIXED) {
		long ret = syscall(SYS_io_uring_register, ring.fd,
				   IORING_REGISTER_BUFFERS, &vec, 1);

		say(c, "register %s", ret ? strerrorname_np(errno) : "ok");
		if (ret)
			goto out;
	}
	if (arg & EMPTY)
		fill(c);
	if (arg & UNMAP) {
		munmap(c->p, CONFORM_LEN);
		q = map_more(c, c->p, CONFORM_LEN, RW, MAP_FIXED);
		if (q != MAP_FAILED)
			memset(q, 0x55, CONFORM_LEN);
	}
	say_moved(c, "out", ring_do(&ring, arg & FIXED ? IORING_OP_WRITE_FIXED :
				    IORING_OP_WRITE, fd, p, flags));
	if (pread(fd, buf, IO_LEN, 0) != IO_LEN ||
	    !is_filled(buf, IO_LEN, IO_OFFSET))
		say(c, "WRONG DATA");
	if (!(arg & UNMAP))
		memset(p, 0, IO_LEN);
	say_moved(c, "in", ring_do(&ring, arg & FIXED ? IORING_OP_READ_FIXED :
				   IORING_OP_READ, fd, p, flags));
	if (arg & UNMAP) {
		/* What was read went to the old memory, not the new. */
		size_t i;

		for (i = 0; i < CONFORM_LEN; i += 64)
			if (c->p[i] != 0x55)
				say(c, "LEAKED");
		return;
	}
out:
	mprotect(c->p, CONFORM_LEN, RW);
	say_data(c, WHOLE);
}

static const char why_4k[] =
	"A special entry of 4 KiB cannot be pinned (mm/gup.c, "
	"follow_pfn_pte()). Register buffers where an entry of 2 MiB maps the "
	"memory.";

#define OUT_IN	"out ok, in ok, data kept"
#define FIXED_OK	"register ok, out ok, in ok, data kept"
#define FIXED_UNMAP	"register ok, out ok, in ok"
#define NO_CMA		"; debug: register ENOMEM, data kept"
#define FIXED_SOM	{ FIXED_OK, NULL, FIXED_OK NO_CMA, FIXED_OK NO_CMA }

static const char why_cma[] =
	"In the guest of the debug kernel the 1 GiB pages come from CMA, "
	"whose memory cannot be pinned for long. Use SOM_IOC_PAGE_BACKED.";

static const struct conform_row uring_rows[] = {
	{ "write, read", op_uring, 0, 0, { OUT_IN } },
	{ "write, read, 4K entries", op_uring, ENTRIES_4K, 0, { OUT_IN } },
	{ "write, read by a worker thread", op_uring, WORKER, 0, { OUT_IN } },
	{ "write, read by a worker thread, 4K entries", op_uring,
	  WORKER | ENTRIES_4K, 0, { OUT_IN } },
	{ "write, read by the SQPOLL thread", op_uring, SQPOLL, 0, { OUT_IN } },
	{ "registered buffer", op_uring, FIXED, 0, FIXED_SOM, why_cma },
	{ "registered buffer, empty before", op_uring, FIXED | EMPTY, 0,
	  { FIXED_OK, NULL, FIXED_OK "; debug: register ENOMEM, zeroes",
	    FIXED_OK "; debug: register ENOMEM, zeroes" }, why_cma },
	{ "registered buffer, 4K entries", op_uring, FIXED | ENTRIES_4K, 0,
	  { FIXED_OK, NULL, "register EEXIST, data kept",
	    "register EEXIST, data kept" }, why_4k },
	{ "registered buffer, worker thread", op_uring, FIXED | WORKER, 0,
	  FIXED_SOM, why_cma },
	{ "registered buffer, SQPOLL thread", op_uring, FIXED | SQPOLL, 0,
	  FIXED_SOM, why_cma },
	{ "registered buffer, munmap, mapped again", op_uring, FIXED | UNMAP,
	  0, { FIXED_UNMAP, NULL, FIXED_UNMAP NO_CMA, FIXED_UNMAP NO_CMA },
	  why_cma },
	{}
};

const struct conform_topic conform_uring = { "io_uring", uring_rows };
