// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_IOC_VIEW, and the file that it returns: a view of another process's som memory.
 *
 * A view holds a reference to the structure of an address space, not to its users, and one
 * to the process. Each call
 *
 *  1. checks that the caller could ptrace the process (rights.c);
 *  2. works in pieces. For a piece it holds the address space (mmget_not_zero()) and
 *     mmap_lock for read (killable). It holds neither while it copies bytes or regions to the
 *     caller, as that can fault and wait for long. So a stuck caller does not keep the memory
 *     of a process that exits.
 *
 * Nothing here populates. A page is looked up under the fault_lock of its unit index. Faults on
 * one unit in 16 wait meanwhile, for a copy of SOM_VIEW_BYTES at most. Memory that a child
 * inherited and did not copy yet is read from its parent's unit, under the parent's cow.lock
 * (som_cow_look()).
 *
 * With SOM_VIEW_TRACK a view claims the write tracking of the process (claim.c), and holds a
 * reference to its owner, which records the claim.
 */
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/som.h>
#include <uapi/linux/fs.h>
#include "access.h"
#include "call.h"
#include "claim.h"
#include "compat.h"
#include "cow.h"
#include "entry.h"
#include "inode.h"
#include "mapping.h"
#include "pagemap_scan.h"
#include "policy.h"
#include "pool.h"
#include "range.h"
#include "rights.h"
#include "som_types.h"
#include "tables.h"
#include "unit.h"
#include "view_file.h"

/* Bytes that are read at a time. */
#define SOM_VIEW_BYTES	SZ_64K
/* VMAs and units that are looked at for each hold of mmap_lock. */
#define SOM_VIEW_STEPS	1024
/* Mappings that are listed at a time. */
#define SOM_VIEW_MAPS	16

/**
 * struct som_view_file - a view
 * @settings: argument of som_call(); without content.
 * @mm: the address space; its structure, not its users, is referenced.
 * @pid: the process.
 * @owner: with SOM_VIEW_TRACK, the process's owner; otherwise NULL.
 */
struct som_view_file {
	struct som_settings settings;
	struct mm_struct *mm;
	struct pid *pid;
	struct som_owner *owner;
};

/* Lock the address space of a view's process for a piece of work. */
static int view_lock(struct som_view_file *view)
{
	if (!mmget_not_zero(view->mm))
		return -ESRCH;
	if (!mmap_read_lock_killable(view->mm))
		return 0;
	mmput(view->mm);
	return -EINTR;
}

static void view_unlock(struct som_view_file *view)
{
	mmap_read_unlock(view->mm);
	mmput(view->mm);
}

/* A part of a unit that is to be read. */
struct som_view_part {
	void *buf;
	unsigned long offset;	/* in the unit */
	size_t len;
};

/* Copy a part of inherited memory; called by som_cow_look(). */
static int copy_inherited(void *arg, const void *mem,
			  const unsigned long *pages)
{
	const struct som_view_part *part = arg;
	size_t done, len;

	for (done = 0; done < part->len; done += len) {
		unsigned long offset = part->offset + done;

		len = min_t(size_t, part->len - done,
			    PAGE_SIZE - offset_in_page(offset));
		if (!test_bit(offset >> PAGE_SHIFT, pages))
			memset(part->buf + done, 0, len);
		else if (copy_mc_to_kernel(part->buf + done, mem + offset, len))
			return -EIO;
	}
	return 0;
}

/* Test whether memory of a part has failed. */
static bool part_failed(const struct som_view_part *part, const void *entry)
{
	unsigned long page = part->offset >> PAGE_SHIFT;
	unsigned long last = (part->offset + part->len - 1) >> PAGE_SHIFT;

	if (!som_entry_test(entry, SOM_ENTRY_PAGE_BACKED))
		return som_pool_poisoned(som_entry_unit(entry));
	for (; page <= last; page++) {
		if (PageHWPoison(pfn_to_page(som_unit_pfn(som_entry_unit(entry)) +
					     page)))
			return true;
	}
	return false;
}

