// SPDX-License-Identifier: GPL-2.0
/*
 * The environment, and the descriptor of the device.
 *
 * Both are set up once, before main(), because a program may later install a seccomp
 * filter, change its root or its environment, or lower its limits. From then on a mapping
 * is one mmap(), without checks before it.
 *
 * The program may close any descriptor, and open another file that gets its number. close()
 * and its relatives skip the library's descriptor (fds.c), but a program can make system
 * calls directly. So the policy of the file sets a random mmap offset that no other file
 * has: mmap() itself fails if the number belongs to another file. The library does not
 * touch such a file, and uses ordinary memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/som.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "raw.h"
#include "table.h"

#define UNIT		SOM_UNIT_SIZE

/* Programs close descriptors from 3 up; stay below the limit of select(2). */
#define FD_HIGH		1000

/* A signal can interrupt the registration of a process with som: retry. */
#define MAP_TRIES	100

struct config config;

/*
 * The descriptor, and the number that it had before it was moved, or -1. In the parent of
 * a vfork it still has that number.
 */
static atomic_int the_fd = -1, old_fd = -1;

/* The mmap offset of the file. */
static unsigned long map_offset;

/* stderr, as it was at the start. */
static struct stat told;

static atomic_bool said_off, said_fork;

/* Messages that were printed; each is printed once, and only with verbose. */

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

