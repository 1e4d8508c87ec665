# SPDX-License-Identifier: Apache-2.0
"""Models for the tests: small random ones and SmolLM2, in every form in which MLX and GGUF users have them.

A model is a configuration and a dictionary of float32 numpy arrays under the names of an MLX folder; the functions
below store it in a dtype or quantization, in one of several ways of writing an .npz, or as GGUF.
"""
import dataclasses
import io
import itertools
import json
import struct
import zipfile
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np
import sentencepiece
from gguf_reader import Reader

DTYPES = {"f32": mx.float32, "f16": mx.float16, "bf16": mx.bfloat16}
# name: bits, group, mode
QUANTIZATIONS = {f"q{bits}g{group}": (bits, group, "affine") for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)}
QUANTIZATIONS |= {"mxfp4": (4, 32, "mxfp4"), "nvfp4": (4, 16, "nvfp4"), "mxfp8": (8, 32, "mxfp8")}


@dataclasses.dataclass(frozen=True)
class Shape:
    dim: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    hidden: int = 352    # a multiple of 32 but not of 64: groups of 64 and 128 leave w2 as it is
    vocab: int = 503     # no multiple of 16
    eps: float = 1e-5
    theta: float = 10000.0
    traditional: bool = True

    def config(self):
        return {"model_type": "llama", "dim": self.dim, "n_layers": self.layers, "n_heads": self.heads,
                "n_kv_heads": self.kv_heads, "head_dim": self.head_dim, "hidden_dim": self.hidden,
                "vocab_size": self.vocab, "norm_eps": self.eps, "rope_theta": self.theta,
                "rope_traditional": self.traditional}


def random_weights(shape, seed=1, tied=False):
    """Scaled so that attention is sharp, logits have a spread of about 4 and greedy text keeps changing."""
    rng = np.random.default_rng(seed)

    def matrix(rows, cols, gain=1.0):
        return (rng.standard_normal((rows, cols)) * gain / np.sqrt(cols)).astype(np.float32)

    def scale(n):
        return (1 + 0.1 * rng.standard_normal(n)).astype(np.float32)

    s, q, kv = shape, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    w = {"tok_embeddings.weight": matrix(s.vocab, s.dim, np.sqrt(s.dim))}
    for i in range(s.layers):
        layer = f"layers.{i}."
        w[layer + "attention.wq.weight"] = matrix(q, s.dim, 1.5)
        w[layer + "attention.wk.weight"] = matrix(kv, s.dim, 1.5)
        w[layer + "attention.wv.weight"] = matrix(kv, s.dim, 1.5)
        w[layer + "attention.wo.weight"] = matrix(s.dim, q, 2.0)
        w[layer + "feed_forward.w1.weight"] = matrix(s.hidden, s.dim, 1.5)
        w[layer + "feed_forward.w2.weight"] = matrix(s.dim, s.hidden, 2.0)
        w[layer + "feed_forward.w3.weight"] = matrix(s.hidden, s.dim, 1.5)
        w[layer + "attention_norm.weight"] = scale(s.dim)
        w[layer + "ffn_norm.weight"] = scale(s.dim)
    w["norm.weight"] = scale(s.dim)
    w["output.weight"] = w["tok_embeddings.weight"] * np.float32(0.3) if tied else matrix(s.vocab, s.dim, 4.0)
    if tied:
        w["tok_embeddings.weight"] = w["output.weight"]
    return w


# ---- dtypes and quantization ----

def cast(weights, dtype):
    return {k: mx.array(v).astype(DTYPES[dtype]) for k, v in weights.items()}


def quantize(weights, kind, dtype="f16"):
    """As convert.py -q: every matrix whose rows the group divides; returns the weights and config's "quantization".
    dtype: of what stays a float, and so of affine scales and biases."""
    bits, group, mode = QUANTIZATIONS[kind]
    out = {}
    for name, w in cast(weights, dtype).items():
        if w.ndim == 2 and w.shape[1] % group == 0:
            out[name], *rest = mx.quantize(w, group_size=group, bits=bits, mode=mode)
            for part, a in zip(("scales", "biases"), rest):
                out[name.removesuffix("weight") + part] = a
        else:
            out[name] = w
    quantization = {"group_size": group, "bits": bits}
    return out, quantization if mode == "affine" else quantization | {"mode": mode}


