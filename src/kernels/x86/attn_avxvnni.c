/* SPDX-License-Identifier: Apache-2.0 */
/* attend for AVX2 with AVX-VNNI: attn_avx2.c once more, where integers have vpdpwssd. */
#define ATTEND cria_attend_avxvnni
#define ATTEND_VNNI 1
#include "kernels/x86/attn_avx2.c"
