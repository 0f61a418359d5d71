#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/in-scratch.sh SCRIPT [ARGUMENT...]
#	  Runs one of our scripts on a copy of the tree in a scratch folder, as a
#	  user who may run PostgreSQL, and leaves nothing behind.
#
# PostgreSQL refuses to run as root, and a checkout that root owns is often not
# even readable to anyone else.  So the tree is copied, always: root then gives
# the copy to an unprivileged user and becomes that user; an ordinary user stays
# which user runs it.  The environment starts empty, so that a PGHOST or a proxy of the
# caller's can't reach into a test.
#
# Whatever runs inside lives inside: a process is ours if its working
# directory is in the scratch folder.  That is how everything is found and
# ended by its process id at the end, also after an interrupt.
#
# What SCRIPT leaves in $KGW_OUTPUT is brought back to check-output/.
#
#-------------------------------------------------------------------------
# shellcheck disable=SC2317 # traps
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
. scripts/common.sh

[ $# -ge 1 ] || fail "usage: scripts/in-scratch.sh SCRIPT [ARGUMENT...]"

# The makefile that called us is not the one we shall call.
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES

scratch=
child=
user=

# Runs a command as the user of the scratch folder.
as_user()
{
	if [ -n "$user" ]; then
		setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"
	else
		"$@"
	fi
}

# Ends what still runs inside.  A postmaster gets SIGQUIT, which frees its
# shared memory and takes its children along; SIGKILL would leak both.
# It runs as the user of the processes, who alone may look at their
# working directory where root lacks CAP_SYS_PTRACE, as in containers.
end_processes_inside()
{
	as_user bash -s "$scratch" <<'INSIDE'
cd /
inside()
{
	local proc cwd
	for proc in /proc/[0-9]*; do
		cwd=$(readlink "$proc/cwd" 2>/dev/null) || continue
		case $cwd in "$1"|"$1"/*) echo "${proc#/proc/}" ;; esac
	done
}
for pid in $(inside "$1"); do
	if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = postgres ]; then
		kill -QUIT "$pid" 2>/dev/null
	else
		kill -TERM "$pid" 2>/dev/null
	fi
done
for ((i = 0; i < 100; i++)); do
	[ -n "$(inside "$1")" ] || exit 0
	sleep 0.1
done
for pid in $(inside "$1"); do kill -KILL "$pid" 2>/dev/null; done
exit 0
INSIDE
}

clean_up()
{
	trap '' INT TERM HUP
	if [ -n "$child" ]; then
		kill -TERM -- "-$child" 2>/dev/null || true
	fi
	if [ -n "$scratch" ]; then
		end_processes_inside || true
		rm -rf "$scratch" || say "could not remove $scratch" >&2
	fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Makes the folder.  Its path is kept short for the sake of sockets (107
# bytes at most), and it must be a place where its user may run programs.
make_scratch()
{
	local base

	for base in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
		[ ${#base} -le 40 ] || continue
		scratch=$(mktemp -d "$base/kgw.XXXXXX" 2>/dev/null) || continue
		mkdir "$scratch"/{src,home,tmp,output}
		printf '#!/bin/sh\n' >"$scratch/probe"
		chmod +x "$scratch/probe"
		[ -z "$user" ] || chown -R "$user:" "$scratch"
		if (cd / && as_user "$scratch/probe") 2>/dev/null; then
			return
		fi
		rm -rf "$scratch"
		scratch=
	done
	fail "no temporary folder in which programs may run"
}

# Variables a caller may set, on make's command line or in the environment.
passed_on()
{
	local name

	for name in REGRESS ISOLATION TAP OLD_PG_CONFIG TZ KGW_JOBS KGW_LAG KGW_SANITIZE KGW_SECONDS KGW_CASES KGW_DELIVERIES KGW_DEEP KGW_PART KGW_MODEL_MEMORY MUTANT SCENARIO SEED STRETCH FUZZ FUZZ_SECONDS \
		PG_TEST_TIMEOUT_DEFAULT VERBOSE; do
		if [ -n "${!name:-}" ]; then printf '%s\0' "$name=${!name}"; fi
	done
}

scripts/deps.sh
scripts/node-modules.sh
pg_config=$(find_pg_config)

if [ "$(id -u)" -eq 0 ]; then
	user=nobody
	if id postgres >/dev/null 2>&1; then user=postgres; fi
fi
make_scratch
copy_tree "$scratch/src"
chmod -R u+rwX,go+rX "$scratch"
[ -z "$user" ] || chown -R "$user:" "$scratch"
mapfile -d '' -t settings < <(passed_on)

# In the background, because bash runs a trap only once a command in the
# foreground has ended; and as a job of its own, because bash lets background
# commands without job control ignore interrupts, and so would all of theirs.
cd "$scratch/src"
set -m
as_user env -i \
	PATH="$PATH" HOME="$scratch/home" TMPDIR="$scratch/tmp" \
	USER="${user:-$(id -un)}" LOGNAME="${user:-$(id -un)}" \
	LANG=C.UTF-8 SHELL=/bin/bash PG_CONFIG="$pg_config" \
	KGW_SCRATCH="$scratch" KGW_OUTPUT="$scratch/output" \
	"${settings[@]}" "./$1" "${@:2}" </dev/null &
child=$!
set +m
cd "$OLDPWD"
status=0
wait "$child" || status=$?
child=

if [ -n "$(ls -A "$scratch/output")" ]; then
	rm -rf check-output
	cp -R "$scratch/output" check-output
	[ "$(id -u)" -ne 0 ] || chown -R --reference=. check-output
fi
exit "$status"
