// SPDX-License-Identifier: GPL-2.0
/*
 * What fork shares: a child is to find the bytes that its parent had, and a unit
 * has one owner nevertheless. So a child has nothing but a deferred copy, in cow.pending,
 * of which owner has the unit, its parent, and gets a copy of its own
 *
 *  - when it touches the index first: som_cow_pull();
 *  - when the parent is about to change or lose the unit: som_cow_break(). One copy
 *    for all children: the oldest gets it, and others depend on that one from then on;
 *  - or the unit itself, when the parent has no mapping of it any more:
 *    som_cow_leave(). Other children depend on that one from then on.
 *
 * In the parent's tree such an entry has SOM_ENTRY_SHARED. As long as it has, no page
 * table has a writable entry of the unit, apart from what lies in VMAs that no child
 * has inherited. The deferred copies of a child always name the owner that has the
 * memory: a grandchild's name the grandparent where the parent has only a deferred copy.
 *
 * A child gets the pages that it has inherited, and no others: what its parent has
 * unmapped, kept from it by MADV_DONTFORK or moved away is zero in the child's unit. Which
 * pages those are is noted at fork, in cow.parts, where it is not the whole unit. Each
 * VMA adds its own, and so does one that comes when another VMA's pages were copied
 * already (cow_enter()).
 *
 * Locking: cow.lock of the parent, below everybody's fault_lock; of two, the older
 * owner's first. In it deferred copies and entries of both sides stay as they are, but for
 * those that a child drops, under xa_lock of its deferred copies alone. Several parents of an
 * child may go at a time: the list of its links has parents_lock. cow.lock is taken
 * in the MMU notifier, too (discard.c): no memory is waited for below it, and nothing
 * is zapped.
 *
 * Who waits for a unit of the pool holds none of these locks: it may be on its way
 * back from somebody who needs one. So som_cow_pull() and som_cow_break() give
 * -EAGAIN, and whoever waits comes again.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/jiffies.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include "account.h"
#include "compat.h"
#include "cow.h"
#include "entry.h"
#include "mapping.h"
#include "pool.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"

/**
 * struct som_part - what a child has inherited of a unit
 * @pages: the pages, a bit for each; they change under the same lock as the deferred copy.
 * @rcu: for its end.
 */
struct som_part {
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	struct rcu_head rcu;
};

/* A deferred copy of bytes that could not be kept: access is refused. */
#define SOM_LOST	xa_mk_value(0)
/* Units that are copied between two looks at anything else. */
#define SOM_PULL_UNITS	16
/* Copies that are made for each hold of cow.lock. */
#define SOM_BREAK_COPIES	4
/* Retry limit (ms) for callers that can neither fail nor restart. */
#define SOM_SETTLE_MS	200

/**
 * som_cow_init - nothing is shared
 * @cow: an owner's
 */
void som_cow_init(struct som_cow *cow)
{
	mutex_init(&cow->lock);
	INIT_LIST_HEAD(&cow->children);
	INIT_LIST_HEAD(&cow->parents);
	spin_lock_init(&cow->parents_lock);
	xa_init_flags(&cow->pending, XA_FLAGS_ACCOUNT);
	xa_init_flags(&cow->parts, XA_FLAGS_ACCOUNT);
	cow->has_child = false;
	cow->inherited = false;
}

/**
 * som_cow_unlink - an owner will have nothing from others any more
 * @owner: has no mapping, and so no deferred copy; nobody looks for one any more
 *
 * At the end of its process: who has inherited from it may keep the owner longer, but
 * not those before it, too.
 *
 * Context: Process context; takes the parents' cow.lock.
 */
void som_cow_unlink(struct som_owner *owner)
{
	struct som_cow *cow = &owner->cow;
	struct som_cow_link *link;

	for (;;) {
		spin_lock(&cow->parents_lock);
		link = list_first_entry_or_null(&cow->parents,
						struct som_cow_link, of_child);
		if (link)
			list_del(&link->of_child);
		spin_unlock(&cow->parents_lock);
		if (!link)
			return;
		mutex_lock(&link->parent->cow.lock);
		list_del(&link->of_parent);
		mutex_unlock(&link->parent->cow.lock);
		fput(link->parent->file);
		kfree(link);
	}
}

/* The deferred copies of some indices are gone, and so nobody asks any more what they are about. */
static void cow_forget_parts(struct som_owner *child, unsigned long first,
			     unsigned long last)
{
	struct som_part *part;
	unsigned long idx;

	xa_for_each_range(&child->cow.parts, idx, part, first, last) {
		xa_erase(&child->cow.parts, idx);
		kfree_rcu(part, rcu);
	}
}

/*
 * Which pages of a unit a child has inherited. If that is forgotten meanwhile, so is the
 * deferred copy: whoever goes by the answer finds no deferred copy any more.
 */
