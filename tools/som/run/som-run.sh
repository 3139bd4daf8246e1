#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# som-run: run a program with the memory of its allocator on /dev/som. It only sets the
# environment for libsom_preload.so and the allocator, and executes the program. make
# inserts the version and the directory of libraries.

version=@version@
libdir=@libdir@
device=${SOM_PRELOAD_DEVICE:-/dev/som}

usage()
{
	cat <<-END
	usage: som-run [OPTION]... [--] PROGRAM [ARG]...

	Run PROGRAM with its large anonymous mappings on /dev/som.

	  --allocator NAME  jemalloc, mimalloc, tcmalloc: preload that allocator;
	                    glibc, none: preload none (default: the first one that
	                    is installed)
	  --min SIZE        smallest mapping to put on som (default 2M, or 1M
	                    with tcmalloc)
	  --max SIZE        largest mapping to put on som (default: no limit)
	  --fork POLICY     what a child inherits: copy (default), noreserve, none
	  --verbose         print what is preloaded, and when ordinary memory is used
	  --help, --version

	SIZE has a suffix K, M, G or T. Exit status: the program's; 125 if som-run
	itself fails, 126 if PROGRAM cannot be run, 127 if it does not exist.
	END
}

fail()
{
	printf 'som-run: %s\n' "$*" >&2
	exit 125
}

wrong()
{
	printf 'som-run: %s\nTry som-run --help.\n' "$*" >&2
	exit 125
}

say()
{
	[ -z "$verbose" ] || printf 'som-run: %s\n' "$*" >&2
}

# check_size WHENCE SIZE: refuse a size that the library would not accept.
check_size()
{
	digits=${2%[KMGTkmgt]}
	case $digits in
	'' | *[!0-9]*) wrong "$1: '$2' is not a size" ;;
	esac
	while [ "${digits#0?}" != "$digits" ]; do
		digits=${digits#0}
	done
	case $2 in
	*[Tt]) most=6 ;;
	*[Gg]) most=9 ;;
	*[Mm]) most=12 ;;
	*[Kk]) most=15 ;;
	*) most=18 ;;
	esac
	[ "${#digits}" -le "$most" ] || wrong "$1: '$2' is more than there is"
}

check_fork()
{
	case $2 in
	copy | noreserve | none) ;;
	*) wrong "$1: '$2' is none of copy, noreserve, none" ;;
	esac
}

# check_device: print why the program will use ordinary memory, if so.
check_device()
{
	why=
	if [ ! -e "$device" ]; then
		why="there is no $device (modprobe som)"
	elif [ ! -c "$device" ]; then
		why="$device is not a device"
	elif ! (: <>"$device") 2>/dev/null; then
		why="$device cannot be opened by user $(id -u)"
	fi
	[ -z "$why" ] || printf 'som-run: %s: ordinary memory is used\n' "$why" >&2
}

# find_library NAME...: set found to the first existing library.
find_library()
{
	found=
	for name; do
		for dir in "$libdir" /usr/local/lib "/usr/lib/$(uname -m)-linux-gnu" \
				/usr/lib64 /usr/lib; do
			if [ -e "$dir/$name" ]; then
				found=$dir/$name
				return 0
			fi
		done
	done
	return 1
}

# find_allocator NAME: set found to the library of an allocator.
find_allocator()
{
	case $1 in
	jemalloc) find_library libjemalloc.so.2 ;;
	mimalloc) find_library libmimalloc.so.2 libmimalloc.so.2.0 \
		libmimalloc.so.3 libmimalloc.so ;;
	tcmalloc) find_library libtcmalloc_minimal.so.4 libtcmalloc.so.4 ;;
	esac
}

# find_sanitizer FILE: set sanitizer to the sanitizer of a program, if any.
find_sanitizer()
{
	sanitizer=
	grep -qE '__(asan|tsan|msan|hwasan|lsan)_init' "$1" 2>/dev/null || return 0
	for sanitizer in AddressSanitizer:asan ThreadSanitizer:tsan \
			MemorySanitizer:msan HWAddressSanitizer:hwasan \
			LeakSanitizer:lsan; do
		! grep -q "__${sanitizer#*:}_init" "$1" || break
	done
	sanitizer=${sanitizer%:*}
}

