// SPDX-License-Identifier: GPL-2.0
/* som_conform: userfaultfd and futexes. */
#include <linux/futex.h>
#include <linux/userfaultfd.h>

#include "conform.h"
#include "som_mutex.h"

/*
 * userfaultfd
 */

static int uffd_open(struct conform *c, __u64 features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		say(c, "userfaultfd: %s", strerrorname_np(errno));
		return -1;
	}
	if (ioctl(fd, UFFDIO_API, &api)) {
		say(c, "UFFDIO_API: %s", strerrorname_np(errno));
		close(fd);
		return -1;
	}
	return fd;
}

static void uffd_register(struct conform *c, __u64 features)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)c->p, CONFORM_LEN },
		.mode = c->row->arg,
	};
	int fd = uffd_open(c, features);

	fill(c);
	if (fd < 0)
		return;
	if (say_result(c, ioctl(fd, UFFDIO_REGISTER, &reg)))
		ioctl(fd, UFFDIO_UNREGISTER, &reg.range);
	say_data(c, WHOLE);
}

static void op_uffd(struct conform *c)
{
	uffd_register(c, 0);
}

/* Without somebody who answers: only WP_ASYNC works by itself. */
static void op_uffd_wp_async(struct conform *c)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)c->p, CONFORM_LEN },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)c->p, CONFORM_LEN },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int fd = uffd_open(c, UFFD_FEATURE_WP_ASYNC |
			      UFFD_FEATURE_WP_UNPOPULATED);

	fill(c);
	if (fd < 0)
		return;
	if (say_result(c, ioctl(fd, UFFDIO_REGISTER, &reg)))
		say_result(c, ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
	say_data(c, WHOLE);
}

