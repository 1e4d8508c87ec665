# SPDX-License-Identifier: Apache-2.0
"""libcria through ctypes: as thin as it can be, so that a test reads like the C it stands for.

Owns the mirror of include/cria/cria.h's structs. Every object frees itself; cria's objects keep alive what they
need, so the order does not matter. A failing call raises CriaError with the library's own sentence.
"""
import ctypes as C
import json
from pathlib import Path

import numpy as np

ACTIVATIONS = {"default": 0, "int8": 1, "int16": 2, "f32": 3}
KV = {"int16": 0, "f16": 1, "f32": 2, "int8": 3}
ENCODE_BOS, ENCODE_SPECIAL, ENCODE_CHAT = 1, 2, 4

P = C.c_void_p


class CriaError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Error(C.Structure):
    _fields_ = [("code", C.c_int), ("where", C.c_uint64), ("msg", C.c_char * 1000)]


class CtxOpts(C.Structure):
    _fields_ = [("size", C.c_size_t), ("threads", C.c_uint32), ("isa", C.c_char_p), ("log", P), ("log_user", P),
                ("alloc", P), ("free", P), ("alloc_user", P)]


class ModelOpts(C.Structure):
    _fields_ = [("size", C.c_size_t), ("activations", C.c_int), ("progress", P), ("progress_user", P),
                ("cache_folder", C.c_char_p), ("cache_least_bytes", C.c_uint64), ("cache_required", C.c_bool),
                ("context", C.c_uint32), ("outline", C.c_bool)]


class EngineOpts(C.Structure):
    _fields_ = [("size", C.c_size_t), ("kv", C.c_int), ("kv_bytes", C.c_uint64), ("batch_rows", C.c_uint32)]


class LogitBias(C.Structure):
    _fields_ = [("id", C.c_int32), ("bias", C.c_float)]


class SamplerOpts(C.Structure):
    _fields_ = [("size", C.c_size_t), ("temp", C.c_double), ("seed", C.c_uint64), ("skip", C.c_uint64),
                ("order", C.c_char_p), ("bias", C.POINTER(LogitBias)), ("n_bias", C.c_size_t),
                ("penalty_last_n", C.c_uint32), ("repeat_penalty", C.c_double), ("presence_penalty", C.c_double),
                ("frequency_penalty", C.c_double), ("dry_multiplier", C.c_double), ("dry_base", C.c_double),
                ("dry_allowed_length", C.c_uint32), ("dry_last_n", C.c_uint32), ("dry_breakers", C.POINTER(C.c_int32)),
                ("n_dry_breakers", C.c_size_t), ("top_n_sigma", C.c_double), ("top_k", C.c_uint32)] + [
        (f, C.c_double) for f in ("typical_p", "top_p", "min_p", "xtc_probability", "xtc_threshold", "dynatemp_range",
                                  "dynatemp_exponent", "mirostat_tau", "mirostat_eta")]


class ModelInfo(C.Structure):
    _fields_ = [("format", C.c_char_p), ("architecture", C.c_char_p)] + [
        (f, C.c_uint32) for f in ("dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size",
                                  "context")] + [
        ("norm_eps", C.c_float), ("rope_theta", C.c_float), ("rope_traditional", C.c_bool),
        ("n_params", C.c_uint64), ("weight_bytes", C.c_uint64), ("weights_mapped", C.c_bool)]


class Generation(C.Structure):
    _fields_ = [(f, C.c_double) for f in ("temp", "top_p", "min_p", "typical_p", "repeat_penalty")] + [("top_k", C.c_uint32)]


class TemplateTime(C.Structure):
    _fields_ = [("seconds", C.c_int64), ("offset", C.c_int32)]


class ConvertOpts(C.Structure):
    _fields_ = [("size", C.c_size_t), ("npz", C.c_bool), ("quantize", C.c_bool), ("mode", C.c_char_p),
                ("bits", C.c_uint32), ("group", C.c_uint32), ("recipe", C.c_char_p), ("rules", P),
                ("n_rules", C.c_size_t), ("dtype", C.c_char_p), ("tokenizer", C.c_char_p), ("calibration", C.c_char_p),
                ("calibration_len", C.c_size_t), ("shard_bytes", C.c_uint64),
                ("progress", P), ("progress_user", P)]


ROW = np.dtype([("sequence", np.uintp), ("token", np.int32), ("want_logits", np.bool_), ("pad", "V3")])

