#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check-static.sh: check the sources without running them. Prints one line for each
# check, followed by its messages, and the sum as last line.
#
# A check that passed is not repeated for the same files: the cache has an empty file
# whose name is a hash of all inputs.
set -euo pipefail
# shellcheck source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
# shellcheck source=lib/module.sh
. "$SOM_ROOT/scripts/lib/module.sh"

passed=0 failed=0 names=()
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT
source=$SOM_CACHE/kernels/source
cd "$SOM_ROOT"

# files DIR PATTERN...: list the files below DIR with matching names.
files()
{
	local dir=$1 name args=()
	shift
	[ -d "$dir" ] || return 0
	for name; do
		args+=(-o -name "$name")
	done
	find "$dir" \( -name .git -o -path ./build \) -prune -o -type f ! -name '*.mod.c' \
		\( "${args[@]:1}" \) -print | sed 's|^\./||' | LC_ALL=C sort
}

# fingerprint COMMAND ARGS: print a hash of a command, of the files in inputs, and of the
# programs that it uses. Prints nothing if inputs is empty: the result may then depend on
# more than files.
fingerprint()
{
	[ "${#inputs[@]}" -gt 0 ] || return 0
	{ printf '%s\n' "$programs" "$*"; sha256sum "${inputs[@]}"; } |
		sha256sum | cut -d ' ' -f 1
}

# make_check RESULT COMMAND ARGS: run COMMAND, and store its output in RESULT.
make_check()
{
	local result=$1 known
	shift
	known=$(fingerprint "$@")
	if [ -n "$known" ] && [ -e "$knowledge/$known" ]; then
		touch "$result" "$knowledge/$known"
		return
	fi
	{ "$@" 2>&1 </dev/null || echo "status $?"; } >"$result"
	[ -z "$known" ] || [ -s "$result" ] || touch "$knowledge/$known"
}

# check NAME COMMAND ARGS: start a check. It passes if COMMAND prints nothing and
# succeeds. As many checks as processors run at the same time; the results are printed in
# order. inputs are the files that COMMAND reads.
check()
{
	local name=$1
	shift
	names+=("$name")
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
		wait -n || true
	done
	make_check "$said/${#names[@]}" "$@" &
}

# print_checks: print the result of each check.
print_checks()
{
	local name n=0
	wait
	for name in "${names[@]}"; do
		n=$((n + 1))
		if [ -s "$said/$n" ]; then
			failed=$((failed + 1))
			printf 'not ok %d %s\n' "$n" "$name"
			head -n 100 "$said/$n" | sed 's/^/    /'
		else
			passed=$((passed + 1))
			printf 'ok %d %s\n' "$n" "$name"
		fi
	done
}

# build_says KERNEL KDIR MAKE-ARGUMENT...: build everything, and print the messages of
# the compiler, sparse and modpost.
build_says()
{
	local label kdir=$2 dir
	label=static-$(printf '%s' "$SOM_ROOT" | sha256sum | head -c 8)-$1-$3
	shift 2
	dir=$(module_dir "$label")
	rm -rf "$dir"
	if ! build_module "$label" "$kdir" "$dir.built" "$@" 2>/dev/null; then
		cat "$dir.log"
		return 1
	fi
	grep -E 'warning|error|WARNING|ERROR' "$dir.log" | sed "s|$dir/||g" || true
	rm -rf "$dir" "$dir".{built,kernel,log}
}

# checkpatch IGNORED FILE...: IGNORED are message types, separated by commas.
checkpatch()
{
	local ignored=$1
	shift
	perl "$source/scripts/checkpatch.pl" --strict --no-tree --no-summary \
		--terse --show-types ${ignored:+--ignore "$ignored"} -f "$@"
}

kernel_doc()
{
	perl "$source/scripts/kernel-doc" -Wall -Werror -none "$@"
}

uapi_header()
{
	printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' \
		"${1#include/uapi/}" "${1#include/uapi/}" |
		gcc -x c -std=c90 -Wall -Wextra -pedantic -Werror -fsyntax-only \
			-I include/uapi -isystem "$SOM_CACHE/kernels/uapi" -
}

