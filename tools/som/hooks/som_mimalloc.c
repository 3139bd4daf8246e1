// SPDX-License-Identifier: GPL-2.0
/*
 * mimalloc on som: an arena that mimalloc manages.
 *
 * The arena is passed as not committed, although all of it is writable. mimalloc then
 * calls mprotect() to commit memory, which has no effect here, and MADV_DONTNEED to
 * decommit it, which returns whole units to the pool. From an arena passed as committed
 * it would return nothing.
 */
#include <errno.h>
#include <sys/mman.h>

#include <mimalloc.h>

#include "som_hooks.h"
#include "som_space.h"

/* A multiple of the segment size of every version that has the call. */
#define SEGMENT		(64UL << 20)

int som_mimalloc_manage(size_t size, uint64_t options)
{
	int saved = errno;
	void *p;

	if (__builtin_add_overflow(size, SEGMENT - 1, &size)) {
		errno = ENOMEM;
		return -1;
	}
	size &= ~(SEGMENT - 1);
	p = som_space_map(size, SEGMENT, PROT_READ | PROT_WRITE, options);
	if (!p)
		return -1;
	if (mi_manage_os_memory(p, size, false, false, true, -1)) {
		errno = saved;
		return 0;
	}
	/* mimalloc has no room for more arenas, or the size is 0. */
	munmap(p, size);
	errno = EINVAL;
	return -1;
}
