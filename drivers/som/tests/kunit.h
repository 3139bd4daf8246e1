/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_KUNIT_H
#define _SOM_KUNIT_H

#include <kunit/test.h>

extern struct kunit_suite som_unitmap_suite;
extern struct kunit_suite som_range_suite;
extern struct kunit_suite som_commit_suite;
extern struct kunit_suite som_scan_suite;
extern struct kunit_suite som_plan_suite;
extern struct kunit_suite som_region_suite;
extern struct kunit_suite som_seen_suite;

#endif /* _SOM_KUNIT_H */
