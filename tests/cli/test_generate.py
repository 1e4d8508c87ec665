# SPDX-License-Identifier: Apache-2.0
"""What generate writes where, when it stops, and what it exits with; on small models, in the words of the example."""
import json
import math
import os
import pty
import re
import signal
import socket
import subprocess
import termios
import time

import models
import numpy as np
import pytest

from chain import write_chain
from cria_ctypes import ENCODE_BOS, Sampler

pytestmark = pytest.mark.quick

PROMPT = "In the beginning the Universe was created."


def reference(lib, path, prompt, n, temp=0.0, seed=0, ignore_eos=False, **options):
    """The same generation through the library: (text, ids)."""
    model = lib.open(path)
    sequence = model.engine().sequence()
    if options.get("dry_multiplier"):
        options["dry_breakers"] = [i for i in range(len(model.tokenizer)) if set(model.tokenizer.decode([i])) & set(b'\n:"*')]
    sampler = Sampler(model.ctx, temp, seed, **options)
    bos = ENCODE_BOS if model.info.format == b"npz" or model.info.format == "npz" else 0
    ids, rows = [], model.tokenizer.encode(prompt, bos)
    sampler.accept(rows)
    while len(ids) < n:
        token = sampler.sample(sequence.eval(rows, "last")[0])
        if token == model.tokenizer.eos and not ignore_eos:
            break
        ids.append(token)
        rows = [token]
    return model.tokenizer.decode(ids), ids


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    """Says the words below behind a '?'."""
    return lambda *words: write_chain(tmp_path_factory.mktemp("chain") / "model", words)


# ---- text ----

@pytest.mark.parametrize("temp, seed", [(0, 0), (0.7, 1), (1.0, 42), (1.5, 2**63)])
def test_stdout_is_the_decoded_tokens_and_a_newline(run, lib, small_model, temp, seed):
    text, ids = reference(lib, small_model, PROMPT, 100, temp, seed)
    r = run("--model-path", small_model, "--temp", temp, "--seed", seed, "-m", 100)
    assert r.returncode == 0
    assert r.stdout == text + b"\n"
    assert len(ids) > 20


SAMPLING = [
    dict(top_k=3), dict(top_p=0.3), dict(min_p=0.4), dict(typical=0.3), dict(top_n_sigma=0.7),
    dict(xtc_probability=0.5, xtc_threshold=0.02),
    dict(repeat_penalty=3), dict(presence_penalty=1.5), dict(presence_penalty=-1.5, repeat_last_n=4), dict(frequency_penalty=2),
    dict(dry_multiplier=3, dry_base=3, dry_allowed_length=1), dict(dry_multiplier=3, dry_last_n=9, dry_allowed_length=0),
    dict(dynatemp_range=0.5), dict(dynatemp_range=0.5, dynatemp_exponent=3), dict(mirostat_tau=2), dict(mirostat_tau=2, mirostat_eta=0.9),
    dict(logit_bias=[(5, 4.0), (9, -math.inf), (11, 3.5)]), dict(samplers="temp,top_p", top_p=0.5, top_k=2),
]


@pytest.mark.parametrize("options", SAMPLING, ids=lambda o: "-".join(o))
def test_sampling_options_are_the_librarys(run, lib, small_model, options):
    """Each changes the text, and to that of the library, whose history has the prompt in it."""
    names = {"typical": "typical_p", "repeat_last_n": "penalty_last_n", "logit_bias": "bias", "samplers": "order"}
    text, ids = reference(lib, small_model, PROMPT, 60, 0.9, 3, **{names.get(k, k): v for k, v in options.items()})
    arguments = []
    for name, value in options.items():
        for v in value if isinstance(value, list) else [value]:
            arguments += ["--" + name.replace("_", "-"), "%d=%g" % v if isinstance(v, tuple) else v]
    r = run("--model-path", small_model, "--temp", 0.9, "--seed", 3, "-m", 60, *arguments)
    assert r.returncode == 0
    assert r.stdout == text + b"\n"
    assert ids != reference(lib, small_model, PROMPT, 60, 0.9, 3)[1]


