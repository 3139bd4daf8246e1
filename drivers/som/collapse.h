/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_COLLAPSE_H
#define _SOM_COLLAPSE_H

struct som_owner;

void som_collapse_init(struct som_owner *owner);
void som_collapse_exit(void);

#endif /* _SOM_COLLAPSE_H */
