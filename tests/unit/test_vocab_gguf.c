/* SPDX-License-Identifier: Apache-2.0 */
/* Vocabularies out of GGUF metadata: what is read, what is assumed, and what is refused. */
#include "format_unit.h"
#include "format/gguf.h"
#include "text/tokenizer.h"

/* A file as a list of values, so that a test can leave one out or put another in its place. */
struct value {
    const char *key; /* behind "tokenizer.ggml.", or "general.…"; NULL ends the list */
    uint32_t type;   /* of the value, or of its items */
    int n;           /* items of an array; −1: a single value */
    const char *const *strings;
    const double *numbers;
};

static void put_scalar(struct out *o, const struct value *v, int i) {
    const double x = v->numbers ? v->numbers[i] : 0;
    float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    switch (v->type) {
    case CRIA_GGUF_STRING: gguf_string(o, v->strings[i]); break;
    case CRIA_GGUF_BOOL:
    case CRIA_GGUF_U8:
    case CRIA_GGUF_I8: put_uint(o, (uint64_t)(int64_t)x, 1); break;
    case CRIA_GGUF_F32: put_uint(o, bits, 4); break;
    case CRIA_GGUF_U64: put_uint(o, (uint64_t)x, 8); break;
    default: put_uint(o, (uint64_t)(int64_t)x, 4); break;
    }
}

static void put_value(struct out *o, const struct value *v) {
    char key[64];
    snprintf(key, sizeof key, strncmp(v->key, "general.", 8) == 0 ? "%s" : "tokenizer.ggml.%s", v->key);
    gguf_key(o, key, v->n < 0 ? v->type : CRIA_GGUF_ARRAY);
    if (v->n >= 0) {
        put_uint(o, v->type, 4);
        put_uint(o, (uint64_t)v->n, 8);
    }
    for (int i = 0; i < (v->n < 0 ? 1 : v->n); i++) put_scalar(o, v, i);
}

