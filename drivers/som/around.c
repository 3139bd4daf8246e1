// SPDX-License-Identifier: GPL-2.0
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
 * the kernel clears entries (private.c).
 */
#include <linux/mm.h>
#include "around.h"
#include "entry.h"
#include "gig.h"
#include "owner.h"
#include "pool.h"
#include "range.h"
#include "units.h"
#include "vma.h"

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
		unsigned long unit;

		if (!entry_plain(entry) || !pmd_none(*pmd))
			continue;
		unit = som_entry_unit(entry);
		new = som_entry(unit, som_entry_bits(entry) | SOM_LEVEL_2M);
		/* Somebody changes a bit: another touch will see to it. */
		if (cmpxchg(entryp, entry, new) != entry)
			continue;
		set_pmd_at(vma->vm_mm, addr, pmd,
			   __pmd(bits | unit << SOM_UNIT_SHIFT));
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
	for (; (table = som_units_next_table(&owner->units, &i, last, &end));
	     i = end + 1)
		mapped += map_table(vma, table, i, end,
				    addr + ((i - idx) << PMD_SHIFT),
				    vmf->pmd + (i - idx));
	atomic_long_sub(mapped, &owner->nr_level[SOM_LEVEL_NONE]);
	atomic_long_add(mapped, &owner->nr_level[SOM_LEVEL_2M]);
	som_owner_unlock_all(owner);
}
