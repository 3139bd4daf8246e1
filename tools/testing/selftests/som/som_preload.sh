#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The test of the preloaded library, with its memory on som: all of it, and parts with
# other settings; and what som-run says and sets. A signal every two milliseconds, which
# it wants, is all that the debug kernel can do.
#
# SOM-TEST: kernels=generic timeout=300 takes=30

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=/dev/null
. "$here/../kselftest/ktap_helpers.sh"

# run TEXT SETTING...: the tests with TEXT in their names, as one case.
run()
{
	text=$1
	shift
	env "$@" LD_PRELOAD="$here/libsom_preload.so" \
		"$here/preload_test" "$text" >/tmp/preload_test
	status=$?
	sed 's/^/    /' /tmp/preload_test
	ktap_test_result "$*" [ "$status" = 0 ]
}

# A device that nothing can be executed from.
check_noexec()
{
	mkdir /tmp/noexec
	mount -t tmpfs -o noexec none /tmp/noexec
	cp -a /dev/som /tmp/noexec/som
	run code SOM_PRELOAD_DEVICE=/tmp/noexec/som
	umount /tmp/noexec
	rmdir /tmp/noexec
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

# What the environment says is checked as options are, and what cannot work is said.
check_environment()
{
	for setting in MIN=3X MAX=-1 MIN=99999999T MAX=9999999999999999999 \
			FORK=maybe 'MIN= 1M'; do
		export "SOM_PRELOAD_$setting"
		som_run 125 --allocator none true
		unset "SOM_PRELOAD_${setting%%=*}"
	done
	som_run 125 --min 9999999999G true
	som_run 0 --allocator none --min 0000000000000000000001M true
	expect ''
	# shellcheck disable=SC2016 # for the inner shell
	som_run 0 --allocator none sh -c 'echo "$#$1$2"' 'a b' ' c' '*'
	expect '2 c*'
	mkdir -p '/tmp/a b'
	cp /bin/busybox '/tmp/a b/true'
	som_run 0 --allocator none '/tmp/a b/true'
	expect ''
	chmod u+s '/tmp/a b/true'
	som_run 0 --allocator none '/tmp/a b/true'
	expect 'som-run: /tmp/a b/true is set-user-ID or set-group-ID: ordinary memory is used'
	rm -r '/tmp/a b'
	som_run 0 --allocator none --verbose /bin/busybox true
	case $said in
	*'som-run: /bin/busybox is linked statically: ordinary memory is used by it,'*) ;;
	*) expect 'that busybox is linked statically' ;;
	esac
	som_run 0 --allocator none --verbose "$here/preload_test" 'no test'
	case $said in
	*statically*) expect 'nothing of a static program' ;;
	esac

	export SOM_PRELOAD_DEVICE='/tmp/no som'
	som_run 0 --allocator none true
	expect 'som-run: there is no /tmp/no som (modprobe som): ordinary memory is used'
	touch '/tmp/no som'
	som_run 0 --allocator none true
	expect 'som-run: /tmp/no som is not a device: ordinary memory is used'
	rm '/tmp/no som'
	mknod '/tmp/no som' c 10 254
	som_run 0 --allocator none true
	expect "som-run: /tmp/no som cannot be opened by user $(id -u): ordinary memory is used"
	rm '/tmp/no som'
	# A name that is not absolute, for programs that run elsewhere.
	export SOM_PRELOAD_DEVICE=som
	cd /dev || wrong=1
	# shellcheck disable=SC2016 # for the inner shell
	som_run 0 --allocator none sh -c 'echo $SOM_PRELOAD_DEVICE'
	expect /dev/som
	cd / || wrong=1
	unset SOM_PRELOAD_DEVICE
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
	check_environment
	ktap_test_result som-run [ "$wrong" = 0 ]
}

ktap_print_header
ktap_set_plan 11
run '' SOM_PRELOAD_FORK=copy
run fork SOM_PRELOAD_FORK=none
run fork SOM_PRELOAD_FORK=noreserve
run small SOM_PRELOAD_MIN=64K
run limits SOM_PRELOAD_MIN=64K
run arguments SOM_PRELOAD_MIN=0
run environment SOM_PRELOAD_VERBOSE=1 SOM_PRELOAD_DEVICE=/dev/som
run seccomp SOM_PRELOAD_FORK=none
run seccomp SOM_PRELOAD_MIN=4K
check_noexec
check_som_run
ktap_finished
