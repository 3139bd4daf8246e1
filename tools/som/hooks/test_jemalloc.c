// SPDX-License-Identifier: GPL-2.0
/* jemalloc's part of hooks_test. */
#include <stdio.h>
#include <string.h>
#include <jemalloc/jemalloc.h>
#include <linux/som.h>

#include "hooks_test.h"
#include "som_hooks.h"

/* Few arenas, because each needs a unit for its metadata. */
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

/* Create a separate arena, use it, and destroy it. */
const char *allocator_test(void)
{
	unsigned int arena;
	char name[32], *p;
	size_t i;

	if (som_jemalloc_arena(SOM_POLICY_FORK_COPY, &arena))
		return "no arena";
	for (i = 1; i < 64; i++) {
		p = mallocx(i << 16, MALLOCX_ARENA(arena) |
			    MALLOCX_TCACHE_NONE | MALLOCX_ZERO);
		if (!p || !is_on_som(p) || !is_on_som(p + (i << 16) - 1))
			return "its memory is not on som";
		if (p[0] || memcmp(p, p + 1, (i << 16) - 1))
			return "its memory is not zero";
		memset(p, 1, i << 16);
		if (i % 2)
			dallocx(p, MALLOCX_TCACHE_NONE);
	}
	snprintf(name, sizeof(name), "arena.%u.destroy", arena);
	if (mallctl(name, NULL, NULL, NULL, 0))
		return "it cannot be destroyed";
	return is_on_som(p) ? "its memory is still there" : NULL;
}
