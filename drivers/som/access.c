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
#include "pool.h"
#include "range.h"
#include "som_types.h"
#include "zap.h"

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

/*
 * Core dumps of memory that is mapped by 4 KiB entries.
 *
 * The kernel reads what it dumps by get_user_pages(), to which a special 4 KiB entry is
 * "no page here": there would be a hole in the file. It asks each VMA for its name
 * when it looks at them all, with mmap_lock held for write; that is when entries
 * are taken away (som_dump_begin()). So the dump faults, and what a fault of
 * the dump cannot map by 2 MiB it gets as a copy of the page, ordinary memory.
 *
 * The threads of the process have stopped by then, so nobody writes to the unit meanwhile
 * but a device. Before a copy is made, that of the page before goes: a unit has one
 * at a time, until the address space ends.
 */

/**
 * som_dump_begin - have a core dump fault for what it reads of a VMA
 * @owner: whose
 * @vma: a som VMA
 *
 * Context: Process context; mmap_lock is held for write.
 */
void som_dump_begin(struct som_owner *owner, struct vm_area_struct *vma)
{
	mutex_lock(&owner->lock);
	som_zap(owner, vma->vm_pgoff, vma_pages(vma));
	mutex_unlock(&owner->lock);
}

/**
 * som_dump_fault - map a copy of a page, for a core dump
 * @vmf: the fault
 * @owner: whose
 * @idx: unit index
 * @unit: its unit
 *
 * Context: som_owner_lock_unit() is held.
 * Return: as ->fault.
 */
vm_fault_t som_dump_fault(struct vm_fault *vmf, struct som_owner *owner,
			  unsigned long idx, som_unit_t unit)
{
	unsigned long page = vmf->pgoff - som_index_pgoff(idx);
	struct page *copy;
	int ret;

	som_zap(owner, som_index_pgoff(idx), SOM_UNIT_PAGES);
	copy = alloc_page(GFP_KERNEL_ACCOUNT);
	if (!copy)
		return VM_FAULT_OOM;
	if (copy_mc_to_kernel(page_address(copy), som_unit_address(unit) +
			      (page << PAGE_SHIFT), PAGE_SIZE)) {
		put_page(copy);
		return VM_FAULT_HWPOISON;
	}
	ret = vm_insert_page(vmf->vma, vmf->address & PAGE_MASK, copy);
	put_page(copy);
	if (ret == -ENOMEM)
		return VM_FAULT_OOM;
	return ret && ret != -EBUSY ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
}
