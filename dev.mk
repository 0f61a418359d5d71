#-------------------------------------------------------------------------
#
# dev.mk
#	  What people type: the demo, the tests, the benchmarks.
#
# These goals start on a machine that has neither pg_config nor a compiler: a
# script installs what is missing, copies the tree to a scratch folder and
# builds there by a make of its own.  PGXS is left out when one of them is
# asked for, which also keeps it from warning that its own "check", of no use
# to an extension, is overridden.
#
#-------------------------------------------------------------------------

PEOPLE_GOALS = deps demo demo-nodes check check-unit check-prose check-includes check-exports check-regress \
	check-isolation check-tap check-sanitized check-slow check-valgrind check-space checker checker-nodes mutants model sim points torture random-sql types protocol fuzz bench soak matrix
PEOPLE_GOALS += dist packages check-arm64 site

ifneq ($(filter $(PEOPLE_GOALS),$(MAKECMDGOALS)),)

ifneq ($(filter-out $(PEOPLE_GOALS),$(MAKECMDGOALS)),)
$(error run "make $(filter-out $(PEOPLE_GOALS),$(MAKECMDGOALS))" and "make $(filter $(PEOPLE_GOALS),$(MAKECMDGOALS))" one after the other)
endif

.PHONY: $(PEOPLE_GOALS) monitoring-tools languages

deps:
	@scripts/deps.sh check

demo:
	@scripts/in-scratch.sh demo/demo.sh

demo-nodes:
	@scripts/in-scratch.sh demo/nodes.sh

# All of it, or some suites on one build: make check SUITES='regress isolation'.
check:
	@scripts/in-scratch.sh scripts/check.sh $(SUITES)

check-unit check-prose check-includes check-exports check-regress check-isolation check-tap: check-%:
	@scripts/in-scratch.sh scripts/check.sh $*

# What runs the TAP tests needs them.
check check-tap check-sanitized check-slow: monitoring-tools languages
monitoring-tools:
	@scripts/monitoring-tools.sh
languages:
	@scripts/deps.sh check

# A minute each, or FUZZ_SECONDS; one of test/fuzz: make fuzz FUZZ=url.
fuzz:
	@scripts/deps.sh fuzz
	@scripts/in-scratch.sh scripts/fuzz.sh

# SECONDS means something else to a shell.
checker checker-nodes mutants:
	@KGW_SECONDS=$(SECONDS) SEED=$(SEED) MUTANT=$(MUTANT) scripts/in-scratch.sh scripts/check.sh $@

# Every run of the model that spin can reach with a few GB; make check has a short one.
model:
	@scripts/deps.sh check
	@KGW_DEEP=1 KGW_MODEL_MEMORY=6000 scripts/in-scratch.sh scripts/check.sh model

# Worlds from new seeds for ten minutes; make check has some seconds of it.
sim:
	@scripts/deps.sh check
	@KGW_SECONDS=$(or $(SECONDS),600) SEED=$(or $(SEED),$(shell date +%s)) scripts/in-scratch.sh scripts/check.sh sim

# Every function with arguments at random for ten minutes; make check has some seconds.
# SANITIZE=1: with the module under gcc's sanitizers, too.
random-sql:
	@scripts/deps.sh check
	@KGW_SANITIZE=$(SANITIZE) KGW_CASES=1000000 KGW_SECONDS=$(or $(SECONDS),600) SEED=$(or $(SEED),$(shell date +%s)) \
		scripts/in-scratch.sh scripts/check.sh random_sql

# Tables, triggers and payments at random for ten minutes; make check has some seconds.
# SEED=n begins with the world n; MUTANT=name is red in a broken build, and fails if it is not.
types:
	@scripts/deps.sh check
	@KGW_SECONDS=$(or $(SECONDS),$(if $(MUTANT),60,600)) SEED=$(or $(SEED),$(if $(MUTANT),1,$(shell date +%s | tail -c 7))) \
		MUTANT=$(MUTANT) scripts/in-scratch.sh scripts/check.sh types

# Answers and records of TLS at random, from new seeds for ten minutes; make check has one.
protocol:
	@scripts/deps.sh check
	@KGW_SECONDS=$(or $(SECONDS),600) SEED=$(or $(SEED),$(shell date +%s | tail -c 7)) \
		scripts/in-scratch.sh scripts/check.sh protocol

# A worker or a node that dies at each point of death, alone and in pairs; make check has a few.
points:
	@scripts/deps.sh check
	@KGW_DEEP=1 SEED=$(SEED) KGW_PART=$(PART) scripts/in-scratch.sh scripts/check.sh points

# A worker in which each allocation fails once; make check has a few.  SCENARIO='tls named' are
# some scenarios, PART=2/5 is the second fifth of each, as it is of the points.  STRETCH='30 all':
# instead of one, all fail for 30 allocations, or for a second, in which those of PostgreSQL do, too.
torture:
	@scripts/deps.sh check
	@KGW_DEEP=1 SCENARIO='$(SCENARIO)' STRETCH='$(STRETCH)' KGW_PART=$(PART) scripts/in-scratch.sh scripts/check.sh torture

# The suites that need a server, with the module under gcc's sanitizers.
check-sanitized:
	@KGW_SANITIZE=1 scripts/in-scratch.sh scripts/check.sh \
		$(or $(SUITES),regress isolation tap)

# The TAP tests, with a worker that sleeps at random between its steps: what takes it for
# fast fails.  Six at a time, because most of it is sleep; some have thousands of turns.
check-slow:
	@KGW_LAG=1 KGW_JOBS=$(or $(KGW_JOBS),3) PG_TEST_TIMEOUT_DEFAULT=900 scripts/in-scratch.sh scripts/check.sh tap

# A worker under valgrind, over 10,000 deliveries.
check-valgrind:
	@scripts/deps.sh valgrind
	@scripts/in-scratch.sh test/valgrind/run.sh

# src/pure on arm64, cross compiled, under qemu.
check-arm64:
	@scripts/deps.sh arm64
	@scripts/in-scratch.sh scripts/arm64.sh

# A million deliveries and a retention run: are the tables as small as before?
check-space:
	@KGW_DELIVERIES=$(or $(DELIVERIES),1000000) PG_TEST_TIMEOUT_DEFAULT=3600 TAP=test/t/074_table_bloat.pl \
		scripts/in-scratch.sh scripts/check.sh tap
	@cat check-output/space.md

# One row of the bench: make bench ROW=drain; a quick look: SCALE=0.05.
bench:
	@bench/bench.sh $(addprefix --row=,$(ROW)) $(addprefix --rounds=,$(ROUNDS)) \
		$(addprefix --scale=,$(SCALE))

# Hours of mixed traffic, in which nothing may grow; charts in check-output/soak.
# RATE: transactions a second.  A quick look: HOURS=0.05.
soak:
	@scripts/deps.sh
	@scripts/in-scratch.sh bench/soak/soak.sh $(addprefix --hours=,$(HOURS)) $(addprefix --rate=,$(RATE))

# Debian's, into package-output/; see scripts/package.sh.
packages:
	@scripts/deps.sh packages
	@scripts/package.sh package-output

# The documentation as a site with search, into check-output/site.
site:
	@scripts/deps.sh site
	@scripts/in-scratch.sh scripts/site.sh

# A release of what is committed, into dist/; see scripts/dist.sh.
dist:
	@scripts/dist.sh dist

# Other Debians, with other versions of PostgreSQL; see scripts/matrix.sh.
matrix:
	@scripts/matrix.sh $(SUITES)

endif
