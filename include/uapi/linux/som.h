/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Userspace API of /dev/som: single-owner memory.
 */
#ifndef _UAPI_LINUX_SOM_H
#define _UAPI_LINUX_SOM_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: general rules
 *
 * Memory is obtained with mmap() of an open ``/dev/som`` at offset 0, or at the
 * offset that the file was told (&struct som_policy). Every mapping is fresh,
 * zeroed memory that belongs to the calling process (its address space) alone.
 * MAP_SHARED and MAP_PRIVATE differ in one thing:
 * madvise(MADV_DONTNEED) keeps the content of the one, and makes the other
 * read as zero. mremap() fails with ENOMEM where it would give a page more than
 * 64 mappings, by duplicates that it makes from length 0.
 *
 * Every structure starts with its own size in bytes, set by the caller to
 * ``sizeof`` of the structure it was compiled with. A kernel that knows a
 * shorter structure accepts a longer one as long as the bytes it does not
 * know are zero, and a kernel that knows a longer one fills in what fits.
 *
 * Error codes that every call shares:
 *
 * - ENOTTY: the command number is not known
 * - E2BIG: the structure is longer than this kernel knows and the rest is
 *   not zero, or it is longer than a page
 * - EINVAL: the structure is shorter than the first version of it; a flag is
 *   not known; a reserved field is not zero
 * - EFAULT: the structure cannot be read, or the call has results and it cannot be
 *   written
 *
 * A call that fails changes nothing, unless its description says how far it
 * got.
 */

/** define SOM_IOC_MAGIC - the ioctl type of every call of this header. */
#define SOM_IOC_MAGIC	0xBC

/** define SOM_UNIT_SHIFT - log2 of the size of a unit in bytes. */
#define SOM_UNIT_SHIFT	21

/**
 * define SOM_UNIT_SIZE - size of a unit in bytes (2 MiB).
 *
 * The grain of allocation, ownership and zeroing.
 */
#define SOM_UNIT_SIZE	(1UL << SOM_UNIT_SHIFT)

/**
 * define SOM_MMAP_JOIN - offset of mmap() that makes one mapping of several.
 *
 * mmap(addr, length, prot, MAP_FIXED | MAP_SHARED or MAP_PRIVATE, fd, offset), with
 * this and the offset that the file was told, maps a range again that consists of som
 * mappings of the caller. The memory stays, also under concurrent access. Afterwards
 * the range is one mapping: the kernel cuts a mapping where mprotect() or madvise()
 * change a part of it, does not join what is alike again, and allows
 * vm.max_map_count mappings. The access stays what it is; @prot means nothing.
 *
 * Fails with EINVAL, and nothing is changed, without MAP_FIXED, or with
 * MAP_FIXED_NOREPLACE; if the mappings were not one once, were moved apart since, or
 * differ in access or advice; if any of the memory is mapped elsewhere, too (mremap), or
 * has a policy (mbind); or if MAP_SHARED or MAP_PRIVATE is not what they are.
 * EACCES: the file is not open for writing. ENOMEM, of the kernel: as for each
 * MAP_FIXED, nothing may be mapped at the range then.
 */
#define SOM_MMAP_JOIN	(1UL << 12)

/**
 * define SOM_MMAP_DODUMP - the same, and the range is in core dumps.
 *
 * The kernel refuses MADV_DODUMP for som mappings, but not MADV_DONTDUMP. This undoes it.
 */
#define SOM_MMAP_DODUMP	(2UL << 12)

/**
 * struct som_info - what the pool and the calling process hold
 * @size: size of this structure in bytes, set by the caller.
 * @flags: must be zero.
 * @unit_size: size of a unit in bytes.
 * @chunk_size: size of a chunk in bytes.
 * @pool_units: units in the pool, whatever their state.
 * @pool_free: units that nobody owns and that can be handed out.
 * @pool_committed: units that are promised or in use; a mapping that
 *	reserves gets ENOMEM when this would exceed @pool_units.
 * @mapped_bytes: bytes of som mappings in the calling process.
 * @reserved_units: units promised to the calling process.
 * @units_2m: units of the caller mapped by one 2 MiB entry.
 * @units_4k: units of the caller mapped by 4 KiB entries.
 * @units_1g: units of the caller mapped by 1 GiB entries, 512 by each.
 * @units_page_backed: units of the caller that are ordinary memory, see
 *	SOM_IOC_PAGE_BACKED.
 *
 * The numbers are a snapshot; each is right by itself. 96 bytes; 80 without
 * the last two.
 */
