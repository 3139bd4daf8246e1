// SPDX-License-Identifier: GPL-2.0
/*
 * libsom_preload.so: put a program's large anonymous private mappings on
 * /dev/som, so that an allocator that knows nothing of som lives there.
 *
 * The library stands between the program and libc's mmap, munmap, mremap,
 * madvise, posix_madvise and mprotect. A mapping that qualifies becomes a
 * MAP_SHARED mapping of /dev/som; what the program does to it later is
 * translated so that it behaves like anonymous private memory. Everything else
 * goes to the kernel unchanged. When som cannot serve a mapping, the program
 * gets the ordinary memory that it asked for.
 *
 * - An allocator calls these functions before libc is ready, and from any
 *   thread. Nothing here allocates, uses stdio or looks symbols up.
 * - Which addresses are som's is kept in a table (ranges.c). It is in a page
 *   range with MADV_WIPEONFORK: a child has none of its parent's som memory,
 *   and finds an empty table and a free lock, also when another thread held the
 *   lock at the time of the fork.
 * - The lock is held with all signals blocked, so that a handler that maps
 *   memory cannot wait for the thread that it interrupted.
 * - The table is changed in an order that is safe against other threads: a new
 *   range is entered after it was mapped, when only the caller knows its
 *   address; a range is removed with the lock held across the unmapping, so
 *   that nobody can enter the same addresses in between.
 * - A program may close any file descriptor. Before each use ours is compared
 *   with what it was, and opened again when it is gone.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/som.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ranges.h"

#define PUBLIC	__attribute__((visibility("default")))

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

#define PAGE		4096UL
#define UNIT		SOM_UNIT_SIZE

/* Ranges the table has room for: 32 MiB of addresses, used as far as needed. */
#define MAX_RANGES	(1UL << 20)

/* Programs close descriptors from 3 up; stay below what select(2) can hold. */
#define FD_HIGH		1000

#define MASK_WORDS	(64 / (8 * sizeof(unsigned long)))

/**
 * struct state - what belongs to one address space
 * @lock: 0 free, 1 held, 2 held and somebody may be waiting.
 * @low: no som range starts below this address.
 * @high: no som range ends above this address.
 * @table: the ranges; protected by @lock.
 *
 * @low and @high only ever widen. Addresses outside are not som's, which is
 * known without the lock.
 */
struct state {
	atomic_uint lock;
	atomic_ulong low;
	atomic_ulong high;
	struct ranges table;
	struct range ranges[];
};

enum { CONFIG_UNREAD, CONFIG_OFF, CONFIG_ON };

static struct {
	atomic_int read;
	unsigned long min;
	unsigned long max;
	bool noreserve;
	bool verbose;
	const char *device;
} config;

static struct state *_Atomic the_state;
static atomic_int the_fd = -1;
static _Atomic dev_t the_rdev;
static atomic_bool said_on, said_off, said_dry;

/* System calls, with the kernel's own return values. */

static long sys(long number, unsigned long a, unsigned long b, unsigned long c,
		unsigned long d, unsigned long e, unsigned long f)
{
	int saved = errno;
	long ret = syscall(number, a, b, c, d, e, f);

	if (ret == -1)
		ret = -errno;
	errno = saved;
	return ret;
}

static long sys_mmap(unsigned long addr, size_t len, int prot, int flags,
		     int fd, off_t offset)
{
	return sys(SYS_mmap, addr, len, prot, flags, fd, offset);
}

static long sys_munmap(unsigned long addr, size_t len)
{
	return sys(SYS_munmap, addr, len, 0, 0, 0, 0);
}

static long sys_mprotect(unsigned long addr, size_t len, int prot)
{
	return sys(SYS_mprotect, addr, len, prot, 0, 0, 0);
}

static long sys_madvise(unsigned long addr, size_t len, int advice)
{
	return sys(SYS_madvise, addr, len, advice, 0, 0, 0);
}

static long sys_mremap(unsigned long addr, size_t old_len, size_t new_len,
		       int flags, unsigned long new_addr)
{
	return sys(SYS_mremap, addr, old_len, new_len, flags, new_addr, 0);
}

static bool failed(long ret)
{
	return ret < 0 && ret >= -4095;
}

static long answer(long ret)
{
	if (!failed(ret))
		return ret;
	errno = -ret;
	return -1;
}

/* What the user is told, once each, and only if asked for. */

static size_t put_text(char *buf, size_t at, size_t size, const char *text)
{
	while (*text && at < size)
		buf[at++] = *text++;
	return at;
}

static size_t put_number(char *buf, size_t at, size_t size, unsigned long value)
{
	char digits[20];
	size_t n = 0;

	do {
		digits[n++] = '0' + value % 10;
		value /= 10;
	} while (value);
	while (n && at < size)
		buf[at++] = digits[--n];
	return at;
}

