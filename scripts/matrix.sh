#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# matrix.sh [PROGRAM]...: run real programs with their memory on som, all programs of
# som_matrix.sh or the named ones, on the generic kernel. Print each result at once, then
# the log's name and, after a run of all programs, the name of the table for
# allocators-matrix.rst. The last line is the sum, "N passed, N failed, N skipped".
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
# shellcheck source=lib/programs.sh
. "$SOM_ROOT/scripts/lib/programs.sh"
# shellcheck source=lib/tests.sh
. "$SOM_ROOT/scripts/lib/tests.sh"

# build DIR: build the files for /som/tests of the guest.
build()
{
	local tool flags source=$TESTS_DIR/matrix/matrix.c
	build_tests "$1" || return 1
	for tool in '' _asan:-fsanitize=address _tsan:-fsanitize=thread; do
		flags=${tool#*:}
		# shellcheck disable=SC2086 # one word or none
		gcc -O1 -g -Wall -Wextra -Werror -D_GNU_SOURCE -pthread $flags \
			-o "$1/matrix${tool%%:*}" "$source" || return 1
	done
}

# show: print results at once, without TAP's plan.
show()
{
	grep --line-buffered -aE '^(ok|not ok|#) ' | sed -u 's/^\(ok\|not ok\) [0-9]* /\1  /'
}

start=$SECONDS rc=0
new_log_directory
say 'the kernel and the programs'
"$SOM_ROOT/scripts/qemu-test.sh" prepare generic
with_lock matrix have_matrix || die "the programs are not available"
"$SOM_ROOT/scripts/kernel/source.sh"
with_lock selftests build "$LOGS/guest" >"$LOGS/build.log" 2>&1 || {
	cat "$LOGS/build.log"
	die "the tests do not build"
}
say "$((SECONDS - start)) s; now the programs run"
"$SOM_ROOT/scripts/qemu-test.sh" exec --kernel generic --chunks 1 --spare 0 \
	--timeout 7200 --console "$LOGS/console" --programs --add "$MATRIX_TREE:/" \
	--add "$LOGS/guest:/som/tests" \
	--add "$SOM_CACHE/kernels/source/tools/testing/selftests/kselftest:/som/kselftest" \
	-- /som/tests/som_matrix.sh --all "$@" \
	2>"$LOGS/errors" </dev/null | tee "$LOGS/matrix.tap" | show || rc=1
counts=$(tr -d '\r' <"$LOGS/matrix.tap" | awk -f "$SOM_ROOT/scripts/ktap.awk")
read -r passed failed skipped <<<"$counts"
# Reports of the kernel and of the guest.
if [ "$rc" != 0 ] || [ -s "$LOGS/errors" ]; then
	cat "$LOGS/errors"
fi
case $counts in
*problem:*) printf '%s\n' "$counts" | sed 1d; failed=$((failed + 1)) ;;
*) [ "$rc" = 0 ] || [ "$failed" != 0 ] || failed=1 ;;
esac
say "full log: $LOGS/matrix.tap; $((SECONDS - start)) s"
[ $# -gt 0 ] || {
	"$TESTS_DIR/som_matrix.sh" --rst "$LOGS/matrix.tap" >"$LOGS/matrix.rst"
	say "table: $LOGS/matrix.rst"
}
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
