#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# test/packages/next-tree.sh TREE
#	  Turns a copy of this tree into that of the next version, which
#	  test/upgrade/ describes, so that an upgrade of packages can be tried.
#
#-------------------------------------------------------------------------
set -euo pipefail
cd "$1"

this=$(sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" kgwebhook.control)
next=${this%.*}.$((${this##*.} + 1))
sed -i "s/'$this'/'$next'/" kgwebhook.control
mkdir -p install/upgrade
cp test/upgrade/next.sql "install/upgrade/kgwebhook--$this--$next.sql"
sed '1,/^SELECT kgwebhook.on_install();/d' test/upgrade/next.sql >>install/privileges.sql
cp test/upgrade/next.c src/api/
{
	printf 'kgwebhook (%s-1) unstable; urgency=medium\n\n  * The next version.\n\n' "$next"
	# later, but in the past: what is made after that date gets it, and the same bytes
	echo "$(sed -n 's/^\( -- .*>\)  .*/\1/p' debian/changelog | head -n 1)  $(
		date -uRd "$(dpkg-parsechangelog -S Date) + 1 hour")"
	echo
	cat debian/changelog
} >changelog.next
mv changelog.next debian/changelog
