/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_IOCTL_H
#define _SOM_IOCTL_H

struct som_settings;

/**
 * enum som_on - what kinds of files a call can be made on
 * @SOM_ON_DEVICE: an open /dev/som.
 * @SOM_ON_PARCEL: a parcel.
 * @SOM_ON_BOTH: both.
 */
enum som_on {
	SOM_ON_DEVICE = 1,
	SOM_ON_PARCEL = 2,
	SOM_ON_BOTH = SOM_ON_DEVICE | SOM_ON_PARCEL,
};

long som_ioctl(struct som_settings *settings, enum som_on on,
	       unsigned int cmd, unsigned long arg);

#endif /* _SOM_IOCTL_H */
