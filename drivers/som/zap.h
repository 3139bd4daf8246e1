/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_ZAP_H
#define _SOM_ZAP_H

#include <linux/types.h>

struct som_owner;
struct som_zaps;

void som_zaps_init(struct som_zaps *zaps);
void som_zaps_begin_part(struct som_zaps *zaps, unsigned long start,
			 unsigned long end);
void som_zaps_end_part(struct som_zaps *zaps, unsigned long start,
		       unsigned long end);
bool som_zaps_mine(struct som_zaps *zaps);
void som_zap(struct som_owner *owner, unsigned long pgoff, unsigned long nr);

#endif /* _SOM_ZAP_H */
