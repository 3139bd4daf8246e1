// SPDX-License-Identifier: GPL-2.0
/*
 * Copy-on-write after fork. A unit has one owner, so parent and child cannot share it. For
 * each inherited unit, the child gets a deferred copy instead: an entry in cow.pending that
 * names the owner of the unit, its parent.
 *
 * 1. Fork: som_cow_defer() makes the deferred copies and sets SOM_ENTRY_SHARED in the
 *    parent's entries. The caller then clears the parent's page table entries.
 * 2. The child touches the index first: som_cow_pull() gives it a copy.
 * 3. The parent is about to change or lose the unit first: som_cow_break() gives a copy to
 *    the oldest child; the deferred copies of the others name that child from then on.
 * 4. The parent's last mapping of the unit is removed: som_cow_leave() gives the unit
 *    itself to a child; the deferred copies of the others name that child from then on.
 *
 * While an entry has SOM_ENTRY_SHARED, no page table has a writable entry of the unit,
 * except in VMAs that no child inherited. A deferred copy always names the owner of the
 * memory: a grandchild's names the grandparent if the parent only has a deferred copy.
 *
 * A child gets only the pages that it inherited. Pages that the parent unmapped, excluded
 * by MADV_DONTFORK or moved elsewhere are zero in the child's unit. If not all of a unit is
 * inherited, cow.parts has a bitmap of the pages. Each VMA adds its pages at fork, even if
 * another VMA's pages were copied already (cow_enter()).
 *
 * Locking: the parent's cow.lock is taken after fault_locks; of two cow.locks, the older
 * owner's first. It guards the parent's shared entries and the deferred copies that name
 * the parent; but a child may drop a deferred copy under the xa_lock of its cow.pending
 * alone. Several parents of a child may exit at the same time, so parents_lock guards the
 * child's list of parents. The MMU notifier takes cow.lock, too (discard.c): do not wait
 * for memory and do not zap under it.
 *
 * Never wait for a free unit with these locks held: the holder of the unit may need one of
 * them to free it. So som_cow_pull() and som_cow_break() return -EAGAIN, and the caller
 * waits and retries.
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
#include "page_backed.h"
#include "pool.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"

/**
 * struct som_part - pages of a unit that a child inherited
 * @pages: a bit for each page; guarded as the deferred copy is.
 * @rcu: for freeing.
 */
struct som_part {
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	struct rcu_head rcu;
};

/* Marks inherited data that is lost: access is refused. */
#define SOM_LOST	xa_mk_value(0)
/* Units copied per call of som_cow_pull_range(). */
#define SOM_PULL_UNITS	16
/* Copies made per hold of cow.lock. */
#define SOM_BREAK_COPIES	4
/* Retry limit (ms) for callers that can neither fail nor restart. */
#define SOM_SETTLE_MS	200

/**
 * som_cow_init - Initialise the copy-on-write state of an owner
 * @cow: the owner's state
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
 * som_cow_unlink - Remove the links to the parents of an owner
 * @owner: has no mapping, so no deferred copy
 *
 * Called when its process ends: the owner may live on for its children, but must not keep
 * its own parents alive.
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

/* Free the page bitmaps of deferred copies that were removed. */
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
 * Return the pages of a unit that a child inherited. If the bitmap is freed concurrently,
 * so is the deferred copy, and the caller notices when it inserts.
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
 * som_cow_destroy - Free the copy-on-write state of an owner
 * @owner: has no mapping and no deferred copy, and no deferred copy names it
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

/* Add an allocated link. */
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
 * som_cow_link_new - Return the link between two owners, adding it if necessary
 * @parent: owner of the units
 * @child: inherits them; its process does not run yet
 * Context: Process context; takes the parent's cow.lock.
 * Return: the link; NULL without memory for it.
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

/* Replace a deferred copy unless it has changed. Return: true if replaced. */
static bool cow_change(struct som_owner *child, unsigned long idx, void *from,
		       void *to)
{
	return xa_cmpxchg(&child->cow.pending, idx, from, to,
			  GFP_NOWAIT) == from;
}

/*
 * Replace a deferred copy with a unit. The table exists since fork, and the entry is empty.
 * The entry is stored first: a reader that finds no deferred copy any more finds the unit.
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

/* Charge a unit to a child unless it has a reservation. Return: false if that fails. */
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
 * Find the next child that may depend on the copy with @pages that the child of @to is
 * about to get: a younger one that inherited no other pages. Start with @link NULL. The
 * parent's cow.lock is held.
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
 * Add links from a child to those that may depend on it, as far as memory allows. Both
 * cow.locks are held. Return: true if there is any.
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

