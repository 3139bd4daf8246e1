/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libsom: a thin library over /dev/som, see libsom(3).
 *
 * Functions that return int return 0, or -1 with errno, unless they say something
 * else; the errors are those of the call below them, as <linux/som.h> and som(4)
 * tell them. A function that succeeds leaves errno as it is. All may be called from
 * any thread. Nothing is kept between calls but in a struct som_scan.
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
 * @device: its name; NULL means /dev/som.
 *
 * Return: a file descriptor, to be closed with close(2), or -1 with errno.
 */
int som_open(const char *device);

/* MADV_DONTNEED of the mapping makes it read as zero. */
#define SOM_MAP_PRIVATE		(1U << 0)
/* Units are promised at the first touch, not now. */
#define SOM_MAP_NORESERVE	(1U << 1)
/* At the hint, in place of what is mapped there. */
#define SOM_MAP_FIXED		(1U << 2)
/* At the hint, or EEXIST. */
#define SOM_MAP_NOREPLACE	(1U << 3)
/* Everything is mapped at once. */
#define SOM_MAP_POPULATE	(1U << 4)

/**
 * som_map - map fresh, zeroed memory
 * @fd: an open som device.
 * @hint: where, or NULL.
 * @len: bytes.
 * @prot: as for mmap(2).
 * @flags: SOM_MAP_*.
 *
 * Return: the address, or NULL with errno: ENOMEM if the pool cannot promise it.
 */
void *som_map(int fd, void *hint, size_t len, int prot, unsigned int flags);

/* Unmaps; whole units go back to the pool. */
int som_unmap(void *start, size_t len);

/**
 * som_release - give memory back and keep the mapping
 * @start: first address, page aligned.
 * @len: bytes, rounded up to a page.
 *
 * It reads as zero from now on. Parts of units are zeroed, whole units go back to
 * the pool; what was promised stays promised.
 */
int som_release(void *start, size_t len);

/**
 * som_read_info - what the pool and the calling process hold
 * @fd: an open som device.
 * @info: where it goes.
 * @size: sizeof(*info).
 *
 * What the kernel does not know yet is zero.
 */
int som_read_info(int fd, struct som_info *info, size_t size);

/*
 * The policy of an open file, for mappings made through it from now on. A function
 * that sets one thing of it reads the others first, and leaves them as they are: two
 * threads do not set things of the same file at the same time.
 */

/* The largest page table entry: 4096, 2 MiB or 1 GiB. */
int som_get_map_size(int fd, uint64_t *map_size);
int som_set_map_size(int fd, uint64_t map_size);

/**
 * som_get_max_units - how many units a process may have
 * @fd: an open som device.
 * @max_units: where it goes; 0: no limit of the file.
 */
int som_get_max_units(int fd, uint64_t *max_units);

/**
 * som_set_max_units - lower it
 * @fd: an open som device.
 * @max_units: how many units a process may have promised or in use that has mapped
 *	through the file. More than it was is EINVAL, and so is 0 once there is a limit.
 */
int som_set_max_units(int fd, uint64_t max_units);

/**
 * som_get_options - the other things of the policy
 * @fd: an open som device.
 * @options: where they go: SOM_POLICY_REUSE (fresh memory may have old bytes of the
 *	same process), SOM_POLICY_FORK_COPY (a child has the bytes that its parent
 *	had) and SOM_POLICY_FORK_NORESERVE (and is not charged by fork).
 */
int som_get_options(int fd, uint64_t *options);

/**
 * som_set_options - set all of them
 * @fd: an open som device.
 * @options: SOM_POLICY_* bits; those that are not in it are cleared.
 */
int som_set_options(int fd, uint64_t options);

/*
 * What a scan can ask for, and says of a page.
 */

/* The page is tracked. */
#define SOM_PAGE_TRACKED	(1ULL << 0)
/* Written since it was last cleaned, or given back (zero, not present); or not tracked. */
#define SOM_PAGE_WRITTEN	(1ULL << 1)
/* Its unit has memory. */
#define SOM_PAGE_PRESENT	(1ULL << 3)
/* Its unit is mapped by one entry. */
#define SOM_PAGE_HUGE		(1ULL << 6)
/* Every byte is zero. */
#define SOM_PAGE_ZERO		SOM_PAGE_IS_ZERO

/* Pages that match are clean from then on, and tracked. */
#define SOM_SCAN_CLEAN		(1U << 0)
/* EPERM where memory is not tracked. */
#define SOM_SCAN_TRACKED	(1U << 1)

/**
 * struct som_query - what to look for
 * @flags: SOM_SCAN_*.
 * @reserved: must be zero.
 * @inverted: categories that count as their contrary in @all and @any.
 * @all: a page matches if it has all of these,
 * @any: and, unless this is 0, at least one of these.
 * @shown: what is told of pages that match.
 * @max_pages: after so many pages that match the scan ends; 0 is no limit.
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
 * struct som_region - pages in a row of which the same is told
 * @start: first address.
 * @end: address behind the last.
 * @categories: SOM_PAGE_*, those of them that were asked for.
 */
