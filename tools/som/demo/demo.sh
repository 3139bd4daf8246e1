#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# demo.sh: an unmodified redis-server from Debian with its heap on /dev/som.
#
# Boots Debian's generic kernel in a virtual machine, loads som.ko and runs redis-server
# twice, on ordinary memory and on som. Both load the package index of apt on this machine
# and answer the same queries; the demo compares the answers. demo-guest.sh is the part
# that runs in the virtual machine.
#
# Nothing is installed. Downloads are unpacked into the cache: SOM_CACHE, or
# XDG_CACHE_HOME/som, or ~/.cache/som. SOM_DEMO_PACKAGES is the number of packages to load
# (30000).
set -euo pipefail
cd "$(dirname "$0")/../../.."
# shellcheck source=scripts/lib/common.sh
. scripts/lib/common.sh
# shellcheck source=scripts/kernel/apt.sh
. scripts/kernel/apt.sh

packages=${SOM_DEMO_PACKAGES:-30000}
dir=$SOM_CACHE/demo
lib=usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null ||
	printf 'x86_64-linux-gnu')

step()
{
	printf '\n\033[1m%s\033[0m\n' "$*"
}
[ -t 1 ] || step() { printf '\n%s\n' "$*"; }

# List the packages that redis needs and this machine lacks; redis is in redis-tools.
redis_packages()
{
	{
		printf 'redis-tools\nlibjemalloc2\n'
		apt-get -s -o APT::Install-Recommends=0 install redis-tools |
			sed -n 's/^Inst \([^ :]*\).*/\1/p'
	} | sort -u
}

# fetch_redis DIR: unpack the redis that apt would install.
fetch_redis()
{
	local package list dir=$1 version=$2
	[ "$(cat "$dir/version" 2>/dev/null)" != "$version" ] || return 0
	rm -rf "$dir"
	list=$(redis_packages) || return 1
	for package in $list; do
		rm -rf "$SOM_CACHE/packages/$package"
		unpack_package "$package" "$dir" './*' || return 1
	done
	rm -rf "${dir:?}"/{usr/share,etc,var}
	ln -sf redis-check-rdb "$dir/usr/bin/redis-server"
	if LD_LIBRARY_PATH=$dir/$lib ldd "$dir/usr/bin/redis-server" |
			grep 'not found' >&2; then
		return 1
	fi
	printf '%s\n' "$version" >"$dir/version"
}

index_files()
{
	# shellcheck disable=SC2016 # apt's variable
	apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages'
}

# Print the first packages of apt's index, as text.
package_index()
{
	local file
	index_files | while read -r file; do
		/usr/lib/apt/apt-helper cat-file "$file"
	done | awk -v n="$packages" 'BEGIN { RS = ""; ORS = "\n\n" }
		NR <= n { print }'
}

step '1. redis-server and its libraries, as Debian ships them'
version=$(package_version redis-tools)
if [ -z "$version" ] || [ -z "$(index_files)" ]; then
	say "there is no package index; running apt-get update"
	apt-get update
	version=$(package_version redis-tools)
fi
if ! with_lock demo fetch_redis "$dir/redis" "$version"; then
	say "the package index may be old; running apt-get update"
	apt-get update
	version=$(package_version redis-tools)
	with_lock demo fetch_redis "$dir/redis" "$version" ||
		die "redis-server cannot be downloaded with apt"
fi
printf '   redis-tools %s, unpacked in %s\n' "$version" "$dir/redis"

step '2. the data: the package index of this machine'
work=$(mktemp -d "${TMPDIR:-/tmp}/som-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/demo"
package_index >"$work/demo/index"
printf '   %s packages, %s MiB of text\n' \
	"$(grep -c '^Package:' "$work/demo/index")" \
	"$(($(stat -c %s "$work/demo/index") >> 20))"

step '3. the preload library, the test program and som.ko'
run_quiet "$work/make.log" make -C tools/som/preload OUT="$dir/preload"
"${CC:-gcc}" -O2 -Wall -Wextra -D_GNU_SOURCE -o "$work/demo/packages" \
	tools/som/demo/packages.c
cp -a "$dir/redis/usr" "$work/demo/"
cp "$dir/preload/libsom_preload.so" tools/som/demo/demo-guest.sh "$work/demo/"
printf '   %s\n' "$dir/preload/libsom_preload.so"

step '4. a virtual machine with the generic kernel of Debian'
rc=0
scripts/qemu-test.sh exec --kernel generic --chunks 1 --timeout 900 \
	--add "$work/demo:/demo" -- \
	sh /demo/demo-guest.sh "/demo/$lib" || rc=$?
case $rc in
0) ;;
97 | 98 | 99) die "demo: FAIL: the virtual machine, see above" ;;
*) die "demo: FAIL" ;;
esac
printf '\ndemo: PASS: redis gave the same answers with its heap on /dev/som\n'
