/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <errno.h>
#include <float.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 64, MAX_OPERANDS = 4, FIRST_VALUE = 256, WIDTH = 80, HELP_COLUMN = 26 };

/* What getopt_long is given; value FIRST_VALUE + i stands for rows[i]. */
struct parser {
    const struct arg_command *command;
    const struct arg_option *rows[MAX_OPTIONS];
    void *targets[MAX_OPTIONS];
    size_t n;
    const struct arg_option *operands[MAX_OPERANDS];
    void *operand_targets[MAX_OPERANDS];
    size_t n_operands;
    struct option longs[MAX_OPTIONS + 3];
    char shorts[2 * MAX_OPTIONS + 4];
};

enum { VALUE_HELP = FIRST_VALUE + MAX_OPTIONS, VALUE_VERSION };

static bool is_operand(const struct arg_option *o) {
    return o->kind == ARG_OPERAND || o->kind == ARG_OPERAND_MAYBE || o->kind == ARG_OPERANDS;
}

static void parser_init(struct parser *p, const struct arg_command *command, const struct arg_group *groups,
                        size_t n_groups) {
    memset(p, 0, sizeof *p);
    p->command = command;
    size_t s = 0;
    p->shorts[s++] = ':'; /* getopt reports a missing value as ':' */
    p->shorts[s++] = 'h';
    for (size_t g = 0; g < n_groups; g++) {
        for (size_t i = 0; i < groups[g].n && p->n < MAX_OPTIONS; i++) {
            const struct arg_option *o = &groups[g].options[i];
            if (is_operand(o)) {
                p->operands[p->n_operands] = o;
                p->operand_targets[p->n_operands++] = (char *)groups[g].target + o->offset;
                continue;
            }
            const bool has_value = o->kind != ARG_FLAG;
            p->rows[p->n] = o;
            p->targets[p->n] = (char *)groups[g].target + o->offset;
            p->longs[p->n] = (struct option){o->name, has_value, NULL, FIRST_VALUE + (int)p->n};
            if (o->letter) {
                p->shorts[s++] = o->letter;
                if (has_value) p->shorts[s++] = ':';
            }
            p->n++;
        }
    }
    p->longs[p->n] = (struct option){"help", 0, NULL, VALUE_HELP};
    p->longs[p->n + 1] = (struct option){"version", 0, NULL, VALUE_VERSION};
}

/* Index of the row that a value from getopt_long means. */
static size_t row_of(const struct parser *p, int value) {
    if (value >= FIRST_VALUE) return (size_t)(value - FIRST_VALUE);
    size_t i = 0;
    while (i < p->n && p->rows[i]->letter != value) i++;
    return i;
}

/* ---- values ---- */

static bool read_whole(const char *text, uint64_t min, uint64_t max, uint64_t *out) {
    if (*text < '0' || *text > '9') return false;
    char *end;
    errno = 0;
    const unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || v < min || v > max) return false;
    *out = v;
    return true;
}

static bool read_list(const char *text, uint64_t min, uint64_t max, struct arg_list *out) {
    struct arg_list list = {0};
    for (;; text++) {
        char number[24];
        const size_t len = strcspn(text, ",");
        if (len >= sizeof number || list.n == ARG_LIST_MAX) return false;
        memcpy(number, text, len);
        number[len] = '\0';
        if (!read_whole(number, min, max, &list.v[list.n++])) return false;
        text += len;
        if (*text == '\0') break;
    }
    *out = list;
    return true;
}

static bool read_real(const char *text, double least, double *out) {
    char *end;
    const double v = strtod(text, &end);
    if (end == text || *end != '\0' || !(v >= least) || isinf(v)) return false;
    *out = v;
    return true;
}

static bool is_choice(const char *text, const char *const *choices) {
    for (; *choices; choices++)
        if (strcmp(text, *choices) == 0) return true;
    return false;
}

static bool add_text(const char *text, struct arg_texts *out) {
    if (out->n == ARG_TEXTS_MAX || *text == '\0') return false;
    out->v[out->n++] = text;
    return true;
}

