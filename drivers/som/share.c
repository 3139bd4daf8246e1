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
 * An heir gets the pages that it has inherited, and no others: what its parent has
 * unmapped, kept from it by MADV_DONTFORK or moved away is zero in the heir's unit. Which
 * pages those are is noted at fork, in share.parts, where it is not the whole unit. Each
 * VMA adds its own, and so does one that comes when another VMA's pages were copied
 * already (enter()).
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
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
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
#include "entry.h"
#include "owner.h"
#include "pool.h"
#include "share.h"

/**
 * struct som_part - what an heir has inherited of a unit
 * @pages: the pages, a bit for each; they change under the same lock as the note.
 * @rcu: for its end.
 */
struct som_part {
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	struct rcu_head rcu;
};

/* A note of bytes that could not be kept: access is refused. */
#define SOM_LOST	xa_mk_value(0)
/* Units that are copied between two looks at anything else. */
#define SOM_PULL_UNITS	16
/* Copies that are made for each hold of share.lock. */
#define SOM_BREAK_COPIES	4
/* Retry limit (ms) for callers that can neither fail nor restart. */
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
	xa_init_flags(&share->pending, XA_FLAGS_ACCOUNT);
	xa_init_flags(&share->parts, XA_FLAGS_ACCOUNT);
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

/* The notes of some indices are gone, and so nobody asks any more what they are about. */
static void forget_parts(struct som_owner *heir, unsigned long first,
			 unsigned long last)
{
	struct som_part *part;
	unsigned long idx;

	xa_for_each_range(&heir->share.parts, idx, part, first, last) {
		xa_erase(&heir->share.parts, idx);
		kfree_rcu(part, rcu);
	}
}

/*
 * Which pages of a unit an heir has inherited. If that is forgotten meanwhile, so is the
 * note: whoever goes by the answer finds no note any more.
 */
