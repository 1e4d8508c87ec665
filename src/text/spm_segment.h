/* SPDX-License-Identifier: Apache-2.0 */
/* The two segmentations of normalized text, and where they put their pieces. Internal to spm*.c. */
#ifndef CRIA_TEXT_SPM_SEGMENT_H
#define CRIA_TEXT_SPM_SEGMENT_H

#include "text/spm.h"
#include "text/tokenizer.h"

struct cria_spm_out {
    const cria_vocab *v;
    cria_ids *ids;
    bool after_unknown; /* the last piece was unknown */
};

/* One piece of the segmentation, in order. id may be −1: unknown, in a vocabulary without the unknown piece. */
cria_status cria_spm_emit(struct cria_spm_out *o, int32_t id, const uint8_t *text, size_t len,
                          cria_error *err);

/* text[0..len), len >= 1, normalized. O(len log len) in the longest run without a word border. */
cria_status cria_spm_segment_bpe(const struct cria_spm *s, const uint8_t *text, size_t len,
                                 struct cria_spm_out *o, cria_error *err);
/* O(len · longest piece). */
cria_status cria_spm_segment_unigram(const struct cria_spm *s, const uint8_t *text, size_t len,
                                     struct cria_spm_out *o, cria_error *err);

/* Length of the character at s by its first byte alone, as the library cuts text (util.h, OneCharLen). */
static inline size_t cria_spm_char_length(const uint8_t *s, size_t len) {
    const size_t n = s[0] < 0xC0 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    return n < len ? n : len;
}

#endif
