# SPDX-License-Identifier: Apache-2.0
"""cria tokenize and cria detokenize: what they print, where text and ids come from, and how they fail. That the ids are
right is the business of tests/oracle."""
import json
import pathlib

import pytest

pytestmark = pytest.mark.quick


def alphabet():
    """Characters of the bytes, as GPT-2 has them."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = iter(range(0x100, 0x200))
    return [chr(b) if b in shown else chr(next(rest)) for b in range(256)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bytes by their number, then "he", "ll" and "hell", then two symbols."""
    pieces = alphabet() + ["he", "ll", "hell"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokens = [{"id": 259 + i, "content": t, "special": True} | flags for i, t in enumerate(("<s>", "<|end|>"))]
    model = {"type": "BPE", "vocab": {p: i for i, p in enumerate(pieces)},
             "merges": [["h", "e"], ["l", "l"], ["he", "ll"]]}
    state = {"version": "1.0", "added_tokens": tokens, "normalizer": None, "model": model,
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
             "post_processor": None, "decoder": {"type": "ByteLevel"}}
    path = tmp_path_factory.mktemp("model")
    (path / "tokenizer.json").write_text(json.dumps(state))
    (path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "add_bos_token": True}))
    return path


def answer(r):
    assert (r.returncode, r.stderr) == (0, b""), r.stderr
    return r.stdout


def ids_of(r):
    return [int(n) for n in answer(r).split()]


def fails(r, *words, code=1):
    assert r.returncode == code and r.stdout == b"" and r.stderr.count(b"\n") == 1
    for word in words:
        assert word in r.stderr.decode()


def test_ids(run, folder, tmp_path):
    assert answer(run("tokenize", folder, "hello")) == b"259 258 111\n"
    assert ids_of(run("tokenize", "--no-bos", folder, "hello")) == [258, 111]
    assert ids_of(run("tokenize", folder / "tokenizer.json", "", "--ids")) == [259]
    assert answer(run("tokenize", folder, "", "--no-bos")) == b"\n"
    text = b"hell\r\n\0\xff"  # byte for byte, but for what is no UTF-8
    want = [259, 258, 13, 10, 0, 0xEF, 0xBF, 0xBD]
    (tmp_path / "text").write_bytes(text)
    assert ids_of(run("tokenize", folder, "-f", tmp_path / "text")) == want
    assert ids_of(run("tokenize", folder, input=text, stdin=None)) == want


def test_symbols_written_out(run, folder):
    assert ids_of(run("tokenize", "--no-bos", "--special", folder, "he<|end|>x")) == [256, 260, ord("x")]
    assert 260 not in ids_of(run("tokenize", folder, "he<|end|>x"))


def test_pieces_and_json(run, folder):
    lines = answer(run("tokenize", "--pieces", folder, 'hell" ')).decode().splitlines()
    assert lines == ['259\t"<s>"', '258\t"hell"', '34\t"\\""', '32\t"Ġ"']
    whole = json.loads(answer(run("tokenize", "--json", folder, 'hell" ')))
    assert whole == {"n": 4, "ids": [259, 258, 34, 32], "pieces": ["<s>", "hell", '"', "Ġ"]}


def test_back_to_text(run, folder, tmp_path):
    assert answer(run("detokenize", folder, "259", "258", "111")) == b"hello"
    assert answer(run("detokenize", folder, "[258, 111]", "33")) == b"hello!"
    assert answer(run("detokenize", folder, "226", "150", "129", "226")) == "▁\ufffd".encode()
    (tmp_path / "ids").write_text("[259,\n258,\t111]\n")
    assert answer(run("detokenize", folder, "--file", tmp_path / "ids")) == b"hello"
    assert answer(run("detokenize", folder, input=b"258 11", stdin=None)) == b"hell\x0b"
    assert answer(run("detokenize", folder)) == b""  # nothing on stdin


def test_a_large_file_there_and_back(run, folder, tmp_path):
    text = "".join(f"hello {i} wörld ▁ {'l' * (i % 50)}\n" for i in range(40_000)).encode()
    (tmp_path / "text").write_bytes(text)
    ids = answer(run("tokenize", folder, "-f", tmp_path / "text"))
    assert answer(run("detokenize", folder, input=ids, stdin=None)) == text


def test_other_files(run):
    mistral = pytest.importorskip("mistral_common")
    model = sorted((pathlib.Path(mistral.__file__).parent / "data").glob("*.model*"))[0]
    ids = ids_of(run("tokenize", model, "Hello there"))
    assert ids[0] == 1 and answer(run("detokenize", model, *ids)) == b"Hello there"


def test_failures(run, folder, tmp_path):
    fails(run("tokenize", tmp_path, "x"), "neither tokenizer.json nor tokenizer.model")
    fails(run("tokenize", tmp_path / "no", "x"), "no")
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "WordPiece"}}')
    fails(run("tokenize", tmp_path, "x"), "tokenizer.json", '"WordPiece"', "line 1")
    fails(run("tokenize", folder, "-f", tmp_path / "missing"), "missing")
    fails(run("detokenize", folder, "-f", tmp_path / "missing"), "missing")
    fails(run("detokenize", folder, "300"), "300")
    fails(run("detokenize", folder, "99999999999"), "too large")
    fails(run("detokenize", folder, "25x"), "'x'", "byte 2")
    fails(run("detokenize", folder, "--", "-1"), "'-'")
    fails(run("tokenize"), "MODEL is missing", code=2)
    fails(run("detokenize"), "MODEL is missing", code=2)
    fails(run("tokenize", folder, "a", "b"), "'b' is not an option", code=2)
    fails(run("tokenize", folder, "a", "-f", "b"), "give one of them", code=2)
    fails(run("detokenize", folder, "1", "-f", "b"), "give one of them", code=2)
    fails(run("tokenize", folder, "a", "--ids", "--json"), "one of --ids", code=2)


def test_a_full_disk_is_noticed(run, folder):
    with open("/dev/full", "wb") as full:
        r = run("detokenize", folder, "258", capture_output=False, stdout=full, stderr=-1)
    assert r.returncode == 1 and b"Cannot write to stdout" in r.stderr
