/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_COMPACT_H
#define _SOM_COMPACT_H

#include <linux/types.h>

int som_compact(unsigned long nr_chunks);

#endif /* _SOM_COMPACT_H */
