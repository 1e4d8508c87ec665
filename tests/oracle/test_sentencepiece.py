# SPDX-License-Identifier: Apache-2.0
"""cria against PyPI sentencepiece: the same ids for any text, the same text for any ids, the same files refused.

The models are Mistral's (in PyPI mistral-common) and ones trained here on generated text, for every normalization rule
and option. Files that the trainer does not write (unused pieces, spaces not escaped, damage) are made by editing the
protobuf's wire format: a later field overrides an earlier one, so appending is enough."""
import io
import pathlib
import random
import struct
import time

import pytest

spm = pytest.importorskip("sentencepiece")
import textgen  # noqa: E402
from protowire import field, fields  # noqa: E402
from tokprogram import BOS, INFO, SPECIAL, STREAM, Cria, first_difference  # noqa: E402

LINES = 10_000
IDS = 10_000

NORMALIZED = [f"{rule}-{kind}" for rule in ("nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity") for kind in ("bpe", "unigram")]
SYMBOLS = ["<sep>", "ab", "abc", "ﬁ", "  ", "\u2581\u2581x", "The", "é", "ー", "</b>", "x y", "12"]
NESTED = ["z" * n for n in range(2, 90)]  # the library looks at no more than 64 that a text begins with
OPTIONS = {
    "no-prefix": dict(add_dummy_prefix=False),
    "keep-spaces": dict(remove_extra_whitespaces=False),
    "neither": dict(add_dummy_prefix=False, remove_extra_whitespaces=False, normalization_rule_name="identity"),
    "suffix": dict(treat_whitespace_as_suffix=True),
    "suffix-only-spaces": dict(treat_whitespace_as_suffix=True, allow_whitespace_only_pieces=True, remove_extra_whitespaces=False),
    "bytes": dict(byte_fallback=True, vocab_size=1000),
    "llama": dict(byte_fallback=True, vocab_size=1200, split_digits=True, allow_whitespace_only_pieces=True,
                  normalization_rule_name="identity", remove_extra_whitespaces=False),
    "bytes-no-unk": dict(byte_fallback=True, vocab_size=1000, unk_id=-1, bos_id=0, eos_id=1),
    "symbols": dict(user_defined_symbols=SYMBOLS, control_symbols=["<ctl>", "[INST]"]),
    "symbols-bytes": dict(user_defined_symbols=SYMBOLS, byte_fallback=True, vocab_size=1100, remove_extra_whitespaces=False),
    "nested-symbols": dict(user_defined_symbols=NESTED),
    "ids": dict(unk_id=3, bos_id=-1, eos_id=0, pad_id=1, eos_piece="<end>", unk_piece="??", vocab_size=700,
                control_symbols=["<c>"]),
    "unk-surface": dict(unk_surface="<?>", vocab_size=600),
    "across-words": dict(split_by_whitespace=False, split_by_unicode_script=False, split_by_number=False, vocab_size=1500),
    "large": dict(vocab_size=4000, hard_vocab_limit=False, max_sentencepiece_length=32),
}


def edit_pieces(model, change):
    """change(index, piece message) → new message, or None to leave the piece out."""
    out, i = b"", 0
    for number, data in fields(model):
        if number == 1:
            data = change(i, data)
            i += 1
        if data is not None:
            out += field(number, data)
    return out


def piece(text, score=0.0, kind=1):
    return field(1, field(1, text) + b"\x15" + struct.pack("<f", score) + field(3, kind))


def decode_of_library(library, lists):
    return [library.decode(ids, return_type=bytes) if ids else b"" for ids in lists]


def compare(path, texts, ids):
    library = spm.SentencePieceProcessor(model_file=str(path))
    cria = Cria(path)
    assert cria.info() == [library.get_piece_size(), library.bos_id(), library.eos_id()]
    texts = texts + [b" ".join(texts[:2000])]  # one long one, in which words come again
    want = [library.encode(text) for text in texts]
    assert not first_difference(texts, want, cria.encode(texts))
    lists = want + textgen.random_ids(ids, library.get_piece_size())
    text_of_library = decode_of_library(library, lists)
    assert not first_difference(lists, text_of_library, cria.decode(lists))
    assert not first_difference(lists, text_of_library, cria.decode(lists, STREAM))


@pytest.fixture(scope="module")
def lines():
    return textgen.lines(LINES)


@pytest.fixture(scope="module")
def corpus():
    return textgen.corpus(1500)


def train(path, sentences, kind, **options):
    options = dict(vocab_size=800, normalization_rule_name="nmt_nfkc", character_coverage=0.98, minloglevel=3, num_threads=1,
                   hard_vocab_limit=False, train_extremely_large_corpus=False) | options
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_writer=model, model_type=kind, **options)
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, corpus):
    """trained(kind, **options) → path; each model is trained once."""
    folder, made = tmp_path_factory.mktemp("spm"), {}

    def get(kind, **options):
        key = repr((kind, sorted(options.items())))
        if key not in made:
            made[key] = train(folder / f"{len(made)}.model", corpus, kind, **options)
        return made[key]
    return get


