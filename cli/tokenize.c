/* SPDX-License-Identifier: Apache-2.0 */
/* cria tokenize and cria detokenize: text to token ids and back, with the tokenizer of a model but without the model.
 * A text is read whole, because where it may be cut without another result is the tokenizer's secret; ids are turned
 * into text as they come. */
#include "args.h"
#include "commands.h"
#include "cria/cria.h"
#include "input.h"
#include "jsontext.h"
#include "out.h"
#include "session.h"
#include "term.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MODEL_HELP \
    "a model's folder, a tokenizer.json, a tokenizer.model, a .gguf file, or the name of a model that cria pull " \
    "has fetched"

/* ---- both ---- */

struct tokenizer {
    cria_ctx *ctx;
    cria_tokenizer *t;
};

static bool open_tokenizer(const char *name, struct tokenizer *out) {
    const char *path;
    cria_ctx_opts opts = cria_ctx_opts_default();
    cria_error err;
    opts.threads = 1;
    *out = (struct tokenizer){NULL, NULL};
    if (session_find_model(name, &path, &err) == CRIA_OK && cria_ctx_new(&opts, &out->ctx, &err) == CRIA_OK &&
        cria_tokenizer_open(out->ctx, path, &out->t, &err) == CRIA_OK)
        return true;
    complain("%s", err.msg);
    if (out->ctx) cria_ctx_free(out->ctx);
    return false;
}

static void close_tokenizer(struct tokenizer *t) {
    cria_tokenizer_free(t->t);
    cria_ctx_free(t->ctx);
}

/* ---- tokenize ---- */

struct tokenize_options {
    const char *model, *text, *file;
    bool ids, pieces, json, no_bos, special;
};

#define AT(field) offsetof(struct tokenize_options, field)
static const struct arg_option tokenize_rows[] = {
    {.name = "MODEL", .kind = ARG_OPERAND, .help = MODEL_HELP, .offset = AT(model)},
    {.name = "TEXT", .kind = ARG_OPERAND_MAYBE, .help = "the text; without it and --file, it is read from stdin",
     .offset = AT(text)},
    {.name = "file", .letter = 'f', .kind = ARG_TEXT, .metavar = "FILE",
     .help = "read the text from a file, byte for byte", .offset = AT(file)},
    {.name = "ids", .kind = ARG_FLAG, .help = "print the ids, with spaces between (the default)", .offset = AT(ids)},
    {.name = "pieces", .kind = ARG_FLAG, .help = "print a line for each token: its id and its piece, in quotes",
     .offset = AT(pieces)},
    {.name = "json", .kind = ARG_FLAG, .help = "print one JSON object with both", .offset = AT(json)},
    {.name = "no-bos", .kind = ARG_FLAG, .help = "leave out the token that begins a text, where the model wants one",
     .offset = AT(no_bos)},
    {.name = "special", .kind = ARG_FLAG, .help = "take control symbols written out in the text for what they say",
     .offset = AT(special)},
};
#undef AT

static const struct arg_command tokenize_command = {
    .name = "tokenize",
    .usage = "Usage: cria tokenize [OPTIONS] MODEL [TEXT]",
    .about = "Shows the tokens that a text is to a model.",
    .examples = "Examples\n"
                "  cria tokenize mlx_model \"Hello, world!\"\n"
                "  cria tokenize --pieces model.gguf --file chapter.txt\n"
                "  cria tokenize tokenizer.json <chapter.txt | cria detokenize tokenizer.json\n",
};

static void print_piece(const cria_tokenizer *t, int32_t id) {
    size_t len = 0;
    const char *piece = cria_tokenizer_piece(t, id, &len);
    print_json_bytes(piece ? piece : "", len);
}

static void print_tokens(const struct tokenize_options *o, const cria_tokenizer *t, const int32_t *ids, size_t n) {
    if (o->json) {
        printf("{\"n\": %zu, \"ids\": [", n);
        for (size_t i = 0; i < n; i++) printf("%s%d", i ? ", " : "", (int)ids[i]);
        printf("], \"pieces\": [");
        for (size_t i = 0; i < n; i++) {
            if (i) printf(", ");
            print_piece(t, ids[i]);
        }
        printf("]}\n");
    } else if (o->pieces) {
        for (size_t i = 0; i < n; i++) {
            printf("%d\t", (int)ids[i]);
            print_piece(t, ids[i]);
            putchar('\n');
        }
    } else {
        for (size_t i = 0; i < n; i++) printf("%s%d", i ? " " : "", (int)ids[i]);
        putchar('\n');
    }
}

static int tokenize(const struct tokenize_options *o) {
    struct tokenizer t;
    struct text read = {NULL, 0};
    if (!open_tokenizer(o->model, &t)) return EXIT_FAILED;
    int code = EXIT_FAILED;
    if (o->text || input_read_bytes(o->file, &read)) {
        unsigned flags = o->special ? CRIA_ENCODE_SPECIAL : CRIA_ENCODE_PLAIN;
        if (cria_tokenizer_add_bos(t.t) && !o->no_bos) flags |= CRIA_ENCODE_BOS;
        int32_t *ids;
        size_t n;
        cria_error err;
        const char *text = o->text ? o->text : read.data;
        if (cria_encode(t.t, text, o->text ? strlen(text) : read.len, flags, &ids, &n, &err) == CRIA_OK) {
            print_tokens(o, t.t, ids, n);
            cria_ids_free(t.t, ids);
            code = EXIT_DONE;
        } else {
            complain("%s", err.msg);
        }
    }
    text_free(&read);
    close_tokenizer(&t);
    return code;
}

