// SPDX-License-Identifier: GPL-2.0
/*
 * The pseudo file of an owner, and the look-up of owners.
 *
 * The file is vm_file of every mapping of its owner:
 *  - It gives the mappings their own address_space, through which page table entries are
 *    found and cleared (unmap_mapping_range).
 *  - It receives madvise(MADV_REMOVE) as fallocate(PUNCH_HOLE), which the kernel refuses
 *    for a character device.
 *  - Its references keep the owner alive. Files of /dev/som that were mapped hold one, too,
 *    so that repeated map and unmap does not allocate an owner each time.
 *
 * It has no descriptor: it cannot be opened (/proc/PID/map_files), read, written or mapped.
 *
 * The file system is mounted only while /dev/som is open or an owner exists: a permanent
 * mount would pin the module.
 *
 * som_owners_lock guards the table, the list, and the step from "last reference dropped" to
 * "not in the table". It is the innermost lock here: owner->lock is not taken under it, and
 * nothing is allocated.
 */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <linux/hashtable.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "compat.h"
#include "discard.h"
#include "inode.h"
#include "mapping.h"
#include "owner.h"
#include "punch.h"
#include "range.h"
#include "remap.h"
#include "som_types.h"

/* Owners and walks examined per hold of som_owners_lock. */
#define SOM_WALK_OWNERS	64

#define SOM_FS_MAGIC	0x534f4d31	/* "SOM1" */

static DEFINE_HASHTABLE(som_owners, 8);
/* All owners in the order of their insertion, and walks among them. */
static LIST_HEAD(som_owner_list);
/* The highest owner number inserted so far. */
static unsigned long som_last_owner;
static DEFINE_MUTEX(som_owners_lock);

static struct vfsmount *som_mnt;
static int som_mnt_count;

static char *som_dname(struct dentry *dentry, char *buffer, int buflen)
{
	static const char name[] = "/dev/som";

	if (buflen < sizeof(name))
		return ERR_PTR(-ENAMETOOLONG);
	return memcpy(buffer + buflen - sizeof(name), name, sizeof(name));
}

static const struct dentry_operations som_dentry_operations = {
	.d_dname = som_dname,
};

static int som_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, SOM_FS_MAGIC);

	if (!ctx)
		return -ENOMEM;
	ctx->dops = &som_dentry_operations;
	return 0;
}

static struct file_system_type som_fs_type = {
	.owner = THIS_MODULE,
	.name = "somfs",
	.init_fs_context = som_init_fs_context,
	.kill_sb = kill_anon_super,
};

/**
 * som_inode_pin - Keep the file system mounted
 *
 * Called when /dev/som is opened, so that mmap never mounts under mmap_lock.
 * Context: Process context.
 * Return: 0 or -errno.
 */
int som_inode_pin(void)
{
	return simple_pin_fs(&som_fs_type, &som_mnt, &som_mnt_count);
}

/**
 * som_inode_unpin - Undo som_inode_pin()
 * Context: Process context.
 */
void som_inode_unpin(void)
{
	simple_release_fs(&som_mnt, &som_mnt_count);
}

static int som_inode_open(struct inode *inode, struct file *file)
{
	return -ENXIO;
}

/* Handle madvise(MADV_REMOVE), the only caller: the kernel passes vm_file. */
static long som_inode_fallocate(struct file *file, int mode, loff_t offset,
				loff_t len)
{
	struct som_owner *owner = file->private_data;
	unsigned long first, last, given;

	if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	/* A child's mapping after MADV_DOFORK: not the child's memory. */
	if (current->mm != owner->mm)
		return -EACCES;
	if (!PAGE_ALIGNED(offset) || !PAGE_ALIGNED(len))
		return -EINVAL;

	first = offset >> PAGE_SHIFT;
	last = ((offset + len) >> PAGE_SHIFT) - 1;
	/* mremap may have superseded the mapping. */
	if (som_owner_superseded(owner, first, last))
		return -EINVAL;
	return som_owner_punch(owner, first, last, &given);
}

