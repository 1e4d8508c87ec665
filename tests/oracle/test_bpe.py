# SPDX-License-Identifier: Apache-2.0
"""cria's GGUF tokenizers against the libraries: byte-level BPE against PyPI tokenizers, "llama" against sentencepiece.

The same ids for any text and the same text for any ids, at once and as a stream: for SmolLM2's vocabulary, for ones
trained here, one for each pre-tokenizer, and for Mistral's tokenizer.model files put into GGUF. Text that is no UTF-8
goes to tokenizers (which takes str only) with U+FFFD in its place, as cria promises to take it."""
import functools
import json
import pathlib
import random
import re
import subprocess
import sys
import time

import pytest

gguf = pytest.importorskip("gguf")
spm = pytest.importorskip("sentencepiece")
pytest.importorskip("tokenizers")
import textgen  # noqa: E402
from gguf_reader import Reader  # noqa: E402
from hf_tokenizers import DEEPSEEK3, TEKKEN, o200k  # noqa: E402
from hf_tokenizers import split as split_at  # noqa: E402
from protowire import fields  # noqa: E402
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from tokprogram import BOS, INFO, ROOT, SPECIAL, STREAM, Cria, first_difference  # noqa: E402

LINES = 10_000
IDS = 10_000
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
TABLE = ROOT / "src" / "text" / "unicode_table.c"
CONTROLS = ["<|begin|>", "<|im_start|>", "<|im_end|>", "<|im_end|>x"]
USER_SYMBOLS = ["<tool>", "a b", "\n\n\n", "über", "é!"]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")


def pre_tokenizer(name):
    """As in the tokenizer.json of gpt2, SmolLM2, Llama 3 and Qwen2."""
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "gpt-2":
        return words
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    others = {"tekken": [TEKKEN], "gpt-4o": [o200k(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "{1,3}")],
              "deepseek-v3": [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3],
              "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"]}
    if name in others:
        return split_at(*others[name])
    split = pre_tokenizers.Split(Regex(LLAMA3 % {"llama-bpe": "{1,3}", "dbrx": "{1,3}", "qwen2": ""}[name]), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def library_of(tokens, types, merges, pre):
    """The tokenizer that a GGUF's arrays describe."""
    model = models.BPE({t: i for i, t in enumerate(tokens) if types[i] != UNUSED}, merges, ignore_merges=pre in ("llama-bpe", "tekken"))
    library = Tokenizer(model)
    library.pre_tokenizer, library.decoder = pre_tokenizer(pre), decoders.ByteLevel()
    library.add_special_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, types) if k == CONTROL])
    library.add_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, types) if k == USER_DEFINED])
    assert library.get_vocab_size() == len(tokens) - types.count(UNUSED)
    return library


@functools.cache
def read_gguf(path):
    get = {k: f for k, f in Reader(path).fields.items() if k.startswith("tokenizer.ggml.")}
    merges = [tuple(m.split(" ")) for m in get["tokenizer.ggml.merges"].contents()]
    return tuple(get["tokenizer.ggml." + k].contents() for k in ("tokens", "token_type")) + (merges, get["tokenizer.ggml.pre"].contents())


def train(pre, size, alphabet=True):
    """(tokens, types, merges): vocabulary as a converter writes it, with control, user-defined and unused pieces."""
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizer(pre)
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()) if alphabet else [])
    library.train_from_iterator(textgen.corpus(4000), trainer)
    state = json.loads(library.to_str())["model"]
    tokens = [t for t, _ in sorted(state["vocab"].items(), key=lambda item: item[1])]
    types = [NORMAL] * len(tokens)
    for extra, kind in ((CONTROLS, CONTROL), (["[PAD1]", "[PAD2]"], UNUSED), (USER_SYMBOLS, USER_DEFINED)):
        tokens += extra
        types += [kind] * len(extra)
    return tokens, types, [tuple(m) for m in state["merges"]]


def write_gguf(path, pre, tokens, types, merges):
    out = gguf.GGUFWriter(path, "llama")
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(pre)
    out.add_token_list(tokens)
    out.add_token_types(types)
    out.add_token_merges([" ".join(m) for m in merges])
    if CONTROLS[0] in tokens:
        out.add_bos_token_id(tokens.index(CONTROLS[0]))
        out.add_eos_token_id(tokens.index(CONTROLS[2]))
    finish(out)


