/* SPDX-License-Identifier: GPL-2.0 */
/* A warning is a failure of the case that runs. */
#ifndef _SOM_TEST_LINUX_BUG_H
#define _SOM_TEST_LINUX_BUG_H

#include_next <linux/bug.h>

void kunit_warn(const char *file, int line, const char *condition);

#define WARN_ON_ONCE(condition) ({					\
	bool __warn = (condition);					\
									\
	if (__warn)							\
		kunit_warn(__FILE__, __LINE__, #condition);		\
	__warn;								\
})

#endif /* _SOM_TEST_LINUX_BUG_H */