def mistral_models():
    mistral = pytest.importorskip("mistral_common")
    return sorted((pathlib.Path(mistral.__file__).parent / "data").glob("*.model*"))


@pytest.mark.parametrize("version", ["model.v1", "model.v2", "model.v3", "model.v7", "model.v7m1"])
def test_mistral(version, lines):
    found = [path for path in mistral_models() if path.name.endswith(version)]
    assert found, "mistral-common no longer has this file"
    compare(found[0], lines, IDS)


@pytest.mark.quick
@pytest.mark.parametrize("name", NORMALIZED)
def test_normalization_rules(name, trained, lines):
    rule, kind = name.rsplit("-", 1)
    compare(trained(kind, normalization_rule_name=rule), lines, IDS)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("name", OPTIONS)
def test_options(name, kind, trained, lines):
    compare(trained(kind, **OPTIONS[name]), lines, IDS)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_own_rules(kind, trained, lines, tmp_path):
    """Rules that lengthen, delete, and make spaces; and rules for decoded text, which a stream applies at its end."""
    rules = {"the": "THE THE", "a": "", "e": " ", "é": "  e ", "中": "\u2581", "xx": " ", "ll": "l\u2581l"}
    back = {"the": "", "T": "\u00de ", "  ": " ", "q": "qqqq"}
    for name, table in ("in.tsv", rules), ("out.tsv", back):
        (tmp_path / name).write_text("".join(" ".join(f"{ord(c):X}" for c in source) + "\t" +
                                             " ".join(f"{ord(c):X}" for c in to) + "\n" for source, to in table.items()))
    compare(trained(kind, normalization_rule_tsv=str(tmp_path / "in.tsv"), denormalization_rule_tsv=str(tmp_path / "out.tsv")),
            lines, IDS)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("name, extra", [
    ("unescaped", field(3, field(5, 0))),
    ("unescaped-keeping-spaces", field(3, field(5, 0) + field(4, 0))),
    ("unescaped-no-prefix", field(3, field(5, 0) + field(3, 0))),
    ("nul-in-unk-surface", field(2, field(44, b"a\0b"))),
    ("unknown-fields", field(900, b"x") + field(2, field(300, b"y") + field(301, 7)) + b"\xfd\x3f\1\2\3\4" + b"\xf9\x3f12345678"),
    ("inner-space-pieces", piece("e\u2581t".encode(), -1) + piece("\u2581\u2581\u2581".encode(), -2) + piece("a\u2581\u2581".encode(), -3)),
    ("control-twin", piece(b"<ctl>", 0, 3) + piece("é".encode() * 3, 0, 3)),
    ("zero-scores", b"".join(piece(p, s) for p, s in ((b"qz", 0.0), (b"zq", -0.0), (b"zqz", 1.5), (b"qzq", 1.5)))),
])
def test_edited_models(name, extra, kind, trained, lines, tmp_path):
    path = tmp_path / "edited.model"
    path.write_bytes(trained(kind).read_bytes() + extra)
    compare(path, [b"qzqzqzzqzqq" * 3, b"zqzqzqz"] + lines[:3000], 3000)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_unused_pieces(share, kind, trained, lines, tmp_path):
    """A share of the pieces made UNUSED: BPE merges through them and splits them again, unigram passes them by."""
    rng = random.Random(5)
    path = tmp_path / "unused.model"
    path.write_bytes(edit_pieces(trained(kind).read_bytes(),
                                 lambda i, p: p + field(3, 5) if i > 3 and rng.random() < share else p))
    compare(path, lines[:4000], 3000)


