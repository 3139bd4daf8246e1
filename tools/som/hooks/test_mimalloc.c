// SPDX-License-Identifier: GPL-2.0
/* mimalloc's part of hooks_test. */
#include <errno.h>
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

const char *allocator_test(void)
{
	if (!som_mimalloc_manage(1UL << 40, 0) || errno != ENOMEM)
		return "an arena that the pool does not have";
	if (!som_mimalloc_manage(-1UL, 0) || errno != ENOMEM)
		return "an arena of all addresses";
	if (!som_mimalloc_manage(0, 0) || errno != EINVAL)
		return "an arena of nothing";
	if (som_mimalloc_manage(1, 0))
		return "a second arena";
	return NULL;
}
