/* SPDX-License-Identifier: Apache-2.0 */
/* cria inspect: what a model's files say of it, how its weights are stored, and what it asks of memory. Reads
 * no weights, so that it is as quick with a hundred gigabytes as with one. */
#include "args.h"
#include "commands.h"
#include "cria/cria.h"
#include "jsontext.h"
#include "progress.h"
#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct inspect_options {
    const char *model;
    uint64_t context;
    bool tensors, json;
};

#define FIELD(name) offsetof(struct inspect_options, name)

static const struct arg_option rows[] = {
    {.name = "MODEL", .kind = ARG_OPERAND, .offset = FIELD(model),
     .help = "a folder with a model as Hugging Face, mlx-lm or the MLX example store it, a .gguf file, or the name of "
             "a model that cria pull has fetched"},
    {.name = "context", .kind = ARG_WHOLE, .metavar = "N", .def = "0", .offset = FIELD(context), .max = 1u << 24,
     .help = "tell the memory for N tokens; 0 is the model's own context"},
    {.name = "tensors", .kind = ARG_FLAG, .offset = FIELD(tensors),
     .help = "list every tensor, not one line for those that layers have in common"},
    {.name = "json", .kind = ARG_FLAG, .offset = FIELD(json), .help = "print one JSON object, with every tensor"},
};

static const struct arg_command command = {
    .name = "inspect",
    .usage = "Usage: cria inspect [OPTIONS] MODEL",
    .about = "Shows what a model is: architecture and sizes, how its weights are stored, its tokenizer, what a token\n"
             "reads and what a context takes of memory. The weights themselves are not read.",
    .examples = "Examples\n"
                "  cria inspect model.gguf\n"
                "  cria inspect --context 32768 mlx_model\n"
                "  cria inspect --tensors mlx_model\n",
};

#define UNKNOWN_CONTEXT 4096u /* what memory is told for when neither the model nor the user says */

struct inspect {
    const struct inspect_options *options;
    cria_model *model;
    cria_model_info info;
    cria_outline outline;
    const cria_tokenizer *tokenizer; /* NULL: it cannot be read */
    uint64_t context;                /* that memory is told for */
};

/* ---- groups of tensors ---- */

/* Tensors whose names differ in numbers only and that are alike, such as one matrix of all layers. */
struct group {
    cria_tensor_info first;
    uint64_t n, n_bytes;
    /* The first numbers in the names, of layers as a rule: "0-3, 7"; those of the last run are not in the text yet. */
    char runs[40];
    uint64_t from, to; /* from > to: there are none */
};

/* Whether a part of a name, between dots, is a number; *end is where the part ends. */
static bool is_number(const char *s, const char **end) {
    const char *p = s;
    while (*p >= '0' && *p <= '9') p++;
    *end = p + strcspn(p, ".");
    return p > s && p == *end;
}

/* The names' parts that are no numbers are equal. */
static bool same_but_numbers(const char *a, const char *b) {
    for (;;) {
        const char *end_a, *end_b;
        const bool number_a = is_number(a, &end_a), number_b = is_number(b, &end_b);
        if (number_a != number_b) return false;
        if (!number_a && (end_a - a != end_b - b || memcmp(a, b, (size_t)(end_a - a)) != 0)) return false;
        if (*end_a != *end_b) return false;
        if (*end_a == '\0') return true;
        a = end_a + 1, b = end_b + 1;
    }
}

static bool first_number(const char *name, uint64_t *out) {
    for (const char *end;; name = end + 1) {
        if (is_number(name, &end)) {
            *out = strtoull(name, NULL, 10);
            return true;
        }
        if (*end == '\0') return false;
    }
}

static bool alike(const cria_tensor_info *a, const cria_tensor_info *b) {
    return a->rows == b->rows && a->cols == b->cols && strcmp(a->type, b->type) == 0 &&
           same_but_numbers(a->name, b->name);
}

/* Adds the last run to the text, or … when there is no room. */
static void end_run(struct group *g) {
    const size_t at = strlen(g->runs), room = sizeof g->runs - at;
    char run[48];
    if (g->from > g->to) return;
    int len = snprintf(run, sizeof run, "%s%" PRIu64, at ? ", " : "", g->from);
    if (g->to > g->from) len += snprintf(run + len, sizeof run - (size_t)len, "-%" PRIu64, g->to);
    if ((size_t)len + 6 < room)
        memcpy(g->runs + at, run, (size_t)len + 1);
    else if (at > 0 && g->runs[at - 1] != '.')
        memcpy(g->runs + at, ", ...", 6);
}

