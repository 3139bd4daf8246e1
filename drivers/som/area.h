/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_AREA_H
#define _SOM_AREA_H

struct file;

unsigned long som_get_unmapped_area(struct file *file, unsigned long addr,
				    unsigned long len, unsigned long pgoff,
				    unsigned long flags);

#endif /* _SOM_AREA_H */
