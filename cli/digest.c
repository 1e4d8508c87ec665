/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* Loaded when it is needed, as libcurl is (transfer.c). */
#define FUNCTIONS(X)                                                                                                 \
    X(EVP_MD_CTX_new) X(EVP_MD_CTX_free) X(EVP_sha1) X(EVP_sha256) X(EVP_DigestInit_ex) X(EVP_DigestUpdate)          \
    X(EVP_DigestFinal_ex)
static struct {
#define FIELD(name) __typeof__(name) *name;
    FUNCTIONS(FIELD)
#undef FIELD
} crypto;

const char *digest_load(void) {
    void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
#define LOAD(name)                                                                                                   \
    if (library && (*(void **)&crypto.name = dlsym(library, #name)) == NULL) library = NULL;
    FUNCTIONS(LOAD)
#undef LOAD
    return library ? NULL : dlerror();
}

struct digest *digest_new(const char *expected, uint64_t size) {
    const size_t digits = strlen(expected);
    if (strspn(expected, "0123456789abcdef") != digits || (digits != 40 && digits != 64)) return NULL;
    EVP_MD_CTX *md = crypto.EVP_MD_CTX_new();
    bool ok = md && crypto.EVP_DigestInit_ex(md, digits == 40 ? crypto.EVP_sha1() : crypto.EVP_sha256(), NULL) == 1;
    if (ok && digits == 40) {
        char head[32];
        const int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)size);
        ok = crypto.EVP_DigestUpdate(md, head, (size_t)n + 1) == 1; /* with the NUL */
    }
    if (ok) return (struct digest *)md;
    crypto.EVP_MD_CTX_free(md);
    return NULL;
}

bool digest_add(struct digest *d, const void *data, size_t len) {
    return crypto.EVP_DigestUpdate((EVP_MD_CTX *)d, data, len) == 1;
}

bool digest_end(struct digest *d, char out[65]) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (crypto.EVP_DigestFinal_ex((EVP_MD_CTX *)d, bytes, &n) != 1 || n > 32) return false;
    for (unsigned i = 0; i < n; i++) snprintf(out + (size_t)2 * i, 3, "%02x", bytes[i]);
    return true;
}

void digest_free(struct digest *d) {
    if (d) crypto.EVP_MD_CTX_free((EVP_MD_CTX *)d);
}
