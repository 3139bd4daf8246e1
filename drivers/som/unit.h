/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_UNIT_H
#define _SOM_UNIT_H

#include <linux/mutex.h>
#include <linux/types.h>
#include "som_types.h"

struct mutex *som_owner_lock_unit(struct som_owner *owner, unsigned long idx);
struct mutex *som_owner_lock_look(struct som_owner *owner, unsigned long idx);
void som_owner_wrote(struct som_owner *owner, unsigned long first,
		     unsigned long last);
som_unit_t som_owner_unit(struct som_mapping *mapping, unsigned long idx,
			  enum som_level *level);
unsigned long som_owner_settle(struct som_owner *owner, unsigned long first,
			       unsigned long last);
void **som_owner_entryp(struct som_mapping *mapping, unsigned long idx);
som_unit_t som_owner_lookup(struct som_owner *owner, unsigned long idx);

#endif /* _SOM_UNIT_H */
