/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GGUF versions 2 and 3, little-endian: header, metadata, tensor infos, padding, tensor data.
 *
 * A model may be split into several files, each with tensors of its own; the metadata is that of the first.
 *
 * Source: the GGUF specification of ggml (docs/gguf.md); for parts, llama.cpp's llama-model-loader.cpp. Stricter than
 * ggml: keys and names are unique UTF-8, tensors do not overlap, bools are 0 or 1. Less strict: tensors may lie in any
 * order and with gaps.
 *
 * Counts are believed only as far as the bytes left allow: a metadata pair takes at least MIN_PAIR bytes and
 * a tensor info MIN_INFO, so no more memory is taken than a small multiple of the file.
 */
#include "format/gguf.h"
#include "base/half.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/order.h"
#include "format/parse.h"

enum {
    MIN_PAIR = 8 + 1 + 4 + 1,         /* key length, key, type, value */
    MIN_INFO = 8 + 1 + 4 + 8 + 4 + 8, /* name length, name, n_dims, a dimension, type, offset */
    MAX_NAME = 65535,                 /* of keys, by the specification; tensor names are far shorter */

    /* general.alignment is a multiple of 8 by the specification. Above the largest page size in use it has no
     * purpose, and the bound keeps the padding from ever overflowing a sum. */
    DEFAULT_ALIGNMENT = 32,
    MIN_ALIGNMENT = 8,
    MAX_ALIGNMENT = 65536,
    MAX_PARTS = 65535 /* split.count has 16 bits */
};

/* One file being read. */
struct gguf {
    cria_container *c;
    const struct cria_source *src;
    struct cria_metas *metas; /* the container's, or, of the later parts of a split model, for the time of reading */
    cria_reader r;
    uint64_t n_tensors, n_metas;
    size_t alignment;
    size_t data; /* offset of the data section */
    cria_error *err;
};

static cria_status cut_off(const struct gguf *g, const char *what) {
    return cria_fail(g->err, CRIA_EFORMAT, g->r.pos,
                     "%s: ends within %s at byte %zu of %zu; the file is cut off or damaged, get it again.",
                     g->src->path, what, g->r.pos, g->r.len);
}

/* ---- header ------------------------------------------------------------------------------ */

static cria_status check_version(const struct gguf *g, uint32_t version) {
    if (version == 2 || version == 3) return CRIA_OK;
    if (version == 1)
        return cria_fail(
            g->err, CRIA_EUNSUPPORTED, 4,
            "%s: is GGUF version 1, of August 2023; convert the model again with a current converter.",
            g->src->path);
    if ((version & 0xffff) == 0)
        return cria_fail(
            g->err, CRIA_EUNSUPPORTED, 4,
            "%s: is a big-endian GGUF file; turn it round with gguf-py's gguf_convert_endian.py.",
            g->src->path);
    return cria_fail(g->err, CRIA_EUNSUPPORTED, 4, "%s: is GGUF version %lu, but only 2 and 3 are known.",
                     g->src->path, (unsigned long)version);
}

static cria_status check_count(const struct gguf *g, uint64_t n, size_t min_bytes, const char *what) {
    const uint64_t most = cria_reader_left(&g->r) / min_bytes;
    if (n <= most && n <= UINT32_MAX) return CRIA_OK;
    return cria_fail(
        g->err, CRIA_EFORMAT, g->r.pos,
        "%s: claims %llu %s, but the %zu bytes left have room for at most %llu; the file is cut off or "
        "damaged.",
        g->src->path, (unsigned long long)n, what, cria_reader_left(&g->r), (unsigned long long)most);
}

static cria_status read_header(struct gguf *g) {
    uint32_t version;
    if (!cria_reader_seek(&g->r, 4) || !cria_read_u32(&g->r, &version)) return cut_off(g, "the header");
    const cria_status st = check_version(g, version);
    if (st != CRIA_OK) return st;
    if (!cria_read_u64(&g->r, &g->n_tensors) || !cria_read_u64(&g->r, &g->n_metas))
        return cut_off(g, "the header");
    return CRIA_OK;
}

/* ---- metadata ---------------------------------------------------------------------------- */

