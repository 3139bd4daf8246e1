// SPDX-License-Identifier: GPL-2.0
/*
 * fork of mappings whose file has SOM_POLICY_FORK_COPY: the child inherits deferred copies
 * of the parent's memory (cow.c).
 *
 * Only vm_ops->open is called, for each VMA of the child, in the parent. Both mmap_locks
 * are held for write and the parent's VMA is locked. The child does not run yet; its
 * address space can be found by rmap only. Afterwards the kernel takes a reference to
 * vm_file and links the VMA. It would also copy page table entries, so VM_WIPEONFORK is
 * set.
 *
 * For each VMA:
 * 1. Create the child's owner, if this is its first VMA.
 * 2. Create a file for the child's VMAs of the same inode, a mapping with the same page
 *    offsets, and a reservation.
 * 3. Add a deferred copy for each unit of the parent, which becomes shared.
 * 4. Make the kernel ask before it makes an entry of the parent writable (som_vma_ask()),
 *    and zap the parent's entries.
 * 5. Copy page-backed and pinned units at once: a device may write to them unseen.
 *
 * If any step fails, fork fails (compat_fork.h).
 */
#include <linux/file.h>
#include <linux/mm.h>
#include "account.h"
#include "compat_fork.h"
#include "cow.h"
#include "discard.h"
#include "entry.h"
#include "fork.h"
#include "inode.h"
#include "map.h"
#include "range.h"
#include "som_types.h"
#include "tables.h"
#include "vma_kind.h"
#include "zap.h"

/**
 * som_fork_fail - Make fork fail
 * @vma: VMA of the child
 * Context: vm_ops->open in fork.
 */
void som_fork_fail(struct vm_area_struct *vma)
{
	som_mm_refuse(vma->vm_mm);
}

/* Return the child's owner; create it for the first inherited VMA. */
static struct som_owner *child_owner(struct mm_struct *mm,
				     struct som_owner *parent)
{
	struct som_owner *owner = som_inode_get_owner(mm);

	if (!IS_ERR(owner))
		som_account_lower(owner->account, parent->account->max);
	return owner;
}

/* Copy page-backed and pinned units now: a device may write to them unseen. */
static int copy_pinned(struct som_owner *parent, struct som_owner *owner,
		       unsigned long first, unsigned long last)
{
	unsigned long idx;
	void *entry;
	int ret;

	som_tables_for_each(&parent->tables, idx, entry, first, last) {
		if (!som_entry_test(entry, SOM_ENTRY_PAGE_BACKED) &&
		    !som_entry_pinned(entry))
			continue;
		ret = som_cow_pull(owner, idx);
		if (ret)
			return ret;
	}
	return 0;
}

static int fork_inherit(struct vm_area_struct *vma, struct som_mapping *from,
			struct som_owner *owner)
{
	struct som_owner *parent = from->owner;
	unsigned long first, last;
	struct som_mapping *mapping;
	struct file *file;
	int ret;

	file = som_inode_inherit(owner, parent, vma->vm_file);
	if (IS_ERR(file))
		return PTR_ERR(file);
	/* The child's first call may be MADV_DONTNEED. */
	ret = from->private ? som_private_start(owner) : 0;
	if (ret)
		goto out_file;
	mapping = som_mapping_inherit(from, owner);
	if (IS_ERR(mapping)) {
		ret = PTR_ERR(mapping);
		goto out_file;
	}
	mapping->file = file;

	first = som_pgoff_index(from->it.start);
	last = som_pgoff_index(from->it.last);
	ret = som_cow_defer(from, owner);
	if (!ret) {
		som_vma_ask(from->vma);
		som_zap(parent, from->it.start,
			from->it.last - from->it.start + 1);
		ret = copy_pinned(parent, owner, first, last);
	}
	if (ret) {
		som_mapping_unmap(mapping);
		return ret;
	}
	mapping->vma = vma;
	vma->vm_private_data = mapping;
	vma->vm_file = file;
	return 0;

out_file:
	fput(file);
	return ret;
}

/**
 * som_fork_vma - Inherit a VMA
 * @vma: VMA of the child, a copy of its parent's
 * @from: mapping of the parent
 * Context: vm_ops->open in fork.
 * Return: 0; or -errno, and nothing is inherited.
 */
int som_fork_vma(struct vm_area_struct *vma, struct som_mapping *from)
{
	struct som_owner *owner;
	int ret;

	if (som_mm_refused(vma->vm_mm))
		return -ENOMEM;
	owner = child_owner(vma->vm_mm, from->owner);
	if (IS_ERR(owner))
		return PTR_ERR(owner);
	ret = fork_inherit(vma, from, owner);
	som_inode_put_owner(owner);
	return ret;
}
