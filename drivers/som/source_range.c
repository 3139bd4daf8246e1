// SPDX-License-Identifier: GPL-2.0
/*
 * Chunks from physical memory that the kernel does not use: ranges that the command line
 * excludes from System RAM (memmap=, mem=) or that firmware reserves for a purpose. The
 * module parameter "ranges" names them.
 *
 * Life of a chunk:
 * 1. Load: som_range_open() checks the range and claims it in /proc/iomem.
 * 2. Get: memremap_pages() makes one compound page of 1 GiB; all its struct pages but two
 *    share one page of memory.
 * 3. Put: memunmap_pages() removes them. It does not wait for pins, so a pinned chunk is
 *    refused.
 * 4. Unload: the claim is released.
 *
 * A range must be memory, and unused: the firmware's memory map lists all of it, and none
 * of it is System RAM. Without the first check an empty bus window could be claimed.
 *
 * The folio has one reference, from ZONE_DEVICE; all others are pins. As in
 * source_hugetlb.c, its map count is above one.
 *
 * ":zero" declares that a range is zeroed, as a hypervisor's fresh memory is. That applies
 * to the first get of each chunk.
 *
 * The pool keeps a chunk with failed memory until the module is unloaded, since neither the
 * kernel nor the source records the failure.
 *
 * All functions but pinned() and poison() run under the pool's mutex.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/ioport.h>
#include <linux/kernel.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/page-flags.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "anon.h"
#include "compat.h"
#include "range.h"
#include "source.h"

/* Map count added to the folio: more than one. */
#define SOM_RANGE_MAPCOUNT	2

/* Two pages of struct pages, and eight page tables for the range of all 262,144. */
#define SOM_RANGE_COST		(10 * PAGE_SIZE)

/**
 * struct som_pud - a GiB of a range
 * @list: link in som_puds.
 * @start: physical address.
 * @claim: claim in /proc/iomem.
 * @pgmap: for memremap_pages().
 * @taken: the pool has it.
 * @zero: all of it is zero: it was never used.
 */
struct som_pud {
	struct list_head list;
	phys_addr_t start;
	struct resource *claim;
	struct dev_pagemap pgmap;
	bool taken;
	bool zero;
};

static LIST_HEAD(som_puds);

static char *ranges;
module_param(ranges, charp, 0444);
MODULE_PARM_DESC(ranges, "physical memory outside System RAM to take chunks from, SIZE@ADDRESS[:zero][,...] (default none)");

/* Do nothing: the pool handles the failure, notified by the tracepoint (hwpoison.c). */
static int som_range_failure(struct dev_pagemap *pgmap, unsigned long pfn,
			     unsigned long nr_pages, int flags)
{
	return 0;
}

static const struct dev_pagemap_ops som_range_ops = {
	.memory_failure = som_range_failure,
};

static void drop_pud(struct som_pud *pud)
{
	list_del(&pud->list);
	release_mem_region(pud->start, SOM_CHUNK_SIZE);
	kfree(pud);
}

static void drop_puds(void)
{
	struct som_pud *pud, *next;

	list_for_each_entry_safe(pud, next, &som_puds, list)
		drop_pud(pud);
}

/*
 * Make the folio appear as anonymous memory of one address space (anon.c). Each struct page
 * needs the flag, not only the first as with HugeTLB; most of them are the same page of
 * memory.
 */
static void claim_folio(struct folio *folio)
{
	long i;

	som_folio_add_mapcount(folio, SOM_RANGE_MAPCOUNT);
	atomic_add(SOM_RANGE_MAPCOUNT, &folio->_entire_mapcount);
	som_anon_claim(folio);
	for (i = 1; i < folio_nr_pages(folio); i++)
		SetPageAnonExclusive(folio_page(folio, i));
}

static void return_folio(struct folio *folio)
{
	long i;

	for (i = 1; i < folio_nr_pages(folio); i++)
		ClearPageAnonExclusive(folio_page(folio, i));
	som_anon_return(folio, NULL);
	atomic_sub(SOM_RANGE_MAPCOUNT, &folio->_entire_mapcount);
	som_folio_add_mapcount(folio, -SOM_RANGE_MAPCOUNT);
}

/* Check whether a GiB may be claimed. Return: 0 or -errno. */
static int refuse(phys_addr_t start)
{
	phys_addr_t at;

	if (region_intersects(start, SOM_CHUNK_SIZE, IORESOURCE_SYSTEM_RAM,
			      IORES_DESC_NONE) != REGION_DISJOINT)
		return -EEXIST;
	for (at = start; at < start + SOM_CHUNK_SIZE; at += SOM_UNIT_SIZE) {
		if (!som_memory_listed(at, SOM_UNIT_SIZE))
			return -ENXIO;
	}
	return 0;
}

