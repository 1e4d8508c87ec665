/* SPDX-License-Identifier: Apache-2.0 */
/* ZIP directory and members; see zip.h. The only door to libdeflate. */
#include "format/zip.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/status.h"
#include "format/order.h"
#include "format/parse.h"
#include <libdeflate.h>

enum {
    SIG_LOCAL = 0x04034b50,
    SIG_CENTRAL = 0x02014b50,
    SIG_END = 0x06054b50,
    SIG_END64 = 0x06064b50,
    SIG_LOCATOR64 = 0x07064b50,

    LEN_LOCAL = 30,
    LEN_CENTRAL = 46,
    LEN_END = 22,
    LEN_END64 = 56,
    LEN_LOCATOR64 = 20,

    FLAG_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13, /* traditional, strong, masked headers */
    FLAG_SIZES_FOLLOW = 1 << 3, /* a data descriptor after the data; its local header says 0 */
    FLAG_PATCH = 1 << 5,

    METHOD_STORED = 0,
    METHOD_DEFLATE = 8,

    EXTRA_ZIP64 = 1,

    /* Deflate's best case is 258 bytes from a 1-bit length code and a 1-bit distance code: 258·8/2 bytes per
       byte. */
    MAX_RATIO = 1032,

    /* Far above any model; keeps member numbers in 32 bits. */
    MAX_MEMBERS = 1 << 24
};

/* Where the central directory lies. */
struct directory {
    uint64_t n, size, offset;
    uint64_t end; /* offset of the record that must follow it */
};

static cria_status damaged(const cria_zip *zip, uint64_t where, cria_error *err, const char *what) {
    return cria_fail(err, CRIA_EFORMAT, where,
                     "%s: %s at byte %llu of %zu; the ZIP archive is cut off or damaged, get it again.",
                     zip->path, what, (unsigned long long)where, zip->len);
}

/* The end record is followed by a comment of up to 65535 bytes that must reach the end of the file. */
static bool find_end(const cria_zip *zip, size_t *end) {
    if (zip->len < LEN_END) return false;
    const size_t last = zip->len - LEN_END;
    for (size_t comment = 0; comment <= 65535 && comment <= last; comment++) {
        const uint8_t *p = zip->data + (last - comment);
        if (cria_load_u32(p) == SIG_END && cria_load_u16(p + 20) == comment) {
            *end = last - comment;
            return true;
        }
    }
    return false;
}

static cria_status several_disks(const cria_zip *zip, uint64_t where, cria_error *err) {
    return cria_fail(err, CRIA_EUNSUPPORTED, where,
                     "%s: the ZIP archive is split over several disks; join it into one file first.",
                     zip->path);
}

/* A field of the end record that is not saturated must say what the ZIP64 record says. */
static bool agrees(uint64_t small, uint64_t saturated, uint64_t big) {
    return small == saturated || small == big;
}

static cria_status read_end64(const cria_zip *zip, size_t end, struct directory *dir, cria_error *err) {
    const size_t locator = end - LEN_LOCATOR64;
    const uint64_t at = cria_load_u64(zip->data + locator + 8);
    if (at > locator || locator - at < LEN_END64 || cria_load_u32(zip->data + at) != SIG_END64)
        return damaged(zip, locator, err, "the ZIP64 locator points to no ZIP64 end record");
    const uint8_t *p = zip->data + at;
    if (cria_load_u64(p + 4) != locator - at - 12)
        return damaged(zip, at, err, "the ZIP64 end record does not reach its locator");
    if (cria_load_u32(p + 16) != 0 || cria_load_u32(p + 20) != 0 ||
        cria_load_u64(p + 24) != cria_load_u64(p + 32))
        return several_disks(zip, at, err);
    const struct directory big = {cria_load_u64(p + 32), cria_load_u64(p + 40), cria_load_u64(p + 48), at};
    if (!agrees(dir->n, 0xffff, big.n) || !agrees(dir->size, 0xffffffff, big.size) ||
        !agrees(dir->offset, 0xffffffff, big.offset))
        return damaged(zip, at, err, "the ZIP64 end record contradicts the end record");
    *dir = big;
    return CRIA_OK;
}

