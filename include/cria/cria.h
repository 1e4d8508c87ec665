/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cria.h — the whole public interface of libcria.
 *
 * The shape of the library
 *   cria_ctx        what other libraries make global: allocator, logger, instruction set, threads.
 *   cria_model      weights, configuration and tokenizer of one model. Immutable once open.
 *   cria_engine     the working memory of one caller: KV pool and scratch. Runs the forward pass.
 *   cria_sequence   one growing list of tokens with its keys and values, inside an engine.
 *   cria_sampler    turns logits into a token id.
 *   cria_chat_template  turns the messages of a conversation into a prompt.
 *   cria_detok      turns a stream of token ids into a stream of whole UTF-8 characters.
 *
 *   cria_ctx_new → cria_model_open → cria_engine_new → cria_sequence_new
 *     → cria_encode → cria_engine_eval → cria_sampler_sample → cria_detok_push → …
 *
 * Errors
 *   A function that can fail returns cria_status: CRIA_OK (0) or a negative value. Its last
 *   parameter, which may be NULL, receives the code and one complete sentence that says what was
 *   wrong, where, and what to do. Out-parameters are untouched on failure. The library never
 *   prints, exits, aborts or sets errno, and keeps no mutable global state.
 *
 * Ownership
 *   Every *_new / *_open has one *_free, which accepts NULL. Objects keep alive what they need: a
 *   model holds a reference on its context, an engine on its model, a sequence on its engine; free
 *   them in any order. Pointers returned by getters are borrowed and live as long as their object; a
 *   detok and arrays of ids borrow their tokenizer, so use them while the model is there.
 *
 * Threads
 *   cria_ctx and cria_model may be used by several threads at once. An engine, its sequences, a
 *   sampler and a detok each belong to one thread at a time.
 *
 * Same bits
 *   For given weights, options and tokens the logits are bit-identical whatever the number of
 *   threads, the split of a prompt into calls, the other sequences in a call, and the instruction
 *   set (see MODEL.md, "Exactness").
 */
#ifndef CRIA_CRIA_H
#define CRIA_CRIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CRIA_VERSION_MAJOR 0
#define CRIA_VERSION_MINOR 1
#define CRIA_VERSION_PATCH 0

#if defined(__GNUC__)
#define CRIA_API __attribute__((visibility("default")))
#else
#define CRIA_API
#endif

/* ---- status and errors ------------------------------------------------------------------- */

/* name, value, text */
#define CRIA_STATUS_TABLE(X)                                                                      \
    X(CRIA_OK, 0, "ok")                                                                           \
    X(CRIA_ENOMEM, -1, "out of memory")                                                           \
    X(CRIA_EIO, -2, "cannot read or write a file")                                                \
    X(CRIA_EFORMAT, -3, "a file is damaged or not of the expected format")                        \
    X(CRIA_EUNSUPPORTED, -4, "a file asks for something this version does not know")              \
    X(CRIA_EINVAL, -5, "an argument is invalid")                                                  \
    X(CRIA_EFULL, -6, "a fixed budget (context, KV memory, buffer) is used up")                   \
    X(CRIA_ENUMERIC, -7, "the model produced a value that is not a finite number")                \
    X(CRIA_ECANCELLED, -8, "cancelled by the caller")

typedef enum cria_status {
#define CRIA_STATUS_ENUM(name, value, text) name = value,
    CRIA_STATUS_TABLE(CRIA_STATUS_ENUM)
#undef CRIA_STATUS_ENUM
} cria_status;

typedef struct cria_error {
    cria_status code;
    uint64_t where;  /* byte offset, line or index of the offence; UINT64_MAX when it has none */
    char msg[1000];  /* one sentence, NUL-terminated UTF-8, no newline */
} cria_error;

/* Constant text of a status ("out of memory"); never NULL. */
CRIA_API const char *cria_status_text(cria_status status);
/* "0.1.0" */
CRIA_API const char *cria_version(void);

/* ---- context ----------------------------------------------------------------------------- */

typedef struct cria_ctx cria_ctx;

typedef enum cria_log_level { CRIA_LOG_WARN = 0, CRIA_LOG_INFO = 1, CRIA_LOG_DEBUG = 2 } cria_log_level;
/* text: one line without newline. May be called from the thread that called the library only. */
typedef void cria_log_fn(void *user, cria_log_level level, const char *text);

/* alloc returns memory aligned to 64 bytes or NULL; free takes what alloc gave (never NULL).
 * Both are called from any thread that uses the context. */
typedef struct cria_allocator {
    void *(*alloc)(void *user, size_t bytes);
    void (*free)(void *user, void *p);
    void *user;
} cria_allocator;

typedef struct cria_ctx_opts {
    size_t size;             /* sizeof(cria_ctx_opts), set by cria_ctx_opts_default() */
    uint32_t threads;        /* 0: as many as the affinity mask and the CPU quota allow. Those beyond the number of
                              * processors are not started: they would only hold up the others. */
    const char *isa;         /* NULL or "auto": the best that this processor has. Else the kernel table of that
                              * name: "scalar"; "avx2", "avxvnni", "avx512", "avx512vnni"; "neon", "dotprod",
                              * "i8mm". A name means that table and no better one of its family. Asking for what
                              * this processor lacks is CRIA_EINVAL. */
    cria_log_fn *log;        /* NULL: silent */
    void *log_user;
    cria_allocator allocator; /* all zero: the C library's */
} cria_ctx_opts;

