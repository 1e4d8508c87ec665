/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer.h"

#include "base/status.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { REDIRECTS = 10, CONNECT_SECONDS = 20, RECEIVE_BYTES = 256 * 1024 };

/* libcurl brings some thirty libraries along, which would cost every command of the program ten milliseconds and six
 * megabytes. So it is loaded when it is needed. */
#define FUNCTIONS(X)                                                                                                 \
    X(global_init) X(global_cleanup) X(slist_append) X(slist_free_all) X(easy_init) X(easy_cleanup) X(easy_setopt)   \
    X(easy_getinfo) X(easy_strerror) X(multi_init) X(multi_cleanup) X(multi_add_handle) X(multi_remove_handle)       \
    X(multi_perform) X(multi_poll) X(multi_info_read)
static struct {
#define FIELD(name) __typeof__(curl_##name) *name;
    FUNCTIONS(FIELD)
#undef FIELD
} curl;

/* NULL, or why not. */
static const char *load_curl(void) {
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
#define LOAD(name)                                                                                                   \
    if (library && (*(void **)&curl.name = dlsym(library, "curl_" #name)) == NULL) library = NULL;
    FUNCTIONS(LOAD)
#undef LOAD
    return library ? NULL : dlerror();
}

struct transfers {
    CURLM *multi;
    struct curl_slist *headers; /* with the token, where there is one */
    const char *agent;
    unsigned seconds;
};

struct transfer {
    struct transfers *all;
    CURL *easy;
    transfer_sink *sink;
    void *user;
    struct transfer_reply reply;
    bool ended, stopped;
    char why[CURL_ERROR_SIZE];
};

cria_status transfers_new(const char *agent, const char *token, unsigned seconds, struct transfers **out,
                          cria_error *err) {
    char line[1100];
    const char *why = load_curl();
    if (why) return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "libcurl cannot be loaded (%s); install libcurl4.", why);
    struct transfers *t = calloc(1, sizeof *t);
    if (!t) return cria_fail_nomem(err, "transfers", sizeof *t);
    if (curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) t->multi = curl.multi_init();
    t->agent = agent;
    t->seconds = seconds;
    if (t->multi && token) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", token);
        t->headers = curl.slist_append(NULL, line);
    }
    if (!t->multi || (token && !t->headers)) {
        transfers_free(t);
        return cria_fail(err, CRIA_EIO, CRIA_NOWHERE, "libcurl cannot be started; free some memory.");
    }
    *out = t;
    return CRIA_OK;
}

void transfers_free(struct transfers *t) {
    if (!t) return;
    curl.multi_cleanup(t->multi);
    curl.slist_free_all(t->headers);
    curl.global_cleanup();
    free(t);
}

/* ---- what comes ---- */

static size_t on_data(char *data, size_t one, size_t len, void *user) {
    struct transfer *x = user;
    len *= one;
    const int status = x->reply.status;
    if (status != 200 && status != 206) return len; /* a page that says what the status says */
    if (x->sink(x->user, &x->reply, data, len)) return len;
    x->stopped = true;
    return CURL_WRITEFUNC_ERROR;
}

/* The value of a header, when it is the one of that name; the name ends with a colon. */
static const char *value_of(const char *line, const char *name) {
    if (strncasecmp(line, name, strlen(name)) != 0) return NULL;
    line += strlen(name);
    return line + strspn(line, " \t");
}

static void copy_word(char *out, size_t size, const char *text) {
    size_t n = strcspn(text, " \t\r\n;,");
    if (n >= size) n = size - 1;
    memcpy(out, text, n);
    out[n] = '\0';
}

static bool read_number(const char **text, uint64_t *out) {
    uint64_t n = 0;
    const char *p = *text;
    if (*p < '0' || *p > '9') return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (n > (UINT64_MAX >> 1) / 10 - 1) return false;
        n = 10 * n + (uint64_t)(*p - '0');
    }
    *text = p;
    *out = n;
    return true;
}

/* "bytes 100-199/200" or "bytes 100-199/" and a star. */
static void read_range(struct transfer_reply *r, const char *text) {
    uint64_t first, last, total;
    if (strncasecmp(text, "bytes ", 6) != 0) return;
    text += 6;
    if (!read_number(&text, &first) || *text++ != '-' || !read_number(&text, &last) || *text++ != '/') return;
    r->first = first;
    r->total = read_number(&text, &total) ? (int64_t)total : -1;
}

static void read_header(struct transfer_reply *r, const char *line) {
    const char *value;
    uint64_t n;
    if (strncmp(line, "HTTP/", 5) == 0) { /* another answer; those before were redirects */
        const char *space = strchr(line, ' ');
        *r = (struct transfer_reply){.total = -1, .status = space ? atoi(space + 1) : 0};
    } else if ((value = value_of(line, "Content-Length:")) != NULL) {
        if (r->status == 200 && read_number(&value, &n)) r->total = (int64_t)n;
    } else if ((value = value_of(line, "Content-Range:")) != NULL) {
        if (r->status == 206) read_range(r, value);
    } else if ((value = value_of(line, "Retry-After:")) != NULL) {
        if (read_number(&value, &n)) r->retry_after = n < 1000000 ? (unsigned)n : 1000000;
    } else if ((value = value_of(line, "X-Error-Code:")) != NULL) {
        copy_word(r->code, sizeof r->code, value);
    }
}