struct som_info {
	__u32 size;
	__u32 flags;
	__u64 unit_size;
	__u64 chunk_size;
	__u64 pool_units;
	__u64 pool_free;
	__u64 pool_committed;
	__u64 mapped_bytes;
	__u64 reserved_units;
	__u64 units_2m;
	__u64 units_4k;
	__u64 units_1g;
	__u64 units_page_backed;
};

/** define SOM_INFO_SIZE_VER0 - size of the first version of som_info. */
#define SOM_INFO_SIZE_VER0	80

/**
 * define SOM_IOC_INFO - read a &struct som_info.
 *
 * Means the calling process, whoever opened the file. Return: 0, or the
 * shared errors.
 */
#define SOM_IOC_INFO	_IO(SOM_IOC_MAGIC, 0x00)

/**
 * DOC: the scan call
 *
 * ``ioctl(fd, PAGEMAP_SCAN, struct pm_scan_arg *)`` of ``<linux/fs.h>``, with
 * the number, structure, flags, categories, return value, ``walk_end`` and
 * errors that the same call has on ``/proc/PID/pagemap``, over the som mappings
 * of the calling process; what else is in the range is skipped.
 *
 * - PAGE_IS_PRESENT: the page's unit has memory.
 * - PAGE_IS_WRITTEN: tracked, and written since a scan with
 *   PM_SCAN_WP_MATCHING last matched it, or it has lost its memory since and is
 *   zero; or present and not tracked; or a device may be writing to it through a
 *   pin.
 * - PAGE_IS_WPALLOWED: the page is tracked.
 * - PAGE_IS_HUGE: the unit is mapped by one 2 MiB entry.
 * - SOM_PAGE_IS_ZERO: see there.
 * - PAGE_IS_FILE, PAGE_IS_SWAPPED, PAGE_IS_PFNZERO, PAGE_IS_SOFT_DIRTY: never.
 *
 * The first scan with PM_SCAN_WP_MATCHING over a range starts its tracking,
 * also where nothing is populated yet; the end of the mapping ends it. What is mapped, or
 * moved by mremap(), to addresses that such a scan has passed is written, all of it.
 * Elsewhere a new mapping is not tracked: PM_SCAN_CHECK_WPASYNC fails with EPERM if memory
 * in the range is not tracked when the call comes to it.
 *
 * Written but not present: memory was given back (MADV_REMOVE, MADV_DONTNEED of a
 * private mapping, SOM_IOC_RESET). The page is zero, and need not be read, which
 * would populate it again.
 */

/**
 * define SOM_PAGE_IS_ZERO - every byte of the page is zero.
 *
 * A category for PAGEMAP_SCAN on a som file. It costs reading the page, unless
 * the page is known to be zero, and only if a mask of the call has it. A page
 * that is not present is zero.
 */
#define SOM_PAGE_IS_ZERO	(1ULL << 63)

/** define SOM_RESET_IMAGE_MEM - the image is memory at @image. */
#define SOM_RESET_IMAGE_MEM	(1U << 0)
/** define SOM_RESET_IMAGE_FD - the image is file @image_fd from @image on. */
#define SOM_RESET_IMAGE_FD	(1U << 1)

