/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_SHARE_H
#define _SOM_SHARE_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct som_owner;
struct som_span;

/**
 * struct som_share - what an owner has inherited, and what others have from it
 * @lock: held to copy units of this owner for an heir, and to change @heirs.
 * @heirs: links to owners that have inherited from this one.
 * @sources: links to owners that this one has inherited from; made by fork, and by a
 *	source that goes.
 * @sources_lock: guards @sources; several sources may go at a time.
 * @lent: something was inherited from this owner. Stays.
 * @inherited: this owner has inherited something. Stays.
 * @pending: unit index -> link, of units that this owner has inherited and that
 *	were not copied yet; SOM_LOST where the bytes could not be kept.
 * @parts: unit index -> pages that were inherited, of units in @pending of which that is
 *	not all.
 */
struct som_share {
	struct mutex lock;	/* copying, and heirs */
	struct list_head heirs;
	struct list_head sources;
	spinlock_t sources_lock;	/* sources */
	bool lent;
	bool inherited;
	struct xarray pending;
	struct xarray parts;
};

/**
 * struct som_link - an owner has inherited from another
 * @source: who has, or had, the units; a reference to its file is held.
 * @heir: who inherits.
 * @of_source: in the source's heirs.
 * @of_heir: in the heir's sources.
 */
struct som_link {
	struct som_owner *source;
	struct som_owner *heir;
	struct list_head of_source;
	struct list_head of_heir;
};

void som_share_init(struct som_share *share);
void som_share_unlink(struct som_owner *owner);
void som_share_destroy(struct som_owner *owner);
struct som_link *som_share_link(struct som_owner *source,
				struct som_owner *heir);
int som_share_inherit(struct som_span *from, struct som_owner *owner);
int som_share_pull(struct som_owner *owner, unsigned long idx);
int som_share_pull_range(struct som_owner *owner, unsigned long first,
			 unsigned long last);
void som_share_drop(struct som_owner *owner, unsigned long first,
		    unsigned long last);
int som_share_break(struct som_owner *owner, unsigned long idx);
int som_share_break_some(struct som_owner *owner, unsigned long idx);
void som_share_lose(struct som_owner *owner, unsigned long idx);
int som_share_settle_now(struct som_owner *owner, unsigned long idx,
			 unsigned long *until);
unsigned long som_share_bequeath(struct som_owner *owner, unsigned long first,
				 unsigned long last);
bool som_share_find(struct som_owner *owner, unsigned long *idx,
		    unsigned long last);

/**
 * som_share_pending - may an owner have something that was not copied yet?
 * @share: the owner's
 *
 * Context: Any.
 * Return: true if so.
 */
static inline bool som_share_pending(const struct som_share *share)
{
	return READ_ONCE(share->inherited) && !xa_empty(&share->pending);
}

#endif /* _SOM_SHARE_H */
