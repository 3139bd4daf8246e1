// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults of a som VMA, except those that map 1 GiB (pud.c).
 *
 * A VMA is VM_MIXEDMAP and has special entries: no struct page is touched, GUP works on
 * 2 MiB entries, and VMAs never merge. vm_private_data is its mapping (map.c), or NULL in a
 * child that inherited the VMA by MADV_DOFORK against the policy.
 *
 * A fault holds mmap_lock or the VMA lock for read, which keeps the VMA and its mapping. It
 * holds the unit index's fault_lock from the look-up of the unit until the entry is in the
 * page table, so that som_owner_punch() finds the entry. An entry of a punched unit can
 * remain in the page table until it is cleared. A fault that finds one changes nothing and
 * is retried (VM_FAULT_NOPAGE).
 *
 * There are two kinds of VMAs. A plain VMA has no pfn_mkwrite, as the kernel refuses
 * long-term pins for writing where it exists. The first tracking scan makes it a tracked
 * VMA (som_vma_track()), unless it is page-backed by request or som_mapping_keeps_kind().
 * In a tracked VMA the kernel asks pfn_mkwrite before it makes an entry writable, and
 * vm_page_prot has no write access, so that a clean unit can be mapped read-only. In a
 * plain VMA a tracked unit enters DIRTY mode when it is touched, except that a mapping that
 * keeps its kind can map a clean unit by a read-only 2 MiB entry.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <linux/sched/signal.h>
#include "access.h"
#include "cow.h"
#include "dirty_log.h"
#include "entry.h"
#include "fault.h"
#include "mapping.h"
#include "migrate.h"
#include "plan.h"
#include "pool.h"
#include "pte.h"
#include "pud.h"
#include "range.h"
#include "som_types.h"
#include "trace.h"
#include "unit.h"
#include "zap.h"

/* Test whether mremap has taken pages of a unit: the rest is mapped page by page. */
static inline bool som_map_single(struct vm_area_struct *vma,
				  unsigned long idx)
{
	struct som_mapping *mapping = vma->vm_private_data;

	return som_mapping_may_be_superseded(mapping) &&
	       som_mapping_superseded(mapping,
				      max(som_index_pgoff(idx), mapping->it.start),
				      min(som_index_pgoff(idx + 1) - 1,
					  mapping->it.last));
}

/*
 * Return the entry pointer to check when a page table entry of a private mapping is made:
 * MADV_DONTNEED can discard the unit at any time, as it takes no lock that faults hold.
 */
static void **som_map_entryp(struct som_mapping *mapping, unsigned long idx)
{
	return mapping->private ? som_owner_entryp(mapping, idx) : NULL;
}

/*
 * Return the groups of a tracked unit that get writable entries in a VMA: all groups in a
 * plain VMA, as the kernel makes entries writable there.
 */
static unsigned long som_map_groups(const struct vm_fault *vmf,
				    const struct som_region *region,
				    unsigned int page)
{
	unsigned long groups = som_region_writable(region);

	if (region->mode == SOM_MODE_CLEAN || !som_vma_tracked(vmf->vma))
		return SOM_ALL_GROUPS;
	if (vmf->flags & FAULT_FLAG_WRITE)
		groups |= BIT(page / SOM_GROUP_PAGES);
	return groups;
}

/* Clear @filled of inactive groups: a missing entry there has lost no dirty bit. */
static void som_map_forget(struct som_region *region)
{
	unsigned int group;

	for (group = 0; group < SOM_UNIT_GROUPS; group++) {
		if (!(region->active & BIT(group)))
			region->filled[group] = 0;
	}
}

/*
 * Map a VMA's part of a unit by 4 KiB entries, writable if the VMA is. For a tracked unit
 * new entries are clean, and writable ones record writes from now on. A missing entry that
 * was filled before may have taken a dirty bit with it, so the new one is dirty.
 */
