// SPDX-License-Identifier: GPL-2.0
/*
 * somctl compact: one write, which lasts until the units are moved. A child process
 * makes it; the parent shows the progress by the number of empty chunks.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "progress.h"
#include "somctl.h"

#define POLL_US		100000

static unsigned long count_empty(void)
{
	unsigned long empty = 0;

	file_read_number(DIR_SYSFS, "chunks_empty", &empty);
	return empty;
}

/* The child's exit status is the error of its write; 0 if that succeeded. */
static pid_t start_compaction(unsigned long chunks)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	_exit(file_write_number(DIR_SYSFS, "compact", chunks) ? errno : 0);
}

/* Wait for the child. Return: 0 or errno. */
static int wait_for(pid_t pid, struct progress *p, unsigned long before)
{
	unsigned long empty;
	int status;
	pid_t got;

	for (;;) {
		got = waitpid(pid, &status, WNOHANG);
		if (got < 0 && errno != EINTR)
			return errno;
		empty = count_empty();
		progress_update(p, empty > before ? empty - before : 0);
		if (got == pid)
			break;
		/* The signal makes the write of the child fail with EINTR. */
		if (stop_signal())
			kill(pid, stop_signal());
		usleep(POLL_US);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

int cmd_compact(int argc, char **argv)
{
	unsigned long total, before;
	struct progress p;
	int error, ret;
	pid_t pid;

	if (getopt_long(argc, argv, "", NULL, NULL) != -1)
		return usage_error(NULL);
	if (optind + 1 != argc || !parse_count(argv[optind], &total))
		return usage_error("compact: specify one number of chunks");
	ret = need_som();
	if (ret)
		return ret;
	if (!file_exists(DIR_SYSFS, "compact")) {
		complain("this driver does not support compaction");
		return EXIT_FAILED;
	}
	before = count_empty();
	progress_begin(&p, "compact", total);
	pid = start_compaction(total);
	error = pid < 0 ? errno : wait_for(pid, &p, before);
	progress_end(&p);
	printf("%lu of %lu chunks emptied in %.1f s; %lu are empty\n", p.done,
	       total, progress_seconds(&p), count_empty());
	fflush(stdout);
	if (stop_signal() && error) {
		complain("stopped by a signal");
		return EXIT_SIGNAL + stop_signal();
	}
	if (!error)
		return EXIT_DONE;
	ret = file_error(DIR_SYSFS, "compact", error);
	if (error == EBUSY)
		complain("the units of the other chunks do not fit into fewer, or are pinned");
	return p.done ? EXIT_PARTLY : ret;
}
