// SPDX-License-Identifier: GPL-2.0
/*
 * fork, of mappings whose file has SOM_POLICY_FORK_COPY: the child inherits notes of
 * what the parent has (cow.c).
 *
 * vm_ops->open is the only call that a driver gets, for each VMA of the child's, in
 * the parent, with both mmap_locks held for write and the parent's VMA locked. The
 * child does not run yet, and nobody finds its address space but by rmap. Behind it
 * the kernel takes a reference to vm_file and links the VMA, and copies page
 * table entries unless VM_WIPEONFORK is set, which is set therefore.
 *
 * What happens, for each VMA: the child's owner is made, if this is the first, and a
 * file for VMAs of the same inode; a mapping with the same page offsets; a reservation; a note
 * for each unit of the parent's, which becomes shared. Then the parent's entries are
 * taken away, and its VMA becomes one that asks before an entry becomes
 * writable. A device may write to what is pinned: that is copied at once.
 *
 * If open() cannot do all of this, fork fails (compat_fork.h).
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
 * som_fork_fail - have fork fail
 * @vma: a VMA of the child's
 *
 * Context: vm_ops->open in fork.
 */
void som_fork_fail(struct vm_area_struct *vma)
{
	som_mm_refuse(vma->vm_mm);
}

/* A child's owner, for the first VMA it inherits, or as it is. */
static struct som_owner *child_owner(struct mm_struct *mm,
				     struct som_owner *parent)
{
	struct som_owner *owner = som_inode_get_owner(mm);

	if (!IS_ERR(owner))
		som_account_lower(owner->account, parent->account->max);
	return owner;
}

/* A device may write to some of it, and is not seen: the child's copies are made now. */
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
	/* From the beginning, as the first that the child does may be MADV_DONTNEED. */
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
 * som_fork_vma - a child inherits a VMA
 * @vma: the child's, a copy of its parent's
 * @from: mapping of the parent's
 *
 * Context: vm_ops->open in fork.
 * Return: 0 or -errno, and nothing is inherited.
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
