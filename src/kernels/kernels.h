/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel table: all arithmetic of the forward pass, one function pointer per operation. The reference
 * (ref/, plain C) is the definition; every other table gives the same bits, on any input that is finite (a
 * result that is NaN is NaN in all of them, with a payload of its own), and tests/checkkern proves it. What
 * makes that possible: a lane is an output, every output is summed by one lane in ascending order with the
 * operations written down here, and sums over a vector (rmsnorm, softmax) run over 16 virtual lanes joined by
 * one fixed tree:  lane j takes elements j, j+16, j+32, … ascending; then lanes j and j+8 are added, then j
 * and j+4, j+2, j+1 (for lane counts that do not fill 16, missing lanes are +0).
 *
 * fma means one rounding; everything else is rounded to float32 after each operation. No kernel can fail,
 * allocates or touches the floating-point environment (default: nearest even, subnormals kept). All are
 * thread-safe. n (tokens), d, f, e (head dim), k (inputs) as in MODEL.md. Pointers need the alignment of
 * their type only, except where said. Outputs never alias inputs unless said.
 */
#ifndef CRIA_KERNELS_KERNELS_H
#define CRIA_KERNELS_KERNELS_H

#include "kernels/matrix.h"

#include <math.h>
#include <string.h>

/* Activations of n rows of k inputs, as a product's right-hand side. Float: x only. Integer: x is unused;
 * planes = 1 (int8) or 2 (int16 as 256·hi + lo). For weights that are half or 8-bit floats: whole, below.
 *
 * Row t is cut into units of 32 inputs (the last filled up with zeros). Per unit, with M = 127 (int8) or
 * 32639 (int16):
 *     top = max |x_i|;   d = top / M;   inv = M / top      (both float32 divisions; d then goes through cria_act_scale)
 *     a_i = x_i·inv rounded to the nearest integer, ties to even
 *                                      (|a_i| ≤ M: the product is off by far less than 1/2)
 *     int16: hi = floor((a + 128) / 256), lo = a − 256·hi  (so hi in ±127, lo in −128..127)
 *     sum = Σ a_i
 * A unit with top < 2^−112, where inv might overflow, counts as zeros: d = +0, a_i = 0.
 * and per weight group of g inputs (only when g is given), over its units in ascending order (a group of 16
 * has half a unit: the sum of its own 16 a_i counts):
 *     u = float(sum_0)·d_0, then u = fma(float(sum_j), d_j, u)
 * Values that are not finite: top is then not finite and d = NaN, a = 0.
 * What lies between the last unit (byte, group) and ldd (ldq, ldu) is set to 0.
 *
 * Whole integers, for half and 8-bit floats: q has int16 numbers in place of planes, units are of 128 inputs, M = 4095,
 * d = top / M as it is, and that is all: neither sum nor u, and what lies behind the last input and unit means
 * nothing. */
typedef struct cria_act {
    uint32_t n, k;
    const float *x;     /* row t at x + t·ldx */
    size_t ldx;
    uint32_t planes;    /* 0: float; whole: 2 */
    bool whole;
    uint32_t group;     /* of u; 0: none */
    int8_t *q;          /* plane p of row t at q + (t·planes + p)·ldq; plane 0 = a or lo, plane 1 = hi; whole: row t at
                         * (int16_t *)q + t·ldq; 64-byte aligned */
    size_t ldq;         /* k rounded up to 64; bytes past k are 0 */
    float *d;           /* unit j of row t at d + t·ldd + j */
    int32_t *sum;       /* likewise */
    size_t ldd;         /* k/32 rounded up to 16 */
    float *u;           /* group g of row t at u + t·ldu + g */
    size_t ldu;         /* k/group rounded up to 16 */
    void *laid_out;     /* the same once more, as matmul_q of a table reads it: CRIA_LAID_OUT(n, k) bytes, 64-byte
                         * aligned */
} cria_act;

/* The d of a unit: cut to 22 bits of significand, so that its product with 1.5·2^23 is exact, which saves tiles a
 * conversion (matmul_q.h); from 2^96 on, where that product might overflow, it counts as not finite. */
static inline float cria_act_scale(float d) {
    uint32_t bits;
    if (!(d < 0x1p96f)) return NAN;
    memcpy(&bits, &d, 4);
    bits &= ~(uint32_t)3;
    memcpy(&d, &bits, 4);
    return d;
}

/* For each row two bytes an input, d and another float for each 32, and two numbers for each 16 inputs; an array
 * begins at 64 bytes. */
#define CRIA_LAID_OUT(n, k) ((size_t)(n) * (((size_t)(k) + 31) / 32) * (64 + 2 * 4 + 2 * 8) + 5 * 64)

#define CRIA_QUANTIZE_MIN 0x1p-112f

