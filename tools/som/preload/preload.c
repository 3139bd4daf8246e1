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
 * An allocator calls these functions before libc is ready, from any thread, in signal
 * handlers, and behind a seccomp filter. Nothing here allocates, uses stdio, looks
 * symbols up or takes a lock; system calls are made directly (raw.h), and are those that
 * the program asked for or others that handle mappings. Which addresses are som's is
 * kept in a table (table.c). The device is opened before main() (device.c) and
 * stays open (fds.c).
 *
 * The table can be wrong after system calls that are not seen (direct.c). So what is done to
 * memory because the table calls it som's does no harm to other memory: it is
 * emptied by MADV_DONTNEED, which the program asked for, and never by MADV_REMOVE,
 * which would punch a hole into a file.
 */
#include <linux/som.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"
#include "preload.h"
#include "table.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

#define UNIT		SOM_UNIT_SIZE

/*
 * What small mappings are cut from: 8 MiB, and an eighth of all that was needed for them
 * so far, so that their number grows slowly with what they are for.
 */
#define SMALL_MIN	(4 * UNIT)
#define SMALL_MAX	(32 * UNIT)
#define SMALL_SHARE	8

/* Guard pages of a mapping have so much at most. */
#define GUARD_MAX	(16 * PAGE)

/*
 * The kernel does not join mappings of som's again, and a process may have 65530 of any
 * kind. Ordinary memory takes the place of more pieces than these.
 */
#define MAX_CUTS	384UL

static atomic_bool said_on, said_dry, said_cut;

/* The program has asked for MADV_DONTDUMP. */
static atomic_bool not_dumped;

/* Where a range of bytes ends, rounded up to a page; 0 if there is no such address. */
static unsigned long end_of(unsigned long addr, size_t len)
{
	unsigned long end;

	if (__builtin_add_overflow(addr, len, &end) ||
	    __builtin_add_overflow(end, PAGE - 1, &end))
		return 0;
	return end & ~(PAGE - 1);
}

/* A range that the kernel would not refuse, and of which any is som's. */
static bool is_known(unsigned long addr, size_t len)
{
	return !(addr % PAGE) && table_any(addr, end_of(addr, len), IS_OURS);
}

/* The same, and all of it is som's. */
static bool is_all_ours(unsigned long addr, size_t len)
{
	return !(addr % PAGE) && table_all(addr, end_of(addr, len), IS_OURS);
}

/* The kernel has put something that is not som's there. */
void forget(unsigned long addr, size_t len)
{
	table_change(addr, end_of(addr, len), IS_ANY, PAGE_OTHER);
}

/* A mapping begins at an address, if there is som memory. */
static void note_begin(unsigned long addr)
{
	if (table_any(addr, addr + PAGE, IS_OURS))
		table_cut(addr);
}

/* The kernel has put som memory there. */
static void enter(unsigned long addr, size_t len, enum page_state state)
{
	unsigned long end = end_of(addr, len);

	table_change(addr, end, IS_ANY, state);
	note_begin(addr);
	note_begin(end);
}

/*
 * Addresses are nobody's as soon as the kernel has unmapped them, and another thread
 * may have them before this one comes to say so: it says it before, in such a
 * way that what the other one says stays.
 */
static void leave(unsigned long addr, size_t len)
{
	table_change(addr, end_of(addr, len), IS_OURS, PAGE_LEAVING);
}

static void left(unsigned long addr, size_t len, enum page_state state)
{
	table_change(addr, end_of(addr, len), IS(PAGE_LEAVING), state);
}

/* Mappings are cut where the access to a part of one changes, or advice. */
static void note_cuts(unsigned long addr, unsigned long end)
{
	note_begin(addr);
	note_begin(end);
}

static bool is_inside(unsigned long addr)
{
	return addr % UNIT && table_all(addr - PAGE, addr + PAGE, IS_OURS);
}

/* May there be more cuts, if it takes any, for other access to a range? */
static bool may_cut(unsigned long addr, unsigned long end)
{
	unsigned long nr = 0;

	nr += is_inside(addr) && !table_is_cut(addr);
	nr += is_inside(end) && !table_is_cut(end);
	if (!nr || table_cuts() + nr <= MAX_CUTS)
		return true;
	say_once(&said_cut, "more than ", MAX_CUTS,
		 " pieces; ordinary memory is used");
	return false;
}

