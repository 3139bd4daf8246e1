/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_COLLAPSE_H
#define _SOM_COLLAPSE_H

#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct som_owner;

/**
 * struct som_collapse - page tables that may not be needed any more
 * @lock: guards @first and @last.
 * @first: first unit index to be looked at.
 * @last: last one; below @first: none.
 * @work: looks at them.
 */
struct som_collapse {
	spinlock_t lock;	/* guards first and last */
	unsigned long first;
	unsigned long last;
	struct delayed_work work;
};

void som_collapse_init(struct som_owner *owner);
void som_collapse_exit(void);
void som_collapse_want(struct som_owner *owner, unsigned long idx);

#endif /* _SOM_COLLAPSE_H */
