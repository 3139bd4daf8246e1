// SPDX-License-Identifier: GPL-2.0
/*
 * Settings of an open file: SOM_IOC_GET_POLICY and SOM_IOC_SET_POLICY.
 *
 * A descriptor may be passed on by fork, exec and SCM_RIGHTS, and its settings affect the
 * memory of every process that maps through it. So only the address space that opened the
 * file may change them; not a child, not another program in the same process, and not the
 * receiver of the descriptor. These can open the device themselves if they have permission.
 * When the opener exits or executes another program, the settings become constant.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/array_size.h>
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/stddef.h>
#include <linux/som.h>
#include "cgroup.h"
#include "compat.h"
#include "policy.h"
#include "range.h"
#include "som_types.h"

#define SOM_POLICY_OPTIONS	(SOM_POLICY_REUSE | SOM_POLICY_FORK_COPY |	\
				 SOM_POLICY_FORK_NORESERVE |		\
				 SOM_POLICY_PAGE_BACKED)

static unsigned long map_size = SOM_UNIT_SIZE;
module_param(map_size, ulong, 0444);
MODULE_PARM_DESC(map_size, "bytes that one page table entry maps at most: 4096, 2097152 (default) or 1073741824");

/* Makes get and set atomic with respect to each other. */
static DEFINE_MUTEX(som_policy_lock);

static bool map_size_valid(u64 size)
{
	return size == PAGE_SIZE || size == SOM_UNIT_SIZE ||
	       size == SOM_CHUNK_SIZE;
}

/**
 * som_policy_init - Check the module parameters
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
 * som_policy_open - Initialise the settings of a file that the current process opens
 * @settings: the settings
 * Context: Process context.
 */
void som_policy_open(struct som_settings *settings)
{
	settings->mm = current->mm;
	if (settings->mm)
		mmgrab(settings->mm);
	settings->map_size = map_size;
	settings->max_units = SOM_NO_LIMIT;
	settings->reuse = false;
	settings->auto_convert = false;
	settings->fork = SOM_FORK_NONE;
	settings->map_pgoff = 0;
}

/**
 * som_policy_copy - Copy settings, and the right to change them, from another file
 * @settings: the new settings
 * @from: settings to copy
 * Context: Process context.
 */
void som_policy_copy(struct som_settings *settings,
		     const struct som_settings *from)
{
	mutex_lock(&som_policy_lock);
	*settings = *from;
	mutex_unlock(&som_policy_lock);
	if (settings->mm)
		mmgrab(settings->mm);
}

/**
 * som_policy_release - Undo som_policy_open()
 * @settings: the settings
 * Context: Process context.
 */
void som_policy_release(struct som_settings *settings)
{
	if (settings->mm)
		mmdrop(settings->mm);
}

/**
 * som_policy_max_units - Return the limit that a file sets for an owner
 * @settings: settings of the file
 * @owner: owner that maps through it
 *
 * A limit that another process set only applies if the owner has no other memory, as it
 * would limit that, too.
 * Context: Process context; mmap_lock is held for write.
 * Return: number of units, or SOM_NO_LIMIT.
 */
unsigned long som_policy_max_units(const struct som_settings *settings,
				   const struct som_owner *owner)
{
	return owner->mm == settings->mm || !READ_ONCE(owner->mapped_pages) ?
		READ_ONCE(settings->max_units) : SOM_NO_LIMIT;
}

static const u64 fork_options[] = {
	[SOM_FORK_NONE] = 0,
	[SOM_FORK_COPY] = SOM_POLICY_FORK_COPY,
	[SOM_FORK_COPY_NORESERVE] = SOM_POLICY_FORK_COPY |
				    SOM_POLICY_FORK_NORESERVE,
};

/* Convert options to a fork policy, or return -EINVAL. */
static int fork_policy(u64 options)
{
	unsigned int i;

	options &= SOM_POLICY_FORK_COPY | SOM_POLICY_FORK_NORESERVE;
	for (i = 0; i < ARRAY_SIZE(fork_options); i++) {
		if (fork_options[i] == options)
			return i;
	}
	return -EINVAL;
}

/**
 * som_policy_get - Return the settings of a file
 * @settings: the settings
 * @args: result
 * Return: 0 or -EINVAL.
 */
int som_policy_get(const struct som_settings *settings,
		   struct som_policy *args)
{
	unsigned long max_units;

	if (args->flags)
		return -EINVAL;
	mutex_lock(&som_policy_lock);
	args->map_size = READ_ONCE(settings->map_size);
	max_units = READ_ONCE(settings->max_units);
	args->max_units = max_units == SOM_NO_LIMIT ? 0 : max_units;
	args->options = READ_ONCE(settings->reuse) ? SOM_POLICY_REUSE : 0;
	args->options |= fork_options[READ_ONCE(settings->fork)];
	if (READ_ONCE(settings->auto_convert))
		args->options |= SOM_POLICY_PAGE_BACKED;
	args->map_offset = (__u64)READ_ONCE(settings->map_pgoff) << PAGE_SHIFT;
	mutex_unlock(&som_policy_lock);
	return 0;
}

/* Lower the limit. Return: false if the new limit is higher. */
static bool lower_max_units(struct som_settings *settings, u64 max_units)
{
	unsigned long new = max_units ?: SOM_NO_LIMIT;

	if (new > settings->max_units)
		return false;
	WRITE_ONCE(settings->max_units, new);
	return true;
}

static int policy_set(struct som_settings *settings,
		      const struct som_policy *args)
{
	bool limit = args->size >= offsetofend(struct som_policy, max_units);
	bool options = args->size >= offsetofend(struct som_policy, options);
	bool offset = args->size >= offsetofend(struct som_policy, map_offset);
	int fork = fork_policy(args->options);

	if (args->flags || !map_size_valid(args->map_size) || fork < 0 ||
	    args->options & ~(u64)SOM_POLICY_OPTIONS ||
	    !PAGE_ALIGNED(args->map_offset))
		return -EINVAL;
	/* A call with the older structure keeps the fork policy. */
	if (!options)
		fork = READ_ONCE(settings->fork);
	/* Parts of a 1 GiB entry cannot be shared. */
	if (fork != SOM_FORK_NONE && args->map_size > SOM_UNIT_SIZE)
		return -EINVAL;
	if (fork != SOM_FORK_NONE && !som_fork_can_fail())
		return -EOPNOTSUPP;
	if (limit && !lower_max_units(settings, args->max_units))
		return -EINVAL;
	WRITE_ONCE(settings->map_size, args->map_size);
	if (offset)
		WRITE_ONCE(settings->map_pgoff, args->map_offset >> PAGE_SHIFT);
	if (!options)
		return 0;
	WRITE_ONCE(settings->reuse, args->options & SOM_POLICY_REUSE);
	WRITE_ONCE(settings->auto_convert,
		   args->options & SOM_POLICY_PAGE_BACKED);
	WRITE_ONCE(settings->fork, fork);
	return 0;
}

/**
 * som_policy_set - Change the settings of a file
 * @settings: the settings
 * @args: new settings
 * Context: Process context.
 * Return: 0; -EPERM if another address space opened the file; -EINVAL; -EOPNOTSUPP.
 */
int som_policy_set(struct som_settings *settings,
		   const struct som_policy *args)
{
	int ret;

	if (!current->mm || current->mm != settings->mm)
		return -EPERM;
	mutex_lock(&som_policy_lock);
	ret = policy_set(settings, args);
	mutex_unlock(&som_policy_lock);
	return ret;
}
