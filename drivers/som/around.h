/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_AROUND_H
#define _SOM_AROUND_H

struct som_mapping;
struct vm_fault;

void som_around(struct vm_fault *vmf, struct som_mapping *mapping, unsigned long idx);

#endif /* _SOM_AROUND_H */
