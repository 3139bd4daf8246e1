// SPDX-License-Identifier: GPL-2.0
/*
 * Reservations: ranges of unit indices, in owner->reserved. Each index is charged once. A
 * unit outside of them is charged by itself when it is allocated. Only indices that a
 * mapping touches are looked up.
 */
#include "account.h"
#include "cache.h"
#include "compat.h"
#include "entry.h"
#include "reserve.h"
#include "som_types.h"
#include "tables.h"

/* Count the reserved indices of a range. */
static unsigned long reserved_in(struct som_owner *owner, unsigned long first,
				 unsigned long last)
{
	MA_STATE(mas, &owner->reserved, first, first);
	unsigned long nr = 0;
	void *entry;

	lockdep_assert_held(&owner->lock);

	mas_for_each(&mas, entry, last)
		nr += min(mas.last, last) - max(mas.index, first) + 1;
	return nr;
}

/*
 * Take the charges of individually charged units in a range. A concurrent fault that fails
 * finds its unit without a charge and does not release it. Return: number of charges.
 */
static unsigned long owner_take_charges(struct som_owner *owner, unsigned long first,
					unsigned long last)
{
	unsigned long idx, nr = 0;
	void *entry;

	som_tables_for_each(&owner->tables, idx, entry, first, last) {
		entry = som_entry_change(owner, idx, SOM_ENTRY_CHARGED, 0);
		nr += entry && som_entry_test(entry, SOM_ENTRY_CHARGED);
	}
	return nr;
}

/*
 * Undo owner_take_charges(). Charges that remain belonged to units that were freed, or are
 * reserved: release them.
 */
static void return_charges(struct som_owner *owner, unsigned long first,
			   unsigned long last, unsigned long nr)
{
	unsigned long idx;
	void *entry;

	som_tables_for_each(&owner->tables, idx, entry, first, last) {
		if (!nr)
			break;
		if (som_entry_test(entry, SOM_ENTRY_CHARGED) ||
		    mtree_load(&owner->reserved, idx))
			continue;
		entry = som_entry_change(owner, idx, 0, SOM_ENTRY_CHARGED);
		nr -= !!entry;
	}
	som_account_uncharge(owner->account, nr);
}

/**
 * som_reserve_units - Reserve all units of a range: see som_mapping_reserve()
 * @owner: owner
 * @first: first unit index
 * @last: last unit index
 * Context: Process context; owner->lock is held.
 * Return: 0; -ENOMEM: nothing is changed.
 */
int som_reserve_units(struct som_owner *owner, unsigned long first,
		      unsigned long last)
{
	MA_STATE(mas, &owner->reserved, first, last);
	unsigned long need, taken, charged = 0;
	int ret = -ENOMEM;

	lockdep_assert_held(&owner->lock);

	need = last - first + 1 - reserved_in(owner, first, last);
	if (!need)
		return 0;
	/* Reuse the charges of individually charged units. */
	taken = owner_take_charges(owner, first, last);
	if (taken < need) {
		if (!som_cache_charge(owner->account, need - taken))
			goto out_return;
		charged = need - taken;
	}
	ret = som_mas_store(&mas, xa_mk_value(1), GFP_KERNEL_ACCOUNT);
	if (ret)
		goto out_uncharge;
	owner->nr_reserved += need;
	/* Also take charges of faults that did not see the reservation yet. */
	taken += owner_take_charges(owner, first, last);
	som_account_uncharge(owner->account, taken + charged - need);
	return 0;

out_uncharge:
	som_account_uncharge(owner->account, charged);
out_return:
	return_charges(owner, first, last, taken);
	return ret;
}

/**
 * som_unreserve_units - Remove all reservations in a range, but keep their charges
 * @owner: owner
 * @first: first unit index
 * @last: last unit index
 * Context: Process context; owner->lock is held.
 * Return: number of reservations removed; their charges pass to the caller.
 */
unsigned long som_unreserve_units(struct som_owner *owner, unsigned long first,
				  unsigned long last)
{
	MA_STATE(mas, &owner->reserved, first, last);
	unsigned long nr = reserved_in(owner, first, last);

	if (!nr)
		return 0;
	som_mas_store(&mas, NULL, GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	owner->nr_reserved -= nr;
	return nr;
}
