#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# checkkern for processors that this one is not, under qemu-user. Takes a folder for the build for AArch64, and this
# machine's own checkkern; needs a cross compiler and qemu-user-static (without them the exit status is 77, or 1 where
# CRIA_REQUIRE_ALL asks for every test). CRIA_CHECKKERN_AARCH64 names one for AArch64 that is built already.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${1:?usage: qemu.sh BUILD_DIR CHECKKERN}
native=${2:?usage: qemu.sh BUILD_DIR CHECKKERN}

for tool in aarch64-linux-gnu-gcc qemu-aarch64-static qemu-x86_64-static; do
    command -v "$tool" >/dev/null && continue
    echo "qemu.sh: there is no $tool"
    [ -z "${CRIA_REQUIRE_ALL-}" ] || exit 1
    exit 77
done

program=${CRIA_CHECKKERN_AARCH64-}
if [ -z "$program" ]; then
    program=$build/aarch64/checkkern
    cmake -S "$here" -B "$build/aarch64" -DCRIA_WERROR=ON \
        -DCMAKE_TOOLCHAIN_FILE="$here/../../cmake/aarch64-linux-gnu.cmake" >/dev/null
    cmake --build "$build/aarch64" --parallel 2 >/dev/null
fi
aarch64() { # processor, options of checkkern
    echo "== aarch64, $*"
    qemu-aarch64-static -cpu "$1" "$program" "${@:2}"
}
# Plain ARMv8.0; with dotprod; everything qemu knows. The tables of the last two differ from the first where integers
# are multiplied, and emulation is slow.
aarch64 cortex-a53
aarch64 neoverse-n1 --isa dotprod --test matmul_q
aarch64 max --isa i8mm --test matmul_q

if [ "$(uname -m)" = x86_64 ]; then
    # Nehalem: no AVX, so no table may be chosen that needs it. Haswell: AVX2; --slack because qemu 7.2 reads 16 bytes for
    # scalar memory operands of AVX instructions. What it says about features it lacks is of no interest here.
    # Where AVX2 runs natively (checkkern/avx2), one kernel shows that it is chosen on Haswell.
    x86_64() {
        echo "== x86_64, $*"
        qemu-x86_64-static -cpu "$1" "$native" --slack "${@:2}" 2>/dev/null
    }
    x86_64 Nehalem
    if grep -qw avx2 /proc/cpuinfo; then x86_64 Haswell --isa avx2 --test rmsnorm; else x86_64 Haswell; fi
fi
