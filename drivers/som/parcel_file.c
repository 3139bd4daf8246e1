// SPDX-License-Identifier: GPL-2.0
/*
 * SOM_IOC_PACK, and the file operations of a parcel (parcel.c).
 *
 * PACK calls mmap() of the parcel with MAP_FIXED over the packed range, and lets that
 * mmap() fail. The kernel performs these steps with mmap_lock held for write:
 *
 *  1. get_unmapped_area() calls pack_area(), which checks that every unit can move to the
 *     parcel. On failure nothing has changed; the same holds if the kernel refuses
 *     afterwards: sealed memory, no memory to split a VMA.
 *  2. The kernel clears the page table entries, flushes the TLB once and closes the VMAs:
 *     som_mapping_unmap() moves the units to the parcel.
 *  3. ->mmap() fails, and the range stays unmapped.
 *
 * Thus the checked state cannot change before step 2. It could between a check under
 * mmap_lock and vm_munmap(), which takes the lock itself.
 *
 * A parcel has one file, which cannot be reopened through /proc/PID/fd. It is a regular
 * file, so that fstat() reports the size, and splice() and sendfile() work.
 */
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/splice.h>
#include <linux/stddef.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/som.h>
#include "account.h"
#include "call.h"
#include "convert.h"
#include "inode.h"
#include "mapping.h"
#include "parcel.h"
#include "parcel_file.h"
#include "policy.h"
#include "range.h"
#include "som_types.h"
#include "vma.h"

/* Attempts of PACK, a tick apart, while a unit is pinned or the pool is empty. */
#define SOM_PACK_TRIES	20

static loff_t parcel_bytes(const struct som_parcel *parcel)
{
	return (loff_t)parcel->size << SOM_UNIT_SHIFT;
}

/*
 * Test whether the units of a VMA can be packed. @pgoff: expected page offset of a VMA that
 * begins inside a unit.
 */
static int pack_check_vma(struct som_packing *packing,
			  struct vm_area_struct *vma, pgoff_t pgoff)
{
	unsigned long start = max(vma->vm_start, packing->start);
	unsigned long end = min(vma->vm_end, packing->end);
	struct som_mapping *mapping = som_vma_mapping(vma);
	pgoff_t first, last;

	if (!mapping || mapping->owner != packing->owner)
		return -EINVAL;
	first = linear_page_index(vma, start);
	last = linear_page_index(vma, end - 1);
	if (((start >> PAGE_SHIFT) - first) % SOM_UNIT_PAGES ||
	    (!IS_ALIGNED(start, SOM_UNIT_SIZE) && first != pgoff) ||
	    som_owner_aliased(mapping->owner, first, last))
		return -EINVAL;
	/* Wait for faults under the VMA lock, and block new ones. */
	vma_start_write(vma);
	som_packing_vma(packing, vma);
	return som_parcel_prepare(packing, som_pgoff_index(first),
				  som_pgoff_index(last));
}

static int pack_check(struct som_packing *packing)
{
	VMA_ITERATOR(vmi, packing->owner->mm, packing->start);
	unsigned long addr = packing->start;
	struct vm_area_struct *vma;
	pgoff_t pgoff = 0;
	int ret;

	for_each_vma_range(vmi, vma, packing->end) {
		if (vma->vm_start > addr)
			return -EINVAL;
		ret = pack_check_vma(packing, vma, pgoff);
		if (ret)
			return ret;
		addr = vma->vm_end;
		pgoff = vma->vm_pgoff + vma_pages(vma);
	}
	return addr < packing->end ? -EINVAL : 0;
}

/* Check the range; on success, VMAs of it that this task closes go to the parcel. */
static unsigned long pack_area(struct som_packing *packing)
{
	struct som_owner *owner = packing->owner;
	int ret = pack_check(packing);

	if (ret)
		return ret;
	mutex_lock(&owner->lock);
	owner->packing = packing;
	mutex_unlock(&owner->lock);
	return packing->start;
}

