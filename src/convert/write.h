/* SPDX-License-Identifier: Apache-2.0 */
/* The small files of a converted model, beside its tensors. All go into a folder that is being written. */
#ifndef CRIA_CONVERT_WRITE_H
#define CRIA_CONVERT_WRITE_H

#include "base/buf.h"
#include "convert/plan.h"

#define CRIA_CONVERT_TEXT_MAX (256u << 20)

/* folder/name with these bytes. */
cria_status cria_convert_write_file(cria_ctx *ctx, const char *folder, const char *name, const void *data,
                                    size_t len, cria_error *err);
/* Appends text, formatted; for JSON whose parts are known. */
cria_status cria_convert_print(cria_buf *b, cria_error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The shortest decimal that is this float32; a point even where the locale has a comma. */
void cria_convert_float_text(float x, char out[32]);
void cria_convert_real_text(double x, char out[32]);
/* The members of a config.json, without the braces. bos, eos: -1: not known. dtype: "float16" … */
cria_status cria_convert_put_hf(cria_buf *b, const cria_config *c, int64_t bos, int64_t eos, const char *dtype,
                                cria_error *err);
/* config.json, with "quantization" where there is one: the source's own, or one made
 * anew in the naming of s. */
cria_status cria_convert_write_config(const struct cria_convert_source *s,
                                      const struct cria_convert_plan *plan, const char *folder,
                                      cria_error *err);

/* The tokenizer and what else generating needs: copied from the source's folder, or made from a GGUF's
 * metadata. Returns CRIA_EUNSUPPORTED when there is none to take along. */
cria_status cria_convert_write_tokenizer(const struct cria_convert_source *s, const char *folder,
                                         cria_error *err);
/* Bytes that the latter will write, roughly. */
uint64_t cria_convert_tokenizer_bytes(const struct cria_convert_source *s);

#endif
