/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_OWNER_H
#define _SOM_OWNER_H

#include <linux/types.h>
#include "som_types.h"

struct mm_struct;

/**
 * struct som_owner_stats - snapshot of an owner
 * @mapped_pages: 4 KiB pages in its mappings.
 * @nr_reserved: units reserved.
 * @nr_level: units held, by enum som_level.
 * @nr_page_backed: page-backed units held.
 * @records: bytes of records, which grow with the addresses used.
 * @max_records: limit of @records.
 */
struct som_owner_stats {
	unsigned long mapped_pages;
	unsigned long nr_reserved;
	unsigned long nr_level[SOM_LEVELS];
	unsigned long nr_page_backed;
	unsigned long records;
	unsigned long max_records;
};

struct som_owner *som_owner_alloc(struct mm_struct *mm);
void som_owner_destroy(struct som_owner *owner);
void som_owner_free(struct som_owner *owner);
void som_owner_stats(struct som_owner *owner, struct som_owner_stats *stats);

void som_inode_disinherit(struct som_owner *owner);

#endif /* _SOM_OWNER_H */