static void cow_pages(struct som_owner *child, unsigned long idx,
		      unsigned long *pages)
{
	const struct som_part *part;

	rcu_read_lock();
	part = xa_load(&child->cow.parts, idx);
	if (part)
		bitmap_copy(pages, part->pages, SOM_UNIT_PAGES);
	else
		bitmap_fill(pages, SOM_UNIT_PAGES);
	rcu_read_unlock();
}

/**
 * som_cow_destroy - the end of an owner
 * @owner: has no mapping, and so no deferred copy; nor has any child one that names it
 *
 * Context: Process context; takes the parents' cow.lock.
 */
void som_cow_destroy(struct som_owner *owner)
{
	som_cow_unlink(owner);
	WARN_ON_ONCE(!list_empty(&owner->cow.children) ||
		     som_cow_pending(&owner->cow));
	xa_destroy(&owner->cow.pending);
	cow_forget_parts(owner, 0, ULONG_MAX);
	xa_destroy(&owner->cow.parts);
}

static struct som_cow_link *cow_find_link(struct som_owner *parent,
					  struct som_owner *child)
{
	struct som_cow_link *link, *found = NULL;

	lockdep_assert_held(&parent->cow.lock);

	/* A child has few parents, but a parent may have thousands of children. */
	spin_lock(&child->cow.parents_lock);
	list_for_each_entry(link, &child->cow.parents, of_child) {
		if (link->parent != parent)
			continue;
		found = link;
		break;
	}
	spin_unlock(&child->cow.parents_lock);
	return found;
}

/* Make a link of memory that was allocated before. */
static void cow_add_link(struct som_cow_link *link, struct som_owner *parent,
			 struct som_owner *child)
{
	lockdep_assert_held(&parent->cow.lock);

	link->parent = parent;
	link->child = child;
	get_file(parent->file);
	list_add_tail(&link->of_parent, &parent->cow.children);
	spin_lock(&child->cow.parents_lock);
	list_add_tail(&link->of_child, &child->cow.parents);
	spin_unlock(&child->cow.parents_lock);
	WRITE_ONCE(parent->cow.has_child, true);
}

/**
 * som_cow_link_new - the link between two owners, made if need be
 * @parent: who has the units
 * @child: who is about to inherit; its process does not run yet
 *
 * Context: Process context; takes the parent's cow.lock.
 * Return: the link, or NULL without memory for it.
 */
struct som_cow_link *som_cow_link_new(struct som_owner *parent,
				      struct som_owner *child)
{
	struct som_cow_link *spare = kmalloc(sizeof(*spare), GFP_KERNEL_ACCOUNT), *link;

	if (!spare)
		return NULL;
	mutex_lock(&parent->cow.lock);
	link = cow_find_link(parent, child);
	if (!link) {
		link = spare;
		spare = NULL;
		cow_add_link(link, parent, child);
	}
	mutex_unlock(&parent->cow.lock);
	kfree(spare);
	return link;
}

/* Replace a deferred copy by another, or by nothing; false if it is not what it was. */
static bool cow_change(struct som_owner *child, unsigned long idx, void *from,
		       void *to)
{
	return xa_cmpxchg(&child->cow.pending, idx, from, to,
			  GFP_NOWAIT) == from;
}

/*
 * A deferred copy becomes a unit. The place for it is there since fork, and empty. Whoever
 * finds no deferred copy any more finds the unit.
 */
static bool cow_insert_unit(struct som_owner *child, unsigned long idx,
			    struct som_cow_link *link, som_unit_t unit,
			    unsigned long bits)
{
	struct xarray *pending = &child->cow.pending;
	bool done = false;
	void **entryp;

	xa_lock(pending);
	entryp = som_tables_entryp(&child->tables, idx);
	if (xa_load(pending, idx) == link && !WARN_ON_ONCE(!entryp)) {
		atomic_long_inc(&child->nr_level[SOM_LEVEL_NONE]);
		WRITE_ONCE(*entryp, som_entry(unit, bits | SOM_LEVEL_NONE));
		__xa_erase(pending, idx);
		done = true;
	}
	xa_unlock(pending);
	return done;
}

/* A charge for what is to be the child's; false if it cannot have one. */
static bool cow_charge(struct som_owner *child, unsigned long idx,
		       unsigned long *bits)
{
	*bits = 0;
	if (mtree_load(&child->reserved, idx))
		return true;
	*bits = SOM_ENTRY_CHARGED;
	return som_account_charge(child->account, 1);
}

static void cow_uncharge(struct som_owner *child, unsigned long bits)
{
	if (bits & SOM_ENTRY_CHARGED)
		som_account_uncharge(child->account, 1);
}

/*
 * The children that may depend on a copy with some pages which another child is about to
 * get: those that are younger and have inherited none but these pages. Begin with @link
 * NULL. cow.lock of the parent is held.
 */