static void inode_free_owner(struct som_owner *owner)
{
	cancel_delayed_work_sync(&owner->discard_work);
	cancel_delayed_work_sync(&owner->collapse_work);
	som_remap_destroy(owner);
	som_owner_destroy(owner);
	som_private_free_owner(owner);
}

static int som_inode_release(struct inode *inode, struct file *file)
{
	struct som_owner *owner = file->private_data;

	mutex_lock(&som_owners_lock);
	hash_del(&owner->hash);
	list_del_init(&owner->listed.list);
	mutex_unlock(&som_owners_lock);
	inode_free_owner(owner);
	som_inode_unpin();
	return 0;
}

static const struct file_operations som_inode_fops = {
	.owner = THIS_MODULE,
	.open = som_inode_open,
	.release = som_inode_release,
	.fallocate = som_inode_fallocate,
	.fsync = noop_fsync,
	.get_unmapped_area = som_get_unmapped_area,
};

static struct inode *make_inode(void)
{
	struct inode *inode = alloc_anon_inode(som_mnt->mnt_sb);

	if (IS_ERR(inode))
		return inode;
	/* vfs_fallocate() requires a regular file. */
	inode->i_mode |= S_IFREG;
	/* Makes core dumps treat it as shared anonymous memory, not as a file. */
	clear_nlink(inode);
	inode->i_fop = &som_inode_fops;
	return inode;
}

/**
 * som_inode_file - Create a pseudo file, with a module reference and a mount
 * @data: private_data of the file
 * @inode: existing inode, for which a reference is taken; or NULL for a new one
 * @fops: operations; release calls som_inode_unpin()
 * Context: Process context.
 * Return: the file, or ERR_PTR(-errno).
 */
struct file *som_inode_file(void *data, struct inode *inode,
			    const struct file_operations *fops)
{
	struct file *file;
	int ret;

	if (!try_module_get(THIS_MODULE))
		return ERR_PTR(-ENODEV);
	ret = som_inode_pin();
	if (ret)
		goto out_module;
	if (inode)
		ihold(inode);
	else
		inode = make_inode();
	if (IS_ERR(inode)) {
		ret = PTR_ERR(inode);
		goto out_mnt;
	}
	file = alloc_file_pseudo(inode, som_mnt, "som", O_RDWR, fops);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		iput(inode);
		goto out_mnt;
	}
	file->private_data = data;
	return file;

out_mnt:
	som_inode_unpin();
out_module:
	module_put(THIS_MODULE);
	return ERR_PTR(ret);
}

static struct som_owner *inode_find_owner(struct mm_struct *mm)
{
	struct som_owner *owner;

	lockdep_assert_held(&som_owners_lock);

	hash_for_each_possible(som_owners, owner, hash, (unsigned long)mm) {
		if (owner->mm == mm && som_file_tryget(owner->file))
			return owner;
	}
	return NULL;
}

/**
 * som_inode_find_owner - Return the owner of an address space
 * @mm: address space
 * Context: Process context; takes som_owners_lock.
 * Return: the owner, for som_inode_put_owner(); or NULL.
 */
struct som_owner *som_inode_find_owner(struct mm_struct *mm)
{
	struct som_owner *owner;

	mutex_lock(&som_owners_lock);
	owner = inode_find_owner(mm);
	mutex_unlock(&som_owners_lock);
	return owner;
}

/**
 * som_owner_walk_begin - Begin a walk of all owners
 * @walk: walk
 * Context: Process context; takes som_owners_lock.
 */
void som_owner_walk_begin(struct som_owner_walk *walk)
{
	walk->at.owner = NULL;
	walk->owner = NULL;
	mutex_lock(&som_owners_lock);
	walk->last = som_last_owner;
	list_add(&walk->at.list, &som_owner_list);
	mutex_unlock(&som_owners_lock);
}

