# shellcheck shell=bash
# scripts/common.sh
#	  What the scripts of this folder share: words to the reader, and where
#	  PostgreSQL is.  Sourced, never run.

# One line for each argument.
say()
{
	printf '%s\n' "$@"
}

fail()
{
	printf 'kgwebhook: %s\n' "$*" >&2
	exit 1
}

# Does this pg_config lead to a server AND to its build files?  Debian's
# pg_config comes with libpq-dev already, which has neither.
pg_config_is_whole()
{
	local pg_config=$1 pgxs bindir

	pgxs=$("$pg_config" --pgxs 2>/dev/null) && [ -f "$pgxs" ] &&
		bindir=$("$pg_config" --bindir) && [ -x "$bindir/postgres" ] &&
		[ -f "$("$pg_config" --includedir-server)/postgres.h" ] &&
		[ -f "$("$pg_config" --sharedir)/extension/pgcrypto.control" ]
}

# Prints the pg_config to use.  One the user named is used or complained of,
# never replaced by another.
find_pg_config()
{
	local candidate

	if [ -n "${PG_CONFIG:-}" ]; then
		pg_config_is_whole "$PG_CONFIG" && command -v "$PG_CONFIG"
		return
	fi
	for candidate in pg_config \
		"/usr/lib/postgresql/${PG_MAJOR:-15}/bin/pg_config"; do
		if pg_config_is_whole "$candidate"; then
			command -v "$candidate"
			return
		fi
	done
	return 1
}
