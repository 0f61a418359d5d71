#-------------------------------------------------------------------------
#
# Makefile
#	  Builds the module the PGXS way, and runs the demo and the tests.
#
# Two makefiles in one, chosen by the goal.  `make` and `make install` need
# pg_config, as with any extension.  `make demo` and `make check` must start on
# a machine that has neither pg_config nor a compiler, so for those goals PGXS
# is not even looked for: a script installs what is missing, copies the tree
# to a scratch folder and builds there by a make of its own.  (It also keeps
# PGXS from warning that its own, useless "check" is overridden.)
#
#-------------------------------------------------------------------------

PEOPLE_GOALS = deps demo check check-unit check-exports check-regress \
	check-isolation check-tap check-sanitized check-valgrind check-space checker mutants model fuzz bench matrix

ifneq ($(filter $(PEOPLE_GOALS),$(MAKECMDGOALS)),)

ifneq ($(filter-out $(PEOPLE_GOALS),$(MAKECMDGOALS)),)
$(error run "make $(filter-out $(PEOPLE_GOALS),$(MAKECMDGOALS))" and "make $(filter $(PEOPLE_GOALS),$(MAKECMDGOALS))" one after the other)
endif

.PHONY: $(PEOPLE_GOALS) monitoring-tools languages

deps:
	@scripts/deps.sh check

demo:
	@scripts/in-scratch.sh demo/demo.sh

check:
	@scripts/in-scratch.sh scripts/check.sh

check-unit check-exports check-regress check-isolation check-tap: check-%:
	@scripts/in-scratch.sh scripts/check.sh $*

# What runs the TAP tests needs them.
check check-tap check-sanitized: monitoring-tools languages
monitoring-tools:
	@scripts/monitoring-tools.sh
languages:
	@scripts/deps.sh check

# A minute each, or FUZZ_SECONDS; one of test/fuzz: make fuzz FUZZ=url.
fuzz:
	@scripts/deps.sh fuzz
	@scripts/in-scratch.sh scripts/fuzz.sh

# SECONDS means something else to a shell.
checker mutants:
	@KGW_SECONDS=$(SECONDS) SEED=$(SEED) MUTANT=$(MUTANT) scripts/in-scratch.sh scripts/check.sh $@

# Every run of the model that spin can reach with a few GB; make check has a short one.
model:
	@scripts/deps.sh check
	@KGW_DEEP=1 KGW_MODEL_MEMORY=6000 scripts/in-scratch.sh scripts/check.sh model

# The suites that need a server, with the module under gcc's sanitizers.
check-sanitized:
	@KGW_SANITIZE=1 scripts/in-scratch.sh scripts/check.sh \
		$(or $(SUITES),regress isolation tap)

# A worker under valgrind, over 10,000 deliveries.
check-valgrind:
	@scripts/deps.sh valgrind
	@scripts/in-scratch.sh test/valgrind/run.sh

# A million deliveries and a retention run: are the tables as small as before?
check-space:
	@KGW_DELIVERIES=$(or $(DELIVERIES),1000000) PG_TEST_TIMEOUT_DEFAULT=3600 TAP=test/t/074_space.pl \
		scripts/in-scratch.sh scripts/check.sh tap
	@cat check-output/space.md

# One row of the bench: make bench ROW=drain; a quick look: SCALE=0.05.
bench:
	@bench/bench.sh $(addprefix --row=,$(ROW)) $(addprefix --rounds=,$(ROUNDS)) \
		$(addprefix --scale=,$(SCALE))

# Other Debians, with other versions of PostgreSQL; see scripts/matrix.sh.
matrix:
	@scripts/matrix.sh $(SUITES)

else # PGXS

MODULE_big = kgwebhook
EXTENSION = kgwebhook
DATA = $(notdir $(wildcard $(srcdir)/kgwebhook--*.sql))

srcdir ?= .
SOURCES = $(wildcard $(srcdir)/src/*.c $(srcdir)/src/*/*.c)
OBJS = $(patsubst $(srcdir)/%.c,%.o,$(SOURCES))

# The version is written down once, in the control file.
KGW_VERSION = $(shell sed -n \
	"s/^default_version *= *'\([^']*\)'.*/\1/p" $(srcdir)/kgwebhook.control)

PG_CPPFLAGS = -I$(srcdir)/src -Isrc -DKGW_VERSION='"$(KGW_VERSION)"' \
	$(shell curl-config --cflags 2>/dev/null)
# PostgreSQL's own headers and PG_FUNCTION_ARGS leave parameters unused.
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -MMD -MP
SHLIB_LINK = $(shell curl-config --libs 2>/dev/null || echo -lcurl) -lcrypto

# The delivery page's style and script, as the C strings that dashboard.c includes.
FRAME = src/processes/dashboard.css.inc src/processes/dashboard.js.inc

# PGXS's own "installcheck" runs the same files against an installed server
# that preloads kgwebhook with test/regress.conf.
REGRESS = $(patsubst $(srcdir)/sql/%.sql,%,$(wildcard $(srcdir)/sql/*.sql))
REGRESS_OPTS = --load-extension=pgcrypto --load-extension=kgwebhook
EXTRA_CLEAN = $(OBJS:.o=.d) $(FRAME) test/unit/build test/unit/canonical_cli \
	test/fuzz/build check-output matrix-output

# Bitcode would need the very clang the server was built with, and lets the
# server inline only functions that nobody calls a million times here.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error $(PG_CONFIG) does not lead to PostgreSQL's build files: install \
	postgresql-server-dev-15, or set PG_CONFIG, or run "make deps")
endif
include $(PGXS)

# The flags and attributes recorded in pg_config are those gcc knew.
ifneq ($(findstring clang,$(CC)),)
override CFLAGS += -Wno-unknown-warning-option \
	-Wno-ignored-optimization-argument -Wno-ignored-attributes
endif

$(OBJS): $(srcdir)/kgwebhook.control $(srcdir)/Makefile

src/processes/dashboard.o: $(FRAME)
$(FRAME): %.inc: $(srcdir)/% $(srcdir)/Makefile
	@mkdir -p $(@D)
	sed -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n"/' $< >$@
-include $(OBJS:.o=.d)

endif
