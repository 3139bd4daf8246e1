// SPDX-License-Identifier: GPL-2.0
/*
 * Where in an address space a mapping goes: at an address at which huge
 * entries fit.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include "area.h"
#include "range.h"

/**
 * som_get_unmapped_area - find room, aligned to 2 MiB or 1 GiB
 * @file: /dev/som, or the pseudo file of an owner (mremap)
 * @addr: hint, or the address with MAP_FIXED
 * @len: length in bytes
 * @pgoff: page offset: 0 for a new mapping, what is there for a moved one
 * @flags: MAP_ flags
 *
 * A hint is followed as it is, aligned or not.
 *
 * Context: Process context; the caller has mmap_lock for write.
 * Return: address or -errno.
 */
unsigned long som_get_unmapped_area(struct file *file, unsigned long addr,
				    unsigned long len, unsigned long pgoff,
				    unsigned long flags)
{
	unsigned long align = som_map_align(len);
	unsigned long padded, area;

	if (flags & MAP_FIXED || addr) {
		area = mm_get_unmapped_area(current->mm, file, addr, len, pgoff,
					    flags);
		if (flags & MAP_FIXED || area == addr)
			return area;
	}
	if (check_add_overflow(len, align - PAGE_SIZE, &padded))
		return -ENOMEM;
	area = mm_get_unmapped_area(current->mm, file, 0, padded, 0, flags);
	if (!IS_ERR_VALUE(area))
		return som_align_addr(area, pgoff, align);
	if (align == SOM_UNIT_SIZE)
		return area;
	/* No room for the large alignment: the small one will do. */
	padded = len + SOM_UNIT_SIZE - PAGE_SIZE;
	area = mm_get_unmapped_area(current->mm, file, 0, padded, 0, flags);
	if (IS_ERR_VALUE(area))
		return area;
	return som_align_addr(area, pgoff, SOM_UNIT_SIZE);
}
