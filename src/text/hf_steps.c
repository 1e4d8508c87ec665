/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.json's normalizer, pre_tokenizer, decoder and post_processor → the steps of a pipeline. What each
 * of them does is that of PyPI tokenizers (normalizers/, pre_tokenizers/, decoders/, processors/); several
 * are put together of simpler steps here. A sequence is flattened. trim_offsets and type_ids have nothing to
 * do with ids.
 */
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "text/hf_json.h"
#include "text/pretok.h"

#include <string.h>

#define SEQUENCE_DEPTH_MAX 8u
#define PART_MAX ((size_t)4 << 20) /* bytes of one part of the file: members are looked at more than once */

enum part { NORMALIZER, PRE_TOKENIZER, DECODER, POST_PROCESSOR };
static const char *const part_names[] = {"normalizer", "pre_tokenizer", "decoder", "post_processor"};
static const char *const list_names[] = {"normalizers", "pretokenizers", "decoders", "processors"};

struct reader {
    enum part part;
    cria_vocab *v;
    int32_t *prefix;
    bool joined; /* a decoder before has made all pieces one */
};

/* ---- steps ---- */

static struct cria_steps *steps_of(const struct reader *rd) {
    cria_pipeline *p = &rd->v->pipe;
    return rd->part == NORMALIZER ? &p->normalize : rd->part == PRE_TOKENIZER ? &p->split : &p->decode;
}

static struct cria_step *add(const struct reader *rd, struct cria_hf_object *o, enum cria_step_kind kind) {
    if (o->r.status != CRIA_OK) return NULL;
    cria_status st = CRIA_OK;
    struct cria_step *s = cria_steps_add(rd->v->ctx, steps_of(rd), kind, &st, o->r.err);
    if (st != CRIA_OK) o->r.status = cria_fail_in(o->r.err, st, o->r.name);
    return s;
}

static void set_text(const struct reader *rd, struct cria_hf_object *o, struct cria_step *s, const char *text,
                     size_t len) {
    if (s && o->r.status == CRIA_OK) o->r.status = cria_step_set_text(rd->v->ctx, s, text, len, o->r.err);
}

static void set_regex(const struct reader *rd, struct cria_hf_object *o, struct cria_step *s,
                      const char *pattern, size_t len, enum cria_regex_syntax syntax) {
    if (!s || o->r.status != CRIA_OK) return;
    const cria_status st = cria_regex_new(rd->v->ctx, pattern, len, syntax, &s->regex, o->r.err);
    if (st != CRIA_OK) o->r.status = cria_fail_in(o->r.err, st, o->r.name);
}

static void add_split(const struct reader *rd, struct cria_hf_object *o, const char *pattern,
                      enum cria_split_behaviour behaviour, bool invert) {
    struct cria_step *s = add(rd, o, CRIA_STEP_SPLIT);
    if (!s) return;
    s->behaviour = behaviour;
    s->invert = invert;
    set_regex(rd, o, s, pattern, strlen(pattern), CRIA_REGEX_OWN);
}

/* ---- members ---- */

/* "pattern": {"String": …} or {"Regex": …}. */
static void read_pattern(const struct reader *rd, struct cria_hf_object *o, struct cria_step *s) {
    cria_jsontext raw, text;
    if (!cria_hf_need(o, "pattern", cria_hf_raw(o, "pattern", &raw))) return;
    struct cria_hf_object p;
    bool there = cria_hf_object_begin(&p, &o->r, raw, "pattern");
    if (there && (there = cria_hf_string(&p, "String", &text)))
        set_regex(rd, &p, s, text.data, text.len, CRIA_REGEX_LITERAL);
    else if (p.r.status == CRIA_OK && (there = cria_hf_string(&p, "Regex", &text)))
        set_regex(rd, &p, s, text.data, text.len, CRIA_REGEX_RUBY);
    cria_hf_need(&p, "String", there);
    o->r.status = cria_hf_object_end(&p);
}

