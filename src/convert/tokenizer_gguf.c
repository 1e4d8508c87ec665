/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GGUF's tokenizer metadata as the files that it was made from. A SentencePiece one ("llama") becomes a
 * tokenizer.model again (sentencepiece_model.proto), a byte-level BPE ("gpt2") a tokenizer.json, whose
 * pre-tokenizer GGUF names only: what the names stand for is in llama.cpp's convert_hf_to_gguf_update.py.
 * That the metadata makes a tokenizer at all is checked by making one (vocab_gguf.c).
 */
#include "convert/tokenizer_gguf.h"

#include "base/mem.h"
#include "base/status.h"
#include "convert/write.h"
#include "text/vocab.h"

#include <inttypes.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

/* Appends; keeps the first error. */
struct out {
    cria_buf b;
    cria_status st;
    cria_error *err;
};

static void put(struct out *o, const void *data, size_t len) {
    if (!o->st) o->st = cria_buf_append(&o->b, data, len, o->err);
}
static void put_text(struct out *o, const char *text) { put(o, text, strlen(text)); }
static void put_string(struct out *o, const char *text, size_t len) {
    if (!o->st) o->st = cria_write_json_string(&o->b, text, len, o->err);
}
static void put_int(struct out *o, int64_t n) {
    if (!o->st) o->st = cria_convert_print(&o->b, o->err, "%" PRId64, n);
}

static bool is(cria_str s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* ---- tokenizer.model ---- */

static void put_varint(struct out *o, uint64_t n) {
    uint8_t bytes[10];
    size_t len = 0;
    do {
        bytes[len++] = (uint8_t)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        n >>= 7;
    } while (n);
    put(o, bytes, len);
}
static void put_field(struct out *o, uint32_t number, const void *data, size_t len) {
    put_varint(o, number << 3 | 2);
    put_varint(o, len);
    put(o, data, len);
}
static void put_number(struct out *o, uint32_t number, int64_t n) {
    put_varint(o, number << 3);
    put_varint(o, (uint64_t)n); /* negative ones in ten bytes, as protobuf has it */
}

static void put_piece(struct out *o, const cria_vocab *v, uint32_t i) {
    size_t len;
    const char *piece = cria_vocab_piece(v, i, &len);
    struct out p = {.err = o->err};
    cria_buf_init(&p.b, o->b.ctx, CRIA_PIECE_MAX + 32);
    put_field(&p, 1, piece, len);
    put_varint(&p, 2 << 3 | 5);
    put(&p, &v->score[i], 4); /* little-endian, as everything here runs */
    put_number(&p, 3, v->type[i]);
    if (!o->st) o->st = p.st;
    put_field(o, 1, p.b.data, p.b.len);
    cria_buf_fini(&p.b);
}

static void put_spm(struct out *o, const cria_vocab *v) {
    struct out spec = {.err = o->err};
    for (uint32_t i = 0; i < v->n && !o->st; i++) put_piece(o, v, i);
    cria_buf_init(&spec.b, o->b.ctx, CRIA_CONVERT_TEXT_MAX);
    put_number(&spec, 3, v->model == CRIA_VOCAB_SPM_UNIGRAM ? 1 : 2); /* trainer_spec: model_type … */
    put_number(&spec, 4, v->n);
    put_number(&spec, 35, v->byte_fallback);
    put_number(&spec, 40, v->unk);
    put_number(&spec, 41, v->bos);
    put_number(&spec, 42, v->eos);
    put_number(&spec, 43, v->pad);
    put_field(o, 2, spec.b.data, spec.b.len);
    spec.b.len = 0;
    const struct cria_vocab_normalizer *n = &v->normalizer;
    put_field(&spec, 1, "identity", 8); /* normalizer_spec */
    if (n->charsmap != NULL) put_field(&spec, 2, n->charsmap, n->charsmap_len);
    put_number(&spec, 3, n->add_dummy_prefix);
    put_number(&spec, 4, n->remove_extra_whitespaces);
    put_number(&spec, 5, n->escape_whitespaces);
    put_field(o, 3, spec.b.data, spec.b.len);
    if (!o->st) o->st = spec.st;
    cria_buf_fini(&spec.b);
}

/* ---- tokenizer.json ---- */

#define BYTE_LEVEL(use_regex)                                                                                \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "                        \
    "\"use_regex\": " use_regex "}"
#define SEQUENCE(first, second) "{\"type\": \"Sequence\", \"pretokenizers\": [" first ", " second "]}"
#define SPLIT(regex)                                                                                         \
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" regex                                                \
    "\"}, \"behavior\": \"Isolated\", \"invert\": false}"
#define DIGITS "{\"type\": \"Digits\", \"individual_digits\": true}"
/* As JSON text in C text. */
#define WORDS(numbers)                                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" numbers                          \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*"                                                              \
    "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

static const struct pre {
    const char *name, *json;
    bool nfc, ignore_merges;
} pres[] = {
    {"gpt-2", BYTE_LEVEL("true"), false, false},
    {"smollm", SEQUENCE(DIGITS, BYTE_LEVEL("true")), false, false},
    {"llama-bpe", SEQUENCE(SPLIT(WORDS("\\\\p{N}{1,3}")), BYTE_LEVEL("false")), false, true},
    {"llama3", SEQUENCE(SPLIT(WORDS("\\\\p{N}{1,3}")), BYTE_LEVEL("false")), false, true},
    {"llama-v3", SEQUENCE(SPLIT(WORDS("\\\\p{N}{1,3}")), BYTE_LEVEL("false")), false, true},
    {"qwen2", SEQUENCE(SPLIT(WORDS("\\\\p{N}")), BYTE_LEVEL("false")), true, false},
};

static const struct pre *find_pre(const cria_container *c) {
    cria_str s;
    if (!cria_meta_str(c, KEY("pre"), &s)) return NULL;
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++)
        if (is(s, pres[i].name)) return &pres[i];
    return NULL;
}

