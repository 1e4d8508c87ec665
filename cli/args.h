/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line options from tables: one row is an option's name, value, default and help, so that parsing, --help and
 * the defaults cannot drift apart. Long options may be abbreviated, as in the MLX example's argparse.
 */
#ifndef CRIA_CLI_ARGS_H
#define CRIA_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum arg_kind {
    ARG_FLAG,   /* bool, false by default */
    ARG_WHOLE,  /* uint64_t in [min, max] */
    ARG_LIST,   /* struct arg_list: whole numbers in [min, max], separated by commas */
    ARG_REAL,   /* double, at least 0 and finite */
    ARG_SIGNED, /* double, finite */
    ARG_TEXT,   /* const char *, NULL where def is NULL */
    ARG_CHOICE, /* const char *, one of choices */
    ARG_TEXTS,  /* struct arg_texts: texts that are not empty; may be given several times */
    ARG_OPERAND, /* const char *, an argument that is no option, in the order of the rows; it must be given */
    ARG_OPERAND_MAYBE, /* the same, NULL where it is not given; after all that must be */
    ARG_OPERANDS       /* struct arg_rest: all others; the last of the operands' rows */
};

struct arg_rest {
    size_t n;
    char **v; /* in argv */
};

enum { ARG_TEXTS_MAX = 64 };
struct arg_texts {
    size_t n;
    const char *v[ARG_TEXTS_MAX];
};

enum { ARG_LIST_MAX = 16 };
struct arg_list {
    size_t n; /* at least 1 */
    uint64_t v[ARG_LIST_MAX];
};

struct arg_option {
    const char *name; /* without the dashes; of an operand, what --help calls it */
    char letter;      /* 0: none */
    enum arg_kind kind;
    const char *metavar;        /* what --help calls the value; NULL for a flag */
    const char *def;            /* default, written as the user would; NULL for a flag or none: then a text is NULL, a
                                 * whole number UINT64_MAX and a real one NAN */
    const char *help;
    const char *otherwise;      /* where def is NULL: what is taken then, for --help; or NULL */
    size_t offset;              /* of the value in its group's target */
    uint64_t min, max;          /* ARG_WHOLE, ARG_LIST */
    const char *const *choices; /* ARG_CHOICE, ends with NULL */
};

struct arg_group {
    const char *title; /* NULL: goes on with the group before */
    const struct arg_option *options;
    size_t n;
    void *target; /* the struct that the offsets are in */
};

struct arg_command {
    const char *name; /* "generate" */
    const char *usage, *about, *examples; /* paragraphs of --help */
};

enum arg_result {
    ARGS_RUN,  /* every target is filled: values given, defaults elsewhere */
    ARGS_HELP, /* --help was given; nothing printed yet */
    ARGS_VERSION,
    ARGS_BAD   /* one line was printed on stderr */
};

/* argv[0] is not looked at. Texts point into argv and the tables. */
enum arg_result args_parse(const struct arg_command *command, const struct arg_group *groups, size_t n_groups,
                           int argc, char **argv);
/* Sets the value of one option, which is no text, as on the command line; false, with nothing changed, when it takes
 * another kind of value. */
bool args_set(const struct arg_option *option, void *target, const char *text);
/* The page that --help shows, on stdout. */
void args_print_help(const struct arg_command *command, const struct arg_group *groups, size_t n_groups);

/* text and a newline on stdout, broken at spaces as --help is; the cursor is in column `indent`, where lines begin. */
void print_wrapped(const char *text, int indent);

/* The candidate closest to a misspelt word, or NULL when none is close. Candidates end with NULL. */
const char *args_closest(const char *word, const char *const *candidates);

#endif
