#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Real programs of Debian's with their heap on som, as som-run starts them, with each
# of three allocators: they print what they print without som, their heap is there, and
# the pool is afterwards what it was. On the generic kernel all of them, on others
# a few.
#
# SOM-TEST: programs timeout=600 takes=60
#
# shellcheck disable=SC2317 # functions are called by names in variables
#
#	som_matrix.sh [PROGRAM]...
#	som_matrix.sh --rst FILE
#
# --rst prints Documentation/admin-guide/allocators-matrix.rst, from what was printed
# on the generic kernel.

sysfs=/sys/class/misc/som
here=$(dirname "$0")
work=/tmp/matrix
export LC_ALL=C

# Programs, and what each is run with.
case ${SOM_KERNEL:-generic} in
generic)
	scale=2
	plan='redis:jemalloc,mimalloc,tcmalloc memcached:jemalloc,mimalloc,tcmalloc
	      python:jemalloc,mimalloc,tcmalloc perl:jemalloc,mimalloc,tcmalloc
	      sqlite:jemalloc,mimalloc,tcmalloc gcc:jemalloc,mimalloc,tcmalloc
	      sort:jemalloc,mimalloc,tcmalloc malloc:jemalloc,mimalloc,tcmalloc
	      vm:none'
	;;
cloud)
	scale=1
	plan='redis:jemalloc sort:tcmalloc'
	;;
*)
	scale=1
	plan='perl:mimalloc'
	;;
esac

# What is run, and the units it has at least when it has all of its data.
describe()
{
	case $1 in
	redis) text='redis-server, BGSAVE while keys change' least=$((3 * scale)) ;;
	memcached) text='memcached' least=4 ;;
	python) text='python3, multiprocessing with fork' least=8 ;;
	perl) text='perl, fork' least=$((4 * scale)) ;;
	sqlite) text='sqlite3, database in memory' least=5 ;;
	gcc) text='gcc -O1' least=3 ;;
	sort) text='sort' least=4 ;;
	malloc) text='stress-ng --malloc' least=4 ;;
	vm) text='stress-ng --vm' least=8 ;;
	esac
}

# Each of these runs the program as $run says and writes what is to be the same
# with som into $out/answer. What else it says goes to $out/log.

# redis_cli NAME [ARGS]
redis_cli()
{
	socket=$out/$1/socket
	shift
	redis-cli -s "$socket" "$@"
}

wait_for()
{
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ "$tries" -lt 600 ] || return 1
		sleep 0.1
	done
}

is_saved()
{
	redis_cli first info persistence | tr -d '\r' >"$out/persistence"
	grep -q '^rdb_bgsave_in_progress:0' "$out/persistence"
}

# It has a socket some time before it listens.
is_up()
{
	redis_cli "$1" ping | grep -q PONG
}

# start_redis NAME [PROGRAM ARGS]: sets server.
start_redis()
{
	name=$1
	shift
	mkdir -p "$out/$name"
	"$@" redis-server --port 0 --unixsocket "$out/$name/socket" --save '' \
		--appendonly no --enable-debug-command yes --dir "$out" \
		>>"$out/log" 2>&1 &
	server=$!
	wait_for is_up "$name"
}

change_keys="for i = 0, ARGV[1] - 1 do redis.call('SET', 'key:' .. i, \
string.rep(i, 200)) end return redis.call('DBSIZE')"

# All keys change while the child writes: it has to have the old ones. Another server,
# without som, reads what was saved.
run_redis()
{
	keys=$((1300 * scale))
	# shellcheck disable=SC2086 # words
	start_redis first $run || return 1
	redis_cli first >"$out/answer" <<-END
	debug populate $keys key 2000
	debug digest
	bgsave
	eval "$change_keys" 0 $keys
	debug digest
	END
	wait_for is_saved || return 1
	grep '^rdb_last_bgsave_status' "$out/persistence" >>"$out/answer"
	redis_cli first shutdown nosave >/dev/null 2>&1
	wait "$server"
	start_redis second || return 1
	redis_cli second debug digest >"$out/saved"
	redis_cli second shutdown nosave >/dev/null 2>&1
	wait "$server"
	cat "$out/saved" >>"$out/answer"
	sed -n 2p "$out/answer" | cmp -s - "$out/saved" || {
		echo "the dump has $(cat "$out/saved")"
		return 1
	}
}