/* mprotect */

static void say_dry(size_t len)
{
	say_once(&said_dry, "no units for ", len,
		 " bytes; ordinary memory is used");
}

/*
 * Ordinary memory in place of what never had data. Another thread may be giving access
 * to it at the same time: what it has got is not replaced.
 */
static long replace_reserved(unsigned long addr, unsigned long end, int prot,
			     int pkey)
{
	unsigned long next;
	long ret = 0;

	table_change(addr, end, IS(PAGE_RESERVED), PAGE_LEAVING);
	for (; addr < end && !failed(ret); addr = next) {
		if (table_run(addr, end, &next) == PAGE_LEAVING) {
			ret = sys_mmap(addr, next - addr, prot,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				       -1, 0);
			if (failed(ret))
				break;
			left(addr, next - addr, PAGE_OTHER);
		}
		/* For ordinary memory, this is about the key. */
		ret = sys_mprotect(addr, next - addr, prot, pkey);
	}
	left(addr, end - addr, PAGE_RESERVED);
	return failed(ret) ? ret : 0;
}

/*
 * Can som memory not have this access? The pool cannot promise the units, or the device is
 * on a file system that is mounted noexec.
 */
static bool is_refused(long ret, int prot)
{
	return ret == -ENOMEM || (ret == -EACCES && prot & PROT_EXEC);
}

/*
 * Not all of what has no data yet can have this access; @replace: nor shall any. Other
 * memory gets it.
 */
static long protect_runs(unsigned long addr, unsigned long end, int prot,
			 int pkey, bool replace)
{
	enum page_state state;
	unsigned long next;
	long ret;

	for (; addr < end; addr = next) {
		state = table_run(addr, end, &next);
		if (replace && state == PAGE_RESERVED) {
			ret = replace_reserved(addr, next, prot, pkey);
			if (failed(ret))
				return ret;
			continue;
		}
		ret = sys_mprotect(addr, next - addr, prot, pkey);
		if (is_refused(ret, prot) && state == PAGE_RESERVED) {
			if (ret == -ENOMEM)
				say_dry(next - addr);
			ret = replace_reserved(addr, next, prot, pkey);
		} else if (!ret) {
			table_change(addr, next, IS(PAGE_RESERVED),
				     PAGE_PROMISED);
		}
		if (failed(ret))
			return ret;
	}
	return 0;
}

long do_mprotect(unsigned long addr, size_t len, int prot, int pkey)
{
	const int access = PROT_READ | PROT_WRITE | PROT_EXEC;
	unsigned long end = end_of(addr, len);
	long ret;

	if (!is_known(addr, len))
		return sys_mprotect(addr, len, prot, pkey);
	/* What has no data yet can be something else. */
	if (prot & access && !(prot & ~access) &&
	    table_any(addr, end, IS(PAGE_RESERVED)) && !may_cut(addr, end))
		return protect_runs(addr, end, prot, pkey, true);
	ret = sys_mprotect(addr, len, prot, pkey);
	/* Otherwise the access may be what it was. */
	if (prot != (PROT_READ | PROT_WRITE) ||
	    table_any(addr, end, IS(PAGE_RESERVED)))
		note_cuts(addr, end);
	if (!(prot & access))
		return ret;
	if (is_refused(ret, prot) && table_any(addr, end, IS(PAGE_RESERVED)))
		return protect_runs(addr, end, prot, pkey, false);
	/* An error may come after some of it was changed. */
	table_change(addr, end, IS(PAGE_RESERVED), PAGE_PROMISED);
	return ret;
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

/*
 * What is left of the mapping that small ones are cut from is in one word: the number of
 * its first page, and in the bits below that how many pages there are.
 */
#define SMALL_BITS	24

static unsigned long pack_small(unsigned long addr, unsigned long len)
{
	return addr / PAGE << SMALL_BITS | len / PAGE;
}

static unsigned long small_addr(unsigned long word)
{
	return (word >> SMALL_BITS) * PAGE;
}

static unsigned long small_len(unsigned long word)
{
	return word % (1UL << SMALL_BITS) * PAGE;
}

static size_t small_size(void)
{
	size_t size = atomic_load(table_small_total()) / SMALL_SHARE &
		      ~(UNIT - 1);

	if (size < SMALL_MIN)
		return SMALL_MIN;
	return size < SMALL_MAX ? size : SMALL_MAX;
}

static long refill_small(size_t len, int flags)
{
	size_t sizes[] = { small_size(), SMALL_MIN, UNIT }, i;
	unsigned long word;
	long ret = -ENOMEM;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes) && ret == -ENOMEM; i++)
		ret = map_device(0, sizes[i], PROT_READ | PROT_WRITE, flags);
	if (failed(ret))
		return ret;
	i = sizes[i - 1];
	atomic_fetch_add(table_small_total(), i);
	table_cut(ret);
	word = atomic_exchange(table_small(), pack_small(ret, i - len));
	if (small_len(word)) {
		sys_munmap(small_addr(word), small_len(word));
		forget(small_addr(word), small_len(word));
	}
	return ret + i - len;
}

