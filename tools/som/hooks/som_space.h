/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the hooks for allocators have in common: address space on som, given out
 * from its start. See Documentation/admin-guide/allocators.rst.
 */
#ifndef SOM_SPACE_H
#define SOM_SPACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Functions that succeed leave errno as it is. */

/**
 * som_space_map - private som memory at an aligned address
 * @size: bytes.
 * @alignment: a power of two, of 4096 or more.
 * @prot: as for mmap(2).
 * @options: SOM_POLICY_* bits.
 *
 * No file stays open.
 *
 * Return: the address, or NULL with errno: ENOMEM if the pool cannot promise it.
 */
void *som_space_map(size_t size, size_t alignment, int prot, uint64_t options);

/**
 * som_space_open - have address space for som_space_alloc()
 * @options: SOM_POLICY_* bits of all of it.
 *
 * Once is enough; what comes later changes nothing.
 *
 * Return: 0, or -1 with errno.
 */
int som_space_open(uint64_t options);

/**
 * som_space_alloc - some of it
 * @size: bytes, a multiple of 4096.
 * @alignment: a power of two, of 4096 or more.
 *
 * It reads as zero, can be written, and is promised by the pool. What is given out one
 * after the other lies side by side, so that no unit is used in part but the last. No
 * lock is taken: that is safe between fork and exec, and in a signal handler.
 *
 * Return: the address, or NULL with errno: ENOMEM if the pool cannot promise it.
 */
void *som_space_alloc(size_t size, size_t alignment);

/**
 * som_space_unmap - take memory out of the address space for good
 * @start: page aligned.
 * @size: bytes, a multiple of 4096.
 *
 * Whole units are unmapped. Units that others may have a part of are emptied: they
 * read as zero from now on.
 */
void som_space_unmap(void *start, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* SOM_SPACE_H */
