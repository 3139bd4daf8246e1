/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Linear memories of wasm2c on som. Generated code calls the functions of <wasm-rt.h>; a
 * program configures them here.
 */
#ifndef SOM_WASM2C_H
#define SOM_WASM2C_H

#include "som_slots.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * som_wasm2c_init - configure memories; call it before the first instance
 * @nr: limit of memories at a time.
 * @keep: bytes of each that stay mapped when its instance ends, see struct
 *	som_slots_config.
 * @batch: instances to reset together, see struct som_slots_config.
 * @options: SOM_POLICY_* bits.
 *
 * Without this call, there are 256 memories, of which 2 MiB stay mapped.
 *
 * Return: 0, or -1 with errno: EBUSY if there are memories already.
 */
int som_wasm2c_init(size_t nr, size_t keep, size_t batch, uint64_t options);

/* Reset the memories of ended instances now. Return: 0, or -1 with errno. */
int som_wasm2c_clean(void);

/* Unmap all memories; no instance may exist. som_wasm2c_init() may be called again. */
void som_wasm2c_exit(void);

#ifdef __cplusplus
}
#endif

#endif /* SOM_WASM2C_H */
