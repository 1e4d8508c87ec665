/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch.h"

#include "base/status.h"
#include "digest.h"
#include "input.h"
#include "progress.h"
#include "session.h"
#include "term.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    TRIES = 5,          /* in a row without progress */
    PROGRESS = 1 << 20, /* bytes that count as progress: a server that gives one at a time is given up, too */
    STEP = 100,         /* ms at most until Ctrl-C is seen */
    AT_ONCE = 32 << 20, /* bytes hashed before others get their turn, or written before the disk is told to */
    LONGEST_WAIT = 300, /* s: a hub counts requests over five minutes */
    LONGEST_DOCUMENT = 300, /* s */
};

/* ---- what went wrong, for people ---- */

static cria_status explain_status(const struct fetch_source *s, const struct transfer_reply *r, const char *what,
                                  cria_error *err) {
    const bool gated = strcmp(r->code, "GatedRepo") == 0;
    if (gated || r->status == 403)
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "%s is not open to everybody: ask for access at %s/%s, and set HF_TOKEN to a token of the "
                         "account that has it (%d).",
                         s->repo, s->endpoint, s->repo, r->status);
    if (r->status == 401 && s->has_token)
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "%s does not take the token (401): it may have expired; make one at %s/settings/tokens and "
                         "set HF_TOKEN.",
                         r->host, s->endpoint);
    if (r->status == 401)
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "%s shows no %s without a token (401): look whether the name is right; if it is private, "
                         "set HF_TOKEN.",
                         r->host, s->repo);
    if (strcmp(r->code, "RevisionNotFound") == 0)
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "%s has no revision '%s'; look whether the name is right.",
                         s->repo, s->revision);
    if (r->status == 404 && strcmp(what, s->repo) != 0)
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "%s lists %s of %s but does not have it (404); try again later, it may be changing.",
                         r->host, what, s->repo);
    if (r->status == 404)
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "There is no model %s at %s (404); look whether the name is right.", s->repo, r->host);
    if (r->status == 429)
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "%s is asked too often by this address (429)%s; wait %u minutes, then run the same command "
                         "again.",
                         r->host, s->has_token ? "" : " and allows more to who sets HF_TOKEN",
                         r->retry_after > 60 ? (r->retry_after + 59) / 60 : 1);
    if (r->status >= 500)
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "%s has a fault of its own (%d) and gives no %s; run the same command again later.", r->host,
                         r->status, what);
    return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "%s answers %d when asked for %s; look at HF_ENDPOINT.", r->host,
                     r->status, what);
}

static cria_status explain(const struct fetch_source *s, const struct transfer_reply *reply, const char *what,
                           cria_error *err) {
    struct transfer_reply named = *reply;
    const struct transfer_reply *r = &named;
    if (!*named.host) snprintf(named.host, sizeof named.host, "%s", s->endpoint); /* it led to no host */
    switch (r->end) {
    case TRANSFER_UNREACHABLE:
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "%s cannot be reached (%s); look at the network, at https_proxy and at HF_ENDPOINT.",
                         r->host, r->why);
    case TRANSFER_BROKEN:
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                         "The connection to %s broke again and again at %s (%s); run the same command later, it goes "
                         "on from there.",
                         r->host, what, r->why);
    case TRANSFER_REFUSED:
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "%s cannot be fetched from %s: %s.", what, r->host, r->why);
    default: return explain_status(s, r, what, err);
    }
}

static bool has_content(const struct transfer_reply *r) {
    return r->end == TRANSFER_COMPLETE && (r->status == 200 || r->status == 206);
}

static bool is_worth_a_try(const struct transfer_reply *r) {
    if (r->end != TRANSFER_COMPLETE) return r->end == TRANSFER_BROKEN || r->end == TRANSFER_UNREACHABLE;
    return has_content(r) || r->status == 408 || r->status == 416 || r->status == 429 || r->status == 500 ||
           (r->status >= 502 && r->status <= 504);
}

