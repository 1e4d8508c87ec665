/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of activations and packed weights: chooses how the activations meet each matrix (float32, int16 or
 * int8), prepares them once for all matrices that want the same rows alike, and splits all these products, as if they
 * were one, among the threads.
 *
 * The row blocks of all these matrices, one after the other in a joint list, are cut into strips, the tokens into
 * groups. The work is handed out strip by strip, in a strip group by group, in a group some row blocks at a time: those
 * of a strip come from memory for its first group and from the cache for the others, and the activations of a group
 * stay there for all row blocks of the strip. Neither strips nor groups wait for each other.
 */
#include "model/scratch.h"

#include "base/mem.h"
#include "base/pool.h"

/* A form of activations. Matrices with the same form share one preparation. */
struct form {
    uint32_t planes; /* 0: float */
    bool whole;      /* 2 planes of one number each */
    uint32_t group;  /* of the sums that biases meet; 0: none */
    cria_layout layout;
};

/* int16 where a little work takes much of the divergence away (docs/quality.md). What the last feed-forward network
 * adds no layer behind it evens out; the router decides. */
static bool is_sensitive(enum cria_role role) {
    return role == CRIA_ROLE_VALUES || role == CRIA_ROLE_LAST_FFN || role == CRIA_ROLE_ROUTER ||
           role == CRIA_ROLE_OUTPUT;
}

static struct form form_for(const cria_matrix *w, cria_activations activations, enum cria_role role) {
    struct form f = {0};
    if (activations == CRIA_ACTIVATIONS_F32) return f;
    f.whole = w->spec.kind != CRIA_MATRIX_CODES && w->spec.kind != CRIA_MATRIX_F32;
    if (f.whole) f.planes = 2;
    if (w->spec.kind != CRIA_MATRIX_CODES) return f;
    if (activations == CRIA_ACTIVATIONS_DEFAULT)
        f.planes = is_sensitive(role) ? 2 : 1;
    else
        f.planes = activations == CRIA_ACTIVATIONS_INT16 ? 2 : 1;
    if (w->spec.affine) f.group = w->spec.group;
    return f;
}

uint32_t cria_product_planes(const cria_matrix *w, cria_activations activations, enum cria_role role) {
    return form_for(w, activations, role).planes;
}

/* The form that a product wants, with how its rows lie for its matrix. */
static struct form form_of_rows(const struct cria_scratch *s, const struct cria_product *item) {
    struct form f = form_for(item->w, s->activations, item->role);
    f.layout = f.planes == 0 || f.whole ? (cria_layout){.tiles = item->n}
                                        : s->kernels->layout(&item->w->spec, item->n, f.planes);
    return f;
}

static bool same_form(struct form a, struct form b) {
    return a.planes == b.planes && a.whole == b.whole && a.group == b.group && a.layout.tiles == b.layout.tiles &&
           a.layout.id == b.layout.id;
}

enum {
    MAX_NODES = 8,
    GROUP_ROWS = 192,       /* tokens of a group at most: more than that a kernel would not take at once, either */
    STRIP_BYTES = 512 << 10 /* weights of a strip: of the second cache, what the activations leave */
};

/* Some rows of the input in one form. */
struct prepared {
    struct form form;
    const cria_matrix *w; /* one of those that it is for */
    uint32_t row0;
    bool first_form; /* of these rows: they are made on the way to it */
    cria_act act;
};

/* A product and the activations that it takes. */
struct item {
    const struct cria_product *product;
    const struct prepared *x;
};

/* Row blocks of an item, one after the other in the joint list of row blocks. */
struct piece {
    struct item item;
    uint32_t first; /* in the joint list */
    uint32_t block; /* of the item */
};