#define CRIA_WHOLE_MAX 4095.0f /* the M of whole integers */

/* Scratch that a matmul may use: bytes, 64-byte aligned, contents meaningless before and after; one per
 * worker. */
#define CRIA_MATMUL_SCRATCH ((size_t)412 << 10)

#define CRIA_KV_BLOCK 64u /* positions per KV block */

enum cria_kv_elem { CRIA_KV_ELEM_F16, CRIA_KV_ELEM_F32, CRIA_KV_ELEM_I8, CRIA_KV_ELEM_I16 };

static inline bool cria_kv_is_whole(enum cria_kv_elem kv) { return kv == CRIA_KV_ELEM_I8 || kv == CRIA_KV_ELEM_I16; }

/* Keys and values of one KV head in one KV block, an array each, elements of type kv:
 *     keys:   k[(p/16)·e·16 + i·16 + p%16] = dimension i of position p       (a lane is a position)
 *     values: v[p·e + i]                                                    (a lane is an output dimension)
 * I8 and I16 (e even): integers with a float32 scale per position in kd, vd, which follow the 64·e integers of k and
 * of v; two that are summed up together lie side by side:
 *     keys:   k[(p/16)·e·16 + (i/2)·32 + p%16·2 + i%2]
 *     values: v[(p/2)·2e + 2i + p%2]
 * A position's scale and integers are those of a unit (struct cria_act) of all its e numbers, with M = key and value
 * of cria_kv_limits. Keys, and queries that meet them, are rotated first: in a key a few dimensions are much larger
 * than all others and would leave them few steps; rotated, all are about alike, and the scores stay what they were.
 * With H the largest power of two that divides e, each H neighbouring numbers go through a Walsh–Hadamard transform:
 *     for s = H/2, H/4 … 1, for every i with (i & s) = 0:   x_i, x_{i+s} = x_i + x_{i+s}, x_i − x_{i+s}
 *
 * I16 rather than f16, since 16-bit integers need no conversion and are multiplied in pairs: at twice the rate of
 * float32 (x86-64), with what they are off by about alike (docs/quality.md). */
static inline size_t cria_kv_elem_bytes(enum cria_kv_elem kv) {
    return kv == CRIA_KV_ELEM_F32 ? 4 : kv == CRIA_KV_ELEM_I8 ? 1 : 2;
}

static inline size_t cria_kv_array_bytes(enum cria_kv_elem kv, uint32_t e) {
    const size_t scales = cria_kv_is_whole(kv) ? CRIA_KV_BLOCK * sizeof(float) : 0;
    return (size_t)CRIA_KV_BLOCK * e * cria_kv_elem_bytes(kv) + scales;
}

/* The scales of an array of integers. */
static inline const float *cria_kv_scales(const void *array, enum cria_kv_elem kv, uint32_t e) {
    return (const float *)(const void *)((const uint8_t *)array + (size_t)CRIA_KV_BLOCK * e * cria_kv_elem_bytes(kv));
}

/* The largest integers (M of a unit) of keys and values, and of the queries and weights that they meet. Sums of e
 * products of the first two and of 64 of the last two are below 2^31. */
struct cria_kv_limits {
    float key, query, value, weight;
};

static inline struct cria_kv_limits cria_kv_limits(enum cria_kv_elem kv, uint32_t e) {
    if (kv == CRIA_KV_ELEM_I8) return (struct cria_kv_limits){127, 16383, 127, 16383};
    const float m = e <= 64 ? 5791 : e <= 128 ? 4095 : e <= 256 ? 2895 : e <= 512 ? 2047 : 1447;
    return (struct cria_kv_limits){m, m, 4095, 8191};
}

/* The 2^64 of cria_attend. */
#define CRIA_KV_LIFT 0x1p64f

/* One KV block and one KV head against n_q query vectors (the query heads that share the head × the rows of
 * the batch that see the block), updating their running softmax.
 * For query r with n = visible[r] positions (0..64; with 0 nothing changes), in this order:
 *     s_p  = fma chain over i ascending of q[r][i]·k[p][i], from +0             for p < n
 *            I8, I16: float(Σ_i qi[r][i]·k[p][i])·(qd[r]·kd[p])                 the sum exact in int32
 *     s_p  = softcap(s_p) where there is a cap;  s_p = −inf for p < hidden[r]
 *     m'   = max(m[r], max_p s_p) + 0   (−0 becomes +0)
 *     c    = exp(m[r] − m')             (m[r] = −inf at first: then c = 0)
 *     w_p  = exp(s_p − m')
 *     l[r] = fma(l[r], c, Σ w_p)      Σ over the 16 virtual lanes p%16, and the tree
 *     o[r][i] = o[r][i]·c, then an fma chain over p ascending of w_p·v[p][i]
 *            I8, I16: W_p and D are the integers and the scale of a unit of all w_p·(vd[p]·2^64), p < n, with
 *            M = weight of cria_kv_limits; o[r][i] = fma(float(Σ_p W_p·v[p][i]), D·2^−64, o[r][i]·c)
 *            (2^64, so that small weights do not become subnormal, which takes Intel's processors hundreds of clocks)
 *     m[r] = m'
 * Lanes p >= n may hold anything, NaN included, and have no effect. Should a visible s_p overflow to NaN or
 * ±inf, l and o become NaN or stay finite alike in all tables; m is then unspecified. */