# name: (result, arguments without the trailing cria_error *); "status" raises when it is not 0.
FUNCTIONS = {
    "cria_version": (C.c_char_p, []),
    "cria_ctx_opts_default": (CtxOpts, []),
    "cria_ctx_new": ("status", [P, P]),
    "cria_ctx_free": (None, [P]),
    "cria_ctx_threads": (C.c_uint32, [P]),
    "cria_ctx_isa": (C.c_char_p, [P]),
    "cria_model_opts_default": (ModelOpts, []),
    "cria_model_open": ("status", [P, C.c_char_p, P, P]),
    "cria_model_free": (None, [P]),
    "cria_model_get_info": (None, [P, P]),
    "cria_model_tokenizer": (P, [P]),
    "cria_tokenizer_open": ("status", [P, C.c_char_p, P]),
    "cria_tokenizer_free": (None, [P]),
    "cria_tokenizer_vocab_size": (C.c_uint32, [P]),
    "cria_tokenizer_bos": (C.c_int32, [P]),
    "cria_tokenizer_eos": (C.c_int32, [P]),
    "cria_tokenizer_is_eog": (C.c_bool, [P, C.c_int32]),
    "cria_tokenizer_piece": (P, [P, C.c_int32, P]),
    "cria_encode": ("status", [P, C.c_char_p, C.c_size_t, C.c_uint, P, P]),
    "cria_ids_free": (None, [P, P]),
    "cria_decode": ("status", [P, P, C.c_size_t, P, P]),
    "cria_text_free": (None, [P, P]),
    "cria_model_get_generation": ("status", [P, P]),
    "cria_model_chat_template": (C.c_char_p, [P, C.c_size_t]),
    "cria_chat_template_open": ("status", [P, C.c_char_p, P]),
    "cria_chat_template_new": ("status", [P, C.c_char_p, C.c_size_t, P]),
    "cria_chat_template_free": (None, [P]),
    "cria_chat_template_text": (P, [P, P]),
    "cria_chat_template_render": ("status", [P, C.c_char_p, C.c_size_t, P, P, P]),
    "cria_chat_text_free": (None, [P, P]),
    "cria_detok_new": ("status", [P, P]),
    "cria_detok_free": (None, [P]),
    "cria_detok_push": ("status", [P, C.c_int32, P, P]),
    "cria_detok_finish": ("status", [P, P, P]),
    "cria_engine_opts_default": (EngineOpts, []),
    "cria_engine_new": ("status", [P, P, P]),
    "cria_engine_free": (None, [P]),
    "cria_sequence_new": ("status", [P, P]),
    "cria_sequence_free": (None, [P]),
    "cria_sequence_length": (C.c_size_t, [P]),
    "cria_sequence_truncate": (None, [P, C.c_size_t]),
    "cria_engine_eval": ("status", [P, P, C.c_size_t, P]),
    "cria_convert_opts_default": (ConvertOpts, []),
    "cria_convert": ("status", [P, C.c_char_p, C.c_char_p, P, P]),
    "cria_sampler_opts_default": (SamplerOpts, []),
    "cria_sampler_new": ("status", [P, P, P]),
    "cria_sampler_free": (None, [P]),
    "cria_sampler_sample": ("status", [P, P, C.c_size_t, P]),
    "cria_sampler_apply": ("status", [P, P, C.c_size_t, P]),
    "cria_sampler_accept": ("status", [P, P, C.c_size_t]),
    "cria_sampler_reset": (None, [P]),
}


class Library:
    """The shared library: lib.ctx_new(…) is cria_ctx_new(…, &err), raising CriaError."""

    def __init__(self, path):
        self.path = Path(path)
        dll = C.CDLL(str(path))
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(dll, name)
            status = result == "status"
            function.restype = C.c_int if status else result
            function.argtypes = arguments + ([P] if status else [])
            name = {"cria_convert": "cria_convert_raw"}.get(name, name) # convert is the method below
            setattr(self, name.removeprefix("cria_"), self._checked(function) if status else function)

    @staticmethod
    def _checked(function):
        def call(*arguments):
            err = Error()
            if function(*arguments, C.byref(err)) != 0:
                raise CriaError(err.code, err.msg.decode())
        return call

    def context(self, threads=0, isa=None):
        return Context(self, threads, isa)

    def convert(self, src, dst, **options):
        opts = self.convert_opts_default()
        for name, value in options.items():
            setattr(opts, name, value)
        context = Context(self, 2)
        self.convert_raw(context.p, str(src).encode(), str(dst).encode(), C.byref(opts), None)

    def open(self, path, *, threads=2, isa=None, activations="default", context=0, outline=False):
        return Model(Context(self, threads, isa), path, activations, context, outline)


