// SPDX-License-Identifier: GPL-2.0
/*
 * libsom_preload.so: put the large anonymous private mappings of an unmodified
 * program, which contain the heap of its allocator, on /dev/som.
 *
 * The library intercepts libc's mmap, munmap, mremap, madvise, posix_madvise, mprotect and
 * pkey_mprotect. A mapping that qualifies becomes a MAP_PRIVATE mapping of /dev/som. Later
 * calls on it are translated so that it behaves like anonymous private memory. All other
 * calls are passed to the kernel unchanged. If som cannot provide a mapping, the program
 * gets ordinary memory.
 *
 * Allocators call these functions before libc is ready, from any thread, in signal
 * handlers, and under a seccomp filter. So the library does not allocate, use stdio, look
 * up symbols or take locks. It makes system calls directly (raw.h): those of the program,
 * and others that handle mappings. A table stores which addresses are on som (table.c).
 * The device is opened before main() (device.c) and stays open (fds.c).
 *
 * The table can be wrong after system calls that are not intercepted (direct.c). So the
 * calls that it leads to do not harm other memory: the library clears memory by
 * MADV_DONTNEED, which the program has requested, and never by MADV_REMOVE, which would
 * punch a hole into a file.
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
 * Size of the mappings that small ones are cut from: 8 MiB, plus an eighth of the memory
 * used for small ones so far, so that the number of such mappings grows slowly.
 */
#define SMALL_MIN	(4 * UNIT)
#define SMALL_MAX	(32 * UNIT)
#define SMALL_SHARE	8

/* Maximum size of the guard pages of a mapping. */
#define GUARD_MAX	(16 * PAGE)

/*
 * The kernel does not merge som mappings, and a process may have 65530 mappings. Beyond
 * this number of pieces, ordinary memory is used.
 */
#define MAX_CUTS	384UL

static atomic_bool said_on, said_dry, said_cut;

/* The program has used MADV_DONTDUMP. */
static atomic_bool not_dumped;

/* Return: the end of a range of bytes, rounded up to a page; 0 on overflow. */
static unsigned long end_of(unsigned long addr, size_t len)
{
	unsigned long end;

	if (__builtin_add_overflow(addr, len, &end) ||
	    __builtin_add_overflow(end, PAGE - 1, &end))
		return 0;
	return end & ~(PAGE - 1);
}

/* Return whether a range is valid and contains som memory. */
static bool is_known(unsigned long addr, size_t len)
{
	return !(addr % PAGE) && table_any(addr, end_of(addr, len), IS_OURS);
}

/* Return whether a range is valid and all of it is som memory. */
static bool is_all_ours(unsigned long addr, size_t len)
{
	return !(addr % PAGE) && table_all(addr, end_of(addr, len), IS_OURS);
}

/* Record that the kernel has mapped other memory there. */
void forget(unsigned long addr, size_t len)
{
	table_change(addr, end_of(addr, len), IS_ANY, PAGE_OTHER);
}

/* Record that a mapping starts at an address, if it is som memory. */
static void note_begin(unsigned long addr)
{
	if (table_any(addr, addr + PAGE, IS_OURS))
		table_cut(addr);
}

/* Record that the kernel has mapped som memory there. */
static void enter(unsigned long addr, size_t len, enum page_state state)
{
	unsigned long end = end_of(addr, len);

	table_change(addr, end, IS_ANY, state);
	note_begin(addr);
	note_begin(end);
}

/*
 * As soon as the kernel has unmapped addresses, another thread may map them, before this
 * one updates the table. So the table is updated first, in a state that an update by the
 * other thread overrides.
 */
static void leave(unsigned long addr, size_t len)
{
	table_change(addr, end_of(addr, len), IS_OURS, PAGE_LEAVING);
}

static void left(unsigned long addr, size_t len, enum page_state state)
{
	table_change(addr, end_of(addr, len), IS(PAGE_LEAVING), state);
}

/* A mapping is cut where the access or the advice of a part of it changes. */
static void note_cuts(unsigned long addr, unsigned long end)
{
	note_begin(addr);
	note_begin(end);
}

static bool is_inside(unsigned long addr)
{
	return addr % UNIT && table_all(addr - PAGE, addr + PAGE, IS_OURS);
}

/* Return whether a range may get other access, with the cuts that this takes. */
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
 * Map ordinary memory where there never was data. Another thread may give access to it at
 * the same time; memory that it has got is not replaced.
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
		/* For ordinary memory, this applies to the key. */
		ret = sys_mprotect(addr, next - addr, prot, pkey);
	}
	left(addr, end - addr, PAGE_RESERVED);
	return failed(ret) ? ret : 0;
}

/*
 * Return whether som memory cannot get this access: the pool cannot reserve the units, or
 * the file system of the device is mounted noexec.
 */
