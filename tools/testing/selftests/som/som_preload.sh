#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The test of the preloaded library, with its memory on som: all of it, and parts with
# other settings; and what som-run says and sets. A signal every two milliseconds, which
# it wants, is all that the debug kernel can do.
#
# SOM-TEST: kernels=generic timeout=300 takes=30

here=$(cd "$(dirname "$0")" && pwd)
nr=0 bad=0

# run TEXT SETTING...: the tests with TEXT in their names, as one case.
run()
{
	text=$1
	shift
	nr=$((nr + 1))
	if env "$@" LD_PRELOAD="$here/libsom_preload.so" \
			"$here/preload_test" "$text" >/tmp/preload_test; then
		result=ok
	else
		result='not ok'
		bad=1
	fi
	sed 's/^/    /' /tmp/preload_test
	echo "$result $nr $*"
}

# som_run STATUS ARGS: som-run ends so.
som_run()
{
	expected=$1
	shift
	said=$("$here/som-run" "$@" 2>&1)
	status=$?
	[ "$status" = "$expected" ] || {
		echo "# som-run $*: status $status: $said"
		wrong=1
	}
}

# expect WHAT: that it said.
expect()
{
	[ "$said" = "$1" ] || {
		echo "# '$said' instead of '$1'"
		wrong=1
	}
}

check_som_run()
{
	wrong=0
	for options in '' '--min 3X' '--min' '--max=-1' '--fork maybe' '--what' \
			'--allocator nobody' '--allocator' '--verbose=1'; do
		# shellcheck disable=SC2086 # words
		som_run 125 $options
	done
	som_run 125 --allocator none
	som_run 127 --allocator none no-such-program
	som_run 3 --allocator none sh -c 'exit 3'
	som_run 0 --help
	# shellcheck disable=SC2016 # for the inner shell
	show='echo $SOM_PRELOAD_MIN $SOM_PRELOAD_MAX $SOM_PRELOAD_FORK'
	som_run 0 --allocator=none --min=64K --max 1G --fork none -- sh -c "$show"
	expect '64K 1G none'
	export LD_PRELOAD="$here/libsom.so.0"
	# shellcheck disable=SC2016 # for the inner shell
	som_run 0 --allocator none sh -c 'echo $LD_PRELOAD'
	expect "$here/libsom_preload.so:$here/libsom.so.0"
	unset LD_PRELOAD
	nr=$((nr + 1))
	[ "$wrong" = 0 ] && echo "ok $nr som-run" && return
	echo "not ok $nr som-run"
	bad=1
}

echo 'TAP version 13'
echo '1..9'
run '' SOM_PRELOAD_FORK=copy
run fork SOM_PRELOAD_FORK=none
run fork SOM_PRELOAD_FORK=noreserve
run small SOM_PRELOAD_MIN=64K
run arguments SOM_PRELOAD_MIN=0
run environment SOM_PRELOAD_VERBOSE=1 SOM_PRELOAD_DEVICE=/dev/som
run seccomp SOM_PRELOAD_FORK=none
run seccomp SOM_PRELOAD_MIN=4K
check_som_run
exit "$bad"
