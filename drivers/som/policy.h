/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_POLICY_H
#define _SOM_POLICY_H

#include <linux/types.h>
#include "som_types.h"

struct mm_struct;
struct som_policy;

/**
 * struct som_settings - how an open file maps memory
 * @mm: the address space that opened it, the only one that may change them; its structure,
 *	not its users, is referenced.
 * @map_size: bytes that one entry maps at most.
 * @max_units: what a process that maps through it may have at most.
 * @reuse: units that a process has kept need not be zeroed.
 * @fork: what a child gets.
 * @auto_convert: units that need 4 KiB entries become ordinary pages.
 * @map_pgoff: page offset that mmap has to name.
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