CRIA_API cria_ctx_opts cria_ctx_opts_default(void);
/* opts may be NULL for the defaults. */
CRIA_API cria_status cria_ctx_new(const cria_ctx_opts *opts, cria_ctx **out, cria_error *err);
CRIA_API void cria_ctx_free(cria_ctx *ctx);
CRIA_API uint32_t cria_ctx_threads(const cria_ctx *ctx);
/* Name of the kernel table in use, one of those of cria_ctx_opts.isa. */
CRIA_API const char *cria_ctx_isa(const cria_ctx *ctx);

/* ---- the machine ------------------------------------------------------------------------- */

typedef enum cria_huge_pages {
    CRIA_HUGE_PAGES_UNKNOWN = 0, /* the system does not say */
    CRIA_HUGE_PAGES_NEVER,
    CRIA_HUGE_PAGES_ON_REQUEST,  /* which the library makes for what is large */
    CRIA_HUGE_PAGES_ALWAYS
} cria_huge_pages;

/* What was found, and what a context makes of it. Texts are NUL-terminated ASCII. */
typedef struct cria_machine {
    char processor[100];      /* as the system names it; "" where it does not */
    char features[100];       /* what kernels can use of it, "avx2 avx_vnni"; "" for none */
    char tables[100];         /* kernel tables for it, "scalar avx2": the plain C definition first, the best last */
    uint32_t cpus_online;     /* processors of the machine */
    uint32_t cpus;            /* those of them that this process may run on (affinity mask, cpuset) */
    uint32_t cores;           /* the physical cores of those */
    uint32_t slow_cores;      /* efficiency cores among the cores, where the system tells them apart */
    uint32_t nodes;           /* memory nodes of those; workers are pinned to nodes where there are several */
    uint32_t quota;           /* processors' worth of time that the cgroup grants, rounded up; 0: no limit */
    uint32_t default_threads; /* what cria_ctx_opts.threads = 0 stands for: min(cores, quota) */
    uint32_t threads;         /* the context's */
    cria_huge_pages huge_pages;
    uint64_t memory_bytes, memory_available_bytes; /* 0 where the system does not say */
} cria_machine;
CRIA_API void cria_ctx_machine(const cria_ctx *ctx, cria_machine *out);

/* What this machine can do at most with the context's threads and kernel table, a second: what measurements are
 * compared with. A multiply-add counts as two operations. */
typedef struct cria_limits {
    double read_bytes; /* read from memory, front to back */
    double f32_ops;    /* fused multiply-adds of float32 in registers */
    double int8_ops;   /* multiply-adds of the instructions that the table's products of int8 and 4-bit weights are
                        * made of, widening included, in registers */
} cria_limits;
/* Measures them, the best of several tries, in about a second; anything else that the machine does meanwhile
 * makes them too low. Needs 256 MiB of memory, more with more than 4 threads or where caches are larger than 64 MiB
 * (four times as much as they are, or a quarter of the memory that is available), and gives it back. */
CRIA_API cria_status cria_ctx_measure(cria_ctx *ctx, cria_limits *out, cria_error *err);

/* Two events a kernel: before its test (done false), so that it is known should the processor stop the program at an
 * instruction, and after. failure is NULL, or says in which case what differed. Texts live during the call. */
typedef struct cria_selftest_event {
    const char *table, *kernel;
    bool done;
    const char *failure;
} cria_selftest_event;
typedef void cria_selftest_fn(void *user, const cria_selftest_event *event);
/* Runs every kernel of a table (one of cria_machine.tables, whatever the context's own) on random shapes and data, edge
 * cases among them, and compares it with the definition in plain C bit for bit; the table "scalar", that definition, is
 * compared with arithmetic in double precision. About a second on the calling thread. A kernel that fails is an event
 * and not an error. The same seed gives the same cases. */
CRIA_API cria_status cria_selftest(cria_ctx *ctx, const char *table, uint64_t seed, cria_selftest_fn *fn, void *user,
                                   cria_error *err);

/* ---- model ------------------------------------------------------------------------------- */

typedef struct cria_model cria_model;

/* Precision of the activations that meet quantized weights. DEFAULT: int16 where it matters (values, the last layer's
 * feed-forward network, the output head), int8 elsewhere. Floats of 16 and 8 bits meet integers of 13 bits unless it is
 * F32; those of 32 bits always meet float32. */
typedef enum cria_activations {
    CRIA_ACTIVATIONS_DEFAULT = 0,
    CRIA_ACTIVATIONS_INT8,
    CRIA_ACTIVATIONS_INT16,
    CRIA_ACTIVATIONS_F32
} cria_activations;

/* done and total in bytes of weights. Return false to cancel (CRIA_ECANCELLED). Called from the calling thread. */
typedef bool cria_progress_fn(void *user, uint64_t done, uint64_t total);

