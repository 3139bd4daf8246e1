#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# debug.sh: build the debug kernel from Debian's source and debug.config:
#
#	$SOM_CACHE/kernels/debug/image	the kernel
#	$SOM_CACHE/kernels/debug/kdir	make -C this to build a module
#
# The build is stored under a hash of the fragment and the version of the source, so each
# pair is built once.
set -euo pipefail
# shellcheck source=../lib/common.sh
. "$(dirname "$0")/../lib/common.sh"

fragment=$SOM_ROOT/scripts/kernel/debug.config
kernel=$SOM_CACHE/kernels/debug

# check_landed CONFIG: check that CONFIG has every option of the fragment.
check_landed()
{
	local line missing=0
	while read -r line; do
		case $line in
		'# CONFIG_'*' is not set')
			line=${line#\# }
			! grep -q "^${line%% *}=" "$1" || line=
			[ -z "$line" ] || continue
			;;
		CONFIG_*)
			! grep -qxF -e "$line" "$1" || continue
			;;
		*)
			continue
			;;
		esac
		say "debug.config: not in the kernel: $line"
		missing=1
	done <"$fragment"
	[ "$missing" = 0 ] || die "the debug kernel lacks options of debug.config"
}

configure()
{
	make -C "$source" O="$1" KCONFIG_ALLCONFIG="$fragment" allnoconfig
}

compile()
{
	make -C "$source" O="$1" -j"$(nproc)" "${cc[@]}" \
		KBUILD_BUILD_TIMESTAMP=1970-01-01 KBUILD_BUILD_USER=som \
		KBUILD_BUILD_HOST=som bzImage modules
}

# build DIR: build with the output in DIR.log, which is shown if the build fails.
build()
{
	local dir=$1
	rm -rf "$dir"
	mkdir -p "$dir"
	run_quiet "$dir.log" configure "$dir" || die "configuring failed"
	check_landed "$dir/.config"
	say "building the debug kernel: 10 to 15 minutes on two processors"
	run_quiet "$dir.log" compile "$dir" || die "the kernel does not build"
	printf '\n' >&2
	touch "$dir/som-built"
}

prepare()
{
	local key dir
	key=$(printf '%s' "$(basename "$source")" | cat - "$fragment" |
		sha256sum | head -c 16)
	dir=$SOM_CACHE/debug/$key
	[ -e "$dir/som-built" ] || build "$dir"
	mkdir -p "$kernel"
	ln -sfn "$dir/arch/x86/boot/bzImage" "$kernel/image"
	ln -sfn "$dir" "$kernel/kdir"
	touch "$kernel/checked"
}

# Nothing has changed since the last build, so do not ask apt.
if [ -e "$kernel/kdir/som-built" ] && [ "$kernel/checked" -nt "$fragment" ] &&
   [ ! /var/lib/apt/lists -nt "$kernel/checked" ]; then
	exit 0
fi
"$SOM_ROOT/scripts/kernel/source.sh"
source=$(readlink -f "$SOM_CACHE/kernels/source")
cc=()
! have_all ccache || cc=(CC="ccache gcc" HOSTCC="ccache gcc")
export CCACHE_DIR=${CCACHE_DIR:-$SOM_CACHE/ccache}
with_lock debug prepare
