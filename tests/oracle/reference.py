# SPDX-License-Identifier: Apache-2.0
"""The model of the MLX example, on MLX, as the judge of cria's logits and tokens.

Written from the mathematics (MODEL.md) in MLX's own operations, in float32, over the tensor names of an MLX folder.
Two faults of the example are mended, as they must be before anything can be compared: a vocab_size that the
configuration leaves out is the number of rows of output.weight (the example reads its last axis), and the causal
mask has the type of the scores (the example casts it to the type of tok_embeddings.weight, an integer type once
the model is quantized).

What is compared with what. cria widens every stored weight to float32 and, with float32 activations, adds up in
float32. MLX, given a float16 model, would round every activation to float16, an error of its own that is a thousand
times what is to be measured. So the reference widens the same stored weights to float32 first. For quantized
weights it is the same question: w = scale·q + bias with float16 scales is rounded to float16 by mx.dequantize, so
scales and biases are widened to float32 before it. The result is the weight that the file means, up to one rounding
of float32. The floating-point modes (mxfp4, nvfp4, mxfp8) are exact in float32. That mx.quantized_matmul means the
same weights is asserted by test_parity.test_quantized_matmul_is_the_dequantized_product.
"""
import glob
import json
from pathlib import Path

import mlx.core as mx
import numpy as np

DEFAULT_BITS = {"affine": 4, "mxfp4": 4, "nvfp4": 4, "mxfp8": 8}
DEFAULT_GROUP = {"affine": 64, "mxfp4": 32, "nvfp4": 16, "mxfp8": 32}


def load_weights(folder):
    """As the example: weights.npz, or else all of weights.*.npz."""
    single = Path(folder) / "weights.npz"
    files = [str(single)] if single.is_file() else sorted(glob.glob(str(Path(folder) / "weights.*.npz")))
    weights = {}
    for f in files:
        weights.update(mx.load(f))
    return weights


