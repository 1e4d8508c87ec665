/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of cria bench: what is asked, what is measured (bench.c), loading and memory (bench_load.c), and
 * how it is shown (bench_report.c). */
#ifndef CRIA_CLI_BENCH_H
#define CRIA_CLI_BENCH_H

#include "args.h"
#include "session.h"

struct bench_options {
    struct arg_list prompt_tokens, new_tokens, depths, batch, threads;
    uint64_t repeat;
    const char *shape, *quantization; /* shape NULL: a model from a file */
    bool json, csv;
    struct session_options session;
};

struct bench_limits {
    uint32_t threads;
    cria_limits best; /* of all measurements with this many threads */
};

struct bench_result {
    char test[64];                    /* "pp512", "tg64 x8 @ d4096" */
    size_t limits;                    /* index of the limits of its threads */
    double tokens_per_second, spread; /* the median; the fastest less the slowest */
    double percent_of_limit;          /* the median of the shares of the limits measured beside each repetition */
    const char *limit;                /* that binds the test: "read", "int8" or "f32" */
};

struct bench_load {
    bool cold_is_cold;                         /* the files were really out of memory */
    double cold, cold_first, warm, warm_first; /* seconds until open, and until one token is evaluated */
    double made;                               /* a random model: seconds to make it */
};

struct bench {
    const struct bench_options *options;
    char processor[128], isa[16];
    struct bench_limits limits[ARG_LIST_MAX];
    size_t n_limits;
    cria_model_info info;
    struct bench_load load;
    double peak_bytes; /* of memory, the model and the tests with it; 0: unknown */
    struct bench_result *results;
    size_t n_results;
};

/* ---- bench_load.c: all return false after one line on stderr ---- */

/* Opens the model (or makes the random one) without measuring. */
bool bench_open_model(struct session *s, const struct bench_options *o, struct bench_load *load);
/* Opens the file's model cold and warm; open afterwards. */
bool bench_measure_load(struct session *s, const struct bench_options *o, struct bench_load *load);
/* From now on peak memory counts anew, where the system allows it. */
void bench_reset_peak(void);
double bench_peak_bytes(void);
void bench_find_processor(char *out, size_t size);

/* ---- bench_report.c ---- */

void bench_print_table(const struct bench *b);
void bench_print_csv(const struct bench *b);
void bench_print_json(const struct bench *b);

#endif
