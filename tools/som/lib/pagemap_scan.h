/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The binary interface of PAGEMAP_SCAN, which Linux headers have since 6.7. libsom also
 * builds with older headers.
 */
#ifndef LIBSOM_PAGEMAP_SCAN_H
#define LIBSOM_PAGEMAP_SCAN_H

#include <stdint.h>
#include <sys/ioctl.h>

/**
 * struct pagemap_scan - argument of the call
 * @size: of this structure.
 * @flags: PAGEMAP_SCAN_CLEAN, PAGEMAP_SCAN_CHECK.
 * @start: first address.
 * @end: end of the range (exclusive).
 * @walk_end: out: the address at which the call stopped.
 * @vec: address of a vector of regions.
 * @vec_len: number of regions in the vector; 0: return none.
 * @max_pages: limit of matching pages; 0: no limit.
 * @category_inverted: categories that are inverted first.
 * @category_mask: a page must have all of these categories
 * @category_anyof_mask: and one of these, unless this is 0.
 * @return_mask: categories to return.
 */
struct pagemap_scan {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define PAGEMAP_SCAN_CALL	_IOWR('f', 16, struct pagemap_scan)
#define PAGEMAP_SCAN_CLEAN	(1U << 0)
#define PAGEMAP_SCAN_CHECK	(1U << 1)
#define PAGEMAP_SCAN_PAGE	4096

#endif /* LIBSOM_PAGEMAP_SCAN_H */
