#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/matrix.sh [SUITE...]
#	  Does what the README tells a newcomer to do, on other Debians than this
#	  one: builds, runs the demos and `make check` in throw-away systems, each
#	  with the PostgreSQL, libcurl, OpenSSL, Perl, Node and compilers of its
#	  suite.  "upgrade" is a suite too: a system with two versions of PostgreSQL,
#	  for test/t/042_pg_upgrade.pl.  "experimental" is sid with the PostgreSQL
#	  that is to come; what needs no receiver runs there, on the OpenSSL that is
#	  to come as well.  "packages-SUITE" builds Debian packages and installs
#	  them on a system of that suite.
#
#	  make matrix                            bookworm, trixie, forky, experimental, upgrade,
#	                                         and packages on bookworm, trixie and sid
#	  make matrix SUITES=forky               one
#	  make matrix SUITES=forky KEEP=1        the root stays, and is used again
#	  make matrix SUITES=forky KEEP=1 GOAL="check-tap TAP=test/t/001_basics.pl"
#	  make matrix SUITES=forky KEEP=1 GOAL="check SUITES='regress isolation'"
#	  make matrix SUITES=trixie MIRROR=...   from another mirror, or a snapshot
#
# A root is debootstrap's smallest, to which `make` is added and nothing else:
# what the build and the tests need beyond that is for scripts/deps.sh to find
# and install, which is thereby tested as well.
#
# Whatever happens in a root happens in name spaces of its own for mounts,
# processes and System V shared memory.  These end with their first process,
# whatever ends that: no mount and no server is left behind by an interrupt or
# by kill -9, and removing a root can never reach through a mount into this
# machine.  The network is this machine's, loopback included.
#
# The mirror is the one that this machine's own apt uses.
#
#-------------------------------------------------------------------------
# shellcheck disable=SC2317 # traps
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
. scripts/common.sh

unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES

suites=("$@")
[ $# -gt 0 ] || suites=(bookworm trixie forky experimental upgrade
	packages-bookworm packages-trixie packages-sid)
kept=${TMPDIR:-/tmp}/kgwebhook-matrix
output=$PWD/matrix-output
roots=

#-------------------------------------------------------------------------
# What it takes
#-------------------------------------------------------------------------

install_debootstrap()
{
	if command -v debootstrap >/dev/null; then return; fi
	command -v apt-get >/dev/null || fail "debootstrap is missing"
	say "Installing debootstrap."
	apt-get update -qq >/dev/null 2>&1 || true
	DEBIAN_FRONTEND=noninteractive \
		apt-get install -q -y --no-install-recommends debootstrap >/dev/null ||
		fail "could not install debootstrap"
}

# Prints the address this machine has Debian's packages from.
find_mirror()
{
	if [ -n "${MIRROR:-}" ]; then
		say "$MIRROR"
		return
	fi
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(ORIGIN)/$(LABEL) $(REPO_URI)' \
		'Created-By: Packages' | sed -n 's|^Debian/Debian ||p' | head -n 1
}

check_needs()
{
	[ "$(id -u)" -eq 0 ] || fail "make matrix has to be run as root:" \
		"it makes systems by debootstrap and runs programs in them (chroot)"
	unshare --mount --pid --ipc --fork true 2>/dev/null ||
		fail "make matrix needs the right to make mounts and name spaces" \
			"(CAP_SYS_ADMIN), which this container doesn't give"
	install_debootstrap
	mirror=$(find_mirror)
	if [ -z "$mirror" ]; then
		apt-get update -qq >/dev/null 2>&1 || true
		mirror=$(find_mirror)
	fi
	[ -n "$mirror" ] || fail "this machine's apt has no mirror of Debian:" \
		"name one by MIRROR=..."
}

#-------------------------------------------------------------------------
# Roots
#-------------------------------------------------------------------------

clean_up()
{
	trap '' INT TERM HUP
	if [ -n "$roots" ] && [ "$roots" != "$kept" ]; then
		rm -rf --one-file-system "$roots" || say "could not remove $roots" >&2
	fi
}

# A folder for the roots.  The one that is kept has a name that anyone can
# guess, so it has to be root's own.
make_folder()
{
	if [ -z "${KEEP:-}" ]; then
		roots=$(mktemp -d "${TMPDIR:-/tmp}/kgwebhook-matrix.XXXXXX")
	else
		roots=$kept
		[ -d "$roots" ] || mkdir -m 755 "$roots"
		if [ -L "$roots" ] || [ ! -O "$roots" ] ||
			[ -n "$(find "$roots" -maxdepth 0 -perm /022)" ]; then
			fail "$roots is not a folder of root's alone"
		fi
	fi
	chmod 755 "$roots"
}