/**
 * struct som_reset - put written pages back
 * @size: size of this structure in bytes, set by the caller.
 * @flags: 0 (back to zero), SOM_RESET_IMAGE_MEM or SOM_RESET_IMAGE_FD.
 * @start: first address, page aligned.
 * @end: address behind the last, rounded up to a page.
 * @keep_resident: about how many bytes may be rewritten. From the first unit on
 *	whose written pages do not fit, everything is released. All ones: no
 *	limit.
 * @image: with an image: the address, or the file offset, of the byte that
 *	belongs at @start. Page aligned.
 * @image_fd: with SOM_RESET_IMAGE_FD: a file that can be read at an offset;
 *	otherwise 0. Bytes behind the end of the file are zero.
 * @reserved: must be zero.
 * @walk_end: out: everything below is done. @end, if the call succeeded.
 * @rewritten: out: bytes rewritten. More than @keep_resident only by what
 *	could not be released: units that the range has in part are zeroed where
 *	they are, and so are those that somebody has a pin on, if a limit or the
 *	pool does not allow one unit more until the pin is gone.
 * @released: out: bytes released, in whole units.
 * @released_start: out: first address of what was released, or @end.
 *
 * 80 bytes.
 */
struct som_reset {
	__u32 size;
	__u32 flags;
	__u64 start;
	__u64 end;
	__u64 keep_resident;
	__u64 image;
	__s32 image_fd;
	__u32 reserved;
	__u64 walk_end;
	__u64 rewritten;
	__u64 released;
	__u64 released_start;
};

/** define SOM_RESET_SIZE_VER0 - size of the first version of som_reset. */
#define SOM_RESET_SIZE_VER0	80

/**
 * define SOM_IOC_RESET - reset written pages of a range, see &struct som_reset.
 *
 * Every page of the caller's som mappings in the range that was written since
 * the last reset or clean scan (every present page, if it was not tracked)
 * goes back to zero, or to the bytes of the image. Pages without memory stay
 * so, and read as zero. Afterwards the range is tracked, and what has memory is clean:
 * the rewriting itself is not seen as a write. Memory that was released reads as zero,
 * with an image, too: @released_start says from where on (@end, if nothing was). It
 * counts as written, as its pages that nobody had written have changed, too, until
 * a scan cleans it; so does what was given back before and not reported yet.
 *
 * Return: 0; EINTR on a fatal signal; EFAULT or the file's error if the image
 * cannot be read; EINVAL if @start or @image is not page aligned, @end is
 * below @start, a flag is not known or both images are asked for; EBADF if
 * @image_fd is not a file that the kernel itself can read at an offset (directories,
 * pipes and most files of /proc are not); EFAULT if the range is not user memory; ENOMEM;
 * EHWPOISON if what is at @walk_end is of a unit whose memory has failed.
 * On an error that comes after the work began, @walk_end, @rewritten and
 * @released say how far it got; from @walk_end on, pages that were written are
 * still reported as written.
 */
#define SOM_IOC_RESET	_IO(SOM_IOC_MAGIC, 0x01)

/**
 * struct som_policy - how an open file maps memory
 * @size: size of this structure in bytes, set by the caller.
 * @flags: must be zero.
 * @map_size: bytes that one page table entry maps at most: 4096, 2 MiB or
 *	1 GiB. What is smaller is used where a mapping's boundaries, tracking
 *	or the pool do not allow it.
 * @max_units: units that a process may have promised, in use or kept once it has mapped
 *	through the file; 0: no such limit. It can only be lowered, and is then the
 *	process's for as long as it has som memory. Who has more already when it
 *	takes effect keeps that, and gets nothing more until it has less. A process that
 *	has not opened the file itself takes it over only with its first memory.
 * @options: SOM_POLICY_* bits.
 * @map_offset: the offset that mmap() of the file has to name, page aligned: at any
 *	other, it fails with EINVAL. 0, unless it was set.
 *
 * A library that holds a descriptor in a program that may close it, and open something
 * else at its number, sets a random @map_offset of 1 << 63 or more: no regular file, block
 * device or socket can be mapped there (EOVERFLOW), nor another file of som's, so that
 * a mapping is one of its own file, without any other call that could say so
 * too late.
 *
 * 40 bytes; 32 without the last.
 */
struct som_policy {
	__u32 size;
	__u32 flags;
	__u64 map_size;
	__u64 max_units;
	__u64 options;
	__u64 map_offset;
};

