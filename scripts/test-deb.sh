#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test-deb.sh: test the Debian packages in a fresh bookworm tree, as a user would use
# them: install them, build the module with DKMS for a 6.12 kernel, compile and link with
# the library, read the manual pages, remove the packages, and check that nothing is left
# behind. Needs root, debootstrap's mirror and some minutes.
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"

[ "$(id -u)" = 0 ] || die 'chroot needs root'
"$SOM_ROOT/scripts/install-deps.sh" debootstrap
"$SOM_ROOT/scripts/make-deb.sh" >/dev/null
debs=${SOM_DEB:-$SOM_CACHE/deb}
version=$(cat "$SOM_ROOT/VERSION")
tree=$(mktemp -d "${TMPDIR:-/tmp}/som-tree.XXXXXX")
trap 'umount "$tree/proc" 2>/dev/null; rm -rf --one-file-system "$tree"' EXIT
log=$SOM_CACHE/test-deb.log
passed=0

in_tree()
{
	env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
		DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
		chroot "$tree" "$@"
}

apt_in_tree()
{
	in_tree apt-get -q -y --no-install-recommends \
		-o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 "$@"
}

# step WHAT COMMAND...: print a line, run COMMAND, and exit if it fails.
step()
{
	local what=$1
	shift
	run_quiet "$log" "$@" || die "failed: $what"
	passed=$((passed + 1))
	say "ok: $what"
}

# List all files except those that every package operation changes.
files()
{
	(cd "$tree" && find . -xdev \( -path ./tmp -o -path ./var/cache \
		-o -path ./var/lib/apt -o -path ./var/lib/dpkg -o -path ./var/log \
		-o -path ./root/debs \) -prune -o -print | LC_ALL=C sort)
}

same_files()
{
	files >"$tree/tmp/after"
	# The group stays, as Debian's policy requires.
	diff "$tree/tmp/before" "$tree/tmp/after" | grep '^[<>]' |
		grep -vE ' \./etc/(group|gshadow|passwd|shadow|subuid|subgid)-$' && return 1
	cmp "$tree/tmp/users" <(cut -d: -f1 "$tree/etc/passwd")
}

make_tree()
{
	debootstrap --variant=minbase bookworm "$tree" || return
	# The package sources of this machine, with the security suite.
	cp -r /etc/apt/sources.list* "$tree/etc/apt/" || return
	mount -t proc proc "$tree/proc" || return
	in_tree apt-get -q update || return
	kernel=$(in_tree apt-cache search --names-only \
		'^linux-headers-6\.12\..*[0-9]-amd64$' | cut -d' ' -f1 |
		sort -V | tail -n 1)
	[ -n "$kernel" ] || return
	apt_in_tree install "$kernel" dkms gcc libc6-dev make pkg-config \
		mandoc systemd udev || return
	echo "${kernel#linux-headers-}" >"$tree/tmp/kernel"
	cut -d: -f1 "$tree/etc/passwd" >"$tree/tmp/users"
}

install_all()
{
	mkdir "$tree/root/debs"
	cp "$debs"/{som-dkms,som-tools,libsom0,libsom-dev}_"$version"_*.deb \
		"$tree/root/debs/" || return
	in_tree sh -c 'apt-get -q -y --no-install-recommends install \
		-o APT::Sandbox::User=root /root/debs/*.deb'
}

# The installation of the package has built it.
dkms_has_built()
{
	in_tree dkms status -m som -v "$version" -k "$kernel" |
		grep installed >/dev/null || return
	in_tree sh -c "modinfo /lib/modules/$kernel/updates/dkms/som.ko* |
		grep -q 'vermagic: *6\.12\.'"
}

program_links()
{
	cat >"$tree/tmp/try.c" <<-'END'
	#include <errno.h>
	#include <libsom.h>
	#include <linux/som.h>
	#include <stdio.h>
	int main(void)
	{
		struct som_policy policy = { .size = sizeof(policy) };
		int fd = som_open(NULL);
		printf("%d %d %u\n", fd, errno, policy.size);
		return !(fd == -1 && errno == ENOENT);
	}
	END
	# shellcheck disable=SC2016 # for the shell in the tree
	in_tree sh -ec 'cd /tmp
		gcc -Wall -Werror $(pkg-config --cflags libsom) try.c -o try \
			$(pkg-config --libs libsom)
		./try
		gcc -Wall -Werror try.c -o try-static -l:libsom.a
		./try-static'
}

has_files()
{
	local file
	for file in usr/bin/somctl lib/udev/rules.d/60-som.rules \
		lib/systemd/system/som-pool.service usr/include/linux/som.h \
		"usr/src/som-$version/dkms.conf"; do
		[ -e "$tree/$file" ] || { echo "no $file"; return 1; }
	done
	in_tree systemd-analyze verify --man=no som-pool.service || return
	grep -q '^som:' "$tree/etc/group"
}

pages_read()
{
	local page
	for page in 1/somctl.1 3/libsom.3 4/som.4; do
		in_tree mandoc -T utf8 "/usr/share/man/man$page.gz" |
			grep "[a-z]" >/dev/null || { echo "no $page"; return 1; }
	done
}

purge_all()
{
	apt_in_tree purge som-dkms som-tools libsom0 libsom-dev || return
	rm -r "$tree/root/debs" "$tree"/tmp/try*
	# Remove files that DKMS leaves for every module.
	in_tree sh -c "depmod $kernel; rmdir --ignore-fail-on-non-empty \
		/lib/modules/$kernel/updates/dkms /lib/modules/$kernel/updates \
		/var/lib/dkms/som 2>/dev/null || true"
}

step 'a bookworm tree with a kernel for modules' make_tree
kernel=$(cat "$tree/tmp/kernel")
in_tree depmod "$kernel"
files >"$tree/tmp/before"
step 'the packages install' install_all
step 'what they bring is there' has_files
step 'manual pages' pages_read
step "DKMS has built and installed the module for $kernel" dkms_has_built
step 'a program compiles, links and runs with the library' program_links
step 'the packages go' purge_all
step 'nothing is left' same_files
say "$passed passed"
