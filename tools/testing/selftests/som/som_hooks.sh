#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The hooks for allocators of Debian's: each with its test, and the pool afterwards.
#
# SOM-TEST: kernels=generic timeout=120

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=/dev/null
. "$here/../kselftest/ktap_helpers.sh"
sysfs=/sys/class/misc/som

pool()
{
	echo "$(cat $sysfs/units_used) used, $(cat $sysfs/units_committed) committed"
}

same_pool()
{
	[ "$(pool)" = "$before" ]
}

# A program that died has no last result.
passed()
{
	grep -q '^    ok 8 ' /tmp/hooks.ktap && ! grep -q '^ *not ok' /tmp/hooks.ktap
}

allocators='jemalloc mimalloc tcmalloc'

ktap_print_header
ktap_set_plan 6
for name in $allocators; do
	before=$(pool)
	"$here/hooks_$name" | sed 's/^/    /' >/tmp/hooks.ktap
	cat /tmp/hooks.ktap
	ktap_test_result "$name" passed
	tries=0
	while ! same_pool && [ "$tries" -lt 300 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	same_pool || ktap_print_msg "before: $before; after: $(pool)"
	ktap_test_result "$name: the pool is what it was" same_pool
done
rm -f /tmp/hooks.ktap
ktap_finished
