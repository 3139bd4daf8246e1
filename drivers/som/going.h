/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Units that have left their index, and are not given up yet.
 */
#ifndef _SOM_GOING_H
#define _SOM_GOING_H

#include <linux/list.h>
#include <linux/types.h>
#include "entry.h"

struct som_owner;

/**
 * struct som_going - units that somebody is giving up
 * @list: link in the owner's list.
 * @nr: how many there have been.
 * @idx: their unit indices.
 * @entry: their entries, under going_lock; NULL where one was taken back.
 */
struct som_going {
	struct list_head list;
	unsigned int nr;
	unsigned long idx[SOM_BATCH];
	void *entry[SOM_BATCH];
};

void som_going_begin(struct som_owner *owner, struct som_going *going);
void som_going_end(struct som_owner *owner, struct som_going *going);
void *som_going_add(struct som_owner *owner, struct som_going *going,
		    unsigned long idx);
unsigned long som_going_charge(struct som_owner *owner, unsigned long first,
			       unsigned long last);
bool som_going_settle(struct som_owner *owner, unsigned long idx);
long som_going_return(struct som_owner *owner, unsigned long idx);
long som_going_back(struct som_owner *owner, unsigned long idx, bool *charged);

/**
 * som_going_promised - does nothing cover an entry but the promise of its index?
 * @entry: the entry, or NULL
 *
 * Return: true if so.
 */
static inline bool som_going_promised(const void *entry)
{
	return entry && !som_entry_test(entry, SOM_ENTRY_CHARGED |
					       SOM_ENTRY_PINNABLE);
}

#endif /* _SOM_GOING_H */
