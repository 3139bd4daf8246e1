/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_VMA_H
#define _SOM_VMA_H

struct som_owner;
struct vm_area_struct;

int som_vma_map(struct vm_area_struct *vma, struct som_owner *owner);

#endif /* _SOM_VMA_H */
