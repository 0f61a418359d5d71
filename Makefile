#-------------------------------------------------------------------------
#
# Makefile
#	  Builds and installs the extension the PGXS way.
#
# What people type besides (make demo, make check, make bench, ...) is in
# dev.mk, which must work on a machine that has neither pg_config nor a
# compiler yet.  So for those goals PGXS is not even looked for.
#
#-------------------------------------------------------------------------

srcdir ?= $(or $(VPATH),.)
include $(srcdir)/dev.mk

ifeq ($(filter $(PEOPLE_GOALS),$(MAKECMDGOALS)),)

MODULE_big = kgwebhook
EXTENSION = kgwebhook

# The version is written down once, in the control file.
KGW_VERSION = $(shell sed -n \
	"s/^default_version *= *'\([^']*\)'.*/\1/p" $(srcdir)/kgwebhook.control)

# The install script is made of parts, one subject a file.  Their order is that
# of CREATE EXTENSION, so it is listed and not found by a wildcard.
INSTALL_PARTS = header identity callers watch shapes ready_made secrets signing_keys \
	subscription_table queue delivery_log dead_letter source_tables event_places events_since pause dump \
	triggers ddl_triggers consent subscription_options subscriptions http_signature \
	client_certificates request_headers undecryptable send_test examine replay preview worker_stats adopt \
	backlog view_destinations view_deliveries view_subscriptions view_stats view_failures \
	view_unacknowledged log_partitions purge maintenance redeliver amend recover reconcile \
	remedies status_server status_crowd status_receivers status egress check_setup explain_past explain_wait explain \
	dashboard verify event_catalog endpoint_events forget source_check followed_tables \
	follow routes announce \
	repair follower view_sources explain_source merchant_rows grant_org privileges on_install
VERSION_SCRIPT = kgwebhook--$(KGW_VERSION).sql
DATA_built = $(VERSION_SCRIPT)
DATA = $(patsubst $(srcdir)/%,%,$(wildcard $(srcdir)/install/upgrade/kgwebhook--*--*.sql))

SOURCES = $(wildcard $(srcdir)/src/*.c $(srcdir)/src/*/*.c $(srcdir)/src/*/*/*.c)
OBJS = $(patsubst $(srcdir)/%.c,%.o,$(SOURCES))

# Packages are built beside the source, in a folder for each version.
ifneq ($(VPATH),)
$(shell mkdir -p $(sort $(dir $(OBJS))))
endif

PG_CPPFLAGS = -I$(srcdir)/src -Isrc -DKGW_VERSION='"$(KGW_VERSION)"' \
	-I$(shell $(PG_CONFIG) --includedir) $(shell curl-config --cflags 2>/dev/null)
# PostgreSQL's own headers and PG_FUNCTION_ARGS leave parameters unused.
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -MMD -MP
SHLIB_LINK = $(shell curl-config --libs 2>/dev/null || echo -lcurl) -lssl -lcrypto $(libpq)

# The delivery page's style and script, as the C strings that page.c includes.
FRAME = src/dashboard/page.css.inc src/dashboard/page.js.inc

# PGXS's own "installcheck" runs the same files against an installed server
# that preloads kgwebhook with test/regress.conf.
REGRESS = $(patsubst $(srcdir)/sql/%.sql,%,$(wildcard $(srcdir)/sql/*.sql))
REGRESS_OPTS = --load-extension=pgcrypto --load-extension=kgwebhook
EXTRA_CLEAN = $(OBJS:.o=.d) $(FRAME) test/unit/build test/unit/canonical_cli \
	test/fuzz/build test/sim/build check-output matrix-output

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

$(VERSION_SCRIPT): $(INSTALL_PARTS:%=$(srcdir)/install/%.sql) $(srcdir)/Makefile
	cat $(INSTALL_PARTS:%=$(srcdir)/install/%.sql) >$@

src/dashboard/page.o: $(FRAME)
$(FRAME): %.inc: $(srcdir)/% $(srcdir)/Makefile
	@mkdir -p $(@D)
	sed -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n"/' $< >$@
-include $(OBJS:.o=.d)

endif
