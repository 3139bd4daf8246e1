#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# install-deps.sh [PACKAGE]...: install the Debian packages that are needed to build and
# test som, and the given packages. Installed packages are not changed; if none is
# missing, nothing is downloaded.
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"

packages=(
	# building modules and kernels
	make gcc gcc-12 libc6-dev binutils flex bison bc libelf-dev libssl-dev
	dwarves perl python3 rsync xz-utils zstd ccache git
	# the allocators that have hooks
	g++ libjemalloc-dev libmimalloc-dev libgoogle-perftools-dev
	# sandboxes in C
	wabt
	# the test machine
	qemu-system-x86 busybox-static cpio kmod
	# static checks
	sparse shellcheck mandoc groff-base spin coccinelle python3-docutils
	"$@"
)

is_installed()
{
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# as_root COMMAND ARGS: run COMMAND as root, directly or by sudo without a password.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif have_all sudo && sudo -n true 2>/dev/null; then
		sudo -n "$@"
	else
		die "not root; install these first: ${missing[*]}"
	fi
}

apt()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q \
		-o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
		-o APT::Sandbox::User=root "$@"
}

missing=()
for package in "${packages[@]}"; do
	is_installed "$package" || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
	say "all ${#packages[@]} packages are installed"
	exit 0
fi

say "installing ${#missing[@]} packages: ${missing[*]}"
run_quiet "$SOM_CACHE/apt-update.log" apt update ||
	say "apt-get update failed; continuing with the existing package lists"
run_quiet "$SOM_CACHE/apt-install.log" \
	apt install --yes --no-install-recommends "${missing[@]}" ||
	die "the packages could not be installed"
say "installed"
