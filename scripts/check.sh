#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check.sh: run the static checks, then all tests on all kernels. Continues after a
# failure, so that one run shows all failures. Its last line is the sum, "N passed, N
# failed, N skipped".
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"

passed=0 failed=0 skipped=0

# part TITLE COMMAND ARGS: run a part whose last line is a sum of the same form. A part
# that ends without a sum has failed.
part()
{
	local title=$1 line sum='' start=$SECONDS
	local form='^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$'
	shift
	say "$title"
	while IFS= read -r line; do
		if [[ $line =~ $form ]]; then
			sum=$line
		else
			printf '%s\n' "$line"
		fi
	done < <("$@" || true)
	if [[ $sum =~ $form ]]; then
		passed=$((passed + BASH_REMATCH[1]))
		failed=$((failed + BASH_REMATCH[2]))
		skipped=$((skipped + BASH_REMATCH[3]))
	else
		say "$title: ended without a result"
		failed=$((failed + 1))
	fi
	say "$title: $((SECONDS - start)) s"
}

say 'the test kernels'
start=$SECONDS
"$SOM_ROOT/scripts/qemu-test.sh" prepare || failed=$((failed + 1))
say "the test kernels: $((SECONDS - start)) s"
part 'static checks' "$SOM_ROOT/scripts/check-static.sh"
part 'tests' "$SOM_ROOT/scripts/qemu-test.sh"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
