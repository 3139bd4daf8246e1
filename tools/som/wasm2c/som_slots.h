/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Slots: som memory for sandboxes that come and go.
 *
 * A slot is a range of addresses that begins with memory a sandbox may access and ends
 * with a guard region that nobody may. When its sandbox has ended, its memory stays
 * where it is: SOM_IOC_RESET makes the pages zero that were written, and the next
 * sandbox finds them mapped. See README.rst.
 *
 * Functions that return int return 0, or -1 with errno. All but som_slots_free() may be
 * called by any thread.
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
 * struct som_slots_config - what slots are like
 * @nr: number of slots.
 * @size: most bytes that a slot can have accessible; rounded up to 2 MiB.
 * @guard: bytes behind @size that can never be accessed; rounded up to 2 MiB.
 * @keep: bytes of each slot, rounded up to 2 MiB, that stay with it when its sandbox
 *	has ended. What lies behind goes back to the pool of the machine.
 * @batch: how many slots that are given back are reset together; 0: each by itself.
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

/* Unmaps all of them. Nobody uses one any more, nor calls another function. */
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
 * som_slot_grow - make more of a slot accessible
 * @slots: from som_slots_new().
 * @start: from som_slot_get().
 * @len: bytes to be accessible; less than there are changes nothing.
 *
 * What is new is zero. An error changes nothing.
 */
int som_slot_grow(struct som_slots *slots, void *start, size_t len);

/**
 * som_slot_put - give a slot back
 * @slots: from som_slots_new().
 * @start: from som_slot_get().
 *
 * It is reset before anybody gets it, now or with others. An error means that it could
 * not be, and that nobody will get it.
 */
int som_slot_put(struct som_slots *slots, void *start);

/* Reset what is yet to be reset now. */
int som_slots_clean(struct som_slots *slots);

#ifdef __cplusplus
}
#endif

#endif /* SOM_SLOTS_H */
