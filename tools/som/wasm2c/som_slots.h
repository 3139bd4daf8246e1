/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Slots: som memory for short-lived sandboxes.
 *
 * A slot is a range of addresses. It starts with memory that a sandbox may access, and
 * ends with a guard region without access. When the sandbox has ended, the memory stays
 * mapped: SOM_IOC_RESET zeroes the written pages for the next sandbox. See README.rst.
 *
 * Functions that return int return 0, or -1 with errno. Any thread may call them, except
 * som_slots_free().
 */
#ifndef SOM_SLOTS_H
#define SOM_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct som_slots;

/**
 * struct som_slots_config - configuration of slots
 * @nr: number of slots.
 * @size: limit of accessible bytes of a slot; rounded up to 2 MiB.
 * @guard: bytes after @size that are never accessible; rounded up to 2 MiB.
 * @keep: bytes of each slot, rounded up to 2 MiB, that stay mapped when its sandbox has
 *	ended. Memory after them returns to the pool of the machine.
 * @batch: number of released slots to reset together; 0: reset each one separately.
 * @options: SOM_POLICY_* bits of the mappings.
 */
struct som_slots_config {
	size_t nr;
	size_t size;
	size_t guard;
	size_t keep;
	size_t batch;
	uint64_t options;
};

/**
 * som_slots_new - reserve addresses for slots
 * @config: copied.
 *
 * Takes no memory.
 *
 * Return: the slots, or NULL with errno.
 */
struct som_slots *som_slots_new(const struct som_slots_config *config);

/* Unmap all slots. No slot may be in use, and no other function running. */
void som_slots_free(struct som_slots *slots);

/**
 * som_slot_get - take a slot for a sandbox
 * @slots: from som_slots_new().
 * @len: bytes to be accessible from its start, a multiple of 4096, or 0.
 *
 * Every byte is zero. The machine's pool has reserved the memory.
 *
 * Return: its start, or NULL with errno: ENOMEM if the pool or a limit does not allow
 * it or @len is more than a slot can have, EAGAIN if all slots are in use.
 */
void *som_slot_get(struct som_slots *slots, size_t len);

/**
 * som_slot_grow - extend the accessible part of a slot
 * @slots: from som_slots_new().
 * @start: from som_slot_get().
 * @len: bytes to be accessible; a smaller number than before has no effect.
 *
 * New memory is zero. An error changes nothing.
 */
int som_slot_grow(struct som_slots *slots, void *start, size_t len);

/**
 * som_slot_put - release a slot
 * @slots: from som_slots_new().
 * @start: from som_slot_get().
 *
 * The slot is reset before it is used again, now or together with others. If the reset
 * fails, the function returns an error and the slot is never used again.
 */
int som_slot_put(struct som_slots *slots, void *start);

/* Reset all released slots now. */
int som_slots_clean(struct som_slots *slots);

#ifdef __cplusplus
}
#endif

#endif /* SOM_SLOTS_H */