def test_sampling_of_the_model(run, tmp_path):
    """With a temperature the model's files have their say, but for the temperature and what is given."""
    def suggest(out):
        for name, value in {"temp": 0.25, "top_p": 0.5, "penalty_repeat": 3.0}.items():
            out.add_float32("general.sampling." + name, value)

    shape = models.Shape(dim=64, layers=1, heads=2, kv_heads=1, hidden=64, vocab=400)
    weights = models.random_weights(shape)
    path, bare = (models.write_gguf(tmp_path / f"{name}.gguf", shape, weights, "F32", tokenizer="gpt2", more=more)
                  for name, more in (("says", suggest), ("bare", None)))

    def says(path, *options):
        r = run("--model-path", path, "-m", 60, "--ignore-eos", *options)
        assert r.returncode == 0, r.stderr
        return r.stdout, [line.split("suggest: ")[1] for line in r.stderr.decode().splitlines() if "suggest: " in line]

    drawn = ["--temp", 0.9, "--seed", 3]
    asked = [*drawn, "--top-p", 0.5, "--repeat-penalty", 3, "--repeat-last-n", 0]
    assert says(path, *drawn) == (says(bare, *asked)[0], ["top-p 0.5, repeat-penalty 3."])
    assert says(path, *drawn, "--top-p", 1, "--repeat-penalty", 1) == says(bare, *drawn)
    assert len({says(bare, *drawn)[0], says(path, *drawn)[0], says(path, *drawn, "--top-p", 1)[0]}) == 3
    assert says(path) == says(bare) and says(bare)[1] == []


def test_gguf_too(run, lib, small_gguf):
    text, _ = reference(lib, small_gguf, "hello", 60, ignore_eos=True)
    assert run("--model-path", small_gguf, "--prompt", "hello", "-m", 60, "--ignore-eos").stdout == text + b"\n"


def test_write_every_changes_no_byte(run, small_model):
    outputs = {run("--model-path", small_model, "--temp", 1, "--write-every", n).stdout for n in (1, 2, 7, 100, 1000)}
    assert len(outputs) == 1


