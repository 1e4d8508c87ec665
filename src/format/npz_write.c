/* SPDX-License-Identifier: Apache-2.0 */
/* Writing npz; see write.h. Sources: numpy/lib/format.py (NEP 1) for the header of an array, PKWARE
 * APPNOTE.TXT 6.3.10 for the archive. */
#include "format/write.h"

#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"
#include "format/zip.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    LEN_LOCAL = 30,
    LEN_CENTRAL = 46,
    LEN_EXTRA_LOCAL = 20,   /* ZIP64: both sizes */
    LEN_EXTRA_CENTRAL = 28, /* and the offset */
    LEN_END = 22,
    LEN_END64 = 56,
    LEN_LOCATOR64 = 20,
    ALIGN = 64,
    NPY_PREFIX = 10,
    DATE = 1 << 5 | 1, /* the 1st of January 1980: the same tensors give the same bytes */
    VERSION = 20,
    VERSION_64 = 45
};
#define SATURATED UINT32_MAX

/* Bytes go to p; with p NULL they are only counted. */
struct cursor {
    uint8_t *p;
    uint64_t at;
};

static void put(struct cursor *c, const void *data, size_t n) {
    if (c->p != NULL) memcpy(c->p + c->at, data, n);
    c->at += n;
}

static void put_number(struct cursor *c, uint64_t v, unsigned n_bytes) {
    uint8_t bytes[8];
    for (unsigned i = 0; i < n_bytes; i++) bytes[i] = (uint8_t)(v >> 8 * i);
    put(c, bytes, n_bytes);
}

static const char *descr(cria_dtype type) {
    switch (type) {
    case CRIA_DTYPE_F64:
        return "<f8";
    case CRIA_DTYPE_F32:
        return "<f4";
    case CRIA_DTYPE_F16:
        return "<f2";
    case CRIA_DTYPE_BF16:
        return "<V2";
    case CRIA_DTYPE_U8:
        return "|u1";
    case CRIA_DTYPE_I8:
        return "|i1";
    case CRIA_DTYPE_U16:
        return "<u2";
    case CRIA_DTYPE_I16:
        return "<i2";
    case CRIA_DTYPE_U32:
        return "<u4";
    case CRIA_DTYPE_I32:
        return "<i4";
    case CRIA_DTYPE_U64:
        return "<u8";
    case CRIA_DTYPE_I64:
        return "<i8";
    default:
        return "";
    }
}

/* The header of an array that begins at offset `at` of the archive: padded so that its data is aligned there.
 */
static size_t npy_header(const cria_write_tensor *t, uint64_t at, char out[512]) {
    int n = snprintf(out, 256, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr(t->dtype));
    for (uint32_t i = 0; i < t->ndim; i++)
        n += snprintf(out + n, 256 - (size_t)n, "%s%" PRIu64 "%s", i ? ", " : "", t->shape[i],
                      t->ndim == 1 ? "," : "");
    n += snprintf(out + n, 256 - (size_t)n, "), }");
    while ((at + NPY_PREFIX + (uint64_t)n + 1) % ALIGN != 0) out[n++] = ' ';
    out[n++] = '\n';
    return (size_t)n;
}

/* Of a member as stored: its array's header and data. */
struct member {
    uint64_t header, size; /* offset of the local header; bytes stored */
    uint32_t crc;
    bool big; /* needs ZIP64 sizes */
};

static void put_common(struct cursor *c, const struct member *m, unsigned version, size_t name_len,
                       unsigned extra_len) {
    put_number(c, version, 2);
    put_number(c, 0, 2); /* flags */
    put_number(c, 0, 2); /* stored */
    put_number(c, 0, 2); /* time */
    put_number(c, DATE, 2);
    put_number(c, m->crc, 4);
    put_number(c, m->big ? SATURATED : m->size, 4);
    put_number(c, m->big ? SATURATED : m->size, 4);
    put_number(c, name_len, 2);
    put_number(c, extra_len, 2);
}

/* A member up to its data, which begins at c->at afterwards. */
static void put_local(struct cursor *c, const cria_write_tensor *t, struct member *m) {
    const size_t name_len = strlen(t->name) + 4;
    m->header = c->at;
    m->big = t->n_bytes >= SATURATED - 512; /* the header's length is not known yet */
    const uint64_t npy = c->at + LEN_LOCAL + name_len + (m->big ? LEN_EXTRA_LOCAL : 0);
    char head[512];
    const size_t head_len = npy_header(t, npy, head);
    m->size = NPY_PREFIX + head_len + t->n_bytes;
    put_number(c, 0x04034b50, 4);
    put_common(c, m, m->big ? VERSION_64 : VERSION, name_len, m->big ? LEN_EXTRA_LOCAL : 0);
    put(c, t->name, name_len - 4);
    put(c, ".npy", 4);
    if (m->big) {
        put_number(c, 1, 2);
        put_number(c, 16, 2);
        put_number(c, m->size, 8);
        put_number(c, m->size, 8);
    }
    put(c, "\x93NUMPY\x01\x00", 8);
    put_number(c, head_len, 2);
    put(c, head, head_len);
}