static bool set_value(const struct arg_option *o, void *target, const char *text) {
    switch (o->kind) {
    case ARG_FLAG: *(bool *)target = true; return true;
    case ARG_WHOLE: return read_whole(text, o->min, o->max, target);
    case ARG_LIST: return read_list(text, o->min, o->max, target);
    case ARG_REAL: return read_real(text, 0.0, target);
    case ARG_SIGNED: return read_real(text, -DBL_MAX, target);
    case ARG_CHOICE:
        if (!is_choice(text, o->choices)) return false;
        break;
    case ARG_TEXTS: return add_text(text, target);
    case ARG_TEXT:
    case ARG_OPERAND:
    case ARG_OPERAND_MAYBE:
    case ARG_OPERANDS: break;
    }
    *(const char **)target = text;
    return true;
}

static void set_defaults(const struct parser *p) {
    for (size_t i = 0; i < p->n; i++) {
        if (p->rows[i]->kind == ARG_FLAG)
            *(bool *)p->targets[i] = false;
        else if (p->rows[i]->kind == ARG_TEXTS)
            *(struct arg_texts *)p->targets[i] = (struct arg_texts){0};
        else if (p->rows[i]->def)
            set_value(p->rows[i], p->targets[i], p->rows[i]->def);
        else if (p->rows[i]->kind == ARG_WHOLE)
            *(uint64_t *)p->targets[i] = UINT64_MAX;
        else if (p->rows[i]->kind == ARG_REAL || p->rows[i]->kind == ARG_SIGNED)
            *(double *)p->targets[i] = NAN;
        else
            *(const char **)p->targets[i] = NULL;
    }
}

bool args_set(const struct arg_option *option, void *target, const char *text) {
    const bool number = option->kind == ARG_WHOLE || option->kind == ARG_REAL || option->kind == ARG_SIGNED;
    return number && set_value(option, (char *)target + option->offset, text);
}

