# SPDX-License-Identifier: Apache-2.0
"""Questions to tests/cria_tok of the build folder that CRIA_BUILD names (build/debug; ./check has an optimized one): encode,
decode, decode as a stream.
See tests/tools/tok.c for the records."""
import os
import pathlib
import struct
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENCODE, DECODE, STREAM, INFO = range(4)
BOS, SPECIAL = 1, 2


class Cria:
    """One process per list of questions."""

    def __init__(self, path):
        self.path = path
        self.program = ROOT / os.environ.get("CRIA_BUILD", "build/debug") / "tests" / "cria_tok"

    def ask(self, operation, questions, flags=0):
        """→ [(status, bytes)]; a tokenizer that does not load answers once for all."""
        data = b"".join(struct.pack("=III", operation, flags, len(q)) + q for q in questions)
        done = subprocess.run([str(self.program), str(self.path)], input=data, stdout=subprocess.PIPE)
        assert done.returncode == 0, f"cria_tok ended with {done.returncode}"
        out, at = [], 0
        while at < len(done.stdout):
            status, n = struct.unpack_from("=iI", done.stdout, at)
            out.append((status, done.stdout[at + 8:at + 8 + n]))
            at += 8 + n
        return out

    def encode(self, texts, flags=0):
        return [unpack(data) if status == 0 else (status, data) for status, data in self.ask(ENCODE, texts, flags)]

    def decode(self, lists, operation=DECODE):
        answers = self.ask(operation, [struct.pack(f"={len(ids)}i", *ids) for ids in lists])
        return [data if status == 0 else (status, data) for status, data in answers]

    def info(self):
        return unpack(self.ask(INFO, [b""])[0][1])


def unpack(data):
    return list(struct.unpack(f"={len(data) // 4}i", data))


def first_difference(questions, want, got):
    assert len(want) == len(got), got[:1]
    for q, w, g in zip(questions, want, got):
        if w != g:
            return f"{q!r}\n  library {w!r}\n  cria    {g!r}"