typedef struct cria_model_opts {
    size_t size;
    cria_activations activations;
    cria_progress_fn *progress; /* NULL: none */
    void *progress_user;
    /* Folder where packed weights are kept, to be mapped the next time instead of packed again; made where it is
     * missing, with files that only this user may read. NULL: none. Its files (one a model, as large as the packed
     * weights) may be deleted at any time, but not written to. Where it cannot be used (read-only, full) the
     * weights are packed in memory and one line is logged as a warning. The logits are the same either way. */
    const char *cache_folder;
    uint64_t cache_least_bytes; /* what has fewer bytes of packed weights is looked for, but not kept; 0: 256 MiB */
    bool cache_required;        /* fail where the folder cannot be used */
    /* Positions that the model will be used with; 0: as many as it was made for. More than those give sense only with
     * models whose rope is scaled: dynamic scaling and the choice of longrope's factors go by this number, and by
     * nothing else, so that the same text gets the same logits however long it becomes. */
    uint32_t context;
    bool outline; /* open it without its weights: see "the outline of a model" */
} cria_model_opts;

CRIA_API cria_model_opts cria_model_opts_default(void);
/* path: a folder of Hugging Face, mlx-lm or the MLX example (weights, config.json, tokenizer) or a .gguf file.
 * The files are mapped and must not change while the model is open. */
CRIA_API cria_status cria_model_open(cria_ctx *ctx, const char *path, const cria_model_opts *opts,
                                     cria_model **out, cria_error *err);
CRIA_API void cria_model_free(cria_model *model);

/* A model of random weights, for measuring any shape and quantization without a file: as fast as a trained one of
 * the same shape, and it has nothing to say. Made in memory in seconds. It has no tokenizer. */
typedef struct cria_random_opts {
    size_t size;
    uint32_t dim, n_layers, n_heads, n_kv_heads, hidden_dim, vocab_size; /* default: those of TinyLlama-1.1B */
    uint32_t context;         /* 0: no limit */
    float rope_theta;
    const char *quantization; /* of all matrices; one of cria_quantization_name. Default: "q4_0" */
    cria_activations activations;
    uint64_t seed;            /* the same seed gives the same weights on every machine */
} cria_random_opts;

CRIA_API cria_random_opts cria_random_opts_default(void);
/* opts may be NULL for the defaults. CRIA_EINVAL: a number is out of range, or the quantization is not one or does not
 * divide the dimensions. */
CRIA_API cria_status cria_model_random(cria_ctx *ctx, const cria_random_opts *opts, cria_model **out,
                                       cria_error *err);
/* The names of all forms that weights may have, in memory: "f32", "f16", "bf16"; "q4_0" … as GGUF calls its formats;
 * "affine4-g64" … (bits, group) and "mxfp4" … as MLX does. NULL for i beyond the last. */
CRIA_API const char *cria_quantization_name(size_t i);

typedef struct cria_model_info {
    const char *format;       /* "npz", "safetensors", "gguf" or "random" */
    const char *architecture; /* the family: "llama", "qwen3", … */
    uint32_t dim, n_layers, n_heads, n_kv_heads, head_dim, hidden_dim, vocab_size;
    uint32_t context;         /* length in tokens: cria_model_opts.context or the model's own; 0 when nobody says */
    float norm_eps, rope_theta;
    bool rope_traditional;    /* how the file has rotary pairs: as neighbours */
    uint64_t n_params;        /* logical weights */
    uint64_t weight_bytes;    /* bytes of packed weights */
    bool weights_mapped;      /* they are a file of the cache folder, mapped */
} cria_model_info;
/* Borrowed strings live as long as the model. */
CRIA_API void cria_model_get_info(const cria_model *model, cria_model_info *out);

/* ---- the outline of a model -------------------------------------------------------------- */

/* Opened with cria_model_opts.outline, a model is what its files say of it, without the weights: in no time, however
 * large it is. It is for cria_model_get_info, its tokenizer and what follows; cria_engine_new refuses it. Where its
 * tokenizer cannot be read, it has none, and one line says why as a warning. */

typedef struct cria_outline {
    uint64_t file_bytes; /* of the files with weights */
    size_t n_files;
    size_t n_tensors;    /* that the model reads */
    uint64_t token_bytes; /* of weights, that the next token of one sequence reads */
    uint32_t n_experts, n_experts_used; /* 0: none */
    uint32_t window;     /* positions that layers with a sliding window see; 0: there are none */
    uint32_t n_window_layers;
    bool chat_template;  /* the files have one */
} cria_outline;
/* False for a model that was opened whole, or is random. */
CRIA_API bool cria_model_get_outline(const cria_model *model, cria_outline *out);

typedef struct cria_tensor_info {
    const char *name;    /* in the file */
    const char *type;    /* how it is stored: one of cria_quantization_name */
    uint64_t rows, cols; /* weights, not words of packed ones; a vector is one row, a stack of matrices one matrix */
    uint64_t n_bytes;    /* in the file; with the scales and biases that MLX stores beside the weights */
} cria_tensor_info;
/* Tensor i of an outline, first the embeddings, then layer after layer. False for i beyond the last. The texts live as
 * long as the model. */
CRIA_API bool cria_model_get_tensor(const cria_model *model, size_t i, cria_tensor_info *out);

/* ---- how a model is to be sampled -------------------------------------------------------- */

/* What the model's makers suggest, in generation_config.json beside the weights or a GGUF's general.sampling.*: NAN and
 * UINT32_MAX for what they do not speak of. Of use as the defaults of cria_sampler_opts. */
typedef struct cria_generation {
    double temp; /* 0 where they say do_sample: false */
    double top_p, min_p, typical_p, repeat_penalty;
    uint32_t top_k;
} cria_generation;
/* CRIA_EFORMAT where a number is none or out of range. A model whose files say nothing is no failure. */
CRIA_API cria_status cria_model_get_generation(const cria_model *model, cria_generation *out, cria_error *err);