/*
 * map_small - less than a unit
 *
 * By itself it would take a whole one. Instead, a larger mapping is made and given out
 * piece by piece, and is the program's when it is. It begins at the top, as the kernel
 * does: an allocator that maps more than it needs, to align it, and unmaps the rest
 * finds the next piece where this one begins.
 */
static long map_small(size_t len, int flags)
{
	unsigned long word = atomic_load(table_small()), left;

	do {
		left = small_len(word) - len;
		if (small_len(word) < len)
			return refill_small(len, flags);
	} while (!atomic_compare_exchange_weak(table_small(), &word,
					       pack_small(small_addr(word), left)));
	return small_addr(word) + left;
}

/*
 * unmap_small - take back what was cut from a mapping last, or a part of it
 *
 * Otherwise each alignment would leave a hole, and the mappings on both sides are two.
 * What was given other access or advice since has a cut, and is not taken back. In a
 * sandbox, madvise() may not be allowed.
 *
 * Return: false if it is to be unmapped.
 */
static bool unmap_small(unsigned long addr, size_t len)
{
	unsigned long word = atomic_load(table_small()), end = addr + len;

	if (atomic_load(&sandboxed) || !small_len(word) ||
	    small_addr(word) + small_len(word) != addr ||
	    !table_all(addr, end, IS(PAGE_PROMISED)) || table_is_cut(addr) ||
	    table_next_cut(addr, end + PAGE) <= end ||
	    failed(sys_madvise(addr, len, MADV_DONTNEED)))
		return false;
	table_change(addr, end, IS_ANY, PAGE_OTHER);
	if (atomic_compare_exchange_strong(table_small(), &word,
					   pack_small(small_addr(word),
						      small_len(word) + len)))
		return true;
	table_change(addr, end, IS_ANY, PAGE_PROMISED);
	return false;
}

/*
 * A unit and a little more: the little is in front, in a unit of its own. It may become a
 * guard page, which would cut the unit that it is in.
 */
static long map_guarded(size_t len, int prot, int flags)
{
	size_t more = UNIT - len % UNIT;
	long ret = map_device(0, len + more, prot, flags);

	if (failed(ret))
		return ret;
	sys_munmap(ret, more);
	return ret + more;
}

