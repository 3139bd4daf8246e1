// SPDX-License-Identifier: GPL-2.0
/*
 * What fork shares: an heir is to find the bytes that its parent had, and a unit
 * has one owner nevertheless. So an heir has nothing but a note, in share.pending,
 * of which owner has the unit, its source, and gets a copy of its own
 *
 *  - when it touches the index first: som_share_pull();
 *  - when the source is about to change or lose the unit: som_share_break();
 *  - or the unit itself, when the source has no mapping of it any more:
 *    som_share_bequeath(). Other heirs depend on that one from then on.
 *
 * In the source's tree such an entry has SOM_ENTRY_SHARED. As long as it has, no page
 * table has a writable entry of the unit, apart from what lies in VMAs that no child
 * has inherited. The notes of an heir always name the owner that has the
 * memory: a grandchild's name the grandparent where the parent has only a note.
 *
 * Locking: share.lock of the source, below everybody's fault_lock; of two, the older
 * owner's first. In it notes and entries of both sides stay as they are, but for
 * those that an heir drops, under xa_lock of its notes alone. Several sources of an
 * heir may go at a time: the list of its links has sources_lock. share.lock is taken
 * in the MMU notifier, too (private.c): no memory is allocated below it, and nothing
 * is zapped.
 *
 * Who waits for a unit of the pool holds none of these locks: it may be on its way
 * back from somebody who needs one. So som_share_pull() and som_share_break() give
 * -EAGAIN, and whoever waits comes again.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include "account.h"
#include "compat.h"
#include "entry.h"
#include "owner.h"
#include "pool.h"
#include "share.h"

/* A note of bytes that could not be kept: access is refused. */
#define SOM_LOST	xa_mk_value(0)
/* Units that are copied between two looks at anything else. */
#define SOM_PULL_UNITS	16
/* How long who can neither fail nor come again tries, in milliseconds. */
#define SOM_SETTLE_MS	200

/**
 * som_share_init - nothing is shared
 * @share: an owner's
 */
void som_share_init(struct som_share *share)
{
	mutex_init(&share->lock);
	INIT_LIST_HEAD(&share->heirs);
	INIT_LIST_HEAD(&share->sources);
	spin_lock_init(&share->sources_lock);
	xa_init(&share->pending);
	share->lent = false;
	share->inherited = false;
}

/**
 * som_share_unlink - an owner will have nothing from others any more
 * @owner: has no mapping, and so no note; nobody looks for one any more
 *
 * At the end of its process: who has inherited from it may keep the owner longer, but
 * not those before it, too.
 *
 * Context: Process context; takes the sources' share.lock.
 */
void som_share_unlink(struct som_owner *owner)
{
	struct som_share *share = &owner->share;
	struct som_link *link;

	for (;;) {
		spin_lock(&share->sources_lock);
		link = list_first_entry_or_null(&share->sources,
						struct som_link, of_heir);
		if (link)
			list_del(&link->of_heir);
		spin_unlock(&share->sources_lock);
		if (!link)
			return;
		mutex_lock(&link->source->share.lock);
		list_del(&link->of_source);
		mutex_unlock(&link->source->share.lock);
		fput(link->source->file);
		kfree(link);
	}
}

/**
 * som_share_destroy - the end of an owner
 * @owner: has no mapping, and so no note; nor has any heir one that names it
 *
 * Context: Process context; takes the sources' share.lock.
 */
void som_share_destroy(struct som_owner *owner)
{
	som_share_unlink(owner);
	WARN_ON_ONCE(!list_empty(&owner->share.heirs) ||
		     som_share_pending(&owner->share));
	xa_destroy(&owner->share.pending);
}

static struct som_link *find_link(struct som_owner *source,
				  struct som_owner *heir)
{
	struct som_link *link;

	lockdep_assert_held(&source->share.lock);

	list_for_each_entry(link, &source->share.heirs, of_source) {
		if (link->heir == heir)
			return link;
	}
	return NULL;
}

/* Make a link of memory that was allocated before. */
static void add_link(struct som_link *link, struct som_owner *source,
		     struct som_owner *heir)
{
	lockdep_assert_held(&source->share.lock);

	link->source = source;
	link->heir = heir;
	get_file(source->file);
	list_add_tail(&link->of_source, &source->share.heirs);
	spin_lock(&heir->share.sources_lock);
	list_add_tail(&link->of_heir, &heir->share.sources);
	spin_unlock(&heir->share.sources_lock);
	WRITE_ONCE(source->share.lent, true);
}

