/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libsom: a thin library over /dev/som, see libsom(3).
 *
 * Unless stated otherwise, functions that return int return 0, or -1 with errno. Their
 * errors are those of the underlying calls, see <linux/som.h> and som(4). A function
 * that succeeds does not change errno. Any thread may call them. Only a struct som_scan
 * keeps state between calls.
 */
#ifndef LIBSOM_H
#define LIBSOM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/som.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * som_open - open the device
 * @device: its path; NULL means /dev/som.
 *
 * Return: a file descriptor, to be closed by close(2), or -1 with errno.
 */
int som_open(const char *device);

/* MADV_DONTNEED makes the memory read as zero. */
#define SOM_MAP_PRIVATE		(1U << 0)
/* Reserve units at the first touch, not now. */
#define SOM_MAP_NORESERVE	(1U << 1)
/* Map at the hint, and replace existing mappings. */
#define SOM_MAP_FIXED		(1U << 2)
/* Map at the hint, or fail with EEXIST. */
#define SOM_MAP_NOREPLACE	(1U << 3)
/* Touch all of the memory now. */
#define SOM_MAP_POPULATE	(1U << 4)

/**
 * som_map - map fresh, zeroed memory
 * @fd: an open som device.
 * @hint: address, or NULL.
 * @len: bytes.
 * @prot: as for mmap(2).
 * @flags: SOM_MAP_*.
 *
 * Return: the address, or NULL with errno: ENOMEM if the pool cannot reserve it.
 */
void *som_map(int fd, void *hint, size_t len, int prot, unsigned int flags);

/* Unmap a range; whole units return to the pool. */
int som_unmap(void *start, size_t len);

/**
 * som_release - release memory and keep the mapping
 * @start: first address, page aligned.
 * @len: bytes, rounded up to a page.
 *
 * The range reads as zero afterwards. Whole units return to the pool, and parts of units
 * are zeroed. Reservations stay.
 */
int som_release(void *start, size_t len);

/**
 * som_read_info - read the state of the pool and of the calling process
 * @fd: an open som device.
 * @info: result.
 * @size: sizeof(*info).
 *
 * Fields that the kernel does not know are zero.
 */
int som_read_info(int fd, struct som_info *info, size_t size);

/*
 * The policy of an open file, for mappings made through it from now on. A function that
 * sets one value keeps the others. It reads them first, so two threads must not set
 * values of the same file at the same time.
 */

/* The largest page table entry: 4096, 2 MiB or 1 GiB. */
int som_get_map_size(int fd, uint64_t *map_size);
int som_set_map_size(int fd, uint64_t map_size);

/**
 * som_get_max_units - read the limit of units of a process
 * @fd: an open som device.
 * @max_units: result; 0: the file has no limit.
 */
int som_get_max_units(int fd, uint64_t *max_units);

/**
 * som_set_max_units - lower the limit of units of a process
 * @fd: an open som device.
 * @max_units: limit of the units that a process may have reserved or in use once it has
 *	mapped through the file. Raising or removing a limit fails with EINVAL.
 */
int som_set_max_units(int fd, uint64_t max_units);

/**
 * som_get_options - read the options of the policy
 * @fd: an open som device.
 * @options: result: SOM_POLICY_REUSE (fresh memory may contain old bytes of the same
 *	process), SOM_POLICY_FORK_COPY (fork gives the child a copy),
 *	SOM_POLICY_FORK_NORESERVE (fork does not charge the child) and
 *	SOM_POLICY_PAGE_BACKED (use ordinary pages where 4 KiB entries are needed).
 */
int som_get_options(int fd, uint64_t *options);

/**
 * som_set_options - set all options of the policy
 * @fd: an open som device.
 * @options: SOM_POLICY_* bits; all others are cleared.
 */
int som_set_options(int fd, uint64_t options);

/*
 * Categories of pages, to query and to return.
 */

/* Writes to the page are tracked. */
#define SOM_PAGE_TRACKED	(1ULL << 0)
/* Written since it was last cleaned, or released (zero, not present); or not tracked. */
#define SOM_PAGE_WRITTEN	(1ULL << 1)
/* The page's unit has memory. */
#define SOM_PAGE_PRESENT	(1ULL << 3)
/* The page's unit is mapped by one entry. */
#define SOM_PAGE_HUGE		(1ULL << 6)
/* Every byte is zero. */
#define SOM_PAGE_ZERO		SOM_PAGE_IS_ZERO

/* Clean and track the pages that match. */
#define SOM_SCAN_CLEAN		(1U << 0)
/* Fail with EPERM where memory is not tracked. */
#define SOM_SCAN_TRACKED	(1U << 1)

/**
 * struct som_query - query of a scan
 * @flags: SOM_SCAN_*.
 * @reserved: must be zero.
 * @inverted: categories that are inverted first, for @all and @any.
 * @all: a page matches if it has all of these categories
 * @any: and, unless this is 0, at least one of these.
 * @shown: categories to return for matching pages.
 * @max_pages: number of matching pages after which the scan ends; 0 means no limit.
 */
struct som_query {
	uint32_t flags;
	uint32_t reserved;
	uint64_t inverted;
	uint64_t all;
	uint64_t any;
	uint64_t shown;
	uint64_t max_pages;
};

/**
 * struct som_region - consecutive pages with the same categories
 * @start: first address.
 * @end: end of the pages (exclusive).
 * @categories: SOM_PAGE_* bits that the query has requested.
 */
struct som_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct som_scan;

/**
 * som_scan_new - allocate the state of a scan
 * @regions: regions that one call of the kernel returns at most; 0: a usual number.
 *
 * The state can be used for one scan after another, by one thread at a time.
 *
 * Return: the state, to be freed by som_scan_free(), or NULL with errno.
 */
