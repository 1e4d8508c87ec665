/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a container from memory and uses all of it: what fuzz_npz.c, fuzz_safetensors.c and fuzz_gguf.c share. */
#ifndef CRIA_FUZZ_WALK_CONTAINER_H
#define CRIA_FUZZ_WALK_CONTAINER_H

#include "format/container.h"
#include "guard.h"

static inline void walk_tensors(const cria_container *c) {
    volatile uint8_t seen;
    for (size_t i = 0; i < cria_container_count(c); i++) {
        const cria_tensor *t = cria_container_at(c, i);
        uint64_t nbytes;
        GUARD_CHECK(cria_container_find(c, t->name) == t);
        GUARD_CHECK(t->ndim <= CRIA_MAX_DIMS && cria_tensor_nbytes(t->dtype, t->ndim, t->shape, &nbytes));
        GUARD_CHECK(nbytes == t->nbytes);
        if (nbytes == 0) continue;
        seen = t->data[0];
        seen = t->data[nbytes - 1];
    }
    (void)seen;
}

static inline void walk_array(const cria_meta *m) {
    volatile char seen;
    cria_str s;
    double f;
    int64_t n;
    cria_meta_iter it = cria_meta_begin(m);
    for (;;) {
        cria_meta_iter same = it;
        if (cria_meta_next_str(&it, &s)) {
            if (s.len != 0) seen = s.data[s.len - 1];
        } else if (cria_meta_next_f64(&it, &f)) {
            cria_meta_next_i64(&same, &n);
        } else {
            break;
        }
    }
    GUARD_CHECK(it.left == 0 || m->v.a.type == CRIA_META_BOOL);
    (void)seen;
}

static inline void walk_metas(const cria_container *c) {
    char key[65536];
    for (size_t i = 0; i < cria_meta_count(c); i++) {
        const cria_meta *m = cria_meta_at(c, i);
        uint64_t u;
        double f;
        bool b;
        cria_str s;
        memcpy(key, m->key.data, m->key.len);
        key[m->key.len] = 0;
        GUARD_CHECK(cria_meta_find(c, key) == m);
        GUARD_CHECK(cria_meta_str(c, key, &s) == (m->type == CRIA_META_STRING));
        GUARD_CHECK(cria_meta_bool(c, key, &b) == (m->type == CRIA_META_BOOL));
        GUARD_CHECK(!cria_meta_u64(c, key, &u) || cria_meta_f64(c, key, &f));
        walk_array(m);
    }
}

static inline void walk_container(cria_ctx *ctx, const uint8_t *data, size_t len) {
    cria_container *c = NULL;
    cria_error err;
    if (cria_container_open_memory(ctx, data, len, "input", &c, &err) != CRIA_OK) {
        GUARD_CHECK(c == NULL && err.code != CRIA_OK && strlen(err.msg) != 0);
        return;
    }
    walk_tensors(c);
    walk_metas(c);
    cria_container_close(c);
}

#endif