static bool is_added(const cria_vocab *v, uint32_t i) {
    return v->type[i] == CRIA_PIECE_CONTROL || v->type[i] == CRIA_PIECE_USER_DEFINED ||
           v->type[i] == CRIA_PIECE_UNKNOWN;
}

static void put_added(struct out *o, const cria_vocab *v, uint32_t i) {
    size_t len;
    const char *piece = cria_vocab_piece(v, i, &len);
    put_text(o, "\n    {\"id\": ");
    put_int(o, i);
    put_text(o, ", \"content\": ");
    put_string(o, piece, len);
    put_text(o, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                "\"special\": ");
    put_text(o, v->type[i] == CRIA_PIECE_USER_DEFINED ? "false}" : "true}");
}

/* The prompt begins with bos where the file says so. */
static void put_post_processor(struct out *o, const cria_vocab *v) {
    if (!v->add_bos || v->bos < 0) {
        put_text(o, "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": false, "
                    "\"use_regex\": true}");
        return;
    }
    size_t len;
    const char *bos = cria_vocab_piece(v, (uint32_t)v->bos, &len);
    static const char *const parts[] = {
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": ",
        ", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": "
        "[{\"SpecialToken\": {\"id\": ",
        ", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
        "{\"SpecialToken\": {\"id\": ",
        ", \"type_id\": 1}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], "
        "\"special_tokens\": {",
        ": {\"id\": ",
        ", \"ids\": [",
        "], \"tokens\": ["};
    for (size_t i = 0; i < 6; i++) {
        put_text(o, parts[i]);
        if (i == 5)
            put_int(o, v->bos);
        else
            put_string(o, bos, len);
    }
    put_text(o, parts[6]);
    put_string(o, bos, len);
    put_text(o, "]}}}");
}

