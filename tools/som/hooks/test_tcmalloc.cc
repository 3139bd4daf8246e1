// SPDX-License-Identifier: GPL-2.0
/* tcmalloc's part of hooks_test. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* Also memory allocated before main(), and aligned memory. */
static void *early = malloc(3 << 20);

const char *allocator_test(void)
{
	void *p = NULL;

	if (!is_on_som(early))
		return "early memory is not on som";
	free(early);
	if (posix_memalign(&p, 8 << 20, 1 << 20) || !is_on_som(p))
		return "aligned memory is not on som";
	memset(p, 1, 1 << 20);
	free(p);
	return NULL;
}
