/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of activations and packed weights: chooses how the activations meet each matrix (float32, int16 or
 * int8), prepares them once for all matrices that want them alike, and splits the product among the threads.
 *
 * The row blocks of all these matrices, one after the other in a joint list, are cut into strips, the tokens into
 * groups. The work is handed out strip by strip, in a strip group by group, in a group some row blocks at a time: those
 * of a strip come from memory for its first group and from the cache for the others, and the activations of a group
 * stay there for all row blocks of the strip. Neither strips nor groups wait for each other.
 */
#include "model/scratch.h"

#include "base/pool.h"

/* A form of activations. Matrices with the same form share one preparation. */
struct form {
    uint32_t planes; /* 0: float */
    uint32_t group;  /* of the sums that biases meet; 0: none */
    cria_layout layout;
};

static struct form form_for(const cria_matrix *w, cria_activations activations, enum cria_role role) {
    struct form f = {0};
    if (w->spec.kind != CRIA_MATRIX_CODES || activations == CRIA_ACTIVATIONS_F32) return f;
    if (activations == CRIA_ACTIVATIONS_DEFAULT)
        f.planes = role == CRIA_ROLE_OTHER ? 1 : 2;
    else
        f.planes = activations == CRIA_ACTIVATIONS_INT16 ? 2 : 1;
    if (w->spec.affine) f.group = w->spec.group;
    return f;
}

uint32_t cria_product_planes(const cria_matrix *w, cria_activations activations, enum cria_role role) {
    return form_for(w, activations, role).planes;
}

/* With how n rows of it lie for a matrix. */
static struct form form_of_rows(const struct cria_scratch *s, enum cria_role role, const cria_matrix *w, uint32_t n) {
    struct form f = form_for(w, s->activations, role);
    f.layout = f.planes == 0 ? (cria_layout){.tiles = n} : s->kernels->layout(&w->spec, n, f.planes);
    return f;
}

static bool same_form(struct form a, struct form b) {
    return a.planes == b.planes && a.group == b.group && a.layout.tiles == b.layout.tiles && a.layout.id == b.layout.id;
}

enum {
    MAX_ITEMS = 8,
    MAX_NODES = 8,
    GROUP_ROWS = 192,       /* tokens of a group at most: more than that a kernel would not take at once, either */
    STRIP_BYTES = 512 << 10 /* weights of a strip: of the second cache, what the activations leave */
};

/* Row blocks of an item, one after the other in the joint list of row blocks. */
struct piece {
    const struct cria_product *item;
    uint32_t first; /* in the joint list */
    uint32_t block; /* of the item */
};

struct job {
    struct cria_scratch *s;
    const struct cria_input *in;
    const cria_act *act;
    cria_layout layout; /* of act; floats: tiles are rows */
    struct piece pieces[MAX_ITEMS * MAX_NODES + 1]; /* [n] is the end of the list */
    uint32_t n_pieces;
    /* What is handed out are units of row blocks, of one group. */
    uint32_t unit;             /* row blocks that kernels take side by side */
    uint32_t n_units;          /* of all row blocks */
    uint32_t strip, n_groups;  /* units of a strip, the last one's may be fewer */
};

/* The joint list: on one memory node all of an item after all of another. On several, first the rows of all items
 * that the first node's threads packed (and have in their memory), then those of the second, …; beyond MAX_NODES
 * reading from other nodes is put up with. */
static void join(struct job *job, const struct cria_product *const *items, uint32_t n_items) {
    const cria_pool *pool = job->s->pool;
    const uint32_t nodes = cria_pool_nodes(pool) <= MAX_NODES ? cria_pool_nodes(pool) : 1;
    uint32_t n = 0, blocks = 0;
    for (uint32_t node = 0; node < nodes; node++) {
        for (uint32_t i = 0; i < n_items; i++) {
            const uint32_t all = items[i]->w->n_blocks;
            const uint32_t b0 = nodes == 1 ? 0 : (uint32_t)cria_pool_part(pool, all, node),
                           b1 = nodes == 1 ? all : (uint32_t)cria_pool_part(pool, all, node + 1);
            job->pieces[n++] = (struct piece){items[i], blocks, b0};
            blocks += b1 - b0;
        }
    }
    job->pieces[n] = (struct piece){NULL, blocks, 0};
    job->n_pieces = n;
}