static void inherited_pages(struct som_owner *heir, unsigned long idx,
			    unsigned long *pages)
{
	const struct som_part *part;

	rcu_read_lock();
	part = xa_load(&heir->share.parts, idx);
	if (part)
		bitmap_copy(pages, part->pages, SOM_UNIT_PAGES);
	else
		bitmap_fill(pages, SOM_UNIT_PAGES);
	rcu_read_unlock();
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
	forget_parts(owner, 0, ULONG_MAX);
	xa_destroy(&owner->share.parts);
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
 * Give an heir a copy of what it has inherited of a unit that its note names. The source's
 * share.lock is held. Return: 0; -ENOSPC if the heir cannot be charged, -EAGAIN if the
 * pool has nothing right now, -EHWPOISON if the memory cannot be read.
 */
static int copy_to_heir(struct som_link *link, unsigned long idx,
			unsigned long from)
{
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	unsigned long bits;
	long unit;
	int ret;

	if (!charge_heir(link->heir, idx, &bits))
		return -ENOSPC;
	unit = som_pool_alloc_unzeroed(link->heir->account->pool,
				       numa_mem_id());
	if (unit < 0) {
		uncharge_heir(link->heir, bits);
		return -EAGAIN;
	}
	inherited_pages(link->heir, idx, pages);
	ret = som_unit_copy_pages(unit, from, pages);
	if (ret) {
		change_note(link->heir, idx, link, SOM_LOST);
		goto out_free;
	}
	som_unit_zero_others(unit, pages);
	if (insert_unit(link->heir, idx, link, unit, bits)) {
		forget_parts(link->heir, idx, idx);
		return 0;
	}
	/* The heir has dropped it meanwhile. */
out_free:
	som_pool_free(unit);
	uncharge_heir(link->heir, bits);
	return ret;
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
 * Give heirs copies. @lose: those that cannot have one lose the bytes. share.lock
 * is held. Return: 0 when all have them; -ERESTART if there are more of them; -EAGAIN.
 */
static int break_locked(struct som_owner *owner, unsigned long idx, bool lose)
{
	void *entry = som_units_load(&owner->units, idx);
	unsigned int copies = 0;
	struct som_link *link;
	int ret;

	if (!entry || !som_entry_test(entry, SOM_ENTRY_SHARED))
		return 0;
	while ((link = next_heir(owner, idx))) {
		if (copies++ == SOM_BREAK_COPIES)
			return -ERESTART;
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
 * som_share_break_some - the same as som_share_break(), for some heirs
 * @owner: whose
 * @idx: unit index
 *
 * For callers with locks that others wait for.
 *
 * Context: as som_share_break().
 * Return: as som_share_break(), or -ERESTART if there are more.
 */
int som_share_break_some(struct som_owner *owner, unsigned long idx)
{
	int ret;

	if (!READ_ONCE(owner->share.lent))
		return 0;
	mutex_lock(&owner->share.lock);
	ret = break_locked(owner, idx, false);
	mutex_unlock(&owner->share.lock);
	return ret;
}

/**
 * som_share_break - a unit is about to change, or to be lost: heirs get their copies
 * @owner: whose
 * @idx: unit index
 *
 * Heirs that have opted out of a promise lose the bytes if they cannot be charged.
 *
 * Context: Process context; som_owner_lock_index() is held, so that it stays as it is.
 * share.lock is taken for some copies at a time.
 * Return: 0, or -EAGAIN if the pool has nothing right now.
 */
int som_share_break(struct som_owner *owner, unsigned long idx)
{
	int ret;

	while ((ret = som_share_break_some(owner, idx)) == -ERESTART)
		cond_resched();
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
 * An heir is about to get a unit itself, with the pages that it has inherited. Others that
 * have inherited more get copies before. @lose: those that cannot have one lose the bytes.
 * share.lock is held. Return: 0 or -EAGAIN.
 */
static int break_wider(struct som_owner *owner, unsigned long idx,
		       unsigned long unit, struct som_link *to,
		       const unsigned long *pages, bool lose)
{
	DECLARE_BITMAP(theirs, SOM_UNIT_PAGES);
	struct som_link *link;
	int ret;

	if (bitmap_full(pages, SOM_UNIT_PAGES))
		return 0;
	list_for_each_entry(link, &owner->share.heirs, of_source) {
		if (link == to || xa_load(&link->heir->share.pending, idx) != link)
			continue;
		inherited_pages(link->heir, idx, theirs);
		if (bitmap_subset(theirs, pages, SOM_UNIT_PAGES))
			continue;
		ret = copy_to_heir(link, idx, unit);
		if (ret == -EAGAIN && !lose)
			return ret;
		if (ret)
			change_note(link->heir, idx, link, SOM_LOST);
	}
	return 0;
}

/*
 * The charge of a unit that goes to an heir: its promise, or else that of the owner goes
 * over to it, so that nobody else gets it in between. False if the heir's limits are in
 * the way.
 */
static bool take_over_charge(struct som_owner *owner, struct som_owner *heir,
			     unsigned long idx, unsigned long *bits)
{
	struct som_shortage lack;

	*bits = 0;
	if (mtree_load(&heir->promised, idx))
		return true;
	*bits = SOM_ENTRY_CHARGED;
	return som_account_transfer(owner->account, heir->account, 1, &lack);
}

/*
 * An heir gets the unit itself, zeroed but for the pages that it has inherited, and the
 * others' notes name it from now on. False if it does not want it any more, or cannot have
 * it. *promise: the owner has one for the index, with its charge. Both share.locks are held.
 */
static bool hand_over(struct som_owner *owner, unsigned long idx, void *entry,
		      struct som_link *to, const unsigned long *pages,
		      bool others, bool *promise)
{
	unsigned long unit = som_entry_unit(entry), bits;
	struct som_owner *heir = to->heir;
	struct som_link *link;

	if (!take_over_charge(owner, heir, idx, &bits)) {
		change_note(heir, idx, to, SOM_LOST);
		return false;
	}
	/* It leaves this tree first: one owner at every instant. */
	som_units_erase(&owner->units, idx);
	som_unit_zero_others(unit, pages);
	if (!insert_unit(heir, idx, to, unit,
			 bits | (others ? SOM_ENTRY_SHARED : 0))) {
		/* It stays, with its charge: it may come to be held for a pin. */
		if (bits)
			som_account_return(owner->account, heir->account, 1);
		WRITE_ONCE(*som_units_slot(&owner->units, idx), entry);
		return false;
	}
	/* What did not go over is given back; a promise, with all others. */
	if (som_entry_test(entry, SOM_ENTRY_CHARGED) && !bits)
		som_account_uncharge(owner->account, 1);
	else if (bits && !som_entry_test(entry, SOM_ENTRY_CHARGED))
		*promise = false;
	forget_parts(heir, idx, idx);
	som_entry_forget(owner, entry);
	list_for_each_entry(link, &owner->share.heirs, of_source) {
		if (xa_load(&link->heir->share.pending, idx) == link)
			change_note(link->heir, idx, link,
				    find_link(heir, link->heir));
	}
	return true;
}

/*
 * Can an heir get a unit of an owner itself? Not if somebody has a pin on it, who shall
 * not see the heir's bytes; nor one of another user's chunk.
 */
static bool may_hand_over(const struct som_owner *owner, const void *entry,
			  const struct som_owner *heir)
{
	return !som_entry_test(entry, SOM_ENTRY_PINNABLE) &&
	       !som_entry_pinned(entry) &&
	       som_pool_same_user(owner->account->pool, heir->account->pool);
}

/*
 * Give heirs copies of a unit that goes. So that they can be charged for them, the owner
 * gives back its promise first; not of a unit of the pool, which may be held for a pin.
 * Return: true if that is done.
 */
static bool bequeath_copies(struct som_owner *owner, unsigned long idx,
			    const void *entry, bool lose, bool *promise)
{
	if (!som_entry_test(entry, SOM_ENTRY_PINNABLE))
		return !break_locked(owner, idx, lose);
	if (*promise)
		som_account_uncharge(owner->account, 1);
	*promise = false;
	return !break_locked(owner, idx, lose);
}

/*
 * Return: true if that is done, false to come again, with a spare link, and a little
 * later; @lose: not if it is for want of a unit. *promise: as in hand_over().
 */
static bool bequeath_unit(struct som_owner *owner, unsigned long idx,
			  struct som_link **spare, bool lose, bool *promise)
{
	void *entry = som_units_load(&owner->units, idx);
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	struct som_link *link;
	struct som_owner *heir;
	bool done;
	int others;

	if (!entry || !som_entry_test(entry, SOM_ENTRY_SHARED))
		return true;
	link = next_heir(owner, idx);
	if (!link || !may_hand_over(owner, entry, link->heir))
		return bequeath_copies(owner, idx, entry, lose, promise);
	heir = link->heir;
	inherited_pages(heir, idx, pages);
	if (break_wider(owner, idx, som_entry_unit(entry), link, pages, lose))
		return false;
	/* If it is on its way out, its note is gone by now. */
	if (!som_file_tryget(heir->file))
		return false;
	mutex_lock_nested(&heir->share.lock, SINGLE_DEPTH_NESTING);
	others = link_others(owner, idx, heir, spare);
	done = others >= 0 &&
	       hand_over(owner, idx, entry, link, pages, others, promise);
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
 * What heirs depend on goes to one of them, and its charge with it, unless the heir has a
 * promise.
 *
 * Context: Process context; owner->lock is held. No page table and no TLB knows the
 * units.
 * Return: how many of the owner's promises of the indices have lost their charge.
 */
unsigned long som_share_bequeath(struct som_owner *owner, unsigned long first,
				 unsigned long last)
{
	struct som_link *spare = NULL;
	unsigned long idx, lost = 0;
	bool done, promised, promise;
	unsigned int ms;
	void *entry;

	som_units_for_each(&owner->units, idx, entry, first, last) {
		if (!som_entry_test(entry, SOM_ENTRY_SHARED))
			continue;
		ms = 0;
		promised = mtree_load(&owner->promised, idx);
		promise = promised;
		do {
			if (!spare)
				spare = kmalloc(sizeof(*spare),
						GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
			mutex_lock(&owner->share.lock);
			done = bequeath_unit(owner, idx, &spare,
					     ms++ >= SOM_SETTLE_MS, &promise);
			mutex_unlock(&owner->share.lock);
			/* Otherwise it was a spare link that was missing. */
			if (!done && spare)
				usleep_range(1000, 2000);
		} while (!done);
		lost += promised && !promise;
		cond_resched();
	}
	kfree(spare);
	return lost;
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
 * bytes are lost; -EHWPOISON if they are lost now, as the memory cannot be read.
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

	if (!READ_ONCE(owner->share.inherited))
		return;
	xa_for_each_range(&owner->share.pending, idx, note, first, last)
		xa_erase(&owner->share.pending, idx);
	forget_parts(owner, first, last);
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
int som_share_settle_now(struct som_owner *owner, unsigned long idx,
			 unsigned long *until)
{
	int ret;

	for (;;) {
		ret = som_share_pull(owner, idx) ?:
		      som_share_break(owner, idx);
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
	som_share_lose(owner, idx);
	do {
		mutex_lock(&owner->share.lock);
		ret = break_locked(owner, idx, true);
		mutex_unlock(&owner->share.lock);
		cond_resched();
	} while (ret == -ERESTART);
	return 0;
}

/*
 * Which pages of a unit does a VMA show? Not those that mremap has taken elsewhere: what is
 * left of a private mapping shows nothing of them. Return: false if there are none.
 */
static bool shown_pages(struct som_span *span, unsigned long idx,
			unsigned long *pages)
{
	unsigned long lo = som_unit_pgoff(idx);
	unsigned long first = max(lo, span->it.start), next;
	unsigned long last = min(som_unit_pgoff(idx + 1) - 1, span->it.last);
	bool superseded;

	bitmap_zero(pages, SOM_UNIT_PAGES);
	for (; first <= last; first = next + 1) {
		next = som_span_run(span, first, last, &superseded);
		if (!superseded)
			bitmap_set(pages, first - lo, next - first + 1);
	}
	return !bitmap_empty(pages, SOM_UNIT_PAGES);
}

/* What a note that is not there yet is to be about, if that is not the whole unit. */
static int prepare_part(struct som_owner *heir, unsigned long idx,
			const unsigned long *pages)
{
	struct som_share *share = &heir->share;
	struct som_part *part;
	int ret;

	if (bitmap_full(pages, SOM_UNIT_PAGES) || xa_load(&share->parts, idx) ||
	    xa_load(&share->pending, idx) || som_units_load(&heir->units, idx))
		return 0;
	part = kzalloc(sizeof(*part), GFP_KERNEL_ACCOUNT);
	if (!part)
		return -ENOMEM;
	ret = xa_err(xa_store(&share->parts, idx, part, GFP_KERNEL_ACCOUNT));
	if (ret)
		kfree(part);
	return ret;
}

/*
 * An heir inherits pages of a source's unit: a note, or more pages for the note that it
 * has. If it has a unit already, as another VMA's pages of it were copied, these are copied,
 * too: its process does not run yet. What is lost stays so. The source's share.lock is
 * held. Return: 0; -ENOMEM without memory for the note; -EHWPOISON. @entered: whether
 * there is a note that names the source.
 */
static int enter(struct som_link *link, unsigned long idx, unsigned long unit,
		 const unsigned long *pages, bool *entered)
{
	struct som_share *share = &link->heir->share;
	struct som_part *part;
	void *own;
	int ret = 0;

	xa_lock(&share->pending);
	own = som_units_load(&link->heir->units, idx);
	if (!own && !xa_is_value(xa_load(&share->pending, idx))) {
		ret = xa_err(__xa_store(&share->pending, idx, link,
					GFP_NOWAIT | __GFP_NOWARN | __GFP_ACCOUNT));
		part = ret ? NULL : xa_load(&share->parts, idx);
		if (part)
			bitmap_or(part->pages, part->pages, pages,
				  SOM_UNIT_PAGES);
		*entered = !ret;
	}
	xa_unlock(&share->pending);
	return own ? som_unit_copy_pages(som_entry_unit(own), unit, pages) : ret;
}

/*
 * What a parent itself has only a note of, as long as it has: the note may change while its
 * source's lock is waited for. Return: 0, -ENOMEM or -EHWPOISON.
 */
static int inherit_note(struct som_span *from, struct som_owner *owner,
			unsigned long idx)
{
	DECLARE_BITMAP(theirs, SOM_UNIT_PAGES);
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	struct xarray *pending = &owner->share.pending;
	struct som_owner *parent = from->owner, *source;
	struct som_link *note, *link;
	bool done = false, entered;
	void *entry;
	int ret = 0;

	while (!done && (note = xa_load(&parent->share.pending, idx))) {
		if (!shown_pages(from, idx, pages))
			return 0;
		if (xa_is_value(note)) {
			ret = xa_err(xa_store(pending, idx, note,
					      GFP_KERNEL_ACCOUNT));
			/* Of another VMA's pages: it cannot be lost in part. */
			return som_units_load(&owner->units, idx) ? -ENOMEM :
								    ret;
		}
		inherited_pages(parent, idx, theirs);
		if (!bitmap_and(pages, pages, theirs, SOM_UNIT_PAGES))
			return 0;
		source = note->source;
		link = som_share_link(source, owner);
		if (!link || prepare_part(owner, idx, pages) ||
		    xa_reserve(pending, idx, GFP_KERNEL_ACCOUNT))
			return -ENOMEM;
		mutex_lock(&source->share.lock);
		done = xa_load(&parent->share.pending, idx) == note;
		entry = som_units_load(&source->units, idx);
		if (done && !WARN_ON_ONCE(!entry))
			ret = enter(link, idx, som_entry_unit(entry), pages,
				    &entered);
		mutex_unlock(&source->share.lock);
		xa_release(pending, idx);
	}
	return ret;
}

/* What a parent has. Return: 0; -ENOMEM if there is no memory without waiting; -EHWPOISON. */
static int try_inherit_unit(struct som_owner *parent, struct som_link *link,
			    unsigned long idx, const unsigned long *pages)
{
	struct mutex *lock = som_owner_lock_index(parent, idx);
	bool entered = false;
	void *entry;
	int ret = 0;

	mutex_lock(&parent->share.lock);
	entry = som_units_load(&parent->units, idx);
	if (entry && !som_entry_test(entry, SOM_ENTRY_DISCARDED))
		ret = enter(link, idx, som_entry_unit(entry), pages, &entered);
	if (entered)
		som_entry_change(parent, idx, 0, SOM_ENTRY_SHARED);
	mutex_unlock(&parent->share.lock);
	mutex_unlock(lock);
	return ret;
}

/* Return: 0, -ENOMEM or -EHWPOISON. */
static int inherit_unit(struct som_span *from, struct som_link *link,
			unsigned long idx)
{
	DECLARE_BITMAP(pages, SOM_UNIT_PAGES);
	struct xarray *pending = &link->heir->share.pending;
	int ret;

	if (!shown_pages(from, idx, pages))
		return 0;
	ret = prepare_part(link->heir, idx, pages);
	if (ret)
		return ret;
	ret = try_inherit_unit(from->owner, link, idx, pages);
	if (ret != -ENOMEM)
		return ret;
	if (xa_reserve(pending, idx, GFP_KERNEL_ACCOUNT))
		return -ENOMEM;
	/* The place for it is there now. */
	ret = try_inherit_unit(from->owner, link, idx, pages);
	xa_release(pending, idx);
	return ret;
}

/**
 * som_share_inherit - notes of all that a parent has in a mapping
 * @from: the span of the mapping
 * @owner: the child's; its process does not run yet
 *
 * The caller takes the parent's page table entries away afterwards.
 *
 * Context: Process context; both address spaces' mmap_lock is held for write.
 * Return: 0, -ENOMEM, or -EHWPOISON if memory that is to be copied now cannot be read.
 */
int som_share_inherit(struct som_span *from, struct som_owner *owner)
{
	unsigned long first = som_pgoff_unit(from->it.start);
	unsigned long last = som_pgoff_unit(from->it.last);
	struct som_owner *parent = from->owner;
	struct som_link *link = NULL;
	unsigned long idx;
	void *entry;
	int ret = 0;

	WRITE_ONCE(owner->share.inherited, true);

	/* A note that has become a unit meanwhile is met as a unit then. */
	for (idx = first; som_share_find(parent, &idx, last); idx++) {
		ret = som_units_leaf(&owner->units, idx) ?
			inherit_note(from, owner, idx) : -ENOMEM;
		if (ret)
			return ret;
	}
	som_units_for_each(&parent->units, idx, entry, first, last) {
		if (!link)
			link = som_share_link(parent, owner);
		if (!link || !som_units_leaf(&owner->units, idx))
			return -ENOMEM;
		ret = inherit_unit(from, link, idx);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}
