#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/stage.sh STAGE
#	  Makes a PostgreSQL installation of one's own, with our extension in it,
#	  without touching the system's.  Prints its directory of programs.
#
# PostgreSQL finds its libraries and its share directory by the way that leads
# there from where its program really is.  So the stage repeats the system's
# paths below STAGE: the programs as real copies (of a link, PostgreSQL would
# follow the link), everything else as links.  The directories that `make
# install` writes to are real ones, and our own files are left out of the
# links, so that an installed kgwebhook is neither tested nor overwritten.
#
#-------------------------------------------------------------------------
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

stage=$1
pg_config=$(find_pg_config) || fail "no PostgreSQL with its build files"
bindir=$("$pg_config" --bindir)
pkglibdir=$("$pg_config" --pkglibdir)
sharedir=$("$pg_config" --sharedir)
includedir_server=$("$pg_config" --includedir-server)

# Links all that is in a directory from its twin in the stage.
link_contents()
{
	mkdir -p "$stage$1"
	find "$1" -mindepth 1 -maxdepth 1 ! -name 'kgwebhook*' "${@:2}" \
		-exec ln -s -t "$stage$1" {} +
}

mkdir -p "$stage$bindir"
cp -L "$bindir"/* "$stage$bindir/"
link_contents "$pkglibdir"
link_contents "$sharedir" ! -name extension
link_contents "$sharedir/extension"
mkdir -p "$(dirname "$stage$includedir_server")"
ln -s "$includedir_server" "$stage$includedir_server"

# The internal headers sit beside the server's, in a place pg_config doesn't
# name.
includedir=$("$pg_config" --includedir)
if [ -d "$includedir/internal" ]; then
	ln -s "$includedir/internal" "$stage$includedir/internal"
fi

# A server under a sanitizer: SERVER_ENVIRONMENT is what it has to have in its
# environment.  It goes by the name of what starts it, which is what pg_ctl
# starts again.
if [ -n "${SERVER_ENVIRONMENT:-}" ]; then
	server=$stage$bindir/postgres
	mv "$server" "$server.bare"
	printf '#!/bin/bash\nexport %s\nexec -a %s %s.bare "$@"\n' \
		"$SERVER_ENVIRONMENT" "$server" "$server" >"$server"
	chmod +x "$server"
fi

# We install with the stage's own pg_config, and check that it points there:
# were it relocated in another way than we think, this would write elsewhere.
for option in --bindir --pkglibdir --sharedir; do
	case $("$stage$bindir/pg_config" $option) in
		"$stage"/*) ;;
		*) fail "the staged PostgreSQL does not find itself ($option)" ;;
	esac
done
make -s install PG_CONFIG="$stage$bindir/pg_config" >&2

say "$stage$bindir"