static void add_to_group(struct group *g, const cria_tensor_info *t) {
    uint64_t number;
    g->n++;
    g->n_bytes += t->n_bytes;
    if (!first_number(t->name, &number) || (g->from <= g->to && number == g->to)) return;
    if (g->from > g->to || number != g->to + 1) {
        end_run(g);
        g->from = number;
    }
    g->to = number;
}

/* NULL when there is no memory. There are a few dozens of groups at most, as many as a layer has kinds of
 * tensors. */
static struct group *make_groups(const struct inspect *s, size_t *n) {
    struct group *groups = malloc((s->outline.n_tensors + 1) * sizeof *groups);
    cria_tensor_info t;
    *n = 0;
    for (size_t i = 0; groups != NULL && cria_model_get_tensor(s->model, i, &t); i++) {
        size_t at = 0;
        while (at < *n && !alike(&groups[at].first, &t)) at++;
        if (at == *n) groups[(*n)++] = (struct group){.first = t, .from = 1};
        add_to_group(&groups[at], &t);
    }
    for (size_t i = 0; i < *n && groups != NULL; i++) end_run(&groups[i]);
    return groups;
}

/* ---- types ---- */

struct type {
    const char *name;
    uint64_t n, n_weights, n_bytes;
};
enum { MAX_TYPES = 64 }; /* more than cria_quantization_name has */

static size_t count_types(const struct inspect *s, struct type types[MAX_TYPES]) {
    cria_tensor_info t;
    size_t n = 0;
    for (size_t i = 0; cria_model_get_tensor(s->model, i, &t); i++) {
        size_t at = 0;
        while (at < n && strcmp(types[at].name, t.type) != 0) at++;
        if (at == MAX_TYPES) continue;
        if (at == n) types[n++] = (struct type){.name = t.type};
        types[at].n++;
        types[at].n_weights += t.rows * t.cols;
        types[at].n_bytes += t.n_bytes;
    }
    return n;
}

/* ---- the page ---- */

static void row(const char *name) { printf("  %-18s", name); }

static void print_model(const struct inspect *s) {
    const cria_model_info *m = &s->info;
    const cria_outline *o = &s->outline;
    char size[16];
    printf("Model\n");
    row("files");
    printf("%s, %zu file%s, %s\n", m->format, o->n_files, o->n_files == 1 ? "" : "s",
           bytes_text(o->file_bytes, size));
    row("architecture");
    printf("%s\n", m->architecture);
    row("parameters");
    printf("%.1f M\n", (double)m->n_params * 1e-6);
    row("layers");
    printf("%" PRIu32 " of dimension %" PRIu32 "\n", m->n_layers, m->dim);
    row("attention");
    printf("%" PRIu32 " heads of %" PRIu32 ", %" PRIu32 " of keys and values", m->n_heads, m->head_dim,
           m->n_kv_heads);
    if (o->n_window_layers)
        printf("; %" PRIu32 " layers see the last %" PRIu32 " tokens", o->n_window_layers, o->window);
    printf("\n");
    row("feed-forward");
    printf("%" PRIu32, m->hidden_dim);
    if (o->n_experts)
        printf("; %" PRIu32 " experts, %" PRIu32 " for a token", o->n_experts, o->n_experts_used);
    printf("\n");
    row("vocabulary");
    printf("%" PRIu32 "\n", m->vocab_size);
    row("context");
    if (m->context)
        printf("%" PRIu32 " tokens\n", m->context);
    else
        printf("the files do not say\n");
    row("rope base");
    printf("%g\n", (double)m->rope_theta);
}

static void print_types(const struct inspect *s) {
    struct type types[MAX_TYPES];
    const size_t n = count_types(s, types);
    char size[16];
    printf("\nWeights\n");
    for (size_t i = 0; i < n; i++) {
        row(types[i].name);
        printf("%8" PRIu64 " tensor%s %12.1f M %12s %8.2f bits a weight\n", types[i].n,
               types[i].n == 1 ? " " : "s", (double)types[i].n_weights * 1e-6,
               bytes_text(types[i].n_bytes, size),
               types[i].n_weights ? 8 * (double)types[i].n_bytes / (double)types[i].n_weights : 0);
    }
}

static void print_tensor(const cria_tensor_info *t, const char *name, uint64_t n_bytes, uint64_t n,
                         const char *which) {
    char shape[48], size[16];
    snprintf(shape, sizeof shape, "%" PRIu64 " x %" PRIu64, t->rows, t->cols);
    printf("  %-50s %15s  %-11s %9s", name, shape, t->type, bytes_text(n_bytes, size));
    if (n > 1) printf("  %" PRIu64 "%s", n, which);
    printf("\n");
}

