/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_PUNCH_H
#define _SOM_PUNCH_H

#include <linux/types.h>

struct som_mapping;
struct som_owner;

/**
 * define SOM_DISCARD_MS - milliseconds before discarded units are freed; they may be reused.
 */
#define SOM_DISCARD_MS	10
/**
 * define SOM_PINNED_MS - milliseconds between checks whether discarded units are still pinned.
 */
#define SOM_PINNED_MS	100

int som_owner_punch(struct som_owner *owner, unsigned long first,
		    unsigned long last, unsigned long *given);
bool som_owner_discard(struct som_owner *owner, unsigned long first,
		       unsigned long last);
void som_mapping_discard_left(struct som_mapping *mapping);
void som_owner_release_discarded(struct som_owner *owner);

#endif /* _SOM_PUNCH_H */
