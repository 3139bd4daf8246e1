// SPDX-License-Identifier: GPL-2.0
/*
 * libsom_preload.so: put a program's large anonymous private mappings on
 * /dev/som, so that an allocator that knows nothing of som lives there.
 *
 * The library stands between the program and libc's mmap, munmap, mremap,
 * madvise, posix_madvise, mprotect and pkey_mprotect. A mapping that qualifies becomes a
 * MAP_PRIVATE mapping of /dev/som; what the program does to it later is
 * translated so that it behaves like anonymous private memory. Everything else
 * goes to the kernel unchanged. When som cannot serve a mapping, the program
 * gets the ordinary memory that it asked for.
 *
 * An allocator calls these functions before libc is ready, and from any
 * thread. Nothing here allocates, uses stdio or looks symbols up; system calls
 * are made directly (raw.h). Which addresses are som's is kept in a table (state.c,
 * ranges.c). The device is opened when it is first needed (device.c).
 */
#include <errno.h>
#include <linux/som.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"
#include "raw.h"
#include "state.h"

#define PUBLIC	__attribute__((visibility("default")))

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

#define UNIT		SOM_UNIT_SIZE

/* A signal makes the kernel give up registering a process with som: come again. */
#define MAP_TRIES	100

/* What small mappings are cut from. */
#define SMALL_SIZE	(4 * UNIT)

static atomic_bool said_on, said_dry;

static long answer(long ret)
{
	if (!failed(ret))
		return ret;
	errno = -ret;
	return -1;
}

/* mprotect */

/* The pool cannot promise what has no data yet: let ordinary memory be there. */
static long protect_pieces(struct state *state, unsigned long addr,
			   unsigned long end, int prot, int pkey)
{
	struct range p;
	long ret;

	for (; addr < end; addr = p.end) {
		if (next_piece(state, addr, end, &p) && !p.promised) {
			ret = sys_mmap(p.start, p.end - p.start, prot,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				       -1, 0);
			if (failed(ret))
				return ret;
			settle(p.start, p.end - p.start);
		}
		/* For ordinary memory, this is about the key. */
		ret = sys_mprotect(p.start, p.end - p.start, prot, pkey);
		if (failed(ret))
			return ret;
	}
	return 0;
}

static long do_mprotect(unsigned long addr, size_t len, int prot, int pkey)
{
	struct state *state = near(addr, len);
	unsigned long mask[MASK_WORDS], end = end_of(addr, len);
	bool replace;
	long ret;

	if (!state || !(prot & (PROT_READ | PROT_WRITE | PROT_EXEC)))
		return sys_mprotect(addr, len, prot, pkey);

	lock(state, mask);
	ret = sys_mprotect(addr, len, prot, pkey);
	if (!ret)
		ranges_promise(&state->table, addr, end);
	replace = ret == -ENOMEM && ranges_room(&state->table) &&
		  ranges_any_unpromised(&state->table, addr, end);
	unlock(state, mask);
	if (!replace)
		return ret;
	say_once(&said_dry, "no units for ", len,
		 " bytes; ordinary memory is used");
	return protect_pieces(state, addr, end, prot, pkey);
}

/* mmap */

/* Is this the kind of memory that som can stand in for, whatever its size? */
static bool is_plain(int prot, int flags)
{
	const int unfit = MAP_STACK | MAP_GROWSDOWN | MAP_HUGETLB | MAP_LOCKED |
			  MAP_32BIT;

	if (!(flags & MAP_ANONYMOUS) || (flags & MAP_TYPE) != MAP_PRIVATE ||
	    flags & unfit)
		return false;
	return prot == PROT_NONE || prot == (PROT_READ | PROT_WRITE);
}

static long map_device(int fd, unsigned long hint, size_t len, int prot,
		       int flags)
{
	int tries = MAP_TRIES;
	long ret;

	do {
		ret = sys_mmap(hint, len, prot, MAP_PRIVATE | flags, fd, 0);
	} while (ret == -EINTR && --tries);
	return ret;
}

/*
 * map_small - less than a unit
 *
 * By itself it would take a whole one. Instead, a larger mapping is made and given out
 * piece by piece, and is the program's when it is.
 */
