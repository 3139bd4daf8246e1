/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the test of the hooks, hooks_test.c, is told by each allocator's part.
 */
#ifndef HOOKS_TEST_H
#define HOOKS_TEST_H

#ifdef __cplusplus
extern "C" {
#endif

/* Put the heap on som. Return: 0, or -1 with errno. */
int allocator_install(void);

/* Give all that is free back to the system; in each thread that has freed. */
void allocator_purge(void);

#ifdef __cplusplus
}
#endif

#endif /* HOOKS_TEST_H */
