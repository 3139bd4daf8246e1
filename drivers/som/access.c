// SPDX-License-Identifier: GPL-2.0
/*
 * Access from outside, by ptrace and /proc/PID/mem, against a mapping's protection.
 *
 * The kernel asks ->access where get_user_pages() has failed, as it does where the
 * mapping's protection forbids the access. It does not say whether the caller may
 * override that (FOLL_FORCE): ptrace always may, and /proc/PID/mem depends on the
 * boot parameter proc_mem.force_override. So this file finds out:
 *
 *  - which of the three settings the kernel was booted with, from its configuration and
 *    /proc/cmdline, when the module is loaded. If that cannot be read, the
 *    strictest is assumed;
 *  - whether the caller traces the process whose memory it is, and by which
 *    system call it came.
 *
 * What may be overridden is as for anonymous memory: any protection of a private mapping, and
 * of a shared one that it cannot be read.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "access.h"
#include "compat.h"

enum som_force {
	SOM_FORCE_ALWAYS,
	SOM_FORCE_PTRACE,
	SOM_FORCE_NEVER,
};

static enum som_force force = SOM_FORCE_NEVER;

/* As the kernel does: the last setting that it knows wins. */
static enum som_force force_of(char *cmdline)
{
	enum som_force ret = IS_ENABLED(CONFIG_PROC_MEM_NO_FORCE) ?
		SOM_FORCE_NEVER : IS_ENABLED(CONFIG_PROC_MEM_FORCE_PTRACE) ?
		SOM_FORCE_PTRACE : SOM_FORCE_ALWAYS;
	char *param, *val;

	cmdline = skip_spaces(cmdline);
	while (*cmdline) {
		cmdline = next_arg(cmdline, &param, &val);
		if (!val && !strcmp(param, "--"))
			break;
		strreplace(param, '-', '_');
		if (!val || strcmp(param, "proc_mem.force_override"))
			continue;
		if (!strcmp(val, "always"))
			ret = SOM_FORCE_ALWAYS;
		else if (!strcmp(val, "ptrace"))
			ret = SOM_FORCE_PTRACE;
		else if (!strcmp(val, "never"))
			ret = SOM_FORCE_NEVER;
	}
	return ret;
}

/**
 * som_access_init - find out what the kernel lets /proc/PID/mem override
 *
 * Context: Module load.
 */
void som_access_init(void)
{
	struct file *file = filp_open("/proc/cmdline", O_RDONLY, 0);
	ssize_t done = 0, got;
	loff_t pos = 0;
	char *buf;

	if (IS_ERR(file))
		return;
	buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!buf)
		goto out;
	do {
		got = kernel_read(file, buf + done, PAGE_SIZE - 1 - done, &pos);
		done += max(got, 0);
	} while (got > 0);
	buf[done] = '\0';
	/* An end that was cut off may be what matters. */
	if (!got && done && done < PAGE_SIZE - 1)
		force = force_of(strim(buf));
out:
	kfree(buf);
	filp_close(file, NULL);
}

/* Does the current task trace one whose address space this is? */
static bool traces(struct mm_struct *mm)
{
	struct task_struct *owner, *task;
	bool found = false;

	rcu_read_lock();
	owner = som_mm_owner(mm);
	if (owner) {
		for_each_thread(owner, task)
			found |= READ_ONCE(task->ptrace) &&
				 READ_ONCE(task->mm) == mm &&
				 rcu_access_pointer(task->parent) == current;
	}
	rcu_read_unlock();
	return found;
}

static bool may_force(struct mm_struct *mm)
{
	switch (force) {
	case SOM_FORCE_ALWAYS:
		return true;
	case SOM_FORCE_PTRACE:
		return traces(mm);
	default:
		return som_in_ptrace() && traces(mm);
	}
}

/**
 * som_access_allowed - may somebody access memory by ptrace or /proc/PID/mem?
 * @vma: a som VMA
 * @private: whether it is a private mapping
 * @write: whether it is to be written
 *
 * Context: mmap_lock is held.
 * Return: true if so.
 */
bool som_access_allowed(const struct vm_area_struct *vma, bool private,
			bool write)
{
	vm_flags_t flags = vma->vm_flags;

	if (flags & (write ? VM_WRITE : VM_READ))
		return true;
	if (write ? !private || !(flags & VM_MAYWRITE) : !(flags & VM_MAYREAD))
		return false;
	return may_force(vma->vm_mm);
}
