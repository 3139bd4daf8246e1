/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_SHARE_H
#define _SOM_SHARE_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct som_owner;
struct som_mapping;

/**
 * struct som_cow - what an owner has inherited, and what others have from it
 * @lock: held to copy units of this owner for a child, and to change @children.
 * @children: links to owners that have inherited from this one.
 * @parents: links to owners that this one has inherited from; made by fork, and by a
 *	parent that goes.
 * @parents_lock: guards @parents; several parents may go at a time.
 * @has_child: something was inherited from this owner. Stays.
 * @inherited: this owner has inherited something. Stays.
 * @pending: unit index -> link, of units that this owner has inherited and that
 *	were not copied yet; SOM_LOST where the bytes could not be kept.
 * @parts: unit index -> pages that were inherited, of units in @pending of which that is
 *	not all.
 */
struct som_cow {
	struct mutex lock;	/* copying, and children */
	struct list_head children;
	struct list_head parents;
	spinlock_t parents_lock;	/* parents */
	bool has_child;
	bool inherited;
	struct xarray pending;
	struct xarray parts;
};

/**
 * struct som_cow_link - an owner has inherited from another
 * @parent: who has, or had, the units; a reference to its file is held.
 * @child: who inherits.
 * @of_parent: in the parent's children.
 * @of_child: in the child's parents.
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

/**
 * som_cow_pending - may an owner have something that was not copied yet?
 * @cow: the owner's
 *
 * Context: Any.
 * Return: true if so.
 */
static inline bool som_cow_pending(const struct som_cow *cow)
{
	return READ_ONCE(cow->inherited) && !xa_empty(&cow->pending);
}

#endif /* _SOM_SHARE_H */
