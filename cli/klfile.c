/* SPDX-License-Identifier: Apache-2.0 */
#include "klfile.h"

#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 1, TRAILER = 2 /* words */ };

struct header {
    uint32_t magic[2]; /* "cria-kl\n" on a little-endian machine */
    uint32_t version, vocab, context;
    int32_t bos;
    uint32_t n_ids, n_rows;
};
_Static_assert(sizeof(struct header) == 32 && sizeof(float) == 4, "the file is a row of 32-bit words");

#define MAGIC                                                                                                \
    { 0x61697263u, 0x0a6c6b2du }
#define SUM_START 0xcbf29ce484222325u
#define SUM_PRIME 0x100000001b3u

static uint64_t sum_words(uint64_t sum, const void *words, size_t n) {
    const char *at = words;
    for (size_t i = 0; i < n; i++, at += 4) {
        uint32_t word;
        memcpy(&word, at, 4);
        sum = (sum ^ word) * SUM_PRIME;
    }
    return sum;
}

static struct header header_of(const struct kl_text *t) {
    return (struct header){.magic = MAGIC,
                           .version = VERSION,
                           .vocab = t->vocab,
                           .context = t->context,
                           .bos = t->bos,
                           .n_ids = t->n_ids,
                           .n_rows = t->n_rows};
}

/* Below 2^60: the vocabulary has at most 2^24 ids and 32 bits count the rows. */
static uint64_t length_bytes(const struct kl_text *t) {
    return sizeof(struct header) + 4 * ((uint64_t)t->n_ids + (uint64_t)t->n_rows * t->vocab + TRAILER);
}

void kl_close(struct kl_file *k) {
    if (k->f) fclose(k->f);
    if (k->temporary) remove(k->temporary);
    free(k->temporary);
    *k = (struct kl_file){.f = NULL};
}

/* ---- writing ---- */

static bool cannot_write(const struct kl_file *k) {
    complain_unwritten(k->path);
    return false;
}

static bool write_words(struct kl_file *k, const void *words, size_t n) {
    k->sum = sum_words(k->sum, words, n);
    return fwrite(words, 4, n, k->f) == n || cannot_write(k);
}

/* A device or pipe is written to as it is: it is not for us to put a file in its place. */
static bool is_special(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

static int create(struct kl_file *k) {
    if (is_special(k->path)) return open(k->path, O_WRONLY | O_CLOEXEC);
    const size_t room = strlen(k->path) + 32;
    char *name = malloc(room);
    if (!name) return -1;
    snprintf(name, room, "%s.part-%ld", k->path, (long)getpid());
    const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0)
        k->temporary = name;
    else
        free(name);
    return fd;
}

bool kl_create(struct kl_file *k, const char *path, const struct kl_text *text) {
    *k = (struct kl_file){.path = path, .vocab = text->vocab, .sum = SUM_START};
    const int fd = create(k);
    if (fd < 0) return cannot_write(k);
    k->f = fdopen(fd, "wb");
    if (!k->f) {
        close(fd);
        return cannot_write(k);
    }
    const struct header h = header_of(text);
    return write_words(k, &h, sizeof h / 4) && write_words(k, text->ids, text->n_ids);
}

bool kl_write_row(struct kl_file *k, const float *logits) { return write_words(k, logits, k->vocab); }

bool kl_finish_writing(struct kl_file *k) {
    const uint32_t trailer[TRAILER] = {(uint32_t)k->sum, (uint32_t)(k->sum >> 32)};
    if (!write_words(k, trailer, TRAILER)) return false;
    FILE *f = k->f;
    k->f = NULL;
    if (fclose(f) != 0) return cannot_write(k);
    if (!k->temporary) return true;
    if (rename(k->temporary, k->path) != 0) return cannot_write(k);
    free(k->temporary);
    k->temporary = NULL;
    return true;
}

/* ---- reading ---- */

static bool read_words(struct kl_file *k, void *words, size_t n) {
    if (fread(words, 4, n, k->f) != n) {
        if (ferror(k->f))
            complain_unread(k->path);
        else
            complain("'%s' ends too early; save it again with --kl-base.", k->path);
        return false;
    }
    k->sum = sum_words(k->sum, words, n);
    return true;
}

