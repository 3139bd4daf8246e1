#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# debian.sh generic|cloud: put Debian's newest 6.12 kernel of that flavour, and
# the headers to build modules for it, into the cache:
#
#	$SOM_CACHE/kernels/FLAVOUR/image	the kernel
#	$SOM_CACHE/kernels/FLAVOUR/brd.ko	its RAM disk, for tests of O_DIRECT
#	$SOM_CACHE/kernels/FLAVOUR/mce-inject.ko its injector of machine checks
#	$SOM_CACHE/kernels/FLAVOUR/kdir		make -C this to build a module
#
# Both flavours of a version share one tree. The headers know where they are
# meant to be installed; that one path is rewritten.
set -euo pipefail
# shellcheck source=../lib/common.sh
. "$(dirname "$0")/../lib/common.sh"
# shellcheck source=apt.sh
. "$(dirname "$0")/apt.sh"

case ${1:-} in
generic) suffix=amd64 ;;
cloud) suffix=cloud-amd64 ;;
*) die "usage: debian.sh generic|cloud" ;;
esac
kernel=$SOM_CACHE/kernels/$1

# copy_module TREE RELEASE NAME: put a module of the kernel beside its image.
copy_module()
{
	local file
	file=$(find "$1" -path "*/$2/*" -name "$3.ko*")
	case $file in
	*.xz) xz -dc "$file" >"$kernel/$3.ko" ;;
	*) cp "$file" "$kernel/$3.ko" ;;
	esac
}

prepare()
{
	local image='' release version common tree headers
	! know_package "linux-image-6.12-$suffix" ||
		image=$(newest_dependency "linux-image-6.12-$suffix" linux-image-)
	if [ -z "$image" ]; then
		[ ! -e "$kernel/image" ] || return 0
		die "apt knows no linux-image-6.12-$suffix, nor does the" \
		    "security suite beside the sources it has"
	fi
	release=${image#linux-image-}
	version=${release%-"$suffix"}
	common=$version-common
	tree=$SOM_CACHE/debian/$version
	headers=$tree/usr/src/linux-headers-$release

	# An older tree has fewer modules.
	[ -n "$(find "$tree/image" -path "*/$release/*" \
			-name 'mce-inject.ko*' 2>/dev/null)" ] ||
		rm -f "$tree/image/.have-$image"
	unpack_package "$image" "$tree/image" './boot/*' \
		"*/$release/kernel/drivers/block/brd.ko*" \
		"*/$release/kernel/arch/x86/kernel/cpu/mce/mce-inject.ko*"
	unpack_package "linux-kbuild-$version" "$tree" './usr/lib/*'
	unpack_package "linux-headers-$common" "$tree" './usr/src/*'
	unpack_package "linux-headers-$release" "$tree" './usr/src/*'
	sed -i "s|^include /usr/src/|include $tree/usr/src/|" \
		"$headers/Makefile"

	mkdir -p "$kernel"
	ln -sfn "$tree/image/boot/vmlinuz-$release" "$kernel/image"
	copy_module "$tree/image" "$release" brd
	copy_module "$tree/image" "$release" mce-inject
	ln -sfn "$headers" "$kernel/kdir"
	touch "$kernel/checked"
}

with_lock debian prepare