# shellcheck disable=SC2016 # perl's variables
memcached_client='use strict; use Socket;
socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die;
my $tries = 0;
until (connect($s, sockaddr_un($ARGV[0]))) {
	die if ++$tries == 600;
	select(undef, undef, undef, 0.1);
}
select((select($s), $| = 0)[0]);
my $n = 1500;
for my $i (1 .. $n) {
	my $v = "value$i" x (200 + $i % 200);
	print $s "set key$i 0 0 ", length($v), " noreply\r\n$v\r\n";
}
print $s "delete key7\r\n";
select((select($s), $| = 1)[0]);
print scalar(<$s>);
my ($got, $sum) = (0, 0);
for my $i (1 .. $n / 10) {
	my $k = $i * 10 - 3;
	print $s "get key$k\r\n";
	while (defined(my $line = <$s>)) {
		last if $line =~ /^END/;
		next if $line =~ /^VALUE/;
		$got++;
		$sum = ($sum * 31 + unpack("%32C*", $line)) % 1000000007;
	}
}
print "$got values, sum $sum\n";
print $s "flush_all\r\n";
print scalar(<$s>);'

run_memcached()
{
	$run memcached -u root -s "$out/socket" -m 64 -t 2 >>"$out/log" 2>&1 &
	server=$!
	wait_for test -S "$out/socket" || return 1
	perl -e "$memcached_client" "$out/socket" >"$out/answer"
	kill "$server"
	wait "$server"
	return 0
}

run_python()
{
	PYTHONMALLOC=malloc $run python3 -I -S - >"$out/answer" 2>>"$out/log" <<-'END'
	import multiprocessing
	data = [{"n": i, "s": str(i) * 5, "l": [i] * 3} for i in range(12000)]

	def part(k):
	    return sum(len(d["s"]) + sum(d["l"]) for d in data[k::4])

	with multiprocessing.get_context("fork").Pool(2) as pool:
	    print(pool.map(part, range(4)))
	for d in data:
	    d["l"].append(d["n"])
	print(sum(map(part, range(4))))
	END
}

run_perl()
{
	# shellcheck disable=SC2016 # perl's variables
	$run perl -e 'use strict;
		my ($n, $sum) = ($ARGV[0], 0);
		my %h = map { ("key$_" => "value$_" x 8) } 1 .. $n;
		$| = 1;
		for my $child (1 .. 3) {
			my $pid = fork() // die "fork: $!";
			if (!$pid) {
				$sum += length($h{"key$_"}) for 1 .. $n;
				$h{"key$_"} = "child" for 1 .. $n / 10;
				print "child $child: $sum\n";
				exit 0;
			}
			$h{"key$_"} .= "parent" for 1 .. $n / 10;
			waitpid($pid, 0);
			die "child: $?" if $?;
		}
		$sum += unpack("%32C*", $h{"key$_"}) for 1 .. $n;
		print "parent: $sum\n";' $((12000 * scale)) \
		>"$out/answer" 2>>"$out/log"
}

run_sqlite()
{
	$run sqlite3 :memory: >"$out/answer" 2>>"$out/log" <<-'END'
	create table t(a integer primary key, b text, c integer);
	with recursive n(i) as (select 1 union all select i + 1 from n
		where i < 8000)
		insert into t select i, printf('%0600d', i * 7919 % 8009),
			i % 97 from n;
	create index ib on t(b);
	select count(*), sum(c), min(b), max(b) from t;
	select c, count(*) from t group by c order by 2 desc, 1 limit 5;
	delete from t where c % 3 = 0;
	select sum(length(b)), total(a) from t where b > printf('%0600d', 4000);
	pragma integrity_check;
	END
}

# The compiler's processes are made by vfork.
run_gcc()
{
	$run gcc -O1 -c -o "$out/object" "$here/matrix.i" 2>>"$out/log" &&
		sha256sum <"$out/object" >"$out/answer"
}

run_sort()
{
	$run /usr/bin/sort -S 24M --parallel=2 "$work/lines" 2>>"$out/log" |
		sha256sum >"$out/answer"
}

run_stress()
{
	$run stress-ng --no-rand-seed --temp-path "$out" --verify "$@" \
		>>"$out/log" 2>&1
	echo "status $?" >"$out/answer"
}

run_malloc()
{
	run_stress --malloc 1 --malloc-bytes 16M --malloc-ops 200
}

run_vm()
{
	run_stress --vm 1 --vm-bytes 32M --vm-method walk-1d --vm-ops 4000
}

# sample: the most units that are in use at a time, page-backed ones among them, until it is
# told to stop.
sample()
{
	most=0
	while [ -e "$work/sampling" ]; do
		read -r used <"$sysfs/units_used"
		read -r pages <"$sysfs/units_page_backed"
		used=$((used + pages))
		[ "$used" -le "$most" ] || most=$used
		sleep 0.1
	done
	echo "$most" >"$work/most"
}

# numbers: what has to be the same afterwards.
numbers()
{
	cat "$sysfs/units_used" "$sysfs/units_committed" \
		"$sysfs/units_quarantined" "$sysfs/units_free" | tr '\n' ' '
}

