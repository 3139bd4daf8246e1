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
 * A program gets memory by mmap() of an open ``/dev/som``, at offset 0 or at the
 * offset set in the policy of the file (&struct som_policy). Every mapping is fresh,
 * zeroed memory. It belongs to the address space of the calling process alone.
 * MAP_SHARED and MAP_PRIVATE differ in one point: madvise(MADV_DONTNEED) keeps the
 * content of a shared mapping, and makes a private one read as zero. mremap() from
 * length 0 duplicates a mapping; it fails with ENOMEM if a page would get more than
 * 64 mappings.
 *
 * Every structure starts with its own size in bytes, which the caller sets to
 * ``sizeof`` of the structure it was compiled with. A kernel that knows a
 * shorter structure accepts a longer one if the bytes that it does not know are
 * zero. A kernel that knows a longer structure fills in the part that fits.
 *
 * Error codes common to all calls:
 *
 * - ENOTTY: unknown command number
 * - E2BIG: the structure is longer than this kernel knows and the rest is
 *   not zero, or it is longer than a page
 * - EINVAL: the structure is shorter than its first version; a flag is
 *   unknown; a reserved field is not zero
 * - EFAULT: the structure cannot be read, or the call has results and the structure
 *   cannot be written
 *
 * A call that fails changes nothing, unless its description says how to find out what
 * it has done.
 */

/** define SOM_IOC_MAGIC - ioctl type of every call of this header. */
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
 * define SOM_MMAP_JOIN - mmap() offset that joins several mappings into one.
 *
 * mmap(addr, length, prot, MAP_FIXED | MAP_SHARED or MAP_PRIVATE, fd, offset) maps a
 * range of som mappings of the caller again, as one mapping. The offset is
 * SOM_MMAP_JOIN plus the @map_offset of the file's policy. The content stays, also
 * under concurrent access. The access rights stay; @prot is ignored. A program needs
 * this because the kernel splits a mapping where mprotect() or madvise() changes a
 * part of it, does not merge equal som mappings again, and allows vm.max_map_count
 * mappings only.
 *
 * Fails with EINVAL and changes nothing: without MAP_FIXED, or with
 * MAP_FIXED_NOREPLACE; if the mappings were not one mapping before, were moved apart
 * since, or differ in access or advice; if any of the memory is also mapped elsewhere
 * (mremap), or has a policy (mbind); if MAP_SHARED or MAP_PRIVATE differs from
 * the mappings. EACCES: the file is not open for writing. ENOMEM from the kernel: as
 * for every MAP_FIXED, the range may be unmapped then.
 */
#define SOM_MMAP_JOIN	(1UL << 12)

/**
 * define SOM_MMAP_DODUMP - join, and include the range in core dumps.
 *
 * The kernel accepts MADV_DONTDUMP for som mappings, but not MADV_DODUMP. This offset
 * undoes MADV_DONTDUMP.
 */
#define SOM_MMAP_DODUMP	(2UL << 12)

/**
 * struct som_info - state of the pool and of the calling process
 * @size: size of this structure in bytes, set by the caller.
 * @flags: must be zero.
 * @unit_size: size of a unit in bytes.
 * @chunk_size: size of a chunk in bytes.
 * @pool_units: units in the pool, in any state.
 * @pool_free: units without owner that can be allocated.
 * @pool_committed: units that are reserved or in use; a mapping that
 *	reserves fails with ENOMEM if this would exceed @pool_units.
 * @mapped_bytes: bytes of som mappings in the calling process.
 * @reserved_units: units reserved for the calling process.
 * @units_2m: units of the caller mapped by a 2 MiB entry.
 * @units_4k: units of the caller mapped by 4 KiB entries.
 * @units_1g: units of the caller mapped by 1 GiB entries, 512 by each.
 * @units_page_backed: units of the caller that are ordinary memory, see
 *	SOM_IOC_PAGE_BACKED.
 *
 * The numbers are a snapshot. Each is correct by itself; they are not read at one
 * instant. 96 bytes; 80 without the last two.
 */
