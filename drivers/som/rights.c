// SPDX-License-Identifier: GPL-2.0
/*
 * Ask the kernel whether the caller could ptrace a process.
 *
 * The kernel's functions for that, ptrace_may_access() and mm_access(), are not exported. But
 * an open of /proc/PID/mem calls mm_access() with PTRACE_MODE_ATTACH | PTRACE_MODE_FSCREDS, and
 * keeps the address space that it returned. So the file is opened with the credentials of the
 * caller, its address space is compared with the expected one, and the file is closed.
 * Credentials of both sides, user namespaces, dumpable, CAP_SYS_PTRACE, Yama and every other
 * security module are checked as for ptrace(PTRACE_ATTACH). The permissions of the file are
 * checked as well: its owner is the effective user of the process, or root if the process is
 * not dumpable. Other users need CAP_DAC_OVERRIDE.
 *
 * The file is opened in a procfs that the module mounts for itself, of the PID namespace in
 * which the module was loaded. The caller controls what is mounted at /proc.
 */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/path.h>
#include <linux/pid.h>
#include <linux/proc_fs.h>
#include "compat.h"
#include "rights.h"

/* NULL: this kernel has no procfs. */
static struct vfsmount *som_proc_mnt;

/**
 * som_rights_init - Mount a procfs
 *
 * Context: Module load.
 * Return: 0, also on a kernel without procfs; or -errno.
 */
int som_rights_init(void)
{
	struct file_system_type *type = get_fs_type("proc");
	struct fs_context *fc;
	struct vfsmount *mnt;

	if (!type)
		return 0;
	fc = fs_context_for_mount(type, SB_KERNMOUNT);
	module_put(type->owner);
	if (IS_ERR(fc))
		return PTR_ERR(fc);
	mnt = fc_mount(fc);
	put_fs_context(fc);
	if (IS_ERR(mnt))
		return PTR_ERR(mnt);
	som_proc_mnt = mnt;
	return 0;
}

/**
 * som_rights_exit - Undo som_rights_init()
 *
 * Context: Module unload.
 */
void som_rights_exit(void)
{
	if (som_proc_mnt)
		kern_unmount(som_proc_mnt);
	som_proc_mnt = NULL;
}

/**
 * som_rights_check - Check that the current task could ptrace a process
 * @pid: the process
 * @mm: its expected address space; a reference to it is held
 *
 * Context: Process context; no lock that a fault, or an open of a file, may need.
 * Return: 0; -EPERM; -ESRCH if the process has ended, or has another address space;
 * -EOPNOTSUPP without procfs; -ENOMEM; -ENFILE.
 */
int som_rights_check(struct pid *pid, struct mm_struct *mm)
{
	struct path root;
	struct file *file;
	char name[32];
	bool same;
	pid_t nr;

	if (!som_proc_mnt)
		return -EOPNOTSUPP;
	root.mnt = som_proc_mnt;
	root.dentry = som_proc_mnt->mnt_root;
	nr = pid_nr_ns(pid, proc_pid_ns(root.dentry->d_sb));
	if (!nr)
		return -ESRCH;
	snprintf(name, sizeof(name), "%d/mem", nr);
	file = file_open_root(&root, name, O_RDONLY, 0);
	if (IS_ERR(file)) {
		switch (PTR_ERR(file)) {
		case -EACCES:
			return -EPERM;
		case -ENOENT:
			return -ESRCH;
		default:
			return PTR_ERR(file);
		}
	}
	/* The number may be another process's by now. */
	same = som_proc_mem_mm(file) == mm;
	fput(file);
	return same ? 0 : -ESRCH;
}