/* ---- tokenizer --------------------------------------------------------------------------- */

typedef struct cria_tokenizer cria_tokenizer;

/* Borrowed from the model; NULL for one of cria_model_random. */
CRIA_API const cria_tokenizer *cria_model_tokenizer(const cria_model *model);
/* A tokenizer without its model: path of a tokenizer.json, tokenizer.model or .gguf file, or of a model's folder, where
 * tokenizer.json comes before tokenizer.model. What begins and ends a text is looked up in the files beside a
 * tokenizer.json: tokenizer_config.json, special_tokens_map.json, generation_config.json, config.json. */
CRIA_API cria_status cria_tokenizer_open(cria_ctx *ctx, const char *path, cria_tokenizer **out,
                                         cria_error *err);
CRIA_API void cria_tokenizer_free(cria_tokenizer *tokenizer); /* only for cria_tokenizer_open */

/* "SentencePiece BPE" or "SentencePiece unigram", by that library's rules; "BPE" or "unigram", by those of PyPI
 * tokenizers. */
CRIA_API const char *cria_tokenizer_kind(const cria_tokenizer *tokenizer);
CRIA_API uint32_t cria_tokenizer_vocab_size(const cria_tokenizer *tokenizer);
/* -1 where the tokenizer has none. */
CRIA_API int32_t cria_tokenizer_bos(const cria_tokenizer *tokenizer);
CRIA_API int32_t cria_tokenizer_eos(const cria_tokenizer *tokenizer);
/* True where a prompt is to begin with bos: always for a tokenizer.model that has one, else as the files say. */
CRIA_API bool cria_tokenizer_add_bos(const cria_tokenizer *tokenizer);
/* True for every id that ends a generation: eos, all that generation_config.json or config.json list, and the ends of
 * turn and message (eot, eom) that a GGUF names or, where no file names any, the well-known symbols for them
 * ("<|eot_id|>", "<|endoftext|>"), as llama.cpp does. */
CRIA_API bool cria_tokenizer_is_eog(const cria_tokenizer *tokenizer, int32_t id);
/* The piece as stored in the vocabulary; NULL when id is out of range. *len may be NULL. */
CRIA_API const char *cria_tokenizer_piece(const cria_tokenizer *tokenizer, int32_t id, size_t *len);

typedef enum cria_encode_flags {
    CRIA_ENCODE_PLAIN = 0,        /* text is only text */
    CRIA_ENCODE_BOS = 1,          /* put bos first (where there is one) */
    CRIA_ENCODE_SPECIAL = 2,      /* recognize control symbols written out in the text ("<|im_end|>") */
    CRIA_ENCODE_CHAT = 4          /* what a chat template made: both, but no second bos; see "chat templates" */
} cria_encode_flags;
/* Encodes text[0..len) (any bytes; invalid UTF-8 is taken as the tokenizer library does).
 * *out becomes an array of *n ids for the caller to free with cria_ids_free. */
CRIA_API cria_status cria_encode(const cria_tokenizer *tokenizer, const char *text, size_t len,
                                 unsigned flags, int32_t **out, size_t *n, cria_error *err);
CRIA_API void cria_ids_free(const cria_tokenizer *tokenizer, int32_t *ids);
/* Decodes all ids at once: *out is a NUL-terminated string of *len bytes, to free with cria_text_free. */
CRIA_API cria_status cria_decode(const cria_tokenizer *tokenizer, const int32_t *ids, size_t n,
                                 char **out, size_t *len, cria_error *err);
CRIA_API void cria_text_free(const cria_tokenizer *tokenizer, char *text);

/* Streaming decode, linear in the number of ids. The concatenation of what push and finish give equals
 * cria_decode of all ids, and each part ends on a character border. */
typedef struct cria_detok cria_detok;
CRIA_API cria_status cria_detok_new(const cria_tokenizer *tokenizer, cria_detok **out, cria_error *err);
CRIA_API void cria_detok_free(cria_detok *detok);
/* *text (borrowed until the next call, *len bytes, possibly 0) is what became certain. */
CRIA_API cria_status cria_detok_push(cria_detok *detok, int32_t id, const char **text, size_t *len,
                                     cria_error *err);
/* The rest, with an incomplete character replaced as the tokenizer library does; then starts anew. */
CRIA_API cria_status cria_detok_finish(cria_detok *detok, const char **text, size_t *len, cria_error *err);

/* ---- chat templates ---------------------------------------------------------------------- */

/* A chat template turns messages into the text that a model was trained to go on from. It is a program in Jinja, which
 * comes with the model; docs/chat.md says what is taken from which file. Immutable: any thread may render it. It needs
 * its context only, not the model.
 *
 * The text is to be encoded with CRIA_ENCODE_CHAT: control symbols count, and where the tokenizer puts bos before a
 * text (cria_tokenizer_add_bos) it does so here too, unless the text begins with it, as many templates have it: there
 * is one bos, never two. transformers' apply_chat_template adds none, so that its ids differ by that one where a
 * template leaves bos to the tokenizer, as Zephyr's does; llama.cpp does as is done here. */
typedef struct cria_chat_template cria_chat_template;