def complete_config(config, weights):
    """The fields the model needs, with the example's defaults for those left out."""
    c = dict(config)
    c.setdefault("n_kv_heads", c["n_heads"])
    c.setdefault("head_dim", c["dim"] // c["n_heads"])
    c.setdefault("hidden_dim", weights["layers.0.feed_forward.w1.weight"].shape[0])
    if c.get("vocab_size", -1) < 0:
        c["vocab_size"] = weights["output.weight"].shape[0]
    c.setdefault("rope_theta", 10000)
    c.setdefault("rope_traditional", True)
    return c


def widen(weights, quantization):
    """All weights as float32 matrices and vectors, quantized ones dequantized in float32."""
    out = {}
    for name, w in weights.items():
        if name.endswith((".scales", ".biases")):
            continue
        scales = weights.get(name.removesuffix("weight") + "scales")
        if scales is None:
            out[name] = w.astype(mx.float32)
            continue
        mode = quantization.get("mode", "affine")
        biases = weights.get(name.removesuffix("weight") + "biases")
        if mode == "affine":
            scales, biases = scales.astype(mx.float32), biases.astype(mx.float32)
        out[name] = mx.dequantize(w, scales, biases, group_size=quantization.get("group_size", DEFAULT_GROUP[mode]),
                                  bits=quantization.get("bits", DEFAULT_BITS[mode]), mode=mode, dtype=mx.float32)
    return out


class Reference:
    """Llama over float32 weights. x: [batch][length] ids; logits: [batch][length][vocab]."""

    def __init__(self, config, weights, numpy_products=False):
        """numpy_products: multiply matrices with numpy's BLAS in place of MLX's (1.4 Gflop/s where numpy's does 30),
        where it would be long to wait for; test_smollm2 asserts that it makes no difference that matters."""
        self.config = complete_config(config, weights)
        self.w = widen(weights, config.get("quantization"))
        # MLX multiplies by a transposed view three times slower than by its copy.
        matrices = {k: w.T for k, w in self.w.items() if w.ndim == 2 and k != "tok_embeddings.weight"}
        mx.eval(self.w)
        self.products = {k: np.array(w, copy=False) if numpy_products else mx.contiguous(w)
                         for k, w in matrices.items()}
        self.numpy_products = numpy_products
        mx.eval([] if numpy_products else self.products)

    @classmethod
    def load(cls, folder, **options):
        return cls(json.loads((Path(folder) / "config.json").read_text()), load_weights(folder), **options)

    def multiply(self, a, b):
        return mx.array(np.array(a, copy=False) @ np.array(b, copy=False)) if self.numpy_products else a @ b

    def project(self, name, x):
        return self.multiply(x, self.products[name + ".weight"])

    def norm(self, name, x):
        return mx.fast.rms_norm(x, self.w[name + ".weight"], self.config["norm_eps"])

    def rotate(self, x, position):
        c = self.config
        return mx.fast.rope(x, c["head_dim"], traditional=c["rope_traditional"], base=float(c["rope_theta"]),
                            scale=1.0, offset=position)

    def attention(self, name, x, past):
        """past: (keys, values) of the positions before x, or None. Returns the output and both with x's own added."""
        c = self.config
        batch, n, _ = x.shape
        h, hk = c["n_heads"], c["n_kv_heads"]
        q, k, v = (self.project(f"{name}.{part}", x).reshape(batch, n, heads, -1).transpose(0, 2, 1, 3)
                   for part, heads in (("wq", h), ("wk", hk), ("wv", hk)))
        start = past[0].shape[2] if past else 0
        q, k = self.rotate(q, start), self.rotate(k, start)
        if past:
            k, v = mx.concatenate([past[0], k], axis=2), mx.concatenate([past[1], v], axis=2)
        spread_k, spread_v = (mx.repeat(a, h // hk, axis=1) for a in (k, v))
        scores = self.multiply(q * c["head_dim"] ** -0.5, spread_k.transpose(0, 1, 3, 2))
        if n > 1:  # position start + i sees positions 0 .. start + i
            unseen = mx.arange(start + n)[None, :] > mx.arange(start, start + n)[:, None]
            scores = mx.where(unseen, mx.array(-1e9, mx.float32), scores)
        mixed = self.multiply(mx.softmax(scores, axis=-1), spread_v)
        return self.project(f"{name}.wo", mixed.transpose(0, 2, 1, 3).reshape(batch, n, -1)), (k, v)

    def feed_forward(self, name, x):
        gate = self.project(f"{name}.w1", x)
        return self.project(f"{name}.w2", gate * mx.sigmoid(gate) * self.project(f"{name}.w3", x))

    def forward(self, x, past=None, last_only=False):
        """Logits, and the keys and values of every layer for the next call."""
        x = self.w["tok_embeddings.weight"][x]
        caches = []
        for i in range(self.config["n_layers"]):
            layer = f"layers.{i}"
            r, cache = self.attention(f"{layer}.attention", self.norm(f"{layer}.attention_norm", x),
                                      past[i] if past else None)
            caches.append(cache)
            x = x + r
            x = x + self.feed_forward(f"{layer}.feed_forward", self.norm(f"{layer}.ffn_norm", x))
        x = self.norm("norm", x)
        return self.project("output", x[:, -1:] if last_only else x), caches

    def logits(self, tokens):
        """[len(tokens)][vocab] as numpy."""
        return np.array(self.forward(mx.array([tokens]))[0][0])

    def generate(self, prompt, n, temp=0.0):
        """n tokens after prompt, one at a time with a cache, drawn as the example draws them (seed: mx.random.seed)."""
        x, cache, tokens = mx.array([prompt]), None, []
        for _ in range(n):
            logits, cache = self.forward(x, cache, last_only=True)
            y = draw(logits[:, -1], temp)
            tokens.append(y.item())
            x = y[:, None]
        return tokens


def draw(logits, temp):
    """logits: [1][vocab]. Advances MLX's global random state when temp is not 0."""
    if temp == 0:
        return mx.argmax(logits, axis=-1)
    return mx.random.categorical(logits * (1 / temp))


def draw_all(logits, temp, seed):
    """Tokens drawn from the rows of logits in order, after mx.random.seed(seed); and for each row how near the draw was
    to giving another token: [vocab] distances as functions of the token.

    One row of logits is drawn by inverting the cumulative distribution: token t when cdf[t] <= u < cdf[t + 1]. The
    distance to a token is how far u is from its interval, as a part of the whole. The state is split once per draw."""
    mx.random.seed(seed)
    tokens = [draw(row[None], temp).item() for row in mx.array(logits)]
    mx.random.seed(seed)
    misses = []
    for row in np.asarray(logits, np.float64):
        u = mx.random.uniform(shape=(1,)).item()
        p = np.exp((row - row.max()) / temp)
        cdf = np.concatenate([[0.0], np.cumsum(p)]) / p.sum()
        misses.append(np.maximum(0.0, np.maximum(cdf[:-1] - u, u - cdf[1:])))
    return tokens, misses
