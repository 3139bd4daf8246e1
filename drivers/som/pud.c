// SPDX-License-Identifier: GPL-2.0
/*
 * 1 GiB entries: one entry maps a whole chunk of one owner.
 *
 * Each unit still has its own entry in owner->tables and can be released by itself; only
 * the page table differs. A 1 GiB entry is made if the 512 unit indices of an aligned GiB
 * of addresses have the 512 units of one chunk, in order. If they have no units, an empty
 * chunk is allocated for them.
 *
 * To clear part of such an entry, the kernel removes all of it, and only with mmap_lock
 * held. VMA splits and mremap do not expect such entries. So som_zap() clears the whole
 * entry for any part of it, and vma.c zaps before a VMA is split or duplicated.
 *
 * Locks: a fault holds owner->lock and every fault_lock, as it changes 512 indices.
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

/* Test whether indices of a table have units in order from @unit on, mappable by 1 GiB. */
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

/* Return the chunk whose units the indices have, complete and in order; or -1. */
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

/* Set the level of all indices. Entries can only change in other bits meanwhile. */
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

/* Undo pud_store() of @nr indices. The caller frees the units. */
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

/* Give the units of a chunk to the indices, and charge those without a reservation. */
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

/* Map a GiB by one entry if its units allow that; all locks are held. */
static vm_fault_t pud_map(struct vm_fault *vmf, struct som_owner *owner,
			  unsigned long first)
{
	long chunk = pud_chunk(owner, first);
	pud_t pud = READ_ONCE(*vmf->pud);
	unsigned long pfn;
	vm_fault_t ret;

	if (chunk < 0)
		return VM_FAULT_FALLBACK;
	/* An existing entry of this chunk only needs to become writable. */
	pfn = chunk * SOM_CHUNK_PAGES;
	ret = vmf_insert_pfn_pud(vmf, pfn_to_pfn_t(pfn),
				 pud_leaf(pud) && pud_pfn(pud) == pfn &&
				 vmf->flags & FAULT_FLAG_WRITE);
	if (ret != VM_FAULT_NOPAGE)
		return ret;
	/* Another fault has inserted a page table meanwhile. */
	if (!pud_leaf(READ_ONCE(*vmf->pud)))
		return VM_FAULT_FALLBACK;
	pud_set_level(owner, first);
	trace_som_fault(vmf->real_address, som_chunk_unit(chunk, 0), PUD_SIZE,
			vmf->flags & FAULT_FLAG_WRITE);
	return VM_FAULT_NOPAGE;
}

/**
 * som_pud_fault - Map a GiB by one entry if possible
 * @vmf: fault in an aligned GiB that its VMA covers
 * @mapping: mapping of the VMA
 * Context: Process context; takes owner->pud_lock, owner->lock and all fault_locks.
 * Return: VM_FAULT_NOPAGE; VM_FAULT_FALLBACK if smaller entries are needed.
 */
vm_fault_t som_pud_fault(struct vm_fault *vmf, struct som_mapping *mapping)
{
	struct som_owner *owner = mapping->owner;
	unsigned long first = som_pgoff_index(vmf->pgoff) & ~(SOM_CHUNK_UNITS - 1UL);
	vm_fault_t ret = VM_FAULT_FALLBACK;
	bool tracked, empty;
	long chunk = -1;

	/* Serialise: the loser uses the chunk that the winner has zeroed. */
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
 * Fault-around for claimed memory.
 *
 * Claimed units are already allocated, and the process that has claimed them will use them.
 * So a fault that maps one by a 2 MiB entry also maps the following ones in the same page
 * table, up to 511. This takes no memory, and later faults would make the same entries.
 *
 * All fault_locks are held, so no unit can leave its index. The page table lock is held
 * from reading an entry until it is set: MADV_DONTNEED of a private mapping first marks
 * units and then takes that lock before the kernel clears entries (discard.c).
 */

/* Return a 2 MiB entry of unit 0 as a fault would make it (som_pmd_insert()). */
static pmd_t make_entry(const struct vm_area_struct *vma)
{
	pmd_t pmd = pmd_mkspecial(pmd_mkhuge(pfn_pmd(0, vma->vm_page_prot)));

	if (vma->vm_flags & VM_WRITE)
		pmd = pmd_mkwrite_novma(pmd_mkyoung(pmd_mkdirty(pmd)));
	return pmd;
}

/* Test whether a unit can be mapped without further work. */
static bool entry_plain(const void *entry)
{
	return entry && (som_entry_bits(entry) & ~SOM_ENTRY_CHARGED) ==
			SOM_LEVEL_NONE &&
	       !som_pool_poisoned(som_entry_unit(entry));
}

/* Map units of a table. Return their number. */
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
		/* An entry that is changing is left to a later fault. */
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
 * som_around - Map the units that follow a mapped one
 * @vmf: fault that has mapped the first by a 2 MiB entry
 * @mapping: mapping of its VMA, which is a claimed one
 * @idx: unit index of the first
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
