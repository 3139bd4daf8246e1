/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_RIGHTS_H
#define _SOM_RIGHTS_H

struct mm_struct;
struct pid;

int som_rights_init(void);
void som_rights_exit(void);
int som_rights_check(struct pid *pid, struct mm_struct *mm);

#endif /* _SOM_RIGHTS_H */
