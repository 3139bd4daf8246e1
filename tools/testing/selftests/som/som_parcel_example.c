// SPDX-License-Identifier: GPL-2.0
/*
 * The examples for parcels do what they say: they check every byte themselves. The test
 * is the service manager that keeps the parcel of a service.
 *
 * SOM-TEST: chunks=1 timeout=300 takes=10
 */
#include <libgen.h>
#include <sys/un.h>

#include "som_parcel.h"

#define main parcel_pipeline_main
#include "../../../som/examples/parcel_pipeline.c"
#undef main
#define main parcel_exec_main
#include "../../../som/examples/parcel_exec.c"
#undef main
#define main parcel_service_main
#include "../../../som/examples/parcel_service.c"
#undef main

#define SERVICE	"parcel_service"

/* Its lines are diagnostics of this test. */
static void to_stderr(void)
{
	fflush(stdout);
	dup2(STDERR_FILENO, STDOUT_FILENO);
}

TEST_F(som, pipeline)
{
	char *argv[3] = { "parcel_pipeline", "20" };
	pid_t pid = fork();

	if (!pid) {
		to_stderr();
		exit(parcel_pipeline_main(2, argv));
	}
	EXPECT_EQ(0, som_wait_child(pid));
}

/* The binary that is executed is this one: main() below. */
TEST_F(som, exec)
{
	pid_t pid = fork();

	if (!pid) {
		to_stderr();
		execl("/proc/self/exe", "parcel_exec", "5", NULL);
		_exit(1);
	}
	EXPECT_EQ(0, som_wait_child(pid));
}

/* Start the service; @kept: the descriptor that it is to get, or -1. */
static pid_t start(const char *notify, int kept)
{
	char text[16];
	pid_t pid = fork();

	if (pid)
		return pid;
	setenv("NOTIFY_SOCKET", notify, 1);
	if (kept >= 0) {
		child_assert(dup2(kept, FIRST_FD) == FIRST_FD);
		snprintf(text, sizeof(text), "%d", getpid());
		setenv("LISTEN_PID", text, 1);
		setenv("LISTEN_FDS", "1", 1);
		setenv("LISTEN_FDNAMES", "heap", 1);
	}
	execl("/proc/self/exe", SERVICE, NULL);
	_exit(1);
}

/* A message of the service's. Return: the descriptor in it, or -1. */
static int hear(int sock, char *text, size_t size)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { text, size - 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	ssize_t n;
	int fd;

	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	text[n < 0 ? 0 : n] = 0;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

TEST_F(som, service)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	const char *notify = "@som-test-notify";
	char text[128], want[64];
	int sock, parcel = -1, i;
	pid_t pid;

	memcpy(name.sun_path, notify, strlen(notify));
	name.sun_path[0] = 0;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(0, bind(sock, (struct sockaddr *)&name,
			  offsetof(struct sockaddr_un, sun_path) +
			  strlen(notify)));
	for (i = 1; i <= 4; i++) {
		pid = start(notify, parcel);
		EXPECT_EQ(-1, hear(sock, text, sizeof(text)));
		snprintf(want, sizeof(want), "READY=1\nSTATUS=start %d\n", i);
		EXPECT_STREQ(want, text);
		if (parcel >= 0) {
			/* What systemd goes by. */
			EXPECT_EQ(POLLHUP, parcel_poll(parcel) & POLLHUP);
			close(parcel);
		}
		kill(pid, SIGTERM);
		parcel = hear(sock, text, sizeof(text));
		ASSERT_LE(0, parcel);
		EXPECT_STREQ("FDSTORE=1\nFDNAME=heap\nSTOPPING=1\n", text);
		EXPECT_EQ(0, som_wait_child(pid));
		/* Nobody but the manager has it now. */
		EXPECT_EQ(1, parcel_units());
	}
	close(parcel);
	EXPECT_EQ(0, som_wait_number(parcel_units, 0));
}

int main(int argc, char **argv)
{
	const char *name = basename(argv[0]);

	if (!strcmp(name, "parcel_exec"))
		return parcel_exec_main(argc, argv);
	if (!strcmp(name, SERVICE))
		return parcel_service_main();
	return test_harness_run(argc, argv);
}