/* Advance a walk to the next owner. *more: false at the end. */
static struct som_owner *walk_step(struct som_owner_walk *walk, bool *more)
{
	struct som_listed *next;
	unsigned int seen;

	lockdep_assert_held(&som_owners_lock);

	for (seen = 0; seen < SOM_WALK_OWNERS; seen++) {
		*more = !list_is_last(&walk->at.list, &som_owner_list);
		if (!*more)
			return NULL;
		next = list_next_entry(&walk->at, list);
		/* Later entries were inserted after the walk began. */
		*more = !next->owner || next->owner->id <= walk->last;
		if (!*more)
			return NULL;
		list_move(&walk->at.list, &next->list);
		if (next->owner && som_file_tryget(next->owner->file))
			return next->owner;
	}
	return NULL;
}

/**
 * som_owner_walk_next - Return the next owner
 * @walk: walk
 *
 * Returns each owner that existed when the walk began, and still does, once.
 * Context: Process context; takes som_owners_lock, for some owners at a time.
 * Return: the owner, valid until the next call; NULL at the end.
 */
struct som_owner *som_owner_walk_next(struct som_owner_walk *walk)
{
	struct som_owner *owner;
	bool more;

	if (walk->owner)
		som_inode_put_owner(walk->owner);
	do {
		mutex_lock(&som_owners_lock);
		owner = walk_step(walk, &more);
		mutex_unlock(&som_owners_lock);
		cond_resched();
	} while (!owner && more);
	walk->owner = owner;
	return owner;
}

/**
 * som_owner_walk_end - End a walk
 * @walk: walk, at any position
 * Context: Process context; takes som_owners_lock.
 */
void som_owner_walk_end(struct som_owner_walk *walk)
{
	if (walk->owner)
		som_inode_put_owner(walk->owner);
	mutex_lock(&som_owners_lock);
	list_del(&walk->at.list);
	mutex_unlock(&som_owners_lock);
}

/* Create an owner outside the table, with one reference for the caller. */
static struct som_owner *make_owner(struct mm_struct *mm)
{
	struct som_owner *owner = som_owner_alloc(mm);
	struct file *file;

	if (!owner)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&owner->listed.list);
	owner->listed.owner = owner;
	som_private_new(owner);
	file = som_inode_file(owner, NULL, &som_inode_fops);
	if (IS_ERR(file)) {
		inode_free_owner(owner);
		return ERR_CAST(file);
	}
	owner->file = file;
	return owner;
}

/**
 * som_inode_get_owner - Return the owner of an address space; create it if absent
 * @mm: address space
 *
 * Creates it without som_owners_lock, as others must not wait for reclaim. If two tasks
 * race, the second one uses the owner of the first.
 * Context: Process context; takes som_owners_lock.
 * Return: the owner, for som_inode_put_owner(); or ERR_PTR(-errno).
 */
struct som_owner *som_inode_get_owner(struct mm_struct *mm)
{
	struct som_owner *owner = som_inode_find_owner(mm), *other;

	if (owner)
		return owner;
	owner = make_owner(mm);
	if (IS_ERR(owner))
		return owner;
	mutex_lock(&som_owners_lock);
	other = inode_find_owner(mm);
	if (!other) {
		hash_add(som_owners, &owner->hash, (unsigned long)mm);
		list_add_tail(&owner->listed.list, &som_owner_list);
		som_last_owner = max(som_last_owner, owner->id);
	}
	mutex_unlock(&som_owners_lock);
	if (!other)
		return owner;
	som_inode_put_owner(owner);
	return other;
}

/**
 * som_inode_put_owner - Drop a reference to an owner
 * @owner: from som_inode_get_owner() or som_inode_find_owner()
 * Context: Process context.
 */
void som_inode_put_owner(struct som_owner *owner)
{
	fput(owner->file);
}

