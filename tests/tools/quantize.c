/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the quantizer from a test in another language: quantize reads requests on stdin and answers on stdout.
 * request   u32 mode (0 affine, 1 mxfp4, 2 nvfp4, 3 mxfp8), bits, group, type (0 f32, 1 f16, 2 bf16), rows, cols,
 *           then rows·cols numbers of the type
 * answer    codes, scales and, affine, biases; nothing else. Numbers are in the machine's own order.
 */
#include "kernels/quantize.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const modes[] = {"affine", "mxfp4", "nvfp4", "mxfp8"};

static bool answer(const void *data, size_t n) { return fwrite(data, 1, n, stdout) == n; }

static bool serve(const uint32_t head[6]) {
    const enum cria_source_kind type = (enum cria_source_kind)(CRIA_SOURCE_F32 + head[3]);
    const enum cria_scale_type scale_type = (enum cria_scale_type)(CRIA_SCALE_F32 + head[3]);
    cria_matrix_spec s;
    if (head[0] > 3 || head[3] > 2) return false;
    if (!(head[0] == 0 ? cria_matrix_spec_mlx_affine(head[4], head[5], head[1], head[2], scale_type, &s)
                       : cria_matrix_spec_mlx_fp(modes[head[0]], head[4], head[5], &s)))
        return false;
    const size_t n = (size_t)head[4] * head[5] * (head[3] == 0 ? 4 : 2);
    const size_t n_codes = head[4] * cria_source_row_bytes(CRIA_SOURCE_MLX, &s);
    const size_t n_scales = head[4] * cria_quantize_scale_bytes(&s);
    uint8_t *w = malloc(n), *codes = malloc(n_codes), *scales = malloc(n_scales), *biases = malloc(n_scales);
    bool ok = w && codes && scales && biases && fread(w, 1, n, stdin) == n;
    if (ok) {
        cria_quantize(&s, type, w, head[4], codes, scales, biases);
        ok = answer(codes, n_codes) && answer(scales, n_scales) && (!s.affine || answer(biases, n_scales)) &&
             fflush(stdout) == 0;
    }
    free(w);
    free(codes);
    free(scales);
    free(biases);
    return ok;
}

int main(void) {
    uint32_t head[6];
    while (fread(head, sizeof head, 1, stdin) == 1)
        if (!serve(head)) return 1;
    return 0;
}
