#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The test of the preloaded library, with its memory on som: all of it, and parts with
# other settings. A signal every two milliseconds, which it wants, is all that the
# debug kernel can do.
#
# SOM-TEST: kernels=generic timeout=300

nr=0 bad=0

# run TEXT SETTING...: the tests with TEXT in their names, as one case.
run()
{
	text=$1
	shift
	nr=$((nr + 1))
	if env "$@" LD_PRELOAD=/som/tests/libsom_preload.so \
			/som/tests/preload_test "$text" >/tmp/preload_test; then
		result=ok
	else
		result='not ok'
		bad=1
	fi
	sed 's/^/    /' /tmp/preload_test
	echo "$result $nr $*"
}

echo 'TAP version 13'
echo '1..4'
run '' SOM_PRELOAD_FORK=copy
run fork SOM_PRELOAD_FORK=none
run fork SOM_PRELOAD_FORK=noreserve
run small SOM_PRELOAD_MIN=64K
exit "$bad"