/* Make the deferred copies of followers name the child. Both cow.locks are held. */
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
 * Insert a child's copy and, in the same step, let other children depend on it, so that one
 * copy serves all until the unit is touched. The parent's cow.lock is held. Return: false
 * if the child dropped its deferred copy.
 */
static bool cow_insert_for_all(struct som_cow_link *to, unsigned long idx,
			       som_unit_t unit, unsigned long bits,
			       const unsigned long *pages)
{
	struct som_owner *child = to->child;
	bool done;

	/* A child that is being destroyed has no deferred copy any more. */
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

/* Copy pages of a unit. The pool does not record failed pages of a page-backed unit. */
static int cow_copy_pages(som_unit_t to, const void *entry, const unsigned long *pages)
{
	som_unit_t from = som_entry_unit(entry);

	if (som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) && som_page_backed_poisoned(from))
		return -EHWPOISON;
	return som_unit_copy_pages(to, from, pages);
}

/*
 * Give a child a copy of the pages that it inherited of a unit. With @for_all, other
 * children depend on that copy if they can. The parent's cow.lock is held. Return: 0;
 * -ENOSPC if the child cannot be charged; -EAGAIN if the pool has no unit now; -EHWPOISON
 * if the memory cannot be read.
 */
static int cow_copy_to(struct som_cow_link *link, unsigned long idx,
		       const void *entry, bool for_all)
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
	ret = cow_copy_pages(unit, entry, pages);
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
	/* The child dropped its deferred copy meanwhile. */
out_free:
	som_pool_free(unit);
	cow_uncharge(link->child, bits);
	return ret;
}

/*
 * Give a child a copy on which others can depend, or mark its data as lost if it cannot have
 * one. Return: 0; -EAGAIN without @lose if the pool has no unit now.
 */
static int cow_copy_or_lose(struct som_cow_link *link, unsigned long idx,
			    const void *entry, bool lose)
{
	int ret = cow_copy_to(link, idx, entry, true);

	if (ret == -EAGAIN && !lose)
		return ret;
	if (ret)
		cow_change(link->child, idx, link, SOM_LOST);
	return 0;
}

/* Return the oldest child with a deferred copy of the parent's unit at an index. */
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
 * Copy a unit for the children: once for the oldest, on which the others then depend; again
 * only for those that inherited pages which the oldest did not. With @lose, a child that
 * cannot get a copy now loses the data. cow.lock is held. Return: 0 if all are served;
 * -ERESTART if more remain; -EAGAIN.
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
		ret = cow_copy_or_lose(link, idx, entry, lose);
		if (ret)
			return ret;
	}
	som_entry_change(owner, idx, SOM_ENTRY_SHARED, 0);
	return 0;
}

/**
 * som_cow_break_some - Copy a unit for some of the children that depend on it
 * @owner: the parent
 * @idx: unit index
 *
 * For callers whose locks others wait for.
 * Context: as som_cow_break().
 * Return: as som_cow_break(), or -ERESTART if more remain.
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
 * som_cow_break - Copy a unit for its children before it changes or is lost
 * @owner: the parent
 * @idx: unit index
 *
 * Children without a reservation lose the data if they cannot be charged.
 * Context: Process context; som_owner_lock_index() is held. Takes cow.lock for a few copies
 * at a time.
 * Return: 0; -EAGAIN if the pool has no unit now.
 */
int som_cow_break(struct som_owner *owner, unsigned long idx)
{
	int ret;

	while ((ret = som_cow_break_some(owner, idx)) == -ERESTART)
		cond_resched();
	return ret;
}

/*
 * Add links from a child to the other children that depend on the same unit. Both cow.locks
 * are held. Return: number of those children; -ENOMEM: retry with a spare link.
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
 * Before a child gets the unit itself with the pages that it inherited, copy the unit for
 * children that inherited more pages. With @lose, a child that cannot get a copy now loses
 * the data. cow.lock is held. Return: 0; -ERESTART if more remain; -EAGAIN.
 */