@pytest.mark.parametrize("depth", [20, 150])
def test_deep_unused_pieces(depth, trained, tmp_path):
    """The library stops splitting at a depth of 100."""
    rune = "\u16a0".encode()
    chain = b"".join(piece(rune * n, 100.0 + n, 5) for n in range(2, depth))
    path = tmp_path / "deep.model"
    path.write_bytes(trained("bpe").read_bytes() + piece(rune, 99.0) + chain)
    texts = [rune * n for n in range(1, 400, 7)] + [(b"x" + rune) * n for n in range(1, 40)]
    compare(path, texts, 0)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_long_texts(kind, trained):
    """Sums beyond 100,000 are rebased; no text takes more than linear time by much."""
    texts = [c * (200_000 // len(c)) for c in (b"a", b" ", b"\xff", "é".encode(), b"The ", b"ab", "中文".encode(), b"a b")]
    path = trained(kind, byte_fallback=False)
    compare(path, texts, 0)
    start = time.monotonic()
    Cria(path).encode([b"a" * 1_000_000, b"\xff" * 1_000_000, b" " * 1_000_000])
    assert time.monotonic() - start < 20


def test_special_symbols_in_text(trained):
    """With SPECIAL, control symbols are cut out of raw text; between them everything is encoded on its own."""
    path = trained("bpe", **OPTIONS["symbols"])
    library, cria = spm.SentencePieceProcessor(model_file=str(path)), Cria(path)
    bos, eos, ctl, inst = (library.piece_to_id(p) for p in ("<s>", "</s>", "<ctl>", "[INST]"))
    text = b"<s>hello <ctl>there[INST]</s> <sep>"
    want = [bos, *library.encode("hello "), ctl, *library.encode("there"), inst, eos, *library.encode(" <sep>")]
    assert cria.encode([text], SPECIAL) == [want]
    assert cria.encode([text], SPECIAL | BOS) == [[bos] + want]
    assert cria.encode([text]) == [library.encode(text)]
    assert cria.encode([b""], BOS) == [[bos]]


def refused_by_library(path):
    try:
        spm.SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError, ValueError):
        return True
    return False


BYTES = {f"<0x{b:02X}>".encode() for b in range(256)}
BAD_MODELS = {
    "no-file-content": lambda m: b"",
    "no-pieces": lambda m: edit_pieces(m, lambda i, p: None),
    "duplicate": lambda m: m + piece(b"dup") + piece(b"dup"),
    "duplicate-control": lambda m: m + piece(b"dup", 0, 3) + piece(b"dup", 0, 3),
    "empty-piece": lambda m: m + piece(b""),
    "long-piece": lambda m: m + piece(b"a" * 8000),
    "nul-piece": lambda m: m + piece(b"a\0b"),
    "only-nul-piece": lambda m: m + piece(b"\0"),
    "second-unk": lambda m: m + piece(b"<unk2>", 0, 2),
    "no-unk": lambda m: edit_pieces(m, lambda i, p: None if i == 0 else p),
    "byte-piece": lambda m: m + piece(b"<0x41>", 0, 6),
    "fallback-without-bytes": lambda m: m + field(2, field(35, 1)),
    "fallback-255-bytes": lambda m: m + field(2, field(35, 1)) + b"".join(piece(p, 0, 6) for p in sorted(BYTES - {b"<0x41>"})),
    "bad-byte": lambda m: m + field(2, field(35, 1)) + b"".join(piece(p, 0, 6) for p in sorted(BYTES)) + piece(b"<0x1g>", 0, 6),
    "cut": lambda m: m[:-7],
    "cut-early": lambda m: m[:3],
    "bad-tag": lambda m: m + b"\0\0",
    "charsmap-short": lambda m: m + field(3, field(2, b"\0\4")),
    "charsmap-size": lambda m: m + field(3, field(2, struct.pack("<I", 4096) + bytes(1024))),
    "charsmap-not-1024": lambda m: m + field(3, field(2, struct.pack("<I", 1000) + bytes(1001))),
    "charsmap-all-zero": lambda m: m + field(3, field(2, struct.pack("<I", 1024) + bytes(1025))),
    "charsmap-no-nul": lambda m: m + field(3, field(2, struct.pack("<I", 1024) + bytes(1024) + b"x")),
    "charsmap-wild": lambda m: m + field(3, field(2, struct.pack("<I", 1024) + b"\xff" * 1024 + b"\0")),
    "denormalizer-wild": lambda m: m + field(5, field(2, struct.pack("<I", 1024) + b"\xff" * 1024 + b"\0")),
}
BAD_UNIGRAMS = {
    "nan": lambda m: m + piece(b"nanpiece", float("nan")),
    "infinite": lambda m: m + piece(b"infpiece", float("inf")),
}


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_bad_models_are_refused(kind, trained, tmp_path):
    model, path = trained(kind).read_bytes(), tmp_path / "bad.model"
    for name, damage in (BAD_MODELS | (BAD_UNIGRAMS if kind == "unigram" else {})).items():
        path.write_bytes(damage(model))
        assert refused_by_library(path), name
        status, message = Cria(path).ask(INFO, [b""])[0]
        assert status == -3, (name, status, message)
        assert message.decode().endswith("."), (name, message)


@pytest.mark.parametrize("kind, number", [("word", 3), ("char", 4)])
def test_other_kinds_are_named(kind, number, trained):
    status, message = Cria(trained(kind, vocab_size=300)).ask(INFO, [b""])[0]
    assert status == -4 and kind.encode() in message


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_damaged_models(kind, trained, lines, tmp_path):
    """Flipped bytes: what cria accepts the library accepts, with the same ids."""
    model, path, rng = trained(kind).read_bytes(), tmp_path / "damaged.model", random.Random(7)
    texts = lines[:400]
    both = 0
    for _ in range(120):
        bad = bytearray(model)
        for _ in range(rng.randint(1, 3)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        path.write_bytes(bad)
        got = Cria(path).encode(texts)
        if len(got) == 1:
            continue
        library = spm.SentencePieceProcessor(model_file=str(path))
        assert not first_difference(texts, [library.encode(text) for text in texts], got), bad
        both += 1
    assert both > 5
