/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the test of the hooks, hooks_test.c, is told by each allocator's part.
 */
#ifndef HOOKS_TEST_H
#define HOOKS_TEST_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Is that address in a mapping of som? */
bool is_on_som(const void *p);

/* Put the heap on som. Return: 0, or -1 with errno. */
int allocator_install(void);

/* Give all that is free back to the system; in each thread that has freed. */
void allocator_purge(void);

/* What only this allocator's hook has. Return: NULL, or what went wrong. */
const char *allocator_test(void);

#ifdef __cplusplus
}
#endif

#endif /* HOOKS_TEST_H */