/* Seconds before the next try; less than 0 when that is too long. */
static double rest_before(const struct fetch_source *s, const struct transfer_reply *r, unsigned tries,
                          struct progress *bar) {
    const double rest = 0.5 * (double)(1u << (tries - 1));
    if (r->retry_after > LONGEST_WAIT) return -1.0;
    if (r->retry_after <= rest) return rest;
    if (!s->quiet && bar) progress_end(bar);
    say(s->quiet, "[INFO] %s asks to wait %u s (%d).\n", r->host, r->retry_after, r->status);
    return r->retry_after;
}

/* ---- a document ---- */

struct document {
    struct text text;
    size_t max;
    bool full;
};

static bool add_to_document(void *user, const struct transfer_reply *so_far, const void *data, size_t len) {
    struct document *d = user;
    (void)so_far;
    d->full = len > d->max - d->text.len;
    return !d->full && text_append(&d->text, data, len);
}

static bool rest(double seconds) {
    for (const double end = clock_now() + seconds; clock_now() < end && !term_interrupted();)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    return !term_interrupted();
}

static cria_status ask_once(const struct fetch_source *s, const char *url, struct document *d,
                            struct transfer_reply *reply, cria_error *err) {
    text_free(&d->text);
    struct transfer *x = transfer_start(s->transfers, url, 0, LONGEST_DOCUMENT, add_to_document, d);
    if (!x) return cria_fail_nomem(err, "a transfer", 0);
    while (!transfer_has_ended(x, reply) && !term_interrupted()) transfers_step(s->transfers, STEP);
    const bool ended = transfer_has_ended(x, reply);
    transfer_free(x);
    return ended ? CRIA_OK : cria_fail(err, CRIA_ECANCELLED, CRIA_NOWHERE, "Interrupted.");
}

cria_status fetch_document(const struct fetch_source *s, const char *url, size_t max, struct text *out,
                           cria_error *err) {
    struct document d = {.max = max};
    struct transfer_reply r = {0};
    cria_status st = CRIA_OK;
    for (unsigned tries = 1; st == CRIA_OK; tries++) {
        st = ask_once(s, url, &d, &r, err);
        if (st != CRIA_OK) break;
        if (has_content(&r)) {
            if (!text_append(&d.text, "", 0)) return cria_fail_nomem(err, "the list of files", 1); /* an empty one */
            *out = d.text;
            return CRIA_OK;
        }
        if (r.end == TRANSFER_STOPPED)
            st = d.full ? cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "The list of files of %s is longer than %zu MB.",
                                    s->repo, max >> 20)
                        : cria_fail_nomem(err, "the list of files", d.text.len);
        else if (r.end == TRANSFER_UNREACHABLE || !is_worth_a_try(&r) || tries == TRIES)
            st = explain(s, &r, s->repo, err);
        const double seconds = st == CRIA_OK ? rest_before(s, &r, tries, NULL) : 0;
        if (st == CRIA_OK && seconds < 0) st = explain(s, &r, s->repo, err);
        if (st == CRIA_OK && !rest(seconds)) st = cria_fail(err, CRIA_ECANCELLED, CRIA_NOWHERE, "Interrupted.");
    }
    text_free(&d.text);
    return st;
}

/* ---- files ---- */

enum state {
    WAITING, /* not begun */
    LOCKED,  /* somebody else writes the blob */
    HASHING, /* what an earlier run has left */
    RESTING, /* until a time */
    RUNNING,
    THERE
};

struct job {
    const struct fetch_source *source;
    const struct fetch_file *file;
    struct progress *bar;
    enum state state;
    int lock, fd;          /* -1: none */
    char *partial;         /* path of what grows */
    uint64_t have, hashed; /* bytes in it, and how many of them the digest has seen */
    uint64_t told;         /* bytes that the disk was told to write */
    uint64_t came, mark;   /* bytes over the network; how many when progress was made last */
    bool resumed;          /* some bytes are from an earlier run */
    bool answered;         /* the answer under way was looked at */
    unsigned tries;
    double until;
    struct digest *digest;
    struct transfer *transfer;
    cria_error err; /* why the sink stopped */
};

static void job_init(struct job *j, const struct fetch_source *s, const struct fetch_file *file,
                     struct progress *bar) {
    *j = (struct job){.source = s, .file = file, .bar = bar, .lock = -1, .fd = -1};
}

