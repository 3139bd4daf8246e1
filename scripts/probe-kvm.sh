#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# probe-kvm.sh IMAGE: print yes if KVM runs that kernel on this machine, otherwise no.
# Opening /dev/kvm does not prove it: in some virtual machines, KVM fails on instructions
# that every kernel uses. The result is stored until the next boot of the machine, or a
# change of QEMU.
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"

probe()
{
	local dir image=$1 answer=no qemu tries
	if [ -e "$file" ]; then
		cat "$file"
		return
	fi
	dir=$(mktemp -d)
	mkdir "$dir/tree"
	cp /bin/busybox "$dir/tree/busybox"
	cat >"$dir/tree/init" <<-'END'
		#!/busybox sh
		/busybox echo som-kvm-works
		/busybox reboot -f
	END
	chmod 755 "$dir/tree/init"
	(cd "$dir/tree" && find . | cpio --quiet -o -H newc) >"$dir/initramfs"
	: >"$dir/console"
	timeout -k 1 30 qemu-system-x86_64 -nodefaults -no-user-config \
		-display none -no-reboot -machine pc -accel kvm -cpu host \
		-m 512M -kernel "$image" -initrd "$dir/initramfs" \
		-append "console=ttyS0 quiet panic=-1" \
		-chardev file,id=console,path="$dir/console" \
		-serial chardev:console </dev/null >"$dir/qemu" 2>&1 &
	qemu=$!
	# After an internal error QEMU keeps running with a stopped guest.
	for ((tries = 0; tries < 300; tries++)); do
		kill -0 "$qemu" 2>/dev/null || break
		! grep -q 'KVM internal error' "$dir/qemu" || break
		sleep 0.1
	done
	{ kill "$qemu"; wait "$qemu"; } 2>/dev/null || true
	! grep -q som-kvm-works "$dir/console" || answer=yes
	rm -rf "$dir"
	echo "$answer" >"$file.$$"
	mv "$file.$$" "$file"
	echo "$answer"
}

if [ ! -w /dev/kvm ]; then
	echo no
	exit
fi
key=$(cat /proc/sys/kernel/random/boot_id; qemu-system-x86_64 --version)
file=$SOM_CACHE/kvm-$(printf '%s' "$key" | sha256sum | head -c 16)
with_lock kvm probe "$1"
