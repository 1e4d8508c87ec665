# SPDX-License-Identifier: Apache-2.0
"""safetensors files as others than MLX write them: float8 weights, tensors at odd places, other names of files."""
import json
import struct

import cria_ctypes
import mlx.core as mx
import models
import numpy as np
import pytest

SHAPE = models.Shape(dim=96, heads=3, kv_heads=1, head_dim=32, hidden=160)
TOKENS = list(range(1, 100))


def logits(lib, path, **how):
    return lib.open(path, **how).engine().sequence().eval(TOKENS)


def same(a, b):
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


def write(folder, tensors, padding=0, name="model.safetensors", config=None):
    """tensors: name → (dtype, array of its bytes' items). A header that ends anywhere, so that no tensor is aligned."""
    models.write_folder(folder, config or SHAPE.config(), {}, models.spm_model(SHAPE.vocab), writer="none")
    header, data = {}, b""
    for tensor, (dtype, a) in tensors.items():
        header[tensor] = {"dtype": dtype, "shape": a.shape, "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    text = json.dumps(header).encode()
    text += b" " * ((padding - len(text)) % 8)
    (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


def bf16(a):
    """The upper halves of float32 numbers: those of float8 lose nothing."""
    return (np.ascontiguousarray(a, np.float32).view(np.uint32) >> 16).astype(np.uint16)


@pytest.fixture(scope="module")
def float8():
    """(bytes, values) of the weights rounded to float8_e4m3 by MLX; vectors stay float32."""
    out = {}
    for name, w in models.random_weights(SHAPE).items():
        codes = mx.to_fp8(mx.array(w)) if w.ndim == 2 else None
        out[name] = (w, w) if codes is None else (np.array(codes), np.array(mx.from_fp8(codes, mx.float32)))
    return out


def plain(float8):
    return {k: ("F32", v) if v.ndim == 1 else ("BF16", bf16(v)) for k, (_, v) in float8.items()}


def test_float8(lib, tmp_path, float8):
    """The same bits as the same values as bfloat16 with float32 activations, and as near to those with integers."""
    eight = write(tmp_path / "eight", {k: ("F32" if b.ndim == 1 else "F8_E4M3", b) for k, (b, _) in float8.items()})
    want = write(tmp_path / "want", plain(float8))
    exact = logits(lib, want, activations="f32")
    assert same(logits(lib, eight, activations="f32"), exact)
    off = [np.abs(logits(lib, model) - exact).mean() for model in (eight, want)]
    assert 0 < off[0] < 1.5 * off[1] < 1e-3 * np.abs(exact).max()


@pytest.mark.parametrize("name", ["weight_scale_inv", "weight_scale", "input_scale"])
def test_scaled_float8_is_refused_by_name(lib, tmp_path, float8, name):
    tensors = {k: ("F32" if b.ndim == 1 else "F8_E4M3", b) for k, (b, _) in float8.items()}
    tensors[f"layers.0.attention.wq.{name}"] = "F32", np.ones((1, 1), np.float32)
    with pytest.raises(cria_ctypes.CriaError, match=f"layers.0.attention.wq.{name}"):
        lib.open(write(tmp_path / "m", tensors))


def test_any_alignment(lib, tmp_path, float8):
    want = logits(lib, write(tmp_path / "m", plain(float8)))
    for padding in range(1, 8):
        folder = write(tmp_path / f"{padding}", plain(float8), padding)
        assert (folder / "model.safetensors").stat().st_size % 2 == padding % 2
        assert same(want, logits(lib, folder)), padding


def test_other_names(lib, tmp_path, float8):
    """A single file by its path, whatever it is called; what mlx-lm finds by its patterns; shards by their numbers."""
    want = logits(lib, write(tmp_path / "m", plain(float8)))
    odd = write(tmp_path / "odd", plain(float8), name="anything.bin")
    assert same(want, logits(lib, odd / "anything.bin"))
    with pytest.raises(cria_ctypes.CriaError, match="holds neither weights.npz"):
        lib.open(odd)
    items = list(plain(float8).items())
    for i, names in enumerate((("weights.00.safetensors", "weights.01.safetensors"),
                               ("model-a.safetensors", "model_b.safetensors"),
                               ("model-2-of-2.safetensors", "model-1-of-2.safetensors"))):
        for j, name in enumerate(names):
            folder = write(tmp_path / f"split{i}", dict(items[j::2]), name=name)
        assert same(want, logits(lib, folder)), names
