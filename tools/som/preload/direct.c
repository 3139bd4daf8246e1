// SPDX-License-Identifier: GPL-2.0
/*
 * Other calls that change mappings and descriptors: libc's syscall(), and shared memory
 * attached over another mapping. Also calls that install a sandbox.
 *
 * Memory that syscall() maps stays ordinary memory. Changes of som memory and of the
 * library's descriptor are intercepted.
 */
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <unistd.h>

#include "device.h"
#include "preload.h"
#include "raw.h"
#include "table.h"

/* The program has installed a seccomp filter, or is about to. */
atomic_bool sandboxed;

#define STRING(x)	#x
#define NUMBER(x)	STRING(x)

/* From now on, an extra system call may end the program. */
static void see_sandbox(long number, long option)
{
	if (number == SYS_seccomp || option == PR_SET_SECCOMP)
		atomic_store(&sandboxed, true);
}

static long see(long number, long a, long b, long c, long d, long e, long f)
{
	long ret;

	switch (number) {
	case SYS_munmap:
		return do_munmap(a, b);
	case SYS_mremap:
		return do_mremap(a, b, c, d, e);
	case SYS_mprotect:
		return do_mprotect(a, b, c, -1);
	case SYS_pkey_mprotect:
		return do_mprotect(a, b, c, d);
	case SYS_madvise:
		return do_madvise(a, b, c);
	case SYS_close:
		return do_close(a);
	case SYS_close_range:
		return do_close_range(a, b, c);
	case SYS_dup2:
		return do_dup2(a, b);
	case SYS_dup3:
		return do_dup3(a, b, c);
	default:
		if (number == SYS_prctl || number == SYS_seccomp)
			see_sandbox(number, a);
		ret = sys(number, a, b, c, d, e, f);
		if (number == SYS_mmap && !failed(ret))
			forget(ret, b);
		return ret;
	}
}

long seen_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	return answer(see(number, a, b, c, d, e, f));
}

long set_errno(long ret)
{
	return answer(ret);
}

#define SEE(number)							\
	"	cmpq	$" NUMBER(number) ", %rdi\n"			\
	"	je	seen_syscall\n"

/*
 * syscall - make any system call
 *
 * Calls that are not intercepted are made as in libc, without a stack frame: a child of
 * SYS_clone may return on another stack.
 */
asm("	.text\n"
	"	.globl	syscall\n"
	"	.type	syscall, @function\n"
	"syscall:\n"
	"	.cfi_startproc\n"
	SEE(__NR_mmap)
	SEE(__NR_munmap)
	SEE(__NR_mremap)
	SEE(__NR_mprotect)
	SEE(__NR_pkey_mprotect)
	SEE(__NR_madvise)
	SEE(__NR_close)
	SEE(__NR_close_range)
	SEE(__NR_dup2)
	SEE(__NR_dup3)
	SEE(__NR_prctl)
	SEE(__NR_seccomp)
	"	movq	%rdi, %rax\n"
	"	movq	%rsi, %rdi\n"
	"	movq	%rdx, %rsi\n"
	"	movq	%rcx, %rdx\n"
	"	movq	%r8, %r10\n"
	"	movq	%r9, %r8\n"
	"	movq	8(%rsp), %r9\n"
	"	syscall\n"
	"	cmpq	$-4095, %rax\n"
	"	jae	1f\n"
	"	ret\n"
	"1:	movq	%rax, %rdi\n"
	"	jmp	set_errno\n"
	"	.cfi_endproc\n"
	"	.size	syscall, . - syscall\n");

PUBLIC int prctl(int option, ...)
{
	unsigned long arg[4];
	va_list args;
	size_t i;

	va_start(args, option);
	for (i = 0; i < 4; i++)
		arg[i] = va_arg(args, unsigned long);
	va_end(args);
	see_sandbox(SYS_prctl, option);
	return answer(sys(SYS_prctl, option, arg[0], arg[1], arg[2], arg[3], 0));
}

PUBLIC void *shmat(int id, const void *addr, int flags)
{
	long ret = sys(SYS_shmat, id, (unsigned long)addr, flags, 0, 0, 0);
	struct shmid_ds shm;

	/* The length of the segment is unknown. */
	if (!failed(ret) && flags & SHM_REMAP && is_on() &&
	    !failed(sys(SYS_shmctl, id, IPC_STAT, (unsigned long)&shm, 0, 0, 0)))
		forget(ret, shm.shm_segsz);
	return (void *)answer(ret);
}
