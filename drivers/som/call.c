// SPDX-License-Identifier: GPL-2.0
/*
 * Dispatch ioctls and copy their structures in and out.
 *
 * The size field of a structure tells its version: fields that the caller does not know
 * are zero, and fields that this kernel does not know must be zero. A call that changes
 * state and has results checks first that it can write them.
 */
#include <linux/mm.h>
#include <linux/uaccess.h>
#include "call.h"
#include "policy.h"

/**
 * som_ioctl_get_policy - Handle SOM_IOC_GET_POLICY
 * @settings: settings of the file
 * @args: destination
 *
 * Context: Process context.
 * Return: as som_policy_get().
 */
int som_ioctl_get_policy(struct som_settings *settings, union som_args *args)
{
	return som_policy_get(settings, &args->policy);
}

/**
 * som_ioctl_set_policy - Handle SOM_IOC_SET_POLICY
 * @settings: settings of the file
 * @args: new policy
 *
 * Context: Process context.
 * Return: as som_policy_set().
 */
int som_ioctl_set_policy(struct som_settings *settings, union som_args *args)
{
	return som_policy_set(settings, &args->policy);
}

static const struct som_ioctl_desc *find_desc(const struct som_ioctl_desc *calls,
					      unsigned int nr, unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (calls[i].cmd == cmd)
			return &calls[i];
	}
	return NULL;
}

/**
 * som_call - Dispatch an ioctl
 * @calls: calls of this kind of file
 * @nr: number of @calls
 * @settings: settings of the file
 * @cmd: command number
 * @arg: user address of the structure
 *
 * Context: Process context.
 * Return: -ENOTTY for an unknown command; otherwise as documented in
 * include/uapi/linux/som.h.
 */
long som_call(const struct som_ioctl_desc *calls, unsigned int nr,
	      struct som_settings *settings, unsigned int cmd,
	      unsigned long arg)
{
	void __user *user = (void __user *)arg;
	const struct som_ioctl_desc *desc = find_desc(calls, nr, cmd);
	union som_args args = {};
	size_t out;
	u32 size;
	int ret;

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