# ---- writing an MLX folder ----

def npy_bytes(array, version=(1, 0)):
    """The .npy of an mlx array, written here and not by MLX: other header sizes and alignments than its own."""
    if array.dtype == mx.bfloat16:
        data, descr = np.array(array.view(mx.uint16)), "<V2"
    else:
        data = np.array(array)
        descr = data.dtype.str
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {tuple(data.shape)}, }}\n".encode()
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + length + header + data.tobytes()


def write_npz_mlx(path, weights):
    mx.savez(str(path), **weights)


def write_npz_mlx_compressed(path, weights):
    mx.savez_compressed(str(path), **weights)


def write_npz_numpy_compressed(path, weights):
    np.savez_compressed(str(path), **{k: np.array(v) for k, v in weights.items()})


def write_npz_zip64(path, weights):
    """Every entry with 64-bit sizes, as a writer makes it that does not know the length beforehand."""
    with zipfile.ZipFile(path, "w") as z:
        for name, w in weights.items():
            with z.open(zipfile.ZipInfo(name + ".npy"), "w", force_zip64=True) as f:
                f.write(npy_bytes(w, version=(2, 0)))


def write_npz_stream(path, weights):
    """Written to a pipe: sizes and checksums after the data (general-purpose bit 3)."""
    class Pipe(io.RawIOBase):
        def __init__(self, f):
            self.f = f

        def writable(self):
            return True

        def write(self, b):
            return self.f.write(b)

    with open(path, "wb") as f, zipfile.ZipFile(Pipe(f), "w") as z:
        for name, w in weights.items():
            z.writestr(name + ".npy", npy_bytes(w))


def write_npz_odd(path, weights):
    """Data at every offset modulo 8: extra fields of growing length before it, and a comment at the file's end."""
    with zipfile.ZipFile(path, "w") as z:
        for i, (name, w) in enumerate(weights.items()):
            info = zipfile.ZipInfo(name + ".npy")
            info.extra = struct.pack("<HH", 0x7075, i % 9) + bytes(i % 9)
            z.writestr(info, npy_bytes(w))
        z.comment = b"weights of a test"


NPZ_WRITERS = {"mlx": write_npz_mlx, "mlx_compressed": write_npz_mlx_compressed,
               "numpy_compressed": write_npz_numpy_compressed, "zip64": write_npz_zip64,
               "stream": write_npz_stream, "odd": write_npz_odd}


def write_safetensors(folder, weights, shards=1):
    """As mlx-lm writes a folder: model.safetensors or numbered shards, and the index of either."""
    names, where = list(weights), {}
    for i in range(shards):
        name = "model.safetensors" if shards == 1 else f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        mx.save_safetensors(str(folder / name), {k: weights[k] for k in names[i::shards]}, metadata={"format": "mlx"})
        where |= {k: name for k in names[i::shards]}
    index = {"metadata": {"total_size": sum(w.nbytes for w in weights.values())}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=4))


