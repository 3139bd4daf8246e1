#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# qemu-test.sh: run a command, or som's tests, in a virtual machine with 1 GiB
# huge pages and som.ko loaded. See usage below, and
# Documentation/dev-tools/som-testing.rst.
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
# shellcheck source=lib/module.sh
. "$SOM_ROOT/scripts/lib/module.sh"
# shellcheck source=lib/guest.sh
. "$SOM_ROOT/scripts/lib/guest.sh"
# shellcheck source=lib/programs.sh
. "$SOM_ROOT/scripts/lib/programs.sh"
# shellcheck source=lib/tests.sh
. "$SOM_ROOT/scripts/lib/tests.sh"

usage()
{
	cat <<-'END'
	usage: qemu-test.sh exec [OPTION]... -- COMMAND [ARG]...
	       qemu-test.sh list
	       qemu-test.sh run [--kernel K]... [NAME]...
	       qemu-test.sh prepare [KERNEL]...
	       qemu-test.sh                    (all tests on all kernels)

	exec boots a kernel, loads som.ko, runs COMMAND and exits with its status.
	COMMAND is a program of this machine, given by its path, or a command of
	the guest's busybox. Its stdout and stderr come through unchanged.

	  --kernel K            generic (default), cloud, debug, or the path of a
	                        kernel build directory or of a kernel image
	  --chunks N            1 GiB chunks for som (default 1)
	  --spare N             additional 1 GiB pages (default 1)
	  --mem SIZE            the guest's memory (default: the pages and 2 or 3 GiB)
	  --smp N               processors (default 2)
	  --nodes N             NUMA nodes (default 1)
	  --icount              count instructions: the time stamp counter ticks
	                        once for each
	  --append STR          add to the kernel's command line
	  --pages-stay          COMMAND may leave HugeTLB pages reserved
	  --no-module           do not load som.ko; it is at $SOM_KO
	  --module-params STR   more parameters for som.ko
	  --modules DIR         take som.ko from DIR instead of building it
	  --add FILE[:PATH]     put a file or directory into the guest, with the
	                        libraries its programs need
	  --programs            put real programs and allocators into the guest; only
	                        few on kernels other than generic
	  --timeout S           seconds until the guest counts as hung (300)
	  --console FILE        write the guest's console output to FILE
	  --pidfile FILE        write QEMU's process id to FILE

	Exit status other than COMMAND's own: 97 the guest or the module could not
	be set up, 98 the guest hung or died, 99 the kernel reported a problem or
	something was left behind.
	END
}

# prepare_kernel KERNEL: sets G_IMAGE and G_KDIR.
prepare_kernel()
{
	local dir=$SOM_CACHE/kernels/$1
	case $1 in
	generic | cloud)
		if [ ! -e "$dir/image" ] || [ ! -e "$dir/brd.ko" ] ||
		   [ /var/lib/apt/lists -nt "$dir/checked" ]; then
			"$SOM_ROOT/scripts/kernel/debian.sh" "$1"
		fi
		;;
	debug)
		"$SOM_ROOT/scripts/kernel/debug.sh"
		;;
	*)
		if [ -e "$1/arch/x86/boot/bzImage" ]; then
			dir=$(realpath "$1")
			G_IMAGE=$dir/arch/x86/boot/bzImage
			G_KDIR=$dir
			return
		fi
		[ -f "$1" ] || die "--kernel $1: no such kernel"
		G_IMAGE=$(realpath "$1")
		G_KDIR=${G_IMAGE%/arch/x86/boot/bzImage}
		[ "$G_KDIR" != "$G_IMAGE" ] || G_KDIR=
		return
		;;
	esac
	G_IMAGE=$(readlink -f "$dir/image")
	G_KDIR=$(readlink -f "$dir/kdir")
}

# prepare_module KERNEL DEST: build the modules, and copy them to DEST.
prepare_module()
{
	[ -n "$G_KDIR" ] || die "som.ko cannot be built for $1, which is not" \
				"in its build directory: use --no-module"
	[ -d "$SOM_ROOT/drivers/som" ] || die "drivers/som does not exist"
	build_module "$1" "$G_KDIR" "$2" || die "som.ko does not build for $1"
}

