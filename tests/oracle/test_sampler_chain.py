# SPDX-License-Identifier: Apache-2.0
"""The filters before the draw: each against a few lines of numpy, and against mlx-lm's own where it has it.

A reference is given finite logits (float32) and returns what the filter makes of them, -inf for a token left out.
`keeps` compares whole arrays bit for bit, and sees to it that a filter has been seen both to keep and to leave out.
"""
import math

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm import sample_utils

from cria_ctypes import CriaError, Sampler

pytestmark = pytest.mark.quick

SIZES = [1, 2, 37, 503, 50257]
KINDS = ["flat", "usual", "peaked", "ties", "equal", "banned", "huge", "tiny", "coarse"]
FLOAT_MAX = np.finfo(np.float32).max


@pytest.fixture(scope="module")
def ctx(lib):
    return lib.context(threads=1)


def logits_like(rng, vocab, kind):
    x = rng.standard_normal(vocab) * {"flat": 0.1, "peaked": 2.5}.get(kind, 4) + rng.choice([0, -20, 15])
    if kind == "peaked":
        x[rng.integers(vocab, size=1 + vocab // 200)] += 15
    elif kind == "ties":
        x = np.round(x)
    elif kind == "equal":
        x[:] = -1.25
    elif kind == "banned" and vocab > 1:
        x[rng.permutation(vocab)[: vocab // 2]] = -np.inf
    elif kind == "huge":
        x = np.clip(x * 2e37, -3e38, 3e38)
    elif kind == "coarse":
        x += 1e8  # whose neighbours are 8 apart
    elif kind == "tiny":
        x *= 1e-30
    return x.astype(np.float32)


def arrays(seed, sizes=SIZES, times=3):
    for vocab in sizes:
        for kind in KINDS:
            rng = np.random.default_rng([seed, vocab, KINDS.index(kind)])
            for _ in range(times if vocab > 2 else 3 * times):
                yield logits_like(rng, vocab, kind)


# ---- references ----

def masked(x, keep):
    return np.where(keep, x, np.float32(-np.inf))


def softmax(x):
    """Distance from the top and weight, in double. What is 88 or more away weighs nothing, as in MLX's exp."""
    d = x.astype(np.float64) - x.max()
    return d, np.where(d <= -88, 0, np.exp(np.maximum(d, -88)))


def fewest(key, w, p):
    """The first by key that have the share p of the weight together; those with the key of the last one stay too."""
    order = np.argsort(key, kind="stable")
    order = order[w[order] > 0]
    enough = np.flatnonzero(np.cumsum(w[order]) >= p * w.sum())
    return key <= key[order[enough[0] if enough.size else -1]]


def ref_top_k(x, k):
    return masked(x, np.isin(np.arange(x.size), np.argsort(-x, kind="stable")[:k])) if k else x


def ref_top_p(x, p):
    return x if p == 1 else masked(x, fewest(-x, softmax(x)[1], p))


def ref_typical(x, p):
    if p == 1:
        return x
    d, w = softmax(x)
    with np.errstate(over="ignore"):
        far = np.abs((x.astype(np.float64) - x.max()) - (w * d).sum() / w.sum()).astype(np.float32)
    return masked(x, fewest(far, w, p))


def ref_min_p(x, p):
    return masked(x, x >= x.max() + np.float32(math.log(p))) if p else x


def ref_top_n_sigma(x, n):
    y = x.astype(np.float64)
    return masked(x, y >= y.max() - n * y.std()) if n else x


def ref_xtc(x, threshold):
    w = softmax(x)[1]
    above = w > threshold * w.sum()
    return masked(x, x <= x[above].min()) if above.any() else x


def ref_temp(x, temp, range=0.0, exponent=1.0):
    if range:
        d, w = softmax(x)
        entropy = np.log(w.sum()) - (w * d).sum() / w.sum()
        share = min(max(entropy / np.log(x.size), 0), 1) if x.size > 1 else 0
        least = max(0, temp - range)
        temp = least + (temp + range - least) * (share**exponent if x.size > 1 else 0)
    with np.errstate(over="ignore", divide="ignore"):
        scale = np.float32(1 / temp if temp else np.inf)
        if np.isinf(scale):
            return masked(x, np.arange(x.size) == x.argmax())
        return np.clip(x * scale, -FLOAT_MAX, FLOAT_MAX)


def ref_mirostat(x, bound):
    w = softmax(x)[1]
    with np.errstate(divide="ignore"):
        keep = -np.log2(w / w.sum()) <= bound
    return masked(x, keep if keep.any() else x == x.max())


def ref_bias(x, bias):
    x = x.copy()
    for i, b in bias:
        x[i] = x[i] + np.float32(b)
    return x


def ref_penalties(x, history, last_n, repeat, presence, frequency):
    x, repeat, presence, frequency = x.copy(), *np.float32([repeat, presence, frequency])
    recent = history[-last_n:]
    with np.errstate(over="ignore"):
        for i in set(recent):
            y = np.clip(x[i] * repeat if x[i] < 0 else x[i] / repeat, -FLOAT_MAX, FLOAT_MAX)
            x[i] = y - (np.float32(recent.count(i)) * frequency + presence)
    return x


def ref_dry(x, history, last_n, multiplier, base, allowed, breakers=()):
    x, text = x.copy(), history[-last_n:]
    reach = next((n for n, i in enumerate(reversed(text)) if i in breakers), len(text))
    longest = {}
    for end in range(1, len(text)):  # what has come before text[end], against what comes before the new token
        n = 0
        while n < min(reach, end) and text[end - 1 - n] == text[-1 - n]:
            n += 1
        if n >= allowed and text[end] not in breakers:
            longest[text[end]] = max(n, longest.get(text[end], 0))
    for i, n in longest.items():
        x[i] = np.maximum(x[i] - np.float32(min(multiplier * base ** (n - allowed), FLOAT_MAX)), -FLOAT_MAX)
    return x


def applied(reference, x, *args):
    """The reference on the tokens that are still there."""
    there = x > -np.inf
    out = x.copy()
    out[there] = reference(x[there], *args)
    return out


def keeps(sampler, reference, args, xs):
    """True when any filtering was seen, of some arrays."""
    dropped = 0
    for x in xs:
        want, got = applied(reference, x, *args), sampler.apply(x)
        assert np.array_equal(got, want), (args, x.size, np.flatnonzero(got != want)[:10], x[got != want][:10])
        assert (got > -np.inf).any()
        dropped += ((got == -np.inf) & (x > -np.inf)).any()
    return dropped


# ---- each filter alone ----

ALONE = [("top_k", "top_k", ref_top_k, k, k > 0) for k in (0, 1, 2, 40, 502, 503, 504, 1006, 1007, 50256, 50257, 2**32 - 1)]
ALONE = [(*case[:4], 0 < case[3] < 50257) for case in ALONE]
ALONE += [("top_p", "top_p", ref_top_p, p, p < 1) for p in (0.0, 1e-9, 0.1, 0.5, 0.9, 0.95, 0.999999, 1.0)]
ALONE += [("typical", "typical_p", ref_typical, p, p < 1) for p in (0.0, 1e-9, 0.2, 0.5, 0.95, 1.0)]
ALONE += [("min_p", "min_p", ref_min_p, p, p > 0) for p in (0.0, 1e-300, 1e-9, 0.05, 0.5, 1.0)]
ALONE += [("top_n_sigma", "top_n_sigma", ref_top_n_sigma, n, 0 < n < 1e6) for n in (0.0, 1e-9, 0.5, 1.0, 2.0, 3.5, 1e6)]


@pytest.mark.parametrize("name, option, reference, value, drops", ALONE, ids=[f"{c[0]}-{c[3]}" for c in ALONE])
def test_alone(ctx, name, option, reference, value, drops):
    seed = [c[1:4:2] for c in ALONE].index((option, value))
    n = keeps(Sampler(ctx, 1.0, 0, **{option: value}), reference, (value,), arrays(seed))
    assert bool(n) == drops
    # The order that names nothing else is the same; one that leaves it out does nothing.
    x = logits_like(np.random.default_rng(1), 503, "usual")
    assert np.array_equal(Sampler(ctx, 1.0, 0, order=name, **{option: value}).apply(x), applied(reference, x, value))
    assert np.array_equal(Sampler(ctx, 1.0, 0, order="temp,xtc", **{option: value}).apply(x), x)


@pytest.mark.parametrize("threshold", [0.0, 1e-6, 0.01, 0.1, 0.3, 0.499, 0.5, 1.0])
def test_xtc(ctx, threshold):
    n = keeps(Sampler(ctx, 1.0, 0, xtc_probability=1.0, xtc_threshold=threshold), ref_xtc, (threshold,), arrays(101))
    assert bool(n) == (threshold < 0.5)


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.9])
def test_xtc_happens_when_mlxs_number_says_so(ctx, probability):
    mx.random.seed(5)
    sampler = Sampler(ctx, 1.0, 5, xtc_probability=probability, xtc_threshold=0.05)
    rng = np.random.default_rng(3)
    happened = 0
    for _ in range(60):
        x = logits_like(rng, 37, "usual")
        happens = probability > 0 and mx.random.uniform(0, 1).item() <= probability
        want = ref_xtc(x, 0.05) if happens else x
        assert np.array_equal(sampler.apply(x), want)
        happened += happens
    assert abs(happened / 60 - probability) < 0.2


@pytest.mark.parametrize("temp", [1e-3, 0.3, 0.8, 1.7, 50.0])
def test_temperature_by_itself(ctx, temp):
    for x in arrays(102, times=1):
        assert np.array_equal(Sampler(ctx, temp, 0).apply(x), applied(ref_temp, x, temp))


@pytest.mark.parametrize("temp, range, exponent", [(0.8, 0.5, 1.0), (0.5, 1.5, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 2.5), (1.0, 0.9, 0.0),
                                                   (0.7, 0.7, 0.3), (1.0, 1.0, 1000.0)])
def test_dynamic_temperature(ctx, temp, range, exponent):
    sampler = Sampler(ctx, temp, 0, dynatemp_range=range, dynatemp_exponent=exponent)
    scales = set()
    for x in arrays(103):
        got = sampler.apply(x)
        assert np.array_equal(got, applied(ref_temp, x, temp, range, exponent)), x.size
        scales.add(float(got.max() / x.max()))
    assert len(scales) > 10 or exponent in (0.0, 1000.0)


def test_temperature_0_leaves_the_likeliest(ctx):
    for x in arrays(104):
        assert np.array_equal(Sampler(ctx, 0.0, 0, top_k=5).apply(x), masked(x, np.arange(x.size) == x.argmax()))
        assert Sampler(ctx, 0.0, 0, top_k=5).sample(x) == x.argmax()


@pytest.mark.parametrize("bias", [[(0, 1.5)], [(3, -2.25), (3, -1.0), (30, 100.0)], [(1, -math.inf), (1, 5.0), (2, -math.inf)]])
def test_bias(ctx, bias):
    for x in arrays(105, [37, 503]):
        assert np.array_equal(Sampler(ctx, 1.0, 0, bias=bias).apply(x), ref_bias(x, bias))


def test_bias_neither_overflows_nor_rules_everything_out(ctx):
    x = np.float32([FLOAT_MAX, -FLOAT_MAX, 0])
    got = Sampler(ctx, 1.0, 0, bias=[(0, FLOAT_MAX), (1, -FLOAT_MAX)]).apply(x)
    assert np.array_equal(got, x)
    sampler = Sampler(ctx, 1.0, 0, bias=[(i, -math.inf) for i in range(3)])
    with pytest.raises(CriaError, match="rules every token out"):
        sampler.sample(x)
    assert sampler.sample(np.float32([0, 0, 0, 1])) == 3
    with pytest.raises(CriaError, match="token 2, but there are only 2"):
        sampler.sample(x[:2])


# ---- what looks at the history ----

def histories(seed, times=150):
    rng = np.random.default_rng(seed)
    for _ in range(times):
        history = rng.integers(rng.choice([2, 5, 37]), size=rng.integers(0, 150)).tolist()
        if rng.random() < 0.5 and history:  # repeats itself
            part = history[: rng.integers(1, 1 + len(history))]
            history = history + part + history[:3] + part[: rng.integers(0, 1 + len(part))]
        yield rng, history, logits_like(rng, 37, rng.choice(["usual", "ties", "banned"]))


@pytest.mark.parametrize("last_n", [0, 1, 20, 64])
def test_penalties(ctx, last_n):
    for rng, history, x in histories(last_n):
        repeat, presence, frequency = rng.choice([1.0, 1.3, 0.7]), rng.choice([0, 0.6, -1]), rng.choice([0, 0.37, -0.1])
        sampler = Sampler(ctx, 1.0, 0, repeat_penalty=repeat, presence_penalty=presence, frequency_penalty=frequency,
                          penalty_last_n=last_n)
        at = int(rng.integers(0, 1 + len(history)))
        sampler.accept(history[:at])
        sampler.accept(history[at:])
        for _ in range(4):
            assert np.array_equal(sampler.apply(x), applied_history(ref_penalties, x, history, last_n, repeat, presence, frequency))
            history = history + [sampler.sample(x)]
        sampler.reset()
        assert np.array_equal(sampler.apply(x), x)


def applied_history(reference, x, *args):
    """-inf stays what it is under every penalty."""
    with np.errstate(all="ignore"):
        return np.where(x > -np.inf, reference(x, *args), x)


@pytest.mark.parametrize("last_n", [0, 1, 2, 30])
def test_dry(ctx, last_n):
    punished = 0
    for rng, history, x in histories(100 + last_n):
        base, allowed = rng.choice([1.0, 1.75, 4, 1000]), int(rng.choice([0, 1, 2, 5]))
        breakers = sorted(rng.permutation(37)[: rng.integers(0, 6)].tolist())
        sampler = Sampler(ctx, 1.0, 0, dry_multiplier=0.8, dry_base=base, dry_allowed_length=allowed, dry_last_n=last_n,
                          dry_breakers=breakers)
        sampler.accept(history)
        for _ in range(4):
            want = applied_history(ref_dry, x, history, last_n, 0.8, base, allowed, breakers)
            assert np.array_equal(sampler.apply(x), want), (history, base, allowed, breakers)
            punished += (want != x).any()
            history = history + [sampler.sample(x)]
        sampler.reset()
        assert np.array_equal(sampler.apply(x), x)
    assert punished > 20 or last_n == 1


def test_long_text_with_a_short_memory(ctx):
    """What is remembered is bounded by what is looked at, and the tokens looked at are the right ones."""
    rng = np.random.default_rng(9)
    sampler = Sampler(ctx, 1.0, 0, presence_penalty=1.0, penalty_last_n=3)
    history = []
    for _ in range(3000):
        ids = rng.integers(37, size=rng.choice([1, 1, 1, 2, 7])).tolist()
        sampler.accept(ids)
        history += ids
        x = np.zeros(37, np.float32)
        assert np.array_equal(sampler.apply(x), ref_penalties(x, history, 3, 1, 1, 0))
    sampler.accept([36] * 2000 + [1, 2, 3])
    assert np.flatnonzero(sampler.apply(x)).tolist() == [1, 2, 3]


def test_ids_outside_of_the_vocabulary_are_passed_over(ctx):
    sampler = Sampler(ctx, 1.0, 0, presence_penalty=1.0, dry_multiplier=1.0)
    sampler.accept([5, 2**31 - 1, 5, 2**31 - 1, 5, 2**31 - 1, 5])
    assert np.flatnonzero(sampler.apply(np.zeros(37, np.float32))).tolist() == [5]
    with pytest.raises(CriaError, match="has the id -1"):
        sampler.accept([3, -1])


# ---- together ----

FILTERS = ["bias", "penalties", "dry", "top_n_sigma", "top_k", "typical", "top_p", "min_p", "xtc", "temp"]
TOGETHER = dict(bias=[(3, 2.0), (5, -math.inf)], repeat_penalty=1.2, frequency_penalty=0.1, dry_multiplier=0.8, top_n_sigma=2.5, top_k=60,
                typical_p=0.97, top_p=0.98, min_p=0.002, xtc_probability=1.0, xtc_threshold=0.15)
HISTORY = [1, 2, 3, 4, 1, 2, 3]


def whole(x, order, o=TOGETHER, temp=0.8):
    """All references, one after the other, in the order named."""
    for name in order:
        x = {"bias": lambda x: ref_bias(x, o["bias"]),
             "penalties": lambda x: applied_history(ref_penalties, x, HISTORY, 64, 1.2, 0, 0.1),
             "dry": lambda x: applied_history(ref_dry, x, HISTORY, 0, 0.8, 1.75, 2),
             "top_n_sigma": lambda x: applied(ref_top_n_sigma, x, o["top_n_sigma"]),
             "top_k": lambda x: applied(ref_top_k, x, o["top_k"]),
             "typical": lambda x: applied(ref_typical, x, o["typical_p"]),
             "top_p": lambda x: applied(ref_top_p, x, o["top_p"]),
             "min_p": lambda x: applied(ref_min_p, x, o["min_p"]),
             "xtc": lambda x: applied(ref_xtc, x, o["xtc_threshold"]),
             "temp": lambda x: applied(ref_temp, x, temp)}[name](x)
    return x


def test_any_order(ctx):
    rng = np.random.default_rng(77)
    differ = 0
    for i in range(300):
        order = rng.permutation(FILTERS)[: rng.integers(1, 11)].tolist()
        sampler = Sampler(ctx, 0.8, 0, order=",".join(order), **TOGETHER)
        sampler.accept(HISTORY)
        x = logits_like(rng, 503, KINDS[i % 6])
        if "temp" not in order:
            order.append("temp")
        want = whole(x, order)
        assert np.array_equal(sampler.apply(x), want), order
        differ += not np.array_equal(want > -np.inf, whole(x, FILTERS) > -np.inf)
    assert differ > 100


def test_default_order(ctx):
    for options in ({}, {"order": ",".join(FILTERS)}):
        sampler = Sampler(ctx, 0.8, 0, **options, **TOGETHER)
        sampler.accept(HISTORY)
        for x in arrays(106, [37, 503]):
            assert np.array_equal(sampler.apply(x), whole(x, FILTERS))


@pytest.mark.parametrize("order, words", [("top_k,topp", "'topp'"), ("top_k,top_p,top_k", "top_k twice"), ("", "''"), ("top_k,", "''"),
                                          ("top_k, top_p", "' top_p'")])
def test_orders_that_mean_nothing(ctx, order, words):
    with pytest.raises(CriaError, match=words):
        Sampler(ctx, 1.0, 0, order=order, top_k=3)


@pytest.mark.parametrize("temp", [0.6, 1.0])
def test_draws_are_those_of_mlx_from_what_is_left(ctx, temp):
    mx.random.seed(8)
    sampler = Sampler(ctx, temp, 8, top_k=50, min_p=0.001)
    for x in arrays(107):
        want = mx.random.categorical(mx.array(applied(ref_min_p, applied(ref_top_k, x, 50), 0.001))[None] * (1 / temp)).item()
        assert sampler.sample(x) == want


@pytest.mark.parametrize("tau, eta, temp", [(3.0, 0.1, 1.0), (5.0, 0.3, 0.7), (0.5, 1.0, 1.5)])
def test_mirostat_over_200_draws(ctx, tau, eta, temp):
    rng = np.random.default_rng(int(tau * 10))
    sampler = Sampler(ctx, temp, 21, mirostat_tau=tau, mirostat_eta=eta)
    mx.random.seed(21)
    bound, surprises = 2 * tau, []
    for step in range(200):
        x = logits_like(rng, 503, ["usual", "flat"][step % 2])
        left = ref_mirostat(ref_temp(x, temp), bound)
        assert np.array_equal(sampler.apply(x), left), (step, bound)
        token = sampler.sample(x)
        assert token == mx.random.categorical(mx.array(left)[None]).item()
        w = softmax(left)[1]
        surprises.append(-np.log2(w[token] / w.sum()))
        bound -= eta * (surprises[-1] - tau)
    assert abs(np.mean(surprises[100:]) - tau) < 0.5
    sampler.reset()
    assert np.array_equal(sampler.apply(x), ref_mirostat(ref_temp(x, temp), 2 * tau))


# ---- against mlx-lm ----

def logprobs(x):
    x = mx.array(x)[None]
    return x - mx.logsumexp(x, axis=-1, keepdims=True)


def mlx_arrays(seed):
    for x in arrays(seed, [2, 37, 503, 50257], times=4):
        if x.max() < 1e30:
            yield np.array(logprobs(x))[0]


@pytest.mark.parametrize("k", [1, 2, 36, 400])
def test_mlx_lm_top_k(ctx, k):
    """Which of equal logits stay is anyone's guess there, so the values are compared."""
    sampler = Sampler(ctx, 1.0, 0, top_k=k)
    n = 0
    for x in mlx_arrays(k):
        if k < x.size:
            want = np.array(sample_utils.apply_top_k(mx.array(x)[None], k))[0]
            assert np.array_equal(np.sort(sampler.apply(x)), np.sort(want))
            n += 1
    assert n > 50


@pytest.mark.parametrize("p", [1e-6, 0.05, 0.5, 0.9, 1.0])
def test_mlx_lm_min_p(ctx, p):
    sampler = Sampler(ctx, 1.0, 0, min_p=p)
    for x in mlx_arrays(int(p * 1000)):
        want = np.array(sample_utils.apply_min_p(mx.array(x)[None], p))[0]
        assert np.array_equal(sampler.apply(x), want)


@pytest.mark.parametrize("p", [1e-6, 0.05, 0.5, 0.9, 0.99])
def test_mlx_lm_top_p(ctx, p):
    """Its sums are float32: a token may be judged differently where the exact sum is as near to p as their n roundings
    can be off."""
    sampler = Sampler(ctx, 1.0, 0, top_p=p)
    same = other = 0
    for x in mlx_arrays(int(p * 1000)):
        got = sampler.apply(x)
        want = np.array(sample_utils.apply_top_p(mx.array(x)[None], p))[0]
        w = softmax(x)[1]
        for i in np.flatnonzero(got != want):
            others = w[x > x[i]].sum() / w.sum()
            assert abs(others - p) < 1e-6 + x.size * 2**-24, (x.size, others)
        same, other = same + np.array_equal(got, want), other + (not np.array_equal(got, want))
    assert other <= same / 4, (same, other)


@pytest.mark.parametrize("threshold", [0.0, 0.001, 0.05, 0.3, 0.5])
def test_mlx_lm_xtc(ctx, threshold):
    """Probabilities are float32 there, so two logits next to each other can have the same one."""
    sampler = Sampler(ctx, 1.0, 0, xtc_probability=1.0, xtc_threshold=threshold)
    n = 0
    for x in mlx_arrays(int(threshold * 1000)):
        want = np.array(sample_utils.apply_xtc(mx.array(x)[None], 1.0, threshold, []))[0]
        got = sampler.apply(x)
        if threshold == 0 and x[x > -np.inf].min() < x.max() - 80:
            continue  # whether e^-88 is above 0
        assert np.allclose(x[got != want], got.max(), rtol=1e-5, atol=1e-6), (x[got != want], got.max(), want.max())
        n += ((got == -np.inf) & (x > -np.inf)).any()
    assert (n > 10) == (threshold < 0.5)


@pytest.mark.parametrize("options", [dict(temp=0.7, top_p=0.9), dict(temp=1.0, top_p=0.95, min_p=0.02, top_k=40), dict(temp=1.3, min_p=0.1),
                                     dict(temp=0.9, xtc_probability=0.5, xtc_threshold=0.08, top_k=200),
                                     dict(temp=0.0, top_k=5)])
@pytest.mark.parametrize("vocab", [37, 1000, 50257])
def test_mlx_lm_sampler_draws_the_same_tokens(ctx, options, vocab):
    """make_sampler with the same seed; its order of filters is a fixed one, and they see what has not been divided by
    the temperature."""
    if "top_k" in options:
        options = options | dict(top_k=min(options["top_k"], vocab - 1))
    mlx = sample_utils.make_sampler(**options)
    mx.random.seed(33)
    sampler = Sampler(ctx, seed=33, order="top_p,min_p,xtc,top_k,temp", **options)
    rng = np.random.default_rng(vocab)
    for _ in range(40):
        x = logprobs(logits_like(rng, vocab, rng.choice(["usual", "peaked"])))
        assert sampler.sample(np.array(x)[0]) == mlx(x).item()


@pytest.mark.parametrize("options", [dict(repetition_penalty=1.3), dict(repetition_penalty=0.8, repetition_context_size=5),
                                     dict(presence_penalty=0.7), dict(frequency_penalty=0.5),
                                     dict(logit_bias={3: 1.5, 20: -4.0}, repetition_penalty=1.1, presence_penalty=0.3,
                                          frequency_penalty=0.2)])
def test_mlx_lm_processors(ctx, options):
    """Bit for bit where there is one rounding on the way."""
    last_n = options.get("repetition_context_size", 20)
    ours = dict(penalty_last_n=last_n, repeat_penalty=options.get("repetition_penalty", 1.0),
                presence_penalty=options.get("presence_penalty", 0.0), frequency_penalty=options.get("frequency_penalty", 0.0),
                bias=list(options.get("logit_bias", {}).items()))
    for _, history, x in histories(5, 40):
        sampler = Sampler(ctx, 1.0, 0, **ours)
        sampler.accept(history)
        want = mx.array(x)[None]
        for process in sample_utils.make_logits_processors(**options):
            want = process(mx.array(history, mx.int32), want)
        want, got = np.array(want)[0], sampler.apply(x)
        if len(options) == 1 and "frequency_penalty" not in options or "repetition_context_size" in options:
            assert np.array_equal(got, want)
        assert np.allclose(got, want, rtol=1e-6, atol=1e-5)