def write_folder(folder, config, weights, tokenizer, writer="mlx", shards=1):
    """weights: mlx arrays. writer: "safetensors", or one of NPZ_WRITERS. tokenizer: bytes of a tokenizer.model. Returns
    the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = list(weights)
    if writer == "safetensors":
        write_safetensors(folder, weights, shards)
    for i in range(shards if writer in NPZ_WRITERS else 0):
        name = "weights.npz" if shards == 1 else f"weights.{i:02d}.npz"
        NPZ_WRITERS[writer](folder / name, {k: weights[k] for k in names[i::shards]})
    (folder / "config.json").write_text(json.dumps(config, indent=4))
    (folder / "tokenizer.model").write_bytes(tokenizer)
    return folder


# ---- tokenizers ----

def corpus():
    """English prose that every Python carries, in lines."""
    from pydoc_data.topics import topics
    return [line.strip() for text in topics.values() for line in text.splitlines() if line.strip()]


_trained = {}


def spm_model(vocab, kind="bpe"):
    """Bytes of a tokenizer.model of exactly vocab pieces, with byte fallback, trained on corpus()."""
    key = (vocab, kind)
    if key not in _trained:
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus()), model_writer=out, vocab_size=vocab, model_type=kind, byte_fallback=True,
            character_coverage=0.99, num_threads=1, minloglevel=2)
        _trained[key] = out.getvalue()
    return _trained[key]


def spm_model_of_pieces(pieces, byte_fallback=False):
    """Bytes of a BPE tokenizer.model made of (text, score, type) by hand; types as in SentencePiece's ModelProto."""
    def varint(n):
        out = bytearray()
        while n > 0x7F:
            out.append(n & 0x7F | 0x80)
            n >>= 7
        out.append(n)
        return bytes(out)

    def field(number, data):
        return varint(number << 3 | 2) + varint(len(data)) + data

    out = bytearray()
    for text, score, kind in pieces:
        out += field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(kind))
    out += field(2, b"\x18\x02" + b"\x98\x02\x01" * byte_fallback)  # trainer_spec { model_type: BPE … }
    out += field(3, field(1, b"identity") + b"\x18\x01\x20\x01\x28\x01")  # normalizer_spec
    return bytes(out)


def spm_model_dummy(vocab):
    """vocab pieces: three specials, printable ASCII and fill; for models whose own tokenizer is of another kind."""
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [("▁" if c == 32 else chr(c), -float(c), 1) for c in range(32, 127)]
    pieces += [(f"piece{i}", -1000.0 - i, 1) for i in range(vocab - len(pieces))]
    return spm_model_of_pieces(pieces)


# ---- GGUF ----

def write_gguf_dummy_tokenizer(out, vocab):
    """The pieces of spm_model_dummy into a GGUFWriter."""
    spm = sentencepiece.SentencePieceProcessor(model_proto=spm_model_dummy(vocab))
    out.add_tokenizer_model("llama")
    out.add_token_list([spm.id_to_piece(i) for i in range(vocab)])
    out.add_token_scores([spm.get_score(i) for i in range(vocab)])
    out.add_token_types([gguf.TokenType.UNKNOWN if spm.is_unknown(i) else gguf.TokenType.CONTROL if spm.is_control(i)
                         else gguf.TokenType.NORMAL for i in range(vocab)])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)


GGUF_NAMES = {"attention.wq": "attn_q", "attention.wk": "attn_k", "attention.wv": "attn_v",
              "attention.wo": "attn_output", "feed_forward.w1": "ffn_gate", "feed_forward.w2": "ffn_down",
              "feed_forward.w3": "ffn_up", "attention_norm": "attn_norm", "ffn_norm": "ffn_norm"}
GGUF_TOP = {"tok_embeddings.weight": "token_embd.weight", "norm.weight": "output_norm.weight",
            "output.weight": "output.weight"}
