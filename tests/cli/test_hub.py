# SPDX-License-Identifier: Apache-2.0
"""cria pull, list and rm, and models by their name, against a hub on this machine; and beside the hub's own Python tools,
with the same cache: what one has fetched the other finds."""
import json
import os
import pty
import random
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hub import CERTIFICATE, File, Hub, Request, always, chunked, cut_after, git_sha1, send, stall_after

BIG = random.Random(1).randbytes(3_000_000)
GGUF = random.Random(2).randbytes(40_000)
COMMIT = "1" * 40
TOKEN = "hf_secretsecretsecret"


@pytest.fixture
def hub():
    h = Hub()
    yield h
    h.close()


class User:
    """Somebody with a home of his own. Calls run(…); the environment can be added to by keywords."""

    def __init__(self, run, cria, hub, home):
        self.run, self.cria, self.hub, self.home = run, cria, hub, home
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_", "HUGGING"))}
        self.env = {k: v for k, v in self.env.items() if not k.lower().endswith("_proxy")}
        self.env |= {"HOME": str(home), "HF_ENDPOINT": hub.url, "HF_HUB_DOWNLOAD_TIMEOUT": "2", "HF_HUB_DISABLE_TELEMETRY": "1"}
        self.cache = home / ".cache" / "huggingface" / "hub"

    def __call__(self, *arguments, **env):
        options = {"preexec_fn": env.pop("preexec_fn", None), "cwd": self.home}
        return self.run(*arguments, env=self.env | env, **options)

    def pull(self, name="org/model", *arguments, **env):
        return self("pull", name, *arguments, **env)

    def start(self, *arguments, **env):
        return subprocess.Popen([str(self.cria), *arguments], env=self.env | env, stdout=subprocess.PIPE, cwd=self.home,
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def python(self, code, **env):
        """What the code prints, evaluated by a Python that has the hub's tools and this home."""
        r = subprocess.run([sys.executable, "-c", code], env=self.env | env, capture_output=True, text=True, timeout=60)
        assert r.returncode == 0, r.stderr
        return r.stdout.strip()

    def repo(self, name="org/model"):
        return self.cache / ("models--" + name.replace("/", "--"))

    def snapshot(self, name="org/model", commit=COMMIT):
        folder = self.repo(name) / "snapshots" / commit
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    def left(self):
        """What is there of files that are not complete: name of the blob → size."""
        return {p.name.removesuffix(".incomplete"): p.stat().st_size for p in self.cache.rglob("*.incomplete")}


@pytest.fixture
def user(run, cria, hub, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return User(run, cria, hub, home)


def is_well(r):
    assert r.returncode == 0, r.stderr.decode()
    return r.stdout.decode().strip()


def fails(r, *words, code=1):
    """One line with these words, after information only."""
    lines = r.stderr.decode().splitlines()
    assert r.returncode == code and r.stdout == b"", (r.returncode, lines)
    assert len([line for line in lines if line.startswith("cria: ")]) == 1 and lines[-1].startswith("cria: "), lines
    assert all(line.startswith(("[INFO] ", "[WARN] ")) for line in lines[:-1]), lines
    for word in words:
        assert word in lines[-1], lines[-1]
    return lines[-1]


# ---- the layout ----

def test_a_model_is_fetched_into_the_layout_of_the_hub(user, hub):
    hub.add({"a/model-Q4_K_M.gguf": BIG, "README.md": b"# model"})
    path = Path(is_well(user.pull()))
    assert path == user.repo() / "snapshots" / COMMIT / "a" / "model-Q4_K_M.gguf" and path.read_bytes() == BIG
    sha256 = File(BIG).hash
    assert os.readlink(path) == f"../../../blobs/{sha256}" and not (user.repo() / "blobs" / sha256).is_symlink()
    assert (user.repo() / "refs" / "main").read_text() == COMMIT
    assert sorted(os.listdir(user.repo())) == ["blobs", "refs", "snapshots"]
    assert os.listdir(user.repo() / "blobs") == [sha256]
    assert (user.cache / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert hub.count("README") == 0
    [api] = hub.asked("hub GET /api")
    assert api.target == "/api/models/org/model/revision/main?blobs=true" and api.headers["user-agent"].startswith("cria/")


def test_what_is_here_is_not_fetched_again(user, hub):
    hub.add({"model-Q4_0.gguf": BIG})
    first = user.pull()
    assert b"Fetching 1 file of org/model, 3.0 MB, into" in first.stderr and b"hashes are right" in first.stderr
    path = is_well(first)
    hub.requests.clear()
    second = user.pull()
    assert is_well(second) == path and b"All of org/model is here" in second.stderr
    assert [repr(r) for r in hub.requests] == ["hub GET /api/models/org/model/revision/main"]
    quiet = user.pull("org/model", "--quiet")
    assert is_well(quiet) == path and quiet.stderr == b""


@pytest.mark.parametrize("where, env", [
    ("hf/hub", {"HF_HOME": "{home}/hf"}),
    ("hf/hub", {"HF_HOME": "~/hf"}),
    ("models", {"HF_HUB_CACHE": "{home}/models", "HF_HOME": "{home}/hf"}),
    ("old", {"HUGGINGFACE_HUB_CACHE": "{home}/old"}),
    ("xdg/huggingface/hub", {"XDG_CACHE_HOME": "{home}/xdg"}),
    ("rel/hub", {"HF_HOME": "rel"}),
], ids=lambda v: " ".join(v) if isinstance(v, dict) else "")
def test_where_models_are_kept(user, hub, where, env):
    hub.add({"model.gguf": GGUF})
    env = {k: v.format(home=user.home) for k, v in env.items()}
    is_well(user.pull(**env))
    assert (user.home / where / "models--org--model" / "blobs" / File(GGUF).hash).is_file() and not user.cache.exists()
    assert json.loads(is_well(user("list", "--json", **env)))["models"][0]["name"] == "org/model:model.gguf"


def test_another_commit(user, hub):
    repo = hub.add({"config.json": b"{}", "model.safetensors": BIG, "tokenizer.json": b"{1}"})
    is_well(user.pull())
    new = {**repo.files, "tokenizer.json": File(b"{2}")}
    repo.update(new, "2" * 40)
    hub.requests.clear()
    assert is_well(user.pull()).endswith("2" * 40)
    assert hub.count("cdn") == 0 and hub.count("resolve-cache") == 1
    assert user.snapshot()["tokenizer.json"] == b"{1}" and user.snapshot(commit="2" * 40)["tokenizer.json"] == b"{2}"
    assert (user.repo() / "refs" / "main").read_text() == "2" * 40


def test_revisions(user, hub):
    repo = hub.add({"model.gguf": b"old"})
    repo.update({"model.gguf": File(b"new")}, "2" * 40)
    repo.revisions["refs/pr/1"] = repo.revisions["v1.0"] = COMMIT
    for revision in ("v1.0", "refs/pr/1", COMMIT):
        assert Path(is_well(user.pull(f"org/model@{revision}"))).read_bytes() == b"old"
    assert hub.count("revision/refs%2Fpr%2F1$") == 1
    assert (user.repo() / "refs" / "refs" / "pr" / "1").read_text() == COMMIT
    assert not (user.repo() / "refs" / COMMIT).exists() and not (user.repo() / "refs" / "main").exists()
    fails(user("inspect", "org/model"), "org/model is not in the hub's cache", "'cria pull org/model'")
    assert Path(is_well(user.pull("org/model:model.gguf"))).read_bytes() == b"new"
    fails(user.pull("org/model@v9"), "org/model has no revision 'v9'")


# ---- which files ----

QUANTS = ["m-Q2_K.gguf", "m-Q4_0.gguf", "m-Q4_K_M.gguf", "m-UD-Q4_K_XL.gguf", "m-f16.gguf", "mmproj-m-f16.gguf",
          "m-imatrix.gguf", "m-IQ4_XS.gguf", "BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf",
          "Q4_0_4_4/x.gguf", "README.md", "config.json"]
CHOICES = [
    (QUANTS, "", ["m-Q4_K_M.gguf"]),
    ([q for q in QUANTS if "Q4_K_M" not in q], "", ["m-Q4_0.gguf"]),
    (["only-Q6_K.gguf", "mmproj-only-f16.gguf", "only.imatrix.gguf"], "", ["only-Q6_K.gguf"]),
    (["plain.gguf"], "", ["plain.gguf"]),
    (QUANTS, ":q2_k", ["m-Q2_K.gguf"]),
    (QUANTS, ":Q4_0", ["m-Q4_0.gguf"]),
    (QUANTS, ":Q4_0_4_4", ["Q4_0_4_4/x.gguf"]),
    (QUANTS, ":IQ4_XS", ["m-IQ4_XS.gguf"]),
    (QUANTS, ":UD-Q4_K_XL", ["m-UD-Q4_K_XL.gguf"]),
    (QUANTS, ":Q4_K_XL", ["m-UD-Q4_K_XL.gguf"]),
    (QUANTS, ":F16", ["m-f16.gguf"]),
    (QUANTS, ":bf16", ["BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf"]),
    (QUANTS, ":m-Q2_K.gguf", ["m-Q2_K.gguf"]),
    (QUANTS, ":m-q2_k.GGUF", ["m-Q2_K.gguf"]),
    (QUANTS, ":mmproj-m-f16.gguf", ["mmproj-m-f16.gguf"]),
    (QUANTS, ":BF16/m-BF16-00002-of-00002.gguf", ["BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf"]),
    (["Llama-Q4/llama_Q8_0.gguf", "Qwen3-Q5_K.gguf"], ":q8_0", ["Llama-Q4/llama_Q8_0.gguf"]),
    (["model.safetensors", "config.json", "model-Q8_0.gguf"], "", ["model.safetensors", "config.json"]),
    (["model.safetensors", "config.json", "model-Q8_0.gguf"], ":Q8_0", ["model-Q8_0.gguf"]),
    (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json", "config.json",
      "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
      "additional_chat_templates/tool.jinja", "merges.txt", "vocab.json", "tokenizer.model"] +
     ["!README.md", "!pytorch_model.bin", "!pytorch_model.bin.index.json", "!consolidated.safetensors", "!onnx/model.onnx",
      "!onnx/config.json", "!model.fp16.safetensors", "!model.fp16-00001-of-00002.safetensors", "!original/tokenizer.model",
      "!adapter_model.safetensors", "!trainer_state.json", "!.gitattributes", "!original/consolidated.00.pth",
      "!subfolder/model.safetensors", "!LICENSE.txt", "!flax_model.msgpack", "!tool.jinja.py"], "", None),
    (["weights.00.npz", "weights.01.npz", "config.json", "tokenizer.model", "!params.txt"], "", None),
    (["consolidated.safetensors", "params.json", "tokenizer.model.v3"], "", None),
]


@pytest.mark.parametrize("files, tag, chosen", CHOICES, ids=lambda v: v if isinstance(v, str) else "")
def test_which_files_are_fetched(user, hub, files, tag, chosen):
    if chosen is None:
        chosen = [f for f in files if not f.startswith("!")]
    files = [f.removeprefix("!") for f in files]
    hub.add({f: f.encode() for f in files})
    path = is_well(user.pull("org/model" + tag))
    assert set(user.snapshot()) == set(chosen)
    assert path.endswith(COMMIT if not chosen[0].endswith(".gguf") else "/" + chosen[0])
    assert hub.count("resolve-cache") == len(chosen)
    # And the same name means the same once it is here.
    assert is_well(user.pull("org/model" + tag, HF_HUB_OFFLINE="1")) == path


@pytest.mark.parametrize("files, tag, words", [
    (["a-Q2_K.gguf", "a-Q8_0.gguf"], "", ["several models", "Q2_K, Q8_0"]),
    (["a-Q2_K.gguf", "a-Q8_0.gguf"], ":Q4_K_M", ["has no 'Q4_K_M'", "Q2_K, Q8_0"]),
    (["a-Q2_K.gguf", "a-Q8_0.gguf"], ":b.gguf", ["has no 'b.gguf'"]),
    (["a-7b-Q4_K_M.gguf", "a-13b-Q4_K_M.gguf"], "", ["a-7b-Q4_K_M.gguf, a-13b-Q4_K_M.gguf", "org/model:FILE"]),
    (["x/a.gguf", "y/a.gguf"], ":a.gguf", ["x/a.gguf, y/a.gguf"]),
    (["model.safetensors", "config.json"], ":Q4_K_M", ["has no .gguf files"]),
    (["a-Q4_0-00001-of-00003.gguf", "a-Q4_0-00003-of-00003.gguf"], "", ["3 parts, of which 2"]),
    (["pytorch_model.bin", "config.json"], "", ["no weights that cria reads", "pytorch_model.bin, config.json"]),
    ([], "", ["no weights that cria reads"]),
])
def test_names_that_mean_no_file(user, hub, files, tag, words):
    hub.add({f: b"x" for f in files})
    fails(user.pull("org/model" + tag), "org/model" if "parts" not in words[0] else "a-Q4_0", *words)
    assert not user.cache.exists()


@pytest.mark.parametrize("name", ["", "org/", "/model", "org/model/x", "../model", "org/..", "org/mo del", "org--x/model",
                                  "org/model.git", "-org/model", "org/model:", "org/model:/x", "org/model@main://x", "org/model@",
                                  "org/model@../x", "org/model@a..b",
                                  "org/model@/etc", "org/model@-x", "org/mo\ndel", "org/" + "x" * 97,
                                  "https://example.org/org/model", "hf.co/hf.co/model"])
def test_what_is_no_name(user, name):
    r = user.pull(name)
    assert (r.returncode, r.stdout) == (2, b"") and r.stderr.count(b"\n") == 1 and b"Try 'cria pull --help'." in r.stderr


def test_names_as_people_copy_them(user, hub):
    hub.add({"model.gguf": GGUF})
    paths = {is_well(user.pull(prefix + "org/model")) for prefix in ("", "hf.co/", "huggingface.co/", "https://huggingface.co/")}
    assert len(paths) == 1


def test_dry_run(user, hub):
    hub.add({"config.json": b"{}", "model.safetensors": BIG})
    r = user.pull("org/model", "--dry-run")
    assert is_well(r).splitlines()[1:] == ["  missing         2 B  config.json", "  missing      3.0 MB  model.safetensors",
                                           f"3.0 MB to fetch into {user.repo()}"]
    assert hub.count("resolve") == 0 and not user.cache.exists()
    is_well(user.pull())
    assert "  here         3.0 MB  model.safetensors\n0 B to fetch" in is_well(user.pull("org/model", "--dry-run"))


# ---- networks ----

def test_a_connection_that_breaks_is_taken_up_where_it_was(user, hub):
    hub.add({"model.gguf": BIG})
    hub.fault("cdn", cut_after(1_100_000, BIG), cut_after(1_000_000, BIG))
    assert Path(is_well(user.pull())).read_bytes() == BIG
    ranges = [r.headers.get("range") for r in hub.asked("cdn")]
    assert ranges[0] is None and len(ranges) == 3
    starts = [int(r.removeprefix("bytes=").removesuffix("-")) for r in ranges[1:]]
    assert 0 < starts[0] <= 1_100_000 and starts[0] < starts[1] <= 2_100_000


def test_a_connection_that_always_breaks(user, hub):
    hub.add({"model.gguf": BIG})
    hub.fault("cdn", *always(cut_after(1000, BIG)))
    fails(user.pull(), "broke again and again at model.gguf", "goes on from there")
    assert hub.count("cdn") == 5 and user.left()[File(BIG).hash] >= 1000
    assert not (user.repo() / "snapshots").exists() and not (user.repo() / "refs").exists()
    hub.faults.clear()
    hub.requests.clear()
    assert Path(is_well(user.pull())).read_bytes() == BIG
    assert hub.asked("cdn")[0].headers["range"].startswith("bytes=") and user.left() == {}


def test_a_connection_that_stands_still(user, hub):
    hub.add({"model.gguf": BIG})
    hub.fault("cdn", stall_after(1000, BIG))
    start = time.monotonic()
    assert Path(is_well(user.pull())).read_bytes() == BIG
    assert time.monotonic() - start < 15 and hub.asked("cdn")[1].headers["range"] == "bytes=1000-"


def test_interrupted(user, hub):
    hub.add({"model.gguf": BIG})
    hub.fault("cdn", stall_after(1_000_000, BIG))
    p = user.start("pull", "org/model", HF_HUB_DOWNLOAD_TIMEOUT="30")
    assert hub.stalled.wait(20)
    wait_for(lambda: user.left().get(File(BIG).hash) == 1_000_000)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=20)
    assert (p.returncode, out) == (1, b"") and err.decode().splitlines()[-1].startswith("cria: Interrupted; what has come is kept")
    assert not (user.repo() / "snapshots").exists()
    assert Path(is_well(user.pull())).read_bytes() == BIG
    assert hub.asked("cdn")[1].headers["range"] == "bytes=1000000-"


def test_interrupted_before_anything_came(user, hub):
    hub.add({"model.gguf": BIG})
    hub.fault("hub GET /api", stall_after(0, BIG))
    p = user.start("pull", "org/model")
    assert hub.stalled.wait(20)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=20)
    assert (p.returncode, out, err) == (1, b"", b"cria: Interrupted; nothing was fetched.\n")


