// SPDX-License-Identifier: GPL-2.0
/* KUnit suites for the parts of som that need no memory management. */
#include <linux/module.h>
#include "kunit.h"

kunit_test_suites(&som_unitmap_suite, &som_range_suite, &som_commit_suite,
		  &som_scan_suite, &som_plan_suite,
		  &som_region_suite, &som_seen_suite);

MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_DESCRIPTION("KUnit tests of single-owner memory");
MODULE_LICENSE("GPL");