struct som_info {
	__u32 size;
	__u32 flags;
	__aligned_u64 unit_size;
	__aligned_u64 chunk_size;
	__aligned_u64 pool_units;
	__aligned_u64 pool_free;
	__aligned_u64 pool_committed;
	__aligned_u64 mapped_bytes;
	__aligned_u64 reserved_units;
	__aligned_u64 units_2m;
	__aligned_u64 units_4k;
	__aligned_u64 units_1g;
	__aligned_u64 units_page_backed;
};

/** define SOM_INFO_SIZE_VER0 - size of the first version of som_info. */
#define SOM_INFO_SIZE_VER0	80

/**
 * define SOM_IOC_INFO - read a &struct som_info.
 *
 * Reports on the calling process, also if another process opened the file.
 *
 * Return: 0, or the common errors.
 */
#define SOM_IOC_INFO	_IO(SOM_IOC_MAGIC, 0x00)

/**
 * DOC: the scan call
 *
 * ``ioctl(fd, PAGEMAP_SCAN, struct pm_scan_arg *)`` of ``<linux/fs.h>`` scans the som
 * mappings of the calling process. Number, structure, flags, categories, return
 * value, ``walk_end`` and errors are those of the call on ``/proc/PID/pagemap``. Other
 * memory in the range is skipped.
 *
 * - PAGE_IS_PRESENT: the page's unit has memory.
 * - PAGE_IS_WRITTEN: the page is tracked, and was written since a scan with
 *   PM_SCAN_WP_MATCHING last matched it, or has lost its memory since and is zero; or
 *   it is present and not tracked; or a device may write to it through a pin.
 * - PAGE_IS_WPALLOWED: the page is tracked.
 * - PAGE_IS_HUGE: the unit is mapped by a 2 MiB entry.
 * - SOM_PAGE_IS_ZERO: see its definition.
 * - PAGE_IS_FILE, PAGE_IS_SWAPPED, PAGE_IS_PFNZERO, PAGE_IS_SOFT_DIRTY: never.
 *
 * The first scan with PM_SCAN_WP_MATCHING over a range starts its tracking, also for
 * pages without memory. Tracking ends with the mapping. If memory is mapped, or moved
 * by mremap(), to addresses that such a scan has passed, all its pages are written.
 * A new mapping at other addresses is not tracked. PM_SCAN_CHECK_WPASYNC fails
 * with EPERM at the first memory of the range that is not tracked.
 *
 * A page that is written but not present was released (MADV_REMOVE, MADV_DONTNEED of a
 * private mapping, SOM_IOC_RESET). It is zero. Reading it would populate it again.
 */

/**
 * define SOM_PAGE_IS_ZERO - every byte of the page is zero.
 *
 * A category for PAGEMAP_SCAN on a som file. The call reads the page to find out,
 * unless the page is known to be zero, and only if one of its masks has this
 * category. A page that is not present is zero.
 */
#define SOM_PAGE_IS_ZERO	(1ULL << 63)

/** define SOM_RESET_IMAGE_MEM - the image is memory at @image. */
#define SOM_RESET_IMAGE_MEM	(1U << 0)
/** define SOM_RESET_IMAGE_FD - the image is in file @image_fd, from offset @image. */
#define SOM_RESET_IMAGE_FD	(1U << 1)

/**
 * struct som_reset - reset of written pages
 * @size: size of this structure in bytes, set by the caller.
 * @flags: 0 (reset to zero), SOM_RESET_IMAGE_MEM or SOM_RESET_IMAGE_FD.
 * @start: first address, page aligned.
 * @end: end of the range (exclusive), rounded up to a page.
 * @keep_resident: limit of bytes to rewrite. The range is released from the first
 *	unit whose written pages exceed it. All ones: no limit.
 * @image: with an image: the address, or the file offset, of the byte that
 *	belongs at @start. Page aligned.
 * @image_fd: with SOM_RESET_IMAGE_FD: a file that can be read at an offset;
 *	otherwise 0. Bytes after the end of the file are zero.
 * @reserved: must be zero.
 * @walk_end: out: the range below this address is done. @end on success.
 * @rewritten: out: bytes rewritten. It exceeds @keep_resident only by memory that
 *	could not be released and was zeroed in place: units that are only partly in
 *	the range, and units with a pin if a limit or the pool does not allow one more
 *	unit until the pin ends.
 * @released: out: bytes released, in whole units.
 * @released_start: out: first released address, or @end.
 *
 * 80 bytes.
 */
