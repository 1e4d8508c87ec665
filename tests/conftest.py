# SPDX-License-Identifier: Apache-2.0
"""What all Python tests share: the build under test, the default model, a small model, and a tally printed at the end.

    CRIA_BUILD          build folder with cria and libcria.so (build/release)
    CRIA_SMOLLM2_GGUF   the quickstart's default model (its cache folder)
    CRIA_REQUIRE_ALL    set by ./check: what is missing is then a failure, and so is every skip (importorskip too) but for
                        those whose reason begins with "elsewhere: ", which only another processor could run
"""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TALLY = pytest.StashKey()

# A shell that starts ./check in the background has it ignore Ctrl-C, and so would every program under test.
signal.signal(signal.SIGINT, signal.default_int_handler)


def missing(what):
    if os.environ.get("CRIA_REQUIRE_ALL"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    forbid_skip(report)
    return report


def forbid_skip(report):
    if report.outcome != "skipped" or not os.environ.get("CRIA_REQUIRE_ALL"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith("elsewhere: "):
        report.outcome = "failed"


def build_folder():
    return ROOT / os.environ.get("CRIA_BUILD", "build/release")


@pytest.fixture(scope="session")
def build():
    return build_folder()


@pytest.fixture(scope="session")
def cria(build):
    """Path of the program."""
    program = build / "cria"
    if not program.is_file():
        missing(f"{program} is not there; run: cmake --preset release && cmake --build --preset release")
    return program


@pytest.fixture(scope="session")
def run(cria):
    """run("--prompt", "x", …) → CompletedProcess with bytes, at most a minute, stdin closed."""
    def call(*arguments, **options):
        options = {"capture_output": True, "timeout": 60, "stdin": subprocess.DEVNULL} | options
        return subprocess.run([str(cria), *map(str, arguments)], **options)
    return call


@pytest.fixture(scope="session")
def peak_memory():
    """peak_memory(program, argument …): what it wrote, and how many KiB it had in memory at most. A small process starts
    it: a child counts what its parent has until it becomes another program."""
    measure = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, check=True); "
               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)")

    def call(*command):
        done = subprocess.run([sys.executable, "-c", measure, *map(str, command)], capture_output=True, check=True)
        return done.stdout, int(done.stderr.split()[-1])
    return call


@pytest.fixture(scope="session")
def lib(build):
    from cria_ctypes import Library
    library = build / "libcria.so"
    if not library.is_file():
        missing(f"{library} is not there; run: cmake --preset release && cmake --build --preset release")
    return Library(library)


@pytest.fixture(scope="session")
def smollm2():
    """Path of SmolLM2-135M-Instruct Q4_1, as the quickstart leaves it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(os.environ.get("CRIA_SMOLLM2_GGUF") or cache / "cria" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    if not path.is_file():
        missing(f"{path} is not there; run ./quickstart once")
    return path


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """An MLX folder of a random float32 model of 503 tokens with a trained tokenizer."""
    import models
    shape = models.Shape()
    return models.write_folder(tmp_path_factory.mktemp("small") / "model", shape.config(),
                               models.cast(models.random_weights(shape), "f32"), models.spm_model(shape.vocab))


@pytest.fixture(scope="session")
def small_gguf(tmp_path_factory):
    """A GGUF file of a random Q4_0 model with a byte-level BPE tokenizer."""
    import models
    shape = models.Shape()
    return models.write_gguf(tmp_path_factory.mktemp("small") / "model.gguf", shape, models.random_weights(shape),
                             "Q4_0", tokenizer="gpt2")


@pytest.fixture(scope="session")
def tally(request):
    """Lines for the end of the run: what was compared and how far apart it was."""
    return request.config.stash.setdefault(TALLY, [])


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash.get(TALLY, [])
    if lines:
        terminalreporter.section("compared")
        for line in lines:
            terminalreporter.write_line(line)
