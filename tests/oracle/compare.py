# SPDX-License-Identifier: Apache-2.0
"""How cria is held against a Reference: the same weights, the same tokens, float32 all the way.

Greedy and sampled text are compared token by token along cria's own text: the reference computes, in one pass, its
logits at every position after cria's tokens so far, and says which token it would have taken there. That all of them
agree is, by induction, that the reference alone would have written the same text; and unlike two texts run side by
side it still compares every token that follows a tie. (test_parity also runs MLX's own generation, live.)

A tie: the reference's own choice and cria's are nearer than TIE, so that rounding decides. Ties are counted; more than
one in a thousand tokens is a failure.
"""
import dataclasses

import cria_ctypes
import numpy as np
import reference as ref

TIE = 1e-4
TIES_PER_TOKEN = 1e-3
LOGITS = 2e-4                                  # of the largest absolute logit
LOGITS_AT_ONCE = 100 << 20                     # float32 numbers kept
DRAWS = [(0.3, 1), (0.8, 7), (1.5, 123456789)]  # temperature, seed


@dataclasses.dataclass
class Tally:
    tokens: int = 0
    ties: int = 0
    worst: float = 0.0

    def __str__(self):
        return f"{self.tokens} tokens, {self.ties} ties, worst logits error {self.worst:.1e} of the largest"

    def finish(self):
        assert self.ties <= TIES_PER_TOKEN * self.tokens, str(self)


def logits_error(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def mean_divergence(p, q):
    """Of the distributions that rows of logits mean, KL(p ‖ q) in nats."""
    def log_softmax(x):
        x = x.astype(np.float64) - x.max(axis=-1, keepdims=True)
        return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    p, q = log_softmax(p), log_softmax(q)
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())


def greedy(prompts):
    return [(p, 0.0, 0) for p in prompts]


def sampled(prompts, draws=DRAWS):
    return [(p, temp, seed) for temp, seed in draws for p in prompts]


def compare_texts(engine, reference, texts, n, tally=None):
    """n tokens of each text (prompt as ids, temperature, seed), all side by side; asserts that tokens and logits agree
    and adds to the tally."""
    tally = tally or Tally()
    at_once = max(1, LOGITS_AT_ONCE // (n * engine.vocab))
    if len(texts) > at_once:
        for i in range(0, len(texts), at_once):
            compare_texts(engine, reference, texts[i:i + at_once], n, tally)
        return tally
    tokens, logits = cria_ctypes.generate(engine, texts, n)
    for p, (prompt, temp, seed) in enumerate(texts):
        theirs = reference.logits(prompt + tokens[p].tolist()[:-1])[len(prompt) - 1:]
        error = logits_error(logits[p], theirs)
        assert error < LOGITS, f"prompt {p}: logits are off by {error:.2e} of the largest"
        tally.worst = max(tally.worst, error)
        tally.tokens += n
        if temp == 0:
            chosen = theirs.argmax(axis=-1)
            misses = theirs.max(axis=-1)[:, None] - theirs
        else:
            chosen, misses = ref.draw_all(theirs, temp, seed)
        for i in np.flatnonzero(np.asarray(chosen) != tokens[p]):
            miss = misses[i][tokens[p][i]]
            assert miss < TIE, (f"prompt {p}, token {i}, temperature {temp}, seed {seed}: MLX takes {chosen[i]}, cria "
                                f"{tokens[p][i]}, which is {miss:.2e} away")
            tally.ties += 1
    return tally


def compare_model(model, reference, prompts, n=200, n_sampled=4):
    """Greedy text of all prompts and sampled text of some, at all of DRAWS. Returns the tally."""
    engine = model.engine(kv="f32", kv_bytes=256 << 20)  # all prompts at once, where the default is one context
    tally = compare_texts(engine, reference, greedy(prompts) + sampled(prompts[:n_sampled]), n)
    tally.finish()
    return tally
