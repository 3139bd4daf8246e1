#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make-deb.sh: build Debian packages of the module, the tools and the library in SOM_DEB
# (default: deb in the cache). The sources are the files of git, with the changes of the
# working tree. lintian must find no error in the packages, and the module must build as
# DKMS builds it, for each of Debian's 6.12 kernels whose headers are installed.
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"

# Packages that only this script needs.
packages=(debhelper dh-dkms dkms dpkg-dev lintian)

"$SOM_ROOT/scripts/install-deps.sh" "${packages[@]}"
out=${SOM_DEB:-$SOM_CACHE/deb}
work=$(mktemp -d "${TMPDIR:-/tmp}/som-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
version=$(cat "$SOM_ROOT/VERSION")

[ "$(dpkg-parsechangelog -l "$SOM_ROOT/debian/changelog" -S Version)" = \
	"$version" ] || die "debian/changelog does not describe $version"

# export_source DIR: copy the files that git tracks or would add.
export_source()
{
	mkdir -p "$1"
	git -C "$SOM_ROOT" ls-files -z --cached --others --exclude-standard |
		(cd "$SOM_ROOT" && while IFS= read -r -d '' file; do
			[ ! -e "$file" ] || printf '%s\0' "$file"
		done | tar --null -T - -cf -) | tar -xf - -C "$1"
}

build()
{
	cd "$work/som-$version"
	dpkg-buildpackage -us -uc -b
}

# try_dkms KERNEL: build the source of the package, in a separate tree.
try_dkms()
{
	local tree=$work/dkms-$1
	mkdir -p "$tree"
	dkms build -m som -v "$version" -k "$1" --no-depmod \
		--dkmstree "$tree" --sourcetree "$work/root/usr/src" &&
		ls "$tree/som/$version/$1"/*/module/som.ko*
}

export_source "$work/som-$version"
say "building the packages of som $version"
run_quiet "$SOM_CACHE/deb-build.log" build || die 'the packages do not build'
rm -rf "$out"
mkdir -p "$out"
cp "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$out/"

say 'lintian'
lintian --fail-on error --allow-root --tag-display-limit 0 \
	"$out"/*.changes >&2 || die 'lintian found errors'

dpkg-deb -x "$out/som-dkms_${version}_all.deb" "$work/root"
tried=0
for headers in /usr/src/linux-headers-6.12.*-amd64; do
	[ -e "$headers/Makefile" ] || continue
	kernel=${headers#/usr/src/linux-headers-}
	say "DKMS for $kernel"
	run_quiet "$SOM_CACHE/deb-dkms.log" try_dkms "$kernel" ||
		die "the module does not build for $kernel"
	tried=$((tried + 1))
done
[ "$tried" -gt 0 ] || say 'no headers of a 6.12 kernel: DKMS was not tried'
ls "$out"/*.deb