/**
 * som_share_link - the link between two owners, made if need be
 * @source: who has the units
 * @heir: who is about to inherit; its process does not run yet
 *
 * Context: Process context; takes the source's share.lock.
 * Return: the link, or NULL without memory for it.
 */
struct som_link *som_share_link(struct som_owner *source,
				struct som_owner *heir)
{
	struct som_link *spare = kmalloc(sizeof(*spare), GFP_KERNEL_ACCOUNT), *link;

	if (!spare)
		return NULL;
	mutex_lock(&source->share.lock);
	link = find_link(source, heir);
	if (!link) {
		link = spare;
		spare = NULL;
		add_link(link, source, heir);
	}
	mutex_unlock(&source->share.lock);
	kfree(spare);
	return link;
}

/* Replace a note by another, or by nothing; false if it is not what it was. */
static bool change_note(struct som_owner *heir, unsigned long idx, void *from,
			void *to)
{
	return xa_cmpxchg(&heir->share.pending, idx, from, to,
			  GFP_NOWAIT) == from;
}

/*
 * A note becomes a unit. The place for it is there since fork, and empty. Whoever
 * finds no note any more finds the unit.
 */
static bool insert_unit(struct som_owner *heir, unsigned long idx,
			struct som_link *link, unsigned long unit,
			unsigned long bits)
{
	struct xarray *pending = &heir->share.pending;
	bool done = false;
	void **slot;

	xa_lock(pending);
	slot = som_units_slot(&heir->units, idx);
	if (xa_load(pending, idx) == link && !WARN_ON_ONCE(!slot)) {
		atomic_long_inc(&heir->nr_level[SOM_LEVEL_NONE]);
		WRITE_ONCE(*slot, som_entry(unit, bits | SOM_LEVEL_NONE));
		__xa_erase(pending, idx);
		done = true;
	}
	xa_unlock(pending);
	return done;
}

/* A charge for what is to be the heir's; false if it cannot have one. */
static bool charge_heir(struct som_owner *heir, unsigned long idx,
			unsigned long *bits)
{
	*bits = 0;
	if (mtree_load(&heir->promised, idx))
		return true;
	*bits = SOM_ENTRY_CHARGED;
	return som_account_charge(heir->account, 1);
}

static void uncharge_heir(struct som_owner *heir, unsigned long bits)
{
	if (bits & SOM_ENTRY_CHARGED)
		som_account_uncharge(heir->account, 1);
}

/*
 * Give an heir a copy of a unit that its note names. The source's share.lock is held.
 * Return: 0; -ENOSPC if the heir cannot be charged, -EAGAIN if the pool has
 * nothing right now.
 */
static int copy_to_heir(struct som_link *link, unsigned long idx,
			unsigned long from)
{
	unsigned long bits;
	long unit;

	if (!charge_heir(link->heir, idx, &bits))
		return -ENOSPC;
	unit = som_pool_alloc_unzeroed(numa_mem_id());
	if (unit < 0) {
		uncharge_heir(link->heir, bits);
		return -EAGAIN;
	}
	som_unit_copy(unit, from);
	if (!insert_unit(link->heir, idx, link, unit, bits)) {
		/* The heir has dropped it meanwhile. */
		som_pool_free(unit);
		uncharge_heir(link->heir, bits);
	}
	return 0;
}

/* The next heir with a note that names the source at an index; the oldest first. */
static struct som_link *next_heir(struct som_owner *source, unsigned long idx)
{
	struct som_link *link, *oldest = NULL;

	lockdep_assert_held(&source->share.lock);

	list_for_each_entry(link, &source->share.heirs, of_source) {
		if (xa_load(&link->heir->share.pending, idx) == link &&
		    (!oldest || link->heir->id < oldest->heir->id))
			oldest = link;
	}
	return oldest;
}

/*
 * Give every heir a copy. @lose: those that cannot have one lose the bytes. share.lock
 * is held. Return: 0 or -EAGAIN.
 */
static int break_locked(struct som_owner *owner, unsigned long idx, bool lose)
{
	void *entry = som_units_load(&owner->units, idx);
	struct som_link *link;
	int ret;

	if (!entry || !som_entry_test(entry, SOM_ENTRY_SHARED))
		return 0;
	while ((link = next_heir(owner, idx))) {
		ret = copy_to_heir(link, idx, som_entry_unit(entry));
		if (ret == -EAGAIN && !lose)
			return ret;
		if (ret)
			change_note(link->heir, idx, link, SOM_LOST);
	}
	som_entry_change(owner, idx, SOM_ENTRY_SHARED, 0);
	return 0;
}

