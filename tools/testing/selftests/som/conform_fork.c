// SPDX-License-Identifier: GPL-2.0
/* som_conform: fork, vfork, clone(CLONE_VM), exec. */
#include <sched.h>
#include <spawn.h>

#include "conform.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#define MADV_KEEPONFORK 19
#endif

extern char **environ;

/* What a child finds; then it writes, as far as it can. */
static void child_looks(struct conform *c)
{
	char *p = part_start(c, c->row->part);
	size_t len = part_len(c->row->part);
	size_t i;

	catch_faults();
	say_range(c, p, len, part_offset(c->row->part));
	if (c->row->part) {
		say(c, "beside it:");
		say_range(c, c->p + 2 * UNIT, 2 * UNIT, 2 * UNIT);
	}
	for (i = 0; i < CONFORM_LEN; i += PAGE)
		try_write(c->p + i, 0xdead);
}

/* fork after some advice about a part. */
static void op_fork(struct conform *c)
{
	int status;

	fill(c);
	if (c->row->arg)
		say_result(c, madvise(part_start(c, c->row->part),
				      part_len(c->row->part), c->row->arg));
	say(c, "child:");
	status = run_child(child_looks, c);
	if (status)
		say(c, "STATUS %d", status);
	say(c, "parent:");
	say_data(c, WHOLE);
}

static void op_fork_dont_do(struct conform *c)
{
	madvise(c->p, CONFORM_LEN, MADV_DONTFORK);
	op_fork(c);
}

static void op_fork_wipe_keep(struct conform *c)
{
	madvise(c->p, CONFORM_LEN, MADV_WIPEONFORK);
	op_fork(c);
}

/* A child that maps over what it inherited, or not. */
static void child_maps(struct conform *c)
{
	char *p = map_more(c, c->p, CONFORM_LEN, RW, MAP_FIXED);

	if (say_result(c, (long)p))
		say_writable(c, p, CONFORM_LEN, 0);
}

static void op_fork_map(struct conform *c)
{
	fill(c);
	run_child(child_maps, c);
	say(c, "parent:");
	say_data(c, WHOLE);
}

/* The parent writes after fork, the child looks then. */
static int fork_flag_pipe[2];

static void child_looks_late(struct conform *c)
{
	char byte;

	catch_faults();
	close(fork_flag_pipe[1]);
	if (read(fork_flag_pipe[0], &byte, 1) != 1)
		say(c, "PIPE");
	say_range(c, c->p, CONFORM_LEN, 0);
}

static void op_fork_parent_writes(struct conform *c)
{
	pid_t pid;

	fill(c);
	if (pipe(fork_flag_pipe)) {
		say(c, "PIPE");
		return;
	}
	say(c, "child:");
	pid = fork();
	if (!pid) {
		child_looks_late(c);
		_exit(0);
	}
	memset(c->p, 0, CONFORM_LEN);
	if (write(fork_flag_pipe[1], "x", 1) != 1)
		say(c, "PIPE");
	som_wait_child(pid);
	say(c, "parent:");
	say_range(c, c->p, CONFORM_LEN, 0);
}

static int child_writes(void *arg)
{
	struct conform *c = arg;

	if (is_filled(c->p, UNIT, 0))
		fill_range(c->p + UNIT, CONFORM_LEN - UNIT, UNIT);
	_exit(0);
}

/* With the address space shared. */
static void op_clone(struct conform *c)
{
	char *stack = som_shared(16 * PAGE);
	pid_t pid;

	fill_range(c->p, UNIT, 0);
	pid = clone(child_writes, stack + 16 * PAGE, c->row->arg | SIGCHLD, c);
	say(c, som_wait_child(pid) ? "FAILED" : "child: ok");
	say_data(c, WHOLE);
}

static void op_vfork(struct conform *c)
{
	pid_t pid;

	fill_range(c->p, UNIT, 0);
	pid = vfork();
	if (!pid) {
		if (is_filled(c->p, UNIT, 0))
			fill_range(c->p + UNIT, CONFORM_LEN - UNIT, UNIT);
		_exit(0);
	}
	say(c, som_wait_child(pid) ? "FAILED" : "child: ok");
	say_data(c, WHOLE);
}

static void *thread_writes(void *arg)
{
	struct conform *c = arg;

	if (is_filled(c->p, UNIT, 0))
		fill_range(c->p + UNIT, CONFORM_LEN - UNIT, UNIT);
	return NULL;
}

static void op_thread(struct conform *c)
{
	pthread_t thread;

	fill_range(c->p, UNIT, 0);
	pthread_create(&thread, NULL, thread_writes, c);
	pthread_join(thread, NULL);
	say_data(c, WHOLE);
}