static struct som_cow_link *cow_next_follower(struct som_cow_link *to,
					      unsigned long idx,
					      const unsigned long *pages,
					      struct som_cow_link *link)
{
	struct list_head *children = &to->parent->cow.children;
	DECLARE_BITMAP(theirs, SOM_UNIT_PAGES);

	link = list_prepare_entry(link, children, of_parent);
	list_for_each_entry_continue(link, children, of_parent) {
		if (link->child->id <= to->child->id ||
		    xa_load(&link->child->cow.pending, idx) != link)
			continue;
		cow_pages(link->child, idx, theirs);
		if (bitmap_subset(theirs, pages, SOM_UNIT_PAGES))
			return link;
	}
	return NULL;
}

/*
 * Links from a child to those that may depend on it, as far as there is memory for them.
 * Both cow.locks are held. Return: whether there are any.
 */
static bool cow_link_followers(struct som_cow_link *to, unsigned long idx,
			       const unsigned long *pages)
{
	struct som_cow_link *link = NULL, *new;
	bool any = false;

	while ((link = cow_next_follower(to, idx, pages, link))) {
		if (!cow_find_link(to->child, link->child)) {
			new = kmalloc(sizeof(*new), GFP_NOWAIT | __GFP_NOWARN |
						    __GFP_ACCOUNT);
			if (!new)
				break;
			cow_add_link(new, to->child, link->child);
		}
		any = true;
	}
	return any;
}

/* They depend on it from now on. Both cow.locks are held. */
static void cow_follow(struct som_cow_link *to, unsigned long idx,
		       const unsigned long *pages)
{
	struct som_cow_link *link = NULL, *other;

	while ((link = cow_next_follower(to, idx, pages, link))) {
		other = cow_find_link(to->child, link->child);
		if (other)
			cow_change(link->child, idx, link, other);
	}
}

/*
 * A child gets its copy; and, in one step, others depend on it, so that one copy will do
 * for all of them, until somebody touches the unit. The parent's cow.lock is held. Return:
 * false if the child does not want it any more.
 */
static bool cow_insert_for_all(struct som_cow_link *to, unsigned long idx,
			       som_unit_t unit, unsigned long bits,
			       const unsigned long *pages)
{
	struct som_owner *child = to->child;
	bool done;

	/* If it is on its way out, its deferred copy is gone. */
	if (!som_file_tryget(child->file))
		return cow_insert_unit(child, idx, to, unit, bits);
	mutex_lock_nested(&child->cow.lock, SINGLE_DEPTH_NESTING);
	if (cow_link_followers(to, idx, pages))
		bits |= SOM_ENTRY_SHARED;
	done = cow_insert_unit(child, idx, to, unit, bits);
	if (done)
		cow_follow(to, idx, pages);
	mutex_unlock(&child->cow.lock);
	fput(child->file);
	return done;
}

/*
 * Give a child a copy of what it has inherited of a unit that its deferred copy names.
 * @for_all: others, if they can, depend on that from then on. The parent's cow.lock is held.
 * Return: 0; -ENOSPC if the child cannot be charged, -EAGAIN if the pool has nothing right
 * now, -EHWPOISON if the memory cannot be read.
 */
static int cow_copy_to(struct som_cow_link *link, unsigned long idx,
		       som_unit_t from, bool for_all)
{
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	unsigned long bits;
	som_unit_t unit;
	int ret;

	if (!cow_charge(link->child, idx, &bits))
		return -ENOSPC;
	unit = som_pool_alloc_unzeroed(link->child->account->pool,
				       numa_mem_id());
	if (som_unit_failed(unit)) {
		cow_uncharge(link->child, bits);
		return -EAGAIN;
	}
	cow_pages(link->child, idx, pages);
	ret = som_unit_copy_pages(unit, from, pages);
	if (ret) {
		cow_change(link->child, idx, link, SOM_LOST);
		goto out_free;
	}
	som_unit_zero_others(unit, pages);
	if (for_all ? cow_insert_for_all(link, idx, unit, bits, pages) :
		      cow_insert_unit(link->child, idx, link, unit, bits)) {
		cow_forget_parts(link->child, idx, idx);
		return 0;
	}
	/* The child has dropped it meanwhile. */
out_free:
	som_pool_free(unit);
	cow_uncharge(link->child, bits);
	return ret;
}

/* The next child with a deferred copy that names the parent at an index; the oldest first. */
static struct som_cow_link *cow_next_child(struct som_owner *parent, unsigned long idx)
{
	struct som_cow_link *link, *oldest = NULL;

	lockdep_assert_held(&parent->cow.lock);

	list_for_each_entry(link, &parent->cow.children, of_parent) {
		if (xa_load(&link->child->cow.pending, idx) == link &&
		    (!oldest || link->child->id < oldest->child->id))
			oldest = link;
	}
	return oldest;
}