/* Names of the model's own templates, "default" for the one that has none; NULL for i beyond the last. */
CRIA_API const char *cria_model_chat_template(const cria_model *model, size_t i);
/* The model's own. name NULL: as transformers chooses, "default", and where there are tools to be told of "tool_use",
 * if there is one. CRIA_EINVAL: the model has no such template; it is never replaced by another one. Else, where a
 * file is damaged or the template is no Jinja, as cria_chat_template_new. */
CRIA_API cria_status cria_chat_template_open(const cria_model *model, const char *name, cria_chat_template **out,
                                             cria_error *err);
/* Another one for the model: text[0..len) is copied. CRIA_EFORMAT with the line (also in err->where) and what is wrong
 * there, CRIA_EUNSUPPORTED for what cria does not know of Jinja, CRIA_EFULL for more than 1 MiB. */
CRIA_API cria_status cria_chat_template_new(const cria_model *model, const char *text, size_t len,
                                            cria_chat_template **out, cria_error *err);
CRIA_API void cria_chat_template_free(cria_chat_template *t);
/* Its Jinja text, NUL-terminated. */
CRIA_API const char *cria_chat_template_text(const cria_chat_template *t, size_t *len);

/* What strftime_now tells: seconds since 1970 in UTC, and how much later the clocks on the wall are. */
typedef struct cria_template_time {
    int64_t seconds;
    int32_t offset;
} cria_template_time;

/* json[0..len): the variables, an object: {"messages": [{"role": "user", "content": "Hello!"}],
 * "add_generation_prompt": true, "tools": […], …}. As in transformers, bos_token and the model's other tokens are
 * variables too unless they are given, what is null in a message counts as missing, and a message's reasoning_content,
 * thinking or reasoning is known by the first two names. now: NULL leaves strftime_now undefined, which templates that
 * show a date have a text for. *out is a NUL-terminated string of *out_len bytes, to free with cria_chat_text_free.
 * CRIA_EINVAL with the template's own words where it refuses the messages; CRIA_EFORMAT with the line of an error in
 * the template or the JSON, CRIA_EUNSUPPORTED, CRIA_EFULL where it takes too many steps or too much memory. */
CRIA_API cria_status cria_chat_template_render(const cria_chat_template *t, const char *json, size_t len,
                                               const cria_template_time *now, char **out, size_t *out_len,
                                               cria_error *err);
CRIA_API void cria_chat_text_free(const cria_chat_template *t, char *text);

/* ---- engine and sequences ---------------------------------------------------------------- */

typedef struct cria_engine cria_engine;
typedef struct cria_sequence cria_sequence;

/* What keys and values are kept as. INT16, the default: integers with a float32 scale for each position and head, about
 * as exact as F16 and faster. INT8: the same with 8-bit integers, in little more than half of the memory
 * (docs/quality.md says what each costs). */
typedef enum cria_kv_type { CRIA_KV_INT16 = 0, CRIA_KV_F16, CRIA_KV_F32, CRIA_KV_INT8 } cria_kv_type;

/* Bytes of the keys and values of one sequence of so many tokens, of any model. */
CRIA_API uint64_t cria_model_kv_bytes(const cria_model *model, cria_kv_type kv, uint64_t tokens);

typedef struct cria_engine_opts {
    size_t size;
    cria_kv_type kv;
    uint64_t kv_bytes;   /* budget of the KV pool, never exceeded, used as it is needed; 0: enough for one sequence of
                          * the model's context, but at most three quarters of the memory that is available now */
    uint32_t batch_rows; /* most rows computed at once (scratch grows with it); 0: 512 */
} cria_engine_opts;

CRIA_API cria_engine_opts cria_engine_opts_default(void);
CRIA_API cria_status cria_engine_new(cria_model *model, const cria_engine_opts *opts, cria_engine **out,
                                     cria_error *err);
CRIA_API void cria_engine_free(cria_engine *engine);
/* The tokens that a sequence may have: as many as the model's context, and as the KV budget holds when there are no
 * other sequences. */
CRIA_API uint32_t cria_engine_context(const cria_engine *engine);

CRIA_API cria_status cria_sequence_new(cria_engine *engine, cria_sequence **out, cria_error *err);
/* Gives its KV blocks back to the pool. */
CRIA_API void cria_sequence_free(cria_sequence *sequence);
/* Tokens evaluated so far. */
CRIA_API size_t cria_sequence_length(const cria_sequence *sequence);
/* The tokens themselves, [cria_sequence_length]; borrowed until the sequence changes. */
CRIA_API const int32_t *cria_sequence_tokens(const cria_sequence *sequence);
/* Forgets all tokens from position n on; n beyond the length changes nothing. */
CRIA_API void cria_sequence_truncate(cria_sequence *sequence, size_t n);
/* A second sequence with the same tokens. The two share the memory of their keys and values, but for what each of them
 * gets later and the block that they are in the middle of. CRIA_EFULL: the KV budget is used up. */
CRIA_API cria_status cria_sequence_fork(const cria_sequence *sequence, cria_sequence **out, cria_error *err);

/* Saved prefixes: the tokens of a sequence with their keys and values, in a file, so that a long beginning of prompts
 * is computed once. Saved are whole blocks of 64 tokens; *n_tokens (may be NULL) becomes their number. The file appears
 * when it is complete, replacing one of that name; only this user may read it. CRIA_EINVAL: fewer than 64 tokens. */