static long map_small(struct state *state, int fd, size_t len, int flags)
{
	unsigned long mask[MASK_WORDS], left = 0, left_end = 0;
	size_t size = SMALL_SIZE;
	long ret, more;

	len = end_of(0, len);
	lock(state, mask);
	if (state->small_end - state->small < len) {
		unlock(state, mask);
		more = map_device(fd, 0, size, PROT_READ | PROT_WRITE, flags);
		if (more == -ENOMEM) {
			size = UNIT;
			more = map_device(fd, 0, size, PROT_READ | PROT_WRITE,
					  flags);
		}
		if (failed(more))
			return more;
		lock(state, mask);
		left = state->small;
		left_end = state->small_end;
		state->small = more;
		state->small_end = more + size;
	}
	ret = state->small;
	state->small += len;
	ranges_insert(&state->table, ret, ret + len, true);
	ranges_part(&state->table, ret);
	widen(state, ret, ret + len);
	unlock(state, mask);
	if (left < left_end)
		sys_munmap(left, left_end - left);
	return ret;
}

static long map_som(unsigned long hint, size_t len, int prot, int flags)
{
	int keep = MAP_POPULATE | MAP_NONBLOCK | MAP_FIXED_NOREPLACE;
	struct state *state;
	bool small;
	int fd;
	long ret;

	state = get_state();
	if (!state || !has_room(state))
		return -ENOMEM;
	fd = get_fd();
	if (fd < 0)
		return fd;
	if (config.noreserve)
		keep |= MAP_NORESERVE;
	/* A hint that is not aligned would cost the 2 MiB entries. */
	if (!(flags & MAP_FIXED_NOREPLACE) && hint % UNIT)
		hint = 0;
	small = len < UNIT && prot != PROT_NONE &&
		!(flags & (MAP_FIXED_NOREPLACE | MAP_POPULATE));
	if (small)
		ret = map_small(state, fd, len, flags & keep);
	else
		ret = map_device(fd, hint, len, prot, flags & keep);
	if (failed(ret)) {
		if (ret == -ENOMEM)
			say_once(&said_dry, "no units for ", len,
				 " bytes; ordinary memory is used");
		return ret;
	}
	if (!small)
		enter(state, ret, end_of(ret, len), prot != PROT_NONE);
	say_once(&said_on, "in use for mappings of at least ", config.min,
		 " bytes");
	return ret;
}

/*
 * map_over - MAP_FIXED where all of the range is som's already
 *
 * A new mapping would take new units, which is a waste for parts of one. The
 * same is had by emptying what is there.
 *
 * Return: the address, or a negative errno when an ordinary mapping should be
 * made instead.
 */
static long map_over(struct state *state, unsigned long addr, size_t len,
		     int prot)
{
	unsigned long at, end = end_of(addr, len);
	struct range p;
	long ret;

	for (at = addr; at < end; at = p.end) {
		if (!next_piece(state, at, end, &p))
			return -EINVAL;
		if (!p.promised)
			continue;
		ret = sys_madvise(p.start, p.end - p.start, MADV_REMOVE);
		if (failed(ret))
			return ret;
	}
	ret = do_mprotect(addr, len, prot, -1);
	return failed(ret) ? ret : (long)addr;
}

/* The kernel replaces what is at a fixed address: the table follows. */
static long map_fixed(unsigned long addr, size_t len, int prot, int flags,
		      int fd, off_t offset)
{
	struct state *state = near(addr, len);
	unsigned long mask[MASK_WORDS];
	long ret = -ENOMEM;

	if (!state)
		return sys_mmap(addr, len, prot, flags, fd, offset);
	lock(state, mask);
	if (ranges_room(&state->table)) {
		ret = sys_mmap(addr, len, prot, flags, fd, offset);
		if (!failed(ret))
			ranges_remove(&state->table, addr, end_of(addr, len));
	}
	unlock(state, mask);
	return ret;
}

static long do_mmap(unsigned long addr, size_t len, int prot, int flags, int fd,
		    off_t offset)
{
	/* The kernel refuses such an offset of anonymous memory, too. */
	bool plain = is_plain(prot, flags) && len && !(offset % PAGE);
	long ret;

	/* With both flags the kernel does not replace. */
	if (flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE)) {
		if (plain && all_ours(addr, len)) {
			ret = map_over(current_state(), addr, len, prot);
			if (!failed(ret))
				return ret;
		}
		return map_fixed(addr, len, prot, flags, fd, offset);
	}
	if (plain && is_on() && len >= config.min && len <= config.max) {
		ret = map_som(addr, len, prot, flags);
		if (!failed(ret) || ret == -EEXIST)
			return ret;
	}
	ret = sys_mmap(addr, len, prot, flags, fd, offset);
	if (!failed(ret))
		settle(ret, len);
	return ret;
}

/* munmap */