/*
 * Give children copies: one to the oldest, on which the others depend from then on; more only
 * where others have inherited pages that it has not. @lose: those that cannot have one lose
 * the bytes. cow.lock is held. Return: 0 when all have them; -ERESTART if there are more of
 * them; -EAGAIN.
 */
static int cow_break_locked(struct som_owner *owner, unsigned long idx, bool lose)
{
	void *entry = som_tables_load(&owner->tables, idx);
	unsigned int copies = 0;
	struct som_cow_link *link;
	int ret;

	if (!entry || !som_entry_test(entry, SOM_ENTRY_SHARED))
		return 0;
	while ((link = cow_next_child(owner, idx))) {
		if (copies++ == SOM_BREAK_COPIES)
			return -ERESTART;
		ret = cow_copy_to(link, idx, som_entry_unit(entry), true);
		if (ret == -EAGAIN && !lose)
			return ret;
		if (ret)
			cow_change(link->child, idx, link, SOM_LOST);
	}
	som_entry_change(owner, idx, SOM_ENTRY_SHARED, 0);
	return 0;
}

/**
 * som_cow_break_some - the same as som_cow_break(), for some children
 * @owner: whose
 * @idx: unit index
 *
 * For callers with locks that others wait for.
 *
 * Context: as som_cow_break().
 * Return: as som_cow_break(), or -ERESTART if there are more.
 */
int som_cow_break_some(struct som_owner *owner, unsigned long idx)
{
	int ret;

	if (!READ_ONCE(owner->cow.has_child))
		return 0;
	mutex_lock(&owner->cow.lock);
	ret = cow_break_locked(owner, idx, false);
	mutex_unlock(&owner->cow.lock);
	return ret;
}

/**
 * som_cow_break - a unit is about to change, or to be lost: children get their copies
 * @owner: whose
 * @idx: unit index
 *
 * Children that have opted out of a reservation lose the bytes if they cannot be charged.
 *
 * Context: Process context; som_owner_lock_index() is held, so that it stays as it is.
 * cow.lock is taken for some copies at a time.
 * Return: 0, or -EAGAIN if the pool has nothing right now.
 */
int som_cow_break(struct som_owner *owner, unsigned long idx)
{
	int ret;

	while ((ret = som_cow_break_some(owner, idx)) == -ERESTART)
		cond_resched();
	return ret;
}

/*
 * Links from a child to the others that depend on the same unit: how many those are.
 * -ENOMEM if a spare one is needed, to come again with. Both cow.locks are held.
 */
static int cow_link_others(struct som_owner *owner, unsigned long idx,
			   struct som_owner *child, struct som_cow_link **spare)
{
	struct som_cow_link *link;
	int nr = 0;

	list_for_each_entry(link, &owner->cow.children, of_parent) {
		if (link->child == child ||
		    xa_load(&link->child->cow.pending, idx) != link)
			continue;
		nr++;
		if (cow_find_link(child, link->child))
			continue;
		if (!*spare)
			return -ENOMEM;
		cow_add_link(*spare, child, link->child);
		*spare = NULL;
	}
	return nr;
}

/*
 * A child is about to get a unit itself, with the pages that it has inherited. Others that
 * have inherited more get copies before. @lose: those that cannot have one lose the bytes.
 * cow.lock is held. Return: 0; -ERESTART if there are more of them; -EAGAIN.
 */
static int cow_break_wider(struct som_owner *owner, unsigned long idx,
			   som_unit_t unit, struct som_cow_link *to,
			   const unsigned long *pages, bool lose)
{
	DECLARE_BITMAP(theirs, SOM_UNIT_PAGES);
	struct som_cow_link *link;
	unsigned int copies = 0;
	int ret;

	if (bitmap_full(pages, SOM_UNIT_PAGES))
		return 0;
	list_for_each_entry(link, &owner->cow.children, of_parent) {
		if (link == to || xa_load(&link->child->cow.pending, idx) != link)
			continue;
		cow_pages(link->child, idx, theirs);
		if (bitmap_subset(theirs, pages, SOM_UNIT_PAGES))
			continue;
		if (copies++ == SOM_BREAK_COPIES)
			return -ERESTART;
		ret = cow_copy_to(link, idx, unit, true);
		if (ret == -EAGAIN && !lose)
			return ret;
		if (ret)
			cow_change(link->child, idx, link, SOM_LOST);
	}
	return 0;
}

/*
 * The charge of a unit that goes to a child: its reservation, or else that of the owner goes
 * over to it, so that nobody else gets it in between. False if the child's limits are in
 * the way.
 */
static bool cow_take_over_charge(struct som_owner *owner, struct som_owner *child,
				 unsigned long idx, unsigned long *bits)
{
	struct som_shortage lack;

	*bits = 0;
	if (mtree_load(&child->reserved, idx))
		return true;
	*bits = SOM_ENTRY_CHARGED;
	return som_account_transfer(owner->account, child->account, 1, &lack);
}

