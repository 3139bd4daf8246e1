// SPDX-License-Identifier: GPL-2.0
/*
 * som_conform: system calls that read and write the memory. Each runs where
 * entries of 2 MiB map it (arg 0), and where entries of 4 KiB do (ENTRIES_4K).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <linux/aio_abi.h>
#include <linux/errqueue.h>

#include "conform.h"

#define ENTRIES_4K	1
#define EMPTY		2
#define READ_ONLY	4

/* 16 KiB across the border of two units. */
#define IO_LEN		(4 * PAGE)
#define IO_OFFSET	(2 * UNIT - 2 * PAGE)

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY	60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY	0x4000000
#endif

/* The memory as the row wants it. */
static char *io_memory(struct conform *c)
{
	if (!(c->row->arg & EMPTY))
		fill(c);
	if (c->row->arg & ENTRIES_4K) {
		mprotect(c->p + UNIT, PAGE, PROT_READ);
		mprotect(c->p + 3 * UNIT - PAGE, PAGE, PROT_READ);
		if (!(c->row->arg & EMPTY))
			fill_range(c->p + IO_OFFSET, IO_LEN, IO_OFFSET);
	}
	if (c->row->arg & READ_ONLY)
		mprotect(c->p + IO_OFFSET, IO_LEN, PROT_READ);
	return c->p + IO_OFFSET;
}

/* Data that came from @from, the call's result @ret. */
static bool say_moved(struct conform *c, const char *what, long ret)
{
	if (ret == IO_LEN) {
		say(c, "%s ok", what);
		return true;
	}
	if (ret >= 0)
		say(c, "%s %ld bytes", what, ret);
	else
		say(c, "%s %s", what, strerrorname_np(errno));
	return false;
}

static void say_buf(struct conform *c, const char *buf)
{
	if (!is_filled(buf, IO_LEN, IO_OFFSET))
		say(c, "WRONG DATA");
}

static void say_memory(struct conform *c)
{
	mprotect(c->p, CONFORM_LEN, RW);
	say_data(c, WHOLE);
}

static int temp_file(int flags)
{
	static int nr;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/conform.%d.%d", getpid(), nr++);
	mkdir("/tmp", 0777);
	return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);
}

/* Out to a file and in again. */
static void file_out_in(struct conform *c, int fd)
{
	static char buf[IO_LEN];
	char *p = io_memory(c);

	if (fd < 0) {
		say(c, "no such disk");
		return;
	}
	if (say_moved(c, "out", pwrite(fd, p, IO_LEN, 0))) {
		int plain = fcntl(fd, F_GETFL) & ~O_DIRECT;

		fcntl(fd, F_SETFL, plain);
		if (pread(fd, buf, IO_LEN, 0) != IO_LEN)
			say(c, "SHORT");
		say_buf(c, buf);
		fcntl(fd, F_SETFL, plain | c->row->part);
	} else {
		fill_range(buf, IO_LEN, IO_OFFSET);
		if (pwrite(fd, buf, IO_LEN, 0) != IO_LEN && !c->row->part)
			say(c, "SHORT");
	}
	if (!(c->row->arg & READ_ONLY))
		memset(p, 0, IO_LEN);
	if (!say_moved(c, "in", pread(fd, p, IO_LEN, 0)) &&
	    !(c->row->arg & READ_ONLY))
		fill_range(p, IO_LEN, IO_OFFSET);
	say_memory(c);
}

static void op_file(struct conform *c)
{
	file_out_in(c, temp_file(c->row->part));
}

static void op_filev(struct conform *c)
{
	char *p = io_memory(c);
	struct iovec vec[3] = {
		{ p, 100 }, { p + 100, 2 * PAGE }, { p + 100 + 2 * PAGE,
		  IO_LEN - 2 * PAGE - 100 },
	};
	static char buf[IO_LEN];
	int fd = temp_file(0);

	say_moved(c, "out", pwritev(fd, vec, 3, 0));
	if (pread(fd, buf, IO_LEN, 0) != IO_LEN)
		say(c, "SHORT");
	say_buf(c, buf);
	memset(p, 0, IO_LEN);
	say_moved(c, "in", preadv(fd, vec, 3, 0));
	say_memory(c);
}

/* A mapping of a file copied in and out by the kernel. */
static void op_pipe(struct conform *c)
{
	static char buf[IO_LEN];
	char *p = io_memory(c);
	int fds[2];

	if (pipe(fds))
		return;
	if (say_moved(c, "out", write(fds[1], p, IO_LEN))) {
		if (read(fds[0], buf, IO_LEN) != IO_LEN)
			say(c, "SHORT");
		say_buf(c, buf);
	}
	fill_range(buf, IO_LEN, IO_OFFSET);
	if (write(fds[1], buf, IO_LEN) != IO_LEN)
		say(c, "SHORT");
	memset(p, 0, IO_LEN);
	say_moved(c, "in", read(fds[0], p, IO_LEN));
	say_memory(c);
}

