/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_IOCTL_H
#define _SOM_IOCTL_H

struct som_settings;

long som_ioctl(struct som_settings *settings, unsigned int cmd,
	       unsigned long arg);

#endif /* _SOM_IOCTL_H */
