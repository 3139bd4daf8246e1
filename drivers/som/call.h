/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_CALL_H
#define _SOM_CALL_H

#include <linux/types.h>
#include <linux/som.h>

struct som_info;
struct som_pack;
struct som_parcel_info;
struct som_policy;
struct som_range;
struct som_reset;
struct som_settings;

/* What a call is made with: the structure of one of them. */
union som_args {
	__u32 size;
	struct som_info info;
	struct som_reset reset;
	struct som_range range;
	struct som_policy policy;
	struct som_pack pack;
	struct som_parcel_info parcel_info;
};

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

/**
 * struct som_ioctl_desc - a call
 * @cmd: command number.
 * @size: bytes of the structure that this kernel knows.
 * @min_size: bytes of its first version.
 * @handler: makes the call.
 * @results: what it has for its caller.
 */
struct som_ioctl_desc {
	unsigned int cmd;
	size_t size;
	size_t min_size;
	int (*handler)(struct som_settings *settings, union som_args *args);
	enum som_results results;
};

int som_ioctl_get_policy(struct som_settings *settings, union som_args *args);
int som_ioctl_set_policy(struct som_settings *settings, union som_args *args);
long som_call(const struct som_ioctl_desc *calls, unsigned int nr,
	      struct som_settings *settings, unsigned int cmd,
	      unsigned long arg);

#endif /* _SOM_CALL_H */