/* Read a part of the unit at an index, or zeroes. Return: 0 or -EIO. */
static int read_part(struct som_owner *owner, unsigned long idx,
		     struct som_view_part *part)
{
	/* Discarded memory is zero to the process. */
	struct mutex *lock = som_owner_lock_look(owner, idx);
	int ret = som_cow_look(owner, idx, copy_inherited, part);
	void *entry;

	if (ret != -ENOENT)
		goto out;
	ret = 0;
	entry = som_tables_load(&owner->tables, idx);
	if (!entry || som_entry_test(entry, SOM_ENTRY_DISCARDED))
		memset(part->buf, 0, part->len);
	else if (part_failed(part, entry) ||
		 copy_mc_to_kernel(part->buf,
				   som_unit_address(som_entry_unit(entry)) +
				   part->offset, part->len))
		ret = -EIO;
out:
	mutex_unlock(lock);
	return ret;
}

/* Read from one mapping. Return: number of bytes; -errno if none was read. */
static ssize_t read_mapping(struct som_mapping *mapping,
			    struct vm_area_struct *vma, unsigned long addr,
			    size_t len, void *buf)
{
	struct som_view_part part = { .buf = buf };
	bool superseded;
	size_t done = 0;
	int ret = 0;

	len = min(len, vma->vm_end - addr);
	while (done < len && !ret) {
		pgoff_t first = linear_page_index(vma, addr);
		pgoff_t last = linear_page_index(vma, addr + (len - done) - 1);
		unsigned long idx = som_pgoff_index(first);

		last = min(last, som_index_pgoff(idx + 1) - 1);
		last = som_mapping_run(mapping, first, last, &superseded);
		if (superseded) {
			ret = -EFAULT;
			break;
		}
		part.offset = ((first - som_index_pgoff(idx)) << PAGE_SHIFT) +
			      offset_in_page(addr);
		part.len = min_t(size_t, len - done,
				 ((last - first + 1) << PAGE_SHIFT) -
				 offset_in_page(addr));
		part.buf = buf + done;
		ret = read_part(mapping->owner, idx, &part);
		if (ret)
			break;
		done += part.len;
		addr += part.len;
	}
	return done ?: ret;
}

/* Read to a buffer, up to the end of a mapping. Return: bytes, not 0; or -errno. */
static ssize_t read_piece(struct som_view_file *view, unsigned long addr,
			  size_t len, void *buf)
{
	struct som_mapping *mapping;
	struct vm_area_struct *vma;
	ssize_t ret;

	ret = view_lock(view);
	if (ret)
		return ret;
	vma = vma_lookup(view->mm, addr);
	mapping = vma ? som_vma_mapping(vma) : NULL;
	if (mapping && som_access_allowed(vma, mapping->private, false))
		ret = read_mapping(mapping, vma, addr, len, buf);
	else
		ret = -EFAULT;
	view_unlock(view);
	return ret;
}

