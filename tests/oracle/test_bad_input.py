# SPDX-License-Identifier: Apache-2.0
"""Broken files: exit code 1, one line on stderr that names the file, no crash, no leak, no large allocation.

The program under test is the one with the address and undefined-behaviour sanitizers (CRIA_ASAN_BUILD, build/asan).
A sanitizer's report ends it with a code of its own, and so does one allocation above LARGEST, which no file here
justifies (a deflated member may inflate a thousand times). Every case starts from a good model and breaks one thing.
"""
import dataclasses
import json
import os
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import conftest
import families
import mlx.core as mx
import models
import numpy as np
import pytest
from gguf_reader import Reader
from protowire import field

SHAPE = models.Shape(dim=64, heads=4, kv_heads=2, head_dim=16, hidden=96, vocab=400)
K_SHAPE = models.Shape(dim=256, heads=4, kv_heads=2, head_dim=64, hidden=256, vocab=400)  # for K types
SANITIZER = 99
LARGEST_MB = 16  # the good models are under 1 MB
CUTS = 64


@pytest.fixture(scope="session")
def asan():
    program = conftest.ROOT / os.environ.get("CRIA_ASAN_BUILD", "build/asan") / "cria"
    if not program.is_file():
        conftest.missing(f"{program} is not there; run: cmake --preset asan && cmake --build --preset asan")
    options = f"exitcode={SANITIZER}:max_allocation_size_mb={LARGEST_MB}:allocator_may_return_null=0:detect_leaks=1"
    environment = os.environ | {"ASAN_OPTIONS": options, "UBSAN_OPTIONS": f"exitcode={SANITIZER}:print_stacktrace=1",
                                "LSAN_OPTIONS": f"exitcode={SANITIZER}"}

    def call(path):
        return subprocess.run([program, "--model-path", path, "--prompt", "a", "-m", "1", "--quiet", "--threads", "1"],
                              env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    return call


def must_fail(asan, path):
    result = asan(path)
    stderr = result.stderr.decode()  # valid UTF-8, too, whatever the file holds
    assert result.returncode == 1, f"exit code {result.returncode}\n{stderr}"
    assert result.stdout == b""
    assert stderr.startswith("cria: ") and stderr.endswith("\n") and stderr.count("\n") == 1, stderr
    assert str(path) in stderr, stderr
    assert all(c.isprintable() for c in stderr[:-1]), stderr


def store(folder, kind):
    """The good MLX folder: plain float32, or quantized with float16 scales; as weights.npz, or " st": one
    model.safetensors, " st3": three shards with an index, " deflated", " zip64": such a .npz; " unigram": with that kind
    of tokenizer."""
    weights, config = models.random_weights(SHAPE), SHAPE.config()
    kind, _, how = kind.partition(" ")
    tokenizer = models.spm_model(SHAPE.vocab, "unigram" if how == "unigram" else "bpe")
    how = {"": {}, "st": {"writer": "safetensors"}, "st3": {"writer": "safetensors", "shards": 3}, "unigram": {},
           "deflated": {"writer": "mlx_compressed"}, "zip64": {"writer": "zip64"}}[how]
    if kind == "f32":
        weights = models.cast(weights, "f32")
    else:
        weights, config["quantization"] = models.quantize(weights, kind)
    return models.write_folder(folder, config, weights, tokenizer, **how)


def store_family(folder, how, name):
    family = families.Family(name)
    if how == "gguf":
        return family.write_gguf(folder / "m.gguf")
    if how == "hf4":
        tensors, _, quantization = family.quantized(group=64, other={"bits": 6, "group_size": 32})
        return family.write_hf(folder / "m", tensors, quantization=quantization)
    return family.write_hf(folder / "m", shards=3 if how == "hf3" else 1)


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """good(kind): a stored good model, not to be written to. kind: as store, a GGUF type with a tokenizer, or "hf",
    "hf3" (in shards), "hf4" (quantized, the down projections in another way) or "gguf" and the name of a family."""
    made = {}

    def get(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp("good")
            how, _, name = kind.partition(" ")
            if how in ("hf", "hf3", "hf4", "gguf"):
                made[kind] = store_family(folder, how, name)
            elif "/" in kind:
                gguf_type, tokenizer = kind.removesuffix(" aligned").split("/")
                shape = K_SHAPE if gguf_type == "K" else SHAPE
                made[kind] = models.write_gguf(folder / "m.gguf", shape, models.random_weights(shape), gguf_type,
                                               tokenizer, alignment=64 if kind.endswith(" aligned") else None)
            else:
                made[kind] = store(folder / "m", kind)
        return made[kind]
    return get


@pytest.mark.parametrize("kind", ["f32", "q4g64", "q3g32", "mxfp4", "nvfp4", "mxfp8", "f32 st", "q4g64 st", "f32 st3",
                                  "q4g64 deflated", "q4g64 zip64", "q4g64 unigram", "F32/llama", "Q4_1/gpt2",
                                  "Q8_0/llama", "Q4_1/gpt2 aligned", "K/gpt2", "hf llama 3.1", "hf3 llama", "hf4 llama",
                                  "hf gemma3", "hf qwen3_moe", "hf mixtral", "hf smollm3", "hf phi3, longrope",
                                  "hf granite", "gguf llama 3.1", "gguf mixtral", "gguf qwen3_moe", "gguf gemma2",
                                  "gguf phi3, longrope"])
def test_the_good_models_run(asan, good, kind):
    """Otherwise every case below would pass for the wrong reason."""
    result = asan(good(kind))
    assert (result.returncode, result.stderr) == (0, b"")


# ---- cut short ----

@pytest.mark.parametrize("cut", range(CUTS))
@pytest.mark.parametrize("kind,name", [("q4g64", "weights.npz"), ("q4g64", "config.json"), ("q4g64", "tokenizer.model"),
                                       ("q4g64 deflated", "weights.npz"), ("q4g64 zip64", "weights.npz"),
                                       ("q4g64 unigram", "tokenizer.model"),
                                       ("q4g64 st", "model.safetensors"), ("f32 st3", "model.safetensors.index.json"),
                                       ("f32 st3", "model-00002-of-00003.safetensors"),
                                       ("Q4_1/gpt2", "m.gguf"), ("Q8_0/llama", "m.gguf"),
                                       ("K/gpt2", "m.gguf")])
def test_truncated(asan, good, tmp_path, kind, name, cut):
    source = good(kind)
    if source.is_dir():
        path = shutil.copytree(source, tmp_path / "m")
        cut_file(path / name, cut)
    else:
        path = Path(shutil.copy(source, tmp_path / name))
        cut_file(path, cut)
    must_fail(asan, path)


def cut_file(path, cut):
    data = path.read_bytes()
    path.write_bytes(data[:len(data) * cut // CUTS])


# ---- folders ----

FOLDER = {}


def folder_case(kind="f32", name=None):
    """Registers a function(folder) that breaks a copy of the good folder of this kind."""
    def register(breaker):
        FOLDER[name or breaker.__name__] = kind, breaker
        return breaker
    return register


@folder_case()
def folder_empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


@folder_case()
def folder_not_there(folder):
    shutil.rmtree(folder)


@folder_case()
def folder_is_another_file(folder):
    shutil.rmtree(folder)
    folder.write_text("neither a folder nor a GGUF file")


@folder_case()
def folder_is_an_empty_file(folder):
    shutil.rmtree(folder)
    folder.touch()


for _name in ("weights.npz", "config.json", "tokenizer.model"):
    @folder_case(name=f"{_name} missing")
    def _(folder, name=_name):
        (folder / name).unlink()

    @folder_case(name=f"{_name} empty")
    def _(folder, name=_name):
        (folder / name).write_bytes(b"")

    @folder_case(name=f"{_name} a folder")
    def _(folder, name=_name):
        (folder / name).unlink()
        (folder / name).mkdir()

    @folder_case(name=f"{_name} noise")
    def _(folder, name=_name):
        (folder / name).write_bytes(np.random.default_rng(1).bytes(5000))

    @folder_case(name=f"{_name} zeros")
    def _(folder, name=_name):
        (folder / name).write_bytes(bytes(5000))


# ---- config.json ----

def config_case(name, change, kind="f32"):
    """change: a function of the configuration's dictionary, or the whole text as bytes."""
    @folder_case(kind, name=f"config: {name}")
    def _(folder):
        path = folder / "config.json"
        if isinstance(change, bytes):
            path.write_bytes(change)
            return
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))


for _field in ("dim", "n_layers", "n_heads", "norm_eps"):
    config_case(f"{_field} missing", lambda c, f=_field: c.pop(f))
for _field in ("dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "hidden_dim"):
    for _value in (0, -1, 1 << 24, 1 << 31, 1 << 62, -(1 << 63), 1e300, 2.5, "64", True, [64], {"a": 1}):
        config_case(f"{_field} {_value!r}", lambda c, f=_field, v=_value: c.update({f: v}))
for _value in (0, 1, SHAPE.vocab - 1, SHAPE.vocab + 1, 1 << 24, 1 << 31, 1 << 62, 2.5, "300", True, []):
    config_case(f"vocab_size {_value!r}", lambda c, v=_value: c.update({"vocab_size": v}))
for _value in (-1e-5, 1e300, float("nan"), float("inf"), "1e-5", True, []):
    config_case(f"norm_eps {_value!r}", lambda c, v=_value: c.update({"norm_eps": v}))
for _value in (0, -10000, 1e300, float("nan"), float("inf"), "10000", True, []):
    config_case(f"rope_theta {_value!r}", lambda c, v=_value: c.update({"rope_theta": v}))
for _value in (0, 1, "true", []):
    config_case(f"rope_traditional {_value!r}", lambda c, v=_value: c.update({"rope_traditional": v}))
config_case("model_type a number", lambda c: c.update({"model_type": 7}))
config_case("heads no multiple", lambda c: c.update({"n_kv_heads": 3}))
config_case("more key heads than heads", lambda c: c.update({"n_kv_heads": 8}))
config_case("head_dim odd", lambda c: c.update({"head_dim": 15}))
config_case("unknown field", lambda c: c.update({"rope_scaling": {"factor": 8}}))
config_case("no layers given", lambda c: c.update({"n_layers": 0}))
config_case("too many layers", lambda c: c.update({"n_layers": 3}))
config_case("too few layers", lambda c: c.update({"n_layers": 1}))
config_case("an array", b"[]")
config_case("a string", b'"dim"')
config_case("nothing", b"{}")
config_case("only spaces", b"   \n")
config_case("deep", b"[" * 100000)
config_case("deep and closed", b'{"a":' * 5000 + b"1" + b"}" * 5000)
config_case("not UTF-8", b'{"dim\xff": 64}')
config_case("control character", b'{"di\x00m": 64}')
config_case("text behind", json.dumps(SHAPE.config()).encode() + b" x")
config_case("duplicate key", json.dumps(SHAPE.config()).encode()[:-1] + b', "dim": 64}')
config_case("huge integer", json.dumps(SHAPE.config()).replace('"dim": 64', '"dim": ' + "9" * 400).encode())
config_case("huge exponent", json.dumps(SHAPE.config()).replace("1e-05", "1e999999999").encode())
config_case("long name", json.dumps(SHAPE.config() | {"x" * 100000: 1}).encode())
config_case("line break in a name", json.dumps(SHAPE.config() | {"a\nb\x1b[31m": 1}).encode())
config_case("larger than any", b" " * (3 << 20) + b"x")

for _field, _values in {"group_size": (32, 128, 0, -64, 48, 1 << 31, 1 << 62, "64", 64.5, []),
                        "bits": (3, 8, 0, -4, 1, 7, 16, 1 << 62, "4", 4.5, []),
                        "mode": ("affin", "mxfp4", "nvfp4", "mxfp8", "", "x" * 5000, 4, [])}.items():
    for _value in _values:
        config_case(f"{_field} {str(_value)[:12]!r}", lambda c, f=_field, v=_value: c["quantization"].update({f: v}),
                    "q4g64")
config_case("quantization absent", lambda c: c.pop("quantization"), "q4g64")
config_case("quantization an array", lambda c: c.update({"quantization": [64, 4]}), "q4g64")
config_case("quantization unknown field", lambda c: c["quantization"].update({"layers": 4}), "q4g64")
for _mode, _field, _value in (("mxfp4", "bits", 8), ("mxfp4", "group_size", 16), ("nvfp4", "group_size", 32),
                              ("mxfp8", "bits", 4), ("mxfp4", "mode", "nvfp4"), ("mxfp8", "mode", "affine")):
    config_case(f"{_mode} with {_field} {_value}", lambda c, f=_field, v=_value: c["quantization"].update({f: v}),
                _mode)


# ---- config.json of Hugging Face ----

def hf_cases(kind, cases):
    """cases: what config.json is updated with, ... for what is taken out of it; or functions of it."""
    for case in cases:
        def change(c, case=case):
            if callable(case):
                case(c)
                return
            c.update(case)
            for key in [k for k, v in case.items() if v is ...]:
                del c[key]
        name = case.__doc__ if callable(case) else str(case).replace("Ellipsis", "missing")[:100]
        config_case(f"{kind}: {name}", change, kind)


def inside(key, **changes):
    """Changes an object of config.json."""
    def change(c):
        for k, v in changes.items():
            c[key].pop(k) if v is ... else c[key].update({k: v})
    change.__doc__ = f"{key} {str(changes).replace('Ellipsis', 'missing')}"[:100]
    return change


def nested(depth):
    out = {}
    for _ in range(depth):
        out = {"text_config": out}
    return out


HUGE = (1 << 24, 1 << 62)
hf_cases("hf llama 3.1", [{f: v} for f in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
                          for v in (..., 0, -1, *HUGE, "64")])
hf_cases("hf llama 3.1", [{f: v} for f, vs in {
    "model_type": (..., None, 7, "", "mamba", "llama\x00", "x" * 5000, "evil\x1b[31m\n", ["llama"], "\U0001f999" * 40),
    "num_key_value_heads": (0, -1, 3, 1 << 62, "2"), "head_dim": (0, -2, 31, 64, 1 << 24, "32"),
    "vocab_size": (0, -1, 508, 510, *HUGE, "509"), "rms_norm_eps": (..., -1, 1e300, "1e-5"),
    "max_position_embeddings": (0, -1, 1 << 62, "512"), "rope_theta": (0, -1, 1e300, "1e4", []),
    "partial_rotary_factor": (0, -1, 2, 0.01, "1"), "tie_word_embeddings": (1, "true"), "attention_bias": (True, 1),
    "mlp_bias": (True, "no"), "hidden_act": (7, "relu", "silu\n"), "sliding_window": (0, -1, 1 << 62, "9"),
    "layer_types": ([], ["full_attention"] * 2, ["full_attention"] * 4, [0] * 3, {"a": 1}, "full_attention",
                    ["full_attention", "linear_attention", "full_attention"]),
    "sliding_window_pattern": (0, -1, "6"), "max_window_layers": (-1, "1"), "use_sliding_window": (1,),
    "num_local_experts": (8, 1 << 62, -1), "no_rope_layers": ([1, 1, 0],), "query_pre_attn_scalar": (64,),
    "final_logit_softcapping": (30.0,), "logits_scaling": (2.0,), "something_new": (1, [], {}),
    "text_config": ({}, [], 7, "x", {"model_type": "llama"}, nested(30), nested(60)),
    "rope_scaling": ([], 7, "linear", {"type": "linear"}, {"type": "cubic", "factor": 2}, {"type": 7}, {"type": "linear", "factor": None},
                     {"type": "dynamic", "factor": "2"}, {"type": "longrope"}, {"type": "yarn", "factor": 0.1},
                     {"type": "yarn", "factor": 4, "beta_fast": 1, "beta_slow": 32},
                     {"type": "longrope", "short_factor": [1] * (1 << 20), "long_factor": [1] * 16}),
    "rope_parameters": ({"full_attention": None}, {"full_attention": {}, "x": {}},
                        {"sliding_attention": {"rope_type": "cubic", "factor": 2}})}.items() for v in vs])
hf_cases("hf llama 3.1", [inside("rope_scaling", **{f: v}) for f in ("factor", "low_freq_factor", "high_freq_factor",
                                                                     "original_max_position_embeddings")
                          for v in (-1, "8")])
hf_cases("hf llama 3.1", [inside("rope_scaling", factor=...), inside("rope_scaling", rope_type="llama4"),
                          inside("rope_scaling", alpha=1), inside("rope_scaling", low_freq_factor=4.0)])
hf_cases("hf phi3, longrope", [inside("rope_scaling", short_factor=v) for v in (..., [1.0] * 15, {"a": 1})])
hf_cases("hf phi3, longrope", [inside("rope_scaling", long_factor=v) for v in (
    ..., [], [1.0] * 17, [0.0] * 16, [1e300] * 16, [1e-30] * 16, ["1"] * 16, [None] * 16, {str(i): 1 for i in range(16)}, "1" * 16)])
hf_cases("hf gemma3", [{"sliding_window_pattern": 0}, {"query_pre_attn_scalar": 0}, {"rope_local_base_freq": 0},
                       {"rope_local_base_freq": "1e4"}, {"hidden_activation": "silu"}, {"final_logit_softcapping": -1},
                       {"use_bidirectional_attention": True}])
hf_cases("hf granite", [{f: v} for f in ("embedding_multiplier", "attention_multiplier", "logits_scaling")
                        for v in (0, "2")])
hf_cases("hf smollm3", [{"no_rope_layers": v} for v in ([], [1] * 4, [1] * 6, ["1"] * 5, {"a": 1}, "10101")])
hf_cases("hf smollm3", [{"no_rope_layer_interval": 0}])
hf_cases("hf mixtral", [{"num_local_experts": v} for v in (..., None, 0, -1, 3, 5, 1024, 1025, 1 << 62, "4", [4])])
hf_cases("hf mixtral", [{"num_experts_per_tok": v} for v in (..., None, 0, -1, 5, 64, 65, 1 << 62, "2")])
hf_cases("hf mixtral", [{"num_local_experts": 1024, "num_hidden_layers": 1024}, {"model_type": "mistral"},
                        {"model_type": "qwen3_moe"}])
hf_cases("hf qwen3_moe", [{f: v} for f, vs in {"moe_intermediate_size": (0, 1, 128, 1 << 24, "96"),
                                               "decoder_sparse_step": (0, 2, -1, 1 << 62), "norm_topk_prob": (1, "yes"),
                                               "mlp_only_layers": ([1], ["1"], [None], {"a": 1}, "1", 1)}.items() for v in vs])
Q = "model.layers.0.self_attn.q_proj"
hf_cases("hf4 llama", [{"quantization": v, "quantization_config": v} for v in (
    ..., None, [], 7, {}, {"bits": 4}, {"group_size": 64, "bits": 4}, {"group_size": 64, "bits": 4, "mode": "x"},
    {"quant_method": "gptq", "bits": 4}, {"group_size": 1 << 62, "bits": 4})])
hf_cases("hf4 llama", [inside("quantization", **{k: v}) for k, v in (
    (Q, {"group_size": 64, "bits": 8}), (Q, {"group_size": 32, "bits": 4}), (Q, {"group_size": 1 << 24, "bits": 1 << 24}),
    (Q, {"group_size": 0, "bits": 4}), (Q, {"mode": "mxfp9"}), (Q, False), (Q, None), (Q, 4), (Q, []), ("model.norm", True),
    ("model.norm", {"group_size": 64, "bits": 4}), ("nothing", False), ("x" * 5000, {}), ("evil\x1b[31m", True))])
for _i in range(1, 4):
    @folder_case("hf3 llama", name=f"hf3 llama: shard {_i} missing")
    def _(folder, i=_i):
        (folder / f"model-{i:05d}-of-00003.safetensors").unlink()


# ---- tensors ----

def read_npz(folder):
    """The arrays, read now: MLX's are lazy, and the file is about to be overwritten."""
    weights = dict(mx.load(str(folder / "weights.npz")))
    mx.eval(weights)
    return weights


def tensor_case(name, change, kind="f32"):
    """change: a function of the dictionary of mlx arrays."""
    @folder_case(kind, name=f"tensors: {name}")
    def _(folder):
        weights = read_npz(folder)
        change(weights)
        models.write_npz_odd(folder / "weights.npz", weights)


def replace(name, new):
    def change(weights):
        weights[name] = new(weights[name])
    return change


def poke(name, index, value):
    """Sets one element (of a float tensor)."""
    def new(a):
        b = np.array(a)
        b.reshape(-1)[index] = value
        return mx.array(b)
    return replace(name, new)


NAMES = [n for n in models.random_weights(SHAPE) if not n.startswith("layers.1")]
for _n in NAMES:
    tensor_case(f"{_n} missing", lambda w, n=_n: w.pop(n))
    tensor_case(f"{_n} one row short", replace(_n, lambda a: a[:-1]))
    tensor_case(f"{_n} empty", replace(_n, lambda a: a[:0]))
    tensor_case(f"{_n} one dimension more", replace(_n, lambda a: a[None]))
    tensor_case(f"{_n} int32", replace(_n, lambda a: a.astype(mx.int32)))
    tensor_case(f"{_n} uint32", replace(_n, lambda a: a.view(mx.uint32)))
    tensor_case(f"{_n} uint8", replace(_n, lambda a: mx.zeros(a.shape, mx.uint8)))
    for _value in (np.nan, np.inf, -np.inf):
        tensor_case(f"{_n} {_value}", poke(_n, -1, _value))
tensor_case("a scalar", replace("norm.weight", lambda a: a[0]))
tensor_case("flat matrix", replace("output.weight", lambda a: a.reshape(-1)))
tensor_case("transposed", replace("layers.0.feed_forward.w1.weight", lambda a: mx.contiguous(a.T)))
tensor_case("extra tensor", lambda w: w.update({"layers.0.attention.bias": mx.zeros((64,))}))
tensor_case("extra layer", lambda w: w.update({"layers.7.attention_norm.weight": mx.ones((64,))}))
tensor_case("strange name", lambda w: w.update({"evil\x1b[31m\n": mx.ones((64,))}))
tensor_case("none", lambda w: w.clear())
tensor_case("names of another library",
            lambda w: w.update({"model.embed_tokens.weight": w.pop("tok_embeddings.weight")}))
tensor_case("scales of a float matrix", lambda w: w.update({"output.scales": mx.ones((SHAPE.vocab, 1))}))

W = "layers.0.attention.wq."
for _kind in ("q4g64", "q3g32", "q8g32", "mxfp4", "nvfp4", "mxfp8"):
    tensor_case(f"{_kind} scales missing", lambda w: w.pop(W + "scales"), _kind)
    tensor_case(f"{_kind} weight missing", lambda w: w.pop(W + "weight"), _kind)
    tensor_case(f"{_kind} scales one row short", replace(W + "scales", lambda a: a[:-1]), _kind)
    tensor_case(f"{_kind} scales flat", replace(W + "scales", lambda a: a.reshape(-1)), _kind)
    tensor_case(f"{_kind} weight one word short", replace(W + "weight", lambda a: a[:, :-1]), _kind)
    tensor_case(f"{_kind} weight as bytes", replace(W + "weight", lambda a: a.view(mx.uint8)), _kind)
    tensor_case(f"{_kind} weight as floats", replace(W + "weight", lambda a: a.view(mx.float32)), _kind)
    tensor_case(f"{_kind} scales as words", replace(W + "scales", lambda a: mx.zeros(a.shape, mx.uint32)), _kind)
    if _kind.startswith("q"):
        tensor_case(f"{_kind} biases missing", lambda w: w.pop(W + "biases"), _kind)
        tensor_case(f"{_kind} biases of another type", replace(W + "biases", lambda a: a.astype(mx.float32)), _kind)
        tensor_case(f"{_kind} scales as bytes", replace(W + "scales", lambda a: mx.zeros(a.shape, mx.uint8)), _kind)
        for _part in ("scales", "biases"):
            for _value in (np.nan, np.inf):
                tensor_case(f"{_kind} {_part} {_value}", poke(W + _part, 3, _value), _kind)
    else:
        tensor_case(f"{_kind} scales as floats", replace(W + "scales", lambda a: mx.zeros(a.shape)), _kind)
        tensor_case(f"{_kind} with biases", lambda w: w.update({W + "biases": w[W + "scales"]}), _kind)
tensor_case("mxfp4 scale NaN", poke(W + "scales", 5, 255), "mxfp4")
tensor_case("mxfp8 scale NaN", poke(W + "scales", 5, 255), "mxfp8")
tensor_case("nvfp4 scale NaN", poke(W + "scales", 5, 127), "nvfp4")
tensor_case("mxfp8 weight NaN", replace(W + "weight", lambda a: mx.full(a.shape, 0x7F7F7F7F, mx.uint32)), "mxfp8")


# ---- the .npz itself ----

def bytes_case(name, change, file="weights.npz", kind="f32"):
    """change: a function of the file's bytes (a bytearray), in place or returning new ones."""
    @folder_case(kind, name=f"{file}: {name}")
    def _(folder):
        data = bytearray((folder / file).read_bytes())
        (folder / file).write_bytes(change(data) or data)


def patch(where, fmt, value):
    """where(data): offset. Little-endian."""
    def change(data):
        struct.pack_into("<" + fmt, data, where(data), value)
    return change


def end_record(data):
    return data.rindex(b"PK\x05\x06")


def central(data, i=0):
    at = struct.unpack_from("<I", data, end_record(data) + 16)[0]
    for _ in range(i):
        at += 46 + sum(struct.unpack_from("<HHH", data, at + 28))
    return at


for _what, _offset, _fmt, _values in (
        ("end record entries", 10, "H", (0, 1, 65535)), ("end record size", 12, "I", (0, 1, 0xFFFFFFFE)),
        ("end record offset", 16, "I", (0, 1, 0xFFFFFFFE))):
    for _value in _values:
        bytes_case(f"{_what} {_value}", patch(lambda d, o=_offset: end_record(d) + o, _fmt, _value))
for _what, _offset, _fmt, _values in (
        ("signature", 0, "I", (0,)), ("encrypted", 8, "H", (1,)), ("method", 10, "H", (1, 12, 99)),
        ("compressed size", 20, "I", (0, 1, 0x7FFFFFFF, 0xFFFFFFFF)), ("size", 24, "I", (0, 1, 0x7FFFFFFF, 0xFFFFFFFF)),
        ("name length", 28, "H", (0, 65535)), ("extra length", 30, "H", (1, 65535)),
        ("comment length", 32, "H", (1, 65535)),
        ("local offset", 42, "I", (1, 0x7FFFFFFF, 0xFFFFFFFF))):
    for _value in _values:
        bytes_case(f"entry {_what} {_value:#x}", patch(lambda d, o=_offset: central(d, 2) + o, _fmt, _value))


@folder_case()
def npz_duplicate_members(folder):
    with zipfile.ZipFile(folder / "weights.npz", "a") as z:
        z.writestr("norm.weight.npy", models.npy_bytes(mx.ones((64,))))


@folder_case()
def npz_two_shards_with_the_same_tensor(folder):
    (folder / "weights.npz").rename(folder / "weights.00.npz")
    models.write_npz_mlx(folder / "weights.01.npz", {"norm.weight": mx.ones((64,))})


@folder_case()
def npz_shard_missing(folder):
    weights = read_npz(folder)
    names = list(weights)
    models.write_npz_mlx(folder / "weights.00.npz", {k: weights[k] for k in names[::2]})
    (folder / "weights.npz").unlink()


@folder_case()
def npz_member_is_no_array(folder):
    with zipfile.ZipFile(folder / "weights.npz", "a") as z:
        z.writestr("readme.txt", b"hello")


@folder_case()
def npz_deflated_zeros(folder):
    """Ten kilobytes that honestly inflate to ten megabytes, of nothing."""
    with zipfile.ZipFile(folder / "weights.npz", "a", zipfile.ZIP_DEFLATED) as z:
        z.writestr("zeros.npy", bytes(10 << 20))


@folder_case()
def npz_deflated_size_lies(folder):
    weights = read_npz(folder)
    models.write_npz_mlx_compressed(folder / "weights.npz", weights)
    data = bytearray((folder / "weights.npz").read_bytes())
    struct.pack_into("<I", data, central(data, 2) + 24, 0x70000000)
    (folder / "weights.npz").write_bytes(data)


@folder_case()
def npz_deflated_noise(folder):
    weights = read_npz(folder)
    models.write_npz_mlx_compressed(folder / "weights.npz", weights)
    data = bytearray((folder / "weights.npz").read_bytes())
    data[200:1200] = np.random.default_rng(2).bytes(1000)
    (folder / "weights.npz").write_bytes(data)


@folder_case()
def npz_columns_first(folder):
    """A transposed array as mx.savez writes it. Refused, with a sentence on what to do."""
    weights = read_npz(folder)
    weights["output.weight"] = mx.contiguous(weights["output.weight"].T).T
    models.write_npz_mlx(folder / "weights.npz", weights)
    assert b"'fortran_order': True, 'shape': (400, 64" in (folder / "weights.npz").read_bytes()


def npy_case(name, header, data=None):
    """Replaces norm.weight's .npy header (bytes) and data."""
    @folder_case(name=f"npy: {name}")
    def _(folder):
        weights = read_npz(folder)
        raw = np.array(weights.pop("norm.weight")).tobytes() if data is None else data
        models.write_npz_odd(folder / "weights.npz", weights)
        with zipfile.ZipFile(folder / "weights.npz", "a") as z:
            z.writestr("norm.weight.npy", header + raw)


def npy_header(text, version=b"\x01\x00", length=None, magic=b"\x93NUMPY"):
    text = text.encode() + b"\n"
    return magic + version + struct.pack("<H", len(text) if length is None else length) + text


def npy_dict(shape, descr="<f4", fortran="False"):
    return npy_header(f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}")


for _shape in ("(65,)", "(63,)", "(-64,)", "(18446744073709551616,)", "(9223372036854775808, 2)",
               "(4294967296, 4294967296)", "(4294967296, 4294967296, 0)", "(0,)", "()", "(64", "64", "(6 4,)", "(64,,)",
               "('64',)",
               "(64.0,)", "(1, 1, 1, 1, 1, 64)", "(" + "1, " * 1000 + "64)"):
    npy_case(f"shape {_shape[:30]}", npy_dict(_shape))
for _descr in ("<f8", "<i4", "<i8", ">f4", "|O", "<c8", "<U16", "f4", "<f4<f4", "", "<V4", "|b1"):
    npy_case(f"descr {_descr}", npy_dict("(64,)", _descr))
npy_case("descr a list", npy_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (64,), }"))
npy_case("fortran_order 0", npy_dict("(64,)", fortran="0"))
npy_case("key missing", npy_header("{'descr': '<f4', 'shape': (64,), }"))
npy_case("key twice", npy_header("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (64,), }"))
npy_case("key unknown", npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (64,), 'x': 1}"))
npy_case("code", npy_header("__import__('os').system('true')"))
npy_case("no dictionary", npy_header(""))
npy_case("not closed", npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (64,), "))
npy_case("magic", npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (64,), }", magic=b"\x93NUMPX"))
npy_case("version 9", npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (64,), }", b"\x09\x00"))
npy_case("header longer than the file", npy_header("{}", length=65535))
npy_case("header of 4 GB", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}")
npy_case("only the magic", b"\x93NUMPY", b"")
npy_case("nothing", b"", b"")
npy_case("data one byte short", npy_dict("(64,)"), bytes(255))
npy_case("data one byte long", npy_dict("(64,)"), bytes(257))


# ---- safetensors ----

def header_case(name, change, kind="f32 st", file="model.safetensors"):
    """change: a function of the header's dictionary; the tensors' bytes stay as they are."""
    @folder_case(kind, name=f"safetensors: {name}")
    def _(folder):
        data = (folder / file).read_bytes()
        end = 8 + struct.unpack_from("<Q", data)[0]
        header = json.loads(data[8:end])
        change(header)
        text = json.dumps(header).encode()
        (folder / file).write_bytes(struct.pack("<Q", len(text)) + text + data[end:])


def header_text_case(name, text):
    """text: the whole header, in front of the bytes of the good file's tensors."""
    @folder_case("f32 st", name=f"safetensors: {name}")
    def _(folder):
        path = folder / "model.safetensors"
        data = path.read_bytes()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + struct.unpack_from("<Q", data)[0]:])


def move(name, part, value):
    """Puts a value into the description of a tensor; a function gets the old one."""
    def change(header):
        header[name][part] = value(header[name][part]) if callable(value) else value
    return change


N = "layers.0.attention.wq.weight"  # 64 × 64
for _value in (0, 1, 7, 9, 1 << 20, 100000000, 100000001, 1 << 32, 1 << 62, (1 << 63), (1 << 64) - 8, (1 << 64) - 1):
    bytes_case(f"header of {_value} bytes", patch(lambda d: 0, "Q", _value), "model.safetensors", "f32 st")
for _value in ("F64", "F16", "BF16", "I32", "U32", "U8", "F8_E4M3", "F4", "Q4_0", "float32", "", 32, None, ["F32"]):
    header_case(f"dtype {_value!r}", move(N, "dtype", _value))
for _value in ([64], [63, 64], [64, 65], [4096], [64, 64, 1], [1, 1, 1, 64, 64], [-64, -64], [64.0, 64], ["64", "64"],
               [1 << 62, 64], [1 << 63, 2], [1 << 32, 1 << 32], [1 << 32, 1 << 32, 0], [0, 64], [], 4096, "64", None, {},
               [1] * 1000 + [64, 64]):
    header_case(f"shape {str(_value)[:40]}", move(N, "shape", _value))
for _what, _value in {"one later": lambda o: [o[0] + 1, o[1] + 1], "one earlier": lambda o: [o[0] - 1, o[1] - 1],
                      "one longer": lambda o: [o[0], o[1] + 1], "one shorter": lambda o: [o[0], o[1] - 1],
                      "turned round": lambda o: o[::-1], "empty": lambda o: [o[0], o[0]], "at 0": lambda o: [0, o[1] - o[0]],
                      "far away": [1 << 62, (1 << 62) + 16384], "negative": [-16384, 0], "reals": [0.0, 16384.0],
                      "exponent": [1e3, 2e3], "strings": ["0", "16384"], "three": [0, 1, 2], "one": [0], "none": [],
                      "no array": 5, "null": None}.items():
    header_case(f"place {_what}", move(N, "data_offsets", _value))
for _part in ("dtype", "shape", "data_offsets"):
    header_case(f"{_part} missing", lambda h, p=_part: h[N].pop(p))
header_case("a field more", lambda h: h[N].update({"scale": 2}))
header_case("a tensor without bytes", lambda h: h.update(
    {"extra.weight": {"dtype": "F32", "shape": [0], "data_offsets": [5, 5]}}))
header_case("an int64 buffer that is of no use", lambda h: h.update(
    {"position_ids": {"dtype": "I64", "shape": [0], "data_offsets": [0, 0]}}))
header_case("a tensor missing", lambda h: h.pop(N))
header_case("two tensors in one place", lambda h: h.update({"again": h[N]}))
header_case("an empty name", lambda h: h.update({"": h.pop(N)}))
header_case("a strange name", lambda h: h.update({"evil\x1b[31m\n": h.pop(N)}))
header_case("a tensor that is a number", lambda h: h.update({N: 5}))
header_case("metadata a number", lambda h: h.update({"__metadata__": 5}))
header_case("metadata of numbers", lambda h: h.update({"__metadata__": {"format": 5}}))
header_case("nothing", dict.clear)
header_text_case("header not closed", b'{"a":{"dtype":"F32"')
header_text_case("header an array", b"[]")
header_text_case("header of spaces", b" " * 64)
header_text_case("header deep", b'{"a":' + b"[" * 100000)
header_text_case("header not UTF-8", b'{"\xff":1}')
header_text_case("header with a NUL", b'{"a\\u0000":1}')
header_text_case("header with a key twice", b'{"__metadata__":{},"__metadata__":{}}')
header_text_case("header of many values", b"{" + b'"a":' + b"[" + b"0," * (5 << 20) + b"0]}")
bytes_case("a byte behind", lambda d: d + b"x", "model.safetensors", "f32 st")
bytes_case("a byte short", lambda d: d[:-1], "model.safetensors", "f32 st")
bytes_case("a byte short", lambda d: d[:-1], "model-00002-of-00003.safetensors", "f32 st3")
for _value in (np.nan, np.inf):
    bytes_case(f"ends with {_value}", patch(lambda d: len(d) - 4, "f", _value), "model.safetensors", "f32 st")


def index_case(name, change):
    """change: a function of the index's dictionary, or its whole text."""
    @folder_case("f32 st3", name=f"index: {name}")
    def _(folder):
        path = folder / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        if isinstance(change, bytes):
            path.write_bytes(change)
            return
        change(index)
        path.write_text(json.dumps(index))


for _value in ("../model.safetensors", "/etc/passwd", "/etc/model.safetensors", "..", ".", "", "config.json", "a/b.safetensors",
               "model-00001-of-00003.safetensors/", "C:\\model.safetensors", "model-00009-of-00003.safetensors", "a\n.safetensors",
               "x" * 300 + ".safetensors", 7, None, [], {}, "model-00002-of-00003.safetensors"):
    index_case(f"file {str(_value)[:40]!r}", lambda i, v=_value: i["weight_map"].update({"tok_embeddings.weight": v}))
index_case("a tensor that is not there", lambda i: i["weight_map"].update({"x": "model-00001-of-00003.safetensors"}))
index_case("no map", lambda i: i.pop("weight_map"))
index_case("an empty map", lambda i: i["weight_map"].clear())
index_case("map an array", lambda i: i.update({"weight_map": list(i["weight_map"])}))
index_case("one shard of three", lambda i: i.update({"weight_map": {"norm.weight": i["weight_map"]["norm.weight"]}}))
index_case("empty", b"")
index_case("no JSON", b"model-00001-of-00003.safetensors")
index_case("deep", b"[" * 100000)
for _i in range(1, 4):
    @folder_case("f32 st3", name=f"safetensors: shard {_i} missing")
    def _(folder, i=_i):
        (folder / f"model-{i:05d}-of-00003.safetensors").unlink()

    @folder_case("f32 st3", name=f"safetensors: shard {_i} missing, no index")
    def _(folder, i=_i):
        (folder / "model.safetensors.index.json").unlink()
        (folder / f"model-{i:05d}-of-00003.safetensors").unlink()

    @folder_case("f32 st3", name=f"safetensors: shard {_i} is another one")
    def _(folder, i=_i):
        shutil.copy(folder / f"model-{i % 3 + 1:05d}-of-00003.safetensors", folder / f"model-{i:05d}-of-00003.safetensors")


@folder_case("f32 st3")
def safetensors_shards_of_two_countings(folder):
    (folder / "model.safetensors.index.json").unlink()
    shutil.copy(folder / "model-00001-of-00003.safetensors", folder / "model-00001-of-00002.safetensors")


@folder_case("f32 st3")
def safetensors_an_npz_among_the_shards(folder):
    models.write_npz_mlx(folder / "a.npz", {"norm.weight": mx.ones((64,))})
    (folder / "a.npz").rename(folder / "model-00002-of-00003.safetensors")


# ---- tokenizers ----

def tokenizer_case(name, data, kind="f32"):
    """data: bytes, or a function that makes them."""
    @folder_case(kind, name=f"tokenizer: {name}")
    def _(folder):
        (folder / "tokenizer.model").write_bytes(data() if callable(data) else data)


tokenizer_case("one piece fewer", lambda: models.spm_model(SHAPE.vocab - 1))
tokenizer_case("one piece more", lambda: models.spm_model(SHAPE.vocab + 1))
tokenizer_case("of a large model", lambda: models.spm_model_dummy(32000))
tokenizer_case("no pieces", models.spm_model_of_pieces([]))
tokenizer_case("no unknown piece", models.spm_model_of_pieces([(f"p{i}", 0.0, 1) for i in range(SHAPE.vocab)]))
tokenizer_case("piece of 2 GB", b"\x0a\xff\xff\xff\xff\x07")
tokenizer_case("piece of 2^63 bytes", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
tokenizer_case("endless number", b"\x0a" + b"\xff" * 40)
tokenizer_case("groups", b"\x0b" * 100000)
tokenizer_case("a GGUF file", b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
# Character maps, which are looked at after the pieces, where the file's name was once forgotten.
CHARSMAPS = {"short": b"\0\4", "wild": struct.pack("<I", 1024) + b"\xff" * 1024 + b"\0",
             "not ended": struct.pack("<I", 1024) + bytes(1024) + b"x"}
for _name, _map in CHARSMAPS.items():
    tokenizer_case(f"character map {_name}", lambda m=_map: models.spm_model(SHAPE.vocab) + field(3, field(2, m)))
    tokenizer_case(f"character map {_name} for decoding",
                   lambda m=_map: models.spm_model(SHAPE.vocab) + field(5, field(2, m)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", FOLDER)
def test_folder(asan, good, tmp_path, name):
    kind, breaker = FOLDER[name]
    folder = shutil.copytree(good(kind), tmp_path / "m")
    breaker(folder)
    must_fail(asan, folder)


# ---- GGUF ----

GGUF = {}


def gguf_case(name, change, kind="Q4_1/gpt2"):
    GGUF[name] = kind, change


def key_at(data, key):
    """Offset of a metadata key's text."""
    return data.index(struct.pack("<Q", len(key)) + key.encode()) + 8


def value_at(data, key):
    """Offset of its type, 4 bytes, and behind it the value."""
    return key_at(data, key) + len(key)


def set_value(key, gguf_type, fmt, *values):
    """Overwrites a metadata value in place; the new one must have the old one's length."""
    def change(data):
        struct.pack_into("<I" + fmt, data, value_at(data, key), gguf_type, *values)
    return change


def overwrite(key, text):
    """Puts text over a metadata string of the same length."""
    def change(data):
        at = value_at(data, key) + 12
        data[at:at + len(text)] = text
    return change


def rename(key, new):
    def change(data):
        at = key_at(data, key)
        data[at:at + len(key)] = new.encode()
    return change


def tensor_field(name, offset, fmt, value):
    """0: number of dimensions, 4 and 12: dimensions, 20: type, 24: offset of the data (of a matrix)."""
    return patch(lambda d: d.index(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name) + offset, fmt, value)


gguf_case("magic", patch(lambda d: 0, "I", 0x46554746))
gguf_case("big-endian", lambda d: d.__setitem__(slice(4, 8), b"\0\0\0\3"))
for _value in (0, 1, 4, 0xFFFFFFFF):
    gguf_case(f"version {_value}", patch(lambda d: 4, "I", _value))
for _value in (0, 1, 1 << 31, 1 << 62, (1 << 64) - 1):
    gguf_case(f"{_value} tensors", patch(lambda d: 8, "Q", _value))
    gguf_case(f"{_value} metadata", patch(lambda d: 16, "Q", _value))
for _value in (0, 1 << 31, 1 << 63, (1 << 64) - 1):
    gguf_case(f"first key of {_value} bytes", patch(lambda d: 24, "Q", _value))
    gguf_case(f"architecture of {_value} bytes", patch(lambda d: value_at(d, "general.architecture") + 4, "Q", _value))
gguf_case("another architecture", overwrite("general.architecture", b"mamba"))
gguf_case("value of unknown type", patch(lambda d: value_at(d, "llama.block_count"), "I", 77))
for _key in ("general.architecture", "llama.embedding_length", "llama.block_count", "llama.feed_forward_length",
             "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon", "tokenizer.ggml.model",
             "tokenizer.ggml.tokens", "tokenizer.ggml.merges"):
    gguf_case(f"{_key} missing", rename(_key, _key[:-1] + "~"))
for _key in ("llama.embedding_length", "llama.block_count", "llama.feed_forward_length", "llama.attention.head_count",
             "llama.attention.head_count_kv", "llama.rope.dimension_count"):
    for _value in (0, 1 << 24, (1 << 32) - 1):
        gguf_case(f"{_key} {_value}", set_value(_key, 4, "I", _value))
    gguf_case(f"{_key} negative", set_value(_key, 5, "i", -4))
    gguf_case(f"{_key} a float", set_value(_key, 6, "f", 2.5))
for _value in (float("nan"), float("inf"), -1.0):
    gguf_case(f"norm epsilon {_value}", set_value("llama.attention.layer_norm_rms_epsilon", 6, "f", _value))
for _value in (float("nan"), float("inf"), -1.0, 0.0):
    gguf_case(f"rope base {_value}", set_value("llama.rope.freq_base", 6, "f", _value))
for _key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.token_type"):
    for _value in (0, 1, 1 << 31, 1 << 61, (1 << 64) - 1):
        if (_key, _value) not in (("tokenizer.ggml.merges", 0), ("tokenizer.ggml.merges", 1)):
            gguf_case(f"{_key}: {_value} items", patch(lambda d, k=_key: value_at(d, k) + 8, "Q", _value))
    gguf_case(f"{_key}: of arrays", patch(lambda d, k=_key: value_at(d, k) + 4, "I", 9))
    gguf_case(f"{_key}: of unknown type", patch(lambda d, k=_key: value_at(d, k) + 4, "I", 13))
gguf_case("scores: one fewer", patch(lambda d: value_at(d, "tokenizer.ggml.scores") + 8, "Q", SHAPE.vocab - 1),
          "Q8_0/llama")
for _key in ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"):
    gguf_case(f"{_key} outside", set_value(_key, 4, "I", SHAPE.vocab))
gguf_case("tokenizer unknown", overwrite("tokenizer.ggml.model", b"gptx"))
gguf_case("pre-tokenizer unknown", overwrite("tokenizer.ggml.pre", b"gpt-x"))
for _name in ("token_embd.weight", "blk.0.attn_q.weight", "blk.1.ffn_down.weight"):
    for _offset, _fmt, _what, _values in ((0, "I", "dimensions", (0, 1, 3, 5, 1 << 31)),
                                          (4, "Q", "columns", (0, 1, 32, 96 + 32, 1 << 31, 1 << 62, (1 << 64) - 32)),
                                          (12, "Q", "rows", (0, 1, 1 << 31, 1 << 58, 1 << 62, (1 << 64) - 1)),
                                          (20, "I", "type", (0, 1, 4, 12, 14, 15, 999, (1 << 32) - 1)),
                                          (24, "Q", "offset", (1, 32, 1 << 40, 1 << 63, (1 << 64) - 32))):
        for _value in _values:
            gguf_case(f"{_name} {_what} {_value:#x}", tensor_field(_name, _offset, _fmt, _value))
    gguf_case(f"{_name} missing", rename(_name, _name[:-1] + "~"))
gguf_case("two tensors of a name", rename("blk.0.attn_k.weight", "blk.0.attn_v.weight"))
gguf_case("tensor of a strange name", rename("blk.0.attn_k.weight", "blk\n0\x1battn_k.weight"))


for _value in (0, 1, 3, 12, 1 << 31):
    gguf_case(f"alignment {_value}", set_value("general.alignment", 4, "I", _value), "Q4_1/gpt2 aligned")


def poke_block(name, value, kind, skip=lambda type_name: {"Q2_K": 80, "Q3_K": 108, "Q6_K": 208}.get(type_name, 0),
               fmt=None):
    """Writes the scale of the first block of a tensor, a float16 where fmt does not say otherwise."""
    def change(data):
        tensor = next(t for t in Reader(GOOD_GGUF[kind]).tensors if t.name == name)
        struct.pack_into("<" + (fmt or ("f" if kind[0] == "F" else "e")), data,
                         tensor.data_offset + skip(tensor.tensor_type.name), value)
    return change


GOOD_GGUF = {}
for _kind in ("Q4_1/gpt2", "Q8_0/llama", "F32/llama"):
    for _name in ("token_embd.weight", "blk.1.ffn_up.weight"):
        for _value in (float("nan"), float("inf")):
            gguf_case(f"{_name} {_kind} {_value}", poke_block(_name, _value, _kind), _kind)
# Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, and the offsets of the biases.
for _name in ("token_embd.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight",
              "blk.0.attn_output.weight", "blk.0.ffn_gate.weight", "blk.0.ffn_down.weight"):
    for _value in (float("nan"), float("inf")):
        gguf_case(f"{_name} K {_value}", poke_block(_name, _value, "K/gpt2"), "K/gpt2")
for _name, _at in (("token_embd.weight", 82), ("blk.0.attn_k.weight", 2), ("blk.0.attn_v.weight", 2)):
    gguf_case(f"{_name} K bias", poke_block(_name, float("nan"), "K/gpt2", lambda _, at=_at: at), "K/gpt2")
gguf_case("blk.0.ffn_up.weight MXFP4 scale NaN", poke_block("blk.0.ffn_up.weight", 255, "K/gpt2", fmt="B"), "K/gpt2")
for _name in ("token_embd.weight", "blk.0.attn_k.weight", "blk.0.ffn_down.weight"):
    for _columns in (0, 32, 128, 255, 257, 512):
        gguf_case(f"{_name} K {_columns} columns", tensor_field(_name, 4, "Q", _columns), "K/gpt2")


# ---- GGUF of other families ----

for _value in (0, 3, 5, 1024, 1025, (1 << 32) - 1):
    gguf_case(f"mixtral: {_value} experts", set_value("llama.expert_count", 4, "I", _value), "gguf mixtral")
for _value in (0, 5, 64, 65, (1 << 32) - 1):
    gguf_case(f"mixtral: {_value} experts used", set_value("llama.expert_used_count", 4, "I", _value), "gguf mixtral")
gguf_case("mixtral: experts a float", set_value("llama.expert_count", 6, "f", 4.0), "gguf mixtral")
gguf_case("mixtral: experts negative", set_value("llama.expert_count", 5, "i", -4), "gguf mixtral")
for _value in (0, 1, 95, 97, 1 << 24, (1 << 32) - 1):
    gguf_case(f"qwen3_moe: experts of {_value}", set_value("qwen3moe.expert_feed_forward_length", 4, "I", _value),
              "gguf qwen3_moe")
for _kind, _names in {"gguf mixtral": ("blk.0.ffn_gate_inp.weight", "blk.1.ffn_gate_exps.weight", "blk.2.ffn_down_exps.weight",
                                       "blk.0.ffn_up_exps.weight", "blk.0.ffn_norm.weight"),
                      "gguf qwen3_moe": ("blk.0.attn_q_norm.weight", "blk.2.attn_k_norm.weight"),
                      "gguf gemma2": ("blk.0.post_attention_norm.weight", "blk.1.post_ffw_norm.weight", "output_norm.weight"),
                      "gguf phi3, longrope": ("rope_factors_short.weight", "rope_factors_long.weight", "blk.0.attn_qkv.weight",
                                              "blk.0.ffn_up.weight")}.items():
    for _name in _names:
        gguf_case(f"{_kind}: {_name} missing", rename(_name, _name[:-1] + "~"), _kind)
for _kind, _name in (("gguf llama 3.1", "rope_freqs.weight"), ("gguf phi3, longrope", "rope_factors_long.weight"),
                     ("gguf phi3, longrope", "rope_factors_short.weight")):
    for _value in (0, 1, 15, 17, 1 << 31, 1 << 62):
        gguf_case(f"{_kind}: {_name} of {_value}", tensor_field(_name, 4, "Q", _value), _kind)
    gguf_case(f"{_kind}: {_name} of halves", tensor_field(_name, 12, "I", 1), _kind)
    for _value in (float("nan"), float("inf"), 0.0):
        gguf_case(f"{_kind}: {_name} {_value}", poke_block(_name, _value, _kind, fmt="f"), _kind)
for _offset, _what, _values in ((4, "columns", (0, 64, 1 << 62)), (12, "rows", (0, 255, 1 << 62)), (20, "experts", (0, 3, 5, 1 << 62))):
    for _value in _values:
        gguf_case(f"mixtral: stack of {_value} {_what}", tensor_field("blk.0.ffn_gate_exps.weight", _offset, "Q", _value),
                  "gguf mixtral")
for _value in (0, 1 << 31):
    gguf_case(f"gemma2: window {_value}", set_value("gemma2.attention.sliding_window", 4, "I", _value), "gguf gemma2")
for _value in (float("nan"), -1.0):
    gguf_case(f"gemma2: cap {_value}", set_value("gemma2.attn_logit_softcapping", 6, "f", _value), "gguf gemma2")


@pytest.mark.parametrize("name", GGUF)
def test_gguf(asan, good, tmp_path, name):
    kind, change = GGUF[name]
    GOOD_GGUF[kind] = good(kind)
    data = bytearray(good(kind).read_bytes())
    changed = change(data) or data
    assert changed != good(kind).read_bytes(), "the case breaks nothing"
    path = tmp_path / "m.gguf"
    path.write_bytes(changed)
    must_fail(asan, path)


@pytest.mark.parametrize("tokenizer", ["llama", "gpt2"])
def test_gguf_with_more_tokens_than_rows(asan, tmp_path, tokenizer):
    fewer = dataclasses.replace(SHAPE, vocab=SHAPE.vocab - 1)
    path = models.write_gguf(tmp_path / "m.gguf", SHAPE, models.random_weights(fewer), "Q8_0", tokenizer)
    must_fail(asan, path)


@pytest.mark.parametrize("name", CHARSMAPS)
def test_gguf_character_map(asan, tmp_path, name):
    must_fail(asan, models.write_gguf(tmp_path / "m.gguf", SHAPE, models.random_weights(SHAPE), "Q8_0",
                                      charsmap=CHARSMAPS[name]))
