// SPDX-License-Identifier: GPL-2.0
/*
 * mimalloc on som: an arena that it manages.
 *
 * mimalloc is told that nothing is committed, although all can be written. It calls
 * mprotect() to commit, which changes nothing here, and MADV_DONTNEED to decommit, which
 * gives whole units back to the pool. Of memory that is committed it would give
 * nothing back.
 */
#include <errno.h>
#include <sys/mman.h>

#include <mimalloc.h>

#include "som_hooks.h"
#include "som_space.h"

/* A multiple of the size of a segment of any version that has the call. */
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
	/* It has no room for more arenas, or the size is 0. */
	munmap(p, size);
	errno = EINVAL;
	return -1;
}
