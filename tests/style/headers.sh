#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: headers.sh <source root> <compiler>... Every header compiles alone, and twice, with every compiler; the public
# one also as C++ where there is a C++ compiler of the same family, and without this project's definitions.
cd "$1" || exit 2
shift
status=0
warnings='-Wall -Wextra -Wshadow -Wundef -Wstrict-prototypes -Wno-unused-function -Werror'

isa_flags() { # what the files of an instruction set are compiled with
    case $1 in
    *avx512*) echo '-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mavx512vnni' ;;
    *avx2*) echo '-mavx2 -mfma -mf16c' ;;
    esac
}

check() { # command, what
    if ! out=$(printf '#include "%s"\n#include "%s"\n' "$2" "$2" | $1 -fsyntax-only - 2>&1); then
        echo "$2 does not compile alone with: $1"
        printf '%s\n' "$out"
        status=1
    fi
}

for cc in "$@"; do
    machine=$($cc -dumpmachine)
    for header in $(find src include -name '*.h' | sort); do
        case $header-$machine in
        */x86/*-x86_64* | */arm/*-aarch64*) ;;
        */x86/*-* | */arm/*-*) continue ;;
        esac
        check "$cc -x c -std=c11 -D_GNU_SOURCE -Iinclude -Isrc $warnings $(isa_flags "$header")" "$header"
    done
    check "$cc -x c -std=c99 -pedantic $warnings" include/cria/cria.h
    if echo 'int x;' | $cc -x c++ -fsyntax-only - 2>/dev/null; then
        check "$cc -x c++ -std=c++11 -Wall -Wextra -Werror" include/cria/cria.h
    fi
done
exit $status