static bool differs(const char *path, const char *what, int64_t saved, int64_t here, const char *advice) {
    if (saved == here) return false;
    complain("'%s' was saved with %s %" PRId64 ", but here it is %" PRId64 "; %s.", path, what, saved, here,
             advice);
    return true;
}

static bool header_fits(const struct kl_file *k, const struct header *h, const struct kl_text *t) {
    const struct header want = header_of(t);
    if (memcmp(h->magic, want.magic, sizeof want.magic) != 0) {
        complain("'%s' does not hold saved logits of this kind of machine; --kl-base writes such a file.",
                 k->path);
        return false;
    }
    if (h->version != want.version) {
        complain("'%s' is of version %" PRIu32
                 ", but this program reads version %d; save it again with --kl-base.",
                 k->path, h->version, VERSION);
        return false;
    }
    return !differs(k->path, "a vocabulary of", h->vocab, want.vocab,
                    "compare models with the same tokenizer") &&
           !differs(k->path, "--context", h->context, want.context, "give the same one") &&
           !differs(k->path, "beginning-of-text token", h->bos, want.bos,
                    "compare models with the same tokenizer") &&
           !differs(k->path, "a number of tokens of", h->n_ids, want.n_ids,
                    "give the same text and --max-tokens") &&
           !differs(k->path, "a number of scored positions of", h->n_rows, want.n_rows,
                    "the file is damaged");
}

static bool ids_fit(struct kl_file *k, const struct kl_text *t) {
    int32_t part[1024];
    for (size_t at = 0; at < t->n_ids;) {
        const size_t left = t->n_ids - at, n = left < 1024 ? left : 1024;
        if (!read_words(k, part, n)) return false;
        for (size_t i = 0; i < n; i++) {
            if (part[i] == t->ids[at + i]) continue;
            complain("'%s' was saved from another text: its token %zu is %" PRId32 ", here it is %" PRId32
                     "; give the same text.",
                     k->path, at + i, part[i], t->ids[at + i]);
            return false;
        }
        at += n;
    }
    return true;
}

static bool length_fits(const struct kl_file *k, const struct kl_text *t) {
    struct stat st;
    if (fstat(fileno(k->f), &st) != 0 || !S_ISREG(st.st_mode)) {
        complain("'%s' is not a file; --kl takes one that --kl-base has written.", k->path);
        return false;
    }
    if ((uint64_t)st.st_size == length_bytes(t)) return true;
    complain("'%s' has %lld bytes, but saved logits of this text have %" PRIu64
             "; save it again with --kl-base.",
             k->path, (long long)st.st_size, length_bytes(t));
    return false;
}

bool kl_open(struct kl_file *k, const char *path, const struct kl_text *text) {
    *k = (struct kl_file){.f = fopen(path, "rb"), .path = path, .vocab = text->vocab, .sum = SUM_START};
    if (!k->f) {
        complain_unread(path);
        return false;
    }
    struct header h;
    return read_words(k, &h, sizeof h / 4) && header_fits(k, &h, text) && length_fits(k, text) &&
           ids_fit(k, text);
}

bool kl_read_row(struct kl_file *k, float *logits) {
    if (!read_words(k, logits, k->vocab)) return false;
    for (size_t i = 0; i < k->vocab; i++) {
        if (isfinite(logits[i])) continue;
        complain(
            "'%s' is damaged: it holds a logit that is not a finite number; save it again with --kl-base.",
            k->path);
        return false;
    }
    return true;
}

bool kl_finish_reading(struct kl_file *k) {
    const uint64_t sum = k->sum;
    uint32_t trailer[TRAILER];
    if (!read_words(k, trailer, TRAILER)) return false;
    if (((uint64_t)trailer[1] << 32 | trailer[0]) == sum) return true;
    complain("'%s' is damaged: its sum is wrong; save it again with --kl-base.", k->path);
    return false;
}
