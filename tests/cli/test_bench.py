# SPDX-License-Identifier: Apache-2.0
"""That bench runs and reports; never how fast."""
import csv
import io
import json
import subprocess
import sys

import pytest

from conftest import ROOT

pytestmark = pytest.mark.quick

RESULT_KEYS = ["test", "tokens_per_second", "spread", "percent_of_limit", "limit", "threads"]


def measure(run, *arguments):
    r = run("bench", *arguments, "--json", "--quiet")
    assert (r.returncode, r.stderr) == (0, b"")
    found = json.loads(r.stdout)
    assert list(found) == ["machine", "results"]
    for result in found["results"]:
        assert list(result) == RESULT_KEYS
        assert result["tokens_per_second"] > 0 and result["spread"] >= 0
        assert result["limit"] in ("read", "int8", "f32") and 0 < result["percent_of_limit"] < 1000
    return found


def test_table(run, small_gguf):
    r = run("bench", "-m", small_gguf, "-p", 20, "-n", 5, "-r", 2, "--threads", 1)
    assert r.returncode == 0
    text = r.stdout.decode()
    for word in ("limits, 1 thread", "GB/s", "Gop/s", "load, ", "load, warm", "first token after", "peak memory",
                 "pp20 ", "tg5 ", "tokens/s", " % of "):
        assert word in text, word
    assert b"Loading model" in r.stderr


def test_json(run, small_model):
    found = measure(run, "--model-path", small_model, "-p", 7, "-n", 3, "-r", 4, "-t", 2)
    assert [x["test"] for x in found["results"]] == ["pp7", "tg3"]
    machine = found["machine"]
    assert machine["model"] == str(small_model) and machine["format"] == "npz" and machine["repetitions"] == 4
    (limits,) = machine["limits"]
    assert limits["threads"] == 2 == found["results"][0]["threads"]
    assert min(limits["read_bytes_per_second"], limits["int8_ops_per_second"], limits["f32_ops_per_second"]) > 1e5
    assert machine["peak_memory_bytes"] > 1e6 and machine["load_warm_seconds"] > 0
    assert machine["first_token_warm_seconds"] > machine["load_warm_seconds"]


def test_lists_are_crossed(run, small_gguf):
    found = measure(run, "-m", small_gguf, "-p", "3,70", "-n", "2,4", "-d", "0,65", "-b", "1,3", "-t", "1,2", "-r", 1)
    tests = [f"{name}{depth}" for depth in ("", " @ d65")
             for name in ("pp3", "pp70", "tg2", "tg4", "tg2 x3", "tg4 x3")]
    assert [(x["test"], x["threads"]) for x in found["results"]] == [(t, n) for n in (1, 2) for t in tests]
    assert [x["threads"] for x in found["machine"]["limits"]] == [1, 2]
    assert all(x["spread"] == 0 for x in found["results"])  # of one repetition


def test_zero_leaves_tests_out(run, small_gguf):
    tests = lambda *a: [x["test"] for x in measure(run, "-m", small_gguf, "-r", 1, *a)["results"]]
    assert tests("-p", 0, "-n", 2) == ["tg2"]
    assert tests("-p", "0,4", "-n", 0, "-b", 2) == ["pp4"]


def test_csv(run, small_gguf):
    r = run("bench", "-m", small_gguf, "-p", 4, "-n", 2, "-r", 1, "-t", 1, "--csv", "--quiet")
    assert (r.returncode, r.stderr) == (0, b"")
    rows = list(csv.DictReader(io.StringIO(r.stdout.decode())))
    assert [x["test"] for x in rows] == ["pp4", "tg2"]
    for x in rows:
        assert None not in x and None not in x.values()
        assert float(x["tokens_per_second"]) > 0 and x["threads"] == "1" and x["model"] == str(small_gguf)
        assert int(x["parameters"]) > 0 and float(x["peak_memory_bytes"]) > 0


def test_share_of_the_limit(run):
    """A step of generation reads every weight but the embeddings of other tokens."""
    found = measure(run, "--shape", "1b", "--quantization", "affine4-g64", "-p", 0, "-n", 1, "-r", 1, "--kv", "f32")
    machine, (result,) = found["machine"], found["results"]
    assert machine["format"] == "random" and machine["quantization"] == "affine4-g64"
    assert 1.09e9 < machine["parameters"] < 1.11e9
    matrices = machine["parameters"] - 45 * 2048 - 32000 * 2048
    bytes_read = matrices * (0.5 + 4 / 64) + 45 * 4 * 2048
    percent = 100 * bytes_read * result["tokens_per_second"] / machine["limits"][0]["read_bytes_per_second"]
    # The machine's limits are the best of those before and after the only repetition, which are what it is compared with.
    if result["limit"] == "read":
        assert result["percent_of_limit"] == pytest.approx(percent, rel=0.01)
    else:
        assert result["percent_of_limit"] > percent * 0.99


def test_more_than_the_context_is_a_failure(run, small_gguf):
    for arguments in (["-p", 600], ["-p", 1, "-n", 10, "-d", "0,510"]):
        r = run("bench", "-m", small_gguf, *arguments, "-r", 1, "--quiet")
        assert r.returncode == 1 and r.stdout == b"" and r.stderr.count(b"\n") == 1
        assert b"context" in r.stderr


def test_no_model_is_a_failure(run, tmp_path):
    r = run("bench", "-m", tmp_path / "none.gguf", "--quiet")
    assert r.returncode == 1 and r.stdout == b"" and r.stderr.count(b"\n") == 1


def test_every_quantization_is_listed(cria):
    """bench/quantizations finds the names, and makes a row of a run."""
    script = [sys.executable, ROOT / "bench/quantizations", "--cria", cria, "-p", "2", "-n", "1", "-r", "1"]
    r = subprocess.run([*script, "affine2-g128", "q2_k"], capture_output=True, text=True, timeout=120, check=False)
    assert r.returncode == 0, r.stderr
    limits, _, head, _, first, second = r.stdout.splitlines()
    assert limits.startswith("Limits: read ") and head.count("|") == 7 == first.count("|")
    assert first.startswith("| affine2-g128 | 0.28") and second.startswith("| q2_k | 0.32")
    names = subprocess.run([*script, "nothing"], capture_output=True, text=True, timeout=60, check=False)
    assert names.returncode == 1 and "there are f32, f16, bf16, f8_e4m3, q4_0" in names.stderr and ", nvfp4, mxfp8." in names.stderr