static long do_munmap(unsigned long addr, size_t len)
{
	struct state *state = near(addr, len);
	unsigned long mask[MASK_WORDS];
	long ret = -ENOMEM;

	if (!state)
		return sys_munmap(addr, len);
	lock(state, mask);
	if (ranges_room(&state->table)) {
		ret = sys_munmap(addr, len);
		if (!ret)
			ranges_remove(&state->table, addr, end_of(addr, len));
	}
	unlock(state, mask);
	return ret;
}

/* mremap */

/* Addresses for @len bytes, as far off a 2 MiB border as @like is. */
static long reserve(size_t len, unsigned long like)
{
	unsigned long start, addr;
	long ret;

	if (len > ~0UL - UNIT)
		return -ENOMEM;
	ret = sys_mmap(0, len + UNIT, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (failed(ret))
		return ret;
	start = ret;
	addr = start + (like - start) % UNIT;
	if (addr > start)
		sys_munmap(start, addr - start);
	sys_munmap(addr + len, start + UNIT - addr);
	return addr;
}

/*
 * Let the kernel move a som mapping, and grow it if it likes. A part of one cannot
 * grow: the kernel would show again what lies, or lay, behind it. Once it is @asked,
 * it first unmaps what is at @dest, and can still fail: then @dest is nobody's, or of
 * another thread that has mapped something there.
 */
static long move_mapping(struct state *state, unsigned long addr, size_t old_len,
			 size_t new_len, unsigned long dest, bool *asked)
{
	unsigned long mask[MASK_WORDS], end = end_of(addr, old_len);
	bool promised, whole;
	long ret = -ENOMEM;

	lock(state, mask);
	whole = new_len >= old_len && ranges_whole(&state->table, addr, end);
	*asked = ranges_room(&state->table) && (whole || new_len <= old_len);
	if (*asked) {
		promised = !ranges_any_unpromised(&state->table, addr, end);
		ret = sys_mremap(addr, old_len, new_len,
				 MREMAP_MAYMOVE | MREMAP_FIXED, dest);
		if (!failed(ret)) {
			ranges_remove(&state->table, addr, end);
			ranges_insert(&state->table, dest,
				      end_of(dest, new_len), promised);
			if (!whole)
				ranges_part(&state->table, dest);
			widen(state, dest, end_of(dest, new_len));
		}
	}
	unlock(state, mask);
	return ret;
}

/*
 * copy_mapping - what is left when the kernel cannot grow a mapping
 *
 * The new memory may be som's or ordinary. Memory that cannot be read cannot be
 * copied: EFAULT, as for a range of several mappings.
 */
static long copy_mapping(struct state *state, unsigned long addr, size_t old_len,
			 size_t new_len, int flags, unsigned long dest)
{
	const int map = MAP_PRIVATE | MAP_ANONYMOUS;
	unsigned long mask[MASK_WORDS];
	bool data;
	long ret;

	lock(state, mask);
	data = !ranges_any_unpromised(&state->table, addr,
				      end_of(addr, old_len));
	unlock(state, mask);
	if (data && failed(sys_madvise(addr, old_len, MADV_POPULATE_READ)))
		return -EFAULT;
	if (flags & MREMAP_FIXED)
		ret = do_mmap(dest, new_len, data ? PROT_READ | PROT_WRITE :
			      PROT_NONE, map | MAP_FIXED, -1, 0);
	else
		ret = do_mmap(0, new_len, data ? PROT_READ | PROT_WRITE :
			      PROT_NONE, map, -1, 0);
	if (failed(ret))
		return ret;
	if (data)
		memcpy((void *)ret, (const void *)addr,
		       old_len < new_len ? old_len : new_len);
	do_munmap(addr, old_len);
	return ret;
}

static long do_mremap(unsigned long addr, size_t old_len, size_t new_len,
		      int flags, unsigned long new_addr)
{
	struct state *state = near(addr, old_len);
	unsigned long dest;
	bool asked;
	long ret;

	/* The kernel would make a second mapping of shared memory. */
	if (!old_len && all_ours(addr, PAGE))
		return -EINVAL;
	if (!all_ours(addr, old_len)) {
		/* A range that is som's in part is several mappings: EFAULT. */
		ret = sys_mremap(addr, old_len, new_len, flags, new_addr);
		if (!failed(ret))
			settle(ret, new_len);
		return ret;
	}
	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED) || !end_of(0, new_len) ||
	    !new_len || (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE)))
		return -EINVAL;
	old_len = end_of(0, old_len);
	new_len = end_of(0, new_len);

	if (flags & MREMAP_FIXED) {
		if (new_addr % PAGE || !end_of(new_addr, new_len) ||
		    (new_addr < addr + old_len && addr < new_addr + new_len))
			return -EINVAL;
		ret = move_mapping(state, addr, old_len, new_len, new_addr,
				   &asked);
		if (ret == -ENOMEM && new_len > old_len)
			ret = copy_mapping(state, addr, old_len, new_len, flags,
					   new_addr);
		return ret;
	}
	if (new_len <= old_len) {
		ret = 0;
		if (new_len < old_len)
			ret = do_munmap(addr + new_len, old_len - new_len);
		return failed(ret) ? ret : (long)addr;
	}
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	ret = reserve(new_len, addr);
	if (failed(ret))
		return ret;
	dest = ret;
	ret = move_mapping(state, addr, old_len, new_len, dest, &asked);
	if (!failed(ret))
		return ret;
	if (!asked)
		sys_munmap(dest, new_len);
	return copy_mapping(state, addr, old_len, new_len, flags, 0);
}