class Object:
    """A cria pointer and the function that frees it."""

    def __init__(self, lib, free, make):
        self.lib, self._free, self.p = lib, free, P()
        make(C.byref(self.p))

    def __del__(self):
        if getattr(self, "p", None):
            self._free(self.p)
            self.p = None


class Context(Object):
    def __init__(self, lib, threads=0, isa=None):
        opts = lib.ctx_opts_default()
        opts.threads = threads
        opts.isa = isa.encode() if isa else None
        super().__init__(lib, lib.ctx_free, lambda out: lib.ctx_new(C.byref(opts), out))

    @property
    def isa(self):
        return self.lib.ctx_isa(self.p).decode()


class Tokenizer(Object):
    """From a file when path is given, else borrowed from a model."""

    def __init__(self, ctx, path=None, model=None):
        self.ctx, self.model = ctx, model
        if path is not None:
            super().__init__(ctx.lib, ctx.lib.tokenizer_free,
                             lambda out: ctx.lib.tokenizer_open(ctx.p, str(path).encode(), out))
        else:
            self.lib, self._free, self.p = ctx.lib, lambda p: None, P(ctx.lib.model_tokenizer(model.p))

    def __len__(self):
        return self.lib.tokenizer_vocab_size(self.p)

    @property
    def bos(self):
        return self.lib.tokenizer_bos(self.p)

    @property
    def eos(self):
        return self.lib.tokenizer_eos(self.p)

    def encode(self, text, flags=0):
        data = text.encode() if isinstance(text, str) else text
        ids, n = P(), C.c_size_t()
        self.lib.encode(self.p, data, len(data), flags, C.byref(ids), C.byref(n))
        out = C.cast(ids, C.POINTER(C.c_int32))[: n.value] if n.value else []
        self.lib.ids_free(self.p, ids)
        return out

    def decode(self, ids):
        array = (C.c_int32 * max(1, len(ids)))(*ids)
        text, n = P(), C.c_size_t()
        self.lib.decode(self.p, array, len(ids), C.byref(text), C.byref(n))
        out = C.string_at(text, n.value)
        self.lib.text_free(self.p, text)
        return out

    def stream(self, ids):
        """The parts that the streaming decoder gives for ids, the last one from finish."""
        detok, text, n = P(), P(), C.c_size_t()
        self.lib.detok_new(self.p, C.byref(detok))
        parts = []
        for i in ids:
            self.lib.detok_push(detok, i, C.byref(text), C.byref(n))
            parts.append(C.string_at(text, n.value) if n.value else b"")
        self.lib.detok_finish(detok, C.byref(text), C.byref(n))
        parts.append(C.string_at(text, n.value) if n.value else b"")
        self.lib.detok_free(detok)
        return parts


class Model(Object):
    def __init__(self, ctx, path, activations="default", context=0, outline=False):
        opts = ctx.lib.model_opts_default()
        opts.activations, opts.context, opts.outline = ACTIVATIONS[activations], context, outline
        self.ctx = ctx
        super().__init__(ctx.lib, ctx.lib.model_free,
                         lambda out: ctx.lib.model_open(ctx.p, str(path).encode(), C.byref(opts), out))
        self.info = ModelInfo()
        self.lib.model_get_info(self.p, C.byref(self.info))
        self.tokenizer = Tokenizer(ctx, model=self)

    def engine(self, kv="int16", batch_rows=0, kv_bytes=0):
        return Engine(self, kv, batch_rows, kv_bytes)

    @property
    def templates(self):
        """Names of the chat templates."""
        names = iter(lambda: self.lib.model_chat_template(self.p, len(out)), None)
        out = []
        for name in names:
            out.append(name.decode())
        return out

    def template(self, name=None, text=None):
        return ChatTemplate(self, name, text)

    @property
    def generation(self):
        out = Generation()
        self.lib.model_get_generation(self.p, C.byref(out))
        return {f: getattr(out, f) for f, _ in Generation._fields_}


class ChatTemplate(Object):
    """The model's own of that name, or another one when text is given."""

    def __init__(self, model, name=None, text=None):
        lib, data = model.lib, text.encode() if isinstance(text, str) else text
        super().__init__(lib, lib.chat_template_free, lambda out: (
            lib.chat_template_open(model.p, name.encode() if name else None, out) if text is None else
            lib.chat_template_new(model.p, data, len(data), out)))

    @property
    def text(self):
        n = C.c_size_t()
        return C.string_at(self.lib.chat_template_text(self.p, C.byref(n)), n.value).decode()

    def render(self, variables, now=None):
        """variables: a dict, or JSON as bytes. now: seconds since 1970."""
        data = variables if isinstance(variables, bytes) else json.dumps(variables).encode()
        text, n = P(), C.c_size_t()
        time = C.byref(TemplateTime(now, 0)) if now is not None else None
        self.lib.chat_template_render(self.p, data, len(data), time, C.byref(text), C.byref(n))
        out = C.string_at(text, n.value).decode()
        self.lib.chat_text_free(self.p, text)
        return out


