# SPDX-License-Identifier: Apache-2.0
"""The command line itself: help, bad usage, and failures before anything is computed."""
import os
import re
import subprocess

import pytest

from conftest import ROOT

pytestmark = pytest.mark.quick

BAD = [
    (["--modl-path", "x"], "did you mean --model-path?"),
    (["--nonsense"], "no option --nonsense"),
    (["--m", "3"], "several options"),
    (["--prompt"], "--prompt needs a value"),
    (["--few-shot"], "--few-shot needs a value"),
    (["-m"], "--max-tokens needs a value"),
    (["-m", "0"], "from 1 to 1000000000, not '0'"),
    (["-m", "-5"], "not '-5'"),
    (["-m", "12x"], "not '12x'"),
    (["-m", ""], "not ''"),
    (["-m", "1e3"], "not '1e3'"),
    (["-m", "99999999999999999999999"], "whole number"),
    (["--write-every", "0"], "--write-every takes"),
    (["--temp", "hot"], "--temp takes"),
    (["--temp", "-1"], "not '-1'"),
    (["--temp", "nan"], "not 'nan'"),
    (["--temp", "inf"], "not 'inf'"),
    (["--temp", "0.5 "], "not '0.5 '"),
    (["--presence-penalty", "nan"], "--presence-penalty takes a number, not 'nan'"),
    (["--frequency-penalty", "-inf"], "not '-inf'"),
    (["--top-k", "-1"], "--top-k takes"),
    (["--top-p", "1.5"], "top_p is 1.5; it has to be from 0 to 1"),
    (["--min-p", "2"], "min_p is 2"),
    (["--temp", "1e60"], "temperature 1e+60"),
    (["--presence-penalty", "-1001"], "presence_penalty is -1001"),
    (["--samplers", "top_k,tmep"], "'tmep'"),
    (["--samplers", "temp,temp"], "temp twice"),
    (["--logit-bias", "13"], "takes ID=BIAS, as in 13=-2.5 or 13=-inf, not '13'"),
    (["--logit-bias", "13="], "not '13='"),
    (["--logit-bias", "13=1", "--logit-bias", "-1=1"], "not '-1=1'"),
    (["--logit-bias", "99999999999=1"], "not '99999999999=1'"),
    (["--logit-bias", "1=inf"], "not '1=inf'"),
    (["--logit-bias", "1=nan"], "not '1=nan'"),
    (["--logit-bias", "1=1x"], "not '1=1x'"),
    (["--seed", "-1"], "--seed takes"),
    (["--seed", "18446744073709551616"], "--seed takes"),
    (["--threads", "1025"], "from 0 to 1024"),
    (["--isa", "sse9"], "auto, scalar, avx2, avxvnni, avx512, avx512vnni, neon, dotprod or i8mm"),
    (["--activations", "int4"], "auto, int8, int16 or f32"),
    (["--kv", "f64"], "int16, f16, f32 or int8"),
    (["--quiet=yes"], "--quiet takes no value"),
    (["--quiet", "-xy"], "no option -x"),
    (["--", "hello"], "'hello' is not an option"),
    (["--prompt", "hello", "world"], "'world' is not an option"),
    (["hello world"], "no command 'hello world'"),
    (["genrate"], "did you mean 'generate'?"),
    (["help", "benhc"], "did you mean 'bench'?"),
    (["perplexity"], "FILE is missing"),
    (["perplexity", "a.txt", "b.txt"], "'b.txt' is not an option"),
    (["bench", "-r", "0"], "--repeat takes"),
    (["doctor", "--threads", "1025"], "from 0 to 1024"),
    (["inspect"], "MODEL is missing"),
    (["pull"], "NAME is missing"),
    (["pull", "org/model", "-j", "0"], "--jobs takes a whole number from 1 to 32, not '0'"),
    (["pull", "no name"], "'no name' is not the name of a model"),
    (["list", "all"], "'all' is not an option"),
    (["rm"], "NAME is missing"),
    (["inspect", "a", "b"], "'b'"),
    (["inspect", "m", "--context", "16777217"], "from 0 to 16777216"),
    (["doctor", "now"], "'now' is not an option"),
    (["docter"], "did you mean 'doctor'?"),
    (["bench", "--prompt", "x"], "not 'x'"),  # short for --prompt-tokens
    (["bench", "-p", "1,2,x"], "separated by commas, not '1,2,x'"),
    (["bench", "-d", ""], "not ''"),
    (["bench", "-d", "1,"], "not '1,'"),
    (["bench", "-n", "1,,2"], "not '1,,2'"),
    (["bench", "-n", "1,2 "], "not '1,2 '"),
    (["bench", "-n", "1000001"], "from 0 to 1000000"),
    (["bench", "-p", "1" + ",1" * 16], "up to 16"),
    (["bench", "-p", "0" * 24], "not '000"),
    (["bench", "-b", "4,0"], "from 1 to 512"),
    (["bench", "-t", "1025"], "from 0 to 1024"),
    (["bench", "--shape", "3b"], "1b, 7b or 8b"),
    (["bench", "--shape", "1b", "--quantization", "q9"], "affine4-g64"),
    (["bench", "--shape", "1b", "-m", "mlx_model"], "one of the two"),
    (["bench", "-m", "x.gguf", "--quantization", "q4_0"], "give --shape too"),
    (["bench", "-m", "x.gguf", "--csv", "--json"], "one of the two"),
]