def written_parts(cria, *arguments):
    """What each write to stdout carried: a socket that keeps them apart."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        p = subprocess.Popen([cria, *map(str, arguments)], stdout=theirs, stderr=subprocess.DEVNULL)
        theirs.close()
        parts = list(iter(lambda: ours.recv(65536), b""))
        assert p.wait() == 0
    return parts


def test_write_every_writes_that_often(cria, talker):
    model = talker(*[f"<{i}>" for i in range(12)])
    assert written_parts(cria, "--model-path", model, "--prompt", "?", "--write-every", 5) == [
        b"<0><1><2><3><4>", b"<5><6><7><8><9>", b"<10><11>\n"]
    assert written_parts(cria, "--model-path", model, "--prompt", "?", "-m", 2) == [b"<0>", b"<1>", b"\n"]


def test_never_half_a_character(cria, talker):
    parts = written_parts(cria, "--model-path", talker("so", *"🦙".encode(), "é", *"né".encode()), "--prompt", "?")
    assert [part.decode() for part in parts] == ["so", "🦙", "é", "n", "é", "\n"]


def test_an_incomplete_character_at_the_end_is_replaced(run, talker):
    assert run("--model-path", talker("so", *"🦙".encode()), "--prompt", "?", "-m", 3).stdout.decode() == "so\ufffd\ufffd\n"


def test_prompt_from_stdin(run, small_gguf):
    def text(prompt):
        return run("--model-path", small_gguf, "--prompt", "-", stdin=None, input=prompt).stdout

    want = run("--model-path", small_gguf, "--prompt", "Hello there").stdout
    assert text(b"Hello there") == text(b"Hello there\n") == text(b"Hello there\r\n") == want
    assert text(b"Hello there\n\n") == run("--model-path", small_gguf, "--prompt", "Hello there\n").stdout != want


def test_long_prompt_and_nul_bytes(run, small_model):
    r = run("--model-path", small_model, "--prompt", "-", "-m", 3, stdin=None, input=b"one\0two " * 400)
    assert r.returncode == 0, r.stderr


# ---- stderr ----

def test_stderr_is_laid_out_as_in_the_example(run, small_model):
    r = run("--model-path", small_model, "--prompt", "Two\nlines", "-m", 10)
    assert re.fullmatch(
        rf"\[INFO\] Loading model from {re.escape(str(small_model))}\.\n"
        r"\[INFO\] llama, \d+\.\d M parameters, 2 layers\.\n"
        r"\[INFO\] Loaded in \d+\.\d{3} s; \d+ threads?, \w+\.\n"
        r"------\nTwo\nlines\n------\n"
        r"\[INFO\] Prompt processing: \d+\.\d{3} s\n"
        r"\[INFO\] Full generation: \d+\.\d{3} s\n"
        r"\[INFO\] \d+ prompt tokens, \d+\.\d tokens/s; 10 generated, \d+\.\d tokens/s\n", r.stderr.decode())


def test_quiet_says_nothing(run, small_model):
    loud, quiet = (run("--model-path", small_model, "-m", 30, *q) for q in ([], ["--quiet"]))
    assert quiet.stderr == b"" and quiet.stdout == loud.stdout


# ---- ends ----

def test_stops_at_the_end_of_text_unless_told_not_to(run, talker):
    model = talker("all", " I", " say")
    r = run("--model-path", model, "--prompt", "?")
    assert (r.returncode, r.stdout) == (0, b"all I say\n")
    assert b"; 4 generated" in r.stderr  # with the end itself
    longer = run("--model-path", model, "--prompt", "?", "--ignore-eos", "-m", 9)
    assert longer.stdout.startswith(b"all I say") and b"; 9 generated" in longer.stderr


def test_max_tokens(run, talker):
    model = talker("all", " I", " say")
    assert run("--model-path", model, "--prompt", "?", "-m", 2).stdout == b"all I\n"
    assert run("--model-path", model, "--prompt", "?", "--max-tokens=1").stdout == b"all\n"


def test_full_context_ends_the_text(run, small_gguf):
    r = run("--model-path", small_gguf, "--ignore-eos", "-m", 100000)
    assert r.returncode == 0
    assert b"context" in r.stderr and b"512" in r.stderr and b"Full generation" in r.stderr
    assert r.stdout.endswith(b"\n")


def test_prompt_longer_than_the_context(run, small_gguf):
    r = run("--model-path", small_gguf, "--prompt", "q z " * 2000)
    assert (r.returncode, r.stdout) == (1, b"")
    assert b"512" in r.stderr.splitlines()[-1]


def start(cria, *arguments, **options):
    return subprocess.Popen([cria, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_interrupt_ends_the_text_cleanly(cria, small_model):
    p = start(cria, "--model-path", small_model, "--ignore-eos", "-m", 10**9)
    head = os.read(p.stdout.fileno(), 100)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=30)
    assert p.returncode == 0
    assert (head + out).endswith(b"\n")
    assert b"Interrupted" in err and b"Full generation" in err
    (head + out).decode()


def test_an_ignored_interrupt_stays_ignored(cria, small_model):
    """As in a background job of a script: Ctrl-C is for the program in front. It ended the text."""
    p = start(cria, "--model-path", small_model, "--ignore-eos", "-m", 2000,
              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    os.read(p.stdout.fileno(), 10)
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=60)
    assert p.returncode == 0 and b"2000 generated" in err and b"Interrupted" not in err


def test_interrupt_while_loading(cria, smollm2):
    """It may come too late, on a machine that has other things to do."""
    for _ in range(10):
        p = start(cria, "--model-path", smollm2, "-m", 100, bufsize=0)
        assert p.stderr.readline().startswith(b"[INFO] Loading model")
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
        if b"Loaded" not in err:
            break
    assert (p.returncode, out) == (1, b"")
    assert err.decode() == f"cria: Interrupted while loading '{smollm2}'.\n"


def test_interrupt_of_a_long_prompt_is_heard_soon(cria, smollm2):
    """The first part of a prompt had 256 tokens, which a large model on a slow machine takes minutes for."""
    p = start(cria, "--model-path", smollm2, "--isa", "scalar", "--threads", 1, "--prompt", "word " * 300)
    said = b""
    while b"word \n" not in said:
        said += os.read(p.stderr.fileno(), 65536)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=600)
    assert (p.returncode, out) == (0, b"\n") and b"Interrupted" in err
    assert int(re.search(rb"(\d+) of \d+ tokens", err)[1]) <= 64


def test_second_interrupt_kills(cria, small_model):
    """With nobody reading, the program hangs in a write when the first one comes."""
    p = start(cria, "--model-path", small_model, "--ignore-eos", "-m", 10**9)
    os.read(p.stdout.fileno(), 1)
    time.sleep(0.5)
    for _ in range(100):
        p.send_signal(signal.SIGINT)
        time.sleep(0.02)
        if p.poll() is not None:
            break
    p.stdout.close()
    assert p.wait(timeout=10) in (0, 1, -signal.SIGINT)
    p.stderr.close()


# ---- stop texts, several answers, JSON, lookup ----

@pytest.mark.parametrize("stops, text", [
    (["five"], "one two three four "), (["three f", "zzz"], "one two "), (["o th"], "one tw"), (["nowhere"], "one two three four five six"),
    (["six!"], "one two three four five six"), (["one"], ""), (["four", "two"], "one ")])
def test_stop(run, talker, stops, text):
    """Across the borders of tokens; what only looked like one is written."""
    model = talker("one", " two", " three", " four", " five", " six")
    options = [o for s in stops for o in ("--stop", s)]
    assert run("--model-path", model, "--prompt", "?", *options).stdout == text.encode() + b"\n"
    answer = json.loads(run("--model-path", model, "--prompt", "?", "--json", *options).stdout)["answers"][0]
    found = [s for s in stops if s in "one two three four five six"]
    assert answer["text"] == text and answer["finish"] == ("stop" if found else "eos") and answer.get("stop") in (*found, None)


def test_stop_is_not_empty(run, small_model):
    r = run("--model-path", small_model, "--stop", "")
    assert r.returncode == 2 and b"--stop" in r.stderr


@pytest.mark.parametrize("temp", [0, 0.9])
def test_several_answers_are_those_of_their_seeds(run, small_model, temp):
    alone = [run("--model-path", small_model, "--temp", temp, "--seed", seed, "-m", 70).stdout for seed in (5, 6, 7)]
    r = run("--model-path", small_model, "--temp", temp, "--seed", 5, "-m", 70, "-n", 3)
    assert r.stdout == b"".join(alone)
    together = json.loads(run("--model-path", small_model, "--temp", temp, "--seed", 5, "-m", 70, "-n", 3, "--json").stdout)
    assert [a["text"].encode() + b"\n" for a in together["answers"]] == alone
    assert [a["seed"] for a in together["answers"]] == [5, 6, 7]


def test_json_and_logprobs(run, lib, small_model):
    """The model's own probabilities, before the temperature."""
    text, ids = reference(lib, small_model, PROMPT, 30, 0.8, 3)
    r = run("--model-path", small_model, "--temp", 0.8, "--seed", 3, "-m", 30, "--json", "--logprobs", 4)
    said = json.loads(r.stdout)
    assert r.stdout.count(b"\n") == 1 and said["reused_tokens"] == 0
    answer = said["answers"][0]
    model = lib.open(small_model)
    prompt = model.tokenizer.encode(PROMPT, ENCODE_BOS)
    assert said["prompt_tokens"] == len(prompt)
    assert answer["text"].encode() == text
    assert [t["id"] for t in answer["tokens"]][:len(ids)] == ids and answer["finish"] == ("length" if len(ids) == 30 else "eos")
    logits = model.engine().sequence().eval(prompt + ids).astype("float64")[len(prompt) - 1:-1]
    logprobs = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True)) - logits.max(-1, keepdims=True)
    for i, (token, want) in enumerate(zip(answer["tokens"], logprobs)):
        assert token["text"].encode() == model.tokenizer.decode([ids[i]]).decode("utf-8", "replace").encode()
        assert token["logprob"] == pytest.approx(want[token["id"]], abs=1e-5)
        order = sorted(range(len(want)), key=lambda t: (-logits[i][t], t))[:4]
        assert [t["id"] for t in token["top"]] == order
        assert [t["logprob"] for t in token["top"]] == pytest.approx([want[t] for t in order], abs=1e-5)


