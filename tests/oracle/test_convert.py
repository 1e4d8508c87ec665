# SPDX-License-Identifier: Apache-2.0
"""cria convert: what it writes, against MLX's own quantizer and readers."""
import json
import os
import pickle
import signal
import struct
import subprocess
import time
import zipfile

import families
import gguf
import mlx.core as mx
import models
import numpy as np
import pytest
from compare import LOGITS, logits_error
from cria_ctypes import ENCODE_SPECIAL

SHAPE = models.Shape()
HF_NAMES = {"attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj", "attention.wv": "self_attn.v_proj",
            "attention.wo": "self_attn.o_proj", "feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj",
            "feed_forward.w3": "mlp.up_proj", "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
HF_TOP = {"tok_embeddings.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight",
          "output.weight": "lm_head.weight"}


def hf_name(name):
    if name in HF_TOP:
        return HF_TOP[name]
    _, layer, rest = name.split(".", 2)
    return f"model.layers.{layer}.{HF_NAMES[rest.removesuffix('.weight')]}.weight"


def halves(w, head_dim):
    """Rows of rotary pairs (2i, 2i + 1) as (i, i + head_dim / 2), as Hugging Face has them."""
    return w.reshape(-1, head_dim // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def hf_weights(weights, shape=SHAPE):
    """float32 numpy arrays under Meta's names → under Hugging Face's, in its order of rows."""
    return {hf_name(k): halves(v, shape.head_dim) if k.endswith(("wq.weight", "wk.weight")) else v
            for k, v in weights.items()}


def expected(weights, kind=None, dtype="f32", choose=None):
    """What mlx-lm's convert makes of the tensors. choose(stem) → another kind, or None."""
    out = {}
    for name, w in models.cast(weights, dtype).items():
        this = choose(name.removesuffix(".weight")) if choose else kind
        bits, group, mode = models.QUANTIZATIONS[this] if this else (0, 1, None)
        if this and w.ndim >= 2 and w.shape[-1] % group == 0:
            parts = mx.quantize(w, group_size=group, bits=bits, mode=mode)
            for part, a in zip(("weight", "scales", "biases"), parts):
                out[name.removesuffix("weight") + part] = a
        else:
            out[name] = w
    return out


def raw(a):
    return np.array(a.reshape(-1).view(mx.uint8)).tobytes() if a.ndim else bytes(np.array(a))


def load(folder):
    out = {}
    for file in sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.npz")):
        out |= mx.load(str(file))
    return out


def compare(folder, wanted):
    got = load(folder)
    assert sorted(got) == sorted(wanted)
    for name, a in wanted.items():
        assert (got[name].dtype, got[name].shape) == (a.dtype, a.shape), name
        assert raw(got[name]) == raw(a), f"{name} differs"


@pytest.fixture(scope="module")
def weights():
    return models.random_weights(SHAPE)


@pytest.fixture(scope="module")
def npz(tmp_path_factory, weights):
    """An MLX folder of the example, in a dtype."""
    made = {}

    def make(dtype):
        if dtype not in made:
            made[dtype] = models.write_folder(tmp_path_factory.mktemp("npz") / dtype, SHAPE.config(),
                                              models.cast(weights, dtype), models.spm_model(SHAPE.vocab))
        return made[dtype]
    return make


@pytest.fixture
def convert(run):
    def call(*arguments, **options):
        done = run("convert", *arguments, **options)
        assert done.returncode == 0, done.stderr.decode()
        return done
    return call


# ---- quantized tensors ----

KINDS = ["q2g32", "q3g64", "q4g64", "q4g32", "q5g128", "q6g64", "q8g32", "mxfp4", "nvfp4", "mxfp8"]


def flags(kind):
    bits, group, mode = models.QUANTIZATIONS[kind]
    return ["-q", "--q-bits", bits, "--q-group-size", group, "--q-mode", mode]


@pytest.mark.parametrize("dtype", models.DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_are_those_of_mx_quantize(convert, npz, weights, tmp_path, kind, dtype):
    convert(npz(dtype), tmp_path / "out", *flags(kind))
    compare(tmp_path / "out", expected(hf_weights(weights), kind, dtype))
    config = json.loads((tmp_path / "out/config.json").read_text())
    bits, group, mode = models.QUANTIZATIONS[kind]
    assert config["quantization"] == config["quantization_config"] == {"group_size": group, "bits": bits, "mode": mode}


def test_threads_do_not_matter(convert, npz, tmp_path):
    for n in (1, 2, 3):
        convert(npz("f32"), tmp_path / str(n), "-q", "--threads", n)
    files = [(tmp_path / str(n) / "model.safetensors").read_bytes() for n in (1, 2, 3)]
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("dtype", [("f16", "float16"), ("bf16", "bfloat16"), ("f32", "float32")])
def test_floats(convert, npz, weights, tmp_path, dtype):
    """Every number rounded to nearest even, as MLX's astype."""
    convert(npz("f32"), tmp_path / "out", "--dtype", dtype[1])
    compare(tmp_path / "out", expected(hf_weights(weights), None, dtype[0]))


def test_index_and_header(convert, npz, tmp_path):
    convert(npz("f16"), tmp_path / "out", "-q")
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    tensors = load(tmp_path / "out")
    assert index["weight_map"] == {name: "model.safetensors" for name in tensors}
    assert index["metadata"]["total_size"] == sum(a.nbytes for a in tensors.values())
    assert index["metadata"]["total_parameters"] == sum(v.size for v in models.random_weights(SHAPE).values())
    data = (tmp_path / "out/model.safetensors").read_bytes()
    header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
    assert header["__metadata__"] == {"format": "mlx"}


# ---- recipes ----

def test_layer_rules(convert, npz, weights, tmp_path):
    convert(npz("f16"), tmp_path / "out", "-q", "--q-layers", "embed_tokens=8:32", "--q-layers", "*.1.mlp.*=3:32",
            "--q-layers", "v_proj=none", "--q-layers", "lm_head=8:32:mxfp8")

    def choose(stem):
        return ("q8g32" if "embed_tokens" in stem else "q3g32" if ".1.mlp." in stem else None if "v_proj" in stem
                else "mxfp8" if "lm_head" in stem else "q4g64")
    compare(tmp_path / "out", expected(hf_weights(weights), dtype="f16", choose=choose))
    quantization = json.loads((tmp_path / "out/config.json").read_text())["quantization"]
    assert quantization["lm_head"] == {"group_size": 32, "bits": 8, "mode": "mxfp8"}
    assert quantization["model.layers.1.mlp.down_proj"] == {"group_size": 32, "bits": 3, "mode": "affine"}
    assert {k: quantization[k] for k in ("group_size", "bits", "mode")} == {"group_size": 64, "bits": 4, "mode": "affine"}


def mlx_lm_recipe(recipe, n_layers):
    """The rules of mlx-lm 0.32's mixed_quant_predicate_builder, written down again."""
    low, high = {"mixed_2_6": (2, 6), "mixed_3_4": (3, 4), "mixed_3_6": (3, 6), "mixed_4_6": (4, 6)}[recipe]

    def choose(stem):
        parts = stem.split(".")
        i = int(parts[2]) if len(parts) > 2 else 0
        more = i < n_layers // 8 or i >= 7 * n_layers // 8 or (i - n_layers // 8) % 3 == 2
        return f"q{high if 'lm_head' in stem or (more and ('v_proj' in stem or 'down_proj' in stem)) else low}g32"
    return choose


@pytest.mark.parametrize("recipe", ["mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"])
def test_recipes_of_mlx_lm(convert, tmp_path, recipe):
    shape = models.Shape(dim=64, layers=10, heads=2, kv_heads=1, hidden=96, vocab=350)
    weights = models.random_weights(shape)
    models.write_folder(tmp_path / "in", shape.config(), models.cast(weights, "f16"), models.spm_model(350))
    convert(tmp_path / "in", tmp_path / "out", "-q", "--q-group-size", 32, "--quant-predicate", recipe)
    choose = mlx_lm_recipe(recipe, 10)
    compare(tmp_path / "out", expected(hf_weights(weights, shape), dtype="f16", choose=choose))
    quantization = json.loads((tmp_path / "out/config.json").read_text())["quantization"]
    assert quantization["model.layers.4.mlp.down_proj"]["bits"] == int(choose("model.layers.4.mlp.down_proj")[1])


# ---- npz ----

def test_npz_as_the_example_writes_it(convert, run, npz, weights, tmp_path):
    convert("--torch-path", npz("f32"), "--mlx-path", tmp_path / "out", "-q", "--q-group-size", 32)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.json", "tokenizer.model", "weights.npz"]
    compare(tmp_path / "out", expected(weights, "q4g32", "f16"))
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["quantization"] == {"group_size": 32, "bits": 4}
    assert {k: config[k] for k in ("dim", "n_layers", "vocab_size", "norm_eps", "rope_theta")} == {
        "dim": 128, "n_layers": 2, "vocab_size": 503, "norm_eps": 1e-5, "rope_theta": 10000}
    done = run("generate", "--model-path", tmp_path / "out", "--max-tokens", 5, "--quiet")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", models.DTYPES)
def test_npz_floats(convert, npz, weights, tmp_path, dtype):
    convert(npz(dtype), tmp_path / "out", "--npz")
    compare(tmp_path / "out", expected(weights, None, dtype))
    with zipfile.ZipFile(tmp_path / "out/weights.npz") as z:
        assert z.testzip() is None  # every CRC-32
        assert {info.compress_type for info in z.infolist()} == {zipfile.ZIP_STORED}
    if dtype != "bf16":
        arrays = np.load(tmp_path / "out/weights.npz")
        assert np.array_equal(arrays["norm.weight"], np.array(models.cast(weights, dtype)["norm.weight"]))


def test_quantized_sources_are_copied(convert, npz, weights, tmp_path):
    """What is quantized already keeps its codes, in their new order of rows; -q quantizes it anew."""
    convert(npz("f16"), tmp_path / "npz", "--npz", *flags("q4g32"))
    convert(tmp_path / "npz", tmp_path / "hf")
    compare(tmp_path / "hf", expected(hf_weights(weights), "q4g32", "f16"))
    convert(tmp_path / "npz", tmp_path / "anew", *flags("q8g32"))
    once = mx.dequantize(*(load(tmp_path / "hf")[f"lm_head.{p}"] for p in ("weight", "scales", "biases")), 32, 4)
    anew = load(tmp_path / "anew")
    twice = mx.dequantize(*(anew[f"lm_head.{p}"] for p in ("weight", "scales", "biases")), 32, 8)
    assert np.abs(np.array(once - twice)).max() < 0.01


# ---- GGUF ----

@pytest.mark.parametrize("kind", ["F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "K"])
def test_gguf_is_dequantized_exactly(convert, tmp_path, kind):
    """To float32, equal to PyPI gguf's arithmetic: which is what the packed weights are tested against, too."""
    shape = models.Shape(dim=256, heads=8, kv_heads=4, hidden=512) if kind == "K" else SHAPE
    path = models.write_gguf(tmp_path / "m.gguf", shape, models.random_weights(shape), kind)
    convert(path, tmp_path / "out", "--dtype", "float32")
    _, weights = models.read_gguf(path)
    wanted, got = hf_weights(weights, shape), load(tmp_path / "out")
    assert sorted(got) == sorted(wanted)
    for name, w in wanted.items():
        error = np.abs(np.array(got[name]) - w).max()
        assert error <= 1e-6 * np.abs(w).max(), (name, error)


def test_gguf_to_4_bits(convert, tmp_path):
    path = models.write_gguf(tmp_path / "m.gguf", SHAPE, models.random_weights(SHAPE), "Q8_0", tied=True)
    convert(path, tmp_path / "f16")
    convert(path, tmp_path / "q", "-q")
    floats = load(tmp_path / "f16")
    assert "lm_head.weight" not in floats
    assert json.loads((tmp_path / "f16/config.json").read_text())["tie_word_embeddings"] is True
    compare(tmp_path / "q", expected({k: np.array(v) for k, v in floats.items()}, "q4g64", "f16"))


def test_gguf_to_npz(convert, run, tmp_path):
    path = models.write_gguf(tmp_path / "m.gguf", SHAPE, models.random_weights(SHAPE), "F16")
    convert(path, tmp_path / "out", "--npz")
    _, weights = models.read_gguf(path)
    compare(tmp_path / "out", expected(weights, None, "f16"))
    both = [run("generate", "--model-path", p, "--max-tokens", 20, "--quiet") for p in (path, tmp_path / "out")]
    assert both[0].stdout == both[1].stdout and both[0].returncode == 0


@pytest.mark.parametrize("name", [n for n, f in families.FAMILIES.items() if f[4]])
def test_gguf_of_every_family(convert, lib, tmp_path, name):
    """The written folder is the same model: to cria, and to mlx-lm, which knows nothing but its files."""
    family = families.Family(name)
    path = family.write_gguf(tmp_path / "m.gguf")
    convert(path, tmp_path / "out", "--dtype", "float32")
    tokens = np.random.default_rng(4).integers(3, family.config["vocab_size"], 299).tolist()
    before, ours = (lib.open(p, activations="f32").engine(kv="f32").sequence().eval(tokens) for p in (path, tmp_path / "out"))
    # Norms that are stored less 1, and divisors that the converter has rounded, may differ in the last place.
    if "gemma" in name or name == "llama 3.1":
        assert logits_error(ours, before) < 1e-5
    else:
        assert ours.tobytes() == before.tobytes()
    written = families.Family(name)
    written.config = json.loads((tmp_path / "out/config.json").read_text())
    if "sliding_window" not in written.config:
        written.windows = None
    theirs = written.reference(mx.load(str(tmp_path / "out/model.safetensors"))).logits(tokens)
    assert logits_error(ours, theirs) < LOGITS


def test_gguf_that_no_config_can_say(run, tmp_path):
    """Divisors of rotary frequencies by no rule that is known."""
    family = families.Family("llama 3.1")
    factors = families.llama3_factors
    try:
        families.llama3_factors = lambda *numbers: factors(*numbers) * np.float32(1.01)
        path = family.write_gguf(tmp_path / "m.gguf")
    finally:
        families.llama3_factors = factors
    done = run("convert", path, tmp_path / "out")
    assert done.returncode == 1 and b"the scaling of its rope" in done.stderr and not (tmp_path / "out").exists()


def test_gguf_with_a_tensor_too_many(run, tmp_path, monkeypatch):
    """One that would get the name of another: it is refused, as when the model is loaded."""
    write = gguf.GGUFWriter.write_header_to_file

    def write_more(self, *arguments):
        self.add_tensor("blk.0.post_attention_norm.weight", np.ones(128, np.float32))
        return write(self, *arguments)
    monkeypatch.setattr(gguf.GGUFWriter, "write_header_to_file", write_more)
    path = families.Family("llama").write_gguf(tmp_path / "m.gguf")
    done = run("convert", path, tmp_path / "out")
    assert done.returncode == 1 and b"post_attention_norm.weight is not part of" in done.stderr
    assert left(tmp_path) == ["m.gguf"]


def test_tokenizer_model_of_a_gguf(convert, lib, tmp_path):
    """SentencePiece reads it, and has the ids that cria has from the GGUF."""
    import sentencepiece
    path = models.write_gguf(tmp_path / "m.gguf", SHAPE, models.random_weights(SHAPE), "F16")
    convert(path, tmp_path / "out")
    want = lib.open(path).tokenizer
    got = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "out/tokenizer.model"))
    lines = models.PROMPTS + models.corpus()[:500]
    assert [got.encode(x) for x in lines] == [want.encode(x) for x in lines]
    assert (got.bos_id(), got.eos_id(), got.unk_id()) == (want.bos, want.eos, 0)
    config = json.loads((tmp_path / "out/tokenizer_config.json").read_text())
    assert (config["bos_token"], config["eos_token"], config["add_bos_token"]) == ("<s>", "</s>", True)


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_tokenizer_json_of_a_gguf(convert, lib, tmp_path, pre):
    """PyPI tokenizers reads it, and has the ids that cria has from the GGUF."""
    import tokenizers
    path = models.write_gguf(tmp_path / "m.gguf", SHAPE, models.random_weights(SHAPE), "F16", tokenizer="gpt2", pre=pre)
    convert(path, tmp_path / "out")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "out/tokenizer.json"))
    ours = lib.open(path).tokenizer
    for text in models.PROMPTS + models.corpus()[:300] + ["it's 12345 o'clock\r\n\n  and 'RE  x", "<|begin|>a<|end|>"]:
        ids = theirs.encode(text, add_special_tokens=False).ids
        assert ids == ours.encode(text, ENCODE_SPECIAL), text
        assert theirs.decode(ids).encode() == ours.decode(ids), text


# ---- llama2.c ----

def write_llama2c(path, shape, weights, shared, context=256):
    """Version 0, as export.py's legacy_export writes it."""
    def layers(name):
        return b"".join(weights[f"layers.{i}.{name}.weight"].astype("<f4").tobytes() for i in range(shape.layers))

    head = struct.pack("<7i", shape.dim, shape.hidden, shape.layers, shape.heads, shape.kv_heads,
                       shape.vocab if shared else -shape.vocab, context)
    data = [head, weights["tok_embeddings.weight"].tobytes(), layers("attention_norm")]
    data += [layers(f"attention.{x}") for x in ("wq", "wk", "wv", "wo")]
    data += [layers("ffn_norm")] + [layers(f"feed_forward.{x}") for x in ("w1", "w2", "w3")]
    data += [weights["norm.weight"].tobytes(), bytes(2 * 4 * context * shape.head_dim // 2)]
    data += [] if shared else [weights["output.weight"].tobytes()]
    path.write_bytes(b"".join(data))
    return path


@pytest.mark.parametrize("shared", [False, True])
def test_llama2c(convert, run, tmp_path, shared):
    weights = models.random_weights(SHAPE, tied=shared)
    source = write_llama2c(tmp_path / "stories.bin", SHAPE, weights, shared)
    done = run("convert", source, tmp_path / "out")
    assert done.returncode == 1 and b"--tokenizer" in done.stderr
    (tmp_path / "tokenizer.model").write_bytes(models.spm_model(SHAPE.vocab))
    convert(source, tmp_path / "out")
    wanted = hf_weights(weights)
    if shared:
        del wanted["lm_head.weight"]
    compare(tmp_path / "out", expected(wanted))
    convert(source, tmp_path / "npz", "--npz", "-q", "--q-group-size", 32, "--dtype", "float16")
    compare(tmp_path / "npz", expected(weights, "q4g32", "f16"))


# ---- Meta's ----

class Torch(pickle.Pickler):
    """Writes a state dict as torch.save does, with numpy arrays as tensors and without torch."""

    def __init__(self, file, members, dtype):
        super().__init__(file, protocol=2)
        self.members, self.dtype = members, dtype

    def persistent_id(self, value):
        return value.pid if isinstance(value, Storage) else None

    def reducer_override(self, value):
        if isinstance(value, Tensor):
            a = value.array
            storage = Storage(("storage", Global("torch", STORAGES[self.dtype]), str(len(self.members)), "cpu", a.size))
            self.members.append(np.array(mx.array(a).astype(models.DTYPES[self.dtype]).view(mx.uint8)).tobytes())
            strides = tuple(int(np.prod(a.shape[i + 1:], dtype=np.int64)) for i in range(a.ndim))
            import collections
            return Call("torch._utils", "_rebuild_tensor_v2"), (storage, 0, a.shape, strides, False,
                                                                collections.OrderedDict())
        return NotImplemented


class Storage:
    def __init__(self, pid):
        self.pid = pid


class Tensor:
    def __init__(self, array):
        self.array = array


STORAGES = {"f32": "FloatStorage", "f16": "HalfStorage", "bf16": "BFloat16Storage"}


def install_torch(monkeypatch):
    """Modules of the names that a pickle of torch refers to: pickle wants to find what it writes down."""
    import sys
    import types

    def made(module, name, base=object):
        return type(name, (base,), {"__module__": module, "__qualname__": name})
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, made("torch", name))

    def _rebuild_tensor_v2():
        pass
    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2, torch._utils = _rebuild_tensor_v2, utils
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def Global(module, name):
    import importlib
    return getattr(importlib.import_module(module), name)


Call = Global


def write_pth(path, tensors, dtype="bf16", ordered=False):
    import collections
    import io
    members, data = [], io.BytesIO()
    state = {k: Tensor(v) for k, v in tensors.items()}
    Torch(data, members, dtype).dump(collections.OrderedDict(state) if ordered else state)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("consolidated/data.pkl", data.getvalue())
        z.writestr("consolidated/byteorder", "little")
        for i, member in enumerate(members):
            z.writestr(f"consolidated/data/{i}", member)
        z.writestr("consolidated/version", "3\n")


def shard(weights, n, vocab_rows=False):
    """Slices of a model for n processes, as Meta's ParallelLinear and ParallelEmbedding have them."""
    out = [{} for _ in range(n)]
    for name, w in weights.items():
        stem = name.split(".")[-2]
        rows = stem in ("wq", "wk", "wv", "w1", "w3", "output") or (vocab_rows and stem == "tok_embeddings")
        cols = stem in ("wo", "w2", "tok_embeddings") and not rows
        parts = np.split(w, n, axis=0) if rows else np.split(w, n, axis=1) if cols else [w] * n
        for d, part in zip(out, parts):
            d[name] = np.ascontiguousarray(part)
    for d in out:
        d["rope.freqs"] = np.ones(SHAPE.head_dim // 2, np.float32)
    return out


META_SHAPE = models.Shape(vocab=504)


@pytest.mark.parametrize("n,vocab_rows,dtype", [(1, False, "f32"), (2, False, "bf16"), (2, True, "f16")])
def test_meta(convert, tmp_path, monkeypatch, n, vocab_rows, dtype):
    install_torch(monkeypatch)
    weights = models.random_weights(META_SHAPE)
    (tmp_path / "in").mkdir()
    for i, part in enumerate(shard(weights, n, vocab_rows)):
        write_pth(tmp_path / f"in/consolidated.{i:02d}.pth", part, dtype, ordered=i % 2 == 1)
    (tmp_path / "in/params.json").write_text(json.dumps({"dim": 128, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2,
                                                         "multiple_of": 32, "norm_eps": 1e-5, "vocab_size": -1}))
    (tmp_path / "in/tokenizer.model").write_bytes(models.spm_model(504))
    stored = {k: np.array(v.astype(mx.float32)) for k, v in models.cast(weights, dtype).items()}
    convert("--torch-path", tmp_path / "in", "--mlx-path", tmp_path / "npz", "-q", "--q-group-size", 32)
    compare(tmp_path / "npz", expected(stored, "q4g32", "f16"))
    convert(tmp_path / "in", tmp_path / "hf")
    compare(tmp_path / "hf", expected(hf_weights(stored), None, dtype))
    config = json.loads((tmp_path / "hf/config.json").read_text())
    assert (config["vocab_size"], config["intermediate_size"], config["head_dim"]) == (504, 352, 32)


# ---- Hugging Face's ----

HF_CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128, "intermediate_size": 352,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
             "vocab_size": 503, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "max_position_embeddings": 512,
             "tie_word_embeddings": False, "torch_dtype": "bfloat16", "nested": {"a": [1, {"b": "}\"],"}]},
             "_name_or_path": "somewhere", "π": "text, with \"quotes\""}


PLAIN = {k: v for k, v in HF_CONFIG.items() if k not in ("nested", "π")}  # nothing that might matter


def write_hf(folder, weights, config=HF_CONFIG, dtype="bf16"):
    folder.mkdir()
    mx.save_safetensors(str(folder / "model.safetensors"), models.cast(weights, dtype))
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False))
    (folder / "tokenizer.model").write_bytes(models.spm_model(503))
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ x }}"}')
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}')
    return folder