/* Tiles of rows are made, quantized and then laid out. */
static void prepare_tiles(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct job *job = arg;
    const struct cria_kernels *kern = job->s->kernels;
    const cria_act *act = job->act;
    const uint32_t first = cria_layout_row(job->layout, act->n, (uint32_t)begin),
                   last = cria_layout_row(job->layout, act->n, (uint32_t)end);
    for (uint32_t t = first; t < last; t++) {
        if (job->in->make) job->in->make((void *)(uintptr_t)job->in->arg, t, t + 1, worker);
        kern->quantize(act, t, act->x + t * act->ldx);
    }
    kern->lay_out(job->pieces[0].item->w, act, (uint32_t)begin, (uint32_t)end);
}

/* Row blocks [begin, end) of the joint list times a group of tokens. */
static void multiply_blocks(const struct job *job, size_t begin, size_t end, uint32_t group, uint32_t worker) {
    const struct cria_kernels *kern = job->s->kernels;
    void *scratch = job->s->product_scratch + (size_t)worker * CRIA_MATMUL_SCRATCH;
    const uint64_t tiles = job->layout.tiles;
    cria_rect part = {.tile0 = (uint32_t)(tiles * group / job->n_groups),
                      .tile1 = (uint32_t)(tiles * (group + 1) / job->n_groups)};
    for (uint32_t i = 0; i < job->n_pieces; i++) {
        const struct piece *p = &job->pieces[i];
        const size_t first = p->first, last = p[1].first;
        const size_t b0 = begin > first ? begin : first, b1 = end < last ? end : last;
        if (b0 >= b1) continue;
        const cria_matrix *w = p->item->w;
        part.block0 = (uint32_t)(b0 - first) + p->block;
        part.block1 = (uint32_t)(b1 - first) + p->block;
        (job->act->planes == 0 ? kern->matmul_f : kern->matmul_q)(w, job->act, p->item->y, w->spec.rows, part, scratch);
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

static void multiply(struct job *job) {
    const uint32_t blocks = job->pieces[job->n_pieces].first, n = job->act->n;
    const cria_matrix *w = job->pieces[0].item->w;
    job->unit = job->act->planes == 0 ? 4 : 2;
    job->n_units = (blocks + job->unit - 1) / job->unit;
    job->n_groups = (n + GROUP_ROWS - 1) / GROUP_ROWS;
    const size_t fit = STRIP_BYTES / (w->block_bytes * job->unit);
    job->strip = job->n_groups == 1 || fit > job->n_units ? job->n_units : fit == 0 ? 1 : (uint32_t)fit;
    cria_pool_for(job->s->pool, (size_t)job->n_units * job->n_groups, SIZE_MAX, multiply_units, job);
}

/* Makes all rows at once, where they are not made on the way to a product. */
static void make_now(const struct cria_scratch *s, struct cria_input *in, uint32_t n) {
    if (in->make) cria_for_rows(s, n, in->make, in->arg);
    in->make = NULL;
}

void cria_products(struct cria_scratch *s, enum cria_role role, struct cria_input in, uint32_t n,
                   const struct cria_product *items, uint32_t n_items) {
    const uint32_t threads = cria_pool_threads(s->pool);
    uint32_t done = 0; /* bit i: item i */
    if (s->observe != NULL) {
        make_now(s, &in, n);
        s->observe(s->observe_user, items[0].w, in.x, n, in.k);
    }
    for (uint32_t first = 0; first < n_items; first++) {
        if (done >> first & 1) continue;
        const struct form form = form_of_rows(s, role, items[first].w, n);
        cria_act act = s->act;
        act.n = n;
        act.k = in.k;
        act.x = in.x;
        act.ldx = in.k;
        act.planes = form.planes;
        act.group = form.group;
        act.ldq = cria_round_up(in.k, 64);
        act.ldd = cria_round_up((in.k + 31) / 32, 16);
        act.ldu = form.group ? cria_round_up(in.k / form.group, 16) : 0;

        struct job job = {.s = s, .in = &in, .act = &act, .layout = form.layout};
        const struct cria_product *alike[MAX_ITEMS];
        uint32_t n_alike = 0;
        for (uint32_t i = first; i < n_items; i++) {
            if (done >> i & 1 || !same_form(form_of_rows(s, role, items[i].w, n), form)) continue;
            done |= 1u << i;
            alike[n_alike++] = &items[i];
        }
        join(&job, alike, n_alike);

        /* A product of floats needs all rows at once, and few tiles would leave threads without rows to make. */
        const uint32_t tiles = form.layout.tiles;
        if (form.planes == 0 || tiles < threads) make_now(s, &in, n);
        if (form.planes != 0) cria_pool_for(s->pool, tiles, SIZE_MAX, prepare_tiles, &job);
        in.make = NULL; /* they are there now */
        multiply(&job);
    }
}
