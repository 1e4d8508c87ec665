# SPDX-License-Identifier: Apache-2.0
"""GGUF files: cria against MLX on the weights as PyPI gguf dequantizes them."""
import compare
import gguf
import mlx.core as mx
import models
import numpy as np
import pytest
from models import Shape
from reference import Reference

SHAPES = {"base": Shape(), "wide_heads": Shape(kv_heads=1, head_dim=48, hidden=384, theta=100000.0)}
K_SHAPES = {"base": Shape(dim=256, heads=8, kv_heads=4, hidden=512),
            "wide_heads": Shape(dim=256, kv_heads=1, head_dim=64, hidden=768, theta=100000.0)}


@pytest.mark.parametrize("kind,most", list(zip(models.K_TYPES + models.IQ4_TYPES, (0.35, 0.16, 0.08, 0.04, 0.02, 0.09,
                                                                                   0.09))))
def test_our_quantizers(kind, most):
    """models.quantize_k and quantize_iq4 write blocks that mean what it was given; otherwise nobody knows what the models below are."""
    w = np.random.default_rng(8).standard_normal((7, 768)).astype(np.float32)
    w[3, 256:512] = 0
    back = gguf.quants.dequantize(models.quantize_gguf(w, kind), models.GGUF_TYPES[kind])
    error = np.sqrt(np.mean((back - w) ** 2) / np.mean(w ** 2))
    assert most / 4 < error < most and not back[3, 256:512].any()


def reference_of(path, **options):
    config, weights = models.read_gguf(path)
    return Reference(config, {k: mx.array(v) for k, v in weights.items()}, **options)


def ids(model):
    bos = model.tokenizer.bos
    return [[bos] + model.tokenizer.encode(text) for text in models.PROMPTS]


@pytest.mark.parametrize("tied,tokenizer", [(False, "llama"), (True, "gpt2")], ids=["output-llama", "tied-gpt2"])
@pytest.mark.parametrize("kind", [*models.GGUF_TYPES, "K"])
def test_small(lib, tmp_path, tally, kind, tied, tokenizer):
    shape = (K_SHAPES if kind == "K" or kind in models.SUPER_TYPES else SHAPES)["wide_heads" if tied else "base"]
    weights = models.random_weights(shape, seed=4, tied=tied)
    path = models.write_gguf(tmp_path / "m.gguf", shape, weights, kind, tokenizer, tied)
    model = lib.open(path, activations="f32")
    assert model.info.context == 512 and model.info.format == b"gguf"
    # The context of 512 holds the longest prompt with 100 more.
    reference = reference_of(path, numpy_products=kind != "F32")
    result = compare.compare_model(model, reference, ids(model)[:20], n=100, n_sampled=1)
    tally.append(f"gguf {kind}, {'tied' if tied else 'with output'}, {tokenizer} tokenizer: {result}")


@pytest.mark.parametrize("opened", ["first", "another", "folder"])
def test_split(lib, tmp_path, opened):
    """The parts that PyPI gguf writes are the model that one file is, bit for bit."""
    shape, weights = K_SHAPES["base"], models.random_weights(K_SHAPES["base"])
    whole = models.write_gguf(tmp_path / "m.gguf", shape, weights, "K")
    (tmp_path / "parts").mkdir()
    first = models.write_gguf(tmp_path / "parts" / "m.gguf", shape, weights, "K", split=4)
    parts = sorted(first.parent.iterdir())
    assert len(parts) == -(-len(weights) // 4) and first == parts[0]
    path = {"first": first, "another": parts[3], "folder": first.parent}[opened]
    logits = [lib.open(p).engine().sequence().eval(list(range(1, 100))) for p in (whole, path)]
    assert np.array_equal(*(x.view(np.uint32) for x in logits))
