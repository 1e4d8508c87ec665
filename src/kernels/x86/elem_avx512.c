/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise kernels, rmsnorm and rope for AVX-512: whole registers, then one masked. kv_store, whose keys
 * are scattered one by one, is AVX2's. */
#include "kernels/inline.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>

/* Lanes of step i of n. */
static inline __mmask16 lanes(size_t i, size_t n) {
    return n - i < 16 ? avx512_mask(n - i) : (__mmask16)0xffff;
}

void cria_rmsnorm_avx512(float *y, const float *x, const float *w, float eps, size_t n) {
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) { /* lanes without an element: fma(0, 0, sum) is sum */
        const __m512 v = _mm512_maskz_loadu_ps(lanes(i, n), x + i);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    const __m512 r = _mm512_set1_ps(1.0f / sqrtf(avx512_tree(sum) / (float)n + eps));
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = lanes(i, n);
        const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), r);
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(k, w + i)));
    }
}

void cria_add_avx512(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = lanes(i, n);
        _mm512_mask_storeu_ps(
            y + i, k, _mm512_add_ps(_mm512_maskz_loadu_ps(k, y + i), _mm512_maskz_loadu_ps(k, x + i)));
    }
}

void cria_scale_avx512(float *y, const float *x, float a, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = lanes(i, n);
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), _mm512_set1_ps(a)));
    }
}

void cria_add_scaled_avx512(float *y, const float *x, float a, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = lanes(i, n);
        const __m512 sum = _mm512_fmadd_ps(_mm512_set1_ps(a), _mm512_maskz_loadu_ps(k, x + i),
                                           _mm512_maskz_loadu_ps(k, y + i));
        _mm512_mask_storeu_ps(y + i, k, sum);
    }
}

void cria_widen_avx512(float *y, const uint16_t *x, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = lanes(i, n);
        _mm512_mask_storeu_ps(y + i, k, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(k, x + i)));
    }
}

/* silu(g)·u or gelu(g)·u: both are g/(1 + exp(z))·u. */
CRIA_INLINE void gate(float *y, const float *g, const float *u, size_t n, bool gelu) {
    const __m512 a = _mm512_set1_ps(CRIA_GELU_A), b = _mm512_set1_ps(CRIA_GELU_B), one = _mm512_set1_ps(1.0f);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = lanes(i, n);
        const __m512 vg = _mm512_maskz_loadu_ps(k, g + i), vu = _mm512_maskz_loadu_ps(k, u + i);
        const __m512 z = gelu ? _mm512_mul_ps(vg, _mm512_fmadd_ps(_mm512_mul_ps(vg, vg), a, b))
                              : _mm512_xor_ps(vg, _mm512_set1_ps(-0.0f));
        const __m512 act = _mm512_div_ps(vg, _mm512_add_ps(one, avx512_exp(z)));
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(act, vu));
    }
}

void cria_silu_mul_avx512(float *y, const float *g, const float *u, size_t n) { gate(y, g, u, n, false); }
void cria_gelu_mul_avx512(float *y, const float *g, const float *u, size_t n) { gate(y, g, u, n, true); }

void cria_softcap_avx512(float *x, float cap, size_t n) {
    const __m512 a = _mm512_set1_ps(2.0f / cap), twice = _mm512_set1_ps(2.0f * cap);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = lanes(i, n);
        const __m512 e = avx512_exp(_mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), a));
        const __m512 q = _mm512_div_ps(twice, _mm512_add_ps(e, _mm512_set1_ps(1.0f)));
        _mm512_mask_storeu_ps(x + i, k, _mm512_sub_ps(_mm512_set1_ps(cap), q));
    }
}

/* −(a·b) is taken as a·(−b), the same bits. */
static inline __m512 negate(__m512 v) { return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f)); }

/* One head: (i, i + half). */
static void rope_head(float *x, uint32_t half, const float *cos, const float *sin) {
    for (uint32_t i = 0; i < half; i += 16) {
        const __mmask16 k = lanes(i, half);
        const __m512 c = _mm512_maskz_loadu_ps(k, cos + i), s = _mm512_maskz_loadu_ps(k, sin + i);
        const __m512 x0 = _mm512_maskz_loadu_ps(k, x + i), x1 = _mm512_maskz_loadu_ps(k, x + half + i);
        _mm512_mask_storeu_ps(x + i, k, _mm512_fmadd_ps(x0, c, _mm512_mul_ps(x1, negate(s))));
        _mm512_mask_storeu_ps(x + half + i, k, _mm512_fmadd_ps(x1, c, _mm512_mul_ps(x0, s)));
    }
}

void cria_rope_avx512(float *x, uint32_t n_heads, uint32_t e, uint32_t rot, const float *cos, const float *sin) {
    for (uint32_t h = 0; h < n_heads; h++) rope_head(x + (size_t)h * e, rot / 2, cos, sin);
}