typedef struct cria_attend {
    uint32_t n_q, e;          /* e: 1..1024 */
    enum cria_kv_elem kv;
    const void *k, *v;        /* 64-byte aligned */
    const float *q;           /* [n_q][ldq], already scaled by e^−1/2; not I8, I16 */
    const int16_t *qi;        /* I8, I16: [n_q][ldq], from quantize_query; 4-byte aligned, ldq even */
    const float *qd;          /* I8, I16: [n_q] */
    size_t ldq;
    const uint8_t *visible;   /* [n_q] */
    const uint8_t *hidden;    /* [n_q], each below visible where that is not 0; NULL: zeros */
    float cap;                /* 0: none */
    float *m, *l;             /* [n_q] */
    float *o;                 /* [n_q][ldo] */
    size_t ldo;
    const void *ahead;        /* what will be read next, to be fetched meanwhile: ahead_bytes of memory, or none */
    size_t ahead_bytes;
} cria_attend;

/* How activations lie beside each other (struct cria_kernels). */
typedef struct cria_layout {
    uint32_t tiles;
    uint32_t id; /* equal for equal layouts of as many rows */
} cria_layout;

/* Where tile i of n rows begins: tiles are as even as can be, seven rows in two tiles are three and four. */
static inline uint32_t cria_layout_row(cria_layout l, uint32_t n, uint32_t i) {
    return (uint32_t)((uint64_t)n * i / l.tiles);
}

/* A part of a product: row blocks [block0, block1) of the matrix times tiles [tile0, tile1) of x. */
typedef struct cria_rect {
    uint32_t block0, block1, tile0, tile1;
} cria_rect;

struct cria_kernels {
    const char *name; /* kernels.c has them all; users ask for them by it (cria_ctx_opts.isa) */

    /* y[t·ldy + r] = Σ_k x[t][k]·w[r][k] for the rows r of the part's blocks, r < rows, and the rows t of its tiles,
     * which are single rows here. Elements of y outside are not written. One fma chain per output over k ascending
     * from +0. Any kind of matrix; codes stand for the float weights that cria_matrix_row gives. x->planes is 0.
     *
     * Where float32 activations are asked for. Half and 8-bit floats otherwise go to matmul_h. */
    void (*matmul_f)(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);

    /* The same for F16, BF16 and E4M3 matrices and whole integers, whose rows are tiles as they are. acc = +0; per
     * group of 128 inputs (E4M3: 32) ascending, with the row's s and integers W_k of matrix.h and the d of its inputs:
     *     acc = fma(float(Σ_k a_k·W_k), s·d, acc)      the sum exact in int32: 128·4095·4096, 32·4095·15360 < 2^31
     *
     * Integers, since x86-64 multiplies them at twice the rate of float32 (NEON at the same), and no order of their sum
     * matters. The arithmetic of half floats that some processors have (AVX512-BF16, AVX512-FP16, FEAT_BF16) cannot
     * serve: it wants the activations rounded to 8 or 11 bits of precision (here they have 13 below the largest of 128,
     * as the weights), and vdpbf16ps and bfdot add pairs with roundings of their own and flush subnormals, which no
     * other processor could give cheaply. */
    void (*matmul_h)(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);

    /* The same for CODES matrices and integer activations (x->planes 1 or 2, x->group = w->spec.group when
     * affine). acc = +0; per stored group g ascending (the padding of a group of 16 included: it adds +0),
     * over its units j ascending (32 inputs, or the 16 of a group of 16):
     *     I_j = Σ a_i·(L_i − zero)                 exact in int32, a the whole integer (256·hi + lo)
     *     t = float(I_0)·d_0, then t = fma(float(I_j), d_j, t)
     *     acc = fma(scale_g, t, acc); when affine, acc = fma(bias_g, u_g, acc)
     * All of x is laid out for w, or for a matrix that is answered alike (layout), which tells what a tile is. */
    void (*matmul_q)(const cria_matrix *w, const cria_act *x, float *y, size_t ldy, cria_rect part, void *scratch);

    /* Fills q, d, sum, u of row t of a from x[0..k); _h: q and d of whole integers. */
    void (*quantize)(const cria_act *a, uint32_t t, const float *x);
    void (*quantize_h)(const cria_act *a, uint32_t t, const float *x);