static bool read_behaviour(struct cria_hf_object *o, enum cria_split_behaviour *out) {
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};
    cria_jsontext text;
    if (!cria_hf_string(o, "behavior", &text)) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!cria_jsontext_is(text, names[i])) continue;
        *out = (enum cria_split_behaviour)i;
        return true;
    }
    return cria_jsonread_fail(&o->r, CRIA_EUNSUPPORTED, "the behavior \"%.*s\" is not known",
                              text.len < 64 ? (int)text.len : 64, text.data);
}

/* A string that must be one character. */
static bool read_char(struct cria_hf_object *o, const char *name, char out[4], size_t *len) {
    cria_jsontext text;
    uint32_t cp;
    if (!cria_hf_need(o, name, cria_hf_string(o, name, &text))) return false;
    if (text.len == 0 || cria_utf8_decode((const uint8_t *)text.data, text.len, &cp) != text.len)
        return cria_jsonread_fail(&o->r, CRIA_EFORMAT, "\"%s\" of the %s is not one character", name,
                                  o->what);
    memcpy(out, text.data, text.len);
    *len = text.len;
    return true;
}

/* ---- the same in two parts ---- */

static void read_replace(const struct reader *rd, struct cria_hf_object *o) {
    cria_jsontext text;
    struct cria_step *s = add(rd, o, CRIA_STEP_REPLACE);
    read_pattern(rd, o, s);
    if (cria_hf_need(o, "content", cria_hf_string(o, "content", &text)))
        set_text(rd, o, s, text.data, text.len);
}

enum scheme { ALWAYS, FIRST, NEVER };

static bool read_metaspace(struct cria_hf_object *o, char replacement[4], size_t *len, enum scheme *scheme,
                           bool *split) {
    static const char *const names[] = {"always", "first", "never"};
    cria_jsontext text;
    bool prefix = true;
    *scheme = ALWAYS;
    *split = true;
    if (!read_char(o, "replacement", replacement, len)) return false;
    if (cria_hf_string(o, "prepend_scheme", &text)) {
        size_t i = 0;
        while (i < 3 && !cria_jsontext_is(text, names[i])) i++;
        if (i == 3)
            return cria_jsonread_fail(&o->r, CRIA_EUNSUPPORTED, "the prepend_scheme \"%.*s\" is not known",
                                      text.len < 64 ? (int)text.len : 64, text.data);
        *scheme = (enum scheme)i;
        if (cria_hf_bool(o, "add_prefix_space", &prefix) && !prefix && *scheme != NEVER)
            return cria_jsonread_fail(&o->r, CRIA_EFORMAT,
                                      "add_prefix_space does not agree with prepend_scheme");
    } else if (cria_hf_bool(o, "add_prefix_space", &prefix) && !prefix) {
        /* The library takes the scheme to be "always" where none is given, and then refuses the two. */
        return cria_jsonread_fail(&o->r, CRIA_EFORMAT, "add_prefix_space does not agree with prepend_scheme");
    }
    cria_hf_bool(o, "split", split);
    cria_hf_string(o, "str_rep", &text);
    return o->r.status == CRIA_OK;
}

/* ---- normalizers ---- */

static bool normalizer(const struct reader *rd, struct cria_hf_object *o, const char *type) {
    static const struct {
        const char *name;
        enum cria_step_kind kind;
    } plain[] = {{"NFC", CRIA_STEP_NFC},
                 {"NFD", CRIA_STEP_NFD},
                 {"NFKC", CRIA_STEP_NFKC},
                 {"NFKD", CRIA_STEP_NFKD},
                 {"ByteLevel", CRIA_STEP_ALPHABET}};
    cria_jsontext text;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(type, plain[i].name) != 0) continue;
        add(rd, o, plain[i].kind);
        return true;
    }
    if (strcmp(type, "Prepend") == 0) {
        struct cria_step *s = add(rd, o, CRIA_STEP_PREPEND);
        if (cria_hf_need(o, "prepend", cria_hf_string(o, "prepend", &text)))
            set_text(rd, o, s, text.data, text.len);
    } else if (strcmp(type, "Replace") == 0) {
        read_replace(rd, o);
    } else if (strcmp(type, "Strip") == 0) {
        struct cria_step *s = add(rd, o, CRIA_STEP_TRIM);
        if (s) {
            cria_hf_need(o, "strip_left", cria_hf_bool(o, "strip_left", &s->left));
            cria_hf_need(o, "strip_right", cria_hf_bool(o, "strip_right", &s->right));
        }
    } else {
        return false;
    }
    return true;
}

