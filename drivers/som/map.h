/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_MAP_H
#define _SOM_MAP_H

#include <linux/types.h>

struct som_claim;
struct som_mapping;
struct som_owner;

struct som_mapping *som_mapping_map(struct som_owner *owner, unsigned long addr,
				    unsigned long len, bool reservation, bool private,
				    struct som_claim *claim);
struct som_mapping *som_mapping_dup(struct som_mapping *old, unsigned long addr,
				    unsigned long first, unsigned long last,
				    bool split);
void som_mapping_copy_settings(struct som_mapping *mapping,
			       const struct som_mapping *old);
struct som_mapping *som_mapping_inherit(struct som_mapping *from,
					struct som_owner *owner);
void som_mapping_insert(struct som_mapping *mapping, unsigned long first,
			unsigned long last);
void som_mapping_unmap(struct som_mapping *mapping);
int som_mapping_reserve(struct som_mapping *mapping, unsigned long first,
			unsigned long last);
void som_owner_untrack(struct som_owner *owner, unsigned long first,
		       unsigned long last);

#endif /* _SOM_MAP_H */
