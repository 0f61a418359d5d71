#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# bench/bench.sh [ARGUMENT...]
#	  Prepares the machine and runs bench.py, with these arguments, in a
#	  scratch folder (scripts/in-scratch.sh).
#
# The packages of the Node outbox are fetched once and kept in the tree.  The
# scratch folder is a copy of what git knows, so they are handed over beside it,
# in a folder that the unprivileged user may read.
#
#-------------------------------------------------------------------------
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

scripts/deps.sh

outbox=bench/node-outbox
marker=$outbox/node_modules/.installed-from
if ! cmp -s "$outbox/package-lock.json" "$marker"; then
	(cd "$outbox" &&
		npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
	cp "$outbox/package-lock.json" "$marker"
	[ "$(id -u)" -ne 0 ] || chown -R --reference="$outbox" "$outbox/node_modules"
fi

packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
cp -R "$outbox/node_modules" "$packages/"
chmod -R u+rwX,go+rX "$packages"

scripts/in-scratch.sh bench/bench.py --packages "$packages/node_modules" "$@"