def test_logprobs_are_for_json(run, small_model):
    r = run("--model-path", small_model, "--logprobs", 2)
    assert r.returncode == 2 and b"--json" in r.stderr


def test_json_of_a_full_disk(cria, small_model):
    with open("/dev/full", "w") as full:
        r = subprocess.run([cria, "--model-path", small_model, "--json"], stdout=full, stderr=subprocess.PIPE)
    assert r.returncode == 1 and b"cria: " in r.stderr


@pytest.mark.parametrize("temp", [0, 0.2, 0.8])
def test_lookup_changes_nothing_but_the_speed(run, small_model, temp):
    """A small random model soon repeats itself at a low temperature."""
    def text(lookup, *options):
        return run("--model-path", small_model, "--temp", temp, "--seed", 1, "-m", 400, "--ignore-eos", "--lookup", lookup,
                   "--prompt", "a b c a b c a b c a b", *options)
    plain = text(0)
    assert b"guesses" not in plain.stderr
    for lookup in (1, 5, 64):
        assert text(lookup).stdout == plain.stdout
    if temp == 0:
        assert b"guesses right" in text(12).stderr


@pytest.mark.parametrize("temp", [0, 0.8])
def test_draft_model_changes_nothing(run, small_model, tmp_path, temp):
    """One that is always right (the model itself), one that hardly ever is, and side by side."""
    shape = models.Shape()
    weights = models.cast(models.random_weights(shape, seed=99), "f32")
    other = models.write_folder(tmp_path / "other", shape.config(), weights, models.spm_model(shape.vocab))
    options = ("--model-path", small_model, "--temp", temp, "--seed", 3, "-m", 150, "--ignore-eos", "--lookup")
    plain = run(*options, 0)
    for draft in (small_model, other):
        for more in ((0,), (8, "--draft", 3)):
            r = run(*options, *more, "--draft-model", draft)
            assert (r.returncode, r.stdout) == (0, plain.stdout), r.stderr
    said = run(*options, 0, "--draft-model", small_model).stderr
    if temp == 0:
        right, of = map(int, re.search(rb"(\d+) of (\d+) guesses right", said).groups())
        assert right == of > 0
    assert run(*options, 0, "-n", 3, "--draft-model", small_model).stdout == run(*options, 0, "-n", 3).stdout


