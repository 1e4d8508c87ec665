/* SPDX-License-Identifier: Apache-2.0 */
/* The product with one token for AVX-VNNI: matvec_q_avx2.c once more, with vpdpbusd. */
#define MATVEC_PLAN cria_matvec_plan_avxvnni
#define MATVEC_VNNI 1
#include "kernels/x86/matvec_q_avx2.c"