/*
 * A child gets the unit itself, zeroed but for the pages that it has inherited, and the
 * others' deferred copies name it from now on. False if it does not want it any more, or
 * cannot have
 * it. *reservation: the owner has one for the index, with its charge. Both cow.locks are held.
 */
static bool cow_hand_over(struct som_owner *owner, unsigned long idx, void *entry,
			  struct som_cow_link *to, const unsigned long *pages,
			  bool others, bool *reservation)
{
	som_unit_t unit = som_entry_unit(entry);
	struct som_owner *child = to->child;
	struct som_cow_link *link;
	unsigned long bits;

	if (!cow_take_over_charge(owner, child, idx, &bits)) {
		cow_change(child, idx, to, SOM_LOST);
		return false;
	}
	/* It leaves this tree first: one owner at every instant. */
	som_tables_erase(&owner->tables, idx);
	som_unit_zero_others(unit, pages);
	if (!cow_insert_unit(child, idx, to, unit,
			     bits | (others ? SOM_ENTRY_SHARED : 0))) {
		/* It stays, with its charge: it may come to be held for a pin. */
		if (bits)
			som_account_return(owner->account, child->account, 1);
		WRITE_ONCE(*som_tables_entryp(&owner->tables, idx), entry);
		return false;
	}
	/* What did not go over is given back; a reservation, with all others. */
	if (som_entry_test(entry, SOM_ENTRY_CHARGED) && !bits)
		som_account_uncharge(owner->account, 1);
	else if (bits && !som_entry_test(entry, SOM_ENTRY_CHARGED))
		*reservation = false;
	cow_forget_parts(child, idx, idx);
	som_entry_forget(owner, entry);
	list_for_each_entry(link, &owner->cow.children, of_parent) {
		if (xa_load(&link->child->cow.pending, idx) == link)
			cow_change(link->child, idx, link,
				   cow_find_link(child, link->child));
	}
	return true;
}

/*
 * Can a child get a unit of an owner itself? Not if somebody has a pin on it, who shall
 * not see the child's bytes; nor one of another user's chunk.
 */
static bool cow_may_hand_over(const struct som_owner *owner, const void *entry,
			      const struct som_owner *child)
{
	return !som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) &&
	       !som_entry_pinned(entry) &&
	       som_pool_same_user(owner->account->pool, child->account->pool);
}

/*
 * Give children copies of a unit that goes. So that they can be charged for them, the owner
 * gives back its reservation first; not of a unit of the pool, which may be held for a pin.
 * Return: true if that is done.
 */
static bool cow_leave_copies(struct som_owner *owner, unsigned long idx,
			     const void *entry, bool lose, bool *reservation)
{
	if (!som_entry_test(entry, SOM_ENTRY_PAGE_BACKED))
		return !cow_break_locked(owner, idx, lose);
	if (*reservation)
		som_account_uncharge(owner->account, 1);
	*reservation = false;
	return !cow_break_locked(owner, idx, lose);
}

/*
 * Return: true if that is done, false to come again, with a spare link, and a little
 * later; @lose: not if it is for want of a unit. *reservation: as in cow_hand_over().
 */
static bool cow_leave_unit(struct som_owner *owner, unsigned long idx,
			   struct som_cow_link **spare, bool lose, bool *reservation)
{
	void *entry = som_tables_load(&owner->tables, idx);
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	struct som_cow_link *link;
	struct som_owner *child;
	bool done;
	int others;

	if (!entry || !som_entry_test(entry, SOM_ENTRY_SHARED))
		return true;
	link = cow_next_child(owner, idx);
	if (!link || !cow_may_hand_over(owner, entry, link->child))
		return cow_leave_copies(owner, idx, entry, lose, reservation);
	child = link->child;
	cow_pages(child, idx, pages);
	if (cow_break_wider(owner, idx, som_entry_unit(entry), link, pages, lose))
		return false;
	/* If it is on its way out, its deferred copy is gone by now. */
	if (!som_file_tryget(child->file))
		return false;
	mutex_lock_nested(&child->cow.lock, SINGLE_DEPTH_NESTING);
	others = cow_link_others(owner, idx, child, spare);
	done = others >= 0 &&
	       cow_hand_over(owner, idx, entry, link, pages, others, reservation);
	mutex_unlock(&child->cow.lock);
	fput(child->file);
	return done;
}

/**
 * som_cow_leave - an owner has no mapping of some units any more
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * What children depend on goes to one of them, and its charge with it, unless the child has a
 * reservation.
 *
 * Context: Process context; owner->lock is held. No page table and no TLB knows the
 * units.
 * Return: how many of the owner's reservations of the indices have lost their charge.
 */
