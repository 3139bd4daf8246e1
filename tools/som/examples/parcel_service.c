// SPDX-License-Identifier: GPL-2.0
/*
 * A service whose heap survives a restart. When it is stopped, it packs the heap, and the
 * service manager stores the parcel (sd_notify(3), FDSTORE=1). The next instance receives
 * it (sd_listen_fds(3)) and claims it at the same address.
 *
 * systemd closes a stored descriptor when poll() reports POLLHUP, as a parcel does when
 * all of it is claimed. So the service does not have to notify the manager.
 *
 * parcel-service.service is its unit file. Build with make; the service counts its starts
 * in its heap, and runs until SIGTERM.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "heap.h"

#define SERVICE_HEAP	(32 * 1024 * 1024UL)
#define FIRST_FD	3	/* SD_LISTEN_FDS_START */

struct counters {
	unsigned long starts;
};

/* Send a message to the service manager, with a descriptor if it is not -1. */
static int notify(const char *text, int fd)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { (char *)text, strlen(text) };
	struct msghdr msg = {
		.msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1,
	};
	struct cmsghdr *cmsg;
	int sock, ret;

	if (!path || strlen(path) >= sizeof(to.sun_path))
		return -1;
	memcpy(to.sun_path, path, strlen(path));
	msg.msg_namelen = offsetof(struct sockaddr_un, sun_path) + strlen(path);
	/* An abstract name. */
	if (to.sun_path[0] == '@')
		to.sun_path[0] = 0;
	if (fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -1;
	ret = sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
	close(sock);
	return ret;
}

/* Return: the parcel that the service manager has stored, or -1. */
static int kept_parcel(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

	if (!pid || !fds || atol(pid) != getpid() || atoi(fds) < 1)
		return -1;
	return FIRST_FD;
}

int main(void)
{
	struct counters *counters;
	int som, parcel, sig;
	struct heap *heap;
	char status[64];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	som = open("/dev/som", O_RDWR | O_CLOEXEC);
	parcel = kept_parcel();
	if (parcel >= 0) {
		heap = heap_take(parcel);
		close(parcel);
	} else {
		heap = heap_new(som, SERVICE_HEAP);
		if (heap)
			heap->root = heap_alloc(heap, sizeof(*counters));
	}
	if (som < 0 || !heap) {
		perror("parcel_service");
		return 1;
	}
	counters = heap->root;
	counters->starts++;
	snprintf(status, sizeof(status), "READY=1\nSTATUS=start %lu\n",
		 counters->starts);
	notify(status, -1);

	/* The service. */
	sigwait(&set, &sig);

	parcel = heap_pack(som, heap, SOM_PACK_CLOEXEC);
	if (parcel < 0 ||
	    notify("FDSTORE=1\nFDNAME=heap\nSTOPPING=1\n", parcel)) {
		perror("parcel_service");
		return 1;
	}
	return 0;
}
