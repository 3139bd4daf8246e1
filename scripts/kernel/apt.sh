# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Get Debian packages as files: find the newest version, and unpack it in a directory.
# Nothing is installed, and the system's apt configuration is not changed.
#
# Linux 6.12 for Debian 12 comes in the security suite. Where the system's
# sources do not name that suite (a bare debootstrap tree, say), an own copy of
# the package lists is kept in the cache, with the suite added: it lives beside
# the main archive on the same host.

# Options to use lists in the cache, after they were needed.
apt_options=(-o "APT::Sandbox::User=root")

# main_archives: print the addresses in the system's sources for this release.
main_archives()
{
	local codename=$1
	{
		cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list |
			awk -v c="$codename" '$1 == "deb" {
				i = 2
				if ($i ~ /^\[/) {
					while ($i !~ /\]$/ && i < NF)
						i++
					i++
				}
				if ($(i + 1) == c)
					print $i
			}'
		cat /etc/apt/sources.list.d/*.sources |
			awk -v c="$codename" '
				/^URIs:/ { uris = substr($0, 6) }
				/^Suites:/ {
					hit = 0
					for (i = 2; i <= NF; i++)
						hit = hit || $i == c
				}
				/^[ \t]*$/ { if (hit) print uris; hit = 0 }
				END { if (hit) print uris }'
	} 2>/dev/null | tr -s ' ' '\n' | sed '/^$/d; s|/*$||' | sort -u
}

# use_own_lists: use lists in the cache; fetch them if they are older than a day.
use_own_lists()
{
	local dir=$SOM_CACHE/apt codename uri file
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
	mkdir -p "$dir/sources" "$dir/lists/partial" "$dir/archives/partial"
	apt_options+=(
		-o "Dir::Etc::SourceList=/dev/null"
		-o "Dir::Etc::SourceParts=$dir/sources"
		-o "Dir::State::Lists=$dir/lists"
		-o "Dir::Cache=$dir"
	)
	[ -z "$(find "$dir/updated" -mmin -1440 2>/dev/null)" ] || return 0
	rm -f "$dir/sources"/*
	for file in /etc/apt/sources.list.d/*.list \
			/etc/apt/sources.list.d/*.sources; do
		[ ! -e "$file" ] || ln -s "$file" "$dir/sources/"
	done
	[ ! -e /etc/apt/sources.list ] ||
		ln -s /etc/apt/sources.list "$dir/sources/system.list"
	for uri in $(main_archives "$codename"); do
		printf 'deb %s-security %s-security main\n' "$uri" "$codename"
	done >"$dir/sources/som-security.list"
	say "fetching package lists with the security suite"
	apt-get -qq "${apt_options[@]}" update >&2 || return 1
	touch "$dir/updated"
}

# know_package PACKAGE: make PACKAGE known to apt, with lists in the cache if needed.
know_package()
{
	[ -z "$(package_version "$1")" ] || return 0
	use_own_lists || return 1
	[ -n "$(package_version "$1")" ]
}

# package_version PACKAGE: print the version that apt would download.
package_version()
{
	apt-cache "${apt_options[@]}" policy "$1" 2>/dev/null |
		sed -n 's/^  Candidate: //p' | grep -v '(none)' || true
}

# newest_dependency PACKAGE PREFIX: print the dependency of the newest PACKAGE that starts
# with PREFIX. It resolves a meta package to the real one.
newest_dependency()
{
	apt-cache "${apt_options[@]}" show --no-all-versions "$1" 2>/dev/null |
		sed -n 's/^Depends: //p' | head -n 1 | tr ',|' '\n' |
		sed -n "s/^ *\($2[^ ]*\).*/\1/p" | head -n 1
}

# download_package PACKAGE: download a package, and print its file name.
download_package()
{
	local dir=$SOM_CACHE/packages/$1
	if ! compgen -G "$dir/*.deb" >/dev/null; then
		say "downloading $1"
		rm -rf "$dir.new"
		mkdir -p "$dir.new"
		(cd "$dir.new" && apt-get -qq "${apt_options[@]}" \
			download "$1") >&2 || return 1
		mv "$dir.new" "$dir"
	fi
	compgen -G "$dir/*.deb"
}

# unpack_package PACKAGE DIR PATTERN...: unpack matching files below DIR, once, and remove
# the package file.
unpack_package()
{
	local package=$1 dir=$2 deb
	shift 2
	[ ! -e "$dir/.have-$package" ] || return 0
	deb=$(download_package "$package") || return 1
	mkdir -p "$dir"
	dpkg-deb --fsys-tarfile "$deb" |
		tar -x --no-same-owner -C "$dir" --wildcards "$@" || return 1
	touch "$dir/.have-$package"
	rm -rf "$SOM_CACHE/packages/$package"
}