static vm_fault_t som_map_4k(struct vm_fault *vmf, unsigned long idx,
			     som_unit_t unit, struct som_region *region)
{
	struct som_mapping *mapping = som_vma_mapping(vmf->vma);
	struct som_dirty_log *dirty_log = &mapping->owner->dirty_log;
	unsigned int page = vmf->pgoff - som_index_pgoff(idx);
	unsigned int hot = vmf->flags & FAULT_FLAG_WRITE ? page : SOM_UNIT_PAGES;
	unsigned long groups;
	struct som_ptes ptes;
	unsigned int nr;
	int ret;

	som_ptes_init(&ptes, vmf->vma, idx, unit);
	groups = region ? som_map_groups(vmf, region, page) : SOM_ALL_GROUPS;
	if (som_map_single(vmf->vma, idx))
		som_ptes_single(&ptes, vmf->address & PAGE_MASK);
	else if (region && groups & ~som_region_writable(region) &&
		 groups != SOM_ALL_GROUPS)
		/* A group becomes active again: leave the other groups as they are. */
		som_ptes_group(&ptes, page / SOM_GROUP_PAGES);
	nr = (ptes.end - ptes.start) >> PAGE_SHIFT;
	ptes.entryp = som_map_entryp(mapping, idx);
	if (region) {
		som_map_forget(region);
		som_dirty_log_open(dirty_log, idx, region);
	}
	ret = som_ptes_fill(&ptes, groups, hot, region ? region->filled : NULL);
	if (ret && ret != -EEXIST) {
		if (region)
			som_dirty_log_update(dirty_log, idx, region);
		return ret == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_NOPAGE;
	}
	if (!region)
		return VM_FAULT_NOPAGE;

	bitmap_set(region->filled, ptes.page, nr);
	som_region_open(region, groups, hot);
	som_dirty_log_update(dirty_log, idx, region);
	return VM_FAULT_NOPAGE;
}

/* Map a VMA's part of a clean tracked unit by read-only 4 KiB entries. */
static vm_fault_t som_map_4k_readonly(struct vm_fault *vmf, unsigned long idx,
				      som_unit_t unit)
{
	struct som_ptes ptes;

	som_ptes_init(&ptes, vmf->vma, idx, unit);
	if (som_map_single(vmf->vma, idx))
		som_ptes_single(&ptes, vmf->address & PAGE_MASK);
	ptes.entryp = som_map_entryp(som_vma_mapping(vmf->vma), idx);
	if (som_ptes_fill(&ptes, 0, SOM_UNIT_PAGES, NULL) == -ENOMEM)
		return VM_FAULT_OOM;
	return VM_FAULT_NOPAGE;
}

/*
 * Map a VMA's part of a page-backed unit. If it is page-backed by policy and tracked, an
 * entry is writable only if its page is written (track.c). If it is page-backed by request,
 * all its pages count as written.
 */
static vm_fault_t som_map_pages(struct vm_fault *vmf, unsigned long idx,
				som_unit_t unit)
{
	struct som_mapping *mapping = som_vma_mapping(vmf->vma);
	struct som_dirty_log *dirty_log = &mapping->owner->dirty_log;
	unsigned int page = vmf->pgoff - som_index_pgoff(idx);
	unsigned int hot = vmf->flags & FAULT_FLAG_WRITE ? page : SOM_UNIT_PAGES;
	struct som_region *region = som_dirty_log_find(dirty_log, idx);
	struct som_ptes ptes;
	int ret;

	if (PageHWPoison(pfn_to_page(som_unit_pfn(unit) + page)))
		return VM_FAULT_HWPOISON;
	if (region && (region->mode == SOM_MODE_OPEN ||
		       !som_owner_auto_converted(mapping->owner, idx)))
		region = NULL;
	som_ptes_init(&ptes, vmf->vma, idx, unit);
	if (som_map_single(vmf->vma, idx))
		som_ptes_single(&ptes, vmf->address & PAGE_MASK);
	ptes.entryp = som_map_entryp(mapping, idx);
	ptes.paged = region;
	if (region) {
		som_map_forget(region);
		som_dirty_log_open(dirty_log, idx, region);
	}
	ret = som_ptes_fill_pages(&ptes, hot, region ? region->filled : NULL);
	if (region && (!ret || ret == -EEXIST)) {
		bitmap_set(region->filled, ptes.page,
			   (ptes.end - ptes.start) >> PAGE_SHIFT);
		som_region_open(region, SOM_ALL_GROUPS, hot);
	}
	if (region)
		som_dirty_log_update(dirty_log, idx, region);
	return ret == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_NOPAGE;
}