struct som_reset {
	__u32 size;
	__u32 flags;
	__aligned_u64 start;
	__aligned_u64 end;
	__aligned_u64 keep_resident;
	__aligned_u64 image;
	__s32 image_fd;
	__u32 reserved;
	__aligned_u64 walk_end;
	__aligned_u64 rewritten;
	__aligned_u64 released;
	__aligned_u64 released_start;
};

/** define SOM_RESET_SIZE_VER0 - size of the first version of som_reset. */
#define SOM_RESET_SIZE_VER0	80

/**
 * define SOM_IOC_RESET - reset written pages of a range, see &struct som_reset.
 *
 * Resets every page of the caller's som mappings in the range that was written since
 * the last reset or clean scan (every present page, if it was not tracked): to zero,
 * or to the bytes of the image. Pages without memory stay so, and read as zero.
 * Afterwards the range is tracked, and pages with memory are clean: the rewriting does
 * not count as a write.
 *
 * Released memory reads as zero, with an image, too; @released_start is its first
 * address (@end if nothing was released). It counts as written until a scan cleans it,
 * because unwritten pages have changed with it. So does memory that was released
 * before and is not reported yet.
 *
 * Return: 0; EINTR on a fatal signal; EFAULT or the file's error if the image
 * cannot be read; EINVAL if @start or @image is not page aligned, @end is
 * below @start, a flag is unknown or both images are requested; EBADF if the kernel
 * cannot read @image_fd at an offset (directories, pipes and most files of /proc);
 * EFAULT if the range is not user memory; ENOMEM; EHWPOISON if the memory of the unit at
 * @walk_end has failed. If an error occurs after the work has begun, @walk_end,
 * @rewritten and @released report what was done; written pages from @walk_end on
 * are still reported as written.
 */
#define SOM_IOC_RESET	_IO(SOM_IOC_MAGIC, 0x01)

/**
 * struct som_policy - how an open file maps memory
 * @size: size of this structure in bytes, set by the caller.
 * @flags: must be zero.
 * @map_size: size of the largest page table entry to use: 4096, 2 MiB or 1 GiB.
 *	Smaller entries are used where the boundaries of a mapping, tracking or the
 *	pool require it.
 * @max_units: limit of the units that a process may have reserved, in use or cached
 *	once it has mapped through the file; 0: no such limit. It can only be
 *	lowered, and applies to the process for as long as it has som memory. A process
 *	that exceeds it when it takes effect keeps its units, and gets no more
 *	until it is below the limit. A process that did not open the file gets the
 *	limit only if it has no som memory when it maps through the file.
 * @options: SOM_POLICY_* bits.
 * @map_offset: offset that mmap() of the file requires, page aligned; other offsets
 *	fail with EINVAL. Default: 0.
 *
 * A library can hold a descriptor in a program that may close it and open another file
 * at the same number. Such a library sets a random @map_offset of 1 << 63 or more. mmap()
 * at that offset fails for every regular file, block device and socket
 * (EOVERFLOW) and for every other som file. So a mapping that succeeds is of the
 * library's own file, and no further check is needed, which would come too late.
 *
 * 40 bytes; 32 without the last.
 */
struct som_policy {
	__u32 size;
	__u32 flags;
	__aligned_u64 map_size;
	__aligned_u64 max_units;
	__aligned_u64 options;
	__aligned_u64 map_offset;
};

/** define SOM_POLICY_SIZE_VER0 - size of the first version of som_policy. */
#define SOM_POLICY_SIZE_VER0	16

