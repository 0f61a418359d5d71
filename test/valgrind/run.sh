#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# test/valgrind/run.sh
#	  Two workers under valgrind, one for 2,000 deliveries and one for 10,000: they
#	  touch no memory that isn't theirs, write out or decide nothing by memory that
#	  nobody has filled, and the second ends with no more than the first.
#
# Run by `make check-valgrind`, in the scratch folder of in-scratch.sh.
#
# The queue is filled by an ordinary server, which is then started under valgrind
# twice; so only the workers' part is slow.  Each has a destination of its own; both
# are paused until it is their turn.  One delivery of twenty is refused at first and
# retried, one answered by more than is kept, one by a connection that is dropped.
#
# valgrind doesn't know palloc's pieces, only the blocks of malloc that they are
# cut from.  So besides the bytes that valgrind says were lost or held at a worker's
# end, what its memory contexts hold is compared, by PostgreSQL's own account.
#
#-------------------------------------------------------------------------
set -euo pipefail
. scripts/common.sh

: "${KGW_SCRATCH:?run me by way of make check-valgrind}" "${KGW_OUTPUT:?}"
few=${1:-2000}
many=${2:-10000}
data=$KGW_SCRATCH/valgrind/data
logs=$KGW_OUTPUT/valgrind
server_log=$logs/server.log
failed=0

check()
{
	if [ "$2" -eq 0 ]; then
		say "ok - $1"
	else
		say "not ok - $1"
		failed=$((failed + 1))
	fi
}

query()
{
	"$bindir/psql" -XAtq -v ON_ERROR_STOP=1 -h "$KGW_SCRATCH/valgrind" -d postgres -c "$1"
}

# wait_for QUERY: until it says t, for an hour at most.
wait_for()
{
	for ((i = 0; i < 18000; i++)); do
		[ "$(query "$1")" != t ] || return 0
		sleep 0.2
	done
	fail "waited in vain for: $1"
}

start_server()
{
	"$bindir/pg_ctl" -D "$data" -l "$server_log" -w -t 600 -s \
		-o "-k $KGW_SCRATCH/valgrind -c listen_addresses=''" "$@" start
}

start_receiver()
{
	node test/receivers/receiver.mjs --host 0.0.0.0 \
		--port-file "$KGW_SCRATCH/valgrind/port" \
		--record "$KGW_SCRATCH/valgrind/record" \
		--secret-file "$KGW_SCRATCH/valgrind/secrets" &
	for ((i = 0; i < 3000; i++)); do
		[ ! -s "$KGW_SCRATCH/valgrind/port" ] || break
		sleep 0.02
	done
	port=$(cat "$KGW_SCRATCH/valgrind/port")
}

# Queues so many deliveries for 127.0.0.N.
fill_queue()
{
	query "SELECT kg_pause('http://127.0.0.$1:$port')" >/dev/null
	query "INSERT INTO payment_intents (payment_intent_id, callback_url, fiat_amount, order_data)
		SELECT 'pi$1_' || i, pg_catalog.format('http://127.0.0.$1:$port%s',
				CASE i % 20 WHEN 0 THEN '/fail/1/ok' WHEN 7 THEN '/big/20000'
							WHEN 14 THEN '/keepalive-close' ELSE '/ok' END),
			   i * 1.50, '{\"items\": [{\"sku\": \"A-1\", \"quantity\": 2, \"note\": \"Grüße\"}]}'
		  FROM generate_series(1, $2) i"
}

# Bytes that the worker's memory contexts use, as it logs when it is asked.
used_by_contexts()
{
	local before used=

	before=$(stat -c %s "$server_log")
	query "SELECT pg_catalog.pg_log_backend_memory_contexts($worker)" >/dev/null
	for ((i = 0; i < 3000; i++)); do
		used=$(tail -c +"$((before + 1))" "$server_log" |
			sed -n "s/.*\[$worker\].*Grand total: .* \([0-9]*\) used.*/\1/p")
		[ -z "$used" ] || break
		sleep 0.1
	done
	say "$used"
}

