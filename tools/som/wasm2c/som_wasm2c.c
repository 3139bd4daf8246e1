// SPDX-License-Identifier: GPL-2.0
/*
 * Linear memories of wasm2c on som: replace the three functions of wasm2c's runtime that
 * manage them. The rest of the runtime is Debian's, compiled so that its own three
 * functions have other names; see Makefile.
 *
 * An address has 32 bits, and so has the offset that an instruction adds. Together they
 * reach 8 GiB, plus the width of the access. The guard region covers all of it, so
 * generated code makes no checks; an access out of bounds raises a signal, which the
 * runtime turns into a trap.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <libsom.h>
#include <wasm-rt.h>

#include "som_wasm2c.h"

#define WASM_PAGE	65536UL
/* The runtime's sizes have 32 bits: 65536 pages would be 0 bytes. */
#define MOST_PAGES	65535UL
#define GIB		(1UL << 30)

static struct som_slots *slots;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int som_wasm2c_init(size_t nr, size_t keep, size_t batch, uint64_t options)
{
	struct som_slots_config config = {
		.nr = nr,
		.size = 4 * GIB,
		.guard = 4 * GIB + SOM_UNIT_SIZE,
		.keep = keep,
		.batch = batch,
		.options = options,
	};
	int ret = -1;

	pthread_mutex_lock(&lock);
	if (slots) {
		errno = EBUSY;
	} else {
		slots = som_slots_new(&config);
		ret = slots ? 0 : -1;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

int som_wasm2c_clean(void)
{
	return slots ? som_slots_clean(slots) : 0;
}

void som_wasm2c_exit(void)
{
	if (slots)
		som_slots_free(slots);
	slots = NULL;
}

/*
 * The interface has no error return. If the host has set up traps, raise one, as for a
 * call stack that is too deep; otherwise end the program.
 */
static void give_up(const char *what)
{
	if (wasm_rt_get_unwind_target())
		wasm_rt_trap(WASM_RT_TRAP_EXHAUSTION);
	perror(what);
	abort();
}

void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t initial_pages,
			     uint32_t max_pages)
{
	/* If the allocation fails, there is no memory to free. */
	*memory = (wasm_rt_memory_t) { .data = NULL };
	if (!slots && som_wasm2c_init(256, SOM_UNIT_SIZE, 0, 0) &&
	    errno != EBUSY)
		give_up("som_wasm2c: /dev/som");
	if (initial_pages > MOST_PAGES)
		give_up("som_wasm2c: a memory of 4 GiB");
	memory->data = som_slot_get(slots, initial_pages * WASM_PAGE);
	if (!memory->data)
		give_up("som_wasm2c: no memory for an instance");
	memory->pages = initial_pages;
	memory->max_pages = max_pages < MOST_PAGES ? max_pages : MOST_PAGES;
	memory->size = initial_pages * WASM_PAGE;
}

uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t delta)
{
	uint32_t old = memory->pages;
	uint64_t pages = (uint64_t)old + delta;

	if (pages > memory->max_pages ||
	    som_slot_grow(slots, memory->data, pages * WASM_PAGE))
		return UINT32_MAX;
	memory->pages = pages;
	memory->size = pages * WASM_PAGE;
	return old;
}

void wasm_rt_free_memory(wasm_rt_memory_t *memory)
{
	if (memory->data && som_slot_put(slots, memory->data))
		perror("som_wasm2c: a memory is lost");
	*memory = (wasm_rt_memory_t) { .data = NULL };
}
