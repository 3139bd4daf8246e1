/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An entry of owner->tables is an xarray value:
 *
 *	bits 0-1	enum som_level: how the unit is mapped
 *	bit 2		charged by itself, not by a reservation
 *	bit 3		discarded: MADV_DONTNEED covered all mapped parts of it;
 *			to be zeroed before it is accessed, or freed
 *	bit 4		zeroed: a part that MADV_DONTNEED covered was zeroed;
 *			not recorded in the unit's region yet
 *	bit 5		page-backed: ordinary memory, not a unit of the pool
 *	bit 6		shared: children may need its data (cow.c)
 *	bit 7		with bit 5: page-backed by policy; returns to the pool
 *			when 4 KiB entries are no longer needed (migrate.c)
 *	bits 8-		unit number: page frame number / 512
 *
 * Bits are changed by cmpxchg(), as not all changes are made under the same lock. A unit is
 * replaced under the fault_lock of the index. An entry is removed under owner->lock, or by
 * the fault that made it and failed.
 */
#ifndef _SOM_ENTRY_H
#define _SOM_ENTRY_H

#include <linux/bits.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include "som_types.h"

struct pid_namespace;

#define SOM_ENTRY_LEVEL		GENMASK(1, 0)
#define SOM_ENTRY_CHARGED	BIT(2)
#define SOM_ENTRY_DISCARDED	BIT(3)
#define SOM_ENTRY_ZEROED	BIT(4)
#define SOM_ENTRY_PAGE_BACKED	BIT(5)
#define SOM_ENTRY_SHARED	BIT(6)
#define SOM_ENTRY_BY_POLICY	BIT(7)
#define SOM_ENTRY_UNIT		8

/* Bytes of a run of tracked indices, including nodes of the maple tree. */
#define SOM_RUN_BYTES		64

/* Units removed from the tables at a time. */
#define SOM_BATCH		64

/* Bits for the kind of memory. */
#define SOM_ENTRY_KIND		(SOM_ENTRY_PAGE_BACKED | SOM_ENTRY_BY_POLICY)

/* For som_entry_replace(): keep the unit. */
#define SOM_UNIT_SAME		som_unit(ULONG_MAX)

static inline void *som_entry(som_unit_t unit, unsigned long bits)
{
	return xa_mk_value(som_unit_nr(unit) << SOM_ENTRY_UNIT | bits);
}

static inline som_unit_t som_entry_unit(const void *entry)
{
	return som_unit(xa_to_value(entry) >> SOM_ENTRY_UNIT);
}

static inline unsigned long som_entry_bits(const void *entry)
{
	return xa_to_value(entry) & GENMASK(SOM_ENTRY_UNIT - 1, 0);
}

static inline bool som_entry_test(const void *entry, unsigned long bits)
{
	return xa_to_value(entry) & bits;
}

static inline enum som_level som_entry_level(const void *entry)
{
	return xa_to_value(entry) & SOM_ENTRY_LEVEL;
}

void *som_entry_replace(struct som_owner *owner, unsigned long idx,
			som_unit_t unit, unsigned long clear,
			unsigned long set);
void som_entry_forget(struct som_owner *owner, const void *entry);
void som_entries_drop(struct som_owner *owner, void **entries,
		      unsigned int nr);
unsigned int som_entries_put(struct som_owner *owner, void **entries,
			     unsigned int nr, bool ended);
unsigned int som_entries_charged(void **entries, unsigned int nr);
void som_entries_forget(struct som_owner *owner, void **entries,
			unsigned int nr);
bool som_entry_pinned(const void *entry);

/**
 * som_entry_change - Change bits of an entry
 * @owner: owner
 * @idx: unit index
 * @clear: bits to clear
 * @set: bits to set
 * Context: Any; the entry may change concurrently unless the caller prevents it.
 * Return: the previous entry, or NULL if there is none.
 */
static inline void *som_entry_change(struct som_owner *owner, unsigned long idx,
				     unsigned long clear, unsigned long set)
{
	return som_entry_replace(owner, idx, SOM_UNIT_SAME, clear, set);
}

/**
 * som_entry_drop - Free the memory of an entry and release its own charge
 * @owner: owner
 * @entry: as for som_entries_drop()
 * Context: Process context.
 */
static inline void som_entry_drop(struct som_owner *owner, void *entry)
{
	som_entries_drop(owner, &entry, 1);
}

void som_collapse_want(struct som_owner *owner, unsigned long idx);

void som_owner_lock_all(struct som_owner *owner);
void som_owner_unlock_all(struct som_owner *owner);

void som_owner_set_pid(struct som_owner *owner);
pid_t som_owner_pid(struct som_owner *owner, struct pid_namespace *ns);

struct mutex *som_owner_lock_index(struct som_owner *owner, unsigned long idx);
bool som_owner_pinned(struct som_owner *owner, unsigned long idx);
bool som_owner_page_backed(struct som_owner *owner, unsigned long idx);
bool som_owner_auto_converted(struct som_owner *owner, unsigned long idx);
bool som_owner_has_child(struct som_owner *owner, unsigned long idx);
enum som_level som_owner_level(struct som_owner *owner, unsigned long idx);
void som_owner_set_level(struct som_owner *owner, unsigned long idx,
			 enum som_level level);
bool som_owner_populated(struct som_owner *owner, unsigned long *idx,
			 unsigned long last);
bool som_owner_may_record(struct som_owner *owner);
unsigned long som_records_max(struct som_owner *owner);
unsigned long som_records_now(struct som_owner *owner);

/**
 * som_owner_shared - Test whether children may need the data of a unit
 * @owner: owner
 * @idx: unit index
 * Context: som_owner_lock_unit() is held. Cheap if there is no child.
 * Return: true if so: call som_cow_break() before changing it.
 */
static inline bool som_owner_shared(struct som_owner *owner, unsigned long idx)
{
	return unlikely(READ_ONCE(owner->cow.has_child)) &&
	       som_owner_has_child(owner, idx);
}

bool som_work_begin(struct som_owner *owner);
bool som_work_lock(struct som_owner *owner);
void som_work_end(struct som_owner *owner);

#endif /* _SOM_ENTRY_H */
