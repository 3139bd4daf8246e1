/* SPDX-License-Identifier: GPL-2.0 */
/* What tools/include does not have. */
#ifndef _SOM_TEST_LINUX_BITMAP_H
#define _SOM_TEST_LINUX_BITMAP_H

#include_next <linux/bitmap.h>

static inline void bitmap_copy(unsigned long *dst, const unsigned long *src,
			       unsigned int nbits)
{
	memcpy(dst, src, bitmap_size(nbits));
}

static inline bool bitmap_andnot(unsigned long *dst, const unsigned long *src1,
				 const unsigned long *src2, unsigned int nbits)
{
	unsigned long any = 0;
	unsigned int i;

	for (i = 0; i < BITS_TO_LONGS(nbits); i++)
		any |= dst[i] = src1[i] & ~src2[i];
	return any;
}

static inline unsigned int bitmap_weight_and(const unsigned long *src1,
					     const unsigned long *src2,
					     unsigned int nbits)
{
	unsigned int i, weight = 0;

	for (i = 0; i < nbits; i++)
		weight += test_bit(i, src1) && test_bit(i, src2);
	return weight;
}

#endif /* _SOM_TEST_LINUX_BITMAP_H */
