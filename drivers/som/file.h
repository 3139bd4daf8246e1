/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_FILE_H
#define _SOM_FILE_H

#include <linux/fs.h>

extern const struct file_operations som_fops;

#endif /* _SOM_FILE_H */