static ssize_t som_view_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct som_view_file *view = iocb->ki_filp->private_data;
	size_t size = min_t(size_t, iov_iter_count(to), SOM_VIEW_BYTES);
	ssize_t got, done = 0;
	size_t copied;
	void *buf;
	int ret;

	ret = som_rights_check(view->pid, view->mm);
	if (ret || !size)
		return ret;
	buf = kvmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	while (!ret && iov_iter_count(to)) {
		got = read_piece(view, iocb->ki_pos,
				 min(iov_iter_count(to), size), buf);
		if (got < 0) {
			ret = got;
			break;
		}
		copied = copy_to_iter(buf, got, to);
		iocb->ki_pos += copied;
		done += copied;
		if (copied < got)
			ret = -EFAULT;
		else if (fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	kvfree(buf);
	return done ?: ret;
}

/*
 * Find the next index, up to @last, that has memory or a deferred copy. Looks at *left units at
 * most, and decrements it. Return: false if there is none.
 */
static bool next_data(struct som_owner *owner, unsigned long *idx,
		      unsigned long last, unsigned int *left)
{
	for (; *left; (*idx)++) {
		unsigned long deferred = *idx;
		/* Look here first: a unit that is copied meanwhile is in the tables then. */
		bool pending = som_cow_next(owner, &deferred, last);
		void *entry = som_tables_find(&owner->tables, idx, last);

		(*left)--;
		if (pending && (!entry || deferred <= *idx)) {
			*idx = deferred;
			return true;
		}
		if (!entry)
			return false;
		if (!som_entry_test(entry, SOM_ENTRY_DISCARDED))
			return true;
	}
	return false;
}

/*
 * Search a VMA from *addr on for memory, or for a hole. Return: true if found at *addr;
 * otherwise the search continues at *addr.
 */
static bool seek_vma(struct vm_area_struct *vma, unsigned long *addr,
		     bool data, unsigned int *left)
{
	struct som_mapping *mapping = som_vma_mapping(vma);
	pgoff_t last = linear_page_index(vma, vma->vm_end - 1);

	while (*addr < vma->vm_end && *left) {
		pgoff_t first = linear_page_index(vma, *addr), at, end;
		unsigned long idx = som_pgoff_index(first);
		bool superseded, found;

		found = next_data(mapping->owner, &idx, som_pgoff_index(last), left);
		if (!found && !*left)
			at = max(first, som_index_pgoff(idx));
		else
			at = found ? max(first, som_index_pgoff(idx)) : last + 1;
		if (at > last + 1)
			at = last + 1;
		/* Pages first to at - 1 have no memory; page at has some if it was found. */
		if (!data && at > first)
			return true;
		if (at > first)
			*addr = (*addr & PAGE_MASK) + ((at - first) << PAGE_SHIFT);
		if (!found)
			return false;
		end = min(last, som_index_pgoff(idx + 1) - 1);
		end = som_mapping_run(mapping, at, end, &superseded);
		if (data ? !superseded : superseded)
			return true;
		*addr = (*addr & PAGE_MASK) + ((end - at + 1) << PAGE_SHIFT);
	}
	return false;
}

/* Search a piece. Return: 1 if found at *addr; 0 to continue there; -ENXIO at the end. */
static int seek_piece(struct som_view_file *view, unsigned long *addr, bool data)
{
	unsigned int left = SOM_VIEW_STEPS;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	int ret;

	ret = view_lock(view);
	if (ret)
		return ret;
	vma_iter_init(&vmi, view->mm, *addr);
	for_each_vma_range(vmi, vma, TASK_SIZE_MAX) {
		bool som = som_vma_mapping(vma);

		/* Other mappings are holes, and so are gaps. */
		if (!data && (!som || *addr < vma->vm_start))
			break;
		*addr = max(*addr, vma->vm_start);
		if (!left || !left--)
			goto out;
		if (som) {
			ret = seek_vma(vma, addr, data, &left);
			if (ret || *addr < vma->vm_end)
				goto out;
		}
		*addr = vma->vm_end;
	}
	ret = data ? -ENXIO : 1;
out:
	view_unlock(view);
	return ret;
}

static loff_t som_view_llseek(struct file *file, loff_t offset, int whence)
{
	struct som_view_file *view = file->private_data;
	unsigned long addr = offset;
	int ret;

	if (whence == SEEK_SET || whence == SEEK_CUR)
		return generic_file_llseek_size(file, offset, whence,
						LLONG_MAX, LLONG_MAX);
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	ret = som_rights_check(view->pid, view->mm);
	if (ret)
		return ret;
	if (offset < 0 || addr >= TASK_SIZE_MAX)
		return -ENXIO;
	do {
		ret = seek_piece(view, &addr, whence == SEEK_DATA);
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	} while (!ret);
	return ret < 0 ? ret : vfs_setpos(file, addr, LLONG_MAX);
}

static u32 map_flags(const struct vm_area_struct *vma,
		     struct som_mapping *mapping)
{
	u32 flags = 0;

	if (mapping->private)
		flags |= SOM_VIEW_MAP_PRIVATE;
	if (vma->vm_flags & VM_NORESERVE)
		flags |= SOM_VIEW_MAP_NORESERVE;
	if (vma->vm_flags & VM_LOCKED)
		flags |= SOM_VIEW_MAP_LOCKED;
	if (vma->vm_flags & VM_DONTDUMP)
		flags |= SOM_VIEW_MAP_DONTDUMP;
	if (som_mapping_superseded(mapping, mapping->it.start, mapping->it.last))
		flags |= SOM_VIEW_MAP_MOVED;
	return flags;
}

static u64 map_options(const struct som_mapping *mapping)
{
	u64 options = 0;

	if (mapping->reuse)
		options |= SOM_POLICY_REUSE;
	if (mapping->fork != SOM_FORK_NONE)
		options |= SOM_POLICY_FORK_COPY;
	if (mapping->fork == SOM_FORK_COPY_NORESERVE)
		options |= SOM_POLICY_FORK_NORESERVE;
	if (mapping->auto_convert)
		options |= SOM_POLICY_PAGE_BACKED;
	return options;
}

static void describe_map(struct som_view_map *map,
			 const struct vm_area_struct *vma,
			 struct som_mapping *mapping)
{
	*map = (struct som_view_map) {
		.start = vma->vm_start,
		.end = vma->vm_end,
		.offset = (u64)vma->vm_pgoff << PAGE_SHIFT,
		.flags = map_flags(vma, mapping),
		.map_size = mapping->map_size,
		.options = map_options(mapping),
	};
	if (vma->vm_flags & VM_READ)
		map->prot |= PROT_READ;
	if (vma->vm_flags & VM_WRITE)
		map->prot |= PROT_WRITE;
	if (vma->vm_flags & VM_EXEC)
		map->prot |= PROT_EXEC;
}

/* The next mappings, from args->walk_end on, at most @nr. Return: how many, or -errno. */
static int list_maps(struct som_view_file *view, struct som_view_maps *args,
		     struct som_view_map *maps, unsigned int nr)
{
	unsigned int left = SOM_VIEW_STEPS;
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	unsigned int found = 0;
	int ret;

	ret = view_lock(view);
	if (ret)
		return ret;
	vma_iter_init(&vmi, view->mm, args->walk_end);
	for_each_vma_range(vmi, vma, args->end) {
		struct som_mapping *mapping = som_vma_mapping(vma);

		if (!left-- || (mapping && found == nr))
			break;
		if (mapping)
			describe_map(&maps[found++], vma, mapping);
		args->walk_end = vma->vm_end;
	}
	if (!vma || args->walk_end > args->end)
		args->walk_end = args->end;
	view_unlock(view);
	return found;
}

/* Bytes of a mapping that are in the unit at an index. */
static u64 unit_bytes(const struct som_view_map *map, unsigned long idx)
{
	u64 first = max_t(u64, map->offset, (u64)idx << SOM_UNIT_SHIFT);
	u64 behind = min_t(u64, map->offset + (map->end - map->start),
			   (u64)(idx + 1) << SOM_UNIT_SHIFT);

	return behind - first;
}

/* Count what a mapping has, without a lock: units come and go. Return: 0 or -EINTR. */
static int count_map(struct som_owner *owner, struct som_view_map *map)
{
	unsigned long first = map->offset >> SOM_UNIT_SHIFT, idx;
	unsigned long last = (map->offset + (map->end - map->start) - 1) >>
			     SOM_UNIT_SHIFT;
	void *entry;

	som_tables_for_each(&owner->tables, idx, entry, first, last) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (!som_entry_test(entry, SOM_ENTRY_DISCARDED))
			map->resident += unit_bytes(map, idx);
	}
	for (idx = first; som_cow_next(owner, &idx, last); idx++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		map->deferred += unit_bytes(map, idx);
		cond_resched();
	}
	return 0;
}

