/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_WORK_H
#define _SOM_WORK_H

#include <linux/workqueue.h>

struct som_owner;

int som_work_init(void);
void som_work_exit(void);
void som_work_queue(struct delayed_work *work, unsigned int msecs);
void som_work_cancel(struct delayed_work *work);
bool som_work_begin(struct som_owner *owner);
bool som_work_lock(struct som_owner *owner);
void som_work_end(struct som_owner *owner);

#endif /* _SOM_WORK_H */
