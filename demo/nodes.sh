#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# demo/nodes.sh
#	  A database without the extension, and two delivery nodes that send its
#	  callbacks.  Run it by `make demo-nodes`.
#
# While payments are written, one merchant is moved from one node to the other, and
# then a node is killed.  At the end, what the source committed is compared with what
# the merchants' server got.  The source's own trigger keeps the list of what was
# committed, so that nothing of kgwebhook is asked whether kgwebhook is right.
#
# It runs in the scratch folder of scripts/in-scratch.sh, which removes it all.
# It fails unless nothing was lost, made up, doubled or out of order.
#
#-------------------------------------------------------------------------
set -euo pipefail
. scripts/common.sh
. demo/common.sh

ledger=$KGW_SCRATCH/ledger
payments="CREATE TABLE payments (
    id text PRIMARY KEY, org_id text NOT NULL, status text NOT NULL, amount numeric NOT NULL,
    callback_url text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());"
writers=()

# A node: the same table, a secret for each merchant, and the events of its changes.
new_delivery_node()
{
	new_server "$1" <<'CONF'
shared_preload_libraries = 'kgwebhook'

# for this demo only: plain HTTP, to this machine, and no long wait
kgwebhook.allow_http = on
kgwebhook.allowed_networks = '127.0.0.0/8'
wal_retrieve_retry_interval = '500ms'
CONF
	at "$1" -v secret="$(cat "$secret_file")" -o /dev/null <<SQL
SET client_min_messages = warning;
CREATE EXTENSION kgwebhook CASCADE;
$payments
SELECT kg_set_secret('merchant_' || n, :'secret') FROM generate_series(1, 4) n;
SELECT * FROM kg_watch('payments', 'payment', 'id', 'status', 'callback_url', 'org_id',
    '{"id": "id", "org_id": "org_id", "status": "status", "amount": "amount"}');
SQL
}

# Has a node follow the source, and waits for its first copy: follow NODE
follow()
{
	show_sql "$1" "SELECT kg_follow('shop', 'host=$KGW_SCRATCH/source dbname=postgres user=postgres', 'payments', '$1');"
	wait_until "$1 to stream" holds "$1" "SELECT state = 'streaming' FROM kgwebhook.sources"
	wait_until "$1 to join" holds source "SELECT joined FROM kgsource.heartbeat WHERE node = '$1'"
}

# Writes payments of four merchants until there is a table "stop".
start_writer()
{
	at source -c "DO \$\$
DECLARE
    n int := 0;
    payment text;
BEGIN
    WHILE to_regclass('stop') IS NULL LOOP
        n := n + 1;
        payment := format('pay_%s_%s', $1, n);
        INSERT INTO payments (id, org_id, status, amount, callback_url)
            VALUES (payment, 'merchant_' || 1 + n % 4, 'pending', n, '$url?merchant_' || 1 + n % 4);
        COMMIT;
        PERFORM pg_sleep(0.005);
        UPDATE payments SET status = 'success' WHERE id = payment;
        COMMIT;
        UPDATE payments SET status = 'refunded' WHERE id = payment;
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP;
END
\$\$" >"$KGW_SCRATCH/writer.$1" 2>&1 &
	writers+=("$!")
	helpers+=("$!")
}

# Waits until so many more events are committed.
let_commit()
{
	local so_far

	so_far=$(at source -At -c 'SELECT count(*) FROM ledger')
	wait_until "$1 more events" holds source "SELECT count(*) >= $so_far + $1 FROM ledger"
}

# How many requests there were about a merchant
arrived()
{
	grep -c "merchant_$1" "$record" || true
}

more_arrived()
{
	[ "$(arrived "$1")" -gt "$2" ]
}

step "Building the extension, and three PostgreSQL servers in $KGW_SCRATCH"
build
start_receiver
url=http://127.0.0.1:$(cat "$port_file")/slow/5
new_server source <<'CONF'
wal_level = logical
max_slot_wal_keep_size = '1GB'
CONF
say "source: $("$bindir/postgres" --version), without the extension"
say "the merchants' server: $url"

step "1. The source: plain SQL"
show_sql source "$payments"
at source <<'SQL'
CREATE TABLE ledger (n bigserial PRIMARY KEY, id text, status text);
CREATE FUNCTION keep_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger (id, status) VALUES (NEW.id, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER keep_ledger AFTER INSERT OR UPDATE ON payments
    FOR EACH ROW EXECUTE FUNCTION keep_ledger();
SQL
say "    psql -v tables=payments -f sources/kgwebhook-source.sql" ""
at source -v tables=payments -f sources/kgwebhook-source.sql
show_sql source "SELECT extname FROM pg_extension;"

step "2. Two nodes follow it"
say "whsec_$(head -c 24 /dev/urandom | base64)" >"$secret_file"
new_delivery_node n1
new_delivery_node n2
follow n1
show_sql source "INSERT INTO kgsource.route (org_id, node) VALUES ('*', 'n1');"
follow n2
show_sql n2 "SELECT source, node, state, tables_ready, tables FROM kgwebhook.sources;"

step "3. A move under load: merchant_2 goes to n2"
start_writer 1
start_writer 2
let_commit 300
show_sql n1 "SELECT kg_hand_over('merchant_2', 'n2');"
wait_until "the release" holds source "SELECT released FROM kgsource.route WHERE org_id = 'merchant_2'"
show_sql source "SELECT org_id, node, previous, released FROM kgsource.route ORDER BY org_id;"
let_commit 300

step "4. The node n1 is killed, and payments go on"
"$bindir/pg_ctl" -D "$KGW_SCRATCH/n1" -s -m immediate stop
committed=$(at source -At -c 'SELECT count(*) FROM ledger')
before=$(arrived 2)
let_commit 300
wait_until "a callback of n2's" more_arrived 2 "$before"
say "$(($(at source -At -c 'SELECT count(*) FROM ledger') - committed)) events were committed while it was gone;" \
	"$(($(arrived 2) - before)) of merchant_2, whom n2 serves, have arrived." \
	"The others are in the source's WAL: n1 starts again and goes on where it stood."
start_server n1
let_commit 300
at source -c 'CREATE TABLE stop ()'
for pid in "${writers[@]}"; do
	wait "$pid" || give_up "a payment failed: $(cat "$KGW_SCRATCH"/writer.*)"
done
end=$(at source -At -c 'SELECT pg_current_wal_lsn()')
wait_until "the nodes to have all of it" holds source \
	"SELECT bool_and(confirmed_flush_lsn >= '$end') FROM pg_replication_slots"
for node in n1 n2; do
	wait_until "$node to send all it has" holds "$node" \
		"SELECT NOT EXISTS (SELECT FROM kgwebhook.queue) AND NOT EXISTS (SELECT FROM kgwebhook.held)"
done

step "5. Which node sent what"
for node in n1 n2; do
	say "at $node:" ""
	show_sql "$node" "SELECT org_id, count(*) FROM kgwebhook.delivery_log
 WHERE outcome = 'acknowledged' GROUP BY org_id ORDER BY org_id;"
done

step "6. What the source committed, and what the merchants' server got"
at source -At -c 'COPY (SELECT id, status FROM ledger ORDER BY n) TO STDOUT' >"$ledger"
node demo/count-requests.mjs "$record" "$ledger" ||
	give_up "what arrived is not what was committed"

stop_all
trap - EXIT
say "" "All that was committed has arrived, in order, each under one webhook-id." \
	"The servers are stopped; the folder goes with them."