static int cow_break_wider(struct som_owner *owner, unsigned long idx,
			   const void *entry, struct som_cow_link *to,
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
		ret = cow_copy_or_lose(link, idx, entry, lose);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Charge the child for a unit that it gets from the owner. Without a reservation of the
 * child, the owner's charge is transferred, so that no other owner can get it in between.
 * Return: false if the child's limits do not allow it.
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
 * Give a child the unit itself, with all pages zeroed that the child did not inherit, and
 * make the other deferred copies name the child. *reservation: the owner has a charged
 * reservation for the index. Both cow.locks are held. Return: false if the child dropped
 * its deferred copy or cannot be charged.
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
	/* Remove the unit from this owner first: it never has two owners. */
	som_tables_erase(&owner->tables, idx);
	som_unit_zero_others(unit, pages);
	if (!cow_insert_unit(child, idx, to, unit,
			     bits | (others ? SOM_ENTRY_SHARED : 0))) {
		/* The unit keeps its charge, which it needs if it is quarantined later. */
		if (bits)
			som_account_return(owner->account, child->account, 1);
		WRITE_ONCE(*som_tables_entryp(&owner->tables, idx), entry);
		return false;
	}
	/*
	 * Release the unit's own charge if it was not transferred. A reservation's charge
	 * is released by the caller, unless it was transferred.
	 */
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
 * Test whether a child can get the unit itself. It cannot if the unit may be pinned, as the
 * holder of the pin must not see the child's data; nor if the chunk belongs to another
 * user.
 */
static bool cow_may_hand_over(const struct som_owner *owner, const void *entry,
			      const struct som_owner *child)
{
	return !som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) &&
	       !som_entry_pinned(entry) &&
	       som_pool_same_user(owner->account->pool, child->account->pool);
}

/*
 * Copy a unit for the children before it is freed. To let them be charged, the owner first
 * releases the charge of its reservation; but not for a unit of the pool, which needs the
 * charge if it is quarantined. Return: true when done.
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
 * Pass on one unit. Return: true when done; false to retry with a spare link, or a little
 * later. With @lose, lack of a unit is no reason to retry. *reservation: as in
 * cow_hand_over().
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
	if (cow_break_wider(owner, idx, entry, link, pages, lose))
		return false;
	/* A child that is being destroyed has no deferred copy any more. */
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
 * som_cow_leave - Pass units on to children when their last mapping is removed
 * @owner: the parent
 * @first: first unit index
 * @last: last unit index
 *
 * A unit that children depend on is given to one of them, with its charge unless that child
 * has a reservation.
 * Context: Process context; owner->lock is held. No page table or TLB has the units.
 * Return: number of the owner's reservations whose charge was transferred or released.
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
			/* Without a spare link, retry at once. */
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
 * som_cow_pull - Give an owner its copy of an inherited unit
 * @owner: the child
 * @idx: unit index
 * Context: Process context; som_owner_lock_index() is held, or the owner's MMU notifier
 * runs, or its process does not run yet.
 * Return: 0 if no deferred copy is left; -EAGAIN if the pool has no unit now; -ENOSPC if
 * the owner cannot be charged, or the data was lost earlier; -EHWPOISON if the memory
 * cannot be read: the data is lost.
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
			      cow_copy_to(link, idx, entry, false);
		}
		mutex_unlock(&parent->cow.lock);
		if (ret)
			return ret;
		if (owner->mm == current->mm)
			som_owner_set_pid(owner);
	}
	/*
	 * A reader that finds no deferred copy finds the unit: pairs with
	 * cow_insert_unit().
	 */
	smp_rmb();
	return 0;
}

/**
 * som_cow_find - Find the next index with a deferred copy
 * @owner: owner
 * @idx: index to start from; set to the index found
 * @last: last unit index
 * Context: Any.
 * Return: true if found.
 */
bool som_cow_find(struct som_owner *owner, unsigned long *idx,
		  unsigned long last)
{
	return xa_find(&owner->cow.pending, idx, last, XA_PRESENT);
}

/**
 * som_cow_next - Find the next deferred copy, before a look for units
 * @owner: whose
 * @idx: where to begin, and where the index goes if there is one
 * @last: last unit index
 *
 * A look for units afterwards finds those that have been copied meanwhile.
 *
 * Context: Any. Cheap where nothing was inherited.
 * Return: true if there is one.
 */
bool som_cow_next(struct som_owner *owner, unsigned long *idx,
		  unsigned long last)
{
	bool found = som_cow_pending(&owner->cow) &&
		     som_cow_find(owner, idx, last);

	/* Pairs with cow_insert_unit(). */
	smp_rmb();
	return found;
}

/**
 * som_cow_look - Read memory that an owner has inherited and not copied
 * @owner: whose
 * @idx: unit index
 * @fn: called with the parent's memory, and the pages of it that were inherited; the
 *	others are zero. It may sleep for a short time
 * @arg: its first argument
 *
 * Context: Process context; som_owner_lock_index() is held, and mmap_lock. The parent cannot
 * change or lose the unit while @fn runs.
 * Return: what @fn returns; -ENOENT if there is no deferred copy, or not any more; -EIO if
 * the bytes are lost, or their memory has failed.
 */
