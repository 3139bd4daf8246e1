#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# guest-unprivileged.sh UNITS [NAME]...: the part of test-unprivileged.sh that runs in
# the guest.

sysfs=/sys/class/misc/som
failed=0
passed=0

# Skip programs that load som.ko themselves or inject memory errors.
skip=' som_module som_no_1g som_mce '

as_nobody()
{
	/usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

# Sets pool: the state that a program must restore.
read_pool()
{
	pool=
	for file in units_used units_committed units_quarantined units_page_backed; do
		pool="$pool $file $(cat "$sysfs/$file")"
	done
}

# wait_dead: wait until the user has no process; SIGKILL takes a moment.
wait_dead()
{
	for _ in $(seq 100); do
		as_nobody busybox kill -KILL -1 2>/dev/null
		grep -lq '^Uid:.65534' /proc/[0-9]*/status 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}

# wait_pool WANT: wait until the pool is as before; exited processes release memory late.
wait_pool()
{
	for _ in $(seq 200); do
		read_pool
		[ "$pool" != "$1" ] || return 0
		sleep 0.1
	done
	return 1
}

chmod 755 / /unprivileged
chmod 666 /dev/som
chmod 1777 /tmp
echo "$1" >$sysfs/limit_owner
echo $(($1 * 2)) >$sysfs/limit_user
shift
only=" $* "
read_pool
before=$pool

for program in /unprivileged/som_*; do
	name=${program##*/}
	case $name$skip in
	*.sh* | *" $name "*) continue ;;
	esac
	case $only in
	'  ' | *" $name "*) ;;
	*) continue ;;
	esac
	as_nobody timeout -s KILL 300 "$program" >/tmp/out 2>&1
	status=$?
	why='' late=''
	# Kill its children. A test may wait for something that these limits prevent, but
	# nothing may prevent that it is killed.
	wait_dead || why=' HUNG'
	wait_pool "$before" || why="$why LEFT:$pool"
	[ -z "$why" ] || failed=$((failed + 1))
	ok=$(grep -c '^ok' /tmp/out)
	passed=$((passed + ok))
	[ "$status" != 137 ] || late=' (ended after 300 s)'
	printf '%s: status %d, %d ok, %d not ok%s\n' "$name" "$status" "$ok" \
		"$(grep -c '^not ok' /tmp/out)" "$late$why"
done
echo "$passed cases passed; $failed programs hung, or left something behind"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
