// SPDX-License-Identifier: GPL-2.0
/*
 * libsom: PAGEMAP_SCAN as an iterator.
 *
 * Each call of the kernel fills a vector of regions. Two calls may split a region, so a
 * region is returned only when the following one is known.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "libsom.h"
#include "pagemap_scan.h"

#define DEFAULT_REGIONS	256UL
#define MAX_REGIONS	(1UL << 20)

/**
 * struct som_scan - state of a scan
 * @fd: descriptor of the device.
 * @limited: the query has a limit of pages.
 * @error: errno of the last call of the kernel.
 * @args: arguments of the next call, see &struct pagemap_scan.
 * @max: number of regions in @regions.
 * @nr: regions that the last call returned.
 * @at: regions of those that were returned to the caller.
 * @used: regions that are not zero, because earlier calls have set them.
 * @regions: the vector.
 */
struct som_scan {
	int fd;
	bool limited;
	int error;
	struct pagemap_scan args;
	size_t max;
	size_t nr;
	size_t at;
	size_t used;
	struct som_region regions[];
};

struct som_scan *som_scan_new(size_t regions)
{
	struct som_scan *scan;
	int saved = errno;

	if (!regions)
		regions = DEFAULT_REGIONS;
	if (regions > MAX_REGIONS) {
		errno = EINVAL;
		return NULL;
	}
	scan = calloc(1, sizeof(*scan) + regions * sizeof(*scan->regions));
	if (!scan) {
		errno = ENOMEM;
		return NULL;
	}
	/* An allocator may change errno and succeed. */
	errno = saved;
	scan->max = regions;
	return scan;
}

void som_scan_free(struct som_scan *scan)
{
	int saved = errno;

	free(scan);
	errno = saved;
}

static int prepare(struct pagemap_scan *args, const void *start, size_t len,
		   const struct som_query *query)
{
	*args = (struct pagemap_scan) {
		.size = sizeof(*args),
		.start = (uintptr_t)start,
		.walk_end = (uintptr_t)start,
		.max_pages = query->max_pages,
		.category_inverted = query->inverted,
		.category_mask = query->all,
		.category_anyof_mask = query->any,
		.return_mask = query->shown,
	};
	if (query->flags & SOM_SCAN_CLEAN)
		args->flags |= PAGEMAP_SCAN_CLEAN;
	if (query->flags & SOM_SCAN_TRACKED)
		args->flags |= PAGEMAP_SCAN_CHECK;
	if (query->reserved ||
	    query->flags & ~(SOM_SCAN_CLEAN | SOM_SCAN_TRACKED) ||
	    __builtin_add_overflow((uintptr_t)start, len, &args->end)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

int som_scan_start(struct som_scan *scan, int fd, const void *start, size_t len,
		   const struct som_query *query)
{
	scan->fd = fd;
	scan->error = 0;
	scan->nr = 0;
	scan->at = 0;
	scan->limited = query->max_pages;
	if (prepare(&scan->args, start, len, query)) {
		scan->args.end = scan->args.start;
		return -1;
	}
	scan->args.vec = (uintptr_t)scan->regions;
	scan->args.vec_len = scan->max;
	return 0;
}

/*
 * recover - find the regions of a call that has failed
 *
 * The kernel returns no number of regions, but it has stored those that it cleaned.
 */
static void recover(struct som_scan *scan)
{
	struct pagemap_scan *args = &scan->args;

	while (scan->nr < scan->max && scan->regions[scan->nr].end)
		args->start = scan->regions[scan->nr++].end;
	args->walk_end = args->start;
	scan->used = scan->max;
}

/*
 * fill - get more regions from the kernel
 *
 * Store an error in the scan and not in errno: known regions are returned first.
 *
 * Return: whether there is a region.
 */
static bool fill(struct som_scan *scan)
{
	struct pagemap_scan *args = &scan->args;
	uint64_t pages = 0;
	int saved = errno;
	size_t i;
	int n;

	while (scan->at == scan->nr && !scan->error && args->start < args->end) {
		scan->at = 0;
		scan->nr = 0;
		memset(scan->regions, 0, scan->used * sizeof(*scan->regions));
		n = ioctl(scan->fd, PAGEMAP_SCAN_CALL, args);
		if (n < 0) {
			scan->error = errno;
			errno = saved;
			recover(scan);
			break;
		}
		scan->nr = n;
		scan->used = n;
		for (i = 0; i < scan->nr; i++)
			pages += scan->regions[i].end - scan->regions[i].start;
		pages /= PAGEMAP_SCAN_PAGE;
		args->start = args->walk_end;
		if (!scan->limited)
			continue;
		/* The limit is reached; a limit of 0 would mean no limit. */
		args->max_pages -= pages < args->max_pages ? pages :
							     args->max_pages;
		if (!args->max_pages)
			args->end = args->start;
	}
	return scan->at < scan->nr;
}

int som_scan_next(struct som_scan *scan, struct som_region *region)
{
	const struct som_region *next;

	if (!fill(scan)) {
		if (!scan->error)
			return 0;
		errno = scan->error;
		return -1;
	}
	*region = scan->regions[scan->at++];
	while (fill(scan)) {
		next = &scan->regions[scan->at];
		if (next->start != region->end ||
		    next->categories != region->categories)
			break;
		region->end = next->end;
		scan->at++;
	}
	return 1;
}

uint64_t som_scan_position(const struct som_scan *scan)
{
	return scan->args.walk_end;
}

int som_clean(int fd, const void *start, size_t len)
{
	const struct som_query query = {
		.flags = SOM_SCAN_CLEAN,
		.all = SOM_PAGE_WRITTEN,
	};
	struct pagemap_scan args;

	if (prepare(&args, start, len, &query))
		return -1;
	return ioctl(fd, PAGEMAP_SCAN_CALL, &args) < 0 ? -1 : 0;
}
