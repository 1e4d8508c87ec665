# SPDX-License-Identifier: Apache-2.0
"""cria convert --calibrate: that every matrix of every family is quantized for the inputs that it has, that the files are
what mlx-lm's are but for their codes, and what it is worth on a real model."""
import functools
import re
from pydoc_data.topics import topics

import mlx.core as mx
import models
import numpy as np
import pytest
from families import Family

import compare


@functools.cache
def text(seed, words=1500):
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789"))
    return " ".join("".join(rng.choice(letters, rng.integers(1, 8))) for _ in range(words))


def uneven(family, seed=7):
    """A few inputs of every matrix become much larger than the others: so it matters which inputs it is quantized for."""
    rng = np.random.default_rng(seed)
    for name, w in family.weights.items():
        factors = np.exp(1.5 * rng.standard_normal(w.shape[-1 if "norm" in name or "embed" in name else -2])
                         if w.ndim > 1 or "norm" in name else np.zeros(1)).astype(np.float32)
        w = np.array(w)
        if re.search(r"(input_layernorm|feedforward_layernorm|model\.norm|embed_tokens|"
                     r"post_attention_layernorm)\.weight", name):
            w = w * factors
        elif re.search(r"(v_proj|up_proj|gate_up_proj)\.weight", name):
            w = w * factors[:, None]
        elif "qkv_proj" in name:
            values = family.config["num_key_value_heads"] * (w.shape[1] // family.config["num_attention_heads"])
            w[-values:] *= factors[-values:, None]
        family.weights[name] = mx.array(w)


MATRICES = [("llama", kind) for kind in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
                                         "lm_head")] + [
    ("qwen3", "embed_tokens"), ("qwen3", "o_proj"), ("phi3", "qkv_proj"), ("phi3", "gate_up_proj"), ("phi3", "down_proj"),
    ("mixtral", "gate_proj"), ("mixtral", "down_proj"), ("mixtral", "up_proj"), ("qwen3_moe", "gate_proj"), ("qwen3_moe", "down_proj"),
    ("qwen3_moe, some dense", "down_proj"), ("gemma3", "q_proj"), ("gemma3", "o_proj"), ("gemma3", "gate_proj"),
    ("gemma3", "down_proj"), ("gemma3", "embed_tokens"), ("olmo2", "q_proj"), ("olmo2", "up_proj"), ("granite", "down_proj"),
    ("smollm3", "v_proj")]


@pytest.mark.parametrize("name,kind", MATRICES)
def test_inputs(lib, run, tmp_path, name, kind):
    """One kind of matrices at 3 bits, the others as they are: with a calibration logits move much less."""
    family = Family(name)
    uneven(family)
    source = family.write_hf(tmp_path / "m")
    (tmp_path / "text").write_text(text(1))
    tokens = lib.open(source).tokenizer.encode(text(2))[:400]
    logits = {}
    for way, more in (("plain", []), ("calibrated", ["--calibrate", tmp_path / "text"])):
        done = run("convert", source, tmp_path / way, "-q", "--q-layers", f"*{kind}=3:32", "--q-layers", "*=none", *more)
        assert done.returncode == 0, done.stderr.decode()
        stored = mx.load(str(tmp_path / way / "model.safetensors"))
        assert any(n.endswith(f"{kind}.scales") for n in stored) and not any(
            n.endswith(".scales") and not n.endswith(f"{kind}.scales") for n in stored)
        logits[way] = lib.open(tmp_path / way, activations="f32").engine(kv="f32").sequence().eval(tokens)
    exact = lib.open(source, activations="f32").engine(kv="f32").sequence().eval(tokens)
    off = {way: np.square(logits[way] - exact).mean() for way in logits}
    # An embedding that is also the output has two kinds of inputs, and one of them is all tokens alike.
    limit = 0.95 if kind == "embed_tokens" else 0.4
    assert 0 < off["calibrated"] < limit * off["plain"], off


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_same_form(run, tmp_path, dtype):
    """Names, shapes, types and configuration are those without a calibration; the bytes are the same with any number of
    threads, any instruction set, and in shards."""
    source = Family("llama").write_hf(tmp_path / "m")
    (tmp_path / "text").write_text(text(1, 300))

    def convert(to, *more):
        done = run("convert", source, tmp_path / to, "-q", "--q-layers", "down_proj=6", "--dtype", dtype, *more)
        assert done.returncode == 0, done.stderr.decode()
        return mx.load(str(tmp_path / to / "model.safetensors"))
    plain, calibrated = convert("plain"), convert("calibrated", "--calibrate", tmp_path / "text")
    form = {name: (a.shape, a.dtype) for name, a in plain.items()}
    assert form == {name: (a.shape, a.dtype) for name, a in calibrated.items()}
    assert (tmp_path / "plain/config.json").read_bytes() == (tmp_path / "calibrated/config.json").read_bytes()
    for i, more in enumerate([["--threads", 1], ["--threads", 3]]):
        convert(f"again{i}", "--calibrate", tmp_path / "text", *more)
        assert ((tmp_path / f"again{i}/model.safetensors").read_bytes() ==
                (tmp_path / "calibrated/model.safetensors").read_bytes())


