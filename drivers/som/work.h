/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_WORK_H
#define _SOM_WORK_H

#include <linux/types.h>

struct som_owner;

bool som_work_begin(struct som_owner *owner);
bool som_work_lock(struct som_owner *owner);
void som_work_end(struct som_owner *owner);

#endif /* _SOM_WORK_H */