/* The first one's name with * in the place of numbers. */
static void print_group(const struct group *g) {
    char name[256], which[64] = "";
    size_t at = 0;
    for (const char *p = g->first.name, *end; at < sizeof name - 2; p = end + 1) {
        const bool number = is_number(p, &end);
        const int len = (int)(end - p);
        at += (size_t)snprintf(name + at, sizeof name - at, "%.*s%s", number ? 1 : len, number ? "*" : p,
                               *end ? "." : "");
        if (*end == '\0') break;
    }
    if (g->runs[0] != '\0') snprintf(which, sizeof which, " (%s)", g->runs);
    print_tensor(&g->first, g->n == 1 ? g->first.name : name, g->n_bytes, g->n, which);
}

static bool print_tensors(const struct inspect *s) {
    printf("\nTensors\n");
    if (s->options->tensors) {
        cria_tensor_info t;
        for (size_t i = 0; cria_model_get_tensor(s->model, i, &t); i++)
            print_tensor(&t, t.name, t.n_bytes, 1, "");
        return true;
    }
    size_t n;
    struct group *groups = make_groups(s, &n);
    for (size_t i = 0; groups != NULL && i < n; i++) print_group(&groups[i]);
    free(groups);
    return groups != NULL;
}

/* As JSON writes it: a piece may have bytes in it that a terminal obeys. */
static void print_symbol(const cria_tokenizer *t, const char *name, int32_t id) {
    const char *piece = id >= 0 ? cria_tokenizer_piece(t, id, NULL) : NULL;
    row(name);
    if (piece == NULL) {
        printf("none\n");
        return;
    }
    printf("%" PRId32 " ", id);
    print_json_text(piece);
    printf("\n");
}

static void print_tokenizer(const struct inspect *s) {
    const cria_tokenizer *t = s->tokenizer;
    printf("\nTokenizer\n");
    row("kind");
    if (t == NULL) {
        printf("none that can be read\n");
    } else {
        printf("%s, %" PRIu32 " pieces\n", cria_tokenizer_kind(t), cria_tokenizer_vocab_size(t));
        print_symbol(t, cria_tokenizer_add_bos(t) ? "begins with" : "bos", cria_tokenizer_bos(t));
        print_symbol(t, "ends with", cria_tokenizer_eos(t));
    }
    row("chat template");
    printf("%s\n", s->outline.chat_template ? "yes" : "none");
}

static const struct {
    const char *name;
    cria_kv_type type;
} kv_types[] = {{"int16", CRIA_KV_INT16}, {"f16", CRIA_KV_F16}, {"f32", CRIA_KV_F32}, {"int8", CRIA_KV_INT8}};
enum { N_KV_TYPES = sizeof kv_types / sizeof *kv_types };

static void print_memory(const struct inspect *s) {
    char size[16], kv_size[16], sum[16];
    const uint64_t weights = s->info.weight_bytes;
    printf("\nMemory\n");
    row("weights");
    printf("%s; a token reads %s of them\n", bytes_text(weights, size),
           bytes_text(s->outline.token_bytes, kv_size));
    for (size_t i = 0; i < N_KV_TYPES; i++) {
        const uint64_t kv = cria_model_kv_bytes(s->model, kv_types[i].type, s->context);
        char name[32];
        snprintf(name, sizeof name, "--kv %s", kv_types[i].name);
        row(name);
        printf("%s for %" PRIu64 " tokens; %s with the weights\n", bytes_text(kv, kv_size), s->context,
               bytes_text(weights + kv, sum));
    }
}

/* ---- JSON ---- */

static void print_text(const char *name, const char *text) {
    printf("\"%s\": ", name);
    print_json_text(text);
}

static void print_number(const char *name, uint64_t n) { printf(", \"%s\": %" PRIu64, name, n); }

/* 0 stands for what there is not. */
static void print_number_or_null(const char *name, uint64_t n) {
    if (n)
        print_number(name, n);
    else
        printf(", \"%s\": null", name);
}

static void print_json_id(const char *name, int32_t id) {
    if (id >= 0)
        printf(", \"%s\": %" PRId32, name, id);
    else
        printf(", \"%s\": null", name);
}