K_TYPES = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
IQ4_TYPES = ("IQ4_NL", "IQ4_XS")
SUPER_TYPES = K_TYPES + ("IQ4_XS",)  # need rows of a multiple of 256
MIXED_TYPES = K_TYPES + IQ4_TYPES + ("MXFP4",)
GGUF_TYPES = {name: gguf.GGMLQuantizationType[name]
              for name in ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0") + MIXED_TYPES}


def gguf_name(name):
    if name in GGUF_TOP:
        return GGUF_TOP[name]
    _, layer, rest = name.split(".", 2)
    return f"blk.{layer}.{GGUF_NAMES[rest.removesuffix('.weight')]}.weight"


def mlx_name(name):
    back = {v: k for k, v in GGUF_NAMES.items()}
    top = {v: k for k, v in GGUF_TOP.items()}
    if name in top:
        return top[name]
    _, layer, rest = name.split(".", 2)
    return f"layers.{layer}.{back[rest.removesuffix('.weight')]}.weight"


def bpe_vocab(vocab):
    """Tokens and merges of a byte-level BPE of exactly vocab tokens, trained on corpus()."""
    import tokenizers
    t = tokenizers.Tokenizer(tokenizers.models.BPE())
    t.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.train_from_iterator(corpus(), tokenizers.trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    model = json.loads(t.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    return tokens, merges


def bit_fields(a, bits):
    """a[..., j, i] with few bits each: item j in bits j·bits and up of byte i."""
    return np.bitwise_or.reduce(a << (bits * np.arange(a.shape[-2], dtype=np.uint8))[:, None], axis=-2).astype(np.uint8)


def quotient(a, b):
    return np.rint(np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape), np.float32), where=b != 0))


def f16_bytes(a):
    return a.astype("<f2").view(np.uint8).reshape(len(a), 2)


