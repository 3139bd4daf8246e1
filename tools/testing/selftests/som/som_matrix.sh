#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Real programs of Debian's with their heap on som, as som-run starts them, with each
# of three allocators: they print what they print without som, their heap is there, and
# the pool is afterwards what it was. On the generic kernel some of them, on others
# a few. "make matrix" (scripts/matrix.sh) runs all, servers and runtimes among them.
#
# SOM-TEST: programs timeout=600 takes=60
#
# shellcheck disable=SC2317 # functions are called by names in variables
#
#	som_matrix.sh [--all] [PROGRAM]...
#	som_matrix.sh --rst FILE
#
# --rst prints Documentation/admin-guide/allocators-matrix.rst, from what was printed
# with --all.

sysfs=/sys/class/misc/som
here=$(dirname "$0")
work=/tmp/matrix
more=/usr/lib/som-matrix
postgres=/usr/lib/postgresql/15/bin
export LC_ALL=C

# Programs, and what each is run with.
plan_of_check='redis:jemalloc,mimalloc,tcmalloc memcached:jemalloc,mimalloc,tcmalloc
	python:jemalloc,mimalloc,tcmalloc perl:jemalloc,mimalloc,tcmalloc
	sqlite:jemalloc,mimalloc,tcmalloc gcc:jemalloc,mimalloc,tcmalloc
	sort:jemalloc,mimalloc,tcmalloc malloc:jemalloc,mimalloc,tcmalloc
	vm:none'
plan_of_all="$plan_of_check
	mariadb:jemalloc,mimalloc,tcmalloc postgres:jemalloc,mimalloc,tcmalloc
	java_serial:none java_parallel:none java_g1:none,jemalloc,mimalloc,tcmalloc
	java_shenandoah:none java_z:none
	node:jemalloc,mimalloc,tcmalloc,none ruby:jemalloc,mimalloc,tcmalloc
	php:jemalloc,mimalloc,tcmalloc,none luajit:jemalloc,mimalloc,tcmalloc,none
	nginx:jemalloc,mimalloc,tcmalloc
	stacks:jemalloc,mimalloc,tcmalloc,none
	sandbox:jemalloc,mimalloc,tcmalloc core:jemalloc,mimalloc,tcmalloc,none
	maps:jemalloc,mimalloc,tcmalloc asan:none tsan:none"
scale=1
case ${SOM_KERNEL:-generic} in
generic)
	scale=2
	plan=$plan_of_check
	;;
cloud)
	plan='redis:jemalloc sort:tcmalloc'
	;;
*)
	plan='perl:mimalloc'
	;;
esac

# Set text, the units that the program uses at least with all of its data, and options of
# som-run.
describe()
{
	least=0 options=
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
	mariadb) text='mariadbd, InnoDB with O_DIRECT' least=12 ;;
	postgres) text='postgres, pgbench' least=4 ;;
	java_serial) text='java, serial collector' least=8 ;;
	java_parallel) text='java, parallel collector' least=8 ;;
	java_g1) text='java, G1 collector' least=8 ;;
	java_shenandoah) text='java, Shenandoah collector' least=8 ;;
	java_z) text='java, Z collector' ;;
	node) text='node, worker threads' least=1 ;;
	ruby) text='ruby, threads and fork' least=4 ;;
	php) text='php' least=4 ;;
	# It maps 128 KiB at a time.
	luajit) text='luajit' options='--min 64K' least=1 ;;
	nginx) text='nginx, gzip, reload' least=1 ;;
	stacks) text='threads on stacks of their own' least=4 ;;
	sandbox) text='threads with a seccomp filter' least=3 ;;
	core) text='core files, MADV_DONTDUMP' least=8 ;;
	maps) text='number of mappings, 200000 operations' least=50 ;;
	asan) text='built with AddressSanitizer' least=8 ;;
	tsan) text='built with ThreadSanitizer' least=8 ;;
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