/**
 * som_share_break - a unit is about to change, or to be lost: heirs get their copies
 * @owner: whose
 * @idx: unit index
 *
 * Heirs that have opted out of a promise lose the bytes if they cannot be charged.
 *
 * Context: Process context; som_owner_lock_index() is held, so that it stays as it is.
 * Return: 0, or -EAGAIN if the pool has nothing right now.
 */
int som_share_break(struct som_owner *owner, unsigned long idx)
{
	int ret;

	if (!READ_ONCE(owner->share.lent))
		return 0;
	mutex_lock(&owner->share.lock);
	ret = break_locked(owner, idx, false);
	mutex_unlock(&owner->share.lock);
	return ret;
}

/*
 * Links from an heir to the others that depend on the same unit: how many those are.
 * -ENOMEM if a spare one is needed, to come again with. Both share.locks are held.
 */
static int link_others(struct som_owner *owner, unsigned long idx,
		       struct som_owner *heir, struct som_link **spare)
{
	struct som_link *link;
	int nr = 0;

	list_for_each_entry(link, &owner->share.heirs, of_source) {
		if (link->heir == heir ||
		    xa_load(&link->heir->share.pending, idx) != link)
			continue;
		nr++;
		if (find_link(heir, link->heir))
			continue;
		if (!*spare)
			return -ENOMEM;
		add_link(*spare, heir, link->heir);
		*spare = NULL;
	}
	return nr;
}

/*
 * An heir gets the unit itself, and the others' notes name it from now on. False if it
 * does not want it any more, or cannot have it. Both share.locks are held.
 */
static bool hand_over(struct som_owner *owner, unsigned long idx, void *entry,
		      struct som_link *to, bool others)
{
	struct som_owner *heir = to->heir;
	struct som_link *link;
	unsigned long bits;

	if (!charge_heir(heir, idx, &bits)) {
		change_note(heir, idx, to, SOM_LOST);
		return false;
	}
	/* It leaves this tree first: one owner at every instant. */
	som_units_erase(&owner->units, idx);
	if (!insert_unit(heir, idx, to, som_entry_unit(entry),
			 bits | (others ? SOM_ENTRY_SHARED : 0))) {
		WRITE_ONCE(*som_units_slot(&owner->units, idx), entry);
		uncharge_heir(heir, bits);
		return false;
	}
	som_entry_forget(owner, entry);
	if (som_entry_test(entry, SOM_ENTRY_CHARGED))
		som_account_uncharge(owner->account, 1);
	list_for_each_entry(link, &owner->share.heirs, of_source) {
		if (xa_load(&link->heir->share.pending, idx) == link)
			change_note(link->heir, idx, link,
				    find_link(heir, link->heir));
	}
	return true;
}

/*
 * Return: true if that is done, false to come again, with a spare link, and a little
 * later; @lose: not if it is for want of a unit.
 */
static bool bequeath_unit(struct som_owner *owner, unsigned long idx,
			  struct som_link **spare, bool lose)
{
	void *entry = som_units_load(&owner->units, idx);
	struct som_link *link;
	struct som_owner *heir;
	bool done;
	int others;

	if (!entry || !som_entry_test(entry, SOM_ENTRY_SHARED))
		return true;
	link = next_heir(owner, idx);
	/* Who has a pin shall not see the heir's bytes. */
	if (!link || som_entry_test(entry, SOM_ENTRY_PINNABLE) ||
	    som_entry_pinned(entry))
		return !break_locked(owner, idx, lose);
	heir = link->heir;
	/* If it is on its way out, its note is gone by now. */
	if (!som_file_tryget(heir->file))
		return false;
	mutex_lock_nested(&heir->share.lock, SINGLE_DEPTH_NESTING);
	others = link_others(owner, idx, heir, spare);
	done = others >= 0 && hand_over(owner, idx, entry, link, others);
	mutex_unlock(&heir->share.lock);
	fput(heir->file);
	return done;
}

/**
 * som_share_bequeath - an owner has no mapping of some units any more
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * What heirs depend on goes to one of them.
 *
 * Context: Process context; owner->lock is held. No page table and no TLB knows the
 * units.
 */
void som_share_bequeath(struct som_owner *owner, unsigned long first,
			unsigned long last)
{
	struct som_link *spare = NULL;
	unsigned long idx;
	unsigned int ms;
	void *entry;
	bool done;

	som_units_for_each(&owner->units, idx, entry, first, last) {
		if (!som_entry_test(entry, SOM_ENTRY_SHARED))
			continue;
		ms = 0;
		do {
			if (!spare)
				spare = kmalloc(sizeof(*spare),
						GFP_KERNEL | __GFP_NOFAIL);
			mutex_lock(&owner->share.lock);
			done = bequeath_unit(owner, idx, &spare,
					     ms++ >= SOM_SETTLE_MS);
			mutex_unlock(&owner->share.lock);
			/* Otherwise it was a spare link that was missing. */
			if (!done && spare)
				usleep_range(1000, 2000);
		} while (!done);
		cond_resched();
	}
	kfree(spare);
}

