/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_ZAP_H
#define _SOM_ZAP_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

struct som_owner;
struct task_struct;

/** define SOM_ZAP_PARTS - partial MADV_DONTNEED of one owner under way at a time. */
#define SOM_ZAP_PARTS	16

/**
 * struct som_zap_marker - a zap that is under way
 * @list: in the owner's markers.
 * @task: by whom; NULL if a part is not used.
 * @start: of a part: first address.
 * @end: of a part: address behind the last.
 */
struct som_zap_marker {
	struct list_head list;
	struct task_struct *task;
	unsigned long start;
	unsigned long end;
};

/**
 * struct som_zaps - zaps whose further invalidations the MMU notifier ignores
 * @lock: guards all others.
 * @markers: those under way.
 * @parts: markers of MADV_DONTNEED, which begin and end in two calls of the notifier.
 * @wait: for one of @parts that is not used.
 */
struct som_zaps {
	spinlock_t lock;	/* guards markers and parts */
	struct list_head markers;
	struct som_zap_marker parts[SOM_ZAP_PARTS];
	wait_queue_head_t wait;
};

void som_zaps_init(struct som_zaps *zaps);
void som_zaps_begin_part(struct som_zaps *zaps, unsigned long start,
			 unsigned long end);
void som_zaps_end_part(struct som_zaps *zaps, unsigned long start,
		       unsigned long end);
bool som_zaps_mine(struct som_zaps *zaps);
void som_zap(struct som_owner *owner, unsigned long pgoff, unsigned long nr);

#endif /* _SOM_ZAP_H */
