# SPDX-License-Identifier: Apache-2.0
"""GGUF files: cria against MLX on the weights as PyPI gguf dequantizes them."""
import compare
import mlx.core as mx
import models
import pytest
from models import Shape
from reference import Reference

SHAPES = {"base": Shape(), "wide_heads": Shape(kv_heads=1, head_dim=48, hidden=384, theta=100000.0)}


def reference_of(path):
    config, weights = models.read_gguf(path)
    return Reference(config, {k: mx.array(v) for k, v in weights.items()})


def ids(model):
    bos = model.tokenizer.bos
    return [[bos] + model.tokenizer.encode(text) for text in models.PROMPTS]


@pytest.mark.parametrize("tokenizer", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [False, True], ids=["output", "tied"])
@pytest.mark.parametrize("kind", models.GGUF_TYPES)
def test_small(lib, tmp_path, tally, kind, tied, tokenizer):
    shape = SHAPES["wide_heads" if tied else "base"]
    weights = models.random_weights(shape, seed=4, tied=tied)
    path = models.write_gguf(tmp_path / "m.gguf", shape, weights, kind, tokenizer, tied)
    model = lib.open(path, activations="f32")
    assert model.info.context == 512 and model.info.format == b"gguf"
    # The context of 512 holds the longest prompt with 100 more.
    result = compare.compare_model(model, reference_of(path), ids(model)[:20], n=100, sampled=1)
    tally.append(f"gguf {kind}, {'tied' if tied else 'with output'}, {tokenizer} tokenizer: {result}")
