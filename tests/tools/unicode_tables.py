# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/unicode_table.c from what PyPI tokenizers does, or checks it (--check).

The regular expressions of byte-level BPE need \\p{L}, \\p{N} and \\s; tokenizers takes them from its regex engine, and
"individual digits" from Rust's char::is_numeric, whose Unicode version is another one. So nothing is read from a
Unicode data file: every code point is put to the library itself.
"""
import argparse
import pathlib
import sys

from tokenizers import Regex, normalizers, pre_tokenizers

TABLE = pathlib.Path(__file__).resolve().parents[2] / "src" / "text" / "unicode_table.c"
OTHER, LETTER, NUMBER, SPACE, DIGIT_ONLY = range(5)


def classes():
    every = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    text = "".join(map(chr, every))
    table = [OTHER] * 0x110000

    def members(pattern):
        return map(ord, normalizers.Replace(Regex(pattern), "").normalize_str(text))

    # The characters that "individual digits" isolates, between letters so that each stands alone.
    digits = pre_tokenizers.Digits(individual_digits=True)
    for begin in range(0, len(every), 4096):
        part = "a" + "a".join(map(chr, every[begin:begin + 4096])) + "a"
        for piece, _ in digits.pre_tokenize_str(part):
            if len(piece) == 1 and piece != "a":
                table[ord(piece)] = DIGIT_ONLY
    for pattern, value in ((r"[^\p{L}]+", LETTER), (r"[^\p{N}]+", NUMBER), (r"[^\s]+", SPACE)):
        for c in members(pattern):
            assert table[c] in ((OTHER,) if value != NUMBER else (DIGIT_ONLY,)), hex(c)
            table[c] = value
    return table


def render(table):
    breaks, last = [], None
    for c, value in enumerate(table):
        if 0xD800 <= c <= 0xDFFF:
            value = OTHER
        if value != last:
            breaks.append(c << 3 | value)
            last = value
    rows = [", ".join("0x%06x" % b for b in breaks[i:i + 10]) for i in range(0, len(breaks), 10)]
    return (
        "/* SPDX-License-Identifier: Apache-2.0 */\n"
        "/* Written by tests/tools/unicode_tables.py. Where the class of code points changes: first code point << 3 |\n"
        " * enum cria_char_class of it and of those up to the next entry. */\n"
        '#include "text/unicode.h"\n\n'
        "const size_t cria_unicode_n_breaks = %d;\n"
        "const uint32_t cria_unicode_breaks[] = {\n    " % len(breaks) + ",\n    ".join(rows) + "};\n")


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--check", action="store_true", help="compare instead of writing")
    want = render(classes())
    if not args.parse_args().check:
        TABLE.write_text(want)
    elif TABLE.read_text() != want:
        sys.exit("src/text/unicode_table.c is not what this version of tokenizers does")


if __name__ == "__main__":
    main()