/* Check the arguments of a claim. */
static int claim_check(const struct som_parcel *parcel, unsigned long addr,
		       unsigned long nr_pages, pgoff_t pgoff)
{
	unsigned long idx = som_pgoff_index(pgoff);

	if (!IS_ALIGNED(addr, SOM_UNIT_SIZE) || nr_pages % SOM_UNIT_PAGES ||
	    pgoff % SOM_UNIT_PAGES || idx >= parcel->size ||
	    som_pgoff_index(nr_pages) > parcel->size - idx)
		return -EINVAL;
	return 0;
}

static int som_parcel_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct som_parcel *parcel = file->private_data;
	struct som_claim claim = {
		.parcel = parcel,
		.first = som_pgoff_index(vma->vm_pgoff),
		.nr = som_pgoff_index(vma_pages(vma)),
	};
	struct som_owner *owner;
	int ret;

	/* Step 3 of PACK: leave the range unmapped. */
	if (parcel->packing)
		return -EXFULL;
	ret = claim_check(parcel, vma->vm_start, vma_pages(vma), vma->vm_pgoff);
	if (ret)
		return ret;
	owner = som_file_map(&parcel->settings, vma, &claim);
	if (IS_ERR(owner))
		return PTR_ERR(owner);
	som_inode_put_owner(owner);
	return 0;
}

/*
 * Refuse a claim with MAP_FIXED here, before the kernel unmaps the old mapping. Align a
 * whole chunk so that a 1 GiB entry can map it.
 */
static unsigned long som_parcel_area(struct file *file, unsigned long addr,
				     unsigned long len, unsigned long pgoff,
				     unsigned long flags)
{
	struct som_parcel *parcel = file->private_data;
	int ret;

	if (parcel->packing)
		return pack_area(parcel->packing);
	if (!(flags & MAP_FIXED))
		addr = ALIGN_DOWN(addr, SOM_UNIT_SIZE);
	ret = claim_check(parcel, addr, len >> PAGE_SHIFT, pgoff);
	if (!ret && som_parcel_claimed(parcel, som_pgoff_index(pgoff),
				       len >> SOM_UNIT_SHIFT))
		ret = -ENODATA;
	if (ret)
		return ret;
	return som_get_unmapped_area(file, addr, len, parcel->phase + pgoff,
				     flags);
}