@pytest.mark.parametrize("arguments, words", BAD, ids=lambda a: " ".join(a) if isinstance(a, list) else "")
def test_bad_usage_is_one_line_and_exit_2(run, arguments, words):
    r = run(*arguments)
    assert r.returncode == 2
    assert r.stdout == b""
    line = r.stderr.decode()
    assert line.startswith("cria: ") and line.endswith("\n") and line.count("\n") == 1
    assert words in line and "Try 'cria " in line


def test_help_shows_every_option_with_its_default(run):
    for arguments in (["--help"], ["-h"], ["help"], ["generate", "--help"], ["help", "generate"]):
        r = run(*arguments)
        assert r.returncode == 0 and r.stderr == b""
        text = r.stdout.decode()
        for name in ("model-path", "prompt", "few-shot", "max-tokens", "write-every", "temp", "seed", "threads", "isa",
                     "activations", "kv", "quiet", "ignore-eos", "help", "version"):
            assert f"--{name}" in text
        assert "universe" in text.lower() and "(default: 100)" in text
        assert "Examples" in text
        assert all(len(line) <= 90 and line == line.rstrip() for line in text.splitlines())


def test_defaults_in_help_are_the_defaults_of_the_example(run):
    text = " ".join(run("--help").stdout.decode().split())
    for name, default in (("--model-path PATH", '"mlx_model"'), ("--max-tokens N", "100"), ("--write-every N", "1"),
                          ("--prompt TEXT", '"In the beginning the Universe was created."'), ("--temp T", "0"),
                          ("--seed N", "0")):
        assert re.search(re.escape(name) + r"(?:(?!--).)*\(default: " + re.escape(default) + r"\)", text), name


def test_help_and_man_page_name_the_same_options(run):
    man = (ROOT / "man" / "cria.1.scd").read_text()
    in_man = set(re.findall(r"\*--([a-z-]+)\*", man))
    commands = ("generate", "chat", "bench", "perplexity", "convert", "pack", "inspect", "tokenize", "detokenize", "doctor",
                "pull", "list", "rm")
    help_texts = [run("help", command).stdout.decode() for command in commands]
    in_help = set(re.findall(r"--([a-z][a-z-]+)", "".join(help_texts)))
    assert in_man == in_help


def test_man_page_of_the_library_names_every_function():
    header = re.sub(r"/\*.*?\*/", "", (ROOT / "include" / "cria" / "cria.h").read_text(), flags=re.S)
    functions = re.findall(r"CRIA_API\s[^;]*?\b(cria_\w+)\s*\(", header)
    named = re.findall(r"\*(cria\S+?)\*\(\)", (ROOT / "man" / "cria.3.scd").read_text())
    assert len(functions) > 50 and sorted(set(functions)) == sorted({n.replace("\\_", "_") for n in named})