@pytest.mark.parametrize("kind", [None, "q4g64", "mxfp4"])
def test_hf(convert, weights, tmp_path, kind):
    hf = hf_weights(weights)
    write_hf(tmp_path / "in", hf | {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(16, np.float32)})
    convert(tmp_path / "in", tmp_path / "out", *(flags(kind) if kind else []))
    compare(tmp_path / "out", expected(hf, kind, "bf16"))
    config = json.loads((tmp_path / "out/config.json").read_text())
    kept = {k: v for k, v in HF_CONFIG.items() if k != "_name_or_path"}
    assert {k: config[k] for k in kept} == kept
    assert set(config) - set(kept) == ({"quantization", "quantization_config"} if kind else set())
    for name in ("tokenizer.model", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()


def test_hf_tied_drops_the_output(convert, weights, tmp_path):
    hf = hf_weights(weights)
    write_hf(tmp_path / "in", hf, HF_CONFIG | {"tie_word_embeddings": True})
    convert(tmp_path / "in", tmp_path / "out", "-q")
    del hf["lm_head.weight"]
    compare(tmp_path / "out", expected(hf, "q4g64", "bf16"))


def test_hf_to_npz(convert, weights, tmp_path):
    """As convert.py --model-name tiny_llama: the order of rows stays and is said."""
    hf = hf_weights(weights)
    write_hf(tmp_path / "in", hf, config=PLAIN)
    convert("--torch-path", tmp_path / "in", "--model-name", "tiny_llama", "--mlx-path", tmp_path / "out", "--dtype",
            "bfloat16")
    back = {hf_name(k): k for k in weights}
    compare(tmp_path / "out", expected({back[k]: v for k, v in hf.items()}, None, "bf16"))
    assert json.loads((tmp_path / "out/config.json").read_text())["rope_traditional"] is False


@pytest.mark.parametrize("more,words", [
    ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
                          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}, b"are scaled"),
    ({"rope_scaling": {"type": "linear", "factor": 2.0}}, b"are scaled"), ({"attention_bias": True}, b"biases"),
    ({"sliding_window": 9, "layer_types": ["full_attention", "sliding_attention"]}, b"sliding window"),
    ({"partial_rotary_factor": 0.5}, b"a part of each head"),
    ({"nested": {"a": 1}}, b'"nested"'), ({"model_type": "qwen3"}, b"not llama")])
