/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_SOURCES_H
#define _SOM_SOURCES_H

#include "source.h"

/**
 * define SOM_SOURCES - sources of this kernel, in order of use; HugeTLB, the default, is
 * last
 */
#ifdef CONFIG_ZONE_DEVICE
#define SOM_SOURCES	{ &som_source_range, &som_source_hugetlb }
#else
#define SOM_SOURCES	{ &som_source_hugetlb }
#endif

#endif /* _SOM_SOURCES_H */