# Runs a shell script, with arguments, in name spaces of its own; with
# offline=--net, where there is no network.
apart()
{
	# shellcheck disable=SC2016 # for the inner shell
	# shellcheck disable=SC2086 # nothing, or an option
	unshare --mount --propagation private --pid --ipc ${offline:-} --fork --kill-child \
		bash -euc 'mount -t proc proc /proc; '"$1" bash "${@:2}" </dev/null
}

# Makes a system: make_root SUITE ROOT
make_root()
{
	local suite=$1 root=$2 recipe=/usr/share/debootstrap/scripts/$1

	# debootstraps know the suites that were there before them
	[ -e "$recipe" ] || recipe=/usr/share/debootstrap/scripts/sid
	rm -rf --one-file-system "$root"
	# shellcheck disable=SC2016 # for the inner shell
	apart 'debootstrap --variant=minbase --include=make "$@"; exit' \
		"$suite" "$root" "$mirror" "$recipe" || return
	apt_settings >"$root/etc/apt/apt.conf.d/matrix"
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/matrix"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	touch "$root/.made"
}

# This machine's proxies, if any, and the space that packages needn't take.
# Lists of a suite in motion expire within days; a mirror that stands still for
# longer will do, its lists are signed anyway.
apt_settings()
{
	apt-config dump | grep -i '^Acquire::.*proxy' || true
	cat <<-'SETTINGS'
		Acquire::Check-Valid-Until "false";
		Acquire::Languages "none";
		Acquire::Retries "3";
		APT::Install-Recommends "false";
	SETTINGS
}

# Puts this tree into a root.
copy_tree_to()
{
	rm -rf --one-file-system "$1/kgwebhook"
	mkdir "$1/kgwebhook"
	copy_tree "$1/kgwebhook"
}

# Runs a command in a root: in_root ROOT COMMAND...
in_root()
{
	local root=$1

	cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
	# The last command isn't the shell's own end: as the first process of its
	# name space, it buries the servers that tests leave to it.
	# shellcheck disable=SC2016 # for the inner shell
	apart '
		root=$1; shift
		mount -t proc proc "$root/proc"
		mount -t tmpfs -o mode=755 tmpfs "$root/dev"
		for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9" ; do
			mknod -m 666 "$root/dev/${node% *}" c 1 "${node#* }"
		done
		mknod -m 666 "$root/dev/tty" c 5 0
		mkdir "$root/dev/pts" "$root/dev/shm"
		mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
		ln -s pts/ptmx "$root/dev/ptmx"
		ln -s /proc/self/fd "$root/dev/fd"
		mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
		chroot "$root" "$@"
		exit' "$root" \
		env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		"${passed_on[@]}" "${@:2}"
}

#-------------------------------------------------------------------------
# One suite
#-------------------------------------------------------------------------

# Makes what GOAL says, or else one goal after the other: run_goals ROOT GOAL...
run_goals()
{
	local goal root=$1

	shift
	if [ -n "${GOAL:-}" ]; then
		# words as a shell reads them, some with spaces in quotes
		in_root "$root" bash -c "make -C /kgwebhook $GOAL"
		return
	fi
	for goal in "$@"; do
		in_root "$root" make -C /kgwebhook "$goal" || return
	done
}

# Two versions side by side: trixie's, and bookworm's where trixie has none.
run_upgrade()
{
	local root=$1

	printf 'deb %s bookworm main\n' "$mirror" \
		>"$root/etc/apt/sources.list.d/bookworm.list"
	printf 'Package: *\nPin: release n=bookworm\nPin-Priority: 100\n' \
		>"$root/etc/apt/preferences.d/bookworm"
	in_root "$root" sh -ec '
		apt-get update -q
		apt-get install -q -y gcc libc6-dev libcurl4-openssl-dev libssl-dev \
			postgresql-15 postgresql-server-dev-15 \
			postgresql-17 postgresql-server-dev-17' || return
	in_root "$root" make -C /kgwebhook check-tap TAP=test/t/042_pg_upgrade.pl \
		OLD_PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config \
		PG_CONFIG=/usr/lib/postgresql/17/bin/pg_config
}

