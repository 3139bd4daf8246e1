# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# List the tests, and run them on each kernel. Tests with the same requirements share a
# guest, one after another; two guests run at a time.
#
# A test is a program or a shell script of tools/testing/selftests/som that its
# Makefile lists, or "kunit". Lines in the leading comment of its source
# can describe the guest:
#
#	SOM-TEST: chunks=2 smp=1 kernels=generic,debug timeout=600 no-module
#
# Others: takes=S, spare=N, nodes=N, mem=SIZE, icount, kmemleak, programs (real ones and
# allocators, see programs.sh), append=WORD, param=WORD, add=FILE[:PATH]; the last three
# can be repeated.
#
# With kmemleak a test takes about a quarter longer. It watches tests that have this
# setting, and all tests with SOM_KMEMLEAK=1.
#
# A guest runs a set of tests and is named after them, with + between them. All files of
# guests and tests are in $LOGS/KERNEL; the files of a guest have the name of its first
# test and the number of the others.

TESTS_DIR=$SOM_ROOT/tools/testing/selftests/som
TESTS_GUESTS=${SOM_GUESTS:-2}
# Limit of tests in a guest.
TESTS_SET=${SOM_SET:-20}
# Seconds that a guest may take to boot, and to stop and be checked.
TESTS_BOOT=300

# list_tests: print all names, one per line.
list_tests()
{
	make -s -C "$TESTS_DIR" KSRC="$SOM_CACHE/kernels/source" OUTPUT=. emit_tests |
		sed 's/^.*://'
	[ ! -d "$SOM_ROOT/drivers/som/tests" ] || echo kunit
}

# test_settings NAME: print the words of its SOM-TEST lines.
test_settings()
{
	local file=$TESTS_DIR/$1
	case $1 in
	kunit) echo 'kernels=debug chunks=0 kmemleak'; return ;;
	*.sh) ;;
	*) file+=.c ;;
	esac
	[ -e "$file" ] || return 0
	sed -n '1,40s/^.*SOM-TEST: *//p' "$file" | sed 's: *\*/.*::'
}

# runs_on NAME KERNEL: return whether KERNEL runs the test. If the user has named both,
# it does (TESTS_NAMED).
runs_on()
{
	local word
	[ -z "${TESTS_NAMED:-}" ] || return 0
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

# test_has NAME WORD: return whether WORD is one of its settings.
test_has()
{
	case " $(test_settings "$1" | tr '\n' ' ')" in
	*" $2 "*) ;;
	*) return 1 ;;
	esac
}

# test_number NAME SETTING DEFAULT
test_number()
{
	local word number=$3
	for word in $(test_settings "$1"); do
		case $word in
		"$2"=*) number=${word#*=} ;;
		esac
	done
	echo "$number"
}

# test_timeout NAME
test_timeout()
{
	test_number "$1" timeout 300
}

# test_takes NAME: print its estimated seconds on the slowest kernel.
test_takes()
{
	test_number "$1" takes 10
}

# test_pool NAME: print the chunks that guest-tests.sh gives it, or - for no som.ko.
test_pool()
{
	if test_has "$1" no-module; then
		echo -
	else
		test_number "$1" chunks 1
	fi
}

# has_kmemleak KERNEL NAME: return whether kmemleak watches it on that kernel.
has_kmemleak()
{
	[ "$1" = debug ] || return 1
	[ -n "${SOM_KMEMLEAK:-}" ] || test_has "$2" kmemleak
}