static size_t on_header(char *data, size_t one, size_t len, void *user) {
    struct transfer *x = user;
    char line[512];
    len *= one;
    const size_t n = len < sizeof line - 1 ? len : sizeof line - 1;
    memcpy(line, data, n);
    line[n] = '\0';
    read_header(&x->reply, line);
    return len;
}

/* ---- under way ---- */

static bool set_options(struct transfer *x, const char *url, uint64_t from, unsigned longest) {
    CURL *e = x->easy;
    const char *ca = getenv("SSL_CERT_FILE"); /* as OpenSSL and Python have it; libcurl alone does not look there */
    const bool is_https = strncasecmp(url, "https://", 8) == 0;
    char range[32];
    bool ok = curl.easy_setopt(e, CURLOPT_URL, url) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, is_https ? "https" : "http,https") == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_MAXREDIRS, (long)REDIRECTS) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_HTTPHEADER, x->all->headers) == CURLE_OK;          /* to the first host only */
    ok &= curl.easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE) == CURLE_OK; /* not to a proxy */
    ok &= curl.easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK; /* a connection each */
    ok &= curl.easy_setopt(e, CURLOPT_USERAGENT, x->all->agent) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_NOPROGRESS, 1L) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)x->all->seconds) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_TIMEOUT, (long)longest) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_ERRORBUFFER, x->why) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_PRIVATE, x) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_WRITEDATA, x) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK;
    ok &= curl.easy_setopt(e, CURLOPT_HEADERDATA, x) == CURLE_OK;
    if (ca && *ca) ok &= curl.easy_setopt(e, CURLOPT_CAINFO, ca) == CURLE_OK;
    if (from > 0) {
        snprintf(range, sizeof range, "%llu-", (unsigned long long)from);
        ok &= curl.easy_setopt(e, CURLOPT_RANGE, range) == CURLE_OK;
    }
    return ok;
}

struct transfer *transfer_start(struct transfers *t, const char *url, uint64_t from, unsigned longest,
                                transfer_sink *sink, void *user) {
    struct transfer *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    *x = (struct transfer){.all = t, .sink = sink, .user = user, .easy = curl.easy_init(), .reply.total = -1};
    if (x->easy && set_options(x, url, from, longest) && curl.multi_add_handle(t->multi, x->easy) == CURLM_OK)
        return x;
    if (x->easy) curl.easy_cleanup(x->easy);
    free(x);
    return NULL;
}

void transfer_free(struct transfer *x) {
    if (!x) return;
    curl.multi_remove_handle(x->all->multi, x->easy);
    curl.easy_cleanup(x->easy);
    free(x);
}

static enum transfer_end end_of(const struct transfer *x, CURLcode code) {
    if (x->stopped) return TRANSFER_STOPPED;
    switch (code) {
    case CURLE_OK: return TRANSFER_COMPLETE;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT: return TRANSFER_UNREACHABLE;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_OPERATION_TIMEDOUT: return TRANSFER_BROKEN;
    default: return TRANSFER_REFUSED;
    }
}

static void finish(struct transfer *x, CURLcode code) {
    const char *url = NULL;
    x->ended = true;
    x->reply.end = end_of(x, code);
    if (code != CURLE_OK)
        snprintf(x->reply.why, sizeof x->reply.why, "%s", *x->why ? x->why : curl.easy_strerror(code));
    if (code == CURLE_SSL_CACERT_BADFILE)
        snprintf(x->reply.why, sizeof x->reply.why,
                 "there are no certificates to check it with; install ca-certificates, or name a file with "
                 "SSL_CERT_FILE");
    const size_t n = strlen(x->reply.why);
    if (n > 0 && x->reply.why[n - 1] == '.') x->reply.why[n - 1] = '\0';
    if (curl.easy_getinfo(x->easy, CURLINFO_EFFECTIVE_URL, &url) != CURLE_OK || !url) return;
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    const char *at = memchr(host, '@', strcspn(host, "/?#"));
    if (at) host = at + 1; /* a name and a password are not for messages */
    snprintf(x->reply.host, sizeof x->reply.host, "%.*s", (int)strcspn(host, "/?#"), host);
}

void transfers_step(struct transfers *t, int milliseconds) {
    int n;
    curl.multi_poll(t->multi, NULL, 0, milliseconds, NULL);
    curl.multi_perform(t->multi, &n);
    for (CURLMsg *m; (m = curl.multi_info_read(t->multi, &n)) != NULL;) {
        void *x = NULL;
        if (m->msg == CURLMSG_DONE && curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x) == CURLE_OK)
            finish(x, m->data.result);
    }
}

bool transfer_has_ended(const struct transfer *x, struct transfer_reply *reply) {
    if (!x->ended) return false;
    *reply = x->reply;
    return true;
}

bool url_quote(const char *path, bool slashes, char *out, size_t size) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t at = 0;
    for (; *path; path++) {
        if (at + 4 > size) return false;
        if (strchr(plain, *path) || (slashes && *path == '/'))
            out[at++] = *path;
        else
            at += (size_t)snprintf(out + at, size - at, "%%%02X", (unsigned char)*path);
    }
    if (at >= size) return false;
    out[at] = '\0';
    return true;
}