def test_a_server_without_ranges(user, hub):
    hub.add({"model.gguf": BIG})
    hub.fault("cdn", cut_after(1_000_000, BIG), send(200, BIG))
    assert Path(is_well(user.pull())).read_bytes() == BIG


def leave(user, content, data=BIG):
    blobs = user.repo() / "blobs"
    blobs.mkdir(parents=True)
    (blobs / (File(data).hash + ".incomplete")).write_bytes(content)


@pytest.mark.parametrize("answer, words", [
    (send(206, BIG[1000:], Content_Range=f"bytes 1000-{len(BIG) - 1}/{len(BIG)}"), "from byte 1000 on, where 2000"),
    (send(206, BIG[2000:]), "from byte 0 on, where 2000"),
    (send(206, BIG[2000:], Content_Range=f"bytes 2000-{len(BIG) - 1}/{len(BIG) + 7}"), "sent with 3000007"),
    (send(206, BIG[2000:], Content_Range="bytes 2000-99999999999999999999999/*"), "from byte 0"),
], ids=["start", "none", "total", "number"])
def test_ranges_that_were_not_asked_for(user, hub, answer, words):
    hub.add({"model.gguf": BIG})
    leave(user, BIG[:2000])
    hub.fault("cdn", answer)
    fails(user.pull(), words)
    assert hub.asked("cdn")[0].headers["range"] == "bytes=2000-" and user.left() == {File(BIG).hash: 2000}


