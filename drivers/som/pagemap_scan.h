/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SOM_PAGEMAP_SCAN_H
#define _SOM_PAGEMAP_SCAN_H

struct pm_scan_arg;

long som_pagemap_scan(struct pm_scan_arg __user *user);

#endif /* _SOM_PAGEMAP_SCAN_H */