/* say_once - "som-preload: DEVICE: BEFORE VALUE AFTER" on stderr. */
static void say_once(atomic_bool *said, const char *before, unsigned long value,
		     const char *after)
{
	char buf[256];
	size_t at = 0;

	if (!config.verbose || atomic_exchange(said, true))
		return;
	at = put_text(buf, at, sizeof(buf) - 1, "som-preload: ");
	at = put_text(buf, at, sizeof(buf) - 1, config.device);
	at = put_text(buf, at, sizeof(buf) - 1, ": ");
	at = put_text(buf, at, sizeof(buf) - 1, before);
	at = put_number(buf, at, sizeof(buf) - 1, value);
	at = put_text(buf, at, sizeof(buf) - 1, after);
	buf[at++] = '\n';
	sys(SYS_write, STDERR_FILENO, (unsigned long)buf, at, 0, 0, 0);
}

/* Configuration. */

static const char *find_env(const char *name)
{
	size_t len = strlen(name);
	char **env;

	for (env = environ; *env; env++)
		if (!strncmp(*env, name, len) && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

/* A number of bytes with an optional suffix K, M, G or T; @def if there is none. */
static unsigned long env_size(const char *name, unsigned long def)
{
	const char *s = find_env(name);
	unsigned long value = 0;
	int shift = 0;

	if (!s || *s < '0' || *s > '9')
		return def;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(value, 10UL, &value) ||
		    __builtin_add_overflow(value, (unsigned long)(*s - '0'),
					   &value))
			return def;
	}
	switch (*s) {
	case 'T': case 't':
		shift += 10;
		/* fall through */
	case 'G': case 'g':
		shift += 10;
		/* fall through */
	case 'M': case 'm':
		shift += 10;
		/* fall through */
	case 'K': case 'k':
		shift += 10;
		break;
	case '\0':
		break;
	default:
		return def;
	}
	if (value > ~0UL >> shift)
		return def;
	return value << shift;
}

static bool env_flag(const char *name)
{
	const char *s = find_env(name);

	return s && *s && strcmp(s, "0");
}

/*
 * is_on - should mappings go to som at all?
 *
 * Before libc has the environment nothing does. Threads that come here at the
 * same time read and write the same values.
 */
static bool is_on(void)
{
	int read = atomic_load_explicit(&config.read, memory_order_acquire);
	const char *device;

	if (read != CONFIG_UNREAD)
		return read == CONFIG_ON;
	if (!environ)
		return false;
	config.min = env_size("SOM_PRELOAD_MIN", UNIT);
	config.max = env_size("SOM_PRELOAD_MAX", ~0UL);
	config.noreserve = env_flag("SOM_PRELOAD_NORESERVE");
	config.verbose = env_flag("SOM_PRELOAD_VERBOSE");
	device = find_env("SOM_PRELOAD_DEVICE");
	config.device = device && *device ? device : "/dev/som";
	atomic_store_explicit(&config.read, CONFIG_ON, memory_order_release);
	return true;
}

/* The device's file descriptor. */

static bool fd_is_ours(int fd)
{
	struct stat st;

	if (fd < 0)
		return false;
	if (failed(sys(SYS_fstat, fd, (unsigned long)&st, 0, 0, 0, 0)))
		return false;
	return S_ISCHR(st.st_mode) && st.st_rdev == atomic_load(&the_rdev);
}

static int move_up(int fd)
{
	struct rlimit limit = { .rlim_cur = FD_HIGH + 1 };
	int from = FD_HIGH;
	long ret;

	sys(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (unsigned long)&limit, 0, 0);
	if (limit.rlim_cur <= FD_HIGH + 16)
		from = limit.rlim_cur > 32 ? limit.rlim_cur - 16 : 16;
	ret = sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from, 0, 0, 0);
	if (failed(ret))
		return fd;
	sys(SYS_close, fd, 0, 0, 0, 0, 0);
	return ret;
}