/* By type number. */
static const struct {
    uint8_t bytes; /* of a scalar */
    enum cria_meta_type type;
} value_types[] = {
    [CRIA_GGUF_U8] = {1, CRIA_META_UINT},       [CRIA_GGUF_I8] = {1, CRIA_META_INT},
    [CRIA_GGUF_U16] = {2, CRIA_META_UINT},      [CRIA_GGUF_I16] = {2, CRIA_META_INT},
    [CRIA_GGUF_U32] = {4, CRIA_META_UINT},      [CRIA_GGUF_I32] = {4, CRIA_META_INT},
    [CRIA_GGUF_F32] = {4, CRIA_META_FLOAT},     [CRIA_GGUF_BOOL] = {1, CRIA_META_BOOL},
    [CRIA_GGUF_STRING] = {0, CRIA_META_STRING}, [CRIA_GGUF_ARRAY] = {0, CRIA_META_ARRAY},
    [CRIA_GGUF_U64] = {8, CRIA_META_UINT},      [CRIA_GGUF_I64] = {8, CRIA_META_INT},
    [CRIA_GGUF_F64] = {8, CRIA_META_FLOAT},
};
enum { N_VALUE_TYPES = sizeof value_types / sizeof value_types[0] };

/* 0 for strings, arrays and unknown numbers. */
static size_t scalar_bytes(uint32_t gguf_type) {
    return gguf_type < N_VALUE_TYPES ? value_types[gguf_type].bytes : 0;
}

bool cria_gguf_read_scalar(cria_reader *r, uint32_t gguf_type, cria_meta *out) {
    const size_t bytes = scalar_bytes(gguf_type);
    if (bytes == 0 || cria_reader_left(r) < bytes) return false;
    const uint8_t *p = r->base + r->pos;
    uint64_t u = 0;
    for (size_t i = bytes; i-- > 0;) u = u << 8 | p[i];
    if (gguf_type == CRIA_GGUF_BOOL && u > 1) return false;
    r->pos += bytes;
    out->type = value_types[gguf_type].type;
    if (gguf_type == CRIA_GGUF_F32) {
        out->v.f = (double)cria_f32_from_bits((uint32_t)u);
    } else if (gguf_type == CRIA_GGUF_F64) {
        memcpy(&out->v.f, &u, 8);
    } else if (out->type == CRIA_META_INT) {
        const uint64_t sign = (uint64_t)1 << (8 * bytes - 1); /* weighs minus itself */
        out->v.i = u & sign ? -(int64_t)(sign - 1 - (u ^ sign)) - 1 : (int64_t)u;
    } else if (out->type == CRIA_META_BOOL) {
        out->v.b = u == 1;
    } else {
        out->v.u = u;
    }
    return true;
}

static bool read_string(cria_reader *r, cria_str *out) {
    const size_t start = r->pos;
    uint64_t len;
    const uint8_t *s;
    if (!cria_read_u64(r, &len)) return false;
    if (!cria_read_bytes(r, len, &s)) {
        r->pos = start;
        return false;
    }
    *out = (cria_str){(const char *)s, (size_t)len};
    return true;
}

static cria_status bad_value(const struct gguf *g, const cria_meta *m, const char *why) {
    return cria_fail(
        g->err, CRIA_EFORMAT, g->r.pos,
        "%s: the value of metadata key \"%.*s\" %s (byte %zu of %zu); the file is cut off or damaged.",
        g->src->path, cria_name_shown(m->key.data, m->key.len), m->key.data, why, g->r.pos, g->r.len);
}

/* Every item is visited once, so that a later walk cannot fail. */
static cria_status read_array(struct gguf *g, cria_meta *m) {
    uint32_t item;
    uint64_t n;
    if (!cria_read_u32(&g->r, &item) || !cria_read_u64(&g->r, &n)) return bad_value(g, m, "is cut off");
    const size_t bytes = scalar_bytes(item);
    if (item == CRIA_GGUF_ARRAY)
        return cria_fail(
            g->err, CRIA_EUNSUPPORTED, g->r.pos,
            "%s: metadata key \"%.*s\" is an array of arrays, which no Llama file needs; leave it out.",
            g->src->path, cria_name_shown(m->key.data, m->key.len), m->key.data);
    if (bytes == 0 && item != CRIA_GGUF_STRING) return bad_value(g, m, "is an array of an unknown type");
    if (n > cria_reader_left(&g->r) / (bytes != 0 ? bytes : 8))
        return bad_value(g, m, "is an array longer than the file");
    m->v.a.type = value_types[item].type;
    m->v.a.gguf_type = (uint8_t)item;
    m->v.a.n = n;
    m->v.a.data = g->r.base + g->r.pos;
    if (item == CRIA_GGUF_STRING) {
        cria_str s;
        for (uint64_t i = 0; i < n; i++)
            if (!read_string(&g->r, &s)) return bad_value(g, m, "has a string longer than the file");
    } else if (item == CRIA_GGUF_BOOL) {
        cria_meta b;
        for (uint64_t i = 0; i < n; i++)
            if (!cria_gguf_read_scalar(&g->r, item, &b))
                return bad_value(g, m, "has a bool that is not 0 or 1");
    } else {
        g->r.pos += (size_t)n * bytes; /* within the bytes left, by the check above */
    }
    m->v.a.end = g->r.base + g->r.pos;
    return CRIA_OK;
}