/* ---- pre-tokenizers ---- */

static void read_byte_level(const struct reader *rd, struct cria_hf_object *o) {
    bool prefix = true, use_regex = true, trim;
    cria_hf_need(o, "add_prefix_space", cria_hf_bool(o, "add_prefix_space", &prefix));
    cria_hf_bool(o, "use_regex", &use_regex);
    cria_hf_bool(o, "trim_offsets", &trim);
    if (prefix) {
        struct cria_step *s = add(rd, o, CRIA_STEP_PREPEND);
        if (s) s->unless = true;
        set_text(rd, o, s, " ", 1);
    }
    if (use_regex) add_split(rd, o, CRIA_PRETOK_GPT2, CRIA_SPLIT_ISOLATED, false);
    add(rd, o, CRIA_STEP_ALPHABET);
}

static void split_metaspace(const struct reader *rd, struct cria_hf_object *o) {
    char text[4];
    size_t len;
    enum scheme scheme;
    bool split;
    if (!read_metaspace(o, text, &len, &scheme, &split)) return;
    struct cria_step *s = add(rd, o, CRIA_STEP_REPLACE);
    set_regex(rd, o, s, " ", 1, CRIA_REGEX_LITERAL);
    set_text(rd, o, s, text, len);
    if (scheme != NEVER) {
        s = add(rd, o, CRIA_STEP_PREPEND);
        if (s) {
            s->unless = true;
            s->first = scheme == FIRST;
        }
        set_text(rd, o, s, text, len);
    }
    if (!split || !(s = add(rd, o, CRIA_STEP_SPLIT))) return;
    s->behaviour = CRIA_SPLIT_MERGED_WITH_NEXT;
    set_regex(rd, o, s, text, len, CRIA_REGEX_LITERAL);
}

static bool pre_tokenizer(const struct reader *rd, struct cria_hf_object *o, const char *type) {
    if (strcmp(type, "ByteLevel") == 0) {
        read_byte_level(rd, o);
    } else if (strcmp(type, "Split") == 0) {
        struct cria_step *s = add(rd, o, CRIA_STEP_SPLIT);
        read_pattern(rd, o, s);
        if (s) {
            cria_hf_need(o, "behavior", read_behaviour(o, &s->behaviour));
            cria_hf_need(o, "invert", cria_hf_bool(o, "invert", &s->invert));
        }
    } else if (strcmp(type, "Digits") == 0) {
        bool individual = false;
        cria_hf_need(o, "individual_digits", cria_hf_bool(o, "individual_digits", &individual));
        add_split(rd, o, "\\p{rust_numeric}", individual ? CRIA_SPLIT_ISOLATED : CRIA_SPLIT_CONTIGUOUS,
                  false);
    } else if (strcmp(type, "Metaspace") == 0) {
        split_metaspace(rd, o);
    } else if (strcmp(type, "Whitespace") == 0) {
        add_split(rd, o, "\\p{rust_word}+|[^\\p{rust_word}\\s]+", CRIA_SPLIT_REMOVED, true);
    } else if (strcmp(type, "WhitespaceSplit") == 0) {
        add_split(rd, o, "\\s", CRIA_SPLIT_REMOVED, false);
    } else if (strcmp(type, "Punctuation") == 0) {
        enum cria_split_behaviour behaviour = CRIA_SPLIT_ISOLATED;
        read_behaviour(o, &behaviour);
        add_split(rd, o, "\\p{rust_punct}", behaviour, false);
    } else {
        return false;
    }
    return true;
}

/* ---- decoders ---- */

static void decode_strip(const struct reader *rd, struct cria_hf_object *o) {
    struct cria_step *s = add(rd, o, CRIA_STEP_STRIP);
    char text[4];
    size_t len;
    int64_t start = 0, stop = 0;
    if (!s || !read_char(o, "content", text, &len)) return;
    cria_hf_need(o, "start", cria_hf_int(o, "start", &start));
    cria_hf_need(o, "stop", cria_hf_int(o, "stop", &stop));
    if (start < 0 || start > UINT32_MAX || stop < 0 || stop > UINT32_MAX)
        cria_jsonread_fail(&o->r, CRIA_EFORMAT, "\"start\" or \"stop\" of the decoder Strip is out of range");
    s->start = (uint32_t)start;
    s->stop = (uint32_t)stop;
    set_text(rd, o, s, text, len);
}

