/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_DISCARD_H
#define _SOM_DISCARD_H

struct som_owner;

int som_private_init(void);
void som_private_exit(void);
void som_private_new(struct som_owner *owner);
int som_private_start(struct som_owner *owner);
void som_private_free_owner(struct som_owner *owner);

#endif /* _SOM_DISCARD_H */