static void put_bpe(struct out *o, const cria_container *c, const cria_vocab *v, const struct pre *pre) {
    bool first = true;
    put_text(
        o,
        "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [");
    for (uint32_t i = 0; i < v->n && !o->st; i++) {
        if (!is_added(v, i)) continue;
        put_text(o, first ? "" : ",");
        put_added(o, v, i);
        first = false;
    }
    put_text(o, "\n  ],\n  \"normalizer\": ");
    put_text(o, pre->nfc ? "{\"type\": \"NFC\"}" : "null");
    put_text(o, ",\n  \"pre_tokenizer\": ");
    put_text(o, pre->json);
    put_text(o, ",\n  \"post_processor\": ");
    put_post_processor(o, v);
    put_text(
        o, ",\n  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
           "\"use_regex\": true},\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    "
           "\"unk_token\": null,\n"
           "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": "
           "false,\n"
           "    \"byte_fallback\": false,\n    \"ignore_merges\": ");
    put_text(o, pre->ignore_merges ? "true" : "false");
    put_text(o, ",\n    \"vocab\": {");
    for (uint32_t i = 0; i < v->n && !o->st; i++) {
        size_t len;
        const char *piece = cria_vocab_piece(v, i, &len);
        put_text(o, i ? ",\n      " : "\n      ");
        put_string(o, piece, len);
        put_text(o, ": ");
        put_int(o, i);
    }
    put_text(o, "\n    },\n    \"merges\": [");
    const cria_meta *merges = cria_meta_find(c, KEY("merges"));
    cria_str s;
    first = true;
    if (merges != NULL && merges->type == CRIA_META_ARRAY)
        for (cria_meta_iter it = cria_meta_begin(merges); !o->st && cria_meta_next_str(&it, &s);
             first = false) {
            put_text(o, first ? "\n      " : ",\n      ");
            put_string(o, s.data, s.len);
        }
    put_text(o, "\n    ]\n  }\n}\n");
}

/* ---- what goes with it ---- */

static void put_token_member(struct out *o, const cria_vocab *v, const char *key, int32_t id) {
    size_t len;
    if (id < 0) return;
    const char *piece = cria_vocab_piece(v, (uint32_t)id, &len);
    put_text(o, ",\n  \"");
    put_text(o, key);
    put_text(o, "\": ");
    put_string(o, piece, len);
}

#define TEMPLATE "tokenizer.chat_template"

static bool template_name(const cria_meta *m, cria_str *name) {
    const size_t n = strlen(TEMPLATE);
    if (m->type != CRIA_META_STRING || m->key.len < n || memcmp(m->key.data, TEMPLATE, n) != 0) return false;
    if (m->key.len == n)
        *name = (cria_str){"default", strlen("default")};
    else if (m->key.data[n] == '.')
        *name = (cria_str){m->key.data + n + 1, m->key.len - n - 1};
    else
        return false;
    return true;
}

static bool has_named_templates(const cria_container *c) {
    cria_str name;
    for (size_t i = 0; i < cria_meta_count(c); i++)
        if (template_name(cria_meta_at(c, i), &name) && cria_meta_at(c, i)->key.len > strlen(TEMPLATE)) return true;
    return false;
}

/* Several, with their names, as a list. */
static void put_templates(struct out *o, const cria_container *c) {
    bool first = true;
    put_text(o, ",\n  \"chat_template\": [");
    for (size_t i = 0; i < cria_meta_count(c); i++) {
        const cria_meta *m = cria_meta_at(c, i);
        cria_str name;
        if (!template_name(m, &name)) continue;
        put_text(o, first ? "{\"name\": " : ", {\"name\": ");
        first = false;
        put_string(o, name.data, name.len);
        put_text(o, ", \"template\": ");
        put_string(o, m->v.s.data, m->v.s.len);
        put_text(o, "}");
    }
    put_text(o, "]");
}

