#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/deps.sh [check|fuzz|valgrind|arm64|site|packages]
#	  Finds what the demo and the tests need, and installs what is missing.
#	  With a word, also what only make check, make fuzz, make check-valgrind,
#	  make check-arm64 or make site needs.  With "packages", what make packages needs, and
#	  nothing else.
#
# Each need is probed by what it gives (a command, a header, a Perl module) and
# not by the name of a package, because a machine may have its Node or its
# PostgreSQL from elsewhere.  Where nothing is missing, nothing is asked of the
# network.  Nothing that is there is upgraded.
#
# PHP, Ruby, Go and a JDK are for the receivers' guide, each program of which is
# run.  Go (81 MB to fetch, 464 on disk, half a minute to install) and the JDK
# (116 and 266) are too much for a demo: they come with the word check.
#
# Chromium is for the delivery page, which is read in a browser: 90 MB to fetch,
# 390 on disk.  Ubuntu only has it as a snap, which a system without snapd can't
# install: there, the page's test leaves the browser out.
#
# Commands are looked for through the eyes of an unprivileged user: PostgreSQL
# won't run as root, so everything after this runs as someone else, to whom a
# Node in root's home directory is of no use.
#
#-------------------------------------------------------------------------
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

purpose=${1:-}

as_anybody()
{
	if [ "$(id -u)" -eq 0 ]; then
		(cd / && setpriv --reuid=65534 --regid=65534 --clear-groups "$@")
	else
		"$@"
	fi
}

has_command()
{
	# shellcheck disable=SC2016 # for the inner shell
	as_anybody sh -c 'command -v "$1" && test -x "$(command -v "$1")"' sh "$1" \
		>/dev/null 2>&1
}

has_header()
{
	has_command gcc && printf '#include <%s>\n' "$1" | gcc -E - >/dev/null 2>&1
}

has_perl_module()
{
	as_anybody perl -M"$1" -e 1 >/dev/null 2>&1
}

has_node()
{
	as_anybody node -e 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)' \
		>/dev/null 2>&1
}

has_pg_cron()
{
	local pg_config

	pg_config=$(find_pg_config) &&
		[ -f "$("$pg_config" --sharedir)/extension/pg_cron.control" ]
}

# Prints the package of pg_cron, if apt has it for this version (if apt has
# no lists yet, it may).  Its tests do without where it can't be had.
pg_cron_package()
{
	local pg_config version

	command -v apt-cache >/dev/null || return 0
	if pg_config=$(find_pg_config); then
		version=$("$pg_config" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
	else
		version=$(pg_major)
	fi
	if apt-cache show "postgresql-$version-cron" >/dev/null 2>&1 ||
		[ -z "$(apt-cache pkgnames postgresql 2>/dev/null)" ]; then
		echo "postgresql-$version-cron"
	fi
}

# Prints the package of Chromium, likewise.
chromium_package()
{
	local names

	command -v apt-cache >/dev/null || return 0
	names=$(apt-cache pkgnames chromium 2>/dev/null)
	if [ -z "$names" ] || grep -qx chromium <<<"$names"; then echo chromium; fi
}

has_libfuzzer()
{
	has_command clang &&
		printf 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' |
		clang -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null
}

# Have the verifiers been fetched that the lock file asks for?
has_node_modules()
{
	cmp -s test/receivers/package-lock.json \
		test/receivers/node_modules/.installed-from
}

# Prints the version of PostgreSQL to install: the first that will do and that
# this Debian has.
pg_major()
{
	local major

	for major in $pg_majors; do
		if apt-cache show "postgresql-server-dev-$major" >/dev/null 2>&1; then
			say "$major"
			return
		fi
	done
	say "${pg_majors%% *}"
}

# What builds Debian packages: the same names on every machine that can.
missing_for_packages()
{
	local name

	for name in build-essential debhelper libcurl4-openssl-dev libpq-dev libssl-dev lintian make \
		postgresql-server-dev-all; do
		if [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
			echo "$name"
		fi
	done
}

# Prints the Debian packages that would fill the gaps, one a line.
missing_packages()
{
	if [ "$purpose" = packages ]; then
		missing_for_packages
		return
	fi
	if [ "$purpose" = valgrind ] && ! has_command valgrind; then
		echo valgrind
	fi
	if [ "$purpose" = site ] && ! has_command mkdocs; then
		echo mkdocs
	fi
	if [ "$purpose" = arm64 ]; then
		has_command aarch64-linux-gnu-gcc || echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross
		has_command qemu-aarch64 || echo qemu-user
	fi
	if [ "$purpose" = fuzz ] && ! has_libfuzzer; then
		echo clang libclang-rt-dev
	fi
	if [ "$purpose" = check ]; then
		has_command go || echo golang-go
		has_command javac || echo default-jdk-headless
		has_command spin || echo spin
		/usr/bin/python3 -c 'import cryptography' 2>/dev/null || echo python3-cryptography
	fi
	has_command gcc || echo gcc
	has_header stdio.h || echo libc6-dev
	has_header curl/curl.h || echo libcurl4-openssl-dev
	has_header openssl/ssl.h || echo libssl-dev
	find_pg_config >/dev/null ||
		echo "postgresql-$(pg_major)" "postgresql-server-dev-$(pg_major)"
	has_pg_cron || pg_cron_package
	{ has_command prove && has_perl_module Test::More; } || echo perl
	has_perl_module IPC::Run || echo libipc-run-perl
	has_node || echo nodejs
	has_node_modules || command -v npm >/dev/null || echo npm
	[ -f /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
	has_command python3 || echo python3
	has_command php || echo php-cli
	has_command ruby || echo ruby
	has_command openssl || echo openssl
	has_command curl || echo curl
	has_command chromium || chromium_package
}

if [ -n "${PG_CONFIG:-}" ] && ! find_pg_config >/dev/null; then
	fail "PG_CONFIG=$PG_CONFIG does not lead to a PostgreSQL server with its" \
		"build files and pgcrypto"
fi

missing=$(missing_packages | xargs)
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null ||
	fail "missing here, by their Debian names: $missing"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	as_root=(sudo -n)
	"${as_root[@]}" true 2>/dev/null ||
		fail "these packages are missing: $missing
and this user can't install them. As root:
    apt-get update && apt-get install --no-install-recommends $missing"
fi

# Runs a step whose hundreds of lines interest only when it fails.
quietly()
{
	local log

	log=$(mktemp)
	if "$@" >"$log" 2>&1; then
		rm -f "$log"
	else
		tail -n 40 "$log" >&2
		rm -f "$log"
		return 1
	fi
}

say "Installing what is missing (some minutes): $missing"

# A list that can't be had may belong to something else.
quietly "${as_root[@]}" apt-get update -q ||
	say "Going on with the package lists that are there."
missing=$(missing_packages | xargs)
# shellcheck disable=SC2086 # a list of words
quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
	apt-get install -q -y --no-install-recommends $missing ||
	fail "could not install them"

missing=$(missing_packages | xargs)
[ -z "$missing" ] || fail "installed, and still not usable: $missing"
