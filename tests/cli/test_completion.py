# SPDX-License-Identifier: Apache-2.0
"""Completion in the shells themselves, with the words that cria's own help has."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

import conftest
import pytest

FOLDER = conftest.ROOT / "completion"


def known(cria, *command):
    text = subprocess.run([cria, "help", *command], capture_output=True, text=True, check=True).stdout
    if command:
        return set(re.findall(r"^  (?:-., )?(--[a-z0-9-]+)", text, re.M))
    return set(re.findall(r"^  ([a-z]+) ", text.split("Commands\n")[1].split("\n\n")[0], re.M))


def shell(name):
    return shutil.which(name) or conftest.missing(f"{name} is not installed")


def bash(cria, line, folder):
    words = line.split(" ")
    script = (f"source {FOLDER}/cria.bash; COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1};"
              "compopt() { echo files; };"
              f"_cria {cria} {words[-1]!r} {words[-2]!r}; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return subprocess.run([shell("bash"), "-c", script], capture_output=True, text=True, check=True, cwd=folder).stdout.split()


def fish(cria, line, folder):
    env = os.environ | {"PATH": f"{cria.parent}:{os.environ['PATH']}", "HOME": str(folder)}
    out = subprocess.run([shell("fish"), "--no-config", "-c", f"source {FOLDER}/cria.fish; complete -C {line!r}"],
                         capture_output=True, text=True, check=True, cwd=folder, env=env).stdout
    return [words.split("\t")[0] for words in out.splitlines()]


@pytest.mark.parametrize("ask", [bash, fish])
def test_commands_and_options(cria, tmp_path, ask):
    assert {"generate", "convert", "inspect"} < known(cria)
    assert set(ask(cria, "cria ", tmp_path)) >= known(cria)
    assert set(ask(cria, "cria co", tmp_path)) == {"convert"}
    assert set(ask(cria, "cria help be", tmp_path)) == {"bench"}
    assert set(ask(cria, "cria --", tmp_path)) == known(cria, "generate")
    assert set(ask(cria, "cria convert --q", tmp_path)) == {o for o in known(cria, "convert") if o.startswith("--q")}
    assert set(ask(cria, "cria generate --prompt x --top-", tmp_path)) == {"--top-k", "--top-p", "--top-n-sigma"}


def test_files(cria, tmp_path):
    (tmp_path / "model.gguf").touch()
    assert "files" in bash(cria, "cria inspect mod", tmp_path)
    assert "model.gguf" in fish(cria, "cria inspect mod", tmp_path)


def test_zsh(cria, tmp_path):
    """In a terminal, as it has no other way: what the tabulator makes of a line."""
    path = f"{cria.parent}:{os.environ['PATH']}"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(shell("zsh"), ["zsh", "-f", "-i"], {"PATH": path, "TERM": "dumb", "HOME": str(tmp_path), "PS1": "> "})
    (tmp_path / "model.gguf").touch()
    seen = ""

    def type_line(text, want):
        nonlocal seen
        os.write(terminal, text.encode())
        end, seen = time.monotonic() + 20, ""
        while want not in seen and time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                seen += os.read(terminal, 65536).decode("utf-8", "replace")
        assert want in seen, seen
    try:
        type_line(f"fpath=({FOLDER} $fpath); autoload -U compinit; compinit -u -d {tmp_path}/dump; echo rea''dy\n", "ready")
        type_line("echo cria inspe\t; echo do''ne\n", "done")  # a warning, if any, comes with the first
        for line, want in (("cria inspe\t", "cria inspect"), ("cria convert --q-gr\t", "--q-group-size"),
                           ("cria inspect mod\t", "model.gguf")):
            type_line(line, want)
            type_line("\x15", "")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