# mount_direct: a file system that pins memory for O_DIRECT, on a RAM disk.
mount_direct()
{
	[ ! -d "$work/direct" ] || return 0
	for module in crc16 crc32c_generic mbcache jbd2 ext4; do
		/usr/sbin/insmod "$more/$module.ko" 2>>"$work/modules"
	done
	/usr/sbin/insmod /som/brd.ko rd_nr=1 rd_size=524288 &&
		mke2fs /dev/ram0 >/dev/null && mkdir "$work/direct" &&
		mount -t ext4 /dev/ram0 "$work/direct" && return
	cat "$work/modules"
	return 1
}

maria()
{
	mariadb --no-defaults -S "$out/socket" "$@"
}

# maria_tables NAME ROWS: SQL that makes, changes, optimizes and checks a table.
maria_tables()
{
	cat <<-END
	use som;
	create table $1(i int primary key auto_increment, k int, b varchar(300),
		c mediumtext) engine=innodb;
	insert into $1(k, b, c) select seq * 7919 % 10007, repeat(md5(seq), 5),
		repeat(sha1(seq), 20) from seq_1_to_$2;
	select count(*), sum(crc32(b)), sum(crc32(c)) from $1;
	alter table $1 add index(b), add index(k);
	update $1 set b = reverse(b), k = k + 1 where i % 3 = 0;
	start transaction;
	delete from $1 where i % 5 = 0;
	select count(*), sum(crc32(b)) from $1;
	rollback;
	delete from $1 where i % 7 = 0;
	optimize table $1;
	check table $1 extended;
	select k % 13, count(*), sum(crc32(c)) from $1 group by 1 order by 1;
	select sum(x.k * y.k) from $1 x join $1 y on x.b = y.b;
	select md5(group_concat(b order by b desc)) from $1 where i < 500;
	END
}

run_mariadb()
{
	mount_direct || return 1
	data=$work/direct/data
	rm -rf "$data"
	mkdir "$data"
	$run mariadbd --no-defaults --datadir="$data" --socket="$out/socket" \
		--pid-file="$out/pid" --skip-grant-tables --skip-networking \
		--user=root --lc-messages-dir=/usr/share/mysql \
		--innodb-flush-method=O_DIRECT --innodb-buffer-pool-size=48M \
		--innodb-log-file-size=16M --innodb-buffer-pool-dump-at-shutdown=0 \
		>>"$out/log" 2>&1 &
	server=$!
	wait_for maria -e 'select 1' || return 1
	maria -e 'create database som' || return 1
	maria_tables second 1500 | maria >"$out/second" 2>&1 &
	second=$!
	maria_tables first 2500 | maria >"$out/answer" 2>&1
	wait "$second"
	cat "$out/second" >>"$out/answer"
	maria -e 'shutdown'
	wait "$server" || echo "mariadbd: status $?" >>"$out/answer"
	grep -E '\[ERROR\]|signal' "$out/log" | grep -v "mysql\\.\|'./mysql/'" \
		>>"$out/answer"
	rm -rf "$data"
	return 0
}

# as_nobody COMMAND ARGS
as_nobody()
{
	# shellcheck disable=SC2016 # perl's variables
	perl -e '$( = $) = "65534 65534"; $< = $> = 65534; exec @ARGV or die' "$@"
}

is_postgres_up()
{
	"$postgres/pg_isready" -q -h "$out"
}