# set_options KERNEL NAME...: set OPTIONS, the options of exec for tests that share a guest,
# except the timeout. The tests differ in added files, and in the 1 GiB pages that they
# need; the guest has as many as the test that needs most.
set_options()
{
	local kernel=$1 name word chunks pages most=0
	shift
	OPTIONS=()
	[ "$kernel" != debug ] || has_kmemleak "$kernel" "$1" ||
		OPTIONS+=(--append kmemleak=off)
	for word in $(test_settings "$1"); do
		case $word in
		kernels=* | timeout=* | takes=* | add=* | programs | kmemleak) ;;
		chunks=* | spare=* | no-module) ;;
		icount) OPTIONS+=("--$word") ;;
		mem=* | smp=* | nodes=* | append=*)
			OPTIONS+=("--${word%%=*}" "${word#*=}") ;;
		param=*) OPTIONS+=(--module-params "${word#*=}") ;;
		*) say "$1: unknown setting $word" ;;
		esac
	done
	chunks=$(test_pool "$1")
	if [ "$chunks" = - ]; then
		OPTIONS+=(--no-module)
		chunks=0
	fi
	for name; do
		pages=$(($(test_number "$name" chunks 1) +
			$(test_number "$name" spare 1)))
		[ "$pages" -lt "$most" ] || most=$pages
	done
	OPTIONS+=(--chunks "$chunks" --spare $((most - chunks)))
	for name; do
		for word in $(test_settings "$name"); do
			case $word in
			add=/*) OPTIONS+=(--add "${word#*=}") ;;
			add=*) OPTIONS+=(--add "$SOM_ROOT/${word#*=}") ;;
			programs) OPTIONS+=(--programs) ;;
			esac
		done
	done
}

# build_tests DIR: build all tests, and install them in DIR for the guest. As for the
# module, all checkouts share a copy of the sources in the cache, and only changed files
# are rebuilt.
build_tests()
{
	local name tree=$SOM_CACHE/selftests/tree tools out source
	source=$(readlink -f "$SOM_CACHE/kernels/source")
	tools=$tree/tools out=$SOM_CACHE/selftests/$(basename "$source")
	mkdir -p "$1" "$tree" "$out"
	(cd "$SOM_ROOT" && rsync -rlc --delete --exclude='.*' \
		VERSION include tools "$tree/") || return 1
	make -s -j"$(nproc)" -C "$tools/testing/selftests/som" \
		KSRC="$source" KHDR="$SOM_CACHE/kernels/uapi" \
		OUTPUT="$out" USERCFLAGS=-Werror all ||
		return 1
	for name in preload run somctl hooks; do
		make -s -j"$(nproc)" -C "$tools/som/$name" OUT="$out" all || return 1
	done
	# What som_matrix.sh compiles: a real file, with all that it includes.
	gcc -E -P -I "$out/include" -D_GNU_SOURCE -o "$out/matrix.i" \
		"$tools/som/preload/preload.c" || return 1
	cp "$SOM_ROOT/scripts/guest-tests.sh" "$out/libsom_preload.so" \
		"$out/preload_test" "$out/som-run" "$out/matrix.i" \
		"$out/somctl" "$out/libsom.so.0" \
		"$out"/hooks_{jemalloc,mimalloc,tcmalloc} "$1/" || return 1
	for name in $(list_tests); do
		case $name in
		kunit) cp "$SOM_ROOT/scripts/guest-kunit.sh" "$1/kunit" ;;
		*.sh) cp "$TESTS_DIR/$name" "$1/" ;;
		*) strip -o "$1/$name" "$out/$name" ;;
		esac || return 1
	done
}

# guest_key KERNEL NAME: print a key; tests with the same key can share a guest. A test
# that counts instructions has a guest of its own.
guest_key()
{
	local word key=''
	! has_kmemleak "$1" "$2" || key=,kmemleak
	for word in $(test_settings "$2" | tr ' ' '\n' | LC_ALL=C sort); do
		case $word in
		kernels=* | timeout=* | takes=* | add=* | programs) ;;
		kmemleak | smp=2) ;;
		chunks=* | spare=* | no-module) ;;
		icount) key+=",$word,$2" ;;
		*) key+=",$word" ;;
		esac
	done
	echo "-$key"
}

# make_sets KERNEL NAME...: print the tests of each guest, one line per guest: the estimated
# seconds, then the names. Tests that can share guests are distributed to as many guests
# as run at a time, or a multiple, the longest first, so that all take about the same
# time.
make_sets()
{
	local kernel=$1 name
	shift
	for name; do
		! runs_on "$name" "$kernel" ||
			printf '%s %d %s\n' "$(guest_key "$kernel" "$name")" \
				"$(test_takes "$name")" "$name"
	done | LC_ALL=C sort -s -k1,1 -k2,2nr |
	awk -v most="$TESTS_SET" -v guests="$TESTS_GUESTS" '
		function deal(	sets, set, i, j) {
			sets = int((nr + most - 1) / most)
			if (sets > 1)
				sets = int((sets + guests - 1) / guests) * guests
			if (sets > nr)
				sets = nr
			for (set = 1; set <= sets; set++)
				sum[set] = tests[set] = ""
			for (i = 1; i <= nr; i++) {
				set = 1
				for (j = 2; j <= sets; j++)
					if (sum[j] + 0 < sum[set] + 0)
						set = j
				sum[set] += time[i]
				tests[set] = tests[set] " " name[i]
			}
			for (set = 1; set <= sets; set++)
				print sum[set] tests[set]
			nr = 0
		}
		$1 != key { deal() }
		{ key = $1; time[++nr] = $2; name[nr] = $3 }
		END { deal() }' | sort -s -k1,1nr
}

# slowness KERNEL: print an estimate of the time of tests and of a boot on that kernel. The
# longest guests start first, so that all processors are busy until the end.
slowness()
{
	case $1 in
	debug) echo 4 ;;
	generic) echo 2 ;;
	*) echo 1 ;;
	esac
}

# watch_guest GUEST PIDFILE: kill QEMU if the guest takes too long for one step: to boot,
# for one test, or to stop. GUEST.out shows the current step. Runs until it is killed.
watch_guest()
{
	local word='' last=none since=$SECONDS allowed
	while sleep 2; do
		word=$(grep -a '^som-tests: ' "$1.out" | tail -n 1) || true
		if [ "$word" != "$last" ]; then
			last=$word since=$SECONDS allowed=$TESTS_BOOT
			case $word in
			'som-tests: begin '*)
				allowed=$(test_timeout "${word##* }") ;;
			esac
		fi
		if [ $((SECONDS - since)) -gt "$allowed" ]; then
			printf '%s\n' "$allowed" >"$1.hung"
			kill -KILL "$(cat "$2")"
			return
		fi
	done
}

# split_output FILE DIR SUFFIX: move the output of each test in FILE to DIR/NAME.SUFFIX.
# Output outside of tests, and the verdict on the guest, stay in FILE.
split_output()
{
	: >"$1.rest"
	awk -v dir="$2" -v suffix="$3" -v rest="$1.rest" '
		BEGIN { out = rest }
		/^som-tests: begin / { out = dir "/" $3 "." suffix; next }
		/^som-tests: end / { close(out); out = rest; next }
		/^som: (the kernel reported|in the guest: |the guest (hung|died))/ {
			out = rest
		}
		{ print >out }' "$1"
	mv "$1.rest" "$1"
}

# guest_log KERNEL GUEST: print the prefix of the names of its files.
guest_log()
{
	local more=${2//[^+]/}
	printf '%s/%s/%s%s' "$LOGS" "$1" "${2%%+*}" "${more:+.and-${#more}-more}"
}

# judge_test KERNEL NAME STATUS WHY: count its results; WHY is another problem, if any.
# Prints its line of the guest's result. 4 is kselftest's "skipped".
judge_test()
{
	local log=$LOGS/$1/$2 why=$4 counts passed failed skipped
	counts=$(tr -d '\r' <"$log.ktap" | awk -f "$SOM_ROOT/scripts/ktap.awk")
	read -r passed failed skipped <<<"$counts"
	case $3 in
	0 | 4) ;;
	*) [ "$failed" -gt 0 ] || why=${why:-exit status $3} ;;
	esac
	# One cause is one failure: do not also count the output that it truncated.
	case $counts in
	*problem:*) why=${why:-incomplete output} ;;
	*) [ -z "$why" ] || failed=$((failed + 1)) ;;
	esac
	printf '%s\n' "$counts" | sed -n 's/^problem: /som: KTAP: /p' >>"$log.err"
	printf '%s %d %d %d %d %s\n' "$2" "$passed" "$failed" "$skipped" \
		"$(cat "$log.tenths")" "$why"
}

# judge_guest KERNEL GUEST STATUS: write GUEST.result: a line for each test that ran, "NAME
# PASSED FAILED SKIPPED TENTHS [REASON]", and one for the guest itself if it has a problem
# that belongs to no test; one cause is one failure. GUEST.again lists the tests that
# another guest must run if this one died between them. It includes the running test if
# the emulator caused the problem for the first time.
judge_guest()
{
	local dir=$LOGS/$1 guest=$2 log why='' culprit='' name names last='' victim=''
	local word rest status left running='' reason again=''
	local -A begun=() ended=() leftover=()
	log=$(guest_log "$1" "$2")
	IFS=+ read -r -a names <<<"$guest"
	while read -r _ word name status rest left; do
		case $word in
		begin)
			begun[$name]=1 running=$name last=$name
			;;
		end)
			ended[$name]=$status leftover[$name]=$left running=''
			printf '%d\n' $((rest / 10)) >"$dir/$name.tenths"
			;;
		esac
	done < <(grep -a '^som-tests: ' "$log.out" || true)

	case $3 in
	0) ;;
	"$GUEST_SETUP") why='not set up' ;;
	"$GUEST_HUNG") why='guest hung or died' culprit=$running ;;
	"$GUEST_REPORT")
		why='trouble in the kernel'
		culprit=$(first_trouble "$log.console" || true)
		culprit=${culprit#*:} culprit=${culprit%%:*}
		[ -n "$culprit" ] || why='trouble or leftovers when no test ran'
		;;
	*) why="exit status $3" ;;
	esac
	if [ -e "$log.hung" ]; then
		why="guest hung for $(cat "$log.hung") s" culprit=$running
	elif prepare_kernel "$1" && tripped "$log.console"; then
		victim=${last:-${names[0]}}
		if [ -e "$dir/$victim.tripped" ]; then
			victim=''
		else
			unset "begun[$victim]"
			cp "$log.console" "$dir/$victim.tripped"
			why='' culprit=''
		fi
	fi
	# A single test is the cause.
	if [ -n "$why" ] && [ "${#names[@]}" = 1 ]; then
		culprit=$guest begun[$guest]=1
	fi
	split_output "$log.out" "$dir" ktap
	split_output "$log.errors" "$dir" err
	if [ "${#names[@]}" = 1 ]; then
		printf '%d\n' $((($(date +%s%N) - START) / 100000000)) \
			>"$dir/$guest.tenths"
	fi
	for name in "${names[@]}"; do
		if [ -z "${begun[$name]:-}" ]; then
			again+=${again:+ }$name
			continue
		fi
		touch "$dir/$name.ktap" "$dir/$name.err"
		[ -e "$dir/$name.tenths" ] || echo 0 >"$dir/$name.tenths"
		reason=''
		if [ "$name" = "$culprit" ] || [ "$name" = "$running" ]; then
			reason='guest hung or died'
			[ "$name" != "$culprit" ] || reason=$why why=''
			cat "$log.errors" >>"$dir/$name.err"
		elif [ -n "${leftover[$name]:-}" ]; then
			reason="left something behind"
			say "$name: ${leftover[$name]}" 2>>"$dir/$name.err"
		fi
		judge_test "$1" "$name" "${ended[$name]:-0}" "$reason"
	done >"$log.result"
	if [ -n "$victim" ] || { [ -n "$again" ] && [ "${#begun[@]}" != 0 ]; }; then
		printf '%s\n' "$again" >"$log.again"
	fi
	if [ -n "$why" ]; then
		printf '%s 0 1 0 0 %s\n' "$guest" "$why" >>"$log.result"
	fi
}

# run_guest KERNEL GUEST: run the guest and judge it. Writes, for each test, NAME.ktap (its
# stdout) and NAME.err (its stderr and messages about it), and for the guest GUEST.console
# (the kernel's messages).
run_guest()
{
	local dir=$LOGS/$1 log rc=0 names name sum=0 guest watcher tests=()
	local START
	log=$(guest_log "$1" "$2")
	START=$(date +%s%N)
	IFS=+ read -r -a names <<<"$2"
	for name in "${names[@]}"; do
		sum=$((sum + $(test_timeout "$name")))
		tests+=("$name:$(test_pool "$name")")
	done
	mkdir -p "$dir"
	: >"$log.out"
	set_options "$1" "${names[@]}"
	"$SOM_ROOT/scripts/qemu-test.sh" exec --kernel "$1" \
		--modules "$dir/modules" --console "$log.console" \
		--pidfile "$log.pid" "${OPTIONS[@]}" \
		--timeout $((sum + 2 * TESTS_BOOT + 60)) \
		--add "$LOGS/guest:/som/tests" \
		--add "$SOM_CACHE/kernels/source/tools/testing/selftests/kselftest:/som/kselftest" -- \
		/som/tests/guest-tests.sh "${tests[@]}" \
		>"$log.out" 2>"$log.errors" </dev/null &
	guest=$!
	watch_guest "$log" "$log.pid" >/dev/null 2>&1 &
	watcher=$!
	trap 'kill "$guest" "$watcher"; exit 143' TERM
	wait "$guest" || rc=$?
	kill "$watcher" 2>/dev/null || true
	judge_guest "$1" "$2" "$rc"
	times >"$log.cpu"
	printf '%s %s: %d s, %d s of processors\n' "$1" "$2" \
		$((($(date +%s%N) - START) / 1000000000)) \
		"$(tail -n 1 "$log.cpu" | tr ms '  ' |
			awk '{ print int(60 * ($1 + $3) + $2 + $4) }')" \
		>>"$LOGS/times"
}

# tell_result KERNEL NAME PASSED FAILED SKIPPED TENTHS REASON: print its line and, if it
# failed, the end of its output.
tell_result()
{
	local log=$LOGS/$1/$2 line='' file
	file=$(guest_log "$1" "$2").errors
	PASSED=$((PASSED + $3))
	FAILED=$((FAILED + $4))
	SKIPPED=$((SKIPPED + $5))
	case $2 in
	*+*)
		line="the guest of $1/${2%%+*} and others "
		;;
	*)
		DONE=$((DONE + 1))
		line="[$DONE/$TOTAL] $1/$2 "
		;;
	esac
	[ "$4" = 0 ] && line+="ok " || line+="FAIL "
	line+="$3 passed"
	[ "$4" = 0 ] || line+=", $4 failed${7:+ ($7)}"
	[ "$5" = 0 ] || line+=", $5 skipped"
	printf '%s %d.%ds\n' "$line" $(($6 / 10)) $(($6 % 10))
	[ "$4" != 0 ] || return 0
	if [ -e "$log.ktap" ]; then
		file=$log.err
		grep -E '^ *not ok|^# .*(Expected|expected|ASSERTION|EXPECTATION)|:[0-9]+:' \
			"$log.ktap" | head -n 25 | sed 's/^/    /' || true
	fi
	# Print messages about it, and the end of its output.
	awk '!/^$/ { line[++nr] = $0 }
		END {
			for (i = 1; i <= nr; i++)
				if (i > nr - 25 || line[i] ~ /^som: /)
					print "    " line[i]
		}' "$file"
}

# tell_guest KERNEL GUEST: print the lines of its result.
tell_guest()
{
	local name passed failed skipped tenths why log
	log=$(guest_log "$1" "$2")
	[ -e "$log.result" ] ||
		printf '%s 0 1 0 0 not run\n' "$2" >"$log.result"
	while read -r name passed failed skipped tenths why; do
		tell_result "$1" "$name" "$passed" "$failed" "$skipped" \
			"$tenths" "$why"
	done <"$log.result"
}

# tell_failed_build WHAT: count a failed build as one failure.
tell_failed_build()
{
	printf 'FAIL %s does not build\n' "$1"
	FAILED=$((FAILED + 1))
}

# write_log JOB...: write the KTAP of all jobs to one file, in order.
write_log()
{
	local job dir name
	local -A written=()
	for job; do
		dir=$LOGS/${job% *}
		for name in $(tr '+' ' ' <<<"${job#* }"); do
			[ -z "${written[$dir/$name]:-}" ] || continue
			written[$dir/$name]=1
			printf '# %s/%s\n' "${job% *}" "$name"
			cat "$dir/$name.ktap" 2>/dev/null || true
			sed 's/^/# /' "$dir/$name.err" 2>/dev/null || true
		done
		[ "$name" = "${job#* }" ] ||
			sed 's/^/# /' "$(guest_log "${job% *}" "${job#* }").errors" \
				2>/dev/null || true
	done >"$LOGS/tests.ktap"
}

stop_tests()
{
	trap - EXIT
	local pids
	mapfile -t pids < <(jobs -p)
	[ "${#pids[@]}" -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
}

# new_log_directory: set LOGS, and remove all but the ten latest directories.
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
	local kernel name names jobs=() job pid running=0 next=0 built=()
	local -A guests=()
	PASSED=0 FAILED=0 SKIPPED=0 DONE=0 TOTAL=0
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
	# shellcheck disable=SC2046,SC2086 # names are words
	while read -r _ job; do
		names=${job#* }
		jobs+=("${job%% *} ${names// /+}")
		TOTAL=$((TOTAL + $(wc -w <<<"$names")))
	done < <(for kernel in "${built[@]}"; do
		make_sets "$kernel" ${2:-$(list_tests)} |
			awk -v kernel="$kernel" -v slow="$(slowness "$kernel")" \
				'{ $1 = slow * ($1 + 20) " " kernel; print }'
	done | sort -s -k1,1nr)

	while [ "$next" -lt "${#jobs[@]}" ] || [ "$running" -gt 0 ]; do
		if [ "$running" -ge "$TESTS_GUESTS" ] ||
		   [ "$next" -ge "${#jobs[@]}" ]; then
			wait -n -p pid || true
			running=$((running - 1))
			job=${guests[$pid]}
			tell_guest "${job% *}" "${job#* }"
			# The tests after the one that killed the guest.
			name=$(guest_log "${job% *}" "${job#* }").again
			if [ -e "$name" ]; then
				names=$(<"$name")
				rm "$name"
				jobs+=("${job% *} ${names// /+}")
				name=$LOGS/${job% *}/${names%% *}.tripped
				[ -e "$name" ] || name=
				say "${job% *}: one more guest for $names" \
					"${name:+after an int3}"
			fi
			continue
		fi
		job=${jobs[next]}
		run_guest "${job% *}" "${job#* }" &
		guests[$!]=$job
		running=$((running + 1)) next=$((next + 1))
	done
	write_log "${jobs[@]}"
	finish_tests
}

# finish_tests: print the last lines. Returns the status.
finish_tests()
{
	printf 'full log: %s\n' "$LOGS/tests.ktap"
	printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
	[ "$FAILED" = 0 ]
}
