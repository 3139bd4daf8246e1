#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# make-series.sh [check]: write som as a series of patches to a 6.12 kernel tree, in the
# order in which it is reviewed, into build/series, and print their names.
#
#	check	apply the series instead, and build the objects of each patch after it;
#		print what git and the compiler complain of
#
# MAINTAINERS lists the files. drivers/som/Makefile has the layers, one patch each: a file
# uses only the files above it, so each patch compiles without the later ones. Tests of
# tools/som, which is not a part of the series, are left out.
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
# shellcheck source=lib/intree.sh
. "$SOM_ROOT/scripts/lib/intree.sh"

out=$SOM_ROOT/build/series
source=$SOM_CACHE/kernels/source
work=$(mktemp -d "${TMPDIR:-/tmp}/som-series.XXXXXX")
trap 'rm -rf "$work"' EXIT
repo=$work/repo
cd "$SOM_ROOT"

# Files of the kernel that the series changes.
changed=(MAINTAINERS drivers/Makefile drivers/Kconfig
	Documentation/{admin-guide,dev-tools,mm,userspace-api}/index.rst
	tools/testing/selftests/Makefile)

# git for the repository of the series, independent of the user's settings but the name.
series_git()
{
	git -C "$repo" -c commit.gpgSign=false -c core.hooksPath=/dev/null \
		-c core.autocrlf=false "$@"
}

# maintained FILE...: print the files that MAINTAINERS lists, without tests of tools/som.
maintained()
{
	local file pattern patterns
	mapfile -t patterns < <(sed -n 's/^F:\t//p' MAINTAINERS)
	for file; do
		case ${file#tools/testing/selftests/som/} in
		*.sh | bench/* | matrix/*) continue ;;
		som_ctl.c | som_example.c | som_lib.c) continue ;;
		som_parcel_example.c | som_wasm2c.c) continue ;;
		esac
		for pattern in "${patterns[@]}"; do
			# shellcheck disable=SC2053 # a pattern
			[[ $file != $pattern && ($pattern != */ || $file != $pattern*) ]] ||
				{ printf '%s\n' "$file"; break; }
		done
	done
}

# take FILE...: put files of this repository into the series.
take()
{
	local file
	for file; do
		mkdir -p "$repo/$(dirname "$file")"
		cp -p "$file" "$repo/$file"
		unset "left[$file]"
	done
}

# take_all PATTERN...: take the files whose names have a pattern, and which are not taken.
take_all()
{
	local file pattern
	for file in "${!left[@]}"; do
		for pattern; do
			# shellcheck disable=SC2053 # a pattern
			[[ $file != $pattern ]] || { take "$file"; break; }
		done
	done
}

# patch SUBJECT: commit what was added; the body is read from standard input.
patch()
{
	{ printf 'som: %s\n\n' "$1"; cat; } >"$work/message"
	series_git add -A
	series_git commit -q -s -F "$work/message"
}

# layers: print the names of the layers.
layers()
{
	sed -n 's/^# layer \([a-z]*\):.*/\1/p' drivers/som/Makefile
}

# layer_lines LAST: print drivers/som/Makefile up to the end of a layer.
layer_lines()
{
	awk -v last="$1" '/^# layer / { if (found) exit; found = $3 == last ":" }
		/^obj-.*KUNIT/ { exit }
		{ line[n++] = $0 }
		END { while (n && line[n - 1] == "") n--
		      for (i = 0; i < n; i++) print line[i] }' drivers/som/Makefile
}