static cria_status read_meta(struct gguf *g, cria_meta *m) {
    uint32_t type;
    if (!read_string(&g->r, &m->key)) return cut_off(g, "a metadata key");
    if (m->key.len > MAX_NAME || !cria_name_ok(m->key.data, m->key.len))
        return cria_fail(
            g->err, CRIA_EFORMAT, g->r.pos,
            "%s: the metadata key before byte %zu is empty, longer than %d bytes or no UTF-8 text; the file "
            "is damaged.",
            g->src->path, g->r.pos, MAX_NAME);
    if (!cria_read_u32(&g->r, &type)) return bad_value(g, m, "is cut off");
    if (type >= N_VALUE_TYPES) return bad_value(g, m, "has an unknown type");
    m->type = value_types[type].type;
    if (type == CRIA_GGUF_ARRAY) return read_array(g, m);
    if (type == CRIA_GGUF_STRING)
        return read_string(&g->r, &m->v.s) ? CRIA_OK : bad_value(g, m, "is a string longer than the file");
    if (!cria_gguf_read_scalar(&g->r, type, m))
        return bad_value(g, m, "is cut off, or a bool that is not 0 or 1");
    return CRIA_OK;
}

static cria_status read_metas(struct gguf *g) {
    struct cria_metas *m = g->metas;
    cria_status st = check_count(g, g->n_metas, MIN_PAIR, "metadata pairs");
    if (st != CRIA_OK) return st;
    const size_t n = (size_t)g->n_metas;
    m->at = cria_calloc(g->c->ctx, n, sizeof *m->at);
    if (m->at == NULL) return cria_fail_nomem(g->err, "the metadata", n * sizeof *m->at);
    while (m->n < n) {
        st = read_meta(g, &m->at[m->n]);
        if (st != CRIA_OK) return st;
        m->n++;
    }
    return cria_metas_index(g->c->ctx, m, g->src->path, g->err);
}

/* Is the file the part of a split model that it is read as? (As llama.cpp asks, with the keys of its gguf-split.) The
 * first one says how many there are: a file that was opened by itself is then opened again, with the others. */
static cria_status check_split(struct gguf *g) {
    cria_container *c = g->c;
    const uint64_t i = (uint64_t)(g->src - c->sources);
    uint64_t no = 0, count = 1, all = 0;
    if (!cria_metas_u64(g->metas, "split.count", &count) || count < 2) {
        if (c->n_sources == 1) return CRIA_OK;
        return cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: is read as part %llu of %zu of a split model, but is none (it has no split.count); open "
                         "it by itself.",
                         g->src->path, (unsigned long long)i + 1, c->n_sources);
    }
    if (!cria_metas_u64(g->metas, "split.no", &no) || !cria_metas_u64(g->metas, "split.tensors.count", &all) ||
        count > MAX_PARTS || no >= count)
        return cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: is a part of a split model, but split.no, split.count (%llu) or split.tensors.count is "
                         "missing or out of range; the file is damaged.",
                         g->src->path, (unsigned long long)count);
    if (i == 0) {
        c->n_parts = count;
        c->n_tensors_in_all = all;
    }
    if (c->n_sources > 1 && (count != c->n_sources || no != i || all != c->n_tensors_in_all))
        return cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE,
                         "%s: says that it is part %llu of %llu with %llu tensors in all, but is named as part %llu of "
                         "%zu with %llu; the parts are not of one model, or their names were changed.",
                         g->src->path, (unsigned long long)no + 1, (unsigned long long)count, (unsigned long long)all,
                         (unsigned long long)i + 1, c->n_sources, (unsigned long long)c->n_tensors_in_all);
    return CRIA_OK;
}

/* What the metadata says about the container itself. */
static cria_status apply_metas(struct gguf *g) {
    uint64_t alignment = DEFAULT_ALIGNMENT;
    if (cria_metas_find(g->metas, "general.alignment") != NULL &&
        !cria_metas_u64(g->metas, "general.alignment", &alignment))
        alignment = 0;
    if (alignment < MIN_ALIGNMENT || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0)
        return cria_fail(
            g->err, CRIA_EFORMAT, CRIA_NOWHERE,
            "%s: general.alignment is %llu, but must be a power of two from %d to %d; the file is damaged.",
            g->src->path, (unsigned long long)alignment, MIN_ALIGNMENT, MAX_ALIGNMENT);
    g->alignment = (size_t)alignment;
    return check_split(g);
}

