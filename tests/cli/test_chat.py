# SPDX-License-Identifier: Apache-2.0
"""cria chat: from a pipe, and at a real terminal (tmux). Tiny random models where it does not matter what is said."""
import json
import os
import re
import shutil
import subprocess
import time

import models
import pytest

from conftest import missing

SHAPE = models.Shape(dim=64, layers=1, heads=2, kv_heads=1, hidden=64, vocab=400)
TEMPLATE = ("{% for m in messages %}<|begin|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|begin|>assistant\n{% if think %}<think>\n{% endif %}{% endif %}")
DIM = "\x1b[2m"


def write(path, template=TEMPLATE, context=None, sampling=None):
    def more(out):
        if template is not None:
            out.add_chat_template(template)
        for name, value in (sampling or {}).items():
            out.add_float32("general.sampling." + name, value)
        if context:
            out.kv_data[0]["llama.context_length"].value = context
    return models.write_gguf(path, SHAPE, models.random_weights(SHAPE), "F32", tokenizer="gpt2", more=more)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write(tmp_path_factory.mktemp("chat") / "chat.gguf")


@pytest.fixture
def talk(run, model):
    """talk("question", …, options) → (answers as bytes, stderr as text); --temp 0, at most 8 tokens an answer."""
    def call(*lines, options=(), path=model, code=0, quiet=True):
        text = "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")
        r = run("chat", path, "--temp", "0", "-m", "8", *["--quiet"] * quiet, *options, input=text, stdin=None)
        assert r.returncode == code, r.stderr
        return r.stdout, r.stderr.decode()
    return call


# ---- from a pipe ----

def test_one_question_a_line(talk):
    answers, said = talk("Hello", "And then?")
    assert said == "" and answers.endswith(b"\n")
    again, _ = talk("Hello")
    assert answers.startswith(again)
    assert talk("Hello", "And then?")[0] == answers
    assert talk("")[0] == b"" and talk()[0] == b"" and talk("  ")[0] == b""


def test_is_what_the_template_says(talk, run, model):
    """The answer to the whole conversation, as text, is the last one's."""
    answers, _ = talk("Hello", "/save /dev/null", options=["-m", "5"])
    r = run("generate", "--model-path", model, "--prompt", "<|begin|>user\nHello<|end|>\n<|begin|>assistant\n", "-m", "5", "--quiet")
    assert r.stdout == answers


def numbers(said):
    """(context, prompt, reused) of each /tokens."""
    found = re.findall(r"context: (\d+) of .*\nlatest prompt: (\d+) tokens, (\d+) of them reused", said)
    return [tuple(map(int, f)) for f in found]


def test_nothing_is_computed_twice(talk):
    lines = [line for i in range(5) for line in (f"Question number {i}, please", "/tokens")]
    _, said = talk(*lines)
    counted = numbers(said)
    assert len(counted) == 5
    for (before, _, _), (_, prompt, reused) in zip(counted, counted[1:]):
        assert before - 1 <= reused < prompt  # the last token of an answer that ran out of tokens is not computed yet
    assert counted[0][2] == 0


def test_retry_and_undo(talk):
    answers, said = talk("Hello", "/tokens", "/retry", "/tokens")
    first, second = numbers(said)
    one = talk("Hello")[0]
    assert answers == one + one and second[2] == second[1] - 1 and first[1] == second[1]
    assert talk("Other things", "/undo", "Hello")[0].endswith(one)
    assert talk("Other things", "/clear", "Hello")[0].endswith(one)
    _, said = talk("/retry", "/undo", "/tokens")
    assert "no question to be answered" in said and "no question to be taken back" in said and "context: 0 of" in said


def test_what_is_dropped(talk, tmp_path):
    talk("a", "b", "c", "/drop 2", f"/save {tmp_path}/m.json", options=["--system", "S"])
    messages = json.loads((tmp_path / "m.json").read_text())["messages"]
    assert [m["content"] for m in messages if m["role"] != "assistant"] == ["S", "c"] and len(messages) == 3
    _, said = talk("a", "/drop 9", "/drop x", "/drop")
    assert "1 forgotten" in said and "/drop takes" in said and "0 forgotten" in said