def finish(out):
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def texts_with(symbols, seed=11):
    """The generator's lines, and some with symbols and contractions put in."""
    rng = random.Random(seed)
    bits = symbols + ["'s", "'LL", "'ſ", "'Re", " ", "\n", "x", "12345", "½", "é", "\U00011de1", " \u3000", "\r\n", "!!"]
    out = textgen.lines(LINES - 1500)
    out += ["".join(rng.choice(bits) for _ in range(rng.randint(1, 20))).encode() for _ in range(1500)]
    return out


def compare(path, library, symbols):
    cria, texts = Cria(path), texts_with(symbols)
    strings = [t.decode("utf-8", "replace") for t in texts]
    for flags, plain in ((0, True), (SPECIAL, False)):
        library.encode_special_tokens = plain
        want = [e.ids for e in library.encode_batch(strings, add_special_tokens=False)]
        assert not first_difference(texts, want, cria.encode(texts, flags))
    lists = want + textgen.random_ids(IDS, library.get_vocab_size())
    want = [s.encode() for s in library.decode_batch(lists, skip_special_tokens=True)]
    assert not first_difference(lists, want, cria.decode(lists))
    assert not first_difference(lists, want, cria.decode(lists, STREAM))


def test_smollm2(smollm2):
    tokens, types, merges, pre = read_gguf(smollm2)
    compare(smollm2, library_of(tokens, types, merges, pre), [t for t, k in zip(tokens, types) if k == CONTROL])


@pytest.mark.parametrize("pre,size,alphabet", [("gpt-2", 1000, True), ("gpt-2", 3000, False), ("smollm", 3000, True),
                                               ("llama-bpe", 30000, True), ("qwen2", 8000, True),
                                               ("tekken", 5000, True), ("dbrx", 3000, True), ("gpt-4o", 3000, True),
                                               ("deepseek-v3", 3000, True), ("deepseek-coder", 3000, True)])
