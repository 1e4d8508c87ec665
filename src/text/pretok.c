/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pre-tokenizers of pretok.h. A GGUF keeps of a tokenizer.json's pre-tokenizer a name only (llama.cpp's converter
 * gives it, by a hash of what the tokenizer does); here is what the tokenizer.json said, each expression on its own
 * line, run one after the other on the parts that the one before left.
 *
 * Some of these also compose the text first (Qwen2: NFC), which a GGUF does not say and llama.cpp does not do; nor
 * is it done here, so only composed text (nearly all there is) gives the same ids. The same expression under another
 * name is not accepted unless the tokenizer.json is known to agree in everything else too (normalizer,
 * ignore_merges).
 *
 * Source: the tokenizer.json of gpt2, SmolLM2, Llama 3 and 4, Qwen2, Mistral NeMo (tekken), OLMo 2 (dbrx) and DeepSeek;
 * "default", which no tokenizer.json is behind, is llama.cpp's own.
 */
#include "text/pretok.h"

#include "base/status.h"

#include <string.h>

#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define SPACES "\\s+(?!\\S)|\\s+"
#define LINES "\\s*[\\r\\n]+|" SPACES

#define GPT2 CRIA_PRETOK_GPT2
#define DIGIT "\\p{rust_numeric}" /* the pre-tokenizer Digits */
#define LLAMA3(digits)                                                                                            \
    "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" LINES
#define QWEN35                                                                                                     \
    "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define GPT4O(contractions, digits)                                                                              \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" contractions                                                      \
    "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" contractions                                                     \
    "|\\p{N}" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LINES
#define DEEPSEEK3                                                                                                 \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"          \
    " ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES
/* DeepSeek's letters, as ranges */
#define DEEPSEEK_WORD                                                                                             \
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ" \
    "ἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛ" \
    "Ꜣ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"

static const struct known {
    const char *name;
    const char *split[6];
    bool whole_words, adds_bos;
} known[] = {
    {"gpt-2", {GPT2}, false, false},
    {"phi-2", {GPT2}, false, false},
    {"olmo", {GPT2}, false, false},
    {"smollm", {DIGIT, GPT2}, false, false},
    {"starcoder", {DIGIT, GPT2}, false, false},
    {"refact", {DIGIT, GPT2}, false, false},
    {"llama-bpe", {LLAMA3("{1,3}")}, true, true},
    {"llama3", {LLAMA3("{1,3}")}, true, true},
    {"llama-v3", {LLAMA3("{1,3}")}, true, true},
    {"dbrx", {LLAMA3("{1,3}")}, false, false},
    {"smaug-bpe", {LLAMA3("{1,3}")}, false, false},
    {"qwen2", {LLAMA3("")}, false, false},
    {"deepseek-r1-qwen", {LLAMA3("")}, false, false},
    {"megrez", {LLAMA3("")}, false, false},
    {"qwen35", {QWEN35}, false, false},
    {"tekken", {GPT4O("", "")}, true, true},
    {"gpt-4o", {GPT4O("(?i:" CONTRACTIONS ")?", "{1,3}")}, false, false},
    {"llama4", {GPT4O("(?i:" CONTRACTIONS ")?", "{1,3}")}, false, false},
    {"deepseek-llm",
     {"[\r\n]", DEEPSEEK_WORD, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", "[一-龥ࠀ-一가-퟿]+",
      "\\p{N}+"},
     false,
     false},
    {"deepseek-coder",
     {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", DIGIT},
     false,
     false},
    {"deepseek-v3", {"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3}, false, false},
    {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, false, false},
};

static const struct known *find(const char *name, size_t len) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == len && memcmp(known[i].name, name, len) == 0) return &known[i];
    return NULL;
}

cria_status cria_pretok_build(const char *name, size_t len, cria_pipeline *p,
                              struct cria_pretok_traits *traits, cria_error *err) {
    const struct known *k = find(name, len);
    if (!k)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "The pre-tokenizer \"%.*s\" is not one of those that are known.",
                         len < 64 ? (int)len : 64, name);
    cria_status st = CRIA_OK;
    for (size_t i = 0; i < sizeof k->split / sizeof *k->split && k->split[i] && st == CRIA_OK; i++)
        st = cria_pipeline_add_split(p, k->split[i], strlen(k->split[i]), CRIA_REGEX_OWN, CRIA_SPLIT_ISOLATED,
                                     false, err);
    if (st == CRIA_OK) cria_steps_add(p->ctx, &p->decode, CRIA_STEP_BYTE_LEVEL, &st, err);
    p->bytes = true;
    *traits = (struct cria_pretok_traits){k->whole_words, k->adds_bos};
    return st;
}

const char *cria_pretok_name(size_t i) { return i < sizeof known / sizeof *known ? known[i].name : NULL; }