is_back()
{
	[ "$(numbers)" = "$base" ]
}

# plain PROGRAM: its answer without som.
plain()
{
	out=$work/$1 run=
	mkdir -p "$out"
	"run_$1" >"$out/said" 2>&1
}

# sampled PROGRAM: once with som; sets why and units.
sampled()
{
	rm -rf "$out"
	mkdir -p "$out"
	: >"$work/sampling"
	sample &
	sampler=$!
	"run_$1" >"$out/said" 2>&1 || why="it failed: $(cat "$out/said")"
	rm "$work/sampling"
	wait "$sampler"
	units=$(cat "$work/most")
	if [ -z "$why" ] && ! cmp -s "$work/$1/answer" "$out/answer"; then
		why='another answer'
		diff "$work/$1/answer" "$out/answer" | head -n 5 | sed 's/^/# /'
	fi
	wait_for is_back || why="${why:-left behind: $(numbers), not $base}"
}

# with_som PROGRAM ALLOCATOR: sets why if anything is wrong, and units.
with_som()
{
	out=$work/$1.$2 run="$here/som-run --allocator $2 --verbose"
	why='' units=0 runs=0
	base=$(numbers)
	# Who counts may have stood still while the program had its data.
	while [ -z "$why" ] && [ "$units" -lt "$least" ] && [ "$runs" -lt 3 ]; do
		sampled "$1"
		runs=$((runs + 1))
	done
	[ "$units" -ge "$least" ] || why="${why:-only $units units on som}"
	[ -z "$why" ] || tail -n 10 "$out/log" | sed 's/^/# /'
}

# units_of ALLOCATOR: what the results say of $program with it.
units_of()
{
	sed -n "s/^ok [0-9]* $program, $1: \([0-9]*\) units.*/\1/p
		s/^not ok [0-9]* $program, $1:.*/failed/p" "$results" | grep . ||
		echo -
}

print_table()
{
	cat <<-'END'
	.. SPDX-License-Identifier: GPL-2.0
	.. Printed by tools/testing/selftests/som/som_matrix.sh --rst

	=====================================
	Programs and allocators tried on som
	=====================================

	Programs of Debian 12 as ``som-run`` starts them. A number says that the program
	printed what it prints without som, and how many units of 2 MiB were in use at the
	peak, with those of its children; the pool was what it had been when they had
	ended.

	======================================  ========  ========  ========  ========
	program                                 jemalloc  mimalloc  tcmalloc  none
	======================================  ========  ========  ========  ========
	END
	for entry in $plan; do
		program=${entry%%:*}
		describe "$program"
		printf '%-38s  %-8s  %-8s  %-8s  %s\n' "$text" \
			"$(units_of jemalloc)" "$(units_of mimalloc)" \
			"$(units_of tcmalloc)" "$(units_of none)"
	done
	cat <<-'END'
	======================================  ========  ========  ========  ========

	redis-server writes its snapshot in a child while all keys change, and another server
	reads it: it has the keys as they were. *none* is a program that maps memory
	itself.
	END
}

if [ "${1:-}" = --rst ]; then
	results=$2
	print_table
	exit
fi
# shellcheck source=/dev/null
. "$here/../kselftest/ktap_helpers.sh"
rm -rf "$work"
mkdir -p "$work"
awk -v n=60000 'BEGIN {
	for (x = 1; i < n; i++) {
		x = (x * 16807) % 2147483647
		printf "%x-%d-%s\n", x, x % 9973, "some more text of this line"
	}
}' >"$work/lines"

if [ $# -gt 0 ]; then
	all=$plan plan=
	for name; do
		for entry in $all; do
			[ "${entry%%:*}" != "$name" ] || plan="$plan $entry"
		done
	done
fi
# shellcheck disable=SC2086 # words
count=$(echo $plan | tr ' ' '\n' | cut -d : -f 2 | tr ',' '\n' | wc -l)
ktap_print_header
ktap_set_plan "$count"
for entry in $plan; do
	program=${entry%%:*}
	describe "$program"
	read -r start _ </proc/uptime
	plain "$program"
	read -r now _ </proc/uptime
	echo "# $program without som: $(echo "$now $start" |
		awk '{ printf "%.1f", $1 - $2 }') s"
	for allocator in $(echo "${entry#*:}" | tr ',' ' '); do
		read -r start _ </proc/uptime
		with_som "$program" "$allocator"
		read -r now _ </proc/uptime
		if [ -z "$why" ] && [ -s "$work/$program/answer" ]; then
			seconds=$(echo "$now $start" |
				awk '{ printf "%.1f", $1 - $2 }')
			ktap_test_pass "$program, $allocator: $units units, $seconds s"
		else
			ktap_test_fail "$program, $allocator: ${why:-no answer}"
		fi
	done
done
ktap_finished