/* Return: a descriptor of the device, or a negative errno. */
static int get_fd(void)
{
	int old = atomic_load(&the_fd);
	struct stat st;
	long fd;

	if (fd_is_ours(old))
		return old;
	fd = sys(SYS_openat, AT_FDCWD, (unsigned long)config.device,
		 O_RDWR | O_CLOEXEC, 0, 0, 0);
	if (failed(fd))
		goto off;
	if (failed(sys(SYS_fstat, fd, (unsigned long)&st, 0, 0, 0, 0)) ||
	    !S_ISCHR(st.st_mode)) {
		sys(SYS_close, fd, 0, 0, 0, 0, 0);
		fd = -ENODEV;
		goto off;
	}
	fd = move_up(fd);
	atomic_store(&the_rdev, st.st_rdev);
	if (!atomic_compare_exchange_strong(&the_fd, &old, (int)fd)) {
		/* Another thread was faster; its descriptor is as good. */
		sys(SYS_close, fd, 0, 0, 0, 0, 0);
		return old;
	}
	return fd;
off:
	/* Too many open files can pass; a missing device stays missing. */
	if (fd != -EMFILE && fd != -ENFILE && fd != -EINTR && fd != -ENOMEM)
		atomic_store(&config.read, CONFIG_OFF);
	say_once(&said_off, "cannot be opened (errno ", -fd,
		 "); ordinary memory is used");
	return fd;
}

/* The table and its lock. */

static struct state *get_state(void)
{
	struct state *state = atomic_load(&the_state), *none = NULL;
	size_t size = sizeof(*state) + MAX_RANGES * sizeof(struct range);
	long ret;

	if (state)
		return state;
	ret = sys_mmap(0, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (failed(ret))
		return NULL;
	if (failed(sys_madvise(ret, size, MADV_WIPEONFORK))) {
		sys_munmap(ret, size);
		return NULL;
	}
	state = (struct state *)ret;
	if (!atomic_compare_exchange_strong(&the_state, &none, state)) {
		sys_munmap(ret, size);
		return none;
	}
	return state;
}

static void lock(struct state *state, unsigned long *mask)
{
	unsigned long all[MASK_WORDS];
	unsigned int seen = 0;

	memset(all, 0xff, sizeof(all));
	sys(SYS_rt_sigprocmask, SIG_SETMASK, (unsigned long)all,
	    (unsigned long)mask, sizeof(all), 0, 0);
	if (!atomic_compare_exchange_strong(&state->lock, &seen, 1)) {
		while (atomic_exchange(&state->lock, 2))
			sys(SYS_futex, (unsigned long)&state->lock,
			    FUTEX_WAIT_PRIVATE, 2, 0, 0, 0);
	}
	/* A fork has wiped these, or they were never set. */
	state->table.max = MAX_RANGES;
	state->table.r = state->ranges;
}

static void unlock(struct state *state, const unsigned long *mask)
{
	if (atomic_exchange(&state->lock, 0) == 2)
		sys(SYS_futex, (unsigned long)&state->lock, FUTEX_WAKE_PRIVATE,
		    1, 0, 0, 0);
	sys(SYS_rt_sigprocmask, SIG_SETMASK, (unsigned long)mask, 0,
	    MASK_WORDS * sizeof(*mask), 0, 0);
}

static void widen(struct state *state, unsigned long start, unsigned long end)
{
	unsigned long low = atomic_load(&state->low);
	unsigned long high = atomic_load(&state->high);

	if (!low || start < low)
		atomic_store(&state->low, start);
	if (end > high)
		atomic_store(&state->high, end);
}

static unsigned long end_of(unsigned long addr, size_t len)
{
	unsigned long end;

	if (__builtin_add_overflow(addr, len, &end) ||
	    __builtin_add_overflow(end, PAGE - 1, &end))
		return 0;
	return end & ~(PAGE - 1);
}

/*
 * near - may any of [addr, addr + len) be som's?
 *
 * Return: the state when it may, NULL when it certainly is not, which includes
 * ranges that the kernel will refuse.
 */
static struct state *near(unsigned long addr, size_t len)
{
	struct state *state = atomic_load(&the_state);
	unsigned long end = end_of(addr, len);

