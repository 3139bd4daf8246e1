// SPDX-License-Identifier: GPL-2.0
/*
 * The environment, and the descriptor of the device.
 *
 * A program may close any descriptor, or put another file in its place. So each use
 * looks first whether ours is what it was: the device, with the policy that was set.
 * If not, whatever has the number is left alone and the device is opened again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/som.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "raw.h"

#define UNIT		SOM_UNIT_SIZE

/* Programs close descriptors from 3 up; stay below what select(2) can hold. */
#define FD_HIGH		1000

struct config config;

static atomic_int the_fd = -1;
static _Atomic dev_t the_rdev;
static atomic_bool said_off, said_fork;

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

/**
 * say_once - "som-preload: DEVICE: BEFORE VALUE AFTER" on stderr, if asked for
 * @said: whether that was said.
 * @before: text.
 * @value: number.
 * @after: text.
 */
void say_once(atomic_bool *said, const char *before, unsigned long value,
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

/* What a child is to have of the parent's memory: its bytes, if nothing is said. */
static unsigned long long env_fork(void)
{
	const char *s = find_env("SOM_PRELOAD_FORK");

	if (s && !strcmp(s, "none"))
		return 0;
	if (s && !strcmp(s, "noreserve"))
		return SOM_POLICY_FORK_COPY | SOM_POLICY_FORK_NORESERVE;
	return SOM_POLICY_FORK_COPY;
}

/**
 * is_on - should mappings go to som at all?
 *
 * Before libc has the environment nothing does. Threads that come here at the
 * same time read and write the same values.
 *
 * Return: true when they should.
 */
bool is_on(void)
{
	int read = atomic_load_explicit(&config.read, memory_order_acquire);
	const char *device;

	if (read != CONFIG_UNREAD)
		return read == CONFIG_ON;
	if (!environ)
		return false;
	config.min = env_size("SOM_PRELOAD_MIN", UNIT);
	config.max = env_size("SOM_PRELOAD_MAX", ~0UL);
	config.options = env_fork();
	config.noreserve = env_flag("SOM_PRELOAD_NORESERVE");
	config.verbose = env_flag("SOM_PRELOAD_VERBOSE");
	device = find_env("SOM_PRELOAD_DEVICE");
	config.device = device && *device ? device : "/dev/som";
	atomic_store_explicit(&config.read, CONFIG_ON, memory_order_release);
	return true;
}

/* The device's file descriptor. */

static bool is_device(int fd, dev_t *rdev)
{
	struct stat st;

	if (fd < 0 || failed(sys(SYS_fstat, fd, (unsigned long)&st, 0, 0, 0, 0)))
		return false;
	*rdev = st.st_rdev;
	return S_ISCHR(st.st_mode);
}

static long policy_call(int fd, unsigned int call, struct som_policy *policy)
{
	return sys(SYS_ioctl, fd, call, (unsigned long)policy, 0, 0, 0);
}

/* The program may have opened the device, too, and have its file at our number. */
static bool fd_is_ours(int fd)
{
	struct som_policy policy = { .size = sizeof(policy) };
	dev_t rdev;

	if (!is_device(fd, &rdev) || rdev != atomic_load(&the_rdev))
		return false;
	return !config.options ||
	       (!policy_call(fd, SOM_IOC_GET_POLICY, &policy) &&
		policy.options == config.options);
}

/* Return: 0, or a negative errno if the module does not know such a policy. */
static long set_policy(int fd)
{
	struct som_policy policy = { .size = sizeof(policy) };
	long ret;

	if (!config.options)
		return 0;
	ret = policy_call(fd, SOM_IOC_GET_POLICY, &policy);
	if (failed(ret))
		return ret;
	policy.options = config.options;
	/* Parts of larger entries cannot be shared. */
	if (policy.map_size > UNIT)
		policy.map_size = UNIT;
	return policy_call(fd, SOM_IOC_SET_POLICY, &policy);
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

/* Return: a new descriptor, ready for use, or a negative errno. */
static long open_device(dev_t *rdev)
{
	long fd, ret;

	fd = sys(SYS_openat, AT_FDCWD, (unsigned long)config.device,
		 O_RDWR | O_CLOEXEC, 0, 0, 0);
	if (failed(fd))
		return fd;
	if (!is_device(fd, rdev)) {
		sys(SYS_close, fd, 0, 0, 0, 0, 0);
		return -ENODEV;
	}
	ret = set_policy(fd);
	if (failed(ret)) {
		say_once(&said_fork, "cannot copy memory for children (errno ",
			 -ret, "; SOM_PRELOAD_FORK=none does without)");
		sys(SYS_close, fd, 0, 0, 0, 0, 0);
		return ret;
	}
	return move_up(fd);
}

/**
 * get_fd - the descriptor of the device
 *
 * Return: the descriptor, or a negative errno.
 */
int get_fd(void)
{
	int old = atomic_load(&the_fd);
	dev_t rdev;
	long fd;

	if (fd_is_ours(old))
		return old;
	fd = open_device(&rdev);
	if (failed(fd)) {
		/* Too many open files can pass; a missing device stays missing. */
		if (fd != -EMFILE && fd != -ENFILE && fd != -EINTR &&
		    fd != -ENOMEM)
			atomic_store(&config.read, CONFIG_OFF);
		say_once(&said_off, "cannot be used (errno ", -fd,
			 "); ordinary memory is used");
		return fd;
	}
	atomic_store(&the_rdev, rdev);
	if (!atomic_compare_exchange_strong(&the_fd, &old, (int)fd)) {
		/* Another thread was faster; its descriptor is as good. */
		sys(SYS_close, fd, 0, 0, 0, 0, 0);
		return old;
	}
	return fd;
}