def test_what_npz_cannot_say(run, weights, tmp_path, more, words):
    """A config.json made anew has no place for what may matter. rope_parameters, as transformers 5 writes it, was once
    passed over, and a rope_theta of 10000 written."""
    write_hf(tmp_path / "in", hf_weights(weights), config=PLAIN | more)
    r = run("convert", tmp_path / "in", tmp_path / "out", "--npz", "--quiet")
    assert r.returncode == 1 and words in r.stderr and r.stderr.count(b"\n") == 1 and not (tmp_path / "out").exists()


def test_hf_again(convert, weights, tmp_path):
    """mlx-lm's own quantized folder goes through unchanged."""
    write_hf(tmp_path / "in", hf_weights(weights))
    convert(tmp_path / "in", tmp_path / "once", "-q", "--q-layers", "lm_head=8")
    convert(tmp_path / "once", tmp_path / "twice")
    compare(tmp_path / "twice", load(tmp_path / "once"))
    assert json.loads((tmp_path / "twice/config.json").read_text()) == json.loads(
        (tmp_path / "once/config.json").read_text())


@pytest.mark.parametrize("names", [("block_sparse_moe", ("w1", "w2", "w3")),
                                   ("mlp", ("gate_proj", "down_proj", "up_proj"))])
def test_experts_become_one_tensor(convert, tmp_path, names):
    block, (gate, down, up) = names
    rng = np.random.default_rng(3)
    stem = f"model.layers.0.{block}"
    experts = {n: [rng.standard_normal((48, 64) if n != down else (64, 48)).astype(np.float32) for _ in range(12)]
               for n in (gate, down, up)}
    flat = {f"{stem}.experts.{i}.{n}.weight": w for n, ws in experts.items() for i, w in enumerate(ws)}
    router = {f"{stem}.gate.weight": rng.standard_normal((12, 64)).astype(np.float32)}
    write_hf(tmp_path / "in", flat | router)
    convert(tmp_path / "in", tmp_path / "out", "-q")
    stacked = {f"{stem}.switch_mlp.{m}.weight": np.stack(experts[n])
               for n, m in ((gate, "gate_proj"), (down, "down_proj"), (up, "up_proj"))}
    compare(tmp_path / "out", expected(stacked | router, dtype="bf16", choose=lambda s: "q8g64" if s.endswith("mlp.gate")
                                       else "q4g64"))


