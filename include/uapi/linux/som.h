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
 * Memory is obtained with mmap(MAP_SHARED) of an open ``/dev/som`` at offset
 * 0. Every mapping is fresh, zeroed memory that belongs to the calling
 * process (its address space) alone.
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
 * - EFAULT: the structure cannot be read or written
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
 *
 * The numbers are a snapshot; each is right by itself. 80 bytes.
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

#endif /* _UAPI_LINUX_SOM_H */