struct som_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct som_scan;

/**
 * som_scan_new - what a scan is kept in
 * @regions: how many regions one call of the kernel may tell; 0 for a usual number.
 *
 * It can be used for one scan after another, by one thread at a time.
 *
 * Return: to be given to som_scan_free(), or NULL with errno.
 */
struct som_scan *som_scan_new(size_t regions);
void som_scan_free(struct som_scan *scan);

/**
 * som_scan_start - begin to look at a range
 * @scan: from som_scan_new(); a scan that it was in the middle of is forgotten.
 * @fd: an open som device.
 * @start: first address, page aligned.
 * @len: bytes, rounded up to a page.
 * @query: what to look for; copied.
 *
 * The kernel is asked by som_scan_next(). With SOM_SCAN_CLEAN it may have cleaned
 * pages of regions that som_scan_next() has not told yet: go on to the end.
 */
int som_scan_start(struct som_scan *scan, int fd, const void *start, size_t len,
		   const struct som_query *query);

/**
 * som_scan_next - the next region
 * @scan: where som_scan_start() succeeded.
 * @region: where it goes.
 *
 * Regions come in the order of their addresses, and never touch the one before
 * with the same categories.
 *
 * Return: 1; 0 if there is no other; -1 with errno, and what was told before is right,
 * and all that was cleaned.
 */
int som_scan_next(struct som_scan *scan, struct som_region *region);

/**
 * som_scan_position - how far the scan is
 * @scan: where som_scan_next() has returned 0 or -1.
 *
 * Return: everything below this address was looked at, and told. That is the end
 * of the range, unless there was an error or a limit.
 */
uint64_t som_scan_position(const struct som_scan *scan);

/* Every page of the range is clean from now on, and tracked. */
int som_clean(int fd, const void *start, size_t len);

/**
 * struct som_reset_result - what a reset did
 * @walk_end: everything below is done; the end of the range, if it succeeded.
 * @rewritten: bytes rewritten.
 * @released: bytes given back.
 * @released_start: first address of what was given back, or the end of the range.
 */
struct som_reset_result {
	uint64_t walk_end;
	uint64_t rewritten;
	uint64_t released;
	uint64_t released_start;
};

/* No limit, as @keep. */
#define SOM_KEEP_ALL	UINT64_MAX

/**
 * som_reset - put written pages back to zero
 * @fd: an open som device.
 * @start: first address, page aligned.
 * @len: bytes, rounded up to a page.
 * @keep: about how many bytes may be rewritten; from the first unit on whose
 *	written pages do not fit, everything is released, and counts as written.
 * @result: what was done, also after an error; or NULL.
 */
int som_reset(int fd, void *start, size_t len, uint64_t keep,
	      struct som_reset_result *result);

/* The same to the bytes of memory, or of a file from @offset on. */
int som_reset_memory(int fd, void *start, size_t len, uint64_t keep,
		     const void *image, struct som_reset_result *result);
int som_reset_file(int fd, void *start, size_t len, uint64_t keep, int image,
		   off_t offset, struct som_reset_result *result);

/**
 * som_make_page_backed - make memory such that every kind of pin works
 * @fd: an open som device.
 * @start: first address, page aligned.
 * @len: bytes, rounded up to a page. Units are moved whole.
 * @walk_end: everything below is done, also after an error; or NULL.
 */
int som_make_page_backed(int fd, void *start, size_t len, uint64_t *walk_end);

/* Moves it back to the pool. */
int som_make_pool_backed(int fd, void *start, size_t len, uint64_t *walk_end);

/**
 * som_pack - make a parcel: memory leaves the process, and another one can have it
 * @fd: an open som device.
 * @start: first address, a multiple of 2 MiB.
 * @len: bytes, a multiple of 2 MiB.
 * @flags: SOM_PACK_CLOEXEC or 0.
 *
 * Nothing is copied. The range is not mapped any more if it succeeds, and nothing has
 * changed if it does not.
 *
 * Return: a file descriptor, to be sent to somebody, or closed: what nobody has claimed
 * goes back to the pool with the last one. Or -1 with errno.
 */
int som_pack(int fd, void *start, size_t len, unsigned int flags);

/**
 * som_claim - make memory of a parcel the process's own
 * @parcel: from som_pack(), in whatever process.
 * @hint: where, a multiple of 2 MiB, or NULL.
 * @offset: where in the parcel, a multiple of 2 MiB.
 * @len: bytes, a multiple of 2 MiB.
 * @prot: as for mmap(2).
 * @flags: SOM_MAP_*.
 *
 * Each part can be claimed once.
 *
 * Return: the address, or NULL with errno: ENODATA if some of it has been claimed. The
 * parcel is as it was then.
 */
void *som_claim(int parcel, void *hint, off_t offset, size_t len, int prot,
		unsigned int flags);

/**
 * som_parcel_info - what a parcel has
 * @parcel: from som_pack().
 * @info: where it goes.
 * @size: sizeof(*info).
 */
int som_parcel_info(int parcel, struct som_parcel_info *info, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* LIBSOM_H */