# take_layer NAME: take the files of a layer, and the Makefile up to it.
take_layer()
{
	local name suffix
	for name in $(layer_lines "$1" |
		      sed -n -e "/^# layer $1:/,\$ { s/^# headers: //p
				s/^som-.* += //p }"); do
		for suffix in c h; do
			[ -z "${left[drivers/som/${name%.*}.$suffix]:-}" ] ||
				take "drivers/som/${name%.*}.$suffix"
		done
	done
	layer_lines "$1" >"$repo/drivers/som/Makefile"
	unset 'left[drivers/som/Makefile]'
}

# index_docs: name the documents in the kernel's indices.
index_docs()
{
	local dir before name
	while read -r dir before; do
		for name in $(cd "$repo/Documentation/$dir" && ls -- *.rst); do
			[ "$name" = index.rst ] ||
				insert_before "$repo/Documentation/$dir/index.rst" \
					"^   $before\$" "   ${name%.rst}"
		done
	done <<-END
		admin-guide svga
		dev-tools checkuapi
		mm split_page_table_lock
		userspace-api vduse
	END
}

layer_body()
{
	case $1 in
	lib) cat <<-END
		Begin with the code that depends on nothing else: compat.h with the kernel
		internals that the driver relies on, tracepoints, address ranges, the
		bitmaps of a chunk, the dirty bitmaps of a tracked unit and the rules of
		PAGEMAP_SCAN. Most of it is pure and has KUnit tests.

		Nothing is built before CONFIG_SOM exists.
		END
		;;
	pool) cat <<-END
		The pool takes chunks of 1 GiB from HugeTLB, or from a range of physical
		memory, and hands out units of 2 MiB. A unit is zeroed before it has
		another owner, in the background where possible. Units are accounted to
		owners, and limited by cgroup.
		END
		;;
	state) cat <<-END
		Keep the state of an owner: its mappings, which unit is at which address, what
		is reserved, which units are tracked for writes, and which copies are
		deferred after fork.
		END
		;;
	pt) cat <<-END
		Change page tables: make, remove and write-protect the entries of a unit,
		with the flushes that are necessary before it changes its owner.
		END
		;;
	owner) cat <<-END
		Allocate, move, collapse, punch, discard and free units and mappings, and
		hand them to another process in a parcel.
		END
		;;
	vm) cat <<-END
		Add the operations of a VMA: faults with entries of 4 KiB, 2 MiB and 1 GiB,
		fork, access by ptrace, and write tracking.
		END
		;;
	calls) cat <<-END
		Add the calls of a process: compaction, PAGEMAP_SCAN, reset of written
		pages, conversion to page-backed memory; and handle failed memory.
		END
		;;
	front) cat <<-END
		Add files, ioctls and attributes of sysfs, and the module itself, which
		registers the device last.
		END
		;;
	*) die "no text for layer $1" ;;
	esac
}

layer_subject()
{
	case $1 in
	lib) echo 'lib: Add arithmetic and compat headers' ;;
	pool) echo 'pool: Add the pool of units' ;;
	state) echo 'state: Add the state of an owner' ;;
	pt) echo 'pt: Add changes of page tables' ;;
	owner) echo 'owner: Add units and mappings of an owner' ;;
	vm) echo 'vm: Add faults and VMA operations' ;;
	calls) echo 'calls: Add compaction, scans and resets' ;;
	front) echo 'front: Add files, attributes and the module' ;;
	*) die "no text for layer $1" ;;
	esac
}

make_patches()
{
	local file layer tracked
	declare -gA left=()
	mapfile -t tracked < <(git ls-files)
	for file in $(maintained "${tracked[@]}"); do
		left[$file]=1
	done
	git init -q "$repo"
	series_git config user.name "$(git log -1 --format=%an)"
	series_git config user.email "$(git log -1 --format=%ae)"
	# The same files make the same patches.
	GIT_AUTHOR_DATE=$(git log -1 --format=%aD)
	GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
	export GIT_AUTHOR_DATE GIT_COMMITTER_DATE
	for file in "${changed[@]}"; do
		mkdir -p "$repo/$(dirname "$file")"
		cp "$source/$file" "$repo/$file"
	done
	series_git add -A
	series_git commit -q -m 'The kernel'
	series_git tag kernel

	# The entry of MAINTAINERS has its place in the alphabet.
	sed '/^[A-Z]:/!{/^$/d}' MAINTAINERS | { cat; echo; } >"$work/entry"
	awk -v entry="$work/entry" '!done && /^SI(N[H-Z]|[O-Z])/ {
			while ((getline line <entry) > 0) print line
			done = 1 }
		{ print }' "$source/MAINTAINERS" >"$repo/MAINTAINERS"
	take_all 'include/*' 'Documentation/*'
	index_docs
	patch 'Add the user-space interface and documentation' <<-END
		/dev/som gives processes memory with a single owner, in units of 2 MiB
		from HugeTLB pages of 1 GiB, without metadata for each page. Start with
		what a user sees: the calls, the attributes in sysfs, the guarantees; and
		with the design. The driver follows in layers, from the bottom up.
	END
	for layer in $(layers); do
		mkdir -p "$repo/drivers/som"
		take_layer "$layer"
		patch "$(layer_subject "$layer")" < <(layer_body "$layer")
	done

	sed '/^config SOM_KUNIT_TEST/,$d' drivers/som/Kconfig |
		sed '$ { /^$/d }' >"$repo/drivers/som/Kconfig"
	hook_kernel "$repo"
	patch 'Add CONFIG_SOM' <<-END
		All of the driver is there: let it be configured and built.
	END
	take drivers/som/Kconfig drivers/som/Makefile
	take_all 'drivers/som/tests/*'
	patch 'Add KUnit tests' <<-END
		Test the parts that need no memory management, exhaustively where that is
		possible.
	END
	take_all 'tools/testing/selftests/*'
	insert_before "$repo/tools/testing/selftests/Makefile" '^TARGETS .= sparc64$' \
		'TARGETS += som'
	patch 'selftests: Add tests of /dev/som' <<-END
		Test the calls, races, errors after failed allocations, and the behaviour
		of each system call on som memory compared with ordinary memory.
	END
	take_all 'tools/*' 'drivers/som/models/*'
	patch 'Add KUnit tests in user space, and models of protocols' <<-END
		Compile the KUnit suites as a program, with ASan and UBSan. Add Promela
		models of the protocols in which several locks are involved.
	END
	[ "${#left[@]}" = 0 ] || die "in no patch: ${!left[*]}"
	rm -rf "$out"
	mkdir -p "$out"
	series_git format-patch -q --zero-commit --no-signature -o "$out" kernel
}

