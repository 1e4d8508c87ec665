/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pickle of a state dict; see pth.h. Sources: Python's Lib/pickletools.py for the instructions,
 * torch/serialization.py and torch/_utils.py for what torch.save calls for.
 *
 * A value is one struct, copied freely; a dict is a number, and what is put into dicts goes to one list of
 * (dict, key, value), so that there are no cycles and nothing to free one by one. Every instruction makes at
 * most one value and takes at least one byte, so the length of the pickle bounds all memory.
 */
#include "format/pth.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"
#include "format/order.h"
#include "format/parse.h"

#include <string.h>

/* A storage is looked for among the members one by one, so both are bounded; the largest of Meta's files has
 * 1500. */
enum { PICKLE_MAX = 64 << 20, TUPLE_MAX = 64, MEMBERS_MAX = 16384, STORAGES_MAX = 65536 };

enum kind {
    MARK,
    NONE,
    BOOL,
    INT,     /* i */
    TEXT,    /* text, n */
    TUPLE,   /* i: first in items; n */
    DICT,    /* i: its number */
    GLOBAL,  /* i: row of globals */
    STORAGE, /* i: number of the member; dtype */
    TENSOR   /* i: number in tensors */
};

struct value {
    uint8_t kind, dtype;
    uint32_t n;
    int64_t i;
    const char *text;
};

struct entry {
    int64_t dict;
    struct value key, value;
};

/* What a GLOBAL may name. */
enum { ORDERED_DICT, REBUILD_TENSOR, FIRST_STORAGE };
static const struct global {
    const char *module, *name;
    cria_dtype dtype;
} globals[] = {{"collections", "OrderedDict", CRIA_DTYPE_F32},
               {"torch._utils", "_rebuild_tensor_v2", CRIA_DTYPE_F32},
               {"torch", "FloatStorage", CRIA_DTYPE_F32},
               {"torch", "HalfStorage", CRIA_DTYPE_F16},
               {"torch", "BFloat16Storage", CRIA_DTYPE_BF16}};
enum { N_GLOBALS = sizeof globals / sizeof *globals };

struct reader {
    cria_pth *p;
    cria_reader r;
    size_t data_at;                                /* length of "<folder>/data/" in the names of members */
    cria_buf stack, memo, items, entries, tensors; /* of values, values, values, entries, cria_tensor */
    int64_t n_dicts;
    size_t n_storages;
    cria_error *err;
};

/* ---- messages ---- */

static cria_status broken(const struct reader *s, const char *what) {
    return cria_fail(s->err, CRIA_EFORMAT, s->r.pos, "%s: the pickle is damaged at byte %zu: %s.", s->p->path,
                     s->r.pos, what);
}

static cria_status refused(const struct reader *s, const char *what, const char *name, size_t len) {
    return cria_fail(
        s->err, CRIA_EUNSUPPORTED, s->r.pos,
        "%s: the pickle %s \"%.*s\" at byte %zu, which no state dict of plain tensors needs; it is not "
        "carried out. Save the tensors as safetensors.",
        s->p->path, what, cria_name_shown(name, len), name, s->r.pos);
}

/* ---- lists of values in buffers ---- */

static struct value *values(const cria_buf *b) { return (struct value *)(void *)b->data; }
static size_t count(const cria_buf *b) { return b->len / sizeof(struct value); }

static cria_status push(struct reader *s, struct value v) {
    return cria_buf_append(&s->stack, &v, sizeof v, s->err);
}

static bool pop(struct reader *s, struct value *out) {
    if (s->stack.len == 0) return false;
    s->stack.len -= sizeof *out;
    memcpy(out, s->stack.data + s->stack.len, sizeof *out);
    return out->kind != MARK;
}

/* The values above the topmost mark: *at is the first; false when there is no mark. */
static bool find_mark(const struct reader *s, size_t *at) {
    for (size_t n = count(&s->stack); n > 0; n--)
        if (values(&s->stack)[n - 1].kind == MARK) {
            *at = n;
            return true;
        }
    return false;
}

