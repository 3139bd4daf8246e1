# SPDX-License-Identifier: GPL-2.0
#
# ktap.awk: read KTAP and print "PASSED FAILED SKIPPED". It counts the innermost results: a
# result that summarises indented ones before it is not counted. Then it prints lines that
# start with "problem: ": a plan that does not match the results, a result that contradicts
# the ones that it summarises, a test that bailed out, or a missing plan. Each problem
# counts as one failure.
#
# kunit.py parse of Linux 6.12 cannot replace it. It accepts output without a plan, with more
# results than planned, or with a summary that fails while its cases pass (a test that died
# after the last one). A truncated list of cases in an inner block makes it raise an exception.

function problem(text)
{
	problems[++nr_problems] = text
	failed++
}

# Check the plans of the block at this depth, and of all deeper ones.
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
	# Deeper results explain a summary that fails, and its own summary.
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
