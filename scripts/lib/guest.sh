# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# One guest: its files, its start under QEMU, and the verdict on how it went.
#
# The guest's root is an initramfs of two parts: busybox and the init script, which are
# packed once, and the files of this run. The guest has a serial console for the
# kernel's messages and three virtio ports: the command's stdout and stderr,
# byte for byte, and the status lines of guest-init.sh.
#
# boot_guest reads G_IMAGE, G_MEM, G_SMP, G_NODES, G_HUGEPAGES, G_PAGES (boot: reserve
# them at boot, cma: only keep room for them), G_LEVELS (of page tables, 4 or 5),
# G_APPEND, G_ICOUNT, G_TIMEOUT and G_PIDFILE (where QEMU writes its process id, or
# nothing).

# Messages by which the kernel reports a problem.
GUEST_TROUBLE='WARNING:|BUG[: ]|Oops|KASAN|UBSAN|kernel panic|Kernel panic'
GUEST_TROUBLE+='|general protection fault, |invalid opcode: |double fault'
GUEST_TROUBLE+='|INFO: possible|INFO: rcu|INFO: trying to register'
GUEST_TROUBLE+='|INFO: task .* blocked|blocked for more than'
GUEST_TROUBLE+='|DEBUG_LOCKS_WARN|suspicious RCU|sleeping function called'
GUEST_TROUBLE+='|scheduling while atomic|soft lockup|rcu.*stall'
GUEST_TROUBLE+='|unreferenced object'
GUEST_TROUBLE+='|list_(add|del) corruption|refcount_t: |ODEBUG:|Bad page'
GUEST_TROUBLE+='|: bad p(gd|4d|ud|md|te) '
GUEST_TROUBLE+='|unable to handle|Unable to handle|detected stalls|Bad rss'
GUEST_TROUBLE+='|Voluntary context switch within'

# Exit statuses that are not those of the command.
GUEST_SETUP=97
GUEST_HUNG=98
GUEST_REPORT=99

# guest_path PATH: print PATH in the guest, where /bin and others are links.
guest_path()
{
	case $1 in
	/bin/* | /sbin/* | /lib/* | /lib64/*) printf '/usr%s' "$1" ;;
	*) printf '%s' "$1" ;;
	esac
}

is_elf()
{
	[ "$(head -c 4 "$1" | tr -d '\0')" = $'\177ELF' ]
}

# pack DIR: write DIR to stdout as a cpio archive, owned by root.
pack()
{
	(cd "$1" && find . -mindepth 1 | LC_ALL=C sort |
		cpio --quiet -o -H newc -R 0:0)
}

make_base_tree()
{
	local dir=$1 applet
	mkdir -p "$dir"/{dev,proc,sys,tmp,root,etc,run,som,mnt,home} \
		"$dir"/usr/{bin,sbin,lib,lib64,local} "$dir"/var/{tmp,log,run}
	ln -s usr/bin usr/sbin usr/lib usr/lib64 "$dir/"
	chmod 1777 "$dir/tmp" "$dir/var/tmp"
	cp /bin/busybox "$dir/usr/bin/busybox"
	for applet in $("$dir/usr/bin/busybox" --list); do
		[ "$applet" = busybox ] || ln -s busybox "$dir/usr/bin/$applet"
	done
	# busybox tries twice to load a module that refuses.
	copy_file "$dir" "$(readlink -f "$(type -P kmod || echo /sbin/kmod)")" \
		/usr/bin/kmod
	add_libraries "$dir" "$dir/usr/bin/kmod"
	ln -s ../bin/kmod "$dir/usr/sbin/insmod"
	ln -s ../bin/kmod "$dir/usr/sbin/rmmod"
	cp "$SOM_ROOT/scripts/guest-init.sh" "$dir/init"
	chmod 755 "$dir/init"
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' \
		>"$dir/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$dir/etc/group"
	printf '127.0.0.1 localhost som\n' >"$dir/etc/hosts"
	printf 'passwd: files\ngroup: files\nhosts: files\n' \
		>"$dir/etc/nsswitch.conf"
}

# base_archive: make the fixed part of the archive if needed, and print its file name.
base_archive()
{
	local key file tree
	key=$(cat "$SOM_ROOT/scripts/guest-init.sh" \
		"$SOM_ROOT/scripts/lib/guest.sh" /bin/busybox |
		sha256sum | head -c 16)
	file=$SOM_CACHE/initramfs-$key.cpio
	if [ ! -e "$file" ]; then
		tree=$(mktemp -d "$SOM_CACHE/tree.XXXXXX")
		make_base_tree "$tree"
		pack "$tree" >"$tree.cpio"
		mv "$tree.cpio" "$file"
		rm -rf "$tree"
	fi
	printf '%s' "$file"
}

# add_libraries TREE FILE...: add the libraries of the dynamic programs among FILEs.
add_libraries()
{
	local tree=$1 file lib elf=()
	shift
	for file; do
		! is_elf "$file" || elf+=("$file")
	done
	[ "${#elf[@]}" -gt 0 ] || return 0
	while read -r lib; do
		[ -e "$tree$(guest_path "$lib")" ] || copy_file "$tree" "$lib" "$lib"
	done < <(ldd "${elf[@]}" 2>/dev/null |
		sed -n 's/^\t\(.* => \)\?\(\/[^ ]*\) (.*/\2/p' | sort -u)
}

