/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be converted, wherever it comes from: a list of whole tensors with their names to be, each a
 * view or several views of mapped files, and the model's own description. Sources (source.c sniffs): an MLX
 * folder of npz, as the example writes it       meta.c a folder with consolidated.*.pth and params.json
 * meta.c, format/pth.c llama2.c's .bin, version 0                           llama2c.c a folder of safetensors
 * with Hugging Face's config   hf.c .gguf                                                gguf.c
 *
 * Owns the mappings; tensors borrow from it. Immutable once open: any thread may read it.
 */
#ifndef CRIA_CONVERT_SOURCE_H
#define CRIA_CONVERT_SOURCE_H

#include "base/json.h"
#include "base/mapfile.h"
#include "format/container.h"
#include "format/pth.h"
#include "kernels/matrix.h"
#include "model/config.h"
#include "model/names.h"

#define CRIA_CONVERT_SHARDS_MAX 64u
#define CRIA_CONVERT_EXPERTS_MAX 1025u

/* A tensor as the model knows it, without regard to how it is cut or quantized. */
struct cria_convert_tensor {
    const char *name;                /* to be; ends with ".weight" or ".bias" */
    uint32_t ndim;                   /* 1, 2, or 3: of experts */
    uint64_t shape[CRIA_MAX_DIMS];   /* of numbers, whatever they are packed into */
    const cria_tensor *const *parts; /* [n_parts], all of one type */
    uint32_t n_parts;
    uint32_t axis;                      /* along which parts follow each other: 0 or 1 */
    const cria_tensor *scales, *biases; /* MLX-quantized; NULL otherwise */
    cria_matrix_spec mlx;               /* of rows·shape…, where there are scales */
    uint32_t paired; /* as in cria_source: rows (of a vector: numbers) of rotary pairs, to be brought into halves */
    float offset;    /* added to the numbers: of norms that are stored less 1 */
    bool matrix;     /* of a Linear or an Embedding: may be quantized */
};

/* Name, bits and group as "quantization" of config.json says of them, with mx.quantize's defaults. q: the
 * object; path: for messages. CRIA_EUNSUPPORTED for an unknown mode. */
cria_status cria_convert_mode_read(const cria_json *q, const char *path, cria_mlx_mode *out,
                                   cria_error *err);
/* cria_matrix_spec_mlx for rows of that many columns, of experts taken together too. */
bool cria_convert_mode_spec(const cria_mlx_mode *mode, uint64_t rows, uint64_t cols,
                            enum cria_scale_type scale_type, cria_matrix_spec *out);

struct cria_convert_source {
    cria_ctx *ctx;
    const char *path;
    enum cria_naming names; /* of the tensors, and so of the configuration to be written */
    struct cria_convert_tensor *tensors;
    size_t n;
    bool keep_config; /* config_map is Hugging Face's and is taken over; else one is made of: */
    cria_config model; /* with naming that of the output; rope_traditional: the source's rotary pairs are neighbours */
    int64_t bos, eos;  /* -1: not known */
    const char *config_path;
    cria_mlx_mode mode;          /* of a source that MLX has quantized: what it says of all layers; mode NULL: none */
    const char *dtype;  /* "float16" …, what the source says of itself or NULL */
    const char *folder; /* where files beside the weights are; NULL: none (GGUF) */
    const char *tokenizer; /* path of the tokenizer.model to take along; NULL: whatever is in the folder */

    cria_container *container;
    cria_mapfile map, config_map;
    cria_pth *pth; /* [n_pth] */
    size_t n_pth;
    struct cria_convert_block *blocks; /* memory of names and lists */
};

/* want: the naming of the output. tokenizer: NULL, or a path that was given. CRIA_EUNSUPPORTED when the
 * source cannot be written so. */
cria_status cria_convert_open(cria_ctx *ctx, const char *path, enum cria_naming want, const char *tokenizer,
                              struct cria_convert_source *out, cria_error *err);