# ---- shards ----

def test_shards(convert, npz, weights, tmp_path, lib):
    """A folder of many files is the same tensors; the limit is the library's to choose."""
    lib.convert(npz("f16"), tmp_path / "out", shard_bytes=100000)
    files = sorted(p.name for p in (tmp_path / "out").glob("*.safetensors"))
    assert len(files) > 3 and files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    compare(tmp_path / "out", expected(hf_weights(weights), None, "f16"))
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    assert sorted(set(index["weight_map"].values())) == files
    convert(tmp_path / "out", tmp_path / "again")
    compare(tmp_path / "again", expected(hf_weights(weights), None, "f16"))
    lib.convert(npz("f16"), tmp_path / "npz", shard_bytes=100000, npz=True)
    assert (tmp_path / "npz/weights.00.npz").is_file()
    compare(tmp_path / "npz", expected(weights, None, "f16"))


# ---- nothing left behind ----

def left(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def refused(run, *arguments, code=1, **options):
    done = run("convert", *arguments, **options)
    assert done.returncode == code, done.stderr
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("cria: "), lines
    return lines[0]


def test_a_folder_that_is_there_is_left_alone(run, convert, npz, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("x")
    assert "not empty" in refused(run, npz("f16"), tmp_path / "out")
    assert left(tmp_path) == ["out", "out/mine"]
    (tmp_path / "out/mine").unlink()
    convert(npz("f16"), str(tmp_path / "out") + "/")
    assert (tmp_path / "out/config.json").is_file()
    (tmp_path / "file").write_text("x")
    assert "is there already" in refused(run, npz("f16"), tmp_path / "file")


def test_a_damaged_source_leaves_nothing(run, weights, tmp_path):
    bad = dict(weights)
    bad["layers.1.feed_forward.w2.weight"] = bad["layers.1.feed_forward.w2.weight"].copy()
    bad["layers.1.feed_forward.w2.weight"][77, 3] = np.inf
    models.write_folder(tmp_path / "in", SHAPE.config(), models.cast(bad, "f32"), models.spm_model(SHAPE.vocab))
    before = left(tmp_path)
    message = refused(run, tmp_path / "in", tmp_path / "deep/er/out", "-q")
    assert "row 77" in message and "down_proj" in message
    (tmp_path / "deep/er").rmdir()
    (tmp_path / "deep").rmdir()
    assert left(tmp_path) == before


def test_what_float16_cannot_hold(run, weights, tmp_path):
    bad = weights | {"norm.weight": weights["norm.weight"] * np.float32(1e6)}
    models.write_folder(tmp_path / "in", SHAPE.config(), models.cast(bad, "f32"), models.spm_model(SHAPE.vocab))
    assert "bfloat16" in refused(run, tmp_path / "in", tmp_path / "out", "--dtype", "float16")


def test_a_limit_on_files(run, npz, tmp_path):
    """A process that may write no more than so much: EFBIG, as a full disk is ENOSPC."""
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
    message = refused(run, npz("f32"), tmp_path / "out", preexec_fn=limit)
    assert "make room" in message
    assert left(tmp_path) == []


def test_a_full_disk(run, npz, tmp_path):
    (tmp_path / "disk").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(tmp_path / "disk")],
                             capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("elsewhere: only root can mount a small disk")
    try:
        assert "free on that disk" in refused(run, npz("f32"), tmp_path / "disk/out")
        assert left(tmp_path / "disk") == []
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(cria, tmp_path, sig):
    shape = models.Shape(dim=1024, layers=6, heads=8, kv_heads=8, head_dim=128, hidden=2816, vocab=503)
    rng = np.random.default_rng(1)
    weights = {}
    tile = rng.standard_normal((2816, 2816), np.float32) * np.float32(0.02)
    weights["tok_embeddings.weight"] = weights["output.weight"] = tile[:503, :1024]
    weights["norm.weight"] = tile[0, :1024]
    for i in range(shape.layers):
        for name, (rows, cols) in {"attention.wq": (1024, 1024), "attention.wk": (1024, 1024),
                                   "attention.wv": (1024, 1024), "attention.wo": (1024, 1024),
                                   "feed_forward.w1": (2816, 1024), "feed_forward.w2": (1024, 2816),
                                   "feed_forward.w3": (2816, 1024)}.items():
            weights[f"layers.{i}.{name}.weight"] = tile[:rows, :cols]
        weights[f"layers.{i}.attention_norm.weight"] = weights[f"layers.{i}.ffn_norm.weight"] = tile[1, :1024]
    models.write_folder(tmp_path / "in", shape.config(), models.cast(weights, "f16"), models.spm_model(503))
    process = subprocess.Popen([cria, "convert", tmp_path / "in", tmp_path / "out", "-q", "--threads", "1"],
                               stderr=subprocess.PIPE, preexec_fn=lambda: os.nice(19))  # not done before it is interrupted
    end = time.monotonic() + 20
    while not (tmp_path / "out.part/model.safetensors.part").exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.002)
    process.send_signal(sig)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 1 and b"Interrupted" in stderr
    assert left(tmp_path) == sorted(["in", "in/config.json", "in/tokenizer.model", "in/weights.npz"])


