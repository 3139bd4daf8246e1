#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check-intree.sh y|m: build som as a part of a small 6.12 kernel tree. Prints what
# compiler and linker complain of.
#
#	y	built in, with the KUnit suites, without NUMA and without modules
#	m	as modules, with NUMA and ZONE_DEVICE
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
# shellcheck source=lib/intree.sh
. "$SOM_ROOT/scripts/lib/intree.sh"

variant=${1:-}
dir=$SOM_CACHE/intree/$variant
tree=$dir/tree build=$dir/build

options()
{
	cat <<-END
		CONFIG_64BIT=y
		CONFIG_SMP=y
		CONFIG_EXPERT=y
		CONFIG_SYSFS=y
		CONFIG_PROC_FS=y
		CONFIG_SHMEM=y
		CONFIG_TMPFS=y
		CONFIG_HUGETLBFS=y
		CONFIG_TRANSPARENT_HUGEPAGE=y
		CONFIG_KUNIT=y
		CONFIG_SOM=$variant
		CONFIG_SOM_KUNIT_TEST=$variant
	END
	if [ "$variant" = y ]; then
		echo '# CONFIG_MODULES is not set'
		echo '# CONFIG_NUMA is not set'
	else
		echo CONFIG_MODULES=y
		echo CONFIG_ACPI=y
		echo CONFIG_NUMA=y
		echo CONFIG_SPARSEMEM_VMEMMAP=y
		echo CONFIG_MEMORY_HOTPLUG=y
		echo CONFIG_MEMORY_HOTREMOVE=y
		echo CONFIG_ZONE_DEVICE=y
	fi
}

# Only what som needs: the rest of the kernel is not compiled.
compile()
{
	local line
	kernel_tree "$SOM_CACHE/kernels/source" "$tree"
	mkdir -p "$build"
	options >"$dir/options.new"
	if ! cmp -s "$dir/options" "$dir/options.new"; then
		make -C "$tree" O="$build" KCONFIG_ALLCONFIG="$dir/options.new" \
			allnoconfig
		while read -r line; do
			case $line in
			CONFIG_*) grep -qxF "$line" "$build/.config" ||
				{ echo "error: not in the kernel: $line"; return 1; } ;;
			esac
		done <"$dir/options.new"
		mv "$dir/options.new" "$dir/options"
	fi
	make -C "$tree" O="$build" -j"$(nproc)" W=1 drivers/som/
	# All of it in one kernel: nothing is defined twice.
	[ "$variant" = m ] ||
		ld -r -o /dev/null --whole-archive "$build/drivers/som/built-in.a"
}

check()
{
	local rc=0
	mkdir -p "$dir"
	compile >"$dir/log" 2>&1 </dev/null || rc=$?
	# Warnings of the kernel's own are not about som.
	grep -E '(drivers/som|som\.h).*(warning|error)|^error:|^ld: ' "$dir/log" || true
	[ "$rc" = 0 ] || tail -n 20 "$dir/log"
	return "$rc"
}

case $variant in
y | m) ;;
*) die "usage: check-intree.sh y|m" ;;
esac
with_lock "intree-$variant" check
