#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/template/character_table.c: what Python's str methods know about characters, as ranges.

    tests/tools/python_characters.py > src/template/character_table.c
"""
import sys
import unicodedata

EVERY = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
TESTS = [("ALPHA", str.isalpha), ("DECIMAL", str.isdecimal), ("DIGIT", str.isdigit), ("NUMERIC", str.isnumeric),
         ("PRINTABLE", str.isprintable)]


def classes():
    """(first, last, bits)"""
    out = []
    for c in EVERY:
        bits = sum(1 << i for i, (_, test) in enumerate(TESTS) if test(chr(c)))
        if bits and out and out[-1][1] == c - 1 and out[-1][2] == bits:
            out[-1][1] = c
        elif bits:
            out.append([c, c, bits])
    return out


def runs(pairs):
    """{character: difference} → (first, last, step, difference), steps of 1 or 2."""
    out = []
    for c, delta in sorted(pairs.items()):
        if out and out[-1][3] == delta:
            first, last, step, _ = out[-1]
            if first == last and c - last in (1, 2):
                out[-1][1:3] = [c, c - last]
                continue
            if c - last == step:
                out[-1][1] = c
                continue
        out.append([c, c, 1, delta])
    return out


def mapping(method):
    one = {c: ord(m) - c for c in EVERY if len(m := method(chr(c))) == 1 and ord(m) != c}
    many = [[c, "{%s}" % ", ".join(str(ord(x)) for x in m)] for c in EVERY if len(m := method(chr(c))) > 1]
    return runs(one), many


def table(kind, name, rows):
    cells = ["{" + ", ".join(hex(v) if i < 2 and isinstance(v, int) and v > 9 else str(v) for i, v in enumerate(row)) + "}" for row in rows]
    lines, line = [], "   "
    for cell in cells:
        if len(line) + len(cell) + 2 > 116:
            lines.append(line)
            line = "   "
        line += " " + cell + ","
    body = "\n".join(lines + [line])
    return f"const struct jinja_{kind} cria_jinja_{name}[] = {{\n{body}\n}};\nconst size_t cria_jinja_n_{name} = {len(rows)};\n"


def main():
    upper, upper_many = mapping(str.upper)
    lower, lower_many = mapping(str.lower)
    title_many = mapping(str.title)[1]
    title = runs({c: ord(m) - c for c in EVERY if len(m := chr(c).title()) == 1 and m != chr(c).upper()})  # else as upper
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print(f"/* Written by tests/tools/python_characters.py from Unicode {unicodedata.unidata_version} (Python "
          f"{sys.version_info.major}.{sys.version_info.minor}). */")
    print('#include "template/characters.h"\n')
    print(table("class", "classes", classes()))
    print(table("case", "to_upper", upper))
    print(table("case", "to_lower", lower))
    print(table("case", "to_title", title))
    print(table("case", "upper", runs({c: 0 for c in EVERY if chr(c).isupper()})))
    print(table("case", "lower", runs({c: 0 for c in EVERY if chr(c).islower()})))
    print(table("special", "upper_many", upper_many))
    print(table("special", "lower_many", lower_many))
    print(table("special", "title_many", title_many), end="")


main()