static vm_fault_t som_map_2m(struct vm_fault *vmf, unsigned long idx,
			     som_unit_t unit, bool write)
{
	struct som_mapping *mapping = som_vma_mapping(vmf->vma);
	pmd_t pmd = pmdp_get_lockless(vmf->pmd);

	if (pmd_none(pmd) && som_pmd_insert(vmf, som_unit_pfn(unit), write,
					    som_map_entryp(mapping, idx)))
		return VM_FAULT_NOPAGE;
	pmd = pmdp_get_lockless(vmf->pmd);
	/* Entry of a punched unit that is about to be cleared. */
	if (!pmd_none(pmd) && pmd_pfn(pmd) != som_unit_pfn(unit))
		return VM_FAULT_NOPAGE;
	/* vmf_insert_pfn_pmd() would make it writable in a plain VMA. */
	if (!write)
		return VM_FAULT_NOPAGE;
	/* Nor may that map a discarded unit. */
	if (mapping->private) {
		if (!pmd_none(pmd) && !pmd_write(pmd))
			som_zap(mapping->owner, som_index_pgoff(idx),
				SOM_UNIT_PAGES);
		return VM_FAULT_NOPAGE;
	}
	return vmf_insert_pfn_pmd(vmf, pfn_to_pfn_t(som_unit_pfn(unit)), write);
}

/*
 * Wait a tick for a unit although the caller has a reservation: one is between its former
 * owner and the pool, which takes no longer than a munmap. If the kernel can retry, release
 * mmap_lock, as the former owner may need it to free the unit; get_user_pages() would keep
 * it. Then the VMA may be gone on return.
 */
static vm_fault_t som_fault_wait(struct vm_fault *vmf)
{
	vm_fault_t ret = VM_FAULT_NOPAGE;

	if (vmf->flags & FAULT_FLAG_ALLOW_RETRY) {
		/* With ->pfn_mkwrite the kernel requires NOPAGE, too. */
		ret |= VM_FAULT_RETRY;
		if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
			return ret;
		release_fault_lock(vmf);
	}
	schedule_timeout_killable(1);
	return ret;
}

static vm_fault_t fault_error(struct vm_fault *vmf, long error)
{
	switch (error) {
	case -EAGAIN:
		return som_fault_wait(vmf);
	case -ENOMEM:
		return VM_FAULT_OOM;
	case -EHWPOISON:
		return VM_FAULT_HWPOISON;
	default:
		return VM_FAULT_SIGBUS;
	}
}

/* Test whether a writable VMA can map a unit without write access. */
static bool may_protect(const struct vm_area_struct *vma, bool huge)
{
	return som_vma_tracked(vma) ||
	       (huge && som_mapping_keeps_kind(som_vma_mapping(vma)));
}

/*
 * Test whether a unit that children depend on can be mapped without write access. It cannot
 * where dirty bits record writes, or where the kernel grants write access by itself.
 */
static bool som_map_shared(const struct vm_fault *vmf, unsigned long idx,
			   bool needs_4k)
{
	struct som_owner *owner = som_vma_mapping(vmf->vma)->owner;
	struct som_region *region = som_dirty_log_find(&owner->dirty_log, idx);

	return !(vmf->flags & FAULT_FLAG_WRITE) &&
	       may_protect(vmf->vma, !needs_4k) &&
	       (!region || !region->active) && !som_owner_page_backed(owner, idx);
}

