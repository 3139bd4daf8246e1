// SPDX-License-Identifier: GPL-2.0
/*
 * Page-backed memory: units made of the kernel's ordinary pages.
 *
 * A pin on 4 KiB special entries does not work: to the kernel there is no page
 * behind them. Page-backed memory is 512 ordinary pages that lie together, so it has a
 * unit number as any unit has, and everything that works on bytes does. It
 * is mapped by ordinary entries (som_ptes_fill_pages()). Every page has its own
 * reference count: a pin keeps its page, whatever becomes of the unit. To the kernel it
 * is anonymous memory (anon.c).
 *
 * The pages come from the buddy allocator and are charged to the caller's memory
 * cgroup. The parameter max_page_backed limits how many there are, and max_page_backed_user how
 * many a user has, so that no user can take all. The first page of a unit remembers whose
 * it is.
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
MODULE_PARM_DESC(max_page_backed, "most units that can be page-backed at a time (default 512)");
module_param_named(max_pinnable, max_page_backed, ulong, 0644);
MODULE_PARM_DESC(max_pinnable, "former name of max_page_backed");

static unsigned long max_page_backed_user;
module_param(max_page_backed_user, ulong, 0644);
MODULE_PARM_DESC(max_page_backed_user, "most units of one user that can be page-backed at a time (default 0: half of max_page_backed)");
module_param_named(max_pinnable_user, max_page_backed_user, ulong, 0644);
MODULE_PARM_DESC(max_pinnable_user, "former name of max_page_backed_user");

static atomic_long_t nr_page_backed = ATOMIC_LONG_INIT(0);
static DEFINE_SPINLOCK(som_page_backed_lock);	/* all of a charge, or nothing */

static struct page *unit_page(unsigned long unit)
{
	return pfn_to_page(unit << SOM_UNIT_PAGE_SHIFT);
}

/* Charge a unit to its user and to the pages that som may have. */
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
 * som_page_backed_alloc - allocate pages for one unit
 * @account: who is charged until som_page_backed_free(); a reference is taken
 * @zeroed: whether they are to be zero; otherwise their content is anything
 *
 * Context: Process context.
 * Return: unit number, or -ENOMEM without memory or over a limit.
 */
long som_page_backed_alloc(struct som_account *account, bool zeroed)
{
	struct page *page;
	unsigned int i;

	if (!charge(account))
		return -ENOMEM;
	page = alloc_pages(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL |
			   __GFP_NOWARN | (zeroed ? __GFP_ZERO : 0),
			   SOM_UNIT_PAGE_SHIFT);
	if (!page) {
		uncharge(account);
		return -ENOMEM;
	}
	split_page(page, SOM_UNIT_PAGE_SHIFT);
	for (i = 0; i < SOM_UNIT_PAGES; i++)
		som_anon_claim_page(page + i);
	set_page_private(page, (unsigned long)som_account_get(account));
	return page_to_pfn(page) >> SOM_UNIT_PAGE_SHIFT;
}

/**
 * som_page_backed_free - give pages back
 * @unit: unit number
 *
 * A page that is pinned lives on until the pin is gone.
 *
 * Context: Process context.
 */
void som_page_backed_free(unsigned long unit)
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
 * som_page_backed_pinned - has anybody a pin on a page of a unit?
 * @unit: unit number; nothing maps it
 *
 * Context: Any.
 * Return: true if so.
 */
bool som_page_backed_pinned(unsigned long unit)
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
 * som_page_backed_poisoned - has memory of a unit failed?
 * @unit: unit number
 *
 * Context: Any.
 * Return: true if any of its pages has.
 */
bool som_page_backed_poisoned(unsigned long unit)
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
 * som_page_backed_units - how many units there are
 *
 * Context: Any.
 * Return: number of units.
 */
unsigned long som_page_backed_units(void)
{
	return atomic_long_read(&nr_page_backed);
}