/* The n topmost values become a tuple. */
static cria_status make_tuple(struct reader *s, size_t n) {
    if (n > count(&s->stack)) return broken(s, "a tuple of more values than there are");
    if (n > TUPLE_MAX) return broken(s, "a tuple of more values than torch writes");
    const struct value t = {.kind = TUPLE, .i = (int64_t)count(&s->items), .n = (uint32_t)n};
    const size_t bytes = n * sizeof t;
    if (n == 0) return push(s, t); /* the stack may have no memory yet */
    cria_status st = cria_buf_append(&s->items, s->stack.data + (s->stack.len - bytes), bytes, s->err);
    for (size_t i = 0; i < n && !st; i++)
        if (values(&s->items)[(size_t)t.i + i].kind == MARK) st = broken(s, "a tuple across a mark");
    if (st) return st;
    s->stack.len -= bytes;
    return push(s, t);
}

static const struct value *item(const struct reader *s, const struct value *tuple, uint32_t i) {
    return &values(&s->items)[tuple->i + i];
}

static bool is_text(const struct value *v, const char *text) {
    return v->kind == TEXT && v->n == strlen(text) && memcmp(v->text, text, v->n) == 0;
}

/* ---- what torch calls for ---- */

/* A line of text up to its newline. */
static bool read_line(struct reader *s, const char **text, size_t *len) {
    const uint8_t *from = s->r.base + s->r.pos, *end = memchr(from, '\n', cria_reader_left(&s->r));
    if (end == NULL) return false;
    *text = (const char *)from;
    *len = (size_t)(end - from);
    s->r.pos += *len + 1;
    return true;
}

static cria_status read_global(struct reader *s) {
    const char *module, *name;
    size_t n_module, n_name;
    if (!read_line(s, &module, &n_module) || !read_line(s, &name, &n_name))
        return broken(s, "a name without an end");
    for (int64_t i = 0; i < N_GLOBALS; i++)
        if (strlen(globals[i].module) == n_module && memcmp(globals[i].module, module, n_module) == 0 &&
            strlen(globals[i].name) == n_name && memcmp(globals[i].name, name, n_name) == 0)
            return push(s, (struct value){.kind = GLOBAL, .i = i});
    char full[128];
    const size_t a = n_module < 60 ? n_module : 60, b = n_name < 60 ? n_name : 60;
    memcpy(full, module, a);
    full[a] = '.';
    memcpy(full + a + 1, name, b);
    return refused(s, "asks for", full, a + 1 + b);
}

/* ('storage', torch.FloatStorage, '17', 'cpu', 4096) */
static cria_status read_storage(struct reader *s) {
    struct value t;
    if (!pop(s, &t) || t.kind != TUPLE || t.n != 5 || !is_text(item(s, &t, 0), "storage") ||
        item(s, &t, 1)->kind != GLOBAL || item(s, &t, 1)->i < FIRST_STORAGE || item(s, &t, 2)->kind != TEXT ||
        item(s, &t, 4)->kind != INT)
        return broken(s, "what should name a storage does not");
    if (++s->n_storages > STORAGES_MAX) return broken(s, "there are too many storages");
    const struct value *key = item(s, &t, 2);
    const cria_zip *zip = &s->p->zip;
    for (size_t i = 0; i < zip->n; i++) {
        const cria_zip_member *m = &zip->members[i];
        if (m->name_len != s->data_at + key->n || memcmp(m->name + s->data_at, key->text, key->n) != 0 ||
            memcmp(m->name + s->data_at - 6, "/data/", 6) != 0)
            continue;
        if (m->deflated)
            return cria_fail(s->err, CRIA_EUNSUPPORTED, m->header,
                             "%s: the member \"%.*s\" is compressed, which torch.save does not do.",
                             s->p->path, cria_name_shown(m->name, m->name_len), m->name);
        return push(
            s, (struct value){.kind = STORAGE, .i = (int64_t)i, .dtype = (uint8_t)globals[item(s, &t, 1)->i].dtype});
    }
    return broken(s, "a tensor's storage is not in the archive");
}

