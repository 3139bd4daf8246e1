/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_MAPPING_H
#define _SOM_MAPPING_H

#include <linux/mm.h>
#include <linux/types.h>
#include "som_types.h"

struct vm_area_struct;

bool som_owner_maps_2m(const struct vm_area_struct *vma);
unsigned long som_mapping_run(struct som_mapping *mapping, unsigned long first,
			      unsigned long last, bool *superseded);
bool som_mapping_crowded(struct som_mapping *mapping);
bool som_owner_superseded(struct som_owner *owner, unsigned long first,
			  unsigned long last);
bool som_owner_maps_once(struct som_owner *owner, unsigned long idx);
bool som_owner_find_alias(struct som_owner *owner, unsigned long first,
			  unsigned long last);

/**
 * som_owner_aliased - Test whether page offsets are mapped more than once
 * @owner: owner
 * @first: first page offset
 * @last: last page offset
 * Context: mmap_lock is held, so the result can only change from true to false. Takes
 * owner->lock.
 * Return: true if any is.
 */
static inline bool som_owner_aliased(struct som_owner *owner,
				     unsigned long first, unsigned long last)
{
	return unlikely(READ_ONCE(owner->may_alias)) &&
	       som_owner_find_alias(owner, first, last);
}

/**
 * som_mapping_may_be_superseded - Test whether som_mapping_run() must be called
 * @mapping: mapping
 * Return: false only if no page offset of the mapping is mapped elsewhere.
 */
static inline bool som_mapping_may_be_superseded(const struct som_mapping *mapping)
{
	return mapping->private && READ_ONCE(mapping->owner->may_alias);
}

/**
 * som_mapping_superseded - Test whether page offsets of a mapping were moved elsewhere
 * @mapping: mapping
 * @first: first page offset
 * @last: last page offset
 * Context: as som_mapping_run().
 * Return: true if any was.
 */
static inline bool som_mapping_superseded(struct som_mapping *mapping,
					  unsigned long first, unsigned long last)
{
	bool superseded = false;
	unsigned long next;

	if (!som_mapping_may_be_superseded(mapping))
		return false;
	for (; first <= last && !superseded; first = next + 1)
		next = som_mapping_run(mapping, first, last, &superseded);
	return superseded;
}

extern const struct vm_operations_struct *som_plain_ops;
extern const struct vm_operations_struct *som_tracked_ops;
struct som_mapping *som_vma_mapping(const struct vm_area_struct *vma);
bool som_vma_tracked(const struct vm_area_struct *vma);
bool som_mapping_keeps_kind(const struct som_mapping *mapping);
bool som_vma_ready(const struct vm_area_struct *vma);

#endif /* _SOM_MAPPING_H */