run_postgres()
{
	[ -d "$work/cluster" ] || {
		mkdir "$work/cluster"
		chown nobody "$work/cluster"
		as_nobody "$postgres/initdb" -D "$work/cluster" -U nobody -A trust \
			-E UTF8 --locale=C --no-sync >"$work/initdb" 2>&1 || {
			cat "$work/initdb"
			return 1
		}
	}
	# It refuses to run as root.
	chmod 666 /dev/som
	rm -rf "$out/data"
	cp -a "$work/cluster" "$out/data"
	chown nobody "$out"
	# shellcheck disable=SC2086 # words
	as_nobody $run "$postgres/postgres" -D "$out/data" -k "$out" -h '' \
		-c fsync=off -c autovacuum=off -c jit=off -c shared_buffers=16MB \
		-c work_mem=48MB -c max_parallel_workers_per_gather=0 \
		>>"$out/log" 2>&1 &
	server=$!
	wait_for is_postgres_up || return 1
	"$postgres/pgbench" -h "$out" -U nobody -i -q -s 1 postgres \
		>>"$out/log" 2>&1 || return 1
	"$postgres/pgbench" -h "$out" -U nobody -n -c 3 -j 1 -t 60 postgres \
		>"$out/bench" 2>&1 || return 1
	cat "$out/bench" >>"$out/log"
	grep 'transactions actually' "$out/bench" >"$out/answer"
	"$postgres/psql" -X -A -t -h "$out" -U nobody -d postgres >>"$out/answer" \
		2>&1 <<-'END'
	select count(*), (select sum(delta) from pgbench_history) = sum(abalance),
		(select sum(bbalance) from pgbench_branches) = sum(abalance),
		(select sum(tbalance) from pgbench_tellers) = sum(abalance)
		from pgbench_accounts;
	select count(*), max(x), md5(string_agg(x, ',')) from (select
		md5(i::text) || md5((i * 7)::text) x from
		generate_series(1, 60000) i order by 1) s;
	select sum(length(repeat(md5(i::text), 300))) from generate_series(1, 3000) i;
	create table t as select i, md5(i::text) b from generate_series(1, 30000) i;
	create index on t(b);
	vacuum full analyze t;
	select count(*), sum(x.i) from t x join t y using(b) where x.b > '8';
	END
	kill -INT "$(head -n 1 "$out/data/postmaster.pid")"
	wait "$server" || echo "postgres: status $?" >>"$out/answer"
	rm -rf "$out/data"
	return 0
}

# run_java COLLECTOR
run_java()
{
	$run /usr/lib/jvm/java-17-openjdk-amd64/bin/java -Xmx96m \
		"-XX:+Use$1GC" -cp "$more" Matrix 12000 >"$out/answer" 2>>"$out/log"
}

run_java_serial()
{
	run_java Serial
}

run_java_parallel()
{
	run_java Parallel
}

run_java_g1()
{
	run_java G1
}

run_java_shenandoah()
{
	run_java Shenandoah
}

run_java_z()
{
	run_java Z
}

run_node()
{
	cat >"$out/main.js" <<-'END'
	const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
	function work(seed) {
	  const map = new Map();
	  let x = seed, sum = 0;
	  for (let i = 0; i < 15000; i++) {
	    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
	    const key = x % 700, old = map.get(key);
	    if (old)
	      sum = (sum * 31 + old.b[old.b.length - 1] + old.s.length) >>> 0;
	    const b = Buffer.alloc(1 + (x >>> 8) % (i % 50 ? 9000 : 300000), key);
	    map.set(key, { b, s: 'x'.repeat(key) + i });
	  }
	  return sum;
	}
	if (isMainThread) {
	  const results = [];
	  for (let i = 0; i < 2; i++)
	    new Worker(__filename, { workerData: i + 1 }).on('message', (m) => {
	      results[i] = m;
	      if (results[0] !== undefined && results[1] !== undefined)
	        console.log(results.join(' '), work(7));
	    });
	} else {
	  parentPort.postMessage(work(workerData));
	}
	END
	$run node "$out/main.js" >"$out/answer" 2>>"$out/log"
}