/* What is empty is not worth keeping. */
static void job_end(struct job *j) {
    transfer_free(j->transfer);
    digest_free(j->digest);
    if (j->fd >= 0) close(j->fd);
    if (j->fd >= 0 && j->state != THERE && j->have == 0) unlink(j->partial);
    if (j->lock >= 0) close(j->lock);
    free(j->partial);
    j->transfer = NULL;
    j->digest = NULL;
    j->partial = NULL;
    j->lock = j->fd = -1;
}

/* Begins the digest anew. */
static cria_status begin_digest(struct job *j, cria_error *err) {
    digest_free(j->digest);
    j->hashed = 0;
    j->digest = digest_new(j->file->hash, j->file->size);
    return j->digest ? CRIA_OK : cria_fail_nomem(err, "a hash", 0);
}

/* Nothing of what is there is of use. */
static cria_status begin_anew(struct job *j, cria_error *err) {
    if (ftruncate(j->fd, 0) != 0) return cria_fail_errno(err, "write '%s'", j->partial);
    j->have = j->told = 0;
    j->resumed = false;
    return begin_digest(j, err);
}

/* The lock's file, once it is ours. It may have been removed between opening and locking it: then it is none. */
static cria_status take_lock(struct job *j, bool *taken, cria_error *err) {
    struct stat mine, named;
    *taken = false;
    const int fd = open(j->file->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664);
    if (fd < 0) return cria_fail_errno(err, "write '%s'", j->file->lock);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const int error = errno;
        close(fd);
        *taken = error != EWOULDBLOCK; /* a file system without locks: go on without */
        return CRIA_OK;
    }
    *taken = fstat(fd, &mine) == 0 && stat(j->file->lock, &named) == 0 && mine.st_ino == named.st_ino &&
             mine.st_dev == named.st_dev;
    if (*taken)
        j->lock = fd;
    else
        close(fd);
    return CRIA_OK;
}

static bool blob_is_there(const struct fetch_file *file) {
    struct stat st;
    return stat(file->blob, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == file->size;
}

static cria_status open_partial(struct job *j, cria_error *err) {
    struct stat st;
    if (asprintf(&j->partial, "%s.incomplete", j->file->blob) < 0) {
        j->partial = NULL;
        return cria_fail_nomem(err, "a path", 0);
    }
    j->fd = open(j->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (j->fd < 0 || fstat(j->fd, &st) != 0) return cria_fail_errno(err, "write '%s'", j->partial);
    if (!S_ISREG(st.st_mode))
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "'%s' is no file; remove it.", j->partial);
    if ((uint64_t)st.st_size > j->file->size) return begin_anew(j, err);
    j->have = j->told = (uint64_t)st.st_size;
    j->resumed = j->have > 0;
    return begin_digest(j, err);
}

static cria_status begin(struct job *j, cria_error *err) {
    bool taken;
    const bool waited = j->state == LOCKED;
    cria_status st = take_lock(j, &taken, err);
    if (st != CRIA_OK) return st;
    if (!taken) {
        if (!waited) {
            progress_end(j->bar);
            say(j->source->quiet, "[INFO] Another program is fetching %s; waiting for it.\n", j->file->name);
        }
        j->state = LOCKED;
        return CRIA_OK;
    }
    if (blob_is_there(j->file)) {
        j->state = THERE;
        return CRIA_OK;
    }
    st = open_partial(j, err);
    if (st == CRIA_OK) j->state = HASHING;
    return st;
}

/* ---- bytes that come ---- */

/* The head of an answer: is it the part that was asked for, of the file that was listed? */
static bool accept_answer(struct job *j, const struct transfer_reply *r) {
    const struct fetch_file *f = j->file;
    j->answered = true;
    if (r->status == 200 && j->have > 0 && begin_anew(j, &j->err) != CRIA_OK) return false;
    if (r->status == 206 && r->first != j->have) {
        cria_fail(&j->err, CRIA_EIO, CRIA_NOWHERE,
                  "%s sent %s from byte %" PRIu64 " on, where %" PRIu64 " was asked for; run the same command again.",
                  *r->host ? r->host : j->source->endpoint, f->name, r->first, j->have);
        return false;
    }
    if (r->total >= 0 && (uint64_t)r->total != f->size) {
        cria_fail(&j->err, CRIA_EIO, CRIA_NOWHERE,
                  "%s is listed with %" PRIu64 " bytes and sent with %" PRId64
                  "; try again later, or another HF_ENDPOINT.",
                  f->name, f->size, r->total);
        return false;
    }
    return true;
}

static bool write_all(struct job *j, const char *data, size_t len) {
    while (len > 0) {
        const ssize_t n = pwrite(j->fd, data, len, (off_t)j->have);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            cria_fail_errno(&j->err, "write '%s'", j->partial);
            return false;
        }
        if (!digest_add(j->digest, data, (size_t)n)) {
            cria_fail(&j->err, CRIA_EIO, CRIA_NOWHERE, "The hash of %s cannot be computed.", j->file->name);
            return false;
        }
        j->have += (uint64_t)n;
        j->hashed = j->have;
        j->came += (uint64_t)n;
        data += n;
        len -= (size_t)n;
    }
    /* So that little is left to be written at the end, when all others would wait for it. */
    if (j->have - j->told >= AT_ONCE) {
        sync_file_range(j->fd, (off_t)j->told, (off_t)(j->have - j->told), SYNC_FILE_RANGE_WRITE);
        j->told = j->have;
    }
    return true;
}