/* madvise */

static long remove_piece(const struct range *p, int advice)
{
	unsigned long start = p->start, end = p->end;
	long ret;

	if (!p->promised)
		return 0;
	if (advice == MADV_FREE) {
		/* Need not read as zeroes: not worth clearing part of a unit. */
		start = (start + UNIT - 1) & ~(UNIT - 1);
		end &= ~(UNIT - 1);
		if (start >= end)
			return 0;
	}
	ret = sys_madvise(start, end - start, MADV_REMOVE);
	/* EINVAL: something else was mapped there behind our back. */
	if (ret == -EINVAL)
		ret = sys_madvise(start, end - start, advice);
	return ret;
}

static long advise_piece(const struct range *p, int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
		return remove_piece(p, advice);
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_COLLAPSE:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_KEEPONFORK:
		/* Hints, and what som does anyway. */
		return 0;
	case MADV_DONTFORK:
	case MADV_DOFORK:
		if (!config.options)
			return 0;
		return sys_madvise(p->start, p->end - p->start, advice);
	case MADV_REMOVE:
		/* There is no file to anonymous memory. */
		return -EINVAL;
	default:
		return sys_madvise(p->start, p->end - p->start, advice);
	}
}

static long do_madvise(unsigned long addr, size_t len, int advice)
{
	struct state *state = near(addr, len);
	unsigned long end = end_of(addr, len);
	bool holes = false;
	struct range p;
	long ret;

	if (!state)
		return sys_madvise(addr, len, advice);
	for (; addr < end; addr = p.end) {
		if (next_piece(state, addr, end, &p))
			ret = advise_piece(&p, advice);
		else
			ret = sys_madvise(p.start, p.end - p.start, advice);
		/* The kernel goes on past a hole, and says so in the end. */
		if (ret == -ENOMEM)
			holes = true;
		else if (failed(ret))
			return ret;
	}
	return holes ? -ENOMEM : 0;
}

/* The functions that stand before libc's. */

PUBLIC void *mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t offset)
{
	return (void *)answer(do_mmap((unsigned long)addr, len, prot, flags, fd,
				      offset));
}

PUBLIC void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off64_t offset)
{
	return mmap(addr, len, prot, flags, fd, offset);
}

PUBLIC int munmap(void *addr, size_t len)
{
	return answer(do_munmap((unsigned long)addr, len));
}

PUBLIC void *mremap(void *addr, size_t old_len, size_t new_len, int flags, ...)
{
	unsigned long new_addr = 0;
	va_list args;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(args, flags);
		new_addr = (unsigned long)va_arg(args, void *);
		va_end(args);
	}
	return (void *)answer(do_mremap((unsigned long)addr, old_len, new_len,
					flags, new_addr));
}

PUBLIC int mprotect(void *addr, size_t len, int prot)
{
	return answer(do_mprotect((unsigned long)addr, len, prot, -1));
}

PUBLIC int pkey_mprotect(void *addr, size_t len, int prot, int pkey)
{
	return answer(do_mprotect((unsigned long)addr, len, prot, pkey));
}

PUBLIC int madvise(void *addr, size_t len, int advice)
{
	return answer(do_madvise((unsigned long)addr, len, advice));
}

PUBLIC int posix_madvise(void *addr, size_t len, int advice)
{
	/* As libc has it: POSIX_MADV_DONTNEED must not lose data. */
	if (advice == POSIX_MADV_DONTNEED)
		return 0;
	return -do_madvise((unsigned long)addr, len, advice);
}