static enum som_pmd_state pmd_state(pmd_t pmd)
{
	if (pmd_none(pmd))
		return SOM_PMD_NONE;
	return pmd_trans_huge(pmd) ? SOM_PMD_HUGE : SOM_PMD_TABLE;
}

/*
 * Map a unit by the plan of som_plan_mapping(). @huge: the VMA allows a 2 MiB entry.
 * @was: level of the unit before the fault.
 */
static vm_fault_t som_map_unit(struct vm_fault *vmf, unsigned long idx,
			       som_unit_t unit, bool huge,
			       enum som_level was)
{
	struct som_mapping *mapping = som_vma_mapping(vmf->vma);
	struct som_owner *owner = mapping->owner;
	struct som_region *region = som_dirty_log_find(&owner->dirty_log, idx);
	struct som_plan_input in = {
		.pmd = pmd_state(pmdp_get_lockless(vmf->pmd)),
		.huge = huge,
		.private = mapping->private,
		.write = vmf->flags & FAULT_FLAG_WRITE,
	};
	enum som_level level = SOM_LEVEL_4K;
	enum som_plan plan;
	vm_fault_t ret;

	/* Another VMA maps the unit by a 1 GiB entry: a unit has one level in all VMAs. */
	if (unlikely(was == SOM_LEVEL_1G)) {
		som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
		was = SOM_LEVEL_NONE;
	}
	if (region && region->mode == SOM_MODE_OPEN)
		region = NULL;
	in.shared = som_owner_shared(owner, idx);
	in.page_backed = som_owner_page_backed(owner, idx);
	in.tracked = region;
	in.clean = region && region->mode == SOM_MODE_CLEAN;
	in.protect = may_protect(vmf->vma, huge && in.pmd != SOM_PMD_TABLE);
	plan = som_plan_mapping(&in);
	switch (plan) {
	case SOM_PLAN_PAGES:
		som_owner_set_level(owner, idx, SOM_LEVEL_4K);
		trace_som_fault(vmf->real_address, unit, PAGE_SIZE, in.write);
		return som_map_pages(vmf, idx, unit);
	case SOM_PLAN_ZAP:
		som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
		return VM_FAULT_NOPAGE;
	case SOM_PLAN_RETRY:
		return VM_FAULT_NOPAGE;
	case SOM_PLAN_SPLIT:
		return VM_FAULT_FALLBACK;
	case SOM_PLAN_2M:
	case SOM_PLAN_2M_READONLY:
		level = SOM_LEVEL_2M;
		ret = som_map_2m(vmf, idx, unit, plan == SOM_PLAN_2M &&
				 vmf->vma->vm_flags & VM_WRITE);
		break;
	case SOM_PLAN_4K_READONLY:
		ret = som_map_4k_readonly(vmf, idx, unit);
		break;
	case SOM_PLAN_4K:
		ret = som_map_4k(vmf, idx, unit, region);
		break;
	}
	if (level != was)
		som_owner_set_level(owner, idx, level);
	trace_som_fault(vmf->real_address, unit,
			level == SOM_LEVEL_2M ? PMD_SIZE : PAGE_SIZE, in.write);
	return ret;
}

/* Predict whether a unit will be mapped by 4 KiB entries. */
static bool som_map_needs_4k(const struct vm_fault *vmf, bool huge)
{
	pmd_t pmd = pmdp_get_lockless(vmf->pmd);

	return !huge || !(pmd_none(pmd) || pmd_trans_huge(pmd));
}