/**
 * define SOM_POLICY_REUSE - do not zero memory that the same process had before.
 *
 * For callers that overwrite all of their memory. Memory of mappings made after this was
 * set may contain old bytes of the same process when it is touched first, or
 * touched again after a release. The bytes come from units that the process has
 * released and that were cached for it (sysfs cache_max). Bytes of other processes
 * are never visible.
 */
#define SOM_POLICY_REUSE	(1 << 0)

/**
 * define SOM_POLICY_FORK_COPY - fork gives the child a copy of the memory.
 *
 * Without this option a child inherits nothing. With it, the child sees the bytes that
 * its parent had at fork. fork itself copies no memory. A unit is copied when either
 * side writes to it, or the child first touches it; nothing is copied for a child that
 * first exits or executes another program. Pinned and page-backed memory of the parent
 * is copied by fork. A scan or reset by the child counts as a touch.
 *
 * fork charges the child for everything that the mappings have reserved, and fails with
 * ENOMEM if the pool or a limit does not allow that. The child starts without tracking.
 * Inherited memory is mapped by entries of at most 2 MiB, so a @map_size of 1 GiB fails
 * with EINVAL. After fork, long-term pins for writing are refused in the
 * parent's mappings, as in tracked ones, unless SOM_IOC_PAGE_BACKED is used.
 */
#define SOM_POLICY_FORK_COPY	(1 << 1)

/**
 * define SOM_POLICY_FORK_NORESERVE - fork does not charge the child.
 *
 * Valid only with SOM_POLICY_FORK_COPY. A copy is charged when it is made. If that
 * fails, the child's access raises SIGBUS. The child's data is lost, and every access
 * raises SIGBUS from then on, if a write by the parent forces the copy and it fails, or
 * if the child removes a part of such a unit. Memory that the parent unmaps, or has when
 * it exits, is handed to the child without a further charge, if the limits of the
 * child's process allow it.
 *
 * For parents that use more than half of the pool and whose children read part of the
 * memory (a database that writes its snapshot in a child).
 */
#define SOM_POLICY_FORK_NORESERVE	(1 << 2)

/**
 * define SOM_POLICY_PAGE_BACKED - use ordinary pages where 4 KiB entries are needed.
 *
 * get_user_pages() finds no page at a 4 KiB entry of a unit of the pool, so direct I/O,
 * non-private futexes, process_vm_readv() and everything else that pins memory fails
 * there. With this option, a unit that needs 4 KiB entries becomes 2 MiB of ordinary
 * pages when it is touched, as if by SOM_IOC_PAGE_BACKED. A unit needs 4 KiB entries
 * where a mapping ends or changes inside it, with @map_size 4096, and when it is tracked
 * and written. When it no longer needs them, it returns to the pool after a while; a
 * tracked unit does not. Its content is kept, and its reservation in the pool stays.
 * Scans stay exact to the page; a pinned page stays WRITTEN until the pin ends. The
 * option applies to mappings made after it was set.
 *
 * In these cases the unit is mapped by 4 KiB entries as without the option: no memory is
 * available, max_page_backed or max_page_backed_user (module parameters) is
 * reached, or memory of the unit's chunk has a pin.
 */
#define SOM_POLICY_PAGE_BACKED	(1 << 3)

/**
 * define SOM_IOC_GET_POLICY - read the &struct som_policy of the open file.
 *
 * A file starts with the module's default (parameter map_size).
 *
 * Return: 0, or the common errors.
 */
#define SOM_IOC_GET_POLICY	_IO(SOM_IOC_MAGIC, 0x02)

