#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/node-modules.sh
#	  Fetches the third-party verifiers that the receivers judge us with, and what
#	  the merchants' gateway is made of.
#
# Only when they are not there or the lock file is another than the one they
# came from, so that a machine which has them needs no network.
#
#-------------------------------------------------------------------------
set -euo pipefail
cd "$(dirname "$0")/../test/receivers"

[ -f package-lock.json ] || exit 0
marker=node_modules/.installed-from

# Two runs at once take turns.
exec 9<package-lock.json
flock 9

if ! cmp -s package-lock.json "$marker"; then
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	cp package-lock.json "$marker"
	[ "$(id -u)" -ne 0 ] || chown -R --reference=. node_modules
fi
