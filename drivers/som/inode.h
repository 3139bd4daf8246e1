/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_INODE_H
#define _SOM_INODE_H

#include <linux/fs.h>
#include "som_types.h"

struct file;
struct inode;
struct mm_struct;

/**
 * struct som_owner_walk - walk of all owners
 * @at: position in the list of owners, after the last one returned.
 * @owner: last owner returned, with a reference; or NULL.
 * @last: last owner number to return: a walk of newer ones might never end.
 */
struct som_owner_walk {
	struct som_listed at;
	struct som_owner *owner;
	unsigned long last;
};

struct file *som_inode_file(void *data, struct inode *inode,
			    const struct file_operations *fops);
int som_inode_pin(void);
void som_inode_unpin(void);
struct som_owner *som_inode_find_owner(struct mm_struct *mm);
void som_owner_walk_begin(struct som_owner_walk *walk);
struct som_owner *som_owner_walk_next(struct som_owner_walk *walk);
void som_owner_walk_end(struct som_owner_walk *walk);
struct som_owner *som_inode_get_owner(struct mm_struct *mm);
void som_inode_put_owner(struct som_owner *owner);
struct file *som_inode_inherit(struct som_owner *owner,
			       struct som_owner *parent, struct file *from);

unsigned long som_get_unmapped_area(struct file *file, unsigned long addr,
				    unsigned long len, unsigned long pgoff,
				    unsigned long flags);

#endif /* _SOM_INODE_H */