def test_save_and_load(talk, tmp_path):
    path = tmp_path / "conversation.json"
    answers, said = talk("Grüße \\", "zwei", f"/save {path}", "Hello", options=["--system", "Be brief \"now\"."])
    assert f"3 messages saved in {path}" in said and os.listdir(tmp_path) == [path.name]
    saved = json.loads(path.read_text())
    first, second = saved["messages"][1:]
    assert saved["messages"][0] == {"role": "system", "content": 'Be brief "now".'}
    assert first == {"role": "user", "content": "Grüße \nzwei"} and second["role"] == "assistant"
    assert answers.decode().startswith(second["content"] + "\n")
    after = talk(f"/load {path}", "Hello", f"/save {path}.2")[0]
    path.write_text(json.dumps(saved["messages"]))
    assert talk(f"/load {path}", "Hello")[0] == after
    more = json.loads((tmp_path / "conversation.json.2").read_text())["messages"]
    assert more[:3] == saved["messages"] and more[3:] == [{"role": "user", "content": "Hello"},
                                                          {"role": "assistant", "content": after.decode()[:-1]}]


HOSTILE = ["", "{", "[1]", "7", '{"messages": 3}', '[{"role": "judge", "content": "x"}]', '[{"role": "user", "content": 3}]',
           '[{"role": "user", "content": [{"type": "image_url"}]}]',
           '[{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]',
           "[" * 100000, '[{"role": "assistant", "content": null, "tool_calls": [1]}]', '[{"role": 1}]', "\0", '"\\ud800"',
           "[" + ",".join(['{"role": "user", "content": ""}'] * 100001) + "]"]


def test_hostile_files(talk, tmp_path):
    paths = []
    for i, text in enumerate(HOSTILE):
        paths.append(tmp_path / str(i))
        paths[-1].write_text(text)
    answers, said = talk("a", *[f"/load {p}" for p in paths], f"/load {tmp_path}", "/load /dev/zero", f"/load {tmp_path}/none",
                         f"/save {tmp_path}/no/where", f"/save {tmp_path}", "/save", "/load", f"/save {tmp_path}/kept")
    assert answers == talk("a")[0]
    assert len(json.loads((tmp_path / "kept").read_text())["messages"]) == 2
    assert said.count("cria: ") == len(HOSTILE) + 5 and said.count("\n") == len(HOSTILE) + 8


def test_commands(talk):
    _, said = talk("/help", "/bogus", "/hlep", "/params", "/set temp 0.5", "/set top_k 3", "/set max-tokens 2", "/set temp x", "/set",
                   "/set top_p 7", "/set samplers temp", "/params", "/system", "/system You are a \"cat\".", "/system", "/system off",
                   "/system", "/quit", "never answered")
    for name in ("system", "clear", "retry", "undo", "save", "load", "params", "set", "tokens", "quit"):
        assert f"/{name} " in said
    assert "no command /bogus" in said and "did you mean /help" in said
    before, after = re.findall(r"(?m)^temp +(\S+)$", said)
    assert (before, after) == ("0", "0.5") and re.findall(r"max-tokens +(\d+)\n", said) == ["8", "2"]
    assert "top-k                3" in said and said.count("/set takes") == 3 and "top_p is 7" in said
    assert 'You are a "cat".\n' in said and said.count("There is no system message") == 2


def test_a_slash_in_front(talk, tmp_path):
    talk("//home is where", f"/save {tmp_path}/m")
    assert json.loads((tmp_path / "m").read_text())["messages"][0]["content"] == "/home is where"


def test_bytes_that_are_no_text(talk, tmp_path):
    talk("a\udcffb\udce4\udcbd", f"/save {tmp_path}/m")
    assert json.loads((tmp_path / "m").read_text())["messages"][0]["content"] == "a\ufffdb\ufffd"


def test_full_context(talk, run, tmp_path):
    path = write(tmp_path / "m.gguf", context=60)
    r = run("chat", path, "--temp", "0", "-m", "4", input=b"Hello there my friend\n" * 12, stdin=None)
    assert r.returncode == 1 and b"tokens, but the context holds 60" in r.stderr and b"--context" in r.stderr
    r = run("chat", path, "--temp", "0", input=b"Hello\n", stdin=None)
    assert r.returncode == 0 and (b"The context is full" in r.stderr or len(r.stdout) < 400)