unsigned long som_cow_leave(struct som_owner *owner, unsigned long first,
			    unsigned long last)
{
	struct som_cow_link *spare = NULL;
	unsigned long idx, lost = 0;
	bool done, reserved, reservation;
	unsigned int ms;
	void *entry;

	som_tables_for_each(&owner->tables, idx, entry, first, last) {
		if (!som_entry_test(entry, SOM_ENTRY_SHARED))
			continue;
		ms = 0;
		reserved = mtree_load(&owner->reserved, idx);
		reservation = reserved;
		do {
			if (!spare)
				spare = kmalloc(sizeof(*spare),
						GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
			mutex_lock(&owner->cow.lock);
			done = cow_leave_unit(owner, idx, &spare,
					      ms++ >= SOM_SETTLE_MS, &reservation);
			mutex_unlock(&owner->cow.lock);
			/* Otherwise it was a spare link that was missing. */
			if (!done && spare)
				usleep_range(1000, 2000);
		} while (!done);
		lost += reserved && !reservation;
		cond_resched();
	}
	kfree(spare);
	return lost;
}

/**
 * som_cow_pull - an owner is about to look at a unit: its own copy, if it has none
 * @owner: whose
 * @idx: unit index
 *
 * Context: Process context; som_owner_lock_index() is held, or its MMU notifier runs,
 * or its process does not run yet.
 * Return: 0 if nothing is pending any more; -EAGAIN if the pool has no unit right now;
 * -ENOSPC if the owner has opted out of a reservation and cannot be charged, or the
 * bytes are lost; -EHWPOISON if they are lost now, as the memory cannot be read.
 */
int som_cow_pull(struct som_owner *owner, unsigned long idx)
{
	struct som_cow_link *link;
	struct som_owner *parent;
	void *entry;
	int ret;

	while ((link = xa_load(&owner->cow.pending, idx))) {
		if (xa_is_value(link))
			return -ENOSPC;
		parent = link->parent;
		mutex_lock(&parent->cow.lock);
		ret = 0;
		if (xa_load(&owner->cow.pending, idx) == link) {
			entry = som_tables_load(&parent->tables, idx);
			ret = WARN_ON_ONCE(!entry) ? -ENOSPC :
			      cow_copy_to(link, idx, som_entry_unit(entry), false);
		}
		mutex_unlock(&parent->cow.lock);
		if (ret)
			return ret;
		if (owner->mm == current->mm)
			som_owner_set_pid(owner);
	}
	/* Whoever found no deferred copy finds the unit: pairs with insert_unit(). */
	smp_rmb();
	return 0;
}

/**
 * som_cow_find - the next index with a deferred copy
 * @owner: whose
 * @idx: where to begin, and where the index goes if there is one
 * @last: last unit index
 *
 * Context: Any.
 * Return: true if there is one.
 */
bool som_cow_find(struct som_owner *owner, unsigned long *idx,
		  unsigned long last)
{
	return xa_find(&owner->cow.pending, idx, last, XA_PRESENT);
}

/**
 * som_cow_pull_range - the same for a range, as far as that is done at a time
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; takes the indices' fault_locks.
 * Return: 0 if nothing is pending any more; -ERESTART if there is more to do, a tick
 * later; -ENOMEM if something cannot be had.
 */
int som_cow_pull_range(struct som_owner *owner, unsigned long first,
		       unsigned long last)
{
	unsigned long idx = first;
	unsigned int nr = 0;
	struct mutex *lock;
	int ret = 0;

	for (; !ret && som_cow_find(owner, &idx, last); idx++) {
		if (nr++ == SOM_PULL_UNITS)
			return -ERESTART;
		lock = som_owner_lock_index(owner, idx);
		ret = som_cow_pull(owner, idx);
		mutex_unlock(lock);
	}
	if (!ret)
		return 0;
	return ret == -EAGAIN ? -ERESTART : -ENOMEM;
}

/**
 * som_cow_drop - an owner does not want what it has inherited
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * What was copied already is in its tree.
 *
 * Context: Any but interrupts.
 */
void som_cow_drop(struct som_owner *owner, unsigned long first,
		  unsigned long last)
{
	unsigned long idx;
	void *deferred;

	if (!READ_ONCE(owner->cow.inherited))
		return;
	xa_for_each_range(&owner->cow.pending, idx, deferred, first, last)
		xa_erase(&owner->cow.pending, idx);
	cow_forget_parts(owner, first, last);
}

/**
 * som_cow_lose - what an owner has inherited, and cannot have, is lost to it
 * @owner: whose
 * @idx: unit index
 *
 * Not if it has become a unit meanwhile.
 *
 * Context: Process context; as som_cow_pull().
 */
void som_cow_lose(struct som_owner *owner, unsigned long idx)
{
	void *deferred;

	do {
		deferred = xa_load(&owner->cow.pending, idx);
	} while (deferred && !xa_is_value(deferred) &&
		 !cow_change(owner, idx, deferred, SOM_LOST));
}

/**
 * som_cow_settle_now - make a unit its owner's alone, without coming again
 * @owner: whose
 * @idx: unit index
 * @until: when to wait no longer, in jiffies; 0 as long as nobody has waited. For all
 *	units of a call
 *
 * For the MMU notifier, which can neither fail nor wait for long. Bytes that cannot be
 * kept are lost to who would have inherited them: access is refused there. Not those of a
 * process that is killed: it will not see what it was about to change.
 *
 * Context: Process context; mmap_lock is held.
 * Return: 0, or -EINTR if the process is killed, and the unit may be as it was.
 */
int som_cow_settle_now(struct som_owner *owner, unsigned long idx,
		       unsigned long *until)
{
	int ret;

	for (;;) {
		ret = som_cow_pull(owner, idx) ?:
		      som_cow_break(owner, idx);
		if (!ret)
			return 0;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!*until)
			*until = (jiffies + msecs_to_jiffies(SOM_SETTLE_MS)) | 1;
		if (ret != -EAGAIN || time_after(jiffies, *until))
			break;
		schedule_timeout_killable(1);
	}
	som_cow_lose(owner, idx);
	do {
		mutex_lock(&owner->cow.lock);
		ret = cow_break_locked(owner, idx, true);
		mutex_unlock(&owner->cow.lock);
		cond_resched();
	} while (ret == -ERESTART);
	return 0;
}