static bool is_refused(long ret, int prot)
{
	return ret == -ENOMEM || (ret == -EACCES && prot & PROT_EXEC);
}

/*
 * Not all memory without data can get this access (with @replace, none shall). Ordinary
 * memory replaces it.
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
	/* Memory without data can be replaced. */
	if (prot & access && !(prot & ~access) &&
	    table_any(addr, end, IS(PAGE_RESERVED)) && !may_cut(addr, end))
		return protect_runs(addr, end, prot, pkey, true);
	ret = sys_mprotect(addr, len, prot, pkey);
	/* Otherwise the access may be unchanged. */
	if (prot != (PROT_READ | PROT_WRITE) ||
	    table_any(addr, end, IS(PAGE_RESERVED)))
		note_cuts(addr, end);
	if (!(prot & access))
		return ret;
	if (is_refused(ret, prot) && table_any(addr, end, IS(PAGE_RESERVED)))
		return protect_runs(addr, end, prot, pkey, false);
	/* An error may occur after part of the range was changed. */
	table_change(addr, end, IS(PAGE_RESERVED), PAGE_PROMISED);
	return ret;
}

/* mmap */

/* Return whether som can replace this kind of memory, independent of its size. */
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
 * One word describes the rest of the mapping that small ones are cut from: the number of
 * its first page and, in the lower bits, the number of pages.
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

/* Small mappings are cut from another one. Return: true if there was one before. */
static bool change_small(unsigned long word)
{
	word = atomic_exchange(table_small(), word);
	if (!small_len(word))
		return false;
	sys_munmap(small_addr(word), small_len(word));
	forget(small_addr(word), small_len(word));
	return true;
}

static long refill_small(size_t len, int flags)
{
	size_t sizes[] = { small_size(), SMALL_MIN, UNIT }, i;
	long ret = -ENOMEM;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes) && ret == -ENOMEM; i++)
		ret = map_device(0, sizes[i], PROT_READ | PROT_WRITE, flags);
	if (failed(ret))
		return ret;
	i = sizes[i - 1];
	atomic_fetch_add(table_small_total(), i);
	table_cut(ret);
	change_small(pack_small(ret, i - len));
	return ret + i - len;
}

/*
 * map_small - map less than a unit
 *
 * A separate mapping would take a whole unit. Instead, pieces are cut from a larger
 * mapping, starting at its top, as the kernel does. So an allocator that maps more than it
 * needs, to align it, and unmaps the rest, gets the next piece directly below this one.
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
 * unmap_small - return the piece that was cut last, or a part of it, to its mapping
 *
 * Otherwise each alignment would leave a hole between two mappings. A piece that has got
 * other access or advice has a cut, and does not return. In a sandbox, madvise() may not
 * be allowed.
 *
 * Return: false if the caller must unmap it.
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
 * Map whole units and a few pages more. The extra pages are at the start, in a unit of
 * their own: they may become guard pages, which would split their unit.
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
	/* At an unaligned address, 2 MiB entries are impossible. */
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
 * map_over - MAP_FIXED over a range that is som memory already
 *
 * A new mapping would take new units, which is a waste for parts of a unit. Clear the
 * existing memory instead.
 *
 * Return: the address, or a negative errno if the caller should make an ordinary
 * mapping.
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
	/* The rest for small mappings counts against the program's limits. */
	if (ret == -ENOMEM && is_on() && table_open(true) && change_small(0))
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

/* Return whether a range has no data. */
static bool is_reserved(unsigned long addr, size_t len)
{
	return table_all(addr, end_of(addr, len), IS(PAGE_RESERVED));
}

/* Move a som mapping, or a part of one, that does not grow. */
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
 * The kernel does not grow a private som mapping. The new memory may be on som or
 * ordinary. Unreadable memory cannot be copied: EFAULT, as for a range of several
 * mappings.
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
 * The kernel refuses MADV_FREE with EINVAL for memory that is not anonymous. Freed memory
 * may be dropped at once, and need not read as zero: clearing part of a unit is not worth
 * the cost.
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

/* The kernel refuses MADV_DODUMP for som memory. Map each mapping again instead. */
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

/* Give advice that applies to part of a mapping, which the kernel then splits. */
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
		/* Hints, and advice without effect on som. */
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
		/* Anonymous memory has no file. */
		return -EINVAL;
	default:
		/* MADV_DONTNEED clears a private som mapping. */
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
		/* The kernel continues after a hole, and reports it at the end. */
		if (ret == -ENOMEM)
			holes = true;
		else if (failed(ret))
			return ret;
	}
	return holes ? -ENOMEM : 0;
}

/* The functions that replace libc's. */

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
	/* As in libc: POSIX_MADV_DONTNEED must not lose data. */
	if (advice == POSIX_MADV_DONTNEED)
		return 0;
	return -do_madvise((unsigned long)addr, len, advice);
}
