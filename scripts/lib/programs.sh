# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Real programs and allocators of Debian for guests: a tree that is added to the root of a
# guest (the word "programs" of SOM-TEST), and a larger one with servers and
# runtimes ("make matrix"). Packages are unpacked into the cache and not installed: no
# service is started on this machine. Python, perl, gcc and sort are this machine's own.
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
# A smaller tree, for kernels that are slow to unpack it.
# shellcheck disable=SC2034 # for those who source this
PROGRAMS_FEW=$PROGRAMS_DIR/few
# Parts of Python's library that no guest uses.
PROGRAMS_NO_PYTHON='^(test|idlelib|lib2to3|tkinter|ensurepip|distutils|unittest'
PROGRAMS_NO_PYTHON+='|pydoc_data|config-.*|asyncio|dist-packages|curses|dbm|xml'
PROGRAMS_NO_PYTHON+='|sqlite3|turtledemo|wsgiref|email|http|urllib|venv|ctypes)$'

# Additional servers and runtimes.
MATRIX_DIR=$SOM_CACHE/matrix
MATRIX_TREE=$MATRIX_DIR/tree
MATRIX_PACKAGES=(
	mariadb-server-core mariadb-client-core postgresql-15 postgresql-client-15
	openjdk-17-jre-headless libruby3.1 ruby3.1 php8.2-cli luajit nginx
)
# This machine may have another nodejs, without these packages.
MATRIX_NODE=(libnode108 libc-ares2 libuv1 node-acorn node-cjs-module-lexer node-undici)
MATRIX_JAVA=usr/lib/jvm/java-17-openjdk-amd64

# program_version PACKAGE...: print the contents of a tree, with versions.
program_version()
{
	local package
	for package; do
		printf '%s %s\n' "$package" "$(package_version "$package")"
	done
	gcc-12 --version | head -n 1
	/usr/bin/python3 --version
	perl -e 'print "perl $]\n"'
	sha256sum <"$SOM_ROOT/scripts/lib/programs.sh"
}

# needed_packages PACKAGE...: list the packages and those of their dependencies that this
# machine lacks, without packages that would only be upgraded.
needed_packages()
{
	{
		printf '%s\n' "$@"
		apt-get -s "${apt_options[@]}" -o APT::Install-Recommends=0 \
			install "$@" |
			sed -n 's/^Inst \([^ :]*\)[^ ]* (.*/\1/p'
	} | sort -u
}

# unpack_programs TREE PACKAGE...: unpack the packages, with the directories of guests.
unpack_programs()
{
	local tree=$1 package
	shift
	for package; do
		rm -rf "$SOM_CACHE/packages/$package"
		unpack_package "$package" "$tree" './*' || return 1
	done
	# The guest's /lib and the like are links.
	for package in lib bin sbin; do
		[ ! -d "$tree/$package" ] || {
			mkdir -p "$tree/usr/$package"
			cp -a "$tree/$package/." "$tree/usr/$package/"
			rm -rf "${tree:?}/$package"
		}
	done
	rm -rf "${tree:?}"/{var,.have-*,usr/include,usr/lib/systemd,usr/lib/tmpfiles.d}
}

# copy_host DIR PATH...: copy files and directories of this machine to the same paths.
copy_host()
{
	local path dir=$1
	shift
	for path; do
		mkdir -p "$dir$(dirname "$path")"
		cp -aL --no-preserve=ownership "$path" "$dir$path" || return 1
	done
}

# copy_python DIR: copy the interpreter and most of its library.
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

# copy_gcc DIR: copy the programs that compile C to an object.
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
	list=$(needed_packages "${PROGRAMS_PACKAGES[@]}") || return 1
	# shellcheck disable=SC2086 # words
	unpack_programs "$dir/tree" $list || return 1
	rm -rf "$dir/tree"/{usr/share,etc} \
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
	program_version "${PROGRAMS_PACKAGES[@]}" >"$dir/version"
	rm -rf "$PROGRAMS_DIR"
	mv "$dir" "$PROGRAMS_DIR"
}

