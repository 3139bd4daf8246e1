/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Common part of the hooks for allocators: address space on som, allocated from its
 * start. See Documentation/admin-guide/allocators.rst.
 */
#ifndef SOM_SPACE_H
#define SOM_SPACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Functions that succeed do not change errno. */

/**
 * som_space_map - map private som memory at an aligned address
 * @size: bytes.
 * @alignment: a power of two, of 4096 or more.
 * @prot: as for mmap(2).
 * @options: SOM_POLICY_* bits.
 *
 * No file stays open.
 *
 * Return: the address, or NULL with errno: ENOMEM if the pool cannot reserve it.
 */
void *som_space_map(size_t size, size_t alignment, int prot, uint64_t options);

/**
 * som_space_open - reserve address space for som_space_alloc()
 * @options: SOM_POLICY_* bits of all of it.
 *
 * Only the first successful call has an effect.
 *
 * Return: 0, or -1 with errno.
 */
int som_space_open(uint64_t options);

/**
 * som_space_alloc - allocate from the address space
 * @size: bytes, a multiple of 4096.
 * @alignment: a power of two, of 4096 or more.
 *
 * The memory is zero, writable, and reserved by the pool. Consecutive allocations are
 * adjacent, so only the last unit is partly used. The function takes no lock, so it is
 * safe between fork and exec, and in a signal handler.
 *
 * Return: the address, or NULL with errno: ENOMEM if the pool cannot reserve it.
 */
void *som_space_alloc(size_t size, size_t alignment);

/**
 * som_space_unmap - remove memory from the address space permanently
 * @start: page aligned.
 * @size: bytes, a multiple of 4096.
 *
 * Unmaps whole units. Zeroes the range in units that it covers only partly, because
 * other allocations may use the rest.
 */
void som_space_unmap(void *start, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* SOM_SPACE_H */
