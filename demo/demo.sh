#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# demo/demo.sh
#	  A payment intent goes pending -> success -> refunded, and a merchant's
#	  server gets to know of it.  Run it by `make demo`.
#
# Everything is real: a PostgreSQL server of its own, the extension as built
# from this tree, callbacks over HTTP on the loopback interface, and a receiver
# that judges them by two npm libraries which are not ours.  The receiver
# refuses the first callback, so that a retry is seen.
#
# It runs in the scratch folder of scripts/in-scratch.sh, which removes it all.
# It fails unless all that it shows is as it should be.
#
#-------------------------------------------------------------------------
set -euo pipefail
. scripts/common.sh

: "${KGW_SCRATCH:?run me by way of make demo}"
data=$KGW_SCRATCH/data
server_log=$KGW_SCRATCH/server.log
record=$KGW_SCRATCH/record
port_file=$KGW_SCRATCH/port
secret_file=$KGW_SCRATCH/secret
patience=60						# seconds
bindir=
receiver=
shown=0

step()
{
	printf '\n==== %s\n\n' "$*"
}

give_up()
{
	say "" "The demo did not work: $*"
	if [ -s "$server_log" ]; then
		say "The end of the server's log:"
		tail -n 30 "$server_log"
	fi
	exit 1
}

stop_all()
{
	if [ -n "$receiver" ]; then
		kill "$receiver" 2>/dev/null || true
		receiver=
	fi
	if [ -f "$data/postmaster.pid" ]; then
		"$bindir/pg_ctl" -D "$data" -s -m fast stop || true
	fi
}
trap stop_all EXIT

# Waits until a command succeeds, and looks ten times a second.
wait_until()
{
	local what=$1 tries=$((patience * 10))

	shift
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || give_up "waited $patience seconds for $what"
		sleep 0.1
	done
}

psql()
{
	"$bindir/psql" -X -q -v ON_ERROR_STOP=1 -h "$KGW_SCRATCH" -U postgres \
		-d postgres "$@"
}

# Runs SQL, having shown it.
show_sql()
{
	printf '%s\n' "$1" | sed 's/^/    /'
	say ""
	psql -c "$1"
}

build()
{
	make -s >"$KGW_SCRATCH/build.log" 2>&1 || {
		cat "$KGW_SCRATCH/build.log"
		give_up "the extension does not build"
	}
	bindir=$(scripts/stage.sh "$KGW_SCRATCH/stage")
}

start_server()
{
	"$bindir/initdb" -D "$data" -U postgres -A trust -N --no-locale \
		--encoding=UTF8 >"$KGW_SCRATCH/initdb.log" 2>&1 || {
		cat "$KGW_SCRATCH/initdb.log"
		give_up "no database cluster"
	}
	cat >>"$data/postgresql.conf" <<CONF
shared_preload_libraries = 'kgwebhook'
listen_addresses = ''
unix_socket_directories = '$KGW_SCRATCH'

# for this demo only: plain HTTP, to this machine, and no long wait
kgwebhook.allow_http = on
kgwebhook.allowed_networks = '127.0.0.0/8'
kgwebhook.retry_schedule = '1s,1s,1s'
CONF
	"$bindir/pg_ctl" -D "$data" -l "$server_log" -w -s start >/dev/null ||
		give_up "the server does not start"
}

start_receiver()
{
	node test/receivers/receiver.mjs --port-file "$port_file" \
		--record "$record" --secret-file "$secret_file" &
	receiver=$!
	wait_until "the receiver" test -s "$port_file"
}

acknowledged()
{
	[ "$(psql -At -v event="payment_intent.$1" <<'SQL'
SELECT count(*) FROM kgwebhook.delivery_log
 WHERE event = :'event' AND outcome = 'acknowledged' AND final
SQL
	)" = 1 ]
}

# Shows what became of a transition: show_transition STATUS
show_transition()
{
	wait_until "the callback of $1" acknowledged "$1"
	say "What the receiver got, and what its verifiers say:" ""
	node demo/show-requests.mjs "$record" "$shown" "$1" ||
		give_up "the receiver's verifiers refuse what it got"
	shown=$(wc -l <"$record")

	say "What kgwebhook.delivery_log says:" ""
	psql -v event="payment_intent.$1" <<'SQL'
SELECT attempt_id, webhook_id, attempt, outcome, final, response_status,
       round(duration_ms::numeric, 1) AS ms
  FROM kgwebhook.delivery_log
 WHERE event = :'event'
 ORDER BY attempt_id;
SQL
}

step "Building the extension, and a PostgreSQL server of its own in $KGW_SCRATCH"
build
start_server
start_receiver
url=http://127.0.0.1:$(cat "$port_file")/fail/1/ok
say "server: $("$bindir/postgres" --version)"
say "receiver: Node $(node --version), $url, refuses the first callback of each intent"

step "Setting up"
show_sql "SET client_min_messages = warning;
CREATE EXTENSION kgwebhook CASCADE;"
show_sql "SELECT kg_create_payment_intents();"
say "    SELECT kg_create_secret();" ""
psql -At -c "SELECT kg_create_secret()" >"$secret_file"
say "(the merchant's copy of the secret is with the receiver now)"

step "1. A payment intent is created: pending"
show_sql "INSERT INTO payment_intents (payment_intent_id, status, payment_chain_id, symbol,
    fiat_amount, fiat_currency, crypto_amount, order_data, callback_url)
VALUES ('pi_demo_1', 'pending', '56', 'USDT',
    '300.0', 'USD', '300.0', '{\"order\": 1001, \"for\": \"Zoë\"}',
    '$url');"
show_transition pending
[ "$shown" -ge 2 ] || give_up "the first callback was refused, and not tried again"

step "2. It is paid: success"
show_sql "UPDATE payment_intents
   SET status = 'success', received_crypto_amount = '300.0',
       payment_tx_hash = '0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060'
 WHERE payment_intent_id = 'pi_demo_1';"
show_transition success

step "3. It is paid back: refunded"
show_sql "UPDATE payment_intents SET status = 'refunded'
 WHERE payment_intent_id = 'pi_demo_1';"
show_transition refunded

step "All of it, by delivery"
show_sql "SELECT event, object_id, state, attempts, last_status
  FROM kgwebhook.deliveries
 ORDER BY delivery_id;"

stop_all
trap - EXIT
say "Every callback was acknowledged, and every verifier found it valid." \
	"The server is stopped; the folder goes with it."