def test_system_and_template_arguments(talk, tmp_path):
    file = tmp_path / "t.jinja"
    file.write_text("{{ raise_exception(messages|tojson ~ x|tojson ~ y|tojson ~ add_generation_prompt) }}")
    options = ["--chat-template", file, "--template-arg", "x=[1, true]", "--template-arg", "y=plain text", "--system", "S"]
    _, said = talk("Q", options=options, code=1)
    assert said == ('cria: [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}][1, true]"plain text"True\n')
    _, said = talk("Q", options=["--template-arg", "x"], code=1)
    assert "NAME=VALUE" in said


def test_templates_that_are_missing_or_broken(run, tmp_path):
    path = write(tmp_path / "m.gguf", template=None)
    r = run("chat", path, input=b"x\n", stdin=None)
    assert r.returncode == 1 and r.stdout == b"" and b"has no chat template" in r.stderr and b"--no-template" in r.stderr
    r = run("chat", path, "--no-template", "--temp", "0", "-m", "3", "--quiet", input=b"Once upon\n", stdin=None)
    want = run("generate", "--model-path", path, "--prompt", "Once upon\n", "-m", "3", "--quiet")
    assert r.returncode == 0 and r.stdout == want.stdout
    path = write(tmp_path / "m.gguf", template="{% if %}")
    r = run("chat", path, input=b"x\n", stdin=None)
    assert r.returncode == 1 and b"line 1" in r.stderr
    r = run("chat", path, "--chat-template", tmp_path / "none")
    assert r.returncode == 1 and b"none" in r.stderr
    assert run("chat", path, "--no-template", "--chat-template", "x").returncode == 2
    assert b"no model at" in run("chat", tmp_path / "no").stderr


def test_stop(talk):
    whole = talk("Hello", options=["-m", "20"])[0].decode()
    stop = whole[6:9]
    assert talk("Hello", options=["-m", "20", "--stop", "nothing", "--stop", stop])[0].decode() == whole[:whole.index(stop)] + "\n"


def test_sampling_of_the_model(run, tmp_path):
    path = write(tmp_path / "m.gguf", sampling={"temp": 0.25, "top_p": 0.5})
    r = run("chat", path, "--top-p", "0.75", input=b"/params\n", stdin=None)
    said = r.stderr.decode()
    assert "Sampling as the model's files suggest: temp 0.25.\n" in said and re.search(r"Seed: \d+\.", said)
    assert re.search(r"temp +0.25\n", said) and re.search(r"top-p +0.75\n", said) and re.search(r"min-p +0\n", said)
    first, second = (run("chat", path, "-m", "8", "--quiet", input=b"x\n", stdin=None).stdout for _ in range(2))
    fixed = [run("chat", path, "-m", "8", "--temp", "1", "--seed", "5", "--quiet", input=b"x\n", stdin=None).stdout for _ in range(2)]
    assert fixed[0] == fixed[1] and (first or second)


def test_defaults_without_the_models(run, model):
    r = run("chat", model, "--seed", "3", input=b"/params\n", stdin=None)
    said = r.stderr.decode()
    assert re.search(r"temp +0.7\n", said) and re.search(r"min-p +0.05\n", said) and "suggest" not in said and "Seed" not in said


@pytest.mark.parametrize("options, words", [(["--temp", "x"], "--temp takes"), (["--top-p", "2"], "top_p is 2"),
                                            (["-m", "-1"], "not '-1'"), (["--stop", ""], "not empty"), (["a", "b"], "'b'")])
def test_bad_usage(run, options, words):
    r = run("chat", *options)
    assert r.returncode == 2 and words in r.stderr.decode()


def test_a_full_disk_is_noticed(run, model):
    with open("/dev/full", "wb") as full:
        r = run("chat", model, "--quiet", "-m", "3", input=b"x\ny\n", stdin=None, capture_output=False, stdout=full, stderr=-1)
    assert r.returncode == 1 and r.stderr.count(b"Cannot write to stdout") == 1


# ---- at a terminal ----

