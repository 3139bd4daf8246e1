/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of hooks_test.c that each allocator's part implements.
 */
#ifndef HOOKS_TEST_H
#define HOOKS_TEST_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Return whether an address is in a som mapping. */
bool is_on_som(const void *p);

/* Put the heap on som. Return: 0, or -1 with errno. */
int allocator_install(void);

/* Return free memory to the system; called in each thread that has freed memory. */
void allocator_purge(void);

/* Test functions of this allocator's hook only. Return: NULL, or the error. */
const char *allocator_test(void);

#ifdef __cplusplus
}
#endif

#endif /* HOOKS_TEST_H */