static int add_pud(phys_addr_t start, bool zero)
{
	struct som_pud *pud;
	int ret = refuse(start);

	if (ret)
		return ret;
	pud = kzalloc(sizeof(*pud), GFP_KERNEL);
	if (!pud)
		return -ENOMEM;
	pud->start = start;
	pud->zero = zero;
	pud->pgmap.type = MEMORY_DEVICE_GENERIC;
	pud->pgmap.range.start = start;
	pud->pgmap.range.end = start + SOM_CHUNK_SIZE - 1;
	pud->pgmap.nr_range = 1;
	pud->pgmap.vmemmap_shift = SOM_CHUNK_SHIFT - PAGE_SHIFT;
	pud->pgmap.ops = &som_range_ops;
	pud->claim = request_mem_region(start, SOM_CHUNK_SIZE, KBUILD_MODNAME);
	if (!pud->claim) {
		kfree(pud);
		return -EBUSY;
	}
	list_add_tail(&pud->list, &som_puds);
	return 0;
}

/* Claim the range that a part of the parameter names. */
static int claim_range(const char *text)
{
	unsigned long long size, start, at, end;
	char *rest;
	bool zero;
	int ret;

	size = memparse(text, &rest);
	if (*rest != '@' || rest == text)
		return -EINVAL;
	text = rest + 1;
	start = memparse(text, &rest);
	zero = !strcmp(rest, ":zero");
	if ((*rest && !zero) || rest == text || !size ||
	    !IS_ALIGNED(start | size, SOM_CHUNK_SIZE) ||
	    check_add_overflow(start, size, &end) ||
	    end - 1 > (1ULL << MAX_PHYSMEM_BITS) - 1)
		return -EINVAL;
	for (at = start; at < end; at += SOM_CHUNK_SIZE) {
		ret = add_pud(at, zero);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

static const char *reason(int error)
{
	switch (error) {
	case -EINVAL:
		return "not SIZE@ADDRESS[:zero], both multiples of 1 GiB";
	case -EEXIST:
		return "overlaps System RAM";
	case -ENXIO:
		return "not in the memory map of the firmware";
	case -EBUSY:
		return "in use, or named twice";
	default:
		return "out of memory";
	}
}

/* Claim all ranges or none. Logs one line on failure. */
static int som_range_open(void)
{
	char *copy, *rest, *text;
	int ret = 0;

	if (!ranges || !*ranges)
		return -ENODEV;
	copy = kstrdup(ranges, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	rest = copy;
	while (!ret && (text = strsep(&rest, ",")))
		ret = claim_range(text);
	if (ret) {
		pr_err("range %s: %s\n", text, reason(ret));
		drop_puds();
	}
	kfree(copy);
	return ret;
}

static int pud_nid(const struct som_pud *pud)
{
	int nid = phys_to_target_node(pud->start);

	return nid >= 0 && node_online(nid) ? nid : first_online_node;
}

static struct som_pud *spare_pud(void)
{
	struct som_pud *pud;

	list_for_each_entry(pud, &som_puds, list) {
		if (!pud->taken)
			return pud;
	}
	return NULL;
}

static int som_range_get(struct som_extent *ext)
{
	struct som_pud *pud = spare_pud();
	struct folio *folio;
	void *addr;

	if (!pud)
		return -ENOMEM;
	addr = memremap_pages(&pud->pgmap, pud_nid(pud));
	if (IS_ERR(addr))
		return PTR_ERR(addr);
	folio = pfn_folio(PHYS_PFN(pud->start));
	claim_folio(folio);
	pud->taken = true;
	ext->pfn = PHYS_PFN(pud->start);
	ext->nid = pud_nid(pud);
	ext->zeroed = pud->zero;
	pud->zero = false;
	ext->priv = pud;
	ext->folio = folio;
	ext->refs = folio_ref_count(folio);
	return 0;
}

static bool som_range_pinned(const struct som_extent *ext)
{
	return folio_ref_count(ext->folio) > ext->refs;
}

static int som_range_put(struct som_extent *ext)
{
	struct som_pud *pud = ext->priv;

	/* Lockless page walkers have either taken a reference or left after this. */
	synchronize_rcu();
	if (som_range_pinned(ext))
		return -EBUSY;
	return_folio(ext->folio);
	memunmap_pages(&pud->pgmap);
	pud->taken = false;
	return 0;
}

/* The kernel keeps no reference to failed device memory. */
static bool som_range_poison(struct som_extent *ext)
{
	return false;
}

static unsigned long som_range_cost(const struct som_extent *ext)
{
	return SOM_RANGE_COST;
}

const struct som_source som_source_range = {
	.name = "GiB of the ranges",
	.dir = "range",
	.hint_file = "no file",
	.hint_boot = "ranges=SIZE@ADDRESS, and memmap=SIZE$ADDRESS",
	.open = som_range_open,
	.close = drop_puds,
	.get = som_range_get,
	.put = som_range_put,
	.pinned = som_range_pinned,
	.poison = som_range_poison,
	.cost = som_range_cost,
};