/* Other memory copied into it. */
static void op_uffd_source(struct conform *c)
{
	char *to = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {
		.range = { (uintptr_t)to, 2 * PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_copy copy = {
		.dst = (uintptr_t)to,
		.src = (uintptr_t)c->p,
		.len = 2 * PAGE,
	};
	int fd = uffd_open(c, 0);

	fill(c);
	if (fd < 0)
		return;
	say_result(c, ioctl(fd, UFFDIO_REGISTER, &reg));
	say_result(c, ioctl(fd, UFFDIO_COPY, &copy));
	say_range(c, to, 2 * PAGE, 0);
	say_data(c, WHOLE);
}

static const char why_uffd[] =
	"The kernel allows userfaultfd on anonymous, shmem and HugeTLB memory "
	"only, not on special mappings (include/linux/userfaultfd_k.h, "
	"vma_can_userfault()). PAGEMAP_SCAN of the som fd tracks writes.";

static const struct conform_row uffd_rows[] = {
	{ "register, MISSING", op_uffd, UFFDIO_REGISTER_MODE_MISSING, 0,
	  { "ok, data kept", NULL, "EINVAL, data kept", "EINVAL, data kept" },
	  why_uffd },
	{ "register, WP", op_uffd, UFFDIO_REGISTER_MODE_WP, 0,
	  { "ok, data kept", NULL, "EINVAL, data kept", "EINVAL, data kept" },
	  why_uffd },
	{ "register, MINOR", op_uffd, UFFDIO_REGISTER_MODE_MINOR, 0,
	  { "EINVAL, data kept", "ok, data kept" } },
	{ "register with WP_ASYNC, write-protect", op_uffd_wp_async, 0, 0,
	  { "ok, ok, data kept", NULL, "EINVAL, data kept",
	    "EINVAL, data kept" }, why_uffd },
	{ "UFFDIO_COPY from it to other memory", op_uffd_source, 0, 0,
	  { "ok, ok, data kept, data kept" } },
	{}
};

const struct conform_topic conform_uffd = { "userfaultfd", uffd_rows };

/*
 * Futexes
 */

static long futex(void *p, int op, int value, const struct timespec *timeout)
{
	return syscall(SYS_futex, p, op, value, timeout, NULL, 0);
}

static int *futex_word(struct conform *c)
{
	return (int *)(c->p + UNIT + 5 * PAGE);
}

static void *waiter(void *arg)
{
	struct conform *c = arg;
	const struct timespec limit = { .tv_sec = SOM_WAIT_SECONDS };
	long ret;

	do {
		ret = futex(futex_word(c), FUTEX_WAIT | c->row->arg, 1, &limit);
		if (ret && errno != EAGAIN && errno != EINTR)
			return (void *)(long)errno;
	} while (READ_ONCE(*futex_word(c)) == 1);
	return NULL;
}

/* A thread waits until another wakes it. */
static void op_futex(struct conform *c)
{
	double end = som_now() + SOM_WAIT_SECONDS;
	pthread_t thread;
	void *err;
	long woken;

	if (c->row->part)
		mprotect(c->p + UNIT, PAGE, PROT_READ);
	WRITE_ONCE(*futex_word(c), 1);
	pthread_create(&thread, NULL, waiter, c);
	/* However long it takes to begin: it waits as long as the word is 1. */
	while (!(woken = futex(futex_word(c), FUTEX_WAKE | c->row->arg, 1,
			       NULL)) && som_now() < end)
		usleep(1000);
	if (woken < 0)
		say(c, "wake: %s", strerrorname_np(errno));
	else
		say(c, "wake: %s", woken ? "ok" : "NOBODY WAITS");
	WRITE_ONCE(*futex_word(c), 2);
	futex(futex_word(c), FUTEX_WAKE | c->row->arg, 1, NULL);
	pthread_join(thread, &err);
	say(c, "wait: %s", err ? strerrorname_np((long)err) : "ok");
}

static void op_mutex(struct conform *c)
{
	pthread_mutex_t *mutex = (void *)futex_word(c);
	pthread_mutexattr_t attr;
	int i, err = 0;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setprotocol(&attr, c->row->arg);
	pthread_mutex_init(mutex, &attr);
	for (i = 0; i < 3 && !err; i++)
		err = pthread_mutex_lock(mutex) ?: pthread_mutex_unlock(mutex);
	say(c, "%s", err ? strerrorname_np(err) : "ok");
}

static void *owner_dies(void *arg)
{
	struct conform *c = arg;

	return (void *)(long)pthread_mutex_lock((void *)futex_word(c));
}

/* A thread ends with the mutex held: the next is told so. */
static void op_robust(struct conform *c)
{
	pthread_mutex_t *mutex = (void *)futex_word(c);
	pthread_mutexattr_t attr;
	pthread_t thread;
	void *ret;
	int err;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (c->row->arg)
		pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(mutex, &attr);
	pthread_create(&thread, NULL, owner_dies, c);
	pthread_join(thread, &ret);
	err = pthread_mutex_lock(mutex);
	say(c, "%s", err ? strerrorname_np(err) : "NOT TOLD");
	pthread_mutex_consistent(mutex);
	say(c, pthread_mutex_unlock(mutex) ? "FAILED" : "consistent");
}

static void op_contended_pi(struct conform *c)
{
	pthread_mutex_t *mutex = (void *)futex_word(c);
	pthread_mutexattr_t attr;
	pthread_t thread;
	void *ret;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(mutex, &attr);
	pthread_mutex_lock(mutex);
	pthread_create(&thread, NULL, owner_dies, c);
	usleep(20000);
	say(c, "unlock: %s", pthread_mutex_unlock(mutex) ? "FAILED" : "ok");
	pthread_join(thread, &ret);
	say(c, "lock: %s", ret ? strerrorname_np((long)ret) : "ok");
}

/* What happens to the memory meanwhile. */
enum meanwhile {
	NOTHING,
	TO_PAGES,
	TO_POOL,
	FORKED
};

static void convert(struct conform *c, bool page_backed)
{
	struct som_range range = {
		.size = sizeof(range), .start = (uintptr_t)c->p + UNIT,
		.end = (uintptr_t)c->p + 2 * UNIT,
	};

	if (c->kind != SOM_SHARED && c->kind != SOM_PRIVATE)
		return;
	if (ioctl(c->fd, page_backed ? SOM_IOC_PAGE_BACKED : SOM_IOC_POOL_BACKED, &range))
		say(c, "move: %s", strerrorname_np(errno));
}

static void meanwhile(void *arg)
{
	struct conform *c = arg;
	pid_t pid;

	switch (c->row->part) {
	case TO_PAGES:
	case TO_POOL:
		convert(c, c->row->part == TO_PAGES);
		break;
	case FORKED:
		pid = fork();
		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
		break;
	}
	WRITE_ONCE(c->p[UNIT], c->p[UNIT] + 1);
}

/* Of som, a unit of the kind that som-run has: without, a wake may find no page. */
static bool map_auto_converted(struct conform *c)
{
	struct som_policy policy = { .size = sizeof(policy) };

	if (c->kind != SOM_SHARED && c->kind != SOM_PRIVATE)
		return true;
	c->fd = som_open();
	if (ioctl(c->fd, SOM_IOC_GET_POLICY, &policy))
		return false;
	policy.options |= SOM_POLICY_PAGE_BACKED;
	return !ioctl(c->fd, SOM_IOC_SET_POLICY, &policy) &&
	       mmap(c->p + UNIT, UNIT, RW, MAP_FIXED | (c->kind == SOM_SHARED ?
		    MAP_SHARED : MAP_PRIVATE), c->fd, 0) == c->p + UNIT;
}

/* All kinds of mutexes; "ok", or those that fail. */
static void op_mutexes(struct conform *c)
{
	int kind, bad = 0;

	if (!map_auto_converted(c)) {
		say(c, "mmap: %s", strerrorname_np(errno));
		return;
	}
	for (kind = 0; kind < MUTEX_KINDS; kind++) {
		const char *failed;

		if (!mutex_kind(kind))
			continue;
		WRITE_ONCE(c->p[UNIT], 0);
		if (c->row->part == TO_POOL)
			convert(c, true);
		failed = try_mutex(futex_word(c), kind, meanwhile, c);
		if (failed)
			say(c, "%d: %s", kind, failed);
		bad += !!failed;
	}
	if (!bad)
		say(c, "ok");
}

static const char why_4k[] =
	"The kernel finds no page at a special entry of 4 KiB (mm/gup.c, "
	"follow_pfn_pte()). A shared futex works where an entry of 2 MiB maps "
	"the memory; a private futex works everywhere.";

static const struct conform_row sync_rows[] = {
	{ "private", op_futex, FUTEX_PRIVATE_FLAG, 0, { "wake: ok, wait: ok" } },
	{ "private, 4K entries", op_futex, FUTEX_PRIVATE_FLAG, 1,
	  { "wake: ok, wait: ok", "wake: ok, wait: ok" } },
	{ "shared", op_futex, 0, 0, { "wake: ok, wait: ok" } },
	{ "shared, 4K entries", op_futex, 0, 1,
	  { "wake: ok, wait: ok", NULL, "wake: EEXIST, wait: EEXIST",
	    "wake: EEXIST, wait: EEXIST" }, why_4k },
	{ "process-shared mutex", op_mutex, PTHREAD_PRIO_NONE, 0, { "ok" } },
	{ "PI mutex", op_contended_pi, 0, 0,
	  { "unlock: ok, lock: ok" } },
	{ "robust mutex, owner ends", op_robust, 0, 0,
	  { "EOWNERDEAD, consistent" } },
	{ "robust process-shared mutex, owner ends", op_robust, 1, 0,
	  { "EOWNERDEAD, consistent" } },
	{ "mutexes of every kind, waited for", op_mutexes, 0, NOTHING, { "ok" } },
	{ "the same, memory becomes page-backed meanwhile", op_mutexes, 0, TO_PAGES,
	  { "ok" } },
	{ "the same, and is of the pool again", op_mutexes, 0, TO_POOL, { "ok" } },
	{ "the same, a fork meanwhile", op_mutexes, 0, FORKED, { "ok" } },
	{}
};

const struct conform_topic conform_sync = { "Futexes", sync_rows };