/**
 * define SOM_IOC_SET_POLICY - set the &struct som_policy of the open file.
 *
 * The policy applies to mappings that are made through the file afterwards.
 *
 * With @map_size 1 GiB, the first touch of an aligned GiB inside one mapping takes a
 * whole chunk, if one is empty, and maps it by one entry. MAP_PRIVATE mappings and
 * tracked memory use entries of at most 2 MiB.
 *
 * Read the policy before setting @max_units or a later field: a field left at 0 is
 * set to 0. Fields after the end of a shorter structure are not changed.
 *
 * Only the address space that opened the file may set its policy. A child of fork, a
 * program executed since, and a process that received the descriptor must open
 * the device themselves to get a policy of their own. Their mappings through this
 * file use its policy.
 *
 * Return: 0; EPERM if the file was opened by another address space; EINVAL if
 * @map_size is none of the three values or does not fit @options, @options has unknown
 * bits, @map_offset is not page aligned, or @max_units would be raised; EOPNOTSUPP if
 * @options has SOM_POLICY_FORK_COPY and the kernel has no loadable modules
 * (CONFIG_MODULES); or the common errors.
 */
#define SOM_IOC_SET_POLICY	_IO(SOM_IOC_MAGIC, 0x03)

/**
 * struct som_range - a range of addresses
 * @size: size of this structure in bytes, set by the caller.
 * @flags: must be zero.
 * @start: first address, page aligned.
 * @end: end of the range (exclusive), rounded up to a page.
 * @walk_end: out: the range below this address is done. @end on success.
 *
 * 32 bytes.
 */
struct som_range {
	__u32 size;
	__u32 flags;
	__aligned_u64 start;
	__aligned_u64 end;
	__aligned_u64 walk_end;
};

/** define SOM_RANGE_SIZE_VER0 - size of the first version of som_range. */
#define SOM_RANGE_SIZE_VER0	32

/**
 * define SOM_IOC_PAGE_BACKED - move memory to ordinary pages, which can be pinned.
 *
 * Moves each unit that the &struct som_range touches, as a whole, to 2 MiB of ordinary
 * kernel memory. Units without memory get some. The content is kept, also under
 * concurrent access. Page-backed memory is mapped by 4 KiB entries, is part of RSS and
 * is charged to the memory cgroup. Direct I/O, io_uring, RDMA and VFIO can pin it
 * however it is mapped. Its reservation in the pool stays for the way back. Every scan
 * reports it as written, because a device may write to it at any time.
 *
 * Skips parts of the range that are not som mappings of the caller, and units that are
 * page-backed already.
 *
 * Return: 0; EBUSY if memory of a unit's chunk has a pin, so that the unit cannot
 * be moved; ENOMEM without memory, or if a limit of the module (parameters
 * max_page_backed, max_page_backed_user) is reached; ENOSPC if the pool has no room for
 * a unit without memory; EHWPOISON if a unit's memory cannot be read, and the unit
 * stays in place; EINTR on a fatal signal; EINVAL if @start is not page aligned or @end
 * is below it; EFAULT if the range is not user memory. On an error, the range below
 * @walk_end is done.
 */
#define SOM_IOC_PAGE_BACKED	_IO(SOM_IOC_MAGIC, 0x04)

/**
 * define SOM_IOC_POOL_BACKED - move memory back to the pool.
 *
 * Moves each page-backed unit that the &struct som_range touches to a unit of the pool.
 * The content is kept, also under concurrent access.
 *
 * Return: 0; EBUSY if a page of a unit is pinned; the other errors of
 * SOM_IOC_PAGE_BACKED. On an error, the range below @walk_end is done.
 */
#define SOM_IOC_POOL_BACKED	_IO(SOM_IOC_MAGIC, 0x05)

/** define SOM_IOC_PINNABLE - former name of SOM_IOC_PAGE_BACKED. */
#define SOM_IOC_PINNABLE	SOM_IOC_PAGE_BACKED

/** define SOM_IOC_UNPINNABLE - former name of SOM_IOC_POOL_BACKED. */
#define SOM_IOC_UNPINNABLE	SOM_IOC_POOL_BACKED

/** define SOM_PACK_CLOEXEC - close the descriptor on exec. */
#define SOM_PACK_CLOEXEC	(1U << 0)

/**
 * struct som_pack - memory to move out of the calling process
 * @size: size of this structure in bytes, set by the caller.
 * @flags: SOM_PACK_CLOEXEC, or 0.
 * @start: first address, a multiple of 2 MiB.
 * @end: end of the range (exclusive), a multiple of 2 MiB.
 *
 * 24 bytes.
 */
