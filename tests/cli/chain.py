# SPDX-License-Identifier: Apache-2.0
"""A model that says what a test wants: every token has one successor.

Its layers add nothing (wo and w2 are zero), its embeddings are random and so nearly orthogonal, and the output row of
a token is the sum of the embeddings of those that it follows.
"""
import mlx.core as mx
import numpy as np

import models

NORMAL = 1


def write_chain(folder, words):
    """words: texts (or single bytes, as numbers) of the tokens to be said one after the other, all different, behind
    any prompt that ends in '?'. The last one is followed by the end of the text."""
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(f"<0x{b:02X}>", 0.0, 6) for b in range(256)]
    pieces += [("▁" if c == 32 else chr(c), -float(c), NORMAL) for c in range(32, 127)]
    ids = []
    for word in words:
        text = word.replace(" ", "▁") if isinstance(word, str) else f"<0x{word:02X}>"
        known = [i for i, p in enumerate(pieces) if p[0] == text]
        ids += known or [len(pieces)]
        if not known:  # never merged to, since no pair of pieces makes it
            pieces.append((text, -1000.0 - len(pieces), NORMAL))
    successor = dict.fromkeys(range(len(pieces)), 2)
    question = next(i for i, p in enumerate(pieces) if p[0] == "?")
    for a, b in zip([question] + ids, ids + [2]):
        successor[a] = b

    shape = models.Shape(dim=128, layers=1, vocab=len(pieces))
    weights = models.random_weights(shape)
    weights["layers.0.attention.wo.weight"][:] = 0
    weights["layers.0.feed_forward.w2.weight"][:] = 0
    weights["norm.weight"][:] = 1
    embedding = np.random.default_rng(3).standard_normal((shape.vocab, shape.dim)).astype(np.float32)
    output = np.zeros_like(embedding)
    for token, following in successor.items():
        if following != 2 or token in ids:
            output[following] += embedding[token]
    weights["tok_embeddings.weight"], weights["output.weight"] = embedding, output
    return models.write_folder(folder, shape.config(), {k: mx.array(v) for k, v in weights.items()},
                               models.spm_model_of_pieces(pieces, byte_fallback=True))
