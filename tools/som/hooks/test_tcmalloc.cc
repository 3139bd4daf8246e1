// SPDX-License-Identifier: GPL-2.0
/* tcmalloc's part of hooks_test. */
#include <errno.h>

#include <gperftools/malloc_extension.h>

#include "hooks_test.h"
#include "som_hooks.h"

int allocator_install(void)
{
	if (som_tcmalloc_active())
		return 0;
	errno = ENODEV;
	return -1;
}

void allocator_purge(void)
{
	MallocExtension::instance()->MarkThreadIdle();
	MallocExtension::instance()->ReleaseFreeMemory();
}
