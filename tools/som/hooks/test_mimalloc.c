// SPDX-License-Identifier: GPL-2.0
/* mimalloc's part of hooks_test. */
#include <mimalloc.h>
#include <linux/som.h>

#include "hooks_test.h"
#include "som_hooks.h"

int allocator_install(void)
{
	return som_mimalloc_manage(128UL << 20, SOM_POLICY_FORK_COPY);
}

void allocator_purge(void)
{
	mi_collect(true);
}
