/* SPDX-License-Identifier: GPL-2.0 */
/* Interface between the pool and the sources of chunks. */
#ifndef _SOM_SOURCE_H
#define _SOM_SOURCE_H

#include <linux/bits.h>
#include <linux/types.h>

struct file;
struct folio;
struct som_source;

/**
 * struct som_extent - 1 GiB of physically contiguous memory
 * @source: its source.
 * @pfn: first page frame number, a multiple of SOM_CHUNK_PAGES.
 * @nid: NUMA node.
 * @zeroed: true if the source delivered it zeroed.
 * @priv: private to the source.
 * @file: private to the source.
 * @folio: private to the source.
 * @refs: private to the source.
 * @poisoned: private to the source.
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

/** define SOM_SOURCE_PINS_LEAVE - put() accepts a pinned extent and waits for its pins */
#define SOM_SOURCE_PINS_LEAVE	BIT(0)

/**
 * struct som_source - a kind of memory
 * @name: name in messages.
 * @dir: its directory in sysfs.
 * @flags: SOM_SOURCE_*.
 * @hint_file: file that an administrator writes to for more of it, for messages.
 * @hint_boot: kernel parameters that reserve it, for messages.
 * @open: called once before the first @get. Return: 0; -ENODEV if it was not requested; or
 *	-errno after logging the reason.
 * @close: called once after the last @put.
 * @get: take one extent. Return: 0; -ENOMEM if there are no more; -errno.
 * @put: return one extent. Nothing maps it. Without SOM_SOURCE_PINS_LEAVE it was unpinned
 *	when last checked. Return: 0; or -errno, and the extent is unchanged: never with
 *	SOM_SOURCE_PINS_LEAVE.
 * @pinned: return true while the extent has references other than som's.
 * @poison: memory of the extent has failed. If the kernel keeps a reference for that,
 *	exclude it from @pinned from now on. Return: true if the kernel has marked the
 *	extent.
 * @cost: return the bytes of kernel memory that an extent costs: struct pages, and the page
 *	tables that map them.
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