/* Write mappings to the caller's array. Return: 0 or -EFAULT. */
static int copy_maps(const struct som_view_maps *args,
		     const struct som_view_map *maps, unsigned int nr)
{
	void __user *out = (void __user *)args->vec;
	size_t len = min_t(size_t, args->map_size, sizeof(*maps));
	unsigned int i;

	for (i = 0; i < nr; i++) {
		void __user *to = out + (size_t)(args->nr + i) * args->map_size;

		if (copy_to_user(to, &maps[i], len) ||
		    clear_user(to + len, args->map_size - len))
			return -EFAULT;
	}
	return 0;
}

static int walk_maps(struct som_view_file *view, struct som_owner *owner,
		     struct som_view_maps *args, struct som_view_map *maps)
{
	int nr, i, ret = 0;

	while (!ret && args->walk_end < args->end && args->nr < args->vec_len) {
		nr = list_maps(view, args, maps,
			       min(args->vec_len - args->nr, SOM_VIEW_MAPS));
		if (nr < 0)
			return nr;
		for (i = 0; i < nr && !ret; i++)
			ret = count_map(owner, &maps[i]);
		if (!ret)
			ret = copy_maps(args, maps, nr);
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		args->nr += nr;
		cond_resched();
	}
	return ret;
}

/* Is the address space still there? */
static int view_alive(struct som_view_file *view)
{
	if (!mmget_not_zero(view->mm))
		return -ESRCH;
	mmput(view->mm);
	return 0;
}

