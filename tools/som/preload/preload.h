/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Common part of the functions that replace libc's.
 */
#ifndef SOM_PRELOAD_PRELOAD_H
#define SOM_PRELOAD_PRELOAD_H

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "raw.h"

#define PUBLIC	__attribute__((visibility("default")))

/* Convert a return value of the kernel to that of libc. */
static inline long answer(long ret)
{
	if (!failed(ret))
		return ret;
	errno = -ret;
	return -1;
}

/* Handle a system call. Return: the kernel's return value. */
long do_mprotect(unsigned long addr, size_t len, int prot, int pkey);
long do_munmap(unsigned long addr, size_t len);
long do_mremap(unsigned long addr, size_t old_len, size_t new_len, int flags,
	       unsigned long new_addr);
long do_madvise(unsigned long addr, size_t len, int advice);
long do_close(int fd);
long do_close_range(unsigned int first, unsigned int last, unsigned int flags);
long do_dup2(int old, int new);
long do_dup3(int old, int new, int flags);

extern atomic_bool sandboxed;

void forget(unsigned long addr, size_t len);

/* Continue syscall(). */
long seen_syscall(long number, long a, long b, long c, long d, long e, long f);
long set_errno(long ret);

#endif /* SOM_PRELOAD_PRELOAD_H */
