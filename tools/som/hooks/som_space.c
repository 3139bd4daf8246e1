// SPDX-License-Identifier: GPL-2.0
/*
 * Address space on som, allocated from its start.
 *
 * Allocators request memory in sizes of their own, such as 2.5 MiB. A mapping takes whole
 * units, so one mapping for each request would waste half a unit on average. Instead, the
 * requests are parts of one long mapping without access, which costs nothing. Access is
 * given in steps; then the pool reserves memory, or the call fails with ENOMEM. The kernel
 * never merges such mappings, and a process may have 65530 of them, so the steps are
 * longer than a unit.
 *
 * The mapping is private, because allocators rely on MADV_DONTNEED to make memory read as
 * zero.
 *
 * Allocators call these functions in the middle of their work, from any thread. So they do
 * not allocate, and their only state is the start of the unused part.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libsom.h>

#include "som_space.h"

#define UNIT		SOM_UNIT_SIZE
#define STEP		(8 * UNIT)
/* Larger than any pool; addresses are not reused. */
#define SPACE		(1UL << 40)
#define RW		(PROT_READ | PROT_WRITE)

/*
 * Start of the unused part; 0: there is no space. som_space_open() writes it last. The end
 * follows from it, because the space is aligned to its size.
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

/* The start before the first allocation. The last byte is never used. */
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
	/* Get aligned addresses first: som mappings reserve units, so they are not trimmed. */
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
	/* Another thread may have been faster. */
	if (!atomic_compare_exchange_strong(&next, &none, (uintptr_t)p))
		munmap(p, SPACE);
	return 0;
}

/* Give access, which reserves memory. It has no effect where there is access already. */
static int give_access(uintptr_t start, uintptr_t end)
{
	uintptr_t from = round_down(start, UNIT);
	uintptr_t to = round_up(end, STEP);
	int saved = errno;

	if (!mprotect((void *)from, to - from, RW))
		return 0;
	/* The pool has few units left: reserve only those that are needed. */
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
	/* Nothing was allocated after it: free the addresses. */
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
