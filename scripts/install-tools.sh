#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that the tests use. Root installs them; anyone else gets the line to run.
# Tests whose tools are absent are skipped with the reason, so this never fails for a user without root.
set -eu

packages="make cmake gcc g++ libc6-dev clang gcc-arm-none-eabi libnewlib-arm-none-eabi gcc-riscv64-unknown-elf qemu-system-arm qemu-system-misc"
# The Xtensa path: LLVM's back end and a linker.
packages="$packages qemu-user clang-22 llvm-22 gcc-xtensa-lx106"

command -v dpkg-query >/dev/null 2>&1 || {
    echo "not a Debian system: install by hand what 'tinyc doctor' lists"
    exit 0
}
missing=""
for package in $packages; do
    [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" != 0 ]; then
    echo "compilers and emulators are missing; to run all tests:  sudo $line"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null && exit 0
# One package that this release lacks must not cost the others.
for package in $missing; do
    apt-get install -qq -y --no-install-recommends "$package" >/dev/null || echo "could not install $package: its tests are skipped"
done
