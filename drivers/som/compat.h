/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between kernels, and nothing else: the one place of the driver
 * that asks for a version or for a configuration option.
 */
#ifndef _SOM_COMPAT_H
#define _SOM_COMPAT_H

#include <linux/fs.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0) || \
	LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#error "som supports Linux 6.12"
#endif

/**
 * som_file_tryget - take a reference unless the file is on its way out
 * @file: a file whose memory is known to be valid
 *
 * Context: Any.
 * Return: true if a reference was taken.
 */
static inline bool som_file_tryget(struct file *file)
{
	return atomic_long_inc_not_zero(&file->f_count);
}

#endif /* _SOM_COMPAT_H */