def test_version(run):
    for arguments in (["--version"], ["generate", "--version"], ["bench", "--version"]):
        r = run(*arguments)
        assert (r.returncode, r.stderr) == (0, b"")
        assert re.fullmatch(rb"cria \d+\.\d+\.\d+\n", r.stdout)


def test_options_can_be_abbreviated_like_the_examples(run):
    assert run("--vers").stdout.startswith(b"cria ")


def fails(r, *words):
    assert r.returncode == 1
    assert r.stdout == b""
    lines = r.stderr.decode().splitlines()
    errors = [line for line in lines if line.startswith("cria: ")]
    assert len(errors) == 1 and lines[-1] == errors[0]
    assert all(line.startswith("[INFO] ") for line in lines[:-1])
    for word in words:
        assert word in errors[0]


def test_no_model(run, tmp_path):
    fails(run(cwd=tmp_path), "mlx_model", "--model-path", "./quickstart")
    fails(run("--model-path", "no/such.gguf", cwd=tmp_path), "no/such.gguf")
    (tmp_path / "empty").mkdir()
    fails(run("--model-path", "empty", cwd=tmp_path), "empty")
    (tmp_path / "text.gguf").write_text("not a model\n")
    fails(run("--model-path", "text.gguf", cwd=tmp_path), "text.gguf")


def test_quiet_failures_are_exactly_one_line(run, tmp_path):
    r = run("--quiet", "--model-path", "nowhere", cwd=tmp_path)
    assert r.returncode == 1 and r.stderr.count(b"\n") == 1


def test_isa_that_the_processor_lacks(run, small_gguf):
    import platform
    other = "neon" if platform.machine() == "x86_64" else "avx2"
    fails(run("--model-path", small_gguf, "--isa", other), other)


def test_isa_by_environment(run, small_gguf):
    """It was not looked at, since --isa has a default."""
    def isa(*arguments, **env):
        r = run("--model-path", small_gguf, "-m", 1, *arguments, env=os.environ | env)
        return r.returncode, re.search(r"threads?, (\w+)\.|\"(\w+)\" is unknown", r.stderr.decode()).group(1, 2)

    assert isa(CRIA_ISA="scalar") == isa("--isa", "scalar", CRIA_ISA="pentium") == (0, ("scalar", None))
    assert isa(CRIA_ISA="pentium") == (1, (None, "pentium"))


def test_texts_that_cannot_be_read(run, small_gguf, tmp_path):
    """Lines said why, but not what to do about it."""
    for path, *words in ("no such file", "No such file", "path is right"), (tmp_path, "Is a directory", "a file in it"):
        fails(run("--model-path", small_gguf, "--few-shot", path), str(path), *words)
    with open("/proc/self/mem", "rb") as unreadable:
        fails(run("--model-path", small_gguf, "--prompt", "-", "--quiet", stdin=unreadable),
              "stdin: Input/output error", "a file or a pipe")


@pytest.mark.parametrize("name, words", [("config.json", ("/config.json", "No such file", "nothing is missing there")),
                                         ("tokenizer.model", ("neither tokenizer.json nor tokenizer.model", "copy"))])
def test_a_folder_that_lacks_a_file(run, small_model, tmp_path, name, words):
    for file in small_model.iterdir():
        if file.name != name:
            os.symlink(file, tmp_path / file.name)
    fails(run("--model-path", tmp_path), str(tmp_path), *words)


def test_help_into_a_full_disk_is_a_failure(cria):
    with open("/dev/full", "wb") as full:
        r = subprocess.run([cria, "--help"], stdout=full, stderr=subprocess.PIPE)
    assert r.returncode == 1 and r.stderr.startswith(b"cria: Cannot write to stdout: No space left on device; make room")


def test_help_that_nobody_reads_says_nothing(cria):
    p = subprocess.Popen(["sh", "-c", 'sleep 0.2; exec "$0" --help', cria], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.close()
    assert (p.stderr.read(), p.wait()) == (b"", 1)
    p.stderr.close()