def test_trained(tmp_path, pre, size, alphabet):
    """Without an alphabet some bytes have no piece. Of llama-bpe's merges some are missing, so that words are pieces
    which no merges lead to."""
    tokens, types, merges = train(pre, size, alphabet)
    if pre == "llama-bpe":
        merges = random.Random(5).sample(merges, len(merges) * 9 // 10)
    path = tmp_path / "tokenizer.gguf"
    write_gguf(path, pre, tokens, types, merges)
    compare(path, library_of(tokens, types, merges, pre), CONTROLS + USER_SYMBOLS)
    bos, eos = tokens.index(CONTROLS[0]), tokens.index(CONTROLS[2])
    assert Cria(path).info() == [len(tokens), bos, eos]
    assert Cria(path).encode([b"", b"<|im_end|>"], BOS | SPECIAL) == [[bos], [bos, eos]]


def test_class_borders(smollm2, tmp_path):
    """The characters on both sides of every change of class, between letters, digits, signs and spaces. (That the table
    has the library's classes is the next test.)"""
    table = re.findall("0x[0-9a-f]{8}", TABLE.read_text())
    chars = sorted({chr(c) for entry in table for c in (int(entry, 16) >> 11, (int(entry, 16) >> 11) - 1) if c >= 0})
    chars = [c for c in chars if not "\ud800" <= c <= "\udfff"]
    assert len(chars) > 2000
    tokens, types, merges, _ = read_gguf(smollm2)
    texts = ["".join(f"a{c}1{c}!{c} {c}{c}\n{c}'{c}" for c in chars[i:i + 64]) for i in range(0, len(chars), 64)]
    for pre in ("gpt-2", "smollm", "llama-bpe", "qwen2"):
        path = tmp_path / f"{pre}.gguf"
        write_gguf(path, pre, tokens, [NORMAL] * len(tokens), merges)
        library = library_of(tokens, [NORMAL] * len(tokens), merges, pre)
        want = [e.ids for e in library.encode_batch(texts, add_special_tokens=False)]
        assert not first_difference(texts, want, Cria(path).encode([t.encode() for t in texts]))


def test_unicode_tables():
    tool = ROOT / "tests" / "tools" / "unicode_tables.py"
    subprocess.run([sys.executable, tool, "--check"], check=True)


def test_linear(smollm2):
    """A megabyte of one thing; and of less of it what the library makes."""
    library, cria = library_of(*read_gguf(smollm2)), Cria(smollm2)
    units = [u.encode() for u in ("a", " ", "\n", "7", "!", "'", " a", "ab", "\u00a0", "中")] + [b"\xff"]
    texts = [unit * (1_000_000 // len(unit)) for unit in units]
    start = time.monotonic()
    ids = cria.encode(texts)
    assert time.monotonic() - start < 60  # seconds; what is quadratic takes hours
    assert cria.decode(ids) == [t.decode("utf-8", "replace").encode() for t in texts]
    texts = [t[:6000] for t in texts]
    want = [library.encode(t.decode("utf-8", "replace"), add_special_tokens=False).ids for t in texts]
    assert not first_difference(texts, want, cria.encode(texts))


# ---- "llama" ----

def gguf_of_spm(path, model):
    """What a converter makes of a tokenizer.model, with its normalizer's rules besides."""
    library = spm.SentencePieceProcessor(model_proto=model)
    n = library.get_piece_size()
    kinds = ((library.is_unknown, UNKNOWN), (library.is_control, CONTROL), (library.is_unused, UNUSED), (library.is_byte, BYTE))
    out = gguf.GGUFWriter(path, "llama")
    out.add_tokenizer_model("llama")
    out.add_tokenizer_pre("default")
    out.add_token_list([library.id_to_piece(i) for i in range(n)])
    out.add_token_scores([library.get_score(i) for i in range(n)])
    out.add_token_types([next((kind for test, kind in kinds if test(i)), NORMAL) for i in range(n)])
    out.add_unk_token_id(library.unk_id())
    out.add_bos_token_id(library.bos_id())
    out.add_eos_token_id(library.eos_id())
    rules = next(value for number, value in fields(model) if number == 3)
    charsmap = next((value for number, value in fields(rules) if number == 2), b"")
    out.add_add_space_prefix(library.id_to_piece(library.encode("a")[0]).startswith("▁"))
    out.add_remove_extra_whitespaces(library.encode("a  b") == library.encode("a b"))
    if charsmap:
        out.add_precompiled_charsmap(charsmap)
    finish(out)
    return library


def spm_models():
    mistral = pytest.importorskip("mistral_common")
    return sorted((pathlib.Path(mistral.__file__).parent / "data").glob("*.model*"))


def trained_spm(tmp_path):
    model = tmp_path / "small"
    spm.SentencePieceTrainer.train(sentence_iterator=iter(textgen.corpus(2000)), model_prefix=str(model), vocab_size=2000,
                                   model_type="bpe", byte_fallback=True, normalization_rule_name="nmt_nfkc", minloglevel=2)
    return model.with_suffix(".model")


@pytest.mark.parametrize("which", [0, -1, "trained"])
def test_llama(tmp_path, which):
    """The oldest and the newest of Mistral's models, and one with replacement rules."""
    source = trained_spm(tmp_path) if which == "trained" else spm_models()[which]
    path = tmp_path / "llama.gguf"
    library = gguf_of_spm(path, source.read_bytes())
    cria, texts = Cria(path), textgen.lines(LINES)
    assert cria.info() == [library.get_piece_size(), library.bos_id(), library.eos_id()]
    want = [library.encode(t) for t in texts]
    assert not first_difference(texts, want, cria.encode(texts))
    lists = want + textgen.random_ids(IDS, library.get_piece_size())
    want = [library.decode(ids, return_type=bytes) if ids else b"" for ids in lists]
    assert not first_difference(lists, want, cria.decode(lists))
    assert not first_difference(lists, want, cria.decode(lists, STREAM))


# ---- files ----

def test_unknown_pre_tokenizer(tmp_path):
    tokens, types, merges = train("gpt-2", 300)
    write_gguf(tmp_path / "x.gguf", "jais-2", tokens, types, merges)
    status, message = Cria(tmp_path / "x.gguf").ask(INFO, [b""])[0]
    assert status == -4 and b'"jais-2"' in message
