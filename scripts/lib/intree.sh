# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A kernel tree that has som: directories of links to the kernel's source, but for the
# few files that som adds or changes.

# link_dir SRC DEST DIR NAME...: links in DEST/DIR to all of SRC/DIR but the names.
link_dir()
{
	local src=$1 dest=$2 dir=$3 file
	shift 3
	mkdir -p "$dest/$dir"
	for file in "$src/$dir"/* "$src/$dir"/.[a-z]*; do
		case " $* " in
		*" ${file##*/} "*) ;;
		*) [ ! -e "$file" ] || ln -sfn "$file" "$dest/$dir/" ;;
		esac
	done
}

# insert_before FILE PATTERN LINE: adds LINE before the first line that has PATTERN.
insert_before()
{
	grep -q -e "$2" "$1" || return 1
	awk -v pattern="$2" -v line="$3" \
		'!done && $0 ~ pattern { print line; done = 1 } { print }' \
		"$1" >"$1.new" && mv "$1.new" "$1"
}

# hook_kernel DEST: the kernel in DEST reads som's Makefile and Kconfig.
hook_kernel()
{
	# shellcheck disable=SC2016 # make's
	insert_before "$1/drivers/Makefile" 'CONFIG_SOUNDWIRE' \
		'obj-$(CONFIG_SOM)		+= som/' &&
		insert_before "$1/drivers/Kconfig" 'drivers/soundwire/Kconfig' \
			'source "drivers/som/Kconfig"\n'
}

# kernel_tree SRC DEST: DEST becomes a tree of the kernel in SRC with som in it.
kernel_tree()
{
	local src=$1 dest=$2
	src=$(readlink -f "$src")
	if [ "$(cat "$dest/som-source" 2>/dev/null)" != "$src" ]; then
		rm -rf "$dest"
		link_dir "$src" "$dest" . drivers include
		link_dir "$src" "$dest" drivers Makefile Kconfig
		link_dir "$src" "$dest" include uapi
		link_dir "$src" "$dest" include/uapi linux
		link_dir "$src" "$dest" include/uapi/linux
		cp "$src/drivers/Makefile" "$src/drivers/Kconfig" "$dest/drivers/"
		hook_kernel "$dest" || return 1
		printf '%s\n' "$src" >"$dest/som-source"
	fi
	# Unchanged files keep their times: nothing of them is built again.
	rsync -rlc --delete --exclude='*.o' --exclude='*.ko' --exclude='*.mod' \
		--exclude='*.mod.c' --exclude='.*' --exclude='*.order' \
		"$SOM_ROOT/drivers/som/" "$dest/drivers/som/"
	rsync -lc "$SOM_ROOT/include/uapi/linux/som.h" "$dest/include/uapi/linux/"
}