static cria_status find_directory(const cria_zip *zip, struct directory *dir, cria_error *err) {
    size_t end;
    if (!find_end(zip, &end))
        return damaged(zip, zip->len, err, "there is no end record of a ZIP archive before its end");
    const uint8_t *p = zip->data + end;
    if (cria_load_u16(p + 4) != 0 || cria_load_u16(p + 6) != 0 ||
        cria_load_u16(p + 8) != cria_load_u16(p + 10))
        return several_disks(zip, end, err);
    *dir = (struct directory){cria_load_u16(p + 10), cria_load_u32(p + 12), cria_load_u32(p + 16), end};
    if (end >= LEN_LOCATOR64 && cria_load_u32(p - LEN_LOCATOR64) == SIG_LOCATOR64) {
        const cria_status st = read_end64(zip, end, dir, err);
        if (st != CRIA_OK) return st;
    }
    if (dir->offset > dir->end || dir->size != dir->end - dir->offset)
        return cria_fail(
            err, CRIA_EFORMAT, end,
            "%s: the ZIP directory of %llu bytes at byte %llu does not end at byte %llu, where its end "
            "record is; the archive is cut off, damaged or has something put before it.",
            zip->path, (unsigned long long)dir->size, (unsigned long long)dir->offset,
            (unsigned long long)dir->end);
    if (dir->n > dir->size / LEN_CENTRAL)
        return cria_fail(
            err, CRIA_EFORMAT, end,
            "%s: the ZIP archive claims %llu members, but its directory of %llu bytes has room for at most "
            "%llu; the file is damaged.",
            zip->path, (unsigned long long)dir->n, (unsigned long long)dir->size,
            (unsigned long long)(dir->size / LEN_CENTRAL));
    if (dir->n > MAX_MEMBERS)
        return cria_fail(err, CRIA_EUNSUPPORTED, end,
                         "%s: the ZIP archive has %llu members, more than the %d allowed.", zip->path,
                         (unsigned long long)dir->n, MAX_MEMBERS);
    return CRIA_OK;
}

static const char *method_name(unsigned method) {
    switch (method) {
    case 9:
        return "deflate64";
    case 12:
        return "bzip2";
    case 14:
        return "LZMA";
    case 20:
    case 93:
        return "zstd";
    case 95:
        return "xz";
    case 99:
        return "AES encryption";
    default:
        return "unknown";
    }
}

static cria_status check_method(const cria_zip *zip, const cria_zip_member *m, unsigned flags,
                                unsigned method, cria_error *err) {
    const int shown = cria_name_shown(m->name, m->name_len);
    if (flags & FLAG_ENCRYPTED)
        return cria_fail(err, CRIA_EUNSUPPORTED, m->header,
                         "%s: member \"%.*s\" is encrypted; save the arrays without a password.", zip->path,
                         shown, m->name);
    if (flags & FLAG_PATCH || (method != METHOD_STORED && method != METHOD_DEFLATE))
        return cria_fail(
            err, CRIA_EUNSUPPORTED, m->header,
            "%s: member \"%.*s\" is compressed with method %u (%s), but only stored (0) and deflated (8) "
            "members can be read; save the arrays with mx.savez or np.savez.",
            zip->path, shown, m->name, method, flags & FLAG_PATCH ? "patched data" : method_name(method));
    return CRIA_OK;
}

/* Replaces saturated sizes and offset by those of the ZIP64 extra field, which holds only these, in this
 * order. */
static bool apply_zip64(cria_reader extra, uint64_t *usize, uint64_t *csize, uint64_t *header) {
    uint64_t *const wanted[3] = {usize, csize, header};
    bool missing = *usize == 0xffffffff || *csize == 0xffffffff || *header == 0xffffffff;
    uint16_t id, len;
    const uint8_t *body;
    while (missing && cria_read_u16(&extra, &id) && cria_read_u16(&extra, &len) &&
           cria_read_bytes(&extra, len, &body)) {
        if (id != EXTRA_ZIP64) continue;
        cria_reader r = cria_reader_init(body, len);
        for (int i = 0; i < 3; i++)
            if (*wanted[i] == 0xffffffff && !cria_read_u64(&r, wanted[i])) return false;
        missing = false;
    }
    return !missing;
}