# is_static FILE: a program of its own that no loader runs for (no PT_INTERP, 3, among the
# program headers of an ELF file of 64 bits).
is_static()
{
	[ "$(od -An -c -N5 "$1" 2>/dev/null | tr -d ' \n')" = '177ELF002' ] || return 1
	# shellcheck disable=SC2046 # numbers
	set -- "$1" $(od -An -v -td8 -j32 -N8 "$1") $(od -An -v -td2 -j54 -N4 "$1")
	[ $# = 4 ] || return 1
	! od -An -v -td4 "-w$3" -j"$2" -N$(($3 * $4)) "$1" |
		grep -qE '^ *3 '
}

allocator='' min='' max='' fork='' verbose=''
while [ $# -gt 0 ]; do
	value='' more=1
	case $1 in
	--*=*)
		value=${1#*=}
		option=${1%%=*}
		;;
	--allocator | --min | --max | --fork)
		[ $# -gt 1 ] || wrong "$1 needs a value"
		option=$1 value=$2 more=2
		;;
	--)
		shift
		break
		;;
	-*)
		option=$1
		;;
	*)
		break
		;;
	esac
	case $option in
	--allocator) allocator=$value ;;
	--min) check_size --min "$value"; min=$value ;;
	--max) check_size --max "$value"; max=$value ;;
	--fork) check_fork --fork "$value"; fork=$value ;;
	--verbose | --help | --version)
		case $1 in
		*=*) wrong "$option has no value" ;;
		esac
		;;
	*) wrong "unknown option $option" ;;
	esac
	case $option in
	--verbose) verbose=1 ;;
	--help) usage; exit 0 ;;
	--version) printf 'som-run %s\n' "$version"; exit 0 ;;
	esac
	shift "$more"
done
[ $# -gt 0 ] || wrong 'no program'
# The library would silently use a default instead.
[ -z "$SOM_PRELOAD_MIN" ] || check_size SOM_PRELOAD_MIN "$SOM_PRELOAD_MIN"
[ -z "$SOM_PRELOAD_MAX" ] || check_size SOM_PRELOAD_MAX "$SOM_PRELOAD_MAX"
[ -z "$SOM_PRELOAD_FORK" ] || check_fork SOM_PRELOAD_FORK "$SOM_PRELOAD_FORK"
# The program may execute others in another directory.
case $device in
/*) ;;
*)
	device=$PWD/$device
	export SOM_PRELOAD_DEVICE="$device"
	;;
esac

# Both are in the same directory if they were just built.
shim=$(dirname -- "$0")/libsom_preload.so
[ -e "$shim" ] || shim=$libdir/som/libsom_preload.so
[ -e "$shim" ] || fail "libsom_preload.so is not in $libdir/som"
case $shim in
/*) ;;
*) shim=$PWD/$shim ;;
esac

command -v -- "$1" >/dev/null || {
	printf 'som-run: %s: there is no such program\n' "$1" >&2
	exit 127
}
file=$(command -v -- "$1")
sanitizer=
[ ! -f "$file" ] || find_sanitizer "$file"
if [ -n "$sanitizer" ]; then
	printf 'som-run: %s is built with %s, which has an allocator of its own: %s\n' \
		"$file" "$sanitizer" \
		"only what the program maps itself goes to som" >&2
	allocator=none
	# It would refuse to run after another library.
	[ "$sanitizer" != AddressSanitizer ] ||
		export ASAN_OPTIONS="verify_asan_link_order=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
fi

found=
case $allocator in
'')
	allocator=glibc
	for name in jemalloc mimalloc tcmalloc; do
		if find_allocator "$name"; then
			allocator=$name
			break
		fi
	done
	;;
jemalloc | mimalloc | tcmalloc)
	find_allocator "$allocator" || fail "$allocator is not installed" \
		"(libjemalloc2, libmimalloc2.0, libtcmalloc-minimal4)"
	;;
glibc | none) ;;
*) wrong "--allocator: '$allocator' is none of jemalloc, mimalloc, tcmalloc," \
	"glibc, none" ;;
esac
case $shim$found in
*[:\ ]*) fail "'$shim', '$found': no space or colon can be in LD_PRELOAD" ;;
esac

say "$shim${found:+, $found}"
case $allocator in
glibc) say "glibc's malloc stays on ordinary memory: only what the program" \
	"maps itself goes to som" ;;
# Otherwise tcmalloc uses brk(2).
tcmalloc)
	export TCMALLOC_SKIP_SBRK="${TCMALLOC_SKIP_SBRK:-1}"
	# tcmalloc maps a little more than 1 MiB at a time.
	min=${min:-${SOM_PRELOAD_MIN:-1M}}
	;;
esac
check_device

[ -z "$min" ] || export SOM_PRELOAD_MIN="$min"
[ -z "$max" ] || export SOM_PRELOAD_MAX="$max"
[ -z "$fork" ] || export SOM_PRELOAD_FORK="$fork"
[ -z "$verbose" ] || export SOM_PRELOAD_VERBOSE=1

if [ -f "$file" ] && { [ -u "$file" ] || [ -g "$file" ]; }; then
	printf 'som-run: %s is set-user-ID or set-group-ID: %s\n' "$file" \
		"ordinary memory is used" >&2
fi
if [ -n "$verbose" ] && [ -f "$file" ] && is_static "$file"; then
	say "$file is linked statically: ordinary memory is used by it, though not" \
		"by what it runs"
fi
export LD_PRELOAD="$shim${found:+:$found}${LD_PRELOAD:+:$LD_PRELOAD}"
exec "$@"
