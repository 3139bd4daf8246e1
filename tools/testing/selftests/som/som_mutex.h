/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mutexes of every kind whose memory moves while one thread has them and another waits: it
 * gets them when the first lets go, or ends.
 */
#ifndef SOM_MUTEX_H
#define SOM_MUTEX_H

#include "som_test.h"

/* Kinds of mutexes, bits. */
#define MUTEX_PI	1
#define MUTEX_SHARED	2
#define MUTEX_ROBUST	4
#define MUTEX_OWNER_ENDS 8	/* with MUTEX_ROBUST */
#define MUTEX_KINDS	16

struct held_mutex {
	pthread_mutex_t *mutex;
	int kind, held, go, tid, err;
};

static inline void *mutex_holder(void *arg)
{
	struct held_mutex *h = arg;

	if (pthread_mutex_lock(h->mutex))
		return (void *)1;
	WRITE_ONCE(h->held, 1);
	if (!som_wait_flag(&h->go, 1))
		return (void *)2;
	if (!(h->kind & MUTEX_OWNER_ENDS) && pthread_mutex_unlock(h->mutex))
		return (void *)3;
	return NULL;
}

static inline void *mutex_waiter(void *arg)
{
	struct held_mutex *h = arg;

	WRITE_ONCE(h->tid, gettid());
	h->err = pthread_mutex_lock(h->mutex);
	if (h->err == EOWNERDEAD && pthread_mutex_consistent(h->mutex))
		return (void *)1;
	if ((!h->err || h->err == EOWNERDEAD) && pthread_mutex_unlock(h->mutex))
		return (void *)2;
	return NULL;
}

/* Does a thread sleep in futex()? */
static inline bool som_sleeps_in_futex(int tid)
{
	char path[64], line[64] = {};
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, line, sizeof(line) - 1) < 0)
		line[0] = 0;
	close(fd);
	return atoi(line) == SYS_futex && line[0] != 'r';
}

/* Return: 0 if all went as it should; else what failed. */
static inline const char *try_mutex(void *at, int kind, void (*move)(void *arg), void *arg)
{
	struct held_mutex h = { .mutex = at, .kind = kind };
	double end = som_now() + SOM_WAIT_SECONDS;
	pthread_t holder, waiter;
	pthread_mutexattr_t attr;
	void *a, *b;

	pthread_mutexattr_init(&attr);
	if (kind & MUTEX_PI)
		pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	if (kind & MUTEX_SHARED)
		pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (kind & MUTEX_ROBUST)
		pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (pthread_mutex_init(h.mutex, &attr) ||
	    pthread_create(&holder, NULL, mutex_holder, &h) ||
	    !som_wait_flag(&h.held, 1) ||
	    pthread_create(&waiter, NULL, mutex_waiter, &h))
		return "cannot begin";
	while (!READ_ONCE(h.tid) || !som_sleeps_in_futex(h.tid)) {
		if (som_now() > end)
			return "does not wait";
		usleep(1000);
	}
	if (move)
		move(arg);
	WRITE_ONCE(h.go, 1);
	pthread_join(holder, &a);
	pthread_join(waiter, &b);
	if (a)
		return "cannot be held";
	if (b)
		return "cannot be let go";
	if (h.err != (kind & MUTEX_OWNER_ENDS ? EOWNERDEAD : 0))
		return strerrorname_np(h.err) ?: "not told";
	return pthread_mutex_destroy(h.mutex) ? "is in use" : NULL;
}

/* Are there such mutexes? */
static inline bool mutex_kind(int kind)
{
	return !(kind & MUTEX_OWNER_ENDS) || kind & MUTEX_ROBUST;
}

#endif /* SOM_MUTEX_H */
