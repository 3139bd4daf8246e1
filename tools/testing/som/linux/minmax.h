/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's own build checks the types. */
#ifndef _SOM_TEST_LINUX_MINMAX_H
#define _SOM_TEST_LINUX_MINMAX_H

#include <linux/kernel.h>

#undef min
#undef max
#define min(x, y) ({							\
	__auto_type __x = (x);						\
	__auto_type __y = (y);						\
									\
	__x < __y ? __x : __y;						\
})
#define max(x, y) ({							\
	__auto_type __x = (x);						\
	__auto_type __y = (y);						\
									\
	__x > __y ? __x : __y;						\
})

#endif /* _SOM_TEST_LINUX_MINMAX_H */
