/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls made directly, with the return values of the kernel. They use neither errno
 * nor any symbol of libc, so they work before libc does, and with any other preloaded
 * library.
 */
#ifndef SOM_PRELOAD_RAW_H
#define SOM_PRELOAD_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>

#define PAGE	4096UL

static inline long sys(long number, unsigned long a, unsigned long b,
		       unsigned long c, unsigned long d, unsigned long e,
		       unsigned long f)
{
	register unsigned long r10 asm("r10") = d;
	register unsigned long r8 asm("r8") = e;
	register unsigned long r9 asm("r9") = f;
	long ret;

	asm volatile("syscall"
		     : "=a" (ret)
		     : "a" (number), "D" (a), "S" (b), "d" (c), "r" (r10),
		       "r" (r8), "r" (r9)
		     : "rcx", "r11", "memory");
	return ret;
}

static inline long sys_mmap(unsigned long addr, size_t len, int prot, int flags,
			    int fd, off_t offset)
{
	return sys(SYS_mmap, addr, len, prot, flags, fd, offset);
}

static inline long sys_munmap(unsigned long addr, size_t len)
{
	return sys(SYS_munmap, addr, len, 0, 0, 0, 0);
}

/* @pkey: -1 keeps the key. */
static inline long sys_mprotect(unsigned long addr, size_t len, int prot,
				int pkey)
{
	if (pkey == -1)
		return sys(SYS_mprotect, addr, len, prot, 0, 0, 0);
	return sys(SYS_pkey_mprotect, addr, len, prot, pkey, 0, 0);
}

static inline long sys_madvise(unsigned long addr, size_t len, int advice)
{
	return sys(SYS_madvise, addr, len, advice, 0, 0, 0);
}

static inline long sys_mremap(unsigned long addr, size_t old_len,
			      size_t new_len, int flags, unsigned long new_addr)
{
	return sys(SYS_mremap, addr, old_len, new_len, flags, new_addr, 0);
}

static inline bool failed(long ret)
{
	return ret < 0 && ret >= -4095;
}

#endif /* SOM_PRELOAD_RAW_H */
