/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Address arithmetic: page offsets, unit indexes, and the place of a new mapping in its
 * owner's offset space. Pure.
 *
 * An owner's offset space is counted in 4 KiB pages. Each mmap gets an allotment of it that
 * no other mapping uses: the mapping itself, congruent to its address so that huge entries
 * are aligned, and room for mremap to grow it.
 */
#ifndef _SOM_RANGE_H
#define _SOM_RANGE_H

#include <linux/align.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/pgtable.h>
#include <linux/sizes.h>
#include <linux/types.h>
#include <linux/som.h>

/** define SOM_UNIT_PAGE_SHIFT - log2 of the 4 KiB pages in a unit. */
#define SOM_UNIT_PAGE_SHIFT	(SOM_UNIT_SHIFT - PAGE_SHIFT)
/** define SOM_UNIT_PAGES - number of 4 KiB pages in a unit. */
#define SOM_UNIT_PAGES		(SOM_UNIT_SIZE >> PAGE_SHIFT)
/** define SOM_GROUP_PAGES - pages in a group: one word of a bitmap. */
#define SOM_GROUP_PAGES		64U
/** define SOM_UNIT_GROUPS - number of groups in a unit. */
#define SOM_UNIT_GROUPS		((unsigned int)(SOM_UNIT_PAGES / SOM_GROUP_PAGES))
/** define SOM_ALL_GROUPS - bitmap of all groups of a unit. */
#define SOM_ALL_GROUPS		((1UL << SOM_UNIT_GROUPS) - 1)
/** define SOM_CHUNK_SHIFT - log2 of the size of a chunk in bytes. */
#define SOM_CHUNK_SHIFT		30
/** define SOM_CHUNK_SIZE - size of a chunk in bytes (1 GiB). */
#define SOM_CHUNK_SIZE		((unsigned long)SZ_1G)
/** define SOM_CHUNK_PAGES - number of 4 KiB pages in a chunk. */
#define SOM_CHUNK_PAGES		(1UL << (SOM_CHUNK_SHIFT - PAGE_SHIFT))
/** define SOM_CHUNK_UNITS - number of units in a chunk. */
#define SOM_CHUNK_UNITS		(1U << (SOM_CHUNK_SHIFT - SOM_UNIT_SHIFT))

/** define SOM_OFFSET_PAGES - pages in an offset space; byte offsets fit loff_t. */
#define SOM_OFFSET_PAGES	(1UL << (63 - PAGE_SHIFT))

/** define SOM_GROW_FACTOR - an allotment is this many times as long as its mapping... */
#define SOM_GROW_FACTOR		8UL
/** define SOM_GROW_MAX_PAGES - ...but at most this much longer (1 TiB). */
#define SOM_GROW_MAX_PAGES	(1UL << (40 - PAGE_SHIFT))

/**
 * struct som_allotment - part of an owner's offset space
 * @start: first page offset of the mapping.
 * @limit: end of the allotment, exclusive.
 */
struct som_allotment {
	unsigned long start;
	unsigned long limit;
};

/**
 * typedef som_unit_t - the number of a unit of memory: its page frame number / SOM_UNIT_PAGES
 *
 * A function that returns a unit may return a negative errno instead: see som_unit_error().
 * The type differs from that of a unit index, so sparse reports one used as the other.
 */
typedef long __bitwise som_unit_t;

/**
 * som_unit - Convert a number to a unit
 * @nr: page frame number / SOM_UNIT_PAGES
 * Return: unit.
 */
static inline som_unit_t som_unit(unsigned long nr)
{
	return (__force som_unit_t)nr;
}

/**
 * som_unit_nr - Return the number of a unit
 * @unit: unit
 * Return: page frame number / SOM_UNIT_PAGES.
 */
static inline unsigned long som_unit_nr(som_unit_t unit)
{
	return (__force unsigned long)unit;
}

/**
 * som_unit_pfn - Return the first page frame number of a unit
 * @unit: unit
 * Return: page frame number.
 */