/** define SOM_POLICY_SIZE_VER0 - size of the first version of som_policy. */
#define SOM_POLICY_SIZE_VER0	16

/**
 * define SOM_POLICY_REUSE - do not zero memory that the process had itself.
 *
 * Memory of mappings that are made from then on may have old bytes of the same process
 * in it when it is touched for the first time, or again after it was given back: of
 * units that the process has released and that were kept for it (sysfs
 * cache_max). For callers that overwrite everything. Nobody ever sees bytes of
 * another process.
 */
#define SOM_POLICY_REUSE	(1 << 0)

/**
 * define SOM_POLICY_FORK_COPY - a child has the bytes that its parent had at fork.
 *
 * Without it, a child inherits nothing. With it, fork copies no memory: 2 MiB are copied
 * when either side writes to them, or the child first touches them, and not at all
 * for a child that ends or executes something else first. What the parent holds
 * pinned, or has made pinnable, is copied by fork. A child's scan or reset counts
 * as a touch.
 *
 * fork charges the child for all that the mappings have reserved, and fails with ENOMEM
 * if the pool or a limit does not allow it. A child starts without tracking, and what it
 * has inherited can be mapped by 2 MiB at most: EINVAL if @map_size is 1 GiB. After
 * fork, long-term pins for writing are refused in the parent's mappings, as in
 * tracked ones, unless SOM_IOC_PAGE_BACKED is asked for.
 */
#define SOM_POLICY_FORK_COPY	(1 << 1)

/**
 * define SOM_POLICY_FORK_NORESERVE - and the child is not charged by fork.
 *
 * Only together with SOM_POLICY_FORK_COPY. A copy is charged when it is made. If it
 * cannot be, the child's access gets SIGBUS; if it was the parent that made the copy
 * necessary, or the child removes a part of such a unit, for good. What the parent unmaps,
 * or ends with, is the child's without a further charge, as far as the limits of the child's
 * process allow it. For parents with
 * more memory than the pool has twice, whose children read some of it (a database that
 * writes its snapshot in a child).
 */
#define SOM_POLICY_FORK_NORESERVE	(1 << 2)

/**
 * define SOM_POLICY_PAGE_BACKED - what needs 4 KiB entries is ordinary pages.
 *
 * get_user_pages() finds no page behind a 4 KiB entry of a unit of the pool: direct
 * I/O, futexes that are not private, process_vm_readv() and all else that pins memory
 * fail there. With this option, a unit of a mapping that is made from then on becomes
 * 2 MiB of ordinary pages, as SOM_IOC_PAGE_BACKED makes them, when it is touched and needs
 * 4 KiB entries: where a mapping ends or changes inside it, with @map_size 4096. When that
 * reason is gone, it goes back to the pool by itself, a while later. Its
 * content is kept, and its place in the pool stays reserved.
 *
 * Where that cannot be done, the unit is mapped by 4 KiB entries as without the option: with
 * no memory, beyond the module's parameters max_page_backed and max_page_backed_user, as
 * long as somebody has a pin on memory of the unit's chunk, and where memory is tracked,
 * whose entries tell what is written.
 */
#define SOM_POLICY_PAGE_BACKED	(1 << 3)

/**
 * define SOM_IOC_GET_POLICY - read the &struct som_policy of the open file.
 *
 * A file starts with the module's default (parameter map_size).
 *
 * Return: 0, or the shared errors.
 */
#define SOM_IOC_GET_POLICY	_IO(SOM_IOC_MAGIC, 0x02)

/**
 * define SOM_IOC_SET_POLICY - set the &struct som_policy of the open file.
 *
 * It holds for mappings that are made through the file from then on.
 *
 * With 1 GiB, the first touch of an aligned GiB that lies in one mapping takes a
 * whole chunk, if one is empty, and maps it by one entry. MAP_PRIVATE mappings and
 * tracked memory use 2 MiB at most.
 *
 * A caller that sets @max_units or what follows it reads the policy first: what it
 * leaves 0 is set to 0. A structure that ends before a field leaves it as it is.
 *
 * Only the address space that opened the file may set it. A child of fork, a program that
 * was executed since, and whoever was passed the descriptor open the device themselves if
 * they want a policy of their own; what they map through the file has its policy as it
 * is.
 *
 * Return: 0; EPERM if the file was opened by another address space; EINVAL if
 * @map_size is none of the three or does not go with @options, @options has bits that
 * are not known, @map_offset is not page aligned, or @max_units is more than it was;
 * EOPNOTSUPP if @options has SOM_POLICY_FORK_COPY and the kernel has no loadable modules
 * (CONFIG_MODULES); or the shared errors.
 */
