/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_ZAP_H
#define _SOM_ZAP_H

#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

struct som_owner;
struct task_struct;

/** define SOM_ZAPS - zaps of one owner that can be under way at a time. */
#define SOM_ZAPS	16

/**
 * struct som_zap_note - a zap that is under way
 * @task: by whom; NULL if the note is not used.
 * @start: first address, or 0 for one of the driver's own.
 * @end: address behind the last, or 0.
 */
struct som_zap_note {
	struct task_struct *task;
	unsigned long start;
	unsigned long end;
};

/**
 * struct som_zaps - zaps within which the MMU notifier is not to mind more
 * @lock: guards @notes.
 * @wait: for a note that is not used.
 * @notes: the zaps.
 */
struct som_zaps {
	spinlock_t lock;	/* guards notes */
	wait_queue_head_t wait;
	struct som_zap_note notes[SOM_ZAPS];
};

void som_zaps_init(struct som_zaps *zaps);
void som_zaps_begin(struct som_zaps *zaps, unsigned long start,
		    unsigned long end);
void som_zaps_end(struct som_zaps *zaps, unsigned long start,
		  unsigned long end);
bool som_zaps_mine(struct som_zaps *zaps);
void som_zap(struct som_owner *owner, unsigned long pgoff, unsigned long nr);

#endif /* _SOM_ZAP_H */
