// SPDX-License-Identifier: GPL-2.0
/*
 * Page-backed memory: units made of the kernel's ordinary pages, for users that need to pin
 * 4 KiB entries. The kernel cannot pin through special entries, which have no struct page.
 *
 * A page-backed unit is 512 physically contiguous pages, so it has a unit number and all
 * code that copies or zeroes units works on it. Ordinary entries map it
 * (som_ptes_fill_pages()), and it is anonymous memory (anon.c). Every page has its own
 * reference count, so a pin keeps its page after the unit is freed.
 *
 * The pages come from the buddy allocator and are charged to the caller's memory cgroup.
 * max_page_backed limits their number, max_page_backed_user that of each user, so that no
 * user can take all. The first page of a unit points to its account.
 */
#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include "account.h"
#include "anon.h"
#include "page_backed.h"
#include "range.h"

static unsigned long max_page_backed = 512;
module_param(max_page_backed, ulong, 0644);
MODULE_PARM_DESC(max_page_backed, "limit of page-backed units (default 512)");
module_param_named(max_pinnable, max_page_backed, ulong, 0644);
MODULE_PARM_DESC(max_pinnable, "former name of max_page_backed");

static unsigned long max_page_backed_user;
module_param(max_page_backed_user, ulong, 0644);
MODULE_PARM_DESC(max_page_backed_user, "limit of page-backed units per user (default 0: half of max_page_backed)");
module_param_named(max_pinnable_user, max_page_backed_user, ulong, 0644);
MODULE_PARM_DESC(max_pinnable_user, "former name of max_page_backed_user");

static atomic_long_t nr_page_backed = ATOMIC_LONG_INIT(0);
static DEFINE_SPINLOCK(som_page_backed_lock);	/* makes a charge all or nothing */

static struct page *unit_page(som_unit_t unit)
{
	return pfn_to_page(som_unit_pfn(unit));
}

/* Charge a unit to the account's user and to the total. */
static bool charge(struct som_account *account)
{
	unsigned long max = READ_ONCE(max_page_backed);
	unsigned long max_user = READ_ONCE(max_page_backed_user) ?: max - max / 2;
	bool ok;

	spin_lock(&som_page_backed_lock);
	ok = atomic_long_read(&nr_page_backed) < max &&
	     som_account_charge_extra(account, SOM_EXTRA_PAGE_BACKED,
				      max_user);
	if (ok)
		atomic_long_inc(&nr_page_backed);
	spin_unlock(&som_page_backed_lock);
	return ok;
}

static void uncharge(struct som_account *account)
{
	som_account_uncharge_extra(account, SOM_EXTRA_PAGE_BACKED);
	atomic_long_dec(&nr_page_backed);
}

/**
 * som_page_backed_alloc - Allocate the pages of one unit
 * @account: charged until som_page_backed_free(); a reference is taken
 * @zeroed: true to zero them; otherwise their content is undefined
 * Context: Process context.
 * Return: unit number; -ENOMEM without memory or above a limit.
 */
som_unit_t som_page_backed_alloc(struct som_account *account, bool zeroed)
{
	struct page *page;
	unsigned int i;

	if (!charge(account))
		return som_unit_error(-ENOMEM);
	page = alloc_pages(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL |
			   __GFP_NOWARN | (zeroed ? __GFP_ZERO : 0),
			   SOM_UNIT_PAGE_SHIFT);
	if (!page) {
		uncharge(account);
		return som_unit_error(-ENOMEM);
	}
	split_page(page, SOM_UNIT_PAGE_SHIFT);
	for (i = 0; i < SOM_UNIT_PAGES; i++)
		som_anon_claim_page(page + i);
	set_page_private(page, (unsigned long)som_account_get(account));
	return som_pfn_unit(page_to_pfn(page));
}

/**
 * som_page_backed_free - Free the pages of a unit
 * @unit: unit number
 *
 * Pinned pages stay allocated until their pins are dropped.
 * Context: Process context.
 */
void som_page_backed_free(som_unit_t unit)
{
	struct page *page = unit_page(unit);
	struct som_account *account = (void *)page_private(page);
	unsigned int i;

	set_page_private(page, 0);
	for (i = 0; i < SOM_UNIT_PAGES; i++)
		put_page(page + i);
	uncharge(account);
	som_account_put(account);
}

/**
 * som_page_backed_pinned - Test whether a page of a unit is pinned
 * @unit: number of an unmapped unit
 * Context: Any.
 * Return: true if one is.
 */
bool som_page_backed_pinned(som_unit_t unit)
{
	struct page *page = unit_page(unit);
	unsigned int i;

	for (i = 0; i < SOM_UNIT_PAGES; i++) {
		if (page_ref_count(page + i) != 1)
			return true;
	}
	return false;
}

/**
 * som_page_backed_page_pinned - Test whether a page of a unit is pinned
 * @unit: unit number
 * @page: number of the page in the unit
 *
 * Compares the references with those of page table entries. An entry that is being removed
 * and a short-lived reference can look like a pin. A pin is never missed.
 * Context: The fault_lock of the unit's index is held, so that no entry is added.
 * Return: true if the page may be pinned.
 */
bool som_page_backed_page_pinned(som_unit_t unit, unsigned int page)
{
	struct page *p = unit_page(unit) + page;
	int refs = page_ref_count(p);

	/* The removal of an entry lowers the map count first. */
	smp_rmb();
	return refs > 1 + atomic_read(&p->_mapcount) + 1;
}

/**
 * som_page_backed_poisoned - Test whether memory of a unit has failed
 * @unit: unit number
 * Context: Any.
 * Return: true if a page has failed.
 */
bool som_page_backed_poisoned(som_unit_t unit)
{
	struct page *page = unit_page(unit);
	unsigned int i;

	for (i = 0; i < SOM_UNIT_PAGES; i++) {
		if (PageHWPoison(page + i))
			return true;
	}
	return false;
}

/**
 * som_page_backed_units - Count the page-backed units
 * Context: Any.
 * Return: number of units.
 */
unsigned long som_page_backed_units(void)
{
	return atomic_long_read(&nr_page_backed);
}
