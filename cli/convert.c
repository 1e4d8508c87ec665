/* SPDX-License-Identifier: Apache-2.0 */
/* cria convert: a model from any source into an MLX folder. The flags are those of mlx-lm's convert and of the MLX
 * example's convert.py. */
#include "commands.h"
#include "input.h"
#include "progress.h"
#include "session.h"
#include "term.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RULE_TEXT = 256 };

struct convert_options {
    const char *src, *dst;
    const char *torch_path, *mlx_path, *model_name; /* the example's */
    bool npz, quantize, quiet;
    uint64_t bits, group, threads;
    const char *mode, *recipe, *dtype, *tokenizer, *calibrate;
    struct arg_texts layers;
};

#define FIELD(name) offsetof(struct convert_options, name)

static const char *const modes[] = {"affine", "mxfp4", "nvfp4", "mxfp8", NULL};
static const char *const dtypes[] = {"float32", "float16", "bfloat16", NULL};
static const char *const recipes[] = {"mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6", NULL};
static const char *const model_names[] = {"llama", "tiny_llama", NULL};

static const struct arg_option path_rows[] = {
    {.name = "SRC", .kind = ARG_OPERAND_MAYBE, .offset = FIELD(src),
     .help = "a folder of safetensors (Hugging Face's or mlx-lm's) or of npz (the MLX example's), a .gguf, Meta's "
             "folder with consolidated.*.pth, a .bin of llama2.c, or the name of a model that cria pull has fetched"},
    {.name = "DST", .kind = ARG_OPERAND_MAYBE, .offset = FIELD(dst),
     .help = "the folder to write, new or empty (default: \"mlx_model\")"},
    {.name = "npz", .kind = ARG_FLAG, .offset = FIELD(npz),
     .help = "write weights.npz as the MLX example does, which only a plain Llama can be; otherwise safetensors, as "
             "mlx-lm"},
    {.name = "dtype", .kind = ARG_CHOICE, .metavar = "TYPE", .offset = FIELD(dtype), .choices = dtypes,
     .help = "float32, float16 or bfloat16, for all that stays a float; by default what the source says of itself, "
             "or has"},
    {.name = "tokenizer", .kind = ARG_TEXT, .metavar = "PATH", .offset = FIELD(tokenizer),
     .help = "a tokenizer.model or tokenizer.json, or a folder with one, where the source has none beside it"},
};

static const struct arg_option quantize_rows[] = {
    {.name = "quantize", .letter = 'q', .kind = ARG_FLAG, .offset = FIELD(quantize),
     .help = "quantize the matrices, as mx.quantize does"},
    {.name = "q-bits", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(bits), .max = 8,
     .help = "bits of a weight: affine has 2, 3, 4, 5, 6, 8; 0 is the mode's own, 4 for all but mxfp8"},
    {.name = "q-group-size", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(group), .max = 128,
     .help = "weights that share a scale: affine has 32, 64, 128; 0 is the mode's own, 64 for affine"},
    {.name = "q-mode", .kind = ARG_CHOICE, .metavar = "MODE", .def = "affine", .offset = FIELD(mode), .choices = modes,
     .help = "affine, mxfp4, nvfp4 or mxfp8"},
    {.name = "q-layers", .kind = ARG_TEXTS, .metavar = "RULE", .offset = FIELD(layers),
     .help = "PATTERN=BITS[:GROUP[:MODE]] or PATTERN=none, for the layers whose names the pattern fits ('*' any "
             "characters; or a part of the name: down_proj, layers.0.); the first rule that fits decides"},
    {.name = "quant-predicate", .kind = ARG_CHOICE, .metavar = "RECIPE", .offset = FIELD(recipe), .choices = recipes,
     .help = "mlx-lm's mixtures: mixed_2_6, mixed_3_4, mixed_3_6 or mixed_4_6"},
    {.name = "calibrate", .kind = ARG_TEXT, .metavar = "FILE", .offset = FIELD(calibrate),
     .help = "choose the codes so that what the model computes on this text changes least, in place of rounding: the "
             "same size, much nearer to the original. Any text like what the model will meet, 20 to 150 KB; takes "
             "minutes, and memory for the model as it was"},
};