/*
 * Which pages of a unit does a VMA show? Not those that mremap has taken elsewhere: what is
 * left of a private mapping shows nothing of them. Return: false if there are none.
 */
static bool cow_shown_pages(struct som_mapping *mapping, unsigned long idx,
			    unsigned long *pages)
{
	unsigned long lo = som_index_pgoff(idx);
	unsigned long first = max(lo, mapping->it.start), next;
	unsigned long last = min(som_index_pgoff(idx + 1) - 1, mapping->it.last);
	bool superseded;

	bitmap_zero(pages, SOM_UNIT_PAGES);
	for (; first <= last; first = next + 1) {
		next = som_mapping_run(mapping, first, last, &superseded);
		if (!superseded)
			bitmap_set(pages, first - lo, next - first + 1);
	}
	return !bitmap_empty(pages, SOM_UNIT_PAGES);
}

/* What a deferred copy that is not there yet is to be about, if that is not the whole unit. */
static int cow_prepare_part(struct som_owner *child, unsigned long idx,
			    const unsigned long *pages)
{
	struct som_cow *cow = &child->cow;
	struct som_part *part;
	int ret;

	if (bitmap_full(pages, SOM_UNIT_PAGES) || xa_load(&cow->parts, idx) ||
	    xa_load(&cow->pending, idx) || som_tables_load(&child->tables, idx))
		return 0;
	part = kzalloc(sizeof(*part), GFP_KERNEL_ACCOUNT);
	if (!part)
		return -ENOMEM;
	ret = xa_err(xa_store(&cow->parts, idx, part, GFP_KERNEL_ACCOUNT));
	if (ret)
		kfree(part);
	return ret;
}

/*
 * A child inherits pages of a parent's unit: a deferred copy, or more pages for the deferred
 * copy that it
 * has. If it has a unit already, as another VMA's pages of it were copied, these are copied,
 * too: its process does not run yet. What is lost stays so. The parent's cow.lock is
 * held. Return: 0; -ENOMEM without memory for the deferred copy; -EHWPOISON. @entered: whether
 * there is a deferred copy that names the parent.
 */
static int cow_enter(struct som_cow_link *link, unsigned long idx, som_unit_t unit,
		     const unsigned long *pages, bool *entered)
{
	struct som_cow *cow = &link->child->cow;
	struct som_part *part;
	void *own;
	int ret = 0;

	xa_lock(&cow->pending);
	own = som_tables_load(&link->child->tables, idx);
	if (!own && !xa_is_value(xa_load(&cow->pending, idx))) {
		ret = xa_err(__xa_store(&cow->pending, idx, link,
					GFP_NOWAIT | __GFP_NOWARN | __GFP_ACCOUNT));
		part = ret ? NULL : xa_load(&cow->parts, idx);
		if (part)
			bitmap_or(part->pages, part->pages, pages,
				  SOM_UNIT_PAGES);
		*entered = !ret;
	}
	xa_unlock(&cow->pending);
	return own ? som_unit_copy_pages(som_entry_unit(own), unit, pages) : ret;
}

/*
 * What a parent itself has only a deferred copy of, as long as it has: the deferred copy may
 * change while its
 * parent's lock is waited for. Return: 0, -ENOMEM or -EHWPOISON.
 */
