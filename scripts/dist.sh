#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/dist.sh FOLDER
#	  Makes a release of what is committed: `make dist`, into dist/.
#
#	kgwebhook-VERSION.tar.gz         the source
#	kgwebhook-VERSION.zip            the same for PGXN, by META.json's version
#	kgwebhook-VERSION.spdx.json      the SBOM (SPDX 2.3)
#	SHA256SUMS                       of these
#
# Of a commit with a tag vVERSION this is that version, and the control file has to
# agree; of another commit it is VERSION+g and the commit, which is nobody's
# release.  Changes that are not committed are not in it.  The same commit gives
# the same bytes.
#
#-------------------------------------------------------------------------
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
. scripts/common.sh

[ $# -eq 1 ] || fail "usage: scripts/dist.sh FOLDER"
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES

git=(git -c safe.directory="$PWD")
"${git[@]}" rev-parse --git-dir >/dev/null 2>&1 || fail "make dist needs a clone of the repository"
version=$(sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" kgwebhook.control)
commit=$("${git[@]}" rev-parse HEAD)
tag=$("${git[@]}" describe --tags --exact-match --match 'v*' HEAD 2>/dev/null || true)
if [ -z "$tag" ]; then
	version=$version+g${commit:0:12}
elif [ "$tag" != "v$version" ]; then
	fail "the tag is $tag, and kgwebhook.control has version $version"
fi
pgxn=$(sed -n 's/^   "version": "\(.*\)",$/\1/p' META.json)

mkdir -p "$1"
target=$(cd "$1" && pwd)
rm -f "$target"/kgwebhook-* "$target/SHA256SUMS"
name=kgwebhook-$version
"${git[@]}" archive --format=tar --prefix="$name/" HEAD | gzip -n9 >"$target/$name.tar.gz"
"${git[@]}" archive --format=zip --prefix="kgwebhook-$pgxn/" -o "$target/kgwebhook-$pgxn.zip" HEAD
scripts/sbom.py "$target/$name.tar.gz" "$version" \
	"$(TZ=UTC "${git[@]}" log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)" \
	>"$target/$name.spdx.json"
(cd "$target" && sha256sum -- kgwebhook-* >SHA256SUMS && cat SHA256SUMS)
