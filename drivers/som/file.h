/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_FILE_H
#define _SOM_FILE_H

#include <linux/fs.h>

struct som_claim;
struct som_owner;
struct som_settings;
struct vm_area_struct;

extern const struct file_operations som_fops;

struct som_owner *som_file_map(const struct som_settings *settings,
			       struct vm_area_struct *vma,
			       struct som_claim *claim);

#endif /* _SOM_FILE_H */