CRIA_API cria_status cria_sequence_save(const cria_sequence *sequence, const char *path, size_t *n_tokens,
                                        cria_error *err);
/* The sequence becomes that of the file, which is mapped and must not change while it, or a fork of it, is in use. The
 * model, its activations and context, and the KV type must be those it was saved with (CRIA_EINVAL else); CRIA_EFORMAT:
 * it is damaged or no saved prefix; CRIA_EFULL: it is longer than the context, or its KV budget is used up. On failure
 * the sequence is as it was. */
CRIA_API cria_status cria_sequence_load(cria_sequence *sequence, const char *path, cria_error *err);

/* One row of a batch: the next token of a sequence. Its position is the sequence's length at that moment, so
 * several rows of one sequence, in order, are a piece of its prompt. */
typedef struct cria_row {
    cria_sequence *sequence;
    int32_t token;
    bool want_logits;
} cria_row;

/* Runs the model over rows[0..n). logits: [number of rows that want them][vocab_size] float32, in row order;
 * may be NULL when none wants them. Any n: it is split into parts of batch_rows. On failure no sequence
 * has grown. CRIA_EFULL: the KV budget or the context is used up. CRIA_ENUMERIC: logits not finite. */
CRIA_API cria_status cria_engine_eval(cria_engine *engine, const cria_row *rows, size_t n, float *logits,
                                      cria_error *err);

/* The least work of a call of cria_engine_eval with the next `tokens` tokens of `sequences` sequences that have
 * `depth` tokens each, the logits of each one's last token wanted; to be compared with cria_limits. */
typedef struct cria_work {
    uint64_t int8_multiply_adds; /* of quantized weights and half floats, and of attention with integers; those of
                                  * 16-bit integers count twice */
    uint64_t f32_multiply_adds;  /* of float weights or activations, and of attention with floats */
    uint64_t read_bytes;         /* weights, once for every batch_rows rows, and keys and values of before */
} cria_work;
CRIA_API void cria_engine_get_work(const cria_engine *engine, uint64_t sequences, uint64_t depth, uint64_t tokens,
                                   cria_work *out);

/* ---- sampling ---------------------------------------------------------------------------- */

typedef struct cria_sampler cria_sampler;

/* Added to the logit of a token: a finite number, or -INFINITY to rule the token out. */
typedef struct cria_logit_bias {
    int32_t id;
    float bias;
} cria_logit_bias;

/* The default of every filter is to do nothing; out-of-range values are CRIA_EINVAL. Filters are applied in the order
 * named in `order`, each to what the one before left over. Where a filter compares, equal logits stay or go together,
 * but for top_k, where the lower id stays. At least one token always stays. */
typedef struct cria_sampler_opts {
    size_t size;
    double temp;   /* 0: argmax, lowest id on a tie. Otherwise MLX's categorical(logits * (1/temp)); double because
                    * Python computes 1/temp in double before it becomes a float32. */
    uint64_t seed; /* as mx.random.seed */
    uint64_t skip; /* keys that MLX has drawn since it was seeded: the MLX example seeds before it builds its model,
                    * whose random first weights draw 7·layers + 2. Linear in skip. */

    const char *order; /* names separated by commas, each at most once; what is not named is not applied, but temp,
                        * which then comes last. NULL: "bias,penalties,dry,top_n_sigma,top_k,typical,top_p,min_p,xtc,
                        * temp". Mirostat always comes after all of them. Filters see logits as they are at their place:
                        * divided by the temperature only after temp. */

    /* bias */
    const cria_logit_bias *bias; /* [n_bias], copied; the ids are in the vocabulary. Of one id they add up. */
    size_t n_bias;

    /* penalties: of the tokens that are among the last penalty_last_n of the history */
    uint32_t penalty_last_n;  /* tokens; 0: the whole history. Default 64 */
    double repeat_penalty;    /* positive logits are divided by it, others multiplied; 0.001 to 1000; 1: off */
    double presence_penalty;  /* taken off the logit; -1000 to 1000; 0: off */
    double frequency_penalty; /* taken off the logit once for each time; -1000 to 1000; 0: off */

    /* dry ("don't repeat yourself"): where the last n tokens have been there before, n >= dry_allowed_length, the token
     * that followed then loses dry_multiplier · dry_base^(n - dry_allowed_length) */
    double dry_multiplier;       /* 0 to 1000; 0: off */
    double dry_base;             /* 1 to 1000; default 1.75 */
    uint32_t dry_allowed_length; /* tokens; default 2 */
    uint32_t dry_last_n;         /* tokens of the history looked at; 0: all of it, the default */
    const int32_t *dry_breakers; /* [n_dry_breakers] ids, ascending, copied: no repetition reaches across one of them,
                                  * and none of them is punished */
    size_t n_dry_breakers;

    double top_n_sigma;     /* keeps logits of at least max - top_n_sigma · (their standard deviation); 0 to 1000000;
                             * 0: off */
    uint32_t top_k;         /* keeps the top_k largest; 0: off */
    double typical_p;       /* keeps those whose surprise is nearest to the expected one, as few as together have this
                             * probability; 0 to 1; 1: off */
    double top_p;           /* keeps the likeliest, as few as together have this probability; 0 to 1; 1: off */
    double min_p;           /* keeps those at least min_p times as likely as the likeliest; 0 to 1; 0: off */
    double xtc_probability; /* of doing this ("exclude top choices"): of all tokens more likely than xtc_threshold only
                             * the least likely one stays; 0 to 1; 0: off. Takes one random key for each token */
    double xtc_threshold;   /* 0 to 1, from 0.5 without effect; default 0.1 */

    /* Dynamic temperature: from temp - dynatemp_range, at least 0, where one token is certain, to
     * temp + dynatemp_range where all are equally likely: entropy / greatest possible entropy, to the power of
     * dynatemp_exponent, says how far between the two. */
    double dynatemp_range;    /* 0 to 1000; 0: off */
    double dynatemp_exponent; /* 0 to 1000; default 1 */

    /* Mirostat 2: leaves out tokens whose surprise in bits is above a bound, which follows what is chosen so that the
     * mean surprise comes near mirostat_tau. */
    double mirostat_tau; /* bits; 0 to 1000; 0: off */
    double mirostat_eta; /* how fast the bound follows; 0 to 10; default 0.1 */
} cria_sampler_opts;

