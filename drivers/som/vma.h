/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_VMA_H
#define _SOM_VMA_H

#include <linux/mm.h>

struct som_claim;
struct som_owner;
struct som_settings;
struct vm_area_struct;

void som_vma_init(void);
int som_vma_map(struct vm_area_struct *vma, struct som_owner *owner,
		const struct som_settings *settings, struct som_claim *claim);

struct som_owner *som_file_map(const struct som_settings *settings,
			       struct vm_area_struct *vma,
			       struct som_claim *claim);

#endif /* _SOM_VMA_H */