# patch_files PATCH: print the files that a patch changes.
patch_files()
{
	sed -n 's|^+++ b/||p' "$1"
}

# check_patches: apply the patches one after the other to a tree of links to the kernel,
# and build what each adds. The generated headers are those of check-intree.sh, which also
# builds the same files as part of the kernel.
check_patches()
{
	local tree=$work/tree intree=$SOM_CACHE/intree/m patch dir file inner objects object
	local real=(. Documentation Documentation/{ABI,admin-guide,dev-tools,mm}
		Documentation/{ABI/testing,userspace-api} drivers include include/uapi
		include/uapi/linux tools tools/testing tools/testing/selftests)
	"$SOM_ROOT/scripts/check-intree.sh" m || return 1
	source=$(readlink -f "$source")
	# Directories that the patches change are real ones, with links to the rest.
	for dir in "${real[@]}"; do
		inner=()
		for file in "${changed[@]}" "${real[@]}"; do
			[ "$(dirname "$file")" != "$dir" ] || inner+=("${file##*/}")
		done
		link_dir "$source" "$tree" "$dir" "${inner[@]}"
	done
	for file in "${changed[@]}"; do
		cp "$source/$file" "$tree/$file"
	done
	for patch in "$out"/*.patch; do
		(cd "$tree" && GIT_CEILING_DIRECTORIES=$work git apply "$patch") ||
			return 1
		objects=()
		for object in $(patch_files "$patch" |
				sed -n 's|^drivers/som/\(.*\)\.c$|\1.o|p'); do
			objects+=("$object")
		done
		[ "${#objects[@]}" -gt 0 ] || continue
		make -C "$tree" O="$intree/build" M="$tree/drivers/som" \
			-j"$(nproc)" W=1 CONFIG_SOM=m CONFIG_SOM_KUNIT_TEST=m \
			"${objects[@]}" >"$work/log" 2>&1 </dev/null ||
			{ cat "$work/log"; return 1; }
		! grep -E '(drivers/som|som\.h).*(warning|error)' "$work/log" || return 1
		for object in "${objects[@]}"; do
			[ -e "$tree/drivers/som/$object" ] ||
				{ echo "${patch##*/}: no $object"; return 1; }
		done
	done
	for dir in drivers/som include/uapi/linux/som.h drivers/Makefile drivers/Kconfig; do
		diff -rqB --exclude='*.o' --exclude='.*' --exclude='*.mod' \
			"$intree/tree/$dir" "$tree/$dir" || return 1
	done
}

case ${1:-} in
'') ;;
check) out=$work/series ;;
*) die 'usage: make-series.sh [check]' ;;
esac
"$SOM_ROOT/scripts/kernel/source.sh"
make_patches
if [ "${1:-}" = check ]; then
	check_patches
else
	printf '%s\n' "$out"/*.patch
fi
