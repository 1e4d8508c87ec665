/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise kernels, rmsnorm and rope for AVX2. The ends of rows go through masked loads and
 * stores. */
#include "base/half.h"
#include "kernels/inline.h"
#include "kernels/x86/avx2.h"
#include "kernels/x86/kernels_x86.h"
#include <math.h>
#include <string.h>

void cria_rmsnorm_avx2(float *y, const float *x, const float *w, float eps, size_t n) {
    const size_t whole = n / 16 * 16, left = n - whole;
    const __m256i tail0 = avx2_mask(left < 8 ? left : 8), tail1 = avx2_mask(left < 8 ? 0 : left - 8);
    __m256 a = _mm256_setzero_ps(), b = a;
    for (size_t i = 0; i < whole; i += 16) {
        const __m256 x0 = _mm256_loadu_ps(x + i), x1 = _mm256_loadu_ps(x + i + 8);
        a = _mm256_fmadd_ps(x0, x0, a);
        b = _mm256_fmadd_ps(x1, x1, b);
    }
    const __m256 t0 = _mm256_maskload_ps(x + whole, tail0), t1 = _mm256_maskload_ps(x + whole + 8, tail1);
    a = _mm256_fmadd_ps(t0, t0, a); /* lanes without an element: fma(0, 0, sum) is sum */
    b = _mm256_fmadd_ps(t1, t1, b);
    const float r = 1.0f / sqrtf(avx2_tree(a, b) / (float)n + eps);
    const __m256 vr = _mm256_set1_ps(r);
    for (size_t i = 0; i < whole; i += 8)
        _mm256_storeu_ps(y + i,
                         _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), vr), _mm256_loadu_ps(w + i)));
    for (size_t i = whole; i < n; i++) y[i] = x[i] * r * w[i];
}

void cria_add_avx2(float *y, const float *x, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    for (; i < n; i++) y[i] += x[i];
}

void cria_scale_avx2(float *y, const float *x, float a, size_t n) {
    const __m256 va = _mm256_set1_ps(a);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), va));
    for (; i < n; i++) y[i] = x[i] * a;
}

void cria_add_scaled_avx2(float *y, const float *x, float a, size_t n) {
    const __m256 va = _mm256_set1_ps(a);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_fmadd_ps(va, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    for (; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

void cria_widen_avx2(float *y, const uint16_t *x, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(x + i))));
    for (; i < n; i++) y[i] = cria_f16_to_f32(x[i]);
}

/* silu(g)·u or gelu(g)·u: both are g/(1 + exp(z))·u. */
CRIA_INLINE __m256 gated(__m256 g, __m256 u, bool gelu) {
    const __m256 a = _mm256_set1_ps(CRIA_GELU_A), b = _mm256_set1_ps(CRIA_GELU_B);
    const __m256 z = gelu ? _mm256_mul_ps(g, _mm256_fmadd_ps(_mm256_mul_ps(g, g), a, b))
                          : _mm256_xor_ps(g, _mm256_set1_ps(-0.0f));
    return _mm256_mul_ps(_mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1.0f), avx2_exp(z))), u);
}

CRIA_INLINE void gate(float *y, const float *g, const float *u, size_t n, bool gelu) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, gated(_mm256_loadu_ps(g + i), _mm256_loadu_ps(u + i), gelu));
    if (i == n) return;
    const __m256i tail = avx2_mask(n - i);
    _mm256_maskstore_ps(y + i, tail, gated(_mm256_maskload_ps(g + i, tail), _mm256_maskload_ps(u + i, tail), gelu));
}

void cria_silu_mul_avx2(float *y, const float *g, const float *u, size_t n) { gate(y, g, u, n, false); }
void cria_gelu_mul_avx2(float *y, const float *g, const float *u, size_t n) { gate(y, g, u, n, true); }

static inline __m256 softcap(__m256 x, float cap) {
    const __m256 e = avx2_exp(_mm256_mul_ps(x, _mm256_set1_ps(2.0f / cap)));
    return _mm256_sub_ps(_mm256_set1_ps(cap),
                         _mm256_div_ps(_mm256_set1_ps(2.0f * cap), _mm256_add_ps(e, _mm256_set1_ps(1.0f))));
}

void cria_softcap_avx2(float *x, float cap, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(x + i, softcap(_mm256_loadu_ps(x + i), cap));
    if (i == n) return;
    const __m256i tail = avx2_mask(n - i);
    _mm256_maskstore_ps(x + i, tail, softcap(_mm256_maskload_ps(x + i, tail), cap));
}

/* One head: (i, i + half). */
static void rope_head(float *x, uint32_t half, const float *cos, const float *sin) {
    uint32_t i = 0;
    for (; i + 8 <= half; i += 8) {
        const __m256 c = _mm256_loadu_ps(cos + i), s = _mm256_loadu_ps(sin + i);
        const __m256 x0 = _mm256_loadu_ps(x + i), x1 = _mm256_loadu_ps(x + half + i);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(x0, c, _mm256_mul_ps(x1, s)));
        _mm256_storeu_ps(x + half + i, _mm256_fmadd_ps(x1, c, _mm256_mul_ps(x0, s)));
    }
    for (; i < half; i++) {
        const float x0 = x[i], x1 = x[half + i];
        x[i] = fmaf(x0, cos[i], -(x1 * sin[i]));
        x[half + i] = fmaf(x1, cos[i], x0 * sin[i]);
    }
}

void cria_rope_avx2(float *x, uint32_t n_heads, uint32_t e, uint32_t rot, const float *cos, const float *sin) {
    for (uint32_t h = 0; h < n_heads; h++) rope_head(x + (size_t)h * e, rot / 2, cos, sin);
}