static __attribute__((noinline)) void say(const char *before,
					  unsigned long value,
					  const char *after)
{
	char buf[sizeof(config.device) + 256];
	struct stat now;
	size_t at = 0;

	/* A daemon may have another file at that number. */
	if (failed(sys(SYS_fstat, STDERR_FILENO, (unsigned long)&now, 0, 0, 0,
		       0)) ||
	    now.st_dev != told.st_dev || now.st_ino != told.st_ino)
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

/**
 * say_once - print "som-preload: DEVICE: BEFORE VALUE AFTER" on stderr, with verbose
 * @said: whether it was printed before.
 * @before: text.
 * @value: number.
 * @after: text.
 */
void say_once(atomic_bool *said, const char *before, unsigned long value,
	      const char *after)
{
	if (config.verbose && !atomic_exchange(said, true))
		say(before, value, after);
}

static const char *find_env(const char *name)
{
	size_t len = strlen(name);
	char **env;

	for (env = environ; *env; env++)
		if (!strncmp(*env, name, len) && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

/* Parse a number of bytes with an optional suffix K, M, G or T; default @def. */
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

/* Return: the options for fork; by default, the child gets a copy. */
static unsigned long long env_fork(void)
{
	const char *s = find_env("SOM_PRELOAD_FORK");

	if (s && !strcmp(s, "none"))
		return 0;
	if (s && !strcmp(s, "noreserve"))
		return SOM_POLICY_FORK_COPY | SOM_POLICY_FORK_NORESERVE;
	return SOM_POLICY_FORK_COPY;
}

/* Return: false if it does not fit. */
static bool copy_name(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);

	if (len >= size)
		return false;
	memcpy(to, from, len + 1);
	return true;
}

static bool read_environment(void)
{
	const char *device = find_env("SOM_PRELOAD_DEVICE");

	config.min = env_size("SOM_PRELOAD_MIN", UNIT);
	config.max = env_size("SOM_PRELOAD_MAX", ~0UL);
	config.options = env_fork();
	config.noreserve = env_flag("SOM_PRELOAD_NORESERVE");
	config.verbose = env_flag("SOM_PRELOAD_VERBOSE") &&
			 !failed(sys(SYS_fstat, STDERR_FILENO,
				     (unsigned long)&told, 0, 0, 0, 0));
	return copy_name(config.device, sizeof(config.device),
			 device && *device ? device : "/dev/som");
}

/* Return: the device's file descriptor. */

/* Return half of the random bytes of the process, so that they cannot be derived. */
static unsigned long random_number(void)
{
	const void *bytes = (const void *)getauxval(AT_RANDOM);
	unsigned long x = (unsigned long)&bytes;

	if (bytes)
		memcpy(&x, bytes, sizeof(x));
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9UL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebUL;
	return x ^ x >> 31;
}

/*
 * From 1 << 63 on, no regular file, block device or socket can be mapped. The other bit
 * leaves room for the longest mapping, and the lowest bits for SOM_MMAP_*. io_uring maps
 * nothing at offsets with all of the bits 27 to 31 set.
 */
static unsigned long random_offset(void)
{
	return 1UL << 63 | (random_number() & ~(3UL << 62) & ~(16 * PAGE - 1)) |
	       0xf8000000UL;
}

static bool is_device(int fd)
{
	struct stat st;

	return !failed(sys(SYS_fstat, fd, (unsigned long)&st, 0, 0, 0, 0)) &&
	       S_ISCHR(st.st_mode);
}

static long policy_call(int fd, unsigned int call, struct som_policy *policy)
{
	return sys(SYS_ioctl, fd, call, (unsigned long)policy, 0, 0, 0);
}

/* Set the policy. Return: 0, or a negative errno if the module does not know it. */
static long set_policy(int fd)
{
	struct som_policy policy = { .size = sizeof(policy) };
	long ret;

	ret = policy_call(fd, SOM_IOC_GET_POLICY, &policy);
	if (failed(ret))
		return ret;
	policy.options = config.options | SOM_POLICY_PAGE_BACKED;
	policy.map_offset = map_offset;
	/* Inherited mappings cannot use 1 GiB entries. */
	if (config.options && policy.map_size > UNIT)
		policy.map_size = UNIT;
	return policy_call(fd, SOM_IOC_SET_POLICY, &policy);
}

/* Duplicate a descriptor to a high number. Return: the number, or a negative errno. */
static long copy_high(int fd)
{
	struct rlimit limit = { .rlim_cur = FD_HIGH + 1 };
	int from = FD_HIGH;

	sys(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (unsigned long)&limit, 0, 0);
	if (limit.rlim_cur <= FD_HIGH + 16)
		from = limit.rlim_cur > 32 ? limit.rlim_cur - 16 : 16;
	return sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from, 0, 0, 0);
}

static int move_up(int fd)
{
	long ret = copy_high(fd);

	if (failed(ret))
		return fd;
	sys(SYS_close, fd, 0, 0, 0, 0, 0);
	return ret;
}

/* Open the device and set its policy. Return: a descriptor, or a negative errno. */
static long open_device(void)
{
	long fd, ret;

	fd = sys(SYS_openat, AT_FDCWD, (unsigned long)config.device,
		 O_RDWR | O_CLOEXEC | O_NOCTTY, 0, 0, 0);
	if (failed(fd))
		return fd;
	ret = is_device(fd) ? set_policy(fd) : -ENODEV;
	if (failed(ret)) {
		if (ret != -ENODEV && config.options)
			say_once(&said_fork, "cannot copy memory for children (errno ",
				 -ret, "; SOM_PRELOAD_FORK=none does without)");
		sys(SYS_close, fd, 0, 0, 0, 0, 0);
		return ret;
	}
	return move_up(fd);
}

static int start(void)
{
	long fd;

	if (!read_environment())
		return STAGE_OFF;
	map_offset = random_offset();
	fd = open_device();
	/* An empty table for children needs more than mmap, so allocate it now. */
	if (!failed(fd) && !config.options && !table_open(false)) {
		sys(SYS_close, fd, 0, 0, 0, 0, 0);
		fd = -ENOMEM;
	}
	if (failed(fd)) {
		say_once(&said_off, "cannot be used (errno ", -fd,
			 "); ordinary memory is used");
		return STAGE_OFF;
	}
	atomic_store(&the_fd, fd);
	return STAGE_ON;
}

/**
 * is_on - return whether mappings can be put on som
 *
 * They cannot before libc has set up the environment, or while another thread is just
 * starting the library.
 *
 * Return: true if so.
 */
bool is_on(void)
{
	int stage = atomic_load(&config.stage);

	if (stage == STAGE_NEW && environ &&
	    atomic_compare_exchange_strong(&config.stage, &stage,
					   STAGE_STARTING)) {
		stage = start();
		atomic_store(&config.stage, stage);
	}
	return stage == STAGE_ON;
}

__attribute__((constructor)) static void start_before_main(void)
{
	is_on();
}

static long map_fd(int fd, unsigned long hint, size_t len, int prot, int flags)
{
	int tries = MAP_TRIES;
	long ret;

	do {
		ret = sys_mmap(hint, len, prot, MAP_PRIVATE | flags, fd,
			       map_offset);
	} while (ret == -EINTR && --tries);
	return ret;
}

/* Return whether the error may mean that the number belongs to another file. */
static bool may_be_lost(long ret)
{
	return failed(ret) && ret != -ENOMEM && ret != -EEXIST && ret != -EAGAIN;
}

/**
 * map_device - make a private mapping of the device
 * @hint: address, as for mmap.
 * @len: bytes.
 * @prot: access.
 * @flags: MAP_* without MAP_PRIVATE.
 *
 * Return: the address, or a negative errno.
 */
long map_device(unsigned long hint, size_t len, int prot, int flags)
{
	int fd = atomic_load(&the_fd), old = atomic_load(&old_fd);
	long ret = map_fd(fd, hint, len, prot, flags);

	if (!may_be_lost(ret) || old < 0)
		return ret;
	ret = map_fd(old, hint, len, prot, flags);
	if (!may_be_lost(ret)) {
		atomic_store(&the_fd, old);
		atomic_store(&old_fd, fd);
	}
	return ret;
}

static bool may_be_ours(int fd)
{
	return fd >= 0 && (fd == atomic_load(&the_fd) ||
			   fd == atomic_load(&old_fd));
}

/**
 * is_our_fd - return whether a number is our descriptor
 * @fd: the number.
 *
 * If it is the expected number, the function makes a mapping to verify the file.
 *
 * Return: true if so.
 */
bool is_our_fd(int fd)
{
	long ret;

	if (!may_be_ours(fd))
		return false;
	ret = map_fd(fd, 0, PAGE, PROT_NONE, MAP_NORESERVE);
	if (failed(ret))
		return false;
	sys_munmap(ret, PAGE);
	return true;
}

/**
 * map_again - map a range of som mappings again, over the same memory
 * @addr: address.
 * @len: bytes.
 * @way: SOM_MMAP_JOIN or SOM_MMAP_DODUMP.
 *
 * mmap of another file with MAP_FIXED could unmap the range and then fail, so the file is
 * verified first. PROT_NONE does not count for vm.overcommit_memory.
 *
 * Return: 0, or a negative errno; the mappings are unchanged then.
 */
long map_again(unsigned long addr, size_t len, unsigned long way)
{
	const int fds[] = { atomic_load(&the_fd), atomic_load(&old_fd) };
	size_t i;
	long ret;

	for (i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (!is_our_fd(fds[i]))
			continue;
		ret = sys_mmap(addr, len, PROT_NONE, MAP_PRIVATE | MAP_FIXED,
			       fds[i], map_offset + way);
		return failed(ret) ? ret : 0;
	}
	return -EBADF;
}

/**
 * next_our_fd - find our descriptor among some numbers
 * @first: the first.
 * @last: the last.
 *
 * Return: the lowest number that is_our_fd(), or -1.
 */
int next_our_fd(unsigned int first, unsigned int last)
{
	const int fds[] = { atomic_load(&the_fd), atomic_load(&old_fd) };
	int found = -1;
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (fds[i] < 0 || (unsigned int)fds[i] < first ||
		    (unsigned int)fds[i] > last || !is_our_fd(fds[i]))
			continue;
		if (found < 0 || fds[i] < found)
			found = fds[i];
	}
	return found;
}

/**
 * move_our_fd - free a number for the program
 * @fd: is_our_fd().
 *
 * The file stays open at another number, if one is available.
 */
void move_our_fd(int fd)
{
	long ret = copy_high(fd);

	if (failed(ret))
		return;
	/* A child of vfork shares the variable with its parent, but not the descriptor. */
	atomic_store(&old_fd, fd);
	atomic_store(&the_fd, ret);
}
