# SPDX-License-Identifier: Apache-2.0
"""That bench runs and reports; never how fast."""
import json

import pytest

pytestmark = pytest.mark.quick


def test_table(run, small_gguf):
    r = run("bench", "--model-path", small_gguf, "-p", 20, "-n", 5, "-r", 2, "--threads", 1)
    assert r.returncode == 0
    for word in (b"load", b"peak memory", b"20 tokens", b"5 tokens", b"tokens/s", b"1 thread"):
        assert word in r.stdout


def test_json(run, small_model):
    r = run("bench", "--model-path", small_model, "-p", 7, "-n", 3, "-r", 4, "--json", "--quiet")
    assert (r.returncode, r.stderr) == (0, b"")
    result = json.loads(r.stdout)
    assert result["prompt_tokens"] == 7 and result["new_tokens"] == 3 and len(result["runs"]) == 4
    assert result["prompt_tokens_per_second"] > 0 and result["new_tokens_per_second"] > 0


def test_more_than_the_context_is_a_failure(run, small_gguf):
    r = run("bench", "--model-path", small_gguf, "-p", 600, "-r", 1, "--quiet")
    assert r.returncode == 1 and r.stdout == b"" and r.stderr.count(b"\n") == 1
