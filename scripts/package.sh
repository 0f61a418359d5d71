#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/package.sh FOLDER
#	  Builds the Debian packages of this tree into FOLDER: one for each version of
#	  PostgreSQL that this Debian has and debian/pgversions wants.
#
#	  make packages                 into package-output/
#
# They are built twice, by an unprivileged user, under different names of
# folders, time zones, languages and umasks: the bytes have to be the same.  Then
# lintian has to be silent.  As the machine is not Debian's archive, it is not
# asked to object that no bug is closed by the first upload.
#
# The network is not needed once scripts/deps.sh has brought what builds them;
# scripts/matrix.sh builds with none.
#
#-------------------------------------------------------------------------
# shellcheck disable=SC2317 # traps
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
. scripts/common.sh

[ $# -eq 1 ] || fail "usage: scripts/package.sh FOLDER"
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES

mkdir -p "$1"
target=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 755 "$work"

as_user=()
if [ "$(id -u)" -eq 0 ]; then
	as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi

# build NAME [SETTING...]: source and packages, into $work/NAME
build()
{
	local dir=$work/$1 version tree

	version=$(dpkg-parsechangelog -S Version)
	tree=$dir/kgwebhook-${version%-*}
	mkdir -p "$tree"
	copy_tree "$tree"
	rm -rf "$tree/test/receivers/node_modules" "${tree:?}/$monitoring_tools" "$tree/package-output"
	find "$tree" -exec touch -h -d "@$(dpkg-parsechangelog -S Timestamp)" {} +
	tar -C "$dir" --sort=name --owner=0 --group=0 --numeric-owner --exclude='*/debian' \
		-cf - "${tree##*/}" | gzip -n9 >"$dir/kgwebhook_${version%-*}.orig.tar.gz"
	[ "$(id -u)" -ne 0 ] || chown -R 65534:65534 "$dir"
	(
		cd "$tree"
		umask "${umask_of[$1]}"
		"${as_user[@]}" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$dir" "${@:2}" \
			sh -ec 'pg_buildext updatecontrol; dpkg-buildpackage -us -uc -ui' \
			>"$dir/log" 2>&1
	) || {
		tail -n 60 "$dir/log" >&2
		return 1
	}
}

declare -A umask_of=([a]=022 [another-name]=002)
say "Building the packages."
build a LC_ALL=C.UTF-8 TZ=UTC DEB_BUILD_OPTIONS=parallel=2
say "And once more, to compare."
build another-name LC_ALL=C TZ=Asia/Kathmandu DEB_BUILD_OPTIONS=parallel=1

for package in "$work"/a/*.deb; do
	cmp "$package" "$work/another-name/${package##*/}" ||
		fail "${package##*/} is not built the same twice"
done

say "Asking lintian."
"${as_user[@]}" env HOME="$work/a" lintian --fail-on error,warning \
	--suppress-tags initial-upload-closes-no-bugs "$work"/a/*.changes ||
	fail "lintian objects"

rm -f "$target"/*.deb
cp "$work"/a/*.deb "$target/"
[ "$(id -u)" -ne 0 ] || chown -R --reference=. "$target"
say "Built, twice the same:" "$(cd "$target" && sha256sum -- *.deb)"
