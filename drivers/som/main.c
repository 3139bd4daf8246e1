// SPDX-License-Identifier: GPL-2.0
/*
 * Load and unload the module, and register /dev/som.
 */
#include <linux/miscdevice.h>
#include <linux/module.h>
#include "access.h"
#include "anon.h"
#include "cache.h"
#include "cgroup.h"
#include "collapse.h"
#include "discard.h"
#include "file.h"
#include "hwpoison.h"
#include "policy.h"
#include "pool.h"
#include "rights.h"
#include "sysfs.h"
#include "tables.h"
#include "vma.h"
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
	som_vma_init();
	ret = som_policy_init();
	if (ret)
		return ret;
	ret = som_rights_init();
	if (ret)
		return ret;
	ret = som_tables_module_init();
	if (ret)
		goto out_rights;
	ret = som_private_init();
	if (ret)
		goto out_units;
	/* Register before the pool has memory that can fail. */
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
	/* Publish the device last: programs can open it from now on. */
	ret = misc_register(&som_device);
	if (ret)
		goto out_sysfs;
	som_debugfs_init();
	return 0;

out_sysfs:
	som_sysfs_exit();
	/* Writes to sysfs may have queued work since the groups exist. */
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
out_units:
	som_tables_module_exit();
out_rights:
	som_rights_exit();
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
	som_private_exit();
	som_collapse_exit();
	som_zero_exit();
	som_pool_exit();
	som_cgroup_exit();
	som_hwpoison_exit();
	som_tables_module_exit();
	som_rights_exit();
	som_anon_exit();
}
module_exit(som_exit);

MODULE_DESCRIPTION("Single-owner memory");
MODULE_LICENSE("GPL");
