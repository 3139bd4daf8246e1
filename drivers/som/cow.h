/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_COW_H
#define _SOM_COW_H

#include <linux/list.h>
#include <linux/types.h>
#include <linux/xarray.h>
#include "som_types.h"

/**
 * struct som_cow_link - link between a parent and a child
 * @parent: owner, or former owner, of the units; its file is referenced.
 * @child: owner that inherited them.
 * @of_parent: in the parent's cow.children.
 * @of_child: in the child's cow.parents.
 */
struct som_cow_link {
	struct som_owner *parent;
	struct som_owner *child;
	struct list_head of_parent;
	struct list_head of_child;
};

void som_cow_init(struct som_cow *cow);
void som_cow_unlink(struct som_owner *owner);
void som_cow_destroy(struct som_owner *owner);
struct som_cow_link *som_cow_link_new(struct som_owner *parent,
				      struct som_owner *child);
int som_cow_defer(struct som_mapping *from, struct som_owner *owner);
int som_cow_pull(struct som_owner *owner, unsigned long idx);
int som_cow_pull_range(struct som_owner *owner, unsigned long first,
		       unsigned long last);
void som_cow_drop(struct som_owner *owner, unsigned long first,
		  unsigned long last);
int som_cow_break(struct som_owner *owner, unsigned long idx);
int som_cow_break_some(struct som_owner *owner, unsigned long idx);
void som_cow_lose(struct som_owner *owner, unsigned long idx);
int som_cow_settle_now(struct som_owner *owner, unsigned long idx,
		       unsigned long *until);
unsigned long som_cow_leave(struct som_owner *owner, unsigned long first,
			    unsigned long last);
bool som_cow_find(struct som_owner *owner, unsigned long *idx,
		  unsigned long last);
bool som_cow_next(struct som_owner *owner, unsigned long *idx,
		  unsigned long last);
int som_cow_look(struct som_owner *owner, unsigned long idx,
		 int (*fn)(void *arg, const void *mem,
			   const unsigned long *pages), void *arg);

/**
 * som_cow_pending - Test whether an owner may have deferred copies
 * @cow: the owner's state
 * Context: Any.
 * Return: true if it may.
 */
static inline bool som_cow_pending(const struct som_cow *cow)
{
	return READ_ONCE(cow->inherited) && !xa_empty(&cow->pending);
}

/**
 * som_owner_unsettled - Test whether som_track_settle() may have something to do
 * @owner: owner
 * Context: Any.
 * Return: false only if it has nothing to do.
 */
static inline bool som_owner_unsettled(struct som_owner *owner)
{
	return unlikely(READ_ONCE(owner->discards) ||
			som_cow_pending(&owner->cow));
}

#endif /* _SOM_COW_H */