CRIA_API cria_sampler_opts cria_sampler_opts_default(void);
CRIA_API cria_status cria_sampler_new(cria_ctx *ctx, const cria_sampler_opts *opts, cria_sampler **out,
                                      cria_error *err);
CRIA_API void cria_sampler_free(cria_sampler *sampler);
/* logits[0..vocab_size) are read only. Advances the random state exactly as one MLX draw does (not at temp 0 without
 * dynamic temperature), and the chosen token joins the history. -INFINITY is allowed (a token ruled out) unless every
 * logit is; NaN and +INFINITY are CRIA_ENUMERIC. */
CRIA_API cria_status cria_sampler_sample(cria_sampler *sampler, const float *logits, size_t vocab_size,
                                         int32_t *id, cria_error *err);
/* What cria_sampler_sample would choose from: out[0..vocab_size), which may be logits, becomes the logits after all
 * filters and the temperature, -INFINITY where they leave a token out. Nothing is chosen, so nothing changes but that
 * XTC takes its random key. */
CRIA_API cria_status cria_sampler_apply(cria_sampler *sampler, const float *logits, size_t vocab_size, float *out,
                                        cria_error *err);
/* Puts ids[0..n), a prompt or tokens chosen elsewhere, into the history that penalties and dry look at. Remembers no
 * more than they need: nothing where both are off. */
CRIA_API cria_status cria_sampler_accept(cria_sampler *sampler, const int32_t *ids, size_t n, cria_error *err);
/* For a new text: forgets the history and mirostat's bound. The random numbers go on. */
CRIA_API void cria_sampler_reset(cria_sampler *sampler);

/* ---- generating text --------------------------------------------------------------------- */

/* A stream makes the text that follows a prompt, a token at a time. It drives a sequence, a sampler and a detok of its
 * own; sequence and sampler are borrowed and must outlive it. While a stream is in use, nobody else evaluates its
 * sequence or samples with its sampler. Belongs to one thread at a time, together with all streams of its engine.
 *
 *   cria_stream_new → cria_stream_prompt → cria_stream_prefill (until done) → cria_stream_next (until it finishes)
 *     → cria_stream_prompt …
 */
typedef struct cria_stream cria_stream;

typedef struct cria_stream_opts {
    size_t size;
    uint64_t max_tokens;     /* 0: as many as fit */
    bool ignore_eog;         /* a token that ends a text is a token like others */
    const char *const *stop; /* [n_stop] texts, copied; where one of them appears, the text ends before it */
    size_t n_stop;
    uint32_t logprobs;       /* so many of the likeliest tokens are told with each one, and its own probability; at
                              * most 1000; 0: neither */
    uint32_t lookup;         /* tokens guessed at once, at most, from what followed the same words before, and checked
                              * in one pass of the model; at most 64; 0: none. The text is the same with any number */
    cria_sequence *draft;    /* of another engine, whose smaller model guesses where lookup finds nothing; borrowed, and
                              * used by this stream only. NULL: none. The text is the same again */
    uint32_t draft_tokens;   /* guessed so at once, at most; at most 64 */
} cria_stream_opts;

typedef enum cria_finish {
    CRIA_FINISH_NONE = 0, /* there is more to come */
    CRIA_FINISH_EOG,      /* the model ended its text */
    CRIA_FINISH_STOP,     /* one of the texts to stop at appeared */
    CRIA_FINISH_LENGTH,   /* max_tokens */
    CRIA_FINISH_FULL,     /* the context or the KV budget holds no more */
    CRIA_FINISH_ENDED     /* by cria_stream_end */
} cria_finish;

typedef struct cria_logprob {
    int32_t id;
    float logprob; /* natural logarithm of the softmax of the model's logits, before samplers change them */
} cria_logprob;

/* One token, and the text that became certain with it. Borrowed parts live until the stream's next call. */
typedef struct cria_stream_event {
    int32_t id;                /* -1: no token came; the stream had finished before */
    const char *text;          /* [len] whole characters, none of a stop text; not NUL-terminated */
    size_t len;
    float logprob;             /* of id, where logprobs is not 0 */
    const cria_logprob *top;   /* [n_top] the likeliest first, of equal ones the lower id */
    size_t n_top;
    cria_finish finish;
    const char *stopped_by;    /* with CRIA_FINISH_STOP: the stop text, NUL-terminated */
} cria_stream_event;

