/* SPDX-License-Identifier: Apache-2.0 */
/* The product with one token for AVX-512 with VNNI: matvec_q_avx512.c once more, with vpdpbusd. */
#define MATVEC_PLAN cria_matvec_plan_avx512vnni
#define MATVEC_VNNI 1
#include "kernels/x86/matvec_q_avx512.c"