class Engine(Object):
    def __init__(self, model, kv="int16", batch_rows=0, kv_bytes=0):
        opts = model.lib.engine_opts_default()
        opts.kv, opts.kv_bytes, opts.batch_rows = KV[kv], kv_bytes, batch_rows
        self.model, self.vocab = model, model.info.vocab_size
        super().__init__(model.lib, model.lib.engine_free,
                         lambda out: model.lib.engine_new(model.p, C.byref(opts), out))

    def sequence(self):
        return Sequence(self)

    def eval(self, rows):
        """rows: (sequence, token, wants logits) each. Returns [rows that want them][vocab] float32."""
        packed = np.zeros(len(rows), ROW)
        for i, (sequence, token, want) in enumerate(rows):
            packed[i] = (sequence.p.value, token, want, b"")
        logits = np.empty((int(packed["want_logits"].sum()), self.vocab), np.float32)
        self.lib.engine_eval(self.p, packed.ctypes.data, len(rows), logits.ctypes.data if logits.size else None)
        return logits


class Sequence(Object):
    def __init__(self, engine):
        self.engine = engine
        super().__init__(engine.lib, engine.lib.sequence_free, lambda out: engine.lib.sequence_new(engine.p, out))

    def __len__(self):
        return self.lib.sequence_length(self.p)

    def truncate(self, n):
        self.lib.sequence_truncate(self.p, n)

    def eval(self, tokens, want="all"):
        """Appends tokens. want: "all", "last" or "none"."""
        last = len(tokens) - 1
        return self.engine.eval([(self, t, want == "all" or (want == "last" and i == last))
                                 for i, t in enumerate(tokens)])


class Sampler(Object):
    """options: fields of cria_sampler_opts; bias is a list of (id, bias), dry_breakers one of ids."""

    def __init__(self, ctx, temp=0.0, seed=0, skip=0, **options):
        opts = ctx.lib.sampler_opts_default()
        opts.temp, opts.seed, opts.skip = temp, seed, skip
        for name, value in options.items():
            if name == "order" and value is not None:
                value = value.encode()
            elif name in ("bias", "dry_breakers"):
                setattr(opts, "n_" + name, len(value))
                value = (LogitBias if name == "bias" else C.c_int32) * len(value)
                value = value(*options[name])
            setattr(opts, name, value)
        super().__init__(ctx.lib, ctx.lib.sampler_free, lambda out: ctx.lib.sampler_new(ctx.p, C.byref(opts), out))

    def sample(self, logits):
        logits = np.ascontiguousarray(logits, np.float32)
        token = C.c_int32()
        self.lib.sampler_sample(self.p, logits.ctypes.data, logits.size, C.byref(token))
        return token.value

    def apply(self, logits):
        """The logits that the next token would be drawn from, -inf for tokens left out."""
        logits = np.ascontiguousarray(logits, np.float32)
        out = np.empty_like(logits)
        self.lib.sampler_apply(self.p, logits.ctypes.data, logits.size, out.ctypes.data)
        return out

    def accept(self, ids):
        array = (C.c_int32 * max(1, len(ids)))(*ids)
        self.lib.sampler_accept(self.p, array, len(ids))

    def reset(self):
        self.lib.sampler_reset(self.p)


def generate(engine, texts, n):
    """n tokens of each text (prompt as ids, temperature, seed), all side by side in one batch, each with its own sampler.
    Returns [len(texts)][n] ids and the logits each was drawn from, [len(texts)][n][vocab]."""
    sequences = [engine.sequence() for _ in texts]
    samplers = [Sampler(engine.model.ctx, temp, seed) for _, temp, seed in texts]
    tokens = np.empty((len(texts), n), np.int32)
    logits = np.empty((len(texts), n, engine.vocab), np.float32)
    rows = [(s, t, i == len(p) - 1) for s, (p, _, _) in zip(sequences, texts) for i, t in enumerate(p)]
    for step in range(n):
        logits[:, step] = engine.eval(rows)
        tokens[:, step] = [s.sample(x) for s, x in zip(samplers, logits[:, step])]
        rows = [(s, int(t), True) for s, t in zip(sequences, tokens[:, step])]
    return tokens, logits
