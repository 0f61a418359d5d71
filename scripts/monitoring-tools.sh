#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/monitoring-tools.sh
#	  Fetches Debian's prometheus-postgres-exporter and promtool, which the
#	  files of monitoring/ are tested with.
#
# They are unpacked into test/monitoring/tools and not installed: their
# packages start services that listen on all addresses, now and at each boot,
# and tests must leave nothing like that on a machine.  Both are single programs
# that need libc only.  So no root is needed either, unless apt has no lists yet.
#
# Where the commands are there already, or what was fetched is of this release,
# the network isn't asked.  Without apt there is no Debian package to
# fetch; the test then says that it was left out.
#
#-------------------------------------------------------------------------
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

tools=$PWD/$monitoring_tools
names=(prometheus-postgres-exporter promtool)

# Which release the programs are of.
release()
{
	# shellcheck disable=SC1091 # of the machine
	(. /etc/os-release && say "$ID ${VERSION_CODENAME:-}")
}

are_here()
{
	local name

	[ "$(cat "$tools/.release" 2>/dev/null)" = "$(release)" ] && return
	for name in "${names[@]}"; do
		command -v "$name" >/dev/null || return 1
	done
}

# Prints the packages that have them: promtool was a part of prometheus once.
packages()
{
	say "${names[0]}"
	if apt-cache show promtool >/dev/null 2>&1; then
		say promtool
	else
		say prometheus
	fi
}

fetch()
{
	local name

	# shellcheck disable=SC2046 # a list of words
	(cd "$1" && apt-get download -q $(packages) && for name in *.deb; do
		dpkg-deb -x "$name" .
	done) >"$1/log" 2>&1
}

are_here && exit 0
command -v apt-get >/dev/null || exit 0

# Two runs at once take turns.
exec 9<scripts/monitoring-tools.sh
flock 9
are_here && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
if ! fetch "$work"; then
	if [ "$(id -u)" -eq 0 ]; then
		apt-get update -q >/dev/null 2>&1 || true
	else
		sudo -n apt-get update -q >/dev/null 2>&1 || true
	fi
	fetch "$work" || {
		tail -n 20 "$work/log" >&2
		fail "could not fetch the packages of ${names[*]}"
	}
fi
rm -rf "$tools"
mkdir -p "$tools"
for name in "${names[@]}"; do
	install -m 755 "$work/usr/bin/$name" "$tools/"
done
release >"$tools/.release"
[ "$(id -u)" -ne 0 ] || chown -R --reference=. "$tools"
