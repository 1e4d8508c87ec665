#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: symbols.sh <build folder>. The objects of the library as built (not with sanitizers, which add their own):
# global names begin with cria_, there is no data that could change, and nothing that exits, prints or allocates behind
# the allocator's back is called. The shared library, where built, exports the functions of cria.h and no more.
build=$1
status=0
report() { # text (may be empty), heading
    [ -n "$1" ] || return 0
    printf '%s\n' "$2"
    printf '%s\n' "$1"
    status=1
}

objects=$(find "$build/src" -name '*.o' | sort)
if [ -z "$objects" ]; then
    echo "There are no objects in $build/src; build first."
    exit 1
fi

# nm -A prints "file:value type name", without a value for undefined names.
globals=$(printf '%s\n' "$objects" | xargs nm -A -g --defined-only | sed 's/^.*src\///')
report "$(printf '%s\n' "$globals" | awk '$NF !~ /^cria_/')" 'Global names that do not begin with cria_:'

# objdump: "value flags section size name". Constant data with addresses in it is in .data.rel.ro.
report "$(for o in $objects; do
    objdump -t "$o" | awk -v o="${o##*src/}" '
        match($0, /[ \t](\.data|\.bss|\.tdata|\.tbss|\.ldata|\.lbss|\*COM\*)[^ \t]*/) {
            section = substr($0, RSTART + 1, RLENGTH - 1)
            size = $(NF - 1)
            if (section !~ /^\.data\.rel\.ro/ && $NF != section && size !~ /^0+$/) print o ": " $NF " in " section
        }'
done)" 'Data that could change (state hangs off cria_ctx):'

undefined=$(printf '%s\n' "$objects" | xargs nm -A -u | sed 's/^.*src\///')
uses() { printf '%s\n' "$undefined" | grep -E " U ($1)(@.*)?\$"; } # names separated by |
report "$(uses '_?exit|_Exit|abort|raise|v?f?printf|__v?f?printf_chk|f?puts|f?putc|putchar|fwrite|perror|stdout|stderr')" \
    'The library never exits or prints:'
strings='v?sprintf|__v?sprintf_chk|st[pr]cpy|strn?cat|strtok|(__isoc99_)?v?sscanf'
numbers='ato[fil]|atoll|strtod|strtof|strtold|setlocale'
process='s?rand|s?random|system|popen|setenv|putenv|unsetenv|signal|sigaction|atexit'
report "$(uses "$strings|$numbers|$process")" 'Banned functions:'
report "$(uses '(secure_)?getenv' | grep -v '/cpu\.c\.o:')" 'The environment is read in src/base/cpu.c only:'
report "$(uses 'malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strn?dup|v?asprintf|getline' | grep -v '/mem\.c\.o:')" \
    'Memory comes from base/mem.h:'

for so in $(find "$build" -name 'libcria.so' 2>/dev/null); do
    report "$(nm -D -g --defined-only "$so" | awk '$NF !~ /^cria_/')" "$so exports other names:"
done
exit $status