run_ruby()
{
	$run ruby3.1 --disable=gems - >"$out/answer" 2>>"$out/log" <<-'END'
	data = (1..40000).map { |i| ["key#{i}", "value#{i}" * 20, i] }
	index = data.each_with_object({}) { |(k, v, i), h| h[k] = [v, i] }
	threads = 3.times.map { |t|
	  Thread.new { data.select { |_, _, i| i % 3 == t }.sum { |_, v, _| v.sum } }
	}
	puts threads.map(&:value).inspect
	$stdout.flush
	pid = fork {
	  index.each_key { |k| index[k][0].upcase! }
	  GC.start
	  puts index.sum { |_, (v, _)| v.sum }
	}
	data.each { |d| d[1] << "parent" }
	Process.wait(pid)
	puts $?.exitstatus, index.sum { |_, (v, _)| v.sum }
	index = nil
	GC.start
	GC.compact
	puts data.sum { |_, v, i| v.hash == v.dup.hash ? i : 0 }
	END
}

run_php()
{
	# shellcheck disable=SC2016 # php's variables
	$run php8.2 -n -d memory_limit=-1 -d display_errors=stderr -r '
		$data = []; $sum = 0;
		for ($round = 0; $round < 3; $round++) {
			for ($i = 0; $i < 30000; $i++)
				$data["key$i"] = ["value" => str_repeat("v$i", 30 + $round), "n" => $i];
			for ($i = $round; $i < 30000; $i += 3)
				unset($data["key$i"]);
			foreach ($data as $k => $d)
				$sum = ($sum * 31 + crc32($d["value"])) & 0xffffffff;
		}
		ksort($data);
		$big = serialize($data);
		echo count($data), " ", $sum, " ", strlen($big), " ", md5($big), "\n";
		$again = unserialize($big);
		echo $again == $data ? "the same\n" : "another\n";
		echo md5(preg_replace("/v(\\d+)/", "<$1>", $big)), "\n";' \
		>"$out/answer" 2>>"$out/log"
}

