# SPDX-License-Identifier: Apache-2.0
"""cria perplexity: its numbers against numpy's from the same logits, the file of saved logits, and broken ones."""
import json
import signal
import struct
import subprocess
import time

import numpy as np
import pytest

pytestmark = pytest.mark.quick

TEXT = """The lighthouse keeper's daughter had learned to read the weather from the colour of the water. On still mornings
it was a pale green, and her father would let her row out to the rocks where the seals slept. When it turned to slate she
stayed inside, trimmed the lamps, and wrote letters to a cousin in the city whom she had met only once. "Nothing happens
here," she would begin, and then fill three pages with what had happened.
"""
HEADER_BYTES = 32  # eight words: two of magic, version, vocabulary, context, bos, tokens, scored tokens


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def measure(run):
    """measure(model, text, option, …) → the JSON object."""
    def call(model, text, *arguments, **options):
        r = run("perplexity", "--model-path", model, "--quiet", "--json", *arguments, text, **options)
        assert (r.returncode, r.stderr) == (0, b""), r.stderr
        return json.loads(r.stdout)
    return call


# ---- numpy's side ----

def scored(lib, path, context, *, activations="default", kv="int16", bos, max_tokens=None):
    """The logits [scored tokens][vocab] of TEXT, and the tokens they were to foretell."""
    model = lib.open(path, activations=activations)
    engine = model.engine(kv=kv)
    ids = model.tokenizer.encode(TEXT)[:max_tokens]
    head = [model.tokenizer.bos] if bos else []
    per_window = context - len(head)
    logits, targets = [], []
    for at in range(0, len(ids), per_window):
        window = head + ids[at:at + per_window]
        if len(window) > 1:
            logits.append(engine.sequence().eval(window[:-1]))
            targets += window[1:]
    return np.concatenate(logits), np.array(targets)


def log_softmax(logits):
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def check_likelihood(result, logits, targets):
    nll = -log_softmax(logits)[np.arange(len(targets)), targets]
    error = nll.std(ddof=1) / np.sqrt(len(nll))
    assert result["scored"] == len(targets)
    assert result["nll"] == pytest.approx(nll.mean(), rel=1e-12)
    assert result["nll_error"] == pytest.approx(error, rel=1e-9)
    assert result["perplexity"] == pytest.approx(np.exp(nll.mean()), rel=1e-11)
    assert result["perplexity_error"] == pytest.approx(np.exp(nll.mean()) * error, rel=1e-9)


def check_divergence(result, saved, ours, targets):
    p, q, rows = log_softmax(saved), log_softmax(ours), np.arange(len(targets))
    kl = (np.exp(p) * (p - q)).sum(axis=1)
    for name, expected in (("mean", kl.mean()), ("mean_error", kl.std(ddof=1) / np.sqrt(len(kl))),
                           ("median", np.median(kl)), ("percentile_99", np.percentile(kl, 99)), ("worst", kl.max())):
        assert result["kl_" + name] == pytest.approx(expected, rel=1e-6, abs=1e-13), name
    assert result["same_likeliest"] == (saved.argmax(axis=1) == ours.argmax(axis=1)).mean()
    change = (np.exp(q) - np.exp(p))[rows, targets].mean()
    assert result["mean_change_of_p"] == pytest.approx(change, rel=1e-6, abs=1e-13)
    return kl


# ---- numbers ----

