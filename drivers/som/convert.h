/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_CONVERT_H
#define _SOM_CONVERT_H

#include <linux/types.h>

struct som_owner;
struct som_range;

int som_convert_to_pool(struct som_owner *owner, unsigned long start, unsigned long end);
int som_convert(struct som_range *args, bool page_backed);

#endif /* _SOM_CONVERT_H */
