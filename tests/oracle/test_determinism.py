# SPDX-License-Identifier: Apache-2.0
"""Same bits: the logits do not depend on threads, on how a prompt is cut, on other sequences, or on the processor."""
import cria_ctypes
import families
import models
import numpy as np
import pytest

SHAPE = models.Shape(dim=192, heads=6, kv_heads=3, head_dim=32, hidden=384)
K_SHAPE = models.Shape(dim=256, heads=8, kv_heads=4, head_dim=32, hidden=512)
TOKENS = np.random.default_rng(5).integers(3, SHAPE.vocab, 150).tolist()  # over two KV blocks and a piece
MODELS = ["f32", "f16", "bf16", "q2g32", "q3g64", "q4g64", "q5g128", "q6g64", "q8g32", "mxfp4", "nvfp4", "mxfp8",
          "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "K"]
# What keys and values are kept as and what meets the weights know nothing of each other.
PRECISIONS = [("default", "int16"), ("default", "f16"), ("default", "f32"), ("default", "int8"), ("int8", "f16"),
              ("int16", "int16"), ("f32", "f32")]


# What plain Llamas have not: soft caps, windows (all shorter than the text), ropes of two kinds, norms of outputs and of
# queries and keys, experts, biases, fused matrices, parts of heads rotated; as float32, and as mlx-lm quantizes them.
FAMILIES = ["gemma2", "gemma3", "mixtral", "qwen3_moe, some dense", "qwen2", "phi3", "phi3, a part rotated"]

# A float matrix meets float32 activations whatever is asked for.
CASES = [(kind, p) for kind in MODELS for p in (PRECISIONS if kind not in models.DTYPES else PRECISIONS[:3])]
CASES += [(f"{form} {name}", p) for name in FAMILIES for form in ("float", "quantized")
          for p in (("default", "int16"), ("f32", "f32"), ("default", "int8"))]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """stored(kind): path of the model, written once."""
    paths = {}

    def get(kind):
        if kind not in paths:
            folder = tmp_path_factory.mktemp("model")
            form, _, name = kind.partition(" ")
            if name:
                family = families.Family(name)
                tensors, _, quantization = family.quantized() if form == "quantized" else (None, None, None)
                paths[kind] = family.write_hf(folder / "m", tensors, quantization=quantization)
                return paths[kind]
            shape = K_SHAPE if kind == "K" else SHAPE
            weights, config = models.random_weights(shape), shape.config()
            if kind == "K" or kind in models.GGUF_TYPES:
                paths[kind] = models.write_gguf(folder / "m.gguf", shape, weights, kind)
                return paths[kind]
            if kind in models.DTYPES:
                weights = models.cast(weights, kind)
            else:
                weights, config["quantization"] = models.quantize(weights, kind)
            paths[kind] = models.write_folder(folder / "m", config, weights, models.spm_model(SHAPE.vocab))
        return paths[kind]
    return get


@pytest.fixture(params=CASES, ids=lambda c: f"{c[0]}-{c[1][0]}-{c[1][1]}")
def case(request, stored):
    """(path, (activations, kv))"""
    return stored(request.param[0]), request.param[1]


def same(a, b):
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


def all_logits(lib, case, tokens=TOKENS, **how):
    path, precision = case
    return lib.open(path, activations=precision[0], **how).engine(kv=precision[1]).sequence().eval(tokens)


def engine_of(lib, case):
    path, (activations, kv) = case
    return lib.open(path, activations=activations).engine(kv=kv)


def test_threads(lib, case):
    one = all_logits(lib, case, threads=1)
    for threads in (2, 3, 5):
        assert same(one, all_logits(lib, case, threads=threads)), f"{threads} threads"


def test_prompt_in_pieces(lib, case):
    engine = engine_of(lib, case)
    whole = engine.sequence().eval(TOKENS)
    for piece in (1, 7, 64):
        sequence = engine.sequence()
        parts = [sequence.eval(TOKENS[i:i + piece]) for i in range(0, len(TOKENS), piece)]
        assert same(whole, np.concatenate(parts)), f"pieces of {piece}"
    small = engine.model.engine(kv=case[1][1], batch_rows=5)
    assert same(whole, small.sequence().eval(TOKENS)), "batch_rows 5"
    assert same(whole[-1:], engine.sequence().eval(TOKENS, want="last")), "only the last row's logits"


def test_company(lib, case):
    """Several sequences in one call, rows interleaved, against each alone."""
    engine = engine_of(lib, case)
    texts = [TOKENS[:90], TOKENS[40:47], TOKENS[60:131], TOKENS[5:6]]
    alone = [engine.sequence().eval(t) for t in texts]
    sequences = [engine.sequence() for _ in texts]
    rows = [(i, k) for k in range(max(map(len, texts))) for i in range(len(texts)) if k < len(texts[i])]
    together = engine.eval([(sequences[i], texts[i][k], True) for i, k in rows])
    for i, logits in enumerate(alone):
        assert same(logits, together[[r for r, (j, _) in enumerate(rows) if j == i]]), f"sequence {i}"


def test_who_asks(lib, case):
    """Rows that want no logits skip most of the last layer: the others, and what comes after, do not notice."""
    engine = engine_of(lib, case)
    texts = [TOKENS[:120], TOKENS[30:150]]
    whole = [engine.sequence().eval(t) for t in texts]
    for asks in (lambda r: r % 3 == 1, lambda r: r == 40, lambda r: r < 2, lambda r: False):
        sequences = [engine.sequence() for _ in texts]
        rows = [(i, k) for k in range(90) for i in range(2)]
        some = engine.eval([(sequences[i], texts[i][k], asks(r)) for r, (i, k) in enumerate(rows)])
        want = [whole[i][k] for r, (i, k) in enumerate(rows) if asks(r)]
        assert len(some) == len(want) and all(map(same, some, want))
        for i, sequence in enumerate(sequences):
            assert same(whole[i][90:], sequence.eval(texts[i][90:])), f"what follows in sequence {i}"


def test_truncate(lib, case):
    engine = engine_of(lib, case)
    whole = engine.sequence().eval(TOKENS)
    sequence = engine.sequence()
    sequence.eval(TOKENS[:70] + [9] * 75)
    for n in (70, 64, 63, 1, 0):
        sequence.truncate(n)
        assert len(sequence) == n
        assert same(whole[n:], sequence.eval(TOKENS[n:])), f"truncated to {n}"


@pytest.mark.parametrize("kind,kv", [("q4g64", "int16"), ("q4g64", "f16"), ("q4g64", "int8"), ("quantized mistral", "f32")])
def test_segments(lib, stored, kind, kv):
    """Attention cuts positions into segments of 1024, which go to different threads where there are few rows: with two
    threads two waves of them here; with a window most of them are not seen at all."""
    tokens = np.random.default_rng(6).integers(3, SHAPE.vocab, 4200).tolist()
    end = 40
    one = lib.open(stored(kind), threads=1, context=13000).engine(kv=kv).sequence()
    one.eval(tokens[:-end], want="none")
    whole = one.eval(tokens[-end:])
    one.truncate(2000)
    short = one.eval(tokens[2000:2001])
    for threads in (2, 3, 16):
        engine = lib.open(stored(kind), threads=threads, context=13000).engine(kv=kv)
        sequences = [engine.sequence() for _ in range(3)]
        for sequence, piece in zip(sequences, (7, 1, 20)):
            sequence.eval(tokens[:-end], want="none")
            parts = [sequence.eval(tokens[i:i + piece]) for i in range(len(tokens) - end, len(tokens), piece)]
            assert same(whole, np.concatenate(parts)), f"{threads} threads, pieces of {piece}"
        for sequence, n in zip(sequences, (4199, 2000, 4190)):
            sequence.truncate(n)
        logits = engine.eval([(s, tokens[len(s)], True) for s in sequences])
        together = np.concatenate([whole[-1:], short, whole[-10:-9]])
        assert same(together, logits), f"{threads} threads, sequences of different lengths together"


def test_refused_rows_leave_no_trace(lib, stored):
    """A failing call grows no sequence."""
    engine = lib.open(stored("q4g64")).engine()
    whole = engine.sequence().eval(TOKENS[:20])
    sequence = engine.sequence()
    sequence.eval(TOKENS[:10])
    for token in (-1, SHAPE.vocab, 2**31 - 1):
        with pytest.raises(cria_ctypes.CriaError):
            sequence.eval(TOKENS[:3] + [token])
        assert len(sequence) == 10
    assert same(whole[10:], sequence.eval(TOKENS[10:20]))


def isas(lib):
    """The kernel tables that this processor can run; scalar first."""
    out = []
    for isa in ("scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "dotprod", "i8mm"):
        try:
            assert lib.context(isa=isa).isa == isa
            out.append(isa)
        except cria_ctypes.CriaError as e:
            assert isa != "scalar" and e.code == -5, e
    return out


def test_instruction_sets(lib, case):
    scalar = all_logits(lib, case, isa="scalar")
    for isa in isas(lib)[1:]:
        assert same(scalar, all_logits(lib, case, isa=isa)), isa


def test_auto_is_the_best_table(lib, tally):
    tally.append(f"kernel tables run natively: {', '.join(isas(lib))}")
    assert lib.context().isa == isas(lib)[-1]


# ---- a real model ----

@pytest.mark.parametrize("activations,kv", [("default", "int16"), ("int8", "f16"), ("int8", "int8"), ("int16", "f32"), ("f32", "int8")])
def test_smollm2(lib, smollm2, activations, kv):
    tokens = lib.open(smollm2).tokenizer.encode("In the beginning the Universe was created. This has made a lot of "
                                                "people very angry and been widely regarded as a bad move.")
    if activations == "f32":
        tokens = tokens[:9]  # the scalar table multiplies and adds in software where a compiler may not assume FMA
    want = all_logits(lib, (smollm2, (activations, kv)), tokens, threads=1, isa="scalar")
    for isa in isas(lib)[1:]:
        for threads in (1, 2, 3, 5):
            engine = lib.open(smollm2, activations=activations, isa=isa, threads=threads).engine(kv=kv)
            assert same(want, engine.sequence().eval(tokens)), f"{isa}, {threads} threads"
            sequence = engine.sequence()
            assert same(want, np.concatenate([sequence.eval([t]) for t in tokens])), f"{isa}, token by token"
