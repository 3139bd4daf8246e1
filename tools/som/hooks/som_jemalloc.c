// SPDX-License-Identifier: GPL-2.0
/*
 * jemalloc on som, through its extent hooks.
 *
 * - alloc: from the address space of som_space.c, or from the previous hooks when the
 *   pool is empty.
 * - dalloc, decommit: refused. The arena keeps the addresses, and purges them.
 * - purge_forced: MADV_DONTNEED. Whole units return to the pool.
 * - purge_lazy: refused, because som has no lazy purge. Dirty memory is purged at once
 *   when its time has passed, and never becomes muzzy.
 * - split, merge: always allowed, because any range can be purged.
 *
 * The hooks also work on memory that the arena had before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <jemalloc/jemalloc.h>

#include "som_hooks.h"
#include "som_space.h"

/* The previous hooks of jemalloc, the same for all arenas. */
static extent_hooks_t *ordinary;

static void *hook_alloc(extent_hooks_t *hooks, void *new_addr, size_t size,
			size_t alignment, bool *zero, bool *commit,
			unsigned int arena)
{
	int saved = errno;
	void *p;

	/* A fixed address, next to another extent: the caller can do without. */
	if (new_addr)
		return NULL;
	p = som_space_alloc(size, alignment);
	if (!p) {
		errno = saved;
		return ordinary->alloc(ordinary, new_addr, size, alignment,
				       zero, commit, arena);
	}
	*zero = true;
	*commit = true;
	return p;
}

static void hook_destroy(extent_hooks_t *hooks, void *addr, size_t size,
			 bool committed, unsigned int arena)
{
	som_space_unmap(addr, size);
}

static bool hook_purge(extent_hooks_t *hooks, void *addr, size_t size,
		       size_t offset, size_t len, unsigned int arena)
{
	int saved = errno;
	bool failed = madvise((char *)addr + offset, len, MADV_DONTNEED);

	errno = saved;
	return failed;
}

static bool hook_split(extent_hooks_t *hooks, void *addr, size_t size,
		       size_t size_a, size_t size_b, bool committed,
		       unsigned int arena)
{
	return false;
}

static bool hook_merge(extent_hooks_t *hooks, void *a, size_t size_a, void *b,
		       size_t size_b, bool committed, unsigned int arena)
{
	return false;
}

static extent_hooks_t som_extent_hooks = {
	.alloc = hook_alloc,
	.destroy = hook_destroy,
	.purge_forced = hook_purge,
	.split = hook_split,
	.merge = hook_merge,
};

static int set_hooks(unsigned int arena)
{
	extent_hooks_t *hooks = &som_extent_hooks;
	size_t mib[3], len = 3;
	int ret;

	ret = mallctlnametomib("arena.0.extent_hooks", mib, &len);
	if (ret)
		return ret;
	mib[1] = arena;
	return mallctlbymib(mib, len, NULL, NULL, &hooks, sizeof(hooks));
}

/* The first large allocation creates the arena for large sizes. */
static void make_large_arena(void)
{
	size_t size = 0, len = sizeof(size);

	if (!mallctl("opt.oversize_threshold", &size, &len, NULL, 0) && size)
		free(mallocx(size, 0));
}

static int prepare(uint64_t options)
{
	size_t len = sizeof(ordinary);
	int ret;

	if (!ordinary) {
		ret = mallctl("arena.0.extent_hooks", &ordinary, &len, NULL, 0);
		if (ret) {
			errno = ret;
			return -1;
		}
	}
	return som_space_open(options);
}

int som_jemalloc_install(uint64_t options)
{
	unsigned int nr = 0, i;
	size_t len = sizeof(nr);
	int ret, saved = errno;

	if (prepare(options))
		return -1;
	make_large_arena();
	ret = mallctl("arenas.narenas", &nr, &len, NULL, 0);
	/* Create a new arena, which is completely on som. */
	for (i = 0; i < nr && !ret; i++)
		ret = set_hooks(i);
	errno = ret ? ret : saved;
	return ret ? -1 : 0;
}

int som_jemalloc_arena(uint64_t options, unsigned int *arena)
{
	extent_hooks_t *hooks = &som_extent_hooks;
	size_t len = sizeof(*arena);
	int ret, saved = errno;

	if (prepare(options))
		return -1;
	ret = mallctl("arenas.create", arena, &len, &hooks, sizeof(hooks));
	errno = ret ? ret : saved;
	return ret ? -1 : 0;
}
