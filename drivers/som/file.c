// SPDX-License-Identifier: GPL-2.0
/*
 * File operations of /dev/som.
 *
 * mmap() gives memory to the calling process, also if another process opened the file. A
 * file holds a reference to each owner that mapped through it (som_file.owners), for
 * fdinfo and to keep an owner that currently has no mapping. It drops owners of exited
 * processes when it adds one.
 *
 * Locking: som_file.lock guards the owners; it nests inside mmap_lock.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid_namespace.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/xarray.h>
#include "cgroup.h"
#include "entry.h"
#include "file.h"
#include "inode.h"
#include "ioctl.h"
#include "owner.h"
#include "policy.h"
#include "remap.h"
#include "som_types.h"
#include "vma.h"

struct som_file {
	struct mutex lock;	/* guards owners */
	struct xarray owners;
	struct som_settings settings;
};

static int som_open(struct inode *inode, struct file *file)
{
	struct som_file *sf;
	int ret;

	sf = kzalloc(sizeof(*sf), GFP_KERNEL_ACCOUNT);
	if (!sf)
		return -ENOMEM;
	ret = som_inode_pin();
	if (ret) {
		kfree(sf);
		return ret;
	}
	mutex_init(&sf->lock);
	xa_init_flags(&sf->owners, XA_FLAGS_ACCOUNT);
	som_policy_open(&sf->settings);
	file->private_data = sf;
	return 0;
}

/* Drop the reference of a file to an owner. */
static void som_file_forget(struct som_owner *owner)
{
	/* Decrement first: rewind_cursor() must never count a file too many. */
	atomic_long_dec(&owner->nr_files);
	som_inode_put_owner(owner);
}

static int som_release(struct inode *inode, struct file *file)
{
	struct som_file *sf = file->private_data;
	struct som_owner *owner;
	unsigned long id;

	xa_for_each(&sf->owners, id, owner)
		som_file_forget(owner);
	xa_destroy(&sf->owners);
	som_policy_release(&sf->settings);
	som_inode_unpin();
	kfree(sf);
	return 0;
}

/* Add an owner to a file. Consumes the caller's reference. */
static int som_file_remember(struct som_file *sf, struct som_owner *owner)
{
	struct som_owner *other;
	unsigned long id;
	int ret = 0;

	mutex_lock(&sf->lock);
	if (xa_load(&sf->owners, owner->id)) {
		som_inode_put_owner(owner);
		goto out;
	}
	xa_for_each(&sf->owners, id, other) {
		if (!atomic_read(&other->mm->mm_users)) {
			xa_erase(&sf->owners, id);
			som_file_forget(other);
		}
	}
	ret = xa_err(xa_store(&sf->owners, owner->id, owner, GFP_KERNEL));
	if (ret)
		som_inode_put_owner(owner);
	else
		atomic_long_inc(&owner->nr_files);
out:
	mutex_unlock(&sf->lock);
	return ret;
}

/* Operations of mmap(), chosen by its offset. */
enum { MAP_NEW, MAP_JOIN, MAP_DODUMP };

static int map_way(const struct som_file *sf, pgoff_t pgoff)
{
	switch (pgoff - READ_ONCE(sf->settings.map_pgoff)) {
	case 0:
		return MAP_NEW;
	case SOM_MMAP_JOIN >> PAGE_SHIFT:
		return MAP_JOIN;
	case SOM_MMAP_DODUMP >> PAGE_SHIFT:
		return MAP_DODUMP;
	default:
		return -EINVAL;
	}
}

static int map_again(struct vm_area_struct *vma)
{
	struct som_owner *owner = som_inode_get_owner(vma->vm_mm);
	int ret;

	if (IS_ERR(owner))
		return PTR_ERR(owner);
	ret = som_remap_mmap(owner, vma);
	som_inode_put_owner(owner);
	return ret;
}

