#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# demo-guest.sh LIBDIR: the part of the demo that runs in the virtual machine; see
# demo.sh. Exits with 0 when the answers agree and the heap was on som.

export LD_LIBRARY_PATH="$1"
redis=/demo/usr/bin
sys=/sys/class/misc/som
tracing=/sys/kernel/tracing
out=/tmp/demo
socket=$out/socket
mkdir -p "$out"

now()
{
	cut -d ' ' -f 1 /proc/uptime
}

say()
{
	printf '   [%6.1f s] %s\n' "$(now)" "$*"
}

fail()
{
	say "failed: $*"
	[ ! -s "$out/log" ] || tail -n 5 "$out/log"
	exit 1
}

cli()
{
	"$redis/redis-cli" -s "$socket" "$@"
}

# The kernel's trace of its allocations shows som's metadata for redis: the allocations of
# som.ko, and the nodes of its xarrays. It does not contain the inode of the mappings and
# the tree of reservations, about 2 KiB: their nodes cannot be distinguished from the
# kernel's.
trace_records()
{
	events=$tracing/events/kmem
	echo 'call_site.function == xas_alloc' \
		>"$events/kmem_cache_alloc/filter" ||
		fail "allocations cannot be traced"
	awk '$1 == "som" { print $6, $2 }' /proc/modules | {
		read -r base size
		printf 'call_site >= %s && call_site < 0x%x' \
			"$base" $((base + size))
	} >"$events/kmalloc/filter" || fail "allocations cannot be traced"
	echo 1 >"$events/kmem_cache_alloc/enable"
	echo 1 >"$events/kmalloc/enable"
	# The metadata of a chunk is allocated when the chunk enters the pool.
	echo $$ >"$tracing/set_event_pid"
	chunks=$(cat "$sys/nr_chunks")
	echo 0 >"$sys/nr_chunks"
	echo "$chunks" >"$sys/nr_chunks"
}

# start MEMORY: start redis without snapshots, whose children would distort the figures.
start()
{
	preload='' follow=/dev/null
	if [ "$1" = som ]; then
		preload=/demo/libsom_preload.so
		follow=$tracing/set_event_pid
	fi
	# shellcheck disable=SC2016 # for the shell that becomes redis
	sh -c 'echo $$ >"$1"; export LD_PRELOAD="$2"; shift 2; exec "$@"' sh \
		"$follow" "$preload" \
		"$redis/redis-server" --port 0 --unixsocket "$socket" --save '' \
		--appendonly no --enable-debug-command yes --dir "$out" \
		>"$out/log" 2>&1 &
	pid=$!
	tries=0
	until cli ping >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ "$tries" -ge 60 ] || ! kill -0 "$pid" 2>/dev/null; then
			fail "redis does not start"
		fi
		sleep 0.5
	done
}

stop()
{
	cli shutdown nosave >/dev/null 2>&1
	wait "$pid"
}

load()
{
	/demo/packages load </demo/index | cli --pipe >"$out/load" 2>&1 ||
		fail "$(cat "$out/load")"
	grep -q '^errors: 0,' "$out/load" || fail "$(cat "$out/load")"
}

sum_sizes="local n, bytes = 0, 0
for _, name in ipairs(redis.call('ZRANGE', 'installed-size', 0, -1)) do
	n = n + 1
	bytes = bytes + redis.call('HGET', 'pkg:' .. name, 'Size')
end
return n .. ' packages, ' .. string.format('%.0f', bytes) .. ' bytes to download'"

rewrite_docs="local names = redis.call('SORT', 'section:doc', 'ALPHA')
for i, name in ipairs(names) do
	redis.call('DEL', 'pkg:' .. name)
	redis.call('SET', 'doc:' .. i, string.rep(name, 40))
end
return #names .. ' rewritten'"

# The queries do not depend on the random order of redis' hash tables.
ask()
{
	cli dbsize
	cli <"$out/queries"
	cli zrevrange installed-size 0 20 withscores
	cli sort section:games limit 0 50 alpha
	cli scard needed-by:libc6
	cli sinter section:python needed-by:libssl3 | sort
	cli eval "$sum_sizes" 0
	cli eval "$rewrite_docs" 0
	cli debug digest
}

status()
{
	sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" "/proc/$pid/status"
}

# fdinfo FIELD: print a field of the fdinfo of redis' descriptor of /dev/som.
fdinfo()
{
	for fd in /proc/"$pid"/fd/*; do
		if [ "$(readlink "$fd")" = /dev/som ]; then
			sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" \
				"/proc/$pid/fdinfo/${fd##*/}"
			return
		fi
	done
}

# keep NAME VALUE; kept NAME
keep()
{
	printf '%s' "$2" >"$out/kept.$1"
}