struct som_pack {
	__u32 size;
	__u32 flags;
	__aligned_u64 start;
	__aligned_u64 end;
};

/** define SOM_PACK_SIZE_VER0 - size of the first version of som_pack. */
#define SOM_PACK_SIZE_VER0	24

/**
 * define SOM_IOC_PACK - move memory into a parcel, for another process to claim.
 *
 * Removes the range of the &struct som_pack from the address space, as munmap() does,
 * and returns a descriptor of a parcel that has the memory with its content. No byte is
 * copied. Units without memory stay holes. Tracking ends. Memory that children have
 * inherited and not touched yet is copied for them first.
 *
 * A parcel can be passed on like any descriptor: over a Unix socket, to a child, through
 * exec, to a service manager that stores descriptors.
 *
 * - mmap() claims memory. The memory then belongs to the caller, as if it had mapped
 *   ``/dev/som`` and had written the bytes itself. @addr, @offset and length are
 *   multiples of 2 MiB. Each part can be claimed once. Reservation, limits, MAP_PRIVATE
 *   and protection work as with ``/dev/som``. The policy is that of the file through
 *   which the memory was packed; SOM_IOC_SET_POLICY of the parcel can change it.
 *   EINVAL: not whole units, or not all inside the parcel; ENODATA: some of it was
 *   claimed before; EBUSY: memory of a chunk was pinned during the pack, and still is;
 *   EXDEV: the caller is not the user who packed it, and users do not share chunks
 *   (parameter share_chunks); the caller can still read the bytes;
 *   ENOMEM: limits or the pool do not allow it. A claim that fails does not change the
 *   parcel.
 * - read(), pread(), splice() and sendfile() return the bytes of unclaimed memory, zeroes
 *   for holes; ENODATA for claimed memory; EIO where memory has failed. fstat() returns
 *   the size.
 * - poll() reports POLLIN while memory is unclaimed, POLLPRI after the first claim, and
 *   POLLHUP when all memory is claimed.
 * - The memory is charged to the account of the packing process until it is claimed, and
 *   then to the claimer. The last close frees unclaimed memory.
 *
 * Return: a descriptor; EINVAL if @start or @end is not a multiple of 2 MiB, @end is not
 * above @start, or the range is not entirely som memory of the caller, in whole units,
 * mapped nowhere else; EFAULT if the range is not user memory; EFBIG if it is
 * longer than 4 TiB; EBUSY if memory of a unit's chunk has a pin, or a page of a page-backed
 * unit (others move to the pool first, and stay there on an error); EPERM if it is
 * sealed; EHWPOISON if memory of a unit has failed; EDQUOT if the user has reached
 * max_parcels; EMFILE or
 * ENFILE without a free descriptor; ENOMEM without memory, also for the copies that
 * children need; EAGAIN if mlockall(MCL_FUTURE) prevents it; EINTR on a fatal signal; or
 * the common errors.
 */
#define SOM_IOC_PACK	_IO(SOM_IOC_MAGIC, 0x06)

/**
 * struct som_parcel_info - state of a parcel
 * @size: size of this structure in bytes, set by the caller.
 * @flags: must be zero.
 * @bytes: size of the parcel.
 * @unclaimed: bytes that are not claimed yet.
 * @resident: unclaimed bytes with memory, which are charged; the rest are holes.
 * @pid: the process that packed it, 0 if the caller cannot see that process.
 * @uid: the user who is charged, in the caller's user namespace.
 *
 * 40 bytes.
 */
struct som_parcel_info {
	__u32 size;
	__u32 flags;
	__aligned_u64 bytes;
	__aligned_u64 unclaimed;
	__aligned_u64 resident;
	__s32 pid;
	__u32 uid;
};

/** define SOM_PARCEL_INFO_SIZE_VER0 - size of the first version of som_parcel_info. */
#define SOM_PARCEL_INFO_SIZE_VER0	40

/**
 * define SOM_IOC_PARCEL_INFO - read a &struct som_parcel_info.
 *
 * Valid on parcels only. Return: 0, or the common errors.
 */
