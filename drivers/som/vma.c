// SPDX-License-Identifier: GPL-2.0
/*
 * The operations of a som VMA: the only place that makes page table entries.
 *
 * A VMA is VM_MIXEDMAP with special entries: no struct page is touched, GUP
 * works on 2 MiB entries, and such VMAs never merge. vm_private_data is the
 * VMA's span (owner.c), or NULL in a child that inherited the VMA although it
 * should not have (MADV_DOFORK).
 *
 * A fault holds mmap_lock or the VMA lock for read, so the VMA and its span
 * stay; and the fault_lock of its unit index from the look-up of the unit until
 * its entry is in the page table, so som_owner_punch() finds it there.
 *
 * The page table may hold, for a moment, an entry of a unit that was punched
 * out and is about to be cleared. A fault that meets one changes nothing and
 * is tried again (VM_FAULT_NOPAGE).
 *
 * A VMA is closed after its entries were cleared and the TLB was flushed: the
 * kernel calls ->close from remove_vma(), behind tlb_finish_mmu(), in munmap,
 * exit and MAP_FIXED alike.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <linux/sched/signal.h>
#include "owner.h"
#include "pool.h"
#include "range.h"
#include "trace.h"
#include "vma.h"

static unsigned long unit_pfn(unsigned long unit)
{
	return unit << SOM_UNIT_PAGE_SHIFT;
}

/* Last page offset of a VMA. */
static unsigned long vma_last_pgoff(struct vm_area_struct *vma)
{
	return vma->vm_pgoff + vma_pages(vma) - 1;
}

/*
 * A VMA was duplicated. Called for the new one, before it is in the address
 * space: by a split, where the old one covers its addresses; by mremap, where
 * nothing does; by fork in the child, if the parent said MADV_DOFORK.
 */
static void som_vma_open(struct vm_area_struct *vma)
{
	struct som_span *span = vma->vm_private_data;
	struct vm_area_struct *old;

	if (!span)
		return;
	if (vma->vm_mm != span->owner->mm) {
		/* Nothing is inherited: no entries to copy, no memory. */
		vma->vm_private_data = NULL;
		vm_flags_set(vma, VM_DONTCOPY | VM_WIPEONFORK);
		return;
	}
	old = vma_lookup(vma->vm_mm, vma->vm_start);
	vma->vm_private_data = som_span_dup(span, vma->vm_pgoff,
					    vma_last_pgoff(vma),
					    old && old->vm_private_data == span);
}

static void som_vma_close(struct vm_area_struct *vma)
{
	struct som_span *span = vma->vm_private_data;

	if (span)
		som_span_unmap(span);
	vma->vm_private_data = NULL;
}

/* mprotect gives access to memory that was promised to nobody. */
static int som_vma_mprotect(struct vm_area_struct *vma, unsigned long start,
			    unsigned long end, unsigned long newflags)
{
	struct som_span *span = vma->vm_private_data;
	unsigned long first = linear_page_index(vma, start);

	if (!span || span->promised || !(newflags & VM_ACCESS_FLAGS) ||
	    vma->vm_flags & VM_NORESERVE)
		return 0;
	return som_span_promise(span, first,
				first + ((end - start) >> PAGE_SHIFT) - 1);
}

/* mremap has moved page table entries to this new, possibly longer, VMA. */
static int som_vma_mremap(struct vm_area_struct *vma)
{
	struct som_span *span = vma->vm_private_data;

	if (!span)
		return 0;
	if (vma_last_pgoff(vma) >= span->limit)
		return -ENOMEM;
	if (span->promised || !(vma->vm_flags & VM_ACCESS_FLAGS) ||
	    vma->vm_flags & VM_NORESERVE)
		return 0;
	return som_span_promise(span, vma->vm_pgoff, vma_last_pgoff(vma));
}

struct som_fill {
	struct mm_struct *mm;
	unsigned long addr;	/* of the first page */
	unsigned long pfn;	/* of the first page */
	pgprot_t prot;
	bool write;
};

static int som_fill_pte(pte_t *pte, unsigned long addr, void *data)
{
	const struct som_fill *fill = data;
	pte_t entry;

	if (!pte_none(ptep_get(pte)))
		return 0;
	entry = pte_mkspecial(pfn_pte(fill->pfn +
				      ((addr - fill->addr) >> PAGE_SHIFT),
				      fill->prot));
	if (fill->write)
		entry = pte_mkyoung(pte_mkdirty(entry));
	set_pte_at(fill->mm, addr, pte, entry);
	return 0;
}

/* Map what the VMA has of a unit by 4 KiB entries, in one walk. */
static vm_fault_t som_map_4k(struct vm_fault *vmf, unsigned long idx,
			     unsigned long unit)
{
	struct vm_area_struct *vma = vmf->vma;
	struct som_fill fill = {
		.mm = vma->vm_mm,
		.prot = vma->vm_page_prot,
		.write = vma->vm_flags & VM_WRITE,
	};
	unsigned long end;

	som_unit_clip(vma->vm_start, vma->vm_end, vma->vm_pgoff, idx,
		      &fill.addr, &end);
	fill.pfn = unit_pfn(unit) +
		   (linear_page_index(vma, fill.addr) - som_unit_pgoff(idx));
	if (apply_to_page_range(vma->vm_mm, fill.addr, end - fill.addr,
				som_fill_pte, &fill))
		return VM_FAULT_OOM;
	return VM_FAULT_NOPAGE;
}

