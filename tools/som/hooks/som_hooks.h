/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a program puts the heap of its allocator on som. One file for each allocator, to
 * be linked with som_space.c and libsom; see Documentation/admin-guide/allocators.rst.
 *
 * @options are SOM_POLICY_* bits. Without SOM_POLICY_FORK_COPY a child of fork has no
 * heap, and can do nothing but exec.
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
 * som_jemalloc_install - what jemalloc's automatic arenas get from now on is som's
 * @options: SOM_POLICY_* bits.
 *
 * What they have already stays where it is: the sooner the better. Where the pool is
 * dry, they get what they would without it.
 *
 * Return: 0, or -1 with errno.
 */
int som_jemalloc_install(uint64_t options);

/**
 * som_jemalloc_arena - an arena of jemalloc's own that is on som
 * @options: SOM_POLICY_* bits.
 * @arena: where its number goes, for MALLOCX_ARENA().
 *
 * Return: 0, or -1 with errno.
 */
int som_jemalloc_arena(uint64_t options, unsigned int *arena);

/**
 * som_mimalloc_manage - give mimalloc an arena on som
 * @size: bytes; rounded up to whole segments of mimalloc.
 * @options: SOM_POLICY_* bits.
 *
 * All of it is promised at once. When it is full mimalloc goes on with ordinary
 * memory, unless its option limit_os_alloc is set.
 *
 * Return: 0, or -1 with errno: ENOMEM if the pool cannot promise it.
 */
int som_mimalloc_manage(size_t size, uint64_t options);

/**
 * som_tcmalloc_active - has tcmalloc's system allocator been replaced?
 *
 * A program that is linked with som_tcmalloc.cc has it replaced before its first
 * allocation. Children of fork have a copy.
 */
bool som_tcmalloc_active(void);

#ifdef __cplusplus
}
#endif

#endif /* SOM_HOOKS_H */