#define SOM_IOC_PARCEL_INFO	_IO(SOM_IOC_MAGIC, 0x07)

/** define SOM_VIEW_CLOEXEC - close the descriptor on exec. */
#define SOM_VIEW_CLOEXEC	(1U << 0)
/** define SOM_VIEW_TRACK - the view may clean: it claims the write tracking. */
#define SOM_VIEW_TRACK		(1U << 1)

/**
 * struct som_open_view - whose memory to view
 * @size: size of this structure in bytes, set by the caller.
 * @flags: SOM_VIEW_*.
 * @pidfd: the process, as from pidfd_open().
 * @reserved: must be zero.
 *
 * 16 bytes.
 */
struct som_open_view {
	__u32 size;
	__u32 flags;
	__s32 pidfd;
	__u32 reserved;
};

/** define SOM_OPEN_VIEW_SIZE_VER0 - size of the first version of som_open_view. */
#define SOM_OPEN_VIEW_SIZE_VER0	16

/**
 * define SOM_IOC_VIEW - open a view of another process's som memory.
 *
 * Returns a descriptor through which the som mappings of a process can be read and
 * scanned while it runs. It is of the address space that the process of the &struct
 * som_open_view has at that moment. Once that address space is gone, after exit or exec of
 * the process, every call fails with ESRCH. A view neither keeps memory, nor populates it,
 * nor changes its content.
 *
 * The caller must have the right to open ``/proc/PID/mem`` of the process:
 * PTRACE_MODE_ATTACH with the filesystem credentials, the consent of security modules such
 * as Yama, and the permissions of that file. Each PAGEMAP_SCAN, SOM_IOC_VIEW_MAPS, read,
 * SEEK_DATA and SEEK_HOLE repeats the check with the credentials of its caller, and fails
 * with EPERM.
 *
 * - PAGEMAP_SCAN scans the process of the view; otherwise it is as on ``/dev/som``. Memory
 *   that the process inherited and did not copy yet (SOM_POLICY_FORK_COPY) is present and
 *   written. A scan with PM_SCAN_WP_MATCHING copies it, other scans do not.
 * - pread() reads at an address. Pages without memory are zeroes. EFAULT at an address
 *   without som memory, or that the process cannot read (unless the kernel allows
 *   ``/proc/PID/mem`` to override that); EIO where the memory has failed, or what was
 *   inherited is lost. After an error, a read returns the number of bytes read before. read()
 *   begins at the file offset, which lseek() sets.
 * - lseek() with SEEK_DATA and SEEK_HOLE finds memory, by units. Everything that is not
 *   som memory is a hole. ENXIO: no memory from there on, or no user address.
 * - SOM_IOC_VIEW_MAPS lists the mappings.
 *
 * There is one write tracking for each process. PM_SCAN_WP_MATCHING takes from it what the
 * next scan would have found, so one party at a time may use it:
 *
 * - A view with SOM_VIEW_TRACK claims it. Tracking by the view ends when the view is
 *   closed, and leaves nothing behind: nothing is tracked then, as before. As long as it
 *   lasts, all others, the process too, see memory that is not tracked.
 * - A process claims it with its first PM_SCAN_WP_MATCHING or SOM_IOC_RESET, for as long as it
 *   has som memory, also if a view has it. From then on PAGEMAP_SCAN by that view fails with
 *   EBUSY. A view without SOM_VIEW_TRACK sees what the process has not cleaned.
 * - PM_SCAN_WP_MATCHING through a view without SOM_VIEW_TRACK fails with EBUSY.
 *
 * Return: a descriptor; EBADF if @pidfd is not a pidfd; ESRCH if the process has
 * exited, or has no address space; EPERM without the right; with SOM_VIEW_TRACK, EBUSY if
 * the process tracks for itself or another view has the tracking, and ENODATA if the process
 * has no som memory; EMFILE or ENFILE without a free descriptor; ENOMEM; EOPNOTSUPP if the
 * kernel has no procfs; or the common errors.
 */
