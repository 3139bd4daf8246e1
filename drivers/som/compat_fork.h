/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Make fork fail from vm_ops->open, which cannot return an error.
 *
 * som_mm_refuse() sets the binary format of the child's address space to one of a module
 * that is being unloaded. After it has copied the VMAs, dup_mm() takes a reference to that
 * module, fails, resets the format, frees the address space and returns -ENOMEM. Without
 * loadable modules dup_mm() takes no such reference.
 *
 * Included by fork.c only, as it defines objects.
 */
#ifndef _SOM_COMPAT_FORK_H
#define _SOM_COMPAT_FORK_H

#include <linux/binfmts.h>
#include <linux/mm_types.h>
#include <linux/module.h>

#ifdef CONFIG_MODULES
static struct module som_going = {
	.state = MODULE_STATE_GOING,
};

static struct linux_binfmt som_no_binfmt = {
	.module = &som_going,
};

static inline void som_mm_refuse(struct mm_struct *mm)
{
	mm->binfmt = &som_no_binfmt;
}

static inline bool som_mm_refused(const struct mm_struct *mm)
{
	return mm->binfmt == &som_no_binfmt;
}
#else
/* Not reached: som_fork_can_fail() is false. */
static inline void som_mm_refuse(struct mm_struct *mm)
{
	WARN_ON_ONCE(1);
}

static inline bool som_mm_refused(const struct mm_struct *mm)
{
	return false;
}
#endif

#endif /* _SOM_COMPAT_FORK_H */
