/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree → program → automaton, and searching with it.
 *
 * The program is Thompson's (one character, split, look, match), with the order of a split's ways kept: first
 * alternative first. A state of the automaton is the list of places in the program where the ways through it
 * stand, in that order, just after a character has been consumed. For a state and a *class* of characters —
 * those that no set of the pattern tells apart — the ways are followed to the characters they consume, and
 * because the character is known by then, a look at the next character is decided on the way and costs
 * nothing. Where a way reaches the end of the program, the match ends before that character, and all ways of
 * lower priority are dropped: what is left may only lengthen to a match that a backtracking matcher would
 * have preferred. (Pike's machine, with its lists made states once and for all; RE2's DFA does the same.) The
 * end of the text is one more class.
 *
 * So matching from a position is one look-up per character until no way is left. Searching tries one position
 * after the other; what a run has seen in vain beyond its match is noted every 64 bytes as (position, state)
 * → nothing further, and a later run that comes by in the same state stops there.
 */
#include "text/regex.h"
#include "base/mem.h"
#include "base/status.h"
#include "text/regex_tree.h"

#include <stdlib.h>
#include <string.h>

#define CODE_MAX 8192u
#define CLASSES_MAX 250u
#define STATES_MAX 4096u
#define CELLS_MAX (1u << 20) /* states · classes */
#define WORK_MAX (1u << 24)  /* steps of compiling */
#define MATCH 0x8000u        /* in a cell: the match ends before this character */
#define DEAD 0u              /* the state with no ways */
#define START 1u
#define TABLE 0x800u /* code points whose class is looked up directly */
#define NOTHING SIZE_MAX

/* Steps that a scan may take per byte, and besides. */
#define STEPS_PER_BYTE 64u
#define STEPS_BESIDES (1u << 16)
#define FACTS_FROM 512u /* bytes seen in vain from which on it pays to note so */

struct cria_regex_fact {
    uint16_t state;  /* DEAD: no fact */
    uint16_t offset; /* of the position in its 64 bytes */
};

struct cria_regex {
    cria_ctx *ctx;
    uint16_t *cell;  /* [state · width + class]: next state, MATCH */
    uint32_t width;  /* classes and the end */
    bool nullable;   /* a match may be empty */
    bool first[128]; /* an ASCII character that a match may begin with */
    uint8_t table[TABLE];
    uint32_t *border; /* [n_borders] first code points of stretches of one class, from TABLE on */
    uint8_t *border_class;
    uint32_t n_borders;
};

/* ---- program ---- */

enum op { OP_CHAR, OP_SPLIT, OP_LOOK, OP_JUMP, OP_MATCH };

struct inst {
    uint8_t op;
    bool at_end;
    uint32_t x, y; /* set; or where to go on, first and second */
};

struct compiler {
    cria_regex *re;
    struct cria_regex_tree tree;
    struct inst *code;
    uint32_t n_code, cap_code;
    /* classes */
    uint32_t *cut; /* [n_cuts] first code points of classes' stretches */
    uint32_t n_cuts, n_classes;
    uint8_t *cut_class;
    uint64_t *member; /* [class · words]: the sets that the class belongs to */
    uint32_t words;
    /* states: lists of code positions */
    uint16_t *list; /* of all states, one behind the other */
    size_t n_list, cap_list;
    struct state {
        uint32_t from, n;
    } * state;
    uint32_t n_states, cap_states;
    uint32_t *hash; /* [n_hash] state + 1 or 0; at most half full */
    uint32_t n_hash;
    /* one step */
    uint32_t *seen; /* [n_code] the step that has been here */
    uint32_t *stack;
    uint16_t *next;
    uint32_t n_next, step;
    uint64_t work;
    cria_status status;
    cria_error *err;
};

static void too_complex(struct compiler *c) {
    if (c->status == CRIA_OK)
        c->status =
            cria_fail(c->err, CRIA_EUNSUPPORTED, CRIA_NOWHERE, "A pattern is too complex to be compiled.");
}

static void no_memory(struct compiler *c, size_t bytes) {
    if (c->status == CRIA_OK) c->status = cria_fail_nomem(c->err, "a pattern", bytes);
}

