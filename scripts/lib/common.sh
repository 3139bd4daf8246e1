# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Common part of all scripts: the directories of the repository and the cache, messages,
# and a lock for work that several runs may do at the same time. Scripts write outside
# the repository only below $SOM_CACHE.

# shellcheck disable=SC2034 # for those who source this
SOM_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
SOM_CACHE=${SOM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/som}
mkdir -p "$SOM_CACHE/lock" "$SOM_CACHE/kernels"
SOM_CACHE=$(cd "$SOM_CACHE" && pwd -P)
export SOM_CACHE

say()
{
	printf 'som: %s\n' "$*" >&2
}

die()
{
	printf 'som: error: %s\n' "$*" >&2
	exit "${DIE_STATUS:-1}"
}

# have_all TOOL...: return whether every tool is on PATH.
have_all()
{
	local tool
	for tool; do
		command -v "$tool" >/dev/null || return 1
	done
}

# with_lock NAME COMMAND ARGS: run COMMAND while no other run holds NAME. Background
# processes of COMMAND do not inherit the lock.
with_lock()
{
	local name=$1 fd rc=0
	shift
	exec {fd}>"$SOM_CACHE/lock/$name"
	flock "$fd"
	"$@" {fd}>&- || rc=$?
	exec {fd}>&-
	return "$rc"
}

# run_quiet LOG COMMAND ARGS: run COMMAND with its output in LOG, and show the output only
# if it fails. A dot every ten seconds shows that it is still running.
run_quiet()
{
	local log=$1 rc=0 ticker
	shift
	(while sleep 10 >/dev/null 2>&1; do printf '.' >&2; done) &
	ticker=$!
	"$@" >"$log" 2>&1 </dev/null || rc=$?
	{ kill "$ticker" && wait "$ticker"; } 2>/dev/null || true
	if [ "$rc" -ne 0 ]; then
		printf '\n' >&2
		tail -n 40 "$log" >&2
		say "the whole output is in $log"
	fi
	return "$rc"
}
