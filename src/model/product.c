/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of activations and packed weights: chooses how the activations meet each matrix (float32, int16 or
 * int8), prepares them once for all matrices that want them alike, and splits the rows of the matrices among
 * the threads.
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
    if (f.planes != 0) f.layout = s->kernels->layout(&w->spec, n, f.planes);
    return f;
}

static bool same_form(struct form a, struct form b) {
    return a.planes == b.planes && a.group == b.group && a.layout.tiles == b.layout.tiles && a.layout.id == b.layout.id;
}

static size_t round_up(size_t n, size_t m) { return (n + m - 1) / m * m; }

enum { MAX_ITEMS = 8, MAX_NODES = 8 };

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
    cria_layout layout; /* of act */
    struct piece pieces[MAX_ITEMS * MAX_NODES + 1]; /* [n] is the end of the list */
    uint32_t n_pieces;
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

static void multiply_blocks(void *arg, size_t begin, size_t end, uint32_t worker) {
    const struct job *job = arg;
    const struct cria_kernels *kern = job->s->kernels;
    void *scratch = job->s->product_scratch + (size_t)worker * CRIA_MATMUL_SCRATCH;
    for (uint32_t i = 0; i < job->n_pieces; i++) {
        const struct piece *p = &job->pieces[i];
        const size_t first = p->first, last = p[1].first;
        const size_t b0 = begin > first ? begin : first, b1 = end < last ? end : last;
        if (b0 >= b1) continue;
        const cria_matrix *w = p->item->w;
        (job->act->planes == 0 ? kern->matmul_f : kern->matmul_q)(w, job->act, p->item->y, w->spec.rows,
                                                                  (uint32_t)(b0 - first) + p->block,
                                                                  (uint32_t)(b1 - first) + p->block, scratch);
    }
}

/* Row blocks of a piece of work. Eight pieces a thread even out cores of unequal speed; pieces of four blocks and
 * more keep the kernels' register tiles full. With many tokens a piece begins by reading them into its cache: there
 * pieces have 16 blocks or so, and their number is a multiple of the threads'. */
static uint32_t piece_blocks(uint32_t blocks, uint32_t n, uint32_t threads) {
    if (n <= 4) return (uint32_t)round_up(blocks / (8 * threads) + 1, 4);
    uint32_t rounds = (blocks + 8 * threads) / (16 * threads);
    if (rounds > 8) rounds = 8;
    const uint32_t pieces = threads * (rounds == 0 ? 1 : rounds);
    return (blocks + pieces - 1) / pieces;
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
        act.ldq = round_up(in.k, 64);
        act.ldd = round_up((in.k + 31) / 32, 16);
        act.ldu = form.group ? round_up(in.k / form.group, 16) : 0;

        struct job job = {.s = s, .in = &in, .act = &act, .layout = form.layout};
        const struct cria_product *alike[MAX_ITEMS];
        uint32_t n_alike = 0;
        for (uint32_t i = first; i < n_items; i++) {
            if (done >> i & 1 || !same_form(form_of_rows(s, role, items[i].w, n), form)) continue;
            done |= 1u << i;
            alike[n_alike++] = &items[i];
        }
        join(&job, alike, n_alike);
        const uint32_t blocks = job.pieces[job.n_pieces].first;

        /* A product of floats needs all rows at once, and few tiles would leave threads without rows to make. */
        const uint32_t tiles = form.layout.tiles;
        if (form.planes == 0 || tiles < threads) make_now(s, &in, n);
        if (form.planes != 0) cria_pool_for(s->pool, tiles, tiles / (4 * threads) + 1, prepare_tiles, &job);
        in.make = NULL; /* they are there now */
        const uint32_t grain = piece_blocks(blocks, n, threads);
        cria_pool_for(s->pool, blocks, grain, multiply_blocks, &job);
    }
}