static int cow_defer_again(struct som_mapping *from, struct som_owner *owner,
			   unsigned long idx)
{
	DECLARE_BITMAP(theirs, SOM_UNIT_PAGES);
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	struct xarray *pending = &owner->cow.pending;
	struct som_owner *parent = from->owner, *grandparent;
	struct som_cow_link *deferred, *link;
	bool done = false, entered;
	void *entry;
	int ret = 0;

	while (!done && (deferred = xa_load(&parent->cow.pending, idx))) {
		if (!cow_shown_pages(from, idx, pages))
			return 0;
		if (xa_is_value(deferred)) {
			ret = xa_err(xa_store(pending, idx, deferred,
					      GFP_KERNEL_ACCOUNT));
			/* Of another VMA's pages: it cannot be lost in part. */
			return som_tables_load(&owner->tables, idx) ? -ENOMEM :
								    ret;
		}
		cow_pages(parent, idx, theirs);
		if (!bitmap_and(pages, pages, theirs, SOM_UNIT_PAGES))
			return 0;
		grandparent = deferred->parent;
		link = som_cow_link_new(grandparent, owner);
		if (!link || cow_prepare_part(owner, idx, pages) ||
		    xa_reserve(pending, idx, GFP_KERNEL_ACCOUNT))
			return -ENOMEM;
		mutex_lock(&grandparent->cow.lock);
		done = xa_load(&parent->cow.pending, idx) == deferred;
		entry = som_tables_load(&grandparent->tables, idx);
		if (done && !WARN_ON_ONCE(!entry))
			ret = cow_enter(link, idx, som_entry_unit(entry), pages,
					&entered);
		mutex_unlock(&grandparent->cow.lock);
		xa_release(pending, idx);
	}
	return ret;
}

/* What a parent has. Return: 0; -ENOMEM if there is no memory without waiting; -EHWPOISON. */
static int cow_try_defer_unit(struct som_owner *parent, struct som_cow_link *link,
			      unsigned long idx, const unsigned long *pages)
{
	struct mutex *lock = som_owner_lock_index(parent, idx);
	bool entered = false;
	void *entry;
	int ret = 0;

	mutex_lock(&parent->cow.lock);
	entry = som_tables_load(&parent->tables, idx);
	if (entry && !som_entry_test(entry, SOM_ENTRY_DISCARDED))
		ret = cow_enter(link, idx, som_entry_unit(entry), pages, &entered);
	if (entered)
		som_entry_change(parent, idx, 0, SOM_ENTRY_SHARED);
	mutex_unlock(&parent->cow.lock);
	mutex_unlock(lock);
	return ret;
}

/* Return: 0, -ENOMEM or -EHWPOISON. */
static int cow_defer_unit(struct som_mapping *from, struct som_cow_link *link,
			  unsigned long idx)
{
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	struct xarray *pending = &link->child->cow.pending;
	int ret;

	if (!cow_shown_pages(from, idx, pages))
		return 0;
	ret = cow_prepare_part(link->child, idx, pages);
	if (ret)
		return ret;
	ret = cow_try_defer_unit(from->owner, link, idx, pages);
	if (ret != -ENOMEM)
		return ret;
	if (xa_reserve(pending, idx, GFP_KERNEL_ACCOUNT))
		return -ENOMEM;
	/* The place for it is there now. */
	ret = cow_try_defer_unit(from->owner, link, idx, pages);
	xa_release(pending, idx);
	return ret;
}

/**
 * som_cow_defer - deferred copies of all that a parent has in a mapping
 * @from: the mapping of the mapping
 * @owner: the child's; its process does not run yet
 *
 * The caller takes the parent's page table entries away afterwards.
 *
 * Context: Process context; both address spaces' mmap_lock is held for write.
 * Return: 0, -ENOMEM, or -EHWPOISON if memory that is to be copied now cannot be read.
 */
int som_cow_defer(struct som_mapping *from, struct som_owner *owner)
{
	unsigned long first = som_pgoff_index(from->it.start);
	unsigned long last = som_pgoff_index(from->it.last);
	struct som_owner *parent = from->owner;
	struct som_cow_link *link = NULL;
	unsigned long idx;
	void *entry;
	int ret = 0;

	WRITE_ONCE(owner->cow.inherited, true);

	/* A deferred copy that has become a unit meanwhile is met as a unit then. */
	for (idx = first; som_cow_find(parent, &idx, last); idx++) {
		ret = som_tables_table(&owner->tables, idx) ?
			cow_defer_again(from, owner, idx) : -ENOMEM;
		if (ret)
			return ret;
	}
	som_tables_for_each(&parent->tables, idx, entry, first, last) {
		if (!link)
			link = som_cow_link_new(parent, owner);
		if (!link || !som_tables_table(&owner->tables, idx))
			return -ENOMEM;
		ret = cow_defer_unit(from, link, idx);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}
