/* SPDX-License-Identifier: GPL-2.0 */
/* What tools/include does not have. */
#ifndef _SOM_TEST_LINUX_BITOPS_H
#define _SOM_TEST_LINUX_BITOPS_H

#include_next <linux/bitops.h>

static inline unsigned int __ffs64(u64 word)
{
	return __builtin_ctzll(word);
}

#endif /* _SOM_TEST_LINUX_BITOPS_H */