/* ---- tensors ----------------------------------------------------------------------------- */

/* ggml's names of its type numbers, for messages about those that base/dtype.h does not have. */
static const char *ggml_type_name(uint32_t type) {
    static const char *const names[] = {
        "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
        "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
        "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
        "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
        "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
        "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",    "NVFP4",    "Q1_0",
    };
    return type < sizeof names / sizeof names[0] ? names[type] : "unknown";
}

static bool find_dtype(uint32_t type, cria_dtype *out) {
    for (int i = 0; i < CRIA_DTYPE_COUNT; i++) {
        const int number = cria_dtype_info((cria_dtype)i)->gguf;
        if (number >= 0 && (uint32_t)number == type) {
            *out = (cria_dtype)i;
            return true;
        }
    }
    return false;
}

/* Until the data section is known, t->nbytes is there but the offset waits in *offset. */
static cria_status read_info(struct gguf *g, cria_tensor *t, uint64_t *offset) {
    cria_str name;
    uint32_t ndim, type;
    if (!read_string(&g->r, &name)) return cut_off(g, "a tensor name");
    if (name.len > MAX_NAME || !cria_name_ok(name.data, name.len))
        return cria_fail(
            g->err, CRIA_EFORMAT, g->r.pos,
            "%s: the tensor name before byte %zu is empty, longer than %d bytes or no UTF-8 text; the file "
            "is damaged.",
            g->src->path, g->r.pos, MAX_NAME);
    const int shown = cria_name_shown(name.data, name.len);
    if (!cria_read_u32(&g->r, &ndim)) return cut_off(g, "a tensor's description");
    if (ndim < 1 || ndim > CRIA_MAX_DIMS)
        return cria_fail(
            g->err, CRIA_EFORMAT, g->r.pos - 4,
            "%s: tensor \"%.*s\" has %lu dimensions, but GGUF allows 1 to %d; the file is damaged.",
            g->src->path, shown, name.data, (unsigned long)ndim, CRIA_MAX_DIMS);
    *t = (cria_tensor){.ndim = ndim};
    for (uint32_t i = ndim; i-- > 0;) /* stored innermost first */
        if (!cria_read_u64(&g->r, &t->shape[i])) return cut_off(g, "a tensor's description");
    if (!cria_read_u32(&g->r, &type) || !cria_read_u64(&g->r, offset))
        return cut_off(g, "a tensor's description");
    if (!find_dtype(type, &t->dtype))
        return cria_fail(
            g->err, CRIA_EUNSUPPORTED, g->r.pos - 12,
            "%s: tensor \"%.*s\" has type %lu (%s), which this version cannot compute with; take the model "
            "in F16, BF16, Q8_0, Q6_K or Q4_K.",
            g->src->path, shown, name.data, (unsigned long)type, ggml_type_name(type));
    if (!cria_tensor_nbytes(t->dtype, ndim, t->shape, &t->nbytes))
        return cria_fail(
            g->err, CRIA_EFORMAT, g->r.pos,
            "%s: tensor \"%.*s\" has rows of %llu items, which is no multiple of the %lu of a block of %s, "
            "or more bytes than memory can hold; the file is damaged.",
            g->src->path, shown, name.data, (unsigned long long)t->shape[ndim - 1],
            (unsigned long)cria_dtype_info(t->dtype)->items, cria_dtype_info(t->dtype)->text);
    t->name = cria_container_string(g->c, name.data, name.len);
    return t->name != NULL ? CRIA_OK : cria_fail_nomem(g->err, "the name of a tensor", name.len + 1);
}

static cria_status find_data(struct gguf *g) {
    size_t end;
    if (!cria_add_ok(g->r.pos, g->alignment - 1, &end) || (end & ~(g->alignment - 1)) > g->r.len)
        return cut_off(g, "the padding before its tensors");
    g->data = end & ~(g->alignment - 1);
    return CRIA_OK;
}

