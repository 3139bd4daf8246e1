/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the functions that stand before libc's have in common.
 */
#ifndef SOM_PRELOAD_PRELOAD_H
#define SOM_PRELOAD_PRELOAD_H

#include <errno.h>

#include "raw.h"

#define PUBLIC	__attribute__((visibility("default")))

/* As libc returns what the kernel does. */
static inline long answer(long ret)
{
	if (!failed(ret))
		return ret;
	errno = -ret;
	return -1;
}

#endif /* SOM_PRELOAD_PRELOAD_H */
