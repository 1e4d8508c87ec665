#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: layers.sh <source root>. Checks the direction of includes:
#   api (src/*.c) → convert → engine → sample, model → text, format, kernels → base; engine → template → base;
#   text → format;
#   cria/cria.h from everywhere;
#   cli, server and the tests of the public interface see that header and base only.
# Tests of single files (tests/unit, tests/checkkern, tests/oom, fuzz) may see everything.
cd "$1" || exit 2
status=0

allowed() { # the folders of src that a layer may include
    case $1 in
    src/base) echo base ;;
    src/kernels | src/format | src/template | src/dist) echo "base ${1#src/}" ;;
    src/text) echo base format text ;;
    src/sample | src/model) echo "base kernels format text dist ${1#src/}" ;;
    src/engine) echo base kernels format text template dist sample model engine ;;
    src/convert | src) echo base kernels format text template dist sample model engine convert ;;
    cli | server | tests/api | tests/server) echo base ;;
    *) echo unknown ;;
    esac
}

for file in $(find src cli server tests/api tests/server -name '*.[ch]' 2>/dev/null | sort); do
    case $file in
    src/*/*) layer=src/$(printf '%s\n' "$file" | cut -d/ -f2) ;;
    src/*) layer=src ;;
    tests/*) layer=$(printf '%s\n' "$file" | cut -d/ -f1-2) ;;
    *) layer=${file%%/*} ;;
    esac
    may=$(allowed "$layer")
    if [ "$may" = unknown ]; then
        echo "$file: layers.sh does not know the layer $layer"
        status=1
        continue
    fi
    # grep gives "line:#include "name"" for every quoted include.
    bad=$(grep -n '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$file" | while IFS= read -r line; do
        name=${line#*\"}
        name=${name%%\"*}
        ok=no
        case $name in
        *..*) ;;
        cria/cria.h) ok=yes ;;
        */*)
            for folder in $may; do case $name in "$folder"/*) ok=yes ;; esac done
            # A folder below the file's own (kernels.c: "x86/kernels_x86.h").
            [ -f "$(dirname "$file")/$name" ] && ok=yes ;;
        *) [ -f "$(dirname "$file")/$name" ] && ok=yes ;;
        esac
        [ $ok = yes ] || echo "$file:${line%%:*}: $layer may not include \"$name\" (allowed: cria/cria.h, $may)"
    done)
    if [ -n "$bad" ]; then
        printf '%s\n' "$bad"
        status=1
    fi
done
exit $status