struct som_scan *som_scan_new(size_t regions);
void som_scan_free(struct som_scan *scan);

/**
 * som_scan_start - begin a scan of a range
 * @scan: from som_scan_new(); an unfinished scan is dropped.
 * @fd: an open som device.
 * @start: first address, page aligned.
 * @len: bytes, rounded up to a page.
 * @query: the query; copied.
 *
 * som_scan_next() makes the calls. With SOM_SCAN_CLEAN, pages may already be clean before
 * som_scan_next() returns them: iterate to the end.
 */
int som_scan_start(struct som_scan *scan, int fd, const void *start, size_t len,
		   const struct som_query *query);

/**
 * som_scan_next - return the next region
 * @scan: a scan that som_scan_start() has started.
 * @region: result.
 *
 * Regions are returned in ascending order of addresses. Adjacent regions differ in their
 * categories.
 *
 * Return: 1 and a region; 0 after the last one; -1 with errno. On an error, the regions
 * returned before are valid and include all pages that were cleaned.
 */
int som_scan_next(struct som_scan *scan, struct som_region *region);

/**
 * som_scan_position - return the position of a scan
 * @scan: a scan for which som_scan_next() has returned 0 or -1.
 *
 * Return: the address up to which the range was scanned and returned. It is the end of
 * the range, unless an error or a limit stopped the scan.
 */
uint64_t som_scan_position(const struct som_scan *scan);

/* Clean and track every page of a range. */
int som_clean(int fd, const void *start, size_t len);

/**
 * struct som_reset_result - result of a reset
 * @walk_end: the range below this address was reset; the end of the range on success.
 * @rewritten: bytes rewritten.
 * @released: bytes released.
 * @released_start: first released address, or the end of the range.
 */
struct som_reset_result {
	uint64_t walk_end;
	uint64_t rewritten;
	uint64_t released;
	uint64_t released_start;
};

/* Value of @keep: no limit. */
#define SOM_KEEP_ALL	UINT64_MAX

/**
 * som_reset - reset written pages to zero
 * @fd: an open som device.
 * @start: first address, page aligned.
 * @len: bytes, rounded up to a page.
 * @keep: limit of bytes to rewrite; the range is released from the first unit whose
 *	written pages exceed it. Released memory counts as written.
 * @result: result, also after an error; or NULL.
 */
int som_reset(int fd, void *start, size_t len, uint64_t keep,
	      struct som_reset_result *result);

/* Reset to the bytes of memory, or of a file from @offset on. */
int som_reset_memory(int fd, void *start, size_t len, uint64_t keep,
		     const void *image, struct som_reset_result *result);
int som_reset_file(int fd, void *start, size_t len, uint64_t keep, int image,
		   off_t offset, struct som_reset_result *result);

/**
 * som_make_page_backed - move memory to ordinary pages, which can be pinned
 * @fd: an open som device.
 * @start: first address, page aligned.
 * @len: bytes, rounded up to a page. Whole units are moved.
 * @walk_end: result: the range below is done, also after an error; or NULL.
 */
int som_make_page_backed(int fd, void *start, size_t len, uint64_t *walk_end);

/* Move memory back to the pool. */
int som_make_pool_backed(int fd, void *start, size_t len, uint64_t *walk_end);

/**
 * som_pack - move memory into a parcel, for another process to claim
 * @fd: an open som device.
 * @start: first address, a multiple of 2 MiB.
 * @len: bytes, a multiple of 2 MiB.
 * @flags: SOM_PACK_CLOEXEC or 0.
 *
 * Nothing is copied. On success the range is not mapped any more; on an error nothing is
 * changed.
 *
 * Return: a file descriptor, to be passed to another process, or -1 with errno. The last
 * close frees unclaimed memory.
 */
int som_pack(int fd, void *start, size_t len, unsigned int flags);

/**
 * som_claim - claim memory of a parcel for the calling process
 * @parcel: from som_pack(), in any process.
 * @hint: address, a multiple of 2 MiB, or NULL.
 * @offset: offset in the parcel, a multiple of 2 MiB.
 * @len: bytes, a multiple of 2 MiB.
 * @prot: as for mmap(2).
 * @flags: SOM_MAP_*.
 *
 * Each part can be claimed once.
 *
 * Return: the address, or NULL with errno: ENODATA if some of it was claimed before. On an
 * error, the parcel is not changed.
 */
void *som_claim(int parcel, void *hint, off_t offset, size_t len, int prot,
		unsigned int flags);

/**
 * som_parcel_info - read the state of a parcel
 * @parcel: from som_pack().
 * @info: result.
 * @size: sizeof(*info).
 */
int som_parcel_info(int parcel, struct som_parcel_info *info, size_t size);

/**
 * som_view - open a view of another process's som memory
 * @fd: an open som device.
 * @pidfd: the process, as from pidfd_open(2). The caller must have the right to ptrace it.
 * @flags: SOM_VIEW_CLOEXEC, SOM_VIEW_TRACK.
 *
 * The view can be read with pread(2) at an address, searched with lseek(2), and given to
 * som_scan_start() and, with SOM_VIEW_TRACK, som_clean(), in place of a device.
 *
 * Return: a file descriptor, to be closed with close(2), or -1 with errno.
 */
int som_view(int fd, int pidfd, unsigned int flags);

/**
 * som_view_maps - list the som mappings of the process of a view
 * @view: from som_view().
 * @start: first address; set to the address to continue at, or to the end of all addresses.
 * @maps: where they go.
 * @nr: how many have room there.
 *
 * Return: how many there are; 0 at the end; or -1 with errno.
 */
int som_view_maps(int view, uint64_t *start, struct som_view_map *maps,
		  unsigned int nr);

#ifdef __cplusplus
}
#endif

#endif /* LIBSOM_H */
