/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pins of every kind, each on memory that som_fill() has filled with mark 1: what they
 * move is compared, and the memory is as it was afterwards.
 */
#ifndef SOM_PINS_H
#define SOM_PINS_H

#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "som_scan.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY	0x4000000
#endif
#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY	60
#endif

/* Where in the memory. */
#define AT	(20 * PAGE)

/* Each returns 0 when it worked and moved the right bytes, or -errno. */

static inline int try_vmsplice(char *p)
{
	struct iovec iov = { p + AT, 3 * PAGE };
	char buf[3 * PAGE];
	int fds[2], ret = 0;
	size_t i;

	if (pipe(fds))
		return -errno;
	if (vmsplice(fds[1], &iov, 1, 0) != 3 * PAGE)
		ret = -errno;
	else if (read(fds[0], buf, sizeof(buf)) != sizeof(buf))
		ret = -EIO;
	for (i = 0; !ret && i < sizeof(buf); i += 8)
		if (*(__u64 *)(buf + i) != som_word(1, AT + i))
			ret = -EBADMSG;
	close(fds[0]);
	close(fds[1]);
	return ret;
}

static inline int try_process_vm(char *p)
{
	char buf[2 * PAGE];
	struct iovec local = { buf, sizeof(buf) };
	struct iovec remote = { p + AT + PAGE / 2, sizeof(buf) };
	__u64 word = 0x1234;
	size_t i;

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) !=
	    sizeof(buf))
		return -errno;
	for (i = 0; i < sizeof(buf); i += 8)
		if (*(__u64 *)(buf + i) != som_word(1, AT + PAGE / 2 + i))
			return -EBADMSG;
	local = (struct iovec) { &word, 8 };
	remote = (struct iovec) { p + AT, 8 };
	if (process_vm_writev(getpid(), &local, 1, &remote, 1, 0) != 8)
		return -errno;
	if (READ_ONCE(*(__u64 *)(p + AT)) != 0x1234)
		return -EBADMSG;
	WRITE_ONCE(*(__u64 *)(p + AT), som_word(1, AT));
	return 0;
}

/* A TCP connection to oneself, sending without a copy. */
static inline int try_zerocopy(char *p)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int s, out, in, one = 1, ret = 0;
	char buf[2 * PAGE];
	size_t i;

	s = socket(AF_INET, SOCK_STREAM, 0);
	out = socket(AF_INET, SOCK_STREAM, 0);
	if (s < 0 || out < 0 || bind(s, (void *)&addr, sizeof(addr)) ||
	    listen(s, 1) || getsockname(s, (void *)&addr, &len) ||
	    setsockopt(out, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) ||
	    connect(out, (void *)&addr, sizeof(addr)))
		return -ENODEV;
	in = accept(s, NULL, NULL);
	if (send(out, p + AT, sizeof(buf), MSG_ZEROCOPY) != sizeof(buf))
		ret = -errno;
	else if (recv(in, buf, sizeof(buf), MSG_WAITALL) != sizeof(buf))
		ret = -EIO;
	for (i = 0; !ret && i < sizeof(buf); i += 8)
		if (*(__u64 *)(buf + i) != som_word(1, AT + i))
			ret = -EBADMSG;
	close(in);
	close(out);
	close(s);
	return ret;
}

/* Direct reads from whatever disk there is. */
static inline int try_direct(char *p)
{
	static const char * const names[] = {
		"/dev/ram0", "/dev/vda", "/dev/sda", "/dev/pmem0", "/dev/zram0",
	};
	char buf[PAGE];
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		int ret = 0;

		fd = open(names[i], O_RDONLY | O_DIRECT);
		if (fd < 0)
			continue;
		if (pread(fd, p + AT, PAGE, 0) != PAGE)
			ret = -errno;
		close(fd);
		fd = open(names[i], O_RDONLY);
		if (!ret && (pread(fd, buf, PAGE, 0) != PAGE ||
			     memcmp(buf, p + AT, PAGE)))
			ret = -EBADMSG;
		close(fd);
		for (i = 0; i < PAGE; i += 8)
			WRITE_ONCE(*(__u64 *)(p + AT + i), som_word(1, AT + i));
		return ret;
	}
	return -ENODEV;
}

struct uring {
	int fd;
	char *sq, *cq;
	struct io_uring_sqe *sqes;
	struct io_uring_params params;
};

