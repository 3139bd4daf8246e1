/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_FORK_H
#define _SOM_FORK_H

#include <linux/mm.h>

struct som_mapping;
struct vm_area_struct;

int som_fork_vma(struct vm_area_struct *vma, struct som_mapping *from);
void som_fork_fail(struct vm_area_struct *vma);

#endif /* _SOM_FORK_H */