/* Copy with page faults disabled, and fault in the buffer between two copies. */
static ssize_t som_parcel_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct som_parcel *parcel = iocb->ki_filp->private_data;
	loff_t size = parcel_bytes(parcel);
	ssize_t copied, done = 0;
	size_t len;
	int ret = 0;

	while (!ret && iov_iter_count(to) && iocb->ki_pos < size) {
		len = min_t(size_t, iov_iter_count(to), SZ_64K -
			    (iocb->ki_pos & (SZ_64K - 1)));
		copied = som_parcel_copy(parcel, iocb->ki_pos, len, to);
		if (copied < 0) {
			ret = copied;
			break;
		}
		iocb->ki_pos += copied;
		done += copied;
		if (copied < len && fault_in_iov_iter_writeable(to, len - copied) ==
				    len - copied)
			ret = -EFAULT;
		else if (fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	return done ?: ret;
}

static loff_t som_parcel_llseek(struct file *file, loff_t offset, int whence)
{
	return fixed_size_llseek(file, offset, whence,
				 parcel_bytes(file->private_data));
}

static __poll_t som_parcel_poll(struct file *file, poll_table *wait)
{
	struct som_parcel *parcel = file->private_data;
	unsigned long left;
	__poll_t mask;

	poll_wait(file, &parcel->wait, wait);
	left = READ_ONCE(parcel->nr_left);
	mask = left ? EPOLLIN | EPOLLRDNORM : EPOLLHUP;
	if (left < parcel->size)
		mask |= EPOLLPRI;
	return mask;
}

/**
 * som_parcel_get_info - Handle SOM_IOC_PARCEL_INFO
 * @settings: settings of the parcel
 * @args: destination
 *
 * Context: Process context; takes parcel->lock.
 * Return: 0 or -EINVAL.
 */
int som_parcel_get_info(struct som_settings *settings,
			struct som_parcel_info *args)
{
	struct som_parcel *parcel = container_of(settings, struct som_parcel,
						 settings);

	if (args->flags)
		return -EINVAL;
	mutex_lock(&parcel->lock);
	args->bytes = parcel_bytes(parcel);
	args->unclaimed = (__u64)parcel->nr_left << SOM_UNIT_SHIFT;
	args->resident = (__u64)parcel->nr_units << SOM_UNIT_SHIFT;
	mutex_unlock(&parcel->lock);
	args->pid = pid_vnr(parcel->pid);
	args->uid = som_account_uid(parcel->account);
	return 0;
}

static int som_ioctl_parcel_info(struct som_settings *settings,
				 union som_args *args)
{
	return som_parcel_get_info(settings, &args->parcel_info);
}

static const struct som_ioctl_desc som_parcel_calls[] = {
	{
		.cmd = SOM_IOC_GET_POLICY,
		.size = sizeof(struct som_policy),
		.min_size = offsetofend(struct som_policy, map_size),
		.handler = som_ioctl_get_policy,
		.results = SOM_RESULTS,
	},
	{
		.cmd = SOM_IOC_SET_POLICY,
		.size = sizeof(struct som_policy),
		.min_size = offsetofend(struct som_policy, map_size),
		.handler = som_ioctl_set_policy,
	},
	{
		.cmd = SOM_IOC_PARCEL_INFO,
		.size = sizeof(struct som_parcel_info),
		.min_size = offsetofend(struct som_parcel_info, uid),
		.handler = som_ioctl_parcel_info,
		.results = SOM_RESULTS,
	},
};

static long som_parcel_ioctl(struct file *file, unsigned int cmd,
			     unsigned long arg)
{
	struct som_parcel *parcel = file->private_data;

	return som_call(som_parcel_calls, ARRAY_SIZE(som_parcel_calls),
			&parcel->settings, cmd, arg);
}

static void som_parcel_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct som_parcel *parcel = file->private_data;
	struct som_parcel_info info = {};

	som_parcel_get_info(&parcel->settings, &info);
	seq_printf(m, "som-parcel-kB:\t%llu\n", info.bytes >> 10);
	seq_printf(m, "som-parcel-unclaimed-kB:\t%llu\n", info.unclaimed >> 10);
	seq_printf(m, "som-parcel-resident-kB:\t%llu\n", info.resident >> 10);
	seq_printf(m, "som-parcel-pid:\t%d\n", info.pid);
	seq_printf(m, "som-parcel-uid:\t%u\n", info.uid);
}

static int som_parcel_release(struct inode *inode, struct file *file)
{
	struct som_parcel *parcel = file->private_data;

	som_parcel_free(parcel);
	som_inode_unpin();
	return 0;
}

static const struct file_operations som_parcel_fops = {
	.owner = THIS_MODULE,
	.release = som_parcel_release,
	.mmap = som_parcel_mmap,
	.get_unmapped_area = som_parcel_area,
	.read_iter = som_parcel_read,
	.splice_read = copy_splice_read,
	.llseek = som_parcel_llseek,
	.poll = som_parcel_poll,
	.unlocked_ioctl = som_parcel_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.show_fdinfo = som_parcel_show_fdinfo,
};

static int som_parcel_setattr(struct mnt_idmap *idmap, struct dentry *dentry,
			      struct iattr *attr)
{
	return -EPERM;
}

/* Refuse changes of attributes, above all of the size. */
static const struct inode_operations som_parcel_iops = {
	.setattr = som_parcel_setattr,
};

static struct file *som_parcel_make_file(struct som_parcel *parcel)
{
	struct file *file = som_inode_file(parcel, NULL, &som_parcel_fops);

