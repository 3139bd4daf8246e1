/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Put the heap of an allocator on som. Link the file of the allocator with som_space.c and
 * libsom; see Documentation/admin-guide/allocators.rst.
 *
 * @options are SOM_POLICY_* bits. Without SOM_POLICY_FORK_COPY a child of fork has no
 * heap and can only exec.
 */
#ifndef SOM_HOOKS_H
#define SOM_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * som_jemalloc_install - let jemalloc's automatic arenas use som from now on
 * @options: SOM_POLICY_* bits.
 *
 * Call it early: memory that the arenas already have stays where it is. When the pool is
 * empty, they use ordinary memory.
 *
 * Return: 0, or -1 with errno.
 */
int som_jemalloc_install(uint64_t options);

/**
 * som_jemalloc_arena - create a separate jemalloc arena on som
 * @options: SOM_POLICY_* bits.
 * @arena: result: its number, for MALLOCX_ARENA().
 *
 * Return: 0, or -1 with errno.
 */
int som_jemalloc_arena(uint64_t options, unsigned int *arena);

/**
 * som_mimalloc_manage - give mimalloc an arena on som
 * @size: bytes; rounded up to whole segments of mimalloc.
 * @options: SOM_POLICY_* bits.
 *
 * All of it is reserved at once. When it is full, mimalloc uses ordinary memory, unless
 * its option limit_os_alloc is set.
 *
 * Return: 0, or -1 with errno: ENOMEM if the pool cannot reserve it.
 */
int som_mimalloc_manage(size_t size, uint64_t options);

/**
 * som_tcmalloc_active - return whether tcmalloc uses som
 *
 * A program that is linked with som_tcmalloc.cc replaces the system allocator before its
 * first allocation. Children of fork have a copy.
 */
bool som_tcmalloc_active(void);

#ifdef __cplusplus
}
#endif

#endif /* SOM_HOOKS_H */
