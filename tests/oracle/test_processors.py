# SPDX-License-Identifier: Apache-2.0
"""Same bits on other processors: the whole program under qemu-user, its logits against those of this machine.

CRIA_AARCH64_BUILD: build folder of a static AArch64 program (build/aarch64, made by tests/tools/build_aarch64.sh).
"""
import os
import platform
import shutil
import subprocess
from pathlib import Path

import conftest
import models
import pytest

SHAPE = models.Shape(kv_heads=1, head_dim=48)
K_SHAPE = models.Shape(dim=256, heads=4, kv_heads=1, head_dim=64, hidden=512)
PRECISIONS = [("auto", "int16"), ("int8", "f32"), ("int16", "f16"), ("f32", "f32"), ("auto", "int8")]
TOKENS = 70  # over one KV block

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere: on x86-64, where nothing of this is native")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(models.PROMPTS))
    return path


@pytest.fixture(scope="module", params=["q4g64", "q3g32", "mxfp4", "mxfp8", "bf16", "Q5_1", "K"])
def model(request, tmp_path_factory):
    shape = K_SHAPE if request.param == "K" else SHAPE
    folder, weights, config = tmp_path_factory.mktemp("model"), models.random_weights(shape), shape.config()
    if request.param == "K" or request.param in models.GGUF_TYPES:
        return models.write_gguf(folder / "m.gguf", shape, weights, request.param)
    if request.param in models.DTYPES:
        weights = models.cast(weights, request.param)
    else:
        weights, config["quantization"] = models.quantize(weights, request.param)
    return models.write_folder(folder / "m", config, weights, models.spm_model(SHAPE.vocab))


def logits(program, model, text, activations, kv, isa):
    """The bytes that cria perplexity saves for the logits of every token of the text."""
    out = model.parent / "logits"
    subprocess.run([*map(str, program), "perplexity", "--model-path", model, "--activations", activations, "--kv", kv,
                    "--isa", isa, "--quiet", "-m", str(TOKENS), "--kl-base", out, text], check=True, timeout=300,
                   capture_output=True)
    data = out.read_bytes()
    out.unlink()
    assert len(data) > (TOKENS - 2) * SHAPE.vocab * 4
    return data


def emulator(*command):
    if not shutil.which(command[0]):
        conftest.missing(f"{command[0]} is not installed (qemu-user-static)")
    return command


@pytest.mark.parametrize("activations,kv", PRECISIONS)
def test_aarch64(cria, model, text, activations, kv):
    program = conftest.ROOT / os.environ.get("CRIA_AARCH64_BUILD", "build/aarch64") / "cria"
    if not program.is_file():
        conftest.missing(f"{program} is not there; run tests/tools/build_aarch64.sh")
    here = logits([cria], model, text, activations, kv, "auto")
    isas = ["i8mm", "dotprod", "neon"]
    if (activations, kv) == PRECISIONS[0]:  # the same C as here
        isas.append("scalar")
    for isa in isas:
        emulated = logits([*emulator("qemu-aarch64-static", "-cpu", "max"), program], model, text, activations, kv, isa)
        assert emulated == here, isa


EMULATED = [("Nehalem", "auto")]
if "avx2" not in Path("/proc/cpuinfo").read_text().split():  # where it is, test_determinism compares it
    EMULATED.append(("Haswell", "avx2"))


@pytest.mark.parametrize("cpu,isa", EMULATED)
def test_x86_64(cria, model, text, cpu, isa):
    """Nehalem has no AVX: auto must be the scalar table there."""
    here = logits([cria], model, text, "auto", "int16", "auto")
    assert logits([*emulator("qemu-x86_64-static", "-cpu", cpu), cria], model, text, "auto", "int16", isa) == here