static void put_tokenizer_config(struct out *o, const cria_container *c, const cria_vocab *v) {
    const bool bpe = v->model == CRIA_VOCAB_BPE;
    cria_str chat;
    put_text(o, "{\n  \"tokenizer_class\": ");
    put_text(o, bpe ? "\"PreTrainedTokenizerFast\"" : "\"LlamaTokenizer\"");
    put_text(o, ",\n  \"add_bos_token\": ");
    put_text(o, v->add_bos && v->bos >= 0 ? "true" : "false");
    put_text(o, ",\n  \"add_eos_token\": false,\n  \"clean_up_tokenization_spaces\": false");
    put_token_member(o, v, "bos_token", v->bos);
    put_token_member(o, v, "eos_token", v->eos);
    put_token_member(o, v, "unk_token", v->unk);
    put_token_member(o, v, "pad_token", v->pad);
    if (has_named_templates(c)) {
        put_templates(o, c);
    } else if (cria_meta_str(c, "tokenizer.chat_template", &chat)) {
        put_text(o, ",\n  \"chat_template\": ");
        put_string(o, chat.data, chat.len);
    }
    put_text(o, "\n}\n");
}

/* All that end a generation. */
static void put_generation_config(struct out *o, const cria_vocab *v) {
    const int32_t ends[] = {v->eos, v->eot, v->eom};
    bool first = true;
    put_text(o, "{\n    \"_from_model_config\": true");
    if (v->bos >= 0) {
        put_text(o, ",\n    \"bos_token_id\": ");
        put_int(o, v->bos);
    }
    for (size_t i = 0; i < 3; i++) {
        bool seen = ends[i] < 0;
        for (size_t j = 0; j < i; j++) seen |= ends[j] == ends[i];
        if (seen) continue;
        put_text(o, first ? ",\n    \"eos_token_id\": [" : ", ");
        put_int(o, ends[i]);
        first = false;
    }
    put_text(o, first ? "\n}\n" : "]\n}\n");
}

/* Writes what is in o and empties it. */
static void write_out(struct out *o, cria_ctx *ctx, const char *folder, const char *name) {
    if (!o->st) o->st = cria_convert_write_file(ctx, folder, name, o->b.data, o->b.len, o->err);
    o->b.len = 0;
}

static cria_status write_files(const struct cria_convert_source *s, const cria_vocab *v, const char *folder,
                               cria_error *err) {
    const bool bpe = v->model == CRIA_VOCAB_BPE;
    const struct pre *pre = find_pre(s->container);
    cria_str name = {"", 0};
    (void)cria_meta_str(s->container, KEY("pre"), &name);
    if (bpe && pre == NULL)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: the rules of the pre-tokenizer \"%.*s\" are not known, so there can be no "
                         "tokenizer.json; name "
                         "the model's own with --tokenizer.",
                         s->path, (int)(name.len < 40 ? name.len : 40), name.data);
    if (bpe && s->names == CRIA_NAMING_META)
        return cria_fail(
            err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s: has a byte-level BPE tokenizer, but the example's npz needs a tokenizer.model; leave out "
            "--npz.",
            s->path);
    struct out o = {.err = err};
    cria_buf_init(&o.b, s->ctx, CRIA_CONVERT_TEXT_MAX);
    if (bpe)
        put_bpe(&o, s->container, v, pre);
    else
        put_spm(&o, v);
    write_out(&o, s->ctx, folder, bpe ? "tokenizer.json" : "tokenizer.model");
    if (s->names == CRIA_NAMING_HF) {
        put_tokenizer_config(&o, s->container, v);
        write_out(&o, s->ctx, folder, "tokenizer_config.json");
        put_generation_config(&o, v);
        write_out(&o, s->ctx, folder, "generation_config.json");
    }
    cria_buf_fini(&o.b);
    return o.st;
}

cria_status cria_convert_tokenizer_from_gguf(const struct cria_convert_source *s, const char *folder,
                                             cria_error *err) {
    cria_vocab v;
    cria_vocab_init(&v, s->ctx);
    cria_status st = cria_vocab_load_gguf(s->ctx, s->container, &v, err);
    if (st) return st;
    st = write_files(s, &v, folder, err);
    cria_vocab_fini(&v);
    return st;
}
