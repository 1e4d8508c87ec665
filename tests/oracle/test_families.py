# SPDX-License-Identifier: Apache-2.0
"""Every family against mlx-lm's own model of it: Hugging Face's layout, mlx-lm's quantized one, and GGUF.

Two texts of 300 tokens each: random ones, and 100 random ones with 200 that cria writes greedily; the reference sees a
text in one pass. Logits at every position, past the original length of scaled ropes and past the windows, and every
greedy token.
"""
import os
from pathlib import Path

import compare
import mlx.core as mx
import models
import numpy as np
import pytest
from cria_ctypes import CriaError
from families import FAMILIES, Family, permute

PROMPT, WRITTEN = 100, 200


DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "models.md"


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return Family(request.param)


@pytest.fixture(scope="module")
def table():
    """Rows of docs/models.md: what was compared, and how near it was. CRIA_WRITE_MODELS=1 writes them there."""
    rows = {}
    yield rows
    if os.environ.get("CRIA_WRITE_MODELS") and rows:
        text = DOCUMENT.read_text()
        start, end = text.index("| Model |"), text.index("\n\n", text.index("| Model |"))
        head = ["| Model | File | Weights | Tokens compared | Ties | Worst logit |", "|---|---|---|---|---|---|"]
        lines = head + [f"| {' | '.join(key)} | {value} |" for key, value in rows.items()]
        DOCUMENT.write_text(text[:start] + "\n".join(lines) + text[end:])


def documented():
    lines = DOCUMENT.read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {tuple(row[:3]) for row in cells if len(row) == 6 and row[0] != "Model"}


CONTEXT = {"llama, dynamic": PROMPT + WRITTEN - 1}  # what the reference sees in one pass


def check(lib, path, family, reference, table, file, weights):
    rng = np.random.default_rng(11)
    vocab = family.config["vocab_size"]
    prompt = [1] + rng.integers(100, vocab, PROMPT - 1).tolist()
    model = lib.open(path, activations="f32", context=CONTEXT.get(family.name, 0))
    assert model.info.architecture.decode() in (family.model_type, family.arch, "gemma3")
    engine = model.engine(kv="f32")
    result = compare.compare_texts(engine, reference, compare.greedy([prompt]), WRITTEN)
    text = rng.integers(3, vocab, PROMPT + WRITTEN - 1).tolist()
    error = compare.logits_error(engine.sequence().eval(text), reference.logits(text))
    assert error < compare.LOGITS, f"random text: logits are off by {error:.2e} of the largest"
    result.worst = max(result.worst, error)
    result.finish()
    row = family.name, file, weights
    table[row] = f"{result.tokens} | {result.ties} | {result.worst:.1e}"
    assert row in documented(), f"docs/models.md has no row for {row}; CRIA_WRITE_MODELS=1 writes it"


def test_hugging_face(lib, family, tmp_path, table):
    check(lib, family.write_hf(tmp_path / "m"), family, family.reference(), table, "Hugging Face", "float32")


def test_quantized(lib, family, tmp_path, table):
    tensors, plain, quantization = family.quantized()
    path = family.write_hf(tmp_path / "m", tensors, quantization=quantization)
    check(lib, path, family, family.reference(plain), table, "mlx-lm", "affine 4 bits, group 32")


def test_gguf(lib, family, tmp_path, table):
    if family.arch is None:
        return  # the converter has no form for it
    check(lib, family.write_gguf(tmp_path / "m.gguf"), family, family.reference(), table, "GGUF", "F32")


