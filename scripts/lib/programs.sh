# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Real programs and allocators for guests, as Debian ships them: a tree that a guest
# gets at its root (the word "programs" of SOM-TEST). Packages are unpacked into the
# cache and not installed: no service is started on this machine. Python, perl, gcc
# and sort are this machine's own.
#
# Needs lib/common.sh.

# shellcheck source=../kernel/apt.sh
. "$SOM_ROOT/scripts/kernel/apt.sh"

PROGRAMS_DIR=$SOM_CACHE/programs
PROGRAMS_PACKAGES=(
	libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4
	redis-tools memcached sqlite3 stress-ng
)
PROGRAMS_TREE=$PROGRAMS_DIR/tree
# The same with little in it, for kernels that are slow to unpack it.
# shellcheck disable=SC2034 # for those who source this
PROGRAMS_FEW=$PROGRAMS_DIR/few
# Parts of Python's library that no guest uses.
PROGRAMS_NO_PYTHON='^(test|idlelib|lib2to3|tkinter|ensurepip|distutils|unittest'
PROGRAMS_NO_PYTHON+='|pydoc_data|config-.*|asyncio|dist-packages|curses|dbm|xml'
PROGRAMS_NO_PYTHON+='|sqlite3|turtledemo|wsgiref|email|http|urllib|venv|ctypes)$'

# program_version: what the tree is made of.
program_version()
{
	local package
	for package in "${PROGRAMS_PACKAGES[@]}"; do
		printf '%s %s\n' "$package" "$(package_version "$package")"
	done
	gcc-12 --version | head -n 1
	/usr/bin/python3 --version
	perl -e 'print "perl $]\n"'
	sha256sum <"$SOM_ROOT/scripts/lib/programs.sh"
}

# needed_packages: those and what they depend on and this machine lacks.
needed_packages()
{
	{
		printf '%s\n' "${PROGRAMS_PACKAGES[@]}"
		apt-get -s "${apt_options[@]}" -o APT::Install-Recommends=0 \
			install "${PROGRAMS_PACKAGES[@]}" |
			sed -n 's/^Inst \([^ :]*\).*/\1/p'
	} | sort -u
}

# copy_host DIR PATH...: files and directories of this machine's, at their places.
copy_host()
{
	local path dir=$1
	shift
	for path; do
		mkdir -p "$dir$(dirname "$path")"
		cp -aL --no-preserve=ownership "$path" "$dir$path" || return 1
	done
}

# copy_python DIR: the interpreter and most of its library.
copy_python()
{
	local exe lib name
	exe=$(readlink -f /usr/bin/python3)
	lib=/usr/lib/${exe##*/}
	copy_host "$1" "$exe" || return 1
	ln -sf "${exe##*/}" "$1/usr/bin/python3"
	for name in "$lib"/*; do
		[[ ${name##*/} =~ $PROGRAMS_NO_PYTHON ]] ||
			copy_host "$1" "$name" || return 1
	done
}

# copy_gcc DIR: what compiles C to an object.
copy_gcc()
{
	local libs
	copy_host "$1" "$(readlink -f "$(type -P gcc-12)")" \
		"$(gcc-12 -print-prog-name=cc1)" \
		"$(readlink -f "$(type -P as)")" || return 1
	ln -sf "$(basename "$(readlink -f "$(type -P gcc-12)")")" \
		"$1/usr/bin/gcc"
	ln -sf "$(basename "$(readlink -f "$(type -P as)")")" "$1/usr/bin/as"
	libs=$(gcc-12 -print-file-name=liblto_plugin.so)
	[ ! -e "$libs" ] || copy_host "$1" "$libs"
}

make_few()
{
	local name
	mkdir -p "$1/few/usr/bin"
	cp -a "$1/tree/usr/lib" "$1/few/usr/" || return 1
	for name in perl sort redis-cli redis-server redis-check-rdb; do
		cp -a "$1/tree/usr/bin/$name" "$1/few/usr/bin/" || return 1
	done
	rm -rf "$1"/few/usr/lib/{gcc,python*}
	rm -f "$1"/few/usr/lib/*/lib{IPSec_MB,Judy,sctp}.*
}

make_programs()
{
	local package list dir=$PROGRAMS_DIR.new
	rm -rf "$dir"
	mkdir -p "$dir/tree/usr/bin"
	list=$(needed_packages) || return 1
	for package in $list; do
		rm -rf "$SOM_CACHE/packages/$package"
		unpack_package "$package" "$dir/tree" './*' || return 1
	done
	# The guest's /lib and the like are links.
	for package in lib bin sbin; do
		[ ! -d "$dir/tree/$package" ] || {
			mkdir -p "$dir/tree/usr/$package"
			cp -a "$dir/tree/$package/." "$dir/tree/usr/$package/"
			rm -rf "${dir:?}/tree/$package"
		}
	done
	rm -rf "$dir/tree"/{usr/share,usr/include,usr/lib/{systemd,tmpfiles.d}} \
		"$dir/tree"/{etc,var} "$dir/tree"/.have-* \
		"$dir/tree"/usr/bin/redis-{benchmark,check-aof} \
		"$dir/tree"/usr/lib/*/libtcmalloc_minimal_debug.*
	ln -sf redis-check-rdb "$dir/tree/usr/bin/redis-server"
	copy_python "$dir/tree" && copy_gcc "$dir/tree" &&
		copy_host "$dir/tree" "$(readlink -f "$(type -P perl)")" \
			/usr/bin/sort || return 1
	for package in $(perl -e 'print "@INC"'); do
		case $package in
		*/perl-base) copy_host "$dir/tree" "$package" || return 1 ;;
		esac
	done
	make_few "$dir" || return 1
	program_version >"$dir/version"
	rm -rf "$PROGRAMS_DIR"
	mv "$dir" "$PROGRAMS_DIR"
}

# have_programs: makes the trees if need be.
have_programs()
{
	[ "$(program_version)" != "$(cat "$PROGRAMS_DIR/version" 2>/dev/null)" ] ||
		return 0
	say "fetching programs for guests"
	make_programs || { use_own_lists && make_programs; } ||
		[ -e "$PROGRAMS_TREE" ]
}
