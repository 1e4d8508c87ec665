/* SPDX-License-Identifier: Apache-2.0 */
/* Unigram segmentation of SentencePiece's normalized text: the best path (unigram.c), piece by piece.
 * Positions are bytes; a piece starts only where a character starts. */
#include "base/mem.h"
#include "text/spm_segment.h"

cria_status cria_spm_segment_unigram(const struct cria_spm *s, const uint8_t *text, size_t len,
                                     struct cria_spm_out *o, cria_error *err) {
    struct cria_unigram_node *path;
    cria_status st = cria_unigram_search(&s->unigram, o->v, text, len, &path, err);
    if (st != CRIA_OK) return st;
    for (size_t i = 0; i < len && st == CRIA_OK; i = path[i].start)
        st = cria_spm_emit(o, path[i].id, text + i, path[i].start - i, err);
    cria_free(o->v->ctx, path);
    return st;
}