    /* How matmul_q wants n rows of such activations beside each other for a matrix like w. Matrices that are answered
     * alike share what was laid out for one of them. Rows are laid out some at a time: tile i of cria_layout.tiles is
     * the rows cria_layout_row(layout, n, i) up to where the next one begins. */
    cria_layout (*layout)(const cria_matrix_spec *w, uint32_t n, uint32_t planes);

    /* Lays out tiles tile0 .. tile1−1 of x, whose rows are quantized, for matmul_q with w. */
    void (*lay_out)(const cria_matrix *w, const cria_act *x, uint32_t tile0, uint32_t tile1);

    /* y_i = (x_i·r)·w_i with r = 1 / sqrt(ss/n + eps), ss the 16-lane sum where each lane is an fma chain of
     * x_i². y may be x. */
    void (*rmsnorm)(float *y, const float *x, const float *w, float eps, size_t n);

    /* y_i = y_i + x_i */
    void (*add)(float *y, const float *x, size_t n);

    /* y_i = (g_i / (1 + exp(−g_i)))·u_i. y may be g or u. */
    void (*silu_mul)(float *y, const float *g, const float *u, size_t n);

    /* y_i = (g_i / (1 + exp(g_i·fma(g_i·g_i, CRIA_GELU_A, CRIA_GELU_B))))·u_i: gelu in its tanh form, since
     * (1 + tanh z)/2 = 1/(1 + exp(−2z)). y may be g or u. */
    void (*gelu_mul)(float *y, const float *g, const float *u, size_t n);

    /* x_i = cap − 2·cap/(exp(x_i·(2/cap)) + 1) = cap·tanh(x_i/cap), in place; cap > 0. */
    void (*softcap)(float *x, float cap, size_t n);

    /* Rotates the first rot (even) numbers of n_heads vectors of e in place: pairs (i, i + rot/2), i < rot/2:
     *     x0' = fma(x0, cos_i, −(x1·sin_i)),  x1' = fma(x1, cos_i, x0·sin_i)
     * Weights whose pairs are neighbours are brought into this order when they are packed (matrix.h). */
    void (*rope)(float *x, uint32_t n_heads, uint32_t e, uint32_t rot, const float *cos, const float *sin);

    /* y_i = x_i·a. y may be x. */
    void (*scale)(float *y, const float *x, float a, size_t n);

    /* y_i = fma(a, x_i, y_i). y and x apart. */
    void (*add_scaled)(float *y, const float *x, float a, size_t n);

    /* y_i = float32(x_i) of n f16, exactly: an array of a KV block in F16 becomes one in F32. y and x apart. */
    void (*widen)(float *y, const uint16_t *x, size_t n);

    /* Puts one position (p < 64) of one head into a KV block (layout above): float32 → f16 nearest even, or
     * as is, or quantized. Bytes of other positions are neither read nor written. */
    void (*kv_store)(void *k_block, void *v_block, enum cria_kv_elem kv, uint32_t e, uint32_t p,
                     const float *k, const float *v);

    /* A query for I8 and I16: a and d are the integers and the scale of a unit (struct cria_act) of all n numbers
     * (1..1024), rotated as keys are, with M = max (query of cria_kv_limits); d is then multiplied by 1/H, which undoes
     * what both rotations have done to the length. */
    void (*quantize_query)(int16_t *a, float *d, const float *x, size_t n, float max);

    void (*attend)(const cria_attend *a);

    /* Probes: loops of the instructions that this table's products are made of and nothing else, operands in
     * registers, as many sums at once as keep a core busy. What they reach is the limit that a product is
     * measured against (cria_ctx_measure). They return the multiply-adds done in n rounds, n times a constant. */
    uint64_t (*probe_f32)(uint32_t n);  /* as matmul_f adds up */
    uint64_t (*probe_int8)(uint32_t n); /* as matmul_q adds up int8 activations and 4-bit levels */
    /* Reads p[0..bytes) once, as fast as memory gives it; p 64-byte aligned, bytes a multiple of 4096. Returns
     * the exclusive or of its 64-bit words. */
    uint64_t (*probe_read)(const void *p, size_t bytes);
};

/* The best table for these cpu flags (base/cpu.h); never NULL. Constant, shared, never freed. */
const struct cria_kernels *cria_kernels_for(uint32_t cpu_flags);
/* Every table that these flags allow, the reference first, the best last; at most max. Returns how many. */
size_t cria_kernels_list(uint32_t cpu_flags, const struct cria_kernels **out, size_t max);

/* exp(x) as every table computes it (poly.h), for code outside the tables. Error below 1 ulp; +0 where the
 * result would be subnormal (x below −126·ln 2, −inf included), +inf where it overflows, NaN for NaN. */
float cria_expf(float x);

#endif