run_luajit()
{
	cat >"$out/main.lua" <<-'END'
	local bit = require("bit")
	local t, x, sum = {}, 1, 0
	for i = 1, 150000 do
		x = bit.band(x * 1103 + 12345, 0x7fffff)
		local k = x % 20000
		local old = t[k]
		if old then sum = (sum * 31 + #old.s + old.i) % 1000000007 end
		t[k] = { s = string.rep("s" .. k, 1 + k % 40), i = i, l = { i, k, x } }
	end
	collectgarbage()
	print(sum)
	local parts = {}
	for k = 0, 19999 do parts[#parts + 1] = t[k] and t[k].s or "" end
	local all = table.concat(parts)
	for i = 1, #all, 1009 do sum = (sum * 31 + all:byte(i)) % 1000000007 end
	print(#all, sum)
	END
	$run luajit "$out/main.lua" >"$out/answer" 2>>"$out/log"
}

# fetch NAME [OPTION...]
fetch()
{
	name=$1
	shift
	wget -q -O - "$@" "http://127.0.0.1:8080/$name"
}

run_nginx()
{
	mkdir -p "$out/tmp"
	cat >"$out/conf" <<-END
	daemon off; user root root; worker_processes 2; pid $out/pid;
	error_log stderr notice;
	events { worker_connections 64; }
	http {
		access_log off; sendfile off; output_buffers 2 4m;
		gzip on; gzip_types *; gzip_min_length 1; gzip_comp_level 4;
		client_body_temp_path $out/tmp; proxy_temp_path $out/tmp;
		fastcgi_temp_path $out/tmp; uwsgi_temp_path $out/tmp;
		scgi_temp_path $out/tmp;
		server { listen 127.0.0.1:8080; root $work; }
	}
	END
	$run nginx -c "$out/conf" -e stderr -p "$out" >>"$out/log" 2>&1 &
	server=$!
	wait_for fetch small || return 1
	for round in first second; do
		echo "$round"
		fetch lines >"$out/one" &
		one=$!
		fetch lines --header 'Accept-Encoding: gzip' >"$out/two" &
		two=$!
		wait "$one"
		wait "$two"
		sha256sum <"$out/one"
		zcat <"$out/two" | sha256sum
		kill -HUP "$server"
		sleep 1
		fetch small
	done >"$out/answer"
	kill -QUIT "$server"
	wait "$server" || echo "nginx: status $?" >>"$out/answer"
	grep -E 'exited on signal|\[alert\]' "$out/log" >>"$out/answer"
	return 0
}

run_stacks()
{
	$run "$here/matrix" stacks >"$out/answer" 2>>"$out/log"
}

run_sandbox()
{
	$run "$here/matrix" sandbox >"$out/answer" 2>>"$out/log"
}

run_core()
{
	echo "$work/dump" >/proc/sys/kernel/core_pattern
	$run "$here/matrix" core "$work/dump" >"$out/answer" 2>>"$out/log" || return 1
	! grep -v ': 0 pages wrong' "$out/answer"
}

# Each allocator gives back what it can, as soon as it can, and in the way that it has
# without overcommitment: at most twice as many mappings as without som.
run_maps()
{
	sysctl -q -w vm.overcommit_memory=2 vm.overcommit_ratio=95
	export MALLOC_CONF=narenas:1,dirty_decay_ms:0,muzzy_decay_ms:0
	export MIMALLOC_RESET_DELAY=0 TCMALLOC_RELEASE_RATE=10
	result=0
	$run "$here/matrix" maps >"$out/answer" 2>>"$out/log" || result=1
	if [ -n "$run" ] && [ -n "$library" ] && [ "$result" = 0 ]; then
		LD_PRELOAD=$library "$here/matrix" maps >/dev/null 2>"$out/plain" ||
			result=1
		with=$(sed -n 's/^mappings //p' "$out/log")
		without=$(sed -n 's/^mappings //p' "$out/plain")
		echo "# $allocator: $with mappings, $without without som"
		[ "$with" -le $((2 * without)) ] || result=1
	fi
	sysctl -q -w vm.overcommit_memory=0
	unset MALLOC_CONF MIMALLOC_RESET_DELAY TCMALLOC_RELEASE_RATE
	return "$result"
}

run_asan()
{
	run_sanitizer asan AddressSanitizer
}

run_tsan()
{
	run_sanitizer tsan ThreadSanitizer
}

# run_sanitizer SUFFIX NAME: som-run says that it has an allocator of its own.
run_sanitizer()
{
	$run "$here/matrix_$1" work >"$out/answer" 2>>"$out/log" || return 1
	[ -z "$run" ] || grep -q "is built with $2, which" "$out/log" || {
		echo "som-run does not tell of $2"
		return 1
	}
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
	# What a program has to say for the log.
	grep '^#' "$out/said"
	if [ -z "$why" ] && ! cmp -s "$work/$1/answer" "$out/answer"; then
		why='another answer'
		diff "$work/$1/answer" "$out/answer" | head -n 5 | sed 's/^/# /'
	fi
	wait_for is_back || why="${why:-left behind: $(numbers), not $base}"
}

# library_of ALLOCATOR
library_of()
{
	case $1 in
	jemalloc) echo /usr/lib/x86_64-linux-gnu/libjemalloc.so.2 ;;
	mimalloc) echo /usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0 ;;
	tcmalloc) echo /usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4 ;;
	esac
}

# with_som PROGRAM ALLOCATOR: sets why if anything is wrong, and units.
with_som()
{
	out=$work/$1.$2 run="$here/som-run --allocator $2 $options --verbose"
	why='' units=-1 runs=0 library=$(library_of "$2")
	base=$(numbers)
	# Who counts may have stood still while the program had its data.
	while [ -z "$why" ] && [ "$units" -lt "$least" ] && [ "$runs" -lt 3 ]; do
		sampled "$1"
		runs=$((runs + 1))
	done
	[ "$units" -ge "$least" ] || why="${why:-only $units units on som}"
	[ -z "$why" ] || tail -n 10 "$out/log" | sed 's/^/# /'
}