def test_draft_model_of_another_vocabulary(run, small_model, small_gguf, talker):
    for draft, word in ((talker("a", "b"), b"vocabulary"), ("/nowhere", b"no model at '/nowhere'")):
        r = run("--model-path", small_model, "--draft-model", draft)
        assert (r.returncode, r.stdout) == (1, b"") and word in r.stderr.splitlines()[-1], r.stderr


LONG_PROMPT = " ".join("abcdefgh"[i % 8] + "xyz"[i % 3] for i in range(150))


def test_prompt_cache(run, small_model, tmp_path, monkeypatch):
    """Made by the first, used by the second and by a prompt that begins alike; the texts are the same. What was in memory
    before must not be part of what a file is known by: it was."""
    monkeypatch.setenv("MALLOC_PERTURB_", "85")
    path = tmp_path / "prefix"
    options = ("--model-path", small_model, "--temp", 0.7, "--seed", 4, "-m", 20, "--json")
    def tokens(prompt, *more):
        r = run(*options, "--prompt", prompt, *more)
        assert r.returncode == 0, r.stderr
        said = json.loads(r.stdout)
        return said["answers"][0]["tokens"], said["reused_tokens"]
    plain, reused = tokens(LONG_PROMPT)
    assert reused == 0
    assert tokens(LONG_PROMPT, "--prompt-cache", path) == (plain, 0)
    assert path.stat().st_mode & 0o777 == 0o600 and os.listdir(tmp_path) == ["prefix"]
    made = path.read_bytes()
    monkeypatch.setenv("MALLOC_PERTURB_", "170")
    again, reused = tokens(LONG_PROMPT, "--prompt-cache", path)
    assert again == plain and reused >= 128 and reused % 64 == 0
    other = LONG_PROMPT + " and more"
    assert tokens(other, "--prompt-cache", path) == (tokens(other)[0], reused)
    assert tokens("zzz" + LONG_PROMPT, "--prompt-cache", path)[0] == tokens("zzz" + LONG_PROMPT)[0]
    assert tokens(LONG_PROMPT, "--prompt-cache", path, "-n", 2) == (plain, reused)
    assert path.read_bytes() == made


def test_prompt_cache_of_a_short_prompt_is_not_made(run, small_model, tmp_path):
    r = run("--model-path", small_model, "-m", 2, "--prompt-cache", tmp_path / "prefix")
    assert r.returncode == 0 and b"whole blocks of 64" in r.stderr and not os.listdir(tmp_path)