static bool tcp_pair(int *fds)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (void *)&addr, sizeof(addr)) || listen(fd, 1) ||
	    getsockname(fd, (void *)&addr, &len))
		return false;
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fds[0], (void *)&addr, sizeof(addr)))
		return false;
	fds[1] = accept(fd, NULL, NULL);
	close(fd);
	return fds[1] >= 0;
}

static void op_socket(struct conform *c)
{
	static char buf[IO_LEN];
	char *p = io_memory(c);
	struct iovec vec = { p, IO_LEN };
	struct msghdr msg = { .msg_iov = &vec, .msg_iovlen = 1 };
	int fds[2];

	if (c->row->part == AF_INET ? !tcp_pair(fds) :
	    socketpair(AF_UNIX, SOCK_STREAM, 0, fds)) {
		say(c, "no sockets: %s", strerrorname_np(errno));
		return;
	}
	if (say_moved(c, "sendmsg", sendmsg(fds[0], &msg, 0))) {
		if (recv(fds[1], buf, IO_LEN, MSG_WAITALL) != IO_LEN)
			say(c, "SHORT");
		say_buf(c, buf);
	}
	fill_range(buf, IO_LEN, IO_OFFSET);
	if (send(fds[1], buf, IO_LEN, 0) != IO_LEN)
		say(c, "SHORT");
	memset(p, 0, IO_LEN);
	say_moved(c, "recv", recv(fds[0], p, IO_LEN, MSG_WAITALL));
	memset(p, 0, IO_LEN);
	if (send(fds[1], buf, IO_LEN, 0) != IO_LEN)
		say(c, "SHORT");
	say_moved(c, "recvmsg", recvmsg(fds[0], &msg, MSG_WAITALL));
	say_memory(c);
}

/* Pages sent without a copy: pinned until the other side has them. */
static void op_zerocopy(struct conform *c)
{
	static char buf[IO_LEN];
	char *p = io_memory(c);
	char control[256];
	struct msghdr msg = { .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct pollfd poll_fd = {};
	int fds[2], one = 1;

	if (!tcp_pair(fds) ||
	    setsockopt(fds[0], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one))) {
		say(c, "no sockets: %s", strerrorname_np(errno));
		return;
	}
	if (say_moved(c, "send", send(fds[0], p, IO_LEN, MSG_ZEROCOPY))) {
		if (recv(fds[1], buf, IO_LEN, MSG_WAITALL) != IO_LEN)
			say(c, "SHORT");
		say_buf(c, buf);
		poll_fd.fd = fds[0];
		poll(&poll_fd, 1, 60000);
		say(c, recvmsg(fds[0], &msg, MSG_ERRQUEUE) < 0 ?
		    "NOT COMPLETED" : "completed");
	}
	say_memory(c);
}

/* Unmapped and given back while the socket still has the pages. */
static void op_zerocopy_unmap(struct conform *c)
{
	static char buf[IO_LEN];
	char *p = io_memory(c), *q;
	int fds[2], one = 1;

	if (!tcp_pair(fds) ||
	    setsockopt(fds[0], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one))) {
		say(c, "no sockets: %s", strerrorname_np(errno));
		return;
	}
	say_moved(c, "send", send(fds[0], p, IO_LEN, MSG_ZEROCOPY));
	munmap(c->p, CONFORM_LEN);
	q = map_more(c, c->p, CONFORM_LEN, RW, MAP_FIXED);
	if (q != MAP_FAILED)
		memset(q, 0x55, CONFORM_LEN);
	if (recv(fds[1], buf, IO_LEN, MSG_WAITALL) != IO_LEN)
		say(c, "SHORT");
	say(c, is_filled(buf, IO_LEN, IO_OFFSET) ? "data kept" : "WRONG DATA");
}

/* Pages into a pipe without a copy; what is written later shows, or not. */
static void op_vmsplice(struct conform *c)
{
	static char buf[IO_LEN];
	char *p = io_memory(c);
	struct iovec vec = { p, IO_LEN };
	int fds[2];

	if (pipe(fds))
		return;
	if (say_moved(c, "out", vmsplice(fds[1], &vec, 1, c->row->part))) {
		if (read(fds[0], buf, IO_LEN) != IO_LEN)
			say(c, "SHORT");
		say_buf(c, buf);
	}
	say_memory(c);
}

