# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Build som.ko for one kernel. The sources are copied to a directory of that kernel in the
# cache and built there, so that builds for several kernels do not affect each other. All
# checkouts share it, one at a time; only changed files are copied and rebuilt.

# module_dir KERNEL: print the directory in which som.ko is built for KERNEL.
module_dir()
{
	printf '%s/modules/%s' "$SOM_CACHE" \
		"$(printf '%s' "$1" | tr -c 'a-zA-Z0-9' '_')"
}

# forget_other_kernel KDIR DIR: remove objects in DIR of another kernel, or of another
# configuration of it. kbuild does not notice the change, because its paths are relative.
forget_other_kernel()
{
	local key
	key=$(readlink -f "$1" &&
		cat "$1/include/generated/autoconf.h" "$1/Module.symvers" \
			2>/dev/null | sha256sum)
	if [ "$(cat "$2.kernel" 2>/dev/null)" != "$key" ]; then
		rm -rf "$2"
		mkdir -p "$2"
		printf '%s\n' "$key" >"$2.kernel"
	fi
}

# stage_sources DIR: bring DIR up to date with the repository, leaving build
# products alone. Times are not copied: a changed file must look new.
stage_sources()
{
	mkdir -p "$1"
	(cd "$SOM_ROOT" && rsync -rlc --delete --delete-excluded \
		--filter='P *.o' --filter='P *.ko' --filter='P *.mod' \
		--filter='P *.mod.c' --filter='P .*.cmd' \
		--filter='P *.order' --filter='P *.symvers' \
		--exclude='*.o' --exclude='*.ko' --exclude='*.mod' \
		--exclude='*.mod.c' --exclude='.*' --exclude='*.order' \
		--exclude='*.symvers' \
		Kbuild drivers include "$1/")
}

# module_config KDIR: print the configuration of som for that kernel.
module_config()
{
	printf 'CONFIG_SOM=m\n'
	if [ -e "$1/.config" ] && grep -q '^CONFIG_KUNIT=y' "$1/.config" &&
	   [ -d "$SOM_ROOT/drivers/som/tests" ]; then
		printf 'CONFIG_SOM_KUNIT_TEST=m\n'
	fi
}

# Copy both modules before another run can rebuild them.
build_module_locked()
{
	local kdir=$1 dir=$2 dest=$3 module
	shift 3
	forget_other_kernel "$kdir" "$dir"
	stage_sources "$dir" || return 1
	make -C "$kdir" M="$dir" -j"$(nproc)" "$@" modules || return 1
	for module in "$dir"/drivers/som/som.ko \
			"$dir"/drivers/som/tests/som_kunit.ko; do
		[ ! -e "$module" ] || cp "$module" "$dest/" || return 1
	done
}

# build_module KERNEL KDIR DEST [MAKE ARGUMENT]...: build som.ko, and som_kunit.ko
# where the kernel has KUnit, and copy them to DEST. Quiet unless it fails.
build_module()
{
	local kernel=$1 kdir=$2 dest=$3 dir config
	shift 3
	dir=$(module_dir "$kernel")
	mkdir -p "$dir" "$dest"
	mapfile -t config < <(module_config "$kdir")
	if ! with_lock "module-$(basename "$dir")" build_module_locked \
			"$kdir" "$dir" "$dest" "${config[@]}" "$@" \
			>"$dir.log" 2>&1 </dev/null; then
		cat "$dir.log" >&2
		return 1
	fi
}
