#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz/run.sh SECONDS [target…]: runs each fuzz target (all of fuzz_*.c by default) for SECONDS, with clang's libFuzzer.
# New inputs stay in build/fuzz/found/<target>, crashes in build/fuzz/crashes/<target>, both outside git; the next run
# goes on from them. Exit status 1 when a target crashed, leaked, hung or took too much memory.
# CRIA_FUZZ_BUILD: another build folder. CRIA_FUZZ_FLAGS: further flags for libFuzzer (-jobs=8 …).
set -eu

case "${1:-}" in
'' | *[!0-9]*)
    echo "usage: fuzz/run.sh SECONDS [target...]" >&2
    exit 2
    ;;
esac
seconds=$1
shift
cd "$(dirname "$0")/.."
build=${CRIA_FUZZ_BUILD:-build/fuzz}

if [ $# -eq 0 ]; then
    for source in fuzz/fuzz_*.c; do
        name=${source#fuzz/fuzz_}
        set -- "$@" "${name%.c}"
    done
fi

[ -f "$build/CMakeCache.txt" ] || cmake --preset fuzz -B "$build"
programs=
for target; do programs="$programs fuzz_$target"; done
# shellcheck disable=SC2086 # the names are words
cmake --build "$build" --target $programs

status=0
for target; do
    found=$build/found/$target
    crashes=$build/crashes/$target
    mkdir -p "$found" "$crashes"
    set -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1
    set -- "$@" -artifact_prefix="$crashes/"
    [ ! -f "fuzz/dict/$target.dict" ] || set -- "$@" -dict="fuzz/dict/$target.dict"
    set -- "$@" "$found"
    [ ! -d "fuzz/corpus/$target" ] || set -- "$@" "fuzz/corpus/$target"
    echo "== $target, $seconds s =="
    # shellcheck disable=SC2086
    if ! "$build/fuzz/fuzz_$target" ${CRIA_FUZZ_FLAGS:-} "$@"; then
        echo "fuzz/run.sh: $target failed; the input is in $crashes" >&2
        status=1
    fi
done
exit $status