/* Shape from a tuple of sizes; strides must be those of rows one after the other. */
static bool read_shape(const struct reader *s, const struct value *size, const struct value *stride,
                       cria_tensor *t) {
    if (size->kind != TUPLE || stride->kind != TUPLE || size->n != stride->n || size->n > CRIA_MAX_DIMS)
        return false;
    t->ndim = size->n;
    uint64_t step = 1;
    for (uint32_t i = size->n; i-- > 0;) {
        const struct value *n = item(s, size, i), *by = item(s, stride, i);
        if (n->kind != INT || by->kind != INT || n->i < 0 || (n->i > 1 && (uint64_t)by->i != step))
            return false;
        t->shape[i] = (uint64_t)n->i;
        if (n->i > 0 && step > UINT64_MAX / (uint64_t)n->i) return false;
        step *= (uint64_t)n->i ? (uint64_t)n->i : 1;
    }
    return true;
}

/* (storage, offset, size, stride, requires_grad, hooks[, metadata]) */
static cria_status rebuild_tensor(struct reader *s, const struct value *args) {
    if (args->n < 6 || args->n > 7 || item(s, args, 0)->kind != STORAGE || item(s, args, 1)->kind != INT)
        return broken(s, "a tensor is not described as one");
    const struct value *storage = item(s, args, 0), *offset = item(s, args, 1);
    cria_tensor t = {.dtype = (cria_dtype)storage->dtype};
    if (!read_shape(s, item(s, args, 2), item(s, args, 3), &t))
        return cria_fail(
            s->err, CRIA_EUNSUPPORTED, s->r.pos,
            "%s: the tensor at byte %zu of the pickle is not stored row by row, or has more than %d "
            "dimensions.",
            s->p->path, s->r.pos, CRIA_MAX_DIMS);
    const cria_zip_member *m = &s->p->zip.members[storage->i];
    const uint64_t bytes = cria_dtype_info(t.dtype)->bytes;
    if (!cria_tensor_nbytes(t.dtype, t.ndim, t.shape, &t.nbytes) || offset->i < 0 ||
        (uint64_t)offset->i > m->csize / bytes || t.nbytes > m->csize - (uint64_t)offset->i * bytes)
        return cria_fail(
            s->err, CRIA_EFORMAT, s->r.pos,
            "%s: a tensor claims %llu bytes from item %lld of the member \"%.*s\", which has %zu bytes.",
            s->p->path, (unsigned long long)t.nbytes, (long long)offset->i,
            cria_name_shown(m->name, m->name_len), m->name, m->csize);
    t.data = t.nbytes ? m->data + (uint64_t)offset->i * bytes : NULL;
    const struct value v = {.kind = TENSOR, .i = (int64_t)(s->tensors.len / sizeof t)};
    const cria_status st = cria_buf_append(&s->tensors, &t, sizeof t, s->err);
    return st ? st : push(s, v);
}

static cria_status call(struct reader *s) {
    struct value args, what;
    if (!pop(s, &args) || !pop(s, &what) || args.kind != TUPLE || what.kind != GLOBAL)
        return broken(s, "a call of nothing");
    if (what.i == REBUILD_TENSOR) return rebuild_tensor(s, &args);
    if (what.i == ORDERED_DICT && args.n == 0)
        return push(s, (struct value){.kind = DICT, .i = s->n_dicts++});
    return refused(s, "calls", globals[what.i].name, strlen(globals[what.i].name));
}

/* ---- dicts ---- */

/* The values from stack position `at` on are keys and values for the dict below (and below a mark). */
static cria_status set_items(struct reader *s, size_t at, size_t below) {
    const size_t n = count(&s->stack) - at;
    if (n % 2 != 0 || at < below + 1 || values(&s->stack)[at - below - 1].kind != DICT)
        return broken(s, "items for no dict");
    for (size_t i = 0; i < n; i += 2) {
        const struct value *v = values(&s->stack) + at + i;
        if (v[0].kind == MARK || v[1].kind == MARK) return broken(s, "items across a mark");
        const struct entry e = {values(&s->stack)[at - below - 1].i, v[0], v[1]};
        const cria_status st = cria_buf_append(&s->entries, &e, sizeof e, s->err);
        if (st) return st;
    }
    s->stack.len = (at - below) * sizeof(struct value);
    return CRIA_OK;
}

