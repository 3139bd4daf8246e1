/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A heap in som memory that outlives the program. It is always at the same address, so
 * absolute pointers in it stay valid. A parcel passes it from one program to the next. Its
 * first bytes contain its address, and can be read before it is claimed.
 */
#ifndef HEAP_H
#define HEAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/som.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

/* An address without programs, libraries and stacks. */
#define HEAP_ADDRESS	((void *)0x200000000000UL)
#define HEAP_MAGIC	0x70616548UL

struct heap {
	uint64_t magic;
	struct heap *self;	/* its address */
	size_t size;
	size_t used;
	void *root;		/* the program's first object */
};

/* Create a heap; @size is a multiple of 2 MiB. Return: the heap, or NULL. */
static inline struct heap *heap_new(int som, size_t size)
{
	struct heap *heap = mmap(HEAP_ADDRESS, size, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED_NOREPLACE, som, 0);

	if (heap == MAP_FAILED)
		return NULL;
	heap->magic = HEAP_MAGIC;
	heap->self = heap;
	heap->size = size;
	heap->used = sizeof(*heap);
	return heap;
}

static inline void *heap_alloc(struct heap *heap, size_t size)
{
	void *p = (char *)heap + heap->used;

	size = (size + 15) & ~15UL;
	if (size > heap->size - heap->used)
		return NULL;
	heap->used += size;
	return p;
}

/* Pack the heap; on success it is unmapped. Return: a parcel, or -1. */
static inline int heap_pack(int som, struct heap *heap, unsigned int flags)
{
	struct som_pack pack = {
		.size = sizeof(pack),
		.flags = flags,
		.start = (uintptr_t)heap,
		.end = (uintptr_t)heap + heap->size,
	};

	return ioctl(som, SOM_IOC_PACK, &pack);
}

/* Claim the heap at its address. Return: the heap, or NULL; the parcel stays then. */
static inline struct heap *heap_take(int parcel)
{
	struct heap head, *heap;

	if (pread(parcel, &head, sizeof(head), 0) != sizeof(head) ||
	    head.magic != HEAP_MAGIC)
		return NULL;
	heap = mmap(head.self, head.size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED_NOREPLACE, parcel, 0);
	return heap == MAP_FAILED ? NULL : heap;
}

#endif /* HEAP_H */