struct job {
    struct cria_scratch *s;
    struct cria_input in;
    uint32_t n_made, n_known; /* rows of it that are there, and with those that are prepared */
    struct prepared prepared[CRIA_PRODUCTS_AT_ONCE];
    uint32_t n_prepared;
    size_t used; /* of activation_memory */
    struct item items[CRIA_PRODUCTS_AT_ONCE]; /* to be multiplied */
    uint32_t n_items;
    struct piece pieces[CRIA_PRODUCTS_AT_ONCE * MAX_NODES + 1]; /* [n] is the end of the list */
    uint32_t n_pieces;
    /* What is handed out are units of row blocks, of one group. */
    uint32_t unit;             /* row blocks that kernels take side by side */
    uint32_t n_units;          /* of all row blocks */
    uint32_t strip, n_groups;  /* units of a strip, the last one's may be fewer */
};

/* ---- Activations ---- */

/* Where the arrays of x lie from p on; counts where p is NULL. Returns their bytes. */
static size_t place(cria_act *x, uint8_t *p) {
    const size_t n = x->n, k = x->k;
    x->ldq = cria_round_up(k, 64);
    x->ldd = cria_round_up((k + 31) / 32, 16);
    x->ldu = x->group ? cria_round_up(k / x->group, 16) : 0;
    const size_t q = n * x->planes * x->ldq, d = n * x->ldd * sizeof *x->d,
                 sum = cria_round_up(n * x->ldd * sizeof *x->sum, CRIA_ALIGN), u = n * x->ldu * sizeof *x->u,
                 laid_out = cria_round_up(CRIA_LAID_OUT(n, k), CRIA_ALIGN);
    if (p != NULL) {
        x->q = (int8_t *)p;
        x->d = (float *)(void *)(p + q);
        x->sum = (int32_t *)(void *)(p + q + d);
        x->u = (float *)(void *)(p + q + d + sum);
        x->laid_out = p + q + d + sum + u;
    }
    return q + d + sum + u + laid_out;
}

size_t cria_activation_bytes(uint32_t k) {
    return place(&(cria_act){.n = 1, .k = (uint32_t)cria_round_up(k, 16), .planes = 2, .group = 16}, NULL);
}

static void make_rows(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct job *job = arg;
    job->in.make((void *)(uintptr_t)job->in.arg, job->n_made + begin, job->n_made + end, worker);
}

/* Makes rows up to n at once, where they are not made on the way to a product. */
static void make_now(struct job *job, uint32_t n) {
    if (job->in.make && n > job->n_made) cria_pool_for(job->s->pool, n - job->n_made, SIZE_MAX, make_rows, job);
    job->n_made = n;
}

/* Tiles of rows are made, quantized and then laid out. */
static void prepare_tiles(const struct job *job, const struct prepared *x, uint32_t tile0, uint32_t tile1,
                          uint32_t worker) {
    const struct cria_kernels *kern = job->s->kernels;
    const cria_act *act = &x->act;
    const cria_layout layout = x->form.layout;
    const uint32_t first = cria_layout_row(layout, act->n, tile0), last = cria_layout_row(layout, act->n, tile1);
    for (uint32_t t = first; t < last; t++) {
        const size_t row = x->row0 + t;
        if (row >= job->n_made) job->in.make((void *)(uintptr_t)job->in.arg, row, row + 1, worker);
        if (act->planes != 0) (act->whole ? kern->quantize_h : kern->quantize)(act, t, act->x + t * act->ldx);
    }
    if (act->planes != 0 && !act->whole) kern->lay_out(x->w, act, tile0, tile1);
}

/* Rows in the first form that is wanted of them, all together, or in others. */
struct round {
    const struct job *job;
    bool first_form;
};

static uint32_t tiles_in(const struct round *r, const struct prepared *x) {
    const bool any = x->first_form == r->first_form && (x->act.planes != 0 || x->row0 >= r->job->n_made);
    return any ? x->form.layout.tiles : 0;
}

static uint32_t all_tiles_in(const struct round *r) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->job->n_prepared; i++) n += tiles_in(r, &r->job->prepared[i]);
    return n;
}