# coccicheck DIR: run the semantic patches of a directory of the kernel on the driver, but
# for those that need a compiler of OCaml.
coccicheck()
{
	local script options rc=0
	for script in "$source/scripts/coccinelle/$1"/*.cocci; do
		if grep -q 'script:ocaml' "$script" ||
		   ! grep -q '^virtual.*report' "$script"; then
			continue
		fi
		mapfile -t options < <(sed -n 's|^// *Options: *||p' "$script" |
			tr -s ' ' '\n')
		spatch -D report --no-show-diff --very-quiet "${options[@]}" \
			--cocci-file "$script" -I drivers/som -I include/uapi \
			--dir drivers/som >"$said/coccicheck-$1" 2>&1 || rc=$?
		# Warnings about the semantic patch itself.
		grep -v '^warning: line' "$said/coccicheck-$1" || true
	done
	return "$rc"
}

documents()
{
	scripts/check-rst.py "$source" "$@"
}

no_conditionals()
{
	! grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif)\b' "$@"
}

have_license()
{
	local file
	for file; do
		head -n 2 "$file" | grep -q SPDX-License-Identifier || echo "$file"
	done
}

shell_check()
{
	shellcheck -x "$@"
}

man_pages()
{
	make -s -C tools/som/man check
}

# Every attribute in sysfs has an entry in Documentation/ABI.
abi()
{
	local file=Documentation/ABI/testing/sysfs-class-misc-som name
	perl "$source/scripts/get_abi.pl" --dir Documentation/ABI validate
	sed -nE -e 's/^SOM_[A-Z]+_ATTR\(([a-z_]+),.*/\1/p' \
		-e 's/^static (DEVICE|BIN)_ATTR_[A-Z]+\(([a-z_]+)[,)].*/\2/p' \
		-e 's/^\t\{ "([a-z_]+)", .*/\1/p' \
		-e 's/.*__ATTR\(([a-z][a-z_]*), .*/\1/p' drivers/som/sysfs.c |
		while read -r name; do
			grep -q "^What:.*/$name\$" "$file" || echo "$name: not in $file"
		done
}

# libsom exports exactly the functions that its header declares.
libsom()
{
	local dir rc=0
	dir=$(mktemp -d "${TMPDIR:-/tmp}/som-static.XXXXXX")
	make -s -C tools/som/lib OUT="$dir" check || rc=$?
	rm -rf "$dir"
	return "$rc"
}

# The KUnit suites pass as a program, too.
user_space()
{
	local dir said rc=0
	dir=$(mktemp -d "${TMPDIR:-/tmp}/som-static.XXXXXX")
	said=$(make -s -C tools/testing/som KSRC="$source" OUT="$dir" check 2>&1) || rc=$?
	rm -rf "$dir"
	[ "$rc" = 0 ] || printf '%s\n' "$said"
	return "$rc"
}

# The packages and the tools have the same version.
same_version()
{
	head -n 1 debian/changelog | grep -qF "som ($(cat VERSION))"
}

"$SOM_ROOT/scripts/kernel/source.sh"
mapfile -t driver < <(files drivers/som '*.c' '*.h')
mapfile -t driver_c < <(find drivers/som -maxdepth 1 -name '*.c' \
	! -name '*.mod.c' 2>/dev/null | LC_ALL=C sort)
mapfile -t uapi < <(files include/uapi '*.h')
mapfile -t all_c < <(files . '*.c' '*.h')
mapfile -t scripts < <(files . '*.sh'; ls .ci/run 2>/dev/null)
mapfile -t licensed < <(files . '*.c' '*.cc' '*.h' '*.sh' '*.py' '*.rst' '*.awk' '*.pml' \
	'*.config' Makefile Kbuild Kconfig run)
mapfile -t documents < <(files . '*.rst')
# Texts to check for sentences that are hard to read, except generated ones.
mapfile -t prose < <(files . '*.rst' | grep -v -e som-conformance -e allocators-matrix
	ls include/uapi/linux/som.h tools/som/man/*.[1-8]
	files drivers/som '*.c' '*.h'
	files tools/som '*.c' '*.cc' '*.h' '*.sh' '*.conf' '*.service' Makefile
	files scripts '*.sh' '*.awk' '*.config' | grep -v check-prose
	ls Makefile .ci/run debian/control)

# The cache forgets results that were not used for a month.
knowledge=$SOM_CACHE/static
mkdir -p "$knowledge"
find "$knowledge" -type f -mtime +30 -delete
programs=$(gcc --version; sparse --version; spin -V; shellcheck --version; perl --version
	spatch --version
	sha256sum scripts/check-static.sh scripts/lib/module.sh \
		"$source"/scripts/{checkpatch.pl,spelling.txt,const_structs.checkpatch} \
		"$source"/scripts/{kernel-doc,coccinelle/*/*.cocci})

mapfile -t inputs < <(find Kbuild drivers include -type f ! -name '.*' \
	! -name '*.[ao]' ! -name '*.ko' ! -name '*.mod' ! -name '*.mod.c' \
	! -name '*.order' ! -name '*.symvers' | LC_ALL=C sort)
for kernel in generic cloud debug; do
	kdir=$(readlink -f "$SOM_CACHE/kernels/$kernel/kdir")
	check "W=1 on $kernel" build_says "$kernel" "$kdir" W=1
done
check 'sparse on debug' build_says debug "$kdir" C=2 CF=-D__CHECK_ENDIAN__
inputs+=(scripts/check-intree.sh scripts/lib/intree.sh)
for variant in y m; do
	check "part of a 6.12 tree, =$variant" scripts/check-intree.sh "$variant"
done
inputs+=(scripts/make-series.sh MAINTAINERS)
check 'series of patches' scripts/make-series.sh check
inputs=("${driver[@]}" drivers/som/Makefile scripts/check-order.py)
check 'no call and no include goes up' scripts/check-order.py
inputs=("${driver[@]}" "${uapi[@]}")
check 'kernel-doc' kernel_doc "${driver[@]}" "${uapi[@]}"
for dir in api free iterators locks misc null tests; do
	check "coccicheck $dir" coccicheck "$dir"
done
inputs=()
check 'no conditional compilation in drivers/som/*.c' \
	no_conditionals "${driver_c[@]}"
for header in "${uapi[@]}"; do
	check "$header alone in C90" uapi_header "$header"
done
# Programs do not have the kernel's macros.
user=ARRAY_SIZE,BIT_MACRO,CAMELCASE,MACRO_WITH_FLOW_CONTROL,PREFER_FALLTHROUGH
user+=,VOLATILE,PREFER_DEFINED_ATTRIBUTE_MACRO
for file in "${all_c[@]}"; do
	case $file in
	# Tables of texts, and rows generated by macros.
	*/conform_*.c)
		ignored=$user,SPLIT_STRING,COMPLEX_MACRO,MACRO_ARG_REUSE ;;
	tools/*) ignored=$user ;;
	# Nested loops over all cases, not indented.
	drivers/som/tests/*) ignored=SUSPECT_CODE_INDENT ;;
	# Pointers to locks on the stack are no locks.
	*.c) ignored=UNCOMMENTED_DEFINITION ;;
	*) ignored= ;;
	esac
	inputs=("$file")
	check "checkpatch --strict $file" checkpatch "$ignored" "$file"
done
# A model has no wrong state, and each mutant, which leaves out a step, has one.
for file in drivers/som/models/*.pml; do
	inputs=("$file" scripts/check-model.sh)
	check "model $file" scripts/check-model.sh "$file"
	read -ra mutants < <(sed -n 's/^ \* MUTANTS: //p' "$file")
	for mutant in "${mutants[@]}"; do
		check "model $file: $mutant" scripts/check-model.sh "$file" "$mutant"
	done
done
inputs=("${scripts[@]}")
check 'shellcheck' shell_check "${scripts[@]}"
inputs=("${prose[@]}" scripts/check-prose.sh)
check 'prose' scripts/check-prose.sh "${prose[@]}"
inputs=()
check 'documents' documents "${documents[@]}"
check 'attributes in Documentation/ABI' abi
check 'man pages' man_pages
check 'libsom' libsom
check 'KUnit suites in user space, with ASan and UBSan' user_space
check 'version of debian/changelog' same_version
check 'licence identifiers' have_license "${licensed[@]}"

print_checks
printf '%d passed, %d failed, 0 skipped\n' "$passed" "$failed"
[ "$failed" = 0 ]
