/* SPDX-License-Identifier: Apache-2.0 */
/* What tiles of the quantized product are made for, for the files that have them. */
#ifndef CRIA_KERNELS_X86_KINDS_H
#define CRIA_KERNELS_X86_KINDS_H

#include "kernels/inline.h"
#include "kernels/matrix.h"

/* What a tile is made for: constants all. */
struct kind {
    int bits;    /* of packed codes, unpacked in registers; 8: levels as bytes */
    bool levels; /* codes stand for s->levels */
    bool halves; /* groups of 16, two to a chunk */
    bool affine;
    bool single; /* a group is a unit; else s->units tells */
    int planes;
};

/* What file formats have, each with tiles of its own. Of those that fit a matrix, single units are taken before others.
 *       name           bits levels halves affine single */
#define KINDS(KIND)                                                                                                  \
    KIND(affine2,       2,   false, false, true,  false)                                                             \
    KIND(affine2_16,    2,   false, true,  true,  true)  /* Q2_K */                                                  \
    KIND(affine3,       3,   false, false, true,  false)                                                             \
    KIND(symmetric3_16, 3,   false, true,  false, true)  /* Q3_K */                                                  \
    KIND(affine4_32,    4,   false, false, true,  true)  /* Q4_1, Q4_K */                                            \
    KIND(affine4,       4,   false, false, true,  false)                                                             \
    KIND(symmetric4_32, 4,   false, false, false, true)  /* Q4_0 */                                                  \
    KIND(levels4_32,    4,   true,  false, false, true)  /* mxfp4, IQ4_NL, IQ4_XS */                                 \
    KIND(levels4_16,    4,   true,  true,  false, true)  /* nvfp4 */                                                 \
    KIND(affine5_32,    5,   false, false, true,  true)  /* Q5_1, Q5_K */                                            \
    KIND(affine5,       5,   false, false, true,  false)                                                             \
    KIND(symmetric5_32, 5,   false, false, false, true)  /* Q5_0 */                                                  \
    KIND(affine6,       6,   false, false, true,  false)                                                             \
    KIND(symmetric6_16, 6,   false, true,  false, true)  /* Q6_K */                                                  \
    KIND(affine8,       8,   false, false, true,  false)                                                             \
    KIND(symmetric8_32, 8,   false, false, false, true)  /* Q8_0 */

/* Whether a matrix is of that kind. A group of 32 is any number of units, too. */
CRIA_INLINE bool is_kind(const cria_matrix_spec *s, struct kind k) {
    return (int)s->bits == k.bits && (s->levels != NULL) == k.levels && (s->group < CRIA_CHUNK) == k.halves &&
           s->affine == k.affine && (!k.single || s->group <= CRIA_CHUNK);
}

/* Whether tiles of that kind are to be taken for a matrix for which some were found, or none yet (NULL). */
CRIA_INLINE bool is_better(const cria_matrix_spec *s, struct kind k, const void *found) {
    return is_kind(s, k) && (found == NULL || k.single);
}

/* One unit: steps from .. from+steps−1 of a chunk. */
struct unit {
    size_t chunk, index; /* index counts units */
    int from, steps;     /* constants */
};

#endif