static void prepare_round(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct round *r = arg;
    size_t first = 0;
    for (uint32_t i = 0; i < r->job->n_prepared && first < end; i++) {
        const struct prepared *x = &r->job->prepared[i];
        const size_t last = first + tiles_in(r, x);
        const size_t t0 = begin > first ? begin : first, t1 = end < last ? end : last;
        if (t0 < t1) prepare_tiles(r->job, x, (uint32_t)(t0 - first), (uint32_t)(t1 - first), worker);
        first = last;
    }
}

/* All that is to be prepared. */
static void prepare(struct job *job) {
    cria_pool *pool = job->s->pool;
    if (!job->in.make) job->n_made = job->n_known;
    struct round r = {job, true};
    const uint32_t tiles = all_tiles_in(&r);
    /* Few tiles would leave threads without rows to make. */
    if (tiles < cria_pool_threads(pool) && tiles < job->n_known - job->n_made) make_now(job, job->n_known);
    cria_pool_for(pool, all_tiles_in(&r), SIZE_MAX, prepare_round, &r);
    job->n_made = job->n_known;
    r.first_form = false;
    cria_pool_for(pool, all_tiles_in(&r), SIZE_MAX, prepare_round, &r);
}

/* The rows of an item in its form are to be prepared. NULL when there is no memory left for that. */
static const struct prepared *plan(struct job *job, struct form form, const struct cria_product *item) {
    struct cria_scratch *s = job->s;
    const uint32_t k = job->in.k, row0 = item->row0;
    struct prepared *x = &job->prepared[job->n_prepared];
    *x = (struct prepared){form, item->w, row0, row0 >= job->n_known,
                           {.n = item->n, .k = k, .x = job->in.x + (size_t)row0 * k, .ldx = k,
                            .planes = form.planes, .whole = form.whole, .group = form.group}};
    if (form.planes != 0) {
        const size_t bytes = place(&x->act, NULL);
        if (bytes > s->activation_bytes - job->used) return NULL;
        place(&x->act, s->activation_memory + job->used);
        job->used += bytes;
    }
    job->n_prepared++;
    if (x->first_form) job->n_known = row0 + item->n;
    return x;
}

/* ---- Products ---- */

/* The joint list: on one memory node all of an item after all of another. On several, first the rows of all items
 * that the first node's threads packed (and have in their memory), then those of the second, …; beyond MAX_NODES
 * reading from other nodes is put up with. */
static void join(struct job *job) {
    const cria_pool *pool = job->s->pool;
    const uint32_t nodes = cria_pool_nodes(pool) <= MAX_NODES ? cria_pool_nodes(pool) : 1;
    uint32_t n = 0, blocks = 0;
    for (uint32_t node = 0; node < nodes; node++) {
        for (uint32_t i = 0; i < job->n_items; i++) {
            const uint32_t all = job->items[i].product->w->n_blocks;
            const uint32_t b0 = nodes == 1 ? 0 : (uint32_t)cria_pool_part(pool, all, node),
                           b1 = nodes == 1 ? all : (uint32_t)cria_pool_part(pool, all, node + 1);
            job->pieces[n++] = (struct piece){job->items[i], blocks, b0};
            blocks += b1 - b0;
        }
    }
    job->pieces[n] = (struct piece){.first = blocks};
    job->n_pieces = n;
}

static uint32_t groups_of(const cria_act *x) { return (x->n + GROUP_ROWS - 1) / GROUP_ROWS; }

/* Row blocks [begin, end) of the joint list times a group of tokens, of products that have so many. */
static void multiply_blocks(const struct job *job, size_t begin, size_t end, uint32_t group, uint32_t worker) {
    const struct cria_kernels *kern = job->s->kernels;
    void *scratch = job->s->product_scratch + (size_t)worker * CRIA_MATMUL_SCRATCH;
    for (uint32_t i = 0; i < job->n_pieces; i++) {
        const struct piece *p = &job->pieces[i];
        const size_t first = p->first, last = p[1].first;
        const size_t b0 = begin > first ? begin : first, b1 = end < last ? end : last;
        const struct cria_product *product = p->item.product;
        const cria_act *x = &p->item.x->act;
        const uint64_t tiles = p->item.x->form.layout.tiles, groups = groups_of(x);
        if (b0 >= b1 || group >= groups) continue;
        const cria_rect part = {.block0 = (uint32_t)(b0 - first) + p->block,
                                .block1 = (uint32_t)(b1 - first) + p->block,
                                .tile0 = (uint32_t)(tiles * group / groups),
                                .tile1 = (uint32_t)(tiles * (group + 1) / groups)};
        (x->whole ? kern->matmul_h : x->planes == 0 ? kern->matmul_f : kern->matmul_q)(
            product->w, x, product->y, product->w->spec.rows, part, scratch);
    }
}