def test_leftovers(user, hub):
    """Right ones are gone on from, a whole one is only checked, wrong and long ones are fetched anew."""
    for content, requests, warning in ((BIG[:500_000], ["bytes=500000-"], False), (BIG, [], False),
                                       (b"x" * 1000 + BIG[1000:500_000], ["bytes=500000-", None], True),
                                       (b"x" * len(BIG), [None], True), (BIG + b"x", [None], False)):
        hub.add({"model.gguf": BIG})
        leave(user, content)
        hub.requests.clear()
        r = user.pull()
        assert Path(is_well(r)).read_bytes() == BIG
        assert [q.headers.get("range") for q in hub.asked("cdn")] == requests
        assert (b"[WARN] What was there of model.gguf was not right" in r.stderr) == warning and user.left() == {}
        is_well(user("rm", "--yes", "org/model"))


def test_416_begins_anew(user, hub):
    hub.add({"model.gguf": BIG})
    leave(user, BIG[:1000])
    hub.fault("cdn", 416)
    assert Path(is_well(user.pull())).read_bytes() == BIG
    assert [r.headers.get("range") for r in hub.asked("cdn")] == ["bytes=1000-", None]


@pytest.mark.parametrize("large", [True, False], ids=["sha256", "sha1"])
def test_wrong_bytes(user, hub, large):
    good, bad = BIG[:5000], BIG[:4999] + b"!"
    hub.add({"model.gguf": File(good, large), "x.txt": b"x"})
    hub.fault("cdn|resolve-cache", send(200, bad))
    fails(user.pull(), "What came for model.gguf is not what the hub lists", "discarded",
          "SHA-256" if large else "git's SHA-1", File(bad, large).hash, File(good, large).hash)
    assert user.left() == {} and os.listdir(user.repo() / "blobs") == [] and not (user.repo() / "snapshots").exists()
    assert Path(is_well(user.pull())).read_bytes() == good


@pytest.mark.parametrize("answer, words", [
    (send(200, BIG[:-1]), "listed with 3000000 bytes and sent with 2999999"),
    (send(200, BIG + b"x"), "listed with 3000000 bytes and sent with 3000001"),
    (chunked([BIG, b"x"]), "More than the listed 3000000 bytes came"),
    (chunked(BIG[:100_000] for _ in range(10**9)), "More than the listed 3000000 bytes came"),
], ids=["short", "long", "chunked", "endless"])
def test_lengths_that_lie(user, hub, answer, words):
    hub.add({"model.gguf": BIG})
    hub.fault("cdn", answer)
    fails(user.pull(), words)
    assert not (user.repo() / "snapshots").exists() and all(size <= len(BIG) for size in user.left().values())


def test_a_body_that_ends_early_without_saying_so(user, hub):
    hub.add({"model.gguf": BIG})
    hub.fault("cdn", chunked([BIG[:1_500_000]]))
    assert Path(is_well(user.pull())).read_bytes() == BIG
    assert hub.asked("cdn")[1].headers["range"] == "bytes=1500000-"
    is_well(user("rm", "--yes", "org/model"))
    hub.fault("cdn", *always(chunked([])))
    fails(user.pull(), "the answer ended early")


# ---- what a hub may say ----

