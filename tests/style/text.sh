#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: text.sh <source root>. Every source file begins with its SPDX line and is UTF-8 with lines of at most 120
# characters (140 in scripts and Python; clang-format aims at 110), without tabs, trailing blanks or carriage returns,
# and ends with one newline.
cd "$1" || exit 2
LC_ALL=C.UTF-8
export LC_ALL
status=0
report() { # text (may be empty), heading
    [ -n "$1" ] || return 0
    printf '%s\n' "$2"
    printf '%s\n' "$1"
    status=1
}

files=$(find src include cli server tests fuzz bench CMakeLists.txt \
    \( -name golden -o -name corpus -o -name crashes -o -name __pycache__ \) -prune -o -type f \
    \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.awk' -o -name '*.cmake' -o -name CMakeLists.txt \) \
    -print 2>/dev/null | sort)
tab=$(printf '\t')
cr=$(printf '\r')

# First line, or second after #! .
report "$(for f in $files; do
    head -n 2 "$f" | awk 'NR == 1 && /^#!/ { next } { print; exit }' |
        grep -Eq '^(/\* |# )SPDX-License-Identifier: Apache-2\.0( \*/)?$' || echo "$f"
done)" 'No SPDX line at the top:'
list() { printf '%s\n' "$files"; }
report "$(list | grep '\.[ch]$' | xargs grep -En '^.{121}')" 'C longer than 120 characters:'
report "$(list | grep -v '\.[ch]$' | xargs grep -En '^.{141}')" 'Longer than 140 characters:'
report "$(list | xargs grep -n "$tab")" 'Tabs:'
report "$(list | xargs grep -n " \$")" 'Blanks at the end of a line:'
report "$(list | xargs grep -ln "$cr")" 'Carriage returns:'
report "$(for f in $files; do [ -s "$f" ] && [ -z "$(tail -c 1 "$f")" ] || echo "$f"; done)" 'Empty, or no newline at the end:'
report "$(for f in $files; do iconv -f UTF-8 -t UTF-8 "$f" >/dev/null 2>&1 || echo "$f"; done)" 'Not UTF-8:'
exit $status
