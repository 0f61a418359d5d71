#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# test/sim/check.sh [SECONDS]
#	  Builds the simulation and runs it: the scenarios that failed once, seeds for so many
#	  seconds, and the mutants, each of which has to be found.
#
# SEED is the first of them (1).  Speaks TAP.
#
#-------------------------------------------------------------------------
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-4}
seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests=0
status=0

report()
{
	tests=$((tests + 1))
	echo "$1 $tests - $2"
	if [ "$1" != ok ]; then
		status=1
		sed 's/^/# /' "$work/log"
	fi
}

test_that()
{
	local what=$1

	shift
	if "$@" >"$work/log" 2>&1; then report ok "$what"; else report "not ok" "$what"; fi
}

is_replayed()
{
	local one=(build/sim --seed=7 --rows=400 --replay)

	"${one[@]}" >"$work/first" && "${one[@]}" >"$work/second" || return 1
	cmp "$work/first" "$work/second" && grep -q acknowledged "$work/first"
}

# A mutant is what a patch of the checker's, or one that only a simulation can find, makes of the
# sources; what it doesn't touch was compiled already.
is_found()
{
	local name=$1 shows=$2 from

	mkdir "$work/$name"
	cp -Rp ../../src "$work/$name/src"
	cp -Rp build "$work/$name/build"
	[ -e "mutants/$name.patch" ] && from=mutants || from=../checker/mutants
	patch -s -d "$work/$name" -p1 <"$from/$name.patch" || return 1
	make -s SRC="$work/$name/src" BUILD="$work/$name/build" || return 1
	! "$work/$name/build/sim" --seed=1 --count=60 --whole >"$work/$name/log" || return 1
	cat "$work/$name/log"
	grep -qxF "# WRONG: $shows" "$work/$name/log"
}

test_that "it compiles without warnings" make -s -j "${KGW_JOBS:-2}"
test_that "what failed once doesn't any more" build/sim --kept=seeds
test_that "the same seed brings the same run" is_replayed
test_that "worlds from seed $seed" build/sim --seed="$seed" --seconds="$seconds"
grep -E '^(ok|#)' "$work/log" | sed 's/^ok 1 - /# /' || true
test_that "found: an object known by its identifier alone" is_found object-by-id "wrongly superseded"
test_that "found: superseded without a refusal" is_found hold-unanswered "wrongly superseded"
test_that "found: an endpoint that opens its destination's breaker" is_found endpoint-opens-destination late
test_that "found: Retry-After that shortens the schedule" is_found retry-after-shortens early
test_that "found: a challenge that nobody waits for" is_found challenge-ignored "without consent"
test_that "found: an object's URL and a subscription's, each in its own order" is_found order-by-chain "out of order"
test_that "found: a newer one is sent before the outcome is durable" is_found flush-unawaited "too soon"
echo "1..$tests"
exit $status