/* exec of a program that is content: the memory is gone. */
static void child_execs(struct conform *c)
{
	fill(c);
	execl("/bin/true", "true", NULL);
	say(c, "exec: %s", strerrorname_np(errno));
}

static void op_exec(struct conform *c)
{
	int status;

	munmap(c->p, CONFORM_LEN);
	child_maps(c);
	status = run_child(child_execs, c);
	if (status && c->kind != SOM_SHARED && c->kind != SOM_PRIVATE)
		say(c, "STATUS %d", status);
	say(c, "parent:");
	say_data(c, WHOLE);
}

static void op_spawn(struct conform *c)
{
	char name[] = "true", *args[2] = { name };
	pid_t pid;

	fill(c);
	if (posix_spawn(&pid, "/bin/true", NULL, NULL, args, environ))
		say(c, "FAILED");
	say(c, som_wait_child(pid) ? "FAILED" : "ok");
	say_data(c, WHOLE);
}

static const char why_fork[] =
	"Memory has one owner: a child inherits nothing, and has no mapping "
	"there. The parent's memory is unchanged.";
static const char why_wipe[] =
	"The kernel supports it for anonymous memory only (mm/madvise.c, "
	"madvise_vma_behavior()). A child inherits nothing anyway.";
static const char why_dofork[] =
	"After MADV_DOFORK, the child has a mapping that raises SIGSEGV at "
	"every touch.";

#define BOTH	"child:, data kept, parent:, data kept"
#define NOT	"child:, SIGSEGV, parent:, data kept"

static const struct conform_row fork_rows[] = {
	{ "fork", op_fork, 0, WHOLE, { BOTH, NULL, NOT, NOT }, why_fork },
	{ "fork, the parent writes", op_fork_parent_writes, 0, WHOLE,
	  { "child:, data kept, parent:, zeroes", NULL,
	    "child:, SIGSEGV, parent:, zeroes",
	    "child:, SIGSEGV, parent:, zeroes" }, why_fork },
	{ "MADV_DONTFORK of 2M, fork", op_fork, MADV_DONTFORK, ONE_UNIT,
	  { "ok, child:, SIGSEGV, beside it:, data kept, parent:, data kept",
	    NULL,
	    "ok, child:, SIGSEGV, beside it:, SIGSEGV, parent:, data kept",
	    "ok, child:, SIGSEGV, beside it:, SIGSEGV, parent:, data kept" },
	  why_fork },
	{ "MADV_DONTFORK, MADV_DOFORK, fork", op_fork_dont_do, MADV_DOFORK,
	  WHOLE, { "ok, " BOTH, NULL, "ok, " NOT, "ok, " NOT }, why_dofork },
	{ "MADV_DOFORK of 2M, fork", op_fork, MADV_DOFORK, ONE_UNIT,
	  { "ok, child:, data kept, beside it:, data kept, parent:, data kept",
	    NULL,
	    "ok, child:, SIGSEGV, beside it:, SIGSEGV, parent:, data kept",
	    "ok, child:, SIGSEGV, beside it:, SIGSEGV, parent:, data kept" },
	  why_dofork },
	{ "MADV_WIPEONFORK, fork", op_fork, MADV_WIPEONFORK, WHOLE,
	  { "ok, child:, zeroes, parent:, data kept", "EINVAL, " BOTH,
	    "EINVAL, " NOT, "EINVAL, " NOT }, why_wipe },
	{ "MADV_WIPEONFORK, MADV_KEEPONFORK, fork", op_fork_wipe_keep,
	  MADV_KEEPONFORK, WHOLE, { "ok, " BOTH, NULL, "ok, " NOT, "ok, " NOT },
	  why_fork },
	{ "fork, mmap(MAP_FIXED) in the child", op_fork_map, 0, 0,
	  { "ok, zeroes, parent:, data kept" } },
	{ "vfork, the child writes", op_vfork, 0, 0,
	  { "child: ok, data kept" } },
	{ "clone(CLONE_VM), the child writes", op_clone, CLONE_VM, 0,
	  { "child: ok, data kept" } },
	{ "a thread writes", op_thread, 0, 0, { "data kept" } },
	{ "exec in a child that has its own", op_exec, 0, 0,
	  { "ok, zeroes, parent:, data kept" } },
	{ "posix_spawn", op_spawn, 0, 0, { "ok, data kept" } },
	{}
};

const struct conform_topic conform_fork = {
	"fork, vfork, clone, exec", fork_rows
};
