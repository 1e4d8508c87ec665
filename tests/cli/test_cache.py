# SPDX-License-Identifier: Apache-2.0
"""The cache of packed weights as the program uses it: where it is, what pack makes, what --no-cache leaves alone."""
import os

import pytest

pytestmark = pytest.mark.quick


def entries(folder):
    return sorted(folder.rglob("*")) if folder.exists() else []


def files(folder):
    return [p for p in entries(folder) if p.is_file()]


@pytest.fixture
def at_home(run, tmp_path):
    """at_home(…) is run(…) with a home folder of its own, and XDG_CACHE_HOME where it is given."""
    def call(*arguments, xdg=None):
        env = {k: v for k, v in os.environ.items() if k != "XDG_CACHE_HOME"} | {"HOME": str(tmp_path / "home")}
        if xdg is not None:
            env["XDG_CACHE_HOME"] = str(xdg)
        return run(*arguments, env=env)
    return call


@pytest.mark.parametrize("kind", ["small_model", "small_gguf"])
def test_packed_ahead_of_time_the_text_is_the_same(at_home, tmp_path, kind, request):
    model = request.getfixturevalue(kind)
    generate = ("--model-path", model, "--prompt", "universe", "-m", 20, "--temp", 1, "--seed", 3)
    plain = at_home(*generate)
    assert plain.returncode == 0 and entries(tmp_path / "home") == []  # small ones are not kept
    packed = at_home("pack", "--model-path", model)
    assert (packed.returncode, packed.stdout) == (0, b"") and b"are kept in" in packed.stderr
    [entry] = files(tmp_path / "home" / ".cache" / "cria")
    assert entry.suffix == ".cria" and entry.stat().st_mode & 0o777 == 0o600
    before = entry.stat()
    mapped = at_home(*generate)
    assert (mapped.returncode, mapped.stdout) == (0, plain.stdout) and b"are mapped from" in mapped.stderr
    without = at_home(*generate, "--no-cache")
    assert (without.returncode, without.stdout) == (0, plain.stdout) and b"packed weights" not in without.stderr
    again = at_home("pack", "--model-path", model, "--quiet")
    assert (again.returncode, again.stdout, again.stderr) == (0, b"", b"")
    assert entry.stat().st_mtime_ns == before.st_mtime_ns and entry.stat().st_ino == before.st_ino
    # Cut short behind our back: noticed, and made anew when packed on purpose.
    os.truncate(entry, before.st_size // 2)
    cut = at_home(*generate)
    assert (cut.returncode, cut.stdout) == (0, plain.stdout) and b"another length" in cut.stderr
    assert at_home("pack", "--model-path", model).returncode == 0
    assert entry.stat().st_size == before.st_size


def test_where_the_cache_is(at_home, small_gguf, tmp_path):
    pack = ("pack", "--model-path", small_gguf, "--quiet")
    assert at_home(*pack, xdg=tmp_path / "xdg").returncode == 0
    assert len(files(tmp_path / "xdg" / "cria")) == 1
    assert at_home(*pack, "--cache-folder", tmp_path / "named" / "deep").returncode == 0
    assert len(files(tmp_path / "named" / "deep")) == 1
    assert files(tmp_path / "home") == []
    assert at_home(*pack, xdg="relative").returncode == 0  # counts as none
    assert len(files(tmp_path / "home" / ".cache" / "cria")) == 1


def test_pack_fails_where_generate_goes_on(at_home, small_gguf, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    r = at_home("pack", "--model-path", small_gguf, "--cache-folder", tmp_path / "file", "--quiet")
    assert r.returncode == 1 and r.stdout == b"" and r.stderr.count(b"\n") == 1 and b"file" in r.stderr
    r = at_home("pack", "--model-path", small_gguf, "--no-cache")
    assert r.returncode == 2 and r.stderr.count(b"\n") == 1
    assert at_home("pack", "--model-path", small_gguf, "--cache-folder", tmp_path / "here").returncode == 0
    [entry] = files(tmp_path / "here")
    entry.chmod(0o666)
    generate = ("--model-path", small_gguf, "-m", 5, "--cache-folder", tmp_path / "here")
    r = at_home(*generate)
    assert r.returncode == 0 and r.stdout == at_home(*generate, "--no-cache").stdout
    assert r.stderr.count(b"[WARN]") == 1 and b"others may write" in r.stderr