def test_who_may_not(user, hub):
    fails(user.pull("org/secret"), "shows no org/secret without a token (401)", "HF_TOKEN")
    fails(user.pull("org/secret", HF_TOKEN=TOKEN), "There is no model org/secret", "404")
    hub.add({"model.gguf": GGUF})
    hub.fault("hub GET /api", send(401, b"", X_Error_Message="Invalid credentials in Authorization header"))
    fails(user.pull(HF_TOKEN=TOKEN), "does not take the token", "settings/tokens")
    hub.fault("hub GET /api", send(403, b"", X_Error_Code="GatedRepo"))
    fails(user.pull(), "org/model is not open to everybody", f"{hub.url}/org/model", "HF_TOKEN")
    hub.fault("hub GET /org/model/resolve", send(403, b"", X_Error_Code="GatedRepo"))
    fails(user.pull(HF_TOKEN=TOKEN), "org/model is not open to everybody")
    hub.fault("cdn", 403)
    fails(user.pull(), "403")
    hub.fault("hub GET /org/model/resolve", 404)
    fails(user.pull(), "lists model.gguf of org/model but does not have it")
    assert not (user.repo() / "snapshots").exists()
    is_well(user.pull())


@pytest.mark.parametrize("where", ["hub GET /api", "hub GET /org/model/resolve", "cdn"])
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_faults_that_pass(user, hub, where, status):
    hub.add({"model.gguf": GGUF})
    hub.fault(where, status, status)
    assert Path(is_well(user.pull())).read_bytes() == GGUF
    assert hub.count(where) == 3


@pytest.mark.parametrize("where", ["hub GET /api", "cdn"])
def test_faults_that_stay(user, hub, where):
    hub.add({"model.gguf": GGUF})
    hub.fault(where, *always(503))
    fails(user.pull(), "a fault of its own (503)", "later")
    assert hub.count(where) == 5
    hub.faults.clear()
    hub.fault(where, *always(418))
    fails(user.pull(), "answers 418")


@pytest.mark.parametrize("where", ["hub GET /api", "cdn"])
def test_asked_too_often(user, hub, where):
    hub.add({"model.gguf": GGUF})
    hub.fault(where, send(429, b"", Retry_After=3))
    start = time.monotonic()
    r = user.pull()
    is_well(r)
    assert time.monotonic() - start >= 3 and b"asks to wait 3 s (429)" in r.stderr
    is_well(user("rm", "--yes", "org/model"))
    hub.fault(where, send(429, b"", Retry_After=3600))
    start = time.monotonic()
    fails(user.pull(), "asked too often", "60 minutes", "HF_TOKEN")
    assert time.monotonic() - start < 3


def redirect(location):
    return send(302, b"", Location=location)


