#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# test/packages/install.sh MAJOR FOLDER NEXT_FOLDER
#	  In a system where PostgreSQL has never been: what the README says under
#	  "First result", word by word, timed; the tests against the installed server, as
#	  packagers run them; an upgrade to the next version's package while payments
#	  commit; and the way back, until nothing is left.
#
#	  For scripts/matrix.sh, which makes such systems.  Run as root.
#
#-------------------------------------------------------------------------
# shellcheck disable=SC2317 # traps
set -euo pipefail
umask 022

major=$1
packages=$2
next=$3
tree=$(cd "$(dirname "$0")/../.." && pwd)
package=postgresql-$major-kgwebhook
home=/var/lib/postgresql
payments=
failed=0

# Prints a line of TAP for a condition: ok NAME COMMAND...
ok()
{
	if "${@:2}"; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		failed=1
	fi
}

stop_what_runs()
{
	[ -z "$payments" ] || kill "$payments" || true
	[ ! -f "$home/receiver.pid" ] || kill "$(cat "$home/receiver.pid")" || true
	[ ! -d "/etc/postgresql/$major/main" ] || pg_ctlcluster "$major" main stop -m immediate || true
}
trap stop_what_runs EXIT

as_postgres()
{
	(cd "$home" && setpriv --reuid=postgres --regid=postgres --init-groups \
		env HOME="$home" USER=postgres "$@")
}

ask()
{
	as_postgres psql -XAtqc "$1"
}

# Waits for a statement to be true: wait_for WHAT SQL
wait_for()
{
	local end=$((SECONDS + 120))

	until [ "$(ask "$2" 2>/dev/null)" = t ]; do
		if [ $SECONDS -ge $end ]; then
			echo "waited in vain: $1"
			return 1
		fi
		sleep 0.1
	done
}

# The n-th block for the shell under the README's "First result", for this version.
block()
{
	awk -v n="$1" '/^## /{ here = ($0 == "## First result") }
		here && /^```sh$/ { count++; inside = (count == n); next }
		/^```$/ { inside = 0 }
		inside' "$tree/README.md" | sed "s/\\b15\\b/$major/g"
}

#
# From nothing to the first verified delivery
#
began=$SECONDS
(cd "$packages" && bash -euc "$(block 1)")
for n in 2 3 4; do
	block "$n"
done >"$home/blocks"
# nobody types as fast as this
cat >"$home/pid" <<'END'
echo $! >receiver.pid
until (exec 3<>/dev/tcp/127.0.0.1/18080) 2>/dev/null; do sleep 0.1; done
END
as_postgres bash -euc "$(block 2)
$(block 3)
$(cat "$home/pid")
$(block 4)" >"$home/said" 2>&1 || failed=1
cat "$home/said"
echo "# the first verified delivery after $((SECONDS - began)) s"
ok "the first delivery is acknowledged" grep -q acknowledged "$home/said"
ok "a payment is sent" wait_for "the payment" \
	"SELECT count(*) = 1 FROM kgwebhook.deliveries WHERE object_id = 'pi_1' AND state = 'acknowledged'"
ok "over https" [ "$(ask "SELECT bool_and(url LIKE 'https://%') FROM kgwebhook.delivery_log")" = t ]

#
# Payments go on, and the next version comes
#
version="SELECT extversion FROM pg_extension WHERE extname = 'kgwebhook'"
before=$(ask "$version")
pay()
{
	local n=0

	while :; do
		n=$((n + 1))
		as_postgres psql -Xqc "INSERT INTO payment_intents (payment_intent_id, crypto_amount, callback_url)
			VALUES ('pay_$n', '1.0', 'https://127.0.0.1:18080/webhooks')" 2>/dev/null || true
		sleep 0.05
	done
}
pay &
payments=$!
paid="SELECT count(*) >= %d FROM payment_intents"
# shellcheck disable=SC2059 # a statement with a number to fill in
more()
{
	wait_for "payments" "$(printf "$paid" $(($(ask 'SELECT count(*) FROM payment_intents') + 10)))"
}
more
DEBIAN_FRONTEND=noninteractive apt-get install -q -y "$next"/postgresql-"$major"-kgwebhook_*.deb
ok "the old library goes on until the restart" more
pg_ctlcluster "$major" main restart
ok "the new library serves the old extension" more
ask 'ALTER EXTENSION kgwebhook UPDATE'
ok "an upgraded extension" [ "$before" != "$(ask "$version")" ]
ok "which has what the next version adds" [ -n "$(ask 'SELECT kgwebhook.next_library()')" ]
more
kill "$payments"
wait "$payments" || true
payments=
ok "each payment is acknowledged" wait_for "all payments" \
	"SELECT count(*) > 40 AND bool_and(EXISTS (SELECT FROM kgwebhook.deliveries d
		WHERE d.object_id = payment_intent_id AND d.state = 'acknowledged')) FROM payment_intents"

#
# And the way back
#
ask 'DROP EXTENSION kgwebhook'
ok "payments stay" [ "$(ask 'SELECT count(*) > 40 FROM payment_intents')" = t ]
pg_conftool "$major" main remove shared_preload_libraries
pg_ctlcluster "$major" main restart
dpkg -L "$package" | while read -r file; do
	[ -d "$file" ] || echo "$file"
done >/tmp/files
DEBIAN_FRONTEND=noninteractive apt-get purge -q -y "$package"
left=$(while read -r file; do [ ! -e "$file" ] || echo "$file"; done </tmp/files)
ok "a purge leaves no file" [ -z "$left" ]
ok "and a server that starts" pg_ctlcluster "$major" main restart
exit "$failed"