# The next PostgreSQL, from Debian's experimental, on sid's libcurl; then what is
# ours on the next OpenSSL.  A server on one OpenSSL cannot hand its connections
# to a module on another, so that part is compiled, and only what is pure runs.
run_experimental()
{
	local root=$1

	printf 'deb %s experimental main\n' "$mirror" \
		>"$root/etc/apt/sources.list.d/experimental.list"
	in_root "$root" sh -ec '
		apt-get update -q
		apt-get install -q -y --allow-downgrades gcc libc6-dev \
			libcurl4-openssl-dev libssl-dev/unstable
		apt-get install -q -y postgresql-19 postgresql-server-dev-19 \
			libpq-dev/experimental libpq5/experimental' || return
	run_goals "$root" check-unit check-exports check-regress || return
	[ -z "${GOAL:-}" ] || return 0
	in_root "$root" apt-get install -q -y -t experimental libssl-dev || return
	run_goals "$root" check-unit check-exports
}

# Packages, built without a network, and installed where PostgreSQL has never
# been: run_packages ROOT SUITE.
run_packages()
{
	local root=$1 fresh=$1.fresh major

	rm -rf --one-file-system "$fresh"
	cp -a "$root" "$fresh"
	in_root "$root" /kgwebhook/scripts/deps.sh packages || return
	in_root "$root" sh -ec '
		rm -rf /kgwebhook.next
		cp -a /kgwebhook /kgwebhook.next
		/kgwebhook/test/packages/next-tree.sh /kgwebhook.next' || return
	offline=--net in_root "$root" sh -ec '
		/kgwebhook/scripts/package.sh /kgwebhook/package-output
		/kgwebhook.next/scripts/package.sh /kgwebhook.next/package-output' || return
	cp -a "$root/kgwebhook/package-output" "$fresh/packages"
	cp -a "$root/kgwebhook.next/package-output" "$fresh/packages.next"
	cp "$fresh"/packages/*.deb "$output/$2/"
	rm -rf --one-file-system "$root/kgwebhook.next"
	major=$(basename "$(ls "$fresh"/packages/postgresql-[0-9]*-kgwebhook_*.deb)" | cut -d- -f2)
	in_root "$fresh" apt-get update -q || return
	in_root "$fresh" /kgwebhook/test/packages/install.sh "$major" /packages /packages.next || return
	rm -rf --one-file-system "$fresh"
}

# The Debian that a suite's system begins as.
base_of()
{
	case $1 in
		upgrade) say trixie ;;
		experimental) say sid ;;
		packages-*) say "${1#packages-}" ;;
		*) say "$1" ;;
	esac
}

one_suite()
{
	local suite=$1 root=$roots/$1 status=0

	if [ ! -e "$root/.made" ]; then
		make_root "$(base_of "$suite")" "$root" || return
	fi
	copy_tree_to "$root"
	mkdir -p "$output/$suite"
	case $suite in
		upgrade) run_upgrade "$root" ;;
		experimental) run_experimental "$root" ;;
		packages-*) run_packages "$root" "$suite" ;;
		# what the README says under "See it work"
		*) run_goals "$root" demo demo-nodes check ;;
	esac || status=1
	if [ -d "$root/kgwebhook/check-output" ]; then
		cp -R "$root/kgwebhook/check-output/." "$output/$suite/"
	fi
	return "$status"
}

# What a root turned out to be: "PostgreSQL 17.5, libcurl 8.14.1, ..."
versions()
{
	if [ ! -e "$1/.made" ]; then
		say "the system could not be made"
		return
	fi
	# shellcheck disable=SC2016 # dpkg's own variables
	in_root "$1" dpkg-query -W -f '${Package} ${Version}\n' 2>/dev/null |
		awk '$1 ~ /^(postgresql-[0-9]+|libcurl4(t64)?|libssl[34](t64)?|nodejs|perl)$/ {
			printf "%s%s %s", sep, $1, $2; sep = ", " }'
}

#-------------------------------------------------------------------------

mirror=
check_needs
mapfile -t passed_on < <(env | grep -iE '^(https?|ftp|no)_proxy=' || true)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
make_folder
rm -rf "$output"
mkdir -p "$output"

# The verifiers are the same for all, and this machine can be trusted to know
# the way to npm's registry, its proxies and certificates.
if command -v npm >/dev/null; then scripts/node-modules.sh; fi

failed=0
results=()
for suite in "${suites[@]}"; do
	say "" "######## $suite"
	began=$SECONDS
	result=passed
	one_suite "$suite" 2>&1 | tee "$output/$suite.log" || result=FAILED
	[ "$result" = passed ] || failed=1
	results+=("$suite: $result in $(((SECONDS - began) / 60)) min ($(versions "$roots/$suite"))")
	[ -n "${KEEP:-}" ] || rm -rf --one-file-system "${roots:?}/$suite"
done

say "" "${results[@]}" "all logs: matrix-output/"
exit "$failed"