@pytest.mark.parametrize("where", ["hub GET /api", "hub GET /org/model/resolve"])
def test_redirects_that_lead_nowhere(user, hub, where, tmp_path):
    hub.add({"model.gguf": GGUF})
    (tmp_path / "secret").write_bytes(GGUF)
    for location in (f"file://{tmp_path}/secret", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"):
        hub.fault(where, redirect(location))
        fails(user.pull(), location.split(":")[0])
    hub.fault(where, *always(lambda h: h.send(302, b"", Location=h.path)))
    fails(user.pull(), "redirect")
    assert hub.count(where) <= 3 + 11 + 1 and user.left() == {}
    hub.faults.clear()
    hub.fault(where, 302)
    fails(user.pull(), "answers 302")


def test_a_model_that_was_renamed(user, hub):
    hub.add({"model.gguf": GGUF}, name="new/name")
    hub.fault("hub GET /api", redirect("/api/models/new/name/revision/main?blobs=true"))
    hub.fault("hub GET /org/model/resolve", redirect(f"/new/name/resolve/{COMMIT}/model.gguf"))
    assert Path(is_well(user.pull())).read_bytes() == GGUF and user.repo().is_dir()


def test_nobody_there(user, hub):
    fails(user.pull(HF_ENDPOINT="http://127.0.0.1:9"), "127.0.0.1:9 cannot be reached", "https_proxy")
    fails(user.pull(HF_ENDPOINT="http://no.such.host.invalid"), "no.such.host.invalid cannot be reached")
    line = fails(user.pull(HF_ENDPOINT="http://me:secret@127.0.0.1:9"), "127.0.0.1:9 cannot be reached")
    assert "secret" not in line
    for endpoint in ("file:///etc", "huggingface.co", "http://", "https:///x", "http://a b", "http://a\nb"):
        fails(user.pull(HF_ENDPOINT=endpoint), "HF_ENDPOINT is")
    hub.add({"model.gguf": GGUF})
    is_well(user.pull(HF_ENDPOINT=hub.url + "/"))


def test_certificates_are_checked(user, hub, tmp_path):
    hub.add({"model.gguf": b"small"})
    hub.speak_tls()
    fails(user.pull(HF_ENDPOINT=hub.url), "org/model cannot be fetched from localhost", "certificate")
    fails(user.pull(HF_ENDPOINT=hub.url, SSL_CERT_FILE=str(tmp_path / "none.pem")), "install ca-certificates")
    other_name = hub.url.replace("localhost", "127.0.0.1")
    fails(user.pull(HF_ENDPOINT=other_name, SSL_CERT_FILE=str(CERTIFICATE)), "cannot be fetched", "127.0.0.1")
    assert hub.requests == []
    assert Path(is_well(user.pull(HF_ENDPOINT=hub.url, SSL_CERT_FILE=str(CERTIFICATE)))).read_bytes() == b"small"


def test_from_https_nothing_leads_to_http(user, hub):
    hub.add({"model.gguf": BIG})
    hub.speak_tls()
    fails(user.pull(HF_ENDPOINT=hub.url, SSL_CERT_FILE=str(CERTIFICATE)), '"http" not supported')
    assert hub.count("cdn") == 0


@pytest.mark.parametrize("library, package", [("libcurl.so.4", "libcurl4"), ("libcrypto.so.3", "libssl3")])
def test_its_libraries_are_loaded_by_pull_alone(user, hub, tmp_path, library, package):
    """They were loaded by every command, which took ten times as long to start."""
    assert "libcurl" not in is_well(user(LD_TRACE_LOADED_OBJECTS="1"))
    (tmp_path / library).write_text("no library")
    hub.add({"model.gguf": GGUF})
    fails(user.pull(LD_LIBRARY_PATH=str(tmp_path)), "cannot be loaded", library, f"install {package}")
    is_well(user("list", LD_LIBRARY_PATH=str(tmp_path)))


# ---- the token ----

def test_the_token_stays_with_the_hub(user, hub):
    """Neither another host nor another port of the same host gets it, nor a proxy's log; nor is it shown."""
    hub.add({"model.gguf": BIG, "other.gguf": b"small"})
    hub.fault("cdn", cut_after(1000, BIG), 503)
    r = user.pull("org/model:model.gguf", HF_TOKEN=TOKEN)
    is_well(r)
    other = f"http://127.0.0.1:{hub.servers[1].server_port}/x/{File(b'small', large=True).hash}"
    hub.repos["org/model"].commits["3" * 40] = {"x": File(b"small", large=True)}
    hub.fault("hub GET /org/model/resolve", redirect(other))
    is_well(user.pull("org/model:other.gguf", HF_TOKEN=TOKEN))
    for q in hub.requests:
        assert q.headers.get("authorization") == (f"Bearer {TOKEN}" if q.server == "hub" else None), q
        assert TOKEN not in q.target
    assert hub.count("cdn") == 4 and hub.count("hub") >= 4
    assert TOKEN.encode() not in r.stderr + r.stdout


def test_where_the_token_is_from(user, hub):
    hub.add({"model.gguf": GGUF})
    home = user.home / ".cache" / "huggingface"
    home.mkdir(parents=True)

    def sent(**env):
        hub.requests.clear()
        is_well(user.pull(**env))
        return hub.requests[0].headers.get("authorization")

    assert sent() is None
    (home / "token").write_text(" hf_file\n")
    (user.home / "elsewhere").write_text("hf_elsewhere")
    assert sent() == "Bearer hf_file"
    assert sent(HF_TOKEN_PATH=str(user.home / "elsewhere")) == "Bearer hf_elsewhere"
    assert sent(HF_TOKEN=" hf_env\n") == "Bearer hf_env"
    assert sent(HUGGING_FACE_HUB_TOKEN="hf_old") == "Bearer hf_old"
    assert sent(HF_TOKEN="hf_env", HF_HUB_DISABLE_IMPLICIT_TOKEN="1") is None
    assert sent(HF_TOKEN="") == "Bearer hf_file"
    for bad in ("hf_a\r\nX-Evil: 1", "hf_ä", "two words", "x" * 1001):
        line = fails(user.pull(HF_TOKEN=bad), "no token")
        assert bad not in line


# ---- hostile lists ----

@pytest.mark.parametrize("path", ["../evil.gguf", "a/../../evil.gguf", "/tmp/evil.gguf", "a//evil.gguf", "./evil.gguf", "a/./evil.gguf",
                                  "..", "a\\..\\evil.gguf", "evil\n.gguf", "\x1b[2Jevil.gguf", "", "evil.gguf/", "x" * 256 + ".gguf",
                                  "a/" * 600 + "evil.gguf"])
def test_hostile_file_names(user, hub, path):
    hub.add({path: GGUF, "model.gguf": GGUF})
    line = fails(user.pull(), "leads out of its folder or that cannot be written")
    assert "\x1b" not in line and not user.cache.exists() and hub.count("resolve") == 0


@pytest.mark.parametrize("text, words", [
    (b"", "not valid JSON"), (b"{}", "names no commit"), (b"[]", "names no commit"), (b"{", "not valid JSON"),
    (b'{"sha": "../../x", "siblings": []}', "names no commit"),
    (b'{"sha": "%s", "siblings": {}}' % (b"1" * 40), "names no commit"),
    (b'{"sha": "%s", "siblings": [{}]}' % (b"1" * 40), "without a file name"),
    (b'{"sha": "%s", "siblings": [{"rfilename": 7}]}' % (b"1" * 40), "without a file name"),
    (b'{"sha": "%s", "siblings": [{"rfilename": "a\\u0000.gguf"}]}' % (b"1" * 40), "not valid JSON"),
    (b'{"sha": "%s", "siblings": [{"rfilename": "a.gguf"}]}' % (b"1" * 40), "does not say size and hash of a.gguf"),
    (b'{"sha": "%s", "siblings": [{"rfilename": "a.gguf", "size": 5, "blobId": "../../../x"}]}' % (b"1" * 40), "size and hash"),
    (b'{"sha": "%s", "siblings": [{"rfilename": "a.gguf", "size": -5, "blobId": "%s"}]}' % (b"1" * 40, b"2" * 40), "size and hash"),
    (b'{"sha": "%s", "siblings": [{"rfilename": "a.gguf", "size": 9e18, "blobId": "%s"}]}' % (b"1" * 40, b"2" * 40),
     "size and hash"),
    (b'{"sha": "%s", "siblings": [%s]}' % (b"1" * 40, b",".join([b'{"rfilename": "a.gguf"}'] * 2)), "several models"),
    (b'{"sha": "%s", "siblings": [%s]}' % (b"1" * 40, b",".join([b'{"rfilename": "config.json"},{"rfilename": "a.npz"}'] * 2)),
     "in the list twice"),
    (b'{"sha": "%s", "siblings": [%s]}' % (b"1" * 40, b",".join(b'{"rfilename": "%d.json"}' % i for i in range(150_000))),
     "more than 100000 files"),
    (b'{"sha": "%s", "siblings": [%s, {"rfilename": "a.npz"}]}' % (b"1" * 40, b",".join(
        b'{"rfilename": "%d.json"}' % i for i in range(5000))), "more than 2000 files"),
    (b"[" * 100_000, "nested more than"),
], ids=range(18))
def test_hostile_lists(user, hub, text, words):
    hub.fault("hub GET /api", *([send(200, text)] * 5))
    fails(user.pull(), words)
    assert not user.cache.exists()


def test_an_endless_list(user, hub):
    hub.fault("hub GET /api", chunked(b" " * 1_000_000 for _ in range(10**9)))
    fails(user.pull(), "The list of files of org/model is longer than 32 MB")


def test_a_list_of_another_commit(user, hub):
    repo = hub.add({"model.gguf": GGUF})
    hub.fault("hub GET /api", send(200, json.dumps(repo.listing("main")).encode()))
    fails(user.pull("org/model@" + "2" * 40), "another commit")


def test_links_in_the_way(user, hub, tmp_path):
    """A folder of the snapshot, the file or what grows to it may be a link that leads elsewhere; nothing is written there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    hub.add({"a/model.gguf": GGUF})
    snapshot = user.repo() / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "a").symlink_to(outside)
    fails(user.pull(), "make the folder of", "Not a directory")
    assert os.listdir(outside) == ["file"]
    (snapshot / "a").unlink()
    (user.repo() / "blobs" / File(GGUF).hash).unlink()
    (user.repo() / "blobs" / (File(GGUF).hash + ".incomplete")).symlink_to(outside / "file")
    fails(user.pull(), "symbolic links")
    (user.repo() / "blobs" / (File(GGUF).hash + ".incomplete")).unlink()
    (snapshot / "a").mkdir()
    (snapshot / "a" / "model.gguf").symlink_to(outside / "file")
    is_well(user.pull())
    assert user.snapshot() == {"a/model.gguf": GGUF} and (outside / "file").read_text() == "mine"


# ---- disks ----

def test_the_disk_has_no_room(user, hub):
    huge = File(BIG)
    huge.size = 1 << 49
    hub.add({"config.json": b"{}", "model.safetensors": huge})
    fails(user.pull(), "org/model takes another 562.9 TB", f"{user.cache}", "there are", "GB free", "HF_HOME")
    assert hub.count("resolve") == 0 and not user.cache.exists()


def test_the_disk_is_full(user, hub):
    """A limit on the size of files stands for the disk: what is there stays, and is gone on from."""
    hub.add({"model.gguf": BIG})

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    fails(user.pull(preexec_fn=limit), "Cannot write", "File too large", File(BIG).hash)
    assert user.left() == {File(BIG).hash: 1_000_000} and not (user.repo() / "snapshots").exists()
    hub.requests.clear()
    assert Path(is_well(user.pull())).read_bytes() == BIG
    assert hub.asked("cdn")[0].headers["range"] == "bytes=1000000-"


def test_a_cache_that_others_write_to(user, hub):
    """All is there and nothing may be written: pull is content. As root nothing is forbidden."""
    hub.add({"model.gguf": GGUF})
    path = is_well(user.pull())
    folders = [p for p in [user.cache, *user.cache.rglob("*")] if p.is_dir() and not p.is_symlink()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert is_well(user.pull()) == path
        hub.repos["org/model"].update({"model.gguf": File(BIG)}, "2" * 40)
        if os.geteuid() != 0:
            fails(user.pull(), "Permission denied")
    finally:
        for folder in folders:
            folder.chmod(0o755)
    (user.home / "file").write_text("")
    fails(user.pull(HF_HOME=str(user.home / "file")), "Cannot make the folder", "Not a directory")


# ---- several at once ----

def test_files_side_by_side(user, hub):
    files = {f"model-{i:05}-of-00006.safetensors": random.Random(i).randbytes(200_000) for i in range(1, 7)}
    together = threading.Barrier(4)

    def meet(h):
        together.wait(20)
        return False

    hub.add(files)
    hub.fault("cdn", *[meet] * 4)
    is_well(user.pull(HF_HUB_DOWNLOAD_TIMEOUT="30"))
    assert user.snapshot() == files and not together.broken and hub.count("cdn") == len(files)
    is_well(user("rm", "--yes", "org/model"))
    hub.most_active = 0
    is_well(user.pull("org/model", "--jobs", "1"))
    assert user.snapshot() == files and hub.most_active == 1


def test_the_same_content_twice(user, hub):
    hub.add({"config.json": b"{}", "generation_config.json": b"{}", "model.safetensors": BIG})
    r = user.pull("org/model", "--jobs", "2")
    assert is_well(r) and b"Another program" not in r.stderr
    assert hub.count("resolve-cache") == 1 and set(user.snapshot()) == {"config.json", "generation_config.json", "model.safetensors"}


def test_an_empty_file(user, hub):
    hub.add({"added_tokens.json": b"", "model.safetensors": BIG})
    is_well(user.pull())
    assert user.snapshot()["added_tokens.json"] == b"" and hub.count("added_tokens") == 0


def test_two_who_want_the_same(user, hub):
    hub.add({"model.gguf": BIG})
    release = threading.Event()

    def hold(h):
        hub.stalled.set()
        release.wait(20)
        return False

    hub.fault("cdn", hold)
    first = user.start("pull", "org/model")
    assert hub.stalled.wait(20)
    second = user.start("pull", "org/model")
    for _ in range(100):
        line = second.stderr.readline()
        if b"Another program is fetching model.gguf" in line:
            break
    fails(user("rm", "--yes", "org/model"), "Another program is fetching org/model")
    release.set()
    outputs = [p.communicate(timeout=20)[0] for p in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0] and outputs[0] == outputs[1] != b""
    assert hub.count("cdn") == 1


def test_a_blob_that_python_is_writing(user, hub):
    """Its lock is ours; and when it has written the blob there is nothing left to fetch."""
    from filelock import FileLock
    hub.add({"model.gguf": BIG})
    locks = user.cache / ".locks" / user.repo().name
    locks.mkdir(parents=True)
    with FileLock(locks / (File(BIG).hash + ".lock")):
        p = user.start("pull", "org/model")
        while b"Another program is fetching model.gguf" not in p.stderr.readline():
            assert p.poll() is None
        (user.repo() / "blobs" / File(BIG).hash).write_bytes(BIG)
    out, err = p.communicate(timeout=20)
    assert p.returncode == 0 and Path(out.decode().strip()).read_bytes() == BIG and hub.count("cdn") == 0


# ---- without a network, and through another's ----

def test_offline(user, hub):
    hub.add({"config.json": b"{}", "model.safetensors": BIG, "m-Q8_0.gguf": GGUF})
    line = fails(user.pull(HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE is set", f"{hub.url}/api/models/org/model/revision/main",
                 ".safetensors with configuration", str(user.repo()))
    fails(user.pull("org/model:Q8_0", TRANSFORMERS_OFFLINE="yes"), "the .gguf that 'Q8_0' means")
    assert hub.requests == [] and line.count("cria: ") == 1
    path = is_well(user.pull())
    hub.requests.clear()
    assert is_well(user.pull(HF_HUB_OFFLINE="1")) == path and hub.requests == []
    fails(user.pull("org/model:Q8_0", HF_HUB_OFFLINE="1"), "the .gguf that 'Q8_0' means")
    assert is_well(user.pull(HF_HUB_OFFLINE="0")) == path and hub.requests != []


def test_offline_the_missing_files_are_named_where_they_are_known(user, hub):
    """The hub's Python tools keep the list of a commit's files."""
    hub.add({"config.json": b"{}", "model.safetensors": BIG, "tokenizer.json": b"{}{}"})
    user.python("from huggingface_hub import snapshot_download as s; s('org/model', allow_patterns='config.json')")
    r = user.pull("org/model", HF_HUB_OFFLINE="1")
    assert is_well(user.pull("org/model")) and r.returncode == 1
    lines = r.stderr.decode().splitlines()
    assert lines[:2] == ["[INFO] Would fetch model.safetensors, 3.0 MB.", "[INFO] Would fetch tokenizer.json, 4 B."]
    assert "2 files of org/model, 3.0 MB, are missing, such as model.safetensors" in lines[2] and len(lines) == 3


def test_proxies(user, hub):
    """The hub stands for a proxy: asked for whole URLs, it gives what lies at their paths."""
    hub.add({"model.gguf": GGUF})

    class ViaProxy(Request):
        pass

    hub.cdn_url = "http://cdn.invalid"
    seen = []

    def proxied(h):
        seen.append(h.path)
        h.path = "/" + h.path.split("/", 3)[3]
        if "cdn.invalid" in seen[-1]:
            h.send_content(hub.large[h.path.split("?")[0].split("/")[-1]])
        else:
            h.answer(ViaProxy(h))

    hub.fault("hub GET", *always(proxied))
    assert Path(is_well(user.pull(HF_ENDPOINT="http://hub.invalid", http_proxy=hub.url))).read_bytes() == GGUF
    assert [p.split("/")[2] for p in seen] == ["hub.invalid", "hub.invalid", "cdn.invalid"]
    is_well(user("rm", "--yes", "org/model"))
    hub.faults.clear()
    hub.cdn_url = f"http://localhost:{hub.servers[1].server_port}"
    is_well(user.pull(http_proxy="http://127.0.0.1:9", no_proxy="127.0.0.1,localhost"))
    fails(user.pull("org/model:x.gguf", http_proxy="http://127.0.0.1:9"), "cannot be reached")


# ---- on a terminal ----

def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def on_terminal(user, arguments, answer=b"", meanwhile=lambda: None):
    """(exit status, what the terminal showed): stdin and stderr are one, of 100 columns."""
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    p = subprocess.Popen([str(user.cria), *arguments], env=user.env | {"TERM": "xterm"}, stdin=slave, stderr=slave,
                         stdout=subprocess.PIPE)
    os.close(slave)
    shown = b""
    os.write(master, answer)
    end = time.monotonic() + 40
    while time.monotonic() < end:
        meanwhile()
        if select.select([master], [], [], 0.05)[0]:
            try:
                part = os.read(master, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
    p.stdout.close()
    code = p.wait(20)
    os.close(master)
    return code, shown.decode()


def test_the_bar(user, hub):
    data = random.Random(5).randbytes(8_000_000)
    hub.add({"model.gguf": data})

    def slowly(h):
        h.send_response(200)
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        for at in range(0, len(data), 250_000):
            h.wfile.write(data[at:at + 250_000])
            time.sleep(0.06)

    hub.fault("cdn", slowly)
    code, shown = on_terminal(user, ["pull", "org/model"])
    assert code == 0
    bars = [part for part in shown.split("\r") if part.startswith("Fetching [")]
    assert len(bars) > 5 and all(len(bar.replace("\x1b[K", "")) < 100 for bar in bars)
    import re
    found = [re.fullmatch(r"Fetching \[(#*)(\.*)\] +(\d+)% of 8\.0 MB, (\d\.\d) MB/s 0:0(\d) left\x1b\[K", bar) for bar in bars[1:-1]]
    assert all(found), bars
    percent = [int(m[3]) for m in found]
    assert percent == sorted(percent) and percent[-1] > percent[0] and all(len(m[1] + m[2]) == 40 for m in found)
    assert all(1.0 <= float(m[4]) <= 5.0 for m in found) and shown.rstrip().endswith("hashes are right.")


# ---- names in the place of models ----

def test_a_name_is_as_good_as_a_path(user, hub, small_gguf, small_model):
    hub.add({"m-Q4_0.gguf": small_gguf.read_bytes()}, name="org/gguf")
    hub.add({p.name: p.read_bytes() for p in small_model.iterdir()}, name="org/mlx")
    for name, path in (("org/gguf", small_gguf), ("org/gguf:Q4_0", small_gguf), ("org/gguf:m-Q4_0.gguf", small_gguf),
                       ("org/mlx", small_model), ("https://huggingface.co/org/mlx@main", small_model)):
        is_well(user.pull(name))
        generate = ("--prompt", "universe", "-m", "8", "--quiet", "--no-cache", "--model-path")
        assert is_well(user(*generate, name)) == is_well(user(*generate, path)) != ""
        assert is_well(user(*generate, path, "--draft-model", name)) == is_well(user(*generate, path))
        assert is_well(user("inspect", name)) == is_well(user("inspect", path))
        ids = is_well(user("tokenize", name, "universe"))
        assert ids == is_well(user("tokenize", path, "universe")) != ""
        assert user("detokenize", name, *ids.split()).stdout == user("detokenize", path, *ids.split()).stdout
    bench = json.loads(is_well(user("bench", "-m", "org/gguf", "-p", "4", "-n", "2", "-r", "1", "--json", "--quiet")))
    assert "org/gguf" in json.dumps(bench)
    is_well(user("convert", "org/mlx", "out", "--quiet"))
    assert (user.home / "out" / "config.json").is_file()
    (user.home / "text").write_text("the universe and everything " * 30)
    assert "org/gguf" in is_well(user("perplexity", "--model-path", "org/gguf", "text", "--quiet"))
    is_well(user("pack", "--model-path", "org/gguf", "--cache-folder", "packed"))
    assert len(list((user.home / "packed").iterdir())) == 1


def test_what_is_there_goes_before_names(user, hub, small_gguf, small_model):
    hub.add({"m.gguf": small_gguf.read_bytes()})
    is_well(user.pull())
    (user.home / "org").mkdir()
    (user.home / "org" / "model").symlink_to(small_model)
    assert "npz" in is_well(user("inspect", "org/model"))


def test_names_that_are_not_here(user, hub):
    hub.add({"m-Q8_0.gguf": GGUF, "m-Q2_K.gguf": BIG, "s-Q4_0-00001-of-00002.gguf": b"a", "s-Q4_0-00002-of-00002.gguf": b"b"})
    for command in (["inspect"], ["--model-path"], ["tokenize"], ["convert"], ["bench", "-m"], ["pack", "--model-path"]):
        fails(user(*command, "org/model"), "no model at 'org/model'", "'cria pull org/model'", str(user.cache))
    fails(user("inspect", "org/model:Q8_0"), "'cria pull org/model:Q8_0'")
    is_well(user.pull("org/model:Q8_0"))
    is_well(user.pull("org/model:Q2_K"))
    assert hub.requests and not hub.requests.clear()
    fails(user("inspect", "org/model:Q4_0"), "has no 'Q4_0'; there are", "'cria pull org/model:Q4_0'")
    fails(user("inspect", "org/model"), "several models", "Q2_K", "Q8_0")
    is_well(user.pull("org/model:Q4_0"))
    (user.repo() / "snapshots" / COMMIT / "s-Q4_0-00002-of-00002.gguf").unlink()
    fails(user("inspect", "org/model:Q4_0"), "2 parts, of which 1", "'cria pull org/model:Q4_0'")
    assert hub.count("GET /org/model/resolve") == 2  # nothing is fetched behind one's back
    fails(user("inspect", "nowhere"), "no model at 'nowhere'", "org/model")
    (user.repo() / "refs" / "main").write_text("../../../../etc")
    fails(user("inspect", "org/model"), "is not in the hub's cache")


# ---- list and rm ----

def entries(user, **env):
    return {e["name"]: e for e in json.loads(is_well(user("list", "--json", **env)))["models"]}


def test_list(user, hub, small_gguf):
    assert "There are no models in" in is_well(user("list")) and entries(user) == {}
    hub.add({"m-Q8_0.gguf": GGUF, "m-F16-00001-of-00002.gguf": BIG, "m-F16-00002-of-00002.gguf": BIG[:-1]})
    hub.add({"config.json": b"{}", "model.safetensors": BIG}, name="Org/Folder")
    hub.add({"a.gguf": GGUF, "b.gguf": BIG}, name="org/part")
    for name in ("org/model:Q8_0", "org/model:F16", "Org/Folder"):
        is_well(user.pull(name))
    hub.fault("cdn", *always(cut_after(1000, BIG)))
    fails(user.pull("org/part:b.gguf"))
    own = user.home / ".cache" / "cria"
    own.mkdir()
    (own / "tiny.Q4_1.gguf").write_bytes(b"12345")
    (own / "note.txt").write_text("")
    found = entries(user)
    sizes = {name: (e["kind"], e["files"], e["bytes"], e["complete"]) for name, e in found.items()}
    assert sizes.pop("org/part")[0] == "incomplete"
    assert sizes == {"Org/Folder": ("safetensors", 2, len(BIG) + 2, True), "org/model:Q8_0": ("Q8_0", 1, len(GGUF), True),
                     "org/model:F16": ("F16", 2, 2 * len(BIG) - 1, True), f"{own}/tiny.Q4_1.gguf": ("Q4_1", 1, 5, True)}
    assert all(Path(e["path"]).exists() and abs(e["used"] - time.time()) < 100 for e in found.values())
    for name in list(sizes)[:3]:
        assert is_well(user.pull(name, HF_HUB_OFFLINE="1")) == found[name]["path"]
    lines = is_well(user("list")).splitlines()
    assert lines[0].split() == ["NAME", "KIND", "FILES", "SIZE", "USED"]
    assert [line.split()[0] for line in lines[1:6]] == ["Org/Folder", "org/model:F16", "org/model:Q8_0", "org/part",
                                                        f"{own}/tiny.Q4_1.gguf"]
    assert lines[1].split()[1:] == ["safetensors", "2", "3.0", "MB", "today"] and lines[4].endswith("not complete")
    assert "MB in " + str(user.cache) in lines[-1] and f"5 B in {own}" in lines[-1]
    old = time.time() - 9.5 * 86400
    os.utime(found["org/model:Q8_0"]["path"], (old, old))
    assert "9 days ago" in is_well(user("list"))


def test_rm_keeps_what_others_need(user, hub):
    repo = hub.add({"config.json": b"{}", "model.safetensors": BIG, "m-Q8_0.gguf": GGUF, "n-Q4_0.gguf": GGUF})
    for name in ("org/model", "org/model:Q8_0", "org/model:Q4_0"):
        is_well(user.pull(name))
    repo.update({"config.json": File(b"{2}"), "model.safetensors": File(BIG)}, "2" * 40)
    is_well(user.pull())
    blobs = user.repo() / "blobs"
    assert len(os.listdir(blobs)) == 4
    names = set(entries(user))
    assert names == {"org/model", f"org/model@{COMMIT}", f"org/model@{COMMIT}:Q8_0", f"org/model@{COMMIT}:Q4_0"}
    r = user("rm", "--yes", f"org/model@{COMMIT}:Q8_0")
    assert is_well(r) == "" and b", 0 B" in r.stderr  # n-Q4_0 is the same
    assert len(os.listdir(blobs)) == 4 and set(user.snapshot()) == {"config.json", "model.safetensors", "n-Q4_0.gguf"}
    assert b", 40.0 kB" in user("rm", "--yes", f"org/model@{COMMIT}:n-Q4_0.gguf").stderr
    assert len(os.listdir(blobs)) == 3 and len(user.snapshot()) == 2
    is_well(user("rm", "--yes", f"org/model@{COMMIT}"))
    assert sorted(os.listdir(blobs)) == sorted([File(BIG).hash, git_sha1(b"{2}")])
    assert os.listdir(user.repo() / "snapshots") == ["2" * 40] and set(entries(user)) == {"org/model"}
    assert len(user.snapshot(commit="2" * 40)) == 2
    is_well(user("rm", "--yes", "org/model@main"))  # the last one takes all with it
    assert not user.repo().exists() and not (user.cache / ".locks" / "models--org--model").exists()
    fails(user("rm", "--yes", "org/model"), "is not in the hub's cache", "'cria list'")


def test_rm_of_what_is_not_complete(user, hub):
    hub.add({"model.gguf": BIG})
    leave(user, BIG[:1000])
    assert b"1.0 kB" in user("rm", "--yes", "org/model").stderr
    assert not user.repo().exists()


def test_rm_asks(user, hub):
    hub.add({"model.gguf": GGUF})
    is_well(user.pull())
    fails(user("rm", "org/model"), "org/model (1 file, 40.0 kB)", "--yes")
    for answer in (b"n\n", b"\n", b"\x04"):
        code, shown = on_terminal(user, ["rm", "org/model"], answer)
        assert code == 1 and "Remove org/model, 1 file, 40.0 kB? [y/N]" in shown and "Nothing was removed" in shown
        assert user.snapshot()
    assert on_terminal(user, ["rm", "org/model"], b"y\n")[0] == 0 and not user.repo().exists()


def test_rm_goes_nowhere_else(user, hub, tmp_path):
    """Links are removed, not followed; and only files right in cria's own cache have paths for names."""
    hub.add({"model.gguf": GGUF})
    is_well(user.pull())
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "file.gguf").write_text("mine")
    (user.repo() / "snapshots" / COMMIT / "link").symlink_to(outside)
    (user.repo() / "blobs" / "folder").symlink_to(outside)
    is_well(user("rm", "--yes", "org/model"))
    assert (outside / "deep" / "file.gguf").read_text() == "mine" and not user.repo().exists()
    user.repo().symlink_to(outside)
    fails(user("rm", "--yes", "org/model"), "is not in the hub's cache")
    user.repo().unlink()
    user.repo().mkdir()
    (user.repo() / "snapshots").symlink_to(outside)
    fails(user("rm", "--yes", "org/model"), "Cannot remove")
    assert (outside / "deep" / "file.gguf").read_text() == "mine"
    own = user.home / ".cache" / "cria"
    own.mkdir()
    for name in ("a.gguf", "b.cria", "c.txt"):
        (own / name).write_text("x")
    (own / "link.gguf").symlink_to(outside / "deep" / "file.gguf")
    for path in (outside / "deep" / "file.gguf", own / "c.txt", own / "link.gguf", own / ".." / "huggingface", own / "none.gguf"):
        fails(user("rm", "--yes", path), "cria list")
    for name in ("a.gguf", "b.cria"):
        is_well(user("rm", "--yes", own / name))
    assert sorted(os.listdir(own)) == ["c.txt", "link.gguf"] and (outside / "deep" / "file.gguf").exists()


