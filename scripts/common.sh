# shellcheck shell=bash
# scripts/common.sh
#	  What the scripts of this folder share: words to the reader, where
#	  PostgreSQL is, and what belongs to the tree.  Sourced, never run.

# The versions of PostgreSQL that will do, the one to be preferred first.
pg_majors=${PG_MAJOR:-15 16 17 18 19}

# Where monitoring-tools.sh puts what it fetches.
# shellcheck disable=SC2034 # used by who sources this
monitoring_tools=test/monitoring/tools

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

# Does this pg_config lead to a server AND to its build files AND to libpq's header?
# Debian's pg_config comes with libpq-dev already, which has only the last.
pg_config_is_whole()
{
	local pg_config=$1 pgxs bindir

	pgxs=$("$pg_config" --pgxs 2>/dev/null) && [ -f "$pgxs" ] &&
		bindir=$("$pg_config" --bindir) && [ -x "$bindir/postgres" ] &&
		[ -f "$("$pg_config" --includedir-server)/postgres.h" ] &&
		[ -f "$("$pg_config" --includedir)/libpq-fe.h" ] &&
		[ -f "$("$pg_config" --sharedir)/extension/pgcrypto.control" ]
}

# Prints the pg_config to use.  One the user named is used or complained of,
# never replaced by another.
find_pg_config()
{
	local major candidate

	if [ -n "${PG_CONFIG:-}" ]; then
		pg_config_is_whole "$PG_CONFIG" && command -v "$PG_CONFIG"
		return
	fi
	if pg_config_is_whole pg_config; then
		command -v pg_config
		return
	fi
	for major in $pg_majors; do
		candidate=/usr/lib/postgresql/$major/bin/pg_config
		if pg_config_is_whole "$candidate"; then
			say "$candidate"
			return
		fi
	done
	return 1
}

# Copies the tree: what git knows or would know; without git, all but what was
# built.  What has been fetched already goes along: npm's verifiers, and the
# programs that the monitoring is tested with.
copy_tree()
{
	local file target=$1

	if git -c safe.directory="$PWD" rev-parse >/dev/null 2>&1; then
		git -c safe.directory="$PWD" ls-files -z -co --exclude-standard |
			while IFS= read -r -d '' file; do
				if [ -e "$file" ]; then printf '%s\0' "$file"; fi
			done | tar --null --no-recursion -T - -cf -
	else
		tar --exclude=node_modules --exclude="$monitoring_tools" --exclude=check-output --exclude=matrix-output --exclude=package-output --exclude=./dist --exclude='*.o' \
			--exclude='*.so' --exclude=test/unit/build --exclude=test/fuzz/build \
			-cf - .
	fi | tar --no-same-owner -C "$target" -xf -
	if [ -d test/receivers/node_modules ]; then
		cp -R test/receivers/node_modules "$target/test/receivers/"
	fi
	if [ -d "$monitoring_tools" ]; then
		cp -R "$monitoring_tools" "$target/test/monitoring/"
	fi
}