static long map_som(unsigned long hint, size_t len, int prot, int flags)
{
	int keep = MAP_POPULATE | MAP_NONBLOCK | MAP_FIXED_NOREPLACE;
	bool small;
	long ret;

	if (config.noreserve)
		keep |= MAP_NORESERVE;
	/* A hint that is not aligned would cost the 2 MiB entries. */
	if (!(flags & MAP_FIXED_NOREPLACE) && hint % UNIT)
		hint = 0;
	if (!table_open(true) || !table_has_room(hint, end_of(hint, len)))
		return -ENOMEM;
	small = len < UNIT && prot != PROT_NONE &&
		!(flags & (MAP_FIXED_NOREPLACE | MAP_POPULATE));
	if (small)
		ret = map_small(end_of(0, len), flags & keep);
	else if (!hint && len > UNIT && len % UNIT &&
		 end_of(0, len) % UNIT <= GUARD_MAX)
		ret = map_guarded(end_of(0, len), prot, flags & keep);
	else
		ret = map_device(hint, len, prot, flags & keep);
	if (failed(ret)) {
		if (ret == -ENOMEM)
			say_dry(len);
		return ret;
	}
	if (small)
		table_change(ret, end_of(ret, len), IS_ANY, PAGE_PROMISED);
	else
		enter(ret, len, prot == PROT_NONE ? PAGE_RESERVED :
						    PAGE_PROMISED);
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
static long map_over(unsigned long addr, size_t len, int prot)
{
	unsigned long at, next, end = end_of(addr, len);
	long ret;

	if (!may_cut(addr, end))
		return -ENOMEM;
	for (at = addr; at < end; at = next) {
		if (table_run(at, end, &next) == PAGE_RESERVED)
			continue;
		ret = sys_madvise(at, next - at, MADV_DONTNEED);
		if (failed(ret))
			return ret;
	}
	ret = do_mprotect(addr, len, prot, -1);
	return failed(ret) ? ret : (long)addr;
}

static long do_mmap(unsigned long addr, size_t len, int prot, int flags, int fd,
		    off_t offset)
{
	/* The kernel refuses such an offset of anonymous memory, too. */
	bool plain = is_plain(prot, flags) && len && !(offset % PAGE);
	/* With both flags the kernel does not replace. */
	bool fixed = flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE);
	long ret;

	if (fixed && plain && is_all_ours(addr, len)) {
		ret = map_over(addr, len, prot);
		if (!failed(ret))
			return ret;
	}
	if (!fixed && plain && is_on() && len >= config.min &&
	    len <= config.max) {
		ret = map_som(addr, len, prot, flags);
		if (!failed(ret) || ret == -EEXIST)
			return ret;
	}
	ret = sys_mmap(addr, len, prot, flags, fd, offset);
	if (!failed(ret))
		forget(ret, len);
	return ret;
}

/* munmap */

long do_munmap(unsigned long addr, size_t len)
{
	long ret;

	if (!is_known(addr, len))
		return sys_munmap(addr, len);
	if (unmap_small(addr, end_of(addr, len) - addr))
		return 0;
	leave(addr, len);
	ret = sys_munmap(addr, len);
	left(addr, len, failed(ret) ? PAGE_PROMISED : PAGE_OTHER);
	return ret;
}

/* mremap */

/* Does a range hold no data? */
static bool is_reserved(unsigned long addr, size_t len)
{
	return table_all(addr, end_of(addr, len), IS(PAGE_RESERVED));
}

/* Let the kernel move a som mapping, or a part of one, that does not grow. */
static long move_mapping(unsigned long addr, size_t old_len, size_t new_len,
			 unsigned long dest)
{
	enum page_state state = is_reserved(addr, old_len) ? PAGE_RESERVED :
							     PAGE_PROMISED;
	long ret;

	leave(addr, old_len);
	ret = sys_mremap(addr, old_len, new_len, MREMAP_MAYMOVE | MREMAP_FIXED,
			 dest);
	left(addr, old_len, failed(ret) ? state : PAGE_OTHER);
	if (!failed(ret))
		enter(dest, new_len, state);
	return ret;
}

/*
 * copy_mapping - grow a mapping
 *
 * The kernel does not grow a private mapping of som's. The new memory may be som's or
 * ordinary. Memory that cannot be read cannot be copied: EFAULT, as for a range of
 * several mappings.
 */
static long copy_mapping(unsigned long addr, size_t old_len, size_t new_len,
			 int flags, unsigned long dest)
{
	bool data = !is_reserved(addr, old_len);
	int prot = data ? PROT_READ | PROT_WRITE : PROT_NONE;
	long ret;

	if (data && failed(sys_madvise(addr, old_len, MADV_POPULATE_READ)))
		return -EFAULT;
	ret = do_mmap(dest, new_len, prot, MAP_PRIVATE | MAP_ANONYMOUS |
		      (flags & MREMAP_FIXED ? MAP_FIXED : 0), -1, 0);
	if (failed(ret))
		return ret;
	if (data)
		memcpy((void *)ret, (const void *)addr, old_len);
	do_munmap(addr, old_len);
	return ret;
}

