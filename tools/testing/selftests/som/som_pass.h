/* SPDX-License-Identifier: GPL-2.0 */
/* To pass a descriptor to another process: for tests and benchmarks. */
#ifndef SOM_PASS_H
#define SOM_PASS_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Return: 0 or -errno. */
static inline int som_pass(int sock, int fd, long word)
{
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { &word, sizeof(word) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Return: a descriptor or -errno; -EPIPE if nobody can send any more. */
static inline int som_pass_receive(int sock, long *word, int flags)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { word, sizeof(*word) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	ssize_t n;
	int fd;

	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | flags);
	if (n <= 0)
		return n ? -errno : -EPIPE;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -EBADMSG;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

#endif /* SOM_PASS_H */
