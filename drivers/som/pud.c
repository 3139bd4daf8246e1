// SPDX-License-Identifier: GPL-2.0
/*
 * 1 GiB entries: a whole chunk of one owner, mapped by one entry.
 *
 * The units of a chunk that is mapped so are the owner's one by one, as all
 * units are: each has its entry in owner->tables, and can go by itself. What is
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
#include "account.h"
#include "cache.h"
#include "dirty_log.h"
#include "entry.h"
#include "mapping.h"
#include "numa.h"
#include "pool.h"
#include "pud.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "trace.h"

static bool pud_is_empty(struct som_owner *owner, unsigned long first)
{
	unsigned long idx = first;

	return !som_tables_find(&owner->tables, &idx, first + SOM_CHUNK_UNITS - 1);
}

/* Do indices of a table have units in order, from @unit on, which a large entry can map? */
static bool pud_table(const struct som_table *table, unsigned long i,
		      unsigned long end, som_unit_t unit)
{
	for (; i <= end; i++, unit = som_unit_add(unit, 1)) {
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
	unsigned long i = first, end = first - 1, last;
	void *entry = som_tables_load(&owner->tables, first);
	struct som_table *table;
	som_unit_t unit;

	if (!entry || som_unit_place(som_entry_unit(entry)))
		return -1;
	unit = som_entry_unit(entry);
	last = first + SOM_CHUNK_UNITS - 1;
	while (end != last) {
		i = end + 1;
		table = som_tables_next_table(&owner->tables, &i, last, &end);
		if (!table || !pud_table(table, i, end, som_unit_add(unit, i - first)))
			return -1;
	}
	return som_unit_chunk(unit);
}

/* They are mapped by one entry. Nobody but who changes other bits is in the way. */
static void pud_set_level(struct som_owner *owner, unsigned long first)
{
	unsigned long i = first, last = first + SOM_CHUNK_UNITS - 1, end;
	struct som_table *table;
	unsigned long nr = 0;

	while ((table = som_tables_next_table(&owner->tables, &i, last, &end))) {
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
		void *entry = som_tables_erase(&owner->tables, first + i);

		som_entry_forget(owner, entry);
		if (som_entry_test(entry, SOM_ENTRY_CHARGED))
			som_account_uncharge(owner->account, 1);
	}
}

/* The indices get the units of a chunk, charged where they are not reserved. */
static bool pud_store(struct som_owner *owner, unsigned long first,
		      unsigned long chunk)
{
	struct som_table *table;
	unsigned long i;

	for (i = 0; i < SOM_CHUNK_UNITS; i++) {
		unsigned long bits = SOM_LEVEL_NONE;

		if (!mtree_load(&owner->reserved, first + i)) {
			if (!som_cache_charge(owner->account, 1))
				break;
			bits |= SOM_ENTRY_CHARGED;
		}
		table = som_tables_table(&owner->tables, first + i);
		if (!table) {
			if (bits & SOM_ENTRY_CHARGED)
				som_account_uncharge(owner->account, 1);
			break;
		}
		WRITE_ONCE(table->entry[(first + i) % SOM_TABLE_UNITS],
			   som_entry(som_chunk_unit(chunk, i), bits));
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
	trace_som_fault(vmf->real_address, som_chunk_unit(chunk, 0), PUD_SIZE,
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
	unsigned long first = som_pgoff_index(vmf->pgoff) & ~(SOM_CHUNK_UNITS - 1UL);
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

/*
 * The first touch of claimed memory maps what is around it.
 *
 * What comes out of a parcel is there as a whole, and whoever has claimed it wants it.
 * So a fault that maps a unit of a claimed mapping by a 2 MiB entry maps the units
 * behind it, too, as far as the same page table goes: up to 511. It takes no memory for
 * that, and maps nothing that another touch would not map in the very same way.
 *
 * All fault_locks are held, so each unit is in its place until its entry is in the page
 * table. The lock of the page table is held from the look at an entry on:
 * MADV_DONTNEED of a private mapping marks units first, and then takes that lock before
 * the kernel clears entries (discard.c).
 */

/* A 2 MiB entry as a fault would make it (som_pmd_insert()), of unit 0. */
static pmd_t make_entry(const struct vm_area_struct *vma)
{
	pmd_t pmd = pmd_mkspecial(pmd_mkhuge(pfn_pmd(0, vma->vm_page_prot)));

	if (vma->vm_flags & VM_WRITE)
		pmd = pmd_mkwrite_novma(pmd_mkyoung(pmd_mkdirty(pmd)));
	return pmd;
}

/* Is an entry of a unit that needs no more than to be mapped? */
static bool entry_plain(const void *entry)
{
	return entry && (som_entry_bits(entry) & ~SOM_ENTRY_CHARGED) ==
			SOM_LEVEL_NONE &&
	       !som_pool_poisoned(som_entry_unit(entry));
}

/* Map units of a table. Return: how many. */
static unsigned int map_table(struct vm_area_struct *vma, struct som_table *table,
			      unsigned long i, unsigned long end,
			      unsigned long addr, pmd_t *pmd)
{
	unsigned long bits = pmd_val(make_entry(vma));
	unsigned int mapped = 0;
	spinlock_t *lock;

	lock = pmd_lock(vma->vm_mm, pmd);
	for (; i <= end; i++, pmd++, addr += PMD_SIZE) {
		void **entryp = &table->entry[i % SOM_TABLE_UNITS];
		void *entry = READ_ONCE(*entryp), *new;
		som_unit_t unit;

		if (!entry_plain(entry) || !pmd_none(*pmd))
			continue;
		unit = som_entry_unit(entry);
		new = som_entry(unit, som_entry_bits(entry) | SOM_LEVEL_2M);
		/* Somebody changes a bit: another touch will see to it. */
		if (cmpxchg(entryp, entry, new) != entry)
			continue;
		set_pmd_at(vma->vm_mm, addr, pmd,
			   __pmd(bits | som_unit_pfn(unit) << PAGE_SHIFT));
		mapped++;
	}
	spin_unlock(lock);
	return mapped;
}

/**
 * som_around - map units behind one that was just mapped
 * @vmf: the fault that has mapped it, by a 2 MiB entry
 * @mapping: the mapping of its VMA, which is a claimed one
 * @idx: unit index of the unit
 *
 * Context: Process context, in a fault; takes owner->lock and all fault_locks.
 */
void som_around(struct vm_fault *vmf, struct som_mapping *mapping, unsigned long idx)
{
	unsigned long addr = vmf->address & PMD_MASK, i, last, end;
	struct vm_area_struct *vma = vmf->vma;
	struct som_owner *owner = mapping->owner;
	unsigned long mapped = 0, nr;
	struct som_table *table;

	nr = min(PTRS_PER_PMD - pmd_index(addr),
		 (vma->vm_end - addr) >> PMD_SHIFT) - 1;
	if (!nr || arch_needs_pgtable_deposit() ||
	    !atomic_long_read(&owner->nr_level[SOM_LEVEL_NONE]) ||
	    som_vma_tracked(vma) || READ_ONCE(owner->dirty_log.on) ||
	    READ_ONCE(owner->may_alias))
		return;
	i = idx + 1;
	last = idx + nr;
	som_owner_lock_all(owner);
	for (; (table = som_tables_next_table(&owner->tables, &i, last, &end));
	     i = end + 1)
		mapped += map_table(vma, table, i, end,
				    addr + ((i - idx) << PMD_SHIFT),
				    vmf->pmd + (i - idx));
	atomic_long_sub(mapped, &owner->nr_level[SOM_LEVEL_NONE]);
	atomic_long_add(mapped, &owner->nr_level[SOM_LEVEL_2M]);
	som_owner_unlock_all(owner);
}
