# SPDX-License-Identifier: Apache-2.0
"""The quantizer of `cria convert` against mx.quantize, byte for byte."""
import struct
import subprocess

import mlx.core as mx
import models
import numpy as np
import pytest

MODES = ["affine", "mxfp4", "nvfp4", "mxfp8"]
TYPES = ["f32", "f16", "bf16"]
LARGEST = {"f32": 3.4e38, "f16": 65504.0, "bf16": 3.38e38}


@pytest.fixture(scope="module")
def quantizer(build):
    program = subprocess.Popen([build / "tests" / "cria_quantize"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield program
    program.stdin.close()
    assert program.wait() == 0


def raw(array):
    """The bytes of an mlx array."""
    return np.array(array.view(mx.uint8)).tobytes()


def quantize(program, w, kind, dtype):
    bits, group, mode = models.QUANTIZATIONS[kind]
    rows, cols = w.shape
    program.stdin.write(struct.pack("6I", MODES.index(mode), bits, group, TYPES.index(dtype), rows, cols) + raw(w))
    program.stdin.flush()
    n_scales = rows * cols // group * (1 if mode != "affine" else 4 if dtype == "f32" else 2)
    out = [program.stdout.read(rows * cols * bits // 8), program.stdout.read(n_scales)]
    return out + [program.stdout.read(n_scales)] if mode == "affine" else out


def check(program, w, kind, dtype):
    bits, group, mode = models.QUANTIZATIONS[kind]
    wanted = mx.quantize(w, group_size=group, bits=bits, mode=mode)
    got = quantize(program, w, kind, dtype)
    assert len(wanted) == len(got)
    for part, a, b in zip(("codes", "scales", "biases"), wanted, got):
        a, b = np.frombuffer(raw(a), np.uint8), np.frombuffer(b, np.uint8)
        if not np.array_equal(a, b):
            row = int(np.flatnonzero(a != b)[0]) // (len(a) // w.shape[0])
            group = w[row].astype(mx.float32)
            pytest.fail(f"{kind} of {dtype}: {part} differ first in row {row}: {np.array(group)[:8]} …")


def groups_of(dtype):
    """float32 [n][128]: each row is one kind of group, ordinary to hostile; what dtype holds is made of it."""
    rng = np.random.default_rng(7)
    top = LARGEST[dtype]
    tiny = 2.0 ** -24 if dtype == "f16" else 2.0 ** -149 if dtype == "f32" else 2.0 ** -133
    normal = rng.standard_normal((4000, 128))
    scale = 2.0 ** rng.uniform(-40, 30, (4000, 1))
    rows = [normal[:1000] * 0.02, normal * scale, normal[:500] * 0.02 + 1, np.abs(normal[:300]), -np.abs(normal[:300])]
    rows.append(np.where(rng.random((500, 128)) < 0.02, normal[:500] * 100, normal[:500] * 0.01))  # outliers
    rows.append(normal[:500] * tiny * 2.0 ** rng.uniform(0, 12, (500, 1)))  # subnormal
    rows.append(np.round(normal[:500] * 4) / 4)  # ties
    rows.append(np.round(normal[:500] * 2) * 2.0 ** np.round(rng.uniform(-20, 10, (500, 1))))
    rows.append(normal[:300] * top / 6)  # near the top
    rows.append(rng.choice([-1.0, 1.0], (100, 128)) * top)
    rows.append(np.repeat(rng.standard_normal((200, 1)) * 2.0 ** rng.uniform(-30, 20, (200, 1)), 128, 1))  # constant
    rows.append(np.zeros((4, 128)))
    rows.append(np.where(np.arange(128) % 37 == 5, tiny, 0.0)[None])
    rows.append(-rows[-1])
    rows.append(np.full((1, 128), -0.0))
    return np.clip(np.concatenate(rows), -top, top).astype(np.float32)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", models.QUANTIZATIONS)
def test_groups_of_every_kind(quantizer, kind, dtype):
    check(quantizer, mx.array(groups_of(dtype)).astype(models.DTYPES[dtype]), kind, dtype)


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.parametrize("kind", ["mxfp4", "nvfp4", "mxfp8"])
def test_every_number_of_16_bits(quantizer, kind, dtype):
    """As the largest of a group: every scale there can be. And beside a largest of 1: every code."""
    bits = mx.arange(65536, dtype=mx.uint32).astype(mx.uint16).view(models.DTYPES[dtype])
    finite = bits[mx.array(np.flatnonzero(np.isfinite(np.array(bits.astype(mx.float32)))))]
    w = mx.zeros((finite.size, 32), models.DTYPES[dtype])
    w[:, 3] = finite
    w[:, 4] = finite / 3
    w[:, 5] = -finite / 7
    check(quantizer, w, kind, dtype)
    small = finite[mx.array(np.flatnonzero(np.abs(np.array(finite.astype(mx.float32))) <= 1))]
    w = mx.zeros((small.size, 32), models.DTYPES[dtype])
    w[:, 7] = small
    w[:, 9] = 1
    check(quantizer, w, kind, dtype)


@pytest.mark.parametrize("kind,largest", [("mxfp4", 6.0), ("mxfp8", 448.0)])
def test_where_the_exponent_changes(quantizer, kind, largest):
    """float32 scales around 2^n and 2^(n + ½) for every n: where an exponent may go up."""
    near = []
    for n in np.arange(-148, 127, 0.5):
        middle = np.float32(min(largest * 2.0 ** n, 3.4e38)).view(np.uint32).astype(np.int64)
        near.append((middle + np.arange(-40, 41)).clip(1, 0x7f7fffff).astype(np.uint32).view(np.float32))
    near = np.concatenate(near)
    w = np.zeros((len(near), 32), np.float32)
    w[:, 0] = near
    w[:, 1] = -near / 3
    check(quantizer, mx.array(w), kind, "f32")