static cria_status place(const struct gguf *g, cria_tensor *t, uint64_t offset) {
    const size_t room = g->r.len - g->data;
    const int shown = cria_name_shown(t->name, strlen(t->name));
    if (offset % g->alignment != 0)
        return cria_fail(
            g->err, CRIA_EFORMAT, g->data,
            "%s: tensor \"%.*s\" lies at offset %llu, which is no multiple of the alignment of %zu; the "
            "file is damaged.",
            g->src->path, shown, t->name, (unsigned long long)offset, g->alignment);
    if (offset > room || t->nbytes > room - offset)
        return cria_fail(
            g->err, CRIA_EFORMAT, g->data,
            "%s: tensor \"%.*s\" has %llu bytes at offset %llu, but there are only %zu bytes of tensors; "
            "the file is cut off or damaged, get it again.",
            g->src->path, shown, t->name, (unsigned long long)t->nbytes, (unsigned long long)offset, room);
    t->data = g->src->data + g->data + offset;
    return CRIA_OK;
}

/* Tensors without bytes come before others at the same place, where they overlap nothing. */
static int by_data(const void *items, uint32_t a, uint32_t b) {
    const cria_tensor *t = items;
    if (t[a].data != t[b].data) return t[a].data < t[b].data ? -1 : 1;
    return t[a].nbytes < t[b].nbytes ? -1 : t[a].nbytes > t[b].nbytes;
}

static cria_status refuse_overlaps(const struct gguf *g, uint32_t *order, const cria_tensor *tensors,
                                   size_t n) {
    cria_order_sort(order, n, by_data, tensors);
    for (size_t i = 1; i < n; i++) {
        const cria_tensor *a = &tensors[order[i - 1]], *b = &tensors[order[i]];
        if ((uint64_t)(b->data - a->data) < a->nbytes)
            return cria_fail(
                g->err, CRIA_EFORMAT, (uint64_t)(b->data - g->src->data),
                "%s: tensor \"%.*s\" of %llu bytes overlaps tensor \"%.*s\", which begins %llu bytes "
                "after it; the file is damaged.",
                g->src->path, cria_name_shown(a->name, strlen(a->name)), a->name,
                (unsigned long long)a->nbytes, cria_name_shown(b->name, strlen(b->name)), b->name,
                (unsigned long long)(b->data - a->data));
    }
    return CRIA_OK;
}

static cria_status read_tensors(struct gguf *g) {
    cria_container *c = g->c;
    if (g->n_tensors == 0) return CRIA_OK; /* a file of metadata alone need not even be padded */
    cria_status st = check_count(g, g->n_tensors, MIN_INFO, "tensors");
    if (st == CRIA_OK) st = cria_container_reserve(c, (size_t)g->n_tensors, g->err);
    if (st != CRIA_OK) return st;
    const size_t n = (size_t)g->n_tensors;
    cria_tensor *tensors = c->tensors + c->n_tensors;
    uint64_t *offsets = cria_malloc_array(c->ctx, n, sizeof *offsets);
    uint32_t *order = cria_malloc_array(c->ctx, n, sizeof *order);
    if (offsets == NULL || order == NULL)
        st = cria_fail_nomem(g->err, "the tensors' places", n * sizeof *offsets);
    for (size_t i = 0; i < n && st == CRIA_OK; i++) st = read_info(g, &tensors[i], &offsets[i]);
    if (st == CRIA_OK) st = find_data(g);
    for (size_t i = 0; i < n && st == CRIA_OK; i++) st = place(g, &tensors[i], offsets[i]);
    if (st == CRIA_OK) st = refuse_overlaps(g, order, tensors, n);
    if (st == CRIA_OK) c->n_tensors += n;
    cria_free(c->ctx, order);
    cria_free(c->ctx, offsets);
    return st;
}

/* All parts together have as many tensors as each part says. */
static cria_status check_whole(const struct gguf *g) {
    const cria_container *c = g->c;
    if (c->n_sources == 1 || g->src != &c->sources[c->n_sources - 1] || c->n_tensors == c->n_tensors_in_all)
        return CRIA_OK;
    return cria_fail(g->err, CRIA_EFORMAT, CRIA_NOWHERE,
                     "%s: its %zu parts have %zu tensors, but say that they have %llu; get them again.", c->path,
                     c->n_sources, c->n_tensors, (unsigned long long)c->n_tensors_in_all);
}

cria_status cria_gguf_read(cria_container *c, const struct cria_source *src, cria_error *err) {
    struct cria_metas own = {NULL, 0, NULL};
    struct gguf g = {.c = c,
                     .src = src,
                     .metas = src == c->sources ? &c->metas : &own,
                     .r = cria_reader_init(src->data, src->len),
                     .err = err};
    cria_status st = read_header(&g);
    if (st == CRIA_OK) st = read_metas(&g);
    if (st == CRIA_OK) st = apply_metas(&g);
    if (st == CRIA_OK) st = read_tensors(&g);
    if (st == CRIA_OK) st = check_whole(&g);
    cria_metas_fini(c->ctx, &own);
    return st;
}
