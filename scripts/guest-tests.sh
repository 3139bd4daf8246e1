#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# guest-tests.sh NAME:CHUNKS...: run tests of /som/tests in the guest, one after another,
# each with a pool of CHUNKS chunks, or without som.ko if CHUNKS is -. Two lines on stdout
# and on stderr enclose the output of each test:
#
#	som-tests: begin NAME
#	som-tests: end NAME STATUS CENTISECONDS [WHAT IT LEFT BEHIND]
#
# The kernel's messages contain "som-test: run NAME" and "som-test: ran NAME". After each
# test, its remaining processes are killed, and the pool must return to its previous
# state.

sysfs=/sys/class/misc/som

tell()
{
	printf '\nsom-tests: %s\n' "$*"
	printf '\nsom-tests: %s\n' "$*" >&2
}

mark()
{
	echo "<1>som-test: $*" >/dev/kmsg
}

# Sets now, in hundredths of a second.
read_clock()
{
	read -r now _ </proc/uptime
	now=${now%.*}${now#*.}
}

# Sets programs: all process ids except kernel threads, which have no /proc/PID/exe.
read_programs()
{
	programs=
	for dir in /proc/[0-9]*; do
		[ ! -e "$dir/exe" ] || programs="$programs ${dir#/proc/}"
	done
}

# Sets pool: the state that a test must restore. If tests load som.ko themselves, the
# state is that som.ko is not loaded.
read_pool()
{
	pool=' no som.ko'
	[ -e "$sysfs" ] || return 0
	pool=
	for file in nr_chunks units_used units_committed units_quarantined; do
		pool="$pool $file $(cat "$sysfs/$file" 2>&1)"
	done
}

# set_pool CHUNKS
set_pool()
{
	if [ "$1" = - ]; then
		[ ! -e "$sysfs" ] || /usr/sbin/rmmod som
	elif [ ! -e "$sysfs" ]; then
		# shellcheck disable=SC2086 # parameters are words
		/usr/sbin/insmod "$SOM_KO" "chunks=$1" $SOM_MODULE_PARAMS
	elif [ "$(cat "$sysfs/nr_chunks")" != "$1" ]; then
		echo "$1" >"$sysfs/nr_chunks"
	fi
}

# run_test NAME CHUNKS
run_test()
{
	set=1
	set_pool "$2" || set=0
	read_pool
	before=$pool
	if [ "$set" = 0 ]; then
		echo "Bail out! the pool cannot be set to $2"
		return 1
	fi
	setsid "/som/tests/$1" </dev/null
}

kill_leftovers()
{
	left=1
	tries=0
	while [ -n "$left" ] && [ "$tries" -lt 100 ]; do
		left=
		tries=$((tries + 1))
		read_programs
		for pid in $programs; do
			case "$keep " in
			*" $pid "*) continue ;;
			esac
			kill -9 "$pid" 2>/dev/null && left=1
		done
		[ -z "$left" ] || sleep 0.05
	done
}

# Expedite RCU's grace periods: they take much of the time to load and unload a module.
[ ! -e /sys/kernel/rcu_expedited ] || echo 1 >/sys/kernel/rcu_expedited

# When any event is traced, the scheduler records names of processes, with code that is
# patched while it runs. Under emulation the patching may fail, and tests do not need the
# names.
file=/sys/kernel/tracing/options/record-cmd
[ ! -e "$file" ] || echo 0 >"$file"

read_programs
keep=$programs

for test; do
	name=${test%:*}
	tell "begin $name"
	mark "run $name"
	read_clock
	start=$now
	run_test "$name" "${test##*:}"
	status=$?
	read_clock
	time=$((now - start))
	kill_leftovers
	# A killed process may still be releasing its memory.
	read_pool
	tries=0
	while [ "$pool" != "$before" ] && [ "$tries" -lt 200 ]; do
		sleep 0.1
		tries=$((tries + 1))
		read_pool
	done
	mark "ran $name"
	if [ "$pool" = "$before" ]; then
		tell "end $name $status $time"
	else
		tell "end $name $status $time before:$before; after:$pool"
	fi
done
