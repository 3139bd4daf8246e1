#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# source.sh: put the source of Debian's newest 6.12 kernel into the cache, at
# $SOM_CACHE/kernels/source, which is a link named after the version, and its
# headers for programs at $SOM_CACHE/kernels/uapi.
set -euo pipefail
# shellcheck source=../lib/common.sh
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source=apt.sh
. "$(dirname "$0")/apt.sh"

link=$SOM_CACHE/kernels/source

prepare()
{
	local version='' dir deb
	! know_package linux-source-6.12 ||
		version=$(package_version linux-source-6.12)
	if [ -z "$version" ]; then
		[ ! -e "$link/Makefile" ] || return 0
		die "apt knows no linux-source-6.12, nor does the" \
		    "security suite beside the sources it has"
	fi
	dir=$SOM_CACHE/source/$version
	if [ ! -e "$dir/Makefile" ]; then
		deb=$(download_package linux-source-6.12)
		say "unpacking the kernel's source"
		rm -rf "$dir.new"
		mkdir -p "$dir.new"
		dpkg-deb --fsys-tarfile "$deb" |
			tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
			xz -dc -T 0 |
			tar -x --no-same-owner --strip-components=1 -C "$dir.new"
		mv "$dir.new" "$dir"
		rm -rf "$SOM_CACHE/packages/linux-source-6.12"
	fi
	if [ ! -e "$dir-uapi/include/linux/fs.h" ]; then
		run_quiet "$dir-uapi.log" make -C "$dir" O="$dir-uapi.build" \
			INSTALL_HDR_PATH="$dir-uapi" headers_install ||
			die "the kernel's headers cannot be installed"
		rm -rf "$dir-uapi.build"
	fi
	ln -sfn "$dir-uapi/include" "$SOM_CACHE/kernels/uapi"
	ln -sfn "$dir" "$link"
}

with_lock source prepare