#define SOM_IOC_SET_POLICY	_IO(SOM_IOC_MAGIC, 0x03)

/**
 * struct som_range - a range of addresses
 * @size: size of this structure in bytes, set by the caller.
 * @flags: must be zero.
 * @start: first address, page aligned.
 * @end: address behind the last, rounded up to a page.
 * @walk_end: out: everything below is done. @end, if the call succeeded.
 *
 * 32 bytes.
 */
struct som_range {
	__u32 size;
	__u32 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
};

/** define SOM_RANGE_SIZE_VER0 - size of the first version of som_range. */
#define SOM_RANGE_SIZE_VER0	32

/**
 * define SOM_IOC_PAGE_BACKED - make memory such that every kind of pin works.
 *
 * Moves each unit that the &struct som_range touches, whole, to ordinary
 * memory of the kernel, 2 MiB that som allocates for it; units without memory
 * get some. The content is kept, also under concurrent access. Such memory is
 * mapped by 4 KiB entries, is part of RSS and charged to the memory cgroup;
 * direct I/O, io_uring, RDMA and VFIO can pin it however it is mapped. Its
 * place in the pool stays reserved for the way back. It is reported as written
 * by every scan, as a device may write to it at any time.
 *
 * Parts of the range that are not som mappings of the caller are skipped, as
 * are units that are pinnable already.
 *
 * Return: 0; EBUSY if somebody has a pin on memory of a unit's chunk, so that
 * it cannot be moved; ENOMEM if there is no memory, or a limit of the module
 * (parameters max_page_backed, max_page_backed_user) is reached; ENOSPC if
 * the pool has no room for a unit without memory; EHWPOISON if a unit's
 * memory cannot be read, and it stays where it is; EINTR on a fatal signal;
 * EINVAL if @start is not page aligned or @end is below it; EFAULT if the
 * range is not user memory. On an error, everything below @walk_end is done.
 */
#define SOM_IOC_PAGE_BACKED	_IO(SOM_IOC_MAGIC, 0x04)

/**
 * define SOM_IOC_POOL_BACKED - move pinnable memory back to the pool.
 *
 * Moves each unit that the &struct som_range touches and that is pinnable back
 * to a unit of the pool. The content is kept, also under concurrent access.
 *
 * Return: 0; EBUSY if a page of a unit is pinned; the other errors of
 * SOM_IOC_PAGE_BACKED. On an error, everything below @walk_end is done.
 */
#define SOM_IOC_POOL_BACKED	_IO(SOM_IOC_MAGIC, 0x05)

/** define SOM_IOC_PINNABLE - former name of SOM_IOC_PAGE_BACKED. */
#define SOM_IOC_PINNABLE	SOM_IOC_PAGE_BACKED

/** define SOM_IOC_UNPINNABLE - former name of SOM_IOC_POOL_BACKED. */
#define SOM_IOC_UNPINNABLE	SOM_IOC_POOL_BACKED

/** define SOM_PACK_CLOEXEC - close the descriptor on exec. */
#define SOM_PACK_CLOEXEC	(1U << 0)

/**
 * struct som_pack - memory that is to leave the calling process
 * @size: size of this structure in bytes, set by the caller.
 * @flags: SOM_PACK_CLOEXEC, or 0.
 * @start: first address, a multiple of 2 MiB.
 * @end: address behind the last, a multiple of 2 MiB.
 *
 * 24 bytes.
 */
struct som_pack {
	__u32 size;
	__u32 flags;
	__u64 start;
	__u64 end;
};