/* The pipe keeps the pages when they are unmapped. */
static void op_vmsplice_unmap(struct conform *c)
{
	static char buf[IO_LEN];
	char *p = io_memory(c), *q;
	struct iovec vec = { p, IO_LEN };
	int fds[2];

	if (pipe(fds))
		return;
	if (!say_moved(c, "out", vmsplice(fds[1], &vec, 1, 0)))
		return;
	munmap(c->p, CONFORM_LEN);
	q = map_more(c, c->p, CONFORM_LEN, RW, MAP_FIXED);
	if (q != MAP_FAILED)
		memset(q, 0x55, CONFORM_LEN);
	if (read(fds[0], buf, IO_LEN) != IO_LEN)
		say(c, "SHORT");
	say(c, is_filled(buf, IO_LEN, IO_OFFSET) ? "data kept" : "WRONG DATA");
}

/* From a pipe into memory. */
static void op_vmsplice_in(struct conform *c)
{
	static char buf[IO_LEN];
	char *p = io_memory(c);
	struct iovec vec = { p, IO_LEN };
	int fds[2];

	if (pipe(fds))
		return;
	fill_range(buf, IO_LEN, IO_OFFSET);
	if (write(fds[1], buf, IO_LEN) != IO_LEN)
		say(c, "SHORT");
	memset(p, 0, IO_LEN);
	say_moved(c, "in", vmsplice(fds[0], &vec, 1, 0));
	say_memory(c);
}

/* A RAM disk: O_DIRECT of a block device pins the pages. */
static void op_block(struct conform *c)
{
	file_out_in(c, open("/dev/ram0", O_RDWR | O_DIRECT | O_CLOEXEC));
}

static long aio(int fd, int op, void *p)
{
	aio_context_t ctx = 0;
	struct iocb cb = {
		.aio_lio_opcode = op,
		.aio_fildes = fd,
		.aio_buf = (uintptr_t)p,
		.aio_nbytes = IO_LEN,
	};
	struct iocb *list[] = { &cb };
	struct io_event event = { .res = -1 };

	if (syscall(SYS_io_setup, 1, &ctx))
		return -1;
	if (syscall(SYS_io_submit, ctx, 1, list) != 1)
		return -1;
	syscall(SYS_io_getevents, ctx, 1, 1, &event, NULL);
	syscall(SYS_io_destroy, ctx);
	if (event.res < 0) {
		errno = -event.res;
		return -1;
	}
	return event.res;
}

static void op_aio(struct conform *c)
{
	char *p = io_memory(c);
	int fd = c->row->part ? open("/dev/ram0", O_RDWR | O_DIRECT) :
				temp_file(0);
	static char buf[IO_LEN];

	if (fd < 0) {
		say(c, "no such disk");
		return;
	}
	if (!say_moved(c, "out", aio(fd, IOCB_CMD_PWRITE, p))) {
		fill_range(buf, IO_LEN, IO_OFFSET);
		if (!c->row->part && pwrite(fd, buf, IO_LEN, 0) != IO_LEN)
			say(c, "SHORT");
	}
	memset(p, 0, IO_LEN);
	if (!say_moved(c, "in", aio(fd, IOCB_CMD_PREAD, p)))
		fill_range(p, IO_LEN, IO_OFFSET);
	say_memory(c);
}

/* AIO's completion ring is the kernel's; the iocb and the event may be here. */
static void op_aio_events(struct conform *c)
{
	struct iocb *cb = (void *)(c->p + UNIT);
	struct iocb **list = (void *)(c->p + UNIT + PAGE);
	struct io_event *event = (void *)(c->p + UNIT + 2 * PAGE);
	aio_context_t *ctx = (void *)(c->p + UNIT + 3 * PAGE);

	fill(c);
	*ctx = 0;
	memset(cb, 0, sizeof(*cb));
	cb->aio_lio_opcode = IOCB_CMD_PWRITE;
	cb->aio_fildes = temp_file(0);
	cb->aio_buf = (uintptr_t)c->p;
	cb->aio_nbytes = IO_LEN;
	list[0] = cb;
	say_result(c, syscall(SYS_io_setup, 1, ctx));
	say_result(c, syscall(SYS_io_submit, *ctx, 1, list));
	say_result(c, syscall(SYS_io_getevents, *ctx, 1, 1, event, NULL));
	say(c, event->res == IO_LEN ? "written" : "NOT WRITTEN");
	syscall(SYS_io_destroy, *ctx);
	say_rest(c, UNIT, UNIT);
}

/* Structures that system calls fill in. */
static void op_structs(struct conform *c)
{
	struct stat *st = (void *)(c->p + UNIT - 16);
	struct timespec *ts = (void *)(c->p + 2 * UNIT);
	char *cwd = c->p + 2 * UNIT + PAGE;

	say_result(c, stat("/", st));
	say_result(c, syscall(SYS_clock_gettime, CLOCK_REALTIME, ts));
	say_result(c, syscall(SYS_getcwd, cwd, PAGE) < 0 ? -1 : 0);
	snprintf(cwd, PAGE, "/proc/self/stat");
	say_result(c, access(cwd, F_OK));
	say_result(c, getrandom(c->p, UNIT, 0));
}

