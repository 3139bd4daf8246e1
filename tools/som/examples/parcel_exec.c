// SPDX-License-Identifier: GPL-2.0
/*
 * A server that replaces its own binary and keeps its heap. It packs the heap and executes
 * the new version, which claims the heap at the same address, so that every pointer in it
 * stays valid. No byte is copied, for any size of the heap.
 *
 * Build with make, and run "parcel_exec [VERSIONS]" on a machine with /dev/som. Each
 * version adds an entry to a list in the heap, and then executes the next one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"

#define HEAP_SIZE	(64 * 1024 * 1024UL)

struct entry {
	struct entry *next;
	unsigned int version;
	char text[32];
};

static int add_entry(struct heap *heap, unsigned int version)
{
	struct entry *entry = heap_alloc(heap, sizeof(*entry));

	if (!entry)
		return -1;
	entry->next = heap->root;
	entry->version = version;
	snprintf(entry->text, sizeof(entry->text), "by version %u", version);
	heap->root = entry;
	return 0;
}

/* The entries of earlier versions, the last one first. */
static int check_entries(const struct heap *heap, unsigned int version)
{
	const struct entry *entry;
	char text[32];

	for (entry = heap->root; entry; entry = entry->next) {
		snprintf(text, sizeof(text), "by version %u", version);
		if (entry->version != version || strcmp(entry->text, text))
			return -1;
		version--;
	}
	return version ? -1 : 0;
}

/* Execute the next version. The parcel survives exec(): it is not CLOEXEC. */
static int execute_next(char *name, int som, struct heap *heap,
			unsigned int version, char *versions)
{
	char fd[16], next[16];
	char *argv[6] = { name, "--heap", fd, next, versions };
	int parcel = heap_pack(som, heap, 0);

	if (parcel < 0)
		return -1;
	snprintf(fd, sizeof(fd), "%d", parcel);
	snprintf(next, sizeof(next), "%u", version + 1);
	execv("/proc/self/exe", argv);
	/* exec() has failed: continue with the old version. */
	heap = heap_take(parcel);
	close(parcel);
	return heap ? 0 : -1;
}

int main(int argc, char **argv)
{
	unsigned int version = 1;
	char *versions = "3";
	struct heap *heap;
	int som, parcel;

	som = open("/dev/som", O_RDWR | O_CLOEXEC);
	if (argc == 5 && !strcmp(argv[1], "--heap")) {
		parcel = atoi(argv[2]);
		version = atoi(argv[3]);
		versions = argv[4];
		heap = heap_take(parcel);
		close(parcel);
	} else {
		versions = argc > 1 ? argv[1] : versions;
		heap = heap_new(som, HEAP_SIZE);
	}
	if (som < 0 || !heap || check_entries(heap, version - 1) ||
	    add_entry(heap, version)) {
		perror("parcel_exec");
		return 1;
	}
	printf("version %u, process %d: %u entries at %p\n", version, getpid(),
	       version, (void *)heap);
	fflush(stdout);
	if (version < (unsigned int)atoi(versions)) {
		execute_next(argv[0], som, heap, version, versions);
		perror("parcel_exec");
		return 1;
	}
	return 0;
}
