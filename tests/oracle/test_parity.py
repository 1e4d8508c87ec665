# SPDX-License-Identifier: Apache-2.0
"""MLX folders: cria against the example's model on MLX (reference.py says what is compared with what and why)."""
import compare
import cria_ctypes
import mlx.core as mx
import models
import numpy as np
import pytest
import reference as ref
import sentencepiece
from models import Shape
from reference import Reference

SHAPES = {
    "base": Shape(),
    "all_heads": Shape(kv_heads=4, theta=10000.0),
    "one_kv_head": Shape(kv_heads=1, head_dim=48),
    "halves": Shape(dim=192, layers=3, heads=6, kv_heads=3, head_dim=32, hidden=384, traditional=False, theta=500000.0),
    "odd": Shape(dim=130, heads=5, kv_heads=5, head_dim=26, hidden=333, vocab=491, eps=1e-6),
}

# name: (shape, fields of config.json to leave out, fields to change)
CONFIGS = {
    "meta": ("all_heads", ["n_kv_heads", "head_dim", "hidden_dim", "rope_theta", "rope_traditional", "model_type"],
             {"vocab_size": -1, "multiple_of": 256}),
    "bare": ("all_heads", ["n_kv_heads", "head_dim", "hidden_dim", "rope_theta", "rope_traditional", "model_type",
                           "vocab_size"], {}),
    "converted": ("halves", ["head_dim", "rope_theta"], {"ffn_dim_multiplier": 1.3, "multiple_of": 4096}),
    "integers": ("base", [], {"rope_theta": 10000, "rope_traditional": True}),
}


def write(folder, shape, weights, config=None, **how):
    return models.write_folder(folder, config or shape.config(), weights, models.spm_model(shape.vocab), **how)


def prompts(shape, folder_model):
    """models.PROMPTS as the example encodes them, checked against cria's own encoding."""
    spm = sentencepiece.SentencePieceProcessor(model_proto=models.spm_model(shape.vocab))
    out = [[spm.bos_id()] + spm.encode(text) for text in models.PROMPTS]
    assert out == [folder_model.tokenizer.encode(text, cria_ctypes.ENCODE_BOS) for text in models.PROMPTS]
    return out


def compare_folder(lib, folder, shape, tally, name, numpy_products=True, **how):
    """Products by numpy's BLAS save half of the time; what is about products is left to MLX alone."""
    model = lib.open(folder, activations="f32")
    reference = Reference.load(folder, numpy_products=numpy_products)
    result = compare.compare_model(model, reference, prompts(shape, model), **how)
    tally.append(f"{name}: {result}")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", models.DTYPES)
def test_float_weights(lib, tmp_path, tally, name, dtype):
    shape = SHAPES[name]
    folder = write(tmp_path / "m", shape, models.cast(models.random_weights(shape), dtype))
    compare_folder(lib, folder, shape, tally, f"{dtype} {name}", numpy_products=dtype != "f32")


def test_mlx_generates_the_same_text(lib, tmp_path, tally):
    """Not along cria's text: MLX's own loop, one token at a time with its cache, greedy and sampled. Only a tie may
    part two texts; from there on they are different texts."""
    result = compare.Tally()
    for name, shape in SHAPES.items():
        folder = write(tmp_path / name, shape, models.cast(models.random_weights(shape, seed=2), "f32"))
        model, reference = lib.open(folder, activations="f32"), Reference.load(folder)
        engine, texts = model.engine(kv="f32"), prompts(shape, model)
        for temp, seed in [(0.0, 0), *compare.DRAWS]:
            some = texts[:2 if temp else 20 if name == "base" else 3]
            ours_of_all = cria_ctypes.generate(engine, [(p, temp, seed) for p in some], 200)[0].tolist()
            for prompt, ours in zip(some, ours_of_all):
                mx.random.seed(seed)
                theirs = reference.generate(prompt, 200, temp)
                result.tokens += 200
                if theirs != ours:
                    assert_parted_by_a_tie(reference, prompt, theirs, ours, temp, seed)
                    result.ties += 1
    result.finish()
    tally.append(f"MLX's own generation: {result.tokens} tokens, {result.ties} ties")


