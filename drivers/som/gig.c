// SPDX-License-Identifier: GPL-2.0
/*
 * 1 GiB entries: a whole chunk of one owner, mapped by one entry.
 *
 * The units of a chunk that is mapped so are the owner's one by one, as all
 * units are: each has its entry in owner->units, and can go by itself. What is
 * special is the page table. A 1 GiB entry is made where 512 unit indices that
 * are one GiB of addresses have the 512 units of one chunk, in order; if they have
 * no units at all, an empty chunk is taken for them.
 *
 * The kernel can clear such an entry in part only with mmap_lock held (it splits
 * it, that is, drops it), and it has places that do not expect one: the split
 * of a VMA and a move by mremap. So som_zap() clears all of it where any part
 * is to go, and vma.c clears it before a VMA is split or duplicated.
 *
 * Context: a fault. All locks that a change of the 512 indices takes are held:
 * owner->lock, and every fault_lock.
 */
#include <linux/mm.h>
#include <linux/pfn_t.h>
#include "entry.h"
#include "gig.h"
#include "numa.h"
#include "owner.h"
#include "pool.h"
#include "range.h"
#include "trace.h"

/**
 * som_owner_lock_all - keep all unit indices of an owner as they are
 * @owner: whose
 *
 * Context: Process context; takes owner->lock and all fault_locks.
 */
void som_owner_lock_all(struct som_owner *owner)
{
	int i;

	mutex_lock(&owner->lock);
	for (i = 0; i < SOM_FAULT_LOCKS; i++)
		mutex_lock_nest_lock(&owner->fault_lock[i], &owner->lock);
}

/**
 * som_owner_unlock_all - undo som_owner_lock_all()
 * @owner: whose
 *
 * Context: Process context.
 */
void som_owner_unlock_all(struct som_owner *owner)
{
	int i;

	for (i = 0; i < SOM_FAULT_LOCKS; i++)
		mutex_unlock(&owner->fault_lock[i]);
	mutex_unlock(&owner->lock);
}

static bool pud_is_empty(struct som_owner *owner, unsigned long first)
{
	unsigned long idx = first;

	return !som_units_find(&owner->units, &idx, first + SOM_CHUNK_UNITS - 1);
}

/* Do indices of a table have units in order, from @unit on, which a large entry can map? */
static bool pud_table(const struct som_table *table, unsigned long i,
		      unsigned long end, unsigned long unit)
{
	for (; i <= end; i++, unit++) {
		void *entry = READ_ONCE(table->entry[i % SOM_TABLE_UNITS]);

		if (!entry || som_entry_unit(entry) != unit ||
		    som_entry_test(entry, SOM_ENTRY_PAGE_BACKED |
					  SOM_ENTRY_DISCARDED) ||
		    som_pool_poisoned(unit))
			return false;
	}
	return true;
}

/* The chunk whose units the indices have, all of them and in order; or -1. */
static long pud_chunk(struct som_owner *owner, unsigned long first)
{
	unsigned long i = first, end = first - 1, unit, last;
	void *entry = som_units_load(&owner->units, first);
	struct som_table *table;

	if (!entry || som_entry_unit(entry) % SOM_CHUNK_UNITS)
		return -1;
	unit = som_entry_unit(entry);
	last = first + SOM_CHUNK_UNITS - 1;
	while (end != last) {
		i = end + 1;
		table = som_units_next_table(&owner->units, &i, last, &end);
		if (!table || !pud_table(table, i, end, unit + (i - first)))
			return -1;
	}
	return unit / SOM_CHUNK_UNITS;
}

/* They are mapped by one entry. Nobody but who changes other bits is in the way. */
static void pud_set_level(struct som_owner *owner, unsigned long first)
{
	unsigned long i = first, last = first + SOM_CHUNK_UNITS - 1, end;
	struct som_table *table;
	unsigned long nr = 0;

	while ((table = som_units_next_table(&owner->units, &i, last, &end))) {
		for (; i <= end; i++) {
			void **entryp = &table->entry[i % SOM_TABLE_UNITS];
			void *entry = READ_ONCE(*entryp);

			if (som_entry_level(entry) == SOM_LEVEL_NONE &&
			    cmpxchg(entryp, entry,
				    som_entry(som_entry_unit(entry),
					      som_entry_bits(entry) |
					      SOM_LEVEL_1G)) == entry)
				nr++;
			else
				som_owner_set_level(owner, i, SOM_LEVEL_1G);
		}
	}
	atomic_long_sub(nr, &owner->nr_level[SOM_LEVEL_NONE]);
	atomic_long_add(nr, &owner->nr_level[SOM_LEVEL_1G]);
}

