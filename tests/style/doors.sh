#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: doors.sh <source root>. One door per dependency: a header that belongs neither to this project nor to the C
# library, the kernel or the compiler is included by exactly one .c file. And the list of banned functions.
cd "$1" || exit 2
here=tests/style
status=0
report() { # text (may be empty), heading
    [ -n "$1" ] || return 0
    printf '%s\n' "$2"
    printf '%s\n' "$1"
    status=1
}

# ---- third-party headers: <name> not among these
c='assert|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|stdalign|stdarg|stdatomic|stdbool|stddef'
c="$c|stdint|stdio|stdlib|stdnoreturn|string|tgmath|threads|time|wchar|wctype"
posix='dirent|dlfcn|fcntl|ftw|glob|netdb|poll|pthread|sched|strings|termios|unistd|(arpa|linux|net|netinet|sys)/.*'
compiler='cpuid|.*intrin|arm_neon|arm_acle'
includes=$(find src include cli server -name '*.[ch]' 2>/dev/null | sort |
    xargs grep -En '^[[:space:]]*#[[:space:]]*include[[:space:]]*<' |
    grep -Ev "<(($c|$posix|$compiler)\.h)>")
report "$(printf '%s\n' "$includes" | grep -E '^[^:]*\.h:')" 'A dependency is included by a header (its door must be a .c file):'
doubles=$(printf '%s\n' "$includes" | sed -n 's/^\([^:]*\):[^<]*<\([^>]*\)>.*/\2 \1/p' | sort -u | cut -d' ' -f1 | uniq -d)
for header in $doubles; do
    report "$(printf '%s\n' "$includes" | grep -F "<$header>")" "<$header> has more than one door:"
done

# ---- banned functions, in the library and the server
code=$(find src server -name '*.[ch]' 2>/dev/null | sort | xargs awk -f $here/code.awk)
calls() { # names separated by |: calls of them that are not through a member
    printf '%s\n' "$code" | grep -E "(^[^:]*:[0-9]*:|[^A-Za-z0-9_.>])($1)[[:space:]]*\("
}
prints='printf|vprintf|fprintf|vfprintf|puts|fputs|putchar|putc|fputc|fwrite|perror'
report "$(calls "exit|_exit|_Exit|quick_exit|abort|raise|$prints")" \
    'The library never exits or prints:'
report "$(calls 'sprintf|vsprintf|strcpy|strcat|strncat|strncpy|strtok|gets|sscanf|vsscanf|alloca')" \
    'Writes without a bound, or state of its own:'
report "$(calls 'atoi|atol|atoll|atof|strtod|strtof|strtold|setlocale|localeconv')" \
    'No error, or depends on the locale:'
report "$(calls 'rand|srand|random|srandom|drand48|system|popen|setenv|putenv|unsetenv|signal|sigaction|atexit')" \
    'State of the whole process:'
report "$(calls 'getenv|secure_getenv' | grep -v '^src/base/cpu\.c:')" 'The environment is read in src/base/cpu.c only:'
report "$(calls 'malloc|calloc|realloc|free|aligned_alloc|posix_memalign|memalign|strdup|strndup|asprintf|vasprintf|getline' |
    grep -v '^src/base/mem\.c:')" 'Memory comes from base/mem.h:'
report "$(calls 'open|openat|fopen|fdopen|mmap|munmap|opendir|fdopendir|creat' | grep -Ev '^(src/base/|server/)')" \
    'Files are opened in src/base only:'
report "$(printf '%s\n' "$code" | grep -E '[^A-Za-z0-9_]errno[^A-Za-z0-9_]' | grep -Ev '^(src/base/|server/)')" \
    'errno is looked at in src/base only:'
exit $status