/* Test whether tracking needs 4 KiB entries for a unit that 2 MiB could map. */
static bool som_map_splits(const struct vm_fault *vmf, unsigned long idx)
{
	struct som_owner *owner = som_vma_mapping(vmf->vma)->owner;
	struct som_region *region = som_dirty_log_find(&owner->dirty_log, idx);

	return region && region->mode != SOM_MODE_OPEN &&
	       (region->mode == SOM_MODE_DIRTY ||
		vmf->flags & FAULT_FLAG_WRITE);
}

/*
 * Test whether a populated unit must become page-backed before it is mapped. If it cannot
 * now, or an attempt failed, it is mapped as it is and a worker tries again.
 */
static bool som_map_convert(const struct vm_fault *vmf, unsigned long idx,
			    bool huge, bool needs_4k)
{
	struct som_owner *owner = som_vma_mapping(vmf->vma)->owner;

	if (som_owner_page_backed(owner, idx)) {
		/* No VMA boundary needs 4 KiB entries any more: a worker moves it back. */
		if (huge && !som_dirty_log_tracks(&owner->dirty_log, idx))
			som_collapse_want(owner, idx);
		return false;
	}
	if (!needs_4k && !som_map_splits(vmf, idx))
		return false;
	if (vmf->flags & FAULT_FLAG_ALLOW_RETRY &&
	    !(vmf->flags & (FAULT_FLAG_RETRY_NOWAIT | FAULT_FLAG_TRIED)))
		return true;
	som_collapse_want(owner, idx);
	return false;
}

/*
 * Handle a fault. @order: order of the entry that the kernel asks for. It is PUD_ORDER or
 * PMD_ORDER if there is no page table, or if a read-only 2 MiB entry is written; otherwise,
 * and always if THP is disabled, 0. Order 0 can map 2 MiB: the THP setting is ignored here.
 */
static vm_fault_t som_fault_order(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct som_mapping *mapping = som_vma_mapping(vma);
	unsigned long idx = som_pgoff_index(vmf->pgoff);
	enum som_level level;
	bool huge, needs_4k, convert, dump;
	struct mutex *lock;
	vm_fault_t ret;
	som_unit_t unit;

	if (!mapping)
		return VM_FAULT_SIGSEGV;
	if (som_mapping_superseded(mapping, vmf->pgoff, vmf->pgoff))
		return VM_FAULT_SIGBUS;
	if (order == PUD_ORDER && mapping->map_size == PUD_SIZE &&
	    vma->vm_flags & VM_ACCESS_FLAGS &&
	    !mapping->private && !mapping->page_backed && !som_vma_tracked(vma) &&
	    som_chunk_covered(vma->vm_start, vma->vm_end, vma->vm_pgoff,
			      vmf->address))
		return som_pud_fault(vmf, mapping);
	huge = mapping->map_size >= PMD_SIZE &&
	       som_index_covered(vma->vm_start, vma->vm_end, vma->vm_pgoff,
				 vmf->address) && !som_map_single(vma, idx);
	if (order > PMD_ORDER || (order == PMD_ORDER && !huge))
		return VM_FAULT_FALLBACK;

	lock = som_owner_lock_unit(mapping->owner, idx);
	needs_4k = som_map_needs_4k(vmf, huge);
	level = needs_4k ? SOM_LEVEL_4K : SOM_LEVEL_2M;
	/* A new unit will be tracked and written, so it needs 4 KiB entries. */
	if (unlikely(mapping->auto_convert) && vmf->flags & FAULT_FLAG_WRITE &&
	    som_dirty_log_tracks(&mapping->owner->dirty_log, idx))
		level = SOM_LEVEL_4K;
	unit = som_owner_unit(mapping, idx, &level);
	dump = order == 0 && som_dumping() &&
	       !som_owner_page_backed(mapping->owner, idx);
	if (!som_unit_failed(unit) && !dump && som_owner_shared(mapping->owner, idx) &&
	    !som_map_shared(vmf, idx, needs_4k) && som_cow_break(mapping->owner, idx))
		unit = som_unit_error(-EAGAIN);
	convert = unlikely(mapping->auto_convert) && !som_unit_failed(unit) && !som_dumping() &&
		  som_map_convert(vmf, idx, huge, needs_4k);
	if (!som_unit_failed(unit) && dump)
		ret = som_dump_fault(vmf, mapping->owner, idx, unit);
	else if (!som_unit_failed(unit) && !convert)
		ret = som_map_unit(vmf, idx, unit, huge, level);
	mutex_unlock(lock);
	if (som_unit_failed(unit))
		return fault_error(vmf, som_unit_errno(unit));
	if (convert)
		return som_convert_fault(vmf, mapping->owner, idx);
	if (unlikely(mapping->claimed) && level == SOM_LEVEL_NONE && huge &&
	    ret == VM_FAULT_NOPAGE && pmd_leaf(pmdp_get_lockless(vmf->pmd)))
		som_around(vmf, mapping, idx);
	/* Another thread inserted a 2 MiB entry: use it. */
	if (order == 0 && ret == VM_FAULT_FALLBACK)
		return VM_FAULT_NOPAGE;
	return ret;
}

