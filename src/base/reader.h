/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds-checked little-endian cursor over bytes in memory: the only way file bytes are read. A read past the end
 * returns false, leaves the position and the out-parameter alone. Unaligned positions are fine. */
#ifndef CRIA_BASE_READER_H
#define CRIA_BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct cria_reader {
    const uint8_t *base;
    size_t len, pos; /* pos <= len always */
} cria_reader;

static inline cria_reader cria_reader_init(const void *base, size_t len) {
    cria_reader r = {(const uint8_t *)base, len, 0};
    return r;
}
static inline size_t cria_reader_left(const cria_reader *r) { return r->len - r->pos; }
static inline bool cria_reader_seek(cria_reader *r, uint64_t pos) {
    if (pos > r->len) return false;
    r->pos = (size_t)pos;
    return true;
}
/* Borrows n bytes. */
static inline bool cria_read_bytes(cria_reader *r, uint64_t n, const uint8_t **out) {
    if (n > r->len - r->pos) return false;
    *out = r->base + r->pos;
    r->pos += (size_t)n;
    return true;
}
static inline uint16_t cria_load_u16(const uint8_t *p) { return (uint16_t)(p[0] | (unsigned)p[1] << 8); }
static inline uint32_t cria_load_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t cria_load_u64(const uint8_t *p) {
    return (uint64_t)cria_load_u32(p) | (uint64_t)cria_load_u32(p + 4) << 32;
}
static inline bool cria_read_u8(cria_reader *r, uint8_t *out) {
    const uint8_t *p;
    if (!cria_read_bytes(r, 1, &p)) return false;
    *out = p[0];
    return true;
}
static inline bool cria_read_u16(cria_reader *r, uint16_t *out) {
    const uint8_t *p;
    if (!cria_read_bytes(r, 2, &p)) return false;
    *out = cria_load_u16(p);
    return true;
}
static inline bool cria_read_u32(cria_reader *r, uint32_t *out) {
    const uint8_t *p;
    if (!cria_read_bytes(r, 4, &p)) return false;
    *out = cria_load_u32(p);
    return true;
}
static inline bool cria_read_u64(cria_reader *r, uint64_t *out) {
    const uint8_t *p;
    if (!cria_read_bytes(r, 8, &p)) return false;
    *out = cria_load_u64(p);
    return true;
}
static inline bool cria_read_f32(cria_reader *r, float *out) {
    uint32_t u;
    if (!cria_read_u32(r, &u)) return false;
    memcpy(out, &u, 4);
    return true;
}
static inline bool cria_read_f64(cria_reader *r, double *out) {
    uint64_t u;
    if (!cria_read_u64(r, &u)) return false;
    memcpy(out, &u, 8);
    return true;
}

#endif