static const char why_4k[] =
	"A special entry of 4 KiB cannot be pinned (mm/gup.c, "
	"follow_pfn_pte()). Such calls work where an entry of 2 MiB maps the "
	"memory.";

#define OUT_IN		"out ok, in ok, data kept"
#define EFAULTS		"out EEXIST, in EEXIST, data kept"

static const struct conform_row io_rows[] = {
	{ "write, read", op_file, 0, 0, { OUT_IN } },
	{ "write, read, 4K entries", op_file, ENTRIES_4K, 0, { OUT_IN } },
	{ "write, read, PROT_READ", op_file, READ_ONLY, 0,
	  { "out ok, in EFAULT, data kept", OUT_IN } },
	{ "pwritev, preadv", op_filev, 0, 0, { OUT_IN } },
	{ "pwritev, preadv, 4K entries", op_filev, ENTRIES_4K, 0, { OUT_IN } },
	{ "write, read of a pipe", op_pipe, 0, 0, { OUT_IN } },
	{ "write, read of a pipe, 4K entries", op_pipe, ENTRIES_4K, 0,
	  { OUT_IN } },
	{ "unix socket", op_socket, 0, AF_UNIX,
	  { "sendmsg ok, recv ok, recvmsg ok, data kept" } },
	{ "TCP", op_socket, 0, AF_INET,
	  { "sendmsg ok, recv ok, recvmsg ok, data kept" } },
	{ "TCP, 4K entries", op_socket, ENTRIES_4K, AF_INET,
	  { "sendmsg ok, recv ok, recvmsg ok, data kept" } },
	{ "MSG_ZEROCOPY", op_zerocopy, 0, 0,
	  { "send ok, completed, data kept" } },
	{ "MSG_ZEROCOPY, 4K entries", op_zerocopy, ENTRIES_4K, 0,
	  { "send ok, completed, data kept", NULL, "send EFAULT, data kept",
	    "send EFAULT, data kept" }, why_4k },
	{ "MSG_ZEROCOPY, munmap before it arrives", op_zerocopy_unmap, 0, 0,
	  { "send ok, data kept" } },
	{ "vmsplice to a pipe", op_vmsplice, 0, 0, { "out ok, data kept" } },
	{ "vmsplice to a pipe, 4K entries", op_vmsplice, ENTRIES_4K, 0,
	  { "out ok, data kept", NULL, "out EEXIST, data kept",
	    "out EEXIST, data kept" }, why_4k },
	{ "vmsplice to a pipe, SPLICE_F_GIFT", op_vmsplice, 0, SPLICE_F_GIFT,
	  { "out ok, data kept" } },
	{ "vmsplice to a pipe, munmap, read", op_vmsplice_unmap, 0, 0,
	  { "out ok, data kept" } },
	{ "vmsplice from a pipe", op_vmsplice_in, 0, 0,
	  { "in ok, data kept" } },
	{ "vmsplice from a pipe, 4K entries", op_vmsplice_in, ENTRIES_4K, 0,
	  { "in ok, data kept" } },
	{ "O_DIRECT, tmpfs (copies)", op_file, 0, O_DIRECT, { OUT_IN } },
	{ "O_DIRECT, tmpfs (copies), 4K entries", op_file, ENTRIES_4K,
	  O_DIRECT, { OUT_IN } },
	{ "O_DIRECT, block device (pins)", op_block, 0, O_DIRECT,
	  { OUT_IN "; debug: no such disk" } },
	{ "O_DIRECT, block device (pins), 4K entries", op_block, ENTRIES_4K,
	  O_DIRECT, { OUT_IN "; debug: no such disk", NULL,
	  EFAULTS "; debug: no such disk",
	  EFAULTS "; debug: no such disk" }, why_4k },
	{ "AIO, tmpfs (copies)", op_aio, 0, 0, { OUT_IN } },
	{ "AIO, tmpfs (copies), 4K entries", op_aio, ENTRIES_4K, 0,
	  { OUT_IN } },
	{ "AIO, O_DIRECT, block device (pins)", op_aio, 0, 1,
	  { OUT_IN "; debug: no such disk" } },
	{ "AIO, iocb and event in it", op_aio_events, 0, 0,
	  { "ok, ok, ok, written" } },
	{ "stat, clock_gettime, getcwd, a path, getrandom", op_structs, 0, 0,
	  { "ok, ok, ok, ok, ok" } },
	{}
};

const struct conform_topic conform_io = { "Reading and writing", io_rows };