static inline unsigned long som_unit_pfn(som_unit_t unit)
{
	return som_unit_nr(unit) << SOM_UNIT_PAGE_SHIFT;
}

/**
 * som_pfn_unit - Return the unit that has a page frame
 * @pfn: page frame number
 * Return: unit.
 */
static inline som_unit_t som_pfn_unit(unsigned long pfn)
{
	return som_unit(pfn >> SOM_UNIT_PAGE_SHIFT);
}

/**
 * som_unit_add - Return a unit that follows another in memory
 * @unit: unit
 * @nr: distance in units
 * Return: unit.
 */
static inline som_unit_t som_unit_add(som_unit_t unit, unsigned long nr)
{
	return som_unit(som_unit_nr(unit) + nr);
}

/**
 * som_chunk_unit - Return a unit of a chunk
 * @chunk: chunk number
 * @i: place in the chunk, below SOM_CHUNK_UNITS
 * Return: unit.
 */
static inline som_unit_t som_chunk_unit(unsigned long chunk, unsigned int i)
{
	return som_unit(chunk * SOM_CHUNK_UNITS + i);
}

/**
 * som_unit_chunk - Return the number of a unit's chunk
 * @unit: unit
 * Return: chunk number.
 */
static inline unsigned long som_unit_chunk(som_unit_t unit)
{
	return som_unit_nr(unit) / SOM_CHUNK_UNITS;
}

/**
 * som_unit_place - Return a unit's place in its chunk
 * @unit: unit
 * Return: place, below SOM_CHUNK_UNITS.
 */
static inline unsigned int som_unit_place(som_unit_t unit)
{
	return som_unit_nr(unit) % SOM_CHUNK_UNITS;
}

/**
 * som_unit_error - Put an error in the place of a unit
 * @error: negative errno
 * Return: not a unit; see som_unit_failed() and som_unit_errno().
 */
static inline som_unit_t som_unit_error(int error)
{
	return (__force som_unit_t)error;
}

/**
 * som_unit_failed - Test whether there is an error in the place of a unit
 * @unit: unit or error
 * Return: true if it is an error.
 */
static inline bool som_unit_failed(som_unit_t unit)
{
	return (__force long)unit < 0;
}

/**
 * som_unit_errno - Return the error in the place of a unit
 * @unit: unit or error; som_unit_failed() is true
 * Return: negative errno.
 */
static inline int som_unit_errno(som_unit_t unit)
{
	return (__force int)unit;
}

/**
 * som_pgoff_index - Return the unit index of a page offset
 * @pgoff: page offset in an owner's offset space
 * Return: unit index.
 */
static inline unsigned long som_pgoff_index(unsigned long pgoff)
{
	return pgoff >> SOM_UNIT_PAGE_SHIFT;
}

/**
 * som_index_pgoff - Return the first page offset of a unit index
 * @idx: unit index in an owner's offset space
 * Return: page offset.
 */
static inline unsigned long som_index_pgoff(unsigned long idx)
{
	return idx << SOM_UNIT_PAGE_SHIFT;
}

/**
 * som_map_align - Return the preferred alignment of a mapping
 * @len: length in bytes
 * Return: bytes: a chunk if the mapping is at least that long, otherwise a unit.
 */
static inline unsigned long som_map_align(unsigned long len)
{
	return len >= SOM_CHUNK_SIZE ? SOM_CHUNK_SIZE : SOM_UNIT_SIZE;
}

/**
 * som_align_addr - Find the first address that is congruent to a page offset
 * @addr: page aligned address to start from
 * @pgoff: page offset to be mapped there
 * @align: power of two in bytes, at least a page
 * Return: lowest address >= @addr that is congruent to @pgoff modulo @align.
 */
static inline unsigned long som_align_addr(unsigned long addr,
					   unsigned long pgoff,
					   unsigned long align)
{
	unsigned long want = (pgoff << PAGE_SHIFT) & (align - 1);

	return addr + ((want - addr) & (align - 1));
}

