/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_INODE_H
#define _SOM_INODE_H

struct file;
struct mm_struct;
struct som_owner;

int som_inode_pin(void);
void som_inode_unpin(void);
struct som_owner *som_inode_find_owner(struct mm_struct *mm);
struct som_owner *som_inode_next_owner(unsigned long id);
struct som_owner *som_inode_get_owner(struct mm_struct *mm);
void som_inode_put_owner(struct som_owner *owner);
struct file *som_inode_inherit(struct som_owner *owner,
			       struct som_owner *parent, struct file *from);
void som_inode_disinherit(struct som_owner *owner);

#endif /* _SOM_INODE_H */
