# SPDX-License-Identifier: GPL-2.0
#
# ktap.awk: reads KTAP and prints "PASSED FAILED SKIPPED", counting the innermost
# results: a result that sums up the ones before it, further in, is not a case of
# its own. After that come lines that start with "problem: ": a plan that does
# not fit the results, a result that contradicts what it sums up, a test that
# bailed out, or no plan at all. Each problem counts as one failure.
#
# kunit.py parse of Linux 6.12 does not replace it: it passes output without a plan, with
# more results than planned, or with a summary that fails while its cases pass (a test
# that died after the last one), and a case list cut short in an inner block ends it with
# an exception.

function problem(text)
{
	problems[++nr_problems] = text
	failed++
}

# The plan of the block at this depth, and all further in, must be fulfilled.
function close_blocks(depth,	d)
{
	for (d = deepest; d >= depth; d--) {
		if ((d in plan) && plan[d] != seen[d])
			problem("a plan of " plan[d] " has " seen[d] + 0 " results")
		delete plan[d]
		delete seen[d]
	}
	if (deepest >= depth)
		deepest = depth - 1
}

function depth_of(line)
{
	match(line, /^ */)
	return RLENGTH
}

BEGIN {
	deepest = -1
	inner = -1
}

/^ *(KTAP|TAP) version [0-9]+/ {
	close_blocks(depth_of($0))
	next
}

/^ *1\.\.[0-9]+/ {
	depth = depth_of($0)
	close_blocks(depth + 1)
	text = $0
	sub(/^ *1\.\./, "", text)
	plan[depth] = text + 0
	plans++
	if (depth > deepest)
		deepest = depth
	if (plan[depth] == 0)
		skipped++
	next
}

/^ *(not )?ok [0-9]+/ {
	depth = depth_of($0)
	bad = $0 ~ /^ *not ok/
	skip = $0 ~ /# *SKIP/
	seen[depth]++
	if (depth > deepest)
		deepest = depth
	if (inner > depth) {
		close_blocks(depth + 1)
		if (bad && !inner_failed)
			problem("no result explains: " $0)
	} else if (skip) {
		skipped++
	} else if (bad) {
		failed++
	} else {
		passed++
	}
	# A summary that fails is explained further in; so is its own summary.
	if (inner <= depth)
		inner_failed = inner_failed || (bad && !skip)
	if (depth == 0)
		inner_failed = 0
	inner = depth
	next
}

/^ *Bail out!/ {
	problem($0)
}

END {
	close_blocks(0)
	if (!plans)
		problem("no plan")
	printf "%d %d %d\n", passed, failed, skipped
	for (i = 1; i <= nr_problems; i++)
		print "problem: " problems[i]
}
