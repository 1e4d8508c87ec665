/* SPDX-License-Identifier: Apache-2.0 */
/* What cria bench found, as a table, as CSV and as JSON, on stdout. */
#include "bench.h"
#include "jsontext.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- table ---- */

static void print_seconds(const char *what, double open, double first) {
    printf("%-18s %10.3f s, first token after %.3f s\n", what, open, first);
}

static void print_load(const struct bench *b) {
    const struct bench_load *l = &b->load;
    if (b->options->shape) {
        printf("made in            %10.3f s\n", l->made);
        return;
    }
    print_seconds(l->cold_is_cold ? "load, cold" : "load, not cold (1)", l->cold, l->cold_first);
    print_seconds("load, warm", l->warm, l->warm_first);
}

void bench_print_table(const struct bench *b) {
    const struct bench_options *o = b->options;
    const cria_model_info *m = &b->info;
    printf("machine            %s, %s\n", b->processor, b->isa);
    for (size_t i = 0; i < b->n_limits; i++) {
        const struct bench_limits *l = &b->limits[i];
        printf("limits, %" PRIu32 " thread%s  read %.1f GB/s, int8 %.0f Gop/s, float32 %.0f Gop/s\n",
               l->threads, l->threads == 1 ? " " : "s", l->best.read_bytes * 1e-9, l->best.int8_ops * 1e-9,
               l->best.f32_ops * 1e-9);
    }
    printf("model              %s%s%s, %.1f M parameters, %.1f MB (%.3f bytes a weight)\n",
           o->shape ? o->shape : o->session.model_path, o->shape ? " " : "", o->shape ? o->quantization : "",
           (double)m->n_params * 1e-6, (double)m->weight_bytes * 1e-6,
           (double)m->weight_bytes / (double)m->n_params);
    printf("activations, kv    %s, %s\n", o->session.activations, o->session.kv);
    print_load(b);
    printf("peak memory        %10.1f MB\n\n", b->peak_bytes * 1e-6);
    printf("%-24s %7s %12s %10s  %s\n", "test", "threads", "tokens/s", "spread", "of the limit");
    for (size_t i = 0; i < b->n_results; i++) {
        const struct bench_result *r = &b->results[i];
        printf("%-24s %7" PRIu32 " %12.2f %10.2f  %5.1f %% of %s\n", r->test, b->limits[r->limits].threads,
               r->tokens_per_second, r->spread, r->percent_of_limit, r->limit);
    }
    if (!o->shape && !b->load.cold_is_cold)
        printf("\n(1) The system keeps the files in memory: another process uses them, or they are not on a "
               "disk.\n");
}

/* ---- CSV ---- */

static void print_quoted(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"') putchar('"');
        putchar(*text);
    }
    putchar('"');
}

void bench_print_csv(const struct bench *b) {
    const struct bench_options *o = b->options;
    printf("test,threads,tokens_per_second,spread,percent_of_limit,limit,model,quantization,parameters,"
           "weight_bytes,"
           "activations,kv,isa,processor,read_bytes_per_second,int8_ops_per_second,f32_ops_per_second,"
           "load_cold_seconds,load_warm_seconds,peak_memory_bytes,version\n");
    for (size_t i = 0; i < b->n_results; i++) {
        const struct bench_result *r = &b->results[i];
        const struct bench_limits *l = &b->limits[r->limits];
        printf("%s,%" PRIu32 ",%.3f,%.3f,%.2f,%s,", r->test, l->threads, r->tokens_per_second, r->spread,
               r->percent_of_limit, r->limit);
        print_quoted(o->shape ? o->shape : o->session.model_path);
        printf(",%s,%" PRIu64 ",%" PRIu64 ",%s,%s,%s,", o->shape ? o->quantization : "", b->info.n_params,
               b->info.weight_bytes, o->session.activations, o->session.kv, b->isa);
        print_quoted(b->processor);
        printf(",%.0f,%.0f,%.0f,", l->best.read_bytes, l->best.int8_ops, l->best.f32_ops);
        if (o->shape || !b->load.cold_is_cold)
            printf(",");
        else
            printf("%.6f,", b->load.cold);
        if (o->shape)
            printf(",");
        else
            printf("%.6f,", b->load.warm);
        printf("%.0f,%s\n", b->peak_bytes, cria_version());
    }
}

/* ---- JSON ---- */

static void print_json_machine(const struct bench *b) {
    const struct bench_options *o = b->options;
    printf("{\"processor\": ");
    print_json_text(b->processor);
    printf(", \"isa\": \"%s\", \"limits\": [", b->isa);
    for (size_t i = 0; i < b->n_limits; i++) {
        const struct bench_limits *l = &b->limits[i];
        printf("%s{\"threads\": %" PRIu32 ", \"read_bytes_per_second\": %.0f, \"int8_ops_per_second\": %.0f, "
               "\"f32_ops_per_second\": %.0f}",
               i ? ", " : "", l->threads, l->best.read_bytes, l->best.int8_ops, l->best.f32_ops);
    }
    printf("], \"version\": \"%s\", \"model\": ", cria_version());
    print_json_text(o->shape ? o->shape : o->session.model_path);
    if (o->shape) printf(", \"quantization\": \"%s\"", o->quantization);
    printf(", \"format\": \"%s\", \"parameters\": %" PRIu64 ", \"weight_bytes\": %" PRIu64
           ", \"activations\": \"%s\", \"kv\": \"%s\"",
           b->info.format, b->info.n_params, b->info.weight_bytes, o->session.activations, o->session.kv);
    if (!o->shape) {
        const struct bench_load *l = &b->load;
        if (l->cold_is_cold)
            printf(", \"load_cold_seconds\": %.6f, \"first_token_cold_seconds\": %.6f", l->cold,
                   l->cold_first);
        printf(", \"load_warm_seconds\": %.6f, \"first_token_warm_seconds\": %.6f", l->warm, l->warm_first);
    }
    printf(", \"peak_memory_bytes\": %.0f, \"repetitions\": %" PRIu64 "}", b->peak_bytes, o->repeat);
}

void bench_print_json(const struct bench *b) {
    printf("{\"machine\": ");
    print_json_machine(b);
    printf(", \"results\": [");
    for (size_t i = 0; i < b->n_results; i++) {
        const struct bench_result *r = &b->results[i];
        printf(
            "%s{\"test\": \"%s\", \"tokens_per_second\": %.3f, \"spread\": %.3f, \"percent_of_limit\": %.2f, "
            "\"limit\": \"%s\", \"threads\": %" PRIu32 "}",
            i ? ", " : "", r->test, r->tokens_per_second, r->spread, r->percent_of_limit, r->limit,
            b->limits[r->limits].threads);
    }
    printf("]}\n");
}