/**
 * som_share_pull - an owner is about to look at a unit: its own copy, if it has none
 * @owner: whose
 * @idx: unit index
 *
 * Context: Process context; som_owner_lock_index() is held, or its MMU notifier runs,
 * or its process does not run yet.
 * Return: 0 if nothing is pending any more; -EAGAIN if the pool has no unit right now;
 * -ENOSPC if the owner has opted out of a promise and cannot be charged, or the
 * bytes are lost.
 */
int som_share_pull(struct som_owner *owner, unsigned long idx)
{
	struct som_link *link;
	struct som_owner *source;
	void *entry;
	int ret;

	while ((link = xa_load(&owner->share.pending, idx))) {
		if (xa_is_value(link))
			return -ENOSPC;
		source = link->source;
		mutex_lock(&source->share.lock);
		ret = 0;
		if (xa_load(&owner->share.pending, idx) == link) {
			entry = som_units_load(&source->units, idx);
			ret = WARN_ON_ONCE(!entry) ? -ENOSPC :
			      copy_to_heir(link, idx, som_entry_unit(entry));
		}
		mutex_unlock(&source->share.lock);
		if (ret)
			return ret;
		if (owner->mm == current->mm)
			som_owner_set_pid(owner);
	}
	/* Whoever found no note finds the unit: pairs with insert_unit(). */
	smp_rmb();
	return 0;
}

/**
 * som_share_find - the next index with a note
 * @owner: whose
 * @idx: where to begin, and where the index goes if there is one
 * @last: last unit index
 *
 * Context: Any.
 * Return: true if there is one.
 */
bool som_share_find(struct som_owner *owner, unsigned long *idx,
		    unsigned long last)
{
	return xa_find(&owner->share.pending, idx, last, XA_PRESENT);
}

/**
 * som_share_pull_range - the same for a range, as far as that is done at a time
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; takes the indices' fault_locks.
 * Return: 0 if nothing is pending any more; -ERESTART if there is more to do, a tick
 * later; -ENOMEM if something cannot be had.
 */
int som_share_pull_range(struct som_owner *owner, unsigned long first,
			 unsigned long last)
{
	unsigned long idx = first;
	unsigned int nr = 0;
	struct mutex *lock;
	int ret = 0;

	for (; !ret && som_share_find(owner, &idx, last); idx++) {
		if (nr++ == SOM_PULL_UNITS)
			return -ERESTART;
		lock = som_owner_lock_index(owner, idx);
		ret = som_share_pull(owner, idx);
		mutex_unlock(lock);
	}
	if (!ret)
		return 0;
	return ret == -EAGAIN ? -ERESTART : -ENOMEM;
}

/**
 * som_share_drop - an owner does not want what it has inherited
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * What was copied already is in its tree.
 *
 * Context: Any but interrupts.
 */
void som_share_drop(struct som_owner *owner, unsigned long first,
		    unsigned long last)
{
	unsigned long idx;
	void *note;

	xa_for_each_range(&owner->share.pending, idx, note, first, last)
		xa_erase(&owner->share.pending, idx);
}

/**
 * som_share_lose - what an owner has inherited, and cannot have, is lost to it
 * @owner: whose
 * @idx: unit index
 *
 * Not if it has become a unit meanwhile.
 *
 * Context: Process context; as som_share_pull().
 */
void som_share_lose(struct som_owner *owner, unsigned long idx)
{
	void *note;

	do {
		note = xa_load(&owner->share.pending, idx);
	} while (note && !xa_is_value(note) &&
		 !change_note(owner, idx, note, SOM_LOST));
}

/**
 * som_share_settle_now - make a unit its owner's alone, without coming again
 * @owner: whose
 * @idx: unit index
 *
 * For the MMU notifier, which can neither fail nor wait for long. Bytes that cannot be
 * kept are lost to who would have inherited them: access is refused there.
 *
 * Context: Process context; mmap_lock is held.
 */
