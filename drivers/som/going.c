// SPDX-License-Identifier: GPL-2.0
/*
 * Units that have left their index, and are not given up yet (punch.c).
 *
 * Such a unit has no charge of its own if its index is promised: the promise covers it as
 * long as the index is empty. So that no unit is used, or held by the pool, without
 * a charge,
 *
 *  - a fault at the index takes the unit back, to be zeroed. If it may be pinned, the
 *    fault charges the owner for it first, and takes another one; not if that charge
 *    cannot be had: som_going_return();
 *  - if the promise ends, its charge is the unit's: som_going_charge();
 *  - whoever gives the unit up charges the owner for it if it may be pinned.
 *
 * Entries are added under the fault_lock of their index, so whoever has that and finds
 * the index empty finds the entry here. owner->going_lock guards everything else.
 */
#include <linux/list.h>
#include <linux/spinlock.h>
#include "account.h"
#include "entry.h"
#include "going.h"
#include "owner.h"
#include "pool.h"
#include "recycle.h"
#include "units.h"

/**
 * som_going_begin - begin to give units up
 * @owner: whose
 * @going: to be used for that
 *
 * Context: Process context; before the fault_lock of an index is taken.
 */
void som_going_begin(struct som_owner *owner, struct som_going *going)
{
	going->nr = 0;
	spin_lock(&owner->going_lock);
	list_add(&going->list, &owner->going);
	WRITE_ONCE(owner->nr_going, owner->nr_going + 1);
	spin_unlock(&owner->going_lock);
}

/**
 * som_going_end - finish giving units up
 * @owner: whose
 * @going: from som_going_begin(); nobody else has to do with it any more
 *
 * Context: Process context.
 */
void som_going_end(struct som_owner *owner, struct som_going *going)
{
	spin_lock(&owner->going_lock);
	list_del(&going->list);
	WRITE_ONCE(owner->nr_going, owner->nr_going - 1);
	spin_unlock(&owner->going_lock);
}

/**
 * som_going_add - take an entry out of owner->units
 * @owner: whose
 * @going: where it goes; there is room
 * @idx: unit index, which has an entry
 *
 * Context: Process context; owner->lock and the fault_lock of @idx are held.
 * Return: the entry.
 */
void *som_going_add(struct som_owner *owner, struct som_going *going,
		    unsigned long idx)
{
	void *entry = som_units_erase(&owner->units, idx);

	spin_lock(&owner->going_lock);
	going->idx[going->nr] = idx;
	going->entry[going->nr++] = entry;
	spin_unlock(&owner->going_lock);
	return entry;
}

/*
 * The place of the entry that has left an index, or NULL. There may be several, as others
 * came to the index meanwhile; that with no charge of its own is the last of them.
 */
static void **going_find(struct som_owner *owner, unsigned long idx)
{
	struct som_going *going;
	void **found = NULL;
	unsigned int i;

	lockdep_assert_held(&owner->going_lock);

	list_for_each_entry(going, &owner->going, list) {
		for (i = 0; i < going->nr; i++) {
			if (going->idx[i] != idx || !going->entry[i])
				continue;
			found = &going->entry[i];
			if (som_going_promised(*found))
				return found;
		}
	}
	return found;
}

/* Charge an entry by itself, unless somebody has done so, or it is not there any more. */
static bool going_pay(void **entry)
{
	if (!entry || !som_going_promised(*entry))
		return false;
	*entry = som_entry(som_entry_unit(*entry),
			   som_entry_bits(*entry) | SOM_ENTRY_CHARGED);
	return true;
}

/**
 * som_going_charge - let units on their way out have the charges of promises that end
 * @owner: whose
 * @first: first unit index
 * @last: last unit index
 *
 * Context: Process context; owner->lock is held, and no span touches the indices.
 * Return: how many charges they have taken.
 */
unsigned long som_going_charge(struct som_owner *owner, unsigned long first,
			       unsigned long last)
{
	struct som_going *going;
	unsigned long nr = 0;
	unsigned int i;

	if (!READ_ONCE(owner->nr_going))
		return 0;
	spin_lock(&owner->going_lock);
	list_for_each_entry(going, &owner->going, list) {
		for (i = 0; i < going->nr; i++)
			nr += going->idx[i] >= first && going->idx[i] <= last &&
			      going_pay(&going->entry[i]);
	}
	spin_unlock(&owner->going_lock);
	return nr;
}

/**
 * som_going_settle - let what has left an index be independent of the index's promise
 * @owner: whose
 * @idx: unit index
 *
 * The owner is charged for it by itself, if there is something that needs that.
 *
 * Context: Process context.
 * Return: true: another unit may come to the index; or false: the charge cannot be had.
 */
bool som_going_settle(struct som_owner *owner, unsigned long idx)
{
	bool paid;

	if (!som_recycle_charge(owner->account, 1))
		return false;
	spin_lock(&owner->going_lock);
	paid = going_pay(going_find(owner, idx));
	spin_unlock(&owner->going_lock);
	if (!paid)
		som_account_uncharge(owner->account, 1);
	return true;
}

/**
 * som_going_return - take back what only the promise of its index covers
 * @owner: whose
 * @idx: unit index; a unit is wanted there
 *
 * Unless it may be pinned, and the owner can be charged for it.
 *
 * Context: Process context; the fault_lock of @idx is held.
 * Return: unit number, which page tables and TLBs may still have; or -ENOENT.
 */
long som_going_return(struct som_owner *owner, unsigned long idx)
{
	long unit = -ENOENT;
	void **entry;

	spin_lock(&owner->going_lock);
	entry = going_find(owner, idx);
	if (entry && som_going_promised(*entry))
		unit = som_entry_unit(*entry);
	spin_unlock(&owner->going_lock);
	if (unit < 0 || (som_pool_pinned(unit) && som_going_settle(owner, idx)))
		return -ENOENT;
	unit = -ENOENT;
	spin_lock(&owner->going_lock);
	entry = going_find(owner, idx);
	if (entry && som_going_promised(*entry)) {
		unit = som_entry_unit(*entry);
		*entry = NULL;
	}
	spin_unlock(&owner->going_lock);
	return unit;
}

/**
 * som_going_back - take back what has left an index that is not promised
 * @owner: whose
 * @idx: unit index; a unit is wanted there, for which the owner cannot be charged
 * @charged: where it goes whether a charge comes along
 *
 * Of pages of the kernel's only the charge is taken.
 *
 * Context: Process context; the fault_lock of @idx is held.
 * Return: unit number, which page tables and TLBs may still have; or -ENOENT.
 */
long som_going_back(struct som_owner *owner, unsigned long idx, bool *charged)
{
	long unit = -ENOENT;
	void **entry;

	*charged = false;
	spin_lock(&owner->going_lock);
	entry = going_find(owner, idx);
	if (entry && som_entry_test(*entry, SOM_ENTRY_CHARGED)) {
		*charged = true;
		if (som_entry_test(*entry, SOM_ENTRY_PINNABLE)) {
			*entry = som_entry(som_entry_unit(*entry),
					   SOM_ENTRY_PINNABLE);
		} else {
			unit = som_entry_unit(*entry);
			*entry = NULL;
		}
	}
	spin_unlock(&owner->going_lock);
	return unit;
}