/* An array of n items made one of more. */
static void *enlarge(struct compiler *c, void *data, size_t n, size_t more, size_t item) {
    void *out = cria_realloc(c->re->ctx, data, n * item, more * item);
    if (!out) no_memory(c, more * item);
    return out ? out : data;
}

static uint32_t put(struct compiler *c, enum op op, uint32_t x, uint32_t y) {
    if (c->n_code == CODE_MAX) too_complex(c);
    if (c->status != CRIA_OK) return 0;
    if (c->n_code == c->cap_code) {
        const uint32_t cap = c->cap_code ? c->cap_code * 2 : 64;
        c->code = enlarge(c, c->code, c->cap_code, cap, sizeof *c->code);
        if (c->status != CRIA_OK) return 0;
        c->cap_code = cap;
    }
    c->code[c->n_code] = (struct inst){(uint8_t)op, false, x, y};
    return c->n_code++;
}

static void emit(struct compiler *c, uint32_t id);

/* min copies, then as many as there may be. A split prefers its x. */
static void emit_repeat(struct compiler *c, const struct cria_regex_node *n) {
    for (uint32_t i = 0; i < n->min && c->status == CRIA_OK; i++) emit(c, n->child);
    if (n->max == CRIA_REGEX_NONE) {
        const uint32_t loop = put(c, OP_SPLIT, 0, 0);
        emit(c, n->child);
        put(c, OP_JUMP, loop, 0);
        if (c->status != CRIA_OK) return;
        struct inst *s = &c->code[loop];
        s->x = n->lazy ? c->n_code : loop + 1;
        s->y = n->lazy ? loop + 1 : c->n_code;
        return;
    }
    uint32_t first = UINT32_MAX; /* the splits, linked by x until the end is known */
    for (uint32_t i = n->min; i < n->max && c->status == CRIA_OK; i++) {
        first = put(c, OP_SPLIT, first, 0);
        emit(c, n->child);
    }
    while (first != UINT32_MAX && c->status == CRIA_OK) {
        struct inst *s = &c->code[first];
        const uint32_t before = s->x;
        s->x = n->lazy ? c->n_code : first + 1;
        s->y = n->lazy ? first + 1 : c->n_code;
        first = before;
    }
}

static void emit_choice(struct compiler *c, const struct cria_regex_node *n) {
    uint32_t jump = UINT32_MAX; /* likewise */
    for (uint32_t child = n->child; child != CRIA_REGEX_NONE && c->status == CRIA_OK;) {
        const uint32_t next = c->tree.node[child].next;
        const uint32_t split = next != CRIA_REGEX_NONE ? put(c, OP_SPLIT, c->n_code + 1, 0) : 0;
        emit(c, child);
        if (next != CRIA_REGEX_NONE) {
            jump = put(c, OP_JUMP, jump, 0);
            if (c->status == CRIA_OK) c->code[split].y = c->n_code;
        }
        child = next;
    }
    while (jump != UINT32_MAX && c->status == CRIA_OK) {
        const uint32_t before = c->code[jump].x;
        c->code[jump].x = c->n_code;
        jump = before;
    }
}

static void emit(struct compiler *c, uint32_t id) {
    if (c->status != CRIA_OK) return;
    const struct cria_regex_node *n = &c->tree.node[id];
    switch (n->kind) {
    case CRIA_REGEX_CHAR:
        put(c, OP_CHAR, n->set, 0);
        return;
    case CRIA_REGEX_LOOK: {
        const uint32_t at = put(c, OP_LOOK, n->set, 0);
        if (c->status == CRIA_OK) c->code[at].at_end = n->at_end;
        return;
    }
    case CRIA_REGEX_SEQUENCE:
        for (uint32_t child = n->child; child != CRIA_REGEX_NONE; child = c->tree.node[child].next)
            emit(c, child);
        return;
    case CRIA_REGEX_CHOICE:
        emit_choice(c, n);
        return;
    case CRIA_REGEX_REPEAT:
        emit_repeat(c, n);
        return;
    }
}

/* ---- classes ---- */

