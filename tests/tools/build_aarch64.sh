#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build_aarch64.sh [BUILD_DIR]: the whole program and checkkern for AArch64, static, for tests under qemu-user.
# Debian's arm64 packages of the libraries are unpacked inside the build folder; nothing is installed and no architecture
# is added to the system.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p "${1:-build/aarch64}"
build=$(cd "${1:-build/aarch64}" && pwd)
root=$build/sysroot
libraries=$root/usr/lib/aarch64-linux-gnu

if [ ! -f "$libraries/libjansson.a" ] || [ ! -f "$libraries/libdeflate.a" ]; then
    apt=$build/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs" "$root"
    : >"$apt/status"
    apt_get() {
        apt-get -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::Lists="$apt/lists" \
            -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User= "$@"
    }
    apt_get update
    (cd "$apt/debs" && apt_get download libjansson-dev libdeflate-dev)
    for deb in "$apt"/debs/*.deb; do dpkg -x "$deb" "$root"; done
    rm -f "$libraries"/*.so # links to libraries that are not there
    rm -rf "$apt"
fi

export PKG_CONFIG_LIBDIR="$libraries/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
# Without the hub, whose libraries would bring many more when linked statically, and without libedit.
cmake -S . -B "$build" -DCRIA_WERROR=ON -DCRIA_HUB=OFF -DCRIA_EDIT=OFF -DCMAKE_LIBRARY_PATH="$libraries" \
    -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/aarch64-linux-gnu.cmake"
cmake --build "$build" --parallel 2 --target cria checkkern