static void multiply_units(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct job *job = arg;
    const size_t per_strip = (size_t)job->strip * job->n_groups, blocks = job->pieces[job->n_pieces].first;
    for (size_t i = begin, n; i < end; i += n) {
        const size_t first = i / per_strip * job->strip, left = job->n_units - first;
        const size_t strip = left < job->strip ? left : job->strip, group = i % per_strip / strip;
        const size_t unit = i % per_strip % strip, b0 = (first + unit) * job->unit;
        n = strip - unit < end - i ? strip - unit : end - i;
        const size_t b1 = b0 + n * job->unit;
        multiply_blocks(job, b0, b1 < blocks ? b1 : blocks, (uint32_t)group, worker);
    }
}

/* All items at hand. Afterwards there are none, and no activations. */
static void multiply(struct job *job) {
    prepare(job);
    join(job);
    const uint32_t blocks = job->pieces[job->n_pieces].first;
    size_t block_bytes = 0; /* the most */
    job->unit = 2;
    job->n_groups = 1;
    for (uint32_t i = 0; i < job->n_items; i++) {
        const size_t bytes = job->items[i].product->w->block_bytes;
        const cria_act *x = &job->items[i].x->act;
        if (x->planes == 0 || x->whole) job->unit = 4;
        if (bytes > block_bytes) block_bytes = bytes;
        if (groups_of(x) > job->n_groups) job->n_groups = groups_of(x);
    }
    job->n_units = (blocks + job->unit - 1) / job->unit;
    const size_t fit = STRIP_BYTES / (block_bytes * job->unit);
    job->strip = job->n_groups == 1 || fit > job->n_units ? job->n_units : fit == 0 ? 1 : (uint32_t)fit;
    cria_pool_for(job->s->pool, (size_t)job->n_units * job->n_groups, SIZE_MAX, multiply_units, job);
    job->n_items = job->n_prepared = 0;
    job->used = 0;
}

/* The rows from row0 on in the form that an item wants; NULL when that is not there yet. */
static const struct prepared *find(const struct job *job, struct form form, uint32_t row0) {
    for (uint32_t i = 0; i < job->n_prepared; i++)
        if (job->prepared[i].row0 == row0 && same_form(job->prepared[i].form, form)) return &job->prepared[i];
    return NULL;
}

void cria_products(struct cria_scratch *s, struct cria_input in, const struct cria_product *items, uint32_t n_items) {
    struct job job; /* no initializer: that would write all of it */
    job.s = s;
    job.in = in;
    job.n_made = job.n_known = 0;
    job.n_items = job.n_prepared = 0;
    job.used = 0;
    if (s->observe != NULL) make_now(&job, items[n_items - 1].row0 + items[n_items - 1].n);
    for (uint32_t i = 0; i < n_items; i++) {
        const struct cria_product *item = &items[i];
        if (s->observe != NULL && (i == 0 || item->row0 != item[-1].row0))
            s->observe(s->observe_user, item->w, in.x + (size_t)item->row0 * in.k, item->n, in.k);
        if (job.n_items == CRIA_PRODUCTS_AT_ONCE) multiply(&job);
        const struct form form = form_of_rows(s, item);
        const struct prepared *x = find(&job, form, item->row0);
        if (x == NULL) x = plan(&job, form, item);
        if (x == NULL) { /* memory enough for one form is always there */
            multiply(&job);
            x = plan(&job, form, item);
        }
        job.items[job.n_items++] = (struct item){item, x};
    }
    multiply(&job);
}