	if (IS_ERR(file))
		return file;
	file_inode(file)->i_op = &som_parcel_iops;
	i_size_write(file_inode(file), parcel_bytes(parcel));
	file->f_mode |= FMODE_PREAD;
	parcel->file = file;
	return file;
}

/* Wait a tick and return true if the error may be temporary. */
static bool pack_again(int ret, unsigned int tries)
{
	if ((ret != -EBUSY && ret != -ERESTART) || tries >= SOM_PACK_TRIES)
		return false;
	schedule_timeout_killable(1);
	return !fatal_signal_pending(current);
}

static int pack_range(struct som_packing *packing)
{
	struct som_owner *owner = packing->owner;
	unsigned int tries = 0;
	unsigned long ret;

	do {
		/* Ordinary pages do not go, what they have does. */
		ret = som_convert_to_pool(owner, packing->start, packing->end);
		if (ret)
			continue;
		ret = vm_mmap(packing->parcel->file, packing->start,
			      packing->end - packing->start, PROT_NONE,
			      MAP_SHARED | MAP_FIXED, 0);
		mutex_lock(&owner->lock);
		if (owner->packing == packing)
			owner->packing = NULL;
		mutex_unlock(&owner->lock);
		if (packing->done)
			return 0;
	} while (pack_again(ret, tries++));
	return (int)ret == -ERESTART ? -ENOMEM : ret;
}

/* Pack a range. Return: file of the parcel, or ERR_PTR(-errno). */
static struct file *pack(struct som_owner *owner,
			 const struct som_settings *settings,
			 const struct som_pack *args)
{
	struct som_packing packing = {
		.owner = owner,
		.task = current,
		.start = args->start,
		.end = args->end,
	};
	struct som_parcel *parcel;
	struct file *file;
	int ret;

	parcel = som_parcel_alloc(owner, (args->end - args->start) >>
					 SOM_UNIT_SHIFT, settings);
	if (IS_ERR(parcel))
		return ERR_CAST(parcel);
	file = som_parcel_make_file(parcel);
	if (IS_ERR(file)) {
		som_parcel_free(parcel);
		return file;
	}
	packing.parcel = parcel;
	parcel->phase = (args->start >> PAGE_SHIFT) % SOM_CHUNK_PAGES;
	parcel->packing = &packing;
	ret = pack_range(&packing);
	parcel->packing = NULL;
	if (ret) {
		fput(file);
		return ERR_PTR(ret);
	}
	som_parcel_publish(parcel);
	return file;
}

/**
 * som_pack - Handle SOM_IOC_PACK
 * @settings: settings of the file of the call
 * @args: arguments
 *
 * Context: Process context; acts on the calling process.
 * Return: descriptor; or a negative errno documented in include/uapi/linux/som.h.
 */
int som_pack(const struct som_settings *settings, const struct som_pack *args)
{
	struct som_owner *owner;
	struct file *file;
	int fd;

	if (args->flags & ~SOM_PACK_CLOEXEC || args->end <= args->start ||
	    !IS_ALIGNED(args->start, SOM_UNIT_SIZE) ||
	    !IS_ALIGNED(args->end, SOM_UNIT_SIZE))
		return -EINVAL;
	if (!access_ok((void __user *)args->start, args->end - args->start))
		return -EFAULT;
	if ((args->end - args->start) >> SOM_UNIT_SHIFT > SOM_PARCEL_MAX_UNITS)
		return -EFBIG;
	owner = som_inode_find_owner(current->mm);
	if (!owner)
		return -EINVAL;
	fd = get_unused_fd_flags(args->flags & SOM_PACK_CLOEXEC ? O_CLOEXEC : 0);
	if (fd < 0)
		goto out;
	file = pack(owner, settings, args);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto out;
	}
	fd_install(fd, file);
out:
	som_inode_put_owner(owner);
	return fd;
}
