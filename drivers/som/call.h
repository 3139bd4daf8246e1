/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_CALL_H
#define _SOM_CALL_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>
#include <linux/som.h>

struct som_info;
struct som_open_view;
struct som_pack;
struct som_parcel_info;
struct som_policy;
struct som_range;
struct som_reset;
struct som_settings;
struct som_view_maps;

/* Structure of any call. */
union som_args {
	__u32 size;
	struct som_info info;
	struct som_reset reset;
	struct som_range range;
	struct som_policy policy;
	struct som_pack pack;
	struct som_parcel_info parcel_info;
	struct som_open_view view;
	struct som_view_maps view_maps;
};

/* The last field of the first version of each structure. */
static_assert(offsetofend(struct som_info, units_4k) == SOM_INFO_SIZE_VER0);
static_assert(offsetofend(struct som_reset, released_start) ==
	      SOM_RESET_SIZE_VER0);
static_assert(offsetofend(struct som_policy, map_size) == SOM_POLICY_SIZE_VER0);
static_assert(offsetofend(struct som_range, walk_end) == SOM_RANGE_SIZE_VER0);
static_assert(offsetofend(struct som_pack, end) == SOM_PACK_SIZE_VER0);
static_assert(offsetofend(struct som_parcel_info, uid) ==
	      SOM_PARCEL_INFO_SIZE_VER0);
static_assert(offsetofend(struct som_open_view, reserved) ==
	      SOM_OPEN_VIEW_SIZE_VER0);
static_assert(offsetofend(struct som_view_maps, walk_end) ==
	      SOM_VIEW_MAPS_SIZE_VER0);
static_assert(sizeof(struct som_view_map) == SOM_VIEW_MAP_SIZE_VER0);

/**
 * enum som_results - when to copy the structure of a call back
 * @SOM_RESULTS_NONE: never.
 * @SOM_RESULTS: on success. The call changes no state.
 * @SOM_RESULTS_PARTIAL: always: the call changes state, and reports how far it got on error.
 */
enum som_results {
	SOM_RESULTS_NONE,
	SOM_RESULTS,
	SOM_RESULTS_PARTIAL,
};

/**
 * struct som_ioctl_desc - description of a call
 * @cmd: command number.
 * @size: size in bytes of the structure that this kernel knows.
 * @min_size: size in bytes of its first version.
 * @handler: function that performs the call.
 * @results: when to copy the structure back.
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