/**
 * som_vma_huge_fault - Handle ->huge_fault
 * @vmf: the fault
 * @order: order of the requested entry
 * Context: Process context; mmap_lock or the VMA lock is held.
 * Return: as any fault handler.
 */
vm_fault_t som_vma_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	return som_fault_order(vmf, order);
}

/**
 * som_vma_fault - Handle ->fault
 * @vmf: the fault
 * Context: as som_vma_huge_fault().
 * Return: as any fault handler.
 */
vm_fault_t som_vma_fault(struct vm_fault *vmf)
{
	return som_fault_order(vmf, 0);
}

/**
 * som_vma_pfn_mkwrite - Handle ->pfn_mkwrite
 * @vmf: write to a read-only 4 KiB entry of a writable VMA
 * Context: as som_vma_huge_fault().
 * Return: as any fault handler.
 */
vm_fault_t som_vma_pfn_mkwrite(struct vm_fault *vmf)
{
	struct som_mapping *mapping = som_vma_mapping(vmf->vma);
	unsigned long idx = som_pgoff_index(vmf->pgoff);
	vm_fault_t ret = VM_FAULT_NOPAGE;
	struct som_region *region;
	struct mutex *lock;
	bool again = false;
	som_unit_t unit;

	if (!mapping)
		return VM_FAULT_SIGSEGV;
	lock = som_owner_lock_unit(mapping->owner, idx);
	unit = som_owner_lookup(mapping->owner, idx);
	region = som_dirty_log_find(&mapping->owner->dirty_log, idx);
	if (region && region->mode == SOM_MODE_OPEN)
		region = NULL;
	/*
	 * Make the entry writable here, under fault_lock. The kernel would do so later,
	 * when a scan may have cleaned the unit. If there is no unit, it was punched and
	 * the entry is about to be cleared. If it has become page-backed, the entry is
	 * gone.
	 */
	if (som_unit_failed(unit) || som_owner_page_backed(mapping->owner, idx))
		goto out;
	if (som_pool_poisoned(unit)) {
		ret = VM_FAULT_HWPOISON;
		goto out;
	}
	if (som_owner_shared(mapping->owner, idx) &&
	    som_cow_break(mapping->owner, idx))
		again = true;
	else
		ret = som_map_4k(vmf, idx, unit, region);
out:
	mutex_unlock(lock);
	return again ? som_fault_wait(vmf) : ret;
}

/**
 * som_vma_page_mkwrite - Handle ->page_mkwrite
 * @vmf: write to a read-only entry of a page-backed unit in a writable VMA
 *
 * Makes the entry writable itself, as the kernel would take the page for one of a file.
 * Context: as som_vma_huge_fault().
 * Return: as any fault handler.
 */
