#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/fuzz.sh
#	  Runs each fuzz target of test/fuzz for a while, one after the other, in the
#	  scratch folder that in-scratch.sh made.
#
#	  FUZZ_SECONDS=60		how long each runs
#	  FUZZ="url number"		only these
#
# The corpora are seeds and stay as they are.  An input that breaks a target is
# left in check-output/, beside the log that says what did not hold; replay it
# with  test/fuzz/build/fuzzer/fuzz_NAME FILE.
#
#-------------------------------------------------------------------------
set -euo pipefail
. scripts/common.sh

: "${KGW_SCRATCH:?run me by way of make fuzz}" "${KGW_OUTPUT:?}"
seconds=${FUZZ_SECONDS:-60}
names=${FUZZ:-$(find test/fuzz -name 'fuzz_*.c' -printf '%f\n' |
	sed 's/^fuzz_//; s/\.c$//' | LC_ALL=C sort)}
failed=0

# Prints how many inputs a target was given, by its log.
executions()
{
	sed -n 's/^stat::number_of_executed_units: *//p' "$1"
}

run_target()
{
	local name=$1 log=$KGW_OUTPUT/$1.log found=$KGW_SCRATCH/tmp/corpus-$1

	mkdir "$found"
	if "test/fuzz/build/fuzzer/fuzz_$name" -max_total_time="$seconds" \
		-timeout=60 -rss_limit_mb=2048 -print_final_stats=1 \
		-dict="test/fuzz/dict/$name.dict" -artifact_prefix="$KGW_OUTPUT/$name-" \
		"$found" "test/fuzz/corpus/$name" >"$log" 2>&1; then
		say "ok - $name: $(executions "$log") inputs in $seconds s"
		rm "$log"
	else
		say "not ok - $name"
		tail -n 30 "$log"
		failed=1
	fi
}

make -s -C test/fuzz -j 2 fuzzers
for name in $names; do
	run_target "$name"
done
exit "$failed"