/* ---- the instructions ---- */

static cria_status memo_put(struct reader *s, uint64_t i) {
    if (s->stack.len == 0 || i > count(&s->memo))
        return broken(s, "a value is kept that there is not, or out of turn");
    const struct value v = values(&s->stack)[count(&s->stack) - 1];
    if (v.kind == MARK) return broken(s, "a mark is kept");
    if (i == count(&s->memo)) return cria_buf_append(&s->memo, &v, sizeof v, s->err);
    values(&s->memo)[i] = v;
    return CRIA_OK;
}

static cria_status memo_get(struct reader *s, uint64_t i) {
    if (i >= count(&s->memo)) return broken(s, "a value is asked for that was not kept");
    return push(s, values(&s->memo)[i]);
}

static cria_status read_text(struct reader *s, uint64_t len) {
    const uint8_t *p;
    if (len > UINT32_MAX || !cria_read_bytes(&s->r, len, &p))
        return broken(s, "a text reaches beyond the end");
    return push(s, (struct value){.kind = TEXT, .text = (const char *)p, .n = (uint32_t)len});
}

/* LONG1: a little-endian two's complement number of n bytes. */
static cria_status read_long(struct reader *s, uint8_t n) {
    const uint8_t *p;
    if (n > 8 || !cria_read_bytes(&s->r, n, &p)) return broken(s, "a number is too long");
    uint64_t u = 0;
    for (uint8_t i = 0; i < n; i++) u |= (uint64_t)p[i] << 8 * i;
    if (n > 0 && n < 8 && p[n - 1] & 0x80) u |= UINT64_MAX << 8 * n;
    int64_t i;
    memcpy(&i, &u, 8);
    return push(s, (struct value){.kind = INT, .i = i});
}

static cria_status unknown(struct reader *s, uint8_t op) {
    static const char digits[] = "0123456789abcdef";
    const char name[] = {'0', 'x', digits[op >> 4], digits[op & 15]};
    return refused(s, "has the instruction", name, sizeof name);
}

static cria_status step(struct reader *s, uint8_t op) {
    uint8_t u8 = 0;
    uint16_t u16 = 0;
    uint32_t u32 = 0;
    size_t at;
    struct value v;
    switch (op) {
    case 0x80: /* PROTO */
        if (!cria_read_u8(&s->r, &u8) || u8 < 2 || u8 > 3) return broken(s, "a protocol other than 2 and 3");
        return CRIA_OK;
    case '(':
        return push(s, (struct value){.kind = MARK});
    case 'N':
        return push(s, (struct value){.kind = NONE});
    case 0x88:
        return push(s, (struct value){.kind = BOOL, .i = 1}); /* NEWTRUE */
    case 0x89:
        return push(s, (struct value){.kind = BOOL}); /* NEWFALSE */
    case '}':
        return push(s, (struct value){.kind = DICT, .i = s->n_dicts++});
    case ')':
        return make_tuple(s, 0);
    case 0x85:
    case 0x86:
    case 0x87:
        return make_tuple(s, op - 0x84u);
    case 't':
        if (!find_mark(s, &at)) return broken(s, "a tuple without a mark");
        const cria_status st = make_tuple(s, count(&s->stack) - at);
        if (st) return st;
        (void)pop(s, &v);
        s->stack.len -= sizeof v; /* the mark */
        return push(s, v);
    case 'K':
        return cria_read_u8(&s->r, &u8) ? push(s, (struct value){.kind = INT, .i = u8})
                                        : broken(s, "cut off");
    case 'M':
        return cria_read_u16(&s->r, &u16) ? push(s, (struct value){.kind = INT, .i = u16})
                                          : broken(s, "cut off");
    case 'J':
        if (!cria_read_u32(&s->r, &u32)) return broken(s, "cut off");
        return push(s,
                    (struct value){.kind = INT, .i = (int64_t)u32 - (u32 >> 31 ? INT64_C(0x100000000) : 0)});
    case 0x8a:
        return cria_read_u8(&s->r, &u8) ? read_long(s, u8) : broken(s, "cut off"); /* LONG1 */
    case 'X':
        return cria_read_u32(&s->r, &u32) ? read_text(s, u32) : broken(s, "cut off");
    case 'q':
        return cria_read_u8(&s->r, &u8) ? memo_put(s, u8) : broken(s, "cut off");
    case 'r':
        return cria_read_u32(&s->r, &u32) ? memo_put(s, u32) : broken(s, "cut off");
    case 'h':
        return cria_read_u8(&s->r, &u8) ? memo_get(s, u8) : broken(s, "cut off");
    case 'j':
        return cria_read_u32(&s->r, &u32) ? memo_get(s, u32) : broken(s, "cut off");
    case 'c':
        return read_global(s);
    case 'Q':
        return read_storage(s);
    case 'R':
        return call(s);
    case 'b': /* BUILD: what else an OrderedDict has (_metadata) is of no interest */
        if (!pop(s, &v) || v.kind != DICT || s->stack.len == 0 ||
            values(&s->stack)[count(&s->stack) - 1].kind != DICT)
            return broken(s, "attributes for no dict");
        return CRIA_OK;
    case 's':
        return count(&s->stack) < 3 ? broken(s, "an item for no dict")
                                    : set_items(s, count(&s->stack) - 2, 0);
    case 'u':
        return find_mark(s, &at) ? set_items(s, at, 1) : broken(s, "items without a mark");
    default:
        return unknown(s, op);
    }
}