void cria_convert_close(struct cria_convert_source *s); /* a zeroed one is legal */

/* ---- for the kinds of sources ---- */

/* Memory that lives as long as the source; NULL: out of memory. */
void *cria_convert_alloc(struct cria_convert_source *s, size_t bytes);
const char *cria_convert_string(struct cria_convert_source *s, const char *text, size_t len);
char *cria_convert_join(struct cria_convert_source *s, const char *folder, const char *name);
/* Room for n tensors in all. */
cria_status cria_convert_reserve(struct cria_convert_source *s, size_t n, cria_error *err);

/* Adds a tensor under its new name. parts: [n_parts], copied as a list. paired: as in cria_convert_tensor.
 * What is checked: types, shapes that fit together, sizes below 2^24. */
cria_status cria_convert_add(struct cria_convert_source *s, const char *name, uint32_t paired,
                             const cria_tensor *const *parts, uint32_t n_parts, uint32_t axis,
                             cria_error *err);
/* The same for one that MLX has quantized; biases NULL where not affine. */
cria_status cria_convert_add_mlx(struct cria_convert_source *s, const char *name, uint32_t paired,
                                 const cria_tensor *codes, const cria_tensor *scales,
                                 const cria_tensor *biases, const cria_mlx_mode *mode,
                                 cria_error *err);
/* What a tensor of a plain Llama in the convention is called in s->names, and whether its rows are to be brought from
 * pairs into halves. */
cria_status cria_convert_rename(const struct cria_convert_source *s, enum cria_naming from,
                                const cria_tensor *t, char name[CRIA_NAME_MAX], uint32_t *paired,
                                cria_error *err);
/* All tensors of s->container but derived ones and those that `skip` (may be NULL) says yes to. config: of
 * the file, for how MLX quantized it; NULL: it did not. */
cria_status cria_convert_add_all(struct cria_convert_source *s, enum cria_naming from, const cria_json *config,
                                 bool (*skip)(const struct cria_convert_source *s, const char *name),
                                 cria_error *err);

/* Maps the configuration, which lies in s->folder. */
cria_status cria_convert_read_config(struct cria_convert_source *s, const char *name, cria_error *err);
/* CRIA_EUNSUPPORTED for a model that has what a plain Llama has not, so that the example's files cannot say it. name:
 * of the file, for the message. */
cria_status cria_convert_check_plain(const char *name, const cria_config *c, cria_error *err);

cria_status cria_convert_open_npz(struct cria_convert_source *s, cria_error *err);
cria_status cria_convert_open_hf(struct cria_convert_source *s, cria_error *err);
cria_status cria_convert_open_gguf(struct cria_convert_source *s, cria_error *err);
cria_status cria_convert_open_llama2c(struct cria_convert_source *s, cria_error *err);
cria_status cria_convert_open_pth(struct cria_convert_source *s, cria_error *err);
/* Whether a file is llama2.c's, version 0: it has no magic, but its length follows from its header. */
bool cria_convert_is_llama2c(const uint8_t *data, size_t len);

/* ---- rows ---- */

/* Rows of a tensor, all dimensions but the last taken together. */
uint64_t cria_convert_rows(const struct cria_convert_tensor *t);
static inline uint64_t cria_convert_cols(const struct cria_convert_tensor *t) {
    return t->shape[t->ndim - 1];
}

/* Bytes of scratch that reading rows of t wants. */
size_t cria_convert_scratch_bytes(const struct cria_convert_tensor *t);
/* out: [n][cols] of type (F32, F16, BF16): rows [row0, row0 + n) of t, n <= 16 and row0 a multiple of 16,
 * rounded to nearest even. Exact otherwise. Cannot fail; what does not fit the type becomes infinite. */
void cria_convert_read(const struct cria_convert_tensor *t, uint64_t row0, uint32_t n,
                       enum cria_source_kind type, uint8_t *out, uint8_t *scratch);

#endif
