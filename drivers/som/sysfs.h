/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_SYSFS_H
#define _SOM_SYSFS_H

struct attribute_group;

const struct attribute_group **som_sysfs_init(void);
void som_sysfs_exit(void);

void som_debugfs_init(void);
void som_debugfs_exit(void);

#endif /* _SOM_SYSFS_H */
