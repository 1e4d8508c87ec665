# SPDX-License-Identifier: Apache-2.0
"""Deterministic text to torment tokenizers with: many scripts, code, whitespace, emoji, combining marks, adversarial
repetitions, and bytes that are no UTF-8. Nothing here depends on the machine or on Python's hash seed.

corpus(n)   sentences to train small models on
lines(n)    texts (bytes, any) to encode: a third natural, a third mixed, a third fuzzed
"""
import random
import unicodedata

SENTENCES = """The quick brown fox jumps over the lazy dog, and then it does so again and again.
It was the best of times, it was the worst of times; we had everything before us, we had nothing before us.
She sells sea-shells by the sea shore — the shells she sells are surely sea-shells!
In 2024, about 3.14159% of 1,000,000 people said "yes"; the others didn't answer (or couldn't).
def tokenize(text, *, lower=False):\\n    return [t for t in text.split() if t] if not lower else text.lower()
for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; } // O(n)
<html><body class="x">&nbsp;<a href='https://example.org/?q=1&r=2#top'>link</a></body></html>
{"name": "value", "list": [1, 2.5e-3, null, true], "nested": {"k": "v"}}
Les élèves français étaient très fâchés à Noël, où ça coûtait 12 € l’été dernier.
Über größere Flüße fährt der Schnellzug nach Österreich, weiß Jörg.
El niño pequeño comió piñas y ñandúes; ¿qué más quería? ¡Nada!
Příliš žluťoučký kůň úpěl ďábelské ódy. Zażółć gęślą jaźń.
Съешь же ещё этих мягких французских булок, да выпей чаю.
Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.
הילד אכל את התפוח האדום ליד הבית הגדול.
السلام عليكم ورحمة الله وبركاته، كيف حالك اليوم؟
नमस्ते दुनिया, यह एक परीक्षण वाक्य है और इसमें कई शब्द हैं।
ฉันกินข้าวที่ร้านอาหารใกล้บ้านทุกวัน
私は昨日、東京駅で友達に会いました。カタカナとひらがなと漢字。
中文分词测试：我们在北京大学学习自然语言处理，价格是１２３元。
안녕하세요, 저는 한국어를 공부하는 학생입니다.
Tôi đang học tiếng Việt ở Hà Nội, trời hôm nay đẹp lắm.
🙂 emoji 👩‍👩‍👧‍👦 family 🇫🇷🇯🇵 flags 👍🏽 skin, ✨ and ⚙️ too.
ﬁnance ﬂow ① ② ㍿ ﷺ ½ ℌ Ⅷ ＦＵＬＬ ｗｉｄｔｈ ﾊﾝｶｸ ｶﾞ
𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝐦𝐚𝐭𝐡 ∑∫√ ≤ ≥ ≠ → ⇔ ∀x∈ℝ
a\u0301 e\u0301 n\u0303 A\u030a o\u0308\u0304 q\u0323\u0307 \u1e9b\u0323 \u0e33 \uac01 \u1100\u1161\u11a8
tab\\there  two  spaces   three\u00a0nbsp\u2003em\u3000ideographic\u200bzero\ufeffbom\u00adsoft
<s> </s> <unk> <pad> <0x0A> <0xE2> [INST] hi [/INST] <|im_start|>user<|im_end|> ▁under▁score▁ ⁇""".split("\n")

RANGES = [(0x20, 0x7e)] * 6 + [(0xa0, 0x24f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x4ff), (0x590, 0x5ff),
          (0x600, 0x6ff), (0x900, 0x97f), (0xe00, 0xe7f), (0x1100, 0x11ff), (0x1e00, 0x1fff), (0x2000, 0x206f),
          (0x2070, 0x218f), (0x2190, 0x27bf), (0x3000, 0x30ff), (0x3300, 0x33ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3),
          (0xe000, 0xe0ff), (0xf900, 0xfaff), (0xfb00, 0xfdff), (0xfe00, 0xfeff), (0xff00, 0xffef), (0x1d400, 0x1d7ff),
          (0x1f300, 0x1faff), (0x20000, 0x200ff), (0x10ff00, 0x10ffff)]
SPACES = [" ", "  ", "    ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u2003", "\u2581", "\u2581\u2581", "\u3000", "\u200b", "\ufeff", "\x00",
          "\x1f", "\x7f", "\u0085", "\u2028", "\u2060"]
