/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes over HTTP, several transfers at once. The only door to libcurl. What the bytes are for, and whether a failure
 * is worth another try, is not known here.
 *
 * Only http and https are spoken, on redirects from https only https, and ten redirects followed. The token goes to
 * the host that a transfer was asked of and nowhere else, not along a redirect to another host, port or protocol.
 * Proxies are those of http_proxy, https_proxy, all_proxy and no_proxy. One thread.
 */
#ifndef CRIA_CLI_TRANSFER_H
#define CRIA_CLI_TRANSFER_H

#include "cria/cria.h"

enum transfer_end {
    TRANSFER_COMPLETE,    /* an answer came, whatever its status, and all that it announced */
    TRANSFER_BROKEN,      /* the connection, or the answer, ended too soon or stood still: worth another try */
    TRANSFER_UNREACHABLE, /* there is no such host, or nobody answers there */
    TRANSFER_REFUSED,     /* what another try does not mend: certificates, redirects in a circle, a bad URL */
    TRANSFER_STOPPED      /* the sink wanted no more */
};

struct transfer_reply {
    enum transfer_end end;
    int status;           /* of HTTP; 0: none yet. Redirects' own do not count */
    uint64_t first;       /* the content's first byte is this one of the whole */
    int64_t total;        /* bytes of the whole; -1: not said */
    unsigned retry_after; /* seconds; 0: not said */
    char code[48];        /* X-Error-Code: "GatedRepo" */
    char host[128];       /* that answered */
    char why[256];        /* no answer: a sentence without its full stop, or "" */
};

/* Takes the content of answers with status 200 and 206, in pieces. False stops the transfer. */
typedef bool transfer_sink(void *user, const struct transfer_reply *so_far, const void *data, size_t len);

struct transfers; /* those that are under way */
struct transfer;  /* one of them */

/* agent is borrowed; token may be NULL. seconds: after so many without a byte a transfer is broken. CRIA_EIO. */
cria_status transfers_new(const char *agent, const char *token, unsigned seconds, struct transfers **out,
                          cria_error *err);
void transfers_free(struct transfers *t); /* stops those under way; NULL is legal */

/* A GET; from: the first byte that is wanted, which the answer need not heed. longest: seconds for all of it; 0: any.
 * NULL when out of memory. */
struct transfer *transfer_start(struct transfers *t, const char *url, uint64_t from, unsigned longest,
                                transfer_sink *sink, void *user);
void transfer_free(struct transfer *x); /* stops it; NULL is legal */
/* Lets all go on for at most so many milliseconds. */
void transfers_step(struct transfers *t, int milliseconds);
/* Whether it has ended, and how; else *reply is not touched. */
bool transfer_has_ended(const struct transfer *x, struct transfer_reply *reply);

/* A path, or with slashes false one part of it, as it is written in a URL. False when it does not fit. */
bool url_quote(const char *path, bool slashes, char *out, size_t size);

#endif
