# SPDX-License-Identifier: Apache-2.0
"""Small tokenizers in the pipelines of the families: each as the tokenizer.json of its models (or the converter in
transformers that makes it) has it, trained here on the generator's corpus."""
import json

import textgen
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
END = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"(?i:{CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}%s| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|" + END
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def o200k(contractions, digits):
    word = r"[^\r\n\p{L}\p{N}]?"
    return (rf"{word}{UPPER}*{LOWER}+{contractions}|{word}{UPPER}+{LOWER}*{contractions}|\p{{N}}{digits}|"
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*|" + END)


TEKKEN = o200k("", "")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|"
          r"\s+(?!\S)|\s+")
DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
             r" ?[\p{P}\p{S}]+[\r\n]*|" + END)
BYTES = ["<0x%02X>" % b for b in range(256)]


def split(*patterns, byte_level=True):
    steps = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    if byte_level:
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False))
    return pre_tokenizers.Sequence(steps)


def train(library, size, special=(), alphabet=False, **options):
    options["initial_alphabet"] = sorted(pre_tokenizers.ByteLevel.alphabet()) if alphabet else []
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=list(special), **options)
    library.train_from_iterator(textgen.corpus(2500), trainer)
    return library


def byte_level(pre_tokenizer, size, specials, normalizer=None, bos=None, prefix_space=False, **model):
    library = Tokenizer(models.BPE(**model))
    library.pre_tokenizer = pre_tokenizer
    if normalizer:
        library.normalizer = normalizer
    library.decoder = decoders.ByteLevel(add_prefix_space=prefix_space)
    train(library, size, alphabet=True)
    library.add_special_tokens(specials)
    processor = processors.ByteLevel(trim_offsets=False)
    if bos:
        template = processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B",
                                                 special_tokens=[(bos, library.token_to_id(bos))])
        processor = processors.Sequence([processor, template])
    library.post_processor = processor
    return library


def changed(library, **parts):
    """The same with other parts: lists and objects as in the file."""
    state = json.loads(library.to_str())
    state.update(parts)
    return Tokenizer.from_str(json.dumps(state))


def spm_like(size=3500, limit=400):
    """SentencePiece BPE as transformers converts it: all merges by rank, bytes, no words."""
    library = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")  # while training
    train(library, size, special=["<unk>", "<s>", "</s>"] + BYTES, limit_alphabet=limit)
    state = json.loads(library.to_str())
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    return changed(
        library, pre_tokenizer=None, added_tokens=[t for t in state["added_tokens"] if t["id"] < 3],
        decoder={"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        post_processor={"type": "TemplateProcessing", "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
                        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}})


def gpt2():
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), 3000, ["<|endoftext|>"])


def roberta_like():
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), 3000, ["<s>", "</s>"], prefix_space=True)


def llama3():
    return byte_level(split(LLAMA3 % "{1,3}"), 6000, ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
                      bos="<|begin_of_text|>", ignore_merges=True)


def smollm():
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    return byte_level(pre_tokenizers.Sequence(steps), 3000, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def qwen2():
    library = byte_level(split(LLAMA3 % ""), 4000, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                         normalizer=normalizers.NFC())
    library.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False)])
    return library


def tekken():
    return byte_level(split(TEKKEN), 5000, ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], bos="<s>", ignore_merges=True)


def olmo2():
    library = byte_level(split(CL100K), 4000, ["<|endoftext|>", "<|pad|>"])
    library.add_tokens([AddedToken("|||IP_ADDRESS|||", normalized=True)])
    return library


def deepseek():
    return byte_level(split(r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3), 4000, ["<｜begin▁of▁sentence｜>"])


def llama2():
    return spm_like()


def llama2_not_legacy():
    meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    return changed(spm_like(), normalizer=None, pre_tokenizer=meta)


def phi3():
    library = spm_like()
    library.add_special_tokens([AddedToken(t, rstrip=True, normalized=False) for t in
                                ("<|endoftext|>", "<|assistant|>", "<|user|>", "<|end|>")])
    library.add_tokens([AddedToken("foo bar", single_word=True), AddedToken("lst", lstrip=True), AddedToken("x", single_word=True)])
    return library


def gemma():
    library = changed(spm_like(), normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                      pre_tokenizer={"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
                      decoder={"type": "Sequence", "decoders": [
                          {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                          {"type": "Fuse"}]})
    library.add_tokens([AddedToken(t, normalized=False) for t in ("\n\n", "\n\n\n", "▁▁", "▁▁▁▁", "<table>", "</h1>")])
    library.add_special_tokens(["<start_of_turn>", "<end_of_turn>"])
    return library


def unigram(normalizer, byte_fallback=False):
    library = Tokenizer(models.Unigram())
    library.normalizer, library.pre_tokenizer, library.decoder = normalizer, pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"] + (BYTES if byte_fallback else [])
    trainer = trainers.UnigramTrainer(vocab_size=2000, special_tokens=special, unk_token="<unk>", show_progress=False)
    library.train_from_iterator(textgen.corpus(2500), trainer)
    if not byte_fallback:
        return library
    state = json.loads(library.to_str())
    state["model"]["byte_fallback"] = True
    state["added_tokens"] = state["added_tokens"][:3]
    state["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]}
    return Tokenizer.from_str(json.dumps(state))


def unigram_nfkc():
    return unigram(normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]))


def unigram_bytes():
    return unigram(normalizers.Sequence([normalizers.NFD(), normalizers.Strip()]), byte_fallback=True)


def odd():
    """Steps that no family has, so that they are right all the same."""
    words = [pre_tokenizers.Split(Regex(r"[aeiou]\p{L}?"), "contiguous"), pre_tokenizers.Split("th", "merged_with_previous"),
             pre_tokenizers.Punctuation("merged_with_next"), pre_tokenizers.Digits(), pre_tokenizers.Whitespace(),
             pre_tokenizers.Split(Regex(r"\p{Lu}+"), "removed", invert=False)]
    library = Tokenizer(models.BPE(unk_token="?", fuse_unk=False))
    library.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Replace(Regex(r"(?i)[ls]e"), "ß"),
                                               normalizers.Strip(left=True, right=False)])
    library.pre_tokenizer = pre_tokenizers.Sequence(words)
    train(library, 1500, special=["?", "[X]"], limit_alphabet=60)
    library.add_tokens([AddedToken("ab", lstrip=True, rstrip=True), AddedToken("ﬁ", normalized=True),
                        AddedToken(" ", rstrip=True, normalized=False)])
    return changed(library, decoder={"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"Regex": "[aeiou]+"}, "content": "<>"}, {"type": "Fuse"},
        {"type": "Replace", "pattern": {"String": "<><>"}, "content": "*"}]})


def no_decoder():
    return changed(gpt2(), decoder=None, model=dict(json.loads(gpt2().to_str())["model"], unk_token=""))


FAMILIES = [gpt2, roberta_like, llama3, smollm, qwen2, tekken, olmo2, deepseek, llama2, llama2_not_legacy, phi3, gemma,
            unigram_nfkc, unigram_bytes, odd, no_decoder]
