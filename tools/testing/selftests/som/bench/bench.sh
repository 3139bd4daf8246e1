#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# bench.sh [DIR [TABLE]...]: what som costs, in instructions and bytes.
#
# Boots Debian's generic kernel in virtual machines whose time stamp counter counts
# instructions, runs the programs of this directory there, and writes tables and
# plots to DIR, by default Documentation/performance. Tables are "tracking" and
# "cost"; both, if none is named. The figures are those of the
# kernel and the driver alone: they come out the same on every machine. Ends with
# status 0 also if a target is missed; the last line tells how many are.
set -euo pipefail
cd "$(dirname "$0")/../../../../.."
# shellcheck source=scripts/lib/common.sh
. scripts/lib/common.sh

dir=${1:-Documentation/performance}
shift $(($# > 0))
bench=tools/testing/selftests/som/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/som-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

# build PROGRAM...
build()
{
	local program
	for program; do
		"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror \
			-pthread -Iinclude/uapi \
			-isystem "$SOM_CACHE/kernels/uapi" \
			-o "$work/$program" "$bench/$program.c"
	done
}

# guest WHAT OUTPUT OPTION... -- COMMAND: a guest's stdout goes to OUTPUT.
guest()
{
	local start=$SECONDS what=$1 output=$2
	shift 2
	say "$what ..."
	scripts/qemu-test.sh exec --kernel generic --icount --timeout 1800 "$@" \
		>"$work/$output" || die "the guest has failed: $what"
	say "$what: $((SECONDS - start)) s"
}

machine()
{
	printf 'command: make bench\n'
	printf 'machine: %s, %s\n' \
		"$(qemu-system-x86_64 --version | head -n 1)" "$1"
}

# finish TABLE: show a table, and keep it.
finish()
{
	cat "$work/$1"
	cp "$work/$1" "$dir/$1"
}

# The costs of write tracking, see som_bench.c.
tracking()
{
	guest 'write tracking' tracking.figures --smp 1 --chunks 2 -- \
		"$work/som_bench"
	{
		cat "$bench/tracking.head"
		machine 'one processor'
		cat "$work/tracking.figures"
	} >"$work/tracking.txt"
	finish tracking.txt
}

# The costs of having memory at all, see bench_*.c and report.py.
cost()
{
	guest 'touching and giving back' cost.figures \
		--smp 1 --chunks 2 --spare 1 --mem 9G \
		--add "$work/bench_touch" --add "$work/bench_locks" -- \
		"$bench/guest.sh" "$work/bench_touch" "$work/bench_locks"
	guest 'fork' fork.figures --smp 1 --chunks 2 --mem 7G \
		--add "$work/bench_fork" -- \
		"$bench/guest.sh" "$work/bench_fork"
	guest 'handing over, converting' parcel.figures --smp 1 --chunks 2 --mem 7G \
		--add "$work/bench_parcel" --add "$work/bench_convert" -- \
		"$bench/guest.sh" "$work/bench_parcel" "$work/bench_convert"
	guest 'threads, processes, much address space' scale.figures \
		--smp 8 --chunks 2 --spare 1 --mem 7G \
		--add "$work/bench_scale" -- \
		"$bench/guest.sh" "$work/bench_scale"
	guest 'metadata' memory.figures \
		--smp 1 --chunks 2 --spare 2 --mem 9G \
		--add "$work/bench_memory" -- \
		"$bench/guest.sh" "$work/bench_memory"
	guest 'struct pages' reserve.figures \
		--smp 1 --chunks 0 --spare 0 --mem 8G --pages-stay -- \
		"$work/bench_memory" reserve
	grep '^kernel:\|^processor:' "$work/cost.figures" | sort -u \
		>"$work/machine"
	sed -i '/^kernel:\|^processor:/d' "$work"/*.figures
	{
		cat "$bench/cost.head"
		machine 'one processor (scalability: eight)'
		cat "$work/machine"
		python3 "$bench/report.py" "$work"
	} >"$work/cost.txt"
	finish cost.txt
	gnuplot -e "work='$work'; out='$work'; machine='$(sed -n \
		's/^kernel: \([^ ]* [^ ]*\).*/\1/p' "$work/machine"), QEMU'" \
		"$bench/plots.gp"
	cp "$work"/cost-*.svg "$dir/"
}

[ $# -gt 0 ] || set -- tracking cost
mkdir -p "$dir"
scripts/kernel/source.sh
build som_bench bench_touch bench_locks bench_fork bench_scale bench_memory \
	bench_parcel bench_convert
for table; do
	case $table in
	tracking | cost) "$table" ;;
	*) die "no such table: $table" ;;
	esac
done
for table; do
	say "$dir/$table.txt: $(tail -n 1 "$dir/$table.txt")"
done