def quantize_k(w, kind):
    """Blocks of one of K_TYPES, which PyPI gguf reads but does not write: bytes, a row for each of w's. Plainly rounded,
    nothing is searched for."""
    bits, groups = {"Q2_K": (2, 16), "Q3_K": (3, 16), "Q4_K": (4, 8), "Q5_K": (5, 8), "Q6_K": (6, 16)}[kind]
    x = w.astype(np.float32).reshape(-1, groups, 256 // groups)
    n = len(x)
    if kind in ("Q3_K", "Q6_K"):  # d·s·(q − half), s signed
        half, s_half = 1 << (bits - 1), 32 if kind == "Q3_K" else 128
        scale = np.take_along_axis(x, np.abs(x).argmax(-1)[..., None], -1)[..., 0] / -half
        d = (np.take_along_axis(scale, np.abs(scale).argmax(-1)[:, None], -1) / -s_half).astype(np.float16)
        s = quotient(scale, d.astype(np.float32)).clip(-s_half, s_half - 1)
        q = quotient(x, (d.astype(np.float32) * s)[..., None]).clip(-half, half - 1) + half
        s = (s + s_half).astype(np.uint8)
    else:  # d·s·q − m·t
        top, s_top = (1 << bits) - 1, 15 if kind == "Q2_K" else 63
        low = -np.minimum(x.min(-1), 0)
        scale = (np.maximum(x.max(-1), 0) + low) / top
        d = (scale.max(-1, keepdims=True) / s_top).astype(np.float16)
        m = (low.max(-1, keepdims=True) / s_top).astype(np.float16)
        s = quotient(scale, d.astype(np.float32)).clip(0, s_top)
        t = quotient(low, m.astype(np.float32)).clip(0, s_top)
        offset = (m.astype(np.float32) * t)[..., None]
        q = quotient(x + offset, (d.astype(np.float32) * s)[..., None]).clip(0, top)
        s, t = s.astype(np.uint8), t.astype(np.uint8)
        m = f16_bytes(m)
    d = f16_bytes(d)
    q = q.astype(np.uint8).reshape(n, 256)
    twos = bit_fields(q.reshape(n, 2, 4, 32) & 3, 2).reshape(n, 64)
    nibbles = bit_fields(q.reshape(n, 4, 2, 32) & 15, 4).reshape(n, 128)
    if kind == "Q2_K":
        parts = s | t << 4, twos, d, m
    elif kind == "Q3_K":
        scales = bit_fields((s & 15).reshape(n, 2, 8), 4), bit_fields((s >> 4).reshape(n, 4, 4), 2)
        parts = bit_fields(q.reshape(n, 8, 32) >> 2, 1), twos, *scales, d
    elif kind == "Q6_K":
        low = bit_fields((q & 15).reshape(n, 2, 2, 64), 4).reshape(n, 128)
        parts = low, bit_fields(q.reshape(n, 2, 4, 32) >> 4, 2).reshape(n, 64), s ^ 128, d
    else:
        scales = s[:, :4] | s[:, 4:] >> 4 << 6, t[:, :4] | t[:, 4:] >> 4 << 6, s[:, 4:] & 15 | (t[:, 4:] & 15) << 4
        high = (bit_fields(q.reshape(n, 8, 32) >> 4, 1),) if kind == "Q5_K" else ()
        parts = d, m, *scales, *high, nibbles
    return np.concatenate(parts, axis=1).reshape(len(w), -1)


def quantize_iq4(w, kind):
    """Blocks of one of IQ4_TYPES, likewise: the value of largest magnitude of a group becomes −127 times its scale."""
    values = np.array(gguf.quants.IQ4_NL.kvalues, np.float32)
    x = w.astype(np.float32).reshape(-1, 32)
    scale = np.take_along_axis(x, np.abs(x).argmax(-1)[:, None], -1) / -127
    if kind == "IQ4_NL":
        head = [f16_bytes(scale.astype(np.float16))]
        scale = scale.astype(np.float16).astype(np.float32)
    else:
        eight = scale.reshape(-1, 8)
        d = (np.take_along_axis(eight, np.abs(eight).argmax(-1)[:, None], -1) / -32).astype(np.float16)
        s = quotient(eight, d.astype(np.float32)).clip(-32, 31)
        scale = (d.astype(np.float32) * s).reshape(-1, 1)
        s = (s + 32).astype(np.uint8)
        high = bit_fields((s >> 4).reshape(-1, 2, 4, 1), 2).reshape(-1, 2)
        head = [f16_bytes(d), high, bit_fields((s & 15).reshape(-1, 4, 2, 1), 4).reshape(-1, 4)]
    q = np.abs(np.divide(x, scale, out=np.zeros_like(x), where=scale != 0)[..., None] - values).argmin(-1)
    codes = bit_fields(q.astype(np.uint8).reshape(-1, 2, 16), 4)
    return np.concatenate([*head, codes.reshape(len(head[0]), -1)], axis=1).reshape(len(w), -1)


def quantize_gguf(w, kind):
    own = quantize_k if kind in K_TYPES else quantize_iq4 if kind in IQ4_TYPES else None
    return own(w, kind) if own else gguf.quants.quantize(w, GGUF_TYPES[kind])


def write_gguf(path, shape, weights, kind, tokenizer="llama", tied=False, pre="gpt-2", alignment=None,
               charsmap=None, split=0, more=None):
    """weights: numpy arrays under MLX names. kind: a key of GGUF_TYPES for the matrices, or "K": all MIXED_TYPES in
    turn; vectors stay F32. One of SUPER_TYPES needs rows of a multiple of 256. split: tensors of a part at most; then the parts
    are written, path with numbers, and the first's path is returned. more(writer): further metadata."""
    turn = itertools.cycle(MIXED_TYPES)
    out = gguf.GGUFWriter(str(path), "llama", split_max_tensors=split)
    out.add_name("test")
    if alignment:
        out.add_custom_alignment(alignment)
    out.add_context_length(512)
    out.add_embedding_length(shape.dim)
    out.add_block_count(shape.layers)
    out.add_feed_forward_length(shape.hidden)
    out.add_head_count(shape.heads)
    out.add_head_count_kv(shape.kv_heads)
    out.add_layer_norm_rms_eps(shape.eps)
    out.add_rope_freq_base(shape.theta)
    out.add_rope_dimension_count(shape.head_dim)
    if shape.head_dim * shape.heads != shape.dim:
        out.add_key_length(shape.head_dim)
        out.add_value_length(shape.head_dim)
    out.add_vocab_size(shape.vocab)
    out.add_tokenizer_model(tokenizer)
    if tokenizer == "llama":
        spm = sentencepiece.SentencePieceProcessor(model_proto=spm_model(shape.vocab))
        kinds = [gguf.TokenType.UNKNOWN if spm.is_unknown(i) else gguf.TokenType.CONTROL if spm.is_control(i)
                 else gguf.TokenType.BYTE if spm.is_byte(i) else gguf.TokenType.NORMAL for i in range(shape.vocab)]
        out.add_token_list([spm.id_to_piece(i) for i in range(shape.vocab)])
        out.add_token_scores([spm.get_score(i) for i in range(shape.vocab)])
        out.add_token_types(kinds)
        out.add_bos_token_id(spm.bos_id())
        out.add_eos_token_id(spm.eos_id())
        out.add_unk_token_id(spm.unk_id())
        if charsmap:
            out.add_precompiled_charsmap(charsmap)
    else:
        tokens, merges = bpe_vocab(shape.vocab)
        out.add_tokenizer_pre(pre)
        out.add_token_list(tokens)
        out.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(tokens) - 2))
        out.add_token_merges(merges)
        out.add_bos_token_id(0)
        out.add_eos_token_id(1)
    if more:
        more(out)
    for name, w in weights.items():
        if tied and name == "output.weight":
            continue
        if w.ndim == 1 or kind == "F32":
            out.add_tensor(gguf_name(name), np.ascontiguousarray(w, np.float32))
        elif kind == "F16":
            out.add_tensor(gguf_name(name), w.astype(np.float16))
        else:
            this = next(turn) if kind == "K" else kind
            out.add_tensor(gguf_name(name), quantize_gguf(w, this), raw_dtype=GGUF_TYPES[this])
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return Path(path) if not split else min(Path(path).parent.glob(f"{Path(path).stem}-00001-of-*.gguf"))


