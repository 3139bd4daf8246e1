/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where chunks come from. The pool knows a source by this header alone.
 */
#ifndef _SOM_SOURCE_H
#define _SOM_SOURCE_H

#include <linux/types.h>

struct file;
struct folio;

/**
 * struct som_extent - 1 GiB of physically contiguous memory
 * @pfn: its first page frame, a multiple of a chunk.
 * @nid: NUMA node.
 * @zeroed: whether it was handed over zeroed.
 * @file: the source's own.
 * @folio: the source's own.
 * @refs: the source's own.
 * @poisoned: the source's own.
 */
struct som_extent {
	unsigned long pfn;
	int nid;
	bool zeroed;
	struct file *file;
	struct folio *folio;
	int refs;
	int poisoned;
};

/**
 * struct som_source - a kind of memory
 * @name: for messages.
 * @hint_file: what an administrator writes to for more of it, for messages.
 * @hint_boot: kernel parameters that reserve it, for messages.
 * @open: called once before the first @get. Return: 0 or -errno.
 * @close: called once after the last @put.
 * @get: take one extent. Return: 0, -ENOMEM if there are no more, -errno.
 * @put: give one extent back. Nothing maps or pins it.
 * @pinned: true while somebody other than som holds a reference to the extent.
 * @poison: memory of the extent has failed, and the kernel knows: from now on @pinned
 *	is to disregard the reference that the kernel keeps for that. Return: false if the
 *	kernel does not know.
 *
 * All but @pinned and @poison may sleep and are called under the pool's mutex.
 */
struct som_source {
	const char *name;
	const char *hint_file;
	const char *hint_boot;
	int (*open)(void);
	void (*close)(void);
	int (*get)(struct som_extent *ext);
	void (*put)(struct som_extent *ext);
	bool (*pinned)(const struct som_extent *ext);
	bool (*poison)(struct som_extent *ext);
};

extern const struct som_source som_source_hugetlb;

#endif /* _SOM_SOURCE_H */
