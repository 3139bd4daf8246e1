// SPDX-License-Identifier: GPL-2.0
/*
 * Ioctls of /dev/som.
 */
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/som.h>
#include <linux/stddef.h>
#include <uapi/linux/fs.h>
#include "call.h"
#include "convert.h"
#include "inode.h"
#include "ioctl.h"
#include "owner.h"
#include "pagemap_scan.h"
#include "parcel_file.h"
#include "policy.h"
#include "pool.h"
#include "range.h"
#include "reset.h"
#include "som_types.h"
#include "view_file.h"

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
	return som_convert(&args->range, true);
}

static int som_ioctl_pool_backed(struct som_settings *settings,
				 union som_args *args)
{
	return som_convert(&args->range, false);
}

static int som_ioctl_pack(struct som_settings *settings, union som_args *args)
{
	return som_pack(settings, &args->pack);
}

static int som_ioctl_view(struct som_settings *settings, union som_args *args)
{
	return som_view_open(&args->view);
}

static const struct som_ioctl_desc som_ioctls[] = {
	{
		.cmd = SOM_IOC_INFO,
		.size = sizeof(struct som_info),
		.min_size = offsetofend(struct som_info, units_4k),
		.handler = som_ioctl_info,
		.results = SOM_RESULTS,
	},
	{
		.cmd = SOM_IOC_RESET,
		.size = sizeof(struct som_reset),
		.min_size = offsetofend(struct som_reset, released_start),
		.handler = som_ioctl_reset,
		.results = SOM_RESULTS_PARTIAL,
	},
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
		.cmd = SOM_IOC_PAGE_BACKED,
		.size = sizeof(struct som_range),
		.min_size = offsetofend(struct som_range, walk_end),
		.handler = som_ioctl_page_backed,
		.results = SOM_RESULTS_PARTIAL,
	},
	{
		.cmd = SOM_IOC_POOL_BACKED,
		.size = sizeof(struct som_range),
		.min_size = offsetofend(struct som_range, walk_end),
		.handler = som_ioctl_pool_backed,
		.results = SOM_RESULTS_PARTIAL,
	},
	{
		.cmd = SOM_IOC_PACK,
		.size = sizeof(struct som_pack),
		.min_size = offsetofend(struct som_pack, end),
		.handler = som_ioctl_pack,
	},
	{
		.cmd = SOM_IOC_VIEW,
		.size = sizeof(struct som_open_view),
		.min_size = offsetofend(struct som_open_view, reserved),
		.handler = som_ioctl_view,
	},
};

/**
 * som_ioctl - Dispatch an ioctl of /dev/som
 * @settings: settings of the file
 * @cmd: command number
 * @arg: user address of the structure
 *
 * Context: Process context.
 * Return: as documented in include/uapi/linux/som.h.
 */
long som_ioctl(struct som_settings *settings, unsigned int cmd,
	       unsigned long arg)
{
	/* Call of the kernel, whose structure has other rules than those of the table. */
	if (cmd == PAGEMAP_SCAN)
		return som_pagemap_scan((void __user *)arg);
	return som_call(som_ioctls, ARRAY_SIZE(som_ioctls), settings, cmd, arg);
}