static inline int uring_open(struct uring *u)
{
	struct io_uring_params *p = &u->params;

	memset(u, 0, sizeof(*u));
	u->fd = syscall(__NR_io_uring_setup, 4, p);
	if (u->fd < 0)
		return -ENODEV;
	u->sq = mmap(NULL, p->sq_off.array + p->sq_entries * 4, RW, MAP_SHARED,
		     u->fd, IORING_OFF_SQ_RING);
	u->cq = mmap(NULL, p->cq_off.cqes + p->cq_entries *
		     sizeof(struct io_uring_cqe), RW, MAP_SHARED, u->fd,
		     IORING_OFF_CQ_RING);
	u->sqes = mmap(NULL, p->sq_entries * sizeof(struct io_uring_sqe), RW,
		       MAP_SHARED, u->fd, IORING_OFF_SQES);
	if (u->sq == MAP_FAILED || u->cq == MAP_FAILED ||
	    u->sqes == MAP_FAILED)
		return -ENODEV;
	return 0;
}

static inline int uring_register(struct uring *u, void *buf, size_t len)
{
	struct iovec iov = { buf, len };

	return syscall(__NR_io_uring_register, u->fd, IORING_REGISTER_BUFFERS,
		       &iov, 1) ? -errno : 0;
}

static inline int uring_unregister(struct uring *u)
{
	return syscall(__NR_io_uring_register, u->fd,
		       IORING_UNREGISTER_BUFFERS, NULL, 0) ? -errno : 0;
}

/* One read or write by the registered buffer. Return: its result. */
static inline int uring_fixed(struct uring *u, int op, int fd, void *buf, size_t len)
{
	unsigned int *tail = (unsigned int *)(u->sq + u->params.sq_off.tail);
	unsigned int *array = (unsigned int *)(u->sq + u->params.sq_off.array);
	unsigned int *head = (unsigned int *)(u->cq + u->params.cq_off.head);
	unsigned int nr = *tail % u->params.sq_entries;
	struct io_uring_cqe *cqe;
	int res;

	u->sqes[nr] = (struct io_uring_sqe) {
		.opcode = op, .fd = fd, .addr = som_addr(buf), .len = len,
	};
	array[nr] = nr;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, u->fd, 1, 1, IORING_ENTER_GETEVENTS,
		    NULL, 0) != 1)
		return -errno;
	cqe = (struct io_uring_cqe *)(u->cq + u->params.cq_off.cqes) +
		*head % u->params.cq_entries;
	res = cqe->res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

static inline void uring_close(struct uring *u)
{
	munmap(u->sq, u->params.sq_off.array + u->params.sq_entries * 4);
	munmap(u->cq, u->params.cq_off.cqes + u->params.cq_entries *
	       sizeof(struct io_uring_cqe));
	munmap(u->sqes, u->params.sq_entries * sizeof(struct io_uring_sqe));
	close(u->fd);
}

static inline int try_uring(char *p)
{
	struct uring u;
	__u64 buf[2 * PAGE / 8];
	int file, ret;
	size_t i;

	ret = uring_open(&u);
	if (ret)
		return ret;
	file = memfd_create("som", 0);
	ret = uring_register(&u, p + AT, 100 * PAGE);
	if (!ret && uring_fixed(&u, IORING_OP_WRITE_FIXED, file, p + AT,
				2 * PAGE) != 2 * PAGE)
		ret = -EIO;
	if (!ret && pread(file, buf, sizeof(buf), 0) != sizeof(buf))
		ret = -EIO;
	for (i = 0; !ret && i < ARRAY_SIZE(buf); i++)
		if (buf[i] != som_word(1, AT + i * 8))
			ret = -EBADMSG;
	/* And the other way. */
	memset(buf, 0x66, sizeof(buf));
	if (!ret && (pwrite(file, buf, sizeof(buf), 0) != sizeof(buf) ||
		     uring_fixed(&u, IORING_OP_READ_FIXED, file, p + AT,
				 2 * PAGE) != 2 * PAGE))
		ret = -EIO;
	if (!ret && memcmp(p + AT, buf, sizeof(buf)))
		ret = -EBADMSG;
	for (i = 0; i < sizeof(buf); i += 8)
		WRITE_ONCE(*(__u64 *)(p + AT + i), som_word(1, AT + i));
	close(file);
	uring_close(&u);
	return ret;
}

#endif /* SOM_PINS_H */
