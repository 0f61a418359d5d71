#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/check.sh [SUITE]...
#	  Runs the suites named, or all of them, in the scratch folder that
#	  in-scratch.sh made.  Its last line is "N passed, M failed", and just above it
#	  stands what failed, because the end is what one sees of a long log.
#
#	unit       src/pure alone, plain and under sanitizers; fuzz corpora; Node's numbers
#	model      no order of commit, crash and settle loses or invents a delivery
#	sim        the loop and its scheduler in worlds made up from seeds
#	prose      no word of test/prose/words.txt, wherever a person reads; each message is in
#	           docs/errors.md; each link leads somewhere; META.json is what PGXN asks for;
#	           each folder has a README
#	includes   folders and files include only what stands below them; no name twice
#	exports    every exported symbol has our prefix
#	regress    what SQL answers, with the worker off
#	isolation  what two sessions at once see and wait for
#	tap        what receivers get, over restarts, clocks, networks and full disks
#	protocol   answers and TLS of hostile receivers, from many seeds (only when named)
#	points     a worker or a node that dies at each step: nothing lost, nothing invented
#	torture    a worker that is out of memory, at one allocation after the other
#	random_sql every function with arguments at random, by each role
#	types      tables, triggers and payments at random: each event is what an oracle says
#	checker    all of it at random, with faults: nothing lost, nothing invented
#	mutants    the checker finds what each patch breaks (only when named)
#
# Every suite runs, even after another failed: one run should show everything
# there is to know.  Only a failed build ends the run.
#
# One test of a suite:
#	  make check-regress REGRESS=name        sql/name.sql
#	  make check-isolation ISOLATION=name    test/isolation/specs/name.spec
#	  make check-tap TAP=test/t/001_name.pl
#	  make checker SECONDS=1800 SEED=1       test/checker, for longer
#	  make checker-nodes SECONDS=600         the same over a source and delivery nodes
#	  make mutants                           what the checker must find (MUTANT=name: one)
#
#-------------------------------------------------------------------------
# shellcheck disable=SC2317 # suites are called by name
set -euo pipefail
. scripts/common.sh

: "${KGW_SCRATCH:?run me by way of make check}" "${KGW_OUTPUT:?}"
jobs=${KGW_JOBS:-2}
pgxs_dir=$("$PG_CONFIG" --pgxs)
pgxs_dir=${pgxs_dir%/src/makefiles/pgxs.mk}
passed=0
failed=0
counts=$KGW_SCRATCH/tmp/counts
failures=$KGW_SCRATCH/tmp/failures
bindir=
asserting=
cluster=

section()
{
	printf '\n======== %s\n' "$*"
}

count()
{
	passed=$((passed + $1))
	failed=$((failed + $2))
}

# What failed, for the result: failure NAME, and on standard input the lines that tell why.
failure()
{
	{
		printf 'FAILED: %s\n' "$1"
		cut -c 1-200 | tail -n 8 | sed 's/^/    /'
	} >>"$failures"
}

# Prints the names of DIR/*SUFFIX without either; nothing if there is none.
names_in()
{
	find "$1" -maxdepth 1 -name "*$2" -printf '%f\n' 2>/dev/null |
		sed "s/$2\$//" | LC_ALL=C sort
}

# Shows the end of a file under its name.
show_end()
{
	if [ -s "$1" ]; then
		printf -- '-------- the last %d lines of %s\n' "$2" "${1#"$KGW_SCRATCH"/}"
		tail -n "$2" "$1"
	fi
}

# One thing that either works or doesn't, with its output shown if not.
one_test()
{
	local name=$1 log

	shift
	log=$(mktemp -p "$KGW_SCRATCH/tmp")
	if "$@" >"$log" 2>&1; then
		say "ok - $name"
		count 1 0
	else
		say "not ok - $name"
		cat "$log"
		failure "$name" <"$log"
		count 0 1
		return 1
	fi
}

# Runs test programs that speak TAP: tap_tests [OPTION...] FILE...
tap_tests()
{
	local status=0

	rm -f "$counts"
	scripts/run-tap.pl --counts="$counts" "$@" || status=1
	if [ -f "$counts" ]; then
		# shellcheck disable=SC2046 # two words
		count $(head -n 1 "$counts")
		name_failed_tests
	else
		failure "test programs, before they could be counted" </dev/null
		count 0 1
	fi
	return "$status"
}