/* Undo what pud_store() has done of nr indices, but for the units themselves. */
static void pud_unstore(struct som_owner *owner, unsigned long first,
			unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		void *entry = som_units_erase(&owner->units, first + i);

		som_entry_forget(owner, entry);
		if (som_entry_test(entry, SOM_ENTRY_CHARGED))
			som_account_uncharge(owner->account, 1);
	}
}

/* The indices get the units of a chunk, charged where they are not reserved. */
static bool pud_store(struct som_owner *owner, unsigned long first,
		      unsigned long chunk)
{
	unsigned long i, unit = chunk * SOM_CHUNK_UNITS;
	struct som_table *table;

	for (i = 0; i < SOM_CHUNK_UNITS; i++) {
		unsigned long bits = SOM_LEVEL_NONE;

		if (!mtree_load(&owner->reserved, first + i)) {
			if (!som_cache_charge(owner->account, 1))
				break;
			bits |= SOM_ENTRY_CHARGED;
		}
		table = som_units_table(&owner->units, first + i);
		if (!table) {
			if (bits & SOM_ENTRY_CHARGED)
				som_account_uncharge(owner->account, 1);
			break;
		}
		WRITE_ONCE(table->entry[(first + i) % SOM_TABLE_UNITS],
			   som_entry(unit + i, bits));
		atomic_long_inc(&owner->nr_level[SOM_LEVEL_NONE]);
	}
	if (i == SOM_CHUNK_UNITS)
		return true;
	pud_unstore(owner, first, i);
	return false;
}

/* Under the locks: map the GiB if its units allow it. */
static vm_fault_t pud_map(struct vm_fault *vmf, struct som_owner *owner,
			  unsigned long first)
{
	long chunk = pud_chunk(owner, first);
	pud_t pud = READ_ONCE(*vmf->pud);
	unsigned long pfn;
	vm_fault_t ret;

	if (chunk < 0)
		return VM_FAULT_FALLBACK;
	/* Where an entry is, it is this one: it is to become writable. */
	pfn = chunk * SOM_CHUNK_PAGES;
	ret = vmf_insert_pfn_pud(vmf, pfn_to_pfn_t(pfn),
				 pud_leaf(pud) && pud_pfn(pud) == pfn &&
				 vmf->flags & FAULT_FLAG_WRITE);
	if (ret != VM_FAULT_NOPAGE)
		return ret;
	/* Another fault has put a page table there meanwhile. */
	if (!pud_leaf(READ_ONCE(*vmf->pud)))
		return VM_FAULT_FALLBACK;
	pud_set_level(owner, first);
	trace_som_fault(vmf->real_address, chunk * SOM_CHUNK_UNITS, PUD_SIZE,
			vmf->flags & FAULT_FLAG_WRITE);
	return VM_FAULT_NOPAGE;
}

/**
 * som_pud_fault - map a GiB by one entry, if possible
 * @vmf: a fault in an aligned GiB that its VMA covers
 * @mapping: the VMA's mapping
 *
 * Context: Process context; takes owner->pud_lock, owner->lock and all
 * fault_locks.
 * Return: VM_FAULT_NOPAGE, or VM_FAULT_FALLBACK if smaller entries must do.
 */
vm_fault_t som_pud_fault(struct vm_fault *vmf, struct som_mapping *mapping)
{
	struct som_owner *owner = mapping->owner;
	unsigned long first = som_pgoff_unit(vmf->pgoff) & ~(SOM_CHUNK_UNITS - 1UL);
	vm_fault_t ret = VM_FAULT_FALLBACK;
	bool tracked, empty;
	long chunk = -1;

	/* Who comes second finds what the first has made, after zeroing a GiB. */
	if (mutex_lock_killable(&owner->pud_lock))
		return VM_FAULT_NOPAGE;
	if (pud_is_empty(owner, first)) {
		if (som_dumping())
			goto out_pud;
		chunk = som_numa_alloc_chunk(owner->account->pool, vmf->vma,
					     first);
		if (chunk < 0)
			goto out_pud;
	}
	som_owner_lock_all(owner);
	if (som_dirty_log_run(&owner->dirty_log, first, first + SOM_CHUNK_UNITS - 1,
			      &tracked) < first + SOM_CHUNK_UNITS - 1 || tracked)
		goto out;
	empty = pud_is_empty(owner, first);
	if (empty && (chunk < 0 || !pud_store(owner, first, chunk)))
		goto out;
	if (empty)
		chunk = -1;
	ret = pud_map(vmf, owner, first);
out:
	som_owner_unlock_all(owner);
	if (chunk >= 0)
		som_pool_free_chunk(chunk);
out_pud:
	mutex_unlock(&owner->pud_lock);
	return ret;
}
