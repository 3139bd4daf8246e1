/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where chunks come from. The pool knows a source by this header alone.
 */
#ifndef _SOM_SOURCE_H
#define _SOM_SOURCE_H

#include <linux/bits.h>
#include <linux/types.h>

struct file;
struct folio;
struct som_source;

/**
 * struct som_extent - 1 GiB of physically contiguous memory
 * @source: where it is from.
 * @pfn: its first page frame, a multiple of a chunk.
 * @nid: NUMA node.
 * @zeroed: whether it was handed over zeroed.
 * @priv: the source's own.
 * @file: the source's own.
 * @folio: the source's own.
 * @refs: the source's own.
 * @poisoned: the source's own.
 */
struct som_extent {
	const struct som_source *source;
	unsigned long pfn;
	int nid;
	bool zeroed;
	void *priv;
	struct file *file;
	struct folio *folio;
	int refs;
	int poisoned;
};

/**
 * define SOM_SOURCE_PINS_LEAVE - a chunk may be given back while it is pinned
 *
 * The source waits for the pins by itself.
 */
#define SOM_SOURCE_PINS_LEAVE	BIT(0)

/**
 * struct som_source - a kind of memory
 * @name: for messages.
 * @dir: its directory in sysfs.
 * @flags: SOM_SOURCE_*.
 * @hint_file: what an administrator writes to for more of it, for messages.
 * @hint_boot: kernel parameters that reserve it, for messages.
 * @open: called once before the first @get. Return: 0; -ENODEV if nobody has asked for
 *	it; or -errno, and it has told why.
 * @close: called once after the last @put.
 * @get: take one extent. Return: 0, -ENOMEM if there are no more, -errno.
 * @put: give one extent back. Nothing maps it, and without SOM_SOURCE_PINS_LEAVE
 *	nothing has pinned it when that was looked at. Return: 0; or -errno: it stays
 *	as it was. With SOM_SOURCE_PINS_LEAVE it does not fail.
 * @pinned: true while somebody other than som holds a reference to the extent.
 * @poison: memory of the extent has failed, and the kernel knows: from now on @pinned
 *	is to disregard the reference that the kernel keeps for that. Return: false if the
 *	kernel does not know.
 * @cost: bytes of kernel memory that an extent costs: struct pages, and the page tables
 *	that map them.
 *
 * All but @pinned, @poison and @cost may sleep and are called under the pool's mutex.
 */
struct som_source {
	const char *name;
	const char *dir;
	unsigned int flags;
	const char *hint_file;
	const char *hint_boot;
	int (*open)(void);
	void (*close)(void);
	int (*get)(struct som_extent *ext);
	int (*put)(struct som_extent *ext);
	bool (*pinned)(const struct som_extent *ext);
	bool (*poison)(struct som_extent *ext);
	unsigned long (*cost)(const struct som_extent *ext);
};

extern const struct som_source som_source_hugetlb;
extern const struct som_source som_source_range;

#endif /* _SOM_SOURCE_H */
