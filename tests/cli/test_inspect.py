# SPDX-License-Identifier: Apache-2.0
"""inspect: what it says of a model is what was put into it, in no time however large the weights are."""
import json
import struct
import time

import models
import numpy as np
import pytest

pytestmark = pytest.mark.quick
SHAPE = models.Shape(dim=256, layers=3, heads=4, kv_heads=2, head_dim=64, hidden=512)


def kv_bytes(item_bytes, tokens, shape=SHAPE):
    """Keys and values of whole blocks of 64 positions; of int8, with a float32 scale for each position and head."""
    blocks = -(-tokens // 64) * 64
    per_head = shape.head_dim * item_bytes + (4 if item_bytes == 1 else 0)
    return 2 * shape.layers * shape.kv_heads * blocks * per_head


@pytest.fixture(scope="module")
def inspect(run):
    def call(*arguments):
        r = run("inspect", "--json", *arguments)
        assert (r.returncode, r.stderr) == (0, b""), r.stderr
        return json.loads(r.stdout)
    return call


def write(tmp_path, kind, **how):
    weights = models.random_weights(SHAPE)
    if kind in models.GGUF_TYPES or kind == "K":
        return models.write_gguf(tmp_path / "m.gguf", SHAPE, weights, kind, **how)
    config = SHAPE.config()
    if kind in models.DTYPES:
        weights = models.cast(weights, kind)
    else:
        weights, config["quantization"] = models.quantize(weights, kind)
    return models.write_folder(tmp_path / "m", config, weights, models.spm_model(SHAPE.vocab), **how)


CASES = [("f32", {}, "npz", "f32", 32), ("bf16", {"writer": "safetensors", "shards": 2}, "safetensors", "bf16", 16),
         ("q4g64", {"writer": "safetensors"}, "safetensors", "affine4-g64", 4.5), ("q3g32", {}, "npz", "affine3-g32", 4),
         ("mxfp8", {}, "npz", "mxfp8", 8.25), ("nvfp4", {}, "npz", "nvfp4", 4.5), ("Q4_0", {}, "gguf", "q4_0", 4.5),
         ("Q6_K", {"tokenizer": "gpt2"}, "gguf", "q6_k", 6.5625), ("IQ4_XS", {"split": 5}, "gguf", "iq4_xs", 4.25),
         ("MXFP4", {}, "gguf", "mxfp4", 4.25)]


@pytest.mark.parametrize("kind,how,container,name,bits", CASES, ids=[c[0] for c in CASES])
def test_says_what_is_there(inspect, tmp_path, kind, how, container, name, bits):
    path = write(tmp_path, kind, **how)
    seen = inspect(path, "--context", "1000")
    weights = models.random_weights(SHAPE)
    assert (seen["format"], seen["architecture"]) == (container, "llama")
    assert [seen[k] for k in ("layers", "dim", "heads", "kv_heads", "head_dim", "hidden_dim", "vocab_size")] == [
        SHAPE.layers, SHAPE.dim, SHAPE.heads, SHAPE.kv_heads, SHAPE.head_dim, SHAPE.hidden, SHAPE.vocab]
    assert seen["parameters"] == sum(w.size for w in weights.values())
    assert seen["context"] == (512 if container == "gguf" else None)
    files = [p for p in (path.iterdir() if path.is_dir() else path.parent.glob("m*.gguf"))
             if p.suffix in (".npz", ".safetensors", ".gguf")]
    assert (seen["files"], seen["file_bytes"]) == (len(files), sum(p.stat().st_size for p in files))

    names = models.gguf_name if container == "gguf" else str
    want = {names(k): (w.shape if w.ndim == 2 else (1, len(w))) for k, w in weights.items()}
    assert {t["name"]: (t["rows"], t["cols"]) for t in seen["tensors"]} == want
    for t in seen["tensors"]:
        matrix = t["rows"] > 1
        vector = "f32" if container == "gguf" else kind if kind in models.DTYPES else "f16"
        assert t["type"] == (name if matrix else vector), t
        if matrix:
            assert t["bytes"] == t["rows"] * t["cols"] * bits / 8

    tokenizer = seen["tokenizer"]
    assert tokenizer["kind"] == ("BPE" if how.get("tokenizer") else "SentencePiece BPE")
    assert tokenizer["pieces"] == SHAPE.vocab and not seen["chat_template"]
    assert (tokenizer["bos"], tokenizer["eos"]) == ((0, 1) if how.get("tokenizer") else (1, 2))
    memory = seen["memory"]
    assert memory["tokens"] == 1000
    assert memory["kv_f32"] == kv_bytes(4, 1000) and memory["kv_f16"] == kv_bytes(2, 1000)
    assert kv_bytes(1, 1000) <= memory["kv_int8"] <= 1.1 * kv_bytes(1, 1000)
    assert kv_bytes(2, 1000) <= memory["kv_int16"] <= 1.05 * kv_bytes(2, 1000)


@pytest.mark.parametrize("kind", ["q4g64", "Q6_K"])
def test_the_numbers_of_the_loaded_model(inspect, lib, tmp_path, kind):
    path = write(tmp_path, kind)
    memory, info = inspect(path)["memory"], lib.open(path).info
    assert memory["weights"] == info.weight_bytes
    embeddings = SHAPE.vocab * SHAPE.dim * {"q4g64": 4.5, "Q6_K": 6.5625}[kind] / 8  # of which a token reads one row
    assert memory["read_per_token"] == pytest.approx(info.weight_bytes - embeddings, rel=0.01)


def test_contexts(inspect, run, tmp_path, small_model):
    gguf = write(tmp_path, "Q4_0")
    assert inspect(gguf)["memory"]["tokens"] == 512
    assert inspect(small_model)["memory"]["tokens"] == 4096 and inspect(small_model)["context"] is None
    assert b"the files do not say" in run("inspect", small_model).stdout
    for tokens in (1, 64, 65):
        assert inspect(gguf, "--context", tokens)["memory"]["kv_f32"] == kv_bytes(4, tokens)


def test_chat_template(inspect, tmp_path):
    folder = write(tmp_path, "f32")
    for text, there in (('{"chat_template": "{{ x }}"}', True), ('{"chat_template": null}', False), ("{}", False),
                        ('{"chat_template": [{"name": "default", "template": ""}]}', True), ("{", False)):
        (folder / "tokenizer_config.json").write_text(text)
        assert inspect(folder)["chat_template"] is there
    (folder / "chat_template.jinja").write_text("{{ x }}")
    assert inspect(folder)["chat_template"] is True


def test_page(run, tmp_path):
    """One line for what layers have in common: mixed types show as several, with their layers."""
    path = write(tmp_path, "K")
    lines = run("inspect", path).stdout.decode().splitlines()
    assert max(map(len, lines)) <= 120
    assert sum(line.startswith("  blk.*.attn_norm.weight ") for line in lines) == 1
    queries = [line.split()[4:] for line in lines if line.startswith("  blk.") and ".attn_q.weight" in line]
    assert len(queries) == 3  # each layer has another type
    every = run("inspect", "--tensors", path).stdout.decode().splitlines()
    assert len([line for line in every if line.startswith("  blk.")]) == 9 * SHAPE.layers
    plain = run("inspect", write(tmp_path, "Q4_0")).stdout.decode()
    assert "3 (0-2)" in plain and "\n  q4_0 " in plain


def test_without_a_tokenizer(run, tmp_path):
    """What is wrong with it is said, and the rest is shown."""
    folder = write(tmp_path, "f32")
    (folder / "tokenizer.model").write_bytes(b"no tokenizer")
    r = run("inspect", "--json", folder)
    assert r.returncode == 0 and json.loads(r.stdout)["tokenizer"] is None
    assert r.stderr.startswith(b"cria: ") and r.stderr.count(b"\n") == 1 and b"tokenizer.model" in r.stderr
    assert b"none that can be read" in run("inspect", folder).stdout
    assert run("--model-path", folder, "--prompt", "a").returncode == 1


@pytest.mark.parametrize("broken", ["config", "weights", "tensor", "nothing"])
def test_what_cannot_be_read(run, tmp_path, broken):
    folder = write(tmp_path, "f32")
    if broken == "config":
        (folder / "config.json").write_text("{}")
    elif broken == "weights":
        (folder / "weights.npz").write_bytes(b"PK")
    elif broken == "tensor":
        (folder / "config.json").write_text(json.dumps(SHAPE.config() | {"hidden_dim": 256}))
    path = folder / "x" if broken == "nothing" else folder
    r = run("inspect", path)
    assert (r.returncode, r.stdout) == (1, b"")
    assert r.stderr.startswith(b"cria: ") and r.stderr.count(b"\n") == 1 and str(path).encode() in r.stderr


def test_a_large_file_is_not_read(cria, tmp_path, peak_memory):
    """Forty gigabytes of zeros that the disk does not have to hold: opened, and hardly any of it in memory."""
    shape = models.Shape(dim=8192, layers=24, heads=64, kv_heads=8, head_dim=128, hidden=28672, vocab=503)
    header, at = {}, 0
    small = models.Shape(layers=shape.layers, vocab=shape.vocab)
    sizes = {small.dim: shape.dim, small.hidden: shape.hidden, small.kv_heads * small.head_dim: 1024, small.vocab: 503}
    for name, w in models.random_weights(small).items():
        dims = [sizes[n] for n in w.shape]
        end = at + 2 * int(np.prod(dims))
        header[name] = {"dtype": "BF16", "shape": dims, "data_offsets": [at, end]}
        at = end
    folder = models.write_folder(tmp_path / "m", shape.config(), {}, models.spm_model(shape.vocab), writer="none")
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + at)
    assert at > 40e9
    start = time.monotonic()
    out, kib = peak_memory(cria, "inspect", folder)
    assert time.monotonic() - start < 10
    assert f"{at / 1e9:.1f} GB" in out.decode()
    assert kib < 64 << 10


@pytest.mark.parametrize("name", ["qwen3_moe", "gemma3", "phi3"])
@pytest.mark.parametrize("file", ["hf", "gguf"])
def test_families(inspect, tmp_path, name, file):
    """Each tensor of the file once, fused ones and stacks of experts, too; experts and windows are told."""
    from families import Family
    family = Family(name)
    path = family.write_gguf(tmp_path / "m.gguf") if file == "gguf" else family.write_hf(tmp_path / "m")
    seen, config = inspect(path), family.config
    assert seen["experts"] == config.get("num_experts") and seen["experts_used"] == config.get("num_experts_per_tok")
    assert (seen["window"], seen["window_layers"] > 0) == (config.get("sliding_window"), "sliding_window" in config)
    names = [t["name"] for t in seen["tensors"]]
    assert len(names) == len(set(names))
    matrices = [t for t in seen["tensors"] if t["rows"] > 1]
    assert sum(t["rows"] * t["cols"] for t in seen["tensors"]) == seen["parameters"]
    assert all(t["bytes"] == 4 * t["rows"] * t["cols"] for t in matrices)
    if "num_experts" in config:
        assert seen["memory"]["read_per_token"] < 0.8 * seen["memory"]["weights"]
