#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# guest-init.sh: process 1 of a test guest. Loads som.ko, runs one command, undoes the
# setup, and reports the result to the host. /som/config is its configuration.
#
# It writes these lines to the status port, in this order:
#	up		this script runs
#	setup TEXT	the command could not be run; TEXT is the reason
#	exit N		the command ended with status N
#	report TEXT	something was left behind or failed; any number of lines
#	end		last line
# The console has the kernel's messages; the host searches those between the two marks
# for reports.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
export HOME=/root TERM=dumb LANG=C.UTF-8

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/console 2>&1
mkdir -p /dev/shm /dev/pts /dev/mqueue
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t devpts devpts /dev/pts 2>/dev/null
mount -t mqueue mqueue /dev/mqueue 2>/dev/null
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
hostname som
ip link set lo up

# shellcheck source=/dev/null
. /som/config
export SOM_KERNEL SOM_CHUNKS SOM_MODULE_PARAMS
export SOM_KO=/som/som.ko SOM_KUNIT_KO=/som/som_kunit.ko

# The ports appear after the host has replied to the driver.
tries=0
while [ ! -c /dev/vport0p3 ] && [ "$tries" -lt 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
exec 3>/dev/vport0p3

tell()
{
	echo "$*" >&3
}

mark()
{
	echo "<1>som-test: $*" >/dev/kmsg
}

halt()
{
	mark end
	tell end
	exec 3>&-
	reboot -f
}

# Print size and free count of every hugetlb pool, on one line.
hugepages()
{
	for dir in /sys/kernel/mm/hugepages/*; do
		read -r size <"$dir/nr_hugepages"
		read -r free <"$dir/free_hugepages"
		printf '%s: %s free of %s; ' "${dir##*/hugepages-}" "$free" "$size"
	done
}

# Print a counter of kernel warnings, or 0.
figure()
{
	cat "$1" 2>/dev/null || echo 0
}

lockdep_works()
{
	[ ! -e /proc/lockdep_stats ] ||
		grep -q '^ *debug_locks: *1' /proc/lockdep_stats
}

# Kill remaining processes of the command. Kernel threads have no /proc/PID/exe.
kill_leftovers()
{
	found=1
	tries=0
	while [ "$found" = 1 ] && [ "$tries" -lt 100 ]; do
		found=0
		tries=$((tries + 1))
		for dir in /proc/[0-9]*; do
			pid=${dir#/proc/}
			case " 1 $keep " in
			*" $pid "*) continue ;;
			esac
			[ -e "$dir/exe" ] || continue
			kill -9 "$pid" 2>/dev/null && found=1
		done
		[ "$found" = 0 ] || sleep 0.05
	done
}

kmemleak=/sys/kernel/debug/kmemleak
! grep -qw kmemleak=off /proc/cmdline || kmemleak=/none

# kmemleak reports an object if a scan finds it unreferenced, five seconds old, and
# unchanged since the previous scan. The previous scan only has to record the content of
# the objects. It also does so if a signal stops it, and then takes one second instead of
# ten. If the signal arrives too early, the scan returns an error and is repeated in full.
first_scan()
{
	(trap : USR1; echo scan >"$kmemleak") &
	sleep 0.5
	kill -USR1 $! 2>/dev/null
	wait $!
}

# Print the leaks that kmemleak has found, except one of the kernel: sysfs_slab_add() of
# 6.12 leaks the name of a cache when it fails. som_fail_nth makes it fail.
leaks()
{
	awk '/^unreferenced object/ { show(); text = "" }
	     { text = text $0 "\n" }
	     END { show() }
	     function show() {
		if (text !~ / sysfs_slab_add\+/)
			printf "%s", text
	     }' "$kmemleak"
}

report_leaks()
{
	[ -e "$kmemleak" ] || return 0
	read -r start _ </proc/uptime
	first_scan || echo scan >"$kmemleak" || {
		tell "report kmemleak gave up in its first scan"
		return
	}
	while read -r now _ </proc/uptime &&
	      [ "${now%.*}" -lt "$((${start%.*} + 6))" ]; do
		sleep 0.2
	done
	echo scan >"$kmemleak" || {
		tell "report kmemleak gave up in its second scan"
		return
	}
	leaks >/som/leaks
	if [ -s /som/leaks ]; then
		cat /som/leaks
		tell "report kmemleak found unreferenced objects"
	fi
}

if [ -e "$kmemleak" ]; then
	echo scan=off >"$kmemleak"
	echo clear >"$kmemleak"
fi
sysctl -q -w kernel.panic_on_warn=0

mark start
dmesg -n 8
tell up

# Reserve pages now that were not reserved at boot.
pool=/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages
read -r have <"$pool"
if [ "$have" -lt "$SOM_HUGEPAGES" ]; then
	echo "$SOM_HUGEPAGES" >"$pool"
	read -r have <"$pool"
fi
if [ "$have" -lt "$SOM_HUGEPAGES" ]; then
	tell "setup the guest has $have of $SOM_HUGEPAGES 1G pages"
	halt
fi
before=$(hugepages)
warnings=$(figure /sys/kernel/warn_count)
oopses=$(figure /sys/kernel/oops_count)

if [ "$SOM_MODULE" = 1 ]; then
	# shellcheck disable=SC2086 # parameters are words
	if ! said=$(/usr/sbin/insmod "$SOM_KO" "chunks=$SOM_CHUNKS" \
			$SOM_MODULE_PARAMS 2>&1); then
		tell "setup som.ko does not load: $said"
		halt
	fi
fi

# The output of the command is a pipe and not a terminal.
mkfifo /som/stdout /som/stderr
cat /som/stdout >/dev/vport0p1 3>&- &
keep=$!
cat /som/stderr >/dev/vport0p2 3>&- &
keep="$keep $!"
setsid sh /som/command </dev/null >/som/stdout 2>/som/stderr 3>&- &
wait $!
status=$?
kill_leftovers
# shellcheck disable=SC2086 # two process ids
wait $keep
tell "exit $status"

if [ -e /sys/module/som_kunit ]; then
	/usr/sbin/rmmod som_kunit || tell "report som_kunit.ko does not unload"
fi
if [ -e /sys/module/som ]; then
	/usr/sbin/rmmod som || tell "report som.ko does not unload"
fi

# A worker of the kernel may free pages later: allow it two seconds.
tries=0
while after=$(hugepages); [ "$after" != "$before" ] && [ "$tries" -lt 20 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
[ "$after" = "$before" ] || [ "$SOM_PAGES_STAY" = 1 ] ||
	tell "report hugetlb pages: $before before, $after after"

report_leaks
[ "$(figure /sys/kernel/warn_count)" = "$warnings" ] ||
	tell "report the kernel counted a warning"
[ "$(figure /sys/kernel/oops_count)" = "$oopses" ] ||
	tell "report the kernel counted an oops"
lockdep_works || tell "report lockdep has turned itself off"
halt
