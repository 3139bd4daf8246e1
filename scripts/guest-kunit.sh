#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# guest-kunit.sh: run som's unit tests in the guest. They run when their module is loaded;
# print their output from debugfs, suite by suite.
/usr/sbin/insmod "$SOM_KUNIT_KO" || {
	echo 'Bail out! som_kunit.ko does not load'
	exit 1
}
set -- /sys/kernel/debug/kunit/*/results
[ -e "$1" ] || {
	echo 'Bail out! no suite has run'
	exit 1
}
for results; do
	cat "$results"
done
/usr/sbin/rmmod som_kunit