static bool decoder(struct reader *rd, struct cria_hf_object *o, const char *type) {
    bool flag;
    if (strcmp(type, "ByteFallback") == 0) {
        if (rd->joined)
            cria_jsonread_fail(&o->r, CRIA_EUNSUPPORTED, "a decoder ByteFallback behind one that joins");
        add(rd, o, CRIA_STEP_BYTES);
    } else if (strcmp(type, "Fuse") == 0) {
        add(rd, o, CRIA_STEP_JOIN);
        rd->joined = true;
    } else if (strcmp(type, "ByteLevel") == 0) {
        cria_hf_bool(o, "add_prefix_space", &flag);
        cria_hf_bool(o, "trim_offsets", &flag);
        cria_hf_bool(o, "use_regex", &flag);
        add(rd, o, CRIA_STEP_BYTE_LEVEL);
        rd->joined = true;
    } else if (strcmp(type, "Replace") == 0) {
        read_replace(rd, o);
    } else if (strcmp(type, "Strip") == 0) {
        decode_strip(rd, o);
    } else if (strcmp(type, "Metaspace") == 0) {
        char text[4];
        size_t len;
        enum scheme scheme;
        if (!read_metaspace(o, text, &len, &scheme, &flag)) return true;
        struct cria_step *s = add(rd, o, CRIA_STEP_SPACES);
        if (s) s->drop = scheme != NEVER;
        set_text(rd, o, s, text, len);
    } else {
        return false;
    }
    return true;
}

/* ---- post-processors ---- */

static void set_prefix(struct reader *rd, struct cria_hf_object *o, int64_t id) {
    if (*rd->prefix >= 0 || id < 0 || id >= CRIA_VOCAB_MAX)
        cria_jsonread_fail(&o->r, CRIA_EUNSUPPORTED,
                           "the post_processor puts more than one token before a text");
    else
        *rd->prefix = (int32_t)id;
}

/* "special_tokens": {name: {"id": name, "ids": […], "tokens": […]}}: the only id of that name. */
static void prefix_named(struct reader *rd, struct cria_hf_object *o, cria_jsontext specials,
                         const char *name, size_t len) {
    cria_jsonread r, ids;
    cria_jsontext key, raw;
    bool found = false;
    cria_jsonread_sub(&r, &o->r, specials);
    for (cria_jsonread_object(&r); cria_jsonread_key(&r, &key);) {
        const bool it = key.len == len && memcmp(key.data, name, len) == 0;
        if (!cria_jsonread_raw(&r, &raw) || !it) continue;
        found = true;
        struct cria_hf_object token;
        cria_jsontext list, skip;
        bool there = cria_hf_object_begin(&token, &r, raw, "special token of the post_processor");
        cria_hf_raw(&token, "id", &skip);
        cria_hf_raw(&token, "tokens", &skip);
        there = there && cria_hf_need(&token, "ids", cria_hf_raw(&token, "ids", &list));
        r.status = cria_hf_object_end(&token);
        if (!there || r.status != CRIA_OK) continue;
        cria_jsonread_sub(&ids, &r, list);
        int64_t id;
        for (cria_jsonread_array(&ids); cria_jsonread_item(&ids);)
            if (cria_jsonread_int(&ids, &id)) {
                set_prefix(rd, o, id);
                if (o->r.status != CRIA_OK) ids.status = o->r.status;
            }
        r.status = cria_jsonread_end(&ids);
    }
    const cria_status st = cria_jsonread_end(&r);
    if (o->r.status == CRIA_OK) o->r.status = st;
    if (!found)
        cria_jsonread_fail(&o->r, CRIA_EFORMAT,
                           "the post_processor's template names a token that it does not have");
}