# Of a TAP test the log has what it printed with the reasons; of others the name has to do.
name_failed_tests()
{
	local test log

	tail -n +2 "$counts" | while read -r test; do
		log=$KGW_SCRATCH/tap/tmp_check/log/regress_log_$(basename "$test" .pl)
		{ sed -nE -e 's/^\[[0-9:.]*\]\([0-9.]*s\) //' -e '/^Use of uninitialized/d' \
			-e '/^(not ok|#  |# Looks|[^#].* at [^ ]+ line [0-9]+\.$)/p' "$log" 2>/dev/null || true; } |
			failure "$test"
	done
}

#-------------------------------------------------------------------------
# Building, and the two looks at what was built
#-------------------------------------------------------------------------

with_clang()
{
	local tree=$KGW_SCRATCH/tmp/clang

	mkdir "$tree"
	cp -R Makefile dev.mk kgwebhook.control install src "$tree/"
	find "$tree" -name '*.o' -delete
	make -C "$tree" -s -j "$jobs" CC="$1" COPT=-Werror
}

# The module under gcc's sanitizers, in a server that isn't: what is malloc's,
# ours or libcurl's, and what is on the stack is guarded; what is palloc's isn't.
# Sanitizers confuse gcc's warnings, so these are left to the plain build.
build_sanitized()
{
	local options=detect_leaks=0:detect_stack_use_after_return=0

	options=$options:abort_on_error=1:log_path=$KGW_OUTPUT/sanitizer/report
	mkdir -p "$KGW_OUTPUT/sanitizer"
	KGW_COPT="-fsanitize=address,undefined -fno-sanitize-recover=undefined -U_FORTIFY_SOURCE"
	export KGW_COPT
	make -s -j "$jobs" COPT="$KGW_COPT" || return 1
	gcc -shared -fPIC -Wall -Werror -o "$KGW_SCRATCH/no_catalogs.so" \
		test/preload/no_catalogs.c || return 1
	SERVER_ENVIRONMENT="ASAN_OPTIONS=$options UBSAN_OPTIONS=print_stacktrace=1 \
LD_PRELOAD=$(ldd kgwebhook.so | awk '$1 ~ /^libasan/ { print $3 }'):$KGW_SCRATCH/no_catalogs.so:\$LD_PRELOAD"
	export SERVER_ENVIRONMENT
}

# What the sanitizers have written down.
no_report()
{
	! cat "$KGW_OUTPUT"/sanitizer/report.* 2>/dev/null
}

suite_build()
{
	local clang

	if [ -n "${KGW_SANITIZE:-}" ]; then
		section "build under the address and undefined-behavior sanitizers"
		one_test "gcc" build_sanitized || return 1
		one_test "make install, into a stage of our own" make_stage
		return
	fi
	section "build, warnings as errors"
	one_test "gcc" make -s -j "$jobs" COPT="-Werror${KGW_LAG:+ -DKGW_LAG}" || return 1
	# one suite waits for one compiler
	clang=$(compgen -c clang | grep -xE 'clang(-[0-9]+)?' | LC_ALL=C sort | head -n 1 || true)
	if [ -n "$clang" ] && [ -n "$everything" ]; then
		one_test "$clang" with_clang "$clang" || true
	fi
	one_test "make install, into a stage of our own" make_stage
}

make_stage()
{
	bindir=$(scripts/stage.sh "$KGW_SCRATCH/stage")
}

suite_prose()
{
	section "prose"
	one_test "no word that must not come back" test/prose/check.sh || true
	one_test "every message of the source is in docs/errors.md" test/prose/errors.py || true
	one_test "no link to a page or a heading that is not there" test/prose/links.py || true
	one_test "the SBOM of a release is what SPDX asks for" test/prose/sbom.py || true
	one_test "META.json is what PGXN asks for" test/prose/meta.py || true
	one_test "folders have a README, ten questions an answer, and invariants run" test/prose/house.py || true
}

suite_includes()
{
	section "includes"
	one_test "folders and files point down only" scripts/includes.py || true
}

# The module with its assertions on, in an installation of its own: the server's
# build exports what they need.  What fails one takes the server down, which no
# test of regress, isolation and checker expects.
make_asserting()
{
	local tree=$KGW_SCRATCH/tmp/asserting

	mkdir "$tree"
	cp -R Makefile dev.mk kgwebhook.control install src scripts "$tree/"
	find "$tree" -name '*.o' -delete
	make -C "$tree" -s -j "$jobs" \
		COPT="${KGW_COPT:--Werror} -DUSE_ASSERT_CHECKING" || return 1
	asserting=$(COPT="${KGW_COPT:--Werror} -DUSE_ASSERT_CHECKING" \
		"$tree/scripts/stage.sh" "$KGW_SCRATCH/stage-asserting")
}