/* The local header must tell the same story; it alone says where the data begins. */
static cria_status locate_data(const cria_zip *zip, cria_zip_member *m, unsigned flags, unsigned method,
                               uint64_t directory, cria_error *err) {
    const uint8_t *p = zip->data + m->header;
    if (directory - m->header < LEN_LOCAL || cria_load_u32(p) != SIG_LOCAL)
        return damaged(zip, m->header, err, "a member has no local header");
    const unsigned local_flags = cria_load_u16(p + 6);
    const uint32_t csize = cria_load_u32(p + 18), usize = cria_load_u32(p + 22);
    const size_t name_len = cria_load_u16(p + 26);
    const uint64_t skip = LEN_LOCAL + (uint64_t)name_len + cria_load_u16(p + 28);
    if (skip > directory - m->header)
        return damaged(zip, m->header, err, "a local header reaches into the ZIP directory");
    if (name_len != m->name_len || memcmp(p + LEN_LOCAL, m->name, name_len) != 0 ||
        cria_load_u16(p + 8) != method || (local_flags ^ flags) & (FLAG_ENCRYPTED | FLAG_PATCH))
        return damaged(zip, m->header, err, "a local header contradicts the ZIP directory");
    if (!(local_flags & FLAG_SIZES_FOLLOW) &&
        (!agrees(csize, 0xffffffff, m->csize) || !agrees(usize, 0xffffffff, m->usize)))
        return damaged(zip, m->header, err, "the sizes in a local header contradict the ZIP directory");
    if (m->csize > directory - m->header - skip)
        return cria_fail(
            err, CRIA_EFORMAT, m->header,
            "%s: member \"%.*s\" claims %zu bytes, but there are only %llu before the ZIP directory; the "
            "file is damaged.",
            zip->path, cria_name_shown(m->name, m->name_len), m->name, m->csize,
            (unsigned long long)(directory - m->header - skip));
    m->data = p + skip;
    return CRIA_OK;
}

static cria_status check_sizes(const cria_zip *zip, const cria_zip_member *m, uint64_t usize, uint64_t csize,
                               cria_error *err) {
    const int shown = cria_name_shown(m->name, m->name_len);
    if (csize > zip->len)
        return cria_fail(err, CRIA_EFORMAT, m->header,
                         "%s: member \"%.*s\" claims %llu bytes in a file of %zu; the file is damaged.",
                         zip->path, shown, m->name, (unsigned long long)csize, zip->len);
    if (!m->deflated && usize != csize)
        return cria_fail(
            err, CRIA_EFORMAT, m->header,
            "%s: member \"%.*s\" is stored without compression, but claims %llu bytes stored and %llu "
            "read; the file is damaged.",
            zip->path, shown, m->name, (unsigned long long)csize, (unsigned long long)usize);
    if (usize > SIZE_MAX || usize / MAX_RATIO > csize ||
        (usize / MAX_RATIO == csize && usize % MAX_RATIO != 0))
        return cria_fail(
            err, CRIA_EFORMAT, m->header,
            "%s: member \"%.*s\" claims %llu bytes inflated from %llu, more than the %d-fold that deflate "
            "can reach; the file is damaged or made to exhaust memory.",
            zip->path, shown, m->name, (unsigned long long)usize, (unsigned long long)csize, MAX_RATIO);
    return CRIA_OK;
}

static cria_status read_member(const cria_zip *zip, cria_reader *r, uint64_t directory, cria_zip_member *m,
                               cria_error *err) {
    const size_t at = (size_t)directory + r->pos;
    const uint8_t *p, *name, *extra, *comment;
    if (!cria_read_bytes(r, LEN_CENTRAL, &p) || cria_load_u32(p) != SIG_CENTRAL)
        return damaged(zip, at, err, "there is no entry of the ZIP directory");
    const unsigned flags = cria_load_u16(p + 8), method = cria_load_u16(p + 10);
    const size_t extra_len = cria_load_u16(p + 30);
    uint64_t csize = cria_load_u32(p + 20), usize = cria_load_u32(p + 24), header = cria_load_u32(p + 42);
    m->crc = cria_load_u32(p + 16);
    m->name_len = cria_load_u16(p + 28);
    if (!cria_read_bytes(r, m->name_len, &name) || !cria_read_bytes(r, extra_len, &extra) ||
        !cria_read_bytes(r, cria_load_u16(p + 32), &comment))
        return damaged(zip, at, err, "an entry of the ZIP directory reaches beyond its end");
    m->name = (const char *)name;
    m->deflated = method == METHOD_DEFLATE;
    if (!cria_name_ok(m->name, m->name_len))
        return damaged(zip, at, err, "the name of a member is empty or no UTF-8 text");
    if (cria_load_u16(p + 34) != 0) return several_disks(zip, at, err);
    if (!apply_zip64(cria_reader_init(extra, extra_len), &usize, &csize, &header))
        return damaged(zip, at, err, "an entry of the ZIP directory lacks its ZIP64 sizes");
    if (header >= directory)
        return damaged(zip, at, err, "a member begins behind the start of the ZIP directory");
    m->header = (size_t)header;
    cria_status st = check_method(zip, m, flags, method, err);
    if (st == CRIA_OK) st = check_sizes(zip, m, usize, csize, err);
    if (st != CRIA_OK) return st;
    m->csize = (size_t)csize;
    m->usize = (size_t)usize;
    return locate_data(zip, m, flags, method, directory, err);
}

