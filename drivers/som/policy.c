// SPDX-License-Identifier: GPL-2.0
/*
 * What an open file can choose: SOM_IOC_GET_POLICY and SOM_IOC_SET_POLICY.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/som.h>
#include "policy.h"
#include "range.h"

static unsigned long map_size = SOM_UNIT_SIZE;
module_param(map_size, ulong, 0444);
MODULE_PARM_DESC(map_size, "bytes that one page table entry maps at most: 4096, 2097152 (default) or 1073741824");

static bool map_size_valid(u64 size)
{
	return size == PAGE_SIZE || size == SOM_UNIT_SIZE ||
	       size == SOM_CHUNK_SIZE;
}

/**
 * som_policy_init - check the module's parameters
 *
 * Context: Module load.
 * Return: 0 or -EINVAL.
 */
int som_policy_init(void)
{
	if (map_size_valid(map_size))
		return 0;
	pr_err("map_size=%lu is none of 4096, 2097152, 1073741824\n", map_size);
	return -EINVAL;
}

/**
 * som_policy_default - settings of a file that was just opened
 * @settings: where they go
 */
void som_policy_default(struct som_settings *settings)
{
	settings->map_size = map_size;
}

/**
 * som_policy_get - tell the settings of a file
 * @settings: the settings
 * @args: where they go
 *
 * Return: 0 or -EINVAL.
 */
int som_policy_get(const struct som_settings *settings,
		   struct som_policy *args)
{
	if (args->flags)
		return -EINVAL;
	args->map_size = READ_ONCE(settings->map_size);
	return 0;
}

/**
 * som_policy_set - change the settings of a file
 * @settings: the settings
 * @args: what they shall be
 *
 * Return: 0 or -EINVAL.
 */
int som_policy_set(struct som_settings *settings,
		   const struct som_policy *args)
{
	if (args->flags || !map_size_valid(args->map_size))
		return -EINVAL;
	WRITE_ONCE(settings->map_size, args->map_size);
	return 0;
}
