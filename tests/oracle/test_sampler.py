# SPDX-License-Identifier: Apache-2.0
"""The sampler against mx.random.categorical itself: same logits, same seed, same tokens, without exception."""
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from cria_ctypes import CriaError, Sampler

VOCABULARIES = [1, 2, 3, 32, 127, 1000, 32000, 49152, 128256]
SEEDS = [0, 1, 42, 2**40 + 7, 2**64 - 1]
DRAWS = 12


@pytest.fixture(scope="module")
def ctx(lib):
    return lib.context(threads=1)


def logits_like(rng, vocab):
    """From almost flat (0.01) to one token taking everything (60), shifted, some with ties or ruled-out tokens."""
    x = rng.standard_normal(vocab) * rng.choice([0.01, 1, 3, 20, 60]) + rng.choice([0, -50, 300])
    if rng.random() < 0.2:
        x = np.round(x)
    if vocab > 1 and rng.random() < 0.2:
        x[rng.integers(vocab, size=vocab // 2)] = -np.inf
        x[rng.integers(vocab)] = 1
    return x.astype(np.float32)


def mlx_draw(logits, temp):
    return mx.random.categorical(mx.array(logits)[None] * (1 / temp)).item()


@pytest.mark.quick
@pytest.mark.parametrize("temp", [0.05, 0.3, 0.7, 0.8, 1.0, 1.3, 5.0, 100.0])
@pytest.mark.parametrize("vocab", VOCABULARIES)
def test_draws_are_those_of_mlx(ctx, vocab, temp):
    rng = np.random.default_rng([vocab, int(temp * 100)])
    for seed in SEEDS:
        mx.random.seed(seed)
        sampler = Sampler(ctx, temp, seed)
        for _ in range(DRAWS):
            logits = logits_like(rng, vocab)
            assert sampler.sample(logits) == mlx_draw(logits, temp), (vocab, temp, seed)


@pytest.mark.quick
def test_argmax_is_that_of_mlx(ctx):
    rng = np.random.default_rng(0)
    sampler = Sampler(ctx, 0.0, 0)
    for vocab in VOCABULARIES:
        for _ in range(20):
            logits = logits_like(rng, vocab)
            assert sampler.sample(logits) == mx.argmax(mx.array(logits)[None], axis=-1).item()


@pytest.mark.quick
@pytest.mark.parametrize("quantized", [False, True])
def test_skip_stands_for_the_keys_of_a_models_first_weights(ctx, quantized):
    """The example seeds, then builds its model, and only then draws tokens. n layers of 7 linear ones, the embedding
    and the output draw 7n + 2 keys; nn.quantize draws as many again."""
    layers = 3
    mx.random.seed(11)
    modules = [nn.Embedding(64, 64), nn.Linear(64, 64, bias=False)] + [nn.Linear(64, 64, bias=False) for _ in range(7 * layers)]
    if quantized:
        nn.quantize(nn.Sequential(*modules))
    sampler = Sampler(ctx, 1.0, 11, skip=(7 * layers + 2) * (2 if quantized else 1))
    logits = logits_like(np.random.default_rng(5), 1000)
    assert [sampler.sample(logits) for _ in range(20)] == [mlx_draw(logits, 1.0) for _ in range(20)]


@pytest.mark.quick
@pytest.mark.parametrize("temp", [-1.0, float("nan"), float("inf"), 1e-39, 1e60])
def test_impossible_temperatures_are_refused(ctx, temp):
    with pytest.raises(CriaError, match="temperature"):
        Sampler(ctx, temp, 0)