static int by_header(const void *items, uint32_t a, uint32_t b) {
    const cria_zip_member *m = items;
    return m[a].header < m[b].header ? -1 : m[a].header > m[b].header;
}

static cria_status refuse_overlaps(const cria_zip *zip, cria_error *err) {
    uint32_t *order = cria_malloc_array(zip->ctx, zip->n, sizeof *order);
    if (order == NULL) return cria_fail_nomem(err, "the list of ZIP members", zip->n * sizeof *order);
    cria_order_sort(order, zip->n, by_header, zip->members);
    cria_status st = CRIA_OK;
    for (size_t i = 1; i < zip->n && st == CRIA_OK; i++) {
        const cria_zip_member *a = &zip->members[order[i - 1]], *b = &zip->members[order[i]];
        const size_t end = (size_t)(a->data - zip->data) + a->csize;
        if (end > b->header)
            st = cria_fail(
                err, CRIA_EFORMAT, b->header,
                "%s: member \"%.*s\" ends at byte %zu, but \"%.*s\" begins at byte %zu; members that overlap "
                "are refused.",
                zip->path, cria_name_shown(a->name, a->name_len), a->name, end,
                cria_name_shown(b->name, b->name_len), b->name, b->header);
    }
    cria_free(zip->ctx, order);
    return st;
}

cria_status cria_zip_init(cria_zip *zip, cria_ctx *ctx, const char *path, const uint8_t *data, size_t len,
                          cria_error *err) {
    *zip = (cria_zip){.ctx = ctx, .path = path, .data = data, .len = len};
    struct directory dir = {0, 0, 0, 0};
    cria_status st = find_directory(zip, &dir, err);
    if (st != CRIA_OK) return st;
    const size_t n = (size_t)dir.n; /* at most dir.size / 46, and the directory lies in memory */
    zip->members = cria_calloc(ctx, n, sizeof *zip->members);
    if (zip->members == NULL)
        return cria_fail_nomem(err, "the list of ZIP members", n * sizeof *zip->members);
    cria_reader r = cria_reader_init(data + dir.offset, (size_t)dir.size);
    for (; zip->n < n && st == CRIA_OK; zip->n++)
        st = read_member(zip, &r, dir.offset, &zip->members[zip->n], err);
    if (st == CRIA_OK && cria_reader_left(&r) != 0)
        st = damaged(zip, dir.offset + r.pos, err, "the ZIP directory goes on after its last member");
    if (st == CRIA_OK) st = refuse_overlaps(zip, err);
    if (st != CRIA_OK) cria_zip_fini(zip);
    return st;
}

void cria_zip_fini(cria_zip *zip) {
    cria_free(zip->ctx, zip->members);
    zip->members = NULL;
    zip->n = 0;
}

/* The decompressor (about 11 KB) comes from the C library: libdeflate before 1.19 takes no allocator but a
 * global. */
cria_status cria_zip_inflate(const cria_zip *zip, const cria_zip_member *member, uint8_t *out,
                             cria_error *err) {
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    if (d == NULL) return cria_fail_nomem(err, "inflating a ZIP member", 11 * 1024);
    size_t used, got;
    const enum libdeflate_result result =
        libdeflate_deflate_decompress_ex(d, member->data, member->csize, out, member->usize, &used, &got);
    libdeflate_free_decompressor(d);
    const int shown = cria_name_shown(member->name, member->name_len);
    if (result != LIBDEFLATE_SUCCESS || got != member->usize || used != member->csize)
        return cria_fail(
            err, CRIA_EFORMAT, (uint64_t)(member->data - zip->data),
            "%s: member \"%.*s\" does not inflate from %zu to %zu bytes; the file is damaged, get it "
            "again.",
            zip->path, shown, member->name, member->csize, member->usize);
    const uint32_t crc = libdeflate_crc32(0, out, member->usize);
    if (crc != member->crc)
        return cria_fail(
            err, CRIA_EFORMAT, (uint64_t)(member->data - zip->data),
            "%s: member \"%.*s\" has the CRC-32 %08x, but the ZIP directory says %08x; the file is "
            "damaged, get it again.",
            zip->path, shown, member->name, (unsigned)crc, (unsigned)member->crc);
    return CRIA_OK;
}

uint32_t cria_zip_crc32(const uint8_t *data, size_t len) { return libdeflate_crc32(0, data, len); }