void som_share_settle_now(struct som_owner *owner, unsigned long idx)
{
	unsigned int ms;
	int ret;

	for (ms = 0; ms < SOM_SETTLE_MS; ms++) {
		ret = som_share_pull(owner, idx) ?:
		      som_share_break(owner, idx);
		if (!ret)
			return;
		if (ret != -EAGAIN)
			break;
		usleep_range(1000, 2000);
	}
	som_share_lose(owner, idx);
	mutex_lock(&owner->share.lock);
	break_locked(owner, idx, true);
	mutex_unlock(&owner->share.lock);
}

/*
 * What a parent itself has only a note of, as long as it has: the note may change while its
 * source's lock is waited for. Return: 0 or -ENOMEM.
 */
static int inherit_note(struct som_owner *parent, struct som_owner *owner,
			unsigned long idx)
{
	struct xarray *pending = &owner->share.pending;
	struct som_link *note, *link;
	struct som_owner *source;
	bool done = false;

	while (!done && (note = xa_load(&parent->share.pending, idx))) {
		if (xa_is_value(note))
			return xa_err(xa_store(pending, idx, note,
					       GFP_KERNEL_ACCOUNT));
		source = note->source;
		link = som_share_link(source, owner);
		if (!link || xa_reserve(pending, idx, GFP_KERNEL_ACCOUNT))
			return -ENOMEM;
		mutex_lock(&source->share.lock);
		done = xa_load(&parent->share.pending, idx) == note;
		if (done && !som_units_load(&owner->units, idx))
			xa_store(pending, idx, link, GFP_NOWAIT);
		mutex_unlock(&source->share.lock);
		xa_release(pending, idx);
	}
	return 0;
}

/*
 * A note for an heir that has none, and no unit: another source may be giving it one.
 * Return: 0, or -ENOMEM without memory for it; @entered: whether it was made.
 */
static int enter_note(struct som_link *link, unsigned long idx, bool *entered)
{
	struct xarray *pending = &link->heir->share.pending;
	int ret = 0;

	xa_lock(pending);
	if (!som_units_load(&link->heir->units, idx)) {
		ret = xa_err(__xa_store(pending, idx, link,
					GFP_NOWAIT | __GFP_NOWARN | __GFP_ACCOUNT));
		*entered = !ret;
	}
	xa_unlock(pending);
	return ret;
}

/* What a parent has. Return: 0; -ENOMEM if there is no memory without waiting. */
static int try_inherit_unit(struct som_owner *parent, struct som_link *link,
			    unsigned long idx)
{
	struct mutex *lock = som_owner_lock_index(parent, idx);
	bool entered = false;
	void *entry;
	int ret = 0;

	mutex_lock(&parent->share.lock);
	entry = som_units_load(&parent->units, idx);
	if (entry && !som_entry_test(entry, SOM_ENTRY_DISCARDED))
		ret = enter_note(link, idx, &entered);
	if (entered)
		som_entry_change(parent, idx, 0, SOM_ENTRY_SHARED);
	mutex_unlock(&parent->share.lock);
	mutex_unlock(lock);
	return ret;
}

/* Return: 0 or -ENOMEM. */
static int inherit_unit(struct som_owner *parent, struct som_link *link,
			unsigned long idx)
{
	struct xarray *pending = &link->heir->share.pending;

	if (!try_inherit_unit(parent, link, idx))
		return 0;
	if (xa_reserve(pending, idx, GFP_KERNEL_ACCOUNT))
		return -ENOMEM;
	/* The place for it is there now. */
	try_inherit_unit(parent, link, idx);
	xa_release(pending, idx);
	return 0;
}

/**
 * som_share_inherit - notes of all that a parent has
 * @parent: the parent
 * @owner: the child's; its process does not run yet
 * @first: first unit index
 * @last: last unit index
 *
 * The caller takes the parent's page table entries away afterwards.
 *
 * Context: Process context; both address spaces' mmap_lock is held for write.
 * Return: 0, or -ENOMEM.
 */
int som_share_inherit(struct som_owner *parent, struct som_owner *owner,
		      unsigned long first, unsigned long last)
{
	struct som_link *link = NULL;
	unsigned long idx;
	void *entry;
	int ret = 0;

	WRITE_ONCE(owner->share.inherited, true);

	/* A note that has become a unit meanwhile is met as a unit then. */
	for (idx = first; som_share_find(parent, &idx, last); idx++) {
		ret = som_units_leaf(&owner->units, idx) ?
			inherit_note(parent, owner, idx) : -ENOMEM;
		if (ret)
			return ret;
	}
	som_units_for_each(&parent->units, idx, entry, first, last) {
		if (!link)
			link = som_share_link(parent, owner);
		if (!link || !som_units_leaf(&owner->units, idx))
			return -ENOMEM;
		ret = inherit_unit(parent, link, idx);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}
