/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loading and unloading the module, for tests.
 */
#ifndef SOM_LOAD_H
#define SOM_LOAD_H

#include "som_test.h"

/* Return: 0 or -errno. */
static inline int load(int ko, const char *params)
{
	return syscall(SYS_finit_module, ko, params, 0) ? -errno : 0;
}

static inline int unload(void)
{
	return syscall(SYS_delete_module, "som", O_NONBLOCK) ? -errno : 0;
}

/* A file or a mapping goes when its last user is scheduled: try for a while. */
static inline int unload_wait(void)
{
	double end = som_now() + 20;
	int ret;

	while ((ret = unload()) == -EWOULDBLOCK && som_now() < end)
		usleep(10000);
	return ret;
}

/* udev is not there: the kernel's devtmpfs makes the node. */
static inline int open_device(void)
{
	double end = som_now() + 10;
	int fd;

	while ((fd = som_open()) < 0 && som_now() < end)
		usleep(1000);
	return fd;
}

#endif /* SOM_LOAD_H */
