# shellcheck shell=bash
# demo/common.sh
#	  What the demos share: servers of their own, a receiver, words to the reader.
#	  Sourced, never run.  All of it lives in the scratch folder of
#	  scripts/in-scratch.sh, and is stopped when the demo ends.

: "${KGW_SCRATCH:?run me by way of make demo or make demo-nodes}"
record=$KGW_SCRATCH/record
port_file=$KGW_SCRATCH/port
secret_file=$KGW_SCRATCH/secret
patience=60						# seconds
bindir=
servers=()						# in the order in which they were started
helpers=()						# process ids

step()
{
	printf '\n==== %s\n\n' "$*"
}

give_up()
{
	local server

	say "" "The demo did not work: $*"
	for server in "${servers[@]}"; do
		if [ -s "$KGW_SCRATCH/$server.log" ]; then
			say "The end of the log of the server \"$server\":"
			tail -n 30 "$KGW_SCRATCH/$server.log"
		fi
	done
	exit 1
}

stop_all()
{
	local pid i data

	for pid in "${helpers[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	helpers=()
	# the last one first: a source waits for its nodes
	for ((i = ${#servers[@]} - 1; i >= 0; i--)); do
		data=$KGW_SCRATCH/${servers[i]}
		if [ -f "$data/postmaster.pid" ]; then
			"$bindir/pg_ctl" -D "$data" -s -m fast stop || true
		fi
	done
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

# psql at one of the servers: at SERVER ARGUMENT...
at()
{
	"$bindir/psql" -X -q -v ON_ERROR_STOP=1 -h "$KGW_SCRATCH/$1" -U postgres \
		-d postgres "${@:2}"
}

# Does a query at a server say "t"?
holds()
{
	[ "$(at "$1" -At -c "$2")" = t ]
}

# Runs SQL at a server, having shown it.
show_sql()
{
	printf '%s\n' "$2" | sed 's/^/    /'
	say ""
	at "$1" -c "$2"
}

build()
{
	make -s >"$KGW_SCRATCH/build.log" 2>&1 || {
		cat "$KGW_SCRATCH/build.log"
		give_up "the extension does not build"
	}
	bindir=$(scripts/stage.sh "$KGW_SCRATCH/stage")
}

# A server that listens in its own folder only; its settings come by stdin.
new_server()
{
	local data=$KGW_SCRATCH/$1

	servers+=("$1")
	"$bindir/initdb" -D "$data" -U postgres -A trust -N --no-locale \
		--encoding=UTF8 >"$KGW_SCRATCH/initdb.log" 2>&1 || {
		cat "$KGW_SCRATCH/initdb.log"
		give_up "no database cluster"
	}
	{
		say "listen_addresses = ''" "unix_socket_directories = '$data'"
		cat
	} >>"$data/postgresql.conf"
	start_server "$1"
}

start_server()
{
	"$bindir/pg_ctl" -D "$KGW_SCRATCH/$1" -l "$KGW_SCRATCH/$1.log" -w -s start \
		>/dev/null || give_up "the server \"$1\" does not start"
}

start_receiver()
{
	node test/receivers/receiver.mjs --port-file "$port_file" \
		--record "$record" --secret-file "$secret_file" &
	helpers+=("$!")
	wait_until "the receiver" test -s "$port_file"
}