static bool take_bytes(void *user, const struct transfer_reply *so_far, const void *data, size_t len) {
    struct job *j = user;
    if (!j->answered && !accept_answer(j, so_far)) return false;
    if (len > j->file->size - j->have) {
        cria_fail(&j->err, CRIA_EIO, CRIA_NOWHERE,
                  "More than the listed %" PRIu64 " bytes came for %s; try again later, or another HF_ENDPOINT.",
                  j->file->size, j->file->name);
        return false;
    }
    return write_all(j, data, len);
}

/* ---- states ---- */

/* All bytes are there. Wrong ones are not kept; if some were an earlier run's the fault may be theirs. */
static cria_status complete(struct job *j, cria_error *err) {
    char hash[65];
    const bool hashed = digest_end(j->digest, hash);
    digest_free(j->digest);
    j->digest = NULL;
    if (!hashed) return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "The hash of %s cannot be computed.", j->file->name);
    if (strcmp(hash, j->file->hash) != 0) {
        const bool again = j->resumed;
        const cria_status st = begin_anew(j, err);
        if (st != CRIA_OK) return st;
        if (!again)
            return cria_fail(err, CRIA_EIO, CRIA_NOWHERE,
                             "What came for %s is not what the hub lists (%s %s, not %s) and was discarded; try "
                             "again later, or another HF_ENDPOINT.",
                             j->file->name, strlen(hash) == 64 ? "SHA-256" : "git's SHA-1", hash, j->file->hash);
        progress_end(j->bar);
        say(j->source->quiet, "[WARN] What was there of %s was not right; it is fetched anew.\n", j->file->name);
        j->state = RESTING;
        j->until = 0;
        return CRIA_OK;
    }
    /* A file system that cannot be told to write need not be. */
    if ((fdatasync(j->fd) != 0 && errno != EINVAL) || rename(j->partial, j->file->blob) != 0)
        return cria_fail_errno(err, "write '%s'", j->file->blob);
    j->state = THERE;
    return CRIA_OK;
}

static cria_status hash_more(struct job *j, cria_error *err) {
    static char part[1 << 16];
    for (uint64_t end = j->hashed + AT_ONCE; j->hashed < j->have && j->hashed < end;) {
        const uint64_t left = j->have - j->hashed;
        const ssize_t n = pread(j->fd, part, left < sizeof part ? (size_t)left : sizeof part, (off_t)j->hashed);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = EIO; /* somebody has cut it short */
        if (n <= 0) return cria_fail_errno(err, "read '%s'", j->partial);
        if (!digest_add(j->digest, part, (size_t)n))
            return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "The hash of %s cannot be computed.", j->file->name);
        j->hashed += (uint64_t)n;
    }
    if (j->hashed < j->have) return CRIA_OK;
    if (j->have == j->file->size) return complete(j, err);
    j->state = RESTING;
    j->until = 0;
    return CRIA_OK;
}

