// SPDX-License-Identifier: GPL-2.0
/* jemalloc's part of hooks_test. */
#include <jemalloc/jemalloc.h>
#include <linux/som.h>

#include "hooks_test.h"
#include "som_hooks.h"

/* Few arenas, as each has a unit for what it has to remember. */
const char *malloc_conf = "narenas:2";

int allocator_install(void)
{
	return som_jemalloc_install(SOM_POLICY_FORK_COPY);
}

void allocator_purge(void)
{
	mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
	mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
}