static int by_number(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Where any set begins or ends. */
static void find_cuts(struct compiler *c) {
    size_t n = 1;
    for (uint32_t i = 0; i < c->tree.n_sets; i++) n += 2 * c->tree.set[i].n;
    c->cut = cria_malloc_array(c->re->ctx, n, sizeof *c->cut);
    c->cut_class = cria_malloc(c->re->ctx, n);
    if (!c->cut || !c->cut_class) {
        no_memory(c, n * 5);
        return;
    }
    n = 0;
    c->cut[n++] = 0;
    for (uint32_t i = 0; i < c->tree.n_sets; i++) {
        const cria_charset *s = &c->tree.set[i];
        for (size_t k = 0; k < s->n; k++) {
            c->cut[n++] = s->range[k].low;
            if (s->range[k].high < CRIA_CHAR_LAST) c->cut[n++] = s->range[k].high + 1;
        }
    }
    qsort(c->cut, n, sizeof *c->cut, by_number);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || c->cut[i] != c->cut[c->n_cuts - 1]) c->cut[c->n_cuts++] = c->cut[i];
}

/* Stretches that are in the same sets are one class. */
static void find_classes(struct compiler *c) {
    find_cuts(c);
    c->words = c->tree.n_sets / 64 + 1;
    const uint32_t most = c->n_cuts < CLASSES_MAX ? c->n_cuts : CLASSES_MAX;
    c->member = cria_calloc(c->re->ctx, (size_t)c->words * (most + 1), sizeof *c->member);
    size_t *at =
        cria_calloc(c->re->ctx, c->tree.n_sets + 1u, sizeof *at); /* the range of each set to look at next */
    if (!c->member || !at) no_memory(c, c->words * CLASSES_MAX * 8u);
    for (uint32_t i = 0; i < c->n_cuts && c->status == CRIA_OK; i++) {
        uint64_t *sets = c->member + (size_t)c->n_classes * c->words;
        memset(sets, 0, c->words * sizeof *sets);
        for (uint32_t s = 0; s < c->tree.n_sets; s++) {
            const cria_charset *set = &c->tree.set[s];
            while (at[s] < set->n && set->range[at[s]].high < c->cut[i]) at[s]++;
            if (at[s] < set->n && set->range[at[s]].low <= c->cut[i]) sets[s / 64] |= UINT64_C(1) << s % 64;
        }
        c->work += c->tree.n_sets;
        uint32_t known = 0;
        while (memcmp(c->member + (size_t)known * c->words, sets, c->words * sizeof *sets) != 0) known++;
        c->work += known * c->words;
        if (known == c->n_classes && ++c->n_classes > CLASSES_MAX) too_complex(c);
        if (c->work > WORK_MAX) too_complex(c);
        c->cut_class[i] = (uint8_t)known;
    }
    cria_free(c->re->ctx, at);
}

/* ---- states ---- */

static uint32_t hash_of(const uint16_t *list, uint32_t n) {
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < n; i++) h = (h ^ list[i]) * 16777619u;
    return h ^ h >> 15;
}

/* Room for one more state, in all tables. */
static void grow_states(struct compiler *c) {
    if (c->n_states < c->cap_states) return;
    const uint32_t cap = c->cap_states ? c->cap_states * 2 : 32;
    c->state = enlarge(c, c->state, c->cap_states, cap, sizeof *c->state);
    c->re->cell = enlarge(c, c->re->cell, (size_t)c->cap_states * c->re->width, (size_t)cap * c->re->width,
                          sizeof *c->re->cell);
    uint32_t *hash = cria_calloc(c->re->ctx, (size_t)cap * 2, sizeof *hash);
    if (!hash) no_memory(c, cap * 2 * sizeof *hash);
    if (c->status != CRIA_OK) {
        cria_free(c->re->ctx, hash);
        return;
    }
    cria_free(c->re->ctx, c->hash);
    c->hash = hash;
    c->n_hash = cap * 2;
    c->cap_states = cap;
    for (uint32_t s = 0; s < c->n_states; s++) {
        uint32_t i = hash_of(c->list + c->state[s].from, c->state[s].n) % c->n_hash;
        while (hash[i] != 0) i = (i + 1) % c->n_hash;
        hash[i] = s + 1;
    }
}