# copy_file TREE FILE PATH: add FILE as PATH in the guest.
copy_file()
{
	local dest
	dest=$1$(guest_path "$3")
	mkdir -p "$(dirname "$dest")"
	cp -L --preserve=mode,timestamps "$2" "$dest"
}

# add_file TREE FILE PATH: add FILE with its libraries and its interpreter.
add_file()
{
	local shell
	copy_file "$1" "$2" "$3"
	add_libraries "$1" "$2"
	shell=$(head -c 128 "$2" | tr -d '\0' |
		sed -n '1s/^#! *\([^ ]*\).*/\1/p')
	case $shell in
	'' | /bin/sh | /usr/bin/env) ;;
	*) [ ! -x "$shell" ] || [ -e "$1$(guest_path "$shell")" ] ||
		add_file "$1" "$shell" "$shell" ;;
	esac
}

# add TREE HOSTFILE[:GUESTPATH]: add a file or a whole directory.
add()
{
	local tree=$1 from=${2%%:*} to files
	to=${2#"$from"}
	to=${to#:}
	[ -e "$from" ] || die "--add $from: no such file"
	[ -n "$to" ] || to=$(realpath -s "$from")
	case $to in
	/*) ;;
	*) die "--add $2: the guest's path must be absolute" ;;
	esac
	if [ -d "$from" ]; then
		to=$tree$(guest_path "$to")
		mkdir -p "$to"
		cp -a --no-preserve=ownership "$from/." "$to/"
		mapfile -d '' files < <(find "$from" -type f \
			\( -perm /111 -o -name '*.so*' \) -print0)
		add_libraries "$tree" "${files[@]}"
	else
		case $to in
		*/) to+=$(basename "$from") ;;
		esac
		add_file "$tree" "$from" "$to"
	fi
}

# quote WORD...: print the words in single quotes for a shell.
quote()
{
	local word
	for word; do
		printf "'%s' " "${word//\'/\'\\\'\'}"
	done
}

# write_command TREE COMMAND ARGS: write the command for the guest. A path is a program of
# the host; a name without a slash is a program of the guest, or else on the host's PATH.
write_command()
{
	local tree=$1 command=$2 file
	shift 2
	case $command in
	*/*)
		file=$(realpath -s "$command")
		[ -f "$file" ] && [ -x "$file" ] ||
			[ -e "$tree$(guest_path "$file")" ] ||
			die "$command is not a program"
		[ ! -f "$file" ] || add_file "$tree" "$file" "$file"
		command=$file
		;;
	*)
		if ! busybox --list | grep -qxF -e "$command"; then
			file=$(type -P "$command") ||
				die "$command: neither the guest nor the host has it"
			add_file "$tree" "$file" "$file"
			command=$file
		fi
		;;
	esac
	printf 'exec %s\n' "$(quote "$command" "$@")" >"$tree/som/command"
}

# accelerator: print QEMU's option for the best accelerator of the machine.
accelerator()
{
	local answer
	answer=$("$SOM_ROOT/scripts/probe-kvm.sh" "$G_IMAGE")
	case $answer in
	yes) printf 'kvm' ;;
	*) printf 'tcg,thread=multi' ;;
	esac
}

# set_nodes: set NODES, QEMU's options for G_NODES NUMA nodes; the processors are
# distributed to them in turn.
set_nodes()
{
	local node cpu args size=${G_MEM%M}
	NODES=()
	[ "$G_NODES" -gt 1 ] || return 0
	case $G_MEM in
	*G) size=$((${G_MEM%G} * 1024)) ;;
	esac
	for ((node = 0; node < G_NODES; node++)); do
		args=node,nodeid=$node,memdev=node$node
		for ((cpu = node; cpu < G_SMP; cpu += G_NODES)); do
			args+=,cpus=$cpu
		done
		NODES+=(-object
			"memory-backend-ram,id=node$node,size=$((size / G_NODES))M"
			-numa "$args")
	done
}

# boot_guest DIR: start the guest whose files are in DIR with the settings in
# the G_* variables, and wait for it. Returns QEMU's or timeout's status.
boot_guest()
{
	local dir=$1 accel cpu append NODES
	set_nodes
	append="console=ttyS0 loglevel=4 panic=-1 mitigations=off"
	append+=" hugetlb_free_vmemmap=on rdinit=/init"
	case $G_PAGES in
	boot) append+=" hugepagesz=1G hugepages=$G_HUGEPAGES" ;;
	cma) append+=" hugetlb_cma=${G_HUGEPAGES}G" ;;
	esac
	append+=" rcupdate.rcu_cpu_stall_timeout=120 watchdog_thresh=60"
	accel=$(accelerator)
	[ "$G_ICOUNT" = 0 ] || accel=tcg
	case $accel in
	kvm)
		cpu=host
		;;
	*)
		cpu=max,-erms,-fsrm
		[ "$G_LEVELS" = 5 ] || cpu+=,-la57
		# A processor family for which Linux does not use "rep stos": emulated
		# single stores clear memory a quarter faster. Guests that count
		# instructions keep the default, so that figures stay comparable.
		[ "$G_ICOUNT" != 0 ] || cpu+=,family=6,model=8
		append+=" tsc=reliable lpj=4000000"
		;;
	esac
	set -- -nodefaults -no-user-config -display none -no-reboot \
		-machine q35 -accel "$accel" -cpu "$cpu" \
		-m "$G_MEM" -smp "$G_SMP" ${NODES[@]+"${NODES[@]}"} \
		-kernel "$G_IMAGE" -initrd "$dir/initramfs" \
		-append "$append $G_APPEND" \
		-chardev file,id=console,path="$dir/console" \
		-serial chardev:console \
		-device virtio-serial-pci \
		-chardev file,id=stdout,path="$dir/stdout" \
		-device virtserialport,nr=1,chardev=stdout \
		-chardev file,id=stderr,path="$dir/stderr" \
		-device virtserialport,nr=2,chardev=stderr \
		-chardev file,id=status,path="$dir/status" \
		-device virtserialport,nr=3,chardev=status
	[ "$G_ICOUNT" = 0 ] || set -- "$@" -icount shift=0,sleep=off
	[ -z "$G_PIDFILE" ] || set -- "$@" -pidfile "$G_PIDFILE"
	# In the background, so that this shell handles signals at once.
	timeout --foreground -k 5 "$G_TIMEOUT" qemu-system-x86_64 "$@" \
		</dev/null >"$dir/qemu" 2>&1 &
	wait $! 2>/dev/null
}

# died_booting DIR RC: return whether the guest died while it booted. An emulated processor
# may execute code that the other one is just patching (static keys, alternatives). This
# was seen on the generic kernel.
died_booting()
{
	[ "$2" -ne 124 ] && [ "$2" -ne 137 ] && [ -s "$1/console" ] &&
		[ ! -s "$1/status" ]
}

# console_between_marks DIR: print the kernel's messages during the command.
console_between_marks()
{
	tr -d '\r' <"$1/console" |
		sed -n '/som-test: start/,/som-test: end/p' |
		sed '/som-test: \(start\|end\)/d'
}

# first_trouble CONSOLE: find the first line between the marks that reports a problem.
# Prints its number, the name of the running test, if any, and the line, separated by
# colons.
first_trouble()
{
	tr -d '\r' <"$1" | awk -v trouble="$GUEST_TROUBLE" '
		/som-test: start/ { on = 1; nr = 0; next }
		/som-test: end/ { exit }
		!on { next }
		{ nr++ }
		/som-test: run / { sub(/.*som-test: run /, ""); test = $1; next }
		/som-test: ran / { test = ""; next }
		$0 ~ trouble { print nr ":" test ":" $0; exit }'
}

# tripped CONSOLE: return whether the emulator caused the first problem. If it translates
# code that the other processor is just patching (static keys), it executes a breakpoint
# that no longer exists. som patches no code, and KVM does not have this problem.
tripped()
{
	case $(first_trouble "$1" 2>/dev/null) in
	*'Oops: int3'*) [ "$(accelerator)" != kvm ] ;;
	*) return 1 ;;
	esac
}

# verdict DIR: print problems on stderr. Returns the status of the command, or one of those
# above.
verdict()
{
	local dir=$1 word rest exit='' end=0 setup='' reports=() trouble line test text
	while read -r word rest; do
		case $word in
		exit) exit=$rest ;;
		setup) setup=$rest ;;
		report) reports+=("$rest") ;;
		end) end=1 ;;
		esac
	done < <(cat "$dir/status" 2>/dev/null)

	trouble=$(first_trouble "$dir/console" 2>/dev/null || true)
	if [ -n "$trouble" ]; then
		IFS=: read -r line test text <<<"$trouble"
		say "the kernel reported${test:+ while $test ran}: $text"
		console_between_marks "$dir" |
			sed -n "$((line > 3 ? line - 3 : 1)),\$p" |
			head -n 150 >&2
	fi
	for rest in "${reports[@]}"; do
		say "in the guest: $rest"
	done
	if [ -n "$setup" ]; then
		say "$setup"
		console_between_marks "$dir" | tail -n 10 >&2
		return "$GUEST_SETUP"
	fi
	if [ "$end" = 0 ]; then
		if [ "$2" = 124 ]; then
			say "the guest hung: no end after $G_TIMEOUT seconds;" \
			    "last on its console:"
		elif [ "$2" = 137 ]; then
			say "the guest hung and was killed; last on its console:"
		else
			say "the guest died; last on its console:"
			tail -n 5 "$dir/qemu" >&2
		fi
		tr -d '\r' <"$dir/console" | tail -n 30 >&2
		[ -n "$trouble" ] || return "$GUEST_HUNG"
	fi
	if [ -n "$trouble" ] || [ "${#reports[@]}" -gt 0 ]; then
		return "$GUEST_REPORT"
	fi
	return "$exit"
}