kept()
{
	cat "$out/kept.$1"
}

# measure MEMORY: run redis and store its figures; sizes in KiB.
measure()
{
	keep "$1.faults" "$(awk '{ print $10 + $12 }' "/proc/$pid/stat")"
	keep "$1.pte" "$(status VmPTE)"
	keep "$1.anon" "$(status RssAnon)"
	keep "$1.heap" "$(cli info memory |
		sed -n 's/^used_memory:\([0-9]*\).*/\1/p' |
		awk '{ print int($1 / 1024) }')"
}

run()
{
	began=$(now)
	start "$1"
	say "redis runs, process $pid: loading"
	load
	say "loaded $(cli dbsize) keys: asking"
	ask >"$out/answers.$1" || fail "no answers"
	measure "$1"
	keep "$1.time" "$(echo "$began $(now)" |
		awk '{ printf "%.1f", $2 - $1 }')"
}

say "kernel $(uname -r), $(cat "$sys/units_total") units of 2 MiB in the pool"
/demo/packages query 500 </demo/index >"$out/queries"

say "ordinary memory"
run plain
stop

say "memory from /dev/som"
[ "$(cat "$sys/units_used")" = 0 ] || fail "units are in use before the start"
trace_records
run som
echo 0 >"$tracing/tracing_on"
records=$(sed -n 's/.*bytes_alloc=\([0-9]*\).*/\1/p' "$tracing/trace" |
	awk '{ n += $1 } END { print int((n + 1023) / 1024) }')
used=$(cat "$sys/units_used")
page_backed=$(cat "$sys/units_page_backed")
mapped=$(fdinfo som-mapped-kB)
owner=$(fdinfo som-owner)
units_2m=$(fdinfo som-units-2M)
units_4k=$(fdinfo som-units-4K)
maps=$(grep -c /dev/som "/proc/$pid/maps")
stop
left=$(cat "$sys/units_used")

# Struct pages take 64 bytes for each 4 KiB of ordinary memory. A chunk has one 4 KiB page
# of them if the kernel optimises HugeTLB, otherwise all 16 MiB.
chunk_meta=16384
[ "$(cat /proc/sys/vm/hugetlb_optimize_vmemmap)" = 0 ] || chunk_meta=4
keep plain.records 0
keep som.records "$records"
for memory in plain som; do
	pages=$(($(kept $memory.anon) / 64))
	[ $memory = plain ] || pages=$((pages + chunks * chunk_meta))
	keep $memory.pages "$pages"
	keep $memory.meta $((pages + $(kept $memory.pte) + \
		$(kept $memory.records)))
done

# row TEXT UNIT FIGURE: print one line of the report.
row()
{
	printf '   %-34s %10s %-3s %10s %s\n' "$1" \
		"$(kept "plain.$3")" "$2" "$(kept "som.$3")" "$2"
}

keep plain.units 0
keep som.units "$used"

cat <<-END

	   redis-server with jemalloc, $(head -n 1 "$out/answers.som") keys, snapshots (fork) off

	$(printf '   %-34s %14s %14s' '' 'ordinary' 'on som')
	$(row 'data, as redis counts it' KiB heap)
	$(row 'ordinary memory (RssAnon)' KiB anon)
	$(row 'units of 2 MiB used' '' units)
	$(row 'page faults' '' faults)
	$(row 'page tables (VmPTE)' KiB pte)
	$(row 'struct pages (computed)' KiB pages)
	$(row "som's own metadata (traced)" KiB records)
	$(row 'metadata, sum of these' KiB meta)
	$(row 'time, in this virtual machine' s time)

	   /proc/$pid/fdinfo: owner $owner, $mapped KiB mapped, $units_2m units by 2 MiB entries,
	   $units_4k by 4 KiB entries ($page_backed are ordinary pages); $maps mappings of /dev/som
	   units used after exit: $left

END

cmp -s "$out/answers.plain" "$out/answers.som" || {
	diff "$out/answers.plain" "$out/answers.som" | head -n 10
	fail "the answers differ"
}
say "$(wc -l <"$out/answers.som") lines of answers are the same, digest" \
	"$(tail -n 1 "$out/answers.som")"
[ "$owner" = "$pid" ] || fail "fdinfo names process '$owner', not $pid"
[ $((used + page_backed)) = $((units_2m + units_4k)) ] ||
	fail "som counts $used + $page_backed units, fdinfo $units_2m + $units_4k"
[ $(((used + page_backed) * 2048)) -ge "$(kept som.heap)" ] || fail "the heap is not on som"
[ "$left" = 0 ] || fail "$left units are in use after the end"
exit 0