	if (!state || !len || !end || addr % PAGE)
		return NULL;
	if (end <= atomic_load(&state->low) || addr >= atomic_load(&state->high))
		return NULL;
	return state;
}

static void enter(struct state *state, unsigned long start, unsigned long end,
		  bool promised)
{
	unsigned long mask[MASK_WORDS];

	lock(state, mask);
	ranges_insert(&state->table, start, end, promised);
	widen(state, start, end);
	unlock(state, mask);
}

/*
 * settle - the kernel has put something that is not som's at [addr, addr + len)
 *
 * Usually the table agrees. It does not where som memory was unmapped behind our
 * back, by a system call made directly.
 */
static void settle(unsigned long addr, size_t len)
{
	struct state *state = near(addr, len);
	unsigned long mask[MASK_WORDS];

	if (!state)
		return;
	lock(state, mask);
	if (ranges_room(&state->table))
		ranges_remove(&state->table, addr, end_of(addr, len));
	unlock(state, mask);
}

static bool has_room(struct state *state)
{
	unsigned long mask[MASK_WORDS];
	bool room;

	lock(state, mask);
	room = ranges_room(&state->table);
	unlock(state, mask);
	return room;
}

/*
 * next_piece - cut the first piece off [addr, end)
 * @state: the state.
 * @addr: first byte.
 * @end: first byte after the range.
 * @piece: its first part that is either one range of the table or none of it.
 *
 * Return: true when the piece is som's.
 */
static bool next_piece(struct state *state, unsigned long addr,
		       unsigned long end, struct range *piece)
{
	unsigned long mask[MASK_WORDS];
	const struct range *r;
	bool owned = false;
	size_t i;

	*piece = (struct range){ .start = addr, .end = end };
	lock(state, mask);
	i = ranges_first(&state->table, addr);
	if (i < state->table.nr) {
		r = &state->table.r[i];
		owned = r->start <= addr;
		if (owned) {
			piece->promised = r->promised;
			if (r->end < end)
				piece->end = r->end;
		} else if (r->start < end) {
			piece->end = r->start;
		}
	}
	unlock(state, mask);
	return owned;
}

/* mprotect */

/* The pool cannot promise what has no data yet: let ordinary memory be there. */
static long protect_pieces(struct state *state, unsigned long addr,
			   unsigned long end, int prot)
{
	struct range p;
	long ret;

	for (; addr < end; addr = p.end) {
		if (next_piece(state, addr, end, &p) && !p.promised) {
			ret = sys_mmap(p.start, p.end - p.start, prot,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				       -1, 0);
			if (!failed(ret))
				settle(p.start, p.end - p.start);
		} else {
			ret = sys_mprotect(p.start, p.end - p.start, prot);
		}
		if (failed(ret))
			return ret;
	}
	return 0;
}

static long do_mprotect(unsigned long addr, size_t len, int prot)
{
	struct state *state = near(addr, len);
	unsigned long mask[MASK_WORDS], end = end_of(addr, len);
	bool replace;
	long ret;

	if (!state || !(prot & (PROT_READ | PROT_WRITE | PROT_EXEC)))
		return sys_mprotect(addr, len, prot);

	lock(state, mask);
	ret = sys_mprotect(addr, len, prot);
	if (!ret)
		ranges_promise(&state->table, addr, end);
	replace = ret == -ENOMEM && ranges_room(&state->table) &&
		  ranges_any_unpromised(&state->table, addr, end);
	unlock(state, mask);
	if (!replace)
		return ret;
	say_once(&said_dry, "no units for ", len,
		 " bytes; ordinary memory is used");
	return protect_pieces(state, addr, end, prot);
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

static long map_som(unsigned long hint, size_t len, int prot, int flags)
{
	int keep = MAP_POPULATE | MAP_NONBLOCK | MAP_FIXED_NOREPLACE;
	struct state *state;
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
	ret = sys_mmap(hint, len, prot, MAP_SHARED | (flags & keep), fd, 0);
	if (failed(ret)) {
		if (ret == -ENOMEM)
			say_once(&said_dry, "no units for ", len,
				 " bytes; ordinary memory is used");
		return ret;
	}
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
	ret = do_mprotect(addr, len, prot);
	return failed(ret) ? ret : (long)addr;
}

static bool all_ours(unsigned long addr, size_t len)
{
	struct state *state = near(addr, len);
	unsigned long mask[MASK_WORDS];
	bool all;

	if (!state)
		return false;
	lock(state, mask);
	all = ranges_cover(&state->table, addr, end_of(addr, len));
	unlock(state, mask);
	return all;
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
	bool plain = is_plain(prot, flags);
	long ret;

	if (flags & MAP_FIXED) {
		if (plain && all_ours(addr, len)) {
			ret = map_over(atomic_load(&the_state), addr, len, prot);
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
 * Let the kernel move a som mapping, and grow it if it likes. Once it is @asked, it
 * first unmaps what is at @dest, and can still fail: then @dest is nobody's, or of
 * another thread that has mapped something there.
 */
static long move_mapping(struct state *state, unsigned long addr, size_t old_len,
			 size_t new_len, unsigned long dest, bool *asked)
{
	unsigned long mask[MASK_WORDS], end = end_of(addr, old_len);
	long ret = -ENOMEM;
	bool promised;

	lock(state, mask);
	*asked = ranges_room(&state->table);
	if (*asked) {
		promised = !ranges_any_unpromised(&state->table, addr, end);
		ret = sys_mremap(addr, old_len, new_len,
				 MREMAP_MAYMOVE | MREMAP_FIXED, dest);
		if (!failed(ret)) {
			ranges_remove(&state->table, addr, end);
			ranges_insert(&state->table, dest,
				      end_of(dest, new_len), promised);
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
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_KEEPONFORK:
		/* Hints, and what som does anyway. */
		return 0;
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
	return answer(do_mprotect((unsigned long)addr, len, prot));
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
