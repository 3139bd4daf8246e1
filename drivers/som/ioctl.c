// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of /dev/som: one table, one way in and out for every structure.
 *
 * A structure is copied in by its own size field, bytes the caller did not
 * have are zero, bytes this kernel does not know must be zero. Where a call has
 * results, it is copied out as far as the caller's size goes. A call that changes
 * something and has results is only made if they can be written; one without results
 * does not care.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <linux/som.h>
#include <uapi/linux/fs.h>
#include "inode.h"
#include "ioctl.h"
#include "owner.h"
#include "pagemap.h"
#include "parcel_file.h"
#include "pin.h"
#include "policy.h"
#include "pool.h"
#include "range.h"
#include "reset.h"

union som_args {
	__u32 size;
	struct som_info info;
	struct som_reset reset;
	struct som_range range;
	struct som_policy policy;
	struct som_pack pack;
	struct som_parcel_info parcel_info;
};

static int som_ioctl_info(struct som_settings *settings,
			  union som_args *args)
{
	struct som_info *info = &args->info;
	struct som_owner_stats stats = {};
	struct som_pool_stats pool;
	struct som_owner *owner;

	if (info->flags)
		return -EINVAL;

	owner = som_inode_find_owner(current->mm);
	if (owner) {
		som_owner_stats(owner, &stats);
		som_inode_put_owner(owner);
	}
	som_pool_stats(NUMA_NO_NODE, &pool);
	info->unit_size = SOM_UNIT_SIZE;
	info->chunk_size = SOM_CHUNK_SIZE;
	info->pool_units = pool.total;
	info->pool_free = pool.free;
	info->pool_committed = pool.committed;
	info->mapped_bytes = (__u64)stats.mapped_pages << PAGE_SHIFT;
	info->reserved_units = stats.nr_reserved;
	info->units_2m = stats.nr_level[SOM_LEVEL_2M];
	info->units_4k = stats.nr_level[SOM_LEVEL_4K];
	info->units_1g = stats.nr_level[SOM_LEVEL_1G];
	info->units_page_backed = stats.nr_page_backed;
	return 0;
}

static int som_ioctl_reset(struct som_settings *settings,
			   union som_args *args)
{
	return som_reset(&args->reset);
}

static int som_ioctl_page_backed(struct som_settings *settings,
				 union som_args *args)
{
	return som_pin(&args->range, true);
}

static int som_ioctl_pool_backed(struct som_settings *settings,
				 union som_args *args)
{
	return som_pin(&args->range, false);
}

static int som_ioctl_get_policy(struct som_settings *settings,
				union som_args *args)
{
	return som_policy_get(settings, &args->policy);
}

static int som_ioctl_set_policy(struct som_settings *settings,
				union som_args *args)
{
	return som_policy_set(settings, &args->policy);
}

static int som_ioctl_pack(struct som_settings *settings, union som_args *args)
{
	return som_pack(settings, &args->pack);
}

static int som_ioctl_parcel_info(struct som_settings *settings,
				 union som_args *args)
{
	return som_parcel_get_info(settings, &args->parcel_info);
}

/**
 * enum som_results - what a call has for its caller
 * @SOM_RESULTS_NONE: nothing but the return value.
 * @SOM_RESULTS: results, unless it fails; it changes nothing.
 * @SOM_RESULTS_PARTIAL: it changes something, and an error leaves results, too.
 */
enum som_results {
	SOM_RESULTS_NONE,
	SOM_RESULTS,
	SOM_RESULTS_PARTIAL,
};

struct som_ioctl_desc {
	unsigned int cmd;
	size_t size;		/* of the structure this kernel knows */
	size_t min_size;	/* of its first version */
	int (*handler)(struct som_settings *settings, union som_args *args);
	enum som_results results;
	enum som_on on;		/* SOM_ON_DEVICE, if it is left out */
};