static void print_choices(FILE *f, const char *const *choices) {
    for (size_t i = 0; choices[i]; i++)
        fprintf(f, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
}

/* ---- messages ---- */

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

/* Levenshtein distance; words are cut to 31 characters. */
static size_t distance(const char *a, const char *b) {
    enum { LONGEST = 31 };
    const size_t n = min_size(strlen(a), LONGEST), m = min_size(strlen(b), LONGEST);
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            const size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = min_size(change, min_size(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

const char *args_closest(const char *word, const char *const *candidates) {
    const char *best = NULL;
    size_t best_distance = 4;
    for (; *candidates; candidates++) {
        const size_t d = distance(word, *candidates);
        if (d < best_distance && d < strlen(*candidates)) {
            best = *candidates;
            best_distance = d;
        }
    }
    return best;
}

static enum arg_result bad_hint(const struct parser *p) {
    fprintf(stderr, " Try 'cria %s --help'.\n", p->command->name);
    return ARGS_BAD;
}

static enum arg_result bad_value(const struct parser *p, const struct arg_option *o, const char *text) {
    fprintf(stderr, "cria: --%s takes ", o->name);
    if (o->kind == ARG_WHOLE)
        fprintf(stderr, "a whole number from %" PRIu64 " to %" PRIu64, o->min, o->max);
    else if (o->kind == ARG_LIST)
        fprintf(stderr, "up to %d whole numbers from %" PRIu64 " to %" PRIu64 ", separated by commas", ARG_LIST_MAX,
                o->min, o->max);
    else if (o->kind == ARG_REAL)
        fprintf(stderr, "a number that is not negative");
    else if (o->kind == ARG_SIGNED)
        fprintf(stderr, "a number");
    else if (o->kind == ARG_TEXTS && *text)
        fprintf(stderr, "at most %d values", ARG_TEXTS_MAX);
    else if (o->kind == ARG_TEXTS)
        fprintf(stderr, "a text that is not empty");
    else
        print_choices(stderr, o->choices);
    fprintf(stderr, ", not '%s'.", text);
    return bad_hint(p);
}

/* word: the long option that getopt_long refused, with its dashes. */
static enum arg_result bad_option(const struct parser *p, const char *word) {
    const char *names[MAX_OPTIONS + 3];
    char name[64];
    size_t n = 0;
    for (; p->longs[n].name; n++) names[n] = p->longs[n].name;
    names[n] = NULL;
    if (optopt > 0 && optopt < FIRST_VALUE) { /* a letter, and word may be another argument */
        fprintf(stderr, "cria: There is no option -%c.", optopt);
        return bad_hint(p);
    }
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    size_t n_matches = 0;
    for (size_t i = 0; i < n; i++) n_matches += strncmp(names[i], name, strlen(name)) == 0;
    const char *closest = args_closest(name, names);
    if (optopt >= FIRST_VALUE)
        fprintf(stderr, "cria: --%s takes no value.", name);
    else if (n_matches > 1)
        fprintf(stderr, "cria: --%s can mean several options; write it out.", name);
    else if (closest)
        fprintf(stderr, "cria: There is no option --%s; did you mean --%s?", name, closest);
    else
        fprintf(stderr, "cria: There is no option --%s.", name);
    return bad_hint(p);
}

enum arg_result args_parse(const struct arg_command *command, const struct arg_group *groups, size_t n_groups,
                           int argc, char **argv) {
    struct parser p;
    parser_init(&p, command, groups, n_groups);
    set_defaults(&p);
    opterr = 0;
    optind = 0; /* start anew (glibc, musl) */
    for (int value; optopt = 0, (value = getopt_long(argc, argv, p.shorts, p.longs, NULL)) != -1;) {
        if (value == VALUE_HELP || value == 'h') return ARGS_HELP;
        if (value == VALUE_VERSION) return ARGS_VERSION;
        if (value == '?') return bad_option(&p, argv[optind - 1]);
        const struct arg_option *o = p.rows[row_of(&p, value == ':' ? optopt : value)];
        if (value == ':') {
            fprintf(stderr, "cria: --%s needs a value (%s).", o->name, o->metavar);
            return bad_hint(&p);
        }
        if (!set_value(o, p.targets[row_of(&p, value)], optarg)) return bad_value(&p, o, optarg);
    }
    for (size_t i = 0; i < p.n_operands; i++) {
        if (p.operands[i]->kind == ARG_OPERANDS) {
            *(struct arg_rest *)p.operand_targets[i] = (struct arg_rest){(size_t)(argc - optind), argv + optind};
            optind = argc;
            continue;
        }
        const char *operand = optind < argc ? argv[optind++] : NULL;
        *(const char **)p.operand_targets[i] = operand;
        if (operand || p.operands[i]->kind == ARG_OPERAND_MAYBE) continue;
        fprintf(stderr, "cria: %s is missing.", p.operands[i]->name);
        return bad_hint(&p);
    }
    if (optind < argc) {
        fprintf(stderr, "cria: '%s' is not an option; a text with spaces needs quotes.", argv[optind]);
        return bad_hint(&p);
    }
    return ARGS_RUN;
}

/* ---- help ---- */

void print_wrapped(const char *text, int indent) {
    size_t column = (size_t)indent;
    for (bool first = true; *text; first = false) {
        const size_t word = strcspn(text, " ");
        if (!first && column + 1 + word > WIDTH) {
            printf("\n%*s", indent, "");
            column = (size_t)indent;
        } else if (!first) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word, text);
        column += word;
        text += word + (text[word] == ' ');
    }
    putchar('\n');
}

static void print_described(const char *left, const char *help) {
    const int n = printf("  %s", left);
    if (n < HELP_COLUMN - 1)
        printf("%*s", HELP_COLUMN - n, "");
    else
        printf("\n%*s", HELP_COLUMN, "");
    print_wrapped(help, HELP_COLUMN);
}

static void print_option(const char *name, char letter, const char *metavar, const char *help) {
    char left[64];
    const char letters[] = {'-', letter, ',', ' ', '\0'};
    snprintf(left, sizeof left, "%s--%s%s%s", letter ? letters : "", name, metavar ? " " : "", metavar ? metavar : "");
    print_described(left, help);
}

static void print_row(const struct arg_option *o) {
    char help[512];
    if (is_operand(o)) {
        print_described(o->name, o->help);
        return;
    }
    const char *quote = o->kind == ARG_TEXT && o->def ? "\"" : "";
    const char *def = o->def ? o->def : o->otherwise;
    if (def)
        snprintf(help, sizeof help, "%s (default: %s%s%s)", o->help, quote, def, quote);
    else
        snprintf(help, sizeof help, "%s", o->help);
    print_option(o->name, o->letter, o->metavar, help);
}

void args_print_help(const struct arg_command *command, const struct arg_group *groups, size_t n_groups) {
    printf("%s\n\n%s\n", command->usage, command->about);
    for (size_t g = 0; g < n_groups; g++) {
        if (groups[g].title) printf("\n%s\n", groups[g].title);
        for (size_t i = 0; i < groups[g].n; i++) print_row(&groups[g].options[i]);
    }
    printf("\nOther\n");
    print_option("help", 'h', NULL, "print this and exit");
    print_option("version", 0, NULL, "print the version and exit");
    printf("\n%s", command->examples);
}