vm_fault_t som_vma_page_mkwrite(struct vm_fault *vmf)
{
	struct som_mapping *mapping = som_vma_mapping(vmf->vma);
	unsigned long idx = som_pgoff_index(vmf->pgoff);
	vm_fault_t ret = VM_FAULT_NOPAGE;
	struct mutex *lock;
	som_unit_t unit;

	if (!mapping)
		return VM_FAULT_SIGSEGV;
	lock = som_owner_lock_unit(mapping->owner, idx);
	unit = som_owner_lookup(mapping->owner, idx);
	/* If it is no longer page-backed, the entry is gone. */
	if (!som_unit_failed(unit) && som_owner_page_backed(mapping->owner, idx))
		ret = som_map_pages(vmf, idx, unit);
	mutex_unlock(lock);
	return ret;
}

/**
 * som_vma_map_pages - Handle ->map_pages
 * @vmf: the fault
 * @start_pgoff: unused
 * @end_pgoff: unused
 *
 * Maps nothing. Its presence lets the kernel call som_vma_fault() and som_vma_pfn_mkwrite()
 * under the VMA lock.
 * Return: 0.
 */
vm_fault_t som_vma_map_pages(struct vm_fault *vmf, pgoff_t start_pgoff,
			     pgoff_t end_pgoff)
{
	return 0;
}

/* Test whether the page at a page offset, or its unit, has failed. */
static bool access_poisoned(struct som_owner *owner, unsigned long idx,
			    som_unit_t unit, pgoff_t pgoff)
{
	if (unlikely(som_owner_page_backed(owner, idx)))
		return PageHWPoison(pfn_to_page(som_unit_pfn(unit) + pgoff -
						som_index_pgoff(idx)));
	return som_pool_poisoned(unit);
}

/**
 * som_vma_access - Handle ->access: ptrace and /proc/PID/mem where GUP fails
 * @vma: VMA with 4 KiB entries
 * @addr: address
 * @buf: source or destination
 * @len: bytes, cut at the end of the page
 * @write: true to write to the VMA
 * Context: Process context; mmap_lock is held.
 * Return: bytes copied, or -EFAULT.
 */
int som_vma_access(struct vm_area_struct *vma, unsigned long addr, void *buf,
		   int len, int write)
{
	struct som_mapping *mapping = som_vma_mapping(vma);
	unsigned long pgoff = linear_page_index(vma, addr);
	unsigned long idx = som_pgoff_index(pgoff);
	enum som_level level = SOM_LEVEL_NONE;
	struct mutex *lock;
	void *mem;
	som_unit_t unit;

	if (!mapping || len < 0 || som_mapping_superseded(mapping, pgoff, pgoff) ||
	    !som_access_allowed(vma, mapping->private, write))
		return -EFAULT;
	len = min_t(unsigned long, len, PAGE_SIZE - offset_in_page(addr));

	lock = som_owner_lock_unit(mapping->owner, idx);
	unit = write ? som_owner_unit(mapping, idx, &level) :
		       som_owner_lookup(mapping->owner, idx);
	if (!som_unit_failed(unit) && write && som_owner_shared(mapping->owner, idx) &&
	    som_cow_break(mapping->owner, idx))
		unit = som_unit_error(-EAGAIN);
	if (!som_unit_failed(unit) && access_poisoned(mapping->owner, idx, unit, pgoff))
		unit = som_unit_error(-EHWPOISON);
	if (!som_unit_failed(unit)) {
		mem = som_unit_address(unit) +
		      ((pgoff - som_index_pgoff(idx)) << PAGE_SHIFT) +
		      offset_in_page(addr);
		if (write) {
			memcpy(mem, buf, len);
			som_dirty_log_wrote(&mapping->owner->dirty_log, idx,
					    pgoff - som_index_pgoff(idx), 1);
		} else {
			memcpy(buf, mem, len);
		}
	} else if (!write && unit == som_unit_error(-ENOENT)) {
		memset(buf, 0, len);
	} else {
		len = -EFAULT;
	}
	mutex_unlock(lock);
	return len;
}