static cria_status run(struct reader *s, struct value *root) {
    for (;;) {
        uint8_t op;
        if (!cria_read_u8(&s->r, &op)) return broken(s, "it has no end");
        if (op == '.') break;
        const cria_status st = step(s, op);
        if (st) return st;
    }
    if (!pop(s, root) || root->kind != DICT || s->stack.len != 0)
        return broken(s, "what comes out of it is no state dict");
    return CRIA_OK;
}

/* ---- the result ---- */

static int by_name(const void *items, uint32_t a, uint32_t b) {
    const cria_tensor *t = items;
    return strcmp(t[a].name, t[b].name);
}

static cria_status sort_tensors(struct reader *s, cria_tensor *t, size_t n) {
    cria_pth *p = s->p;
    uint32_t *order = cria_malloc_array(p->ctx, n, sizeof *order);
    p->tensors = cria_malloc_array(p->ctx, n, sizeof *t);
    cria_status st = CRIA_OK;
    if (order == NULL || p->tensors == NULL) {
        st = cria_fail_nomem(s->err, "the list of tensors", n * sizeof *t);
    } else {
        cria_order_sort(order, n, by_name, t);
        for (size_t i = 0; i < n; i++) p->tensors[i] = t[order[i]];
        p->n = n;
        for (size_t i = 1; i < n && !st; i++)
            if (strcmp(p->tensors[i - 1].name, p->tensors[i].name) == 0)
                st = cria_fail(s->err, CRIA_EFORMAT, i, "%s: there are two tensors %.80s.", p->path,
                               p->tensors[i].name);
    }
    cria_free(p->ctx, order);
    return st;
}

