# SPDX-License-Identifier: Apache-2.0
"""Small random models of every family, made with PyPI mlx-lm's own model classes, which are also the reference; and the
same weights as Hugging Face's layout, as mlx-lm's quantized one, and as GGUF.

mlx-lm's models take configurations in Hugging Face's words. Where they leave out what the published code (transformers)
computes, the reference here adds it: `windows` says for each layer how far back it sees (docs/models.md has the list).
"""
import contextlib
import importlib
import importlib.util
import json
import math
import sys
import types
from pathlib import Path

import gguf
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

import models


def model_class(module):
    """A module of mlx_lm.models, without the package's own imports, which take seconds and are of no use here."""
    if "mlx_lm" not in sys.modules:
        spec = importlib.util.find_spec("mlx_lm")
        package = types.ModuleType("mlx_lm")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["mlx_lm"] = package
    return importlib.import_module("mlx_lm.models." + module)


BASE = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 256, "vocab_size": 509, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "tie_word_embeddings": False}
LONG = {"type": "longrope", "short_factor": [1.0 + 0.02 * i for i in range(16)],
        "long_factor": [1.0 + 0.3 * i for i in range(16)]}
GRANITE = {"embedding_multiplier": 12.0, "residual_multiplier": 0.22, "attention_multiplier": 0.125,
           "logits_scaling": 4.0, "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True}
GEMMA = {"head_dim": 64, "tie_word_embeddings": True, "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6}
QWEN_MOE = {"head_dim": 48, "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 96,
            "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True}

# name: (mlx-lm's module, "model_type", what differs from BASE, windows, GGUF's architecture or None)
# windows: layer → positions that it sees where mlx-lm has no window, but the published code does
FAMILIES = {
    "llama": ("llama", "llama", {}, None, "llama"),
    "llama, linear": ("llama", "llama", {"rope_scaling": {"type": "linear", "factor": 4.0}}, None, "llama"),
    # Opened with a context of 300, and the reference sees 300 tokens in one pass: then both mean the same length.
    "llama, dynamic": ("llama", "llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0},
                                          "max_position_embeddings": 100}, None, None),
    "llama, yarn": ("llama", "llama", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                                                        "original_max_position_embeddings": 64},
                                       "head_dim": 64}, None, "llama"),
    "llama 3.1": ("llama", "llama", {"rope_theta": 500000.0, "tie_word_embeddings": True,
                                     "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                                      "high_freq_factor": 4.0,
                                                      "original_max_position_embeddings": 64}}, None, "llama"),
    "llama, biases": ("llama", "llama", {"attention_bias": True, "mlp_bias": True}, None, None),
    "mistral": ("llama", "mistral", {"head_dim": 48, "sliding_window": 70}, lambda i: 70, None),
    "mixtral": ("mixtral", "mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}, None,
                "llama"),
    "smollm3": ("smollm3", "smollm3", {"num_hidden_layers": 5, "no_rope_layer_interval": 4,
                                       "tie_word_embeddings": True}, None, "smollm3"),
    "qwen2": ("qwen2", "qwen2", {"use_sliding_window": False, "sliding_window": 64, "max_window_layers": 1}, None,
              "qwen2"),
    "qwen3": ("qwen3", "qwen3", {"head_dim": 64, "tie_word_embeddings": True}, None, "qwen3"),
    "qwen3_moe": ("qwen3_moe", "qwen3_moe", QWEN_MOE, None, "qwen3moe"),
    "qwen3_moe, some dense": ("qwen3_moe", "qwen3_moe", QWEN_MOE | {"norm_topk_prob": False, "decoder_sparse_step": 2,
                                                                    "mlp_only_layers": [5], "num_hidden_layers": 6},
                              None, None),
    "phi3": ("phi3", "phi3", {"sliding_window": 90}, lambda i: 90, "phi3"),
    "phi3, longrope": ("phi3", "phi3", {"rope_scaling": LONG, "original_max_position_embeddings": 128}, None, "phi3"),
    "phi3, a part rotated": ("phi3", "phi3", {"partial_rotary_factor": 0.75}, None, "phi3"),
    "granite": ("granite", "granite", GRANITE, None, "granite"),
    "olmo2": ("olmo2", "olmo2", {}, None, "olmo2"),
    "gemma2": ("gemma2", "gemma2", GEMMA | {"sliding_window": 80, "query_pre_attn_scalar": 64},
               lambda i: 80 if i % 2 == 0 else None, "gemma2"),
    "gemma3": ("gemma3_text", "gemma3_text", GEMMA | {"sliding_window": 60, "sliding_window_pattern": 6,
                                                      "num_hidden_layers": 7, "query_pre_attn_scalar": 64,
                                                      "rope_theta": 1000000.0,
                                                      "rope_local_base_freq": 10000.0}, None, "gemma3"),
    "gemma3, linear": ("gemma3_text", "gemma3_text",
                       GEMMA | {"sliding_window": 60, "sliding_window_pattern": 6, "num_hidden_layers": 7,
                                "query_pre_attn_scalar": 64, "rope_theta": 1000000.0,
                                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
                                "rope_local_base_freq": 10000.0}, None, "gemma3"),
}