typedef struct cria_stream_stats {
    size_t n_prompt, n_reused; /* tokens of the prompt; those of them that were in the sequence already */
    uint64_t n_generated;      /* tokens told by events, one that ends the text included */
    uint64_t n_guessed, n_accepted; /* by lookup and draft */
} cria_stream_stats;

CRIA_API cria_stream_opts cria_stream_opts_default(void);
/* opts may be NULL for the defaults. CRIA_EINVAL: the model has no tokenizer, a stop text is empty, the draft's
 * vocabulary is another. */
CRIA_API cria_status cria_stream_new(cria_sequence *sequence, cria_sampler *sampler, const cria_stream_opts *opts,
                                     cria_stream **out, cria_error *err);
CRIA_API void cria_stream_free(cria_stream *stream);
/* Begins anew with a prompt: ids[0..n) are copied. What they have in common with the tokens of the sequence stays there
 * and is not computed again, which cannot change a bit. The sampler is reset and gets the prompt as its history.
 * CRIA_EFULL: the prompt is longer than the context; CRIA_EINVAL: n is 0 or an id is not in the vocabulary. Then
 * nothing has changed. */
CRIA_API cria_status cria_stream_prompt(cria_stream *stream, const int32_t *ids, size_t n, cria_error *err);
/* Evaluates up to max_tokens of what is left of the prompt (0: all), so that a caller can show progress and be
 * interrupted between two parts. *left may be NULL; it becomes the number of tokens that are still to do. */
CRIA_API cria_status cria_stream_prefill(cria_stream *stream, size_t max_tokens, size_t *left, cria_error *err);
/* The next token of each of n streams of one engine, those that need the model in one pass of it; events[i] is of
 * streams[i]. What is left of a prompt is evaluated first. A stream that has finished gets the same finish again, with
 * id -1. After a failure the streams are to be begun anew. */
CRIA_API cria_status cria_stream_next(cria_stream *const *streams, size_t n, cria_stream_event *events,
                                      cria_error *err);
/* Ends the text early: *event (id -1) has what was held back (an incomplete character, the beginning of a stop text).
 * After a finish there is nothing held back. */
CRIA_API cria_status cria_stream_end(cria_stream *stream, cria_stream_event *event, cria_error *err);
CRIA_API void cria_stream_get_stats(const cria_stream *stream, cria_stream_stats *out);

/* ---- converting -------------------------------------------------------------------------- */

/* A way to quantize the layers whose names ("model.layers.3.mlp.down_proj") the pattern fits: '*' stands for any
 * characters and '?' for one; without either the pattern is a part of the name. */
typedef struct cria_convert_rule {
    const char *pattern;
    const char *mode; /* NULL: as the others are */
    uint32_t bits;    /* 0 with mode NULL: not quantized; 0 otherwise: the mode's own */
    uint32_t group;   /* 0: as the others, or the mode's own where there is a mode */
} cria_convert_rule;

typedef struct cria_convert_opts {
    size_t size;
    bool npz;          /* as the MLX example writes it, which only a plain Llama can be; else as mlx-lm does */
    bool quantize;
    const char *mode;  /* "affine", "mxfp4", "nvfp4", "mxfp8"; NULL: affine */
    uint32_t bits, group; /* 0: as mx.quantize has them for the mode */
    const char *recipe; /* "mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6" as in mlx-lm; NULL: none */
    const cria_convert_rule *rules; /* [n_rules], the first that fits a layer decides; they come before the recipe */
    size_t n_rules;
    const char *dtype; /* "float32", "float16", "bfloat16": of all that stays a float, scales and biases included;
                        * NULL: what the source says of itself, or has */
    const char *tokenizer; /* a tokenizer.model or tokenizer.json, or a folder with one, to take along; NULL: what is
                            * beside the weights, or in the .gguf */
    const char *calibration; /* [calibration_len] text like what the model will meet, in UTF-8; NULL: none. Affine
                              * codes, scales and biases are then chosen so that what the matrices compute on it
                              * changes least, no longer as mx.quantize does; the files are of the same form and size.
                              * Takes a model that cria_model_open opens, and the memory for it */
    size_t calibration_len;
    uint64_t shard_bytes; /* of one file of tensors; 0: 5 GiB, with npz 15 GiB */
    cria_progress_fn *progress; /* in weights; NULL: none. Called from the calling thread, several times a second */
    void *progress_user;
} cria_convert_opts;

typedef struct cria_convert_info {
    uint64_t n_params, n_bytes; /* weights; bytes of the tensors written */
    uint32_t n_files;           /* of tensors */
} cria_convert_info;

CRIA_API cria_convert_opts cria_convert_opts_default(void);
/* Converts the model at src into the new folder dst, which must not exist or be empty. src: a folder of safetensors as
 * Hugging Face or mlx-lm have it; an MLX folder of npz; a .gguf; Meta's consolidated.*.pth with params.json; a .bin of
 * llama2.c, version 0. Without calibration quantized tensors are mx.quantize's byte for byte; with one, too, they are
 * the same on every machine and with any number of threads. dst appears when it is complete: on failure, or when
 * progress returns false (CRIA_ECANCELLED), nothing is left. *out may be NULL. */
CRIA_API cria_status cria_convert(cria_ctx *ctx, const char *src, const char *dst, const cria_convert_opts *opts,
                                  cria_convert_info *out, cria_error *err);

#ifdef __cplusplus
}
#endif

#endif
