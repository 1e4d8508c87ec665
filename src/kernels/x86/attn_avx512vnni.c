/* SPDX-License-Identifier: Apache-2.0 */
/* attend for AVX-512 with VNNI: attn_avx512.c once more, where int8 keys and values have vpdpwssd. */
#define ATTEND cria_attend_avx512vnni
#define ATTEND_VNNI 1
#include "kernels/x86/attn_avx512.c"