class Family:
    def __init__(self, name, seed=3):
        module, self.model_type, changes, self.windows, self.arch = FAMILIES[name]
        self.name = name
        self.config = {"model_type": self.model_type, **BASE, **changes}
        self.module = model_class(module)
        self.weights = self.random(seed)

    def new_model(self):
        return self.module.Model(self.module.ModelArgs.from_dict(json.loads(json.dumps(self.config))))

    def random(self, seed):
        """float32 weights under mlx-lm's names, scaled so that attention is sharp and greedy text keeps changing."""
        rng = np.random.default_rng(seed)
        model, weights = self.new_model(), {}
        tied = self.config["tie_word_embeddings"]
        if tied and "lm_head" in model:
            model.pop("lm_head")
        for name, p in tree_flatten(model.parameters()):
            w = rng.standard_normal(p.shape)
            if name.endswith("norm.weight") or "layernorm" in name:
                w = float(p.reshape(-1)[0]) + 0.1 * w if "gemma" not in self.model_type else 0.1 * w
            elif name.endswith(".bias"):
                w = 0.2 * w
            elif "embed_tokens" in name:
                w = w * (4 / math.sqrt(p.shape[-1]) if tied else 1.0)
                w = w * self.config.get("logits_scaling", 1.0)
            else:
                w = w / math.sqrt(p.shape[-1])
                if any(part in name for part in ("q_proj", "k_proj", "qkv_proj")):
                    w = 1.5 * w
                if name.startswith("lm_head") or ".gate.weight" in name:
                    w = 4 * w
            weights[name] = mx.array(w.astype(np.float32))
        mx.eval(weights)
        return weights

    # ---- the reference ----

    def reference(self, weights=None):
        return Reference(self, weights or self.weights)

    # ---- folders ----

    def hf_weights(self):
        """As published: experts apart from each other."""
        out = {}
        for name, w in self.weights.items():
            if ".switch_mlp." not in name:
                out[name] = w
                continue
            for e in range(w.shape[0]):
                part = name.split(".switch_mlp.")[1].removesuffix(".weight")
                if self.model_type == "mixtral":
                    part = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}[part]
                out[name.replace(f".switch_mlp.{name.split('.switch_mlp.')[1]}", f".experts.{e}.{part}.weight")] = w[e]
        return out

    def write_hf(self, folder, weights=None, shards=1, quantization=None):
        config = dict(self.config)
        if quantization:
            config |= {"quantization": quantization, "quantization_config": quantization}
        return models.write_folder(folder, config, weights or self.hf_weights(),
                                   models.spm_model_dummy(config["vocab_size"]), writer="safetensors", shards=shards)

    def quantized(self, bits=4, group=32, mode="affine", other=None):
        """(tensors as mlx-lm writes them, the same as float32, "quantization"). other: numbers for the down
        projections."""
        model = self.new_model()
        if "lm_head" in model and "lm_head.weight" not in self.weights:
            model.pop("lm_head")
            model.tie_word_embeddings = True
        model.load_weights(list(self.weights.items()))
        quantization = {"group_size": group, "bits": bits, "mode": mode}

        def predicate(path, module):
            if not hasattr(module, "to_quantized") or module.weight.shape[-1] % group:
                return False
            if other and path.endswith("down_proj"):
                quantization[path] = other
                return other
            return True

        nn.quantize(model, group, bits, mode=mode, class_predicate=predicate)
        tensors = dict(tree_flatten(model.parameters()))
        plain = {}
        for name, w in tensors.items():
            stem = name.removesuffix(".weight")
            if name.endswith((".scales", ".biases")):
                continue
            if stem + ".scales" in tensors:
                numbers = quantization.get(stem, quantization)
                w = mx.dequantize(w, tensors[stem + ".scales"], tensors.get(stem + ".biases"),
                                  group_size=numbers["group_size"], bits=numbers["bits"],
                                  mode=numbers.get("mode", "affine"), dtype=mx.float32)
            plain[name] = w
        return tensors, plain, quantization

    # ---- GGUF ----

    def write_gguf(self, path):
        """As llama.cpp's converter does it."""
        c, arch = self.config, self.arch
        out = gguf.GGUFWriter(str(path), arch)
        heads, hk = c["num_attention_heads"], c["num_key_value_heads"]
        head_dim = c.get("head_dim") or c["hidden_size"] // heads
        out.add_context_length(c["max_position_embeddings"])
        out.add_embedding_length(c["hidden_size"])
        out.add_block_count(c["num_hidden_layers"])
        out.add_feed_forward_length(c["intermediate_size"])
        out.add_head_count(heads)
        out.add_head_count_kv(hk)
        out.add_key_length(head_dim)
        out.add_value_length(head_dim)
        out.add_layer_norm_rms_eps(c["rms_norm_eps"])
        out.add_rope_freq_base(c["rope_theta"])
        out.add_rope_dimension_count(int(head_dim * c.get("partial_rotary_factor", 1)))
        self.write_gguf_switches(out, head_dim)
        models.write_gguf_dummy_tokenizer(out, c["vocab_size"])
        names = gguf.get_tensor_name_map(next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == arch),
                                         c["num_hidden_layers"])
        paired = arch in ("llama", "granite", "smollm3")
        for name, w in self.weights.items():
            w = np.array(w)
            if "gemma" in arch and (name.endswith("norm.weight") or "layernorm" in name):
                w = w + np.float32(1)
            stem, _, suffix = name.rpartition(".")
            if paired and stem.endswith(("q_proj", "k_proj")):
                w = permute(w, heads if stem.endswith("q_proj") else hk)
            key = names.get_name(stem) or names.get_name(merged_experts(stem))
            assert key, f"gguf has no name for {name} in {arch}"
            out.add_tensor(f"{key}.{suffix}", np.ascontiguousarray(w, np.float32))
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()
        return Path(path)

    def write_gguf_switches(self, out, head_dim):
        c, scaling = self.config, self.config.get("rope_scaling")
        if scaling:
            kind = scaling.get("rope_type") or scaling["type"]
            if kind == "linear":
                out.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
                out.add_rope_scaling_factor(scaling["factor"])
            elif kind == "yarn":
                out.add_rope_scaling_type(gguf.RopeScalingType.YARN)
                out.add_rope_scaling_factor(scaling["factor"])
                out.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
            elif kind == "longrope":
                original, length = c["original_max_position_embeddings"], c["max_position_embeddings"]
                out.add_rope_scaling_orig_ctx_len(original)
                out.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(length / original) / math.log(original)))
                for which in ("long", "short"):
                    out.add_tensor(f"rope_factors_{which}.weight",
                                   np.array(scaling[f"{which}_factor"], np.float32))
            elif kind == "llama3":
                out.add_tensor("rope_freqs.weight", llama3_factors(c, scaling, head_dim))
        if "num_local_experts" in c or "num_experts" in c:
            out.add_expert_count(c.get("num_local_experts") or c["num_experts"])
            out.add_expert_used_count(c["num_experts_per_tok"])
        if "moe_intermediate_size" in c:
            out.add_expert_feed_forward_length(c["moe_intermediate_size"])
        if c.get("sliding_window") and self.model_type in ("phi3", "gemma2", "gemma3_text"):
            out.add_sliding_window(c["sliding_window"])
        if self.model_type == "gemma2":
            out.add_attn_logit_softcapping(c.get("attn_logit_softcapping", 50.0))
            out.add_final_logit_softcapping(c.get("final_logit_softcapping", 30.0))
        if self.model_type == "granite":
            out.add_embedding_scale(c["embedding_multiplier"])
            out.add_residual_scale(c["residual_multiplier"])
            out.add_attention_scale(c["attention_multiplier"])
            out.add_logit_scale(c["logits_scaling"])


