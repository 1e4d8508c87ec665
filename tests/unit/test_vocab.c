/* SPDX-License-Identifier: Apache-2.0 */
#include "vocab_unit.h"
#include "counting_alloc.h"

/* A vocabulary of n pieces whose text put(i, text) makes; whether it is indexed, and every piece then found. */
static cria_status try_index(uint32_t n, size_t put(uint32_t i, char *text), cria_error *err) {
    struct counting_alloc alloc;
    cria_ctx ctx;
    memset(&ctx, 0, sizeof ctx);
    counting_alloc_init(&alloc, -1);
    ctx.allocator = counting_alloc_hook(&alloc);
    cria_vocab v;
    cria_vocab_init(&v, &ctx);
    for (uint32_t i = 0; i < n; i++) {
        char text[64];
        const size_t len = put(i, text);
        vocab_add(&v, text, len, CRIA_PIECE_NORMAL);
    }
    const cria_status st = cria_vocab_index(&v, "test.model", err);
    for (uint32_t i = 0; i < n && st == CRIA_OK; i++) {
        size_t len;
        const char *text = cria_vocab_piece(&v, i, &len);
        assert_int_equal(cria_vocab_find(&v, text, len), i);
    }
    cria_vocab_fini(&v);
    return st;
}

static size_t numbered(uint32_t i, char *text) { return (size_t)sprintf(text, "<|reserved_special_token_%u|>", i); }
static size_t short_numbers(uint32_t i, char *text) { return (size_t)sprintf(text, "%u", i); }
static size_t numbers_at_the_end(uint32_t i, char *text) { return (size_t)sprintf(text, "piece%03u", i); }
static size_t last_letter(uint32_t i, char *text) { return (size_t)sprintf(text, "%05uab%c", i / 64, '0' + i % 64); }

/* What real vocabularies have: long runs of names that differ in a number. */
static void similar_pieces(void **state) {
    (void)state;
    cria_error err;
    assert_int_equal(try_index(20000, numbered, &err), CRIA_OK);
    assert_int_equal(try_index(20000, short_numbers, &err), CRIA_OK);
    assert_int_equal(try_index(20000, last_letter, &err), CRIA_OK);
    assert_int_equal(try_index(1000, numbers_at_the_end, &err), CRIA_OK); /* refused once as made to exhaust time */
}

/* Pieces of eight printable characters with one and the same hash, by going through it backwards. 2^22 of them, which
 * fit in a file of 70 MB, took hours to index. */
static uint64_t inverse(uint64_t factor) { /* modulo 2^64, by Newton's iteration */
    uint64_t x = factor;
    for (int k = 0; k < 6; k++) x *= 2 - factor * x;
    return x;
}

static size_t same_hash(uint32_t i, char *text) {
    static uint64_t low;
    if (i == 0) low = 0;
    const uint64_t first = UINT64_C(0xD6E8FEB86659FD93), second = UINT64_C(0x9E3779B97F4A7C15);
    for (;; low++) {
        const uint64_t folded = (UINT64_C(12345) << 32 | low) * inverse(second), product = folded ^ folded >> 32;
        const uint64_t bytes = product * inverse(first) ^ 8 * second;
        bool printable = true;
        for (unsigned k = 0; k < 8; k++) {
            text[k] = (char)(bytes >> 8 * k);
            printable = printable && text[k] > ' ' && text[k] < 0x7f;
        }
        if (printable) break;
    }
    low++;
    return 8;
}

static void pieces_chosen_by_their_hash(void **state) {
    (void)state;
    cria_error err;
    assert_int_equal(try_index(2000, same_hash, &err), CRIA_EFORMAT);
    assert_non_null(strstr(err.msg, "test.model"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(similar_pieces),
        cmocka_unit_test(pieces_chosen_by_their_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