need_asserting()
{
	[ -n "$asserting" ] || one_test "build with assertions" make_asserting
}

# Every symbol a module exports is in one name space with the server and all
# other modules.
suite_exports()
{
	section "exported symbols"
	one_test "no symbol without our prefix" no_foreign_symbols || true
}

no_foreign_symbols()
{
	! nm -D --defined-only kgwebhook.so | awk '{ print $NF }' |
		grep -Ev '^(kgw_|Kgw|kg_|pg_finfo_kg_|_PG_init$|Pg_magic_func$)'
}

#-------------------------------------------------------------------------
# Suites
#-------------------------------------------------------------------------

suite_unit()
{
	local tests

	section "unit tests, plain and under the address and undefined-behavior sanitizers"
	tests=$(names_in test/unit .c | grep '^test_' || true)
	if [ -z "$tests" ]; then
		say "none yet"
		return
	fi
	one_test "build" make -s -C test/unit -j "$jobs" || return 0
	# shellcheck disable=SC2086,SC2046 # lists of words
	tap_tests --jobs="$jobs" $(printf 'test/unit/build/plain/%s\n' $tests) \
		$(printf 'test/unit/build/sanitized/%s\n' $tests) || true

	section "fuzz targets, on their corpora"
	if one_test "build" make -s -C test/fuzz -j "$jobs"; then
		# shellcheck disable=SC2046 # a list of words
		tap_tests --jobs="$jobs" --argument=test/fuzz/corpus \
			$(names_in test/fuzz .c | grep '^fuzz_' |
				sed 's/.*/test\/fuzz\/build\/replay\/&/') || true
	fi

	if [ -x test/unit/canonical_cli ] &&
		compgen -G 'test/receivers/compare_*.mjs' >/dev/null; then
		section "numbers and documents against Node's own"
		tap_tests --argument=test/unit/canonical_cli \
			test/receivers/compare_*.mjs || true
	fi
}

# Speaks TAP itself; "deep" by way of make model.
suite_model()
{
	section "the model, and what spin must find in broken ones"
	if [ -n "${KGW_DEEP:-}" ]; then
		tap_tests --argument=deep test/model/check.sh || true
	else
		tap_tests test/model/check.sh || true
	fi
}

# Speaks TAP itself; for longer by way of make sim.
suite_sim()
{
	section "the simulation, and what it must find in mutants"
	tap_tests --argument="${KGW_SECONDS:-4}" test/sim/check.sh || true
}

# Starts the server for pg_regress and the isolation tests, once.
start_cluster()
{
	[ -z "$cluster" ] || return 0
	cluster=$KGW_SCRATCH/cluster
	need_asserting || return 1
	mkdir "$cluster"
	"$asserting/initdb" -D "$cluster/data" -U postgres -A trust -N \
		--no-locale --encoding=UTF8 >"$cluster/initdb.log" 2>&1 || {
		cat "$cluster/initdb.log"
		return 1
	}
	cat test/regress.conf >>"$cluster/data/postgresql.conf"
	"$asserting/pg_ctl" -D "$cluster/data" -l "$cluster/server.log" -w -s \
		-o "-k $cluster -c listen_addresses=''" start >/dev/null || {
		show_end "$cluster/server.log" 40
		return 1
	}
}

stop_cluster()
{
	if [ -n "$cluster" ] && [ -f "$cluster/data/postmaster.pid" ]; then
		"$asserting/pg_ctl" -D "$cluster/data" -s -m fast stop || count 0 1
	fi
}

