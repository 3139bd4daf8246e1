/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Linear memories of wasm2c on som. The functions that generated code calls are those
 * of <wasm-rt.h>; a program can say here what they are to do.
 */
#ifndef SOM_WASM2C_H
#define SOM_WASM2C_H

#include "som_slots.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * som_wasm2c_init - before the first instance: how many there may be
 * @nr: memories at a time.
 * @keep: bytes of each that stay when its instance ends, see struct som_slots_config.
 * @batch: instances that are reset together, see there.
 * @options: SOM_POLICY_* bits.
 *
 * A program that does not call it has 256 memories, of which 2 MiB stay.
 *
 * Return: 0, or -1 with errno: EBUSY if there are memories already.
 */
int som_wasm2c_init(size_t nr, size_t keep, size_t batch, uint64_t options);

/* Reset the memories of instances that have ended now: 0, or -1 with errno. */
int som_wasm2c_clean(void);

/* Unmap all memories, when no instance is left. som_wasm2c_init() may come again. */
void som_wasm2c_exit(void);

#ifdef __cplusplus
}
#endif

#endif /* SOM_WASM2C_H */