/* One piece of a template: a special token's name, or the text itself (*is_text). */
static bool template_piece(struct cria_hf_object *o, cria_jsontext raw, cria_buf *name, bool *is_text) {
    struct cria_hf_object piece, inner;
    cria_jsontext value, id = {NULL, 0}, skip;
    bool there = cria_hf_object_begin(&piece, &o->r, raw, "template of the post_processor");
    *is_text = there && cria_hf_raw(&piece, "Sequence", &value);
    there = *is_text || (there && cria_hf_raw(&piece, "SpecialToken", &value));
    cria_hf_need(&piece, "Sequence", there);
    if (there && piece.r.status == CRIA_OK) {
        there = cria_hf_object_begin(&inner, &piece.r, value, "template of the post_processor");
        cria_hf_raw(&inner, "type_id", &skip);
        there = there && cria_hf_need(&inner, "id", cria_hf_string(&inner, "id", &id));
        name->len = 0;
        if (there) inner.r.status = cria_buf_append(name, id.data, id.len, o->r.err);
        piece.r.status = cria_hf_object_end(&inner);
    }
    o->r.status = cria_hf_object_end(&piece);
    return o->r.status == CRIA_OK;
}

static void read_template(struct reader *rd, struct cria_hf_object *o) {
    cria_jsontext single, specials, skip;
    cria_hf_raw(o, "pair", &skip);
    if (!cria_hf_need(o, "single", cria_hf_raw(o, "single", &single)) ||
        !cria_hf_need(o, "special_tokens", cria_hf_raw(o, "special_tokens", &specials)))
        return;
    cria_jsonread r;
    cria_buf name;
    bool text = false;
    cria_jsonread_sub(&r, &o->r, single);
    cria_buf_init(&name, rd->v->ctx, PTRDIFF_MAX);
    for (cria_jsonread_array(&r); cria_jsonread_item(&r) && o->r.status == CRIA_OK;) {
        cria_jsontext raw;
        bool is_text;
        if (!cria_jsonread_raw(&r, &raw) || !template_piece(o, raw, &name, &is_text)) break;
        /* What comes behind the text ends it, which a prompt must not be. */
        if (!is_text && !text) prefix_named(rd, o, specials, (const char *)name.data, name.len);
        text = text || is_text;
    }
    cria_buf_fini(&name);
    if (o->r.status != CRIA_OK) r.status = o->r.status;
    o->r.status = cria_jsonread_end(&r);
}

/* "cls": [token, id] of the two older kinds. */
static void read_cls(struct reader *rd, struct cria_hf_object *o) {
    cria_jsontext raw, text;
    cria_hf_raw(o, "sep", &raw);
    if (!cria_hf_need(o, "cls", cria_hf_raw(o, "cls", &raw))) return;
    cria_jsonread r;
    int64_t id = -1;
    cria_jsonread_sub(&r, &o->r, raw);
    if (cria_jsonread_array(&r) && cria_jsonread_item(&r) && cria_jsonread_string(&r, &text) &&
        cria_jsonread_item(&r) && cria_jsonread_int(&r, &id) && cria_jsonread_item(&r))
        cria_jsonread_fail(&r, CRIA_EFORMAT, "\"cls\" of the post_processor is not a token and its id");
    o->r.status = cria_jsonread_end(&r);
    if (o->r.status == CRIA_OK) set_prefix(rd, o, id);
}

static bool post_processor(struct reader *rd, struct cria_hf_object *o, const char *type) {
    bool flag;
    if (strcmp(type, "TemplateProcessing") == 0) {
        read_template(rd, o);
        return true;
    }
    const bool byte_level = strcmp(type, "ByteLevel") == 0, roberta = strcmp(type, "RobertaProcessing") == 0;
    if (!byte_level && !roberta && strcmp(type, "BertProcessing") != 0) return false;
    if (byte_level) cria_hf_bool(o, "use_regex", &flag);
    if (!byte_level) read_cls(rd, o);
    if (byte_level || roberta) {
        cria_hf_bool(o, "add_prefix_space", &flag);
        cria_hf_bool(o, "trim_offsets", &flag);
    }
    return true;
}

/* ---- any ---- */

static cria_status read_part(struct reader *rd, const cria_jsonread *parent, cria_jsontext raw,
                             unsigned depth);