# Runs one of PostgreSQL's own test drivers: driver NAME PROGRAM INPUTDIR TEST...
# It counts what the driver says of each test, in the words of version 15
# ("test x ... ok") or in TAP, which later ones speak.
driver()
{
	local name=$1 program=$2 inputdir=$3
	local output=$KGW_OUTPUT/$name log=$KGW_OUTPUT/$name/log good bad

	shift 3
	mkdir -p "$output"
	if ! start_cluster; then
		failure "$name: its server does not start" </dev/null
		count 0 1
		return
	fi
	PATH="$asserting:$PATH" "$program" --bindir="$asserting" \
		--inputdir="$inputdir" --outputdir="$output" \
		--host="$cluster" --port=5432 --user=postgres \
		--dbname="kgwebhook_$name" --encoding=UTF8 \
		--load-extension=pgcrypto --load-extension=kgwebhook \
		"$@" 2>&1 | tee "$log" || true

	good=$(grep -cE '^(ok |test .* \.\.\. ok|     .* \.\.\. ok)' "$log" || true)
	bad=$(grep -cE '^(not ok |(test|    ) .* \.\.\. FAILED)' "$log" || true)
	if [ $((good + bad)) -ne $# ]; then
		say "$(($# - good - bad)) of $# tests did not run"
		bad=$(($# - good))
		show_end "$cluster/server.log" 40
	fi
	count "$good" "$bad"
	if [ "$bad" -gt 0 ]; then
		show_end "$output/regression.diffs" 200
		sed -nE '/^(not ok |(test|    ) .* \.\.\. FAILED)/p' "$log" | failure "$name"
	fi
}

suite_regress()
{
	local names=${REGRESS:-}

	section "pg_regress"
	[ -n "$names" ] || names=$(names_in sql .sql)
	# first the one that wants a server that has seen nothing: a worker that reads while another
	# test's rows are there knows their destinations from then on
	# shellcheck disable=SC2086 # a list of words
	case " ${names//$'\n'/ } " in
		*" dashboard "*) names="dashboard $(printf '%s\n' $names | grep -vx dashboard)" ;;
	esac
	if [ -z "$names" ]; then
		say "none yet"
		return
	fi
	# shellcheck disable=SC2086 # a list of words
	driver regress "$pgxs_dir/src/test/regress/pg_regress" . $names
}

suite_isolation()
{
	local names=${ISOLATION:-}

	section "isolation tests"
	[ -n "$names" ] || names=$(names_in test/isolation/specs .spec)
	if [ -z "$names" ]; then
		say "none yet"
		return
	fi
	# shellcheck disable=SC2086 # a list of words
	driver isolation "$pgxs_dir/src/test/isolation/pg_isolation_regress" \
		test/isolation $names
}

# Runs TAP files on a build: run_tap BINDIR FILE...  The data directories stay in the
# scratch folder; only the logs are brought back.  PostgreSQL 15 goes by TESTDIR, later
# ones by the two that follow.
run_tap()
{
	local bin=$1 dir=$KGW_SCRATCH/tap

	shift
	mkdir -p "$dir/tmp_check/log" "$dir/ports"
	[ -d "$dir/template" ] ||
		one_test "initdb" "$bin/initdb" -D "$dir/template" -A trust -N || return 0
	# Twice as many at a time as compilers: most of a TAP test is waiting.
	TESTDIR="$dir" TESTDATADIR="$dir/tmp_check" \
		TESTLOGDIR="$dir/tmp_check/log" PG_TEST_PORT_DIR="$dir/ports" \
		PATH="$bin:$PATH" PERL5LIB="$pgxs_dir/src/test/perl:$PWD/test/perl" \
		PG_REGRESS="$pgxs_dir/src/test/regress/pg_regress" KGW_TEMPLATE="$dir/template" \
		tap_tests --jobs="$((2 * jobs))" "$@" ||
		show_tap_logs "$dir/tmp_check/log"
}

suite_tap()
{
	local files=${TAP:-}

	section "TAP tests"
	[ -n "$files" ] || files=$(names_in test/t .pl | sed 's/.*/test\/t\/&.pl/')
	if [ -z "$files" ]; then
		say "none yet"
		return
	fi
	# shellcheck disable=SC2086 # a list of words
	run_tap "$bindir" $files
}

# The two tests that make up what a receiver says, from one seed after the other.
suite_protocol()
{
	local end=$((SECONDS + ${KGW_SECONDS:-600})) seed=${SEED:-1} first=${SEED:-1} test

	section "answers and records of TLS at random"
	for (( ; SECONDS < end; seed++)); do
		for test in 048_tls_at_random 069_answers_at_random; do
			SEED=$seed run_tap "$bindir" "test/t/$test.pl"
			rm -rf "$KGW_SCRATCH"/tap/tmp_check/t_*_data
		done
	done
	say "# seeds $first to $((seed - 1))"
}

# Only a build with assertions has points of death; all of them by way of make points.
suite_points()
{
	section "a worker, or a node, that dies at each step of a delivery"
	if need_asserting; then run_tap "$asserting" test/points/points.pl test/points/nodes.pl; fi
}

# Short of memory; each allocation of each scenario by way of make torture.
suite_torture()
{
	section "a worker that is out of memory"
	if need_asserting; then run_tap "$asserting" test/torture/torture.pl; fi
}

# Every function and every table of ours, with arguments at random, on the server with
# assertions; for longer by way of make random-sql.
suite_random_sql()
{
	local log=$KGW_OUTPUT/random_sql database=kgwebhook_random_sql status=0

	section "random SQL"
	if ! start_cluster; then
		failure "random SQL: its server does not start" </dev/null
		count 0 1
		return
	fi
	"$asserting/createdb" -h "$cluster" -U postgres "$database" &&
		"$asserting/psql" -h "$cluster" -U postgres -d "$database" -XAtq \
			-c "SET client_min_messages = error" -c "CREATE EXTENSION kgwebhook CASCADE" &&
		"$asserting/psql" -h "$cluster" -U postgres -d "$database" -X \
			-v seed="${SEED:-1}" -v cases="${KGW_CASES:-2500}" -v seconds="${KGW_SECONDS:-12}" \
			-f test/random_sql/random.sql >"$log" 2>&1 || status=$?
	say "$(grep '^# ' "$log" || true)"
	if [ "$status" -eq 0 ] && ! grep -qE '^FOUND|ERROR|FATAL' "$log"; then
		say "ok - no crash, no internal error, nothing seen that a role may not see"
		count 1 0
	else
		say "not ok - random SQL (SEED=${SEED:-1})"
		sed -nE '/^FOUND|ERROR|FATAL/p' "$log" | failure "random SQL (SEED=${SEED:-1})"
		show_end "$log" 40
		show_end "$cluster/server.log" 20
		count 0 1
	fi
}

# Tables, triggers and payments at random, on the same server; for longer by way of make
# types.  With MUTANT, of a broken build, in which it has to find something.
suite_types()
{
	local log=$KGW_OUTPUT/types database=kgwebhook_types status=0 wanted=green seen=green

	section "types at random"
	if [ -n "${MUTANT:-}" ]; then
		wanted=red
		find test/{types,checker}/mutants -name "$MUTANT.patch" -exec patch -s -p1 -i {} \;
	fi
	if ! start_cluster; then
		count 0 1
		return
	fi
	"$asserting/createdb" -h "$cluster" -U postgres "$database" &&
		"$asserting/psql" -h "$cluster" -U postgres -d "$database" -XAtq \
			-c "SET client_min_messages = error" -c "CREATE EXTENSION kgwebhook CASCADE" &&
		"$asserting/psql" -h "$cluster" -U postgres -d "$database" -X -v seed="${SEED:-1}" \
			-v seconds="${KGW_SECONDS:-8}" -f test/types/types.sql >"$log" 2>&1 || status=$?
	say "$(grep -a '^# ' "$log" || true)"
	if [ "$status" -ne 0 ] || ! grep -q '^# ' "$log" || grep -qE '^FOUND|ERROR:' "$log"; then
		seen=red
	fi
	if [ "$seen" = "$wanted" ]; then
		say "ok - ${MUTANT:-each event is what the oracle says, and no payment failed}"
		count 1 0
	else
		say "not ok - types at random (SEED=${SEED:-1})"
		grep -aE '^FOUND|ERROR:' "$log" | cut -c1-1000 | head -n 20
		show_end "$log" 40
		show_end "$cluster/server.log" 20
		count 0 1
	fi
}

# For each test that failed, what it logged and what its servers logged.
show_tap_logs()
{
	local test log

	cp -R "$1" "$KGW_OUTPUT/tap"
	tail -n +2 "$counts" | while read -r test; do
		test=$(basename "$test" .pl)
		for log in "$1/regress_log_$test" "$1/${test}"_*.log; do
			show_end "$log" 40
		done
	done
	say "all logs: check-output/tap/"
}

# Runs the checker on a build: run_checker NAME BINDIR SECONDS [PROGRAM].  The faults are in
# its log; the seed and the summary are for everyone.
run_checker()
{
	local dir=$KGW_SCRATCH/c/$1 status

	mkdir -p "$dir" "$KGW_OUTPUT/checker"
	status=0
	python3 -u "test/checker/${4:-checker}.py" --bindir="$2" --directory="$dir" \
		--seconds="$3" ${SEED:+--seed="$SEED"} 2>&1 |
		tee "$KGW_OUTPUT/checker/$1" | grep --line-buffered -v ' s  ' || status=$?
	return "$status"
}

suite_checker()
{
	section "the checker: nothing lost, nothing invented"
	if need_asserting && run_checker main "$asserting" "${KGW_SECONDS:-45}"; then
		count 1 0
	else
		sed -n '/^WRONG/p' "$KGW_OUTPUT/checker/main" | failure "the checker"
		count 0 1
		show_end "$KGW_SCRATCH/c/main/server.log" 40
		cp "$KGW_SCRATCH"/c/main/*.{log,record} "$KGW_OUTPUT/checker/"
	fi
}

suite_checker_nodes()
{
	section "the checker over delivery nodes: nothing lost, nothing invented"
	if need_asserting && run_checker nodes "$asserting" "${KGW_SECONDS:-100}" nodes; then
		count 1 0
	else
		sed -n '/^WRONG/p' "$KGW_OUTPUT/checker/nodes" | failure "the checker over delivery nodes"
		count 0 1
		cp "$KGW_SCRATCH"/c/nodes/*.{log,record} "$KGW_OUTPUT/checker/"
		for server in source n1 n2; do
			cp "$KGW_SCRATCH/c/nodes/$server/server.log" "$KGW_OUTPUT/checker/$server.log"
		done
	fi
}

# Each patch breaks a promise, and says in a line "Shows: NAME" under which name the
# checker has to complain of it.  Any other red, or none, doesn't count as found.
suite_mutants()
{
	local patch name

	section "mutants: the checker is red where it has to be"
	for patch in test/checker/mutants/${MUTANT:-*}.patch; do
		name=$(basename "$patch" .patch)
		one_test "$name" mutant_is_found "$name" "$patch" || true
	done
}

mutant_is_found()
{
	local tree=$KGW_SCRATCH/tmp/$1 stage=$KGW_SCRATCH/tmp/stage-$1 status=0 shows program

	shows=$(sed -n 's/^Shows: //p' "$2")
	program=$(sed -n 's/^Checker: //p' "$2")
	if [ -z "$shows" ]; then
		say "$2 doesn't say what it shows"
		return 1
	fi
	mkdir "$tree"
	cp -R Makefile dev.mk kgwebhook.control install src scripts "$tree/"
	find "$tree" -name '*.o' -delete
	patch -d "$tree" -p1 <"$2" || return 1
	make -C "$tree" -s -j "$jobs" || return 1
	run_checker "$1" "$("$tree/scripts/stage.sh" "$stage")" "${KGW_SECONDS:-100}" "$program" || status=$?
	if [ "$status" -ne 1 ] || ! grep -qxF "WRONG: $shows" "$KGW_OUTPUT/checker/$1"; then
		say "the checker does not show: $shows"
		return 1
	fi
}

#-------------------------------------------------------------------------
# All of it
#-------------------------------------------------------------------------

# Runs suites that need a processor and no server beside others, which need a server and
# one processor: beside SUITE...  What they print comes when they are waited for.
beside()
{
	beside_output=$KGW_SCRATCH/tmp/beside
	(
		passed=0
		failed=0
		counts=$beside_output.tap
		for suite in "$@"; do
			"suite_$suite"
		done
		echo "$passed $failed" >"$beside_output.counts"
	) >"$beside_output" 2>&1 &
	beside_pid=$!
}

wait_for_beside()
{
	local good=0 bad=1

	[ -n "$beside_pid" ] || return 0
	wait "$beside_pid" || true
	beside_pid=
	cat "$beside_output"
	if [ -f "$beside_output.counts" ]; then
		read -r good bad <"$beside_output.counts"
	fi
	count "$good" "$bad"
}

finish()
{
	wait_for_beside
	stop_cluster
	section "result"
	if [ -f "$failures" ]; then cat "$failures"; fi
	say "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] || exit 1
	exit 0
}

everything=
beside_pid=
if [ $# -eq 0 ]; then
	everything=yes
	set -- unit prose includes exports regress isolation random_sql types tap points torture checker
fi

# These alone need no server and no module.
if [ "$*" != unit ] && [ "$*" != model ] && [ "$*" != sim ] && [ "$*" != includes ] &&
	[ "$*" != prose ]; then
	suite_build || finish
fi
[ -z "$everything" ] || beside model sim
for suite in "$@"; do
	# what runs beside would be in the way of tests that wait for each other
	[ "$suite" != tap ] || wait_for_beside
	"suite_${suite//-/_}"
done
if [ -n "${KGW_SANITIZE:-}" ]; then
	stop_cluster
	section "what the sanitizers found"
	one_test "nothing" no_report || true
fi
finish
