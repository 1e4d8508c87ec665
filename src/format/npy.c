/* SPDX-License-Identifier: Apache-2.0 */
/* The .npy header: a strict parser of the one dict literal that numpy and MLX write, without a Python
 * evaluator's freedoms. Nothing is allocated. */
#include "format/npy.h"
#include "base/reader.h"
#include "base/status.h"
#include "format/parse.h"

struct npy {
    const char *path, *name; /* for messages */
    const char *p, *end;     /* rest of the dict literal */
    const char *begin;
    cria_error *err;
};

static cria_status expected(const struct npy *h, const char *what) {
    return cria_fail(
        h->err, CRIA_EFORMAT, (uint64_t)(h->p - h->begin),
        "%s: the .npy header of tensor \"%.*s\" should have %s at character %zu, but has not; the file is "
        "damaged.",
        h->path, cria_name_shown(h->name, strlen(h->name)), h->name, what, (size_t)(h->p - h->begin));
}

static void skip_space(struct npy *h) {
    while (h->p < h->end && (*h->p == ' ' || *h->p == '\t' || *h->p == '\n' || *h->p == '\r')) h->p++;
}

static bool accept(struct npy *h, char wanted) {
    skip_space(h);
    if (h->p == h->end || *h->p != wanted) return false;
    h->p++;
    return true;
}

static bool accept_word(struct npy *h, const char *word) {
    const size_t len = strlen(word);
    skip_space(h);
    if ((size_t)(h->end - h->p) < len || memcmp(h->p, word, len) != 0) return false;
    h->p += len;
    return true;
}

/* 'text' or "text"; no escapes, which none of the strings needs. */
static bool accept_string(struct npy *h, cria_str *out) {
    skip_space(h);
    if (h->p == h->end || (*h->p != '\'' && *h->p != '"')) return false;
    const char quote = *h->p, *s = h->p + 1;
    const char *close = memchr(s, quote, (size_t)(h->end - s));
    if (close == NULL || memchr(s, '\\', (size_t)(close - s)) != NULL) return false;
    *out = (cria_str){s, (size_t)(close - s)};
    h->p = close + 1;
    return true;
}