/**
 * som_index_covered - Test whether a 2 MiB entry fits into a mapping
 * @vm_start: start address of the mapping
 * @vm_end: end address of the mapping
 * @vm_pgoff: page offset at @vm_start
 * @addr: address inside the mapping
 * Return: true if the aligned 2 MiB around @addr are inside the mapping and are one unit.
 */
static inline bool som_index_covered(unsigned long vm_start,
				     unsigned long vm_end,
				     unsigned long vm_pgoff,
				     unsigned long addr)
{
	unsigned long unit = ALIGN_DOWN(addr, SOM_UNIT_SIZE);

	if (((vm_start >> PAGE_SHIFT) - vm_pgoff) & (SOM_UNIT_PAGES - 1))
		return false;
	return unit >= vm_start && vm_end - unit >= SOM_UNIT_SIZE;
}

/**
 * som_chunk_covered - Test whether a 1 GiB entry fits into a mapping
 * @vm_start: start address of the mapping
 * @vm_end: end address of the mapping
 * @vm_pgoff: page offset at @vm_start
 * @addr: address inside the mapping
 * Return: true if the aligned GiB around @addr is inside the mapping and its page offsets
 * are an aligned GiB, too.
 */
static inline bool som_chunk_covered(unsigned long vm_start,
				     unsigned long vm_end,
				     unsigned long vm_pgoff,
				     unsigned long addr)
{
	unsigned long chunk = ALIGN_DOWN(addr, SOM_CHUNK_SIZE);

	if (((vm_start >> PAGE_SHIFT) - vm_pgoff) & (SOM_CHUNK_PAGES - 1))
		return false;
	return chunk >= vm_start && vm_end - chunk >= SOM_CHUNK_SIZE;
}

/**
 * som_index_clip - Compute the part of a mapping that lies in one unit
 * @vm_start: start address of the mapping
 * @vm_end: end address of the mapping
 * @vm_pgoff: page offset at @vm_start
 * @idx: unit index that the mapping touches
 * @start: set to the start address of the part
 * @end: set to its end address, exclusive
 */
static inline void som_index_clip(unsigned long vm_start, unsigned long vm_end,
				  unsigned long vm_pgoff, unsigned long idx,
				  unsigned long *start, unsigned long *end)
{
	unsigned long first = som_index_pgoff(idx);
	unsigned long last = first + SOM_UNIT_PAGES;
	unsigned long vm_last = vm_pgoff + ((vm_end - vm_start) >> PAGE_SHIFT);

	first = max(first, vm_pgoff);
	last = min(last, vm_last);
	*start = vm_start + ((first - vm_pgoff) << PAGE_SHIFT);
	*end = vm_start + ((last - vm_pgoff) << PAGE_SHIFT);
}

/**
 * som_allot - Allot part of an offset space to a new mapping
 * @cursor: first free page offset
 * @addr: page aligned address of the mapping
 * @len: length in bytes, page aligned, not 0
 * @allot: result; its limit is the next cursor
 * Return: 0; -ENOMEM if the offset space is exhausted.
 */
static inline int som_allot(unsigned long cursor, unsigned long addr,
			    unsigned long len, struct som_allotment *allot)
{
	unsigned long align = som_map_align(len) >> PAGE_SHIFT;
	unsigned long pages = len >> PAGE_SHIFT;
	unsigned long room;

	if (cursor >= SOM_OFFSET_PAGES || pages >= SOM_OFFSET_PAGES)
		return -ENOMEM;
	allot->start = cursor + (((addr >> PAGE_SHIFT) - cursor) & (align - 1));
	room = pages + min((SOM_GROW_FACTOR - 1) * pages, SOM_GROW_MAX_PAGES);
	/* Two mappings never share a unit index. */
	allot->limit = ALIGN(allot->start + room, SOM_UNIT_PAGES);
	return allot->limit <= SOM_OFFSET_PAGES ? 0 : -ENOMEM;
}

#endif /* _SOM_RANGE_H */
