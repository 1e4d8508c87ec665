/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of attend: one KV block, one KV head, online softmax (kernels.h). */
#include "base/half.h"
#include "kernels/ref/ref.h"
#include <math.h>

static float load(const void *p, enum cria_kv_elem kv, size_t i) {
    return kv == CRIA_KV_ELEM_F32 ? ((const float *)p)[i] : cria_f16_to_f32(((const uint16_t *)p)[i]);
}

static void attend_one(const cria_attend *a, uint32_t r) {
    const uint32_t n = a->visible[r], e = a->e;
    if (n == 0) return;
    const float *q = a->q + r * a->ldq;
    float *o = a->o + r * a->ldo;
    float w[CRIA_KV_BLOCK]; /* scores, then weights */
    float max = a->m[r];
    for (uint32_t p = 0; p < n; p++) {
        const size_t k0 = (size_t)(p / 16) * e * 16 + p % 16;
        w[p] = 0.0f;
        for (uint32_t i = 0; i < e; i++) w[p] = fmaf(q[i], load(a->k, a->kv, k0 + (size_t)i * 16), w[p]);
        if (w[p] > max) max = w[p];
    }
    max += 0.0f;
    const float c = cria_expf(a->m[r] - max);

    float lane[16] = {0};
    for (uint32_t p = 0; p < n; p++) {
        w[p] = cria_expf(w[p] - max);
        lane[p % 16] += w[p];
    }
    for (uint32_t half = 8; half > 0; half /= 2)
        for (uint32_t j = 0; j < half; j++) lane[j] += lane[j + half];
    a->l[r] = fmaf(a->l[r], c, lane[0]);
    a->m[r] = max;

    for (uint32_t i = 0; i < e; i++) {
        float acc = o[i] * c;
        for (uint32_t p = 0; p < n; p++) acc = fmaf(w[p], load(a->v, a->kv, (size_t)p * e + i), acc);
        o[i] = acc;
    }
}

void cria_attend_ref(const cria_attend *a) {
    for (uint32_t r = 0; r < a->n_q; r++) attend_one(a, r);
}
