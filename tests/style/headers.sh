#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: headers.sh <source root> <compiler>... Every header has a guard and needs no other before it. A header that some
# source file includes first is known to stand alone, with all warnings and every compiler that builds the project; only
# the others are compiled here. The public one also as strict C99 and, where there is a C++ compiler of the same family,
# as C++, without this project's definitions.
# shellcheck disable=SC2086 # lists of names without spaces
cd "$1" || exit 2
shift
status=0
warnings='-Wall -Wextra -Wshadow -Wundef -Wstrict-prototypes -Wno-unused-function -Werror'

headers=$(find src include -name '*.h' | sort)

unguarded=$(awk '
    function finish() { if (name != "" && lines != 2) print name }
    FNR == 1 { finish(); name = FILENAME; lines = 0 }
    /^#/ && ++lines == 1 { guard = $2; if ($1 != "#ifndef" || guard !~ /^CRIA_[A-Z0-9_]+_H$/) nextfile }
    lines == 2 { if ($0 != "#define " guard) lines = 0; nextfile }
    END { finish() }' $headers)
if [ -n "$unguarded" ]; then
    printf '%s does not begin with its guard, #ifndef CRIA_..._H\n' $unguarded
    status=1
fi

isa_flags() { # what the files of an instruction set are compiled with
    case $1 in
    *avx512*) echo '-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mavx512vnni' ;;
    *avx2*) echo '-mavx2 -mfma -mf16c' ;;
    esac
}

check() { # command, what
    if ! out=$(echo "#include \"$2\"" | $1 -fsyntax-only - 2>&1); then
        echo "$2 does not compile alone with: $1"
        printf '%s\n' "$out"
        status=1
    fi
}

# The first #include of every source file, as a path.
first=$(find src cli -name '*.c' -exec awk '/^#include "/ { split($0, q, "\""); print "src/" q[2] } /^#include/ { nextfile }' {} + |
    tr '\n' ' ')

for cc in "$@"; do
    machine=$($cc -dumpmachine)
    for header in $headers; do
        case " $first" in *" $header "*) continue ;; esac
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