static const struct arg_option example_rows[] = {
    {.name = "torch-path", .kind = ARG_TEXT, .metavar = "PATH", .offset = FIELD(torch_path),
     .help = "SRC; with this flag the rest is as in the example, too: --npz, and float16 unless --dtype says "
             "otherwise"},
    {.name = "mlx-path", .kind = ARG_TEXT, .metavar = "PATH", .offset = FIELD(mlx_path), .help = "DST"},
    {.name = "model-name", .kind = ARG_CHOICE, .metavar = "NAME", .offset = FIELD(model_name), .choices = model_names,
     .help = "llama for Meta's files, tiny_llama for Hugging Face's; not needed, the files tell"},
};

static const struct arg_option other_rows[] = {
    {.name = "threads", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(threads), .max = 1024,
     .help = "how many threads compute; 0 takes what the processor and its quota allow. What is written does not "
             "depend on it"},
    {.name = "quiet", .kind = ARG_FLAG, .offset = FIELD(quiet), .help = "nothing on stderr but errors"},
};

static const struct arg_command command = {
    .name = "convert",
    .usage = "Usage: cria convert [OPTIONS] SRC [DST]",
    .about = "Converts a model into an MLX folder, which cria, mlx-lm and the MLX example read: weights,\n"
             "configuration, tokenizer and chat template. The folder appears when it is complete; a full disk or\n"
             "Ctrl-C leaves nothing.",
    .examples = "Examples\n"
                "  cria convert SmolLM2-135M/ smollm2-4bit -q\n"
                "  cria convert model.gguf model-mlx --dtype bfloat16\n"
                "  cria convert Qwen3-4B/ qwen3-mixed -q --q-layers embed_tokens=8 --q-layers down_proj=6:64\n"
                "  cria convert SmolLM2-135M/ smollm2-4bit -q --calibrate some-text.txt\n"
                "  cria convert --torch-path Llama-2-7b/ --mlx-path mlx_model -q\n",
};

/* ---- rules ---- */

static bool read_number(const char **text, uint32_t *out) {
    char *end;
    if (**text < '0' || **text > '9') return false;
    const unsigned long n = strtoul(*text, &end, 10);
    if (n > 128) return false;
    *out = (uint32_t)n;
    *text = end;
    return true;
}

/* "PATTERN=BITS[:GROUP[:MODE]]" or "PATTERN=none". room: for the pattern. */
static bool read_rule(const char *text, char room[RULE_TEXT], cria_convert_rule *out) {
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text || equals - text >= RULE_TEXT) return false;
    memcpy(room, text, (size_t)(equals - text));
    room[equals - text] = '\0';
    *out = (cria_convert_rule){.pattern = room};
    text = equals + 1;
    if (strcmp(text, "none") == 0) return true;
    if (!read_number(&text, &out->bits) || out->bits == 0) return false;
    if (*text == '\0') return true;
    if (*text++ != ':' || !read_number(&text, &out->group) || out->group == 0) return false;
    if (*text == '\0') return true;
    if (*text++ != ':') return false;
    for (size_t i = 0; modes[i]; i++)
        if (strcmp(text, modes[i]) == 0) out->mode = modes[i];
    return out->mode != NULL;
}

static int usage_error(const char *sentence, const char *what) {
    fprintf(stderr, "cria: ");
    fprintf(stderr, sentence, what);
    fprintf(stderr, " Try 'cria convert --help'.\n");
    return EXIT_USAGE;
}

/* ---- the command ---- */

struct show {
    struct progress bar;
};

static bool show_progress(void *user, uint64_t done, uint64_t total) {
    struct show *s = user;
    progress_update(&s->bar, done, total);
    return !term_interrupted();
}

static void hear(void *user, cria_log_level level, const char *text) {
    const struct convert_options *o = user;
    if (!o->quiet && level != CRIA_LOG_DEBUG)
        fprintf(stderr, "[%s] %s\n", level == CRIA_LOG_WARN ? "WARN" : "INFO", text);
}

