/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of attend: one KV block, one KV head, online softmax (kernels.h). */
#include "base/half.h"
#include "kernels/ref/ref.h"
#include <math.h>

static float load(const void *p, enum cria_kv_elem kv, size_t i) {
    return kv == CRIA_KV_ELEM_F32 ? ((const float *)p)[i] : cria_f16_to_f32(((const uint16_t *)p)[i]);
}

static int32_t integer(const void *p, enum cria_kv_elem kv, size_t i) {
    return kv == CRIA_KV_ELEM_I8 ? ((const int8_t *)p)[i] : ((const int16_t *)p)[i];
}

static float score(const cria_attend *a, uint32_t r, uint32_t p) {
    const float *q = a->q + r * a->ldq;
    const size_t k0 = (size_t)(p / 16) * a->e * 16 + p % 16;
    float s = 0.0f;
    for (uint32_t i = 0; i < a->e; i++) s = fmaf(q[i], load(a->k, a->kv, k0 + (size_t)i * 16), s);
    return s;
}

static float score_whole(const cria_attend *a, uint32_t r, uint32_t p) {
    const int16_t *q = a->qi + r * a->ldq;
    const size_t k0 = (size_t)(p / 16) * a->e * 16 + p % 16 * 2;
    int32_t s = 0;
    for (uint32_t i = 0; i < a->e; i++) s += q[i] * integer(a->k, a->kv, k0 + i / 2 * 32 + i % 2);
    return (float)s * (a->qd[r] * cria_kv_scales(a->k, a->kv, a->e)[p]);
}

/* n scores in w become weights; *c. */
static void soften(float *w, uint32_t n, float *m, float *l, float *c) {
    float max = *m, lane[16] = {0};
    for (uint32_t p = 0; p < n; p++)
        if (w[p] > max) max = w[p];
    max += 0.0f;
    for (uint32_t p = 0; p < n; p++) {
        w[p] = cria_expf(w[p] - max);
        lane[p % 16] += w[p];
    }
    for (uint32_t half = 8; half > 0; half /= 2)
        for (uint32_t j = 0; j < half; j++) lane[j] += lane[j + half];
    *c = cria_expf(*m - max);
    *l = fmaf(*l, *c, lane[0]);
    *m = max;
}

static void mix(const cria_attend *a, float *o, const float *w, uint32_t n, float c) {
    for (uint32_t i = 0; i < a->e; i++) {
        float acc = o[i] * c;
        for (uint32_t p = 0; p < n; p++) acc = fmaf(w[p], load(a->v, a->kv, (size_t)p * a->e + i), acc);
        o[i] = acc;
    }
}

static void mix_whole(const cria_attend *a, float *o, const float *w, uint32_t n, float c) {
    const float *vd = cria_kv_scales(a->v, a->kv, a->e);
    float scaled[CRIA_KV_BLOCK];
    int32_t whole[CRIA_KV_BLOCK];
    for (uint32_t p = 0; p < n; p++) scaled[p] = w[p] * (vd[p] * CRIA_KV_LIFT);
    const float d = cria_quantize_unit_ref(scaled, n, cria_kv_limits(a->kv, a->e).weight, whole) / CRIA_KV_LIFT;
    for (uint32_t i = 0; i < a->e; i++) {
        int32_t sum = 0;
        for (uint32_t p = 0; p < n; p++)
            sum += whole[p] * integer(a->v, a->kv, (size_t)(p / 2) * a->e * 2 + i * 2 + p % 2);
        o[i] = fmaf((float)sum, d, o[i] * c);
    }
}

void cria_attend_ref(const cria_attend *a) {
    const bool whole = cria_kv_is_whole(a->kv);
    for (uint32_t r = 0; r < a->n_q; r++) {
        const uint32_t n = a->visible[r];
        if (n == 0) continue;
        float w[CRIA_KV_BLOCK], c; /* scores, then weights */
        for (uint32_t p = 0; p < n; p++) w[p] = (whole ? score_whole : score)(a, r, p);
        if (a->cap != 0) cria_softcap_ref(w, a->cap, n);
        for (uint32_t p = 0; a->hidden && p < a->hidden[r]; p++) w[p] = -INFINITY;
        soften(w, n, &a->m[r], &a->l[r], &c);
        (whole ? mix_whole : mix)(a, a->o + r * a->ldo, w, n, c);
    }
}
