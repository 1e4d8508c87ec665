# SPDX-License-Identifier: Apache-2.0
"""bench/compare against programs that stand in for llama-bench: what they are asked, and what becomes of their answers."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

pytestmark = pytest.mark.quick
FAKE = Path(__file__).resolve().parent / "fake_llama_bench.py"


@pytest.fixture
def compare(cria, small_gguf, tmp_path):
    """compare(options…) → (CompletedProcess, what the stand-ins were called with)."""
    for name in ("llama", "ik", "batched"):
        (tmp_path / name).symlink_to(FAKE)
    log = tmp_path / "log"

    def call(*arguments):
        r = subprocess.run([sys.executable, ROOT / "bench/compare", "--cria", cria, "-m", small_gguf, "-t", "1", *arguments],
                           capture_output=True, timeout=120, env=os.environ | {"FAKE_LOG": str(log)}, text=True, check=False)
        return r, [json.loads(x) for x in log.read_text().splitlines()] if log.exists() else []
    call.folder = tmp_path
    return call


def option(command, name):
    return command[command.index(name) + 1]


def test_ratios_and_rounds(compare, small_gguf):
    f = compare.folder
    r, log = compare("--llama-cpp", f / "llama", "--ik-llama-cpp", f / "ik", "--batched-bench", f / "batched", "-p", "4", "-n", "2",
                     "-d", "0,8", "-b", "1,2", "-r", "2", "--rounds", "2", "--json")
    assert r.returncode == 0, r.stderr
    assert [x[0] for x in log] == 2 * ["llama", "ik", "batched", "batched"]  # batched: once for each depth
    llama, ik, batched, deeper = log[:4]
    assert (option(llama, "-m"), option(llama, "-p"), option(llama, "-n"), option(llama, "-d")) == (str(small_gguf), "4", "2", "0,8")
    assert (option(llama, "-t"), option(llama, "-r"), option(llama, "-o")) == ("1", "2", "json")
    assert (option(ik, "-rtr"), option(ik, "-fa"), option(ik, "-gp")) == ("1", "1", "8,2") and "-d" not in ik
    assert (option(batched, "-npp"), option(deeper, "-npp"), option(batched, "-npl")) == ("1", "8", "2")

    result = json.loads(r.stdout)
    assert (result["rounds"], result["repetitions"], result["threads"]) == (2, 2, 1)
    rows = {x["test"]: x for x in result["results"]}
    assert list(rows) == ["pp4", "tg2", "tg2 x2", "pp4 @ d8", "tg2 @ d8", "tg2 x2 @ d8"]
    others = {test: {name: rate for name, rate in x["tokens_per_second"].items() if name != "cria"} for test, x in rows.items()}
    assert others == {"pp4": {"llama.cpp": 100, "ik_llama.cpp": 100}, "tg2": {"llama.cpp": 10, "ik_llama.cpp": 10},
                      "pp4 @ d8": {"llama.cpp": 108}, "tg2 @ d8": {"llama.cpp": 18, "ik_llama.cpp": 28},
                      "tg2 x2": {"llama.cpp batched": 2000}, "tg2 x2 @ d8": {"llama.cpp batched": 2000}}
    for x in rows.values():
        mine = x["tokens_per_second"]["cria"]
        assert mine > 0
        assert x["ratio"] == {name: pytest.approx(mine / rate) for name, rate in x["tokens_per_second"].items() if name != "cria"}


def test_table(compare):
    r, _ = compare("--ik-llama-cpp", compare.folder / "ik", "-p", "4", "-n", "2", "-d", "8", "-r", "1", "--rounds", "1")
    assert r.returncode == 0, r.stderr
    head, prompt, generation = r.stdout.splitlines()
    assert head.split() == ["test", "cria", "ik_llama.cpp", "ratio"]
    assert prompt.startswith("pp4 @ d8") and prompt.split()[-2:] == ["-", "-"]
    mine, other, ratio = map(float, generation.removeprefix("tg2 @ d8").split())
    assert other == 28 and ratio == pytest.approx(mine / 28, abs=0.01)
    assert "round 1 of 1: cria" in r.stderr


def test_cria_alone(compare):
    r, log = compare("-p", "4", "-n", "0", "-r", "1", "--rounds", "1", "--cria-args", "--activations f32 --kv f32")
    assert (r.returncode, log) == (0, [])
    assert r.stdout.splitlines()[1].startswith("pp4")


@pytest.mark.parametrize("arguments, words", [
    (["--llama-cpp", "llama", "--llama-cpp-args=--fail"], "exit status 3: no such model"),
    (["--llama-cpp", "llama", "--llama-cpp-args=--nonsense"], "not what was expected"),
    (["--llama-cpp", "missing"], "cannot be run"),
    (["--cria-args=--isa sse9"], "exit status 2"),
])
def test_failures_are_one_line(compare, arguments, words):
    arguments = [str(compare.folder / a) if a in ("llama", "missing") else a for a in arguments]
    r, _ = compare("-p", "4", "-n", "0", "-r", "1", "--rounds", "1", *arguments)
    assert r.returncode == 1 and r.stdout == ""
    lines = [x for x in r.stderr.splitlines() if not x.startswith("round ")]
    assert len(lines) == 1 and lines[0].startswith("compare: ") and words in lines[0]


@pytest.mark.parametrize("arguments", [["-p", "x"], ["-n", "-1"], ["-t", "0"], ["-r", "1,2"]])
def test_bad_usage(compare, arguments):
    r, log = compare(*arguments)
    assert (r.returncode, r.stdout, log) == (2, "", [])
