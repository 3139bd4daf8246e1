# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The tests: which there are, and running them, one guest for each test on each
# kernel, two guests at a time.
#
# A test is a program of tools/testing/selftests/som that its Makefile lists, a
# shell script there, or "kunit". A line in the leading comment of its source
# can set what the guest is like:
#
#	SOM-TEST: chunks=2 smp=1 kernels=generic,debug timeout=600 no-module
#
# Others: spare=N, mem=SIZE, icount, append=WORD, param=WORD, add=FILE[:PATH];
# the last three may come more than once.

TESTS_DIR=$SOM_ROOT/tools/testing/selftests/som
TESTS_GUESTS=${SOM_GUESTS:-2}

# tests_make DIR: build the programs into DIR.
tests_make()
{
	make -s -C "$TESTS_DIR" \
		KSRC="$(readlink -f "$SOM_CACHE/kernels/source")" \
		KHDR="$SOM_CACHE/kernels/uapi" OUT="$1" all
}

# list_tests: all names, one a line.
list_tests()
{
	local file
	if [ -e "$TESTS_DIR/Makefile" ]; then
		make -s -C "$TESTS_DIR" list | tr -s ' ' '\n' | sed '/^$/d'
	fi
	for file in "$TESTS_DIR"/*.sh; do
		[ ! -x "$file" ] || basename "$file"
	done
	[ ! -d "$SOM_ROOT/drivers/som/tests" ] || echo kunit
}

# test_settings NAME: the words of its SOM-TEST line.
test_settings()
{
	local file=$TESTS_DIR/$1
	case $1 in
	kunit) echo 'kernels=debug no-module chunks=0'; return ;;
	*.sh) ;;
	*) file+=.c ;;
	esac
	[ -e "$file" ] || return 0
	sed -n '1,40s/^.*SOM-TEST: *//p' "$file" | sed 's: *\*/.*::' | head -n 1
}

# runs_on NAME KERNEL
runs_on()
{
	local word
	for word in $(test_settings "$1"); do
		case $word in
		kernels=*)
			case ,${word#kernels=}, in
			*,$2,*) return 0 ;;
			*) return 1 ;;
			esac
			;;
		esac
	done
}

# set_options NAME: sets OPTIONS, what the test's settings mean to exec.
set_options()
{
	local word
	OPTIONS=()
	for word in $(test_settings "$1"); do
		case $word in
		kernels=*) ;;
		no-module | icount) OPTIONS+=("--$word") ;;
		chunks=* | spare=* | mem=* | smp=* | timeout=* | append=*)
			OPTIONS+=("--${word%%=*}" "${word#*=}") ;;
		param=*) OPTIONS+=(--module-params "${word#*=}") ;;
		add=*) OPTIONS+=(--add "${word#*=}") ;;
		*) say "$1: unknown setting $word" ;;
		esac
	done
}

# build_tests DIR: build all tests and put them into DIR as the guest will have
# them.
build_tests()
{
	local name out
	out=$SOM_CACHE/selftests/$(printf '%s' "$SOM_ROOT" | sha256sum | head -c 8)
	mkdir -p "$1" "$out"
	[ ! -e "$TESTS_DIR/Makefile" ] || tests_make "$out" || return 1
	for name in $(list_tests); do
		case $name in
		kunit) cp "$SOM_ROOT/scripts/guest-kunit.sh" "$1/kunit" ;;
		*.sh) cp "$TESTS_DIR/$name" "$1/" ;;
		*) cp "$out/$name" "$1/" ;;
		esac || return 1
	done
}

# run_test KERNEL NAME: in $LOGS/KERNEL/NAME.* : ktap is the test's stdout, err
# its stderr and what exec says, console the kernel's messages. The file result
# has "PASSED FAILED SKIPPED SECONDS" and, if need be, the reason.
run_test()
{
	local log=$LOGS/$1/$2 start=${EPOCHREALTIME/./} rc=0 counts why=''
	local passed failed skipped guest
	mkdir -p "$LOGS/$1"
	set_options "$2"
	"$SOM_ROOT/scripts/qemu-test.sh" exec --kernel "$1" \
		--modules "$LOGS/$1/modules" --console "$log.console" "${OPTIONS[@]}" \
		--add "$LOGS/guest:/som/tests" -- "/som/tests/$2" \
		>"$log.ktap" 2>"$log.err" </dev/null &
	guest=$!
	trap 'kill "$guest"; exit 143' TERM
	wait "$guest" || rc=$?
	counts=$(tr -d '\r' <"$log.ktap" | awk -f "$SOM_ROOT/scripts/ktap.awk")
	read -r passed failed skipped <<<"$counts"
	case $rc in
	"$GUEST_SETUP") why='not set up' ;;
	"$GUEST_HUNG") why='guest hung or died' ;;
	"$GUEST_REPORT") why='trouble in the kernel' ;;
	0 | 4) ;;
	*) [ "$failed" -gt 0 ] || why="exit status $rc" ;;
	esac
	# One cause is one failure: what cut the output short is not counted twice.
	case $counts in
	*problem:*) why=${why:-incomplete output} ;;
	*) [ -z "$why" ] || failed=$((failed + 1)) ;;
	esac
	printf '%s\n' "$counts" | sed -n 's/^problem: /som: KTAP: /p' >>"$log.err"
	printf '%d %d %d %d %s\n' "$passed" "$failed" "$skipped" \
		$(((${EPOCHREALTIME/./} - start) / 100000)) "$why" >"$log.result"
}