def assert_parted_by_a_tie(reference, prompt, theirs, ours, temp, seed):
    at = next(i for i, (a, b) in enumerate(zip(theirs, ours)) if a != b)
    logits = reference.logits(prompt + ours[:at])[len(prompt) - 1:]
    miss = ref.draw_all(logits, temp, seed)[1][at] if temp else logits[at].max() - logits[at]
    assert miss[ours[at]] < compare.TIE, (f"token {at}, temperature {temp}: MLX takes {theirs[at]}, cria {ours[at]}, "
                                          f"{miss[ours[at]]:.2e} away")


@pytest.mark.parametrize("name", CONFIGS)
def test_config_defaults(lib, tmp_path, tally, name):
    shape_name, leave_out, change = CONFIGS[name]
    shape = SHAPES[shape_name]
    if "rope_theta" in leave_out:
        shape = models.dataclasses.replace(shape, theta=10000.0)
    config = {k: v for k, v in (shape.config() | change).items() if k not in leave_out}
    folder = write(tmp_path / "m", shape, models.cast(models.random_weights(shape), "f32"), config)
    info = lib.open(folder).info
    assert (info.dim, info.n_layers, info.hidden_dim, info.vocab_size) == (
        shape.dim, shape.layers, shape.hidden, shape.vocab)
    assert (info.n_heads, info.n_kv_heads, info.head_dim) == (shape.heads, shape.kv_heads, shape.head_dim)
    assert info.rope_traditional == shape.traditional and info.rope_theta == shape.theta
    compare_folder(lib, folder, shape, tally, f"config {name}", n=50)


def test_quantized_output_says_the_vocabulary(lib, tmp_path):
    """The example reads vocab_size from the last axis of output.weight: packed once it is quantized, and the model's
    dimension before."""
    shape = SHAPES["base"]
    weights, quantization = models.quantize(models.random_weights(shape), "q4g64")
    config = shape.config() | {"quantization": quantization, "vocab_size": -1}
    assert lib.open(write(tmp_path / "m", shape, weights, config)).info.vocab_size == shape.vocab


@pytest.mark.parametrize("shards", [1, 2, 3, 11])
@pytest.mark.parametrize("writer", [*models.NPZ_WRITERS, "safetensors"])
def test_ways_of_writing(lib, tmp_path, writer, shards):
    """The bytes of the logits do not depend on how the same weights are stored."""
    shape = SHAPES["base"]
    float_type = "f16" if writer == "numpy_compressed" else "bf16"
    weights, quantization = models.quantize(models.random_weights(shape), "q5g32", float_type)
    config = shape.config() | {"quantization": quantization}
    tokens = list(range(1, 100))

    def logits(folder):
        return lib.open(folder).engine().sequence().eval(tokens)
    plain = logits(write(tmp_path / "plain", shape, weights, config))
    other = logits(write(tmp_path / "other", shape, weights, config, writer=writer, shards=shards))
    assert np.array_equal(plain.view(np.uint32), other.view(np.uint32))


def test_weights_npz_comes_before_shards(lib, tmp_path):
    shape = SHAPES["base"]
    folder = write(tmp_path / "m", shape, models.cast(models.random_weights(shape), "f32"))
    (folder / "weights.00.npz").write_bytes(b"not looked at")
    lib.open(folder)


@pytest.mark.parametrize("kind", models.QUANTIZATIONS)
def test_quantized_matmul_is_the_dequantized_product(kind):
    """What the reference relies on: MLX's product with quantized weights means the weights that it dequantizes."""
    bits, group, mode = models.QUANTIZATIONS[kind]
    how = {"group_size": group, "bits": bits, "mode": mode}
    mx.random.seed(0)
    w, x = mx.random.normal((96, 256)), mx.random.normal((5, 256))
    packed = mx.quantize(w, **how)
    product = mx.quantized_matmul(x, *packed, transpose=True, **how)
    assert mx.abs(product - x @ mx.dequantize(*packed, dtype=mx.float32, **how).T).max().item() < 1e-4


