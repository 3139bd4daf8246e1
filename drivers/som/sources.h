/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_SOURCES_H
#define _SOM_SOURCES_H

#include "source.h"

/**
 * define SOM_SOURCES - the sources that this kernel allows, in the order of their use
 *
 * HugeTLB is the last: nobody asks for it by name.
 */
#ifdef CONFIG_ZONE_DEVICE
#define SOM_SOURCES	{ &som_source_range, &som_source_hugetlb }
#else
#define SOM_SOURCES	{ &som_source_hugetlb }
#endif

#endif /* _SOM_SOURCES_H */