def read_gguf(path):
    """(config, float32 numpy weights) under MLX names. GGUF stores the rows of wq and wk in the order that makes the
    rotation pairwise (rope_traditional); a file without output.weight uses the embedding for it."""
    reader = Reader(path)

    def meta(key, default=None):
        field = reader.get_field(key)
        return field.contents() if field else default

    heads = meta("llama.attention.head_count")
    dim = meta("llama.embedding_length")
    config = {"dim": dim, "n_layers": meta("llama.block_count"), "n_heads": heads,
              "n_kv_heads": meta("llama.attention.head_count_kv", heads),
              "head_dim": meta("llama.attention.key_length", dim // heads),
              "hidden_dim": meta("llama.feed_forward_length"),
              "norm_eps": meta("llama.attention.layer_norm_rms_epsilon"),
              "rope_theta": meta("llama.rope.freq_base", 10000.0), "rope_traditional": True}
    weights = {mlx_name(t.name): np.ascontiguousarray(gguf.quants.dequantize(t.data, t.tensor_type), np.float32)
               for t in reader.tensors}
    weights = {k: v.reshape(v.shape[-1]) if "norm" in k else v for k, v in weights.items()}
    weights.setdefault("output.weight", weights["tok_embeddings.weight"])
    config["vocab_size"] = weights["output.weight"].shape[0]
    return config, weights


# ---- prompts ----

PROMPTS = [
    "In the beginning the Universe was created.",
    "A",
    "",
    "The quick brown fox jumps over the lazy dog.",
    "def fibonacci(n):\n    return n if n < 2 else",
    "1, 2, 3, 4, 5, 6,",
    "Der Fluß fließt über die Brücke.",
    "Les élèves étudient l'été à l'école.",
    "Быстрая лиса прыгает через собаку.",
    "素早い茶色の狐が犬を飛び越える。",
    "مرحبا بالعالم",
    "🙂🙃 emoji and \t tabs",
    "   leading and trailing spaces   ",
    "Once upon a time there was a king who had three sons, and the youngest of them was called",
    "Q: What is the capital of France?\nA:",
    "{\"key\": [1, 2.5, null, true]}",
    "To be, or not to be, that is the question: Whether 'tis nobler in the mind to suffer",
    "x" * 70,
    "The following sentence is long. " * 4,
    "A statement that is longer than one block of the cache. " * 8,
]