class Terminal:
    def __init__(self, folder, command, environment, size=(80, 24)):
        self.base = ["tmux", "-S", str(folder / "socket"), "-f", "/dev/null"]
        variables = [f"{k}={v}" for k, v in environment.items()]
        shell = ["sh", "-c", "trap : INT; \"$@\"; echo \"ended with $?\"; sleep 100", "sh"]
        self.tmux("new-session", "-d", "-x", size[0], "-y", size[1], *shell, "env", "-u", "NO_COLOR", *variables, *command)

    def tmux(self, *arguments, **options):
        return subprocess.run([*self.base, *map(str, arguments)], check=True, capture_output=True, timeout=20, **options).stdout.decode()

    def type(self, text, key="Enter"):
        if text:
            self.tmux("send-keys", "-l", text)
        if key:
            self.tmux("send-keys", key)

    def paste(self, text):
        self.tmux("load-buffer", "-", input=text.encode())
        self.tmux("paste-buffer", "-p")

    def screen(self, colours=False):
        return "\n".join(line.rstrip() for line in self.tmux("capture-pane", "-p", *["-e"] * colours).split("\n")).rstrip("\n")

    def wait(self, pattern, timeout=15):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            screen = self.screen()
            if re.search(pattern, screen):
                return screen
            time.sleep(0.03)
        pytest.fail(f"{pattern} did not come:\n{self.screen()}")

    def ended(self):
        return re.search(r"ended with (\d+)", self.wait(r"\nended with \d+$"))[1]


@pytest.fixture
def terminal(cria, model, tmp_path):
    if not shutil.which("tmux"):
        missing("tmux is not there; install Debian's tmux")
    opened = []

    def call(*options, path=model, size=(80, 24), **environment):
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        variables = {"XDG_STATE_HOME": tmp_path / "state", "LC_ALL": "C", "HOME": tmp_path} | environment
        t = Terminal(folder, [cria, "chat", path, "--temp", "0", *options], variables, size)
        opened.append(t)
        return t
    yield call
    for t in opened:
        subprocess.run([*t.base, "kill-server"], capture_output=True)


def test_typing(terminal, talk):
    t = terminal("-m", "8", size=(100, 30))
    t.wait(r"\n>$")
    t.type("Hello")
    screen = t.wait(r"\[8 tokens, .* tokens/s; context \d+ of 512, 0 of \d+ reused; --max-tokens\]\n>$")
    answer = talk("Hello")[0].decode().rstrip("\n")
    shown = "".join(c if c.isprintable() or c == "\n" else "" for c in answer).split("\n")[0].rstrip()
    assert shown[:10] in screen.split("> Hello\n")[1]
    t.type("/help")
    t.wait(r"/quit +leave")
    t.type("", "C-d")
    assert t.ended() == "0"


def saved(t, tmp_path, name="m"):
    path = tmp_path / name
    t.type(f"/save {path}")
    t.wait(f"saved in {path}"[:60].replace(".", r"\."))
    return [m["content"] for m in json.loads(path.read_text())["messages"] if m["role"] == "user"]


def test_paste_lines_and_wide_characters(terminal, tmp_path):
    t = terminal("-m", "1", size=(200, 40))
    t.wait(r"\n>$")
    t.paste("one\ntwo\twith a tab\nthree\x1b[31m red")
    t.wait("three")
    assert "tokens/s" not in t.screen()  # not sent yet
    t.type(" and more")
    t.wait(r"\[1 token.*\n>$")
    t.type("first\\")
    t.wait(r"\n\.$")
    t.type("second")
    t.wait(r"(?s)\[1 token.*\[1 token.*\n>$")
    t.type("above", "M-Enter")
    t.type("below")
    t.wait(r"(?s)(\[1 token.*){3}\n>$")
    t.type("Привет, 你好 👋é", None)
    for _ in range(2):
        t.tmux("send-keys", "BSpace")
    t.type("!")
    t.wait(r"(?s)(\[1 token.*){4}\n>$")
    assert saved(t, tmp_path) == ["one\ntwo\twith a tab\nthree[31m red and more", "first\nsecond", "above\nbelow", "Привет, 你好 !"]


def test_ctrl_c_at_the_prompt(terminal, tmp_path):
    t = terminal("-m", "1", size=(200, 30))
    t.wait(r"\n>$")
    t.type("never sent", "C-c")
    t.wait(r"> never sent\^C\n>$")
    t.type("half\\")
    t.wait(r"\n\.$")
    t.type("gone", "C-c")
    t.wait(r"gone\^C\n>$")
    t.type("sent")
    t.wait(r"\[1 token.*\n>$")
    assert saved(t, tmp_path) == ["sent"]