/* The state of the list next[0 .. n_next), made if it is new. */
static uint32_t find_state(struct compiler *c) {
    grow_states(c);
    if (c->status != CRIA_OK) return DEAD;
    uint32_t h = hash_of(c->next, c->n_next);
    c->work += c->n_next;
    for (uint32_t i = h % c->n_hash;; i = (i + 1) % c->n_hash) {
        if (c->hash[i] == 0) {
            h = i;
            break;
        }
        const uint32_t s = c->hash[i] - 1;
        if (c->state[s].n == c->n_next &&
            memcmp(c->list + c->state[s].from, c->next, c->n_next * sizeof *c->next) == 0)
            return s;
        c->work++;
    }
    if (c->n_states == STATES_MAX || (c->n_states + 1) * c->re->width > CELLS_MAX) {
        too_complex(c);
        return DEAD;
    }
    if (c->n_list + c->n_next > c->cap_list) {
        const size_t cap = (c->n_list + c->n_next) * 2 + 64;
        c->list = enlarge(c, c->list, c->cap_list, cap, sizeof *c->list);
        if (c->status != CRIA_OK) return DEAD;
        c->cap_list = cap;
    }
    if (c->n_next) memcpy(c->list + c->n_list, c->next, c->n_next * sizeof *c->next);
    c->state[c->n_states].from = (uint32_t)c->n_list;
    c->state[c->n_states].n = c->n_next;
    c->n_list += c->n_next;
    c->hash[h] = c->n_states + 1;
    return c->n_states++;
}

static bool in_set(const struct compiler *c, uint32_t class, uint32_t set) {
    return (c->member[(size_t) class * c->words + set / 64] >> set % 64 & 1) != 0;
}

/* Follows the ways from pc up to the characters they consume, best first; the next character is of that class
 * (n_classes: there is none). True when the end of the program was reached: later ways count no more. */
static bool follow(struct compiler *c, uint32_t pc, uint32_t class) {
    const bool end = class == c->n_classes;
    uint32_t n = 0;
    c->stack[n++] = pc;
    while (n > 0) {
        pc = c->stack[--n];
        if (c->seen[pc] == c->step) continue;
        c->seen[pc] = c->step;
        c->work++;
        const struct inst *in = &c->code[pc];
        switch ((enum op)in->op) {
        case OP_MATCH:
            return true;
        case OP_JUMP:
            c->stack[n++] = in->x;
            break;
        case OP_SPLIT:
            c->stack[n++] = in->y;
            c->stack[n++] = in->x;
            break;
        case OP_LOOK:
            if (end ? in->at_end : in_set(c, class, in->x)) c->stack[n++] = pc + 1;
            break;
        case OP_CHAR:
            if (!end && in_set(c, class, in->x)) c->next[c->n_next++] = (uint16_t)(pc + 1);
            break;
        }
    }
    return false;
}

static uint16_t make_cell(struct compiler *c, uint32_t state, uint32_t class) {
    bool match = false;
    c->n_next = 0;
    c->step++;
    for (uint32_t i = 0; i < c->state[state].n && !match; i++)
        match = follow(c, c->list[c->state[state].from + i], class);
    if (c->work > WORK_MAX) too_complex(c);
    return (uint16_t)(find_state(c) | (match ? MATCH : 0));
}

static void make_states(struct compiler *c) {
    cria_ctx *ctx = c->re->ctx;
    const uint32_t width = c->n_classes + 1;
    const size_t scratch = (size_t)c->n_code * 2 + 2;
    c->re->width = width;
    c->seen = cria_calloc(ctx, scratch, sizeof *c->seen);
    c->stack = cria_malloc_array(ctx, scratch, sizeof *c->stack);
    c->next = cria_malloc_array(ctx, scratch, sizeof *c->next);
    if (!c->seen || !c->stack || !c->next) {
        no_memory(c, scratch * 10);
        return;
    }
    find_state(c); /* the empty list: DEAD */
    c->next[0] = 0;
    c->n_next = 1;
    find_state(c); /* START */
    for (uint32_t s = 0; s < c->n_states && c->status == CRIA_OK; s++)
        for (uint32_t k = 0; k < width && c->status == CRIA_OK; k++) {
            const uint16_t cell = make_cell(c, s, k);
            if (c->status == CRIA_OK) c->re->cell[(size_t)s * width + k] = cell;
        }
}

