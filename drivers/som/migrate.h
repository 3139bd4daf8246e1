/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_MIGRATE_H
#define _SOM_MIGRATE_H

#include <linux/types.h>

struct som_owner;

int som_migrate_unit(struct som_owner *owner, unsigned long idx, void **memory);
void som_migrate_free(void *memory);
int som_compact(unsigned long nr_chunks);

#endif /* _SOM_MIGRATE_H */
