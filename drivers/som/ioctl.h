/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_IOCTL_H
#define _SOM_IOCTL_H

struct file;

long som_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

#endif /* _SOM_IOCTL_H */