def test_what_a_killed_run_left_is_taken_over(convert, npz, tmp_path):
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part/model.safetensors.part").write_text("half")
    convert(npz("f16"), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert "model.safetensors.part" not in os.listdir(tmp_path / "out")


# ---- what cannot be done ----

@pytest.mark.parametrize("arguments,words", [
    (["-q", "--q-bits", "7"], "2, 3, 4, 5, 6 and 8 bits"),
    (["-q", "--q-group-size", "48"], "Nothing would be quantized"),
    (["-q", "--q-layers", "no_such_layer=4"], "for no layer"),
    (["-q", "--q-layers", "down_proj=4:128"], "352 columns"),
    (["-q", "--npz", "--q-layers", "w1=8"], "one quantization for all layers"),
    (["-q", "--q-mode", "mxfp4", "--quant-predicate", "mixed_2_6"], "affine quantization only"),
    (["--tokenizer", "/no/such/file"], "no/such/file"),
])
def test_refused(run, npz, tmp_path, arguments, words):
    assert words in refused(run, npz("f16"), tmp_path / "out", *arguments)
    assert left(tmp_path) == []


@pytest.mark.parametrize("arguments", [["--q-layers", "x=4"], ["-q", "--q-layers", "x"], ["-q", "--q-layers", "x=4:"],
                                       ["-q", "--q-layers", "=4"], ["-q", "--q-layers", "x=4:64:wrong"],
                                       ["-q", "--q-mode", "int4"], ["--mlx-path", "elsewhere"], ["third"]])
def test_usage(run, npz, tmp_path, arguments):
    refused(run, npz("f16"), tmp_path / "out", *arguments, code=2)


# ---- every family ----

@pytest.mark.parametrize("name", families.FAMILIES)
def test_families_are_quantized_as_mlx_lm_does(convert, lib, tmp_path, name):
    """Hugging Face's folder of each, sharded, against mlx.nn.quantize of mlx-lm's own model; and cria runs it."""
    family = families.Family(name)
    family.write_hf(tmp_path / "in", shards=2)
    rule = ["--q-layers", "*.mlp.gate=4:32"] if any(".mlp.gate." in k for k in family.weights) else []
    convert(tmp_path / "in", tmp_path / "out", "-q", "--q-group-size", 32, *rule)
    tensors, _, _ = family.quantized(4, 32)
    compare(tmp_path / "out", tensors)
    logits = lib.open(tmp_path / "out").engine().sequence().eval([1, 2, 3])
    assert np.isfinite(logits).all()


# ---- broken and hostile files ----

class Pickled:
    """A pickle written by hand: opcodes and their arguments."""

    def __init__(self, *parts):
        self.data = b"\x80\x02" + b"".join(parts) + b"."


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def tensor(key=b"0", storage=b"ctorch\nFloatStorage\n", numel=b"K\x06", offset=b"K\x00", size=b"K\x02K\x03\x86",
           stride=b"K\x03K\x01\x86", what=b"ctorch._utils\n_rebuild_tensor_v2\n", tail=b"\x89}t"):
    storage = b"(" + text("storage") + storage + text(key.decode()) + text("cpu") + numel + b"tQ"
    return what + b"(" + storage + offset + size + stride + tail + b"R"


def state(*items):
    return b"}(" + b"".join(text(k) + v for k, v in items) + b"u"


BROKEN_PTH = {
    "os.system": (state(("a", b"cos\nsystem\n(" + text("id") + b"tR")), "os.system"),
    "builtins.eval": (b"c__builtin__\neval\n(" + text("1") + b"tR", "__builtin__.eval"),
    "another storage": (state(("a", tensor(storage=b"ctorch\nQuantizedStorage\n"))), "torch.QuantizedStorage"),
    "object": (b"ccopy_reg\n_reconstructor\n", "copy_reg._reconstructor"),
    "INST": (b"(ios\nsystem\n", "0x69"),
    "NEWOBJ": (b"ccollections\nOrderedDict\n)\x81", "0x81"),
    "OrderedDict of items": (b"ccollections\nOrderedDict\n(" + text("x") + b"tR", "OrderedDict"),
    "no end": (state(("a", tensor()))[:-1], "damaged"),
    "not a dict": (b"K\x01", "no state dict"),
    "a number": (state(("a", b"K\x01")), "other than named tensors"),
    "twice": (state(("a", tensor()), ("a", tensor())), "two tensors"),
    "storage missing": (state(("a", tensor(key=b"7"))), "not in the archive"),
    "too large": (state(("a", tensor(size=b"K\x02K\x04\x86", stride=b"K\x04K\x01\x86"))), "claims 32 bytes"),
    "offset": (state(("a", tensor(offset=b"K\x01"))), "from item 1"),
    "negative offset": (state(("a", tensor(offset=b"J\xff\xff\xff\xff"))), "claims"),
    "overflow": (state(("a", tensor(size=b"\x8a\x08" + b"\xff" * 7 + b"\x7f" + b"K\x02\x86", stride=b"K\x02K\x01\x86"))),
                 "claims"),
    "transposed": (state(("a", tensor(stride=b"K\x01K\x02\x86"))), "row by row"),
    "memo": (b"h\x09", "was not kept"),
    "empty stack": (b"R", "a call of nothing"),
    "mark": (b"u", "without a mark"),
    "text": (b"X\xff\xff\xff\x7fabc", "beyond the end"),
}


def write_members(path, members):
    with zipfile.ZipFile(path, "w") as z:
        for name, data in members.items():
            z.writestr(name, data)


@pytest.mark.parametrize("what", BROKEN_PTH)
def test_broken_pth(run, tmp_path, what):
    data, words = BROKEN_PTH[what]
    (tmp_path / "in").mkdir()
    write_members(tmp_path / "in/consolidated.00.pth", {"c/data.pkl": Pickled(data).data, "c/data/0": bytes(24)})
    (tmp_path / "in/params.json").write_text('{"dim": 128, "n_layers": 2, "n_heads": 4}')
    message = refused(run, tmp_path / "in", tmp_path / "out")
    assert words in message and "consolidated.00.pth" in message
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.part").exists()


@pytest.mark.parametrize("params,words", [
    ("{", "not valid JSON"), ("{}", '"dim" is missing'), ('{"dim": 1e99, "n_layers": 1, "n_heads": 1}', '"dim"'),
    ('{"dim": 128, "n_layers": 2, "n_heads": 3}', "do not fit together"),
    ('{"dim": 128, "n_layers": 2, "n_heads": 4, "use_scaled_rope": true}', "use_scaled_rope"),
])
def test_broken_params(run, tmp_path, params, words):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/params.json").write_text(params)
    assert words in refused(run, tmp_path / "in", tmp_path / "out")


def test_no_shards(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/params.json").write_text('{"dim": 128, "n_layers": 2, "n_heads": 4}')
    assert "consolidated" in refused(run, tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("change", ["longer", "shorter", "layers", "heads"])
def test_broken_llama2c(run, tmp_path, change):
    """Its length follows from its header: what does not fit is not one."""
    path = write_llama2c(tmp_path / "m.bin", SHAPE, models.random_weights(SHAPE), False)
    data = bytearray(path.read_bytes())
    if change == "longer":
        data += bytes(4)
    elif change == "shorter":
        del data[-4:]
    else:
        struct.pack_into("<i", data, 8 if change == "layers" else 12, 3)
    path.write_bytes(data)
    assert "m.bin" in refused(run, path, tmp_path / "out")


# ---- a real model ----

@pytest.mark.parametrize("kind", ["q4g32", "q4g64", "q5g64", "q6g64", "q8g64", "mxfp4", "nvfp4", "mxfp8"])
def test_smollm2_still_knows_paris(convert, run, smollm2, tmp_path, kind):
    """From the .gguf to a quantized folder with a tokenizer.json, and text from that."""
    convert(smollm2, tmp_path / "out", *flags(kind))
    done = run("generate", "--model-path", tmp_path / "out", "--quiet", "--max-tokens", 12, "--prompt",
               "Question: What is the capital of France?\nAnswer: The capital of France is")
    assert done.returncode == 0 and b"Paris" in done.stdout, (done.stdout, done.stderr)