static int som_ioctl_view_maps(struct som_settings *settings,
			       union som_args *all)
{
	struct som_view_file *view = container_of(settings, struct som_view_file,
						  settings);
	struct som_view_maps *args = &all->view_maps;
	struct som_view_map *maps;
	struct som_owner *owner;
	int ret;

	if (args->flags || args->reserved || !args->vec_len ||
	    args->map_size < SOM_VIEW_MAP_SIZE_VER0 ||
	    args->map_size > PAGE_SIZE)
		return -EINVAL;
	ret = som_rights_check(view->pid, view->mm);
	if (ret)
		return ret;
	args->nr = 0;
	args->walk_end = args->start;
	owner = som_inode_find_owner(view->mm);
	if (!owner) {
		args->walk_end = args->end;
		return view_alive(view);
	}
	maps = kmalloc_array(SOM_VIEW_MAPS, sizeof(*maps), GFP_KERNEL_ACCOUNT);
	ret = maps ? walk_maps(view, owner, args, maps) : -ENOMEM;
	kfree(maps);
	som_inode_put_owner(owner);
	return ret;
}

static const struct som_ioctl_desc som_view_calls[] = {
	{
		.cmd = SOM_IOC_VIEW_MAPS,
		.size = sizeof(struct som_view_maps),
		.min_size = offsetofend(struct som_view_maps, walk_end),
		.handler = som_ioctl_view_maps,
		.results = SOM_RESULTS,
	},
};

static long view_scan(struct som_view_file *view, void __user *arg)
{
	int ret = som_rights_check(view->pid, view->mm);

	return ret ?: som_pagemap_scan_view(arg, view->mm,
					    view->owner ? view : NULL);
}

static long som_view_ioctl(struct file *file, unsigned int cmd,
			   unsigned long arg)
{
	struct som_view_file *view = file->private_data;

	if (cmd == PAGEMAP_SCAN)
		return view_scan(view, (void __user *)arg);
	return som_call(som_view_calls, ARRAY_SIZE(som_view_calls),
			&view->settings, cmd, arg);
}