static const struct som_ioctl_desc som_ioctls[] = {
	{
		.cmd = SOM_IOC_INFO,
		.size = sizeof(struct som_info),
		.min_size = SOM_INFO_SIZE_VER0,
		.handler = som_ioctl_info,
		.results = SOM_RESULTS,
	},
	{
		.cmd = SOM_IOC_RESET,
		.size = sizeof(struct som_reset),
		.min_size = SOM_RESET_SIZE_VER0,
		.handler = som_ioctl_reset,
		.results = SOM_RESULTS_PARTIAL,
	},
	{
		.cmd = SOM_IOC_GET_POLICY,
		.size = sizeof(struct som_policy),
		.min_size = SOM_POLICY_SIZE_VER0,
		.handler = som_ioctl_get_policy,
		.results = SOM_RESULTS,
		.on = SOM_ON_BOTH,
	},
	{
		.cmd = SOM_IOC_SET_POLICY,
		.size = sizeof(struct som_policy),
		.min_size = SOM_POLICY_SIZE_VER0,
		.handler = som_ioctl_set_policy,
		.on = SOM_ON_BOTH,
	},
	{
		.cmd = SOM_IOC_PAGE_BACKED,
		.size = sizeof(struct som_range),
		.min_size = SOM_RANGE_SIZE_VER0,
		.handler = som_ioctl_page_backed,
		.results = SOM_RESULTS_PARTIAL,
	},
	{
		.cmd = SOM_IOC_POOL_BACKED,
		.size = sizeof(struct som_range),
		.min_size = SOM_RANGE_SIZE_VER0,
		.handler = som_ioctl_pool_backed,
		.results = SOM_RESULTS_PARTIAL,
	},
	{
		.cmd = SOM_IOC_PACK,
		.size = sizeof(struct som_pack),
		.min_size = SOM_PACK_SIZE_VER0,
		.handler = som_ioctl_pack,
	},
	{
		.cmd = SOM_IOC_PARCEL_INFO,
		.size = sizeof(struct som_parcel_info),
		.min_size = SOM_PARCEL_INFO_SIZE_VER0,
		.handler = som_ioctl_parcel_info,
		.results = SOM_RESULTS,
		.on = SOM_ON_PARCEL,
	},
};

static const struct som_ioctl_desc *ioctl_find_desc(unsigned int cmd, enum som_on on)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(som_ioctls); i++) {
		if (som_ioctls[i].cmd == cmd)
			return (som_ioctls[i].on ?: SOM_ON_DEVICE) & on ?
				&som_ioctls[i] : NULL;
	}
	return NULL;
}

/**
 * som_ioctl - make a call
 * @settings: of the open /dev/som or of the parcel
 * @on: which of them it is
 * @cmd: command number
 * @arg: user address of its structure
 *
 * Context: Process context.
 * Return: as include/uapi/linux/som.h says of the command.
 */
long som_ioctl(struct som_settings *settings, enum som_on on,
	       unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	const struct som_ioctl_desc *desc = ioctl_find_desc(cmd, on);
	union som_args args = {};
	size_t out;
	u32 size;
	int ret;

	/* The kernel's own call: not in the table, as its rules are its own. */
	if (cmd == PAGEMAP_SCAN && on == SOM_ON_DEVICE)
		return som_pagemap_scan(user);
	if (!desc)
		return -ENOTTY;
	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < desc->min_size)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(&args, desc->size, user, size);
	if (ret)
		return ret;

	args.size = size;
	out = min_t(size_t, size, desc->size);
	if (desc->results == SOM_RESULTS_PARTIAL &&
	    copy_to_user(user, &args, out))
		return -EFAULT;
	ret = desc->handler(settings, &args);
	if (desc->results == SOM_RESULTS_NONE ||
	    (ret && desc->results != SOM_RESULTS_PARTIAL))
		return ret;
	return copy_to_user(user, &args, out) ? -EFAULT : ret;
}