BAD = [b"\x80", b"\xbf\xbf", b"\xc0\xaf", b"\xc3", b"\xe2\x96", b"\xe2", b"\xed\xa0\x80", b"\xf0\x9f\x99", b"\xf4\x90\x80\x80",
       b"\xf8\x88\x80\x80\x80", b"\xff\xfe", b"\xfe", b"\xef\xbf\xbd", b"\xe2\x96\x81", b"\xf0\x80\x80\x80", b"\xc1\xbf"]


def _words():
    return [w for s in SENTENCES for w in s.split(" ") if w]


def corpus(n, seed=1):
    """n sentences: the seeds, then recombinations of their words (of one to three sentences each)."""
    rng = random.Random(seed)
    out = [s for s in SENTENCES]
    while len(out) < n:
        words = " ".join(rng.choice(SENTENCES) for _ in range(rng.randint(1, 3))).split(" ")
        rng.shuffle(words)
        out.append(" ".join(words[:rng.randint(3, 20)]))
    return out[:n]


def random_char(rng):
    low, high = rng.choice(RANGES)
    return chr(rng.randint(low, high))


def _mixed(rng, words):
    out = []
    for _ in range(rng.randint(1, 12)):
        kind = rng.random()
        if kind < 0.55:
            word = rng.choice(words)
            form = rng.random()
            if form < 0.1:
                word = word.upper()
            elif form < 0.15:
                word = unicodedata.normalize("NFD", word)
            elif form < 0.2:
                word = unicodedata.normalize("NFKC", word)
            elif form < 0.25:
                word = word[:rng.randint(1, len(word))]
            out.append(word)
        elif kind < 0.75:
            out.append(rng.choice(SPACES))
        elif kind < 0.85:
            out.append(str(rng.randint(0, 10 ** rng.randint(1, 12))))
        elif kind < 0.92:
            out.append(rng.choice(words)[:3] * rng.randint(2, 30))
        else:
            out.append("".join(random_char(rng) for _ in range(rng.randint(1, 6))))
        if rng.random() < 0.6:
            out.append(" ")
    return "".join(out).encode("utf-8", "surrogatepass")


def _fuzzed(rng, words):
    kind = rng.random()
    if kind < 0.3:
        return "".join(random_char(rng) for _ in range(rng.randint(0, 40))).encode("utf-8", "surrogatepass")
    if kind < 0.5:
        return bytes(rng.randrange(256) for _ in range(rng.randint(0, 40)))
    if kind < 0.6:
        return (rng.choice(SPACES + words) * rng.randint(1, 200)).encode("utf-8")
    text = bytearray(_mixed(rng, words))
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(text))
        change = rng.random()
        if change < 0.5:
            text[at:at] = rng.choice(BAD)
        elif change < 0.8 and at < len(text):
            text[at] = rng.randrange(256)
        else:
            del text[at:at + rng.randint(1, 3)]
    return bytes(text)


def lines(n, seed=2):
    """n texts as bytes; the first ones are the hand-written corner cases."""
    rng = random.Random(seed)
    words = _words()
    out = [b"", b" ", b"  ", b"\n", b"\x00", b"a", b" a", b"a ", b"  a  b  ", "\u2581".encode(), "\u2581a\u2581".encode(),
           b"\xff", b"\xe2\x96", b" \xff ", "\u3000\u3000x\u3000".encode(), "\ufdfa".encode(), "\ufeff".encode()]
    out += [s.encode() for s in SENTENCES]
    out += [bytes([b]) for b in range(256)]
    out += [b + t for b in BAD for t in (b"", b"a", b" ")]
    while len(out) < n:
        kind = len(out) % 3
        if kind == 0:
            out.append(" ".join(rng.choice(words) for _ in range(rng.randint(1, 25))).encode())
        elif kind == 1:
            out.append(_mixed(rng, words))
        else:
            out.append(_fuzzed(rng, words))
    return out[:n]


def random_ids(n, vocab_size, seed=3):
    """n lists of ids, any of the vocabulary, with runs of low ones (special and byte pieces live there)."""
    rng = random.Random(seed)
    out = [[]]
    while len(out) < n:
        low = rng.random() < 0.4
        out.append([rng.randrange(min(vocab_size, 300) if low and rng.random() < 0.8 else vocab_size)
                    for _ in range(rng.randint(1, 30))])
    return out
