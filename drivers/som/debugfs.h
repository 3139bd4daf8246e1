/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_DEBUGFS_H
#define _SOM_DEBUGFS_H

void som_debugfs_init(void);
void som_debugfs_exit(void);

#endif /* _SOM_DEBUGFS_H */