static vm_fault_t som_map_2m(struct vm_fault *vmf, unsigned long unit)
{
	pmd_t pmd = pmdp_get_lockless(vmf->pmd);

	/* An entry of a unit that was punched out, about to be cleared. */
	if (!pmd_none(pmd) && pmd_pfn(pmd) != unit_pfn(unit))
		return VM_FAULT_NOPAGE;
	return vmf_insert_pfn_pmd(vmf, pfn_to_pfn_t(unit_pfn(unit)),
				  vmf->vma->vm_flags & VM_WRITE);
}

/*
 * No unit for somebody with a promise: one is between its former owner and the
 * pool. That takes no longer than a munmap; come back after a tick.
 */
static vm_fault_t som_fault_wait(void)
{
	schedule_timeout_killable(1);
	return VM_FAULT_NOPAGE;
}

static vm_fault_t som_unit_error(long error)
{
	switch (error) {
	case -EAGAIN:
		return som_fault_wait();
	case -ENOMEM:
		return VM_FAULT_OOM;
	default:
		return VM_FAULT_SIGBUS;
	}
}

/*
 * The one fault handler. @order is what the kernel asks for: PMD_ORDER where
 * there is no page table yet (or a 2 MiB entry is to become writable), 0 where
 * there is, or where THP is switched off; that switch does not matter here.
 */
static vm_fault_t som_fault_order(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct som_span *span = vma->vm_private_data;
	unsigned long idx = som_pgoff_unit(vmf->pgoff);
	enum som_level level;
	struct mutex *lock;
	vm_fault_t ret;
	bool huge;
	long unit;

	if (!span)
		return VM_FAULT_SIGSEGV;
	huge = som_unit_covered(vma->vm_start, vma->vm_end, vma->vm_pgoff,
				vmf->address);
	if (order > PMD_ORDER || (order == PMD_ORDER && !huge))
		return VM_FAULT_FALLBACK;

	lock = som_owner_lock_unit(span->owner, idx);
	unit = som_owner_unit(span, idx);
	if (unit < 0) {
		mutex_unlock(lock);
		return som_unit_error(unit);
	}
	huge = huge && (pmd_none(*vmf->pmd) || pmd_trans_huge(*vmf->pmd));
	if (huge) {
		level = SOM_LEVEL_2M;
		ret = som_map_2m(vmf, unit);
	} else {
		level = SOM_LEVEL_4K;
		ret = som_map_4k(vmf, idx, unit);
	}
	som_owner_set_level(span->owner, idx, level);
	mutex_unlock(lock);
	trace_som_fault(vmf->real_address, unit, huge ? PMD_SIZE : PAGE_SIZE,
			vmf->flags & FAULT_FLAG_WRITE);
	return ret;
}

static vm_fault_t som_vma_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	return som_fault_order(vmf, order);
}

static vm_fault_t som_vma_fault(struct vm_fault *vmf)
{
	return som_fault_order(vmf, 0);
}

/*
 * ptrace and /proc/PID/mem, where GUP does not work: 4 KiB entries. @addr to
 * @addr + @len is inside a page.
 */
static int som_vma_access(struct vm_area_struct *vma, unsigned long addr,
			  void *buf, int len, int write)
{
	struct som_span *span = vma->vm_private_data;
	unsigned long pgoff = linear_page_index(vma, addr);
	unsigned long idx = som_pgoff_unit(pgoff);
	struct mutex *lock;
	void *mem;
	long unit;

	if (!span || len < 0)
		return -EFAULT;
	len = min_t(unsigned long, len, PAGE_SIZE - offset_in_page(addr));

	lock = som_owner_lock_unit(span->owner, idx);
	unit = write ? som_owner_unit(span, idx) :
		       som_owner_peek(span->owner, idx);
	if (unit >= 0) {
		mem = som_unit_address(unit) +
		      ((pgoff - som_unit_pgoff(idx)) << PAGE_SHIFT) +
		      offset_in_page(addr);
		if (write)
			memcpy(mem, buf, len);
		else
			memcpy(buf, mem, len);
	} else if (!write) {
		memset(buf, 0, len);
	} else {
		len = -EFAULT;
	}
	mutex_unlock(lock);
	return len;
}

static const struct vm_operations_struct som_vm_ops = {
	.open = som_vma_open,
	.close = som_vma_close,
	.mprotect = som_vma_mprotect,
	.mremap = som_vma_mremap,
	.fault = som_vma_fault,
	.huge_fault = som_vma_huge_fault,
	.access = som_vma_access,
};

/**
 * som_vma_map - make a VMA a som mapping
 * @vma: new, of a shared mapping
 * @owner: of its address space
 *
 * Context: Process context; the caller has mmap_lock for write.
 * Return: 0, or -ENOMEM and nothing is changed.
 */
int som_vma_map(struct vm_area_struct *vma, struct som_owner *owner)
{
	struct som_span *span;
	bool promise;

	promise = vma->vm_flags & VM_ACCESS_FLAGS &&
		  !(vma->vm_flags & VM_NORESERVE);
	span = som_span_map(owner, vma->vm_start, vma->vm_end - vma->vm_start,
			    promise);
	if (IS_ERR(span))
		return PTR_ERR(span);

	vma_set_file(vma, owner->file);
	vma->vm_pgoff = span->it.start;
	vma->vm_private_data = span;
	vma->vm_ops = &som_vm_ops;
	/* VM_HUGEPAGE: 2 MiB entries with THP set to "madvise", too. */
	vm_flags_set(vma, VM_MIXEDMAP | VM_DONTCOPY | VM_HUGEPAGE);
	return 0;
}