/* The values of list, with those of changes (same key: instead; type UINT32_MAX: left out; new key: besides). */
static void put_file(struct out *o, const struct value *list, const struct value *changes) {
    const struct value *all[32];
    size_t n = 0;
    for (const struct value *v = list; v->key; v++) {
        const struct value *use = v;
        for (const struct value *c = changes; c && c->key; c++)
            if (strcmp(c->key, v->key) == 0) use = c;
        all[n++] = use;
    }
    for (const struct value *c = changes; c && c->key; c++) {
        bool known = false;
        for (const struct value *v = list; v->key; v++) known |= strcmp(c->key, v->key) == 0;
        if (!known) all[n++] = c;
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (all[i]->type != UINT32_MAX) all[kept++] = all[i];
    memset(o, 0, sizeof *o);
    gguf_begin(o, 3, 0, kept);
    for (size_t i = 0; i < kept; i++) put_value(o, all[i]);
}

#define STRING(key, text) {key, CRIA_GGUF_STRING, -1, (const char *const[]){text}, NULL}
#define NUMBER(key, type, x) {key, type, -1, NULL, (const double[]){x}}
#define STRINGS(key, n, ...) {key, CRIA_GGUF_STRING, n, (const char *const[]){__VA_ARGS__}, NULL}
#define NUMBERS(key, type, n, ...) {key, type, n, NULL, (const double[]){__VA_ARGS__}}
#define WITHOUT(key) {key, UINT32_MAX, -1, NULL, NULL}
#define END {NULL, 0, 0, NULL, NULL}

static const struct value gpt2[] = {
    STRING("model", "gpt2"),
    STRING("pre", "smollm"),
    STRINGS("tokens", 6, "<|endoftext|>", "<|im_end|>", "a", "b", "ab", "aab"),
    NUMBERS("token_type", CRIA_GGUF_I32, 6, 3, 3, 1, 1, 1, 1),
    STRINGS("merges", 2, "a b", "a ab"),
    NUMBER("bos_token_id", CRIA_GGUF_U32, 0),
    NUMBER("eos_token_id", CRIA_GGUF_U32, 1),
    END,
};

static const struct value llama[] = {
    STRING("model", "llama"),
    STRINGS("tokens", 5, "<unk>", "<s>", "</s>", "b", "\342\226\201a"),
    NUMBERS("scores", CRIA_GGUF_F32, 5, 0, 0, 0, 0, -1.5),
    NUMBERS("token_type", CRIA_GGUF_I32, 5, 2, 3, 3, 1, 1),
    END,
};

static cria_status load(const struct value *list, const struct value *changes, struct opened *x, cria_vocab *v,
                        cria_error *err) {
    struct out o;
    put_file(&o, list, changes);
    open_bytes(x, o.p, o.len, -1);
    out_free(&o);
    if (x->status != CRIA_OK) fail_msg("%s", x->err.msg);
    memset(v, 0xa5, sizeof *v);
    return cria_vocab_load_gguf(&x->ctx, x->c, v, err);
}

static void load_ok(const struct value *list, const struct value *changes, struct opened *x, cria_vocab *v) {
    cria_error err;
    if (load(list, changes, x, v, &err) != CRIA_OK) fail_msg("%s", err.msg);
}

static void done(struct opened *x, cria_vocab *v) {
    cria_vocab_fini(v);
    shut(x);
}

/* ---- what is read ---- */

static void byte_level(void **state) {
    (void)state;
    struct opened x;
    cria_vocab v;
    load_ok(gpt2, NULL, &x, &v);
    assert_int_equal(v.model, CRIA_VOCAB_BPE);
    assert_true(v.pipe.bytes && v.pipe.split.n == 2 && v.pipe.decode.n == 1);
    assert_int_equal(v.n, 6);
    assert_int_equal(cria_vocab_find(&v, "aab", 3), 5);
    assert_int_equal(v.type[1], CRIA_PIECE_CONTROL);
    assert_int_equal(v.n_merges, 2);
    assert_true(v.merges[0].left == 2 && v.merges[0].right == 3 && v.merges[0].result == 4);
    assert_true(v.merges[1].left == 2 && v.merges[1].right == 4 && v.merges[1].result == 5);
    assert_true(v.bos == 0 && v.eos == 1 && v.unk == -1 && v.pad == -1 && v.eom == -1);
    assert_int_equal(v.eot, 0); /* <|endoftext|>, the first of the known names that is not eos */
    assert_false(v.add_bos);
    assert_null(v.score);
    done(&x, &v);
}

/* In Phi-3 white space behind its symbols is dropped, but for three. */
static void phi3(void **state) {
    (void)state;
    const struct value phi[] = {STRING("general.architecture", "phi3"), END};
    for (int which = 0; which < 2; which++) {
        struct opened x;
        cria_vocab v;
        cria_tokenizer *t;
        int32_t *ids;
        size_t n;
        load_ok(llama, which ? phi : NULL, &x, &v);
        assert_int_equal(v.strip_right, which);
        x.ctx.refs = 1;
        assert_int_equal(cria_tokenizer_make(&x.ctx, &v, &t, NULL), CRIA_OK);
        assert_int_equal(cria_encode(t, "</s> \n", 6, CRIA_ENCODE_SPECIAL, &ids, &n, NULL), CRIA_OK);
        assert_true(which ? n == 1 : n > 1);
        assert_int_equal(ids[0], 2);
        cria_ids_free(t, ids);
        assert_int_equal(cria_encode(t, "<s> \n", 5, CRIA_ENCODE_SPECIAL, &ids, &n, NULL), CRIA_OK);
        assert_true(n > 1 && ids[0] == 1);
        cria_ids_free(t, ids);
        cria_tokenizer_destroy(t);
        shut(&x);
    }
}

static void sentencepiece(void **state) {
    (void)state;
    struct opened x;
    cria_vocab v;
    load_ok(llama, NULL, &x, &v);
    assert_int_equal(v.model, CRIA_VOCAB_SPM_BPE);
    assert_true(v.unk == 0 && v.bos == 1 && v.eos == 2 && v.eot == -1); /* the defaults */
    assert_true(v.add_bos && !v.byte_fallback);
    assert_true(v.score[4] == -1.5f);
    assert_true(v.normalizer.add_dummy_prefix && v.normalizer.escape_whitespaces);
    assert_false(v.normalizer.remove_extra_whitespaces);
    assert_null(v.normalizer.charsmap);
    assert_int_equal(v.unk_surface_len, 5);
    done(&x, &v);
}

/* All byte pieces; an unknown piece that is none by its type is not one. */
static void byte_pieces(void **state) {
    (void)state;
    static char pieces[256][8];
    static const char *tokens[258];
    static double types[258], scores[258];
    for (int i = 0; i < 256; i++) {
        snprintf(pieces[i], sizeof pieces[i], "<0x%02X>", (unsigned)i);
        tokens[i] = pieces[i];
        types[i] = CRIA_PIECE_BYTE;
    }
    tokens[256] = "</s>";
    tokens[257] = "?";
    types[256] = CRIA_PIECE_CONTROL;
    types[257] = CRIA_PIECE_UNKNOWN;
    const struct value changes[] = {
        {"tokens", CRIA_GGUF_STRING, 258, tokens, NULL},
        {"token_type", CRIA_GGUF_I32, 258, NULL, types},
        {"scores", CRIA_GGUF_F32, 258, NULL, scores},
        NUMBER("unknown_token_id", CRIA_GGUF_U32, 256),
        END,
    };
    struct opened x;
    cria_vocab v;
    load_ok(llama, changes, &x, &v);
    assert_true(v.byte_fallback && v.byte_id['\n'] == 10 && v.unk == 257);
    done(&x, &v);
    types[257] = CRIA_PIECE_NORMAL;
    load_ok(llama, changes, &x, &v);
    assert_true(v.byte_fallback && v.unk == -1);
    done(&x, &v);
}

static void options(void **state) {
    (void)state;
    struct opened x;
    cria_vocab v;
    const struct value spm[] = {
        NUMBER("add_bos_token", CRIA_GGUF_BOOL, 0),
        NUMBER("add_space_prefix", CRIA_GGUF_BOOL, 0),
        NUMBER("remove_extra_whitespaces", CRIA_GGUF_BOOL, 1),
        NUMBERS("precompiled_charsmap", CRIA_GGUF_I8, 3, 1, 2, -1),
        NUMBER("padding_token_id", CRIA_GGUF_I32, 4),
        WITHOUT("token_type"),
        END,
    };
    load_ok(llama, spm, &x, &v);
    assert_false(v.add_bos || v.normalizer.add_dummy_prefix);
    assert_true(v.normalizer.remove_extra_whitespaces);
    assert_int_equal(v.normalizer.charsmap_len, 3);
    assert_memory_equal(v.normalizer.charsmap, "\1\2\xff", 3);
    const uint8_t types[] = {CRIA_PIECE_UNKNOWN, CRIA_PIECE_CONTROL, CRIA_PIECE_CONTROL, CRIA_PIECE_NORMAL,
                             CRIA_PIECE_CONTROL};
    assert_memory_equal(v.type, types, sizeof types);
    done(&x, &v);

    const struct value llama3[] = {
        STRING("pre", "llama-bpe"),
        STRINGS("tokens", 6, "<|begin_of_text|>", "<|eot_id|>", "a", "b", "ab", ""),
        STRINGS("merges", 1, "a b"),
        WITHOUT("eos_token_id"),
        END,
    };
    load_ok(gpt2, llama3, &x, &v);
    assert_true(v.add_bos && v.bos == 0 && v.eos == -1 && v.eot == 1);
    assert_int_equal(v.type[5], CRIA_PIECE_UNUSED); /* without text */
    done(&x, &v);

    const struct value no_bos[] = {
        STRING("pre", "llama-bpe"),
        WITHOUT("bos_token_id"),
        NUMBER("eot_token_id", CRIA_GGUF_U64, 2),
        NUMBER("add_bos_token", CRIA_GGUF_BOOL, 1),
        END,
    };
    load_ok(gpt2, no_bos, &x, &v);
    assert_false(v.add_bos);
    assert_int_equal(v.eot, 2);
    done(&x, &v);
}

/* ---- what is refused ---- */

#define REFUSED(list, status, text, ...)                                                                       \
    do {                                                                                                       \
        const struct value changes_[] = {__VA_ARGS__, END};                                                    \
        refused(list, changes_, status, text, __LINE__);                                                       \
    } while (0)
static void refused(const struct value *list, const struct value *changes, cria_status want, const char *text,
                    int line) {
    struct opened x;
    cria_vocab v;
    cria_error err = {0};
    const cria_status st = load(list, changes, &x, &v, &err);
    if (st != want || strstr(err.msg, text) == NULL || strstr(err.msg, "file") == NULL)
        fail_msg("line %d: status %d, \"%s\"", line, (int)st, err.msg);
    shut(&x); /* counts what is still allocated */
}

static void refuses_structure(void **state) {
    (void)state;
    REFUSED(gpt2, CRIA_EFORMAT, "tokenizer.ggml.model", WITHOUT("model"));
    REFUSED(gpt2, CRIA_EUNSUPPORTED, "\"t5\"", STRING("model", "t5"));
    REFUSED(gpt2, CRIA_EFORMAT, "tokenizer.ggml.tokens", WITHOUT("tokens"));
    REFUSED(gpt2, CRIA_EFORMAT, "not an array of strings", NUMBERS("tokens", CRIA_GGUF_I32, 2, 1, 2));
    REFUSED(gpt2, CRIA_EFORMAT, "not an array of strings", STRING("tokens", "a"));
    REFUSED(gpt2, CRIA_EFORMAT, "0 tokens", {"tokens", CRIA_GGUF_STRING, 0, NULL, NULL});
    REFUSED(gpt2, CRIA_EFORMAT, "not valid UTF-8", STRINGS("tokens", 6, "\xff", "e", "a", "b", "ab", "aab"));
    REFUSED(gpt2, CRIA_EUNSUPPORTED, "how words are split", WITHOUT("pre"));
    REFUSED(gpt2, CRIA_EUNSUPPORTED, "\"jais-2\"", STRING("pre", "jais-2"));
    REFUSED(gpt2, CRIA_EFORMAT, "tokenizer.ggml.merges", WITHOUT("merges"));
    REFUSED(llama, CRIA_EFORMAT, "tokenizer.ggml.scores", WITHOUT("scores"));
}

static void refuses_values(void **state) {
    (void)state;
    REFUSED(gpt2, CRIA_EFORMAT, "has 2 items", NUMBERS("token_type", CRIA_GGUF_I32, 2, 1, 1));
    REFUSED(gpt2, CRIA_EFORMAT, "type 7", NUMBERS("token_type", CRIA_GGUF_I32, 6, 1, 7, 1, 1, 1, 1));
    REFUSED(gpt2, CRIA_EFORMAT, "type 0", NUMBERS("token_type", CRIA_GGUF_I32, 6, 1, 0, 1, 1, 1, 1));
    REFUSED(gpt2, CRIA_EFORMAT, "not an array of integers", NUMBERS("token_type", CRIA_GGUF_F32, 6, 1, 1, 1, 1, 1, 1));
    REFUSED(gpt2, CRIA_EFORMAT, "is 6, but", NUMBER("eos_token_id", CRIA_GGUF_U32, 6));
    REFUSED(gpt2, CRIA_EFORMAT, "is 4294967295, but", NUMBER("bos_token_id", CRIA_GGUF_U32, 4294967295.0));
    REFUSED(gpt2, CRIA_EFORMAT, "not a token id", NUMBER("bos_token_id", CRIA_GGUF_I32, -1));
    REFUSED(gpt2, CRIA_EFORMAT, "not a token id", STRING("eot_token_id", "1"));
    REFUSED(gpt2, CRIA_EFORMAT, "not a truth value", NUMBER("add_bos_token", CRIA_GGUF_U32, 1));
    REFUSED(llama, CRIA_EFORMAT, "finite", NUMBERS("scores", CRIA_GGUF_F32, 5, 0, 0, 1e300, 0, 0));
    REFUSED(llama, CRIA_EFORMAT, "has 4 items", NUMBERS("scores", CRIA_GGUF_F32, 4, 0, 0, 0, 0));
    REFUSED(llama, CRIA_EFORMAT, "items must be bytes", NUMBERS("precompiled_charsmap", CRIA_GGUF_I32, 2, 1, 2));
    /* llama.cpp#26511: a byte piece out of range once became an index of −1 */
    REFUSED(llama, CRIA_EFORMAT, "<0x-1>", STRINGS("tokens", 5, "<unk>", "<s>", "</s>", "<0x-1>", "a"),
            NUMBERS("token_type", CRIA_GGUF_I32, 5, 2, 3, 3, 6, 1));
    REFUSED(llama, CRIA_EFORMAT, "1 of the 256", STRINGS("tokens", 5, "<unk>", "<s>", "</s>", "<0x0A>", "a"),
            WITHOUT("token_type"));
    REFUSED(llama, CRIA_EFORMAT, "neither byte pieces", NUMBERS("token_type", CRIA_GGUF_I32, 5, 1, 3, 3, 1, 1));
}

static void refuses_merges(void **state) {
    (void)state;
    REFUSED(gpt2, CRIA_EFORMAT, "not two parts", STRINGS("merges", 2, "a b", "aab"));
    REFUSED(gpt2, CRIA_EFORMAT, "not two parts", STRINGS("merges", 1, "a "));
    REFUSED(gpt2, CRIA_EFORMAT, "not two parts", STRINGS("merges", 1, " a"));
    REFUSED(gpt2, CRIA_EFORMAT, "not two parts", STRINGS("merges", 1, ""));
    REFUSED(gpt2, CRIA_EFORMAT, "left part of merge 1", STRINGS("merges", 2, "a b", "c b"));
    REFUSED(gpt2, CRIA_EFORMAT, "right part of merge 0", STRINGS("merges", 1, "a c"));
    REFUSED(gpt2, CRIA_EFORMAT, "result of merge 0", STRINGS("merges", 1, "b a"));
    REFUSED(gpt2, CRIA_EFORMAT, "not an array of strings", NUMBERS("merges", CRIA_GGUF_I32, 1, 0));
}

static void out_of_memory(void **state) {
    (void)state;
    static const struct value *const lists[] = {gpt2, llama};
    for (size_t i = 0; i < N_ITEMS(lists); i++) {
        struct out o;
        struct opened x;
        put_file(&o, lists[i], NULL);
        open_bytes(&x, o.p, o.len, -1);
        const long live = atomic_load(&x.alloc.blocks.live);
        cria_status st = CRIA_ENOMEM;
        for (long fail_at = 0; st != CRIA_OK; fail_at++) {
            cria_vocab v;
            atomic_store(&x.alloc.blocks.calls, 0);
            x.alloc.blocks.fail_at = fail_at;
            st = cria_vocab_load_gguf(&x.ctx, x.c, &v, NULL);
            if (st == CRIA_OK)
                cria_vocab_fini(&v);
            else
                assert_int_equal(st, CRIA_ENOMEM);
            assert_int_equal(atomic_load(&x.alloc.blocks.live), live);
        }
        shut(&x);
        out_free(&o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phi3),
        cmocka_unit_test(byte_level),     cmocka_unit_test(sentencepiece),      cmocka_unit_test(options),
        cmocka_unit_test(refuses_values), cmocka_unit_test(refuses_structure), cmocka_unit_test(refuses_merges),
        cmocka_unit_test(byte_pieces),    cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