static void put_central(struct cursor *c, const cria_write_tensor *t, const struct member *m) {
    const size_t name_len = strlen(t->name) + 4;
    const bool big = m->big || m->header >= SATURATED;
    struct member all = *m;
    all.big = big; /* saturate all three, so that the extra field has one shape */
    put_number(c, 0x02014b50, 4);
    put_number(c, 3 << 8 | (big ? VERSION_64 : VERSION), 2); /* made by: Unix */
    put_common(c, &all, big ? VERSION_64 : VERSION, name_len, big ? LEN_EXTRA_CENTRAL : 0);
    put_number(c, 0, 2); /* comment */
    put_number(c, 0, 2); /* disk */
    put_number(c, 0, 2);
    put_number(c, 0600u << 16, 4);
    put_number(c, big ? SATURATED : m->header, 4);
    put(c, t->name, name_len - 4);
    put(c, ".npy", 4);
    if (big) {
        put_number(c, 1, 2);
        put_number(c, 24, 2);
        put_number(c, m->size, 8);
        put_number(c, m->size, 8);
        put_number(c, m->header, 8);
    }
}

static void put_end(struct cursor *c, uint64_t directory, size_t n) {
    const uint64_t end = c->at, size = end - directory;
    const bool big = n >= 0xffff || size >= SATURATED || directory >= SATURATED;
    if (big) {
        put_number(c, 0x06064b50, 4);
        put_number(c, LEN_END64 - 12, 8);
        put_number(c, 3 << 8 | VERSION_64, 2);
        put_number(c, VERSION_64, 2);
        put_number(c, 0, 4);
        put_number(c, 0, 4);
        put_number(c, n, 8);
        put_number(c, n, 8);
        put_number(c, size, 8);
        put_number(c, directory, 8);
        put_number(c, 0x07064b50, 4);
        put_number(c, 0, 4);
        put_number(c, end, 8);
        put_number(c, 1, 4);
    }
    put_number(c, 0x06054b50, 4);
    put_number(c, 0, 4); /* disks */
    put_number(c, big ? 0xffff : n, 2);
    put_number(c, big ? 0xffff : n, 2);
    put_number(c, big ? SATURATED : size, 4);
    put_number(c, big ? SATURATED : directory, 4);
    put_number(c, 0, 2);
}

/* All but the data. Without a mapping it is only measured; with one, data pointers are set, and checksums are
 * those of what is there now. */
static uint64_t lay_out(uint8_t *map, cria_write_tensor *t, size_t n, struct member *m) {
    struct cursor c = {map, 0};
    for (size_t i = 0; i < n; i++) {
        put_local(&c, &t[i], &m[i]);
        if (map != NULL) t[i].data = map + c.at;
        c.at += t[i].n_bytes;
    }
    const uint64_t directory = c.at;
    for (size_t i = 0; i < n; i++) put_central(&c, &t[i], &m[i]);
    put_end(&c, directory, n);
    return c.at;
}

cria_status cria_npz_create(cria_ctx *ctx, const char *folder, const char *file, cria_write_tensor *t,
                            size_t n, cria_outfile *out, cria_error *err) {
    size_t sum = 0;
    bool fits = true;
    for (size_t i = 0; i < n && fits; i++) {
        const size_t name_len = strlen(t[i].name);
        fits = name_len < 0x8000 && cria_add_ok(sum, t[i].n_bytes, &sum) &&
               cria_add_ok(sum, 2 * name_len + 1024, &sum);
    }
    if (!fits || sum > INT64_MAX)
        return cria_fail(err, CRIA_EFULL, CRIA_NOWHERE, "%s would be too large for a file.", file);
    struct member *m = cria_calloc(ctx, n ? n : 1, sizeof *m);
    if (m == NULL) return cria_fail_nomem(err, "the list of members", n * sizeof *m);
    const cria_status st =
        cria_outfile_create(ctx, folder, file, (size_t)lay_out(NULL, t, n, m), CRIA_FILE_COMMON, out, err);
    if (!st) lay_out(out->data, t, n, m);
    cria_free(ctx, m);
    return st;
}

/* The places of the checksums are found again as a reader finds them, from the end. */
void cria_npz_seal(cria_outfile *file, const cria_write_tensor *t, size_t n) {
    const uint8_t *end = file->data + file->len - LEN_END;
    uint64_t at = cria_load_u32(end + 16);
    if (at == SATURATED) at = cria_load_u64(end - LEN_LOCATOR64 - LEN_END64 + 48);
    for (size_t i = 0; i < n; i++) {
        uint8_t *central = file->data + at;
        const size_t name_len = cria_load_u16(central + 28), extra_len = cria_load_u16(central + 30);
        uint64_t local = cria_load_u32(central + 42), size = cria_load_u32(central + 24);
        if (extra_len != 0) {
            size = cria_load_u64(central + LEN_CENTRAL + name_len + 4);
            local = cria_load_u64(central + LEN_CENTRAL + name_len + 20);
        }
        const uint8_t *begin = t[i].data - (size - t[i].n_bytes); /* the array's header and data */
        struct cursor c = {central, 16};
        const uint32_t crc = cria_zip_crc32(begin, (size_t)size);
        put_number(&c, crc, 4);
        c = (struct cursor){file->data + local, 14};
        put_number(&c, crc, 4);
        at += LEN_CENTRAL + name_len + extra_len;
    }
}