# fails_alone PROGRAM ALLOCATOR: with that allocator and without som; sets alone.
fails_alone()
{
	[ -n "$library" ] || return 1
	out=$work/$1.alone run="env LD_PRELOAD=$library" alone=
	rm -rf "$out"
	mkdir -p "$out"
	if ! "run_$1" >"$out/said" 2>&1; then
		alone='fails'
	elif ! cmp -s "$work/$1/answer" "$out/answer"; then
		alone='gives another answer'
	fi
	[ -n "$alone" ]
}

# units_of ALLOCATOR: what the results say of $program with it.
units_of()
{
	sed -n "s/^ok [0-9]* $program, $1: \([0-9]*\) units.*/\1/p
		s/^ok [0-9]* $program, $1: .* # SKIP.*/fails anyway/p
		s/^not ok [0-9]* $program, $1:.*/failed/p" "$results" | grep . ||
		echo -
}

print_table()
{
	line='======================================  ============  ============  ============  ============'
	cat <<-'END'
	.. SPDX-License-Identifier: GPL-2.0
	.. Printed by tools/testing/selftests/som/som_matrix.sh --rst

	=====================================
	Programs and allocators tried on som
	=====================================

	Programs of Debian 12 as ``som-run`` starts them. A number says that the program
	printed what it prints without som, and how many units of 2 MiB were in use at the
	peak, with those of its children; the pool was what it had been when they had
	ended. *fails anyway* says that the program fails with this allocator without som,
	too. ``make matrix`` runs them all.

	END
	echo "$line"
	printf '%-38s  %-12s  %-12s  %-12s  %s\n' program jemalloc mimalloc tcmalloc none
	echo "$line"
	for entry in $plan_of_all; do
		program=${entry%%:*}
		describe "$program"
		printf '%-38s  %-12s  %-12s  %-12s  %s\n' "$text" \
			"$(units_of jemalloc)" "$(units_of mimalloc)" \
			"$(units_of tcmalloc)" "$(units_of none)"
	done
	echo "$line"
	cat <<-'END'

	*none* is the program with glibc's malloc, which stays on ordinary memory: what is on
	som is what the program maps itself.

	redis-server writes its snapshot in a child while all keys change, and another server
	reads it: it has the keys as they were. mariadbd has its files on ext4 on a RAM disk,
	and reads and writes them with O_DIRECT from its buffer pool; two clients fill, change,
	optimize and check tables. postgres runs pgbench, and its sums agree.

	A program that is built with AddressSanitizer or ThreadSanitizer has an allocator of
	its own, below which no other can be put: ``som-run`` says so, and only what the program
	maps itself goes to som. The Z collector has its heap in a memory file, which is shared,
	and so ordinary memory.
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

echo 'a small file' >"$work/small"
if [ "${1:-}" = --all ]; then
	plan=$plan_of_all
	shift
fi
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
	plain=
	plain "$program" && [ -s "$work/$program/answer" ] || plain='fails'
	read -r now _ </proc/uptime
	echo "# $program without som: $(echo "$now $start" |
		awk '{ printf "%.1f", $1 - $2 }') s"
	for allocator in $(echo "${entry#*:}" | tr ',' ' '); do
		if [ -n "$plain" ]; then
			ktap_test_fail "$program, $allocator: it fails without som: $(
				cat "$work/$program/said" "$work/$program/log" 2>/dev/null |
					tail -n 3 | tr '\n' ' ')"
			continue
		fi
		read -r start _ </proc/uptime
		with_som "$program" "$allocator"
		read -r now _ </proc/uptime
		if [ -z "$why" ]; then
			seconds=$(echo "$now $start" |
				awk '{ printf "%.1f", $1 - $2 }')
			ktap_test_pass "$program, $allocator: $units units, $seconds s"
			continue
		fi
		result=$why
		if fails_alone "$program" "$allocator"; then
			ktap_test_skip "$program, $allocator: it $alone without som, too"
		else
			ktap_test_fail "$program, $allocator: $result"
		fi
	done
done
ktap_finished
