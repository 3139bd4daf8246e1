/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_SYSFS_H
#define _SOM_SYSFS_H

struct attribute_group;
struct device;

extern const struct attribute_group *som_groups[];

int som_sysfs_add_nodes(struct device *dev);
void som_sysfs_remove_nodes(void);

#endif /* _SOM_SYSFS_H */