def test_smollm2_equals_numpy(lib, smollm2, measure, text, tmp_path, tally):
    """On the real model: likelihood, and the divergence of int8 from float32."""
    saved = tmp_path / "f32.logits"
    size = ["--context", 40, "-m", 90]
    exact = measure(smollm2, text, *size, "--activations", "f32", "--kv", "f32", "--kl-base", saved)
    int8 = measure(smollm2, text, *size, "--activations", "int8", "--kl", saved)
    logits = {a: scored(lib, smollm2, 40, activations=a, kv=kv, bos=False, max_tokens=90)
              for a, kv in (("f32", "f32"), ("int8", "int16"))}
    assert exact["tokens"] == int8["tokens"] == 90 and exact["windows"] == 3 and exact["scored"] == 87
    check_likelihood(exact, *logits["f32"])
    check_likelihood(int8, *logits["int8"])
    kl = check_divergence(int8, logits["f32"][0], logits["int8"][0], logits["f32"][1])
    assert 5 < exact["perplexity"] < 200  # short windows without bos; of chance it would be 49152
    assert 1e-5 < kl.mean() < 0.02 and int8["same_likeliest"] > 0.85
    tally.append(f"SmolLM2 int8 against f32, {len(kl)} tokens: mean KL {kl.mean():.2e}, worst {kl.max():.2e}")


@pytest.mark.parametrize("context", [2, 3, 64, 65, 66, 100, 500])
def test_windows_with_bos(lib, small_model, measure, text, context):
    """With bos every token of the text is scored; windows of 65 are evaluated in one part of 64, of 66 in two."""
    result = measure(small_model, text, "--context", context)
    assert result["scored"] == result["tokens"]
    check_likelihood(result, *scored(lib, small_model, context, bos=True))


