/* SPDX-License-Identifier: Apache-2.0 */
/* A GGUF file of architecture llama. Its rotary pairs are neighbours, as Meta's are. */
#include "base/status.h"
#include "convert/source.h"

#include <string.h>

/* The configuration of another family would have to say more than is written here. */
static cria_status refuse_others(const struct cria_convert_source *s, const cria_config *c, cria_error *err) {
    if (cria_convert_beyond_llama(c) == NULL) return CRIA_OK;
    return cria_fail(err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
                     "%s: only a plain Llama can be converted from a .gguf, and this is %s%s; convert the "
                     "Hugging Face folder "
                     "of this model instead.",
                     s->path, c->family, strcmp(c->family, "llama") == 0 ? " with extensions" : "");
}

/* Scaled rotary frequencies are a field of the configuration in what is written, not a tensor; that they are
 * one of the known scalings cannot be seen from the factors alone. */
static cria_status refuse_factors(const struct cria_convert_source *s, cria_error *err) {
    if (cria_container_find(s->container, "rope_freqs.weight") == NULL) return CRIA_OK;
    return cria_fail(
        err, CRIA_EUNSUPPORTED, CRIA_NOWHERE,
        "%s: has rotary factors (rope_freqs.weight), which do not say by which rule they were made; convert "
        "the Hugging Face folder of this model instead.",
        s->path);
}

/* What the floats of a file of blocks are to be: bfloat16 where some are, float32 where all are, else
 * float16. */
static const char *dtype_of(const cria_container *c) {
    bool all_f32 = true;
    for (size_t i = 0; i < cria_container_count(c); i++) {
        const cria_tensor *t = cria_container_at(c, i);
        if (t->dtype == CRIA_DTYPE_BF16) return "bfloat16";
        all_f32 = all_f32 && t->dtype == CRIA_DTYPE_F32;
    }
    return all_f32 ? "float32" : "float16";
}

/* The example has no tied embeddings: the output is a tensor of its own. */
static cria_status add_output(struct cria_convert_source *s, cria_error *err) {
    const cria_tensor *t = cria_container_find(s->container, "token_embd.weight");
    return t ? cria_convert_add(s, "output.weight", 0, &t, 1, 0, err) : CRIA_OK;
}

static int64_t token_id(const cria_container *c, const char *key) {
    uint64_t id;
    return cria_meta_u64(c, key, &id) && id <= INT32_MAX ? (int64_t)id : -1;
}

cria_status cria_convert_open_gguf(struct cria_convert_source *s, cria_error *err) {
    const cria_container *c = s->container;
    cria_config config;
    cria_status st = refuse_factors(s, err);
    if (!st) st = cria_config_from_gguf(c, &config, err);
    if (!st) st = refuse_others(s, &config, err);
    if (!st) st = cria_convert_reserve(s, cria_container_count(c) + 1, err);
    if (st) return st;
    const bool tied = cria_container_find(c, "output.weight") == NULL;
    cria_convert_take_llama(s, &config, tied);
    s->llama.bos = token_id(c, "tokenizer.ggml.bos_token_id");
    s->llama.eos = token_id(c, "tokenizer.ggml.eos_token_id");
    s->folder = NULL;
    s->dtype = dtype_of(c);
    st = cria_convert_add_all(s, CRIA_NAMING_GGUF, NULL, NULL, err);
    if (!st && tied && s->names == CRIA_NAMING_META) st = add_output(s, err);
    return st;
}