static void som_view_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct som_view_file *view = file->private_data;

	seq_printf(m, "som-view-pid:\t%d\n",
		   pid_nr_ns(view->pid, task_active_pid_ns(current)));
	seq_printf(m, "som-view-tracks:\t%d\n", !!view->owner);
}

static void view_free(struct som_view_file *view)
{
	if (view->owner) {
		som_claim_end(view->owner, view);
		/* In this order: rewind_cursor() may miss a reference, but counts none too many. */
		atomic_long_dec(&view->owner->nr_files);
		som_inode_put_owner(view->owner);
	}
	put_pid(view->pid);
	mmdrop(view->mm);
	kfree(view);
}

static int som_view_release(struct inode *inode, struct file *file)
{
	view_free(file->private_data);
	som_inode_unpin();
	return 0;
}

static const struct file_operations som_view_fops = {
	.owner = THIS_MODULE,
	.release = som_view_release,
	.read_iter = som_view_read_iter,
	.splice_read = copy_splice_read,
	.llseek = som_view_llseek,
	.unlocked_ioctl = som_view_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.show_fdinfo = som_view_show_fdinfo,
};

/* The address space of a process; its structure, not its users, is referenced. */
static struct mm_struct *find_mm(struct pid *pid)
{
	struct task_struct *task = get_pid_task(pid, PIDTYPE_PID);
	struct mm_struct *mm;

	if (!task)
		return NULL;
	mm = get_task_mm(task);
	put_task_struct(task);
	if (!mm)
		return NULL;
	mmgrab(mm);
	mmput(mm);
	return mm;
}

/* Claim the write tracking for a view. */
static int claim_tracking(struct som_view_file *view)
{
	struct som_owner *owner = som_inode_find_owner(view->mm);
	int ret;

	if (!owner)
		return -ENODATA;
	ret = som_claim_take(owner, view);
	if (ret) {
		som_inode_put_owner(owner);
		return ret;
	}
	atomic_long_inc(&owner->nr_files);
	view->owner = owner;
	return 0;
}

static struct file *make_view(struct pid *pid, bool track)
{
	struct som_view_file *view;
	struct file *file;
	int ret;

	view = kzalloc(sizeof(*view), GFP_KERNEL_ACCOUNT);
	if (!view)
		return ERR_PTR(-ENOMEM);
	view->mm = find_mm(pid);
	if (!view->mm) {
		kfree(view);
		return ERR_PTR(-ESRCH);
	}
	view->pid = get_pid(pid);
	ret = som_rights_check(pid, view->mm);
	if (!ret && track)
		ret = claim_tracking(view);
	if (ret)
		goto out_view;
	file = som_inode_file(view, NULL, &som_view_fops);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		goto out_view;
	}
	file->f_mode |= FMODE_PREAD;
	return file;

out_view:
	view_free(view);
	return ERR_PTR(ret);
}

/**
 * som_view_open - Open a view: SOM_IOC_VIEW
 * @args: its argument
 *
 * Context: Process context.
 * Return: a descriptor, or -errno as include/uapi/linux/som.h says.
 */
int som_view_open(const struct som_open_view *args)
{
	struct file *pidfd, *file;
	struct pid *pid;
	int fd;

	if (args->flags & ~(SOM_VIEW_CLOEXEC | SOM_VIEW_TRACK) || args->reserved)
		return -EINVAL;
	pidfd = fget(args->pidfd);
	if (!pidfd)
		return -EBADF;
	pid = som_pidfd_pid(pidfd);
	fd = pid ? get_unused_fd_flags(args->flags & SOM_VIEW_CLOEXEC ?
				       O_CLOEXEC : 0) : -EBADF;
	if (fd < 0)
		goto out_pidfd;
	file = make_view(pid, args->flags & SOM_VIEW_TRACK);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto out_pidfd;
	}
	fd_install(fd, file);
out_pidfd:
	fput(pidfd);
	return fd;
}