# ---- beside the hub's Python tools ----

def test_python_finds_what_cria_has_fetched(user, hub):
    hub.add({"config.json": b"{}", "model.safetensors": BIG, "tokenizer.json": b"{}{}", "README.md": b"# x"})
    path = is_well(user.pull())
    hub.requests.clear()
    code = "from huggingface_hub import hf_hub_download as d, snapshot_download as s\n"
    assert user.python(code + "print(s('org/model'))", HF_HUB_OFFLINE="1") == path and hub.requests == []
    for file in ("config.json", "model.safetensors"):
        assert user.python(code + f"print(d('org/model', '{file}'))") == f"{path}/{file}"
    assert user.python(code + "print(s('org/model', allow_patterns=['*.json', '*.safetensors']))") == path
    assert {r.method for r in hub.asked("resolve")} == {"HEAD"} and hub.count("cdn") == 0
    scan = "import huggingface_hub as h; i = h.scan_cache_dir(); print([(r.repo_id, r.nb_files, r.size_on_disk, "
    scan += "[(v.commit_hash, sorted(v.refs)) for v in r.revisions]) for r in i.repos], i.warnings)"
    assert user.python(scan) == str([("org/model", 3, len(BIG) + 6, [(COMMIT, ["main"])])]) + " []"
    is_well(user("rm", "--yes", "org/model"))
    assert user.python(scan) == "[] []"