@pytest.mark.parametrize("context", [2, 7, 65, 66])
def test_windows_without_bos(lib, small_gguf, measure, text, context):
    result = measure(small_gguf, text, "--context", context)
    check_likelihood(result, *scored(lib, small_gguf, context, bos=False))
    assert result["windows"] == -(-result["tokens"] // context)


def test_bits_do_not_depend_on_threads_or_isa(small_gguf, measure, text, tmp_path):
    """The logits are the same, and so the divergence is not small but 0."""
    saved = tmp_path / "logits"
    first = measure(small_gguf, text, "--kl-base", saved, "--threads", 1)
    again = measure(small_gguf, text, "--kl", saved, "--threads", 2, "--isa", "scalar")
    assert again["perplexity"] == first["perplexity"] and again["same_likeliest"] == 1
    assert all(again[k] == 0 for k in again if k.startswith("kl_") or k == "mean_change_of_p")


def test_default_context_is_512_or_the_models(small_gguf, small_model, measure, text):
    by_default, given = measure(small_gguf, text), measure(small_gguf, text, "--context", 512)
    assert by_default["context"] == 512 and by_default["nll"] == given["nll"]


def test_stdin_and_max_tokens(small_gguf, measure, text):
    whole = measure(small_gguf, text)
    with open(text, "rb") as f:
        assert measure(small_gguf, "-", stdin=f)["nll"] == whole["nll"]
    assert measure(small_gguf, text, "-m", 100000)["nll"] == whole["nll"]
    assert measure(small_gguf, text, "-m", 20)["tokens"] == 20


def test_table(run, small_gguf, text, tmp_path):
    saved = tmp_path / "logits"
    assert run("perplexity", "--model-path", small_gguf, "--kl-base", saved, text).returncode == 0
    r = run("perplexity", "--model-path", small_gguf, "--kl", saved, "--activations", "f32", text)
    assert r.returncode == 0
    for word in (b"perplexity  ", b"+/-", b"windows of 512", b"99th percentile", b"same likeliest token", b"mean change"):
        assert word in r.stdout


# ---- failures: one line, exit 1 ----

def fails(r, *words):
    assert r.returncode == 1 and r.stdout == b""
    line = r.stderr.decode()
    assert line.startswith("cria: ") and line.count("\n") == 1 and line.endswith(".\n"), line
    for word in words:
        assert word in line


@pytest.fixture(scope="module")
def saved(run, small_gguf, text, tmp_path_factory):
    """(folder, bytes of a good file) for windows of 30 and 50 tokens of the text."""
    path = tmp_path_factory.mktemp("saved") / "good"
    assert run("perplexity", "--model-path", small_gguf, "--context", 30, "-m", 50, "--kl-base", path, text).returncode == 0
    assert [p.name for p in path.parent.iterdir()] == ["good"]
    return path.parent, path.read_bytes()


def with_sum(data):
    """data, its sum made right."""
    total = 0xCBF29CE484222325
    for (word,) in struct.iter_unpack("<I", data[:-8]):
        total = (total ^ word) * 0x100000001B3 % 2**64
    return data[:-8] + struct.pack("<Q", total)


def with_word(data, at, word):
    return data[:at] + struct.pack("<I", word) + data[at + 4:]


def test_the_format_is_as_written_down(saved, small_gguf, lib):
    data = saved[1]
    logits, _ = scored(lib, small_gguf, 30, bos=False, max_tokens=50)
    ids = lib.open(small_gguf).tokenizer.encode(TEXT)[:50]
    assert data[:8] == b"cria-kl\n" and struct.unpack_from("<6i", data, 8) == (1, logits.shape[1], 30, -1, 50, 48)
    assert np.frombuffer(data, "<i4", 50, HEADER_BYTES).tolist() == ids
    assert data[HEADER_BYTES + 200:-8] == logits.tobytes()
    assert with_sum(data) == data


BROKEN = {
    "empty": (lambda d: b"", "ends too early"),
    "half a header": (lambda d: d[:17], "ends too early"),
    "header only": (lambda d: d[:32], "32 bytes"),
    "truncated": (lambda d: d[:-4], "bytes"),
    "truncated in the ids": (lambda d: d[:100], "100 bytes"),
    "longer": (lambda d: d + bytes(4), "bytes"),
    "magic": (lambda d: b"GGUF" + d[4:], "does not hold saved logits"),
    "byte order": (lambda d: d[3::-1] + d[4:], "does not hold saved logits"),
    "version": (lambda d: with_word(d, 8, 2), "version 2"),
    "vocabulary": (lambda d: with_word(d, 12, 0xFFFFFFFF), "a vocabulary of 4294967295"),
    "context": (lambda d: with_word(d, 16, 31), "--context 31"),
    "bos": (lambda d: with_word(d, 20, 1), "beginning-of-text token 1"),
    "tokens": (lambda d: with_word(d, 24, 0x80000000), "2147483648"),
    "scored tokens": (lambda d: with_word(d, 28, 0xFFFFFFFF), "4294967295"),
    "other text": (lambda d: with_word(d, 32 + 4 * 7, 3), "another text: its token 7 is 3"),
    "flipped bit": (lambda d: with_word(d, 1000, struct.unpack_from("<I", d, 1000)[0] ^ 1), "its sum is wrong"),
    "sum": (lambda d: d[:-1] + bytes([d[-1] ^ 1]), "its sum is wrong"),
    "nan": (lambda d: with_sum(with_word(d, 1000, 0x7FC00000)), "not a finite number"),
    "infinity": (lambda d: with_sum(with_word(d, 1000, 0xFF800000)), "not a finite number"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_saved_logits(run, small_gguf, saved, text, name):
    damage, words = BROKEN[name]
    path = saved[0] / "broken"
    path.write_bytes(damage(saved[1]))
    fails(run("perplexity", "--model-path", small_gguf, "--context", 30, "-m", 50, "--kl", path, "--quiet", text), words,
          str(path))


def test_extreme_but_finite_logits_are_numbers(measure, small_gguf, saved, text):
    data = np.frombuffer(saved[1], "<u4").copy()
    data[58:-2] = np.where(np.arange(len(data) - 60) % 3, 0x7F7FFFFF, 0xFF7FFFFF)  # ± the largest float
    path = saved[0] / "extreme"
    path.write_bytes(with_sum(data.tobytes()))
    assert 0 < measure(small_gguf, text, "--context", 30, "-m", 50, "--kl", path)["kl_worst"] < 1e3


def test_saved_from_another_text_model_or_window(run, small_gguf, small_model, saved, text, tmp_path):
    path, other = saved[0] / "good", tmp_path / "other.txt"
    other.write_text(TEXT.replace("keeper", "owner"))
    size = ["--context", 30, "-m", 50]
    common = ["perplexity", "--quiet", "--kl", path, "--model-path"]
    fails(run(*common, small_gguf, *size, other), "another text")
    fails(run(*common, small_model, *size, text), "same tokenizer")
    fails(run(*common, small_gguf, "--context", 31, "-m", 50, text), "--context 30, but here it is 31")
    fails(run(*common, small_gguf, "--context", 30, "-m", 49, text), "of 50, but here it is 49")
    fails(run(*common, small_gguf, *size, text, "--kl", tmp_path), "Is a directory")
    fails(run(*common, small_gguf, *size, text, "--kl", tmp_path / "none"), "No such file")
    fails(run(*common, small_gguf, *size, text, "--kl", "/dev/zero"), "/dev/zero")


def test_unwritable(run, cria, small_gguf, text, tmp_path):
    """A full disk is noticed, for the logits and for the result; a device is not replaced by a file."""
    arguments = ["perplexity", "--model-path", small_gguf, "--quiet", text]
    fails(run(*arguments, "--kl-base", "/dev/full"), "/dev/full", "No space left")
    fails(run(*arguments, "--kl-base", tmp_path / "no folder" / "logits"), "No such file")
    fails(run(*arguments, "--kl-base", tmp_path), "Is a directory")
    for option in ([], ["--json"]):
        with open("/dev/full", "wb") as full:
            fails_to_print = subprocess.run([cria, *map(str, arguments), *option], stdout=full, stderr=subprocess.PIPE)
        assert fails_to_print.returncode == 1 and fails_to_print.stderr.startswith(b"cria: Cannot write to stdout: No space")
    assert list(tmp_path.iterdir()) == []


def test_what_failed_leaves_the_earlier_file(run, small_gguf, saved, text):
    """Saving and comparing at once; the comparison fails at the end, and what was saved before is still there."""
    path = saved[0] / "kept"
    path.write_bytes(saved[1][:-1] + b"?")
    before = sorted(saved[0].iterdir())
    fails(run("perplexity", "--model-path", small_gguf, "--quiet", "--context", 30, "-m", 50, "--kl", path, "--kl-base",
              path, text), "its sum is wrong")
    assert sorted(saved[0].iterdir()) == before and path.read_bytes() == saved[1][:-1] + b"?"


def test_texts_and_windows_that_cannot_be(run, small_gguf, small_model, text, tmp_path):
    command = ["perplexity", "--quiet", "--model-path"]
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "one").write_bytes(b"a")
    fails(run(*command, small_gguf, tmp_path / "empty"), "0 tokens")
    fails(run(*command, small_model, tmp_path / "empty"), "0 tokens")
    fails(run(*command, small_gguf, tmp_path / "one"), "1 token")
    fails(run(*command, small_gguf, text, "--context", 1), "--context takes 2")
    fails(run(*command, small_gguf, text, "--context", 100000), "the model's context holds 512")
    fails(run(*command, small_gguf, tmp_path / "none"), "none")


def test_one_scored_token_has_no_spread(measure, small_gguf, text):
    result = measure(small_gguf, text, "-m", 2)
    assert result["scored"] == 1 and result["nll"] > 0 and result["nll_error"] is None


def test_interrupted(cria, small_gguf, tmp_path):
    """Ctrl-C: one line, exit 1, nothing saved."""
    p = subprocess.Popen([cria, "perplexity", "--model-path", small_gguf, "--quiet", "--kl-base", tmp_path / "logits", "-"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(TEXT.encode() * 500)
    p.stdin.close()
    deadline = time.monotonic() + 30
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline and p.poll() is None:
        time.sleep(0.01)
    p.send_signal(signal.SIGINT)
    assert p.wait(60) == 1
    assert p.stdout.read() == b""
    error = p.stderr.read()
    assert error.startswith(b"cria: Interrupted after") and error.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []
