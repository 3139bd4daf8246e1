// SPDX-License-Identifier: GPL-2.0
/*
 * A pipeline whose stages pass on buffers without a copy: each buffer belongs to one
 * process at a time, which sends it to the next one as a parcel over a Unix socket.
 *
 * The producer fills buffers. A consumer in another process claims each buffer, processes
 * it in place, and unmaps it, which returns it to the pool. The pool, or a limit, bounds
 * the number of buffers at a time: the producer waits until its oldest one is claimed
 * (POLLHUP).
 *
 * Build with make, and run "parcel_pipeline [BUFFERS]" on a machine with /dev/som.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/som.h>

#define BUFFER		(8 * 1024 * 1024UL)

/* One message: a parcel and its description. */
static int send_parcel(int sock, int parcel, uint64_t number)
{
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { &number, sizeof(number) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &parcel, sizeof(parcel));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* Receive a parcel. Return: the parcel, or -1 at the end. */
static int receive_parcel(int sock, uint64_t *number)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { number, sizeof(*number) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	int parcel;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&parcel, CMSG_DATA(cmsg), sizeof(parcel));
	return parcel;
}

static int produce(int sock, uint64_t buffers)
{
	int som = open("/dev/som", O_RDWR | O_CLOEXEC);
	struct som_pack pack = {
		.size = sizeof(pack), .flags = SOM_PACK_CLOEXEC,
	};
	struct pollfd sent = { .fd = -1 };
	uint64_t number, i, *words;

	if (som < 0)
		return 1;
	for (number = 0; number < buffers; number++) {
		words = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_SHARED,
			     som, 0);
		if (words == MAP_FAILED)
			return 1;
		for (i = 0; i < BUFFER / sizeof(*words); i++)
			words[i] = number + i;
		/* From here on this process no longer owns the buffer. */
		pack.start = (uintptr_t)words;
		pack.end = pack.start + BUFFER;
		if (sent.fd >= 0) {
			poll(&sent, 1, -1);
			close(sent.fd);
		}
		sent.fd = ioctl(som, SOM_IOC_PACK, &pack);
		if (sent.fd < 0 || send_parcel(sock, sent.fd, number))
			return 1;
	}
	return 0;
}

static int consume(int sock, uint64_t buffers)
{
	uint64_t number, i, *words, done = 0;
	struct stat st;
	int parcel;

	while ((parcel = receive_parcel(sock, &number)) >= 0) {
		if (fstat(parcel, &st))
			return 1;
		words = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_POPULATE, parcel, 0);
		close(parcel);
		if (words == MAP_FAILED)
			return 1;
		for (i = 0; i < st.st_size / sizeof(*words); i++) {
			if (words[i] != number + i)
				return 1;
			words[i] = ~words[i];
		}
		munmap(words, st.st_size);
		done++;
	}
	printf("%lu buffers of %lu MiB went through\n", (unsigned long)done,
	       BUFFER >> 20);
	return done == buffers ? 0 : 1;
}

int main(int argc, char **argv)
{
	uint64_t buffers = argc > 1 ? strtoull(argv[1], NULL, 0) : 16;
	int socks[2], status, ret;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return 1;
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		close(socks[0]);
		exit(produce(socks[1], buffers));
	}
	close(socks[1]);
	ret = consume(socks[0], buffers);
	/* The producer may be waiting for a claim. */
	close(socks[0]);
	if (waitpid(pid, &status, 0) != pid || status)
		ret = 1;
	return ret;
}
