#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# bench.sh [FILE]: what write tracking and reset cost, in instructions.
#
# Boots Debian's generic kernel in a virtual machine whose time stamp counter
# counts instructions, one processor, and runs som_bench there. The table goes to
# stdout and to FILE, by default Documentation/performance/tracking.txt. The
# figures are those of the kernel and the driver alone: they come out the same on
# every machine.
set -euo pipefail
cd "$(dirname "$0")/../../../../.."
# shellcheck source=scripts/lib/common.sh
. scripts/lib/common.sh

table=${1:-Documentation/performance/tracking.txt}
source=tools/testing/selftests/som/bench/som_bench.c
work=$(mktemp -d "${TMPDIR:-/tmp}/som-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

scripts/kernel/source.sh
"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror \
	-Iinclude/uapi -isystem "$SOM_CACHE/kernels/uapi" \
	-o "$work/som_bench" "$source"

scripts/qemu-test.sh exec --kernel generic --icount --smp 1 --chunks 2 \
	--timeout 900 -- "$work/som_bench" >"$work/figures"

{
	cat <<-'END'
		What write tracking costs
		=========================

		Guest instructions, counted by the virtual machine (qemu -icount shift=0),
		in the steady state: median of eleven rounds after ten. "som" and "again" are
		two runs of all loops, one after the other. "uffd-wp" is ordinary memory
		under userfaultfd's asynchronous write protection, scanned by PAGEMAP_SCAN
		on /proc/self/pagemap and cleared by memset, whose vector instructions are
		fewer than the kernel's "rep stosq", not faster. "DONTNEED" is ordinary
		memory given back by MADV_DONTNEED. Ordinary memory is mapped by 4 KiB pages.

	END
	printf 'command: make bench\n'
	printf 'machine: %s, one processor\n' \
		"$(qemu-system-x86_64 --version | head -n 1)"
	cat "$work/figures"
} >"$work/table"
cat "$work/table"
mkdir -p "$(dirname "$table")"
cp "$work/table" "$table"