@pytest.mark.parametrize("kind", models.QUANTIZATIONS)
def test_quantized_weights(lib, tmp_path, tally, kind):
    """float16 scales. With groups of 64 and 128, w2 of this shape stays a float matrix."""
    shape = SHAPES["base"]
    weights, quantization = models.quantize(models.random_weights(shape), kind, "f16")
    folder = write(tmp_path / "m", shape, weights, shape.config() | {"quantization": quantization})
    compare_folder(lib, folder, shape, tally, f"{kind} f16", n_sampled=2)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("kind", ["q2g32", "q3g64", "q4g128", "q5g32", "q6g64", "q8g128", "mxfp4", "nvfp4", "mxfp8"])
def test_other_scale_types(lib, tmp_path, tally, kind, dtype):
    shape = SHAPES["halves"]
    weights, quantization = models.quantize(models.random_weights(shape, seed=3), kind, dtype)
    folder = write(tmp_path / "m", shape, weights, shape.config() | {"quantization": quantization})
    compare_folder(lib, folder, shape, tally, f"{kind} {dtype}", n=100, n_sampled=2)


def test_quantization_defaults(lib, tmp_path, tally):
    """config.json's "quantization" may leave out what mx.quantize has defaults for."""
    shape = SHAPES["base"]
    for kind, fields in [("q4g64", {}), ("mxfp4", {"mode": "mxfp4"}), ("nvfp4", {"mode": "nvfp4"}),
                         ("mxfp8", {"mode": "mxfp8"})]:
        weights, _ = models.quantize(models.random_weights(shape), kind)
        folder = write(tmp_path / kind, shape, weights, shape.config() | {"quantization": fields})
        compare_folder(lib, folder, shape, tally, f"{kind} by default", n=20, n_sampled=1)


# ---- other precisions: not parity, but near ----

# activations: largest mean Kullback-Leibler divergence from float32, in nats (kv is int16 in all of them)
NEAR = {"f32": 2e-5, "int16": 2e-5, "default": 1e-2, "int8": 2e-2}


def test_long_context(lib, tmp_path, tally):
    """Further than attention's segments of 1024 positions: a prompt, then tokens one by one."""
    shape = SHAPES["halves"]
    folder = write(tmp_path / "m", shape, models.cast(models.random_weights(shape), "f32"))
    tokens = np.random.default_rng(8).integers(3, shape.vocab, 2600).tolist()
    theirs = Reference.load(folder).logits(tokens)
    for threads in (1, 2):
        sequence = lib.open(folder, activations="f32", threads=threads, context=2700).engine(kv="f32").sequence()
        ours = np.concatenate([sequence.eval(tokens[:-20])] + [sequence.eval([t]) for t in tokens[-20:]])
        worst = compare.logits_error(ours, theirs)
        tally.append(f"2600 tokens, {threads} threads: worst logits error {worst:.1e} of the largest")
        assert worst < 2e-4  # MLX rounds a position's angles to float32, and so the more the further it is


@pytest.mark.parametrize("activations", NEAR)
def test_other_precisions_stay_near(lib, tmp_path, tally, activations):
    shape = SHAPES["halves"]
    weights, quantization = models.quantize(models.random_weights(shape), "q4g64")
    folder = write(tmp_path / "m", shape, weights, shape.config() | {"quantization": quantization})
    model = lib.open(folder, activations=activations)
    tokens = prompts(shape, model)[-1]
    divergence = compare.mean_divergence(Reference.load(folder).logits(tokens), model.engine().sequence().eval(tokens))
    tally.append(f"activations {activations}, kv int16: divergence {divergence:.1e}")
    assert divergence < NEAR[activations]
