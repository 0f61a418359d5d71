#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# test/model/check.sh [deep]
#	  Has spin look at every run of the model, and at each broken one until
#	  it finds what is broken.
#
# "deep" lets every transaction end in every way, with more crashes, refusals and
# silence.  Speaks TAP.  What spin writes goes to $TMPDIR.
#
#-------------------------------------------------------------------------
set -euo pipefail

model=$(cd "$(dirname "$0")" && pwd)/delivery.pml
depth=${1:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests=0

# Looks at every run of the model with these definitions; fails on the first wrong one.
verify()
{
	cd "$work"
	rm -f ./*.trail
	spin -a "$@" "$model" >spin.log || { cat spin.log; return 2; }
	gcc -w -O2 -DSAFETY -DCOLLAPSE -DMEMLIM="${KGW_MODEL_MEMORY:-1500}" -o pan pan.c || return 2
	./pan -m100000 >pan.log
	if grep -qE 'search not completed|max search depth' pan.log; then
		[ -f delivery.pml.trail ] || { cat pan.log; return 2; }
	fi
	[ ! -f delivery.pml.trail ]
}

report()
{
	tests=$((tests + 1))
	echo "$1 $tests - $2"
	if [ "$1" != ok ]; then
		sed 's/^/# /' "$work/pan.log"
		[ ! -f "$work/delivery.pml.trail" ] ||
			(cd "$work" && spin -t -p -g "$@" delivery.pml 2>&1 | tail -n 60 | sed 's/^/# /')
	fi
}

# A broken model: spin has to find this, and not something else.
must_fail()
{
	local name=$1 what=$2 status=0

	shift 2
	verify "-DBROKEN_$name" || status=$?
	if [ "$status" -eq 1 ] && grep -q "assertion violated" "$work/pan.log"; then
		report ok "found: $what"
	else
		report "not ok" "found: $what"
	fi
}

if [ "$depth" = deep ]; then
	options=(-DDEEP)
else
	options=()
fi
if verify "${options[@]}"; then
	report ok "no run of the model breaks a promise ($(awk '/states, stored/ { print $1 }' "$work/pan.log") states)"
else
	report "not ok" "no run of the model breaks a promise"
fi
must_fail BY_NUMBER "what commits late is never sent, where arrivals go by number"
must_fail POLL_XIP "a prepared transaction that commits unheard, and was in no list of the snapshot"
must_fail SETTLE_FIRST "what is settled before it is sent, and lost in a crash"
must_fail NO_FLUSH "a callback for what a crash undoes"
must_fail COUNTS_UNFLUSHED "the next of an object goes before the outcome is durable, and a crash sends the older again"
must_fail LEAVE_UNFLUSHED "a worker that ends leaves an outcome that is not durable to one that does not know"
must_fail NO_CHAIN "an older status after a newer one"
must_fail HOLD_UNANSWERED "superseded without a refusal"
must_fail OBJECT_BY_ID "superseded by another object with the same identifier"
must_fail MET_TWICE "a row that is met by two looks"
echo "1..$tests"