/** define SOM_PACK_SIZE_VER0 - size of the first version of som_pack. */
#define SOM_PACK_SIZE_VER0	24

/**
 * define SOM_IOC_PACK - make a parcel, memory that another process can have.
 *
 * The range of the &struct som_pack leaves the address space, as by munmap(), and its
 * memory, the bytes as they are, is the parcel's that the returned descriptor stands for.
 * No byte is copied. Units without memory stay holes. Tracking ends. What children have
 * inherited of it and not touched yet is copied for them first.
 *
 * A parcel can be passed on like any descriptor: over a Unix socket, to a child, through
 * exec, to a service manager that keeps it.
 *
 * - mmap() of it is a claim: the memory is the caller's own then, as if it had
 *   mapped ``/dev/som`` and had written the bytes itself. @addr, @offset and length are
 *   multiples of 2 MiB. Each part can be claimed once. Reservation, limits, MAP_PRIVATE
 *   and protection are as with ``/dev/som``, and so is the policy that the file had
 *   through which it was packed, which SOM_IOC_SET_POLICY of the parcel can change.
 *   EINVAL: not whole units, or not all in the parcel; ENODATA: some of it has been claimed;
 *   EBUSY: somebody got a pin on memory of a chunk while it was packed, and has it still;
 *   EXDEV: the caller is another user than who has packed it, and users do not share chunks
 *   (parameter share_chunks): it can read the bytes;
 *   ENOMEM: limits or the pool do not allow it. A claim that fails leaves the parcel as it
 *   was.
 * - read(), pread(), splice() and sendfile() give the bytes of what was not claimed, zeroes
 *   for holes; ENODATA for what was; EIO where memory has failed. fstat() tells the size.
 * - poll(): POLLIN as long as something is unclaimed; POLLPRI as soon as something was
 *   claimed; POLLHUP when all was.
 * - It is charged to the account of the process that has packed it until it is claimed,
 *   and then to the claimer. The last close gives back what is left.
 *
 * Return: a descriptor; EINVAL if @start or @end is not a multiple of 2 MiB, @end is not
 * above @start, or the range is not all som memory of the caller's, each unit as a whole,
 * and mapped nowhere else; EFAULT if the range is not user memory; EFBIG if it is
 * longer than 4 TiB; EBUSY if somebody has a pin on memory of a unit's chunk, or a unit is
 * page-backed (SOM_IOC_POOL_BACKED first); EPERM if it is sealed; EHWPOISON if memory of a
 * unit has failed; EDQUOT if the user has as many parcels as max_parcels allows; EMFILE or
 * ENFILE without a free descriptor; ENOMEM without memory, also for the copies that children
 * need; EAGAIN if mlockall(MCL_FUTURE) is in the way; EINTR on a fatal signal; or the
 * shared errors.
 */
#define SOM_IOC_PACK	_IO(SOM_IOC_MAGIC, 0x06)

/**
 * struct som_parcel_info - what a parcel has
 * @size: size of this structure in bytes, set by the caller.
 * @flags: must be zero.
 * @bytes: size of the parcel.
 * @unclaimed: bytes of it that nobody has claimed.
 * @resident: bytes of those that have memory; the rest are holes. They are charged.
 * @pid: the process that has packed it, 0 if the caller cannot see it.
 * @uid: the user who pays, as the caller's user namespace has it.
 *
 * 40 bytes.
 */
struct som_parcel_info {
	__u32 size;
	__u32 flags;
	__u64 bytes;
	__u64 unclaimed;
	__u64 resident;
	__s32 pid;
	__u32 uid;
};

/** define SOM_PARCEL_INFO_SIZE_VER0 - size of the first version of som_parcel_info. */
#define SOM_PARCEL_INFO_SIZE_VER0	40

/**
 * define SOM_IOC_PARCEL_INFO - read a &struct som_parcel_info.
 *
 * A call of parcels only. Return: 0, or the shared errors.
 */
#define SOM_IOC_PARCEL_INFO	_IO(SOM_IOC_MAGIC, 0x07)

#endif /* _UAPI_LINUX_SOM_H */
