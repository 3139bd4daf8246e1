#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The hooks for allocators of Debian's: each with its test, and the pool afterwards.
#
# SOM-TEST: kernels=generic timeout=120

sysfs=/sys/class/misc/som

pool()
{
	echo "$(cat $sysfs/units_used) used, $(cat $sysfs/units_committed) promised"
}

allocators='jemalloc mimalloc tcmalloc'
nr=0
failed=0

echo 'TAP version 13'
echo '1..6'
for name in $allocators; do
	before=$(pool)
	"/som/tests/hooks_$name" | sed 's/^/    /' >/tmp/hooks.ktap
	cat /tmp/hooks.ktap
	nr=$((nr + 1))
	# A program that died has no last result.
	if grep -q '^    ok 8 ' /tmp/hooks.ktap &&
	   ! grep -q '^ *not ok' /tmp/hooks.ktap; then
		echo "ok $nr $name"
	else
		echo "not ok $nr $name"
		failed=1
	fi
	tries=0
	while [ "$(pool)" != "$before" ] && [ "$tries" -lt 300 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	nr=$((nr + 1))
	if [ "$(pool)" = "$before" ]; then
		echo "ok $nr $name: the pool is what it was"
	else
		echo "# before: $before; after: $(pool)"
		echo "not ok $nr $name: the pool is what it was"
		failed=1
	fi
done
rm -f /tmp/hooks.ktap
exit $failed