# make_java TREE: compile the program of som_matrix.sh, and make the archive with which
# the virtual machine starts faster.
make_java()
{
	local home=$1/$MATRIX_JAVA file
	# Links to a directory that may not exist on this machine.
	find "$home" -type l | while read -r file; do
		case $(readlink "$file") in
		/etc/java*)
			cp -a --remove-destination "$1$(readlink "$file")" "$file"
			;;
		esac
	done
	LD_LIBRARY_PATH=$1/usr/lib/x86_64-linux-gnu "$home/bin/java" \
		-m jdk.compiler/com.sun.tools.javac.Main -d "$1/usr/lib/som-matrix" \
		"$SOM_ROOT/tools/testing/selftests/som/matrix/Matrix.java" &&
		"$home/bin/java" -Xshare:dump >/dev/null 2>&1 || return 1
	rm -rf "$home"/lib/{ct.sym,libawt*,libfontmanager.so,liblcms.so,libmlib*}
}

# make_ext4 DIR: copy the modules of ext4 of the generic kernel, on which O_DIRECT pins
# memory, and of its dependencies.
make_ext4()
{
	local release file dir=$1.kernel
	release=$(basename "$(readlink -f "$SOM_CACHE/kernels/generic/image")")
	release=${release#vmlinuz-}
	unpack_package "linux-image-$release" "$dir" '*/fs/ext4/ext4.ko*' \
		'*/fs/jbd2/jbd2.ko*' '*/fs/mbcache.ko*' '*/lib/crc16.ko*' \
		'*/crypto/crc32c_generic.ko*' || return 1
	mkdir -p "$1"
	while read -r file; do
		case $file in
		*.xz) xz -dc "$file" >"$1/$(basename "$file" .xz)" ;;
		*) cp "$file" "$1/" ;;
		esac
	done < <(find "$dir" -name '*.ko*')
	rm -rf "$dir"
}

# make_matrix: make the larger tree, without files that need LLVM, and without
# documentation.
make_matrix()
{
	local list dir=$MATRIX_DIR.new share
	rm -rf "$dir"
	mkdir -p "$dir/tree/usr/bin"
	list=$(needed_packages "${MATRIX_PACKAGES[@]}" |
		grep -vE '^(ruby-|ruby$|rake$|.*-dev$)') || return 1
	# shellcheck disable=SC2086 # words
	unpack_programs "$dir/tree" $list "${MATRIX_NODE[@]}" \
		"nodejs=$(package_version libnode108)" || return 1
	share=$dir/tree/usr/share
	find "$share" -mindepth 1 -maxdepth 1 ! -name mysql ! -name postgresql \
		! -name nodejs -exec rm -rf {} +
	find "$share/mysql" -mindepth 1 -maxdepth 1 ! -name english -exec rm -rf {} +
	rm -rf "$dir/tree"/usr/lib/postgresql/*/lib/{bitcode,pgxs,llvmjit*} \
		"$dir/tree"/usr/lib/debug
	make_java "$dir/tree" && make_ext4 "$dir/tree/usr/lib/som-matrix" || return 1
	rm -rf "$dir/tree/etc"
	program_version "${MATRIX_PACKAGES[@]}" "${MATRIX_NODE[@]}" >"$dir/version"
	rm -rf "$MATRIX_DIR"
	mv "$dir" "$MATRIX_DIR"
}

# have_programs: make the trees if needed.
have_programs()
{
	[ "$(program_version "${PROGRAMS_PACKAGES[@]}")" != \
	  "$(cat "$PROGRAMS_DIR/version" 2>/dev/null)" ] || return 0
	say "fetching programs for guests"
	make_programs || { use_own_lists && make_programs; } ||
		[ -e "$PROGRAMS_TREE" ]
}

# have_matrix: make the tree of servers and runtimes if needed.
have_matrix()
{
	[ "$(program_version "${MATRIX_PACKAGES[@]}" "${MATRIX_NODE[@]}")" != \
	  "$(cat "$MATRIX_DIR/version" 2>/dev/null)" ] || return 0
	say "fetching servers and runtimes for guests"
	make_matrix || { use_own_lists && make_matrix; } || [ -e "$MATRIX_TREE" ]
}