/* What is needed for matching, out of what was needed for compiling. */
static void finish(struct compiler *c) {
    cria_regex *re = c->re;
    uint32_t from = 0;
    while (from < c->n_cuts && c->cut[from] <= TABLE) from++;
    from -= from > 0; /* the stretch that holds TABLE */
    re->n_borders = c->n_cuts - from;
    re->border = cria_malloc_array(re->ctx, re->n_borders, sizeof *re->border);
    re->border_class = cria_malloc(re->ctx, re->n_borders);
    if (!re->border || !re->border_class) {
        no_memory(c, re->n_borders * 5u);
        return;
    }
    memcpy(re->border, c->cut + from, re->n_borders * sizeof *re->border);
    memcpy(re->border_class, c->cut_class + from, re->n_borders);
    for (uint32_t cp = 0, i = 0; cp < TABLE; cp++) {
        if (i + 1 < c->n_cuts && c->cut[i + 1] == cp) i++;
        re->table[cp] = c->cut_class[i];
    }
    const uint16_t *start = re->cell + (size_t)START * re->width;
    for (uint32_t k = 0; k < re->width; k++) re->nullable = re->nullable || (start[k] & MATCH) != 0;
    for (uint32_t cp = 0; cp < 128; cp++) re->first[cp] = re->nullable || start[re->table[cp]] != DEAD;
}

cria_status cria_regex_new(cria_ctx *ctx, const char *pattern, size_t len, enum cria_regex_syntax syntax,
                           cria_regex **out, cria_error *err) {
    struct compiler c = {.err = err};
    c.status = cria_regex_parse(ctx, pattern, len, syntax, &c.tree, err);
    c.re = cria_calloc(ctx, 1, sizeof *c.re);
    if (c.status == CRIA_OK && !c.re) no_memory(&c, sizeof *c.re);
    if (c.re) c.re->ctx = ctx;
    if (c.status == CRIA_OK) {
        emit(&c, c.tree.root);
        put(&c, OP_MATCH, 0, 0);
    }
    if (c.status == CRIA_OK) find_classes(&c);
    if (c.status == CRIA_OK) make_states(&c);
    if (c.status == CRIA_OK) finish(&c);
    void *const scratch[] = {c.code,  c.cut,  c.cut_class, c.member, c.list,
                             c.state, c.hash, c.seen,      c.stack,  c.next};
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++) cria_free(ctx, scratch[i]);
    cria_regex_tree_fini(&c.tree);
    if (c.status == CRIA_OK)
        *out = c.re;
    else
        cria_regex_free(c.re);
    return c.status;
}

void cria_regex_free(cria_regex *re) {
    if (!re) return;
    cria_free(re->ctx, re->cell);
    cria_free(re->ctx, re->border);
    cria_free(re->ctx, re->border_class);
    cria_free(re->ctx, re);
}

/* ---- matching ---- */

void cria_regex_begin(cria_regex_scan *scan, const cria_regex *re, const uint8_t *text, size_t len) {
    *scan = (cria_regex_scan){.re = re, .text = text, .len = len, .last_end = NOTHING};
}

void cria_regex_finish(cria_regex_scan *scan) {
    cria_free(scan->re->ctx, scan->facts);
    scan->facts = NULL;
}

static uint32_t class_beyond(const cria_regex *re, uint32_t cp) {
    uint32_t low = 0, high = re->n_borders;
    while (high - low > 1) {
        const uint32_t mid = low + (high - low) / 2;
        if (re->border[mid] <= cp)
            low = mid;
        else
            high = mid;
    }
    return re->border_class[low];
}