# Adds up the bytes of those lines of a worker's summary.
bytes_of()
{
	grep -E "== +($1): [0-9,]+ bytes" "$logs/$worker.log" | tr -d , |
		awk '{ for (i = 1; i < NF; i++) if ($(i + 1) == "bytes") sum += $i }
			END { printf "%d", sum }'
}

# Has a worker under valgrind deliver what is queued for 127.0.0.N; sets what
# it had lost, what it held, and what its contexts used.
run_worker()
{
	local began=$SECONDS found

	start_server -p "$bindir/postgres-under-valgrind"
	query "SELECT kg_resume('http://127.0.0.$1:$port')" >/dev/null
	wait_for "SELECT NOT EXISTS (SELECT FROM kgwebhook.queue
		WHERE destination OPERATOR(pg_catalog.=) 'http://127.0.0.$1:$port')"
	worker=$(query "SELECT pid FROM pg_catalog.pg_stat_activity WHERE backend_type = 'kgwebhook worker'")
	check "$2 deliveries are acknowledged" "$(($2 - $(query "SELECT acknowledged FROM kgwebhook.stats")))"
	used=$(used_by_contexts)
	"$bindir/pg_ctl" -D "$data" -s -w -t 600 -m fast stop
	lost=$(bytes_of 'definitely lost|indirectly lost')
	held=$(bytes_of 'possibly lost|still reachable')
	say "after $2 deliveries, $((SECONDS - began)) s: $lost bytes lost, $held held, $used in memory contexts"
	found=$(grep -cE '== (Invalid|Conditional|Use of|Syscall param|Mismatched|Source and|Process terminating|Jump to)' "$logs/$worker.log" || true)
	check "valgrind finds nothing in the worker" "$found"
	[ "$found" -eq 0 ] || head -n 120 "$logs/$worker.log"
}

mkdir -p "$KGW_SCRATCH/valgrind" "$logs"
make -s -j "${KGW_JOBS:-2}" COPT=-fno-inline
bindir=$(scripts/stage.sh "$KGW_SCRATCH/stage")
"$bindir/initdb" -D "$data" -A trust -N --no-locale --encoding=UTF8 >/dev/null
cat >>"$data/postgresql.conf" <<-'CONF'
	shared_preload_libraries = 'kgwebhook'
	kgwebhook.enabled = off
	kgwebhook.allow_http = on
	kgwebhook.allowed_networks = '127.0.0.0/8'
	kgwebhook.connect_timeout = '1min'
	kgwebhook.request_timeout = '10min'
	kgwebhook.retry_schedule = '1s,1s,1s'
	fsync = off
	autovacuum = off
	log_line_prefix = '%m [%p] %b '
CONF
start_receiver
start_server
query "CREATE EXTENSION pgcrypto" && query "CREATE EXTENSION kgwebhook"
query "SELECT kg_create_payment_intents(), kg_create_secret()" >/dev/null
fill_queue 1 "$few"
fill_queue 2 "$many"
"$bindir/pg_ctl" -D "$data" -s -w -m fast stop
sed -i 's/^kgwebhook.enabled = off/kgwebhook.enabled = on/' "$data/postgresql.conf"

printf '#!/bin/sh\nexec valgrind --log-file=%s/%%p.log --leak-check=full --num-callers=40 --error-limit=no --suppressions=%s "%s" "$@"\n' \
	"$logs" "$PWD/test/valgrind/postgres.supp" "$bindir/postgres" \
	>"$bindir/postgres-under-valgrind"
chmod +x "$bindir/postgres-under-valgrind"
run_worker 1 "$few"
lost_before=$lost
held_before=$held
used_before=$used
run_worker 2 "$many"
check "nothing more is lost" $((lost > lost_before))
check "nothing more is held" $((held > held_before + 262144))
check "nothing more is in memory contexts" $((used > used_before + 262144))
[ "$failed" -eq 0 ]