long do_mremap(unsigned long addr, size_t old_len, size_t new_len, int flags,
	       unsigned long new_addr)
{
	long ret;

	/* The kernel would make a second mapping of shared memory. */
	if (!old_len && is_all_ours(addr, PAGE))
		return -EINVAL;
	if (!is_all_ours(addr, old_len)) {
		/* A range that is som's in part is several mappings: EFAULT. */
		ret = sys_mremap(addr, old_len, new_len, flags, new_addr);
		if (!failed(ret))
			forget(ret, new_len);
		return ret;
	}
	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED) || !end_of(0, new_len) ||
	    (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE)))
		return -EINVAL;
	old_len = end_of(0, old_len);
	new_len = end_of(0, new_len);

	if (flags & MREMAP_FIXED) {
		if (new_addr % PAGE || !end_of(new_addr, new_len) ||
		    (new_addr < addr + old_len && addr < new_addr + new_len))
			return -EINVAL;
		if (new_len <= old_len)
			return move_mapping(addr, old_len, new_len, new_addr);
		return copy_mapping(addr, old_len, new_len, flags, new_addr);
	}
	if (new_len <= old_len) {
		ret = 0;
		if (new_len < old_len)
			ret = do_munmap(addr + new_len, old_len - new_len);
		return failed(ret) ? ret : (long)addr;
	}
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	return copy_mapping(addr, old_len, new_len, flags, 0);
}

/* madvise */

/*
 * The kernel answers MADV_FREE with EINVAL for memory that is not anonymous. What the
 * program has no use for may be dropped at once, but need not read as zeroes: clearing
 * a part of a unit is not worth it.
 */
static long free_run(unsigned long start, unsigned long end)
{
	long ret = sys_madvise(start, end - start, MADV_FREE);

	if (ret != -EINVAL)
		return ret;
	start = (start + UNIT - 1) & ~(UNIT - 1);
	end &= ~(UNIT - 1);
	return start < end ? sys_madvise(start, end - start, MADV_DONTNEED) : 0;
}

/* The kernel refuses MADV_DODUMP for som memory. Each mapping is made again instead. */
static long dump_run(unsigned long start, unsigned long end)
{
	unsigned long next;
	long ret = 0;

	if (!atomic_load(&not_dumped))
		return 0;
	for (; start < end && !ret; start = next) {
		next = table_next_cut(start, end);
		ret = map_again(start, next - start, SOM_MMAP_DODUMP);
	}
	return ret;
}

/* Advice that the kernel takes for a part of a mapping, which it cuts. */
static long cut_run(unsigned long start, unsigned long end, int advice)
{
	long ret = sys_madvise(start, end - start, advice);

	if (!failed(ret))
		note_cuts(start, end);
	return ret;
}

static long advise_run(unsigned long start, unsigned long end, int advice)
{
	switch (advice) {
	case MADV_FREE:
		return free_run(start, end);
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
	case MADV_KEEPONFORK:
		/* Hints, and what som does anyway. */
		return 0;
	case MADV_DONTDUMP:
		atomic_store(&not_dumped, true);
		return cut_run(start, end, advice);
	case MADV_DODUMP:
		return dump_run(start, end);
	case MADV_DONTFORK:
	case MADV_DOFORK:
		if (!config.options)
			return 0;
		return cut_run(start, end, advice);
	case MADV_REMOVE:
		/* There is no file to anonymous memory. */
		return -EINVAL;
	default:
		/* A private mapping of som's is emptied by MADV_DONTNEED. */
		return sys_madvise(start, end - start, advice);
	}
}

long do_madvise(unsigned long addr, size_t len, int advice)
{
	unsigned long end = end_of(addr, len), next;
	bool holes = false;
	long ret;

	if (!is_known(addr, len))
		return sys_madvise(addr, len, advice);
	for (; addr < end; addr = next) {
		if (IS_OURS & IS(table_run(addr, end, &next)))
			ret = advise_run(addr, next, advice);
		else
			ret = sys_madvise(addr, next - addr, advice);
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