/* The class of the character at s and its length; the text is valid UTF-8. */
static inline uint32_t class_of(const cria_regex *re, const uint8_t *s, size_t *n) {
    if (s[0] < 0x80) {
        *n = 1;
        return re->table[s[0]];
    }
    if (s[0] < 0xe0) {
        *n = 2;
        return re->table[(s[0] & 0x1fu) << 6 | (s[1] & 0x3fu)];
    }
    if (s[0] < 0xf0) {
        *n = 3;
        return class_beyond(re, (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu));
    }
    *n = 4;
    return class_beyond(re, (s[0] & 7u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu));
}

/* Notes what the run that was in that state at pos and has found nothing up to stop knows. */
static cria_status note_facts(cria_regex_scan *scan, size_t pos, uint32_t state, size_t stop,
                              cria_error *err) {
    const cria_regex *re = scan->re;
    if (!scan->facts) {
        scan->facts = cria_calloc(re->ctx, scan->len / 64 + 1, sizeof *scan->facts);
        if (!scan->facts) return cria_fail_nomem(err, "splitting the text", scan->len / 16);
    }
    scan->steps += stop - pos;
    while (pos < stop) {
        size_t n;
        const uint32_t class = class_of(re, scan->text + pos, &n);
        state = re->cell[(size_t)state * re->width + class] & ~MATCH;
        if (pos / 64 != (pos + n) / 64)
            scan->facts[(pos + n) / 64] =
                (struct cria_regex_fact){(uint16_t)state, (uint16_t)((pos + n) % 64)};
        pos += n;
    }
    return CRIA_OK;
}

/* The match that begins at start: *end, or NOTHING. */
static cria_status match_at(cria_regex_scan *scan, size_t start, size_t *end, cria_error *err) {
    const cria_regex *re = scan->re;
    const uint8_t *text = scan->text;
    const size_t len = scan->len;
    uint32_t state = START, end_state = START;
    size_t pos = start, last = NOTHING;
    while (pos < len) {
        size_t n;
        const uint32_t class = class_of(re, text + pos, &n);
        const uint32_t cell = re->cell[(size_t)state * re->width + class];
        if (cell & MATCH) {
            last = pos;
            end_state = state;
        }
        state = cell & ~MATCH;
        if (state == DEAD) break;
        if (scan->facts && pos / 64 != (pos + n) / 64) {
            const struct cria_regex_fact f = scan->facts[(pos + n) / 64];
            if (f.state == state && f.offset == (pos + n) % 64) {
                pos += n;
                goto out;
            }
        }
        pos += n;
    }
    if (pos == len && re->cell[(size_t)state * re->width + re->width - 1] & MATCH) last = len;
out:
    scan->steps += pos - start + 1;
    *end = last;
    const size_t seen = last == NOTHING ? start : last;
    if (pos - seen >= FACTS_FROM) return note_facts(scan, seen, end_state, pos, err);
    return CRIA_OK;
}

cria_status cria_regex_next(cria_regex_scan *scan, bool *found, size_t *start, size_t *end, cria_error *err) {
    const cria_regex *re = scan->re;
    const uint8_t *text = scan->text;
    *found = false;
    while (scan->at <= scan->len) {
        size_t pos = scan->at;
        if (!re->nullable)
            while (pos < scan->len && text[pos] < 0x80 && !re->first[text[pos]]) pos++;
        if (pos == scan->len && !re->nullable) break;
        size_t stop, n = 1;
        const cria_status st = match_at(scan, pos, &stop, err);
        if (st != CRIA_OK) return st;
        if (pos < scan->len) class_of(re, text + pos, &n);
        if (scan->steps > (uint64_t)scan->len * STEPS_PER_BYTE + STEPS_BESIDES)
            return cria_fail(
                err, CRIA_EUNSUPPORTED, pos,
                "A pattern of the tokenizer takes too long on this text; it was made to exhaust time.");
        if (stop == NOTHING || (stop == pos && stop == scan->last_end)) {
            scan->at = pos + n;
            continue;
        }
        scan->at = scan->last_end = stop;
        *start = pos;
        *end = stop;
        *found = true;
        return CRIA_OK;
    }
    scan->at = scan->len + 1;
    return CRIA_OK;
}
