// SPDX-License-Identifier: GPL-2.0
/*
 * Pinnable memory: units made of the kernel's ordinary pages.
 *
 * A pin on 4 KiB special entries does not work: to the kernel there is no page
 * behind them. Pinnable memory is 512 ordinary pages that lie together, so it has a
 * unit number as any unit has, and everything that works on bytes does. It
 * is mapped with vm_insert_page(), page by page. Every page has its own
 * reference count: a pin keeps its page, whatever becomes of the unit.
 *
 * The pages come from the buddy allocator and are charged to the caller's memory
 * cgroup. The parameter max_pinnable limits how many there are.
 */
#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include "pinnable.h"
#include "range.h"

static unsigned long max_pinnable = 512;
module_param(max_pinnable, ulong, 0644);
MODULE_PARM_DESC(max_pinnable, "most units that can be pinnable at a time (default 512)");

static atomic_long_t nr_pinnable = ATOMIC_LONG_INIT(0);

static struct page *unit_page(unsigned long unit)
{
	return pfn_to_page(unit << SOM_UNIT_PAGE_SHIFT);
}

/**
 * som_pinnable_alloc - pages for one unit
 *
 * Their content is anything.
 *
 * Context: Process context.
 * Return: unit number, or -ENOMEM.
 */
long som_pinnable_alloc(void)
{
	struct page *page;

	if (atomic_long_inc_return(&nr_pinnable) > READ_ONCE(max_pinnable))
		goto out;
	page = alloc_pages(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL |
			   __GFP_NOWARN, SOM_UNIT_PAGE_SHIFT);
	if (!page)
		goto out;
	split_page(page, SOM_UNIT_PAGE_SHIFT);
	return page_to_pfn(page) >> SOM_UNIT_PAGE_SHIFT;
out:
	atomic_long_dec(&nr_pinnable);
	return -ENOMEM;
}

/**
 * som_pinnable_free - give pages back
 * @unit: unit number
 *
 * A page that is pinned lives on until the pin is gone.
 *
 * Context: Process context.
 */
void som_pinnable_free(unsigned long unit)
{
	struct page *page = unit_page(unit);
	unsigned int i;

	for (i = 0; i < SOM_UNIT_PAGES; i++)
		put_page(page + i);
	atomic_long_dec(&nr_pinnable);
}

/**
 * som_pinnable_pinned - has anybody a pin on a page of a unit?
 * @unit: unit number; nothing maps it
 *
 * Context: Any.
 * Return: true if so.
 */
bool som_pinnable_pinned(unsigned long unit)
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
 * som_pinnable_poisoned - has memory of a unit failed?
 * @unit: unit number
 *
 * Context: Any.
 * Return: true if any of its pages has.
 */
bool som_pinnable_poisoned(unsigned long unit)
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
 * som_pinnable_units - how many units there are
 *
 * Context: Any.
 * Return: number of units.
 */
unsigned long som_pinnable_units(void)
{
	return atomic_long_read(&nr_pinnable);
}