static bool accept_uint(struct npy *h, uint64_t *out) {
    skip_space(h);
    const char *start = h->p;
    uint64_t v = 0;
    for (; h->p < h->end && *h->p >= '0' && *h->p <= '9'; h->p++) {
        const uint64_t digit = (uint64_t)(*h->p - '0');
        if (v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    if (h->p == start || (*start == '0' && h->p != start + 1)) return false;
    *out = v;
    return true;
}

/* kind and size of numpy's type string → dtype; byte order apart. */
static bool dtype_of(const char *kind, cria_dtype *out) {
    static const struct {
        char kind[3];
        cria_dtype dtype;
    } table[] = {
        {"f4", CRIA_DTYPE_F32}, {"f2", CRIA_DTYPE_F16}, {"V2", CRIA_DTYPE_BF16}, {"f8", CRIA_DTYPE_F64},
        {"u1", CRIA_DTYPE_U8},  {"i1", CRIA_DTYPE_I8},  {"u2", CRIA_DTYPE_U16},  {"i2", CRIA_DTYPE_I16},
        {"u4", CRIA_DTYPE_U32}, {"i4", CRIA_DTYPE_I32}, {"u8", CRIA_DTYPE_U64},  {"i8", CRIA_DTYPE_I64},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (memcmp(kind, table[i].kind, 2) == 0) {
            *out = table[i].dtype;
            return true;
        }
    return false;
}

static cria_status read_descr(struct npy *h, cria_tensor *t) {
    cria_str s;
    skip_space(h);
    const int shown = cria_name_shown(h->name, strlen(h->name));
    if (h->p < h->end && *h->p == '[')
        return cria_fail(h->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: tensor \"%.*s\" is an array of records; save plain arrays of numbers.", h->path,
                         shown, h->name);
    if (!accept_string(h, &s)) return expected(h, "a type string");
    if (s.len >= 2 && memchr(s.data, 'O', s.len) != NULL)
        return cria_fail(
            h->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s: tensor \"%.*s\" holds Python objects (a pickle), which can run code and are never loaded; "
            "save plain arrays of numbers.",
            h->path, shown, h->name);
    if (s.len >= 1 && s.data[0] == '>')
        return cria_fail(h->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: tensor \"%.*s\" is big-endian; save it little-endian, with a.astype(a.dtype."
                         "newbyteorder('<')).",
                         h->path, shown, h->name);
    /* '|' (no byte order) only where there is none: one byte, or MLX's and numpy's two spellings of bfloat16.
     */
    if (s.len == 3 && dtype_of(s.data + 1, &t->dtype) &&
        (s.data[0] == '<' || (s.data[0] == '|' && (s.data[2] == '1' || s.data[1] == 'V'))))
        return CRIA_OK;
    return cria_fail(
        h->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
        "%s: tensor \"%.*s\" has the element type '%.*s', which is not one of float16, bfloat16, float32, "
        "float64 and the integers of 8 to 64 bits.",
        h->path, shown, h->name, cria_name_shown(s.data, s.len), s.data);
}

static cria_status read_shape(struct npy *h, cria_tensor *t) {
    if (!accept(h, '(')) return expected(h, "a shape in parentheses");
    bool comma = true;
    while (!accept(h, ')')) {
        uint64_t dim;
        if (!comma) return expected(h, "a comma or )");
        if (!accept_uint(h, &dim)) return expected(h, "a whole number below 2^64");
        if (t->ndim == CRIA_MAX_DIMS)
            return cria_fail(h->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                             "%s: tensor \"%.*s\" has more than %d dimensions.", h->path,
                             cria_name_shown(h->name, strlen(h->name)), h->name, CRIA_MAX_DIMS);
        t->shape[t->ndim++] = dim;
        comma = accept(h, ',');
    }
    if (t->ndim == 1 && !comma) return expected(h, "the comma of a shape of one dimension");
    return CRIA_OK;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } and spaces: each key once, in any order. */
static cria_status read_dict(struct npy *h, cria_tensor *t, bool *fortran) {
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    unsigned seen = 0;
    if (!accept(h, '{')) return expected(h, "a dict literal");
    while (!accept(h, '}')) {
        cria_str key;
        unsigned which = 0;
        if (!accept_string(h, &key)) return expected(h, "a key or }");
        if (key.len == 5 && memcmp(key.data, "descr", 5) == 0) which = DESCR;
        if (key.len == 13 && memcmp(key.data, "fortran_order", 13) == 0) which = ORDER;
        if (key.len == 5 && memcmp(key.data, "shape", 5) == 0) which = SHAPE;
        if (which == 0 || seen & which)
            return expected(h, "a new one of the keys descr, fortran_order and shape");
        if (!accept(h, ':')) return expected(h, "a colon");
        seen |= which;
        cria_status st = CRIA_OK;
        if (which == DESCR)
            st = read_descr(h, t);
        else if (which == SHAPE)
            st = read_shape(h, t);
        else if (accept_word(h, "True"))
            *fortran = true;
        else if (!accept_word(h, "False"))
            st = expected(h, "True or False");
        if (st != CRIA_OK) return st;
        if (!accept(h, ',')) {
            if (!accept(h, '}')) return expected(h, "a comma or }");
            break;
        }
    }
    if (seen != (DESCR | ORDER | SHAPE)) return expected(h, "the keys descr, fortran_order and shape before");
    skip_space(h);
    if (h->p != h->end || h->end[-1] != '\n') return expected(h, "only spaces and a newline");
    return CRIA_OK;
}

/* Both orders are the same bytes when at most one dimension is longer than 1 (MLX marks such arrays as
 * Fortran's). */
static bool order_matters(const cria_tensor *t) {
    unsigned longer = 0;
    for (uint32_t i = 0; i < t->ndim; i++) longer += t->shape[i] > 1;
    return longer > 1 && t->nbytes != 0;
}

cria_status cria_npy_parse(const uint8_t *data, size_t len, const char *path, const char *name,
                           cria_tensor *t, cria_error *err) {
    const int shown = cria_name_shown(name, strlen(name));
    cria_reader r = cria_reader_init(data, len);
    const uint8_t *magic, *dict;
    if (!cria_read_bytes(&r, 8, &magic) || memcmp(magic, "\x93NUMPY", 6) != 0)
        return cria_fail(err, CRIA_EFORMAT, 0, "%s: tensor \"%.*s\" does not begin as a .npy array does.",
                         path, shown, name);
    if (magic[6] < 1 || magic[6] > 3 || magic[7] != 0)
        return cria_fail(err, CRIA_EUNSUPPORTED, 6,
                         "%s: tensor \"%.*s\" is in .npy version %u.%u, but only 1.0, 2.0 and 3.0 are known.",
                         path, shown, name, (unsigned)magic[6], (unsigned)magic[7]);
    uint16_t short_len = 0;
    uint32_t dict_len = 0;
    const bool read = magic[6] == 1 ? cria_read_u16(&r, &short_len) : cria_read_u32(&r, &dict_len);
    if (magic[6] == 1) dict_len = short_len;
    const size_t left = cria_reader_left(&r);
    if (!read || !cria_read_bytes(&r, dict_len, &dict))
        return cria_fail(
            err, CRIA_EFORMAT, 8,
            "%s: the .npy header of tensor \"%.*s\" claims %lu bytes, but only %zu are left; the file is "
            "cut off or damaged.",
            path, shown, name, (unsigned long)dict_len, left);
    struct npy h = {path, name, (const char *)dict, (const char *)dict + dict_len, (const char *)dict, err};
    bool fortran = false;
    const cria_status st = read_dict(&h, t, &fortran);
    if (st != CRIA_OK) return st;
    if (!cria_tensor_nbytes(t->dtype, t->ndim, t->shape, &t->nbytes))
        return cria_fail(
            err, CRIA_EFORMAT, r.pos,
            "%s: the dimensions of tensor \"%.*s\" multiply to more bytes than memory can hold; the file is "
            "damaged.",
            path, shown, name);
    if (t->nbytes != cria_reader_left(&r))
        return cria_fail(
            err, CRIA_EFORMAT, r.pos,
            "%s: tensor \"%.*s\" should have %llu bytes by its shape, but has %zu; the file is cut off or "
            "damaged.",
            path, shown, name, (unsigned long long)t->nbytes, cria_reader_left(&r));
    if (fortran && order_matters(t))
        return cria_fail(
            err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
            "%s: tensor \"%.*s\" is stored column by column (fortran_order); save mx.contiguous(w) or "
            "np.ascontiguousarray(w) instead.",
            path, shown, name);
    t->data = data + r.pos;
    return CRIA_OK;
}