static int som_inherited_release(struct inode *inode, struct file *file)
{
	struct som_owner *owner = file->private_data;

	som_inode_put_owner(owner);
	som_inode_unpin();
	return 0;
}

static const struct file_operations som_inherited_fops = {
	.owner = THIS_MODULE,
	.open = som_inode_open,
	.release = som_inherited_release,
	.fallocate = som_inode_fallocate,
	.fsync = noop_fsync,
	.get_unmapped_area = som_get_unmapped_area,
};

/* Return the first page offset of an inode that does not belong to an owner. */
static unsigned long inode_limit(struct som_owner *owner, struct inode *inode)
{
	struct som_inherited_file *inherited;

	list_for_each_entry(inherited, &owner->inherited_files, list) {
		if (inherited->inode == inode)
			return inherited->limit;
	}
	return owner->cursor;
}

/**
 * som_inode_inherit - Create vm_file for mappings that a child inherits
 * @owner: child, whose process does not run yet
 * @parent: parent
 * @from: vm_file of the parent's mapping
 *
 * The file has the inode of the parent's file, because the kernel links the child's VMA
 * next to the parent's in one address_space. Mappings that the child creates itself have
 * its own file.
 * Context: Process context; mmap_lock of both address spaces is held for write.
 * Return: the file, with a reference, and one to the child's owner; or ERR_PTR(-errno).
 */
struct file *som_inode_inherit(struct som_owner *owner,
			       struct som_owner *parent, struct file *from)
{
	struct inode *inode = file_inode(from);
	struct som_inherited_file *inherited;
	struct file *file;

	list_for_each_entry(inherited, &owner->inherited_files, list) {
		if (inherited->inode == inode)
			return get_file(inherited->file);
	}
	inherited = kzalloc(sizeof(*inherited), GFP_KERNEL_ACCOUNT);
	if (!inherited)
		return ERR_PTR(-ENOMEM);
	file = som_inode_file(owner, inode, &som_inherited_fops);
	if (IS_ERR(file)) {
		kfree(inherited);
		return file;
	}
	get_file(owner->file);
	ihold(inode);
	inherited->inode = inode;
	inherited->limit = inode_limit(parent, inode);
	inherited->file = file;
	list_add_tail(&inherited->list, &owner->inherited_files);
	return file;
}

/**
 * som_get_unmapped_area - Find addresses aligned to 2 MiB or 1 GiB
 * @file: /dev/som, or the pseudo file of an owner (mremap)
 * @addr: hint, or the address with MAP_FIXED
 * @len: length in bytes
 * @pgoff: page offset: 0 for a new mapping, the existing one for a move
 * @flags: MAP_ flags
 *
 * Huge entries fit there. A hint is used as it is, aligned or not.
 * Context: Process context; the caller has mmap_lock for write.
 * Return: address or -errno.
 */
unsigned long som_get_unmapped_area(struct file *file, unsigned long addr,
				    unsigned long len, unsigned long pgoff,
				    unsigned long flags)
{
	unsigned long align = som_map_align(len);
	unsigned long padded, area;

	if (flags & MAP_FIXED || addr) {
		area = mm_get_unmapped_area(current->mm, file, addr, len, pgoff,
					    flags);
		if (flags & MAP_FIXED || area == addr)
			return area;
	}
	if (check_add_overflow(len, align - PAGE_SIZE, &padded))
		return -ENOMEM;
	area = mm_get_unmapped_area(current->mm, file, 0, padded, 0, flags);
	if (!IS_ERR_VALUE(area))
		return som_align_addr(area, pgoff, align);
	if (align == SOM_UNIT_SIZE)
		return area;
	/* No room with the large alignment: try the small one. */
	padded = len + SOM_UNIT_SIZE - PAGE_SIZE;
	area = mm_get_unmapped_area(current->mm, file, 0, padded, 0, flags);
	if (IS_ERR_VALUE(area))
		return area;
	return som_align_addr(area, pgoff, SOM_UNIT_SIZE);
}