def test_prompt_cache_of_something_else(run, small_model, small_gguf, tmp_path):
    path = tmp_path / "prefix"
    options = ("--prompt", LONG_PROMPT, "-m", 2, "--prompt-cache", path)
    assert run("--model-path", small_model, *options).returncode == 0
    for other in (("--model-path", small_gguf), ("--model-path", small_model, "--kv", "f32"),
                  ("--model-path", small_model, "--kv", "f16"),
                  ("--model-path", small_model, "--kv", "int8"), ("--model-path", small_model, "--activations", "f32")):
        r = run(*other, *options)
        assert (r.returncode, r.stdout) == (1, b"") and b"another model" in r.stderr.splitlines()[-1], r.stderr
    good = path.read_bytes()
    step = max(1, len(good) // 64)
    broken = [good[:n] for n in [0, 7, 39, 40, *range(step, len(good), step)]] + [good + b"x"]
    for at in [0, 7, 8, 16, 17, 23, 24, 32, 40, 43, 44, 1000, 5000, len(good) - 1]:
        changed = bytearray(good)
        changed[at] ^= 0x41
        broken.append(bytes(changed))
    for data in broken:
        path.write_bytes(data)
        r = run("--model-path", small_model, *options)
        assert (r.returncode, r.stdout) == (1, b"") and r.stderr.splitlines()[-1].startswith(b"cria: '"), r.stderr
        assert path.read_bytes() == data
    path.unlink()
    path.mkdir()
    assert run("--model-path", small_model, *options).returncode == 1


def test_prompt_cache_that_cannot_be_written(run, small_model, tmp_path):
    r = run("--model-path", small_model, "--prompt", LONG_PROMPT, "-m", 2, "--prompt-cache", "/proc/nothing/prefix")
    assert r.returncode == 1 and r.stderr.splitlines()[-1].startswith(b"cria: ")


# ---- a stdout that fails ----

def test_reader_that_goes_away(cria, small_model):
    p = start(cria, "--model-path", small_model, "--ignore-eos", "-m", 10**9, "--quiet")
    os.read(p.stdout.fileno(), 10)
    p.stdout.close()
    assert p.wait(timeout=30) == 1
    assert p.stderr.read() == b""
    p.stderr.close()


def test_full_disk(cria, small_model):
    with open("/dev/full", "wb") as full:
        r = subprocess.run([cria, "--model-path", small_model, "--quiet"], stdout=full, stderr=subprocess.PIPE)
    assert r.returncode == 1
    assert r.stderr.startswith(b"cria: Cannot write to stdout") and r.stderr.count(b"\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(cria, small_model, closed):
    r = subprocess.run(["sh", "-c", f'"$0" --model-path "$1" -m 5 {closed}', cria, small_model], capture_output=True)
    assert r.returncode == (1 if ">&-" in closed.replace("2>&-", "") else 0)


# ---- few-shot ----

EXAMPLES = "\u3000\n[Instruction] Say A?\n[Answer] A\n\n[Instruction] {} {}?\n\u2003"


@pytest.fixture
def shots(tmp_path):
    path = tmp_path / "shots.txt"
    path.write_text(EXAMPLES)
    return path


def questions(run, model, shots, text, *more):
    return run("--model-path", model, "--few-shot", shots, *more, stdin=None, input=text)


def test_every_line_is_a_question(run, talker, shots):
    r = questions(run, talker("yes", "!"), shots, b"one\ntwo\r\n\nfour")
    assert (r.returncode, r.stdout) == (0, b"yes!\n" * 4)
    assert b"few-shot examples from" in r.stderr and b"Ask a question" not in r.stderr
    assert questions(run, talker("yes", "!"), shots, b"").stdout == b""
    assert questions(run, talker("yes", "!"), shots, b"one\n", "--quiet").stderr == b""


def test_the_question_is_put_in_once_and_the_file_stripped(run, lib, small_model, shots):
    """Equal to the prompt that Python makes, on a model that looks at all of it; and to asking it alone."""
    asked = ["What is {}?", "äöü", "What is {}? Again."]
    r = questions(run, small_model, shots, "\n".join(asked).encode(), "-m", 12, "--ignore-eos")
    want = b""
    for q in asked:
        text, _ = reference(lib, small_model, EXAMPLES.strip().replace("{}", q), 12, ignore_eos=True)
        want += text + b"\n"
    assert r.stdout == want


@pytest.mark.parametrize("words, text", [
    (["an answer\n", "[Instruction]", " next"], b"an answer\n"),
    (["an answer\n", "[", "Inst", "ruction", "]", " next"], b"an answer\n"),
    (["a ", "[Instruct", "ion] next"], b"a "),
    (["a [Instruction] b", " c"], b"a "),
    (["a", "[[Instruction]"], b"a["),
    (["a ", "[Inst", "[Instruction", "]", "c"], b"a [Inst"),
    (["a ", "[Instruct", "ed]", " b"], b"a [Instructed] b"),
    (["a ", "[Instruction"], b"a [Instruction"),
])
def test_stops_at_the_mark_and_never_shows_it(run, talker, shots, words, text):
    model = talker(*words)
    assert questions(run, model, shots, b"x\nx\n").stdout == (text + b"\n") * 2
    plain = run("--model-path", model, "--prompt", "?")
    assert plain.stdout == "".join(words).encode() + b"\n"  # a plain prompt knows no mark


def test_one_stream_of_random_numbers_for_all_questions(run, small_model, shots):
    both = questions(run, small_model, shots, b"a\na\n", "--temp", 1, "-m", 8, "--ignore-eos").stdout
    once = questions(run, small_model, shots, b"a\n", "--temp", 1, "-m", 8, "--ignore-eos").stdout
    later = questions(run, small_model, shots, b"a\n", "--temp", 1, "-m", 8, "--ignore-eos", "--skip-draws", 8).stdout
    assert once != later and both == once + later


# ---- a terminal ----

def in_terminal(cria, arguments, typed, term="xterm", columns=80):
    """Runs cria with a pseudo-terminal for all three descriptors; typed: (words to wait for, what is typed then)."""
    pid, fd = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (24, columns))
        os.environ["TERM"] = term
        os.execv(cria, [str(cria), *map(str, arguments)])
    seen, at = b"", 0
    try:
        for words, keys in typed + [(None, b"")]:
            while words is None or words not in seen[at:]:
                try:
                    part = os.read(fd, 4096)
                except OSError:
                    part = b""
                if not part:
                    break
                seen += part
            at += seen[at:].find(words) + len(words) if words else 0
            if keys:
                os.write(fd, keys)
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.replace(b"\r\n", b"\n").decode()


@pytest.mark.parametrize("term, columns, quiet", [("xterm", 30, []), ("dumb", 80, []), ("xterm", 80, ["--quiet"])])
def test_terminal_gets_a_bar_that_is_gone_in_the_end(cria, smollm2, term, columns, quiet):
    """In a prompt of two parts, the first of which takes longer than a moment."""
    arguments = ["--model-path", smollm2, "--isa", "scalar", "--threads", 1, "--prompt", "a" + " b" * 39, "-m", 1, *quiet]
    code, seen = in_terminal(cria, arguments, [], term, columns)
    assert code == 0
    bars = re.findall(r"\r(Prompt \[(#*)(\.*)\] +(\d+)%)", seen)
    if term == "dumb" or quiet:
        assert not bars and "\r" not in seen and "\033" not in seen
        return
    assert bars
    for bar, full, rest, percent in bars:
        assert len(bar) < columns and len(full + rest) == min(40, columns - len("Prompt [] 100%") - 2)
        assert abs(len(full) / len(full + rest) - int(percent) / 100) <= 1 / len(full + rest)
    last = seen.rindex(bars[-1][0]) + len(bars[-1][0])
    assert seen.startswith("\r\033[K", last) and "%" not in seen[last:]


def test_terminal_asks_until_end_of_input(cria, talker, shots):
    code, seen = in_terminal(cria, ["--model-path", talker("yes", "!"), "--few-shot", shots],
                             [(b"Ask a question: ", b"one\n"), (b"yes!\r\n", b"\x04")])
    assert code == 0
    assert seen.count("Ask a question: ") == 2 and "yes!\n" in seen


def test_terminal_interrupt_at_the_question_ends(cria, talker, shots):
    code, seen = in_terminal(cria, ["--model-path", talker("yes"), "--few-shot", shots], [(b"Ask a question: ", b"\x03")])
    assert code == 0 and seen.endswith("\n")


def test_terminal_interrupt_of_an_answer_asks_again(cria, talker, shots):
    arguments = ["--model-path", talker("here", " I", " go"), "--few-shot", shots, "-m", 10**9, "--ignore-eos"]
    code, seen = in_terminal(cria, arguments, [(b"Ask a question: ", b"one\n"), (b"here I go", b"\x03"),
                                               (b"Interrupted.", b""), (b"Ask a question: ", b"\x04")])
    assert code == 0 and seen.count("Ask a question: ") == 2
