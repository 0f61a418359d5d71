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
. demo/common.sh

shown=0

acknowledged()
{
	[ "$(at server -At -v event="payment_intent.$1" <<'SQL'
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
	at server -v event="payment_intent.$1" <<'SQL'
SELECT attempt_id, webhook_id, attempt, outcome, final, response_status,
       round(duration_ms::numeric, 1) AS ms
  FROM kgwebhook.delivery_log
 WHERE event = :'event'
 ORDER BY attempt_id;
SQL
}

step "Building the extension, and a PostgreSQL server of its own in $KGW_SCRATCH"
build
new_server server <<'CONF'
shared_preload_libraries = 'kgwebhook'

# for this demo only: plain HTTP, to this machine, and no long wait
kgwebhook.allow_http = on
kgwebhook.allowed_networks = '127.0.0.0/8'
kgwebhook.retry_schedule = '1s,1s,1s'
CONF
start_receiver
url=http://127.0.0.1:$(cat "$port_file")/fail/1/ok
say "server: $("$bindir/postgres" --version)"
say "receiver: Node $(node --version), $url, refuses the first callback of each intent"

step "Setting up"
show_sql server "SET client_min_messages = warning;
CREATE EXTENSION kgwebhook CASCADE;"
show_sql server "SELECT kg_create_payment_intents();"
say "    SELECT kg_create_secret();" ""
at server -At -c "SELECT kg_create_secret()" >"$secret_file"
say "(the merchant's copy of the secret is with the receiver now)"

step "1. A payment intent is created: pending"
show_sql server "INSERT INTO payment_intents (payment_intent_id, status, payment_chain_id, symbol,
    fiat_amount, fiat_currency, crypto_amount, order_data, callback_url)
VALUES ('pi_demo_1', 'pending', '56', 'USDT',
    '300.0', 'USD', '300.0', '{\"order\": 1001, \"for\": \"Zoë\"}',
    '$url');"
show_transition pending
[ "$shown" -ge 2 ] || give_up "the first callback was refused, and not tried again"

step "2. It is paid: success"
show_sql server "UPDATE payment_intents
   SET status = 'success', received_crypto_amount = '300.0',
       payment_tx_hash = '0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060'
 WHERE payment_intent_id = 'pi_demo_1';"
show_transition success

step "3. It is paid back: refunded"
show_sql server "UPDATE payment_intents SET status = 'refunded'
 WHERE payment_intent_id = 'pi_demo_1';"
show_transition refunded

step "All of it, by delivery"
show_sql server "SELECT event, object_id, state, attempts, last_status
  FROM kgwebhook.deliveries
 ORDER BY delivery_id;"

stop_all
trap - EXIT
say "Every callback was acknowledged, and every verifier found it valid." \
	"The server is stopped; the folder goes with it."