int som_cow_look(struct som_owner *owner, unsigned long idx,
		 int (*fn)(void *arg, const void *mem,
			   const unsigned long *pages), void *arg)
{
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	struct som_cow_link *link;
	struct som_owner *parent;
	int ret = -ENOENT;
	void *entry;

	while (ret == -ENOENT && (link = xa_load(&owner->cow.pending, idx))) {
		if (xa_is_value(link))
			return -EIO;
		parent = link->parent;
		mutex_lock(&parent->cow.lock);
		/* Otherwise it has another parent by now, or is a unit. */
		if (xa_load(&owner->cow.pending, idx) == link) {
			entry = som_tables_load(&parent->tables, idx);
			cow_pages(owner, idx, pages);
			if (WARN_ON_ONCE(!entry) ||
			    som_pool_poisoned(som_entry_unit(entry)))
				ret = -EIO;
			else
				ret = fn(arg, som_unit_address(som_entry_unit(entry)),
					 pages);
		}
		mutex_unlock(&parent->cow.lock);
	}
	/* Pairs with cow_insert_unit(). */
	smp_rmb();
	return ret;
}

/**
 * som_cow_pull_range - Give an owner its copies of some inherited units
 * @owner: the child
 * @first: first unit index
 * @last: last unit index
 * Context: Process context; takes the indices' fault_locks.
 * Return: 0 if no deferred copy is left; -ERESTART: call again a tick later; -ENOMEM if a
 * unit cannot be copied.
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
 * som_cow_drop - Drop the deferred copies of a range
 * @owner: the child
 * @first: first unit index
 * @last: last unit index
 *
 * Units that were copied already are in its tables.
 * Context: Any except interrupts.
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
 * som_cow_lose - Mark an index as lost if it still has a deferred copy
 * @owner: the child
 * @idx: unit index
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
 * som_cow_settle_now - Resolve all deferred copies of a unit without restarting the caller
 * @owner: owner
 * @idx: unit index
 * @until: end of waiting in jiffies, 0 before the first wait; shared by all units of a call
 *
 * For the MMU notifier, which can neither fail nor wait for long. Where a copy cannot be
 * made in time, the child's data is lost: access is refused. Not if the process is killed,
 * as it will not use the memory it was about to change.
 * Context: Process context; mmap_lock is held.
 * Return: 0; -EINTR if the process is being killed: the unit may be unchanged.
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
 * Return the pages of a unit that a mapping shows. Pages that mremap moved elsewhere are
 * not shown by the private mapping that remains. Return: false if there are none.
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

/* Allocate the page bitmap of a new deferred copy, unless it is of the whole unit. */
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
 * Let a child inherit pages of a parent's unit: make a deferred copy or add the pages to
 * it. If the child has a unit already, as another VMA's pages were copied, copy these
 * pages, too: its process does not run yet. Lost data stays lost. The parent's cow.lock is
 * held. @entered: a deferred copy names the parent. Return: 0; -ENOMEM without memory for
 * the deferred copy; -EHWPOISON.
 */
static int cow_enter(struct som_cow_link *link, unsigned long idx, const void *entry,
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
	return own ? cow_copy_pages(som_entry_unit(own), entry, pages) : ret;
}

/*
 * Let a child inherit a unit of which the parent only has a deferred copy. That may change
 * while cow.lock of its parent is waited for, so retry while there is one. Return: 0,
 * -ENOMEM or -EHWPOISON.
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
			/*
			 * The child has other pages of the unit: it cannot be lost in part.
			 */
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
			ret = cow_enter(link, idx, entry, pages, &entered);
		mutex_unlock(&grandparent->cow.lock);
		xa_release(pending, idx);
	}
	return ret;
}

/*
 * Let a child inherit a unit that the parent has. Return: 0; -ENOMEM if memory is not
 * available without waiting; -EHWPOISON.
 */
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
		ret = cow_enter(link, idx, entry, pages, &entered);
	if (entered)
		som_entry_change(parent, idx, 0, SOM_ENTRY_SHARED);
	mutex_unlock(&parent->cow.lock);
	mutex_unlock(lock);
	return ret;
}

/* Let a child inherit a unit, waiting for memory if necessary. Return: as above. */
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
	/* The slot is reserved now. */
	ret = cow_try_defer_unit(from->owner, link, idx, pages);
	xa_release(pending, idx);
	return ret;
}

/**
 * som_cow_defer - Make deferred copies of all units of a mapping
 * @from: mapping of the parent
 * @owner: the child; its process does not run yet
 *
 * The caller clears the parent's page table entries afterwards.
 * Context: Process context; both address spaces' mmap_lock is held for write.
 * Return: 0; -ENOMEM; -EHWPOISON if memory that must be copied now cannot be read.
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

	/* A deferred copy that becomes a unit meanwhile is handled as a unit below. */
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