def test_ctrl_c_in_an_answer_and_while_reading(terminal, smollm2):
    t = terminal(path=smollm2, size=(120, 40))
    t.wait(r"\n>$")
    t.type("Write a long poem about the sea, with many verses.")
    t.wait(r"verses\.\n\S+ \S+ \S+")
    t.type("", "C-c")
    t.wait(r"stopped\]\n>$")
    t.type("/undo")
    t.paste("word " * 4000)
    t.type("")
    t.wait(r"Prompt .*%")
    t.type("", "C-c")
    t.wait(r"the question is taken back")
    t.type("/tokens")
    t.wait(r"context: 0 of 8192")
    t.type("Write a long story about the sea, with many chapters.")  # as the poem, thousands of tokens: no race with its end
    t.wait(r"chapters\.\n\S+ \S+ \S+")
    t.type("", "C-c")
    t.wait(r"stopped\]\n>$")
    t.type("", "C-d")
    assert t.ended() == "0"


def test_history(terminal, tmp_path):
    for text in ("question one", "line one\\", "line two with \\n in it"):
        if text != "line two with \\n in it":
            t = terminal("-m", "1", size=(200, 30))
            t.wait(r"\n>$")
        t.type(text)
        t.wait(r"\n\.$" if text.endswith("\\") else r"\[1 token.*\n>$")
        if not text.endswith("\\"):
            t.type("", "C-d")
            assert t.ended() == "0"
    file = tmp_path / "state" / "cria" / "history"
    assert file.read_text() == "question one\nline one\\nline two with \\\\n in it\n"
    assert file.stat().st_mode & 0o777 == 0o600 and os.listdir(file.parent) == ["history"]
    file.write_bytes(b"".join(b"old %d\n" % i for i in range(5000)) + file.read_bytes() + b"\xff broken")
    t = terminal("-m", "1", size=(200, 30))
    t.wait(r"\n>$")
    for _ in range(1):
        t.tmux("send-keys", "Up")
    t.wait(r"> line one\nline two with \\n in it$")
    t.tmux("send-keys", "Up")
    t.type("")
    t.wait(r"(?s)> question one\n.*\[1 token.*\n>$")
    lines = file.read_bytes().split(b"\n")
    assert len(lines) == 1001 and lines[-2] == b"question one" and lines[-1] == b""
    file.unlink()
    file.symlink_to("/dev/zero")
    t = terminal("-m", "1")
    t.wait(r"\n>$")
    t.type("/quit")
    assert t.ended() == "0"


def test_resizing(terminal, tmp_path):
    t = terminal("-m", "1", size=(60, 24))
    t.wait(r"\n>$")
    t.type("word " * 20, None)
    t.tmux("resize-window", "-x", "30", "-y", "20")
    time.sleep(0.3)
    t.type("end")
    t.wait(r"\[1 token")
    t.tmux("resize-window", "-x", "200", "-y", "24")
    t.wait(r">$")
    assert saved(t, tmp_path) == ["word " * 20 + "end"]


@pytest.fixture(scope="module")
def rude(tmp_path_factory):
    """A model that says what its prompt ends with: control characters, and thoughts. Its template has it all in the prompt, and
    what a thought is, is seen in what follows."""
    return write(tmp_path_factory.mktemp("rude") / "rude.gguf")


def test_control_characters_are_shown(terminal, rude, run):
    """A bias makes a byte the likeliest token."""
    tokens, _ = models.bpe_vocab(SHAPE.vocab)
    escape = tokens.index("ě")  # ESC, as GPT-2 writes it
    question = ["--logit-bias", f"{escape}=1000", "-m", "3"]
    t = terminal(*question, path=rude)
    t.wait(r"\n>$")
    t.type("x")
    t.wait(r"> x\n\^\[\^\[\^\[\n\[3 tokens")
    r = run("chat", rude, "--temp", "0", "--quiet", *question, input=b"x\n", stdin=None)
    assert r.stdout == b"\x1b\x1b\x1b\n"


def test_loaded_control_characters(talk, tmp_path):
    (tmp_path / "m").write_text(json.dumps([{"role": "system", "content": "a\x1b[2J\x9b1mé\n"}]))
    _, said = talk(f"/load {tmp_path}/m", "/system")
    assert said.endswith("a^[[2J?1mé\n\n") and "\x1b" not in said