static int bad_usage(const char *command, const char *what) {
    fprintf(stderr, "cria: %s Try 'cria %s --help'.\n", what, command);
    return EXIT_USAGE;
}

int tokenize_main(int argc, char **argv) {
    struct tokenize_options o = {0};
    const struct arg_group groups[] = {
        {"Options", tokenize_rows, sizeof tokenize_rows / sizeof *tokenize_rows, &o},
    };
    int code;
    if (!command_begins(&tokenize_command, groups, 1, argc, argv, &code)) return code;
    if (o.text && o.file) return bad_usage("tokenize", "There is a TEXT and a --file; give one of them.");
    if (o.ids + o.pieces + o.json > 1) return bad_usage("tokenize", "Give one of --ids, --pieces and --json.");
    return tokenize(&o);
}

/* ---- detokenize ---- */

struct detokenize_options {
    const char *model, *file;
    struct arg_rest ids;
};

#define AT(field) offsetof(struct detokenize_options, field)
static const struct arg_option detokenize_rows[] = {
    {.name = "MODEL", .kind = ARG_OPERAND, .help = MODEL_HELP, .offset = AT(model)},
    {.name = "IDS", .kind = ARG_OPERANDS,
     .help = "the ids; without them and --file, they are read from stdin. Spaces, line ends, commas and brackets may "
             "stand between them",
     .offset = AT(ids)},
    {.name = "file", .letter = 'f', .kind = ARG_TEXT, .metavar = "FILE", .help = "read the ids from a file",
     .offset = AT(file)},
};
#undef AT

static const struct arg_command detokenize_command = {
    .name = "detokenize",
    .usage = "Usage: cria detokenize [OPTIONS] MODEL [IDS...]",
    .about = "Prints the text that token ids are to a model, and nothing else, not even a line end. Control symbols\n"
             "print nothing.",
    .examples = "Examples\n"
                "  cria detokenize mlx_model 1 15043 29892 3186\n"
                "  cria detokenize model.gguf --file ids.txt\n",
};

/* Ids out of text that comes in parts. */
struct id_reader {
    cria_detok *detok;
    struct out out;
    uint64_t n_bytes; /* read so far, for messages */
    int64_t id;       /* that is being read; −1: none */
};

static bool emit(struct id_reader *r) {
    const char *text;
    size_t len;
    cria_error err;
    if (r->id < 0) return true;
    const int64_t id = r->id;
    r->id = -1;
    if (id > INT32_MAX) {
        complain("The token id before byte %llu is too large.", (unsigned long long)r->n_bytes);
        return false;
    }
    if (cria_detok_push(r->detok, (int32_t)id, &text, &len, &err) != CRIA_OK) {
        complain("%s", err.msg);
        return false;
    }
    out_write(&r->out, text, len);
    return true;
}

static bool read_ids(struct id_reader *r, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++, r->n_bytes++) {
        const char c = text[i];
        if (c >= '0' && c <= '9') {
            if (r->id < 0) r->id = 0;
            if (r->id <= INT32_MAX) r->id = r->id * 10 + (c - '0');
        } else if (c != '\0' && strchr(" \t\r\n,[]", c)) {
            if (!emit(r)) return false;
        } else {
            complain(c > ' ' && c < 0x7f ? "There is '%c' where a token id should be, at byte %llu."
                                         : "There is byte %d where a token id should be, at byte %llu.",
                     c > ' ' && c < 0x7f ? c : (unsigned char)c, (unsigned long long)r->n_bytes);
            return false;
        }
    }
    return true;
}

static bool read_id_file(struct id_reader *r, const char *path) {
    FILE *f = path ? fopen(path, "rb") : stdin;
    if (!f) {
        complain_unread(path);
        return false;
    }
    char part[16384];
    bool ok = true;
    for (size_t n; ok && (n = fread(part, 1, sizeof part, f)) > 0;) ok = read_ids(r, part, n);
    if (ok && ferror(f)) {
        ok = false;
        if (term_interrupted())
            complain("Interrupted while reading %s.", path ? path : "stdin");
        else
            complain_unread(path);
    }
    if (path) fclose(f);
    return ok && emit(r);
}

static int detokenize(const struct detokenize_options *o) {
    struct tokenizer t;
    struct id_reader r = {.id = -1};
    const char *text;
    size_t len;
    cria_error err;
    if (!open_tokenizer(o->model, &t)) return EXIT_FAILED;
    bool ok = cria_detok_new(t.t, &r.detok, &err) == CRIA_OK;
    if (!ok) complain("%s", err.msg);
    if (ok && o->ids.n == 0) ok = read_id_file(&r, o->file);
    for (size_t i = 0; ok && i < o->ids.n; i++) ok = read_ids(&r, o->ids.v[i], strlen(o->ids.v[i])) && emit(&r);
    if (ok && !(ok = cria_detok_finish(r.detok, &text, &len, &err) == CRIA_OK)) complain("%s", err.msg);
    if (ok) out_write(&r.out, text, len);
    if (!out_flush(&r.out) && ok) {
        ok = false;
        errno = r.out.error;
        complain_unwritten(NULL);
    }
    cria_detok_free(r.detok);
    close_tokenizer(&t);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

int detokenize_main(int argc, char **argv) {
    struct detokenize_options o = {0};
    const struct arg_group groups[] = {
        {"Options", detokenize_rows, sizeof detokenize_rows / sizeof *detokenize_rows, &o},
    };
    int code;
    if (!command_begins(&detokenize_command, groups, 1, argc, argv, &code)) return code;
    if (o.ids.n && o.file) return bad_usage("detokenize", "There are IDS and a --file; give one of them.");
    return detokenize(&o);
}