#define SOM_IOC_VIEW	_IO(SOM_IOC_MAGIC, 0x08)

/** define SOM_VIEW_MAP_PRIVATE - the mapping is MAP_PRIVATE. */
#define SOM_VIEW_MAP_PRIVATE	(1U << 0)
/** define SOM_VIEW_MAP_NORESERVE - the mapping is MAP_NORESERVE. */
#define SOM_VIEW_MAP_NORESERVE	(1U << 1)
/** define SOM_VIEW_MAP_LOCKED - mlock(). */
#define SOM_VIEW_MAP_LOCKED	(1U << 2)
/** define SOM_VIEW_MAP_DONTDUMP - madvise(MADV_DONTDUMP). */
#define SOM_VIEW_MAP_DONTDUMP	(1U << 3)
/**
 * define SOM_VIEW_MAP_MOVED - some of the mapping is not accessible.
 *
 * mremap() has moved private memory away, and left the mapping: access raises SIGBUS.
 */
#define SOM_VIEW_MAP_MOVED	(1U << 4)

/**
 * struct som_view_map - a som mapping of a process
 * @start: first address.
 * @end: end of the mapping (exclusive).
 * @offset: position in the som memory of the process. Mappings with equal offsets map the
 *	same memory.
 * @prot: PROT_* bits.
 * @flags: SOM_VIEW_MAP_* bits.
 * @map_size: as in &struct som_policy.
 * @options: SOM_POLICY_* bits, as in &struct som_policy.
 * @resident: bytes with memory, by units.
 * @deferred: bytes that were inherited and are not copied yet, by units.
 *
 * The numbers of bytes are a snapshot. 64 bytes.
 */
struct som_view_map {
	__aligned_u64 start;
	__aligned_u64 end;
	__aligned_u64 offset;
	__u32 prot;
	__u32 flags;
	__aligned_u64 map_size;
	__aligned_u64 options;
	__aligned_u64 resident;
	__aligned_u64 deferred;
};

/** define SOM_VIEW_MAP_SIZE_VER0 - size of the first version of som_view_map. */
#define SOM_VIEW_MAP_SIZE_VER0	64

/**
 * struct som_view_maps - a list of mappings
 * @size: size of this structure in bytes, set by the caller.
 * @flags: must be zero.
 * @start: first address.
 * @end: end of the range (exclusive).
 * @vec: address of an array for the &struct som_view_map of each mapping.
 * @vec_len: number of elements of the array, not 0.
 * @map_size: bytes of each of them: ``sizeof`` in the caller. Bytes that the kernel does not
 *	know are set to zero.
 * @nr: out: number of mappings in the array.
 * @reserved: must be zero.
 * @walk_end: out: address at which to continue if the array was too small; otherwise @end.
 *
 * 56 bytes.
 */
struct som_view_maps {
	__u32 size;
	__u32 flags;
	__aligned_u64 start;
	__aligned_u64 end;
	__aligned_u64 vec;
	__u32 vec_len;
	__u32 map_size;
	__u32 nr;
	__u32 reserved;
	__aligned_u64 walk_end;
};

/** define SOM_VIEW_MAPS_SIZE_VER0 - size of the first version of som_view_maps. */
#define SOM_VIEW_MAPS_SIZE_VER0	56

/**
 * define SOM_IOC_VIEW_MAPS - list the som mappings in a range of addresses.
 *
 * Valid on views only. Lists each mapping that touches the range of the &struct
 * som_view_maps, whole, in the order of addresses. If the process changes its mappings
 * meanwhile, each element is a snapshot, and mappings that do not change are listed once.
 *
 * Return: 0; EINVAL if @map_size is less than that of the first version or more than a page,
 * or @vec_len is 0; EFAULT if the array cannot be written; ESRCH; EPERM; ENOMEM; EINTR on a
 * fatal signal; or the common errors.
 */
#define SOM_IOC_VIEW_MAPS	_IO(SOM_IOC_MAGIC, 0x09)

#endif /* _UAPI_LINUX_SOM_H */