def test_marks_of_thoughts(terminal, tmp_path):
    """Dim from <think> to </think>, both of them included."""
    def more(out):
        tokens, merges = models.bpe_vocab(SHAPE.vocab - 2)
        values = {"tokens": tokens + ["<think>", "</think>"], "merges": merges, "token_type": [3, 3] + [1] * (SHAPE.vocab - 4) + [4, 4]}
        for key, value in values.items():
            out.kv_data[0]["tokenizer.ggml." + key].value = value
        out.add_chat_template(TEMPLATE)
    path = models.write_gguf(tmp_path / "m.gguf", SHAPE, models.random_weights(SHAPE), "F32", tokenizer="gpt2", more=more)
    begin, end = SHAPE.vocab - 2, SHAPE.vocab - 1
    for token, options, want in ((begin, [], DIM + "<think><think>"), (end, ["--template-arg", "think=true"], DIM + "</think>"),
                                 (end, [], "</think></think>")):
        t = terminal("--logit-bias", f"{token}=1000", "-m", "2", *options, path=path)
        t.wait(r"\n>$")
        t.type("x")
        t.wait(r"think>\n\[2 tokens")
        line = next(line for line in t.screen(colours=True).split("\n") if "think" in line)
        assert line.startswith(want) and ("\x1b[0m" in line) == (token == end and bool(options)), repr(line)


def test_thoughts_are_dim(terminal, rude):
    tokens, _ = models.bpe_vocab(SHAPE.vocab)
    bias = ["--logit-bias", f"{tokens.index('z')}=1000", "-m", "3", "--template-arg", "think=true"]
    for environment, dim in (({}, True), ({"NO_COLOR": "1"}, False)):
        t = terminal(*bias, path=rude, **environment)
        t.wait(r"\n>$")
        t.type("x")
        t.wait(r"zzz\n\[3 tokens")
        line = next(line for line in t.screen(colours=True).split("\n") if "zzz" in line)
        assert (DIM in line) == dim


def test_no_terminal_no_colours(run, model):
    r = run("chat", model, "--temp", "0", "-m", "3", "--template-arg", "think=true", input=b"x\n", stdin=None)
    assert b"\x1b" not in r.stdout + r.stderr and b"tokens/s" not in r.stderr


def test_a_full_context_offers_what_to_drop(terminal, tmp_path):
    t = terminal("-m", "2", path=write(tmp_path / "m.gguf", context=100), size=(200, 40))
    t.wait(r"\n>$")
    for i in range(4):
        t.type(f"question number {i}, and so on")
        t.wait(r"(?s)(\[\d tokens?.*){%d}\n>$|holds 100" % (i + 1))
    t.wait(r"has \d+ tokens, but the context holds 100. /drop forgets")
    t.type("/drop 2")
    t.wait(r"2 forgotten")
    t.type("/retry")
    t.wait(r"(?s)2 forgotten.*\[\d tokens?[^;]*; context \d+ of 100")
    assert saved(t, tmp_path) == [f"question number {i}, and so on" for i in (2, 3)]


def test_dumb_terminal(terminal):
    t = terminal("-m", "1", TERM="dumb")
    t.wait(r"\n>$")
    t.type("plain")
    t.wait(r"> plain\n(.*\n)*>$")
    t.type("", "C-c")
    t.type("", "C-d")
    assert t.ended() == "0"


# ---- a conversation with a real model ----

def test_five_turns(run, smollm2):
    """Facts are carried over; each prompt begins with all that was there."""
    questions = ["My dog is called Rex. Say hello to him.", "What is my dog called?", "What kind of animal is Rex?",
                 "What is the capital of France?", "What is the name of my dog?"]
    text = "".join(f"{q}\n/tokens\n" for q in questions)
    r = run("chat", smollm2, "--temp", "0", "-m", "40", "--system", "You are a helpful assistant. Answer in one short sentence.",
            input=text.encode(), stdin=None)
    assert r.returncode == 0, r.stderr
    counted = numbers(r.stderr.decode())
    assert len(counted) == 5
    for (before, _, _), (_, prompt, reused) in zip(counted, counted[1:]):
        assert before - 1 <= reused < prompt
    answers = r.stdout.decode()
    assert answers.count("Rex") >= 3 and "Paris" in answers and "dog" in answers, answers
