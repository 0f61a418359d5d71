#!/usr/bin/env bash
#-------------------------------------------------------------------------
#
# scripts/arm64.sh
#	  The unit tests and the fuzz corpora on arm64, whose char has no sign, by
#	  Debian's cross compiler and qemu's user mode: `make check-arm64`.
#
# OpenSSL for arm64 is unpacked beside what is built, not installed: that would
# make arm64 an architecture of this machine.  Its packages are found by lists of
# their own, from the mirrors that this machine's apt uses.
#
# What compares with libcurl is left out, which has dozens of libraries, and so is
# what measures memory, for qemu's is measured with it.
#
#-------------------------------------------------------------------------
set -euo pipefail
. scripts/common.sh

: "${KGW_SCRATCH:?run me by way of make check-arm64}"
arm=$KGW_SCRATCH/arm64

apt_for_arm64()
{
	"$@" -q -o Dir::State="$arm/apt" -o Dir::State::status="$arm/apt/status" \
		-o Dir::Cache="$arm/apt" -o APT::Architecture=arm64 -o APT::Architectures=arm64
}

fetch_openssl()
{
	local name names=(libssl-dev libssl3)

	mkdir -p "$arm/apt/lists/partial" "$arm/apt/archives/partial" "$arm/root"
	touch "$arm/apt/status"
	apt_for_arm64 apt-get update >"$arm/log" 2>&1 || return
	apt_for_arm64 apt-cache show libssl3t64 >/dev/null 2>&1 && names=(libssl-dev libssl3t64)
	(cd "$arm" && apt_for_arm64 apt-get download "${names[@]}" && for name in *.deb; do
		dpkg-deb -x "$name" root
	done) >>"$arm/log" 2>&1
}

fetch_openssl || {
	cat "$arm/log" >&2
	fail "could not fetch OpenSSL for arm64"
}

include=$arm/root/usr/include
lib=$arm/root/usr/lib/aarch64-linux-gnu
cross=(CC="aarch64-linux-gnu-gcc -isystem $include -isystem $include/aarch64-linux-gnu"
	LDLIBS="-L$lib -Wl,-rpath-link,$lib -lcrypto -lm")
mapfile -t tests < <(cd test/unit && grep -L '<curl/' test_*.c | grep -v memory | sed 's/\.c$//')
make -s -C test/unit -j 2 "${cross[@]}" "${tests[@]/#/build/plain/}"
mapfile -t targets < <(cd test/fuzz && grep -L '<curl/' fuzz_*.c | sed 's/\.c$//')
make -s -C test/fuzz -j 2 "${cross[@]}" SANITIZE= "${targets[@]/#/build/replay/}"

export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu QEMU_SET_ENV=LD_LIBRARY_PATH=$lib
prove -e qemu-aarch64 "${tests[@]/#/test/unit/build/plain/}"
prove -e qemu-aarch64 "${targets[@]/#/test/fuzz/build/replay/}" :: test/fuzz/corpus