def test_cria_finds_what_python_has_fetched(user, hub, small_model):
    hub.add({p.name: p.read_bytes() for p in small_model.iterdir()} | {"README.md": b"# x"})
    path = user.python("from huggingface_hub import snapshot_download as s; print(s('org/model'))")
    hub.requests.clear()
    assert is_well(user("--model-path", "org/model", "--prompt", "universe", "-m", "4", "--quiet"))
    assert is_well(user.pull(HF_HUB_OFFLINE="1")) == path and hub.requests == []
    assert is_well(user.pull()) == path and hub.count("resolve") == 0
    assert entries(user)["org/model"]["path"] == path
    is_well(user("rm", "--yes", "org/model"))
    assert not user.repo().exists()


def test_python_goes_on_with_blobs_of_a_pull_that_failed(user, hub):
    """A blob that was complete is not fetched again, whoever asks for it next."""
    hub.add({"config.json": b"{}", "model.safetensors": BIG})
    hub.fault("cdn", *always(404))
    fails(user.pull("org/model", "--jobs", "1"))
    hub.faults.clear()
    hub.requests.clear()
    user.python("from huggingface_hub import snapshot_download as s; s('org/model')")
    assert len([r for r in hub.asked("resolve-cache") if r.method == "GET"]) == 0 and hub.count("cdn GET") == 1
    assert is_well(user.pull()) and user.snapshot()["model.safetensors"] == BIG


def test_contents_that_python_shares_between_repositories(user, hub):
    """Its layout keeps some blobs once for all; cria follows the link, and rm takes the content with the last of them."""
    hub.add({"model.gguf": BIG})
    xet = "ab" + "0" * 62
    store = user.cache / "blobs" / "ab"
    store.mkdir(parents=True)
    (user.cache / "blobs" / ".huggingface-shared-blobs").write_text("1\n")
    (store / xet).write_bytes(BIG)
    repos = [user.repo(), user.repo("org/other")]
    for repo in repos:
        (repo / "blobs").mkdir(parents=True)
        (repo / "blobs" / File(BIG).hash).symlink_to(f"../../blobs/ab/{xet}")
    (store / f"{xet}.refs").write_text("".join(f"{repo.name}/blobs/{File(BIG).hash}\n" for repo in repos))
    path = Path(is_well(user.pull()))
    assert path.read_bytes() == BIG and hub.count("resolve") == 0
    is_well(user("rm", "--yes", "org/model"))
    assert (store / xet).is_file() and not user.repo().exists()
    is_well(user("rm", "--yes", "org/other"))
    assert not (store / xet).exists() and not (store / f"{xet}.refs").exists()