# tell_result KERNEL NAME: its line on the terminal, and its end if it failed.
tell_result()
{
	local log=$LOGS/$1/$2 passed failed skipped tenths why line
	DONE=$((DONE + 1))
	[ -e "$log.result" ] || echo '0 1 0 0 not run' >"$log.result"
	read -r passed failed skipped tenths why <"$log.result"
	PASSED=$((PASSED + passed))
	FAILED=$((FAILED + failed))
	SKIPPED=$((SKIPPED + skipped))
	line="[$DONE/$TOTAL] $1/$2 "
	[ "$failed" = 0 ] && line+="ok " || line+="FAIL "
	line+="$passed passed"
	[ "$failed" = 0 ] || line+=", $failed failed${why:+ ($why)}"
	[ "$skipped" = 0 ] || line+=", $skipped skipped"
	printf '%s %d.%ds\n' "$line" $((tenths / 10)) $((tenths % 10))
	[ "$failed" != 0 ] || return 0
	grep -E '^ *not ok|^# .*(Expected|expected|ASSERTION|EXPECTATION)|:[0-9]+:' \
		"$log.ktap" | head -n 25 | sed 's/^/    /' || true
	tail -n 25 "$log.err" | sed 's/^/    /'
}

# tell_failed_build WHAT: a build that failed is one failure.
tell_failed_build()
{
	printf 'FAIL %s does not build\n' "$1"
	FAILED=$((FAILED + 1))
}

# write_log JOB...: the KTAP of all, in order, in one file.
write_log()
{
	local job
	for job; do
		printf '# %s\n' "${job/ //}"
		cat "$LOGS/${job% *}/${job#* }.ktap" 2>/dev/null || true
		sed 's/^/# /' "$LOGS/${job% *}/${job#* }.err" 2>/dev/null || true
	done >"$LOGS/tests.ktap"
}

stop_tests()
{
	trap - EXIT
	local pids
	mapfile -t pids < <(jobs -p)
	[ "${#pids[@]}" -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
}

# new_log_directory: sets LOGS, and keeps the ten latest.
new_log_directory()
{
	local old
	LOGS=$SOM_CACHE/log/$(date +%Y%m%d-%H%M%S)-$$
	mkdir -p "$LOGS"
	# shellcheck disable=SC2012 # the names are ours
	ls -d "$SOM_CACHE"/log/*/ | head -n -10 | while read -r old; do
		rm -rf "$old"
	done
}

# run_tests KERNELS NAMES: two lists of words; no names means all.
run_tests()
{
	local kernel name jobs=() job pid running=0 built=()
	local -A names=()
	PASSED=0 FAILED=0 SKIPPED=0 DONE=0
	new_log_directory
	trap stop_tests EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP

	for name in $2; do
		list_tests | grep -xF -e "$name" >/dev/null ||
			die "no test called $name"
	done
	"$SOM_ROOT/scripts/kernel/source.sh"
	with_lock selftests build_tests "$LOGS/guest" \
			>"$LOGS/selftests.log" 2>&1 || {
		cat "$LOGS/selftests.log"
		tell_failed_build tools/testing/selftests/som
		finish_tests
		return
	}
	for kernel in $1; do
		prepare_kernel "$kernel"
		if build_module "$kernel" "$G_KDIR" "$LOGS/$kernel/modules"; then
			built+=("$kernel")
		else
			tell_failed_build "som.ko for $kernel"
		fi
	done
	for kernel in "${built[@]}"; do
		for name in ${2:-$(list_tests)}; do
			! runs_on "$name" "$kernel" || jobs+=("$kernel $name")
		done
	done
	TOTAL=${#jobs[@]}

	for job in "${jobs[@]}"; do
		if [ "$running" -ge "$TESTS_GUESTS" ]; then
			wait -n -p pid || true
			tell_result "${names[$pid]% *}" "${names[$pid]#* }"
			running=$((running - 1))
		fi
		run_test "${job% *}" "${job#* }" &
		names[$!]=$job
		running=$((running + 1))
	done
	while [ "$running" -gt 0 ]; do
		wait -n -p pid || true
		tell_result "${names[$pid]% *}" "${names[$pid]#* }"
		running=$((running - 1))
	done
	write_log "${jobs[@]}"
	finish_tests
}

# finish_tests: the last lines, and the status.
finish_tests()
{
	printf 'full log: %s\n' "$LOGS/tests.ktap"
	printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
	[ "$FAILED" = 0 ]
}
