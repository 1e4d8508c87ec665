# SPDX-License-Identifier: Apache-2.0
"""Real weights: SmolLM2-135M-Instruct as GGUF, and dequantized into MLX folders of every dtype and quantization."""
import compare
import mlx.core as mx
import models
import pytest
from reference import Reference

TEXT = ("In the beginning the Universe was created. This has made a lot of people very angry and been widely regarded "
        "as a bad move. Many races believe that it was created by some sort of god.")
# At 1.5, as compare.DRAWS has it, the distribution over 49152 tokens is so flat that most intervals of the cumulative
# one are 1e-5 wide, and the rounding of float32 decides 4 of 200 draws.
DRAWS = [(0.3, 1), (0.7, 7), (1.0, 123456789)]
FEW_LAYERS = 4  # of 30, where every quantization is tried: MLX takes a minute to quantize the whole model in some


@pytest.fixture(scope="module")
def dequantized(smollm2):
    """(config, float32 weights) of the file, as PyPI gguf reads it."""
    return models.read_gguf(smollm2)


@pytest.fixture(scope="module")
def whole(dequantized):
    config, weights = dequantized
    return Reference(config, {k: mx.array(v) for k, v in weights.items()}, numpy_products=True)


@pytest.fixture(scope="module")
def prompts(lib, smollm2):
    tokenizer = lib.open(smollm2).tokenizer
    return [[tokenizer.bos] + tokenizer.encode(text) for text in models.PROMPTS]


def write(folder, config, weights):
    return models.write_folder(folder, config, weights, models.spm_model_dummy(config["vocab_size"]))


def test_numpy_products_are_mlx_products(dequantized, whole, prompts):
    """MLX alone, and MLX with numpy's matrix product, on the real model: the same logits to rounding."""
    config, weights = dequantized
    tokens = prompts[0]
    alone = Reference(config, {k: mx.array(v) for k, v in weights.items()}).logits(tokens)
    assert compare.logits_error(whole.logits(tokens), alone) < 2e-5


def test_gguf(lib, smollm2, whole, prompts, tally):
    """Greedy text of 200 tokens after 20 prompts, and sampled text."""
    engine = lib.open(smollm2, activations="f32").engine(kv="f32")
    texts = compare.greedy(prompts) + compare.sampled(prompts[:1], DRAWS)
    result = compare.compare_texts(engine, whole, texts, 200)
    result.finish()
    tally.append(f"SmolLM2 Q4_1: {result}")


@pytest.mark.parametrize("dtype", models.DTYPES)
def test_float_folder(lib, tmp_path, dequantized, prompts, tally, dtype):
    config, weights = dequantized
    folder = write(tmp_path / "m", config, models.cast(weights, dtype))
    engine = lib.open(folder, activations="f32").engine(kv="f32")
    reference = Reference.load(folder, numpy_products=True)
    result = compare.compare_texts(engine, reference, compare.greedy(prompts[:4]), 100)
    result.finish()
    tally.append(f"SmolLM2 {dtype}: {result}")


@pytest.mark.parametrize("kind", models.QUANTIZATIONS)
def test_quantized_folder(lib, tmp_path, dequantized, prompts, tally, kind):
    """The first layers with the whole vocabulary. 576, the model's dimension, is no multiple of 128."""
    config, weights = dequantized
    few = {k: v for k, v in weights.items() if not k.startswith("layers.") or int(k.split(".")[1]) < FEW_LAYERS}
    output = few.pop("output.weight")
    assert output is few["tok_embeddings.weight"]  # tied: quantized once, stored twice
    stored, quantization = models.quantize(few, kind)
    stored |= {k.replace("tok_embeddings", "output"): v for k, v in stored.items() if k.startswith("tok_embeddings")}
    folder = write(tmp_path / "m", config | {"n_layers": FEW_LAYERS, "quantization": quantization}, stored)
    engine = lib.open(folder, activations="f32").engine(kv="f32")
    reference = Reference.load(folder, numpy_products=True)
    result = compare.compare_texts(engine, reference, compare.greedy(prompts[:2]), 30)
    result.finish()
    tally.append(f"SmolLM2, {FEW_LAYERS} layers, {kind}: {result}")


# activations: largest mean divergence from float32 in nats; docs/quality.md has what was measured, here with room
NEAR = {"int16": 2e-6, "default": 1.2e-3, "int8": 4e-3}


@pytest.mark.parametrize("activations", NEAR)
def test_other_precisions_stay_near(lib, smollm2, whole, tally, activations):
    model = lib.open(smollm2, activations=activations)
    tokens = model.tokenizer.encode(TEXT * 4)
    divergence = compare.mean_divergence(whole.logits(tokens), model.engine().sequence().eval(tokens))
    tally.append(f"SmolLM2 Q4_1, activations {activations}, kv int16: divergence {divergence:.1e}")
    assert divergence < NEAR[activations]


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_half_floats_stay_near(lib, tmp_path, dequantized, prompts, tally, dtype):
    """Half floats as integers of 13 bits against the same weights in float32, keys and values as int16 in both."""
    config, weights = dequantized
    folder = write(tmp_path / "m", config, models.cast(weights, dtype))
    tokens = sum(prompts, [])[:200]
    exact = lib.open(folder, activations="f32").engine().sequence().eval(tokens)
    divergence = compare.mean_divergence(exact, lib.open(folder).engine().sequence().eval(tokens))
    tally.append(f"SmolLM2 {dtype}, default activations, kv int16: divergence {divergence:.1e}")
    assert 1e-7 < divergence < 6e-5
