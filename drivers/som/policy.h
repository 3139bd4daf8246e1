/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_POLICY_H
#define _SOM_POLICY_H

#include <linux/types.h>
#include "som_types.h"

struct mm_struct;
struct som_policy;

/**
 * struct som_settings - how an open file maps memory
 * @mm: address space that opened the file, the only one that may change the settings; the
 *	structure is referenced, not its users.
 * @map_size: maximum bytes that one entry maps.
 * @max_units: limit of units of a process that maps through the file.
 * @reuse: units cached by a process need not be zeroed.
 * @fork: what a child inherits.
 * @auto_convert: units that need 4 KiB entries become page-backed.
 * @map_pgoff: page offset that mmap must use.
 */
struct som_settings {
	struct mm_struct *mm;
	unsigned long map_size;
	unsigned long max_units;
	bool reuse;
	enum som_fork fork;
	bool auto_convert;
	unsigned long map_pgoff;
};

int som_policy_init(void);
void som_policy_open(struct som_settings *settings);
void som_policy_copy(struct som_settings *settings,
		     const struct som_settings *from);
void som_policy_release(struct som_settings *settings);
unsigned long som_policy_max_units(const struct som_settings *settings,
				   const struct som_owner *owner);
int som_policy_get(const struct som_settings *settings,
		   struct som_policy *args);
int som_policy_set(struct som_settings *settings,
		   const struct som_policy *args);

#endif /* _SOM_POLICY_H */