# default_mem INITRAMFS: print the memory of the guest in MiB. Huge pages are whole,
# aligned GiB; memory that the kernel allocates before it reserves them needs additional
# room. The initramfs exists twice while it is unpacked.
default_mem()
{
	local more=3
	[ "$G_PAGES" = boot ] || more=2
	printf '%sM' "$(((G_HUGEPAGES + more) * 1024 +
		$(stat -c %s "$1") * 4 / 1048576))"
}

# more_mem MEM GIB: print MEM, in MiB or GiB, plus GIB.
more_mem()
{
	case $1 in
	*G) printf '%sG' "$((${1%G} + $2))" ;;
	*) printf '%sM' "$((${1%M} + $2 * 1024))" ;;
	esac
}

# source_ranges KERNEL CHUNKS: print how many GiB to withhold from the kernel for the
# source in SOM_SOURCE. The debug kernel cannot use them.
source_ranges()
{
	case ${SOM_SOURCE:-hugetlb_1g}$1 in
	hugetlb_1g* | *debug) echo 0 ;;
	range*) echo "$2" ;;
	*) die "SOM_SOURCE=$SOM_SOURCE: no such source" ;;
	esac
}

# stop_guest: stop all processes of a run.
stop_guest()
{
	trap - EXIT
	local pids
	mapfile -t pids < <(jobs -p)
	[ "${#pids[@]}" -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	rm -rf "$work"
}

do_exec()
{
	local kernel=generic chunks=1 spare=1 mem='' module=1 params='' adds=()
	local console='' file rc=0 readers=() modules='' pages_stay=0 programs='' ranges
	G_SMP=2 G_NODES=1 G_ICOUNT=0 G_APPEND='' G_TIMEOUT=300 G_PIDFILE=''
	DIE_STATUS=$GUEST_SETUP
	while [ $# -gt 0 ]; do
		case $1 in
		--kernel) kernel=$2; shift 2 ;;
		--chunks) chunks=$2; shift 2 ;;
		--spare) spare=$2; shift 2 ;;
		--mem) mem=$2; shift 2 ;;
		--smp) G_SMP=$2; shift 2 ;;
		--nodes) G_NODES=$2; shift 2 ;;
		--icount) G_ICOUNT=1; shift ;;
		--append) G_APPEND+=" $2"; shift 2 ;;
		--pages-stay) pages_stay=1; shift ;;
		--no-module) module=0; shift ;;
		--module-params) params=$2; shift 2 ;;
		--add) adds+=("$2"); shift 2 ;;
		--programs)
			# Tests that need them will report it.
			if with_lock programs have_programs; then
				programs=1
			else
				say "the programs for guests are not available"
			fi
			shift
			;;
		--timeout) G_TIMEOUT=$2; shift 2 ;;
		--modules) modules=$2; shift 2 ;;
		--console) console=$2; shift 2 ;;
		--pidfile) G_PIDFILE=$2; shift 2 ;;
		--) shift; break ;;
		-*) usage >&2; die "exec: unknown option $1" ;;
		*) break ;;
		esac
	done
	[ $# -gt 0 ] || { usage >&2; die "exec: no command"; }
	have_all qemu-system-x86_64 busybox cpio rsync make gcc ||
		die "run scripts/install-deps.sh first"

	prepare_kernel "$kernel"
	work=$(mktemp -d "${TMPDIR:-/tmp}/som-guest.XXXXXX")
	trap stop_guest EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	mkdir -p "$work/tree/som"
	if [ -n "$modules" ]; then
		cp "$modules"/*.ko "$work/tree/som/"
	elif [ "$module" = 1 ] ||
	     { [ -n "$G_KDIR" ] && [ -d "$SOM_ROOT/drivers/som" ]; }; then
		prepare_module "$kernel" "$work/tree/som"
	fi
	case $programs$kernel in
	1generic) adds+=("$PROGRAMS_TREE:/") ;;
	1*) adds+=("$PROGRAMS_FEW:/") ;;
	esac
	for file in "$SOM_CACHE/kernels/$kernel"/{brd,mce-inject}.ko; do
		[ ! -e "$file" ] || cp "$file" "$work/tree/som/"
	done
	for file in "${adds[@]}"; do
		add "$work/tree" "$file"
	done
	write_command "$work/tree" "$@"
	G_HUGEPAGES=$((chunks + spare)) G_PAGES=boot G_LEVELS=4
	ranges=$(source_ranges "$kernel" "$chunks")
	# QEMU places this memory from 4 GiB on.
	if [ "$ranges" -gt 0 ]; then
		G_APPEND+=" memmap=${ranges}G\$0x100000000"
		params+=" ranges=${ranges}G@0x100000000"
	fi
	# Emulation is faster with four levels of page tables. One kernel, and guests that
	# count instructions, have five.
	[ "$kernel" != cloud ] && [ "$G_ICOUNT" = 0 ] || G_LEVELS=5
	if [ "$kernel" = debug ]; then
		# The validation of x86's page table helpers does not test som.
		G_APPEND+=" initcall_blacklist=debug_vm_pgtable"
		# kmemleak would scan every word of pages reserved at boot. KASAN's
		# shadow then leaves a small node without a whole GiB. Reserving pages
		# later takes seconds.
		case "$G_NODES $G_APPEND " in
		'1 '*' kmemleak=off '*) ;;
		*) G_PAGES=cma ;;
		esac
	fi
	{
		printf 'SOM_KERNEL=%s\n' "$(quote "$kernel")"
		printf 'SOM_CHUNKS=%s\nSOM_HUGEPAGES=%s\nSOM_MODULE=%s\n' \
			"$chunks" "$G_HUGEPAGES" "$module"
		printf 'SOM_MODULE_PARAMS=%s\n' "$(quote "$params")"
		printf 'SOM_PAGES_STAY=%s\n' "$pages_stay"
	} >"$work/tree/som/config"
	{
		cat "$(base_archive)"
		pack "$work/tree"
	} >"$work/initramfs"
	rm -rf "$work/tree"
	G_MEM=$(more_mem "${mem:-$(default_mem "$work/initramfs")}" "$ranges")

	mkfifo "$work/stdout" "$work/stderr"
	cat "$work/stdout" & readers+=($!)
	cat "$work/stderr" >&2 & readers+=($!)
	# Both readers run until QEMU has exited, even if it never opens its end.
	exec 8<>"$work/stdout" 9<>"$work/stderr"
	boot_guest "$work" 8>&- 9>&- || rc=$?
	if died_booting "$work" "$rc"; then
		say "the guest died before som.ko was loaded; starting it once more"
		rc=0
		boot_guest "$work" 8>&- 9>&- || rc=$?
	fi
	exec 8>&- 9>&-
	wait "${readers[@]}" || true
	[ -z "$console" ] || tr -d '\r' <"$work/console" >"$console"
	verdict "$work" "$rc" || exit $?
	exit 0
}

# do_run [--kernel K]... [NAME]...
do_run()
{
	local kernels=()
	while [ "${1:-}" = --kernel ]; do
		kernels+=("$2")
		shift 2
	done
	if [ "${#kernels[@]}" -eq 0 ]; then
		kernels=(generic cloud debug)
	elif [ $# -gt 0 ]; then
		# shellcheck disable=SC2034 # for runs_on
		TESTS_NAMED=1
	fi
	run_tests "${kernels[*]}" "$*"
}

do_prepare()
{
	local kernel
	[ $# -gt 0 ] || set -- generic cloud debug
	for kernel; do
		prepare_kernel "$kernel"
		say "$kernel: $G_IMAGE"
	done
	with_lock programs have_programs
}

case ${1:-run} in
exec)
	shift
	do_exec "$@"
	;;
list)
	list_tests
	;;
run)
	shift $(($# > 0))
	do_run "$@"
	;;
prepare)
	shift
	do_prepare "$@"
	;;
help | -h | --help)
	usage
	;;
*)
	usage >&2
	die "unknown command $1"
	;;
esac
