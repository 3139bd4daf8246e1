// SPDX-License-Identifier: GPL-2.0
/*
 * Functions of libc that close descriptors. They keep the library's descriptor open.
 *
 * To the program it is not open: close() fails with EBADF, and closing a range skips it.
 * exec closes it. If the program puts a file at its number, the library moves it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "device.h"
#include "preload.h"
#include "raw.h"

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE	(1U << 1)
#endif

/* Call the original function: close() is a cancellation point. */
static int (*next_close)(int fd);
static void (*next_closefrom)(int low);

__attribute__((constructor)) static void find_next(void)
{
	next_close = (int (*)(int))dlsym(RTLD_NEXT, "close");
	next_closefrom = (void (*)(int))dlsym(RTLD_NEXT, "closefrom");
}

long do_close(int fd)
{
	return is_our_fd(fd) ? -EBADF : sys(SYS_close, fd, 0, 0, 0, 0, 0);
}

PUBLIC int close(int fd)
{
	return next_close && !is_our_fd(fd) ? next_close(fd) :
					      answer(do_close(fd));
}

long do_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
	int ours = -1;
	long ret = 0;

	/* Other flags close nothing. */
	if (!(flags & ~CLOSE_RANGE_UNSHARE))
		ours = next_our_fd(first, last);
	while (ours >= 0 && !failed(ret)) {
		if ((unsigned int)ours > first)
			ret = sys(SYS_close_range, first, ours - 1, flags, 0, 0,
				  0);
		if ((unsigned int)ours == last)
			return ret;
		first = ours + 1;
		ours = next_our_fd(first, last);
	}
	if (failed(ret))
		return ret;
	return sys(SYS_close_range, first, last, flags, 0, 0, 0);
}

PUBLIC int close_range(unsigned int first, unsigned int last, int flags)
{
	return answer(do_close_range(first, last, flags));
}

PUBLIC void closefrom(int low)
{
	unsigned int first = low < 0 ? 0 : low;

	/* An old kernel or a filter refuses the call: libc has another way. */
	if (failed(do_close_range(first, ~0U, 0)) && next_closefrom)
		next_closefrom(low);
}

long do_dup2(int old, int new)
{
	if (old != new && is_our_fd(new))
		move_our_fd(new);
	return sys(SYS_dup2, old, new, 0, 0, 0, 0);
}

PUBLIC int dup2(int old, int new)
{
	return answer(do_dup2(old, new));
}

long do_dup3(int old, int new, int flags)
{
	if (old != new && is_our_fd(new))
		move_our_fd(new);
	return sys(SYS_dup3, old, new, flags, 0, 0, 0);
}

PUBLIC int dup3(int old, int new, int flags)
{
	return answer(do_dup3(old, new, flags));
}