static int som_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct som_file *sf = file->private_data;
	struct som_owner *owner;
	int way;

	way = map_way(sf, vma->vm_pgoff);
	if (way < 0)
		return way;
	if (!(file->f_mode & FMODE_WRITE))
		return -EACCES;

	if (way != MAP_NEW)
		return map_again(vma);
	owner = som_file_map(&sf->settings, vma, NULL);
	if (IS_ERR(owner))
		return PTR_ERR(owner);
	/* On failure the mapping works; only fdinfo does not show it. */
	som_file_remember(sf, owner);
	return 0;
}

/* Perform every check that can fail: after this, MAP_FIXED unmaps the range. */
static int prepare_remap(struct file *file, unsigned long addr,
			 unsigned long len, unsigned long flags, bool dodump)
{
	struct som_owner *owner;
	int ret;

	if (!(file->f_mode & FMODE_WRITE))
		return -EACCES;
	owner = som_inode_find_owner(current->mm);
	if (!owner)
		return -EINVAL;
	ret = som_remap_prepare(owner, addr, len, flags, dodump);
	som_inode_put_owner(owner);
	return ret;
}

/* The offset selects an operation and does not constrain the address. */
static unsigned long som_file_area(struct file *file, unsigned long addr,
				   unsigned long len, unsigned long pgoff,
				   unsigned long flags)
{
	struct som_file *sf = file->private_data;
	int way = map_way(sf, pgoff);

	if (way > MAP_NEW)
		way = prepare_remap(file, addr, len, flags, way == MAP_DODUMP);
	if (way < 0)
		return way;
	return som_get_unmapped_area(file, addr, len, 0, flags);
}

static long som_file_ioctl(struct file *file, unsigned int cmd,
			   unsigned long arg)
{
	struct som_file *sf = file->private_data;

	return som_ioctl(&sf->settings, cmd, arg);
}

static void som_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct som_file *sf = file->private_data;
	struct som_owner_stats stats;
	struct som_owner *owner;
	unsigned long id;

	seq_printf(m, "som-map-size:\t%lu\n",
		   READ_ONCE(sf->settings.map_size));
	if (READ_ONCE(sf->settings.max_units) != SOM_NO_LIMIT)
		seq_printf(m, "som-max-units:\t%lu\n",
			   READ_ONCE(sf->settings.max_units));
	mutex_lock(&sf->lock);
	xa_for_each(&sf->owners, id, owner) {
		som_owner_stats(owner, &stats);
		seq_printf(m, "som-owner:\t%d\n",
			   som_owner_pid(owner, task_active_pid_ns(current)));
		seq_printf(m, "som-mapped-kB:\t%lu\n",
			   stats.mapped_pages << (PAGE_SHIFT - 10));
		seq_printf(m, "som-reserved:\t%lu\n", stats.nr_reserved);
		seq_printf(m, "som-units-2M:\t%lu\n",
			   stats.nr_level[SOM_LEVEL_2M]);
		seq_printf(m, "som-units-4K:\t%lu\n",
			   stats.nr_level[SOM_LEVEL_4K]);
		seq_printf(m, "som-units-1G:\t%lu\n",
			   stats.nr_level[SOM_LEVEL_1G]);
		seq_printf(m, "som-page-backed:\t%lu\n", stats.nr_page_backed);
		seq_printf(m, "som-cached:\t%ld\n",
			   atomic_long_read(&owner->cache.nr));
		seq_printf(m, "som-quarantined:\t%ld\n",
			   atomic_long_read(&owner->account->quarantined));
		seq_printf(m, "som-charged:\t%ld\n",
			   atomic_long_read(&owner->account->units));
		seq_printf(m, "som-records-kB:\t%lu\n", stats.records >> 10);
		seq_printf(m, "som-records-max-kB:\t%lu\n",
			   stats.max_records >> 10);
	}
	mutex_unlock(&sf->lock);
}

const struct file_operations som_fops = {
	.owner = THIS_MODULE,
	.open = som_open,
	.release = som_release,
	.mmap = som_mmap,
	.get_unmapped_area = som_file_area,
	.unlocked_ioctl = som_file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.show_fdinfo = som_show_fdinfo,
	.llseek = noop_llseek,
};