static cria_status ask(struct job *j, cria_error *err) {
    j->answered = false;
    j->transfer = transfer_start(j->source->transfers, j->file->url, j->have, 0, take_bytes, j);
    if (!j->transfer) return cria_fail_nomem(err, "a transfer", 0);
    j->state = RUNNING;
    return CRIA_OK;
}

static cria_status after_answer(struct job *j, struct transfer_reply *r, cria_error *err) {
    transfer_free(j->transfer);
    j->transfer = NULL;
    if (r->end == TRANSFER_STOPPED) {
        if (err) *err = j->err;
        return j->err.code;
    }
    if (j->have == j->file->size) return complete(j, err); /* even when the connection broke behind the last byte */
    if (has_content(r)) { /* without a length, an answer that is cut short looks complete */
        r->end = TRANSFER_BROKEN;
        snprintf(r->why, sizeof r->why, "the answer ended early");
    }
    if (j->came >= j->mark + PROGRESS) {
        j->tries = 0;
        j->mark = j->came;
    }
    if (!is_worth_a_try(r) || ++j->tries == TRIES) return explain(j->source, r, j->file->name, err);
    if (r->status == 416 && begin_anew(j, err) != CRIA_OK) return err ? err->code : CRIA_EIO;
    const double seconds = rest_before(j->source, r, j->tries, j->bar);
    if (seconds < 0) return explain(j->source, r, j->file->name, err);
    j->state = RESTING;
    j->until = clock_now() + seconds;
    return CRIA_OK;
}

static cria_status advance(struct job *j, cria_error *err) {
    struct transfer_reply reply;
    switch (j->state) {
    case WAITING:
    case LOCKED: return begin(j, err);
    case HASHING: return hash_more(j, err);
    case RESTING: return clock_now() >= j->until ? ask(j, err) : CRIA_OK;
    case RUNNING: return transfer_has_ended(j->transfer, &reply) ? after_answer(j, &reply, err) : CRIA_OK;
    case THERE: break;
    }
    return CRIA_OK;
}

/* One turn for all; the files are begun in their order. *busy: one has work that does not wait for the network. */
static cria_status turn(struct job *jobs, size_t n, unsigned parallel, size_t *n_there, bool *busy, cria_error *err) {
    unsigned active = 0;
    *n_there = 0;
    *busy = false;
    for (size_t i = 0; i < n && active < parallel; i++) {
        struct job *j = &jobs[i];
        if (j->state != THERE) {
            const cria_status st = advance(j, err);
            if (st != CRIA_OK) return st;
            if (j->state == THERE) job_end(j);
        }
        *n_there += j->state == THERE;
        active += j->state != THERE;
        *busy |= j->state == HASHING || j->state == WAITING || (j->state == RESTING && j->until == 0);
    }
    return CRIA_OK;
}

cria_status fetch_files(const struct fetch_source *s, const struct fetch_file *files, size_t n, unsigned parallel,
                        uint64_t *came, cria_error *err) {
    struct progress bar;
    struct job *jobs = malloc((n + 1) * sizeof *jobs);
    if (!jobs) return cria_fail_nomem(err, "a list of files", n * sizeof *jobs);
    for (size_t i = 0; i < n; i++) job_init(&jobs[i], s, &files[i], &bar);
    progress_start(&bar, "Fetching", s->quiet);
    cria_status st = CRIA_OK;
    for (size_t n_there = 0; st == CRIA_OK && n_there < n;) {
        bool busy = false;
        uint64_t done = 0, total = 0;
        st = term_interrupted() ? cria_fail(err, CRIA_ECANCELLED, CRIA_NOWHERE, "Interrupted.")
                                : turn(jobs, n, parallel, &n_there, &busy, err);
        if (st != CRIA_OK || n_there == n) break;
        *came = 0;
        for (size_t i = 0; i < n; i++) {
            done += jobs[i].state == THERE ? files[i].size : jobs[i].have;
            total += files[i].size;
            *came += jobs[i].came;
        }
        progress_update_bytes(&bar, done, total, *came);
        transfers_step(s->transfers, busy ? 0 : STEP);
    }
    progress_end(&bar);
    *came = 0;
    for (size_t i = 0; i < n; i++) {
        *came += jobs[i].came;
        job_end(&jobs[i]);
    }
    free(jobs);
    return st;
}