static int run(struct convert_options *o, const cria_convert_opts *wanted) {
    cria_convert_opts opts = *wanted;
    cria_ctx_opts ctx_opts = cria_ctx_opts_default();
    cria_ctx *ctx = NULL;
    cria_convert_info info;
    cria_error err;
    struct show show;
    struct text calibration = {0};
    if (o->calibrate && !input_read_bytes(o->calibrate, &calibration)) return EXIT_FAILED;
    if (o->calibrate) {
        opts.calibration = calibration.data;
        opts.calibration_len = calibration.len;
    }
    ctx_opts.threads = (uint32_t)o->threads;
    ctx_opts.log = hear;
    ctx_opts.log_user = o;
    opts.progress = show_progress;
    opts.progress_user = &show;
    const double start = clock_now();
    term_catch_end();
    progress_start(&show.bar, opts.quantize ? "Quantizing" : "Converting", o->quiet);
    show.bar.timed = true;
    const char *src;
    cria_status st = session_find_model(o->src, &src, &err);
    if (st == CRIA_OK) st = cria_ctx_new(&ctx_opts, &ctx, &err);
    if (st == CRIA_OK) st = cria_convert(ctx, src, o->dst, &opts, &info, &err);
    progress_end(&show.bar);
    cria_ctx_free(ctx);
    text_free(&calibration);
    if (st == CRIA_ECANCELLED) return complain("Interrupted; nothing was written to '%s'.", o->dst);
    if (st != CRIA_OK) return complain("%s", err.msg);
    say(o->quiet, "[INFO] %s: %.1f M parameters in %" PRIu32 " file%s, %.1f MB, %.3f bits a weight, %.1f s.\n", o->dst,
        (double)info.n_params * 1e-6, info.n_files, info.n_files == 1 ? "" : "s", (double)info.n_bytes * 1e-6,
        8.0 * (double)info.n_bytes / (double)info.n_params, clock_now() - start);
    return EXIT_DONE;
}

/* One of two ways to say the same; false when both are used. */
static bool merge(const char **operand, const char *flag) {
    if (*operand && flag) return false;
    if (flag) *operand = flag;
    return true;
}

int convert_main(int argc, char **argv) {
    struct convert_options o = {0};
    const struct arg_group groups[] = {
        {"Model", path_rows, sizeof path_rows / sizeof *path_rows, &o},
        {"Quantization", quantize_rows, sizeof quantize_rows / sizeof *quantize_rows, &o},
        {"As the MLX example's convert.py has it", example_rows, sizeof example_rows / sizeof *example_rows, &o},
        {"Computation", other_rows, sizeof other_rows / sizeof *other_rows, &o},
    };
    const size_t n_groups = sizeof groups / sizeof *groups;
    int code;
    if (!command_begins(&command, groups, n_groups, argc, argv, &code)) return code;
    if (o.src && o.torch_path && !o.dst) { /* cria convert --torch-path SRC DST */
        o.dst = o.src;
        o.src = NULL;
    }
    if (!merge(&o.src, o.torch_path)) return usage_error("%s names the model a second time.", "--torch-path");
    if (!merge(&o.dst, o.mlx_path)) return usage_error("%s names the folder to write a second time.", "--mlx-path");
    if (!o.src) return usage_error("%s is missing.", "SRC");
    if (!o.dst) o.dst = "mlx_model";
    if (o.layers.n && !o.quantize)
        return usage_error("%s says how to quantize, but --quantize is not given.", "--q-layers");
    if (o.recipe && !o.quantize)
        return usage_error("%s says how to quantize, but --quantize is not given.", "--quant-predicate");

    if (o.calibrate && !o.quantize)
        return usage_error("%s says how to quantize, but --quantize is not given.", "--calibrate");
    if (o.calibrate && strcmp(o.mode, "affine") != 0)
        return usage_error("--calibrate is for --q-mode affine, not for %s.", o.mode);

    static char patterns[ARG_TEXTS_MAX][RULE_TEXT];
    cria_convert_rule rules[ARG_TEXTS_MAX];
    for (size_t i = 0; i < o.layers.n; i++)
        if (!read_rule(o.layers.v[i], patterns[i], &rules[i]))
            return usage_error("--q-layers takes PATTERN=BITS[:GROUP[:MODE]] or PATTERN=none, not '%s'.",
                               o.layers.v[i]);
    cria_convert_opts opts = cria_convert_opts_default();
    opts.npz = o.npz || o.torch_path;
    opts.quantize = o.quantize;
    opts.mode = o.mode;
    opts.bits = (uint32_t)o.bits;
    opts.group = (uint32_t)o.group;
    opts.recipe = o.recipe;
    opts.rules = rules;
    opts.n_rules = o.layers.n;
    opts.dtype = o.dtype ? o.dtype : o.torch_path ? "float16" : NULL;
    opts.tokenizer = o.tokenizer;
    return run(&o, &opts);
}
