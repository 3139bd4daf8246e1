/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Choose how a fault maps a unit, from the state of the unit and of its VMA. Pure code.
 */
#ifndef _SOM_PLAN_H
#define _SOM_PLAN_H

#include <linux/types.h>

/**
 * enum som_pmd_state - state of the PMD entry
 * @SOM_PMD_NONE: empty.
 * @SOM_PMD_TABLE: a page table.
 * @SOM_PMD_HUGE: a 2 MiB entry.
 */
enum som_pmd_state {
	SOM_PMD_NONE,
	SOM_PMD_TABLE,
	SOM_PMD_HUGE,
};

/**
 * struct som_plan_input - state that decides how to map a unit
 * @pmd: PMD entry.
 * @huge: the VMA covers the unit and may have 2 MiB entries.
 * @page_backed: the unit is ordinary pages.
 * @tracked: writes to the unit are recorded.
 * @clean: no entry of it is writable; only with @tracked.
 * @shared: children need the data of the unit: it must not be written.
 * @private: the mapping is MAP_PRIVATE.
 * @protect: an entry without write access stays so until the driver is called.
 * @write: the fault is a write.
 */
struct som_plan_input {
	enum som_pmd_state pmd;
	bool huge;
	bool page_backed;
	bool tracked;
	bool clean;
	bool shared;
	bool private;
	bool protect;
	bool write;
};

/**
 * enum som_plan - how to map a unit
 * @SOM_PLAN_PAGES: by 4 KiB entries of ordinary pages.
 * @SOM_PLAN_2M: by a 2 MiB entry, writable if the VMA is.
 * @SOM_PLAN_2M_READONLY: by a 2 MiB entry without write access.
 * @SOM_PLAN_4K: by 4 KiB entries.
 * @SOM_PLAN_4K_READONLY: by 4 KiB entries without write access.
 * @SOM_PLAN_ZAP: the driver clears the 2 MiB entry, and the fault begins again.
 * @SOM_PLAN_RETRY: not at all: a page table has appeared, and the data of children must be
 *	copied first.
 * @SOM_PLAN_SPLIT: the kernel drops the 2 MiB entry, and the fault begins again.
 */
enum som_plan {
	SOM_PLAN_PAGES,
	SOM_PLAN_2M,
	SOM_PLAN_2M_READONLY,
	SOM_PLAN_4K,
	SOM_PLAN_4K_READONLY,
	SOM_PLAN_ZAP,
	SOM_PLAN_RETRY,
	SOM_PLAN_SPLIT,
};

/**
 * som_plan_mapping - choose how to map a unit
 * @in: its state
 *
 * A tracked, clean unit has no writable entry: a read-only 2 MiB entry maps it until the
 * first write, and 4 KiB entries with dirty bits afterwards. The 2 MiB entry must be
 * removed first: by the kernel, or in a private mapping by the driver, as the notifier
 * cannot tell the kernel's way from MADV_DONTNEED (discard.c).
 *
 * Return: the plan.
 */
static inline enum som_plan som_plan_mapping(const struct som_plan_input *in)
{
	bool readonly = in->shared ||
			(in->tracked && in->clean && !in->write && in->protect);

	if (in->page_backed)
		return SOM_PLAN_PAGES;
	if (in->shared && !in->protect)
		return SOM_PLAN_RETRY;
	if (in->huge && in->pmd != SOM_PMD_TABLE && (!in->tracked || readonly))
		return !in->tracked && !in->shared ? SOM_PLAN_2M :
						     SOM_PLAN_2M_READONLY;
	if (in->pmd == SOM_PMD_HUGE)
		return in->private ? SOM_PLAN_ZAP : SOM_PLAN_SPLIT;
	return readonly ? SOM_PLAN_4K_READONLY : SOM_PLAN_4K;
}

#endif /* _SOM_PLAN_H */