/* The root's entries that are tensors, with their names. */
static cria_status collect(struct reader *s, const struct value *root) {
    cria_pth *p = s->p;
    const struct entry *e = (const struct entry *)(const void *)s->entries.data;
    const size_t n_entries = s->entries.len / sizeof *e;
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < n_entries; i++) {
        if (e[i].dict != root->i) continue;
        if (e[i].key.kind != TEXT || e[i].value.kind != TENSOR || !cria_name_ok(e[i].key.text, e[i].key.n))
            return broken(s, "the state dict has something other than named tensors");
        n++;
        bytes += (size_t)e[i].key.n + 1;
        /* Distinct names are distinct bytes of the pickle; a name can only be there twice by being kept. */
        if (bytes > s->r.len + n) return broken(s, "two tensors have the same name");
    }
    cria_tensor *t = cria_malloc_array(p->ctx, n ? n : 1, sizeof *t);
    p->names = cria_malloc(p->ctx, bytes);
    if (t == NULL || p->names == NULL) {
        cria_free(p->ctx, t);
        return cria_fail_nomem(s->err, "the names of tensors", bytes);
    }
    char *name = p->names;
    n = 0;
    for (size_t i = 0; i < n_entries; i++) {
        if (e[i].dict != root->i) continue;
        t[n] = ((const cria_tensor *)(const void *)s->tensors.data)[e[i].value.i];
        t[n++].name = name;
        memcpy(name, e[i].key.text, e[i].key.n);
        name += e[i].key.n;
        *name++ = '\0';
    }
    const cria_status st = sort_tensors(s, t, n);
    cria_free(p->ctx, t);
    return st;
}

/* "<folder>/data.pkl", the only one. */
static const cria_zip_member *find_pickle(const cria_zip *zip) {
    static const char name[] = "/data.pkl";
    const size_t n = sizeof name - 1;
    for (size_t i = 0; i < zip->n; i++) {
        const cria_zip_member *m = &zip->members[i];
        if (m->name_len > n && memcmp(m->name + m->name_len - n, name, n) == 0) return m;
    }
    return NULL;
}

static cria_status read_pickle(cria_pth *p, cria_error *err) {
    const cria_zip_member *m = find_pickle(&p->zip);
    if (p->zip.n > MEMBERS_MAX)
        return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                         "%s: the archive has %zu members, more than the %d allowed.", p->path, p->zip.n,
                         MEMBERS_MAX);
    if (m == NULL || m->deflated || m->csize > PICKLE_MAX)
        return cria_fail(
            err, CRIA_EFORMAT, CRIA_NOWHERE,
            "%s: is no archive as torch.save writes it since version 1.6: there is no member data.pkl, or it "
            "is compressed or longer than %d bytes.",
            p->path, PICKLE_MAX);
    struct reader s = {.p = p, .r = cria_reader_init(m->data, m->csize), .err = err};
    s.data_at = m->name_len - strlen("data.pkl") + strlen("data/");
    cria_buf *const bufs[] = {&s.stack, &s.memo, &s.items, &s.entries, &s.tensors};
    /* An instruction makes at most 64 items, and those only from values that are taken off the stack. */
    for (size_t i = 0; i < 5; i++) cria_buf_init(bufs[i], p->ctx, (size_t)PICKLE_MAX * 8);
    struct value root;
    cria_status st = run(&s, &root);
    if (!st) st = collect(&s, &root);
    for (size_t i = 0; i < 5; i++) cria_buf_fini(bufs[i]);
    return st;
}

cria_status cria_pth_open_memory(cria_ctx *ctx, const void *data, size_t len, const char *path, cria_pth *out,
                                 cria_error *err) {
    cria_pth p = {.ctx = ctx, .path = path};
    cria_status st = cria_zip_init(&p.zip, ctx, path, data, len, err);
    if (st) return st;
    st = read_pickle(&p, err);
    if (st)
        cria_pth_close(&p);
    else
        *out = p;
    return st;
}

cria_status cria_pth_open(cria_ctx *ctx, const char *path, cria_pth *out, cria_error *err) {
    cria_mapfile map;
    cria_status st = cria_mapfile_open(path, &map, err);
    if (st) return st;
    st = cria_pth_open_memory(ctx, map.data, map.len, path, out, err);
    if (st)
        cria_mapfile_close(&map);
    else
        out->map = map;
    return st;
}

void cria_pth_close(cria_pth *p) {
    if (p->ctx == NULL) return;
    cria_zip_fini(&p->zip);
    cria_free(p->ctx, p->tensors);
    cria_free(p->ctx, p->names);
    cria_mapfile_close(&p->map);
    *p = (cria_pth){0};
}

const cria_tensor *cria_pth_find(const cria_pth *p, const char *name) {
    for (size_t low = 0, high = p->n; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, p->tensors[middle].name);
        if (order == 0) return &p->tensors[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
