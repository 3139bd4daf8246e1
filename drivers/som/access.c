// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses by ptrace and /proc/PID/mem that a mapping's protection forbids.
 *
 * The kernel calls ->access for them, after get_user_pages() has failed, but does not pass
 * whether the caller may override the protection (FOLL_FORCE). ptrace always may;
 * /proc/PID/mem depends on proc_mem.force_override. So this file reads that setting at
 * module load, from the kernel's configuration and /proc/cmdline, and assumes "never" if
 * that fails. With "ptrace" the caller must trace the process. With "never" it must also
 * access the memory by ptrace().
 *
 * As with anonymous memory, an override can read and write a private mapping and read a
 * shared one.
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

/* Parse the command line as the kernel does: the last valid setting wins. */
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
 * som_access_init - Determine what the kernel lets /proc/PID/mem override
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
	/* A truncated command line may lack the setting. */
	if (!got && done && done < PAGE_SIZE - 1)
		force = force_of(strim(buf));
out:
	kfree(buf);
	filp_close(file, NULL);
}

/* Test whether the current task traces a process that uses an address space. */
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
 * som_access_allowed - Test whether ptrace or /proc/PID/mem may access a VMA
 * @vma: som VMA
 * @private: true for a private mapping
 * @write: true for a write
 * Context: mmap_lock is held.
 * Return: true if it may.
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
 * get_user_pages() finds no page in a special 4 KiB entry, so the dump would have a hole.
 * Before it reads, the kernel asks each VMA for its name with mmap_lock held for write.
 * som_dump_begin() zaps the entries then, so that the dump faults. Such a fault maps 2 MiB
 * if possible, and otherwise a copy of the page in ordinary memory.
 *
 * The process's threads have stopped, so that only a device can write to the unit
 * meanwhile. A unit has at most one copy: the next fault of the dump zaps it, and the last
 * is freed with the address space.
 */

/**
 * som_dump_begin - Make a core dump fault when it reads a VMA
 * @owner: owner of the VMA
 * @vma: som VMA
 * Context: Process context; mmap_lock is held for write.
 */
void som_dump_begin(struct som_owner *owner, struct vm_area_struct *vma)
{
	mutex_lock(&owner->lock);
	som_zap(owner, vma->vm_pgoff, vma_pages(vma));
	mutex_unlock(&owner->lock);
}

/**
 * som_dump_fault - Map a copy of a page for a core dump
 * @vmf: the fault
 * @owner: owner of the unit
 * @idx: unit index
 * @unit: the unit
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