static void read_sequence(struct reader *rd, struct cria_hf_object *o, unsigned depth) {
    cria_jsontext list, raw;
    if (!cria_hf_need(o, list_names[rd->part], cria_hf_raw(o, list_names[rd->part], &list))) return;
    if (depth == SEQUENCE_DEPTH_MAX) {
        cria_jsonread_fail(&o->r, CRIA_EUNSUPPORTED, "sequences in sequences more than %u deep",
                           SEQUENCE_DEPTH_MAX);
        return;
    }
    cria_jsonread r;
    cria_jsonread_sub(&r, &o->r, list);
    for (cria_jsonread_array(&r); cria_jsonread_item(&r);)
        if (cria_jsonread_raw(&r, &raw)) {
            const cria_status st = read_part(rd, &r, raw, depth + 1);
            if (st != CRIA_OK) r.status = st;
        }
    o->r.status = cria_jsonread_end(&r);
}

static cria_status read_part(struct reader *rd, const cria_jsonread *parent, cria_jsontext raw,
                             unsigned depth) {
    struct cria_hf_object o;
    cria_jsontext text;
    char type[32] = "";
    if (cria_hf_object_begin(&o, parent, raw, part_names[rd->part]) &&
        cria_hf_need(&o, "type", cria_hf_string(&o, "type", &text))) {
        if (text.len < sizeof type) memcpy(type, text.data, text.len);
        bool known = true;
        if (strcmp(type, "Sequence") == 0)
            read_sequence(rd, &o, depth);
        else if (rd->part == NORMALIZER)
            known = normalizer(rd, &o, type);
        else if (rd->part == PRE_TOKENIZER)
            known = pre_tokenizer(rd, &o, type);
        else if (rd->part == DECODER)
            known = decoder(rd, &o, type);
        else
            known = post_processor(rd, &o, type);
        if (!known)
            cria_jsonread_fail(&o.r, CRIA_EUNSUPPORTED, "the %s \"%.*s\" is not supported",
                               part_names[rd->part], text.len < 64 ? (int)text.len : 64, text.data);
    }
    return cria_hf_object_end(&o);
}

static cria_status read_whole(struct reader *rd, const cria_jsonread *r, cria_jsontext raw) {
    if (!raw.data || cria_jsontext_is(raw, "null")) return CRIA_OK;
    if (raw.len > PART_MAX)
        return cria_fail(r->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: the %s has %zu bytes, and at most %zu are possible.", r->name,
                         part_names[rd->part], raw.len, PART_MAX);
    return read_part(rd, r, raw, 0);
}

cria_status cria_hf_normalizer(const cria_jsonread *r, cria_jsontext raw, cria_vocab *v) {
    struct reader rd = {.part = NORMALIZER, .v = v};
    return read_whole(&rd, r, raw);
}

cria_status cria_hf_pre_tokenizer(const cria_jsonread *r, cria_jsontext raw, cria_vocab *v) {
    struct reader rd = {.part = PRE_TOKENIZER, .v = v};
    struct cria_steps *split = &v->pipe.split;
    const cria_status st = read_whole(&rd, r, raw);
    /* The alphabet last: the model can take the bytes as they are. */
    if (st == CRIA_OK && v->model == CRIA_VOCAB_BPE && split->n > 0 &&
        split->step[split->n - 1].kind == CRIA_STEP_ALPHABET) {
        split->n--;
        v->pipe.bytes = true;
    }
    return st;
}

cria_status cria_hf_decoder(const cria_jsonread *r, cria_jsontext raw, cria_vocab *v) {
    struct reader rd = {.part = DECODER, .v = v};
    cria_status st = read_whole(&rd, r, raw);
    if (st == CRIA_OK && (!raw.data || cria_jsontext_is(raw, "null")))
        cria_steps_add(v->ctx, &v->pipe.decode, CRIA_STEP_SPACED, &st, r->err);
    return st;
}

cria_status cria_hf_post_processor(const cria_jsonread *r, cria_jsontext raw, int32_t *prefix) {
    cria_vocab none; /* has no steps */
    cria_vocab_init(&none, r->scratch.ctx);
    struct reader rd = {.part = POST_PROCESSOR, .v = &none, .prefix = prefix};
    *prefix = -1;
    return read_whole(&rd, r, raw);
}
