# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/unicode_table.c and compose_table.c from what PyPI tokenizers does, or checks them (--check).

Pre-tokenizers ask what a character is in four languages: the regular expressions of a tokenizer.json go to Oniguruma
(general categories, \\s, \\w, scripts), the fixed ones to Rust's regex crate (its own \\w), "individual digits" to Rust's
char::is_numeric, punctuation to the crate unicode_categories. Each has its own Unicode version. So nothing is read from
a Unicode data file: every code point is put to the library itself.
"""
import argparse
import pathlib
import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

TEXT = pathlib.Path(__file__).resolve().parents[2] / "src" / "text"
CATEGORIES = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()
SPACE, WORD, NUMERIC, WORD_RUST, PUNCTUATION, HAN = (1 << b for b in range(5, 11))


def parts(items):
    """The library takes memory by the length of a text, and several times as much."""
    return (items[i:i + 4096] for i in range(0, len(items), 4096))


def classes():
    every = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    text = "".join(map(chr, every))
    table = [0] * 0x110000

    def members(pattern):
        others = normalizers.Replace(Regex(f"[^{pattern}]+"), "")
        return [ord(c) for part in parts(text) for c in others.normalize_str(part)]

    def alone(splitter, separator):
        """The characters that it keeps apart from those around, each between two separators."""
        for part in parts(text):
            for piece, _ in splitter.pre_tokenize_str(separator + separator.join(part) + separator):
                if len(piece) == 1 and piece != separator:
                    yield ord(piece)

    for number, name in enumerate(CATEGORIES[1:], 1):
        for c in members(rf"\p{{{name}}}"):
            assert table[c] == 0, hex(c)
            table[c] = number
    for pattern, flag in ((r"\s", SPACE), (r"\w", WORD), (r"\p{Han}", HAN)):
        for c in members(pattern):
            table[c] |= flag
    for c in alone(pre_tokenizers.Digits(individual_digits=True), "a"):
        table[c] |= NUMERIC
    for c in alone(pre_tokenizers.Punctuation("isolated"), "a"):
        table[c] |= PUNCTUATION
    # A word character between signs stands alone; the signs beside a sign or a space do not.
    for c in alone(pre_tokenizers.Whitespace(), "!"):
        table[c] |= WORD_RUST
    table[ord("a")] |= WORD_RUST
    # White space is one thing to all of them.
    gone = set(every) - {ord(c) for c in "".join(p for p, _ in pre_tokenizers.WhitespaceSplit().pre_tokenize_str(text))}
    assert gone == {c for c in every if table[c] & SPACE}
    return table


def render(table):
    breaks, last = [], None
    for c, value in enumerate(table):
        if 0xD800 <= c <= 0xDFFF:
            value = 0
        if value != last:
            breaks.append(c << 11 | value)
            last = value
    rows = [", ".join("0x%08x" % b for b in breaks[i:i + 9]) for i in range(0, len(breaks), 9)]
    return (
        "/* SPDX-License-Identifier: Apache-2.0 */\n"
        "/* Written by tests/tools/unicode_tables.py. Where what a code point is changes: first code point << 11 | flags and\n"
        " * category (unicode.h) of it and of those up to the next entry. */\n"
        '#include "text/unicode.h"\n\n'
        "const size_t cria_unicode_n_breaks = %d;\n"
        "const uint32_t cria_unicode_breaks[] = {\n    " % len(breaks) + ",\n    ".join(rows) + "};\n")


# ---- normal forms ----

FORMS = (normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD())
HANGUL = range(0xAC00, 0xAC00 + 11172)


def each(form, texts):
    """Normal forms of many texts at once: a newline keeps them apart in every form."""
    texts = list(texts)
    out = [x for part in parts(texts) for x in form.normalize_str("\n".join(part)).split("\n")]
    assert len(out) == len(texts)
    return out


def combining_classes(every):
    """ccc, seen by what is exchanged with what. unicodedata says what to expect; the classes of old characters, one of
    each class to compare with, never change."""
    nfd = FORMS[1]
    hint = {c: unicodedata.combining(chr(c)) for c in every}
    marks = [c for c in every if hint[c] and nfd.normalize_str(chr(c)) == chr(c)]
    known = each(nfd, ("a\u0300" + chr(c) if hint[c] < 230 else "a" + chr(c) + "\u0327" for c in marks))
    marks = [c for c, x in zip(marks, known) if x == ("a" + chr(c) + "\u0300" if hint[c] < 230 else "a\u0327" + chr(c))]
    sample = {hint[c]: chr(c) for c in reversed(marks)}
    pairs = [(c, k) for c in marks for k in sample]
    for (c, k), x in zip(pairs, each(nfd, ("a" + (sample[k] + chr(c) if k < hint[c] else chr(c) + sample[k]) for c, k in pairs))):
        assert x == "a" + (sample[k] + chr(c) if k < hint[c] else chr(c) + sample[k]), hex(c)
    classes = {c: hint[c] for c in marks}
    rest = [chr(c) for c, x in zip(every, each(nfd, map(chr, every))) if c not in classes and x == chr(c)]
    for mark in ("\u0334", "\u0327"):
        assert all(a == b + mark for a, b in zip(each(nfd, (c + mark for c in rest)), each(nfd, rest)))
    return classes


def compose_tables():
    every = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and c != 10]
    chars = [chr(c) for c in every]
    c_, d, kc, kd = (dict(zip(chars, each(form, chars))) for form in FORMS)
    ccc = combining_classes(every)
    pairs = {}
    for x in chars:
        if c_[x] == x and d[x] != x and ord(x) not in HANGUL:
            first = FORMS[0].normalize_str(d[x][:-1])
            assert len(first) == 1 and FORMS[0].normalize_str(first + d[x][-1]) == x, hex(ord(x))
            pairs[ord(first), ord(d[x][-1])] = ord(x)
    seconds = {b for _, b in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    values = sorted({0, *ccc.values()})
    stable = []
    changed = {ord(x) for form in (c_, d, kc, kd) for x, y in form.items() if x != y}
    for number in sorted(changed | seconds | set(ccc)):
        flags = 0
        for bit, form in enumerate((c_, d, kc, kd)):
            meets = number in ccc or (bit % 2 == 0 and number in seconds)
            flags |= (form[chr(number)] != chr(number) or meets) << bit
        stable.append((number, flags | values.index(ccc.get(number, 0)) << 4))
    stable.append((stable[-1][0] + 1, 0))
    return c_, d, kd, pairs, values, stable


def render_compose():
    _, d, kd, pairs, values, stable = compose_tables()
    breaks, last, expected = [], None, 0
    for number, value in stable:
        if number != expected and last != 0:
            breaks.append(expected << 11)
            last = 0
        if value != last:
            breaks.append(number << 11 | value)
            last = value
        expected = number + 1
    pool, keys = [], []
    text = ""
    for x in sorted(x for x in kd if x != d[x] or x != kd[x]):
        for compatible, form in ((0, d), (1, kd)):
            if form[x] == x or ord(x) in HANGUL or (compatible and d[x] == kd[x]):
                continue
            units = "".join(chr(int.from_bytes(form[x].encode("utf-16-be")[i:i + 2], "big"))
                            for i in range(0, len(form[x].encode("utf-16-be")), 2))
            at = text.find(units)
            if at < 0:
                at = len(text)
                text += units
            assert at < 1 << 14 and len(units) < 1 << 6
            keys.append((ord(x) << 1 | compatible, at << 6 | len(units)))
    pool = [ord(u) for u in text]

    def rows(numbers, width, form):
        numbers = [form % n for n in numbers]
        return "    " + ",\n    ".join(", ".join(numbers[i:i + width]) for i in range(0, len(numbers), width))

    flat = [n for (a, b), x in sorted(pairs.items()) for n in (a, b, x)]
    return (
        "/* SPDX-License-Identifier: Apache-2.0 */\n"
        "/* Written by tests/tools/unicode_tables.py; compose.h says what is in it. */\n"
        '#include "text/compose.h"\n\n'
        "const uint8_t cria_compose_class[] = {\n" + rows(values, 24, "%d") + "};\n\n"
        f"const size_t cria_compose_n_breaks = {len(breaks)};\n"
        "const uint32_t cria_compose_breaks[] = {\n" + rows(breaks, 9, "0x%08x") + "};\n\n"
        f"const size_t cria_compose_n_parts = {len(keys)};\n"
        "const uint32_t cria_compose_parts[][2] = {\n" + rows(keys, 5, "{0x%06x, 0x%05x}") + "};\n\n"
        "const uint16_t cria_compose_pool[] = {\n" + rows(pool, 13, "0x%04x") + "};\n\n"
        f"const size_t cria_compose_n_pairs = {len(flat) // 3};\n"
        "const uint32_t cria_compose_pairs[][3] = {\n" + rows(list(zip(*[iter(flat)] * 3)), 3, "{0x%05x, 0x%05x, 0x%05x}")
        + "};\n")


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--check", action="store_true", help="compare instead of writing")
    check = args.parse_args().check
    for name, want in (("unicode_table.c", render(classes())), ("compose_table.c", render_compose())):
        if not check:
            (TEXT / name).write_text(want)
        elif (TEXT / name).read_text() != want:
            sys.exit(f"src/text/{name} is not what this version of tokenizers does")


if __name__ == "__main__":
    main()