static void print_json_tokenizer(const struct inspect *s) {
    const cria_tokenizer *t = s->tokenizer;
    printf(", \"tokenizer\": ");
    if (t == NULL) {
        printf("null");
        return;
    }
    printf("{");
    print_text("kind", cria_tokenizer_kind(t));
    print_number("pieces", cria_tokenizer_vocab_size(t));
    print_json_id("bos", cria_tokenizer_bos(t));
    print_json_id("eos", cria_tokenizer_eos(t));
    printf(", \"add_bos\": %s}", cria_tokenizer_add_bos(t) ? "true" : "false");
}

static void print_json_tensors(const struct inspect *s) {
    cria_tensor_info t;
    printf(", \"tensors\": [");
    for (size_t i = 0; cria_model_get_tensor(s->model, i, &t); i++) {
        printf("%s{", i ? ", " : "");
        print_text("name", t.name);
        printf(", ");
        print_text("type", t.type);
        print_number("rows", t.rows);
        print_number("cols", t.cols);
        print_number("bytes", t.n_bytes);
        printf("}");
    }
    printf("]");
}

static void print_json(const struct inspect *s) {
    const cria_model_info *m = &s->info;
    const cria_outline *o = &s->outline;
    printf("{");
    print_text("format", m->format);
    printf(", ");
    print_text("architecture", m->architecture);
    print_number("files", o->n_files);
    print_number("file_bytes", o->file_bytes);
    print_number("parameters", m->n_params);
    print_number("layers", m->n_layers);
    print_number("dim", m->dim);
    print_number("heads", m->n_heads);
    print_number("kv_heads", m->n_kv_heads);
    print_number("head_dim", m->head_dim);
    print_number("hidden_dim", m->hidden_dim);
    print_number("vocab_size", m->vocab_size);
    print_number_or_null("context", m->context);
    print_number_or_null("experts", o->n_experts);
    print_number_or_null("experts_used", o->n_experts_used);
    print_number_or_null("window", o->n_window_layers ? o->window : 0);
    print_number("window_layers", o->n_window_layers);
    printf(", \"rope_theta\": %.9g, \"chat_template\": %s", (double)m->rope_theta,
           o->chat_template ? "true" : "false");
    print_json_tokenizer(s);
    printf(", \"memory\": {\"weights\": %" PRIu64 ", \"read_per_token\": %" PRIu64 ", \"tokens\": %" PRIu64,
           m->weight_bytes, o->token_bytes, s->context);
    for (size_t i = 0; i < N_KV_TYPES; i++) {
        char name[32];
        snprintf(name, sizeof name, "kv_%s", kv_types[i].name);
        print_number(name, cria_model_kv_bytes(s->model, kv_types[i].type, s->context));
    }
    printf("}");
    print_json_tensors(s);
    printf("}\n");
}

/* ---- the command ---- */

static void print_warning(void *user, cria_log_level level, const char *text) {
    (void)user;
    if (level == CRIA_LOG_WARN) fprintf(stderr, "cria: %s\n", text);
}

static int show(struct inspect *s) {
    cria_model_get_info(s->model, &s->info);
    cria_model_get_outline(s->model, &s->outline);
    s->tokenizer = cria_model_tokenizer(s->model);
    s->context = s->options->context ? s->options->context
                 : s->info.context   ? s->info.context
                                     : UNKNOWN_CONTEXT;
    if (s->options->json) {
        print_json(s);
        return EXIT_DONE;
    }
    print_model(s);
    print_types(s);
    if (!print_tensors(s)) return complain("There is not enough memory for the list of tensors.");
    print_tokenizer(s);
    print_memory(s);
    return EXIT_DONE;
}

int inspect_main(int argc, char **argv) {
    struct inspect_options o = {0};
    const struct arg_group groups[] = {{"Options", rows, sizeof rows / sizeof *rows, &o}};
    int code;
    if (!command_begins(&command, groups, 1, argc, argv, &code)) return code;
    struct inspect s = {.options = &o};
    cria_ctx_opts ctx_opts = cria_ctx_opts_default();
    cria_model_opts opts = cria_model_opts_default();
    cria_ctx *ctx = NULL;
    const char *path;
    cria_error err;
    ctx_opts.threads = 1;
    ctx_opts.log = print_warning;
    opts.outline = true;
    cria_status st = session_find_model(o.model, &path, &err);
    if (st == CRIA_OK) st = cria_ctx_new(&ctx_opts, &ctx, &err);
    if (st == CRIA_OK) st = cria_model_open(ctx, path, &opts, &s.model, &err);
    code = st == CRIA_OK ? show(&s) : complain("%s", err.msg);
    cria_model_free(s.model);
    cria_ctx_free(ctx);
    return code;
}