def test_npz(lib, run, tmp_path, small_model):
    """The example's files, with pairs of rotary rows; the last window is shorter than the others."""
    (tmp_path / "text").write_text(topics["naming"][:1500])
    tokens = lib.open(small_model).tokenizer.encode("This has made a lot of people very angry")
    exact = lib.open(small_model, activations="f32").engine(kv="f32").sequence().eval(tokens)
    off = {}
    for way, more in (("plain", []), ("calibrated", ["--calibrate", tmp_path / "text"])):
        done = run("convert", small_model, tmp_path / way, "--npz", "-q", "--q-group-size", 32, *more)
        assert done.returncode == 0, done.stderr.decode()
        logits = lib.open(tmp_path / way, activations="f32").engine(kv="f32").sequence().eval(tokens)
        off[way] = np.square(logits - exact).mean()
    assert off["calibrated"] < off["plain"]


def test_tied_output_in_npz(run, tmp_path):
    """An embedding that is the output, too, is written twice there: the same both times."""
    shape = models.Shape(dim=128)
    path = models.write_gguf(tmp_path / "m.gguf", shape, models.random_weights(shape), "F16", tied=True)
    (tmp_path / "text").write_text(text(1, 300))
    done = run("convert", path, tmp_path / "out", "--npz", "-q", "--calibrate", tmp_path / "text")
    assert done.returncode == 0, done.stderr.decode()
    stored = mx.load(str(tmp_path / "out/weights.npz"))
    for part in ("weight", "scales", "biases"):
        assert mx.array_equal(stored[f"tok_embeddings.{part}"], stored[f"output.{part}"]), part


@pytest.mark.parametrize("more,status,words", [
    ([], 2, b"--quantize is not given"), (["-q", "--q-mode", "mxfp4"], 2, b"for --q-mode affine"),
    (["-q"], 1, b"is empty")])
def test_refused(run, tmp_path, small_model, more, status, words):
    (tmp_path / "text").write_text("")
    done = run("convert", small_model, tmp_path / "out", "--calibrate", tmp_path / "text", *more)
    assert done.returncode == status and words in done.stderr and done.stderr.count(b"\n") == 1, done.stderr
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.part").exists()
    done = run("convert", small_model, tmp_path / "out", "-q", "--calibrate", tmp_path / "none")
    assert done.returncode == 1 and b"none" in done.stderr


def test_smollm2(lib, run, smollm2, tmp_path, tally):
    """What it is for: the mean divergence of 4 bits in groups of 64 becomes at most half, on another text, in as many
    bytes. (Usually it is a fifth or less: docs/quality.md.)"""
    other = ("naming", "exceptions", "types")
    known = "".join(topics[name] for name in sorted(topics) if name not in other and topics[name] not in topics["types"])
    (tmp_path / "text").write_text(known[:6144])
    tokens = lib.open(smollm2).tokenizer.encode(topics["naming"])[:512]
    exact = lib.open(smollm2, activations="f32").engine(kv="f32").sequence().eval(tokens)
    divergence, size = {}, {}
    for way, more in (("plain", []), ("calibrated", ["--calibrate", tmp_path / "text"])):
        done = run("convert", smollm2, tmp_path / way, "-q", *more, timeout=600)
        assert done.returncode == 0, done.stderr.decode()
        size[way] = sum(f.nbytes for f in mx.load(str(tmp_path / way / "model.safetensors")).values())
        logits = lib.open(tmp_path / way, activations="f32").engine(kv="f32").sequence().eval(tokens)
        divergence[way] = compare.mean_divergence(exact, logits)
    tally.append(f"SmolLM2 at 4 bits in groups of 64, mean KL: {divergence['plain']:.3f} rounded, "
                 f"{divergence['calibrated']:.3f} calibrated")
    assert size["plain"] == size["calibrated"] and divergence["calibrated"] <= divergence["plain"] / 2
