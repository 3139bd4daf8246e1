// SPDX-License-Identifier: GPL-2.0
/*
 * Address space on som, given out from its start.
 *
 * Allocators ask for memory in sizes of their own, such as 2.5 MiB. A mapping takes
 * whole units, so a mapping for each would waste half a unit on the average. Here they
 * are parts of one long mapping without access, which costs nothing. Access is given
 * in steps as it is used; that is when the pool promises memory, and says ENOMEM if it
 * cannot. The kernel never joins such mappings again, and a process may have 65530 of
 * them: so the steps are longer than a unit.
 *
 * Private mappings, as allocators rely on MADV_DONTNEED to make memory read as zero.
 *
 * What an allocator calls in the midst of its work may not allocate, and may be called
 * by any thread. The only thing that changes here is where the unused part begins.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libsom.h>

#include "som_space.h"

#define UNIT		SOM_UNIT_SIZE
#define STEP		(8 * UNIT)
/* More than any pool has; addresses are not used again. */
#define SPACE		(1UL << 40)
#define RW		(PROT_READ | PROT_WRITE)

/*
 * Where the unused part begins; 0: there is none. It is written last by who makes it,
 * and the end is derived from it, as the space is aligned to its size.
 */
static _Atomic uintptr_t next;

static uintptr_t round_up(uintptr_t value, size_t to)
{
	return (value + to - 1) & ~(to - 1);
}

static uintptr_t round_down(uintptr_t value, size_t to)
{
	return value & ~(to - 1);
}

/* Before anything is given out. The last byte is never used. */
static uintptr_t end_of_space(uintptr_t at)
{
	return round_down(at, SPACE) + SPACE;
}

static int open_device(uint64_t options)
{
	int fd = som_open(NULL), error;

	if (fd >= 0 && options && som_set_options(fd, options)) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

void *som_space_map(size_t size, size_t alignment, int prot, uint64_t options)
{
	int fd, flags = SOM_MAP_PRIVATE | SOM_MAP_FIXED, error;
	char *start, *p, *mem = NULL;
	size_t len;

	if (__builtin_add_overflow(size, alignment, &len)) {
		errno = ENOMEM;
		return NULL;
	}
	fd = open_device(options);
	if (fd < 0)
		return NULL;
	/* Addresses first: what is mapped of som is promised, and is not trimmed. */
	start = mmap(NULL, len, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	error = errno;
	if (start != MAP_FAILED) {
		p = (char *)round_up((uintptr_t)start, alignment);
		mem = som_map(fd, p, size, prot, flags);
		error = errno;
		if (!mem) {
			munmap(start, len);
		} else {
			if (p > start)
				munmap(start, p - start);
			munmap(p + size, start + len - (p + size));
		}
	}
	close(fd);
	errno = error;
	return mem;
}

int som_space_open(uint64_t options)
{
	uintptr_t none = 0;
	void *p;

	if (atomic_load(&next))
		return 0;
	p = som_space_map(SPACE, SPACE, PROT_NONE, options);
	if (!p)
		return -1;
	/* Somebody else may have been faster. */
	if (!atomic_compare_exchange_strong(&next, &none, (uintptr_t)p))
		munmap(p, SPACE);
	return 0;
}

/* Give access, which promises memory. Where there is access already nothing happens. */
static int give_access(uintptr_t start, uintptr_t end)
{
	uintptr_t from = round_down(start, UNIT);
	uintptr_t to = round_up(end, STEP);
	int saved = errno;

	if (!mprotect((void *)from, to - from, RW))
		return 0;
	/* The last units of the pool: not more of them than it takes. */
	to = round_up(end, UNIT);
	if (mprotect((void *)from, to - from, RW))
		return -1;
	errno = saved;
	return 0;
}

void *som_space_alloc(size_t size, size_t alignment)
{
	uintptr_t old = atomic_load(&next), start, end;

	do {
		start = round_up(old, alignment);
		if (!old || start < old || start >= end_of_space(old) ||
		    size >= end_of_space(old) - start) {
			errno = ENOMEM;
			return NULL;
		}
		end = start + size;
	} while (!atomic_compare_exchange_weak(&next, &old, end));

	if (!give_access(start, end))
		return (void *)start;
	/* Nobody has got anything behind it: the addresses can be had again. */
	atomic_compare_exchange_strong(&next, &end, old);
	errno = ENOMEM;
	return NULL;
}

void som_space_unmap(void *start, size_t size)
{
	uintptr_t at = (uintptr_t)start, end = at + size;
	uintptr_t first = round_up(at, UNIT), last = round_down(end, UNIT);
	int saved = errno;

	if (first >= last) {
		madvise(start, size, MADV_DONTNEED);
	} else {
		if (at < first)
			madvise(start, first - at, MADV_DONTNEED);
		if (last < end)
			madvise((void *)last, end - last, MADV_DONTNEED);
		munmap((void *)first, last - first);
	}
	errno = saved;
}