@pytest.mark.parametrize("mode", ["affine 4 and 6 bits", "mxfp4", "mxfp8 and affine 5 bits"])
def test_exceptions(lib, tmp_path, table, mode):
    """mlx-lm's layers with numbers of their own."""
    family = Family("llama")
    kind = {"affine 4 and 6 bits": {"bits": 4, "group": 64, "other": {"bits": 6, "group_size": 32}},
            "mxfp4": {"bits": 4, "group": 32, "mode": "mxfp4"},
            "mxfp8 and affine 5 bits": {"bits": 8, "group": 32, "mode": "mxfp8",
                                 "other": {"bits": 5, "group_size": 64, "mode": "affine"}}}[mode]
    tensors, plain, quantization = family.quantized(**kind)
    path = family.write_hf(tmp_path / "m", tensors, quantization=quantization)
    check(lib, path, family, family.reference(plain), table, "mlx-lm", mode)


# ---- the same bits from every container ----

def meta_names(weights):
    rename = {"model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output",
              "model.layers": "layers", "self_attn": "attention", "input_layernorm": "attention_norm",
              "post_attention_layernorm": "ffn_norm", "q_proj": "wq", "k_proj": "wk", "v_proj": "wv", "o_proj": "wo",
              "mlp": "feed_forward", "gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
    out = {}
    for name, w in weights.items():
        for old, new in rename.items():
            name = name.replace(old, new)
        out[name] = w
    return out


@pytest.mark.parametrize("activations,kv", [("f32", "f32"), ("default", "int16"), ("default", "f16"), ("default", "int8")])
@pytest.mark.parametrize("quantized", [False, True], ids=["f32", "4 bits"])
def test_same_bits(lib, tmp_path, quantized, activations, kv):
    """npz of the example (pairs and halves), safetensors whole and in shards, GGUF: one model, one result."""
    family = Family("llama")
    weights, quantization = family.weights, None
    if quantized:
        weights, _, quantization = family.quantized()
    c = family.config
    example = {"dim": c["hidden_size"], "n_layers": c["num_hidden_layers"], "n_heads": c["num_attention_heads"],
               "n_kv_heads": c["num_key_value_heads"], "hidden_dim": c["intermediate_size"],
               "vocab_size": c["vocab_size"], "norm_eps": c["rms_norm_eps"], "rope_theta": c["rope_theta"]}
    if quantized:
        example["quantization"] = quantization
    halves = meta_names(weights)
    pairs = {k: mx.array(permute(np.array(w), c["num_attention_heads"] if ".wq." in k else c["num_key_value_heads"]))
             if ".wq." in k or ".wk." in k else w for k, w in halves.items()}
    tokenizer = models.spm_model_dummy(c["vocab_size"])
    paths = {"pairs": models.write_folder(tmp_path / "pairs", example, pairs, tokenizer),
             "halves": models.write_folder(tmp_path / "halves", example | {"rope_traditional": False}, halves, tokenizer,
                                           shards=2),
             "whole": family.write_hf(tmp_path / "whole", weights, quantization=quantization),
             "shards": family.write_hf(tmp_path / "shards", weights, shards=3, quantization=quantization)}
    if not quantized:
        paths["gguf"] = family.write_gguf(tmp_path / "m.gguf")
    tokens = np.random.default_rng(5).integers(3, c["vocab_size"], 150).tolist()
    bits = {name: lib.open(path, activations=activations).engine(kv=kv).sequence().eval(tokens).tobytes()
            for name, path in paths.items()}
    assert len(set(bits.values())) == 1, [name for name in bits if bits[name] != bits["whole"]]


def test_rows_without_a_piece(lib, tmp_path):
    """Models whose vocabulary is larger than their tokenizer's: such rows have logits, and are no text."""
    family = Family("qwen2")
    vocab = family.config["vocab_size"]
    folder = family.write_hf(tmp_path / "m")
    (folder / "tokenizer.model").write_bytes(models.spm_model_dummy(vocab - 9))
    model = lib.open(folder)
    assert len(model.tokenizer) == vocab - 9 and model.info.vocab_size == vocab
    assert model.engine().sequence().eval([1, vocab - 1]).shape == (2, vocab)
    assert model.tokenizer.decode([40, vocab - 9, 41, vocab - 1]) == model.tokenizer.decode([40, 41])
    with pytest.raises(CriaError):
        model.tokenizer.decode([vocab])
