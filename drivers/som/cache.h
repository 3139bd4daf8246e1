/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_CACHE_H
#define _SOM_CACHE_H

#include <linux/list.h>
#include <linux/types.h>
#include <linux/xarray.h>
#include "range.h"

struct mm_struct;
struct som_account;

/**
 * struct som_cache - units cached by an owner
 * @units: unit number -> any value.
 * @nr: number of units.
 * @list: link in the list of caches that have been used.
 * @account: the owner's account, which is charged.
 * @mm: the owner's address space; the owner holds a reference.
 */
struct som_cache {
	struct xarray units;
	atomic_long_t nr;
	struct list_head list;
	struct som_account *account;
	struct mm_struct *mm;
};

extern unsigned long som_cache_max;
extern unsigned long som_cache_low;
extern unsigned long som_release_rate;

void som_cache_init(struct som_cache *cache, struct som_account *account,
		    struct mm_struct *mm);
void som_cache_destroy(struct som_cache *cache);
bool som_cache_keep(struct som_cache *cache, som_unit_t unit,
		    bool charged);
som_unit_t som_cache_take(struct som_cache *cache);
bool som_cache_drain(void);
bool som_cache_transfer(struct som_account *from, struct som_account *to,
			unsigned long nr_units);
bool som_cache_charge(struct som_account *account, unsigned long nr_units);
unsigned long som_cache_total(void);
void som_cache_changed(void);
void som_cache_exit(void);

/**
 * som_cache_on - Test whether caching is enabled
 * Return: true if it is.
 */
static inline bool som_cache_on(void)
{
	return READ_ONCE(som_cache_max);
}

#endif /* _SOM_CACHE_H */
