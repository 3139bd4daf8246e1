// SPDX-License-Identifier: GPL-2.0
/*
 * The example for runtimes that pool memory, as the documentation shows it,
 * does what it says: it checks every byte itself.
 */
#include "som_scan.h"

#define main pool_reset_main
#undef PAGE
#include "../../../som/examples/pool_reset.c"
#undef main

static int run_example(char *slots, char *tenants)
{
	char *argv[4] = { NULL, slots, tenants, NULL };
	pid_t pid;

	pid = fork();

	if (!pid) {
		/* Its lines are diagnostics of this test. */
		fflush(stdout);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		exit(pool_reset_main(3, argv));
	}
	return pid < 0 ? -1 : som_wait_child(pid);
}

TEST_F(som, pool_reset)
{
	EXPECT_EQ(0, run_example("4", "12"));
}

TEST_F(som, pool_reset_one_slot)
{
	EXPECT_EQ(0, run_example("1", "40"));
}

/* More slots than the pool has room for: an error, said on stderr. */
TEST_F(som, pool_reset_without_room)
{
	EXPECT_EQ(1, run_example("100000", "1"));
}

TEST_HARNESS_MAIN
