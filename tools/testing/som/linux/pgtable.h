/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_TEST_LINUX_PGTABLE_H
#define _SOM_TEST_LINUX_PGTABLE_H

#define PAGE_SHIFT	12
#define PAGE_SIZE	(1UL << PAGE_SHIFT)

#endif /* _SOM_TEST_LINUX_PGTABLE_H */
