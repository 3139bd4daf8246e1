// SPDX-License-Identifier: GPL-2.0
/*
 * Single-owner memory: /dev/som. Load, unload, the device and the parameters.
 *
 * How the parts depend on each other, from the top down:
 *
 *	main: access, sysfs, debugfs, file, hwpoison, policy, private, collapse, zero, trim, units,
 *		recycle, work, pool
 *	debugfs: parcel_file, inode, owner, pool
 *	parcel_file: parcel, file, vma, inode, area, owner
 *	sysfs: migrate, parcel, page-backed, account, recycle, zero, trim, pool
 *	file: ioctl, parcel, remap, vma, inode, area, policy, private
 *	ioctl: parcel_file, pagemap, reset, pin, policy, inode, owner, pool
 *	hwpoison: inode, entry, zap, owner, page-backed, pool
 *	pin: migrate, vma, inode, owner, page-backed, pool
 *	migrate: parcel, inode, entry, collapse, zap, owner, pool
 *	pagemap, reset: track, scan, vma, inode, punch, owner
 *	track: vma, pte, owner, scan, collapse, zap, pool
 *	inode: remap, private, punch, owner, area
 *	private: vma, punch, work, zap, owner
 *	remap: vma, owner
 *	dump: zap, owner, pool
 *	vma: access, dump, pte, around, pud, convert, collapse, punch, zap, owner, pool
 *	around: pud, vma, entry, owner, pool
 *	pud: entry, owner, numa, pool
 *	punch: entry, collapse, work, zap, owner, pool
 *	collapse: convert, pte, entry, work, zap, owner
 *	convert: migrate, entry, owner, page-backed, pool
 *	owner, parcel, entry, zap: units, dirty log, page-backed, recycle, account, cgroup, numa,
 *	pool
 *	recycle: account, work, pool
 *	account: pool
 *	zero, trim, numa: pool
 *	pool: unitmap, commit, source_hugetlb, source_range
 *	source_hugetlb: anon
 */
#include <linux/miscdevice.h>
#include <linux/module.h>
#include "access.h"
#include "anon.h"
#include "cgroup.h"
#include "collapse.h"
#include "debugfs.h"
#include "file.h"
#include "hwpoison.h"
#include "policy.h"
#include "pool.h"
#include "private.h"
#include "recycle.h"
#include "sysfs.h"
#include "trim.h"
#include "units.h"
#include "work.h"
#include "zero.h"

static unsigned long chunks;
module_param(chunks, ulong, 0444);
MODULE_PARM_DESC(chunks, "1 GiB chunks to take from HugeTLB at load (default 0)");

static struct miscdevice som_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "som",
	.fops = &som_fops,
	.mode = 0600,
};

static int __init som_init(void)
{
	int ret;

	som_access_init();
	som_anon_init();
	ret = som_policy_init();
	if (ret)
		return ret;
	ret = som_units_module_init();
	if (ret)
		return ret;
	ret = som_work_init();
	if (ret)
		goto out_units;
	ret = som_private_init();
	if (ret)
		goto out_work;
	/* Before there is any memory that can fail. */
	ret = som_hwpoison_init();
	if (ret)
		goto out_private;
	ret = som_pool_init(chunks);
	if (ret)
		goto out_hwpoison;
	ret = som_zero_init();
	if (ret)
		goto out_pool;
	ret = -ENOMEM;
	som_device.groups = som_sysfs_init();
	if (!som_device.groups)
		goto out_zero;
	/* Last: from now on it can be opened, and nothing can fail any more. */
	ret = misc_register(&som_device);
	if (ret)
		goto out_sysfs;
	som_debugfs_init();
	return 0;

out_sysfs:
	som_sysfs_exit();
	/* Settings could be changed while the device was made. */
	som_cache_exit();
	som_trim_exit();
out_zero:
	som_zero_exit();
out_pool:
	som_pool_exit();
	som_cgroup_exit();
out_hwpoison:
	som_hwpoison_exit();
out_private:
	som_private_exit();
out_work:
	som_work_exit();
out_units:
	som_units_module_exit();
	som_anon_exit();
	return ret;
}
module_init(som_init);

static void __exit som_exit(void)
{
	som_debugfs_exit();
	misc_deregister(&som_device);
	som_sysfs_exit();
	som_cache_exit();
	som_trim_exit();
	som_work_exit();
	som_private_exit();
	som_collapse_exit();
	som_zero_exit();
	som_pool_exit();
	som_cgroup_exit();
	som_hwpoison_exit();
	som_units_module_exit();
	som_anon_exit();
}
module_exit(som_exit);

MODULE_DESCRIPTION("Single-owner memory");
MODULE_LICENSE("GPL");