def merged_experts(stem):
    """What gguf's map calls the experts of a layer, merged by its converter."""
    if ".block_sparse_moe." in stem:
        part = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}[stem.rpartition(".")[2]]
        return f"layers.{stem.split('.')[2]}.feed_forward.experts.{part}"
    return stem.replace(".switch_mlp.", ".experts.")


def permute(w, heads):
    """Rows of q or k from halves to neighbouring pairs, as llama.cpp's converter has it."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def llama3_factors(c, scaling, head_dim):
    """As llama.cpp's converter computes them, in float32."""
    freqs = (1.0 / (np.float32(c["rope_theta"]) ** (np.arange(0, head_dim, 2, dtype=np.float32) / head_dim)))
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    original, factors = scaling["original_max_position_embeddings"], []
    for freq in freqs:
        wavelen = 2 * math.pi / freq
        if wavelen < original / high:
            factors.append(1.0)
        elif wavelen > original / low:
            factors.append(scaling["factor"])
        else:
            smooth = (original / wavelen - low) / (high - low)
            factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, np.float32)


@contextlib.contextmanager
def numpy_products():
    """mlx-lm's models with the products of their matrices done by numpy's BLAS, twenty times as fast as MLX's on
    processors. test_smollm2 asserts that it makes no difference that matters."""
    def product(x, w):
        return mx.array(np.array(x, copy=False) @ np.array(w, copy=False).T)

    def linear(self, x):
        y = product(x, self.weight)
        return y + self.bias if "bias" in self else y

    kept = nn.Linear.__call__, nn.Embedding.as_linear
    nn.Linear.__call__, nn.Embedding.as_linear = linear, lambda self, x: product(x, self.weight)
    try:
        yield
    finally:
        nn.Linear.__call__, nn.Embedding.as_linear = kept


class Reference:
    """mlx-lm's model over float32 weights, a whole text in one pass."""

    def __init__(self, family, weights):
        self.model = family.new_model()
        if "lm_head" in self.model and "lm_head.weight" not in weights:
            self.model.pop("lm_head")
            self.model.tie_word_embeddings = True
        self.model.load_weights(list(weights.items()))
        if family.windows:
            for i, layer in enumerate(self.model.model.layers):
                self.model.model.layers[i] = Windowed(layer, family.windows(i))

    def logits(self, tokens):
        with numpy_products():
            return np.array(self.model(mx.array([tokens]))[0])


class Windowed(nn.Module):
    """A layer of a model whose class in mlx-lm has no sliding window."""

    def __init__(self, layer, window):
        super().__init__()
        self.layer, self.window, self.use_sliding = layer, window, False

    def __call__(self, x, mask=None, cache=None):
        n = x.shape[1]
        if self.window:
            at = mx.arange(n)
            mask = (at[:, None] >= at[None]) & (at[:, None] < at[None] + self.window)
        return self.layer(x, mask, cache=cache)
